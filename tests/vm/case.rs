//! Owns what a case expects: which lines of the traced programs, and which besides.
//!
//! In a case's comments
//! - `#$ TAG TAG` names the tags of the programs' lines (what stands before their `: `) that the case shows in full and in
//!   order; `#$ bare TAG`: without the tag;
//! - `#= TEXT` is a line that follows them when tracing ends, worked out from what `programs/traced.c` says that it does;
//! - `#@ PROCESS PROCESS` says whose lines, in the order in which they are called, where it is not `early late`.

use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/cases")
}

/// The names of all cases, sorted.
pub(crate) fn all() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "ctp"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The text of a case.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.ctp"))).unwrap()
}

/// What a case prints, given what each traced process printed.
pub(crate) fn expected(name: &str, printed_by: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let text = text(name);
    let words = |mark: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let processes = words("#@ ").pop().unwrap_or_else(|| vec!["early", "late"]);
    let (bare, whole): (Vec<_>, Vec<_>) = words("#$ ").into_iter().partition(|tags| tags.first() == Some(&"bare"));
    let (bare, whole) = (bare.concat(), whole.concat());
    let shown = |line: String| {
        let (tag, rest) = line.split_once(": ")?;
        if whole.contains(&tag) {
            return Some(line);
        }
        bare.contains(&tag).then(|| rest.to_owned())
    };
    let mut expected: Vec<String> =
        processes.iter().flat_map(|process| printed_by(process)).filter_map(shown).collect();
    assert_eq!(bare.is_empty() && whole.is_empty(), expected.is_empty(), "the programs printed nothing of it");
    let end = text.lines().filter_map(|line| line.trim_start().strip_prefix("#="));
    expected.extend(end.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()));
    expected
}
