//! Owns what the functions of the library give: the same in every engine. Pure; `sample` alone needs chance, which
//! whoever runs the program has.
//!
//! Where the language says nothing they do what the function of that name does in SystemTap's tapsets or in C; where
//! those differ, C is followed.

mod names;

use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::DateTime;

use crate::ir::Library;
use crate::value::Value;

/// What stands where `ipv6` was given something else than 16 bytes.
pub const NO_IPV6: &str = "<not 16 bytes>";

/// Calls a function; `None` for arguments of the wrong number or type, and for [`Library::Sample`].
pub fn call(function: Library, arguments: &[Value]) -> Option<Value> {
    use Value::{Int, Str};
    Some(match (function, arguments) {
        (Library::Strlen, [Str { bytes, .. }]) => Int(i64::try_from(bytes.len()).ok()?),
        (Library::Substr, [Str { bytes, truncated }, Int(start), Int(length)]) => {
            let (part, cut) = substr(bytes, *start, *length);
            Str { bytes: part.to_vec(), truncated: cut && *truncated }
        }
        (Library::Strtol, [Str { bytes, .. }, Int(base)]) => Int(strtol(bytes, *base)),
        (Library::IsInStr, [Str { bytes, .. }, Str { bytes: part, .. }]) => {
            Int(i64::from(memchr::memmem::find(bytes, part).is_some()))
        }
        (Library::Min, [Int(a), Int(b)]) => Int(*a.min(b)),
        (Library::Max, [Int(a), Int(b)]) => Int(*a.max(b)),
        (Library::Abs, [Int(a)]) => Int(a.wrapping_abs()),
        (Library::Ntohs, [Int(a)]) => Int(i64::from(u16::from_be_bytes(lowest(*a)))),
        (Library::Ntohl, [Int(a)]) => Int(i64::from(u32::from_be_bytes(lowest(*a)))),
        (Library::Ipv4, [Int(a)]) => Value::str(Ipv4Addr::from(lowest::<4>(*a)).to_string()),
        (Library::Ipv6, [Str { bytes, .. }]) => Value::str(match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(address) => Ipv6Addr::from(address).to_string(),
            Err(_) => NO_IPV6.to_owned(),
        }),
        (Library::ErrnoStr, [Int(number)]) => named(names::errno(number.unsigned_abs()), *number),
        (Library::SignalStr, [Int(number)]) => named(names::signal(*number), *number),
        (Library::Strftime, [Str { bytes, truncated }, Int(moment)]) => {
            Str { bytes: strftime(bytes, *moment), truncated: *truncated }
        }
        (
            Library::Strlen
            | Library::Substr
            | Library::Strtol
            | Library::IsInStr
            | Library::Min
            | Library::Max
            | Library::Abs
            | Library::Ntohs
            | Library::Ntohl
            | Library::Ipv4
            | Library::Ipv6
            | Library::ErrnoStr
            | Library::SignalStr
            | Library::Strftime
            | Library::Sample,
            _,
        ) => return None,
    })
}

/// A name, or the number where there is none.
fn named(name: Option<String>, number: i64) -> Value {
    Value::str(name.unwrap_or_else(|| number.to_string()))
}

/// The lowest bytes of a number as they lie in memory.
fn lowest<const N: usize>(number: i64) -> [u8; N] {
    let bytes = number.to_le_bytes();
    std::array::from_fn(|index| bytes.get(index).copied().unwrap_or(0))
}

/// The bytes from `start` on, `length` of them at most, and whether more were asked for than there are. Nothing for a
/// start before the first byte or behind the last, as SystemTap has it.
fn substr(bytes: &[u8], start: i64, length: i64) -> (&[u8], bool) {
    let rest = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(0);
    (rest.get(..length).unwrap_or(rest), start >= 0 && length > rest.len())
}

/// As strtol(3): blanks, a sign, `0x` where the base is 16 or 0, digits; what follows is left. 0 where there is no digit
/// or no such base; the least or greatest number where it is too large.
fn strtol(text: &[u8], base: i64) -> i64 {
    let text = text.trim_ascii_start();
    // What C calls space and Rust does not.
    let text = text.strip_prefix(b"\x0b").map_or(text, |rest| rest.trim_ascii_start());
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match (base, text) {
        (0 | 16, [b'0', b'x' | b'X', digits @ ..]) if digits.first().is_some_and(u8::is_ascii_hexdigit) => (16, digits),
        (0, [b'0', ..]) => (8, text),
        (0, _) => (10, text),
        _ => (base, text),
    };
    let Some(base) = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)) else { return 0 };
    let mut number = 0i128;
    for digit in digits.iter().map_while(|&byte| char::from(byte).to_digit(base)) {
        number = (number * i128::from(base) + i128::from(digit)).min(i128::from(u64::MAX));
    }
    let number = if negative { -number } else { number };
    i64::try_from(number).unwrap_or(if negative { i64::MIN } else { i64::MAX })
}

