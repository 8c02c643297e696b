//! Owns expressions: names looked up, operands judged, values lowered. Calls and assignments have files of their own.

use super::nature::Nature;
use super::object::{Held, Object, moved};
use super::shape::Shape;
use super::{AtSite, Checker, Scope, Typed, aggregate, lints};
use crate::codes::Code;
use crate::debuginfo::facts::{self, Unavailable, VariableKind};
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::ir::{self, CompareOp, Constant, Expr, ExprKind, GlobalIndex, Ty};
use crate::resolve::unsupported;
use crate::source::Span;
use crate::syntax::ast;

impl Typed {
    pub(super) fn new(ty: Ty, kind: ExprKind, span: Span) -> Typed {
        Typed { value: Expr { ty, kind, span }, nature: Nature::of(ty), missing: None, object: None }
    }
}

impl Checker<'_> {
    /// Checks an expression; `None` where something in it was reported.
    pub(super) fn expr(&mut self, expr: &ast::Expr, scope: &Scope<'_>) -> Option<Typed> {
        let span = expr.span;
        if let Some(done) = self.at_return(expr, scope) {
            return done;
        }
        match &expr.kind {
            ast::ExprKind::Int { value, .. } => Some(Typed::new(Ty::Int, ExprKind::Int(*value), span)),
            ast::ExprKind::Bool(value) => Some(Typed::new(Ty::Int, ExprKind::Int(i64::from(*value)), span)),
            ast::ExprKind::Str(bytes) => Some(Typed::new(Ty::Str, ExprKind::Str(bytes.clone()), span)),
            ast::ExprKind::Name(name) => self.name(name, span, scope),
            ast::ExprKind::Target(name) => self.target(name, span, scope),
            ast::ExprKind::Paren(inner) => self.expr(inner, scope),
            ast::ExprKind::Call { name, arguments } => self.call(name, arguments, span, scope),
            ast::ExprKind::Index { base, indices } => self.index(base, indices, span, scope),
            ast::ExprKind::Unary { op, operand } => self.unary(*op, operand, span, scope),
            ast::ExprKind::Binary { op, left, right } => self.binary(*op, left, right, span, scope),
            ast::ExprKind::Ternary { condition, then, otherwise } => {
                self.ternary(condition, then, otherwise, span, scope)
            }
            ast::ExprKind::In { keys, map } => {
                let (index, keys) = self.map_key(&map.name, map.span, keys, span, scope)?;
                Some(Typed::new(Ty::Int, ExprKind::MapHas(index, keys), span))
            }
            ast::ExprKind::Assign { target, op, value } => self.assign(target, *op, value, span, scope),
            ast::ExprKind::Step { target, up, prefix } => self.step(target, *up, *prefix, span, scope),
            ast::ExprKind::TargetAll(word) => {
                self.report(
                    Diagnostic::new(Code::E0206, span, format!("`$${word}` can only be printed"))
                        .help(format!("println($${word})")),
                );
                None
            }
            ast::ExprKind::Member { base, name, .. } => self.member(base, name, span, scope),
            ast::ExprKind::Dump { .. } => {
                let written = self.sources.slice(span).to_owned();
                self.report(
                    Diagnostic::new(Code::E0206, span, "a whole value can only be printed")
                        .help(format!("println({written})")),
                );
                None
            }
            ast::ExprKind::At { name, arguments } if aggregate::is_one(&name.name) => {
                self.asked(name, arguments, span, scope)
            }
            ast::ExprKind::At { name, arguments } => match self.of_program(name, arguments, span, scope) {
                Some(typed) => typed,
                None => {
                    match name.name.as_str() {
                        "entry" => self.report(unsupported(span, "`@entry`")),
                        _ => self.unknown_at(name),
                    }
                    None
                }
            },
            ast::ExprKind::Broken => None,
        }
    }

    /// A number for a computation.
    pub(super) fn int(&mut self, expr: &ast::Expr, scope: &Scope<'_>) -> Option<Expr> {
        let typed = self.expr(expr, scope)?;
        self.number(typed, expr.span)
    }

    /// What was checked, as a number for a computation.
    pub(super) fn number(&mut self, typed: Typed, span: Span) -> Option<Expr> {
        match &typed.nature {
            Nature::Str => {
                self.report(Diagnostic::new(Code::E0201, span, "a number is wanted here, this is text").label("text"));
                None
            }
            Nature::Float { .. } => {
                self.report(
                    Diagnostic::new(Code::E0201, span, "floating-point numbers take no part in computations")
                        .label("a floating-point number")
                        .help("print it: %f, %e or %g"),
                );
                None
            }
            Nature::Text { what } => {
                self.report(text_unread(span, what, self.sources.slice(span)));
                None
            }
            Nature::Whole { what } | Nature::Opaque { what } => {
                let message = format!("a number is wanted here, this is {what}");
                let problem = Diagnostic::new(Code::E0201, span, message);
                self.report(if matches!(typed.nature, Nature::Whole { .. }) {
                    problem.help("name what is wanted of it: a member (`->name`) or an element (`[0]`)")
                } else {
                    problem
                });
                None
            }
            Nature::Int
            | Nature::Number { .. }
            | Nature::Char { .. }
            | Nature::Bool { .. }
            | Nature::Enum { .. }
            | Nature::Pointer { .. } => self.present(typed, span),
        }
    }

    /// Text for a computation: `char *` is none until `user_string` reads it.
    pub(super) fn text(&mut self, typed: Typed, span: Span) -> Option<Expr> {
        match &typed.nature {
            Nature::Str => self.present(typed, span),
            Nature::Pointer { text: true, .. } => {
                self.report(address_as_text(span, self.sources.slice(span)));
                None
            }
            Nature::Text { what } => {
                self.report(text_unread(span, what, self.sources.slice(span)));
                None
            }
            Nature::Int
            | Nature::Number { .. }
            | Nature::Char { .. }
            | Nature::Bool { .. }
            | Nature::Enum { .. }
            | Nature::Float { .. }
            | Nature::Whole { .. }
            | Nature::Opaque { .. }
            | Nature::Pointer { text: false, .. } => {
                let what = typed.nature.in_words();
                self.report(
                    Diagnostic::new(Code::E0201, span, format!("text is wanted here, this is {what}")).label(what),
                );
                None
            }
        }
    }

    /// The value, or the error that a computation needs one that is not there at this site.
    fn present(&mut self, typed: Typed, span: Span) -> Option<Expr> {
        let Some(missing) = typed.missing else { return Some(typed.value) };
        let reason = reason(&missing.why);
        let mut problem = Diagnostic::new(
            Code::E0205,
            span,
            format!("`{}` has no value where the probe stands: {reason}", missing.name),
        );
        for place in elsewhere(&missing) {
            problem = problem.note(place);
        }
        self.report(
            problem
                .note("only shown, it is printed as `<optimized out>`; a computation needs it")
                .help("`.call` behind the function leaves inlined instances out; `ctp run --plan` lists the places"),
        );
        None
    }

    pub(super) fn condition(&mut self, expr: &ast::Expr, scope: &Scope<'_>) -> Option<Expr> {
        let value = self.int(expr, scope)?;
        if let Some(always) = lints::always(&value).filter(|_| !super::cast::asks_defined(expr)) {
            let always = if always { "always true" } else { "always false" };
            self.report(Diagnostic::new(Code::W0002, expr.span, format!("this condition is {always}")));
        }
        Some(value)
    }

    fn name(&mut self, name: &str, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        if let Some((index, ty)) = scope.local(name) {
            return Some(Typed::new(ty, ExprKind::Local(index), span));
        }
        if let Some(constant) = self.constants.get(name) {
            return Some(match constant {
                Constant::Int(number) => Typed::new(Ty::Int, ExprKind::Int(*number), span),
                Constant::Str(bytes) => Typed::new(Ty::Str, ExprKind::Str(bytes.clone()), span),
            });
        }
        if let Some((index, global)) = self.global(name) {
            if let Some(keys) = &global.keys {
                let problem = Diagnostic::new(Code::E0201, span, format!("`{name}` is a map: a key is missing"))
                    .also(
                        global.fixed_at.unwrap_or(global.span),
                        format!("used as a map with {} here", parts(keys.len())),
                    )
                    .help(format!("name an entry: {name}[KEY]"));
                self.report(problem);
                return None;
            }
            if global.aggregate.is_some() {
                self.is_aggregate(name, &global, span, false);
                return None;
            }
            return Some(Typed::new(global.value, ExprKind::Global(index), span));
        }
        if self.broken.contains(name) {
            return None;
        }
        let globals = self.globals.iter().map(|global| global.name.as_str());
        let locals = scope.locals.iter().map(|(local, _)| local.as_str());
        let known = globals.chain(self.constants.keys().map(String::as_str)).chain(locals);
        let mut problem = Diagnostic::new(Code::E0106, span, format!("no global, constant or local is named `{name}`"))
            .nearest(&self.near(name, known));
        let parameters = scope.site.map(|at| at.site.variables.as_slice()).unwrap_or_default();
        if parameters.iter().any(|variable| variable.name == name) {
            problem = problem.help(format!("the program's own `{name}` is written `${name}`"));
        } else if super::call::is_known(name) {
            problem = problem.help(format!("to call it, write `{name}()`"));
        }
        self.report_name(problem);
        None
    }

    /// The index and use of a global.
    pub(super) fn global(&self, name: &str) -> Option<(GlobalIndex, super::infer::GlobalUse)> {
        let position = *self.global_of.get(name)?;
        let global = self.globals.get(position)?.clone();
        Some((GlobalIndex(u32::try_from(position).ok()?), global))
    }

    /// `$name` at a site.
    fn target(&mut self, name: &str, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let at = self.site_for(&format!("`${name}`"), span, scope)?;
        if at.site.kind == facts::SiteKind::Symbol {
            let what = format!("`{}` has no debug info: where `${name}` is, is not known", at.function.name);
            self.report(no_debug_info(&at, span, what).help(
                "build the program with -g, or name a folder or server that has its debug info (--debuginfo, \
                 --debuginfod); or leave out the parameter: calls are counted and shown without it",
            ));
            return None;
        }
        let Some(variable) = at.site.variables.iter().find(|variable| variable.name == name) else {
            self.report_name(no_variable(name, &at, span));
            return None;
        };
        Some(value_of(variable, &at, span))
    }

    fn index(&mut self, base: &ast::Expr, indices: &[ast::Expr], span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let ast::ExprKind::Name(name) = &base.kind else {
            return self.element(base, indices, span, scope);
        };
        let (index, keys) = self.map_key(name, base.span, indices, span, scope)?;
        let (_, global) = self.global(name)?;
        if global.aggregate.is_some() {
            self.is_aggregate(name, &global, span, false);
            return None;
        }
        Some(Typed::new(global.value, ExprKind::MapGet(index, keys), span))
    }

    /// A map and a key of it, each part checked against the key's type.
    pub(super) fn map_key(
        &mut self,
        name: &str,
        name_span: Span,
        indices: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<(GlobalIndex, Vec<Expr>)> {
        let Some((index, global)) = self.whole_global(name, name_span, scope) else {
            indices.iter().for_each(|index| drop(self.expr(index, scope)));
            return None;
        };
        let Some(types) = global.keys.clone() else {
            self.report(
                Diagnostic::new(Code::E0207, span, format!("`{name}` is one value, not a map"))
                    .also(global.fixed_at.unwrap_or(global.span), "used as one value here"),
            );
            return None;
        };
        if types.len() != indices.len() {
            self.report(
                Diagnostic::new(
                    Code::E0207,
                    span,
                    format!("the key of `{name}` has {}, not {}", parts(types.len()), indices.len()),
                )
                .also(global.fixed_at.unwrap_or(global.span), format!("used with {} here", parts(types.len()))),
            );
            return None;
        }
        let mut keys = Vec::new();
        for (wanted, key) in types.iter().zip(indices) {
            keys.push(self.key_part(*wanted, key, name, &global, scope));
        }
        Some((index, keys.into_iter().collect::<Option<Vec<_>>>()?))
    }

    fn key_part(
        &mut self,
        wanted: Ty,
        key: &ast::Expr,
        map: &str,
        global: &super::infer::GlobalUse,
        scope: &Scope<'_>,
    ) -> Option<Expr> {
        let typed = self.expr(key, scope)?;
        match (wanted, &typed.nature) {
            (_, Nature::Pointer { text: true, .. }) => {
                self.report(address_as_text(key.span, self.sources.slice(key.span)));
                None
            }
            (_, Nature::Text { what }) => {
                self.report(text_unread(key.span, what, self.sources.slice(key.span)));
                None
            }
            (Ty::Int, Nature::Str) | (Ty::Str, Nature::Int | Nature::Number { .. } | Nature::Char { .. }) => {
                self.report(
                    Diagnostic::new(Code::E0207, key.span, format!("this part of `{map}`'s key is {wanted} elsewhere"))
                        .also(global.fixed_at.unwrap_or(global.span), format!("used with {wanted} here")),
                );
                None
            }
            (Ty::Int, _) => self.number(typed, key.span),
            (Ty::Str, _) => self.text(typed, key.span),
        }
    }

    fn unary(&mut self, op: ast::UnaryOp, operand: &ast::Expr, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let op = match op {
            ast::UnaryOp::Neg => ir::UnaryOp::Neg,
            ast::UnaryOp::Not => ir::UnaryOp::Not,
            ast::UnaryOp::BitNot => ir::UnaryOp::BitNot,
            ast::UnaryOp::Deref => return self.deref(operand, span, scope),
            ast::UnaryOp::AddressOf => return self.address_of(operand, span, scope),
        };
        let value = self.int(operand, scope)?;
        Some(Typed::new(Ty::Int, fold(ExprKind::Unary(op, Box::new(value)), span), span))
    }

    fn binary(
        &mut self,
        op: ast::BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        if matches!(op, ast::BinaryOp::LogicAnd | ast::BinaryOp::LogicOr)
            && let Some(known) = self.decided(left, scope)
            && known == (op == ast::BinaryOp::LogicOr)
        {
            // What `@defined` decides leaves the right side out, names that do not exist included.
            return Some(Typed::new(Ty::Int, ExprKind::Int(i64::from(known)), span));
        }
        let checked = (self.expr(left, scope), self.expr(right, scope));
        let (Some(a), Some(b)) = checked else { return None };
        self.combine(op, (a, left.span), (b, right.span), span, scope)
    }

    /// An operator on two checked operands.
    pub(super) fn combine(
        &mut self,
        op: ast::BinaryOp,
        a: (Typed, Span),
        b: (Typed, Span),
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let arithmetic = match op {
            ast::BinaryOp::Concat => {
                let (a, b) = (self.text(a.0, a.1), self.text(b.0, b.1));
                // One list, however long the chain: each concatenation needs memory of its own while it is made.
                let mut parts = match a? {
                    ir::Expr { kind: ExprKind::Concat(parts), .. } => parts,
                    other => vec![other],
                };
                parts.push(b?);
                return Some(Typed::new(Ty::Str, ExprKind::Concat(parts), span));
            }
            ast::BinaryOp::Eq => return self.compare(CompareOp::Eq, a, b, span),
            ast::BinaryOp::Ne => return self.compare(CompareOp::Ne, a, b, span),
            ast::BinaryOp::Lt => return self.compare(CompareOp::Lt, a, b, span),
            ast::BinaryOp::Le => return self.compare(CompareOp::Le, a, b, span),
            ast::BinaryOp::Gt => return self.compare(CompareOp::Gt, a, b, span),
            ast::BinaryOp::Ge => return self.compare(CompareOp::Ge, a, b, span),
            ast::BinaryOp::LogicAnd | ast::BinaryOp::LogicOr => {
                let (a, b) = (self.number(a.0, a.1), self.number(b.0, b.1));
                let and = op == ast::BinaryOp::LogicAnd;
                let kind = ExprKind::Logic { and, left: Box::new(a?), right: Box::new(b?) };
                return Some(Typed::new(Ty::Int, fold(kind, span), span));
            }
            ast::BinaryOp::Add => ir::BinaryOp::Add,
            ast::BinaryOp::Sub => ir::BinaryOp::Sub,
            ast::BinaryOp::Mul => ir::BinaryOp::Mul,
            ast::BinaryOp::Div => ir::BinaryOp::Div,
            ast::BinaryOp::Mod => ir::BinaryOp::Mod,
            ast::BinaryOp::And => ir::BinaryOp::And,
            ast::BinaryOp::Or => ir::BinaryOp::Or,
            ast::BinaryOp::Xor => ir::BinaryOp::Xor,
            ast::BinaryOp::Shl => ir::BinaryOp::Shl,
            ast::BinaryOp::Shr => ir::BinaryOp::Shr,
        };
        self.arithmetic(arithmetic, a, b, span, scope)
    }

    /// Arithmetic of two numbers; an address plus or minus a number counts elements, as in C, and so does the distance
    /// of two addresses.
    fn arithmetic(
        &mut self,
        op: ir::BinaryOp,
        (a, a_span): (Typed, Span),
        (b, b_span): (Typed, Span),
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let moves = matches!(op, ir::BinaryOp::Add | ir::BinaryOp::Sub);
        let (a, b) = if moves { (decayed(a, scope), decayed(b, scope)) } else { (a, b) };
        let pointer = |typed: &Typed| match &typed.nature {
            Nature::Pointer { to, text } if moves => Some((to.clone(), *text)),
            _ => None,
        };
        let (left, right) = (pointer(&a), pointer(&b));
        let (a, b) = (self.number(a, a_span), self.number(b, b_span));
        let (a, b) = (a?, b?);
        if matches!(op, ir::BinaryOp::Div | ir::BinaryOp::Mod) && b.kind == ExprKind::Int(0) {
            self.report(Diagnostic::new(Code::E0208, b_span, "division by zero").label("always 0"));
            return None;
        }
        let plain = |op, a, b| Typed::new(Ty::Int, fold(ExprKind::Binary(op, Box::new(a), Box::new(b)), span), span);
        let ((to, text), address, count) = match (left, right, op) {
            (None, None, _) => return Some(plain(op, a, b)),
            (Some((to, _)), Some(_), ir::BinaryOp::Sub) => {
                let size = self.element_size(&to, a_span, scope)?;
                let bytes = plain(op, a, b);
                let size = Expr::int(size.cast_signed(), span);
                return Some(if size.kind == ExprKind::Int(1) {
                    bytes
                } else {
                    plain(ir::BinaryOp::Div, bytes.value, size)
                });
            }
            (Some(to), None, _) => (to, a, b),
            (None, Some(to), ir::BinaryOp::Add) => (to, b, a),
            (Some(_), Some(_), _) | (None, Some(_), _) => {
                self.report(
                    Diagnostic::new(
                        Code::E0201,
                        span,
                        "an address can be added to a number, not to an address or from one",
                    )
                    .help("the distance of two addresses is the second taken from the first"),
                );
                return None;
            }
        };
        let size = self.element_size(&to, a_span, scope)?;
        let count = if op == ir::BinaryOp::Sub {
            Expr { ty: Ty::Int, kind: fold(ExprKind::Unary(ir::UnaryOp::Neg, Box::new(count)), b_span), span: b_span }
        } else {
            count
        };
        let mut sum = Typed::new(Ty::Int, ExprKind::Int(0), span);
        sum.value = Expr { span, ..moved(address, count, size, span) };
        sum.nature = Nature::Pointer { to, text };
        Some(sum)
    }

    /// The size of what an address counts in.
    fn element_size(&mut self, to: &Shape, span: Span, scope: &Scope<'_>) -> Option<u64> {
        let at = scope.site?;
        let size = to.clone().defined(at.module).size(at.module).filter(|size| *size > 0);
        if size.is_none() {
            self.no_size(span, to, &at);
        }
        size
    }

    fn compare(
        &mut self,
        op: CompareOp,
        (a, a_span): (Typed, Span),
        (b, b_span): (Typed, Span),
        span: Span,
    ) -> Option<Typed> {
        let texts = (a.nature == Nature::Str, b.nature == Nature::Str);
        let both = match texts {
            (true, _) | (_, true) => (self.text(a, a_span), self.text(b, b_span)),
            (false, false) => (self.number(a, a_span), self.number(b, b_span)),
        };
        Some(Typed::new(Ty::Int, fold(ExprKind::Compare(op, Box::new(both.0?), Box::new(both.1?)), span), span))
    }

    fn ternary(
        &mut self,
        condition: &ast::Expr,
        then: &ast::Expr,
        otherwise: &ast::Expr,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        match self.decided(condition, scope) {
            Some(true) => return self.expr(then, scope),
            Some(false) => return self.expr(otherwise, scope),
            None => {}
        }
        let condition = self.condition(condition, scope);
        let (a, b) = (self.expr(then, scope), self.expr(otherwise, scope));
        let (condition, a, b) = (condition?, a?, b?);
        let text = a.nature == Nature::Str || b.nature == Nature::Str;
        let (ty, a, b) = if text {
            (Ty::Str, self.text(a, then.span), self.text(b, otherwise.span))
        } else {
            (Ty::Int, self.number(a, then.span), self.number(b, otherwise.span))
        };
        Some(Typed::new(ty, ExprKind::Ternary(Box::new(condition), Box::new(a?), Box::new(b?)), span))
    }
}

