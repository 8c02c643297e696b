//! Owns aggregates: `<<<`, what is asked of them, histograms, and whole maps as they are printed.

use super::infer::GlobalUse;
use super::scope::Scope;
use super::{Checker, Typed, walk};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::ir::{Constant, Expr, ExprKind, GlobalIndex, Linear, Piece, StatOp, Stmt, Ty};
use crate::source::Span;
use crate::stats::MOST_LINEAR_BUCKETS;
use crate::syntax::ast;

/// What may be asked of an aggregate, by name without `@`.
pub(super) const STATS: &[(&str, StatOp)] = &[
    ("count", StatOp::Count),
    ("sum", StatOp::Sum),
    ("min", StatOp::Min),
    ("max", StatOp::Max),
    ("avg", StatOp::Avg),
    ("p50", StatOp::Quantile(50)),
    ("p90", StatOp::Quantile(90)),
    ("p99", StatOp::Quantile(99)),
];

/// What an `@name` means to the value it is asked of.
pub(super) fn stat_op(name: &str) -> Option<StatOp> {
    STATS.iter().find(|(known, _)| *known == name).map(|(_, op)| *op)
}

/// Whether `@name` asks something of an aggregate.
pub(super) fn is_one(name: &str) -> bool {
    is_histogram(name) || stat_op(name).is_some()
}

fn is_histogram(name: &str) -> bool {
    matches!(name, "hist_log" | "hist_linear")
}

