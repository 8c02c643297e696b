//! Owns the text of an IPv6 address where it is kept (RFC 5952, as [`crate::library`] makes it): `bpf_snprintf` writes no
//! run of zeros as `::`, so the groups around the longest run are gathered, and one of the formats there are is taken.

use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use crate::ir::Expr;
use crate::library::NO_IPV6;

/// The numbers of 16 bits in an address.
const GROUPS: i32 = 8;

impl Gen<'_> {
    /// The address that 16 bytes are, as text.
    pub(super) fn ipv6(&mut self, bytes: &Expr, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let text = self.text_slot()?;
        let groups = self.frame.take(64).map_err(|e| self.too_large(e))?;
        self.text(bytes, text)?;
        self.zero_text(dst);
        let [wrong, plain, whole, write, end] = std::array::from_fn(|_| self.asm.label());
        self.asm.load(Width::W, R0, text.base, text.off);
        self.asm.jump_if_imm(Jump::Ne, R0, 16, wrong);
        let group = |nth: i32| groups.plus(i16::try_from(8 * nth).unwrap_or(0));
        let byte = |at: i32| text.off.saturating_add(8).saturating_add(i16::try_from(at).unwrap_or(0));
        for nth in 0..GROUPS {
            self.asm.load(Width::H, R0, text.base, byte(2 * nth));
            self.asm.big_endian(R0, 16);
            self.store(group(nth), R0);
        }
        // ::ffff:0:0/96 holds an address of IPv4.
        for (nth, of_mapped) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0xffff)] {
            self.load(R0, group(nth));
            self.asm.jump_if_imm(Jump::Ne, R0, of_mapped, plain);
        }
        for nth in 0..4 {
            self.asm.load(Width::B, R0, text.base, byte(12 + nth));
            self.store(group(nth), R0);
        }
        self.take_format("::ffff:%u.%u.%u.%u", 4);
        self.asm.jump(write);
        self.asm.place(plain);
        // r2: the longest run of zeros, r3: where it begins, r4: the run that ends here. Of runs of one length the first.
        [R2, R3, R4].into_iter().for_each(|register| self.asm.imm(register, 0));
        for nth in 0..GROUPS {
            let (zero, next) = (self.asm.label(), self.asm.label());
            self.load(R0, group(nth));
            self.asm.jump_if_imm(Jump::Eq, R0, 0, zero);
            self.asm.imm(R4, 0);
            self.asm.jump(next);
            self.asm.place(zero);
            self.asm.alu_imm(Alu::Add, R4, 1);
            self.asm.jump_if(Jump::Le, R4, R2, next);
            self.asm.mov(R2, R4);
            self.asm.imm(R3, i64::from(nth) + 1);
            self.asm.alu(Alu::Sub, R3, R4);
            self.asm.place(next);
        }
        self.asm.alu_imm(Alu::Lsh, R3, 4);
        self.asm.alu(Alu::Or, R3, R2);
        // A single zero stays one.
        self.asm.jump_if_imm(Jump::Lt, R2, 2, whole);
        let runs = (0..GROUPS).flat_map(|start| (2..=GROUPS - start).map(move |length| (start, length)));
        let runs: Vec<_> = runs.map(|(start, length)| (start, length, self.asm.label())).collect();
        for (start, length, label) in &runs {
            self.asm.jump_if_imm(Jump::Eq, R3, start * 16 + length, *label);
        }
        self.asm.place(whole);
        self.take_format(&written(GROUPS), GROUPS);
        self.asm.jump(write);
        for (start, length, label) in runs {
            self.asm.place(label);
            for nth in start + length..GROUPS {
                self.load(R0, group(nth));
                self.store(group(nth - length), R0);
            }
            let format = format!("{}::{}", written(start), written(GROUPS - start - length));
            self.take_format(&format, GROUPS - length);
            self.asm.jump(write);
        }
        self.asm.place(wrong);
        self.constant_text(NO_IPV6.as_bytes(), dst);
        self.asm.jump(end);
        self.asm.place(write);
        self.address(R1, dst.plus(8));
        self.asm.imm(R2, i64::from(self.env.text.text()));
        self.address(R4, groups);
        self.asm.call(Helper::Snprintf);
        // The length it has or would have, and a NUL.
        self.asm.jump_if_imm(Jump::SLe, R0, 0, end);
        self.asm.alu_imm(Alu::Add, R0, -1);
        self.finish_text(dst);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// A format and how many bytes its numbers take, where `bpf_snprintf` wants them.
    fn take_format(&mut self, format: &str, numbers: i32) {
        let mut format = format.as_bytes().to_vec();
        format.push(0);
        let format = self.rodata.constant(&format);
        self.asm.map_value(R3, self.env.constants, format);
        self.asm.imm(R5, i64::from(8 * numbers));
    }
}

/// So many groups.
fn written(groups: i32) -> String {
    (0..groups).map(|_| "%x").collect::<Vec<_>>().join(":")
}
