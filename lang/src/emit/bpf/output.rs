//! Owns writing a run's record: first into memory of the run itself, and only at its end, whole, into the ring. A
//! handler that sleeps on a page never holds a reservation of the ring, which a hostile target could make it hold for
//! ever; a run that faults leaves nothing behind.
//!
//! A small record of fixed size is built on the stack; all others in the task's scratch memory, where the offset behind
//! which to go on is itself kept in memory and checked at each use: so the verifier sees the same state whichever way
//! an output was reached, and the number of states stays linear in the number of outputs.

use super::Category;
use super::env::Env;
use super::frame::{Frame, Slot, TooLarge};
use super::handler::{Gen, Input, Refused, branches};
use super::insn::*;
use super::map::{RING, TEXT_FAULT};
use super::record::{FLAG_COMMIT, FLAG_EXIT, Field, HEADER};
use crate::ir::{self, Context, Expr, ExprKind, Handler, Piece, Print, Shown, Stmt, Ty};

/// The largest record on the stack.
const MOST_ON_STACK: u32 = 256;
/// `BPF_RB_NO_WAKEUP`: the reader looks by itself.
const NO_WAKEUP: i64 = 1;

/// Where the record is built.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recorder {
    /// The handler prints nothing.
    None,
    /// On the stack; each output has its place.
    Stack {
        /// Header and items.
        record: Slot,
        /// Bytes in all.
        size: u32,
        /// Where the next output goes.
        next: u32,
        /// 8 bytes, not 0 once an output ran; `None` where all are certain to run.
        ran: Option<Slot>,
    },
    /// In scratch memory, outputs one behind the other.
    Scratch {
        /// Header and items.
        record: Slot,
        /// 8 bytes: where the next output goes, where that is not `fixed`.
        offset: Slot,
        /// Where the next output goes, where that is known.
        fixed: Option<u32>,
        /// The most it can be.
        most: u32,
    },
}

/// The outputs of a handler, in the order of the source.
pub(super) fn prints(body: &[Stmt]) -> Vec<&Print> {
    let mut out = Vec::new();
    ir::visit_statements(body, &mut |stmt| {
        if let Stmt::Print(print) = stmt {
            out.push(print);
        }
    });
    out
}

/// How the values of an output lie in a record.
pub(super) fn fields(print: &Print, point: &str) -> Vec<Field> {
    values(print).map(|shown| field(&shown.value, shown.fault_is_shown, point)).collect()
}

fn values(print: &Print) -> impl Iterator<Item = &Shown> {
    print.pieces.iter().filter_map(|piece| match piece {
        Piece::Value(shown) => Some(shown),
        Piece::Text(_) | Piece::Unavailable { .. } => None,
        // Refused before anything is written.
        Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => None,
    })
}

fn field(value: &Expr, fault_is_shown: bool, point: &str) -> Field {
    match (&value.kind, value.ty) {
        (ExprKind::Target(target), _) => field(&target.value, fault_is_shown, point),
        (ExprKind::Str(bytes), _) => Field::Constant(bytes.clone()),
        (ExprKind::Context(Context::Comm), _) => Field::Comm,
        (ExprKind::Context(Context::Container), _) => Field::Container,
        (ExprKind::Context(Context::ContainerId), _) => Field::ContainerId,
        (ExprKind::Context(Context::ProbeFunction), _) => Field::Function,
        (ExprKind::Context(Context::ProbePoint), _) => Field::Constant(point.as_bytes().to_vec()),
        (_, Ty::Str) => Field::Text,
        (_, Ty::Int) if fault_is_shown && value.can_fault() => Field::IntOrFault,
        (_, Ty::Int) => Field::Int,
    }
}

impl Recorder {
    /// Chooses where the record is built, and takes the memory.
    pub(super) fn plan(frame: &mut Frame, env: &Env<'_>, input: &Input<'_>) -> Result<Recorder, TooLarge> {
        if input.prints.is_empty() {
            return Ok(Recorder::None);
        }
        let most = input
            .prints
            .iter()
            .flat_map(|print| print.fields.iter().map(|field| field.most(env.text)).chain([8]))
            .try_fold(HEADER, u32::checked_add)
            .ok_or(TooLarge)?;
        let fixed = input.prints.iter().flat_map(|print| &print.fields).all(Field::is_fixed);
        if fixed && most <= MOST_ON_STACK {
            let record = frame.take(most)?;
            let ran = if certain(&input.variant.handler) { None } else { Some(frame.take(8)?) };
            return Ok(Recorder::Stack { record, size: most, next: HEADER, ran });
        }
        let offset = frame.take_scratch(8)?;
        let record = frame.take_scratch(most)?;
        Ok(Recorder::Scratch { record, offset, fixed: Some(HEADER), most: HEADER })
    }
}

/// Whether every output runs in every run that comes to its end.
fn certain(handler: &Handler) -> bool {
    !branches(&handler.body)
}

