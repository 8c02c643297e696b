//! Owns every way a text enters a script: string literals, format literals, comments, shell words. Never decides
//! which text that is. Whatever the bytes, what comes out is one token of its kind and printable ASCII.

use std::fmt::Write as _;

/// A string literal; `None` for bytes that SystemTap's strings cannot hold (NUL ends them).
pub(super) fn string(bytes: &[u8]) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    bytes.iter().for_each(|&byte| escaped(&mut out, byte));
    out.push('"');
    Some(out)
}

/// One byte within a string literal. Octal always has three digits, so that a digit behind it stays itself.
fn escaped(out: &mut String, byte: u8) {
    match byte {
        b'\n' => out.push_str("\\n"),
        b'\t' => out.push_str("\\t"),
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b' '..=b'~' => out.push(char::from(byte)),
        other => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\{other:03o}");
        }
    }
}

/// Bytes within a format literal: like a string's, `%` doubled. A NUL becomes `%c`, whose argument must be 0;
/// how many there are is returned.
pub(super) fn format(out: &mut String, bytes: &[u8]) -> usize {
    let mut nuls = 0;
    for &byte in bytes {
        match byte {
            0 => {
                nuls += 1;
                out.push_str("%c");
            }
            b'%' => out.push_str("%%"),
            other => escaped(out, other),
        }
    }
    nuls
}

/// Text of a `//` comment: what is not printable ASCII is shown as an escape, so no line can end early. What closes
/// or opens a comment or embedded C elsewhere is broken by a blank, although none of it acts behind `//`.
pub(super) fn comment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = ' ';
    for c in text.chars() {
        if matches!((last, c), ('*', '/') | ('/', '*') | ('%', '{' | '(') | ('%', '}' | ')')) {
            out.push(' ');
        }
        last = c;
        match c {
            '\t' => out.push(' '),
            ' '..='~' => out.push(c),
            other => out.extend(other.escape_default()),
        }
    }
    out
}

/// A word for bash: as it is where nothing in it means anything to a shell, else in quotes.
pub(super) fn shell(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/._-+:,@=".contains(&c);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    // `*` and `%` are kept out of comments' closing and opening pairs, which `comment` would break.
    let escaped = |c: u8| b"'\\*%".contains(&c);
    if text.bytes().all(|c| matches!(c, b' '..=b'~') && !escaped(c)) {
        return format!("'{text}'");
    }
    let mut out = String::from("$'");
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if !escaped(byte) => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "\\{other:03o}");
            }
        }
    }
    out.push('\'');
    out
}

/// Whether a name of the traced program can stand in a script as it is.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_literal_holds_any_bytes_but_nul() {
        assert_eq!(string(b"a\"b\\c\n\x01\xff1").as_deref(), Some(r#""a\"b\\c\n\001\3771""#));
        assert_eq!(string(b"a\0b"), None);
    }

    #[test]
    fn a_format_literal_prints_its_bytes() {
        let mut out = String::new();
        assert_eq!(format(&mut out, b"100% %d\0\""), 1);
        assert_eq!(out, r#"100%% %%d%c\""#);
    }

    #[test]
    fn a_comment_is_one_line() {
        assert_eq!(
            comment("a\nprobe begin { exit() } */ %} \u{202e}\r"),
            "a\\nprobe begin { exit() } * / % } \\u{202e}\\r"
        );
    }

    #[test]
    fn a_shell_word_is_one_word() {
        assert_eq!(shell("/app/bin"), "/app/bin");
        assert_eq!(shell("/my app/$(reboot)"), "'/my app/$(reboot)'");
        assert_eq!(shell("a'b\n"), "$'a\\047b\\012'");
    }
}
