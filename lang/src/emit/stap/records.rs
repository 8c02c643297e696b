//! Owns outputs as records for ctp: the values of each output statement, raw, with what became of each run. Nothing is
//! made into text in the kernel, so ctp's own printer writes it as it does for its own engine. [`super::frames`] reads
//! them.
//!
//! A frame is one printf, which SystemTap's runtime keeps together where it is no longer than 8192 bytes
//! (runtime/transport/transport.h: STP_BUFFER_SIZE); frames of one processor stay in order. Each begins with a byte 1
//! and a key that ctp draws when it loads the module: no byte of a traced program can pass for the beginning of one.
//! What a run printed counts once its last frame (`R`) comes; a run that was stopped ends in one that drops it (`X`).

use super::Emitter;
use super::body::{Body, Scope};
use super::library::Part;
use crate::ir::{
    Block, Expr, ExprKind, GlobalIndex, GlobalKind, Handler, Linear, Piece, Print, Shown, StatOp, Ty, visit_expressions,
};

/// Bytes of values that one frame may hold, at most; what is longer goes on in the next.
const FRAME: usize = 7000;
/// The most bytes of a value that is shown whole.
const WHOLE: usize = 1024;
/// The most bytes of a number with its token.
const NUMBER: usize = 24;

/// What becomes of a run, or befalls it: the second key of the script's `ctp_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// It ended and had output.
    Records = 0,
    /// It ended without output.
    Aggregated = 1,
    /// The probe's condition ended it.
    Filtered = 2,
    /// Something could not be read or computed.
    ReadFaults = 3,
    /// Its loops went round too often.
    StepLimit = 4,
    /// A return whose entry was not seen.
    Unmatched = 5,
    /// A value was shown as `<fault>`.
    FaultsShown = 6,
    /// A full map dropped an update.
    MapFull = 7,
}

impl Category {
    /// All of them, by their numbers.
    pub const ALL: [Category; 8] = [
        Category::Records,
        Category::Aggregated,
        Category::Filtered,
        Category::ReadFaults,
        Category::StepLimit,
        Category::Unmatched,
        Category::FaultsShown,
        Category::MapFull,
    ];
}

/// The message of a run whose loops went round too often.
pub(super) const TOO_MANY_ROUNDS: &str = "too many rounds";

/// A frame that is being written: a format and its arguments.
struct Frame {
    format: String,
    arguments: Vec<String>,
    size: usize,
}

impl Frame {
    fn new(kind: char) -> Frame {
        Frame {
            format: format!("\\001%x{kind}%d;"),
            arguments: vec!["ctp_seal".to_owned(), "cpu()".to_owned()],
            size: 64,
        }
    }

    fn push(&mut self, token: Token) {
        self.format.push_str(&token.format);
        self.arguments.extend(token.arguments);
        self.size += token.size;
    }

    /// Ends this frame where a token would make it too long, and begins one that goes on.
    fn make_room(&mut self, size: usize, body: &mut Body<'_, '_>) {
        if self.size + size > FRAME {
            let line = std::mem::replace(self, Frame::new('A')).statement();
            body.line(line);
        }
    }

    fn statement(self) -> String {
        format!("printf(\"{}\\n\", {})", self.format, self.arguments.join(", "))
    }
}

/// A value as a frame has it.
struct Token {
    format: String,
    arguments: Vec<String>,
    size: usize,
}

impl Token {
    fn number(value: String) -> Token {
        Token { format: "i%d;".to_owned(), arguments: vec![value], size: NUMBER }
    }

    /// `name` is evaluated twice.
    fn text(name: &str, strlen: u32) -> Token {
        let arguments = vec![format!("strlen({name})"), name.to_owned()];
        Token { format: "s%d;%s".to_owned(), arguments, size: strlen as usize + NUMBER }
    }

    fn of(name: &str, ty: Ty, strlen: u32) -> Token {
        match ty {
            Ty::Int => Token::number(name.to_owned()),
            Ty::Str => Token::text(name, strlen),
        }
    }
}

/// An aggregate's numbers; its histogram follows, then `e`.
fn stats_token(place: &str) -> Token {
    let asked = ["count", "sum", "min", "max"].map(|op| format!("@{op}({place})"));
    Token { format: "t%d;%d;%d;%d;".to_owned(), arguments: asked.into(), size: 4 * NUMBER }
}

impl Body<'_, '_> {
    /// Which probe runs, as the counters know it.
    fn probe_number(&self) -> String {
        match self.scope {
            Scope::Function { .. } => "ctp_probe".to_owned(),
            Scope::Plain { .. } | Scope::Site { .. } => self.emitter.current.to_string(),
        }
    }

