//! Owns one case: a program, what is wrong with it, what it prints. `cases/trace/README.md` says how cases are written.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use ctp_lang::check::check;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::interpret::recorded::Recorded;
use ctp_lang::interpret::{self, Stop};
use ctp_lang::ir::{Context, GlobalIndex, GlobalKind, Handler, PrintKind, Probe, ProbeKind, Program, Site, Variant};
use ctp_lang::source::{SourceId, Sources, Span};
use ctp_lang::stats::Stats;
use ctp_lang::syntax::parse;
use ctp_lang::value::{Value, sort_entries, write_global, write_print};
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::expected;
use ctp_tests::world::Machine;

use crate::hits::{Hit, record};

/// What the lines of a case that begin with `#$` ask for.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The traced program's source, a file beside the cases.
    pub(crate) source: Option<String>,
    options: HashMap<String, u64>,
}

/// Reads the `#$` lines of a case.
pub(crate) fn settings(text: &str) -> Settings {
    let mut settings = Settings { source: None, options: HashMap::new() };
    for line in text.lines().filter_map(|line| line.strip_prefix("#$ ")) {
        match line.trim().split_once(' ') {
            Some((option, value)) => {
                settings.options.insert(option.to_owned(), value.trim().parse().expect("#$ --option NUMBER"));
            }
            None => settings.source = Some(line.trim().to_owned()),
        }
    }
    settings
}

/// The lines that `#=` expects.
fn expected_output(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split_once("#=")).map(|(_, expected)| expected);
    lines.fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{}", line.strip_prefix(' ').unwrap_or(line));
        all
    })
}

/// What is wrong with a case; empty for nothing.
pub(crate) fn run(folder: &Path, path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a case is text");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let settings = settings(&text);
    let binary = settings.source.as_ref().map(|source| {
        let source = folder.join(source);
        let compiler = if source.extension().is_some_and(|end| end == "cpp") { Compiler::Gxx } else { Compiler::Gcc };
        Binary::compile(source.to_str().expect("a name in UTF-8"), compiler, &["-g", "-O2", "-fno-lto"])
    });
    let path = binary.as_ref().map(Binary::path);
    let files: Vec<(&str, &Path)> = path.iter().map(|path| ("/app/bin", path.as_path())).collect();
    let world = Machine::new(&["web"], &files);
    let mut sources = Sources::default();
    let id = sources.add(name.as_str(), text.as_str());
    let (file, mut diagnostics) = parse(id, &text);
    let (program, found) = check(&sources, &[file], &world, &ctp_lang::check::Settings::default());
    diagnostics.extend(found);
    let mut wrong = expected::compare(&name, &text, &sources, id, &diagnostics);
    let broken = diagnostics.iter().any(Diagnostic::is_error);
    let printed = match program.filter(|_| !broken && wrong.is_empty()) {
        Some(program) => {
            let mut tracing = Tracing::new(&program, &sources, id, &settings);
            tracing.trace(path.as_deref());
            tracing.shown()
        }
        None => String::new(),
    };
    let expected = expected_output(&text);
    if wrong.is_empty() && printed != expected {
        let _ = writeln!(wrong, "{name}: it should print\n{expected}--- and prints\n{printed}---");
    }
    wrong
}

/// A program that is traced by the interpreter.
struct Tracing<'p> {
    program: &'p Program,
    sources: &'p Sources,
    id: SourceId,
    machine: Recorded<'p>,
    out: Vec<u8>,
    ended: bool,
    /// Calls of which a return probe saw the entry: its place among the sites, the frame, what was computed there.
    calls: Vec<(usize, i64, Vec<Value>)>,
}

/// A place where something runs.
struct Place<'p> {
    probe: &'p Probe,
    variant: &'p Variant,
    site: &'p Site,
}

