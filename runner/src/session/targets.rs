//! Owns watching the containers of a run: which ended, which came back, when none is left to wait for.

use std::collections::{HashMap, HashSet};

use ctp_lang::ir::{ContainerIndex, FileIndex, Program};
use ctp_lang::world::{Container, Runtime, TargetKind};

use super::files::{Files, Refused};
use super::summary::counted;
use crate::container::watch::{self, State};
use crate::container::{self, Found, Settings};
use crate::engine::{Engine, Outcome};
use crate::world::live::LiveWorld;

/// After how many looks a container that came back without its files is given up: 10 s.
const TRIES: u32 = 100;

/// For how many looks a container that ended is searched for each time: 10 s.
const SOON: u32 = 100;
/// At every how many looks afterwards: each second.
const SELDOM: u32 = 10;

/// The containers of a run.
pub(super) struct Targets<'a> {
    program: &'a Program,
    settings: Settings,
    watched: Vec<Watched>,
}

struct Watched {
    index: ContainerIndex,
    /// Its index in the world's listing.
    listed: usize,
    found: Found,
    state: Life,
    /// Looks at which it had come back and its files could not be read yet.
    tries: u32,
    /// Looks since it ended.
    waited: u32,
}

/// What is known of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs,
    Ended,
    /// Its engine has removed it, or it is not waited for, or it runs another build now.
    Gone,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Lines for the user.
    pub(super) lines: Vec<String>,
    /// Whether nothing is left that could come back.
    pub(super) all_gone: bool,
}

