//! Short ways to write IR down.

use crate::interpret::recorded::Recorded;
use crate::interpret::{self, Stop};
use crate::ir::{
    BinaryOp, CompareOp, Expr, ExprKind, Function, Global, GlobalIndex, GlobalKind, Handler, Local, LocalIndex, Piece,
    Print, PrintKind, Program, Show, Shown, Spec, StatsShape, Stmt, Ty, UpdateOp,
};
use crate::source::{SourceId, Span};
use crate::value::{Value, write_print};

pub(super) const HERE: Span = Span { source: SourceId(0), start: 0, end: 0 };
pub(super) const M: GlobalIndex = GlobalIndex(0);

/// A place told apart from others.
pub(super) fn at(start: u32) -> Span {
    Span { start, ..HERE }
}

pub(super) fn num(kind: ExprKind) -> Expr {
    Expr { ty: Ty::Int, kind, span: HERE }
}

pub(super) fn text(kind: ExprKind) -> Expr {
    Expr { ty: Ty::Str, kind, span: HERE }
}

pub(super) fn int(number: i64) -> Expr {
    num(ExprKind::Int(number))
}

pub(super) fn str(bytes: &str) -> Expr {
    text(ExprKind::Str(bytes.into()))
}

pub(super) fn local(index: u32) -> Expr {
    num(ExprKind::Local(LocalIndex(index)))
}

pub(super) fn local_text(index: u32) -> Expr {
    text(ExprKind::Local(LocalIndex(index)))
}

pub(super) fn set(index: u32, value: Expr) -> Stmt {
    Stmt::SetLocal(LocalIndex(index), value)
}

pub(super) fn op(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    num(ExprKind::Binary(op, Box::new(left), Box::new(right)))
}

pub(super) fn compare(op: CompareOp, left: Expr, right: Expr) -> Expr {
    num(ExprKind::Compare(op, Box::new(left), Box::new(right)))
}

pub(super) fn update(keys: Vec<Expr>, op: UpdateOp, value: Expr, before: bool) -> Expr {
    let ty = value.ty;
    Expr { ty, kind: ExprKind::Update { global: M, keys, op, value: Box::new(value), before }, span: HERE }
}

pub(super) fn shown(value: Expr) -> Piece {
    let show = if value.ty == Ty::Int { Show::Signed } else { Show::Text };
    Piece::Value(Shown { value, show, spec: Spec::default(), fault_is_shown: false })
}

/// What `print` does with these, a blank behind each.
pub(super) fn print(values: Vec<Expr>) -> Stmt {
    pieces(values.into_iter().flat_map(|value| [shown(value), Piece::Text(b" ".to_vec())]).collect())
}

pub(super) fn pieces(pieces: Vec<Piece>) -> Stmt {
    Stmt::Print(Print { kind: PrintKind::Text, pieces, span: HERE })
}

pub(super) fn map(keys: Vec<Ty>, value: Ty) -> GlobalKind {
    GlobalKind::Map { keys, value, size: None }
}

pub(super) fn aggregates(keys: Vec<Ty>, shape: StatsShape) -> GlobalKind {
    GlobalKind::Stats { keys, shape, size: None }
}

pub(super) fn program(globals: Vec<GlobalKind>, functions: Vec<Function>) -> Program {
    let globals = globals.into_iter().zip(["m", "n", "o"]).map(|(kind, name)| Global {
        name: name.to_owned(),
        span: HERE,
        kind,
        printed_at_end: false,
    });
    Program { globals: globals.collect(), functions, ..Program::default() }
}

pub(super) fn locals(types: &[Ty]) -> Vec<Local> {
    types.iter().map(|ty| Local { name: "l".to_owned(), ty: *ty }).collect()
}

/// A handler with four numbers as locals, then two strings.
pub(super) fn handler(body: Vec<Stmt>) -> Handler {
    let types = [Ty::Int, Ty::Int, Ty::Int, Ty::Int, Ty::Str, Ty::Str];
    Handler { locals: locals(&types), condition: None, body }
}

/// What a body prints on a machine; blanks at its end do not count.
pub(super) fn on(machine: &mut Recorded<'_>, program: &Program, body: Vec<Stmt>) -> Result<String, Stop> {
    let handler = handler(body);
    let run = interpret::run(program, &handler, machine)?;
    let mut out = Vec::new();
    run.prints.iter().for_each(|(print, values)| write_print(&mut out, print, values, program));
    Ok(String::from_utf8(out).unwrap().trim_end().to_owned())
}

pub(super) fn ran(program: &Program, body: Vec<Stmt>) -> Result<String, Stop> {
    on(&mut Recorded::new(program), program, body)
}

/// What an expression gives.
pub(super) fn value(machine: &mut Recorded<'_>, kind: ExprKind) -> Result<Value, Stop> {
    interpret::evaluate(&Expr { ty: Ty::Int, kind, span: HERE }, machine)
}
