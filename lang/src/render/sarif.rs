//! Owns the SARIF form (OASIS SARIF 2.1.0), which code scanning services read.

use serde::Serialize;
use serde_json::{Value, json};

use super::position::range;
use super::{Report, json_text};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Sources, Span};

/// Writes diagnostics, and what has no place in a text, as one SARIF log of one run.
///
/// Columns count UTF-16 code units from 1. `message` holds the notes and ways out too; other places are
/// `relatedLocations`; `rules` holds the page of each code that occurs.
pub fn sarif(sources: &Sources, diagnostics: &[Diagnostic], reports: &[Report]) -> String {
    let mut codes: Vec<Code> =
        diagnostics.iter().map(|diagnostic| diagnostic.code).chain(reports.iter().map(|report| report.code)).collect();
    codes.sort();
    codes.dedup();
    let placed = diagnostics.iter().map(|diagnostic| {
        let mut text = diagnostic.message.clone();
        if !diagnostic.primary.text.is_empty() {
            text.push_str(": ");
            text.push_str(&diagnostic.primary.text);
        }
        let mut one = result(&codes, diagnostic.code, &text, &diagnostic.notes, &diagnostic.helps);
        one.locations
            .extend(physical(sources, diagnostic.primary.span).map(|place| json!({"physicalLocation": place})));
        for (id, label) in diagnostic.secondary.iter().enumerate() {
            let Some(place) = physical(sources, label.span) else { continue };
            one.related_locations.push(match label.text.as_str() {
                "" => json!({"id": id, "physicalLocation": place}),
                text => json!({"id": id, "physicalLocation": place, "message": {"text": text}}),
            });
        }
        one
    });
    let of_reports = reports.iter().map(|one| result(&codes, one.code, &one.message, &one.notes, &one.helps));
    let results: Vec<SarifResult> = placed.chain(of_reports).collect();
    json_text(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "ctp",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    rule_index: Option<usize>,
    level: &'static str,
    message: Value,
    locations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Value>,
}

fn result(codes: &[Code], code: Code, message: &str, notes: &[String], helps: &[String]) -> SarifResult {
    let mut text = message.to_owned();
    for (word, line) in notes.iter().map(|note| ("note", note)).chain(helps.iter().map(|help| ("help", help))) {
        text.push_str(&format!("\n{word}: {line}"));
    }
    SarifResult {
        rule_id: code.as_str(),
        rule_index: codes.iter().position(|one| *one == code),
        level: level(code),
        message: json!({"text": text}),
        locations: Vec::new(),
        related_locations: Vec::new(),
    }
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "shortDescription": {"text": code.title()},
        "help": {"text": code.page(), "markdown": code.page()},
        "defaultConfiguration": {"level": level(code)},
    })
}

fn level(code: Code) -> &'static str {
    match code.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn physical(sources: &Sources, span: Span) -> Option<Value> {
    let range = range(sources, span)?;
    Some(json!({
        "artifactLocation": {"uri": uri(range.file)},
        "region": {
            "startLine": range.start.line,
            "startColumn": range.start.lsp.character + 1,
            "endLine": range.end.line,
            "endColumn": range.end.lsp.character + 1,
            "byteOffset": range.start.offset,
            "byteLength": range.end.offset - range.start.offset,
        },
    }))
}

/// A path as a URI reference (RFC 3986): what is not unreserved is written `%XX`, `/` stays.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_are_uris() {
        assert_eq!(uri("/a b/ü:%.ctp"), "file:///a%20b/%C3%BC%3A%25.ctp");
        assert_eq!(uri("dir/x.ctp"), "dir/x.ctp");
    }
}
