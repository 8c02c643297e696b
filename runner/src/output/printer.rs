//! Owns where a program's output goes: a stream, buffered, with traced text made safe where it is a terminal.

use std::io::{self, IsTerminal as _, Write};

use ctp_lang::ir::{EnumNames, Print};
use ctp_lang::value::{Value, write_print};

use super::escape::escape;

/// Bytes gathered before they are written although more events wait.
const ENOUGH: usize = 64 << 10;

/// Writes what programs print.
pub struct Printer {
    out: Box<dyn Write>,
    terminal: bool,
    buffer: Vec<u8>,
}

impl Printer {
    /// To standard output.
    pub fn stdout() -> Printer {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Printer { out: Box::new(stdout), terminal, buffer: Vec::new() }
    }

    /// To a file, made new or emptied.
    ///
    /// # Errors
    /// As opening fails.
    pub fn file(path: &str) -> io::Result<Printer> {
        let file = std::fs::File::create(path)?;
        let terminal = file.is_terminal();
        Ok(Printer { out: Box::new(file), terminal, buffer: Vec::new() })
    }

    /// Takes one output statement with its values.
    ///
    /// # Errors
    /// As writing fails.
    pub fn print(&mut self, print: &Print, values: Vec<Value>, enums: &[EnumNames]) -> io::Result<()> {
        let values = if self.terminal { values.into_iter().map(safe).collect() } else { values };
        write_print(&mut self.buffer, print, &values, enums);
        self.flush_if_full()
    }

    /// Takes bytes that hold no traced text, or text already made safe.
    ///
    /// # Errors
    /// As writing fails.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.flush_if_full()
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As writing fails; what was gathered is dropped then.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let done = self.out.write_all(&self.buffer).and_then(|()| self.out.flush());
        self.buffer.clear();
        done
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= ENOUGH { self.flush() } else { Ok(()) }
    }
}

/// Traced text as a terminal may get it.
fn safe(value: Value) -> Value {
    match value {
        Value::Str { bytes, truncated } => Value::Str { bytes: escape(bytes).into_bytes(), truncated },
        Value::Int(_) | Value::Fault => value,
    }
}
