//! Runs every case of `cases/check` through the checker: programs for a machine whose container `web` holds the
//! programs of `examples`, with what is wrong written beside it as in `cases/syntax`.

use std::path::Path;

use ctp_lang::check::{Settings, check};
use ctp_lang::codes::Code;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::expected;
use ctp_tests::world::Machine;

use super::{cases, run};

/// Codes that take a text too long for a case, a program without debug info or built otherwise, several containers, or
/// a machine in a certain state: the tests of those hold them.
const NO_CASE: [Code; 25] = [
    Code::E0005,
    Code::E0009,
    Code::E0102,
    Code::E0103,
    Code::E0109,
    Code::E0110,
    Code::E0111,
    Code::E0112,
    Code::E0115,
    Code::E0205,
    Code::E0301,
    Code::E0302,
    Code::E0303,
    Code::E0401,
    Code::E0402,
    Code::E0403,
    Code::E0404,
    Code::E0405,
    Code::E0406,
    Code::E0407,
    Code::W0003,
    Code::W0004,
    Code::W0005,
    Code::W0006,
    Code::W0008,
];

#[test]
fn each_code_has_a_case() {
    let paths = cases("syntax").into_iter().chain(cases("check"));
    let texts = paths.map(|path| std::fs::read_to_string(path).expect("a case is text"));
    let with_case: Vec<String> = texts.flat_map(|text| expected::codes(&text)).collect();
    for code in Code::ALL {
        let has_case = with_case.iter().any(|known| known == code.as_str());
        assert_eq!(
            has_case,
            !NO_CASE.contains(code),
            "{code}: whether a case expects it, and whether the list says so"
        );
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
