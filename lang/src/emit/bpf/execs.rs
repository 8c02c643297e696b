//! Owns the programs that see what the tasks of containers execute (the tracepoint `sched_process_exec`) and which
//! processes they make (`sched_process_fork`): each is told to the runner, which looks whether it is to be attached to.

use super::asm::Asm;
use super::insn::*;
use super::map::{EXECS, FILTER, MapId, MapKind, MapSpec};
use super::tracepoint::{self, AtTracepoint};

/// The tracepoint at which a task executes another program: its memory is the new program's already.
pub const EXEC: &str = "sched_process_exec";
/// The tracepoint at which a task was made and does not run yet.
pub const FORK: &str = "sched_process_fork";

/// The ring of records, in [`AtTracepoint::maps`].
pub const RING: MapId = MapId(u32::MAX);
/// The map of the two numbers, likewise.
pub const COUNTS: MapId = MapId(u32::MAX - 1);

/// Bytes of a record: `u64` when it was (`CLOCK_MONOTONIC`, ns), `u32` number of the process in the first pid namespace,
/// `u32` container, `u64` what happened: 0 where the first thread of the process executed a program, 1 where another
/// thread did, 2 where the process is new.
pub const RECORD: usize = 24;
/// Bytes of the ring: some hundreds of records. Where it is full, all is looked at.
const RING_SIZE: u32 = 16 << 10;

/// The ring and the map of numbers.
pub fn maps() -> [MapSpec; 2] {
    [MapSpec::new("ctp_execs", MapKind::Ring, 0, 0, RING_SIZE), tracepoint::numbers("ctp_exec_counts")]
}

/// A program that was executed, or a process that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// `CLOCK_MONOTONIC` in ns.
    pub time: u64,
    /// Number of the process in the first pid namespace.
    pub process: u32,
    /// Index of the container.
    pub container: u32,
    /// What happened.
    pub what: Happened,
}

/// What happened in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its first thread executed a program.
    Executed,
    /// Another thread did, and took the number of the first one: what was bound to that is bound to nothing now.
    ExecutedByThread,
    /// It was made, and executes what its parent does.
    Forked,
}

impl Executed {
    /// From a record; `None` for bytes that are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Executed> {
        let (process, container) = (super::map::u32_at(bytes, 8)?, super::map::u32_at(bytes, 12)?);
        let what = match super::map::u64_at(bytes, 16)? {
            0 => Happened::Executed,
            1 => Happened::ExecutedByThread,
            _ => Happened::Forked,
        };
        Some(Executed { time: super::map::u64_at(bytes, 0)?, process, container, what })
    }
}

/// Writes the program for [`EXEC`], or for [`FORK`] where `child` tells where a task holds the number of its process
/// (`task_struct.tgid`); `levels` are those of the containers' cgroups. `None` where an offset is too large for an
/// instruction.
pub fn teller(levels: &[u32], child: Option<u32>) -> Option<AtTracepoint> {
    let size = i32::try_from(RECORD).ok()?;
    let short = |at: i32| i16::try_from(at).ok();
    let (time, process, container, what) = (short(-size)?, short(8 - size)?, short(12 - size)?, short(16 - size)?);
    let key = -size - 16;
    let (id, group) = (short(key)?, short(key + 8)?);
    let mut asm = Asm::default();
    let end = asm.label();
    let address = |asm: &mut Asm, reg: Reg, at: i32| {
        asm.mov(reg, FP);
        asm.alu_imm(Alu::Add, reg, at);
    };
    asm.mov(CTX, R1);
    asm.call(Helper::GetCurrentPidTgid);
    asm.alu_imm(Alu::Rsh, R0, 32);
    asm.mov(SITE, R0);
    asm.store_imm(Width::D, FP, what, 0);
    asm.store_imm(Width::D, FP, id, 0);
    asm.store_imm(Width::D, FP, process, 0);
    if let Some(tgid) = child {
        // Arguments of the tracepoint, 8 bytes each: the parent, the child, both struct task_struct *.
        asm.load(Width::D, R3, CTX, 8);
        asm.alu_imm(Alu::Add, R3, i32::try_from(tgid).ok()?);
        address(&mut asm, R1, i32::from(process));
        asm.imm(R2, 4);
        asm.call(Helper::ProbeReadKernel);
        asm.load(Width::W, R1, FP, process);
        // A thread is of its parent's process.
        asm.jump_if(Jump::Eq, R1, SITE, end);
        asm.store_imm(Width::D, FP, what, 2);
    } else {
        let first = asm.label();
        asm.store(Width::W, FP, process, SITE);
        // Arguments: struct task_struct *, the thread's number before it took the first one's, struct linux_binprm *.
        asm.load(Width::D, R1, CTX, 8);
        asm.low32(R1);
        asm.jump_if(Jump::Eq, R1, SITE, first);
        asm.store_imm(Width::D, FP, what, 1);
        asm.place(first);
    }
    asm.call(Helper::KtimeGetNs);
    asm.store(Width::D, FP, time, R0);
    asm.store_imm(Width::W, FP, group, EXECS.cast_signed());
    asm.store_imm(Width::W, FP, short(key + 12)?, 0);
    for level in levels {
        let nobody = asm.label();
        asm.imm(R1, i64::from(*level));
        asm.call(Helper::GetCurrentAncestorCgroupId);
        asm.store(Width::D, FP, id, R0);
        asm.map(R1, FILTER);
        address(&mut asm, R2, key);
        asm.call(Helper::MapLookupElem);
        asm.jump_if_imm(Jump::Eq, R0, 0, nobody);
        asm.load(Width::W, R1, R0, 0);
        asm.store(Width::W, FP, container, R1);
        tracepoint::tell(&mut asm, RING, -size, RECORD, COUNTS)?;
        asm.place(nobody);
    }
    asm.place(end);
    tracepoint::finish(asm, if child.is_some() { FORK } else { EXEC })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&9u64.to_le_bytes());
        bytes[8..12].copy_from_slice(&4711u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&3u32.to_le_bytes());
        for (number, what) in [(0, Happened::Executed), (1, Happened::ExecutedByThread), (2, Happened::Forked)] {
            bytes[16] = number;
            let executed = Executed { time: 9, process: 4711, container: 3, what };
            assert_eq!(Executed::from_bytes(&bytes), Some(executed));
        }
        assert_eq!(Executed::from_bytes(&bytes[..RECORD - 1]), None);
    }
}
