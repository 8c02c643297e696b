//! Owns where containers are seen: `/proc`, the cgroups, the engines' sockets and state.

use std::path::Path;

use super::{Finding, State};
use crate::container::{self, hierarchies};
use crate::world::live::LiveWorld;

/// Where engines listen, or keep their state.
const ENGINES: [(&str, &str, &[&str]); 4] = [
    ("engines.docker", "docker", &["/var/run/docker.sock"]),
    ("engines.podman", "podman", &["/run/podman/podman.sock", "/var/lib/containers/storage/overlay-containers"]),
    ("engines.containerd", "containerd", &["/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd"]),
    ("engines.cri-o", "CRI-O", &["/var/run/crio/crio.sock"]),
];

pub(super) fn examine(world: &LiveWorld) -> Vec<Finding> {
    let mut findings = vec![processes(), cgroups(), tracefs()];
    findings.extend(ENGINES.iter().map(|(id, name, places)| engine(id, name, places)));
    findings.push(listing(world));
    findings
}

fn processes() -> Finding {
    let (id, title) = ("containers.proc", "the host's processes");
    if container::target::hosts_first().is_some() {
        return Finding::found(id, title, "/proc shows them");
    }
    Finding::new(
        id,
        title,
        State::Limited,
        "/proc shows those of this pid namespace only: other containers are not seen",
    )
    .remedy("start this container with --pid=host (hostPID: true), or with --pid=container:NAME for one of them")
}

fn cgroups() -> Finding {
    let (id, title) = ("containers.cgroups", "cgroups");
    let seen = hierarchies();
    let v1 = if seen.v1 > 0 { format!(", beside {} of version 1", seen.v1) } else { String::new() };
    match seen.v2 {
        Some((mount, true)) => Finding::found(id, title, format!("cgroup2 on {mount}{v1}")),
        Some((mount, false)) => Finding::new(id, title, State::Limited, format!("only a part of cgroup2, on {mount}{v1}: `host` and `cgroup(…)` mean nothing"))
            .remedy("start this container with --cgroupns=host, or mount the host's /sys/fs/cgroup"),
        // The kernel is asked for the cgroups of processes then.
        None if container::own_depth() > 0 => Finding::new(id, title, State::Limited, "no cgroup2 is mounted in this container: `host` and `cgroup(…)` mean nothing, containers are told by the kernel")
            .remedy("mount the host's /sys/fs/cgroup"),
        None if seen.v1 > 0 => Finding::new(id, title, State::Limited, "version 1 alone: containers are told by that, but restarts are noticed late, new containers are not traced, `host` and `cgroup(…)` mean nothing")
            .remedy("mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, and start the containers anew"),
        None => Finding::new(id, title, State::Missing, "no cgroups are mounted: containers cannot be told apart")
            .remedy("mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, and start the containers anew; pid(…) works without"),
    }
}

fn tracefs() -> Finding {
    let (id, title) = ("kernel.tracefs", "tracefs");
    let there = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .into_iter()
        .find(|path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()));
    match there {
        Some(path) => Finding::found(id, title, format!("{path}; ctp does without")),
        None => Finding::new(id, title, State::Optional, "not mounted; ctp does without"),
    }
}

fn engine(id: &'static str, name: &str, places: &[&str]) -> Finding {
    match places.iter().find(|place| Path::new(place).exists()) {
        Some(place) => Finding::found(id, name, *place),
        None => Finding::new(id, name, State::Optional, format!("not here (no {})", places.join(", no "))),
    }
}

fn listing(world: &LiveWorld) -> Finding {
    let (id, title) = ("containers.running", "containers");
    match world.listing() {
        Err(error) => {
            let finding = Finding::new(id, title, State::Missing, error.reason);
            match error.help {
                Some(help) => finding.remedy(help),
                None => finding,
            }
        }
        Ok(listing) => {
            let named = listing.found.iter().filter(|found| found.container.name.is_some()).count();
            let all = listing.found.len();
            let text = format!("{all} running, {named} with a name, among {} processes", listing.processes);
            if named < all {
                let notes = listing.notes.join("; ");
                return Finding::new(id, title, State::Limited, format!("{text}: {notes}"))
                    .remedy("let ctp read the engine's socket (in a container: mount it), or name containers by id");
            }
            Finding::found(id, title, text)
        }
    }
}
