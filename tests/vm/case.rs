//! Owns what a case expects: which lines of the traced programs, and which besides.
//!
//! In a case's comments, `#$ TAG TAG` names the tags of the programs' lines (what stands before their `: `) that the
//! case shows in full and in order; `#= TEXT` is a line that follows them when tracing ends, worked out from what
//! `programs/traced.c` says that it does.

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

/// What a case prints where its container's programs printed `printed`, line by line.
pub(crate) fn expected(name: &str, printed: &[String]) -> Vec<String> {
    let text = text(name);
    let tags: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("#$ ")).flat_map(str::split_whitespace).collect();
    let is_shown = |line: &&String| line.split_once(": ").is_some_and(|(tag, _)| tags.contains(&tag));
    let mut expected: Vec<String> = printed.iter().filter(is_shown).cloned().collect();
    assert_eq!(tags.is_empty(), expected.is_empty(), "the programs printed nothing of {tags:?}: {printed:?}");
    let end = text.lines().filter_map(|line| line.trim_start().strip_prefix("#="));
    expected.extend(end.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()));
    expected
}
