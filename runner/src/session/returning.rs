//! Owns the containers of a run by SystemTap: which ended, which came back, which started later and are meant too. The module
//! keeps its probes while nobody executes the files; who has the very files that it probes is let in by the cgroup. What
//! it did before that is not seen, and that is said.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use ctp_lang::emit::stap::late;
use ctp_lang::ir::{ContainerIndex, FileIndex, ProbeIndex, Program};
use ctp_lang::resolve::selects;
use ctp_lang::syntax::ast::Point;
use ctp_lang::world::{Container, Place, TargetKind};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, fstatfs};

use super::Session;
use super::files::{Files, Refused};
use super::targets::{Kind, Now, SELDOM, SOON, Said, Word, files_of, points_of_probes, probes_by_container};
use crate::container::{Found, Settings, watch};
use crate::engine::Outcome;
use crate::rootfs::layer::layers;

/// How long a container that started may take until its files can be read.
const GRACE: Duration = Duration::from_secs(10);
/// How many looks a container may take until its files can be read: 10 s.
const TRIES: u32 = 100;

/// The containers of a run.
pub(super) struct Returning<'p> {
    program: &'p Program,
    settings: Settings,
    files: Files,
    watched: Vec<Watched>,
    /// Whether to wait for what ended.
    follow: bool,
    /// The point of each probe, where containers that start later are meant too.
    points: Option<Vec<Option<&'p Point>>>,
    /// Looks so far.
    looks: u32,
    /// Ids of those that are not traced: they ran before, or cannot be.
    not_meant: HashSet<String>,
    /// How many started later.
    came: u32,
}

/// One container.
struct Watched {
    index: ContainerIndex,
    /// Which of the program's containers it is like, where it started later.
    like: Option<ContainerIndex>,
    found: Found,
    /// The inodes of the files that are probed in it, as the host's file system has them; `None` where that does not tell.
    inodes: Vec<(FileIndex, Option<Inode>)>,
    state: Life,
}

/// Device and number.
type Inode = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs,
    /// Looks since it ended, and those of them at which it was back with files that could not be read.
    Ended {
        looks: u32,
        tries: u32,
    },
    Gone,
}

/// Whose tasks count from now on, or no more.
pub(super) enum Counts<'c> {
    /// Those of a container that came back, by its cgroup's id and level.
    Back(ContainerIndex, u64, u32),
    /// Those of a container that started later, which is like one of the program's.
    Late(ContainerIndex, ContainerIndex, &'c Container),
    /// No more those of a cgroup: such a container ended.
    Out(u64),
}

/// What tells the module.
pub(super) type LetIn<'f> = dyn FnMut(Counts<'_>) -> Outcome<()> + 'f;

