//! Owns what containers execute while tracing goes on: whether the files that the probes mean are still those that are
//! probed. A container may get another build of a program under its path, or its first process execute another program:
//! that is attached to as soon as a task of the container's executes something, and it is said how late that was.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use ctp_lang::ir::ContainerIndex;
use ctp_lang::world::{OpenError, Place, TargetKind};
use nix::time::{ClockId, clock_gettime};

use super::builds::NOTHING_MEANT;
use super::coming::Taken;
use super::files::{Files, Refused};
use super::targets::{Kind, Life, Now, Said, Start, Targets, Watched, Word};
use crate::container::process::ProcessDir;
use crate::container::{Found, target};
use crate::engine::{Engine, Executed, Happened, Outcome};
use crate::world::live::{LiveWorld, root_of};

/// How many times longer than a look the time to the next one is: a container that executes without end takes a tenth
/// of a processor, not more.
const SHARE: u32 = 9;
/// The most processes of a container that are remembered from one look to the next.
const MOST: usize = 256;
/// Of how many processes it is remembered whose they were.
const MOST_LAST: usize = 4096;
/// The most copies of files that are attached to in one container: it may make as many as it likes.
const MOST_COPIES: u32 = 64;
/// The most files whose state is remembered; then all are looked at once more.
const MOST_KNOWN: usize = 1 << 16;

/// What containers have executed.
#[derive(Debug, Default)]
pub(super) struct Execs {
    /// Whether the kernel tells.
    pub(super) told: bool,
    /// Since the last look, by container.
    new: HashMap<ContainerIndex, Since>,
    /// What was at a place when it was last looked at.
    known: HashMap<(ContainerIndex, Place), Identity>,
    /// How many files were attached to in a container since it started.
    copies: HashMap<ContainerIndex, u32>,
    /// The last processes that executed something or were made, each with its container: whose they were when they have
    /// ended.
    last: VecDeque<(u32, ContainerIndex)>,
    /// Not before this it is looked again.
    next: Option<Instant>,
    /// When it was looked last, `CLOCK_MONOTONIC`.
    looked: Duration,
}

/// What one container has executed since the last look.
#[derive(Debug, Default)]
struct Since {
    /// When the first was, `CLOCK_MONOTONIC`; where that is not known, when it was looked last.
    first: Duration,
    /// The processes, by their numbers in the first pid namespace.
    processes: Vec<u32>,
    /// Whether there may have been more.
    more: bool,
}

/// When a file was attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Before somebody executed it.
    Before,
    /// So long after that, or less than that where it is not known exactly.
    After { late: Duration, exact: bool },
}

/// What tells a file from another that takes its place, and from what it was before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// When its inode was last changed: seconds and ns since 1970.
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &std::fs::Metadata) -> Identity {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Identity { device: metadata.dev(), inode: metadata.ino(), size: metadata.size(), changed }
    }

    /// What of it the world knows of a file that it opened.
    fn of_file(&self) -> (u64, u64, u64) {
        (self.device, self.inode, self.size)
    }

    /// Of what is at a place now.
    fn at(place: &Place, found: &Found) -> Result<Identity, OpenError> {
        let file = root_of(found)?.open(place)?;
        let metadata = file.file().metadata().map_err(|error| OpenError::Other(error.to_string()))?;
        Ok(Identity::of(&metadata))
    }
}

impl Execs {
    /// In what time it is to be looked; `None` where nothing was executed.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        let wait = self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        (!self.new.is_empty()).then_some(wait)
    }

    /// Forgets what was at the places of a container that has ended.
    pub(super) fn forget(&mut self, index: ContainerIndex) {
        self.known.retain(|(of, _), _| *of != index);
        self.new.remove(&index);
        self.copies.remove(&index);
    }

    /// A process of a container has executed or mapped something at that time (`CLOCK_MONOTONIC`); `None` where it is not known
    /// which.
    pub(super) fn used(&mut self, index: ContainerIndex, process: Option<u32>, time: Duration) {
        let since = self.new.entry(index).or_insert_with(|| Since { first: time, ..Since::default() });
        match process.filter(|_| since.processes.len() < MOST) {
            Some(process) => since.processes.push(process),
            None => since.more = true,
        }
    }

    /// The containers whose processes of these numbers executed something lately, be it that these have ended since.
    pub(super) fn whose(&self, processes: &HashSet<u32>) -> HashMap<u32, ContainerIndex> {
        // Of a number that was used again the later one counts.
        self.last.iter().filter(|(process, _)| processes.contains(process)).copied().collect()
    }

    /// A container may have executed something that nobody told of.
    fn may_have_executed(&mut self, index: ContainerIndex) {
        let since = self.new.entry(index).or_insert_with(|| Since { first: self.looked, ..Since::default() });
        since.more = true;
    }
}

