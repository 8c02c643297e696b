//! Owns telling which opened files are one inode, whatever overlay they were opened through. The kernel's own memory
//! map says it: each file is mapped for a moment, and an iterator over this very process reads the inodes behind the
//! mappings. `fstat` cannot: containers of one image give other devices, and after a copy-up the same number is wrong.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

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
    pub device: u32,
    /// The inode's number.
    pub number: u64,
    /// Its generation: numbers are used again.
    pub generation: u32,
}

/// Adds what telling inodes needs to what is looked for.
pub(super) fn want(wanted: &mut Wanted) {
    wanted.functions.push(ITERATOR);
    wanted.members.extend(MEMBERS);
}

/// Mappings of files of a process: address of the first byte, inode.
fn mappings(found: &Found, pid: u32) -> io::Result<Vec<(u64, Inode)>> {
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
    let insns: Vec<[u8; 8]> = vma_iterator(&offsets).ok_or_else(unsupported)?.into_iter().map(Insn::to_bytes).collect();
    let program = sys::load_program(Kind::Iterator(function), "ctp_inodes", &insns, None)?;
    let mut bytes = Vec::new();
    File::from(sys::open_iterator(program.as_fd(), pid)?).read_to_end(&mut bytes)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let half = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    Ok(bytes
        .chunks_exact(IDENTITY_SIZE)
        .map(|one| {
            let inode = Inode {
                device: half(one.get(16..20).unwrap_or_default()),
                number: number(one.get(8..16).unwrap_or_default()),
                generation: half(one.get(20..24).unwrap_or_default()),
            };
            (number(one.get(..8).unwrap_or_default()), inode)
        })
        .collect())
}

/// The inode behind each file; `None` for one that cannot be mapped.
pub(super) fn identify(found: &Found, files: &[BorrowedFd<'_>]) -> io::Result<Vec<Option<Inode>>> {
    let held: Vec<Option<sys::Shared>> = files.iter().map(|file| sys::Shared::peek(*file).ok()).collect();
    let mappings = mappings(found, std::process::id())?;
    Ok(held
        .iter()
        .map(|held| {
            let start = held.as_ref()?.start();
            mappings.iter().find(|(at, _)| *at == start).map(|(_, inode)| *inode)
        })
        .collect())
}

/// The inodes that a process maps.
pub(super) fn mapped_by(found: &Found, pid: u32) -> io::Result<Vec<Inode>> {
    Ok(mappings(found, pid)?.into_iter().map(|(_, inode)| inode).collect())
}
