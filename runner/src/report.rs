//! Owns how ctp speaks of itself on stderr: failures and diagnostics drawn in one style, one-line notices.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use ctp_lang::codes::Code;
use ctp_lang::diagnostic::{Diagnostic, Severity};
use ctp_lang::render::{self, Report};
use ctp_lang::source::Sources;

use crate::engine;
use crate::error::Failure;
use crate::output::escape::escape;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether stderr gets colours.
    pub fn on_stderr(self) -> bool {
        self.on(std::io::stderr().is_terminal())
    }

    /// Whether stdout gets colours.
    pub fn on_stdout(self) -> bool {
        self.on(std::io::stdout().is_terminal())
    }

    fn on(self, terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// The exit code of a run that failed by the system's fault or by wrong usage.
pub const EXIT_SYSTEM: u8 = 2;
/// The exit code of a run that stopped because of diagnostics.
pub const EXIT_DIAGNOSTICS: u8 = 1;

/// Writes one line, `ctp: …`, to stderr; a stderr that is gone is no reason to stop.
pub fn notice(text: &str) {
    let _ = writeln!(std::io::stderr(), "ctp: {}", escape(text));
}

/// What a program's `error()` says, on stderr.
pub fn error(text: &[u8]) {
    let _ = writeln!(std::io::stderr(), "ctp: error: {}", escape(text));
}

/// Draws a failure on stderr and gives its exit code.
pub fn failure(failure: &Failure, color: Color) -> u8 {
    let drawn = render::rich_report(&as_report(failure), color.on_stderr());
    let _ = std::io::stderr().write_all(drawn.as_bytes());
    EXIT_SYSTEM
}

/// Draws diagnostics with their source lines on stderr.
pub fn diagnostics(sources: &Sources, diagnostics: &[Diagnostic], color: Color) {
    let drawn = render::rich(sources, diagnostics, color.on_stderr());
    let _ = std::io::stderr().write_all(drawn.as_bytes());
}

/// The exit code that diagnostics ask for: 0 without errors, 2 where all errors are the system's (E04), else 1.
pub fn exit_code(diagnostics: &[Diagnostic]) -> u8 {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).peekable();
    if errors.peek().is_none() {
        return 0;
    }
    if errors.all(|error| error.code.as_str().starts_with("E04")) { EXIT_SYSTEM } else { EXIT_DIAGNOSTICS }
}

/// A failure as the renderer takes it: its causes become notes.
pub fn as_report(failure: &Failure) -> Report {
    let diagnostic: &dyn miette::Diagnostic = failure;
    let code = diagnostic.code().and_then(|code| Code::parse(&code.to_string())).unwrap_or(Code::E0407);
    let mut notes = Vec::new();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        notes.push(error.to_string());
        cause = error.source();
    }
    let helps = diagnostic.help().map(|help| help.to_string()).into_iter().filter(|help| !help.is_empty()).collect();
    Report { severity: Severity::Error, code, message: failure.to_string(), notes, helps }
}

/// Draws a failure of a tracing engine, at its place in the source where it has one; with the verifier's log where
/// `verbose` asks for it.
pub fn engine_failure(failure: &engine::Failure, sources: &Sources, verbose: bool, color: Color) -> u8 {
    let mut notes = failure.notes.clone();
    let mut helps = failure.helps.clone();
    match &failure.log {
        Some(log) if verbose => notes.push(format!("the verifier's log:\n{log}")),
        Some(_) => helps.push("`-v` shows the verifier's log".to_owned()),
        None => {}
    }
    match failure.span {
        Some(span) => {
            let mut diagnostic = Diagnostic::new(failure.code, span, failure.message.clone());
            (diagnostic.notes, diagnostic.helps) = (notes, helps);
            diagnostics(sources, &[diagnostic], color);
        }
        None => {
            let message = failure.message.clone();
            let report = Report { severity: Severity::Error, code: failure.code, message, notes, helps };
            let _ = std::io::stderr().write_all(render::rich_report(&report, color.on_stderr()).as_bytes());
        }
    }
    EXIT_SYSTEM
}
