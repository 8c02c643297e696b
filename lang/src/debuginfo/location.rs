//! Owns where a variable is at one address: picks the expression of a location list that covers it, reads constants,
//! and knows the frame (frame base, CFA) against which expressions count.

use std::rc::Rc;

use super::cfi::Cfa;
use super::expression::{self, Place, Refusal};
use super::facts::{Compute, Location, Unavailable};
use super::limits;
use super::units::{Debug, Die, DieId, Slice, Unit, Value};

/// Finds the rule for the CFA at an address.
pub(super) type CfaAt<'e> = &'e dyn Fn(u64) -> Option<Cfa>;

/// The frame of the out-of-line function whose code runs at an address; that of its inlined instances too.
pub(super) struct Frame<'e, 'a> {
    pub(super) debug: &'e Debug<'a>,
    pub(super) cfa_at: CfaAt<'e>,
    /// The unit of the out-of-line function.
    pub(super) unit: Rc<Unit<'a>>,
    /// Its `DW_AT_frame_base`.
    pub(super) frame_base: Option<Value<'a>>,
    /// Where execution is.
    pub(super) address: u64,
    /// Whether that is the function's very first instruction, so that registers hold what they held on entry.
    pub(super) at_entry: bool,
}

impl<'a> Frame<'_, 'a> {
    /// The rule for the CFA.
    pub(super) fn cfi(&self) -> Result<Cfa, Refusal> {
        let none = || Unavailable::Unsupported("no call frame information covers this address".to_owned());
        (self.cfa_at)(self.address).ok_or_else(none)
    }

    /// The frame base.
    pub(super) fn base(&self, depth: u32) -> Result<Compute, Refusal> {
        let none = || Unavailable::Unsupported("the function has no frame base at this address".to_owned());
        let value = self.frame_base.ok_or_else(none)?;
        let place = Place { debug: self.debug, unit: &self.unit, frame: self, depth: depth + 1 };
        let expression = match select(&place, value) {
            Selected::Expression(expression) => expression,
            Selected::Nothing(_) => return Err(none()),
            Selected::Damaged(reason) => return Err(Unavailable::Unsupported(reason)),
        };
        expression::value(&place, expression)
    }

    /// Where the variable of a DIE is.
    pub(super) fn variable(&self, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Location {
        of_variable(&Place { debug: self.debug, unit, frame: self, depth: 0 }, unit, die)
    }
}

/// Whether the location list of a variable's DIE has an entry that begins at `address`: the variable gets a value there.
pub(super) fn begins_at<'a>(unit: &Unit<'a>, die: &Die<'a>, address: u64) -> bool {
    let value = die.attr_value(gimli::DW_AT_location);
    let list = value.and_then(|value| unit.dwarf.attr_locations(&unit.unit, value).ok().flatten());
    let entries = list.into_iter().flatten().map_while(Result::ok).take(limits::MAX_LOCATIONS);
    // Many variables may name one list.
    let entries = entries.take_while(|_| unit.steps.count(1).is_ok());
    let mut begins = entries.filter(|entry| !entry.data.0.has_none()).map(|entry| entry.range.begin);
    begins.any(|begin| begin == address)
}

/// What covers an address.
enum Selected<'a> {
    Expression(Slice<'a>),
    /// Nothing does; these ranges have a location.
    Nothing(Vec<(u64, u64)>),
    Damaged(String),
}

fn select<'a>(place: &Place<'_, 'a>, value: Value<'a>) -> Selected<'a> {
    if let Value::Exprloc(expression) = value {
        return if expression.0.has_none() {
            Selected::Nothing(Vec::new())
        } else {
            Selected::Expression(expression.0)
        };
    }
    match from_list(place, value) {
        Ok(selected) => selected,
        Err(error) => Selected::Damaged(format!("a malformed location list ({error})")),
    }
}

