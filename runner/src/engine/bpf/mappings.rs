//! Owns watching what processes map as code, fork and execute: the side band of perf events, on every cpu, in the order
//! in which it happened. Tells nothing of what was mapped before it began. No event is sampled: a process pays only
//! when it maps code.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use ctp_lang::debuginfo::facts::BuildId;

use super::abi::{PERF_BUILD_ID, PERF_FLAGS, PERF_HEAD, PERF_TAIL};
use super::facts::possible_cpus;
use super::sys::{self, PAGE, Shared};

/// Pages of records of each cpu; a power of two.
const PAGES: usize = 32;
/// The kinds of records (`enum perf_event_type`).
const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const FORK: u32 = 7;
const MMAP2: u32 = 10;
/// `PERF_RECORD_MISC_COMM_EXEC`, `PERF_RECORD_MISC_MMAP_BUILD_ID`.
const MISC_EXEC: u16 = 1 << 13;
const MISC_BUILD_ID: u16 = 1 << 14;
/// Bytes before a record: kind, flags, size.
const HEADER: usize = 8;
/// Bytes of the time behind a record.
const TIME: usize = 8;

/// Something that a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// `CLOCK_MONOTONIC` in ns.
    pub time: u64,
    /// Process id, as this process' pid namespace has it.
    pub pid: u32,
    /// What.
    pub what: What,
}

/// What a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was forked by that process.
    Forked(u32),
    /// It executed another program.
    Executed,
    /// It mapped code.
    Mapped(Mapped),
    /// Its first thread ended, which others may outlive.
    Ended,
}

/// Code that was mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where it begins.
    pub start: u64,
    /// Behind its end.
    pub end: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// The file's path as the process saw it; in brackets or behind `//` what is no file.
    pub path: String,
    /// The file's build id, where the kernel could read it.
    pub build_id: Option<BuildId>,
    /// The file's inode, where the kernel gave it instead.
    pub inode: Option<u64>,
}

