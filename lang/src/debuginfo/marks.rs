//! Owns marks (USDT): the notes of `.note.stapsdt` (sys/sdt.h; "User Space Probe Implementation" of SystemTap's wiki),
//! and the forms in which compilers write their arguments.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::dwarf::ElfFile;
use super::elf::{c_string, u32_at, u64_at};
use super::facts::{Argument, BinaryOp, Compute, DebugError, Location, Mark, Register, Unavailable};
use super::limits::{self, over};
use super::sections;
use super::symbols::Symbols;

/// The type of a mark's note.
const STAPSDT: u32 = 3;

/// All marks of a file, in the order of its notes.
pub(super) fn read(file: &ElfFile, symbols: Option<&Symbols>) -> Result<Vec<Mark>, DebugError> {
    let notes = sections::load(&file.bytes, &file.elf, ".note.stapsdt", limits::MAX_MARK_BYTES)?;
    let descriptions = descriptions(&notes)?;
    let base = file.elf.section(".stapsdt.base").map(|section| section.address);
    let all = |address_of: &dyn Fn(&str) -> Option<u64>| -> Result<Vec<Mark>, DebugError> {
        let marks = descriptions.iter().map(|desc| mark(file, address_of, base, desc));
        Ok(marks.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    };
    // Symbols are gone through once for all arguments that name some.
    let wanted = RefCell::new(BTreeSet::new());
    let marks = all(&|name| {
        wanted.borrow_mut().insert(name.to_owned());
        None
    })?;
    let wanted = wanted.into_inner();
    let Some(symbols) = symbols.filter(|_| !wanted.is_empty()) else { return Ok(marks) };
    let addresses = symbols.objects(&wanted);
    all(&|name| addresses.get(name).copied())
}

/// What the notes of marks say.
fn descriptions(notes: &[u8]) -> Result<Vec<&[u8]>, DebugError> {
    let mut descriptions = Vec::new();
    let mut at = 0;
    while at + 12 <= notes.len() {
        let size = |offset| Ok::<_, DebugError>(u32_at(notes, offset)? as usize);
        let (name_size, desc_size, kind) = (size(at)?, size(at + 4)?, u32_at(notes, at + 8)?);
        let name = at + 12;
        let malformed = || DebugError::Malformed("a note of .note.stapsdt goes over its end".to_owned());
        let desc = name.checked_add(name_size.next_multiple_of(4)).ok_or_else(malformed)?;
        let end = desc.checked_add(desc_size).filter(|end| *end <= notes.len()).ok_or_else(malformed)?;
        let is_mark = kind == STAPSDT && notes.get(name..name.saturating_add(name_size)) == Some(b"stapsdt\0");
        if let (true, Some(desc)) = (is_mark, notes.get(desc..end)) {
            if descriptions.len() >= limits::MAX_MARKS {
                return Err(over("marks", limits::MAX_MARKS));
            }
            descriptions.push(desc);
        }
        at = end.next_multiple_of(4);
    }
    Ok(descriptions)
}

fn mark(
    file: &ElfFile,
    address_of: &dyn Fn(&str) -> Option<u64>,
    base: Option<u64>,
    desc: &[u8],
) -> Result<Option<Mark>, DebugError> {
    // What prelink moved the file by shows in the section `.stapsdt.base`, whose address the note has as it was.
    let moved = base.map_or(0, |base| base.wrapping_sub(u64_at(desc, 8).unwrap_or(base)));
    let address = u64_at(desc, 0)?.wrapping_add(moved);
    let semaphore = match u64_at(desc, 16)? {
        0 => None,
        semaphore => {
            let semaphore = semaphore.wrapping_add(moved);
            let offset = file.elf.data_offset(semaphore);
            let nowhere = || DebugError::Malformed(format!("a mark's semaphore {semaphore:#x} is not in the file"));
            Some(offset.ok_or_else(nowhere)?)
        }
    };
    let mut rest = 24;
    let mut text = || {
        let text = c_string(desc, rest)?;
        rest += text.len() + 1;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let (Some(provider), Some(name)) = (text(), text()) else { return Ok(None) };
    let written = text().unwrap_or_default();
    let mut arguments = Vec::new();
    for one in written.split_ascii_whitespace() {
        if arguments.len() >= limits::MAX_MARK_ARGUMENTS {
            return Err(over("arguments of a mark", limits::MAX_MARK_ARGUMENTS));
        }
        let address_of = |name: &str| address_of(name).map(|address| address.wrapping_add(moved));
        arguments.push(argument(one, &address_of));
    }
    Ok(Some(Mark { provider, name, address, semaphore, arguments }))
}

/// Reads an argument: `-4@%eax`, `8@$5`, `-8@-24(%rbp)`, `4@table(,%rax,4)`, `8@sym+8(%rip)`. One that cannot be read is
/// there, without a value.
fn argument(written: &str, address_of: &dyn Fn(&str) -> Option<u64>) -> Argument {
    let (size, operand) = written.split_once('@').unwrap_or(("8", written));
    let signed = size.starts_with('-');
    let is_float = size.ends_with('f');
    let bytes = size.trim_start_matches('-').trim_end_matches('f').parse().ok().filter(|n| matches!(n, 1 | 2 | 4 | 8));
    let unreadable =
        |what: &str| Location::Unavailable(Unavailable::Unsupported(format!("its place, `{written}`, {what}")));
    let location = match bytes {
        None => unreadable("has a size ctp does not read"),
        Some(_) if is_float && !operand.contains('(') => Location::Unavailable(Unavailable::VectorRegister),
        Some(_) => place(operand, address_of).unwrap_or_else(|| unreadable("is not of a form ctp reads")),
    };
    Argument { written: written.to_owned(), size: bytes.unwrap_or(8), signed, location }
}

fn place(operand: &str, address_of: &dyn Fn(&str) -> Option<u64>) -> Option<Location> {
    if let Some(constant) = operand.strip_prefix('$') {
        return Some(Location::Value(Compute::Const(number(constant)?)));
    }
    if let Some(name) = operand.strip_prefix('%') {
        if name.starts_with("xmm") || name.starts_with("ymm") || name.starts_with("zmm") || name.starts_with("st") {
            return Some(Location::Unavailable(Unavailable::VectorRegister));
        }
        let register = register(name)?;
        // ah, bh, ch, dh: the second byte.
        let second = matches!(name, "ah" | "bh" | "ch" | "dh");
        let shifted = || {
            let eight = Box::new(Compute::Const(8));
            Location::Value(Compute::Binary(BinaryOp::ShrLogical, Box::new(Compute::Register(register)), eight))
        };
        return Some(if second { shifted() } else { Location::Register(register) });
    }
    let (outside, inside) = match operand.split_once('(') {
        Some((outside, inside)) => (outside, Some(inside.strip_suffix(')')?)),
        None => (operand, None),
    };
    if operand.is_empty() {
        return None;
    }
    let displacement = displacement(outside, address_of)?;
    let mut address = match displacement {
        Displacement::Bytes(bytes) => Compute::Const(bytes),
        Displacement::Symbol(address) => Compute::ModuleAddress(address),
    };
    let add = |left, right| Compute::Binary(BinaryOp::Add, Box::new(left), Box::new(right));
    let mut parts = inside.unwrap_or_default().split(',');
    match (parts.next().unwrap_or_default().trim(), displacement) {
        // What a symbol is counted from the program counter is its address.
        ("%rip", Displacement::Symbol(_)) => {}
        ("%rip", Displacement::Bytes(_)) => return None,
        ("", _) => {}
        (base, _) => {
            let base = Compute::Register(register(base.strip_prefix('%')?)?);
            address = if address == Compute::Const(0) { base } else { add(base, address) };
        }
    }
    if let Some(index) = parts.next().map(str::trim).filter(|index| !index.is_empty()) {
        let index = Compute::Register(register(index.strip_prefix('%')?)?);
        let scale = parts.next().map_or(Some(1), |scale| number(scale.trim()))?;
        let scaled = Compute::Binary(BinaryOp::Mul, Box::new(index), Box::new(Compute::Const(scale)));
        address = add(address, scaled);
    }
    Some(Location::Memory(address))
}

#[derive(Clone, Copy)]
enum Displacement {
    Bytes(i64),
    Symbol(u64),
}

/// Numbers and at most one symbol, added.
fn displacement(text: &str, address_of: &dyn Fn(&str) -> Option<u64>) -> Option<Displacement> {
    let (mut bytes, mut symbol) = (0i64, None);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let negative = rest.starts_with('-');
        rest = rest.trim_start_matches(['+', '-']);
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let (term, behind) = rest.split_at_checked(end)?;
        if term.is_empty() {
            return None;
        }
        rest = behind;
        match number(term) {
            Some(value) => bytes = bytes.wrapping_add(if negative { value.wrapping_neg() } else { value }),
            None if symbol.is_none() && !negative => symbol = Some(address_of(term)?),
            None => return None,
        }
    }
    Some(match symbol {
        Some(address) => Displacement::Symbol(address.wrapping_add_signed(bytes)),
        None => Displacement::Bytes(bytes),
    })
}

fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    let value = value.cast_signed();
    Some(if negative { value.wrapping_neg() } else { value })
}

