//! Owns opening a file of the host that holds debug info. Never follows what a container says: its paths are below
//! folders that belong to the host's root.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use ctp_lang::world::{ReadAt, ReadError};

/// An open file of the host.
#[derive(Debug)]
pub(super) struct HostFile {
    file: File,
    path: String,
    size: u64,
}

impl HostFile {
    /// Opens it for reading; `None` where nothing is there.
    ///
    /// # Errors
    /// As opening fails, and for what is no regular file.
    pub(super) fn open(path: &Path) -> io::Result<Option<HostFile>> {
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(Some(HostFile { file, path: path.to_string_lossy().into_owned(), size: metadata.size() }))
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What tells this state of this file from any other: device, inode, size, time of the last change.
    ///
    /// # Errors
    /// As fstat(2) fails.
    pub(super) fn identity(&self) -> io::Result<(u64, String)> {
        let now = self.file.metadata()?;
        let identity =
            format!("{:x}-{:x}-{:x}-{:x}.{:x}", now.dev(), now.ino(), now.size(), now.ctime(), now.ctime_nsec());
        Ok((now.dev(), identity))
    }
}

impl ReadAt for HostFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(ReadError::past_end(offset));
        }
        self.file.read_exact_at(buf, offset).map_err(|error| ReadError { offset, reason: error.to_string() })
    }

    fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        crate::threads::at_once(parts, part);
    }
}
