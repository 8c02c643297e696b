//! Owns which of many opened files are one inode: containers of one image have one file, which need not be read for each
//! of them. Says so only where that is certain. Reads none of them.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sys::statfs::{self, FsType, fstatfs};

use super::live::OpenedFile;
use crate::engine::bpf::inodes_of;

/// File systems of a disk or of memory, in which device and number say which inode it is. Others may show what they like
/// (fuse), or a number of their own (overlayfs).
const PLAIN: [FsType; 4] =
    [statfs::EXT4_SUPER_MAGIC, statfs::XFS_SUPER_MAGIC, statfs::BTRFS_SUPER_MAGIC, statfs::TMPFS_MAGIC];

/// For each file the position of the first that is the same inode; `None` where that cannot be told.
pub(super) fn first_of_inode(files: &[Option<OpenedFile>]) -> Vec<Option<usize>> {
    let mut first = vec![None; files.len()];
    let mut by_number: HashMap<(u64, u64), usize> = HashMap::new();
    let mut others: Vec<(usize, BorrowedFd<'_>)> = Vec::new();
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    for (at, file) in (0..).zip(files) {
        let Some(file) = file else { continue };
        if is_plain(file) {
            let first_at = *by_number.entry((file.dev, file.ino)).or_insert(at);
            if let Some(slot) = first.get_mut(at) {
                *slot = Some(first_at);
            }
        } else {
            *sizes.entry(file.size).or_default() += 1;
            others.push((at, file.file.as_fd()));
        }
    }
    // What has a size of its own is an inode of its own: the kernel is asked about the rest.
    let has_like = |at: usize| {
        let size = files.get(at).and_then(Option::as_ref).map(|file| file.size);
        size.and_then(|size| sizes.get(&size)).is_some_and(|count| *count > 1)
    };
    others.retain(|(at, _)| has_like(*at));
    if others.is_empty() {
        return first;
    }
    let descriptors: Vec<BorrowedFd<'_>> = others.iter().map(|(_, descriptor)| *descriptor).collect();
    let mut by_inode = HashMap::new();
    for ((at, _), inode) in others.iter().zip(inodes_of(&descriptors)) {
        if let (Some(inode), Some(slot)) = (inode, first.get_mut(*at)) {
            *slot = Some(*by_inode.entry(inode).or_insert(*at));
        }
    }
    first
}

fn is_plain(file: &OpenedFile) -> bool {
    fstatfs(&*file.file).is_ok_and(|fs| PLAIN.contains(&fs.filesystem_type()))
}
