//! Owns texts that the kernel cannot make: stacks, which are unwound and named when a record is read, and `sprintf` of
//! floating-point numbers and of whole values. What they are made from is recorded, and so they can be shown. A global
//! that has such a text in a key or as its value is held by the runner, and what a handler does to it is part of the
//! run's record, in order, like an output. No handler computes with one.

use std::collections::HashSet;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{
    Constant, Context, Expr, ExprKind, GlobalIndex, GlobalKind, Handler, Keep, Library, Piece, Print, PrintKind,
    ProbeKind, Program, Show, Shown, Spec, Stmt, Ty, UpdateOp, visit_statements,
};
use crate::source::Span;

fn is_stack(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Context(Context::Stack(_) | Context::Caller))
}

/// Whether a text is made when a record is read, and cannot be made before.
pub(super) fn is_outside(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Concat(parts) => parts.iter().any(is_outside),
        ExprKind::Format(pieces) => pieces.iter().any(|piece| match piece {
            Piece::Value(shown) => matches!(shown.show, Show::Float { .. }) || is_outside(&shown.value),
            Piece::Whole(_) => true,
            Piece::Text(_) | Piece::Unavailable { .. } | Piece::Histogram { .. } | Piece::Table { .. } => false,
        }),
        ExprKind::Library(Library::Strftime, arguments) => {
            !matches!(arguments.first().map(|format| &format.kind), Some(ExprKind::Str(_)))
        }
        _ => is_stack(expr),
    }
}

/// What of a text that is made outside is a stack.
fn stacks_in(one: &Expr, shown: &mut HashSet<*const Expr>) {
    match &one.kind {
        ExprKind::Concat(parts) => parts.iter().for_each(|part| stacks_in(part, shown)),
        ExprKind::Format(inner) => stacks_in_pieces(inner, shown),
        _ if is_stack(one) => {
            shown.insert(std::ptr::from_ref(one));
        }
        _ => {}
    }
}

fn stacks_in_pieces(list: &[Piece], shown: &mut HashSet<*const Expr>) {
    for piece in list {
        if let Piece::Value(one) = piece {
            stacks_in(&one.value, shown);
        }
    }
}

/// What a statement does to a global, where nothing uses what it gives.
fn change(stmt: &Stmt) -> Option<(GlobalIndex, &[Expr], Keep, &Expr)> {
    match stmt {
        Stmt::Effect(Expr { kind: ExprKind::Update { global, keys, op, value, .. }, .. }) => {
            let keep = match op {
                UpdateOp::Set => Keep::Set(*global),
                UpdateOp::Add => Keep::Add(*global),
            };
            Some((*global, keys, keep, value))
        }
        Stmt::Aggregate { global, keys, value, .. } => Some((*global, keys, Keep::Feed(*global), value)),
        _ => None,
    }
}

/// The bodies that run in the kernel: of handlers, and of the functions of the program.
fn bodies(program: &Program) -> impl Iterator<Item = &Vec<Stmt>> {
    let handlers = super::handlers(program).filter(|(in_kernel, _)| *in_kernel).map(|(_, handler)| &handler.body);
    handlers.chain(super::reached(program).into_iter().map(|function| &function.body))
}

/// The globals that some handler of a probe gives a text that is made outside, as a part of a key or as a value.
fn kept(program: &Program) -> HashSet<GlobalIndex> {
    let mut kept = HashSet::new();
    for body in bodies(program) {
        visit_statements(body, &mut |stmt| {
            if let Some((global, keys, _, value)) = change(stmt)
                && (keys.iter().any(is_outside) || is_outside(value))
            {
                kept.insert(global);
            }
        });
    }
    kept
}

/// Where a program computes with what is made outside; nothing where it does not.
pub(super) fn refused(program: &Program) -> Vec<Diagnostic> {
    let kept = kept(program);
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut report = |span: Span, message: String, help: &str| {
        if !problems.iter().any(|known| known.primary.span == span) {
            problems.push(Diagnostic::new(Code::E0302, span, message).help(help));
        }
    };
    let name = |global: GlobalIndex| program.globals.get(global.0 as usize).map_or("", |global| global.name.as_str());
    let mut look = |one: &Expr, shown: &HashSet<*const Expr>| match &one.kind {
        _ if is_stack(one) && !shown.contains(&std::ptr::from_ref(one)) => report(
            one.span,
            "the embedded engine unwinds a stack when it is shown: a handler cannot compute with it".to_owned(),
            "print it as it is, give it to a global, or make it a part of a map's key: counts[caller()]++",
        ),
        ExprKind::Global(global)
        | ExprKind::MapGet(global, _)
        | ExprKind::MapHas(global, _)
        | ExprKind::Stat { global, .. }
        | ExprKind::Update { global, .. }
            if kept.contains(global) && !shown.contains(&std::ptr::from_ref(one)) =>
        {
            report(
                one.span,
                format!(
                    "`{}` holds texts that are made outside the kernel: a probe's handler can change it, and not read it",
                    name(*global)
                ),
                "read it in `begin`, `end` or `every`",
            );
        }
        _ => {}
    };
    for body in bodies(program) {
        let mut deleted: Vec<(Span, GlobalIndex)> = Vec::new();
        visit_statements(body, &mut |stmt| {
            let mut shown = HashSet::new();
            if let Stmt::Print(print) = stmt {
                stacks_in_pieces(&print.pieces, &mut shown);
            }
            if let Some((global, keys, _, value)) = change(stmt) {
                if let Stmt::Effect(effect) = stmt {
                    shown.insert(std::ptr::from_ref(effect));
                }
                if kept.contains(&global) {
                    keys.iter().chain([value]).for_each(|one| stacks_in(one, &mut shown));
                }
            }
            if let Stmt::Delete { global, span, .. } = stmt
                && kept.contains(global)
            {
                deleted.push((*span, *global));
            }
            stmt.operands(&mut |operand| operand.visit(&mut |one| look(one, &shown)));
        });
        for (span, global) in deleted {
            look(&Expr { ty: Ty::Int, kind: ExprKind::MapHas(global, Vec::new()), span }, &HashSet::new());
        }
    }
    let conditions = super::handlers(program).filter(|(in_kernel, _)| *in_kernel);
    let conditions = conditions.filter_map(|(_, handler)| handler.condition.as_ref()).chain(super::saved(program));
    conditions.for_each(|condition| condition.visit(&mut |one| look(one, &HashSet::new())));
    problems
}

