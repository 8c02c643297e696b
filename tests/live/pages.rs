//! The pages of `docs/errors`: each example has the fault it is an example of, and its cure has none.

use std::fs;
use std::path::Path;

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Severity;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::ctp;
use ctp_tests::docker::{Container, Image};
use ctp_tests::unique::Scratch;

/// The program in the section of a page under `heading`, where there is one.
fn program(page: &str, heading: &str) -> Option<String> {
    let (_, section) = page.split_once(&format!("\n## {heading}\n"))?;
    let section = section.split("\n## ").next()?;
    let (_, block) = section.split_once("```ctp\n")?;
    block.split_once("```").map(|(program, _)| program.to_owned())
}

#[test]
fn each_example_has_its_fault_and_each_cure_none() {
    let image = |program: &str| {
        let binary = Binary::compile(&format!("examples/{program}.c"), Compiler::Gcc, &["-g"]);
        Image::new(&binary, &format!("/app/{program}"))
    };
    let images = [image("test_app"), image("kinds")];
    let [test_app, kinds] = images.each_ref().map(|image| Container::detached(image, &["0"]));
    let scratch = Scratch::new();
    let check = |name: &str, program: &str| {
        let program = program
            .replace(r#"container("web"):/app/kinds"#, &format!(r#"container("{}"):/app/kinds"#, kinds.name()))
            .replace(r#"container("web")"#, &format!(r#"container("{}")"#, test_app.name()));
        ctp(&["check", "--format", "short", &scratch.write(name, &program)])
    };

    let mut tried = 0;
    for code in Code::ALL {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/errors/{code}.md"));
        let page = fs::read_to_string(path).unwrap();
        let Some(example) = program(&page, "Example") else { continue };
        tried += 1;
        let output = check(&format!("{code}.ctp"), &example);
        let said = format!("{}{}", output.stdout, output.stderr);
        let expected = match code.severity() {
            Severity::Error => 1,
            Severity::Warning => 0,
        };
        assert_eq!(output.code, Some(expected), "{code}:\n{example}\n{said}");
        assert!(said.contains(code.as_str()), "{code}:\n{example}\n{said}");

        let cure = program(&page, "Cure").unwrap_or_else(|| panic!("{code} has an example and no cure"));
        let output = check(&format!("{code}-cured.ctp"), &cure);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!((output.code, said.contains(code.as_str())), (Some(0), false), "{code}:\n{cure}\n{said}");
    }
    assert!(tried > 20, "only {tried} pages with a program");
}
