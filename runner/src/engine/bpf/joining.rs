//! Owns attaching: to files, to single processes, to further inodes of a build; and which containers count where.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use ctp_lang::codes::Code;
use ctp_lang::ir::{ContainerIndex, FileIndex, ProbeIndex};
use ctp_lang::world::{Boundary, Container};

use super::attach::{self, Plan};
use super::load::failure;
use super::{BpfEngine, Uprobes, abi, is_live, raise_limit};
use crate::engine::{Engine, Failure, Joined, Outcome};

impl BpfEngine {
    /// Attaches what is not attached: [`Engine::attach`].
    pub(super) fn attach_all<'a>(
        &mut self,
        file: &dyn Fn(FileIndex) -> Option<(BorrowedFd<'a>, &'a str)>,
    ) -> Outcome<()> {
        if self.uprobes.here() == Uprobes::Perf {
            raise_limit();
        }
        for (plan, links) in self.plans.iter_mut().filter(|(_, links)| links.is_empty()) {
            let Some((descriptor, path)) = plan.files.iter().find_map(|index| file(*index)) else { continue };
            let program = self.programs.get(plan.program);
            let program = program.ok_or_else(|| Failure::new(Code::E0403, "a program is missing"))?;
            if self.processes.is_some() {
                plan.handle = Some((owned(descriptor)?, path.to_owned()));
                continue;
            }
            let (sites, left_out) = (&self.compiled.sites, &mut self.left_out);
            let how = (self.uprobes, None);
            *links = attach::attach(plan, sites, program.as_fd(), (descriptor, path), left_out, how)?;
        }
        Ok(())
    }

    /// Attaches in one process: [`Engine::attach_process`].
    pub(super) fn attach_to(&mut self, pid: u32) -> Outcome<Joined> {
        let Some(processes) = &mut self.processes else { return Ok(Joined::Ended) };
        if let Some(before) = processes.remove(&pid) {
            // At once: as long as both are there each hit counts twice.
            attach::detach(before);
        }
        if self.going.is_full() {
            return Ok(Joined::Crowded);
        }
        let mut links = Vec::new();
        for (plan, _) in &mut self.plans {
            let Some((file, path)) = plan.handle.take() else { continue };
            let program = self.programs.get(plan.program);
            let program = program.ok_or_else(|| Failure::new(Code::E0403, "a program is missing"))?;
            let (sites, left_out) = (&self.compiled.sites, &mut self.left_out);
            let how = (self.uprobes, Some(pid));
            let attached = attach::attach(plan, sites, program.as_fd(), (file.as_fd(), &path), left_out, how);
            plan.handle = Some((file, path));
            match attached? {
                // It has ended.
                none if none.is_empty() => return Ok(Joined::Ended),
                some => links.extend(some),
            }
        }
        processes.insert(pid, links);
        let mut beside = self.beside.iter_mut().map(|beside| beside.attach_process(pid));
        beside.find(|joined| !matches!(joined, Ok(Joined::Attached))).unwrap_or(Ok(Joined::Attached))
    }

    /// Probes another inode: [`Engine::attach_also`].
    pub(super) fn attach_elsewhere(
        &mut self,
        file: FileIndex,
        index: ContainerIndex,
        descriptor: BorrowedFd<'_>,
        path: &str,
        stays: bool,
    ) -> Outcome<bool> {
        let inode = self.inodes.as_ref().and_then(|inodes| inodes.of_files(&[descriptor]).ok()?.first().copied()?);
        let sites = &self.compiled.sites;
        let mine = self.groups.of(index);
        let all = || self.plans.iter().flat_map(|(plan, _)| &plan.cookies);
        let probes: HashSet<ProbeIndex> = all()
            .filter(|cookie| mine.contains(&attach::group_of(**cookie)))
            .filter_map(|cookie| attach::site_of(*cookie, sites))
            .map(|site| site.probe)
            .collect();
        let own = |cookie: u64| attach::site_of(cookie, sites).is_some_and(|site| probes.contains(&site.probe));
        let there = |one: &(Plan, Vec<OwnedFd>)| is_live(one) && inode.is_some() && one.0.inode == inode;
        let mut cookies: Vec<u64> = Vec::new();
        for (plan, _) in self.plans.iter_mut().filter(|plan| there(plan)) {
            cookies.extend(&plan.cookies);
            // It is no longer one container's alone.
            plan.owner = plan.owner.filter(|(owner, _)| *owner == index);
        }
        if !cookies.is_empty() {
            // Another container's file is this inode: its links count for this one too.
            let mut joined = false;
            for cookie in cookies.into_iter().filter(|cookie| own(*cookie)) {
                joined |= self.groups.join(index, attach::group_of(cookie));
            }
            return Ok(joined);
        }
        let alike = self.plans.iter().filter(|(plan, _)| plan.files.contains(&file));
        // Of several plans for files of one build one stands for all: they have the same places.
        let mut first: Vec<Plan> = Vec::new();
        for (plan, _) in alike {
            if !first.iter().any(|known| known.program == plan.program) {
                first.push(plan.elsewhere(inode, (index, stays)));
            }
        }
        // It may be the build of others by now, whose places count for them alone.
        for cookie in first.iter().flat_map(|plan| &plan.cookies).filter(|cookie| own(**cookie)) {
            self.groups.join(index, attach::group_of(*cookie));
        }
        for mut plan in first {
            let program = self.programs.get(plan.program);
            let program = program.ok_or_else(|| Failure::new(Code::E0403, "a program is missing"))?;
            let (sites, left_out) = (&self.compiled.sites, &mut self.left_out);
            let mut attach = |plan: &mut Plan, pid| {
                let how = (self.uprobes, pid);
                attach::attach(plan, sites, program.as_fd(), (descriptor, path), left_out, how)
            };
            let links = match &mut self.processes {
                Some(processes) => {
                    for (pid, links) in processes {
                        links.extend(attach(&mut plan, Some(*pid))?);
                    }
                    plan.handle = Some((owned(descriptor)?, path.to_owned()));
                    Vec::new()
                }
                None => attach(&mut plan, None)?,
            };
            // One that was given up with its container makes room.
            let unused = |known: &&mut (Plan, Vec<OwnedFd>)| {
                !is_live(known) && known.0.program == plan.program && known.0.files.contains(&file)
            };
            match self.plans.iter_mut().find(unused) {
                Some(known) => *known = (Plan { owner: known.0.owner, ..plan }, links),
                None => self.plans.push((plan, links)),
            }
        }
        Ok(true)
    }

    /// Tasks count as a container's: [`Engine::add_container`].
    pub(super) fn let_in(&mut self, index: ContainerIndex, container: &Container) -> Outcome<()> {
        let is_looked_at = match (&container.cgroup, &container.boundary) {
            (Some(cgroup), _) => self.compiled.levels.contains(&cgroup.level),
            (None, Some(Boundary::Cgroup1 { controller, cgroup })) => {
                self.compiled.levels1.contains(&(*controller, cgroup.level))
            }
            (None, Some(Boundary::MountNamespace(_))) => self.compiled.namespaces,
            (None, None) => true,
        };
        if !is_looked_at {
            return Err(Box::new(Failure::new(
                Code::E0404,
                format!("the cgroup of `{}` lies elsewhere than before, or at another depth", container.display_name()),
            )));
        }
        self.groups.add(self.who()?, index, container)?;
        let mut beside = self.beside.iter_mut().filter(|beside| beside.counts(index));
        beside.try_for_each(|beside| beside.add_container(index, container))
    }

    /// A container that came later: [`Engine::newcomer`].
    pub(super) fn take_newcomer(
        &mut self,
        container: &Container,
        probes: &[ProbeIndex],
    ) -> Outcome<Option<ContainerIndex>> {
        let Some((index, writes)) = self.compiled.add_container(container) else { return Ok(None) };
        for constants in writes {
            let broken = |error| failure(Code::E0405, "cannot write the name of a container", &error);
            let map = self.map(constants.map)?;
            let mut bytes = map.get(&0u32.to_le_bytes()).map_err(broken)?.unwrap_or_default();
            if let Some(place) = bytes.get_mut(constants.offset..constants.offset + constants.bytes.len()) {
                place.copy_from_slice(&constants.bytes);
                map.set(&0u32.to_le_bytes(), &bytes, abi::ANY).map_err(broken)?;
            }
        }
        for beside in &mut self.beside {
            // The same index: all know the same containers.
            beside.newcomer(container, &[])?;
        }
        self.join(index, probes);
        Ok(Some(index))
    }
}

/// Another descriptor for a file.
fn owned(descriptor: BorrowedFd<'_>) -> Outcome<OwnedFd> {
    let again = descriptor.try_clone_to_owned();
    again.map_err(|error| failure(Code::E0407, "cannot open a descriptor once more", &error))
}
