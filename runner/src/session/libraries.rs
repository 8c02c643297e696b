//! Owns libraries that processes map while tracing goes on from places where none was found before: the kernel tells of
//! every mapping of code (the side band of perf events), and what a container maps that a `lib(…)` means is looked at as
//! what it executes is.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ctp_lang::ir::ProbeIndex;
use ctp_lang::resolve::is_library;
use ctp_lang::syntax::ast::{PointKind, Where};
use ctp_lang::world::Place;

use super::execs::monotonic;
use super::targets::{Kind, Life, Targets, Word};
use crate::container;
use crate::engine::bpf::mappings::{Happened, Watch, What};

/// How often what the kernel told is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often all mappings are looked at where the kernel does not tell.
const SELDOM: Duration = Duration::from_secs(1);
/// The most processes of a container that are asked whether it was theirs.
const MOST_PROCESSES: usize = 1 << 14;
/// The most places of libraries that are taken in of one container: it may make as many as it likes.
const MOST_PLACES: usize = 64;

/// What tells of mappings.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    /// The probes that mean libraries, each with their name.
    names: Vec<(ProbeIndex, String)>,
    watch: Option<Watch>,
    /// When it is looked next.
    next: Option<Instant>,
    /// What was told and not taken in yet, and whether there was more.
    told: Option<(Vec<Happened>, bool)>,
}

/// Code that was mapped: its path, by whom and when, where that is known.
type Mapping = (String, Option<(u32, Duration)>);

impl Libraries {
    /// When mappings are to be looked at; `None` where no probe means libraries.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }
}

impl Targets<'_> {
    /// Begins to watch what is mapped, where some probe means libraries; what there is to say of containers that have mapped
    /// too much since they were looked at.
    pub(super) fn watch_libraries(&mut self) -> Vec<Word> {
        let name = |(probe, point): (ProbeIndex, &Option<&ctp_lang::syntax::ast::Point>)| match &(*point)?.kind {
            PointKind::Site { place: Some(Where::Lib { name, .. }), .. } => Some((probe, name.text().into_owned())),
            PointKind::Site { .. } | PointKind::Begin | PointKind::End | PointKind::Every(_) => None,
        };
        let names: Vec<_> = (0u32..).map(ProbeIndex).zip(&self.points).filter_map(name).collect();
        if names.is_empty() {
            return Vec::new();
        }
        // Where it cannot be had, mappings are looked at each second.
        let watch = Watch::start().ok();
        self.libraries = Libraries { names, watch, next: Some(Instant::now()), told: None };
        self.take_mappings();
        self.look_at_mappings(true)
    }

    /// Takes what the kernel told of mappings, where it is time for that.
    pub(super) fn take_mappings(&mut self) {
        if self.libraries.next.is_some_and(|next| next <= Instant::now()) {
            self.libraries.told = Some(self.libraries.watch.as_mut().map_or((Vec::new(), true), Watch::take));
        }
    }

    /// Takes in what was told of mappings; what there is to say of containers that map too much.
    pub(super) fn look_at_libraries(&mut self) -> Vec<Word> {
        self.look_at_mappings(false)
    }

    fn look_at_mappings(&mut self, all: bool) -> Vec<Word> {
        let mut said = Vec::new();
        let Some((happened, lost)) = self.libraries.told.take() else { return said };
        let all = all || lost;
        // Whoever maps code all the time makes the kernel lose some of it: all is not looked at each time then.
        self.libraries.next = Some(Instant::now() + if lost { SELDOM } else { LOOK });
        let told = |Happened { time, pid, what }| match what {
            What::Mapped(one) => Some((one.path, Some((pid, Duration::from_nanos(time))))),
            What::Forked(_) | What::Executed | What::Ended => None,
        };
        let means = |(path, _): &Mapping| self.libraries.names.iter().any(|(_, name)| is_library(name, path));
        let told: Vec<Mapping> = happened.into_iter().filter_map(told).filter(means).collect();
        if told.is_empty() && !all {
            return said;
        }
        // Whose those are that have ended meanwhile the kernel told when they executed something.
        let whose = self.execs.whose(&told.iter().filter_map(|(_, by)| Some((*by)?.0)).collect());
        for position in 0..self.watched.len() {
            let Some(watched) = self.watched.get(position).filter(|watched| watched.state == Life::Runs) else {
                continue;
            };
            let index = watched.index;
            let own = |(probe, _): &&(ProbeIndex, String)| watched.probes.contains(probe);
            let names: Vec<_> = self.libraries.names.iter().filter(own).cloned().collect();
            if names.is_empty() {
                continue;
            }
            let pids: HashSet<u32> =
                container::processes(&watched.found.container, MOST_PROCESSES).0.into_iter().collect();
            let its = told
                .iter()
                .filter(|(_, by)| by.is_some_and(|(pid, _)| pids.contains(&pid) || whose.get(&pid) == Some(&index)))
                .cloned();
            let mut mapped: Vec<Mapping> = its.collect();
            if all {
                let paths = container::mapped(&watched.found.container).paths;
                mapped.extend(paths.into_iter().map(|path| (path, None)));
            }
            said.extend(self.mapped(position, &names, mapped));
        }
        said
    }

    /// A container has mapped files: those at places that are not known are looked at from now on. What there is to say
    /// where these are too many.
    fn mapped(&mut self, position: usize, names: &[(ProbeIndex, String)], mapped: Vec<Mapping>) -> Option<Word> {
        let places: HashSet<Place> = self.places(position).into_iter().map(|(place, _)| place).collect();
        let mut too_many = None;
        let watched = self.watched.get_mut(position)?;
        for (path, by) in mapped {
            let means: Vec<ProbeIndex> =
                names.iter().filter(|(_, name)| is_library(name, &path)).map(|(probe, _)| *probe).collect();
            let is_new = !places.contains(&Place::Path(path.clone()));
            // What is known is looked at when it is mapped: it may be another file by now.
            if means.is_empty() || by.is_none() && !is_new {
                continue;
            }
            for one in means.into_iter().map(|probe| (probe, path.clone())).filter(|_| is_new) {
                if watched.mapped.contains(&one) {
                    continue;
                }
                if watched.mapped.len() < MOST_PLACES {
                    watched.mapped.push(one);
                } else if !std::mem::replace(&mut watched.full, true) {
                    too_many = Some(one.1);
                }
            }
            let (pid, time) = by.map_or((None, monotonic()), |(pid, time)| (Some(pid), time));
            self.execs.used(watched.index, pid, time);
        }
        let container = &watched.found.container;
        too_many.map(|path| Word {
            kind: Kind::NotTraced,
            name: container.display_name().to_owned(),
            id: container.id.clone(),
            text: format!(
                "{} has mapped libraries that `lib(…)` means at more than {MOST_PLACES} places: {path}, and further ones, are \
                 not traced",
                container.described()
            ),
        })
    }
}
