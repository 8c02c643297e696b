//! Owns handlers for SystemTap's bpf runtime: expressions of numbers, statements that add, and the functions in its
//! assembler that these call. Every other construct is refused where it stands.

use std::collections::BTreeMap;

use super::{Cell, Emitter};
use crate::debuginfo::facts::Register;
use crate::emit::stap::names::Names;
use crate::ir::{BinaryOp, Context, Expr, ExprKind, GlobalIndex, Local, LocalIndex, Stmt, Ty, UpdateOp};
use crate::source::Span;

/// The most bits of a literal: larger ones the translator cuts (measured: from 2^31 on).
const LITERAL: i64 = 1 << 31;

/// x86-64's general registers by DWARF's numbers: name, and place in the kernel's `pt_regs`.
const REGISTERS: [(&str, u32); 16] = [
    ("rax", 80),
    ("rdx", 96),
    ("rcx", 88),
    ("rbx", 40),
    ("rsi", 104),
    ("rdi", 112),
    ("rbp", 32),
    ("rsp", 152),
    ("r8", 72),
    ("r9", 64),
    ("r10", 56),
    ("r11", 48),
    ("r12", 24),
    ("r13", 16),
    ("r14", 8),
    ("r15", 0),
];

/// The place of the program counter there.
const PROGRAM_COUNTER: u32 = 128;

/// The functions in assembler that a script uses, each by its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Functions(BTreeMap<String, String>);

impl Functions {
    /// The function that gives a general register, or the program counter.
    fn register(&mut self, name: &str, place: u32) -> String {
        let call = format!("ctp_{name}");
        let text = format!("function {call}:long () %{{ /* bpf */ 0x79, $$, $ctx, {place}, 0; %}}\n");
        self.0.insert(call.clone(), text);
        format!("{call}()")
    }

    /// A number, as a literal where it can be one.
    pub(super) fn number(&mut self, value: i64) -> String {
        if (0..LITERAL).contains(&value) {
            return value.to_string();
        }
        if value < 0 && value > -LITERAL {
            return format!("({value})");
        }
        // By halves; what a half holds above 2^31 is written as what has the same 32 bits.
        let half = |bits: u64| (bits as u32).cast_signed();
        let bits = value.cast_unsigned();
        let name = format!("ctp_number_{bits:x}");
        let text = format!(
            "function {name}:long () %{{ /* bpf */ /* {value} */\n    0xb4, $$, -, -, {};\n    0x67, $$, -, -, 32;\n    \
             0xb4, $low, -, -, {};\n    0x4f, $$, $low, -, -;\n%}}\n",
            half(bits >> 32),
            half(bits),
        );
        self.0.insert(name.clone(), text);
        format!("{name}()")
    }

    /// The function that reads some bytes, or ends the run and counts that in a cell.
    fn read(&mut self, size: u8) -> String {
        let name = format!("ctp_read{size}");
        let load = match size {
            1 => "0x71",
            2 => "0x69",
            4 => "0x61",
            _ => "0x79",
        };
        let text = format!(
            "// {size} bytes of the program's memory, without sign; a run that cannot read them ends.\n\
             function {name}:long (address:long, cell:long) %{{ /* bpf */\n    \
             0xbf, $to, r10, -, -;\n    \
             0x07, $to, -, -, -16;\n    \
             call, $failed, probe_read_user, $to, {size}, $address;\n    \
             0x15, $failed, -, _read, 0;\n    \
             0xb7, $one, -, -, 1;\n{}    \
             terminate;\n    \
             label, _read;\n    \
             {load}, $$, r10, -16, 0;\n%}}\n",
            added("$one"),
        );
        self.0.insert(name.clone(), text);
        name
    }

    /// Both ids of the task: the process' in the upper half, the thread's in the lower.
    fn task(&mut self, name: &str) -> String {
        let shift = match name {
            "ctp_pid" => "0x77, $$, -, -, 32;",
            _ => "0x67, $$, -, -, 32; 0x77, $$, -, -, 32;",
        };
        let text = format!("function {name}:long () %{{ /* bpf */ call, $$, get_current_pid_tgid; {shift} %}}\n");
        self.0.insert(name.to_owned(), text);
        format!("{name}()")
    }