impl Targets<'_> {
    /// Begins to watch what containers execute; why the kernel does not tell, where it refuses to.
    pub(super) fn watch_execs(&mut self, engine: &mut dyn Engine, files: &Files) -> Option<String> {
        self.execs.looked = monotonic();
        let told = engine.watch_execs();
        self.execs.told = matches!(told, Ok(true));
        for position in 0..self.watched.len() {
            let places = self.places(position);
            let Some(watched) = self.watched.get(position) else { continue };
            // Of what was checked the state is kept; what has changed since is looked at.
            let known: Vec<_> = places
                .into_iter()
                .filter_map(|(place, among)| {
                    let identity = Identity::at(&place, &watched.found).ok()?;
                    let checked = among.iter().any(|file| files.opened_as(*file) == Some(identity.of_file()));
                    Some((place, checked.then_some(identity)))
                })
                .collect();
            let index = watched.index;
            for (place, identity) in known {
                match identity {
                    Some(identity) => drop(self.execs.known.insert((index, place), identity)),
                    None => self.execs.may_have_executed(index),
                }
            }
        }
        told.err().map(|failure| failure.message)
    }

    /// Takes in what was executed; `more` tells whether there was more that is not known.
    pub(super) fn executed(&mut self, executed: &[Executed], more: bool) {
        for one in executed {
            if self.execs.last.len() >= MOST_LAST {
                self.execs.last.pop_front();
            }
            self.execs.last.push_back((one.process, ContainerIndex(one.container)));
        }
        for one in executed.iter().filter(|one| one.what != Happened::Forked) {
            self.execs.used(ContainerIndex(one.container), Some(one.process), Duration::from_nanos(one.time));
        }
        if more {
            self.watched.iter().for_each(|watched| self.execs.may_have_executed(watched.index));
        }
    }

    /// Looks at those about which the kernel does not tell what they execute: processes, and containers without a cgroup of
    /// version 2.
    pub(super) fn look_at_untold(&mut self) {
        let told = self.execs.told;
        let untold = |watched: &&Watched| match watched.found.container.kind {
            TargetKind::Container | TargetKind::Cgroup => !told || watched.found.container.cgroup.is_none(),
            TargetKind::Process => true,
            TargetKind::Host => false,
        };
        for watched in self.watched.iter().filter(|watched| watched.state == Life::Runs).filter(untold) {
            self.execs.may_have_executed(watched.index);
        }
    }

    /// Looks at the files of all containers that have executed something.
    pub(super) fn look_at_execs(
        &mut self,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
    ) -> Outcome<Said> {
        let mut said = Said::default();
        let started = Instant::now();
        if self.execs.due(started) != Some(Duration::ZERO) {
            return Ok(said);
        }
        let new = std::mem::take(&mut self.execs.new);
        let looked = monotonic();
        if self.execs.known.len() > MOST_KNOWN {
            self.execs.known.clear();
        }
        let mut now = Now::default();
        for position in 0..self.watched.len() {
            let Some(watched) = self.watched.get(position) else { continue };
            let Some(since) = new.get(&watched.index).or_else(|| self.of_same_cgroup(watched, &new)) else { continue };
            match watched.state {
                // It was about to be looked at: it has its files by now.
                Life::Starts(start) => {
                    let start = Start { executed: true, ..start };
                    self.verify(position, start, engine, files, world, &mut now, &mut said)?;
                }
                Life::Runs => self.look_at_files(position, since, engine, files, world, &mut said)?,
                Life::Ended | Life::Gone => {}
            }
        }
        self.execs.looked = looked;
        let ended = Instant::now();
        self.execs.next = Some(ended + ended.saturating_duration_since(started) * SHARE);
        Ok(said)
    }

    /// What was told of another target that is the same cgroup.
    fn of_same_cgroup<'a>(&self, watched: &Watched, new: &'a HashMap<ContainerIndex, Since>) -> Option<&'a Since> {
        let id = |watched: &Watched| watched.found.container.cgroup.as_ref().map(|cgroup| cgroup.id);
        let own = id(watched)?;
        let others = self.watched.iter().filter(|other| id(other) == Some(own));
        others.filter_map(|other| new.get(&other.index)).next()
    }

    /// Looks whether the files that a container's probes mean are those that are probed.
    fn look_at_files(
        &mut self,
        position: usize,
        since: &Since,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        said: &mut Said,
    ) -> Outcome<()> {
        for (place, among) in self.places(position) {
            let Some(watched) = self.watched.get(position) else { return Ok(()) };
            let (index, found) = (watched.index, watched.found.clone());
            let key = (index, place.clone());
            // What is not there cannot be executed; that it comes is seen then.
            let Ok(identity) = Identity::at(&place, &found) else {
                self.execs.known.remove(&key);
                continue;
            };
            if self.execs.known.insert(key, identity) == Some(identity) {
                continue;
            }
            let copies = self.execs.copies.get(&index).copied().unwrap_or(0);
            let taken = if copies < MOST_COPIES {
                self.take_in(position, (&place, &among), &found, true, engine, files, world)?
            } else {
                Err((Refused::OtherBuild, Some(format!("one more than the {MOST_COPIES} that are attached to"))))
            };
            // Its own tasks count there from now on.
            if matches!(&taken, Ok(taken) if taken.late) {
                self.execs.copies.insert(index, copies + 1);
                engine.add_container(index, &found.container)?;
                self.want_again(position, engine)?;
            }
            let only_waits = self.only_waits(position);
            let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
            let is_exe = place == Place::Exe;
            let elsewhere = watched.elsewhere && is_exe;
            match taken {
                Ok(taken) => {
                    if is_exe {
                        watched.elsewhere = false;
                    }
                    if taken.late || elsewhere {
                        let when = if taken.late { since.when(&identity, &taken.path, is_exe) } else { When::Before };
                        said.words.push(attached(watched, &place, &taken, when));
                    }
                }
                Err((Refused::OtherBuild, why)) => {
                    if is_exe {
                        watched.elsewhere = true;
                    }
                    // A point with `?` may match nothing.
                    if !only_waits || why.as_deref() != Some(NOTHING_MEANT) {
                        said.words.push(not_attached(watched, &place, why));
                    }
                }
                // Gone meanwhile: it is looked at again when something is executed.
                Err((Refused::NotThere | Refused::Unreadable, _)) => {
                    self.execs.known.remove(&(index, place));
                }
            }
        }
        Ok(())
    }

    /// Tells the kernel anew what it is to let a container in for when it comes back.
    fn want_again(&mut self, position: usize, engine: &mut dyn Engine) -> Outcome<()> {
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        if let Some(path) = watched.path.as_ref().filter(|_| self.follow) {
            watched.wanted = engine.want(path, watched.index, watched.found.container.pid_level)?;
        }
        Ok(())
    }
}

