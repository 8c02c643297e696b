//! Owns compiling a checked program to eBPF: instructions, maps, and the form of the records they write. Loads nothing
//! and knows no system call; the runner does.
//!
//! One eBPF program serves all files with the same handlers. It runs at each hit, sleepable, and goes through
//! [`program`] (whose task? which handler?), [`handler`] (statements; [`expr`], [`text`], [`context`], [`globals`]) and
//! [`output`] (one record per run). What it leaves: a [`record`] in the ring, changed globals ([`store`]), and exactly
//! one counter ([`Category`]) raised by one.

mod asm;
pub mod cgroups;
mod context;
mod disassembly;
mod env;
mod expr;
mod filter;
mod frame;
mod globals;
mod handler;
pub mod identity;
mod insn;
pub mod map;
mod output;
mod program;
pub mod record;
mod returns;
pub mod store;
pub mod tasks;
mod text;

use std::sync::Arc;

use super::gate::{Construct, refuse};
use crate::diagnostic::Diagnostic;
use crate::ir::{
    Constant, ContainerIndex, Context, Expr, ExprKind, FileIndex, GlobalKind, Handler, ProbeIndex, ProbeKind, Program,
    Ty, Variant,
};
use crate::source::Span;
use crate::world::TargetKind;
use env::{Env, Rodata};
pub use insn::Insn;
use map::{FilterKey, FilterValue, GlobalLayout, KeyPart, MapId, MapKind, MapSpec, TextLayout};
use program::Entry;
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
}

impl Default for Options {
    fn default() -> Options {
        Options { strlen: 256, map_size: 4096, ring_size: 4 << 20 }
    }
}

/// What compiling needs to know of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// BTF id of `bpf_copy_from_user_str` (kernel 6.12); without it, text on a page that is not resident is a fault.
    pub copy_from_user_str: Option<u32>,
    /// Where the kernel holds the numbers of a task.
    pub pids: Option<PidOffsets>,
    /// Where it holds what a task descends from.
    pub lineage: Option<LineageOffsets>,
}

/// Byte offsets of members of `task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineageOffsets {
    /// `group_leader`
    pub leader: u32,
    /// `tgid`
    pub tgid: u32,
    /// `start_boottime`
    pub start: u32,
    /// `real_parent`
    pub parent: u32,
}

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidOffsets {
    /// `task_struct.thread_pid`
    pub task_pid: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `signal_struct.pids[PIDTYPE_TGID]`
    pub signal_tgid: u32,
    /// `pid.level`
    pub pid_level: u32,
    /// `pid.numbers`
    pub pid_numbers: u32,
}

/// Which [`KernelFacts`] a program makes use of: finding them costs time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`KernelFacts::copy_from_user_str`]
    pub copy_from_user_str: bool,
    /// [`KernelFacts::pids`]
    pub pids: bool,
    /// [`KernelFacts::lineage`]
    pub lineage: bool,
}

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
}

/// An eBPF program.
#[derive(Clone, Debug)]
pub struct BpfProgram {
    /// Files whose sites it serves.
    pub files: Vec<FileIndex>,
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

/// What became of a hit. Each counts in exactly one of the first seven.
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
    /// Values shown as `<fault>`: these are no hits.
    FaultsShown,
    /// Updates that a full map dropped: these are no hits.
    MapFull,
}

impl Category {
    /// In the order of their counters.
    pub const ALL: [Category; 9] = [
        Category::Records,
        Category::Aggregated,
        Category::Filtered,
        Category::ReadFaults,
        Category::StepLimit,
        Category::Unmatched,
        Category::Lost,
        Category::FaultsShown,
        Category::MapFull,
    ];
}

/// A compiled program: all that the runner needs to load it and to read what it leaves.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Maps to create; [`MapId`] is the index.
    pub maps: Vec<MapSpec>,
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
    /// Whether tasks of the host count: then new cgroups are to be watched ([`cgroups`]) with the map of their number.
    pub watches_cgroups: Option<MapId>,
    /// Name and id of each container.
    containers: Vec<(String, String)>,
}

impl Compiled {
    /// The site of an id.
    pub fn site(&self, id: SiteId) -> Option<&CompiledSite> {
        self.sites.get(id.0 as usize)
    }

