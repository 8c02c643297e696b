//! Owns turning one handler into instructions: its statements, its ends, and what is counted at each. Expressions,
//! strings, globals and output are in files of their own.

use super::asm::{Asm, Label};
use super::env::{Env, Rodata};
use super::frame::{Frame, Slot, TooLarge};
use super::insn::*;
use super::map::{COUNTERS, SCALARS};
use super::output::Recorder;
use super::returns::{self, Ending};
use super::{Category, PrintLayout};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, Handler, ProbeIndex, Stmt, Ty, Variant};
use crate::source::Span;

/// Why a handler cannot be compiled.
pub(super) type Refused = Box<Diagnostic>;

/// Where in the code of a program a handler's ends lead, and what all handlers share on the stack.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    /// Counts `CONTAINER` (a byte offset) for probe `SITE`, and ends.
    pub(super) count: Label,
    /// 16 bytes: the key of the filter, later of the counters.
    pub(super) key: Slot,
    /// 8 bytes: the container's pid level.
    pub(super) pid_level: Slot,
}

/// A handler being compiled.
pub(super) struct Gen<'a> {
    pub(super) env: &'a Env<'a>,
    pub(super) asm: &'a mut Asm,
    pub(super) rodata: &'a mut Rodata,
    pub(super) shared: Shared,
    pub(super) probe: ProbeIndex,
    pub(super) span: Span,
    pub(super) variant: &'a Variant,
    /// Prints of this handler, in the order of the source, with the index of the first.
    pub(super) prints: &'a [PrintLayout],
    pub(super) first_print: usize,
    pub(super) frame: Frame,
    pub(super) locals: Vec<Slot>,
    pub(super) recorder: Recorder,
    /// Where a value that cannot be read leads.
    pub(super) fault: Label,
    pub(super) lost: Label,
    /// The call that ends here, at returns.
    pub(super) call: Option<returns::Call>,
    done: Label,
    exit: Label,
}

/// A handler's instructions were written; how much scratch they use.
pub(super) struct Written {
    pub(super) scratch: u32,
}

/// Whether some statement may end or skip others: then an output is not certain to run.
pub(super) fn branches(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::If { .. }
        | Stmt::While { .. }
        | Stmt::Foreach(_)
        | Stmt::Break
        | Stmt::Continue
        | Stmt::Return(_)
        | Stmt::Next
        | Stmt::Exit => true,
        Stmt::SetLocal(..) | Stmt::Effect(_) | Stmt::Delete { .. } | Stmt::Aggregate { .. } | Stmt::Print(_) => false,
    })
}

fn exits(body: &[Stmt]) -> bool {
    let mut any = false;
    ir::visit_statements(body, &mut |stmt| any |= matches!(stmt, Stmt::Exit));
    any
}

/// What a handler is compiled from.
pub(super) struct Input<'a> {
    pub(super) shared: Shared,
    pub(super) probe: ProbeIndex,
    pub(super) span: Span,
    pub(super) variant: &'a Variant,
    pub(super) prints: &'a [PrintLayout],
    pub(super) first_print: usize,
    /// What of the stack is taken by the program.
    pub(super) frame: Frame,
    /// Whether the task's scratch memory is fetched (a handler that turns out to need it is written again).
    pub(super) scratch: bool,
    /// How the call is found that ends here, at returns.
    pub(super) ending: Option<Ending>,
}

/// What compiles code of a handler that has no output.
pub(super) fn bare<'a>(env: &'a Env<'a>, asm: &'a mut Asm, rodata: &'a mut Rodata, input: &Input<'a>) -> Gen<'a> {
    let (fault, lost, done, exit) = (asm.label(), asm.label(), asm.label(), asm.label());
    Gen {
        env,
        asm,
        rodata,
        shared: input.shared,
        probe: input.probe,
        span: input.span,
        variant: input.variant,
        prints: input.prints,
        first_print: input.first_print,
        frame: input.frame,
        locals: Vec::new(),
        recorder: Recorder::None,
        fault,
        lost,
        call: None,
        done,
        exit,
    }
}

