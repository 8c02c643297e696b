//! Owns statements: blocks, conditions, `while` and `for`, calls for their effect.

use super::lints;
use super::scope::{Body, Scope};
use super::{Checker, library};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, ExprKind as Kind, Stmt};
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, ExprKind, StmtKind};

impl Checker<'_> {
    /// Checks and lowers the statements of a block, in order.
    pub(super) fn block(&mut self, block: &ast::Block, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        let start = out.len();
        let mut said = false;
        for statement in &block.statements {
            if !said && out.get(start..).and_then(<[Stmt]>::last).is_some_and(leaves) {
                said = true;
                self.report(Diagnostic::new(Code::W0011, statement.span, "this is never reached"));
            }
            self.statement(statement, scope, out);
        }
    }

    pub(super) fn statement(&mut self, statement: &ast::Stmt, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        match &statement.kind {
            StmtKind::Expr(expr) => self.expression_statement(expr, scope, out),
            StmtKind::Block(block) => self.block(block, scope, out),
            StmtKind::If { condition, then, otherwise } => {
                // What `@defined` decides leaves the other branch out, names that do not exist included.
                match self.decided(condition, scope) {
                    Some(true) => return self.statement(then, scope, out),
                    Some(false) => {
                        if let Some(otherwise) = otherwise {
                            self.statement(otherwise, scope, out);
                        }
                        return;
                    }
                    None => {}
                }
                let condition = self.condition(condition, scope);
                let (mut yes, mut no) = (Vec::new(), Vec::new());
                self.statement(then, scope, &mut yes);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise, scope, &mut no);
                }
                if let Some(condition) = condition {
                    out.push(Stmt::If { condition, then: yes, otherwise: no });
                }
            }
            StmtKind::While { condition, body } => {
                self.looping(Some(condition), body, None, statement.span, scope, out);
            }
            StmtKind::For { start, condition, step, body } => {
                start.iter().for_each(|start| self.expression_statement(start, scope, out));
                self.looping(condition.as_ref(), body, step.as_ref(), statement.span, scope, out);
            }
            StmtKind::Foreach(foreach) => self.foreach(foreach, statement.span, scope, out),
            StmtKind::Aggregate { target, value } => out.extend(self.feed(target, value, statement.span, scope)),
            StmtKind::Delete(target) => out.extend(self.delete(target, statement.span, scope)),
            StmtKind::Emit(fields) => out.extend(self.emit(fields, statement.span, scope)),
            StmtKind::Next => self.next(statement.span, scope, out),
            StmtKind::Break | StmtKind::Continue if scope.loops.get() == 0 => self.report(Diagnostic::new(
                Code::E0206,
                statement.span,
                "there is no loop here to leave or go on with",
            )),
            StmtKind::Break => out.push(Stmt::Break),
            StmtKind::Continue => out.push(Stmt::Continue),
            StmtKind::Return(value) => self.return_statement(value.as_ref(), statement.span, scope, out),
            StmtKind::Broken => {}
        }
    }

    fn next(&mut self, span: Span, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        match scope.body {
            Body::Function(..) => self.report(
                Diagnostic::new(Code::E0206, span, "`next` ends a handler; this is a function")
                    .help("`return` ends a function"),
            ),
            Body::Constant | Body::Host | Body::Site | Body::Unresolved => out.push(Stmt::Next),
        }
    }

    /// `while` and `for`.
    fn looping(
        &mut self,
        condition: Option<&ast::Expr>,
        body: &ast::Stmt,
        step: Option<&ast::Expr>,
        span: Span,
        scope: &Scope<'_>,
        out: &mut Vec<Stmt>,
    ) {
        let checked = match condition {
            Some(condition) => self.int(condition, scope),
            None => Some(Expr::int(1, span)),
        };
        let mut rounds = Vec::new();
        scope.loops.set(scope.loops.get() + 1);
        self.statement(body, scope, &mut rounds);
        scope.loops.set(scope.loops.get().saturating_sub(1));
        let mut steps = Vec::new();
        step.into_iter().for_each(|step| self.expression_statement(step, scope, &mut steps));
        let Some(checked) = checked else { return };
        let place = condition.map_or(span, |condition| condition.span);
        match checked.kind {
            Kind::Int(0) => {
                self.report(Diagnostic::new(Code::W0002, place, "this condition is always false: the loop never runs"));
            }
            Kind::Int(_) if !lints::ends(&rounds, true) => self.report(
                Diagnostic::new(Code::W0002, place, "this loop never ends")
                    .note("after `--max-steps` rounds the run of the handler is stopped")
                    .help("leave it with `break`"),
            ),
            _ => {}
        }
        out.push(Stmt::While { condition: checked, body: rounds, step: steps, span });
    }

    /// An expression whose value nobody takes.
    pub(super) fn expression_statement(&mut self, expr: &ast::Expr, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        if let Some(effect) = self.effect(expr, scope) {
            out.extend(effect);
            return;
        }
        match &expr.kind {
            ExprKind::Paren(inner) => self.expression_statement(inner, scope, out),
            ExprKind::Call { name, arguments } => self.call_statement(name, arguments, expr.span, scope, out),
            // What decides which effect comes is a condition as that of `if`.
            ExprKind::Ternary { condition, then, otherwise } => {
                let condition = self.condition(condition, scope);
                let (mut yes, mut no) = (Vec::new(), Vec::new());
                self.expression_statement(then, scope, &mut yes);
                self.expression_statement(otherwise, scope, &mut no);
                out.extend(condition.map(|condition| Stmt::If { condition, then: yes, otherwise: no }));
            }
            ExprKind::Binary { op: op @ (BinaryOp::LogicAnd | BinaryOp::LogicOr), left, right } => {
                let condition = self.condition(left, scope);
                let mut inner = Vec::new();
                self.expression_statement(right, scope, &mut inner);
                let (then, otherwise) =
                    if *op == BinaryOp::LogicAnd { (inner, Vec::new()) } else { (Vec::new(), inner) };
                out.extend(condition.map(|condition| Stmt::If { condition, then, otherwise }));
            }
            // Statements without effect are the parser's to report; what remains is checked for its names.
            _ => out.extend(self.expr(expr, scope).map(|typed| Stmt::Effect(typed.value))),
        }
    }

    fn call_statement(
        &mut self,
        name: &ast::Ident,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
        out: &mut Vec<Stmt>,
    ) {
        if let Some(index) = self.function_index(&name.name) {
            out.extend(self.function_call(index, arguments, span, scope).map(|(call, _)| Stmt::Effect(call.value)));
            return;
        }
        match name.name.as_str() {
            "printf" => out.extend(self.printf(arguments, span, scope).map(Stmt::Print)),
            "print" => out.extend(self.print(arguments, false, span, scope).map(Stmt::Print)),
            "println" => out.extend(self.print(arguments, true, span, scope).map(Stmt::Print)),
            "error" => self.error(arguments, span, scope, out),
            "exit" => match arguments.first() {
                None => out.push(Stmt::Exit),
                Some(first) => {
                    self.report(Diagnostic::new(Code::E0203, first.span, "`exit()` takes no argument"));
                }
            },
            "next" => self.next(span, scope, out),
            word => {
                let known = library::find(word).is_some();
                if self.call(name, arguments, span, scope).is_some() && known {
                    self.report(
                        Diagnostic::new(Code::E0006, span, format!("the value of `{word}()` is not used"))
                            .help(format!("print it: println({word}(…))")),
                    );
                }
            }
        }
    }
}

/// Whether nothing behind a statement runs.
pub(super) fn leaves(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Next | Stmt::Exit | Stmt::Return(_) | Stmt::Break | Stmt::Continue => true,
        Stmt::If { then, otherwise, .. } => then.iter().any(leaves) && otherwise.iter().any(leaves),
        Stmt::While { condition, body, .. } => {
            matches!(condition.kind, Kind::Int(number) if number != 0) && !lints::breaks(body)
        }
        Stmt::SetLocal(..)
        | Stmt::Effect(_)
        | Stmt::Foreach(_)
        | Stmt::Delete { .. }
        | Stmt::Aggregate { .. }
        | Stmt::Print(_) => false,
    }
}
