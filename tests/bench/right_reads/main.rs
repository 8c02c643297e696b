//! Owns the comparison of what tracers read with what the traced programs print: ctp, bpftrace, perf and SystemTap, on the
//! same builds (the matrix of `live/matrix`). Each tracer has a file, `reads` judges all of them alike.

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

mod bpftrace;
mod ctp;
mod perf;
mod reads;
mod stap;

use std::collections::BTreeMap;
use std::process::ExitCode;

use ctp_tests::matrix::{Build, Programs};
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;
use reads::{Functions, Score};

/// One language with its builds, and what their functions are.
struct Language {
    name: &'static str,
    /// What the files of its builds are called, a number behind it.
    tag: &'static str,
    programs: Programs,
    functions: Vec<Functions>,
}

const TRACERS: [&str; 4] = ["ctp", "bpftrace", "perf", "stap"];

fn main() -> ExitCode {
    ctp_tests::ctp::binary();
    // Given languages, those only.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let with_stap = !std::env::args().any(|argument| argument == "--without-stap");
    let all = [("C", "c"), ("C++", "cpp"), ("Rust", "rust"), ("Go", "go")];
    let languages: Vec<Language> = all
        .into_iter()
        .filter(|(_, tag)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == tag))
        .map(|(name, tag)| {
            let programs = match tag {
                "c" => Programs::c(),
                "cpp" => Programs::cpp(),
                "rust" => Programs::rust(),
                _ => Programs::go(),
            };
            let functions = programs.builds.iter().map(|build| Functions::of(&build.path, programs.pattern)).collect();
            Language { name, tag, programs, functions }
        })
        .collect();
    // A program that prints into a file, for the tracers that start what they trace.
    let scratch = Scratch::new();
    let start = scratch.write("start", "#!/bin/sh\nexec \"$1\" >\"$2\"\n");
    run(std::process::Command::new("chmod").args(["755", &start]));
    let by_stap = if with_stap { stap::all(&languages) } else { BTreeMap::new() };
    let mut table = Vec::new();
    for language in &languages {
        let mut scores = [const { Score::new() }; TRACERS.len()];
        let (calls, hits) = ctp::all(language);
        for (number, build) in language.programs.builds.iter().enumerate() {
            let functions = &language.functions[number];
            let before = scores.clone();
            scores[0].add(functions, &calls[number], &hits[number], "ctp", &build.label);
            let traced = Traced { build, functions, start: &start, folder: &scratch };
            for (score, name, trace) in [
                (1, "bpftrace", bpftrace::trace as fn(&Traced<'_>) -> (String, Vec<reads::Hit>)),
                (2, "perf", perf::trace),
            ] {
                let (printed, hits) = trace(&traced);
                scores[score].add(functions, &reads::calls(&printed), &hits, name, &build.label);
            }
            if let Some((printed, hits)) = by_stap.get(&format!("{}{number}", language.tag)) {
                scores[3].add(functions, &reads::calls(printed), hits, "stap", &build.label);
            }
            println!("{}: {}", build.label, Score::changes(&before, &scores));
        }
        table.push((language.name, scores));
    }
    println!(
        "\n| | reads | ctp: right | wrong | not read | bpftrace: right | wrong | not read | perf: right | wrong | not read | stap: right | wrong | not read |"
    );
    println!("| --- {}|", "| ---: ".repeat(13));
    let mut failed = false;
    for (name, scores) in &table {
        let row: String =
            scores.iter().map(|score| format!(" {} | {} | {} |", score.right, score.wrong, score.none)).collect();
        println!("| {name} | {} |{row}", scores[0].asked());
        println!(
            "  whole values, ctp alone: {} right, {} wrong, {} not read",
            scores[0].whole.0, scores[0].whole.1, scores[0].whole.2
        );
        let share = |score: &Score| score.right as f64 / score.asked() as f64;
        for (score, tracer) in scores.iter().zip(TRACERS).skip(1) {
            if share(score) > share(&scores[0]) {
                println!("MISSED: {tracer} reads more of {name} right.");
                failed = true;
            }
        }
        if scores[0].wrong + scores[0].whole.1 > 0 {
            println!("MISSED: ctp reads values of {name} wrong.");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A build to be traced while it runs, by a tracer that starts it.
struct Traced<'b> {
    build: &'b Build,
    functions: &'b Functions,
    /// Runs its first argument, with its output in its second.
    start: &'b str,
    folder: &'b Scratch,
}
