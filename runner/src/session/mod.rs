//! Owns one run: handlers of `begin`, `every` and `end`, events printed, containers watched, the summary. Knows no
//! engine's insides.

mod builds;
mod by_stap;
mod coming;
mod counted;
mod execs;
mod files;
mod libraries;
mod machine;
mod processes;
mod rates;
mod returning;
mod saying;
mod scripted;
mod summary;
mod targets;
mod timers;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf;
use ctp_lang::interpret::{self, Stop};
use ctp_lang::ir::{
    ExprKind, GlobalIndex, Handler, Probe, ProbeKind, Program, Stmt, visit_expressions, visit_statements,
};
use ctp_lang::source::Sources;
use ctp_lang::syntax::ast;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::time::ClockId;

use crate::container;
use crate::engine::bpf::{BpfEngine, StartError, Uprobes};
use crate::engine::{self, Counters, Engine, Event};
use crate::error::Failure;
use crate::output::escape::escape;
use crate::output::jsonl::Line;
use crate::output::{Origin, Output, Task};
use crate::privileges;
use crate::report::{self, Color};
use crate::rootfs::layer::layers;
use crate::stacks::Stacks;
use crate::world::live::LiveWorld;
use files::Files;
use machine::OverEngine;
use processes::{LOOK, Processes};
use targets::{Kind, Targets, Word};
use timers::Timers;

/// How often the containers are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// The longest the engine waits for events before the session looks around.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a run was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// When ctp was started.
    pub started: Instant,
    /// When to end.
    pub duration: Option<Duration>,
    /// After how many events to end.
    pub events: Option<u64>,
    /// Levels of nested values that are shown of a value printed whole.
    pub depth: u32,
    /// Whether to wait for containers that stopped.
    pub follow: bool,
    /// The string limit.
    pub strlen: u32,
    /// Entries of maps whose size is not declared.
    pub map_size: u32,
    /// Bytes of the ring buffer.
    pub ring_size: u32,
    /// How many rounds the loops of a handler's run may go together.
    pub max_steps: u32,
    /// The most hits a second that a probe's handler runs for; 0 is no limit.
    pub max_rate: u32,
    /// How the ends of calls are seen.
    pub returns: ctp_lang::emit::bpf::ReturnsBy,
    /// How probes are attached.
    pub uprobes: Uprobes,
    /// Whether to attach to the containers' processes one by one, which spares all others.
    pub by_process: bool,
    /// Whether to say only what went wrong.
    pub quiet: bool,
    /// Whether to say more.
    pub verbose: bool,
    /// When to use colours.
    pub color: Color,
    /// The file that output goes to, for messages; standard output where there is none.
    pub out: Option<String>,
}

/// A checked program about to run.
pub struct Session<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its texts.
    pub sources: &'a Sources,
    /// Its trees: what its points mean may come later.
    pub files: &'a [ast::File],
    /// The machine it was checked against; it holds the descriptors that are probed.
    pub world: &'a LiveWorld,
    /// What was asked for.
    pub options: Options,
}

/// Why a run goes on or ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    On,
    End,
}

