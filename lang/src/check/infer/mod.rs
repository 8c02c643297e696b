//! Owns the types of globals and locals, found from how they are used before anything is lowered, in one pass: a type
//! that becomes known flows on to what it was assigned to. Reports nothing: conflicts show when the uses are lowered.

use std::collections::{HashMap, HashSet};

mod uses;

use super::{library, walk};
use crate::ir::{LocalIndex, Ty};
use crate::source::Span;
use crate::syntax::ast::{
    BinaryOp, Block, Expr, ExprKind, File, Foreach, GlobalDeclaration, ItemKind, PointKind, Probe, StmtKind,
    TypeNameKind, UnaryOp, What,
};

/// What is known of a global.
#[derive(Clone, Debug)]
pub(super) struct GlobalUse {
    /// Its name.
    pub(super) name: String,
    /// Where it is declared.
    pub(super) span: Span,
    /// Types of the key's parts; `None` for a scalar.
    pub(super) keys: Option<Vec<Ty>>,
    /// Type of its values.
    pub(super) value: Ty,
    /// The place that fixed that it is a map or a scalar.
    pub(super) fixed_at: Option<Span>,
    /// The place that fixed the type of its values.
    pub(super) typed_at: Option<Span>,
    /// The place that made it an aggregate; `None` where it is none.
    pub(super) aggregate: Option<Span>,
    /// The first place that assigns to it.
    pub(super) assigned_at: Option<Span>,
    /// Whether something reads it.
    pub(super) read: bool,
    /// Whether something changes it.
    pub(super) written: bool,
}

/// The locals of a handler or function.
#[derive(Clone, Debug, Default)]
pub(super) struct Locals {
    /// All of them, parameters first, each under a name of its own.
    pub(super) slots: Vec<(String, Ty)>,
    /// Which of them the variables of its `foreach` are, by where those are written.
    pub(super) loops: HashMap<Span, LocalIndex>,
    /// What is never read: names and places; parameters are among the first of `slots`.
    pub(super) unread: Vec<(String, Span, Unread)>,
}

/// What it is that is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Parameter,
    Local,
}

/// What one pass over a program tells.
#[derive(Debug, Default)]
pub(super) struct Inferred {
    /// The globals, in the order of their declarations.
    pub(super) globals: Vec<GlobalUse>,
    /// The locals of each handler and function, by [`key_of`] or the span of a function's body.
    pub(super) locals: HashMap<Span, Locals>,
    /// Constants and functions that are named somewhere.
    pub(super) used: HashSet<String>,
}

/// What names a probe's locals in [`Inferred::locals`]; `None` for one that has none.
pub(super) fn key_of(probe: &Probe) -> Option<Span> {
    probe.body.as_ref().map(|body| body.span).or(probe.condition.as_ref().map(|condition| condition.span))
}

/// A type that may become known.
type Var = usize;

struct Guess {
    span: Span,
    keys: Option<Vec<Var>>,
    scalar: bool,
    value: Var,
    fixed_at: Option<Span>,
    aggregated_at: Option<Span>,
    asked_at: Option<Span>,
    assigned_at: Option<Span>,
    read: bool,
    written: bool,
}

struct Local<'a> {
    name: &'a str,
    var: Var,
    first: Span,
    read: bool,
    parameter: bool,
    assigned: bool,
}

struct Loop {
    span: Span,
    local: usize,
    var: Var,
}

/// The body that is looked at.
#[derive(Default)]
struct Body<'a> {
    locals: Vec<Local<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// Variables of the loops around, the innermost last.
    around: Vec<(&'a str, Var, usize)>,
    loops: Vec<Loop>,
}

#[derive(Default)]
struct Inference<'a> {
    types: Vec<Option<(Ty, Span)>>,
    /// To which types each one flows that is not known yet, and where.
    flows: Vec<Vec<(Var, Span)>>,
    order: Vec<&'a str>,
    globals: HashMap<&'a str, Guess>,
    constants: HashMap<&'a str, Var>,
    functions: HashMap<&'a str, Option<Ty>>,
    used: HashSet<String>,
    body: Body<'a>,
    done: Vec<(Span, Body<'a>)>,
}

