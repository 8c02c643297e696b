//! Owns printf's formats: text → literal parts and conversions. Knows nothing of the arguments.

use crate::ir::Spec;

/// Widths and precisions past this are refused.
const WIDEST: u32 = 4096;

/// Part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes, `%%` already one `%`.
    Text(Vec<u8>),
    /// A conversion: its letter, its flags, and how it was written.
    Conversion { letter: u8, spec: Spec, written: String },
}

/// Splits a format.
///
/// # Errors
/// What is wrong with the first conversion that is none, in words, with a way out.
pub(super) fn parse(format: &[u8]) -> Result<Vec<Part>, (String, &'static str)> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    let mut rest = format;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        if let Some((b'%', tail)) = rest.split_first() {
            text.push(b'%');
            rest = tail;
            continue;
        }
        let (part, tail) = conversion(rest)?;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(part);
        rest = tail;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// One conversion behind its `%`, and what follows it.
fn conversion(whole: &[u8]) -> Result<(Part, &[u8]), (String, &'static str)> {
    let mut spec = Spec::default();
    let mut rest = whole;
    while let Some((&flag, tail)) = rest.split_first() {
        match flag {
            b'-' => spec.left = true,
            b'0' => spec.zero = true,
            b'+' => spec.plus = true,
            b' ' => spec.space = true,
            b'#' => spec.alternate = true,
            _ => break,
        }
        rest = tail;
    }
    if rest.first() == Some(&b'*') {
        return Err(("a width `*` taken from an argument is not supported".to_owned(), "write the width as a number"));
    }
    spec.width = number(&mut rest)?;
    if let Some((b'.', tail)) = rest.split_first() {
        rest = tail;
        spec.precision = Some(number(&mut rest)?.unwrap_or(0));
    }
    // Lengths of C: every number has 64 bits here, whatever its own width was.
    while let Some((b'h' | b'l' | b'j' | b'z' | b't' | b'q', tail)) = rest.split_first() {
        rest = tail;
    }
    let Some((&letter, tail)) = rest.split_first() else {
        return Err(("the format ends within a conversion".to_owned(), "write %% for a percent sign"));
    };
    let written = String::from_utf8_lossy(whole.get(..whole.len() - tail.len()).unwrap_or(whole)).into_owned();
    let written = format!("%{written}");
    match letter {
        b'd' | b'i' | b'u' | b'x' | b'X' | b'o' | b'c' | b's' | b'p' | b'f' | b'e' | b'g' => {
            Ok((Part::Conversion { letter, spec, written }, tail))
        }
        _ => Err((
            format!("`{}` is no conversion", written.escape_debug()),
            "conversions are %d %i %u %x %X %o %c %s %p %f %e %g, and %% for a percent sign",
        )),
    }
}

fn number(rest: &mut &[u8]) -> Result<Option<u16>, (String, &'static str)> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, tail) = rest.split_at(digits);
    *rest = tail;
    if digits == 0 {
        return Ok(None);
    }
    let value =
        number.iter().fold(0u32, |value, digit| value.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    match u16::try_from(value) {
        Ok(small) if value <= WIDEST => Ok(Some(small)),
        _ => Err((format!("a width of more than {WIDEST} is refused"), "use a smaller one")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, parse};
    use crate::ir::Spec;

    #[test]
    fn flags_width_precision_and_lengths_are_read_as_in_c() {
        let spec = Spec { left: true, zero: false, width: Some(8), precision: Some(3), ..Spec::default() };
        assert_eq!(
            parse(b"a%-8.3ld%%b").unwrap(),
            [
                Part::Text(b"a".to_vec()),
                Part::Conversion { letter: b'd', spec, written: "%-8.3ld".to_owned() },
                Part::Text(b"%b".to_vec())
            ]
        );
    }

    #[test]
    fn what_is_no_conversion_is_refused() {
        for format in ["%", "100%", "%y", "%*d", "%99999d", "%a", "%.", "%ll"] {
            assert!(parse(format.as_bytes()).is_err(), "{format}");
        }
    }
}
