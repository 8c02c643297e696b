//! Owns the containers of a run: which ended, which came back, which came anew and are meant too, when none is left to
//! wait for. What a container that came is, and whether its files are those that are probed, is in [`super::coming`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp_lang::ir::{ContainerIndex, FileIndex, ProbeIndex, ProbeKind, Program};
use ctp_lang::resolve::selects;
use ctp_lang::source::Sources;
use ctp_lang::syntax::ast::{self, ExprKind, Point, PointKind, WhoKind};
use ctp_lang::world::{Container, Runtime, TargetKind, World as _};

use super::Session;
use super::builds::Build;
use super::execs::Execs;
use super::files::Files;
use super::libraries::Libraries;
use super::summary::counted;
use crate::container::coming::Paths;
use crate::container::watch::{self, State};
use crate::container::{self, Found, Settings};
use crate::engine::{Engine, Outcome};
use crate::world::live::LiveWorld;

/// For how many looks a container that ended is searched for each time: 10 s.
pub(super) const SOON: u32 = 100;
/// After how many looks all containers are looked at for what is waited for: 5 s.
const UNSEEN: u32 = 50;
/// How deep cgroups of containers lie: `/docker/ID`, `/system.slice/docker-ID.scope`, down to those in pods of Kubernetes in
/// a container (kind).
const DEPTHS: std::ops::RangeInclusive<u32> = 1..=8;
/// At every how many looks afterwards: each second.
pub(super) const SELDOM: u32 = 10;

/// The containers of a run.
pub(super) struct Targets<'a> {
    pub(super) program: &'a Program,
    /// Its texts and trees: it is checked again for a build that is first met later.
    pub(super) sources: &'a Sources,
    pub(super) files: &'a [ast::File],
    /// How deep whole values are shown.
    pub(super) depth: u32,
    /// The builds that were met later, by the engine's number.
    pub(super) builds: Vec<Build>,
    /// The point of each probe; `None` where it has none in the source.
    pub(super) points: Vec<Option<&'a Point>>,
    /// The probes that matched nothing when the program was checked (`?`).
    pub(super) without: Vec<ProbeIndex>,
    /// Those that have matched nothing since.
    pub(super) waiting: Vec<ProbeIndex>,
    pub(super) settings: Settings,
    pub(super) watched: Vec<Watched>,
    /// Containers that came and whose engine has not told their names yet, with when that was.
    pub(super) unnamed: Vec<(String, Container, Instant)>,
    /// Names by the engine's index of a container.
    pub(super) names: Vec<Arc<str>>,
    /// Whether all running containers are to be looked at for some that were not seen coming.
    pub(super) rescan: bool,
    /// Looks since that was done for the probes that wait.
    unseen: u32,
    /// Containers that were looked at and are not traced, by id and cgroup: they are not looked for.
    pub(super) given_up: HashSet<(String, u64)>,
    /// Whether to wait for what ended.
    pub(super) follow: bool,
    /// Whether processes are attached to one by one: then something of each that comes is missed.
    pub(super) by_process: bool,
    /// What containers execute.
    pub(super) execs: Execs,
    /// What they map.
    pub(super) libraries: Libraries,
}

/// One container.
pub(super) struct Watched {
    pub(super) index: ContainerIndex,
    /// Its index in the world's listing; `None` where it came later.
    pub(super) listed: Option<usize>,
    pub(super) found: Found,
    /// The probes that mean it.
    pub(super) probes: Vec<ProbeIndex>,
    /// The path of its cgroup, where that is known.
    pub(super) path: Option<String>,
    /// Whether the kernel lets a cgroup of that path in by itself.
    pub(super) wanted: bool,
    pub(super) state: Life,
    /// Looks since it ended.
    waited: u32,
    /// Whether its first process executes a program that the probes do not fit.
    pub(super) elsewhere: bool,
    /// Libraries that its processes mapped since it started, at places where none was found before, each with a probe that
    /// means it.
    pub(super) mapped: Vec<(ProbeIndex, String)>,
    /// Whether it was said that there are too many of these.
    pub(super) full: bool,
}

