//! Owns access to the DWARF of a module: its units, its DIEs by position, references between them, and attributes
//! that a DIE inherits through `DW_AT_abstract_origin` and `DW_AT_specification`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{DebugInfoOffset, DwAt, LittleEndian, UnitOffset, UnitType};

use super::facts::DebugError;
use super::limits::{self, over};

/// Bytes of a section.
pub(super) type Slice<'a> = gimli::EndianSlice<'a, LittleEndian>;
/// A debugging information entry.
pub(super) type Die<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
/// The value of an attribute.
pub(super) type Value<'a> = gimli::AttributeValue<Slice<'a>>;

/// Position of a DIE in the module: its offset in `.debug_info`, or with [`IN_TYPES`] set, in `.debug_types`.
pub(super) type DieId = u64;

/// Marks positions in `.debug_types` (DWARF 4 type units).
pub(super) const IN_TYPES: u64 = 1 << 63;

/// Where a unit lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitSpan {
    /// Position of its header.
    pub(super) start: DieId,
    /// Position after its last byte.
    pub(super) end: DieId,
    /// For a type unit: its signature and the position of its type.
    pub(super) signature: Option<(u64, DieId)>,
}

/// A parsed unit.
pub(super) struct Unit<'a> {
    pub(super) unit: gimli::Unit<Slice<'a>>,
    /// Position of its header: what unit-relative offsets are added to.
    pub(super) start: DieId,
}

impl Unit<'_> {
    /// The position of a unit-relative offset.
    pub(super) fn id(&self, offset: UnitOffset) -> DieId {
        self.start.wrapping_add(offset.0 as u64)
    }
}

/// The DWARF of a module, for the time of one question.
pub(super) struct Debug<'a> {
    pub(super) dwarf: gimli::Dwarf<Slice<'a>>,
    pub(super) spans: &'a [UnitSpan],
    cache: RefCell<HashMap<DieId, Rc<Unit<'a>>>>,
    dies: Cell<u64>,
}

impl From<gimli::Error> for DebugError {
    fn from(error: gimli::Error) -> DebugError {
        DebugError::Malformed(format!("DWARF: {error}"))
    }
}

/// Where all the units lie, in order.
pub(super) fn spans(dwarf: &gimli::Dwarf<Slice<'_>>) -> Result<Vec<UnitSpan>, DebugError> {
    let mut spans = Vec::new();
    let mut push = |header: gimli::UnitHeader<Slice<'_>>, mark: u64| {
        let start = header.offset().0 as u64 | mark;
        let end = start + header.length_including_self() as u64;
        let signature = match header.type_() {
            UnitType::Type { type_signature, type_offset } | UnitType::SplitType { type_signature, type_offset } => {
                Some((type_signature.0, start.wrapping_add(type_offset.0 as u64)))
            }
            UnitType::Compilation | UnitType::Partial | UnitType::Skeleton(_) | UnitType::SplitCompilation(_) => None,
        };
        if spans.len() >= limits::MAX_UNITS {
            return Err(over("units", limits::MAX_UNITS));
        }
        spans.push(UnitSpan { start, end, signature });
        Ok(())
    };
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        push(header, 0)?;
    }
    let mut units = dwarf.type_units();
    while let Some(header) = units.next()? {
        push(header, IN_TYPES)?;
    }
    Ok(spans)
}

impl<'a> Debug<'a> {
    pub(super) fn new(dwarf: gimli::Dwarf<Slice<'a>>, spans: &'a [UnitSpan]) -> Debug<'a> {
        Debug { dwarf, spans, cache: RefCell::default(), dies: Cell::new(0) }
    }

    /// Counts a DIE that was read.
    pub(super) fn count_die(&self) -> Result<(), DebugError> {
        self.dies.set(self.dies.get() + 1);
        if self.dies.get() > limits::MAX_DIES { Err(over("DIEs read", limits::MAX_DIES)) } else { Ok(()) }
    }

    /// The unit a position lies in.
    pub(super) fn span_of(&self, id: DieId) -> Option<&'a UnitSpan> {
        let after = self.spans.partition_point(|span| span.start <= id);
        self.spans.get(after.checked_sub(1)?).filter(|span| id < span.end)
    }

    /// Parses the unit at `span`, or returns it from the cache.
    pub(super) fn unit(&self, span: &UnitSpan) -> Result<Rc<Unit<'a>>, DebugError> {
        if let Some(unit) = self.cache.borrow().get(&span.start) {
            return Ok(Rc::clone(unit));
        }
        let header = if span.start & IN_TYPES == 0 {
            self.dwarf.unit_header(DebugInfoOffset(position(span.start)?))?
        } else {
            let wanted = position(span.start & !IN_TYPES)?;
            let mut units = self.dwarf.type_units();
            loop {
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
        let unit = Rc::new(Unit { unit: self.dwarf.unit(header)?, start: span.start });
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= limits::MAX_CACHED_UNITS {
            cache.clear();
        }
        cache.insert(span.start, Rc::clone(&unit));
        Ok(unit)
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
            Value::DebugInfoRef(offset) => offset.0 as u64,
            Value::DebugTypesRef(signature) => {
                let wanted = Some(signature.0);
                self.spans.iter().find(|span| span.signature.map(|(own, _)| own) == wanted)?.signature?.1
            }
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
        let text = self.dwarf.attr_string(&unit.unit, value).ok()?;
        Some(String::from_utf8_lossy(text.slice()).into_owned())
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
            if let Some(mut list) = self.dwarf.attr_ranges(&unit.unit, value)? {
                while let Some(range) = list.next()? {
                    if ranges.len() >= limits::MAX_RANGES {
                        return Err(over("ranges of a DIE", limits::MAX_RANGES));
                    }
                    ranges.push((range.begin, range.end));
                }
            }
        } else if let Some(low) = self.address(unit, die, gimli::DW_AT_low_pc)? {
            let high = match die.attr_value(gimli::DW_AT_high_pc) {
                Some(Value::Udata(size)) => low.checked_add(size),
                Some(value) => self.dwarf.attr_address(&unit.unit, value)?,
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
        Ok(self.dwarf.attr_address(&unit.unit, value)?)
    }
}

/// A position as an offset that gimli takes.
fn position(id: u64) -> Result<usize, DebugError> {
    usize::try_from(id).map_err(|_| DebugError::Malformed(format!("no position {id:#x}")))
}
