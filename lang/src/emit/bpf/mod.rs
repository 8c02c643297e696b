//! Owns compiling a checked program to eBPF: instructions, maps, and the form of the records they write. Loads nothing
//! and knows no system call; the runner does.
//!
//! One eBPF program serves all files with the same handlers. It runs at each hit, sleepable, and goes through
//! [`program`] (whose task? which handler?), [`handler`] (statements; [`expr`], [`text`], [`context`], [`globals`]) and
//! [`output`] (one record per run). What it leaves: a [`record`] in the ring, changed globals ([`store`]), and exactly
//! one counter ([`Category`]) raised by one.

mod aggregate;
mod asm;
mod bytes;
mod calendar;
pub mod cgroups;
mod context;
mod control;
mod disassembly;
mod env;
pub mod execs;
mod expr;
mod fields;
mod filter;
pub mod follow;
mod format;
mod frame;
mod globals;
mod handler;
pub mod identity;
mod insn;
mod ipv6;
mod kernel;
mod layout;
mod library;
mod listed;
pub mod map;
mod output;
mod outside;
mod program;
mod quantile;
mod rate;
mod reach;
pub mod record;
mod returns;
pub mod sessions;
mod stacks;
pub mod store;
pub mod tasks;
mod text;
pub mod tracepoint;

use std::collections::HashMap;
use std::sync::Arc;

use super::gate::{Construct, refuse};
use crate::debuginfo::facts::SiteKind;
use crate::diagnostic::Diagnostic;
use crate::ir::{
    ContainerIndex, Context, Expr, FileIndex, Function, FunctionIndex, Handler, Print, ProbeIndex, ProbeKind, Program,
    Stmt, Variant,
};
use crate::source::Span;
use crate::world::{Container, Controller, Pod};
use env::{Env, Rodata, Table};
use filter::Tasks;
pub use insn::Insn;
pub use kernel::*;
use layout::{lay_out_globals, standard_maps};
use map::{GlobalLayout, MapId, MapKind, MapSpec, TextLayout};
use program::Entry;
use rate::Rate;
pub use record::{PrintLayout, Record};

/// What a user may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of a string (`--strlen`), 8 to 4096.
    pub strlen: u32,
    /// Entries of a map whose size is not declared (`--map-size`).
    pub map_size: u32,
    /// Bytes of the ring buffer (`--ring-size`): a power of two, at least a page.
    pub ring_size: u32,
    /// How many rounds all loops of a run may go together (`--max-steps`), at most a billion.
    pub max_steps: u32,
    /// Whether records tell the process id that the container sees, and the cpu.
    pub origin: bool,
    /// The most hits a second that a probe's handler runs for (`--max-rate`); 0 is no limit.
    pub max_rate: u32,
    /// Whether containers that come later are looked out for ([`follow`]).
    pub follow: bool,
    /// Depths of cgroups at which containers may come that are meant, besides those at which some are: one bit each. Not 0
    /// where probes match nothing yet and may later.
    pub levels: u32,
    /// How returns are seen (`--returns`).
    pub returns: ReturnsBy,
}

/// How the ends of calls are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnsBy {
    /// By sessions where that is proved to do no harm, else by instructions.
    #[default]
    Auto,
    /// By probes on return instructions and jumps out of the function.
    Instructions,
    /// By the kernel's return probes ([`sessions`]), or not at all.
    Session,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            strlen: 256,
            map_size: 4096,
            ring_size: 4 << 20,
            max_steps: 10_000,
            origin: false,
            max_rate: 0,
            follow: false,
            levels: 0,
            returns: ReturnsBy::Auto,
        }
    }
}

/// How many containers may come later whose names handlers work with in the kernel.
const NEWCOMERS: usize = 256;

/// Index into [`Compiled::sites`]: the lower half of a link's cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

