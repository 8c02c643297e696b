//! Containers that execute something else while ctp traces: their first process another program, another build under the
//! path that is probed. What they call from the moment on at which ctp says that it is attached is counted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::process::run;
use ctp_tests::unique::{self, Scratch};
use serde_json::Value;

use crate::following::called;
use crate::jsonl::{against_schema, of_type, parsed};

fn build(flags: &[&str]) -> Binary {
    Binary::compile("becomes.c", Compiler::Gcc, flags)
}

/// An image with these programs in /app, which runs the first.
fn image(programs: &[(&str, &Binary)]) -> Image {
    let tree = Scratch::new();
    let app = tree.path().join("app");
    std::fs::create_dir(&app).unwrap();
    for (name, binary) in programs {
        std::fs::copy(binary.path(), app.join(name)).unwrap();
    }
    Image::of_tree(tree.path(), &format!("/app/{}", programs[0].0))
}

/// Lets the first process of a container call ten times more; `all` is how often it has called then.
fn ten_more(container: &Container, all: &mut usize) {
    docker(&["kill", "--signal", "USR2", container.name()]);
    *all += 1;
    called(container, *all);
}

/// Lets it execute the next program, which calls at once.
fn execute(container: &Container) {
    docker(&["kill", "--signal", "USR1", container.name()]);
}

fn counting(who: &str, place: &str, attach: &str) -> Running {
    let script = format!(r#"global calls; probe {who}{place}.fn("f") {{ calls[container()]++ }}"#);
    Running::attached_with(&["run", "--attach", attach, "--output", "jsonl", "-e", &script])
}

/// How many calls of a container were counted, and the lines of files that it executed.
fn counted(output: &str, name: &str) -> (u64, Vec<Value>) {
    assert_eq!(against_schema(output), "");
    let lines = parsed(output);
    let all = of_type(&lines, "map")[0]["entries"].as_array().unwrap();
    let calls = all.iter().find(|entry| entry["key"][0] == name).map_or(0, |entry| entry["value"].as_u64().unwrap());
    let summary = of_type(&lines, "summary")[0];
    assert_eq!((summary["hits"].as_u64(), summary["probes"][0]["aggregated"].as_u64()), (Some(calls), Some(calls)));
    (calls, of_type(&lines, "executed").into_iter().cloned().collect())
}

#[test]
fn what_the_first_process_executes_later_is_attached_to() {
    first_process_that_executes("inode");
}

#[test]
fn what_it_executes_later_is_attached_to_where_processes_are_one_by_one() {
    first_process_that_executes("process");
}

fn first_process_that_executes(attach: &str) {
    let (one, two, without) = (build(&["-g", "-O2"]), build(&["-g", "-O1"]), build(&["-O2", "-DWITHOUT"]));
    let image = image(&[("one", &one), ("two", &two), ("without", &without)]);
    let args = ["5", "/app/two", "20", "/app/without", "7", "/app/one", "30"];
    let web = Container::detached(&image, &args);
    let mut all = 1;
    called(&web, all);
    let mut ctp = counting(&format!("container(\"{}\")", web.name()), ":exe", attach);
    ten_more(&web, &mut all);

    execute(&web);
    all += 1;
    called(&web, all);
    let said = ctp.wait_for_stderr(&format!("ctp: the first process of {} executes ", web.name()));
    assert!(said.contains("/app/two now, attached ") && said.ends_with("were not seen"), "{said}");
    ten_more(&web, &mut all);
    ten_more(&web, &mut all);

    execute(&web);
    all += 1;
    called(&web, all);
    let said = ctp.wait_for_stderr(&format!("ctp: the first process of {} executes ", web.name()));
    assert!(said.contains("E0104: ") && said.ends_with(": not traced"), "{said}");
    ten_more(&web, &mut all);

    execute(&web);
    all += 1;
    called(&web, all);
    let said = ctp.wait_for_stderr(&format!("ctp: the first process of {} executes ", web.name()));
    assert!(said.ends_with("/app/one now, attached; no call was missed"), "{said}");
    ten_more(&web, &mut all);
    let output = ctp.interrupt();

    let (calls, executed) = counted(&output.stdout, web.name());
    // Of the twenty that the second program called at once some may have been seen.
    assert!((70..=90).contains(&calls), "{calls}: {}", output.stderr);
    let traced: Vec<&Value> = executed.iter().map(|line| &line["traced"]).collect();
    assert_eq!(traced, [true, false, true], "{executed:?}");
    let late: Vec<bool> = executed.iter().map(|line| line.get("late_ms").is_some()).collect();
    assert_eq!(late, [true, false, false], "{executed:?}");
    assert_eq!(executed[0]["path"], "/app/two");
}

/// Puts a program in the place of another, as package managers do: it is made beside it and renamed.
fn replace(container: &Container, path: &str, binary: &Binary) {
    let root = format!("/proc/{}/root", container.pid());
    let new = Path::new(&root).join("app/.new");
    std::fs::copy(binary.path(), &new).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, format!("{root}{path}")).unwrap();
}

