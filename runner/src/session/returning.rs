//! Owns the containers of a run by SystemTap: which ended, and which came back with the very files that the module probes.
//! The module keeps its probes while nobody executes the files; one that came back is let in by its new cgroup. What it
//! did before that is not seen, and that is said.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use ctp_lang::ir::{ContainerIndex, FileIndex, Program};
use ctp_lang::world::{Place, TargetKind};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, fstatfs};

use super::files::{Files, Refused};
use super::targets::{Kind, Now, SELDOM, SOON, Said, Word, files_of};
use crate::container::{Found, Settings, watch};
use crate::engine::Outcome;
use crate::rootfs::layer::layers;
use crate::world::live::LiveWorld;

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
}

/// One container.
struct Watched {
    index: ContainerIndex,
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

/// What lets a container in: which one, and its cgroup's id and level.
pub(super) type LetIn<'f> = dyn FnMut(ContainerIndex, u64, u32) -> Outcome<()> + 'f;

impl<'p> Returning<'p> {
    pub(super) fn new(program: &'p Program, world: &LiveWorld, follow: bool) -> Returning<'p> {
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
                Some(Watched { index, found, inodes, state: Life::Runs })
            })
            .collect();
        Returning { program, settings: Settings::from_env(), files: Files::new(program, world), watched, follow }
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
        said.all_gone = self.watched.iter().all(|watched| watched.state == Life::Gone);
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
        let mut problem = None;
        for (file, probed) in &watched.inodes {
            let Some(known) = self.program.file(*file) else { continue };
            let path = &known.path;
            match self.files.look(self.program, &Place::Path(path.clone()), &[*file], &back) {
                Ok(seen) if probed.is_some() && inode(&back, &seen.path, &seen.handle) == *probed => {}
                Ok(_) => {
                    problem =
                        Some(format!("with {path} in another place, which the module does not probe; run ctp again"));
                }
                // Its engine may not have set its root up yet.
                Err(Refused::Unreadable) if tries < TRIES => {
                    if let Life::Ended { tries, .. } = &mut watched.state {
                        *tries += 1;
                    }
                    return Ok(());
                }
                Err(Refused::Unreadable) => problem = Some(format!("and {path} cannot be read in it")),
                Err(Refused::NotThere) => problem = Some(format!("without {path}")),
                Err(Refused::OtherBuild) => {
                    problem = Some(format!("with another build of {path}; run ctp again to check it"));
                }
            }
        }
        if back.container.pid_level != old.pid_level {
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
        let_in(watched.index, cgroup.id, cgroup.level)?;
        watched.state = Life::Runs;
        let late = watched.found.init.age().unwrap_or_default();
        let text = format!(
            "{name} restarted, let in {} ms after its first process began: its calls before that were not seen",
            late.as_millis()
        );
        said.words.push(word(watched, Kind::Attached { again: true, missed: 0, late: Some(late) }, text));
        Ok(())
    }
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
