//! Owns what processes have mapped as code, and when: what `/proc` showed when a process was first seen, and all that
//! happened from then on. A record is read later than it was written; what holds for it is what was mapped then.

use std::collections::HashMap;
use std::sync::Arc;

use ctp_lang::debuginfo::facts::BuildId;

use crate::engine::bpf::mappings::{Happened, Mapped, What};

/// The most processes that are remembered; a machine that makes more forgets those not seen for the longest.
const MOST_PROCESSES: usize = 16_384;
/// The most mappings of one process.
const MOST_MAPPINGS: usize = 8_192;
/// The most lines of `/proc/PID/maps` that are looked at.
const MOST_LINES: usize = 131_072;

/// Which file is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    /// Its path as the process saw it.
    pub(super) path: Arc<str>,
    /// Its build id, where the kernel gave that.
    pub(super) build_id: Option<BuildId>,
    /// Its inode number, where the kernel gave that.
    pub(super) inode: Option<u64>,
}

/// Code that is mapped.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) file: FileKey,
    /// From when on.
    since: u64,
}

/// One process.
#[derive(Clone, Debug, Default)]
struct Process {
    /// When it executed programs, rising.
    executed: Vec<u64>,
    /// By time.
    mappings: Vec<Mapping>,
    /// Whether all that it had mapped when it was first seen is among them.
    whole: bool,
    /// When it was last asked about, by a count.
    asked: u64,
    /// When it ended, as far as is known.
    ended: Option<u64>,
}

/// What processes have mapped.
#[derive(Debug, Default)]
pub(super) struct History {
    processes: HashMap<u32, Process>,
    paths: HashMap<String, Arc<str>>,
    count: u64,
}

impl History {
    /// Takes what happened.
    pub(super) fn add(&mut self, happened: Happened) {
        let Happened { time, pid, what } = happened;
        self.count += 1;
        let count = self.count;
        if let Some(known) = self.processes.get_mut(&pid) {
            known.ended = (what == What::Ended).then_some(time);
        }
        match what {
            What::Ended => {}
            What::Forked(parent) => {
                // Whoever had the number before is no more.
                let process = self.processes.get(&parent).cloned().unwrap_or_default();
                self.processes.insert(pid, Process { asked: count, ended: None, ..process });
            }
            What::Executed => {
                let process = self.processes.entry(pid).or_default();
                process.executed.push(time);
                // From here on everything is told.
                process.whole = true;
                process.asked = count;
                let first = process.executed.get(process.executed.len().saturating_sub(4)).copied().unwrap_or(0);
                process.mappings.retain(|mapping| mapping.since >= first);
            }
            What::Mapped(mapped) => {
                let mapping = self.mapping(&mapped, time);
                let process = self.processes.entry(pid).or_default();
                process.asked = count;
                if process.mappings.len() >= MOST_MAPPINGS {
                    let half = process.mappings.len() / 2;
                    process.mappings.drain(..half);
                    process.whole = false;
                }
                let at = process.mappings.partition_point(|known| known.since <= time);
                process.mappings.insert(at, mapping);
            }
        }
        if self.processes.len() > MOST_PROCESSES {
            let mut asked: Vec<u64> = self.processes.values().map(|process| process.asked).collect();
            asked.sort_unstable();
            let middle = asked.get(asked.len() / 2).copied().unwrap_or(0);
            self.processes.retain(|_, process| process.asked > middle);
        }
    }

    /// Forgets processes that ended before this moment, and paths that nobody maps.
    pub(super) fn forget_ended(&mut self, before: u64) {
        self.processes.retain(|_, process| process.ended.is_none_or(|ended| ended >= before));
        self.paths.retain(|_, path| Arc::strong_count(path) > 1);
    }

    /// Forgets all: some of what happened was lost.
    pub(super) fn forget(&mut self) {
        self.processes.clear();
    }

    fn mapping(&mut self, mapped: &Mapped, since: u64) -> Mapping {
        let path = match self.paths.get(&mapped.path) {
            Some(known) => Arc::clone(known),
            None => {
                if self.paths.len() >= MOST_LINES {
                    self.paths.clear();
                }
                let path: Arc<str> = Arc::from(mapped.path.as_str());
                self.paths.insert(mapped.path.clone(), Arc::clone(&path));
                path
            }
        };
        let file = FileKey { path, build_id: mapped.build_id.clone(), inode: mapped.inode };
        Mapping { start: mapped.start, end: mapped.end, offset: mapped.offset, file, since }
    }

