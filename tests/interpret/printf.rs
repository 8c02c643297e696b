//! Numbers as conversions write them, all combinations of flags against the C library's printf.

use std::ffi::CString;

use ctp_lang::ir::{FloatForm, Show, Spec};
use ctp_lang::value::{Value, write_value};

fn c_int(format: &str, number: i64) -> String {
    let format = CString::new(format).unwrap();
    let mut buffer = [0u8; 512];
    // SAFETY: the format has one conversion, of a `long`; the buffer is as long as is said.
    let length = unsafe { libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), number) };
    String::from_utf8(buffer[..usize::try_from(length).unwrap()].to_vec()).unwrap()
}

fn c_float(format: &str, number: f64) -> String {
    let format = CString::new(format).unwrap();
    let mut buffer = [0u8; 1024];
    // SAFETY: the format has one conversion, of a `double`; the buffer is as long as is said.
    let length = unsafe { libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), number) };
    String::from_utf8(buffer[..usize::try_from(length).unwrap()].to_vec()).unwrap()
}

fn ours(number: i64, show: Show, spec: Spec) -> String {
    let mut out = Vec::new();
    write_value(&mut out, &Value::Int(number), show, spec, &[]);
    String::from_utf8(out).unwrap()
}

/// Every combination of flags, some widths and precisions, and how it is written.
fn specs(alternate: &[bool]) -> Vec<(String, Spec)> {
    let mut all = Vec::new();
    let both = [false, true];
    for (left, zero, plus, space) in both
        .into_iter()
        .flat_map(|a| both.map(|b| (a, b)))
        .flat_map(|(a, b)| both.into_iter().flat_map(move |c| both.map(|d| (a, b, c, d))))
    {
        for &alternate in alternate {
            for width in [None, Some(1), Some(12)] {
                for precision in [None, Some(0), Some(1), Some(5), Some(14)] {
                    let flags = [(left, '-'), (zero, '0'), (plus, '+'), (space, ' '), (alternate, '#')];
                    let flags: String = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect();
                    let width_text = width.map_or(String::new(), |width: u16| width.to_string());
                    let precision_text = precision.map_or(String::new(), |precision: u16| format!(".{precision}"));
                    let spec = Spec { left, zero, plus, space, alternate, width, precision };
                    all.push((format!("{flags}{width_text}{precision_text}"), spec));
                }
            }
        }
    }
    all
}

#[test]
fn whole_numbers_as_in_c() {
    let conversions = [
        ("ld", Show::Signed, &[false][..]),
        ("lu", Show::Unsigned, &[false]),
        ("lx", Show::Hex { upper: false }, &[false, true]),
        ("lX", Show::Hex { upper: true }, &[false, true]),
        ("lo", Show::Octal, &[false, true]),
    ];
    for (letter, show, alternate) in conversions {
        for (written, spec) in specs(alternate) {
            for number in [0, 1, -1, 8, 255, 123_456_789_012, i64::MIN, i64::MAX] {
                let format = format!("%{written}{letter}");
                assert_eq!(ours(number, show, spec), c_int(&format, number), "{format} of {number}");
            }
        }
    }
}

#[test]
fn floats_as_in_c() {
    let numbers = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        2.5,
        1e6,
        999_999.5,
        1e-5,
        123_456.789,
        1e22,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    for (letter, form) in [("f", FloatForm::Fixed), ("e", FloatForm::Exponent), ("g", FloatForm::Shortest)] {
        for (written, spec) in specs(&[false, true]) {
            // Without a precision `%g` shows what tells a number apart: the checker gives it C's own.
            let spec = match (form, spec.precision) {
                (FloatForm::Shortest, None) => Spec { precision: Some(6), ..spec },
                _ => spec,
            };
            for number in numbers {
                // glibc 2.36 writes `1.e+06` for `%#g`: the zeros that `#` keeps are lost where rounding adds a digit.
                if spec.alternate && form == FloatForm::Shortest && number == 999_999.5 {
                    continue;
                }
                let format = format!("%{written}{letter}");
                let bits = number.to_bits().cast_signed();
                let shown = ours(bits, Show::Float { bits: 64, form }, spec);
                assert_eq!(shown, c_float(&format, number), "{format} of {number:e}");
            }
        }
    }
}
