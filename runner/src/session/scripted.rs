//! Owns one run of an engine that runs the whole program by itself, `begin`, `every` and `end` too: records printed,
//! containers watched, the summary.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::emit::stap::Category;
use ctp_lang::emit::stap::frames::{Record, Said};
use ctp_lang::ir::{GlobalIndex, Print, PrintKind, Probe, ProbeIndex, ProbeKind};
use ctp_lang::value::{MapEntry, sort_entries};
use nix::sys::signalfd::SignalFd;
use nix::time::ClockId;

use super::by_stap::Writing;
use super::returning::{Counts, Returning};
use super::targets::any_means_others;
use super::{Session, WATCH, machine, signals, summary};
use crate::engine::stap::{self, StapEngine, Wish};
use crate::engine::{self, Counters};
use crate::error::Failure;
use crate::output::jsonl::Line;
use crate::output::{Origin, Output, Task};
use crate::report;

/// How long a module may take to say that its probes are in place.
const READY: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// Runs the program by SystemTap to its end and gives the exit code.
    ///
    /// # Errors
    /// [`Failure`] of the machine or the output file.
    pub fn run_by_stap(self, output: Output, wish: &Wish) -> Result<u8, Failure> {
        let signals = signals()?;
        let newcomers = self.options.follow && any_means_others(self.files);
        let engine = match StapEngine::build(self.program, self.sources, self.world, wish, newcomers, &signals) {
            Ok(engine) => engine,
            Err(error) => return Ok(self.not_started(error)),
        };
        for module in engine.stays() {
            report::notice(&format!(
                "the module {module} of a run that was killed is still loaded: staprun -d {module}"
            ));
        }
        if wish.keep.is_some() {
            report::notice(&format!("kept {name}.ko and {name}.stp", name = engine.name()));
        }
        let mut run = Scripted {
            session: &self,
            containers: Returning::new(&self, self.options.follow, newcomers),
            writing: Writing::new(output),
            prints: engine.prints().to_vec(),
            seen: Seen::new(self.program.probes.len()),
            early: Vec::new(),
            failed: false,
            unwritten: 0,
            boot: machine::clock(ClockId::CLOCK_REALTIME).wrapping_sub(machine::clock(ClockId::CLOCK_MONOTONIC)),
        };
        let code = match run.trace(engine, &signals) {
            Ok(()) if run.failed => report::EXIT_DIAGNOSTICS,
            Ok(()) => 0,
            Err(failure) => self.engine_failed(&failure),
        };
        let (unwritten, error) = (run.unwritten, run.writing.into_error());
        if error.as_ref().is_some_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) && unwritten > 0 {
            report::notice(&format!("{} not written", summary::counted(unwritten, "record")));
        }
        self.ended(code, error)
    }
}

/// What the module has said.
#[derive(Debug, Default)]
struct Seen {
    ready: bool,
    /// Whether the program called `exit()`.
    exit: bool,
    /// Whether the last frame of all came.
    end: bool,
    /// Events printed.
    written: u64,
    /// Per probe: records that came, those of them without output, those that were not whole.
    records: Vec<(u64, u64, u64)>,
    counters: Vec<(ProbeIndex, Category, u64)>,
    globals: Vec<(GlobalIndex, MapEntry)>,
}

impl Seen {
    fn new(probes: usize) -> Seen {
        Seen { records: vec![(0, 0, 0); probes], ..Seen::default() }
    }
}

/// A run at work.
struct Scripted<'s> {
    session: &'s Session<'s>,
    containers: Returning<'s>,
    writing: Writing,
    /// The output statements, by the numbers in records.
    prints: Vec<Print>,
    seen: Seen,
    /// Records that came before all probes were in place.
    early: Vec<Record>,
    /// Whether the program called `error()`.
    failed: bool,
    /// Events that could not be printed because writing failed.
    unwritten: u64,
    /// ns from 1970 to the beginning of the monotonic clock.
    boot: i64,
}

