//! Owns what begins with `@` and asks for types and names of the program: `@cast`, `@var`, `@sizeof`, `@enum`,
//! `@defined`.

use super::nature::{self, Nature};
use super::object::{Held, Object};
use super::shape::Shape;
use super::{AtSite, Checker, Moment, Scope, Typed};
use crate::codes::Code;
use crate::debuginfo::facts::{DebugError, Global, Location, SiteKind, TypeId, Unavailable};
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, ExprKind, Ty};
use crate::resolve::list;
use crate::source::Span;
use crate::syntax::ast;

impl Checker<'_> {
    /// One of these; `None` for another name behind `@`.
    pub(super) fn of_program(
        &mut self,
        name: &ast::Ident,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Option<Typed>> {
        let usage = match name.name.as_str() {
            "cast" => "@cast($pointer, \"struct foo\")",
            "var" => "@var(\"name\"), @var(\"name@file.c\")",
            "sizeof" => "@sizeof(\"struct foo\"), @sizeof($variable)",
            "enum" => "@enum(\"NAME\")",
            "defined" => "@defined($variable)",
            _ => return None,
        };
        let takes = if name.name == "cast" { 2 } else { 1 };
        if arguments.len() != takes {
            let message = format!("`@{}` takes {takes}, not {}", name.name, arguments.len());
            self.report(Diagnostic::new(Code::E0203, span, message).help(usage));
            return Some(None);
        }
        let Some(at) = self.site_for(&format!("`@{}`", name.name), span, scope) else { return Some(None) };
        let first = arguments.first()?;
        if name.name == "defined" {
            return Some(Some(self.defined(first, span, scope)));
        }
        if at.site.kind == SiteKind::Symbol && !at.module.has_dwarf() {
            let message = format!("`{}` has no debug info: `@{}` has nothing to ask", at.function.name, name.name);
            self.report(Diagnostic::new(Code::E0110, span, message).help("build the program with -g"));
            return Some(None);
        }
        Some(match name.name.as_str() {
            "cast" => arguments.get(1).and_then(|ty| self.cast(first, ty, &at, span, scope)),
            "sizeof" => self.size_of(first, &at, span, scope),
            "enum" => self.enumerator(first, &at, span),
            _ => self.variable(first, &at, span),
        })
    }

    /// A text known when compiled.
    fn word(&mut self, expr: &ast::Expr, what: &str) -> Option<String> {
        match &expr.kind {
            ast::ExprKind::Str(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            ast::ExprKind::Broken => None,
            _ => {
                self.report(Diagnostic::new(Code::E0201, expr.span, format!("{what} stands in double quotes here")));
                None
            }
        }
    }

    /// A type by its name, and whether a `*` stands behind it.
    fn named_type(&mut self, expr: &ast::Expr, at: &AtSite<'_>) -> Option<(Shape, bool)> {
        let text = self.word(expr, "a type's name")?;
        let bare = text.trim_end_matches(['*', ' ']);
        let stars = text.matches('*').count() - bare.matches('*').count();
        let words: Vec<&str> =
            bare.split_whitespace().filter(|word| !matches!(*word, "const" | "volatile" | "*const" | "*mut")).collect();
        let name = words.join(" ");
        if stars > 1 {
            self.report(
                Diagnostic::new(Code::E0121, expr.span, "a type's name may end in one `*`")
                    .help("cast what was read once more: @cast(*@cast($p, \"long\"), \"T\")"),
            );
            return None;
        }
        if name == "void" && stars == 1 {
            return Some((Shape::Of(None), true));
        }
        match at.module.named_type(&name, near(at)) {
            Ok(Some(id)) => Some((Shape::Of(Some(id)), stars == 1)),
            Ok(None) => {
                let bare = name.rsplit(' ').next().unwrap_or(&name);
                self.report(
                    Diagnostic::new(Code::E0121, expr.span, format!("this program has no type `{name}`"))
                        .nearest(&at.module.nearest_types(bare, 3)),
                );
                None
            }
            Err(error) => {
                self.unreadable(expr.span, &error);
                None
            }
        }
    }

    fn unreadable(&mut self, span: Span, error: &DebugError) {
        let message = format!("the program's debug info cannot be read: {error}");
        self.report(Diagnostic::new(Code::E0109, span, message));
    }

    /// `@cast(e, "T")`: where `T` is a struct, `e` is the address of one; otherwise `e` becomes a `T`, as in C.
    fn cast(
        &mut self,
        operand: &ast::Expr,
        ty: &ast::Expr,
        at: &AtSite<'_>,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let typed = self.expr(operand, scope);
        let (shape, pointer) = self.named_type(ty, at)?;
        let typed = typed?;
        let own = nature::nature(at.module, &shape);
        let nature = if pointer || own.width().is_none() {
            let text = nature::is_char(at.module, &shape) || super::text::is_text(at.module, &shape);
            Nature::Pointer { to: shape, text }
        } else {
            own
        };
        // What is shown may lack a value here; what it would be is still known.
        let missing = typed.missing;
        let value = self.number(Typed { missing: None, ..typed }, operand.span)?;
        let value = match nature.width() {
            Some((bytes, signed)) if bytes < 8 => {
                let kind = ExprKind::Extend { value: Box::new(value), bits: bytes * 8, signed };
                Expr { ty: Ty::Int, kind: super::expr::fold(kind, span), span }
            }
            Some(_) | None => value,
        };
        Some(Typed { value, nature, missing, object: None })
    }

    fn size_of(&mut self, operand: &ast::Expr, at: &AtSite<'_>, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let (shape, pointer) = match &operand.kind {
            ast::ExprKind::Str(_) => self.named_type(operand, at)?,
            _ => {
                let typed = self.expr(operand, scope)?;
                let Some(object) = typed.object else {
                    let message = "`@sizeof` takes a type's name or a value of the program";
                    self.report(Diagnostic::new(Code::E0201, operand.span, message).help("@sizeof(\"struct foo\")"));
                    return None;
                };
                (object.shape, false)
            }
        };
        let size = if pointer { Some(8) } else { shape.clone().defined(at.module).size(at.module) };
        match size.and_then(|size| i64::try_from(size).ok()) {
            Some(size) => Some(Typed::new(Ty::Int, ExprKind::Int(size), span)),
            None => {
                let message = format!("the size of `{}` is not known", shape.name(at.module));
                self.report(Diagnostic::new(Code::E0201, operand.span, message));
                None
            }
        }
    }

    fn enumerator(&mut self, operand: &ast::Expr, at: &AtSite<'_>, span: Span) -> Option<Typed> {
        let name = self.word(operand, "an enumerator's name")?;
        match at.module.enumerator(&name, near(at)) {
            Ok(Some(value)) => {
                let wrapped = i64::try_from(value).ok().or_else(|| u64::try_from(value).ok().map(u64::cast_signed));
                Some(Typed::new(Ty::Int, ExprKind::Int(wrapped?), span))
            }
            Ok(None) => {
                self.report(
                    Diagnostic::new(Code::E0121, operand.span, format!("this program has no enumerator `{name}`"))
                        .nearest(&at.module.nearest_enumerators(&name, 3)),
                );
                None
            }
            Err(error) => {
                self.unreadable(operand.span, &error);
                None
            }
        }
    }

    /// `@var("name")`, `@var("name@file.c")`
    fn variable(&mut self, operand: &ast::Expr, at: &AtSite<'_>, span: Span) -> Option<Typed> {
        let text = self.word(operand, "a variable's name")?;
        let (name, file) = match text.rsplit_once('@') {
            Some((name, file)) if !name.is_empty() && !file.is_empty() => (name, Some(file)),
            Some(_) | None => (text.as_str(), None),
        };
        let mut found = match at.module.globals(name, near(at)) {
            Ok(found) => found,
            Err(error) => {
                self.unreadable(operand.span, &error);
                return None;
            }
        };
        let all = found.clone();
        if let Some(file) = file {
            found.retain(|global| files(global).any(|path| crate::debuginfo::ends_with(path, file)));
        }
        if found.len() > 1 && found.iter().filter(|global| global.home).count() == 1 {
            found.retain(|global| global.home);
        }
        // One variable may be described in several units.
        found.dedup_by(|a, b| a.location == b.location);
        let global = match found.as_slice() {
            [one] => one,
            [] => {
                let problem =
                    Diagnostic::new(Code::E0105, operand.span, format!("this program has no variable `{text}`"));
                self.report(match all.as_slice() {
                    [] => problem.nearest(&at.module.nearest_globals(name, 3)),
                    some => problem.note(format!("there is {}", list(&places(some)))),
                });
                return None;
            }
            several => {
                let message = format!("`{text}` is the name of {} variables of this program", several.len());
                self.report(
                    Diagnostic::new(Code::E0105, operand.span, message)
                        .note(format!("they are {}", list(&places(several))))
                        .help("say whose: @var(\"name@file.c\")"),
                );
                return None;
            }
        };
        if let Location::Unavailable(Unavailable::Unsupported(why)) = &global.location
            && why.contains("thread-local")
        {
            let message = format!("`{name}` is thread-local: each thread has its own, and ctp does not know where");
            self.report(
                Diagnostic::new(Code::E0205, operand.span, message)
                    .note("where a program's are is known; where a library's are, only to the dynamic linker"),
            );
            return None;
        }
        let object = Object {
            shape: Shape::Of(global.ty).defined(at.module),
            held: Held::of(&global.location, span),
            bits: None,
            written: None,
            name: format!("@var(\"{text}\")"),
            referred: false,
        };
        Some(object.read(at.module, span))
    }

    /// `@defined(e)`: whether there is such a thing, with a value at this site. Reports nothing.
    fn defined(&mut self, operand: &ast::Expr, span: Span, scope: &Scope<'_>) -> Typed {
        let errors = self.errors;
        self.muted += 1;
        let found = self.is_there(operand, scope);
        self.muted -= 1;
        self.errors = errors;
        Typed::new(Ty::Int, ExprKind::Int(i64::from(found)), span)
    }

    fn is_there(&mut self, operand: &ast::Expr, scope: &Scope<'_>) -> bool {
        match &operand.kind {
            // These can only be printed: they are no values to the rest of the language.
            ast::ExprKind::Dump { value, .. } => self.is_there(value, scope),
            ast::ExprKind::TargetAll(word) => scope.site.is_some_and(|at| match word.as_str() {
                "parms" | "locals" | "vars" => at.site.kind != SiteKind::Symbol,
                "return" => at.moment == Moment::Return,
                _ => false,
            }),
            _ => self.expr(operand, scope).is_some_and(|typed| typed.missing.is_none()),
        }
    }

    /// What a condition that asks for `@defined` is, where that decides it: then the branch that is left out may name
    /// what is not there.
    pub(super) fn decided(&mut self, condition: &ast::Expr, scope: &Scope<'_>) -> Option<bool> {
        if !asks_defined(condition) {
            return None;
        }
        match self.expr(condition, scope)?.value.kind {
            ExprKind::Int(number) => Some(number != 0),
            _ => None,
        }
    }
}

