//! The pages of the codes: the example of each does what the page says it does, and the cure cures it.

use std::fs;
use std::path::Path;

use ctp_lang::check::{Settings, check};
use ctp_lang::codes::Code;
use ctp_lang::render;
use ctp_lang::source::Sources;
use ctp_lang::syntax::parse;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::codes::is_elsewhere;
use ctp_tests::world::Machine;

/// The first program under a heading of a page.
fn program(page: &str, heading: &str) -> Option<String> {
    let section = page.split_once(&format!("\n## {heading}\n"))?.1;
    let section = section.split("\n## ").next()?;
    let block = section.split_once("```ctp\n")?.1;
    block.split_once("```").map(|(text, _)| text.to_owned())
}

#[test]
fn each_example_gives_its_code_and_each_cure_does_not() {
    // What `web` runs in examples/demo.
    let [app, kinds] = ["examples/test_app.c", "examples/kinds.c"].map(|c| Binary::compile(c, Compiler::Gcc, &["-g"]));
    let machine = Machine::new(&["web"], &[("/app/test_app", &app.path()), ("/app/kinds", &kinds.path())]);
    let found = |text: &str| {
        let mut sources = Sources::default();
        let source = sources.add("example.ctp", text);
        let (file, mut diagnostics) = parse(source, text);
        diagnostics.extend(check(&sources, &[file], &machine, &Settings::default()).1);
        let drawn = render::short(&sources, &diagnostics);
        (diagnostics.into_iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), drawn)
    };
    let mut wrong = String::new();
    for code in Code::ALL {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/errors/{code}.md")));
        let page = page.unwrap();
        let Some(example) = program(&page, "Example") else {
            if !is_elsewhere(*code) {
                wrong.push_str(&format!("{code}: its page has no program under `## Example`\n"));
            }
            continue;
        };
        let (codes, drawn) = found(&example);
        if !codes.contains(code) {
            wrong.push_str(&format!("{code}: its example gives\n{drawn}\n"));
        }
        if let Some(cure) = program(&page, "Cure") {
            let (codes, drawn) = found(&cure);
            if !codes.is_empty() {
                wrong.push_str(&format!("{code}: its cure gives\n{drawn}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
