//! Owns the way from text to tree: the grammar is run here and nowhere else. Never looks at what names mean.
//!
//! A text is laid out first ([`layout`]), then each item is parsed by itself; what the grammar's recovery rules skipped
//! is parsed again with its strict rules to say what was expected there ([`fault`], [`hint`]).

mod allow;
mod expressions;
mod fault;
mod hint;
mod items;
mod layout;
mod statements;
#[cfg(test)]
mod tests;

use super::ast::{Comment, File, Item, ItemKind, Point};
use super::{MAX_DEPTH, MAX_SOURCE};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};
use pest::Parser as _;
use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::ops::Range;

/// What `pest_derive` makes of the grammar.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "../ctp.pest"]
    pub(super) struct Grammar;
}

use grammar::{Grammar, Rule};

type Pair<'t> = pest::iterators::Pair<'t, Rule>;

/// Calls of grammar rules per item: no text of [`MAX_SOURCE`] bytes comes near it unless the grammar is at fault.
const CALL_LIMIT: NonZeroUsize = NonZeroUsize::new(400_000_000).unwrap();

/// How many diagnostics one text gets.
const MAX_DIAGNOSTICS: usize = 100;

/// How many are kept until they are sorted and cut to [`MAX_DIAGNOSTICS`].
const MAX_KEPT: usize = 1000;

/// The bytes of a source file without the byte order mark that some editors put before the text. Places count from
/// behind it.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Makes text of the bytes of a source file; E0009 at the first byte that is no text.
///
/// The diagnostic's place counts in the bytes [`without_mark`]; draw it over [`String::from_utf8_lossy`] of them.
pub fn decode(source: SourceId, bytes: &[u8]) -> Result<String, Box<Diagnostic>> {
    let bytes = without_mark(bytes);
    if let Some(too_large) = too_large(source, bytes.len()) {
        return Err(Box::new(too_large));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            return Err(Box::new(
                Diagnostic::new(Code::E0009, Span::new(source, at, at + 1), "this file is not text")
                    .label(format!("the byte 0x{byte:02x} is not UTF-8"))
                    .help("a program is UTF-8 text; write other bytes in strings as `\\xNN`"),
            ));
        }
    };
    match not_text(source, text) {
        Some(diagnostic) => Err(Box::new(diagnostic)),
        None => Ok(text.to_owned()),
    }
}

fn too_large(source: SourceId, length: usize) -> Option<Diagnostic> {
    (length > MAX_SOURCE).then(|| {
        Diagnostic::new(
            Code::E0009,
            Span::new(source, MAX_SOURCE, MAX_SOURCE),
            format!("this program has {length} bytes, more than {MAX_SOURCE}"),
        )
        .help("split it into files and `import` them; is it a program at all?")
    })
}

fn not_text(source: SourceId, text: &str) -> Option<Diagnostic> {
    memchr::memchr(0, text.as_bytes()).map(|at| {
        Diagnostic::new(Code::E0009, Span::new(source, at, at + 1), "this file is not text")
            .label("there is a NUL byte here")
            .help("is it a program at all? inside strings write `\\0`")
    })
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(Code::E0005, span, format!("nested more than {MAX_DEPTH} deep"))
        .help("name parts of it: a `fn`, a `const` or a local each begin anew")
}

/// Parses a program. A broken text yields a tree of what was understood, with `Broken` in place of the rest, and a
/// diagnostic for each fault.
pub fn parse(source: SourceId, text: &str) -> (File, Vec<Diagnostic>) {
    let mut file = File { source, items: Vec::new(), comments: Vec::new(), imported: false };
    if let Some(diagnostic) = too_large(source, text.len()).or_else(|| not_text(source, text)) {
        return (file, vec![diagnostic]);
    }
    pest::set_call_limit(Some(CALL_LIMIT));
    let layout = layout::lay_out(source, text);
    file.comments = layout.comments.iter().map(|&span| Comment { span }).collect();
    let mut diagnostics = layout.diagnostics;
    if layout.too_deep {
        // What was found before depends on where brackets close.
        diagnostics.drain(..diagnostics.len().saturating_sub(1));
        file.items.push(broken_item(Span::new(source, 0, text.len())));
        return (file, diagnostics);
    }
    let allows = allow::collect(source, text, &layout.comments, &mut diagnostics);
    let builder = Builder {
        source,
        text: &layout.text,
        base: Cell::new(0),
        end: Cell::new(0),
        reported: &layout.reported,
        allows: &allows,
        diagnostics: RefCell::new(diagnostics),
        depth: Cell::new(0),
        operator_begins_line: Cell::new(false),
        after_broken: Cell::new(false),
    };
    let ends = layout.starts.iter().copied().chain([text.len()]);
    let mut start = 0;
    for end in ends {
        file.items.extend(builder.slice(start..end));
        start = end;
    }
    let mut diagnostics = builder.diagnostics.into_inner();
    diagnostics.sort_by_key(|d| (d.primary.span.start, d.primary.span.end));
    if diagnostics.len() > MAX_DIAGNOSTICS {
        let left = diagnostics.len() - MAX_DIAGNOSTICS;
        diagnostics.truncate(MAX_DIAGNOSTICS);
        if let Some(last) = diagnostics.last_mut() {
            let more =
                if left + MAX_DIAGNOSTICS >= MAX_KEPT { format!("{left} and more") } else { format!("{left} more") };
            last.notes.push(format!("{more} are not shown"));
        }
    }
    (file, diagnostics)
}

