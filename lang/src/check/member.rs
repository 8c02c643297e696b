//! Owns paths through values of the program: members, indices, what an address points to, addresses of things.

use super::nature::Nature;
use super::object::Object;
use super::shape::Shape;
use super::{AtSite, Checker, Scope, Typed};
use crate::codes::Code;
use crate::debuginfo::facts::Type;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::ir::{ExprKind, TargetStep};
use crate::resolve::list;
use crate::source::Span;
use crate::syntax::ast;

impl Checker<'_> {
    /// `base->name` and `base.name`: the same, whether the base is a struct or points to one.
    pub(super) fn member(
        &mut self,
        base: &ast::Expr,
        name: &ast::Ident,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let typed = self.expr(base, scope)?;
        let Some(at) = scope.site else {
            self.no_members(base, &typed.nature, name);
            return None;
        };
        let object = match &typed.nature {
            Nature::Pointer { to, .. } => Object::pointee(&typed, to.clone(), at.module, base.span),
            Nature::Whole { .. } | Nature::Text { .. } | Nature::Opaque { .. } => match typed.object {
                Some(object) => object,
                None => {
                    self.no_members(base, &typed.nature, name);
                    return None;
                }
            },
            Nature::Int
            | Nature::Str
            | Nature::Number { .. }
            | Nature::Char { .. }
            | Nature::Bool { .. }
            | Nature::Enum { .. }
            | Nature::Float { .. } => {
                self.no_members(base, &typed.nature, name);
                return None;
            }
        };
        let object = object.followed(at.module, base.span);
        match object.shape.member(at.module, &name.name) {
            Some(member) => Some(object.member(&member, span).read(at.module, span)),
            None => {
                self.report_name(no_member(&at, &object.shape, base, name));
                None
            }
        }
    }

    fn no_members(&mut self, base: &ast::Expr, nature: &Nature, name: &ast::Ident) {
        let what = nature.in_words();
        let written = self.sources.slice(base.span);
        let mut problem = Diagnostic::new(Code::E0120, name.span, format!("`{written}` is {what} and has no members"));
        if nature.width().is_some() {
            problem = problem.help(format!("where it is the address of a struct: @cast({written}, \"struct NAME\")"));
        }
        self.report_name(problem);
    }

    /// `base[i]` where the base is no map.
    pub(super) fn element(
        &mut self,
        base: &ast::Expr,
        indices: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let typed = self.expr(base, scope);
        let [index] = indices else {
            let message = "a value of the program takes one index in each pair of brackets";
            self.report(Diagnostic::new(Code::E0203, span, message).help("write [i][j]"));
            return None;
        };
        let number = self.int(index, scope);
        let (typed, number) = (typed?, number?);
        let known = match number.kind {
            ExprKind::Int(known) => Some(known),
            _ => None,
        };
        let written = self.sources.slice(base.span).to_owned();
        let Some(at) = scope.site else {
            self.not_indexed(span, &written, &typed.nature);
            return None;
        };
        let (object, element, count) = match &typed.nature {
            Nature::Pointer { to, .. } => {
                let object = Object::pointee(&typed, to.clone(), at.module, base.span);
                let element = object.shape.clone();
                (object, element, None)
            }
            Nature::Whole { .. } | Nature::Text { .. } => {
                let found = typed.object.clone().and_then(|object| {
                    let (element, count) = object.shape.elements(at.module)?;
                    Some((object, element, count))
                });
                let Some((object, element, count)) = found else {
                    self.not_indexed(span, &written, &typed.nature);
                    return None;
                };
                // A last member of no size stands for as many as there are.
                (object, element, count.filter(|count| *count > 0))
            }
            Nature::Int
            | Nature::Str
            | Nature::Number { .. }
            | Nature::Char { .. }
            | Nature::Bool { .. }
            | Nature::Enum { .. }
            | Nature::Float { .. }
            | Nature::Opaque { .. } => {
                self.not_indexed(span, &written, &typed.nature);
                return None;
            }
        };
        if let (Some(known), Some(count)) = (known, count)
            && u64::try_from(known).map_or(true, |known| known >= count)
        {
            let message = format!("`{written}` has {count} elements: there is none at index {known}");
            self.report(Diagnostic::new(Code::E0220, index.span, message).help(format!("from 0 to {}", count - 1)));
            return None;
        }
        let Some(size) = element.size(at.module).filter(|_| element != Shape::Of(None)) else {
            self.no_size(base.span, &element, &at);
            return None;
        };
        match object.element(element, size, number, span) {
            Some(element) => Some(element.read(at.module, span)),
            None => {
                let message = format!("`{written}` is in registers here: its index must be known when compiled");
                self.report(Diagnostic::new(Code::E0209, index.span, message).help("write a number"));
                None
            }
        }
    }

    fn not_indexed(&mut self, span: Span, written: &str, nature: &Nature) {
        let message = format!("`{written}` is {} and has no elements", nature.in_words());
        self.report(
            Diagnostic::new(Code::E0201, span, message).note("arrays and pointers of the program and maps have some"),
        );
    }

    /// What cannot be read through, because its size is not known.
    pub(super) fn no_size(&mut self, span: Span, shape: &Shape, at: &AtSite<'_>) {
        let message = format!("the size of what this points to, `{}`, is not known", shape.name(at.module));
        let written = self.sources.slice(span);
        self.report(
            Diagnostic::new(Code::E0201, span, message).help(format!("say what it is: @cast({written}, \"TYPE\")")),
        );
    }

    /// `*p`
    pub(super) fn deref(&mut self, operand: &ast::Expr, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let typed = self.expr(operand, scope)?;
        let written = self.sources.slice(operand.span).to_owned();
        let pointer = match (&typed.nature, scope.site) {
            (Nature::Pointer { to, .. }, Some(at)) => Some((to.clone(), at)),
            (Nature::Whole { .. } | Nature::Text { .. }, Some(at)) => {
                // An array stands for its first element, as in C.
                let array = typed.object.clone().and_then(|object| Some((object.shape.elements(at.module)?.0, object)));
                if let Some((element, object)) = array {
                    let index = crate::ir::Expr::int(0, span);
                    return object.element(element, 1, index, span).map(|first| first.read(at.module, span));
                }
                None
            }
            _ => None,
        };
        let Some((to, at)) = pointer else {
            let message = format!("`{written}` is {}, not an address with a type", typed.nature.in_words());
            let problem = Diagnostic::new(Code::E0201, operand.span, message);
            self.report(match typed.nature.width() {
                Some(_) => problem.help(format!("say what is there: *@cast({written}, \"TYPE\")")),
                None => problem,
            });
            return None;
        };
        if to == Shape::Of(None) || to.bare(at.module).is_none_or(|bare| bare.ty == Type::Function) {
            self.no_size(operand.span, &to, &at);
            return None;
        }
        let mut object = Object::pointee(&typed, to, at.module, span).stepped(TargetStep::Deref);
        object.name = format!("*{}", object.name);
        Some(object.read(at.module, span))
    }

    /// `&x`
    pub(super) fn address_of(&mut self, operand: &ast::Expr, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let typed = self.expr(operand, scope)?;
        let Some(object) = &typed.object else {
            let message = "only what is in the program's memory has an address";
            self.report(Diagnostic::new(Code::E0201, operand.span, message).help("&$variable, &$pointer->member"));
            return None;
        };
        let text = scope.site.is_some_and(|at| super::nature::is_char(at.module, &object.shape));
        let nature = Nature::Pointer { to: object.shape.clone(), text };
        if let Some(missing) = typed.missing {
            return Some(Typed {
                nature,
                missing: Some(missing),
                ..Typed::new(crate::ir::Ty::Int, ExprKind::Int(0), span)
            });
        }
        match object.address() {
            Some(address) => {
                let value = crate::ir::Expr { span, ..address.clone() };
                Some(Typed { value, nature, missing: None, object: None })
            }
            None => {
                let kind = if object.bits.is_some() { "a bit-field" } else { "in a register here" };
                let message = format!("`{}` is {kind} and has no address", self.sources.slice(operand.span));
                self.report(Diagnostic::new(Code::E0201, operand.span, message));
                None
            }
        }
    }
}

