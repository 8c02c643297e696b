//! Owns holding handlers to so many runs a second (`--max-rate`): a counter for each probe, of hits in the current
//! second.

use super::asm::Label;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::{MapId, MapKind, MapSpec};
use crate::ir::Program;

/// How many hits a second the handler of a probe may run for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// The map of the counters, by probe.
    pub(super) map: MapId,
    /// The most hits of one probe in one second of the monotonic clock.
    pub(super) most: u32,
}

/// Counters: the second in the upper half, the hits in it in the lower one.
pub(super) fn map(program: &Program) -> MapSpec {
    let probes = u32::try_from(program.probes.len()).unwrap_or(u32::MAX).max(1);
    MapSpec::new("ctp_rate", MapKind::Array, 4, 8, probes)
}

impl Gen<'_> {
    /// Goes on where the probe's hits of this second are not too many yet, else to `limited`.
    pub(super) fn limit(&mut self, limited: Label) -> Result<(), Refused> {
        let Some(Rate { map, most }) = self.env.rate else { return Ok(()) };
        let (same, go_on) = (self.asm.label(), self.asm.label());
        let mark = self.frame;
        let second = self.temporary()?;
        self.asm.call(Helper::KtimeGetNs);
        self.asm.alu_imm(Alu::Div, R0, 1_000_000_000);
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.store(second, R0);
        let key = self.shared.counter_key;
        self.asm.imm(R1, i64::from(self.probe.0));
        self.asm.store(Width::W, key.base, key.off, R1);
        self.asm.map(R1, map);
        self.address(R2, key);
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, go_on);
        self.asm.mov(R4, R0);
        self.load(R3, second);
        self.asm.load(Width::D, R0, R4, 0);
        // A cpu that was held up never goes back to a second that is over.
        self.asm.jump_if(Jump::Ge, R0, R3, same);
        // Of several that see the second begin, one makes it begin: the others' comparison fails.
        self.asm.atomic(ATOMIC_CMPXCHG, R4, 0, R3);
        self.asm.place(same);
        self.asm.imm(R1, 1);
        self.asm.atomic(ATOMIC_ADD | ATOMIC_FETCH, R4, 0, R1);
        self.asm.low32(R1);
        self.asm.jump_if_imm(Jump::Ge, R1, i32::try_from(most).unwrap_or(i32::MAX), limited);
        self.asm.place(go_on);
        self.frame.release(mark);
        Ok(())
    }
}
