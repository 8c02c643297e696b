//! Owns which address of a function is probed: one at which its parameters are where DWARF says, and which every call
//! passes, once where there is such a one.
//!
//! What compilers do, measured by comparing with the values the programs print: gcc's optimised code is described from
//! the first address on; gcc without optimisation and clang describe parameters in the function's own frame by one
//! location, true only behind the prologue; clang counts stack arguments from `rsp` as it is behind the prologue.

use gimli::Operation;

use super::code::Code;
use super::facts::{AddressRule, DebugError, VariableKind};
use super::filled::Slot;
use super::lines::Row;
use super::producer::Producer;
use super::types;
use super::units::{Debug, Value};
use super::variables::Found;

/// Whether a location holds from the function's first address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// A list says itself where it holds; a register, a constant or the caller's frame holds at once.
    Always,
    /// One location in the function's own frame: true once the prologue has made the frame and stored into it.
    BehindPrologue,
}

/// When the location of each of a function's variables begins to be true.
pub(super) fn validities<'a>(
    debug: &Debug<'a>,
    frame_base: Option<Value<'a>>,
    found: &[Found<'a>],
) -> Result<Vec<Validity>, DebugError> {
    let mut parameters = 0;
    let mut each = Vec::new();
    for found in found {
        let mut position = None;
        if found.kind == VariableKind::Parameter {
            position = Some(parameters).filter(|_| parameters < 4);
            parameters += 1;
        }
        each.push(validity(debug, frame_base, found, position)?);
    }
    Ok(each)
}

/// Whether the frame base is the CFA, as gcc has it.
pub(super) fn by_cfa(frame_base: Option<Value<'_>>) -> bool {
    matches!(frame_base, Some(Value::Exprloc(base))
        if base.0.bytes().is_ok_and(|base| *base == [gimli::DW_OP_call_frame_cfa.0]))
}

/// `position`: of the first four parameters, which one it is, from 0.
fn validity<'a>(
    debug: &Debug<'a>,
    frame_base: Option<Value<'a>>,
    found: &Found<'a>,
    position: Option<i64>,
) -> Result<Validity, DebugError> {
    let (unit, die) = (&found.unit, &found.die);
    let Some(Value::Exprloc(expression)) = die.attr_value(gimli::DW_AT_location) else { return Ok(Validity::Always) };
    let encoding = unit.unit.encoding();
    let by_cfa = by_cfa(frame_base);
    let size = || -> Result<Option<u64>, DebugError> {
        debug.type_of(unit, die)?.map(|ty| types::byte_size(debug, ty)).transpose().map(Option::flatten)
    };
    if Slot::of(unit, die, by_cfa, 1).is_some_and(|slot| slot.floats()) {
        return Ok(Validity::BehindPrologue);
    }
    let mut operations = expression.operations(encoding);
    while let Ok(Some(operation)) = operations.next() {
        match operation {
            // Functions of Microsoft's convention store what came in their first four registers there themselves. (In
            // System V's, the first that has no register left is not where the fourth would be.)
            Operation::FrameOffset { offset }
                if by_cfa
                    && position.is_some_and(|position| offset == position * 8)
                    && size()?.is_some_and(|size| matches!(size, 1 | 2 | 4 | 8))
                    && !types::is_whole(debug, unit, die)? =>
            {
                return Ok(Validity::BehindPrologue);
            }
            // At and above the CFA lies the caller's frame: what it pushed is there from the first instruction on.
            Operation::FrameOffset { offset } if by_cfa && offset >= 0 => {}
            Operation::FrameOffset { .. } | Operation::CallFrameCFA => return Ok(Validity::BehindPrologue),
            // rbp and rsp (psABI numbers).
            Operation::RegisterOffset { register: gimli::Register(6 | 7), .. } => return Ok(Validity::BehindPrologue),
            _ => {}
        }
    }
    Ok(Validity::Always)
}

/// The address that was chosen for an out-of-line function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) address: u64,
    pub(super) rule: AddressRule,
    /// Whether a branch of the function leads back to it: one call can hit several times.
    pub(super) repeats: bool,
    /// Whether the prologue has been passed there.
    pub(super) behind_prologue: bool,
}

/// Chooses for a function with these rows of the line table and that code. `own_frame`: whether a parameter's location
/// is true only behind the prologue.
pub(super) fn choose(producer: Producer, entry: u64, rows: &[Row], code: &Code, own_frame: bool) -> Choice {
    let low = Choice {
        address: entry,
        rule: AddressRule::LowPc,
        repeats: code.returns_to(entry, entry, |_| true),
        behind_prologue: false,
    };
    let marked = rows.iter().find(|row| row.prologue_end && row.address >= entry).map(|row| {
        let rule =
            if matches!(producer, Producer::Go { .. }) { AddressRule::StackCheck } else { AddressRule::PrologueEnd };
        (row.address, rule)
    });
    let second = || {
        let address = rows.iter().map(|row| row.address).filter(|address| *address > entry).min()?;
        Some((address, AddressRule::SecondLine))
    };
    let behind = marked.or_else(second).and_then(|(address, rule)| {
        let reached = code.is_instruction(address) && code.always_reaches(entry, address);
        let repeats = code.returns_to(entry, address, |_| true);
        reached.then_some(Choice { address, rule, repeats, behind_prologue: true })
    });
    match (producer, behind) {
        (_, None) => low,
        (Producer::Gcc, Some(_)) if !own_frame => low,
        // Go marks where every prologue ends: what has no mark has none, and its second row is in its body, where its
        // lists of locations no longer tell the truth.
        (Producer::Go { .. }, Some(behind)) if !own_frame && !low.repeats && behind.rule == AddressRule::SecondLine => {
            low
        }
        // Where nothing needs the prologue, an address passed once is worth more.
        (_, Some(behind)) if !own_frame && behind.repeats && !low.repeats => low,
        (_, Some(behind)) => behind,
    }
}

/// Whether one of a function's parameters has a location that is true only behind the prologue.
pub(super) fn needs_prologue<'a>(
    debug: &Debug<'a>,
    frame_base: Option<Value<'a>>,
    found: &[Found<'a>],
) -> Result<bool, DebugError> {
    let validities = validities(debug, frame_base, found)?;
    let mut each = found.iter().zip(validities);
    Ok(each.any(|(found, valid)| found.kind == VariableKind::Parameter && valid == Validity::BehindPrologue))
}