/// A constant where all operands are, otherwise the expression as it is. A division by zero stays: it faults when run.
pub(super) fn fold(kind: ExprKind, span: Span) -> ExprKind {
    let expr = Expr { ty: Ty::Int, kind, span };
    let mut constant = true;
    expr.operands(&mut |operand| constant &= matches!(operand.kind, ExprKind::Int(_) | ExprKind::Str(_)));
    if constant && let Ok(crate::value::Value::Int(number)) = crate::interpret::evaluate(&expr, &mut super::Nothing) {
        return ExprKind::Int(number);
    }
    expr.kind
}

/// A variable's value at a site: what it is, and how it is computed there.
pub(super) fn value_of(variable: &facts::Variable, at: &AtSite<'_>, span: Span) -> Typed {
    let object = Object {
        shape: Shape::Of(variable.ty),
        held: Held::of(&variable.location, span),
        bits: None,
        written: Some((variable.name.clone(), Vec::new())),
        name: format!("${}", variable.name.escape_debug()),
        referred: false,
    };
    object.read(at.module, span)
}

/// An array in arithmetic is the address of its first element, as in C.
pub(super) fn decayed(typed: Typed, scope: &Scope<'_>) -> Typed {
    let (Some(at), Some(object)) = (scope.site, &typed.object) else { return typed };
    let Some((element, _)) = object.shape.elements(at.module) else { return typed };
    let Some(address) = object.address() else { return typed };
    let text = super::nature::is_char(at.module, &element);
    let value = Expr { span: typed.value.span, ..address.clone() };
    Typed { value, nature: Nature::Pointer { to: element, text }, missing: None, object: None }
}

