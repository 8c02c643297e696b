//! Owns the way from the typed IR to a SystemTap script in the link form: compiled against a private copy of the
//! probed file, matched through a link to a descriptor of it, filtered by cgroup. Starts nothing and reads nothing.
//!
//! What decides the form (measured with stap 4.8 and 5.6):
//! - A function is named (`.function("f").call`, `.inline`) where stap picks the same address by its own prologue
//!   rule; `$x` then belongs to that function. By address (`.statement(0x…)`) stap takes the innermost scope there,
//!   which may be another function inlined at the same place: so values at such points are computed from registers
//!   and memory, never by name.
//! - Whoever runs stap compares the `pc=` that `stap -p2` prints with [`Script::points`], and names those that differ
//!   in [`Options::by_address`].

mod body;
pub mod bpf;
mod expr;
mod fault;
pub mod frames;
mod functions;
mod head;
pub mod late;
mod library;
mod loops;
mod names;
mod points;
mod print;
mod quote;
mod records;
mod returns;
mod show;
mod tables;

use std::collections::BTreeSet;

use super::gate::{Construct, refuse};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{
    Constant, ContainerIndex, Context, FileIndex, Global, GlobalKind, Handler, Library as LibraryFunction, Print,
    Probe, ProbeKind, Program, Ty,
};
use crate::source::{SourceId, Sources, Span};
use crate::world::TargetKind;
use body::{Body, Scope};
use library::Library;
use names::Names;
pub use records::Category;

/// The longest string with which no frame of stap's runtime (5.6) grows over the kernel's limit.
const LONGEST_ON_THE_STACK: usize = 1900;

/// The most that stap's counter of actions, an int, is set to.
const MOST_ACTIONS: u64 = 2_000_000_000;

/// The folder, in the private root and on the machine, that holds the probed files' slots.
pub const SLOT_FOLDER: &str = "/run/ctp";

/// How a script writes its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// As text, for people: what `ctp build` gives.
    #[default]
    Text,
    /// As records that ctp reads ([`frames`]) and prints itself: what `ctp run` loads.
    Records,
}

/// Limits and choices of one emission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes a string may hold (`--strlen`).
    pub strlen: u32,
    /// Entries a map may hold where its declaration does not say (`--map-size`).
    pub map_size: u32,
    /// Link-time addresses at which stap's own choice was found to be another: these are probed by address.
    pub by_address: BTreeSet<(FileIndex, u64)>,
    /// How many rounds the loops of a run may go together (`--max-steps`).
    pub max_steps: u32,
    /// How output is written.
    pub written: Written,
    /// Whether containers that start later are let in ([`late`]); only where output is records.
    pub newcomers: bool,
    /// The folder that holds the probed files' slots, in the private root and on the machine: letters, digits and `/`.
    pub folder: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            strlen: 256,
            map_size: 2048,
            by_address: BTreeSet::new(),
            max_steps: 10_000,
            written: Written::Text,
            newcomers: false,
            folder: SLOT_FOLDER.to_owned(),
        }
    }
}

/// A script and what its runner must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The script, printable ASCII.
    pub text: String,
    /// The files it probes, each with the slot that stands for it.
    pub files: Vec<Slot>,
    /// The containers whose tasks count, each with its module parameters.
    pub containers: Vec<Want>,
    /// Every address that must be probed, for the comparison with what `stap -p2` prints.
    pub points: Vec<Point>,
    /// Definitions for stap's command line (`-DNAME=VALUE`, `-DNAME`; for the kernel's makefiles `-BNAME=VALUE`).
    pub defines: Vec<String>,
    /// The output statements that records name by their numbers; none where output is text.
    pub prints: Vec<Print>,
    /// Whether it asks what containers are called, of those that start later too ([`late::SAID`]).
    pub says: bool,
    /// Whether it has return probes: stap then asks the kernel's symbols for what these need.
    pub returns: bool,
}

/// A file and the path that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The file.
    pub file: FileIndex,
    /// `/run/ctp/tN`: in the private root a copy of the file, on the machine a link to a descriptor of it.
    pub path: String,
}

