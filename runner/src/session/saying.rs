//! Owns what a run writes and says: output statements, globals, what became of records, containers and probes. Decides
//! nothing of the run.

use std::time::Duration;

use ctp_lang::ir::{GlobalIndex, GlobalKind, Print, PrintKind, Program};
use ctp_lang::stats::Stats;
use ctp_lang::value::{Value, sort_entries, write_print};

use super::targets::Word;
use super::{Running, summary};
use crate::container;
use crate::engine::{self, Counters, Engine as _};
use crate::output::jsonl::Line;
use crate::output::{Origin, Output};
use crate::report;

impl Running<'_> {
    /// Once writing has failed, none of what was gathered since it last succeeded counts as written.
    pub(super) fn count_unwritten(&mut self) {
        if self.write_error.is_some() {
            let (events, known) = std::mem::take(&mut self.gathered);
            let lost = if known == self.output.flushes() { events.min(self.written) } else { 0 };
            self.written -= lost;
            self.unwritten += lost;
        }
    }

    /// Says how many records were lost since it was last said, where somebody reads that.
    pub(super) fn say_lost(&mut self) -> Result<(), Box<engine::Failure>> {
        if !self.output.is_jsonl() || self.write_error.is_some() {
            return Ok(());
        }
        let counters = self.engine.counters()?;
        let program = self.session.program;
        for ((probe, counters), told) in program.probes.iter().zip(counters).zip(&mut self.told_lost) {
            let count = counters.lost.saturating_sub(std::mem::replace(told, counters.lost));
            if count > 0 {
                let done = self.output.line(Line::Lost { probe: &probe.point, count });
                if let Err(error) = done {
                    self.write_error.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    /// Writes one output statement; what `error()` says makes the run one that failed.
    pub(super) fn print(&mut self, print: &Print, values: Vec<Value>, origin: Origin<'_>, program: &Program) {
        self.failed |= print.kind == PrintKind::Error;
        let done = show(&mut self.output, print, values, origin, program);
        self.note_write(done);
    }

    /// Tells of a container on standard error, and as a JSON line.
    pub(super) fn tell(&mut self, word: &Word) {
        report::notice(&word.text);
        let done = self.output.line(self.session.line(word));
        self.note_write(done);
    }

    /// Says something on standard error, and as a JSON line.
    pub(super) fn say(&mut self, text: &str) {
        report::notice(text);
        let done = self.output.line(Line::Notice(text));
        self.note_write(done);
    }

    /// Prints the globals that are written and never read.
    pub(super) fn unread_globals(&mut self) -> Result<(), Box<engine::Failure>> {
        for (index, global) in (0u32..).map(GlobalIndex).zip(&self.session.program.globals) {
            if !global.printed_at_end {
                continue;
            }
            let entries = match &global.kind {
                GlobalKind::Stats { keys, shape, .. } if keys.is_empty() => {
                    let stats = self.engine.stats(index, &[])?.unwrap_or_else(|| Stats::new(shape));
                    vec![(Vec::new(), Value::Stats(Box::new(stats)))]
                }
                GlobalKind::Scalar { .. } => vec![(Vec::new(), self.engine.get(index, &[])?)],
                GlobalKind::Map { .. } | GlobalKind::Stats { .. } => {
                    let mut entries = self.engine.entries(index)?;
                    sort_entries(&mut entries);
                    entries
                }
            };
            let done = self.output.global(index, &entries, self.session.program);
            self.note_write(done);
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) {
        if self.write_error.is_none() {
            let done = self.output.flush();
            self.note_write(done);
            self.count_unwritten();
        }
    }

    pub(super) fn note_write(&mut self, done: std::io::Result<()>) {
        if let Err(error) = done {
            self.write_error.get_or_insert(error);
        }
    }

    pub(super) fn say_attached(&mut self) {
        let program = self.session.program;
        for point in &program.unmatched {
            let later = if self.targets.awaits() { " yet: it is looked for while ctp runs" } else { "" };
            self.say(&format!("{point} matches nothing here{later}"));
        }
        let points = program.sites().count() as u64;
        let containers: Vec<_> = program
            .containers
            .iter()
            .map(|container| (container.display_name().to_owned(), container.id.clone()))
            .collect();
        let milliseconds = self.session.options.started.elapsed().as_millis();
        let done = self.output.line(Line::Attached { points, containers: &containers, milliseconds });
        self.note_write(done);
        if self.session.options.quiet || points == 0 {
            return;
        }
        report::notice(&format!(
            "attached {} in {} in {} ms",
            summary::counted(points, "point"),
            self.targets.described(),
            milliseconds
        ));
        program.containers.iter().filter_map(container::boundary::note).for_each(|text| report::notice(&text));
    }

    pub(super) fn say_summary(&self, counters: &[Counters], elapsed: Duration) {
        let records = (self.written, self.unwritten);
        self.session.say_counts(counters, records, elapsed, (self.stopped_runs, self.dropped_updates));
    }
}

/// Writes one output statement; what `error()` says goes to standard error too.
pub(super) fn show(
    output: &mut Output,
    print: &Print,
    values: Vec<Value>,
    origin: Origin<'_>,
    program: &Program,
) -> std::io::Result<()> {
    match print.kind {
        // Changes of maps do not leave the engine.
        PrintKind::Keep(_) => Ok(()),
        PrintKind::Text | PrintKind::Event(_) => output.print(print, values, program, origin),
        PrintKind::Error => {
            let mut text = Vec::new();
            write_print(&mut text, print, &values, program);
            report::error(&text);
            output.line(Line::Error { text: &text, origin })
        }
    }
}
