//! Owns what every tracing engine is to the rest of the runner: something that was started for a program, hands over
//! events, counts hits exactly, holds the globals, and stops. One folder per engine.

pub mod bpf;
pub mod stap;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use ctp_lang::codes::Code;
pub use ctp_lang::emit::bpf::execs::{Executed, Happened};
pub use ctp_lang::emit::bpf::follow::Made;
use ctp_lang::ir::{ContainerIndex, FileIndex, GlobalIndex, ProbeIndex};
use ctp_lang::source::Span;
use ctp_lang::stats::Stats;
use ctp_lang::value::{MapEntry, Value};
use ctp_lang::world::{Boundary, Container};

/// One run of a handler that had output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which probe ran.
    pub probe: ProbeIndex,
    /// Whose task ran it.
    pub container: ContainerIndex,
    /// `CLOCK_MONOTONIC` in ns.
    pub time: u64,
    /// Process id on the host.
    pub pid: u32,
    /// Thread id on the host.
    pub tid: u32,
    /// Process id as the container sees it, where the engine says.
    pub nspid: Option<u32>,
    /// The cpu it ran on, where the engine says.
    pub cpu: Option<u32>,
    /// Outputs in the order they ran.
    pub prints: Vec<Printed>,
    /// Whether the run ended with `exit()`.
    pub exit: bool,
}

/// An output statement that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Which: the engine gives the statement for it ([`Engine::print`]).
    pub print: usize,
    /// One value for each value of the statement.
    pub values: Vec<Value>,
}

/// What became of the hits of one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Runs whose output was handed over.
    pub records: u64,
    /// Runs without output.
    pub aggregated: u64,
    /// Runs that the probe's condition ended.
    pub filtered: u64,
    /// Runs that stopped because something could not be read or computed.
    pub read_faults: u64,
    /// Runs that stopped in a loop that was too long.
    pub step_limit: u64,
    /// Returns whose entry was not seen.
    pub unmatched: u64,
    /// Runs for whose output there was no room.
    pub lost: u64,
    /// Runs that `--max-rate` kept from beginning.
    pub limited: u64,
    /// Values shown as `<fault>`; no hits.
    pub faults_shown: u64,
    /// Updates that a full map dropped; no hits.
    pub map_full: u64,
}

impl Counters {
    /// All hits: each is in exactly one of the first eight.
    pub fn hits(&self) -> u64 {
        let ran = self.records + self.aggregated + self.read_faults + self.step_limit + self.lost;
        ran + self.filtered + self.unmatched + self.limited
    }
}

/// A failure of the machine, with a place in the source where one is to blame.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its code, of the group E04 mostly.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// The place in the source.
    pub span: Option<Span>,
    /// Facts that explain it.
    pub notes: Vec<String>,
    /// Ways out.
    pub helps: Vec<String>,
    /// The verifier's log, for `-v`.
    pub log: Option<String>,
}

impl Failure {
    /// A failure without a place.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), span: None, notes: Vec::new(), helps: Vec::new(), log: None }
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Failure {
        self.notes.push(text.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Failure {
        self.helps.push(text.into());
        self
    }
}

/// Which cgroups there are, and which of them are containers': what decides who belongs to the host.
#[derive(Clone, Debug, Default)]
pub struct HostView {
    /// Ids of all cgroups.
    pub all: std::collections::HashSet<u64>,
    /// Ids of those that are a container's own; what is below one belongs to it.
    pub containers: std::collections::HashSet<u64>,
}

/// A result of an engine.
pub type Outcome<T> = Result<T, Box<Failure>>;

/// What came of attaching to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is attached to.
    Attached,
    /// It has ended, or nobody is attached to one by one.
    Ended,
    /// Too many that have ended are still being detached from: it may be tried again.
    Crowded,
}

/// A tracing engine at work.
pub trait Engine {
    /// Attaches whatever is not attached, through the descriptors that `file` gives, each with the path to name in
    /// messages; what it gives no descriptor for stays as it is.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses; what was attached before stays.
    fn attach<'a>(&mut self, file: &dyn Fn(FileIndex) -> Option<(BorrowedFd<'a>, &'a str)>) -> Outcome<()>;

    /// Attaches in one process, where processes are attached to one by one.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn attach_process(&mut self, pid: u32) -> Outcome<Joined>;

