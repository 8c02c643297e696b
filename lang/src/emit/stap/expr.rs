//! Owns expressions: from the IR to SystemTap's, which are the same long and string values. Operands that are not
//! single tokens or calls stand in parentheses.

use super::body::{Body, Form, Scope};
use super::late::Text;
use super::library::Part;
use super::quote;
use crate::debuginfo::facts::Register;
use crate::ir::{
    self, BinaryOp, Context, Expr, ExprKind, GlobalIndex, LocalIndex, StatOp, Target, TargetStep, Ty, UpdateOp,
};
use crate::source::Span;

/// DWARF's numbers of x86-64's general registers, by the names stap's `register()` takes.
const REGISTERS: [&str; 16] =
    ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// A number in an expression; the least one has no literal of its own.
pub(super) fn int(value: i64) -> String {
    if value == i64::MIN { "(-9223372036854775807 - 1)".to_owned() } else { value.to_string() }
}

/// A number as a global's initial value, which is one literal.
pub(super) fn global_int(value: i64) -> String {
    if value == i64::MIN { "0x8000000000000000".to_owned() } else { value.to_string() }
}

/// Whether a value is a register's or its lower half: a location that every stap reads. (clang may narrow others by
/// DW_OP_convert.)
fn is_plain(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Register(_) => true,
        ExprKind::Extend { value, bits: 32, .. } => matches!(value.kind, ExprKind::Register(_)),
        _ => false,
    }
}

impl Body<'_, '_> {
    /// An expression as an operand.
    pub(super) fn operand(&mut self, expr: &Expr) -> String {
        let text = self.expr(expr);
        let alone = match &expr.kind {
            ExprKind::Int(value) => *value >= 0,
            ExprKind::Str(_)
            | ExprKind::Local(_)
            | ExprKind::Global(_)
            | ExprKind::MapGet(..)
            | ExprKind::Context(_)
            | ExprKind::Register(_)
            | ExprKind::Load { .. }
            | ExprKind::UserString(_) => true,
            ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Stat { .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Call(..)
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Entry(_)
            | ExprKind::Returned(_) => true,
            ExprKind::Block(_) => false,
            ExprKind::Target(_) => text.starts_with('$') || text.starts_with("ctp_user_string("),
            ExprKind::MapHas(..)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Extend { .. }
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Compare(..)
            | ExprKind::Logic { .. }
            | ExprKind::Ternary(..)
            | ExprKind::Concat(_)
            | ExprKind::Update { .. } => false,
        };
        if alone { text } else { format!("({text})") }
    }

    /// An expression.
    pub(super) fn expr(&mut self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Int(value) => int(*value),
            ExprKind::Str(bytes) => self.string(bytes, expr),
            ExprKind::Local(index) => self.local(*index),
            ExprKind::Global(index) => self.global(*index),
            ExprKind::MapGet(map, keys) => format!("{}[{}]", self.global(*map), self.list(keys)),
            ExprKind::MapHas(map, keys) => format!("[{}] in {}", self.list(keys), self.global(*map)),
            ExprKind::Context(context) => self.context(*context, expr),
            ExprKind::Target(target) => self.target(target, expr),
            ExprKind::Register(register) => self.register(*register, expr),
            ExprKind::ModuleAddress(address) => self.module_address(*address, expr),
            ExprKind::Load { address, size, signed } => self.load(address, *size, *signed, expr),
            ExprKind::Extend { value, bits, signed } => self.extend(value, *bits, *signed),
            ExprKind::UserString(address) => {
                self.emitter.library.uses(Part::UserString);
                format!("ctp_user_string({})", self.expr(address))
            }
            ExprKind::Unary(op, value) => {
                let sign = op.symbol();
                format!("{sign}{}", self.operand(value))
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Compare(op, left, right) => {
                let sign = op.symbol();
                format!("{} {sign} {}", self.operand(left), self.operand(right))
            }
            ExprKind::Logic { and, left, right } => {
                let left = self.operand(left);
                let right = self.decided(|body| body.operand(right));
                format!("{left} {} {right}", if *and { "&&" } else { "||" })
            }
            ExprKind::Ternary(condition, then, otherwise) => {
                let condition = self.operand(condition);
                let [then, otherwise] = [then, otherwise].map(|value| self.decided(|body| body.operand(value)));
                format!("{condition} ? {then} : {otherwise}")
            }
            ExprKind::Concat(parts) => {
                let list: Vec<String> = parts.iter().map(|part| self.operand(part)).collect();
                let all = list.join(" . ");
                if !self.can_be_cut(expr) {
                    return all;
                }
                self.emitter.library.uses(Part::Cut);
                format!("ctp_cut({all})")
            }
            ExprKind::Update { .. } => self.update(expr),
            ExprKind::UserText { address, most } => {
                self.emitter.library.uses(Part::UserText);
                format!("ctp_user_text({}, {})", self.expr(address), self.expr(most))
            }
            ExprKind::UserBytes { address, length } => {
                self.emitter.library.uses(Part::UserBytes);
                format!("ctp_user_bytes({}, {})", self.expr(address), self.expr(length))
            }
            // Refused before anything is written.
            ExprKind::Block(_) => String::new(),
            ExprKind::Stat { global, keys, op } => self.stat(*global, keys, *op, expr.span),
            ExprKind::SetLocal { local, value, before } => self.set_local(*local, value, *before, expr),
            ExprKind::Call(function, arguments) => {
                let name = self.emitter.functions.get(function.0 as usize).cloned().unwrap_or_default();
                let probe = self.probe_argument(!arguments.is_empty());
                format!("{name}({}{probe})", self.list(arguments))
            }
            ExprKind::Library(function, arguments) => self.library(*function, arguments),
            ExprKind::Format(pieces) => self.sprintf(pieces, expr),
            ExprKind::Entry(index) => match self.returns.clone() {
                Some(kept) => kept.value(index.0 as usize, expr.ty == Ty::Str, self.emitter),
                None => String::new(),
            },
            // SystemTap sees the return of whichever function returned in its stead.
            ExprKind::Returned(register) => self.register(*register, expr),
        }
    }

    /// Writes something of which another value decides whether it is computed.
    pub(super) fn decided<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        self.decided += 1;
        let written = write(self);
        self.decided -= 1;
        written
    }

