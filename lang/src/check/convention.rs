//! Owns where C and C++ functions return structs, unions and classes by value: the classes of the System V psABI (3.2.3),
//! and the Itanium C++ ABI (3.1.3) for what is not trivial to copy. Refuses what debug info does not tell for certain.

use crate::debuginfo::facts::{
    AggregateKind, Compute, Encoding, Language, Location, Piece, Register, Site, Type, TypeId, Unavailable,
};
use crate::debuginfo::{Module, Place};

/// rax and rdx (DWARF's numbers): where the first and the second integer part are returned.
const INTEGERS: [Register; 2] = [Register(0), Register(1)];
/// How deep types are followed.
const DEEPEST: usize = 16;
/// How many members and elements are looked at.
const MOST: usize = 256;

/// What an eightbyte of the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Nothing,
    Integer,
    Vector,
}

/// Why it is not in one or two registers.
enum Elsewhere {
    /// In memory that the caller gave, whose address is returned.
    Memory,
    Unknown(Unavailable),
}

/// Whether the address of a result in memory is known to be given in the register of a first argument.
///
/// # Errors
/// Why that is not known.
pub(super) fn given(module: &Module, site: &Site) -> Result<(), Unavailable> {
    let why = "the compiler knew all callers of this function, and may not let it return where its result is";
    if module.is_given(site) { Ok(()) } else { Err(Unavailable::Unsupported(why.to_owned())) }
}

/// The last of the registers that hold a value which is returned in some.
pub(super) fn last_register(location: &Location) -> Option<Place> {
    match location {
        Location::Value(Compute::Returned(register)) if *register == INTEGERS[0] => Some(Place::First),
        Location::Value(Compute::Returned(_)) => Some(Place::Second),
        Location::Pieces(pieces) => {
            let places: Vec<Place> = pieces.iter().filter_map(|piece| last_register(&piece.location)).collect();
            places.iter().find(|place| **place == Place::Second).or_else(|| places.first()).copied()
        }
        Location::Value(_)
        | Location::Memory(_)
        | Location::Register(_)
        | Location::ImplicitPointer { .. }
        | Location::Bytes(_)
        | Location::Unavailable(_) => None,
    }
}

/// Where a value of an aggregate type is when its function has returned, as the conventions have it.
pub(super) fn returned(module: &Module, id: TypeId, size: u64) -> Location {
    let unknown = |why: &str| Location::Unavailable(Unavailable::Unsupported(why.to_owned()));
    match module.language(id) {
        Language::C => {}
        Language::Cpp => match aggregate(module, id).and_then(|id| module.by_reference(id)) {
            Some(true) => return Location::Memory(Compute::Returned(INTEGERS[0])),
            Some(false) => {}
            // What is trivial goes to memory too where it is so large; vectors, which do not, are told below.
            None if size > 16 => {}
            None => {
                return unknown("debug info (gcc's) does not tell whether so small a class is returned in registers");
            }
        },
        Language::Rust => return super::rust_results::returned(module, id, size),
        Language::Go | Language::Other => {
            return unknown("only the conventions of C, C++ and Rust for structs are known");
        }
    }
    let mut classes = [Class::Nothing; 2];
    let mut left = MOST;
    match classify(module, Some(id), 0, &mut classes, DEEPEST, &mut left) {
        // A vector of 32 bytes is returned in one register.
        Err(Elsewhere::Unknown(why)) => Location::Unavailable(why),
        Err(Elsewhere::Memory) => Location::Memory(Compute::Returned(INTEGERS[0])),
        Ok(()) if size > 16 => Location::Memory(Compute::Returned(INTEGERS[0])),
        Ok(()) => {
            let mut integers = INTEGERS.into_iter();
            let mut piece = |class: Class| Piece {
                location: match class {
                    Class::Integer => {
                        integers.next().map_or_else(vector, |register| Location::Value(Compute::Returned(register)))
                    }
                    Class::Vector | Class::Nothing => vector(),
                },
                bits: 64,
                bit_offset: 0,
            };
            Location::Pieces(classes.into_iter().map(&mut piece).collect())
        }
    }
}

/// The struct or class behind typedefs and qualifiers.
fn aggregate(module: &Module, id: TypeId) -> Option<TypeId> {
    let mut id = id;
    for _ in 0..DEEPEST {
        match module.ty(id).ok()? {
            Type::Typedef { target, .. } | Type::Qualified { target, .. } => id = target?,
            Type::Aggregate { .. } => return Some(id),
            Type::Base { .. }
            | Type::Pointer { .. }
            | Type::Enum { .. }
            | Type::Array { .. }
            | Type::Function
            | Type::MemberPointer { .. }
            | Type::Unknown(_) => return None,
        }
    }
    None
}

