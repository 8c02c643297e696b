//! Owns finding the copies of an inlined instance that follow each other in one range: clang writes one DIE with one
//! range for all turns of a loop that it unrolled. Never chooses the address of an instance's first copy.

use std::rc::Rc;

use super::code::Code;
use super::facts::{DebugError, Location, Type, TypeId, Variable, VariableKind};
use super::limits;
use super::location;
use super::types;
use super::units::{Debug, Die, Slice, Unit};
use super::variables::Found;

/// What the constants of variables tell of the range of an inlined instance.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Where a further copy begins.
    pub(super) copies: Vec<u64>,
    /// Where one may begin, though that is not certain.
    pub(super) doubtful: Vec<u64>,
}

/// Finds the beginnings of further copies strictly inside `ranges` of an instance.
///
/// A variable of the caller can change only while the call is not running, unless the callee has a way to it. So where
/// one goes from a constant to another in the middle of the callee's code, and a parameter does too, a copy ends and
/// the next one begins. A parameter alone may be assigned in the callee.
pub(super) fn told<'a>(
    code: &Code,
    ranges: &[(u64, u64)],
    parameters: &[Found<'a>],
    outer: &[(Rc<Unit<'a>>, Die<'a>)],
) -> Told {
    let mut told = Told::default();
    let mut bound: Vec<u64> = Vec::new();
    for found in parameters.iter().filter(|found| found.kind == VariableKind::Parameter) {
        bound.extend(changes(&found.unit, &found.die));
    }
    bound.sort_unstable();
    bound.dedup();
    let around = |address: u64| ranges.iter().find(|(low, high)| *low < address && address < *high);
    let outside = outer.iter().filter(|(unit, die)| !in_memory(unit, die));
    let outside: Vec<u64> = outside.flat_map(|(unit, die)| changes(unit, die)).collect();
    // The next turn of a call without parameters, or with the same ones; or code of this turn that was moved.
    let alone = outside.iter().filter(|address| around(**address).is_some() && !bound.contains(*address));
    told.doubtful.extend(alone);
    // gcc begins a copy with an empty range where its first instruction is of other code.
    let low = ranges.iter().map(|(low, _)| *low).min().unwrap_or(0);
    let high = ranges.iter().map(|(_, high)| *high).max().unwrap_or(0);
    let between = |address: &u64| {
        (low..high).contains(address) && !ranges.iter().any(|(low, high)| (*low..*high).contains(address))
    };
    let gets_value = |address: &u64| {
        let mut own = parameters.iter().filter(|found| found.kind == VariableKind::Parameter);
        own.any(|found| location::begins_at(&found.unit, &found.die, *address))
    };
    told.doubtful.extend(outside.iter().filter(|address| between(address) && gets_value(address)));
    for address in bound {
        let Some((low, _)) = around(address) else { continue };
        let passed = code.is_instruction(address) && code.always_reaches(*low, address);
        if passed && outside.contains(&address) {
            told.copies.push(address);
        } else {
            told.doubtful.push(address);
        }
    }
    told
}

/// Whether the callee has no way to a variable of its caller that is a constant at the moment, and so is not in memory:
/// its parameters are numbers, or pointers that have a value, which then point elsewhere.
pub(super) fn keeps_out(debug: &Debug<'_>, variables: &[Variable]) -> bool {
    let mut parameters = variables.iter().filter(|variable| variable.kind == VariableKind::Parameter);
    parameters.all(|parameter| parameter.ty.is_some_and(|ty| harmless(debug, ty, &parameter.location)))
}