/// An address to probe.
#[derive(Clone, Debug)]
pub struct CompiledSite {
    /// Which probe it belongs to.
    pub probe: ProbeIndex,
    /// Which of the probe's variants runs there.
    pub variant: usize,
    /// The file.
    pub file: FileIndex,
    /// Link-time address.
    pub address: u64,
    /// Offset into the file.
    pub file_offset: u64,
    /// Whose hits count.
    pub containers: Arc<[ContainerIndex]>,
    /// The function's name.
    pub function: Arc<str>,
    /// Whether it is an inlined instance of it.
    pub inlined: bool,
    /// File offset of the semaphore to raise while it is probed (USDT).
    pub semaphore: Option<u64>,
}

/// An eBPF program.
#[derive(Clone, Debug, Default)]
pub struct BpfProgram {
    /// Files whose sites it serves.
    pub files: Vec<FileIndex>,
    /// The variants whose sites it serves there.
    pub variants: Vec<usize>,
    /// Whether it is to be attached by uprobe sessions.
    pub session: bool,
    /// Instructions; those in `maps` still lack their map.
    pub insns: Vec<Insn>,
    /// Index of an instruction, and the map whose descriptor belongs into its immediate.
    pub maps: Vec<(usize, MapId)>,
    /// From which instruction on which source is meant, rising.
    pub spans: Vec<(usize, Span)>,
}

impl BpfProgram {
    /// The source an instruction was made from.
    pub fn span(&self, insn: usize) -> Option<Span> {
        let after = self.spans.partition_point(|(from, _)| *from <= insn);
        self.spans.get(after.checked_sub(1)?).map(|(_, span)| *span)
    }
}

/// What became of a hit. Each counts in exactly one of the first eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// It ran and its output was handed over.
    Records,
    /// It ran and had no output.
    Aggregated,
    /// The probe's condition did not hold.
    Filtered,
    /// Something could not be read or computed: the run stopped without output.
    ReadFaults,
    /// A loop was too long: the run stopped without output.
    StepLimit,
    /// A return whose entry was not seen.
    Unmatched,
    /// It ran, but there was no room for its output.
    Lost,
    /// More hits came in this second than handlers may run for ([`Options::max_rate`]).
    Limited,
    /// Values shown as `<fault>`: these are no hits.
    FaultsShown,
    /// Updates that a full map dropped: these are no hits.
    MapFull,
}

impl Category {
    /// In the order of their counters.
    pub const ALL: [Category; 10] = [
        Category::Records,
        Category::Aggregated,
        Category::Filtered,
        Category::ReadFaults,
        Category::StepLimit,
        Category::Unmatched,
        Category::Lost,
        Category::Limited,
        Category::FaultsShown,
        Category::MapFull,
    ];
}

/// A compiled program: all that the runner needs to load it and to read what it leaves.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Maps to create; [`MapId`] is the index.
    pub maps: Vec<MapSpec>,
    /// How many of them, from the first on, hold what is the whole run's: who counts, the counters, the globals. (The ring
    /// of records is among them, and is the program's own.)
    pub shared: usize,
    /// The map of [`Options::max_rate`], which is the whole run's too.
    pub rate: Option<MapId>,
    /// Programs to load; none where no probe has a site.
    pub programs: Vec<BpfProgram>,
    /// Addresses to probe, by [`SiteId`].
    pub sites: Vec<CompiledSite>,
    /// Output statements, by the number that records bear.
    pub prints: Vec<PrintLayout>,
    /// Layout of each global.
    pub globals: Vec<GlobalLayout>,
    /// How strings lie in memory.
    pub text: TextLayout,
    /// Cgroup levels the filter looks at.
    pub levels: Vec<u32>,
    /// Levels of cgroups of version 1 that it looks at.
    pub levels1: Vec<(Controller, u32)>,
    /// Whether it looks at mount namespaces.
    pub namespaces: bool,
    /// Whether tasks of the host count: then new cgroups are to be watched ([`cgroups`]) with the map of their number.
    pub watches_cgroups: Option<MapId>,
    /// Whether no handler writes a record or ends the run: then nobody needs to look at the ring.
    pub silent: bool,
    /// The maps of the program that sees containers coming, where they are looked out for.
    pub follows: Option<follow::Maps>,
    /// The map of the tables of containers.
    names: MapId,
    /// Tables of containers, each with its byte offset there.
    container_tables: Vec<(Table, u32)>,
    /// For how many containers those have room.
    container_room: usize,
    /// What is known of each container.
    containers: Vec<ContainerNames>,
    /// The point of each probe as written.
    points: Vec<String>,
    /// How values are shown: of the program no more than that.
    shown: Program,
}

