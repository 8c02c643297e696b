//! Owns one run of an engine that runs the whole program by itself, `begin`, `every` and `end` too: records printed,
//! containers watched, the summary.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::emit::stap::Category;
use ctp_lang::emit::stap::frames::{Record, Said};
use ctp_lang::ir::{GlobalIndex, Print, PrintKind, Probe, ProbeIndex, ProbeKind};
use ctp_lang::value::{MapEntry, sort_entries, write_print};
use nix::sys::signalfd::SignalFd;
use nix::time::ClockId;

use super::returning::Returning;
use super::targets::{Word, any_means_others};
use super::{Session, WATCH, machine, signals, summary};
use crate::engine::stap::{self, StapEngine, StartError, Wish};
use crate::engine::{self, Counters};
use crate::error::Failure;
use crate::output::jsonl::Line;
use crate::output::{Origin, Output, Task};
use crate::report;

/// How long a module may take to say that its probes are in place.
const READY: Duration = Duration::from_secs(60);
/// The exit code of a run that was interrupted before it traced.
const EXIT_INTERRUPTED: u8 = 130;

impl Session<'_> {
    /// Runs the program by SystemTap to its end and gives the exit code.
    ///
    /// # Errors
    /// [`Failure`] of the machine or the output file.
    pub fn run_by_stap(self, output: Output, wish: &Wish) -> Result<u8, Failure> {
        let signals = signals()?;
        let engine = match StapEngine::build(self.program, self.sources, self.world, wish, &signals) {
            Ok(engine) => engine,
            Err(StartError::Program(diagnostics)) => {
                report::diagnostics(self.sources, &diagnostics, self.options.color);
                return Ok(report::exit_code(&diagnostics));
            }
            Err(StartError::Machine(failure)) => return Ok(self.engine_failed(&failure)),
            Err(StartError::Interrupted) => return Ok(EXIT_INTERRUPTED),
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
            output,
            prints: engine.prints().to_vec(),
            seen: Seen::new(self.program.probes.len()),
            early: Vec::new(),
            failed: false,
            write_error: None,
            unwritten: 0,
            boot: machine::clock(ClockId::CLOCK_REALTIME).wrapping_sub(machine::clock(ClockId::CLOCK_MONOTONIC)),
        };
        let code = match run.trace(engine, &signals) {
            Ok(()) if run.failed => report::EXIT_DIAGNOSTICS,
            Ok(()) => 0,
            Err(failure) => self.engine_failed(&failure),
        };
        match run.write_error {
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                if run.unwritten > 0 {
                    report::notice(&format!("{} not written", summary::counted(run.unwritten, "record")));
                }
                let path = self.options.out.clone().unwrap_or_else(|| "standard output".to_owned());
                Err(Failure::File { action: "write", path, source: error })
            }
            Some(_) | None => Ok(code),
        }
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
    output: Output,
    /// The output statements, by the numbers in records.
    prints: Vec<Print>,
    seen: Seen,
    /// Records that came before all probes were in place.
    early: Vec<Record>,
    /// Whether the program called `error()`.
    failed: bool,
    write_error: Option<std::io::Error>,
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
            self.flush();
            self.events(&mut engine, signals, attached)?;
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
        if session.options.follow && any_means_others(session.files) {
            self.say("containers that match and start later are not traced by SystemTap: run ctp again for them");
        }
        let mut containers = Returning::new(session.program, session.world, session.options.follow);
        let mut look = start + WATCH;
        loop {
            let now = Instant::now();
            let until = end.map_or(look, |end| end.min(look));
            let there = self.read(engine, until.saturating_duration_since(now), Some(signals))?;
            self.flush();
            let interrupted = matches!(signals.read_signal(), Ok(Some(_)));
            if !there || interrupted || self.seen.exit || self.write_error.is_some() || self.enough() {
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
            let said = containers.look(&mut |container, id, level| engine.let_in(container, id, level))?;
            said.words.iter().for_each(|word| self.tell(word));
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
                self.say_attached();
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
        if self.write_error.is_some() {
            self.unwritten += 1;
            return;
        }
        let task = record.container.map(|container| Task {
            container: program.container(container).map_or("", |container| container.display_name()),
            pid: record.pid,
            tid: record.tid,
            nspid: record.nspid,
            cpu: Some(record.cpu),
        });
        let time = self.boot.wrapping_add(record.time.cast_signed());
        let origin = Origin { time, probe: &probe.point, task };
        for (number, values) in prints {
            let Some(print) = self.prints.get(number).cloned() else { continue };
            let done = match print.kind {
                // No script makes one.
                PrintKind::Keep(_) => Ok(()),
                PrintKind::Text | PrintKind::Event(_) => self.output.print(&print, values, program, origin),
                PrintKind::Error => {
                    let mut text = Vec::new();
                    write_print(&mut text, &print, &values, program);
                    self.failed = true;
                    report::error(&text);
                    self.output.line(Line::Error { text: &text, origin })
                }
            };
            self.note_write(done);
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
            let done = self.output.global(index, &entries, program);
            self.note_write(done);
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
            let done = self.output.line(Line::Lost { probe: &probe.point, count: counters.lost });
            self.note_write(done);
        }
        let done = self.output.line(Line::Summary {
            probes: &program.probes,
            counters: &counters,
            written: self.seen.written,
            unwritten: self.unwritten,
            stopped,
            dropped,
            seconds: elapsed.as_secs_f64(),
        });
        self.note_write(done);
        self.flush();
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

    fn say_attached(&mut self) {
        let session = self.session;
        let points = session.program.sites().count() as u64;
        for point in &session.program.unmatched {
            self.say(&format!("{point} matches nothing here"));
        }
        let containers: Vec<_> = session
            .program
            .containers
            .iter()
            .map(|container| (container.display_name().to_owned(), container.id.clone()))
            .collect();
        let milliseconds = session.options.started.elapsed().as_millis();
        let done = self.output.line(Line::Attached { points, containers: &containers, milliseconds });
        self.note_write(done);
        if session.options.quiet || points == 0 {
            return;
        }
        report::notice(&format!(
            "attached {} in {} in {milliseconds} ms by SystemTap",
            summary::counted(points, "point"),
            super::targets::described(session.program),
        ));
    }

    fn enough(&self) -> bool {
        self.session.options.events.is_some_and(|most| self.seen.written >= most)
    }

    /// Tells of a container on standard error, and as a JSON line.
    fn tell(&mut self, word: &Word) {
        report::notice(&word.text);
        let done = self.output.line(self.session.line(word));
        self.note_write(done);
    }

    fn say(&mut self, text: &str) {
        report::notice(text);
        let done = self.output.line(Line::Notice(text));
        self.note_write(done);
    }

    fn flush(&mut self) {
        if self.write_error.is_none() {
            let done = self.output.flush();
            self.note_write(done);
        }
    }

    fn note_write(&mut self, done: std::io::Result<()>) {
        if let Err(error) = done {
            self.write_error.get_or_insert(error);
        }
    }
}
