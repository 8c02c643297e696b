//! Owns the ELF headers of a module: what kind of file it is, its sections and segments, its build id. Never reads a
//! section's contents, except notes.

use object::elf;

use super::facts::{BuildId, DebugError};
use super::limits::{self, over};
use crate::world::ReadAt;

/// A section header (`Elf64_Shdr`), its name resolved.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) kind: u32,
    pub(super) flags: u64,
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) link: u32,
}

/// A loadable segment (`PT_LOAD`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) executable: bool,
    pub(super) address: u64,
    pub(super) offset: u64,
    /// Bytes that come from the file; what follows them in memory is zeroes.
    pub(super) file_size: u64,
}

/// The thread-local storage of a program or library (`PT_TLS`).
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadStorage {
    address: u64,
    size: u64,
    align: u64,
}

/// The machine a file's code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    /// Read, not traced.
    AArch64,
}

/// Which kinds of files will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Programs and libraries, which processes execute.
    Executed,
    /// Object files too, which hold split debug info.
    Any,
}

/// The headers of one file.
#[derive(Debug)]
pub(super) struct Elf {
    pub(super) machine: Machine,
    pub(super) sections: Vec<Section>,
    pub(super) segments: Vec<Segment>,
    pub(super) build_id: Option<BuildId>,
    /// Its thread-local storage, and whether it is a program, which processes execute, and no library.
    thread_storage: Option<ThreadStorage>,
    is_program: bool,
    fixed: bool,
}

const HEADER: usize = 64;
const SECTION_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

impl Elf {
    /// Reads and checks the headers.
    pub(super) fn read(bytes: &dyn ReadAt, kind: Kind) -> Result<Elf, DebugError> {
        let mut header = [0; HEADER];
        let size = bytes.size();
        if size < HEADER as u64 {
            return Err(DebugError::NotElf(describe_start(bytes, size)));
        }
        bytes.read_at(0, &mut header)?;
        let machine = check_identity(&header, kind)?;

        let section_offset = u64_at(&header, 40)?;
        let mut section_count = u64::from(u16_at(&header, 60)?);
        let mut names_index = u32::from(u16_at(&header, 62)?);
        let mut segment_count = u64::from(u16_at(&header, 56)?);
        if section_offset != 0 {
            if u64::from(u16_at(&header, 58)?) != SECTION_HEADER {
                return Err(DebugError::Malformed("e_shentsize is not 64".to_owned()));
            }
            // Counts that do not fit are in section 0 (gABI, "Extended section header").
            let first = read_table(bytes, section_offset, 1, SECTION_HEADER, "section headers")?;
            if section_count == 0 {
                section_count = u64_at(&first, 32)?;
            }
            if names_index == u32::from(elf::SHN_XINDEX.0) {
                names_index = u32_at(&first, 40)?;
            }
            if segment_count == u64::from(elf::PN_XNUM) {
                segment_count = u64::from(u32_at(&first, 44)?);
            }
        } else {
            section_count = 0;
        }
        if section_count > limits::MAX_SECTIONS {
            return Err(over("sections", limits::MAX_SECTIONS));
        }
        if segment_count > limits::MAX_SEGMENTS {
            return Err(over("segments", limits::MAX_SEGMENTS));
        }
        let sections = read_sections(bytes, section_offset, section_count, names_index)?;
        let found = read_segments(bytes, u64_at(&header, 32)?, segment_count, u16_at(&header, 54)?)?;
        let build_id = find_build_id(bytes, &sections, &found.notes);
        let fixed = elf::FileType(u16_at(&header, 16)?) == elf::ET_EXEC;
        let is_program = fixed || found.dynamic.is_some_and(|(offset, size)| is_pie(bytes, offset, size));
        let Segments { segments, thread_storage, .. } = found;
        Ok(Elf { machine, sections, segments, build_id, thread_storage, is_program, fixed })
    }

    /// The section of that name which has contents in this file.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name && section.kind != elf::SHT_NOBITS.0)
    }

    /// Where a link-time address of code or data lies in the file; `None` where no segment has it.
    pub(super) fn data_offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let into = address.checked_sub(segment.address)?;
            (into < segment.file_size).then(|| segment.offset.checked_add(into)).flatten()
        })
    }

    /// Whether it may be loaded at any address, so that its data hold addresses of code only where relocations say so.
    pub(super) fn is_relocated(&self) -> bool {
        !self.fixed
    }

    /// How far below a thread's pointer its copy of the program's thread-local storage begins: the dynamic linker puts it
    /// first (ELF Handling For Thread-Local Storage, 3.4.6; glibc's `_dl_determine_tlsoffset`). Of a library only that
    /// knows where.
    pub(super) fn thread_storage_below(&self) -> Option<u64> {
        let ThreadStorage { address, size, align } = self.thread_storage?;
        let align = align.max(1);
        let told = self.is_program && self.machine == Machine::X86_64 && align.is_power_of_two();
        (told && address.is_multiple_of(align)).then(|| size.checked_next_multiple_of(align)).flatten()
    }

    /// Where a link-time address lies in the file; `None` outside executable, file-backed segments.
    pub(super) fn file_offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let into = address.checked_sub(segment.address)?;
            (into < segment.file_size).then(|| segment.offset.checked_add(into)).flatten()
        })
    }
}