impl<'p> Returning<'p> {
    /// `newcomers`: whether containers that start later can be let in.
    pub(super) fn new(session: &Session<'p>, follow: bool, newcomers: bool) -> Returning<'p> {
        let (program, world) = (session.program, session.world);
        let inode_in = |found: &Found, file: FileIndex| {
            let known = program.file(file)?;
            inode(found, &known.path, &world.file(known.id)?.file)
        };
        let watched = (0u32..)
            .map(ContainerIndex)
            .zip(&program.containers)
            .filter_map(|(index, container)| {
                let found = world.found_for(container)?.1;
                let inodes = files_of(program, index).into_iter().map(|file| (file, inode_in(&found, file))).collect();
                Some(Watched { index, like: None, found, inodes, state: Life::Runs })
            })
            .collect();
        let ran = world.found().map(|all| all.iter().map(|found| found.container.id.clone()).collect());
        Returning {
            program,
            settings: Settings::from_env(),
            files: Files::new(program, world),
            watched,
            follow,
            points: newcomers.then(|| points_of_probes(program, session.files)),
            looks: 0,
            not_meant: ran.unwrap_or_default(),
            came: 0,
        }
    }

    /// The name of a container by the number that the module knows it by, less 1.
    pub(super) fn name(&self, index: ContainerIndex) -> Option<&str> {
        let watched = self.watched.iter().find(|watched| watched.index == index)?;
        Some(watched.found.container.display_name())
    }

    /// Looks at every container once.
    ///
    /// # Errors
    /// As `let_in`.
    pub(super) fn look(&mut self, let_in: &mut LetIn<'_>) -> Outcome<Said> {
        let mut said = Said::default();
        let mut now = Now::default();
        for position in 0..self.watched.len() {
            let Some(watched) = self.watched.get_mut(position) else { continue };
            match watched.state {
                Life::Gone => {}
                Life::Runs if watch::alive(&watched.found) => {}
                Life::Runs => {
                    let name = watched.found.container.display_name().to_owned();
                    let waits = self.follow && watched.found.container.kind != TargetKind::Process;
                    watched.state = if waits { Life::Ended { looks: 0, tries: 0 } } else { Life::Gone };
                    if let (Some(_), Some(cgroup)) = (watched.like, &watched.found.container.cgroup) {
                        let_in(Counts::Out(cgroup.id))?;
                    }
                    let behind = if waits { "; waiting for it to come back (Ctrl-C ends the run)" } else { "" };
                    let text = format!("{name} ended{behind}");
                    said.words.push(word(watched, Kind::Gone { waits }, text));
                }
                Life::Ended { looks, tries } => {
                    watched.state = Life::Ended { looks: looks.wrapping_add(1), tries };
                    // Listing all costs time.
                    if looks < SOON || looks.is_multiple_of(SELDOM) {
                        self.look_for(position, tries, &mut now, let_in, &mut said)?;
                    }
                }
            }
        }
        self.looks = self.looks.wrapping_add(1);
        if self.points.is_some() && self.looks.is_multiple_of(SELDOM) {
            self.look_around(&mut now, let_in, &mut said)?;
        }
        said.all_gone = self.points.is_none() && self.watched.iter().all(|watched| watched.state == Life::Gone);
        Ok(said)
    }

    fn look_for(
        &mut self,
        position: usize,
        tries: u32,
        now: &mut Now,
        let_in: &mut LetIn<'_>,
        said: &mut Said,
    ) -> Outcome<()> {
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        let old = &watched.found.container;
        let back = watch::successor_in(now.listed(&self.settings), &watched.found)
            .filter(|back| back.container.id == old.id || !now.still_known(&self.settings, old));
        let Some(back) = back else {
            if old.kind == TargetKind::Container && !now.may_come_back(&self.settings, old) {
                watched.state = Life::Gone;
                let text = format!("{} was removed", old.display_name());
                said.words.push(word(watched, Kind::Gone { waits: false }, text));
            }
            return Ok(());
        };
        let pid_level = old.pid_level;
        let inodes = watched.inodes.clone();
        let mut problem = match self.has_the_files(&inodes, &back) {
            Its::Same => None,
            Its::Other(problem) | Its::NotThere(problem) => Some(problem),
            // Its engine may not have set its root up yet.
            Its::NotYet(problem) if tries >= TRIES => Some(problem),
            Its::NotYet(_) => {
                if let Some(Life::Ended { tries, .. }) =
                    self.watched.get_mut(position).map(|watched| &mut watched.state)
                {
                    *tries += 1;
                }
                return Ok(());
            }
        };
        let Some(watched) = self.watched.get_mut(position) else { return Ok(()) };
        if back.container.pid_level != pid_level {
            problem = Some("in another depth of pid namespaces; run ctp again".to_owned());
        }
        let name = back.container.display_name().to_owned();
        watched.found = back;
        let cgroup = watched.found.container.cgroup.clone();
        let (None, Some(cgroup)) = (&problem, cgroup) else {
            watched.state = Life::Gone;
            let why = problem.unwrap_or_else(|| "without a cgroup of its own".to_owned());
            said.words.push(word(watched, Kind::NotTraced, format!("{name} restarted {why}: not traced")));
            return Ok(());
        };
        match watched.like {
            None => let_in(Counts::Back(watched.index, cgroup.id, cgroup.level))?,
            Some(like) => let_in(Counts::Late(watched.index, like, &watched.found.container))?,
        }
        watched.state = Life::Runs;
        let late = watched.found.init.age().unwrap_or_default();
        let text = format!(
            "{name} restarted, let in {} ms after its first process began: its calls before that were not seen",
            late.as_millis()
        );
        said.words.push(word(watched, Kind::Attached { again: true, missed: 0, late: Some(late) }, text));
        Ok(())
    }

    /// Whether files in a container are the very inodes.
    fn has_the_files(&self, inodes: &[(FileIndex, Option<Inode>)], found: &Found) -> Its {
        for (file, probed) in inodes {
            let Some(known) = self.program.file(*file) else { continue };
            let path = &known.path;
            return match self.files.look(self.program, &Place::Path(path.clone()), &[*file], found) {
                Ok(seen) if probed.is_some() && inode(found, &seen.path, &seen.handle) == *probed => continue,
                Ok(_) => {
                    Its::Other(format!("with {path} in another place, which the module does not probe; run ctp again"))
                }
                Err(Refused::Unreadable) => Its::NotYet(format!("and {path} cannot be read in it")),
                Err(Refused::NotThere) => Its::NotThere(format!("without {path}")),
                Err(Refused::OtherBuild) => {
                    Its::Other(format!("with another build of {path}; run ctp again to check it"))
                }
            };
        }
        Its::Same
    }

    /// Looks for containers that started and are meant.
    fn look_around(&mut self, now: &mut Now, let_in: &mut LetIn<'_>, said: &mut Said) -> Outcome<()> {
        let all: Vec<Container> = self.watched.iter().map(|watched| watched.found.container.clone()).collect();
        for found in now.listed(&self.settings).to_vec() {
            let id = &found.container.id;
            if self.not_meant.contains(id) || all.iter().any(|known| known.id == *id) {
                continue;
            }
            let points = (0u32..).map(ProbeIndex).zip(self.points.iter().flatten());
            let meant: Vec<ProbeIndex> = points
                .filter(|(_, point)| point.is_some_and(|point| selects(point, &found.container, &all)))
                .map(|(probe, _)| probe)
                .collect();
            // One that its engine has not named yet is asked again.
            if meant.is_empty() && found.container.name.is_some() {
                self.not_meant.insert(id.clone());
            }
            if !meant.is_empty() {
                self.newcomer(found, &meant, let_in, said)?;
            }
        }
        Ok(())
    }

    /// Lets a container in that started later, where one of the program's is like it.
    fn newcomer(&mut self, found: Found, meant: &[ProbeIndex], let_in: &mut LetIn<'_>, said: &mut Said) -> Outcome<()> {
        let age = found.init.age().unwrap_or_default();
        let cgroup = |container: &Container| container.cgroup.as_ref().map(|cgroup| cgroup.level);
        let mut problem = "and no traced container is like it: run ctp again".to_owned();
        let (mut like, mut any_alike) = (None, false);
        let probes = probes_by_container(self.program);
        for watched in self.watched.iter().filter(|watched| watched.like.is_none()) {
            let old = &watched.found.container;
            let alike = old.kind == TargetKind::Container
                && probes.get(&watched.index).is_some_and(|probes| probes == meant)
                && cgroup(old) == cgroup(&found.container)
                && old.pid_level == found.container.pid_level;
            if !alike {
                continue;
            }
            any_alike = true;
            match self.has_the_files(&watched.inodes, &found) {
                Its::Same => {
                    like = Some((watched.index, watched.inodes.clone()));
                    break;
                }
                // Its first process may still be the engine's.
                Its::NotYet(_) | Its::NotThere(_) if age < GRACE => return Ok(()),
                Its::NotYet(why) | Its::NotThere(why) | Its::Other(why) => problem = why,
            }
        }
        // Its first process may not be in its namespaces yet.
        if !any_alike && age < GRACE {
            return Ok(());
        }
        let name = found.container.display_name().to_owned();
        let id = found.container.id.clone();
        if self.came >= late::MOST {
            problem = "but too many came before it: run ctp again".to_owned();
            like = None;
        }
        let Some((like, inodes)) = like else {
            self.not_meant.insert(id.clone());
            let text = format!("{name} started {problem}: not traced");
            said.words.push(Word { kind: Kind::NotTraced, name, id, text });
            return Ok(());
        };
        let index = ContainerIndex(self.program.containers.len() as u32 + self.came);
        self.came += 1;
        let_in(Counts::Late(index, like, &found.container))?;
        let text = format!(
            "{name} started, let in {} ms after its first process began: its calls before that were not seen",
            age.as_millis()
        );
        let watched = Watched { index, like: Some(like), found, inodes, state: Life::Runs };
        said.words.push(word(&watched, Kind::Attached { again: false, missed: 0, late: Some(age) }, text));
        self.watched.push(watched);
        Ok(())
    }
}

/// Whether a container's files are those that are probed.
enum Its {
    Same,
    /// They are not: why.
    Other(String),
    /// One is not there.
    NotThere(String),
    /// They cannot be read.
    NotYet(String),
}

fn word(watched: &Watched, kind: Kind, text: String) -> Word {
    let container = &watched.found.container;
    Word { kind, name: container.display_name().to_owned(), id: container.id.clone(), text }
}

/// The inode that a container's file is on the host: on an overlay that of its uppermost layer that has it, which is what
/// the kernel puts probes on.
fn inode(found: &Found, path: &str, opened: &Arc<File>) -> Option<Inode> {
    let of = |file: &File| file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let layer = found.init.dir().ok().and_then(|process| layers(&process, path).into_iter().next());
    match layer {
        Some(layer) => of(&layer),
        None if fstatfs(opened).is_ok_and(|status| status.filesystem_type() != OVERLAYFS_SUPER_MAGIC) => of(opened),
        None => None,
    }
}
