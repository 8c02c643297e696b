//! Owns the body of one probe: the guard, the statements, and what faults mean. A run that a fault stops prints
//! nothing: an output with a possible fault behind it is put off to the end of the handler, its values are not.

use super::fault::{can_stop, has_error, has_update, prints_in_a_loop};
use super::functions::parameter;
use super::library::Part;
use super::names::Names;
use super::returns::Kept;
use super::show::{self, Conversion};
use super::{Emitter, quote, tables};
use crate::ir::{
    self, Constant, ContainerIndex, Context, Expr, ExprKind, Foreach, Function, GlobalIndex, GlobalKind, Handler,
    Local, LocalIndex, OrderBy, Piece, Print, PrintKind, Show, Shown, Stmt, TargetStep, Ty, UpdateOp,
};
use crate::source::Span;
use crate::world::Container;

/// The most bytes that one run may gather.
const GATHERED: usize = 4000;

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
    names: Names,
    locals: Vec<String>,
    lines: Vec<String>,
    depth: usize,
    deferred: Vec<String>,
    /// How many conditions the statement stands under.
    conditions: usize,
    /// Whether outputs are gathered in a string and written when the handler ends.
    gathers: bool,
    /// Whether it was said that the run fails.
    fails: bool,
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
        let parameters: Vec<String> = function
            .locals
            .iter()
            .zip(&self.locals)
            .take(function.parameters)
            .map(|(local, name)| parameter(local, name))
            .collect();
        self.block(&function.body, false);
        (parameters.join(", "), self.lines)
    }

    /// The lines of a handler, its guard first.
    pub(super) fn handler(mut self, handler: &Handler) -> Vec<String> {
        self.name_locals(&handler.locals);
        self.guard();
        if let Some(kept) = self.returns.clone() {
            self.take_entry(&kept);
        }
        let stops = handler.condition.as_ref().is_some_and(Expr::can_fault) || handler.body.iter().any(can_stop);
        self.gathers = stops && prints_in_a_loop(&handler.body);
        self.fails = has_error(&handler.body);
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
    pub(super) fn guard(&mut self) {
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

    pub(super) fn line(&mut self, text: impl AsRef<str>) {
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
                if self.fails {
                    self.line("if (ctp_error != \"\") warn(ctp_error)");
                }
                self.line("exit()");
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
                let count = self.emitter.library.count(Part::Full);
                self.line(format!("try {{ {name}[{}] <<< {value} }} catch {{ {count} }}", keys.join(", ")));
            }
        }
    }

    /// `while` and `for`. Its rounds are counted: SystemTap's own limit would end the run, not the handler. What stands
    /// behind each round is written before all but the first, so that `continue` runs it.
    fn while_loop(&mut self, condition: &Expr, body: &[Stmt], step: &[Stmt], fault_behind: bool) {
        self.emitter.loops = true;
        let most = self.emitter.options.max_steps;
        let plain = match step {
            [] => Some(String::new()),
            [Stmt::SetLocal(local, value)] if !value.can_fault() && !condition.can_fault() => {
                Some(format!("{} = {}", self.local(*local), self.expr(value)))
            }
            _ => None,
        };
        if let Some(step) = plain {
            let text = self.expr(condition);
            self.line(if step.is_empty() {
                format!("while ({text}) {{")
            } else {
                format!("for (; {text}; {step}) {{")
            });
            self.depth += 1;
            self.conditions += 1;
            self.line(format!("if (++ctp_steps > {most}) error(\"too many rounds\")"));
            self.block(body, fault_behind);
            self.conditions -= 1;
            self.depth -= 1;
            return self.line("}");
        }
        self.line("while (1) {");
        self.depth += 1;
        self.conditions += 1;
        if !step.is_empty() {
            let again = self.names.own("again");
            self.lines.insert(self.lines.len() - 1, format!("{}{again} = 0", "    ".repeat(self.depth - 1)));
            self.line(format!("if ({again}++) {{"));
            self.branch(step, fault_behind);
            self.line("}");
        }
        let text = self.expr(condition);
        self.line(format!("if (!({text})) break"));
        self.line(format!("if (++ctp_steps > {most}) error(\"too many rounds\")"));
        self.block(body, fault_behind);
        self.conditions -= 1;
        self.depth -= 1;
        self.line("}");
    }

    fn foreach(&mut self, foreach: &Foreach, fault_behind: bool) {
        let mut changes = false;
        ir::visit_statements(&foreach.body, &mut |stmt| {
            changes |= match stmt {
                Stmt::Delete { global, .. } | Stmt::Aggregate { global, .. } => *global == foreach.global,
                Stmt::SetLocal(..)
                | Stmt::Effect(_)
                | Stmt::If { .. }
                | Stmt::While { .. }
                | Stmt::Foreach(_)
                | Stmt::Break
                | Stmt::Continue
                | Stmt::Return(_)
                | Stmt::Print(_)
                | Stmt::Next
                | Stmt::Exit => false,
            };
        });
        ir::visit_expressions(&foreach.body, &mut |expr| {
            changes |= matches!(&expr.kind, ExprKind::Update { global, .. } if *global == foreach.global);
        });
        if changes {
            self.emitter.refuse(foreach.span, "a loop over a map that changes it", "the map is locked meanwhile");
        }
        let (map, mut sort) = (self.global(foreach.global), String::new());
        let mut keys: Vec<String> = foreach.keys.iter().map(|key| self.local(*key)).collect();
        if let Some(order) = foreach.order {
            let sign = if order.falling { "-" } else { "+" };
            match order.by {
                OrderBy::Value => sort.push_str(sign),
                OrderBy::Key(index) => keys.get_mut(index).into_iter().for_each(|key| key.push_str(sign)),
                OrderBy::Stat(op) => match self.stat_name(op, foreach.span) {
                    Some(name) => sort = format!(" @{name}{sign}"),
                    None => return,
                },
            }
        }
        let limit = foreach.limit.as_ref().map(|limit| format!(" limit {}", self.operand(limit))).unwrap_or_default();
        let list = format!("[{}]", keys.join(", "));
        let is_stats = matches!(
            self.emitter.program.globals.get(foreach.global.0 as usize).map(|global| &global.kind),
            Some(GlobalKind::Stats { .. })
        );
        let plain = foreach.keys.iter().map(|key| self.local(*key)).collect::<Vec<_>>().join(", ");
        let held = foreach.value.map(|value| self.local(value));
        match &held {
            Some(held) if !is_stats => self.line(format!("foreach ({held} = {list} in {map}{sort}{limit}) {{")),
            Some(_) | None => self.line(format!("foreach ({list} in {map}{sort}{limit}) {{")),
        }
        if let (Some(held), true) = (&held, is_stats) {
            self.line(format!("    {held} = @count({map}[{plain}])"));
        }
        self.branch(&foreach.body, fault_behind);
        self.line("}");
    }

    fn delete(&mut self, global: GlobalIndex, keys: &[Expr]) {
        let name = self.global(global);
        let initial = match self.emitter.program.globals.get(global.0 as usize).map(|global| &global.kind) {
            Some(GlobalKind::Scalar { initial: Constant::Int(number), .. }) => Some(super::expr::int(*number)),
            Some(GlobalKind::Scalar { initial: Constant::Str(bytes), .. }) => quote::string(bytes),
            Some(GlobalKind::Map { .. } | GlobalKind::Stats { .. }) | None => None,
        };
        match initial {
            Some(initial) => self.line(format!("{name} = {initial}")),
            None if keys.is_empty() => self.line(format!("delete {name}")),
            None => {
                let keys = self.list(keys);
                self.line(format!("delete {name}[{keys}]"));
            }
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
        if self.gathers {
            self.line("print(ctp_out)");
        }
        for line in self.deferred.clone() {
            self.line(line);
        }
    }

    /// A value computed for its effect.
    fn effect(&mut self, expr: &Expr) {
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
        let table = print.pieces.iter().any(|piece| matches!(piece, Piece::Histogram { .. } | Piece::Table { .. }));
        if table {
            return self.print_tables(print);
        }
        // What is gathered is written in its order, whatever comes behind it.
        let (format, arguments) = self.format(print, fault_behind && !self.gathers);
        let list: String = arguments.iter().map(|argument| format!(", {argument}")).collect();
        if print.kind == PrintKind::Error {
            // Outside `try`, where it would be caught: behind the handler's output, ended by the `exit` that follows.
            return self.line(format!("ctp_error = sprintf(\"{format}\"{list})"));
        }
        if self.gathers {
            let most = GATHERED;
            self.emitter.longest = self.emitter.longest.max(most);
            self.line(format!("ctp_out = ctp_out . sprintf(\"{format}\"{list})"));
            return self.line(format!("if (strlen(ctp_out) >= {most}) error(\"too much output in one run\")"));
        }
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

    /// Pieces of which one is a whole map or a histogram: only in `begin`, `end` and timers, where nothing is put off.
    fn print_tables(&mut self, print: &Print) {
        if self.gathers {
            self.line("print(ctp_out)");
            self.line("ctp_out = \"\"");
        }
        for piece in &print.pieces {
            match piece {
                Piece::Histogram { global, keys, linear, .. } => {
                    let keys: Vec<String> = keys.iter().map(|key| self.expr(key)).collect();
                    let lines = tables::histogram(self.emitter, &mut self.names, *global, &keys, *linear);
                    lines.into_iter().for_each(|line| self.line(line));
                }
                Piece::Table { global, asked } => {
                    let asked = match asked {
                        None => None,
                        Some(op) => match self.stat_name(*op, print.span) {
                            None => continue,
                            named => named,
                        },
                    };
                    let name = self.global(*global);
                    let Some(declared) = self.emitter.program.globals.get(global.0 as usize) else { continue };
                    let mut format = String::new();
                    quote::format(&mut format, declared.name.as_bytes());
                    let lines = match &declared.kind {
                        GlobalKind::Stats { keys, .. } => match asked {
                            Some(asked) => tables::asked(self.emitter, &mut self.names, &format, &name, keys, asked),
                            None => tables::stats(self.emitter, &mut self.names, &format, &name, keys),
                        },
                        GlobalKind::Map { keys, value, .. } => {
                            tables::map(self.emitter, &mut self.names, &format, &name, keys, *value)
                        }
                        GlobalKind::Scalar { .. } => Vec::new(),
                    };
                    lines.into_iter().for_each(|line| self.line(line));
                }
                // A table ends its own lines.
                Piece::Text(text) if text == b"\n" => {}
                Piece::Text(_) | Piece::Value(_) | Piece::Whole(_) | Piece::Unavailable { .. } => {
                    let one = Print { kind: PrintKind::Text, pieces: vec![piece.clone()], span: print.span };
                    self.print(&one, false);
                }
            }
        }
    }

    /// Format and arguments of an output; what an `emit` names stands before each value.
    fn format(&mut self, print: &Print, fault_behind: bool) -> (String, Vec<String>) {
        let updates = print.pieces.iter().any(|piece| {
            let mut any = false;
            piece.operands(&mut |value| any |= has_update(value));
            any
        });
        let mut format = String::new();
        let mut arguments = Vec::new();
        for (index, piece) in print.pieces.iter().enumerate() {
            if let PrintKind::Event(names) = &print.kind {
                let gap = if index > 0 { " " } else { "" };
                let name = names.get(index).map_or("", String::as_str);
                quote::format(&mut format, format!("{gap}{name}=").as_bytes());
            }
            match piece {
                Piece::Text(bytes) => {
                    let nuls = quote::format(&mut format, bytes);
                    arguments.extend(std::iter::repeat_n("0".to_owned(), nuls));
                    if nuls > 0 && (self.gathers || print.kind == PrintKind::Error) {
                        self.emitter.refuse(print.span, "a NUL byte here", "its strings end at a NUL");
                    }
                }
                Piece::Unavailable { text, spec } => {
                    quote::format(&mut format, show::pad(text, *spec).as_bytes());
                }
                Piece::Value(shown) => {
                    let quoted = matches!(print.kind, PrintKind::Event(_)) && shown.value.ty == Ty::Str;
                    let (conversion, argument) = self.shown(shown, fault_behind || updates);
                    if quoted && conversion == "%s" {
                        self.emitter.longest =
                            self.emitter.longest.max(4 * (self.emitter.options.strlen as usize + 16));
                        arguments.push(self.emitter.library.quoted(&argument));
                    } else {
                        arguments.push(argument);
                    }
                    format.push_str(&conversion);
                }
                // Refused before anything is written, or drawn by themselves.
                Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table { .. } => {}
            }
        }
        if let PrintKind::Event(_) = &print.kind {
            format.push_str("\\n");
        }
        (format, arguments)
    }

    /// `sprintf`: nothing in it may need a line of its own.
    pub(super) fn sprintf(&mut self, pieces: &[Piece], expr: &Expr) -> String {
        let before = self.lines.len();
        let print = Print { kind: PrintKind::Text, pieces: pieces.to_vec(), span: expr.span };
        let (format, arguments) = self.format(&print, false);
        if self.lines.len() > before {
            self.emitter.refuse(expr.span, "this `sprintf`", "a value in it may be a fault: print it instead");
            self.lines.truncate(before);
        }
        let list: String = arguments.iter().map(|argument| format!(", {argument}")).collect();
        self.emitter.library.uses(Part::Cut);
        format!("ctp_cut(sprintf(\"{format}\"{list}))")
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
    pub(super) fn which(&mut self, part: Part, name: &str, expr: &Expr, of: impl Fn(&Container) -> String) -> String {
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
        format!("{name}({})", self.who())
    }

    /// Which container the task is in.
    fn who(&mut self) -> &'static str {
        match self.scope {
            Scope::Site { .. } | Scope::Plain { .. } => "ctp_who",
            Scope::Function { .. } => {
                self.emitter.library.uses(Part::Cg);
                self.emitter.library.uses(Part::Container);
                "ctp_container()"
            }
        }
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
