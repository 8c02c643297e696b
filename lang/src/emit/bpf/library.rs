//! Owns the functions of the library where their value is needed in the kernel. What each gives, [`crate::library`]
//! says; texts that are only shown are made outside ([`super::fields`]).

use super::env::Table;
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use crate::ir::{Expr, Library};
use crate::source::Span;

impl Gen<'_> {
    /// A function that gives a number, in r0.
    pub(super) fn library_number(&mut self, function: Library, given: &[Expr], span: Span) -> Result<(), Refused> {
        match (function, given) {
            (Library::Strlen, [text]) => {
                let mark = self.frame;
                let slot = self.text_slot()?;
                self.text(text, slot)?;
                self.asm.load(Width::W, R0, slot.base, slot.off);
                self.frame.release(mark);
            }
            (Library::Strtol, [text, base]) => self.strtol(text, base, span)?,
            (Library::IsInStr, [text, part]) => self.is_in(text, part)?,
            (Library::Min | Library::Max, [a, b]) => {
                self.operands(a, b)?;
                let end = self.asm.label();
                let keep = if function == Library::Min { Jump::SLe } else { Jump::SGe };
                self.asm.jump_if(keep, R0, R1, end);
                self.asm.mov(R0, R1);
                self.asm.place(end);
            }
            (Library::Abs, [a]) => {
                self.int(a)?;
                let end = self.asm.label();
                self.asm.jump_if_imm(Jump::SGe, R0, 0, end);
                self.asm.alu_imm(Alu::Neg, R0, 0);
                self.asm.place(end);
            }
            (Library::Ntohs, [a]) => {
                self.int(a)?;
                self.asm.big_endian(R0, 16);
            }
            (Library::Ntohl, [a]) => {
                self.int(a)?;
                self.asm.big_endian(R0, 32);
            }
            (Library::Sample, [one_in]) => self.sample(one_in)?,
            (
                Library::Strlen
                | Library::Strtol
                | Library::IsInStr
                | Library::Min
                | Library::Max
                | Library::Abs
                | Library::Ntohs
                | Library::Ntohl
                | Library::Sample
                | Library::Substr
                | Library::Ipv4
                | Library::Ipv6
                | Library::ErrnoStr
                | Library::SignalStr
                | Library::Strftime,
                _,
            ) => return Err(self.contradiction(span, "a call with other arguments")),
        }
        Ok(())
    }

    /// A function that gives a string.
    pub(super) fn library_text(
        &mut self,
        function: Library,
        given: &[Expr],
        dst: Slot,
        span: Span,
    ) -> Result<(), Refused> {
        match (function, given) {
            (Library::Substr, [text, start, length]) => self.substr(text, start, length, dst),
            (Library::Ipv4, [number]) => {
                let mark = self.frame;
                let (address, pointer) = (self.temporary()?, self.temporary()?);
                self.int(number)?;
                self.store(address, R0);
                self.address(R0, address);
                self.store(pointer, R0);
                self.snprintf("%pI4", pointer, dst);
                self.frame.release(mark);
                Ok(())
            }
            (Library::ErrnoStr, [number]) => self.named(Table::Errnos, number, dst),
            (Library::SignalStr, [number]) => self.named(Table::Signals, number, dst),
            (Library::Ipv6, [bytes]) => self.ipv6(bytes, dst),
            (Library::Strftime, [format, moment]) => self.strftime(format, moment, dst, span),
            (
                Library::Substr
                | Library::Ipv4
                | Library::Ipv6
                | Library::ErrnoStr
                | Library::SignalStr
                | Library::Strftime
                | Library::Strlen
                | Library::Strtol
                | Library::IsInStr
                | Library::Min
                | Library::Max
                | Library::Abs
                | Library::Ntohs
                | Library::Ntohl
                | Library::Sample,
                _,
            ) => Err(self.contradiction(span, "a call with other arguments")),
        }
    }

    fn sample(&mut self, one_in: &Expr) -> Result<(), Refused> {
        let mark = self.frame;
        let (number, high) = (self.temporary()?, self.temporary()?);
        self.int(one_in)?;
        self.store(number, R0);
        let (always, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::SLt, R0, 2, always);
        self.asm.call(Helper::GetPrandomU32);
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.store(high, R0);
        self.asm.call(Helper::GetPrandomU32);
        self.asm.low32(R0);
        self.load(R1, high);
        self.asm.alu(Alu::Or, R1, R0);
        self.load(R2, number);
        self.asm.alu(Alu::Mod, R1, R2);
        self.asm.imm(R0, 0);
        self.asm.jump_if_imm(Jump::Ne, R1, 0, end);
        self.asm.place(always);
        self.asm.imm(R0, 1);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    fn substr(&mut self, text: &Expr, start: &Expr, length: &Expr, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let (whole, from, most) = (self.text_slot()?, self.temporary()?, self.temporary()?);
        self.text(text, whole)?;
        self.int(start)?;
        self.store(from, R0);
        self.int(length)?;
        self.store(most, R0);
        self.zero_text(dst);
        let (fits, marked, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.load(Width::W, R4, whole.base, whole.off);
        self.asm.jump_if_imm(Jump::Gt, R4, self.strlen(), self.lost);
        // r3: start, r4: bytes behind it, r2: how many are wanted.
        self.load(R3, from);
        self.asm.jump_if_imm(Jump::SLt, R3, 0, end);
        self.load(R2, most);
        let some = self.asm.label();
        self.asm.jump_if_imm(Jump::SGt, R2, 0, some);
        self.asm.imm(R2, 0);
        self.asm.place(some);
        let behind = self.asm.label();
        self.asm.jump_if(Jump::Le, R3, R4, behind);
        self.asm.mov(R3, R4);
        self.asm.place(behind);
        self.asm.alu(Alu::Sub, R4, R3);
        self.asm.imm(R5, 0);
        self.asm.jump_if(Jump::Le, R2, R4, fits);
        self.asm.mov(R2, R4);
        self.asm.load(Width::W, R5, whole.base, whole.off.saturating_add(4));
        self.asm.place(fits);
        self.asm.store(Width::W, dst.base, dst.off, R2);
        self.asm.store(Width::W, dst.base, dst.off.saturating_add(4), R5);
        self.asm.place(marked);
        self.asm.jump_if_imm(Jump::Gt, R2, self.strlen(), self.lost);
        self.address(R1, whole.plus(8));
        self.asm.alu(Alu::Add, R3, R1);
        self.address(R1, dst.plus(8));
        self.asm.call(Helper::ProbeReadKernel);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// The byte of a slot's text whose index is in r1, in r0; clobbers r1. Behind the string limit there is none.
    fn byte(&mut self, slot: Slot, none: super::asm::Label) {
        self.asm.jump_if_imm(Jump::Gt, R1, self.strlen(), none);
        self.asm.alu(Alu::Add, R1, slot.base);
        self.asm.load(Width::B, R0, R1, slot.off.saturating_add(8));
    }

    /// `isinstr`: whether `part` lies somewhere in `text`.
    fn is_in(&mut self, text: &Expr, part: &Expr) -> Result<(), Refused> {
        let mark = self.frame;
        let (whole, wanted) = (self.text_slot()?, self.text_slot()?);
        let (at, index) = (self.temporary()?, self.temporary()?);
        self.text(text, whole)?;
        self.text(part, wanted)?;
        let [outer, inner, no, yes, end] = std::array::from_fn(|_| self.asm.label());
        self.asm.store_imm(Width::D, at.base, at.off, 0);
        self.loop_head(outer);
        self.asm.load(Width::W, R2, wanted.base, wanted.off);
        self.load(R1, at);
        self.asm.alu(Alu::Add, R2, R1);
        self.asm.load(Width::W, R3, whole.base, whole.off);
        self.asm.jump_if(Jump::Gt, R2, R3, no);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.store(at, R1);
        self.asm.store_imm(Width::D, index.base, index.off, 0);
        self.loop_head(inner);
        self.load(R2, index);
        self.asm.load(Width::W, R3, wanted.base, wanted.off);
        self.asm.jump_if(Jump::Ge, R2, R3, yes);
        self.load(R1, at);
        self.asm.alu_imm(Alu::Add, R1, -1);
        self.asm.alu(Alu::Add, R1, R2);
        self.byte(whole, no);
        self.asm.mov(R3, R0);
        self.asm.mov(R1, R2);
        self.byte(wanted, no);
        self.asm.jump_if(Jump::Ne, R0, R3, outer);
        self.asm.alu_imm(Alu::Add, R2, 1);
        self.store(index, R2);
        self.asm.jump(inner);
        self.asm.place(yes);
        self.asm.imm(R0, 1);
        self.asm.jump(end);
        self.asm.place(no);
        self.asm.imm(R0, 0);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// `strtol`: blanks, a sign, a prefix, digits.
    fn strtol(&mut self, text: &Expr, base: &Expr, span: Span) -> Result<(), Refused> {
        let mark = self.frame;
        let slot = self.text_slot()?;
        let [radix, at, sign, number] = [self.temporary()?, self.temporary()?, self.temporary()?, self.temporary()?];
        self.text(text, slot)?;
        self.int(base)?;
        self.store(radix, R0);
        self.asm.at(span);
        for zero in [at, sign, number] {
            self.asm.store_imm(Width::D, zero.base, zero.off, 0);
        }
        let [none, done] = std::array::from_fn(|_| self.asm.label());
        // Blanks: 9–13 and 32.
        let [blanks, blank, no_blank] = std::array::from_fn(|_| self.asm.label());
        self.loop_head(blanks);
        self.load(R1, at);
        self.byte(slot, none);
        self.asm.jump_if_imm(Jump::Eq, R0, 32, blank);
        self.asm.jump_if_imm(Jump::Lt, R0, 9, no_blank);
        self.asm.jump_if_imm(Jump::Gt, R0, 13, no_blank);
        self.asm.place(blank);
        self.advance_slot(at, 1);
        self.asm.jump(blanks);
        self.asm.place(no_blank);
        // A sign; r0 is its byte.
        let [minus, signed, unsigned] = std::array::from_fn(|_| self.asm.label());
        self.asm.jump_if_imm(Jump::Eq, R0, i32::from(b'-'), minus);
        self.asm.jump_if_imm(Jump::Eq, R0, i32::from(b'+'), signed);
        self.asm.jump(unsigned);
        self.asm.place(minus);
        self.asm.store_imm(Width::D, sign.base, sign.off, 1);
        self.asm.place(signed);
        self.advance_slot(at, 1);
        self.asm.place(unsigned);
        self.prefix(slot, at, radix, none);
        // Digits.
        let [digits, letter, small, digit, fits, full] = std::array::from_fn(|_| self.asm.label());
        self.loop_head(digits);
        self.load(R1, at);
        self.byte(slot, done);
        self.asm.jump_if_imm(Jump::Lt, R0, i32::from(b'0'), done);
        self.asm.jump_if_imm(Jump::Gt, R0, i32::from(b'9'), letter);
        self.asm.alu_imm(Alu::Sub, R0, i32::from(b'0'));
        self.asm.jump(digit);
        self.asm.place(letter);
        self.asm.alu_imm(Alu::Or, R0, 0x20);
        self.asm.jump_if_imm(Jump::Ge, R0, i32::from(b'a'), small);
        self.asm.jump(done);
        self.asm.place(small);
        self.asm.jump_if_imm(Jump::Gt, R0, i32::from(b'z'), done);
        self.asm.alu_imm(Alu::Sub, R0, i32::from(b'a') - 10);
        self.asm.place(digit);
        self.load(R2, radix);
        self.asm.jump_if(Jump::Ge, R0, R2, done);
        // Up to the greatest unsigned number: number > (greatest - digit) / base is too large.
        self.asm.imm(R3, -1);
        self.asm.alu(Alu::Sub, R3, R0);
        self.asm.alu(Alu::Div, R3, R2);
        self.load(R1, number);
        self.asm.jump_if(Jump::Gt, R1, R3, full);
        self.asm.alu(Alu::Mul, R1, R2);
        self.asm.alu(Alu::Add, R1, R0);
        self.asm.jump(fits);
        self.asm.place(full);
        self.asm.imm(R1, -1);
        self.asm.place(fits);
        self.store(number, R1);
        self.advance_slot(at, 1);
        self.asm.jump(digits);
        self.asm.place(none);
        self.asm.store_imm(Width::D, number.base, number.off, 0);
        self.asm.place(done);
        // Within the signed numbers.
        let [positive, end] = std::array::from_fn(|_| self.asm.label());
        self.load(R0, number);
        self.load(R2, sign);
        self.asm.imm(R1, i64::MAX);
        self.asm.jump_if_imm(Jump::Eq, R2, 0, positive);
        self.asm.alu_imm(Alu::Neg, R0, 0);
        self.load(R2, number);
        self.asm.jump_if(Jump::Le, R2, R1, end);
        self.asm.imm(R0, i64::MIN);
        self.asm.jump(end);
        self.asm.place(positive);
        self.asm.jump_if(Jump::Le, R0, R1, end);
        self.asm.mov(R0, R1);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// What stands before the digits: decides the base where it is 0, and is skipped where it is `0x`.
    fn prefix(&mut self, slot: Slot, at: Slot, radix: Slot, none: super::asm::Label) {
        let [look, plain, not_hex, octal, hex, checked, no_digit, decimal] = std::array::from_fn(|_| self.asm.label());
        self.load(R2, radix);
        self.asm.jump_if_imm(Jump::Eq, R2, 0, look);
        self.asm.jump_if_imm(Jump::Ne, R2, 16, plain);
        self.asm.place(look);
        self.load(R1, at);
        self.asm.mov(R3, R1);
        self.byte(slot, none);
        self.asm.jump_if_imm(Jump::Ne, R0, i32::from(b'0'), decimal);
        self.asm.mov(R1, R3);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.byte(slot, not_hex);
        self.asm.alu_imm(Alu::Or, R0, 0x20);
        self.asm.jump_if_imm(Jump::Ne, R0, i32::from(b'x'), not_hex);
        self.asm.mov(R1, R3);
        self.asm.alu_imm(Alu::Add, R1, 2);
        self.byte(slot, not_hex);
        self.asm.jump_if_imm(Jump::Lt, R0, i32::from(b'0'), not_hex);
        self.asm.jump_if_imm(Jump::Le, R0, i32::from(b'9'), hex);
        self.asm.alu_imm(Alu::Or, R0, 0x20);
        self.asm.jump_if_imm(Jump::Lt, R0, i32::from(b'a'), not_hex);
        self.asm.jump_if_imm(Jump::Le, R0, i32::from(b'f'), hex);
        self.asm.place(not_hex);
        self.asm.jump_if_imm(Jump::Ne, R2, 0, plain);
        self.asm.place(octal);
        self.asm.store_imm(Width::D, radix.base, radix.off, 8);
        self.asm.jump(checked);
        self.asm.place(hex);
        self.asm.store_imm(Width::D, radix.base, radix.off, 16);
        self.advance_slot(at, 2);
        self.asm.jump(checked);
        self.asm.place(decimal);
        self.asm.jump_if_imm(Jump::Ne, R2, 0, plain);
        self.asm.store_imm(Width::D, radix.base, radix.off, 10);
        self.asm.jump(checked);
        self.asm.place(plain);
        self.load(R2, radix);
        self.asm.jump_if_imm(Jump::SLt, R2, 2, no_digit);
        self.asm.jump_if_imm(Jump::SLe, R2, 36, checked);
        self.asm.place(no_digit);
        self.asm.jump(none);
        self.asm.place(checked);
    }

    fn advance_slot(&mut self, slot: Slot, by: i32) {
        self.load(R1, slot);
        self.asm.alu_imm(Alu::Add, R1, by);
        self.store(slot, R1);
    }

    /// A number by its name, or as it is where it has none.
    fn named(&mut self, table: Table, number: &Expr, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let kept = self.temporary()?;
        let (unknown, end) = (self.asm.label(), self.asm.label());
        self.int(number)?;
        self.store(kept, R0);
        let (_, _, count) = self.rodata.table(table, self.env);
        let middle = i32::try_from(count / 2).unwrap_or(0);
        self.asm.jump_if_imm(Jump::SGt, R0, middle, unknown);
        self.asm.jump_if_imm(Jump::SLt, R0, -middle, unknown);
        self.asm.alu_imm(Alu::Add, R0, middle);
        self.table_text(table, R0, dst)?;
        self.asm.jump(end);
        self.asm.place(unknown);
        self.snprintf("%lld", kept, dst);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }
}
