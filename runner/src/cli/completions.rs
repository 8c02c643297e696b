//! Owns `ctp completions` and what shells ask ctp for while they complete. The names come from the parser's own
//! definitions.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use ctp_lang::world::World as _;

use crate::container::Settings;
use crate::world::live::LiveWorld;

/// The variable by which a shell asks for completions.
const ASKED: &str = "COMPLETE";

/// Print what makes a shell complete ctp's command line, names of containers included
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "For bash: echo 'source <(ctp completions bash)' >> ~/.bashrc")]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells that can be helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Answers a shell that asks for completions, and ends the process then; otherwise does nothing.
pub fn answer() {
    CompleteEnv::with_factory(super::command).var(ASKED).bin("ctp").complete();
}

/// Writes the shell's part.
///
/// # Errors
/// As writing fails.
pub fn run(completions: Completions, out: &mut dyn Write) -> io::Result<u8> {
    let shell: &dyn EnvCompleter = match completions.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    shell.write_registration(ASKED, "ctp", "ctp", "ctp", out)?;
    Ok(0)
}

/// The names of the containers that run; those that a shell could take for more than a word are left out.
pub(super) fn containers() -> Vec<CompletionCandidate> {
    let is_word = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let all = LiveWorld::new(Settings::from_env()).containers();
    let names = all.iter().flat_map(|all| all.iter()).filter_map(|one| one.name.clone());
    names.filter(|name| is_word(name)).map(CompletionCandidate::new).collect()
}
