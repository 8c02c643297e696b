//! Owns where Rust functions return structs and tuples by value. Rust's own convention is not laid down, and debug info does
//! not tell whether a function has it or C's: so what both return alike is read, whatever the compiler's version, and nothing
//! else.
//!
//! Rust's ABI makes of a struct whose two fields are numbers or pointers two values, each in a register (a "scalar pair"); of
//! what else has at most 8 bytes one integer (`fn_abi_adjust_for_abi` in compiler/rustc_ty_utils/src/abi.rs). What is
//! between changed with Rust 1.79. What is larger than two registers is in memory of the caller's.

use crate::debuginfo::Module;
use crate::debuginfo::facts::{
    AggregateKind, Compute, Encoding, Location, Member, Piece, Register, Type, TypeId, Unavailable,
};

/// rax and rdx (DWARF's numbers).
const FIRST: Register = Register(0);
const SECOND: Register = Register(1);
/// How deep types are followed, and how many members and elements are looked at.
const DEEPEST: usize = 16;
const MOST: usize = 256;

/// A number or a pointer in a value.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    offset: u64,
    size: u64,
    float: bool,
}

/// What a value consists of.
#[derive(Default)]
struct Parts {
    leaves: Vec<Leaf>,
    /// Whether some of it is one of several things, or an element of an array: then it is no pair.
    shared: bool,
    left: usize,
}

/// What a value of an aggregate type consists of, its leaves; else why it is not known where it is returned.
fn parts(module: &Module, id: TypeId) -> Result<Parts, Unavailable> {
    let mut parts = Parts { left: MOST, ..Parts::default() };
    match parts.add(module, Some(id), 0, DEEPEST) {
        Some(()) => Ok(parts),
        None => Err(unknown("where Rust returns a value of that kind is not known")),
    }
}

fn unknown(why: &str) -> Unavailable {
    Unavailable::Unsupported(why.to_owned())
}

/// Whether a value of more than 16 bytes is in memory whose address the caller gives in the register of a first argument:
/// so does Rust's convention as C's with what is larger than two registers (`fn_abi_adjust_for_abi`). Where the address is
/// when the function returns is not laid down: LLVM leaves rax alone where it knows all callers (seen with rustc 1.95
/// at -Copt-level=3).
///
/// # Errors
/// Why that is not known: until Rust 1.87 two numbers of which one has 16 bytes were returned in registers.
pub(super) fn in_memory(module: &Module, id: TypeId) -> Result<(), Unavailable> {
    let parts = parts(module, id)?;
    match parts.leaves.iter().any(|leaf| leaf.size > 8) {
        true => Err(unknown("where Rust returns a value with numbers of 16 bytes is not known")),
        false => Ok(()),
    }
}

/// Where a value of an aggregate type of at most 16 bytes is when its function has returned.
pub(super) fn returned(module: &Module, id: TypeId, size: u64) -> Location {
    let parts = match parts(module, id) {
        Ok(parts) => parts,
        Err(why) => return Location::Unavailable(why),
    };
    let unknown = |why: &str| Location::Unavailable(unknown(why));
    let value = |register, bits| Piece { location: Location::Value(Compute::Returned(register)), bits, bit_offset: 0 };
    match parts.leaves.as_slice() {
        _ if parts.shared || parts.leaves.iter().any(|leaf| leaf.float || leaf.size > 8) => {
            unknown("where Rust returns so small a value with variants, arrays or floating-point numbers is not known")
        }
        _ if size <= 8 && parts.leaves.len() != 2 => Location::Pieces(vec![value(FIRST, 64)]),
        [one, other] if one.offset == 0 && other.offset == 8 && module.alignment(id) == Some(8) => {
            Location::Pieces(vec![value(FIRST, 64), value(SECOND, 64)])
        }
        _ => unknown("Rust returns so small a struct in ways that debug info does not tell apart"),
    }
}

impl Parts {
    /// Adds what lies `offset` bytes into the value; `None` where that is not known.
    fn add(&mut self, module: &Module, id: Option<TypeId>, offset: u64, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.left = self.left.checked_sub(1)?;
        let mut leaf = |size, float| {
            self.leaves.push(Leaf { offset, size, float });
            Some(())
        };
        match module.ty(id?).ok()? {
            Type::Base { encoding, size, .. } => match encoding {
                Encoding::Float => leaf(size, true),
                Encoding::Signed
                | Encoding::Unsigned
                | Encoding::SignedChar
                | Encoding::UnsignedChar
                | Encoding::Boolean
                | Encoding::Other(_) => match size {
                    // `()`
                    0 => Some(()),
                    size => leaf(size, false),
                },
            },
            Type::Pointer { size, .. } | Type::Enum { size, .. } => leaf(size, false),
            Type::Typedef { target, .. } | Type::Qualified { target, .. } => self.add(module, target, offset, depth),
            Type::Array { element, counts } => {
                self.shared = true;
                let count = counts.iter().try_fold(1u64, |all, one| all.checked_mul((*one)?))?;
                // One element tells of what all are made.
                if count == 0 { Some(()) } else { self.add(module, element, offset, depth) }
            }
            Type::Aggregate { kind, name, members, variants, .. } => {
                match kind {
                    AggregateKind::Struct | AggregateKind::Class => {}
                    AggregateKind::Union => self.shared = true,
                }
                if name.is_some_and(|name| is_vector(&name)) {
                    return None;
                }
                let all = |members: &[Member], parts: &mut Parts| {
                    members.iter().try_for_each(|member| {
                        if member.bits.is_some() {
                            return None;
                        }
                        parts.add(module, member.ty, offset.checked_add(member.offset)?, depth)
                    })
                };
                all(&members, self)?;
                let Some(variants) = variants else { return Some(()) };
                self.shared = true;
                if let Some(discriminant) = &variants.discriminant {
                    all(std::slice::from_ref(discriminant), self)?;
                }
                variants.variants.iter().try_for_each(|variant| all(&variant.members, self))
            }
            // Rust has no pointers to members.
            Type::Function | Type::MemberPointer { .. } | Type::Unknown(_) => None,
        }
    }
}

/// Whether a type is one of the processor's vectors, which are returned by rules of their own.
fn is_vector(name: &str) -> bool {
    name.starts_with("__m") || name.starts_with("Simd<")
}
