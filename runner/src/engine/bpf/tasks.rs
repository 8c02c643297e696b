//! Owns asking the kernel about a process: what `/proc` does not tell, or not where ctp runs in a container.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use ctp_lang::emit::bpf::Insn;
use ctp_lang::emit::bpf::tasks::{LEVELS, TASK_SIZE, TaskOffsets, task_iterator};

use super::sys::{self, Kind};
use super::{btf, facts};

const ITERATOR: &str = "bpf_iter_task";
const MEMBERS: [(&str, &str); 8] = [
    ("task_struct", "thread_pid"),
    ("pid", "level"),
    ("task_struct", "cgroups"),
    ("css_set", "dfl_cgrp"),
    ("cgroup", "level"),
    ("cgroup", "ancestors"),
    ("cgroup", "kn"),
    ("kernfs_node", "id"),
];

/// What the kernel knows of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its number in the first pid namespace.
    pub process: u32,
    /// How deep its pid namespace lies below the first one.
    pub pid_level: u32,
    /// When it started, in ns since boot.
    pub start: u64,
    /// Ids of the cgroups it is in, from the root's (level 0) to its own.
    pub cgroups: Vec<u64>,
}

/// Asks about the process that has a number in this process' pid namespace now; `None` where there is none.
///
/// # Errors
/// As loading or reading the iterator fails; `Unsupported` where the kernel does not describe itself.
pub fn of(pid: u32) -> io::Result<Option<Task>> {
    Tasks::load()?.of(pid)
}

/// The iterator, loaded: for many questions.
#[derive(Debug)]
pub struct Tasks(OwnedFd);

impl Tasks {
    /// Loads it.
    ///
    /// # Errors
    /// As loading fails; `Unsupported` where the kernel does not describe itself.
    pub fn load() -> io::Result<Tasks> {
        let mut wanted = btf::Wanted { functions: vec![ITERATOR], ..btf::Wanted::default() };
        wanted.members.extend(MEMBERS);
        wanted.members.extend(facts::LINEAGE_MEMBERS);
        let found = facts::look(&wanted);
        let member = |at: usize| MEMBERS.get(at).and_then(|member| found.members.get(member)).copied();
        let offsets = || {
            Some(TaskOffsets {
                lineage: facts::lineage(&found)?,
                pid: member(0)?,
                pid_level: member(1)?,
                cgroups: member(2)?,
                cgroup: member(3)?,
                level: member(4)?,
                ancestors: member(5)?,
                node: member(6)?,
                node_id: member(7)?,
            })
        };
        let unsupported = || io::Error::from(io::ErrorKind::Unsupported);
        let insns = offsets().and_then(|offsets| task_iterator(&offsets)).ok_or_else(unsupported)?;
        let function = found.functions.get(ITERATOR).copied().ok_or_else(unsupported)?;
        let insns: Vec<[u8; 8]> = insns.into_iter().map(Insn::to_bytes).collect();
        Ok(Tasks(sys::load_program(Kind::Iterator(function), "ctp_tasks", &insns, None)?))
    }

    /// As [`of`].
    ///
    /// # Errors
    /// As reading the iterator fails.
    pub fn of(&self, pid: u32) -> io::Result<Option<Task>> {
        let mut bytes = Vec::new();
        let iterator = match sys::open_iterator(self.0.as_fd(), pid) {
            Ok(iterator) => iterator,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        File::from(iterator).read_to_end(&mut bytes)?;
        // A thread each: all of a process say the same of it.
        Ok(bytes.chunks_exact(TASK_SIZE).find_map(task))
    }
}

fn task(bytes: &[u8]) -> Option<Task> {
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let level = usize::try_from(long(16)?).ok()?;
    if level >= LEVELS {
        return None;
    }
    let cgroups = (0..=level).map(|level| long(24 + 8 * level)).collect::<Option<Vec<u64>>>()?;
    Some(Task { process: short(0)?, pid_level: short(4)?, start: long(8)?, cgroups })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn of_this_process_the_kernel_says_what_proc_says() {
        let pid = std::process::id();
        let task = of(pid).unwrap().unwrap();
        assert_eq!((task.process, task.pid_level), (pid, 0));
        let started = crate::container::Process::of(pid).unwrap().start;
        assert_eq!(task.start / 10_000_000, started);
        let file = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = file.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let mount =
            mounts.lines().find_map(|line| line.split(' ').nth(1).filter(|_| line.contains(" cgroup2 "))).unwrap();
        let own = std::fs::metadata(format!("{mount}{path}")).unwrap().ino();
        assert_eq!(task.cgroups.last(), Some(&own));
        assert_eq!(of(u32::MAX >> 1).unwrap(), None);
    }
}
