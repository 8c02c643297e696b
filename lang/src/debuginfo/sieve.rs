//! Owns what is kept beside a section of units that was unpacked: for each piece of it, which names and origins can
//! stand there. What a sieve lets through is looked at like everything else, so it can cost time and hide nothing, as
//! long as it was made of the very sections it is asked about. How one is made is for `skim`.

use std::ops::Range;
use std::sync::Arc;

use gimli::SectionId;

use super::abbreviations;
use super::dwarf::{Role, file_of};
use super::facts::DebugError;
use super::limits;
use super::skim;
use super::units::{Debug, IN_TYPES, UnitSpan};
use crate::world::ReadAt;

/// Bytes of the section that one filter is for.
pub(super) const PIECE: u64 = 64 << 10;
/// Bytes of a filter: a piece of C++ holds some 2,500 names, so that one of a hundred other names gets through.
pub(super) const FILTER: usize = 4 << 10;
/// Bits that are set for each name.
const BITS: u64 = 4;
/// Filters that are read at a time.
const AT_ONCE: u64 = 64;
/// What is kept is called so, behind the name of the section; the number is that of this form.
const SUFFIX: &str = ".names1";

/// A name or an origin as filters know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    /// A name that stands elsewhere: where, the lower half of that.
    pub(super) fn offset(offset: u32) -> Key {
        Key::of(u64::from(offset))
    }

    /// The DIE that another one was made from, by its place in the section: the lower half of that.
    pub(super) fn origin(offset: u32) -> Key {
        Key::of(u64::from(offset) | 1 << 32)
    }

    /// A name that stands in the DIE.
    pub(super) fn text(text: &[u8]) -> Key {
        Key::of(u64::from(crc32fast::hash(text)) | 2 << 32)
    }

    /// The last step of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every other.
    fn of(number: u64) -> Key {
        let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Key(mixed ^ (mixed >> 31))
    }

    /// The bits of a filter that stand for it: byte, and mask in that.
    fn bits(self) -> impl Iterator<Item = (usize, u8)> {
        let (first, step) = (self.0 & 0xffff_ffff, (self.0 >> 32) | 1);
        (0..BITS).map(move |nth| {
            let bit = first.wrapping_add(step.wrapping_mul(nth)) % (FILTER as u64 * 8);
            (usize::try_from(bit / 8).unwrap_or(0), 1u8 << (bit % 8))
        })
    }

    /// Adds it to a filter.
    pub(super) fn add_to(self, filter: &mut [u8]) {
        for (byte, mask) in self.bits() {
            if let Some(byte) = filter.get_mut(byte) {
                *byte |= mask;
            }
        }
    }

    fn is_in(self, filter: &[u8]) -> bool {
        self.bits().all(|(byte, mask)| filter.get(byte).is_some_and(|byte| byte & mask != 0))
    }
}

/// The filters of a section, which are elsewhere.
pub(super) struct Sieve {
    filters: Arc<dyn ReadAt>,
    /// Bytes of the section.
    size: u64,
    /// Whether the abbreviations of its units let functions be made from others in another unit.
    pub(super) refers_across: bool,
}

/// Bytes of the filters of a section of `size` bytes.
fn filters_of(size: u64) -> u64 {
    size.div_ceil(PIECE) * FILTER as u64
}

impl Sieve {
    /// The filters of a section of `size` bytes.
    #[cfg(test)]
    pub(super) fn new(filters: Arc<dyn ReadAt>, size: u64) -> Sieve {
        Sieve { filters, size, refers_across: false }
    }

    /// What was kept of a section of `size` bytes: its filters, and a byte that says the rest.
    fn of(filters: Arc<dyn ReadAt>, size: u64) -> Option<Sieve> {
        let mut last = [0];
        filters.read_at(filters_of(size), &mut last).ok()?;
        Some(Sieve { filters, size, refers_across: last != [0] })
    }

    /// The parts of the section in which one of the keys may be, rising, apart from each other.
    ///
    /// # Errors
    /// [`DebugError`] when the filters cannot be read.
    pub(super) fn parts(&self, keys: &[Key]) -> Result<Vec<Range<u64>>, DebugError> {
        let mut parts: Vec<Range<u64>> = Vec::new();
        let pieces = self.size.div_ceil(PIECE);
        let mut filters = Vec::new();
        for first in (0..pieces).step_by(AT_ONCE as usize) {
            let count = AT_ONCE.min(pieces - first);
            filters.resize(usize::try_from(count).unwrap_or(0) * FILTER, 0);
            self.filters.read_at(first * FILTER as u64, &mut filters)?;
            for (number, filter) in (first..).zip(filters.chunks_exact(FILTER)) {
                if !keys.iter().any(|key| key.is_in(filter)) {
                    continue;
                }
                let part = number * PIECE..((number + 1) * PIECE).min(self.size);
                match parts.last_mut() {
                    Some(last) if last.end == part.start => last.end = part.end,
                    Some(_) | None => parts.push(part),
                }
            }
        }
        Ok(parts)
    }
}

/// The sieve of a section that is kept unpacked: the one that is kept beside it, or a new one, kept for the next time.
/// `None` where there is none and none can be kept.
pub(super) fn of(debug: &Debug<'_>, file: usize, section: SectionId) -> Option<Sieve> {
    let opened = debug.files.files.get(file)?;
    match opened.role {
        Role::Main | Role::Alternate => {}
        // These name strings by an index.
        Role::Split | Role::Package => return None,
    }
    let (stored, abbreviations) = (opened.stored(section)?, opened.stored(SectionId::DebugAbbrev)?);
    if stored.size() < limits::MIN_SIEVED {
        return None;
    }
    let keep = stored.keeper()?;
    let name = format!("{}{SUFFIX}", section.name());
    let size = filters_of(stored.size()) + 1;
    // It is found again by what tells both of the sections that it is made of.
    let told = [keep.digest(stored.name())?, keep.digest(abbreviations.name())?].concat();
    if let Some(filters) = keep.kept(&name, size, &mut told.as_slice()) {
        return Sieve::of(filters, stored.size());
    }
    let mut keeping = keep.begin(&name, size)?;
    keeping.unpacked_from(&told);
    let in_types = section == SectionId::DebugTypes;
    let own = |span: &&UnitSpan| file_of(span.start) == file && (span.start & IN_TYPES != 0) == in_types;
    let spans = debug.spans.iter().filter(own);
    let mut fits = true;
    skim::filters(stored, abbreviations, spans, &mut |filter| fits = fits && keeping.append(filter)).ok()?;
    let across = abbreviations::refer_across(abbreviations).ok()?;
    fits = fits && keeping.append(&[u8::from(across)]);
    let filters = fits.then(|| keeping.finish()).flatten()?;
    Sieve::of(filters, stored.size())
}
