//! Owns what a value of the traced program is to the language: a number of some width, a character, a truth value, an
//! enumerator, an address, text, something that is only shown whole. Reads types; computes nothing.

use super::shape::Shape;
use super::text;
use crate::debuginfo::Module;
use crate::debuginfo::facts::{Encoding, Enumerator, Type};
use crate::ir::{Ty, Wide};

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Nature {
    /// An `int` of the language.
    Int,
    /// A `str` of the language.
    Str,
    /// An integer of the program: 1, 2, 4 or 8 bytes.
    Number { bytes: u8, signed: bool },
    /// A `char` of 1 byte, or of 4 (Rust's `char`), shown as a character.
    Char { bytes: u8, signed: bool },
    /// A truth value of 1 to 8 bytes.
    Bool { bytes: u8 },
    /// A value of an enumeration.
    Enum { bytes: u8, signed: bool, name: Option<String>, names: Vec<(i64, String)> },
    /// An address; `text` where it points to characters, or to a text of its language.
    Pointer { to: Shape, text: bool },
    /// A floating-point number of 32 or 64 bits: shown, never computed with.
    Float { bits: u8 },
    /// Text of the program that is no address: `char[]`, `std::string`, `&str`, Go's `string`.
    Text { what: String },
    /// What is only shown whole: a struct, a union, an array.
    Whole { what: String },
    /// Something that is only named.
    Opaque { what: String },
}

impl Nature {
    /// Size and sign of a value that is a number in arithmetic; `None` for what is none.
    pub(super) fn width(&self) -> Option<(u8, bool)> {
        match self {
            Nature::Int => Some((8, true)),
            Nature::Number { bytes, signed } | Nature::Enum { bytes, signed, .. } => Some((*bytes, *signed)),
            Nature::Char { bytes, signed } => Some((*bytes, *signed)),
            Nature::Bool { bytes } => Some((*bytes, false)),
            Nature::Pointer { .. } => Some((8, false)),
            Nature::Str | Nature::Float { .. } | Nature::Text { .. } | Nature::Whole { .. } | Nature::Opaque { .. } => {
                None
            }
        }
    }

