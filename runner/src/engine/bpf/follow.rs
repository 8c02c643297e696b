//! Owns seeing containers come: the program at the kernel's making of cgroups, whom it is to let in, and what it told.

use std::os::fd::OwnedFd;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::Compiled;
use ctp_lang::emit::bpf::follow::{Made, Maps, follower, path_key, wanted_value};
use ctp_lang::emit::bpf::map::{FilterKey, MISSED, UNDECIDED};

use super::abi::ANY;
use super::btf::Found;
use super::cgroups;
use super::load::{failure, find};
use super::sys::Map;
use super::tracepoint::{self, Told};
use crate::engine::Outcome;

/// The program at work.
#[derive(Debug)]
pub(super) struct Follower {
    maps: Maps,
    told: Told,
    _link: OwnedFd,
}

impl Follower {
    /// Starts it; `None` where the kernel does not describe cgroups: then containers are found by looking.
    pub(super) fn start(compiled: &Compiled, maps: &[Option<Map>], found: &Found) -> Outcome<Option<Follower>> {
        let Some(ids) = compiled.follows else { return Ok(None) };
        let Some(offsets) = cgroups::offsets(found) else { return Ok(None) };
        let Some(written) = follower(&offsets, &ids) else { return Ok(None) };
        let map = |id| find(maps, id);
        let link = tracepoint::start(written, "ctp_follow", &map, "watch for containers that start")?;
        let size = compiled.maps.get(ids.ring.0 as usize).map_or(0, |spec| spec.max_entries);
        let told = Told::new(find(maps, ids.ring)?, size, find(maps, ids.counts)?)?;
        Ok(Some(Follower { maps: ids, told, _link: link }))
    }

    /// Whether cgroups were made since they were last asked for.
    pub(super) fn has_new(&self) -> bool {
        self.told.has_new()
    }

    /// The cgroups made since, in order, and whether some more could not be told.
    pub(super) fn made(&mut self) -> Outcome<(Vec<Made>, bool)> {
        self.told.new_ones(Made::from_bytes)
    }

    /// Lets the kernel put the cgroup of this path into the filter as soon as it is made. False where it cannot.
    pub(super) fn want(
        &self,
        maps: &[Option<Map>],
        path: &str,
        container: u32,
        pid_level: u32,
        groups: &[u32],
    ) -> Outcome<bool> {
        let Some(key) = path_key(path) else { return Ok(false) };
        Ok(find(maps, self.maps.wanted)?.set(&key, &wanted_value(container, pid_level, groups), ANY).is_ok())
    }

    /// No longer.
    pub(super) fn unwant(&self, maps: &[Option<Map>], path: &str) -> Outcome<()> {
        let Some(key) = path_key(path) else { return Ok(()) };
        let gone = find(maps, self.maps.wanted)?.remove(&key);
        gone.map(drop).map_err(|error| failure(Code::E0405, "cannot change which containers are wanted", &error))
    }

    /// Decides about a cgroup: how many hits at the links of these groups were its until now.
    pub(super) fn decide(&self, maps: &[Option<Map>], cgroup: u64, groups: &[u32]) -> Outcome<u64> {
        let broken = |error| failure(Code::E0405, "cannot read what was missed", &error);
        find(maps, UNDECIDED)?.remove(&cgroup.to_le_bytes()).map_err(broken)?;
        let map = find(maps, MISSED)?;
        let mut missed = 0u64;
        // What was counted elsewhere makes room when it is needed: an id is never another cgroup's.
        for key in groups.iter().map(|group| FilterKey::cgroup(cgroup, *group).to_bytes()) {
            let count = map.get(&key).map_err(broken)?.and_then(|bytes| bytes.try_into().ok());
            missed = missed.saturating_add(count.map_or(0, u64::from_le_bytes));
            map.remove(&key).map_err(broken)?;
        }
        Ok(missed)
    }
}