impl Scripted<'_> {
    fn trace(&mut self, mut engine: StapEngine<'_>, signals: &SignalFd) -> Result<(), Box<engine::Failure>> {
        engine.load()?;
        let loaded = Instant::now();
        let mut there = true;
        let mut interrupted = false;
        while there && !interrupted && !self.seen.ready && !self.seen.exit {
            there = self.read(&mut engine, Duration::from_millis(100), Some(signals))?;
            interrupted = matches!(signals.read_signal(), Ok(Some(_)));
            if loaded.elapsed() > READY {
                break;
            }
        }
        let attached = Instant::now();
        let ready = self.seen.ready;
        if ready {
            self.writing.flush();
            // A signal that came with the last word of all being in place was taken already.
            if !interrupted {
                self.events(&mut engine, signals, attached)?;
            }
        }
        let elapsed = attached.elapsed();
        let ended = {
            let mut late = Vec::new();
            let ended = engine.stop(&mut |said| late.push(said))?;
            late.into_iter().for_each(|said| self.heard(said));
            ended
        };
        std::mem::take(&mut self.early).into_iter().for_each(|record| self.record(record));
        let begins_only = self.seen.exit || self.seen.end && self.seen.ready;
        if !ready && !begins_only && !interrupted {
            let mut failure = engine::Failure::new(Code::E0407, "SystemTap's module did not start")
                .help("use ctp's own engine: --engine bpf; `ctp doctor` tells what is missing for SystemTap");
            failure.notes.extend((!ended.lines.is_empty()).then(|| ended.lines.join("\n")));
            return Err(Box::new(failure));
        }
        self.end(&ended, elapsed);
        if ended.failed && !self.seen.end {
            let failure = engine::Failure::new(Code::E0407, "SystemTap's module failed while it ran");
            return Err(Box::new(failure.note("what it had not said yet is lost, the summary's counts with it")));
        }
        Ok(())
    }

    /// Prints records until something ends the run.
    fn events(
        &mut self,
        engine: &mut StapEngine<'_>,
        signals: &SignalFd,
        start: Instant,
    ) -> Result<(), Box<engine::Failure>> {
        let session = self.session;
        let end = session.options.duration.map(|duration| start + duration);
        let has_sites = session.program.sites().next().is_some();
        let fires = |probe: &Probe| match &probe.kind {
            ProbeKind::Every { .. } => true,
            ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Sites(_) => false,
        };
        let has_timers = session.program.probes.iter().any(fires);
        if !has_sites && !has_timers {
            return Ok(());
        }
        let mut look = start + WATCH;
        loop {
            let now = Instant::now();
            let until = end.map_or(look, |end| end.min(look));
            let there = self.read(engine, until.saturating_duration_since(now), Some(signals))?;
            self.writing.flush();
            let interrupted = matches!(signals.read_signal(), Ok(Some(_)));
            if !there || interrupted || self.seen.exit || self.writing.has_failed() || self.enough() {
                return Ok(());
            }
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                return Ok(());
            }
            if look > now {
                continue;
            }
            look = now + WATCH;
            let said = self.containers.look(&mut |counts| match counts {
                Counts::Back(index, id, level) => engine.let_in(index, id, level),
                Counts::Late(index, like, container) => engine.let_in_late(index.0 + 1, like, container),
                Counts::Out(cgroup) => engine.let_out(cgroup),
            })?;
            said.words.iter().for_each(|word| self.writing.tell(session, word));
            if has_sites && said.all_gone && !has_timers {
                return Ok(());
            }
        }
    }

    fn read(
        &mut self,
        engine: &mut StapEngine<'_>,
        timeout: Duration,
        wake: Option<&SignalFd>,
    ) -> Result<bool, Box<engine::Failure>> {
        let mut all = Vec::new();
        let there = engine.poll(timeout, wake.map(|wake| wake.as_fd()), &mut |said| all.push(said))?;
        all.into_iter().for_each(|said| self.heard(said));
        Ok(there)
    }

    fn heard(&mut self, said: Said) {
        match said {
            Said::Ready => {
                self.seen.ready = true;
                self.writing.attached(self.session, "SystemTap");
                std::mem::take(&mut self.early).into_iter().for_each(|record| self.record(record));
            }
            Said::Exit => self.seen.exit = true,
            Said::End => self.seen.end = true,
            Said::Counter(probe, category, count) => self.seen.counters.push((probe, category, count)),
            Said::Global(global, entry) => self.seen.globals.push((global, entry)),
            // Probes are in place one by one; what some of them see before the last is there comes behind the line that
            // says so.
            Said::Record(record) if record.container.is_some() && !self.seen.ready => self.early.push(record),
            Said::Record(record) => self.record(record),
        }
    }

    fn record(&mut self, record: Record) {
        let program = self.session.program;
        let Some(probe) = program.probes.get(record.probe.0 as usize) else { return };
        let Some(counts) = self.seen.records.get_mut(record.probe.0 as usize) else { return };
        counts.0 += 1;
        let Some(prints) = record.prints else {
            counts.2 += 1;
            return;
        };
        if prints.is_empty() {
            counts.1 += 1;
            return;
        }
        // What other handlers print behind `exit()` is not shown, but for those of `end`.
        let (at_site, at_end) = match &probe.kind {
            ProbeKind::Sites(_) => (true, false),
            ProbeKind::End(_) => (false, true),
            ProbeKind::Begin(_) | ProbeKind::Every { .. } => (false, false),
        };
        if (self.seen.exit && !at_end) || (at_site && self.enough()) {
            return;
        }
        if self.writing.has_failed() {
            self.unwritten += 1;
            return;
        }
        let name =
            record.container.and_then(|container| self.containers.name(container)).unwrap_or_default().to_owned();
        let task = record.container.map(|_| Task {
            container: &name,
            pid: record.pid,
            tid: record.tid,
            nspid: record.nspid,
            cpu: Some(record.cpu),
        });
        let time = self.boot.wrapping_add(record.time.cast_signed());
        let origin = Origin { time, probe: &probe.point, task };
        for (number, values) in prints {
            let Some(print) = self.prints.get(number).cloned() else { continue };
            self.failed |= print.kind == PrintKind::Error;
            self.writing.show(&print, values, origin, program);
        }
        if at_site {
            self.seen.written += 1;
        }
    }

    /// The end of a run: globals that nothing reads, counts, what staprun had to say.
    fn end(&mut self, ended: &stap::Ended, elapsed: Duration) {
        let program = self.session.program;
        for (index, global) in (0u32..).map(GlobalIndex).zip(&program.globals) {
            if !global.printed_at_end {
                continue;
            }
            let all = self.seen.globals.iter().filter(|(of, _)| *of == index);
            let mut entries: Vec<MapEntry> = all.map(|(_, entry)| entry.clone()).collect();
            sort_entries(&mut entries);
            self.writing.global(index, &entries, program);
        }
        let mut counters = stap::counters(program, &self.seen.counters);
        let (mut stopped, mut dropped) = (0, 0);
        for ((counters, probe), (came, silent, torn)) in
            counters.iter_mut().zip(&program.probes).zip(&self.seen.records)
        {
            match &probe.kind {
                ProbeKind::Sites(_) => {
                    counters.lost = counters.records.saturating_sub(*came) + torn;
                    counters.records = came.saturating_sub(silent + torn);
                    counters.aggregated += silent;
                }
                ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => {
                    stopped += counters.read_faults + counters.step_limit;
                    dropped += counters.map_full;
                    *counters = Counters::default();
                }
            }
        }
        for (probe, counters) in program.probes.iter().zip(&counters).filter(|(_, counters)| counters.lost > 0) {
            self.writing.line(Line::Lost { probe: &probe.point, count: counters.lost });
        }
        self.writing.line(Line::Summary {
            probes: &program.probes,
            counters: &counters,
            written: self.seen.written,
            unwritten: self.unwritten,
            stopped,
            dropped,
            seconds: elapsed.as_secs_f64(),
        });
        self.writing.flush();
        if self.seen.ready || self.seen.end {
            let records = (self.seen.written, self.unwritten);
            self.session.say_counts(&counters, records, elapsed, (stopped, dropped));
        }
        let skipped: u64 = ended.lines.iter().filter_map(|line| stap::skipped(line)).sum();
        if skipped > 0 {
            let hits = summary::counted(skipped, "hit");
            report::notice(&format!(
                "SystemTap skipped {hits}: handlers were busy or too many at once; not in the counts above"
            ));
        }
        if ended.unread > 0 {
            report::notice("the kernel dropped part of what the module said");
        }
        if ended.failed || self.session.options.verbose {
            ended.lines.iter().for_each(|line| report::notice(&format!("staprun: {line}")));
        }
    }

    fn enough(&self) -> bool {
        self.session.options.events.is_some_and(|most| self.seen.written >= most)
    }
}
