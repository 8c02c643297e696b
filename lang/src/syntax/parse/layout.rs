//! Owns what has to be known of a text before the grammar sees it: comments, which newlines count, how deep brackets
//! nest and which of them lack their partner. Never builds tree nodes.
//!
//! The result is a text of the same length (places stay what they are) in which comments, tabs and the newlines inside
//! `( )` and `[ ]` are spaces. One pass, linear; an unclosed bracket makes it go back a bounded number of times.

use super::super::MAX_DEPTH;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};
use std::ops::Range;

/// How often the pass goes back behind an unclosed parenthesis; later ones only lose their own statement.
const MAX_REWINDS: usize = 32;

/// A text made ready for the grammar.
pub(super) struct Layout {
    /// The text without comments and without newlines that do not count; same length as the original.
    pub(super) text: String,
    /// The comments in order.
    pub(super) comments: Vec<Span>,
    /// Where items begin: each slice is parsed by itself, so an open brace harms one item only.
    pub(super) starts: Vec<usize>,
    /// Faults found here.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Bytes a diagnostic was already given for, in order, apart from each other: a statement that holds one is not
    /// reported again.
    pub(super) reported: Vec<Range<usize>>,
    /// Whether nesting is too deep to go on; then `diagnostics` says so.
    pub(super) too_deep: bool,
}

/// An opening bracket that waits for its partner.
struct Open {
    byte: u8,
    at: usize,
    /// Columns of white space before the first word of its line.
    indent: usize,
    /// Whether it opens the head of a `for`, where `;` is no end.
    for_head: bool,
    /// The first newline behind it that was taken for a space.
    newline: Option<usize>,
}

struct Scan<'t> {
    source: SourceId,
    bytes: &'t [u8],
    out: Vec<u8>,
    at: usize,
    stack: Vec<Open>,
    /// A brace whose `}` stands further left than its line: likely the one left open.
    suspect: Option<usize>,
    line_start: usize,
    first_on_line: bool,
    /// The line holds an unterminated string: brackets opened on it are no faults of their own.
    broken_line: bool,
    comment_open: bool,
    rewinds: usize,
    last_word: Range<usize>,
    comments: Vec<Span>,
    starts: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
    reported: Vec<Range<usize>>,
}

/// Makes `text` ready for the grammar.
pub(super) fn lay_out(source: SourceId, text: &str) -> Layout {
    let mut scan = Scan {
        source,
        bytes: text.as_bytes(),
        out: text.as_bytes().to_vec(),
        at: 0,
        stack: Vec::new(),
        suspect: None,
        line_start: 0,
        first_on_line: true,
        broken_line: false,
        comment_open: false,
        rewinds: 0,
        last_word: 0..0,
        comments: Vec::new(),
        starts: Vec::new(),
        diagnostics: Vec::new(),
        reported: Vec::new(),
    };
    let too_deep = !scan.run();
    // Only whole characters were replaced, each byte by an ASCII one.
    let text = String::from_utf8(scan.out).unwrap_or_default();
    Layout {
        text,
        comments: scan.comments,
        starts: scan.starts,
        diagnostics: scan.diagnostics,
        reported: apart(scan.reported),
        too_deep,
    }
}

/// The ranges in order, those that meet made one.
fn apart(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|r| r.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            Some(_) | None => apart.push(range),
        }
    }
    apart
}

