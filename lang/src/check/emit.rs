//! Owns `emit` and `error`: events and messages. How a value becomes a piece belongs to [`super::print`].

use std::collections::HashMap;

use super::scope::Scope;
use super::{Checker, walk};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Piece, Print, PrintKind, Spec, Stmt, Ty};
use crate::source::Span;
use crate::syntax::ast;

impl Checker<'_> {
    /// `emit { name: EXPR, … }`
    pub(super) fn emit(&mut self, fields: &[(ast::Ident, ast::Expr)], span: Span, scope: &Scope<'_>) -> Option<Stmt> {
        let mut names: Vec<String> = Vec::new();
        let mut pieces = Vec::new();
        let mut good = true;
        if fields.is_empty() {
            self.report(
                Diagnostic::new(Code::E0203, span, "an event needs at least one field").help("emit { took: 3ms }"),
            );
            return None;
        }
        let mut first: HashMap<&str, Span> = HashMap::new();
        for (name, value) in fields {
            let before = *first.entry(&name.name).or_insert(name.span);
            if before != name.span {
                self.report(
                    Diagnostic::new(Code::E0107, name.span, format!("the field `{}` is there twice", name.name))
                        .also(before, "first here"),
                );
                good = false;
            }
            match self.field(value, scope) {
                Some(piece) => {
                    names.push(name.name.clone());
                    pieces.push(piece);
                }
                None => good = false,
            }
        }
        good.then_some(Stmt::Print(Print { kind: PrintKind::Event(names), pieces, span }))
    }

    /// The one piece of a field.
    fn field(&mut self, value: &ast::Expr, scope: &Scope<'_>) -> Option<Piece> {
        let pieces = self.plain(value, scope)?;
        match <[Piece; 1]>::try_from(pieces) {
            Ok([Piece::Table { .. } | Piece::Histogram { .. }]) => {
                self.report(
                    Diagnostic::new(Code::E0206, value.span, "a field holds one value, not a table")
                        .help("foreach goes through the entries: emit one event for each"),
                );
                None
            }
            Ok([piece]) if !matches!(piece, Piece::Text(_)) => Some(piece),
            Ok(_) | Err(_) => {
                self.report(
                    Diagnostic::new(Code::E0206, value.span, "a field holds one value")
                        .help("name each value: emit { arg: $arg, len: $len }"),
                );
                None
            }
        }
    }

    /// `error("…")`
    pub(super) fn error(&mut self, arguments: &[ast::Expr], span: Span, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        let [message] = arguments else {
            self.report(
                Diagnostic::new(Code::E0203, span, format!("`error` takes 1 argument, not {}", arguments.len()))
                    .help("error(sprintf(\"code %d\", n)) makes a message of values"),
            );
            arguments.iter().for_each(|argument| drop(self.expr(argument, scope)));
            return;
        };
        let piece = match &walk::bare(message).kind {
            ast::ExprKind::Str(text) => Some(Piece::Text(text.clone())),
            _ => {
                let Some(typed) = self.expr(message, scope) else { return };
                if typed.value.ty == Ty::Int && typed.nature == super::nature::Nature::Int {
                    let place = message.span;
                    self.report(
                        Diagnostic::new(Code::E0201, place, "text is wanted here, this is a number")
                            .help("error(sprintf(\"code %d\", n))"),
                    );
                    return;
                }
                self.default_piece(typed, message.span, Spec::default(), scope)
            }
        };
        if let Some(piece) = piece {
            out.push(Stmt::Print(Print { kind: PrintKind::Error, pieces: vec![piece], span }));
            out.push(Stmt::Exit);
        }
    }
}
