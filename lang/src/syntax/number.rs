//! Owns numbers: the text of a number literal → 64 bits. Knows no places.

use super::ast::IntForm;

/// Why a number is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNumber {
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

fn bad(message: impl Into<String>, help: Option<String>) -> BadNumber {
    BadNumber { message: message.into(), help }
}

/// The units a decimal number may carry: the name and the factor (nanoseconds, or bytes ×1024).
const UNITS: &[(&str, u64, IntForm)] = &[
    ("ns", 1, IntForm::Duration),
    ("us", 1_000, IntForm::Duration),
    ("ms", 1_000_000, IntForm::Duration),
    ("s", 1_000_000_000, IntForm::Duration),
    ("min", 60_000_000_000, IntForm::Duration),
    ("h", 3_600_000_000_000, IntForm::Duration),
    ("K", 1 << 10, IntForm::Size),
    ("M", 1 << 20, IntForm::Size),
    ("G", 1 << 30, IntForm::Size),
];

/// The value of a number literal such as `42`, `0x1f`, `1_000`, `10ms`, `4K`; values from 2^63 to 2^64-1 wrap.
pub fn parse(text: &str) -> Result<(i64, IntForm), BadNumber> {
    if let Some((whole, fraction)) = text.split_once('.') {
        return Err(fractional(whole, fraction));
    }
    let mut chars = text.chars();
    if chars.next() == Some('0') {
        let base = match chars.next() {
            Some('x' | 'X') => Some((16, "hexadecimal")),
            Some('o' | 'O') => Some((8, "octal")),
            Some('b' | 'B') => Some((2, "binary")),
            _ => None,
        };
        if let Some((radix, name)) = base {
            let value = digits(text.get(2..).unwrap_or(""), radix, name, text)?;
            return Ok((value.cast_signed(), IntForm::Based));
        }
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = (text.get(..end).unwrap_or(""), text.get(end..).unwrap_or(""));
    let plain: String = number.chars().filter(char::is_ascii_digit).collect();
    if plain.len() > 1 && plain.starts_with('0') {
        let rest = plain.trim_start_matches('0');
        let rest = if rest.is_empty() { "0" } else { rest };
        return Err(bad(
            format!("`{text}` begins with 0"),
            Some(format!("write `{rest}`, or `0o{rest}` for an octal number")),
        ));
    }
    let value = digits(number, 10, "decimal", text)?;
    if unit.is_empty() {
        return Ok((value.cast_signed(), IntForm::Decimal));
    }
    let Some((_, factor, form)) = UNITS.iter().find(|(name, ..)| *name == unit) else {
        return Err(unknown_unit(number, unit));
    };
    let scaled = value.checked_mul(*factor).ok_or_else(|| too_large(text))?;
    Ok((scaled.cast_signed(), *form))
}

fn digits(text: &str, radix: u32, name: &str, whole: &str) -> Result<u64, BadNumber> {
    if text.is_empty() {
        return Err(bad(format!("`{whole}` has no digits"), None));
    }
    if text.starts_with('_') && radix == 10 || text.ends_with('_') || text.contains("__") {
        return Err(bad(format!("`_` stands between digits only, not as in `{whole}`"), None));
    }
    let mut value: u64 = 0;
    for c in text.chars().filter(|c| *c != '_') {
        let Some(digit) = c.to_digit(radix) else {
            return Err(bad(format!("`{}` is no {name} digit", c.escape_default()), None));
        };
        value = value
            .checked_mul(u64::from(radix))
            .and_then(|v| v.checked_add(u64::from(digit)))
            .ok_or_else(|| too_large(whole))?;
    }
    Ok(value)
}

fn too_large(text: &str) -> BadNumber {
    let shown: String =
        if text.len() > 40 { format!("{}…", text.chars().take(40).collect::<String>()) } else { text.to_owned() };
    bad(
        format!("`{shown}` does not fit in 64 bits"),
        Some("the largest number is 18446744073709551615 (0xffff_ffff_ffff_ffff)".to_owned()),
    )
}

fn unknown_unit(number: &str, unit: &str) -> BadNumber {
    let meant = match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "msec" | "msecs" | "millis" => Some("ms"),
        "usec" | "usecs" | "µs" | "μs" | "micros" => Some("us"),
        "nsec" | "nsecs" | "nanos" => Some("ns"),
        "m" | "mins" | "minute" | "minutes" => Some("min"),
        "hr" | "hrs" | "hour" | "hours" => Some("h"),
        "k" | "kb" | "kib" => Some("K"),
        "mb" | "mib" => Some("M"),
        "g" | "gb" | "gib" => Some("G"),
        _ => None,
    };
    let known = "the units are ns us ms s min h (times) and K M G (×1024)";
    let help = meant.map_or_else(|| known.to_owned(), |m| format!("did you mean `{number}{m}`? {known}"));
    bad(format!("`{}` is no unit", unit.escape_default()), Some(help))
}

