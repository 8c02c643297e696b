//! Owns stacks in handlers of probes: where they may stand, what the kernel keeps of one, and maps that have stacks in
//! their keys. A stack is unwound and named when its record is read: no handler computes with one. A map keyed by
//! stacks is held by the runner, and what a handler does to it is part of the run's record, in order, like an output.

use std::collections::HashSet;

use super::expr::{PROGRAM_COUNTER, register_offset};
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::{u32_at, u64_at};
use super::record::{Field, Malformed};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{
    Constant, Context, Expr, ExprKind, GlobalIndex, GlobalKind, Handler, Keep, Piece, Print, PrintKind, ProbeKind,
    Program, Show, Shown, Spec, Stmt, Ty, UpdateOp, visit_statements,
};
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

fn is_stack(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Context(Context::Stack(_) | Context::Caller))
}

fn pieces(list: &[Piece], shown: &mut HashSet<*const Expr>) {
    for piece in list {
        if let Piece::Value(one) = piece {
            value(&one.value, shown);
        }
    }
}

/// What of a printed value is only shown.
fn value(one: &Expr, shown: &mut HashSet<*const Expr>) {
    match &one.kind {
        ExprKind::Format(inner) => pieces(inner, shown),
        _ if is_stack(one) => {
            shown.insert(std::ptr::from_ref(one));
        }
        _ => {}
    }
}

/// What a statement does to a map, where nothing uses what it gives.
fn change(stmt: &Stmt) -> Option<(GlobalIndex, &[Expr], Keep, &Expr)> {
    match stmt {
        Stmt::Effect(Expr { kind: ExprKind::Update { global, keys, op, value, .. }, .. }) => {
            let keep = match op {
                UpdateOp::Set => Keep::Set(*global),
                UpdateOp::Add => Keep::Add(*global),
            };
            Some((*global, keys, keep, value))
        }
        Stmt::Aggregate { global, keys, value, .. } => Some((*global, keys, Keep::Feed(*global), value)),
        _ => None,
    }
}

/// The bodies that run in the kernel: of handlers, and of the functions of the program.
fn bodies(program: &Program) -> impl Iterator<Item = &Vec<Stmt>> {
    let handlers = super::handlers(program).filter(|(in_kernel, _)| *in_kernel).map(|(_, handler)| &handler.body);
    handlers.chain(super::reached(program).into_iter().map(|function| &function.body))
}

/// The maps that some handler of a probe keys by a stack, itself or a part of it.
fn kept(program: &Program) -> HashSet<GlobalIndex> {
    let mut kept = HashSet::new();
    for body in bodies(program) {
        visit_statements(body, &mut |stmt| {
            if let Some((global, keys, ..)) = change(stmt)
                && keys.iter().any(is_stack)
            {
                kept.insert(global);
            }
        });
    }
    kept
}

