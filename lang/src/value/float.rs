//! Owns how floating-point numbers are written: as C's printf does, and the shortest form that reads back as the same
//! number.

use crate::ir::{FloatForm, Spec};

/// The digits behind the point where a conversion does not say.
const PRECISION: usize = 6;

/// A floating-point number by its bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float {
    /// 32 bits.
    Single(f32),
    /// 64 bits.
    Double(f64),
}

impl Float {
    /// The number whose bits are the lowest 32, or all 64.
    pub fn from_bits(number: i64, bits: u8) -> Float {
        let raw = number.cast_unsigned();
        if bits == 32 {
            let [a, b, c, d, ..] = raw.to_le_bytes();
            Float::Single(f32::from_le_bytes([a, b, c, d]))
        } else {
            Float::Double(f64::from_bits(raw))
        }
    }

    /// The number itself; every one of 32 bits is one of 64 bits too.
    pub fn get(self) -> f64 {
        match self {
            Float::Single(number) => f64::from(number),
            Float::Double(number) => number,
        }
    }

    /// As few digits as tell it from every other number of its size, with the power of ten they begin at: `1.5e3`.
    fn shortest(self) -> String {
        match self {
            Float::Single(number) => format!("{:e}", number.abs()),
            Float::Double(number) => format!("{:e}", number.abs()),
        }
    }
}

/// The number without its sign. For [`FloatForm::Shortest`] without precision: the shortest digits that read back as the
/// same number.
pub(super) fn digits(float: Float, form: FloatForm, spec: Spec) -> String {
    let number = float.get().abs();
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return "inf".to_owned();
    }
    let precision = spec.precision.map(usize::from);
    match (form, precision) {
        (FloatForm::Fixed, precision) => pointed(format!("{number:.*}", precision.unwrap_or(PRECISION)), spec),
        (FloatForm::Exponent, precision) => {
            let (mantissa, power) = scientific(number, precision.unwrap_or(PRECISION));
            exponent(&pointed(mantissa, spec), power)
        }
        (FloatForm::Shortest, Some(precision)) => general(number, precision.max(1), spec),
        (FloatForm::Shortest, None) => round_trip(float),
    }
}

/// Mantissa and power of ten, rounded to that many digits behind the point.
fn scientific(number: f64, precision: usize) -> (String, i32) {
    split(&format!("{number:.precision$e}"))
}

fn split(written: &str) -> (String, i32) {
    let (mantissa, power) = written.split_once('e').unwrap_or((written, "0"));
    (mantissa.to_owned(), power.parse().unwrap_or(0))
}

/// With the sign of the exponent and at least two digits of it, as C has it.
fn exponent(mantissa: &str, power: i32) -> String {
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.unsigned_abs())
}

/// `#`: a point even where no digit follows.
fn pointed(mut text: String, spec: Spec) -> String {
    if spec.alternate && !text.contains('.') {
        text.push('.');
    }
    text
}

/// `%g`: that many significant digits, without the zeros at their end unless `#` keeps them.
fn general(number: f64, precision: usize, spec: Spec) -> String {
    let (mantissa, power) = scientific(number, precision - 1);
    let behind = i32::try_from(precision).unwrap_or(i32::MAX) - 1 - power;
    let short = |text: String| match text.contains('.') && !spec.alternate {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => pointed(text, spec),
    };
    match usize::try_from(behind) {
        Ok(behind) if power >= -4 => short(format!("{number:.behind$}")),
        Ok(_) | Err(_) => exponent(&short(mantissa), power),
    }
}

/// The shortest digits, with an exponent where C's `%g` with 17 digits would have one.
fn round_trip(float: Float) -> String {
    let (mantissa, power) = split(&float.shortest());
    if (-4..17).contains(&power) {
        match float {
            Float::Single(number) => format!("{}", number.abs()),
            Float::Double(number) => format!("{}", number.abs()),
        }
    } else {
        exponent(&mantissa, power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(precision: Option<u16>, alternate: bool) -> Spec {
        Spec { precision, alternate, ..Spec::default() }
    }

    /// What C's printf gives (glibc 2.36).
    #[test]
    fn conversions_as_in_c() {
        use FloatForm::{Exponent, Fixed, Shortest};
        let cases = [
            (Fixed, None, 2.71, "2.710000"),
            (Fixed, Some(0), 2.5, "2"),
            (Fixed, Some(0), 3.5, "4"),
            (Fixed, Some(2), 1e10, "10000000000.00"),
            (Fixed, None, 1e-10, "0.000000"),
            (Exponent, None, 12345.678, "1.234568e+04"),
            (Exponent, Some(0), 5e-7, "5e-07"),
            (Exponent, None, 0.0, "0.000000e+00"),
            (Exponent, Some(1), 1e100, "1.0e+100"),
            (Shortest, Some(6), 0.1 + 0.2, "0.3"),
            (Shortest, Some(6), 1e6, "1e+06"),
            (Shortest, Some(6), 123456.0, "123456"),
            (Shortest, Some(6), 999999.5, "1e+06"),
            (Shortest, Some(6), 0.0001, "0.0001"),
            (Shortest, Some(6), 0.00001, "1e-05"),
            (Shortest, Some(0), 1234.0, "1e+03"),
            (Shortest, Some(6), 0.0, "0"),
            (Fixed, None, f64::INFINITY, "inf"),
            (Shortest, Some(6), f64::NAN, "nan"),
        ];
        for (form, precision, number, expected) in cases {
            assert_eq!(digits(Float::Double(number), form, spec(precision, false)), expected, "{form:?} {number}");
        }
        assert_eq!(digits(Float::Double(1.0), Fixed, spec(Some(0), true)), "1.");
        assert_eq!(digits(Float::Double(1.5), Shortest, spec(Some(6), true)), "1.50000");
    }

    #[test]
    fn without_a_precision_the_digits_are_those_that_tell_it_apart() {
        let cases = [
            (Float::Double(0.1), "0.1"),
            (Float::Double(0.1 + 0.2), "0.30000000000000004"),
            (Float::Single(0.1), "0.1"),
            (Float::Single(16_777_216.0), "16777216"),
            (Float::Double(1.0), "1"),
            (Float::Double(1e21), "1e+21"),
            (Float::Double(5e-324), "5e-324"),
            (Float::Double(0.0), "0"),
        ];
        for (float, expected) in cases {
            assert_eq!(digits(float, FloatForm::Shortest, Spec::default()), expected);
        }
    }
}
