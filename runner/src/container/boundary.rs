//! Owns what tells a container's tasks where it has no cgroup of version 2 of its own: its cgroup of version 1, or its
//! mount namespace where nobody else is in that. Believes nothing that a process says of itself.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use ctp_lang::world::{Boundary, Cgroup, Container, Controller};
use nix::fcntl::readlinkat;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, statfs};
use procfs::process::MountInfo;

use super::hierarchy::{depth, in_first_namespace, unescape_mount};
use super::process::{Process, ProcessDir};
use super::{Found, target};

/// The cgroup of version 1 that a container has at a path; `None` where its process is in none there, and in a cgroup
/// namespace of ctp's own, where paths do not begin at the root.
pub(super) fn cgroup1(process: Process, path: &str) -> Option<Boundary> {
    if !in_first_namespace() {
        return None;
    }
    let file = process.dir().ok()?.read("cgroup").ok()?;
    let mountinfo = std::fs::read("/proc/self/mountinfo").ok()?;
    let level = u32::try_from(depth(path)).ok()?;
    Controller::ALL.into_iter().find_map(|controller| {
        let below = path_in(&file, controller)?.strip_prefix(path)?;
        if !(below.is_empty() || below.starts_with('/')) {
            return None;
        }
        let folder = mount_point(&mountinfo, controller)?.join(path.trim_start_matches('/'));
        let metadata = std::fs::symlink_metadata(&folder).ok()?;
        let is_cgroup1 = statfs(&folder).is_ok_and(|fs| fs.filesystem_type() == CGROUP_SUPER_MAGIC);
        if !metadata.is_dir() || !is_cgroup1 {
            return None;
        }
        let cgroup = Cgroup { folder: folder.to_str()?.to_owned(), id: metadata.ino(), level };
        Some(Boundary::Cgroup1 { controller, cgroup })
    })
}

/// The path in a controller's hierarchy, of a `/proc/PID/cgroup` (`hierarchy-ID:controller-list:cgroup-path`, cgroups(7)).
fn path_in(file: &[u8], controller: Controller) -> Option<&str> {
    file.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = std::str::from_utf8(line).ok()?.splitn(3, ':').skip(1);
        let is_its = fields.next()?.split(',').any(|name| name == controller.as_str());
        fields.next().filter(|_| is_its)
    })
}

/// Where the whole of a controller's hierarchy is mounted.
fn mount_point(mountinfo: &[u8], controller: Controller) -> Option<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines
        .filter(|line| line.contains(" - cgroup "))
        .filter_map(|line| MountInfo::from_line(line).ok())
        .find(|mount| {
            mount.fs_type == "cgroup" && mount.root == "/" && mount.super_options.contains_key(controller.as_str())
        })
        .map(|mount| unescape_mount(&mount.mount_point))
}

/// Gives those of `found` that nothing tells yet their mount namespaces, where those are theirs alone: neither the host's
/// nor another's of them, and no process of `others` is in one.
pub(super) fn mount_namespaces(found: &mut [Found], others: &[u32]) {
    let Some(host) = target::hosts_first().and_then(of) else { return };
    let mut taken: HashSet<u32> =
        others.iter().filter_map(|pid| ProcessDir::open(*pid).ok()).filter_map(|dir| number(&dir)).collect();
    taken.insert(host);
    let numbers: Vec<Option<u32>> = found.iter().map(|one| of(one.init)).collect();
    for (one, own) in found.iter_mut().zip(&numbers) {
        let alone =
            |own: &u32| !taken.contains(own) && numbers.iter().filter(|other| **other == Some(*own)).count() == 1;
        if one.container.cgroup.is_none() && one.container.boundary.is_none() {
            one.container.boundary = own.filter(alone).map(Boundary::MountNamespace);
        }
    }
}

/// The inode number of a process' mount namespace.
fn of(process: Process) -> Option<u32> {
    number(&process.dir().ok()?)
}

/// Such a link reads `mnt:[4026531832]` (namespaces(7)).
fn number(process: &ProcessDir) -> Option<u32> {
    let link = readlinkat(process, "ns/mnt").ok()?;
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// What is to be said of a container that is not told by a cgroup of version 2.
pub fn note(container: &Container) -> Option<String> {
    if container.cgroup.is_some() {
        return None;
    }
    let who = container.described();
    let restarts = "after a restart what it calls before ctp has noticed is not seen, and others of that kind that start \
                    later are not traced";
    match container.boundary.as_ref()? {
        Boundary::Cgroup1 { controller, .. } => {
            Some(format!("{who} is told by its cgroup of version 1 ({}): {restarts}", controller.as_str()))
        }
        Boundary::MountNamespace(_) => Some(format!(
            "{who} has no cgroup of its own and is told by its mount namespace: what it starts in another one \
             (unshare --mount) is not seen; {restarts}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_by_controller() {
        let file = b"12:cpu,cpuacct:/a:b\n4:pids:/docker/x\n3:net_cls,net_prio:/\n1:name=systemd:/s\n0::/\n";
        assert_eq!(path_in(file, Controller::Cpu), Some("/a:b"));
        assert_eq!(path_in(file, Controller::Pids), Some("/docker/x"));
        assert_eq!(path_in(file, Controller::Memory), None);
    }

    #[test]
    fn mounts_by_controller() {
        let mounts = b"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                       33 31 0:30 /docker/x /part rw - cgroup cgroup rw,pids\n41 31 0:38 / /u rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mounts, Controller::Cpu), Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(mount_point(mounts, Controller::Pids), None);
    }
}
