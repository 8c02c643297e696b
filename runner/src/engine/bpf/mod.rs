//! Owns the embedded eBPF engine: a compiled program loaded, attached, read and detached. It generates no code (that is
//! `ctp_lang::emit::bpf`) and opens no file of a container (it attaches through descriptors it is given). Nothing is
//! pinned: when the process ends, however it ends, the kernel detaches everything.

mod abi;
mod attach;
mod beside;
mod btf;
mod cgroups;
mod execs;
mod facts;
mod follow;
mod generations;
mod globals;
pub mod grace;
pub mod hot;
mod identity;
mod inode;
mod joining;
mod kept;
mod load;
pub mod mappings;
mod parts;
mod perf;
mod ring;
mod starting;
mod sys;
pub mod tasks;
mod tracepoint;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::emit::bpf::map::{COUNTERS, EXECS, FILTER, FilterKey};
use ctp_lang::emit::bpf::{self as emit, Category, Compiled, Options};
use ctp_lang::ir::{ContainerIndex, FileIndex, GlobalIndex, ProbeIndex, Program};
use ctp_lang::stats::Stats;
use ctp_lang::value::{MapEntry, Value};
use ctp_lang::world::{Boundary, Container};

use super::{Counters, Engine, Event, Executed, Failure, HostView, Joined, Made, Outcome};
use attach::{Groups, Plan, Who};
pub use beside::build_of;
use ctp_lang::stack::{Stack, Taken, Unwinder};
pub use facts::{kernel_release, kernel_version};
pub use identity::Warning;
pub use inode::Inode;
use kept::Kept;
use load::failure;
pub use perf::{Uprobes, raise_limit};
use ring::Ring;
use sys::{Map, Shared};

/// Why tracing could not start.
#[derive(Debug)]
pub enum StartError {
    /// The engine cannot do something that the program asks for.
    Program(Vec<Diagnostic>),
    /// The machine would not.
    Machine(Box<Failure>),
}

impl From<Box<Failure>> for StartError {
    fn from(failure: Box<Failure>) -> StartError {
        StartError::Machine(failure)
    }
}

/// Compiles the handlers of a program for this kernel: what `ctp build --emit bpf` shows.
///
/// # Errors
/// What this engine cannot do.
pub fn compile(program: &Program, options: &Options) -> Result<Compiled, Vec<Diagnostic>> {
    emit::compile(program, options, &kernel(program, options, Uprobes::Auto))
}

/// Whether returns are seen by uprobe sessions where the functions allow it: what `--plan` tells.
///
/// # Errors
/// Why not, in words.
pub fn sessions(program: &Program, options: &Options, uprobes: Uprobes) -> Result<(), &'static str> {
    emit::sessions::usable(program, options, &kernel(program, options, uprobes))
}

/// What a program needs to know of the kernel that runs.
fn kernel(program: &Program, options: &Options, uprobes: Uprobes) -> emit::KernelFacts {
    let mut wanted = btf::Wanted::default();
    facts::want(emit::needs(program, options), &mut wanted);
    facts::facts(&facts::look(&wanted), uprobes)
}

