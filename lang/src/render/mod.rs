//! Owns how diagnostics look: one file per form. Never decides what is said, only how it is drawn.
//!
//! Text of programs, files and containers reaches a terminal through [`printable`] only.

mod github;
mod json;
mod position;
mod rich;
mod sarif;
mod short;
mod snippet;

use crate::codes::Code;
use crate::diagnostic::Severity;
use std::borrow::Cow;

pub use github::github;
pub use json::json;
pub use rich::{rich, rich_report};
pub use sarif::sarif;
pub use short::{short, short_report};

/// A message without a place in a source: what the runner has to say of the system. Drawn in the style of diagnostics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How grave it is.
    pub severity: Severity,
    /// Its code.
    pub code: Code,
    /// One line: what is wrong, without a full stop.
    pub message: String,
    /// Facts that explain it.
    pub notes: Vec<String>,
    /// Ways out.
    pub helps: Vec<String>,
}

/// The word a severity is drawn with.
fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A character as a terminal may get it: `None` where it may pass as it is.
///
/// Control characters (C0, DEL, C1) could move the cursor or colour what follows; the bidirectional ones of Unicode
/// (UAX #9) could show a program in another order than it runs.
fn replaced(c: char) -> Option<String> {
    match c {
        '\n' | '\t' => None,
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).map(String::from),
        '\x7f' => Some("\u{2421}".to_owned()),
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => Some(c.escape_unicode().to_string()),
        _ => None,
    }
}

/// The text with every character that could control a terminal replaced by a visible one; newlines and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| replaced(c).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match replaced(c) {
            Some(instead) => clean.push_str(&instead),
            None => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// The same on one line: what stands in a message is often a name of somebody else's, and a line break in it would begin
/// a line that ctp did not write.
fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\u{240a}").replace('\t', "\u{2409}")
}

/// A value as a JSON document on several lines. What could control a terminal is escaped, though JSON would not ask for
/// it: such characters stand within strings only.
fn json_text(value: &impl serde::Serialize) -> String {
    // A value of these types has no map with keys that are no strings: it can always be written.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match replaced(c) {
            Some(_) => out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            None => out.push(c),
        }
    }
    out.push('\n');
    out
}