/// Writes a handler behind the program's dispatch.
pub(super) fn write(env: &Env<'_>, asm: &mut Asm, rodata: &mut Rodata, input: &Input<'_>) -> Result<Written, Refused> {
    let mut it = bare(env, asm, rodata, input);
    let (fault, lost, done, exit) = (it.fault, it.lost, it.done, it.exit);
    let filtered = it.asm.label();
    it.recorder = Recorder::plan(&mut it.frame, env, input).map_err(|_| too_large(input.span))?;
    it.asm.at(input.span);
    if input.scratch {
        it.fetch_scratch();
    }
    if let Some(ending) = input.ending {
        it.find_call(ending)?;
    }
    let handler = &input.variant.handler;
    it.zero_locals(handler)?;
    it.begin_record()?;
    if let Some(condition) = &handler.condition {
        it.branch(condition, false, filtered)?;
    }
    it.statements(&handler.body)?;
    it.asm.at(input.span);
    it.asm.place(done);
    it.finish(false)?;
    it.asm.place(exit);
    if exits(&handler.body) {
        it.finish(true)?;
    }
    it.asm.place(filtered);
    it.end(Category::Filtered);
    it.asm.place(fault);
    it.end(Category::ReadFaults);
    it.asm.place(lost);
    it.end(Category::Lost);
    if let Some(ending) = input.ending {
        it.asm.place(ending.unmatched);
        it.end(Category::Unmatched);
    }
    Ok(Written { scratch: it.frame.scratch_used() })
}

pub(super) fn too_large(span: Span) -> Refused {
    Box::new(
        Diagnostic::new(Code::E0303, span, "this handler needs more memory than a program in the kernel can have")
            .help("use fewer or shorter strings: a smaller --strlen, fewer strings in one statement"),
    )
}

