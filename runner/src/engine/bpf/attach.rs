//! Owns which tasks count at which link: groups of containers, the filter's entries, and the links themselves, one for
//! each file that programs attach to.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::map::{EXECS, FilterKey, FilterValue, Near};
use ctp_lang::emit::bpf::{BpfProgram, Compiled, CompiledSite, SiteId};
use ctp_lang::ir::{ContainerIndex, FileIndex};
use ctp_lang::world::{Boundary, Container, TargetKind};

use super::abi::ANY;
use super::inode::Inode;
use super::load::failure;
use super::perf::Uprobes;
use super::sys::{Map, Shared};
use super::tasks;
use crate::engine::{Failure, Outcome};

/// Sets of containers for which links count, each with the selector that means them: who comes later is meant by one
/// selector and not by another, though both mean the same containers now.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The number of the first; the others follow.
    first: u32,
    sets: Vec<(Vec<ContainerIndex>, String)>,
}

/// Where programs find who counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    /// Everybody.
    pub(super) filter: &'a Map,
    /// Cgroups once more, as far as there is room.
    pub(super) near: &'a Shared,
}

impl Who<'_> {
    fn add(self, key: FilterKey, value: FilterValue) -> Outcome<()> {
        self.filter
            .set(&key.to_bytes(), &value.to_bytes(), ANY)
            .map_err(|error| failure(Code::E0404, "cannot add a container to the filter", &error))?;
        // Near is what hits look for.
        if key.process == 0
            && key.group != EXECS
            && let Some([id, group, place]) = self.slot(key)
        {
            let (own, nobody) = ((key.id, u64::from(key.group)), (Near::NOBODY, Near::NOBODY));
            let there = (read(id), read(group));
            if there == own || there == nobody {
                place.store(i64::from_le_bytes(value.to_bytes()), Ordering::Relaxed);
                group.store(own.1.cast_signed(), Ordering::Relaxed);
                id.store(own.0.cast_signed(), Ordering::Release);
            }
        }
        Ok(())
    }

    fn remove(self, key: FilterKey) -> Outcome<()> {
        if key.process == 0
            && let Some([id, group, _]) = self.slot(key)
            && (read(id), read(group)) == (key.id, u64::from(key.group))
        {
            // Its group stays there: the slot is never another's.
            id.store(Near::NOBODY.cast_signed(), Ordering::Release);
        }
        let removed = self.filter.remove(&key.to_bytes());
        removed.map(drop).map_err(|error| failure(Code::E0404, "cannot remove a container from the filter", &error))
    }

    /// The id, the group and the value of the only slot where a cgroup may be.
    fn slot(&self, key: FilterKey) -> Option<[&AtomicI64; 3]> {
        let at = |offset: u32| self.near.number((Near::offset(key.id, key.group) + offset) as usize);
        Some([at(0)?, at(Near::GROUP)?, at(Near::VALUE)?])
    }
}

fn read(number: &AtomicI64) -> u64 {
    number.load(Ordering::Relaxed).cast_unsigned()
}

