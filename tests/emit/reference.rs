//! Every example of the language reference: stap accepts its script, and probes at the addresses that ctp meant; or
//! SystemTap cannot express it, and that is what is said.

use std::path::Path;

use ctp_lang::codes::Code;
use ctp_lang::emit::stap::{Options, Written, emit};
use ctp_tests::reference::examples;

use crate::sample::Sample;
use crate::stap::Root;
use crate::world::{Samples, checked};

/// What SystemTap cannot express, by words of the message.
const REFUSED: [&str; 4] = ["floating-point", "whole values", "`ustack()`", "`caller()`"];

#[test]
fn every_example_of_the_reference_is_accepted_or_refused_by_name() {
    accepted_or_refused(Written::Text, &REFUSED, 25);
}

/// What `ctp run` loads: there ctp itself shows floating-point numbers.
#[test]
fn every_example_of_the_reference_is_accepted_as_records() {
    accepted_or_refused(Written::Records, &REFUSED[1..], 26);
}

fn accepted_or_refused(written: Written, known: &[&str], least: usize) {
    let includes = format!("-I{}", Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs").display());
    let shop = Sample::of("../../docs/reference/shop.c", "gcc", &["-O0", &includes]);
    let world = Samples(vec![("/app/shop", shop.path)]);
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for example in examples() {
        let name = format!("line {}", example.line);
        let (sources, program) = checked(&name, &example.program, &world);
        let script = match emit(&program, &sources, &Options { written, ..Options::default() }) {
            Ok(script) => script,
            Err(refused) => {
                let says = |message: &str| known.iter().any(|words| message.contains(words));
                if !refused.iter().all(|one| one.code == Code::E0302 && says(&one.message)) {
                    wrong.push(format!("{name} is refused: {refused:#?}"));
                }
                continue;
            }
        };
        let files: Vec<&Path> = script.files.iter().map(|_| world.0[0].1.as_path()).collect();
        let answer = Root::with(&files).stap(&script.text, &["-p2", "-v"]);
        if !answer.ok {
            wrong.push(format!("{name}: {}\n{}", answer.err, script.text));
            continue;
        }
        for (index, slot) in script.files.iter().enumerate() {
            let meant: Vec<u64> =
                script.points.iter().filter(|point| point.slot == index).map(|point| point.address).collect();
            if answer.addresses(&slot.path) != meant {
                let found = answer.addresses(&slot.path);
                wrong.push(format!("{name} probes at {found:x?}, not at {meant:x?}\n{}", script.text));
            }
        }
        accepted += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted > least, "only {accepted} examples are accepted");
}
