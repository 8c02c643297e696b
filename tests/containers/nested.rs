//! Docker in docker: a dockerd in a container with a cgroup namespace of its own, and containers of it; ctp on the host,
//! and ctp beside that dockerd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp_tests::ctp::{PATIENCE, Running, binary, ctp};
use ctp_tests::docker::{Container, Image, client, docker};
use ctp_tests::process::{Output, attempt, run};
use ctp_tests::unique::{Scratch, name};

use crate::cri::{Containerd, Pod};
use crate::engines::{PROGRAM, Pids, Spec, Tree};

/// The hierarchies as this host has them, mounted within the container's own cgroup namespace; then the daemon, which
/// needs no network.
const START: &str = "#!/bin/bash
set -e
umount -R /sys/fs/cgroup
mount -t tmpfs none /sys/fs/cgroup
while read -r name _ _ on; do
    if [ \"$name\" = '#subsys_name' ] || [ \"$on\" != 1 ]; then continue; fi
    mkdir \"/sys/fs/cgroup/$name\"
    mount -t cgroup -o \"$name\" none \"/sys/fs/cgroup/$name\" || rmdir \"/sys/fs/cgroup/$name\"
done < /proc/cgroups
mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd
mount -t cgroup2 none /sys/fs/cgroup/unified
exec dockerd --bridge=none --iptables=false --ip6tables=false --storage-driver=vfs --pidfile=/run/dockerd.pid
";

/// A dockerd in a container, with the host's programs. All of its containers go with it.
struct Inner {
    outer: Container,
    _folder: Scratch,
    _image: Image,
}

impl Inner {
    fn start() -> Inner {
        let folder = Scratch::new();
        let root = folder.path().join("root");
        for mounted in
            ["usr", "lib", "lib64", "bin", "sbin", "etc/ssl", "tmp", "run", "var/lib/docker", "shared", "ctp"]
        {
            std::fs::create_dir_all(root.join(mounted)).unwrap();
        }
        let start = root.join("start");
        std::fs::write(&start, START).unwrap();
        run(Command::new("chmod").arg("+x").arg(&start));
        // Docker's own name for it begins the path of its socket.
        std::os::unix::fs::symlink("/run", root.join("var/run")).unwrap();
        let image = Image::of_tree(&root, "/start");
        let tree = Tree::new();
        run(Command::new("tar").arg("-C").arg(tree.path()).arg("-cf").arg(folder.path().join("tree.tar")).arg("."));
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let built: PathBuf = binary().parent().unwrap().to_owned();
        let volume = |from: &Path, to: &str| format!("--volume={}:{to}", from.display());
        let mut options: Vec<String> = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ssl"]
            .map(|folder| volume(Path::new(folder), &format!("{folder}:ro")))
            .to_vec();
        options.extend([volume(&data, "/var/lib/docker"), volume(folder.path(), "/shared"), volume(&built, "/ctp:ro")]);
        options.extend(["--tmpfs=/run", "--cgroupns=private"].map(str::to_owned));
        // All that a dockerd needs; `privileged` would ask for what this machine may not have itself.
        for capability in ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"] {
            options.push(format!("--cap-add={capability}"));
        }
        options.extend(["seccomp=unconfined", "apparmor=unconfined"].map(|option| format!("--security-opt={option}")));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let outer = Container::detached_with(&image, &name(), &options, &[]);
        let inner = Inner { outer, _folder: folder, _image: image };
        let deadline = Instant::now() + PATIENCE;
        while attempt(&mut inner.exec(&["docker", "version"])).code != Some(0) {
            assert!(Instant::now() < deadline, "{}", attempt(client().args(["logs", inner.outer.name()])).stderr);
            std::thread::sleep(Duration::from_millis(50));
        }
        inner.docker(&["import", "/shared/tree.tar", "inner"]);
        inner
    }

    fn exec(&self, program: &[&str]) -> Command {
        let mut command = client();
        command.args(["exec", self.outer.name()]).args(program);
        command
    }

    fn docker(&self, args: &[&str]) -> Output {
        run(&mut self.exec(&[&["docker"], args].concat()))
    }

    /// A container in the container, and its id.
    fn container(&self, name: &str) -> String {
        let run = ["run", "--detach", "--network", "none", "--name", name, "inner"];
        self.docker(&[&run[..], &PROGRAM].concat()).stdout.trim().to_owned()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What its daemon mounted goes with its processes.
        attempt(&mut self.exec(&["sh", "-c", "docker rm --force $(docker ps --all --quiet)"]));
        docker(&["rm", "--force", self.outer.name()]);
    }
}

/// Pids as the host sees them, by what only this one's containers run.
fn host_pid(id: &str) -> u32 {
    let cgroups = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &u32| cgroups(pid).contains(id)).unwrap()
}

