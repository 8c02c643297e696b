//! Owns the rich form: message, source with what is pointed at, notes and helps. The only place that names codespan.

use super::snippet::Snippet;
use super::{Report, one_line, printable};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Source, SourceId, Sources, Span};
use codespan_reporting::diagnostic as drawn;
use codespan_reporting::files;
use codespan_reporting::term::termcolor::Buffer;
use codespan_reporting::term::{self, Config, Styles, StylesWriter};
use std::ops::Range;

/// Draws diagnostics over the sources they point into, a blank line behind each; `color` with ANSI escapes.
pub fn rich(sources: &Sources, diagnostics: &[Diagnostic], color: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let shown = Shown::new(sources, diagnostic);
        let mut labels = vec![shown.label(diagnostic.primary.span, &diagnostic.primary.text, true)];
        labels.extend(diagnostic.secondary.iter().map(|l| shown.label(l.span, &l.text, false)));
        let drawing = drawing(diagnostic.severity(), diagnostic.code.as_str(), &diagnostic.message)
            .with_labels(labels.into_iter().flatten().collect())
            .with_notes(notes(&diagnostic.notes, &diagnostic.helps));
        out.push_str(&draw(&shown, &drawing, color));
    }
    out
}

/// Draws a message that has no place in a source, in the same style.
pub fn rich_report(report: &Report, color: bool) -> String {
    let drawing =
        drawing(report.severity, report.code.as_str(), &report.message).with_notes(notes(&report.notes, &report.helps));
    draw(&Shown { files: Vec::new() }, &drawing, color)
}

fn drawing(severity: Severity, code: &str, message: &str) -> drawn::Diagnostic<usize> {
    let severity = match severity {
        Severity::Error => drawn::Severity::Error,
        Severity::Warning => drawn::Severity::Warning,
    };
    drawn::Diagnostic::new(severity).with_code(code).with_message(one_line(message))
}

fn notes(notes: &[String], helps: &[String]) -> Vec<String> {
    let line = |word: &str, text: &String| format!("{word}: {}", printable(text).replace('\n', "\n      "));
    notes.iter().map(|n| line("note", n)).chain(helps.iter().map(|h| line("help", h))).collect()
}

fn draw(shown: &Shown<'_>, drawing: &drawn::Diagnostic<usize>, color: bool) -> String {
    let config = Config::default();
    let mut buffer = if color { Buffer::ansi() } else { Buffer::no_color() };
    let styles = Styles::default();
    let drawn = term::emit_to_write_style(&mut StylesWriter::new(&mut buffer, &styles), &config, shown, drawing);
    let text = String::from_utf8_lossy(buffer.as_slice()).into_owned();
    match drawn {
        Ok(()) => text,
        // A place that is in no source: the message stays.
        Err(_) => format!(
            "{}[{}]: {}\n\n",
            severity(drawing.severity),
            drawing.code.as_deref().unwrap_or(""),
            drawing.message
        ),
    }
}

fn severity(severity: drawn::Severity) -> &'static str {
    if severity == drawn::Severity::Warning { "warning" } else { "error" }
}

/// What one diagnostic shows of each source it points into.
struct Shown<'a> {
    files: Vec<(SourceId, &'a Source, Snippet)>,
}

impl<'a> Shown<'a> {
    fn new(sources: &'a Sources, diagnostic: &Diagnostic) -> Shown<'a> {
        let spans: Vec<Span> =
            std::iter::once(diagnostic.primary.span).chain(diagnostic.secondary.iter().map(|l| l.span)).collect();
        let mut files: Vec<(SourceId, &Source, Snippet)> = Vec::new();
        for span in &spans {
            if files.iter().any(|(id, ..)| *id == span.source) {
                continue;
            }
            let Some(source) = sources.get(span.source) else { continue };
            let here: Vec<Span> = spans.iter().copied().filter(|s| s.source == span.source).collect();
            files.push((span.source, source, Snippet::new(source, &here)));
        }
        Shown { files }
    }

    fn label(&self, span: Span, text: &str, primary: bool) -> Option<drawn::Label<usize>> {
        let index = self.files.iter().position(|(id, ..)| *id == span.source)?;
        let (_, source, snippet) = self.files.get(index)?;
        let style = if primary { drawn::LabelStyle::Primary } else { drawn::LabelStyle::Secondary };
        Some(drawn::Label::new(style, index, snippet.range(source, span)).with_message(one_line(text)))
    }

    fn file(&self, id: usize) -> Result<&(SourceId, &'a Source, Snippet), files::Error> {
        self.files.get(id).ok_or(files::Error::FileMissing)
    }
}

impl<'f> files::Files<'f> for Shown<'_> {
    type FileId = usize;
    type Name = String;
    type Source = &'f str;

