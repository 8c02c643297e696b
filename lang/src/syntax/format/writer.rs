//! Owns the walk along the text being formatted: every token is taken from it in order, and every comment goes where
//! it stood, between the same two tokens. Never decides where a line may end.

use super::doc::Doc;
use crate::source::Span;
use crate::syntax::ast::Comment;

/// What stands between a token and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing.
    None,
    /// A space.
    Space,
    /// [`Doc::Line`]
    Line,
    /// [`Doc::Soft`]
    Soft,
    /// [`Doc::Fill`]
    Fill,
    /// [`Doc::Hard`]
    Hard,
}

/// Where in a list of statements or items the next token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// The first: no empty line goes before it.
    First,
    /// One of the others.
    Inner,
    /// What closes the list. The line is not ended before it.
    Last,
    /// What closes a list of nothing but comments. The line is not ended before it.
    Whole,
}

/// Words at which a line within brackets must not begin: there they would pass for the start of the next statement.
const NO_LINE_START: [&str; 16] = [
    "probe", "global", "const", "fn", "import", "if", "else", "while", "for", "foreach", "return", "delete", "emit",
    "next", "break", "continue",
];

/// The text being formatted, up to where it was taken.
pub(super) struct Writer<'t> {
    text: &'t str,
    comments: &'t [Comment],
    /// End of the token taken last.
    at: usize,
    /// What was laid out, for each list that is open.
    open: Vec<Vec<Doc<'t>>>,
    /// Brackets that are open, and braces of `emit`.
    brackets: usize,
    /// Whether `;` is passed over like white space.
    semicolons: bool,
    /// Whether a token was not where the tree says.
    lost: bool,
}

