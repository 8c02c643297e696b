//! Owns where lines break: pieces of text with places where a line may end → text of at most [`WIDTH`] columns where
//! that can be. Knows nothing of the language.
//!
//! After Wadler, "A prettier printer" (1998): a group is put on one line where it fits there, otherwise all its own
//! [`Doc::Line`]s end the line; a [`Doc::Fill`] ends it only where the piece behind it does not fit.

/// Columns (characters) a line should have at most.
pub(super) const WIDTH: usize = 100;
/// Columns of one level of indentation.
pub(super) const INDENT: usize = 4;

/// A piece of a layout.
#[derive(Debug)]
pub(super) enum Doc<'t> {
    /// Text without a newline.
    Text(&'t str),
    /// A comment up to the end of its line: it may reach beyond the last column, and [`Doc::Hard`] stands behind it.
    Comment(&'t str),
    /// Text that keeps its own newlines and indentation: a comment of several lines.
    Verbatim(String),
    /// A space, or the end of a line where the group around it does not fit on one.
    Line,
    /// Nothing, or the end of a line where the group around it does not fit on one.
    Soft,
    /// `; ` where the group around it fits on one line, otherwise the end of a line.
    Semicolon,
    /// A space where what follows, up to the next place to break, fits on this line; otherwise the end of the line.
    Fill,
    /// The end of a line.
    Hard,
    /// The end of a line and an empty line.
    Blank,
    /// What stands one level further in.
    Indent(Vec<Doc<'t>>, bool),
    /// What goes on one line if it fits.
    Group(Vec<Doc<'t>>, bool),
}

impl<'t> Doc<'t> {
    /// What stands one level further in.
    pub(super) fn indent(parts: Vec<Doc<'t>>) -> Doc<'t> {
        let broken = parts.iter().any(Doc::must_break);
        Doc::Indent(parts, broken)
    }

    /// What goes on one line if it fits.
    pub(super) fn group(parts: Vec<Doc<'t>>) -> Doc<'t> {
        let broken = parts.iter().any(Doc::must_break);
        Doc::Group(parts, broken)
    }

    fn must_break(&self) -> bool {
        match self {
            Doc::Hard | Doc::Blank => true,
            Doc::Verbatim(text) => text.contains('\n'),
            Doc::Indent(_, broken) | Doc::Group(_, broken) => *broken,
            Doc::Text(_) | Doc::Comment(_) | Doc::Line | Doc::Soft | Doc::Semicolon | Doc::Fill => false,
        }
    }
}

/// Lays out `parts` and puts them behind `out`, which is empty or ends a line.
pub(super) fn print(parts: &[Doc<'_>], out: &mut String) {
    let mut column = 0;
    let mut stack: Vec<Work<'_, '_>> = Vec::new();
    push(&mut stack, parts, 0, true);
    while let Some(work) = stack.pop() {
        let Work { doc, indent, broken } = work;
        let line_end = match doc {
            Doc::Text(text) | Doc::Comment(text) => {
                out.push_str(text);
                column += width(text);
                None
            }
            Doc::Verbatim(text) => {
                out.push_str(text);
                column = match text.rsplit_once('\n') {
                    Some((_, last)) => width(last),
                    None => column + width(text),
                };
                None
            }
            Doc::Indent(parts, _) => {
                push(&mut stack, parts, indent + INDENT, broken);
                None
            }
            Doc::Group(parts, must) => {
                let flat = !broken || !must && fits(parts, &stack, column);
                push(&mut stack, parts, indent, !flat);
                None
            }
            Doc::Line => (!broken).then_some(" ").or(Some("\n")),
            Doc::Soft => (!broken).then_some("").or(Some("\n")),
            Doc::Semicolon => (!broken).then_some("; ").or(Some("\n")),
            Doc::Fill => Some(if !broken || next_fits(&stack, column + 1) { " " } else { "\n" }),
            Doc::Hard => Some("\n"),
            Doc::Blank => Some("\n\n"),
        };
        match line_end {
            None => {}
            Some(end) if end.starts_with('\n') => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push_str(end);
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            Some(text) => {
                out.push_str(text);
                column += text.len();
            }
        }
    }
}

/// A piece still to be printed: how far in, and whether the group around it is broken.
#[derive(Clone, Copy)]
struct Work<'d, 't> {
    doc: &'d Doc<'t>,
    indent: usize,
    broken: bool,
}

fn push<'d, 't>(stack: &mut Vec<Work<'d, 't>>, parts: &'d [Doc<'t>], indent: usize, broken: bool) {
    stack.extend(parts.iter().rev().map(|doc| Work { doc, indent, broken }));
}

/// Whether the next piece fits on one line from `column` on.
fn next_fits(stack: &[Work<'_, '_>], column: usize) -> bool {
    stack.split_last().is_none_or(|(next, rest)| fits(std::slice::from_ref(next.doc), rest, column))
}

/// Whether `parts` on one line, and what follows them up to the next place where a line may end, fit from `column` on.
///
/// What follows counts as breakable wherever it can be, decided or not: so the answer does not depend on whether a
/// group behind was written on one line, and formatting twice gives what formatting once gave.
fn fits(parts: &[Doc<'_>], rest: &[Work<'_, '_>], column: usize) -> bool {
    let Some(mut left) = WIDTH.checked_sub(column) else { return false };
    let mut behind = rest.iter().rev();
    let mut stack: Vec<(&Doc<'_>, bool)> = parts.iter().rev().map(|doc| (doc, false)).collect();
    loop {
        let Some((doc, broken)) = stack.pop().or_else(|| behind.next().map(|work| (work.doc, work.broken))) else {
            return true;
        };
        let taken = match doc {
            Doc::Text(text) => width(text),
            Doc::Verbatim(text) => match text.split_once('\n') {
                Some((first, _)) => return width(first) <= left,
                None => width(text),
            },
            Doc::Line | Doc::Soft | Doc::Semicolon | Doc::Fill if broken => return true,
            Doc::Comment(_) | Doc::Hard | Doc::Blank => return true,
            Doc::Line | Doc::Fill => 1,
            Doc::Soft => 0,
            Doc::Semicolon => 2,
            Doc::Indent(parts, _) | Doc::Group(parts, _) => {
                stack.extend(parts.iter().rev().map(|doc| (doc, broken)));
                0
            }
        };
        match left.checked_sub(taken) {
            Some(less) => left = less,
            None => return false,
        }
    }
}

/// Columns of a text: its characters (wide ones count as one, as in most editors' rulers).
fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}
