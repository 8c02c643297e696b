//! Owns reading the ring buffer: records in the order in which they were written, copied out, their room given back.
//! Nothing that stands in the ring is trusted to fit.

use std::io;
use std::sync::atomic::Ordering;

use super::abi::{RINGBUF_BUSY, RINGBUF_DISCARD, RINGBUF_HEADER};
use super::sys::{Map, PAGE, Shared};

/// The reading end of a ring buffer.
#[derive(Debug)]
pub(super) struct Ring {
    /// How far was read: one page, written by us.
    consumer: Shared,
    /// How far was written: one page; then the data. The kernel maps the data twice, one behind the other, so that no
    /// record is broken; mapped once here, because each mapping counts in the resident set.
    data: Shared,
    size: u64,
    record: Vec<u8>,
}

impl Ring {
    /// Maps a ring of `size` bytes.
    pub(super) fn new(map: &Map, size: u32) -> io::Result<Ring> {
        let consumer = map.share(PAGE, 0, true)?;
        let data = map.share(PAGE + size as usize, 1, false)?;
        Ok(Ring { consumer, data, size: u64::from(size), record: Vec::new() })
    }

    /// Hands over at most `most` records; returns how many there were.
    pub(super) fn drain(&mut self, most: usize, record: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "the ring buffer is inconsistent");
        let mut read = self.consumer.position(0).ok_or_else(broken)?.load(Ordering::Relaxed);
        let mut records = 0;
        while records < most {
            let written = self.data.position(0).ok_or_else(broken)?.load(Ordering::Acquire);
            if read >= written {
                break;
            }
            let at = self.offset(read);
            let length = self.data.word(at).ok_or_else(broken)?.load(Ordering::Acquire);
            if length & RINGBUF_BUSY != 0 {
                break;
            }
            let payload = u64::from(length & !RINGBUF_DISCARD);
            if payload > self.size {
                return Err(broken());
            }
            if length & RINGBUF_DISCARD == 0 {
                self.record.clear();
                let start = self.offset(read + RINGBUF_HEADER);
                let until_end = PAGE + usize::try_from(self.size).unwrap_or(0) - start;
                let whole = usize::try_from(payload).unwrap_or(usize::MAX);
                let first = whole.min(until_end);
                if !self.data.copy(start, first, &mut self.record)
                    || !self.data.copy(PAGE, whole - first, &mut self.record)
                {
                    return Err(broken());
                }
                record(&self.record);
                records += 1;
            }
            read += (payload + RINGBUF_HEADER).next_multiple_of(8);
            self.consumer.position(0).ok_or_else(broken)?.store(read, Ordering::Release);
        }
        Ok(records)
    }

    /// Where a position lies in the mapping.
    fn offset(&self, position: u64) -> usize {
        PAGE + usize::try_from(position & (self.size - 1)).unwrap_or(0)
    }
}
