//! Owns which maps a program has and where its globals live.

use std::collections::HashSet;

use super::map::{
    FilterKey, FilterValue, GlobalLayout, KeyPart, MapId, MapKind, MapSpec, Near, SCALARS, StatsLayout, TextLayout,
};
use super::{Category, Options, cgroups, follow, globals, handlers, reached, saved, visit_handler};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{
    self, Constant, ContainerIndex, Expr, ExprKind, GlobalIndex, GlobalKind, Handler, Piece, Program, Stmt, Ty,
};
use crate::world::TargetKind;

/// Room for containers that come later, restarts included.
const SPARE_CONTAINERS: u32 = 1024;
/// The most bytes of a value that each cpu has its own of (`PCPU_MIN_UNIT_SIZE` of the kernel).
const MOST_PER_CPU: u32 = 32 << 10;

/// The maps that every program has, in the order of their constants in [`super::map`].
pub(super) fn standard_maps(program: &Program, options: &Options) -> Vec<MapSpec> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    let map = MapSpec::new;
    let numbers = program.globals.iter().filter(|g| matches!(g.kind, GlobalKind::Scalar { ty: Ty::Int, .. })).count();
    // A container can belong to as many groups as there are sets of containers, hardly ever more than a few.
    let sets: std::collections::BTreeSet<&[ContainerIndex]> =
        program.sites().map(|(_, site)| &*site.containers).collect();
    let members: usize = sets.iter().map(|set| set.len()).sum();
    // Each once more for what it executes.
    let members = members.saturating_add(program.containers.len());
    let mut filter = count(members).saturating_mul(2).saturating_add(SPARE_CONTAINERS);
    if program.containers.iter().any(|container| container.kind == TargetKind::Host) {
        filter = filter.saturating_add(cgroups::MOST);
    }
    let counters = count(Category::ALL.len()) * 8;
    let undecided = if options.follow { follow::MOST_UNDECIDED } else { 1 };
    vec![
        map("ctp_filter", MapKind::Hash, FilterKey::SIZE, FilterValue::SIZE, filter),
        map("ctp_ring", MapKind::Ring, 0, 0, options.ring_size.max(4096).next_power_of_two()),
        map("ctp_counters", MapKind::PerCpuArray, 4, counters, count(program.probes.len())),
        map("ctp_scalars", MapKind::SharedArray, 4, 8 + 8 * u32::try_from(numbers).unwrap_or(0), 1),
        map("ctp_undecided", MapKind::Recent, 8, 8, undecided),
        MapSpec {
            initial: vec![vec![0xff; (Near::SIZE * Near::SLOTS) as usize]],
            ..map("ctp_near", MapKind::SharedArray, 4, Near::SIZE * Near::SLOTS, 1)
        },
        map("ctp_missed", MapKind::Recent, FilterKey::SIZE, 8, undecided),
    ]
}

