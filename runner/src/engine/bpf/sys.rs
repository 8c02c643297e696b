//! Owns `bpf(2)` and memory shared with the kernel: the only unsafe code of the engine. Each function checks what the
//! kernel would otherwise read or write past; nothing here knows what is traced.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

use super::abi::*;

/// Calls `bpf(2)` with one of the structures of [`super::abi`].
///
/// # Safety
/// Every address in `attr` must be good for as many bytes as the command reads or writes there.
unsafe fn bpf<T>(command: Command, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is a live structure of the size given; what it points to is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attr), size_of::<T>() as libc::c_ulong)
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Like [`bpf`], for commands that give a descriptor.
///
/// # Safety
/// As for [`bpf`]; the command must be one that gives a new descriptor.
unsafe fn bpf_fd<T>(command: Command, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attr)? };
    // SAFETY: the kernel just gave this descriptor to us alone (it is close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

fn address_mut<T>(slice: &mut [T]) -> u64 {
    slice.as_mut_ptr() as u64
}

fn count<T>(slice: &[T]) -> io::Result<u32> {
    u32::try_from(slice.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// A name as the kernel takes it: at most 15 letters, digits, `_` and `.`.
pub(super) fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let allowed = name.bytes().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    for (to, from) in bytes.iter_mut().take(15).zip(allowed) {
        *to = from;
    }
    bytes
}

/// A map with the sizes that the kernel reads and writes.
#[derive(Debug)]
pub(super) struct Map {
    fd: OwnedFd,
    key_size: usize,
    /// As user space sees a value: one per possible cpu for a per-cpu map.
    value_size: usize,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// Creates a map; `copies` is the number of possible cpus for a per-cpu map, else 1.
    pub(super) fn create(mut attr: MapCreate, copies: usize) -> io::Result<Map> {
        let key_size = attr.key_size as usize;
        let value_size = match copies {
            1 => attr.value_size as usize,
            _ => (attr.value_size as usize).next_multiple_of(8) * copies,
        };
        // SAFETY: the structure holds no address.
        let fd = unsafe { bpf_fd(Command::MapCreate, &mut attr)? };
        Ok(Map { fd, key_size, value_size })
    }

    /// The same map by another descriptor.
    pub(super) fn try_clone(&self) -> io::Result<Map> {
        Ok(Map { fd: self.fd.try_clone()?, key_size: self.key_size, value_size: self.value_size })
    }

    /// Bytes of a value as user space sees it.
    pub(super) fn value_size(&self) -> usize {
        self.value_size
    }

    fn check(&self, key: &[u8]) -> io::Result<()> {
        if key.len() == self.key_size { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    fn elem(&self, key: u64, value: u64, flags: u64) -> MapElem {
        MapElem { map_fd: raw(self.fd.as_fd()), padding: 0, key, value, flags }
    }

    /// The value of a key; `None` where there is none.
    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.check(key)?;
        let mut value = vec![0; self.value_size];
        let mut attr = self.elem(address(key), address_mut(&mut value), 0);
        // SAFETY: the kernel reads `key_size` bytes (checked) and writes `value_size` bytes, which `value` has.
        match unsafe { bpf(Command::MapLookupElem, &mut attr) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value of a key.
    pub(super) fn set(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check(key)?;
        if value.len() != self.value_size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attr = self.elem(address(key), address(value), flags);
        // SAFETY: both are as long as the kernel reads (checked).
        unsafe { bpf(Command::MapUpdateElem, &mut attr) }.map(drop)
    }

    /// Removes a key; whether it was there.
    pub(super) fn remove(&self, key: &[u8]) -> io::Result<bool> {
        self.check(key)?;
        let mut attr = self.elem(address(key), 0, 0);
        // SAFETY: the key is as long as the kernel reads (checked).
        match unsafe { bpf(Command::MapDeleteElem, &mut attr) } {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All entries of a hash map, read in batches (kernel 5.6): keys, values. `most` entries are made room for at
    /// first; where a bucket holds more, room is doubled.
    pub(super) fn entries(&self, most: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut room = most.clamp(64, 4096);
        let mut entries = Vec::new();
        // For a hash map the place to go on from is a `u32` bucket; the kernel copies no more than 4 bytes.
        let (mut from, mut to) = ([0u8; 8], [0u8; 8]);
        let mut first = true;
        loop {
            let mut keys = vec![0u8; room * self.key_size];
            let mut values = vec![0u8; room * self.value_size];
            let mut attr = MapBatch {
                in_batch: if first { 0 } else { address(&from) },
                out_batch: address_mut(&mut to),
                keys: address_mut(&mut keys),
                values: address_mut(&mut values),
                count: u32::try_from(room).unwrap_or(0),
                map_fd: raw(self.fd.as_fd()),
                elem_flags: 0,
                flags: 0,
            };
            // SAFETY: `keys` and `values` have room for `count` of each, `from` and `to` for the 4 bytes of a bucket.
            let result = unsafe { bpf(Command::MapLookupBatch, &mut attr) };
            let found = (attr.count as usize).min(room);
            let finished = match result {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    room = room.saturating_mul(2);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let keys = keys.chunks_exact(self.key_size.max(1));
            let values = values.chunks_exact(self.value_size.max(1));
            entries.extend(keys.zip(values).take(found).map(|(key, value)| (key.to_vec(), value.to_vec())));
            if finished {
                return Ok(entries);
            }
            from = to;
            first = false;
        }
    }

    /// User space writes no more either.
    pub(super) fn freeze(&self) -> io::Result<()> {
        let mut attr = self.elem(0, 0, 0);
        // SAFETY: the command reads only the descriptor; the other members must be 0.
        unsafe { bpf(Command::MapFreeze, &mut attr) }.map(drop)
    }

    /// Maps its memory, from page `page` on, `length` bytes.
    pub(super) fn share(&self, length: usize, page: usize, writable: bool) -> io::Result<Shared> {
        Shared::new(self.fd.as_fd(), length, page, writable)
    }
}

/// What a program is loaded as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A sleepable handler for `uprobe_multi` links.
    Uprobe,
    /// A sleepable handler for links of uprobe sessions.
    UprobeSession,
    /// A sleepable handler for perf events.
    UprobeEvent,
    /// An iterator: the BTF id of its `bpf_iter_…` function.
    Iterator(u32),
    /// A handler of a raw tracepoint.
    RawTracepoint,
}

/// Loads a program; with `log`, what the verifier says is left there.
pub(super) fn load_program(
    kind: Kind,
    name: &str,
    insns: &[[u8; 8]],
    log: Option<&mut Vec<u8>>,
) -> io::Result<OwnedFd> {
    let licence: &CStr = c"Dual MIT/GPL";
    let mut attr = ProgLoad {
        insn_cnt: count(insns)?,
        insns: address(insns),
        license: licence.as_ptr() as u64,
        prog_name: object_name(name),
        ..ProgLoad::default()
    };
    match kind {
        Kind::Uprobe => {
            attr.prog_type = PROG_TYPE_KPROBE;
            attr.prog_flags = F_SLEEPABLE;
            attr.expected_attach_type = TRACE_UPROBE_MULTI;
        }
        Kind::UprobeSession => {
            attr.prog_type = PROG_TYPE_KPROBE;
            attr.prog_flags = F_SLEEPABLE;
            attr.expected_attach_type = TRACE_UPROBE_SESSION;
        }
        Kind::UprobeEvent => {
            attr.prog_type = PROG_TYPE_KPROBE;
            attr.prog_flags = F_SLEEPABLE;
        }
        Kind::Iterator(btf_id) => {
            attr.prog_type = PROG_TYPE_TRACING;
            attr.expected_attach_type = TRACE_ITER;
            attr.attach_btf_id = btf_id;
        }
        Kind::RawTracepoint => attr.prog_type = PROG_TYPE_RAW_TRACEPOINT,
    }
    if let Some(log) = log {
        attr.log_level = 1;
        attr.log_size = count(log)?;
        attr.log_buf = address_mut(log);
    }
    // SAFETY: instructions, licence and log are live and as long as said; the licence ends in NUL.
    unsafe { bpf_fd(Command::ProgLoad, &mut attr) }
}

/// Attaches a program at offsets of a file, each with its cookie; in all processes, or in one. One loaded as
/// [`Kind::UprobeSession`] runs at the entry of what is there and at its return.
pub(super) fn link_uprobes(
    (program, session): (BorrowedFd<'_>, bool),
    pid: Option<u32>,
    path: &CStr,
    offsets: &[u64],
    cookies: &[u64],
    semaphores: &[u64],
) -> io::Result<OwnedFd> {
    let any_semaphore = semaphores.iter().any(|semaphore| *semaphore != 0);
    if offsets.len() != cookies.len() || any_semaphore && offsets.len() != semaphores.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = LinkUprobeMulti {
        prog_fd: raw(program),
        attach_type: if session { TRACE_UPROBE_SESSION } else { TRACE_UPROBE_MULTI },
        path: path.as_ptr() as u64,
        offsets: address(offsets),
        cookies: address(cookies),
        ref_ctr_offsets: if any_semaphore { address(semaphores) } else { 0 },
        cnt: count(offsets)?,
        pid: pid.unwrap_or(0),
        ..LinkUprobeMulti::default()
    };
    // SAFETY: the path ends in NUL; the arrays hold `cnt` numbers each (checked).
    unsafe { bpf_fd(Command::LinkCreate, &mut attr) }
}

/// Opens a perf event that fires at an offset of a file, in all processes; nobody reads it.
pub(super) fn open_uprobe_event(event_type: u32, path: &CStr, offset: u64, semaphore: u64) -> io::Result<OwnedFd> {
    let mut attr = PerfEvent {
        event_type,
        size: u32::try_from(size_of::<PerfEvent>()).unwrap_or(0),
        config: semaphore << 32,
        uprobe_path: path.as_ptr() as u64,
        probe_offset: offset,
        ..PerfEvent::default()
    };
    let (every_process, first_cpu, no_group): (libc::c_long, libc::c_long, libc::c_long) = (-1, 0, -1);
    // A program that is attached to such an event runs on all cpus, whichever is named here (`__uprobe_perf_func` of
    // kernel/trace/trace_uprobe.c).
    // SAFETY: `attr` is live and as long as its member says; the path ends in NUL.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_mut(&mut attr),
            every_process,
            first_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    match i32::try_from(result) {
        // SAFETY: the kernel just gave this descriptor to us alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Attaches a program to a perf event, with a cookie (Linux 5.15).
pub(super) fn link_perf_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = LinkPerf { prog_fd: raw(program), target_fd: raw(event), attach_type: PERF_EVENT, flags: 0, cookie };
    // SAFETY: the structure holds no address.
    unsafe { bpf_fd(Command::LinkCreate, &mut attr) }
}

/// Attaches a program to a tracepoint of the kernel by its name.
pub(super) fn open_raw_tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let mut attr = RawTracepoint { name: name.as_ptr() as u64, prog_fd: raw(program), padding: 0 };
    // SAFETY: the name ends in NUL.
    unsafe { bpf_fd(Command::RawTracepointOpen, &mut attr) }
}

/// Opens an iterator over what belongs to one process: reading it runs the program.
pub(super) fn open_iterator(program: BorrowedFd<'_>, pid: u32) -> io::Result<OwnedFd> {
    let info = [IterTask { pid, ..IterTask::default() }];
    let mut attr = LinkIter {
        prog_fd: raw(program),
        attach_type: TRACE_ITER,
        iter_info: address(&info),
        iter_info_len: u32::try_from(size_of::<IterTask>()).unwrap_or(0),
        ..LinkIter::default()
    };
    // SAFETY: `info` is live and as long as said.
    let link = unsafe { bpf_fd(Command::LinkCreate, &mut attr)? };
    let mut attr = IterCreate { link_fd: raw(link.as_fd()), flags: 0 };
    // SAFETY: the structure holds no address.
    unsafe { bpf_fd(Command::IterCreate, &mut attr) }
}

/// Opens a ring that tells what every process maps, forks and executes on one cpu; `flags` as in
/// [`super::abi::PERF_FLAGS`].
pub(super) fn open_side_band(cpu: i32, flags: u64) -> io::Result<OwnedFd> {
    let attr = SideBand {
        kind: PERF_SOFTWARE,
        size: u32::try_from(size_of::<SideBand>()).unwrap_or(0),
        config: PERF_DUMMY,
        sample_type: PERF_TIME,
        flags,
        clockid: libc::CLOCK_MONOTONIC,
        ..SideBand::default()
    };
    let (attr, any_process, no_group) = (std::ptr::from_ref(&attr), -1i64, -1i64);
    // SAFETY: the structure is live and as long as it says; it holds no address.
    let result =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attr, any_process, i64::from(cpu), no_group, PERF_CLOEXEC) };
    match i32::try_from(result) {
        // SAFETY: the kernel just gave this descriptor to us alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Loads BTF.
pub(super) fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = BtfLoad { btf: address(btf), btf_size: count(btf)?, ..BtfLoad::default() };
    // SAFETY: the bytes are live and as long as said.
    unsafe { bpf_fd(Command::BtfLoad, &mut attr) }
}

/// A file mapped privately that nobody changes.
#[derive(Debug)]
pub(super) struct Constant {
    start: NonNull<u8>,
    length: usize,
}

impl Constant {
    /// Maps the first `length` bytes of the kernel's BTF.
    pub(super) fn map(btf: BorrowedFd<'_>, length: usize) -> io::Result<Constant> {
        Ok(Constant { start: map(btf, length, 0, libc::PROT_READ, libc::MAP_PRIVATE)?, length })
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `length` bytes long, readable and lives as long as `self`; the kernel's BTF is in its
        // read-only data.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Constant {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `map` and nothing that borrows from it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Maps `length` bytes of a file from page `page` on.
fn map(fd: BorrowedFd<'_>, length: usize, page: usize, protection: i32, sharing: i32) -> io::Result<NonNull<u8>> {
    let offset = libc::off_t::try_from(page * PAGE).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, sharing, fd.as_raw_fd(), offset) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::Other.into())
}

/// Memory that the kernel writes too.
#[derive(Debug)]
pub(super) struct Shared {
    start: NonNull<u8>,
    length: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to the process, not to a thread; it is only accessed atomically or copied from.
unsafe impl Send for Shared {}

/// Bytes of a page on x86-64.
pub(super) const PAGE: usize = 4096;

impl Shared {
    /// Maps the first page of a file, only to see what the kernel makes of it; nothing is read.
    pub(super) fn peek(fd: BorrowedFd<'_>) -> io::Result<Shared> {
        Shared::new(fd, PAGE, 0, false)
    }

    /// Maps a ring of [`open_side_band`]: a page of positions, then `pages` of records.
    pub(super) fn ring(fd: BorrowedFd<'_>, pages: usize) -> io::Result<Shared> {
        Shared::new(fd, (1 + pages) * PAGE, 0, true)
    }

    /// Its address.
    pub(super) fn start(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    fn new(fd: BorrowedFd<'_>, length: usize, page: usize, writable: bool) -> io::Result<Shared> {
        let protection = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        Ok(Shared { start: map(fd, length, page, protection, libc::MAP_SHARED)?, length, writable })
    }

    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        (end <= self.length && offset.is_multiple_of(align_of::<T>()))
            // SAFETY: within the mapping (checked).
            .then(|| unsafe { self.start.as_ptr().add(offset).cast() })
    }

    /// 8 bytes that others change too; writing them needs a writable mapping.
    pub(super) fn number(&self, offset: usize) -> Option<&AtomicI64> {
        if !self.writable {
            return None;
        }
        // SAFETY: within the mapping and aligned (`place`), writable, and as long-lived as `self`.
        self.place(offset).map(|place| unsafe { AtomicI64::from_ptr(place) })
    }

    /// 8 bytes of a ring's position; only loads and, in a writable mapping, stores are done there.
    pub(super) fn position(&self, offset: usize) -> Option<&AtomicU64> {
        // SAFETY: within the mapping and aligned (`place`), and as long-lived as `self`; an atomic load of 8 bytes is
        // a plain load on x86-64 and needs no right to write.
        self.place(offset).map(|place| unsafe { AtomicU64::from_ptr(place) })
    }

    /// 4 bytes of a ring's record header; only loads are done there.
    pub(super) fn word(&self, offset: usize) -> Option<&AtomicU32> {
        // SAFETY: as for `position`.
        self.place(offset).map(|place| unsafe { AtomicU32::from_ptr(place) })
    }

    /// Appends a copy of bytes that the kernel no longer changes; false where they lie outside.
    pub(super) fn copy(&self, offset: usize, length: usize, out: &mut Vec<u8>) -> bool {
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.length);
        if inside {
            // SAFETY: within the mapping (checked). The kernel writes a record only before it clears the record's busy
            // bit, and its room again only after the consumer's position passed it.
            out.extend_from_slice(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), length) });
        }
        inside
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `new` and nothing that borrows from it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
