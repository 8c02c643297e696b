//! Owns the program that sees new cgroups being made (the tracepoint `cgroup_mkdir`), before a task can be in them: for
//! `host` a new one is nobody's until the runner has looked whether it is a container's.

use super::asm::Asm;
use super::insn::*;
use super::map::{FILTER, FilterValue, MapId, NOT_THE_HOSTS};
use super::tracepoint::{self, AtTracepoint};

/// The tracepoint's name.
pub const CGROUP_MKDIR: &str = "cgroup_mkdir";

/// How many cgroups there can be besides those of the program's containers.
pub const MOST: u32 = 1 << 15;

/// The value of a cgroup that nobody has looked at yet; containers known before have 0.
pub const NEW: FilterValue = FilterValue { container: 1, pid_level: 0 };

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupOffsets {
    /// `cgroup.kn`
    pub node: u32,
    /// `kernfs_node.id`
    pub node_id: u32,
    /// `cgroup.root`
    pub root: u32,
    /// `cgroup_root.hierarchy_id`: 0 for cgroup2.
    pub hierarchy: u32,
}

/// Writes the program; `counts` is the map of the two numbers. `None` where an offset is too large for an instruction.
pub fn watcher(at: &CgroupOffsets, counts: MapId) -> Option<AtTracepoint> {
    let off = |offset: u32| i32::try_from(offset).ok();
    let mut asm = Asm::default();
    let end = asm.label();
    // Arguments of the tracepoint, 8 bytes each: struct cgroup *, const char *path.
    let cgroup = SITE;
    asm.load(Width::D, cgroup, R1, 0);
    let read = |asm: &mut Asm, to: i32, size: i64, offset: i32| {
        asm.alu_imm(Alu::Add, R3, offset);
        asm.mov(R1, FP);
        asm.alu_imm(Alu::Add, R1, to);
        asm.imm(R2, size);
        asm.call(Helper::ProbeReadKernel);
    };
    asm.mov(R3, cgroup);
    read(&mut asm, -8, 8, off(at.root)?);
    asm.load(Width::D, R3, FP, -8);
    read(&mut asm, -8, 4, off(at.hierarchy)?);
    asm.load(Width::W, R1, FP, -8);
    asm.jump_if_imm(Jump::Ne, R1, 0, end);
    asm.mov(R3, cgroup);
    read(&mut asm, -8, 8, off(at.node)?);
    asm.load(Width::D, R3, FP, -8);
    read(&mut asm, -16, 8, off(at.node_id)?);
    // The key: id, group, no process.
    asm.store_imm(Width::W, FP, -8, NOT_THE_HOSTS.cast_signed());
    asm.store_imm(Width::W, FP, -4, 0);
    asm.store_imm(Width::D, FP, -24, i32::try_from(NEW.container).ok()?);
    asm.map(R1, FILTER);
    asm.mov(R2, FP);
    asm.alu_imm(Alu::Add, R2, -16);
    asm.mov(R3, FP);
    asm.alu_imm(Alu::Add, R3, -24);
    asm.imm(R4, 0);
    asm.call(Helper::MapUpdateElem);
    tracepoint::count(&mut asm, counts)?;
    asm.place(end);
    tracepoint::finish(asm, CGROUP_MKDIR)
}
