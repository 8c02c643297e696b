//! Owns the file that the debug info of a module was stripped into, and the names that a stripped module carries along
//! packed (`.gnu_debugdata`). Says which file will do; where one may lie others know.

use std::io::Read as _;
use std::sync::Arc;

use super::dwarf::{self, ElfFile};
use super::elf::{Elf, Kind, u32_at};
use super::facts::DebugError;
use super::limits::{self, over};
use super::sections;
use crate::world::{Companions, Looked, ReadAt, Wanted};

/// What looking for the file came to.
#[derive(Default)]
pub(super) struct Stripped {
    /// The file, where there is one.
    pub(super) file: Option<ElfFile>,
    /// The places that came to nothing before.
    pub(super) looked: Vec<Looked>,
}

/// Looks for the file with the debug info of a module: it has the module's build id, or where one of them has none,
/// the checksum that the module's `.gnu_debuglink` says.
pub(super) fn find(module: &ElfFile, companions: Option<&dyn Companions>) -> Result<Stripped, DebugError> {
    let mut stripped = Stripped::default();
    let Some(companions) = companions else { return Ok(stripped) };
    let link = dwarf::link_of(module, ".gnu_debuglink")?;
    // Only a plain name is one: the link does not say where the file is.
    let link = link.filter(|link| !link.name.contains('/') && link.name != ".." && link.name != ".");
    let build_id = module.elf.build_id.as_ref();
    if link.is_none() && build_id.is_none() {
        return Ok(stripped);
    }
    let wanted = Wanted::DebugFile {
        build_id: build_id.map(|id| id.0.as_slice()),
        link: link.as_ref().map(|link| link.name.as_str()),
    };
    // Behind the name's NUL, at the next multiple of four.
    let crc = link.as_ref().and_then(|link| {
        let pad = (link.name.len() + 1).next_multiple_of(4) - (link.name.len() + 1);
        u32_at(&link.rest, pad).ok()
    });
    stripped.looked = companions.look(&wanted, &mut |companion| {
        let file = dwarf::open(companion)?;
        match (build_id, &file.elf.build_id, crc) {
            (Some(wanted), Some(_), _) => dwarf::same_build(&file, &wanted.0)?,
            (_, _, Some(wanted)) => same_checksum(&*file.bytes, wanted)?,
            (Some(wanted), None, None) => dwarf::same_build(&file, &wanted.0)?,
            (None, _, None) => return Err("nothing says that it belongs to the program".to_owned()),
        }
        if file.elf.machine != module.elf.machine {
            return Err("it is for another machine".to_owned());
        }
        let has = |name: &str| file.elf.section(name).is_some();
        if ![".debug_info", ".zdebug_info", ".symtab"].into_iter().any(has) {
            return Err("it has neither debug info nor symbols".to_owned());
        }
        stripped.file = Some(file);
        Ok(())
    });
    Ok(stripped)
}

fn same_checksum(bytes: &dyn ReadAt, wanted: u32) -> Result<(), String> {
    if bytes.size() > limits::MAX_CHECKSUM_BYTES {
        return Err(format!("it is too large to be checked ({} bytes)", bytes.size()));
    }
    let mut crc = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at < bytes.size() {
        let size = usize::try_from(bytes.size() - at).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..size).unwrap_or_default();
        bytes.read_at(at, part).map_err(|error| error.reason)?;
        crc.update(part);
        at += size as u64;
    }
    let own = crc.finalize();
    if own == wanted { Ok(()) } else { Err(format!("its checksum is {own:08x}, not {wanted:08x}")) }
}

/// The small ELF file with the names of functions that `.gnu_debugdata` holds; `None` where there is none.
pub(super) fn packed_names(module: &ElfFile) -> Result<Option<ElfFile>, DebugError> {
    if module.elf.section(".gnu_debugdata").is_none() {
        return Ok(None);
    }
    let xz = sections::load(&module.bytes, &module.elf, ".gnu_debugdata", limits::MAX_NAMES_PACKED)?;
    let bytes: Arc<dyn ReadAt> = Arc::new(unxz(&xz)?);
    let elf = Elf::read(&*bytes, Kind::Any)?;
    Ok(Some(ElfFile { bytes, elf, keep: None, path: module.path.clone() }))
}

/// Unpacks an xz file of one stream (<https://tukaani.org/xz/xz-file-format.txt>) whose blocks are LZMA2 and nothing
/// else. Checksums are not checked: what comes out is judged like any other file.
fn unxz(xz: &[u8]) -> Result<Vec<u8>, DebugError> {
    let damaged = |what: &str| DebugError::Malformed(format!("section .gnu_debugdata does not unpack: {what}"));
    let short = || damaged("it ends too early");
    if !xz.starts_with(b"\xfd7zXZ\0\0") {
        return Err(damaged("it is no xz file"));
    }
    // Stream header: magic (6), flags (2), CRC32. The second flag says how long each block's checksum is.
    let check = match xz.get(7).map(|flags| flags & 0xf) {
        Some(0) => 0,
        Some(kind) => 4usize << ((kind - 1) / 3),
        None => return Err(short()),
    };
    let mut at = 12;
    let mut all = Vec::new();
    loop {
        let size = usize::from(*xz.get(at).ok_or_else(short)?) * 4;
        if size == 0 {
            // The index: no block is left.
            return Ok(all);
        }
        let header = xz.get(at + 1..at + 4 + size).ok_or_else(short)?;
        let dictionary = dictionary(header).ok_or_else(|| damaged("a block of another kind than LZMA2"))?;
        if dictionary > limits::MAX_DICTIONARY {
            return Err(over("bytes of dictionary in .gnu_debugdata", limits::MAX_DICTIONARY));
        }
        let data = xz.get(at + 4 + size..).ok_or_else(short)?;
        let mut block = lzma_rust2::Lzma2Reader::new(data, dictionary, None);
        let left = limits::MAX_PACKED_NAMES - all.len() as u64;
        let read = (&mut block).take(left + 1).read_to_end(&mut all);
        read.map_err(|error| damaged(&error.to_string()))?;
        if all.len() as u64 > limits::MAX_PACKED_NAMES {
            return Err(over("bytes in .gnu_debugdata", limits::MAX_PACKED_NAMES));
        }
        let used = data.len() - block.into_inner().len();
        at = (at + 4 + size + used).next_multiple_of(4) + check;
    }
}

/// The size of the dictionary that a block's header (behind its first byte) says; `None` where it has other filters.
fn dictionary(header: &[u8]) -> Option<u32> {
    let flags = *header.first()?;
    let mut rest = header.get(1..)?;
    // Sizes that may be left out, each a variable-length number.
    for present in [flags & 0x40, flags & 0x80] {
        if present != 0 {
            let end = rest.iter().position(|byte| byte & 0x80 == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    // One filter: LZMA2, with one byte of properties.
    let &[0x21, 1, bits, ..] = rest else { return None };
    match (flags & 3, bits) {
        (0, 0..=39) => (2 | (u32::from(bits) & 1)).checked_shl(u32::from(bits) / 2 + 11),
        _ => None,
    }
}
