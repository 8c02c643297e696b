//! `ctp run --engine stap` with programs in SystemTap's place that note what they are asked for: how modules are made,
//! kept, loaded, ended, and removed after every kind of end. What modules do is another matter: see `emit` and `vm`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod counted;
mod fake;

use std::time::{Duration, Instant};

use fake::Machine;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Two records, the second with a value that could not be read, as a module writes them.
const RECORDS: &str = "@Y0;\n@P0;0;i5;s3;a\nb\n@R0;0;0;1000;71;72;1;1;\n@P1;0;i-6;f\n@R1;0;0;1001;71;73;1;1;\n";
/// What it says at its end: one global, three runs with output, two that were filtered.
const END: &str = "@G0;0;(i7;)\n@C0;0;0;3;\n@C0;0;2;2;\n@Z0;\n";

fn hello(machine: &Machine) -> String {
    machine.program("global total", r#"total += $arg; printf("%d %s\n", $arg, comm())"#)
}

/// The name of the module that staprun was asked to load.
fn loaded(asked: &[String]) -> String {
    let line = asked.iter().find(|line| line.starts_with("staprun -b")).unwrap_or_else(|| panic!("{asked:?}"));
    let path = line.split(' ').find(|word| word.ends_with(".ko")).unwrap();
    path.rsplit('/').next().unwrap().trim_end_matches(".ko").to_owned()
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn records_are_printed_by_ctp_and_hits_counted() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let output = machine.run(&hello(&machine), &["--for", "300ms", "--ring-size", "2M"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout, "5 a\nb\n-6 <fault>\ntotal = 7\n");
    assert!(output.stderr.starts_with("ctp: attached 1 point in 1 cgroup"), "{}", output.stderr);
    // The script counted three, two came.
    assert!(output.stderr.contains("ctp: 5 hits, 2 records, 1 lost, 0 faults in 0."), "{}", output.stderr);
    assert!(output.stderr.contains("2 filtered"), "{}", output.stderr);
    let asked = machine.asked();
    let load = asked.iter().find(|line| line.starts_with("staprun -b 2 ")).unwrap_or_else(|| panic!("{asked:?}"));
    assert!(load.ends_with(&format!(" want_cg={} want_level=1", machine.cgroup_id())), "{load}");
    assert_eq!(asked.last().map(String::as_str), Some("ended"), "it was told to end, and `-d` was not needed");
    assert!(machine.modules().is_empty());
    // While it ran, its slot was a link to the descriptor of the very file.
    assert!(machine.noted("links").contains("t0 -> /proc/"), "{}", machine.noted("links"));
    assert!(std::fs::read_dir(machine.path("run/0")).unwrap().next().is_none(), "and is gone");
}

#[test]
fn json_lines_are_those_of_the_other_engine() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let output = machine.run(&hello(&machine), &["--for", "300ms", "--output", "jsonl"]);
    let lines: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let types: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    assert_eq!(types, ["attached", "print", "print", "map", "lost", "summary"]);
    assert_eq!((&lines[0]["v"], &lines[0]["points"]), (&1.into(), &1.into()));
    assert_eq!(lines[1]["text"], "5 a\nb\n");
    assert_eq!((&lines[2]["pid"], &lines[2]["tid"], &lines[2]["nspid"]), (&71.into(), &73.into(), &1.into()));
    assert_eq!(lines[2]["cpu"], 1);
    assert_eq!(lines[5]["hits"], 5);
}

#[test]
fn a_module_is_made_once() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let first = machine.run(&hello(&machine), &["--for", "100ms"]);
    let asked = machine.asked();
    assert_eq!(asked.iter().filter(|line| line.contains(" -p4 ")).count(), 1, "{asked:?}");
    let second = machine.run(&hello(&machine), &["--for", "100ms"]);
    assert_eq!(second.stdout, first.stdout);
    let again = machine.asked();
    assert!(!again.iter().any(|line| line.contains(" -p4 ") || line.contains(" -p2 ")), "{again:?}");
    assert_eq!(loaded(&asked), loaded(&again));
    // Another program, another module.
    machine.run(&machine.program("", "println($arg)"), &["--for", "100ms"]);
    assert_ne!(loaded(&machine.asked()), loaded(&asked));
    // Nothing of the probed file stays where it was compiled.
    let kept: Vec<_> =
        std::fs::read_dir(machine.path("cache/ctp/stap")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(kept.iter().filter(|name| name.to_string_lossy().starts_with("work")).count(), 0, "{kept:?}");
}

#[test]
fn the_addresses_are_those_that_stap_itself_gives() {
    let machine = Machine::new();
    let tree = std::fs::read_dir("/lib/modules").expect("linux-headers are installed").find_map(|entry| {
        let tree = entry.ok()?.path().join("build");
        tree.join(".config").exists().then(|| tree.display().to_string())
    });
    machine.says("real", &tree.expect("a build tree"));
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let output = machine.run(&hello(&machine), &["--for", "100ms"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    // By name at the first attempt.
    assert_eq!(machine.asked().iter().filter(|line| line.contains(" -p2 ")).count(), 1);
}

#[test]
fn ctrl_c_ends_it_in_order() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let running = machine.attached(&hello(&machine), &[]);
    assert_eq!(machine.modules().len(), 1);
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.ends_with("total = 7\n"), "what comes at the end is printed: {}", output.stdout);
    assert!(machine.modules().is_empty());
}

#[test]
fn events_and_exit_end_it() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let output = machine.run(&hello(&machine), &["--events", "1"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "5 a\nb\ntotal = 7\n"));
    let exits = machine.program("", r#"printf("%d\n", $arg); exit()"#);
    machine.says("begin", "@Y0;\n@P0;0;i5;\n@R0;0;0;1000;71;72;1;1;\n@Q0;\n@P0;0;i6;\n@R0;0;0;1000;71;72;1;1;\n");
    machine.says("end", "@C0;0;0;2;\n@Z0;\n");
    let output = machine.run(&exits, &[]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "5\n"), "{}", output.stderr);
    assert!(machine.modules().is_empty());
}

