//! Owns a section's bytes: where they lie in the file, and unpacking them where they are compressed, each section at
//! most once and only when asked for. Never trusts a size before the file has shown that it has the bytes.

use std::cell::RefCell;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use object::elf;

use super::elf::{Elf, Section, read_range, u32_at, u64_at};
use super::facts::DebugError;
use super::inflate::Inflated;
use super::limits::{self, over};
use crate::world::{Keep, ReadAt, ReadError};

/// `Elf64_Chdr`: type, reserved, size, alignment.
const COMPRESSION_HEADER: u64 = 24;
/// `.zdebug_*`: `ZLIB` and the size, big-endian.
const OLD_COMPRESSION_HEADER: u64 = 12;
/// The longest header of a zstd frame (RFC 8878, 3.1.1.1).
const LONGEST_ZSTD_HEADER: usize = 18;
/// Bytes read or written at a time while unpacking.
const CHUNK: usize = 256 << 10;

/// How a section's bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Zlib,
    Zstd,
}

/// A section of a file.
pub(super) struct Stored {
    bytes: Arc<dyn ReadAt>,
    name: String,
    /// Where the (packed) bytes begin, and how many there are.
    offset: u64,
    packed: u64,
    packing: Packing,
    /// Bytes when unpacked, as the header says.
    size: u64,
    keep: Option<Arc<dyn Keep>>,
    unpacked: OnceLock<Result<Arc<dyn ReadAt>, DebugError>>,
    /// Unpacked a second time, where what was kept turned out to be damaged.
    anew: OnceLock<Result<Arc<dyn ReadAt>, DebugError>>,
}

impl Stored {
    /// Bytes that lie in the file as they are.
    #[cfg(test)]
    pub(super) fn plain(bytes: Arc<dyn ReadAt>, offset: u64, size: u64) -> Stored {
        Stored {
            bytes,
            name: String::new(),
            offset,
            packed: size,
            packing: Packing::None,
            size,
            keep: None,
            unpacked: OnceLock::new(),
            anew: OnceLock::new(),
        }
    }

