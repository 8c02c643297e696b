//! Owns how much one question may cost: steps, and bytes that its answer holds, both in proportion to the debug info that
//! is really there. Small sections can refer to the same list, text or table from everywhere, so sizes alone bound neither.

use std::cell::Cell;

use super::facts::DebugError;
use super::limits::{self, over};

/// What one question has cost so far.
pub(super) struct Steps {
    taken: Cell<u64>,
    held: Cell<u64>,
    /// Most of either.
    most: (u64, u64),
}

impl Steps {
    /// For a question to a module with so many bytes of units.
    pub(super) fn of(bytes: u64) -> Steps {
        let steps = bytes.saturating_mul(limits::STEPS_FOR_A_BYTE).saturating_add(limits::STEPS_BESIDES);
        let held = bytes.saturating_mul(limits::HELD_FOR_A_BYTE).saturating_add(limits::HELD_BESIDES);
        Steps { taken: Cell::new(0), held: Cell::new(0), most: (steps.min(limits::MAX_STEPS), held) }
    }

    /// What it has cost so far: parts of the question that are answered at the same time go on from there, each by itself.
    pub(super) fn so_far(&self) -> Cost {
        Cost { taken: self.taken.get(), held: self.held.get(), most: self.most }
    }

    /// Adds what a part of the question took.
    pub(super) fn add(&self, steps: u64, bytes: u64) {
        self.taken.set(self.taken.get().saturating_add(steps));
        self.held.set(self.held.get().saturating_add(bytes));
    }

    /// Counts steps: DIEs, rows of line tables, entries of lists that were read.
    ///
    /// # Errors
    /// [`DebugError::Limit`] once there were too many.
    pub(super) fn count(&self, steps: u64) -> Result<(), DebugError> {
        let taken = self.taken.get().saturating_add(steps);
        self.taken.set(taken);
        if taken > self.most.0 { Err(over("steps to answer one question", self.most.0)) } else { Ok(()) }
    }

    /// Counts bytes that stay until the question is answered.
    ///
    /// # Errors
    /// [`DebugError::Limit`] once there were too many.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), DebugError> {
        let held = self.held.get().saturating_add(bytes as u64);
        self.held.set(held);
        if held > self.most.1 { Err(over("bytes in the answer to one question", self.most.1)) } else { Ok(()) }
    }
}

/// What a question has cost, and may.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    taken: u64,
    held: u64,
    most: (u64, u64),
}

impl Cost {
    /// For a part of the question.
    pub(super) fn go_on(self) -> Steps {
        Steps { taken: Cell::new(self.taken), held: Cell::new(self.held), most: self.most }
    }

    /// Steps and bytes since that was the cost.
    pub(super) fn since(self, before: &Cost) -> (u64, u64) {
        (self.taken.saturating_sub(before.taken), self.held.saturating_sub(before.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_may_cost_grows_with_what_is_there() {
        for (bytes, steps) in [
            (0, limits::STEPS_BESIDES),
            (1 << 20, limits::STEPS_BESIDES + (limits::STEPS_FOR_A_BYTE << 20)),
            (u64::MAX, limits::MAX_STEPS),
        ] {
            let question = Steps::of(bytes);
            assert!(question.count(steps).is_ok() && question.count(1).is_err() && question.count(u64::MAX).is_err());
        }
        let whole = Steps::of(0);
        assert!(whole.count(1000).is_ok() && whole.hold(7).is_ok());
        let part = whole.so_far().go_on();
        assert!(part.count(limits::STEPS_BESIDES - 1000).is_ok() && part.hold(5).is_ok() && part.count(1).is_err());
        let (steps, bytes) = part.so_far().since(&whole.so_far());
        assert_eq!((steps, bytes), (limits::STEPS_BESIDES - 999, 5));
        whole.add(steps, bytes);
        assert!(whole.count(1).is_err());
        let question = Steps::of(1000);
        assert!(question.hold(usize::try_from(limits::HELD_BESIDES).expect("64 bits")).is_ok());
        assert!(question.hold(1000 * limits::HELD_FOR_A_BYTE as usize).is_ok() && question.hold(1).is_err());
    }
}
