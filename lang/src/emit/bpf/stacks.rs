//! Owns what the kernel keeps of a stack: it is unwound and named when its record is read. Where stacks may stand,
//! [`super::outside`] says.

use super::expr::{PROGRAM_COUNTER, register_offset};
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::{u32_at, u64_at};
use super::record::{Field, Malformed};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::stack::{Missing, Wanted};

/// The most bytes of a stack that are kept, in whole pages.
pub(super) const MOST_MEMORY: u32 = PAGE * PAGES;
const PAGE: u32 = 4096;
const PAGES: u32 = 8;
/// Bytes before the memory: the process' start, how often it executed, the program counter, 16 registers, length.
const HEAD: u32 = 8 * 20;
/// Bytes of a caller: start, how often executed, program counter, whether there is an address, the address.
pub(super) const CALLER: u32 = 8 * 5;
/// Where `struct pt_regs` holds the stack pointer.
const STACK_POINTER: i16 = 152;

/// The most bytes of a stack in a record.
pub(super) const MOST: u32 = HEAD + MOST_MEMORY;

/// What is told of a stack that lies in a record at `at`, which is moved behind it.
pub(super) struct Found<'r> {
    pub(super) start: u64,
    pub(super) executed: u64,
    pub(super) pc: u64,
    pub(super) wanted: Wanted<'r>,
}

/// Reads what [`Gen::kept_stack`] or [`Gen::kept_caller`] wrote.
pub(super) fn read<'r>(field: &Field, bytes: &'r [u8], at: &mut usize) -> Result<Found<'r>, Malformed> {
    let mut take = |size: usize| {
        let end = at.checked_add(size).ok_or(Malformed)?;
        let taken = bytes.get(*at..end).ok_or(Malformed)?;
        *at = end;
        Ok::<&[u8], Malformed>(taken)
    };
    let head = take(24)?;
    let word = |from: &[u8], index: usize| u64_at(from, index * 8).ok_or(Malformed);
    let (start, executed, pc) = (word(head, 0)?, word(head, 1)?, word(head, 2)?);
    let wanted = match field {
        Field::Stack(most) => {
            let rest = take(HEAD as usize - 24)?;
            let mut registers = [0; 16];
            for (index, register) in registers.iter_mut().enumerate() {
                *register = word(rest, index)?;
            }
            let length = u32_at(rest, 128).ok_or(Malformed)?.min(MOST_MEMORY) as usize;
            let memory = take(length.next_multiple_of(8))?.get(..length).ok_or(Malformed)?;
            Wanted::Frames { most: *most, registers, memory }
        }
        _ => {
            let rest = take(16)?;
            Wanted::Caller(match word(rest, 0)? {
                0 => Ok(word(rest, 1)?),
                1 => Err(Missing::Fault),
                _ => Err(Missing::Frame),
            })
        }
    };
    Ok(Found { start, executed, pc, wanted })
}

