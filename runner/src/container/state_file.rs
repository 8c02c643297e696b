//! Owns reading the files in which engines keep their state, bounded in size. Knows no format but JSON.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

/// Most bytes read of a state file.
const LARGEST: u64 = 16 << 20;

/// Reads a file of at most 16 MiB.
///
/// # Errors
/// As opening or reading fails; also where it is larger.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_open(File::open(path)?)
}

/// Reads an open file of at most 16 MiB.
///
/// # Errors
/// As [`read`].
pub(super) fn read_open(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("more than 16 MiB"));
    }
    Ok(bytes)
}

/// Reads a JSON file of at most 16 MiB.
///
/// # Errors
/// As [`read`], or where it is not the JSON expected.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&read(path)?).map_err(io::Error::other)
}

/// Reads a file that holds one pid.
pub(super) fn pid(path: &Path) -> Option<u32> {
    String::from_utf8(read(path).ok()?).ok()?.trim().parse().ok()
}
