//! Owns finding a container's file in the layers that its overlay is made of, as the host has them. A probe through the
//! container's own view of a file keeps its overlay mounted after it has stopped, and after a copy-up that view leads to
//! a copy which nobody executes. What is found here is a guess by names: whether it is the inode that was meant only the
//! kernel can tell.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use procfs::process::MountInfo;

use crate::container::process::ProcessDir;

/// The most layers looked at (overlayfs takes 500).
const MOST_LAYERS: usize = 512;

/// The files that a path of a process may be in the layers of the overlay that it is on, the uppermost first. `path` is
/// as the process sees it, links resolved. Empty where it is on no overlay, or where its layers are not visible here.
pub fn layers(process: &ProcessDir, path: &str) -> Vec<File> {
    let Ok(mounts) = process.read("mountinfo") else { return Vec::new() };
    // Of mounts on one folder the last one is seen.
    let mut best: Option<MountInfo> = None;
    for line in mounts.split(|byte| *byte == b'\n') {
        let Some(mount) = std::str::from_utf8(line).ok().and_then(|line| MountInfo::from_line(line).ok()) else {
            continue;
        };
        let longer = best
            .as_ref()
            .is_none_or(|known| known.mount_point.as_os_str().len() <= mount.mount_point.as_os_str().len());
        if longer && Path::new(path).starts_with(&mount.mount_point) {
            best = Some(mount);
        }
    }
    let Some(mount) = best.filter(|mount| mount.fs_type == "overlay") else { return Vec::new() };
    let Ok(below) = Path::new(path).strip_prefix(&mount.mount_point) else { return Vec::new() };
    let top = mount.root.trim_start_matches('/');
    let below = if top.is_empty() { below.to_owned() } else { Path::new(top).join(below) };
    let option = |name: &str| mount.super_options.get(name).cloned().flatten();
    let upper = option("upperdir");
    let lower = option("lowerdir").unwrap_or_default();
    // Colons within a name are written `\:`; who has such names is not looked for.
    let folders = upper.iter().map(String::as_str).chain(lower.split(':')).filter(|folder| folder.starts_with('/'));
    folders.take(MOST_LAYERS).filter_map(|folder| open(Path::new(folder), &below)).collect()
}

/// Opens a regular file below a folder, following no link in it.
fn open(folder: &Path, below: &Path) -> Option<File> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder: OwnedFd = nix::fcntl::open(folder, flags, Mode::empty()).ok()?;
    // No symbolic links: no magic ones either (openat2(2)).
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let found = openat2(&folder, below, how).ok()?;
    super::read_regular(&found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies in a layer a container may have written: nothing there leads out of it, or anywhere by a link.
    #[test]
    fn a_layer_is_left_by_no_name_and_no_link() {
        let folder = std::env::temp_dir().join(format!("ctp-layer-{}", std::process::id()));
        let layer = folder.join("layer");
        std::fs::create_dir_all(layer.join("app")).unwrap();
        std::fs::write(folder.join("secret"), "of the host").unwrap();
        std::fs::write(layer.join("app/inside"), "of the layer").unwrap();
        for (to, link) in [("app/inside", "link"), ("../secret", "out"), ("app", "folder"), ("/proc/self/exe", "magic")]
        {
            std::os::unix::fs::symlink(to, layer.join(link)).unwrap();
        }
        let opens = |below: &str| open(&layer, Path::new(below)).is_some();
        let tried =
            ["app/inside", "link", "out", "folder/inside", "magic", "../secret", "app/../../secret", "app", "none"];
        let opened: Vec<&str> = tried.into_iter().filter(|below| opens(below)).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(opened, ["app/inside"]);
    }
}