impl Session<'_> {
    /// What JSON lines say of a container.
    fn line<'w>(&self, word: &'w Word) -> Line<'w> {
        let Word { kind, name, id, text } = word;
        match kind {
            &Kind::Attached { again, missed, late } => {
                let points = self.program.sites().count() as u64;
                let milliseconds = self.options.started.elapsed().as_millis();
                Line::Came { name, id, again, missed, late, points, milliseconds, text }
            }
            &Kind::Gone { waits } => Line::Gone { name, id, waits, text },
            Kind::NotTraced => Line::Notice(text),
            Kind::Executed { path, traced, late } => {
                Line::Executed { name, id, path, traced: *traced, late: *late, text }
            }
        }
    }

    /// Runs the program to its end and gives the exit code.
    ///
    /// # Errors
    /// [`Failure`] of the machine, the kernel or the output file.
    pub fn run(self, output: Output) -> Result<u8, Failure> {
        let signals = signals()?;
        let targets = Targets::new(&self);
        let options = bpf::Options {
            levels: targets.depths(self.world),
            strlen: self.options.strlen,
            map_size: self.options.map_size,
            ring_size: self.options.ring_size,
            max_steps: self.options.max_steps,
            origin: output.is_jsonl(),
            max_rate: self.options.max_rate,
            follow: self.options.follow,
            returns: self.options.returns,
        };
        let files = Files::new(self.program, self.world);
        let loaded =
            BpfEngine::load_by(self.options.uprobes, self.program, &options, &|id| files.by_id(self.program, id));
        let engine = match loaded {
            Ok(engine) => self.unwinding(engine, &options),
            Err(StartError::Program(diagnostics)) => {
                report::diagnostics(self.sources, &diagnostics, self.options.color);
                return Ok(report::exit_code(&diagnostics));
            }
            Err(StartError::Machine(failure)) => return Ok(self.engine_failed(&failure)),
        };
        let mut running = Running {
            engine,
            output,
            session: &self,
            processes: Processes::default(),
            targets,
            files,
            written: 0,
            ended: false,
            unwritten: 0,
            events: Vec::new(),
            gathered: (0, 0),
            told_lost: vec![0; self.program.probes.len()],
            write_error: None,
            stopped_runs: 0,
            dropped_updates: 0,
            failed: false,
            boot: machine::clock(ClockId::CLOCK_REALTIME).wrapping_sub(machine::clock(ClockId::CLOCK_MONOTONIC)),
        };
        let done = running.trace(&signals);
        let code = match done {
            Ok(()) if running.failed => report::EXIT_DIAGNOSTICS,
            Ok(()) => 0,
            Err(failure) => self.engine_failed(&failure),
        };
        let write_error = running.write_error.take();
        self.ended(code, write_error)
    }

    /// The engine with what unwinds stacks, where the program shows some.
    fn unwinding(&self, engine: BpfEngine, options: &bpf::Options) -> BpfEngine {
        if !BpfEngine::has_stacks(self.program, options) {
            return engine;
        }
        let found = |container| self.world.found_for(container).map(|(_, found)| found);
        let containers = self.program.containers.iter().map(found).collect();
        engine.unwinding(Box::new(Stacks::new(containers, self.world.places())))
    }

    /// The exit code of a run that came to its end, where writing did not fail.
    fn ended(&self, code: u8, write_error: Option<std::io::Error>) -> Result<u8, Failure> {
        match write_error {
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                let path = self.options.out.clone().unwrap_or_else(|| "standard output".to_owned());
                Err(Failure::File { action: "write", path, source: error })
            }
            Some(_) | None => Ok(code),
        }
    }

    /// The summary on standard error: what became of the hits, the records that were written and those that could not be,
    /// how many runs of `begin`, `end` and `every` were stopped, and how many of their updates a full map dropped.
    fn say_counts(
        &self,
        counters: &[Counters],
        records: (u64, u64),
        elapsed: Duration,
        (stopped, dropped): (u64, u64),
    ) {
        let trouble =
            counters.iter().any(|c| c.lost + c.read_faults + c.map_full + c.step_limit + c.unmatched + c.limited > 0);
        let trouble = trouble || records.1 > 0;
        // What matched nothing at first may have matched later.
        let probed = self.program.sites().next().is_some() || counters.iter().any(|c| c.hits() > 0);
        if probed && (!self.options.quiet || trouble) {
            for line in summary::lines(self.program, self.sources, counters, records, elapsed) {
                report::notice(&line);
            }
        }
        if stopped > 0 {
            let runs = summary::counted(stopped, "run");
            report::notice(&format!(
                "{runs} of begin, every or end stopped by a division by zero, an aggregate of nothing or the step limit"
            ));
        }
        if dropped > 0 {
            let updates = summary::counted(dropped, "update");
            report::notice(&format!("{updates} by begin, every or end dropped by a full map"));
        }
    }

    /// Draws a failure of the engine, at its place in the source where it has one.
    fn engine_failed(&self, failure: &engine::Failure) -> u8 {
        report::engine_failure(failure, self.sources, self.options.verbose, self.options.color)
    }
}

/// A session at work.
struct Running<'s> {
    engine: BpfEngine,
    output: Output,
    session: &'s Session<'s>,
    targets: Targets<'s>,
    /// Those that are attached to one by one.
    processes: Processes,
    files: Files,
    /// Events printed.
    written: u64,
    /// Whether a run with `exit()` was seen: what came after it is not shown.
    ended: bool,
    /// Events that could not be printed because writing failed.
    unwritten: u64,
    /// Events on their way from the engine to the output.
    events: Vec<Event>,
    /// Events printed since what was gathered last went out, and how often it had by then.
    gathered: (u64, u64),
    /// Records that were said to be lost, by probe.
    told_lost: Vec<u64>,
    write_error: Option<std::io::Error>,
    /// Runs of `begin`, `end` or `every` that a fault stopped.
    stopped_runs: u64,
    /// Updates of those that a full map dropped.
    dropped_updates: u64,
    /// Whether the program called `error()`.
    failed: bool,
    /// ns from 1970 to the beginning of the monotonic clock.
    boot: i64,
}