/// Looks at a whole program once.
pub(super) fn infer(files: &[File]) -> Inferred {
    let mut inference = Inference::default();
    let items = || files.iter().flat_map(|file| &file.items).map(|item| &item.kind);
    for item in items() {
        match item {
            ItemKind::Const { name, .. } => {
                let var = inference.var();
                inference.constants.entry(&name.name).or_insert(var);
            }
            ItemKind::Function(function) => {
                inference.functions.insert(&function.name.name, function.returns.map(|ty| type_of(ty.kind)));
            }
            ItemKind::Global(list) => list.iter().for_each(|declaration| inference.declare(declaration)),
            ItemKind::Probe(_) | ItemKind::Import(_) | ItemKind::Broken => {}
        }
    }
    for item in items() {
        match item {
            ItemKind::Const { name, value } => {
                inference.expr(value);
                if let Some(&var) = inference.constants.get(name.name.as_str()) {
                    inference.give(var, value, value.span);
                }
            }
            ItemKind::Global(list) => {
                for declaration in list {
                    declaration.size.iter().for_each(|size| inference.expr(size));
                    let Some(value) = &declaration.value else { continue };
                    inference.expr(value);
                    let Some(var) = inference.globals.get(declaration.name.name.as_str()).map(|g| g.value) else {
                        continue;
                    };
                    inference.give(var, value, declaration.name.span.to(value.span));
                }
            }
            ItemKind::Function(function) => {
                for (name, ty) in &function.parameters {
                    let var = inference.local(&name.name, name.span, true);
                    inference.fix(var, type_of(ty.kind), ty.span);
                }
                inference.handler(None, Some(&function.body), function.body.span);
            }
            ItemKind::Probe(probe) => {
                for point in &probe.points {
                    match &point.kind {
                        PointKind::Every(expr) | PointKind::Site { what: What::Addr(expr), .. } => inference.expr(expr),
                        PointKind::Begin | PointKind::End | PointKind::Site { .. } => {}
                    }
                }
                if let Some(key) = key_of(probe) {
                    inference.handler(probe.condition.as_ref(), probe.body.as_ref(), key);
                }
            }
            ItemKind::Import(_) | ItemKind::Broken => {}
        }
    }
    inference.finish()
}

/// The type a written type means.
pub(super) fn type_of(kind: TypeNameKind) -> Ty {
    match kind {
        TypeNameKind::Int => Ty::Int,
        TypeNameKind::Str => Ty::Str,
    }
}

impl<'a> Inference<'a> {
    fn var(&mut self) -> Var {
        self.types.push(None);
        self.flows.push(Vec::new());
        self.types.len() - 1
    }

    /// A type becomes known, unless it was; and with it those it flows to.
    fn fix(&mut self, var: Var, ty: Ty, at: Span) {
        let mut waiting = vec![(var, at)];
        while let Some((var, at)) = waiting.pop() {
            let Some(slot @ None) = self.types.get_mut(var) else { continue };
            *slot = Some((ty, at));
            waiting.extend(self.flows.get_mut(var).map(std::mem::take).unwrap_or_default());
        }
    }

    fn flow(&mut self, from: Var, to: Var, at: Span) {
        match self.types.get(from).copied().flatten() {
            Some((ty, _)) => self.fix(to, ty, at),
            None => self.flows.get_mut(from).into_iter().for_each(|flows| flows.push((to, at))),
        }
    }

    /// A value's type flows into a variable.
    fn give(&mut self, to: Var, value: &'a Expr, at: Span) {
        let mut from = Vec::new();
        match self.ty(value, &mut from) {
            Some(ty) => self.fix(to, ty, at),
            None => from.into_iter().for_each(|from| self.flow(from, to, at)),
        }
    }

    fn known(&self, var: Var) -> Ty {
        self.types.get(var).copied().flatten().map_or(Ty::Int, |(ty, _)| ty)
    }

    fn declare(&mut self, declaration: &'a GlobalDeclaration) {
        let name = declaration.name.name.as_str();
        if self.globals.contains_key(name) {
            return;
        }
        let value = self.var();
        let initial = declaration.value.as_ref().map(|_| declaration.name.span);
        self.order.push(name);
        self.globals.insert(
            name,
            Guess {
                span: declaration.name.span,
                keys: None,
                scalar: initial.is_some(),
                value,
                fixed_at: initial,
                aggregated_at: None,
                asked_at: None,
                assigned_at: initial,
                read: false,
                written: false,
            },
        );
    }

    /// A local of the body, made where it is new.
    fn local(&mut self, name: &'a str, span: Span, parameter: bool) -> Var {
        if let Some(local) = self.body.by_name.get(name).and_then(|&index| self.body.locals.get(index)) {
            return local.var;
        }
        let var = self.var();
        self.body.by_name.insert(name, self.body.locals.len());
        self.body.locals.push(Local { name, var, first: span, read: false, parameter, assigned: false });
        var
    }

