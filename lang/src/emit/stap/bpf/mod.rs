//! Owns scripts for SystemTap's bpf runtime (`stap --bpf`, run by stapbpf): handlers that add numbers, and nothing else.
//! Refuses all that the runtime computes wrongly, by construct.
//!
//! What decides the form (measured with stap 4.8 on Linux 6.18; the translator's source is bpf-translate.cxx):
//! - `x++`, `x += e` and map entries are read, changed and written back without a lock: of 320,000 calls of two processes
//!   up to 690 were not counted. So numbers live in cells of one array map and are added to by one atomic instruction,
//!   which its assembler takes. That asks for guru mode: nothing of a user's or a container's stands in assembler.
//! - `register()` and `uaddr()` it does not have, and what cannot be read it gives as 0: values are computed from the saved
//!   registers (`$ctx`) and by reads that are looked at.
//! - Which map is which it decides itself: [`Script::cells`] and [`Script::places`] are compared with what it made
//!   ([`object`]), and each cell is read twice at the end, by its name and by its number.

mod expr;
mod head;
pub mod object;

use super::{SLOT_FOLDER, Slot, head as shared, points, quote, slot_path};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::emit::stap::records::Category;
use crate::ir::{
    ExprKind, FileIndex, Global, GlobalIndex, GlobalKind, Handler, Piece, Probe, ProbeIndex, ProbeKind, Program, Site,
    StatOp, Stmt, Ty, Variant, visit_expressions, visit_statements,
};
use crate::source::{Sources, Span};
use crate::world::TargetKind;
use expr::Writer;

/// What begins each line that the script writes for ctp.
pub const MARK: &str = "ctp";

/// Where the script's files lie, and for whom it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The folder that holds the probed files' slots, in the private root and on the machine.
    pub folder: String,
    /// Whether what it writes at the end is for people.
    pub for_people: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { folder: SLOT_FOLDER.to_owned(), for_people: true }
    }
}

/// A number that handlers add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// How many runs of a probe came to this end.
    Counter(ProbeIndex, Category),
    /// What handlers added to a scalar.
    Scalar(GlobalIndex),
    /// How many values an aggregate was fed.
    Count(GlobalIndex),
    /// Their sum.
    Sum(GlobalIndex),
}

/// A place that is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The slot's path.
    pub path: String,
    /// Where in the file.
    pub offset: u64,
    /// The probe that it is for.
    pub span: Span,
}

/// A script and what its runner must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The script, printable ASCII.
    pub text: String,
    /// The files it probes, each with the slot that stands for it.
    pub files: Vec<Slot>,
    /// The places it probes.
    pub places: Vec<Place>,
    /// What the numbers are that it writes at its end, in order. It writes `ctp ready` when its probes are in place; at the
    /// end `ctp NUMBER VALUE VALUE` for each cell (both values are the same), then `ctp end`.
    pub cells: Vec<Cell>,
}

/// The script of a program.
///
/// # Errors
/// One diagnostic (`E0302`) for each construct that the runtime does not compute rightly, or does not have.
pub fn emit(program: &Program, sources: &Sources, options: &Options) -> Result<Script, Vec<Diagnostic>> {
    let mut emitter = Emitter { program, options, cells: cells(program), places: Vec::new(), diagnostics: Vec::new() };
    emitter.targets_can_be_told();
    emitter.globals();
    let mut functions = expr::Functions::default();
    let mut probes = String::new();
    for (index, probe) in (0u32..).map(ProbeIndex).zip(&program.probes) {
        match &probe.kind {
            // ctp runs these itself; what they ask of aggregates must be there.
            ProbeKind::Begin(handler) | ProbeKind::End(handler) => emitter.asked(&handler.body),
            ProbeKind::Every { .. } => {
                emitter.refuse(probe.span, "`every`", "what was counted can be read when it ends, not before");
            }
            ProbeKind::Sites(variants) => {
                for variant in variants {
                    emitter.variant(&mut probes, &mut functions, sources, (index, probe), variant);
                }
            }
        }
    }
    program.functions.iter().for_each(|function| emitter.asked(&function.body));
    if !emitter.diagnostics.is_empty() {
        return Err(emitter.diagnostics);
    }
    let Emitter { cells, places, .. } = emitter;
    let files = (0u32..)
        .map(FileIndex)
        .take(program.files.len())
        .map(|file| Slot { file, path: slot_path(&options.folder, file) })
        .collect();
    let mut script = Script { text: String::new(), files, places, cells };
    let mut text = head::head(program, sources, &script);
    text.push_str(&globals_text(&script.cells));
    text.push_str(&functions.text());
    text.push_str("\n// Probes are in place before it runs.\n");
    text.push_str(&format!("probe begin {{ printf(\"{MARK} ready\\n\") }}\n"));
    text.push_str(&probes);
    text.push_str(&end(program, &script.cells, options.for_people));
    script.text = text;
    Ok(script)
}

