//! Owns builds that are first met while tracing goes on: the program checked once more, with a container that came with a
//! file of another build, and what of it is probed in that build. Attaches nothing itself.

use std::sync::Arc;

use ctp_lang::check::{self, check};
use ctp_lang::ir::{ContainerIndex, FileIndex, ProbeIndex, ProbeKind, Program};
use ctp_lang::world::{Place, TargetKind};

use super::files::{Files, Refused, Seen};
use super::targets::{Life, Targets};
use crate::container::{Found, Listing};
use crate::engine::Engine;
use crate::world::live::LiveWorld;

/// The most builds that are taken in: a container may make as many as it likes.
const MOST: usize = 256;

/// Why a file is not probed of which nothing is meant.
pub(super) const NOTHING_MEANT: &str = "that no probe means";

/// A build that was taken in.
pub(super) struct Build {
    /// The program as checked with it; only sites in its files are left.
    pub(super) program: Arc<Program>,
    pub(super) files: Files,
}

impl Build {
    /// The files in which these probes have sites.
    fn among(&self, probes: &[ProbeIndex]) -> Vec<FileIndex> {
        let sites = self.program.sites().filter(|(probe, _)| probes.contains(probe));
        let mut files: Vec<FileIndex> = sites.map(|(_, site)| site.file).collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

impl Targets<'_> {
    /// The program that an output statement is of; `None` for the one that was there from the beginning.
    pub(super) fn program_of(&self, print: usize) -> Option<Arc<Program>> {
        let build = crate::engine::bpf::build_of(print)?;
        self.builds.get(build).map(|build| Arc::clone(&build.program))
    }

    /// The build that a file of a container is of, which is none of those that were there from the beginning, and the file;
    /// else why it cannot be probed.
    pub(super) fn other_build(
        &mut self,
        position: usize,
        place: &Place,
        engine: &mut dyn Engine,
        back: &Found,
        world: &LiveWorld,
    ) -> Result<(usize, Seen), String> {
        if let Some(known) = self.known_build(position, place, back) {
            return Ok(known);
        }
        if !self.check_again(position, engine, back, world)? {
            return Err(NOTHING_MEANT.to_owned());
        }
        self.known_build(position, place, back).ok_or_else(|| "that has no build id to know it by".to_owned())
    }

    /// Whether some probe that matched nothing at first means what is at a place of a container.
    pub(super) fn waits_in(&self, position: usize, place: &Place) -> bool {
        let Some(watched) = self.watched.get(position) else { return false };
        let without = watched.probes.iter().filter(|probe| self.without.contains(probe));
        without.into_iter().any(|probe| self.places_of(watched, *probe, &[]).contains(place))
    }

    fn known_build(&self, position: usize, place: &Place, back: &Found) -> Option<(usize, Seen)> {
        let probes = &self.watched.get(position)?.probes;
        self.builds.iter().enumerate().find_map(|(number, build)| {
            let seen = build.files.look(&build.program, place, &build.among(probes), back);
            // What is wrong with the file was found out before.
            seen.map_err(|_: Refused| ()).ok().map(|seen| (number, seen))
        })
    }

    /// Checks the program with the containers that run now, and takes in what of it is in files of this one that are of
    /// no build known yet, or that is the first that a probe matches; whether there is anything.
    fn check_again(
        &mut self,
        position: usize,
        engine: &mut dyn Engine,
        back: &Found,
        world: &LiveWorld,
    ) -> Result<bool, String> {
        let Some(watched) = self.watched.get(position) else { return Ok(false) };
        if self.builds.len() >= MOST {
            return Err(format!("which is one more than the {MOST} that are taken in during a run"));
        }
        let index = watched.index;
        let others = self.watched.iter().enumerate().filter(|(other, watched)| {
            *other != position
                && watched.found.container.kind == TargetKind::Container
                && matches!(watched.state, Life::Runs)
        });
        // Processes and cgroups are no containers: the program asks for them by itself.
        let own = Some(back.clone()).filter(|back| back.container.kind == TargetKind::Container);
        let found: Vec<Found> = others.map(|(_, watched)| watched.found.clone()).chain(own).collect();
        let listing = Listing { found, ..Listing::default() };
        let mapped = watched.mapped.iter().map(|(_, path)| path.clone()).collect();
        let now = LiveWorld::of(self.settings.clone(), listing).looking_in(world.places().clone());
        let now = now.with_mapped(&back.container, mapped);
        let (program, said) = check(self.sources, self.files, &now, &check::Settings { depth: self.depth });
        let wrong = said.iter().find(|diagnostic| diagnostic.is_error());
        let mut program = match (program, wrong) {
            (Some(program), None) => program,
            (_, wrong) => {
                let wrong = wrong.map(|one| format!("{}: {}", one.code.as_str(), one.message)).unwrap_or_default();
                return Err(format!("for which the program does not check ({wrong})"));
            }
        };
        let same = |container: &ctp_lang::world::Container| {
            container.id == back.container.id && container.runtime == back.container.runtime
        };
        let own = (0u32..).map(ContainerIndex).zip(&program.containers).find(|(_, one)| same(one));
        let Some((own, _)) = own else { return Err(NOTHING_MEANT.to_owned()) };
        let known = |file: FileIndex| {
            let build = program.file(file).and_then(|file| file.build_id.clone());
            let of = |program: &Program| program.files.iter().any(|file| file.build_id == build);
            build.is_none() || of(self.program) || self.builds.iter().any(|build| of(&build.program))
        };
        let new: Vec<FileIndex> =
            (0u32..).map(FileIndex).take(program.files.len()).filter(|file| !known(*file)).collect();
        let whose: Arc<[ContainerIndex]> = Arc::new([index]);
        let (mut any, mut matched) = (false, Vec::new());
        for (number, probe) in (0u32..).map(ProbeIndex).zip(&mut program.probes) {
            let waited = self.without.contains(&number);
            match &mut probe.kind {
                ProbeKind::Sites(variants) => {
                    for site in variants.iter_mut().map(|variant| &mut variant.sites).flat_map(|sites| {
                        sites.retain(|site| (waited || new.contains(&site.file)) && site.containers.contains(&own));
                        sites
                    }) {
                        site.containers = Arc::clone(&whose);
                        any = true;
                        if waited && matched.last() != Some(&number) {
                            matched.push(number);
                        }
                    }
                }
                ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => {}
            }
        }
        if !any {
            return Ok(false);
        }
        // Containers are those of the run; of one that is long gone nobody asks.
        program.containers = (0..self.names.len())
            .map(|at| {
                let is_it = |index: ContainerIndex| index.0 as usize == at;
                let known = self.watched.iter().find(|watched| is_it(watched.index) && watched.index != index);
                known.map_or_else(|| back.container.clone(), |known| known.found.container.clone())
            })
            .collect();
        let files = Files::new(&program, &now);
        engine
            .take_build(&program, &|file| files.open(file).map(|(file, _)| file))
            .map_err(|failure| failure.message)?;
        self.builds.push(Build { program: Arc::new(program), files });
        self.waiting.retain(|probe| !matched.contains(probe));
        Ok(true)
    }
}