#[test]
fn error_makes_it_a_run_that_failed() {
    let machine = Machine::new();
    machine.says("begin", "@Y0;\n@P0;0;s5;bad 5\n@R0;0;0;1000;71;72;1;1;\n@Q0;\n");
    machine.says("end", "@C0;0;0;1;\n@Z0;\n");
    let output = machine.run(&machine.program("", r#"error(sprintf("bad %d", $arg))"#), &[]);
    assert_eq!(output.code, Some(1), "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("ctp: error: bad 5\n"), "{}", output.stderr);
    assert!(machine.modules().is_empty());
}

#[test]
fn a_staprun_that_fails_leaves_no_module() {
    let machine = Machine::new();
    machine.says("begin", "@Y0;\n");
    machine.says("dies", "ERROR: something in the module\n");
    let output = machine.run(&hello(&machine), &[]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("ERROR: something in the module"), "{}", output.stderr);
    let asked = machine.asked();
    assert_eq!(asked.last(), Some(&format!("staprun -d {}", loaded(&asked))));
    assert!(machine.modules().is_empty());
    // One that never got as far as that its probes were in place.
    machine.says("begin", "");
    let output = machine.run(&hello(&machine), &[]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("did not start") && output.stderr.contains("something in the module"));
    assert!(machine.modules().is_empty());
}

#[test]
fn a_killed_ctp_leaves_no_module() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    let running = machine.attached(&hello(&machine), &[]);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().code, None);
    // The kernel tells staprun that its parent is gone.
    eventually("the module goes", || machine.modules().is_empty());
}

#[test]
fn what_a_killed_run_left_the_next_one_removes() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    machine.says("stays", "");
    let running = machine.attached(&hello(&machine), &[]);
    let stuck: i32 = machine.noted("pid").trim().parse().expect("its pid");
    running.signal(Signal::SIGKILL);
    running.finish();
    nix::sys::signal::kill(Pid::from_raw(stuck), Signal::SIGKILL).expect("staprun did not react");
    eventually("staprun is gone", || nix::sys::signal::kill(Pid::from_raw(stuck), None).is_err() || is_zombie(stuck));
    let left = machine.modules();
    assert_eq!(left.len(), 1, "staprun was killed too: nobody is there to remove it");
    let others = ["ctp_script", "ctp_0123456789abcdef0123456789abcdef_0"];
    others.iter().for_each(|name| machine.has_module(name));
    std::fs::remove_file(machine.path("fake/stays")).unwrap();
    machine.asked();
    let output = machine.run(&hello(&machine), &["--for", "100ms"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let asked = machine.asked();
    let removed: Vec<&String> = asked.iter().filter(|line| line.starts_with("staprun -d")).collect();
    assert_eq!(removed, [&format!("staprun -d {}", left[0])], "that one, and none that ctp did not make");
    assert_eq!(machine.modules(), others);
}

fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn two_runs_at_once_have_two_modules() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let first = machine.attached(&hello(&machine), &[]);
    let second = machine.attached(&hello(&machine), &[]);
    let both = machine.modules();
    assert_eq!(both.len(), 2, "{both:?}");
    assert_ne!(both[0], both[1]);
    assert_eq!(second.interrupt().code, Some(0));
    assert_eq!(machine.modules(), both[..1], "the other one's stays");
    assert_eq!(first.interrupt().code, Some(0));
    assert!(machine.modules().is_empty());
}

#[test]
fn a_compilation_can_be_interrupted() {
    let machine = Machine::new();
    machine.says("slow", "");
    let running = ctp_tests::ctp::Running::of(&mut machine.command(&hello(&machine), &[]));
    let mut asked = Vec::new();
    eventually("it compiles", || {
        asked.extend(machine.asked());
        asked.iter().any(|line| line.contains(" -p4 "))
    });
    let output = running.interrupt();
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(!machine.asked().iter().any(|line| line.starts_with("staprun")));
}

#[test]
fn what_stap_says_is_passed_on() {
    let machine = Machine::new();
    machine.says("fails", "In file included from /usr/share/systemtap/runtime/x.h\nx.c:1:2: error: no such thing\n");
    let output = machine.run(&hello(&machine), &[]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("error[E0407]") && output.stderr.contains("no such thing"), "{}", output.stderr);
    assert!(!machine.asked().iter().any(|line| line.starts_with("staprun")));
}

#[test]
fn a_pair_that_is_not_right_is_refused() {
    let machine = Machine::new();
    machine.says("version", "4.8/0.188");
    let output = machine.run(&hello(&machine), &[]);
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains("error[E0402]: SystemTap cannot trace here: a module of stap 4.8"),
        "{}",
        output.stderr
    );
    machine.says("version", "5.6/0.192");
    std::fs::remove_file(machine.path("proc/modules")).unwrap();
    let output = machine.run(&hello(&machine), &[]);
    assert!(output.stderr.contains("this kernel has no loadable modules"), "{}", output.stderr);
    std::fs::write(machine.path("proc/modules"), "").unwrap();
    std::fs::remove_file(machine.path("tree/Makefile")).unwrap();
    let output = machine.run(&hello(&machine), &[]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("no build tree") && output.stderr.contains("linux-headers-"), "{}", output.stderr);
    let asked = machine.asked();
    assert!(asked.iter().all(|line| line == "stap --version"), "{asked:?}");
}

