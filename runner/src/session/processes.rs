//! Owns attaching to processes one by one (`--attach process`), which spares everybody else who executes the file: which
//! processes the containers have, and which of them are new or execute something new. It looks every few milliseconds,
//! so a new process may make calls before it is attached to: that is said.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::container::process::ProcessDir;
use crate::engine::{Engine, Joined, Outcome};

/// How often it looks.
pub(super) const LOOK: Duration = Duration::from_millis(10);
/// The most processes that are attached to.
const MOST: usize = 4096;

/// The processes that are attached to.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// By pid: what changes when another process has it, or when it executes another program.
    known: HashMap<u32, (u64, u64)>,
    /// How many were attached to after tracing began.
    late: u64,
    /// How many could not be attached to, for there were too many.
    left_out: u64,
    /// When it looked last, how long that took, and the longest time from one look to the next.
    last: Option<(Instant, Duration)>,
    longest: Duration,
}

impl Processes {
    /// Attaches to what is new in these cgroups' folders; true where something was. It is idle for as long as it was at
    /// work: a container that forks without end takes half of a processor, not more.
    pub(super) fn look(&mut self, engine: &mut dyn Engine, folders: &[String], begun: bool) -> Outcome<bool> {
        let started = Instant::now();
        if let Some((last, took)) = self.last {
            let since = started.saturating_duration_since(last);
            if since < LOOK.max(took) {
                return Ok(false);
            }
            self.longest = self.longest.max(since + took);
        }
        let found = self.look_now(engine, folders, begun);
        let ended = Instant::now();
        self.last = Some((ended, ended.saturating_duration_since(started)));
        found
    }

    fn look_now(&mut self, engine: &mut dyn Engine, folders: &[String], begun: bool) -> Outcome<bool> {
        let mut now: HashMap<u32, (u64, u64)> = HashMap::new();
        for pid in folders.iter().flat_map(|folder| pids(folder)) {
            // The stack's address is drawn anew at every exec (ASLR), by whichever thread.
            let Ok(stat) = ProcessDir::open(pid).and_then(|process| process.stat()) else { continue };
            if !matches!(stat.state, 'Z' | 'X' | 'x') {
                now.insert(pid, (stat.starttime, stat.startstack));
            }
        }
        let gone: Vec<u32> =
            self.known.iter().filter(|(pid, is)| now.get(pid) != Some(is)).map(|(pid, _)| *pid).collect();
        for pid in gone {
            self.known.remove(&pid);
            engine.detach_process(pid);
        }
        let before = self.late;
        for (pid, is) in now {
            if self.known.contains_key(&pid) {
                continue;
            }
            if self.known.len() >= MOST {
                self.left_out += 1;
                continue;
            }
            match engine.attach_process(pid)? {
                Joined::Attached => {
                    self.known.insert(pid, is);
                    self.late += u64::from(begun);
                }
                Joined::Ended => {}
                Joined::Crowded => self.left_out += 1,
            }
        }
        Ok(self.late > before)
    }

    /// What is to be said of it at the end; `None` where nothing is.
    pub(super) fn said(&self) -> Option<String> {
        let late = super::summary::counted(self.late, "process");
        match (self.late, self.left_out) {
            (0, 0) => None,
            (_, 0) => Some(format!(
                "{late} began, or executed another program, while ctp traced; what each called in its first {} ms or so \
                 was not seen, nor what any called that ended before (--attach inode misses nothing)",
                self.longest.max(LOOK).as_millis()
            )),
            (_, left_out) => Some(format!(
                "{left_out} times a process was not attached to: there are more than {MOST}, or they begin and end too fast"
            )),
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
