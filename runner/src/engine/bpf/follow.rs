//! Owns seeing containers come: the program at the kernel's making of cgroups, whom it is to let in, and what it told.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::cgroups::TRACEPOINT;
use ctp_lang::emit::bpf::follow::{MADE, Made, Maps, UNTOLD, follower, path_key, wanted_value};
use ctp_lang::emit::bpf::map::{FilterKey, MISSED, MapId, UNDECIDED};
use ctp_lang::emit::bpf::{Compiled, Insn};

use super::abi::ANY;
use super::btf::Found;
use super::cgroups;
use super::load::failure;
use super::ring::Ring;
use super::sys::{self, Kind, Map, Shared};
use crate::engine::{Failure, Outcome};

/// Records taken at a time.
const BATCH: usize = 1024;

/// The program at work.
#[derive(Debug)]
pub(super) struct Follower {
    maps: Maps,
    ring: Ring,
    counts: Shared,
    /// How many cgroups had been made when they were last asked for.
    seen: i64,
    untold: i64,
    _link: OwnedFd,
}

fn find(maps: &[Option<Map>], id: MapId) -> Outcome<&Map> {
    let found = maps.get(id.0 as usize).and_then(Option::as_ref);
    found.ok_or_else(|| Box::new(Failure::new(Code::E0403, "a map is missing")))
}

impl Follower {
    /// Starts it; `None` where the kernel does not describe cgroups: then containers are found by looking.
    pub(super) fn start(compiled: &Compiled, maps: &[Option<Map>], found: &Found) -> Outcome<Option<Follower>> {
        let Some(ids) = compiled.follows else { return Ok(None) };
        let Some(offsets) = cgroups::offsets(found) else { return Ok(None) };
        let Some(mut written) = follower(&offsets, &ids) else { return Ok(None) };
        for (at, id) in &written.maps {
            if let Some(insn) = written.insns.get_mut(*at) {
                insn.imm = find(maps, *id)?.as_fd().as_raw_fd();
            }
        }
        let bytes: Vec<[u8; 8]> = written.insns.into_iter().map(Insn::to_bytes).collect();
        let refused = |error| failure(Code::E0403, "cannot watch for containers that start", &error);
        let program = sys::load_program(Kind::RawTracepoint, "ctp_follow", &bytes, None).map_err(refused)?;
        let unshared = |error| failure(Code::E0407, "cannot map memory of the kernel", &error);
        let size = compiled.maps.get(ids.ring.0 as usize).map_or(0, |spec| spec.max_entries);
        let ring = Ring::new(find(maps, ids.ring)?, size).map_err(unshared)?;
        let counts = find(maps, ids.counts)?.share(16, 0, true).map_err(unshared)?;
        let name = CString::new(TRACEPOINT).map_err(|error| Failure::new(Code::E0404, error.to_string()))?;
        let link = sys::open_raw_tracepoint(program.as_fd(), &name).map_err(refused)?;
        Ok(Some(Follower { maps: ids, ring, counts, seen: 0, untold: 0, _link: link }))
    }

    fn count(&self, at: usize) -> i64 {
        self.counts.number(at).map_or(0, |number| number.load(Ordering::Acquire))
    }

    /// Whether cgroups were made since they were last asked for.
    pub(super) fn has_new(&self) -> bool {
        self.seen != self.count(MADE)
    }

    /// The cgroups made since, in order, and whether some more could not be told.
    pub(super) fn made(&mut self) -> Outcome<(Vec<Made>, bool)> {
        self.seen = self.count(MADE);
        let mut all = Vec::new();
        self.ring
            .drain(BATCH, &mut |bytes| all.extend(Made::from_bytes(bytes)))
            .map_err(|error| failure(Code::E0405, "cannot read the ring buffer", &error))?;
        if all.len() == BATCH {
            // There may be more: asked for again at once.
            self.seen = self.seen.wrapping_sub(1);
        }
        let untold = self.count(UNTOLD);
        Ok((all, std::mem::replace(&mut self.untold, untold) != untold))
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
