//! Owns statements, and the way over all those of a body.

use super::{Expr, GlobalIndex, LocalIndex, Print, StatOp};
use crate::source::Span;

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// Sets a local.
    SetLocal(LocalIndex, Expr),
    /// Computes a value for its effects ([`super::ExprKind::Update`]) and drops it.
    Effect(Expr),
    /// `if`
    If {
        /// Not 0: `then`.
        condition: Expr,
        /// Runs where the condition holds.
        then: Vec<Stmt>,
        /// Runs otherwise.
        otherwise: Vec<Stmt>,
    },
    /// `while` and `for`. A handler's run whose loops together go round more than `--max-steps` times stops
    /// (`step_limit`).
    While {
        /// Goes on while it is not 0.
        condition: Expr,
        /// What runs in each round.
        body: Vec<Stmt>,
        /// What runs behind each round, after `continue` too.
        step: Vec<Stmt>,
        /// Where it is written.
        span: Span,
    },
    /// `foreach`, over the entries that are there when it begins; only in `begin`, `end` and `every`.
    Foreach(Box<Foreach>),
    /// `break`: leaves the innermost loop.
    Break,
    /// `continue`: goes on with the innermost loop's next round.
    Continue,
    /// `return`: leaves the function.
    Return(Option<Expr>),
    /// `delete m[k]` (keys), `delete m` or `delete x` (none: all of it; a map's only in `begin`, `end` and `every`).
    Delete {
        /// Which global.
        global: GlobalIndex,
        /// The key; empty for all.
        keys: Vec<Expr>,
        /// Where it is written.
        span: Span,
    },
    /// `x <<< e`, `m[k] <<< e`
    Aggregate {
        /// Which aggregate.
        global: GlobalIndex,
        /// The key; empty where there is one aggregate only.
        keys: Vec<Expr>,
        /// The number.
        value: Expr,
        /// Where it is written.
        span: Span,
    },
    /// `printf`, `print`, `println`, `emit`, `error`.
    Print(Print),
    /// `next`: ends this handler.
    Next,
    /// `exit()`: ends this handler, then the run.
    Exit,
}

/// A loop over the entries of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreach {
    /// The map, or map of aggregates.
    pub global: GlobalIndex,
    /// Take the parts of each key.
    pub keys: Vec<LocalIndex>,
    /// Takes each value (of a map of aggregates: its count).
    pub value: Option<LocalIndex>,
    /// In which order; `None` for any.
    pub order: Option<ForeachOrder>,
    /// How many entries at most; below 1: none.
    pub limit: Option<Expr>,
    /// What runs for each.
    pub body: Vec<Stmt>,
    /// Where it is written.
    pub span: Span,
}

/// In which order a loop goes over the entries of a map; entries that are equal in it come by rising keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeachOrder {
    /// By what.
    pub by: OrderBy,
    /// From the greatest on.
    pub falling: bool,
}

/// What entries of a map are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBy {
    /// By value.
    Value,
    /// By this part of the key.
    Key(usize),
    /// By what is asked of the aggregate.
    Stat(StatOp),
}

impl Stmt {
    /// Calls `visit` on every expression that stands directly in it, not on those of statements in it.
    pub fn operands<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Stmt::SetLocal(_, value) | Stmt::Effect(value) => visit(value),
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => visit(condition),
            Stmt::Foreach(foreach) => foreach.limit.iter().for_each(visit),
            Stmt::Return(value) => value.iter().for_each(visit),
            Stmt::Delete { keys, .. } => keys.iter().for_each(visit),
            Stmt::Aggregate { keys, value, .. } => {
                keys.iter().for_each(&mut *visit);
                visit(value);
            }
            Stmt::Print(print) => print.pieces.iter().for_each(|piece| piece.operands(visit)),
            Stmt::Break | Stmt::Continue | Stmt::Next | Stmt::Exit => {}
        }
    }

    /// The lists of statements that stand directly in it.
    pub fn blocks(&self) -> [&[Stmt]; 2] {
        match self {
            Stmt::If { then, otherwise, .. } => [then, otherwise],
            Stmt::While { body, step, .. } => [body, step],
            Stmt::Foreach(foreach) => [&foreach.body, &[]],
            Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. }
            | Stmt::Print(_)
            | Stmt::Next
            | Stmt::Exit => [&[], &[]],
        }
    }
}

/// Calls `visit` on every statement of a list, then on those in it, in order.
pub fn visit_statements<'a>(body: &'a [Stmt], visit: &mut dyn FnMut(&'a Stmt)) {
    for stmt in body {
        visit(stmt);
        stmt.blocks().into_iter().for_each(|block| visit_statements(block, visit));
    }
}

/// Calls `visit` on every expression of a list of statements, those in statements and operands included.
pub fn visit_expressions<'a>(body: &'a [Stmt], visit: &mut dyn FnMut(&'a Expr)) {
    visit_statements(body, &mut |stmt| stmt.operands(&mut |expr| expr.visit(visit)));
}
