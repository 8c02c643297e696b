//! Owns the names of functions that a file's own index lists: `.debug_names` (DWARF 5, 6.1.1) or `.gdb_index` (gdb's
//! manual, "Index Section Format"). An index may be of another state of the file, cut off, or lie: what it lists are
//! names to look for, never an answer, and what it does not list may be there all the same.

use gimli::{Reader, SectionId};

use super::dwarf::file_of;
use super::facts::DebugError;
use super::limits;
use super::reader::{Section, Slice};
use super::units::{Debug, IN_TYPES};

/// Entries of one name that are looked at for a function.
const MAX_ENTRIES: usize = 64;

/// Calls `each` with the names of functions that the index of the main file lists, linkage names too; whether there is
/// one that has all of the file's units in it.
///
/// # Errors
/// [`DebugError`] when the index is malformed: it is of no use then.
pub(super) fn functions(debug: &Debug<'_>, each: &mut dyn FnMut(&str)) -> Result<bool, DebugError> {
    let units = debug.spans.iter().filter(|span| {
        file_of(span.start) == 0 && span.start & IN_TYPES == 0 && span.split.is_none() && span.signature.is_none()
    });
    let units = units.count();
    Ok(units > 0 && (from_names(debug, units, each)? || from_gdb(debug, units, each)?))
}

fn text(string: &Slice<'_>) -> Option<String> {
    String::from_utf8(string.bytes().ok()?.into_owned()).ok()
}

/// From `.debug_names`, which linkers may leave as one index for each unit.
fn from_names(debug: &Debug<'_>, units: usize, each: &mut dyn FnMut(&str)) -> Result<bool, DebugError> {
    let names = gimli::DebugNames::from(debug.section(0, SectionId::DebugNames));
    let strings = gimli::DebugStr::from(debug.section(0, SectionId::DebugStr));
    let (mut headers, mut covered) = (names.headers(), 0);
    while let Some(header) = headers.next()? {
        let index = header.index()?;
        covered += index.compile_unit_count() as usize;
        for name in index.names() {
            debug.count_die()?;
            let mut entries = index.name_entries(name)?;
            let mut function = false;
            for _ in 0..MAX_ENTRIES {
                let Some(entry) = entries.next()? else { break };
                if matches!(entry.tag, gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine) {
                    function = true;
                    break;
                }
            }
            if let Some(name) = text(&index.name_string(name, &strings)?).filter(|_| function) {
                each(&name);
            }
        }
    }
    Ok(covered >= units)
}

/// Bytes of an entry of its list of units: offset and length.
const UNIT: u64 = 16;
/// Bytes of a slot of its table: where the name and the list of its places are.
const SLOT: u64 = 8;
/// What a place says of its name, in bits 28 to 30.
const FUNCTION: u32 = 3;

/// From `.gdb_index`; of the versions that tell functions from others.
fn from_gdb(debug: &Debug<'_>, units: usize, each: &mut dyn FnMut(&str)) -> Result<bool, DebugError> {
    let Some(stored) = debug.files.files.first().and_then(|file| file.gdb_index.as_ref()) else { return Ok(false) };
    let section = Section::new(Some(stored));
    let whole = section.slice();
    let at = |offset: u64| -> gimli::Result<Slice<'_>> {
        let mut rest = whole;
        rest.skip(usize::try_from(offset).map_err(|_| gimli::Error::Io)?)?;
        Ok(rest)
    };
    let mut header = whole;
    let version = header.read_u32()?;
    if !(7..=9).contains(&version) {
        return Ok(false);
    }
    let mut next = || header.read_u32().map(u64::from);
    let (list, types, _addresses, table) = (next()?, next()?, next()?, next()?);
    let end = next()?;
    let pool = if version == 9 { next()? } else { end };
    let slots = end.saturating_sub(table) / SLOT;
    if slots > limits::MAX_SYMBOLS {
        return Ok(false);
    }
    let mut table = at(table)?;
    for _ in 0..slots {
        debug.count_die()?;
        let (name, places) = (u64::from(table.read_u32()?), u64::from(table.read_u32()?));
        if (name, places) == (0, 0) {
            continue;
        }
        let mut places = at(pool + places)?;
        let count = places.read_u32()?;
        let mut function = false;
        for _ in 0..count.min(MAX_ENTRIES as u32) {
            function |= (places.read_u32()? >> 28) & 7 == FUNCTION;
        }
        if function && let Some(name) = text(&at(pool + name)?.read_null_terminated_slice()?) {
            each(&name);
        }
    }
    Ok(types.saturating_sub(list) / UNIT >= units as u64)
}
