//! Owns the kernel's BTF (/sys/kernel/btf/vmlinux, include/uapi/linux/btf.h): finds a few functions and members in one
//! pass over it, and keeps nothing else. Also writes the few bytes of BTF that a task-storage map asks for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use super::sys::Constant;

const KIND_ENUM: u32 = 6;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FUNC: u32 = 12;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Type ids of functions.
    pub(super) functions: HashMap<&'static str, u32>,
    /// Byte offsets of members, by structure and member.
    pub(super) members: HashMap<(&'static str, &'static str), u32>,
    /// Values of enumerators.
    pub(super) enumerators: HashMap<&'static str, u32>,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Functions by name.
    pub(super) functions: Vec<&'static str>,
    /// Members of structures, those of members without names included.
    pub(super) members: Vec<(&'static str, &'static str)>,
    /// Enumerators by name, of whatever enumeration.
    pub(super) enumerators: Vec<&'static str>,
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's BTF is malformed")
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = at.checked_add(4).and_then(|end| bytes.get(at..end)).ok_or_else(malformed)?;
    Ok(u32::from_le_bytes(four.try_into().map_err(|_| malformed())?))
}

/// Looks for names in the BTF of a file; those that are not there are not in the answer.
///
/// From Linux 6.16 the file can be mapped, without a copy; before, it is read, a page at a time as sysfs has it.
pub(super) fn find(path: &str, wanted: &Wanted) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(|_| malformed())?;
    if let Ok(mapped) = Constant::map(file.as_fd(), length) {
        return search(mapped.bytes(), wanted);
    }
    let mut bytes = Vec::with_capacity(length);
    file.read_to_end(&mut bytes)?;
    search(&bytes, wanted)
}

/// Bytes behind the 12 of every type, by its kind.
fn extra(kind: u32, members: usize) -> io::Result<usize> {
    Ok(match kind {
        1 | 14 | 17 => 4,                                   // INT, VAR, DECL_TAG
        2 | 7..=12 | 16 | 18 => 0,                          // PTR, FWD, TYPEDEF, qualifiers, FUNC, FLOAT, TYPE_TAG
        3 => 12,                                            // ARRAY
        KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * members, // also DATASEC, ENUM64
        KIND_ENUM | 13 => 8 * members,                      // also FUNC_PROTO
        _ => return Err(malformed()),
    })
}

/// The part of `bytes` that a section of the header says.
fn section(bytes: &[u8], at: usize) -> io::Result<&[u8]> {
    let (header, offset, length) = (word(bytes, 4)?, word(bytes, at)?, word(bytes, at + 4)?);
    let start = (header as usize).checked_add(offset as usize).ok_or_else(malformed)?;
    let end = start.checked_add(length as usize).ok_or_else(malformed)?;
    bytes.get(start..end).ok_or_else(malformed)
}

