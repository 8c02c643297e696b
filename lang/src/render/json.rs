//! Owns the JSON form: one document, for editors and other programs. `docs/diagnostics.md` describes it.

use serde::Serialize;

use super::position::{Position, range};
use super::{Report, json_text, severity_word};
use crate::diagnostic::{Diagnostic, Label};
use crate::source::Sources;

/// The version of the document's form: it changes when a field goes or changes its meaning, not when one is added.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'d> {
    version: u32,
    diagnostics: Vec<Message<'d>>,
}

#[derive(Serialize)]
struct Message<'d> {
    code: &'static str,
    severity: &'static str,
    title: &'static str,
    message: &'d str,
    /// `null` for what has no place in a text.
    primary: Option<Place<'d>>,
    secondary: Vec<Place<'d>>,
    notes: &'d [String],
    helps: &'d [String],
}

#[derive(Serialize)]
struct Place<'d> {
    file: &'d str,
    start: Position,
    end: Position,
    label: &'d str,
}

/// Writes diagnostics, and what has no place in a text, as one JSON document that ends with a newline.
pub fn json(sources: &Sources, diagnostics: &[Diagnostic], reports: &[Report]) -> String {
    let placed = diagnostics.iter().map(|diagnostic| message(sources, diagnostic));
    let diagnostics = placed.chain(reports.iter().map(report)).collect();
    json_text(&Document { version: VERSION, diagnostics })
}

fn message<'d>(sources: &'d Sources, diagnostic: &'d Diagnostic) -> Message<'d> {
    Message {
        code: diagnostic.code.as_str(),
        severity: severity_word(diagnostic.severity()),
        title: diagnostic.code.title(),
        message: &diagnostic.message,
        primary: place(sources, &diagnostic.primary),
        secondary: diagnostic.secondary.iter().filter_map(|label| place(sources, label)).collect(),
        notes: &diagnostic.notes,
        helps: &diagnostic.helps,
    }
}

fn report(report: &Report) -> Message<'_> {
    Message {
        code: report.code.as_str(),
        severity: severity_word(report.severity),
        title: report.code.title(),
        message: &report.message,
        primary: None,
        secondary: Vec::new(),
        notes: &report.notes,
        helps: &report.helps,
    }
}

fn place<'d>(sources: &'d Sources, label: &'d Label) -> Option<Place<'d>> {
    let range = range(sources, label.span)?;
    Some(Place { file: range.file, start: range.start, end: range.end, label: &label.text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;
    use crate::diagnostic::Severity;
    use crate::source::Span;

    #[test]
    fn places_in_every_unit() {
        let mut sources = Sources::default();
        // `é` has two bytes and one UTF-16 unit, `😀` four and two.
        let id = sources.add("a.ctp", "one\né😀x\n");
        let diagnostic =
            Diagnostic::new(Code::E0001, Span::new(id, 10, 11), "odd").label("this \u{202e}").help("way out");
        let text = json(&sources, &[diagnostic], &[]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 1);
        let message = &value["diagnostics"][0];
        let position = |offset: u32, column: u32, character: u32| serde_json::json!({"offset": offset, "line": 2, "column": column, "lsp": {"line": 1, "character": character}});
        let primary = serde_json::json!({
            "file": "a.ctp", "start": position(10, 7, 3), "end": position(11, 8, 4), "label": "this \u{202e}",
        });
        assert_eq!(message["primary"], primary);
        assert_eq!((message["code"].as_str(), message["severity"].as_str()), (Some("E0001"), Some("error")));
        assert_eq!(message["helps"], serde_json::json!(["way out"]));
        // What could act on a terminal is escaped in the text.
        assert!(text.contains("\\u202e") && text.is_ascii(), "{text}");
    }

    #[test]
    fn what_has_no_place_and_what_lies_beyond_the_text() {
        let mut sources = Sources::default();
        let id = sources.add("-", "é");
        let report = Report {
            severity: Severity::Error,
            code: Code::E0405,
            message: "cannot read x".to_owned(),
            notes: vec!["gone".to_owned()],
            helps: Vec::new(),
        };
        let far = Diagnostic::new(Code::E0001, Span::new(id, 1, 99), "m");
        let value: serde_json::Value = serde_json::from_str(&json(&sources, &[far], &[report])).unwrap();
        assert_eq!(value["diagnostics"][0]["primary"]["start"]["offset"], 0);
        assert_eq!(value["diagnostics"][0]["primary"]["end"]["offset"], 2);
        assert_eq!(value["diagnostics"][1]["primary"], serde_json::Value::Null);
        assert_eq!(value["diagnostics"][1]["notes"], serde_json::json!(["gone"]));
        let empty: serde_json::Value = serde_json::from_str(&json(&sources, &[], &[])).unwrap();
        assert_eq!(empty, serde_json::json!({"version": 1, "diagnostics": []}));
    }
}
