//! Runs every case of `cases/check` through the checker: programs for a machine whose container `web` holds the
//! programs of `examples`, with what is wrong written beside it as in `cases/syntax`.

use std::path::Path;

use ctp_lang::check::{Settings, check};
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::world::Machine;

use super::{cases, run};

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
