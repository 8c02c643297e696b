//! Owns `pid(N)`, `cgroup("/path")` and `host` → what the world finds for them. Opens nothing.

use super::Resolver;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::ContainerIndex;
use crate::source::Span;
use crate::syntax::ast::{ExprKind, Who, WhoKind};
use crate::world::{TargetError, WantedTarget};

impl Resolver<'_> {
    /// The process, cgroup or host a selector means.
    pub(super) fn select_target(&mut self, who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Vec<ContainerIndex>> {
        let (wanted, span) = wanted(who, problems)?;
        match self.world.target(&wanted) {
            Ok(found) => Some(found.iter().map(|target| self.intern(target)).collect()),
            Err(TargetError::NotFound { notes, nearest }) => {
                let message = match &wanted {
                    WantedTarget::Process(pid) => format!("no process {pid} is running"),
                    WantedTarget::Cgroup(path) => format!("there is no cgroup `{path}`"),
                    WantedTarget::Host => "the host is not here".to_owned(),
                };
                let mut problem = Diagnostic::new(Code::E0101, span, message).nearest(&nearest);
                problem.notes.extend(notes);
                problems.push(problem);
                None
            }
            Err(TargetError::Unusable(error)) => {
                let mut problem = Diagnostic::new(Code::E0407, span, error.reason);
                problem.helps.extend(error.help);
                problems.push(problem);
                None
            }
        }
    }
}

/// What is asked for, and where that is written.
fn wanted(who: &Who, problems: &mut Vec<Diagnostic>) -> Option<(WantedTarget, Span)> {
    let word = who.kind.as_str();
    let example = match who.kind {
        WhoKind::Pid => "pid(1234)",
        WhoKind::Cgroup => "cgroup(\"/system.slice/x.service\")",
        WhoKind::Host | WhoKind::Container | WhoKind::Pod => return Some((WantedTarget::Host, who.span)),
    };
    let [argument] = who.arguments.as_slice() else {
        problems.push(
            Diagnostic::new(Code::E0203, who.span, format!("`{word}` takes one argument"))
                .help(format!("for example {example}")),
        );
        return None;
    };
    let span = argument.value.span;
    if let Some(name) = &argument.name {
        let message = format!("`{word}` has no argument `{}`", name.name);
        problems.push(Diagnostic::new(Code::E0106, name.span, message).help(format!("for example {example}")));
        return None;
    }
    match (who.kind, &argument.value.kind) {
        (_, ExprKind::Broken) => None,
        (WhoKind::Pid, ExprKind::Int { value: number, .. }) => match u32::try_from(*number) {
            Ok(pid) if pid > 0 => Some((WantedTarget::Process(pid), span)),
            Ok(_) | Err(_) => {
                problems.push(Diagnostic::new(Code::E0201, span, format!("{number} is no process id")));
                None
            }
        },
        (WhoKind::Cgroup, ExprKind::Str(bytes)) => {
            let path = String::from_utf8_lossy(bytes).into_owned();
            if path.starts_with('/') && !path.contains('\0') {
                return Some((WantedTarget::Cgroup(path), span));
            }
            problems.push(
                Diagnostic::new(Code::E0201, span, "a cgroup is selected by its path from the root of the hierarchy")
                    .help(format!("for example {example}; /proc/PID/cgroup shows it behind `0::`")),
            );
            None
        }
        (_, _) => {
            let wants = if who.kind == WhoKind::Pid { "a number" } else { "text" };
            problems.push(
                Diagnostic::new(Code::E0201, span, format!("`{word}` takes {wants}"))
                    .help(format!("for example {example}")),
            );
            None
        }
    }
}
