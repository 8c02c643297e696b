//! Owns what the programs at the kernel's tracepoints have in common: how they are handed over, and how they count what
//! they saw and tell it by a record.

use super::asm::Asm;
use super::insn::*;
use super::map::{MapId, MapKind, MapSpec};

/// Byte offset of how often something happened, in the only element of the map of numbers.
pub const ALL: usize = 0;
/// Byte offset of how often the kernel had no room for that: for the record, or in the filter.
pub const WITHOUT_ROOM: usize = 8;

/// A program for a raw tracepoint.
#[derive(Clone, Debug)]
pub struct AtTracepoint {
    /// The tracepoint's name.
    pub tracepoint: &'static str,
    /// Instructions; those in `maps` still lack their map.
    pub insns: Vec<Insn>,
    /// Index of an instruction, and the map whose descriptor belongs into its immediate.
    pub maps: Vec<(usize, MapId)>,
}

/// The map of the two numbers, which the runner reads without a system call.
pub(super) fn numbers(name: &str) -> MapSpec {
    MapSpec::new(name, MapKind::SharedArray, 4, 16, 1)
}

/// Raises the numbers, the second one where r0 is not 0: the kernel had no room. Leaves r0 to r5 changed.
pub(super) fn count(asm: &mut Asm, numbers: MapId) -> Option<()> {
    let room = asm.label();
    let add_one = |asm: &mut Asm, at: usize| -> Option<()> {
        asm.map_value(R2, numbers, u32::try_from(at).ok()?);
        asm.imm(R1, 1);
        asm.atomic(ATOMIC_ADD, R2, 0, R1);
        Some(())
    };
    asm.jump_if_imm(Jump::Eq, R0, 0, room);
    add_one(asm, WITHOUT_ROOM)?;
    asm.place(room);
    add_one(asm, ALL)
}

/// Tells a record of `size` bytes at `fp + at` and counts it. Leaves r0 to r5 changed.
pub(super) fn tell(asm: &mut Asm, ring: MapId, at: i32, size: usize, numbers: MapId) -> Option<()> {
    asm.map(R1, ring);
    asm.mov(R2, FP);
    asm.alu_imm(Alu::Add, R2, at);
    asm.imm(R3, i64::try_from(size).ok()?);
    // BPF_RB_FORCE_WAKEUP: they are few, and somebody may be waiting for nothing else.
    asm.imm(R4, 2);
    asm.call(Helper::RingbufOutput);
    count(asm, numbers)
}

/// Ends a program. `None` where a jump or an offset is too large for an instruction.
pub(super) fn finish(mut asm: Asm, tracepoint: &'static str) -> Option<AtTracepoint> {
    asm.exit();
    let done = asm.finish().ok()?;
    Some(AtTracepoint { tracepoint, insns: done.insns, maps: done.maps })
}
