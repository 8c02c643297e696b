//! Owns the numbers with units of the command line: times (`5s`) and sizes (`4M`).

use std::time::Duration;

/// `500ms`, `5s`, `2min`, `1h`; a bare number is refused, since it would mean nanoseconds in a program.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it with its unit: 500ms, 5s, 2min, 1h");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let nanoseconds = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(nanoseconds).map(Duration::from_nanos).ok_or_else(wrong)
}

/// `4096`, `64K`, `4M`, `1G`, in bytes (K is 1024).
pub(super) fn bytes(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no size below 4 GiB; write 65536, 64K or 4M");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// `1000/s`: so many a second.
pub(super) fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").and_then(|number| number.parse().ok()).filter(|rate| *rate > 0);
    match (text, number) {
        // The default.
        ("0", _) => Ok(0),
        (_, Some(number)) => Ok(number),
        (_, None) => Err(format!("`{text}` is no rate; write how many a second: 1000/s")),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, rate};
    use std::time::Duration;

    #[test]
    fn units_are_required_of_times_and_optional_for_sizes() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        assert!(duration("5").is_err() && duration("s").is_err() && duration("-1s").is_err());
        assert_eq!(bytes("64K"), Ok(65_536));
        assert!(bytes("8G").is_err() && bytes("1T").is_err());
        assert_eq!(rate("1000/s"), Ok(1000));
        assert!(rate("1000").is_err() && rate("0/s").is_err() && rate("1/min").is_err());
    }
}
