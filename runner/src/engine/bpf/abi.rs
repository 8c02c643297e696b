//! Owns the kernel's binary interface as far as this engine uses it: include/uapi/linux/bpf.h of Linux 6.18. Members
//! behind the last one used are left out: the kernel takes them as 0.

/// Commands of `bpf(2)` (`enum bpf_cmd`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    ProgLoad = 5,
    RawTracepointOpen = 17,
    BtfLoad = 18,
    MapFreeze = 22,
    MapLookupBatch = 24,
    LinkCreate = 28,
    IterCreate = 33,
}

pub(super) const MAP_TYPE_HASH: u32 = 1;
pub(super) const MAP_TYPE_ARRAY: u32 = 2;
pub(super) const MAP_TYPE_PERCPU_HASH: u32 = 5;
pub(super) const MAP_TYPE_PERCPU_ARRAY: u32 = 6;
pub(super) const MAP_TYPE_LRU_HASH: u32 = 9;
pub(super) const MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
pub(super) const MAP_TYPE_RINGBUF: u32 = 27;
pub(super) const MAP_TYPE_TASK_STORAGE: u32 = 29;

pub(super) const F_NO_PREALLOC: u32 = 1 << 0;
pub(super) const F_RDONLY_PROG: u32 = 1 << 7;
pub(super) const F_MMAPABLE: u32 = 1 << 10;

pub(super) const PROG_TYPE_KPROBE: u32 = 2;
pub(super) const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
pub(super) const PROG_TYPE_TRACING: u32 = 26;
pub(super) const F_SLEEPABLE: u32 = 1 << 4;
pub(super) const TRACE_ITER: u32 = 28;
pub(super) const PERF_EVENT: u32 = 41;
pub(super) const PERF_FLAG_FD_CLOEXEC: u64 = 1 << 3;
pub(super) const TRACE_UPROBE_MULTI: u32 = 48;
pub(super) const TRACE_UPROBE_SESSION: u32 = 57;

pub(super) const ANY: u64 = 0;
pub(super) const NOEXIST: u64 = 1;

/// `BPF_MAP_CREATE`
#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreate {
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) inner_map_fd: u32,
    pub(super) numa_node: u32,
    pub(super) map_name: [u8; 16],
    pub(super) map_ifindex: u32,
    pub(super) btf_fd: u32,
    pub(super) btf_key_type_id: u32,
    pub(super) btf_value_type_id: u32,
}

/// `BPF_MAP_*_ELEM`, `BPF_MAP_FREEZE`
#[repr(C)]
#[derive(Default)]
pub(super) struct MapElem {
    pub(super) map_fd: u32,
    pub(super) padding: u32,
    pub(super) key: u64,
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// `BPF_MAP_*_BATCH`
#[repr(C)]
#[derive(Default)]
pub(super) struct MapBatch {
    pub(super) in_batch: u64,
    pub(super) out_batch: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    pub(super) count: u32,
    pub(super) map_fd: u32,
    pub(super) elem_flags: u64,
    pub(super) flags: u64,
}

/// `BPF_PROG_LOAD`
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgLoad {
    pub(super) prog_type: u32,
    pub(super) insn_cnt: u32,
    pub(super) insns: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log_buf: u64,
    pub(super) kern_version: u32,
    pub(super) prog_flags: u32,
    pub(super) prog_name: [u8; 16],
    pub(super) prog_ifindex: u32,
    pub(super) expected_attach_type: u32,
    pub(super) prog_btf_fd: u32,
    pub(super) func_info_rec_size: u32,
    pub(super) func_info: u64,
    pub(super) func_info_cnt: u32,
    pub(super) line_info_rec_size: u32,
    pub(super) line_info: u64,
    pub(super) line_info_cnt: u32,
    pub(super) attach_btf_id: u32,
    pub(super) attach_prog_fd: u32,
    pub(super) core_relo_cnt: u32,
}

/// `BPF_LINK_CREATE` for `uprobe_multi`
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkUprobeMulti {
    pub(super) prog_fd: u32,
    pub(super) target_fd: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) path: u64,
    pub(super) offsets: u64,
    pub(super) ref_ctr_offsets: u64,
    pub(super) cookies: u64,
    pub(super) cnt: u32,
    pub(super) multi_flags: u32,
    pub(super) pid: u32,
    pub(super) padding: u32,
}

/// `BPF_LINK_CREATE` for a perf event
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkPerf {
    pub(super) prog_fd: u32,
    pub(super) target_fd: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) cookie: u64,
}

