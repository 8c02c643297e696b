//! The cases after ideas of SystemTap's own test suite, whose answers the interpreter holds: stap accepts each script,
//! and probes at the addresses that ctp meant; or SystemTap cannot express it, and that is what is said.

use std::path::{Path, PathBuf};

use ctp_lang::codes::Code;
use ctp_lang::emit::stap::{Options, Script, Written, emit};

use crate::sample::Sample;
use crate::stap::Root;
use crate::world::{Samples, checked};

/// What SystemTap cannot express: the case and words of the message.
const REFUSED: [(&str, &str); 1] = [("suite_pretty.ctp", "whole values")];

/// After the suite's test library: a function of a library, by its name and by a pattern of it.
const LIBRARY: &str = r#"
probe container("web"):lib("libsuite.so.1").fn("twice") { println($number) }
probe container("web"):lib("libsuite*").fn("twice").return { println($return, @entry($number)) }
probe container("web"):lib("libsuite*").mark("suite", "half") { println(arg(1)) }
"#;

/// What is wrong with what stap makes of a script for one file.
fn held(name: &str, script: &Script, file: &Path) -> Result<(), String> {
    let files: Vec<&Path> = script.files.iter().map(|_| file).collect();
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

fn suite() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/trace");
    let files = std::fs::read_dir(folder).expect("cases").map(|entry| entry.expect("a case").path());
    let mut cases: Vec<(String, String)> = files
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let is_case = name.starts_with("suite_") && name.ends_with(".ctp");
            is_case.then(|| (name, std::fs::read_to_string(&path).expect("a case is text")))
        })
        .collect();
    cases.sort();
    cases
}

fn built(text: &str) -> PathBuf {
    let source = text.lines().find_map(|line| line.strip_prefix("#$ ")).expect("a case names its program");
    let compiler = if source.ends_with(".cpp") { "g++" } else { "gcc" };
    Sample::of(&format!("../cases/trace/{source}"), compiler, &["-O2", "-fno-lto"]).path
}

#[test]
fn every_case_after_its_suite_is_accepted_or_refused_by_name() {
    let mut wrong = Vec::new();
    let mut refused = Vec::new();
    let cases = suite();
    for (name, text) in &cases {
        let world = Samples(vec![("/app/bin", built(text))]);
        let (sources, program) = checked(name, text, &world);
        for written in [Written::Text, Written::Records] {
            match emit(&program, &sources, &Options { written, ..Options::default() }) {
                Ok(script) => wrong.extend(held(name, &script, &world.0[0].1).err()),
                Err(errors) => {
                    let says =
                        |message: &str| REFUSED.iter().any(|(case, words)| case == name && message.contains(words));
                    if !errors.iter().all(|error| error.code == Code::E0302 && says(&error.message)) {
                        wrong.push(format!("{name} is refused: {errors:#?}"));
                    }
                    refused.push(name.as_str());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    refused.dedup();
    assert_eq!(refused, REFUSED.map(|(case, _)| case), "what is refused");
    assert!(cases.len() > 7, "{} cases", cases.len());
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
    held("library.ctp", &script, &library.path).expect("what stap makes of it");
    for address in library.breakpoints("twice") {
        assert!(script.points.iter().any(|point| point.address == address), "{address:#x} in\n{}", script.text);
    }
}
