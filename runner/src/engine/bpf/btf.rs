//! Owns the kernel's BTF (/sys/kernel/btf/vmlinux, include/uapi/linux/btf.h): finds a few functions and members in one
//! pass over it, in pieces, and keeps nothing else. Also writes the few bytes of BTF that a task-storage map asks for.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Functions by name.
    pub(super) functions: Vec<&'static str>,
    /// Direct members of structures.
    pub(super) members: Vec<(&'static str, &'static str)>,
}

/// Bytes read at a time.
const PIECE: usize = 128 * 1024;
/// The longest type that is read whole: 8,192 members.
const LONGEST: usize = 12 + 8192 * 12;

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's BTF is malformed")
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = at.checked_add(4).and_then(|end| bytes.get(at..end)).ok_or_else(malformed)?;
    Ok(u32::from_le_bytes(four.try_into().map_err(|_| malformed())?))
}

/// Looks for names; those that are not there are not in the answer.
pub(super) fn find(path: &str, wanted: &Wanted) -> io::Result<Found> {
    let file = File::open(path)?;
    let mut header = [0; 24];
    file.read_exact_at(&mut header, 0)?;
    if word(&header, 0)? & 0xffff != 0xeb9f {
        return Err(malformed());
    }
    let start = u64::from(word(&header, 4)?);
    let (types, types_length) = (start + u64::from(word(&header, 8)?), u64::from(word(&header, 12)?));
    let (strings, strings_length) = (start + u64::from(word(&header, 16)?), u64::from(word(&header, 20)?));
    let names = find_names(&file, strings, strings_length, wanted)?;
    find_types(&file, types, types_length, wanted, &names)
}

/// Offsets of the names in the string section, in which each stands once.
fn find_names(file: &File, start: u64, length: u64, wanted: &Wanted) -> io::Result<HashMap<&'static str, u32>> {
    let mut all: Vec<&'static str> = wanted.functions.clone();
    all.extend(wanted.members.iter().flat_map(|(structure, member)| [*structure, *member]));
    all.sort_unstable();
    all.dedup();
    let longest = all.iter().map(|name| name.len()).max().unwrap_or(0) + 2;
    let finders: Vec<(&'static str, Vec<u8>)> =
        all.into_iter().map(|name| (name, [b"\0", name.as_bytes(), b"\0"].concat())).collect();
    let mut found = HashMap::new();
    let mut buffer = vec![0; PIECE + longest];
    let mut at = 0;
    while at < length && found.len() < finders.len() {
        let size = usize::try_from((length - at).min(buffer.len() as u64)).unwrap_or(0);
        let piece = buffer.get_mut(..size).ok_or_else(malformed)?;
        file.read_exact_at(piece, start + at)?;
        for (name, pattern) in &finders {
            if !found.contains_key(name)
                && let Some(position) = memchr::memmem::find(piece, pattern)
            {
                found.insert(*name, u32::try_from(at + position as u64 + 1).map_err(|_| malformed())?);
            }
        }
        at += PIECE as u64;
    }
    Ok(found)
}

/// Bytes behind the 12 of every type, by its kind.
fn extra(kind: u32, members: usize) -> io::Result<usize> {
    Ok(match kind {
        1 | 14 | 17 => 4,                                   // INT, VAR, DECL_TAG
        2 | 7..=12 | 16 | 18 => 0,                          // PTR, FWD, TYPEDEF, qualifiers, FUNC, FLOAT, TYPE_TAG
        3 => 12,                                            // ARRAY
        KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * members, // also DATASEC, ENUM64
        6 | 13 => 8 * members,                              // ENUM, FUNC_PROTO
        _ => return Err(malformed()),
    })
}

fn find_types(
    file: &File,
    start: u64,
    length: u64,
    wanted: &Wanted,
    names: &HashMap<&'static str, u32>,
) -> io::Result<Found> {
    let by_offset = |list: &[&'static str]| -> HashMap<u32, &'static str> {
        list.iter().filter_map(|name| Some((*names.get(name)?, *name))).collect()
    };
    let functions = by_offset(&wanted.functions);
    let structures: HashMap<u32, &'static str> =
        by_offset(&wanted.members.iter().map(|(structure, _)| *structure).collect::<Vec<_>>());
    let mut open = functions.len() + structures.len();
    let mut seen = HashSet::new();
    let mut found = Found::default();
    let mut buffer = vec![0; PIECE + LONGEST];
    // Position of the buffer in the section, and of the next type in the buffer.
    let (mut base, mut at, mut filled) = (0u64, 0usize, 0usize);
    let mut id = 0u32;
    while open > 0 && base + (at as u64) < length {
        if at + LONGEST > filled && base + (filled as u64) < length {
            base += at as u64;
            at = 0;
            filled = usize::try_from((length - base).min(buffer.len() as u64)).unwrap_or(0);
            file.read_exact_at(buffer.get_mut(..filled).ok_or_else(malformed)?, start + base)?;
        }
        let rest = buffer.get(at..filled).ok_or_else(malformed)?;
        id += 1;
        let (name, info) = (word(rest, 0)?, word(rest, 4)?);
        let (kind, members) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        let size = 12 + extra(kind, members)?;
        if kind == KIND_FUNC {
            if let Some(function) = functions.get(&name) {
                if found.functions.insert(*function, id).is_none() {
                    open -= 1;
                }
            }
        } else if kind == KIND_STRUCT
            && let Some(structure) = structures.get(&name)
        {
            let bit_fields = info >> 31 != 0;
            for (_, member) in wanted.members.iter().filter(|(of, _)| of == structure) {
                let member_name = names.get(member);
                for index in 0..members {
                    let entry = 12 + index * 12;
                    if Some(&word(rest, entry)?) == member_name {
                        let bits = word(rest, entry + 8)?;
                        let bits = if bit_fields { bits & 0xff_ffff } else { bits };
                        found.members.entry((*structure, *member)).or_insert(bits / 8);
                    }
                }
            }
            if seen.insert(*structure) {
                open -= 1;
            }
        }
        at += size;
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