    /// The argument behind those that are written, in a call of a function of the script that counts; `has` says
    /// whether there are others.
    pub(super) fn probe_argument(&self, has: bool) -> String {
        if !self.writes_records() {
            return String::new();
        }
        format!("{}{}", if has { ", " } else { "" }, self.probe_number())
    }

    /// A statement that counts, where outputs are records.
    pub(super) fn counts(&self, category: Category) -> Option<String> {
        self.writes_records().then(|| counted(&self.probe_number(), category))
    }

    fn counting(&mut self, category: Category) {
        if let Some(count) = self.counts(category) {
            self.line(count);
        }
    }

    /// Before a handler's first statement: whether it may print, itself or by a function of the program.
    pub(super) fn begin_records(&mut self, handler: &Handler) {
        self.functions_print = self.emitter.prints_in_functions && calls(handler);
        self.records = self.functions_print || super::fault::prints(&handler.body);
        if self.functions_print {
            // Functions tell nobody that they printed: each run is said to have, and ctp sees which have not.
            self.line("ctp_records = -1");
        }
    }

    /// One output statement.
    pub(super) fn record(&mut self, print: &Print) {
        let number = self.emitter.print_number(print);
        let updates = print.pieces.iter().any(|piece| {
            let mut any = false;
            piece.operands(&mut |value| any |= super::fault::has_update(value));
            any
        });
        let mut frame = Frame::new('P');
        frame.format.push_str(&format!("{number};"));
        for piece in &print.pieces {
            self.goes_over(piece);
            match piece {
                // ctp has the statement itself.
                Piece::Text(_) | Piece::Unavailable { .. } => {}
                Piece::Value(shown) => {
                    let token = self.token(shown, updates);
                    frame.make_room(token.size, self);
                    frame.push(token);
                }
                Piece::Histogram { global, keys, linear, .. } => {
                    let keys: Vec<String> = keys.iter().map(|key| self.expr(key)).collect();
                    let line = std::mem::replace(&mut frame, Frame::new('A')).statement();
                    self.line(line);
                    let histogram = linear.map_or(Histogram::Log, Histogram::Linear);
                    self.table(*global, &keys, Some(histogram));
                }
                Piece::Table { global, asked } => {
                    let line = std::mem::replace(&mut frame, Frame::new('A')).statement();
                    self.line(line);
                    // ctp derives quantiles of the histogram itself.
                    let histogram = match asked {
                        Some(StatOp::Quantile(_)) => Some(Histogram::Log),
                        Some(StatOp::Count | StatOp::Sum | StatOp::Min | StatOp::Max | StatOp::Avg) | None => None,
                    };
                    self.table(*global, &[], histogram);
                }
                Piece::Whole(whole) => {
                    let token = self.whole(&whole.block);
                    frame.make_room(token.size, self);
                    frame.push(token);
                    for text in &whole.elsewhere {
                        let token = self.readable(text);
                        frame.make_room(token.size, self);
                        frame.push(token);
                    }
                }
            }
        }
        self.line(frame.statement());
        let counts = match self.scope {
            Scope::Function { .. } => false,
            Scope::Plain { .. } | Scope::Site { .. } => !self.functions_print,
        };
        if counts {
            self.line("ctp_records++");
        }
    }

    /// A value of an output, computed before it where that must be so.
    fn token(&mut self, shown: &Shown, updates: bool) -> Token {
        let strlen = self.emitter.options.strlen;
        let ty = shown.value.ty;
        self.emitter.longest = self.emitter.longest.max(strlen as usize + NUMBER + 8);
        if shown.fault_is_shown && shown.value.can_fault() {
            return self.readable(&shown.value);
        }
        let text = match &shown.value.kind {
            ExprKind::Local(_) => self.expr(&shown.value),
            _ => self.value(&shown.value, updates || ty == Ty::Str),
        };
        Token::of(&text, ty, strlen)
    }

    /// A value computed before its output, or that it could not be read.
    fn readable(&mut self, value: &Expr) -> Token {
        let strlen = self.emitter.options.strlen;
        self.emitter.longest = self.emitter.longest.max(strlen as usize + NUMBER + 8);
        let text = self.expr(value);
        let name = self.temporary(value);
        let read = match value.ty {
            Ty::Int => format!("{name} = sprintf(\"i%d;\", {text})"),
            Ty::Str => format!("{name} = {text}; {name} = sprintf(\"s%d;%s\", strlen({name}), {name})"),
        };
        self.or_fault(name, &read, strlen as usize + NUMBER)
    }

