//! Owns LXC and systemd-nspawn as engines: both start a container by one program, and are known by the names of their
//! cgroups. nspawn without systemd keeps the unit it is started in: here that is the scope that systemd would have made.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ctp_tests::process::{attempt, run};
use ctp_tests::unique::Scratch;

use crate::engines::{Engine, Pids, Spec, Tree};
use crate::fixture::wait_for;

/// Processes of clients that stay, killed when dropped.
#[derive(Default)]
struct Clients(Vec<Child>);

impl Clients {
    fn start(&mut self, command: &mut Command) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.0.push(command.spawn().unwrap());
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &mut self.0 {
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

/// A tree with the folders on which both mount.
fn tree() -> Tree {
    let tree = Tree::new();
    for folder in ["proc", "sys", "dev", "run", "tmp", "etc", "usr", "var", "out"] {
        std::fs::create_dir_all(tree.path().join(folder)).unwrap();
    }
    std::fs::write(tree.path().join("etc/os-release"), "").unwrap();
    tree
}

pub(crate) struct Lxc {
    tree: Tree,
    configurations: Scratch,
    clients: RefCell<Clients>,
}

impl Lxc {
    pub(crate) fn new() -> Lxc {
        Lxc { tree: tree(), configurations: Scratch::new(), clients: RefCell::default() }
    }

    fn started(&self, name: &str) {
        let file = self.configurations.path().join(name);
        run(Command::new("lxc-start").args(["--name", name, "--daemon", "--rcfile"]).arg(file));
    }
}

impl Engine for Lxc {
    fn runtime(&self) -> &'static str {
        "lxc"
    }
    fn start(&self, name: &str, spec: &Spec) {
        let mut lines = vec![
            format!("lxc.rootfs.path = dir:{}", self.tree.path().display()),
            "lxc.net.0.type = empty".to_owned(),
            "lxc.apparmor.profile = unconfined".to_owned(),
            format!("lxc.init.cmd = {}", spec.program.join(" ")),
        ];
        lines.extend(spec.out.map(|out| format!("lxc.mount.entry = {} out none bind 0 0", out.display())));
        match spec.pids {
            // It cannot keep the host's.
            Pids::Own | Pids::Host => {}
            Pids::Of(other) => lines.push(format!("lxc.namespace.share.pid = {other}")),
        }
        self.configurations.write(name, &(lines.join("\n") + "\n"));
        self.started(name);
    }
    fn exec(&self, name: &str, program: &[&str]) {
        let mut attach = Command::new("lxc-attach");
        self.clients.borrow_mut().start(attach.args(["--name", name, "--"]).args(program));
    }
    fn restart(&self, name: &str) {
        run(Command::new("lxc-stop").args(["--kill", "--name", name]));
        self.started(name);
    }
    fn remove(&self, name: &str) {
        // Where another shared its pid namespace, that ended with it.
        attempt(Command::new("lxc-stop").args(["--kill", "--name", name]));
    }
    fn pid(&self, name: &str) -> u32 {
        run(Command::new("lxc-info").args(["--pid", "--no-humanize", "--name", name])).stdout.trim().parse().unwrap()
    }
    fn is_attached_to_late(&self) -> bool {
        true
    }
}

/// What a container of nspawn's is started with: its root, which no two may share, and its command.
struct Machine {
    root: Scratch,
    arguments: Vec<String>,
    client: Clients,
}

pub(crate) struct Nspawn {
    tree: Tree,
    machines: RefCell<HashMap<String, Machine>>,
    clients: RefCell<Clients>,
}

/// `unit_name_escape` of systemd: what is between the names of slices is written as its number.
fn scope(name: &str) -> String {
    format!("machine.slice/machine-{}.scope", name.replace('-', "\\x2d"))
}

/// Where its folders are: in cgroup2, and in systemd's own hierarchy beside it.
fn hierarchies() -> [PathBuf; 2] {
    let mounts = crate::fixture::run("findmnt", &["-n", "-t", "cgroup", "-o", "TARGET,OPTIONS"]);
    let own = mounts.lines().find(|line| line.contains("name=systemd")).unwrap();
    [crate::fixture::cgroup2(), PathBuf::from(own.split(' ').next().unwrap())]
}

impl Nspawn {
    pub(crate) fn new() -> Nspawn {
        Nspawn { tree: tree(), machines: RefCell::default(), clients: RefCell::default() }
    }

