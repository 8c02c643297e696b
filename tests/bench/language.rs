//! Owns the speed of the language: how fast programs are parsed and formatted, and how long a long one takes to check.
//!
//!   cargo bench --locked --package ctp-tests --bench language

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ctp_lang::check::check;
use ctp_lang::source::{SourceId, Sources};
use ctp_lang::syntax::{MAX_SOURCE, format, parse};
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::world::Machine;

/// What was promised for a program of 1,000 lines, besides reading debug info.
const LONGEST: Duration = Duration::from_millis(30);

/// Five lines as people write them.
const PROBE: &str = "probe container(\"web\"):/app/test_app.fn(\"my_function\") if ($arg % 3 == 0) {
    # the large ones by who called
    if ($arg >= 1000 && comm() != \"sh\") { calls[container(), $arg / 10]++ } else { small += $arg * 2 }
    printf(\"%s: %d in %s at %d ns\\n\", comm(), $arg, container(), now())
}
";

/// The median time of `rounds` turns; the first one does not count.
fn median(rounds: usize, mut run: impl FnMut()) -> Duration {
    run();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn main() -> ExitCode {
    // Laid out it is longer, and that is parsed again: half of the longest text.
    let text = PROBE.repeat(MAX_SOURCE / 2 / PROBE.len());
    let megabytes = text.len() as f64 / 1e6;
    let parsing = median(15, || {
        let (file, diagnostics) = parse(SourceId(0), &text);
        assert!(diagnostics.is_empty() && !file.items.is_empty());
    });
    let formatting = median(5, || assert!(format(SourceId(0), &text).is_ok()));
    println!("| of a text of {megabytes:.1} MB | MB/s |\n| --- | ---: |");
    println!("| parsing | {:.1} |", megabytes / parsing.as_secs_f64());
    println!("| formatting | {:.1} |", megabytes / formatting.as_secs_f64());

    let app = Binary::compile("examples/test_app.c", Compiler::Gcc, &["-g"]);
    let machine = Machine::new(&["web"], &[("/app/test_app", &app.path())]);
    let checked = |text: &str| {
        let mut sources = Sources::default();
        let source = sources.add("bench.ctp", text);
        let (file, diagnostics) = parse(source, text);
        let (program, found) = check(&sources, &[file], &machine, &ctp_lang::check::Settings::default());
        assert!(diagnostics.is_empty() && program.is_some(), "{found:?}");
    };
    let globals = "global calls, small\n";
    let short = std::format!("{globals}{PROBE}");
    let long = std::format!("{globals}{}", PROBE.repeat(200));
    let lines = long.lines().count();
    // One probe reads the same debug info as two hundred.
    let besides = median(15, || checked(&long)).saturating_sub(median(15, || checked(&short)));
    println!("\nChecking {lines} lines takes {:.1} ms besides debug info.", besides.as_secs_f64() * 1e3);
    if besides > LONGEST {
        println!("MISSED: at most {LONGEST:?} were promised.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
