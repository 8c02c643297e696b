//! Owns values at run time and how they are written: the one printf of ctp, shared by every engine's output and by the
//! interpreter.

mod float;
mod histogram;
mod table;
#[cfg(test)]
mod tests;
mod whole;
mod wide;

use std::sync::Arc;

use crate::ir::{
    EnumNames, FloatForm, GlobalIndex, GlobalKind, Linear, Piece, Print, PrintKind, Program, Show, Spec, Whole,
};
use crate::stack::Stack;
use crate::stats::Stats;

pub use float::Float;
pub use histogram::{Bucket, NO_VALUES, buckets};
pub use table::{answers, sort_entries, write_global, write_key};
pub use whole::{MORE, Node, as_float, decode, write_nested, write_node};

/// A value at run time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// A number.
    Int(i64),
    /// Bytes, and whether they were cut at the string limit.
    Str {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether there was more.
        truncated: bool,
    },
    /// It could not be read.
    Fault,
    /// An aggregate.
    Stats(Box<Stats>),
    /// A stack of the traced program.
    Stack(Arc<Stack>),
    /// The entries of a map or of a map of aggregates, each a key (empty for what has none) and a value: what a
    /// histogram or a table is drawn from.
    Table(Vec<(Vec<Value>, Value)>),
}

impl Value {
    /// A whole string.
    pub fn str(bytes: impl Into<Vec<u8>>) -> Value {
        Value::Str { bytes: bytes.into(), truncated: false }
    }

    /// What computes with texts gets of it: of a stack its lines.
    #[must_use]
    pub fn as_text(self) -> Value {
        match self {
            Value::Stack(stack) => Value::str(stack.text("\n")),
            Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stats(_) | Value::Table(_) => self,
        }
    }
}

/// An entry of a map: key, value.
pub type MapEntry = (Vec<Value>, Value);

/// What stands where a value could not be read.
pub const FAULT: &str = "<fault>";
/// What follows a text that was cut.
pub const TRUNCATED: &str = "<truncated>";
/// What stands where a value has no location.
pub const OPTIMIZED_OUT: &str = "<optimized out>";

/// Writes an output statement: `values` holds as many values for each piece as [`Piece::values`] says, in order; one
/// that is missing is written as a fault. An event is one line, `name=value` for each field.
pub fn write_print(out: &mut Vec<u8>, print: &Print, values: &[Value], program: &Program) {
    match &print.kind {
        PrintKind::Text | PrintKind::Error | PrintKind::Keep(_) => write_pieces(out, &print.pieces, values, program),
        PrintKind::Event(names) => {
            for (index, (name, (piece, values))) in names.iter().zip(with_values(&print.pieces, values)).enumerate() {
                let between = if index == 0 { "" } else { " " };
                out.extend_from_slice(format!("{between}{name}=").as_bytes());
                write_field(out, piece, values, program);
            }
            out.push(b'\n');
        }
    }
}

/// Writes the pieces of an output, as [`write_print`] does.
pub fn write_pieces(out: &mut Vec<u8>, pieces: &[Piece], values: &[Value], program: &Program) {
    with_values(pieces, values).for_each(|(piece, values)| write_piece(out, piece, values, program));
}

/// Each piece of an output with its values.
pub fn with_values<'a>(pieces: &'a [Piece], values: &'a [Value]) -> impl Iterator<Item = (&'a Piece, &'a [Value])> {
    let mut rest = values;
    pieces.iter().map(move |piece| {
        let (own, behind) = rest.split_at(piece.values().min(rest.len()));
        rest = behind;
        (piece, own)
    })
}

/// Writes one piece of an output with its values.
pub fn write_piece(out: &mut Vec<u8>, piece: &Piece, values: &[Value], program: &Program) {
    let first = values.first().unwrap_or(&Value::Fault);
    match piece {
        Piece::Text(bytes) => out.extend_from_slice(bytes),
        Piece::Unavailable { text, spec } => pad(out, text.as_bytes(), *spec),
        Piece::Value(shown) => write_value(out, first, shown.show, shown.spec, &program.enums),
        Piece::Whole(whole) => {
            let mut text = Vec::new();
            write_node(&mut text, &node(whole, values, program), &program.enums);
            pad(out, &text, whole.spec);
        }
        Piece::Histogram { global, linear, .. } => {
            let kept = linear.map(|linear| (place(program, *global, linear), linear));
            histogram::write(out, name(program, *global), entries(first), kept);
        }
        Piece::Table { global, asked } => table::write_table(out, name(program, *global), *asked, entries(first)),
    }
}

