//! Owns output statements: values matched to conversions, and how each is shown.

use super::format::{self, Part};
use super::nature::{self, Nature};
use super::object::{Held, Object};
use super::returns::Moment;
use super::{AtSite, Checker, Missing, Scope, Typed, expr, go, whole};
use crate::codes::Code;
use crate::debuginfo::facts::{Location, SiteKind, Unavailable, VariableKind};
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, ExprKind, FloatForm, Piece, Print, PrintKind, Show, Shown, Spec, Stmt, Ty};
use crate::resolve::unsupported;
use crate::source::Span;
use crate::syntax::ast;
use crate::value::OPTIMIZED_OUT;

/// What stands for a value in a vector register.
pub(super) const VECTOR: &str = "<unavailable: xmm>";

impl Checker<'_> {
    /// `printf(FORMAT, …)`
    pub(super) fn printf(&mut self, arguments: &[ast::Expr], span: Span, scope: &Scope<'_>) -> Option<Print> {
        let Some((first, values)) = arguments.split_first() else {
            self.report(
                Diagnostic::new(Code::E0203, span, "`printf` needs a format")
                    .help("printf(\"called with %d\\n\", $arg)"),
            );
            return None;
        };
        let ast::ExprKind::Str(text) = &first.kind else {
            if first.kind != ast::ExprKind::Broken {
                self.report(
                    Diagnostic::new(Code::E0202, first.span, "the format must be a text in double quotes")
                        .help("printf(\"%s\", …) prints a value; println(…) needs no format"),
                );
            }
            return None;
        };
        let parts = match format::parse(text) {
            Ok(parts) => parts,
            Err((message, help)) => {
                self.report(Diagnostic::new(Code::E0202, first.span, message).help(help));
                return None;
            }
        };
        let wanted = parts.iter().filter(|part| matches!(part, Part::Conversion { .. })).count();
        let counts_match = wanted == values.len();
        if !counts_match {
            self.report(count_problem(wanted, values, first.span, span));
        }
        let mut values = values.iter();
        let mut pieces = Vec::new();
        let mut good = counts_match;
        for part in parts {
            match part {
                Part::Text(text) => pieces.push(Piece::Text(text)),
                Part::Conversion { letter, spec, written } => {
                    let Some(value) = values.next() else { break };
                    match self.conversion(value, letter, spec, &written, scope) {
                        Some(converted) => pieces.extend(converted),
                        None => good = false,
                    }
                }
            }
        }
        good.then_some(Print { kind: PrintKind::Text, pieces, span })
    }

    /// `print(…)` and `println(…)`: values with a blank between.
    pub(super) fn print(
        &mut self,
        arguments: &[ast::Expr],
        newline: bool,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Print> {
        let mut pieces = Vec::new();
        let mut good = true;
        for (index, argument) in arguments.iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Text(b" ".to_vec()));
            }
            match self.plain(argument, scope) {
                Some(shown) => pieces.extend(shown),
                None => good = false,
            }
        }
        if arguments.is_empty() && !newline {
            self.report(Diagnostic::new(Code::E0203, span, "`print` needs a value").help("print($arg)"));
            return None;
        }
        if newline {
            pieces.push(Piece::Text(b"\n".to_vec()));
        }
        good.then_some(Print { kind: PrintKind::Text, pieces, span })
    }

    /// What a probe without a body prints: its parameters.
    pub(super) fn parameters_line(&mut self, point: Span, scope: &Scope<'_>) -> Option<Stmt> {
        let mut pieces = self.all("parms", point, scope)?;
        if let Some(at) = scope.site.filter(|at| at.moment == Moment::Return) {
            let returned = self.return_pieces(&at, point, scope);
            if !pieces.is_empty() && !returned.is_empty() {
                pieces.push(Piece::Text(b" ".to_vec()));
            }
            pieces.extend(returned);
        }
        pieces.push(Piece::Text(b"\n".to_vec()));
        Some(Stmt::Print(Print { kind: PrintKind::Text, pieces, span: point }))
    }

    /// A value as it is shown without a format.
    pub(super) fn plain(&mut self, argument: &ast::Expr, scope: &Scope<'_>) -> Option<Vec<Piece>> {
        if let Some(whole) = self.whole(argument, scope) {
            return whole;
        }
        if let ast::ExprKind::TargetAll(word) = &argument.kind {
            return self.all(word, argument.span, scope);
        }
        self.value_piece(argument, Spec::default(), scope).map(|piece| vec![piece])
    }

    /// A value in an output as its nature shows it: what `print`, `%s` and a field of `emit` take.
    pub(super) fn value_piece(&mut self, value: &ast::Expr, spec: Spec, scope: &Scope<'_>) -> Option<Piece> {
        match &value.kind {
            ast::ExprKind::Paren(inner) => self.value_piece(inner, spec, scope),
            ast::ExprKind::Dump { value: inner, deep } => {
                let depth = if *deep { self.settings.depth } else { 1 };
                if let Some(kept) = self.aimed_on_entry(inner, scope) {
                    return self.shown_piece(kept, value.span, spec, depth, scope);
                }
                let typed = self.expr(inner, scope)?;
                if let (ExprKind::Entry(_), Nature::Pointer { text: false, .. }) = (&typed.value.kind, &typed.nature) {
                    self.report(unsupported(value.span, "keeping what an address points to from the entry on"));
                    return None;
                }
                let typed = aimed(typed, inner.span, scope);
                self.shown_piece(typed, value.span, spec, depth, scope)
            }
            _ => {
                let typed = self.expr(value, scope)?;
                self.default_piece(typed, value.span, spec, scope)
            }
        }
    }

    /// `$$parms`, `$$locals`, `$$vars`: `name=value` for each.
    fn all(&mut self, word: &str, span: Span, scope: &Scope<'_>) -> Option<Vec<Piece>> {
        if word == "return"
            && let Some(at) = scope.site.filter(|at| at.moment == Moment::Return)
        {
            return Some(self.return_pieces(&at, span, scope));
        }
        let wanted: fn(VariableKind) -> bool = match word {
            "parms" => |kind| kind == VariableKind::Parameter,
            "locals" => |kind| kind == VariableKind::Local,
            "vars" => |_| true,
            _ => {
                self.report(
                    Diagnostic::new(Code::E0105, span, format!("there is no `$${word}`"))
                        .help("`$$parms` are the parameters, `$$locals` the locals"),
                );
                return None;
            }
        };
        let at = self.site_for(&format!("`$${word}`"), span, scope)?;
        if at.site.kind == SiteKind::Symbol {
            let what = format!("`{}` has no debug info: its parameters are not known", at.function.name);
            let problem = expr::no_debug_info(&at, span, what);
            self.report(problem.help("give the probe a body that needs none: { println(probefunc()) }"));
            return None;
        }
        let mut pieces = Vec::new();
        for variable in at.site.variables.iter().filter(|variable| wanted(variable.kind)) {
            let gap = if pieces.is_empty() { "" } else { " " };
            // The traced file's maker chose the names: what in them could control a terminal is escaped.
            pieces.push(Piece::Text(format!("{gap}{}=", variable.name.escape_debug()).into_bytes()));
            let mut typed = expr::value_of(variable, &at, span);
            if at.moment == Moment::Return {
                let entry = AtSite { moment: Moment::Entry, ..at };
                let on_entry = Scope::new(scope.body, Some(entry), Vec::new());
                typed = match typed.nature {
                    Nature::Text { .. } => self.program_text(typed, span, &on_entry),
                    _ => typed,
                };
                if !matches!(typed.nature, Nature::Opaque { .. }) {
                    typed = self.keep_variable(&variable.name, typed, span)?;
                }
            }
            if let Nature::Opaque { what } = &typed.nature {
                let shown = match &variable.location {
                    Location::Unavailable(Unavailable::VectorRegister) => VECTOR.to_owned(),
                    Location::Unavailable(_) => OPTIMIZED_OUT.to_owned(),
                    Location::Memory(_)
                    | Location::Register(_)
                    | Location::Value(_)
                    | Location::Bytes(_)
                    | Location::Pieces(_)
                    | Location::ImplicitPointer { .. } => format!("<not shown: {}>", what.escape_debug()),
                };
                pieces.push(Piece::Text(shown.into_bytes()));
            } else {
                pieces.extend(self.default_piece(typed, span, Spec::default(), scope));
            }
        }
        Some(pieces)
    }

    /// `return=value`; nothing where nothing is returned.
    fn return_pieces(&mut self, at: &AtSite<'_>, span: Span, scope: &Scope<'_>) -> Vec<Piece> {
        if let Some(results) = at.function.go.as_ref().filter(|results| results.len() > 1) {
            let mut pieces = Vec::new();
            for (index, result) in results.iter().enumerate() {
                let name = format!("return.{}", go::name(result));
                let Some(typed) = go::result(at, results, index, &name, span) else { continue };
                let between = if pieces.is_empty() { "" } else { " " };
                pieces.push(Piece::Text(format!("{between}{name}=").into_bytes()));
                pieces.extend(self.return_piece(typed, span, scope));
            }
            return pieces;
        }
        let Some(typed) = self.returned_value(at, span) else { return Vec::new() };
        let mut pieces = vec![Piece::Text(b"return=".to_vec())];
        pieces.extend(self.return_piece(typed, span, scope));
        pieces
    }

    /// A value that is returned.
    fn return_piece(&mut self, typed: Typed, span: Span, scope: &Scope<'_>) -> Vec<Piece> {
        match (&typed.nature, &typed.missing) {
            (Nature::Float { .. } | Nature::Opaque { .. }, Some(Missing { why: Unavailable::VectorRegister, .. })) => {
                vec![Piece::Text(VECTOR.as_bytes().to_vec())]
            }
            (Nature::Opaque { what }, _) => {
                vec![Piece::Text(format!("<not shown: {}>", what.escape_debug()).into_bytes())]
            }
            _ => self.default_piece(typed, span, Spec::default(), scope).into_iter().collect(),
        }
    }

    /// A value matched to a conversion.
    fn conversion(
        &mut self,
        value: &ast::Expr,
        letter: u8,
        spec: Spec,
        written: &str,
        scope: &Scope<'_>,
    ) -> Option<Vec<Piece>> {
        if let ast::ExprKind::TargetAll(word) = &value.kind
            && letter == b's'
        {
            return self.all(word, value.span, scope);
        }
        if letter == b's' && matches!(value.kind, ast::ExprKind::Dump { .. }) {
            return self.value_piece(value, spec, scope).map(|piece| vec![piece]);
        }
        let typed = self.expr(value, scope)?;
        if letter == b's' {
            return match typed.nature {
                Nature::Str
                | Nature::Enum { .. }
                | Nature::Bool { .. }
                | Nature::Char { .. }
                | Nature::Text { .. }
                | Nature::Whole { .. }
                | Nature::Opaque { .. }
                | Nature::Pointer { text: true, .. } => {
                    self.default_piece(typed, value.span, spec, scope).map(|piece| vec![piece])
                }
                Nature::Int | Nature::Number { .. } | Nature::Float { .. } | Nature::Pointer { text: false, .. } => {
                    self.mismatch(&typed.nature, value.span, written, "text");
                    None
                }
            };
        }
        let form = match letter {
            b'f' => Some(FloatForm::Fixed),
            b'e' => Some(FloatForm::Exponent),
            b'g' => Some(FloatForm::Shortest),
            _ => None,
        };
        match (form, &typed.nature) {
            (Some(form), Nature::Float { bits }) => {
                let show = Show::Float { bits: *bits, form };
                return Some(vec![self.piece(typed, value.span, show, spec, scope)]);
            }
            (Some(_), nature) => {
                self.mismatch(nature, value.span, written, "a floating-point number");
                return None;
            }
            (None, _) => {}
        }
        let Some((bytes, signed)) = typed.nature.width() else {
            self.mismatch(&typed.nature, value.span, written, "a number");
            return None;
        };
        let show = match letter {
            b'd' | b'i' if bytes == 8 && !signed => Show::Unsigned,
            b'd' | b'i' => Show::Signed,
            b'u' => Show::Unsigned,
            b'x' => Show::Hex { upper: false },
            b'X' => Show::Hex { upper: true },
            b'o' => Show::Octal,
            b'p' => Show::Pointer,
            _ if matches!(typed.nature, Nature::Char { bytes: 4, .. }) => Show::Unicode,
            _ => Show::Char,
        };
        let mut typed = typed;
        let as_bits = matches!(show, Show::Unsigned | Show::Hex { .. } | Show::Octal | Show::Pointer);
        if as_bits && signed && bytes < 8 {
            // As C shows a negative number of this width: its own bits, not those of 64.
            let span = typed.value.span;
            let inner = Box::new(typed.value);
            typed.value =
                Expr { ty: Ty::Int, kind: ExprKind::Extend { value: inner, bits: bytes * 8, signed: false }, span };
        }
        Some(vec![self.piece(typed, value.span, show, spec, scope)])
    }

    fn mismatch(&mut self, nature: &Nature, span: Span, written: &str, wanted: &str) {
        let (what, help) = match nature {
            Nature::Int | Nature::Number { .. } => ("a number", "use %d"),
            Nature::Float { .. } => ("a floating-point number", "use %f, %e or %g"),
            Nature::Pointer { text: false, .. } => ("an address", "use %p, or %s of what it points to: *$p"),
            Nature::Str | Nature::Text { .. } => ("text", "use %s"),
            Nature::Whole { what } => (what.as_str(), "use %s, or name a member of it"),
            Nature::Opaque { what } => {
                self.report(unsupported(span, &format!("printing {what}")));
                return;
            }
            Nature::Char { .. } => ("a character", "use %c or %d"),
            Nature::Bool { .. } => ("a truth value", "use %s or %d"),
            Nature::Enum { .. } => ("an enumerator", "use %s or %d"),
            Nature::Pointer { text: true, .. } => ("the address of a text", "use %s or %p"),
        };
        self.report(
            Diagnostic::new(Code::E0202, span, format!("`{written}` wants {wanted}, this is {what}"))
                .label(what)
                .help(help),
        );
    }

    /// A value as its nature shows it.
    pub(super) fn default_piece(&mut self, typed: Typed, span: Span, spec: Spec, scope: &Scope<'_>) -> Option<Piece> {
        let depth = self.settings.depth;
        self.shown_piece(typed, span, spec, depth, scope)
    }

    fn shown_piece(&mut self, typed: Typed, span: Span, spec: Spec, depth: u32, scope: &Scope<'_>) -> Option<Piece> {
        match &typed.nature {
            Nature::Str => return Some(self.piece(typed, span, Show::Text, spec, scope)),
            Nature::Text { .. } if typed.object.as_ref().is_some_and(|object| is_apart(object, scope)) => {
                return self.whole_piece(typed, span, spec, depth, scope);
            }
            Nature::Text { .. } | Nature::Pointer { text: true, .. } => {
                let text = self.program_text(typed, span, scope);
                return Some(self.piece(text, span, Show::Text, spec, scope));
            }
            Nature::Whole { .. } => return self.whole_piece(typed, span, spec, depth, scope),
            Nature::Opaque { what } => {
                self.report(unsupported(span, &format!("printing {what}")));
                return None;
            }
            Nature::Int
            | Nature::Number { .. }
            | Nature::Char { .. }
            | Nature::Bool { .. }
            | Nature::Enum { .. }
            | Nature::Float { .. }
            | Nature::Pointer { text: false, .. } => {}
        }
        let show = whole::show(self, &typed.nature)?;
        Some(self.piece(typed, span, show, spec, scope))
    }

    /// A struct, an array, a sequence.
    fn whole_piece(&mut self, typed: Typed, span: Span, spec: Spec, depth: u32, scope: &Scope<'_>) -> Option<Piece> {
        let (Some(at), Some(object)) = (scope.site, &typed.object) else {
            if typed.missing.is_none() {
                self.report(unsupported(span, &format!("printing {}", typed.nature.in_words())));
                return None;
            }
            return Some(self.piece(typed, span, Show::Text, spec, scope));
        };
        match self.whole_value(at.module, object, depth, spec, span) {
            Ok(whole) => Some(Piece::Whole(Box::new(whole))),
            Err(why) => {
                let missing = Some(object.missing(at.module, why));
                Some(self.piece(Typed { missing, ..typed }, span, Show::Text, spec, scope))
            }
        }
    }

    /// The piece of a value: the value itself, or what stands for one that this site does not have.
    fn piece(&mut self, typed: Typed, span: Span, show: Show, spec: Spec, scope: &Scope<'_>) -> Piece {
        if let Some(missing) = &typed.missing {
            self.warn_missing(missing, span, scope);
            return Piece::Unavailable { text: stand_in(&missing.why), spec };
        }
        let fault_is_shown = is_read(&typed.value);
        Piece::Value(Shown { value: typed.value, show, spec, fault_is_shown })
    }

    fn warn_missing(&mut self, missing: &Missing, span: Span, scope: &Scope<'_>) {
        let Some(at) = scope.site else { return };
        let place = match &at.site.kind {
            SiteKind::OutOfLine if at.moment == Moment::Return => format!("when `{}` returns", at.function.name),
            SiteKind::OutOfLine => format!("at the start of `{}`", at.function.name),
            SiteKind::Inlined { into, call: Some(line) } => {
                format!("where `{}` is inlined into `{into}` ({line})", at.function.name)
            }
            SiteKind::Inlined { into, call: None } => format!("where `{}` is inlined into `{into}`", at.function.name),
            SiteKind::Symbol => format!("at the symbol `{}`", at.function.name),
        };
        let mut problem = Diagnostic::new(
            Code::W0003,
            span,
            format!("`{}` has no value {place}: {}", missing.name, expr::reason(&missing.why)),
        )
        .note(format!("those hits print `{}` in its place", stand_in(&missing.why)));
        for place in expr::elsewhere(missing) {
            problem = problem.note(format!("{place}; the probe stands at {:#x}", at.site.address));
        }
        self.report_name(problem);
    }
}

