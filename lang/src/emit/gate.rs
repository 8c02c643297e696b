//! Owns saying which constructs an engine cannot do: one diagnostic for each place. Which they are, each engine says.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Context, Expr, ExprKind, GlobalKind, Handler, Piece, PrintKind, Program, Show, Stmt};
use crate::source::Span;

/// A construct that some engine cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Construct {
    /// `while` and `for`.
    Loop,
    /// `foreach`.
    Foreach,
    /// `delete`.
    Delete,
    /// `<<<`.
    Aggregate,
    /// `emit { … }`.
    Event,
    /// `error("…")`.
    Error,
    /// Aggregates read: `@count(x)`.
    Stat,
    /// Histograms and whole maps printed.
    Table,
    /// A call of a function of the program.
    Call,
    /// A function of the library.
    Library(crate::ir::Library),
    /// `sprintf`.
    Format,
    /// An assignment whose value is used, to a local.
    SetLocal,
    /// `char[N]`, `user_string(p, n)`.
    UserText,
    /// `user_buffer`, Rust's and Go's strings.
    UserBytes,
    /// A whole struct, array or the like.
    Whole,
    /// `float` and `double`.
    Float,
    /// Characters of more than a byte.
    Unicode,
    /// `.return`, `@entry`, `$return`.
    Return,
    /// A mark's semaphore.
    Semaphore,
    /// Something of the task or the moment.
    Context(Context),
}

/// What an engine is asked about a construct: `Err(words)` where it cannot do it, e.g. "`foreach`".
pub(super) type Can = dyn Fn(Construct) -> Result<(), &'static str>;

/// One diagnostic for each construct that an engine cannot do, in order.
pub(super) fn refuse<'a>(
    program: &'a Program,
    handlers: impl Iterator<Item = &'a Handler>,
    functions: bool,
    can: &Can,
    help: &str,
) -> Vec<Diagnostic> {
    let mut found: Vec<(Construct, Span)> = Vec::new();
    for handler in handlers {
        if let Some(condition) = &handler.condition {
            condition.visit(&mut |one| expr(one, &mut found));
        }
        body(&handler.body, &mut found);
    }
    if functions {
        program.functions.iter().for_each(|function| body(&function.body, &mut found));
    }
    for probe in &program.probes {
        let crate::ir::ProbeKind::Sites(variants) = &probe.kind else { continue };
        for variant in variants {
            if let Some(returns) = &variant.returns {
                found.push((Construct::Return, probe.span));
                returns.saved.iter().for_each(|saved| saved.visit(&mut |one| expr(one, &mut found)));
            }
            if variant.sites.iter().any(|site| site.semaphore.is_some()) {
                found.push((Construct::Semaphore, probe.span));
            }
        }
    }
    for global in &program.globals {
        if matches!(global.kind, GlobalKind::Stats { .. }) {
            found.push((Construct::Aggregate, global.span));
        }
    }
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for (construct, span) in found {
        let Err(words) = can(construct) else { continue };
        let one = Diagnostic::new(Code::E0302, span, words).help(help);
        if !diagnostics.iter().any(|known| known.primary.span == span && known.message == one.message) {
            diagnostics.push(one);
        }
    }
    diagnostics
}

fn body(statements: &[Stmt], found: &mut Vec<(Construct, Span)>) {
    crate::ir::visit_statements(statements, &mut |stmt| {
        match stmt {
            Stmt::While { span, .. } => found.push((Construct::Loop, *span)),
            Stmt::Foreach(foreach) => found.push((Construct::Foreach, foreach.span)),
            Stmt::Delete { span, .. } => found.push((Construct::Delete, *span)),
            Stmt::Aggregate { span, .. } => found.push((Construct::Aggregate, *span)),
            Stmt::Print(print) => {
                match &print.kind {
                    PrintKind::Text | PrintKind::Keep(_) => {}
                    PrintKind::Event(_) => found.push((Construct::Event, print.span)),
                    PrintKind::Error => found.push((Construct::Error, print.span)),
                }
                print.pieces.iter().for_each(|piece| self::piece(piece, print.span, found));
            }
            Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::If { .. }
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Next
            | Stmt::Exit => {}
        }
        stmt.operands(&mut |one| one.visit(&mut |inner| expr(inner, found)));
    });
}

fn piece(piece: &Piece, span: Span, found: &mut Vec<(Construct, Span)>) {
    match piece {
        Piece::Text(_) | Piece::Unavailable { .. } => {}
        Piece::Value(shown) => match shown.show {
            Show::Float { .. } => found.push((Construct::Float, shown.value.span)),
            Show::Unicode => found.push((Construct::Unicode, shown.value.span)),
            Show::Signed
            | Show::Unsigned
            | Show::Hex { .. }
            | Show::Octal
            | Show::Pointer
            | Show::Char
            | Show::Bool
            | Show::Enum(_)
            | Show::Text => {}
        },
        Piece::Whole(whole) => found.push((Construct::Whole, whole.block.span)),
        Piece::Histogram { span, .. } => found.push((Construct::Table, *span)),
        Piece::Table { .. } => found.push((Construct::Table, span)),
    }
}

fn expr(expr: &Expr, found: &mut Vec<(Construct, Span)>) {
    let construct = match &expr.kind {
        ExprKind::Stat { .. } => Construct::Stat,
        ExprKind::Call(..) => Construct::Call,
        ExprKind::Library(function, _) => Construct::Library(*function),
        ExprKind::Format(pieces) => {
            pieces.iter().for_each(|one| piece(one, expr.span, found));
            Construct::Format
        }
        ExprKind::SetLocal { .. } => Construct::SetLocal,
        ExprKind::UserText { .. } => Construct::UserText,
        ExprKind::UserBytes { .. } => Construct::UserBytes,
        ExprKind::Block(_) => Construct::Whole,
        ExprKind::Entry(_) | ExprKind::Returned(_) => Construct::Return,
        ExprKind::Context(context) => Construct::Context(*context),
        ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Local(_)
        | ExprKind::Global(_)
        | ExprKind::MapGet(..)
        | ExprKind::MapHas(..)
        | ExprKind::Target(_)
        | ExprKind::Register(_)
        | ExprKind::ModuleAddress(_)
        | ExprKind::Load { .. }
        | ExprKind::Extend { .. }
        | ExprKind::UserString(_)
        | ExprKind::Unary(..)
        | ExprKind::Binary(..)
        | ExprKind::Compare(..)
        | ExprKind::Logic { .. }
        | ExprKind::Ternary(..)
        | ExprKind::Concat(_)
        | ExprKind::Update { .. } => return,
    };
    found.push((construct, expr.span));
}