/// Writes the value of an event's field: text in quotes, so that no text can be taken for anything else; a table or a
/// histogram begins on a line of its own.
fn write_field(out: &mut Vec<u8>, piece: &Piece, values: &[Value], program: &Program) {
    match (piece, values.first()) {
        (Piece::Value(shown), Some(value @ Value::Str { .. })) if shown.show == Show::Text => write_literal(out, value),
        (Piece::Value(_), Some(stack @ Value::Stack(_))) => {
            out.push(b'[');
            write_literal(out, stack);
            out.push(b']');
        }
        (Piece::Whole(whole), Some(_)) => write_nested(out, &node(whole, values, program), &program.enums),
        (Piece::Histogram { .. } | Piece::Table { .. }, _) => {
            out.push(b'\n');
            write_piece(out, piece, values, program);
        }
        (Piece::Text(_) | Piece::Unavailable { .. } | Piece::Value(_) | Piece::Whole(_), _) => {
            write_piece(out, piece, values, program);
        }
    }
}

/// A value that is shown whole, taken apart.
pub fn node(whole: &Whole, values: &[Value], program: &Program) -> Node {
    match (values, program.layouts.get(whole.layout.0 as usize)) {
        ([bytes, elsewhere @ ..], Some(layout)) => decode(layout, bytes, elsewhere),
        ([], _) | (_, None) => Node::Fault,
    }
}

/// The name of a global.
pub fn name(program: &Program, global: GlobalIndex) -> &str {
    program.globals.get(global.0 as usize).map_or("", |global| global.name.as_str())
}

/// Which of the linear histograms that an aggregate keeps is this one.
pub fn place(program: &Program, global: GlobalIndex, linear: Linear) -> usize {
    match program.globals.get(global.0 as usize).map(|global| &global.kind) {
        Some(GlobalKind::Stats { shape, .. }) => {
            shape.linear.iter().position(|kept| *kept == linear).unwrap_or(usize::MAX)
        }
        Some(GlobalKind::Scalar { .. } | GlobalKind::Map { .. }) | None => usize::MAX,
    }
}

fn entries(value: &Value) -> &[(Vec<Value>, Value)] {
    match value {
        Value::Table(entries) => entries,
        Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) => &[],
    }
}

/// Writes one value as a conversion says.
pub fn write_value(out: &mut Vec<u8>, value: &Value, show: Show, spec: Spec, enums: &[EnumNames]) {
    match value {
        Value::Fault => pad(out, FAULT.as_bytes(), spec),
        Value::Str { bytes, truncated } => {
            let shown = spec.precision.map_or(bytes.as_slice(), |most| bytes.get(..usize::from(most)).unwrap_or(bytes));
            if *truncated && shown.len() == bytes.len() {
                let mut marked = shown.to_vec();
                marked.extend_from_slice(TRUNCATED.as_bytes());
                pad(out, &marked, spec);
            } else {
                pad(out, shown, spec);
            }
        }
        Value::Stack(stack) => {
            let text = stack.text("\n").into_bytes();
            pad(out, spec.precision.and_then(|most| text.get(..usize::from(most))).unwrap_or(&text), spec);
        }
        // What only stands in tables.
        Value::Stats(_) | Value::Table(_) => pad(out, FAULT.as_bytes(), spec),
        Value::Int(number) => write_int(out, *number, show, spec, enums),
    }
}

fn write_int(out: &mut Vec<u8>, number: i64, show: Show, spec: Spec, enums: &[EnumNames]) {
    let unsigned = number.cast_unsigned();
    match show {
        Show::Signed | Show::Text => digits(out, sign(number < 0, spec), &number.unsigned_abs().to_string(), spec),
        Show::Unsigned => digits(out, "", &unsigned.to_string(), spec),
        Show::Hex { upper: false } => digits(out, prefix(spec, number, "0x"), &format!("{unsigned:x}"), spec),
        Show::Hex { upper: true } => digits(out, prefix(spec, number, "0X"), &format!("{unsigned:X}"), spec),
        Show::Octal => octal(out, unsigned, spec),
        Show::Float { bits, form } => float_digits(out, Float::from_bits(number, bits), form, spec),
        Show::Pointer => digits(out, "0x", &format!("{unsigned:x}"), spec),
        Show::Char => pad(out, &[unsigned.to_le_bytes()[0]], spec),
        Show::Unicode => pad(out, unicode(number).unwrap_or_else(|words| words).as_bytes(), spec),
        Show::Bool => match number {
            0 => pad(out, b"false", spec),
            1 => pad(out, b"true", spec),
            _ => digits(out, sign(number < 0, spec), &number.unsigned_abs().to_string(), spec),
        },
        Show::Enum(index) => {
            let named = enums.get(index.0 as usize).and_then(|e| e.names.iter().find(|(value, _)| *value == number));
            match named {
                Some((_, name)) => pad(out, name.as_bytes(), spec),
                None => digits(out, sign(number < 0, spec), &number.unsigned_abs().to_string(), spec),
            }
        }
    }
}

