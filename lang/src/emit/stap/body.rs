//! Owns the body of one probe: the guard, the statements, and what faults mean.

use super::fault::{can_stop, has_error, has_next, loops, prints_in_a_loop};
use super::functions::parameter;
use super::late::Text;
use super::library::Part;
use super::names::Names;
use super::records::Category;
use super::returns::Kept;
use super::{Emitter, KnownBy, Written, quote};
use crate::ir::{
    ContainerIndex, Context, Expr, ExprKind, Function, GlobalIndex, Handler, Local, LocalIndex, Stmt, TargetStep,
    UpdateOp,
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
    /// In a function of the program, which is called from anywhere.
    Function {
        /// All containers of the program.
        containers: &'s [ContainerIndex],
    },
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
    pub(super) names: Names,
    locals: Vec<String>,
    pub(super) lines: Vec<String>,
    pub(super) depth: usize,
    /// Outputs as text that were put off.
    pub(super) deferred: Vec<String>,
    /// How many conditions the statement stands under.
    pub(super) conditions: usize,
    /// Whether outputs are gathered in a string and written when the handler ends.
    pub(super) gathers: bool,
    /// Whether it was said that the run fails.
    fails: bool,
    /// Whether `next` is said to be one, since it stands where the script catches what stops a run.
    marks_next: bool,
    /// Whether the run may print something, as records.
    pub(super) records: bool,
    /// How many operators or conditions of loops decide whether what is being written is computed at all: nothing of it
    /// may be computed before its statement.
    pub(super) decided: usize,
    /// Whether functions that it calls may print.
    pub(super) functions_print: bool,
    /// In a handler at the end of a call: what was kept of it.
    pub(super) returns: Option<Kept>,
}

impl<'e, 'a> Body<'e, 'a> {
    /// An empty body.
    pub(super) fn new(emitter: &'e mut Emitter<'a>, scope: Scope<'e>) -> Body<'e, 'a> {
        let names = emitter.names.clone();
        Body {
            emitter,
            scope,
            names,
            locals: vec![],
            lines: vec![],
            depth: 0,
            deferred: vec![],
            conditions: 0,
            gathers: false,
            fails: false,
            marks_next: false,
            records: false,
            decided: 0,
            functions_print: false,
            returns: None,
        }
    }

    /// What was written.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// A new name of ours.
    pub(super) fn own(&mut self, hint: &str) -> String {
        self.names.own(hint)
    }

    /// Says that the handler runs at the end of a call.
    pub(super) fn begin_return(&mut self, kept: &Kept) {
        self.returns = Some(kept.clone());
    }

    fn name_locals(&mut self, locals: &[Local]) {
        self.locals = locals.iter().map(|local| self.names.user(&local.name)).collect();
    }

    /// The parameters and the lines of a function of the program.
    pub(super) fn function(mut self, function: &Function) -> (String, Vec<String>) {
        self.name_locals(&function.locals);
        let mut parameters: Vec<String> = function
            .locals
            .iter()
            .zip(&self.locals)
            .take(function.parameters)
            .map(|(local, name)| parameter(local, name))
            .collect();
        if self.writes_records() {
            // What is counted in it is counted for the probe that calls it.
            parameters.push("ctp_probe:long".to_owned());
        }
        self.block(&function.body, false);
        (parameters.join(", "), self.lines)
    }

