//! The repository's promises about itself: nothing is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ctp_lang::codes::Code;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The folders of `tests/` that are test programs.
fn programs() -> Vec<String> {
    let tests = top().join("tests");
    names(&tests).into_iter().filter(|name| tests.join(name).join("main.rs").exists()).collect()
}

#[test]
fn each_folder_with_tests_is_a_test_program() {
    let manifest = fs::read_to_string(top().join("tests/Cargo.toml")).unwrap();
    let run = fs::read_to_string(top().join("tests/run")).unwrap();
    assert!(!programs().is_empty());
    for program in programs() {
        assert!(manifest.contains(&format!("path = \"{program}/main.rs\"")), "tests/Cargo.toml knows no {program}");
        let is_run = run.lines().any(|line| line.contains(&format!("--test {program}")));
        assert!(is_run, "tests/run runs no {program}");
    }
}

#[test]
fn each_test_file_belongs_to_its_program() {
    for program in programs() {
        let folder = top().join("tests").join(&program);
        let main = fs::read_to_string(folder.join("main.rs")).unwrap();
        for name in names(&folder) {
            let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") else { continue };
            assert!(main.contains(&format!("mod {module};")), "tests/{program}/main.rs names no {module}");
        }
    }
}

#[test]
fn each_traced_program_is_traced() {
    let fixtures = top().join("tests/fixtures/programs");
    let text = |folder: &Path| -> String {
        let files = names(folder).into_iter().filter(|name| name.ends_with(".rs"));
        files.map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect()
    };
    let tests: String = ["live", "containers", "stap"].map(|part| text(&top().join("tests").join(part))).concat();
    for name in names(&fixtures).iter().filter(|name| name.ends_with(".c")) {
        assert!(tests.contains(&format!("\"{name}\"")), "no test traces {name}");
    }
}

#[test]
fn each_code_has_its_page_and_each_page_its_code() {
    let pages = names(&top().join("docs/errors"));
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(pages, codes);
    for code in Code::ALL {
        let page = fs::read_to_string(top().join(format!("docs/errors/{code}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {code}: {}\n", code.title())), "the heading of {code}");
        assert!(page.contains("\n## Example\n") && page.contains("\n## Cure\n"), "{code} lacks an example or a cure");
    }
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("    ./")).collect();
    assert!(commands.len() >= 2, "{commands:?}");
    assert!(commands[0].starts_with("    ./examples/demo"), "{commands:?}");
    assert!(commands[1].starts_with("    ./tests/run"), "{commands:?}");
}