/// Lays out the globals, and adds their maps.
pub(super) fn lay_out_globals(
    program: &Program,
    options: &Options,
    text: TextLayout,
    maps: &mut Vec<MapSpec>,
) -> Result<Vec<GlobalLayout>, Vec<Diagnostic>> {
    let (cleared, deleted) = (cleared(program), deleted(program));
    // What handlers do to them is not known of probes that match nothing yet.
    let later = options.levels != 0;
    let mut numbers = vec![0u8; 8];
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let texts_map = MapId(u32::try_from(maps.len()).unwrap_or(u32::MAX));
    let any_text = program.globals.iter().any(|g| matches!(g.kind, GlobalKind::Scalar { ty: Ty::Str, .. }));
    let first = texts_map.0 + u32::from(any_text);
    let mut own: Vec<MapSpec> = Vec::new();
    let mut layouts = Vec::new();
    let mut errors = Vec::new();
    for (index, global) in (0u32..).zip(&program.globals) {
        let name = || global.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(15).collect();
        let map = MapId(first.saturating_add(u32::try_from(own.len()).unwrap_or(u32::MAX)));
        let generations = cleared.contains(&GlobalIndex(index));
        layouts.push(match &global.kind {
            GlobalKind::Scalar { ty: Ty::Int, initial } => {
                let offset = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                let initial = match initial {
                    Constant::Int(value) => *value,
                    Constant::Str(_) => 0,
                };
                numbers.extend_from_slice(&initial.to_le_bytes());
                GlobalLayout::Number { offset, initial }
            }
            GlobalKind::Scalar { ty: Ty::Str, initial } => {
                let initial = match initial {
                    Constant::Str(bytes) => bytes.clone(),
                    Constant::Int(_) => Vec::new(),
                };
                texts.push(text.to_bytes(&initial, false));
                let index = u32::try_from(texts.len() - 1).unwrap_or(u32::MAX);
                GlobalLayout::Text { map: texts_map, index, initial }
            }
            GlobalKind::Map { keys, value, size } => {
                let keys = key_parts(program, GlobalIndex(index), keys, later);
                own.push(MapSpec {
                    name: name(),
                    kind: MapKind::Hash,
                    key_size: GlobalLayout::key_size(&keys, text),
                    value_size: match value {
                        Ty::Int => 8,
                        Ty::Str => text.slot(),
                    },
                    max_entries: size.unwrap_or(options.map_size).max(1),
                    initial: Vec::new(),
                    generations,
                });
                GlobalLayout::Map { map, keys, value: *value }
            }
            GlobalKind::Stats { keys, shape, size } => {
                let keys = key_parts(program, GlobalIndex(index), keys, later);
                let stats = StatsLayout { shape: shape.clone() };
                let (one, small) = (keys.is_empty(), stats.size() <= StatsLayout::BUCKETS);
                if stats.size() > MOST_PER_CPU {
                    errors.push(
                        Diagnostic::new(Code::E0303, global.span, "this aggregate keeps too many histograms")
                            .note(format!("it would take {} bytes; the kernel gives {MOST_PER_CPU}", stats.size()))
                            .help("ask for fewer linear histograms of it, or for fewer buckets"),
                    );
                }
                // Histograms by key are shared by the cpus: one for each cpu would take hundreds of megabytes of a
                // large machine. All changes are atomic anyway.
                let array = one && !later && !deleted.contains(&GlobalIndex(index));
                let kind = match (array, small) {
                    (true, _) => MapKind::PerCpuArray,
                    (false, true) => MapKind::PerCpuHash,
                    (false, false) => MapKind::Hash,
                };
                own.push(MapSpec {
                    name: name(),
                    kind,
                    key_size: if one { 4 } else { GlobalLayout::key_size(&keys, text) },
                    value_size: stats.size(),
                    max_entries: if one { 1 } else { size.unwrap_or(options.map_size).max(1) },
                    initial: Vec::new(),
                    generations,
                });
                GlobalLayout::Stats { map, keys, stats, per_cpu: kind != MapKind::Hash, sparse: !array }
            }
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if let Some(scalars) = maps.get_mut(SCALARS.0 as usize) {
        scalars.initial = vec![numbers];
    }
    if any_text {
        let count = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let strings = MapSpec::new("ctp_strings", MapKind::Array, 4, text.slot(), count);
        maps.push(MapSpec { initial: texts, ..strings });
    }
    maps.append(&mut own);
    Ok(layouts)
}

/// The single aggregates that handlers in the kernel delete. Each cpu has its part of such a one, and a handler can
/// empty no other cpu's while that counts; but it can take out the one element of a map.
fn deleted(program: &Program) -> HashSet<GlobalIndex> {
    let bodies = handlers(program).filter(|(in_kernel, _)| *in_kernel).map(|(_, handler)| &handler.body);
    let mut deleted = HashSet::new();
    for body in bodies.chain(reached(program).into_iter().map(|function| &function.body)) {
        ir::visit_statements(body, &mut |stmt| {
            if let Stmt::Delete { global, keys, .. } = stmt
                && keys.is_empty()
            {
                deleted.insert(*global);
            }
        });
    }
    deleted
}

/// The globals that handlers of the runner delete whole: these have generations.
fn cleared(program: &Program) -> HashSet<GlobalIndex> {
    let bodies = handlers(program).map(|(_, handler)| &handler.body);
    let mut cleared = HashSet::new();
    for body in bodies.chain(program.functions.iter().map(|function| &function.body)) {
        ir::visit_statements(body, &mut |stmt| {
            if let Stmt::Delete { global, keys, .. } = stmt
                && keys.is_empty()
            {
                cleared.insert(*global);
            }
        });
    }
    cleared
}

/// How the parts of a map's key lie in memory. A part that the kernel only ever fills with `container()`, and that
/// nothing else fills, is the container's index: 8 bytes instead of a string; `later` more may fill it.
fn key_parts(program: &Program, global: GlobalIndex, types: &[Ty], later: bool) -> Vec<KeyPart> {
    let mut used = vec![false; types.len()];
    let mut other = vec![false; types.len()];
    let functions: Vec<Handler> =
        program.functions.iter().map(|one| Handler { body: one.body.clone(), ..Handler::default() }).collect();
    let kept = Handler { body: saved(program).cloned().map(Stmt::Effect).collect(), ..Handler::default() };
    for (in_kernel, handler) in handlers(program).chain(functions.iter().chain([&kept]).map(|one| (true, one))) {
        let mut see = |index: GlobalIndex, keys: &[Expr], writes: bool| {
            if index != global || !(in_kernel || writes) {
                return;
            }
            for ((key, used), other) in keys.iter().zip(&mut used).zip(&mut other) {
                *used |= globals::is_container(key);
                *other |= !globals::is_container(key);
            }
        };
        ir::visit_statements(&handler.body, &mut |stmt| match stmt {
            Stmt::Delete { global, keys, .. } => see(*global, keys, false),
            Stmt::Aggregate { global, keys, .. } => see(*global, keys, true),
            Stmt::Print(print) => {
                for piece in &print.pieces {
                    if let Piece::Histogram { global, keys, .. } = piece {
                        see(*global, keys, false);
                    }
                }
            }
            Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::If { .. }
            | Stmt::While { .. }
            | Stmt::Foreach(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Next
            | Stmt::Exit => {}
        });
        visit_handler(handler, &mut |expr| {
            if let ExprKind::MapGet(global, keys)
            | ExprKind::MapHas(global, keys)
            | ExprKind::Stat { global, keys, .. } = &expr.kind
            {
                see(*global, keys, false);
            } else if let ExprKind::Update { global, keys, .. } = &expr.kind {
                see(*global, keys, true);
            }
        });
    }
    types
        .iter()
        .zip(used.into_iter().zip(other))
        .map(|(ty, (used, other))| match ty {
            Ty::Int => KeyPart::Int,
            Ty::Str if used && !other && !later => KeyPart::Container,
            Ty::Str => KeyPart::Text,
        })
        .collect()
}
