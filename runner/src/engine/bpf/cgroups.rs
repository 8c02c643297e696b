//! Owns who belongs to the host while a program runs: the filter's cgroups that do not. New cgroups count for nobody
//! until they were looked at; what a cgroup is, the caller says.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::cgroups::{CgroupOffsets, NEW, watcher};
use ctp_lang::emit::bpf::map::{FilterKey, FilterValue, MapId, NOT_THE_HOSTS};

use super::abi::ANY;
use super::load::{failure, find};
use super::sys::Map;
use super::tracepoint::{self, Numbers};
use super::{btf, facts};
use crate::engine::{Failure, HostView, Outcome};

const MEMBERS: [(&str, &str); 4] =
    [("cgroup", "kn"), ("kernfs_node", "id"), ("cgroup", "root"), ("cgroup_root", "hierarchy_id")];

/// Adds what is asked of a cgroup to what is looked for.
pub(super) fn want(wanted: &mut btf::Wanted) {
    wanted.members.extend(MEMBERS);
}

/// Where the kernel holds what is asked of a cgroup; `None` where it does not tell.
pub(super) fn offsets(found: &btf::Found) -> Option<CgroupOffsets> {
    let member = |at: usize| MEMBERS.get(at).and_then(|member| found.members.get(member)).copied();
    Some(CgroupOffsets { node: member(0)?, node_id: member(1)?, root: member(2)?, hierarchy: member(3)? })
}

/// A watch on new cgroups.
#[derive(Debug)]
pub(super) struct Watch {
    _link: OwnedFd,
    numbers: Numbers,
    /// How many had been made when they were last looked at; `None` before the first look.
    seen: Option<i64>,
    /// What was put into the filter as containers'.
    containers: HashSet<u64>,
    /// Not before this they are looked at again: whoever makes cgroups without end does not keep ctp busy.
    next: Instant,
}

/// The least time between two looks, and how many times longer than a look itself it is.
const BETWEEN: Duration = Duration::from_millis(5);
const SHARE: u32 = 10;

impl Watch {
    /// Starts it; `counts` is the map of its numbers.
    pub(super) fn start(maps: &[Option<Map>], counts: MapId) -> Outcome<Watch> {
        let mut wanted = btf::Wanted::default();
        want(&mut wanted);
        let written = offsets(&facts::look(&wanted)).and_then(|offsets| watcher(&offsets, counts));
        let written = written.ok_or_else(|| {
            Failure::new(Code::E0402, "the kernel's BTF does not describe cgroups: `host` needs that")
                .help("select by container(…), pid(…) or cgroup(…)")
        })?;
        let map = |id| find(maps, id);
        let link = tracepoint::start(written, "ctp_cgroups", &map, "watch cgroups being made")?;
        let numbers = Numbers::of(find(maps, counts)?)?;
        Ok(Watch { _link: link, numbers, seen: None, containers: HashSet::new(), next: Instant::now() })
    }

    /// Whether some were made since they were last looked at.
    pub(super) fn has_new(&self) -> bool {
        self.seen != Some(self.numbers.all()) && Instant::now() >= self.next
    }

    /// Looks: containers' cgroups stay out, all others become the host's. Only those are judged that had been made when
    /// the look began: the caller's view shows them.
    pub(super) fn decide(&mut self, filter: &Map, view: &dyn Fn() -> Outcome<HostView>) -> Outcome<()> {
        if !self.has_new() {
            return Ok(());
        }
        let begun = Instant::now();
        let broken = |error| failure(Code::E0405, "cannot change which cgroups are the host's", &error);
        let made = self.numbers.all();
        let undecided: Vec<u64> = filter
            .entries(1024)
            .map_err(broken)?
            .iter()
            .filter(|(_, value)| value.as_slice() == NEW.to_bytes())
            .filter_map(|(key, _)| FilterKey::from_bytes(key))
            .filter(|key| key.group == NOT_THE_HOSTS)
            .map(|key| key.id)
            .collect();
        let view = view()?;
        let known = FilterValue { container: 0, pid_level: 0 }.to_bytes();
        let key = |id: u64| FilterKey::cgroup(id, NOT_THE_HOSTS).to_bytes();
        for id in view.containers.difference(&self.containers) {
            filter.set(&key(*id), &known, ANY).map_err(broken)?;
        }
        // Those that are gone make room; an id may come again.
        for id in self.containers.difference(&view.containers).filter(|id| !view.all.contains(id)) {
            filter.remove(&key(*id)).map_err(broken)?;
        }
        for id in undecided.iter().filter(|id| !view.containers.contains(id)) {
            filter.remove(&key(*id)).map_err(broken)?;
        }
        self.containers = view.containers;
        self.seen = Some(made);
        let now = Instant::now();
        self.next = now + BETWEEN.max(now.duration_since(begun) * SHARE);
        if self.numbers.without_room() > 0 {
            let message = "more cgroups were made than ctp can keep apart: who belongs to the host is not known";
            return Err(Box::new(
                Failure::new(Code::E0407, message).help("select by container(…), pid(…) or cgroup(…)"),
            ));
        }
        Ok(())
    }
}
