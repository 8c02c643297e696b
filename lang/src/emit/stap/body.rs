//! Owns the body of one probe: the guard, the statements, and what faults mean. A run that a fault stops prints
//! nothing: an output with a possible fault behind it is put off to the end of the handler, its values are not.

use super::fault::{can_stop, has_update};
use super::library::Part;
use super::names::Names;
use super::show::{self, Conversion};
use super::{Emitter, quote};
use crate::ir::{
    ContainerIndex, Context, Expr, ExprKind, GlobalIndex, Handler, LocalIndex, Piece, Print, Show, Shown, Stmt,
    TargetStep, Ty, UpdateOp,
};
use crate::source::Span;
use crate::world::Container;

/// How values of the traced program are got at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By their names: the point names the function.
    Named {
        /// Whether stap may fail to read a location (seen with 4.8 and clang's frame bases and DW_OP_convert): then
        /// also as they are computed.
        compute: bool,
        /// The link-time address, where the point is one.
        address: Option<u64>,
    },
    /// As they are computed at this link-time address.
    Address(u64),
}

/// Where a body runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'s> {
    /// In no task of a container: `begin`, `end`, timers.
    Plain {
        /// The point as written.
        point: &'s str,
    },
    /// At points of a file.
    Site {
        /// The point as written.
        point: &'s str,
        /// The function.
        function: &'s str,
        /// Containers whose tasks count.
        containers: &'s [ContainerIndex],
        /// How values are got at.
        form: Form,
    },
}

/// A body that is being written.
pub(super) struct Body<'e, 'a> {
    pub(super) emitter: &'e mut Emitter<'a>,
    pub(super) scope: Scope<'e>,
    names: Names,
    locals: Vec<String>,
    lines: Vec<String>,
    depth: usize,
    deferred: Vec<String>,
    /// How many conditions the statement stands under.
    conditions: usize,
}

impl<'e, 'a> Body<'e, 'a> {
    /// An empty body.
    pub(super) fn new(emitter: &'e mut Emitter<'a>, scope: Scope<'e>) -> Body<'e, 'a> {
        let names = emitter.names.clone();
        Body { emitter, scope, names, locals: vec![], lines: vec![], depth: 0, deferred: vec![], conditions: 0 }
    }

    /// The lines of a handler, its guard first.
    pub(super) fn handler(mut self, handler: &Handler) -> Vec<String> {
        self.locals = (1..=handler.locals.len()).map(|i| self.names.user(&format!("local{i}"))).collect();
        self.guard();
        let stops = handler.condition.as_ref().is_some_and(Expr::can_fault) || handler.body.iter().any(can_stop);
        if stops {
            self.line("try {");
            self.depth += 1;
        }
        if let Some(condition) = &handler.condition {
            let text = self.expr(condition);
            self.line(format!("if (!({text})) next"));
        }
        self.block(&handler.body, false);
        if !matches!(handler.body.last(), Some(Stmt::Next | Stmt::Exit)) {
            self.flush();
        }
        if stops {
            self.depth -= 1;
            let count = self.emitter.library.count(Part::Stopped);
            self.line(format!("}} catch {{ {count} }}"));
        }
        self.lines
    }

    /// Only tasks of the wanted containers: the file may be mapped by others too.
    fn guard(&mut self) {
        let Scope::Site { containers, .. } = self.scope else { return };
        self.emitter.library.uses(Part::Cg);
        if let [want] = self.emitter.wants.as_slice() {
            let line = format!("if (ctp_cg({}) != {}) next", want.level_parameter, want.id_parameter);
            return self.line(line);
        }
        self.emitter.library.uses(Part::Container);
        self.line("ctp_who = ctp_container()");
        if containers.len() == self.emitter.wants.len() {
            return self.line("if (!ctp_who) next");
        }
        let others: Vec<String> = containers.iter().map(|c| format!("ctp_who != {}", c.0 + 1)).collect();
        self.line(format!("if ({}) next", others.join(" && ")));
    }

