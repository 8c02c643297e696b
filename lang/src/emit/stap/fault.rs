//! Owns the question which parts of a handler can fault, and what then: shown in place, or the run stops.

use crate::ir::{Expr, ExprKind, Piece, Stmt};

/// Whether an expression changes a global.
pub(super) fn has_update(expr: &Expr) -> bool {
    let mut any = matches!(expr.kind, ExprKind::Update { .. });
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
        Stmt::Print(print) => print.pieces.iter().any(|piece| match piece {
            Piece::Value(shown) => !shown.fault_is_shown && shown.value.can_fault(),
            Piece::Text(_) | Piece::Unavailable { .. } => false,
            // Refused before anything is written.
            Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => false,
        }),
        Stmt::Next | Stmt::Exit => false,
        // Refused before anything is written.
        Stmt::While { .. }
        | Stmt::Foreach(_)
        | Stmt::Break
        | Stmt::Continue
        | Stmt::Return(_)
        | Stmt::Delete { .. }
        | Stmt::Aggregate { .. } => false,
    }
}