    fn handler(&mut self, condition: Option<&'a Expr>, body: Option<&'a Block>, key: Span) {
        // Names that are assigned somewhere are locals everywhere.
        let mut names: Vec<(&'a str, Span, bool)> = Vec::new();
        let mut assigned = |expr: &'a Expr| {
            if let ExprKind::Assign { target, .. } | ExprKind::Step { target, .. } = &expr.kind
                && let ExprKind::Name(name) = &walk::bare(target).kind
            {
                names.push((name, target.span, true));
            }
        };
        condition.iter().for_each(|condition| walk::expression(condition, &mut assigned));
        let mut loops: Vec<(&'a str, Span, bool)> = Vec::new();
        if let Some(body) = body {
            walk::expressions(body, &mut assigned);
            walk::statements(body, &mut |stmt| {
                if let StmtKind::Foreach(foreach) = &stmt.kind {
                    loops.extend(variables(foreach).map(|ident| (ident.name.as_str(), ident.span, false)));
                }
            });
        }
        names.extend(loops);
        for (name, span, assigned) in names {
            let is_parameter = self.body.by_name.contains_key(name);
            if !is_parameter && (self.globals.contains_key(name) || self.constants.contains_key(name)) {
                continue;
            }
            self.local(name, span, false);
            if let Some(local) = self.body.by_name.get(name).and_then(|&index| self.body.locals.get_mut(index)) {
                local.assigned |= assigned;
            }
        }
        condition.iter().for_each(|condition| self.expr(condition));
        body.iter().for_each(|body| self.block(body));
        self.done.push((key, std::mem::take(&mut self.body)));
    }

    fn finish(mut self) -> Inferred {
        let done = std::mem::take(&mut self.done);
        let locals = done.into_iter().map(|(key, body)| (key, self.slots(&body))).collect();
        let mut globals = Vec::new();
        for name in &self.order {
            let Some(guess) = self.globals.get(name) else { continue };
            let plain_first = |aggregated: Span| guess.assigned_at.is_some_and(|assigned| assigned < aggregated);
            let aggregate = match guess.aggregated_at {
                Some(aggregated) => Some(aggregated).filter(|at| !plain_first(*at)),
                None => guess.asked_at.filter(|_| guess.assigned_at.is_none()),
            };
            globals.push(GlobalUse {
                name: (*name).to_owned(),
                span: guess.span,
                keys: guess.keys.as_ref().map(|keys| keys.iter().map(|key| self.known(*key)).collect()),
                value: self.known(guess.value),
                fixed_at: guess.fixed_at,
                typed_at: self.types.get(guess.value).copied().flatten().map(|(_, at)| at),
                aggregate,
                assigned_at: guess.assigned_at,
                read: guess.read,
                written: guess.written,
            });
        }
        Inferred { globals, locals, used: self.used }
    }

    fn slots(&self, body: &Body<'a>) -> Locals {
        let mut locals = Locals::default();
        for local in &body.locals {
            locals.slots.push((local.name.to_owned(), self.known(local.var)));
            if !local.read && (local.parameter || local.assigned) {
                let what = if local.parameter { Unread::Parameter } else { Unread::Local };
                locals.unread.push((local.name.to_owned(), local.first, what));
            }
        }
        for each in &body.loops {
            let ty = self.known(each.var);
            // A loop whose variable has another type than the local of that name has one of its own.
            let index = match locals.slots.get(each.local) {
                Some((_, known)) if *known == ty => each.local,
                Some((name, _)) => {
                    let name = format!("{name}.{}", locals.slots.len());
                    locals.slots.push((name, ty));
                    locals.slots.len() - 1
                }
                None => continue,
            };
            if let Ok(index) = u32::try_from(index) {
                locals.loops.insert(each.span, LocalIndex(index));
            }
        }
        locals
    }

    /// The variable of a local's name, as a loop around or the body knows it.
    fn find(&self, name: &str) -> Option<(Var, usize)> {
        let around = self.body.around.iter().rev().find(|(known, ..)| *known == name);
        around.map(|(_, var, local)| (*var, *local)).or_else(|| {
            let index = *self.body.by_name.get(name)?;
            Some((self.body.locals.get(index)?.var, index))
        })
    }

    fn indexed(&mut self, name: &str, keys: &'a [Expr], at: Span) {
        if self.find(name).is_some() {
            return;
        }
        let Some(vars) = self.keys_of(name, keys.len(), at) else { return };
        for (var, key) in vars.into_iter().zip(keys) {
            self.give(var, key, at);
        }
    }

    /// The types of the parts of a map's key, where it may have so many.
    fn keys_of(&mut self, name: &str, count: usize, at: Span) -> Option<Vec<Var>> {
        let guess = self.globals.get(name)?;
        match &guess.keys {
            Some(known) => Some(known.clone()).filter(|known| known.len() == count),
            None if guess.scalar => None,
            None => {
                let vars: Vec<Var> = (0..count).map(|_| self.var()).collect();
                let guess = self.globals.get_mut(name)?;
                guess.keys = Some(vars.clone());
                guess.fixed_at.get_or_insert(at);
                Some(vars)
            }
        }
    }

    /// A name used without index: a scalar, unless an index said otherwise before.
    fn scalar(&mut self, name: &str, at: Span) {
        if let Some(guess) = self.globals.get_mut(name)
            && guess.keys.is_none()
        {
            guess.scalar = true;
            guess.fixed_at.get_or_insert(at);
        }
    }

    /// The type of an expression as far as its shape tells; where that is not known yet, what it depends on.
    fn ty(&self, expr: &'a Expr, from: &mut Vec<Var>) -> Option<Ty> {
        match &expr.kind {
            ExprKind::Int { .. } | ExprKind::Bool(_) | ExprKind::In { .. } | ExprKind::Step { .. } => Some(Ty::Int),
            ExprKind::Str(_) | ExprKind::TargetAll(_) | ExprKind::Dump { .. } => Some(Ty::Str),
            ExprKind::Name(name) => {
                let name = name.as_str();
                let global = || self.globals.get(name).map(|guess| guess.value);
                let var = self.find(name).map(|(var, _)| var).or_else(global);
                self.of(var.or_else(|| self.constants.get(name).copied())?, from)
            }
            // What is assigned, compared or a key is a number; text is asked for by user_string().
            ExprKind::Target(_) | ExprKind::Member { .. } => Some(Ty::Int),
            ExprKind::Call { name, .. } => match self.functions.get(name.name.as_str()) {
                Some(returns) => *returns,
                None => library::find(&name.name).and_then(|known| known.gives),
            },
            ExprKind::At { name, arguments } => match (name.name.as_str(), arguments.first()) {
                ("entry", Some(value)) => self.ty(value, from),
                _ => Some(Ty::Int),
            },
            ExprKind::Index { base, .. } => match &base.kind {
                ExprKind::Name(name) => self.of(self.globals.get(name.as_str())?.value, from),
                _ => Some(Ty::Int),
            },
            ExprKind::Unary { op, .. } => match op {
                UnaryOp::Neg | UnaryOp::Not | UnaryOp::BitNot | UnaryOp::Deref | UnaryOp::AddressOf => Some(Ty::Int),
            },
            ExprKind::Binary { op: BinaryOp::Concat, .. } => Some(Ty::Str),
            ExprKind::Binary { .. } => Some(Ty::Int),
            ExprKind::Ternary { then, otherwise, .. } => self.ty(then, from).or_else(|| self.ty(otherwise, from)),
            ExprKind::Assign { op: None, value, .. } => self.ty(value, from),
            ExprKind::Assign { op: Some(BinaryOp::Concat), .. } => Some(Ty::Str),
            ExprKind::Assign { op: Some(_), .. } => Some(Ty::Int),
            ExprKind::Paren(inner) => self.ty(inner, from),
            ExprKind::Broken => None,
        }
    }

    fn of(&self, var: Var, from: &mut Vec<Var>) -> Option<Ty> {
        let known = self.types.get(var).copied().flatten().map(|(ty, _)| ty);
        if known.is_none() {
            from.push(var);
        }
        known
    }
}

/// The variables of a loop: key parts, then the value.
pub(super) fn variables(foreach: &Foreach) -> impl Iterator<Item = &crate::syntax::ast::Ident> {
    foreach.keys.iter().map(|(ident, _)| ident).chain(&foreach.value)
}

/// The name that is written where a global may stand: alone or with an index.
fn global_of(expr: &Expr) -> Option<&str> {
    match &walk::bare(expr).kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Index { base, .. } => match &base.kind {
            ExprKind::Name(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
