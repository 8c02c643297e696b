//! Owns what an output statement makes, and how each value in it is shown.

use super::{EnumIndex, Expr, GlobalIndex, LayoutIndex, Linear, StatOp, TargetStep};
use crate::source::Span;

/// What an output statement makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintKind {
    /// Text (`printf`, `print`, `println`).
    Text,
    /// One structured event (`emit`): each piece is the field of that name, none is [`Piece::Text`].
    Event(Vec<String>),
    /// A message that ends the run as failed (`error("…")`); [`super::Stmt::Exit`] follows.
    Error,
    /// No output: a change of a map that an engine holds outside the kernel. The pieces are the parts of its key and the
    /// operand. Only engines make it.
    Keep(Keep),
}

/// A change of a map that is held outside the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The entry becomes the operand.
    Set(GlobalIndex),
    /// It grows by the operand.
    Add(GlobalIndex),
    /// It is fed with the operand (`<<<`).
    Feed(GlobalIndex),
}

/// One output statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// What it makes.
    pub kind: PrintKind,
    /// What is written, in order.
    pub pieces: Vec<Piece>,
    /// Where it is written in the source.
    pub span: Span,
}

/// Part of an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// These bytes.
    Text(Vec<u8>),
    /// A value.
    Value(Shown),
    /// A value that has no location at these sites: the text stands in its place, e.g. `<optimized out>`.
    Unavailable {
        /// What is shown.
        text: &'static str,
        /// Width and alignment.
        spec: Spec,
    },
    /// A value of the program that is shown whole: a struct, an array, a text or sequence of its language.
    Whole(Box<Whole>),
    /// `@hist_log(x)`, `@hist_linear(x, …)`: drawn with bars; of a map of aggregates one for each key. Only in `begin`,
    /// `end` and `every`.
    Histogram {
        /// The aggregate.
        global: GlobalIndex,
        /// The key; empty for one aggregate, or for all of a map.
        keys: Vec<Expr>,
        /// Which histogram; `None` for the one of powers of two.
        linear: Option<Linear>,
        /// Where it is written.
        span: Span,
    },
    /// All entries of a map or of a map of aggregates. Only in `begin`, `end` and `every`.
    Table {
        /// Which.
        global: GlobalIndex,
        /// What is asked of each aggregate (`@avg(m)`); `None` for the entries themselves.
        asked: Option<StatOp>,
    },
}

/// A value of the program that is shown whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// How its bytes are shown.
    pub layout: LayoutIndex,
    /// Its bytes ([`super::ExprKind::Block`]); where they cannot be read, `<fault>` is shown.
    pub block: Expr,
    /// Texts and bytes that lie elsewhere, of type str, by the number layouts name them by; each that cannot be read is
    /// shown as `<fault>`.
    pub elsewhere: Vec<Expr>,
    /// Width and alignment.
    pub spec: Spec,
    /// The variable's DWARF name (without `$`) and what is done with it, where it was written as such.
    pub written: Option<(String, Vec<TargetStep>)>,
}

/// How the bytes of a value are shown. Offsets count from where the enclosing layout begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A number, truth value, character, enumerator or address of 1, 2, 4 or 8 bytes.
    Scalar {
        /// How many bytes.
        size: u8,
        /// Whether it is sign-extended.
        signed: bool,
        /// How it is shown.
        show: Show,
    },
    /// A number that is wider than 64 bits, or has two parts.
    Wide(Wide),
    /// Text in an array of that many bytes, up to its first NUL.
    Chars(u64),
    /// The text that lies elsewhere, by its number in [`Whole::elsewhere`].
    Text(usize),
    /// A sequence whose elements lie elsewhere, one behind the other; where they were cut, it shows that.
    Elements {
        /// Their bytes, by their number in [`Whole::elsewhere`].
        bytes: usize,
        /// From one element to the next, at least 1.
        stride: u64,
        /// The first elements, each by itself, where there is more of them elsewhere (texts): no others are shown.
        first: Vec<Layout>,
        /// One element, where it is all there is of it.
        element: Box<Layout>,
    },
    /// An array.
    Array {
        /// How many elements are shown.
        count: u64,
        /// How many more there are.
        more: u64,
        /// From one element to the next.
        stride: u64,
        /// As of [`Layout::Elements`].
        first: Vec<Layout>,
        /// One element.
        element: Box<Layout>,
    },
    /// A struct, class or union: `{.a=1, .b=2}`; with the name before it where one is to be shown.
    Aggregate {
        /// What stands before the brace (a variant's name).
        name: Option<String>,
        /// Whether the members are shown without names, in parentheses: a tuple.
        tuple: bool,
        /// What is in it.
        members: Vec<LayoutMember>,
    },
    /// One of several, by a number in it (Rust's enums).
    Variants {
        /// Where the number that tells them apart is; `None` where there is only one variant.
        discriminant: Option<Discriminant>,
        /// The variants.
        arms: Vec<VariantLayout>,
    },
    /// These words, whatever the bytes are: what is not shown, and why.
    Words(String),
}