    fn container_name(&self, index: ContainerIndex) -> Option<&str> {
        self.containers.get(index.0 as usize).map(|(name, _)| name.as_str())
    }

    fn container_id(&self, index: ContainerIndex) -> Option<&str> {
        self.containers.get(index.0 as usize).map(|(_, id)| id.as_str())
    }
}

/// Room for containers that come later, restarts included.
const SPARE_CONTAINERS: u32 = 256;

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
        Construct::Loop => Err("the embedded engine cannot run loops yet"),
        Construct::Foreach => Err("the embedded engine cannot go over a map yet"),
        Construct::Delete => Err("the embedded engine cannot delete from maps yet"),
        Construct::Aggregate | Construct::Stat => Err("the embedded engine cannot aggregate yet"),
        Construct::Event => Err("the embedded engine cannot emit structured events yet"),
        Construct::Error => Err("the embedded engine cannot run `error()` yet"),
        Construct::Table => Err("the embedded engine cannot print whole maps and histograms yet"),
        Construct::Call => Err("the embedded engine cannot call functions of the program yet"),
        Construct::Library(_) => Err("the embedded engine cannot call this function of the library yet"),
        Construct::Format => Err("the embedded engine cannot run `sprintf` yet"),
        Construct::SetLocal => Err("the embedded engine cannot use the value of an assignment to a local yet"),
        Construct::UserText | Construct::UserBytes => Err("the embedded engine cannot read text of a given length yet"),
        Construct::Whole => Err("the embedded engine cannot show whole values yet"),
        Construct::Float => Err("the embedded engine cannot show floating-point numbers yet"),
        Construct::Return => Ok(()),
        Construct::Semaphore => Err("the embedded engine cannot raise the semaphore of a mark yet"),
        Construct::Context(context) => match context {
            Context::Image
            | Context::Pod
            | Context::Runtime
            | Context::Exe
            | Context::Walltime
            | Context::Stack(_)
            | Context::Caller => Err("the embedded engine cannot give this value yet"),
            Context::Pid
            | Context::Tid
            | Context::NsPid
            | Context::NsTid
            | Context::Comm
            | Context::Container
            | Context::ContainerId
            | Context::Now
            | Context::Elapsed
            | Context::Uid
            | Context::Gid
            | Context::Cpu
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

/// What compiling a program needs to know of the kernel.
pub fn needs(program: &Program) -> Needs {
    let lineage = program.containers.iter().any(|container| container.kind == TargetKind::Process);
    let mut needs = Needs { lineage, ..Needs::default() };
    let mut look = |expr: &Expr| {
        needs.copy_from_user_str |= matches!(expr.kind, ExprKind::UserString(_));
        needs.pids |= matches!(expr.kind, ExprKind::Context(Context::NsPid | Context::NsTid));
    };
    for (_, handler) in handlers(program).filter(|(in_kernel, _)| *in_kernel) {
        visit_handler(handler, &mut |expr| look(expr));
    }
    saved(program).for_each(|saved| saved.visit(&mut |expr| look(expr)));
    needs
}

/// Compiles the handlers that run in the kernel.
///
/// # Errors
/// What this engine cannot do, each with its place.
pub fn compile(program: &Program, options: &Options, kernel: &KernelFacts) -> Result<Compiled, Vec<Diagnostic>> {
    let in_kernel = handlers(program).filter(|(in_kernel, _)| *in_kernel).map(|(_, handler)| handler);
    let refused =
        refuse(program, in_kernel, false, &can, "another engine may: `ctp build --emit stap` emits a SystemTap script");
    if !refused.is_empty() {
        return Err(refused);
    }
    let text = TextLayout { strlen: options.strlen.clamp(8, 4096) };
    let mut maps = standard_maps(program, options);
    let globals = lay_out_globals(program, options, text, &mut maps);
    let (calls, first_calls) = (returns::maps(program, text), maps.len());
    maps.extend(calls.iter().cloned());
    let calls_of = |variant: &Variant| {
        let at = first_calls + returns::map_of(&calls, variant, text)?;
        u32::try_from(at).ok().map(MapId)
    };
    let sites = number_sites(program);
    let next = u32::try_from(maps.len()).unwrap_or(u32::MAX);
    let (scratch, constants) = (MapId(next), MapId(next.saturating_add(1)));
    let tasks = filter::tasks(program, kernel)?;
    let env = Env { program, kernel: *kernel, text, globals: &globals, sites: &sites, scratch, constants };

    let mut prints: Vec<PrintLayout> = Vec::new();
    let mut first_prints = Vec::new();
    for (probe, variant, _) in variants(program) {
        first_prints.push(prints.len());
        let point = program.probes.get(probe.0 as usize).map_or("", |probe| &probe.point);
        prints.extend(
            output::prints(&variant.handler.body)
                .into_iter()
                .map(|print| PrintLayout { print: print.clone(), fields: output::fields(print, point) }),
        );
    }

    let mut rodata = Rodata::default();
    let mut programs = Vec::new();
    let mut errors = Vec::new();
    let mut scratch_size = 0;
    for (files, wanted) in program_sets(program) {
        let entries: Vec<Entry<'_>> = variants(program)
            .zip(&first_prints)
            .enumerate()
            .filter(|(index, _)| wanted.contains(index))
            .filter_map(|(index, ((probe, variant, first_site), first_print))| {
                let end = first_prints.get(index + 1).copied().unwrap_or(prints.len());
                Some(Entry {
                    probe,
                    span: program.probes.get(probe.0 as usize)?.span,
                    variant,
                    first_site,
                    prints: prints.get(*first_print..end)?,
                    first_print: *first_print,
                    returns: calls_of(variant).map(|calls| (index, calls, returns::beginnings(variant))),
                })
            })
            .collect();
        match program::write(&env, &mut rodata, &tasks, &entries) {
            Ok((done, used)) => {
                scratch_size = scratch_size.max(used);
                programs.push(BpfProgram { files, insns: done.insns, maps: done.maps, spans: done.spans });
            }
            Err(refused) => errors.push(*refused),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    maps.push(MapSpec {
        name: "ctp_scratch".to_owned(),
        kind: MapKind::TaskStorage,
        key_size: 4,
        value_size: scratch_size,
        max_entries: 0,
        initial: Vec::new(),
    });
    maps.push(MapSpec {
        name: "ctp_constants".to_owned(),
        kind: MapKind::Constant,
        key_size: 4,
        value_size: u32::try_from(rodata.bytes.len()).unwrap_or(u32::MAX),
        max_entries: 1,
        initial: vec![rodata.bytes],
    });
    let watches_cgroups = tasks.host.then(|| {
        maps.push(cgroups::map());
        MapId(u32::try_from(maps.len() - 1).unwrap_or(u32::MAX))
    });
    let containers = program.containers.iter().map(|one| (one.display_name().to_owned(), one.id.clone())).collect();
    let levels = tasks.levels;
    Ok(Compiled { maps, programs, sites, prints, globals, text, levels, watches_cgroups, containers })
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

fn standard_maps(program: &Program, options: &Options) -> Vec<MapSpec> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    let map = |name: &str, kind, key_size, value_size, max_entries| MapSpec {
        name: name.to_owned(),
        kind,
        key_size,
        value_size,
        max_entries,
        initial: Vec::new(),
    };
    let numbers = program.globals.iter().filter(|g| matches!(g.kind, GlobalKind::Scalar { ty: Ty::Int, .. })).count();
    // A container can belong to as many groups as there are sets of containers, hardly ever more than a few.
    let sets: std::collections::BTreeSet<&[ContainerIndex]> =
        program.sites().map(|(_, site)| &*site.containers).collect();
    let members: usize = sets.iter().map(|set| set.len()).sum();
    let mut filter = count(members).saturating_mul(2).saturating_add(SPARE_CONTAINERS);
    if program.containers.iter().any(|container| container.kind == TargetKind::Host) {
        filter = filter.saturating_add(cgroups::MOST);
    }
    let counters = count(Category::ALL.len()) * 8;
    vec![
        map("ctp_filter", MapKind::Hash, FilterKey::SIZE, FilterValue::SIZE, filter),
        map("ctp_ring", MapKind::Ring, 0, 0, options.ring_size.max(4096).next_power_of_two()),
        map("ctp_counters", MapKind::PerCpuArray, 4, counters, count(program.probes.len())),
        map("ctp_scalars", MapKind::SharedArray, 4, 8 + 8 * u32::try_from(numbers).unwrap_or(0), 1),
    ]
}

fn lay_out_globals(
    program: &Program,
    options: &Options,
    text: TextLayout,
    maps: &mut Vec<MapSpec>,
) -> Vec<GlobalLayout> {
    let mut number = 8u32;
    let mut numbers = vec![0u8; 8];
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let texts_map = MapId(u32::try_from(maps.len()).unwrap_or(u32::MAX));
    let any_text = program.globals.iter().any(|g| matches!(g.kind, GlobalKind::Scalar { ty: Ty::Str, .. }));
    let mut next = texts_map.0 + u32::from(any_text);
    let mut hashes = Vec::new();
    let mut layouts = Vec::new();
    for (index, global) in program.globals.iter().enumerate() {
        layouts.push(match &global.kind {
            GlobalKind::Scalar { ty: Ty::Int, initial } => {
                let offset = number;
                number += 8;
                let value = match initial {
                    Constant::Int(value) => *value,
                    Constant::Str(_) => 0,
                };
                numbers.extend_from_slice(&value.to_le_bytes());
                GlobalLayout::Number { offset }
            }
            GlobalKind::Scalar { ty: Ty::Str, initial } => {
                let bytes = match initial {
                    Constant::Str(bytes) => bytes.as_slice(),
                    Constant::Int(_) => &[],
                };
                texts.push(text.to_bytes(bytes, false));
                GlobalLayout::Text { map: texts_map, index: u32::try_from(texts.len() - 1).unwrap_or(u32::MAX) }
            }
            GlobalKind::Map { keys, value, size } => {
                let keys = key_parts(program, index, keys);
                hashes.push(MapSpec {
                    name: global.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(15).collect(),
                    kind: MapKind::Hash,
                    key_size: GlobalLayout::key_size(&keys, text),
                    value_size: match value {
                        Ty::Int => 8,
                        Ty::Str => text.slot(),
                    },
                    max_entries: size.unwrap_or(options.map_size).max(1),
                    initial: Vec::new(),
                });
                next += 1;
                GlobalLayout::Map { map: MapId(next - 1), keys, value: *value }
            }
            // Refused before anything is laid out.
            GlobalKind::Stats { .. } => GlobalLayout::Number { offset: 0 },
        });
    }
    if let Some(scalars) = maps.get_mut(map::SCALARS.0 as usize) {
        scalars.initial = vec![numbers];
    }
    if any_text {
        maps.push(MapSpec {
            name: "ctp_strings".to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: text.slot(),
            max_entries: u32::try_from(texts.len()).unwrap_or(u32::MAX),
            initial: texts,
        });
    }
    maps.append(&mut hashes);
    layouts
}

/// How the parts of a map's key lie in memory. A part that the kernel only ever fills with `container()`, and that
/// nothing else fills, is the container's index: 8 bytes instead of a string.
fn key_parts(program: &Program, global: usize, types: &[Ty]) -> Vec<KeyPart> {
    let mut used = vec![false; types.len()];
    let mut other = vec![false; types.len()];
    let mut look = |in_kernel: bool, expr: &Expr| {
        let (index, keys, writes) = if let ExprKind::MapGet(index, keys) | ExprKind::MapHas(index, keys) = &expr.kind {
            (index, keys, false)
        } else if let ExprKind::Update { global, keys, .. } = &expr.kind {
            (global, keys, true)
        } else {
            return;
        };
        if index.0 as usize != global || !(in_kernel || writes) {
            return;
        }
        for ((key, used), other) in keys.iter().zip(&mut used).zip(&mut other) {
            *used |= globals::is_container(key);
            *other |= !globals::is_container(key);
        }
    };
    for (in_kernel, handler) in handlers(program) {
        visit_handler(handler, &mut |expr| look(in_kernel, expr));
    }
    saved(program).for_each(|saved| saved.visit(&mut |expr| look(true, expr)));
    types
        .iter()
        .zip(used.into_iter().zip(other))
        .map(|(ty, (used, other))| match ty {
            Ty::Int => KeyPart::Int,
            Ty::Str if used && !other => KeyPart::Container,
            Ty::Str => KeyPart::Text,
        })
        .collect()
}
