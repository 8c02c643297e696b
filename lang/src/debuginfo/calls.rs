//! Owns what callers say of the parameters they pass: the values at call sites, for parameters that a clone of the
//! function has no more (`DW_OP_GNU_parameter_ref`). Reads the unit of the function; knows nothing of callers elsewhere,
//! which such a clone does not have.

use std::rc::Rc;

use gimli::DwTag;

use super::compute::Tree;
use super::expression::{self, Place, Refusal};
use super::facts::{BinaryOp, Compute, DebugError, Register, Unavailable};
use super::limits;
use super::location::Frame;
use super::units::{Debug, DieId, Slice, Unit, Value};

/// What one call site says of one parameter.
#[derive(Clone)]
pub(super) struct Passed<'a> {
    /// The parameter.
    parameter: DieId,
    /// Where the call returns to; `None` for a tail call, which returns to where its caller would have.
    returns_to: Option<u64>,
    /// The function whose code calls.
    caller: DieId,
    /// The value, as an expression that holds in the caller behind the call.
    value: Slice<'a>,
}

fn is_site(tag: DwTag) -> bool {
    matches!(tag, gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site)
}

fn is_parameter(tag: DwTag) -> bool {
    matches!(tag, gimli::DW_TAG_call_site_parameter | gimli::DW_TAG_GNU_call_site_parameter)
}

/// What the call sites of a unit say of parameters that they name.
pub(super) fn passed<'a>(debug: &Debug<'a>, unit: &Unit<'a>) -> Result<Vec<Passed<'a>>, DebugError> {
    let mut entries = unit.unit.entries_raw(None)?;
    let (mut found, mut attributes) = (Vec::new(), Vec::new());
    // The functions around, and the call site.
    let mut callers: Vec<(isize, DieId)> = Vec::new();
    let mut site: Option<(isize, Option<u64>)> = None;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        debug.count_die()?;
        let tag = abbreviation.tag();
        callers.retain(|(outer, _)| *outer < depth);
        site = site.filter(|(outer, _)| *outer < depth);
        if tag == gimli::DW_TAG_subprogram {
            if callers.len() >= limits::MAX_SCOPES {
                return Err(limits::over("nested functions", limits::MAX_SCOPES));
            }
            callers.push((depth, unit.id(offset)));
        }
        if !(is_site(tag) || is_parameter(tag) && site.is_some()) {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        entries.read_attributes(abbreviation.attributes(), &mut attributes)?;
        let value = |names: &[gimli::DwAt]| {
            let named = |name| attributes.iter().find(|attribute| attribute.name() == name);
            names.iter().find_map(|name| named(*name)).map(gimli::Attribute::value)
        };
        if is_site(tag) {
            let tail = value(&[gimli::DW_AT_call_tail_call, gimli::DW_AT_GNU_tail_call]).is_some();
            let returns =
                if tag == gimli::DW_TAG_call_site { gimli::DW_AT_call_return_pc } else { gimli::DW_AT_low_pc };
            let returns_to = match value(&[returns]).filter(|_| !tail) {
                Some(value) => unit.dwarf.attr_address(&unit.unit, value)?,
                None => None,
            };
            site = Some((depth, returns_to));
            continue;
        }
        let names = value(&[gimli::DW_AT_call_parameter, gimli::DW_AT_abstract_origin]);
        let parameter = names.and_then(|value| debug.reference(unit, value));
        let passed = value(&[gimli::DW_AT_call_value, gimli::DW_AT_GNU_call_site_value]);
        let (Some((_, returns_to)), Some((_, caller))) = (site, callers.last()) else { continue };
        let (Some(parameter), Some(Value::Exprloc(value))) = (parameter, passed) else { continue };
        if found.len() >= limits::MAX_PASSED {
            return Err(limits::over("parameters at call sites of one unit", limits::MAX_PASSED));
        }
        found.push(Passed { parameter, returns_to, caller: *caller, value: value.0 });
    }
    Ok(found)
}

fn unsupported(what: &str) -> Refusal {
    Unavailable::Unsupported(what.to_owned())
}

fn damaged(error: &DebugError) -> Refusal {
    Unavailable::Unsupported(error.to_string())
}

