//! Owns programs for builds that are first met while tracing goes on: each has instructions, links and a ring of records of
//! its own, and shares with what was there before all that is the run's: who counts, the counters, the globals.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf as emit;
use ctp_lang::emit::bpf::map::{MapId, NEAR, RING, SCALARS};
use ctp_lang::ir::{FileIndex, Program};

use super::attach::{self, Groups};
use super::load::{self, failure};
use super::ring::Ring;
use super::sys::Map;
use super::{BUSY, BpfEngine, NoUnwinder, btf, facts, hot, identity, inode, kept, parts};
use crate::engine::{Failure, Outcome};

/// Output statements of a build are numbered from here on: so many times the build's number and one.
const STATEMENTS: usize = 1 << 24;

/// The number of a build's output statement, among all.
pub(super) fn number(build: usize, print: usize) -> usize {
    (build + 1) * STATEMENTS + print
}

/// The build that an output statement is of, where it is one that was taken in later.
pub fn build_of(print: usize) -> Option<usize> {
    split(print).0
}

/// Which build an output statement is of (`None`: one that was there from the beginning), and its number there.
pub(super) fn split(print: usize) -> (Option<usize>, usize) {
    ((print / STATEMENTS).checked_sub(1), print % STATEMENTS)
}

impl BpfEngine {
    /// Loads a program beside this one, and attaches nothing.
    pub(super) fn load_beside<'a>(
        &self,
        program: &Program,
        file: &dyn Fn(FileIndex) -> Option<BorrowedFd<'a>>,
    ) -> Outcome<BpfEngine> {
        let refuse = |why: String| Box::new(Failure::new(Code::E0404, why));
        let mut wanted = btf::Wanted::default();
        facts::want(emit::needs(program, &self.options), &mut wanted);
        inode::want(&mut wanted);
        let found = facts::look(&wanted);
        let inodes = inode::Inodes::load(&found).ok();
        let kernel = facts::facts(&found, self.uprobes);
        let compiled = emit::compile_beside(program, &self.options, &kernel).map_err(|diagnostics| {
            let first = diagnostics.first().map(|one| format!("{}: {}", one.code.as_str(), one.message));
            refuse(format!("for which the program cannot be compiled ({})", first.unwrap_or_default()))
        })?;
        if !self.compiled.goes_with(&compiled) {
            return Err(refuse("in which the globals of the program have other types: run ctp again".to_owned()));
        }
        let known = inodes.as_ref().map(|inodes| identity::known(program, file, inodes)).unwrap_or_default();
        let same = identity::same(&known);
        let maps = self.maps_beside(&compiled)?;
        let unshared = |error| failure(Code::E0407, "cannot map memory of the kernel", &error);
        let map = |id: MapId| load::find(&maps, id);
        let size = |id: MapId| compiled.maps.get(id.0 as usize);
        let bytes = |id: MapId| size(id).map_or(0, |spec| spec.value_size as usize);
        let ring = Ring::new(map(RING)?, size(RING).map_or(0, |spec| spec.max_entries)).map_err(unshared)?;
        let scalars = map(SCALARS)?.share(bytes(SCALARS), 0, true).map_err(unshared)?;
        let near = map(NEAR)?.share(bytes(NEAR), 0, true).map_err(unshared)?;
        let load =
            |program: &emit::BpfProgram| load::load(program, &maps, &self.outer, self.uprobes.kind(program.session));
        let programs = compiled.programs.iter().map(load).collect::<Outcome<Vec<_>>>()?;
        let first_group = self.beside.iter().map(|beside| beside.groups.next()).fold(self.groups.next(), u32::max);
        let same = |file| same.get(&file).copied().unwrap_or(file);
        let (plans, groups): (_, Groups) =
            attach::plan(&compiled, &same, &|file| known.get(&file).copied(), first_group);
        Ok(BpfEngine {
            maps,
            outer: HashMap::new(),
            closed: HashMap::new(),
            scalars,
            near,
            ring,
            groups,
            cgroups: None,
            follower: None,
            execs: None,
            inodes,
            programs,
            plans: plans.into_iter().map(|plan| (plan, Vec::new())).collect(),
            uprobes: self.uprobes,
            // Those that are there are attached to with the first file.
            processes: self.processes.as_ref().map(|known| known.keys().map(|pid| (*pid, Vec::new())).collect()),
            going: attach::Going::default(),
            probes: program.probes.len(),
            pause: BUSY,
            measuring: hot::Measuring::Not,
            parts: parts::Parts::default(),
            kept: kept::Kept::default(),
            unwinder: Box::new(NoUnwinder),
            ended: false,
            malformed: 0,
            left_out: Vec::new(),
            options: self.options,
            beside: Vec::new(),
            compiled,
        })
    }

    /// The run's maps, and those that are the new program's own, as far as it uses them.
    fn maps_beside(&self, compiled: &emit::Compiled) -> Outcome<Vec<Option<Map>>> {
        let used: HashSet<MapId> =
            compiled.programs.iter().flat_map(|program| program.maps.iter().map(|(_, map)| *map)).collect();
        let again = |id: MapId| {
            let known = self.maps.get(id.0 as usize).and_then(Option::as_ref);
            let again = known.map(Map::try_clone).transpose();
            again.map_err(|error| failure(Code::E0407, "cannot use a map once more", &error))
        };
        (0u32..)
            .map(MapId)
            .zip(&compiled.maps)
            .map(|(id, spec)| match id {
                RING => load::create_map(spec),
                _ if (id.0 as usize) < compiled.shared => again(id),
                _ if compiled.rate == Some(id) => self.compiled.rate.map_or(Ok(None), again),
                _ if used.contains(&id) => load::create_map(spec),
                _ => Ok(None),
            })
            .collect()
    }
}