    /// The bytes of a value that is shown whole, as digits: of memory eight at a time, the highest first.
    fn whole(&mut self, block: &Expr) -> Token {
        let ExprKind::Block(bytes) = &block.kind else { return self.readable(block) };
        let name = self.own("whole");
        let (read, digits) = match bytes {
            Block::Memory { address, size } => {
                if *size as usize > WHOLE {
                    let why = "what it writes at once holds no more than 1024 bytes of it";
                    self.emitter.refuse(block.span, "a whole value of this size", why);
                }
                // Its rounds are counted among all actions.
                self.emitter.loops = true;
                self.emitter.library.uses(Part::Digits);
                let address = self.expr(address);
                (format!("{name} = \"w\" . ctp_digits({address}, {size}) . \";\""), 2 * *size as usize)
            }
            Block::Kept { .. } => {
                let why = "its records hold what is read when they are written";
                self.emitter.refuse(block.span, "a whole value kept from the entry on", why);
                return self.readable(block);
            }
            Block::Parts(parts) => {
                let mut statements = vec![format!("{name} = \"b\"")];
                for (part, size) in parts {
                    let text = self.expr(part);
                    let value = self.own("part");
                    let all = (0..*size).map(|byte| format!("({value} >> {}) & 0xff", 8 * byte)).collect::<Vec<_>>();
                    let format = "%02x".repeat(all.len());
                    statements.push(format!("{value} = {text}"));
                    statements.push(format!("{name} = {name} . sprintf(\"{format}\", {})", all.join(", ")));
                }
                statements.push(format!("{name} = {name} . \";\""));
                (statements.join("; "), parts.iter().map(|(_, size)| 2 * usize::from(*size)).sum())
            }
        };
        self.emitter.longest = self.emitter.longest.max(digits + 8);
        self.or_fault(name, &read, digits + 8)
    }

    /// A token in a local, which statements compute; where they fail it says so.
    fn or_fault(&mut self, name: String, statements: &str, size: usize) -> Token {
        let count = self.count(Category::FaultsShown);
        self.line(format!("try {{ {statements} }} catch {{ {name} = \"f\"; {count} }}"));
        Token { format: "%s".to_owned(), arguments: vec![name], size }
    }

    /// The frames of a map, an aggregate or a map of them, between brackets; with the histogram that is drawn.
    fn table(&mut self, global: GlobalIndex, keys: &[String], histogram: Option<Histogram>) {
        let lines = table(self.emitter, &mut self.names, global, keys, histogram, 'A');
        let frame = |text: &str| {
            let mut frame = Frame::new('A');
            frame.format.push_str(text);
            frame.statement()
        };
        self.line(frame("["));
        lines.into_iter().for_each(|line| self.line(line));
        self.line(frame("]"));
    }

    /// The end of a run that was not stopped: counted, and where it printed the frame that makes that count.
    pub(super) fn end_records(&mut self) {
        if matches!(self.scope, Scope::Function { .. }) {
            return;
        }
        if !self.records {
            return self.counting(Category::Aggregated);
        }
        let mut frame = Frame::new('R');
        let (container, nspid) = match self.scope {
            Scope::Site { .. } => {
                let single = self.emitter.only().is_some();
                let container = if single { "0".to_owned() } else { "ctp_who - 1".to_owned() };
                (container, self.ns_id(Part::NsPid, "ctp_ns_pid", self.emitter.span()))
            }
            Scope::Plain { .. } | Scope::Function { .. } => ("-1".to_owned(), "0".to_owned()),
        };
        frame.format.push_str("%d;%d;%d;%d;%d;%d;%d;");
        let probe = self.probe_number();
        let rest = [probe, container, "ktime_get_ns()".into(), "pid()".into(), "tid()".into(), nspid];
        frame.arguments.extend(rest);
        frame.arguments.push("ctp_records".into());
        let records = self.counts(Category::Records).unwrap_or_default();
        let statement = frame.statement();
        self.line("if (ctp_records) {");
        self.line(format!("    {records}"));
        self.line(format!("    {statement}"));
        self.line("} else {");
        let aggregated = self.counts(Category::Aggregated).unwrap_or_default();
        self.line(format!("    {aggregated}"));
        self.line("}");
    }

    /// Says that the program calls `exit()`.
    pub(super) fn say_exit(&mut self) {
        self.line(Frame::new('Q').statement());
    }