fn no_member(at: &AtSite<'_>, shape: &Shape, base: &ast::Expr, name: &ast::Ident) -> Diagnostic {
    let what = shape.name(at.module);
    let bare = shape.bare(at.module).map(|bare| bare.ty);
    let problem = |message: String| Diagnostic::new(Code::E0120, name.span, message);
    match bare {
        Some(Type::Aggregate { size: None, .. }) => problem(format!(
            "`{what}` is declared but not defined in this program's debug info: its members are not known"
        )),
        Some(Type::Aggregate { variants, .. }) => {
            let names = shape.member_names(at.module);
            let problem = problem(format!("`{what}` has no member `{}`", name.name))
                .also(base.span, format!("this is of type `{what}`"))
                .nearest(&nearest_names(&name.name, names.iter().map(String::as_str), 3));
            match (variants, names.as_slice()) {
                (Some(_), _) => problem.note("it is one of several variants: printed whole, it shows which"),
                (None, []) => problem.note("it has none"),
                (None, names) => problem.note(format!("it has {}", list(names))),
            }
        }
        Some(Type::Pointer { .. }) => problem(format!("this points to a pointer, `{what}`, which has no members"))
            .help("take what it points to first: (*$p)->member"),
        Some(_) | None => problem(format!("`{what}` has no members")),
    }
}
