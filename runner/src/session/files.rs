//! Owns the descriptors of the probed files during a run: those that were checked, replaced after a restart by files
//! proved to be the same build.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::ir::{FileIndex, Program};
use ctp_lang::world::{FileId, OpenError, Place, ReadAt as _};

use crate::container::Found;
use crate::engine::Engine;
use crate::rootfs::layer::layers;
use crate::world::live::{LiveWorld, root_of};

/// The probed files, each with its descriptor while it is in use.
#[derive(Debug)]
pub(super) struct Files {
    open: Vec<Option<Arc<File>>>,
    paths: Vec<String>,
    sizes: Vec<u64>,
    /// Device, inode number and size as fstat(2) showed them when the file was opened.
    opened_as: Vec<Option<(u64, u64, u64)>>,
    /// Which descriptors keep no container's overlay mounted: they lead to the layer itself.
    layered: Vec<bool>,
}

/// Why a file of a restarted container is not probed again.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its root is there and nothing is at that path.
    NotThere,
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
            opened_as: opened.iter().map(|one| one.as_ref().map(|file| (file.dev, file.ino, file.size))).collect(),
            layered: vec![false; opened.len()],
            open: opened.into_iter().map(|opened| opened.map(|opened| opened.file)).collect(),
            paths: program.files.iter().map(|file| file.path.clone()).collect(),
        }
    }

    /// The descriptor of a file, and its path in the container.
    pub(super) fn open(&self, index: FileIndex) -> Option<(BorrowedFd<'_>, &str)> {
        let index = index.0 as usize;
        Some((self.open.get(index)?.as_ref()?.as_fd(), self.paths.get(index)?))
    }

    /// Device, inode number and size of a file as fstat(2) showed them when it was opened.
    pub(super) fn opened_as(&self, index: FileIndex) -> Option<(u64, u64, u64)> {
        self.opened_as.get(index.0 as usize).copied().flatten()
    }

    /// The descriptor of a file by the world's id.
    pub(super) fn by_id(&self, program: &Program, id: FileId) -> Option<BorrowedFd<'_>> {
        let position = program.files.iter().position(|file| file.id == id)?;
        Some(self.open.get(position)?.as_ref()?.as_fd())
    }

    /// Puts the layer's own file into the place of one that was opened through a container's overlay, where that is
    /// visible here and `same` finds it to be that inode: a link through it does not keep the overlay mounted.
    pub(super) fn through_layer(
        &mut self,
        index: FileIndex,
        found: &Found,
        same: &dyn Fn(BorrowedFd<'_>, BorrowedFd<'_>) -> bool,
    ) {
        let at = index.0 as usize;
        let (Some(Some(open)), Some(path)) = (self.open.get(at), self.paths.get(at)) else { return };
        let Ok(process) = found.init.dir() else { return };
        let layer = layers(&process, path).into_iter().find(|layer| same(layer.as_fd(), open.as_fd()));
        if let (Some(layer), Some(slot), Some(layered)) = (layer, self.open.get_mut(at), self.layered.get_mut(at)) {
            *slot = Some(Arc::new(layer));
            *layered = true;
        }
    }

    /// Uses one file's layer for another that is the same inode.
    pub(super) fn share_layer(&mut self, from: FileIndex, to: FileIndex) {
        let (from, to) = (from.0 as usize, to.0 as usize);
        if self.layered.get(from) == Some(&true)
            && let Some(handle) = self.open.get(from).cloned()
            && let (Some(slot), Some(layered)) = (self.open.get_mut(to), self.layered.get_mut(to))
        {
            *slot = handle;
            *layered = true;
        }
    }

    /// A file of the host's own: no container's overlay is kept by it.
    pub(super) fn keep(&mut self, index: FileIndex) {
        if let Some(layered) = self.layered.get_mut(index.0 as usize) {
            *layered = true;
        }
    }

    /// Whether a file may stay open, and probed, when its container has stopped.
    pub(super) fn may_stay(&self, index: FileIndex) -> bool {
        let at = index.0 as usize;
        self.layered.get(at) == Some(&true) && self.open.get(at).is_some_and(Option::is_some)
    }

    /// Gives a descriptor up.
    pub(super) fn close(&mut self, index: FileIndex) {
        if let Some(layered) = self.layered.get_mut(index.0 as usize) {
            *layered = false;
        }
        if let Some(slot) = self.open.get_mut(index.0 as usize) {
            *slot = None;
        }
    }

    /// Opens a place in a container that came (back), and finds which of these files it is a build of.
    pub(super) fn look(
        &self,
        program: &Program,
        place: &Place,
        among: &[FileIndex],
        found: &Found,
    ) -> Result<Seen, Refused> {
        let file = root_of(found).and_then(|root| root.open(place)).map_err(|error| match error {
            OpenError::NotFound { .. } => Refused::NotThere,
            OpenError::NotAFile { .. }
            | OpenError::Escapes
            | OpenError::Denied { .. }
            | OpenError::Gone
            | OpenError::Other(_) => Refused::Unreadable,
        })?;
        let (handle, path, size) = (Arc::clone(file.file()), file.path.clone(), file.size());
        let module = Module::open(Arc::new(file)).map_err(|_| Refused::Unreadable)?;
        let build = module.build_id();
        let is_it = |index: &&FileIndex| {
            let known = program.file(**index).and_then(|known| known.build_id.as_ref());
            known.is_some() && known == build && self.sizes.get(index.0 as usize) == Some(&size)
        };
        let alike: Vec<FileIndex> = among.iter().filter(is_it).copied().collect();
        match alike.first() {
            Some(index) => Ok(Seen { file: *index, alike, handle, path }),
            None => Err(Refused::OtherBuild),
        }
    }

    /// Takes a descriptor for a file's own.
    pub(super) fn replace(&mut self, index: FileIndex, seen: &Seen) {
        self.close(index);
        if let Some(slot) = self.open.get_mut(index.0 as usize) {
            *slot = Some(Arc::clone(&seen.handle));
        }
    }
}

impl Seen {
    /// The same as the one of its build's files of which this is the very inode, where that is probed.
    pub(super) fn probed(&self, engine: &dyn Engine) -> Option<FileIndex> {
        self.alike.iter().copied().find(|file| engine.is_probed(*file, self.handle.as_fd()) == Some(true))
    }
}

/// A file that was opened and is of a build that is probed.
#[derive(Debug)]
pub(super) struct Seen {
    /// The file that it is a build of.
    pub(super) file: FileIndex,
    /// All files of that build: copies of it, each of which may be another inode.
    pub(super) alike: Vec<FileIndex>,
    /// Its descriptor.
    pub(super) handle: Arc<File>,
    /// Its path in the container, links resolved.
    pub(super) path: String,
}
