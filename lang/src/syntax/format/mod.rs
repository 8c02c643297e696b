//! Owns the canonical layout of a program: text → text. Never changes what a program says: a result that would parse to
//! another tree, or that lost a comment, is refused.
//!
//! The rules, as `docs/formatting.md` has them for users:
//!
//! - four columns a level, lines of at most 100 columns where they can be broken;
//! - one statement a line; a block or a body without braces that its author wrote on one line stays there if it fits;
//! - empty lines stay, several become one, none stand at the beginning or end of a block;
//! - every comment stays between the two tokens between which it stood, on its line or behind the code on it;
//! - numbers, strings, paths and names stay as they are written; semicolons at line ends go.

mod doc;
mod expressions;
mod items;
mod statements;
#[cfg(test)]
mod tests;
mod writer;

use super::ast::{Comment, File};
use super::bare::without_places;
use super::{MAX_SOURCE, parse};
use crate::diagnostic::Diagnostic;
use crate::source::SourceId;
use writer::{Edge, Writer};

/// How often a text is laid out until it stays as it is.
const MOST_ROUNDS: usize = 6;

/// Why a text was not formatted.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// It has faults: what a broken text means is not known well enough to move it.
    Faults(Vec<Diagnostic>),
    /// The result would have this many bytes, more than a program may have.
    TooLarge(usize),
    /// The result, which is here, would not say the same: a fault of the formatter. Empty where tree and text do not agree.
    Unfaithful(String),
}

/// The canonical layout of a program.
///
/// The text that this gives is its own canonical layout.
///
/// # Errors
/// [`Refused`] where the text has faults, with their diagnostics.
pub fn format(source: SourceId, text: &str) -> Result<String, Refused> {
    let (file, diagnostics) = parse(source, text);
    if !diagnostics.is_empty() {
        return Err(Refused::Faults(diagnostics));
    }
    let said = file.comments.clone();
    let words: Vec<Vec<&str>> = comments(text, &said).collect();
    let mut formatted = lay_out(text, &file).ok_or_else(|| Refused::Unfaithful(String::new()))?;
    let tree = without_places(file);
    for _ in 0..MOST_ROUNDS {
        if formatted.len() > MAX_SOURCE {
            return Err(Refused::TooLarge(formatted.len()));
        }
        let (again, diagnostics) = parse(source, &formatted);
        let same_comments = words.iter().cloned().eq(comments(&formatted, &again.comments));
        // Where a comment decides what is broken, it may take another round until nothing moves.
        let next = lay_out(&formatted, &again);
        if !diagnostics.is_empty() || !same_comments || tree != without_places(again) {
            break;
        }
        match next {
            Some(next) if next == formatted => return Ok(formatted),
            Some(next) => formatted = next,
            None => break,
        }
    }
    Err(Refused::Unfaithful(formatted))
}

fn lay_out(text: &str, file: &File) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut writer = Writer::new(text, &file.comments);
    for (index, item) in file.items.iter().enumerate() {
        writer.next_line(if index == 0 { Edge::First } else { Edge::Inner }, index == 0);
        writer.item(item);
        doc::print(&writer.finish()?, &mut out);
    }
    writer.next_line(Edge::Last, file.items.is_empty());
    doc::print(&writer.finish()?, &mut out);
    out.truncate(out.trim_end().len());
    if !out.is_empty() {
        out.push('\n');
    }
    Some(out)
}

/// The words of each comment: its lines without the white space at their ends.
fn comments<'t>(text: &'t str, comments: &'t [Comment]) -> impl Iterator<Item = Vec<&'t str>> {
    comments.iter().map(|comment| text.get(comment.span.range()).unwrap_or("").split('\n').map(str::trim_end).collect())
}
