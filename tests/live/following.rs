//! Containers that come while ctp traces, and those beside them: restarted, started anew, changed under their process. Each call that their
//! programs say they made is either reported or said to be missed, and of those whose file was probed none is missed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, command};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::process::run;
use ctp_tests::unique;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::end::code;
use crate::jsonl::{against_schema, of_type, parsed};

fn image() -> Image {
    Image::new(&Binary::compile("burst.c", Compiler::Gcc, &["-g", "-O2"]), "/app/burst")
}

/// Calls that a container's program says it made, all its runs together, once the last run has made them.
pub(crate) fn called(container: &Container, runs: usize) -> u64 {
    for _ in 0..600 {
        let printed = container.printed();
        if printed.len() >= runs {
            return printed.iter().map(|line| line.strip_prefix("called ").unwrap().parse::<u64>().unwrap()).sum();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} did not call", container.name());
}

/// What was counted, by name; hits said to be missed, by name.
struct Seen {
    counted: BTreeMap<String, u64>,
    missed: BTreeMap<String, u64>,
    lines: Vec<Value>,
}

fn seen(output: &str) -> Seen {
    assert_eq!(against_schema(output), "");
    let lines = parsed(output);
    let counted = of_type(&lines, "map")[0]["entries"].as_array().unwrap().iter();
    let counted = counted.map(|entry| (entry["key"][0].as_str().unwrap().to_owned(), entry["value"].as_u64().unwrap()));
    let counted = counted.collect();
    let mut missed = BTreeMap::new();
    for line in of_type(&lines, "attached").into_iter().skip(1).chain(of_type(&lines, "restarted")) {
        assert!(line.get("late_ms").is_none(), "{line}");
        *missed.entry(line["containers"][0]["name"].as_str().unwrap().to_owned()).or_insert(0) +=
            line["missed"].as_u64().unwrap();
    }
    Seen { counted, missed, lines }
}

#[test]
fn restarted_containers_and_new_ones_of_the_glob_lose_no_call() {
    let image = image();
    let base = unique::name();
    let start = |name: &str, calls: &str| Container::detached_as(&image, &format!("{base}-{name}"), &[calls]);
    let (web, neighbour) = (start("web-1", "1000"), start("db", "1000"));
    let before = called(&web, 1);

    let mut ctp = Running::attached_with(&[
        "run",
        "--output",
        "jsonl",
        "-e",
        &format!(r#"global calls; probe container("{base}-web-*"):/app/burst.fn("f") {{ calls[container()]++ }}"#),
    ]);
    const RESTARTS: usize = 20;
    for round in 0..RESTARTS {
        docker(&["restart", "--time", "0", web.name()]);
        if round % 5 == 0 {
            docker(&["restart", "--time", "0", neighbour.name()]);
        }
        ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
        // It is not ended before it has called.
        called(&web, round + 2);
    }
    let new = [start("web-2", "1234"), start("web-3", "77"), start("other", "5000")];
    for one in &new[..2] {
        ctp.wait_for_stderr(&format!("ctp: {} started", one.name()));
    }
    let printed = [called(&web, 1 + RESTARTS) - before, called(&new[0], 1), called(&new[1], 1)];
    called(&new[2], 1);
    let output = ctp.interrupt();

    let seen = seen(&output.stdout);
    // Which containers those are the kernel knew: it let them in before they ran.
    assert_eq!(seen.missed[web.name()], 0, "{}", output.stderr);
    for (container, printed) in [&web, &new[0], &new[1]].into_iter().zip(printed) {
        let (name, nothing) = (container.name(), 0);
        let counted = seen.counted.get(name).unwrap_or(&nothing);
        assert_eq!(counted + seen.missed[name], printed, "{name}: {}", output.stderr);
    }
    assert_eq!(seen.missed.len(), 3, "{}", output.stderr);
    assert!(seen.counted.keys().all(|name| seen.missed.contains_key(name)), "{:?}", seen.counted);
    assert_eq!(of_type(&seen.lines, "restarted").len(), RESTARTS);
    let gone = of_type(&seen.lines, "gone");
    assert!(gone.len() == RESTARTS && gone.iter().all(|line| line["container"] == web.name() && line["waits"] == true));
}

#[test]
fn one_that_is_made_anew_under_the_name_is_traced_again() {
    let image = image();
    let name = unique::name();
    let web = Container::detached_as(&image, &name, &["100"]);
    called(&web, 1);
    let mut ctp = Running::attached_with(&[
        "run",
        "--output",
        "jsonl",
        "-e",
        &format!(r#"global calls; probe container("{name}"):/app/burst.fn("f") {{ calls[container()]++ }}"#),
    ]);
    docker(&["rename", &name, &format!("{name}-old")]);
    docker(&["kill", &format!("{name}-old")]);
    ctp.wait_for_stderr(&format!("ctp: {name} ended"));
    let again = Container::detached_as(&image, &name, &["321"]);
    ctp.wait_for_stderr(&format!("ctp: {name} restarted"));
    let printed = called(&again, 1);
    let output = ctp.interrupt();
    docker(&["rm", "--force", &format!("{name}-old")]);
    drop(web);

    let seen = seen(&output.stdout);
    assert_eq!(seen.counted.get(&name).unwrap_or(&0) + seen.missed[&name], printed, "{}", output.stderr);
}

/// The program is checked with each build that comes, and prints what that container's own program prints; a build that it
/// does not fit is said not to be traced, and the run goes on.
#[test]
fn builds_first_met_during_the_run_are_checked_and_attached() {
    let build = |flags: &[&str]| Image::new(&Binary::compile("twins.c", Compiler::Gcc, flags), "/app/test_app");
    // The parameter is on the stack in the one and in a register in the other.
    let (image, other) = (build(&["-g"]), build(&["-g", "-O1", "-fno-inline"]));
    let (third, without) =
        (build(&["-g", "-O1", "-fno-inline", "-mno-red-zone", "-DTHIRD"]), build(&["-O1", "-fno-inline"]));
    let base = unique::name();
    let start = |number: u32, image: &Image| Container::driven_as(image, &format!("{base}-{number}"));
    let mut web = start(1, &image);
    let mut ctp = Running::attached_with(&[
        "run",
        "--output",
        "jsonl",
        "-e",
        &format!(
            r#"global calls, last
            probe container("{base}-*"):/app/test_app.fn("my_function") {{
                calls[container()]++
                last[container()] <<< $arg
                printf("my_function was called with %d\n", $arg)
            }}"#
        ),
    ]);
    web.call(3);
    let mut said = |one: &Container, what: &str| {
        let said = ctp.wait_for_stderr(&format!("ctp: {} {what}", one.name()));
        assert!(said.contains(" with another build of /app/test_app"), "{said}");
        said
    };
    let mut new = [(2, &other), (3, &other), (4, &third)].map(|(number, image)| {
        let one = start(number, image);
        assert!(said(&one, "started").contains("ms after its first process began"));
        one
    });
    let mut stripped = start(5, &without);
    let refused = said(&stripped, "started");
    assert!(refused.contains("does not check (E0110: ") && refused.ends_with(": not traced"), "{refused}");
    stripped.call(9);
    for (one, times) in new.iter_mut().zip([20, 30, 40]) {
        one.call(times);
    }
    // An image that was updated: the same name, another build.
    let before = web.printed();
    docker(&["rm", "--force", web.name()]);
    drop(web);
    let mut web = start(1, &third);
    assert!(said(&web, "restarted").contains("attached again"));
    web.call(7);
    let output = ctp.interrupt();
    assert_eq!(against_schema(&output.stdout), "");
    let lines = parsed(&output.stdout);
    let texts = |name: &str| -> Vec<String> {
        let own = of_type(&lines, "print").into_iter().filter(|line| line["container"] == name);
        own.map(|line| line["text"].as_str().unwrap().trim_end().to_owned()).collect()
    };
    let calls: BTreeMap<String, u64> = of_type(&lines, "map")
        .into_iter()
        .filter(|map| map["name"] == "calls")
        .flat_map(|map| map["entries"].as_array().unwrap())
        .map(|entry| (entry["key"][0].as_str().unwrap().to_owned(), entry["value"].as_u64().unwrap()))
        .collect();
    let mut expected = Vec::new();
    for (one, earlier) in [(&web, before), (&new[0], vec![]), (&new[1], vec![]), (&new[2], vec![])] {
        let printed = [earlier, one.printed()].concat();
        assert_eq!(texts(one.name()), printed, "{}", output.stderr);
        expected.push((one.name().to_owned(), printed.len() as u64));
    }
    assert_eq!(calls, BTreeMap::from_iter(expected));
    assert_eq!(texts(stripped.name()), [""; 0]);
    let late: Vec<&Value> =
        of_type(&lines, "attached").into_iter().skip(1).chain(of_type(&lines, "restarted")).collect();
    assert!(late.len() == 4 && late.iter().all(|line| line["late_ms"].is_u64()), "{late:?}");
    let summary = of_type(&lines, "summary")[0];
    assert_eq!(summary["hits"], 3 + 20 + 30 + 40 + 7);
    assert_eq!(summary["records"], summary["hits"]);
}

/// Stacks of a build that comes later are unwound by its own files, and count in the same maps.
#[test]
fn stacks_of_builds_first_met_during_the_run_are_their_own() {
    let build = |flags: &[&str]| Image::new(&Binary::compile("twins.c", Compiler::Gcc, flags), "/app/test_app");
    let (image, other) = (build(&["-g"]), build(&["-g", "-O1", "-fno-inline"]));
    let base = unique::name();
    let mut web = Container::driven_as(&image, &format!("{base}-1"));
    let script = format!(
        r#"global stacks
        probe container("{base}-*"):/app/test_app.fn("my_function") {{
            printf("%s\n%s", container(), ustack())
            stacks[container(), ustack()]++
        }}
        probe end {{ foreach ([one, stack] in stacks) {{ printf("%s %d:\n%s", one, stacks[one, stack], stack) }} }}"#
    );
    let mut ctp = Running::attached_with(&["run", "-e", &script]);
    web.call(2);
    let mut late = Container::driven_as(&other, &format!("{base}-2"));
    let said = ctp.wait_for_stderr(&format!("ctp: {} started", late.name()));
    assert!(said.contains(" with another build of /app/test_app"), "{said}");
    late.call(3);
    let output = ctp.interrupt();
    // What is written of each is a name, and below it the functions from the innermost on.
    for (one, calls) in [(&web, 2), (&late, 3)] {
        let shown: Vec<&str> = output.stdout.split(one.name()).skip(1).collect();
        let whole = |text: &&&str| {
            let of = |name: &str| text.find(name);
            matches!((of("my_function"), of("step"), of("main")), (Some(a), Some(b), Some(c)) if a < b && b < c)
        };
        assert_eq!(shown.iter().filter(whole).count(), calls + 1, "{}\n{}", output.stdout, output.stderr);
        assert!(shown.iter().any(|text| text.starts_with(&format!(" {calls}:"))), "{}", output.stdout);
        assert!(!shown.iter().any(|text| text.contains("unwind stopped")), "{}", output.stdout);
    }
}

/// Two probes that mean the same container at first: who comes later counts for the one that means it too, and only there.
#[test]
fn who_comes_later_counts_only_where_it_is_meant() {
    let image = image();
    let base = unique::name();
    let web = Container::detached_as(&image, &format!("{base}-1"), &["10"]);
    called(&web, 1);
    let mut ctp = Running::attached(&format!(
        r#"global one, all
        probe container("{base}-1"):/app/burst.fn("f") {{ one[container()]++ }}
        probe container("{base}-*"):/app/burst.fn("f") {{ all[container()]++ }}"#
    ));
    let new = Container::detached_as(&image, &format!("{base}-2"), &["40"]);
    let said = ctp.wait_for_stderr(&format!("ctp: {} started", new.name()));
    // Where ctp had no time to hear of it before it began, what was missed is said.
    let missed: u64 = match said.split_once("attached; ") {
        Some((_, missed)) => missed.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0),
        None => 0,
    };
    assert!(said.ends_with(if missed == 0 { "no call was missed" } else { "not seen" }), "{said}");
    called(&new, 1);
    docker(&["restart", "--time", "0", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    called(&web, 2);
    // While ctp stands nobody decides about one that comes: what is said to be missed is what the probe that means it
    // missed, and nothing of the other's.
    ctp.signal(Signal::SIGSTOP);
    let unseen = Container::detached_as(&image, &format!("{base}-3"), &["30"]);
    called(&unseen, 1);
    ctp.signal(Signal::SIGCONT);
    let said = ctp.wait_for_stderr(&format!("ctp: {} started", unseen.name()));
    assert!(said.ends_with(" started, attached; 30 hits before that not seen"), "{said}");
    let output = ctp.interrupt();
    let (web, new) = (format!("\"{}\"", web.name()), format!("\"{}\"", new.name()));
    let of_new = format!("all[{new}] = ");
    let (news, others): (Vec<_>, Vec<_>) = output.lines().into_iter().partition(|line| line.starts_with(&of_new));
    assert_eq!(others, [format!("one[{web}] = 10"), format!("all[{web}] = 10")]);
    let seen: u64 = news.iter().map(|line| line[of_new.len()..].parse::<u64>().unwrap()).sum();
    assert_eq!(seen + missed, 40, "{news:?}, missed {missed}");
}

/// After `chmod` of the running program its path leads to a copy, and what runs is the image's file still.
#[test]
fn a_program_whose_file_was_changed_while_it_runs() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let (mut web, mut neighbour) = (Container::driven(&image), Container::driven(&image));
    let file = format!("/proc/{}/root/app/test_app", web.pid());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o750)).unwrap();

    let mut ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    ));
    web.call(20);
    neighbour.call(30);
    let mut printed = web.printed();
    assert_eq!(printed.len(), 20);
    // What starts in it now executes the copy.
    docker(&["exec", "--detach", web.name(), "/app/test_app", "1000000"]);
    let first = "my_function was called with 0";
    printed.push(first.to_owned());
    for _ in 0..2 {
        ctp.wait_for_stdout(|line| line == first);
    }
    assert_eq!(ctp.interrupt().lines(), printed);
    assert_eq!(neighbour.printed().len(), 30);
}

