//! Owns which shared objects the processes of a container have mapped, by `/proc/PID/maps`: paths as the container sees
//! them. Opens none of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ctp_lang::world::{Boundary, Container, Mapped};

use super::process::ProcessDir;

/// The most processes looked at: one that forks without end takes no more than this.
const MOST_PROCESSES: usize = 1 << 14;
/// The most paths kept: a container may map as many files as it likes.
const MOST_PATHS: usize = 65_536;

/// The files mapped as code by a container's processes, each once; those that were deleted meanwhile are left out.
pub fn mapped(container: &Container) -> Mapped {
    let mut paths = BTreeSet::new();
    let (pids, more) = processes(container, MOST_PROCESSES);
    let of_first = more.then_some(pids.len());
    for pid in pids {
        let Ok(maps) = ProcessDir::open(pid).and_then(|process| process.read("maps")) else { continue };
        for line in maps.split(|byte| *byte == b'\n') {
            if paths.len() >= MOST_PATHS {
                break;
            }
            if let Some(path) = code(line) {
                paths.insert(path);
            }
        }
    }
    Mapped { paths: paths.into_iter().collect(), of_first }
}

/// The processes that are in a container's cgroup or below, at most so many, and whether there are more.
pub fn processes(container: &Container, most: usize) -> (Vec<u32>, bool) {
    let mut pids = Vec::new();
    let cgroup = match (&container.cgroup, &container.boundary) {
        (Some(cgroup), _) | (None, Some(Boundary::Cgroup1 { cgroup, .. })) => Some(cgroup),
        (None, Some(Boundary::MountNamespace(_)) | None) => None,
    };
    let mut open: Vec<PathBuf> = cgroup.iter().map(|cgroup| PathBuf::from(&cgroup.folder)).collect();
    while let Some(folder) = open.pop().filter(|_| pids.len() <= most) {
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        // 0 stands for a process of another pid namespace.
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        open.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    if pids.is_empty() && container.init_pid != 0 {
        pids.push(container.init_pid);
    }
    let more = pids.len() > most;
    pids.truncate(most);
    (pids, more)
}

/// The path of a line of `maps` that maps a file as code (proc_pid_maps(5): address, perms, offset, dev, inode, path;
/// newlines in a path are written `\012`).
fn code(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.splitn(6, ' ');
    let permissions = fields.nth(1)?;
    let path = fields.nth(3)?.trim_start();
    let is_code = permissions.as_bytes().get(2) == Some(&b'x');
    (is_code && path.starts_with('/') && !path.ends_with(" (deleted)") && !path.contains('\\')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_pid_maps() {
        let line = b"7f16c8bd5000-7f16c8d2a000 r-xp 00026000 fe:00 1835531                    /usr/lib/libc.so.6";
        assert_eq!(code(line).as_deref(), Some("/usr/lib/libc.so.6"));
        for no in [
            &b"7f16c8bd5000-7f16c8d2a000 r--p 00026000 fe:00 1835531                    /usr/lib/libc.so.6"[..],
            b"7f16c8bd5000-7f16c8d2a000 r-xp 00026000 fe:00 1835531                    /usr/lib/libc.so.6 (deleted)",
            b"7ffd1b1f6000-7ffd1b1f8000 r-xp 00000000 00:00 0                          [vdso]",
            b"7f16c8d7c000-7f16c8d7e000 rwxp 00000000 00:00 0 ",
            b"",
        ] {
            assert_eq!(code(no), None);
        }
    }
}
