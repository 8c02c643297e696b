//! Owns the question which parts of a handler can fault, and what then: shown in place, or the run stops.

use crate::ir::{Expr, ExprKind, Handler, Piece, PrintKind, Program, Stmt, visit_statements};

/// Whether an expression changes something: then it may not change places with another.
pub(super) fn has_update(expr: &Expr) -> bool {
    let mut any = matches!(expr.kind, ExprKind::Update { .. } | ExprKind::SetLocal { .. } | ExprKind::Call(..));
    expr.operands(&mut |operand| any |= has_update(operand));
    any
}

/// Whether a statement can stop the run.
pub(super) fn can_stop(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::SetLocal(_, value) | Stmt::Effect(value) => value.can_fault(),
        Stmt::If { condition, then, otherwise } => {
            condition.can_fault() || then.iter().any(can_stop) || otherwise.iter().any(can_stop)
        }
        // It may go round too often.
        Stmt::While { .. } => true,
        Stmt::Foreach(foreach) => {
            foreach.limit.as_ref().is_some_and(Expr::can_fault) || foreach.body.iter().any(can_stop)
        }
        Stmt::Return(value) => value.as_ref().is_some_and(Expr::can_fault),
        Stmt::Delete { keys, .. } => keys.iter().any(Expr::can_fault),
        Stmt::Aggregate { keys, value, .. } => keys.iter().any(Expr::can_fault) || value.can_fault(),
        Stmt::Print(print) => print.pieces.iter().any(piece_can_stop),
        Stmt::Next | Stmt::Exit | Stmt::Break | Stmt::Continue => false,
    }
}

fn piece_can_stop(piece: &Piece) -> bool {
    match piece {
        Piece::Value(shown) => !shown.fault_is_shown && shown.value.can_fault(),
        Piece::Histogram { keys, .. } => keys.iter().any(Expr::can_fault),
        Piece::Text(_) | Piece::Unavailable { .. } | Piece::Whole(_) | Piece::Table { .. } => false,
    }
}

/// Whether something is printed in a loop that can be stopped: then how much is not known when the script is written.
pub(super) fn prints_in_a_loop(body: &[Stmt]) -> bool {
    let mut any = false;
    visit_statements(body, &mut |stmt| {
        let inner = match stmt {
            Stmt::While { body, .. } => body,
            Stmt::Foreach(foreach) if foreach.body.iter().any(can_stop) => &foreach.body,
            Stmt::Foreach(_)
            | Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::If { .. }
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. }
            | Stmt::Print(_)
            | Stmt::Next
            | Stmt::Exit => return,
        };
        any |= prints(inner);
    });
    any
}

/// Whether something is printed.
pub(super) fn prints(body: &[Stmt]) -> bool {
    let mut any = false;
    visit_statements(body, &mut |stmt| any |= matches!(stmt, Stmt::Print(_)));
    any
}

/// Whether `error()` is called.
pub(super) fn has_error(body: &[Stmt]) -> bool {
    let mut any = false;
    visit_statements(body, &mut |stmt| any |= matches!(stmt, Stmt::Print(print) if print.kind == PrintKind::Error));
    any
}

/// Whether something in a list of statements ends the handler.
pub(super) fn has_next(body: &[Stmt]) -> bool {
    let mut any = false;
    visit_statements(body, &mut |stmt| any |= matches!(stmt, Stmt::Next | Stmt::Exit));
    any
}

/// Whether something in a list of statements goes round.
pub(super) fn has_loop(body: &[Stmt]) -> bool {
    let mut any = false;
    visit_statements(body, &mut |stmt| any |= matches!(stmt, Stmt::While { .. }));
    any
}

/// Whether a run of a handler may go round too often: by itself or in a function.
pub(super) fn loops(handler: &Handler, program: &Program) -> bool {
    has_loop(&handler.body) || program.functions.iter().any(|function| has_loop(&function.body))
}
