//! Owns watching the containers of a run: which ended, which came back, when none is left to wait for.

use ctp_lang::ir::{ContainerIndex, Program};

use crate::container::watch::{self, State};
use crate::container::{self, Found, Settings};
use crate::engine::{Engine, Outcome};
use crate::world::live::LiveWorld;

/// The containers of a run.
pub(super) struct Targets<'a> {
    program: &'a Program,
    settings: Settings,
    watched: Vec<Watched>,
    /// Looks since those that ended were last searched for.
    looks: u32,
}

struct Watched {
    index: ContainerIndex,
    found: Found,
    state: Life,
}

/// What is known of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs,
    Ended,
    /// Its engine has removed it, or it is not waited for.
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

/// Every how many looks containers that ended are searched for again.
const SEARCH: u32 = 2;

impl<'a> Targets<'a> {
    pub(super) fn new(program: &'a Program, world: &LiveWorld) -> Targets<'a> {
        let found = world.found().unwrap_or_default();
        let watched = (0u32..)
            .map(ContainerIndex)
            .zip(&program.containers)
            .filter_map(|(index, container)| {
                let same =
                    |found: &&Found| found.container.id == container.id && found.container.runtime == container.runtime;
                let found = found.iter().find(same)?.clone();
                Some(Watched { index, found, state: Life::Runs })
            })
            .collect();
        Targets { program, settings: Settings::from_env(), watched, looks: 0 }
    }

    /// Names as messages show them.
    pub(super) fn names(&self) -> Vec<String> {
        self.program.containers.iter().map(|container| container.display_name().to_owned()).collect()
    }

    /// Looks at every container once.
    pub(super) fn look(&mut self, engine: &mut dyn Engine, follow: bool) -> Outcome<Said> {
        let mut said = Said::default();
        self.looks = self.looks.wrapping_add(1);
        let search = self.looks.is_multiple_of(SEARCH);
        for watched in &mut self.watched {
            let name = watched.found.container.display_name().to_owned();
            match watched.state {
                Life::Gone => {}
                Life::Runs => match watch::state(&watched.found) {
                    State::Running | State::Frozen => {}
                    State::Ended if follow => {
                        watched.state = Life::Ended;
                        said.lines.push(format!("{name} ended; waiting for it to come back (Ctrl-C ends the run)"));
                    }
                    State::Ended => {
                        watched.state = Life::Gone;
                        said.lines.push(format!("{name} ended"));
                    }
                },
                Life::Ended if search => {
                    if let Ok(Some(back)) = watch::successor(&self.settings, &watched.found) {
                        if let Some(old) = &watched.found.container.cgroup {
                            engine.remove_cgroup(old.id)?;
                        }
                        engine.add_container(watched.index, &back.container)?;
                        watched.found = back;
                        watched.state = Life::Runs;
                        said.lines.push(format!("{name} restarted, attached again"));
                    } else if container::still_known(&self.settings, &watched.found.container) == Some(false) {
                        watched.state = Life::Gone;
                        said.lines.push(format!("{name} was removed"));
                    }
                }
                Life::Ended => {}
            }
        }
        said.all_gone = self.watched.iter().all(|watched| watched.state == Life::Gone);
        Ok(said)
    }
}