    /// Whether all that a process had mapped is known.
    pub(super) fn is_whole(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.whole)
    }

    /// Takes what `/proc/PID/maps` shows of a process that was not known before.
    pub(super) fn look(&mut self, pid: u32, maps: &[u8]) {
        let found: Vec<Mapping> = maps
            .split(|byte| *byte == b'\n')
            .take(MOST_LINES)
            .filter_map(line)
            .take(MOST_MAPPINGS)
            .map(|mapped| self.mapping(&mapped, 0))
            .collect();
        self.count += 1;
        let (count, process) = (self.count, self.processes.entry(pid).or_default());
        let last = process.executed.last().copied().unwrap_or(0);
        let later = process.mappings.split_off(process.mappings.partition_point(|known| known.since <= last));
        process.mappings = found.into_iter().map(|mapping| Mapping { since: last, ..mapping }).collect();
        process.mappings.extend(later);
        process.whole = true;
        process.asked = count;
    }

    /// The files that a process is known to have mapped.
    pub(super) fn files(&self, pid: u32) -> Vec<FileKey> {
        let mappings = self.processes.get(&pid).into_iter().flat_map(|process| &process.mappings);
        mappings.map(|mapping| mapping.file.clone()).collect()
    }

    /// What a process had mapped at an address, then.
    pub(super) fn at(&self, pid: u32, address: u64, time: u64) -> Option<&Mapping> {
        let process = self.processes.get(&pid)?;
        let executed = process.executed.iter().rev().find(|at| **at <= time).copied().unwrap_or(0);
        let then = process.mappings.iter().rev().filter(|mapping| mapping.since >= executed && mapping.since <= time);
        then.into_iter().find(|mapping| (mapping.start..mapping.end).contains(&address))
    }
}

/// A line of `/proc/PID/maps` that maps code (proc_pid_maps(5)): address, permissions, offset, device, inode, path.
fn line(line: &[u8]) -> Option<Mapped> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (range, permissions, offset, _, inode) = (field()?, field()?, field()?, field()?, field()?);
    let path = fields.next().unwrap_or_default();
    let (start, end) = range.split_once('-')?;
    if permissions.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(Mapped {
        start: hexadecimal(start)?,
        end: hexadecimal(end)?,
        offset: hexadecimal(offset)?,
        path: String::from_utf8_lossy(path.trim_ascii_start()).into_owned(),
        build_id: None,
        inode: inode.trim().parse().ok().filter(|inode| *inode != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(start: u64, path: &str) -> What {
        let path = path.to_owned();
        What::Mapped(Mapped { start, end: start + 0x1000, offset: 0, path, build_id: None, inode: Some(1) })
    }

    fn path(history: &History, pid: u32, address: u64, time: u64) -> Option<String> {
        history.at(pid, address, time).map(|mapping| mapping.file.path.to_string())
    }

    #[test]
    fn what_was_mapped_then_is_what_counts() {
        let mut history = History::default();
        let mut add = |time, pid, what| history.add(Happened { time, pid, what });
        add(10, 7, What::Executed);
        add(11, 7, mapped(0x1000, "/old"));
        add(20, 7, mapped(0x1000, "/new"));
        add(25, 8, What::Forked(7));
        add(30, 7, What::Executed);
        add(31, 7, mapped(0x5000, "/other"));
        let at = |pid, address, time| path(&history, pid, address, time);
        assert_eq!(at(7, 0x1800, 15).as_deref(), Some("/old"));
        assert_eq!(at(7, 0x1800, 25).as_deref(), Some("/new"));
        assert_eq!(at(7, 0x1800, 35), None);
        assert_eq!(at(7, 0x5000, 35).as_deref(), Some("/other"));
        assert_eq!(at(7, 0x5000, 25), None);
        assert_eq!(at(8, 0x1000, 40).as_deref(), Some("/new"));
        assert_eq!(at(9, 0x1000, 40), None);
    }

    #[test]
    fn who_has_ended_is_forgotten_after_a_while() {
        let mut history = History::default();
        history.add(Happened { time: 10, pid: 7, what: mapped(0x1000, "/gone") });
        history.add(Happened { time: 10, pid: 8, what: mapped(0x1000, "/stays") });
        history.add(Happened { time: 40, pid: 7, what: What::Ended });
        history.forget_ended(40);
        assert_eq!(path(&history, 7, 0x1000, 39).as_deref(), Some("/gone"));
        history.forget_ended(41);
        assert_eq!((history.processes.len(), history.paths.len()), (1, 1));
        assert_eq!(path(&history, 8, 0x1000, 50).as_deref(), Some("/stays"));
    }

    #[test]
    fn what_proc_shows_lies_under_what_happened_since() {
        let mut history = History::default();
        history.add(Happened { time: 50, pid: 7, what: mapped(0x9000, "/dlopened") });
        assert!(!history.is_whole(7));
        history.look(7, b"1000-2000 r-xp 00001000 fe:00 42     /app/a b\n3000-4000 rw-p 0 00:00 0\nnonsense\n");
        assert!(history.is_whole(7));
        assert_eq!(path(&history, 7, 0x1000, 60).as_deref(), Some("/app/a b"));
        assert_eq!(history.at(7, 0x1000, 1).map(|mapping| mapping.offset), Some(0x1000));
        assert_eq!(path(&history, 7, 0x3000, 60), None);
        assert_eq!(path(&history, 7, 0x9000, 60).as_deref(), Some("/dlopened"));
    }

    #[test]
    fn a_machine_full_of_processes_does_not_fill_ctp() {
        let mut history = History::default();
        for pid in 0..40_000 {
            history.add(Happened { time: u64::from(pid), pid, what: mapped(0x1000, "/a") });
        }
        assert!(history.processes.len() <= MOST_PROCESSES);
        assert_eq!(path(&history, 39_999, 0x1000, u64::MAX).as_deref(), Some("/a"));
    }
}