/// Parses `who:where[.what]` alone, as a command's argument: `container("web"):/app/bin.fn("my_*")`.
pub fn parse_target(source: SourceId, text: &str) -> (Option<Point>, Vec<Diagnostic>) {
    if let Some(diagnostic) = too_large(source, text.len()).or_else(|| not_text(source, text)) {
        return (None, vec![diagnostic]);
    }
    pest::set_call_limit(Some(CALL_LIMIT));
    let layout = layout::lay_out(source, text);
    if !layout.diagnostics.is_empty() {
        return (None, layout.diagnostics);
    }
    let builder = Builder {
        source,
        text: &layout.text,
        base: Cell::new(0),
        end: Cell::new(text.len()),
        reported: &layout.reported,
        allows: &[],
        diagnostics: RefCell::default(),
        depth: Cell::new(0),
        operator_begins_line: Cell::new(false),
        after_broken: Cell::new(false),
    };
    let point = match Grammar::parse(Rule::target, &layout.text) {
        Ok(pairs) => pairs.into_iter().find(|p| p.as_rule() == Rule::site).map(|site| builder.target(site)),
        Err(error) => {
            builder.fault(&error, 0, fault::Place::Target);
            None
        }
    };
    (point, builder.diagnostics.into_inner())
}

fn broken_item(span: Span) -> Item {
    Item { kind: ItemKind::Broken, span, allows: Vec::new() }
}

/// Makes the tree of one text. Places in pairs count from `base`, where the slice being parsed begins.
struct Builder<'t> {
    source: SourceId,
    /// The text as laid out: same length.
    text: &'t str,
    base: Cell<usize>,
    /// Where the slice being parsed ends.
    end: Cell<usize>,
    reported: &'t [Range<usize>],
    allows: &'t [allow::Allow],
    diagnostics: RefCell<Vec<Diagnostic>>,
    depth: Cell<usize>,
    /// Whether the statement being built begins a line behind another statement.
    operator_begins_line: Cell<bool>,
    /// The item before could not be understood.
    after_broken: Cell<bool>,
}

impl<'t> Builder<'t> {
    /// Parses one slice of the text, which begins with an item, and builds its items.
    fn slice(&self, range: Range<usize>) -> Vec<Item> {
        self.base.set(range.start);
        self.end.set(range.end);
        let Some(text) = self.text.get(range.clone()) else { return Vec::new() };
        if text.trim().is_empty() {
            return Vec::new();
        }
        match Grammar::parse(Rule::file, text) {
            Ok(pairs) => pairs.flat_map(Pair::into_inner).filter_map(|pair| self.item(pair)).collect(),
            Err(error) => {
                self.limit(&error);
                vec![broken_item(Span::new(self.source, range.start, range.end))]
            }
        }
    }

    fn span(&self, pair: &Pair<'_>) -> Span {
        let span = pair.as_span();
        let base = self.base.get();
        Span::new(self.source, base + span.start(), base + span.end())
    }

    /// The span without white space at its ends: a rule whose last part is optional takes the space before it.
    fn trimmed(&self, pair: &Pair<'_>) -> Span {
        let span = self.span(pair);
        self.trim(span)
    }

    fn trim(&self, span: Span) -> Span {
        let text = self.text.get(span.range()).unwrap_or("");
        let start = span.range().start + (text.len() - text.trim_start().len());
        let end = span.range().start + text.trim_end().len();
        Span::new(self.source, start, end.max(start))
    }

    fn report(&self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.diagnostics.borrow_mut().push(diagnostic);
        }
    }

    /// Whether there are so many diagnostics that more will not be shown.
    fn is_full(&self) -> bool {
        self.diagnostics.borrow().len() >= MAX_KEPT
    }

    /// Whether a diagnostic was already given for a byte in `span`.
    fn was_reported(&self, span: Span) -> bool {
        let range = span.range();
        // They are in order and apart from each other.
        let next = self.reported.partition_point(|r| r.end <= range.start);
        self.reported.get(next).is_some_and(|r| r.start < range.end)
    }

    /// Runs `build` one level deeper, `levels` for a chain; `None` with a diagnostic where that is too deep.
    fn deeper<T>(&self, levels: usize, span: Span, build: impl FnOnce() -> T) -> Option<T> {
        let depth = self.depth.get();
        if depth + levels > MAX_DEPTH {
            self.report(too_deep(span));
            return None;
        }
        self.depth.set(depth + levels);
        let value = build();
        self.depth.set(depth);
        Some(value)
    }
}
