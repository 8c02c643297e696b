//! Owns reading a section by position for the time of one question: blocks of it are fetched when they are first
//! touched, so memory holds what was looked at and not what the section has. Never looks at what the bytes mean.

use std::borrow::Cow;
use std::cell::OnceCell;

use gimli::{LittleEndian, Reader, ReaderOffsetId};

use super::limits;
use super::sections::Stored;

/// Bytes fetched at a time. Strings lie scattered, units in one piece: larger blocks would bring in more strings that
/// nobody asked for, smaller ones cost a system call more often.
const BLOCK: usize = 32 << 10;

type Block = OnceCell<Box<[u8]>>;

/// A section, and the blocks of it that were read.
pub(super) struct Section<'m> {
    stored: Option<&'m Stored>,
    size: usize,
    blocks: OnceCell<Vec<Block>>,
}

impl<'m> Section<'m> {
    /// The section stored there; an empty one where there is none.
    pub(super) fn new(stored: Option<&'m Stored>) -> Section<'m> {
        let size = stored.and_then(|stored| usize::try_from(stored.size()).ok()).unwrap_or(0);
        Section { stored, size, blocks: OnceCell::new() }
    }

    /// The whole of it.
    pub(super) fn slice(&self) -> Slice<'_> {
        Slice { section: Some(self), at: 0, end: self.size, window: &[] }
    }

    /// The bytes from `at` up to the end of its block.
    fn window(&self, at: usize) -> gimli::Result<&[u8]> {
        if at >= self.size {
            return Ok(&[]);
        }
        let blocks = self.blocks.get_or_init(|| {
            let mut blocks = Vec::new();
            blocks.resize_with(self.size.div_ceil(BLOCK), OnceCell::new);
            blocks
        });
        let start = at - at % BLOCK;
        let block = blocks.get(at / BLOCK).ok_or(gimli::Error::Io)?;
        let bytes = match block.get() {
            Some(bytes) => bytes,
            None => {
                let mut bytes = vec![0; BLOCK.min(self.size - start)];
                let stored = self.stored.ok_or(gimli::Error::Io)?;
                stored.read(start as u64, &mut bytes).map_err(|_| gimli::Error::Io)?;
                block.get_or_init(|| bytes.into_boxed_slice())
            }
        };
        Ok(bytes.get(at - start..).unwrap_or_default())
    }
}

/// A stretch of a section; what gimli reads from.
#[derive(Clone, Copy)]
pub(super) struct Slice<'a> {
    section: Option<&'a Section<'a>>,
    at: usize,
    end: usize,
    /// What follows `at` and is in memory, not beyond `end`; may be empty at any time.
    window: &'a [u8],
}

impl std::fmt::Debug for Slice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}..{:#x}", self.at, self.end)
    }
}

impl<'a> Slice<'a> {
    /// No bytes.
    pub(super) const EMPTY: Slice<'static> = Slice { section: None, at: 0, end: 0, window: &[] };

    /// Whether nothing is in it.
    pub(super) fn has_none(&self) -> bool {
        self.at >= self.end
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> gimli::Result<Cow<'a, [u8]>> {
        let mut rest = *self;
        rest.fill()?;
        let size = self.end - self.at;
        match rest.window.get(..size) {
            Some(all) => Ok(Cow::Borrowed(all)),
            None => {
                let mut all = vec![0; size];
                rest.read_slice(&mut all)?;
                Ok(Cow::Owned(all))
            }
        }
    }

    /// Makes sure that the window is not empty, unless this slice is.
    fn fill(&mut self) -> gimli::Result<()> {
        if self.window.is_empty()
            && self.at < self.end
            && let Some(section) = self.section
        {
            let window = section.window(self.at)?;
            self.window = window.get(..window.len().min(self.end - self.at)).unwrap_or_default();
        }
        Ok(())
    }

    fn past_end(&self) -> gimli::Error {
        gimli::Error::UnexpectedEof(self.offset_id())
    }

    /// Goes on by `size` bytes, which are known to be there.
    fn advance(&mut self, size: usize) {
        self.window = self.window.get(size..).unwrap_or_default();
        self.at += size;
    }
}

