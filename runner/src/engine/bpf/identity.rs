//! Owns the two questions about inodes: before attaching, which files are one, so that one link serves them; behind it,
//! whether a container still executes the inode that its path leads to. It does not after a change to the
//! running file on an overlay (the copy-up): then a probe there is never hit, and nothing else would say so.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;

use ctp_lang::ir::{ContainerIndex, FileIndex, Program};

use super::inode::{Inode, Inodes};

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

/// How files are found by index.
type Open<'f, 'a> = &'f dyn Fn(FileIndex) -> Option<BorrowedFd<'a>>;

/// The inodes of a program's files, as far as the kernel tells.
pub(super) fn known(program: &Program, file: Open<'_, '_>, kernel: &Inodes) -> HashMap<FileIndex, Inode> {
    let files: Vec<_> =
        (0u32..).map(FileIndex).take(program.files.len()).filter_map(|index| Some((index, file(index)?))).collect();
    inodes(kernel, &files)
}

/// For each file that shares its inode with one before it, that one. Where the kernel cannot tell, nothing: then several
/// links may sit on one inode, which costs time at each hit, and each still counts only its own containers.
pub(super) fn same(known: &HashMap<FileIndex, Inode>) -> HashMap<FileIndex, FileIndex> {
    let mut files: Vec<(&FileIndex, &Inode)> = known.iter().collect();
    files.sort_unstable_by_key(|(file, _)| **file);
    let mut first = HashMap::new();
    files.into_iter().map(|(file, inode)| (*file, *first.entry(*inode).or_insert(*file))).collect()
}

/// The containers whose first process executes a file by the path that is probed, but another inode. Takes some
/// milliseconds.
pub(super) fn other_inodes(program: &Program, file: Open<'_, '_>, kernel: &Inodes) -> Vec<Warning> {
    let mut executing: Vec<Warning> = Vec::new();
    let mut looked_at = HashSet::new();
    for (_, site) in program.sites() {
        for container in site.containers.iter().filter(|container| looked_at.insert((site.file, **container))) {
            let (Some(known), Some(of)) = (program.container(*container), program.file(site.file)) else { continue };
            if executes(known.init_pid, &of.path) {
                executing.push(Warning { file: site.file, container: *container, pid: known.init_pid });
            }
        }
    }
    let mut files: Vec<_> = executing.iter().filter_map(|one| Some((one.file, file(one.file)?))).collect();
    files.dedup_by_key(|(file, _)| *file);
    let known = inodes(kernel, &files);
    executing.retain(|one| {
        let (Some(probed), Ok(mapped)) = (known.get(&one.file), kernel.of_process(one.pid)) else { return false };
        // A process that ended or executed another file meanwhile says nothing.
        let still = program.file(one.file).is_some_and(|file| executes(one.pid, &file.path));
        !mapped.is_empty() && !mapped.contains(probed) && still
    });
    executing
}

fn inodes(kernel: &Inodes, files: &[(FileIndex, BorrowedFd<'_>)]) -> HashMap<FileIndex, Inode> {
    let descriptors: Vec<BorrowedFd<'_>> = files.iter().map(|(_, descriptor)| *descriptor).collect();
    let inodes = kernel.of_files(&descriptors).unwrap_or_default();
    files.iter().zip(inodes).filter_map(|((file, _), inode)| Some((*file, inode?))).collect()
}

/// Whether a process executes the file of a path, as it sees that path.
fn executes(pid: u32, path: &str) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.as_os_str() == path)
}
