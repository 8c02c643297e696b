//! Owns seeing what the tasks of containers execute, and where they are attached to one by one the processes they make:
//! the programs at the kernel's tracepoints, and what those told.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use ctp_lang::emit::bpf::Compiled;
use ctp_lang::emit::bpf::execs::{self, COUNTS, Executed, RING, teller};
use ctp_lang::emit::bpf::map::{FILTER, MapId};

use super::sys::Map;
use super::tracepoint::{self, Told};
use super::{btf, facts, load};
use crate::engine::Outcome;

/// The programs at work.
#[derive(Debug)]
pub(super) struct Execs {
    told: Told,
    /// The ring's map.
    map: Map,
    _links: Vec<OwnedFd>,
}

impl Execs {
    /// Starts them; `forks` tells whether new processes are to be told too. `None` where nobody is told by a cgroup of
    /// version 2, or where the kernel does not describe tasks: then what is executed is found by looking.
    pub(super) fn start(compiled: &Compiled, filter: &Map, forks: bool) -> Outcome<Option<Execs>> {
        if compiled.levels.is_empty() {
            return Ok(None);
        }
        let mut tellers = vec![teller(&compiled.levels, None)];
        if forks {
            let mut wanted = btf::Wanted::default();
            wanted.members.extend(facts::LINEAGE_MEMBERS);
            let Some(lineage) = facts::lineage(&facts::look(&wanted)) else { return Ok(None) };
            tellers.push(teller(&compiled.levels, Some(lineage.tgid)));
        }
        let [ring_spec, counts_spec] = execs::maps();
        let ring = load::create_map(&ring_spec)?.ok_or_else(load::missing)?;
        let counts = load::create_map(&counts_spec)?.ok_or_else(load::missing)?;
        let map = |id: MapId| match id {
            FILTER => Ok(filter),
            RING => Ok(&ring),
            COUNTS => Ok(&counts),
            MapId(_) => Err(load::missing()),
        };
        let mut links = Vec::new();
        for written in tellers {
            let Some(written) = written else { return Ok(None) };
            links.push(tracepoint::start(written, "ctp_execs", &map, "watch what containers execute")?);
        }
        Ok(Some(Execs { told: Told::new(&ring, ring_spec.max_entries, &counts)?, map: ring, _links: links }))
    }

    /// What can be read when there are some.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    /// Whether there were some since they were last asked for.
    pub(super) fn has_new(&self) -> bool {
        self.told.has_new()
    }

    /// Those since, in order, and whether some more could not be told.
    pub(super) fn told(&mut self) -> Outcome<(Vec<Executed>, bool)> {
        self.told.new_ones(Executed::from_bytes)
    }
}