/// Attached to processes one by one, a neighbour of the same file has no breakpoint.
#[test]
fn by_process_a_neighbour_stays_as_it_is() {
    let binary = Binary::compile("twins.c", Compiler::Gcc, &["-g", "-no-pie"]);
    let address = binary.address_of("my_function");
    let image = Image::new(&binary, "/app/test_app");
    let (mut web, mut neighbour) = (Container::driven(&image), Container::driven(&image));
    let before = code(neighbour.pid(), address);
    let script = format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    );

    let mut ctp = Running::attached_with(&["run", "--attach", "process", "-e", &script]);
    web.call(20);
    neighbour.call(30);
    assert_eq!(code(neighbour.pid(), address), before);
    assert_ne!(code(web.pid(), address), before);
    let mut printed = web.printed();
    assert_eq!(printed.len(), 20);
    // A process that starts later is attached to soon: it calls each 20 ms, and its first calls may be over by then.
    for number in 0..20 {
        ctp.wait_for_stdout(|line| line == format!("my_function was called with {}", number * 10));
    }
    docker(&["exec", "--detach", web.name(), "/app/test_app", "20000"]);
    printed.push(ctp.wait_for_stdout(|_| true));
    let output = ctp.interrupt();
    assert_eq!(output.lines()[..21], printed);
    // docker's runc executes others before that.
    assert!(output.stderr.contains("began, or executed another program, while ctp traced"), "{}", output.stderr);
    assert_eq!(code(neighbour.pid(), address), before);

    let plan = |mode: &str| Running::start(&["run", "--plan", "--attach", mode, "-e", &script]).finish().stdout;
    assert!(plan("auto").contains("attached to the files") && plan("process").contains("attached to each process"));
}