/// `1.5`, `1.5ms`: there are no fractions; says the whole number of a smaller unit where there is one.
fn fractional(whole: &str, fraction: &str) -> BadNumber {
    let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    let (decimals, unit) = (fraction.get(..end).unwrap_or(""), fraction.get(end..).unwrap_or(""));
    let smaller = match unit {
        "us" => Some("ns"),
        "ms" => Some("us"),
        "s" => Some("ms"),
        _ => None,
    };
    let shift = decimals.len() <= 3 && whole.bytes().all(|b| b.is_ascii_digit());
    let help = smaller
        .filter(|_| shift)
        .map(|smaller| {
            let text = format!("{whole}{decimals:0<3}");
            let text = text.trim_start_matches('0');
            format!("write `{}{smaller}`", if text.is_empty() { "0" } else { text })
        })
        .or_else(|| Some("write a whole number; `.` between two texts joins them".to_owned()));
    bad("numbers are whole, there are no fractions", help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> i64 {
        parse(text).unwrap().0
    }

    #[test]
    fn every_form() {
        assert_eq!(parse("42"), Ok((42, IntForm::Decimal)));
        assert_eq!(parse("0x1f"), Ok((31, IntForm::Based)));
        assert_eq!(parse("0o17"), Ok((15, IntForm::Based)));
        assert_eq!(parse("0b1_01"), Ok((5, IntForm::Based)));
        assert_eq!(parse("1_000_000"), Ok((1_000_000, IntForm::Decimal)));
        assert_eq!(parse("10ms"), Ok((10_000_000, IntForm::Duration)));
        assert_eq!(parse("4K"), Ok((4096, IntForm::Size)));
        assert_eq!(value("1h"), 3600 * 1_000_000_000);
        assert_eq!(value("2min"), 120_000_000_000);
        assert_eq!(value("18446744073709551615"), -1);
        assert_eq!(value("0xffff_ffff_ffff_ffff"), -1);
        assert_eq!(value("0"), 0);
    }

    #[test]
    fn faults_and_ways_out() {
        let help = |text: &str| parse(text).unwrap_err().help.unwrap_or_default();
        assert!(parse("18446744073709551616").unwrap_err().message.contains("does not fit"));
        assert!(parse("99999999999h").unwrap_err().message.contains("does not fit"));
        assert_eq!(help("1.5ms"), "write `1500us`");
        assert_eq!(help("0.25s"), "write `250ms`");
        assert!(help("10sec").starts_with("did you mean `10s`?"));
        assert!(help("5m").starts_with("did you mean `5min`?"));
        assert!(help("017").contains("`0o17`"));
        assert_eq!(parse("0b12").unwrap_err().message, "`2` is no binary digit");
        assert_eq!(parse("0x").unwrap_err().message, "`0x` has no digits");
        assert!(parse("1__0").is_err() && parse("1_").is_err());
    }
}
