//! Owns the command line: one file a subcommand, one parser for all.

pub mod build;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod explain;
pub mod fmt;
mod import;
pub mod load;
pub mod ls;
pub mod man;
pub mod ps;
pub mod run;
mod size;
pub mod symbols;

use clap::{Parser, Subcommand};
use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Diagnostic;

use crate::container::Settings;
use crate::engine::bpf::raise_limit;
use crate::error::Failure;
use crate::privileges;
use crate::report::{self, Color};
use crate::world::live::LiveWorld;

/// Trace functions of programs in containers, from the host.
///
/// ctp finds a container by its name, checks the probes against the debug info of the very file inside it, and prints
/// every call with its real arguments. Nothing in the container changes.
#[derive(Parser, Debug)]
#[command(name = "ctp", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  ctp run -e 'probe container(\"web\"):/app/bin.fn(\"my_function\") { printf(\"%d\\n\", $arg) }'"
)]
struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Check a program, attach its probes, print until it ends
    Run(run::Run),
    /// Check a program against the containers that run, attaching nothing
    Check(check::Check),
    /// Compile a program: to a SystemTap script, or to what the embedded engine would load
    Build(build::Build),
    /// List the containers of this host
    Ps(ps::Ps),
    /// List the probe points that a target has
    Ls(ls::Ls),
    /// Put programs into their canonical layout
    Fmt(fmt::Fmt),
    /// Tell what a code means, with an example and its cure
    Explain(explain::Explain),
    /// Say what is missing on this machine to trace, and what mends it
    Doctor(doctor::Doctor),
    /// Print what makes a shell complete ctp's command line
    Completions(completions::Completions),
    /// Print the manual page
    Man(man::Man),
}

/// The definition of the command line.
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line of this process and gives the exit code.
pub fn main() -> u8 {
    // With many containers, each with a file or more, the usual limit is too low (1024; getrlimit(2)).
    raise_limit();
    completions::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { report::EXIT_SYSTEM } else { 0 };
        }
    };
    let color = cli.color;
    let done = match cli.command {
        Command::Run(run) => run::run(&run, color),
        Command::Check(check) => check::run(&check, color),
        Command::Build(build) => build::run(&build, color),
        Command::Ls(ls) => written("the list", ls::run(&ls, color, &mut std::io::stdout().lock())),
        Command::Fmt(fmt) => fmt::run(&fmt, color),
        Command::Explain(explain) => explain::run(&explain),
        Command::Ps(ps) => {
            let world = LiveWorld::new(Settings::from_env());
            written("the list", ps::run(ps, &world, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()))
        }
        Command::Doctor(doctor) => {
            let world = LiveWorld::new(Settings::from_env());
            written("the findings", doctor::run(&doctor, &world, color, &mut std::io::stdout().lock()))
        }
        Command::Completions(completions) => {
            written("the completions", completions::run(completions, &mut std::io::stdout().lock()))
        }
        Command::Man(man) => written("the page", man::run(&man, &mut std::io::stdout().lock())),
    };
    done.unwrap_or_else(|failure| report::failure(&failure, color))
}

/// What came of writing something to standard output. A reader that has seen enough (`ctp ps | head`) is no failure.
fn written(what: &str, done: std::io::Result<u8>) -> Result<u8, Failure> {
    match done {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        Err(source) => Err(Failure::File { action: "write", path: what.to_owned(), source }),
        Ok(code) => Ok(code),
    }
}

/// Takes out what is said of names that were not found by who may not see them: that none has such a name is not known.
/// Says so instead.
fn blind(diagnostics: &mut Vec<Diagnostic>, world: &LiveWorld) -> Option<Failure> {
    let not_found = |diagnostic: &Diagnostic| diagnostic.code == Code::E0101;
    let unasked = || world.listing().is_ok_and(|listing| !listing.notes.is_empty());
    if privileges::trace() || !diagnostics.iter().any(not_found) || !unasked() {
        return None;
    }
    diagnostics.retain(|diagnostic| !not_found(diagnostic));
    Some(Failure::Privilege {
        action: "see the names of containers, nor trace".to_owned(),
        capability:
            "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and access to the engine's socket; `ctp doctor` tells what is there"
                .to_owned(),
    })
}
