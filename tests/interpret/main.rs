//! Runs every case of `cases/trace`: programs with what they print written beside them, checked against a machine made up
//! of one container and run by the interpreter, on real programs stopped at every probed address.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod case;
mod hits;
mod printf;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

#[test]
fn every_case() {
    let folder = cases().join("trace");
    let mut wrong = String::new();
    let mut count = 0;
    for path in listed(&folder).iter().filter(|path| extension(path) == "ctp") {
        wrong.push_str(&case::run(&folder, path));
        count += 1;
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count > 0);
}

#[test]
fn no_file_among_the_cases_is_there_for_nothing() {
    let folders: Vec<_> = listed(&cases()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(folders, ["check", "run", "syntax", "trace"], "every folder of cases has a test program that runs it");
    let files = listed(&cases().join("trace"));
    let texts = files.iter().filter(|path| extension(path) == "ctp").map(|path| std::fs::read_to_string(path).unwrap());
    let used: HashSet<String> = texts.filter_map(|text| case::settings(&text).source).collect();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let known = extension(&path) == "ctp" || used.contains(name) || name == "README.md";
        assert!(known, "{} is run by nothing", path.display());
    }
}

#[test]
fn a_case_that_prints_something_else_fails() {
    let scratch = ctp_tests::unique::Scratch::new();
    for (text, fails) in [
        ("probe begin { println(1) }  #= 1\n", false),
        ("probe begin { println(1) }  #= 2\n", true),
        ("probe begin { println(1) }\n", true),
        ("probe begin { println(1) }  #= 1\n#= 2\n", true),
        ("probe begin { println(1 / 0) }  #~ E0208 division by zero\n", false),
        ("probe begin { println(1 / 0) }\n", true),
        ("probe begin { println(1) }  #= 1\n#~ E0208 division by zero\n", true),
    ] {
        let path = scratch.write("case.ctp", text);
        assert_eq!(!case::run(scratch.path(), Path::new(&path)).is_empty(), fails, "{text}");
    }
}
