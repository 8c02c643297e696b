//! Owns what a handler reaches through the functions it calls: which those are, whether loops run, and which outputs.

use super::env::Env;
use crate::ir::{self, Expr, ExprKind, FunctionIndex, Handler, Library, Piece, Print, Program, Stmt};

/// What a handler does, functions that it calls included.
#[derive(Debug, Default)]
pub(super) struct Reach<'a> {
    /// Functions in the order they are first called.
    pub(super) functions: Vec<FunctionIndex>,
    /// Whether a loop runs, one of the program or one that a function of the library needs.
    pub(super) loops: bool,
    /// Whether a function may end the handler (`next`, `exit`).
    pub(super) ends: bool,
    /// Whether a value may be shown as a fault.
    pub(super) shows_faults: bool,
    /// Outputs that run at most once, each in its place.
    pub(super) once: Vec<&'a Print>,
    /// Outputs of loops and functions, which may run any number of times.
    pub(super) repeated: Vec<&'a Print>,
}

impl<'a> Reach<'a> {
    /// What a handler reaches.
    pub(super) fn of(program: &'a Program, handler: &'a Handler) -> Reach<'a> {
        let mut reach = Reach::default();
        handler.condition.iter().for_each(|condition| condition.visit(&mut |one| reach.expr(one)));
        reach.body(&handler.body, false);
        reach.follow_functions(program);
        reach
    }

    /// What computing a value reaches.
    pub(super) fn of_value(program: &'a Program, value: &'a Expr) -> Reach<'a> {
        let mut reach = Reach::default();
        value.visit(&mut |one| reach.expr(one));
        reach.follow_functions(program);
        reach
    }

    fn follow_functions(&mut self, program: &'a Program) {
        let mut next = 0;
        while let Some(index) = self.functions.get(next).copied() {
            next += 1;
            if let Some(function) = program.functions.get(index.0 as usize) {
                self.body(&function.body, true);
                ir::visit_statements(&function.body, &mut |stmt| self.ends |= matches!(stmt, Stmt::Next | Stmt::Exit));
            }
        }
    }

    fn body(&mut self, body: &'a [Stmt], repeated: bool) {
        for stmt in body {
            stmt.operands(&mut |one| one.visit(&mut |inner| self.expr(inner)));
            if let Stmt::Print(print) = stmt {
                self.shows_faults |= print.pieces.iter().any(may_be_a_fault);
            }
            let again = match stmt {
                Stmt::While { .. } => {
                    self.loops = true;
                    true
                }
                Stmt::Print(print) if repeated => {
                    self.repeated.push(print);
                    true
                }
                Stmt::Print(print) => {
                    self.once.push(print);
                    false
                }
                Stmt::SetLocal(..)
                | Stmt::Effect(_)
                | Stmt::If { .. }
                | Stmt::Foreach(_)
                | Stmt::Break
                | Stmt::Continue
                | Stmt::Return(_)
                | Stmt::Delete { .. }
                | Stmt::Aggregate { .. }
                | Stmt::Next
                | Stmt::Exit => repeated,
            };
            stmt.blocks().into_iter().for_each(|block| self.body(block, again));
        }
    }

    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Call(function, _) = &expr.kind
            && !self.functions.contains(function)
        {
            self.functions.push(*function);
        }
        if let ExprKind::Format(pieces) = &expr.kind {
            self.shows_faults |= pieces.iter().any(may_be_a_fault);
        }
        self.loops |=
            matches!(&expr.kind, ExprKind::Library(Library::Strtol | Library::IsInStr, _) | ExprKind::Stat { .. });
    }
}

/// Whether something of a piece may be shown as a fault.
fn may_be_a_fault(piece: &Piece) -> bool {
    let mut may = false;
    piece.operands(&mut |value| may |= value.can_fault());
    may
}

/// The outputs of a list of statements, in the order of the source.
pub(super) fn prints(body: &[Stmt]) -> Vec<&Print> {
    let mut out = Vec::new();
    ir::visit_statements(body, &mut |stmt| {
        if let Stmt::Print(print) = stmt {
            out.push(print);
        }
    });
    out
}

impl Env<'_> {
    /// Whether a function has outputs, itself or through others.
    pub(super) fn outputs(&self, function: FunctionIndex) -> bool {
        let Some(function) = self.function(function) else { return false };
        let mut any = !prints(&function.body).is_empty();
        ir::visit_expressions(&function.body, &mut |one| {
            if let ExprKind::Call(inner, _) = &one.kind {
                any = any || self.outputs(*inner);
            }
        });
        any
    }
}
