//! Owns one run by SystemTap's bpf runtime, which only counts: `begin` before it, `end` behind it, by the interpreter; what
//! was counted is known when it ends.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use ctp_lang::debuginfo::facts::Register;
use ctp_lang::emit::stap::Category;
use ctp_lang::emit::stap::bpf::Cell;
use ctp_lang::interpret::recorded::Recorded;
use ctp_lang::interpret::{self, Machine};
use ctp_lang::ir::{
    Context, EntryIndex, GlobalIndex, GlobalKind, Handler, PrintKind, Probe, ProbeKind, Program, UpdateOp,
};
use ctp_lang::stats::Stats;
use ctp_lang::value::{MapEntry, Value, sort_entries};
use nix::sys::signalfd::SignalFd;
use nix::time::ClockId;

use super::by_stap::Writing;
use super::machine::clock;
use super::returning::Returning;
use super::targets::any_means_others;
use super::{Next, Session, WATCH, signals};
use crate::engine::stap::Wish;
use crate::engine::stap::counting::Counting;
use crate::engine::{self, Counters};
use crate::error::Failure;
use crate::output::jsonl::Line;
use crate::output::{Origin, Output};
use crate::report;

impl Session<'_> {
    /// Runs the program by SystemTap's bpf runtime to its end and gives the exit code.
    ///
    /// # Errors
    /// [`Failure`] of the machine or the output file.
    pub fn run_by_stap_bpf(self, output: Output, wish: &Wish) -> Result<u8, Failure> {
        let signals = signals()?;
        let engine = match Counting::build(self.program, self.sources, self.world, wish, &signals) {
            Ok(engine) => engine,
            Err(error) => return Ok(self.not_started(error)),
        };
        let mut held = Recorded::new(self.program);
        held.max_steps = self.options.max_steps.into();
        held.string_limit = self.options.strlen as usize;
        held.map_size = self.options.map_size;
        let mut run = Counted { session: &self, writing: Writing::new(output), held, failed: false, stopped: 0 };
        let code = match run.trace(engine, &signals) {
            Ok(()) if run.failed => report::EXIT_DIAGNOSTICS,
            Ok(()) => 0,
            Err(failure) => self.engine_failed(&failure),
        };
        let error = run.writing.into_error();
        self.ended(code, error)
    }
}

/// A run at work.
struct Counted<'s> {
    session: &'s Session<'s>,
    writing: Writing,
    /// The globals, as `begin` and `end` have them.
    held: Recorded<'s>,
    /// Whether the program called `error()`.
    failed: bool,
    /// Runs of `begin` and `end` that a fault stopped.
    stopped: u64,
}

