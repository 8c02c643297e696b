//! Owns `--plan`: what would be attached where, for people. Attaches nothing.

use std::fmt::Write as _;

use ctp_lang::debuginfo::facts::{AddressRule, Price, SiteKind};
use ctp_lang::ir::{ContainerIndex, Exits, Probe, ProbeKind, Program, Site};

use crate::output::escape::escape;

/// The plan of a program: a paragraph for each probe. `sessions`: whether the kernel's return probes are used where the
/// functions allow it, or why not.
pub fn text(program: &Program, by_process: bool, sessions: Result<(), &str>) -> String {
    let mut out = String::new();
    for probe in &program.probes {
        let _ = writeln!(out, "{}", escape(&probe.point));
        paragraph(&mut out, program, probe, sessions);
    }
    for text in program.containers.iter().filter_map(crate::container::boundary::note) {
        let _ = writeln!(out, "{}", escape(&text));
    }
    if program.sites().next().is_some() {
        out.push_str(if by_process {
            "attached to each process of those containers: others that execute the same file pay nothing; the first \
             milliseconds of a new process are not seen\n"
        } else {
            "attached to the files: nothing is missed, and whoever else executes the same file pays for each call \
             (--attach process spares them)\n"
        });
    }
    out
}

fn paragraph(out: &mut String, program: &Program, probe: &Probe, sessions: Result<(), &str>) {
    match &probe.kind {
        ProbeKind::Begin(_) => out.push_str("  runs in ctp, when tracing starts\n"),
        ProbeKind::End(_) => out.push_str("  runs in ctp, when tracing ends\n"),
        ProbeKind::Every { period, .. } => {
            let _ = writeln!(out, "  runs in ctp, every {} ms", period / 1_000_000);
        }
        ProbeKind::Sites(variants) => {
            let mut sites: Vec<&Site> = variants.iter().flat_map(|variant| &variant.sites).collect();
            sites.sort_by_key(|site| (site.file, site.address));
            let mut file = None;
            for site in sites {
                if file != Some(site.file) {
                    file = Some(site.file);
                    heading(out, program, site);
                }
                let passed = match site.passed {
                    0 => String::new(),
                    bytes => format!(", {bytes} bytes on, past what changes nothing"),
                };
                let _ = writeln!(
                    out,
                    "    {:#x} (file offset {:#x}) {}: {}; {}{passed}; {}{}",
                    site.address,
                    site.file_offset,
                    escape(site.function.as_bytes()),
                    escape(kind(&site.kind)),
                    rule(site.rule),
                    price(site.price),
                    if site.repeats { "; a loop leads back to it" } else { "" }
                );
                site.exits.iter().for_each(|exits| ends(out, exits, sessions));
            }
        }
    }
}

fn heading(out: &mut String, program: &Program, site: &Site) {
    let Some(file) = program.file(site.file) else { return };
    let name = |index: &ContainerIndex| program.container(*index).map(|container| escape(container.display_name()));
    let containers: Vec<String> = site.containers.iter().filter_map(name).collect();
    let build = file.build_id.as_ref().map_or_else(|| "no build id".to_owned(), |id| format!("build id {id}"));
    let _ = writeln!(out, "  {} in {} ({build})", escape(&file.path), containers.join(", "));
}

/// Where the calls end that began at a site.
fn ends(out: &mut String, exits: &Exits, sessions: Result<(), &str>) {
    match exits.uretprobe.clone().and(sessions.map_err(str::to_owned)) {
        Ok(()) => {
            out.push_str(
                "      returns are seen by a session of this probe: nothing but its return instructions leads out of a call\n",
            );
            return;
        }
        Err(why) => {
            let _ = writeln!(out, "      returns are seen by instructions: {}", escape(why.as_bytes()));
        }
    }
    for exit in &exits.places {
        let what = match (exit.tail, &exit.when) {
            (false, _) => "returns",
            (true, None) => "goes on in another function",
            (true, Some(_)) => "may go on in another function",
        };
        let _ = writeln!(
            out,
            "      {:#x} (file offset {:#x}) {what}; {}",
            exit.address,
            exit.file_offset,
            price(exit.price)
        );
    }
}

fn price(price: Price) -> &'static str {
    match price {
        Price::WideNop => "a nop of 5 bytes",
        Price::Emulated => "emulated",
        Price::Stepped => "single-stepped",
    }
}

fn kind(kind: &SiteKind) -> String {
    match kind {
        SiteKind::OutOfLine => "the function itself".to_owned(),
        SiteKind::Inlined { into, call: Some(line) } => format!("inlined into {into} at {line}"),
        SiteKind::Inlined { into, call: None } => format!("inlined into {into}"),
        SiteKind::Symbol => "a symbol without debug info".to_owned(),
    }
}

fn rule(rule: AddressRule) -> &'static str {
    match rule {
        AddressRule::LowPc => "its first address, where its locations hold",
        AddressRule::PrologueEnd => "behind its prologue, by the line table's mark",
        AddressRule::SecondLine => "behind its prologue, at the line table's second row",
        AddressRule::StackCheck => "behind its stack check",
        AddressRule::InlineEntry => "the entry of the inlined code",
        AddressRule::InlineBody => "where every pass through the inlined code begins",
        AddressRule::Symbol => "the symbol's address",
        AddressRule::Address => "the address that was asked for",
        AddressRule::Line => "where control comes to the line",
        AddressRule::Mark => "where the mark stands",
    }
}
