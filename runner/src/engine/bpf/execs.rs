//! Owns seeing what the tasks of containers execute, and where they are attached to one by one the processes they make:
//! the programs at the kernel's tracepoints, and what those told.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::execs::{self, COUNTS, EXEC, Executed, FORK, RING, THERE_WERE, UNTOLD, teller};
use ctp_lang::emit::bpf::map::{FILTER, MapId};
use ctp_lang::emit::bpf::{Compiled, Insn};

use super::load::{self, failure};
use super::ring::Ring;
use super::sys::{self, Kind, Map, Shared};
use super::{btf, facts};
use crate::engine::{Failure, Outcome};

/// Records taken at a time.
const BATCH: usize = 1024;

/// The programs at work.
#[derive(Debug)]
pub(super) struct Execs {
    ring: Ring,
    counts: Shared,
    /// How many there had been when they were last asked for.
    seen: i64,
    untold: i64,
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
        let mut tellers = vec![(EXEC, teller(&compiled.levels, None))];
        if forks {
            let mut wanted = btf::Wanted::default();
            wanted.members.extend(facts::LINEAGE_MEMBERS);
            let Some(lineage) = facts::lineage(&facts::look(&wanted)) else { return Ok(None) };
            tellers.push((FORK, teller(&compiled.levels, Some(lineage.tgid))));
        }
        let missing = || Box::new(Failure::new(Code::E0403, "a map is missing"));
        let [ring_spec, counts_spec] = execs::maps();
        let ring = load::create_map(&ring_spec)?.ok_or_else(missing)?;
        let counts = load::create_map(&counts_spec)?.ok_or_else(missing)?;
        let map = |id: MapId| match id {
            FILTER => Ok(filter),
            RING => Ok(&ring),
            COUNTS => Ok(&counts),
            MapId(_) => Err(missing()),
        };
        let refused = |error| failure(Code::E0403, "cannot watch what containers execute", &error);
        let mut links = Vec::new();
        for (tracepoint, written) in tellers {
            let Some(mut written) = written else { return Ok(None) };
            for (at, id) in &written.maps {
                if let Some(insn) = written.insns.get_mut(*at) {
                    insn.imm = map(*id)?.as_fd().as_raw_fd();
                }
            }
            let bytes: Vec<[u8; 8]> = written.insns.into_iter().map(Insn::to_bytes).collect();
            let program = sys::load_program(Kind::RawTracepoint, "ctp_execs", &bytes, None).map_err(refused)?;
            let name = CString::new(tracepoint).map_err(|error| Failure::new(Code::E0404, error.to_string()))?;
            links.push(sys::open_raw_tracepoint(program.as_fd(), &name).map_err(refused)?);
        }
        let unshared = |error| failure(Code::E0407, "cannot map memory of the kernel", &error);
        Ok(Some(Execs {
            counts: counts.share(16, 0, true).map_err(unshared)?,
            ring: Ring::new(&ring, ring_spec.max_entries).map_err(unshared)?,
            seen: 0,
            untold: 0,
            map: ring,
            _links: links,
        }))
    }

    fn count(&self, at: usize) -> i64 {
        self.counts.number(at).map_or(0, |number| number.load(Ordering::Acquire))
    }

    /// What can be read when there are some.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    /// Whether there were some since they were last asked for.
    pub(super) fn has_new(&self) -> bool {
        self.seen != self.count(THERE_WERE)
    }

    /// Those since, in order, and whether some more could not be told.
    pub(super) fn told(&mut self) -> Outcome<(Vec<Executed>, bool)> {
        self.seen = self.count(THERE_WERE);
        let mut all = Vec::new();
        self.ring
            .drain(BATCH, &mut |bytes| all.extend(Executed::from_bytes(bytes)))
            .map_err(|error| failure(Code::E0405, "cannot read the ring buffer", &error))?;
        if all.len() == BATCH {
            // There may be more: asked for again at once.
            self.seen = self.seen.wrapping_sub(1);
        }
        let untold = self.count(UNTOLD);
        Ok((all, std::mem::replace(&mut self.untold, untold) != untold))
    }
}
