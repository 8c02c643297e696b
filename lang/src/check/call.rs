//! Owns calls that give a value: what the task and the moment are, the library, and functions of the program.

use super::library::{self, Function, Takes, What};
use super::object::plain;
use super::returns::Moment;
use super::scope::{Body, Scope};
use super::{Checker, Typed};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::interpret;
use crate::ir::{Constant, Context, Expr, ExprKind, Library, Ty};
use crate::source::Span;
use crate::syntax::ast;
use crate::value::Value;

/// How many frames `ustack()` has at most where it does not say.
const FRAMES: u8 = MOST_FRAMES;
/// The most frames `ustack(n)` may ask for: what the kernel keeps of a stack (`kernel.perf_event_max_stack`).
const MOST_FRAMES: u8 = 127;

/// What people who know other tracers write, and what it is here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("execname", "comm()"),
    ("gettimeofday_ns", "walltime()"),
    ("nsecs", "now()"),
    ("ktime_get_ns", "now()"),
    ("target", "pid()"),
    ("ppfunc", "probefunc()"),
    ("kernel_string", "user_string($p)"),
    ("str", "user_string($p)"),
    ("ubacktrace", "ustack()"),
    ("hist", "@hist_log(x)"),
    ("hist_log", "@hist_log(x)"),
    ("hist_linear", "@hist_linear(x, 0, 100, 10)"),
    ("count", "@count(x)"),
    ("sum", "@sum(x)"),
    ("avg", "@avg(x)"),
    ("buf", "user_buffer(p, n)"),
    ("strstr", "isinstr(s, part)"),
    ("ntop", "ipv4(a)"),
];

/// Whether the language has a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    library::find(name).is_some()
}