    /// The lines of a handler, its guard first.
    pub(super) fn handler(mut self, handler: &Handler) -> Vec<String> {
        self.name_locals(&handler.locals);
        self.guard();
        if self.emitter.shares_steps {
            self.line("ctp_steps = 0");
        }
        if let Some(kept) = self.returns.clone() {
            self.take_entry(&kept);
        }
        let stops = handler.condition.as_ref().is_some_and(Expr::can_fault) || handler.body.iter().any(can_stop);
        match self.emitter.options.written {
            Written::Text => {
                self.gathers = stops && prints_in_a_loop(&handler.body);
                self.fails = has_error(&handler.body);
                self.marks_next = stops && (handler.condition.is_some() || has_next(&handler.body));
            }
            Written::Records => {
                self.begin_records(handler);
                self.marks_next = true;
            }
        }
        if stops {
            self.line("try {");
            self.depth += 1;
        }
        if let Some(condition) = &handler.condition {
            let text = self.expr(condition);
            let filtered = self.counts(Category::Filtered);
            let count = filtered.map_or_else(String::new, |count| format!("{count}; "));
            self.line(match self.marks_next {
                true => format!("if (!({text})) {{ {count}ctp_done = 1; next }}"),
                false => format!("if (!({text})) next"),
            });
        }
        self.block(&handler.body, false);
        if !matches!(handler.body.last(), Some(Stmt::Next | Stmt::Exit)) {
            self.flush();
        }
        if stops {
            self.depth -= 1;
            match self.emitter.options.written {
                Written::Text => {
                    let count = self.count(Category::ReadFaults);
                    // SystemTap (5.6) takes `next` for something to catch.
                    self.line(match self.marks_next {
                        true => format!("}} catch {{ if (!ctp_done) {count} }}"),
                        false => format!("}} catch {{ {count} }}"),
                    });
                }
                Written::Records => self.stopped(loops(handler, self.emitter.program)),
            }
        }
        self.lines
    }

    /// Whether outputs are written as records for ctp.
    pub(super) fn writes_records(&self) -> bool {
        match self.emitter.options.written {
            Written::Text => false,
            Written::Records => true,
        }
    }

    fn mark_next(&mut self) {
        if self.marks_next {
            self.line("ctp_done = 1");
        }
    }

    /// A statement that counts something that befell the run.
    pub(super) fn count(&mut self, category: Category) -> String {
        match self.counts(category) {
            Some(count) => count,
            None => self.emitter.library.count(category),
        }
    }