/// The inode behind each file as the kernel knows it, whatever it was opened through; `None` where it does not tell, or
/// ctp may not ask.
pub fn inodes_of(files: &[BorrowedFd<'_>]) -> Vec<Option<Inode>> {
    let mut wanted = btf::Wanted::default();
    inode::want(&mut wanted);
    let inodes = inode::Inodes::load(&facts::look(&wanted)).and_then(|inodes| inodes.of_files(files));
    inodes.unwrap_or_else(|_| vec![None; files.len()])
}

/// The eBPF engine at work.
#[derive(Debug)]
pub struct BpfEngine {
    compiled: Compiled,
    maps: Vec<Option<Map>>,
    /// The arrays of maps through which programs reach those that are deleted whole.
    outer: HashMap<emit::map::MapId, Map>,
    /// Generations that a handler of the runner works on, while the next one is filled.
    closed: HashMap<emit::map::MapId, Map>,
    /// The numbers among the globals; before them, whether `exit()` ran.
    scalars: Shared,
    /// The containers whose cgroups programs find without a look-up.
    near: Shared,
    ring: Ring,
    groups: Groups,
    /// Watches new cgroups, where tasks of the host count.
    cgroups: Option<cgroups::Watch>,
    /// Sees containers come, where they are looked out for.
    follower: Option<follow::Follower>,
    /// Sees what containers execute.
    execs: Option<execs::Execs>,
    /// Tells inodes apart; `None` where the kernel does not.
    inodes: Option<inode::Inodes>,
    programs: Vec<OwnedFd>,
    /// What is to be attached, each with its links while it is.
    plans: Vec<(Plan, Vec<OwnedFd>)>,
    uprobes: Uprobes,
    /// The links to each process, where processes are attached to one by one.
    processes: Option<HashMap<u32, Vec<OwnedFd>>>,
    /// Links to processes that have ended.
    going: attach::Going,
    probes: usize,
    /// How long the last wait between two looks at the ring was.
    pause: Duration,
    measuring: hot::Measuring,
    /// Records of runs that are not over.
    parts: parts::Parts,
    /// Maps that are held here, for there are stacks in their keys.
    kept: Kept,
    /// What unwinds the stacks in records.
    unwinder: Box<dyn Unwinder>,
    /// Whether a container may have ended since the last look at the ring that found nothing.
    ended: bool,
    /// Records that were none: a bug, or another writer.
    malformed: u64,
    /// Functions that the kernel cannot probe, since they were last asked for.
    left_out: Vec<String>,
    options: Options,
    /// Programs for builds that were first met while it ran.
    beside: Vec<BpfEngine>,
}

/// Stands for what unwinds where nothing was given.
#[derive(Debug)]
struct NoUnwinder;

impl Unwinder for NoUnwinder {
    fn stack(&mut self, _: &Taken<'_>) -> Stack {
        Stack { frames: Vec::new(), stopped: Some("nothing unwinds here".to_owned()) }
    }
}

/// Between looks at a ring that is in use.
const BUSY: Duration = Duration::from_millis(1);
/// Between looks at a ring in which nothing comes: the most an event waits.
const IDLE: Duration = Duration::from_millis(8);
/// Records handed over at a time.
const BATCH: usize = 4096;

impl BpfEngine {
    /// Gives it what unwinds the stacks in records; without, each says that nothing does.
    #[must_use]
    pub fn unwinding(self, unwinder: Box<dyn Unwinder>) -> BpfEngine {
        BpfEngine { unwinder, ..self }
    }

    /// Whether records hold stacks.
    pub fn has_stacks(program: &Program, options: &Options) -> bool {
        emit::needs(program, options).process
    }

    /// Attaches to processes one by one from now on ([`Engine::attach_process`]), and to nobody else: to be called before
    /// anything is attached.
    ///
    /// # Errors
    /// Where programs are attached by perf events: one of these sees a single thread.
    pub fn by_process(&mut self) -> Outcome<()> {
        if self.uprobes.here() == Uprobes::Perf {
            let message =
                "processes can be attached to one by one only by uprobe_multi links (Linux 6.6), not by perf events";
            return Err(Box::new(
                Failure::new(Code::E0402, message).help("leave out --attach process, or --uprobe perf"),
            ));
        }
        self.processes = Some(HashMap::new());
        Ok(())
    }

    /// How many links attach the program: one for each of its kinds of handlers and each real inode; of perf events, one
    /// for each address.
    pub fn links(&self) -> usize {
        self.plans.iter().map(|(_, links)| links.len()).sum()
    }

    /// What traps take on this machine: measured once it is asked for, which takes a while; `None` until then.
    ///
    /// # Errors
    /// Why it cannot be measured.
    pub fn traps(&mut self) -> Result<Option<hot::Traps>, String> {
        match self.measuring.step() {
            hot::Measuring::Not | hot::Measuring::Begun(_) => Ok(None),
            hot::Measuring::Done(traps) => Ok(Some(*traps)),
            hot::Measuring::Failed(why) => Err(why.clone()),
        }
    }

    /// What may keep hits from being seen: containers that execute another inode than the one that is probed.
    pub fn warnings<'a>(&self, program: &Program, file: &dyn Fn(FileIndex) -> Option<BorrowedFd<'a>>) -> Vec<Warning> {
        self.inodes.as_ref().map(|inodes| identity::other_inodes(program, file, inodes)).unwrap_or_default()
    }

    /// Whether a process executes this very inode.
    pub fn executes(&self, pid: u32, descriptor: BorrowedFd<'_>) -> bool {
        let Some(inodes) = &self.inodes else { return false };
        let known = inodes.of_files(&[descriptor]).ok().and_then(|inodes| inodes.first().copied().flatten());
        known.is_some_and(|known| inodes.of_process(pid).is_ok_and(|mapped| mapped.contains(&known)))
    }

    /// Records that could not be read: always 0, unless there is a bug.
    pub fn malformed(&self) -> u64 {
        self.beside.iter().fold(self.malformed, |sum, beside| sum + beside.malformed)
    }

    /// Hands over what is in the rings; returns how many records there were.
    fn drain(&mut self, event: &mut dyn FnMut(Event)) -> Outcome<usize> {
        let mut records = self.drain_own(event)?;
        for (build, beside) in self.beside.iter_mut().enumerate() {
            // One unwinds for all, and the maps that are held here are the run's.
            std::mem::swap(&mut self.unwinder, &mut beside.unwinder);
            std::mem::swap(&mut self.kept, &mut beside.kept);
            let drained = beside.drain_own(&mut |mut one| {
                one.prints.iter_mut().for_each(|printed| printed.print = beside::number(build, printed.print));
                event(one);
            });
            std::mem::swap(&mut self.unwinder, &mut beside.unwinder);
            std::mem::swap(&mut self.kept, &mut beside.kept);
            records += drained?;
        }
        Ok(records)
    }

    fn drain_own(&mut self, event: &mut dyn FnMut(Event)) -> Outcome<usize> {
        let (compiled, malformed, parts) = (&self.compiled, &mut self.malformed, &mut self.parts);
        let (kept, unwinder) = (&mut self.kept, self.unwinder.as_mut());
        self.ring
            .drain(BATCH, &mut |bytes| match compiled.decode(bytes, unwinder) {
                Ok(record) => {
                    if let Some(complete) = parts.take(record).and_then(|complete| kept.take(complete, compiled)) {
                        event(complete);
                    }
                }
                Err(emit::record::Malformed) => *malformed += 1,
            })
            .map_err(|error| failure(Code::E0405, "cannot read the ring buffer", &error))
    }

    /// Tasks that a key tells, whatever its group, count no longer.
    fn remove(&self, key: FilterKey) -> Outcome<()> {
        let mut groups = [&self.groups].into_iter().chain(self.beside.iter().map(|beside| &beside.groups));
        groups.try_for_each(|groups| groups.remove(self.who()?, key))
    }

    /// The groups that a container is in, those of builds that came later too.
    fn all_groups_of(&self, index: ContainerIndex) -> Vec<u32> {
        let beside = self.beside.iter().flat_map(|beside| beside.groups.of(index));
        self.groups.of(index).into_iter().chain(beside).collect()
    }

    /// Whether nothing comes that is not waited for: no record, no end of the run, no cgroup that is only counted.
    fn is_silent(&self) -> bool {
        let silent = self.compiled.silent && self.beside.iter().all(|beside| beside.compiled.silent);
        silent && self.cgroups.is_none()
    }

    /// What can be read when a container was made.
    fn made_fd(&self) -> Option<BorrowedFd<'_>> {
        let maps = self.compiled.follows.filter(|_| self.follower.is_some())?;
        self.maps.get(maps.ring.0 as usize)?.as_ref().map(Map::as_fd)
    }

    fn exited(&self) -> bool {
        self.scalars.number(0).is_some_and(|exited| exited.load(Ordering::Acquire) != 0)
    }

    fn who(&self) -> Outcome<Who<'_>> {
        Ok(Who { filter: self.map(FILTER)?, near: &self.near })
    }

    fn map(&self, id: emit::map::MapId) -> Outcome<&Map> {
        load::find(&self.maps, id)
    }
}

