//! Owns noticing probes that are so hot that tracing them slows the traced program: hits a second, times what one costs,
//! both measured.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ctp_lang::ir::{Exit, ProbeKind, Program, Site};
use ctp_lang::world::Container;

use crate::engine::Counters;
use crate::engine::bpf::hot::{HOT, Traps};

/// The share of the traced program's time from which on it is said.
pub(super) const SHARE: f64 = 0.1;
/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What is known of each probe's hits.
pub(super) struct Rates {
    /// When it was looked at last, and how many hits each probe had then.
    last: (Instant, Vec<u64>),
    /// The processor's time that each container had taken by then, in µs, where its cgroup tells.
    used: Vec<Option<u64>>,
    said: Vec<bool>,
}

impl Rates {
    pub(super) fn new(now: Instant, program: &Program) -> Rates {
        let probes = program.probes.len();
        Rates { last: (now, vec![0; probes]), used: used(program), said: vec![false; probes] }
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last.0) >= EVERY
    }

    /// What is to be said of probes that have become hot. `measured` is asked for where one may have.
    pub(super) fn look(
        &mut self,
        now: Instant,
        program: &Program,
        counters: &[Counters],
        measured: &mut dyn FnMut() -> Option<Traps>,
    ) -> Vec<String> {
        let hits: Vec<u64> = counters.iter().map(Counters::hits).collect();
        let seconds = now.saturating_duration_since(self.last.0).as_secs_f64();
        let rates: Vec<f64> =
            hits.iter().zip(&self.last.1).map(|(hits, before)| hits.saturating_sub(*before) as f64 / seconds).collect();
        self.last = (now, hits);
        let before = std::mem::replace(&mut self.used, used(program));
        let new = rates.iter().zip(&self.said).any(|(rate, said)| *rate >= HOT && !said);
        let Some(traps) = new.then(measured).flatten() else { return Vec::new() };
        let mut lines = Vec::new();
        for ((probe, rate), said) in program.probes.iter().zip(rates).zip(&mut self.said) {
            let ProbeKind::Sites(variants) = &probe.kind else { continue };
            let sites = || variants.iter().flat_map(|variant| &variant.sites);
            let cost = sites().map(|site| of_site(site, &traps)).fold(f64::INFINITY, f64::min);
            let containers: BTreeSet<u32> =
                sites().flat_map(|site| site.containers.iter().map(|index| index.0)).collect();
            let taken = |index: &u32| {
                let at = usize::try_from(*index).ok()?;
                Some((*self.used.get(at)?)?.saturating_sub((*before.get(at)?)?) as f64 / 1e6)
            };
            // Where nobody tells what they took: at least a processor's whole time, so that nothing is said too early.
            let taken = containers.iter().map(taken).sum::<Option<f64>>().unwrap_or(seconds);
            let share = rate * seconds * cost / 1e9 / taken.max(1e-3);
            if share >= SHARE && !*said {
                *said = true;
                lines.push(format!(
                    "{}: {rate:.0} hits a second, {cost:.0} ns each (measured, without the handler): tracing takes {:.0} % of the time that \
                     what it traces takes of the processors",
                    probe.point,
                    (share * 100.0).min(100.0)
                ));
            }
        }
        lines
    }
}

/// The processor's time that each container has taken so far, in µs: each cgroup of the second version counts it.
fn used(program: &Program) -> Vec<Option<u64>> {
    let of = |container: &Container| {
        let folder = &container.cgroup.as_ref()?.folder;
        let text = std::fs::read_to_string(format!("{folder}/cpu.stat")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
    };
    program.containers.iter().map(of).collect()
}

/// What a hit at a site takes at least, in ns; at returns, the entry's too.
fn of_site(site: &Site, traps: &Traps) -> f64 {
    let entry = traps.of(site.price);
    match &site.exits {
        None => entry,
        Some(exits) => {
            let of = |exit: &Exit| traps.of(exit.price);
            entry + exits.places.iter().map(of).fold(f64::INFINITY, f64::min)
        }
    }
}
