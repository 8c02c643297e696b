//! Owns the short form: one line a diagnostic, what explains it and the ways out on indented lines behind it.

use super::{Report, one_line, printable, severity_word};
use crate::diagnostic::Diagnostic;
use crate::source::{Sources, Span};
use std::fmt::Write as _;

/// Draws diagnostics as `FILE:LINE:COLUMN: error[E0104]: message`; columns count UTF-8 bytes from 1.
pub fn short(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&place(sources, diagnostic.primary.span));
        out.push_str(&head(severity_word(diagnostic.severity()), diagnostic.code.as_str(), &diagnostic.message));
        if !diagnostic.primary.text.is_empty() {
            line(&mut out, "note", &one_line(&diagnostic.primary.text));
        }
        for label in diagnostic.secondary.iter().filter(|l| !l.text.is_empty()) {
            line(&mut out, "note", &format!("{}{}", place(sources, label.span), one_line(&label.text)));
        }
        explained(&mut out, &diagnostic.notes, &diagnostic.helps);
    }
    out
}

/// Draws a message that has no place in a source, in the same style.
pub fn short_report(report: &Report) -> String {
    let mut out = head(severity_word(report.severity), report.code.as_str(), &report.message);
    explained(&mut out, &report.notes, &report.helps);
    out
}

fn place(sources: &Sources, span: Span) -> String {
    let Some(source) = sources.get(span.source) else { return String::new() };
    let place = source.line_column(span.start.min(u32::try_from(source.text().len()).unwrap_or(u32::MAX)));
    format!("{}:{}:{}: ", one_line(source.name()), place.line, place.column)
}

fn head(severity: &str, code: &str, message: &str) -> String {
    format!("{severity}[{code}]: {}\n", one_line(message))
}

fn line(out: &mut String, word: &str, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "  {word}: {}", printable(text).replace('\n', "\n        "));
}

fn explained(out: &mut String, notes: &[String], helps: &[String]) {
    for note in notes {
        line(out, "note", note);
    }
    for help in helps {
        line(out, "help", help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;

    #[test]
    fn one_line_and_its_ways_out() {
        let mut sources = Sources::default();
        let id = sources.add("a.ctp", "one\ntwo three\n");
        let diagnostic = Diagnostic::new(Code::E0104, Span::new(id, 8, 13), "no function `three`")
            .also(Span::new(id, 0, 3), "the first")
            .help("did you mean `tree`?");
        assert_eq!(
            short(&sources, &[diagnostic]),
            "a.ctp:2:5: error[E0104]: no function `three`\n  note: a.ctp:1:1: the first\n  help: did you mean `tree`?\n"
        );
    }
}
