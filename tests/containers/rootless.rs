//! Users' own podman, by the state it leaves: a container that has no cgroup of its own. The state is made by hand, since
//! podman cannot run for a user here; the process is in a user namespace as podman makes one.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use ctp_lang::world::Runtime;
use ctp_tests::ctp::{Running, ctp};

use crate::engines::{PROGRAM, Tree};
use crate::fixture::{list, wait_for};

/// A user who is nobody else, and the folder that login would make for one; it goes when dropped.
struct User {
    uid: u32,
    runtime: PathBuf,
}

impl User {
    fn new() -> User {
        let uid = 2_000_000 + std::process::id();
        User { uid, runtime: PathBuf::from(format!("/run/user/{uid}")) }
    }

    /// Writes a container's process down as conmon does.
    fn write_down(&self, id: &str, pid: u32) {
        let userdata = self.runtime.join("containers/overlay-containers").join(id).join("userdata");
        fs::create_dir_all(&userdata).unwrap();
        fs::write(userdata.join("pidfile"), pid.to_string()).unwrap();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.runtime);
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_container_without_a_cgroup_of_its_own_is_listed_and_refused_with_a_way_out() {
    let tree = Tree::new();
    let user = User::new();
    let uid = user.uid.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "unshare", "--user", "--map-root-user"]);
    let child =
        command.arg("--root").arg(tree.path()).args(PROGRAM).stdout(std::process::Stdio::null()).spawn().unwrap();
    let (pid, _child) = (child.id(), Ended(child));
    wait_for("the program", || {
        fs::read_link(format!("/proc/{pid}/exe")).ok().filter(|exe| exe.ends_with("app/test_app"))
    });

    let id = format!("{:064x}", 0xfeed_0000_0000_u64 + u64::from(pid));
    let forged = format!("{:064x}", 0xfeee_0000_0000_u64 + u64::from(pid));
    user.write_down(&id, pid);
    // A process that is none of the user's makes no container, whatever the user writes.
    user.write_down(&forged, std::process::id());
    let listing = list();
    let found = listing.found.iter().find(|found| found.container.id == id).unwrap_or_else(|| panic!("{listing:#?}"));
    let container = &found.container;
    assert_eq!((container.runtime, container.init_pid, &container.cgroup), (Runtime::Podman, pid, &None));
    assert!(!listing.found.iter().any(|found| found.container.id == forged));

    let script = |who: &str| format!(r#"probe {who}:exe.fn("my_function") {{ printf("%d\n", pid()) }}"#);
    let refused = ctp(&["run", "-e", &script(&format!("container(\"{id}\")"))]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    let way_out = format!("pid({pid})");
    assert!(refused.stderr.contains("E0407") && refused.stderr.contains(&way_out), "{}", refused.stderr);
    let mut running = Running::attached(&script(&way_out));
    for _ in 0..10 {
        assert_eq!(running.wait_for_stdout(|_| true), pid.to_string());
    }
    running.interrupt();
}