/// The cells of a program: what became of each probe's runs, and the globals that a handler can add to.
fn cells(program: &Program) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (index, probe) in (0u32..).map(ProbeIndex).zip(&program.probes) {
        if matches!(probe.kind, ProbeKind::Sites(_)) {
            let all = [Category::Aggregated, Category::Filtered, Category::ReadFaults];
            cells.extend(all.map(|category| Cell::Counter(index, category)));
        }
    }
    for (index, global) in (0u32..).map(GlobalIndex).zip(&program.globals) {
        match &global.kind {
            GlobalKind::Scalar { ty: Ty::Int, .. } => cells.push(Cell::Scalar(index)),
            GlobalKind::Stats { keys, .. } if keys.is_empty() => cells.extend([Cell::Count(index), Cell::Sum(index)]),
            GlobalKind::Scalar { ty: Ty::Str, .. } | GlobalKind::Map { .. } | GlobalKind::Stats { .. } => {}
        }
    }
    cells
}

/// The name of a cell in the script.
fn cell_name(number: usize) -> String {
    format!("ctp_{number}")
}

fn globals_text(cells: &[Cell]) -> String {
    let names: Vec<String> = (0..cells.len()).map(cell_name).collect();
    let lines: Vec<String> = names.chunks(12).map(|names| names.join(", ")).collect();
    match lines.as_slice() {
        [] => String::new(),
        lines => format!(
            "// What handlers add to. Long globals are the cells of one array, in this order.\nglobal {}\n",
            lines.join(",\n       ")
        ),
    }
}

/// The probe that writes the cells.
fn end(program: &Program, cells: &[Cell], for_people: bool) -> String {
    let mut out = String::from("\nprobe end {\n");
    for (number, cell) in cells.iter().enumerate() {
        let (name, read) = (cell_name(number), format!("ctp_cell({number})"));
        out.push_str(&match for_people {
            true => format!("    printf(\"{}%ld\\n\", {read})\n", label(program, *cell)),
            false => format!("    printf(\"{MARK} {number} %ld %ld\\n\", {read}, {name})\n"),
        });
    }
    // What is neither read nor written by its name is no global.
    if for_people && !cells.is_empty() {
        let all: Vec<usize> = (0..cells.len()).collect();
        for some in all.chunks(8) {
            let same: Vec<String> =
                some.iter().map(|number| format!("{} != ctp_cell({number})", cell_name(*number))).collect();
            out.push_str(&format!("    if ({}) printf(\"the cells are in another order\\n\")\n", same.join(" || ")));
        }
    }
    if !for_people {
        out.push_str(&format!("    printf(\"{MARK} end\\n\")\n"));
    }
    out.push_str("}\n");
    out
}

/// What a cell is, within a format literal.
fn label(program: &Program, cell: Cell) -> String {
    let name = |index: GlobalIndex| program.globals.get(index.0 as usize).map_or("", |global| global.name.as_str());
    let text = match cell {
        Cell::Counter(probe, category) => {
            let point = program.probes.get(probe.0 as usize).map_or("", |probe| probe.point.as_str());
            let what = match category {
                Category::Aggregated => "counted",
                Category::Filtered => "filtered",
                Category::ReadFaults => "stopped by what could not be read",
                Category::Records
                | Category::StepLimit
                | Category::Unmatched
                | Category::FaultsShown
                | Category::MapFull => "",
            };
            format!("{point}: {what}: ")
        }
        Cell::Scalar(index) => format!("{} = ", name(index)),
        Cell::Count(index) => format!("@count({}) = ", name(index)),
        Cell::Sum(index) => format!("@sum({}) = ", name(index)),
    };
    // At most 100 characters: it takes formats of 256 bytes.
    let short: String = text.chars().take(100).collect();
    let mut out = String::new();
    quote::format(&mut out, quote::comment(&short).as_bytes());
    out
}

