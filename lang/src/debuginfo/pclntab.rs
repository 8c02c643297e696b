//! Owns Go's own table of functions (`.gopclntab`), which a program keeps where symbols and DWARF were taken out: their
//! names and addresses, in the form of an ELF symbol table. Knows the forms of Go 1.16 and 1.17, 1.18 and 1.19, and 1.20
//! and later (runtime/symtab.go, `pcHeader`); of others it has none.

use object::elf;

use super::elf::{c_string, u32_at, u64_at};
use super::limits;

/// `pcHeader.magic` of Go 1.16, 1.18 and 1.20.
const MAGIC_116: u32 = 0xffff_fffa;
const MAGIC_118: u32 = 0xffff_fff0;
const MAGIC_120: u32 = 0xffff_fff1;

/// A table of symbols (`Elf64_Sym`) and the strings it names.
pub(super) type Table = (Vec<u8>, Vec<u8>);

/// The functions of a table; `None` where it is of no form that is known, or damaged.
pub(super) fn symbols(table: &[u8]) -> Option<Table> {
    // Magic (4), padding (2), least instruction (1), size of a pointer (1).
    let magic = u32_at(table, 0).ok()?;
    if table.get(4..6)? != [0, 0] || table.get(7) != Some(&8) {
        return None;
    }
    let word = |index: usize| u64_at(table, 8 + index * 8).ok();
    let count = usize::try_from(word(0)?).ok()?;
    // What follows the counts of functions and files: where text begins (from 1.18 on), then where the parts are.
    let (text, parts) = match magic {
        MAGIC_116 => (None, 2),
        // A program that can be loaded anywhere has a relocation there instead of the address.
        MAGIC_118 | MAGIC_120 => (Some(word(2).filter(|text| *text != 0)?), 3),
        _ => return None,
    };
    if count > usize::try_from(limits::MAX_SYMBOLS).unwrap_or(usize::MAX) {
        return None;
    }
    let part = |index: usize| table.get(usize::try_from(word(parts + index)?).ok()?..);
    let (names, functions) = (part(0)?, part(4)?);
    // Address and place of each function's record, then the address behind the last.
    let entry = |index: usize| -> Option<(u64, usize)> {
        Some(match text {
            Some(text) => {
                let offset = u64::from(u32_at(functions, index.checked_mul(8)?).ok()?);
                (text.checked_add(offset)?, u32_at(functions, index * 8 + 4).unwrap_or(0) as usize)
            }
            None => {
                let address = u64_at(functions, index.checked_mul(16)?).ok()?;
                (address, usize::try_from(u64_at(functions, index * 16 + 8).unwrap_or(0)).ok()?)
            }
        })
    };
    // In its record the name's place is behind the address.
    let name_at = if text.is_some() { 4 } else { 8 };
    let (mut symbols, mut strings) = (Vec::new(), vec![0]);
    for index in 0..count {
        let ((address, record), (end, _)) = (entry(index)?, entry(index + 1)?);
        let name = u32_at(functions, record.checked_add(name_at)?).ok()?;
        let name = c_string(names, name as usize)?;
        if strings.len() + name.len() > limits::MAX_GO_NAMES {
            return None;
        }
        symbols.extend(u32::try_from(strings.len()).ok()?.to_le_bytes());
        // Kind, visibility, a section that is defined.
        symbols.extend([elf::STT_FUNC.0, 0, 1, 0]);
        symbols.extend(address.to_le_bytes());
        symbols.extend(end.checked_sub(address)?.to_le_bytes());
        strings.extend_from_slice(name);
        strings.push(0);
    }
    Some((symbols, strings))
}