/// The rings, open.
#[derive(Debug)]
pub struct Watch {
    rings: Vec<(OwnedFd, Shared)>,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// As the kernel refuses: it takes `CAP_PERFMON`.
    pub fn start() -> io::Result<Watch> {
        let mut rings = Vec::new();
        for cpu in 0..i32::try_from(possible_cpus()?).unwrap_or(i32::MAX) {
            // Before 5.12 there are no build ids.
            let opened = sys::open_side_band(cpu, PERF_FLAGS | PERF_BUILD_ID);
            let opened = match opened {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => sys::open_side_band(cpu, PERF_FLAGS),
                opened => opened,
            };
            match opened {
                Ok(ring) => {
                    let memory = Shared::ring(ring.as_fd(), PAGES)?;
                    rings.push((ring, memory));
                }
                // A cpu that is possible and not there.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Watch { rings })
    }

    /// What happened since it was last asked, in order; and whether some of it was lost.
    pub fn take(&mut self) -> (Vec<Happened>, bool) {
        let (mut happened, mut lost) = (Vec::new(), false);
        for (_, ring) in &self.rings {
            lost |= !read(ring, &mut happened);
        }
        happened.sort_by_key(|one| one.time);
        (happened, lost)
    }
}

/// Reads a ring empty; false where records were lost, or make no sense.
fn read(ring: &Shared, out: &mut Vec<Happened>) -> bool {
    let (Some(head), Some(tail)) = (ring.position(PERF_HEAD), ring.position(PERF_TAIL)) else { return false };
    let size = (PAGES * PAGE) as u64;
    let (written, mut at) = (head.load(Ordering::Acquire), tail.load(Ordering::Relaxed));
    let mut whole = written.wrapping_sub(at) <= size;
    let mut record = Vec::new();
    while whole && at < written {
        record.clear();
        let copied = copy(ring, at, HEADER, &mut record);
        let length = half(&record, 6).map_or(0, usize::from);
        if !copied || length < HEADER || length as u64 > written.wrapping_sub(at) {
            whole = false;
            break;
        }
        record.clear();
        whole &= copy(ring, at, length, &mut record);
        match parse(&record) {
            Parsed::Happened(one) => out.push(one),
            Parsed::Nothing => {}
            Parsed::Lost => whole = false,
        }
        at = at.wrapping_add(length as u64);
    }
    tail.store(written, Ordering::Release);
    whole
}

fn copy(ring: &Shared, at: u64, length: usize, out: &mut Vec<u8>) -> bool {
    let start = usize::try_from(at & ((PAGES * PAGE) as u64 - 1)).unwrap_or(0);
    let first = length.min(PAGES * PAGE - start);
    ring.copy(PAGE + start, first, out) && ring.copy(PAGE, length - first, out)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

enum Parsed {
    Happened(Happened),
    Nothing,
    Lost,
}

fn parse(record: &[u8]) -> Parsed {
    let (Some(kind), Some(misc)) = (word(record, 0), half(record, 4)) else { return Parsed::Lost };
    let what = match kind {
        LOST => return Parsed::Lost,
        // A thread is forked by its own process.
        FORK => word(record, 12).filter(|parent| Some(*parent) != word(record, 8)).map(What::Forked),
        EXIT => word(record, 16).filter(|thread| Some(*thread) == word(record, 8)).map(|_| What::Ended),
        COMM if misc & MISC_EXEC != 0 => Some(What::Executed),
        MMAP2 => mapped(record, misc).map(What::Mapped),
        _ => None,
    };
    let time = record.len().checked_sub(TIME).and_then(|at| long(record, at));
    match (what, word(record, 8), time) {
        (Some(what), Some(pid), Some(time)) => Parsed::Happened(Happened { time, pid, what }),
        (Some(_), _, _) | (None, _, _) => Parsed::Nothing,
    }
}

/// `PERF_RECORD_MMAP2`: pid, tid, address, length, offset, the file, protection, flags, path.
fn mapped(record: &[u8], misc: u16) -> Option<Mapped> {
    let (start, length, offset) = (long(record, 16)?, long(record, 24)?, long(record, 32)?);
    let build_id = (misc & MISC_BUILD_ID != 0).then(|| {
        let size = usize::from(*record.get(40)?).min(20);
        record.get(44..44 + size).map(|bytes| BuildId(bytes.to_vec()))
    });
    let inode = if build_id.is_some() { None } else { long(record, 48).filter(|inode| *inode != 0) };
    let path = record.get(72..record.len().checked_sub(TIME)?)?;
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Mapped {
        start,
        end: start.checked_add(length)?,
        offset,
        path: String::from_utf8_lossy(path).into_owned(),
        build_id: build_id.flatten(),
        inode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_cut_anywhere_are_no_panic() {
        let mut record = [0u8; 96];
        record[0] = 10;
        record[5] = 0x40;
        record[40] = 255;
        for length in 0..record.len() {
            parse(&record[..length]);
        }
    }

    #[test]
    fn what_a_child_maps_is_told_in_order() {
        let mut watch = Watch::start().unwrap();
        watch.take();
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let (happened, lost) = watch.take();
        assert!(!lost);
        let own: Vec<&Happened> = happened.iter().filter(|one| one.pid == pid).collect();
        assert_eq!(own.first().map(|one| &one.what), Some(&What::Forked(std::process::id())));
        let executed = own.iter().position(|one| one.what == What::Executed).unwrap();
        let program = std::fs::canonicalize("/bin/true").unwrap();
        let mapped = own.iter().position(|one| {
            matches!(&one.what, What::Mapped(mapped) if mapped.path == program.to_str().unwrap() && mapped.start < mapped.end)
        });
        assert!(mapped.unwrap() > executed);
        assert_eq!(own.last().map(|one| &one.what), Some(&What::Ended));
    }
}
