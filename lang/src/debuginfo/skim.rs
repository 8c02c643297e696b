//! Owns going through all DIEs of a section without reading them, for what their names and origins are: `sieve` keeps
//! that. What cannot be gone through is let through as a whole.

use super::dwarf::offset_of;
use super::elf::{u16_at, u32_at, u64_at};
use super::facts::DebugError;
use super::search;
use super::sections::Stored;
use super::sieve::{FILTER, Key, PIECE};
use super::units::UnitSpan;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// Longest DIE, and longest table of abbreviations, that is gone through.
const LONGEST: usize = 4 << 20;
/// Highest code of an abbreviation: compilers count from 1.
const HIGHEST: u64 = 1 << 16;

/// A step through the attributes of a DIE.
#[derive(Clone, Copy)]
enum Step {
    /// So many bytes.
    Skip(u32),
    /// A LEB128 number.
    Number,
    /// Bytes up to a NUL.
    Text,
    /// A count of so many bytes, and those that it counts.
    Block(u8),
    /// A LEB128 count, and the bytes that it counts.
    NumberedBlock,
    /// A name: where it stands; so many bytes, of which the first four are looked for.
    Name(u8),
    /// A name that stands here.
    NameHere,
    /// An origin in the whole section or in another file, as so many bytes.
    Origin(u8),
}

/// A unit that cannot be gone through.
struct Odd;

/// The steps of each abbreviation, by its code.
#[derive(Default)]
struct Table {
    steps: Vec<Step>,
    by_code: Vec<Option<(u32, u32)>>,
}

/// How numbers are written in a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Encoding {
    version: u16,
    /// Bytes of an offset.
    word: u8,
    address: u8,
}

/// Calls `each` with the filter of every piece of a section of units, in order.
///
/// # Errors
/// [`DebugError`] when the sections cannot be read.
pub(super) fn filters<'s>(
    stored: &Stored,
    abbreviations: &Stored,
    spans: impl Iterator<Item = &'s UnitSpan>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), DebugError> {
    let mut filling = Filling { each, piece: 0, filter: vec![0; FILTER] };
    let mut window = Window { stored, bytes: Vec::new(), start: 0 };
    let mut table = Table::default();
    let mut known = None;
    for span in spans {
        let (start, end) = (offset_of(span.start), offset_of(span.end));
        if start / PIECE < filling.piece || end > stored.size() {
            return Err(DebugError::Malformed("units that do not follow each other".to_owned()));
        }
        let header = window.at(start, end, HEADER)?;
        let done = match Header::read(header, span.signature.is_some()) {
            Ok(header) => {
                let told = (header.abbreviations, header.encoding);
                let read = if known == Some(told) {
                    Ok(())
                } else {
                    known = None;
                    Table::read(abbreviations, header.abbreviations, header.encoding, &mut table)?
                };
                if read.is_ok() {
                    known = Some(told);
                }
                read.map(|()| start + header.size as u64)
            }
            Err(Odd) => Err(Odd),
        };
        let done = match done {
            Ok(first) => unit(&mut window, first, end, &table, &mut filling)?,
            Err(Odd) => Err(Odd),
        };
        if done.is_err() {
            filling.all(start, end);
        }
    }
    filling.up_to(stored.size().div_ceil(PIECE));
    Ok(())
}

/// Filters as they are filled, one after the other.
struct Filling<'e> {
    each: &'e mut dyn FnMut(&[u8]),
    piece: u64,
    filter: Vec<u8>,
}

impl Filling<'_> {
    fn up_to(&mut self, piece: u64) {
        while self.piece < piece {
            (self.each)(&self.filter);
            self.filter.fill(0);
            self.piece += 1;
        }
    }

    fn add(&mut self, at: u64, key: Key) {
        self.up_to(at / PIECE);
        key.add_to(&mut self.filter);
    }

    /// Lets all through that is in a range which ends where nothing was added yet.
    fn all(&mut self, start: u64, end: u64) {
        // A unit that is odd further on may have filled some already: those had all that can be looked for in them.
        for piece in (start / PIECE).max(self.piece)..end.div_ceil(PIECE) {
            self.up_to(piece);
            self.filter.fill(u8::MAX);
        }
    }
}

/// The bytes of a section that are looked at.
struct Window<'s> {
    stored: &'s Stored,
    bytes: Vec<u8>,
    /// Where they begin in the section.
    start: u64,
}