/// Where a value that is not here is, a sentence each, at most three.
pub(super) fn elsewhere(missing: &super::Missing) -> Vec<String> {
    let Unavailable::OptimizedOut { ranges } = &missing.why else { return Vec::new() };
    let place = |(start, end): &(u64, u64)| match missing.module.line(*start) {
        Some(line) => format!("it has one at {line} ({start:#x} to {end:#x})"),
        None => format!("it has one from {start:#x} to {end:#x}"),
    };
    ranges.iter().take(3).map(place).collect()
}

/// Why a value cannot be had, in words.
pub(super) fn reason(why: &Unavailable) -> String {
    match why {
        Unavailable::OptimizedOut { .. } => "the compiler kept none at this address".to_owned(),
        Unavailable::VectorRegister => "it is in a vector register, which eBPF cannot read".to_owned(),
        Unavailable::Unsupported(what) => what.clone(),
    }
}

fn no_variable(name: &str, at: &AtSite<'_>, span: Span) -> Diagnostic {
    let names: Vec<&str> = at.site.variables.iter().map(|variable| variable.name.as_str()).collect();
    let mut signature = Vec::new();
    for variable in &at.site.variables {
        match variable.kind {
            VariableKind::Parameter => {
                signature.push(format!("{} {}", Shape::Of(variable.ty).name(at.module), variable.name));
            }
            VariableKind::Local => {}
        }
    }
    let parameters = match signature.as_slice() {
        [] => format!("`{}` has no parameters", at.function.name),
        _ => format!("`{}` has the parameters ({})", at.function.name, signature.join(", ")),
    };
    Diagnostic::new(Code::E0105, span, format!("`{}` has no parameter or variable `{name}`", at.function.name))
        .nearest(&nearest_names(name, names.iter().copied(), 3))
        .note(parameters)
}

fn address_as_text(span: Span, written: &str) -> Diagnostic {
    Diagnostic::new(Code::E0204, span, "this is the address of a text, not the text")
        .label("`char *`")
        .help(format!("read the text with user_string({written})"))
}

fn text_unread(span: Span, what: &str, written: &str) -> Diagnostic {
    Diagnostic::new(Code::E0204, span, "this is text of the program, which is read where it is asked for")
        .label(what)
        .help(format!("read the text with user_string({written})"))
}

fn parts(count: usize) -> String {
    if count == 1 { "1 part".to_owned() } else { format!("{count} parts") }
}

/// A value was asked for where no debug info says anything; with the places that were looked at.
pub(super) fn no_debug_info(at: &AtSite<'_>, span: Span, what: String) -> Diagnostic {
    at.module.notes().into_iter().fold(Diagnostic::new(Code::E0110, span, what), Diagnostic::note)
}
