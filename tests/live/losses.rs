//! What is lost, held back or cannot be written is counted: for every probe, hits are the sum of what became of them.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{self, Running};
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;
use nix::sys::signal::Signal;
use serde_json::Value;

struct Traced {
    _image: Image,
    container: Container,
    script: String,
}

/// A container whose calls each leave a record of some hundred bytes.
fn traced() -> Traced {
    let image = Image::new(&Binary::compile("hot.c", Compiler::Gcc, &["-g", "-O2"]), "/app/hot");
    let container = Container::driven(&image);
    let probe = format!(r#"probe container("{}"):/app/hot.fn("hot")"#, container.name());
    let script = format!(r#"{probe} {{ emit {{ n: $n, who: comm(), text: "some more bytes" }} }}"#);
    Traced { _image: image, container, script }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// The last line, with its accounts found to add up.
fn summary(lines: &str) -> Value {
    let summary: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(summary["type"], "summary");
    let mut records = 0;
    for probe in summary["probes"].as_array().unwrap() {
        let parts = ["records", "aggregated", "filtered", "read_faults", "step_limit", "unmatched", "lost", "limited"];
        assert_eq!(number(&probe["hits"]), parts.iter().map(|part| number(&probe[part])).sum::<u64>(), "{probe}");
        records += number(&probe["records"]);
    }
    assert_eq!(number(&summary["records"]) + number(&summary["unwritten"]), records, "{summary}");
    summary
}

fn of_type<'a>(lines: &'a str, kind: &str) -> impl Iterator<Item = Value> + use<'a> {
    let wanted = format!(r#"{{"type":"{kind}""#);
    lines.lines().filter(move |line| line.starts_with(&wanted)).map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn a_reader_that_stands_still_loses_nothing_unsaid() {
    let mut traced = traced();
    let ctp = Running::attached_with(&["run", "--output", "jsonl", "--ring-size", "256K", "-e", &traced.script]);
    ctp.signal(Signal::SIGSTOP);
    traced.container.call(50_000);
    std::thread::sleep(Duration::from_secs(3));
    ctp.signal(Signal::SIGCONT);
    traced.container.call(1_000);
    let output = ctp.interrupt();

    let summary = summary(&output.stdout);
    assert_eq!(number(&summary["hits"]), 51_000);
    let events = of_type(&output.stdout, "event").count() as u64;
    let lost: u64 = of_type(&output.stdout, "lost").map(|line| number(&line["count"])).sum();
    assert!(lost > 0, "the ring holds no 50,000 records");
    assert_eq!((events, lost), (number(&summary["records"]), number(&summary["lost"])));
    assert_eq!(events + lost, 51_000);
    assert!(output.stderr.contains(&format!("{lost} lost (the reader fell behind")), "{}", output.stderr);
}

#[test]
fn handlers_are_held_to_a_rate_and_the_others_counted() {
    let mut traced = traced();
    let mut ctp = Running::attached_with(&["run", "--max-rate", "100/s", "-e", &traced.script]);
    let began = Instant::now();
    traced.container.call(20_000);
    // The seconds that calls fell into: one more may have begun.
    let seconds = began.elapsed().as_secs() + 2;
    ctp.wait_for_stdout(|line| line.contains("n"));
    let output = ctp.interrupt();

    let records = output.stdout.lines().count() as u64;
    assert!((100..=100 * seconds).contains(&records), "{records} in {seconds} s");
    let limited = 20_000 - records;
    assert!(output.stderr.contains(&format!("20000 hits: {limited} over --max-rate")), "{}", output.stderr);
}

/// A file system of its own, of 64 KiB, in a folder of its own.
struct Tiny(Scratch);

impl Tiny {
    fn new() -> Tiny {
        let scratch = Scratch::new();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(scratch.path()));
        Tiny(scratch)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// `ctp: 5000 hits, 1200 records (3800 more not written), …`: the three numbers.
fn accounted(stderr: &str) -> [u64; 3] {
    let line = stderr.lines().find(|line| line.contains("more not written")).unwrap_or_else(|| panic!("{stderr}"));
    let numbers: Vec<u64> = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    [numbers[0], numbers[1], numbers[2]]
}

#[test]
fn a_full_disk_and_a_closed_pipe_end_the_run_with_what_was_not_written() {
    let mut traced = traced();
    let tiny = Tiny::new();
    let file = tiny.0.path().join("out").display().to_string();
    let ctp = Running::attached_with(&["run", "-o", &file, "-e", &traced.script]);
    traced.container.call(10);
    let deadline = Instant::now() + ctp::PATIENCE;
    while std::fs::read_to_string(&file).unwrap().lines().count() < 10 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    traced.container.call(10_000);
    let output = ctp.finish();
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("No space left"), "{}", output.stderr);
    let [hits, written, unwritten] = accounted(&output.stderr);
    assert_eq!(written + unwritten, hits, "{}", output.stderr);
    let there = std::fs::read_to_string(&file).unwrap().lines().count() as u64;
    assert!(10 <= written && written <= there && there < hits, "{written} {there}");

    let mut child = ctp::command(&["run", "-e", &traced.script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut said).unwrap();
    assert!(said.starts_with("ctp: attached"), "{said}");
    drop(child.stdout.take());
    traced.container.call(10_000);
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    let [hits, written, unwritten] = accounted(&said);
    assert_eq!((written, written + unwritten), (0, hits), "{said}");
}

#[test]
fn a_probe_that_takes_much_of_a_processor_is_named_with_what_was_measured() {
    let mut traced = traced();
    let script = traced.script.replace("emit { n: $n, who: comm(), text: \"some more bytes\" }", "sum <<< $n");
    let mut ctp = Running::attached_with(&["run", "-e", &format!("global sum\n{script}")]);
    let told = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !told.load(Ordering::Relaxed) {
                traced.container.call(20_000);
            }
        });
        // Also where the wait panics, so that the other thread ends.
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ctp.wait_for_stderr("ctp: container(")));
        told.store(true, Ordering::Relaxed);
        said
    });
    let said = said.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(said.contains(".fn(\"hot\"): ") && said.contains(" hits a second, "), "{said}");
    let number = |before: &str| {
        let (front, _) = said.split_once(before).unwrap();
        front.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let (cost, share) = (number(" ns each"), number(" % of the time"));
    // A call without a probe takes some nanoseconds; with one the kernel is entered, and the program does nothing else.
    assert!(cost > 50.0 && (10.0..=100.0).contains(&share) && number(" hits a second") > 0.0, "{said}");
}
