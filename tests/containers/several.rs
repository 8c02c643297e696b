//! Several engines in one run, and what engines on systemd name their cgroups: containers that one pattern means, each
//! told by its own engine, each counted by itself.

use std::path::Path;
use std::process::Command;

use ctp_lang::world::Runtime;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};
use ctp_tests::driven::Driver;
use ctp_tests::process::Output;
use ctp_tests::unique::{Scratch, name};

use crate::cases::{Started, written};
use crate::engines::{Containerd, Docker, Engine, Pids, Podman, Spec, Tree};
use crate::fixture::{Folders, HandMade, list};

/// The numbers that were reported of a container.
fn reported(output: &Output, name: &str) -> Vec<String> {
    let of = format!("{name} ");
    let mut numbers: Vec<String> =
        output.lines().iter().filter_map(|line| line.strip_prefix(&of)).map(str::to_owned).collect();
    numbers.sort_unstable();
    numbers
}

/// The hits of a container that came later which were said to be missed.
fn said_missed(stderr: &str, name: &str) -> usize {
    let beginning = format!("ctp: {name} started, attached; ");
    let said = stderr.lines().find_map(|line| line.strip_prefix(&beginning)).unwrap_or_else(|| panic!("{stderr}"));
    match said.strip_suffix(" before that not seen").and_then(|hits| hits.split(' ').next()) {
        Some(count) => count.parse().unwrap(),
        None => {
            assert_eq!(said, "no call was missed", "{stderr}");
            0
        }
    }
}