    /// Only tasks of the wanted containers: the file may be mapped by others too.
    pub(super) fn guard(&mut self) {
        let Scope::Site { containers, .. } = self.scope else { return };
        self.emitter.library.knows(&self.emitter.wants);
        if let Some(want) = self.emitter.only() {
            let line = match want.by {
                KnownBy::Cgroup => format!("if (ctp_cg({}) != {}) next", want.second_parameter, want.id_parameter),
                KnownBy::Process => {
                    format!("if (!ctp_descends({}, {})) next", want.id_parameter, want.second_parameter)
                }
            };
            return self.line(line);
        }
        self.emitter.library.uses(Part::Container);
        self.line("ctp_who = ctp_container()");
        if containers.len() == self.emitter.wants.len() {
            return self.line("if (!ctp_who) next");
        }
        let mut who = "ctp_who";
        if self.emitter.newcomers() {
            self.emitter.library.uses(Part::Like);
            self.line(format!("ctp_as = ctp_who > {} ? ctp_like[ctp_who] : ctp_who", self.emitter.wants.len()));
            who = "ctp_as";
        }
        let others: Vec<String> = containers.iter().map(|c| format!("{who} != {}", c.0 + 1)).collect();
        self.line(format!("if ({}) next", others.join(" && ")));
    }

    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("{}{}", "    ".repeat(self.depth), text.as_ref()));
    }

    /// Statements; `fault_behind` says whether what follows them can stop the run.
    pub(super) fn block(&mut self, stmts: &[Stmt], fault_behind: bool) {
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
            Stmt::Print(print) => match self.emitter.options.written {
                Written::Text => self.print(print, fault_behind),
                Written::Records => self.record(print),
            },
            Stmt::Next => {
                self.flush();
                self.mark_next();
                self.line("next");
            }
            Stmt::Exit => {
                self.flush();
                if self.writes_records() {
                    self.say_exit();
                }
                if self.fails {
                    self.line("if (ctp_error != \"\") warn(ctp_error)");
                }
                self.line("exit()");
                self.mark_next();
                self.line("next");
            }
            Stmt::While { condition, body, step, .. } => self.while_loop(condition, body, step, fault_behind),
            Stmt::Foreach(foreach) => self.foreach(foreach, fault_behind),
            Stmt::Break => self.line("break"),
            Stmt::Continue => self.line("continue"),
            Stmt::Return(None) => self.line("return"),
            Stmt::Return(Some(value)) => {
                let text = self.expr(value);
                self.line(format!("return {text}"));
            }
            Stmt::Delete { global, keys, .. } => self.delete(*global, keys),
            Stmt::Aggregate { global, keys, value, .. } => {
                let name = self.global(*global);
                let hoist = !keys.is_empty() && (keys.iter().any(Expr::can_fault) || value.can_fault());
                let keys: Vec<String> = keys.iter().map(|key| self.value(key, hoist)).collect();
                let value = self.value(value, hoist);
                if keys.is_empty() {
                    return self.line(format!("{name} <<< {value}"));
                }
                let count = self.count(Category::MapFull);
                self.line(format!("try {{ {name}[{}] <<< {value} }} catch {{ {count} }}", keys.join(", ")));
            }
        }
    }

    pub(super) fn branch(&mut self, stmts: &[Stmt], fault_behind: bool) {
        self.depth += 1;
        self.conditions += 1;
        self.block(stmts, fault_behind);
        self.conditions -= 1;
        self.depth -= 1;
    }

    /// A value computed for its effect.
    pub(super) fn effect(&mut self, expr: &Expr) {
        if let ExprKind::Call(..) | ExprKind::SetLocal { .. } = &expr.kind {
            let text = self.expr(expr);
            return self.line(text);
        }
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
        let count = self.count(Category::MapFull);
        self.line(format!("try {{ {change} }} catch {{ {count} }}"));
    }

    /// An expression, in a local of its own where it must be computed here.
    pub(super) fn value(&mut self, expr: &Expr, hoist: bool) -> String {
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
    pub(super) fn temporary(&mut self, expr: &Expr) -> String {
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

    /// The name of a local.
    pub(super) fn local(&self, index: LocalIndex) -> String {
        self.locals.get(index.0 as usize).cloned().unwrap_or_default()
    }

    /// The name of a global.
    pub(super) fn global(&self, index: GlobalIndex) -> String {
        self.emitter.globals.get(index.0 as usize).cloned().unwrap_or_default()
    }

    /// The containers that count here, where this is a point of a file.
    pub(super) fn containers(&mut self, span: Span) -> Vec<(u32, &'a Container)> {
        let program = self.emitter.program;
        match self.scope {
            Scope::Site { containers, .. } | Scope::Function { containers } => {
                containers.iter().filter_map(|index| Some((index.0, program.container(*index)?))).collect()
            }
            Scope::Plain { .. } => {
                self.emitter.refuse(span, "a question about a container here", "no task of a container runs here");
                Vec::new()
            }
        }
    }

    /// What differs by container: itself where there is one, else by a function.
    pub(super) fn which(&mut self, part: Part, name: &str, expr: &Expr, what: Text) -> String {
        let of = |container: &Container| what.of(container);
        let all = self.containers(expr.span);
        let Some(((_, first), rest)) = all.split_first() else { return String::new() };
        let text = of(first);
        let literal = quote::string(text.as_bytes());
        if literal.is_none() {
            self.emitter.refuse(expr.span, "a container's name with a NUL byte in it", "its strings end at a NUL");
        }
        if rest.iter().all(|(_, container)| of(container) == text) && !self.emitter.newcomers() {
            return literal.unwrap_or_default();
        }
        if self.emitter.newcomers() {
            self.emitter.library.uses(Part::Said);
        }
        self.emitter.library.uses(part);
        format!("{name}({})", self.who())
    }

    /// Which container the task is in.
    pub(super) fn who(&mut self) -> &'static str {
        match self.scope {
            Scope::Site { .. } | Scope::Plain { .. } => "ctp_who",
            Scope::Function { .. } => {
                self.emitter.library.knows(&self.emitter.wants);
                self.emitter.library.uses(Part::Container);
                "ctp_container()"
            }
        }
    }

    /// A process or thread id as the container sees it.
    pub(super) fn ns_id(&mut self, part: Part, function: &str, span: Span) -> String {
        let all = self.containers(span);
        let Some(((_, first), rest)) = all.split_first() else { return String::new() };
        self.emitter.library.uses(part);
        if rest.iter().all(|(_, container)| container.pid_level == first.pid_level) {
            return format!("{function}({})", first.pid_level);
        }
        self.emitter.library.uses(Part::PidLevel);
        if self.emitter.newcomers() {
            self.emitter.library.uses(Part::Like);
        }
        format!("{function}(ctp_pid_level({}))", self.who())
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