/// A member without a name, whose own members count as the structure's: structure, type, place in bits.
type Anonymous = (&'static str, u32, u32);

/// How deep structures without names may lie in each other.
const MOST_NESTED: usize = 4;

fn search(bytes: &[u8], wanted: &Wanted) -> io::Result<Found> {
    if word(bytes, 0)? & 0xffff != 0xeb9f {
        return Err(malformed());
    }
    let (all, strings) = (section(bytes, 8)?, section(bytes, 16)?);
    let is = |offset: u32, name: &str| {
        let text = strings.get(offset as usize..).and_then(|tail| tail.split_at_checked(name.len()));
        text.is_some_and(|(head, tail)| head == name.as_bytes() && tail.first() == Some(&0))
    };
    let mut functions = wanted.functions.clone();
    let mut structures: Vec<&'static str> = wanted.members.iter().map(|(structure, _)| *structure).collect();
    structures.sort_unstable();
    structures.dedup();
    let mut enumerators = wanted.enumerators.clone();
    let mut found = Found::default();
    let mut anonymous: Vec<Anonymous> = Vec::new();
    let look = |types: &[u8], structure: &'static str, base: u32, found: &mut Found, open: &mut Vec<Anonymous>| {
        let info = word(types, 4)?;
        // With bit fields among the members, the upper 8 bits of an offset are a size.
        let mask = if info >> 31 == 0 { u32::MAX } else { 0xff_ffff };
        for index in 0..(info & 0xffff) as usize {
            let at = 12 + index * 12;
            let (name, kind, bits) = (word(types, at)?, word(types, at + 4)?, word(types, at + 8)? & mask);
            let bits = base.checked_add(bits).ok_or_else(malformed)?;
            if name == 0 {
                open.push((structure, kind, bits));
            }
            for (_, member) in wanted.members.iter().filter(|(of, member)| *of == structure && is(name, member)) {
                found.members.entry((structure, *member)).or_insert(bits / 8);
            }
        }
        Ok::<(), io::Error>(())
    };
    let mut types = all;
    let mut id = 0u32;
    while !(types.is_empty() || functions.is_empty() && structures.is_empty() && enumerators.is_empty()) {
        id += 1;
        let (name, info) = (word(types, 0)?, word(types, 4)?);
        let (kind, members) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        if kind == KIND_FUNC
            && let Some(at) = functions.iter().position(|function| is(name, function))
        {
            found.functions.insert(functions.swap_remove(at), id);
        } else if kind == KIND_STRUCT
            && let Some(at) = structures.iter().position(|structure| is(name, structure))
        {
            look(types, structures.swap_remove(at), 0, &mut found, &mut anonymous)?;
        } else if kind == KIND_ENUM && !enumerators.is_empty() {
            for index in 0..members {
                let (name, value) = (word(types, 12 + index * 8)?, word(types, 16 + index * 8)?);
                if let Some(at) = enumerators.iter().position(|enumerator| is(name, enumerator)) {
                    found.enumerators.insert(enumerators.swap_remove(at), value);
                }
            }
        }
        types = types.get(12 + extra(kind, members)?..).ok_or_else(malformed)?;
    }
    // Only where something is missing that may lie there: each level takes another pass.
    for _ in 0..MOST_NESTED {
        let missing = |structure: &str| {
            wanted.members.iter().any(|member| member.0 == structure && !found.members.contains_key(member))
        };
        anonymous.retain(|(structure, _, _)| missing(structure));
        if anonymous.is_empty() {
            break;
        }
        let level = std::mem::take(&mut anonymous);
        let (mut types, mut id) = (all, 0u32);
        while !types.is_empty() {
            id += 1;
            let info = word(types, 4)?;
            let (kind, members) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
            if matches!(kind, KIND_STRUCT | KIND_UNION) {
                for (structure, _, base) in level.iter().filter(|(_, wanted, _)| *wanted == id) {
                    look(types, structure, *base, &mut found, &mut anonymous)?;
                }
            }
            types = types.get(12 + extra(kind, members)?..).ok_or_else(malformed)?;
        }
    }
    Ok(found)
}

/// BTF of an `int` (type 1) and of an array of `size` bytes (type 3), as `bpf_task_storage` wants for key and value.
pub(super) fn storage(size: u32) -> Vec<u8> {
    let strings = b"\0int\0char\0";
    let mut types: Vec<u8> = Vec::new();
    let mut push = |words: &[u32]| types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    push(&[1, 1 << 24, 4, (1 << 24) | 32]); // 1: INT "int", 4 bytes, signed, 32 bits
    push(&[5, 1 << 24, 1, 8]); // 2: INT "char", 1 byte, 8 bits
    push(&[0, 3 << 24, 0, 2, 1, size]); // 3: ARRAY of 2, index 1
    let types_length = u32::try_from(types.len()).unwrap_or(0);
    let mut btf = Vec::new();
    btf.extend_from_slice(&0xeb9fu16.to_le_bytes());
    btf.extend_from_slice(&[1, 0]);
    for value in [24, 0, types_length, types_length, u32::try_from(strings.len()).unwrap_or(0)] {
        btf.extend_from_slice(&value.to_le_bytes());
    }
    btf.extend_from_slice(&types);
    btf.extend_from_slice(strings);
    btf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_anywhere_it_is_an_error_and_never_a_panic() {
        let whole = storage(64);
        let wanted = Wanted { functions: vec!["absent"], members: vec![("int", "x")], ..Wanted::default() };
        assert!(search(&whole, &wanted).is_ok());
        for length in 0..whole.len() - 1 {
            assert!(search(&whole[..length], &wanted).is_err(), "cut to {length} bytes");
        }
    }
}