impl Gen<'_> {
    pub(super) fn too_large(&self, _: TooLarge) -> Refused {
        too_large(self.span)
    }

    /// A contradiction in the checked program, which the checker excludes.
    pub(super) fn contradiction(&self, span: Span, what: &str) -> Refused {
        Box::new(Diagnostic::new(Code::E0301, span, format!("the eBPF engine cannot compile this: {what}")))
    }

    /// Memory for a number.
    pub(super) fn temporary(&mut self) -> Result<Slot, Refused> {
        self.frame.take(8).map_err(|e| self.too_large(e))
    }

    /// Memory for a string.
    pub(super) fn text_slot(&mut self) -> Result<Slot, Refused> {
        self.frame.take_scratch(self.env.text.slot()).map_err(|e| self.too_large(e))
    }

    /// `dst` becomes the address of a slot.
    pub(super) fn address(&mut self, dst: Reg, slot: Slot) {
        self.asm.mov(dst, slot.base);
        self.asm.alu_imm(Alu::Add, dst, i32::from(slot.off));
    }

    pub(super) fn load(&mut self, dst: Reg, slot: Slot) {
        self.asm.load(Width::D, dst, slot.base, slot.off);
    }

    pub(super) fn store(&mut self, slot: Slot, src: Reg) {
        self.asm.store(Width::D, slot.base, slot.off, src);
    }

    pub(super) fn fetch_scratch(&mut self) {
        self.asm.call(Helper::GetCurrentTaskBtf);
        self.asm.mov(R2, R0);
        self.asm.map(R1, self.env.scratch);
        self.asm.imm(R3, 0);
        self.asm.imm(R4, 1); // BPF_LOCAL_STORAGE_GET_F_CREATE
        self.asm.call(Helper::TaskStorageGet);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, self.lost);
        self.asm.mov(SCRATCH, R0);
    }

    fn zero_locals(&mut self, handler: &Handler) -> Result<(), Refused> {
        for ir::Local { ty, .. } in &handler.locals {
            let slot = match ty {
                Ty::Int => {
                    let slot = self.temporary()?;
                    self.asm.store_imm(Width::D, slot.base, slot.off, 0);
                    slot
                }
                Ty::Str => {
                    let slot = self.text_slot()?;
                    self.zero_text(slot);
                    slot
                }
            };
            self.locals.push(slot);
        }
        Ok(())
    }

    fn statements(&mut self, body: &[Stmt]) -> Result<(), Refused> {
        body.iter().try_for_each(|stmt| self.statement(stmt))
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<(), Refused> {
        match stmt {
            Stmt::SetLocal(local, value) => {
                self.asm.at(value.span);
                let slot = *self
                    .locals
                    .get(local.0 as usize)
                    .ok_or_else(|| self.contradiction(value.span, "a local that is not there"))?;
                match value.ty {
                    Ty::Int => {
                        self.int(value)?;
                        self.store(slot, R0);
                    }
                    Ty::Str => {
                        // The value may contain the local itself.
                        let mark = self.frame;
                        let computed = self.text_slot()?;
                        self.text(value, computed)?;
                        self.copy_slot(slot, computed);
                        self.frame.release(mark);
                    }
                }
                Ok(())
            }
            Stmt::Effect(value) => {
                self.asm.at(value.span);
                self.effect(value)
            }
            Stmt::If { condition, then, otherwise } => {
                self.asm.at(condition.span);
                let (no, end) = (self.asm.label(), self.asm.label());
                self.branch(condition, false, no)?;
                self.forget_offset();
                self.statements(then)?;
                self.forget_offset();
                if !otherwise.is_empty() {
                    self.asm.jump(end);
                }
                self.asm.place(no);
                self.statements(otherwise)?;
                self.forget_offset();
                self.asm.place(end);
                Ok(())
            }
            Stmt::Print(print) => {
                self.asm.at(print.span);
                self.print(print)
            }
            Stmt::Next => {
                self.forget_offset();
                self.asm.jump(self.done);
                Ok(())
            }
            Stmt::Exit => {
                self.forget_offset();
                self.asm.jump(self.exit);
                Ok(())
            }
            Stmt::While { .. }
            | Stmt::Foreach(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. } => Err(self.contradiction(self.span, "a statement that was let through")),
        }
    }

    /// Ends the run: its record is written, and it is counted.
    fn finish(&mut self, exit: bool) -> Result<(), Refused> {
        let silent = self.asm.label();
        let lost = self.asm.label();
        let written = self.write_record(exit, silent)?;
        if written {
            if exit {
                // Behind the output, so that whoever sees it finds the record in the ring.
                self.asm.map_value(R1, SCALARS, 0);
                self.asm.store_imm(Width::D, R1, 0, 1);
            }
            self.asm.jump_if_imm(Jump::SLt, R0, 0, lost);
            self.end(Category::Records);
            self.asm.place(lost);
            self.end(Category::Lost);
        }
        self.asm.place(silent);
        if exit {
            self.asm.map_value(R1, SCALARS, 0);
            self.asm.store_imm(Width::D, R1, 0, 1);
        }
        self.end(Category::Aggregated);
        Ok(())
    }

    /// Counts the hit and ends the program.
    fn end(&mut self, category: Category) {
        self.asm.imm(SITE, i64::from(self.probe.0));
        self.asm.imm(CONTAINER, category as i64 * 8);
        self.asm.jump(self.shared.count);
    }

    /// Counts something besides the hit; clobbers r0–r5.
    pub(super) fn bump(&mut self, category: Category) {
        let absent = self.asm.label();
        let key = self.shared.key;
        self.asm.imm(R1, i64::from(self.probe.0));
        self.asm.store(Width::W, key.base, key.off, R1);
        self.asm.map(R1, COUNTERS);
        self.address(R2, key);
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, absent);
        self.asm.imm(R1, 1);
        self.asm.atomic(ATOMIC_ADD, R0, category as i16 * 8, R1);
        self.asm.place(absent);
    }
}