    fn name(&'f self, id: usize) -> Result<String, files::Error> {
        self.file(id).map(|(_, source, _)| one_line(source.name()))
    }

    fn source(&'f self, id: usize) -> Result<&'f str, files::Error> {
        self.file(id).map(|(.., snippet)| snippet.text.as_str())
    }

    fn line_index(&'f self, id: usize, byte_index: usize) -> Result<usize, files::Error> {
        self.file(id).map(|(.., snippet)| snippet.line_index(byte_index))
    }

    fn line_number(&'f self, id: usize, line_index: usize) -> Result<usize, files::Error> {
        self.file(id).map(|(.., snippet)| snippet.line_number(line_index) as usize)
    }

    fn column_number(&'f self, id: usize, line_index: usize, byte_index: usize) -> Result<usize, files::Error> {
        self.file(id).map(|(.., snippet)| snippet.column(line_index, byte_index))
    }

    fn line_range(&'f self, id: usize, line_index: usize) -> Result<Range<usize>, files::Error> {
        let (.., snippet) = self.file(id)?;
        snippet.line_range(line_index).ok_or(files::Error::LineTooLarge { given: line_index, max: usize::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;

    fn one(text: &str, build: impl FnOnce(SourceId) -> Diagnostic) -> String {
        let mut sources = Sources::default();
        let id = sources.add("a.ctp", text);
        rich(&sources, &[build(id)], false)
    }

    #[test]
    fn labels_notes_and_helps() {
        let drawn = one("probe begin {\n\n\n\n    x = foo(\n}\n", |id| {
            Diagnostic::new(Code::E0001, Span::new(id, 28, 29), "this `(` is never closed")
                .label("here")
                .also(Span::new(id, 12, 13), "inside this")
                .note("a fact\non two lines")
                .help("a way out")
        });
        let expected = "\
error[E0001]: this `(` is never closed
  ┌─ a.ctp:5:12
  │
1 │ probe begin {
  │             - inside this
  ·
5 │     x = foo(
  │            ^ here
  │
  = note: a fact
          on two lines
  = help: a way out

";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn control_bytes_are_shown_and_places_stay() {
        let drawn = one("x\u{1b}[31m é\u{202e} y\n", |id| {
            Diagnostic::new(Code::E0001, Span::new(id, 13, 14), "odd \u{7}").label("y")
        });
        assert!(!drawn.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{drawn:?}");
        assert!(drawn.contains("a.ctp:1:14"), "{drawn}");
        assert!(drawn.contains("x␛[31m é\\u{202e} y"), "{drawn}");
        let columns = |needle: char| {
            drawn
                .lines()
                .find(|l| l.contains(needle) && l.contains('│'))
                .unwrap_or("")
                .chars()
                .position(|c| c == needle)
        };
        assert_eq!(columns('y'), columns('^'), "{drawn}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}\n", "a".repeat(5000), "b".repeat(5000));
        let drawn = one(&text, |id| Diagnostic::new(Code::E0001, Span::new(id, 5000, 5004), "m"));
        assert!(drawn.len() < 1000, "{}", drawn.len());
        assert!(drawn.contains("a.ctp:1:5001") && drawn.contains("aHEREb") && drawn.contains("^^^^"), "{drawn}");
    }

    #[test]
    fn a_place_at_the_end_and_one_beyond() {
        for at in [0, 5, 6, 99] {
            let drawn = one("hello\n", |id| Diagnostic::new(Code::E0001, Span::new(id, at, at), "m"));
            assert!(drawn.starts_with("error[E0001]: m\n") && drawn.contains('^'), "{at}: {drawn}");
        }
    }

    #[test]
    fn reports_look_the_same() {
        let report = Report {
            severity: Severity::Error,
            code: Code::E0401,
            message: "cannot attach".to_owned(),
            notes: vec!["CAP_BPF is missing".to_owned()],
            helps: vec!["run as root".to_owned()],
        };
        assert_eq!(
            rich_report(&report, false),
            "error[E0401]: cannot attach\n = note: CAP_BPF is missing\n = help: run as root\n\n"
        );
        assert!(rich_report(&report, true).contains("\u{1b}["));
    }
}
