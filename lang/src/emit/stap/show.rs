//! Owns how a value of an output statement is written: the conversion of SystemTap's printf that gives the same
//! characters as `value::write_value`.
//!
//! Where stap's printf differs from C's (its runtime's vsprintf.c, its parser): `0` counts even with a precision,
//! `%#x` of 0 has a prefix, flags come in the order `#`, `+` or blank, `0`, and none goes with `-`.

use crate::ir::{Show, Spec};
use crate::value::FAULT;

/// How a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// By this conversion, of the value itself.
    Direct(String),
    /// By the inner conversion, and its text by the outer one.
    Nested {
        /// Of a string.
        outer: String,
        /// Of the value.
        inner: String,
    },
    /// By `other` where the value is not 0, by `zero` where it is, and that text by the outer one.
    Zero {
        /// Of a string.
        outer: String,
        /// Of the value.
        other: String,
        /// Of 0.
        zero: String,
    },
    /// By this conversion of a string, which a function makes from the value.
    Named(String),
    /// By this conversion; the text cut at the string limit is marked, unless `precision` has cut it before.
    Text {
        /// The conversion.
        conversion: String,
        /// Whether a mark can be seen.
        marked: bool,
    },
}

/// The conversion for a way of showing.
pub(super) fn conversion(show: Show, spec: Spec, strlen: u32) -> Conversion {
    match show {
        Show::Signed if spec.left && (spec.plus || spec.space) => nested(spec, "d", true, false),
        Show::Signed => Conversion::Direct(number(spec, "d", true, false)),
        Show::Unsigned => Conversion::Direct(number(spec, "u", false, false)),
        Show::Hex { upper } => prefixed(spec, if upper { "X" } else { "x" }),
        Show::Octal => prefixed(spec, "o"),
        Show::Pointer if spec.left => nested(spec, "x", false, true),
        Show::Pointer => Conversion::Direct(number(spec, "x", false, true)),
        Show::Char => Conversion::Direct(padded(spec, None, "c")),
        // Refused before anything is written.
        Show::Float { .. } | Show::Unicode | Show::Bool | Show::Enum(_) => Conversion::Named(padded(spec, None, "s")),
        Show::Text => match spec.precision {
            Some(most) if u32::from(most) < strlen => {
                Conversion::Text { conversion: padded(spec, Some(most), "s"), marked: false }
            }
            Some(_) | None => Conversion::Text { conversion: padded(spec, None, "s"), marked: true },
        },
    }
}

fn prefixed(spec: Spec, letter: &str) -> Conversion {
    if !spec.alternate {
        return Conversion::Direct(number(spec, letter, false, false));
    }
    let (outer, inner) = if spec.left { (padded(spec, None, "s"), unpadded(spec)) } else { ("%s".to_owned(), spec) };
    Conversion::Zero { outer, other: number(inner, letter, false, true), zero: number(inner, letter, false, false) }
}

fn nested(spec: Spec, letter: &str, signed: bool, alternate: bool) -> Conversion {
    let inner = number(unpadded(spec), letter, signed, alternate);
    Conversion::Nested { outer: padded(spec, None, "s"), inner }
}

fn unpadded(spec: Spec) -> Spec {
    Spec { left: false, zero: false, width: None, ..spec }
}

fn number(spec: Spec, letter: &str, signed: bool, alternate: bool) -> String {
    let mut out = String::from(if spec.left { "%-" } else { "%" });
    if alternate {
        out.push('#');
    }
    if signed && spec.plus {
        out.push('+');
    } else if signed && spec.space {
        out.push(' ');
    }
    if spec.zero && !spec.left && spec.precision.is_none() {
        out.push('0');
    }
    limits(&mut out, spec.width, spec.precision);
    out + letter
}

fn padded(spec: Spec, precision: Option<u16>, letter: &str) -> String {
    let mut out = String::from(if spec.left { "%-" } else { "%" });
    limits(&mut out, spec.width, precision);
    out + letter
}

fn limits(out: &mut String, width: Option<u16>, precision: Option<u16>) {
    if let Some(width) = width {
        out.push_str(&width.to_string());
    }
    if let Some(precision) = precision {
        out.push('.');
        out.push_str(&precision.to_string());
    }
}

/// A fixed text with blanks up to the width.
pub(super) fn pad(text: &str, spec: Spec) -> String {
    let width = usize::from(spec.width.unwrap_or(0));
    if spec.left { format!("{text:<width$}") } else { format!("{text:>width$}") }
}

/// What stands for a value that could not be read.
pub(super) fn fault(spec: Spec) -> String {
    pad(FAULT, spec)
}

/// Characters that a value of this conversion may take at most, beyond its own text.
pub(super) fn width(spec: Spec) -> usize {
    usize::from(spec.width.unwrap_or(0)).max(usize::from(spec.precision.unwrap_or(0)) + 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_stap_takes_differently_are_left_out() {
        let spec = Spec { zero: true, width: Some(8), precision: Some(3), plus: true, ..Spec::default() };
        assert_eq!(conversion(Show::Signed, spec, 256), Conversion::Direct("%+8.3d".into()));
        assert_eq!(conversion(Show::Unsigned, spec, 256), Conversion::Direct("%8.3u".into()));
        let hex = Spec { alternate: true, zero: true, width: Some(8), ..Spec::default() };
        let wanted = Conversion::Zero { outer: "%s".into(), other: "%#08x".into(), zero: "%08x".into() };
        assert_eq!(conversion(Show::Hex { upper: false }, hex, 256), wanted);
    }

    #[test]
    fn a_text_cut_by_its_precision_bears_no_mark() {
        let spec = Spec { precision: Some(4), ..Spec::default() };
        let wanted = Conversion::Text { conversion: "%.4s".into(), marked: false };
        assert_eq!(conversion(Show::Text, spec, 256), wanted);
    }
}