    /// Whether it is text of the program, which becomes a `str` by `user_string`.
    pub(super) fn is_program_text(&self) -> bool {
        matches!(self, Nature::Pointer { text: true, .. } | Nature::Text { .. })
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
pub(super) fn nature(module: &Module, shape: &Shape) -> Nature {
    let opaque = |what: String| Nature::Opaque { what };
    let Some(bare) = shape.bare(module) else {
        return opaque("a value without a readable type".to_owned());
    };
    let bytes_of = |size: u64| u8::try_from(size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8));
    let named = || format!("`{}`", shape.name(module));
    match bare.ty {
        Type::Base { name, encoding, size } => {
            let is_wide = wide(&name, encoding, size).is_some();
            let name = name.escape_debug();
            if is_wide {
                return Nature::Whole { what: format!("`{name}`, a number of {size} bytes") };
            }
            let Some(bytes) = bytes_of(size) else { return opaque(format!("`{name}` ({size} bytes)")) };
            let number = |signed| Nature::Number { bytes, signed };
            // `char` itself is text; `signed char`, `unsigned char` and what typedefs make of them are numbers.
            let is_char = bytes == 1 && !bare.number_alias && matches!(name.to_string().as_str(), "char" | "char8_t");
            match encoding {
                Encoding::SignedChar if is_char => Nature::Char { bytes, signed: true },
                // Rust's `char`, C++'s `char32_t`: `DW_ATE_UTF`.
                Encoding::UnsignedChar if is_char || bytes == 4 => Nature::Char { bytes, signed: false },
                Encoding::Signed | Encoding::SignedChar => number(true),
                Encoding::Unsigned | Encoding::UnsignedChar => number(false),
                Encoding::Boolean => Nature::Bool { bytes },
                Encoding::Float if bytes == 4 => Nature::Float { bits: 32 },
                Encoding::Float if bytes == 8 => Nature::Float { bits: 64 },
                Encoding::Float => opaque(format!("`{name}`, a floating-point number of {bytes} bytes")),
                Encoding::Other(_) => opaque(format!("`{name}`")),
            }
        }
        // A place looks through references before anybody asks what is there.
        Type::Pointer { reference: true, .. } => opaque("a reference".to_owned()),
        Type::Pointer { to, size: 8, .. } => {
            let to = Shape::Of(to);
            let text = is_char(module, &to) || text::is_text(module, &to);
            Nature::Pointer { to, text }
        }
        Type::Pointer { size, .. } => opaque(format!("a pointer of {size} bytes")),
        Type::Aggregate { size: None, .. } => opaque(format!("{}, which is declared but not defined", named())),
        Type::Aggregate { .. } if text::is_text(module, shape) => Nature::Text { what: named() },
        Type::Aggregate { .. } => Nature::Whole { what: named() },
        Type::Enum { name, size, signed, enumerators } => match bytes_of(size) {
            Some(bytes) => Nature::Enum { bytes, signed, name, names: names(&enumerators) },
            None => opaque(format!("an enumeration of {size} bytes")),
        },
        Type::Array { .. } => match shape.elements(module) {
            Some((element, _)) if is_char(module, &element) => Nature::Text { what: named() },
            Some(_) | None => Nature::Whole { what: named() },
        },
        Type::Function => opaque("a function".to_owned()),
        Type::MemberPointer { function: false, size: 8 } => Nature::Number { bytes: 8, signed: true },
        Type::MemberPointer { function: true, size: 16 } => Nature::Whole { what: named() },
        Type::MemberPointer { size, .. } => opaque(format!("{} of {size} bytes", named())),
        Type::Unknown(tag) => opaque(format!("a value of a type ctp does not read ({})", tag.escape_debug())),
        // `bare` looks through these; what is left is nested past its bound.
        Type::Typedef { .. } | Type::Qualified { .. } => opaque(named()),
    }
}

/// The number of a base type that is only shown.
pub(super) fn wide(name: &str, encoding: Encoding, size: u64) -> Option<Wide> {
    // `DW_ATE_complex_float`.
    const COMPLEX: u8 = 3;
    // Of the other floating-point numbers of 16 bytes (`_Float128`) DWARF tells x87's by their names only.
    let extended = name == "long double" || name.ends_with(" long double");
    match (encoding, size) {
        (Encoding::Signed, 16) => Some(Wide::Int { signed: true }),
        (Encoding::Unsigned, 16) => Some(Wide::Int { signed: false }),
        (Encoding::Float, 16) if extended => Some(Wide::Extended),
        (Encoding::Other(COMPLEX), 8) => Some(Wide::Complex { bits: 32 }),
        (Encoding::Other(COMPLEX), 16) => Some(Wide::Complex { bits: 64 }),
        (Encoding::Other(COMPLEX), 32) if extended => Some(Wide::Complex { bits: 80 }),
        (
            Encoding::Signed
            | Encoding::Unsigned
            | Encoding::SignedChar
            | Encoding::UnsignedChar
            | Encoding::Boolean
            | Encoding::Float
            | Encoding::Other(_),
            _,
        ) => None,
    }
}

/// Whether it is a character of which texts are made: a byte.
pub(super) fn is_char(module: &Module, shape: &Shape) -> bool {
    let base = matches!(shape.bare(module).map(|bare| bare.ty), Some(Type::Base { .. }));
    base && matches!(nature(module, shape), Nature::Char { bytes: 1, .. })
}

/// Values and names; what in a name could control a terminal is escaped, for the traced file's maker chose it.
fn names(enumerators: &[Enumerator]) -> Vec<(i64, String)> {
    let wrap = |value: i128| i64::try_from(value).ok().or_else(|| u64::try_from(value).ok().map(u64::cast_signed));
    enumerators.iter().filter_map(|e| Some((wrap(e.value)?, e.name.escape_debug().to_string()))).collect()
}

impl Nature {
    /// It in a few words, for messages.
    pub(super) fn in_words(&self) -> String {
        match self {
            Nature::Int | Nature::Number { .. } => "a number".to_owned(),
            Nature::Str => "text".to_owned(),
            Nature::Char { .. } => "a character".to_owned(),
            Nature::Bool { .. } => "a truth value".to_owned(),
            Nature::Enum { .. } => "an enumerator".to_owned(),
            Nature::Pointer { text: false, .. } => "an address".to_owned(),
            Nature::Pointer { text: true, .. } => "the address of a text".to_owned(),
            Nature::Float { .. } => "a floating-point number".to_owned(),
            Nature::Text { what } | Nature::Whole { what } | Nature::Opaque { what } => what.clone(),
        }
    }
}