/// The character of a number, as a text; an error says in words that there is none.
///
/// # Errors
/// For a number that is no character's (Unicode 3.9, D76).
pub fn unicode(number: i64) -> Result<String, String> {
    let code = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    char::from_u32(code).map(String::from).ok_or_else(|| format!("<no character {code:#x}>"))
}

fn sign(negative: bool, spec: Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

fn prefix(spec: Spec, number: i64, text: &'static str) -> &'static str {
    if spec.alternate && number != 0 { text } else { "" }
}

/// `#` makes the first digit a 0, which a precision may already do.
fn octal(out: &mut Vec<u8>, number: u64, spec: Spec) {
    let written = format!("{number:o}");
    let least = u16::try_from(written.len() + 1).unwrap_or(u16::MAX);
    match spec.precision {
        Some(precision) if spec.alternate && (number != 0 || precision == 0) => {
            let least = if number == 0 { 1 } else { least };
            digits(out, "", &written, Spec { precision: Some(precision.max(least)), ..spec });
        }
        Some(_) => digits(out, "", &written, spec),
        None => digits(out, if spec.alternate && number != 0 { "0" } else { "" }, &written, spec),
    }
}

/// Digits with their prefix, as C's printf lays them out: precision first, then zero or blank padding. A 0 with a
/// precision of 0 has no digits.
fn digits(out: &mut Vec<u8>, prefix: &str, digits: &str, spec: Spec) {
    let digits = if spec.precision == Some(0) && digits == "0" { "" } else { digits };
    let least = usize::from(spec.precision.unwrap_or(0));
    let mut zeros = least.saturating_sub(digits.len());
    if spec.precision.is_none() {
        zeros = padding_zeros(prefix.len() + digits.len(), spec);
    }
    write_digits(out, prefix, zeros, digits, spec);
}

fn float_digits(out: &mut Vec<u8>, float: Float, form: FloatForm, spec: Spec) {
    let number = float.get();
    let digits = float::digits(float, form, spec);
    let prefix = sign(number.is_sign_negative(), spec);
    // Infinities and what is no number are padded with blanks.
    let zeros = if number.is_finite() { padding_zeros(prefix.len() + digits.len(), spec) } else { 0 };
    write_digits(out, prefix, zeros, &digits, spec);
}

/// How many zeros the flag `0` fills a width with.
fn padding_zeros(written: usize, spec: Spec) -> usize {
    let fills = spec.zero && !spec.left;
    if fills { usize::from(spec.width.unwrap_or(0)).saturating_sub(written) } else { 0 }
}

fn write_digits(out: &mut Vec<u8>, prefix: &str, zeros: usize, digits: &str, spec: Spec) {
    let mut text = Vec::with_capacity(prefix.len() + zeros + digits.len());
    text.extend_from_slice(prefix.as_bytes());
    text.resize(text.len() + zeros, b'0');
    text.extend_from_slice(digits.as_bytes());
    pad(out, &text, spec);
}

fn pad(out: &mut Vec<u8>, text: &[u8], spec: Spec) {
    let blanks = usize::from(spec.width.unwrap_or(0)).saturating_sub(text.len());
    if !spec.left {
        out.resize(out.len() + blanks, b' ');
    }
    out.extend_from_slice(text);
    if spec.left {
        out.resize(out.len() + blanks, b' ');
    }
}

/// A value as a program would write it: text in quotes, with its quotes, backslashes and control bytes escaped.
fn write_literal(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        // What only stands in tables is no key.
        Value::Fault | Value::Stats(_) | Value::Table(_) => out.extend_from_slice(FAULT.as_bytes()),
        Value::Stack(stack) => out.extend_from_slice(stack.text(" < ").as_bytes()),
        Value::Str { bytes, truncated } => {
            write_quoted(out, bytes, b'"');
            if *truncated {
                out.extend_from_slice(TRUNCATED.as_bytes());
            }
        }
    }
}

/// Text between quotes of that kind, with C's escapes.
fn write_quoted(out: &mut Vec<u8>, bytes: &[u8], quote: u8) {
    out.push(quote);
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            byte if byte == quote => out.extend_from_slice(&[b'\\', byte]),
            byte => out.push(byte),
        }
    }
    out.push(quote);
}
