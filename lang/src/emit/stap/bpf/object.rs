//! Owns reading what `stap --bpf` made: which places the object probes, and which map the script's cells lie in. What it
//! would attach to is compared with what was meant before it is loaded. Never trusts a length.

/// What an object file holds that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Path and file offset of every place that it probes, in the order of its sections.
    pub places: Vec<(String, u64)>,
    /// Its maps: type, bytes of a key, bytes of a value, entries.
    pub maps: Vec<[u32; 4]>,
}

/// Section names begin so; behind it follow the offset, in decimal digits, and the path. `p`: not at returns; 0: of every
/// process.
const PLACE: &str = "uprobe/p/0/";
/// Bytes of one map in the section `maps`: the four numbers of [`Object::maps`], and flags.
const MAP: usize = 20;

impl Object {
    /// Reads an object file (ELF, 64 bits, little-endian); `None` where it is not one.
    pub fn parse(bytes: &[u8]) -> Option<Object> {
        let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let long = |at: usize| {
            let number = u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?);
            usize::try_from(number).ok()
        };
        if bytes.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        // Elf64_Ehdr: e_shoff, e_shentsize, e_shnum, e_shstrndx; Elf64_Shdr: sh_name, sh_offset, sh_size.
        let (table, size, count, names) = (long(0x28)?, usize::from(half(0x3a)?), half(0x3c)?, half(0x3e)?);
        let header = |index: u16| table.checked_add(size.checked_mul(usize::from(index))?);
        let strings = long(header(names)?.checked_add(0x18)?)?;
        let mut object = Object::default();
        for index in 0..count {
            let header = header(index)?;
            let from = strings.checked_add(usize::try_from(word(header)?).ok()?)?;
            let name = bytes.get(from..)?.split(|byte| *byte == 0).next()?;
            let name = String::from_utf8_lossy(name);
            if let Some(rest) = name.strip_prefix(PLACE) {
                let (digits, path) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
                object.places.push((path.to_owned(), digits.parse().ok()?));
            }
            if name == "maps" {
                let (offset, size) = (long(header.checked_add(0x18)?)?, long(header.checked_add(0x20)?)?);
                let all = bytes.get(offset..offset.checked_add(size)?)?;
                object.maps = all
                    .chunks_exact(MAP)
                    .map(|map| {
                        let mut numbers = map.chunks_exact(4).map(|four| match four {
                            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
                            _ => 0,
                        });
                        [(); 4].map(|()| numbers.next().unwrap_or(0))
                    })
                    .collect();
            }
        }
        Some(object)
    }

    /// Whether its third map is an array of so many numbers: where the cells lie (the first two are stapbpf's own).
    pub fn has_cells(&self, cells: usize) -> bool {
        const ARRAY: u32 = 2;
        let cells = u32::try_from(cells).ok();
        matches!(self.maps.get(2), Some([ARRAY, 4, 8, entries]) if Some(*entries) == cells)
    }
}
