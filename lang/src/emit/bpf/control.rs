//! Owns statements: assignments, branches, loops, and calls of the program's functions, which are written out at each
//! call. A loop's rounds are the kernel's to follow (`may_goto`, Linux 6.9) and the run's to count.

use super::frame::Slot;
use super::handler::{Gen, Refused, Returning};
use super::insn::*;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, FunctionIndex, Local, LocalIndex, Stmt, Ty};
use crate::source::Span;

/// The most instructions of a program before it is given up: the kernel's verifier looks at no more than a million.
const MOST_INSTRUCTIONS: usize = 500_000;

impl Gen<'_> {
    /// Makes locals, 0 and `""`.
    pub(super) fn declare(&mut self, locals: &[Local]) -> Result<Vec<Slot>, Refused> {
        locals.iter().map(|local| self.variable(local.ty)).collect()
    }

    fn variable(&mut self, ty: Ty) -> Result<Slot, Refused> {
        match ty {
            Ty::Int => {
                let slot = self.temporary()?;
                self.asm.store_imm(Width::D, slot.base, slot.off, 0);
                Ok(slot)
            }
            Ty::Str => {
                let slot = self.text_slot()?;
                self.zero_text(slot);
                Ok(slot)
            }
        }
    }

    /// Where a local is.
    pub(super) fn local(&self, local: LocalIndex, span: Span) -> Result<Slot, Refused> {
        let slot = self.locals.get(local.0 as usize).copied();
        slot.ok_or_else(|| self.contradiction(span, "a local that is not there"))
    }

    pub(super) fn statements(&mut self, body: &[Stmt]) -> Result<(), Refused> {
        body.iter().try_for_each(|stmt| self.statement(stmt))
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<(), Refused> {
        match stmt {
            Stmt::SetLocal(local, value) => {
                self.asm.at(value.span);
                let slot = self.local(*local, value.span)?;
                self.assign(slot, value)
            }
            Stmt::Effect(value) => {
                self.asm.at(value.span);
                self.effect(value)
            }
            Stmt::If { condition, then, otherwise } => {
                self.asm.at(condition.span);
                let (no, end) = (self.asm.label(), self.asm.label());
                // Before the ways part: each goes on from there.
                self.forget_offset();
                self.branch(condition, false, no)?;
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
            Stmt::While { condition, body, step, span } => self.repeat(condition, body, step, *span),
            Stmt::Break | Stmt::Continue => {
                let Some((next, end)) = self.loops.last().copied() else {
                    return Err(self.contradiction(self.span, "`break` or `continue` outside of a loop"));
                };
                self.forget_offset();
                self.asm.jump(if matches!(stmt, Stmt::Break) { end } else { next });
                Ok(())
            }
            Stmt::Return(value) => {
                let Some(returning) = self.function else {
                    return Err(self.contradiction(self.span, "`return` outside of a function"));
                };
                match (value, returning.value) {
                    (Some(value), Some(slot)) => self.assign(slot, value)?,
                    (Some(value), None) => self.effect(value)?,
                    (None, _) => {}
                }
                self.forget_offset();
                self.asm.jump(returning.end);
                Ok(())
            }
            Stmt::Print(print) => {
                self.asm.at(print.span);
                self.print(print)
            }
            Stmt::Delete { global, keys, span } => {
                self.asm.at(*span);
                self.delete(*global, keys, *span)
            }
            Stmt::Aggregate { global, keys, value, span } => {
                self.asm.at(*span);
                self.aggregate(*global, keys, value, *span)
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
            Stmt::Foreach(foreach) => Err(self.contradiction(foreach.span, "`foreach` at a site")),
        }
    }

    /// Computes a value into a variable that may be part of it.
    pub(super) fn assign(&mut self, slot: Slot, value: &Expr) -> Result<(), Refused> {
        match value.ty {
            Ty::Int => {
                self.int(value)?;
                self.store(slot, R0);
            }
            Ty::Str => {
                let mark = self.frame;
                let computed = self.text_slot()?;
                self.text(value, computed)?;
                self.copy_slot(slot, computed);
                self.frame.release(mark);
            }
        }
        Ok(())
    }

    fn repeat(&mut self, condition: &Expr, body: &[Stmt], step: &[Stmt], span: Span) -> Result<(), Refused> {
        let Some(steps) = self.steps else {
            return Err(self.contradiction(span, "a loop that was not counted"));
        };
        let (head, next, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.forget_offset();
        self.asm.at(span);
        self.loop_head(head);
        self.asm.at(condition.span);
        self.branch(condition, false, end)?;
        self.load(R0, steps);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.jump_if_imm(Jump::Gt, R0, self.env.max_steps.cast_signed(), self.step_limit);
        self.store(steps, R0);
        self.loops.push((next, end));
        let written = self.statements(body);
        self.loops.pop();
        written?;
        self.forget_offset();
        self.asm.place(next);
        self.statements(step)?;
        self.forget_offset();
        self.asm.jump(head);
        self.asm.place(end);
        Ok(())
    }

    /// Places a label to which a loop jumps back. All that rounds leave in r0–r5 is taken away there, so that the
    /// verifier finds the same state in each; what a round is to find again is in scratch memory.
    pub(super) fn loop_head(&mut self, head: super::asm::Label) {
        self.asm.place(head);
        for register in [R0, R1, R2, R3, R4, R5] {
            self.asm.imm(register, 0);
        }
        self.asm.may_goto(self.step_limit);
    }

    /// Writes a function's body with its arguments; a number is in r0 then, a string in `dst`.
    pub(super) fn call_function(
        &mut self,
        index: FunctionIndex,
        arguments: &[Expr],
        dst: Option<Slot>,
        span: Span,
    ) -> Result<(), Refused> {
        let Some(function) = self.env.function(index) else {
            return Err(self.contradiction(span, "a function that is not there"));
        };
        if self.asm.length() > MOST_INSTRUCTIONS {
            return Err(Box::new(
                Diagnostic::new(Code::E0303, span, format!("`{}` makes this handler too large", function.name))
                    .note("the embedded engine writes a function out at each of its calls")
                    .help("call it at fewer places, or in a loop"),
            ));
        }
        let mark = self.frame;
        let mut locals = Vec::with_capacity(function.locals.len());
        for (argument, local) in arguments.iter().zip(&function.locals) {
            let slot = match local.ty {
                Ty::Int => self.temporary()?,
                Ty::Str => self.text_slot()?,
            };
            match local.ty {
                Ty::Int => {
                    self.int(argument)?;
                    self.store(slot, R0);
                }
                Ty::Str => self.text(argument, slot)?,
            }
            locals.push(slot);
        }
        let rest = function.locals.get(locals.len()..).unwrap_or_default();
        locals.extend(self.declare(rest)?);
        let value = match function.returns {
            Some(ty) => Some(self.variable(ty)?),
            None => None,
        };
        let end = self.asm.label();
        let outer = (
            std::mem::replace(&mut self.locals, locals),
            std::mem::take(&mut self.loops),
            self.function.replace(Returning { end, value }),
        );
        let written = self.statements(&function.body);
        (self.locals, self.loops, self.function) = outer;
        written?;
        self.asm.place(end);
        self.asm.at(span);
        match (value, function.returns, dst) {
            (Some(value), Some(Ty::Int), _) => self.load(R0, value),
            (Some(value), Some(Ty::Str), Some(dst)) => self.copy_slot(dst, value),
            (Some(_), Some(Ty::Str), None) => {}
            (_, None, _) | (None, _, _) => self.asm.imm(R0, 0),
        }
        self.frame.release(mark);
        Ok(())
    }
}
