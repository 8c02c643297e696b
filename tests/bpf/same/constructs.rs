//! Which constructs of the language the table of cases runs: each that is not run here names the test that runs it. A
//! construct that is new in the language does not compile until it stands here, and fails until it is run.

use std::collections::BTreeSet;

use ctp_lang::ir::*;

/// Names of an enum's variants: one function that gives that of a value, and all of them.
macro_rules! names {
    ($name:ident, $all:ident, $ty:ty, { $($pattern:pat => $text:literal),* $(,)? }) => {
        fn $name(value: &$ty) -> &'static str {
            match value { $($pattern => $text),* }
        }
        const $all: &[&str] = &[$($text),*];
    };
}

names!(statement, STATEMENTS, Stmt, {
    Stmt::SetLocal(..) => "set", Stmt::Effect(_) => "effect", Stmt::If { .. } => "if", Stmt::While { .. } => "while",
    Stmt::Foreach(_) => "foreach", Stmt::Break => "break", Stmt::Continue => "continue", Stmt::Return(_) => "return",
    Stmt::Delete { .. } => "delete", Stmt::Aggregate { .. } => "<<<", Stmt::Print(_) => "print", Stmt::Next => "next",
    Stmt::Exit => "exit",
});
names!(expression, EXPRESSIONS, ExprKind, {
    ExprKind::Int(_) => "number", ExprKind::Str(_) => "text", ExprKind::Local(_) => "local",
    ExprKind::Global(_) => "global", ExprKind::MapGet(..) => "map[k]", ExprKind::MapHas(..) => "k in map",
    ExprKind::Context(_) => "context", ExprKind::Target(_) => "$variable", ExprKind::Register(_) => "register",
    ExprKind::ModuleAddress(_) => "address of the module", ExprKind::Load { .. } => "load",
    ExprKind::Extend { .. } => "extend", ExprKind::UserString(_) => "user_string", ExprKind::UserText { .. } => "char[n]",
    ExprKind::UserBytes { .. } => "user_buffer", ExprKind::Block(_) => "whole", ExprKind::Stat { .. } => "aggregate read",
    ExprKind::SetLocal { .. } => "assignment as value", ExprKind::Call(..) => "call", ExprKind::Library(..) => "library",
    ExprKind::Format(_) => "sprintf", ExprKind::Entry(_) => "@entry", ExprKind::Returned(_) => "$return",
    ExprKind::Unary(..) => "unary", ExprKind::Binary(..) => "binary", ExprKind::Compare(..) => "comparison",
    ExprKind::Logic { .. } => "&& ||", ExprKind::Ternary(..) => "?:", ExprKind::Concat(_) => "join",
    ExprKind::Update { .. } => "update",
});
names!(library, LIBRARY, Library, {
    Library::Strlen => "strlen", Library::Substr => "substr", Library::Strtol => "strtol", Library::IsInStr => "isinstr",
    Library::Min => "min", Library::Max => "max", Library::Abs => "abs", Library::Ntohs => "ntohs",
    Library::Ntohl => "ntohl", Library::Ipv4 => "ipv4", Library::Ipv6 => "ipv6", Library::ErrnoStr => "errno_str",
    Library::SignalStr => "signal_str", Library::Strftime => "strftime", Library::Sample => "sample",
});
names!(stat, STATS, StatOp, {
    StatOp::Count => "@count", StatOp::Sum => "@sum", StatOp::Min => "@min", StatOp::Max => "@max",
    StatOp::Avg => "@avg", StatOp::Quantile(_) => "@p50",
});
names!(binary, BINARY, BinaryOp, {
    BinaryOp::Add => "+", BinaryOp::Sub => "-", BinaryOp::Mul => "*", BinaryOp::Div => "/", BinaryOp::Mod => "%",
    BinaryOp::ModUnsigned => "unsigned %", BinaryOp::And => "&", BinaryOp::Or => "|", BinaryOp::Xor => "^",
    BinaryOp::Shl => "<<", BinaryOp::Shr => ">>", BinaryOp::ShrLogical => ">>>",
});
names!(unary, UNARY, UnaryOp, { UnaryOp::Neg => "-x", UnaryOp::BitNot => "~x", UnaryOp::Not => "!x" });
names!(comparison, COMPARISONS, CompareOp, {
    CompareOp::Eq => "==", CompareOp::Ne => "!=", CompareOp::Lt => "<", CompareOp::Le => "<=", CompareOp::Gt => ">",
    CompareOp::Ge => ">=",
});
names!(update, UPDATES, UpdateOp, { UpdateOp::Set => "=", UpdateOp::Add => "+=" });
names!(conversion, CONVERSIONS, Show, {
    Show::Signed => "%d", Show::Unsigned => "%u", Show::Hex { .. } => "%x", Show::Octal => "%o", Show::Pointer => "%p",
    Show::Char => "%c", Show::Unicode => "character", Show::Bool => "bool", Show::Enum(_) => "enum", Show::Text => "%s", Show::Float { .. } => "%f",
});
names!(piece, PIECES, Piece, {
    Piece::Text(_) => "literal", Piece::Unavailable { .. } => "<optimized out>", Piece::Value(_) => "value",
    Piece::Whole(_) => "whole value", Piece::Histogram { .. } => "histogram", Piece::Table { .. } => "table",
});

