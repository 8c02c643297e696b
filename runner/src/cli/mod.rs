//! Owns the command line: one file a subcommand, one parser for all.

pub mod build;
pub mod check;
pub mod explain;
pub mod fmt;
mod import;
pub mod load;
pub mod ps;
pub mod run;
mod size;
pub mod symbols;

use clap::{Parser, Subcommand};

use crate::container::Settings;
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
    /// Put programs into their canonical layout
    Fmt(fmt::Fmt),
    /// Tell what a code means, with an example and its cure
    Explain(explain::Explain),
}

/// Runs the command line of this process and gives the exit code.
pub fn main() -> u8 {
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
        Command::Fmt(fmt) => fmt::run(&fmt, color),
        Command::Explain(explain) => explain::run(&explain),
        Command::Ps(ps) => {
            let world = LiveWorld::new(Settings::from_env());
            match ps::run(ps, &world, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()) {
                Ok(code) => Ok(code),
                // A reader that has seen enough (`ctp ps | head`) is no failure.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
                Err(source) => {
                    Err(crate::error::Failure::File { action: "write", path: "the list".to_owned(), source })
                }
            }
        }
    };
    done.unwrap_or_else(|failure| report::failure(&failure, color))
}
