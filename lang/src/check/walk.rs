//! Owns walking a tree as written: the parts of statements and expressions. Judges nothing.

use crate::syntax::ast::{Block, Expr, ExprKind, Stmt, StmtKind};

/// Calls `visit` on every direct operand of an expression.
pub(super) fn operands<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    match &expr.kind {
        ExprKind::Int { .. }
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::Name(_)
        | ExprKind::Target(_)
        | ExprKind::TargetAll(_)
        | ExprKind::Broken => {}
        ExprKind::Dump { value: one, .. }
        | ExprKind::Member { base: one, .. }
        | ExprKind::Unary { operand: one, .. }
        | ExprKind::Step { target: one, .. }
        | ExprKind::Paren(one) => visit(one),
        ExprKind::Call { arguments: list, .. }
        | ExprKind::At { arguments: list, .. }
        | ExprKind::In { keys: list, .. } => list.iter().for_each(visit),
        ExprKind::Index { base, indices } => {
            visit(base);
            indices.iter().for_each(visit);
        }
        ExprKind::Binary { left, right, .. } => {
            visit(left);
            visit(right);
        }
        ExprKind::Assign { target, value, .. } => {
            visit(target);
            visit(value);
        }
        ExprKind::Ternary { condition, then, otherwise } => {
            visit(condition);
            visit(then);
            visit(otherwise);
        }
    }
}

/// Calls `visit` on an expression and all in it.
pub(super) fn expression<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    visit(expr);
    operands(expr, &mut |operand| expression(operand, visit));
}

/// Calls `visit` on every expression that stands directly in a statement.
pub(super) fn expressions_of<'a>(stmt: &'a Stmt, visit: &mut dyn FnMut(&'a Expr)) {
    match &stmt.kind {
        StmtKind::Expr(one) | StmtKind::Delete(one) => visit(one),
        StmtKind::Aggregate { target, value } => {
            visit(target);
            visit(value);
        }
        StmtKind::If { condition, .. } | StmtKind::While { condition, .. } => visit(condition),
        StmtKind::For { start, condition, step, .. } => {
            [start, condition, step].into_iter().flatten().for_each(visit);
        }
        StmtKind::Foreach(foreach) => foreach.limit.iter().for_each(visit),
        StmtKind::Return(value) => value.iter().for_each(visit),
        StmtKind::Emit(fields) => fields.iter().for_each(|(_, value)| visit(value)),
        StmtKind::Block(_) | StmtKind::Break | StmtKind::Continue | StmtKind::Next | StmtKind::Broken => {}
    }
}

/// Calls `visit` on every statement that stands directly in a statement.
pub(super) fn statements_of<'a>(stmt: &'a Stmt, visit: &mut dyn FnMut(&'a Stmt)) {
    match &stmt.kind {
        StmtKind::If { then, otherwise, .. } => {
            visit(then);
            otherwise.iter().for_each(|otherwise| visit(otherwise));
        }
        StmtKind::While { body, .. } | StmtKind::For { body, .. } => visit(body),
        StmtKind::Foreach(foreach) => visit(&foreach.body),
        StmtKind::Block(block) => block.statements.iter().for_each(visit),
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

/// Calls `visit` on every statement of a block, then on those in it, in order.
pub(super) fn statements<'a>(block: &'a Block, visit: &mut dyn FnMut(&'a Stmt)) {
    fn each<'a>(stmt: &'a Stmt, visit: &mut dyn FnMut(&'a Stmt)) {
        visit(stmt);
        statements_of(stmt, &mut |inner| each(inner, visit));
    }
    block.statements.iter().for_each(|stmt| each(stmt, visit));
}

/// Calls `visit` on every expression of a block, those in statements and operands included.
pub(super) fn expressions<'a>(block: &'a Block, visit: &mut dyn FnMut(&'a Expr)) {
    statements(block, &mut |stmt| expressions_of(stmt, &mut |expr| expression(expr, visit)));
}

/// An expression without the parentheses around it.
pub(super) fn bare(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) => bare(inner),
        _ => expr,
    }
}