impl Window<'_> {
    /// What is between two places, or the beginning of it: at least so many bytes.
    fn at(&mut self, from: u64, to: u64, least: usize) -> Result<&[u8], DebugError> {
        let wanted = usize::try_from(to - from).unwrap_or(usize::MAX);
        let least = least.min(wanted);
        let known = from.checked_sub(self.start).and_then(|into| usize::try_from(into).ok());
        let known = known.filter(|into| self.bytes.len().checked_sub(*into).is_some_and(|rest| rest >= least));
        let into = match known {
            Some(into) => into,
            None => {
                let left = usize::try_from(self.stored.size() - from).unwrap_or(usize::MAX);
                self.bytes.resize(left.min(least.max(CHUNK)), 0);
                self.start = from;
                self.stored.read(from, &mut self.bytes)?;
                0
            }
        };
        let rest = self.bytes.get(into..).unwrap_or_default();
        Ok(rest.get(..rest.len().min(wanted)).unwrap_or_default())
    }
}

/// Most bytes of a unit's header.
const HEADER: usize = 40;

/// What a unit's header says (DWARF 5, 7.5.1).
struct Header {
    encoding: Encoding,
    abbreviations: u64,
    /// Bytes of it.
    size: usize,
}

impl Header {
    fn read(bytes: &[u8], of_type: bool) -> Result<Header, Odd> {
        let odd = |_: DebugError| Odd;
        let (word, mut at) = if u32_at(bytes, 0).map_err(odd)? == u32::MAX { (8u8, 12) } else { (4, 4) };
        let offset = |at: usize| match word {
            8 => u64_at(bytes, at),
            _ => u32_at(bytes, at).map(u64::from),
        };
        let byte = |at: usize| bytes.get(at).copied().ok_or(Odd);
        let version = u16_at(bytes, at).map_err(odd)?;
        at += 2;
        let (kind, address, abbreviations);
        match version {
            5 => {
                (kind, address) = (gimli::DwUt(byte(at)?), byte(at + 1)?);
                abbreviations = offset(at + 2).map_err(odd)?;
            }
            2..=4 => {
                abbreviations = offset(at).map_err(odd)?;
                // Which of them are type units the section says.
                kind = if of_type { gimli::DW_UT_type } else { gimli::DW_UT_compile };
                address = byte(at + usize::from(word))?;
            }
            _ => return Err(Odd),
        }
        at += usize::from(word) + if version == 5 { 2 } else { 1 };
        match kind {
            gimli::DW_UT_compile | gimli::DW_UT_partial => {}
            gimli::DW_UT_skeleton | gimli::DW_UT_split_compile => at += 8,
            gimli::DW_UT_type | gimli::DW_UT_split_type => at += 8 + usize::from(word),
            _ => return Err(Odd),
        }
        Ok(Header { encoding: Encoding { version, word, address }, abbreviations, size: at })
    }
}

/// Goes through the DIEs between two places.
fn unit(
    window: &mut Window<'_>,
    first: u64,
    end: u64,
    table: &Table,
    filling: &mut Filling<'_>,
) -> Result<Result<(), Odd>, DebugError> {
    let (mut at, mut least) = (first, 1);
    let mut found = Vec::new();
    while at < end {
        let bytes = window.at(at, end, least)?;
        let mut done = 0;
        while done < bytes.len() {
            found.clear();
            match table.die(bytes, done, &mut found) {
                Ok(Some(next)) => done = next,
                // It goes on behind what is in the window.
                Ok(None) => break,
                Err(Odd) => return Ok(Err(Odd)),
            }
            for (place, key) in &found {
                filling.add(at + *place as u64, *key);
            }
        }
        if done > 0 {
            (at, least) = (at + done as u64, 1);
            continue;
        }
        let all = bytes.len() as u64 == end - at;
        if all || bytes.len() > LONGEST {
            return Ok(Err(Odd));
        }
        least = bytes.len() * 2;
    }
    Ok(Ok(()))
}

/// An unsigned LEB128 number; `None` where it is cut off.
#[inline]
fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if shift < 63 {
            value |= u64::from(byte & 0x7f) << shift;
        }
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

