//! The same cases through each engine: docker, podman, containerd. A container is found by its name, what it calls is
//! what is reported, its neighbour is not, what `exec` starts belongs to it, and it is followed when it comes back.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::{Scratch, name};

/// One engine, as its client is used.
trait Engine {
    /// As `runtime=` names it.
    fn runtime(&self) -> &'static str;
    /// Starts a container of a name, whose program calls every 5 ms.
    fn start(&self, name: &str);
    /// Starts a second process in it, the same program.
    fn exec(&self, name: &str);
    /// Ends it and starts it again.
    fn restart(&self, name: &str);
    /// Removes it.
    fn remove(&self, name: &str);
    /// The pid of its first process, as the engine says.
    fn pid(&self, name: &str) -> u32;
}

/// Where the tree of the containers is; every engine makes containers of it.
struct Tree(Scratch);

impl Tree {
    fn new() -> Tree {
        let tree = Scratch::new();
        std::fs::create_dir(tree.path().join("app")).unwrap();
        let binary = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
        std::fs::copy(binary.path(), tree.path().join("app/test_app")).unwrap();
        Tree(tree)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Every 5 ms.
const PROGRAM: [&str; 2] = ["/app/test_app", "5000"];

struct Docker(ctp_tests::docker::Image);

fn docker(args: &[&str]) -> String {
    ctp_tests::docker::docker(args).stdout.trim().to_owned()
}

impl Engine for Docker {
    fn runtime(&self) -> &'static str {
        "docker"
    }
    fn start(&self, name: &str) {
        docker(&["run", "--detach", "--network", "none", "--name", name, self.0.name(), PROGRAM[1]]);
    }
    fn exec(&self, name: &str) {
        docker(&["exec", "--detach", name, PROGRAM[0], PROGRAM[1]]);
    }
    fn restart(&self, name: &str) {
        docker(&["restart", "--time", "0", name]);
    }
    fn remove(&self, name: &str) {
        docker(&["rm", "--force", name]);
    }
    fn pid(&self, name: &str) -> u32 {
        docker(&["inspect", "--format", "{{.State.Pid}}", name]).parse().unwrap()
    }
}

struct Podman(Tree);

/// podman with docker's runc and without systemd; no limit above what the tests' own process may have.
fn podman(args: &[&str]) -> String {
    let mut command = Command::new("podman");
    command.args(["--runtime", "/usr/sbin/runc", "--cgroup-manager", "cgroupfs"]);
    run(command.args(args)).stdout.trim().to_owned()
}

impl Engine for Podman {
    fn runtime(&self) -> &'static str {
        "podman"
    }
    fn start(&self, name: &str) {
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
        let options = ["run", "--detach", "--network", "none", "--name", name];
        let rootfs = ["--rootfs", self.0.path().to_str().unwrap()];
        podman(&[&options[..], &limits, &rootfs, &PROGRAM].concat());
    }
    fn exec(&self, name: &str) {
        podman(&["exec", "--detach", name, PROGRAM[0], PROGRAM[1]]);
    }
    fn restart(&self, name: &str) {
        podman(&["restart", "--time", "0", name]);
    }
    fn remove(&self, name: &str) {
        podman(&["rm", "--force", "--time", "0", name]);
    }
    fn pid(&self, name: &str) -> u32 {
        podman(&["inspect", "--format", "{{.State.Pid}}", name]).parse().unwrap()
    }
}

/// containerd without anything on top: that of docker, in a namespace of its own.
struct Containerd {
    tree: Tree,
    namespace: String,
}

impl Containerd {
    fn ctr(&self, args: &[&str]) -> String {
        let socket = "/run/docker/containerd/containerd.sock";
        run(Command::new("ctr").args(["--address", socket, "--namespace", &self.namespace]).args(args)).stdout
    }

    fn stop(&self, name: &str) {
        self.ctr(&["task", "rm", "--force", name]);
    }
}

impl Engine for Containerd {
    fn runtime(&self) -> &'static str {
        "containerd"
    }
    fn start(&self, name: &str) {
        let rootfs = self.tree.path().to_str().unwrap();
        // Nobody reads what it prints: with pipes it would wait once they are full.
        self.ctr(&[&["run", "--detach", "--null-io", "--rootfs", rootfs, name][..], &PROGRAM].concat());
    }
    fn exec(&self, name: &str) {
        self.ctr(&[&["task", "exec", "--detach", "--exec-id", "second", name][..], &PROGRAM].concat());
    }
    fn restart(&self, name: &str) {
        self.stop(name);
        self.ctr(&["task", "start", "--detach", "--null-io", name]);
    }
    fn remove(&self, name: &str) {
        self.stop(name);
        self.ctr(&["container", "rm", name]);
    }
    fn pid(&self, name: &str) -> u32 {
        let listed = self.ctr(&["task", "ls"]);
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let socket = "/run/docker/containerd/containerd.sock";
        attempt(Command::new("ctr").args(["--address", socket, "namespace", "rm", &self.namespace]));
        drop(crate::fixture::Parent(self.namespace.clone()));
    }
}

/// A container that is removed when the case ends.
struct Started<'e> {
    engine: &'e dyn Engine,
    name: String,
}

impl<'e> Started<'e> {
    fn new(engine: &'e dyn Engine) -> Started<'e> {
        let started = Started { engine, name: name() };
        engine.start(&started.name);
        started
    }

    fn pid(&self) -> u32 {
        self.engine.pid(&self.name)
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.engine.remove(&self.name);
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
    engine.exec(&web.name);
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

#[test]
fn docker_containers() {
    let tree = Tree::new();
    cases(&Docker(ctp_tests::docker::Image::of_tree(tree.path(), PROGRAM[0])));
}

#[test]
fn podman_containers() {
    cases(&Podman(Tree::new()));
}

#[test]
fn containerd_tasks() {
    cases(&Containerd { tree: Tree::new(), namespace: name() });
}

/// One name, two engines: both are listed, with how to say which; and saying it means that one.
#[test]
fn one_name_in_two_engines() {
    let (podman, containerd) = (Podman(Tree::new()), Containerd { tree: Tree::new(), namespace: name() });
    let one = Started::new(&podman);
    containerd.start(&one.name);
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
