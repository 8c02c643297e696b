//! Owns the numbers of the program that are wider than 64 bits or have two parts, as text: whole numbers of 16 bytes, x87's
//! floating-point numbers of 80 bits (`long double`), complex numbers.

use super::{Spec, write_int};
use crate::ir::{FloatForm, Show, Wide};

/// Significant decimal digits of an 80-bit number, which tell it from all others (as `%.21Lg` in C).
const DIGITS: usize = 21;
/// Powers of two beyond which such a number is written with its power of two (as `%La` does): more decimal digits than are
/// worth working out for every number that a program shows. Those of a `double` lie within.
const MOST_EXPONENT: i32 = 1_200;

/// The text of a number, given its bytes; `None` where there are too few.
pub(super) fn write(wide: Wide, bytes: &[u8]) -> Option<String> {
    Some(match wide {
        Wide::Int { signed } => {
            let bytes: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
            if signed { i128::from_le_bytes(bytes).to_string() } else { u128::from_le_bytes(bytes).to_string() }
        }
        Wide::Extended => extended(bytes)?,
        Wide::Complex { bits } => {
            let size = match bits {
                32 => 4,
                64 => 8,
                _ => 16,
            };
            let part = |bytes: &[u8]| -> Option<String> {
                if size == 16 {
                    return extended(bytes);
                }
                let mut eight = [0; 8];
                eight.get_mut(..size)?.copy_from_slice(bytes.get(..size)?);
                let mut out = Vec::new();
                let show = Show::Float { bits, form: FloatForm::Shortest };
                write_int(&mut out, i64::from_le_bytes(eight), show, Spec::default(), &[]);
                String::from_utf8(out).ok()
            };
            let (real, imaginary) = (part(bytes)?, part(bytes.get(size..)?)?);
            let plus = if imaginary.starts_with('-') { "" } else { "+" };
            format!("{real}{plus}{imaginary}i")
        }
    })
}

/// x87's format: 64 bits of a significand with its integer bit, then 15 of an exponent and a sign.
fn extended(bytes: &[u8]) -> Option<String> {
    let significand = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let top = u16::from_le_bytes(bytes.get(8..10)?.try_into().ok()?);
    let sign = if top & 0x8000 != 0 { "-" } else { "" };
    let biased = i32::from(top & 0x7fff);
    // Without the integer bit only the smallest are numbers.
    let text = match (biased, significand) {
        (_, 0) if biased != 0x7fff => "0".to_owned(),
        (0x7fff, 0x8000_0000_0000_0000) => "inf".to_owned(),
        (0x7fff, _) => "nan".to_owned(),
        (1.., ..0x8000_0000_0000_0000) => "nan".to_owned(),
        (_, significand) => {
            let exponent = biased.max(1) - 16_383 - 63;
            if exponent.abs() > MOST_EXPONENT { binary(significand, exponent) } else { decimal(significand, exponent) }
        }
    };
    Some(format!("{sign}{text}"))
}

/// A significand and the power of two of its lowest bit, so written: four bits, then the others.
fn binary(significand: u64, exponent: i32) -> String {
    let fraction = format!("{:015x}", significand & (u64::MAX >> 4));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("0x{:x}{point}{fraction}p{:+}", significand >> 60, exponent + 60)
}