/// What of a program's stacks this engine cannot do; nothing where it has none.
pub(super) fn refused(program: &Program) -> Vec<Diagnostic> {
    let kept = kept(program);
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut report = |span: Span, message: String, help: &str| {
        if !problems.iter().any(|known| known.primary.span == span) {
            problems.push(Diagnostic::new(Code::E0302, span, message).help(help));
        }
    };
    let name = |global: GlobalIndex| program.globals.get(global.0 as usize).map_or("", |global| global.name.as_str());
    let mut look = |one: &Expr, shown: &HashSet<*const Expr>| match &one.kind {
        _ if is_stack(one) && !shown.contains(&std::ptr::from_ref(one)) => report(
            one.span,
            "the embedded engine unwinds a stack when it is shown: a handler cannot compute with it".to_owned(),
            "print it as it is, or make it a part of a map's key: counts[caller()]++",
        ),
        ExprKind::MapGet(global, _)
        | ExprKind::MapHas(global, _)
        | ExprKind::Stat { global, .. }
        | ExprKind::Update { global, .. }
            if kept.contains(global) && !shown.contains(&std::ptr::from_ref(one)) =>
        {
            report(
                one.span,
                format!("`{}` has stacks in its keys: a probe's handler can change it, and not read it", name(*global)),
                "read it in `begin`, `end` or `every`",
            );
        }
        _ => {}
    };
    for body in bodies(program) {
        let mut deleted: Vec<(Span, GlobalIndex)> = Vec::new();
        visit_statements(body, &mut |stmt| {
            let mut shown = HashSet::new();
            if let Stmt::Print(print) = stmt {
                pieces(&print.pieces, &mut shown);
            }
            if let Some((global, keys, ..)) = change(stmt) {
                if let Stmt::Effect(effect) = stmt {
                    shown.insert(std::ptr::from_ref(effect));
                }
                if kept.contains(&global) {
                    shown.extend(keys.iter().filter(|key| is_stack(key)).map(std::ptr::from_ref));
                }
            }
            if let Stmt::Delete { global, span, .. } = stmt
                && kept.contains(global)
            {
                deleted.push((*span, *global));
            }
            stmt.operands(&mut |operand| operand.visit(&mut |one| look(one, &shown)));
        });
        for (span, global) in deleted {
            look(&Expr { ty: Ty::Int, kind: ExprKind::MapHas(global, Vec::new()), span }, &HashSet::new());
        }
    }
    let conditions = super::handlers(program).filter(|(in_kernel, _)| *in_kernel);
    let conditions = conditions.filter_map(|(_, handler)| handler.condition.as_ref()).chain(super::saved(program));
    conditions.for_each(|condition| condition.visit(&mut |one| look(one, &HashSet::new())));
    problems
}

/// The program as it is compiled: what changes a map that is keyed by stacks is an output, and the map no map of the
/// kernel's. `None` where there is no such map.
pub(super) fn outside(program: &Program) -> Option<Program> {
    let kept = kept(program);
    if kept.is_empty() {
        return None;
    }
    let mut program = program.clone();
    for (index, global) in (0u32..).map(GlobalIndex).zip(&mut program.globals) {
        if kept.contains(&index) {
            global.kind = GlobalKind::Scalar { ty: Ty::Int, initial: Constant::Int(0) };
        }
    }
    let mut handlers: Vec<&mut Handler> = Vec::new();
    for probe in &mut program.probes {
        match &mut probe.kind {
            ProbeKind::Sites(variants) => handlers.extend(variants.iter_mut().map(|variant| &mut variant.handler)),
            ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => {}
        }
    }
    handlers.into_iter().for_each(|handler| rewrite(&mut handler.body, &kept));
    program.functions.iter_mut().for_each(|function| rewrite(&mut function.body, &kept));
    Some(program)
}

fn rewrite(body: &mut [Stmt], kept: &HashSet<GlobalIndex>) {
    for stmt in body {
        let output = change(stmt).filter(|(global, ..)| kept.contains(global)).map(|(_, keys, keep, value)| Print {
            kind: PrintKind::Keep(keep),
            pieces: keys.iter().chain([value]).map(shown).collect(),
            span: value.span,
        });
        if let Some(output) = output {
            *stmt = Stmt::Print(output);
        }
        match stmt {
            Stmt::If { then, otherwise, .. } => {
                rewrite(then, kept);
                rewrite(otherwise, kept);
            }
            Stmt::While { body, step, .. } => {
                rewrite(body, kept);
                rewrite(step, kept);
            }
            Stmt::Foreach(foreach) => rewrite(&mut foreach.body, kept),
            Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. }
            | Stmt::Print(_)
            | Stmt::Next
            | Stmt::Exit => {}
        }
    }
}

fn shown(value: &Expr) -> Piece {
    let show = match value.ty {
        Ty::Int => Show::Signed,
        Ty::Str => Show::Text,
    };
    Piece::Value(Shown { value: value.clone(), show, spec: Spec::default(), fault_is_shown: false })
}

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