fn vector() -> Location {
    Location::Unavailable(Unavailable::VectorRegister)
}

fn unknown(what: &str) -> Elsewhere {
    Elsewhere::Unknown(Unavailable::Unsupported(format!("where {what} in a struct is returned is not known")))
}

/// Adds the classes of what lies `offset` bytes into the value.
fn classify(
    module: &Module,
    id: Option<TypeId>,
    offset: u64,
    classes: &mut [Class; 2],
    depth: usize,
    left: &mut usize,
) -> Result<(), Elsewhere> {
    *left = left.checked_sub(1).ok_or_else(|| unknown("what has so many members"))?;
    let depth = depth.checked_sub(1).ok_or_else(|| unknown("what is so deep"))?;
    let id = id.ok_or_else(|| unknown("what has no type"))?;
    let ty = module.ty(id).map_err(|_| unknown("what debug info does not describe"))?;
    match ty {
        Type::Base { encoding, size, .. } => match encoding {
            Encoding::Float if size <= 8 => scalar(offset, size, Class::Vector, classes),
            Encoding::Float => Err(unknown("a long double")),
            Encoding::Signed
            | Encoding::Unsigned
            | Encoding::SignedChar
            | Encoding::UnsignedChar
            | Encoding::Boolean => scalar(offset, size, Class::Integer, classes),
            Encoding::Other(_) => Err(unknown("a number of that kind")),
        },
        Type::Pointer { size, .. } => scalar(offset, size, Class::Integer, classes),
        Type::Enum { size, .. } => scalar(offset, size, Class::Integer, classes),
        // Of a pointer to a function, two numbers.
        Type::MemberPointer { size, .. } => {
            (0..size / 8).try_for_each(|nth| scalar(offset.saturating_add(nth * 8), 8, Class::Integer, classes))
        }
        Type::Typedef { target, .. } | Type::Qualified { target, .. } => {
            classify(module, target, offset, classes, depth, left)
        }
        Type::Array { element, counts } => {
            if module.is_vector(id) {
                return Err(unknown("a vector"));
            }
            let size = size_of(module, element, depth).ok_or_else(|| unknown("an array of that"))?;
            let count = counts.iter().try_fold(1u64, |all, one| all.checked_mul((*one)?));
            let count = count.ok_or_else(|| unknown("an array without a size"))?;
            // Behind 16 bytes all is in memory; what its elements are the first ones tell.
            for index in 0..count.min(17) {
                classify(module, element, offset.saturating_add(index.saturating_mul(size)), classes, depth, left)?;
            }
            Ok(())
        }
        Type::Aggregate {
            kind: AggregateKind::Struct | AggregateKind::Class | AggregateKind::Union, members, ..
        } => {
            for member in members {
                match member.bits {
                    None => classify(module, member.ty, offset.saturating_add(member.offset), classes, depth, left)?,
                    Some((from, width)) => {
                        let first = offset.saturating_mul(8).saturating_add(from);
                        let last = first.saturating_add(width.max(1) - 1);
                        [first / 64, last / 64].into_iter().for_each(|at| merge(classes, at, Class::Integer));
                    }
                }
            }
            Ok(())
        }
        Type::Function | Type::Unknown(_) => Err(unknown("something of that kind")),
    }
}

fn scalar(offset: u64, size: u64, class: Class, classes: &mut [Class; 2]) -> Result<(), Elsewhere> {
    if size == 0 || !offset.is_multiple_of(size.min(16)) {
        // A packed struct.
        return Err(Elsewhere::Memory);
    }
    for at in offset / 8..=(offset.saturating_add(size) - 1) / 8 {
        merge(classes, at, class);
    }
    Ok(())
}

fn merge(classes: &mut [Class; 2], at: u64, class: Class) {
    let known = usize::try_from(at).ok().and_then(|at| classes.get_mut(at));
    if let Some(known) = known
        && *known != Class::Integer
    {
        *known = class;
    }
}

fn size_of(module: &Module, id: Option<TypeId>, depth: usize) -> Option<u64> {
    let depth = depth.checked_sub(1)?;
    match module.ty(id?).ok()? {
        Type::Base { size, .. }
        | Type::Pointer { size, .. }
        | Type::Enum { size, .. }
        | Type::MemberPointer { size, .. } => Some(size),
        Type::Aggregate { size, .. } => size,
        Type::Typedef { target, .. } | Type::Qualified { target, .. } => size_of(module, target, depth),
        Type::Array { element, counts } => {
            let element = size_of(module, element, depth)?;
            counts.iter().try_fold(element, |all, one| all.checked_mul((*one)?))
        }
        Type::Function | Type::Unknown(_) => None,
    }
}
