//! Owns the form of GitHub's workflow commands: each line of it becomes a remark beside the line of the file it names.
//!
//! The syntax and its escapes are those of `@actions/core` (`command.ts`): `::error file=…,line=…::message`.

use std::borrow::Cow;

use super::position::range;
use super::{Report, printable, severity_word};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Sources;

/// Writes diagnostics, and what has no place in a text, as one command a line. Columns count UTF-16 code units from 1,
/// and are there only where the place lies on one line.
pub fn github(sources: &Sources, diagnostics: &[Diagnostic], reports: &[Report]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut properties = Vec::new();
        if let Some(range) = range(sources, diagnostic.primary.span) {
            properties.push(("file", Cow::Borrowed(range.file)));
            properties.push(("line", range.start.line.to_string().into()));
            properties.push(("endLine", range.end.line.to_string().into()));
            if range.start.line == range.end.line {
                properties.push(("col", (range.start.lsp.character + 1).to_string().into()));
                properties.push(("endColumn", (range.end.lsp.character + 1).to_string().into()));
            }
        }
        let mut notes = Vec::new();
        if !diagnostic.primary.text.is_empty() {
            notes.push(diagnostic.primary.text.clone());
        }
        for label in diagnostic.secondary.iter().filter(|label| !label.text.is_empty()) {
            let place = range(sources, label.span).map(|at| format!("{}:{}: ", at.file, at.start.line));
            notes.push(format!("{}{}", place.unwrap_or_default(), label.text));
        }
        notes.extend(diagnostic.notes.iter().cloned());
        command(
            &mut out,
            diagnostic.severity(),
            diagnostic.code,
            properties,
            &diagnostic.message,
            &notes,
            &diagnostic.helps,
        );
    }
    for report in reports {
        command(&mut out, report.severity, report.code, Vec::new(), &report.message, &report.notes, &report.helps);
    }
    out
}

fn command(
    out: &mut String,
    severity: Severity,
    code: Code,
    mut properties: Vec<(&str, Cow<'_, str>)>,
    message: &str,
    notes: &[String],
    helps: &[String],
) {
    properties.push(("title", format!("{code}: {}", code.title()).into()));
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
    let mut text = message.to_owned();
    for (word, line) in notes.iter().map(|note| ("note", note)).chain(helps.iter().map(|help| ("help", help))) {
        text.push_str(&format!("\n{word}: {line}"));
    }
    out.push_str(&format!("::{} {}::{}\n", severity_word(severity), properties.join(","), data(&text)));
}

fn data(text: &str) -> String {
    printable(&text.replace('\r', "")).replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    #[test]
    fn commands_and_their_escapes() {
        let mut sources = Sources::default();
        let id = sources.add("a,b:c%.ctp", "one\nééx y\n");
        let on_one_line =
            Diagnostic::new(Code::E0104, Span::new(id, 8, 9), "100% of, two::\nlines").help("did you mean `y`?");
        let on_two = Diagnostic::new(Code::W0001, Span::new(id, 0, 8), "m").also(Span::new(id, 0, 1), "here \u{1b}[0m");
        assert_eq!(
            github(&sources, &[on_one_line, on_two], &[]),
            "::error file=a%2Cb%3Ac%25.ctp,line=2,endLine=2,col=3,endColumn=4,title=E0104%3A no such function::\
             100%25 of, two::%0Alines%0Ahelp: did you mean `y`?\n\
             ::warning file=a%2Cb%3Ac%25.ctp,line=1,endLine=2,title=W0001%3A global never used::\
             m%0Anote: a,b:c%25.ctp:1: here ␛[0m\n"
        );
    }
}
