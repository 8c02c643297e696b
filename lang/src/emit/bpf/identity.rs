//! Owns the iterator that tells which inodes a process maps. `fstat` of a file in a container names the overlay's
//! inode; what a uprobe sits on is the layer's own, and only the kernel's memory map of a process shows that one.

use super::asm::Asm;
use super::insn::*;

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityOffsets {
    /// `vm_area_struct.vm_file`
    pub vma_file: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `inode.i_sb`
    pub inode_super_block: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `inode.i_generation`
    pub inode_generation: u32,
    /// `super_block.s_dev`
    pub super_block_device: u32,
}

/// Bytes the iterator writes for each mapping of a file: `u64` start, `u64` inode number, `u32` device (as the kernel
/// numbers it), `u32` generation.
pub const IDENTITY_SIZE: usize = 24;

/// A program for `bpf_iter_task_vma`; `None` where an offset is too large for an instruction.
pub fn vma_iterator(at: &IdentityOffsets) -> Option<Vec<Insn>> {
    let off = |offset: u32| i16::try_from(offset).ok();
    let (vma, inode) = (Reg(7), Reg(8));
    let mut asm = Asm::default();
    let end = asm.label();
    asm.mov(CTX, R1);
    // struct bpf_iter__task_vma: meta, task, vma, 8 bytes each.
    asm.load(Width::D, vma, CTX, 16);
    asm.jump_if_imm(Jump::Eq, vma, 0, end);
    asm.load(Width::D, R1, vma, off(at.vma_file)?);
    asm.jump_if_imm(Jump::Eq, R1, 0, end);
    asm.load(Width::D, inode, R1, off(at.file_inode)?);
    asm.jump_if_imm(Jump::Eq, inode, 0, end);
    // vm_area_struct begins with vm_start.
    asm.load(Width::D, R1, vma, 0);
    asm.store(Width::D, FP, -24, R1);
    asm.load(Width::D, R1, inode, off(at.inode_number)?);
    asm.store(Width::D, FP, -16, R1);
    asm.load(Width::W, R1, inode, off(at.inode_generation)?);
    asm.store(Width::W, FP, -4, R1);
    asm.load(Width::D, R1, inode, off(at.inode_super_block)?);
    asm.load(Width::W, R1, R1, off(at.super_block_device)?);
    asm.store(Width::W, FP, -8, R1);
    asm.load(Width::D, R1, CTX, 0);
    asm.load(Width::D, R1, R1, 0); // bpf_iter_meta.seq
    asm.mov(R2, FP);
    asm.alu_imm(Alu::Add, R2, -24);
    asm.imm(R3, i64::try_from(IDENTITY_SIZE).ok()?);
    asm.call(Helper::SeqWrite);
    asm.place(end);
    asm.exit();
    Some(asm.finish().ok()?.insns)
}
