//! Owns opening a file inside a container: never outside its root, never anything but a regular file, and never
//! twice. The descriptor that was checked is the one that is read and probed.
//!
//! The name is looked up by openat2(2) with `RESOLVE_IN_ROOT` (`..`, absolute links and links swapped meanwhile end at
//! the container's root) and `RESOLVE_NO_MAGICLINKS` (`/proc/1/root`, `/proc/self/fd/3` lead nowhere), as `O_PATH`,
//! which runs nothing of a FIFO or a device. Only when fstat(2) shows a regular file is that same inode opened for
//! reading, through `/proc/self/fd`. File systems that only the kernel fills (procfs, sysfs, …) are refused.

pub mod layer;
mod nearest;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ctp_lang::world::{OpenError, Place, ReadAt, ReadError};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{self, FsType, fstatfs};

use crate::container::Process;
use crate::container::process::ProcessDir;

/// Capabilities by name and number (capabilities(7), linux/capability.h).
const DAC_READ_SEARCH: (&str, u32) = ("CAP_DAC_READ_SEARCH", 2);
const SYS_PTRACE: (&str, u32) = ("CAP_SYS_PTRACE", 19);

/// How often a look-up is tried again that the kernel could not prove safe because names were being moved (`EAGAIN`).
const TRIES: u32 = 64;

/// A container's root as its first process has it, mounts of its mount namespace included.
#[derive(Debug)]
pub struct Root {
    process: Process,
    dir: ProcessDir,
    root: OwnedFd,
}

/// A regular file of a container, open for reading.
#[derive(Clone, Debug)]
pub struct RootFile {
    file: Arc<File>,
    /// Path in the container, links resolved.
    pub path: String,
    /// Size in bytes when it was opened.
    pub size: u64,
    /// Device as fstat(2) shows it: the overlay's, not that of the layer whose inode is probed.
    pub dev: u64,
    /// Inode number as fstat(2) shows it.
    pub ino: u64,
}

impl Root {
    /// The root of the container whose first process this is.
    ///
    /// # Errors
    /// `Gone` where the process has ended, `Denied` without `CAP_SYS_PTRACE`.
    pub fn of(process: Process) -> Result<Root, OpenError> {
        let dir = process.dir().map_err(of_process)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // A magic link: leads to the process' root whatever our own is.
        let root = openat(&dir, "root", flags, Mode::empty()).map_err(|e| of_process(e.into()))?;
        Ok(Root { process, dir, root })
    }

    /// Whether this is the root that another process has: a container's first process still has the host's until its
    /// engine has set the container's own root up (pivot_root(2)).
    pub fn is_that_of(&self, other: Process) -> bool {
        let other = std::fs::metadata(format!("/proc/{}/root", other.pid)).map(|other| (other.dev(), other.ino()));
        let its = std::fs::metadata(fd_path(&self.root)).map(|its| (its.dev(), its.ino()));
        matches!((other, its), (Ok(other), Ok(its)) if other == its)
    }

    /// Opens the file at a place.
    ///
    /// # Errors
    /// [`OpenError`], for a path that is not there with the names nearest to it.
    pub fn open(&self, place: &Place) -> Result<RootFile, OpenError> {
        let found = match place {
            Place::Path(path) => self.look_up(path, OFlag::empty()).map_err(|e| self.of_path(e, path))?,
            Place::Exe => openat(&self.dir, "exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(|e| of_process(e.into()))?,
        };
        self.take(&found, place)
    }

    /// Opens the file at a path, saying no more than that nothing is there where that is so.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub fn find(&self, path: &str) -> Result<Option<RootFile>, OpenError> {
        match self.look_up(path, OFlag::empty()) {
            Ok(found) => self.take(&found, &Place::Path(path.to_owned())).map(Some),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => Ok(None),
            Err(error) => Err(self.of_path(error, path)),
        }
    }

    /// Opens what was found at a place for reading.
    fn take(&self, found: &OwnedFd, place: &Place) -> Result<RootFile, OpenError> {
        let path = self.path_of(found);
        let file = read_regular(found)?;
        let metadata = file.metadata().map_err(other)?;
        // The process may have ended while its root was read: what was found then is not the container's.
        self.process.dir().map_err(of_process)?;
        let path = match (path, place) {
            (Some(path), _) => path,
            (None, Place::Path(path)) => path.clone(),
            (None, Place::Exe) => "exe".to_owned(),
        };
        Ok(RootFile { file: Arc::new(file), path, size: metadata.size(), dev: metadata.dev(), ino: metadata.ino() })
    }

    /// Finds a path below the root, as `O_PATH`.
    fn look_up(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let path = if path.is_empty() { "." } else { path };
        retry(|| openat2(&self.root, path, how))
    }

    /// The path of an open file as the container's first process sees it; `None` where it has none there.
    fn path_of(&self, fd: &OwnedFd) -> Option<String> {
        // d_path() gives the path from the top of the mount namespace that the file's mount belongs to, and so does it
        // for the root: the rest is the path below that.
        let path = std::fs::read_link(fd_path(fd)).ok()?;
        let root = std::fs::read_link(fd_path(&self.root)).ok()?;
        let below = path.strip_prefix(root).ok()?.to_str()?;
        let unlinked = nix::sys::stat::fstat(fd).is_ok_and(|stat| stat.st_nlink == 0);
        let below = if unlinked { below.strip_suffix(" (deleted)").unwrap_or(below) } else { below };
        Some(format!("/{below}"))
    }

