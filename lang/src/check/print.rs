//! Owns output statements: values matched to conversions, and how each is shown.

use super::format::{self, Part};
use super::nature::Nature;
use super::returns::{self, Moment};
use super::{AtSite, Checker, Missing, Scope, Typed, call, expr};
use crate::codes::Code;
use crate::debuginfo::facts::{Location, SiteKind, Unavailable, VariableKind};
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, ExprKind, Piece, Print, PrintKind, Show, Shown, Spec, Stmt, Ty};
use crate::resolve::unsupported;
use crate::source::Span;
use crate::syntax::ast;
use crate::value::OPTIMIZED_OUT;

/// What stands for a value in a vector register.
const VECTOR: &str = "<unavailable: xmm>";

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
        let typed = self.expr(argument, scope)?;
        self.default_piece(typed, argument.span, Spec::default(), scope).map(|piece| vec![piece])
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
            if at.moment == Moment::Return && !matches!(typed.nature, Nature::Opaque { .. }) {
                typed = self.keep_variable(&variable.name, typed, span)?;
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
        let Some(typed) = returns::returned_value(at, span) else { return Vec::new() };
        let mut pieces = vec![Piece::Text(b"return=".to_vec())];
        match (&typed.nature, &typed.missing) {
            (Nature::Opaque { .. }, Some(_)) => pieces.push(Piece::Text(VECTOR.as_bytes().to_vec())),
            (Nature::Opaque { what }, None) => {
                pieces.push(Piece::Text(format!("<not shown: {}>", what.escape_debug()).into_bytes()));
            }
            _ => pieces.extend(self.default_piece(typed, span, Spec::default(), scope)),
        }
        pieces
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
        let typed = self.expr(value, scope)?;
        if letter == b's' {
            return match typed.nature {
                Nature::Str
                | Nature::Enum { .. }
                | Nature::Bool { .. }
                | Nature::Char { .. }
                | Nature::Opaque { .. }
                | Nature::Pointer { text: true, .. } => {
                    self.default_piece(typed, value.span, spec, scope).map(|piece| vec![piece])
                }
                Nature::Int | Nature::Number { .. } | Nature::Pointer { text: false, .. } => {
                    self.mismatch(&typed.nature, value.span, written, "text");
                    None
                }
            };
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
            Nature::Pointer { text: false, .. } => ("an address", "use %p"),
            Nature::Str => ("text", "use %s"),
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
        let show = match &typed.nature {
            Nature::Int => Show::Signed,
            Nature::Str => Show::Text,
            Nature::Number { signed: true, .. } => Show::Signed,
            Nature::Number { signed: false, .. } => Show::Unsigned,
            Nature::Char { .. } => Show::Char,
            Nature::Bool { .. } => Show::Bool,
            Nature::Enum { name, names, .. } => Show::Enum(self.intern_enum(name.as_ref(), names)),
            Nature::Pointer { text: false, .. } => Show::Pointer,
            Nature::Pointer { text: true, .. } => {
                let written = match &typed.value.kind {
                    ExprKind::Target(target) => Some(target.clone()),
                    _ => None,
                };
                let value = match self.text_of_entry(&typed.value, span) {
                    Some(kept) => kept,
                    None => Expr { ty: Ty::Str, kind: call::text_at(typed.value, written, span), span },
                };
                let text = Typed { value, nature: Nature::Str, missing: typed.missing };
                return Some(self.piece(text, span, Show::Text, spec, scope));
            }
            Nature::Opaque { what } => {
                self.report(unsupported(span, &format!("printing {what}")));
                return None;
            }
        };
        Some(self.piece(typed, span, show, spec, scope))
    }

    /// The piece of a value: the value itself, or what stands for one that this site does not have.
    fn piece(&mut self, typed: Typed, span: Span, show: Show, spec: Spec, scope: &Scope<'_>) -> Piece {
        if let Some(missing) = &typed.missing {
            self.warn_missing(missing, span, scope);
            let text = match missing.why {
                Unavailable::VectorRegister => VECTOR,
                Unavailable::OptimizedOut { .. } | Unavailable::Unsupported(_) => OPTIMIZED_OUT,
            };
            return Piece::Unavailable { text, spec };
        }
        let fault_is_shown = is_read(&typed.value);
        Piece::Value(Shown { value: typed.value, show, spec, fault_is_shown })
    }

    fn warn_missing(&mut self, missing: &Missing, span: Span, scope: &Scope<'_>) {
        let Some(at) = scope.site else { return };
        let place = match &at.site.kind {
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
            format!("`${}` has no value {place}: {}", missing.name, expr::reason(&missing.why)),
        )
        .note(format!("those hits print `{OPTIMIZED_OUT}` in its place"));
        if let Unavailable::OptimizedOut { ranges } = &missing.why
            && let Some((start, end)) = ranges.first()
        {
            problem = problem
                .note(format!("it has one from {start:#x} to {end:#x}; the probe stands at {:#x}", at.site.address));
        }
        self.report(problem);
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
        | ExprKind::Load { .. }
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
