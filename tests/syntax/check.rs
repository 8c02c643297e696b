//! Runs every case of `cases/check` through the checker: programs for a machine whose container `web` holds the
//! programs of `examples`, with what is wrong written beside it as in `cases/syntax`.

use std::path::Path;

use ctp_lang::check::{Settings, check};
use ctp_lang::codes::Code;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::codes::{ELSEWHERE, is_elsewhere};
use ctp_tests::expected;
use ctp_tests::world::Machine;

use super::{cases, run};

#[test]
fn each_code_has_a_case() {
    let paths = cases("syntax").into_iter().chain(cases("check"));
    let texts = paths.map(|path| std::fs::read_to_string(path).expect("a case is text"));
    let with_case: Vec<String> = texts.flat_map(|text| expected::codes(&text)).collect();
    for code in Code::ALL {
        let has_case = with_case.iter().any(|known| known == code.as_str());
        assert_eq!(has_case, !is_elsewhere(*code), "{code}: whether a case expects it, and whether the list says so");
    }
    for (code, file) in ELSEWHERE {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a test file");
        assert!(text.contains(code.as_str()), "{file} expects no {code}");
    }
}

#[test]
fn every_case() {
    let [app, kinds] = ["examples/test_app.c", "examples/kinds.c"].map(|c| Binary::compile(c, Compiler::Gcc, &["-g"]));
    let machine = Machine::new(&["web"], &[("/app/test_app", &app.path()), ("/app/kinds", &kinds.path())]);
    let cases = cases("check");
    assert!(cases.len() >= 10, "cases are missing: {cases:?}");
    let mut wrong = String::new();
    for path in cases {
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("ctp"), "{} is run by nothing", path.display());
        wrong.push_str(&run(Path::new(&path), &|sources, file| {
            check(sources, &[file], &machine, &Settings::default()).1
        }));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
