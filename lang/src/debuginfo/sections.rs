//! Owns bringing a section's bytes into memory, inflated where they are compressed, each at most once and only when
//! asked for. Never trusts a size before the file has shown that it has the bytes.

use std::io::Read;

use object::elf;

use super::elf::{Elf, Section, read_range, u32_at, u64_at};
use super::facts::DebugError;
use super::limits::{self, over};
use crate::world::ReadAt;

/// `Elf64_Chdr`: type, reserved, size, alignment.
const COMPRESSION_HEADER: usize = 24;
/// `.zdebug_*`: `ZLIB` and the size, big-endian.
const OLD_COMPRESSION_HEADER: usize = 12;

/// The contents of the section of that name; empty where there is none.
pub(super) fn load(bytes: &dyn ReadAt, elf: &Elf, name: &str) -> Result<Vec<u8>, DebugError> {
    if let Some(section) = elf.section(name) {
        let raw = read(bytes, section)?;
        if section.flags & elf::SHF_COMPRESSED.0 == 0 {
            return Ok(raw);
        }
        let data = raw.get(COMPRESSION_HEADER..).ok_or_else(|| too_short(name))?;
        let size = u64_at(&raw, 8)?;
        return match elf::CompressionType(u32_at(&raw, 0)?) {
            elf::ELFCOMPRESS_ZLIB => inflate(data, size, name),
            elf::ELFCOMPRESS_ZSTD => {
                Err(DebugError::Limit(format!("section {name} is compressed with zstd, which ctp cannot read yet")))
            }
            other => Err(DebugError::Malformed(format!("section {name} has compression type {}", other.0))),
        };
    }
    // GNU's older form (binutils before 2.26).
    let Some(section) = name.strip_prefix(".debug_").and_then(|rest| elf.section(&format!(".zdebug_{rest}"))) else {
        return Ok(Vec::new());
    };
    let raw = read(bytes, section)?;
    let size: [u8; 8] =
        raw.get(4..OLD_COMPRESSION_HEADER).and_then(|s| s.try_into().ok()).ok_or_else(|| too_short(name))?;
    let data = raw.get(OLD_COMPRESSION_HEADER..).ok_or_else(|| too_short(name))?;
    if !raw.starts_with(b"ZLIB") {
        return Err(DebugError::Malformed(format!("section {name} does not begin with ZLIB")));
    }
    inflate(data, u64::from_be_bytes(size), name)
}

fn too_short(name: &str) -> DebugError {
    DebugError::Malformed(format!("section {name} is too short to be compressed"))
}

fn read(bytes: &dyn ReadAt, section: &Section) -> Result<Vec<u8>, DebugError> {
    if section.size > limits::MAX_SECTION_BYTES {
        return Err(over(&format!("bytes in section {}", section.name), limits::MAX_SECTION_BYTES));
    }
    let outside = || DebugError::Malformed(format!("section {} lies outside the file", section.name));
    Ok(read_range(bytes, section.offset, section.size).ok_or_else(outside)??)
}

fn inflate(data: &[u8], size: u64, name: &str) -> Result<Vec<u8>, DebugError> {
    if size > limits::MAX_SECTION_BYTES {
        return Err(over(&format!("bytes in section {name}, inflated"), limits::MAX_SECTION_BYTES));
    }
    if size > (data.len() as u64).saturating_mul(limits::MAX_INFLATE_RATIO).saturating_add(64) {
        return Err(DebugError::Malformed(format!("section {name} cannot inflate to {size} bytes")));
    }
    let mut inflated = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let read = flate2::read::ZlibDecoder::new(data).take(size).read_to_end(&mut inflated);
    match read {
        Ok(_) if inflated.len() as u64 == size => Ok(inflated),
        Ok(got) => Err(DebugError::Malformed(format!("section {name} inflates to {got} bytes, not {size}"))),
        Err(error) => Err(DebugError::Malformed(format!("section {name} does not inflate: {error}"))),
    }
}