impl Engine for BpfEngine {
    fn poll(&mut self, timeout: Duration, wake: Option<BorrowedFd<'_>>, event: &mut dyn FnMut(Event)) -> Outcome<bool> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            // Looked at first: the record of a run with `exit()` is in the ring before the word is set.
            let exited = self.exited();
            let records = self.drain(event)?;
            if records > 0 {
                self.pause = BUSY;
                return Ok(exited && records < BATCH);
            }
            if std::mem::take(&mut self.ended) {
                self.unwinder.release();
            }
            if exited {
                return Ok(true);
            }
            if self.cgroups.as_ref().is_some_and(cgroups::Watch::has_new) || self.has_made() || self.has_executed() {
                return Ok(false);
            }
            let left = deadline.map_or(IDLE, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(false);
            }
            let others = self.made_fd().into_iter().chain(self.execs.as_ref().map(execs::Execs::fd));
            let woken = wait(self.pause.min(left), wake, others);
            self.pause = if self.is_silent() { left } else { (self.pause * 2).min(IDLE) };
            if woken {
                self.drain(event)?;
                return Ok(false);
            }
        }
    }

    fn attach<'a>(&mut self, file: &dyn Fn(FileIndex) -> Option<(BorrowedFd<'a>, &'a str)>) -> Outcome<()> {
        self.attach_all(file)
    }

    fn attach_process(&mut self, pid: u32) -> Outcome<Joined> {
        self.attach_to(pid)
    }

    fn detach_process(&mut self, pid: u32) {
        let links = self.processes.as_mut().and_then(|processes| processes.remove(&pid)).unwrap_or_default();
        self.going.add(links);
        self.beside.iter_mut().for_each(|beside| beside.detach_process(pid));
    }

    fn left_out(&mut self) -> Vec<String> {
        std::mem::take(&mut self.left_out)
    }

    fn release(&mut self, in_use: &dyn Fn(FileIndex) -> bool) {
        self.ended = true;
        let unused = self.plans.iter_mut().filter(|(plan, _)| !plan.files.iter().any(|file| in_use(*file)));
        let unused = unused.flat_map(|(plan, links)| {
            plan.handle = None;
            std::mem::take(links)
        });
        attach::detach(unused.collect());
    }

    fn sharing(&self, file: FileIndex) -> Vec<FileIndex> {
        let plans = self.plans.iter().filter(|(plan, _)| plan.files.contains(&file));
        plans.flat_map(|(plan, _)| plan.files.iter().copied()).filter(|other| *other != file).collect()
    }

    fn same_inode(&self, one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Option<bool> {
        match self.inodes.as_ref()?.of_files(&[one, other]).ok()?.as_slice() {
            [Some(one), Some(other)] => Some(one == other),
            _ => None,
        }
    }

    fn stop(&mut self) -> Outcome<()> {
        self.release(&|_| false);
        let processes = self.processes.iter_mut().flat_map(|processes| processes.drain());
        self.going.finish(processes.flat_map(|(_, links)| links).collect());
        self.beside.iter_mut().try_for_each(Engine::stop)
    }

    fn counters(&self) -> Outcome<Vec<Counters>> {
        let unreadable = |error: std::io::Error| failure(Code::E0405, "cannot read the counters", &error);
        let map = self.map(COUNTERS)?;
        let size = Category::ALL.len() * 8;
        (0u32..)
            .take(self.probes)
            .map(|probe| {
                let cpus = map.get(&probe.to_le_bytes()).map_err(unreadable)?.unwrap_or_default();
                let sum = |category: Category| -> u64 {
                    let at = category as usize * 8;
                    cpus.chunks_exact(size)
                        .filter_map(|cpu| Some(u64::from_le_bytes(cpu.get(at..at + 8)?.try_into().ok()?)))
                        .sum()
                };
                let parts = [&self.parts].into_iter().chain(self.beside.iter().map(|beside| &beside.parts));
                let dropped: u64 = parts.map(|parts| parts.dropped(ProbeIndex(probe))).sum();
                // Runs that did no more than change maps which are held here.
                let kept = self.kept.counted(ProbeIndex(probe));
                Ok(Counters {
                    records: sum(Category::Records).saturating_sub(dropped).saturating_sub(kept.runs),
                    aggregated: sum(Category::Aggregated).saturating_add(kept.runs),
                    filtered: sum(Category::Filtered),
                    read_faults: sum(Category::ReadFaults),
                    step_limit: sum(Category::StepLimit),
                    unmatched: sum(Category::Unmatched),
                    lost: sum(Category::Lost).saturating_add(dropped),
                    limited: sum(Category::Limited),
                    faults_shown: sum(Category::FaultsShown),
                    map_full: sum(Category::MapFull).saturating_add(kept.full),
                })
            })
            .collect()
    }

    fn print(&self, print: usize) -> Option<&Arc<ctp_lang::ir::Print>> {
        let (build, own) = beside::split(print);
        let compiled = match build {
            None => &self.compiled,
            Some(build) => &self.beside.get(build)?.compiled,
        };
        compiled.prints.get(own).map(|layout| &layout.print)
    }

    fn take_build<'a>(
        &mut self,
        program: &Program,
        file: &dyn Fn(FileIndex) -> Option<BorrowedFd<'a>>,
    ) -> Outcome<usize> {
        let beside = self.load_beside(program, file)?;
        self.beside.push(beside);
        Ok(self.beside.len() - 1)
    }

    fn build(&mut self, build: usize) -> Option<&mut dyn Engine> {
        self.beside.get_mut(build).map(|beside| beside as &mut dyn Engine)
    }

    fn counts(&self, index: ContainerIndex) -> bool {
        !self.groups.of(index).is_empty()
    }

    fn join(&mut self, index: ContainerIndex, probes: &[ProbeIndex]) {
        let sites = &self.compiled.sites;
        for cookie in self.plans.iter().flat_map(|(plan, _)| &plan.cookies) {
            if attach::site_of(*cookie, sites).is_some_and(|site| probes.contains(&site.probe)) {
                self.groups.join(index, attach::group_of(*cookie));
            }
        }
    }

    fn add_container(&mut self, index: ContainerIndex, container: &Container) -> Outcome<()> {
        self.let_in(index, container)
    }

    fn newcomer(&mut self, container: &Container, probes: &[ProbeIndex]) -> Outcome<Option<ContainerIndex>> {
        self.take_newcomer(container, probes)
    }

    fn want(&mut self, path: &str, index: ContainerIndex, pid_level: u32) -> Outcome<bool> {
        let Some(follower) = &self.follower else { return Ok(false) };
        let mut groups = self.all_groups_of(index);
        let is_empty = groups.is_empty();
        groups.push(EXECS);
        let level = u32::try_from(path.split('/').filter(|part| !part.is_empty()).count()).unwrap_or(u32::MAX);
        if is_empty || groups.len() > emit::follow::GROUPS || !self.compiled.levels.contains(&level) {
            return Ok(false);
        }
        follower.want(&self.maps, path, index.0, pid_level, &groups)
    }

    fn unwant(&mut self, path: &str) -> Outcome<()> {
        self.follower.as_ref().map_or(Ok(()), |follower| follower.unwant(&self.maps, path))
    }

    fn has_made(&self) -> bool {
        self.follower.as_ref().is_some_and(follow::Follower::has_new)
    }

    fn made(&mut self) -> Outcome<(Vec<Made>, bool)> {
        self.follower.as_mut().map_or(Ok((Vec::new(), false)), follow::Follower::made)
    }

    fn decide(&mut self, cgroup: u64, whose: Option<ContainerIndex>) -> Outcome<u64> {
        let groups = whose.map_or_else(Vec::new, |index| self.all_groups_of(index));
        self.follower.as_ref().map_or(Ok(0), |follower| follower.decide(&self.maps, cgroup, &groups))
    }

    fn watch_execs(&mut self) -> Outcome<bool> {
        self.execs = execs::Execs::start(&self.compiled, self.map(FILTER)?, self.processes.is_some())?;
        Ok(self.execs.is_some())
    }

    fn has_executed(&self) -> bool {
        self.execs.as_ref().is_some_and(execs::Execs::has_new)
    }

    fn executed(&mut self) -> Outcome<(Vec<Executed>, bool)> {
        self.execs.as_mut().map_or(Ok((Vec::new(), false)), execs::Execs::told)
    }

    fn attached_through(&self) -> Vec<FileIndex> {
        self.plans.iter().map(|(plan, _)| plan.file).collect()
    }

    fn is_live(&self, file: FileIndex) -> bool {
        self.plans.iter().any(|one| is_live(one) && one.0.files.contains(&file))
    }

    fn is_probed(&self, file: FileIndex, descriptor: BorrowedFd<'_>) -> Option<bool> {
        let known = self.inodes.as_ref()?.of_files(&[descriptor]).ok()?.first().copied()??;
        let live = self.plans.iter().filter(|one| is_live(one) && one.0.files.contains(&file));
        Some(live.map(|(plan, _)| plan.inode).any(|inode| inode == Some(known)))
    }

    fn attach_also(
        &mut self,
        file: FileIndex,
        index: ContainerIndex,
        descriptor: BorrowedFd<'_>,
        path: &str,
        stays: bool,
    ) -> Outcome<bool> {
        self.attach_elsewhere(file, index, descriptor, path, stays)
    }

    fn detach_own(&mut self, index: ContainerIndex, gone: bool) {
        let own = |plan: &Plan| plan.owner.is_some_and(|(owner, stays)| owner == index && (gone || !stays));
        attach::detach(
            self.plans.iter_mut().filter(|(plan, _)| own(plan)).flat_map(|(_, links)| std::mem::take(links)).collect(),
        );
        self.plans.retain(|(plan, _)| !own(plan));
        self.beside.iter_mut().for_each(|beside| beside.detach_own(index, gone));
    }

    fn leave(&mut self, index: ContainerIndex) {
        self.groups.leave(index);
        self.beside.iter_mut().for_each(|beside| beside.leave(index));
    }

    fn new_cgroups(&self) -> bool {
        self.cgroups.as_ref().is_some_and(cgroups::Watch::has_new)
    }

    fn tell_host(&mut self, containers: &dyn Fn() -> Outcome<HostView>) -> Outcome<()> {
        let filter = self.maps.get(FILTER.0 as usize).and_then(Option::as_ref);
        match (&mut self.cgroups, filter) {
            (Some(watch), Some(filter)) => watch.decide(filter, containers),
            (_, _) => Ok(()),
        }
    }

    fn remove_cgroup(&mut self, cgroup: u64) -> Outcome<()> {
        self.remove(FilterKey::cgroup(cgroup, 0))
    }

    fn remove_boundary(&mut self, boundary: &Boundary) -> Outcome<()> {
        self.remove(attach::key_of_boundary(boundary))
    }

    fn get(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Value> {
        match self.kept.map(global) {
            Some(kept) => Ok(kept.get(key)),
            None => self.read_global(global, key),
        }
    }

    fn has(&self, global: GlobalIndex, key: &[Value]) -> Outcome<bool> {
        match self.kept.map(global) {
            Some(kept) => Ok(kept.has(key)),
            None => self.has_entry(global, key),
        }
    }

    fn set(&mut self, global: GlobalIndex, key: &[Value], value: &Value) -> Outcome<bool> {
        match self.kept.map_mut(global) {
            Some(kept) => Ok(kept.set(key, value)),
            None => self.write_global(global, key, value),
        }
    }

    fn add(&mut self, global: GlobalIndex, key: &[Value], delta: i64) -> Outcome<Option<i64>> {
        match self.kept.map_mut(global) {
            Some(kept) => Ok(kept.add(key, delta)),
            None => self.add_to_global(global, key, delta),
        }
    }

    fn entries(&self, global: GlobalIndex) -> Outcome<Vec<MapEntry>> {
        match self.kept.map(global) {
            Some(kept) => Ok(kept.entries()),
            None => self.all_entries(global),
        }
    }

    fn delete(&mut self, global: GlobalIndex, key: &[Value]) -> Outcome<()> {
        match self.kept.map_mut(global) {
            Some(kept) => {
                kept.delete(key);
                Ok(())
            }
            None => self.delete_global(global, key),
        }
    }

    fn feed(&mut self, global: GlobalIndex, key: &[Value], value: i64) -> Outcome<bool> {
        match self.kept.map_mut(global) {
            Some(kept) => Ok(kept.feed(key, value)),
            None => BpfEngine::feed(self, global, key, value),
        }
    }

    fn stats(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Option<Stats>> {
        match self.kept.map(global) {
            Some(kept) => Ok(kept.stats(key)),
            None => self.read_stats(global, key),
        }
    }

    fn close(&mut self, global: GlobalIndex) -> Outcome<()> {
        self.close_generation(global)
    }

    fn open(&mut self, global: GlobalIndex) -> Outcome<()> {
        self.open_generation(global)
    }
}

/// Whether an inode is probed, in all processes or in each.
fn is_live((plan, links): &(Plan, Vec<OwnedFd>)) -> bool {
    !links.is_empty() || plan.handle.is_some()
}

/// Waits until one of them can be read; whether `wake` can.
fn wait<'a>(time: Duration, wake: Option<BorrowedFd<'a>>, others: impl Iterator<Item = BorrowedFd<'a>>) -> bool {
    use nix::poll::{PollFd, PollFlags, ppoll};
    use nix::sys::time::TimeSpec;
    let all = wake.into_iter().chain(others);
    let mut fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // An interrupted wait is a short one.
    let ready = ppoll(&mut fds, Some(TimeSpec::from(time)), None).is_ok_and(|ready| ready > 0);
    ready && wake.is_some() && fds.first().and_then(PollFd::any).unwrap_or(false)
}
