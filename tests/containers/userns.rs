//! Containers in user namespaces of their own: those of a docker that maps root in them to a user of the host
//! (`--userns-remap`). A second daemon, with its own state and socket, in a mount namespace in which it finds the users.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ctp_tests::ctp::{PATIENCE, Running, command};
use ctp_tests::docker::client;
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::{Scratch, name};

use crate::cases::written;
use crate::engines::Tree;
use crate::fixture::wait_for;

/// The first id of the host that stands for one in the containers.
const FIRST: u32 = 231_072;

/// The daemon. Its containers go with it.
struct Remapping {
    folder: Scratch,
    daemon: Child,
}

impl Remapping {
    fn start() -> Remapping {
        let folder = Scratch::new();
        let users = folder.write("users", &format!("daemon:{FIRST}:65536\n"));
        let path = folder.path().to_owned();
        let at = |name: &str| path.join(name).display().to_string();
        let script = format!(
            "mount --bind {users} /etc/subuid && mount --bind {users} /etc/subgid && exec dockerd --userns-remap=daemon \
             --data-root={} --exec-root={} --host=unix://{} --pidfile={} --bridge=none --iptables=false --ip6tables=false \
             --storage-driver=vfs",
            at("data"),
            at("exec"),
            at("docker.sock"),
            at("pid"),
        );
        let log = fs::File::create(at("log")).unwrap();
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "bash", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let remapping = Remapping { daemon: unshare.spawn().unwrap(), folder };
        let deadline = Instant::now() + PATIENCE;
        while attempt(&mut remapping.client(&["version"])).code != Some(0) {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(at("log")).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let tar = at("tree.tar");
        run(Command::new("tar").arg("-C").arg(Tree::new().path()).args(["-cf", &tar, "."]));
        remapping.docker(&["import", &tar, "tree"]);
        remapping
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    fn client(&self, args: &[&str]) -> Command {
        let mut client = client();
        client.args(["--host", &self.host()]).args(args);
        client
    }

    fn docker(&self, args: &[&str]) -> String {
        run(&mut self.client(args)).stdout.trim().to_owned()
    }

    /// Starts a container; where it writes and what it is told by is `out`.
    fn container(&self, name: &str, options: &[&str], label: &str, out: &Path) {
        let volume = format!("--volume={}:/out", out.display());
        let run = ["run", "--detach", "--network=none", "--name", name, &volume];
        self.docker(&[&run[..], options, &["tree", "/app/tally", "/out", label]].concat());
    }

    fn pid(&self, name: &str) -> u32 {
        self.docker(&["inspect", "--format", "{{.State.Pid}}", name]).parse().unwrap()
    }
}

impl Drop for Remapping {
    fn drop(&mut self) {
        let all = attempt(&mut self.client(&["ps", "--all", "--quiet"])).stdout;
        let all: Vec<&str> = all.split_whitespace().collect();
        if !all.is_empty() {
            attempt(&mut self.client(&[&["rm", "--force"][..], &all].concat()));
        }
        // Asked to end, it ends its containerd too.
        attempt(Command::new("kill").arg(self.daemon.id().to_string()));
        let _ = self.daemon.wait();
    }
}

/// Root in them is nobody on the host: they are named, their calls are reported and no others', what `exec` starts and what
/// comes back is theirs; beside them one in the host's own user namespace.
#[test]
fn where_root_is_somebody_else() {
    let remapping = Remapping::start();
    let out = Scratch::new();
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let folder = out.path().to_owned();
    let base = name();
    let of = |what: &str| format!("{base}-{what}");
    remapping.container(&of("web"), &[], "web", &folder);
    remapping.container(&of("plain"), &["--userns=host"], "plain", &folder);
    remapping.container("other", &[], "other", &folder);
    let mapped = fs::read_to_string(format!("/proc/{}/uid_map", remapping.pid(&of("web")))).unwrap();
    assert_eq!(mapped.split_whitespace().collect::<Vec<_>>(), ["0", &FIRST.to_string(), "65536"]);

    let mut ps = command(&["ps", "--format", "json"]);
    let listed = run(ps.env("DOCKER_HOST", remapping.host())).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let entry = listed["containers"].as_array().unwrap().iter().find(|one| one["name"] == of("web")).unwrap().clone();
    assert_eq!((&entry["exe"], &entry["debug_info"]), (&"/app/tally".into(), &true.into()));

    let script = format!(
        r#"probe container("{base}-*"):/app/tally.fn("counted") {{ printf("%s %d %d\n", container(), uid(), $number) }}"#
    );
    let mut run = command(&["run", "-e", &script]);
    let mut running = Running::of(run.env("DOCKER_HOST", remapping.host()));
    running.wait_for_stderr("ctp: attached");
    remapping.docker(&["exec", "--detach", &of("web"), "/app/tally", "/out", "web"]);
    fs::write(folder.join("go"), "").unwrap();
    let plain = written(&folder, "plain", 3);
    written(&folder, "other", 3);
    written(&folder, "web", 6);
    // Its file is no layer that could stay open: it is attached to anew.
    fs::remove_file(folder.join("go")).unwrap();
    remapping.docker(&["restart", "--time", "0", &of("web")]);
    running.wait_for_stderr(&format!("ctp: {} restarted", of("web")));
    wait_for("its file to be readable", || fs::write(folder.join("go"), "").ok());
    let web = written(&folder, "web", 9);
    let output = running.interrupt();
    for (what, uid, calls) in [("web", FIRST, &web), ("plain", 0, &plain)] {
        let own = format!("{} {uid} ", of(what));
        let mut seen: Vec<&str> = output.lines().iter().filter_map(|line| line.strip_prefix(&own)).collect();
        seen.sort_unstable();
        let missed = calls.iter().filter(|number| !seen.contains(&number.as_str())).count();
        assert_eq!((missed, seen.len()), (0, calls.len()), "{what}: {}", output.stderr);
    }
    assert_eq!(output.lines().len(), web.len() + plain.len());
}