/// Cgroups that are made and removed without end leave nothing in ctp, and the container it watches is still followed.
#[test]
fn thousands_of_cgroups_that_are_nobodys() {
    let image = image();
    let web = Container::detached(&image, &["100"]);
    called(&web, 1);
    let mut ctp = Running::attached_with(&[
        "run",
        "--output",
        "jsonl",
        "-e",
        &format!(r#"global calls; probe container("{}"):/app/burst.fn("f") {{ calls[container()]++ }}"#, web.name()),
    ]);
    let mount = run(Command::new("findmnt").args(["-n", "-t", "cgroup2", "-o", "TARGET"])).stdout;
    let folder = format!("{}/{}", mount.lines().next().unwrap(), unique::name());
    let resident = |pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let churn = |times| {
        for _ in 0..times {
            std::fs::create_dir(&folder).unwrap();
            std::fs::remove_dir(&folder).unwrap();
        }
    };
    churn(1000);
    docker(&["restart", "--time", "0", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    let before = resident(ctp.pid());
    churn(5000);
    docker(&["restart", "--time", "0", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    let after = resident(ctp.pid());
    assert!(after < before + 1024, "{before} kB, then {after} kB");
    called(&web, 3);
    let output = ctp.interrupt();
    assert_eq!(seen(&output.stdout).counted[web.name()], 200, "{}", output.stderr);
}

/// Names come from the engine's files where it does not answer; who runs is not its to say.
#[test]
fn an_engine_that_does_not_answer() {
    let image = image();
    let base = unique::name();
    let web = Container::detached_as(&image, &format!("{base}-1"), &["100"]);
    called(&web, 1);
    let script = format!(r#"global calls; probe container("{base}-*"):/app/burst.fn("f") {{ calls[container()]++ }}"#);
    let mut command = command(&["run", "--output", "jsonl", "-e", &script]);
    let mut ctp = Running::of(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    ctp.wait_for_stderr("ctp: attached");
    docker(&["restart", "--time", "0", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    let new = Container::detached_as(&image, &format!("{base}-2"), &["300"]);
    ctp.wait_for_stderr(&format!("ctp: {} started", new.name()));
    let printed = [called(&web, 2) - 100, called(&new, 1)];
    let output = ctp.interrupt();
    let seen = seen(&output.stdout);
    for (container, printed) in [&web, &new].into_iter().zip(printed) {
        let counted = seen.counted.get(container.name()).unwrap_or(&0);
        assert_eq!(counted + seen.missed[container.name()], printed, "{}", output.stderr);
    }
}
