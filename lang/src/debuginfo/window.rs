//! Owns reading many small pieces of code that lie close to each other, in any order: a page is read at a time, and some are
//! kept. It lives as long as one question about a file.

use std::sync::{Mutex, PoisonError};

use crate::world::{ReadAt, ReadError};

/// Bytes that are read at a time.
const PAGE: u64 = 4096;
/// How many pages are kept, each in the place that its number leaves it: a megabyte of code.
const KEPT: usize = 256;

/// A file of which the pages that were read last are kept.
pub(super) struct Window<'b> {
    bytes: &'b dyn ReadAt,
    /// Where in the file each page begins, and what is there.
    pages: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl Window<'_> {
    pub(super) fn over(bytes: &dyn ReadAt) -> Window<'_> {
        Window { bytes, pages: Mutex::new(Vec::new()) }
    }
}

impl ReadAt for Window<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    /// What lies across pages, or cannot be read with its page, is read by itself.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let begin = offset - offset % PAGE;
        let inside = (offset - begin).saturating_add(buf.len() as u64) <= PAGE;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.is_empty() {
            pages.resize_with(KEPT, || (0, Vec::new()));
        }
        let place = usize::try_from(begin / PAGE % KEPT as u64).unwrap_or(0);
        let Some(page) = pages.get_mut(place).filter(|_| inside) else { return self.bytes.read_at(offset, buf) };
        if page.0 != begin || page.1.is_empty() {
            let size = self.size().saturating_sub(begin).min(PAGE);
            let mut read = vec![0; usize::try_from(size).unwrap_or(0)];
            if self.bytes.read_at(begin, &mut read).is_err() {
                return self.bytes.read_at(offset, buf);
            }
            *page = (begin, read);
        }
        let at = usize::try_from(offset - begin).unwrap_or(usize::MAX);
        match page.1.get(at..at.saturating_add(buf.len())) {
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
            // To and fro between the pages.
            for at in (0..bytes.len() - length).map(|at| at * 4097 % (bytes.len() - length)) {
                let mut piece = vec![0; length];
                window.read_at(at as u64, &mut piece).expect("inside");
                assert_eq!(piece, bytes[at..at + length], "{length} at {at}");
            }
        }
        // Three pages, and what lies across two.
        assert_eq!(file.reads.load(Ordering::Relaxed), 3 + 2 * (4 + 63), "{:?}", file.reads);
        let mut piece = [0; 8];
        assert!(window.read_at(9_996, &mut piece).is_err() && window.read_at(u64::MAX, &mut piece).is_err());
        let mut large = vec![0; 9_000];
        window.read_at(500, &mut large).expect("inside");
        assert_eq!(large, bytes[500..9_500]);
    }
}
