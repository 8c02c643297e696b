//! Owns how the values of an output lie in a record: which [`Field`] each becomes, and the instructions that write it.
//! What is only shown and follows from other values is not computed in the kernel: those are written, and it is computed
//! when the record is read.

use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::TEXT_FAULT;
use super::record::Field;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Block, Context, Expr, ExprKind, Library, Piece, Print, Ty};
use crate::source::Span;

/// A value of an output.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) value: &'a Expr,
    /// Whether `<fault>` is shown where it cannot be read.
    pub(super) fault_is_shown: bool,
}

/// The values of an output, in order ([`Piece::values`] of each piece).
pub(super) fn values(print: &Print) -> Vec<Wanted<'_>> {
    values_of(&print.pieces)
}

fn values_of(pieces: &[Piece]) -> Vec<Wanted<'_>> {
    let mut values = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Value(shown) => values.push(Wanted { value: &shown.value, fault_is_shown: shown.fault_is_shown }),
            Piece::Whole(whole) => {
                let parts = std::iter::once(&whole.block).chain(&whole.elsewhere);
                values.extend(parts.map(|value| Wanted { value, fault_is_shown: true }));
            }
            // The last two are refused at sites.
            Piece::Text(_) | Piece::Unavailable { .. } | Piece::Histogram { .. } | Piece::Table { .. } => {}
        }
    }
    values
}

/// How the values of an output lie in a record.
pub(super) fn fields(print: &Print) -> Vec<Field> {
    values(print).into_iter().map(field).collect()
}

fn field(wanted: Wanted<'_>) -> Field {
    let Wanted { value, fault_is_shown } = wanted;
    match (&value.kind, value.ty) {
        (ExprKind::Target(target), _) => field(Wanted { value: &target.value, fault_is_shown }),
        (ExprKind::Str(bytes), _) => Field::Constant(bytes.clone()),
        (ExprKind::Context(Context::Comm), _) => Field::Comm,
        (ExprKind::Context(Context::Stack(most)), _) => Field::Stack(*most),
        (ExprKind::Context(Context::Caller), _) => Field::Caller,
        (ExprKind::Context(Context::Container), _) => Field::Container,
        (ExprKind::Context(Context::ContainerId), _) => Field::ContainerId,
        (ExprKind::Context(Context::Image), _) => Field::Image,
        (ExprKind::Context(Context::Pod), _) => Field::Pod,
        (ExprKind::Context(Context::Runtime), _) => Field::Runtime,
        (ExprKind::Context(Context::ProbeFunction), _) => Field::Function,
        (ExprKind::Context(Context::ProbePoint), _) => Field::Point,
        (ExprKind::Block(block), _) => Field::Block(block.size()),
        (ExprKind::Library(function, arguments), _) if is_shown_outside(*function) => {
            let arguments = arguments.iter().map(|value| field(Wanted { value, fault_is_shown })).collect();
            Field::Library(*function, arguments)
        }
        (ExprKind::Format(pieces), _) => {
            let values = values_of(pieces).into_iter().map(|one| {
                let fault_is_shown = fault_is_shown || one.fault_is_shown;
                field(Wanted { fault_is_shown, ..one })
            });
            Field::Format(pieces.clone(), values.collect())
        }
        (_, Ty::Str) => Field::Text,
        (_, Ty::Int) if fault_is_shown && value.can_fault() => Field::IntOrFault,
        (_, Ty::Int) => Field::Int,
    }
}

/// Functions that give a text which follows from their arguments alone.
fn is_shown_outside(function: Library) -> bool {
    match function {
        Library::Ipv4 | Library::Ipv6 | Library::ErrnoStr | Library::SignalStr | Library::Strftime => true,
        Library::Strlen
        | Library::Substr
        | Library::Strtol
        | Library::IsInStr
        | Library::Min
        | Library::Max
        | Library::Abs
        | Library::Ntohs
        | Library::Ntohl
        | Library::Sample => false,
    }
}

/// The largest block that a record takes.
const MOST_OF_A_BLOCK: u32 = 16 << 10;

fn check_size(size: u32, span: Span) -> Result<(), Refused> {
    if size <= MOST_OF_A_BLOCK {
        return Ok(());
    }
    let message = format!("a value of {size} bytes is too large to be shown whole");
    Err(Box::new(
        Diagnostic::new(Code::E0303, span, message)
            .note(format!("a record holds at most {MOST_OF_A_BLOCK} bytes of one value"))
            .help("show the members that are of interest, or single elements"),
    ))
}

