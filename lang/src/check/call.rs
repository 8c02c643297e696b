//! Owns calls that give a value: what the task and the moment are, and the library.

use super::{Checker, Scope, Typed};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::ir::{Context, Expr, ExprKind, Target, TargetStep, Ty};
use crate::resolve::unsupported;
use crate::source::Span;
use crate::syntax::ast;

/// Functions of the language that give no value.
const STATEMENTS: &[&str] = &["printf", "print", "println", "exit", "error"];

/// Functions of the language that later versions bring.
const LATER: &[&str] = &[
    "image",
    "pod",
    "runtime",
    "exe",
    "walltime",
    "caller",
    "ustack",
    "sample",
    "elapsed",
    "user_buffer",
    "strlen",
    "substr",
    "strtol",
    "isinstr",
    "sprintf",
    "strftime",
    "min",
    "max",
    "abs",
    "ntohs",
    "ntohl",
    "ipv4",
    "ipv6",
    "errno_str",
    "signal_str",
    "arg",
    "error",
];

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
];

/// Names, types and meanings of what can be asked of the task and the moment.
const CONTEXT: &[(&str, Context)] = &[
    ("pid", Context::Pid),
    ("tid", Context::Tid),
    ("ns_pid", Context::NsPid),
    ("ns_tid", Context::NsTid),
    ("comm", Context::Comm),
    ("container", Context::Container),
    ("container_id", Context::ContainerId),
    ("now", Context::Now),
    ("uid", Context::Uid),
    ("gid", Context::Gid),
    ("cpu", Context::Cpu),
    ("probefunc", Context::ProbeFunction),
    ("pp", Context::ProbePoint),
];

/// Whether the language has a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

fn known() -> impl Iterator<Item = &'static str> {
    let context = CONTEXT.iter().map(|(name, _)| *name);
    context.chain(STATEMENTS.iter().copied()).chain(LATER.iter().copied()).chain(["user_string"])
}

fn context_type(context: Context) -> Ty {
    match context {
        Context::Pid
        | Context::Tid
        | Context::NsPid
        | Context::NsTid
        | Context::Now
        | Context::Uid
        | Context::Gid
        | Context::Cpu
        | Context::Walltime
        | Context::Elapsed => Ty::Int,
        Context::Image
        | Context::Pod
        | Context::Runtime
        | Context::Exe
        | Context::Stack(_)
        | Context::Caller
        | Context::Comm
        | Context::Container
        | Context::ContainerId
        | Context::ProbeFunction
        | Context::ProbePoint => Ty::Str,
    }
}

/// Whether a value belongs to a task that was stopped at a probe.
fn needs_task(context: Context) -> bool {
    match context {
        Context::Now | Context::Walltime | Context::ProbePoint => false,
        Context::Pid
        | Context::Tid
        | Context::NsPid
        | Context::NsTid
        | Context::Uid
        | Context::Gid
        | Context::Cpu
        | Context::Comm
        | Context::Container
        | Context::ContainerId
        | Context::Image
        | Context::Pod
        | Context::Runtime
        | Context::Exe
        | Context::Elapsed
        | Context::Stack(_)
        | Context::Caller
        | Context::ProbeFunction => true,
    }
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
        if let Some((_, context)) = CONTEXT.iter().find(|(known, _)| *known == name.name) {
            if let Some(first) = arguments.first() {
                self.report(Diagnostic::new(Code::E0203, first.span, format!("`{}()` takes no argument", name.name)));
                return None;
            }
            if needs_task(*context) && scope.site.is_none() {
                self.report(
                    Diagnostic::new(Code::E0206, span, format!("`{}()` needs a task that hit a probe", name.name))
                        .note("`begin`, `end` and `every` run outside the traced programs"),
                );
                return None;
            }
            return Some(Typed::new(context_type(*context), ExprKind::Context(*context), span));
        }
        match name.name.as_str() {
            "user_string" => self.user_string(arguments, span, scope),
            word if STATEMENTS.contains(&word) && word != "error" => {
                self.report(
                    Diagnostic::new(Code::E0201, span, format!("`{word}()` gives no value"))
                        .help("write it in a line of its own"),
                );
                None
            }
            word if LATER.contains(&word) => {
                self.report(unsupported(span, &format!("`{word}()`")));
                None
            }
            word => {
                self.report(unknown(word, name.span));
                None
            }
        }
    }

    /// `user_string(p)`: the text at an address of the target.
    fn user_string(&mut self, arguments: &[ast::Expr], span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let [pointer] = arguments else {
            self.report(
                Diagnostic::new(Code::E0203, span, format!("`user_string` takes one address, not {}", arguments.len()))
                    .help("user_string($p)"),
            );
            return None;
        };
        if scope.site.is_none() {
            self.report(Diagnostic::new(Code::E0206, span, "`user_string` needs a task that hit a probe"));
            return None;
        }
        let typed = self.expr(pointer, scope)?;
        let written = match &typed.value.kind {
            ExprKind::Target(target) if typed.missing.is_none() => Some(target.clone()),
            _ => None,
        };
        let address = self.number(typed, pointer.span)?;
        Some(Typed::new(Ty::Str, text_at(address, written, span), span))
    }
}

/// The text at an address: a step of the target where the address is one.
pub(super) fn text_at(address: Expr, written: Option<Target>, span: Span) -> ExprKind {
    match written {
        None => ExprKind::UserString(Box::new(address)),
        Some(mut target) => {
            target.steps.push(TargetStep::Text);
            let value = ExprKind::UserString(target.value);
            target.value = Box::new(Expr { ty: Ty::Str, kind: value, span });
            ExprKind::Target(target)
        }
    }
}

pub(super) fn unknown(name: &str, span: Span) -> Diagnostic {
    let problem = Diagnostic::new(Code::E0108, span, format!("the language has no function `{name}`"));
    match ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
        Some((_, here)) => problem.help(format!("here it is written `{here}`")),
        None => problem.nearest(&nearest_names(name, known(), 3)),
    }
}
