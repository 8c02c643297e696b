//! Owns which process of a container is its first: the one whose root and executable stand for it.

use super::process::{Process, ProcessDir};

/// What is known of a process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    process: Process,
    /// Whether it is a zombie: it has neither root nor executable any more.
    zombie: bool,
    /// Whether it is pid 1 of its pid namespace, and that is one inside this one.
    pid_1: bool,
    /// How deep its pid namespace lies inside this one; 0 is this one.
    pid_level: u32,
}

/// A first process with the depth of its pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) process: Process,
    /// 0: this `/proc`'s own pid namespace.
    pub(super) pid_level: u32,
}

impl From<Candidate> for First {
    fn from(candidate: Candidate) -> First {
        First { process: candidate.process, pid_level: candidate.pid_level }
    }
}

/// The first of these processes: the one the engine reported, if it is among them; otherwise [`choose`] among all.
/// `None` where all have ended.
pub(super) fn process(pids: &[u32], reported: Option<u32>) -> Option<First> {
    let reported = reported.filter(|pid| pids.binary_search(pid).is_ok()).and_then(candidate);
    if let Some(candidate) = reported.filter(|candidate| !candidate.zombie) {
        return Some(candidate.into());
    }
    choose(pids.iter().filter_map(|pid| candidate(*pid)))
}

/// The longest running pid 1, or where the container has no pid namespace of its own (`--pid=host`) the longest running
/// process. What `docker exec` starts, and pid 1 of pid namespaces inside the container, run for less long; start times
/// count in ticks of 10 ms, so within one tick the lower pid is taken to be older.
fn choose(candidates: impl Iterator<Item = Candidate>) -> Option<First> {
    let alive = candidates.filter(|candidate| !candidate.zombie);
    alive.min_by_key(|c| (!c.pid_1, c.process.start, c.process.pid)).map(First::from)
}

fn candidate(pid: u32) -> Option<Candidate> {
    let dir = ProcessDir::open(pid).ok()?;
    let stat = dir.stat().ok()?;
    // From this /proc's namespace inwards: 1 as the last of several is pid 1 of a namespace inside it.
    let ns_pids = dir.ns_pids().ok()?;
    Some(Candidate {
        process: Process { pid, start: stat.starttime },
        zombie: matches!(stat.state, 'Z' | 'X' | 'x'),
        pid_1: ns_pids.len() > 1 && ns_pids.last() == Some(&1),
        pid_level: u32::try_from(ns_pids.len().saturating_sub(1)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(pid: u32, start: u64, pid_1: bool) -> Candidate {
        Candidate { process: Process { pid, start }, zombie: false, pid_1, pid_level: 0 }
    }

    fn chosen(candidates: &[Candidate]) -> Option<u32> {
        choose(candidates.iter().cloned()).map(|first| first.process.pid)
    }

    #[test]
    fn pid_1_before_what_exec_started_even_with_a_lower_pid() {
        assert_eq!(chosen(&[c(50, 900, false), c(4000, 100, true)]), Some(4000));
    }

    #[test]
    fn pid_1_of_the_container_before_that_of_a_namespace_inside_it() {
        assert_eq!(chosen(&[c(60, 500, true), c(70, 100, true)]), Some(70));
    }

    #[test]
    fn without_a_pid_namespace_the_longest_running() {
        assert_eq!(chosen(&[c(90, 100, false), c(20, 300, false), c(91, 100, false)]), Some(90));
    }

    #[test]
    fn a_zombie_is_no_first_process() {
        let zombie = Candidate { zombie: true, ..c(1, 1, true) };
        assert_eq!(chosen(&[zombie.clone(), c(2, 2, false)]), Some(2));
        assert_eq!(chosen(&[zombie]), None);
    }
}