/// A container and the module parameters that say which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The container.
    pub container: ContainerIndex,
    /// What its tasks are known by.
    pub by: KnownBy,
    /// Takes the cgroup's id (`want_cg`), or the process' (`want_pid`).
    pub id_parameter: String,
    /// Takes the depth of that cgroup below the root of its hierarchy (`want_level`), or when the process began, in hundredths
    /// of a second since the machine did, as field 22 of `/proc/PID/stat` has it (`want_start`).
    pub second_parameter: String,
}

/// What the tasks of a container are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// The cgroup that they are in, or one above it.
    Cgroup,
    /// The process that they are of, or descend from.
    Process,
}

/// An address that the script probes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Which of [`Script::files`].
    pub slot: usize,
    /// Link-time address. stap prints it as `pc=.dynamic+0x…`; of an ET_EXEC file as `pc=.absolute+0x…`, less the
    /// lowest address of the file's segments.
    pub address: u64,
}

/// The script of a program.
///
/// # Errors
/// One diagnostic (`E0302`) for each construct that SystemTap cannot express.
pub fn emit(program: &Program, sources: &Sources, options: &Options) -> Result<Script, Vec<Diagnostic>> {
    let handlers = program.probes.iter().flat_map(|probe| match &probe.kind {
        ProbeKind::Begin(handler) | ProbeKind::End(handler) | ProbeKind::Every { handler, .. } => vec![handler],
        ProbeKind::Sites(variants) => variants.iter().map(|variant| &variant.handler).collect(),
    });
    let written = options.written;
    let can = move |construct| match (construct, written) {
        // Its bits are a number, its bytes are digits; ctp shows it.
        (Construct::Float | Construct::Unicode | Construct::Whole, Written::Records) => Ok(()),
        (construct, _) => can(construct),
    };
    let refused = refuse(program, handlers, true, &can, "the embedded engine may: `ctp run --engine bpf`");
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut emitter = Emitter::new(program, sources, options);
    emitter.containers_can_be_told();
    let mut probes = String::new();
    functions::emit(&mut emitter, &mut probes);
    for (index, probe) in program.probes.iter().enumerate() {
        emitter.current = index;
        emitter.probe(&mut probes, probe);
    }
    emitter.end(&mut probes);
    if !emitter.diagnostics.is_empty() {
        return Err(emitter.diagnostics);
    }
    emitter.points.sort();
    emitter.points.dedup();
    let mut script = Script {
        text: String::new(),
        files: emitter.slots(),
        containers: emitter.wants.clone(),
        points: std::mem::take(&mut emitter.points),
        defines: emitter.defines(),
        prints: std::mem::take(&mut emitter.prints),
        says: emitter.library.has(library::Part::Said),
        returns: program.probes.iter().any(returns::has),
    };
    let mut text = head::head(program, sources, &script, emitter.addresses);
    text.push_str(&emitter.globals_text());
    emitter.entries.iter().for_each(|line| text.push_str(line));
    if emitter.newcomers() {
        text.push_str(&late::declarations(&emitter));
    }
    let later = if emitter.newcomers() { late::lines(&emitter) } else { String::new() };
    text.push_str(&emitter.library.text(program, &emitter.globals, (&emitter.wants, &later), options));
    if options.written == Written::Records {
        text.push_str(&records::declarations(&emitter));
    }
    text.push_str(&probes);
    script.text = text;
    Ok(script)
}