/// One program in three engines, one pattern: replicas of docker, podman and containerd that ran before, that are started
/// anew, and that come later. Two of the engines make their containers of one folder, and so of one file.
#[test]
fn replicas_in_three_engines_by_one_pattern() {
    let (out, base) = (Scratch::new(), name());
    let docker = Docker(Tree::new().image());
    let podman = Podman(Tree::new());
    let containerd = Containerd { tree: Tree::at(podman.0.path()), namespace: name() };
    let engines: [(&'static str, &dyn Engine); 3] =
        [("docker", &docker), ("podman", &podman), ("containerd", &containerd)];
    let start = |engine, label: &str, name: String| {
        let spec = Spec { program: &["/app/tally", "/out", label], out: Some(out.path()), pids: Pids::Own };
        Started::named(engine, name, &spec)
    };
    let first: Vec<Started> = engines.map(|(label, engine)| start(engine, label, format!("{base}-web-{label}"))).into();
    let other = start(&docker, "other", format!("{base}-db"));
    let script = format!(
        r#"probe container("{base}-web-*"):/app/tally.fn("counted") {{ printf("%s %d\n", container(), $number) }}"#
    );
    let mut running = Running::attached(&script);
    std::fs::write(out.path().join("go"), "").unwrap();
    let called = engines.map(|(label, _)| written(out.path(), label, 3));
    written(out.path(), "other", 3);

    // They come one after the other, and those before them start anew.
    let mut later = Vec::new();
    for (label, engine) in engines {
        let own: &'static str = match label {
            "docker" => "later-docker",
            "podman" => "later-podman",
            _ => "later-containerd",
        };
        let started = start(engine, own, format!("{base}-web-{own}"));
        running.wait_for_stderr(&format!("ctp: {} started, attached", started.name));
        let calls = written(out.path(), own, 3);
        later.push((started, calls));
    }
    let mut again = called.clone();
    for ((started, (label, engine)), again) in first.iter().zip(engines).zip(&mut again) {
        engine.restart(&started.name);
        running.wait_for_stderr(&format!("ctp: {} restarted", started.name));
        *again = written(out.path(), label, 6);
    }
    let output = running.interrupt();
    for (started, calls) in first.iter().zip(again) {
        assert_eq!(reported(&output, &started.name), calls, "{}: {}", started.name, output.stderr);
    }
    for (started, calls) in &later {
        let seen = reported(&output, &started.name);
        assert!(seen.iter().all(|number| calls.contains(number)), "{}", started.name);
        let missed = said_missed(&output.stderr, &started.name);
        assert_eq!(seen.len() + missed, calls.len(), "{}: {}", started.name, output.stderr);
    }
    assert!(reported(&output, &other.name).is_empty());
}

/// Two builds of one program, each in a container; then the first is made anew with the build of the other, which is
/// probed already, but for the other.
#[test]
fn one_that_comes_back_with_the_build_of_another() {
    let image = |flag: &str| Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g", flag]), "/app/test_app");
    let (old, new) = (image("-O0"), image("-O2"));
    let base = name();
    let mut first = Container::driven_as(&old, &format!("{base}-1"));
    let mut second = Container::driven_as(&new, &format!("{base}-2"));
    let script = format!(
        r#"probe container("{base}-*"):exe.fn("my_function") {{ printf("%s my_function was called with %d\n", container(), $arg) }}"#
    );
    let mut running = Running::attached(&script);
    first.call(2);
    second.call(3);
    let mut printed = first.printed();
    drop(first);
    running.wait_for_stderr(&format!("ctp: {base}-1 ended"));
    let mut first = Container::driven_as(&new, &format!("{base}-1"));
    running.wait_for_stderr(&format!("ctp: {base}-1 restarted"));
    first.call(4);
    printed.extend(first.printed());
    let output = running.interrupt();
    for (name, printed) in [(first.name(), printed), (second.name(), second.printed())] {
        let own = format!("{name} ");
        let seen: Vec<&str> = output.lines().iter().filter_map(|line| line.strip_prefix(&own)).collect();
        assert_eq!(seen, printed, "{name}: {}", output.stderr);
    }
}

/// One that came later, of an engine that nobody is asked about, is not waited for without end: when it comes again it is
/// one that comes.
#[test]
fn who_came_later_and_ended_is_forgotten() {
    let base = name();
    let engine = Containerd { tree: Tree::new(), namespace: name() };
    let spec = Spec { program: &crate::engines::PROGRAM, out: None, pids: Pids::Own };
    let _first = Started::named(&engine, format!("{base}-1"), &spec);
    let script = format!(r#"probe container("{base}-*"):exe.fn("my_function") {{ printf("%d\n", pid()) }}"#);
    let mut running = Running::attached(&script);
    let later = Started::named(&engine, format!("{base}-2"), &spec);
    running.wait_for_stderr(&format!("ctp: {} started, attached", later.name));
    // It comes back soon: it is waited for.
    engine.restart(&later.name);
    running.wait_for_stderr(&format!("ctp: {} restarted, attached again", later.name));
    engine.stop(&later.name);
    running.wait_for_stderr(&format!("ctp: {} ended", later.name));
    std::thread::sleep(std::time::Duration::from_secs(12));
    engine.start_again(&later.name);
    running.wait_for_stderr(&format!("ctp: {} started, attached", later.name));
    let pid = later.pid().to_string();
    running.wait_for_stdout(|line| line == pid);
    running.interrupt();
}

/// The scopes that engines on systemd make: the folders' names say whose they are, and a task anywhere below counts.
#[test]
fn cgroups_as_systemd_names_them() {
    let tree = Tree::new();
    let id = |number: u32| format!("{:064x}", (u64::from(std::process::id()) << 32) + u64::from(number));
    let pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f_2.slice";
    let layouts = [
        (Runtime::Docker, id(1), format!("system.slice/docker-{}.scope", id(1)), ""),
        (
            Runtime::Docker,
            id(2),
            format!("user.slice/user-1000.slice/user@1000.service/user.slice/docker-{}.scope", id(2)),
            "init.scope",
        ),
        (Runtime::Podman, id(3), format!("machine.slice/libpod-{}.scope", id(3)), "container"),
        (
            Runtime::Podman,
            id(4),
            format!("machine.slice/machine-libpod_pod_{}.slice/libpod-{}.scope", id(40), id(4)),
            "container",
        ),
        (Runtime::Podman, id(5), format!("system.slice/web.service/libpod-payload-{}", id(5)), ""),
        (Runtime::Containerd, id(6), format!("{pod}/cri-containerd-{}.scope", id(6)), ""),
        (Runtime::CriO, id(7), format!("{pod}/crio-{}.scope", id(7)), "container"),
        (Runtime::Containerd, id(8), format!("system.slice/nerdctl-{}.scope", id(8)), ""),
        (
            Runtime::Containerd,
            id(9),
            format!("system.slice/containerd.service/kubepods-besteffort-pod3.slice:cri-containerd:{}", id(9)),
            "",
        ),
    ];
    let mut made = Vec::new();
    for (_, _, path, below) in &layouts {
        // In a root of its own, as what an engine starts.
        let driver = Driver::start(Command::new("chroot").arg(tree.path()).arg("/app/test_app"));
        let folders = Folders::make(Path::new(path).join(below).to_str().unwrap());
        folders.hold(driver.pid());
        // The process first: its folder goes when it has ended.
        made.push((driver, folders));
    }
    // What watches over a container is none.
    let monitor = HandMade::at(&format!("machine.slice/libpod-conmon-{}.scope", id(3)));
    let listing = list();
    for ((runtime, id, path, _), (driver, _)) in layouts.iter().zip(&made) {
        let found = listing.found.iter().find(|found| found.container.id == *id).unwrap_or_else(|| panic!("{path}"));
        let container = &found.container;
        assert_eq!((container.runtime, container.init_pid), (*runtime, driver.pid()), "{path}");
        let cgroup = container.cgroup.as_ref().unwrap();
        assert!(cgroup.folder.ends_with(path), "{path}: {cgroup:?}");
        assert_eq!(cgroup.level as usize, Path::new(path).components().count(), "{path}");
    }
    assert!(!listing.found.iter().any(|found| found.container.init_pid == monitor.process.id()));

    for ((runtime, id, path, _), (driver, _)) in layouts.iter().zip(&mut made) {
        let before = driver.printed().len();
        let who = format!("container(\"{}\", runtime=\"{}\"):exe", &id, runtime.as_str());
        let script = format!(r#"probe {who}.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#);
        let running = Running::attached(&script);
        driver.call(2);
        assert_eq!(running.interrupt().lines(), driver.printed()[before..], "{path}");
    }
    // The last first: some folders lie in those that others made.
    while made.pop().is_some() {}
}