/// What is not run here, and where it is.
const ELSEWHERE: &[(&str, &str)] = &[
    ("foreach", "begin, end and every only: tests/cases/run/foreach.ctp"),
    ("histogram", "likewise: tests/cases/run/aggregates.ctp"),
    ("table", "likewise: tests/cases/run/aggregates.ctp"),
    ("<optimized out>", "no value is recorded: tests/live/types.rs"),
    ("context", "of the task and the moment, which no record holds: tests/bpf/values.rs, tests/live/stacks.rs"),
    ("address of the module", "of a running program: tests/bpf/values.rs"),
    ("@entry", "two hits make one: tests/live/returns.rs"),
    ("$return", "likewise"),
];

/// Constructs that no case runs.
pub(super) fn missing<'a>(bodies: impl Iterator<Item = &'a [Stmt]>) -> Vec<&'static str> {
    let mut seen: BTreeSet<&'static str> = BTreeSet::new();
    for body in bodies {
        visit_statements(body, &mut |stmt| {
            seen.insert(statement(stmt));
            if let Stmt::Print(print) = stmt {
                pieces(&print.pieces, &mut seen);
            }
        });
        visit_expressions(body, &mut |expr| {
            seen.insert(expression(&expr.kind));
            if let ExprKind::Library(function, _) = &expr.kind {
                seen.insert(library(function));
            } else if let ExprKind::Stat { op, .. } = &expr.kind {
                seen.insert(stat(op));
            } else if let ExprKind::Binary(op, ..) = &expr.kind {
                seen.insert(binary(op));
            } else if let ExprKind::Unary(op, _) = &expr.kind {
                seen.insert(unary(op));
            } else if let ExprKind::Compare(op, ..) = &expr.kind {
                seen.insert(comparison(op));
            } else if let ExprKind::Update { op, .. } = &expr.kind {
                seen.insert(update(op));
            } else if let ExprKind::Format(format) = &expr.kind {
                pieces(format, &mut seen);
            }
        });
    }
    let all = [STATEMENTS, EXPRESSIONS, LIBRARY, STATS, BINARY, UNARY, COMPARISONS, UPDATES, CONVERSIONS, PIECES];
    let elsewhere = |name: &str| ELSEWHERE.iter().any(|(known, _)| *known == name);
    all.concat().into_iter().filter(|name| !seen.contains(name) && !elsewhere(name)).collect()
}

fn pieces(pieces: &[Piece], seen: &mut BTreeSet<&'static str>) {
    for one in pieces {
        seen.insert(piece(one));
        if let Piece::Value(shown) = one {
            seen.insert(conversion(&shown.show));
        }
    }
}