impl<'t> Writer<'t> {
    pub(super) fn new(text: &'t str, comments: &'t [Comment]) -> Writer<'t> {
        Writer { text, comments, at: 0, open: vec![Vec::new()], brackets: 0, semicolons: false, lost: false }
    }

    /// What was laid out at the outermost level since the last call; `None` where tree and text do not agree.
    pub(super) fn finish(&mut self) -> Option<Vec<Doc<'t>>> {
        match self.open.as_mut_slice() {
            [only] if !self.lost => Some(std::mem::take(only)),
            _ => None,
        }
    }

    pub(super) fn doc(&mut self, doc: Doc<'t>) {
        if let Some(last) = self.open.last_mut() {
            last.push(doc);
        }
    }

    fn collected(&mut self, build: impl FnOnce(&mut Self)) -> Vec<Doc<'t>> {
        self.open.push(Vec::new());
        build(self);
        self.open.pop().unwrap_or_default()
    }

    /// Lays out one level further in.
    pub(super) fn indent(&mut self, build: impl FnOnce(&mut Self)) {
        let parts = self.collected(build);
        self.doc(Doc::indent(parts));
    }

    /// Lays out what brackets or the braces of `emit` hold.
    pub(super) fn bracketed(&mut self, build: impl FnOnce(&mut Self)) {
        self.brackets += 1;
        build(self);
        self.brackets -= 1;
    }

    /// Lays out what goes on one line if it fits.
    pub(super) fn group(&mut self, build: impl FnOnce(&mut Self)) {
        let parts = self.collected(build);
        self.doc(Doc::group(parts));
    }

    /// Lays out within [`Self::indent`] where `inside` says so.
    pub(super) fn indent_if(&mut self, inside: bool, build: impl FnOnce(&mut Self)) {
        if inside { self.indent(build) } else { build(self) }
    }

    /// Where the next token begins, and the comments before it.
    fn next(&self) -> (usize, &'t [Comment]) {
        let first = self.comments.partition_point(|comment| (comment.span.start as usize) < self.at);
        let behind = self.comments.get(first..).unwrap_or_default();
        let mut at = self.at;
        let mut count = 0;
        loop {
            let rest = self.text.get(at..).unwrap_or("");
            let passed = |c| is_space(c) || (self.semicolons && c == ';');
            at = self.text.len() - rest.trim_start_matches(passed).len();
            match behind.get(count) {
                Some(comment) if comment.span.start as usize == at => {
                    at = comment.span.range().end;
                    count += 1;
                }
                Some(_) | None => return (at, behind.get(..count).unwrap_or_default()),
            }
        }
    }

    /// The text from the next token on.
    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.next().0..).unwrap_or("")
    }

    /// Whether the next token is `token`.
    pub(super) fn sees(&self, token: &str) -> bool {
        self.rest().starts_with(token)
    }

    /// Whether a line ends before the next token.
    pub(super) fn line_ends(&self) -> bool {
        let (to, _) = self.next();
        self.text.get(self.at..to).is_some_and(|gap| gap.contains('\n'))
    }

    /// Whether a comment stands before the next token.
    pub(super) fn comment_follows(&self) -> bool {
        !self.next().1.is_empty()
    }

    /// Whether `span` stands on one line and holds no comment.
    pub(super) fn is_plain_line(&self, span: Span) -> bool {
        let first = self.comments.partition_point(|comment| comment.span.start < span.start);
        let comment = self.comments.get(first).is_some_and(|comment| comment.span.start < span.end);
        !comment && self.text.get(span.range()).is_some_and(|text| !text.contains('\n'))
    }

    /// Passes over `;` where one stands next.
    pub(super) fn past_semicolons(&mut self, build: impl FnOnce(&mut Self)) {
        self.semicolons = true;
        build(self);
        self.semicolons = false;
    }

    /// Passes over `token` if it is next and no comment stands before it.
    pub(super) fn leave_out(&mut self, token: &str) {
        if self.sees(token) && !self.comment_follows() {
            self.at = self.next().0 + token.len();
        }
    }

    /// Whether the text from here to `end` stands on one line and holds no comment.
    pub(super) fn is_plain_to(&self, end: usize) -> bool {
        let first = self.comments.partition_point(|comment| (comment.span.start as usize) < self.at);
        let comment = self.comments.get(first).is_some_and(|comment| (comment.span.start as usize) < end);
        !comment && self.text.get(self.at..end).is_some_and(|text| !text.contains('\n'))
    }

    /// Takes the next token, which must be `token`.
    pub(super) fn token(&mut self, gap: Gap, token: &str) {
        self.gap(gap);
        if !self.text.get(self.at..).is_some_and(|text| text.starts_with(token)) {
            self.lost = true;
        }
        self.take(self.at + token.len());
    }

    /// Takes the next token as it is written: `span`.
    pub(super) fn verbatim(&mut self, gap: Gap, span: Span) {
        self.gap(gap);
        if self.at != span.range().start {
            self.lost = true;
        }
        self.take(span.range().end);
    }

    fn take(&mut self, end: usize) {
        match self.text.get(self.at..end) {
            Some(text) => self.doc(Doc::Text(text)),
            None => self.lost = true,
        }
        self.at = end;
    }

    /// The gap before the next token with the comments in it. A line that ended behind a comment still ends there.
    pub(super) fn gap(&mut self, gap: Gap) {
        let (to, comments) = self.next();
        let token = self.text.get(to..).unwrap_or("");
        let word = token.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        let stays = self.brackets > 0 && NO_LINE_START.contains(&word);
        let gap = match gap {
            Gap::Line | Gap::Fill if stays => Gap::Space,
            Gap::Soft if stays => Gap::None,
            Gap::None | Gap::Space | Gap::Line | Gap::Soft | Gap::Fill | Gap::Hard => gap,
        };
        let closes = token.starts_with([')', ']', '}']);
        let mut before = if closes { Gap::Space } else { gap };
        let mut end = self.at;
        let mut line_must_end = false;
        for comment in comments {
            let whole = comment.span.range();
            let text = self.text.get(whole.clone()).unwrap_or("");
            let own_line = self.text.get(end..whole.start).is_some_and(|gap| gap.contains('\n'));
            let to_line_end = !text.starts_with("/*");
            match before {
                _ if line_must_end || (to_line_end && own_line) => self.doc(Doc::Hard),
                _ if to_line_end => self.doc(Doc::Text(" ")),
                Gap::None | Gap::Space if self.opens() => {}
                Gap::None | Gap::Space => self.doc(Doc::Text(" ")),
                Gap::Line | Gap::Soft | Gap::Fill | Gap::Hard => self.separator(before),
            }
            self.comment(text);
            line_must_end = to_line_end;
            before = Gap::Space;
            end = whole.end;
        }
        if line_must_end {
            self.doc(Doc::Hard);
        } else if comments.is_empty() || closes || gap == Gap::Hard {
            self.separator(gap);
        } else if gap != Gap::None || !token.starts_with([',', ';', ':']) {
            self.doc(Doc::Text(" "));
        }
        self.at = to;
    }

    /// Whether what was laid out last opens a bracket.
    fn opens(&self) -> bool {
        let last = self.open.iter().rev().find_map(|docs| docs.last());
        matches!(last, Some(Doc::Text(text)) if text.ends_with(['(', '[']))
    }

    fn separator(&mut self, gap: Gap) {
        match gap {
            Gap::None => {}
            Gap::Space => self.doc(Doc::Text(" ")),
            Gap::Line => self.doc(Doc::Line),
            Gap::Soft => self.doc(Doc::Soft),
            Gap::Fill => self.doc(Doc::Fill),
            Gap::Hard => self.doc(Doc::Hard),
        }
    }

    /// A comment without white space at the ends of its lines.
    fn comment(&mut self, text: &'t str) {
        if text.contains('\n') {
            let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches(is_space)).collect();
            self.doc(Doc::Verbatim(lines.join("\n")));
        } else if text.starts_with("/*") {
            self.doc(Doc::Text(text));
        } else {
            self.doc(Doc::Comment(text.trim_end_matches(is_space)));
        }
    }

    /// Goes on to the next statement, item or closing brace: a new line, or where one or more lines were empty one
    /// empty line; the comments on the way keep their lines.
    pub(super) fn next_line(&mut self, edge: Edge, file_start: bool) {
        let mut rest = self.at;
        let (mut to, mut comments) = self.next();
        // Semicolons are left out; one that keeps a comment for ctp from what follows stays.
        let mut segments: Vec<(&'t str, Option<&'t str>)> = Vec::new();
        loop {
            for comment in comments {
                let whole = comment.span.range();
                segments.push((self.text.get(rest..whole.start).unwrap_or(""), self.text.get(whole.clone())));
                rest = whole.end;
            }
            if !self.text.get(to..).is_some_and(|text| text.starts_with(';')) {
                break;
            }
            self.at = to + 1;
            (to, comments) = self.next();
        }
        segments.push((self.text.get(rest..to).unwrap_or(""), None));
        self.at = to;
        let one_line = !segments.iter().any(|(gap, _)| gap.contains('\n'));
        let last = segments.len() - 1;
        // Where a line that held two ends.
        let parted = segments.iter().position(|(gap, _)| gap.contains(';')).unwrap_or(0);
        let first_edge = matches!(edge, Edge::First | Edge::Whole);
        let last_edge = matches!(edge, Edge::Last | Edge::Whole);
        let mut for_ctp = false;
        let mut to_line_end = false;
        for (index, (gap, comment)) in segments.into_iter().enumerate() {
            let lines = gap.matches('\n').count();
            if for_ctp && gap.contains(';') {
                if to_line_end {
                    self.doc(Doc::Hard);
                }
                self.doc(Doc::Text(";"));
                for_ctp = false;
            }
            if index == 0 && file_start || index == last && last_edge {
                // Nothing stands before the first line of a file; what closes a list is further out.
            } else if lines >= 2 && !(index == 0 && first_edge) {
                self.doc(Doc::Blank);
            } else if lines >= 1 || one_line && index == parted && !last_edge {
                self.doc(Doc::Hard);
            } else {
                self.doc(Doc::Text(" "));
            }
            if let Some(text) = comment {
                self.comment(text);
                let inside = text.trim_start_matches(['#', '/', '*']).trim_start();
                for_ctp |= inside.starts_with("ctp:");
                to_line_end = !text.starts_with("/*");
            }
        }
    }
}

/// White space as the parser knows it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0c' | '\n')
}
