//! Owns `ctp explain`: the page of a code, and the list of all codes. The pages are part of the program.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;
use ctp_lang::codes::Code;
use ctp_lang::diagnostic::nearest_names;

use crate::error::Failure;
use crate::report;

/// Tell what a code means, with an example and its cure
#[derive(Args, Debug)]
pub struct Explain {
    /// The code of a message, such as E0104; without it all codes are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// Prints a page or the list; 2 where there is no such code.
///
/// # Errors
/// [`Failure`] where standard output cannot be written.
pub fn run(explain: &Explain) -> Result<u8, Failure> {
    let text = match &explain.code {
        None => list(),
        Some(name) => match Code::parse(name.trim()) {
            Some(code) => code.page().to_owned(),
            None => {
                let codes = Code::ALL.iter().map(|code| code.as_str());
                let near = nearest_names(&name.trim().to_uppercase(), codes, 3);
                let way_out = match near.as_slice() {
                    [] => String::new(),
                    near => format!("; near it are {}", near.join(", ")),
                };
                report::notice(&format!("there is no code `{name}`{way_out}. `ctp explain` lists them all"));
                return Ok(report::EXIT_SYSTEM);
            }
        },
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::File { action: "write", path: "standard output".to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(0),
    }
}

/// Every code with its title, group by group.
fn list() -> String {
    let mut out = String::new();
    let mut group = None;
    for code in Code::ALL {
        if group != Some(code.group()) {
            let blank = if group.is_some() { "\n" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{blank}{}", code.group().title());
            group = Some(code.group());
        }
        let _ = writeln!(out, "  {code}  {}", code.title());
    }
    out
}