impl Running<'_> {
    fn trace(&mut self, signals: &SignalFd) -> Result<(), Box<engine::Failure>> {
        let program = self.session.program;
        let mut next = Next::On;
        for probe in &program.probes {
            if let (ProbeKind::Begin(handler), Next::On) = (&probe.kind, next) {
                next = self.handler(probe, handler)?;
            }
        }
        let mut attached = Instant::now();
        if next == Next::On {
            // By its number alone a process was told to the kernel: that it still lives proves that it was this one.
            if let Some(process) = self.targets.ended_process() {
                return Err(Box::new(engine::Failure::new(Code::E0406, format!("{process} has ended"))));
            }
            self.engine.tell_host(&container::target::host_view)?;
            self.targets.use_layers(&self.engine, &mut self.files);
            if self.session.options.by_process {
                if let Some(who) = self.targets.without_folder() {
                    let message = format!("{who} cannot be attached to process by process: its cgroup is not known");
                    let failure = engine::Failure::new(Code::E0407, message);
                    return Err(Box::new(failure.help("leave out --attach process, or select containers or cgroups")));
                }
                self.engine.by_process()?;
                self.targets.by_process = true;
            }
            self.engine.attach(&|file| self.files.open(file))?;
            self.probe_other_inodes()?;
            self.look_at_processes(false)?;
            attached = Instant::now();
            if !privileges::drop_others() && self.session.options.verbose {
                report::notice("the kernel did not let ctp give up the capabilities that it needs no more");
            }
            self.say_attached();
            self.targets.want_all(&mut self.engine)?;
            if let Some(why) = self.targets.watch_execs(&mut self.engine, &self.files) {
                self.say(&format!("what containers execute is looked at each tenth of a second: {why}"));
            }
            self.processes.told = self.targets.execs.told;
            self.targets.watch_libraries().iter().for_each(|word| self.tell(word));
            let left_out = self.engine.left_out();
            if !left_out.is_empty() {
                let names = left_out.iter().map(|name| escape(name.as_bytes())).collect::<Vec<_>>().join(", ");
                report::notice(&format!("left out, for the kernel cannot probe an instruction there: {names}"));
            }
            self.events(signals, attached)?;
        }
        self.engine.stop()?;
        // What was in the buffer when the probes went away still counts.
        while self.hand_over(Duration::ZERO, None)?.0 > 0 {}
        for probe in &program.probes {
            if let ProbeKind::End(handler) = &probe.kind {
                self.handler(probe, handler)?;
            }
        }
        self.unread_globals()?;
        self.flush();
        self.say_lost()?;
        if let Some(text) = self.processes.said() {
            self.say(&text);
        }
        let counters = self.engine.counters()?;
        let elapsed = attached.elapsed();
        let summary = self.output.line(Line::Summary {
            probes: &program.probes,
            counters: &counters,
            written: self.written,
            unwritten: self.unwritten,
            stopped: self.stopped_runs,
            dropped: self.dropped_updates,
            seconds: elapsed.as_secs_f64(),
        });
        self.note_write(summary);
        self.flush();
        self.say_summary(&counters, elapsed);
        Ok(())
    }

    /// Prints events and runs timers until something ends the run.
    fn events(&mut self, signals: &SignalFd, start: Instant) -> Result<(), Box<engine::Failure>> {
        let program = self.session.program;
        let periods = program.probes.iter().enumerate().filter_map(|(index, probe)| match &probe.kind {
            ProbeKind::Every { period, .. } => Some((index, Duration::from_nanos(*period))),
            ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Sites(_) => None,
        });
        let mut timers = Timers::new(start, periods);
        // What matches nothing yet may match later.
        let has_sites = program.sites().next().is_some() || self.targets.awaits();
        if program.probes.is_empty() && program.unmatched.is_empty() {
            report::notice("there is no probe in this program: nothing to trace");
        }
        if !has_sites && timers.next().is_none() {
            // Nothing can fire any more.
            return Ok(());
        }
        let mut rates = rates::Rates::new(start, program);
        let end = self.session.options.duration.map(|duration| start + duration);
        let mut watch = start + WATCH;
        loop {
            let now = Instant::now();
            let look = self.session.options.by_process.then(|| now + LOOK);
            let execs = self.targets.execs.due(now).map(|wait| now + wait);
            let libraries = self.targets.libraries.due();
            let until = [timers.next(), end, has_sites.then_some(watch), look, execs, libraries];
            let until = until.into_iter().flatten().min();
            let wait = until.map_or(LONGEST_WAIT, |until| until.saturating_duration_since(now)).min(LONGEST_WAIT);
            let (_, exited) = self.hand_over(wait, Some(signals.as_fd()))?;
            if self.engine.new_cgroups() {
                self.engine.tell_host(&container::target::host_view)?;
            }
            if self.engine.has_made() {
                let world = self.session.world;
                let said = self.targets.see_coming(&mut self.engine, &mut self.files, world)?;
                said.words.iter().for_each(|word| self.tell(word));
            }
            self.look_at_execs()?;
            self.look_at_processes(true)?;
            self.flush();
            let interrupted = matches!(signals.read_signal(), Ok(Some(_)));
            if exited || interrupted || self.write_error.is_some() || self.enough() {
                return Ok(());
            }
            let now = Instant::now();
            for due in timers.take_due(now) {
                if let Some(probe) = program.probes.get(due)
                    && let ProbeKind::Every { handler, .. } = &probe.kind
                    && self.handler(probe, handler)? == Next::End
                {
                    return Ok(());
                }
            }
            self.flush();
            if end.is_some_and(|end| end <= now) {
                return Ok(());
            }
            if has_sites && watch <= now {
                watch = now + WATCH;
                self.say_lost()?;
                if rates.is_due(now) {
                    let counters = self.engine.counters()?;
                    let engine = &mut self.engine;
                    let verbose = self.session.options.verbose;
                    let mut traps = || match engine.traps() {
                        Ok(traps) => traps,
                        Err(why) => {
                            if verbose {
                                report::notice(&format!("what a trap takes cannot be measured: {why}"));
                            }
                            None
                        }
                    };
                    let lines = rates.look(now, program, &counters, &mut traps);
                    lines.iter().for_each(|line| self.say(line));
                }
                let said = self.targets.look(&mut self.engine, &mut self.files, self.session.world)?;
                said.words.iter().for_each(|word| self.tell(word));
                self.targets.look_at_untold();
                if said.all_gone && timers.next().is_none() {
                    return Ok(());
                }
            }
        }
    }

    /// Takes in what containers have executed, and attaches to what of it is meant and not probed yet.
    fn look_at_execs(&mut self) -> Result<(), Box<engine::Failure>> {
        // Before what was executed: of a mapping that is known by now its process' program is told by then.
        self.targets.take_mappings();
        if self.engine.has_executed() {
            let (executed, more) = self.engine.executed()?;
            self.targets.executed(&executed, more);
            if self.session.options.by_process {
                self.processes.attach_to(&mut self.engine, &executed, more)?;
            }
        }
        let too_many = self.targets.look_at_libraries();
        let said = self.targets.look_at_execs(&mut self.engine, &mut self.files, self.session.world)?;
        too_many.iter().chain(&said.words).for_each(|word| self.tell(word));
        Ok(())
    }

    /// Attaches to new processes of the containers, where they are attached to one by one.
    fn look_at_processes(&mut self, begun: bool) -> Result<(), Box<engine::Failure>> {
        if self.session.options.by_process {
            let folders = self.targets.folders();
            self.processes.look(&mut self.engine, &folders, begun)?;
        }
        Ok(())
    }

    fn enough(&self) -> bool {
        self.session.options.events.is_some_and(|most| self.written >= most)
    }

    /// Takes events from the engine and prints them: how many came, and whether `exit()` ran.
    fn hand_over(&mut self, wait: Duration, wake: Option<BorrowedFd<'_>>) -> Result<(u64, bool), Box<engine::Failure>> {
        // Its memory is used again: there may be thousands at a time.
        let mut events = std::mem::take(&mut self.events);
        let exited = self.engine.poll(wait, wake, &mut |event| events.push(event))?;
        let count = events.len() as u64;
        for event in events.drain(..) {
            self.event(event);
        }
        self.events = events;
        Ok((count, exited))
    }

    fn event(&mut self, event: Event) {
        if self.ended {
            return;
        }
        self.ended = event.exit;
        if event.prints.is_empty() || self.enough() {
            return;
        }
        if self.write_error.is_some() {
            self.unwritten += 1;
            return;
        }
        let program = self.session.program;
        let container = self.targets.name(event.container);
        let origin = Origin {
            time: self.boot.wrapping_add(event.time.cast_signed()),
            probe: program.probes.get(event.probe.0 as usize).map_or("", |probe| &probe.point),
            task: Some(Task {
                container: &container,
                pid: event.pid,
                tid: event.tid,
                nspid: event.nspid,
                cpu: event.cpu,
            }),
        };
        for printed in event.prints {
            let Some(print) = self.engine.print(printed.print).cloned() else { continue };
            let other = self.targets.program_of(printed.print);
            self.print(&print, printed.values, origin, other.as_deref().unwrap_or(program));
        }
        self.written += 1;
        let flushes = self.output.flushes();
        self.gathered = match self.gathered {
            (events, known) if known == flushes => (events + 1, flushes),
            (_, _) => (u64::from(self.output.holds_back()), flushes),
        };
        // Writing it may have been what failed.
        self.count_unwritten();
    }

    /// Runs a handler of `begin`, `end` or `every`.
    fn handler(&mut self, probe: &Probe, handler: &Handler) -> Result<Next, Box<engine::Failure>> {
        let program = self.session.program;
        // What is deleted whole is taken out of the kernel's hands first: nothing is lost between reading and deleting.
        let doomed = deleted_whole(program, handler);
        doomed.iter().try_for_each(|global| self.engine.close(*global))?;
        let mut machine = OverEngine {
            engine: &mut self.engine,
            program,
            point: &probe.point,
            string_limit: self.session.options.strlen as usize,
            max_steps: self.session.options.max_steps.into(),
            failure: None,
            dropped: 0,
        };
        let ran = interpret::run(program, handler, &mut machine);
        let (failure, dropped) = (machine.failure.take(), machine.dropped);
        self.dropped_updates += dropped;
        if let Some(failure) = failure {
            return Err(failure);
        }
        doomed.iter().try_for_each(|global| self.engine.open(*global))?;
        match ran {
            Ok(run) => {
                let origin = Origin { time: machine::clock(ClockId::CLOCK_REALTIME), probe: &probe.point, task: None };
                for (print, values) in run.prints {
                    self.print(print, values, origin, program);
                }
                Ok(if run.exit { Next::End } else { Next::On })
            }
            Err(Stop::Fault(_) | Stop::DivisionByZero(_) | Stop::StepLimit(_) | Stop::NotHere(_)) => {
                self.stopped_runs += 1;
                Ok(Next::On)
            }
        }
    }

    /// Containers that execute another inode than the one that their path leads to (their file was changed while it
    /// runs): that one is probed too, where it can be reached.
    fn probe_other_inodes(&mut self) -> Result<(), Box<engine::Failure>> {
        let program = self.session.program;
        for warning in self.engine.warnings(program, &|file| self.files.open(file).map(|(file, _)| file)) {
            let (Some(file), Some(container)) = (program.file(warning.file), program.container(warning.container))
            else {
                continue;
            };
            let found = self.session.world.found_for(container).map(|(_, found)| found);
            let process = found.and_then(|found| found.init.dir().ok());
            let all = process.map(|process| layers(&process, &file.path)).unwrap_or_default();
            match all.iter().find(|layer| self.engine.executes(warning.pid, layer.as_fd())) {
                Some(layer) => {
                    self.engine.attach_also(warning.file, warning.container, layer.as_fd(), &file.path, true)?;
                    self.engine.add_container(warning.container, container)?;
                }
                None => self.say(&format!(
                    "{} in {} was changed while it runs: process {} still executes the old copy, in which nothing is \
                     probed; restart the container to trace it",
                    file.path,
                    container.display_name(),
                    warning.pid
                )),
            }
        }
        Ok(())
    }
}

/// The globals that a handler deletes whole, itself or in the functions that it calls.
fn deleted_whole(program: &Program, handler: &Handler) -> Vec<GlobalIndex> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    let mut bodies: Vec<&[Stmt]> = vec![&handler.body];
    while let Some(body) = bodies.pop() {
        visit_statements(body, &mut |stmt| {
            if let Stmt::Delete { global, keys, .. } = stmt
                && keys.is_empty()
                && !found.contains(global)
            {
                found.push(*global);
            }
        });
        visit_expressions(body, &mut |expr| {
            if let ExprKind::Call(function, _) = &expr.kind
                && !seen.contains(function)
            {
                seen.push(*function);
                bodies.extend(program.functions.get(function.0 as usize).map(|function| function.body.as_slice()));
            }
        });
    }
    found
}

/// SIGINT, SIGTERM and SIGHUP as a descriptor: they end the run in order.
fn signals() -> Result<SignalFd, Failure> {
    let mut set = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| set.add(signal));
    let failed =
        |error: nix::Error| Failure::Environment { what: format!("cannot wait for signals: {error}"), help: None };
    set.thread_block().map_err(failed)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)
}