impl Checker<'_> {
    /// `x <<< e`, `m[k] <<< e`
    pub(super) fn feed(
        &mut self,
        target: &ast::Expr,
        value: &ast::Expr,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Stmt> {
        let place = self.aggregate(target, false, scope);
        let value = self.int(value, scope);
        let (global, keys) = place?;
        Some(Stmt::Aggregate { global, keys, value: value?, span })
    }

    /// `@avg(x)` and its like, where a value is wanted.
    pub(super) fn asked(
        &mut self,
        name: &ast::Ident,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let Some(op) = stat_op(&name.name) else {
            self.report(
                Diagnostic::new(Code::E0206, span, format!("`@{}` draws: it can only be printed", name.name))
                    .help(format!("println({})", self.sources.slice(span))),
            );
            return None;
        };
        let [argument] = arguments else {
            self.report(
                Diagnostic::new(
                    Code::E0203,
                    span,
                    format!("`@{}` takes 1 argument, not {}", name.name, arguments.len()),
                )
                .help(format!("@{}(x), of what `x <<< VALUE` fed", name.name)),
            );
            return None;
        };
        let (global, keys) = self.aggregate(argument, false, scope)?;
        self.asks(global, op);
        Some(Typed::new(Ty::Int, ExprKind::Stat { global, keys, op }, span))
    }

    /// What is asked of an aggregate may want it to keep more.
    fn asks(&mut self, global: GlobalIndex, op: StatOp) {
        if let (StatOp::Quantile(_), Some(shape)) = (op, self.shapes.get_mut(global.0 as usize)) {
            shape.log = true;
        }
    }

    /// An aggregate: of its own, or one of a map; all of a map where `whole` allows it.
    fn aggregate(&mut self, target: &ast::Expr, whole: bool, scope: &Scope<'_>) -> Option<(GlobalIndex, Vec<Expr>)> {
        let target = walk::bare(target);
        let name = match &target.kind {
            ast::ExprKind::Broken => return None,
            ast::ExprKind::Name(name) => name,
            ast::ExprKind::Index { base, .. } => match &base.kind {
                ast::ExprKind::Name(name) => name,
                _ => return self.no_aggregate(target),
            },
            _ => return self.no_aggregate(target),
        };
        let place = match &target.kind {
            ast::ExprKind::Index { base, .. } => base.span,
            _ => target.span,
        };
        let (index, global) = self.whole_global(name, place, scope)?;
        if global.aggregate.is_none() {
            let fixed = global.assigned_at.or(global.fixed_at).unwrap_or(global.span);
            self.report(
                Diagnostic::new(Code::E0207, target.span, format!("`{name}` is used as an aggregate here"))
                    .also(fixed, "and holds a value of its own here")
                    .note("an aggregate takes values with `<<<` and is asked with `@count`, `@avg` and the like"),
            );
            return None;
        }
        match &target.kind {
            ast::ExprKind::Index { indices, .. } => {
                let (index, keys) = self.map_key(name, place, indices, target.span, scope)?;
                Some((index, keys))
            }
            _ if global.keys.is_some() && !whole => {
                self.report(
                    Diagnostic::new(Code::E0201, target.span, format!("`{name}` is a map: a key is missing"))
                        .also(global.fixed_at.unwrap_or(global.span), "used as a map here")
                        .help(format!("name one: {name}[KEY]"))
                        .help(format!("print({name}) shows all of them, print(@count({name})) the count of each")),
                );
                None
            }
            _ => Some((index, Vec::new())),
        }
    }

    fn no_aggregate<T>(&mut self, target: &ast::Expr) -> Option<T> {
        self.report(
            Diagnostic::new(Code::E0201, target.span, "this is no aggregate")
                .note("an aggregate is a global, or an entry of a map, that `<<<` feeds"),
        );
        None
    }

    /// Reports that an aggregate is read or written as if it were a value.
    pub(super) fn is_aggregate(&mut self, name: &str, global: &GlobalUse, span: Span, assigned: bool) {
        let written = self.sources.slice(span).to_owned();
        let fed = global.aggregate.unwrap_or(global.span);
        let problem = match assigned {
            true => Diagnostic::new(Code::E0207, span, format!("`{name}` is an aggregate elsewhere, and a value here"))
                .also(fed, "an aggregate here"),
            false => Diagnostic::new(Code::E0201, span, format!("`{name}` is an aggregate: say what of it is wanted"))
                .also(fed, "an aggregate because of this")
                .help(format!("@count({written}), @sum({written}), @min({written}), @max({written}), @avg({written})")),
        };
        self.report(problem);
    }

    /// What is printed whole: a map, an aggregate, a histogram. `None` for everything else.
    pub(super) fn whole(&mut self, argument: &ast::Expr, scope: &Scope<'_>) -> Option<Option<Vec<Piece>>> {
        let argument = walk::bare(argument);
        match &argument.kind {
            ast::ExprKind::At { name, arguments } if is_histogram(&name.name) => {
                Some(self.histogram(name, arguments, argument.span, scope).map(|piece| vec![piece]))
            }
            ast::ExprKind::At { name, arguments } => {
                let (op, [of]) = (stat_op(&name.name)?, arguments.as_slice()) else { return None };
                let ast::ExprKind::Name(map) = &walk::bare(of).kind else { return None };
                let (global, declared) = self.global(map).filter(|_| scope.local(map).is_none())?;
                if declared.aggregate.is_none() || declared.keys.is_none() {
                    return None;
                }
                self.asks(global, op);
                let there = self.needs_host(&format!("printing `{op}` of each entry of `{map}`"), argument.span, scope);
                Some(there.then(|| vec![Piece::Table { global, asked: Some(op) }]))
            }
            ast::ExprKind::Name(name) if scope.local(name).is_none() => {
                let (index, global) = self.global(name)?;
                let what = match (global.keys.is_some(), global.aggregate.is_some()) {
                    (false, false) => return None,
                    (true, _) => format!("printing the whole map `{name}`"),
                    (false, true) => format!("printing the aggregate `{name}` whole"),
                };
                let there = self.needs_host(&what, argument.span, scope);
                Some(there.then(|| vec![Piece::Table { global: index, asked: None }]))
            }
            _ => None,
        }
    }

    /// `@hist_log(x)`, `@hist_linear(x, low, high, step)`
    fn histogram(
        &mut self,
        name: &ast::Ident,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Piece> {
        let linear = name.name == "hist_linear";
        let wanted = if linear { 4 } else { 1 };
        if arguments.len() != wanted {
            let takes = super::call::count(wanted);
            self.report(
                Diagnostic::new(Code::E0203, span, format!("`@{}` takes {takes}, not {}", name.name, arguments.len()))
                    .help(if linear { "@hist_linear(x, LOW, HIGH, STEP)" } else { "@hist_log(x)" }),
            );
            return None;
        }
        let (target, numbers) = arguments.split_first()?;
        let place = self.aggregate(target, true, scope);
        let buckets = if linear { Some(self.linear(numbers, span)) } else { None };
        if !self.needs_host("a histogram", span, scope) {
            return None;
        }
        let (global, keys) = place?;
        let linear = match buckets {
            Some(linear) => Some(linear?),
            None => None,
        };
        if let Some(shape) = self.shapes.get_mut(global.0 as usize) {
            match linear {
                None => shape.log = true,
                Some(linear) if !shape.linear.contains(&linear) => shape.linear.push(linear),
                Some(_) => {}
            }
        }
        Some(Piece::Histogram { global, keys, linear, span })
    }

    fn linear(&mut self, numbers: &[ast::Expr], span: Span) -> Option<Linear> {
        let mut values = Vec::new();
        for number in numbers {
            match self.constant(number) {
                Some(Constant::Int(value)) => values.push(Some(value)),
                Some(Constant::Str(_)) => {
                    self.report(Diagnostic::new(Code::E0201, number.span, "a number is wanted here, this is text"));
                    values.push(None);
                }
                None => values.push(None),
            }
        }
        let [Some(low), Some(high), Some(step)] = *values.as_slice() else { return None };
        let [_, high_place, step_place] = numbers else { return None };
        let problem = if step < 1 {
            Some((step_place.span, "a bucket is at least 1 wide".to_owned()))
        } else if low >= high {
            Some((high_place.span, format!("the last bucket is to lie above the first: {high} is not above {low}")))
        } else {
            let buckets = (i128::from(high) - i128::from(low)) / i128::from(step) + 1;
            let most = MOST_LINEAR_BUCKETS - 2;
            (buckets > i128::from(most)).then(|| (span, format!("these are {buckets} buckets, more than {most}")))
        };
        if let Some((place, message)) = problem {
            let help = "@hist_linear(x, 0, 100, 10) has buckets of 10 from 0 to 100";
            self.report(Diagnostic::new(Code::E0201, place, message).help(help));
            return None;
        }
        Some(Linear { low, high, step })
    }

    /// What to say of an `@name` that the language does not have.
    pub(super) fn unknown_at(&mut self, name: &ast::Ident) {
        let others = ["hist_log", "hist_linear", "defined", "entry", "cast", "var", "enum", "sizeof"];
        let known: Vec<String> =
            STATS.iter().map(|(name, _)| *name).chain(others).map(|name| format!("@{name}")).collect();
        let written = format!("@{}", name.name);
        let near = nearest_names(&written, known.iter().map(String::as_str), 3);
        self.report_name(Diagnostic::new(Code::E0108, name.span, format!("there is no `{written}`")).nearest(&near));
    }
}