fn from_list<'a>(place: &Place<'_, 'a>, value: Value<'a>) -> gimli::Result<Selected<'a>> {
    let Some(mut list) = place.unit.dwarf.attr_locations(&place.unit.unit, value)? else {
        return Ok(Selected::Damaged("a location of an unknown form".to_owned()));
    };
    let address = place.frame.address;
    let mut ranges = Vec::new();
    let mut otherwise = None;
    let mut read = 0;
    while let Some(entry) = list.next()? {
        read += 1;
        if read > limits::MAX_LOCATIONS {
            return Ok(Selected::Damaged(format!("a location list of more than {} entries", limits::MAX_LOCATIONS)));
        }
        if let Err(error) = place.unit.steps.count(1) {
            return Ok(Selected::Damaged(error.to_string()));
        }
        let empty = entry.data.0.has_none();
        let (begin, end) = (entry.range.begin, entry.range.end);
        // `DW_LLE_default_location` holds where no other entry does.
        if (begin, end) == (0, u64::MAX) {
            otherwise = (!empty).then_some(entry.data.0);
            continue;
        }
        // Half-open: an entry that begins at the address covers it, one that ends there does not.
        if (begin..end).contains(&address) && !empty {
            return Ok(Selected::Expression(entry.data.0));
        }
        if !empty {
            match ranges.last_mut() {
                Some((_, last)) if *last == begin => *last = end,
                _ => match place.unit.steps.hold(size_of::<(u64, u64)>()) {
                    Ok(()) => ranges.push((begin, end)),
                    Err(error) => return Ok(Selected::Damaged(error.to_string())),
                },
            }
        }
    }
    Ok(otherwise.map_or(Selected::Nothing(ranges), Selected::Expression))
}

fn of_attribute<'a>(place: &Place<'_, 'a>, value: Value<'a>) -> Location {
    match select(place, value) {
        Selected::Expression(expression) => expression::locate(place, expression),
        Selected::Nothing(ranges) => Location::Unavailable(Unavailable::OptimizedOut { ranges }),
        Selected::Damaged(reason) => Location::Unavailable(Unavailable::Unsupported(reason)),
    }
}

fn of_variable<'a>(place: &Place<'_, 'a>, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Location {
    let read = |at| place.debug.inherited(unit, die, at);
    // The DIE's own attributes come first; those of its origin hold for static variables and constants.
    let found = match (die.attr_value(gimli::DW_AT_location), die.attr_value(gimli::DW_AT_const_value)) {
        (Some(value), _) => Ok(Some((Rc::clone(unit), value, true))),
        (None, Some(value)) => Ok(Some((Rc::clone(unit), value, false))),
        (None, None) => read(gimli::DW_AT_location).and_then(|location| match location {
            Some((unit, value)) => Ok(Some((unit, value, true))),
            None => Ok(read(gimli::DW_AT_const_value)?.map(|(unit, value)| (unit, value, false))),
        }),
    };
    match found {
        Ok(Some((unit, value, true))) => of_attribute(&Place { unit: &unit, ..*place }, value),
        Ok(Some((unit, value, false))) => constant(&unit, value),
        Ok(None) => Location::Unavailable(Unavailable::OptimizedOut { ranges: Vec::new() }),
        Err(error) => Location::Unavailable(Unavailable::Unsupported(error.to_string())),
    }
}

/// Where the variable at a position is: the target of `DW_OP_implicit_pointer`.
pub(super) fn of_die(place: &Place<'_, '_>, id: DieId) -> Location {
    if place.depth > limits::MAX_EXPRESSION_DEPTH {
        return Location::Unavailable(Unavailable::Unsupported("implicit pointers nested too deep".to_owned()));
    }
    match place.debug.die(id) {
        Ok((unit, die)) => of_variable(&Place { unit: &unit, ..*place }, &unit, &die),
        Err(error) => Location::Unavailable(Unavailable::Unsupported(error.to_string())),
    }
}

/// A `DW_AT_const_value`. Compilers write negative numbers as `DW_FORM_sdata`; the fixed-size forms are unsigned.
fn constant<'a>(unit: &Unit<'a>, value: Value<'a>) -> Location {
    if let Value::Block(bytes) = value {
        return if gimli::Reader::len(&bytes) > limits::MAX_IMPLICIT_BYTES {
            Location::Unavailable(Unavailable::Unsupported("a constant that is too large".to_owned()))
        } else {
            match bytes.bytes() {
                Ok(bytes) => Location::Bytes(bytes.into_owned()),
                Err(error) => Location::Unavailable(Unavailable::Unsupported(error.to_string())),
            }
        };
    }
    if let Value::Addr(address) = value {
        return Location::Value(Compute::ModuleAddress(address));
    }
    let number = value.udata_value().map(u64::cast_signed).or_else(|| value.sdata_value());
    if let Some(number) = number {
        return Location::Value(Compute::Const(number));
    }
    let text = unit.dwarf.attr_string(&unit.unit, value).and_then(|text| text.bytes());
    match text {
        Ok(text) => Location::Bytes(text.iter().copied().chain([0]).collect()),
        Err(_) => Location::Unavailable(Unavailable::Unsupported("a constant of an unknown form".to_owned())),
    }
}
