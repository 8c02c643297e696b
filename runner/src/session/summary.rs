//! Owns the last words of a run: how many hits, what became of them, and why there were none.

use std::time::Duration;

use ctp_lang::debuginfo::facts::SiteKind;
use ctp_lang::ir::{Probe, ProbeKind, Program};
use ctp_lang::source::Sources;

use crate::engine::Counters;

/// The lines of the summary, without `ctp: `.
pub(super) fn lines(
    program: &Program,
    sources: &Sources,
    counters: &[Counters],
    (written, unwritten): (u64, u64),
    elapsed: Duration,
) -> Vec<String> {
    let total = |count: fn(&Counters) -> u64| counters.iter().map(count).sum::<u64>();
    let hits = total(Counters::hits);
    let faults = total(|c| c.read_faults + c.faults_shown);
    let unwritten = if unwritten > 0 { format!(" ({unwritten} more not written)") } else { String::new() };
    let mut lines = vec![format!(
        "{}, {}{unwritten}, {} lost, {} in {:.1} s",
        counted(hits, "hit"),
        counted(written, "record"),
        total(|c| c.lost),
        counted(faults, "fault"),
        elapsed.as_secs_f64()
    )];
    for (probe, counters) in program.probes.iter().zip(counters) {
        lines.extend(troubles(counters).map(|troubles| format!("{}: {troubles}", named(program, sources, probe))));
    }
    let silent = program.probes.iter().zip(counters).filter(|(_, counters)| counters.hits() == 0);
    lines.extend(silent.filter_map(|(probe, _)| why_no_hits(probe)));
    lines
}

/// A probe's point as written, with its line where another probe has the same point.
fn named(program: &Program, sources: &Sources, probe: &Probe) -> String {
    let same = program.probes.iter().filter(|other| other.point == probe.point).count();
    match sources.get(probe.span.source) {
        Some(source) if same > 1 => {
            format!("{} ({}:{})", probe.point, source.name(), source.line_column(probe.span.start).line)
        }
        Some(_) | None => probe.point.clone(),
    }
}

/// What was not as it should be for one probe; `None` where nothing was.
fn troubles(counters: &Counters) -> Option<String> {
    let named = [
        (counters.lost, "lost (the reader fell behind; --ring-size makes more room)"),
        (counters.limited, "over --max-rate"),
        (counters.read_faults, "stopped by a value that could not be read or a division by zero"),
        (counters.faults_shown, "shown as <fault>"),
        (counters.step_limit, "stopped by the step limit"),
        (counters.unmatched, "of which one end was not seen"),
        (counters.map_full, "not stored in a full map (--map-size makes more room)"),
    ];
    let words: Vec<String> =
        named.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if words.is_empty() {
        return None;
    }
    let filtered = if counters.filtered > 0 { format!(", {} filtered", counters.filtered) } else { String::new() };
    Some(format!("{}: {}{filtered}", counted(counters.hits(), "hit"), words.join(", ")))
}

fn why_no_hits(probe: &Probe) -> Option<String> {
    let ProbeKind::Sites(variants) = &probe.kind else { return None };
    let sites = || variants.iter().flat_map(|variant| &variant.sites);
    sites().next()?;
    let inlined = sites().filter(|site| matches!(site.kind, SiteKind::Inlined { .. })).count();
    let own = sites().count() - inlined;
    let places = match (own, inlined) {
        (own, 0) => counted(own as u64, "place"),
        (0, inlined) => format!("{} (all inlined copies)", counted(inlined as u64, "place")),
        (own, inlined) => format!("{} and {}", counted(own as u64, "place"), counted(inlined as u64, "inlined copy")),
    };
    Some(format!("no hits of {}: it was not called while ctp watched {places}", probe.point))
}

/// `1 hit`, `2 hits`.
pub(super) fn counted(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) if what.ends_with('s') => format!("{count} {what}es"),
        (_, None) => format!("{count} {what}s"),
    }
}