    /// Keys, separated by commas.
    pub(super) fn list(&mut self, keys: &[Expr]) -> String {
        keys.iter().map(|key| self.expr(key)).collect::<Vec<_>>().join(", ")
    }

    /// Whether a string may be longer than the limit, and so cut.
    pub(super) fn can_be_cut(&self, expr: &Expr) -> bool {
        self.most(expr) > self.emitter.options.strlen as usize
    }

    /// The most bytes a string can have.
    fn most(&self, expr: &Expr) -> usize {
        let over = self.emitter.options.strlen as usize + 1;
        match &expr.kind {
            ExprKind::Str(bytes) => bytes.len(),
            // TASK_COMM_LEN is 16 with the NUL; numbers have no length.
            ExprKind::Context(Context::Comm) => 15,
            // Cut by the function that gives it.
            ExprKind::Context(Context::Exe) => self.emitter.options.strlen as usize + 1,
            ExprKind::Context(_) => 0,
            ExprKind::Concat(parts) => parts.iter().map(|part| self.most(part)).fold(0, usize::saturating_add),
            ExprKind::Ternary(_, then, otherwise) => self.most(then).max(self.most(otherwise)),
            ExprKind::Int(_)
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(_)
            | ExprKind::Stat { .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Call(..)
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Entry(_)
            | ExprKind::Returned(_)
            | ExprKind::Local(_)
            | ExprKind::Global(_)
            | ExprKind::MapGet(..)
            | ExprKind::MapHas(..)
            | ExprKind::Target(_)
            | ExprKind::Register(_)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Load { .. }
            | ExprKind::Extend { .. }
            | ExprKind::UserString(_)
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Compare(..)
            | ExprKind::Logic { .. }
            | ExprKind::Update { .. } => over,
        }
    }

    fn string(&mut self, bytes: &[u8], expr: &Expr) -> String {
        let limit = self.emitter.options.strlen as usize + 1;
        match quote::string(bytes.get(..limit).unwrap_or(bytes)) {
            Some(text) => text,
            None => {
                self.emitter.refuse(expr.span, "a string with a NUL byte in it", "its strings end at a NUL");
                String::new()
            }
        }
    }

    /// A value of the traced program: by name where the point belongs to the function, else as it is computed.
    fn target(&mut self, target: &Target, expr: &Expr) -> String {
        match self.scope {
            Scope::Site { form: Form::Address(_), .. } => self.expr(&target.value),
            Scope::Site { form: Form::Named { compute, .. }, .. } => self.named(target, compute, expr),
            Scope::Plain { .. } | Scope::Function { .. } => self.named(target, false, expr),
        }
    }

    fn named(&mut self, target: &Target, compute: bool, expr: &Expr) -> String {
        let why = "its names hold letters, digits and `_` only";
        if !quote::is_identifier(&target.variable) {
            self.emitter.refuse(expr.span, format!("the variable name `{}`", target.variable), why);
        }
        let mut out = format!("${}", target.variable);
        for step in &target.steps {
            match step {
                TargetStep::Member(name) => {
                    if !quote::is_identifier(name) {
                        self.emitter.refuse(expr.span, format!("the member name `{name}`"), why);
                    }
                    out.push_str("->");
                    out.push_str(name);
                }
                TargetStep::Index(index) => out.push_str(&format!("[{}]", self.expr(index))),
                TargetStep::Deref => out.push_str("[0]"),
                // Always the last one.
                TargetStep::Text => {}
            }
        }
        let text = target.steps.iter().any(|step| matches!(step, TargetStep::Text));
        let inner = match &target.value.kind {
            ExprKind::UserString(address) if text => address,
            _ => &target.value,
        };
        if compute && !is_plain(inner) {
            let refused = self.emitter.diagnostics.len();
            let computed = self.operand(inner);
            if self.emitter.diagnostics.len() == refused {
                out = format!("@defined({out}) ? {out} : {computed}");
            }
            self.emitter.diagnostics.truncate(refused);
        }
        if text {
            self.emitter.library.uses(Part::UserString);
            out = format!("ctp_user_string({out})");
        }
        out
    }

    fn register(&mut self, register: Register, expr: &Expr) -> String {
        match REGISTERS.get(usize::from(register.0)) {
            Some(name) => format!("register(\"{name}\")"),
            None => {
                self.emitter.refuse(expr.span, "this register", "only general registers can be read");
                String::new()
            }
        }
    }

    fn module_address(&mut self, address: u64, expr: &Expr) -> String {
        match self.scope {
            Scope::Site { form: Form::Address(site) | Form::Named { address: Some(site), .. }, .. } => {
                let away = address.wrapping_sub(site).cast_signed();
                if away < 0 { format!("uaddr() - {}", away.unsigned_abs()) } else { format!("uaddr() + {away}") }
            }
            Scope::Site { form: Form::Named { address: None, .. }, .. }
            | Scope::Plain { .. }
            | Scope::Function { .. } => {
                self.emitter.refuse(expr.span, "this address of the program", "it depends on the point");
                String::new()
            }
        }
    }

    fn load(&mut self, address: &Expr, size: u8, signed: bool, expr: &Expr) -> String {
        if !matches!(size, 1 | 2 | 4 | 8) {
            self.emitter.refuse(expr.span, "a value of this size", "it loads 1, 2, 4 or 8 bytes");
        }
        // Without `_error`, stap's functions give 0 for what cannot be read.
        format!("user_{}int{}_error({})", if signed { "" } else { "u" }, u16::from(size) * 8, self.expr(address))
    }

    fn extend(&mut self, value: &Expr, bits: u8, signed: bool) -> String {
        let bits = bits.clamp(1, 63);
        let value = self.operand(value);
        if signed {
            let by = 64 - bits;
            format!("({value} << {by}) >> {by}")
        } else {
            format!("{value} & {:#x}", (1u64 << bits) - 1)
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> String {
        let sign = match op {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::ModUnsigned => {
                self.emitter.library.uses(Part::ModUnsigned);
                return format!("ctp_umod({}, {})", self.expr(left), self.expr(right));
            }
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::ShrLogical => ">>>",
        };
        let shift = matches!(op, BinaryOp::Shl | BinaryOp::Shr | BinaryOp::ShrLogical);
        let left = self.operand(left);
        let right = match (&right.kind, shift) {
            (ExprKind::Int(by), true) => (by & 63).to_string(),
            (_, true) => format!("({} & 63)", self.operand(right)),
            (_, false) => self.operand(right),
        };
        format!("{left} {sign} {right}")
    }

    fn context(&mut self, context: Context, expr: &Expr) -> String {
        match context {
            Context::Pid => "pid()".to_owned(),
            Context::Tid => "tid()".to_owned(),
            Context::NsPid => self.ns_id(Part::NsPid, "ctp_ns_pid", expr.span),
            Context::NsTid => self.ns_id(Part::NsTid, "ctp_ns_tid", expr.span),
            Context::Comm => "execname()".to_owned(),
            Context::Exe => {
                self.emitter.library.uses(Part::Exe);
                "ctp_exe()".to_owned()
            }
            Context::Container => self.which(Part::ContainerName, "ctp_container_name", expr, Text::Name),
            Context::ContainerId => self.which(Part::ContainerId, "ctp_container_id", expr, Text::Id),
            Context::Now => "ktime_get_ns()".to_owned(),
            Context::Uid => {
                self.emitter.library.uses(Part::Uid);
                "ctp_uid()".to_owned()
            }
            Context::Gid => {
                self.emitter.library.uses(Part::Gid);
                "ctp_gid()".to_owned()
            }
            Context::Cpu => "cpu()".to_owned(),
            Context::ThreadPointer => {
                self.emitter.library.uses(Part::ThreadPointer);
                "ctp_thread_pointer()".to_owned()
            }
            Context::ProbeFunction => match self.scope {
                Scope::Site { function, .. } => self.string(function.as_bytes(), expr),
                Scope::Plain { .. } | Scope::Function { .. } => {
                    self.emitter.refuse(expr.span, "`probefunc()` here", "no function is hit");
                    String::new()
                }
            },
            Context::Image => self.which(Part::Image, "ctp_image", expr, Text::Image),
            Context::Pod => self.which(Part::Pod, "ctp_pod", expr, Text::Pod),
            Context::Runtime => self.which(Part::Runtime, "ctp_runtime", expr, Text::Runtime),
            Context::Walltime => "gettimeofday_ns()".to_owned(),
            Context::Elapsed => match &self.returns {
                Some(kept) => format!("(ktime_get_ns() - {})", kept.since()),
                None => String::new(),
            },
            // Refused before anything is written.
            Context::Stack(_) | Context::Caller => String::new(),
            Context::ProbePoint => match self.scope {
                Scope::Site { point, .. } | Scope::Plain { point } => self.string(point.as_bytes(), expr),
                Scope::Function { .. } => {
                    self.emitter.refuse(expr.span, "`pp()` in a function", "it is called from several points");
                    String::new()
                }
            },
        }
    }

    /// What is asked of an aggregate. One of nothing faults as it should, but for a missing key.
    fn stat(&mut self, global: GlobalIndex, keys: &[Expr], op: StatOp, span: Span) -> String {
        let name = self.global(global);
        let place = if keys.is_empty() { name } else { format!("{name}[{}]", self.list(keys)) };
        match self.stat_name(op, span) {
            Some(op) => format!("@{op}({place})"),
            None => String::new(),
        }
    }

    /// SystemTap's name of what is asked of an aggregate; `None` where it has none, which is reported.
    pub(super) fn stat_name(&mut self, op: StatOp, span: Span) -> Option<&'static str> {
        Some(match op {
            StatOp::Count => "count",
            StatOp::Sum => "sum",
            StatOp::Min => "min",
            StatOp::Max => "max",
            StatOp::Avg => "avg",
            StatOp::Quantile(_) => {
                self.emitter.refuse(span, "a quantile", "its histograms can only be printed");
                return None;
            }
        })
    }

    fn set_local(&mut self, local: LocalIndex, value: &Expr, before: bool, expr: &Expr) -> String {
        let name = self.local(local);
        let step = match &value.kind {
            ExprKind::Binary(BinaryOp::Add, left, right) if left.kind == ExprKind::Local(local) => match right.kind {
                ExprKind::Int(step @ (1 | -1)) => Some(step),
                _ => None,
            },
            _ => None,
        };
        match (step, before) {
            (Some(1), true) => format!("({name}++)"),
            (Some(_), true) => format!("({name}--)"),
            (_, false) => format!("({name} = {})", self.expr(value)),
            (None, true) => {
                self.emitter.refuse(expr.span, "the value before this change", "only `++` and `--` give it");
                String::new()
            }
        }
    }

    fn library(&mut self, function: ir::Library, arguments: &[Expr]) -> String {
        let (part, name) = match function {
            ir::Library::Strlen => (None, "strlen"),
            ir::Library::Strtol => (None, "strtol"),
            ir::Library::IsInStr => (None, "isinstr"),
            ir::Library::Substr => (Some(Part::Substr), "ctp_substr"),
            ir::Library::Min => (Some(Part::Min), "ctp_min"),
            ir::Library::Max => (Some(Part::Max), "ctp_max"),
            ir::Library::Abs => (Some(Part::Abs), "ctp_abs"),
            ir::Library::Ntohs => (Some(Part::Ntohs), "ctp_ntohs"),
            ir::Library::Ntohl => (Some(Part::Ntohl), "ctp_ntohl"),
            ir::Library::Ipv4 => (Some(Part::Ipv4), "ctp_ipv4"),
            ir::Library::ErrnoStr => (Some(Part::ErrnoStr), "ctp_errno_str"),
            ir::Library::SignalStr => (Some(Part::SignalStr), "ctp_signal_str"),
            ir::Library::Sample => (Some(Part::Sample), "ctp_sample"),
            // Refused before anything is written.
            ir::Library::Ipv6 | ir::Library::Strftime => return String::new(),
        };
        if let Some(part) = part {
            self.emitter.library.uses(part);
        }
        format!("{name}({})", self.list(arguments))
    }

    /// The value before or after a change of a global, as an expression.
    fn update(&mut self, expr: &Expr) -> String {
        let ExprKind::Update { global, keys, op, value, before } = &expr.kind else { return String::new() };
        let name = self.global(*global);
        let step = match (&value.kind, op, expr.ty) {
            (ExprKind::Int(step), UpdateOp::Add, Ty::Int) => Some(*step),
            _ => None,
        };
        if *before && step.is_none() {
            self.emitter.refuse(expr.span, "the value before this change", "only `++` and `--` give it");
        }
        if keys.is_empty() {
            return match (op, step, before) {
                (UpdateOp::Add, Some(1), true) => format!("{name}++"),
                (UpdateOp::Add, Some(-1), true) => format!("{name}--"),
                (UpdateOp::Add, Some(1), false) => format!("++{name}"),
                (UpdateOp::Add, Some(-1), false) => format!("--{name}"),
                (UpdateOp::Add, Some(step), true) => format!("({name} += {}) - {}", int(step), self.operand(value)),
                (UpdateOp::Add, _, _) => format!("{name} += {}", self.operand(value)),
                (UpdateOp::Set, _, _) => format!("{name} = {}", self.operand(value)),
            };
        }
        let Some(function) = self.emitter.library.update(*global, *op) else { return String::new() };
        let probe = self.probe_argument(true);
        let call = format!("{function}({}, {}{probe})", self.list(keys), self.expr(value));
        if *before { format!("{call} - {}", self.operand(value)) } else { call }
    }
}