impl Reader for Slice<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    #[inline]
    fn len(&self) -> usize {
        self.end - self.at
    }

    fn empty(&mut self) {
        self.end = self.at;
        self.window = &[];
    }

    fn truncate(&mut self, len: usize) -> gimli::Result<()> {
        if len > self.len() {
            return Err(self.past_end());
        }
        self.end = self.at + len;
        self.window = self.window.get(..len).unwrap_or(self.window);
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.at.wrapping_sub(base.at)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.at as u64)
    }

    fn lookup_offset_id(&self, _: ReaderOffsetId) -> Option<usize> {
        None
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        let mut rest = *self;
        // gimli looks for the ends of texts, and for nothing else.
        rest.truncate(rest.len().min(limits::MAX_TEXT))?;
        while !rest.has_none() {
            rest.fill()?;
            if let Some(found) = memchr::memchr(byte, rest.window) {
                return Ok(rest.at - self.at + found);
            }
            rest.advance(rest.window.len());
        }
        Err(self.past_end())
    }

    #[inline]
    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        if len > self.len() {
            return Err(self.past_end());
        }
        self.advance(len);
        Ok(())
    }

    fn split(&mut self, len: usize) -> gimli::Result<Self> {
        let mut first = *self;
        first.truncate(len)?;
        self.advance(len);
        Ok(first)
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.bytes()
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        match self.bytes()? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| gimli::Error::BadUtf8),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| gimli::Error::BadUtf8),
        }
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        Ok(Cow::Owned(String::from_utf8_lossy(&self.bytes()?).into_owned()))
    }

    #[inline]
    fn read_slice(&mut self, buf: &mut [u8]) -> gimli::Result<()> {
        if let Some(bytes) = self.window.get(..buf.len()) {
            buf.copy_from_slice(bytes);
            self.advance(buf.len());
            return Ok(());
        }
        if buf.len() > self.len() {
            return Err(self.past_end());
        }
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            self.fill()?;
            let size = rest.len().min(self.window.len());
            let (Some(to), Some(from)) = (rest.get_mut(..size), self.window.get(..size)) else { break };
            if size == 0 {
                return Err(gimli::Error::Io);
            }
            to.copy_from_slice(from);
            self.advance(size);
            done += size;
        }
        Ok(())
    }

    #[inline]
    fn read_u8(&mut self) -> gimli::Result<u8> {
        if let Some((first, rest)) = self.window.split_first() {
            self.window = rest;
            self.at += 1;
            return Ok(*first);
        }
        let mut one = [0];
        self.read_slice(&mut one)?;
        Ok(u8::from_le_bytes(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_lies_across_blocks_reads_as_in_one_piece() {
        let all: Vec<u8> = (0..BLOCK * 2 + 77).map(|at| (at % 251) as u8 | 1).collect();
        let stored = Stored::plain(Arc::new(all.clone()), 0, all.len() as u64);
        let section = Section::new(Some(&stored));
        for at in [0, 1, BLOCK - 3, BLOCK, 2 * BLOCK - 1, all.len() - 9] {
            let mut slice = section.slice();
            slice.skip(at).expect("inside");
            let expected = all[at..at + 8].try_into().map(u64::from_le_bytes).expect("8 bytes");
            assert_eq!(slice.read_u64(), Ok(expected), "{at}");
            assert_eq!(slice.len(), all.len() - at - 8);
        }
        let mut slice = section.slice();
        slice.skip(BLOCK - 5).expect("inside");
        let part = slice.split(BLOCK + 10).expect("inside");
        assert_eq!(&*part.bytes().expect("read"), &all[BLOCK - 5..2 * BLOCK + 5]);
        assert_eq!(part.find(all[2 * BLOCK]).map(|at| part.at + at < part.end), Ok(true));
        assert!(part.find(0).is_err() && slice.skip(all.len()).is_err());
        assert_eq!(slice.read_u8(), Ok(all[2 * BLOCK + 5]));
    }
}
