//! Owns what the abbreviations of a file alone tell. Reads no DIE.

use gimli::Reader as _;

use super::facts::DebugError;
use super::limits;
use super::reader::Slice;
use super::sections::Stored;

/// Bytes read at a time.
const PIECE: usize = 128 << 10;
/// Longest declaration of one abbreviation that is looked into.
const LONGEST: usize = 1 << 20;

/// Whether the origin or specification of some DIE may be given as a position in the whole section, or in another file:
/// only then can a function be made from one of another unit. What cannot be read may be.
pub(super) fn refer_across(abbreviations: &Stored) -> Result<bool, DebugError> {
    let size = abbreviations.size();
    if size > limits::MAX_ABBREVIATIONS {
        return Ok(true);
    }
    let mut buffer: Vec<u8> = Vec::new();
    let mut read = 0;
    loop {
        let (kept, more) = (buffer.len(), usize::try_from(size - read).unwrap_or(usize::MAX).min(PIECE));
        buffer.resize(kept + more, 0);
        abbreviations.read(read, buffer.get_mut(kept..).unwrap_or_default())?;
        read += more as u64;
        let used = match declarations(&buffer) {
            Ok(used) => used,
            Err(Across) => return Ok(true),
        };
        if read == size {
            // What is cut off at the end declares nothing.
            return Ok(false);
        }
        buffer.drain(..used);
        if buffer.len() > LONGEST {
            return Ok(true);
        }
    }
}

const ORIGIN: u64 = gimli::DW_AT_abstract_origin.0 as u64;
const SPECIFICATION: u64 = gimli::DW_AT_specification.0 as u64;
const IMPLICIT_CONST: u64 = gimli::DW_FORM_implicit_const.0 as u64;
/// References within a unit: `DW_FORM_ref1`, `ref2`, `ref4`, `ref8`, `ref_udata`.
const NEAR: std::ops::RangeInclusive<u64> = gimli::DW_FORM_ref1.0 as u64..=gimli::DW_FORM_ref_udata.0 as u64;

/// Some DIE may be made from one of another unit.
struct Across;

/// Reads the declarations that are whole: how many bytes those take (DWARF 5, 7.5.3: code, tag, whether there are
/// children, then pairs of attribute and form up to 0, 0).
fn declarations(bytes: &[u8]) -> Result<usize, Across> {
    let mut at = 0;
    'declarations: loop {
        let mut next = at;
        let Some(code) = number(bytes, &mut next) else { return Ok(at) };
        if code == 0 {
            // The end of one unit's table, or what fills up behind it.
            at = next;
            continue;
        }
        if number(bytes, &mut next).is_none() {
            return Ok(at);
        }
        next += 1;
        loop {
            // Nearly all are of one byte each.
            let (attribute, form) = match bytes.get(next..next + 2) {
                Some(&[attribute @ ..0x80, form @ ..0x80]) => {
                    next += 2;
                    (u64::from(attribute), u64::from(form))
                }
                _ => {
                    let Some(attribute) = number(bytes, &mut next) else { return Ok(at) };
                    let Some(form) = number(bytes, &mut next) else { return Ok(at) };
                    (attribute, form)
                }
            };
            if (attribute, form) == (0, 0) {
                at = next;
                continue 'declarations;
            }
            if form == IMPLICIT_CONST {
                let Some(rest) = bytes.get(next..) else { return Ok(at) };
                let Some(last) = rest.iter().position(|byte| byte & 0x80 == 0) else { return Ok(at) };
                next += last + 1;
            }
            let origin = attribute == ORIGIN || attribute == SPECIFICATION;
            if origin && !NEAR.contains(&form) {
                return Err(Across);
            }
        }
    }
}

/// How many attributes and declarations the table at an offset has, as far as it can be read.
pub(super) fn entries(section: &Slice<'_>, offset: usize) -> u64 {
    let (mut table, mut entries) = (*section, 0);
    let mut read = || -> gimli::Result<()> {
        table.skip(offset)?;
        while table.read_uleb128()? != 0 {
            table.read_uleb128()?;
            table.skip(1)?;
            loop {
                entries += 1;
                let (attribute, form) = (table.read_uleb128()?, table.read_uleb128()?);
                if (attribute, form) == (0, 0) {
                    break;
                }
                if form == IMPLICIT_CONST {
                    table.read_sleb128()?;
                }
            }
        }
        Ok(())
    };
    // What cannot be read does not count: nothing is made of it.
    let _ = read();
    entries
}

/// An unsigned LEB128 number, or the largest one in the place of a larger; `None` where it is cut off.
#[inline]
fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        value = if shift < 63 { value | (bits << shift) } else { u64::MAX };
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift = (shift + 7).min(63);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn across(bytes: Vec<u8>) -> bool {
        let size = bytes.len() as u64;
        refer_across(&Stored::plain(Arc::new(bytes), 0, size)).expect("readable")
    }

    /// A unit's table: subprograms with an origin of that form.
    fn table(code: &[u8], form: &[u8]) -> Vec<u8> {
        // A number of more than one byte, a name, a constant in the abbreviation itself (0x21) of 0 and of 300.
        let before = [0x87, 0x40, 0x0c, 0x03, 0x0e, 0x3b, 0x21, 0x00, 0x3a, 0x21, 0xac, 0x02];
        [code, &[0x2e, 0x01], &before, &[0x31], form, &[0, 0, 0]].concat()
    }

    #[test]
    fn positions_in_the_whole_section_are_seen() {
        // ref1, ref2, ref4, ref8, ref_udata; ref_addr, ref_sig8, GNU_ref_alt.
        for form in [0x11, 0x12, 0x13, 0x14, 0x15] {
            assert!(!across(table(&[1], &[form])));
        }
        for form in [&[0x10][..], &[0x20], &[0xa0, 0x3e]] {
            assert!(across(table(&[1], form)) && across(table(&[0x81, 0x80, 0x04], form)));
        }
        assert!(!across(Vec::new()) && !across(vec![0; 9]));
    }

    #[test]
    fn tables_go_on_across_the_pieces_that_are_read() {
        let mut near = Vec::new();
        while near.len() < 3 * PIECE {
            near.extend(table(&[1], &[0x13]));
        }
        assert!(!across(near.clone()));
        for at in [0, PIECE - 20, PIECE, 3 * PIECE] {
            let whole = at.div_ceil(table(&[1], &[0x13]).len()) * table(&[1], &[0x13]).len();
            let mut bytes = near.get(..whole).unwrap_or(&near).to_vec();
            bytes.extend(table(&[2], &[0x10]));
            bytes.extend(&near);
            assert!(across(bytes), "{at}");
        }
        // A declaration that does not end is no reason to look nowhere else; what is cut off declares nothing.
        assert!(across([&[1, 0x2e, 0][..], &[3, 0x0e].repeat(LONGEST)].concat()));
        assert!(!across([&[1, 0x2e, 0][..], &[3, 0x0e].repeat(100)].concat()));
        assert!(!across([&[1, 0x2e, 0, 3][..], &[0x80; 100]].concat()));
    }
}