/// A general register by any of its names.
fn register(name: &str) -> Option<Register> {
    const NAMES: [[&str; 4]; 8] = [
        ["rax", "eax", "ax", "al"],
        ["rdx", "edx", "dx", "dl"],
        ["rcx", "ecx", "cx", "cl"],
        ["rbx", "ebx", "bx", "bl"],
        ["rsi", "esi", "si", "sil"],
        ["rdi", "edi", "di", "dil"],
        ["rbp", "ebp", "bp", "bpl"],
        ["rsp", "esp", "sp", "spl"],
    ];
    let second = match name {
        "ah" => Some("al"),
        "bh" => Some("bl"),
        "ch" => Some("cl"),
        "dh" => Some("dl"),
        _ => None,
    };
    let name = second.unwrap_or(name);
    if let Some(at) = NAMES.iter().position(|names| names.contains(&name)) {
        return u16::try_from(at).ok().map(Register);
    }
    let digits = name.strip_prefix('r')?.trim_end_matches(['d', 'w', 'b']);
    digits.parse().ok().filter(|number| (8..=15).contains(number)).map(Register)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Argument {
        argument(written, &|name| (name == "table").then_some(0x4000))
    }

    /// The forms in SystemTap's own test suite and in what gcc and clang write.
    #[test]
    fn the_forms_that_compilers_write() {
        let rbp = || Compute::Register(Register(6));
        let at = |base, bytes| Compute::Binary(BinaryOp::Add, Box::new(base), Box::new(Compute::Const(bytes)));
        for (written, size, signed, location) in [
            ("-4@%eax", 4, true, Location::Register(Register(0))),
            ("8@%r12", 8, false, Location::Register(Register(12))),
            ("2@%r9w", 2, false, Location::Register(Register(9))),
            ("1@%sil", 1, false, Location::Register(Register(4))),
            ("-4@$-5", 4, true, Location::Value(Compute::Const(-5))),
            ("8@$0x10", 8, false, Location::Value(Compute::Const(16))),
            ("-8@-24(%rbp)", 8, true, Location::Memory(at(rbp(), -24))),
            ("8@(%rbp)", 8, false, Location::Memory(rbp())),
            ("4@table(%rip)", 4, false, Location::Memory(Compute::ModuleAddress(0x4000))),
            ("4@table+8(%rip)", 4, false, Location::Memory(Compute::ModuleAddress(0x4008))),
            ("4@8+table-4(%rip)", 4, false, Location::Memory(Compute::ModuleAddress(0x4004))),
        ] {
            let read = read(written);
            assert_eq!((read.size, read.signed, &read.location), (size, signed, &location), "{written}");
        }
        assert!(matches!(read("4@table(,%rax,4)").location, Location::Memory(Compute::Binary(BinaryOp::Add, _, _))));
        assert!(matches!(read("8@16(%rbx,%rcx,8)").location, Location::Memory(_)));
        assert_eq!(read("8f@%xmm0").location, Location::Unavailable(Unavailable::VectorRegister));
        for unreadable in ["8@other(%rip)", "3@%eax", "4@", "8@-(%rbp)", "8@%", "8@%r99", "4@8(%rip)", "8@(%rbp"] {
            assert!(matches!(read(unreadable).location, Location::Unavailable(_)), "{unreadable}");
        }
    }
}
