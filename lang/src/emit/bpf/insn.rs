//! Owns the encoding of eBPF instructions. Numbers are those of `include/uapi/linux/bpf.h` and of RFC 9669.

/// One instruction of 8 bytes; a 64-bit immediate takes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination register.
    pub dst: u8,
    /// Source register, or a pseudo value (`BPF_PSEUDO_…`).
    pub src: u8,
    /// Offset of memory or of a jump.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

impl Insn {
    /// Whether it heads a loop (kernel 6.9).
    pub fn is_loop(&self) -> bool {
        self.code == MAY_GOTO
    }

    /// As the kernel reads it (`struct bpf_insn`, little-endian).
    pub fn to_bytes(self) -> [u8; 8] {
        let [o0, o1] = self.off.to_le_bytes();
        let [i0, i1, i2, i3] = self.imm.to_le_bytes();
        [self.code, (self.src << 4) | (self.dst & 0xf), o0, o1, i0, i1, i2, i3]
    }
}

/// A register, r0–r10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(pub(super) u8);

pub(super) const R0: Reg = Reg(0);
pub(super) const R1: Reg = Reg(1);
pub(super) const R2: Reg = Reg(2);
pub(super) const R3: Reg = Reg(3);
pub(super) const R4: Reg = Reg(4);
pub(super) const R5: Reg = Reg(5);
/// The program's context (`struct pt_regs`).
pub(super) const CTX: Reg = Reg(6);
/// The site id.
pub(super) const SITE: Reg = Reg(7);
/// The container's index.
pub(super) const CONTAINER: Reg = Reg(8);
/// The task's scratch memory, where the handler needs any.
pub(super) const SCRATCH: Reg = Reg(9);
/// The frame pointer.
pub(super) const FP: Reg = Reg(10);

pub(super) const LD_IMM64: u8 = 0x18;
pub(super) const ALU64: u8 = 0x07;
pub(super) const ALU32: u8 = 0x04;
pub(super) const JMP: u8 = 0x05;
/// The right operand is a register (else the immediate).
pub(super) const X: u8 = 0x08;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;
pub(super) const JA: u8 = 0x05;
/// `BPF_STX | BPF_ATOMIC | BPF_DW`
pub(super) const ATOMIC64: u8 = 0xdb;
pub(super) const ATOMIC_ADD: i32 = 0x00;
pub(super) const ATOMIC_FETCH: i32 = 0x01;
pub(super) const ATOMIC_XCHG: i32 = 0xe1;
/// Compares with r0; the old value comes back in r0.
pub(super) const ATOMIC_CMPXCHG: i32 = 0xf1;
/// `BPF_JMP | BPF_JCOND`, source `BPF_MAY_GOTO` (0): jumps when the kernel wants the loop ended (kernel 6.9).
pub(super) const MAY_GOTO: u8 = 0xe5;
/// `BPF_ALU | BPF_END | BPF_TO_BE`
pub(super) const TO_BE: u8 = 0xdc;

pub(super) const PSEUDO_MAP_FD: u8 = 1;
pub(super) const PSEUDO_MAP_VALUE: u8 = 2;
pub(super) const PSEUDO_KFUNC_CALL: u8 = 2;

/// Operations of `BPF_ALU64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Neg = 0x80,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
    Arsh = 0xc0,
}

/// Conditions of `BPF_JMP`; those beginning with S compare signed numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    Eq = 0x10,
    Gt = 0x20,
    Ge = 0x30,
    Ne = 0x50,
    SGt = 0x60,
    SGe = 0x70,
    Lt = 0xa0,
    Le = 0xb0,
    SLt = 0xc0,
    SLe = 0xd0,
}

/// Width of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    D,
}

impl Width {
    /// The bits of the operation's code.
    fn bits(self) -> u8 {
        match self {
            Width::W => 0x00,
            Width::H => 0x08,
            Width::B => 0x10,
            Width::D => 0x18,
        }
    }

    /// `BPF_LDX | BPF_MEM`
    pub(super) fn load(self) -> u8 {
        0x61 | self.bits()
    }

    /// `BPF_ST | BPF_MEM`: stores the immediate.
    pub(super) fn store_imm(self) -> u8 {
        0x62 | self.bits()
    }

    /// `BPF_STX | BPF_MEM`
    pub(super) fn store(self) -> u8 {
        0x63 | self.bits()
    }
}

/// Functions of the kernel that programs call (`enum bpf_func_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    KtimeGetNs = 5,
    GetPrandomU32 = 7,
    GetSmpProcessorId = 8,
    GetCurrentPidTgid = 14,
    GetCurrentUidGid = 15,
    GetCurrentComm = 16,
    GetCurrentTask = 35,
    ProbeReadKernel = 113,
    ProbeReadUserStr = 114,
    ProbeReadKernelStr = 115,
    GetCurrentAncestorCgroupId = 123,
    SeqWrite = 127,
    RingbufOutput = 130,
    CopyFromUser = 148,
    TaskStorageGet = 156,
    GetCurrentTaskBtf = 158,
    Snprintf = 165,
    GetAttachCookie = 174,
    MapLookupPercpuElem = 195,
    KtimeGetTaiNs = 208,
}

impl Helper {
    /// The name of a function by its number.
    pub(super) fn name(number: i32) -> String {
        const ALL: [(Helper, &str); 23] = [
            (Helper::MapLookupElem, "bpf_map_lookup_elem"),
            (Helper::MapUpdateElem, "bpf_map_update_elem"),
            (Helper::MapDeleteElem, "bpf_map_delete_elem"),
            (Helper::KtimeGetNs, "bpf_ktime_get_ns"),
            (Helper::GetSmpProcessorId, "bpf_get_smp_processor_id"),
            (Helper::GetCurrentPidTgid, "bpf_get_current_pid_tgid"),
            (Helper::GetCurrentUidGid, "bpf_get_current_uid_gid"),
            (Helper::GetCurrentComm, "bpf_get_current_comm"),
            (Helper::GetCurrentTask, "bpf_get_current_task"),
            (Helper::ProbeReadKernel, "bpf_probe_read_kernel"),
            (Helper::ProbeReadUserStr, "bpf_probe_read_user_str"),
            (Helper::GetCurrentAncestorCgroupId, "bpf_get_current_ancestor_cgroup_id"),
            (Helper::SeqWrite, "bpf_seq_write"),
            (Helper::RingbufOutput, "bpf_ringbuf_output"),
            (Helper::CopyFromUser, "bpf_copy_from_user"),
            (Helper::TaskStorageGet, "bpf_task_storage_get"),
            (Helper::GetCurrentTaskBtf, "bpf_get_current_task_btf"),
            (Helper::GetPrandomU32, "bpf_get_prandom_u32"),
            (Helper::ProbeReadKernelStr, "bpf_probe_read_kernel_str"),
            (Helper::Snprintf, "bpf_snprintf"),
            (Helper::MapLookupPercpuElem, "bpf_map_lookup_percpu_elem"),
            (Helper::KtimeGetTaiNs, "bpf_ktime_get_tai_ns"),
            (Helper::GetAttachCookie, "bpf_get_attach_cookie"),
        ];
        let known = ALL.iter().find(|(helper, _)| *helper as i32 == number);
        known.map_or_else(|| format!("helper#{number}"), |(_, name)| (*name).to_owned())
    }
}
