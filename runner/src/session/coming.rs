//! Owns containers that come while tracing goes on: who they are, whether the program means them, and whether their
//! files are those that are probed. Their tasks count from the moment on at which the kernel made their cgroup, or at
//! which this was seen; what was missed is said.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp_lang::ir::{FileIndex, ProbeIndex};
use ctp_lang::syntax::ast::{Point, PointKind, Where};
use ctp_lang::world::{Cgroup, Container, Place, Runtime, TargetKind};

use super::builds::NOTHING_MEANT;
use super::files::{Files, Refused, Seen};
use super::targets::{Kind, Life, Now, Said, Start, Targets, Watched, Word, files_of, means};
use crate::container::coming::{Coming, Paths, coming};
use crate::container::{Found, Process, watch};
use crate::engine::{Engine, Made, Outcome};
use crate::rootfs::layer::layers;
use crate::world::live::LiveWorld;

/// After how many looks a container whose files cannot be read is given up: 10 s.
const TRIES: u32 = 100;
/// For how many looks what its first process executes may still be the engine's own: 1 s.
const SETTLING: u32 = 10;
/// The most containers of which it is remembered that they are not traced.
const MOST_GIVEN_UP: usize = 1 << 16;
/// For how long the name of a container that came is asked for.
const NAMELESS: Duration = Duration::from_secs(10);