impl Watched {
    /// One that came later.
    pub(super) fn came(
        index: ContainerIndex,
        found: Found,
        probes: Vec<ProbeIndex>,
        path: &str,
        state: Life,
    ) -> Watched {
        Watched {
            index,
            listed: None,
            found,
            probes,
            path: Some(path.to_owned()),
            wanted: false,
            state,
            waited: 0,
            elsewhere: false,
            mapped: Vec::new(),
            full: false,
        }
    }
}

/// What is known of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It was seen coming; its files have not been looked at yet.
    Starts(Start),
    Runs,
    Ended,
    /// Its engine has removed it, or it is not waited for, or it runs another build now.
    Gone,
}

/// How a container came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// Whether it had been there before.
    pub(super) again: bool,
    /// Whether its files were probed when its cgroup was made, and that was seen.
    pub(super) probed: bool,
    /// Looks at which its files could not be read yet.
    pub(super) tries: u32,
    /// Whether one of its tasks has executed a program since the last look.
    pub(super) executed: bool,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What to tell the user.
    pub(super) words: Vec<Word>,
    /// Whether nothing is left that could come back.
    pub(super) all_gone: bool,
}

/// Something to tell of a container.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) text: String,
}

/// What it is about.
#[derive(Debug)]
pub(super) enum Kind {
    /// It is traced from now on: hits before that were not seen, and how late that is.
    Attached { again: bool, missed: u64, late: Option<Duration> },
    /// It ended, and whether it is waited for.
    Gone { waits: bool },
    /// It is not traced.
    NotTraced,
    /// It executes another file than those that are probed, or may: whether that is probed now, and how late, where somebody
    /// may have executed it before.
    Executed { path: String, traced: bool, late: Option<Duration> },
}

