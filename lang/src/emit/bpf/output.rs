//! Owns writing a run's record: first into memory of the run itself, and only at its end, whole, into the ring. A
//! handler that sleeps on a page never holds a reservation of the ring, which a hostile target could make it hold for
//! ever; a run that faults leaves nothing behind.
//!
//! A small record of fixed size is built on the stack; all others in the task's scratch memory, where the offset behind
//! which to go on is itself kept in memory and checked at each use: so the verifier sees the same state whichever way
//! an output was reached, and the number of states stays linear in the number of outputs. Where outputs may run any
//! number of times, or are too large together, a record that is full goes into the ring as a part; the reader keeps
//! parts back until the run's last record says that it came to its end.

use super::env::Env;
use super::frame::{Frame, Slot, TooLarge};
use super::handler::{Gen, Refused, branches};
use super::insn::*;
use super::map::RING;
use super::reach::Reach;
use super::record::{CPU_BITS, FLAG_BITS, FLAG_COMMIT, FLAG_CPU, FLAG_EXIT, Field, HEADER};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{ExprKind, Handler, Print};

/// The largest record on the stack.
const MOST_ON_STACK: u32 = 256;
/// The largest record that is written whole.
const MOST_WHOLE: u32 = 16 << 10;
/// Bytes of a part of a record, unless one output needs more.
const PART: u32 = 4096;
/// The most bytes that all parts of a run have together: the reader has to keep them.
const MOST_OF_A_RUN: u32 = 1 << 20;
/// `BPF_RB_NO_WAKEUP`: the reader looks by itself.
const NO_WAKEUP: i64 = 1;

/// Where the record is built.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recorder {
    /// The handler prints nothing.
    None,
    /// In fixed places, on the stack mostly.
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
    /// In scratch memory, outputs one behind the other, part by part.
    Parts {
        /// Header and items.
        record: Slot,
        /// 8 bytes: where the next output goes.
        offset: Slot,
        /// 8 bytes: how many parts were written.
        parts: Slot,
        /// Bytes of a part at most.
        size: u32,
        /// The most that `offset` can be.
        most: u32,
    },
}

/// The most bytes of an output.
fn most(fields: &[Field], env: &Env<'_>) -> Option<u32> {
    fields.iter().map(|field| field.most(env.text)).try_fold(8, u32::checked_add)
}

impl Recorder {
    /// Chooses where the record is built, and takes the memory.
    pub(super) fn plan(
        frame: &mut Frame,
        env: &Env<'_>,
        handler: &Handler,
        reach: &Reach<'_>,
    ) -> Result<Recorder, TooLarge> {
        let all = reach.once.iter().chain(&reach.repeated).filter_map(|print| env.print(print));
        let all: Vec<&[Field]> = all.map(|(_, layout)| layout.fields.as_slice()).collect();
        if all.is_empty() {
            return Ok(Recorder::None);
        }
        let sizes = all.iter().map(|fields| most(fields, env)).collect::<Option<Vec<u32>>>().ok_or(TooLarge)?;
        let whole = sizes.iter().try_fold(HEADER, |sum, size| sum.checked_add(*size)).ok_or(TooLarge)?;
        if !reach.repeated.is_empty() || whole > MOST_WHOLE {
            let size = sizes.into_iter().max().unwrap_or(0).saturating_add(HEADER).max(PART);
            let (offset, parts) = (frame.take_scratch(8)?, frame.take_scratch(8)?);
            return Ok(Recorder::Parts { record: frame.take_scratch(size)?, offset, parts, size, most: HEADER });
        }
        let fixed = all.iter().copied().flatten().all(Field::is_fixed);
        if fixed && whole <= MOST_ON_STACK {
            let record = frame.take(whole)?;
            let ran = if certain(handler, reach) { None } else { Some(frame.take(8)?) };
            return Ok(Recorder::Stack { record, size: whole, next: HEADER, ran });
        }
        let offset = frame.take_scratch(8)?;
        let record = frame.take_scratch(whole)?;
        let fixed = (!reach.ends).then_some(HEADER);
        Ok(Recorder::Scratch { record, offset, fixed, most: HEADER })
    }
}

