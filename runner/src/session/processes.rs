//! Owns attaching to processes one by one (`--attach process`), which spares everybody else who executes the file: which
//! processes the containers have, and which of them are new or execute something new. The kernel tells of those; beside
//! that it is looked every few milliseconds. A new process may make calls before it is attached to: that is said.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::execs::monotonic;
use crate::container::process::ProcessDir;
use crate::container::target;
use crate::engine::{Engine, Executed, Happened, Joined, Outcome};

/// How often it looks.
pub(super) const LOOK: Duration = Duration::from_millis(10);
/// The most processes that are attached to.
const MOST: usize = 4096;
/// How long it attaches to what the kernel told of before others have their turn; what is left is found by looking.
const TURN: Duration = Duration::from_millis(50);

/// The processes that are attached to.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// By pid: what changes when another process has it, or when it executes another program.
    known: HashMap<u32, Is>,
    /// Whether the kernel tells which are new and which execute something.
    pub(super) told: bool,
    /// Whether it could not tell all since the last look.
    untold: bool,
    /// How many were attached to after tracing began.
    late: u64,
    /// The longest that one ran before.
    longest: Duration,
    /// How many could not be attached to, for there were too many.
    left_out: u64,
    /// When it looked last, and how long that took.
    last: Option<(Instant, Duration)>,
}

/// A process and what it executes: its start in ticks since boot, and the stack's address, which is drawn anew at every
/// exec (ASLR), by whichever thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Is {
    start: u64,
    stack: u64,
}

impl Is {
    /// What is behind a pid now; `None` where nothing runs there.
    fn now(pid: u32) -> Option<Is> {
        let stat = ProcessDir::open(pid).and_then(|process| process.stat()).ok()?;
        (!matches!(stat.state, 'Z' | 'X' | 'x')).then_some(Is { start: stat.starttime, stack: stat.startstack })
    }
}

impl Processes {
    /// Attaches to those that the kernel told of; `more` tells whether it could not tell all.
    pub(super) fn attach_to(&mut self, engine: &mut dyn Engine, told: &[Executed], more: bool) -> Outcome<()> {
        self.untold |= more;
        if target::hosts_first().is_none() {
            // Their numbers are another pid namespace's: they are found by looking, at once.
            self.last = self.last.filter(|_| told.is_empty());
            return Ok(());
        }
        let begun = Instant::now();
        for one in told {
            if begun.elapsed() > TURN {
                self.untold = true;
                break;
            }
            let pid = one.process;
            let Some(is) = Is::now(pid) else { continue };
            let known = self.known.get(&pid).is_some_and(|known| known.start == is.start);
            match one.what {
                // The links are to the task, whatever it executes (uprobe_multi_link_filter in kernel/trace/bpf_trace.c).
                Happened::Executed if known => drop(self.known.insert(pid, is)),
                Happened::Forked if known => {}
                Happened::Executed | Happened::ExecutedByThread | Happened::Forked => {
                    // What was bound to a first thread that is no more sees nothing: it need not be waited for.
                    engine.detach_process(pid);
                    self.attach(engine, pid, is, Some(Duration::from_nanos(one.time)))?;
                }
            }
        }
        Ok(())
    }

    /// Attaches to a process; what was bound to its number before is undone first, so that no call is seen twice. `since`
    /// (`CLOCK_MONOTONIC`) tells when it began at the earliest, where tracing had begun by then.
    fn attach(&mut self, engine: &mut dyn Engine, pid: u32, is: Is, since: Option<Duration>) -> Outcome<()> {
        if self.known.len() >= MOST && !self.known.contains_key(&pid) {
            self.left_out += 1;
            return Ok(());
        }
        match engine.attach_process(pid)? {
            Joined::Attached => {
                self.known.insert(pid, is);
                if let Some(since) = since {
                    self.late += 1;
                    self.longest = self.longest.max(monotonic().saturating_sub(since));
                }
            }
            Joined::Ended => drop(self.known.remove(&pid)),
            Joined::Crowded => self.left_out += 1,
        }
        Ok(())
    }

    /// Attaches to what is new in these cgroups' folders; true where something was. It is idle for as long as it was at
    /// work: a container that forks without end takes half of a processor, not more.
    pub(super) fn look(&mut self, engine: &mut dyn Engine, folders: &[String], begun: bool) -> Outcome<bool> {
        let started = Instant::now();
        let mut since = LOOK;
        if let Some((last, took)) = self.last {
            since = started.saturating_duration_since(last);
            if since < LOOK.max(took) {
                return Ok(false);
            }
            since += took;
        }
        let since = begun.then(|| monotonic().saturating_sub(since));
        let found = self.look_now(engine, folders, since);
        let ended = Instant::now();
        self.last = Some((ended, ended.saturating_duration_since(started)));
        found
    }

    fn look_now(&mut self, engine: &mut dyn Engine, folders: &[String], since: Option<Duration>) -> Outcome<bool> {
        let pids = folders.iter().flat_map(|folder| pids(folder));
        let now: HashMap<u32, Is> = pids.filter_map(|pid| Some((pid, Is::now(pid)?))).collect();
        let told = self.told && target::hosts_first().is_some() && !std::mem::take(&mut self.untold);
        let gone = |pid: &u32, is: &Is| now.get(pid).is_none_or(|now| now.start != is.start);
        let gone: Vec<u32> = self.known.iter().filter(|(pid, is)| gone(pid, is)).map(|(pid, _)| *pid).collect();
        for pid in gone {
            self.known.remove(&pid);
            engine.detach_process(pid);
        }
        let before = self.late;
        for (pid, is) in now {
            // Of what one executes the kernel tells, where it does.
            let stays = self.known.get(&pid).is_some_and(|known| told || *known == is);
            if !stays {
                self.attach(engine, pid, is, since)?;
            }
        }
        Ok(self.late > before)
    }

    /// What is to be said of it at the end; `None` where nothing is.
    pub(super) fn said(&self) -> Option<String> {
        let late = super::summary::counted(self.late, "process");
        let missed = format!(
            "{late} began, or executed another program, while ctp traced; what each called in its first {} ms or so \
             was not seen, nor what any called that ended before",
            self.longest.as_millis().max(1)
        );
        let left_out = format!(
            "{} times a process was not attached to: there are more than {MOST}, or they begin and end too fast",
            self.left_out
        );
        let inode = "(--attach inode misses nothing)";
        match (self.late, self.left_out) {
            (0, 0) => None,
            (_, 0) => Some(format!("{missed} {inode}")),
            (0, _) => Some(format!("{left_out} {inode}")),
            (_, _) => Some(format!("{missed}; {left_out} {inode}")),
        }
    }
}

/// The processes in a cgroup and below it.
fn pids(folder: &str) -> Vec<u32> {
    let mut pids = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop().filter(|_| pids.len() < 2 * MOST) {
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        // 0 stands for a process of another pid namespace.
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        open.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    pids
}