/// What one emission carries along.
pub(super) struct Emitter<'a> {
    program: &'a Program,
    options: &'a Options,
    cells: Vec<Cell>,
    places: Vec<Place>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Emitter<'a> {
    /// Says that the runtime cannot do something, once per place.
    fn refuse(&mut self, span: Span, what: impl std::fmt::Display, why: &str) {
        let diagnostic = Diagnostic::new(Code::E0302, span, format!("SystemTap's bpf runtime cannot do {what}"))
            .label("here")
            .note(why)
            .help("the embedded engine can: `ctp run --engine bpf`");
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    fn cell(&self, wanted: Cell) -> Option<usize> {
        self.cells.iter().position(|cell| *cell == wanted)
    }

    fn counter(&self, probe: ProbeIndex, category: Category) -> usize {
        self.cell(Cell::Counter(probe, category)).unwrap_or_default()
    }

    fn targets_can_be_told(&mut self) {
        let program = self.program;
        let Some(probe) = program.probes.first() else { return };
        for container in &program.containers {
            let told = match container.kind {
                TargetKind::Container | TargetKind::Cgroup => container.cgroup.is_some(),
                TargetKind::Process | TargetKind::Host => false,
            };
            if !told {
                let what = format!("probes in {}", container.described());
                self.refuse(probe.span, what, "it knows tasks by their cgroup (of version 2) or one above it");
            }
        }
    }

    /// Globals that would be printed with what is not kept.
    fn globals(&mut self) {
        let program = self.program;
        for global in &program.globals {
            let GlobalKind::Stats { shape, .. } = &global.kind else { continue };
            if shape.log || !shape.linear.is_empty() {
                self.refuse(global.span, "histograms", "it has none");
            }
            if global.printed_at_end {
                let what = format!("the least and the greatest of `{}`, which is printed whole", global.name);
                self.refuse(global.span, what, "it has no @min and no @max: print @count, @sum or @avg of it in `end`");
            }
        }
    }

    /// What `begin` and `end` may not ask of aggregates.
    fn asked(&mut self, body: &[Stmt]) {
        const WHY: &str = "it keeps how many values there were, and their sum";
        let mut found: Vec<(Span, String)> = Vec::new();
        visit_expressions(body, &mut |expr| {
            if let ExprKind::Stat { op: op @ (StatOp::Min | StatOp::Max | StatOp::Quantile(_)), .. } = &expr.kind {
                found.push((expr.span, format!("`{op}`")));
            }
        });
        let is_stats = |global: &GlobalIndex| {
            let kind = self.program.globals.get(global.0 as usize).map(|global| &global.kind);
            matches!(kind, Some(GlobalKind::Stats { .. }))
        };
        visit_statements(body, &mut |stmt| {
            let Stmt::Print(print) = stmt else { return };
            for piece in &print.pieces {
                match piece {
                    Piece::Table { global, .. } if is_stats(global) => {
                        found.push((print.span, "a whole aggregate".to_owned()));
                    }
                    Piece::Histogram { span, .. } => found.push((*span, "histograms".to_owned())),
                    Piece::Table { .. }
                    | Piece::Text(_)
                    | Piece::Value(_)
                    | Piece::Unavailable { .. }
                    | Piece::Whole(_) => {}
                }
            }
        });
        found.into_iter().for_each(|(span, what)| self.refuse(span, what, WHY));
    }

    fn variant(
        &mut self,
        out: &mut String,
        functions: &mut expr::Functions,
        sources: &Sources,
        (index, probe): (ProbeIndex, &Probe),
        variant: &Variant,
    ) {
        if variant.returns.is_some() {
            let why = "what is kept of each call is entries of a map, which it writes without a lock";
            return self.refuse(probe.span, "returns", why);
        }
        for site in &variant.sites {
            if site.mark.is_some() {
                let why = "a mark has no address that stap takes, and by its name it was not tried";
                return self.refuse(probe.span, "marks", why);
            }
            let path = slot_path(&self.options.folder, site.file);
            let address = points::named(site);
            let lines = self.body(functions, index, probe, &variant.handler, site);
            out.push('\n');
            out.push_str(&shared::source_lines(sources, probe));
            out.push_str(&shared::site(self.program, site));
            let point = format!("process(\"{path}\").statement({address:#x})");
            super::write_probe(out, &[point], &lines);
            let offset = site.file_offset.saturating_sub(site.passed);
            self.places.push(Place { path, offset, span: probe.span });
        }
    }

    /// The lines of a handler at a site, its guard first.
    fn body(
        &mut self,
        functions: &mut expr::Functions,
        index: ProbeIndex,
        probe: &Probe,
        handler: &Handler,
        site: &Site,
    ) -> Vec<String> {
        let faults = self.counter(index, Category::ReadFaults);
        let (filtered, counted) = (self.counter(index, Category::Filtered), self.counter(index, Category::Aggregated));
        let outside: Vec<String> = (site.containers.iter())
            .filter_map(|index| self.program.container(*index)?.cgroup.as_ref())
            .map(|cgroup| {
                let id = functions.number(cgroup.id.cast_signed());
                format!("ctp_cg({}) != {id}", cgroup.level)
            })
            .collect();
        let mut writer = Writer::new(self, functions, faults, (points::named(site), probe.span), &handler.locals);
        writer.line(format!("if ({}) next", outside.join(" && ")));
        writer.begin();
        if let Some(condition) = &handler.condition {
            let text = writer.expr(condition);
            writer.line(format!("if (!({text})) {{"));
            writer.add(filtered, "1");
            writer.line("next");
            writer.line("}");
        }
        writer.block(&handler.body, counted);
        if !matches!(handler.body.last(), Some(Stmt::Next)) {
            writer.add(counted, "1");
        }
        writer.into_lines()
    }

    fn global(&self, index: GlobalIndex) -> Option<&'a Global> {
        self.program.globals.get(index.0 as usize)
    }
}
