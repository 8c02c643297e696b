//! Owns what the runs by SystemTap have in common: where they write, until that fails once, and what a start that failed
//! comes to.

use std::io;

use ctp_lang::ir::{GlobalIndex, Print, Program};
use ctp_lang::value::{MapEntry, Value};

use super::saying::show;
use super::targets::{Word, described};
use super::{Session, summary};
use crate::engine::stap::StartError;
use crate::output::jsonl::Line;
use crate::output::{Origin, Output};
use crate::report;

/// The exit code of a run that was interrupted before it traced.
const EXIT_INTERRUPTED: u8 = 130;

impl Session<'_> {
    /// The exit code of a run whose engine did not start, which is said.
    pub(super) fn not_started(&self, error: StartError) -> u8 {
        match error {
            StartError::Program(diagnostics) => {
                report::diagnostics(self.sources, &diagnostics, self.options.color);
                report::exit_code(&diagnostics)
            }
            StartError::Machine(failure) => self.engine_failed(&failure),
            StartError::Interrupted => EXIT_INTERRUPTED,
        }
    }

    /// Says that a run of SystemTap's is attached, on standard error and as a JSON line.
    fn say_attached(&self, output: &mut Output, by: &str) -> io::Result<()> {
        let points = self.program.sites().count() as u64;
        for point in &self.program.unmatched {
            let text = format!("{point} matches nothing here");
            report::notice(&text);
            output.line(Line::Notice(&text))?;
        }
        let containers: Vec<_> = (self.program.containers.iter())
            .map(|container| (container.display_name().to_owned(), container.id.clone()))
            .collect();
        let milliseconds = self.options.started.elapsed().as_millis();
        if !self.options.quiet && points > 0 {
            report::notice(&format!(
                "attached {} in {} in {milliseconds} ms by {by}",
                summary::counted(points, "point"),
                described(self.program),
            ));
        }
        output.line(Line::Attached { points, containers: &containers, milliseconds })
    }
}

/// What a run writes to, and the first failure of that.
pub(super) struct Writing {
    output: Output,
    error: Option<io::Error>,
}

impl Writing {
    pub(super) fn new(output: Output) -> Writing {
        Writing { output, error: None }
    }

    /// Whether writing has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// How it failed first.
    pub(super) fn into_error(self) -> Option<io::Error> {
        self.error
    }

    pub(super) fn line(&mut self, line: Line<'_>) {
        let done = self.output.line(line);
        self.note(done);
    }

    pub(super) fn global(&mut self, global: GlobalIndex, entries: &[MapEntry], program: &Program) {
        let done = self.output.global(global, entries, program);
        self.note(done);
    }

    /// Writes one output statement; what `error()` says goes to standard error too.
    pub(super) fn show(&mut self, print: &Print, values: Vec<Value>, origin: Origin<'_>, program: &Program) {
        let done = show(&mut self.output, print, values, origin, program);
        self.note(done);
    }

    /// Says something on standard error, and as a JSON line.
    pub(super) fn say(&mut self, text: &str) {
        report::notice(text);
        self.line(Line::Notice(text));
    }

    /// Tells of a container on standard error, and as a JSON line.
    pub(super) fn tell(&mut self, session: &Session<'_>, word: &Word) {
        report::notice(&word.text);
        self.line(session.line(word));
    }

    pub(super) fn flush(&mut self) {
        if self.error.is_none() {
            let done = self.output.flush();
            self.note(done);
        }
    }

    fn note(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            self.error.get_or_insert(error);
        }
    }

    /// Says that the run is attached.
    pub(super) fn attached(&mut self, session: &Session<'_>, by: &str) {
        let done = session.say_attached(&mut self.output, by);
        self.note(done);
    }
}
