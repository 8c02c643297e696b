//! Owns `# ctp: allow(W…)`: warnings inside the item or statement that follows such a comment are not given.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{Block, File, ItemKind, Stmt, StmtKind};

/// Takes out the warnings that the program allows.
pub(super) fn silence(diagnostics: &mut Vec<Diagnostic>, files: &[File]) {
    let mut allowed: Vec<(Code, Span)> = Vec::new();
    for item in files.iter().flat_map(|file| &file.items) {
        allowed.extend(item.allows.iter().map(|code| (*code, item.span)));
        match &item.kind {
            ItemKind::Probe(probe) => probe.body.iter().for_each(|body| block(body, &mut allowed)),
            ItemKind::Function(function) => block(&function.body, &mut allowed),
            ItemKind::Global(_) | ItemKind::Const { .. } | ItemKind::Import(_) | ItemKind::Broken => {}
        }
    }
    diagnostics.retain(|diagnostic| {
        let place = diagnostic.primary.span;
        let within =
            |outer: &Span| outer.source == place.source && outer.start <= place.start && place.end <= outer.end;
        diagnostic.is_error() || !allowed.iter().any(|(code, span)| *code == diagnostic.code && within(span))
    });
}

fn block(block: &Block, allowed: &mut Vec<(Code, Span)>) {
    block.statements.iter().for_each(|inner| statement(inner, allowed));
}

fn statement(outer: &Stmt, allowed: &mut Vec<(Code, Span)>) {
    allowed.extend(outer.allows.iter().map(|code| (*code, outer.span)));
    match &outer.kind {
        StmtKind::Block(inner) => block(inner, allowed),
        StmtKind::If { then, otherwise, .. } => {
            statement(then, allowed);
            otherwise.iter().for_each(|otherwise| statement(otherwise, allowed));
        }
        StmtKind::While { body, .. } | StmtKind::For { body, .. } => statement(body, allowed),
        StmtKind::Foreach(foreach) => statement(&foreach.body, allowed),
        StmtKind::Expr(_)
        | StmtKind::Aggregate { .. }
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Return(_)
        | StmtKind::Delete(_)
        | StmtKind::Emit(_)
        | StmtKind::Broken => {}
    }
}