fn harmless(debug: &Debug<'_>, mut ty: TypeId, location: &Location) -> bool {
    for _ in 0..limits::MAX_SCOPES {
        match types::read(debug, ty) {
            Ok(Type::Base { .. } | Type::Enum { .. }) => return true,
            Ok(Type::Pointer { .. }) => {
                return match location {
                    Location::Memory(_) | Location::Register(_) | Location::Value(_) => true,
                    Location::Bytes(_)
                    | Location::Pieces(_)
                    | Location::ImplicitPointer { .. }
                    | Location::Unavailable(_) => false,
                };
            }
            Ok(Type::Typedef { target: Some(target), .. } | Type::Qualified { target: Some(target), .. }) => {
                ty = target;
            }
            Ok(_) | Err(_) => return false,
        }
    }
    false
}

/// The entries of a variable's location list.
fn entries<'a>(unit: &Unit<'a>, die: &Die<'a>) -> impl Iterator<Item = gimli::LocationListEntry<Slice<'a>>> {
    let value = die.attr_value(gimli::DW_AT_location);
    let list = value.and_then(|value| unit.dwarf.attr_locations(&unit.unit, value).ok().flatten());
    let entries = list.into_iter().flatten().map_while(Result::ok).take(limits::MAX_LOCATIONS);
    entries.take_while(|entry| unit.steps.count(1 + gimli::Reader::len(&entry.data.0) as u64).is_ok())
}

/// Whether a variable is in memory anywhere: then a pointer can lead to it.
fn in_memory<'a>(unit: &Unit<'a>, die: &Die<'a>) -> bool {
    entries(unit, die).any(|entry| {
        let mut operations = entry.data.operations(unit.unit.encoding());
        let mut last = None;
        while let Ok(Some(operation)) = operations.next() {
            last = Some(operation);
        }
        !matches!(last, None | Some(gimli::Operation::Register { .. } | gimli::Operation::StackValue))
    })
}

/// Where a variable goes from one constant to another, without a gap between.
fn changes<'a>(unit: &Unit<'a>, die: &Die<'a>) -> Vec<u64> {
    let entries = entries(unit, die);
    let mut changes = Vec::new();
    let mut before: Option<(u64, Option<i128>)> = None;
    for entry in entries.filter(|entry| entry.range.begin < entry.range.end) {
        let now = constant(unit, entry.data);
        if let (Some((end, Some(old))), Some(new)) = (before, now)
            && end == entry.range.begin
            && old != new
        {
            changes.push(end);
        }
        before = Some((entry.range.end, now));
    }
    changes
}

/// The number that an expression is, if it is nothing but that.
fn constant(unit: &Unit<'_>, expression: gimli::Expression<Slice<'_>>) -> Option<i128> {
    let mut operations = expression.operations(unit.unit.encoding());
    let number = match operations.next().ok()?? {
        gimli::Operation::UnsignedConstant { value } => i128::from(value),
        gimli::Operation::SignedConstant { value } => i128::from(value),
        _ => return None,
    };
    let is_value = matches!(operations.next().ok()??, gimli::Operation::StackValue);
    (is_value && operations.next().ok()?.is_none()).then_some(number)
}

/// The variables of the scopes around the DIE `inner` inside the function `host`, both of one unit.
pub(super) fn around<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    host: &Die<'a>,
    inner: &Die<'a>,
) -> Result<Vec<(Rc<Unit<'a>>, Die<'a>)>, DebugError> {
    let mut open: Vec<Die<'a>> = Vec::new();
    let mut entries = unit.unit.entries_raw(Some(host.offset()))?;
    let mut child = Die::null();
    entries.read_entry(&mut child)?;
    while !entries.is_empty() && entries.next_depth() > 0 {
        if !entries.read_entry(&mut child)? {
            continue;
        }
        debug.count_die()?;
        open.retain(|variable| variable.depth() <= child.depth());
        if child.offset() == inner.offset() {
            return Ok(open.into_iter().map(|die| (Rc::clone(unit), die)).collect());
        }
        let variable = matches!(child.tag(), gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable);
        if variable && open.len() < limits::MAX_VARIABLES {
            open.push(child.clone());
        }
    }
    Ok(Vec::new())
}