impl<'a> Targets<'a> {
    pub(super) fn new(program: &'a Program, world: &LiveWorld) -> Targets<'a> {
        let watched = (0u32..)
            .map(ContainerIndex)
            .zip(&program.containers)
            .filter_map(|(index, container)| {
                let (listed, found) = world.found_for(container)?;
                Some(Watched { index, listed, found, state: Life::Runs, tries: 0, waited: 0 })
            })
            .collect();
        Targets { program, settings: Settings::from_env(), watched }
    }

    /// Who is traced, as messages say it: `2 containers (web, db)`, `process 12`, `the host`.
    pub(super) fn described(&self) -> String {
        let of = |kind: TargetKind| -> Vec<&str> {
            let all = self.program.containers.iter().filter(|one| one.kind == kind);
            let mut names: Vec<&str> = all.map(Container::display_name).collect();
            names.dedup();
            names
        };
        let mut parts = Vec::new();
        for (kind, what) in [
            (TargetKind::Container, "container"),
            (TargetKind::Process, "process"),
            (TargetKind::Cgroup, "cgroup"),
            (TargetKind::Host, "host"),
        ] {
            let names = of(kind);
            match (kind, names.as_slice()) {
                (_, []) => {}
                (TargetKind::Host, _) => parts.push("the host".to_owned()),
                (TargetKind::Process, [_, _, ..]) => {
                    parts.push(format!("{} processes ({})", names.len(), names.join(", ")))
                }
                (_, _) => parts.push(format!("{} ({})", counted(names.len() as u64, what), names.join(", "))),
            }
        }
        parts.join(" and ")
    }

    /// The first process that ended before it could be told who it is.
    pub(super) fn ended_process(&self) -> Option<String> {
        let ended =
            |watched: &&Watched| watched.found.container.kind == TargetKind::Process && !watch::alive(&watched.found);
        self.watched.iter().find(ended).map(|watched| watched.found.container.described())
    }

    /// Looks at every container once.
    pub(super) fn look(
        &mut self,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        follow: bool,
    ) -> Outcome<Said> {
        let mut said = Said::default();
        let mut now = Now::default();
        for position in 0..self.watched.len() {
            let Some(watched) = self.watched.get(position) else { continue };
            let next = match watched.state {
                Life::Gone => Life::Gone,
                Life::Runs => match watch::state(&watched.found) {
                    State::Running | State::Frozen => Life::Runs,
                    State::Ended if follow && watched.found.container.kind != TargetKind::Process => Life::Ended,
                    State::Ended => Life::Gone,
                },
                Life::Ended => {
                    let waited = watched.waited;
                    if let Some(watched) = self.watched.get_mut(position) {
                        watched.waited = waited.wrapping_add(1);
                    }
                    // Soon after its end it is searched for at every look, later less often: listing all costs time.
                    if waited < SOON || waited.is_multiple_of(SELDOM) {
                        self.look_for(position, engine, files, &mut now, &mut said)?
                    } else {
                        Life::Ended
                    }
                }
            };
            let Some(watched) = self.watched.get_mut(position) else { continue };
            let before = std::mem::replace(&mut watched.state, next);
            if before == Life::Runs && next != Life::Runs {
                let name = watched.found.container.display_name();
                said.lines.push(match next {
                    Life::Ended => format!("{name} ended; waiting for it to come back (Ctrl-C ends the run)"),
                    Life::Runs | Life::Gone => format!("{name} ended"),
                });
                world.release(watched.listed);
            }
            if next != before && next != Life::Runs {
                // What was opened anew in a container that is then not traced is given up too.
                self.release(engine, files);
            }
        }
        said.all_gone = self.watched.iter().all(|watched| watched.state == Life::Gone);
        Ok(said)
    }

    /// Looks whether a container that ended came back.
    fn look_for(
        &mut self,
        position: usize,
        engine: &mut dyn Engine,
        files: &mut Files,
        now: &mut Now,
        said: &mut Said,
    ) -> Outcome<Life> {
        let Some(watched) = self.watched.get_mut(position) else { return Ok(Life::Gone) };
        let name = watched.found.container.display_name().to_owned();
        let Some(back) = watch::successor_in(now.listed(&self.settings), &watched.found) else {
            let container = &watched.found.container;
            if container.kind == TargetKind::Container && !now.may_come_back(&self.settings, container) {
                said.lines.push(format!("{name} was removed"));
                return Ok(Life::Gone);
            }
            return Ok(Life::Ended);
        };
        if let Some(old) = &watched.found.container.cgroup {
            engine.remove_cgroup(old.id)?;
        }
        let index = watched.index;
        for file in files_of(self.program, index) {
            let path = self.program.file(file).map_or("", |file| file.path.as_str());
            let problem = match files.reopen(self.program, file, &back) {
                Ok(()) if shares(engine, files, file) => continue,
                Ok(()) => format!("{name} restarted with its own copy of {path}"),
                Err(Refused::OtherBuild) => format!("{name} restarted with another build of {path}"),
                // Its engine may not have set its root up yet.
                Err(Refused::Unreadable) if watched.tries < TRIES => {
                    watched.tries += 1;
                    return Ok(Life::Ended);
                }
                Err(Refused::Unreadable) => format!("{name} restarted, but {path} cannot be read in it"),
            };
            said.lines.push(format!("{problem}: not traced; run ctp again to check it"));
            return Ok(Life::Gone);
        }
        (watched.tries, watched.waited) = (0, 0);
        watched.found = back.clone();
        let again = engine.attach(&|file| files.open(file)).and_then(|()| engine.add_container(index, &back.container));
        if let Err(failure) = again {
            said.lines.push(format!("{name} restarted, but is not traced: {}", failure.message));
            return Ok(Life::Gone);
        }
        said.lines.push(format!("{name} restarted, attached again; its first calls may have been missed"));
        Ok(Life::Runs)
    }

    /// Gives up the files that no running container uses.
    fn release(&self, engine: &mut dyn Engine, files: &mut Files) {
        let in_use = |file: FileIndex| {
            self.program.sites().filter(|(_, site)| site.file == file).any(|(_, site)| {
                let runs = |watched: &Watched| watched.state == Life::Runs && site.containers.contains(&watched.index);
                self.watched.iter().any(runs)
            })
        };
        engine.release(&in_use);
        (0u32..)
            .map(FileIndex)
            .take(self.program.files.len())
            .filter(|file| !in_use(*file))
            .for_each(|file| files.close(file));
    }
}

/// What was found out in one look, once for all containers.
#[derive(Default)]
struct Now {
    listed: Option<Vec<Found>>,
    known: HashMap<Runtime, Option<HashSet<String>>>,
}

impl Now {
    fn listed(&mut self, settings: &Settings) -> &[Found] {
        self.listed
            .get_or_insert_with(|| container::discover(settings).map(|listing| listing.found).unwrap_or_default())
    }

    /// Whether its engine still knows a container, or cannot be asked.
    fn may_come_back(&mut self, settings: &Settings, container: &Container) -> bool {
        let runtime = container.runtime;
        let known = self.known.entry(runtime).or_insert_with(|| container::all_known(settings, runtime));
        known.as_ref().is_none_or(|ids| ids.contains(&container.id))
    }
}

/// The files that a container's sites are in.
fn files_of(program: &Program, index: ContainerIndex) -> Vec<FileIndex> {
    let sites = program.sites().filter(|(_, site)| site.containers.contains(&index));
    let mut files: Vec<FileIndex> = sites.map(|(_, site)| site.file).collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// Whether a file opened anew still is the inode of the files it shares a link with; true where it shares none.
fn shares(engine: &dyn Engine, files: &Files, file: FileIndex) -> bool {
    let Some((new, _)) = files.open(file) else { return false };
    let others = engine.sharing(file).into_iter().filter_map(|other| files.open(other));
    others.map(|(other, _)| engine.same_inode(new, other)).all(|same| same == Some(true))
}