/// `struct perf_event_attr` of include/uapi/linux/perf_event.h, as far as `PERF_ATTR_SIZE_VER1` goes; its members of bits
/// are in `flags`.
#[repr(C)]
#[derive(Default)]
pub(super) struct PerfEvent {
    pub(super) event_type: u32,
    pub(super) size: u32,
    /// Above bit 32 the offset of a semaphore; bit 0 is set for returns.
    pub(super) config: u64,
    pub(super) sample_period: u64,
    pub(super) sample_type: u64,
    pub(super) read_format: u64,
    pub(super) flags: u64,
    pub(super) wakeup_events: u32,
    pub(super) bp_type: u32,
    pub(super) uprobe_path: u64,
    pub(super) probe_offset: u64,
}

/// `BPF_LINK_CREATE` for an iterator
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkIter {
    pub(super) prog_fd: u32,
    pub(super) target_fd: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) iter_info: u64,
    pub(super) iter_info_len: u32,
    pub(super) padding: u32,
}

/// `union bpf_iter_link_info`, its member for tasks
#[repr(C)]
#[derive(Default)]
pub(super) struct IterTask {
    pub(super) tid: u32,
    pub(super) pid: u32,
    pub(super) pid_fd: u32,
    pub(super) padding: u32,
}

/// `BPF_RAW_TRACEPOINT_OPEN`
#[repr(C)]
#[derive(Default)]
pub(super) struct RawTracepoint {
    pub(super) name: u64,
    pub(super) prog_fd: u32,
    pub(super) padding: u32,
}

/// `BPF_ITER_CREATE`
#[repr(C)]
#[derive(Default)]
pub(super) struct IterCreate {
    pub(super) link_fd: u32,
    pub(super) flags: u32,
}

/// `BPF_BTF_LOAD`
#[repr(C)]
#[derive(Default)]
pub(super) struct BtfLoad {
    pub(super) btf: u64,
    pub(super) btf_log_buf: u64,
    pub(super) btf_size: u32,
    pub(super) btf_log_size: u32,
    pub(super) btf_log_level: u32,
    pub(super) btf_log_true_size: u32,
}

/// `struct perf_event_attr` (include/uapi/linux/perf_event.h) up to `sample_max_stack`, for events that are no samples.
#[repr(C)]
#[derive(Default)]
pub(super) struct SideBand {
    pub(super) kind: u32,
    pub(super) size: u32,
    pub(super) config: u64,
    pub(super) sample_period: u64,
    pub(super) sample_type: u64,
    pub(super) read_format: u64,
    pub(super) flags: u64,
    pub(super) wakeup_events: u32,
    pub(super) bp_type: u32,
    pub(super) config1: u64,
    pub(super) config2: u64,
    pub(super) branch_sample_type: u64,
    pub(super) sample_regs_user: u64,
    pub(super) sample_stack_user: u32,
    pub(super) clockid: i32,
    pub(super) sample_regs_intr: u64,
    pub(super) aux_watermark: u32,
    pub(super) sample_max_stack: u16,
    pub(super) reserved: u16,
}

/// `PERF_TYPE_SOFTWARE`, `PERF_COUNT_SW_DUMMY`, `PERF_SAMPLE_TIME`, `PERF_FLAG_FD_CLOEXEC`.
pub(super) const PERF_SOFTWARE: u32 = 1;
pub(super) const PERF_DUMMY: u64 = 9;
pub(super) const PERF_TIME: u64 = 1 << 2;
pub(super) const PERF_CLOEXEC: u64 = 1 << 3;
/// Flags of [`SideBand`]: `exclude_kernel`, `exclude_hv`, `mmap`, `comm`, `task`, `sample_id_all`, `mmap2`, `comm_exec`,
/// `use_clockid`.
pub(super) const PERF_FLAGS: u64 = 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 13 | 1 << 18 | 1 << 23 | 1 << 24 | 1 << 25;
/// Flag of [`SideBand`]: `build_id` (Linux 5.12).
pub(super) const PERF_BUILD_ID: u64 = 1 << 34;
/// Where a ring's first page holds how far was written, and how far was read (`struct perf_event_mmap_page`).
pub(super) const PERF_HEAD: usize = 1024;
pub(super) const PERF_TAIL: usize = 1032;

/// Bit of a ring record's length: it is still being written.
pub(super) const RINGBUF_BUSY: u32 = 1 << 31;
/// Bit of a ring record's length: it was given up.
pub(super) const RINGBUF_DISCARD: u32 = 1 << 30;
/// Bytes before a ring record: length, page offset.
pub(super) const RINGBUF_HEADER: u64 = 8;
