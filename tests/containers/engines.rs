//! The engines as their clients are used: docker, podman with runc, containerd by itself, containerd's CRI plugin. What
//! each is asked for is the same, so the same cases go through each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::docker::Image;
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::{Scratch, name};

use crate::cri::{self, Pod};

/// What a container is to be.
pub(crate) struct Spec<'s> {
    /// What it runs.
    pub(crate) program: &'s [&'s str],
    /// A folder of the host that it sees as `/out`.
    pub(crate) out: Option<&'s Path>,
    /// Whose processes it sees.
    pub(crate) pids: Pids<'s>,
}

/// A container's pid namespace.
#[derive(Clone, Copy)]
pub(crate) enum Pids<'s> {
    Own,
    Host,
    /// That of another container.
    Of(&'s str),
}

/// One engine, as its client is used.
pub(crate) trait Engine {
    /// As `runtime=` names it.
    fn runtime(&self) -> &'static str;
    /// Starts a container of a name.
    fn start(&self, name: &str, spec: &Spec);
    /// Starts a second process in it.
    fn exec(&self, name: &str, program: &[&str]);
    /// Ends it and starts it again.
    fn restart(&self, name: &str);
    /// Removes it.
    fn remove(&self, name: &str);
    /// The pid of its first process, as the engine says.
    fn pid(&self, name: &str) -> u32;
    /// Whether a container that starts anew is attached to only once it runs: it has its own copies of the image's files, or
    /// its root is a folder that is given up when it ends, or it has no cgroup that the kernel would tell of.
    fn is_attached_to_late(&self) -> bool {
        false
    }
}

/// Every 5 ms a call of `my_function`.
pub(crate) const PROGRAM: [&str; 2] = ["/app/test_app", "5000"];

/// Where the tree of the containers is; every engine makes containers of it.
pub(crate) struct Tree {
    path: PathBuf,
    /// Where it is this one's own.
    _made: Option<Scratch>,
}

impl Tree {
    /// Another's, which is there for as long as this one is used.
    pub(crate) fn at(path: &Path) -> Tree {
        Tree { path: path.to_owned(), _made: None }
    }