/// Whether this engine can do a construct; what it cannot, in words.
fn can(construct: Construct) -> Result<(), &'static str> {
    match construct {
        Construct::Loop
        | Construct::Foreach
        | Construct::Delete
        | Construct::Aggregate
        | Construct::Stat
        | Construct::Event
        | Construct::Error
        | Construct::Table
        | Construct::Call
        | Construct::Format
        | Construct::SetLocal
        | Construct::UserText
        | Construct::UserBytes
        | Construct::Return => Ok(()),
        Construct::Library(function) => match function {
            LibraryFunction::Ipv6 => Err("SystemTap cannot express `ipv6`: its strings end at a NUL"),
            LibraryFunction::Strftime => Err("SystemTap cannot express `strftime`: it has no calendar"),
            LibraryFunction::Strlen
            | LibraryFunction::Substr
            | LibraryFunction::Strtol
            | LibraryFunction::IsInStr
            | LibraryFunction::Min
            | LibraryFunction::Max
            | LibraryFunction::Abs
            | LibraryFunction::Ntohs
            | LibraryFunction::Ntohl
            | LibraryFunction::Ipv4
            | LibraryFunction::ErrnoStr
            | LibraryFunction::SignalStr
            | LibraryFunction::Sample => Ok(()),
        },
        Construct::Whole => Err("SystemTap cannot show whole values: it does not know their types when it runs; \
                 `ctp run --engine stap`, which shows them itself, can"),
        Construct::Float => Err("SystemTap cannot show floating-point numbers: it has none"),
        Construct::Unicode => Err("SystemTap cannot show characters of more than a byte: show the number (`%d`)"),
        Construct::Semaphore => {
            Err("SystemTap cannot raise the semaphore of a mark in a container: it compares paths, and the mark \
                 would never be hit")
        }
        Construct::Context(context) => match context {
            Context::Stack(_) => {
                Err("SystemTap cannot express `ustack()`: it would look for the container's files on the host")
            }
            Context::Caller => {
                Err("SystemTap cannot express `caller()`: it would look for the container's files on the host")
            }
            Context::Pid
            | Context::Tid
            | Context::NsPid
            | Context::NsTid
            | Context::Comm
            | Context::Exe
            | Context::Container
            | Context::ContainerId
            | Context::Image
            | Context::Pod
            | Context::Runtime
            | Context::Now
            | Context::Walltime
            | Context::Elapsed
            | Context::Uid
            | Context::Gid
            | Context::Cpu
            | Context::ThreadPointer
            | Context::ProbeFunction
            | Context::ProbePoint => Ok(()),
        },
    }
}

/// What one emission carries along.
struct Emitter<'a> {
    program: &'a Program,
    sources: &'a Sources,
    options: &'a Options,
    names: Names,
    globals: Vec<String>,
    /// Names of the program's functions.
    functions: Vec<String>,
    /// Declarations of what return probes keep of each call.
    entries: Vec<String>,
    /// Whether some handler has a loop.
    loops: bool,
    /// Entries of all maps that something goes over, together.
    entered: u64,
    /// Whether functions count their rounds together with the handlers that call them.
    shares_steps: bool,
    /// Whether functions print.
    prints_in_functions: bool,
    /// Which probe is being written.
    current: usize,
    /// The output statements of records.
    prints: Vec<Print>,
    wants: Vec<Want>,
    library: Library,
    points: Vec<Point>,
    diagnostics: Vec<Diagnostic>,
    /// Whether some point is an address.
    addresses: bool,
    /// The longest string that some statement builds, in bytes.
    longest: usize,
}