/// What stands for a value that is not there.
fn stand_in(why: &Unavailable) -> &'static str {
    match why {
        Unavailable::VectorRegister => VECTOR,
        Unavailable::OptimizedOut { .. } | Unavailable::Unsupported(_) => OPTIMIZED_OUT,
    }
}

/// Characters in registers or parts: there is no address to read them from.
fn is_apart(object: &Object, scope: &Scope<'_>) -> bool {
    matches!(object.held, Held::Parts { .. }) && scope.site.is_some_and(|at| object.shape.elements(at.module).is_some())
}

/// What `$p$` shows of a pointer to a struct: the struct, as in SystemTap.
pub(super) fn aimed(typed: Typed, span: Span, scope: &Scope<'_>) -> Typed {
    let (Nature::Pointer { to, text: false }, Some(at)) = (&typed.nature, scope.site) else { return typed };
    let object = Object::pointee(&typed, to.clone(), at.module, span);
    match nature::nature(at.module, &object.shape) {
        Nature::Whole { .. } | Nature::Text { .. } => object.read(at.module, span),
        Nature::Int
        | Nature::Str
        | Nature::Number { .. }
        | Nature::Char { .. }
        | Nature::Bool { .. }
        | Nature::Enum { .. }
        | Nature::Pointer { .. }
        | Nature::Float { .. }
        | Nature::Opaque { .. } => typed,
    }
}

