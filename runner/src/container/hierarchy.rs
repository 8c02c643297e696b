//! Owns the mounted cgroup2 hierarchy: where it is, and which folder and id a path in it has. Never judges what lives there.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ctp_lang::world::Cgroup;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use procfs::process::MountInfo;

use crate::engine::bpf::tasks;

/// The cgroup2 mount through which folders are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    mount_point: PathBuf,
    /// Which path of the hierarchy is mounted there; `/` except below a bind mount.
    root: String,
    /// How deep the root of this cgroup namespace lies in the hierarchy: paths begin there, levels at the hierarchy's
    /// own root. `None` where that cannot be found out.
    base: Option<u32>,
}

impl Hierarchy {
    /// The cgroup2 mount of this mount namespace that shows most of the hierarchy; `None` where there is none.
    pub(super) fn find() -> Option<Hierarchy> {
        let mut found = Hierarchy::in_mountinfo(&std::fs::read("/proc/self/mountinfo").ok()?)?;
        if !in_first_namespace() {
            found.base = found.ask_for_base();
        }
        Some(found)
    }

    /// The level of what is mounted, as the kernel tells it of this process, less the depth of its path here.
    fn ask_for_base(&self) -> Option<u32> {
        let id = std::fs::symlink_metadata(&self.mount_point).ok()?.ino();
        let own = tasks::of(std::process::id()).ok()??;
        let level = own.cgroups.iter().position(|cgroup| *cgroup == id)?;
        u32::try_from(level.checked_sub(depth(&self.root))?).ok()
    }

    /// Reads line by line: a mount of somebody else's with an odd name must not hide this one.
    fn in_mountinfo(mountinfo: &[u8]) -> Option<Hierarchy> {
        mountinfo
            .split(|&b| b == b'\n')
            .filter_map(|line| std::str::from_utf8(line).ok())
            .filter(|line| line.contains(" - cgroup2 "))
            .filter_map(|line| MountInfo::from_line(line).ok())
            // Below a cgroup namespace the root may read `/../..`: paths cannot be joined to that.
            .filter(|mount| mount.fs_type == "cgroup2" && !mount.root.contains("/.."))
            .map(|mount| Hierarchy { mount_point: unescape_mount(&mount.mount_point), root: mount.root, base: Some(0) })
            .min_by_key(|hierarchy| hierarchy.root.len())
    }

    /// The folder of a path as `/proc/PID/cgroup` gives it; `None` where this mount does not show it.
    fn folder(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(&self.root)? };
        if !below.is_empty() && !below.starts_with('/') || below.split('/').any(|part| part == "..") {
            return None;
        }
        Some(self.mount_point.join(below.trim_start_matches('/')))
    }

    /// Where it is mounted.
    pub(super) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Whether the whole hierarchy is mounted there, and not a part of it.
    pub(super) fn is_whole(&self) -> bool {
        self.root == "/" && self.base == Some(0)
    }

    /// Calls `each` with path and id of every cgroup there is, from the root on; it says whether those below matter.
    pub(super) fn walk(&self, each: &mut dyn FnMut(&str, u64) -> bool) {
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            let Some(folder) = self.folder(&path) else { continue };
            let Ok(metadata) = std::fs::symlink_metadata(&folder) else { continue };
            if !each(if path.is_empty() { "/" } else { &path }, metadata.ino()) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            // A name that is no text is no engine's.
            open.extend(folders.filter_map(|entry| Some(format!("{path}/{}", entry.file_name().to_str()?))));
        }
    }

    /// Folder, id and level of a path, as `/proc/PID/cgroup` gives it; `None` where there is no such folder, or its level
    /// cannot be told.
    pub(super) fn cgroup(&self, path: &str) -> Option<Cgroup> {
        let folder = self.folder(path)?;
        let metadata = std::fs::symlink_metadata(&folder).ok()?;
        let is_cgroup2 = statfs(&folder).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
        if !metadata.is_dir() || !is_cgroup2 {
            return None;
        }
        Some(Cgroup {
            folder: folder.to_str()?.to_owned(),
            id: metadata.ino(),
            level: u32::try_from(depth(path)).ok()?.checked_add(self.base?)?,
        })
    }
}

pub(super) fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// Whether this is the first cgroup namespace: PROC_CGROUP_INIT_INO of include/linux/proc_ns.h.
pub(super) fn in_first_namespace() -> bool {
    std::fs::read_link("/proc/self/ns/cgroup").is_ok_and(|link| link.as_os_str() == "cgroup:[4026531835]")
}

/// Whether a cgroup's `cgroup.events` says that tasks live in it or below, and whether they are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Events {
    /// `populated 1`: some task is in it or below.
    pub populated: bool,
    /// `frozen 1`: all of its tasks are stopped by the cgroup freezer (Linux 5.2).
    pub frozen: bool,
}

impl Events {
    /// Reads `cgroup.events` (Documentation/admin-guide/cgroup-v2.rst); `None` where the cgroup is gone.
    pub(super) fn read(folder: &Path) -> Option<Events> {
        let text = std::fs::read_to_string(folder.join("cgroup.events")).ok()?;
        let is_set = |line: &str| text.lines().any(|l| l == line);
        Some(Events { populated: is_set("populated 1"), frozen: is_set("frozen 1") })
    }
}

/// Undoes the octal escapes of mountinfo (space, tab, newline, backslash: proc_pid_mountinfo(5)).
pub(super) fn unescape_mount(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    fn folder(mountinfo: &[u8], path: &str) -> Option<String> {
        Hierarchy::in_mountinfo(mountinfo)?.folder(path).map(|p| p.to_string_lossy().into_owned())
    }

    #[test]
    fn hybrid_and_unified_hosts() {
        assert_eq!(folder(HYBRID.as_bytes(), "/docker/x").as_deref(), Some("/sys/fs/cgroup/unified/docker/x"));
        let unified = b"25 18 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(folder(unified, "/docker/x").as_deref(), Some("/sys/fs/cgroup/docker/x"));
        assert_eq!(Hierarchy::in_mountinfo(b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"), None);
    }

    #[test]
    fn a_mount_with_an_odd_name_hides_nothing() {
        let mut lines = b"40 23 0:50 / /mnt/\xff\xfe rw - fuse.x x rw\n41 23 garbage - cgroup2\n".to_vec();
        lines.extend_from_slice(HYBRID.as_bytes());
        assert!(Hierarchy::in_mountinfo(&lines).is_some());
    }

    #[test]
    fn a_bind_mounted_part_shows_only_what_is_below_it() {
        let part = b"41 31 0:38 /docker/a /part\\040of rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(folder(part, "/docker/a/b").as_deref(), Some("/part of/b"));
        assert_eq!(folder(part, "/docker/ab"), None);
        assert_eq!(folder(part, "/system.slice"), None);
        assert_eq!(folder(HYBRID.as_bytes(), "/../x"), None);
    }
}