/// The conversions of C's strftime that are done here.
const CONVERSIONS: &[u8] = b"aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%";

/// As strftime(3) in the C locale, in UTC, and `%f` for the six digits of the microseconds. What is no conversion stays
/// as it is written.
fn strftime(format: &[u8], nanoseconds: i64) -> Vec<u8> {
    let moment = DateTime::from_timestamp_nanos(nanoseconds);
    let mut text = Vec::with_capacity(format.len());
    let mut rest = format;
    while let [first, behind @ ..] = rest {
        match (first, behind) {
            (b'%', [b'f', behind @ ..]) => {
                text.extend(format!("{:06}", moment.timestamp_subsec_micros()).bytes());
                rest = behind;
            }
            (b'%', [letter, behind @ ..]) if CONVERSIONS.contains(letter) => {
                let conversion = ['%', char::from(*letter)].iter().collect::<String>();
                text.extend(moment.format(&conversion).to_string().bytes());
                rest = behind;
            }
            _ => {
                text.push(*first);
                rest = behind;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &str) -> Value {
        Value::str(bytes)
    }

    fn int(function: Library, arguments: &[Value]) -> i64 {
        match call(function, arguments) {
            Some(Value::Int(number)) => number,
            other => panic!("{function:?}{arguments:?}: {other:?}"),
        }
    }

    fn string(function: Library, arguments: &[Value]) -> String {
        match call(function, arguments) {
            Some(Value::Str { bytes, truncated: false }) => String::from_utf8(bytes).unwrap(),
            other => panic!("{function:?}{arguments:?}: {other:?}"),
        }
    }

    /// As tapset/string.stp of SystemTap 4.8 has it.
    #[test]
    fn substr_takes_what_is_there() {
        let cases = [
            ("hello", 1, 3, "ell"),
            ("hello", 0, 99, "hello"),
            ("hello", 4, 1, "o"),
            ("hello", 5, 1, ""),
            ("hello", -1, 3, ""),
            ("hello", 1, 0, ""),
            ("hello", 1, -1, ""),
            ("", 0, 1, ""),
            ("hello", i64::MAX, i64::MAX, ""),
        ];
        for (whole, start, length, part) in cases {
            let given = string(Library::Substr, &[text(whole), Value::Int(start), Value::Int(length)]);
            assert_eq!(given, part, "substr({whole:?}, {start}, {length})");
        }
    }

    #[test]
    fn a_part_is_marked_as_cut_only_where_it_reaches_the_cut() {
        let cut = Value::Str { bytes: b"hello".to_vec(), truncated: true };
        let part = |start, length| call(Library::Substr, &[cut.clone(), Value::Int(start), Value::Int(length)]);
        assert_eq!(part(0, 5), Some(text("hello")));
        assert_eq!(part(2, 4), Some(Value::Str { bytes: b"llo".to_vec(), truncated: true }));
    }

    /// What glibc's strtol gives.
    #[test]
    fn strtol_reads_as_c_does() {
        let cases = [
            ("42", 10, 42),
            ("  -42abc", 10, -42),
            ("\t\n+7", 10, 7),
            ("0x1f", 16, 31),
            ("0x1f", 0, 31),
            ("0x", 16, 0),
            ("017", 0, 15),
            ("08", 0, 0),
            ("ff", 16, 255),
            ("z", 36, 35),
            ("101", 2, 5),
            ("", 10, 0),
            ("abc", 10, 0),
            ("- 1", 10, 0),
            ("9223372036854775807", 10, i64::MAX),
            ("9223372036854775808", 10, i64::MAX),
            ("-9223372036854775808", 10, i64::MIN),
            ("-99999999999999999999999999999999999999999999999", 10, i64::MIN),
            ("1", 1, 0),
            ("1", 37, 0),
        ];
        for (given, base, number) in cases {
            assert_eq!(int(Library::Strtol, &[text(given), Value::Int(base)]), number, "strtol({given:?}, {base})");
        }
    }

    #[test]
    fn isinstr_and_strlen_count_bytes() {
        assert_eq!(int(Library::IsInStr, &[text("abcd"), text("bc")]), 1);
        assert_eq!(int(Library::IsInStr, &[text("abcd"), text("cb")]), 0);
        assert_eq!(int(Library::IsInStr, &[text("abcd"), text("")]), 1);
        assert_eq!(int(Library::Strlen, &[text("grün")]), 5);
    }

    #[test]
    fn numbers_and_byte_orders() {
        assert_eq!(int(Library::Min, &[Value::Int(-3), Value::Int(2)]), -3);
        assert_eq!(int(Library::Max, &[Value::Int(-3), Value::Int(2)]), 2);
        assert_eq!(int(Library::Abs, &[Value::Int(-3)]), 3);
        assert_eq!(int(Library::Abs, &[Value::Int(i64::MIN)]), i64::MIN);
        // htons(80) is 0x5000, htonl(0x7f000001) is 0x0100007f on x86.
        assert_eq!(int(Library::Ntohs, &[Value::Int(0x5000)]), 80);
        assert_eq!(int(Library::Ntohs, &[Value::Int(-1)]), 0xffff);
        assert_eq!(int(Library::Ntohl, &[Value::Int(0x0100_007f)]), 0x7f00_0001);
        assert_eq!(int(Library::Ntohl, &[Value::Int(0x80)]), 0x8000_0000);
    }

    #[test]
    fn addresses_as_inet_ntop_writes_them() {
        assert_eq!(string(Library::Ipv4, &[Value::Int(0x0100_007f)]), "127.0.0.1");
        assert_eq!(string(Library::Ipv4, &[Value::Int(-1)]), "255.255.255.255");
        let mut loopback = [0; 16];
        loopback[15] = 1;
        let v6 = |bytes: [u8; 16]| string(Library::Ipv6, &[Value::str(bytes)]);
        assert_eq!(v6(loopback), "::1");
        assert_eq!(v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x2a]), "2001:db8::2a");
        assert_eq!(v6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]), "::ffff:192.0.2.1");
        assert_eq!(string(Library::Ipv6, &[text("short")]), NO_IPV6);
    }

    #[test]
    fn numbers_by_name() {
        let cases = [(2, "ENOENT"), (-2, "ENOENT"), (11, "EAGAIN"), (133, "EHWPOISON"), (0, "0"), (512, "512")];
        for (number, name) in cases {
            assert_eq!(string(Library::ErrnoStr, &[Value::Int(number)]), name);
        }
        let cases =
            [(11, "SIGSEGV"), (9, "SIGKILL"), (31, "SIGSYS"), (34, "SIGRTMIN"), (37, "SIGRTMIN+3"), (64, "SIGRTMAX")];
        for (number, name) in cases {
            assert_eq!(string(Library::SignalStr, &[Value::Int(number)]), name);
        }
        assert_eq!(string(Library::SignalStr, &[Value::Int(-1)]), "-1");
        assert_eq!(string(Library::SignalStr, &[Value::Int(65)]), "65");
    }

    /// What `TZ=UTC LC_ALL=C date -d @1700000000 +FORMAT` prints, and of the moment before 1970.
    #[test]
    fn strftime_writes_what_date_writes() {
        let cases = [
            ("%Y-%m-%d %H:%M:%S", "2023-11-14 22:13:20"),
            ("%F %T %Z %z", "2023-11-14 22:13:20 UTC +0000"),
            ("%c", "Tue Nov 14 22:13:20 2023"),
            ("%a %A %b %B %h", "Tue Tuesday Nov November Nov"),
            ("%C %y %g %G %V %U %W", "20 23 23 2023 46 46 46"),
            ("%e|%k|%l|%I|%p|%P", "14|22|10|10|PM|pm"),
            ("%D %x %R %r %X", "11/14/23 11/14/23 22:13 10:13:20 PM 22:13:20"),
            ("%j %u %w %s", "318 2 2 1700000000"),
            ("%%%n%t|", "%\n\t|"),
            ("%f", "123456"),
            ("100%", "100%"),
            ("%Q %", "%Q %"),
        ];
        for (format, expected) in cases {
            let given = string(Library::Strftime, &[text(format), Value::Int(1_700_000_000_123_456_789)]);
            assert_eq!(given, expected, "{format:?}");
        }
        assert_eq!(string(Library::Strftime, &[text("%F %T.%f"), Value::Int(-1)]), "1969-12-31 23:59:59.999999");
    }
}
