//! Owns the comparison of ctp with bpftrace: time from start to the first call reported, and peak memory. Both trace
//! the same function of the same process, in turns, so that what else the machine does hits both.

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp;
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::run;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What was promised: a quarter of bpftrace's time, 15 MB.
const RATIO: f64 = 0.25;
const KILOBYTES: u64 = 15_000;

/// One start: until the first line, and the most memory that was held by then.
struct Start {
    time: Duration,
    kilobytes: u64,
}

/// Starts a tracer, waits for the first call it reports, and ends it as Ctrl-C does.
fn measure(command: &mut Command) -> Start {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim().parse::<i64>().is_err() {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "{command:?} ended before it reported a call");
    }
    let time = began.elapsed();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    drop(reader);
    child.wait().unwrap();
    Start { time, kilobytes }
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut sorted: Vec<T> = values.collect();
    sorted.sort();
    sorted[sorted.len() / 2]
}

fn main() -> ExitCode {
    let rounds: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(15);
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    // One call each 100 µs.
    let web = Container::detached(&image, &["100"]);
    let script =
        format!(r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("%d\n", $arg) }}"#, web.name());
    let other = format!(r#"uprobe:/proc/{}/root/app/test_app:my_function {{ printf("%d\n", arg0) }}"#, web.pid());
    let version = run(Command::new("bpftrace").arg("--version")).stdout;
    let kernel = run(Command::new("uname").arg("-r")).stdout;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first start of each reads its files from disk: it does not count.
    for round in 0..=rounds {
        let start = measure(&mut ctp::command(&["run", "-e", &script]));
        let rival = measure(Command::new("bpftrace").args(["-B", "line", "-e", &other]));
        if round > 0 {
            ours.push(start);
            theirs.push(rival);
        }
    }

    println!("Kernel {}, {rounds} rounds in turns, medians.\n", kernel.trim());
    println!("| tracer | start to first call reported, ms | peak memory, MB |\n| --- | ---: | ---: |");
    let row = |name: &str, starts: &[Start]| {
        let time = median(starts.iter().map(|start| start.time)).as_secs_f64() * 1e3;
        let kilobytes = median(starts.iter().map(|start| start.kilobytes));
        println!("| {name} | {time:.1} | {:.1} |", kilobytes as f64 / 1024.0);
        (time, kilobytes)
    };
    let (time, kilobytes) = row(&format!("ctp {}", env!("CARGO_PKG_VERSION")), &ours);
    let (rival, _) = row(version.trim(), &theirs);
    println!("\nctp / bpftrace: {:.2} of the time.", time / rival);
    if time > rival * RATIO || kilobytes > KILOBYTES {
        println!("MISSED: at most {RATIO} of bpftrace's time and {KILOBYTES} kB were promised.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