impl<'p> Tracing<'p> {
    fn new(program: &'p Program, sources: &'p Sources, id: SourceId, settings: &Settings) -> Tracing<'p> {
        let mut machine = Recorded::new(program);
        for (option, value) in &settings.options {
            match option.as_str() {
                "--strlen" => machine.string_limit = usize::try_from(*value).unwrap(),
                "--max-steps" => machine.max_steps = *value,
                "--map-size" => machine.map_size = u32::try_from(*value).unwrap(),
                other => panic!("#$ {other} is no option of a case"),
            }
        }
        Tracing { program, sources, id, machine, out: Vec::new(), ended: false, calls: Vec::new() }
    }

    fn trace(&mut self, path: Option<&Path>) {
        let program = self.program;
        for probe in &program.probes {
            if let ProbeKind::Begin(handler) = &probe.kind {
                self.handler(probe, "", handler);
            }
        }
        let places = places(program);
        if let Some(path) = path.filter(|_| !places.is_empty() && !self.ended) {
            let mut addresses: Vec<u64> = places.iter().map(|place| place.site.address).collect();
            let exits = places.iter().filter_map(|place| place.site.exits.as_ref());
            addresses.extend(exits.flat_map(|exits| exits.places.iter().map(|exit| exit.address)));
            addresses.sort_unstable();
            addresses.dedup();
            record(path, &addresses, &mut |hit| {
                self.hit(&places, hit);
                !self.ended
            });
        }
        for probe in &program.probes {
            match &probe.kind {
                ProbeKind::Every { handler, .. } if !self.ended => self.handler(probe, "", handler),
                ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } | ProbeKind::Sites(_) => {}
            }
        }
        self.ended = false;
        for probe in &program.probes {
            if let ProbeKind::End(handler) = &probe.kind {
                self.handler(probe, "", handler);
            }
        }
        self.unread();
    }

    fn hit(&mut self, places: &[Place<'p>], hit: &Hit) {
        self.machine.registers.clone_from(&hit.registers);
        self.machine.memory.clone_from(&hit.memory);
        for (index, place) in places.iter().enumerate() {
            if self.ended {
                return;
            }
            match (&place.variant.returns, &place.site.exits) {
                (Some(returns), Some(exits)) => {
                    let stack = hit.registers[&ctp_lang::debuginfo::facts::Register(7)];
                    if let Some(exit) = exits.places.iter().find(|exit| exit.address == hit.address) {
                        // Behind the frame's name lies the return address.
                        let call = self.calls.iter().rposition(|(of, frame, _)| *of == index && *frame == stack + 8);
                        if let Some(call) = call {
                            let (_, _, entries) = self.calls.remove(call);
                            self.machine.entries = entries;
                            self.machine.returned = if exit.tail { HashMap::new() } else { hit.registers.clone() };
                            self.handler(place.probe, &place.site.function, &place.variant.handler);
                        }
                    }
                    if place.site.address == hit.address
                        && let Ok(Value::Int(frame)) = interpret::evaluate(&exits.frame, &mut self.machine)
                    {
                        let saved = returns.saved.iter();
                        let saved =
                            saved.map(|expr| interpret::evaluate(expr, &mut self.machine).unwrap_or(Value::Fault));
                        let saved = saved.collect();
                        self.calls.push((index, frame, saved));
                    }
                }
                (None, _) | (Some(_), None) if place.site.address == hit.address => {
                    self.handler(place.probe, &place.site.function, &place.variant.handler);
                }
                (None, _) | (Some(_), None) => {}
            }
        }
    }

    /// Runs a handler once; a run that is stopped says why in the output.
    fn handler(&mut self, probe: &Probe, function: &str, handler: &Handler) {
        if self.ended {
            return;
        }
        self.machine.contexts = contexts(probe, function);
        let program = self.program;
        match interpret::run(program, handler, &mut self.machine) {
            Ok(run) => {
                for (print, values) in run.prints {
                    if print.kind == PrintKind::Error {
                        self.out.extend_from_slice(b"error: ");
                    }
                    write_print(&mut self.out, print, &values, program);
                    if print.kind == PrintKind::Error {
                        self.out.push(b'\n');
                    }
                }
                self.ended = run.exit;
            }
            Err(stop) => {
                let (why, span) = match stop {
                    Stop::Fault(span) => ("it cannot be read", span),
                    Stop::DivisionByZero(span) => ("division by zero", span),
                    Stop::StepLimit(span) => ("too many steps", span),
                    Stop::NotHere(span) => ("there is no such value here", span),
                };
                let line = self.line(span);
                self.out.extend_from_slice(format!("(stopped at line {line}: {why})\n").as_bytes());
            }
        }
    }

    fn line(&self, span: Span) -> u32 {
        self.sources.get(self.id).map_or(0, |source| source.line_column(span.start).line)
    }

    /// Globals that are written and never read.
    fn unread(&mut self) {
        use ctp_lang::interpret::Machine as _;
        for (index, global) in
            (0..).map(GlobalIndex).zip(&self.program.globals).filter(|(_, global)| global.printed_at_end)
        {
            let mut entries = match &global.kind {
                GlobalKind::Scalar { .. } => vec![(Vec::new(), self.machine.get(index, &[]).unwrap_or(Value::Fault))],
                GlobalKind::Stats { keys, shape, .. } if keys.is_empty() => {
                    let stats = self.machine.stats(index, &[]).unwrap_or_else(|| Stats::new(shape));
                    vec![(Vec::new(), Value::Stats(Box::new(stats)))]
                }
                GlobalKind::Map { .. } | GlobalKind::Stats { .. } => self.machine.entries(index),
            };
            sort_entries(&mut entries);
            entries.iter().for_each(|(key, value)| write_global(&mut self.out, &global.name, key, value));
        }
    }

    /// What was printed, as `#=` lines give it: without blanks at the ends of lines.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.out).lines().fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{}", line.trim_end());
            all
        })
    }
}

fn places(program: &Program) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for probe in &program.probes {
        let variants: &[Variant] = match &probe.kind {
            ProbeKind::Sites(variants) => variants,
            ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => &[],
        };
        for variant in variants {
            places.extend(variant.sites.iter().map(|site| Place { probe, variant, site }));
        }
    }
    places
}

/// The task and the moment of every case.
fn contexts(probe: &Probe, function: &str) -> HashMap<Context, Value> {
    let moment = HashMap::from([
        (Context::Now, Value::Int(5_000_000_000)),
        (Context::Walltime, Value::Int(1_700_000_000_000_000_000)),
        (Context::ProbePoint, Value::str(probe.point.as_str())),
    ]);
    if function.is_empty() {
        return moment;
    }
    let task = [
        (Context::Pid, Value::Int(1000)),
        (Context::Tid, Value::Int(1001)),
        (Context::NsPid, Value::Int(7)),
        (Context::NsTid, Value::Int(8)),
        (Context::Uid, Value::Int(33)),
        (Context::Gid, Value::Int(34)),
        (Context::Cpu, Value::Int(2)),
        (Context::Elapsed, Value::Int(1_500_000)),
        (Context::Comm, Value::str("bin")),
        (Context::Exe, Value::str("bin")),
        (Context::Container, Value::str("web")),
        (Context::ContainerId, Value::str(format!("{:064x}", 1))),
        (Context::Image, Value::str("image")),
        (Context::Pod, Value::str("")),
        (Context::Runtime, Value::str("docker")),
        (Context::ProbeFunction, Value::str(function)),
    ];
    moment.into_iter().chain(task).collect()
}
