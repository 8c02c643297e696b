//! Runs every case of `cases/syntax` and `cases/check`: programs whose faults are written beside them.
//!
//! `#~ E0002 never ends` behind a line expects a diagnostic there ([`expected`]). One that no such comment expects fails
//! the case, and so does one expected that does not come.

mod check;
mod format;
mod hostile;
mod runs;
mod states;

use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::source::Sources;
use ctp_lang::syntax;
use ctp_lang::syntax::ast::File;
use ctp_tests::expected;
use std::path::{Path, PathBuf};

/// What is wrong with a case; empty for nothing. `behind` looks at what the parser made of it.
fn run(path: &Path, behind: &dyn Fn(&Sources, File) -> Vec<Diagnostic>) -> String {
    let text = std::fs::read_to_string(path).expect("a case is text");
    let mut sources = Sources::default();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let id = sources.add(name, text.as_str());
    let (file, mut diagnostics) = syntax::parse(id, &text);
    diagnostics.extend(behind(&sources, file));
    expected::compare(&path.display().to_string(), &text, &sources, id, &diagnostics)
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the folder of cases").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_case() {
    let cases = cases("syntax");
    assert!(cases.len() >= 15, "cases are missing: {cases:?}");
    let mut wrong = String::new();
    for path in cases {
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("ctp"), "{} is run by nothing", path.display());
        wrong.push_str(&run(&path, &|_, _| Vec::new()));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_fault_nobody_expects_fails_its_case() {
    let folder = std::env::temp_dir().join(format!("ctp-syntax-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let case = folder.join("case.ctp");
    for (text, fails) in [
        ("probe begin { x = ) }\n", true),
        ("probe begin { x = 1 }  #~ E0001 nothing is wrong here\n", true),
        ("probe begin { x = ) }  #~ E0001 expected an expression\n", false),
        ("probe begin { x = ) }  #~ E0001 expected an expression\n#~ help: none such\n", true),
    ] {
        std::fs::write(&case, text).unwrap();
        assert_eq!(!run(&case, &|_, _| Vec::new()).is_empty(), fails, "{text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