impl Gen<'_> {
    fn record(&self) -> Option<Slot> {
        match self.recorder {
            Recorder::None => None,
            Recorder::Stack { record, .. } | Recorder::Scratch { record, .. } => Some(record),
        }
    }

    /// Writes what is known when the run begins.
    pub(super) fn begin_record(&mut self) -> Result<(), Refused> {
        let Some(record) = self.record() else {
            return Ok(());
        };
        self.asm.call(Helper::KtimeGetNs);
        self.store(record, R0);
        self.asm.store(Width::W, record.base, record.off.saturating_add(8), SITE);
        self.asm.store(Width::W, record.base, record.off.saturating_add(12), CONTAINER);
        if let Recorder::Stack { size, ran: Some(ran), .. } = self.recorder {
            for word in (HEADER..size).step_by(8) {
                let at = self.record_at(record, word)?;
                self.asm.store_imm(Width::D, at.base, at.off, 0);
            }
            let mut at = HEADER;
            for print in self.prints {
                let payload: u32 = print.fields.iter().map(|field| field.most(self.env.text)).sum();
                let length = self.record_at(record, at + 4)?;
                self.asm.store_imm(Width::W, length.base, length.off, payload.cast_signed());
                at += 8 + payload;
            }
            self.asm.store_imm(Width::D, ran.base, ran.off, 0);
        }
        if let (Recorder::Scratch { offset, .. }, false) = (self.recorder, certain(&self.variant.handler)) {
            // An early end looks there.
            self.asm.store_imm(Width::D, offset.base, offset.off, HEADER.cast_signed());
        }
        Ok(())
    }

    fn record_at(&self, record: Slot, offset: u32) -> Result<Slot, Refused> {
        let offset = i16::try_from(offset).map_err(|_| self.too_large(TooLarge))?;
        Ok(record.plus(offset))
    }

    /// From here on the place of the next output is not known when compiled: ways that differ in it meet here.
    pub(super) fn forget_offset(&mut self) {
        if let Recorder::Scratch { record, offset, fixed: Some(at), most } = self.recorder {
            self.asm.store_imm(Width::D, offset.base, offset.off, at.cast_signed());
            self.recorder = Recorder::Scratch { record, offset, fixed: None, most };
        }
    }

    pub(super) fn print(&mut self, print: &Print) -> Result<(), Refused> {
        let Some((layout, rest)) = self.prints.split_first() else {
            return Err(self.contradiction(print.span, "an output that was not counted"));
        };
        self.prints = rest;
        let tag = i32::try_from(self.first_print + 1).map_err(|_| self.too_large(TooLarge))?;
        self.first_print += 1;
        let fixed: Option<u32> = layout
            .fields
            .iter()
            .all(Field::is_fixed)
            .then(|| layout.fields.iter().map(|f| f.most(self.env.text)).sum());
        if let Recorder::Stack { .. } = self.recorder {
            // The length was written in the beginning, where it matters.
            let at = self.item()?;
            self.asm.store_imm(Width::W, at.base, at.off, tag);
            if let Recorder::Stack { ran: None, .. } = self.recorder {
                self.asm.store_imm(Width::W, at.base, at.off.saturating_add(4), 0);
            }
        } else {
            let at = self.item()?;
            self.asm.store_imm(Width::W, at.base, at.off, tag);
            self.asm.store_imm(Width::W, at.base, at.off.saturating_add(4), fixed.unwrap_or(0).cast_signed());
        }
        self.advance(8)?;
        for (shown, field) in values(print).zip(&layout.fields) {
            self.value(shown, field)?;
        }
        if let Recorder::Stack { ran: Some(ran), .. } = self.recorder {
            self.asm.store_imm(Width::D, ran.base, ran.off, 1);
        }
        Ok(())
    }

    /// Where the next bytes of the record go; in r1 where that is not known when compiled (clobbers only r1).
    fn item(&mut self) -> Result<Slot, Refused> {
        match self.recorder {
            Recorder::None => Err(self.contradiction(self.span, "an output without a record")),
            Recorder::Stack { record, next, .. } => self.record_at(record, next),
            Recorder::Scratch { record, fixed: Some(at), .. } => self.record_at(record, at),
            Recorder::Scratch { record, offset, fixed: None, most } => {
                self.load(R1, offset);
                let most = i32::try_from(most).map_err(|_| self.too_large(TooLarge))?;
                self.asm.jump_if_imm(Jump::Gt, R1, most, self.lost);
                self.asm.alu(Alu::Add, R1, record.base);
                Ok(Slot { base: R1, off: record.off })
            }
        }
    }

    /// The next bytes go `bytes` further.
    fn advance(&mut self, bytes: u32) -> Result<(), Refused> {
        match &mut self.recorder {
            Recorder::None => {}
            Recorder::Stack { next, .. } => *next += bytes,
            Recorder::Scratch { fixed: Some(at), most, .. } => {
                *at += bytes;
                *most += bytes;
            }
            Recorder::Scratch { fixed: None, most, offset, .. } => {
                *most += bytes;
                let offset = *offset;
                self.load(R1, offset);
                self.asm.alu_imm(Alu::Add, R1, bytes.cast_signed());
                self.store(offset, R1);
            }
        }
        Ok(())
    }

    fn value(&mut self, shown: &Shown, field: &Field) -> Result<(), Refused> {
        self.asm.at(shown.value.span);
        match field {
            Field::Constant(_) | Field::Container | Field::ContainerId | Field::Function => Ok(()),
            Field::Int => {
                self.int(&shown.value)?;
                let at = self.item()?;
                self.store(at, R0);
                self.advance(8)
            }
            Field::IntOrFault => {
                let (fault, end) = (self.asm.label(), self.asm.label());
                let outer = std::mem::replace(&mut self.fault, fault);
                let computed = self.int(&shown.value);
                self.fault = outer;
                computed?;
                let at = self.item()?;
                self.asm.store_imm(Width::D, at.base, at.off, 0);
                self.store(at.plus(8), R0);
                self.asm.jump(end);
                self.asm.place(fault);
                self.bump(Category::FaultsShown);
                let at = self.item()?;
                self.asm.store_imm(Width::D, at.base, at.off, 1);
                self.asm.store_imm(Width::D, at.base, at.off.saturating_add(8), 0);
                self.asm.place(end);
                self.advance(16)
            }
            Field::Comm => {
                let at = self.item()?;
                self.asm.mov(R1, at.base);
                self.asm.alu_imm(Alu::Add, R1, i32::from(at.off));
                self.asm.imm(R2, 16);
                self.asm.call(Helper::GetCurrentComm);
                self.advance(16)
            }
            Field::Text => self.text_value(shown),
        }
    }

    /// A string behind its length and flags.
    fn text_value(&mut self, shown: &Shown) -> Result<(), Refused> {
        self.forget_offset();
        let (fault, end) = (self.asm.label(), self.asm.label());
        let outer = if shown.fault_is_shown { std::mem::replace(&mut self.fault, fault) } else { self.fault };
        let written = self.text_bytes(&shown.value);
        self.fault = outer;
        written?;
        if shown.fault_is_shown && shown.value.can_fault() {
            self.asm.jump(end);
            self.asm.place(fault);
            self.bump(Category::FaultsShown);
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
        if let Recorder::Scratch { offset, most, .. } = &mut self.recorder {
            *most += self.env.text.slot();
            let offset = *offset;
            self.load(R1, offset);
            self.asm.alu(Alu::Add, R1, R0);
            self.store(offset, R1);
        }
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

    /// Writes the record into the ring, if the run had output, and leaves the answer in r0; jumps to `silent` where it
    /// had none. False where the handler never has.
    pub(super) fn write_record(&mut self, exit: bool, silent: super::asm::Label) -> Result<bool, Refused> {
        let Some(record) = self.record() else {
            return Ok(false);
        };
        match self.recorder {
            Recorder::None => return Ok(false),
            Recorder::Stack { ran, .. } => {
                if let Some(ran) = ran {
                    self.load(R0, ran);
                    self.asm.jump_if_imm(Jump::Eq, R0, 0, silent);
                }
            }
            Recorder::Scratch { offset, fixed: None, .. } => {
                if !certain(&self.variant.handler) {
                    self.load(R0, offset);
                    self.asm.jump_if_imm(Jump::Le, R0, HEADER.cast_signed(), silent);
                }
            }
            Recorder::Scratch { fixed: Some(_), .. } => {}
        }
        self.asm.call(Helper::GetCurrentPidTgid);
        self.store(record.plus(16), R0);
        let flags = FLAG_COMMIT | if exit { FLAG_EXIT } else { 0 };
        let at = record.plus(24);
        self.asm.store_imm(Width::W, at.base, at.off, flags.cast_signed());
        self.asm.store_imm(Width::W, at.base, at.off.saturating_add(4), 0);
        match self.recorder {
            Recorder::None => {}
            Recorder::Stack { size, .. } => self.asm.imm(R3, i64::from(size)),
            Recorder::Scratch { fixed: Some(at), .. } => self.asm.imm(R3, i64::from(at)),
            Recorder::Scratch { offset, most, fixed: None, .. } => {
                self.load(R3, offset);
                let most = i32::try_from(most).map_err(|_| self.too_large(TooLarge))?;
                self.asm.jump_if_imm(Jump::Gt, R3, most, self.lost);
            }
        }
        self.asm.map(R1, RING);
        self.address(R2, record);
        self.asm.imm(R4, NO_WAKEUP);
        self.asm.call(Helper::RingbufOutput);
        Ok(true)
    }
}
