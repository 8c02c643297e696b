//! Owns `ctp man`: the manual page, from the parser's own definitions.

use std::io::{self, Write};

use clap::Args;
use clap_mangen::Man as Page;

/// Print the manual page, of ctp or of one of its commands
#[derive(Args, Clone, Debug)]
#[command(after_help = "To read it: ctp man | man -l -")]
pub struct Man {
    /// A command: run, check, ps, …
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Writes the page; the exit code is 2 where there is no such command.
///
/// # Errors
/// As writing fails.
pub fn run(man: &Man, out: &mut dyn Write) -> io::Result<u8> {
    let mut all = super::command();
    all.build();
    let page = match &man.command {
        None => Some(all),
        Some(name) => all.find_subcommand(name).cloned(),
    };
    let Some(page) = page else {
        let name = man.command.as_deref().unwrap_or_default();
        crate::report::notice(&format!("there is no command {name}; `ctp --help` lists them"));
        return Ok(crate::report::EXIT_SYSTEM);
    };
    Page::new(page).manual("ctp").render(out)?;
    Ok(0)
}
