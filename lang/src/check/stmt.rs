//! Owns statements: blocks, conditions, calls for their effect.

use super::{Checker, Scope};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::Stmt;
use crate::resolve::unsupported;
use crate::syntax::ast::{self, ExprKind, StmtKind};

impl Checker<'_> {
    /// Checks and lowers the statements of a block, in order.
    pub(super) fn block(&mut self, block: &ast::Block, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        for statement in &block.statements {
            self.statement(statement, scope, out);
        }
    }

    fn statement(&mut self, statement: &ast::Stmt, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        let later = |what: &str| unsupported(statement.span, what);
        match &statement.kind {
            StmtKind::Expr(expr) => self.expression_statement(expr, scope, out),
            StmtKind::Block(block) => self.block(block, scope, out),
            StmtKind::If { condition, then, otherwise } => {
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
            StmtKind::Next => out.push(Stmt::Next),
            StmtKind::Broken => {}
            StmtKind::Aggregate { .. } => self.report(later("`<<<`")),
            StmtKind::While { .. } => self.report(later("`while`")),
            StmtKind::For { .. } => self.report(later("`for`")),
            StmtKind::Foreach(_) => self.report(later("`foreach`")),
            StmtKind::Delete(_) => self.report(later("`delete`")),
            StmtKind::Emit(_) => self.report(later("`emit`")),
            StmtKind::Break | StmtKind::Continue => self.report(Diagnostic::new(
                Code::E0206,
                statement.span,
                "there is no loop here to leave or go on with",
            )),
            StmtKind::Return(_) => self.report(
                Diagnostic::new(Code::E0206, statement.span, "`return` belongs to a function of the program")
                    .help("`next` ends a handler"),
            ),
        }
    }

    fn expression_statement(&mut self, expr: &ast::Expr, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        if let Some(effect) = self.effect(expr, scope) {
            out.extend(effect);
            return;
        }
        let ExprKind::Call { name, arguments } = &expr.kind else {
            // Statements without effect are the parser's to report; what remains is checked for its names.
            self.expr(expr, scope);
            return;
        };
        match name.name.as_str() {
            "printf" => out.extend(self.printf(arguments, expr.span, scope).map(Stmt::Print)),
            "print" => out.extend(self.print(arguments, false, expr.span, scope).map(Stmt::Print)),
            "println" => out.extend(self.print(arguments, true, expr.span, scope).map(Stmt::Print)),
            "exit" => match arguments.first() {
                None => out.push(Stmt::Exit),
                Some(first) => {
                    self.report(Diagnostic::new(Code::E0203, first.span, "`exit()` takes no argument"));
                }
            },
            "next" => out.push(Stmt::Next),
            _ => {
                if self.expr(expr, scope).is_some() {
                    self.report(
                        Diagnostic::new(Code::E0006, expr.span, format!("the value of `{}()` is not used", name.name))
                            .help(format!("print it: println({}())", name.name)),
                    );
                }
            }
        }
    }
}
