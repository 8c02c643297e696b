//! Owns `ctp build`: a program compiled, printed, and not run.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use ctp_lang::check::{self, check};
use ctp_lang::emit::{bpf, stap};

use super::load::load;
use super::symbols::Symbols;
use crate::container::Settings;
use crate::engine;
use crate::error::Failure;
use crate::report::{self, Color};
use crate::world::live::LiveWorld;

/// Compile a program and print the result, attaching nothing
#[derive(Args, Debug)]
pub struct Build {
    #[command(flatten)]
    /// Where debug info is looked for
    pub symbols: Symbols,
    /// Program files; `-` reads standard input
    #[arg(required_unless_present = "script", value_name = "FILE")]
    pub files: Vec<String>,
    /// A program given here
    #[arg(short = 'e', long = "script", value_name = "SCRIPT")]
    pub script: Vec<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    pub emit: Emit,
    /// Write to a file instead of standard output
    #[arg(short = 'o', long = "output-file", value_name = "FILE")]
    pub out: Option<String>,
    /// Bytes a string may hold; longer ones are cut and marked
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub strlen: u32,
    /// Entries a map may hold where its declaration does not say
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub map_size: u32,
    /// Levels of nested values that are shown of a value printed whole
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub depth: u32,
}

/// What a program is compiled to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// A SystemTap script, with the commands that compile and run it in its head
    #[default]
    Stap,
    /// A script for SystemTap's bpf runtime, which counts and sums only
    StapBpf,
    /// The instructions of the embedded eBPF engine
    Bpf,
    /// The checked program, for those who work on ctp
    Ir,
    /// What would be attached where
    Plan,
}

/// Compiles and prints.
///
/// # Errors
/// [`Failure`] where a text cannot be read or the result cannot be written.
pub fn run(build: &Build, color: Color) -> Result<u8, Failure> {
    let loaded = load(&build.files, &build.script)?;
    let mut diagnostics = loaded.diagnostics;
    let world = LiveWorld::new(Settings::from_env()).looking_in(build.symbols.places());
    let settings = check::Settings { depth: build.depth };
    let (program, found) = check(&loaded.sources, &loaded.files, &world, &settings);
    diagnostics.extend(found);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span);
    let by_bpf = bpf::Options { strlen: build.strlen, map_size: build.map_size, ..bpf::Options::default() };
    let compiled = match program {
        Some(program) if report::exit_code(&diagnostics) == 0 => match build.emit {
            Emit::Stap => {
                let options =
                    stap::Options { strlen: build.strlen, map_size: build.map_size, ..stap::Options::default() };
                stap::emit(&program, &loaded.sources, &options).map(|script| script.text)
            }
            Emit::StapBpf => {
                let options = stap::bpf::Options::default();
                stap::bpf::emit(&program, &loaded.sources, &options).map(|script| script.text)
            }
            Emit::Bpf => engine::bpf::compile(&program, &by_bpf).map(|compiled| compiled.disassemble(&loaded.sources)),
            Emit::Ir => Ok(format!("{program:#?}\n")),
            Emit::Plan => {
                let sessions = engine::bpf::sessions(&program, &by_bpf, engine::bpf::Uprobes::Auto);
                Ok(crate::plan::text(&program, false, sessions))
            }
        },
        Some(_) | None => Err(Vec::new()),
    };
    let text = compiled.unwrap_or_else(|problems| {
        diagnostics.extend(problems);
        String::new()
    });
    report::diagnostics(&loaded.sources, &diagnostics, color);
    let code = report::exit_code(&diagnostics);
    if code == 0 {
        write(build.out.as_deref(), &text)?;
    }
    Ok(code)
}

fn write(out: Option<&str>, text: &str) -> Result<(), Failure> {
    let done = match out {
        None => std::io::stdout().lock().write_all(text.as_bytes()),
        Some(path) => std::fs::write(path, text),
    };
    match done {
        Err(error) if out.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => {
            let path = out.unwrap_or("standard output").to_owned();
            Err(Failure::File { action: "write", path, source })
        }
        Ok(()) => Ok(()),
    }
}