impl Since {
    /// When a file was attached to that is attached to now.
    fn when(&self, identity: &Identity, path: &str, is_exe: bool) -> When {
        // Numbers of processes are the first pid namespace's: elsewhere it is not known who they are.
        let known = target::hosts_first().is_some();
        if !is_exe && !self.more && known && !self.processes.iter().any(|pid| may_hold(*pid, identity, path)) {
            return When::Before;
        }
        When::After { late: monotonic().saturating_sub(self.first), exact: !self.more }
    }
}

/// Whether a process executes a file or has mapped it, as far as that can be told.
fn may_hold(pid: u32, identity: &Identity, path: &str) -> bool {
    let process = ProcessDir::open(pid);
    let exe = std::fs::metadata(format!("/proc/{pid}/exe"));
    // What has ended may have executed it.
    let (Ok(process), Ok(exe)) = (process, exe) else { return true };
    let Ok(maps) = process.read("maps") else { return true };
    let (inode, path) = (identity.inode.to_string(), path.as_bytes());
    let maps_it = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        fields.nth(4) == Some(inode.as_bytes()) || line.ends_with(path)
    };
    Identity::of(&exe) == *identity || maps.split(|byte| *byte == b'\n').any(maps_it)
}

pub(super) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

fn attached(watched: &Watched, place: &Place, taken: &Taken, when: When) -> Word {
    let container = &watched.found.container;
    let name = container.display_name().to_owned();
    let path = &taken.path;
    let what = match (place, &taken.other) {
        (Place::Path(path), _) if taken.first && !watched.mapped.iter().any(|(_, mapped)| mapped == path) => {
            format!("{name} has {path} now as a probe means it")
        }
        (Place::Exe, _) => format!("the first process of {name} executes {path} now"),
        (Place::Path(path), _) if watched.mapped.iter().any(|(_, mapped)| mapped == path) => {
            format!("{name} maps {path} now")
        }
        (Place::Path(_), Some(_)) => format!("{name} has another build of {path}"),
        (Place::Path(_), None) => format!("{name} has another copy of {path}"),
    };
    let (when, late) = match when {
        When::Before => ("attached; no call was missed".to_owned(), None),
        When::After { late, exact } => {
            let most = if exact { "" } else { "at most " };
            let late_ms = late.as_millis();
            (format!("attached {most}{late_ms} ms later: its calls before that were not seen"), Some(late))
        }
    };
    let text = format!("{what}, {when}");
    Word { kind: Kind::Executed { path: path.clone(), traced: true, late }, name, id: container.id.clone(), text }
}

fn not_attached(watched: &Watched, place: &Place, why: Option<String>) -> Word {
    let container = &watched.found.container;
    let name = container.display_name().to_owned();
    let (what, path) = match place {
        Place::Exe => (format!("the first process of {name} executes another program now"), "exe".to_owned()),
        Place::Path(path) if watched.mapped.iter().any(|(_, mapped)| mapped == path) => {
            (format!("{name} maps another build in {path} now"), path.clone())
        }
        Place::Path(path) => (format!("{name} has another build of {path}"), path.clone()),
    };
    let why = why.map_or_else(|| "; run ctp again to check it".to_owned(), |why| format!(", {why}"));
    let text = format!("{what}{why}: not traced");
    Word { kind: Kind::Executed { path, traced: false, late: None }, name, id: container.id.clone(), text }
}