    /// The end of a handler that can be stopped: what befell it is counted, what it printed dropped.
    pub(super) fn stopped(&mut self, loops: bool) {
        let faults = self.counts(Category::ReadFaults).unwrap_or_default();
        let drop = if self.records { format!("; {}", Frame::new('X').statement()) } else { String::new() };
        if !loops {
            // SystemTap (5.6) takes `next` for something to catch: what ended so was counted.
            return self.line(format!("}} catch {{ if (!ctp_done) {{ {faults}{drop} }} }}"));
        }
        let steps = self.counts(Category::StepLimit).unwrap_or_default();
        let why = self.own("why");
        self.line(format!("}} catch ({why}) {{"));
        self.line(format!("    if ({why} == \"{TOO_MANY_ROUNDS}\") {steps}"));
        self.line(format!("    else if (!ctp_done) {faults}"));
        if self.records {
            self.line(format!("    if (!ctp_done) {}", Frame::new('X').statement()));
        }
        self.line("}");
    }
}

/// A statement that counts one event of a probe.
pub(super) fn counted(probe: &str, category: Category) -> String {
    format!("ctp_count[{probe}, {}] <<< 1", category as u8)
}

/// Which histogram is drawn.
#[derive(Clone, Copy)]
pub(super) enum Histogram {
    /// Of powers of two.
    Log,
    /// Of equal steps.
    Linear(Linear),
}

impl Histogram {
    fn of(self, place: &str) -> String {
        match self {
            Histogram::Log => format!("@hist_log({place})"),
            Histogram::Linear(Linear { low, high, step }) => format!("@hist_linear({place}, {low}, {high}, {step})"),
        }
    }
}

/// The lines that write the entries of a global in frames of a kind (`A`: those of an output statement that was begun;
/// `G`: each by itself, of a global that nothing reads).
fn table(
    emitter: &Emitter<'_>,
    locals: &mut super::names::Names,
    global: GlobalIndex,
    keys: &[String],
    histogram: Option<Histogram>,
    kind: char,
) -> Vec<String> {
    let at = global.0 as usize;
    let strlen = emitter.options.strlen;
    let name = emitter.globals.get(at).cloned().unwrap_or_default();
    let Some(declared) = emitter.program.globals.get(at) else { return Vec::new() };
    let open = |frame: &mut Frame| match kind {
        'G' => frame.format.push_str(&format!("{};(", global.0)),
        _ => frame.format.push('('),
    };
    let begin = || {
        let mut frame = Frame::new(kind);
        open(&mut frame);
        frame
    };
    let stats = |lines: &mut Vec<String>, mut frame: Frame, place: &str, locals: &mut super::names::Names| {
        frame.push(stats_token(place));
        lines.push(frame.statement());
        if let Some(histogram) = histogram {
            let (bucket, drawn) = (locals.own("bucket"), histogram.of(place));
            let mut frame = Frame::new('A');
            frame.format.push_str("l%d;%d;");
            frame.arguments.extend([bucket.clone(), format!("{drawn}[{bucket}]")]);
            lines.push(format!("foreach ({bucket} in {drawn})"));
            lines.push(format!("    if ({drawn}[{bucket}]) {}", frame.statement()));
        }
        let mut frame = Frame::new('A');
        frame.format.push_str("e)");
        lines.push(frame.statement());
    };
    let mut lines = Vec::new();
    match &declared.kind {
        GlobalKind::Scalar { ty, .. } => {
            let mut frame = begin();
            frame.push(Token::of(&name, *ty, strlen));
            frame.format.push(')');
            lines.push(frame.statement());
        }
        GlobalKind::Stats { keys: types, .. } if types.is_empty() || !keys.is_empty() => {
            let place = if types.is_empty() { name } else { format!("{name}[{}]", keys.join(", ")) };
            let mut nothing = begin();
            nothing.format.push_str("t0;0;0;0;e)");
            let mut inner = Vec::new();
            stats(&mut inner, begin(), &place, locals);
            lines.push(format!("if (@count({place})) {{"));
            lines.extend(inner.into_iter().map(|line| format!("    {line}")));
            // Of a map's key that is not there nothing is drawn.
            lines.push(match types.is_empty() {
                true => format!("}} else {}", nothing.statement()),
                false => "}".to_owned(),
            });
        }
        GlobalKind::Stats { keys: types, .. } => {
            let names: Vec<String> = types.iter().map(|_| locals.own("key")).collect();
            let list = names.join(", ");
            let mut inner = Vec::new();
            let frame = keyed(&mut inner, begin(), types, &names, strlen);
            stats(&mut inner, frame, &format!("{name}[{list}]"), locals);
            lines.push(format!("foreach ([{list}] in {name}) {{"));
            lines.extend(inner.into_iter().map(|line| format!("    {line}")));
            lines.push("}".to_owned());
        }
        GlobalKind::Map { keys: types, value, .. } => {
            let names: Vec<String> = types.iter().map(|_| locals.own("key")).collect();
            let held = locals.own("value");
            let mut inner = Vec::new();
            let mut frame = keyed(&mut inner, begin(), types, &names, strlen);
            let token = Token::of(&held, *value, strlen);
            room(&mut inner, &mut frame, token.size);
            frame.push(token);
            frame.format.push(')');
            inner.push(frame.statement());
            lines.push(format!("foreach ({held} = [{}] in {name}) {{", names.join(", ")));
            lines.extend(inner.into_iter().map(|line| format!("    {line}")));
            lines.push("}".to_owned());
        }
    }
    lines
}

