//! The terms that cases are written in.

use super::*;

pub(super) fn num(kind: ExprKind) -> Expr {
    expr(Ty::Int, kind)
}

pub(super) fn str(kind: ExprKind) -> Expr {
    expr(Ty::Str, kind)
}

pub(super) fn n() -> Expr {
    argument(0)
}

pub(super) fn s() -> Expr {
    user_string(argument(1))
}

pub(super) fn m() -> Expr {
    argument(2)
}

pub(super) fn local(index: u32) -> Expr {
    num(ExprKind::Local(LocalIndex(index)))
}

pub(super) fn words(index: u32) -> Expr {
    str(ExprKind::Local(LocalIndex(index)))
}

pub(super) fn set(index: u32, value: Expr) -> Stmt {
    Stmt::SetLocal(LocalIndex(index), value)
}

pub(super) fn grow(index: u32, by: Expr) -> Stmt {
    set(index, operate(BinaryOp::Add, local(index), by))
}

pub(super) fn repeat(condition: Expr, body: Vec<Stmt>, step: Vec<Stmt>) -> Stmt {
    Stmt::While { condition, body, step, span: span() }
}

pub(super) fn when(condition: Expr, then: Vec<Stmt>) -> Stmt {
    Stmt::If { condition, then, otherwise: Vec::new() }
}

pub(super) fn less(a: Expr, b: Expr) -> Expr {
    compare(CompareOp::Lt, a, b)
}

pub(super) fn lib(function: Library, arguments: Vec<Expr>) -> Expr {
    num(ExprKind::Library(function, arguments))
}

pub(super) fn lib_text(function: Library, arguments: Vec<Expr>) -> Expr {
    str(ExprKind::Library(function, arguments))
}

pub(super) fn concat(parts: Vec<Expr>) -> Expr {
    str(ExprKind::Concat(parts))
}

pub(super) fn call(function: u32, arguments: Vec<Expr>) -> Expr {
    num(ExprKind::Call(FunctionIndex(function), arguments))
}

pub(super) fn call_text(function: u32, arguments: Vec<Expr>) -> Expr {
    str(ExprKind::Call(FunctionIndex(function), arguments))
}

pub(super) fn say(values: Vec<Expr>) -> Stmt {
    print(values.into_iter().map(Part::Need).collect())
}

/// Values that are shown as `<fault>` where they cannot be read.
pub(super) fn tell(values: Vec<Expr>) -> Stmt {
    print(values.into_iter().map(Part::Show).collect())
}

pub(super) fn modulo(a: Expr, b: i64) -> Expr {
    operate(BinaryOp::Mod, a, int(b))
}

pub(super) fn shown(value: Expr, show: Show, spec: Spec) -> Piece {
    Piece::Value(Shown { value, show, spec, fault_is_shown: true })
}

pub(super) fn function(name: &str, parameters: &[Ty], others: &[Ty], returns: Option<Ty>, body: Vec<Stmt>) -> Function {
    let locals = parameters.iter().chain(others).map(|ty| Local { name: "l".to_owned(), ty: *ty }).collect();
    Function { name: name.to_owned(), span: span(), parameters: parameters.len(), locals, returns, body }
}
