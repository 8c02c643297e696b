//! Owns what a file's code and data say of who uses its functions: the places that may name one, and the addresses that data
//! hold. Whether a place is an instruction is told by who asks.

use std::collections::HashSet;

use object::elf;

use super::elf::{Elf, Section, read_range, u64_at};
use super::limits;
use crate::world::ReadAt;

/// Bytes of code that are looked through at a time.
const CHUNK: usize = 1 << 20;
/// Sections in which compilers list functions that nobody need call by what is there (gcc's and clang's
/// `-fpatchable-function-entry`, gcc's `-mrecord-mcount`, clang's `-fsanitize-coverage=pc-table`): they are written when all
/// is optimised.
const LISTS: [&str; 3] = ["__patchable_function_entries", "__mcount_loc", "__sancov_pcs"];

/// What is known of all code of a file: who is called from where, and whose address is taken.
#[derive(Default)]
pub(super) struct Uses {
    /// Address of a function, and of the instruction that may name it; by the first.
    named: Vec<(u64, u64)>,
    /// Addresses that the file's data hold.
    pub(super) held: HashSet<u64>,
}

impl Uses {
    /// Looks through the code and the data of a file; a file with more than is kept has no uses.
    pub(super) fn read(bytes: &dyn ReadAt, elf: &Elf) -> Uses {
        let mut uses = Uses::default();
        let code = code_of(elf);
        let is_code = |address: u64| {
            let after = code.partition_point(|(low, _)| *low <= address);
            after.checked_sub(1).and_then(|at| code.get(at)).is_some_and(|(_, high)| address < *high)
        };
        // Sections of a hostile file may be as large as they like, and lie in each other.
        let mut left = limits::MAX_SEARCHED;
        let complete = code.iter().try_for_each(|part| {
            left = left.checked_sub(part.1 - part.0)?;
            uses.add_code(bytes, elf, *part, is_code)
        });
        if complete.is_none() || uses.add_data(bytes, elf, is_code, left).is_none() {
            return Uses::default();
        }
        uses.named.sort_unstable();
        uses
    }

    /// Adds what the instructions of a range may name: whether they are instructions is told when it matters.
    fn add_code(
        &mut self,
        bytes: &dyn ReadAt,
        elf: &Elf,
        (low, high): (u64, u64),
        is_code: impl Fn(u64) -> bool,
    ) -> Option<()> {
        let mut from = low;
        while from < high {
            // An instruction may lie across two chunks: the next begins a little before the end of this one.
            let size = (high - from).min(CHUNK as u64 + 8);
            let text = read_range(bytes, elf.file_offset(from)?, size)?.ok()?;
            for (at, window) in text.windows(7).enumerate().take(CHUNK) {
                let &[first, second, third, ..] = window else { continue };
                // call and jmp rel32; lea r64, [rip + rel32]; mov r32, imm32.
                let (into, relative) = match (first, second, third) {
                    (0xe8 | 0xe9, ..) => (1, true),
                    (0x48 | 0x4c, 0x8d, mode) if mode & 0xc7 == 0x05 => (3, true),
                    (0xb8..=0xbf, ..) if !elf.is_relocated() => (1, false),
                    _ => continue,
                };
                let number: Option<[u8; 4]> = window.get(into..into + 4).and_then(|bytes| bytes.try_into().ok());
                let number = u32::from_le_bytes(number?);
                let here = from.wrapping_add(at as u64);
                let target = match relative {
                    true => here.wrapping_add(into as u64 + 4).wrapping_add_signed(i64::from(number.cast_signed())),
                    false => u64::from(number),
                };
                if is_code(target) {
                    if self.named.len() >= limits::MAX_NAMED_CODE {
                        return None;
                    }
                    self.named.push((target, here));
                }
            }
            from = from.saturating_add(CHUNK as u64);
        }
        Some(())
    }

    /// Adds the addresses of code that data hold: relocations write them there, or in a program that is never moved the
    /// linker did. There are `left` bytes of them at most.
    fn add_data(&mut self, bytes: &dyn ReadAt, elf: &Elf, is_code: impl Fn(u64) -> bool, mut left: u64) -> Option<()> {
        let packed = elf.sections.iter().any(|section| section.kind == elf::SHT_RELR.0);
        let lists = || elf.sections.iter().filter(|section| LISTS.contains(&section.name.as_str()));
        let listed: Vec<(u64, u64)> =
            lists().map(|section| (section.address, section.address.saturating_add(section.size))).collect();
        let is_listed = |at: u64| listed.iter().take(LISTS.len()).any(|(low, high)| (*low..*high).contains(&at));
        let held = elf.sections.iter().filter(|section| section.flags & elf::SHF_ALLOC.0 != 0);
        for section in held.filter(|section| !LISTS.contains(&section.name.as_str())) {
            let code = section.flags & elf::SHF_EXECINSTR.0 != 0;
            let relocations = section.kind == elf::SHT_RELA.0;
            let words = section.kind == elf::SHT_PROGBITS.0 && !code && (packed || !elf.is_relocated());
            let arrays = section.kind == elf::SHT_INIT_ARRAY.0 || section.kind == elf::SHT_FINI_ARRAY.0;
            // Those of calls through the linkage table hold no addresses.
            let word = match (relocations, words || arrays) {
                (true, _) if section.size % 24 == 0 => 24,
                (_, true) if section.address % 8 == 0 => 8,
                _ => continue,
            };
            left = left.checked_sub(section.size)?;
            let mut done = 0;
            while done < section.size {
                let size = (section.size - done).min(24 << 15);
                let data = read_range(bytes, section.offset.checked_add(done)?, size)?.ok()?;
                for entry in data.chunks_exact(word) {
                    let address = match word {
                        24 if u64_at(entry, 8).ok()? & 0xffff_ffff == u64::from(elf::R_X86_64_RELATIVE.0) => {
                            if is_listed(u64_at(entry, 0).ok()?) {
                                continue;
                            }
                            u64_at(entry, 16).ok()?
                        }
                        24 => continue,
                        _ => u64_at(entry, 0).ok()?,
                    };
                    if is_code(address) {
                        if self.held.len() >= limits::MAX_NAMED_CODE {
                            return None;
                        }
                        self.held.insert(address);
                    }
                }
                done += size;
            }
        }
        Some(())
    }

    /// The places of code that may name an address.
    pub(super) fn of(&self, address: u64) -> impl Iterator<Item = u64> {
        let from = self.named.partition_point(|(target, _)| *target < address);
        let named = self.named.get(from..).unwrap_or_default().iter();
        named.take_while(move |(target, _)| *target == address).map(|(_, at)| *at)
    }
}

/// The addresses of a file's code, in order.
fn code_of(elf: &Elf) -> Vec<(u64, u64)> {
    let executable = |section: &&Section| {
        section.flags & elf::SHF_EXECINSTR.0 != 0 && section.kind == elf::SHT_PROGBITS.0 && section.name != ".plt"
    };
    let sections = elf.sections.iter().filter(executable);
    let mut all: Vec<(u64, u64)> =
        sections.map(|section| (section.address, section.address.saturating_add(section.size))).collect();
    all.sort_unstable();
    let mut code: Vec<(u64, u64)> = Vec::new();
    for (low, high) in all {
        match code.last_mut() {
            Some((_, end)) if low <= *end => *end = (*end).max(high),
            _ => code.push((low, high)),
        }
    }
    code
}
