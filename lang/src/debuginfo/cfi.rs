//! Owns call frame information: the rule for the canonical frame address (CFA) at an address, from `.eh_frame` or
//! `.debug_frame`.

use gimli::{BaseAddresses, CieOrFde, EhFrameOffset, LittleEndian, UnwindSection};

use super::dwarf::ElfFile;
use super::facts::DebugError;
use super::limits::{self, over};
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

/// The frame descriptions of a module.
pub(super) struct Frames {
    eh_frame: Vec<u8>,
    bases: BaseAddresses,
    debug_frame: Vec<u8>,
    /// Of `.eh_frame`: first address, address behind the last, offset of the description; by first address.
    index: Vec<(u64, u64, usize)>,
}

impl Frames {
    /// Reads both sections and lists the descriptions of `.eh_frame`.
    pub(super) fn read(module: &ElfFile, stripped: Option<&ElfFile>) -> Result<Frames, DebugError> {
        let (bytes, elf) = (&module.bytes, &module.elf);
        let has = |file: &&ElfFile| file.elf.section(".debug_frame").is_some();
        let full = Some(module).filter(has).or(stripped).unwrap_or(module);
        let address = |name: &str| elf.section(name).map_or(0, |section| section.address);
        let mut frames = Frames {
            eh_frame: sections::load(bytes, elf, ".eh_frame")?,
            bases: BaseAddresses::default()
                .set_eh_frame(address(".eh_frame"))
                .set_text(address(".text"))
                .set_got(address(".got")),
            debug_frame: sections::load(&full.bytes, &full.elf, ".debug_frame")?,
            index: Vec::new(),
        };
        frames.index = frames.list()?;
        Ok(frames)
    }

    pub(super) fn bases(&self) -> &BaseAddresses {
        &self.bases
    }

    pub(super) fn section(&self) -> gimli::EhFrame<Raw<'_>> {
        let mut section = gimli::EhFrame::new(&self.eh_frame, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn list(&self) -> Result<Vec<(u64, u64, usize)>, DebugError> {
        let section = self.section();
        let mut entries = section.entries(&self.bases);
        let mut index = Vec::new();
        // Where this list is damaged, what came before still holds.
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else { continue };
            let Ok(fde) = partial.parse(UnwindSection::cie_from_offset) else { continue };
            if index.len() >= limits::MAX_FRAMES {
                return Err(over("frame descriptions", limits::MAX_FRAMES));
            }
            let end = fde.initial_address().saturating_add(fde.len());
            index.push((fde.initial_address(), end, fde.offset()));
        }
        // Linkers leave them in order for the most part, which the stable sort makes use of.
        index.sort();
        Ok(index)
    }

    /// The range of addresses of the description in `.eh_frame` that covers an address: a function, or a part of one.
    pub(super) fn part(&self, address: u64) -> Option<(u64, u64)> {
        let after = self.index.partition_point(|(low, _, _)| *low <= address);
        let (low, high, _) = self.index.get(after.checked_sub(1)?).filter(|(_, high, _)| address < *high)?;
        Some((*low, *high))
    }

    /// The rule for the CFA at an address; `None` where none is known.
    pub(super) fn cfa(&self, address: u64) -> Option<Cfa> {
        self.in_eh_frame(address).or_else(|| self.in_debug_frame(address))
    }

    /// The description in `.eh_frame` that covers an address.
    pub(super) fn description(&self, address: u64) -> Option<gimli::FrameDescriptionEntry<Raw<'_>>> {
        let after = self.index.partition_point(|(low, _, _)| *low <= address);
        let (_, _, offset) = self.index.get(after.checked_sub(1)?).filter(|(_, high, _)| address < *high)?;
        self.section().fde_from_offset(&self.bases, EhFrameOffset(*offset), UnwindSection::cie_from_offset).ok()
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
