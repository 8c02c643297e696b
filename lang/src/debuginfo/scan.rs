//! Owns looking for byte strings in whole sections: one pass in pieces that fit the processor's cache, whatever the
//! section's size, and in several shares at the same time where who has the bytes can do that. Never says what a find
//! means.

use std::ops::Range;

use memchr::memmem::Finder;

use super::facts::DebugError;
use super::parts;
use super::sections::Stored;
use super::sieve::{Key, Sieve};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// Bytes of a share: of a section of more, several may be looked through at the same time.
const SHARE: u64 = 8 << 20;
/// More offsets than these are looked for all at once, by a table, and not one after the other.
const FEW: usize = 6;
/// Entries of that table: one for each value of an offset's lower half.
const TABLE: usize = 1 << 16;

/// What is looked for.
#[derive(Clone, Default)]
pub(super) struct Needles {
    texts: Vec<Finder<'static>>,
    many: Option<Many>,
    /// What a sieve knows them by.
    keys: Vec<Key>,
    /// Length of the longest.
    longest: usize,
}

/// A set of 4-byte little-endian numbers.
#[derive(Clone)]
struct Many {
    table: Vec<bool>,
    sorted: Vec<u32>,
}

impl Needles {
    /// A text with the NUL behind it.
    pub(super) fn add_name(&mut self, name: &str) {
        let terminated: Vec<u8> = name.bytes().chain([0]).collect();
        self.keys.push(Key::text(name.as_bytes()));
        self.add(&terminated);
    }

    /// A text with anything behind it: where no sieve is asked.
    pub(super) fn add_beginning(&mut self, text: &str) {
        self.add(text.as_bytes());
    }

    /// Offsets of strings as DWARF writes them (in DWARF64 the lower half of one: that is looked for).
    pub(super) fn add_offsets(&mut self, offsets: impl IntoIterator<Item = u64>) {
        self.add_numbers(offsets, Key::offset);
    }

    /// Offsets of DIEs that others were made from.
    pub(super) fn add_origins(&mut self, offsets: impl IntoIterator<Item = u64>) {
        self.add_numbers(offsets, Key::origin);
    }

    fn add_numbers(&mut self, offsets: impl IntoIterator<Item = u64>, key: impl Fn(u32) -> Key) {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let mut sorted: Vec<u32> = offsets.into_iter().map(|offset| offset as u32).collect();
        sorted.sort_unstable();
        sorted.dedup();
        self.keys.extend(sorted.iter().map(|offset| key(*offset)));
        if sorted.len() <= FEW {
            sorted.iter().for_each(|offset| self.add(&offset.to_le_bytes()));
            return;
        }
        let mut table = vec![false; TABLE];
        for offset in &sorted {
            if let Some(entry) = table.get_mut((offset & 0xffff) as usize) {
                *entry = true;
            }
        }
        self.longest = self.longest.max(4);
        self.many = Some(Many { table, sorted });
    }

    fn add(&mut self, bytes: &[u8]) {
        self.longest = self.longest.max(bytes.len());
        self.texts.push(Finder::new(bytes).into_owned());
    }

    /// Calls `hit` for places at which one of the needles is, in whatever order, with the notes of the share that the place
    /// is in; it returns from where on to look for that needle again in that share. The notes of all shares, in the order of
    /// the section. With a sieve, where that lets one through; names and origins are all that is found then.
    ///
    /// # Errors
    /// [`DebugError`] when the section cannot be read.
    pub(super) fn scan<T: Default + Send>(
        &self,
        stored: &Stored,
        sieve: Option<&Sieve>,
        hit: impl Fn(&mut T, u64) -> u64 + Sync,
    ) -> Result<Vec<T>, DebugError> {
        let all = || std::iter::once(0..stored.size()).collect::<Vec<_>>();
        // What is wrong with what was kept does not matter: it was to spare time.
        let parts = sieve.map_or_else(all, |sieve| sieve.parts(&self.keys).unwrap_or_else(|_| all()));
        let shares = shares(parts);
        parts::in_order(
            shares.len(),
            |parts, part| stored.at_once(parts, part),
            |number| {
                let mut notes = T::default();
                let mut next = vec![0; self.texts.len()];
                next.push(if self.many.is_some() { 0 } else { u64::MAX });
                let mut buffer = Vec::new();
                let mut scan = |part: &Range<u64>| {
                    self.scan_part(stored, part, &mut buffer, &mut next, &mut |at| hit(&mut notes, at))
                };
                shares.get(number).into_iter().flatten().try_for_each(&mut scan)?;
                Ok(notes)
            },
        )
    }