impl<'a> Emitter<'a> {
    fn new(program: &'a Program, sources: &'a Sources, options: &'a Options) -> Emitter<'a> {
        let mut names = Names::default();
        let library = Library::new(&mut names, program);
        let globals: Vec<String> = program.globals.iter().map(|global| names.user(&global.name)).collect();
        let functions: Vec<String> = program.functions.iter().map(|function| names.user(&function.name)).collect();
        let single = program.containers.len() == 1;
        let wants = (0u32..)
            .zip(&program.containers)
            .map(|(index, container)| {
                let suffix = if single { String::new() } else { (index + 1).to_string() };
                let (by, id, second) = match container.kind {
                    TargetKind::Process => (KnownBy::Process, "want_pid", "want_start"),
                    TargetKind::Container | TargetKind::Cgroup | TargetKind::Host => {
                        (KnownBy::Cgroup, "want_cg", "want_level")
                    }
                };
                Want {
                    container: ContainerIndex(index),
                    by,
                    id_parameter: format!("{id}{suffix}"),
                    second_parameter: format!("{second}{suffix}"),
                }
            })
            .collect();
        let longest = options.strlen as usize + crate::value::TRUNCATED.len() + 1;
        let diagnostics = Vec::new();
        Emitter {
            program,
            sources,
            options,
            names,
            globals,
            functions,
            entries: Vec::new(),
            loops: false,
            entered: 0,
            shares_steps: program.functions.iter().any(|function| fault::has_loop(&function.body)),
            prints_in_functions: program.functions.iter().any(|function| fault::prints(&function.body)),
            current: 0,
            prints: Vec::new(),
            wants,
            library,
            points: vec![],
            diagnostics,
            addresses: false,
            longest,
        }
    }

    /// Says that SystemTap cannot do something, once per place.
    fn refuse(&mut self, span: Span, what: impl Into<String>, why: impl Into<String>) {
        self.refuse_with(span, what, why, "the embedded engine can: `ctp run --engine bpf`");
    }

    fn refuse_with(&mut self, span: Span, what: impl Into<String>, why: impl Into<String>, help: impl Into<String>) {
        let diagnostic = Diagnostic::new(Code::E0302, span, format!("SystemTap cannot express {}", what.into()))
            .label("here")
            .note(why)
            .help(help);
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Every container needs a cgroup of its own, or to be a process: that is what a task is known by.
    fn containers_can_be_told(&mut self) {
        let program = self.program;
        let Some(probe) = program.probes.first() else { return };
        for container in &program.containers {
            let what = format!("probes in {}", container.described());
            match container.kind {
                TargetKind::Container | TargetKind::Cgroup if container.cgroup.is_some() => {}
                TargetKind::Container | TargetKind::Cgroup => {
                    let why = "it has no cgroup of its own, by which the script knows its tasks";
                    let pid = container.init_pid;
                    let help =
                        format!("the embedded engine can by its first process: `ctp run --engine bpf`, pid({pid})");
                    self.refuse_with(probe.span, what, why, help);
                }
                TargetKind::Process => {}
                TargetKind::Host => {
                    let why = "the host's tasks are those in no container's cgroup, and a container may start at any moment: \
                               only the kernel could keep its tasks out in time";
                    self.refuse(probe.span, what, why);
                }
            }
        }
    }

    /// Whether containers that start later are let in.
    fn newcomers(&self) -> bool {
        let reads = match self.options.written {
            Written::Text => false,
            Written::Records => self.options.newcomers,
        };
        reads && self.wants.iter().any(|want| want.by == KnownBy::Cgroup) && self.program.sites().next().is_some()
    }

    /// The only container whose tasks may count.
    fn only(&self) -> Option<&Want> {
        match self.wants.as_slice() {
            [want] if !self.newcomers() => Some(want),
            _ => None,
        }
    }

    fn probe(&mut self, out: &mut String, probe: &Probe) {
        out.push('\n');
        out.push_str(&head::source_lines(self.sources, probe));
        match &probe.kind {
            ProbeKind::Begin(handler) => self.plain(out, "begin", probe, handler),
            ProbeKind::End(handler) => self.plain(out, "end", probe, handler),
            ProbeKind::Every { period, handler } => {
                let point = self.timer(*period, probe.span);
                self.plain(out, &point, probe, handler);
            }
            // What matches nothing has no point.
            ProbeKind::Sites(variants) if variants.is_empty() => {}
            ProbeKind::Sites(variants) => points::emit(self, out, probe, variants),
        }
    }

    fn plain(&mut self, out: &mut String, point: &str, probe: &Probe, handler: &Handler) {
        let lines = Body::new(self, Scope::Plain { point: &probe.point }).handler(handler);
        write_probe(out, &[point.to_owned()], &lines);
    }

    /// stap 4.8 and 5.x take 100 µs to 86,400 s.
    fn timer(&mut self, period: u64, span: Span) -> String {
        if !(100_000..=86_400_000_000_000).contains(&period) {
            self.refuse(span, "this period", "SystemTap's timers take 100 us to 24 h");
        }
        match period {
            p if p.is_multiple_of(1_000_000_000) => format!("timer.s({})", p / 1_000_000_000),
            p if p.is_multiple_of(1_000_000) => format!("timer.ms({})", p / 1_000_000),
            p if p.is_multiple_of(1_000) => format!("timer.us({})", p / 1_000),
            p => format!("timer.ns({p})"),
        }
    }

    /// Where the probe stands that is being written.
    fn span(&self) -> Span {
        self.program.probes.get(self.current).map_or(Span::new(SourceId(0), 0, 0), |probe| probe.span)
    }

    /// The number of an output statement of records; statements that only differ in how values are computed share one.
    fn print_number(&mut self, print: &Print) -> usize {
        let shape = records::shape(print);
        let known = self.prints.iter().position(|known| *known == shape);
        known.unwrap_or_else(|| {
            self.prints.push(shape);
            self.prints.len() - 1
        })
    }

    /// Says that something goes over a whole global.
    fn goes_over(&mut self, global: &GlobalKind) {
        self.entered = self.entered.saturating_add(match global {
            GlobalKind::Scalar { .. } => 0,
            GlobalKind::Map { size, .. } | GlobalKind::Stats { size, .. } => u64::from(self.map_size(*size)),
        });
    }

    fn slots(&self) -> Vec<Slot> {
        (0u32..)
            .zip(&self.program.files)
            .map(|(index, _)| Slot { file: FileIndex(index), path: slot_path(&self.options.folder, FileIndex(index)) })
            .collect()
    }

    fn map_size(&self, size: Option<u32>) -> u32 {
        size.unwrap_or(self.options.map_size).max(1)
    }

    /// Limits of stap's runtime (4.8's defaults: strings of 512 bytes, 10,000 actions in `end`) that this program
    /// exceeds; and that a busy probe is not a reason to stop: what was skipped is reported at the end.
    fn defines(&self) -> Vec<String> {
        let mut defines = vec!["-DSTP_NO_OVERLOAD".to_owned(), "-DMAXSKIPPED=1000000000".to_owned()];
        if self.longest >= 512 {
            defines.push(format!("-DMAXSTRINGLEN={}", self.longest + 1));
        }
        if self.longest > LONGEST_ON_THE_STACK {
            // Some function of the runtime has a string on its stack, and kernels are compiled so that a frame of more than
            // 2048 bytes is an error. A kernel stack has 16 KiB, and handlers begin near its top.
            defines.push(format!("-BCONFIG_FRAME_WARN={}", self.longest + 1024));
        }
        // In `end`: a few actions an entry, and for each string those of `ctp_quoted`, which goes over 32 codes.
        let string = |ty: &Ty| if *ty == Ty::Str { 120 } else { 0 };
        let actions: u64 = self
            .program
            .globals
            .iter()
            .filter(|global| global.printed_at_end)
            .map(|global| match &global.kind {
                GlobalKind::Map { keys, value, size } => {
                    let entry: u64 = 4 + keys.iter().chain([value]).map(string).sum::<u64>();
                    u64::from(self.map_size(*size)).saturating_mul(entry)
                }
                GlobalKind::Scalar { ty, .. } => 4 + string(ty),
                GlobalKind::Stats { keys, size, .. } => {
                    let entry: u64 = 12 + keys.iter().map(string).sum::<u64>();
                    u64::from(if keys.is_empty() { 1 } else { self.map_size(*size) }).saturating_mul(entry)
                }
            })
            .fold(100, u64::saturating_add);
        // A call within a call within a call …: SystemTap's own limit is 10.
        let nesting = self.program.functions.len() + 8;
        if nesting > 10 {
            defines.push(format!("-DMAXNESTING={nesting}"));
        }
        // Each round of a loop over a map, with what its body may do; each generation of a process that is looked at.
        let processes = self.wants.iter().filter(|want| want.by == KnownBy::Process).count() as u64;
        let over = self.entered.saturating_mul(200).saturating_add(processes.saturating_mul(8 * library::GENERATIONS));
        let actions = actions.saturating_add(over);
        if self.loops {
            // The script counts the rounds of its loops itself; SystemTap's own limit would end the whole run.
            let most = u64::from(self.options.max_steps).saturating_mul(1000).saturating_add(over).min(MOST_ACTIONS);
            defines.push(format!("-DMAXACTION={most}"));
            defines.push(format!("-DMAXACTION_INTERRUPTIBLE={}", most.max(actions).min(MOST_ACTIONS)));
            return defines;
        }
        if over > 0 {
            defines.push(format!("-DMAXACTION={}", over.saturating_add(1000).min(MOST_ACTIONS)));
        }
        if actions > 10_000 || over > 0 {
            defines.push(format!("-DMAXACTION_INTERRUPTIBLE={}", actions.clamp(10_000, MOST_ACTIONS)));
        }
        defines
    }

    fn globals_text(&self) -> String {
        let mut out = String::new();
        if self.shares_steps {
            out.push_str("// The rounds of a run's loops, in functions too.\nglobal ctp_steps\n");
        }
        for (global, name) in self.program.globals.iter().zip(&self.globals) {
            match &global.kind {
                GlobalKind::Scalar { initial: Constant::Int(0), ty: Ty::Int } => {
                    out.push_str(&format!("global {name}"))
                }
                GlobalKind::Scalar { initial: Constant::Int(n), .. } => {
                    out.push_str(&format!("global {name} = {}", expr::global_int(*n)));
                }
                GlobalKind::Scalar { initial: Constant::Str(bytes), .. } => {
                    let text = quote::string(bytes).unwrap_or_else(|| "\"\"".to_owned());
                    out.push_str(&format!("global {name} = {text}"));
                }
                GlobalKind::Map { size, .. } => {
                    out.push_str(&format!("global {name}[{}]", self.map_size(*size)));
                }
                GlobalKind::Stats { keys, .. } if keys.is_empty() => out.push_str(&format!("global {name}")),
                GlobalKind::Stats { size, .. } => {
                    out.push_str(&format!("global {name}[{}]", self.map_size(*size)));
                }
            }
            out.push('\n');
        }
        out
    }

    /// Prints the globals that nothing reads, then what was lost. Behind the program's own `end` handlers.
    fn end(&mut self, out: &mut String) {
        let program = self.program;
        let mut lines = Vec::new();
        // Locals of one `probe`: each map has its own, as they differ in type.
        let mut locals = self.names.clone();
        for (global, name) in program.globals.iter().zip(self.globals.clone()) {
            self.initial_is_a_string(global);
            if global.printed_at_end && self.options.written == Written::Text {
                self.unread(&mut lines, &mut locals, global, &name);
            }
        }
        if self.options.written == Written::Records {
            lines.extend(records::end(self));
            out.push_str("\n// When tracing ends: the globals that nothing reads, and what became of every run.\n");
            return write_probe(out, &["end(1000)".to_owned()], &lines);
        }
        lines.extend(self.library.end_lines());
        if !lines.is_empty() {
            out.push_str("\n// When tracing ends: the globals that nothing reads, and what was lost.\n");
            // Behind every `end` without a number.
            write_probe(out, &["end(1000)".to_owned()], &lines);
        }
    }

    fn initial_is_a_string(&mut self, global: &Global) {
        if let GlobalKind::Scalar { initial: Constant::Str(bytes), .. } = &global.kind
            && quote::string(bytes).is_none()
        {
            self.refuse(global.span, "a string with a NUL byte in it", "its strings end at a NUL");
        }
    }

    fn unread(&mut self, lines: &mut Vec<String>, locals: &mut Names, global: &Global, name: &str) {
        let mut format = String::new();
        // A name of the language: never a NUL in it.
        quote::format(&mut format, global.name.as_bytes());
        match &global.kind {
            GlobalKind::Scalar { ty, .. } => {
                let (conversion, value) = self.quoted(*ty, name);
                lines.push(format!("printf(\"{format} = {conversion}\\n\", {value})"));
            }
            GlobalKind::Stats { keys, .. } => lines.extend(tables::stats(self, locals, &format, name, keys)),
            GlobalKind::Map { keys, value, .. } => lines.extend(tables::map(self, locals, &format, name, keys, *value)),
        }
    }

    /// Conversion and argument of a value as a map's lines show it: numbers bare, strings quoted.
    fn quoted(&mut self, ty: Ty, value: &str) -> (&'static str, String) {
        match ty {
            Ty::Int => ("%d", value.to_owned()),
            Ty::Str => {
                // Every byte may become four characters.
                self.longest = self.longest.max(4 * (self.options.strlen as usize + 16));
                ("%s", self.library.quoted(value))
            }
        }
    }
}

/// The path of a file's slot.
fn slot_path(folder: &str, file: FileIndex) -> String {
    format!("{folder}/t{}", file.0)
}

/// A probe with its points, one a line, and the lines of its body.
fn write_probe(out: &mut String, points: &[String], body: &[String]) {
    out.push_str("probe ");
    out.push_str(&points.join(",\n      "));
    out.push_str(" {\n");
    for line in body {
        out.push_str("    ");
        out.push_str(line);
        out.push('\n');
    }
    out.push_str("}\n");
}
