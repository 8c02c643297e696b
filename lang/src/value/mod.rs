//! Owns values at run time and how they are written: the one printf of ctp, shared by every engine's output and by the
//! interpreter.

use crate::ir::{EnumNames, Piece, Print, Program, Show, Spec};
use crate::stats::Stats;

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
    /// The entries of a map or of a map of aggregates, each a key (empty for what has none) and a value: what a
    /// histogram or a table is drawn from.
    Table(Vec<(Vec<Value>, Value)>),
}

impl Value {
    /// A whole string.
    pub fn str(bytes: impl Into<Vec<u8>>) -> Value {
        Value::Str { bytes: bytes.into(), truncated: false }
    }
}

/// What stands where a value could not be read.
pub const FAULT: &str = "<fault>";
/// What follows a text that was cut.
pub const TRUNCATED: &str = "<truncated>";
/// What stands where a value has no location.
pub const OPTIMIZED_OUT: &str = "<optimized out>";

/// Writes an output statement: `values` holds as many values for each piece as [`Piece::values`] says, in order; one
/// that is missing is written as a fault.
pub fn write_print(out: &mut Vec<u8>, print: &Print, values: &[Value], program: &Program) {
    write_pieces(out, &print.pieces, values, program);
}

/// Writes the pieces of an output, as [`write_print`] does.
pub fn write_pieces(out: &mut Vec<u8>, pieces: &[Piece], values: &[Value], program: &Program) {
    let mut values = values.iter();
    for piece in pieces {
        match piece {
            Piece::Text(bytes) => out.extend_from_slice(bytes),
            Piece::Unavailable { text, spec } => pad(out, text.as_bytes(), *spec),
            Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => {
                values.by_ref().take(piece.values()).for_each(drop);
            }
            Piece::Value(shown) => {
                write_value(out, values.next().unwrap_or(&Value::Fault), shown.show, shown.spec, &program.enums)
            }
        }
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
        Value::Stats(_) | Value::Table(_) => {}
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
        Show::Octal => digits(out, prefix(spec, number, "0"), &format!("{unsigned:o}"), spec),
        Show::Float { .. } => {}
        Show::Pointer => digits(out, "0x", &format!("{unsigned:x}"), spec),
        Show::Char => pad(out, &[unsigned.to_le_bytes()[0]], spec),
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

/// Digits with their prefix, as C's printf lays them out: precision first, then zero or blank padding.
fn digits(out: &mut Vec<u8>, prefix: &str, digits: &str, spec: Spec) {
    let least = usize::from(spec.precision.unwrap_or(0));
    let width = usize::from(spec.width.unwrap_or(0));
    let mut zeros = least.saturating_sub(digits.len());
    if spec.zero && !spec.left && spec.precision.is_none() {
        zeros = width.saturating_sub(prefix.len() + digits.len());
    }
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

/// Writes a global or an entry of a map as both engines print those that nothing reads: `name = 42`,
/// `name["web", 3] = 7`, and a newline.
pub fn write_global(out: &mut Vec<u8>, name: &str, keys: &[Value], value: &Value) {
    out.extend_from_slice(name.as_bytes());
    for (index, key) in keys.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b", " });
        write_literal(out, key);
    }
    if !keys.is_empty() {
        out.push(b']');
    }
    out.extend_from_slice(b" = ");
    write_literal(out, value);
    out.push(b'\n');
}

/// A value as a program would write it: text in quotes, with its quotes, backslashes and control bytes escaped.
fn write_literal(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Fault => out.extend_from_slice(FAULT.as_bytes()),
        Value::Stats(_) | Value::Table(_) => {}
        Value::Str { bytes, truncated } => {
            out.push(b'"');
            for &byte in bytes {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\t' => out.extend_from_slice(b"\\t"),
                    0..=0x1f | 0x7f => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                    _ => out.push(byte),
                }
            }
            out.push(b'"');
            if *truncated {
                out.extend_from_slice(TRUNCATED.as_bytes());
            }
        }
    }
}

/// Orders the entries of a map as they are printed: by value, the greatest first, then by key.
pub fn sort_entries(entries: &mut [(Vec<Value>, Value)]) {
    entries.sort_by(|(a_key, a), (b_key, b)| b.cmp(a).then_with(|| a_key.cmp(b_key)));
}
