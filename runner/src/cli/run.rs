//! Owns `ctp run`: a program checked, then traced by a [`crate::session`].

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ctp_lang::check::{self, check};

use super::load::load;
use super::size;
use super::symbols::Symbols;
use crate::container::Settings;
use crate::engine;
use crate::error::Failure;
use crate::output::printer::Printer;
use crate::report::{self, Color};
use crate::session::{self, Session};
use crate::world::live::LiveWorld;

/// Check a program, attach its probes, print until it ends
#[derive(Args, Debug)]
#[command(
    after_help = "It ends with Ctrl-C, after --for or --events, by exit(), or when its containers were removed.\n\
    Standard output holds what the program prints and nothing else; ctp itself speaks on standard error."
)]
pub struct Run {
    #[command(flatten)]
    /// Where debug info is looked for
    pub symbols: Symbols,
    /// Program files; `-` reads standard input
    #[arg(required_unless_present = "script", value_name = "FILE")]
    pub files: Vec<String>,
    /// A program given here
    #[arg(short = 'e', long = "script", value_name = "SCRIPT")]
    pub script: Vec<String>,
    /// Which engine traces
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineName,
    /// End after this time: 500ms, 5s, 2min, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = size::duration)]
    pub duration: Option<Duration>,
    /// End after N runs of handlers that printed something
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Print what would be attached where, and stop
    #[arg(long)]
    pub plan: bool,
    /// End when a container stops instead of waiting for it to come back
    #[arg(long)]
    pub no_follow: bool,
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
    /// Bytes of the buffer between kernel and ctp: 64K, 4M
    #[arg(long, default_value = "4M", value_name = "SIZE", value_parser = size::bytes)]
    pub ring_size: u32,
    /// Say nothing but errors and what went wrong
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more: how long each step took, the verifier's log where the kernel refuses a program
    #[arg(short, long)]
    pub verbose: bool,
}

/// The engines a user may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// The embedded engine where the kernel can
    #[default]
    Auto,
    /// The embedded eBPF engine
    Bpf,
}

/// Checks and traces.
///
/// # Errors
/// [`Failure`] of the machine, the kernel or a file.
pub fn run(run: &Run, color: Color) -> Result<u8, Failure> {
    let started = Instant::now();
    let loaded = load(&run.files, &run.script)?;
    if !run.plan && loaded.has_sites() && loaded.diagnostics.is_empty() {
        engine::bpf::grace::begin();
    }
    let world = LiveWorld::new(Settings::from_env()).looking_in(run.symbols.places());
    let mut diagnostics = loaded.diagnostics;
    let (program, found) = check(&loaded.sources, &loaded.files, &world, &check::Settings { depth: run.depth });
    diagnostics.extend(found);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span);
    if let Some(failure) = super::blind(&mut diagnostics, &world).filter(|_| !run.plan) {
        report::diagnostics(&loaded.sources, &diagnostics, color);
        return Err(failure);
    }
    let code = report::exit_code(&diagnostics);
    report::diagnostics(&loaded.sources, &diagnostics, color);
    let Some(program) = program.filter(|_| code == 0) else { return Ok(code) };
    if run.plan {
        let text = crate::plan::text(&program);
        let mut out = printer(run.out.as_deref())?;
        return match out.bytes(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::File { action: "write", path: "the plan".to_owned(), source: error })
            }
            Ok(()) | Err(_) => Ok(0),
        };
    }
    match run.engine {
        EngineName::Auto | EngineName::Bpf => {}
    }
    let session = Session {
        program: &program,
        sources: &loaded.sources,
        world: &world,
        options: session::Options {
            started,
            duration: run.duration,
            events: run.events,
            follow: !run.no_follow,
            strlen: run.strlen,
            map_size: run.map_size,
            ring_size: run.ring_size,
            quiet: run.quiet,
            verbose: run.verbose,
            color,
            out: run.out.clone(),
        },
    };
    session.run(printer(run.out.as_deref())?)
}

fn printer(path: Option<&str>) -> Result<Printer, Failure> {
    match path {
        None => Ok(Printer::stdout()),
        Some(path) => {
            Printer::file(path).map_err(|source| Failure::File { action: "write", path: path.to_owned(), source })
        }
    }
}
