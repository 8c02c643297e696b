//! Owns the files that the DWARF of a module is in (its own or the one stripped off it, dwz's alternate one, split
//! ones) and where the units lie in them. Reads no DIE but the roots of units that say where the rest is.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use gimli::SectionId;

use super::elf::{Elf, c_string, u16_at, u32_at, u64_at};
use super::facts::DebugError;
use super::limits::{self, over};
use super::reader::{Section, Slice};
use super::sections::{self, Stored};
use super::sieve::Sieve;
use super::units::{Debug, DieId, IN_TYPES};
use crate::world::{Companion, Companions, Keep, Looked, ReadAt, Wanted};

/// Bits of a [`DieId`] that hold the offset in its section; those above, up to [`IN_TYPES`], number the file.
const OFFSET_BITS: u32 = 42;
/// Longest header of a unit: length 12, version 2, type 1, address size 1, abbreviations 8, signature 8, type 8.
const LONGEST_HEADER: u64 = 40;

/// The number of the file that a position is in.
pub(super) fn file_of(id: DieId) -> usize {
    usize::try_from((id & !IN_TYPES) >> OFFSET_BITS).unwrap_or(usize::MAX)
}

/// The offset of a position in its section.
pub(super) fn offset_of(id: DieId) -> u64 {
    id & ((1 << OFFSET_BITS) - 1)
}

/// The position of an offset in the same file and section as another position.
pub(super) fn beside(id: DieId, offset: u64) -> Option<DieId> {
    (offset >> OFFSET_BITS == 0).then_some((id & !((1 << OFFSET_BITS) - 1)) | offset)
}

/// The position of an offset in `.debug_info` of a file.
pub(super) fn in_file(file: usize, offset: u64) -> Option<DieId> {
    let file = u64::try_from(file).ok().filter(|file| *file < IN_TYPES >> OFFSET_BITS)?;
    (offset >> OFFSET_BITS == 0).then_some((file << OFFSET_BITS) | offset)
}

/// An ELF file that was opened.
pub(super) struct ElfFile {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) elf: Elf,
    pub(super) keep: Option<Arc<dyn Keep>>,
    /// Its path; empty for the module itself.
    pub(super) path: String,
}

/// What a file is to the DWARF of its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Holds the units of the program.
    Main,
    /// Holds what several files share (dwz).
    Alternate,
    /// Holds the rest of units whose skeletons are in the main file.
    Split,
    /// The same, for many units, with an index.
    Package,
}

/// Parts of a section, and the unit (its index) that each belongs to.
pub(super) type Parts = Vec<(Range<u64>, usize)>;

/// One of the files.
pub(super) struct DwarfFile {
    pub(super) role: Role,
    sections: Vec<(SectionId, Stored)>,
    /// What gdb and some linkers add.
    pub(super) gdb_index: Option<Stored>,
    /// Which unit a place in `.debug_str_offsets` belongs to.
    pub(super) strings_of_units: OnceLock<Result<Parts, DebugError>>,
    /// What is known of the names in `.debug_info` and in `.debug_types`.
    pub(super) sieves: [OnceLock<Option<Sieve>>; 2],
}

/// Where a split unit belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// The unit in the main file that stands for it; for a type unit of a package, any.
    pub(super) skeleton: DieId,
    /// In a package: the row of its index, and whether that of the type units.
    pub(super) row: Option<(u32, bool)>,
    /// Where its part of the section begins.
    pub(super) base: u64,
}

/// Where a unit lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitSpan {
    /// Position of its header.
    pub(super) start: DieId,
    /// Position after its last byte.
    pub(super) end: DieId,
    /// For a type unit: its signature and the position of its type.
    pub(super) signature: Option<(u64, DieId)>,
    /// For a split unit.
    pub(super) split: Option<Split>,
    /// For a skeleton that says so in its header (DWARF 5): the id of the rest.
    dwo: Option<u64>,
}

/// The DWARF of a module.
pub(super) struct Dwarf {
    pub(super) files: Vec<DwarfFile>,
    /// All units by position: `.debug_info` of each file, then `.debug_types` of each.
    pub(super) spans: Vec<UnitSpan>,
    /// Type units by signature.
    pub(super) signatures: HashMap<u64, DieId>,
    /// Which of the files is dwz's.
    pub(super) alternate: Option<usize>,
    /// How far below a thread's pointer the module's thread-local storage begins, where that is known.
    pub(super) thread_storage_below: Option<u64>,
    /// Split files that were not found.
    pub(super) missing: Missing,
    /// Whether functions may be made from others in another unit.
    pub(super) refers_across: OnceLock<Result<bool, DebugError>>,
}