/// A number that is only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// A whole number of 16 bytes.
    Int {
        /// Whether it has a sign.
        signed: bool,
    },
    /// x87's floating-point number of 80 bits, in 16 bytes.
    Extended,
    /// A complex number: two floating-point numbers of so many bits (32, 64, 80), the real part first.
    Complex {
        /// Bits of each.
        bits: u8,
    },
}

/// A member of a value that is shown whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutMember {
    /// Its name; `None` for a base class or an anonymous member, whose own members are shown in its place.
    pub name: Option<String>,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// For a bit-field: where its lowest bit is, in bits from the start of the aggregate (not of the member), and how
    /// many bits it has (1–64).
    pub bits: Option<(u64, u8)>,
    /// How it is shown.
    pub layout: Layout,
}

/// The number that says which variant a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discriminant {
    /// Where it is, in bytes.
    pub offset: u64,
    /// How many bytes it has (1, 2, 4, 8).
    pub size: u8,
    /// Whether it is signed.
    pub signed: bool,
}

/// One variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantLayout {
    /// The numbers that mean it, as ranges with their ends; none: what no other variant is meant by.
    pub values: Vec<(i64, i64)>,
    /// How it is shown.
    pub layout: Layout,
}

/// A value in an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The value.
    pub value: Expr,
    /// How it is shown.
    pub show: Show,
    /// Width, precision and flags.
    pub spec: Spec,
    /// What happens when it cannot be read: true shows `<fault>` in its place, false (it is the result of a
    /// computation) stops the run of the handler.
    pub fault_is_shown: bool,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A signed decimal number.
    Signed,
    /// An unsigned decimal number.
    Unsigned,
    /// Hexadecimal digits; upper case or not.
    Hex {
        /// `%X`
        upper: bool,
    },
    /// Octal digits.
    Octal,
    /// `0x` and hexadecimal digits.
    Pointer,
    /// The byte of that number.
    Char,
    /// The character with that number (Rust's `char`), as UTF-8.
    Unicode,
    /// `true` or `false`.
    Bool,
    /// An enumerator's name, or the number where none fits.
    Enum(EnumIndex),
    /// A string's bytes.
    Text,
    /// A floating-point number, whose bits the value is.
    Float {
        /// How many bits: 32 or 64.
        bits: u8,
        /// In which of C's forms.
        form: FloatForm,
    },
}

/// C's forms of a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatForm {
    /// `%f`: digits before and behind the point.
    Fixed,
    /// `%e`: with an exponent.
    Exponent,
    /// `%g`: the shorter of both (what `print` shows).
    Shortest,
}

/// Width, precision and flags of a conversion, as in C's printf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spec {
    /// `-`
    pub left: bool,
    /// `0`
    pub zero: bool,
    /// `+`
    pub plus: bool,
    /// a space
    pub space: bool,
    /// `#`
    pub alternate: bool,
    /// The least number of characters, at most 4096.
    pub width: Option<u16>,
    /// Digits at least, or characters of text at most.
    pub precision: Option<u16>,
}

impl Piece {
    /// Calls `visit` on every expression that stands directly in it.
    pub fn operands<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Piece::Text(_) | Piece::Unavailable { .. } | Piece::Table { .. } => {}
            Piece::Value(shown) => visit(&shown.value),
            Piece::Whole(whole) => {
                visit(&whole.block);
                whole.elsewhere.iter().for_each(visit);
            }
            Piece::Histogram { keys, .. } => keys.iter().for_each(visit),
        }
    }

    /// How many values it takes: see [`crate::interpret::Run::prints`].
    pub fn values(&self) -> usize {
        match self {
            Piece::Text(_) | Piece::Unavailable { .. } => 0,
            Piece::Value(_) | Piece::Histogram { .. } | Piece::Table { .. } => 1,
            Piece::Whole(whole) => 1 + whole.elsewhere.len(),
        }
    }
}
