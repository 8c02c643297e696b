//! Owns aggregates and `delete` in the kernel. All that `<<<` changes it changes atomically, so that nothing is lost
//! on any number of cpus, nor where one handler preempts another on one cpu.

use super::Category;
use super::frame::Slot;
use super::globals::{EXISTS, NO_EXIST};
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::{GlobalLayout, MapId, SCALARS, StatsLayout};
use super::quantile::Parts;
use crate::ir::{Expr, GlobalIndex, Linear, StatOp};
use crate::source::Span;
use crate::stats::LOG_BUCKETS;

/// How often a new greatest or least value is tried to be written. Each failure means that another run wrote a value
/// that is greater still (or less) at that very moment; a run that fails so often counts as lost.
const TRIES: usize = 8;

impl Gen<'_> {
    /// `<<<`
    pub(super) fn aggregate(
        &mut self,
        global: GlobalIndex,
        keys: &[Expr],
        value: &Expr,
        span: Span,
    ) -> Result<(), Refused> {
        let GlobalLayout::Stats { map, keys: parts, stats, sparse, .. } = self.layout(global, span)? else {
            return Err(self.contradiction(span, "an aggregate that is none"));
        };
        let mark = self.frame;
        let key = if parts.is_empty() {
            let key = self.temporary()?;
            self.asm.store_imm(Width::D, key.base, key.off, 0);
            key
        } else {
            self.key(&parts, keys, span)?
        };
        let operand = self.temporary()?;
        self.int(value)?;
        self.store(operand, R0);
        let (found, full, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.look_up(map, key);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, found);
        if sparse {
            // Inserted empty, by whoever is first.
            self.insert_empty(map, key, &stats);
            let inserted = self.asm.label();
            self.asm.jump_if_imm(Jump::Eq, R0, 0, inserted);
            self.asm.jump_if_imm(Jump::Ne, R0, EXISTS, full);
            self.asm.place(inserted);
            self.look_up(map, key);
            self.asm.jump_if_imm(Jump::Ne, R0, 0, found);
        }
        self.asm.place(full);
        self.bump(Category::MapFull);
        self.asm.jump(end);
        self.asm.place(found);
        self.take_in(&stats, operand)?;
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    fn insert_empty(&mut self, map: MapId, key: Slot, stats: &StatsLayout) {
        let zeros = self.rodata.constant(&vec![0; stats.size() as usize]);
        self.map_in_r1(map);
        self.address(R2, key);
        self.asm.map_value(R3, self.env.constants, zeros);
        self.asm.imm(R4, NO_EXIST);
        self.asm.call(Helper::MapUpdateElem);
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.asm.alu_imm(Alu::Arsh, R0, 32);
    }

    /// The aggregate at r0 takes in the number in `operand`; clobbers r0–r5.
    fn take_in(&mut self, stats: &StatsLayout, operand: Slot) -> Result<(), Refused> {
        self.asm.mov(R1, R0);
        // The greatest and the least first: where they fail, nothing was changed that others would count.
        for (offset, turned) in [(16, false), (24, true)] {
            self.load(R2, operand);
            self.asm.imm(R0, i64::MIN);
            self.asm.alu(Alu::Xor, R2, R0);
            if turned {
                self.asm.alu_imm(Alu::Xor, R2, -1);
            }
            let done = self.asm.label();
            self.asm.load(Width::D, R0, R1, offset);
            for _ in 0..TRIES {
                self.asm.jump_if(Jump::Ge, R0, R2, done);
                self.asm.mov(R3, R0);
                self.asm.atomic(ATOMIC_CMPXCHG, R1, offset, R2);
                self.asm.jump_if(Jump::Eq, R0, R3, done);
            }
            self.asm.jump_if(Jump::Lt, R0, R2, self.lost);
            self.asm.place(done);
        }
        self.asm.imm(R2, 1);
        self.asm.atomic(ATOMIC_ADD, R1, 0, R2);
        self.load(R3, operand);
        self.asm.atomic(ATOMIC_ADD, R1, 8, R3);
        let mut buckets = StatsLayout::BUCKETS;
        if stats.shape.log {
            self.log_bucket(operand);
            self.count_bucket(buckets, LOG_BUCKETS)?;
            buckets += 8 * u32::try_from(LOG_BUCKETS).unwrap_or(0);
        }
        for linear in &stats.shape.linear {
            self.linear_bucket(linear, operand);
            self.count_bucket(buckets, linear.buckets())?;
            buckets = buckets.saturating_add(8 * u32::try_from(linear.buckets()).unwrap_or(0));
        }
        Ok(())
    }

    /// Adds 1 to the bucket whose number is in r4, of `count` that lie at r1 + `buckets`; clobbers r2, r4.
    fn count_bucket(&mut self, buckets: u32, count: usize) -> Result<(), Refused> {
        let (Ok(count), Ok(buckets)) = (i32::try_from(count), i16::try_from(buckets)) else {
            return Err(super::handler::too_large(self.span));
        };
        self.asm.jump_if_imm(Jump::Ge, R4, count, self.lost);
        self.asm.alu_imm(Alu::Lsh, R4, 3);
        self.asm.alu(Alu::Add, R4, R1);
        self.asm.imm(R2, 1);
        self.asm.atomic(ATOMIC_ADD, R4, buckets, R2);
        Ok(())
    }

    /// The number of a value's bucket among those of the powers of two in r4 ([`crate::stats::log_bucket`]); clobbers
    /// r2, r3, r5. Without branches: each would double what the verifier has to look at.
    fn log_bucket(&mut self, operand: Slot) {
        let asm = &mut *self.asm;
        asm.load(Width::D, R3, operand.base, operand.off);
        asm.mov(R2, R3);
        asm.alu_imm(Alu::Arsh, R2, 63); // -1 for negative numbers, else 0
        asm.alu(Alu::Xor, R3, R2);
        asm.alu(Alu::Sub, R3, R2); // the absolute value, as an unsigned number
        asm.imm(R4, 0);
        for shift in [32, 16, 8, 4, 2, 1] {
            // r5 = shift where any bit from `shift` on is set, else 0.
            asm.mov(R5, R3);
            asm.alu_imm(Alu::Rsh, R5, shift);
            asm.alu_imm(Alu::Neg, R5, 0);
            asm.alu_imm(Alu::Arsh, R5, 63);
            asm.alu_imm(Alu::And, R5, shift);
            asm.alu(Alu::Rsh, R3, R5);
            asm.alu(Alu::Add, R4, R5);
        }
        asm.alu(Alu::Add, R4, R3); // the bit that is left, if any
        // 64 + power, or 64 - power for negative numbers.
        asm.alu(Alu::Xor, R4, R2);
        asm.alu(Alu::Sub, R4, R2);
        asm.alu_imm(Alu::Add, R4, 64);
    }

    /// The number of a value's bucket of a linear histogram in r4 ([`Linear::bucket`]); clobbers r2, r3.
    fn linear_bucket(&mut self, linear: &Linear, operand: Slot) {
        let (below, inside, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        let last = i64::try_from(linear.buckets() - 1).unwrap_or(1);
        self.load(R3, operand);
        self.asm.imm(R2, linear.low);
        self.asm.jump_if(Jump::SLt, R3, R2, below);
        self.asm.alu(Alu::Sub, R3, R2);
        self.asm.imm(R2, linear.step.max(1));
        self.asm.alu(Alu::Div, R3, R2);
        self.asm.imm(R2, last - 1);
        self.asm.jump_if(Jump::Le, R3, R2, inside);
        self.asm.mov(R3, R2);
        self.asm.place(inside);
        self.asm.alu_imm(Alu::Add, R3, 1);
        self.asm.mov(R4, R3);
        self.asm.jump(end);
        self.asm.place(below);
        self.asm.imm(R4, 0);
        self.asm.place(end);
    }

    /// What is asked of an aggregate, in r0: of all cpus together.
    pub(super) fn stat(&mut self, global: GlobalIndex, keys: &[Expr], op: StatOp, span: Span) -> Result<(), Refused> {
        let GlobalLayout::Stats { map, keys: parts, per_cpu, .. } = self.layout(global, span)? else {
            return Err(self.contradiction(span, "an aggregate that is none"));
        };
        let mark = self.frame;
        let key = if parts.is_empty() {
            let key = self.temporary()?;
            self.asm.store_imm(Width::D, key.base, key.off, 0);
            key
        } else {
            self.key(&parts, keys, span)?
        };
        // Count, sum, greatest, least, as they lie in the map: zeros are nothing.
        let sums = [self.temporary()?, self.temporary()?, self.temporary()?, self.temporary()?];
        for sum in sums {
            self.asm.store_imm(Width::D, sum.base, sum.off, 0);
        }
        let buckets = match op {
            StatOp::Quantile(_) => Some(self.buckets()?),
            StatOp::Count | StatOp::Sum | StatOp::Min | StatOp::Max | StatOp::Avg => None,
        };
        let done = self.asm.label();
        if per_cpu {
            let cpu = self.temporary()?;
            self.asm.store_imm(Width::D, cpu.base, cpu.off, 0);
            let head = self.asm.label();
            self.loop_head(head);
            self.map_in_r1(map);
            self.address(R2, key);
            self.load(R3, cpu);
            self.asm.call(Helper::MapLookupPercpuElem);
            // No such key, or no such cpu.
            self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
            self.sum_up(sums, buckets);
            self.load(R1, cpu);
            self.asm.alu_imm(Alu::Add, R1, 1);
            self.store(cpu, R1);
            self.asm.jump(head);
        } else {
            self.look_up(map, key);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
            self.sum_up(sums, buckets);
        }
        self.asm.place(done);
        let [count, sum, max, min] = sums;
        self.load(R1, count);
        match op {
            StatOp::Count => self.asm.mov(R0, R1),
            StatOp::Sum => self.load(R0, sum),
            StatOp::Avg => {
                self.asm.jump_if_imm(Jump::Eq, R1, 0, self.fault);
                self.load(R0, sum);
                self.asm.signed(Alu::Div, R0, R1);
            }
            StatOp::Min | StatOp::Max => {
                self.asm.jump_if_imm(Jump::Eq, R1, 0, self.fault);
                let least = op == StatOp::Min;
                self.extreme(R0, if least { min } else { max }, least);
            }
            StatOp::Quantile(hundredths) => {
                let buckets = buckets.ok_or_else(|| self.contradiction(span, "a quantile without buckets"))?;
                self.quantile(hundredths, &Parts { count, max, min, buckets })?;
            }
        }
        self.frame.release(mark);
        Ok(())
    }

    /// Adds the aggregate at r0 to what there is; clobbers r1, r2.
    fn sum_up(&mut self, sums: [Slot; 4], buckets: Option<Slot>) {
        for (index, sum) in (0i16..).zip(sums) {
            self.asm.load(Width::D, R1, R0, index * 8);
            self.load(R2, sum);
            if index < 2 {
                self.asm.alu(Alu::Add, R1, R2);
            } else {
                let greater = self.asm.label();
                self.asm.jump_if(Jump::Ge, R1, R2, greater);
                self.asm.mov(R1, R2);
                self.asm.place(greater);
            }
            self.store(sum, R1);
        }
        if let Some(buckets) = buckets {
            self.add_buckets(buckets);
        }
    }

    /// `delete m[k]`, `delete x`
    pub(super) fn delete(&mut self, global: GlobalIndex, keys: &[Expr], span: Span) -> Result<(), Refused> {
        let mark = self.frame;
        match self.layout(global, span)? {
            GlobalLayout::Number { offset, initial } => {
                self.asm.imm(R2, initial);
                self.asm.map_value(R1, SCALARS, offset);
                self.asm.store(Width::D, R1, 0, R2);
            }
            GlobalLayout::Text { map, index, initial } => {
                let key = self.temporary()?;
                self.asm.store_imm(Width::W, key.base, key.off, index.cast_signed());
                let constant = self.rodata.constant(&self.env.text.to_bytes(&initial, false));
                self.asm.map(R1, map);
                self.address(R2, key);
                self.asm.map_value(R3, self.env.constants, constant);
                self.asm.imm(R4, 0);
                self.asm.call(Helper::MapUpdateElem);
            }
            GlobalLayout::Map { map, keys: parts, .. } | GlobalLayout::Stats { map, keys: parts, .. }
                if !parts.is_empty() =>
            {
                let key = self.key(&parts, keys, span)?;
                self.map_in_r1(map);
                self.address(R2, key);
                self.asm.call(Helper::MapDeleteElem);
            }
            GlobalLayout::Stats { map, sparse: true, .. } => {
                let key = self.temporary()?;
                self.asm.store_imm(Width::D, key.base, key.off, 0);
                self.map_in_r1(map);
                self.address(R2, key);
                self.asm.call(Helper::MapDeleteElem);
            }
            GlobalLayout::Map { .. } | GlobalLayout::Stats { .. } => {
                return Err(self.contradiction(span, "a whole map deleted in the kernel"));
            }
        }
        self.frame.release(mark);
        Ok(())
    }
}