impl Checker<'_> {
    /// A call whose value is wanted.
    pub(super) fn call(
        &mut self,
        name: &ast::Ident,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        if let Some(index) = self.function_index(&name.name) {
            let (call, gives) = self.function_call(index, arguments, span, scope)?;
            if gives.is_none() {
                self.report(
                    Diagnostic::new(Code::E0201, span, format!("`{}` gives no value", name.name))
                        .help(format!("say what it gives: fn {}(…) -> int", name.name)),
                );
                return None;
            }
            return Some(call);
        }
        let Some(function) = library::find(&name.name) else {
            if !self.broken.contains(&name.name) {
                let problem = self.unknown_function(&name.name, name.span);
                self.report_name(problem);
            }
            return None;
        };
        if !self.arity(function, arguments, span) {
            return None;
        }
        match function.what {
            What::Statement => {
                self.report(
                    Diagnostic::new(Code::E0201, span, format!("`{}()` gives no value", function.name))
                        .help("write it in a line of its own"),
                );
                None
            }
            What::Context(context) => {
                let what = format!("`{}()`", function.name);
                if library::needs_task(context) && !self.needs_task(&what, span, scope) {
                    return None;
                }
                if scope.body == Body::Constant {
                    self.report(super::scope::not_constant(span));
                    return None;
                }
                Some(Typed::new(function.gives.unwrap_or(Ty::Int), ExprKind::Context(context), span))
            }
            What::Library(which) => {
                let mut operands = Vec::new();
                for (parameter, argument) in function.parameters.iter().zip(arguments) {
                    operands.push(self.argument(parameter.takes, argument, scope));
                }
                let operands: Vec<Expr> = operands.into_iter().collect::<Option<_>>()?;
                let ty = function.gives.unwrap_or(Ty::Int);
                Some(Typed::new(ty, folded(which, operands, ty, span), span))
            }
            What::UserString | What::UserBuffer => self.user_text(function, arguments, span, scope),
            What::Stack => {
                let frames = match arguments.first() {
                    None => Some(FRAMES),
                    Some(frames) => self.frames(frames),
                };
                let there = self.needs_task("`ustack()`", span, scope);
                Some(Typed::new(Ty::Str, ExprKind::Context(Context::Stack(frames.filter(|_| there)?)), span))
            }
            What::Format => {
                let pieces = self.printf(arguments, span, scope)?.pieces;
                Some(Typed::new(Ty::Str, ExprKind::Format(pieces), span))
            }
            What::Elapsed => self.elapsed(span, scope),
            What::Argument => self.nth_argument(arguments, span, scope),
        }
    }

    /// `elapsed()`: only what returns has an entry.
    fn elapsed(&mut self, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let problem = Diagnostic::new(Code::E0206, span, "`elapsed()` exists only at `.return`");
        match scope.body {
            Body::Unresolved => {}
            Body::Site if scope.site.is_some_and(|at| at.moment == Moment::Return) => {
                return Some(Typed::new(Ty::Int, ExprKind::Context(Context::Elapsed), span));
            }
            Body::Constant | Body::Host | Body::Site => {
                self.report(problem.note("it is the time between the entry and the return of a call"));
            }
            Body::Function(..) => {
                self.report(problem.help("give the function a parameter, and call it with `elapsed()`"));
            }
        }
        None
    }

    /// Whether a call has as many arguments as there are parameters; otherwise reported.
    fn arity(&mut self, function: &Function, arguments: &[ast::Expr], span: Span) -> bool {
        let many = function.parameters.iter().any(|parameter| parameter.takes == Takes::Values);
        let most = function.parameters.len();
        if many || (most - function.optional..=most).contains(&arguments.len()) {
            return true;
        }
        let message = match most {
            0 => format!("`{}()` takes no argument", function.name),
            _ => {
                let takes = match (most - function.optional, most) {
                    (least, most) if least == most => count(most),
                    (least, most) => format!("{least} or {}", count(most)),
                };
                format!("`{}` takes {takes}, not {}", function.name, arguments.len())
            }
        };
        let at = arguments.get(most).map_or(span, |extra| extra.span);
        self.report(Diagnostic::new(Code::E0203, at, message).help(function.signature()));
        false
    }

    /// An argument of the type that is wanted.
    pub(super) fn argument(&mut self, takes: Takes, argument: &ast::Expr, scope: &Scope<'_>) -> Option<Expr> {
        let typed = self.expr(argument, scope)?;
        match takes {
            Takes::Str => self.text(typed, argument.span),
            Takes::Int | Takes::Address | Takes::Constant | Takes::Values => self.number(typed, argument.span),
        }
    }

    fn frames(&mut self, frames: &ast::Expr) -> Option<u8> {
        match self.constant(frames)? {
            Constant::Int(number) if (1..=i64::from(MOST_FRAMES)).contains(&number) => u8::try_from(number).ok(),
            Constant::Int(_) | Constant::Str(_) => {
                let message = format!("a stack is shown with 1 to {MOST_FRAMES} frames");
                self.report(Diagnostic::new(Code::E0201, frames.span, message).help("ustack(16)"));
                None
            }
        }
    }

    /// `user_string(p[, n])`, `user_buffer(p, n)`: text or bytes at an address of the target.
    fn user_text(
        &mut self,
        function: &Function,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        let there = self.needs_task(&format!("`{}`", function.name), span, scope);
        let (pointer, length) = (arguments.first()?, arguments.get(1));
        let typed = self.expr(pointer, scope);
        let length = match length {
            Some(length) => Some(self.int(length, scope)?),
            None => None,
        };
        let typed = typed.filter(|_| there)?;
        match (length, function.what) {
            (Some(length), What::UserBuffer) => {
                let address = self.number(super::expr::decayed(typed, scope), pointer.span)?;
                let (address, length) = (Box::new(plain(address)), Box::new(plain(length)));
                Some(Typed::new(Ty::Str, ExprKind::UserBytes { address, length }, span))
            }
            (length, _) => self.user_string(typed, pointer.span, length, span, scope),
        }
    }

    /// What to say of a name that no function has.
    pub(super) fn unknown_function(&self, name: &str, span: Span) -> Diagnostic {
        let problem = Diagnostic::new(Code::E0108, span, format!("there is no function `{name}`"));
        match ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
            Some((_, here)) => problem.help(format!("here it is written `{here}`")),
            None => {
                let own = self.functions.iter().map(|function| function.name.as_str());
                let known = library::FUNCTIONS.iter().map(|function| function.name);
                problem.nearest(&self.near(name, own.chain(known)))
            }
        }
    }
}

/// A call of the library, or what it gives where its arguments are known.
fn folded(which: Library, operands: Vec<Expr>, ty: Ty, span: Span) -> ExprKind {
    let known = operands.iter().all(|operand| matches!(operand.kind, ExprKind::Int(_) | ExprKind::Str(_)));
    let call = Expr { ty, kind: ExprKind::Library(which, operands), span };
    if known && which != Library::Sample {
        match interpret::evaluate(&call, &mut super::Nothing) {
            Ok(Value::Int(number)) => return ExprKind::Int(number),
            Ok(Value::Str { bytes, truncated: false }) => return ExprKind::Str(bytes),
            Ok(Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_)) | Err(_) => {}
        }
    }
    call.kind
}

/// `1 argument`, `2 arguments`.
pub(super) fn count(arguments: usize) -> String {
    if arguments == 1 { "1 argument".to_owned() } else { format!("{arguments} arguments") }
}
