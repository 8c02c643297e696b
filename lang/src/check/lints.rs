//! Owns warnings about how a program is written: what is never used or read, updates that lose others, loops that do
//! not end.

use std::collections::HashSet;

use super::infer::Unread;
use super::scope::{Body, Scope};
use super::{Checker, walk};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, ExprKind as Kind, Stmt};
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, ExprKind, File, ItemKind};

impl Checker<'_> {
    /// Warns of what nothing uses. A text that could not be read whole may use it where it is broken, and what is
    /// imported may be meant for other programs.
    pub(super) fn unused(&mut self, files: &[File], used: &HashSet<String>) {
        if self.incomplete {
            return;
        }
        let own = |span: Span| files.iter().any(|file| file.source == span.source && !file.imported);
        let globals = self.globals.iter().filter(|global| !global.read && !global.written && own(global.span));
        let globals: Vec<(String, Span)> = globals.map(|global| (global.name.clone(), global.span)).collect();
        for (name, span) in globals {
            let message = format!("global `{name}` is never used");
            self.report(Diagnostic::new(Code::W0001, span, message).help("take it out"));
        }
        for item in files.iter().filter(|file| !file.imported).flat_map(|file| &file.items) {
            let (name, what) = match &item.kind {
                ItemKind::Const { name, .. } => (name, "constant"),
                ItemKind::Function(function) => (&function.name, "function"),
                ItemKind::Probe(_) | ItemKind::Global(_) | ItemKind::Import(_) | ItemKind::Broken => continue,
            };
            if !used.contains(&name.name) {
                let message = format!("{what} `{}` is never used", name.name);
                self.report(Diagnostic::new(Code::W0012, name.span, message).help("take it out"));
            }
        }
        let unread = self.locals.values().flat_map(|locals| &locals.unread);
        let unread = unread.filter(|(name, span, _)| own(*span) && !name.starts_with('_'));
        let mut unread: Vec<(String, Span, Unread)> = unread.cloned().collect();
        unread.sort_by_key(|(_, span, _)| *span);
        for (name, span, what) in unread {
            self.report(match what {
                Unread::Parameter => Diagnostic::new(Code::W0012, span, format!("parameter `{name}` is never used"))
                    .help(format!("take it out, or call it `_{name}`")),
                Unread::Local => {
                    Diagnostic::new(Code::W0013, span, format!("`{name}` is assigned here and never read"))
                        .note("it is a local: it ends with the run of the handler")
                        .help(format!("to keep it, declare `global {name}`; otherwise take it out"))
                }
            });
        }
    }

    /// Warns of an assignment at a probe that reads what it writes: another cpu may write between.
    pub(super) fn racy(
        &mut self,
        target: &ast::Expr,
        op: Option<BinaryOp>,
        value: &ast::Expr,
        span: Span,
        scope: &Scope<'_>,
    ) {
        let (name, keys) = match &walk::bare(target).kind {
            ExprKind::Name(name) => (name, &[] as &[ast::Expr]),
            ExprKind::Index { base, indices } => match &base.kind {
                ExprKind::Name(name) => (name, indices.as_slice()),
                _ => return,
            },
            _ => return,
        };
        let mut own = false;
        for key in keys {
            walk::expression(key, &mut |expr| {
                own |=
                    matches!(&expr.kind, ExprKind::Call { name, .. } if matches!(name.name.as_str(), "tid" | "ns_tid"));
            });
        }
        let mut reads = op.is_some();
        walk::expression(value, &mut |expr| reads |= matches!(&expr.kind, ExprKind::Name(read) if read == name));
        // What belongs to one thread is written by no other.
        if own || !reads {
            return;
        }
        let written = self.sources.slice(target.span);
        let problem =
            Diagnostic::new(Code::W0014, span, format!("updates of `{name}` by several cpus at once are lost"))
                .note("it is read, then written: what another cpu writes between is overwritten");
        let problem = match sum(name, value) {
            Some((sign, by)) if op.is_none() => {
                let by = self.sources.slice(by.span);
                problem.help(format!("this loses nothing: {written} {sign}= {by}"))
            }
            _ => problem.help("`+=`, `-=`, `++`, `--` and `<<<` lose nothing"),
        };
        match scope.body {
            Body::Site | Body::Unresolved => self.report(problem),
            Body::Function(index, _) => {
                if let Some(needs) = self.needs.get_mut(index.0 as usize) {
                    needs.racy.push(problem);
                }
            }
            Body::Constant | Body::Host => {}
        }
    }
}

/// Whether a condition holds each time or never; `None` where that depends.
pub(super) fn always(condition: &Expr) -> Option<bool> {
    match &condition.kind {
        Kind::Int(number) => Some(*number != 0),
        Kind::Logic { and, left, right } => {
            let (left, right) = (always(left), always(right));
            let decides = !*and;
            if left == Some(decides) || right == Some(decides) {
                Some(decides)
            } else {
                left.zip(right).map(|_| !decides)
            }
        }
        _ => None,
    }
}

/// What is added to or taken from a global's own value: `x + e`, `e + x`, `x - e`.
fn sum<'e>(name: &str, value: &'e ast::Expr) -> Option<(&'static str, &'e ast::Expr)> {
    let ExprKind::Binary { op, left, right } = &walk::bare(value).kind else { return None };
    let is_it = |expr: &ast::Expr| match &walk::bare(expr).kind {
        ExprKind::Name(read) => read == name,
        ExprKind::Index { base, .. } => matches!(&base.kind, ExprKind::Name(read) if read == name),
        _ => false,
    };
    match op {
        BinaryOp::Add if is_it(left) => Some(("+", right)),
        BinaryOp::Add if is_it(right) => Some(("+", left)),
        BinaryOp::Sub if is_it(left) => Some(("-", right)),
        _ => None,
    }
}

/// Whether some statement leaves the loop whose body this is (`own`), or the handler or function.
pub(super) fn ends(body: &[Stmt], own: bool) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::Break => own,
        Stmt::Return(_) | Stmt::Next | Stmt::Exit => true,
        Stmt::If { then, otherwise, .. } => ends(then, own) || ends(otherwise, own),
        Stmt::While { body, .. } => ends(body, false),
        Stmt::Foreach(foreach) => ends(&foreach.body, false),
        Stmt::SetLocal(..)
        | Stmt::Effect(_)
        | Stmt::Continue
        | Stmt::Delete { .. }
        | Stmt::Aggregate { .. }
        | Stmt::Print(_) => false,
    })
}

/// Whether some statement is a `break` of the loop whose body this is.
pub(super) fn breaks(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::Break => true,
        Stmt::If { then, otherwise, .. } => breaks(then) || breaks(otherwise),
        Stmt::While { .. }
        | Stmt::Foreach(_)
        | Stmt::Return(_)
        | Stmt::Next
        | Stmt::Exit
        | Stmt::SetLocal(..)
        | Stmt::Effect(_)
        | Stmt::Continue
        | Stmt::Delete { .. }
        | Stmt::Aggregate { .. }
        | Stmt::Print(_) => false,
    })
}
