//! Containers that have no cgroup of version 2 of their own: told by one of version 1, or by their mount namespace. Whole
//! engines of that kind are in `cases`; here is what tells such containers from what is around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_lang::world::{Boundary, Controller};
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::driven::Driver;
use ctp_tests::unique::name;

use crate::cases::Started;
use crate::engines::{PROGRAM, Pids, PodmanWithoutCgroups, Spec};
use crate::fixture::{list, run, wait_for};

fn script(who: &str) -> String {
    format!(r#"probe {who}.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#)
}

/// A folder in the hierarchy of a controller of version 1, removed when dropped; the processes in it have ended by then.
struct Cgroup1(PathBuf);

impl Cgroup1 {
    fn new(controller: &str, path: &str) -> Cgroup1 {
        let options = format!("type cgroup {controller}");
        let mounts = run("findmnt", &["-n", "-t", "cgroup", "-o", "TARGET,OPTIONS"]);
        let mount = mounts.lines().find(|line| line.split([' ', ',']).any(|option| option == controller));
        let target = mount.unwrap_or_else(|| panic!("{options}: {mounts}")).split(' ').next().unwrap();
        let folder = Path::new(target).join(path);
        fs::create_dir_all(&folder).unwrap();
        Cgroup1(folder)
    }

    fn hold(&self, process: u32) {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).unwrap();
    }
}

impl Drop for Cgroup1 {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = fs::remove_dir(&self.0);
            return;
        }
        wait_for("the cgroup to be empty", || fs::remove_dir(&self.0).ok());
    }
}

/// As on a host with version 1 alone: in the hierarchy of version 2 all of them are in the root.
#[test]
fn by_a_cgroup_of_version_1() {
    let program = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
    let start = || Driver::start(&mut Command::new(program.path()));
    let (web, other) = (name(), name());
    let of_web = Cgroup1::new("pids", &format!("lxc.payload.{web}"));
    let below = Cgroup1::new("pids", &format!("lxc.payload.{web}/below"));
    let of_other = Cgroup1::new("pids", &format!("lxc.payload.{other}"));
    let (mut first, mut deep, mut neighbour, mut host) = (start(), start(), start(), start());
    let mut late = start();
    of_web.hold(first.pid());
    below.hold(deep.pid());
    of_other.hold(neighbour.pid());

    let found = list().found.into_iter().find(|found| found.container.id == web).unwrap();
    assert_eq!(found.container.cgroup, None);
    let Some(Boundary::Cgroup1 { controller, cgroup }) = &found.container.boundary else { panic!("{found:?}") };
    assert_eq!((*controller, cgroup.level, Path::new(&cgroup.folder)), (Controller::Pids, 1, of_web.0.as_path()));

    let who = format!("container(\"{web}\"):{}", program.path().display());
    let plan = ctp(&["run", "--plan", "-e", &script(&who)]).stdout;
    assert!(plan.contains("cgroup of version 1 (pids)"), "{plan}");
    let mut running = Running::attached(&script(&who));
    for process in [&mut first, &mut neighbour, &mut host, &mut deep] {
        process.call(5);
    }
    // One that comes later.
    of_web.hold(late.pid());
    late.call(3);
    let expected: Vec<String> = [&first, &deep, &late].iter().flat_map(|driver| driver.printed()).collect();
    for _ in &expected {
        running.wait_for_stdout(|_| true);
    }
    let output = running.interrupt();
    assert_eq!(output.lines(), expected);
    assert!(output.stderr.contains("cgroup of version 1 (pids)"), "{}", output.stderr);

    let doctor = ctp(&["doctor", &web]).stdout;
    assert!(doctor.contains("limited") && doctor.contains("cgroup of version 1"), "{doctor}");
    // Whoever is in no such cgroup is not told from the host.
    let refused = ctp(&["check", "-e", &script(&format!("host:{}", program.path().display()))]);
    assert!(refused.code == Some(2) && refused.stdout.contains("cannot be told from the host"), "{}", refused.stdout);
}

/// Started again it is in a new cgroup of the old path.
#[test]
fn by_a_cgroup_of_version_1_that_is_made_anew() {
    let program = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
    let start = || Driver::start(&mut Command::new(program.path()));
    let id = name();
    let path = format!("lxc.payload.{id}");
    let cgroup = Cgroup1::new("memory", &path);
    let mut first = start();
    cgroup.hold(first.pid());
    let who = format!("container(\"{id}\"):{}", program.path().display());
    let mut running = Running::attached(&script(&who));
    first.call(2);
    let mut expected = first.printed();
    drop(first);
    running.wait_for_stderr(&format!("ctp: {id} ended; waiting for it"));
    drop(cgroup);
    let cgroup = Cgroup1::new("memory", &path);
    let mut again = start();
    cgroup.hold(again.pid());
    running.wait_for_stderr(&format!("ctp: {id} restarted, attached again"));
    again.call(3);
    expected.extend(again.printed());
    for _ in &expected {
        running.wait_for_stdout(|_| true);
    }
    assert_eq!(running.interrupt().lines(), expected);
    drop(again);
}

/// What it starts in a mount namespace of its own is lost, and that is said beforehand; who shares its namespace is of it.
#[test]
fn by_a_mount_namespace() {
    let engine = PodmanWithoutCgroups::new();
    let started = Started::of(&engine, &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    let (web, pid) = (started.name.clone(), started.pid());
    let number = fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap().to_str().unwrap().to_owned();
    let found = list().found.into_iter().find(|found| found.container.name.as_deref() == Some(&web)).unwrap();
    let of_host = fs::read_link("/proc/self/ns/mnt").unwrap();
    assert_ne!(of_host.to_str(), Some(number.as_str()));
    let Some(Boundary::MountNamespace(told)) = found.container.boundary else { panic!("{found:?}") };
    assert_eq!((found.container.cgroup, format!("mnt:[{told}]")), (None, number));

    // Who enters it from outside is of the container.
    let enter = || {
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid.to_string(), "--mount"]).arg(PROGRAM[0]);
        Driver::start(&mut command)
    };
    let who = format!("container(\"{web}\"):exe");
    let mut running = Running::attached(&format!("probe {who}.fn(\"my_function\") {{ printf(\"%d\\n\", pid()) }}"));
    let said = running.wait_for_stderr(&format!("ctp: container `{web}` has no cgroup of its own"));
    assert!(said.contains("mount namespace") && said.contains("unshare --mount"), "{said}");
    let mut inside = enter();
    inside.call(7);
    let id = inside.pid().to_string();
    for _ in 0..7 {
        running.wait_for_stdout(|line| line == id);
    }
    let output = running.interrupt();
    let pids = [id, pid.to_string()];
    assert!(output.lines().iter().all(|line| pids.iter().any(|pid| line == pid)), "{}", output.stdout);
}
