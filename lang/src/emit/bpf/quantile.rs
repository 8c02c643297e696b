//! Owns quantiles in the kernel: the same number, bit for bit, that [`crate::stats::Stats::ask`] gives of the same
//! histogram of powers of two.

use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::StatsLayout;
use crate::stats::LOG_BUCKETS;

/// How many buckets there are.
const BUCKETS: i32 = LOG_BUCKETS as i32;
/// The bucket of 0: those of negative numbers lie below it.
const ZERO: i32 = 64;

/// What of an aggregate a quantile is computed from.
pub(super) struct Parts {
    /// How many values.
    pub(super) count: Slot,
    /// The greatest, as it lies in the map.
    pub(super) max: Slot,
    /// The least, likewise.
    pub(super) min: Slot,
    /// [`Gen::buckets`]
    pub(super) buckets: Slot,
}

impl Gen<'_> {
    /// Memory for the buckets of all cpus together, which begin as zeros.
    pub(super) fn buckets(&mut self) -> Result<Slot, Refused> {
        let bytes = BUCKETS.cast_unsigned() * 8;
        let buckets = self.frame.take_scratch(bytes).map_err(|e| self.too_large(e))?;
        self.zero(buckets, bytes);
        Ok(buckets)
    }

    /// Adds the buckets of the aggregate at r0; clobbers r1, r2.
    pub(super) fn add_buckets(&mut self, buckets: Slot) {
        let first = i16::try_from(StatsLayout::BUCKETS).unwrap_or_default();
        for offset in (0..LOG_BUCKETS).filter_map(|bucket| i16::try_from(bucket * 8).ok()) {
            let sum = buckets.plus(offset);
            self.asm.load(Width::D, R1, R0, first + offset);
            self.load(R2, sum);
            self.asm.alu(Alu::Add, R1, R2);
            self.store(sum, R1);
        }
    }

    /// The greatest or the least value, from how it lies in the map; clobbers r5.
    pub(super) fn extreme(&mut self, dst: Reg, from: Slot, least: bool) {
        self.load(dst, from);
        if least {
            self.asm.alu_imm(Alu::Xor, dst, -1);
        }
        self.asm.imm(R5, i64::MIN);
        self.asm.alu(Alu::Xor, dst, R5);
    }

    /// The value below which so many hundredths of the values lie, in r0; faults where there is none.
    pub(super) fn quantile(&mut self, hundredths: u8, parts: &Parts) -> Result<(), Refused> {
        let [rank, below, bucket, held] = [self.temporary()?, self.temporary()?, self.temporary()?, self.temporary()?];
        let (found, greatest, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.load(R1, parts.count);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, self.fault);
        self.asm.alu_imm(Alu::Mul, R1, i32::from(hundredths.clamp(1, 100)));
        self.asm.alu_imm(Alu::Add, R1, 99);
        self.asm.alu_imm(Alu::Div, R1, 100);
        self.store(rank, R1);
        self.asm.store_imm(Width::D, below.base, below.off, 0);
        self.asm.store_imm(Width::D, bucket.base, bucket.off, 0);
        // What is below the rank stays below it until its bucket is found.
        let head = self.asm.label();
        self.loop_head(head);
        self.load(R1, bucket);
        self.asm.jump_if_imm(Jump::Ge, R1, BUCKETS, greatest);
        self.asm.alu_imm(Alu::Lsh, R1, 3);
        self.asm.alu(Alu::Add, R1, parts.buckets.base);
        self.asm.load(Width::D, R3, R1, parts.buckets.off);
        self.load(R4, below);
        self.load(R5, rank);
        self.asm.mov(R2, R4);
        self.asm.alu(Alu::Add, R2, R3);
        self.asm.jump_if(Jump::Ge, R2, R5, found);
        self.store(below, R2);
        self.load(R1, bucket);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.store(bucket, R1);
        self.asm.jump(head);
        // Another cpu counted a value whose bucket it has yet to count.
        self.asm.place(greatest);
        self.extreme(R0, parts.max, false);
        self.asm.jump(done);
        self.asm.place(found);
        self.store(held, R3);
        self.asm.alu(Alu::Sub, R5, R4);
        self.store(rank, R5);
        self.place_in_bucket(bucket, rank, held)?;
        let (enough, small) = (self.asm.label(), self.asm.label());
        self.extreme(R1, parts.min, true);
        self.asm.jump_if(Jump::SGe, R0, R1, enough);
        self.asm.mov(R0, R1);
        self.asm.place(enough);
        self.extreme(R1, parts.max, false);
        self.asm.jump_if(Jump::SLe, R0, R1, small);
        self.asm.mov(R0, R1);
        self.asm.place(small);
        self.asm.place(done);
        Ok(())
    }

    /// The bucket's least number, and of its width as much as `rank` is of `held`, in r0.
    fn place_in_bucket(&mut self, bucket: Slot, rank: Slot, held: Slot) -> Result<(), Refused> {
        let [low, left, place, rest] = [self.temporary()?, self.temporary()?, self.temporary()?, self.temporary()?];
        let (negative, least, placed, end) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.imm(R0, 0);
        self.load(R1, bucket);
        self.asm.jump_if_imm(Jump::Eq, R1, ZERO, end);
        self.asm.alu_imm(Alu::Sub, R1, ZERO);
        self.asm.imm(R2, 1);
        self.asm.jump_if_imm(Jump::SLt, R1, 0, negative);
        // From 2^(power - 1) on.
        self.asm.alu_imm(Alu::Sub, R1, 1);
        self.asm.alu(Alu::Lsh, R2, R1);
        self.asm.jump(placed);
        self.asm.place(negative);
        self.asm.alu_imm(Alu::Neg, R1, 0);
        self.asm.jump_if_imm(Jump::SGe, R1, 64, least);
        // From 1 - 2^power on.
        self.asm.alu(Alu::Lsh, R2, R1);
        self.asm.alu_imm(Alu::Neg, R2, 0);
        self.asm.alu_imm(Alu::Add, R2, 1);
        self.asm.alu_imm(Alu::Sub, R1, 1);
        self.asm.place(placed);
        self.store(low, R2);
        self.store(left, R1);
        self.asm.store_imm(Width::D, place.base, place.off, 0);
        self.asm.store_imm(Width::D, rest.base, rest.off, 0);
        // The width is 2^(power - 1) - 1, all ones: width · rank / held, a bit of it each round. The rest is below
        // `held`, so twice the rest and `rank` are below three times that.
        let head = self.asm.label();
        let all = self.asm.label();
        self.loop_head(head);
        self.load(R1, left);
        self.asm.jump_if_imm(Jump::SLe, R1, 0, all);
        self.asm.alu_imm(Alu::Sub, R1, 1);
        self.store(left, R1);
        self.load(R0, place);
        self.load(R2, rest);
        self.load(R3, rank);
        self.load(R4, held);
        self.asm.alu_imm(Alu::Lsh, R0, 1);
        self.asm.alu_imm(Alu::Lsh, R2, 1);
        self.asm.alu(Alu::Add, R2, R3);
        for _ in 0..2 {
            let fits = self.asm.label();
            self.asm.jump_if(Jump::Lt, R2, R4, fits);
            self.asm.alu(Alu::Sub, R2, R4);
            self.asm.alu_imm(Alu::Add, R0, 1);
            self.asm.place(fits);
        }
        self.store(place, R0);
        self.store(rest, R2);
        self.asm.jump(head);
        self.asm.place(all);
        self.load(R0, place);
        self.load(R1, low);
        self.asm.alu(Alu::Add, R0, R1);
        self.asm.jump(end);
        // The least number of all has a bucket of its own.
        self.asm.place(least);
        self.asm.imm(R0, i64::MIN);
        self.asm.place(end);
        Ok(())
    }
}