    /// The section of that name; `None` where there is none. `keep` holds what was unpacked, where memory should not.
    pub(super) fn of(
        bytes: &Arc<dyn ReadAt>,
        elf: &Elf,
        name: &str,
        keep: Option<&Arc<dyn Keep>>,
    ) -> Result<Option<Stored>, DebugError> {
        let header = |section: &Section, size| -> Result<Vec<u8>, DebugError> {
            let short = || DebugError::Malformed(format!("section {name} is too short to be compressed"));
            if section.size < size {
                return Err(short());
            }
            read_range(&**bytes, section.offset, size).ok_or_else(short)?.map_err(DebugError::from)
        };
        let (section, packing, skip, size) = if let Some(section) = elf.section(name) {
            if section.flags & elf::SHF_COMPRESSED.0 == 0 {
                (section, Packing::None, 0, section.size)
            } else {
                let raw = header(section, COMPRESSION_HEADER)?;
                let packing = match elf::CompressionType(u32_at(&raw, 0)?) {
                    elf::ELFCOMPRESS_ZLIB => Packing::Zlib,
                    elf::ELFCOMPRESS_ZSTD => Packing::Zstd,
                    other => {
                        let what = format!("section {name} has compression type {}", other.0);
                        return Err(DebugError::Malformed(what));
                    }
                };
                (section, packing, COMPRESSION_HEADER, u64_at(&raw, 8)?)
            }
        } else {
            // GNU's older form (binutils before 2.26).
            let old = name.strip_prefix(".debug_").and_then(|rest| elf.section(&format!(".zdebug_{rest}")));
            let Some(section) = old else { return Ok(None) };
            let raw = header(section, OLD_COMPRESSION_HEADER)?;
            if !raw.starts_with(b"ZLIB") {
                return Err(DebugError::Malformed(format!("section {name} does not begin with ZLIB")));
            }
            let size = u64_at(&raw, 4)?.swap_bytes();
            (section, Packing::Zlib, OLD_COMPRESSION_HEADER, size)
        };
        let outside = || DebugError::Malformed(format!("section {name} lies outside the file"));
        let end = section.offset.checked_add(section.size).ok_or_else(outside)?;
        if end > bytes.size() {
            return Err(outside());
        }
        let limit = if packing == Packing::None { limits::MAX_PLAIN_BYTES } else { limits::MAX_SECTION_BYTES };
        if size > limit {
            return Err(over(&format!("bytes in section {name}"), limit));
        }
        let packed = section.size - skip;
        // All of it is read, also what lies behind the stream.
        if packing != Packing::None && packed > size.saturating_mul(2).saturating_add(limits::MAX_PACKED_BESIDES) {
            return Err(DebugError::Malformed(format!("section {name} has {packed} bytes to unpack to {size}")));
        }
        if packing == Packing::Zlib && size > packed.saturating_mul(limits::MAX_INFLATE_RATIO).saturating_add(64) {
            return Err(DebugError::Malformed(format!("section {name} cannot inflate to {size} bytes")));
        }
        if packing != Packing::None
            && size > packed.saturating_mul(limits::MAX_UNPACKED_RATIO).saturating_add(limits::MAX_UNPACKED_BESIDES)
        {
            let what = format!("bytes in section {name} for each of its {packed} packed ones");
            return Err(over(&what, limits::MAX_UNPACKED_RATIO));
        }
        Ok(Some(Stored {
            bytes: Arc::clone(bytes),
            name: name.to_owned(),
            offset: section.offset + skip,
            packed,
            packing,
            size,
            keep: keep.cloned(),
            unpacked: OnceLock::new(),
            anew: OnceLock::new(),
        }))
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What keeps it unpacked; `None` where it is not packed, or nothing does.
    pub(super) fn keeper(&self) -> Option<&dyn Keep> {
        self.keep.as_deref().filter(|_| self.packing != Packing::None)
    }

    /// Bytes of the section, unpacked.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Unpacks it if that was not done yet.
    pub(super) fn ready(&self) -> Result<(), DebugError> {
        self.source().map(|_| ()).map_err(Clone::clone)
    }

    /// Fills `buf` from `at` on.
    pub(super) fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), DebugError> {
        let (source, base) = self.source().map_err(Clone::clone)?;
        if at.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(ReadError::past_end(at).into());
        }
        let read = source.read_at(base + at, buf);
        if read.is_ok() || self.packing == Packing::None || self.keep.is_none() {
            return Ok(read?);
        }
        let anew = self.anew.get_or_init(|| self.unpack()).as_ref().map_err(Clone::clone)?;
        Ok(anew.read_at(at, buf)?)
    }

    /// Calls `part` once with each number below `parts`, several at the same time where who has the bytes can do that.
    ///
    /// # Errors
    /// [`DebugError`] when it cannot be unpacked.
    pub(super) fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) -> Result<(), DebugError> {
        let (source, _) = self.source().map_err(Clone::clone)?;
        source.at_once(parts, part);
        Ok(())
    }

    /// All of it in memory, where it is not more than `most` bytes.
    pub(super) fn whole(&self, most: u64) -> Result<Vec<u8>, DebugError> {
        if self.size > most {
            return Err(over(&format!("bytes in section {}", self.name), most));
        }
        if self.packing != Packing::None && self.unpacked.get().is_none() && self.keep.is_none() {
            return self.unpack_to_memory();
        }
        self.ready()?;
        let mut all = vec![0; usize::try_from(self.size).unwrap_or(0)];
        self.read(0, &mut all)?;
        Ok(all)
    }

    fn source(&self) -> Result<(&dyn ReadAt, u64), &DebugError> {
        if self.packing == Packing::None {
            return Ok((&*self.bytes, self.offset));
        }
        match self.unpacked.get_or_init(|| self.unpack()) {
            Ok(bytes) => Ok((&**bytes, 0)),
            Err(error) => Err(error),
        }
    }

    fn unpack(&self) -> Result<Arc<dyn ReadAt>, DebugError> {
        if let Some(keep) = &self.keep {
            if let Some(kept) = keep.kept(&self.name, self.size, &mut self.raw()) {
                return Ok(kept);
            }
            if let Some(mut kept) = keep.begin(&self.name, self.size) {
                let mut fits = true;
                let kept_from = RefCell::new(&mut kept);
                self.stream(|bytes| fits = fits && kept_from.borrow_mut().append(bytes), &|packed| {
                    kept_from.borrow_mut().unpacked_from(packed)
                })?;
                if let Some(kept) = fits.then(|| kept.finish()).flatten() {
                    return Ok(kept);
                }
            }
        }
        if self.packing == Packing::Zlib && self.size > limits::MAX_HELD {
            return Ok(Arc::new(Inflated::new(&self.bytes, &self.name, self.offset, self.packed, self.size)));
        }
        Ok(Arc::new(self.unpack_to_memory()?))
    }

    /// Memory is taken as the bytes come, not as the header promises them.
    fn unpack_to_memory(&self) -> Result<Vec<u8>, DebugError> {
        if self.size > limits::MAX_UNPACKED_IN_MEMORY {
            let what = format!("bytes in section {} to unpack into memory (no folder for the cache)", self.name);
            return Err(over(&what, limits::MAX_UNPACKED_IN_MEMORY));
        }
        let mut all = Vec::new();
        self.stream(|bytes| all.extend_from_slice(bytes), &|_| {})?;
        Ok(all)
    }

    /// The packed bytes.
    fn raw(&self) -> Raw<'_> {
        Raw { bytes: &*self.bytes, at: self.offset, end: self.offset + self.packed }
    }

    /// Unpacks, piece by piece; `packed` sees all that is read for it, to the section's end.
    fn stream(&self, mut each: impl FnMut(&[u8]), packed: &dyn Fn(&[u8])) -> Result<(), DebugError> {
        let name = &self.name;
        let damaged =
            |error: &dyn std::fmt::Display| DebugError::Malformed(format!("section {name} does not inflate: {error}"));
        if self.packing == Packing::Zstd {
            let mut header = vec![0; usize::try_from(self.packed).unwrap_or(usize::MAX).min(LONGEST_ZSTD_HEADER)];
            self.bytes.read_at(self.offset, &mut header)?;
            if zstd_window(&header).is_some_and(|window| window > limits::MAX_ZSTD_WINDOW) {
                return Err(over(&format!("bytes of window in section {name}"), limits::MAX_ZSTD_WINDOW));
            }
        }
        let mut seen = Seen { raw: self.raw(), packed };
        let raw = std::io::BufReader::with_capacity(CHUNK, &mut seen);
        let mut unpacked: Box<dyn Read + '_> = match self.packing {
            Packing::None => Box::new(raw),
            Packing::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(raw)),
            Packing::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(raw).map_err(|error| damaged(&error))?;
                Box::new(decoder)
            }
        };
        let mut buffer = vec![0; CHUNK];
        let mut left = self.size;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let space = buffer.get_mut(..wanted).unwrap_or_default();
            let read = unpacked.read(space).map_err(|error| damaged(&error))?;
            if read == 0 {
                let got = self.size - left;
                let what = format!("section {name} inflates to {got} bytes, not {}", self.size);
                return Err(DebugError::Malformed(what));
            }
            each(buffer.get(..read).unwrap_or_default());
            left = left.saturating_sub(read as u64);
        }
        drop(unpacked);
        // What lies behind the end of the packed stream belongs to the section as well.
        while seen.read(&mut buffer).map_err(|error| damaged(&error))? > 0 {}
        Ok(())
    }
}

