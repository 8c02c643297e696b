//! Owns a stream that is written to in large pieces. Knows nothing of what is written.

use std::io::{self, IsTerminal as _, Write};

/// Bytes gathered before they are written although more events wait.
const ENOUGH: usize = 64 << 10;

/// The stream.
pub(super) struct Sink {
    out: Box<dyn Write>,
    /// Whether a terminal shows what is written.
    pub(super) terminal: bool,
    /// What was gathered.
    pub(super) buffer: Vec<u8>,
    /// How often what was gathered has gone out whole.
    pub(super) flushes: u64,
}

impl Sink {
    pub(super) fn new(out: Box<dyn Write>, terminal: bool) -> Sink {
        Sink { out, terminal, buffer: Vec::new(), flushes: 0 }
    }

    pub(super) fn stdout() -> Sink {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Sink::new(Box::new(stdout), terminal)
    }

    pub(super) fn file(path: &str) -> io::Result<Sink> {
        let file = std::fs::File::create(path)?;
        let terminal = file.is_terminal();
        Ok(Sink::new(Box::new(file), terminal))
    }

    /// Writes what was gathered; where that fails it is dropped.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let done = self.out.write_all(&self.buffer).and_then(|()| self.out.flush());
        self.buffer.clear();
        self.flushes += u64::from(done.is_ok());
        done
    }

    pub(super) fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= ENOUGH { self.flush() } else { Ok(()) }
    }
}