#[test]
fn docker_in_docker() {
    let inner = Inner::start();
    let (web, other) = (inner.container("web"), inner.container("other"));
    let (pid, others) = (host_pid(&web), host_pid(&other));
    let script = |who: &str, what: &str| format!(r#"probe {who}.fn("my_function") {{ printf({what}) }}"#);

    // On the host they are known by id: the host's docker knows no name for them.
    let listed: serde_json::Value = serde_json::from_str(&ctp(&["ps", "--format", "json"]).stdout).unwrap();
    let entry = |id: &str| listed["containers"].as_array().unwrap().iter().find(|one| one["id"] == id).cloned();
    let found = entry(&web).unwrap_or_else(|| panic!("{listed}"));
    assert_eq!((&found["name"], &found["pid"], &found["exe"]), (&().into(), &pid.into(), &PROGRAM[0].into()));
    assert_eq!(entry(&inner.outer.id()).unwrap()["name"], inner.outer.name());
    let of_web = format!("container(\"{}\"):exe", &web[..12]);
    let mut running = Running::attached(&script(&of_web, r#""%d %d\n", pid(), ns_pid()"#));
    for _ in 0..20 {
        assert_eq!(running.wait_for_stdout(|_| true), format!("{pid} 1"));
    }
    running.interrupt();

    // What runs in the inner ones runs in the outer one too.
    let folders = run(&mut inner.exec(&["find", "/var/lib/docker/vfs/dir", "-path", "*/app/test_app"])).stdout;
    let of_outer = |path: &str| format!("container(\"{}\"):{path}", inner.outer.name());
    let probes: String = folders.lines().map(|path| script(&of_outer(path), r#""%d\n", pid()"#)).collect();
    let mut running = Running::attached(&probes);
    let mut seen: Vec<u32> = (0..60).map(|_| running.wait_for_stdout(|_| true).parse().unwrap()).collect();
    running.interrupt();
    seen.sort_unstable();
    seen.dedup();
    let mut both = [pid, others];
    both.sort_unstable();
    assert_eq!(seen, both);

    // Beside that dockerd they have their names, and ctp sees neither the host's processes nor its cgroups.
    let listed = run(&mut inner.exec(&["/ctp/ctp", "ps", "--format", "json"])).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<&str> =
        listed["containers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["other", "web"]);
    let events = ["/ctp/ctp", "run", "--events", "20", "--for", "30s", "-e"];
    let traced = script("container(\"web\"):exe", r#""%s %d %d\n", container(), pid(), ns_pid()"#);
    let output = run(&mut inner.exec(&[&events[..], &[&traced]].concat()));
    assert!(output.lines().iter().all(|line| *line == format!("web {pid} 1")), "{}", output.stdout);
    assert_eq!(output.lines().len(), 20, "{}", output.stderr);
}

/// A node in a container, as kind makes one: a containerd in it, and pods over its CRI plugin in the kubelet's cgroups.
#[test]
fn pods_in_a_container() {
    let inner = Inner::start();
    let socket = format!("/proc/{}/root/run/containerd/containerd.sock", inner.outer.pid());
    let config = inner._folder.path().join("containerd.toml");
    let containerd =
        Containerd::within(socket, &config, || inner.exec(&["containerd", "--config", "/shared/containerd.toml"]));
    let containerd = Arc::new(containerd);
    let (namespace, hash) = (name(), format!("{:032x}", std::process::id()));
    let spec = Spec { program: &PROGRAM, out: None, pids: Pids::Own };
    let mut web = Pod::of_a_file(&containerd, &namespace, "web", &hash, &[("tier", "front")]);
    web.add("app", &spec);
    let mut other = Pod::of_a_file(&containerd, &namespace, "other", &format!("{hash}0"), &[("tier", "back")]);
    other.add("app", &spec);
    let (of_web, of_other) = (web.container("app").unwrap(), other.container("app").unwrap());
    let (pid, others) = (host_pid(&of_web), host_pid(&of_other));
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroup.contains(&format!("{}/kubepods/burstable/pod{hash}/{of_web}", inner.outer.id())), "{cgroup}");
    let script = |who: &str| format!(r#"probe {who}:exe.fn("my_function") {{ printf("%d\n", pid()) }}"#);

    // On the host by id, within the node.
    let mut running = Running::attached(&script(&format!("container(\"{}\")", &of_web[..12])));
    for _ in 0..20 {
        assert_eq!(running.wait_for_stdout(|_| true), pid.to_string());
    }
    running.interrupt();
    // On the node by pod, with the labels that its containerd tells.
    let listed = run(&mut inner.exec(&["/ctp/ctp", "ps", "--format", "json"])).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let entry = listed["containers"].as_array().unwrap().iter().find(|one| one["id"] == of_web.as_str()).unwrap();
    let pod = serde_json::json!({"namespace": namespace, "name": "web-node1", "container": "app"});
    assert_eq!((&entry["name"], &entry["pod"]), (&"app".into(), &pod), "{listed}");
    for (who, pid) in [
        (format!("pod(\"{namespace}/web-node1\", container=\"app\")"), pid),
        ("pod(label=\"tier=back\", container=\"app\")".to_owned(), others),
    ] {
        let events = ["/ctp/ctp", "run", "--events", "20", "--for", "30s", "-e", &script(&who)];
        let output = run(&mut inner.exec(&events));
        assert!(output.lines().iter().all(|line| *line == pid.to_string()), "{who}: {}", output.stdout);
        assert_eq!(output.lines().len(), 20, "{who}: {}", output.stderr);
    }
    drop((web, other));
}
