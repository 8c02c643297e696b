//! Owns the question which parts of a handler can fault, and what then: shown in place, or the run stops.

use crate::ir::{BinaryOp, Expr, ExprKind, Piece, Stmt, TargetStep};

/// Whether evaluating can fault: reading the target's memory, dividing by what may be 0.
pub(super) fn can_fault(expr: &Expr) -> bool {
    let own = match &expr.kind {
        ExprKind::Load { .. } | ExprKind::UserString(_) => true,
        ExprKind::Target(target) => target.steps.iter().any(|step| match step {
            TargetStep::Text | TargetStep::Deref => true,
            TargetStep::Index(index) => can_fault(index),
            TargetStep::Member(_) => false,
        }),
        ExprKind::Binary(BinaryOp::Div | BinaryOp::Mod | BinaryOp::ModUnsigned, _, divisor) => {
            matches!(divisor.kind, ExprKind::Int(0)) || !matches!(divisor.kind, ExprKind::Int(_))
        }
        ExprKind::Binary(
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::And
            | BinaryOp::Or
            | BinaryOp::Xor
            | BinaryOp::Shl
            | BinaryOp::Shr
            | BinaryOp::ShrLogical,
            _,
            _,
        )
        | ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Local(_)
        | ExprKind::Global(_)
        | ExprKind::MapGet(..)
        | ExprKind::MapHas(..)
        | ExprKind::Context(_)
        | ExprKind::Register(_)
        | ExprKind::ModuleAddress(_)
        | ExprKind::Extend { .. }
        | ExprKind::Unary(..)
        | ExprKind::Compare(..)
        | ExprKind::Logic { .. }
        | ExprKind::Ternary(..)
        | ExprKind::Concat(_)
        | ExprKind::Update { .. } => false,
    };
    let mut any = own;
    expr.operands(&mut |operand| any |= can_fault(operand));
    any
}

/// Whether an expression changes a global.
pub(super) fn has_update(expr: &Expr) -> bool {
    let mut any = matches!(expr.kind, ExprKind::Update { .. });
    expr.operands(&mut |operand| any |= has_update(operand));
    any
}

/// Whether a statement can stop the run.
pub(super) fn can_stop(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::SetLocal(_, value) | Stmt::Effect(value) => can_fault(value),
        Stmt::If { condition, then, otherwise } => {
            can_fault(condition) || then.iter().any(can_stop) || otherwise.iter().any(can_stop)
        }
        Stmt::Print(print) => print.pieces.iter().any(|piece| match piece {
            Piece::Value(shown) => !shown.fault_is_shown && can_fault(&shown.value),
            Piece::Text(_) | Piece::Unavailable { .. } => false,
        }),
        Stmt::Next | Stmt::Exit => false,
    }
}