#[test]
fn another_build_under_the_probed_path_is_attached_to_when_it_is_executed() {
    let (one, two) = (build(&["-g", "-O2"]), build(&["-g", "-O1"]));
    let image = image(&[("one", &one)]);
    let (web, neighbour) = (Container::detached(&image, &["5"]), Container::detached(&image, &["5"]));
    let mut all = 1;
    called(&web, all);
    let script = format!(r#"probe container("{}"):/app/one.fn("f") {{ println($number) }}"#, web.name());
    let mut ctp = Running::attached(&script);
    let mut expected = Vec::new();
    for (what, binary) in [("build", &two), ("copy", &one)] {
        replace(&web, "/app/one", binary);
        docker(&["exec", "--detach", web.name(), "/app/one", "0"]);
        let said = ctp.wait_for_stderr(&format!("ctp: {} has another {what} of /app/one, attached", web.name()));
        // What docker executes first in the container may be what ctp looks at.
        assert!(said.ends_with("were not seen") || said.ends_with("attached; no call was missed"), "{said}");
        docker(&["exec", "--detach", web.name(), "/app/one", "40"]);
        ctp.wait_for_stdout(|line| line == "39");
        // What executes the old one still counts.
        ten_more(&web, &mut all);
        ctp.wait_for_stdout(|line| line == "9");
        expected.extend((0..40).chain(0..10).map(|number: u32| number.to_string()));
    }
    ten_more(&neighbour, &mut 1);
    let output = ctp.interrupt();
    assert_eq!(output.lines(), expected, "{}", output.stderr);
}

/// The first process of a container that comes back executes something else for a while, as scripts do that prepare it.
#[test]
fn one_that_comes_back_and_executes_what_is_meant_later() {
    let (one, without) = (build(&["-g", "-O2"]), build(&["-O2", "-DWITHOUT"]));
    let image = image(&[("prepare", &without), ("one", &one)]);
    let web = Container::detached_as(&image, &unique::name(), &["0", "/app/one", "20"]);
    called(&web, 1);
    execute(&web);
    called(&web, 2);
    let mut ctp = counting(&format!("container(\"{}\")", web.name()), ":exe", "inode");
    docker(&["restart", "--time", "0", web.name()]);
    let said = ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    assert!(said.ends_with(": not traced until its first process executes another program"), "{said}");
    execute(&web);
    let said = ctp.wait_for_stderr(&format!("ctp: the first process of {}", web.name()));
    assert!(said.ends_with(" executes /app/one now, attached; no call was missed"), "{said}");
    called(&web, 4);
    let output = ctp.interrupt();
    assert_eq!(counted(&output.stdout, web.name()).0, 20, "{}", output.stderr);
}

/// A script that prepares things still runs when ctp begins: the program that it starts is named by its path, and no call of
/// it is missed.
#[test]
fn the_program_that_a_script_starts_later_is_named_by_its_path() {
    let (one, without) = (build(&["-g", "-O2"]), build(&["-O2", "-DWITHOUT"]));
    let image = image(&[("sh", &without), ("one", &one)]);
    let web = Container::detached(&image, &["0", "/app/one", "20"]);
    called(&web, 1);
    let script = |place: &str| format!(r#"probe container("{}"){place}.fn("f") {{ println($number) }}"#, web.name());
    let refused = ctp(&["check", "-e", &script(":exe")]);
    assert_eq!(refused.code, Some(1));
    let help =
        "`/app/sh` is what starts the program: name that by its path, container(…):/PATH, which need not run yet";
    let said = [refused.stdout, refused.stderr].concat();
    assert!(said.contains("E0104") && said.contains(help), "{said}");
    let ctp = Running::attached(&script(":/app/one"));
    execute(&web);
    called(&web, 2);
    let numbers: Vec<String> = (0..20).map(|number: u32| number.to_string()).collect();
    assert_eq!(ctp.interrupt().lines(), numbers);
}

/// Of a process that was named by its number the kernel is asked: each tenth of a second.
#[test]
fn what_a_process_executes_later_is_attached_to() {
    let (one, two) = (build(&["-g", "-O2"]), build(&["-g", "-O1"]));
    let image = image(&[("one", &one), ("two", &two)]);
    let web = Container::detached(&image, &["5", "/app/two", "20"]);
    let mut all = 1;
    called(&web, all);
    let pid = web.pid();
    let script = format!(r#"probe pid({pid}).fn("f") {{ println($number) }}"#);
    let mut ctp = Running::attached(&script);
    execute(&web);
    all += 1;
    called(&web, all);
    let said = ctp.wait_for_stderr("ctp: the first process of ");
    assert!(said.contains(" executes /app/two now, attached at most ") && said.ends_with("were not seen"), "{said}");
    ten_more(&web, &mut all);
    let output = ctp.interrupt();
    let numbers = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert!(output.lines().ends_with(&numbers), "{}{}", output.stdout, output.stderr);
}

/// What is attached to stays so when it executes another program: each call is counted, and once.
#[test]
fn calls_of_a_process_that_executes_another_program_count_once() {
    let image = image(&[("one", &build(&["-g", "-O2", "-DPACE=500"]))]);
    let web = Container::detached(&image, &["0", "/app/one", "400", "/app/one", "400"]);
    called(&web, 1);
    let ctp = counting(&format!("container(\"{}\")", web.name()), ":/app/one", "process");
    for executed in 2..4 {
        execute(&web);
        called(&web, executed);
    }
    let output = ctp.interrupt();
    assert_eq!(counted(&output.stdout, web.name()).0, 800, "{}", output.stderr);
}

/// Where another thread than the first executes a program, the kernel unbinds what was bound to the process: it is bound
/// again, and how late is said.
#[test]
fn calls_of_a_process_whose_other_thread_executes_a_program_count_again_soon() {
    let image = image(&[("one", &build(&["-g", "-O2", "-pthread", "-DPACE=1000", "-DTHREAD=1"]))]);
    let web = Container::detached(&image, &["0", "/app/one", "1000"]);
    called(&web, 1);
    let ctp = counting(&format!("container(\"{}\")", web.name()), ":/app/one", "process");
    execute(&web);
    called(&web, 2);
    let output = ctp.interrupt();
    let said = "ctp: 1 process began, or executed another program, while ctp traced; what each called in its first ";
    let rest = output.stderr.lines().find_map(|line| line.strip_prefix(said));
    let late: u64 = rest.and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    let calls = counted(&output.stdout, web.name()).0;
    // Each millisecond at most one was missed.
    assert!((1000 - late.min(500)..=1000).contains(&calls), "{calls}: {}", output.stderr);
}

/// Processes that are made are attached to when the kernel tells of them, not at the next look: of those that live for 6 ms
/// a look each 10 ms finds some. On a busy machine they may live for longer, or ctp come later: one of some runs must do.
#[test]
fn new_processes_are_attached_to_at_once() {
    let image = Image::new(&Binary::compile("children.c", Compiler::Gcc, &["-g", "-O2"]), "/app/one");
    let seen = || {
        let web = Container::detached(&image, &["100", "6000"]);
        called(&web, 1);
        let ctp = counting(&format!("container(\"{}\")", web.name()), ":/app/one", "process");
        execute(&web);
        assert_eq!(called(&web, 2), 1000);
        let output = ctp.interrupt();
        let (calls, _) = counted(&output.stdout, web.name());
        assert!(calls <= 1000, "{calls}: {}", output.stderr);
        assert!(output.stderr.contains(" processes began, or executed another program, while ctp traced"));
        calls
    };
    assert!((0..6).any(|_| seen() >= 700), "in no run");
}

/// A folder with what a program needs that loads libraries.
fn with_libc() -> Scratch {
    let tree = Scratch::new();
    for library in ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"] {
        let to = tree.path().join(&library[1..]);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(library, to).unwrap();
    }
    tree
}

fn compile(tree: &Path, flags: &[&str], source: &str, to: &str) {
    let path = tree.join(to);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs");
    run(Command::new("gcc").args(flags).arg("-o").arg(path).arg(programs.join(source)));
}

/// A process that loads a library, calls it and ends, all in a moment, is gone when ctp looks whose it was: what it has
/// executed tells. The library is attached to, and the calls of the next such process are seen.
#[test]
fn libraries_that_brief_processes_load_are_attached_to() {
    let tree = with_libc();
    compile(tree.path(), &[], "brief.c", "app/brief");
    compile(tree.path(), &["-g", "-O2", "-shared"], "loaded.c", "opt/one/libloaded.so");
    compile(tree.path(), &["-g", "-O1", "-shared", "-DOTHER"], "loaded.c", "opt/two/libloaded.so");
    let image = Image::of_tree(tree.path(), "/app/brief");
    let paths = ["/opt/one/libloaded.so", "/opt/two/libloaded.so"];
    let web = Container::detached(&image, &paths);
    called(&web, 1);
    let mut ctp = counting(&format!("container(\"{}\")", web.name()), ":lib(\"libloaded.so\")", "inode");
    execute(&web);
    called(&web, 2);
    let said = ctp.wait_for_stderr(&format!("ctp: {} maps ", web.name()));
    assert!(said.contains(paths[1]) && said.ends_with("its calls before that were not seen"), "{said}");
    for runs in 3..8 {
        execute(&web);
        called(&web, runs);
    }
    let output = ctp.interrupt();
    let (calls, executed) = counted(&output.stdout, web.name());
    assert!(calls == 50 && executed.len() == 1, "{calls}, {executed:?}: {}", output.stderr);
}

/// A library that a process loads from a place where none was when ctp began is attached to, as is one that takes another's
/// place.
#[test]
fn libraries_that_are_loaded_later_are_attached_to() {
    let tree = with_libc();
    let compile = |flags: &[&str], source: &str, to: &str| compile(tree.path(), flags, source, to);
    compile(&[], "loads.c", "app/loads");
    compile(&["-g", "-O2", "-shared"], "loaded.c", "opt/one/libloaded.so");
    compile(&["-g", "-O1", "-shared", "-DOTHER"], "loaded.c", "opt/two/libloaded.so");
    compile(&["-O2", "-shared", "-Df=other"], "loaded.c", "opt/without/libloaded.so");
    compile(&["-g", "-O1", "-shared", "-DQUICK"], "loaded.c", "opt/quick/libloaded.so");
    std::fs::create_dir_all(tree.path().join("opt/copy")).unwrap();
    std::fs::copy(tree.path().join("opt/one/libloaded.so"), tree.path().join("opt/copy/libloaded.so")).unwrap();
    let image = Image::of_tree(tree.path(), "/app/loads");
    let paths = ["one", "two", "without", "copy", "one"].map(|folder| format!("/opt/{folder}/libloaded.so"));
    let web = Container::detached(&image, &paths.each_ref().map(String::as_str));
    let mut all = 1;
    called(&web, all);
    let mut ctp = counting(&format!("container(\"{}\")", web.name()), ":lib(\"libloaded.so\")", "inode");
    ten_more(&web, &mut all);
    for (path, traced) in [(&paths[1], true), (&paths[2], false), (&paths[3], true)] {
        execute(&web);
        all += 1;
        called(&web, all);
        let said = ctp.wait_for_stderr(&format!("ctp: {} maps ", web.name()));
        assert!(said.contains(path), "{said}");
        assert!(said.ends_with(if traced { "its calls before that were not seen" } else { ": not traced" }), "{said}");
        ten_more(&web, &mut all);
    }
    // One that has ended before anybody could look whose it was: it only shows what it would load.
    let quick = ["exec", "--env", "LD_TRACE_LOADED_OBJECTS=1", "--env", "LD_PRELOAD=/opt/quick/libloaded.so"];
    docker(&[&quick[..], &[web.name(), "/app/loads"]].concat());
    let said = ctp.wait_for_stderr(&format!("ctp: {} maps /opt/quick/libloaded.so now, attached ", web.name()));
    assert!(said.ends_with("its calls before that were not seen"), "{said}");
    // What was probed from the beginning still is.
    execute(&web);
    all += 1;
    called(&web, all);
    let output = ctp.interrupt();
    let (calls, executed) = counted(&output.stdout, web.name());
    assert!((40..=60).contains(&calls), "{calls}: {}", output.stderr);
    assert_eq!(executed.len(), 4, "{executed:?}");
}