    pub(crate) fn new() -> Tree {
        let tree = Scratch::new();
        std::fs::create_dir_all(tree.path().join("app")).unwrap();
        for (source, path) in [("twins.c", "app/test_app"), ("tally.c", "app/tally")] {
            let binary = Binary::compile(source, Compiler::Gcc, &["-g"]);
            std::fs::copy(binary.path(), tree.path().join(path)).unwrap();
        }
        Tree { path: tree.path().to_owned(), _made: Some(tree) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn image(&self) -> Image {
        Image::of_tree(self.path(), PROGRAM[0])
    }
}

pub(crate) struct Docker(pub(crate) Image);

fn docker(args: &[&str]) -> String {
    ctp_tests::docker::docker(args).stdout.trim().to_owned()
}

/// Options of docker's and podman's `run`.
fn options(name: &str, spec: &Spec) -> Vec<String> {
    let mut options: Vec<String> = ["run", "--detach", "--network", "none", "--name", name].map(str::to_owned).to_vec();
    options.extend(spec.out.map(|out| format!("--volume={}:/out", out.display())));
    match spec.pids {
        Pids::Own => {}
        Pids::Host => options.push("--pid=host".to_owned()),
        Pids::Of(other) => options.push(format!("--pid=container:{other}")),
    }
    options
}

impl Engine for Docker {
    fn runtime(&self) -> &'static str {
        "docker"
    }
    fn start(&self, name: &str, spec: &Spec) {
        let options = options(name, spec);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let label = ["--label", ctp_tests::docker::LABEL];
        let program = ["--entrypoint", spec.program[0], self.0.name()];
        docker(&[&options[..], &label, &program, &spec.program[1..]].concat());
    }
    fn exec(&self, name: &str, program: &[&str]) {
        docker(&[&["exec", "--detach", name][..], program].concat());
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

pub(crate) struct Podman(pub(crate) Tree);

/// podman without systemd, with a runtime of the caller's.
fn podman_by(runtime: &str, args: &[&str]) -> String {
    let mut command = Command::new("podman");
    command.args(["--runtime", runtime, "--cgroup-manager", "cgroupfs"]);
    run(command.args(args)).stdout.trim().to_owned()
}

/// podman with docker's runc.
fn podman(args: &[&str]) -> String {
    podman_by("/usr/sbin/runc", args)
}

/// No limit above what the tests' own process may have.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

impl Engine for Podman {
    fn runtime(&self) -> &'static str {
        "podman"
    }
    fn start(&self, name: &str, spec: &Spec) {
        let options = options(name, spec);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let rootfs = ["--rootfs", self.0.path().to_str().unwrap()];
        podman(&[&options[..], &LIMITS, &rootfs, spec.program].concat());
    }
    fn exec(&self, name: &str, program: &[&str]) {
        podman(&[&["exec", "--detach", name][..], program].concat());
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

/// podman's containers that have no cgroup of their own, which only crun makes.
pub(crate) struct PodmanWithoutCgroups {
    pub(crate) tree: Tree,
    /// Holds what stands for crun.
    folder: Scratch,
}

impl PodmanWithoutCgroups {
    pub(crate) fn new() -> PodmanWithoutCgroups {
        let folder = Scratch::new();
        // It refuses hosts that have both versions of cgroups, though these containers are to have none.
        let script = "#!/bin/sh\nexec unshare --mount sh -c \
                      'umount --types cgroup2 --all && exec /usr/bin/crun \"$@\"' crun \"$@\"\n";
        let path = folder.write("crun", script);
        run(Command::new("chmod").arg("+x").arg(path));
        PodmanWithoutCgroups { tree: Tree::new(), folder }
    }

    pub(crate) fn podman(&self, args: &[&str]) -> String {
        podman_by(self.folder.path().join("crun").to_str().unwrap(), args)
    }
}

impl Engine for PodmanWithoutCgroups {
    fn runtime(&self) -> &'static str {
        "podman"
    }
    fn start(&self, name: &str, spec: &Spec) {
        // podman gives who has no cgroup a pid namespace of its own, whatever is asked for.
        let options = options(name, &Spec { pids: Pids::Own, ..*spec });
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let rootfs = ["--cgroups=disabled", "--rootfs", self.tree.path().to_str().unwrap()];
        self.podman(&[&options[..], &LIMITS, &rootfs, spec.program].concat());
    }
    fn exec(&self, name: &str, program: &[&str]) {
        self.podman(&[&["exec", "--detach", name][..], program].concat());
    }
    fn restart(&self, name: &str) {
        self.podman(&["restart", "--time", "0", name]);
    }
    fn remove(&self, name: &str) {
        self.podman(&["rm", "--force", "--time", "0", name]);
    }
    fn pid(&self, name: &str) -> u32 {
        self.podman(&["inspect", "--format", "{{.State.Pid}}", name]).parse().unwrap()
    }
    fn is_attached_to_late(&self) -> bool {
        true
    }
}

/// containerd without anything on top: that of docker, in a namespace of its own.
pub(crate) struct Containerd {
    pub(crate) tree: Tree,
    pub(crate) namespace: String,
}

impl Containerd {
    pub(crate) fn ctr(&self, args: &[&str]) -> String {
        let socket = "/run/docker/containerd/containerd.sock";
        run(Command::new("ctr").args(["--address", socket, "--namespace", &self.namespace]).args(args)).stdout
    }

    pub(crate) fn stop(&self, name: &str) {
        self.ctr(&["task", "rm", "--force", name]);
    }

    pub(crate) fn start_again(&self, name: &str) {
        self.ctr(&["task", "start", "--detach", "--null-io", name]);
    }
}

impl Engine for Containerd {
    fn runtime(&self) -> &'static str {
        "containerd"
    }
    fn start(&self, name: &str, spec: &Spec) {
        let rootfs = self.tree.path().to_str().unwrap();
        let mount = spec.out.map(|out| format!("--mount=type=bind,src={},dst=/out,options=rbind:rw", out.display()));
        let pids = match spec.pids {
            // ctr has no option for the host's: there it is one more of its own.
            Pids::Own | Pids::Host => None,
            Pids::Of(other) => Some(format!("--with-ns=pid:/proc/{}/ns/pid", self.pid(other))),
        };
        let further: Vec<&str> = mount.iter().chain(&pids).map(String::as_str).collect();
        // Nobody reads what it prints: with pipes it would wait once they are full.
        let options = ["run", "--detach", "--null-io", "--label", "ctp.test.engine=ctr"];
        self.ctr(&[&options[..], &further, &["--rootfs", rootfs, name], spec.program].concat());
    }
    fn exec(&self, name: &str, program: &[&str]) {
        self.ctr(&[&["task", "exec", "--detach", "--exec-id", "second", name][..], program].concat());
    }
    fn restart(&self, name: &str) {
        self.stop(name);
        self.start_again(name);
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

/// containerd's CRI plugin, driven as a kubelet drives it: each container in a pod of the same name, what shares a pid
/// namespace in one pod.
pub(crate) struct Cri {
    pub(crate) containerd: Arc<cri::Containerd>,
    pub(crate) namespace: String,
    pods: RefCell<HashMap<String, Pod>>,
}

impl Cri {
    pub(crate) fn new() -> Cri {
        Cri { containerd: cri::Containerd::shared(), namespace: name(), pods: RefCell::default() }
    }

    fn container(&self, name: &str) -> String {
        self.pods.borrow().values().find_map(|pod| pod.container(name)).unwrap()
    }
}

impl Engine for Cri {
    fn runtime(&self) -> &'static str {
        "containerd"
    }
    fn start(&self, name: &str, spec: &Spec) {
        let mut pods = self.pods.borrow_mut();
        match spec.pids {
            Pids::Own | Pids::Host => {
                let host = matches!(spec.pids, Pids::Host);
                let mut pod = Pod::start(&self.containerd, &self.namespace, name, &[], host);
                pod.add(name, spec);
                pods.insert(name.to_owned(), pod);
            }
            Pids::Of(other) => pods.get_mut(other).unwrap().add(name, spec),
        }
    }
    fn exec(&self, name: &str, program: &[&str]) {
        let container = self.container(name);
        let exec = ["task", "exec", "--detach", "--exec-id", "second", &container];
        run(&mut self.containerd.ctr(&[&exec[..], program].concat()));
    }
    fn restart(&self, name: &str) {
        self.pods.borrow_mut().get_mut(name).unwrap().restart(name);
    }
    fn remove(&self, name: &str) {
        // What shares a pod with another goes with it.
        self.pods.borrow_mut().remove(name);
    }
    fn pid(&self, name: &str) -> u32 {
        self.containerd.pid(&self.container(name))
    }
    fn is_attached_to_late(&self) -> bool {
        // The snapshotter `native`, which runs everywhere.
        true
    }
}