impl<'a> Targets<'a> {
    pub(super) fn new(session: &Session<'a>) -> Targets<'a> {
        let (program, files, world) = (session.program, session.files, session.world);
        let follow = session.options.follow;
        let mut probes = probes_by_container(program);
        let points = points_of_probes(program, files);
        let waiting = |container: &Container| -> Vec<ProbeIndex> {
            let without = without_sites(program);
            without.into_iter().filter(|probe| means(&points, *probe, container, &program.containers)).collect()
        };
        let watched = (0u32..)
            .map(ContainerIndex)
            .zip(&program.containers)
            .filter_map(|(index, container)| {
                let (listed, found) = world.found_for(container)?;
                let mut probes = probes.remove(&index).unwrap_or_default();
                probes.extend(waiting(container));
                probes.sort_unstable();
                let (path, wanted, state) = (None, false, Life::Runs);
                let listed = Some(listed);
                Some(Watched {
                    index,
                    listed,
                    found,
                    probes,
                    path,
                    wanted,
                    state,
                    waited: 0,
                    elsewhere: false,
                    mapped: Vec::new(),
                    full: false,
                })
            })
            .collect();
        Targets {
            program,
            sources: session.sources,
            files,
            depth: session.options.depth,
            builds: Vec::new(),
            points,
            without: without_sites(program),
            waiting: without_sites(program),
            settings: Settings::from_env(),
            watched,
            unnamed: Vec::new(),
            names: program.containers.iter().map(|container| container.display_name().into()).collect(),
            rescan: follow,
            unseen: 0,
            given_up: HashSet::new(),
            follow,
            by_process: false,
            execs: Execs::default(),
            libraries: Libraries::default(),
        }
    }

    /// The name of a container by the engine's index.
    pub(super) fn name(&self, index: ContainerIndex) -> Arc<str> {
        self.names.get(index.0 as usize).map_or_else(|| Arc::from(""), Arc::clone)
    }

    /// The folders of the cgroups of those that run.
    pub(super) fn folders(&self) -> Vec<String> {
        let running = |watched: &&Watched| matches!(watched.state, Life::Runs | Life::Starts(_));
        let cgroups = self.watched.iter().filter(running).filter_map(|watched| watched.found.container.cgroup.as_ref());
        cgroups.map(|cgroup| cgroup.folder.clone()).filter(|folder| !folder.is_empty()).collect()
    }

    /// The first that processes cannot be attached to one by one of.
    pub(super) fn without_folder(&self) -> Option<String> {
        let has = |container: &Container| container.cgroup.as_ref().is_some_and(|cgroup| !cgroup.folder.is_empty());
        let mut all = self.watched.iter().map(|watched| &watched.found.container);
        all.find(|container| !has(container)).map(Container::described)
    }

    /// Puts the layers' own files into the place of those that links would be made through.
    pub(super) fn use_layers(&self, engine: &dyn Engine, files: &mut Files) {
        let by_index: HashMap<ContainerIndex, &Watched> =
            self.watched.iter().map(|watched| (watched.index, watched)).collect();
        let mut holders: HashMap<FileIndex, &Watched> = HashMap::new();
        for (_, site) in self.program.sites() {
            if let Some(holder) = site.containers.iter().find_map(|index| by_index.get(index)) {
                holders.entry(site.file).or_insert(holder);
            }
        }
        for file in engine.attached_through() {
            let Some(holder) = holders.get(&file) else { continue };
            match holder.found.container.kind {
                TargetKind::Container => {
                    files.through_layer(file, &holder.found, &|one, other| engine.same_inode(one, other) == Some(true));
                    engine.sharing(file).into_iter().for_each(|other| files.share_layer(file, other));
                }
                TargetKind::Cgroup if holder.found.container.init_pid == 0 => files.keep(file),
                TargetKind::Cgroup | TargetKind::Process | TargetKind::Host => {}
            }
        }
    }

    /// Lets the kernel itself take containers in that come back.
    pub(super) fn want_all(&mut self, engine: &mut dyn Engine) -> Outcome<()> {
        if !self.follow {
            return Ok(());
        }
        let paths = Paths::now();
        for watched in &mut self.watched {
            watched.path = watched.found.container.cgroup.as_ref().and_then(|cgroup| paths.of(cgroup));
            if let Some(path) = &watched.path {
                watched.wanted = engine.want(path, watched.index, watched.found.container.pid_level)?;
            }
        }
        Ok(())
    }

    /// Who is traced, as messages say it.
    pub(super) fn described(&self) -> String {
        described(self.program)
    }

    /// The first process that ended before it could be told who it is.
    pub(super) fn ended_process(&self) -> Option<String> {
        let ended =
            |watched: &&Watched| watched.found.container.kind == TargetKind::Process && !watch::alive(&watched.found);
        self.watched.iter().find(ended).map(|watched| watched.found.container.described())
    }

    /// Takes in what the kernel told of new cgroups: soon, for a container's first call may be milliseconds away.
    pub(super) fn see_coming(
        &mut self,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
    ) -> Outcome<Said> {
        let mut said = Said::default();
        let (made, more) = engine.made()?;
        self.rescan |= more && self.follow;
        for made in made {
            self.came(made, engine, files, world, &mut said)?;
        }
        Ok(said)
    }

    /// Looks at every container once.
    pub(super) fn look(&mut self, engine: &mut dyn Engine, files: &mut Files, world: &LiveWorld) -> Outcome<Said> {
        let mut said = self.see_coming(engine, files, world)?;
        let mut now = Now::default();
        self.ask_again(engine, files, world, &mut said)?;
        // The kernel may not tell of some: these lie deeper than any that it was asked for.
        self.unseen = if self.awaits() { self.unseen + 1 } else { 0 };
        self.rescan |= self.unseen >= UNSEEN;
        if std::mem::take(&mut self.rescan) {
            self.unseen = 0;
            self.look_around(engine, files, world, &mut now, &mut said)?;
        }
        for position in 0..self.watched.len() {
            let Some(watched) = self.watched.get_mut(position) else { continue };
            match watched.state {
                Life::Gone => {}
                Life::Starts(start) => self.verify(position, start, engine, files, world, &mut now, &mut said)?,
                Life::Runs => match watch::state(&watched.found) {
                    State::Running | State::Frozen => {}
                    State::Ended => self.end(position, engine, files, world, &mut said)?,
                },
                // One that came later comes so again, whoever remembers it.
                Life::Ended if watched.listed.is_none() && watched.waited >= SOON => {
                    self.forget(position, engine, files)?;
                }
                Life::Ended => {
                    let waited = watched.waited;
                    watched.waited = waited.wrapping_add(1);
                    // Soon after its end it is searched for at every look, later less often: listing all costs time.
                    if waited < SOON || waited.is_multiple_of(SELDOM) {
                        self.look_for(position, engine, files, world, &mut now, &mut said)?;
                    }
                }
            }
        }
        // Of those that came later nothing need be remembered.
        self.watched.retain(|watched| {
            let stays = watched.state != Life::Gone || watched.listed.is_some();
            if !stays {
                engine.leave(watched.index);
            }
            stays
        });
        said.all_gone = self.watched.iter().all(|watched| watched.state == Life::Gone)
            && self.unnamed.is_empty()
            && !self.awaits()
            && !(self.follow && self.points.iter().flatten().any(|point| means_others(point)));
        Ok(said)
    }

    /// Whether some probe that has matched nothing yet is waited for.
    pub(super) fn awaits(&self) -> bool {
        let follows = |point: &&Point| match &point.kind {
            PointKind::Site { who, .. } => matches!(who.kind, WhoKind::Container | WhoKind::Pod),
            PointKind::Begin | PointKind::End | PointKind::Every(_) => false,
        };
        let point = |probe: &ProbeIndex| self.points.get(probe.0 as usize).copied().flatten();
        self.follow && self.waiting.iter().filter_map(point).any(|point| follows(&point))
    }

    /// The depths of cgroups at which what is waited for may come, one bit each: where nothing is probed yet, and so nobody
    /// pays for it, all that engines use, else those of the containers that run.
    pub(super) fn depths(&self, world: &LiveWorld) -> u32 {
        if !self.awaits() {
            return 0;
        }
        if self.program.sites().next().is_none() {
            return DEPTHS.fold(0, |all, level| all | 1 << level);
        }
        let running = world.containers();
        // At least the one at which docker's are.
        let levels = running.iter().flat_map(|all| all.iter()).filter_map(|one| one.cgroup.as_ref());
        levels.map(|cgroup| cgroup.level).filter(|level| *level < u32::BITS).fold(1 << 2, |all, level| all | 1 << level)
    }

    /// Whether a container is watched only because something in it may match later.
    pub(super) fn only_waits(&self, position: usize) -> bool {
        let watched = self.watched.get(position);
        watched.is_some_and(|watched| watched.probes.iter().all(|probe| self.without.contains(probe)))
    }

    /// A container ended.
    pub(super) fn end(
        &mut self,
        position: usize,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        said: &mut Said,
    ) -> Outcome<()> {
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        let waits = self.follow && watched.found.container.kind != TargetKind::Process;
        watched.state = if waits { Life::Ended } else { Life::Gone };
        watched.waited = 0;
        let name = watched.found.container.display_name().to_owned();
        let text = if waits {
            format!("{name} ended; waiting for it to come back (Ctrl-C ends the run)")
        } else {
            format!("{name} ended")
        };
        said.words.push(Word { kind: Kind::Gone { waits }, name, id: watched.found.container.id.clone(), text });
        if let Some(old) = &watched.found.container.cgroup {
            engine.remove_cgroup(old.id)?;
        } else if let Some(old) = &watched.found.container.boundary {
            engine.remove_boundary(old)?;
        }
        let index = watched.index;
        watched.elsewhere = false;
        watched.mapped.clear();
        engine.detach_own(index, !waits);
        if let Some(listed) = watched.listed {
            world.release(listed);
        }
        self.execs.forget(index);
        self.release(engine, files);
        Ok(())
    }

    /// Waits no longer for a container.
    fn forget(&mut self, position: usize, engine: &mut dyn Engine, files: &mut Files) -> Outcome<()> {
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        watched.state = Life::Gone;
        engine.detach_own(watched.index, true);
        if let Some(path) = watched.path.take() {
            engine.unwant(&path)?;
        }
        self.release(engine, files);
        Ok(())
    }

    /// Looks whether a container that ended came back unseen, or was removed.
    fn look_for(
        &mut self,
        position: usize,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        now: &mut Now,
        said: &mut Said,
    ) -> Outcome<()> {
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        let back = watch::successor_in(now.listed(&self.settings), &watched.found);
        // One that was renamed still has its id: who has its name by now is another.
        let old = &watched.found.container;
        let back = back.filter(|back| back.container.id == old.id || !now.still_known(&self.settings, old));
        // One that was listed while it ended has no cgroup any more, where it had one before: it is looked for again.
        let back = back.filter(|back| back.container.cgroup.is_some() || old.cgroup.is_none());
        if let Some(back) = back {
            engine.add_container(watched.index, &back.container)?;
            // That it was not seen coming (very many cgroups were made) does not mean that the kernel did not let it in.
            let path = back.container.cgroup.as_ref().and_then(|cgroup| Paths::now().of(cgroup));
            let let_in = watched.wanted && path.is_some() && path == watched.path;
            let probed = let_in && files_of(self.program, watched.index).iter().all(|file| engine.is_live(*file));
            watched.found = back;
            let start = Start { again: true, probed, tries: 0, executed: false };
            watched.state = Life::Starts(start);
            return self.verify(position, start, engine, files, world, now, said);
        }
        let container = &watched.found.container;
        if container.kind == TargetKind::Container && !now.may_come_back(&self.settings, container) {
            let name = container.display_name().to_owned();
            let text = format!("{name} was removed");
            said.words.push(Word { kind: Kind::Gone { waits: false }, name, id: container.id.clone(), text });
            self.forget(position, engine, files)?;
        }
        Ok(())
    }

    /// Gives up the files that no container uses, or is waited for that will use them again.
    pub(super) fn release(&self, engine: &mut dyn Engine, files: &mut Files) {
        let used = self.used(files);
        engine.release(&|file| used.contains(&file));
        let unused = (0u32..).map(FileIndex).take(self.program.files.len()).filter(|file| !used.contains(file));
        unused.for_each(|file| files.close(file));
    }

    /// The files that are used, or waited for: one pass over all sites, of which a pattern that means many containers has
    /// many.
    fn used(&self, files: &Files) -> HashSet<FileIndex> {
        // Of one that has ended only what keeps nothing of the container's mounted.
        let uses = |watched: &Watched, stays: bool| match watched.state {
            Life::Runs | Life::Starts(_) => true,
            Life::Ended => stays,
            Life::Gone => false,
        };
        let by_index: HashMap<ContainerIndex, &Watched> =
            self.watched.iter().map(|watched| (watched.index, watched)).collect();
        // Whoever came later may use any file of its probes.
        let later = self.watched.iter().filter(|watched| watched.listed.is_none() && uses(watched, true));
        let of_later: HashSet<ProbeIndex> = later.flat_map(|watched| watched.probes.iter().copied()).collect();
        let point = |probe: ProbeIndex| self.points.get(probe.0 as usize).copied().flatten();
        let mut used = HashSet::new();
        for (probe, site) in self.program.sites() {
            if used.contains(&site.file) {
                continue;
            }
            let stays = files.may_stay(site.file);
            let may_come = || self.follow && point(probe).is_some_and(means_others);
            let own = || site.containers.iter().filter_map(|index| by_index.get(index)).any(|one| uses(one, stays));
            if stays && (of_later.contains(&probe) || may_come()) || own() {
                used.insert(site.file);
            }
        }
        used
    }
}

/// Who is traced, as messages say it: `2 containers (web, db)`, `process 12`, `the host`.
pub(super) fn described(program: &Program) -> String {
    let of = |kind: TargetKind| -> Vec<&str> {
        let all = program.containers.iter().filter(|one| one.kind == kind);
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

/// What was found out in one look, once for all containers.
#[derive(Default)]
pub(super) struct Now {
    listed: Option<Vec<Found>>,
    known: HashMap<Runtime, Option<HashSet<String>>>,
}

impl Now {
    pub(super) fn listed(&mut self, settings: &Settings) -> &[Found] {
        self.listed
            .get_or_insert_with(|| container::discover(settings).map(|listing| listing.found).unwrap_or_default())
    }

    /// Whether its engine still knows a container, or cannot be asked.
    pub(super) fn may_come_back(&mut self, settings: &Settings, container: &Container) -> bool {
        self.ids(settings, container.runtime).is_none_or(|ids| ids.contains(&container.id))
    }

    /// Whether its engine says that it still knows a container.
    pub(super) fn still_known(&mut self, settings: &Settings, container: &Container) -> bool {
        self.ids(settings, container.runtime).is_some_and(|ids| ids.contains(&container.id))
    }

    fn ids(&mut self, settings: &Settings, runtime: Runtime) -> Option<&HashSet<String>> {
        self.known.entry(runtime).or_insert_with(|| container::all_known(settings, runtime)).as_ref()
    }
}

fn points_of(item: &ast::Item) -> &[Point] {
    match &item.kind {
        ast::ItemKind::Probe(probe) => &probe.points,
        ast::ItemKind::Global(_)
        | ast::ItemKind::Const { .. }
        | ast::ItemKind::Function(_)
        | ast::ItemKind::Import(_)
        | ast::ItemKind::Broken => &[],
    }
}

/// The point of each probe; `None` where it has none in the source.
pub(super) fn points_of_probes<'a>(program: &Program, files: &'a [ast::File]) -> Vec<Option<&'a Point>> {
    let all: Vec<&Point> = files.iter().flat_map(|file| &file.items).flat_map(points_of).collect();
    let point = |span| all.iter().copied().find(|point| point.span == span);
    program.probes.iter().map(|probe| point(probe.span)).collect()
}

/// Whether some selector can mean containers that are not there yet, other than those that come back.
pub(super) fn any_means_others(files: &[ast::File]) -> bool {
    files.iter().flat_map(|file| &file.items).flat_map(points_of).any(means_others)
}

/// Whether a selector can mean containers that are not there yet, other than one that comes back.
fn means_others(point: &Point) -> bool {
    let PointKind::Site { who, .. } = &point.kind else { return false };
    let is_name = |argument: &ast::Argument| {
        let plain = |bytes: &Vec<u8>| !ctp_lang::glob::is_glob(&String::from_utf8_lossy(bytes));
        let named = argument.name.as_ref().is_none_or(|name| matches!(name.name.as_str(), "name" | "id"));
        named && matches!(&argument.value.kind, ExprKind::Str(bytes) if plain(bytes))
    };
    match who.kind {
        WhoKind::Container => !who.arguments.iter().any(is_name),
        WhoKind::Pod => true,
        WhoKind::Pid | WhoKind::Cgroup | WhoKind::Host => false,
    }
}

/// The probes that match nothing.
fn without_sites(program: &Program) -> Vec<ProbeIndex> {
    let probes = (0u32..).map(ProbeIndex).zip(&program.probes);
    let empty = |probe: &ctp_lang::ir::Probe| match &probe.kind {
        ProbeKind::Sites(variants) => variants.iter().all(|variant| variant.sites.is_empty()),
        ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => false,
    };
    probes.filter(|(_, probe)| empty(probe)).map(|(index, _)| index).collect()
}

/// Whether the selector of a probe means a container.
pub(super) fn means(points: &[Option<&Point>], probe: ProbeIndex, container: &Container, all: &[Container]) -> bool {
    points.get(probe.0 as usize).copied().flatten().is_some_and(|point| selects(point, container, all))
}

/// The probes that mean each container.
pub(super) fn probes_by_container(program: &Program) -> HashMap<ContainerIndex, Vec<ProbeIndex>> {
    let mut all: HashMap<ContainerIndex, Vec<ProbeIndex>> = HashMap::new();
    for (probe, site) in program.sites() {
        for index in site.containers.iter() {
            let probes = all.entry(*index).or_default();
            // Sites come probe by probe.
            if probes.last() != Some(&probe) {
                probes.push(probe);
            }
        }
    }
    all
}

/// The files that a container's sites are in.
pub(super) fn files_of(program: &Program, index: ContainerIndex) -> Vec<FileIndex> {
    let sites = program.sites().filter(|(_, site)| site.containers.contains(&index));
    let mut files: Vec<FileIndex> = sites.map(|(_, site)| site.file).collect();
    files.sort_unstable();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use ctp_lang::source::SourceId;
    use ctp_lang::syntax::parse;

    use super::any_means_others;

    #[test]
    fn names_mean_one_container_and_patterns_others_too() {
        for (point, others) in [
            ("container(\"web\").fn(\"f\")", false),
            ("container(id=\"4f1c\").fn(\"f\")", false),
            ("container(\"web-*\").fn(\"f\")", true),
            ("container(image=\"shop\").fn(\"f\")", true),
            ("pod(\"shop/web\").fn(\"f\")", true),
            ("cgroup(\"/a.slice\"):/bin/x.fn(\"f\")", false),
            ("every(1s)", false),
        ] {
            let (file, problems) = parse(SourceId(0), &format!("probe {point} {{ println(1) }}\n"));
            assert!(problems.is_empty(), "{point}: {problems:?}");
            assert_eq!(any_means_others(&[file]), others, "{point}");
        }
    }
}