/// Whether a value is read as it is, and not computed from such: then a fault is shown in its place.
fn is_read(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Target(_)
        | ExprKind::UserString(_)
        | ExprKind::UserText { .. }
        | ExprKind::UserBytes { .. }
        | ExprKind::Block(_)
        | ExprKind::Stat { .. }
        | ExprKind::Load { .. }
        | ExprKind::Entry(_)
        | ExprKind::Returned(_) => true,
        ExprKind::Extend { value, .. } => is_read(value),
        ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Local(_)
        | ExprKind::Global(_)
        | ExprKind::MapGet(..)
        | ExprKind::MapHas(..)
        | ExprKind::Context(_)
        | ExprKind::Register(_)
        | ExprKind::ModuleAddress(_)
        | ExprKind::Unary(..)
        | ExprKind::Binary(..)
        | ExprKind::Compare(..)
        | ExprKind::Logic { .. }
        | ExprKind::Ternary(..)
        | ExprKind::Concat(_)
        | ExprKind::SetLocal { .. }
        | ExprKind::Call(..)
        | ExprKind::Library(..)
        | ExprKind::Format(_)
        | ExprKind::Update { .. } => false,
    }
}

fn count_problem(wanted: usize, values: &[ast::Expr], format: Span, whole: Span) -> Diagnostic {
    let says = if wanted == 1 { "1 conversion".to_owned() } else { format!("{wanted} conversions") };
    let has = if values.len() == 1 { "1 value".to_owned() } else { format!("{} values", values.len()) };
    let follow = if values.len() == 1 { "follows" } else { "follow" };
    let span = values.get(wanted).map_or(whole, |extra| extra.span);
    let problem = Diagnostic::new(Code::E0202, span, format!("the format has {says}, but {has} {follow} it"));
    let problem = problem.also(format, says);
    if values.len() > wanted {
        problem.help("take the value out, or add %d or %s for it")
    } else {
        problem.help("add the missing value")
    }
}
