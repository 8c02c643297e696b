//! Owns asking bpftrace: at every symbol of a function, clones among them, its arguments by their position, which is all
//! that it knows of them: `argN`, from the seventh on `sargN`; of Go's calling convention the registers in their order.

use std::fmt::Write as _;
use std::process::Command;

use ctp_tests::process::{attempt, run};

use crate::Traced;
use crate::reads::{Hit, Kind, Read};

/// Go's registers of whole numbers (its ABI0 has none; this is ABIInternal).
const GO: [&str; 9] = ["ax", "bx", "cx", "di", "si", "r8", "r9", "r10", "r11"];

/// What the program printed, and the hits.
pub(crate) fn trace(traced: &Traced<'_>) -> (String, Vec<Hit>) {
    let path = traced.build.path.display();
    let listed = run(Command::new("nm").args(["-P", "--defined-only"]).arg(&traced.build.path)).stdout;
    let symbols: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.rsplitn(4, ' ').last())
        .filter(|symbol| !symbol.contains(".cold"))
        .collect();
    let mut script = String::new();
    for (number, function) in traced.functions.all.iter().enumerate() {
        let clone = format!("{}.", function.symbol);
        let (mut format, mut values) = (String::new(), String::new());
        for (position, (name, kind)) in function.parameters.iter().enumerate() {
            let source = match (traced.functions.go, position) {
                (true, _) => match GO.get(position) {
                    Some(register) => format!("reg(\"{register}\")"),
                    None => continue,
                },
                (false, 0..=5) => format!("arg{position}"),
                (false, _) => format!("sarg{}", position - 6),
            };
            match kind {
                Kind::Number { .. } => {
                    write!(format, "|{name}=%llx").unwrap();
                    write!(values, ", {source}").unwrap();
                }
                Kind::Text => {
                    write!(format, "|{name}=%s").unwrap();
                    write!(values, ", str({source})").unwrap();
                }
                Kind::Float(_) | Kind::Whole => {}
            }
        }
        for symbol in symbols.iter().filter(|symbol| **symbol == function.symbol || symbol.starts_with(&clone)) {
            writeln!(script, "uprobe:{path}:\"{symbol}\" {{ printf(\"hit {number}{format}\\n\"{values}); }}").unwrap();
        }
    }
    if script.is_empty() {
        script += "BEGIN { }";
    }
    let printed = traced.folder.path().join("printed");
    // It starts no scripts.
    let start = format!("/bin/sh {} {path} {}", traced.start, printed.display());
    let mut bpftrace = Command::new("bpftrace");
    let script = traced.folder.write("script.bt", &script);
    let output = attempt(bpftrace.args([script.as_str(), "-c", &start]));
    let mut hits = Vec::new();
    for line in output.stdout.lines() {
        let Some(line) = line.strip_prefix("hit ") else { continue };
        let mut parts = line.split('|');
        let number: usize = parts.next().unwrap().parse().unwrap();
        let function = &traced.functions.all[number];
        let mut values = Vec::new();
        for part in parts {
            let Some((name, read)) = part.split_once('=') else { continue };
            let Some((_, kind)) = function.parameters.iter().find(|one| one.0 == name) else { continue };
            let read = match kind {
                Kind::Number { bits, .. } => Read::Number(u64::from_str_radix(read, 16).unwrap(), *bits),
                _ => Read::Text(read.to_owned()),
            };
            values.push((name.to_owned(), read));
        }
        hits.push(Hit { function: function.plain.clone(), values });
    }
    if hits.is_empty() {
        println!("bpftrace, {}: no hits: {}", traced.build.label, output.stderr.lines().next().unwrap_or_default());
    }
    (std::fs::read_to_string(&printed).unwrap(), hits)
}