impl Gen<'_> {
    /// Writes which process it is and where it stands: 24 bytes at `offset` behind what is in the record.
    fn kept_process(&mut self, span: Span) -> Result<(), Refused> {
        let Some(at) = self.env.kernel.process else {
            return Err(Box::new(
                Diagnostic::new(
                    Code::E0402,
                    span,
                    "the kernel's BTF lacks the members that tell a process from others",
                )
                .help("leave out `ustack()` and `caller()`"),
            ));
        };
        let mark = self.frame;
        let value = self.temporary()?;
        self.asm.call(Helper::GetCurrentTask);
        self.kernel_read(value, R0, at.executed, 8);
        self.load(R2, value);
        let place = self.item()?;
        self.store(place.plus(8), R2);
        self.asm.call(Helper::GetCurrentTask);
        self.kernel_read(value, R0, at.leader, 8);
        self.load(R0, value);
        self.kernel_read(value, R0, at.start, 8);
        self.load(R2, value);
        let place = self.item()?;
        self.store(place, R2);
        self.asm.load(Width::D, R2, CTX, PROGRAM_COUNTER);
        let place = self.item()?;
        self.store(place.plus(16), R2);
        self.frame.release(mark);
        Ok(())
    }

    /// Keeps the registers and the memory from the stack pointer on, page by page as far as it can be read.
    pub(super) fn kept_stack(&mut self, span: Span) -> Result<(), Refused> {
        self.forget_offset();
        self.kept_process(span)?;
        for (index, offset) in (0i16..16).zip((0..16).filter_map(register_offset)) {
            self.asm.load(Width::D, R2, CTX, offset);
            let place = self.item()?;
            self.store(place.plus(24 + index * 8), R2);
        }
        let mark = self.frame;
        // How much was read, and how much is being read.
        let (done, step) = (self.temporary()?, self.temporary()?);
        self.asm.store_imm(Width::D, done.base, done.off, 0);
        let end = self.asm.label();
        for page in 0..PAGES {
            // To the end of the page that holds the next byte.
            self.load(R2, done);
            self.asm.load(Width::D, R3, CTX, STACK_POINTER);
            self.asm.alu(Alu::Add, R3, R2);
            self.asm.mov(R2, R3);
            self.asm.alu_imm(Alu::And, R2, PAGE.cast_signed() - 1);
            self.asm.imm(R4, i64::from(PAGE));
            self.asm.alu(Alu::Sub, R4, R2);
            // R4: 1 to 4096 bytes; behind the first page all of it.
            self.load(R5, done);
            self.asm.jump_if_imm(Jump::Gt, R5, (page * PAGE).cast_signed(), end);
            let place = self.item()?;
            self.asm.alu_imm(Alu::Add, place.base, i32::from(place.off) + HEAD.cast_signed());
            self.asm.alu(Alu::Add, R1, R5);
            self.asm.mov(R2, R4);
            self.asm.alu_imm(Alu::And, R2, (PAGE * 2).cast_signed() - 1);
            self.asm.jump_if_imm(Jump::Gt, R2, PAGE.cast_signed(), end);
            self.store(step, R2);
            self.asm.call(Helper::CopyFromUser);
            self.asm.jump_if_imm(Jump::Ne, R0, 0, end);
            self.load(R1, done);
            self.load(R2, step);
            self.asm.alu(Alu::Add, R1, R2);
            self.store(done, R1);
        }
        self.asm.place(end);
        self.load(R2, done);
        let place = self.item()?;
        self.asm.store(Width::D, place.base, place.off.saturating_add(152), R2);
        self.load(R0, done);
        self.frame.release(mark);
        self.asm.alu_imm(Alu::Add, R0, HEAD.cast_signed() + 7);
        self.asm.alu_imm(Alu::And, R0, -8);
        self.advance_by_r0(MOST);
        Ok(())
    }

    /// Keeps the address that the call returns to.
    pub(super) fn kept_caller(&mut self, span: Span) -> Result<(), Refused> {
        self.kept_process(span)?;
        let frame = self.variant.frame.clone();
        let (fault, end) = (self.asm.label(), self.asm.label());
        let place = self.item()?;
        self.asm.store_imm(Width::D, place.base, place.off.saturating_add(24), 2);
        let place = self.item()?;
        self.asm.store_imm(Width::D, place.base, place.off.saturating_add(32), 0);
        let at_return = self.variant.returns.is_some();
        if at_return || frame.is_some() {
            let outer = std::mem::replace(&mut self.fault, fault);
            let computed = match frame {
                // A return instruction and a jump out of the function find the return address on top.
                _ if at_return => {
                    self.asm.load(Width::D, R0, CTX, STACK_POINTER);
                    Ok(())
                }
                Some(frame) => self.int(&frame),
                None => Ok(()),
            };
            self.fault = outer;
            computed?;
            self.asm.mov(R3, R0);
            if !at_return {
                self.asm.alu_imm(Alu::Add, R3, -8);
            }
            let place = self.item()?;
            self.address_of(place, 32);
            self.asm.imm(R2, 8);
            self.asm.call(Helper::CopyFromUser);
            self.asm.jump_if_imm(Jump::Ne, R0, 0, fault);
            let place = self.item()?;
            self.asm.store_imm(Width::D, place.base, place.off.saturating_add(24), 0);
            self.asm.jump(end);
            self.asm.place(fault);
            let place = self.item()?;
            self.asm.store_imm(Width::D, place.base, place.off.saturating_add(24), 1);
            self.asm.place(end);
        } else {
            self.asm.place(fault);
            self.asm.place(end);
        }
        self.advance(CALLER)
    }

    /// r1 becomes an address so many bytes behind a place.
    fn address_of(&mut self, place: Slot, bytes: i32) {
        self.asm.mov(R1, place.base);
        self.asm.alu_imm(Alu::Add, R1, i32::from(place.off) + bytes);
    }
}
