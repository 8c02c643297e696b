//! Every golden program, as text for people and as records: stap accepts its script, and probes at the addresses that ctp
//! meant; or SystemTap cannot express it, and that is what is said. One table for all: a case that is refused and not in
//! it fails, and so does one in it that is not refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ctp_lang::check::{Settings, check};
use ctp_lang::codes::Code;
use ctp_lang::emit::stap::{KnownBy, Options, Script, Written, emit};
use ctp_lang::source::Sources;
use ctp_lang::syntax::parse;
use ctp_lang::world::TargetKind;

use crate::sample::Sample;
use crate::stap::Root;
use crate::world::{Samples, checked};

/// Where golden programs are: each prints what is written beside it.
const FOLDERS: [&str; 2] = ["run", "trace"];

/// What SystemTap cannot express: the case and words of each message.
const REFUSED: [(&str, &str); 4] = [
    ("run/aggregates.ctp", "a quantile"),
    ("run/foreach.ctp", "a loop over a map that changes it"),
    ("trace/suite_pretty.ctp", "whole values"),
    ("trace/texts.ctp", "`strftime`"),
];

/// After the library of SystemTap's own test suite: a function of a library, by its name and by a pattern of it.
const LIBRARY: &str = r#"
probe container("web"):lib("libsuite.so.1").fn("twice") { println($number) }
probe container("web"):lib("libsuite*").fn("twice").return { println($return, @entry($number)) }
probe container("web"):lib("libsuite*").mark("suite", "half") { println(arg(1)) }
"#;

/// What is wrong with what stap makes of a script for one file.
fn held(name: &str, script: &Script, file: Option<&Path>) -> Result<(), String> {
    let files: Vec<&Path> = script.files.iter().filter_map(|_| file).collect();
    let answer = Root::with(&files).stap(&script.text, &["-p2", "-v"]);
    if !answer.ok {
        return Err(format!("{name}: {}\n{}", answer.err, script.text));
    }
    for (index, slot) in script.files.iter().enumerate() {
        let meant: Vec<u64> =
            script.points.iter().filter(|point| point.slot == index).map(|point| point.address).collect();
        // Where probes share an address it is meant once.
        let mut found = answer.addresses(&slot.path);
        found.dedup();
        if found != meant {
            return Err(format!("{name} probes at {found:x?}, not at {meant:x?}\n{}", script.text));
        }
    }
    Ok(())
}

/// The golden programs by folder and name, with their texts.
fn cases() -> Vec<(String, String)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut all: Vec<(String, String)> = FOLDERS
        .iter()
        .flat_map(|folder| {
            std::fs::read_dir(cases.join(folder)).expect("cases").map(|entry| entry.expect("a case").path())
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "ctp"))
        .map(|path| {
            let name = path.strip_prefix(&cases).expect("a case").to_str().expect("a plain name").to_owned();
            (name, std::fs::read_to_string(&path).expect("a case is text"))
        })
        .collect();
    all.sort();
    all
}

/// The program that a case traces, where it traces one.
fn traced(text: &str) -> Option<PathBuf> {
    let source = text.lines().filter_map(|line| line.strip_prefix("#$ ")).find(|line| !line.starts_with("--"))?.trim();
    let compiler = if source.ends_with(".cpp") { "g++" } else { "gcc" };
    Some(Sample::of(&format!("../cases/trace/{source}"), compiler, &["-O2", "-fno-lto"]).path)
}

#[test]
fn every_golden_program_is_accepted_or_refused_by_name() {
    let mut wrong = Vec::new();
    let mut refused = BTreeSet::new();
    let mut accepted = 0;
    let cases = cases();
    for (name, text) in &cases {
        let file = traced(text);
        let world = Samples(file.iter().map(|file| ("/app/bin", file.clone())).collect());
        let mut sources = Sources::default();
        let (tree, mut diagnostics) = parse(sources.add(name.as_str(), text.as_str()), text);
        let (program, found) = check(&sources, &[tree], &world, &Settings::default());
        diagnostics.extend(found);
        let Some(program) = program.filter(|_| !diagnostics.iter().any(|one| one.is_error())) else {
            // It is about its errors, which are written beside it; nothing is emitted.
            assert!(text.contains("#~ E"), "{name} is wrong: {diagnostics:#?}");
            continue;
        };
        let known = REFUSED.iter().find(|(case, _)| case == name).map(|(_, words)| *words);
        for written in [Written::Text, Written::Records] {
            // Only records tell of containers that come later.
            match emit(&program, &sources, &Options { written, newcomers: true, ..Options::default() }) {
                Ok(script) => {
                    wrong.extend(held(name, &script, file.as_deref()).err());
                    accepted += 1;
                }
                Err(errors) => {
                    let says = |message: &str| known.is_some_and(|words| message.contains(words));
                    for error in errors.iter().filter(|error| error.code != Code::E0302 || !says(&error.message)) {
                        wrong.push(format!("{name} is refused: {}", error.message));
                    }
                    refused.insert(name.as_str());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let table: Vec<&str> = REFUSED.iter().map(|(case, _)| *case).collect();
    assert!(refused.into_iter().eq(table.iter().copied()), "what is refused is not what the table says: {table:?}");
    assert!(accepted > 40, "{accepted} scripts");
}

#[test]
fn a_process_is_told_by_its_number() {
    let program = Sample::build("gcc", &["-O2"]);
    let world = Samples(vec![("/app/bin", program.path.clone())]);
    let (sources, mut checked) = checked("pid.ctp", r#"probe container("web").fn("main") { println(pid()) }"#, &world);
    checked.containers.iter_mut().for_each(|container| container.kind = TargetKind::Process);
    for written in [Written::Text, Written::Records] {
        let script = emit(&checked, &sources, &Options { written, ..Options::default() }).expect("a script");
        held("pid.ctp", &script, Some(&program.path)).expect("what stap makes of it");
        assert!(script.text.contains("if (!ctp_descends(want_pid, want_start)) next"), "{}", script.text);
        assert!(script.containers.iter().all(|want| want.by == KnownBy::Process));
    }
    // Nobody can keep the tasks of a container that starts out in time.
    checked.containers.iter_mut().for_each(|container| container.kind = TargetKind::Host);
    let refused = emit(&checked, &sources, &Options::default()).expect_err("the host");
    assert!(refused.iter().all(|one| one.code == Code::E0302), "{refused:?}");
}

#[test]
fn a_library_is_probed_where_gdb_breaks_in_it() {
    let library = Sample::of("library.c", "gcc", &["-O2", "-shared", "-fPIC"]);
    let executable = Sample::build("gcc", &["-O2"]);
    let world = Samples(vec![("/app/bin", executable.path), ("/usr/lib/libsuite.so.1", library.path.clone())]);
    let (sources, program) = checked("library.ctp", LIBRARY, &world);
    let script = emit(&program, &sources, &Options::default()).expect("a script");
    let [slot] = script.files.as_slice() else { panic!("only the library is probed:\n{}", script.text) };
    assert_eq!(program.file(slot.file).map(|file| file.path.as_str()), Some("/usr/lib/libsuite.so.1"));
    held("library.ctp", &script, Some(&library.path)).expect("what stap makes of it");
    for address in library.breakpoints("twice") {
        assert!(script.points.iter().any(|point| point.address == address), "{address:#x} in\n{}", script.text);
    }
}