impl Table {
    /// Reads the abbreviations that begin at an offset.
    fn read(
        stored: &Stored,
        offset: u64,
        encoding: Encoding,
        table: &mut Table,
    ) -> Result<Result<(), Odd>, DebugError> {
        if offset >= stored.size() {
            return Ok(Err(Odd));
        }
        // Nearly all tables are shorter than this.
        let mut wanted = 16 << 10;
        loop {
            let left = usize::try_from(stored.size() - offset).unwrap_or(usize::MAX);
            let mut bytes = vec![0; left.min(wanted)];
            stored.read(offset, &mut bytes)?;
            table.steps.clear();
            table.by_code.clear();
            match table.fill(&bytes, encoding) {
                Ok(true) => return Ok(Ok(())),
                Ok(false) if bytes.len() < left && bytes.len() < LONGEST => wanted *= 4,
                Ok(false) | Err(Odd) => return Ok(Err(Odd)),
            }
        }
    }

    /// Reads abbreviations up to the code 0; `false` where they are cut off.
    fn fill(&mut self, bytes: &[u8], encoding: Encoding) -> Result<bool, Odd> {
        let mut at = 0;
        let at = &mut at;
        loop {
            let Some(code) = number(bytes, at) else { return Ok(false) };
            if code == 0 {
                return Ok(true);
            }
            let Some(tag) = number(bytes, at) else { return Ok(false) };
            *at += 1;
            let named = u16::try_from(tag).is_ok_and(|tag| search::is_sought(gimli::DwTag(tag)));
            let first = self.steps.len();
            loop {
                let Some(attribute) = number(bytes, at) else { return Ok(false) };
                let Some(form) = number(bytes, at) else { return Ok(false) };
                if (attribute, form) == (0, 0) {
                    break;
                }
                let (attribute, form) = (u16::try_from(attribute), u16::try_from(form));
                let (Ok(attribute), Ok(form)) = (attribute, form) else { return Err(Odd) };
                let form = gimli::DwForm(form);
                if form == gimli::DW_FORM_implicit_const && number(bytes, at).is_none() {
                    return Ok(false);
                }
                let step = step(gimli::DwAt(attribute), form, encoding, named)?;
                match (step, self.steps.get_mut(first..).and_then(<[Step]>::last_mut)) {
                    (Step::Skip(0), _) => {}
                    (Step::Skip(more), Some(Step::Skip(before))) => *before += more,
                    (step, _) => self.steps.push(step),
                }
            }
            if code > HIGHEST || self.steps.len() > LONGEST {
                return Err(Odd);
            }
            let code = usize::try_from(code).unwrap_or(0);
            if self.by_code.len() <= code {
                self.by_code.resize(code + 1, None);
            }
            let span = (u32::try_from(first), u32::try_from(self.steps.len()));
            let (Ok(first), Ok(end)) = span else { return Err(Odd) };
            if let Some(entry) = self.by_code.get_mut(code) {
                // The first of a code is the one that counts.
                entry.get_or_insert((first, end));
            }
        }
    }

    /// Goes through one DIE: where the next one begins, or `None` where it is cut off. Notes what is looked for by, and
    /// where in `bytes` that stands.
    fn die(&self, bytes: &[u8], start: usize, found: &mut Vec<(usize, Key)>) -> Result<Option<usize>, Odd> {
        let mut at = start;
        let Some(code) = number(bytes, &mut at) else { return Ok(None) };
        if code == 0 {
            return Ok(Some(at));
        }
        let code = usize::try_from(code).map_err(|_| Odd)?;
        let (first, end) = self.by_code.get(code).copied().flatten().ok_or(Odd)?;
        let low = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        for step in self.steps.get(first as usize..end as usize).unwrap_or_default() {
            let more = match *step {
                Step::Skip(more) => Some(more as usize),
                Step::Number => number(bytes, &mut at).map(|_| 0),
                Step::Text | Step::NameHere => {
                    let text = bytes.get(at..).and_then(|rest| rest.get(..memchr::memchr(0, rest)?));
                    if let (Some(text), Step::NameHere) = (text, step) {
                        found.push((at, Key::text(text)));
                    }
                    text.map(|text| text.len() + 1)
                }
                Step::Block(size) => {
                    let count = bytes.get(at..at + usize::from(size));
                    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
                    at += usize::from(size);
                    count.map(|count| usize::try_from(count.iter().rev().fold(0, add)).unwrap_or(usize::MAX))
                }
                Step::NumberedBlock => number(bytes, &mut at).map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
                Step::Name(size) => low(at).map(|offset| {
                    found.push((at, Key::offset(offset)));
                    usize::from(size)
                }),
                Step::Origin(size) => low(at).map(|offset| {
                    found.push((at, Key::origin(offset)));
                    usize::from(size)
                }),
            };
            let Some(more) = more else { return Ok(None) };
            at = at.checked_add(more).ok_or(Odd)?;
            if at > bytes.len() {
                return Ok(None);
            }
        }
        Ok(Some(at))
    }
}