/// Bytes to be written into the only element of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// The map.
    pub map: MapId,
    /// Where in the element.
    pub offset: usize,
    /// What.
    pub bytes: Vec<u8>,
}

/// What handlers can ask of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerNames {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) image: String,
    pub(super) pod: String,
    pub(super) runtime: String,
}

impl Compiled {
    /// Whether a program that was compiled later can run beside this one: it has the same probes, and its globals lie in
    /// memory as these do.
    pub fn goes_with(&self, later: &Compiled) -> bool {
        self.points == later.points && self.globals == later.globals && self.text == later.text
    }

    /// The site of an id.
    pub fn site(&self, id: SiteId) -> Option<&CompiledSite> {
        self.sites.get(id.0 as usize)
    }

    /// Takes in a container that came later: its index, and what is to be written into the map of names before its
    /// tasks count. `None` where there is no room for it.
    pub fn add_container(&mut self, container: &Container) -> Option<(ContainerIndex, Vec<Constants>)> {
        let index = self.containers.len();
        if !self.container_tables.is_empty() && index >= self.container_room {
            return None;
        }
        let names = ContainerNames::of(container);
        let slot = self.text.slot() as usize;
        let text = |table: Table| Some(self.text.to_bytes(table.of_container(&names)?.as_bytes(), false));
        let writes = self
            .container_tables
            .iter()
            .filter_map(|(table, offset)| {
                Some(Constants { map: self.names, offset: *offset as usize + index * slot, bytes: text(*table)? })
            })
            .collect();
        self.containers.push(names);
        Some((ContainerIndex(u32::try_from(index).ok()?), writes))
    }

    /// The point of a probe as written.
    pub fn point(&self, probe: ProbeIndex) -> &str {
        self.points.get(probe.0 as usize).map_or("", String::as_str)
    }

    fn container(&self, index: ContainerIndex) -> Option<&ContainerNames> {
        self.containers.get(index.0 as usize)
    }
}

impl ContainerNames {
    pub(super) fn of(container: &Container) -> ContainerNames {
        ContainerNames {
            name: container.display_name().to_owned(),
            id: container.id.clone(),
            image: container.image.clone().unwrap_or_default(),
            pod: container.pod.as_ref().map(Pod::to_string).unwrap_or_default(),
            runtime: container.runtime.as_str().to_owned(),
        }
    }
}

/// Calls `visit` on all expressions of a handler, operands included.
fn visit_handler<'a>(handler: &'a Handler, visit: &mut dyn FnMut(&'a Expr)) {
    if let Some(condition) = &handler.condition {
        condition.visit(visit);
    }
    crate::ir::visit_expressions(&handler.body, visit);
}

