//! Owns loading the program that a run begins with: its maps, its instructions, who counts, and what else the kernel
//! is to tell while it runs.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::map::{FILTER, MapId, NEAR, RING, SCALARS};
use ctp_lang::emit::bpf::{self as emit, Options};
use ctp_lang::ir::{ContainerIndex, FileIndex, Program};
use ctp_lang::world::FileId;

use super::attach::Who;
use super::kept::Kept;
use super::load::failure;
use super::ring::Ring;
use super::{
    BUSY, BpfEngine, NoUnwinder, StartError, Uprobes, attach, btf, cgroups, facts, follow, generations, hot, identity,
    inode, load, parts,
};
use crate::engine::Outcome;

impl BpfEngine {
    /// Loads a program and attaches nothing. `file` gives the descriptor under which the world keeps a file.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn load<'a>(
        program: &Program,
        options: &Options,
        file: &dyn Fn(FileId) -> Option<BorrowedFd<'a>>,
    ) -> Result<BpfEngine, StartError> {
        BpfEngine::load_by(Uprobes::Auto, program, options, file)
    }

    /// The same, attached in a way of the caller's choice.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn load_by<'a>(
        uprobes: Uprobes,
        program: &Program,
        options: &Options,
        file: &dyn Fn(FileId) -> Option<BorrowedFd<'a>>,
    ) -> Result<BpfEngine, StartError> {
        let by_index = |index: FileIndex| file(program.file(index)?.id);
        let mut wanted = btf::Wanted::default();
        facts::want(emit::needs(program, options), &mut wanted);
        inode::want(&mut wanted);
        if options.follow {
            cgroups::want(&mut wanted);
        }
        let found = facts::look(&wanted);
        let inodes = if program.files.is_empty() { None } else { inode::Inodes::load(&found).ok() };
        let compiled = emit::compile(program, options, &facts::facts(&found, uprobes)).map_err(StartError::Program)?;
        let known = inodes.as_ref().map(|inodes| identity::known(program, &by_index, inodes)).unwrap_or_default();
        let same = identity::same(&known);
        let maps = load::create_maps(&compiled.maps)?;
        let map = |id: MapId| load::find(&maps, id);
        let unshared = |error| failure(Code::E0407, "cannot map memory of the kernel", &error);
        let size = |id: MapId| compiled.maps.get(id.0 as usize);
        let ring_size = size(RING).map_or(0, |spec| spec.max_entries);
        let scalars_size = size(SCALARS).map_or(0, |spec| spec.value_size as usize);
        let ring = Ring::new(map(RING)?, ring_size).map_err(unshared)?;
        let scalars = map(SCALARS)?.share(scalars_size, 0, true).map_err(unshared)?;
        let near_size = size(NEAR).map_or(0, |spec| spec.value_size as usize);
        let near = map(NEAR)?.share(near_size, 0, true).map_err(unshared)?;
        let outer = generations::outer(&compiled.maps, &maps)?;
        let load = |program: &emit::BpfProgram| load::load(program, &maps, &outer, uprobes.kind(program.session));
        let programs = compiled.programs.iter().map(load).collect::<Outcome<Vec<_>>>()?;
        let (plans, groups) = attach::plan(
            &compiled,
            &|file| same.get(&file).copied().unwrap_or(file),
            &|file| known.get(&file).copied(),
            0,
        );
        let cgroups = match compiled.watches_cgroups {
            Some(counts) => Some(cgroups::Watch::start(&maps, counts)?),
            None => None,
        };
        for (index, container) in (0u32..).map(ContainerIndex).zip(&program.containers) {
            groups.add(Who { filter: map(FILTER)?, near: &near }, index, container)?;
        }
        let follower = follow::Follower::start(&compiled, &maps, &found)?;
        Ok(BpfEngine {
            maps,
            outer,
            closed: HashMap::new(),
            scalars,
            near,
            ring,
            groups,
            cgroups,
            follower,
            execs: None,
            inodes,
            programs,
            plans: plans.into_iter().map(|plan| (plan, Vec::new())).collect(),
            uprobes,
            processes: None,
            going: attach::Going::default(),
            probes: program.probes.len(),
            pause: BUSY,
            measuring: hot::Measuring::Not,
            parts: parts::Parts::default(),
            kept: Kept::of(program, &compiled, options.map_size),
            unwinder: Box::new(NoUnwinder),
            ended: false,
            malformed: 0,
            left_out: Vec::new(),
            options: *options,
            beside: Vec::new(),
            compiled,
        })
    }
}