    fn of_path(&self, error: Errno, path: &str) -> OpenError {
        match error {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => nearest::not_found(self, path),
            // RESOLVE_NO_MAGICLINKS refuses with ELOOP, as a circle of links does.
            Errno::ELOOP | Errno::EXDEV => OpenError::Escapes,
            Errno::EACCES | Errno::EPERM => denied(DAC_READ_SEARCH),
            Errno::EAGAIN => OpenError::Other("its names are being moved all the time".to_owned()),
            Errno::ESRCH => OpenError::Gone,
            e => OpenError::Other(e.desc().to_owned()),
        }
    }
}

impl RootFile {
    /// The open file, for attaching a probe to.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

impl ReadAt for RootFile {
    fn size(&self) -> u64 {
        self.size
    }

    /// By pread(2), never by a mapping: a file cut short meanwhile is an error and no SIGBUS.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(ReadError::past_end(offset));
        }
        self.file.read_exact_at(buf, offset).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                ReadError { offset, reason: "the file became shorter while it was read".to_owned() }
            }
            _ => ReadError { offset, reason: e.to_string() },
        })
    }

    fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        crate::threads::at_once(parts, part);
    }
}

/// Opens an inode found by `O_PATH` for reading, if it is a regular file with bytes of its own.
fn read_regular(found: &OwnedFd) -> Result<File, OpenError> {
    let path = fd_path(found);
    let before = std::fs::metadata(&path).map_err(other)?;
    if !before.is_file() {
        return Err(OpenError::NotAFile { what: what(before.file_type()) });
    }
    let fs = fstatfs(found).map_err(|e| other(e.into()))?;
    if is_kernels(fs.filesystem_type()) {
        return Err(OpenError::NotAFile { what: "a file the kernel makes up" });
    }
    // O_NONBLOCK: a lease of somebody else's (fcntl(2), F_SETLEASE) makes open fail with EAGAIN instead of waiting.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = retry(|| nix::fcntl::open(&path, flags, Mode::empty())).map(File::from).map_err(|e| match e {
        Errno::EACCES | Errno::EPERM => denied(DAC_READ_SEARCH),
        Errno::EAGAIN => OpenError::Other("a process holds a lease on it".to_owned()),
        e => OpenError::Other(e.desc().to_owned()),
    })?;
    let after = file.metadata().map_err(other)?;
    if (before.dev(), before.ino()) != (after.dev(), after.ino()) || !after.is_file() {
        return Err(OpenError::Other("it changed while it was opened".to_owned()));
    }
    Ok(file)
}

/// Tries again while the kernel says `EAGAIN`, [`TRIES`] times in all.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for attempt in 1..TRIES {
        match call() {
            Err(Errno::EAGAIN | Errno::EINTR) => std::thread::sleep(Duration::from_micros(u64::from(attempt) * 10)),
            other => return other,
        }
    }
    call()
}

/// The link through which an open file is found again, whatever its name has become.
fn fd_path(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// File systems whose files are not stored bytes: opening one can block or do things.
fn is_kernels(fs: FsType) -> bool {
    [
        statfs::PROC_SUPER_MAGIC,
        statfs::SYSFS_MAGIC,
        statfs::CGROUP_SUPER_MAGIC,
        statfs::CGROUP2_SUPER_MAGIC,
        statfs::DEBUGFS_MAGIC,
        statfs::TRACEFS_MAGIC,
        statfs::SECURITYFS_MAGIC,
        statfs::SELINUX_MAGIC,
        statfs::BPF_FS_MAGIC,
        statfs::NSFS_MAGIC,
    ]
    .contains(&fs)
}

fn what(kind: std::fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "no regular file"
    }
}

fn other(error: io::Error) -> OpenError {
    OpenError::Other(error.to_string())
}

/// What the kernel refused; the capability is only named where this thread lacks it.
fn denied((name, number): (&'static str, u32)) -> OpenError {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let has = effective.is_some_and(|set| set >> number & 1 == 1);
    OpenError::Denied { missing: (!has).then_some(name) }
}

/// What a failure on `/proc/PID` and its links means (proc_pid_root(5): a ptrace access check).
fn of_process(error: io::Error) -> OpenError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => denied(SYS_PTRACE),
        Some(Errno::ENOENT | Errno::ESRCH) => OpenError::Gone,
        Some(e) => OpenError::Other(e.desc().to_owned()),
        None if error.kind() == io::ErrorKind::NotFound => OpenError::Gone,
        None => OpenError::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel refuses magic links with ELOOP where they were forbidden as such. Below a root of one's own it refuses them
    /// anyway, so far, with EXDEV ("not currently safe", nd_jump_link in fs/namei.c): that is not what ctp relies on.
    #[test]
    fn magic_links_are_forbidden_as_such() {
        let root = Root::of(Process::of(std::process::id()).unwrap()).unwrap();
        for path in ["/proc/self/root/etc/passwd", "/proc/self/exe", "/proc/self/cwd", "/proc/self/fd/0"] {
            assert_eq!(root.look_up(path, OFlag::empty()).unwrap_err(), Errno::ELOOP, "{path}");
        }
        assert!(root.look_up("/proc/self/status", OFlag::empty()).is_ok());
    }
}
