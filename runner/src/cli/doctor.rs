//! Owns `ctp doctor`: what ctp needs of this machine and of a target, as text or JSON. Looks at nothing itself.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;

use crate::container::Settings;
use crate::doctor::kubernetes::Node;
use crate::doctor::{Finding, State, Target, examine};
use crate::output::escape::{escape, in_json};
use crate::report::{Color, EXIT_SYSTEM};
use crate::world::live::LiveWorld;

/// Say what is missing on this machine to trace, and what mends it
#[derive(Args, Clone, Debug)]
#[command(after_help = "It ends with 2 where something is missing without which nothing can be traced.")]
pub struct Doctor {
    /// A container, or a file in one: web, web:/app/bin
    #[arg(value_name = "TARGET", add = ArgValueCandidates::new(super::completions::containers))]
    pub target: Option<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Print the securityContext that a pod with ctp needs on this node, and nothing else
    #[arg(long, conflicts_with_all = ["target", "format"])]
    pub kubernetes: bool,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line each, for people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// The JSON form; `v` counts changes that are no additions.
#[derive(Serialize)]
struct Document<'a> {
    v: u32,
    ready: bool,
    findings: &'a [Finding],
}

/// Looks and writes. Returns the exit code.
///
/// # Errors
/// As writing fails.
pub fn run(doctor: &Doctor, world: &LiveWorld, color: Color, out: &mut dyn Write) -> io::Result<u8> {
    if doctor.kubernetes {
        out.write_all(Node::look(&Settings::from_env()).manifest().as_bytes())?;
        return Ok(0);
    }
    let target = doctor.target.as_deref().map(Target::parse);
    let findings = examine(world, target.as_ref());
    let ready = findings.iter().all(|finding| finding.state != State::Missing);
    match doctor.format {
        Format::Json => {
            writeln!(out, "{}", in_json(&serde_json::to_string(&Document { v: 1, ready, findings: &findings })?))?;
        }
        Format::Text => text(&findings, color.on_stdout(), out)?,
    }
    Ok(if ready { 0 } else { EXIT_SYSTEM })
}

fn text(findings: &[Finding], color: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = findings.iter().map(|finding| escape(&finding.title).chars().count()).max().unwrap_or(0);
    for finding in findings {
        let (word, code) = match finding.state {
            State::Found => ("ok     ", "32"),
            State::Limited => ("limited", "33"),
            State::Missing => ("MISSING", "31"),
            State::Optional => ("-      ", "2"),
        };
        let word = if color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        writeln!(out, "{word}  {:width$}  {}", escape(&finding.title), escape(&finding.detail))?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "         {:width$}  -> {}", "", escape(remedy))?;
        }
    }
    Ok(())
}
