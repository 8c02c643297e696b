//! Owns turning one handler into instructions: its memory, its ends, and what is counted at each. Statements,
//! expressions, strings, globals and output are in files of their own.

use super::Category;
use super::asm::{Asm, Label};
use super::env::{Env, Rodata};
use super::expr::PROGRAM_COUNTER;
use super::frame::{Frame, SCRATCH_BIAS, Slot, TooLarge};
use super::insn::*;
use super::map::{COUNTERS, SCALARS};
use super::output::Recorder;
use super::reach::Reach;
use super::returns::{self, Ending};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, ProbeIndex, Stmt, Variant};
use crate::source::Span;

/// Why a handler cannot be compiled.
pub(super) type Refused = Box<Diagnostic>;

/// Where in the code of a program a handler's ends lead, and what all handlers share on the stack.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    /// Counts `CONTAINER` (a byte offset) for probe `SITE`, and ends.
    pub(super) count: Label,
    /// 4 bytes: the key of the counters, for what is counted besides the hit.
    pub(super) counter_key: Slot,
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
    pub(super) frame: Frame,
    /// Locals of the handler, or of the function whose body is being written.
    pub(super) locals: Vec<Slot>,
    /// Where the loops around what is being written go on, and where they end.
    pub(super) loops: Vec<(Label, Label)>,
    /// The function whose body is being written.
    pub(super) function: Option<Returning>,
    pub(super) recorder: Recorder,
    /// 8 bytes that count the rounds of all loops, where there are any.
    pub(super) steps: Option<Slot>,
    /// 8 bytes that count what is shown as a fault if this run comes to its end, where anything may be: from the program
    /// counter on, for of a number that it knew the verifier would follow every value.
    pub(super) faults: Option<Slot>,
    /// Where a value that cannot be read leads.
    pub(super) fault: Label,
    pub(super) lost: Label,
    /// The call that ends here, at returns.
    pub(super) call: Option<returns::Call>,
    /// Where a loop that is too long leads.
    pub(super) step_limit: Label,
    pub(super) done: Label,
    pub(super) exit: Label,
}

/// Where `return` leads, and where its value goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returning {
    pub(super) end: Label,
    pub(super) value: Option<Slot>,
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

/// Whether some statement ends the run.
pub(super) fn exits(body: &[Stmt]) -> bool {
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
    /// What of the stack is taken by the program.
    pub(super) frame: Frame,
    /// Whether the task's scratch memory is fetched (a handler that turns out to need it is written again).
    pub(super) scratch: bool,
    /// How the call is found that ends here, at returns.
    pub(super) ending: Option<Ending>,
    /// Whether the program has asked already whether a call begins or ends ([`super::sessions::begin`]).
    pub(super) asked: bool,
}

/// What compiles code of a handler that has no output.
pub(super) fn bare<'a>(env: &'a Env<'a>, asm: &'a mut Asm, rodata: &'a mut Rodata, input: &Input<'a>) -> Gen<'a> {
    let [fault, lost, step_limit, done, exit] = std::array::from_fn(|_| asm.label());
    Gen {
        env,
        asm,
        rodata,
        shared: input.shared,
        probe: input.probe,
        span: input.span,
        variant: input.variant,
        frame: input.frame,
        locals: Vec::new(),
        loops: Vec::new(),
        function: None,
        recorder: Recorder::None,
        steps: None,
        faults: None,
        fault,
        lost,
        call: None,
        step_limit,
        done,
        exit,
    }
}

/// Writes a handler behind the program's dispatch.
pub(super) fn write(env: &Env<'_>, asm: &mut Asm, rodata: &mut Rodata, input: &Input<'_>) -> Result<Written, Refused> {
    let mut it = bare(env, asm, rodata, input);
    let (fault, lost, step_limit, done, exit) = (it.fault, it.lost, it.step_limit, it.done, it.exit);
    let filtered = it.asm.label();
    let handler = &input.variant.handler;
    let reach = Reach::of(env.program, handler);
    if reach.loops {
        it.leave_stack()?;
        it.steps = Some(it.temporary()?);
    }
    it.recorder = Recorder::plan(&mut it.frame, env, handler, &reach).map_err(|_| too_large(input.span))?;
    if reach.shows_faults {
        it.faults = Some(it.temporary()?);
    }
    it.asm.at(input.span);
    if input.scratch {
        it.fetch_scratch();
    }
    if let Some(steps) = it.steps {
        it.asm.store_imm(Width::D, steps.base, steps.off, 0);
    }
    if let Some(faults) = it.faults {
        it.asm.load(Width::D, R0, CTX, PROGRAM_COUNTER);
        it.store(faults, R0);
    }
    if let Some(ending) = input.ending {
        it.find_call(ending)?;
    }
    it.locals = it.declare(&handler.locals)?;
    it.begin_record(&reach.once)?;
    if let Some(condition) = &handler.condition {
        it.branch(condition, false, filtered)?;
    }
    let limited = it.asm.label();
    it.limit(limited)?;
    it.statements(&handler.body)?;
    it.asm.at(input.span);
    it.asm.place(done);
    it.finish(false)?;
    it.asm.place(exit);
    let functions = reach.functions.iter().filter_map(|index| env.function(*index));
    if exits(&handler.body) || functions.into_iter().any(|function| exits(&function.body)) {
        it.finish(true)?;
    }
    it.asm.place(filtered);
    it.end(Category::Filtered);
    it.asm.place(fault);
    it.end(Category::ReadFaults);
    it.asm.place(step_limit);
    it.end(Category::StepLimit);
    it.asm.place(lost);
    it.end(Category::Lost);
    it.asm.place(limited);
    if env.rate.is_some() {
        it.end(Category::Limited);
    }
    if let Some(ending) = input.ending {
        it.asm.place(ending.unmatched);
        it.end(Category::Unmatched);
    }
    Ok(Written { scratch: it.frame.scratch_used() })
}

