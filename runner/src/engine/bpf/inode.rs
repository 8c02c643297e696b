//! Owns telling which opened files are one inode, whatever overlay they were opened through. The kernel's own memory
//! map says it: each file is mapped for a moment, and an iterator over this very process reads the inodes behind the
//! mappings. `fstat` cannot: containers of one image give other devices, and after a copy-up the same number is wrong.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctp_lang::emit::bpf::Insn;
use ctp_lang::emit::bpf::identity::{IDENTITY_SIZE, IdentityOffsets, vma_iterator};

use super::btf::{Found, Wanted};
use super::sys::{self, Kind};

const ITERATOR: &str = "bpf_iter_task_vma";
const MEMBERS: [(&str, &str); 6] = [
    ("vm_area_struct", "vm_file"),
    ("file", "f_inode"),
    ("inode", "i_sb"),
    ("inode", "i_ino"),
    ("inode", "i_generation"),
    ("super_block", "s_dev"),
];

/// An inode as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode {
    /// The file system's device, as the kernel numbers it.
    pub(super) device: u32,
    /// The inode's number.
    pub(super) number: u64,
    /// Its generation: numbers are used again.
    pub(super) generation: u32,
}

/// Adds what telling inodes needs to what is looked for.
pub(super) fn want(wanted: &mut Wanted) {
    wanted.functions.push(ITERATOR);
    wanted.members.extend(MEMBERS);
}

/// A program that lists the inodes a process maps.
#[derive(Debug)]
pub(super) struct Inodes(OwnedFd);

impl Inodes {
    /// Loads it; an error where the kernel does not describe itself, or would not.
    pub(super) fn load(found: &Found) -> io::Result<Inodes> {
        let unsupported = || io::Error::from(io::ErrorKind::Unsupported);
        let member = |structure, name| found.members.get(&(structure, name)).copied().ok_or_else(unsupported);
        let offsets = IdentityOffsets {
            vma_file: member("vm_area_struct", "vm_file")?,
            file_inode: member("file", "f_inode")?,
            inode_super_block: member("inode", "i_sb")?,
            inode_number: member("inode", "i_ino")?,
            inode_generation: member("inode", "i_generation")?,
            super_block_device: member("super_block", "s_dev")?,
        };
        let function = found.functions.get(ITERATOR).copied().ok_or_else(unsupported)?;
        let insns: Vec<[u8; 8]> =
            vma_iterator(&offsets).ok_or_else(unsupported)?.into_iter().map(Insn::to_bytes).collect();
        Ok(Inodes(sys::load_program(Kind::Iterator(function), "ctp_inodes", &insns, None)?))
    }

    /// Mappings of files of a process: address of the first byte, inode.
    fn mappings(&self, pid: u32) -> io::Result<Vec<(u64, Inode)>> {
        // A hundred mappings or so: fewer reads, each of which costs a system call.
        let mut bytes = Vec::with_capacity(8192);
        File::from(sys::open_iterator(self.0.as_fd(), pid)?).read_to_end(&mut bytes)?;
        Ok(bytes.chunks_exact(IDENTITY_SIZE).filter_map(mapping).collect())
    }

    /// The inode behind each file; `None` for one that cannot be mapped.
    pub(super) fn of_files(&self, files: &[BorrowedFd<'_>]) -> io::Result<Vec<Option<Inode>>> {
        let held: Vec<Option<sys::Shared>> = files.iter().map(|file| sys::Shared::peek(*file).ok()).collect();
        let mappings = self.mappings(std::process::id())?;
        Ok(held
            .iter()
            .map(|held| {
                let start = held.as_ref()?.start();
                mappings.iter().find(|(at, _)| *at == start).map(|(_, inode)| *inode)
            })
            .collect())
    }

    /// The inodes that a process maps, in the order of their addresses.
    pub(super) fn of_process(&self, pid: u32) -> io::Result<Vec<Inode>> {
        Ok(self.mappings(pid)?.into_iter().map(|(_, inode)| inode).collect())
    }
}

fn mapping(bytes: &[u8]) -> Option<(u64, Inode)> {
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some((long(0)?, Inode { number: long(8)?, device: short(16)?, generation: short(20)? }))
}