/// Whether every output runs in every run that comes to its end.
fn certain(handler: &Handler, reach: &Reach<'_>) -> bool {
    !branches(&handler.body) && !reach.ends
}

impl Gen<'_> {
    fn record(&self) -> Option<Slot> {
        match self.recorder {
            Recorder::None => None,
            Recorder::Stack { record, .. } | Recorder::Scratch { record, .. } | Recorder::Parts { record, .. } => {
                Some(record)
            }
        }
    }

    /// Writes what is known when the run begins. `prints`: those that have fixed places, in order.
    pub(super) fn begin_record(&mut self, prints: &[&Print]) -> Result<(), Refused> {
        let Some(record) = self.record() else {
            return Ok(());
        };
        self.asm.call(Helper::KtimeGetNs);
        self.store(record, R0);
        self.asm.store(Width::W, record.base, record.off.saturating_add(8), SITE);
        self.asm.store(Width::W, record.base, record.off.saturating_add(12), CONTAINER);
        match self.recorder {
            Recorder::Stack { size, ran: Some(ran), .. } => {
                for word in (HEADER..size).step_by(8) {
                    let at = self.record_at(record, word)?;
                    self.asm.store_imm(Width::D, at.base, at.off, 0);
                }
                let mut at = HEADER;
                for print in prints {
                    let Some((_, layout)) = self.env.print(print) else { continue };
                    let payload: u32 = layout.fields.iter().map(|field| field.most(self.env.text)).sum();
                    let length = self.record_at(record, at + 4)?;
                    self.asm.store_imm(Width::W, length.base, length.off, payload.cast_signed());
                    at += 8 + payload;
                }
                self.asm.store_imm(Width::D, ran.base, ran.off, 0);
            }
            // An early end looks there.
            Recorder::Scratch { offset, .. } => {
                self.asm.store_imm(Width::D, offset.base, offset.off, HEADER.cast_signed());
            }
            Recorder::Parts { offset, parts, .. } => {
                self.asm.store_imm(Width::D, offset.base, offset.off, HEADER.cast_signed());
                self.asm.store_imm(Width::D, parts.base, parts.off, 0);
            }
            Recorder::None | Recorder::Stack { ran: None, .. } => {}
        }
        Ok(())
    }

    fn record_at(&self, record: Slot, offset: u32) -> Result<Slot, Refused> {
        let offset = i16::try_from(offset).map_err(|_| self.too_large(TooLarge))?;
        Ok(record.plus(offset))
    }

    /// From here on the place of the next output is not known when compiled: ways that differ in it meet here.
    pub(super) fn forget_offset(&mut self) {
        // Functions have no outputs of fixed places; and not every way leads through their calls.
        if self.function.is_some() {
            return;
        }
        if let Recorder::Scratch { record, offset, fixed: Some(at), most } = self.recorder {
            self.asm.store_imm(Width::D, offset.base, offset.off, at.cast_signed());
            self.recorder = Recorder::Scratch { record, offset, fixed: None, most };
        }
    }

    pub(super) fn print(&mut self, print: &Print) -> Result<(), Refused> {
        let env = self.env;
        let Some((number, layout)) = env.print(print) else {
            return Err(self.contradiction(print.span, "an output that was not counted"));
        };
        if let Recorder::Parts { .. } = self.recorder {
            self.refuse_nested(print)?;
            self.make_room(most(&layout.fields, env).ok_or_else(|| self.too_large(TooLarge))?)?;
        }
        let tag = i32::try_from(number + 1).map_err(|_| self.too_large(TooLarge))?;
        let fixed: Option<u32> =
            layout.fields.iter().all(Field::is_fixed).then(|| layout.fields.iter().map(|f| f.most(env.text)).sum());
        let at = self.item()?;
        self.asm.store_imm(Width::W, at.base, at.off, tag);
        match self.recorder {
            // The length was written in the beginning, where it matters.
            Recorder::Stack { ran: Some(_), .. } => {}
            Recorder::None | Recorder::Stack { ran: None, .. } | Recorder::Scratch { .. } | Recorder::Parts { .. } => {
                self.asm.store_imm(Width::W, at.base, at.off.saturating_add(4), fixed.unwrap_or(0).cast_signed());
            }
        }
        self.advance(8)?;
        for (value, field) in super::fields::values(print).into_iter().zip(&layout.fields) {
            self.value(value, field)?;
        }
        if let Recorder::Stack { ran: Some(ran), .. } = self.recorder {
            self.asm.store_imm(Width::D, ran.base, ran.off, 1);
        }
        Ok(())
    }

    /// An output must not run in the middle of another.
    fn refuse_nested(&self, print: &Print) -> Result<(), Refused> {
        let mut nested = None;
        print.pieces.iter().for_each(|piece| {
            piece.operands(&mut |one| {
                one.visit(&mut |inner| {
                    if let ExprKind::Call(function, _) = &inner.kind
                        && self.env.outputs(*function)
                    {
                        nested.get_or_insert((inner.span, *function));
                    }
                });
            });
        });
        let Some((span, function)) = nested else { return Ok(()) };
        let name = self.env.function(function).map_or("", |function| function.name.as_str());
        Err(Box::new(
            Diagnostic::new(
                Code::E0302,
                span,
                format!("the embedded engine cannot print `{name}` here, which prints itself"),
            )
            .help("keep what it gives in a local first, and print that"),
        ))
    }

    /// Writes what there is as a part where the next `bytes` would not fit behind it.
    fn make_room(&mut self, bytes: u32) -> Result<(), Refused> {
        let Recorder::Parts { record, offset, parts, size, .. } = self.recorder else { return Ok(()) };
        let fits = self.asm.label();
        let limit = size.checked_sub(bytes).ok_or_else(|| self.too_large(TooLarge))?;
        self.load(R0, offset);
        self.asm.jump_if_imm(Jump::Le, R0, limit.cast_signed(), fits);
        self.load(R0, parts);
        self.asm.jump_if_imm(Jump::Ge, R0, (MOST_OF_A_RUN / size).cast_signed(), self.lost);
        self.end_header(record, 0)?;
        self.output(record)?;
        self.asm.jump_if_imm(Jump::SLt, R0, 0, self.lost);
        self.load(R0, parts);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.store(parts, R0);
        self.asm.store_imm(Width::D, offset.base, offset.off, HEADER.cast_signed());
        self.asm.place(fits);
        self.recorder = Recorder::Parts { record, offset, parts, size, most: limit };
        Ok(())
    }

    /// Where the next bytes of the record go; in r1 where that is not known when compiled (clobbers only r1).
    pub(super) fn item(&mut self) -> Result<Slot, Refused> {
        match self.recorder {
            Recorder::None => Err(self.contradiction(self.span, "an output without a record")),
            Recorder::Stack { record, next, .. } => self.record_at(record, next),
            Recorder::Scratch { record, fixed: Some(at), .. } => self.record_at(record, at),
            Recorder::Scratch { record, offset, fixed: None, most } | Recorder::Parts { record, offset, most, .. } => {
                self.load(R1, offset);
                let most = i32::try_from(most).map_err(|_| self.too_large(TooLarge))?;
                self.asm.jump_if_imm(Jump::Gt, R1, most, self.lost);
                self.asm.alu(Alu::Add, R1, record.base);
                Ok(Slot { base: R1, off: record.off })
            }
        }
    }

    /// The next bytes go `bytes` further.
    pub(super) fn advance(&mut self, bytes: u32) -> Result<(), Refused> {
        match &mut self.recorder {
            Recorder::None => {}
            Recorder::Stack { next, .. } => *next += bytes,
            Recorder::Scratch { fixed: Some(at), most, .. } => {
                *at += bytes;
                *most += bytes;
            }
            Recorder::Scratch { fixed: None, most, offset, .. } | Recorder::Parts { offset, most, .. } => {
                *most += bytes;
                let offset = *offset;
                self.load(R1, offset);
                self.asm.alu_imm(Alu::Add, R1, bytes.cast_signed());
                self.store(offset, R1);
            }
        }
        Ok(())
    }

    /// The next bytes go as many further as r0 says, at most `most`.
    pub(super) fn advance_by_r0(&mut self, bytes: u32) {
        match &mut self.recorder {
            Recorder::None | Recorder::Stack { .. } => {}
            Recorder::Scratch { offset, most, .. } | Recorder::Parts { offset, most, .. } => {
                *most += bytes;
                let offset = *offset;
                self.load(R1, offset);
                self.asm.alu(Alu::Add, R1, R0);
                self.store(offset, R1);
            }
        }
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
            Recorder::Scratch { offset, fixed: None, .. } | Recorder::Parts { offset, .. } => {
                // What was written as a part leaves an output behind it.
                self.load(R0, offset);
                self.asm.jump_if_imm(Jump::Le, R0, HEADER.cast_signed(), silent);
            }
            Recorder::Scratch { fixed: Some(_), .. } => {}
        }
        self.end_header(record, FLAG_COMMIT | if exit { FLAG_EXIT } else { 0 })?;
        self.output(record)?;
        Ok(true)
    }

    /// Writes what of the header is known at the end.
    fn end_header(&mut self, record: Slot, flags: u32) -> Result<(), Refused> {
        self.asm.call(Helper::GetCurrentPidTgid);
        self.store(record.plus(16), R0);
        let (word, nspid) = (record.plus(24), record.plus(28));
        if self.env.origin && self.env.kernel.pids.is_some() {
            self.namespace_id(true, self.span)?;
            self.asm.store(Width::W, nspid.base, nspid.off, R0);
        } else {
            self.asm.store_imm(Width::W, nspid.base, nspid.off, 0);
        }
        let parts = match self.recorder {
            Recorder::Parts { parts, .. } => Some(parts),
            Recorder::None | Recorder::Stack { .. } | Recorder::Scratch { .. } => None,
        };
        if !self.env.origin && parts.is_none() {
            self.asm.store_imm(Width::W, word.base, word.off, flags.cast_signed());
            return Ok(());
        }
        let mut flags = flags;
        if self.env.origin {
            self.asm.call(Helper::GetSmpProcessorId);
            self.asm.alu_imm(Alu::And, R0, (1 << CPU_BITS) - 1);
            self.asm.alu_imm(Alu::Lsh, R0, FLAG_BITS.cast_signed());
            flags |= FLAG_CPU;
        } else {
            self.asm.imm(R0, 0);
        }
        if let Some(parts) = parts {
            self.load(R1, parts);
            self.asm.alu_imm(Alu::Lsh, R1, (FLAG_BITS + CPU_BITS).cast_signed());
            self.asm.alu(Alu::Or, R0, R1);
        }
        self.asm.alu_imm(Alu::Or, R0, flags.cast_signed());
        self.asm.store(Width::W, word.base, word.off, R0);
        Ok(())
    }

    /// Copies the record into the ring; the answer is in r0.
    fn output(&mut self, record: Slot) -> Result<(), Refused> {
        match self.recorder {
            Recorder::None => {}
            Recorder::Stack { size, .. } => self.asm.imm(R3, i64::from(size)),
            Recorder::Scratch { fixed: Some(at), .. } => self.asm.imm(R3, i64::from(at)),
            Recorder::Scratch { offset, most, fixed: None, .. } | Recorder::Parts { offset, size: most, .. } => {
                self.load(R3, offset);
                let most = i32::try_from(most).map_err(|_| self.too_large(TooLarge))?;
                self.asm.jump_if_imm(Jump::Gt, R3, most, self.lost);
            }
        }
        self.asm.map(R1, RING);
        self.address(R2, record);
        self.asm.imm(R4, NO_WAKEUP);
        self.asm.call(Helper::RingbufOutput);
        Ok(())
    }
}