/// Split files that were not found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// How many units lack theirs, of how many.
    pub(super) units: usize,
    pub(super) of: usize,
    /// Where the first of them was looked for.
    pub(super) looked: Vec<Looked>,
}

const SECTIONS: [SectionId; 18] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugStr,
    SectionId::DebugLineStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
    SectionId::DebugTypes,
    SectionId::DebugLine,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugAranges,
    SectionId::DebugNames,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
    SectionId::DebugCuIndex,
    SectionId::DebugTuIndex,
];

impl DwarfFile {
    fn open(file: &ElfFile, role: Role) -> Result<DwarfFile, DebugError> {
        let mut sections = Vec::new();
        for id in SECTIONS {
            let name = match role {
                Role::Main | Role::Alternate => Some(id.name()),
                Role::Split | Role::Package => id.dwo_name(),
            };
            let Some(name) = name else { continue };
            if let Some(stored) = Stored::of(&file.bytes, &file.elf, name, file.keep.as_ref())? {
                sections.push((id, stored));
            }
        }
        // An index is a help: what is wrong with it does not matter.
        let gdb_index = Stored::of(&file.bytes, &file.elf, ".gdb_index", file.keep.as_ref()).ok().flatten();
        let opened =
            DwarfFile { role, sections, gdb_index, strings_of_units: OnceLock::new(), sieves: Default::default() };
        // Unpacking these tells what is wrong with them in words.
        for id in [SectionId::DebugInfo, SectionId::DebugAbbrev, SectionId::DebugStr] {
            opened.stored(id).map_or(Ok(()), Stored::ready)?;
        }
        Ok(opened)
    }

    pub(super) fn stored(&self, id: SectionId) -> Option<&Stored> {
        self.sections.iter().find(|(own, _)| *own == id).map(|(_, stored)| stored)
    }
}

/// The sections of all files as they are read for one question.
pub(super) struct Pages<'m> {
    files: Vec<OnceCell<Vec<(SectionId, Section<'m>)>>>,
    pub(super) dwarf: &'m Dwarf,
    empty: Section<'m>,
}

impl<'m> Pages<'m> {
    pub(super) fn new(dwarf: &'m Dwarf) -> Pages<'m> {
        let mut files = Vec::new();
        files.resize_with(dwarf.files.len(), OnceCell::new);
        Pages { files, dwarf, empty: Section::new(None) }
    }

    /// A section of a file; empty where it has none.
    pub(super) fn section(&self, file: usize, id: SectionId) -> Slice<'_> {
        let sections = self.files.get(file).map(|sections| {
            sections.get_or_init(|| {
                let stored = self.dwarf.files.get(file).map_or(&[][..], |file| &file.sections);
                stored.iter().map(|(id, stored)| (*id, Section::new(Some(stored)))).collect()
            })
        });
        let own = sections.and_then(|sections| sections.iter().find(|(own, _)| *own == id));
        own.map_or(&self.empty, |(_, section)| section).slice()
    }
}

impl Dwarf {
    /// Opens the file that has the units of a module, and those that it refers to.
    pub(super) fn read(module: &Elf, main: &ElfFile, companions: Option<&dyn Companions>) -> Result<Dwarf, DebugError> {
        let mut dwarf = Dwarf {
            files: vec![DwarfFile::open(main, Role::Main)?],
            spans: Vec::new(),
            signatures: HashMap::new(),
            alternate: None,
            thread_storage_below: module.thread_storage_below(),
            missing: Missing::default(),
            refers_across: OnceLock::new(),
        };
        dwarf.list(0)?;
        if let Some(link) = link_of(main, ".gnu_debugaltlink")? {
            let file = alternate(main, &link, companions)?;
            dwarf.alternate = Some(dwarf.files.len());
            dwarf.files.push(DwarfFile::open(&file, Role::Alternate)?);
            dwarf.list(dwarf.files.len() - 1)?;
        }
        dwarf.split(main, companions)?;
        dwarf.spans.sort_by_key(|span| span.start);
        for span in &dwarf.spans {
            if let Some((signature, id)) = span.signature {
                dwarf.signatures.entry(signature).or_insert(id);
            }
        }
        Ok(dwarf)
    }

