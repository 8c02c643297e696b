//! The same cases through each engine: docker, podman, containerd, its CRI plugin. A container is found by its name, what
//! it calls is what is reported, its neighbour is not, what `exec` starts belongs to it, and it is followed when it comes
//! back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::unique::{Scratch, name};

use crate::engines::{Containerd, Cri, Docker, Engine, PROGRAM, Pids, Podman, PodmanWithoutCgroups, Spec, Tree};
use crate::fixture::wait_for;
use crate::machines::{Lxc, Nspawn};

/// A container that is removed when the case ends.
pub(crate) struct Started<'e> {
    engine: &'e dyn Engine,
    pub(crate) name: String,
}

impl<'e> Started<'e> {
    fn new(engine: &'e dyn Engine) -> Started<'e> {
        Started::of(engine, &Spec { program: &PROGRAM, out: None, pids: Pids::Own })
    }

    pub(crate) fn of(engine: &'e dyn Engine, spec: &Spec) -> Started<'e> {
        Started::named(engine, name(), spec)
    }

    /// The same of a name of the caller's, which begins as [`name`] gives one.
    pub(crate) fn named(engine: &'e dyn Engine, name: String, spec: &Spec) -> Started<'e> {
        let started = Started { engine, name };
        engine.start(&started.name, spec);
        started
    }

    pub(crate) fn pid(&self) -> u32 {
        self.engine.pid(&self.name)
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        // One that could not be started cannot be removed either; what failed before is what is to be seen.
        let removed = catch_unwind(AssertUnwindSafe(|| self.engine.remove(&self.name)));
        assert!(removed.is_ok() || std::thread::panicking(), "{} is not removed", self.name);
    }
}

/// Waits for `count` lines that begin so and returns the process ids in them.
fn pids(running: &mut Running, count: usize) -> Vec<u32> {
    (0..count).map(|_| running.wait_for_stdout(|_| true).split(' ').next().unwrap().parse().unwrap()).collect()
}

fn cases(engine: &dyn Engine) {
    let (web, other) = (Started::new(engine), Started::new(engine));
    let (pid, others) = (web.pid(), other.pid());
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    assert_eq!(std::fs::read_link(exe).unwrap(), Path::new(PROGRAM[0]));

    // It is listed as its engine knows it.
    let listed: serde_json::Value = serde_json::from_str(&ctp(&["ps", "--format", "json"]).stdout).unwrap();
    let entry = listed["containers"].as_array().unwrap().iter().find(|one| one["name"] == web.name.as_str()).unwrap();
    assert_eq!((entry["runtime"].as_str(), entry["pid"].as_u64()), (Some(engine.runtime()), Some(u64::from(pid))));
    assert_eq!((entry["exe"].as_str(), entry["debug_info"].as_bool()), (Some(PROGRAM[0]), Some(true)));

    // By name, narrowed by its engine: its calls in their order, and none of the neighbour's.
    let script = format!(
        r#"probe container("{}", runtime="{}"):exe.fn("my_function") {{ printf("%d %s %d\n", pid(), container(), $arg) }}"#,
        web.name,
        engine.runtime()
    );
    let mut running = Running::attached(&script);
    let lines: Vec<String> = (0..20).map(|_| running.wait_for_stdout(|_| true)).collect();
    let first: u64 = lines[0].rsplit(' ').next().unwrap().parse().unwrap();
    for (line, n) in lines.iter().zip(0u64..) {
        assert_eq!(*line, format!("{pid} {} {}", web.name, first + 10 * n));
    }

    // What exec starts is the container's.
    engine.exec(&web.name, &PROGRAM);
    let mut seen = Vec::new();
    while !seen.iter().any(|seen| *seen != pid) {
        seen.extend(pids(&mut running, 5));
        assert!(seen.len() < 10_000, "nothing of what exec started is reported");
    }
    assert!(!seen.contains(&others));

    // It is followed: by its name, and so under its new process.
    engine.restart(&web.name);
    running.wait_for_stderr(&format!("ctp: {} restarted", web.name));
    let again = web.pid();
    assert_ne!(again, pid);
    let mut tries = 0;
    while pids(&mut running, 1)[0] != again {
        tries += 1;
        assert!(tries < 10_000, "nothing of the new process {again} is reported");
    }
    let output = running.interrupt();
    assert!(!output.lines().iter().any(|line| line.starts_with(&format!("{others} "))));
    assert!(!output.lines().iter().any(|line| line.contains(&other.name)));
}

/// What the processes of a label wrote down, once `files` of them have ended.
pub(crate) fn written(out: &Path, label: &str, files: usize) -> Vec<String> {
    wait_for("the calls to be made", || {
        let entries = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
        let of_label = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(&format!("{label}.")));
        let texts: Vec<String> = of_label.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect();
        let ended = texts.iter().filter(|text| text.ends_with("end\n")).count();
        assert!(ended <= files, "{ended} processes of {label}");
        (ended == files).then(|| {
            let mut lines: Vec<String> =
                texts.iter().flat_map(|text| text.lines()).filter(|line| *line != "end").map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        })
    })
}

/// Calls made are calls reported, for each container: those of its forks, of what `exec` starts in it, of one that shares
/// its pid namespace, of one in the host's, and after a restart. None of a neighbour, which makes as many.
fn exact(engine: &dyn Engine) {
    let out = Scratch::new();
    let program = |label: &'static str| ["/app/tally", "/out", label];
    let start = |label: &'static str, pids: Pids| {
        Started::of(engine, &Spec { program: &program(label), out: Some(out.path()), pids })
    };
    let web = start("web", Pids::Own);
    let side = start("side", Pids::Of(&web.name));
    let (host, other) = (start("host", Pids::Host), start("other", Pids::Own));
    let traced = [("web", &web), ("side", &side), ("host", &host)];
    let probes = traced.map(|(_, one)| format!("container(\"{}\", runtime=\"{}\")", one.name, engine.runtime()));
    let script: String = probes
        .iter()
        .map(|who| format!(r#"probe {who}:/app/tally.fn("counted") {{ printf("%s %d\n", container(), $number) }}"#))
        .collect();
    let mut running = Running::attached(&script);

    for one in [&web, &other] {
        let label = if one.name == web.name { "web" } else { "other" };
        engine.exec(&one.name, &program(label));
    }
    std::fs::write(out.path().join("go"), "").unwrap();
    // Three processes of each program.
    let mut expected: Vec<(&str, Vec<String>)> = [("web", 6), ("side", 3), ("host", 3)]
        .map(|(label, files)| (label, written(out.path(), label, files)))
        .to_vec();
    assert_eq!(written(out.path(), "other", 6).len(), 600);

    // Again, after the restart of one, whose program calls at once; where it has to be attached to first, when that is done.
    if engine.is_attached_to_late() {
        std::fs::remove_file(out.path().join("go")).unwrap();
    }
    engine.restart(&web.name);
    running.wait_for_stderr(&format!("ctp: {} restarted", web.name));
    std::fs::write(out.path().join("go"), "").unwrap();
    expected[0].1 = written(out.path(), "web", 9);

    let output = running.interrupt();
    let lines = output.lines();
    for ((label, expected), (_, one)) in expected.iter().zip(traced) {
        let name = format!("{} ", one.name);
        let mut seen: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(&name)).collect();
        seen.sort_unstable();
        let missed = expected.iter().filter(|number| !seen.contains(&number.as_str())).count();
        assert_eq!((missed, seen.len()), (0, expected.len()), "{label}:\n{}", output.stderr);
    }
    assert_eq!(lines.len(), expected.iter().map(|(_, calls)| calls.len()).sum::<usize>(), "{}", output.stderr);
}

fn both(engine: &dyn Engine) {
    cases(engine);
    exact(engine);
}

#[test]
fn docker_containers() {
    both(&Docker(Tree::new().image()));
}

#[test]
fn podman_containers() {
    both(&Podman(Tree::new()));
}

#[test]
fn podman_containers_without_cgroups() {
    both(&PodmanWithoutCgroups::new());
}

#[test]
fn containerd_tasks() {
    both(&Containerd { tree: Tree::new(), namespace: name() });
}

#[test]
fn pods_of_the_cri() {
    both(&Cri::new());
}

#[test]
fn lxc_containers() {
    both(&Lxc::new());
}

#[test]
fn nspawn_containers() {
    both(&Nspawn::new());
}

/// What was traced stays so, whatever it is called by now; who takes its name is meant by it from then on.
#[test]
fn a_container_that_is_renamed_stays_the_one_it_is() {
    let engine = Docker(Tree::new().image());
    let web = Started::new(&engine);
    let mut running = Running::attached(&format!(
        r#"probe container("{}"):exe.fn("my_function") {{ printf("%d\n", pid()) }}"#,
        web.name
    ));
    let pid = web.pid();
    assert!(pids(&mut running, 10).iter().all(|seen| *seen == pid));
    let renamed = Started { engine: &engine, name: name() };
    ctp_tests::docker::docker(&["rename", &web.name, &renamed.name]);
    engine.start(&web.name, &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    running.wait_for_stderr(&format!("ctp: {} started, attached", web.name));
    engine.restart(&renamed.name);
    running.wait_for_stderr(&format!("ctp: {} restarted", renamed.name));
    let mut both = vec![renamed.pid(), web.pid()];
    wait_for("calls of both", || {
        let seen = pids(&mut running, 50);
        both.retain(|pid| !seen.contains(pid));
        both.is_empty().then_some(())
    });
    running.interrupt();
}

/// A name that another build of the program has by now: what was checked does not hold for it, so it is not traced by the
/// addresses of the first, and that is said. (podman's: docker's container is given up as soon as it is removed.)
#[test]
fn a_container_that_is_made_anew_of_another_build() {
    let engine = Podman(Tree::new());
    let web = Started::new(&engine);
    let mut running = Running::attached(&format!(
        r#"probe container("{}"):exe.fn("my_function") {{ printf("%d\n", pid()) }}"#,
        web.name
    ));
    let pid = web.pid();
    pids(&mut running, 10);
    let tree = Tree::new();
    let other = Binary::compile("twins.c", Compiler::Gcc, &["-g", "-O2"]);
    std::fs::copy(other.path(), tree.path().join(PROGRAM[0].trim_start_matches('/'))).unwrap();
    engine.remove(&web.name);
    let updated = Podman(tree);
    updated.start(&web.name, &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    running.wait_for_stderr(&format!("ctp: {} restarted", web.name));
    let anew = web.pid().to_string();
    running.wait_for_stdout(|line| line == anew);
    let output = running.interrupt();
    let of_either = |line: &&str| *line == pid.to_string() || *line == anew;
    assert!(output.lines().iter().all(of_either), "{}", output.stderr);
    drop(web);
}

/// One name, two engines: both are listed, with how to say which; and saying it means that one.
#[test]
fn one_name_in_two_engines() {
    let (podman, containerd) = (Podman(Tree::new()), Containerd { tree: Tree::new(), namespace: name() });
    let one = Started::new(&podman);
    containerd.start(&one.name, &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    let same = Started { engine: &containerd, name: one.name.clone() };

    let script = |narrow: &str| {
        format!(r#"probe container("{}"{narrow}):exe.fn("my_function") {{ printf("%d\n", pid()) }}"#, one.name)
    };
    let both = ctp(&["check", "-e", &script("")]);
    assert_eq!(both.code, Some(1));
    assert!(both.stdout.contains("E0102"), "{}", both.stdout);
    let ways: Vec<&str> = both.stdout.lines().filter_map(|line| Some(line.split_once("for this one: ")?.1)).collect();
    let narrowed = [(", runtime=\"containerd\"", same.pid()), (", runtime=\"podman\"", one.pid())];
    assert_eq!(ways, narrowed.map(|(narrow, _)| format!("container(\"{}\"{narrow})", one.name)));
    for (narrow, pid) in narrowed {
        let mut running = Running::attached(&script(narrow));
        assert!(pids(&mut running, 10).iter().all(|seen| *seen == pid), "{narrow}");
        running.interrupt();
    }
}
