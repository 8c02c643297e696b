//! The files of `examples/`, run as they stand but for the container's name: other tests and the demo may have a
//! container called `web` at the same time.

use std::fs;
use std::path::{Path, PathBuf};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::ctp;
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::Output;
use ctp_tests::unique::{self, Scratch};

const EXAMPLES: [&str; 6] = ["counters.ctp", "every.ctp", "hello.ctp", "integers.ctp", "texts.ctp", "who.ctp"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The program of an example in a container, and what ctp made of the example meanwhile.
struct Run {
    web: Container,
    output: Output,
    _image: Image,
}

fn traced(example: &str, program: &str, options: &[&str]) -> Run {
    traced_build(example, program, options, Compiler::Gcc, "-O0")
}

fn traced_build(example: &str, program: &str, options: &[&str], compiler: Compiler, level: &str) -> Run {
    let binary = Binary::compile(&format!("examples/{program}.c"), compiler, &["-g", level]);
    let image = Image::new(&binary, &format!("/app/{program}"));
    let args: &[&str] = if program == "test_app" { &["0", "20"] } else { &["20"] };
    let web = Container::detached_as(&image, &format!("{}-web", unique::name()), args);
    let text = fs::read_to_string(folder().join(example)).unwrap();
    let text = text.replace(r#"container("web"#, &format!(r#"container("{}"#, web.name()));
    let scratch = Scratch::new();
    let file = scratch.write(example, &text);
    let mut all = vec!["run", &file];
    all.extend(options);
    let output = ctp(&all);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    Run { web, output, _image: image }
}

/// What ctp printed stands in the program's own log, without a gap.
fn assert_in_the_log(printed: &[String], seen: &[String]) {
    let start = printed.iter().position(|line| *line == seen[0]);
    let start = start.unwrap_or_else(|| panic!("{} is not in the log", seen[0]));
    assert_eq!(printed[start..start + seen.len()], *seen);
}

#[test]
fn none_is_without_a_test() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".ctp"))
        .collect();
    found.sort();
    assert_eq!(found, EXAMPLES);
}

/// At -O2 `main` holds no call of `my_function` any more, only its body.
#[test]
fn hello() {
    for compiler in [Compiler::Gcc, Compiler::Clang] {
        for level in ["-O0", "-O1", "-O2", "-O3"] {
            hello_prints_what_web_prints(compiler, level);
        }
    }
}

fn hello_prints_what_web_prints(compiler: Compiler, level: &str) {
    let run = traced_build("hello.ctp", "test_app", &["--events", "10"], compiler, level);
    let seen: Vec<String> = run
        .output
        .lines()
        .into_iter()
        .map(|line| line.replace("Entered my_function with argument:", "my_function was called with"))
        .collect();
    assert_eq!(seen.len(), 10, "{compiler:?} {level}");
    assert_in_the_log(&run.web.printed(), &seen);
}

#[test]
fn integers() {
    let run = traced("integers.ctp", "kinds", &["--events", "12"]);
    let printed: Vec<String> = run.web.printed().into_iter().filter(|line| line.starts_with("i8=")).collect();
    let seen: Vec<String> = run.output.lines().into_iter().map(str::to_owned).collect();
    assert_eq!(seen.len(), 12);
    // Every second line is always the same: begin with one that is not.
    let unlike = seen.iter().position(|line| !line.starts_with("i8=-128")).unwrap();
    assert_in_the_log(&printed, &seen[unlike..]);
}

#[test]
fn texts() {
    let run = traced("texts.ctp", "kinds", &["--events", "8"]);
    let printed: Vec<String> = run.web.printed().into_iter().filter(|line| line.starts_with("order")).collect();
    let seen: Vec<String> = run.output.lines().into_iter().map(str::to_owned).collect();
    assert_eq!(seen.len(), 8);
    assert_in_the_log(&printed, &seen);
}

#[test]
fn counters() {
    let run = traced("counters.ctp", "test_app", &["--for", "1s"]);
    let lines = run.output.lines();
    let of = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {lines:?}"));
        line.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<usize>().unwrap()
    };
    // The program calls it 50 times a second; how many fell into the run is for other tests to say.
    let (calls, small) = (of("calls"), of("small"));
    assert!(calls > 10 && calls <= run.web.printed().len(), "{calls}");
    assert!(small <= calls && run.output.stdout.contains(run.web.name()), "{}", run.output.stdout);
}

#[test]
fn every() {
    let run = traced("every.ctp", "test_app", &["--for", "2500ms"]);
    let lines = run.output.lines();
    assert_eq!(lines[0], "counting the calls of my_function");
    let counts: Vec<usize> = lines[1..].iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(counts.len(), 3, "{lines:?}");
    assert!(counts.is_sorted() && counts[0] > 0 && counts[2] <= run.web.printed().len(), "{lines:?}");
    assert!(lines[3].ends_with(" calls in all"), "{lines:?}");
}

#[test]
fn who() {
    let run = traced("who.ctp", "test_app", &["--events", "3"]);
    let beginning = format!("{}: pid {} here, 1 in the container, at ", run.web.name(), run.web.pid());
    assert_eq!(run.output.lines().len(), 3);
    assert!(run.output.lines().iter().all(|line| line.starts_with(&beginning)), "{}", run.output.stdout);
}