/// The same in decimal, rounded to [`DIGITS`].
fn decimal(significand: u64, exponent: i32) -> String {
    // `m * 2^-k` is `m * 5^k / 10^k`: all its digits are those of a whole number.
    let (factor, times, point) = if exponent >= 0 { (2, exponent, 0) } else { (5, -exponent, -exponent) };
    let mut limbs = vec![significand % LIMB, significand / LIMB % LIMB, significand / LIMB / LIMB];
    for _ in 0..times {
        multiply(&mut limbs, factor);
    }
    let digits: String = limbs.iter().rev().map(|limb| format!("{limb:09}")).collect();
    let digits = digits.trim_start_matches('0');
    let (mut kept, rest) = digits.split_at(digits.len().min(DIGITS));
    // The power of ten of the first digit.
    let mut first = i32::try_from(digits.len()).unwrap_or(0) - 1 - point;
    let rounded;
    let half = format!("5{}", "0".repeat(rest.len().saturating_sub(1)));
    let odd = kept.as_bytes().last().is_some_and(|digit| digit % 2 == 1);
    if rest > half.as_str() || rest == half && odd {
        let up = kept.parse::<u128>().unwrap_or(0) + 1;
        rounded = up.to_string();
        first += i32::from(rounded.len() > kept.len());
        kept = &rounded;
    }
    let kept = kept.trim_end_matches('0');
    let (lead, fraction) = kept.split_at(kept.len().min(1));
    if !(-4..21).contains(&first) {
        let point = if fraction.is_empty() { "" } else { "." };
        let sign = if first < 0 { '-' } else { '+' };
        return format!("{lead}{point}{fraction}e{sign}{:02}", first.abs());
    }
    let Ok(whole) = usize::try_from(first) else {
        let zeros = "0".repeat(usize::try_from(-first - 1).unwrap_or(0));
        return format!("0.{zeros}{kept}");
    };
    match kept.len().checked_sub(whole + 1) {
        None | Some(0) => format!("{kept:0<width$}", width = whole + 1),
        Some(_) => format!("{}.{}", &kept[..=whole], &kept[whole + 1..]),
    }
}

/// What a limb of a decimal number is below.
const LIMB: u64 = 1_000_000_000;

fn multiply(limbs: &mut Vec<u64>, factor: u64) {
    let mut carry = 0;
    for limb in limbs.iter_mut() {
        let product = *limb * factor + carry;
        (*limb, carry) = (product % LIMB, product / LIMB);
    }
    if carry > 0 {
        limbs.push(carry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text by C's own `%.21Lg`, and by `%La` those of the largest powers, as a program of gcc printed it.
    #[test]
    fn long_doubles_are_written_as_c_writes_them() {
        for (significand, top, text) in [
            (0x8000_0000_0000_0000, 0x3fff, "1"),
            (0xc000_0000_0000_0000, 0xbfff, "-1.5"),
            (0xcccc_cccc_cccc_cccd, 0x3ffb, "0.100000000000000000001"),
            (0xad78_ebc5_ac62_0000, 0x4041, "100000000000000000000"),
            (0xd629_d3f0_25e6_cd87, 0x4041, "123456789012345678904"),
            (0xd8d7_26b7_177a_8000, 0x4044, "1e+21"),
            (0xaaaa_aaaa_aaaa_aaab, 0x3ffd, "0.333333333333333333342"),
            (0xd1b7_1758_e219_652c, 0xbfef, "-2.50000000000000000003e-05"),
            (0xd1b7_1758_e219_652c, 0x3ff1, "0.000100000000000000000001"),
            (0xa7c5_ac47_1b47_8423, 0x3fee, "9.99999999999999999995e-06"),
            (0x8f59_6b30_02c1_a5e2, 0x43e5, "3.0000000000000000001e+300"),
            (0xab70_fe17_c79a_c6ca, 0x3c1a, "9.99999999999999999965e-301"),
            (0xffff_ffff_ffff_ffff, 0x403e, "18446744073709551615"),
            (0x8000_0000_0000_0000, 0x3ffe, "0.5"),
            (0x9a52_2b6a_e7d5_66cf, 0x4009, "1234.56779999999999997"),
            (0xba43_b740_0000_0000, 0x4023, "100000000000"),
            (0xd1ba_8323_fe55_8c61, 0x73e6, "0xd.1ba8323fe558c61p+13284"),
            (0xea5c_2d49_76d4_08a0, 0x0c18, "0xe.a5c2d4976d408ap-13290"),
            (0xc000_0000_0000_0000, 0x5387, "0xcp+4997"),
            (0x0, 0x8000, "-0"),
            (0x8000_0000_0000_0000, 0x7fff, "inf"),
        ] {
            let bytes = [&u64::to_le_bytes(significand)[..], &u16::to_le_bytes(top), &[0xaa; 6]].concat();
            assert_eq!(write(Wide::Extended, &bytes).as_deref(), Some(text));
        }
    }
}