    /// The same for the needles that begin in one part.
    fn scan_part(
        &self,
        stored: &Stored,
        part: &Range<u64>,
        buffer: &mut Vec<u8>,
        next: &mut [u64],
        hit: &mut dyn FnMut(u64) -> u64,
    ) -> Result<(), DebugError> {
        let longest = self.longest as u64;
        let end = part.end.saturating_add(longest.saturating_sub(1)).min(stored.size());
        if longest == 0 || end.saturating_sub(part.start) < longest {
            return Ok(());
        }
        // Read in whole pieces, each behind the last bytes of the one before: what lies across is found there.
        let overlap = self.longest - 1;
        buffer.resize(overlap + CHUNK, 0);
        let mut read = part.start;
        let mut carried = 0;
        while read < end {
            let wanted = usize::try_from(end - read).unwrap_or(usize::MAX).min(CHUNK);
            let start = overlap - carried;
            stored.read(read, buffer.get_mut(overlap..overlap + wanted).unwrap_or_default())?;
            let chunk = buffer.get(start..overlap + wanted).unwrap_or_default();
            let base = read - carried as u64;
            let finders = self.texts.iter().map(Some).chain([None]);
            for (finder, next) in finders.zip(next.iter_mut()) {
                loop {
                    let from = usize::try_from((*next).max(base) - base).unwrap_or(usize::MAX);
                    let Some(rest) = chunk.get(from..) else { break };
                    let found = match finder {
                        Some(finder) => finder.find(rest),
                        None => self.many.as_ref().and_then(|many| many.find(rest)),
                    };
                    let Some(found) = found else { break };
                    let at = base + (from + found) as u64;
                    // A short one behind the part, in what was read for the sake of longer ones, is the next part's.
                    *next = if at < part.end { hit(at).max(at + 1) } else { at + 1 };
                }
            }
            read += wanted as u64;
            carried = overlap.min(usize::try_from(read - part.start).unwrap_or(usize::MAX));
            buffer.copy_within(overlap + wanted - carried.min(overlap + wanted)..overlap + wanted, overlap - carried);
            // What lies before where all go on need not be read.
            let go_on = next.iter().copied().min().unwrap_or(0).min(end);
            let piece = go_on - go_on % CHUNK as u64;
            if piece > read {
                (read, carried) = (piece, 0);
            }
        }
        Ok(())
    }
}

/// Parts of a section, in order, as shares of a size that is worth a thread's while.
fn shares(parts: Vec<Range<u64>>) -> Vec<Vec<Range<u64>>> {
    let mut shares: Vec<Vec<Range<u64>>> = Vec::new();
    let mut room = 0;
    for mut part in parts {
        while !part.is_empty() {
            if room == 0 {
                shares.push(Vec::new());
                room = SHARE;
            }
            let size = (part.end - part.start).min(room);
            if let Some(share) = shares.last_mut() {
                share.push(part.start..part.start + size);
            }
            part.start += size;
            room -= size;
        }
    }
    shares
}

impl Many {
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(4).position(|window| {
            let &[a, b, c, d] = window else { return false };
            let low = usize::from(u16::from_le_bytes([a, b]));
            self.table.get(low) == Some(&true) && self.sorted.binary_search(&u32::from_le_bytes([a, b, c, d])).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{ReadAt, ReadError};
    use std::sync::Arc;

    fn all(needles: &Needles, bytes: &[u8]) -> Vec<u64> {
        let stored = Stored::plain(Arc::new(bytes.to_vec()), 0, bytes.len() as u64);
        let found = needles.scan(&stored, None, |found: &mut Vec<u64>, at| {
            found.push(at);
            at + 1
        });
        let mut found = found.expect("readable").concat();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn finds_across_the_pieces_it_reads() {
        let mut bytes = vec![7; CHUNK * 3 + 5];
        let places = [0, CHUNK - 3, CHUNK - 1, 2 * CHUNK - 6, CHUNK * 3];
        for place in places {
            bytes[place..place + 5].copy_from_slice(b"name\0");
        }
        let mut needles = Needles::default();
        needles.add_name("name");
        // The third overwrote the end of the second.
        let expected = [0, CHUNK as u64 - 1, 2 * CHUNK as u64 - 6, CHUNK as u64 * 3];
        assert_eq!(all(&needles, &bytes), expected);
        let mut many = Needles::default();
        let name = u64::from(u32::from_le_bytes(*b"ame\0"));
        many.add_offsets((0..100u64).map(|n| 0xabcd_0000 + n).chain([name]));
        assert_eq!(all(&many, &bytes), expected.map(|at| at + 1));
    }

    #[test]
    fn a_hit_can_pass_over_what_follows() {
        let bytes = b"x\0".repeat(CHUNK);
        let stored = Stored::plain(Arc::new(bytes.clone()), 0, bytes.len() as u64);
        let mut needles = Needles::default();
        needles.add_name("x");
        let found = needles.scan(&stored, None, |found: &mut Vec<u64>, at| {
            found.push(at);
            at + 300_000
        });
        assert_eq!(found.expect("readable"), [[0, 300_000]]);
    }

    /// Whoever has the bytes may look through the shares in any order, and all at once.
    #[test]
    fn finds_across_shares_that_are_read_at_the_same_time() {
        struct Apart(Vec<u8>);

        impl ReadAt for Apart {
            fn size(&self) -> u64 {
                self.0.size()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
                self.0.read_at(offset, buf)
            }

            fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
                std::thread::scope(|scope| {
                    for number in (0..parts).rev() {
                        scope.spawn(move || part(number));
                    }
                });
            }
        }

        let share = SHARE as usize;
        let mut bytes = vec![7; share * 2 + share / 2];
        let places = [5, share - 8, share - 2, share, share * 2 - 4, share * 2 + 3];
        for place in places {
            bytes[place..place + 5].copy_from_slice(b"name\0");
        }
        let size = bytes.len() as u64;
        let stored = Stored::plain(Arc::new(Apart(bytes)), 0, size);
        let mut needles = Needles::default();
        needles.add_name("name");
        // A longer one, for the sake of which more is read than the share has.
        needles.add_name("another name");
        let found = needles.scan(&stored, None, |found: &mut Vec<u64>, at| {
            found.push(at);
            at + 1
        });
        let found = found.expect("readable");
        // What stands at the end of the first share was overwritten by what begins the second.
        assert_eq!(
            found,
            [vec![5, share as u64 - 8], vec![share as u64, share as u64 * 2 - 4], vec![share as u64 * 2 + 3]]
        );
    }
}