impl Targets<'_> {
    /// A cgroup was made.
    pub(super) fn came(
        &mut self,
        made: Made,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        said: &mut Said,
    ) -> Outcome<()> {
        let Some(path) = &made.path else { return engine.decide(made.id, None).map(drop) };
        let known = self.watched.iter().position(|watched| watched.path.as_ref() == Some(path));
        if let Some(position) = known.filter(|position| self.is_new(*position, made.id)) {
            let of = self.watched.get(position).map(|watched| watched.found.container.clone());
            let Some(mut container) = of else { return Ok(()) };
            let level = container.cgroup.as_ref().map_or(0, |cgroup| cgroup.level);
            let folder = container.cgroup.map(|cgroup| cgroup.folder).unwrap_or_default();
            container.cgroup = Some(Cgroup { folder, id: made.id, level });
            let counts = made.wanted && !made.without_room;
            return self.came_back(position, container, counts, engine, files, world, said);
        }
        if known.is_some() {
            return engine.decide(made.id, None).map(drop);
        }
        match coming(&self.settings, path, made.id) {
            Coming::Other => engine.decide(made.id, None).map(drop),
            Coming::Container(container) => self.newcomer(path, *container, engine, files, world, said),
            Coming::Unnamed(container) => {
                if self.watched.iter().any(|watched| watched.found.container.id == container.id) {
                    return self.newcomer(path, *container, engine, files, world, said);
                }
                self.unnamed.push((path.clone(), *container, Instant::now()));
                Ok(())
            }
        }
    }

    /// Whether the cgroup of this id is not the one that is known of a container.
    fn is_new(&self, position: usize, id: u64) -> bool {
        let known = self.watched.get(position).and_then(|watched| watched.found.container.cgroup.as_ref());
        known.is_none_or(|known| known.id != id)
    }

    /// Asks for the names of those that had none yet.
    pub(super) fn ask_again(
        &mut self,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        said: &mut Said,
    ) -> Outcome<()> {
        for (path, container, since) in std::mem::take(&mut self.unnamed) {
            let Some(id) = container.cgroup.as_ref().map(|cgroup| cgroup.id) else { continue };
            match coming(&self.settings, &path, id) {
                Coming::Container(named) => self.newcomer(&path, *named, engine, files, world, said)?,
                Coming::Unnamed(unnamed) if since.elapsed() < NAMELESS => self.unnamed.push((path, *unnamed, since)),
                // By its id it may still be meant.
                Coming::Unnamed(unnamed) => self.newcomer(&path, *unnamed, engine, files, world, said)?,
                Coming::Other => engine.decide(id, None).map(drop)?,
            }
        }
        Ok(())
    }

    /// A container that was there before came again.
    #[expect(clippy::too_many_arguments, reason = "what a look has at hand")]
    fn came_back(
        &mut self,
        position: usize,
        container: Container,
        counts: bool,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        said: &mut Said,
    ) -> Outcome<()> {
        if self.watched.get(position).is_some_and(|watched| !matches!(watched.state, Life::Ended | Life::Gone)) {
            self.end(position, engine, files, world, said)?;
        }
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        if watched.state == Life::Gone {
            return Ok(());
        }
        watched.found.container = container;
        let files = files_of(self.program, watched.index);
        let probed = files.iter().all(|file| engine.is_live(*file));
        watched.state = Life::Starts(Start { again: true, probed, tries: 0, executed: false });
        if !counts && let Err(failure) = engine.add_container(watched.index, &watched.found.container) {
            watched.state = Life::Gone;
            said.words.push(not_traced(&watched.found.container, true, &failure.message));
        }
        Ok(())
    }

    /// A container came that was not there before.
    fn newcomer(
        &mut self,
        path: &str,
        mut container: Container,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        said: &mut Said,
    ) -> Outcome<()> {
        let Some(cgroup) = container.cgroup.as_ref().map(|cgroup| cgroup.id) else { return Ok(()) };
        let like = self.watched.iter().find(|watched| watched.found.container.runtime == container.runtime);
        if let Some(like) = like.or(self.watched.first()).filter(|like| like.found.container.pid_level > 0) {
            container.pid_level = like.found.container.pid_level;
        }
        // The same again under another path, or made anew under the name.
        let before = self.watched.iter().position(|watched| {
            let old = &watched.found.container;
            let named_alike = old.name.is_some() && old.name == container.name && old.pod == container.pod;
            old.kind == TargetKind::Container
                && old.runtime == container.runtime
                && (old.id == container.id || named_alike && watched.state != Life::Runs)
        });
        if let Some(position) = before {
            if let Some(watched) = self.watched.get_mut(position) {
                if let Some(old) = watched.path.replace(path.to_owned()).filter(|old| old != path) {
                    watched.wanted = false;
                    engine.unwant(&old)?;
                }
                if watched.state == Life::Gone {
                    watched.state = Life::Ended;
                }
            }
            return self.came_back(position, container, false, engine, files, world, said);
        }
        let probes = self.meant_by(&container);
        if probes.is_empty() {
            return engine.decide(cgroup, None).map(drop);
        }
        let Some(index) = engine.newcomer(&container, &probes)? else {
            self.give_up(&container);
            said.words.push(not_traced(&container, false, "more containers came than handlers can keep apart by name"));
            return engine.decide(cgroup, None).map(drop);
        };
        self.names.resize(index.0 as usize, Arc::from(""));
        self.names.push(container.display_name().into());
        if let Err(failure) = engine.add_container(index, &container) {
            self.give_up(&container);
            said.words.push(not_traced(&container, false, &failure.message));
            return engine.decide(cgroup, None).map(drop);
        }
        let found = Found { container, init: Process { pid: 0, start: 0 } };
        let state = Life::Starts(Start { again: false, probed: true, tries: 0, executed: false });
        self.watched.push(Watched::came(index, found, probes, path, state));
        Ok(())
    }

    /// Looks for a container no more.
    fn give_up(&mut self, container: &Container) {
        if self.given_up.len() < MOST_GIVEN_UP
            && let Some(cgroup) = &container.cgroup
        {
            self.given_up.insert((container.id.clone(), cgroup.id));
        }
    }

    /// The probes whose selectors mean a container.
    fn meant_by(&self, container: &Container) -> Vec<ProbeIndex> {
        let all: Vec<Container> = self.watched.iter().map(|watched| watched.found.container.clone()).collect();
        let probes = (0u32..).map(ProbeIndex).take(self.points.len());
        probes.filter(|probe| means(&self.points, *probe, container, &all)).collect()
    }

    /// Looks for containers that run, are meant, and were not seen coming.
    pub(super) fn look_around(
        &mut self,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        now: &mut Now,
        said: &mut Said,
    ) -> Outcome<()> {
        let all: Vec<Found> = now.listed(&self.settings).to_vec();
        let paths = Paths::now();
        for found in all {
            let same = |watched: &Watched| {
                watched.found.container.id == found.container.id
                    && watched.found.container.runtime == found.container.runtime
            };
            if self.watched.iter().any(same) {
                continue;
            }
            let Some(cgroup) = &found.container.cgroup else { continue };
            if self.given_up.contains(&(found.container.id.clone(), cgroup.id)) {
                continue;
            }
            let Some(path) = paths.of(cgroup) else { continue };
            let id = found.container.id.clone();
            self.newcomer(&path, found.container, engine, files, world, said)?;
            let came = self.watched.iter_mut().find(|watched| watched.found.container.id == id);
            if let Some(Watched { state: Life::Starts(start), .. }) = came {
                start.probed = false;
            }
        }
        Ok(())
    }

    /// Looks at the files of a container that came, once it has them.
    #[expect(clippy::too_many_arguments, reason = "what a look has at hand")]
    pub(super) fn verify(
        &mut self,
        position: usize,
        start: Start,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
        now: &mut Now,
        said: &mut Said,
    ) -> Outcome<()> {
        let listed = now.listed(&self.settings);
        let Some(watched) = self.watched.get(position) else { return Ok(()) };
        let cgroup = watched.found.container.cgroup.as_ref().map(|cgroup| cgroup.id);
        let Some(back) = watch::successor_in(listed, &watched.found).filter(|back| match cgroup {
            Some(cgroup) => back.container.cgroup.as_ref().is_some_and(|its| its.id == cgroup),
            None => {
                watched.found.container.boundary.is_some()
                    && back.container.boundary == watched.found.container.boundary
            }
        }) else {
            if watched.found.container.cgroup.as_ref().is_some_and(|cgroup| !is_there(cgroup)) {
                // It has come and gone: its calls were seen, as far as its files are those that are probed.
                let missed = cgroup.map_or(Ok(0), |cgroup| engine.decide(cgroup, Some(watched.index)))?;
                self.attached(position, start, missed, (None, None), said);
            }
            return Ok(());
        };
        let index = watched.index;
        let (mut problem, mut late) = (None, !start.probed);
        // What of another build was attached to.
        let mut other = None;
        // Its first process executes the engine's own program until that executes the container's.
        let settled = start.tries >= SETTLING;
        for (place, among) in self.places(position) {
            let others = place != Place::Exe || settled || start.executed;
            match self.take_in(position, (&place, &among), &back, others, engine, files, world)? {
                Ok(taken) => {
                    late |= taken.late;
                    other = other.or(taken.other);
                }
                // Its engine may not have set its root up yet.
                Err((Refused::Unreadable, _)) if start.tries < TRIES => return self.try_again(position, start),
                // The same, or it has the host's root still.
                Err((_, why)) if !settled && (place == Place::Exe || why.is_none() && may_have_hosts_root(&back)) => {
                    return self.try_again(position, start);
                }
                Err((refused, why)) => problem = problem.or(Some((refused, why, place))),
            }
        }
        let missed = cgroup.map_or(Ok(0), |cgroup| engine.decide(cgroup, Some(index)))?;
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        watched.found = back;
        // What its first process executes may be a script that executes what is meant later.
        let waits = matches!(&problem, Some((Refused::OtherBuild, _, Place::Exe)));
        let absent = match &problem {
            Some((Refused::OtherBuild, why, _)) => why.as_deref() == Some(NOTHING_MEANT),
            Some((Refused::NotThere, ..)) => true,
            Some((Refused::Unreadable, ..)) | None => false,
        };
        // A point with `?` may match nothing: what it means is looked for when something is executed or mapped.
        let quiet = absent && self.only_waits(position);
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        if let Some((refused, why, place)) = problem.filter(|_| !quiet) {
            let reason = reason(&refused, why, &place);
            let container = watched.found.container.clone();
            if waits {
                watched.state = Life::Runs;
                watched.elsewhere = true;
                let reason = format!("{reason}: not traced until its first process executes another program");
                said.words.push(not_yet(&container, start.again, &reason));
            } else {
                watched.state = Life::Gone;
                engine.detach_own(index, true);
                if let Some(path) = watched.path.take() {
                    engine.unwant(&path)?;
                }
                if let Some(cgroup) = cgroup {
                    engine.remove_cgroup(cgroup)?;
                    self.give_up(&container);
                }
                said.words.push(not_traced(&container, start.again, &reason));
                self.release(engine, files);
                return Ok(());
            }
        }
        // What the kernel put into the filter is looked up at each hit; what is put there from here is not.
        engine.add_container(index, &watched.found.container)?;
        if let Some(path) = &watched.path {
            watched.wanted = engine.want(path, index, watched.found.container.pid_level)?;
        }
        if quiet {
            if let Some(watched) = self.watched.get_mut(position) {
                watched.state = Life::Runs;
            }
        } else if !waits {
            let since = (late || self.by_process).then(|| watched.found.init.age()).flatten();
            self.attached(position, start, missed, (since, other.as_deref()), said);
        }
        Ok(())
    }

    /// Looks at the files of a container once more later.
    fn try_again(&mut self, position: usize, start: Start) -> Outcome<()> {
        if let Some(watched) = self.watched.get_mut(position) {
            watched.state = Life::Starts(Start { tries: start.tries + 1, executed: false, ..start });
        }
        Ok(())
    }

    /// Sees to it that a file of a container is probed; `others` tells whether builds are to be checked that were not met
    /// yet. Else why not, in words where that is known.
    #[expect(clippy::too_many_arguments, reason = "what a look has at hand")]
    pub(super) fn take_in(
        &mut self,
        position: usize,
        (place, among): (&Place, &[FileIndex]),
        back: &Found,
        others: bool,
        engine: &mut dyn Engine,
        files: &mut Files,
        world: &LiveWorld,
    ) -> Outcome<Result<Taken, (Refused, Option<String>)>> {
        let Some(index) = self.watched.get(position).map(|watched| watched.index) else {
            return Ok(Err((Refused::NotThere, None)));
        };
        let seen = match files.look(self.program, place, among, back) {
            Ok(seen) => seen,
            Err(Refused::OtherBuild) if others => {
                let (build, seen) = match self.other_build(position, place, engine, back, world) {
                    Ok(found) => found,
                    Err(why) => return Ok(Err((Refused::OtherBuild, Some(why)))),
                };
                let path = seen.path.clone();
                let late = self.probe_build(position, build, seen, engine, back)?;
                // Where nothing was probed there before, it is no other build.
                let first = among.is_empty();
                return Ok(Ok(Taken { late, first, other: Some(path.clone()).filter(|_| !first), path }));
            }
            Err(refused) => return Ok(Err((refused, None))),
        };
        let mine = files_of(self.program, index);
        let probed = seen.probed(engine);
        let (seen, stays) = match probed {
            Some(file) => (Seen { file, ..seen }, false),
            None => {
                let (seen, stays) = in_layer(seen, back, engine);
                // Of copies of one build its own.
                let own = seen.alike.iter().find(|file| mine.contains(file)).copied();
                (Seen { file: own.unwrap_or(seen.file), ..seen }, stays)
            }
        };
        // Probed or not, it may be the build of others by now, whose places did not count for this one.
        let late = engine.attach_also(seen.file, index, seen.handle.as_fd(), &seen.path, stays)?;
        if probed.is_none() && mine.contains(&seen.file) && files.open(seen.file).is_none() {
            files.replace(seen.file, &seen);
        }
        let mut taken = Taken { late, first: false, other: None, path: seen.path };
        // Of a build that is known some probes may have matched nothing when it was checked.
        if others
            && self.waits_in(position, place)
            && let Ok((build, seen)) = self.other_build(position, place, engine, back, world)
        {
            taken.late |= self.probe_build(position, build, seen, engine, back)?;
        }
        Ok(Ok(taken))
    }

    /// Probes a file of a build that was met later, for a container; whether some calls of its may have been missed.
    fn probe_build(
        &mut self,
        position: usize,
        build: usize,
        seen: Seen,
        engine: &mut dyn Engine,
        back: &Found,
    ) -> Outcome<bool> {
        let (Some(watched), Some(part)) = (self.watched.get(position), engine.build(build)) else { return Ok(true) };
        let index = watched.index;
        let counted = part.counts(index);
        part.join(index, &watched.probes);
        if seen.probed(part).is_some() {
            return Ok(!counted);
        }
        let (seen, stays) = in_layer(seen, back, part);
        part.attach_also(seen.file, index, seen.handle.as_fd(), &seen.path, stays)?;
        Ok(true)
    }

    /// Says that a container is traced.
    fn attached(
        &mut self,
        position: usize,
        start: Start,
        missed: u64,
        (late, other): (Option<Duration>, Option<&str>),
        said: &mut Said,
    ) {
        let Some(watched) = self.watched.get_mut(position) else { return };
        watched.state = Life::Runs;
        let container = &watched.found.container;
        let name = container.display_name().to_owned();
        let what = match (other, start.again) {
            (None, true) => "restarted, attached again".to_owned(),
            (None, false) => "started, attached".to_owned(),
            (Some(path), true) => format!("restarted with another build of {path}, attached again"),
            (Some(path), false) => format!("started with another build of {path}, attached"),
        };
        let text = match (late, missed) {
            (Some(late), _) => {
                format!(
                    "{name} {what} {} ms after its first process began: its calls before that were not seen",
                    late.as_millis()
                )
            }
            (None, 0) => format!("{name} {what}; no call was missed"),
            (None, missed) => format!("{name} {what}; {} before that not seen", super::summary::counted(missed, "hit")),
        };
        let kind = Kind::Attached { again: start.again, missed, late };
        said.words.push(Word { kind, name, id: container.id.clone(), text });
    }

    /// The places of files that a container's probes mean, each with the files that are probed for it.
    pub(super) fn places(&self, position: usize) -> Vec<(Place, Vec<FileIndex>)> {
        let mut places: Vec<(Place, Vec<FileIndex>)> = Vec::new();
        let Some(watched) = self.watched.get(position) else { return places };
        let mut of_probe: BTreeMap<ProbeIndex, BTreeSet<FileIndex>> = BTreeMap::new();
        for (probe, site) in self.program.sites().filter(|(probe, _)| watched.probes.contains(probe)) {
            of_probe.entry(probe).or_default().insert(site.file);
        }
        for probe in &watched.probes {
            let among: Vec<FileIndex> = of_probe.remove(probe).unwrap_or_default().into_iter().collect();
            let wanted = self.places_of(watched, *probe, &among);
            for place in wanted {
                match places.iter_mut().find(|(known, _)| *known == place) {
                    Some((_, files)) => files.extend(among.iter().copied()),
                    None => places.push((place, among.clone())),
                }
            }
        }
        places
    }

    /// The places that one probe means in a container; `among` are the files in which it has sites.
    pub(super) fn places_of(&self, watched: &Watched, probe: ProbeIndex, among: &[FileIndex]) -> Vec<Place> {
        let point = self.points.get(probe.0 as usize).copied().flatten();
        let is_exe =
            point.is_some_and(|point| matches!(&point.kind, PointKind::Site { place: None | Some(Where::Exe(_)), .. }));
        if is_exe {
            return vec![Place::Exe];
        }
        // Libraries are meant by the paths at which they were found.
        let mine = files_of(self.program, watched.index);
        let own = |file: &&FileIndex| watched.listed.is_none() || mine.contains(file);
        let paths = among.iter().filter(own).filter_map(|file| self.program.file(*file));
        let later = watched.mapped.iter().filter(|(of, _)| *of == probe).map(|(_, path)| path.clone());
        let written = point.filter(|_| self.without.contains(&probe)).and_then(path_of);
        paths.map(|file| file.path.clone()).chain(later).chain(written).map(Place::Path).collect()
    }
}