    /// Adds the units of a file.
    fn list(&mut self, file: usize) -> Result<(), DebugError> {
        let Some(opened) = self.files.get(file) else { return Ok(()) };
        for (id, mark) in [(SectionId::DebugInfo, 0), (SectionId::DebugTypes, IN_TYPES)] {
            if let Some(stored) = opened.stored(id) {
                let start = in_file(file, 0).ok_or_else(|| over("files", limits::MAX_SPLIT_FILES))? | mark;
                headers(stored, start, (0, stored.size()), None, &mut self.spans)?;
            }
        }
        Ok(())
    }

    /// Opens the files in which the rest of the units is that have only skeletons in the main file.
    fn split(&mut self, main: &ElfFile, companions: Option<&dyn Companions>) -> Result<(), DebugError> {
        // Before DWARF 5 only the root of a unit says that it is a skeleton; files without `.debug_addr` have none.
        let Some(first) = self.files.first() else { return Ok(()) };
        if first.stored(SectionId::DebugAddr).is_none() && !self.spans.iter().any(|span| span.dwo.is_some()) {
            return Ok(());
        }
        let skeletons = self.skeletons()?;
        if skeletons.is_empty() {
            return Ok(());
        }
        self.missing.of = skeletons.len();
        let mut known = HashMap::new();
        for skeleton in &skeletons {
            known.insert(skeleton.dwo, skeleton.id);
        }
        if let Some(package) = package(main, companions)? {
            let file = self.files.len();
            self.files.push(DwarfFile::open(&package, Role::Package)?);
            self.list_package(file, &mut known)?;
        }
        for skeleton in skeletons {
            if !known.contains_key(&skeleton.dwo) {
                continue;
            }
            if self.files.len() > limits::MAX_SPLIT_FILES {
                return Err(over("files of split DWARF", limits::MAX_SPLIT_FILES));
            }
            let number = self.files.len();
            let (found, looked) = split_file(&skeleton, companions);
            let Some(file) = found else {
                if self.missing.units == 0 {
                    self.missing.looked = looked;
                }
                self.missing.units += 1;
                continue;
            };
            let opened = DwarfFile::open(&file, Role::Split)?;
            let split = Split { skeleton: skeleton.id, row: None, base: 0 };
            for (id, mark) in [(SectionId::DebugInfo, 0), (SectionId::DebugTypes, IN_TYPES)] {
                if let (Some(stored), Some(start)) = (opened.stored(id), in_file(number, 0)) {
                    headers(stored, start | mark, (0, stored.size()), Some(split), &mut self.spans)?;
                }
            }
            self.files.push(opened);
        }
        Ok(())
    }

    /// The skeleton units of the main file.
    fn skeletons(&self) -> Result<Vec<Skeleton>, DebugError> {
        let pages = Pages::new(self);
        let debug = Debug::new(&pages);
        let mut found = Vec::new();
        for span in self.spans.iter().filter(|span| file_of(span.start) == 0 && span.start & IN_TYPES == 0) {
            let unit = debug.unit(span)?;
            let Some(dwo) = unit.unit.dwo_id else { continue };
            let Some(name) = unit.unit.dwo_name()?.and_then(|name| debug.text(&unit, name)) else { continue };
            let folder = unit.unit.comp_dir.and_then(|folder| folder.bytes().ok());
            let folder = String::from_utf8_lossy(&folder.unwrap_or_default()).into_owned();
            found.push(Skeleton { id: span.start, dwo: dwo.0, folder, name });
        }
        Ok(found)
    }

    /// Adds the units of a package, and takes those it has out of `known`.
    fn list_package(&mut self, file: usize, known: &mut HashMap<u64, DieId>) -> Result<(), DebugError> {
        let any = known.values().next().copied().unwrap_or_default();
        let mut spans = Vec::new();
        {
            let pages = Pages::new(self);
            let Some(opened) = self.files.get(file) else { return Ok(()) };
            let cu = gimli::DebugCuIndex::from(pages.section(file, SectionId::DebugCuIndex)).index()?;
            let tu = gimli::DebugTuIndex::from(pages.section(file, SectionId::DebugTuIndex)).index()?;
            let mut skeletons = HashMap::new();
            for (dwo, id) in known.iter() {
                if let Some(row) = cu.find(*dwo) {
                    skeletons.insert(row, (*dwo, *id));
                }
            }
            for (index, types) in [(&cu, false), (&tu, true)] {
                for row in 1..=index.unit_count() {
                    // What no skeleton of this program stands for belongs to another one.
                    let skeleton = match skeletons.get(&row).filter(|_| !types) {
                        Some((dwo, id)) => {
                            known.remove(dwo);
                            *id
                        }
                        None if types => any,
                        None => continue,
                    };
                    for part in index.sections(row)? {
                        let id = part.section.section_id();
                        let mark = match part.section {
                            gimli::IndexSectionId::DebugInfo => 0,
                            gimli::IndexSectionId::DebugTypes => IN_TYPES,
                            _ => continue,
                        };
                        let (Some(stored), Some(start)) = (opened.stored(id), in_file(file, 0)) else { continue };
                        let base = u64::from(part.offset);
                        let range = (base, base + u64::from(part.size));
                        if range.1 > stored.size() {
                            return Err(DebugError::Malformed("a row of a package's index leads out of it".to_owned()));
                        }
                        let split = Split { skeleton, row: Some((row, types)), base };
                        headers(stored, start | mark, range, Some(split), &mut spans)?;
                    }
                }
            }
        }
        self.spans.append(&mut spans);
        Ok(())
    }
}