/// How far back a zstd frame refers, by its header (RFC 8878, 3.1.1.1); `None` where it is none. The decoder does not look
/// at that of a stream's first frame.
fn zstd_window(header: &[u8]) -> Option<u64> {
    let rest = header.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let (&descriptor, rest) = rest.split_first()?;
    let (size_flag, single, dictionary) = (descriptor >> 6, descriptor & 0x20 != 0, descriptor & 3);
    if !single {
        let window = *rest.first()?;
        let base = 1u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // It is all one window: of as many bytes as there are.
    let rest = rest.get([0, 1, 2, 4].get(usize::from(dictionary)).copied()?..)?;
    let number = |bytes: usize| {
        let mut all = [0; 8];
        all.get_mut(..bytes)?.copy_from_slice(rest.get(..bytes)?);
        Some(u64::from_le_bytes(all))
    };
    match size_flag {
        0 => number(1),
        1 => number(2)?.checked_add(256),
        2 => number(4),
        _ => number(8),
    }
}

/// A range of a file, read from its beginning to its end.
pub(super) struct Raw<'r> {
    pub(super) bytes: &'r dyn ReadAt,
    pub(super) at: u64,
    pub(super) end: u64,
}

impl Read for Raw<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let size = buf.len().min(left);
        let buf = buf.get_mut(..size).unwrap_or_default();
        self.bytes.read_at(self.at, buf).map_err(|error| std::io::Error::other(error.reason))?;
        self.at += size as u64;
        Ok(size)
    }
}

/// Such a range, with somebody who sees what is read.
struct Seen<'r> {
    raw: Raw<'r>,
    packed: &'r dyn Fn(&[u8]),
}

impl Read for Seen<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.raw.read(buf)?;
        (self.packed)(buf.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The contents of the section of that name, of `most` bytes at most; empty where there is none.
pub(super) fn load(bytes: &Arc<dyn ReadAt>, elf: &Elf, name: &str, most: u64) -> Result<Vec<u8>, DebugError> {
    match Stored::of(bytes, elf, name, None)? {
        Some(stored) => stored.whole(most),
        None => Ok(Vec::new()),
    }
}
