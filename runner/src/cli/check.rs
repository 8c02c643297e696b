//! Owns `ctp check`: everything that can be known without attaching.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use ctp_lang::check::check;
use ctp_lang::render;

use super::load::load;
use crate::container::Settings;
use crate::error::Failure;
use crate::report::{self, Color};
use crate::world::live::LiveWorld;

/// Check a program against the containers that run, attaching nothing
#[derive(Args, Debug)]
pub struct Check {
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
    /// A line each, for editors and logs
    Short,
}

/// Checks and writes the diagnostics to stdout: they are what was asked for.
///
/// # Errors
/// [`Failure`] where a text cannot be read.
pub fn run(check_args: &Check, color: Color) -> Result<u8, Failure> {
    let loaded = load(&check_args.files, &check_args.script)?;
    let mut diagnostics = loaded.diagnostics;
    let world = LiveWorld::new(Settings::from_env());
    let (_, found) = check(&loaded.sources, &loaded.files, &world);
    diagnostics.extend(found);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span);
    let blind = super::blind(&mut diagnostics, &world);
    let text = match check_args.format {
        Format::Rich => render::rich(&loaded.sources, &diagnostics, color.on_stdout()),
        Format::Short => render::short(&loaded.sources, &diagnostics),
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::File { action: "write", path: "the diagnostics".to_owned(), source });
        }
        Ok(()) | Err(_) => {}
    }
    match blind {
        Some(failure) => Err(failure),
        None => Ok(report::exit_code(&diagnostics)),
    }
}