    /// The text of all, those that every script has first.
    pub(super) fn text(&self) -> String {
        let mut out = String::from(
            "\n// The id of the cgroup that holds this task at a depth: its own, or the one above it there.\n\
             function ctp_cg:long (level:long) %{ /* bpf */ call, $$, get_current_ancestor_cgroup_id, $level; %}\n",
        );
        out.push_str(&format!(
            "\n// What each handler begins with: 16 bytes at the end of the stack are taken, for a number that is read and a cell's.\n\
             function ctp_stack:long () %{{ /* bpf */ alloc, $$, 16, align; %}}\n\
             \n// Adds to a cell at once, whatever other processors do. (The map of long globals is the third of all.)\n\
             function ctp_add:long (cell:long, value:long) %{{ /* bpf */\n{}    0xb7, $$, -, -, 0;\n%}}\n",
            added("$value"),
        ));
        out.push_str(
            "\n// What a cell holds.\n\
             function ctp_cell:long (cell:long) %{ /* bpf */\n    \
             alloc, $key, 8, align;\n    \
             0x63, $key, $cell, 0, 0;\n    \
             0x118, $map, -, -, 2;\n    \
             call, $at, map_lookup_elem, $map, $key;\n    \
             0xb7, $$, -, -, 0;\n    \
             0x15, $at, -, _none, 0;\n    \
             0x79, $$, $at, 0, 0;\n    \
             label, _none;\n    \
             0xbf, $$, $$, -, -;\n%}\n",
        );
        for text in self.0.values() {
            out.push('\n');
            out.push_str(text);
        }
        out
    }
}

/// Assembler that adds a register to the cell in `$cell`, by way of the handler's room: the cell is looked up, and changed by one atomic addition.
fn added(value: &str) -> String {
    format!(
        "    0x63, r10, $cell, -8, 0;\n    \
         0xbf, $key, r10, -, -;\n    \
         0x07, $key, -, -, -8;\n    \
         0x118, $map, -, -, 2;\n    \
         call, $at, map_lookup_elem, $map, $key;\n    \
         0x15, $at, -, _none, 0;\n    \
         0xdb, $at, {value}, 0, 0;\n    \
         label, _none;\n"
    )
}

/// A handler that is being written.
pub(super) struct Writer<'w, 'a> {
    emitter: &'w mut Emitter<'a>,
    functions: &'w mut Functions,
    /// The cell that counts runs which could not read something.
    faults: usize,
    /// The address that is probed.
    address: u64,
    /// Where the probe is written.
    probe: Span,
    locals: Vec<(String, Ty)>,
    lines: Vec<String>,
    depth: usize,
}

impl<'w, 'a> Writer<'w, 'a> {
    pub(super) fn new(
        emitter: &'w mut Emitter<'a>,
        functions: &'w mut Functions,
        faults: usize,
        (address, probe): (u64, Span),
        locals: &[Local],
    ) -> Writer<'w, 'a> {
        let mut names = Names::default();
        let locals = locals.iter().map(|local| (names.user(&local.name), local.ty)).collect();
        Writer { emitter, functions, faults, address, probe, locals, lines: Vec::new(), depth: 0 }
    }