fn describe_start(bytes: &dyn ReadAt, size: u64) -> String {
    let mut start = [0; 2];
    if size == 0 {
        "an empty file".to_owned()
    } else if size >= 2 && bytes.read_at(0, &mut start).is_ok() && start == *b"#!" {
        "a script".to_owned()
    } else {
        "too short".to_owned()
    }
}

fn check_identity(header: &[u8; HEADER], kind: Kind) -> Result<Machine, DebugError> {
    if header[..4] != elf::ELFMAG {
        let what = if header[..2] == *b"#!" { "a script" } else { "no ELF magic at its start" };
        return Err(DebugError::NotElf(what.to_owned()));
    }
    let machine = elf::Machine(u16_at(header, 18)?);
    if header[4] != elf::ELFCLASS64.0 {
        let what = if machine == elf::EM_386 { "32-bit x86" } else { "a 32-bit machine" };
        return Err(DebugError::WrongMachine(what.to_owned()));
    }
    if header[5] != elf::ELFDATA2LSB.0 {
        return Err(DebugError::WrongMachine("a big-endian machine".to_owned()));
    }
    let machine = match machine {
        elf::EM_X86_64 => Machine::X86_64,
        elf::EM_AARCH64 => Machine::AArch64,
        other => return Err(DebugError::WrongMachine(name_of(other))),
    };
    match elf::FileType(u16_at(header, 16)?) {
        elf::ET_EXEC | elf::ET_DYN => Ok(machine),
        elf::ET_REL if kind == Kind::Any => Ok(machine),
        elf::ET_REL => Err(DebugError::NotElf("a relocatable object file, which no process executes".to_owned())),
        elf::ET_CORE => Err(DebugError::NotElf("a core dump".to_owned())),
        other => Err(DebugError::NotElf(format!("an ELF file of type {}", other.0))),
    }
}

fn name_of(machine: elf::Machine) -> String {
    match machine {
        elf::EM_RISCV => "RISC-V".to_owned(),
        elf::EM_PPC64 => "PowerPC64".to_owned(),
        elf::EM_S390 => "s390x".to_owned(),
        elf::EM_BPF => "BPF".to_owned(),
        other => format!("machine {}", other.0),
    }
}

fn read_table(bytes: &dyn ReadAt, offset: u64, count: u64, each: u64, what: &str) -> Result<Vec<u8>, DebugError> {
    let malformed = || DebugError::Malformed(format!("the {what} lie outside the file"));
    let size = count.checked_mul(each).ok_or_else(malformed)?;
    read_range(bytes, offset, size).ok_or_else(malformed)?.map_err(DebugError::from)
}

/// Bytes of the file; `None` when the range lies outside it, so nothing is allocated for a lie.
pub(super) fn read_range(
    bytes: &dyn ReadAt,
    offset: u64,
    size: u64,
) -> Option<Result<Vec<u8>, crate::world::ReadError>> {
    if offset.checked_add(size)? > bytes.size() {
        return None;
    }
    let mut buffer = vec![0; usize::try_from(size).ok()?];
    Some(bytes.read_at(offset, &mut buffer).map(|()| buffer))
}

fn read_sections(bytes: &dyn ReadAt, offset: u64, count: u64, names_index: u32) -> Result<Vec<Section>, DebugError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let table = read_table(bytes, offset, count, SECTION_HEADER, "section headers")?;
    let mut sections = Vec::new();
    let mut name_offsets = Vec::new();
    for header in table.chunks_exact(SECTION_HEADER as usize) {
        name_offsets.push(u32_at(header, 0)?);
        sections.push(Section {
            name: String::new(),
            kind: u32_at(header, 4)?,
            flags: u64_at(header, 8)?,
            address: u64_at(header, 16)?,
            offset: u64_at(header, 24)?,
            size: u64_at(header, 32)?,
            link: u32_at(header, 40)?,
        });
    }
    let names = sections.get(names_index as usize).map(|section| (section.offset, section.size));
    let Some((start, size)) = names else { return Ok(sections) };
    if size > limits::MAX_SECTION_NAMES {
        return Err(over("bytes of section names", limits::MAX_SECTION_NAMES));
    }
    let Some(names) = read_range(bytes, start, size) else {
        return Err(DebugError::Malformed("the section names lie outside the file".to_owned()));
    };
    let names = names?;
    for (section, offset) in sections.iter_mut().zip(name_offsets) {
        let name = short_string(&names, offset as usize, limits::MAX_SECTION_NAME).unwrap_or_default();
        section.name = String::from_utf8_lossy(name).into_owned();
    }
    Ok(sections)
}

