//! The examples of the language reference, each run as it stands: what it prints is what the reference says.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::reference::examples;
use ctp_tests::unique;

/// How many requests the shop serves while an example is attached.
const REQUESTS: u32 = 3;

/// Whether a line is as said; `…` stands for anything.
fn is_like(said: &str, line: &str) -> bool {
    let mut parts = said.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn every_example_prints_what_the_reference_says() {
    let binary = Binary::compile("docs/reference/shop.c", Compiler::Gcc, &["-g", "-O0"]);
    let image = Image::new(&binary, "/app/shop");
    let mut wrong = Vec::new();
    let all = examples();
    assert!(all.len() > 30, "the reference has only {} examples", all.len());
    for example in &all {
        let Some(said) = &example.prints else {
            wrong.push(format!("line {}: the example does not say what it prints", example.line));
            continue;
        };
        if let Err(why) = runs_as_said(&image, &example.program, said) {
            wrong.push(format!("line {}:\n{}{why}", example.line, example.program));
        }
    }
    assert!(wrong.is_empty(), "{} of {} examples:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

fn runs_as_said(image: &Image, program: &str, said: &str) -> Result<(), String> {
    let mut web = Container::driven_as(image, &format!("{}-web", unique::name()));
    let text = program.replace(r#"container("web""#, &format!(r#"container("{}""#, web.name()));
    let output = if text.contains("container(") {
        let mut running = Running::start(&["run", "-e", &text]);
        running.until_attached()?;
        web.call(REQUESTS);
        running.interrupt()
    } else if text.contains("probe end") || text.contains(", end") || text.contains("probe begin") {
        ctp(&["run", "-e", &text])
    } else {
        return Err("nothing in it fires".to_owned());
    };
    let printed = output.stdout.replace(web.name(), "web");
    let (said, lines): (Vec<&str>, Vec<&str>) = (said.lines().collect(), printed.lines().collect());
    let same = said.len() == lines.len() && said.iter().zip(&lines).all(|(said, line)| is_like(said, line));
    if same && output.code == Some(0) {
        return Ok(());
    }
    Err(format!("printed:\n{printed}and said (exit code {:?}):\n{}", output.code, output.stderr))
}