/// A unit whose rest is elsewhere.
struct Skeleton {
    id: DieId,
    dwo: u64,
    folder: String,
    name: String,
}

/// Adds the units whose headers lie in a range of a section; `start` is the position of the section's first byte.
fn headers(
    stored: &Stored,
    start: DieId,
    range: (u64, u64),
    split: Option<Split>,
    spans: &mut Vec<UnitSpan>,
) -> Result<(), DebugError> {
    let (mut at, end) = range;
    while at < end {
        if spans.len() >= limits::MAX_UNITS {
            return Err(over("units", limits::MAX_UNITS));
        }
        let size = LONGEST_HEADER.min(end - at);
        let mut header = vec![0; usize::try_from(size).unwrap_or(0)];
        stored.read(at, &mut header)?;
        let span = span_at(&header, start, at, split)?;
        let next = offset_of(span.end);
        if next > end {
            return Err(DebugError::Malformed(format!("DWARF: the unit at {at:#x} leads out of its section")));
        }
        spans.push(span);
        at = next;
    }
    Ok(())
}

/// The units of a section by itself.
#[cfg(test)]
pub(super) fn units_of(stored: &Stored) -> Vec<UnitSpan> {
    let mut spans = Vec::new();
    headers(stored, 0, (0, stored.size()), None, &mut spans).expect("whole");
    spans
}

/// Reads a unit's header (DWARF 5, 7.5.1).
fn span_at(header: &[u8], start: DieId, at: u64, split: Option<Split>) -> Result<UnitSpan, DebugError> {
    let malformed = |what: &str| DebugError::Malformed(format!("DWARF: the unit at {at:#x} {what}"));
    let (length, word, mut next) = match u32_at(header, 0)? {
        u32::MAX => (u64_at(header, 4)?, 8, 12),
        length if length < 0xffff_fff0 => (u64::from(length), 4, 4),
        _ => return Err(malformed("has a reserved length")),
    };
    let end = at.checked_add(next as u64).and_then(|begin| begin.checked_add(length));
    let end = end.and_then(|end| beside(start, end)).ok_or_else(|| malformed("leads out of its section"))?;
    let start = beside(start, at).ok_or_else(|| malformed("lies too far"))?;
    let version = u16_at(header, next)?;
    next += 2;
    let kind = match version {
        2..=4 if start & IN_TYPES != 0 => gimli::DW_UT_type,
        2..=4 => gimli::DW_UT_compile,
        5 => {
            let kind = header.get(next).copied().ok_or_else(|| malformed("ends in its header"))?;
            next += 1;
            gimli::DwUt(kind)
        }
        other => return Err(malformed(&format!("is of version {other}"))),
    };
    // Abbreviations and address size, in the order of the version.
    next += word + 1;
    let (mut signature, mut dwo) = (None, None);
    match kind {
        gimli::DW_UT_type | gimli::DW_UT_split_type => {
            let own = u64_at(header, next)?;
            let offset = if word == 8 { u64_at(header, next + 8)? } else { u64::from(u32_at(header, next + 8)?) };
            let ty = at.checked_add(offset).and_then(|offset| beside(start, offset));
            signature = Some((own, ty.ok_or_else(|| malformed("has its type elsewhere"))?));
        }
        gimli::DW_UT_skeleton => dwo = Some(u64_at(header, next)?),
        _ => {}
    }
    Ok(UnitSpan { start, end, signature, split, dwo })
}

/// A `.gnu_debuglink` or `.gnu_debugaltlink`: a name, and what follows its NUL.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) rest: Vec<u8>,
}