/// The path that a point names.
fn path_of(point: &Point) -> Option<String> {
    match &point.kind {
        PointKind::Site { place: Some(Where::Path { path, .. }), .. } => Some(path.text().into_owned()),
        PointKind::Site { .. } | PointKind::Begin | PointKind::End | PointKind::Every(_) => None,
    }
}

/// The layer's own file in the place of one that was opened through the container's overlay, where it is visible here,
/// and whether it is that.
fn in_layer(seen: Seen, found: &Found, engine: &dyn Engine) -> (Seen, bool) {
    let Ok(process) = found.init.dir() else { return (seen, false) };
    let same = |layer: &std::fs::File| engine.same_inode(layer.as_fd(), seen.handle.as_fd()) == Some(true);
    match layers(&process, &seen.path).into_iter().find(same) {
        Some(layer) => (Seen { handle: layer.into(), ..seen }, true),
        None => (seen, false),
    }
}

/// Whether a container's root cannot be told from the host's by its engine: those of these may share it.
fn may_have_hosts_root(found: &Found) -> bool {
    match found.container.runtime {
        Runtime::Docker | Runtime::Podman | Runtime::Containerd | Runtime::CriO => false,
        Runtime::Lxc | Runtime::Nspawn | Runtime::Unknown => true,
    }
}