    /// Starts a program in these cgroups.
    fn within(folders: &[PathBuf]) -> Command {
        let mut command = Command::new("bash");
        let enter: String =
            folders.iter().map(|folder| format!("echo $$ > '{}/cgroup.procs'; ", folder.display())).collect();
        command.args(["-c", &format!("{enter}exec \"$@\""), "bash"]);
        command
    }

    fn started(&self, name: &str) {
        let folders = hierarchies().map(|hierarchy| hierarchy.join(scope(name)));
        folders.iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        let mut machines = self.machines.borrow_mut();
        let machine = machines.get_mut(name).unwrap();
        let mut command = Nspawn::within(&folders);
        command.args(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--machine", name, "--directory"]);
        machine.client.start(command.arg(machine.root.path()).args(&machine.arguments));
        drop(machines);
        wait_for("the container", || self.first(name));
    }

    fn stop(&self, name: &str) {
        for hierarchy in hierarchies() {
            let folder = hierarchy.join(scope(name));
            let kill = |folder: &Path| {
                let pids = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                pids.lines().for_each(|pid| drop(attempt(Command::new("kill").args(["-9", pid]))));
            };
            wait_for("the end of the container", || {
                let inner = ["payload", "supervisor"].map(|part| folder.join(part));
                inner.iter().for_each(|part| kill(part));
                kill(&folder);
                let gone = |folder: &Path| std::fs::remove_dir(folder).is_ok() || !folder.exists();
                (inner.iter().all(|part| gone(part)) && gone(&folder)).then_some(())
            });
        }
        if let Some(machine) = self.machines.borrow_mut().get_mut(name) {
            machine.client = Clients::default();
        }
    }

    /// Its first process, once that executes its program.
    fn first(&self, name: &str) -> Option<u32> {
        let machines = self.machines.borrow();
        let program = machines.get(name)?.arguments.iter().find(|argument| argument.starts_with('/'))?;
        let procs = hierarchies()[0].join(scope(name)).join("payload/cgroup.procs");
        let pids = std::fs::read_to_string(procs).ok()?;
        let executes = |pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| exe.ends_with(program.trim_start_matches('/')))
        };
        pids.lines().filter_map(|line| line.parse().ok()).find(executes)
    }
}

impl Engine for Nspawn {
    fn runtime(&self) -> &'static str {
        "nspawn"
    }
    fn start(&self, name: &str, spec: &Spec) {
        let root = Scratch::new();
        run(Command::new("cp").arg("--archive").arg(self.tree.path().join(".")).arg(root.path()));
        // Pids: each has a namespace of its own.
        let bind = spec.out.map(|out| format!("--bind={}:/out", out.display()));
        let arguments = bind.into_iter().chain(spec.program.iter().map(|&word| word.to_owned())).collect();
        self.machines.borrow_mut().insert(name.to_owned(), Machine { root, arguments, client: Clients::default() });
        self.started(name);
    }
    fn exec(&self, name: &str, program: &[&str]) {
        // As machinectl(1) has systemd in the container do it.
        let pid = self.pid(name).to_string();
        let mut command = Nspawn::within(&hierarchies().map(|hierarchy| hierarchy.join(scope(name)).join("payload")));
        command.args(["nsenter", "--target", &pid, "--mount", "--pid", "--root"]).args(program);
        self.clients.borrow_mut().start(&mut command);
    }
    fn restart(&self, name: &str) {
        self.stop(name);
        self.started(name);
    }
    fn remove(&self, name: &str) {
        self.stop(name);
        self.machines.borrow_mut().remove(name);
    }
    fn pid(&self, name: &str) -> u32 {
        self.first(name).unwrap()
    }
    fn is_attached_to_late(&self) -> bool {
        true
    }
}