/// The value that the caller passed for a parameter: which caller it is, the return address tells. Only where the
/// function was just entered, so that registers are the caller's. A return address that is none of the known ones makes
/// the value one that cannot be read.
pub(super) fn parameter(place: &Place<'_, '_>, parameter: DieId) -> Result<Tree, Refusal> {
    let too_many = || unsupported("a parameter that too many callers pass");
    if !place.frame.at_entry {
        return Err(unsupported("a parameter that only the caller knows, behind the function's beginning"));
    }
    let span = place.debug.span_of(parameter).ok_or_else(|| unsupported("a parameter of no unit"))?;
    let unit = place.debug.unit(span).map_err(|error| damaged(&error))?;
    let known = place.debug.passed(&unit).map_err(|error| damaged(&error))?;
    place.debug.steps.count(known.len() as u64 / 16).map_err(|error| damaged(&error))?;
    let sites: Vec<&Passed<'_>> = known.iter().filter(|passed| passed.parameter == parameter).collect();
    if sites.is_empty() {
        return Err(unsupported("a parameter that no caller describes"));
    }
    let mut sum: Option<Tree> = None;
    let mut any: Option<Tree> = None;
    for passed in &sites {
        let tail = || unsupported("a parameter that a caller passes which leaves its own frame with the call");
        let returns_to = passed.returns_to.ok_or_else(tail)?;
        let value = of_caller(place, &unit, passed, returns_to)?;
        if sites.len() > 1 && reads(&value) {
            return Err(unsupported("a parameter that one of several callers has in memory"));
        }
        let value = Tree::of(value).ok_or_else(too_many)?;
        let here = Tree::leaf(Compute::ModuleAddress(returns_to));
        // What a call pushed is at the top of the stack.
        let pushed = Tree::leaf(Compute::Register(STACK)).deref(8).ok_or_else(too_many)?;
        let is_here = pushed.binary(BinaryOp::Eq, here).ok_or_else(too_many)?;
        let part = is_here.clone().binary(BinaryOp::Mul, value).ok_or_else(too_many)?;
        let plus = |before: Option<Tree>, more: Tree| match before {
            Some(before) => before.binary(BinaryOp::Add, more).ok_or_else(too_many),
            None => Ok(more),
        };
        sum = Some(plus(sum, part)?);
        any = Some(plus(any, is_here)?);
    }
    let (Some(sum), Some(any)) = (sum, any) else { return Err(too_many()) };
    // Nothing can be read at address 0, where no caller was it.
    let read = any.binary(BinaryOp::Mul, Tree::leaf(Compute::Register(STACK))).and_then(|address| address.deref(8));
    let nothing = read.and_then(|read| read.binary(BinaryOp::And, Tree::constant(0)));
    nothing.and_then(|nothing| sum.binary(BinaryOp::Add, nothing)).ok_or_else(too_many)
}

/// rsp
const STACK: Register = Register(7);

/// The value in terms of the registers that the called function finds.
fn of_caller<'a>(
    place: &Place<'_, 'a>,
    unit: &Rc<Unit<'a>>,
    passed: &Passed<'a>,
    returns_to: u64,
) -> Result<Compute, Refusal> {
    let (caller_unit, caller) = place.debug.die(passed.caller).map_err(|error| damaged(&error))?;
    let frame = Frame {
        debug: place.debug,
        cfa_at: place.frame.cfa_at,
        unit: caller_unit,
        frame_base: caller.attr_value(gimli::DW_AT_frame_base),
        // Frames are described by the call, not by what follows it.
        address: returns_to.saturating_sub(1),
        at_entry: false,
    };
    let inner = Place { debug: place.debug, unit, frame: &frame, depth: place.depth + 1 };
    as_callee(expression::value(&inner, passed.value)?)
}

/// A value of the caller, as the called function finds it at its beginning: rsp is 8 less, and what calls may change is
/// not to be relied on (psABI 3.2.1).
fn as_callee(compute: Compute) -> Result<Compute, Refusal> {
    Ok(match compute {
        Compute::Const(_) | Compute::ModuleAddress(_) | Compute::ThreadPointer => compute,
        Compute::Register(STACK) => {
            Compute::Binary(BinaryOp::Add, Box::new(Compute::Register(STACK)), Box::new(Compute::Const(8)))
        }
        Compute::Register(Register(3 | 6 | 12..=15)) => compute,
        Compute::Register(_) | Compute::Returned(_) => {
            return Err(unsupported("a parameter in a register that calls change"));
        }
        Compute::Deref { address, size } => Compute::Deref { address: Box::new(as_callee(*address)?), size },
        Compute::Unary(op, operand) => Compute::Unary(op, Box::new(as_callee(*operand)?)),
        Compute::Binary(op, left, right) => {
            Compute::Binary(op, Box::new(as_callee(*left)?), Box::new(as_callee(*right)?))
        }
    })
}

fn reads(compute: &Compute) -> bool {
    match compute {
        Compute::Const(_)
        | Compute::ModuleAddress(_)
        | Compute::ThreadPointer
        | Compute::Register(_)
        | Compute::Returned(_) => false,
        Compute::Deref { .. } => true,
        Compute::Unary(_, operand) => reads(operand),
        Compute::Binary(_, left, right) => reads(left) || reads(right),
    }
}
