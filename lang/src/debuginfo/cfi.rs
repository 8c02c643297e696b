//! Owns call frame information: the rule for the canonical frame address (CFA) at an address, from `.eh_frame` or
//! `.debug_frame`.

use std::sync::OnceLock;

use gimli::{BaseAddresses, CieOrFde, EhFrameOffset, LittleEndian, UnwindSection};

use super::dwarf::ElfFile;
use super::elf::u32_at;
use super::facts::DebugError;
use super::limits;
use super::sections;
use super::units::Raw;

/// How the CFA is found at one address.
#[derive(Clone, Debug)]
pub(super) enum Cfa {
    /// A register's value (DWARF number) plus bytes.
    Offset(u16, i64),
    /// The value of a DWARF expression.
    Expression(Vec<u8>),
}

/// A description of frames.
type Description<'f> = gimli::FrameDescriptionEntry<Raw<'f>>;

/// The frame descriptions of a module.
pub(super) struct Frames {
    eh_frame: Vec<u8>,
    bases: BaseAddresses,
    debug_frame: Vec<u8>,
    /// `.eh_frame_hdr`: where the description of an address is, as the unwinder finds it.
    header: Header,
    /// Of `.eh_frame`: first address, address behind the last, offset of the description; by first address.
    index: OnceLock<Vec<(u64, u64, usize)>>,
}

/// `.eh_frame_hdr` (LSB core 10.6.2) and its address.
struct Header {
    bytes: Vec<u8>,
    address: u64,
}

/// Its beginning where it is as linkers write it: version 1, the address of `.eh_frame` relative to itself in 4 bytes, a
/// count of 4 bytes, and a table of pairs of 4 bytes, relative to this section.
const USUAL: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
/// Bytes before that table.
const TABLE: usize = 12;

impl Header {
    /// The address of the last description that begins at an address or before it.
    fn description(&self, address: u64) -> Option<u64> {
        let count = u32_at(&self.bytes, 8).ok().filter(|_| self.bytes.starts_with(&USUAL))? as usize;
        let (pairs, _) = self.bytes.get(TABLE..)?.as_chunks::<8>();
        let pairs = pairs.get(..count)?;
        let relative = |pair: &[u8; 8], at: usize| {
            let offset = u32_at(pair, at).map_or(0, u32::cast_signed);
            self.address.wrapping_add_signed(i64::from(offset))
        };
        let after = pairs.partition_point(|pair| relative(pair, 0) <= address);
        Some(relative(pairs.get(after.checked_sub(1)?)?, 4))
    }
}

impl Frames {
    /// Reads the sections.
    pub(super) fn read(module: &ElfFile, stripped: Option<&ElfFile>) -> Result<Frames, DebugError> {
        let (bytes, elf) = (&module.bytes, &module.elf);
        let has = |file: &&ElfFile| file.elf.section(".debug_frame").is_some();
        let full = Some(module).filter(has).or(stripped).unwrap_or(module);
        let address = |name: &str| elf.section(name).map_or(0, |section| section.address);
        let most = limits::MAX_FRAME_BYTES;
        Ok(Frames {
            eh_frame: sections::load(bytes, elf, ".eh_frame", most)?,
            bases: BaseAddresses::default()
                .set_eh_frame(address(".eh_frame"))
                .set_text(address(".text"))
                .set_got(address(".got")),
            debug_frame: sections::load(&full.bytes, &full.elf, ".debug_frame", most)?,
            // A help: what is wrong with it does not matter.
            header: Header {
                bytes: sections::load(bytes, elf, ".eh_frame_hdr", most).unwrap_or_default(),
                address: address(".eh_frame_hdr"),
            },
            index: OnceLock::new(),
        })
    }

    pub(super) fn bases(&self) -> &BaseAddresses {
        &self.bases
    }

    pub(super) fn section(&self) -> gimli::EhFrame<Raw<'_>> {
        let mut section = gimli::EhFrame::new(&self.eh_frame, LittleEndian);
        section.set_address_size(8);
        section
    }

    /// The descriptions of `.eh_frame`, as many as are taken.
    fn list(&self) -> Vec<(u64, u64, usize)> {
        let section = self.section();
        let mut entries = section.entries(&self.bases);
        let mut index = Vec::new();
        // Where this list is damaged, what came before still holds.
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else { continue };
            let Ok(fde) = partial.parse(UnwindSection::cie_from_offset) else { continue };
            if index.len() >= limits::MAX_FRAMES {
                break;
            }
            let end = fde.initial_address().saturating_add(fde.len());
            index.push((fde.initial_address(), end, fde.offset()));
        }
        // Linkers leave them in order for the most part, which the stable sort makes use of.
        index.sort();
        index
    }

    /// The range of addresses of the description in `.eh_frame` that covers an address: a function, or a part of one.
    pub(super) fn part(&self, address: u64) -> Option<(u64, u64)> {
        let fde = self.description(address)?;
        Some((fde.initial_address(), fde.initial_address().saturating_add(fde.len())))
    }

    /// The rule for the CFA at an address; `None` where none is known.
    pub(super) fn cfa(&self, address: u64) -> Option<Cfa> {
        self.in_eh_frame(address).or_else(|| self.in_debug_frame(address))
    }

    /// The description in `.eh_frame` that covers an address.
    pub(super) fn description(&self, address: u64) -> Option<Description<'_>> {
        // The header is right only where what it leads to says so itself; where it does not, all are looked through.
        self.by_header(address).or_else(|| {
            let index = self.index.get_or_init(|| self.list());
            let after = index.partition_point(|(low, _, _)| *low <= address);
            let (_, _, offset) = index.get(after.checked_sub(1)?).filter(|(_, high, _)| address < *high)?;
            self.at(*offset)
        })
    }

    fn by_header(&self, address: u64) -> Option<Description<'_>> {
        let place = self.header.description(address)?.checked_sub(self.bases.eh_frame.section?)?;
        self.at(usize::try_from(place).ok()?).filter(|fde| fde.contains(address))
    }

    fn at(&self, offset: usize) -> Option<Description<'_>> {
        self.section().fde_from_offset(&self.bases, EhFrameOffset(offset), UnwindSection::cie_from_offset).ok()
    }

    /// The section `.debug_frame`.
    pub(super) fn debug_section(&self) -> gimli::DebugFrame<Raw<'_>> {
        let mut section = gimli::DebugFrame::new(&self.debug_frame, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn in_eh_frame(&self, address: u64) -> Option<Cfa> {
        let fde = self.description(address)?;
        let section = self.section();
        let mut context = gimli::UnwindContext::new();
        let row = fde.unwind_info_for_address(&section, &self.bases, &mut context, address).ok()?;
        rule(row.cfa(), &section)
    }

    fn in_debug_frame(&self, address: u64) -> Option<Cfa> {
        let section = self.debug_section();
        let mut context = gimli::UnwindContext::new();
        let row = section
            .unwind_info_for_address(&self.bases, &mut context, address, gimli::DebugFrame::cie_from_offset)
            .ok()?;
        rule(row.cfa(), &section)
    }
}

pub(super) fn rule<'a, S: UnwindSection<Raw<'a>>>(rule: &gimli::CfaRule<usize>, section: &S) -> Option<Cfa> {
    match rule {
        gimli::CfaRule::RegisterAndOffset { register, offset } => Some(Cfa::Offset(register.0, *offset)),
        gimli::CfaRule::Expression(expression) => {
            Some(Cfa::Expression(expression.get(section).ok()?.0.slice().to_vec()))
        }
    }
}
