//! Owns the descriptors of the probed files during a run: those that were checked, replaced after a restart by files
//! proved to be the same build.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::ir::{FileIndex, Program};
use ctp_lang::world::{FileId, Place, ReadAt as _};

use crate::container::Found;
use crate::world::live::{LiveWorld, root_of};

/// The probed files, each with its descriptor while it is in use.
#[derive(Debug)]
pub(super) struct Files {
    open: Vec<Option<Arc<File>>>,
    paths: Vec<String>,
    sizes: Vec<u64>,
}

/// Why a file of a restarted container is not probed again.
#[derive(Debug)]
pub(super) enum Refused {
    /// It cannot be opened or read.
    Unreadable,
    /// It is another build, or cannot be told from one.
    OtherBuild,
}

impl Files {
    /// The files of a program as the world opened them.
    pub(super) fn new(program: &Program, world: &LiveWorld) -> Files {
        let opened: Vec<_> = program.files.iter().map(|file| world.file(file.id)).collect();
        Files {
            sizes: opened.iter().map(|opened| opened.as_ref().map_or(0, |opened| opened.size)).collect(),
            open: opened.into_iter().map(|opened| opened.map(|opened| opened.file)).collect(),
            paths: program.files.iter().map(|file| file.path.clone()).collect(),
        }
    }

    /// The descriptor of a file, and its path in the container.
    pub(super) fn open(&self, index: FileIndex) -> Option<(BorrowedFd<'_>, &str)> {
        let index = index.0 as usize;
        Some((self.open.get(index)?.as_ref()?.as_fd(), self.paths.get(index)?))
    }

    /// The descriptor of a file by the world's id.
    pub(super) fn by_id(&self, program: &Program, id: FileId) -> Option<BorrowedFd<'_>> {
        let position = program.files.iter().position(|file| file.id == id)?;
        Some(self.open.get(position)?.as_ref()?.as_fd())
    }

    /// Gives a descriptor up.
    pub(super) fn close(&mut self, index: FileIndex) {
        if let Some(slot) = self.open.get_mut(index.0 as usize) {
            *slot = None;
        }
    }

    /// Opens a file anew in a container that came back, if it still is the build that was checked.
    pub(super) fn reopen(&mut self, program: &Program, index: FileIndex, back: &Found) -> Result<(), Refused> {
        let known = program.file(index).ok_or(Refused::Unreadable)?;
        let place = Place::Path(known.path.clone());
        let file = root_of(back).and_then(|root| root.open(&place)).map_err(|_| Refused::Unreadable)?;
        let same_size = self.sizes.get(index.0 as usize) == Some(&file.size());
        let handle = Arc::clone(file.file());
        let module = Module::open(Arc::new(file)).map_err(|_| Refused::Unreadable)?;
        if known.build_id.is_none() || module.build_id() != known.build_id.as_ref() || !same_size {
            return Err(Refused::OtherBuild);
        }
        if let Some(slot) = self.open.get_mut(index.0 as usize) {
            *slot = Some(handle);
        }
        Ok(())
    }
}
