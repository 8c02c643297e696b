//! Owns what a value of the traced program is to the language: a number of some width, a character, a truth value, an
//! enumerator, an address, text. Reads types; computes nothing.

use crate::debuginfo::Module;
use crate::debuginfo::facts::{AggregateKind, Encoding, Enumerator, Type, TypeId};
use crate::ir::Ty;

/// How many typedefs and qualifiers are looked through.
const DEEPEST: usize = 64;

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Nature {
    /// An `int` of the language.
    Int,
    /// A `str` of the language.
    Str,
    /// An integer of the program: 1, 2, 4 or 8 bytes.
    Number { bytes: u8, signed: bool },
    /// A `char`, shown as a character.
    Char { signed: bool },
    /// A truth value of 1 to 8 bytes.
    Bool { bytes: u8 },
    /// A value of an enumeration.
    Enum { bytes: u8, signed: bool, name: Option<String>, names: Vec<(i64, String)> },
    /// An address; `text` where it points to characters.
    Pointer { to: Option<TypeId>, text: bool },
    /// Something that this version only names: a struct, an array, a float.
    Opaque { what: String },
}

impl Nature {
    /// Size and sign of a value that is a number in arithmetic; `None` for what is none.
    pub(super) fn width(&self) -> Option<(u8, bool)> {
        match self {
            Nature::Int => Some((8, true)),
            Nature::Number { bytes, signed } | Nature::Enum { bytes, signed, .. } => Some((*bytes, *signed)),
            Nature::Char { signed } => Some((1, *signed)),
            Nature::Bool { bytes } => Some((*bytes, false)),
            Nature::Pointer { .. } => Some((8, false)),
            Nature::Str | Nature::Opaque { .. } => None,
        }
    }

    /// The language's own nature of a type.
    pub(super) fn of(ty: Ty) -> Nature {
        match ty {
            Ty::Int => Nature::Int,
            Ty::Str => Nature::Str,
        }
    }
}

/// What a value of a type is; `Opaque` where its type is missing or malformed.
pub(super) fn nature(module: &Module, ty: Option<TypeId>) -> Nature {
    let opaque = |what: String| Nature::Opaque { what };
    let Some((resolved, number_alias)) = strip(module, ty) else {
        return opaque("a value without a readable type".to_owned());
    };
    let bytes_of = |size: u64| u8::try_from(size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8));
    match resolved {
        Type::Base { name, encoding, size } => {
            let Some(bytes) = bytes_of(size) else { return opaque(format!("`{name}` ({size} bytes)")) };
            let number = |signed| Nature::Number { bytes, signed };
            // `char` itself is text; `signed char`, `unsigned char` and what typedefs make of them are numbers.
            let is_char = bytes == 1 && !number_alias && matches!(name.as_str(), "char" | "char8_t");
            match encoding {
                Encoding::SignedChar if is_char => Nature::Char { signed: true },
                Encoding::UnsignedChar if is_char => Nature::Char { signed: false },
                Encoding::Signed | Encoding::SignedChar => number(true),
                Encoding::Unsigned | Encoding::UnsignedChar => number(false),
                Encoding::Boolean => Nature::Bool { bytes },
                Encoding::Float => opaque(format!("`{name}`, a floating-point number")),
                Encoding::Other(_) => opaque(format!("`{name}`")),
            }
        }
        Type::Pointer { reference: true, .. } => opaque("a reference".to_owned()),
        Type::Pointer { to, size: 8, .. } => Nature::Pointer { to, text: is_text(module, to) },
        Type::Pointer { size, .. } => opaque(format!("a pointer of {size} bytes")),
        Type::Aggregate { kind, name, .. } => {
            let word = match kind {
                AggregateKind::Struct => "struct",
                AggregateKind::Class => "class",
                AggregateKind::Union => "union",
            };
            opaque(name.map_or_else(|| format!("an unnamed {word}"), |name| format!("`{word} {name}`")))
        }
        Type::Enum { name, size, signed, enumerators } => match bytes_of(size) {
            Some(bytes) => Nature::Enum { bytes, signed, name, names: names(&enumerators) },
            None => opaque(format!("an enumeration of {size} bytes")),
        },
        Type::Array { .. } => opaque("an array".to_owned()),
        Type::Function => opaque("a function".to_owned()),
        Type::Unknown(tag) => opaque(format!("a value of a type ctp does not read ({tag})")),
        // `strip` looks through these; what is left is nested past its bound.
        Type::Typedef { name, .. } => opaque(format!("`{name}`")),
        Type::Qualified { qualifier, .. } => opaque(format!("a `{qualifier}` value")),
    }
}

