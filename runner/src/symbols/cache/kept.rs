//! Owns the form of an entry of the cache: the bytes, a checksum for each block of them, and at the end what says that
//! the entry is whole. Never gives bytes whose block was not checked.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use ctp_lang::world::{Keeping, ReadAt, ReadError};

use super::{Cache, Digests, Named, Unfinished};

/// Bytes with one checksum: reading a few bytes takes all of their block.
const BLOCK: usize = 4 << 10;
/// Ends an entry: this, the count of its bytes (u64), the CRC-32 of its checksums (u32), little-endian.
const MAGIC: &[u8; 8] = b"ctpkept2";
const END: usize = 20;

/// An entry that is there.
#[derive(Debug)]
pub(super) struct KeptFile {
    file: File,
    path: PathBuf,
    size: u64,
    sums: Vec<u32>,
    checked: Vec<AtomicBool>,
}

impl KeptFile {
    /// Opens an entry of `size` bytes; `None` where there is none that is whole (a damaged one is removed).
    pub(super) fn open(path: &Path, size: u64) -> io::Result<Option<KeptFile>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let opened = Self::of(file, path, size);
        if matches!(opened, Ok(None)) {
            let _ = std::fs::remove_file(path);
        }
        opened
    }

    fn of(file: File, path: &Path, size: u64) -> io::Result<Option<KeptFile>> {
        let blocks = usize::try_from(size.div_ceil(BLOCK as u64)).map_err(io::Error::other)?;
        let length = size + blocks as u64 * 4 + END as u64;
        if file.metadata()?.len() != length {
            return Ok(None);
        }
        let mut tail = vec![0; blocks * 4 + END];
        file.read_exact_at(&mut tail, size)?;
        let (sums, end) = tail.split_at(blocks * 4);
        if end != end_of(size, sums) {
            return Ok(None);
        }
        let sums = sums.as_chunks::<4>().0.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        // Used now: the ones used longest ago go first.
        let _ = File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        let checked = (0..blocks).map(|_| AtomicBool::new(false)).collect();
        Ok(Some(KeptFile { file, path: path.to_owned(), size, sums, checked }))
    }

    /// Checks the block of that number, whose bytes these are.
    fn check(&self, number: usize, bytes: &[u8]) -> Result<(), ReadError> {
        if self.sums.get(number) == Some(&crc32fast::hash(bytes)) {
            if let Some(checked) = self.checked.get(number) {
                checked.store(true, Ordering::Relaxed);
            }
            return Ok(());
        }
        let _ = std::fs::remove_file(&self.path);
        Err(ReadError { offset: (number * BLOCK) as u64, reason: "the cached copy is damaged".to_owned() })
    }
}

fn end_of(size: u64, sums: &[u8]) -> Vec<u8> {
    let sum = crc32fast::hash(sums).to_le_bytes();
    MAGIC.iter().copied().chain(size.to_le_bytes()).chain(sum).collect()
}

impl ReadAt for KeptFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let failed = |error: io::Error| ReadError { offset, reason: error.to_string() };
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| ReadError::past_end(offset))?;
        self.file.read_exact_at(buf, offset).map_err(failed)?;
        let block = BLOCK as u64;
        for number in offset / block..end.div_ceil(block) {
            let Ok(index) = usize::try_from(number) else { return Err(ReadError::past_end(offset)) };
            if self.checked.get(index).is_some_and(|checked| checked.load(Ordering::Relaxed)) {
                continue;
            }
            let (low, high) = (number * block, ((number + 1) * block).min(self.size));
            let inside = |at: u64| usize::try_from(at.checked_sub(offset)?).ok();
            match (inside(low), inside(high)) {
                (Some(from), Some(to)) if to <= buf.len() => {
                    self.check(index, buf.get(from..to).unwrap_or_default())?
                }
                _ => {
                    let mut whole = vec![0; usize::try_from(high - low).unwrap_or(0)];
                    self.file.read_exact_at(&mut whole, low).map_err(failed)?;
                    self.check(index, &whole)?;
                }
            }
        }
        Ok(())
    }

    fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        crate::threads::at_once(parts, part);
    }
}

/// An entry being written.
pub(super) struct Writer {
    file: Unfinished,
    name: Named,
    cache: Cache,
    digests: Arc<Digests>,
    size: u64,
    written: u64,
    sums: Vec<u8>,
    crc: crc32fast::Hasher,
}

impl Writer {
    pub(super) fn new(file: Unfinished, name: Named, size: u64, cache: Cache, digests: Arc<Digests>) -> Writer {
        Writer { file, name, cache, digests, size, written: 0, sums: Vec::new(), crc: crc32fast::Hasher::new() }
    }

    fn close_block(&mut self) {
        let crc = std::mem::take(&mut self.crc).finalize();
        self.sums.extend(crc.to_le_bytes());
    }

    fn finished(mut self) -> io::Result<KeptFile> {
        if self.written != self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.size.is_multiple_of(BLOCK as u64) {
            self.close_block();
        }
        let end = end_of(self.size, &self.sums);
        self.file.file.write_all(&self.sums)?;
        self.file.file.write_all(&end)?;
        let (path, digest) = self.name.path();
        // Where the machine dies before the disk has it, its checksums tell: waiting would take longer than unpacking.
        let file = self.file.name(&path)?;
        self.cache.trim();
        let kept = KeptFile::of(file, &path, self.size)?.ok_or(io::ErrorKind::InvalidData)?;
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).extend(digest);
        Ok(kept)
    }
}

impl Keeping for Writer {
    fn unpacked_from(&mut self, packed: &[u8]) {
        if let Named::ByContent(.., digest) = &mut self.name {
            digest.update(packed);
        }
    }

    fn append(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_block = usize::try_from(self.written % BLOCK as u64).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(BLOCK - in_block));
            self.crc.update(now);
            self.written += now.len() as u64;
            if self.written.is_multiple_of(BLOCK as u64) {
                self.close_block();
            }
            rest = later;
        }
        self.file.file.write_all(bytes).is_ok()
    }

    fn finish(self: Box<Self>) -> Option<Arc<dyn ReadAt>> {
        Some(Arc::new(self.finished().ok()?))
    }
}
