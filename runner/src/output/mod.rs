//! Owns how output is written: as text or as JSON lines, one after the other to one stream.

pub mod escape;
mod json;
pub mod jsonl;
pub mod printer;
mod sink;

use std::io;

use ctp_lang::ir::{GlobalIndex, Print, Program};
use ctp_lang::value::{MapEntry, Value};

use jsonl::{Jsonl, Line};
use printer::Printer;
use sink::Sink;

/// The form of the output (`--output`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// What the program prints, as it prints it
    #[default]
    Text,
    /// One JSON object a line for everything that happens (docs/jsonl.md)
    Jsonl,
}

/// Where and when an output statement ran.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// ns since 1970.
    pub time: i64,
    /// The probe point as written.
    pub probe: &'a str,
    /// The task that ran it; `None` in `begin`, `end` and `every`.
    pub task: Option<Task<'a>>,
}

/// The task that hit a probe.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Display name of its container.
    pub container: &'a str,
    /// Process id on the host.
    pub pid: u32,
    /// Thread id on the host.
    pub tid: u32,
    /// Process id as the container sees it, where the engine says.
    pub nspid: Option<u32>,
    /// The cpu it ran on, where the engine says.
    pub cpu: Option<u32>,
}

/// Where everything a run writes to its output goes.
pub enum Output {
    /// As text.
    Text(Printer),
    /// As JSON lines.
    Jsonl(Jsonl),
}

impl Output {
    /// To standard output.
    pub fn stdout(form: Form) -> Output {
        Output::new(form, Sink::stdout())
    }

    /// To a file, made new or emptied.
    ///
    /// # Errors
    /// As opening fails.
    pub fn file(form: Form, path: &str) -> io::Result<Output> {
        Ok(Output::new(form, Sink::file(path)?))
    }

    fn new(form: Form, sink: Sink) -> Output {
        match form {
            Form::Text => Output::Text(Printer::new(sink)),
            Form::Jsonl => Output::Jsonl(Jsonl::new(sink)),
        }
    }

    /// Takes one output statement with its values; not one that is an error.
    ///
    /// # Errors
    /// As writing fails.
    pub fn print(
        &mut self,
        print: &Print,
        values: Vec<Value>,
        program: &Program,
        origin: Origin<'_>,
    ) -> io::Result<()> {
        match self {
            Output::Text(printer) => printer.print(print, values, program),
            Output::Jsonl(lines) => lines.print(print, &values, program, origin),
        }
    }

    /// Takes a global that nothing in the program prints, with all its entries.
    ///
    /// # Errors
    /// As writing fails.
    pub fn global(&mut self, global: GlobalIndex, entries: &[MapEntry], program: &Program) -> io::Result<()> {
        match self {
            Output::Text(printer) => {
                let name = ctp_lang::value::name(program, global);
                entries.iter().try_for_each(|(key, value)| printer.global(name, key, value))
            }
            Output::Jsonl(lines) => lines.global(global, entries, program),
        }
    }

    /// Takes what ctp says of the run; nothing where the output is text.
    ///
    /// # Errors
    /// As writing fails.
    pub fn line(&mut self, line: Line<'_>) -> io::Result<()> {
        match self {
            Output::Text(_) => Ok(()),
            Output::Jsonl(lines) => lines.line(line),
        }
    }

    /// Whether it is written as JSON lines.
    pub fn is_jsonl(&self) -> bool {
        match self {
            Output::Text(_) => false,
            Output::Jsonl(_) => true,
        }
    }

    /// How often all that was gathered has been written: by itself, where there was much, or by [`Output::flush`].
    pub fn flushes(&self) -> u64 {
        match self {
            Output::Text(printer) => printer.flushes(),
            Output::Jsonl(lines) => lines.flushes(),
        }
    }

    /// Whether something was gathered since.
    pub fn holds_back(&self) -> bool {
        match self {
            Output::Text(printer) => printer.holds_back(),
            Output::Jsonl(lines) => lines.holds_back(),
        }
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As writing fails; what was gathered is dropped then.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Text(printer) => printer.flush(),
            Output::Jsonl(lines) => lines.flush(),
        }
    }
}
