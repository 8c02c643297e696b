//! Owns the one way in which text from outside (names, labels, paths, traced strings) is made safe to show on a
//! terminal. Never decides whether to escape: whoever writes to a terminal calls it.

use std::fmt::{self, Write as _};

/// Shows bytes with everything a terminal could act upon written as `\xNN`.
///
/// Escaped, byte by byte: C0 controls (newline and tab too) and DEL, C1 controls (U+0080 to U+009F; terminals read
/// U+009B as `ESC [`, ECMA-48 8.3.16), the bidirectional overrides and isolates that reorder a line (U+202A to U+202E,
/// U+2066 to U+2069, Unicode UAX #9), and bytes that are not UTF-8. All other text stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if acts_on_terminal(c) {
                    let mut buffer = [0; 4];
                    c.encode_utf8(&mut buffer).bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
                } else {
                    f.write_char(c)?;
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// The text of [`Escaped`] as a string.
pub fn escape(bytes: impl AsRef<[u8]>) -> String {
    Escaped(bytes.as_ref()).to_string()
}

/// JSON with what a terminal would act upon as escapes of JSON: the value stays the same, since outside of its texts JSON
/// holds no such character.
pub fn in_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if acts_on_terminal(character) {
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

fn acts_on_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn c0_del_and_newlines_are_escaped() {
        assert_eq!(escape("a\x1b[31mb\n\tc\x7f\0"), "a\\x1b[31mb\\x0a\\x09c\\x7f\\x00");
    }

    #[test]
    fn c1_is_escaped_as_the_bytes_it_came_in() {
        assert_eq!(escape("\u{9b}2J\u{80}\u{9f}"), "\\xc2\\x9b2J\\xc2\\x80\\xc2\\x9f");
    }

    #[test]
    fn what_is_not_utf8_is_escaped_and_the_rest_kept() {
        assert_eq!(escape(b"ok\xff\xc3(\x9b31m"), "ok\\xff\\xc3(\\x9b31m");
    }

    #[test]
    fn bidirectional_overrides_are_escaped() {
        assert_eq!(escape("a\u{202e}b\u{2066}c"), "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6c");
    }

    #[test]
    fn plain_text_of_any_script_stays() {
        assert_eq!(escape("web-1 grün 网 \u{a0}é"), "web-1 grün 网 \u{a0}é");
    }
}