impl Groups {
    fn number(&mut self, mut containers: Vec<ContainerIndex>, selector: &str) -> u32 {
        containers.sort_unstable();
        containers.dedup();
        let index = self.sets.iter().position(|(known, of)| *known == containers && of == selector);
        let index = index.unwrap_or_else(|| {
            self.sets.push((containers, selector.to_owned()));
            self.sets.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX).saturating_add(self.first)
    }

    /// All numbers that are taken, with those before the first: the number that is free.
    pub(super) fn next(&self) -> u32 {
        self.first.saturating_add(u32::try_from(self.sets.len()).unwrap_or(u32::MAX))
    }

    fn all(&self) -> impl Iterator<Item = (u32, &Vec<ContainerIndex>)> {
        (self.first..).zip(self.sets.iter().map(|(members, _)| members))
    }

    /// The groups that a container is in.
    pub(super) fn of(&self, index: ContainerIndex) -> Vec<u32> {
        self.all().filter(|(_, members)| members.contains(&index)).map(|(group, _)| group).collect()
    }

    /// Takes a container into a group; whether it was not in it.
    pub(super) fn join(&mut self, index: ContainerIndex, group: u32) -> bool {
        let at = group.checked_sub(self.first).and_then(|at| self.sets.get_mut(at as usize));
        match at {
            Some((members, _)) if !members.contains(&index) => {
                members.push(index);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes a container out of all groups.
    pub(super) fn leave(&mut self, index: ContainerIndex) {
        self.sets.iter_mut().for_each(|(members, _)| members.retain(|member| *member != index));
    }

    /// Makes the tasks of a target count in all groups it is in.
    pub(super) fn add(&self, who: Who<'_>, index: ContainerIndex, container: &Container) -> Outcome<()> {
        let (key, pid_level) = match container.kind {
            TargetKind::Container => (key_of(container)?, container.pid_level),
            // Tasks of many namespaces: each has its number of its own.
            TargetKind::Cgroup => (key_of(container)?, DEEPEST),
            TargetKind::Host => (FilterKey::host(0), DEEPEST),
            TargetKind::Process => {
                let task = tasks::of(container.init_pid)
                    .map_err(|error| {
                        failure(Code::E0404, &format!("cannot ask for {}", container.described()), &error)
                    })?
                    .ok_or_else(|| Failure::new(Code::E0406, format!("{} has ended", container.described())))?;
                (FilterKey::process(task.start, task.process, 0), task.pid_level)
            }
        };
        let value = FilterValue { container: index.0, pid_level };
        for (group, members) in self.all() {
            if members.contains(&index) {
                who.add(FilterKey { group, ..key }, value)?;
            }
        }
        match container.kind {
            TargetKind::Container | TargetKind::Cgroup if key.process == 0 => {
                who.add(FilterKey { group: EXECS, ..key }, value)
            }
            TargetKind::Container | TargetKind::Cgroup | TargetKind::Host | TargetKind::Process => Ok(()),
        }
    }

    /// Makes the tasks count no more that a key tells.
    pub(super) fn remove(&self, who: Who<'_>, key: FilterKey) -> Outcome<()> {
        for (group, _) in self.all() {
            who.remove(FilterKey { group, ..key })?;
        }
        who.remove(FilterKey { group: EXECS, ..key })
    }
}

/// A level at which no task has a pid namespace (`MAX_PID_NS_LEVEL` is 32): its own is taken.
const DEEPEST: u32 = 63;

fn key_of(container: &Container) -> Outcome<FilterKey> {
    match (&container.cgroup, &container.boundary) {
        (Some(cgroup), _) => Ok(FilterKey::cgroup(cgroup.id, 0)),
        (None, Some(boundary)) => Ok(key_of_boundary(boundary)),
        (None, None) => {
            Err(Box::new(Failure::new(Code::E0407, format!("{} has no cgroup of its own", container.described()))))
        }
    }
}

/// The key, in group 0, of tasks that are not told by a cgroup of version 2.
pub(super) fn key_of_boundary(boundary: &Boundary) -> FilterKey {
    match boundary {
        Boundary::Cgroup1 { controller, cgroup } => FilterKey::cgroup1(*controller, cgroup.id, 0),
        Boundary::MountNamespace(number) => FilterKey::mount_namespace(*number, 0),
    }
}

/// What one link attaches: where, and with which cookies.
#[derive(Debug)]
pub(super) struct Plan {
    /// Index of the program.
    pub(super) program: usize,
    /// Whether it is attached by uprobe sessions.
    pub(super) session: bool,
    /// The first of its files.
    pub(super) file: FileIndex,
    /// The files that are this inode: it is attached through one of them that is in use.
    pub(super) files: Vec<FileIndex>,
    pub(super) offsets: Vec<u64>,
    pub(super) cookies: Vec<u64>,
    /// File offsets of the semaphores of marks; 0 where there is none.
    pub(super) semaphores: Vec<u64>,
    /// The inode, where the kernel told it.
    pub(super) inode: Option<Inode>,
    /// Whose inode it is, where it is one container's alone and no file of the program; and whether it may stay probed
    /// when that has stopped.
    pub(super) owner: Option<(ContainerIndex, bool)>,
    /// Where processes are attached to one by one: the file, and its path for messages.
    pub(super) handle: Option<(OwnedFd, String)>,
}

/// Where a handler of a program stands: program, inode, offset, variant.
type Place = (usize, FileIndex, u64, usize);

/// Plans one link per program and inode: `same` gives files that are known to share one inode one representative. Sites
/// of one handler at one offset of one inode become one, which counts for all their containers.
pub(super) fn plan(
    compiled: &Compiled,
    same: &dyn Fn(FileIndex) -> FileIndex,
    inode: &dyn Fn(FileIndex) -> Option<Inode>,
    first_group: u32,
) -> (Vec<Plan>, Groups) {
    let mut groups = Groups { first: first_group, sets: Vec::new() };
    let program_of = |site: &CompiledSite| {
        let serves =
            |program: &BpfProgram| program.files.contains(&site.file) && program.variants.contains(&site.variant);
        compiled.programs.iter().position(serves)
    };
    let mut merged: BTreeMap<Place, (SiteId, Vec<ContainerIndex>)> = BTreeMap::new();
    for (id, site) in (0u32..).map(SiteId).zip(&compiled.sites) {
        let Some(program) = program_of(site) else { continue };
        let key = (program, same(site.file), site.file_offset, site.variant);
        let (_, containers) = merged.entry(key).or_insert_with(|| (id, Vec::new()));
        containers.extend(site.containers.iter().copied());
    }
    let mut files: BTreeMap<FileIndex, Vec<FileIndex>> = BTreeMap::new();
    for site in &compiled.sites {
        let known = files.entry(same(site.file)).or_default();
        if !known.contains(&site.file) {
            known.push(site.file);
        }
    }
    // Whoever probes an address must name the same semaphore (alloc_uprobe in kernel/events/uprobes.c).
    let semaphores: BTreeMap<(FileIndex, u64), u64> =
        compiled.sites.iter().filter_map(|site| Some(((same(site.file), site.file_offset), site.semaphore?))).collect();
    let mut plans: Vec<Plan> = Vec::new();
    // The last first: the kernel runs first what was attached last (`consumer_add` in kernel/events/uprobes.c), and probes
    // that stand at one place run in the order of the program.
    for ((program, file, offset, _), (site, containers)) in merged.into_iter().rev() {
        let selector = compiled.site(site).map_or("", |site| selector(compiled.point(site.probe)));
        let cookie = (u64::from(groups.number(containers, selector)) << 32) | u64::from(site.0);
        let semaphore = semaphores.get(&(file, offset)).copied().unwrap_or(0);
        match plans.last_mut() {
            Some(plan) if plan.program == program && plan.file == file => {
                plan.offsets.push(offset);
                plan.cookies.push(cookie);
                plan.semaphores.push(semaphore);
            }
            Some(_) | None => {
                let files = files.get(&file).cloned().unwrap_or_default();
                let (offsets, cookies, semaphores) = (vec![offset], vec![cookie], vec![semaphore]);
                plans.push(Plan {
                    program,
                    session: compiled.programs.get(program).is_some_and(|program| program.session),
                    file,
                    files,
                    offsets,
                    cookies,
                    semaphores,
                    inode: inode(file),
                    owner: None,
                    handle: None,
                });
            }
        }
    }
    (plans, groups)
}

/// Whom a point means, as it is written: `container("web-*")` of `container("web-*"):/app/x.fn("f")`.
fn selector(point: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in point.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b')' if !quoted => return point.get(..=at).unwrap_or(point),
            b':' | b'.' if !quoted => return point.get(..at).unwrap_or(point),
            _ => {}
        }
    }
    point
}

/// What the kernel says of an instruction that it can neither emulate nor step over elsewhere (`ENOTSUPP` of
/// `include/linux/errno.h`, which libc does not know), AVX ones among them.
const NOT_PROBEABLE: i32 = 524;

/// Attaches through the descriptor that was checked, in all processes or in one. Functions whose instruction the kernel cannot probe are taken out
/// of the plan where their probe has others, and named in `left_out`.
pub(super) fn attach(
    plan: &mut Plan,
    sites: &[CompiledSite],
    program: BorrowedFd<'_>,
    (file, path): (BorrowedFd<'_>, &str),
    left_out: &mut Vec<String>,
    (uprobes, pid): (Uprobes, Option<u32>),
) -> Outcome<Vec<OwnedFd>> {
    let through = format!("/proc/self/fd/{}", file.as_raw_fd());
    let through = CString::new(through).map_err(|error| Failure::new(Code::E0404, error.to_string()))?;
    make_resident(file, &plan.offsets);
    let how = (program, plan.session);
    let link = |plan: &Plan| uprobes.attach(how, pid, &through, &plan.offsets, &plan.cookies, &plan.semaphores);
    let cannot = |error: &std::io::Error| failure(Code::E0404, &format!("cannot attach to `{path}`"), error);
    let error = match link(plan) {
        Ok(link) => return Ok(link),
        Err(error) => error,
    };
    if pid.is_some() && error.raw_os_error() == Some(libc::ESRCH) {
        return Ok(Vec::new());
    }
    if error.raw_os_error() != Some(NOT_PROBEABLE) {
        return Err(cannot(&error));
    }
    let mut refused = Vec::new();
    let attaches = |offsets: &[u64], cookies: &[u64]| uprobes.attach(how, pid, &through, offsets, cookies, &[]).is_ok();
    find_refused(&plan.offsets, &plan.cookies, &attaches, &mut refused);
    let left = plan.without(&refused, sites);
    if let Some(left) = left.filter(|left| !left.offsets.is_empty()) {
        for cookie in plan.cookies.iter().filter(|cookie| !left.cookies.contains(cookie)) {
            let name = site_of(*cookie, sites).map_or_else(String::new, |site| site.function.to_string());
            if !left_out.contains(&name) {
                left_out.push(name);
            }
        }
        *plan = left;
        return link(plan).map_err(|error| cannot(&error));
    }
    let site = sites.iter().find(|site| plan.files.contains(&site.file) && refused.contains(&site.file_offset));
    let place = site.map_or_else(String::new, |site| format!(" at {:#x}, in `{}`", site.address, site.function));
    let message = format!("cannot attach to `{path}`{place}: the kernel cannot probe the instruction there");
    Err(Box::new(Failure::new(Code::E0404, message).help("leave this function out")))
}

/// The site that a link's cookie stands for: its lower half.
pub(super) fn site_of(cookie: u64, sites: &[CompiledSite]) -> Option<&CompiledSite> {
    sites.get(usize::try_from(cookie & u64::from(u32::MAX)).ok()?)
}

/// The group that a link's cookie stands for: its upper half.
pub(super) fn group_of(cookie: u64) -> u32 {
    u32::try_from(cookie >> 32).unwrap_or(u32::MAX)
}

impl Plan {
    /// The same for another inode, which is reached through no file of the program.
    pub(super) fn elsewhere(&self, inode: Option<Inode>, owner: (ContainerIndex, bool)) -> Plan {
        Plan {
            program: self.program,
            session: self.session,
            file: self.file,
            files: self.files.clone(),
            offsets: self.offsets.clone(),
            cookies: self.cookies.clone(),
            semaphores: self.semaphores.clone(),
            inode,
            owner: Some(owner),
            handle: None,
        }
    }

    /// The plan without the functions that have one of these offsets, with all their addresses (an entry without its
    /// returns is worth nothing); `None` where a probe would lose all it has here.
    fn without(&self, refused: &[u64], sites: &[CompiledSite]) -> Option<Plan> {
        let all = || self.offsets.iter().zip(&self.cookies).zip(&self.semaphores);
        let function = |cookie: u64| site_of(cookie, sites).map(|site| (site.probe, site.function.clone()));
        let gone: Vec<_> = all()
            .filter(|((at, _), _)| refused.contains(at))
            .filter_map(|((_, cookie), _)| function(*cookie))
            .collect();
        let stays = |cookie: u64| function(cookie).is_some_and(|function| !gone.contains(&function));
        let mut left = Plan {
            program: self.program,
            session: self.session,
            file: self.file,
            files: self.files.clone(),
            offsets: Vec::new(),
            cookies: Vec::new(),
            semaphores: Vec::new(),
            inode: self.inode,
            owner: self.owner,
            handle: self.handle.as_ref().and_then(|(file, path)| Some((file.try_clone().ok()?, path.clone()))),
        };
        for ((offset, cookie), semaphore) in all().filter(|((_, cookie), _)| stays(**cookie)) {
            left.offsets.push(*offset);
            left.cookies.push(*cookie);
            left.semaphores.push(*semaphore);
        }
        let probes = |plan: &Plan| -> std::collections::BTreeSet<_> {
            plan.cookies.iter().filter_map(|cookie| function(*cookie)).map(|(probe, _)| probe.0).collect()
        };
        (probes(&left) == probes(self)).then_some(left)
    }
}

/// Reads a byte of every page that will be probed. A page that is not in memory the kernel reads while it installs the
/// breakpoint (install_breakpoint in kernel/events/uprobes.c), with the address spaces of the targets locked, and ext4
/// in 6.18 warns in the kernel's log of that read.
fn make_resident(file: BorrowedFd<'_>, offsets: &[u64]) {
    let mut page = None;
    for offset in offsets {
        if page.replace(offset / 4096) != Some(offset / 4096)
            && let Ok(offset) = i64::try_from(*offset)
        {
            // A page that cannot be read fails to be probed, which is reported there.
            let _ = nix::sys::uio::pread(file, &mut [0u8; 1], offset);
        }
    }
}

/// The offsets that the kernel refuses, found by halving.
fn find_refused(offsets: &[u64], cookies: &[u64], attaches: &dyn Fn(&[u64], &[u64]) -> bool, refused: &mut Vec<u64>) {
    if offsets.is_empty() || attaches(offsets, cookies) {
        return;
    }
    if let [one] = offsets {
        refused.push(*one);
        return;
    }
    let middle = offsets.len() / 2;
    let ((low, high), (low_cookies, high_cookies)) = (offsets.split_at(middle), cookies.split_at(middle));
    find_refused(low, low_cookies, attaches, refused);
    find_refused(high, high_cookies, attaches, refused);
}

/// Closes links, each of which takes the kernel some milliseconds, from several threads.
pub(super) fn detach(links: Vec<OwnedFd>) {
    const THREADS: usize = 16;
    if links.len() < 2 {
        return drop(links);
    }
    let share = links.len().div_ceil(THREADS).max(1);
    let mut links = links;
    std::thread::scope(|scope| {
        while !links.is_empty() {
            let part = links.split_off(links.len().saturating_sub(share));
            // Where no thread is to be had they are closed here, with what would have run.
            drop(std::thread::Builder::new().spawn_scoped(scope, move || drop(part)));
        }
    });
}

/// Links that are being closed beside the run: the kernel takes tens of milliseconds for each, and processes that begin
/// and end without end leave as many as they like.
#[derive(Debug, Default)]
pub(super) struct Going {
    waiting: Vec<OwnedFd>,
    closing: Option<JoinHandle<()>>,
}

impl Going {
    /// Most links that wait: some have to be closed within a second or two when the run ends.
    const MOST: usize = 256;

    /// Whether nothing more is to be attached until some are closed.
    pub(super) fn is_full(&mut self) -> bool {
        self.close();
        self.waiting.len() >= Going::MOST
    }

    /// Closes these as soon as those before are closed.
    pub(super) fn add(&mut self, links: Vec<OwnedFd>) {
        self.waiting.extend(links);
        self.close();
    }

    fn close(&mut self) {
        let busy = self.closing.as_ref().is_some_and(|closing| !closing.is_finished());
        if !busy && !self.waiting.is_empty() {
            let links = std::mem::take(&mut self.waiting);
            self.closing = std::thread::Builder::new().spawn(move || detach(links)).ok();
        }
    }

    /// Closes these and all that wait; returns when that is done.
    pub(super) fn finish(&mut self, links: Vec<OwnedFd>) {
        // One after the other: each takes as many threads as there are to be. One that panicked has closed what it had.
        let _ = self.closing.take().map(JoinHandle::join);
        let mut all = std::mem::take(&mut self.waiting);
        all.extend(links);
        detach(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_ends_where_its_place_begins() {
        assert_eq!(selector(r#"container("web-*"):/app/x.fn("f")"#), r#"container("web-*")"#);
        assert_eq!(
            selector(r#"container(name="a:\"b", label="c=d"):exe.fn("f")"#),
            r#"container(name="a:\"b", label="c=d")"#
        );
        assert_eq!(selector(r#"container("web").fn("f")"#), r#"container("web")"#);
        assert_eq!(selector("host:/usr/bin/x.fn(\"f\")"), "host");
    }

    /// One set of containers that two selectors mean is two groups; a number is never another engine part's.
    #[test]
    fn groups_are_of_a_set_and_a_selector() {
        let mut groups = Groups { first: 7, sets: Vec::new() };
        let web = vec![ContainerIndex(0)];
        let numbers = ["container(\"web-*\")", "container(\"web-1\")", "container(\"web-*\")"]
            .map(|selector| groups.number(web.clone(), selector));
        assert_eq!(numbers, [7, 8, 7]);
        groups.join(ContainerIndex(1), 7);
        assert_eq!(
            (groups.of(ContainerIndex(0)), groups.of(ContainerIndex(1)), groups.next()),
            (vec![7, 8], vec![7], 9)
        );
        groups.leave(ContainerIndex(1));
        assert_eq!((groups.of(ContainerIndex(0)), groups.of(ContainerIndex(1))), (vec![7, 8], vec![]));
    }
}
