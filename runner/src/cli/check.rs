//! Owns `ctp check`: everything that can be known without attaching.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use ctp_lang::check::{self, check};
use ctp_lang::render;
use ctp_lang::source::Sources;

use super::load::load;
use super::symbols::Symbols;
use crate::container::Settings;
use crate::error::Failure;
use crate::report::{self, Color};
use crate::world::live::LiveWorld;

/// Check a program against the containers that run, attaching nothing
#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    /// Where debug info is looked for
    pub symbols: Symbols,
    /// Program files; `-` reads standard input
    #[arg(required_unless_present = "script", value_name = "FILE")]
    pub files: Vec<String>,
    /// A program given here
    #[arg(short = 'e', long = "script", value_name = "SCRIPT")]
    pub script: Vec<String>,
    /// How to write what was found
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the source lines, for people
    #[default]
    Rich,
    /// A line each, for logs
    Short,
    /// One JSON document, for editors (described in docs/diagnostics.md)
    Json,
    /// A SARIF 2.1.0 log, for code scanning
    Sarif,
    /// Workflow commands, for remarks in a pull request on GitHub
    Github,
}

/// Checks and writes the diagnostics to stdout: they are what was asked for. In a form that programs read, a failure of
/// the machine is written there too.
///
/// # Errors
/// [`Failure`] where a text cannot be read and the form is for people, or the diagnostics cannot be written.
pub fn run(check_args: &Check, color: Color) -> Result<u8, Failure> {
    let mut sources = Sources::default();
    let mut diagnostics = Vec::new();
    let mut reports = Vec::new();
    let mut blind = false;
    match load(&check_args.files, &check_args.script) {
        Ok(loaded) => {
            diagnostics = loaded.diagnostics;
            let world = LiveWorld::new(Settings::from_env()).looking_in(check_args.symbols.places());
            let (_, found) = check(&loaded.sources, &loaded.files, &world, &check::Settings::default());
            diagnostics.extend(found);
            if let Some(failure) = super::blind(&mut diagnostics, &world) {
                blind = true;
                match check_args.format {
                    Format::Rich | Format::Short => {
                        report::failure(&failure, color);
                    }
                    Format::Json | Format::Sarif | Format::Github => reports.push(report::as_report(&failure)),
                }
            }
            diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span);
            sources = loaded.sources;
        }
        Err(failure) => match check_args.format {
            Format::Rich => return Err(failure),
            Format::Short => {
                let _ = std::io::stderr().write_all(render::short_report(&report::as_report(&failure)).as_bytes());
                return Ok(report::EXIT_SYSTEM);
            }
            Format::Json | Format::Sarif | Format::Github => reports.push(report::as_report(&failure)),
        },
    }
    let text = match check_args.format {
        Format::Rich => render::rich(&sources, &diagnostics, color.on_stdout()),
        Format::Short => render::short(&sources, &diagnostics),
        Format::Json => render::json(&sources, &diagnostics, &reports),
        Format::Sarif => render::sarif(&sources, &diagnostics, &reports),
        Format::Github => render::github(&sources, &diagnostics, &reports),
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::File { action: "write", path: "the diagnostics".to_owned(), source });
        }
        Ok(()) | Err(_) => {}
    }
    Ok(if reports.is_empty() && !blind { report::exit_code(&diagnostics) } else { report::EXIT_SYSTEM })
}