/// Reads a link section; a damaged one is none.
pub(super) fn link_of(file: &ElfFile, section: &str) -> Result<Option<Link>, DebugError> {
    let small = |found: &super::elf::Section| found.size <= limits::MAX_LINK_BYTES;
    if !file.elf.section(section).is_some_and(small) {
        return Ok(None);
    }
    let bytes = sections::load(&file.bytes, &file.elf, section, limits::MAX_LINK_BYTES)?;
    let name = c_string(&bytes, 0).and_then(|name| std::str::from_utf8(name).ok());
    Ok(name
        .filter(|name| !name.is_empty())
        .map(|name| Link { name: name.to_owned(), rest: bytes.get(name.len() + 1..).unwrap_or_default().to_vec() }))
}

/// Opens a companion as the ELF file that it must be.
pub(super) fn open(companion: Companion) -> Result<ElfFile, String> {
    let elf = Elf::read(&*companion.bytes, super::elf::Kind::Any).map_err(|error| error.to_string())?;
    Ok(ElfFile { bytes: companion.bytes, elf, keep: companion.keep, path: companion.path })
}

fn hex(bytes: &[u8]) -> String {
    super::facts::BuildId(bytes.to_vec()).to_string()
}

/// Says that a file's build id is not the one wanted, if so.
pub(super) fn same_build(file: &ElfFile, wanted: &[u8]) -> Result<(), String> {
    match &file.elf.build_id {
        Some(own) if own.0 == wanted => Ok(()),
        Some(own) => Err(format!("its build id is {own}, not {}", hex(wanted))),
        None => Err(format!("it has no build id, {} is wanted", hex(wanted))),
    }
}

/// What was looked at, a line each.
pub(super) fn lines(looked: &[Looked]) -> String {
    let each = looked.iter().map(|looked| match &looked.refused {
        None => format!("\n  {} (nothing there)", looked.place),
        Some(why) => format!("\n  {} (refused: {why})", looked.place),
    });
    each.collect()
}

fn alternate(main: &ElfFile, link: &Link, companions: Option<&dyn Companions>) -> Result<ElfFile, DebugError> {
    let wanted = Wanted::Alternate { path: &link.name, of: &main.path, build_id: &link.rest };
    let mut found = None;
    let looked = companions.map(|companions| {
        companions.look(&wanted, &mut |companion| {
            let file = open(companion)?;
            same_build(&file, &link.rest)?;
            found = Some(file);
            Ok(())
        })
    });
    found.ok_or_else(|| {
        let looked = looked.unwrap_or_default();
        let places = if looked.is_empty() { String::new() } else { format!("; looked at:{}", lines(&looked)) };
        DebugError::Missing(format!(
            "its debug info goes on in {} (build id {}), which was not found{places}",
            link.name,
            hex(&link.rest)
        ))
    })
}

fn package(main: &ElfFile, companions: Option<&dyn Companions>) -> Result<Option<ElfFile>, DebugError> {
    let mut found = None;
    if let Some(companions) = companions {
        companions.look(&Wanted::Package { of: &main.path }, &mut |companion| {
            let file = open(companion)?;
            if file.elf.section(".debug_cu_index").is_none() {
                return Err("it has no index of units".to_owned());
            }
            found = Some(file);
            Ok(())
        });
    }
    Ok(found)
}

/// The file of one split unit, if it is the one that the skeleton means; otherwise where it was looked for.
fn split_file(skeleton: &Skeleton, companions: Option<&dyn Companions>) -> (Option<ElfFile>, Vec<Looked>) {
    let Some(companions) = companions else { return (None, Vec::new()) };
    let wanted = Wanted::Split { folder: &skeleton.folder, name: &skeleton.name };
    let mut found = None;
    let looked = companions.look(&wanted, &mut |companion| {
        let file = open(companion)?;
        let own = split_id(&file).map_err(|error| error.to_string())?;
        if own != Some(skeleton.dwo) {
            return Err("it is of another build of this unit".to_owned());
        }
        found = Some(file);
        Ok(())
    });
    (found, looked)
}

/// The id by which a skeleton names the compilation unit of a split file.
fn split_id(file: &ElfFile) -> Result<Option<u64>, DebugError> {
    let mut dwarf = Dwarf {
        files: vec![DwarfFile::open(file, Role::Split)?],
        spans: Vec::new(),
        signatures: HashMap::new(),
        alternate: None,
        thread_storage_below: None,
        missing: Missing::default(),
        refers_across: OnceLock::new(),
    };
    dwarf.list(0)?;
    let pages = Pages::new(&dwarf);
    let debug = Debug::new(&pages);
    match dwarf.spans.iter().find(|span| span.signature.is_none()) {
        Some(span) => Ok(debug.unit(span)?.unit.dwo_id.map(|id| id.0)),
        None => Ok(None),
    }
}
