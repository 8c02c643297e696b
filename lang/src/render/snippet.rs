//! Owns the lines of source that one diagnostic shows: only those its labels touch, made printable and cut where they are
//! long, so that drawing costs the same however large the source is.

use super::replaced;
use crate::source::{Source, Span};
use std::collections::BTreeMap;
use std::ops::Range;

/// Lines longer than this are cut around what is pointed at.
const LONG_LINE: usize = 240;
/// How much of a long line is shown before and behind what is pointed at.
const CONTEXT: usize = 80;
/// A label over more lines than this points at its first line only.
const MAX_LINES: u32 = 40;

/// The shown lines of one source.
pub(super) struct Snippet {
    /// What codespan draws.
    pub(super) text: String,
    /// For each line of `text`: its number in the source (from 1) and where it begins in `text`.
    lines: Vec<(u32, usize)>,
    shifts: BTreeMap<u32, Line>,
}

/// How places in one line of the source map to places in the snippet.
struct Line {
    /// Where it begins in the source.
    start: usize,
    /// (place in the source, place in the snippet) after each character that was replaced; the first is the line's start.
    anchors: Vec<(usize, usize)>,
    /// Where it ends in the snippet.
    end: usize,
}

impl Snippet {
    /// The lines that `spans` touch.
    pub(super) fn new(source: &Source, spans: &[Span]) -> Snippet {
        let mut wanted: BTreeMap<u32, Range<usize>> = BTreeMap::new();
        for span in spans {
            let first = source.line_column(span.start).line;
            let last = source.line_column(clamp(source, *span).end).line.min(first.saturating_add(MAX_LINES));
            for line in first..=last {
                let range = span.range();
                wanted.entry(line).and_modify(|r| *r = r.start.min(range.start)..r.end.max(range.end)).or_insert(range);
            }
        }
        let mut snippet = Snippet { text: String::new(), lines: Vec::new(), shifts: BTreeMap::new() };
        let mut previous = None;
        for (number, range) in wanted {
            if previous.is_some_and(|p| p + 1 < number) {
                // Two lines that are never shown make codespan draw a break.
                for _ in 0..2 {
                    snippet.lines.push((number - 1, snippet.text.len()));
                    snippet.text.push('\n');
                }
            }
            previous = Some(number);
            snippet.add(source, number, &range);
        }
        snippet
    }

    fn add(&mut self, source: &Source, number: u32, pointed: &Range<usize>) {
        let line = source.line(number).trim_end_matches('\r');
        let start = line_start(source, number);
        self.lines.push((number, self.text.len()));
        let mut shown = 0..line.len();
        if line.len() > LONG_LINE {
            let from = pointed.start.saturating_sub(start).saturating_sub(CONTEXT);
            let to = pointed
                .end
                .saturating_sub(start)
                .min(pointed.start.saturating_sub(start) + LONG_LINE)
                .saturating_add(CONTEXT);
            shown = boundary(line, from)..boundary(line, to.min(line.len()));
        }
        let mut mapped = Line { start, anchors: vec![(start, self.text.len())], end: 0 };
        if shown.start > 0 {
            self.text.push('…');
        }
        mapped.anchors.push((start + shown.start, self.text.len()));
        for (at, c) in line.get(shown.clone()).unwrap_or("").char_indices() {
            match replaced(c) {
                Some(instead) => {
                    self.text.push_str(&instead);
                    mapped.anchors.push((start + shown.start + at + c.len_utf8(), self.text.len()));
                }
                None => self.text.push(c),
            }
        }
        mapped.end = self.text.len();
        if shown.end < line.len() {
            self.text.push('…');
        }
        self.text.push('\n');
        self.shifts.insert(number, mapped);
    }

    /// Where a place of the source stands in the snippet.
    fn place(&self, source: &Source, offset: usize) -> usize {
        let number = source.line_column(u32::try_from(offset).unwrap_or(u32::MAX)).line;
        let Some(line) = self.shifts.get(&number) else { return 0 };
        let index = line.anchors.partition_point(|(at, _)| *at <= offset).saturating_sub(1);
        let Some((at, shown)) = line.anchors.get(index) else { return 0 };
        boundary(&self.text, (shown + offset.saturating_sub(*at)).min(line.end))
    }

    /// Where a span of the source stands in the snippet.
    pub(super) fn range(&self, source: &Source, span: Span) -> Range<usize> {
        let span = clamp(source, span);
        let start = self.place(source, span.range().start);
        let first = source.line_column(span.start).line;
        let last = source.line_column(span.end).line;
        if last.saturating_sub(first) > MAX_LINES {
            return start..self.shifts.get(&first).map_or(start, |line| line.end);
        }
        start..self.place(source, span.range().end).max(start)
    }

    /// The number in the source of a line of the snippet (counted from 0).
    pub(super) fn line_number(&self, index: usize) -> u32 {
        self.lines.get(index).map_or(0, |(number, _)| *number)
    }

    /// Which line of the snippet (from 0) a byte stands on.
    pub(super) fn line_index(&self, offset: usize) -> usize {
        self.lines.partition_point(|(_, start)| *start <= offset).saturating_sub(1)
    }

    /// The bytes of a line of the snippet, with its newline.
    pub(super) fn line_range(&self, index: usize) -> Option<Range<usize>> {
        let (_, start) = self.lines.get(index)?;
        let end = self.lines.get(index + 1).map_or(self.text.len(), |(_, next)| *next);
        Some(*start..end)
    }

    /// The column in the source, in bytes from 1, of a byte of the snippet.
    pub(super) fn column(&self, index: usize, offset: usize) -> usize {
        let Some(line) = self.shifts.get(&self.line_number(index)) else { return 1 };
        let anchor = line.anchors.partition_point(|(_, shown)| *shown <= offset).saturating_sub(1);
        let Some((at, shown)) = line.anchors.get(anchor) else { return 1 };
        at.saturating_sub(line.start) + offset.saturating_sub(*shown) + 1
    }
}

fn line_start(source: &Source, number: u32) -> usize {
    let line = source.line(number);
    line.as_ptr() as usize - source.text().as_ptr() as usize
}

fn clamp(source: &Source, span: Span) -> Span {
    let length = source.text().len();
    Span::new(
        span.source,
        span.range().start.min(length),
        span.range().end.min(length).max(span.range().start.min(length)),
    )
}

/// The next character boundary at or behind `at`.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len())
}