pub(super) fn too_large(span: Span) -> Refused {
    Box::new(
        Diagnostic::new(Code::E0303, span, "this handler needs more memory than a program in the kernel can have")
            .help("use fewer or shorter strings: a smaller --strlen, fewer of them in one expression, a smaller value"),
    )
}

/// A contradiction in the checked program, which the checker excludes.
pub(super) fn contradiction(span: Span, what: &str) -> Refused {
    Box::new(Diagnostic::new(Code::E0301, span, format!("the eBPF engine cannot compile this: {what}")))
}

impl Gen<'_> {
    /// From now on everything is in scratch: the verifier does not follow what is there, and so finds the same state in
    /// every round of a loop.
    pub(super) fn leave_stack(&mut self) -> Result<(), Refused> {
        self.frame.leave_stack();
        self.shared.counter_key = self.temporary()?;
        Ok(())
    }

    pub(super) fn too_large(&self, _: TooLarge) -> Refused {
        too_large(self.span)
    }

    /// A contradiction in the checked program, which the checker excludes.
    pub(super) fn contradiction(&self, span: Span, what: &str) -> Refused {
        contradiction(span, what)
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
        self.asm.alu_imm(Alu::Add, SCRATCH, SCRATCH_BIAS);
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
            self.count_faults();
            self.end(Category::Records);
            self.asm.place(lost);
            self.end(Category::Lost);
        }
        self.asm.place(silent);
        if exit {
            self.asm.map_value(R1, SCALARS, 0);
            self.asm.store_imm(Width::D, R1, 0, 1);
        }
        self.count_faults();
        self.end(Category::Aggregated);
        Ok(())
    }

    /// Counts the hit and ends the program.
    pub(super) fn end(&mut self, category: Category) {
        self.asm.imm(SITE, i64::from(self.probe.0));
        self.asm.imm(CONTAINER, category as i64 * 8);
        self.asm.jump(self.shared.count);
    }

    /// Something is shown as a fault, if the run comes to its end; clobbers r0–r5.
    pub(super) fn fault_shown(&mut self) {
        match self.faults {
            Some(faults) => {
                self.load(R1, faults);
                self.asm.alu_imm(Alu::Add, R1, 1);
                self.store(faults, R1);
            }
            None => self.bump(Category::FaultsShown),
        }
    }

    /// Counts what is shown as faults.
    fn count_faults(&mut self) {
        let Some(faults) = self.faults else { return };
        let none = self.asm.label();
        self.load(R1, faults);
        self.asm.load(Width::D, R2, CTX, PROGRAM_COUNTER);
        self.asm.jump_if(Jump::Eq, R1, R2, none);
        self.count(Category::FaultsShown, |it| {
            it.load(R1, faults);
            it.asm.load(Width::D, R2, CTX, PROGRAM_COUNTER);
            it.asm.alu(Alu::Sub, R1, R2);
        });
        self.asm.place(none);
    }

    /// Counts something besides the hit; clobbers r0–r5.
    pub(super) fn bump(&mut self, category: Category) {
        self.count(category, |it| it.asm.imm(R1, 1));
    }

    /// Counts as much as `by` leaves in r1, which may touch r2 besides; clobbers r0–r5.
    fn count(&mut self, category: Category, by: impl FnOnce(&mut Self)) {
        let absent = self.asm.label();
        let key = self.shared.counter_key;
        self.asm.imm(R1, i64::from(self.probe.0));
        self.asm.store(Width::W, key.base, key.off, R1);
        self.asm.map(R1, COUNTERS);
        self.address(R2, key);
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, absent);
        by(self);
        self.asm.atomic(ATOMIC_ADD, R0, category as i16 * 8, R1);
        self.asm.place(absent);
    }
}
