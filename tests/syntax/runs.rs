//! Runs every case of `cases/run`: a program beside what it prints. `begin` and `end` run in the interpreter, then what
//! nothing reads is printed; a line that begins with `--` says how a handler ended otherwise.

use std::fmt::Write as _;
use std::path::Path;

use ctp_lang::check::check;
use ctp_lang::interpret::recorded::Recorded;
use ctp_lang::interpret::{self, Machine as _, Stop};
use ctp_lang::ir::{GlobalIndex, GlobalKind, PrintKind, ProbeKind, Program};
use ctp_lang::render;
use ctp_lang::source::Sources;
use ctp_lang::syntax;
use ctp_lang::value::{self, Value};
use ctp_tests::world::Machine;

use super::cases;

/// What a program prints.
fn output(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a case is text");
    let mut sources = Sources::default();
    let id = sources.add(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text.as_str());
    let (file, mut diagnostics) = syntax::parse(id, &text);
    let (program, found) = check(&sources, &[file], &Machine::new(&[], &[]), &ctp_lang::check::Settings::default());
    diagnostics.extend(found);
    let drawn = render::short(&sources, &diagnostics);
    let Some(program) = program.filter(|_| diagnostics.is_empty()) else { return drawn };
    let mut machine = Recorded::new(&program);
    let mut out = Vec::new();
    for at_end in [false, true] {
        for probe in &program.probes {
            let handler = match &probe.kind {
                ProbeKind::Begin(handler) if !at_end => handler,
                ProbeKind::End(handler) if at_end => handler,
                ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } | ProbeKind::Sites(_) => continue,
            };
            let run = match interpret::run(&program, handler, &mut machine) {
                Ok(run) => run,
                Err(stop) => {
                    let (why, span) = match stop {
                        Stop::Fault(span) => ("a fault", span),
                        Stop::DivisionByZero(span) => ("a division by zero", span),
                        Stop::StepLimit(span) => ("too many rounds", span),
                        Stop::NotHere(span) => ("what is not here", span),
                    };
                    out.extend(format!("-- stopped by {why}: {}\n", sources.slice(span)).into_bytes());
                    continue;
                }
            };
            for (print, values) in &run.prints {
                let error = print.kind == PrintKind::Error;
                out.extend_from_slice(if error { b"-- error: " } else { b"" });
                value::write_print(&mut out, print, values, &program);
                out.extend_from_slice(if error { b"\n" } else { b"" });
            }
            out.extend_from_slice(if run.exit { b"-- exit\n" } else { b"" });
        }
    }
    unread(&mut out, &program, &mut machine);
    String::from_utf8(out).expect("text")
}

/// What nothing reads, as the engines print it when tracing ends.
fn unread(out: &mut Vec<u8>, program: &Program, machine: &mut Recorded<'_>) {
    for (index, global) in (0..).map(GlobalIndex).zip(&program.globals).filter(|(_, global)| global.printed_at_end) {
        let mut entries: Vec<(Vec<Value>, Value)> = match global.kind {
            GlobalKind::Scalar { .. } => machine.get(index, &[]).map(|value| (Vec::new(), value)).into_iter().collect(),
            GlobalKind::Map { .. } | GlobalKind::Stats { .. } => machine.entries(index),
        };
        value::sort_entries(&mut entries);
        entries.iter().for_each(|(keys, value)| value::write_global(out, &global.name, keys, value));
    }
}

#[test]
fn every_case() {
    let cases = cases("run");
    let mut wrong = String::new();
    let mut ran = 0;
    for path in &cases {
        let expected = path.with_extension("txt");
        assert!(
            cases.contains(&expected) && cases.contains(&path.with_extension("ctp")),
            "{} stands alone",
            path.display()
        );
        if *path == expected {
            continue;
        }
        ran += 1;
        let (said, printed) = (std::fs::read_to_string(&expected).expect("text"), output(path));
        if said != printed {
            let _ = write!(wrong, "{}:\n{printed}-- expected:\n{said}", path.display());
        }
    }
    assert!(ran >= 8 && wrong.is_empty(), "{ran} cases\n{wrong}");
}
