//! Owns the iterator that tells of a process what `/proc` does not: its number in the first pid namespace, when exactly
//! it started, and the ids of the cgroups above it where no cgroup file system is mounted.

use super::LineageOffsets;
use super::asm::Asm;
use super::insn::*;

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOffsets {
    /// Of `task_struct`.
    pub lineage: LineageOffsets,
    /// `task_struct.thread_pid`
    pub pid: u32,
    /// `pid.level`
    pub pid_level: u32,
    /// `task_struct.cgroups`
    pub cgroups: u32,
    /// `css_set.dfl_cgrp`
    pub cgroup: u32,
    /// `cgroup.level`
    pub level: u32,
    /// `cgroup.ancestors`: pointers, from the root's on (Linux 6.1).
    pub ancestors: u32,
    /// `cgroup.kn`
    pub node: u32,
    /// `kernfs_node.id`
    pub node_id: u32,
}

/// How many levels of cgroups are told.
pub const LEVELS: usize = 24;
/// Bytes written for a thread: `u32` process, `u32` level of its pid namespace, `u64` start of the process in ns since
/// boot, `u64` level of its cgroup, and the ids of that and of those above it: `u64` each by level, 0 where there is none.
pub const TASK_SIZE: usize = 24 + 8 * LEVELS;

/// A program for `bpf_iter_task`; `None` where an offset is too large for an instruction.
pub fn task_iterator(at: &TaskOffsets) -> Option<Vec<Insn>> {
    let off = |offset: u32| i32::try_from(offset).ok();
    let size = i32::try_from(TASK_SIZE).ok()?;
    let task = SITE;
    let cgroup = CONTAINER;
    let level = SCRATCH;
    // Where in the record, and behind it, on the stack.
    let (process, pid_level, start, depth, ids) = (-size, 4 - size, 8 - size, 16 - size, 24 - size);
    let pointer = -size - 8;
    let mut asm = Asm::default();
    let (end, write) = (asm.label(), asm.label());
    asm.mov(CTX, R1);
    // struct bpf_iter__task: meta, task, 8 bytes each.
    asm.load(Width::D, task, CTX, 8);
    asm.jump_if_imm(Jump::Eq, task, 0, end);
    for slot in 0..i16::try_from((size + 8) / 8).ok()? {
        asm.store_imm(Width::D, FP, -8 - 8 * slot, 0);
    }
    let read = |asm: &mut Asm, to: i32, size: i64, offset: i32| {
        asm.alu_imm(Alu::Add, R3, offset);
        asm.mov(R1, FP);
        asm.alu_imm(Alu::Add, R1, to);
        asm.imm(R2, size);
        asm.call(Helper::ProbeReadKernel);
    };
    let from_pointer = |asm: &mut Asm| -> Option<()> {
        asm.load(Width::D, R3, FP, i16::try_from(pointer).ok()?);
        Some(())
    };
    asm.mov(R3, task);
    read(&mut asm, pointer, 8, off(at.lineage.leader)?);
    from_pointer(&mut asm)?;
    read(&mut asm, process, 4, off(at.lineage.tgid)?);
    from_pointer(&mut asm)?;
    read(&mut asm, start, 8, off(at.lineage.start)?);
    asm.mov(R3, task);
    read(&mut asm, pointer, 8, off(at.pid)?);
    from_pointer(&mut asm)?;
    read(&mut asm, pid_level, 4, off(at.pid_level)?);
    asm.mov(R3, task);
    read(&mut asm, pointer, 8, off(at.cgroups)?);
    from_pointer(&mut asm)?;
    read(&mut asm, pointer, 8, off(at.cgroup)?);
    asm.load(Width::D, cgroup, FP, i16::try_from(pointer).ok()?);
    asm.mov(R3, cgroup);
    read(&mut asm, depth, 4, off(at.level)?);
    asm.load(Width::W, level, FP, i16::try_from(depth).ok()?);
    for above in 0..i32::try_from(LEVELS).ok()? {
        asm.jump_if_imm(Jump::Lt, level, above, write);
        asm.mov(R3, cgroup);
        read(&mut asm, pointer, 8, off(at.ancestors)?.checked_add(8 * above)?);
        from_pointer(&mut asm)?;
        read(&mut asm, pointer, 8, off(at.node)?);
        from_pointer(&mut asm)?;
        read(&mut asm, ids + 8 * above, 8, off(at.node_id)?);
    }
    asm.place(write);
    asm.load(Width::D, R1, CTX, 0);
    asm.load(Width::D, R1, R1, 0); // bpf_iter_meta.seq
    asm.mov(R2, FP);
    asm.alu_imm(Alu::Add, R2, -size);
    asm.imm(R3, i64::from(size));
    asm.call(Helper::SeqWrite);
    asm.place(end);
    asm.exit();
    Some(asm.finish().ok()?.insns)
}
