//! Owns numbers that have a name in a long list (an enum's): the list lies in the constants, and is searched by halves.

use super::format::{Way, When};
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use crate::ir::Expr;

impl Gen<'_> {
    /// The name of a number, or what else is written of it. The names are in the order of their numbers.
    pub(super) fn listed(
        &mut self,
        value: &Expr,
        names: &[(i64, Vec<u8>)],
        otherwise: &[(When, Way)],
        dst: Slot,
    ) -> Result<(), Refused> {
        let mark = self.frame;
        let number = self.temporary()?;
        // How many numbers of the list are known to be no greater. In scratch, so that the verifier does not follow it.
        let found = self.frame.take_scratch(8).map_err(|e| self.too_large(e))?;
        let longest = names.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
        let longest = u32::try_from(longest).unwrap_or(u32::MAX);
        let entry = 8 + longest.min(self.env.text.strlen).next_multiple_of(8);
        let texts = names.iter().flat_map(|(_, name)| {
            let mut text = self.env.text.to_bytes(name, false);
            text.resize(entry as usize, 0);
            text
        });
        let texts: Vec<u8> = texts.collect();
        let texts = self.rodata.constant(&texts);
        let numbers: Vec<u8> = names.iter().flat_map(|(number, _)| number.to_le_bytes()).collect();
        let numbers = self.rodata.constant(&numbers);
        let count = i32::try_from(names.len()).map_err(|_| self.too_large(super::frame::TooLarge))?;
        self.int(value)?;
        self.store(number, R0);
        self.zero_text(dst);
        self.asm.store_imm(Width::D, found.base, found.off, 0);
        let mut step = count.cast_unsigned().next_power_of_two().cast_signed();
        while step > 0 {
            let skip = self.asm.label();
            if step <= count {
                self.load(R1, found);
                self.asm.jump_if_imm(Jump::Gt, R1, count - step, skip);
                self.entry_of_list(numbers, step - 1, 8);
                self.asm.load(Width::D, R2, R3, 0);
                self.load(R0, number);
                self.asm.jump_if(Jump::SGt, R2, R0, skip);
                self.load(R1, found);
                self.asm.alu_imm(Alu::Add, R1, step);
                self.store(found, R1);
            }
            self.asm.place(skip);
            step /= 2;
        }
        let (unnamed, end) = (self.asm.label(), self.asm.label());
        self.load(R1, found);
        self.asm.alu_imm(Alu::Add, R1, -1);
        self.asm.jump_if_imm(Jump::Ge, R1, count, unnamed);
        self.entry_of_list(numbers, 0, 8);
        self.asm.load(Width::D, R2, R3, 0);
        self.load(R0, number);
        self.asm.jump_if(Jump::Ne, R2, R0, unnamed);
        self.entry_of_list(texts, 0, entry.cast_signed());
        self.copy_from_r3(dst, entry);
        self.asm.jump(end);
        self.asm.place(unnamed);
        self.written(number, otherwise, dst)?;
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// Where the entry of `size` bytes is that is `further` behind that of the index in r1, in r3.
    fn entry_of_list(&mut self, list: u32, further: i32, size: i32) {
        self.asm.mov(R2, R1);
        self.asm.alu_imm(Alu::Mul, R2, size);
        self.asm.map_value(R3, self.env.constants, list.saturating_add(further.cast_unsigned() * size.cast_unsigned()));
        self.asm.alu(Alu::Add, R3, R2);
    }
}