/// Whether this engine can do a construct; what it cannot, in words.
fn can(construct: Construct) -> Result<(), &'static str> {
    match construct {
        Construct::Foreach => Err("the embedded engine goes over a map in `begin`, `end` and `every` only"),
        Construct::Table => {
            Err("the embedded engine prints whole maps and histograms in `begin`, `end` and `every` only")
        }
        Construct::Return => Ok(()),
        Construct::Semaphore
        | Construct::Loop
        | Construct::Delete
        | Construct::Aggregate
        | Construct::Stat
        | Construct::Event
        | Construct::Error
        | Construct::Call
        | Construct::Library(_)
        | Construct::Format
        | Construct::SetLocal
        | Construct::UserText
        | Construct::UserBytes
        | Construct::Whole
        | Construct::Float
        | Construct::Unicode => Ok(()),
        Construct::Context(context) => match context {
            // Where these may stand, `outside` says.
            Context::Stack(_)
            | Context::Caller
            | Context::Pid
            | Context::Tid
            | Context::NsPid
            | Context::NsTid
            | Context::Comm
            | Context::Container
            | Context::ContainerId
            | Context::Image
            | Context::Pod
            | Context::Runtime
            | Context::Exe
            | Context::Walltime
            | Context::Now
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

/// All handlers: whether each runs in the kernel, and itself.
fn handlers(program: &Program) -> impl Iterator<Item = (bool, &Handler)> {
    program.probes.iter().flat_map(|probe| match &probe.kind {
        ProbeKind::Begin(handler) | ProbeKind::End(handler) | ProbeKind::Every { handler, .. } => {
            vec![(false, handler)]
        }
        ProbeKind::Sites(variants) => variants.iter().map(|variant| (true, &variant.handler)).collect(),
    })
}

/// The values that returns keep from the entry on.
fn saved(program: &Program) -> impl Iterator<Item = &Expr> {
    variants(program).filter_map(|(_, variant, _)| variant.returns.as_ref()).flat_map(|returns| &returns.saved)
}

/// Compiles the handlers that run in the kernel.
///
/// # Errors
/// What this engine cannot do, each with its place.
pub fn compile(program: &Program, options: &Options, kernel: &KernelFacts) -> Result<Compiled, Vec<Diagnostic>> {
    compile_with(program, options, kernel, false)
}

/// The same for a program that runs beside one that was compiled before, over the first [`Compiled::shared`] of its maps:
/// its links count for groups of their own.
///
/// # Errors
/// As [`compile`].
pub fn compile_beside(program: &Program, options: &Options, kernel: &KernelFacts) -> Result<Compiled, Vec<Diagnostic>> {
    compile_with(program, options, kernel, true)
}

fn compile_with(
    program: &Program,
    options: &Options,
    kernel: &KernelFacts,
    beside: bool,
) -> Result<Compiled, Vec<Diagnostic>> {
    // Functions, and what returns keep, are looked at as handlers of their own: only those that run in the kernel matter.
    let functions: Vec<Handler> = reached(program)
        .into_iter()
        .map(|function| function.body.clone())
        .chain([saved(program).cloned().map(Stmt::Effect).collect()])
        .map(|body| Handler { body, ..Handler::default() })
        .collect();
    let in_kernel = handlers(program).filter(|(in_kernel, _)| *in_kernel).map(|(_, handler)| handler).chain(&functions);
    let refused =
        refuse(program, in_kernel, false, &can, "another engine may: `ctp build --emit stap` emits a SystemTap script");
    let refused: Vec<Diagnostic> = refused.into_iter().chain(outside::refused(program)).collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let split = sessions::split(program, options, kernel)?;
    let program = split.as_ref().unwrap_or(program);
    let rewritten = outside::rewritten(program);
    let program = rewritten.as_ref().unwrap_or(program);
    let text = TextLayout { strlen: options.strlen.clamp(8, 4096) };
    let mut maps = standard_maps(program, options);
    let globals = lay_out_globals(program, options, text, &mut maps)?;
    let shared = maps.len();
    let generations: Vec<MapId> =
        (0u32..).map(MapId).zip(&maps).filter(|(_, spec)| spec.generations).map(|(id, _)| id).collect();
    let (calls, first_calls) = (returns::maps(program, text), maps.len());
    maps.extend(calls.iter().cloned());
    let calls_of = |variant: &Variant| {
        let at = first_calls + returns::map_of(&calls, variant, text)?;
        u32::try_from(at).ok().map(MapId)
    };
    let sites = number_sites(program);
    let next = u32::try_from(maps.len()).unwrap_or(u32::MAX);
    let [scratch, constants, names, rates] = [0, 1, 2, 3].map(|further| MapId(next.saturating_add(further)));
    let rate = (options.max_rate > 0).then_some(Rate { map: rates, most: options.max_rate });
    let tasks = Tasks { lone: sites.len() == 1 && !beside, ..filter::tasks(program, options, kernel, beside)? };
    let container_room = program.containers.len() + if tasks.follow { NEWCOMERS } else { 0 };
    let (prints, print_numbers) = number_prints(program);
    let env = Env {
        program,
        kernel: *kernel,
        text,
        globals: &globals,
        sites: &sites,
        max_steps: options.max_steps.min(1_000_000_000),
        origin: options.origin,
        rate,
        prints: &prints,
        print_numbers: &print_numbers,
        generations: &generations,
        scratch,
        constants,
        names,
        container_room,
    };

    let mut rodata = Rodata::default();
    let mut programs = Vec::new();
    let mut errors = Vec::new();
    let mut scratch_size = 0;
    for (files, wanted) in program_sets(program) {
        let entries: Vec<Entry<'_>> = variants(program)
            .enumerate()
            .filter(|(index, _)| wanted.contains(index))
            .filter_map(|(number, (probe, variant, first_site))| {
                let span = program.probes.get(probe.0 as usize)?.span;
                let returns = variant.returns.as_ref().map(|_| (calls_of(variant), returns::beginnings(variant)));
                Some(Entry { number, probe, span, variant, first_site, returns })
            })
            .collect();
        let (by_session, plain): (Vec<_>, Vec<_>) = entries.into_iter().partition(Entry::is_session);
        for entries in [plain, by_session].into_iter().filter(|entries| !entries.is_empty()) {
            match program::write_all(&env, &mut rodata, &tasks, &files, &entries) {
                Ok((done, used)) => {
                    scratch_size = scratch_size.max(used);
                    programs.extend(done);
                }
                Err(refused) => errors.push(*refused),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    maps.push(MapSpec::new("ctp_scratch", MapKind::TaskStorage, 4, scratch_size, 0));
    let container_tables = rodata.container_tables();
    let grows = tasks.follow && !container_tables.is_empty();
    for (name, kind, bytes) in [
        ("ctp_constants", MapKind::Constant, rodata.bytes),
        ("ctp_names", if grows { MapKind::Table } else { MapKind::Constant }, rodata.names),
    ] {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        maps.push(MapSpec { initial: vec![bytes], ..MapSpec::new(name, kind, 4, size, 1) });
    }
    if rate.is_some() {
        maps.push(rate::map(program));
    }
    let watches_cgroups = tasks.host.then(|| {
        maps.push(tracepoint::numbers("ctp_cgroups"));
        MapId(u32::try_from(maps.len() - 1).unwrap_or(u32::MAX))
    });
    let follows = tasks.follow.then(|| follow::maps(&mut maps));
    let writes = programs.iter().flat_map(|program: &BpfProgram| &program.maps).any(|(_, map)| *map == map::RING);
    if let (false, Some(ring)) = (writes, maps.get_mut(map::RING.0 as usize)) {
        // The smallest there is: its memory counts as ctp's.
        ring.max_entries = 4096;
    }
    let silent = !writes && !exits(program);
    Ok(Compiled {
        maps,
        shared,
        rate: rate.map(|rate| rate.map),
        programs,
        sites,
        prints,
        globals,
        text,
        levels: tasks.levels,
        levels1: tasks.levels1,
        namespaces: tasks.namespaces,
        watches_cgroups,
        silent,
        follows,
        names,
        container_tables,
        container_room,
        containers: program.containers.iter().map(ContainerNames::of).collect(),
        points: program.probes.iter().map(|probe| probe.point.clone()).collect(),
        shown: Program { enums: program.enums.clone(), layouts: program.layouts.clone(), ..Program::default() },
    })
}

/// The functions that run in the kernel.
fn reached(program: &Program) -> Vec<&Function> {
    let mut reached: Vec<FunctionIndex> = Vec::new();
    for (_, handler) in handlers(program).filter(|(in_kernel, _)| *in_kernel) {
        reached.extend(reach::Reach::of(program, handler).functions);
    }
    for kept in saved(program) {
        reached.extend(reach::Reach::of_value(program, kept).functions);
    }
    reached.sort_unstable();
    reached.dedup();
    reached.into_iter().filter_map(|index| program.functions.get(index.0 as usize)).collect()
}

/// Whether a handler in the kernel may end the run.
fn exits(program: &Program) -> bool {
    let handlers = handlers(program).filter(|(in_kernel, _)| *in_kernel).map(|(_, handler)| &handler.body);
    let mut bodies = handlers.chain(reached(program).into_iter().map(|function| &function.body));
    bodies.any(|body| handler::exits(body))
}

/// The output statements that run in the kernel, and the number of each by its place in memory.
fn number_prints(program: &Program) -> (Vec<PrintLayout>, HashMap<*const Print, usize>) {
    let bodies = variants(program).map(|(_, variant, _)| &variant.handler.body);
    let bodies = bodies.chain(reached(program).into_iter().map(|function| &function.body));
    let (mut prints, mut numbers) = (Vec::new(), HashMap::new());
    for print in bodies.flat_map(|body| reach::prints(body)) {
        numbers.insert(std::ptr::from_ref(print), prints.len());
        prints.push(PrintLayout { print: Arc::new(print.clone()), fields: fields::fields(print) });
    }
    (prints, numbers)
}

/// All variants in order: probe, variant, id of its first site.
fn variants(program: &Program) -> impl Iterator<Item = (ProbeIndex, &Variant, SiteId)> {
    let mut site = 0u32;
    (0u32..)
        .map(ProbeIndex)
        .zip(&program.probes)
        .flat_map(|(index, probe)| {
            let variants: &[Variant] = match &probe.kind {
                ProbeKind::Sites(variants) => variants,
                ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => &[],
            };
            variants.iter().map(move |variant| (index, variant))
        })
        .map(move |(probe, variant)| {
            let first = SiteId(site);
            let sites = if variant.returns.is_some() { returns::count(variant) } else { variant.sites.len() };
            site = site.saturating_add(u32::try_from(sites).unwrap_or(u32::MAX));
            (probe, variant, first)
        })
}

fn number_sites(program: &Program) -> Vec<CompiledSite> {
    variants(program)
        .enumerate()
        .flat_map(|(variant_index, (probe, variant, _))| {
            if variant.returns.is_some() {
                return returns::compiled(probe, variant_index, variant);
            }
            let compiled = |site: &crate::ir::Site| CompiledSite {
                probe,
                variant: variant_index,
                file: site.file,
                address: site.address,
                file_offset: site.file_offset,
                containers: Arc::clone(&site.containers),
                function: Arc::clone(&site.function),
                inlined: matches!(site.kind, SiteKind::Inlined { .. }),
                semaphore: site.semaphore,
            };
            variant.sites.iter().map(compiled).collect()
        })
        .collect()
}

/// Files that need the same variants share a program: files, indices of the variants.
fn program_sets(program: &Program) -> Vec<(Vec<FileIndex>, Vec<usize>)> {
    let mut wanted: std::collections::BTreeMap<FileIndex, Vec<usize>> = std::collections::BTreeMap::new();
    for (index, (_, variant, _)) in variants(program).enumerate() {
        for site in &variant.sites {
            let list = wanted.entry(site.file).or_default();
            if list.last() != Some(&index) {
                list.push(index);
            }
        }
    }
    let mut sets: Vec<(Vec<FileIndex>, Vec<usize>)> = Vec::new();
    for (file, list) in wanted {
        match sets.iter_mut().find(|(_, known)| *known == list) {
            Some((files, _)) => files.push(file),
            None => sets.push((vec![file], list)),
        }
    }
    sets
}