impl Scan<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < super::MAX_KEPT {
            self.diagnostics.push(diagnostic);
        }
    }

    fn blank(&mut self, range: Range<usize>, with: u8) {
        if let Some(bytes) = self.out.get_mut(range) {
            bytes.fill(with);
        }
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(self.bytes.len(), |n| from + n)
    }

    /// Reads the whole text; false where it nests too deeply.
    fn run(&mut self) -> bool {
        loop {
            while self.at < self.bytes.len() {
                let byte = self.byte(self.at);
                let was_first = self.first_on_line;
                if !byte.is_ascii_whitespace() {
                    self.first_on_line = false;
                }
                match byte {
                    b'\n' => self.newline(),
                    b'#' => self.line_comment(),
                    b'/' if self.byte(self.at + 1) == b'/' => self.line_comment(),
                    b'/' if self.byte(self.at + 1) == b'*' => self.block_comment(),
                    b'"' => self.string(),
                    b'\'' => self.char(),
                    b'(' | b'[' | b'{' => {
                        if !self.open(byte) {
                            return false;
                        }
                    }
                    b')' | b']' | b'}' => self.close(byte, was_first),
                    b';' if self.stack.last().is_some_and(|o| o.byte != b'{' && !o.for_head) => {
                        if !self.unclosed_round("`;`") {
                            self.at += 1;
                        }
                    }
                    b':' if self.stack.is_empty() && self.byte(self.at + 1) == b'/' => self.path(),
                    b'\t' | b'\r' | b'\x0c' => {
                        let at = self.at;
                        self.blank(at..at + 1, b' ');
                        self.at += 1;
                    }
                    _ if is_word(byte) => self.word(was_first),
                    _ => self.at += 1,
                }
            }
            // At the end: an open parenthesis may send the scan back.
            if self.stack.last().is_some_and(|o| o.byte != b'{') && !self.comment_open && self.unclosed_round("the end")
            {
                continue;
            }
            break;
        }
        if !self.stack.is_empty() && !self.comment_open {
            self.unclosed_brace(self.bytes.len(), "the file ends here");
        }
        true
    }

    fn newline(&mut self) {
        if self.broken_line {
            while self.stack.last().is_some_and(|o| o.byte != b'{' && o.at >= self.line_start) {
                self.stack.pop();
            }
            self.broken_line = false;
        }
        if self.stack.last().is_some_and(|o| o.byte != b'{') {
            let at = self.at;
            self.blank(at..at + 1, b' ');
            for open in self.stack.iter_mut().rev().take_while(|o| o.byte != b'{') {
                if open.newline.is_some() {
                    break;
                }
                open.newline = Some(at);
            }
        }
        self.at += 1;
        self.line_start = self.at;
        self.first_on_line = true;
    }

    fn line_comment(&mut self) {
        let end = self.line_end(self.at);
        self.comment(end);
    }

    fn block_comment(&mut self) {
        let inside = self.bytes.get(self.at + 2..).unwrap_or_default();
        match memchr::memmem::find(inside, b"*/") {
            Some(n) => self.comment(self.at + 2 + n + 2),
            None => {
                let open = self.span(self.at, self.at + 2);
                self.report(
                    Diagnostic::new(Code::E0003, open, "this comment never ends")
                        .label("begins here")
                        .help("close it with `*/`"),
                );
                self.comment_open = true;
                self.reported.push(self.at..self.at + 2);
                self.comment(self.bytes.len());
            }
        }
    }

    fn comment(&mut self, end: usize) {
        // A `\r` before the newline is not part of the comment.
        let shown = if end > self.at && self.byte(end - 1) == b'\r' { end - 1 } else { end };
        self.comments.push(self.span(self.at, shown));
        self.blank(self.at..end, b' ');
        self.at = end;
    }

    /// The place of the quote that closes the literal begun here, or else of the end of the line.
    fn literal_end(&self, quote: u8) -> Result<usize, usize> {
        let mut i = self.at + 1;
        while i < self.bytes.len() {
            match self.byte(i) {
                b'\n' => return Err(i),
                b'\\' if self.byte(i + 1) != b'\n' => i += 2,
                byte if byte == quote => return Ok(i),
                _ => i += 1,
            }
        }
        Err(self.bytes.len())
    }

    fn string(&mut self) {
        let end = match self.literal_end(b'"') {
            Ok(close) => {
                self.at = close + 1;
                return;
            }
            Err(end) => end,
        };
        // The quote is missing. What closes the statement at the end of the line most likely stood behind it.
        let mut tail = end;
        while tail > self.at + 1
            && matches!(self.byte(tail - 1), b' ' | b'\t' | b'\r' | b')' | b']' | b'{' | b'}' | b';' | b',')
        {
            tail -= 1;
        }
        let span = self.span(self.at, tail);
        self.report(
            Diagnostic::new(Code::E0002, span, "this string never ends")
                .label("no closing `\"` on this line")
                .help("close it with `\"`; write a line break inside a string as `\\n`"),
        );
        self.reported.push(self.at..tail);
        self.blank(self.at..tail, b'_');
        self.broken_line = true;
        self.at = tail;
    }

    fn char(&mut self) {
        if let Ok(close) = self.literal_end(b'\'') {
            self.at = close + 1;
            return;
        }
        let span = self.span(self.at, self.at + 1);
        self.report(
            Diagnostic::new(Code::E0002, span, "this character never ends")
                .label("no closing `'` on this line")
                .help("write one character between single quotes, `'c'`; text goes between double quotes"),
        );
        self.reported.push(self.at..self.at + 1);
        self.broken_line = true;
        self.at += 1;
    }

    /// An unquoted path behind `:`, which may hold `//`, `#` and brackets: the grammar's rule `path`.
    fn path(&mut self) {
        let before = self.out.get(..self.at).unwrap_or_default();
        let follows_who = before.last().is_some_and(|&b| b == b')') || before.ends_with(b"host");
        self.at += 1;
        if !follows_who {
            return;
        }
        while self.at < self.bytes.len() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let selector = [&b".fn("[..], b".line(", b".mark(", b".addr("].iter().any(|s| rest.starts_with(s));
            if selector || matches!(self.byte(self.at), b' ' | b'\t' | b'\r' | b'\x0c' | b'\n' | b'{' | b',' | b'"') {
                return;
            }
            self.at += 1;
        }
    }

    fn word(&mut self, first_on_line: bool) {
        let start = self.at;
        while is_word(self.byte(self.at)) {
            self.at += 1;
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        self.last_word = start..self.at;
        if !first_on_line {
            return;
        }
        let item = matches!(word, b"probe" | b"global" | b"const" | b"fn" | b"import");
        let statement = item
            || matches!(
                word,
                b"if"
                    | b"else"
                    | b"while"
                    | b"for"
                    | b"foreach"
                    | b"return"
                    | b"delete"
                    | b"emit"
                    | b"next"
                    | b"break"
                    | b"continue"
            );
        let shown = format!("`{}`", String::from_utf8_lossy(word));
        if statement && self.stack.last().is_some_and(|o| o.byte != b'{') && self.unclosed_round(&shown) {
            return;
        }
        if item {
            if !self.stack.is_empty() {
                self.unclosed_brace(start, "expected `}` before this");
                self.stack.clear();
            }
            self.suspect = None;
            self.starts.push(start);
        }
    }

    fn open(&mut self, byte: u8) -> bool {
        if byte == b'{' && self.stack.last().is_some_and(|o| o.byte != b'{') && self.unclosed_round("`{`") {
            return true;
        }
        if self.stack.len() >= MAX_DEPTH {
            let span = self.span(self.at, self.at + 1);
            let first = self.stack.first().map_or(span, |o| self.span(o.at, o.at + 1));
            self.diagnostics.truncate(super::MAX_KEPT - 1);
            self.report(super::too_deep(span).also(first, "the outermost one opens here"));
            return false;
        }
        let line = self.bytes.get(self.line_start..self.at).unwrap_or_default();
        let indent = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let between = self.out.get(self.last_word.end..self.at).unwrap_or_default();
        let for_head = byte == b'('
            && self.bytes.get(self.last_word.clone()) == Some(b"for")
            && between.iter().all(|b| b.is_ascii_whitespace());
        self.stack.push(Open { byte, at: self.at, indent, for_head, newline: None });
        self.at += 1;
        true
    }

    fn close(&mut self, byte: u8, first_on_line: bool) {
        if byte == b'}' {
            if self.stack.last().is_some_and(|o| o.byte != b'{') && self.unclosed_round("`}`") {
                return;
            }
            match self.stack.pop() {
                Some(open) => {
                    let column = self.at - self.line_start;
                    if first_on_line && column < open.indent && self.suspect.is_none() {
                        self.suspect = Some(open.at);
                    }
                }
                None => {
                    let span = self.span(self.at, self.at + 1);
                    if !self.broken_line {
                        self.report(
                            Diagnostic::new(Code::E0001, span, "this `}` closes nothing")
                                .label("no `{` is open here")
                                .help("remove it, or add the `{` it belongs to"),
                        );
                    }
                    self.reported.push(self.at..self.at + 1);
                    self.blank(self.at..self.at + 1, b' ');
                }
            }
            self.at += 1;
            return;
        }
        let wants = if byte == b')' { b'(' } else { b'[' };
        let partner = self.stack.iter().rposition(|o| o.byte == wants || o.byte == b'{');
        match partner.and_then(|p| self.stack.get(p).map(|o| (p, o.byte))) {
            Some((p, found)) if found == wants => {
                // Brackets of the other kind opened in between lack their partner.
                if let Some(inner) = self.stack.get(p + 1) {
                    let (at, open, want) = (inner.at, char::from(inner.byte), partner_of(inner.byte));
                    let span = self.span(at, at + 1);
                    let here = self.span(self.at, self.at + 1);
                    self.report(
                        Diagnostic::new(Code::E0001, span, format!("this `{open}` is never closed"))
                            .also(here, format!("expected `{want}` before this")),
                    );
                    self.reported.push(at..at + 1);
                }
                self.stack.truncate(p);
            }
            // The grammar says what it thinks of a bracket that closes nothing.
            Some(_) | None => {}
        }
        self.at += 1;
    }

    /// Reports the outermost parenthesis or bracket that is open inside the innermost brace, and closes those; goes back
    /// to the end of its line where text behind that was taken as belonging to it. True where it went back.
    fn unclosed_round(&mut self, found: &str) -> bool {
        let index = self.stack.iter().rposition(|o| o.byte == b'{').map_or(0, |brace| brace + 1);
        let Some(open) = self.stack.get(index) else { return false };
        let (at, byte, newline) = (open.at, open.byte, open.newline);
        self.stack.truncate(index);
        if self.broken_line && at >= self.line_start {
            return false;
        }
        let rewind = newline.filter(|_| self.rewinds < MAX_REWINDS);
        if let Some(to) = rewind {
            self.rewinds += 1;
            let here = self.at;
            if let (Some(out), Some(original)) = (self.out.get_mut(to..here), self.bytes.get(to..here)) {
                out.copy_from_slice(original);
            }
            self.at = to;
            self.first_on_line = false;
            self.broken_line = false;
            let source_end = u32::try_from(to).unwrap_or(u32::MAX);
            self.comments.retain(|c| c.start < source_end);
            self.diagnostics.retain(|d| d.primary.span.start < source_end);
            self.reported.retain(|r| r.start < to);
        }
        let end = newline.unwrap_or(self.at);
        let before = self.text_end(at, end);
        let diagnostic =
            Diagnostic::new(Code::E0001, self.span(at, at + 1), format!("this `{}` is never closed", char::from(byte)))
                .also(self.span(before, before), format!("expected `{}` here", partner_of(byte)));
        let diagnostic = if rewind.is_none() && newline.is_none() && found != "the end" {
            diagnostic.note(format!("found {found} before it was closed"))
        } else {
            diagnostic
        };
        self.report(diagnostic);
        self.reported.push(at..end.max(at + 1));
        rewind.is_some()
    }

    /// The end of the last text between `from` and `to` that is no white space or comment.
    fn text_end(&self, from: usize, to: usize) -> usize {
        let text = self.out.get(from..to).unwrap_or_default();
        from + text.iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |n| n + 1)
    }

    fn unclosed_brace(&mut self, found_at: usize, found: &str) {
        let outermost = self.stack.first().map_or(0, |o| o.at);
        let last = self.stack.last().map_or(0, |o| o.at);
        let at = self.suspect.filter(|&at| at > outermost).unwrap_or(last);
        let word = if found_at < self.bytes.len() { self.at.max(found_at) } else { found_at };
        self.report(
            Diagnostic::new(Code::E0001, self.span(at, at + 1), "this `{` is never closed")
                .also(self.span(found_at, word), found)
                .help("add the missing `}`"),
        );
        self.suspect = None;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn partner_of(byte: u8) -> char {
    match byte {
        b'(' => ')',
        b'[' => ']',
        _ => '}',
    }
}