    /// What was written.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.depth -= usize::from(text.starts_with('}'));
        self.lines.push(format!("{}{text}", "    ".repeat(self.depth)));
        self.depth += usize::from(text.ends_with('{'));
    }

    /// All locals begin as 0.
    pub(super) fn begin(&mut self) {
        self.line("ctp_stack()");
        let names: Vec<String> =
            self.locals.iter().filter(|(_, ty)| *ty == Ty::Int).map(|(name, _)| format!("{name} = 0")).collect();
        names.into_iter().for_each(|line| self.line(line));
    }

    /// Adds to a cell.
    pub(super) fn add(&mut self, cell: usize, value: &str) {
        self.line(format!("ctp_add({cell}, {value})"));
    }

    pub(super) fn block(&mut self, stmts: &[Stmt], counted: usize) {
        for stmt in stmts {
            self.stmt(stmt, counted);
        }
    }

    fn stmt(&mut self, stmt: &Stmt, counted: usize) {
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
                self.block(then, counted);
                if !otherwise.is_empty() {
                    self.line("} else {");
                    self.block(otherwise, counted);
                }
                self.line("}");
            }
            Stmt::Next => {
                self.add(counted, "1");
                self.line("next");
            }
            Stmt::Aggregate { global, keys, value, span } => {
                if !keys.is_empty() {
                    return self.emitter.refuse(*span, "maps in a handler", MAPS);
                }
                let text = self.expr(value);
                // The sum first: what cannot be read was never fed.
                for (cell, value) in [(Cell::Sum(*global), text.as_str()), (Cell::Count(*global), "1")] {
                    if let Some(cell) = self.emitter.cell(cell) {
                        self.add(cell, value);
                    }
                }
            }
            Stmt::Print(print) => {
                let why =
                    "each value is an event of its own there: where more come than are read it drops some, and ends";
                self.emitter.refuse(print.span, "output in a handler", why);
            }
            Stmt::Exit => {
                let why = "what asks it to end goes the way of its printf, which drops some";
                self.emitter.refuse(self.probe, "`exit()` in a handler", why);
            }
            Stmt::While { span, .. } => self.emitter.refuse(*span, "loops", "it has none in probes"),
            Stmt::Foreach(foreach) => self.emitter.refuse(foreach.span, "loops", "it has none in probes"),
            Stmt::Delete { span, .. } => self.emitter.refuse(*span, "`delete` in a handler", UNLOCKED),
            // Only in loops and functions.
            Stmt::Break | Stmt::Continue | Stmt::Return(_) => {}
        }
    }

    /// A value computed for its effect: something is added to a global.
    fn effect(&mut self, expr: &Expr) {
        let ExprKind::Update { global, keys, op, value, .. } = &expr.kind else {
            let text = self.expr(expr);
            return self.line(text);
        };
        if !keys.is_empty() {
            return self.emitter.refuse(expr.span, "maps in a handler", MAPS);
        }
        match (op, self.emitter.cell(Cell::Scalar(*global))) {
            (UpdateOp::Add, Some(cell)) => {
                let text = self.expr(value);
                self.add(cell, &text);
            }
            (UpdateOp::Add, None) => self.strings(expr.span),
            (UpdateOp::Set, _) => {
                let name = self.name(*global);
                self.emitter.refuse(expr.span, format!("setting `{name}` in a handler"), UNLOCKED);
            }
        }
    }

    /// An expression, as one operand.
    pub(super) fn expr(&mut self, expr: &Expr) -> String {
        if expr.ty == Ty::Str {
            self.strings(expr.span);
            return String::new();
        }
        match &expr.kind {
            ExprKind::Int(value) => self.functions.number(*value),
            ExprKind::Local(index) => self.local(*index),
            ExprKind::Target(target) => self.expr(&target.value),
            ExprKind::Register(register) => self.register(*register, expr.span),
            ExprKind::ModuleAddress(address) => {
                let counter = self.functions.register("pc", PROGRAM_COUNTER);
                let away = self.functions.number(address.wrapping_sub(self.address).cast_signed());
                format!("({counter} + {away})")
            }
            ExprKind::Load { address, size, signed } => self.load(address, *size, *signed, expr.span),
            ExprKind::Extend { value, bits, signed } => {
                let value = self.expr(value);
                extended(&value, 64 - u32::from((*bits).clamp(1, 63)), *signed)
            }
            ExprKind::Unary(op, value) => {
                let sign = op.symbol();
                format!("({sign}{})", self.expr(value))
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, expr.span),
            ExprKind::Compare(op, left, right) => {
                let sign = op.symbol();
                format!("({} {sign} {})", self.expr(left), self.expr(right))
            }
            ExprKind::Logic { and, left, right } => {
                format!("({} {} {})", self.expr(left), if *and { "&&" } else { "||" }, self.expr(right))
            }
            ExprKind::Context(Context::Pid) => self.functions.task("ctp_pid"),
            ExprKind::Context(Context::Tid) => self.functions.task("ctp_tid"),
            other => {
                let (what, why) = unfit(other);
                self.emitter.refuse(expr.span, what, why);
                String::new()
            }
        }
    }

    fn strings(&mut self, span: Span) {
        let why = "its strings are cut at 64 bytes, `==` of them is wrong, and what cannot be read is empty";
        self.emitter.refuse(span, "strings in a handler", why);
    }

    fn register(&mut self, register: Register, span: Span) -> String {
        match REGISTERS.get(usize::from(register.0)) {
            Some((name, place)) => self.functions.register(name, *place),
            None => {
                self.emitter.refuse(span, "this register", "only general registers can be read");
                String::new()
            }
        }
    }

    fn load(&mut self, address: &Expr, size: u8, signed: bool, span: Span) -> String {
        if !matches!(size, 1 | 2 | 4 | 8) {
            self.emitter.refuse(span, "a value of this size", "it loads 1, 2, 4 or 8 bytes");
        }
        let address = self.expr(address);
        let read = format!("{}({address}, {})", self.functions.read(size), self.faults);
        if signed && size < 8 { extended(&read, 64 - 8 * u32::from(size), true) } else { read }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> String {
        let sign = match op {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::ShrLogical => ">>>",
            BinaryOp::Div | BinaryOp::Mod | BinaryOp::ModUnsigned => {
                self.emitter.refuse(span, "division", "it divides as if numbers had no sign, and by 0 without a word");
                return String::new();
            }
        };
        let left = self.expr(left);
        let right = match (&right.kind, op) {
            (ExprKind::Int(by), BinaryOp::Shl | BinaryOp::Shr | BinaryOp::ShrLogical) => (by & 63).to_string(),
            (_, BinaryOp::Shl | BinaryOp::Shr | BinaryOp::ShrLogical) => format!("({} & 63)", self.expr(right)),
            (_, _) => self.expr(right),
        };
        format!("({left} {sign} {right})")
    }

    fn local(&mut self, index: LocalIndex) -> String {
        self.locals.get(index.0 as usize).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn name(&self, index: GlobalIndex) -> String {
        self.emitter.global(index).map(|global| global.name.clone()).unwrap_or_default()
    }
}

/// The lowest bits of a value, extended to 64: shifted up by `by` bits and down again.
fn extended(value: &str, by: u32, signed: bool) -> String {
    format!("(({value} << {by}) {} {by})", if signed { ">>" } else { ">>>" })
}

const MAPS: &str =
    "it reads an entry, changes it and writes it back without a lock: of calls on two processors some are not counted";
const UNLOCKED: &str = "handlers on other processors add to it meanwhile, and it has no lock";

/// What cannot be in a handler, and why.
fn unfit(kind: &ExprKind) -> (&'static str, &'static str) {
    match kind {
        ExprKind::Global(_) => ("reading a global in a handler", UNLOCKED),
        ExprKind::Stat { .. } => ("reading an aggregate in a handler", "only its user-space part can"),
        ExprKind::Update { .. } => ("the value of a change of a global", UNLOCKED),
        ExprKind::MapGet(..) | ExprKind::MapHas(..) => ("maps in a handler", MAPS),
        ExprKind::Call(..) => ("calls of functions in a handler", "only handlers that add numbers were tried"),
        ExprKind::Library(..) => ("functions of the library in a handler", "it has others, which were not tried"),
        ExprKind::SetLocal { .. } => ("an assignment whose value is used", "it was not tried"),
        ExprKind::Ternary(..) => ("`?:`", "it computes both values, also the one that cannot be read"),
        ExprKind::Context(_) => ("this question about the task", "only `pid()` and `tid()` were tried"),
        ExprKind::Entry(_) | ExprKind::Returned(_) => ("returns", "what is kept of each call is entries of a map"),
        ExprKind::Block(_) => ("whole values", "it has no loop in probes"),
        ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Local(_)
        | ExprKind::Target(_)
        | ExprKind::Register(_)
        | ExprKind::ModuleAddress(_)
        | ExprKind::Load { .. }
        | ExprKind::Extend { .. }
        | ExprKind::UserString(_)
        | ExprKind::UserText { .. }
        | ExprKind::UserBytes { .. }
        | ExprKind::Unary(..)
        | ExprKind::Binary(..)
        | ExprKind::Compare(..)
        | ExprKind::Logic { .. }
        | ExprKind::Format(_)
        | ExprKind::Concat(_) => ("strings in a handler", "its strings are cut at 64 bytes, and `==` of them is wrong"),
    }
}