impl Counted<'_> {
    fn trace(&mut self, mut engine: Counting, signals: &SignalFd) -> Result<(), Box<engine::Failure>> {
        let program = self.session.program;
        let begins = |probe: &Probe| matches!(probe.kind, ProbeKind::Begin(_));
        let next = self.handlers(&begins);
        let mut attached = Instant::now();
        let mut values = vec![0; engine.script().cells.len()];
        if next == Next::On && program.sites().next().is_some() {
            if engine.load(signals)? {
                attached = Instant::now();
                self.writing.attached(self.session, "SystemTap's bpf runtime");
                self.writing.flush();
                self.wait(&mut engine, signals, attached)?;
            }
            values = engine.stop()?;
        }
        let elapsed = attached.elapsed();
        let mut counters = vec![Counters::default(); program.probes.len()];
        for (cell, value) in engine.script().cells.iter().zip(values) {
            self.take(*cell, value, &mut counters);
        }
        self.handlers(&|probe| matches!(probe.kind, ProbeKind::End(_)));
        self.unread_globals();
        self.writing.line(Line::Summary {
            probes: &program.probes,
            counters: &counters,
            written: 0,
            unwritten: 0,
            stopped: self.stopped,
            dropped: self.held.dropped,
            seconds: elapsed.as_secs_f64(),
        });
        self.writing.flush();
        self.session.say_counts(&counters, (0, 0), elapsed, (self.stopped, self.held.dropped));
        Ok(())
    }

    /// Waits until something ends the run.
    fn wait(&mut self, engine: &mut Counting, signals: &SignalFd, start: Instant) -> Result<(), Box<engine::Failure>> {
        let session = self.session;
        if session.options.follow && any_means_others(session.files) {
            self.writing.say("containers that match and start later are not traced by SystemTap's bpf runtime: run ctp again for them");
        }
        let end = session.options.duration.map(|duration| start + duration);
        // The script is for the cgroups that there are: what comes back has another.
        let mut containers = Returning::new(session, false, false);
        loop {
            let until = end.map_or(WATCH, |end| end.saturating_duration_since(Instant::now()).min(WATCH));
            if until == Duration::ZERO
                || !engine.wait(until, signals)?
                || matches!(signals.read_signal(), Ok(Some(_)))
                || self.writing.has_failed()
            {
                return Ok(());
            }
            let said = containers.look(&mut |_| Ok(()))?;
            said.words.iter().for_each(|word| self.writing.tell(session, word));
            self.writing.flush();
            if said.all_gone {
                return Ok(());
            }
        }
    }

    /// Takes in what a cell of the script holds at the end.
    fn take(&mut self, cell: Cell, value: i64, counters: &mut [Counters]) {
        match cell {
            Cell::Counter(probe, category) => {
                let Some(counters) = counters.get_mut(probe.0 as usize) else { return };
                let field = match category {
                    Category::Aggregated => &mut counters.aggregated,
                    Category::Filtered => &mut counters.filtered,
                    Category::ReadFaults => &mut counters.read_faults,
                    // No cell counts these.
                    Category::Records
                    | Category::StepLimit
                    | Category::Unmatched
                    | Category::FaultsShown
                    | Category::MapFull => return,
                };
                *field += value.cast_unsigned();
            }
            Cell::Scalar(global) => {
                self.held.update(global, &[], UpdateOp::Add, Value::Int(value));
            }
            Cell::Count(global) | Cell::Sum(global) => {
                let Some(GlobalKind::Stats { shape, .. }) =
                    self.session.program.globals.get(global.0 as usize).map(|global| &global.kind)
                else {
                    return;
                };
                let new = || Value::Stats(Box::new(Stats::new(shape)));
                let Value::Stats(stats) = self.held.globals.entry((global, Vec::new())).or_insert_with(new) else {
                    return;
                };
                match cell {
                    Cell::Count(_) => stats.count = stats.count.wrapping_add(value.cast_unsigned()),
                    Cell::Sum(_) => stats.sum = stats.sum.wrapping_add(value),
                    Cell::Counter(..) | Cell::Scalar(_) => {}
                }
            }
        }
    }

    /// Runs the handlers of some probes, until one calls `exit()`.
    fn handlers(&mut self, which: &dyn Fn(&Probe) -> bool) -> Next {
        let program = self.session.program;
        let mut next = Next::On;
        for probe in program.probes.iter().filter(|probe| which(probe)) {
            let (handler, at_end) = match &probe.kind {
                ProbeKind::Begin(handler) => (handler, false),
                ProbeKind::End(handler) => (handler, true),
                ProbeKind::Every { .. } | ProbeKind::Sites(_) => continue,
            };
            if next == Next::On || at_end {
                next = self.handler(probe, handler);
            }
        }
        self.writing.flush();
        next
    }

    fn handler(&mut self, probe: &Probe, handler: &Handler) -> Next {
        let program: &Program = self.session.program;
        let ran = interpret::run(program, handler, &mut Here { held: &mut self.held, point: &probe.point });
        let Ok(run) = ran else {
            self.stopped += 1;
            return Next::On;
        };
        let origin = Origin { time: clock(ClockId::CLOCK_REALTIME), probe: &probe.point, task: None };
        for (print, values) in run.prints {
            self.failed |= print.kind == PrintKind::Error;
            self.writing.show(print, values, origin, program);
        }
        if run.exit { Next::End } else { Next::On }
    }

    /// Prints the globals that are written and never read. (Aggregates among them were refused.)
    fn unread_globals(&mut self) {
        let program = self.session.program;
        for (index, global) in (0u32..).map(GlobalIndex).zip(&program.globals) {
            if !global.printed_at_end {
                continue;
            }
            let entries = match &global.kind {
                GlobalKind::Scalar { .. } => {
                    self.held.get(index, &[]).map(|value| (Vec::new(), value)).into_iter().collect()
                }
                GlobalKind::Map { .. } | GlobalKind::Stats { .. } => {
                    let mut entries = self.held.entries(index);
                    sort_entries(&mut entries);
                    entries
                }
            };
            self.writing.global(index, &entries, program);
        }
    }
}

/// What `begin` and `end` reach: globals that are held here, and the clock.
struct Here<'h, 's> {
    held: &'h mut Recorded<'s>,
    point: &'h str,
}

impl Machine for Here<'_, '_> {
    fn context(&mut self, what: Context) -> Option<Value> {
        match what {
            Context::Now => Some(Value::Int(clock(ClockId::CLOCK_MONOTONIC))),
            Context::Walltime => Some(Value::Int(clock(ClockId::CLOCK_REALTIME))),
            Context::ProbePoint => Some(Value::str(self.point)),
            // Nothing was recorded of a task.
            other => self.held.context(other),
        }
    }

    fn random(&mut self) -> u64 {
        RandomState::new().build_hasher().finish()
    }

    fn get(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Value> {
        self.held.get(global, keys)
    }

    fn update(&mut self, global: GlobalIndex, keys: &[Value], op: UpdateOp, operand: Value) -> (Value, Value) {
        self.held.update(global, keys, op, operand)
    }

    fn entries(&mut self, global: GlobalIndex) -> Vec<MapEntry> {
        self.held.entries(global)
    }

    fn delete(&mut self, global: GlobalIndex, keys: &[Value]) {
        self.held.delete(global, keys);
    }

    fn aggregate(&mut self, global: GlobalIndex, keys: &[Value], value: i64) {
        self.held.aggregate(global, keys, value);
    }

    fn stats(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Stats> {
        self.held.stats(global, keys)
    }

    fn entry(&mut self, index: EntryIndex) -> Option<Value> {
        self.held.entry(index)
    }

    fn returned(&mut self, register: Register) -> Option<i64> {
        self.held.returned(register)
    }

    fn max_steps(&self) -> u64 {
        self.held.max_steps()
    }

    fn register(&mut self, register: Register) -> Option<i64> {
        self.held.register(register)
    }

    fn module_address(&mut self, address: u64) -> Option<u64> {
        self.held.module_address(address)
    }

    fn read_memory(&mut self, address: u64, buf: &mut [u8]) -> bool {
        self.held.read_memory(address, buf)
    }

    fn string_limit(&self) -> usize {
        self.held.string_limit()
    }
}
