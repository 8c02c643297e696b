//! Owns access to the DWARF of a module: its units, its DIEs by position, references between them, and attributes
//! that a DIE inherits through `DW_AT_abstract_origin` and `DW_AT_specification`.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use gimli::{DebugInfoOffset, DwAt, LittleEndian, Section as _, SectionId, UnitOffset};

use super::abbreviations;
use super::calls::{self, Passed};
pub(super) use super::dwarf::UnitSpan;
use super::dwarf::{self, Dwarf, Pages, Role};
use super::facts::DebugError;
use super::indexed;
use super::limits::{self, over};
use super::lines::Table;
use super::parts;
use super::producer::{Changes, Producer};
pub(super) use super::reader::Slice;
use super::sieve::{self, Sieve};
use super::steps::Steps;
use crate::world::ReadAt;

/// Bytes in memory, to be read as gimli reads.
pub(super) type Raw<'r> = gimli::EndianSlice<'r, LittleEndian>;
/// A debugging information entry.
pub(super) type Die<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
/// The value of an attribute.
pub(super) type Value<'a> = gimli::AttributeValue<Slice<'a>>;

/// Position of a DIE in the module: which of its files, and the offset in `.debug_info` there, or with [`IN_TYPES`]
/// set, in `.debug_types`.
pub(super) type DieId = u64;

/// Marks positions in `.debug_types` (DWARF 4 type units).
pub(super) const IN_TYPES: u64 = 1 << 63;

/// A parsed unit.
pub(super) struct Unit<'a> {
    pub(super) unit: gimli::Unit<Slice<'a>>,
    /// The sections that its attributes refer to.
    pub(super) dwarf: Rc<gimli::Dwarf<Slice<'a>>>,
    /// Position of its header: what unit-relative offsets are added to.
    pub(super) start: DieId,
    /// Its line table, once that was read; `None` where it is too large to be kept.
    pub(super) lines: OnceCell<Option<Table>>,
    /// The file of its line table that was named last, with its path: that of the next function, most likely.
    pub(super) named_last: RefCell<Option<(u64, Arc<str>)>>,
    producer: OnceCell<(Producer, Changes)>,
    /// What the question costs.
    pub(super) steps: Rc<Steps>,
}

impl Unit<'_> {
    /// The position of a unit-relative offset.
    pub(super) fn id(&self, offset: UnitOffset) -> DieId {
        self.start.wrapping_add(offset.0 as u64)
    }
}

/// The DWARF of a module, for the time of one question.
pub(super) struct Debug<'a> {
    pages: &'a Pages<'a>,
    pub(super) files: &'a Dwarf,
    pub(super) spans: &'a [UnitSpan],
    cache: RefCell<HashMap<DieId, Rc<Unit<'a>>>>,
    /// The sections of each file.
    sections: RefCell<HashMap<usize, Rc<gimli::Dwarf<Slice<'a>>>>>,
    packages: RefCell<HashMap<usize, Rc<gimli::DwarfPackage<Slice<'a>>>>>,
    /// Tables of abbreviations, by file and offset.
    tables: RefCell<HashMap<(usize, usize), Arc<gimli::Abbreviations>>>,
    /// What the call sites say of the unit that was asked about last.
    passed: RefCell<Option<(DieId, Rc<Vec<Passed<'a>>>)>>,
    /// What the question costs.
    pub(super) steps: Rc<Steps>,
}

impl From<gimli::Error> for DebugError {
    fn from(error: gimli::Error) -> DebugError {
        match error {
            gimli::Error::Io => DebugError::Read("a section's bytes cannot be read or unpacked".to_owned()),
            other => DebugError::Malformed(format!("DWARF: {other}")),
        }
    }
}