/// A frame that begins with a key's parts.
fn keyed(lines: &mut Vec<String>, mut frame: Frame, types: &[Ty], names: &[String], strlen: u32) -> Frame {
    for (ty, name) in types.iter().zip(names) {
        let token = Token::of(name, *ty, strlen);
        room(lines, &mut frame, token.size);
        frame.push(token);
    }
    frame
}

fn room(lines: &mut Vec<String>, frame: &mut Frame, size: usize) {
    if frame.size + size > FRAME {
        lines.push(std::mem::replace(frame, Frame::new('A')).statement());
    }
}

/// The globals and the probe that says that the module is at work; behind the guard's parameters.
pub(super) fn declarations(emitter: &Emitter<'_>) -> String {
    let counters = emitter.program.probes.len().max(1) * Category::ALL.len();
    let mut ready = Frame::new('Y');
    ready.format.push(';');
    // A container that came back has another cgroup: ctp writes it to /proc/systemtap/MODULE.
    let returns: String = (emitter.wants.iter())
        .filter(|_| emitter.program.sites().next().is_some())
        .flat_map(|want| [&want.id_parameter, &want.second_parameter])
        .map(|name| format!("probe procfs(\"{name}\").write {{ {name} = strtol($value, 10) }}\n"))
        .collect();
    let returns =
        if returns.is_empty() { returns } else { format!("\n// Where a container has come back.\n{returns}") };
    format!(
        "\n// What ctp knows records by; given when the module is loaded.\nglobal ctp_seal = 0\n\
         // What became of the runs of each probe, and whether probes are in place.\n\
         global ctp_count[{counters}], ctp_ready\n\
         probe timer.ms(20) {{\n    if (!ctp_ready) {{\n        ctp_ready = 1\n        {}\n    }}\n}}\n{returns}",
        ready.statement()
    )
}

/// The lines at the very end: the globals that nothing reads, what became of the runs, and that this is all.
pub(super) fn end(emitter: &mut Emitter<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut locals = emitter.names.clone();
    for (index, global) in (0u32..).zip(&emitter.program.globals) {
        if global.printed_at_end {
            lines.extend(table(emitter, &mut locals, GlobalIndex(index), &[], None, 'G'));
        }
    }
    let mut frame = Frame::new('C');
    frame.format.push_str("%d;%d;%d;");
    frame.arguments.extend(["ctp_probe", "ctp_what", "@count(ctp_count[ctp_probe, ctp_what])"].map(str::to_owned));
    lines.push("foreach ([ctp_probe, ctp_what] in ctp_count)".to_owned());
    lines.push(format!("    {}", frame.statement()));
    lines.push(Frame::new('Z').statement());
    lines
}

/// What of an output statement its reader needs: not how its values are computed, which differs between places.
pub(super) fn shape(print: &Print) -> Print {
    let plain = |expr: &Expr| Expr { ty: expr.ty, kind: ExprKind::Int(0), span: print.span };
    let pieces = print
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Value(shown) => Piece::Value(Shown { value: plain(&shown.value), ..shown.clone() }),
            Piece::Histogram { global, keys, linear, span } => Piece::Histogram {
                global: *global,
                keys: keys.iter().map(plain).collect(),
                linear: *linear,
                span: *span,
            },
            Piece::Text(_) | Piece::Unavailable { .. } | Piece::Whole(_) | Piece::Table { .. } => piece.clone(),
        })
        .collect();
    Print { kind: print.kind.clone(), pieces, span: print.span }
}

/// Whether a handler calls a function of the program.
fn calls(handler: &Handler) -> bool {
    let mut any = false;
    let mut look = |expr: &Expr| any |= matches!(expr.kind, ExprKind::Call(..));
    if let Some(condition) = &handler.condition {
        condition.visit(&mut look);
    }
    visit_expressions(&handler.body, &mut look);
    any
}
