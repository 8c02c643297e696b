//! Owns where Go functions return their results: the register assignment of Go's ABIInternal (from Go 1.17 on; the Go
//! project's `abi-internal.md`, "Function call argument and result passing"). Refuses what is returned in memory.

use super::AtSite;
use super::object::{Held, Object};
use super::shape::Shape;
use super::{Typed, returns};
use crate::debuginfo::Module;
use crate::debuginfo::facts::{
    AggregateKind, Compute, Encoding, GoResult, Location, Piece, Register, Type, TypeId, Unavailable,
};
use crate::source::Span;

/// RAX, RBX, RCX, RDI, RSI, R8 to R11, by their DWARF numbers.
const INTEGERS: [u16; 9] = [0, 3, 2, 5, 4, 8, 9, 10, 11];
/// X0 to X14.
const VECTORS: usize = 15;
/// How deep types are followed, and how many parts one result has at most.
const DEEPEST: usize = 16;
const MOST: usize = 64;

/// A part of a result: where in it, how many bytes, in which register (`None`: a vector one).
struct Leaf {
    offset: u64,
    size: u64,
    register: Option<Register>,
}

/// The registers that are taken, and the parts in them.
#[derive(Default)]
struct Assigned {
    integers: usize,
    vectors: usize,
    leaves: Vec<Leaf>,
}

/// What a result is called: `r0` where the program gives it no name (debug info has `~r0`).
pub(super) fn name(result: &GoResult) -> &str {
    result.name.trim_start_matches('~')
}

/// One of the results of the function at a site, behind its return; `written` is how it was asked for.
pub(super) fn result(at: &AtSite<'_>, results: &[GoResult], index: usize, written: &str, span: Span) -> Option<Typed> {
    let shape = Shape::Of(Some(results.get(index)?.ty?));
    let location = locations(at.module, results).into_iter().nth(index)?;
    let held = Held::of(&location, span);
    let variable = Some((returns::RETURN.to_owned(), Vec::new()));
    let object = Object { shape, held, bits: None, written: variable, name: written.to_owned(), referred: false };
    Some(object.read(at.module, span))
}

/// Where each result is.
fn locations(module: &Module, results: &[GoResult]) -> Vec<Location> {
    let (mut integers, mut vectors) = (0, 0);
    let place = |result: &GoResult| {
        let mut assigned = Assigned { integers, vectors, leaves: Vec::new() };
        let size = result.ty.and_then(|ty| Shape::Of(Some(ty)).size(module));
        let (Some(size), Some(())) = (size, assign(module, result.ty, 0, DEEPEST, &mut assigned)) else {
            // It takes no registers: those are for the next.
            return Location::Unavailable(Unavailable::Unsupported("it is returned in memory".to_owned()));
        };
        (integers, vectors) = (assigned.integers, assigned.vectors);
        pieces(assigned.leaves, size)
    };
    results.iter().map(place).collect()
}

/// The registers of a value; `None` where they do not suffice.
fn assign(module: &Module, ty: Option<TypeId>, offset: u64, depth: usize, to: &mut Assigned) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let ty = ty?;
    match module.ty(ty).ok()? {
        Type::Base { encoding, size, .. } => match encoding {
            Encoding::Float => {
                to.vectors += 1;
                let leaf = Leaf { offset, size, register: None };
                (to.vectors <= VECTORS && to.leaves.len() < MOST).then(|| to.leaves.push(leaf))
            }
            Encoding::Signed
            | Encoding::Unsigned
            | Encoding::SignedChar
            | Encoding::UnsignedChar
            | Encoding::Boolean => integer(offset, size, to),
            Encoding::Other(_) => None,
        },
        Type::Enum { size, .. } | Type::Pointer { size, .. } => integer(offset, size, to),
        // A function's value is a pointer to its closure.
        Type::Function => integer(offset, 8, to),
        Type::Typedef { target, .. } | Type::Qualified { target, .. } => assign(module, target, offset, depth, to),
        Type::Array { element, counts } => match counts.as_slice() {
            [Some(0)] => Some(()),
            [Some(1)] => assign(module, element, offset, depth, to),
            _ => None,
        },
        Type::Aggregate { kind: AggregateKind::Struct, members, .. } => members
            .iter()
            .try_for_each(|member| assign(module, member.ty, offset.checked_add(member.offset)?, depth, to)),
        Type::Aggregate { .. } | Type::MemberPointer { .. } | Type::Unknown(_) => None,
    }
}

fn integer(offset: u64, size: u64, to: &mut Assigned) -> Option<()> {
    let register = INTEGERS.get(to.integers).map(|number| Register(*number))?;
    to.integers += 1;
    let leaf = Leaf { offset, size, register: Some(register) };
    (to.leaves.len() < MOST && matches!(size, 1..=8)).then(|| to.leaves.push(leaf))
}

/// The parts one behind the other; what lies between them is padding.
fn pieces(mut leaves: Vec<Leaf>, size: u64) -> Location {
    leaves.sort_by_key(|leaf| leaf.offset);
    let mut pieces = Vec::new();
    let mut end = 0u64;
    let piece = |location, bytes: u64| Piece { location, bits: bytes.saturating_mul(8), bit_offset: 0 };
    let padding = |bytes: u64| Location::Bytes(vec![0; usize::try_from(bytes.min(4096)).unwrap_or(0)]);
    for leaf in leaves {
        if let Some(gap) = leaf.offset.checked_sub(end).filter(|gap| *gap > 0) {
            pieces.push(piece(padding(gap), gap));
        }
        let location = match leaf.register {
            Some(register) => Location::Value(Compute::Returned(register)),
            None => Location::Unavailable(Unavailable::VectorRegister),
        };
        pieces.push(piece(location, leaf.size));
        end = leaf.offset.saturating_add(leaf.size);
    }
    if let Some(gap) = size.checked_sub(end).filter(|gap| *gap > 0) {
        pieces.push(piece(padding(gap), gap));
    }
    Location::Pieces(pieces)
}