impl Gen<'_> {
    /// Writes a value behind what is in the record.
    pub(super) fn value(&mut self, wanted: Wanted<'_>, field: &Field) -> Result<(), Refused> {
        let Wanted { value, fault_is_shown } = wanted;
        self.asm.at(value.span);
        let mut direct = value;
        while let ExprKind::Target(target) = &direct.kind {
            direct = &target.value;
        }
        match field {
            Field::Constant(_)
            | Field::Container
            | Field::ContainerId
            | Field::Image
            | Field::Pod
            | Field::Runtime
            | Field::Function
            | Field::Point => Ok(()),
            Field::Int => {
                self.int(value)?;
                let at = self.item()?;
                self.store(at, R0);
                self.advance(8)
            }
            Field::IntOrFault => self.or_fault(value, 8, |it| {
                it.int(value)?;
                let at = it.item()?;
                it.asm.store_imm(Width::D, at.base, at.off, 0);
                it.store(at.plus(8), R0);
                Ok(())
            }),
            Field::Comm => {
                let at = self.item()?;
                self.asm.mov(R1, at.base);
                self.asm.alu_imm(Alu::Add, R1, i32::from(at.off));
                self.asm.imm(R2, 16);
                self.asm.call(Helper::GetCurrentComm);
                self.advance(16)
            }
            Field::Text => self.text_value(wanted),
            Field::Stack(_) => self.kept_stack(value.span),
            Field::Caller => self.kept_caller(value.span),
            Field::Block(size) => match &direct.kind {
                ExprKind::Block(block) => {
                    self.or_fault(value, size.next_multiple_of(8), |it| it.block(block, value.span))
                }
                _ => Err(self.contradiction(value.span, "bytes that are no block")),
            },
            Field::Library(_, fields) => match &direct.kind {
                ExprKind::Library(_, arguments) => {
                    let wanted = arguments.iter().map(|value| Wanted { value, fault_is_shown });
                    wanted.zip(fields).try_for_each(|(wanted, field)| self.value(wanted, field))
                }
                _ => Err(self.contradiction(value.span, "a function that is none")),
            },
            Field::Format(_, fields) => match &direct.kind {
                ExprKind::Format(pieces) => values_of(pieces).into_iter().zip(fields).try_for_each(|(one, field)| {
                    self.value(Wanted { fault_is_shown: fault_is_shown || one.fault_is_shown, ..one }, field)
                }),
                _ => Err(self.contradiction(value.span, "a format that is none")),
            },
        }
    }

    /// Writes 8 bytes, 0 or (could not be read) 1, then `bytes` bytes: `write` writes both where it can be read.
    fn or_fault(
        &mut self,
        value: &Expr,
        bytes: u32,
        write: impl FnOnce(&mut Self) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let (fault, end) = (self.asm.label(), self.asm.label());
        let outer = std::mem::replace(&mut self.fault, fault);
        let written = write(self);
        self.fault = outer;
        written?;
        if value.can_fault() {
            self.asm.jump(end);
            self.asm.place(fault);
            self.fault_shown();
            let at = self.item()?;
            self.asm.store_imm(Width::D, at.base, at.off, 1);
            if bytes == 8 {
                self.asm.store_imm(Width::D, at.base, at.off.saturating_add(8), 0);
            }
            self.asm.place(end);
        } else {
            self.asm.place(fault);
        }
        self.advance(8 + bytes)
    }

    /// The bytes of a value that is shown whole, behind 8 bytes of 0.
    fn block(&mut self, block: &Block, span: Span) -> Result<(), Refused> {
        match block {
            Block::Memory { address, size } => {
                check_size(*size, address.span)?;
                self.int(address)?;
                self.asm.mov(R3, R0);
                let at = self.item()?;
                self.asm.store_imm(Width::D, at.base, at.off, 0);
                self.asm.mov(R1, at.base);
                self.asm.alu_imm(Alu::Add, R1, i32::from(at.off) + 8);
                if *size > 0 {
                    self.asm.imm(R2, i64::from(*size));
                    self.asm.call(Helper::CopyFromUser);
                    self.asm.jump_if_imm(Jump::Ne, R0, 0, self.fault);
                }
            }
            Block::Parts(parts) => {
                let mut offset = 8i16;
                for (part, bytes) in parts {
                    self.int(part)?;
                    let at = self.item()?.plus(offset);
                    self.store_bytes(at, *bytes);
                    offset = offset.saturating_add(i16::from(*bytes));
                }
                let at = self.item()?;
                self.asm.store_imm(Width::D, at.base, at.off, 0);
            }
            Block::Kept { index, size } => {
                let kept = self.kept(*index, span)?;
                let at = self.item()?;
                self.asm.store_imm(Width::D, at.base, at.off, 0);
                self.asm.mov(R1, at.base);
                self.asm.alu_imm(Alu::Add, R1, i32::from(at.off) + 8);
                self.asm.imm(R2, i64::from(*size));
                self.address(R3, kept);
                self.asm.call(Helper::ProbeReadKernel);
            }
        }
        Ok(())
    }

    /// The bytes of a value that is kept until the call ends, into a place of its own.
    pub(super) fn keep_block(&mut self, block: &Block, slot: Slot, span: Span) -> Result<(), Refused> {
        match block {
            Block::Memory { address, size } => {
                check_size(*size, span)?;
                self.int(address)?;
                self.asm.mov(R3, R0);
                self.address(R1, slot);
                if *size > 0 {
                    self.asm.imm(R2, i64::from(*size));
                    self.asm.call(Helper::CopyFromUser);
                    self.asm.jump_if_imm(Jump::Ne, R0, 0, self.fault);
                }
                Ok(())
            }
            Block::Parts(parts) => {
                let mut at = slot;
                for (part, bytes) in parts {
                    self.int(part)?;
                    self.store_bytes(at, *bytes);
                    at = at.plus(i16::from(*bytes));
                }
                Ok(())
            }
            Block::Kept { .. } => Err(self.contradiction(span, "a kept value that is kept")),
        }
    }

    /// Stores the lowest `bytes` bytes (1–8) of r0, each store at a multiple of its size: the verifier refuses others on
    /// the stack. Clobbers r0.
    fn store_bytes(&mut self, at: Slot, bytes: u8) {
        let (mut at, mut left) = (at, bytes.min(8));
        while left > 0 {
            let (width, size) = match (left, at.off.trailing_zeros()) {
                (8.., 3..) => (Width::D, 8u8),
                (4.., 2..) => (Width::W, 4),
                (2.., 1..) => (Width::H, 2),
                _ => (Width::B, 1),
            };
            self.asm.store(width, at.base, at.off, R0);
            left -= size;
            if left > 0 {
                self.asm.alu_imm(Alu::Rsh, R0, i32::from(size) * 8);
            }
            at = at.plus(i16::from(size));
        }
    }

    /// A string behind its length and flags.
    fn text_value(&mut self, wanted: Wanted<'_>) -> Result<(), Refused> {
        let Wanted { value, fault_is_shown } = wanted;
        self.forget_offset();
        let (fault, end) = (self.asm.label(), self.asm.label());
        let outer = if fault_is_shown { std::mem::replace(&mut self.fault, fault) } else { self.fault };
        let written = self.text_bytes(value);
        self.fault = outer;
        written?;
        if fault_is_shown && value.can_fault() {
            self.asm.jump(end);
            self.asm.place(fault);
            self.fault_shown();
            let at = self.item()?;
            self.asm.store_imm(Width::W, at.base, at.off, 0);
            self.asm.store_imm(Width::W, at.base, at.off.saturating_add(4), TEXT_FAULT.cast_signed());
            self.asm.imm(R0, 0);
            self.asm.place(end);
        } else {
            self.asm.place(fault);
        }
        // r0: the length, on both ways.
        self.asm.alu_imm(Alu::Add, R0, 8 + 7);
        self.asm.alu_imm(Alu::And, R0, -8);
        self.advance_by_r0(self.env.text.slot());
        Ok(())
    }

    /// Writes length, flags and text of a string; leaves the length in r0.
    fn text_bytes(&mut self, value: &Expr) -> Result<(), Refused> {
        let mut direct = value;
        while let ExprKind::Target(target) = &direct.kind {
            direct = &target.value;
        }
        if let ExprKind::UserString(address) = &direct.kind {
            // Straight from the target into the record.
            self.int(address)?;
            let at = self.item()?;
            self.read_user_text(at.base, at.off, false);
            self.asm.mov(R2, R1);
            let at = self.item()?;
            self.asm.store(Width::W, at.base, at.off, R0);
            self.asm.store(Width::W, at.base, at.off.saturating_add(4), R2);
            return Ok(());
        }
        let mark = self.frame;
        let slot = self.text_slot()?;
        self.text(value, slot)?;
        self.asm.load(Width::W, R2, slot.base, slot.off);
        self.asm.jump_if_imm(Jump::Gt, R2, self.strlen(), self.lost);
        let at = self.item()?;
        self.asm.store(Width::W, at.base, at.off, R2);
        self.asm.load(Width::W, R3, slot.base, slot.off.saturating_add(4));
        self.asm.store(Width::W, at.base, at.off.saturating_add(4), R3);
        self.asm.alu_imm(Alu::Add, R1, i32::from(at.off) + 8);
        self.address(R3, slot.plus(8));
        self.asm.call(Helper::ProbeReadKernel);
        self.asm.load(Width::W, R0, slot.base, slot.off);
        self.frame.release(mark);
        Ok(())
    }
}
