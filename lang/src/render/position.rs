//! Owns places as programs read them: offsets, lines and columns in the units of each form.

use serde::Serialize;

use crate::source::{Source, Sources, Span};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Position {
    /// Bytes of UTF-8 before it, from 0.
    pub(super) offset: u32,
    /// Line, from 1.
    pub(super) line: u32,
    /// Bytes of UTF-8 before it on its line, plus 1: as the short form prints it.
    pub(super) column: u32,
    /// The same place as the Language Server Protocol counts.
    pub(super) lsp: Lsp,
}

/// A `Position` of the Language Server Protocol (3.17): both from 0, `character` in UTF-16 code units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Lsp {
    pub(super) line: u32,
    pub(super) character: u32,
}

/// From where to where, in which text.
pub(super) struct Range<'s> {
    pub(super) file: &'s str,
    pub(super) start: Position,
    pub(super) end: Position,
}

/// A span in the units of every form; `None` where it points into no text.
pub(super) fn range(sources: &Sources, span: Span) -> Option<Range<'_>> {
    let source = sources.get(span.source)?;
    let start = position(source, span.start);
    let end = position(source, span.end.max(span.start));
    Some(Range { file: source.name(), start, end })
}

fn position(source: &Source, offset: u32) -> Position {
    let text = source.text();
    let mut at = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let offset = u32::try_from(at).unwrap_or(u32::MAX);
    let place = source.line_column(offset);
    let line_start = at.saturating_sub(place.column as usize - 1);
    let units = text.get(line_start..at).unwrap_or("").encode_utf16().count();
    let lsp = Lsp { line: place.line - 1, character: u32::try_from(units).unwrap_or(u32::MAX) };
    Position { offset, line: place.line, column: place.column, lsp }
}
