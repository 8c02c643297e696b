//! Owns the two questions about inodes that are asked before attaching: which files are one, so that one link serves
//! them; and whether a container still executes the inode that its path leads to. It does not after a change to the
//! running file on an overlay (the copy-up): then a probe there is never hit, and nothing else would say so.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use ctp_lang::ir::{ContainerIndex, FileIndex, Program};
use ctp_lang::world::FileId;

use super::btf::{self, Found};
use super::facts;
use super::inode::{self, Inode, Inodes};

/// A container executes another inode than the one that is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: FileIndex,
    /// The container.
    pub container: ContainerIndex,
    /// Its first process, which executes a file of that path but another inode.
    pub pid: u32,
}

/// What there is to ask.
pub(super) struct Question<'a> {
    /// Files of which another has the same size and build id, and files that a container's first process executes.
    files: Vec<(FileIndex, BorrowedFd<'a>)>,
    /// Containers whose first process executes a file by the path that is probed.
    executing: Vec<(FileIndex, ContainerIndex, u32)>,
}

/// What is known.
#[derive(Default)]
pub(super) struct Answer {
    /// For a file that shares its inode with one before it, that one.
    pub(super) same: HashMap<FileIndex, FileIndex>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Question<'a> {
    pub(super) fn new(program: &Program, file: &dyn Fn(FileId) -> Option<BorrowedFd<'a>>) -> Question<'a> {
        let mut executing = Vec::new();
        for (_, site) in program.sites() {
            for container in site.containers.iter() {
                let (Some(known), Some(of)) = (program.container(*container), program.file(site.file)) else {
                    continue;
                };
                let one = (site.file, *container, known.init_pid);
                if !executing.contains(&one) && executes(known.init_pid, &of.path) {
                    executing.push(one);
                }
            }
        }
        let known: Vec<_> = (0u32..)
            .map(FileIndex)
            .zip(&program.files)
            .filter_map(|(index, known)| {
                let descriptor = file(known.id)?;
                let size = nix::sys::stat::fstat(descriptor).ok()?.st_size;
                Some((index, descriptor, (size, known.build_id.clone())))
            })
            .collect();
        let alike = |key| known.iter().filter(|(_, _, other)| other == key).count() > 1;
        let asked = |index: FileIndex, key| alike(key) || executing.iter().any(|(file, ..)| *file == index);
        let files = known.iter().filter(|(index, _, key)| asked(*index, key));
        Question { files: files.map(|(index, descriptor, _)| (*index, *descriptor)).collect(), executing }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Asks the kernel. Where it cannot tell, nothing is known: then several links may sit on one inode, which costs
    /// time at each hit, and each still counts only its own containers.
    pub(super) fn ask(&self, program: &Program, found: &Found) -> Answer {
        if self.is_empty() {
            return Answer::default();
        }
        let descriptors: Vec<BorrowedFd<'_>> = self.files.iter().map(|(_, descriptor)| *descriptor).collect();
        let Ok(kernel) = Inodes::load(found) else { return Answer::default() };
        let inodes = kernel.of_files(&descriptors).unwrap_or_default();
        let known: HashMap<FileIndex, Inode> =
            self.files.iter().zip(inodes).filter_map(|((file, _), inode)| Some((*file, inode?))).collect();
        let mut first = HashMap::new();
        let same = self
            .files
            .iter()
            .filter_map(|(file, _)| Some((*file, *first.entry(*known.get(file)?).or_insert(*file))))
            .collect();
        let differs = |file: &FileIndex, pid: u32| {
            let probed = known.get(file)?;
            let mapped = kernel.of_process(pid).ok()?;
            (!mapped.is_empty() && !mapped.contains(probed)).then_some(())
        };
        let still = |file: &FileIndex, pid| program.file(*file).is_some_and(|file| executes(pid, &file.path));
        let warnings = self
            .executing
            .iter()
            // A process that ended or executed another file meanwhile says nothing.
            .filter(|(file, _, pid)| differs(file, *pid).is_some() && still(file, *pid))
            .map(|(file, container, pid)| Warning { file: *file, container: *container, pid: *pid })
            .collect();
        Answer { same, warnings }
    }
}

/// Whether a process executes the file of a path, as it sees that path.
fn executes(pid: u32, path: &str) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.as_os_str() == path)
}

/// Whether two files are one inode below their overlays; `None` where the kernel cannot tell.
pub(super) fn same_inode(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Option<bool> {
    let mut wanted = btf::Wanted::default();
    inode::want(&mut wanted);
    let kernel = Inodes::load(&facts::look(&wanted)).ok()?;
    match kernel.of_files(&[one, other]).ok()?.as_slice() {
        [Some(one), Some(other)] => Some(one == other),
        _ => None,
    }
}