/// The step over an attribute (DWARF 5, 7.5.6); [`Odd`] for a form that only the DIE tells, or that is not known.
fn step(attribute: gimli::DwAt, form: gimli::DwForm, encoding: Encoding, named: bool) -> Result<Step, Odd> {
    let Encoding { version, word, address } = encoding;
    let name =
        named && matches!(attribute, gimli::DW_AT_name | gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name);
    let origin = matches!(attribute, gimli::DW_AT_abstract_origin | gimli::DW_AT_specification);
    let skip = |bytes: u8| Step::Skip(u32::from(bytes));
    let far = |size: u8| if origin { Step::Origin(size) } else { skip(size) };
    Ok(match form {
        gimli::DW_FORM_flag_present | gimli::DW_FORM_implicit_const => skip(0),
        gimli::DW_FORM_data1
        | gimli::DW_FORM_ref1
        | gimli::DW_FORM_flag
        | gimli::DW_FORM_strx1
        | gimli::DW_FORM_addrx1 => skip(1),
        gimli::DW_FORM_data2 | gimli::DW_FORM_ref2 | gimli::DW_FORM_strx2 | gimli::DW_FORM_addrx2 => skip(2),
        gimli::DW_FORM_strx3 | gimli::DW_FORM_addrx3 => skip(3),
        gimli::DW_FORM_data4 | gimli::DW_FORM_ref4 | gimli::DW_FORM_strx4 | gimli::DW_FORM_addrx4 => skip(4),
        gimli::DW_FORM_data8 | gimli::DW_FORM_ref8 | gimli::DW_FORM_ref_sig8 => skip(8),
        gimli::DW_FORM_data16 => skip(16),
        gimli::DW_FORM_addr => skip(address),
        gimli::DW_FORM_sec_offset | gimli::DW_FORM_line_strp => skip(word),
        gimli::DW_FORM_strp | gimli::DW_FORM_strp_sup | gimli::DW_FORM_GNU_strp_alt => {
            if name {
                Step::Name(word)
            } else {
                skip(word)
            }
        }
        gimli::DW_FORM_string => {
            if name {
                Step::NameHere
            } else {
                Step::Text
            }
        }
        // Of the size of an address before DWARF 3.
        gimli::DW_FORM_ref_addr if version < 3 => far(address),
        gimli::DW_FORM_ref_addr | gimli::DW_FORM_GNU_ref_alt => far(word),
        gimli::DW_FORM_ref_sup4 => far(4),
        gimli::DW_FORM_ref_sup8 => far(8),
        gimli::DW_FORM_udata
        | gimli::DW_FORM_sdata
        | gimli::DW_FORM_ref_udata
        | gimli::DW_FORM_strx
        | gimli::DW_FORM_addrx
        | gimli::DW_FORM_loclistx
        | gimli::DW_FORM_rnglistx
        | gimli::DW_FORM_GNU_addr_index
        | gimli::DW_FORM_GNU_str_index => Step::Number,
        gimli::DW_FORM_block1 => Step::Block(1),
        gimli::DW_FORM_block2 => Step::Block(2),
        gimli::DW_FORM_block4 => Step::Block(4),
        gimli::DW_FORM_block | gimli::DW_FORM_exprloc => Step::NumberedBlock,
        _ => return Err(Odd),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::dwarf;
    use super::super::sieve::Sieve;
    use super::*;

    fn stored(bytes: &[u8]) -> Stored {
        Stored::plain(Arc::new(bytes.to_vec()), 0, bytes.len() as u64)
    }

    /// A unit of DWARF 5 with these DIEs, in the first table of abbreviations.
    fn unit(dies: &[u8]) -> Vec<u8> {
        let length = (dies.len() + 8) as u32;
        [&length.to_le_bytes()[..], &[5, 0, 1, 8, 0, 0, 0, 0], dies].concat()
    }

    fn sieve(info: &[u8], abbreviations: &[u8]) -> Sieve {
        let info = stored(info);
        let mut all = Vec::new();
        let spans = dwarf::units_of(&info);
        filters(&info, &stored(abbreviations), spans.iter(), &mut |filter| all.extend_from_slice(filter))
            .expect("readable");
        Sieve::new(Arc::new(all), info.size())
    }

    fn in_pieces(sieve: &Sieve, key: Key) -> Vec<u64> {
        let parts = sieve.parts(&[key]).expect("readable");
        parts.iter().flat_map(|part| part.start / PIECE..part.end.div_ceil(PIECE)).collect()
    }

    /// 1: a function with a name elsewhere (strp), 2: one with a name here and an origin elsewhere (string, ref_addr), 3: a
    /// parameter with a name elsewhere, 4: a block of a count of 4 bytes.
    const TABLE: &[u8] = &[
        1, 0x2e, 0, 0x03, 0x0e, 0x3b, 0x0b, 0, 0, //
        2, 0x2e, 0, 0x03, 0x08, 0x31, 0x10, 0, 0, //
        3, 0x05, 0, 0x03, 0x0e, 0, 0, //
        4, 0x34, 0, 0x02, 0x04, 0, 0, 0,
    ];

    #[test]
    fn names_and_origins_are_in_the_pieces_where_they_stand() {
        let long = [&[4][..], &(3 * PIECE as u32).to_le_bytes(), &vec![1; 3 * PIECE as usize]].concat();
        let first = unit(&[&[1, 0x11, 0x22, 0x33, 0, 9][..], b"\x02own\0\x78\x56\x34\x12", &long].concat());
        // It begins in the fourth piece, and its name goes on into the fifth.
        let fill = vec![0; (4 * PIECE) as usize - first.len() - 12 - 3];
        let second = unit(&[&fill[..], &[1, 0x44, 0x55, 0x66, 0, 9, 3, 0x77, 0x77, 0x77, 0, 0]].concat());
        let sieve = sieve(&[first, second].concat(), TABLE);
        assert_eq!(in_pieces(&sieve, Key::offset(0x33_2211)), [0]);
        assert_eq!(in_pieces(&sieve, Key::text(b"own")), [0]);
        assert_eq!(in_pieces(&sieve, Key::origin(0x1234_5678)), [0]);
        assert_eq!(in_pieces(&sieve, Key::offset(0x66_5544)), [3]);
        for other in [Key::offset(0x1234_5678), Key::origin(0x33_2211), Key::text(b"ow"), Key::offset(0x77_7777)] {
            assert!(in_pieces(&sieve, other).is_empty());
        }
    }

    /// What cannot be gone through may hold anything; what stands before and behind it is known all the same.
    #[test]
    fn odd_units_let_all_through() {
        let plain = |size: usize| {
            let mut dies = vec![1, 0x11, 0x22, 0x33, 0, 9];
            dies.resize(size, 0);
            unit(&dies)
        };
        let piece = PIECE as usize;
        let odd = |dies: &[u8]| {
            let mut dies = dies.to_vec();
            dies.resize(2 * piece, 0);
            [plain(piece - 12), unit(&dies), plain(2 * piece)].concat()
        };
        // A form that the DIE tells (DW_FORM_indirect), one that does not exist, no abbreviation of that code, a DIE that
        // leads out of its unit.
        let indirect = [TABLE[..TABLE.len() - 1].to_vec(), vec![9, 0x2e, 0, 0x03, 0x16, 0, 0, 0]].concat();
        let unknown = [TABLE[..TABLE.len() - 1].to_vec(), vec![9, 0x2e, 0, 0x03, 0x7e, 0, 0, 0]].concat();
        assert_eq!(in_pieces(&sieve(&odd(&[9]), &indirect), Key::offset(5)), [0, 1, 2, 3, 4, 5]);
        assert_eq!(in_pieces(&sieve(&odd(&[9]), &unknown), Key::offset(5)), [0, 1, 2, 3, 4, 5]);
        for dies in [&[8][..], &[4, 0xff, 0xff, 0xff, 0xff], &[0xff; 12]] {
            let sieve = sieve(&odd(dies), TABLE);
            assert_eq!(in_pieces(&sieve, Key::offset(5)), [1, 2, 3], "{dies:?}");
            assert_eq!(in_pieces(&sieve, Key::offset(0x33_2211)), [0, 1, 2, 3], "{dies:?}");
        }
    }
}
