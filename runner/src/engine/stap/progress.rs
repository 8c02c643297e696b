//! Owns saying how far a compilation is: on a terminal, once it has taken half a second.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// When it begins to be said.
const LATE: Duration = Duration::from_millis(500);

/// The progress of a compilation.
pub(super) struct Progress {
    start: Instant,
    terminal: bool,
    /// Which of stap's passes is over.
    pass: u8,
    shown: Option<(u8, u64)>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { start: Instant::now(), terminal: std::io::stderr().is_terminal(), pass: 0, shown: None }
    }

    /// Takes a line of stap's standard error (`Pass 2: analyzed script: …`), or nothing when time has passed.
    pub(super) fn heard(&mut self, line: &str) {
        if let Some(pass) = line.strip_prefix("Pass ").and_then(|rest| rest.split(':').next()?.parse().ok()) {
            self.pass = pass;
        }
        let seconds = self.start.elapsed().as_secs();
        if self.terminal && self.start.elapsed() >= LATE && self.shown != Some((self.pass, seconds)) {
            self.shown = Some((self.pass, seconds));
            let does = match self.pass {
                0 => "reads the script",
                1 => "looks the probes up",
                2 => "writes the module",
                3 => "compiles the module",
                _ => "has the module",
            };
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[Kctp: SystemTap {does} (pass {} of 4, {seconds} s)",
                (self.pass + 1).min(4)
            );
        }
    }

    /// Takes away what was shown.
    pub(super) fn end(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.pass = 0;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
