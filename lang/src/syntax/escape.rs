//! Owns escapes in string and character literals: text between quotes → bytes. Knows no places outside the literal.

use std::ops::Range;

/// An escape that means nothing: where in the text between the quotes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEscape {
    /// The bytes of the text that are wrong.
    pub range: Range<usize>,
    /// What is wrong with them, without a full stop.
    pub reason: String,
}

/// The bytes that the text between two quotes stands for, and the escapes that stand for nothing.
///
/// The escapes are those of C (ISO C 6.4.4.4: `\a \b \f \n \r \t \v \\ \" \' \?`, one to three octal digits, `\x` with
/// one or two hexadecimal ones), `\e` for ESC as in GNU C, and `\u{…}` for a Unicode character in UTF-8.
pub fn unescape(text: &str) -> (Vec<u8>, Vec<BadEscape>) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut bad = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let offset = text.len() - rest.len() + at;
        bytes.extend_from_slice(rest.get(..at).unwrap_or("").as_bytes());
        let body = rest.get(at + 1..).unwrap_or("");
        let taken = match escape(body) {
            Ok((value, taken)) => {
                match value {
                    Value::Byte(byte) => bytes.push(byte),
                    Value::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                taken
            }
            Err((reason, taken)) => {
                bad.push(BadEscape { range: offset..offset + 1 + taken, reason });
                taken
            }
        };
        rest = body.get(taken..).unwrap_or("");
    }
    bytes.extend_from_slice(rest.as_bytes());
    (bytes, bad)
}

enum Value {
    Byte(u8),
    Char(char),
}

/// The value of the escape that `body` (behind the backslash) begins with, and how many bytes of `body` it takes.
fn escape(body: &str) -> Result<(Value, usize), (String, usize)> {
    let Some(first) = body.chars().next() else {
        return Err(("a backslash at the end escapes nothing".to_owned(), 0));
    };
    let byte = match first {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'v' => 11,
        'e' => 27,
        '\\' | '"' | '\'' | '?' => u8::try_from(first).unwrap_or(b'?'),
        '0'..='7' => {
            let digits: String = body.chars().take(3).take_while(|c| ('0'..='7').contains(c)).collect();
            return match u8::from_str_radix(&digits, 8) {
                Ok(byte) => Ok((Value::Byte(byte), digits.len())),
                Err(_) => {
                    Err((format!("`\\{digits}` is larger than a byte: octal escapes end at `\\377`"), digits.len()))
                }
            };
        }
        'x' => {
            let digits: String = body.chars().skip(1).take(2).take_while(char::is_ascii_hexdigit).collect();
            return match u8::from_str_radix(&digits, 16) {
                Ok(byte) => Ok((Value::Byte(byte), 1 + digits.len())),
                Err(_) => Err(("`\\x` needs one or two hexadecimal digits".to_owned(), 1)),
            };
        }
        'u' => return unicode(body),
        other => {
            return Err((format!("`\\{}` is no escape", other.escape_default()), other.len_utf8()));
        }
    };
    Ok((Value::Byte(byte), 1))
}

fn unicode(body: &str) -> Result<(Value, usize), (String, usize)> {
    let Some(inside) = body.strip_prefix("u{") else {
        return Err(("`\\u` needs its digits in braces: `\\u{e9}`".to_owned(), 1));
    };
    let digits = inside.bytes().take_while(u8::is_ascii_hexdigit).count();
    if !inside.get(digits..).is_some_and(|r| r.starts_with('}')) {
        return Err(("`\\u{` needs hexadecimal digits and `}`".to_owned(), 2 + digits));
    }
    let taken = 2 + digits + 1;
    let text = inside.get(..digits).unwrap_or("");
    match u32::from_str_radix(text, 16).ok().and_then(char::from_u32) {
        Some(c) => Ok((Value::Char(c), taken)),
        None => Err((format!("`\\u{{{text}}}` is no Unicode character"), taken)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_escapes() {
        let (bytes, bad) = unescape(r#"a\n\t\\\"\x41\101\0\e[\u{e9}\xff"#);
        assert_eq!(bad, []);
        assert_eq!(bytes, b"a\n\t\\\"AA\0\x1b[\xc3\xa9\xff");
    }

    #[test]
    fn octal_takes_three_digits_at_most() {
        assert_eq!(unescape(r"\1012").0, b"A2");
    }

    #[test]
    fn each_bad_escape_is_placed() {
        let (bytes, bad) = unescape(r"ok\q \u{110000} \xg \777 é\é");
        assert_eq!(bytes, "ok  g  é".as_bytes());
        let ranges: Vec<_> = bad.iter().map(|b| b.range.clone()).collect();
        assert_eq!(ranges, [2..4, 5..15, 16..18, 20..24, 27..30]);
    }
}