/// Whether an output joins texts of which one is made outside.
fn joins(program: &Program) -> bool {
    let mut any = false;
    for print in bodies(program).flat_map(|body| super::reach::prints(body)) {
        print.pieces.iter().for_each(|piece| {
            if let Piece::Value(shown) = piece {
                any |= matches!(shown.value.kind, ExprKind::Concat(_)) && is_outside(&shown.value);
            }
        });
    }
    any
}

/// The program as it is compiled: what changes a global that is held outside is an output, and texts that are joined of
/// such as are made outside are made there too. `None` where that changes nothing.
pub(super) fn rewritten(program: &Program) -> Option<Program> {
    let kept = kept(program);
    if kept.is_empty() && !joins(program) {
        return None;
    }
    let mut program = program.clone();
    for (index, global) in (0u32..).map(GlobalIndex).zip(&mut program.globals) {
        // The place of one value in the kernel is not used.
        if kept.contains(&index) && !matches!(global.kind, GlobalKind::Scalar { .. }) {
            global.kind = GlobalKind::Scalar { ty: Ty::Int, initial: Constant::Int(0) };
        }
    }
    let mut handlers: Vec<&mut Handler> = Vec::new();
    for probe in &mut program.probes {
        match &mut probe.kind {
            ProbeKind::Sites(variants) => handlers.extend(variants.iter_mut().map(|variant| &mut variant.handler)),
            ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => {}
        }
    }
    handlers.into_iter().for_each(|handler| rewrite(&mut handler.body, &kept));
    program.functions.iter_mut().for_each(|function| rewrite(&mut function.body, &kept));
    Some(program)
}

fn rewrite(body: &mut [Stmt], kept: &HashSet<GlobalIndex>) {
    for stmt in body {
        let output = change(stmt).filter(|(global, ..)| kept.contains(global)).map(|(_, keys, keep, value)| Print {
            kind: PrintKind::Keep(keep),
            pieces: keys.iter().chain([value]).map(shown).collect(),
            span: value.span,
        });
        if let Some(output) = output {
            *stmt = Stmt::Print(output);
        }
        match stmt {
            Stmt::If { then, otherwise, .. } => {
                rewrite(then, kept);
                rewrite(otherwise, kept);
            }
            Stmt::While { body, step, .. } => {
                rewrite(body, kept);
                rewrite(step, kept);
            }
            Stmt::Foreach(foreach) => rewrite(&mut foreach.body, kept),
            Stmt::Print(print) => print.pieces.iter_mut().for_each(|piece| {
                if let Piece::Value(shown) = piece {
                    join(&mut shown.value);
                }
            }),
            Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. }
            | Stmt::Next
            | Stmt::Exit => {}
        }
    }
}

/// Texts that are joined outside are a format of texts there: both are cut at the same place.
fn join(value: &mut Expr) {
    if let ExprKind::Format(pieces) = &mut value.kind {
        for piece in pieces {
            if let Piece::Value(shown) = piece {
                join(&mut shown.value);
            }
        }
        return;
    }
    if !is_outside(value) {
        return;
    }
    if let ExprKind::Concat(parts) = &value.kind {
        let mut pieces: Vec<Piece> = parts.iter().map(shown).collect();
        for piece in &mut pieces {
            if let Piece::Value(shown) = piece {
                join(&mut shown.value);
            }
        }
        value.kind = ExprKind::Format(pieces);
    }
}

fn shown(value: &Expr) -> Piece {
    let show = match value.ty {
        Ty::Int => Show::Signed,
        Ty::Str => Show::Text,
    };
    Piece::Value(Shown { value: value.clone(), show, spec: Spec::default(), fault_is_shown: false })
}