fn is_there(cgroup: &Cgroup) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(&cgroup.folder).is_ok_and(|metadata| metadata.ino() == cgroup.id)
}

fn not_traced(container: &Container, again: bool, why: &str) -> Word {
    not_yet(container, again, &format!("{why}: not traced"))
}

fn not_yet(container: &Container, again: bool, what: &str) -> Word {
    let name = container.display_name().to_owned();
    let text = format!("{name} {} {what}", if again { "restarted" } else { "started" });
    Word { kind: Kind::NotTraced, name, id: container.id.clone(), text }
}

/// Why a container is not traced, behind `web restarted`.
fn reason(refused: &Refused, why: Option<String>, place: &Place) -> String {
    let what = match place {
        Place::Path(path) => path.as_str(),
        Place::Exe => "its executable",
    };
    match refused {
        Refused::OtherBuild => match why {
            Some(why) => format!("with another build of {what}, {why}"),
            None => format!("with another build of {what}; run ctp again to check it"),
        },
        Refused::NotThere => format!("without {what}"),
        Refused::Unreadable => format!("and {what} cannot be read in it"),
    }
}

/// A file that is probed in a container from now on.
pub(super) struct Taken {
    /// Whether hits of the container's did not count there before.
    pub(super) late: bool,
    /// Whether nothing was probed at its place before.
    pub(super) first: bool,
    /// Its path where it is of a build that was met later.
    pub(super) other: Option<String>,
    /// Its path in the container.
    pub(super) path: String,
}
