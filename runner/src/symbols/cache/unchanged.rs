//! Owns what tells that a file of a container is still what it was: that its bytes need not be read again to know their
//! digest. Goes by what the container cannot write: the inode on the host's disk, and when that was changed last. Says
//! nothing where that is not known, or was just now.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::statfs::{self, FsType, fstatfs};
use nix::sys::statvfs::fstatvfs;

use crate::container::Process;
use crate::engine::bpf::inodes_of;
use crate::rootfs::layer::layers;

/// How long ago a file has to have been changed. A later change gives it another time then, for the clock's steps are of
/// some milliseconds; and what was written through a mapping before has gone to the disk (the kernel sees to that within
/// half a minute), so that writing so once more counts as a change.
const SETTLED: Duration = Duration::from_secs(60);
/// File systems that keep their inodes on a disk and that only root of the host can mount. Of others (FUSE, say) a
/// container can make one whose inodes say what it likes.
const DISKS: [FsType; 2] = [statfs::EXT4_SUPER_MAGIC, statfs::XFS_SUPER_MAGIC];
/// The major number of loop devices, which are one file today and another tomorrow (devices.txt).
const LOOP: u64 = 7;

/// A file of a container, and where it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The open file.
    pub(crate) file: Arc<File>,
    /// The first process of the container.
    pub(crate) process: Process,
    /// Its path as that process sees it, links resolved.
    pub(crate) path: String,
}

impl Origin {
    /// What no other file and no other state of this one has, nor will have; `None` where nothing tells that.
    pub(super) fn identity(&self) -> Option<String> {
        let file = self.file.as_fd();
        let inode = if is_on_disk(file) { self.file.try_clone().ok()? } else { self.in_layer()? };
        let metadata = inode.metadata().ok()?;
        let fs = fstatvfs(&inode).ok()?.filesystem_id();
        identity(&metadata, fs, SystemTime::now())
    }

    /// The inode on the disk that an overlay shows. Its layers are found by names, which a container may have chosen: that
    /// it is this inode the kernel says.
    fn in_layer(&self) -> Option<File> {
        if fstatfs(&*self.file).ok()?.filesystem_type() != statfs::OVERLAYFS_SUPER_MAGIC {
            return None;
        }
        let mut layers = layers(&self.process.dir().ok()?, &self.path);
        layers.retain(|layer| is_on_disk(layer.as_fd()));
        let files: Vec<BorrowedFd<'_>> =
            std::iter::once(self.file.as_fd()).chain(layers.iter().map(|layer| layer.as_fd())).collect();
        let inodes = inodes_of(&files);
        let (own, others) = inodes.split_first()?;
        let at = others.iter().position(|other| own.is_some() && other == own)?;
        Some(layers.swap_remove(at))
    }
}

fn is_on_disk(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|fs| DISKS.contains(&fs.filesystem_type()))
}

/// An inode in its state: file system, number, size, and the time of its last change, which the kernel alone writes.
fn identity(of: &Metadata, fs: u64, now: SystemTime) -> Option<String> {
    let major = nix::sys::stat::major(of.dev());
    let (seconds, nanoseconds) = (u64::try_from(of.ctime()).ok()?, u32::try_from(of.ctime_nsec()).ok()?);
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    let settled = now.duration_since(changed).is_ok_and(|since| since >= SETTLED);
    let told = settled && major != 0 && major != LOOP;
    told.then(|| format!("{:x}-{fs:x}-{:x}-{:x}-{seconds:x}.{nanoseconds:x}", of.dev(), of.ino(), of.size()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn of(file: &File) -> Option<String> {
        let fs = fstatvfs(file).expect("a file system").filesystem_id();
        // As if it had been left alone since.
        identity(&file.metadata().expect("metadata"), fs, SystemTime::now() + SETTLED)
    }

    #[test]
    fn every_change_of_a_file_shows_whatever_is_said_of_its_time() {
        let path = std::env::temp_dir().join(format!("ctp-unchanged-{}", std::process::id()));
        std::fs::write(&path, "one").expect("writable");
        let file = File::options().read(true).write(true).open(&path).expect("there");
        assert!(is_on_disk(file.as_fd()), "the tests' folder is on no disk");
        let fs = fstatvfs(&file).expect("a file system").filesystem_id();
        let metadata = file.metadata().expect("metadata");
        assert_eq!(identity(&metadata, fs, SystemTime::now()), None, "changed just now");
        let changed = metadata.modified().expect("a time");
        assert_eq!(identity(&metadata, fs, changed - Duration::from_secs(1)), None, "by a clock that was set back");
        let first = of(&file);
        assert!(first.is_some() && first == of(&file) && first == of(&File::open(&path).expect("there")));
        // In the kernel's steps.
        let next = || std::thread::sleep(Duration::from_millis(20));
        next();
        file.write_all_at(b"two", 0).expect("writable");
        file.set_modified(changed).expect("own");
        let second = of(&file);
        assert_ne!(first, second, "written, of the same size and time");
        next();
        std::fs::rename(&path, path.with_extension("away")).expect("own");
        std::fs::write(&path, "two").expect("writable");
        assert_ne!(second, of(&File::open(&path).expect("there")), "replaced");
        let _ = (std::fs::remove_file(&path), std::fs::remove_file(path.with_extension("away")));
    }
}
