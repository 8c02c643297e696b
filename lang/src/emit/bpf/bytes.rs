//! Owns strings of a length that is only known at the run: text and bytes of the target, parts of strings, and numbers
//! as text.

use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::TEXT_CUT;
use crate::ir::Expr;

impl Gen<'_> {
    /// Sets length and flags of a slot whose text was read, one byte over the limit where there is more: its length is
    /// in r0. Clobbers r0, r1.
    pub(super) fn finish_text(&mut self, slot: Slot) {
        let (whole, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::Le, R0, self.strlen(), whole);
        self.asm.imm(R0, i64::from(self.strlen()));
        self.asm.imm(R1, i64::from(TEXT_CUT));
        self.asm.jump(end);
        self.asm.place(whole);
        self.asm.imm(R1, 0);
        self.asm.place(end);
        self.asm.store(Width::W, slot.base, slot.off, R0);
        self.asm.store(Width::W, slot.base, slot.off.saturating_add(4), R1);
        self.zero_behind_limit(slot);
    }

    /// Text up to its first NUL, of at most so many bytes.
    pub(super) fn user_text(&mut self, address: &Expr, most: &Expr, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let (from, size) = (self.temporary()?, self.temporary()?);
        self.int(address)?;
        self.store(from, R0);
        self.int(most)?;
        self.store(size, R0);
        self.zero_text(dst);
        let end = self.asm.label();
        self.clamped(size, end);
        // One byte more for the NUL that is written behind.
        self.asm.alu_imm(Alu::Add, R2, 1);
        self.address(R1, dst.plus(8));
        self.load(R3, from);
        match self.env.kernel.copy_from_user_str {
            Some(btf_id) => {
                self.asm.imm(R4, 0);
                self.asm.call_kfunc(btf_id.cast_signed());
                // The function gives an int: its upper half is not defined.
                self.asm.alu_imm(Alu::Lsh, R0, 32);
                self.asm.alu_imm(Alu::Arsh, R0, 32);
            }
            None => self.read_user_str(),
        }
        self.asm.jump_if_imm(Jump::SLe, R0, 0, self.fault);
        self.asm.alu_imm(Alu::Add, R0, -1);
        self.finish_text(dst);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// So many bytes, whatever they are.
    pub(super) fn user_bytes(&mut self, address: &Expr, length: &Expr, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let (from, size) = (self.temporary()?, self.temporary()?);
        self.int(address)?;
        self.store(from, R0);
        self.int(length)?;
        self.store(size, R0);
        self.zero_text(dst);
        let end = self.asm.label();
        self.clamped(size, end);
        let fits = self.asm.label();
        self.asm.jump_if_imm(Jump::Le, R2, self.strlen(), fits);
        self.asm.imm(R2, i64::from(self.strlen()));
        self.asm.place(fits);
        self.address(R1, dst.plus(8));
        self.load(R3, from);
        self.asm.call(Helper::CopyFromUser);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, self.fault);
        let whole = self.asm.label();
        self.load(R0, size);
        self.asm.imm(R1, 0);
        self.asm.jump_if_imm(Jump::Le, R0, self.strlen(), whole);
        self.asm.imm(R0, i64::from(self.strlen()));
        self.asm.imm(R1, i64::from(TEXT_CUT));
        self.asm.place(whole);
        self.asm.store(Width::W, dst.base, dst.off, R0);
        self.asm.store(Width::W, dst.base, dst.off.saturating_add(4), R1);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// The number in `size`, at most one over the string limit, in r2; jumps to `none` below 1.
    fn clamped(&mut self, size: Slot, none: super::asm::Label) {
        let small = self.asm.label();
        self.load(R2, size);
        self.asm.jump_if_imm(Jump::SLe, R2, 0, none);
        self.asm.jump_if_imm(Jump::Le, R2, self.strlen().saturating_add(1), small);
        self.asm.imm(R2, i64::from(self.strlen()) + 1);
        self.asm.place(small);
    }

    /// What `bpf_snprintf` makes of the 8 bytes in `argument`, into a slot.
    pub(super) fn snprintf(&mut self, format: &str, argument: Slot, dst: Slot) {
        self.snprintf_all(format, argument, 1, dst);
    }

    /// What it makes of so many numbers of 8 bytes.
    pub(super) fn snprintf_all(&mut self, format: &str, numbers: Slot, count: u32, dst: Slot) {
        let mut format = format.as_bytes().to_vec();
        format.push(0);
        let format = self.rodata.constant(&format);
        self.zero_text(dst);
        self.address(R1, dst.plus(8));
        self.asm.imm(R2, i64::from(self.env.text.text()));
        self.asm.map_value(R3, self.env.constants, format);
        self.address(R4, numbers);
        self.asm.imm(R5, i64::from(8 * count));
        self.asm.call(Helper::Snprintf);
        // The length it has or would have, and a NUL.
        let end = self.asm.label();
        self.asm.jump_if_imm(Jump::SLe, R0, 0, end);
        self.asm.alu_imm(Alu::Add, R0, -1);
        self.finish_text(dst);
        self.asm.place(end);
    }
}