    fn line(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("{}{}", "    ".repeat(self.depth), text.as_ref()));
    }

    /// Statements; `fault_behind` says whether what follows them can stop the run.
    fn block(&mut self, stmts: &[Stmt], fault_behind: bool) {
        for (index, stmt) in stmts.iter().enumerate() {
            let behind = stops_from(stmts.get(index + 1..).unwrap_or(&[]), fault_behind);
            self.stmt(stmt, behind);
        }
    }

    fn stmt(&mut self, stmt: &Stmt, fault_behind: bool) {
        match stmt {
            Stmt::SetLocal(local, value) => {
                let text = self.expr(value);
                let name = self.local(*local);
                self.line(format!("{name} = {text}"));
            }
            Stmt::Effect(expr) => self.effect(expr),
            Stmt::If { condition, then, otherwise } => {
                let text = self.expr(condition);
                self.line(format!("if ({text}) {{"));
                self.branch(then, fault_behind);
                if !otherwise.is_empty() {
                    self.line("} else {");
                    self.branch(otherwise, fault_behind);
                }
                self.line("}");
            }
            Stmt::Print(print) => self.print(print, fault_behind),
            Stmt::Next => {
                self.flush();
                self.line("next");
            }
            Stmt::Exit => {
                self.flush();
                self.line("exit()");
                self.line("next");
            }
            // Refused before anything is written.
            Stmt::While { .. }
            | Stmt::Foreach(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. } => {}
        }
    }

    fn branch(&mut self, stmts: &[Stmt], fault_behind: bool) {
        self.depth += 1;
        self.conditions += 1;
        self.block(stmts, fault_behind);
        self.conditions -= 1;
        self.depth -= 1;
    }

    /// Outputs that were put off, in the order of the program. They stay in the list: another way through the handler
    /// ends elsewhere.
    fn flush(&mut self) {
        for line in self.deferred.clone() {
            self.line(line);
        }
    }

    /// A value computed for its effect.
    fn effect(&mut self, expr: &Expr) {
        let ExprKind::Update { global, keys, op, value, .. } = &expr.kind else {
            // Nothing but an update has an effect. stap drops values that nothing uses, and with them their faults.
            let text = self.expr(expr);
            let name = self.names.own("value");
            return self.line(format!("{name} = {text}"));
        };
        let name = self.global(*global);
        // A full map is told from a fault by where the error is caught, so nothing that faults may stand there.
        let hoist = !keys.is_empty() && (keys.iter().any(Expr::can_fault) || value.can_fault());
        let keys: Vec<String> = keys.iter().map(|key| self.value(key, hoist)).collect();
        let operand = self.value(value, hoist);
        let place = if keys.is_empty() { name } else { format!("{name}[{}]", keys.join(", ")) };
        let change = match (op, &value.kind) {
            (UpdateOp::Add, ExprKind::Int(1)) => format!("{place}++"),
            (UpdateOp::Add, ExprKind::Int(-1)) => format!("{place}--"),
            (UpdateOp::Add, _) => format!("{place} += {operand}"),
            (UpdateOp::Set, _) => format!("{place} = {operand}"),
        };
        if keys.is_empty() {
            return self.line(change);
        }
        let count = self.emitter.library.count(Part::Full);
        self.line(format!("try {{ {change} }} catch {{ {count} }}"));
    }

    /// An expression, in a local of its own where it must be computed here.
    fn value(&mut self, expr: &Expr, hoist: bool) -> String {
        let text = self.expr(expr);
        let fixed = matches!(
            expr.kind,
            ExprKind::Int(_) | ExprKind::Str(_) | ExprKind::Context(Context::ProbeFunction | Context::ProbePoint)
        );
        if !hoist || fixed {
            return text;
        }
        let name = self.temporary(expr);
        self.line(format!("{name} = {text}"));
        name
    }

    /// A new local, named after what it holds.
    fn temporary(&mut self, expr: &Expr) -> String {
        let hint = match &expr.kind {
            ExprKind::Target(target) => target
                .steps
                .iter()
                .rev()
                .find_map(|step| match step {
                    TargetStep::Member(name) => Some(name.as_str()),
                    TargetStep::Index(_) | TargetStep::Deref | TargetStep::Text => None,
                })
                .unwrap_or(&target.variable),
            _ => "shown",
        };
        let hint = hint.to_owned();
        self.names.own(&hint)
    }

    fn print(&mut self, print: &Print, fault_behind: bool) {
        let updates = print.pieces.iter().any(|piece| match piece {
            Piece::Value(shown) => has_update(&shown.value),
            Piece::Text(_) | Piece::Unavailable { .. } => false,
            // Refused before anything is written.
            Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => false,
        });
        let mut format = String::new();
        let mut arguments = Vec::new();
        for piece in &print.pieces {
            match piece {
                Piece::Text(bytes) => {
                    let nuls = quote::format(&mut format, bytes);
                    arguments.extend(std::iter::repeat_n("0".to_owned(), nuls));
                }
                Piece::Unavailable { text, spec } => {
                    quote::format(&mut format, show::pad(text, *spec).as_bytes());
                }
                Piece::Value(shown) => {
                    let (conversion, argument) = self.shown(shown, fault_behind || updates);
                    format.push_str(&conversion);
                    arguments.push(argument);
                }
                // Refused before anything is written.
                Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => {}
            }
        }
        let list: String = arguments.iter().map(|argument| format!(", {argument}")).collect();
        let line = format!("printf(\"{format}\"{list})");
        if !fault_behind {
            return self.line(line);
        }
        if self.conditions == 0 {
            return self.deferred.push(line);
        }
        let flag = self.names.own("print");
        self.line(format!("{flag} = 1"));
        self.deferred.push(format!("if ({flag}) {line}"));
    }

    /// Conversion and argument of a shown value.
    fn shown(&mut self, shown: &Shown, hoist: bool) -> (String, String) {
        self.emitter.longest = self.emitter.longest.max(show::width(shown.spec));
        let catches = shown.fault_is_shown && shown.value.can_fault();
        let value = self.value(&shown.value, hoist && !catches);
        let ways = match shown.value.ty {
            Ty::Str => Show::Text,
            Ty::Int if shown.show == Show::Text => Show::Signed,
            Ty::Int => shown.show,
        };
        let (before, conversion, argument) = self.converted(shown, ways, value);
        if !catches {
            if let Some(before) = before {
                self.line(before);
            }
            return (conversion, argument);
        }
        let name = self.temporary(&shown.value);
        let text = if conversion == "%s" { argument } else { format!("sprintf(\"{conversion}\", {argument})") };
        let before = before.map(|line| line + "; ").unwrap_or_default();
        let fault = quote::string(show::fault(shown.spec).as_bytes()).unwrap_or_default();
        let count = self.emitter.library.count(Part::Faults);
        self.line(format!("try {{ {before}{name} = {text} }} catch {{ {name} = {fault}; {count} }}"));
        ("%s".to_owned(), name)
    }

    /// A statement that must run before, the conversion, and its argument.
    fn converted(&mut self, shown: &Shown, ways: Show, value: String) -> (Option<String>, String, String) {
        match show::conversion(ways, shown.spec, self.emitter.options.strlen) {
            Conversion::Direct(conversion) => (None, conversion, value),
            Conversion::Nested { outer, inner } => (None, outer, format!("sprintf(\"{inner}\", {value})")),
            Conversion::Zero { outer, other, zero } => {
                let name = self.names.own("number");
                let argument = format!("({name} ? sprintf(\"{other}\", {name}) : sprintf(\"{zero}\", {name}))");
                (Some(format!("{name} = {value}")), outer, argument)
            }
            Conversion::Named(conversion) => {
                let argument = match ways {
                    Show::Enum(index) => match self.emitter.library.enumeration(index) {
                        Some(function) => format!("{function}({value})"),
                        None => format!("sprintf(\"%d\", {value})"),
                    },
                    Show::Bool
                    | Show::Signed
                    | Show::Unsigned
                    | Show::Hex { .. }
                    | Show::Octal
                    | Show::Pointer
                    | Show::Char
                    | Show::Float { .. }
                    | Show::Text => {
                        self.emitter.library.uses(Part::Bool);
                        format!("ctp_bool({value})")
                    }
                };
                (None, conversion, argument)
            }
            Conversion::Text { conversion, marked } => {
                let marked = marked && self.can_be_cut(&shown.value);
                let argument = if marked { self.emitter.library.text_of(&value) } else { value };
                (None, conversion, argument)
            }
        }
    }

    /// The name of a local.
    pub(super) fn local(&self, index: LocalIndex) -> String {
        self.locals.get(index.0 as usize).cloned().unwrap_or_default()
    }

    /// The name of a global.
    pub(super) fn global(&self, index: GlobalIndex) -> String {
        self.emitter.globals.get(index.0 as usize).cloned().unwrap_or_default()
    }

    /// The containers that count here, where this is a point of a file.
    fn containers(&mut self, span: Span) -> Vec<(u32, &'a Container)> {
        let program = self.emitter.program;
        match self.scope {
            Scope::Site { containers, .. } => {
                containers.iter().filter_map(|index| Some((index.0, program.container(*index)?))).collect()
            }
            Scope::Plain { .. } => {
                self.emitter.refuse(span, "a question about a container here", "no task of a container runs here");
                Vec::new()
            }
        }
    }

    /// What differs by container: itself where there is one, else by a function.
    pub(super) fn which(&mut self, part: Part, expr: &Expr, of: impl Fn(&Container) -> String) -> String {
        let all = self.containers(expr.span);
        let Some(((_, first), rest)) = all.split_first() else { return String::new() };
        let text = of(first);
        let literal = quote::string(text.as_bytes());
        if literal.is_none() {
            self.emitter.refuse(expr.span, "a container's name with a NUL byte in it", "its strings end at a NUL");
        }
        if rest.iter().all(|(_, container)| of(container) == text) {
            return literal.unwrap_or_default();
        }
        self.emitter.library.uses(part);
        let name = if part == Part::ContainerId { "ctp_container_id" } else { "ctp_container_name" };
        format!("{name}(ctp_who)")
    }

    /// A process or thread id as the container sees it.
    pub(super) fn ns_id(&mut self, part: Part, function: &str, expr: &Expr) -> String {
        let all = self.containers(expr.span);
        let Some(((_, first), rest)) = all.split_first() else { return String::new() };
        self.emitter.library.uses(part);
        if rest.iter().all(|(_, container)| container.pid_level == first.pid_level) {
            return format!("{function}({})", first.pid_level);
        }
        self.emitter.library.uses(Part::PidLevel);
        format!("{function}(ctp_pid_level(ctp_who))")
    }
}

/// Whether a run that goes on with these statements, and then as `behind` says, can be stopped.
fn stops_from(stmts: &[Stmt], behind: bool) -> bool {
    for stmt in stmts {
        if can_stop(stmt) {
            return true;
        }
        if matches!(stmt, Stmt::Next | Stmt::Exit) {
            return false;
        }
    }
    behind
}
