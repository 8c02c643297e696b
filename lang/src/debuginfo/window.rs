//! Owns reading many small pieces of code that lie close to each other: a page is read at a time. It lives as long as one
//! question about a file.

use std::sync::{Mutex, PoisonError};

use crate::world::{ReadAt, ReadError};

/// Bytes that are read at a time.
const PAGE: u64 = 4096;

/// A file of which the page that was read last is kept.
pub(super) struct Window<'b> {
    bytes: &'b dyn ReadAt,
    /// Where in the file the page begins, and what is there.
    page: Mutex<(u64, Vec<u8>)>,
}

impl Window<'_> {
    pub(super) fn over(bytes: &dyn ReadAt) -> Window<'_> {
        Window { bytes, page: Mutex::new((0, Vec::new())) }
    }
}

impl ReadAt for Window<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    /// What lies across pages, or cannot be read with its page, is read by itself.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let begin = offset - offset % PAGE;
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let held = page.0 == begin && !page.1.is_empty();
        if !held && ((offset - begin).saturating_add(buf.len() as u64)) <= PAGE {
            let size = self.size().saturating_sub(begin).min(PAGE);
            let mut read = vec![0; usize::try_from(size).unwrap_or(0)];
            if self.bytes.read_at(begin, &mut read).is_ok() {
                *page = (begin, read);
            }
        }
        let (start, held) = (page.0, &page.1);
        let at = offset.checked_sub(start).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| held.get(at..at.checked_add(buf.len())?)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => self.bytes.read_at(offset, buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A file that counts how often it is read.
    struct Counted {
        bytes: Vec<u8>,
        reads: AtomicU32,
    }

    impl ReadAt for Counted {
        fn size(&self) -> u64 {
            self.bytes.size()
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.bytes.read_at(offset, buf)
        }
    }

    #[test]
    fn a_page_is_read_once_and_every_piece_is_what_the_file_holds() {
        let bytes: Vec<u8> = (0..10_000u32).map(|at| (at * 7 % 251) as u8).collect();
        let file = Counted { bytes: bytes.clone(), reads: AtomicU32::new(0) };
        let window = Window::over(&file);
        for length in [1usize, 5, 64] {
            for at in (0..bytes.len() - length).rev().step_by(3) {
                let mut piece = vec![0; length];
                window.read_at(at as u64, &mut piece).expect("inside");
                assert_eq!(piece, bytes[at..at + length], "{length} at {at}");
            }
        }
        // Three times three pages, and what lies across two.
        assert!(file.reads.load(Ordering::Relaxed) < 9 + 2 * (2 + 22) + 10, "{:?}", file.reads);
        let mut piece = [0; 8];
        assert!(window.read_at(9_996, &mut piece).is_err() && window.read_at(u64::MAX, &mut piece).is_err());
        let mut large = vec![0; 9_000];
        window.read_at(500, &mut large).expect("inside");
        assert_eq!(large, bytes[500..9_500]);
    }
}