#[test]
fn what_systemtap_cannot_express_is_said_first() {
    let machine = Machine::new();
    machine.says("version", "4.8/0.188");
    let output = machine.run(&machine.program("", "println(caller())"), &[]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("error[E0302]") && output.stderr.contains("--engine bpf"), "{}", output.stderr);
    assert!(machine.asked().is_empty());
}

#[test]
fn it_ends_with_its_targets() {
    let mut machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let running = machine.attached(&hello(&machine), &["--no-follow"]);
    machine.end_target();
    let output = running.finish();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains(" ended\n"), "{}", output.stderr);
    assert!(machine.modules().is_empty());
}

/// The module takes the cgroup of what came back; what runs another file is left out.
#[test]
fn what_comes_back_is_let_in_where_its_file_is_the_one_that_is_probed() {
    let mut machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    let mut running = machine.attached(&hello(&machine), &[]);
    let name = loaded(&machine.asked());
    machine.end_target();
    running.wait_for_stderr("ctp: /");
    machine.start_target();
    let said = running.wait_for_stderr("ctp: /");
    assert!(said.contains("restarted, let in") && said.contains("calls before that were not seen"), "{said}");
    assert_eq!(machine.written(&name, "want_cg"), machine.cgroup_id().to_string());
    assert_eq!(machine.written(&name, "want_level"), "1");

    machine.end_target();
    running.wait_for_stderr("ctp: /");
    machine.replace_file();
    machine.start_target();
    let said = running.wait_for_stderr("ctp: /");
    assert!(said.contains("restarted with") && said.contains("not traced"), "{said}");
    assert_ne!(machine.written(&name, "want_cg"), machine.cgroup_id().to_string());
    assert_eq!(running.finish().code, Some(0), "nothing is left to wait for");
    assert!(machine.modules().is_empty());
}

#[test]
fn a_module_is_kept_where_that_is_asked() {
    let machine = Machine::new();
    machine.says("begin", RECORDS);
    machine.says("end", END);
    machine.run(&hello(&machine), &["--for", "100ms", "--keep"]);
    let name = loaded(&machine.asked());
    for extension in ["ko", "stp"] {
        assert!(machine.path(&format!("{name}.{extension}")).is_file());
    }
}
