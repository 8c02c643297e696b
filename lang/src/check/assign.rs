//! Owns what changes: assignments and steps, to globals, map entries and locals.

use super::nature::Nature;
use super::scope::Scope;
use super::{Checker, Typed};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, Expr, ExprKind, GlobalIndex, LocalIndex, Stmt, Ty, UpdateOp};
use crate::source::Span;
use crate::syntax::ast;

/// What can be assigned to.
enum Place {
    Local(LocalIndex, Ty),
    Global(GlobalIndex, Vec<Expr>, Ty),
}

impl Checker<'_> {
    /// An assignment as an expression; to a local it is a statement only ([`Checker::effect`]).
    pub(super) fn assign(
        &mut self,
        target: &ast::Expr,
        op: Option<ast::BinaryOp>,
        value: &ast::Expr,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let mut place = self.place(target, scope);
        let changed = self.assigned(place.as_mut(), target, op, value, span, scope);
        let (place, (update, changed)) = (place?, changed?);
        match place {
            Place::Local(local, ty) => {
                let value = Box::new(set(local, ty, update, changed, span));
                Some(Typed::new(ty, ExprKind::SetLocal { local, value, before: false }, span))
            }
            Place::Global(global, keys, ty) => {
                if update == UpdateOp::Set {
                    self.racy(target, op, value, span, scope);
                }
                let value = changed;
                let kind = ExprKind::Update { global, keys, op: update, value: Box::new(value), before: false };
                Some(Typed::new(ty, kind, span))
            }
        }
    }

    /// `x++` and the like as an expression.
    pub(super) fn step(
        &mut self,
        target: &ast::Expr,
        up: bool,
        prefix: bool,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        match self.place(target, scope)? {
            Place::Local(local, Ty::Int) => {
                let one = Expr::int(if up { 1 } else { -1 }, span);
                let value = Box::new(grown(local, Ty::Int, one, span));
                Some(Typed::new(Ty::Int, ExprKind::SetLocal { local, value, before: !prefix }, span))
            }
            Place::Global(global, keys, Ty::Int) => {
                let value = Box::new(Expr::int(if up { 1 } else { -1 }, span));
                let kind = ExprKind::Update { global, keys, op: UpdateOp::Add, value, before: !prefix };
                Some(Typed::new(Ty::Int, kind, span))
            }
            Place::Local(_, Ty::Str) | Place::Global(_, _, Ty::Str) => {
                self.report(Diagnostic::new(Code::E0201, target.span, "text cannot be counted up or down"));
                None
            }
        }
    }

    /// An expression as a statement, whose value nobody takes; `None` where it is no assignment or step.
    pub(super) fn effect(&mut self, expr: &ast::Expr, scope: &Scope<'_>) -> Option<Option<Stmt>> {
        match &expr.kind {
            ast::ExprKind::Paren(inner) => self.effect(inner, scope),
            ast::ExprKind::Assign { target, op, value } => Some(self.assignment(expr, target, *op, value, scope)),
            ast::ExprKind::Step { target, up, .. } => Some(self.step_statement(expr, target, *up, scope)),
            ast::ExprKind::Int { .. }
            | ast::ExprKind::Str(_)
            | ast::ExprKind::Bool(_)
            | ast::ExprKind::Name(_)
            | ast::ExprKind::Target(_)
            | ast::ExprKind::TargetAll(_)
            | ast::ExprKind::Dump { .. }
            | ast::ExprKind::Call { .. }
            | ast::ExprKind::At { .. }
            | ast::ExprKind::Member { .. }
            | ast::ExprKind::Index { .. }
            | ast::ExprKind::Unary { .. }
            | ast::ExprKind::Binary { .. }
            | ast::ExprKind::Ternary { .. }
            | ast::ExprKind::In { .. }
            | ast::ExprKind::Broken => None,
        }
    }

    fn assignment(
        &mut self,
        expr: &ast::Expr,
        target: &ast::Expr,
        op: Option<ast::BinaryOp>,
        value: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Option<Stmt> {
        let typed = self.assign(target, op, value, expr.span, scope)?;
        Some(match typed.value.kind {
            ExprKind::SetLocal { local, value, .. } => Stmt::SetLocal(local, *value),
            _ => Stmt::Effect(typed.value),
        })
    }

    fn step_statement(&mut self, expr: &ast::Expr, target: &ast::Expr, up: bool, scope: &Scope<'_>) -> Option<Stmt> {
        match self.place(target, scope)? {
            Place::Local(index, Ty::Int) => {
                let one = Expr::int(if up { 1 } else { -1 }, expr.span);
                Some(Stmt::SetLocal(index, grown(index, Ty::Int, one, expr.span)))
            }
            Place::Local(_, Ty::Str) => {
                self.report(Diagnostic::new(Code::E0201, target.span, "text cannot be counted up or down"));
                None
            }
            Place::Global(..) => self.step(target, up, true, expr.span, scope).map(|typed| Stmt::Effect(typed.value)),
        }
    }

    /// How the target changes, and by what. `x += e` and `x -= e` add; every other operator reads first.
    fn assigned(
        &mut self,
        place: Option<&mut Place>,
        target: &ast::Expr,
        op: Option<ast::BinaryOp>,
        value: &ast::Expr,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<(UpdateOp, Expr)> {
        let typed = self.expr(value, scope);
        let place = place?;
        let (ty, typed) = match place {
            Place::Local(_, ty) | Place::Global(_, _, ty) => (*ty, typed?),
        };
        match op {
            None => {
                let is_text = typed.nature == Nature::Str;
                if is_text != (ty == Ty::Str) && !typed.nature.is_program_text() {
                    self.conflict(target, ty, value.span, is_text);
                    return None;
                }
                let value = match ty {
                    Ty::Int if typed.nature.is_program_text() => self.text(typed, value.span)?,
                    Ty::Int => self.number(typed, value.span)?,
                    Ty::Str => self.text(typed, value.span)?,
                };
                Some((UpdateOp::Set, value))
            }
            Some(ast::BinaryOp::Add) if ty == Ty::Int => Some((UpdateOp::Add, self.number(typed, value.span)?)),
            Some(ast::BinaryOp::Sub) if ty == Ty::Int => {
                let value = self.number(typed, value.span)?;
                let span = value.span;
                let kind = super::expr::fold(ExprKind::Unary(ir::UnaryOp::Neg, Box::new(value)), span);
                Some((UpdateOp::Add, Expr { ty: Ty::Int, kind, span }))
            }
            Some(op) => {
                let old = held(place, target.span, scope);
                let typed = self.combine(op, (old, target.span), (typed, value.span), span, scope)?;
                let value = match ty {
                    Ty::Int => self.number(typed, span)?,
                    Ty::Str => self.text(typed, span)?,
                };
                Some((UpdateOp::Set, value))
            }
        }
    }

    fn conflict(&mut self, target: &ast::Expr, ty: Ty, value: Span, is_text: bool) {
        let given = if is_text { "text" } else { "a number" };
        let holds = match ty {
            Ty::Int => "a number",
            Ty::Str => "text",
        };
        let name = self.sources.slice(target.span).to_owned();
        let fixed = match &target.kind {
            ast::ExprKind::Name(name) => self.global(name).and_then(|(_, global)| global.typed_at),
            ast::ExprKind::Index { base, .. } => match &base.kind {
                ast::ExprKind::Name(name) => self.global(name).and_then(|(_, global)| global.typed_at),
                _ => None,
            },
            _ => None,
        };
        let mut problem =
            Diagnostic::new(Code::E0207, value, format!("`{name}` holds {holds}, this is {given}")).label(given);
        if let Some(fixed) = fixed {
            problem = problem.also(fixed, format!("it holds {holds} because of this"));
        }
        self.report(problem);
    }

    fn place(&mut self, target: &ast::Expr, scope: &Scope<'_>) -> Option<Place> {
        match &target.kind {
            ast::ExprKind::Paren(inner) => self.place(inner, scope),
            ast::ExprKind::Broken => None,
            ast::ExprKind::Name(name) => {
                if let Some((local, ty)) = scope.local(name) {
                    return Some(Place::Local(local, ty));
                }
                if self.constants.contains_key(name) {
                    self.report(
                        Diagnostic::new(Code::E0210, target.span, format!("`{name}` is a constant and cannot change"))
                            .help(format!("declare it with `global {name}`")),
                    );
                    return None;
                }
                // Reports what is wrong with the name: unknown, or a map without a key.
                if let Some((_, global)) = self.global(name).filter(|(_, global)| global.aggregate.is_some()) {
                    self.is_aggregate(name, &global, target.span, true);
                    return None;
                }
                let typed = self.name_of_global(name, target.span, scope)?;
                Some(typed)
            }
            ast::ExprKind::Index { base, indices } => {
                let ast::ExprKind::Name(name) = &base.kind else {
                    self.not_assignable(target);
                    return None;
                };
                let (index, keys) = self.map_key(name, base.span, indices, target.span, scope)?;
                let (_, global) = self.global(name)?;
                if global.aggregate.is_some() {
                    self.is_aggregate(name, &global, target.span, true);
                    return None;
                }
                Some(Place::Global(index, keys, global.value))
            }
            ast::ExprKind::Int { .. }
            | ast::ExprKind::Str(_)
            | ast::ExprKind::Bool(_)
            | ast::ExprKind::Target(_)
            | ast::ExprKind::TargetAll(_)
            | ast::ExprKind::Dump { .. }
            | ast::ExprKind::Call { .. }
            | ast::ExprKind::At { .. }
            | ast::ExprKind::Member { .. }
            | ast::ExprKind::Unary { .. }
            | ast::ExprKind::Binary { .. }
            | ast::ExprKind::Ternary { .. }
            | ast::ExprKind::In { .. }
            | ast::ExprKind::Assign { .. }
            | ast::ExprKind::Step { .. } => {
                self.not_assignable(target);
                None
            }
        }
    }

    fn name_of_global(&mut self, name: &str, span: Span, scope: &Scope<'_>) -> Option<Place> {
        let bare = ast::Expr { kind: ast::ExprKind::Name(name.to_owned()), span };
        let typed = self.expr(&bare, scope)?;
        match typed.value.kind {
            ExprKind::Global(index) => Some(Place::Global(index, Vec::new(), typed.value.ty)),
            _ => None,
        }
    }

    fn not_assignable(&mut self, target: &ast::Expr) {
        let problem = Diagnostic::new(Code::E0210, target.span, "this cannot be assigned to");
        self.report(match of_the_program(target) {
            true => problem.note("nothing in the traced program can be written"),
            false => problem.help("only locals, globals and map entries can"),
        });
    }
}

/// Whether an expression names something of the traced program.
fn of_the_program(expr: &ast::Expr) -> bool {
    match &expr.kind {
        ast::ExprKind::Target(_) | ast::ExprKind::Member { .. } => true,
        ast::ExprKind::At { name, .. } => matches!(name.name.as_str(), "var" | "cast" | "entry"),
        ast::ExprKind::Unary { op: ast::UnaryOp::Deref, .. } => true,
        ast::ExprKind::Index { base, .. } => of_the_program(base),
        ast::ExprKind::Paren(inner) => of_the_program(inner),
        ast::ExprKind::Unary { .. }
        | ast::ExprKind::Int { .. }
        | ast::ExprKind::Str(_)
        | ast::ExprKind::Bool(_)
        | ast::ExprKind::Name(_)
        | ast::ExprKind::TargetAll(_)
        | ast::ExprKind::Dump { .. }
        | ast::ExprKind::Call { .. }
        | ast::ExprKind::Binary { .. }
        | ast::ExprKind::Ternary { .. }
        | ast::ExprKind::In { .. }
        | ast::ExprKind::Assign { .. }
        | ast::ExprKind::Step { .. }
        | ast::ExprKind::Broken => false,
    }
}

/// A local plus a number.
fn grown(index: LocalIndex, ty: Ty, by: Expr, span: Span) -> Expr {
    let old = Expr { ty, kind: ExprKind::Local(index), span };
    Expr { ty: Ty::Int, kind: ExprKind::Binary(ir::BinaryOp::Add, Box::new(old), Box::new(by)), span }
}

/// What a local becomes.
fn set(local: LocalIndex, ty: Ty, update: UpdateOp, value: Expr, span: Span) -> Expr {
    match update {
        UpdateOp::Set => value,
        UpdateOp::Add => grown(local, ty, value, span),
    }
}

/// What is in a place before it changes. Parts of its key that change something are computed once, and kept.
fn held(place: &mut Place, span: Span, scope: &Scope<'_>) -> Typed {
    let (ty, kind) = match place {
        Place::Local(index, ty) => (*ty, ExprKind::Local(*index)),
        Place::Global(index, keys, ty) if keys.is_empty() => (*ty, ExprKind::Global(*index)),
        Place::Global(index, keys, ty) => {
            let mut again = Vec::new();
            for key in keys.iter_mut() {
                if changes(key) {
                    let local = scope.temporary(key.ty);
                    let (ty, span) = (key.ty, key.span);
                    again.push(Expr { ty, kind: ExprKind::Local(local), span });
                    let value = Box::new(std::mem::replace(key, Expr::int(0, span)));
                    *key = Expr { ty, kind: ExprKind::SetLocal { local, value, before: false }, span };
                } else {
                    again.push(key.clone());
                }
            }
            (*ty, ExprKind::MapGet(*index, again))
        }
    };
    Typed::new(ty, kind, span)
}

/// Whether computing it changes something, or may.
fn changes(expr: &Expr) -> bool {
    let mut any = matches!(expr.kind, ExprKind::Update { .. } | ExprKind::SetLocal { .. } | ExprKind::Call(..));
    expr.operands(&mut |operand| any = any || changes(operand));
    any
}