type Notes = Vec<(u64, u64)>;

/// What program headers say.
#[derive(Default)]
struct Segments {
    segments: Vec<Segment>,
    notes: Notes,
    dynamic: Option<(u64, u64)>,
    thread_storage: Option<ThreadStorage>,
}

/// Whether a dynamic section says that the file is a program that can be loaded anywhere (`DF_1_PIE`, since binutils
/// 2.26), and no library.
fn is_pie(bytes: &dyn ReadAt, offset: u64, size: u64) -> bool {
    const ENTRY: usize = 16;
    let table = read_range(bytes, offset, size.min(limits::MAX_DYNAMIC)).and_then(Result::ok).unwrap_or_default();
    let entries = table.chunks_exact(ENTRY).map(|entry| (u64_at(entry, 0).unwrap_or(0), u64_at(entry, 8).unwrap_or(0)));
    // `DT_NULL` ends it; `DT_FLAGS_1`.
    entries.take_while(|(tag, _)| *tag != 0).any(|(tag, value)| tag == 0x6fff_fffb && value & 0x0800_0000 != 0)
}

fn read_segments(bytes: &dyn ReadAt, offset: u64, count: u64, each: u16) -> Result<Segments, DebugError> {
    let mut found = Segments::default();
    if count == 0 {
        return Ok(found);
    }
    if u64::from(each) != PROGRAM_HEADER {
        return Err(DebugError::Malformed("e_phentsize is not 56".to_owned()));
    }
    let table = read_table(bytes, offset, count, PROGRAM_HEADER, "program headers")?;
    for header in table.chunks_exact(PROGRAM_HEADER as usize) {
        let flags = u32_at(header, 4)?;
        let (offset, address, file_size) = (u64_at(header, 8)?, u64_at(header, 16)?, u64_at(header, 32)?);
        match elf::ProgramType(u32_at(header, 0)?) {
            elf::PT_LOAD => {
                let executable = flags & elf::PF_X.0 != 0;
                found.segments.push(Segment { executable, address, offset, file_size });
            }
            elf::PT_NOTE => found.notes.push((offset, file_size)),
            elf::PT_DYNAMIC => found.dynamic = Some((offset, file_size)),
            elf::PT_TLS => {
                let (size, align) = (u64_at(header, 40)?, u64_at(header, 48)?);
                found.thread_storage = Some(ThreadStorage { address, size, align });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The build id from note segments, or where they were stripped of, from note sections. A damaged note is no build id.
fn find_build_id(bytes: &dyn ReadAt, sections: &[Section], notes: &Notes) -> Option<BuildId> {
    let from_sections =
        sections.iter().filter(|section| section.kind == elf::SHT_NOTE.0).map(|section| (section.offset, section.size));
    notes.iter().copied().chain(from_sections).take(limits::MAX_NOTES).find_map(|(offset, size)| {
        let notes = read_range(bytes, offset, size.min(limits::MAX_NOTE_BYTES))?.ok()?;
        build_id_in(&notes)
    })
}

fn build_id_in(mut notes: &[u8]) -> Option<BuildId> {
    loop {
        let name_size = u32_at(notes, 0).ok()? as usize;
        let desc_size = u32_at(notes, 4).ok()? as usize;
        let kind = u32_at(notes, 8).ok()?;
        let name = notes.get(12..12usize.checked_add(name_size)?)?;
        let desc_start = 12usize.checked_add(name_size.checked_next_multiple_of(4)?)?;
        let desc = notes.get(desc_start..desc_start.checked_add(desc_size)?)?;
        let wanted = kind == elf::NT_GNU_BUILD_ID.0 && name == b"GNU\0";
        if wanted && !desc.is_empty() && desc.len() <= limits::MAX_BUILD_ID {
            return Some(BuildId(desc.to_vec()));
        }
        notes = notes.get(desc_start.checked_add(desc_size.checked_next_multiple_of(4)?)?..)?;
    }
}

/// The bytes from `offset` up to the next NUL.
pub(super) fn c_string(table: &[u8], offset: usize) -> Option<&[u8]> {
    let rest = table.get(offset..)?;
    rest.get(..memchr::memchr(0, rest)?)
}

/// The same, where that is no more than `most` bytes away: many offsets may lead into one long text.
pub(super) fn short_string(table: &[u8], offset: usize, most: usize) -> Option<&[u8]> {
    let end = offset.checked_add(most)?.checked_add(1)?.min(table.len());
    c_string(table.get(..end)?, offset)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DebugError> {
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|field| field.try_into().ok())
        .ok_or_else(|| DebugError::Malformed("a header ends too early".to_owned()))
}

/// A little-endian 16-bit field.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, DebugError> {
    field(bytes, at).map(u16::from_le_bytes)
}

/// A little-endian 32-bit field.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, DebugError> {
    field(bytes, at).map(u32::from_le_bytes)
}

/// A little-endian 64-bit field.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, DebugError> {
    field(bytes, at).map(u64::from_le_bytes)
}
