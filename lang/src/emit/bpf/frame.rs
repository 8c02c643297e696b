//! Owns where a handler keeps what it computes: the 512 bytes of stack, and behind them the task's scratch memory.
//! Scratch belongs to the task, not to the cpu, because programs may sleep and be preempted; a task is in at most one
//! program at a time.

use super::insn::{FP, Reg, SCRATCH};

/// What of the stack of a program (`MAX_BPF_STACK`, 512 bytes) is used: the kernel itself takes up to 16 bytes for loops.
const STACK: i32 = 488;
/// The most scratch memory of a task: what a task storage holds (`BPF_LOCAL_STORAGE_MAX_VALUE_SIZE`, a little less than
/// 64 KiB).
const MOST_SCRATCH: i32 = 65_000;
/// How far into the scratch memory its register points: offsets are 16 bits wide and have a sign.
pub(super) const SCRATCH_BIAS: i32 = 32 * 1024;

/// A place in memory that stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) base: Reg,
    pub(super) off: i16,
}

impl Slot {
    pub(super) fn plus(self, bytes: i16) -> Slot {
        Slot { base: self.base, off: self.off.saturating_add(bytes) }
    }
}

/// The handler needs more memory than a program can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// What is in use; a copy taken before is put back to release what was taken since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    stack: i32,
    scratch: i32,
    /// The most scratch ever in use.
    most: i32,
    /// Whether the stack stays as it is: memory that the verifier does not follow lets the states of a loop's rounds
    /// be the same.
    only_scratch: bool,
}

impl Frame {
    /// Bytes on the stack, a multiple of 8; in scratch where the stack is full.
    pub(super) fn take(&mut self, bytes: u32) -> Result<Slot, TooLarge> {
        let size = i32::try_from(bytes.next_multiple_of(8)).map_err(|_| TooLarge)?;
        if self.only_scratch || self.stack.saturating_add(size) > STACK {
            return self.take_scratch(bytes);
        }
        self.stack += size;
        Ok(Slot { base: FP, off: i16::try_from(-self.stack).map_err(|_| TooLarge)? })
    }

    /// Bytes of scratch.
    pub(super) fn take_scratch(&mut self, bytes: u32) -> Result<Slot, TooLarge> {
        let size = i32::try_from(bytes.next_multiple_of(8)).map_err(|_| TooLarge)?;
        let off = self.scratch;
        if off.saturating_add(size) > MOST_SCRATCH {
            return Err(TooLarge);
        }
        self.scratch += size;
        self.most = self.most.max(self.scratch);
        Ok(Slot { base: SCRATCH, off: i16::try_from(off - SCRATCH_BIAS).map_err(|_| TooLarge)? })
    }

    /// From now on everything is in scratch.
    pub(super) fn leave_stack(&mut self) {
        self.only_scratch = true;
    }

    /// Releases everything taken since `mark` was copied from here.
    pub(super) fn release(&mut self, mark: Frame) {
        *self = Frame { most: self.most, ..mark };
    }

    /// The most scratch that was in use, in bytes.
    pub(super) fn scratch_used(&self) -> u32 {
        u32::try_from(self.most).unwrap_or(0)
    }
}