/// A type without its typedefs and qualifiers.
pub(super) fn resolved(module: &Module, ty: TypeId) -> Option<Type> {
    strip(module, Some(ty)).map(|(ty, _)| ty)
}

/// A type without its typedefs and qualifiers, and whether a typedef on the way names a number (`uint8_t`).
fn strip(module: &Module, ty: Option<TypeId>) -> Option<(Type, bool)> {
    let mut number_alias = false;
    let mut ty = ty?;
    for _ in 0..DEEPEST {
        match module.ty(ty).ok()? {
            Type::Typedef { name, target } => {
                number_alias |= name.contains("int") || matches!(name.as_str(), "u8" | "s8" | "i8" | "byte");
                ty = target?;
            }
            Type::Qualified { target, .. } => ty = target?,
            other => return Some((other, number_alias)),
        }
    }
    None
}

/// Whether a pointer to this type points to text.
fn is_text(module: &Module, to: Option<TypeId>) -> bool {
    matches!(nature_shallow(module, to), Some(Nature::Char { .. }))
}

fn nature_shallow(module: &Module, ty: Option<TypeId>) -> Option<Nature> {
    match strip(module, ty)? {
        (Type::Base { .. }, _) => Some(nature(module, ty)),
        _ => None,
    }
}

/// Values and names; what in a name could control a terminal is escaped, for the traced file's maker chose it.
fn names(enumerators: &[Enumerator]) -> Vec<(i64, String)> {
    let wrap = |value: i128| i64::try_from(value).ok().or_else(|| u64::try_from(value).ok().map(u64::cast_signed));
    enumerators.iter().filter_map(|e| Some((wrap(e.value)?, e.name.escape_debug().to_string()))).collect()
}

/// Size in bytes of what a pointer points to, for pointer arithmetic; 1 for `void` and functions as in GNU C.
pub(super) fn pointee_size(module: &Module, to: Option<TypeId>) -> Option<i64> {
    size(module, to, 0)
}

fn size(module: &Module, ty: Option<TypeId>, depth: usize) -> Option<i64> {
    if ty.is_none() {
        return Some(1);
    }
    if depth > DEEPEST {
        return None;
    }
    match strip(module, ty)?.0 {
        Type::Base { size, .. } | Type::Pointer { size, .. } | Type::Enum { size, .. } => i64::try_from(size).ok(),
        Type::Aggregate { size, .. } => i64::try_from(size?).ok(),
        Type::Array { element, counts } => {
            let mut total = size(module, element, depth + 1)?;
            for count in counts {
                total = total.checked_mul(i64::try_from(count?).ok()?)?;
            }
            Some(total)
        }
        Type::Function => Some(1),
        Type::Typedef { .. } | Type::Qualified { .. } | Type::Unknown(_) => None,
    }
}

/// A type as the program would write it, for messages: `unsigned int`, `struct request *`.
pub(super) fn type_name(module: &Module, ty: Option<TypeId>) -> String {
    spelled(module, ty, 0)
}

fn spelled(module: &Module, ty: Option<TypeId>, depth: usize) -> String {
    let Some(id) = ty else { return "void".to_owned() };
    if depth > 8 {
        return "…".to_owned();
    }
    let inner = |ty| spelled(module, ty, depth + 1);
    match module.ty(id) {
        Err(_) => "?".to_owned(),
        Ok(Type::Base { name, .. } | Type::Typedef { name, .. }) => name,
        Ok(Type::Pointer { to, reference, .. }) => format!("{} {}", inner(to), if reference { "&" } else { "*" }),
        Ok(Type::Aggregate { kind, name, .. }) => {
            let word = match kind {
                AggregateKind::Struct => "struct",
                AggregateKind::Class => "class",
                AggregateKind::Union => "union",
            };
            format!("{word} {}", name.unwrap_or_else(|| "{…}".to_owned()))
        }
        Ok(Type::Enum { name, .. }) => format!("enum {}", name.unwrap_or_else(|| "{…}".to_owned())),
        Ok(Type::Array { element, .. }) => format!("{}[]", inner(element)),
        Ok(Type::Qualified { qualifier, target }) => format!("{qualifier} {}", inner(target)),
        Ok(Type::Function) => "function".to_owned(),
        Ok(Type::Unknown(tag)) => tag,
    }
}