/// Whether a condition asks for `@defined`.
pub(super) fn asks_defined(condition: &ast::Expr) -> bool {
    match &condition.kind {
        ast::ExprKind::At { name, .. } => name.name == "defined",
        ast::ExprKind::Paren(inner) | ast::ExprKind::Unary { operand: inner, .. } => asks_defined(inner),
        ast::ExprKind::Binary { left, right, .. } => asks_defined(left) || asks_defined(right),
        ast::ExprKind::Int { .. }
        | ast::ExprKind::Str(_)
        | ast::ExprKind::Bool(_)
        | ast::ExprKind::Name(_)
        | ast::ExprKind::Target(_)
        | ast::ExprKind::TargetAll(_)
        | ast::ExprKind::Dump { .. }
        | ast::ExprKind::Call { .. }
        | ast::ExprKind::Member { .. }
        | ast::ExprKind::Index { .. }
        | ast::ExprKind::Ternary { .. }
        | ast::ExprKind::In { .. }
        | ast::ExprKind::Assign { .. }
        | ast::ExprKind::Step { .. }
        | ast::ExprKind::Broken => false,
    }
}

/// A type of the site's unit, by which names of several units are told apart.
fn near(at: &AtSite<'_>) -> Option<TypeId> {
    at.site.variables.iter().find_map(|variable| variable.ty).or(at.function.returns)
}

fn files(global: &Global) -> impl Iterator<Item = &str> {
    global.unit.as_deref().into_iter().chain(global.declared.as_ref().map(|line| &*line.file))
}

fn places(globals: &[Global]) -> Vec<String> {
    globals
        .iter()
        .map(|global| match files(global).next() {
            Some(file) => format!("{}@{file}", global.name).escape_debug().to_string(),
            None => global.name.escape_debug().to_string(),
        })
        .collect()
}
