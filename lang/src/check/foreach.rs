//! Owns work on maps: `foreach`, `delete`.

use super::infer::{self, GlobalUse};
use super::scope::Scope;
use super::{Checker, aggregate, walk};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::ir::{self, ForeachOrder, GlobalIndex, LocalIndex, OrderBy, StatOp, Stmt, Ty};
use crate::source::Span;
use crate::syntax::ast::{self, Order};

impl Checker<'_> {
    pub(super) fn foreach(&mut self, foreach: &ast::Foreach, span: Span, scope: &Scope<'_>, out: &mut Vec<Stmt>) {
        let there = self.needs_host("`foreach`", span, scope);
        let map = self.map_of(foreach, scope);
        let order = map.as_ref().and_then(|(index, map)| self.foreach_order(foreach, *index, map));
        let limit = foreach.limit.as_ref().map(|limit| self.int(limit, scope));
        let outside = scope.renamed.borrow().len();
        let variables = self.variables(foreach, scope);
        scope.loops.set(scope.loops.get() + 1);
        let mut body = Vec::new();
        self.statement(&foreach.body, scope, &mut body);
        scope.loops.set(scope.loops.get().saturating_sub(1));
        scope.renamed.borrow_mut().truncate(outside);
        let (Some((global, _)), Some(order), Some(mut variables), true) = (map, order, variables, there) else {
            return;
        };
        let limit = match limit {
            None => None,
            Some(Some(limit)) => Some(limit),
            Some(None) => return,
        };
        let value = if foreach.value.is_some() { variables.pop() } else { None };
        let foreach = ir::Foreach { global, keys: variables, value, order, limit, body, span };
        out.push(Stmt::Foreach(Box::new(foreach)));
    }

    /// The map that is gone through, with keys of as many parts as there are names.
    fn map_of(&mut self, foreach: &ast::Foreach, scope: &Scope<'_>) -> Option<(GlobalIndex, GlobalUse)> {
        let (name, span) = (&foreach.map.name, foreach.map.span);
        let (index, global) = self.whole_global(name, span, scope)?;
        let parts = |count: usize| if count == 1 { "1 part".to_owned() } else { format!("{count} parts") };
        let fixed = global.fixed_at.unwrap_or(global.span);
        match &global.keys {
            None => {
                self.report(
                    Diagnostic::new(Code::E0207, span, format!("`{name}` is one value, not a map"))
                        .also(fixed, "used as one value here"),
                );
                None
            }
            Some(keys) if keys.len() != foreach.keys.len() => {
                let (has, names) = (parts(keys.len()), foreach.keys.len());
                let first = foreach.keys.first().map_or(span, |(ident, _)| ident.span);
                let place = foreach.keys.last().map_or(first, |(ident, _)| first.to(ident.span));
                self.report(
                    Diagnostic::new(Code::E0207, place, format!("the key of `{name}` has {has}, not {names}"))
                        .also(fixed, format!("used with {has} here")),
                );
                None
            }
            Some(_) => Some((index, global)),
        }
    }

    /// A global that is named without a key.
    pub(super) fn whole_global(
        &mut self,
        name: &str,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<(GlobalIndex, GlobalUse)> {
        if scope.local(name).is_none()
            && let Some(found) = self.global(name)
        {
            return Some(found);
        }
        if !self.broken.contains(name) {
            let known = self.globals.iter().map(|global| global.name.as_str());
            let near = self.near(name, known);
            self.report_name(
                Diagnostic::new(Code::E0106, span, format!("no global is named `{name}`"))
                    .nearest(&near)
                    .help(format!("maps are globals: declare it with `global {name}`")),
            );
        }
        None
    }

    /// The locals that take key and value; from here on their names mean them.
    fn variables(&mut self, foreach: &ast::Foreach, scope: &Scope<'_>) -> Option<Vec<LocalIndex>> {
        let mut indices = Vec::new();
        let mut seen: Vec<&ast::Ident> = Vec::new();
        for ident in infer::variables(foreach) {
            let taken = self.global(&ident.name).map(|(_, global)| global.span);
            let other = seen.iter().find(|other| other.name == ident.name).map(|other| other.span);
            if let Some(before) = other.or(taken.filter(|_| scope.local(&ident.name).is_none())) {
                let what = if other.is_some() { "twice in this loop" } else { "a global, too" };
                self.report(
                    Diagnostic::new(Code::E0107, ident.span, format!("`{}` is {what}", ident.name))
                        .also(before, "here")
                        .help("take another name for the variable of the loop"),
                );
                indices.push(None);
                continue;
            }
            if self.constants.contains_key(&ident.name) {
                self.report(Diagnostic::new(
                    Code::E0210,
                    ident.span,
                    format!("`{}` is a constant and cannot change", ident.name),
                ));
            }
            seen.push(ident);
            let index = self.loop_variables.get(&ident.span).copied();
            if let Some(index) = index {
                scope.renamed.borrow_mut().push((ident.name.clone(), index));
            }
            indices.push(index);
        }
        indices.into_iter().collect()
    }

    /// The order that is asked for: `Some(None)` for any.
    fn foreach_order(
        &mut self,
        foreach: &ast::Foreach,
        index: GlobalIndex,
        map: &GlobalUse,
    ) -> Option<Option<ForeachOrder>> {
        let falling = |order: Order| match order {
            Order::Rising => false,
            Order::Falling => true,
        };
        let mut orders = Vec::new();
        for (part, (ident, order)) in foreach.keys.iter().enumerate() {
            orders.extend(order.map(|order| (ident.span, OrderBy::Key(part), order)));
        }
        if let Some((stat, order)) = &foreach.sort {
            let by = match (stat, map.aggregate) {
                (None, None) => OrderBy::Value,
                (None, Some(_)) => OrderBy::Stat(StatOp::Count),
                (Some(name), Some(_)) => OrderBy::Stat(self.stat_op(name, index)?),
                (Some(name), None) => {
                    self.report(
                        Diagnostic::new(
                            Code::E0201,
                            name.span,
                            format!("`{}` holds no aggregates: `@{}` means nothing here", map.name, name.name),
                        )
                        .also(map.typed_at.or(map.fixed_at).unwrap_or(map.span), format!("it holds {} here", map.value))
                        .help(format!("order by value: {}-", map.name)),
                    );
                    return None;
                }
            };
            let place = stat.as_ref().map_or(foreach.map.span, |name| name.span);
            orders.push((place, by, *order));
        }
        let mut orders = orders.into_iter();
        let Some((first, by, order)) = orders.next() else { return Some(None) };
        if let Some((second, ..)) = orders.next() {
            self.report(
                Diagnostic::new(Code::E0203, second, "a loop has one order, not two").also(first, "ordered by this"),
            );
            return None;
        }
        Some(Some(ForeachOrder { by, falling: falling(order) }))
    }

    /// What is asked of the aggregates of a global, by name without `@`.
    pub(super) fn stat_op(&mut self, name: &ast::Ident, global: GlobalIndex) -> Option<StatOp> {
        let Some(op) = aggregate::stat_op(&name.name) else {
            let known = aggregate::STATS.iter().map(|(name, _)| *name);
            self.report(
                Diagnostic::new(Code::E0108, name.span, format!("`@{}` is nothing to order by", name.name))
                    .nearest(&nearest_names(&name.name, known, 3))
                    .note("there are @count, @sum, @min, @max, @avg, @p50, @p90 and @p99"),
            );
            return None;
        };
        if let (StatOp::Quantile(_), Some(shape)) = (op, self.shapes.get_mut(global.0 as usize)) {
            shape.log = true;
        }
        Some(op)
    }

    /// `delete m[k]`, `delete m`, `delete x`
    pub(super) fn delete(&mut self, target: &ast::Expr, span: Span, scope: &Scope<'_>) -> Option<Stmt> {
        let target = walk::bare(target);
        match &target.kind {
            ast::ExprKind::Broken => None,
            ast::ExprKind::Name(name) => {
                if let Some((local, ty)) = scope.local(name) {
                    // A local begins anew.
                    let kind = match ty {
                        Ty::Int => ir::ExprKind::Int(0),
                        Ty::Str => ir::ExprKind::Str(Vec::new()),
                    };
                    return Some(Stmt::SetLocal(local, ir::Expr { ty, kind, span }));
                }
                let (global, used) = self.whole_global(name, target.span, scope)?;
                let whole = used.keys.is_some();
                if whole && !self.needs_host(&format!("`delete {name}`, a whole map,"), span, scope) {
                    return None;
                }
                Some(Stmt::Delete { global, keys: Vec::new(), span })
            }
            ast::ExprKind::Index { base, indices } => {
                let ast::ExprKind::Name(name) = &base.kind else {
                    self.cannot_delete(target);
                    return None;
                };
                let (global, keys) = self.map_key(name, base.span, indices, target.span, scope)?;
                Some(Stmt::Delete { global, keys, span })
            }
            _ => {
                self.cannot_delete(target);
                None
            }
        }
    }

    fn cannot_delete(&mut self, target: &ast::Expr) {
        self.report(
            Diagnostic::new(Code::E0210, target.span, "this cannot be deleted")
                .help("delete MAP[KEY] takes out an entry, delete MAP all of them"),
        );
    }
}