    /// Detaches from a process that ended or executes something else.
    fn detach_process(&mut self, pid: u32);

    /// Functions that the last attaching left out because the kernel cannot probe the instruction there.
    fn left_out(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Detaches from inodes none of whose files is in use any more: a link keeps the file system below it mounted.
    fn release(&mut self, in_use: &dyn Fn(FileIndex) -> bool);

    /// The files that share a link with this one because they were found to be one inode.
    fn sharing(&self, file: FileIndex) -> Vec<FileIndex>;

    /// Whether two files are one inode, whatever file system shows them; `None` where that is not known.
    fn same_inode(&self, one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Option<bool>;

    /// Waits for events, at most `timeout` or until `wake` can be read, and hands over those there are; at most some
    /// thousands at a time, so that the caller stays responsive. Returns whether `exit()` ran.
    ///
    /// # Errors
    /// [`Failure`] when the engine is broken; what was handed over before stays right.
    fn poll(&mut self, timeout: Duration, wake: Option<BorrowedFd<'_>>, event: &mut dyn FnMut(Event)) -> Outcome<bool>;

    /// Detaches: no probe fires afterwards. Events that were not handed over yet still come from [`Engine::poll`].
    ///
    /// # Errors
    /// [`Failure`] when something may still be attached.
    fn stop(&mut self) -> Outcome<()>;

    /// What became of the hits so far, by probe; final after [`Engine::stop`].
    ///
    /// # Errors
    /// [`Failure`] when they cannot be read.
    fn counters(&self) -> Outcome<Vec<Counters>>;

    /// The output statement of a number in [`Printed`].
    fn print(&self, print: usize) -> Option<&Arc<ctp_lang::ir::Print>>;

    /// Takes in a build that the program was not checked with at first: the program, checked with it, its sites in
    /// that build only. Nothing is attached; which build it is, [`Engine::build`] takes. `file` gives the descriptors
    /// of the new program's files.
    ///
    /// # Errors
    /// [`Failure`] where the handlers cannot run beside those that were there before, or the kernel refuses.
    fn take_build<'a>(
        &mut self,
        program: &ctp_lang::ir::Program,
        file: &dyn Fn(FileIndex) -> Option<BorrowedFd<'a>>,
    ) -> Outcome<usize>;

    /// What attaches in a build that was taken in: files are those of its program, containers the run's.
    fn build(&mut self, build: usize) -> Option<&mut dyn Engine>;

    /// Whether a container's tasks count somewhere.
    fn counts(&self, index: ContainerIndex) -> bool;

    /// Makes a container count at the places of these probes, once it is added ([`Engine::add_container`]).
    fn join(&mut self, index: ContainerIndex, probes: &[ProbeIndex]);

    /// Tasks of this cgroup too count as the container's from now on (it restarted).
    ///
    /// # Errors
    /// [`Failure`] when there is no room or its cgroup lies at a level the program does not look at.
    fn add_container(&mut self, index: ContainerIndex, container: &Container) -> Outcome<()>;

    /// Takes in a container that came after the program was loaded, at the places that these probes have: its index.
    /// Its tasks count from [`Engine::add_container`] on. `None` where there is no room for more.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn newcomer(&mut self, container: &Container, probes: &[ProbeIndex]) -> Outcome<Option<ContainerIndex>>;

    /// Lets the kernel itself make the tasks of a container's cgroup count as soon as a cgroup of this path is made.
    /// False where it cannot: then [`Engine::add_container`] is to be called.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn want(&mut self, path: &str, index: ContainerIndex, pid_level: u32) -> Outcome<bool>;

    /// No longer.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn unwant(&mut self, path: &str) -> Outcome<()>;

    /// Whether cgroups were made that [`Engine::made`] has not told of.
    fn has_made(&self) -> bool;

    /// The cgroups made since it was last called, in order, and whether there were more that it cannot tell of.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be read.
    fn made(&mut self) -> Outcome<(Vec<Made>, bool)>;

    /// Decides about a cgroup that was made: whose it is, where somebody's, and how many hits its tasks had, where that one
    /// is meant, before they counted.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be read.
    fn decide(&mut self, cgroup: u64, whose: Option<ContainerIndex>) -> Outcome<u64>;

    /// Begins to watch what tasks of containers execute; where processes are attached to one by one, which processes they
    /// make, too. False where the kernel cannot tell: then it is found by looking.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn watch_execs(&mut self) -> Outcome<bool>;

    /// Whether something was executed that [`Engine::executed`] has not told of.
    fn has_executed(&self) -> bool;

    /// What was executed, and which processes were made, since it was last called, in order; and whether there was more
    /// that it cannot tell of.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read.
    fn executed(&mut self) -> Outcome<(Vec<Executed>, bool)>;

    /// The files that links were or will be made through, one for each inode.
    fn attached_through(&self) -> Vec<FileIndex>;

    /// Whether some inode is probed for a file's sites.
    fn is_live(&self, file: FileIndex) -> bool;

    /// Whether this descriptor's inode is probed for a file's sites; `None` where that is not known.
    fn is_probed(&self, file: FileIndex, descriptor: BorrowedFd<'_>) -> Option<bool>;

    /// Probes another inode of the same build as a file, for a container: a copy of its own, or the one that its
    /// processes execute though its path leads to another by now. Where it is probed already the container's tasks count
    /// there too. `stays` tells whether it may stay probed when the container has stopped. Whether hits of the
    /// container's did not count there before.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn attach_also(
        &mut self,
        file: FileIndex,
        index: ContainerIndex,
        descriptor: BorrowedFd<'_>,
        path: &str,
        stays: bool,
    ) -> Outcome<bool>;

    /// Detaches from inodes that are this container's alone, when it has stopped; where it is not `gone` for good, from
    /// those that may not stay only.
    fn detach_own(&mut self, index: ContainerIndex, gone: bool);

    /// Forgets a container that came later and has stopped: it is in no place of any probe any more.
    fn leave(&mut self, index: ContainerIndex);

    /// Whether cgroups were made since [`Engine::tell_host`] was last called; always false where the host does not count.
    fn new_cgroups(&self) -> bool;

    /// Decides which cgroups are the host's, where tasks of the host count: to be called before attaching, and whenever
    /// there are new ones. Until it is called tasks in new ones count for nobody.
    ///
    /// # Errors
    /// [`Failure`] when the filter cannot be changed, or had no room for all cgroups.
    fn tell_host(&mut self, view: &dyn Fn() -> Outcome<HostView>) -> Outcome<()>;

    /// Tasks of this cgroup no longer count (it was removed).
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn remove_cgroup(&mut self, cgroup: u64) -> Outcome<()>;

    /// The same of tasks that are not told by a cgroup of version 2.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn remove_boundary(&mut self, boundary: &Boundary) -> Outcome<()>;

    /// The value of a scalar (empty key) or of a map's entry; 0 or `""` where there is none.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read.
    fn get(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Value>;

    /// Whether a map has an entry.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read.
    fn has(&self, global: GlobalIndex, key: &[Value]) -> Outcome<bool>;

    /// Sets a scalar or a map's entry; false where the map is full.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    fn set(&mut self, global: GlobalIndex, key: &[Value], value: &Value) -> Outcome<bool>;

    /// Adds to a scalar (nothing that handlers add meanwhile is lost) or to a map's entry; returns the value before,
    /// `None` where the map is full.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read or written.
    fn add(&mut self, global: GlobalIndex, key: &[Value], delta: i64) -> Outcome<Option<i64>>;

    /// All entries of a map or of a map of aggregates, in no order. Entries that only differ in containers of one name
    /// are one.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be read.
    fn entries(&self, global: GlobalIndex) -> Outcome<Vec<MapEntry>>;

    /// Takes out the entry of a key; with no key all entries, or makes a scalar what it was at first.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    fn delete(&mut self, global: GlobalIndex, key: &[Value]) -> Outcome<()>;

    /// Feeds an aggregate; false where its map is full.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    fn feed(&mut self, global: GlobalIndex, key: &[Value], value: i64) -> Outcome<bool>;

    /// An aggregate of all cpus; `None` where a map has no such key.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read.
    fn stats(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Option<Stats>>;

    /// Closes a global's generation: until [`Engine::open`] everything here reads and deletes that one, complete, while
    /// handlers in the kernel fill the next. Called before a handler that deletes it whole.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    fn close(&mut self, global: GlobalIndex) -> Outcome<()>;

    /// Goes back to the generation that handlers in the kernel fill; what the closed one still holds is added to it.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read or written.
    fn open(&mut self, global: GlobalIndex) -> Outcome<()>;
}
