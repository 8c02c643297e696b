//! Owns asking perf: `perf probe` of every function, with all parameters that it takes of it by name. Wants tracefs.

use std::collections::BTreeSet;
use std::process::Command;

use ctp_tests::process::{attempt, run};
use ctp_tests::unique;

use crate::Traced;
use crate::reads::{Function, Hit, Kind, Read};

/// Events of the kernel's that are removed at the end.
struct Events(String);

impl Drop for Events {
    fn drop(&mut self) {
        attempt(Command::new("perf").args(["probe", "--quiet", "--del", &format!("{}:*", self.0)]));
    }
}

/// The name as debug info has it, without what a language puts around it.
fn name(function: &Function, go: bool) -> &str {
    if go {
        return &function.name;
    }
    let from = function.name.find("m_").unwrap_or(0);
    let rest = &function.name[from..];
    &rest[..rest.find('(').unwrap_or(rest.len())]
}

fn probe(traced: &Traced<'_>, how: &str, definition: &str) -> bool {
    let mut perf = Command::new("perf");
    perf.args(["probe", "--quiet", "--exec"]).arg(&traced.build.path).args([how, definition]);
    attempt(&mut perf).code == Some(0)
}

/// What the program printed, and the hits.
pub(crate) fn trace(traced: &Traced<'_>) -> (String, Vec<Hit>) {
    let group = unique::name().replace('-', "_");
    let events = Events(group.clone());
    let mut seen = BTreeSet::new();
    for (number, function) in traced.functions.all.iter().enumerate() {
        let name = name(function, traced.functions.go);
        if !seen.insert(name) {
            continue;
        }
        let taken: Vec<String> = function
            .parameters
            .iter()
            .enumerate()
            .filter_map(|(at, (parameter, kind))| match kind {
                Kind::Number { .. } | Kind::Float(_) => Some(format!("p{at}={parameter}")),
                Kind::Text => Some(format!("p{at}={parameter}:string")),
                Kind::Whole => None,
            })
            .collect();
        let define = |parameters: &[String]| format!("{group}:f{number}={name} {}", parameters.join(" "));
        if probe(traced, "--add", &define(&taken)) {
            continue;
        }
        // Those alone that it takes.
        let single = |one: &String| probe(traced, "--definition", &define(std::slice::from_ref(one)));
        let taken: Vec<String> = taken.iter().filter(|one| single(one)).cloned().collect();
        probe(traced, "--add", &define(&taken));
    }
    let (printed, data) = (traced.folder.path().join("printed"), traced.folder.path().join("perf.data"));
    let mut record = Command::new("perf");
    record.args(["record", "--quiet", "--event", &format!("{group}:*"), "--output"]).arg(&data);
    let output = attempt(record.arg(traced.start).arg(&traced.build.path).arg(&printed));
    if output.code != Some(0) {
        println!("perf, {}: {}", traced.build.label, output.stderr.lines().next().unwrap_or_default());
        run(Command::new(traced.start).arg(&traced.build.path).arg(&printed));
        return (std::fs::read_to_string(&printed).unwrap(), Vec::new());
    }
    let text = attempt(Command::new("perf").args(["script", "--input"]).arg(&data)).stdout;
    drop(events);
    let hits = text.lines().filter_map(|line| hit(traced, line.split_once(&format!("{group}:f"))?.1)).collect();
    (std::fs::read_to_string(&printed).unwrap(), hits)
}

/// `NUMBER_COPY: (ADDRESS) p0=1 p1=0x2 p2="text"`.
fn hit(traced: &Traced<'_>, line: &str) -> Option<Hit> {
    let (event, rest) = line.split_once(':')?;
    let number: usize = event.split('_').next()?.parse().ok()?;
    let function = traced.functions.all.get(number)?;
    let mut values = Vec::new();
    for (at, (name, kind)) in function.parameters.iter().enumerate() {
        let Some((_, read)) = rest.split_once(&format!(" p{at}=")) else { continue };
        let read = if let Some(text) = read.strip_prefix('"') {
            Read::Text(text.split('"').next()?.to_owned())
        } else {
            let word = read.split(' ').next()?;
            let bits = match word.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => word.parse::<i64>().map(i64::cast_unsigned).ok().or_else(|| word.parse().ok()),
            };
            let Some(bits) = bits else { continue };
            match kind {
                Kind::Number { bits: width, .. } => Read::Number(bits, *width),
                Kind::Float(bytes) => Read::Number(bits, u32::try_from(bytes * 8).unwrap()),
                Kind::Text | Kind::Whole => continue,
            }
        };
        values.push((name.clone(), read));
    }
    Some(Hit { function: function.plain.clone(), values })
}