impl<'a> Debug<'a> {
    pub(super) fn new(pages: &'a Pages<'a>) -> Debug<'a> {
        let bytes = pages.dwarf.spans.iter().map(|span| span.end.saturating_sub(span.start)).sum();
        Debug::counting(pages, Rc::new(Steps::of(bytes)))
    }

    fn counting(pages: &'a Pages<'a>, steps: Rc<Steps>) -> Debug<'a> {
        Debug {
            pages,
            files: pages.dwarf,
            spans: &pages.dwarf.spans,
            cache: RefCell::default(),
            sections: RefCell::default(),
            packages: RefCell::default(),
            tables: RefCell::default(),
            passed: RefCell::default(),
            steps,
        }
    }

    /// A section of a file.
    pub(super) fn section(&self, file: usize, id: SectionId) -> Slice<'a> {
        self.pages.section(file, id)
    }

    /// Answers part of the question by itself: what is read for it is forgotten afterwards.
    pub(super) fn apart<T>(&self, part: impl FnOnce(&Debug<'_>) -> T) -> T {
        let pages = Pages::new(self.files);
        part(&Debug::counting(&pages, Rc::clone(&self.steps)))
    }

    /// Answers the question in parts by number, several at the same time where who has the bytes can do that; all of them,
    /// in order. What is read for one is known to that one only, unless it is the only one.
    pub(super) fn in_parts<T: Send>(
        &self,
        bytes: &dyn ReadAt,
        parts: usize,
        part: impl Fn(&Debug<'_>, usize) -> Result<T, DebugError> + Sync,
    ) -> Result<Vec<T>, DebugError> {
        if parts == 1 {
            return Ok(vec![part(self, 0)?]);
        }
        let (files, before) = (self.files, self.steps.so_far());
        let at_once = |parts, part: &(dyn Fn(usize) + Sync)| {
            bytes.at_once(parts, part);
            Ok(())
        };
        let answers = parts::in_order(parts, at_once, |number| {
            let pages = Pages::new(files);
            let debug = Debug::counting(&pages, Rc::new(before.go_on()));
            let answer = part(&debug, number)?;
            Ok((answer, debug.steps.so_far()))
        })?;
        let taken = answers.iter().map(|(_, taken)| taken.since(&before));
        taken.for_each(|(steps, bytes)| self.steps.add(steps, bytes));
        Ok(answers.into_iter().map(|(answer, _)| answer).collect())
    }

    /// Who made a unit.
    pub(super) fn producer(&self, unit: &Unit<'a>) -> Producer {
        self.made(unit).0
    }

    /// What they may have changed of its functions' results.
    pub(super) fn changes(&self, unit: &Unit<'a>) -> Changes {
        self.made(unit).1
    }

    fn made(&self, unit: &Unit<'a>) -> (Producer, Changes) {
        *unit.producer.get_or_init(|| {
            let root = unit.unit.entry(unit.unit.header.root_offset()).ok();
            let name = root.and_then(|root| self.text(unit, root.attr_value(gimli::DW_AT_producer)?));
            let name = name.unwrap_or_default();
            (Producer::named(&name), Changes::named(&name))
        })
    }

    /// Counts a DIE that was read.
    pub(super) fn count_die(&self) -> Result<(), DebugError> {
        self.steps.count(1)
    }

    /// The unit a position lies in.
    pub(super) fn span_of(&self, id: DieId) -> Option<&'a UnitSpan> {
        let after = self.spans.partition_point(|span| span.start <= id);
        self.spans.get(after.checked_sub(1)?).filter(|span| id < span.end)
    }

    /// The sections of a file.
    fn sections(&self, file: usize) -> Result<Rc<gimli::Dwarf<Slice<'a>>>, DebugError> {
        if let Some(known) = self.sections.borrow().get(&file) {
            return Ok(Rc::clone(known));
        }
        let load = |id: SectionId| Ok::<_, gimli::Error>(self.pages.section(file, id));
        let mut sections = gimli::Dwarf::load(load)?;
        match self.files.files.get(file).map(|file| file.role) {
            Some(Role::Main) => {
                if let Some(alternate) = self.files.alternate {
                    let load = |id: SectionId| Ok::<_, gimli::Error>(self.pages.section(alternate, id));
                    #[expect(clippy::arc_with_non_send_sync, reason = "gimli asks for an Arc")]
                    let alternate = Arc::new(gimli::Dwarf::load(load)?);
                    sections.sup = Some(alternate);
                }
            }
            Some(Role::Split) if file != 0 => {
                let main = self.sections(0)?;
                sections.make_dwo(&main);
                // The line table is the skeleton's.
                sections.debug_line_str = main.debug_line_str;
            }
            Some(Role::Split | Role::Package) => sections.file_type = gimli::DwarfFileType::Dwo,
            Some(Role::Alternate) | None => {}
        }
        let sections = Rc::new(sections);
        self.sections.borrow_mut().insert(file, Rc::clone(&sections));
        Ok(sections)
    }

    /// The sections of one unit of a package.
    fn of_package(&self, file: usize, row: u32, types: bool) -> Result<Rc<gimli::Dwarf<Slice<'a>>>, DebugError> {
        let known = self.packages.borrow().get(&file).cloned();
        let package = match known {
            Some(package) => package,
            None => {
                let load = |id: SectionId| Ok::<_, gimli::Error>(self.pages.section(file, id));
                let package = Rc::new(gimli::DwarfPackage::load(load, Slice::EMPTY)?);
                self.packages.borrow_mut().insert(file, Rc::clone(&package));
                package
            }
        };
        let parent = self.sections(0)?;
        let mut sections =
            if types { package.tu_sections(row, &parent)? } else { package.cu_sections(row, &parent)? };
        sections.debug_line_str = parent.debug_line_str;
        Ok(Rc::new(sections))
    }

    /// The part of `.debug_str_offsets` of a row of a package.
    pub(super) fn row_strings(&self, file: usize, row: u32, types: bool) -> Result<Range<u64>, DebugError> {
        self.of_package(file, row, types)?;
        let package = self.packages.borrow().get(&file).cloned();
        let Some(package) = package else { return Ok(0..0) };
        let index = if types { &package.tu_index } else { &package.cu_index };
        let mut parts = index.sections(row)?;
        let part = parts.find(|part| part.section == gimli::IndexSectionId::DebugStrOffsets);
        Ok(part.map_or(0..0, |part| u64::from(part.offset)..u64::from(part.offset) + u64::from(part.size)))
    }

    /// The parts of a file's `.debug_str_offsets` by unit, found out once.
    pub(super) fn strings_of_units(&self, file: usize) -> Result<&'a [(Range<u64>, usize)], DebugError> {
        let Some(opened) = self.files.files.get(file) else { return Ok(&[]) };
        let parts = opened.strings_of_units.get_or_init(|| indexed::parts(self, file));
        parts.as_deref().map_err(Clone::clone)
    }

    /// What is known of the names in a section of units, found out once.
    pub(super) fn sieve(&self, file: usize, section: SectionId) -> Option<&'a Sieve> {
        let [info, types] = &self.files.files.get(file)?.sieves;
        let known = if section == SectionId::DebugTypes { types } else { info };
        known.get_or_init(|| sieve::of(self, file, section)).as_ref()
    }

    /// Whether functions may be made from others in another unit (link-time optimisation, dwz): found out once.
    pub(super) fn refers_across(&self) -> Result<bool, DebugError> {
        let known = self.files.refers_across.get_or_init(|| {
            for (number, file) in self.files.files.iter().enumerate() {
                if let Some(sieve) = self.sieve(number, SectionId::DebugInfo) {
                    if sieve.refers_across {
                        return Ok(true);
                    }
                    continue;
                }
                match file.role {
                    Role::Main | Role::Alternate => {
                        let abbreviations = file.stored(SectionId::DebugAbbrev);
                        if abbreviations.map_or(Ok(false), abbreviations::refer_across)? {
                            return Ok(true);
                        }
                    }
                    // A split unit refers to nothing outside of it.
                    Role::Split | Role::Package => {}
                }
            }
            Ok(false)
        });
        known.clone()
    }

    /// Parses the unit at `span`, or returns it from the cache.
    pub(super) fn unit(&self, span: &UnitSpan) -> Result<Rc<Unit<'a>>, DebugError> {
        if let Some(unit) = self.cache.borrow().get(&span.start) {
            return Ok(Rc::clone(unit));
        }
        let file = dwarf::file_of(span.start);
        let (sections, base) = match span.split {
            Some(split) => match split.row {
                Some((row, types)) => (self.of_package(file, row, types)?, split.base),
                None => (self.sections(file)?, 0),
            },
            None => (self.sections(file)?, 0),
        };
        let wanted = position(dwarf::offset_of(span.start).wrapping_sub(base))?;
        let header = if span.start & IN_TYPES == 0 {
            sections.unit_header(DebugInfoOffset(wanted))?
        } else {
            let mut units = sections.type_units();
            loop {
                self.steps.count(1)?;
                match units.next()? {
                    Some(header) if header.offset().0 == wanted => break header,
                    Some(_) => {}
                    None => return Err(DebugError::Malformed("a type unit has gone".to_owned())),
                }
            }
        };
        if header.address_size() != 8 {
            return Err(DebugError::Malformed(format!("a unit with {}-byte addresses", header.address_size())));
        }
        let abbreviations = self.abbreviations(&sections, &header, file, span)?;
        let mut unit = gimli::Unit::new_with_abbreviations(&sections, header, abbreviations)?;
        let texts = unit.name.iter().chain(&unit.comp_dir).map(|text| gimli::Reader::len(text) as u64).sum::<u64>();
        self.steps.count(texts / limits::TEXT_IN_A_STEP)?;
        if let Some(program) = &unit.line_program {
            let header = program.header();
            self.steps.count((header.file_names().len() + header.include_directories().len()) as u64)?;
        }
        if let Some(split) = span.split
            && let Some(skeleton) = self.span_of(split.skeleton).filter(|span| span.split.is_none())
        {
            let skeleton = self.unit(skeleton)?;
            unit.copy_relocated_attributes(&skeleton.unit);
            // The rest of a unit has no line table of its own; that of a type unit only names files.
            if span.signature.is_none() {
                unit.line_program = skeleton.unit.line_program.clone();
                unit.comp_dir = unit.comp_dir.or(skeleton.unit.comp_dir);
            }
        }
        let steps = Rc::clone(&self.steps);
        let unit = Rc::new(Unit {
            unit,
            dwarf: sections,
            start: span.start,
            lines: OnceCell::new(),
            named_last: RefCell::default(),
            producer: OnceCell::new(),
            steps,
        });
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= limits::MAX_CACHED_UNITS {
            cache.clear();
        }
        cache.insert(span.start, Rc::clone(&unit));
        Ok(unit)
    }

    /// The abbreviations of a unit. Tables may lie in each other, so each that is read is counted as what it has.
    fn abbreviations(
        &self,
        sections: &gimli::Dwarf<Slice<'a>>,
        header: &gimli::UnitHeader<Slice<'a>>,
        file: usize,
        span: &UnitSpan,
    ) -> Result<Arc<gimli::Abbreviations>, DebugError> {
        let offset = header.debug_abbrev_offset();
        // In a package offsets are those of a part of the section.
        let key = (file, offset.0);
        let is_part = span.split.is_some_and(|split| split.row.is_some());
        if let Some(known) = self.tables.borrow().get(&key).filter(|_| !is_part) {
            return Ok(Arc::clone(known));
        }
        self.steps.count(abbreviations::entries(sections.debug_abbrev.reader(), offset.0))?;
        let read = Arc::new(sections.debug_abbrev.abbreviations(offset)?);
        if !is_part {
            let mut tables = self.tables.borrow_mut();
            if tables.len() >= limits::MAX_CACHED_UNITS {
                tables.clear();
            }
            tables.insert(key, Arc::clone(&read));
        }
        Ok(read)
    }

    /// What the call sites of a unit say of the parameters that they pass.
    pub(super) fn passed(&self, unit: &Unit<'a>) -> Result<Rc<Vec<Passed<'a>>>, DebugError> {
        if let Some((start, known)) = &*self.passed.borrow()
            && *start == unit.start
        {
            return Ok(Rc::clone(known));
        }
        let passed = Rc::new(calls::passed(self, unit)?);
        *self.passed.borrow_mut() = Some((unit.start, Rc::clone(&passed)));
        Ok(passed)
    }

    /// Reads the DIE at a position.
    pub(super) fn die(&self, id: DieId) -> Result<(Rc<Unit<'a>>, Die<'a>), DebugError> {
        self.count_die()?;
        let nowhere = || DebugError::Malformed(format!("no DIE at {id:#x}"));
        let span = self.span_of(id).ok_or_else(nowhere)?;
        let unit = self.unit(span)?;
        let die = unit.unit.entry(UnitOffset(position(id - span.start)?))?;
        Ok((unit, die))
    }

    /// The position an attribute's value refers to; `None` where it is no reference, or leads out of this file.
    pub(super) fn reference(&self, unit: &Unit<'a>, value: Value<'a>) -> Option<DieId> {
        let id = match value {
            Value::UnitRef(offset) => unit.id(offset),
            Value::DebugInfoRef(offset) => dwarf::in_file(dwarf::file_of(unit.start), offset.0 as u64)?,
            Value::DebugInfoRefSup(offset) => dwarf::in_file(self.files.alternate?, offset.0 as u64)?,
            Value::DebugTypesRef(signature) => *self.files.signatures.get(&signature.0)?,
            _ => return None,
        };
        self.span_of(id).map(|_| id)
    }

    /// What a DIE was made from: its abstract origin, or the declaration it completes.
    pub(super) fn origin(&self, unit: &Unit<'a>, die: &Die<'a>) -> Option<DieId> {
        [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification]
            .into_iter()
            .find_map(|at| self.reference(unit, die.attr_value(at)?))
    }

    /// The DIE at the end of the chain of origins.
    pub(super) fn root(&self, id: DieId) -> Result<DieId, DebugError> {
        let mut id = id;
        for _ in 0..limits::MAX_ORIGINS {
            let (unit, die) = self.die(id)?;
            match self.origin(&unit, &die) {
                Some(next) => id = next,
                None => return Ok(id),
            }
        }
        Err(over("origins in a chain", limits::MAX_ORIGINS))
    }

    /// An attribute of a DIE or of what it was made from, with the unit it was found in.
    pub(super) fn inherited(
        &self,
        unit: &Rc<Unit<'a>>,
        die: &Die<'a>,
        at: DwAt,
    ) -> Result<Option<(Rc<Unit<'a>>, Value<'a>)>, DebugError> {
        if let Some(value) = die.attr_value(at) {
            return Ok(Some((Rc::clone(unit), value)));
        }
        let mut next = self.origin(unit, die);
        for _ in 0..limits::MAX_ORIGINS {
            let Some(id) = next else { return Ok(None) };
            let (unit, die) = self.die(id)?;
            if let Some(value) = die.attr_value(at) {
                return Ok(Some((unit, value)));
            }
            next = self.origin(&unit, &die);
        }
        Err(over("origins in a chain", limits::MAX_ORIGINS))
    }

    /// A string attribute's text; `None` where it is not in this file.
    pub(super) fn text(&self, unit: &Unit<'a>, value: Value<'a>) -> Option<String> {
        let text = unit.dwarf.attr_string(&unit.unit, value).and_then(|text| text.bytes());
        // Names from everywhere may be one and the same text. One that does not end was looked at all the same.
        let size = text.as_ref().map_or(limits::MAX_TEXT, |text| text.len());
        self.steps.count(size as u64 / limits::TEXT_IN_A_STEP).ok()?;
        Some(String::from_utf8_lossy(&text.ok()?).into_owned())
    }

    /// An inherited string attribute.
    pub(super) fn inherited_text(
        &self,
        unit: &Rc<Unit<'a>>,
        die: &Die<'a>,
        at: DwAt,
    ) -> Result<Option<String>, DebugError> {
        Ok(self.inherited(unit, die, at)?.and_then(|(unit, value)| self.text(&unit, value)))
    }

    /// The type of a DIE.
    pub(super) fn type_of(&self, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Result<Option<DieId>, DebugError> {
        let value = self.inherited(unit, die, gimli::DW_AT_type)?;
        Ok(value.and_then(|(unit, value)| self.reference(&unit, value)))
    }

    /// The half-open address ranges of a DIE's code, in the order of the file, empty ones left out.
    pub(super) fn ranges(&self, unit: &Unit<'a>, die: &Die<'a>) -> Result<Vec<(u64, u64)>, DebugError> {
        let mut ranges = Vec::new();
        if let Some(value) = die.attr_value(gimli::DW_AT_ranges) {
            if let Some(mut list) = unit.dwarf.attr_ranges(&unit.unit, value)? {
                while let Some(range) = list.next()? {
                    if ranges.len() >= limits::MAX_RANGES {
                        return Err(over("ranges of a DIE", limits::MAX_RANGES));
                    }
                    self.steps.count(1)?;
                    ranges.push((range.begin, range.end));
                }
            }
        } else if let Some(low) = self.address(unit, die, gimli::DW_AT_low_pc)? {
            let high = match die.attr_value(gimli::DW_AT_high_pc) {
                Some(Value::Udata(size)) => low.checked_add(size),
                Some(value) => unit.dwarf.attr_address(&unit.unit, value)?,
                None => low.checked_add(1),
            };
            ranges.extend(high.map(|high| (low, high)));
        }
        ranges.retain(|(low, high)| low < high);
        Ok(ranges)
    }

    /// An address attribute (`DW_AT_low_pc`, `DW_AT_entry_pc`); an offset is from the DIE's or unit's base address.
    pub(super) fn address(&self, unit: &Unit<'a>, die: &Die<'a>, at: DwAt) -> Result<Option<u64>, DebugError> {
        let Some(value) = die.attr_value(at) else { return Ok(None) };
        if at == gimli::DW_AT_entry_pc
            && let Some(offset) = value.udata_value()
        {
            // DWARF 5, 2.18: a constant is an offset from the base address of the DIE's own ranges.
            let low = self.ranges(unit, die)?.first().map(|(low, _)| *low);
            return Ok(low.and_then(|low| low.checked_add(offset)));
        }
        Ok(unit.dwarf.attr_address(&unit.unit, value)?)
    }
}

/// A position as an offset that gimli takes.
fn position(id: u64) -> Result<usize, DebugError> {
    usize::try_from(id).map_err(|_| DebugError::Malformed(format!("no position {id:#x}")))
}
