//! How a run ends and where its output goes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{self, Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::unique::Scratch;

struct Busy {
    web: Container,
    script: String,
    _image: Image,
}

/// A container that calls `my_function` a thousand times a second, and a script that prints each call.
fn busy() -> Busy {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let web = Container::detached(&image, &["1000"]);
    let script = format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    );
    Busy { web, script, _image: image }
}

/// Whether `part` stands in `whole` without a gap.
fn is_a_run_of(part: &[&str], whole: &[String]) -> bool {
    let Some(first) = part.first() else { return true };
    let start = whole.iter().position(|line| line == first);
    start.is_some_and(|start| whole[start..].iter().zip(part).filter(|(a, b)| a == *b).count() == part.len())
}

#[test]
fn for_some_time() {
    let busy = busy();
    let started = Instant::now();
    let output = ctp(&["run", "-e", &busy.script, "--for", "2s"]);

    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.lines().len() > 100, "{}", output.stderr);
    assert!(is_a_run_of(&output.lines(), &busy.web.printed()));
}

#[test]
fn for_some_events() {
    let busy = busy();
    let output = ctp(&["run", "-e", &busy.script, "--events", "17"]);

    assert_eq!((output.code, output.lines().len()), (Some(0), 17), "{}", output.stderr);
    assert!(is_a_run_of(&output.lines(), &busy.web.printed()));
}

#[test]
fn until_ctrl_c_with_a_summary() {
    let busy = busy();
    let mut ctp = Running::attached(&busy.script);
    for _ in 0..20 {
        ctp.wait_for_stdout(|_| true);
    }
    let output = ctp.interrupt();

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let lines = output.lines().len();
    let summary = output.stderr.lines().last().unwrap();
    assert!(summary.starts_with(&format!("ctp: {lines} hits, {lines} records, 0 lost, 0 faults in ")), "{summary}");
}

#[test]
fn a_file_is_run_as_well() {
    let busy = busy();
    let scratch = Scratch::new();
    let file = scratch.write("hello.ctp", &busy.script);
    let output = ctp(&["run", &file, "--events", "3"]);

    assert_eq!((output.code, output.lines().len()), (Some(0), 3), "{}", output.stderr);
}

#[test]
fn nothing_is_shown_after_exit() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let mut web = Container::driven(&image);
    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{
            printf("my_function was called with %d\n", $arg)
            if ($arg == 20) exit()
        }}
        probe end {{ println("end") }}"#,
        web.name()
    ));
    // All at once: these calls are made before ctp can take its probes away.
    web.call(500);
    let output = ctp.finish();

    assert_eq!((output.code, output.lines().len()), (Some(0), 4), "{output:?}");
    assert_eq!(output.lines()[..3], web.printed()[..3]);
    assert_eq!(output.lines()[3], "end");
}

#[test]
fn output_goes_to_a_file() {
    let busy = busy();
    let scratch = Scratch::new();
    let file = scratch.write("out", "");
    let output = ctp(&["run", "-e", &busy.script, "--events", "5", "-o", &file]);

    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{}", output.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 5);
}

#[test]
fn the_plan_is_shown_and_nothing_attached() {
    let binary = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
    let image = Image::new(&binary, "/app/test_app");
    let web = Container::driven(&image);
    let script =
        format!(r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("%d\n", $arg) }}"#, web.name());
    let output = ctp(&["run", "--plan", "-e", &script]);

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(!output.stderr.contains("attached"), "{}", output.stderr);
    for wanted in [web.name(), "/app/test_app", "my_function"] {
        assert!(output.stdout.contains(wanted), "{wanted} in\n{}", output.stdout);
    }
    // Some address of the function, as gdb knows where that begins and ends.
    let start = binary.address_of("my_function");
    let end = binary.address_of("step");
    let named = (start..end).any(|address| output.stdout.contains(&format!("{address:x}")));
    assert!(named, "an address from {start:#x} to {end:#x} in\n{}", output.stdout);
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let busy = busy();
    let mut child = ctp::command(&["run", "-e", &busy.script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("my_function was called with "), "{line}");

    let deadline = Instant::now() + ctp::PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "ctp goes on though nobody reads");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_full_disk_is_an_error() {
    let busy = busy();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let to_stdout = ctp::command(&["run", "-e", &busy.script, "--events", "5"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let to_file = ctp(&["run", "-e", &busy.script, "--events", "5", "-o", "/dev/full"]);

    assert_eq!((to_stdout.status.code(), to_file.code), (Some(2), Some(2)));
    for stderr in [String::from_utf8_lossy(&to_stdout.stderr), to_file.stderr.into()] {
        assert!(stderr.contains("E0405") && stderr.contains("No space left on device"), "{stderr}");
    }
}

/// What kernels before 6.6 have: an event for each address, one after the other.
#[test]
fn perf_events_see_the_same_calls_as_one_link_for_all() {
    let image = Image::new(&Binary::compile("hot.c", Compiler::Gcc, &["-g", "-O2"]), "/app/hot");
    let mut container = Container::driven(&image);
    let who = format!(r#"container("{}"):/app/hot"#, container.name());
    let script = format!(
        "global entered, returned, sum\n\
        probe {who}.fn(\"hot\") {{ entered++; sum += $n }}\n\
        probe {who}.fn(\"hot\").return {{ returned[$return == 4 * @entry($n) + 3]++ }}"
    );
    for way in ["perf", "multi"] {
        let ctp = ctp::Running::attached_with(&["run", "--uprobe", way, "-e", &script]);
        container.call(1000);
        let output = ctp.interrupt();
        let mut lines: Vec<&str> = output.stdout.lines().collect();
        lines.sort_unstable();
        // hot(n) is (n + 1) + (n + 1 + n + 1) + n = 4 * n + 3, for n from 0 to 999.
        assert_eq!(lines, ["entered = 1000", "returned[1] = 1000", "sum = 499500"], "{way}: {}", output.stderr);
    }
    container.call(1);
}

#[test]
fn processes_are_not_attached_to_by_perf_events() {
    let busy = busy();
    let output = ctp(&["run", "-e", &busy.script, "--for", "1s", "--attach", "process", "--uprobe", "perf"]);
    assert_eq!((output.code, output.lines().len()), (Some(2), 0), "{}", output.stderr);
    assert!(output.stderr.contains("only by uprobe_multi links (Linux 6.6)"), "{}", output.stderr);
    assert!(output.stderr.contains("leave out --attach process"), "{}", output.stderr);
}
