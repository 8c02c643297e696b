//! `ctp check --format`: what other programs read, read by other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::ctp::ctp;
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;
use serde_json::Value;

/// Two errors and a warning; the second error stands behind letters of several bytes.
const FAULTY: &str =
    "probe begin {\n    x = )\n    println(\"é😀\", nowhere)\n}\nfn f(a: int) -> int { return a }\nglobal unused\n";

fn checked(format: &str, path: &str) -> (Option<i32>, String) {
    let output = ctp(&["check", "--format", format, path]);
    assert_eq!(output.stderr, "", "{format}");
    (output.code, output.stdout)
}

#[test]
fn json_places_are_those_of_the_text() {
    let scratch = Scratch::new();
    let path = scratch.write("faulty.ctp", FAULTY);
    let (code, text) = checked("json", &path);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &document["version"]), (Some(1), &Value::from(1)), "{text}");
    let diagnostics = document["diagnostics"].as_array().unwrap();
    let nowhere = diagnostics.iter().find(|one| one["code"] == "E0106").unwrap();
    let offset = FAULTY.find("nowhere").unwrap();
    let start = &nowhere["primary"]["start"];
    assert_eq!((&start["offset"], &start["line"]), (&Value::from(offset), &Value::from(3)), "{text}");
    let line = FAULTY.lines().nth(2).unwrap();
    let before = &line[..line.find("nowhere").unwrap()];
    assert_eq!(start["column"], before.len() + 1);
    assert_eq!(start["lsp"]["character"], before.encode_utf16().count());
    let end = &nowhere["primary"]["end"]["offset"];
    assert_eq!(end.as_u64().and_then(|end| FAULTY.get(offset..usize::try_from(end).ok()?)), Some("nowhere"));
    assert!(diagnostics.iter().any(|one| one["severity"] == "error" && one["code"] == "E0001"), "{text}");
    assert_eq!(nowhere["primary"]["file"], path.as_str());
}

#[test]
fn a_byte_order_mark_moves_no_place() {
    let scratch = Scratch::new();
    let path = scratch.write("marked.ctp", &format!("\u{feff}{FAULTY}"));
    let places = |text: &str| {
        let document: Value = serde_json::from_str(text).unwrap();
        document["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["primary"]["start"].clone())
            .collect::<Vec<_>>()
    };
    let plain = scratch.write("plain.ctp", FAULTY);
    assert_eq!(places(&checked("json", &path).1), places(&checked("json", &plain).1));
}

#[test]
fn nothing_wrong_is_a_document_too() {
    let scratch = Scratch::new();
    let path = scratch.write("fine.ctp", "probe begin { exit() }\n");
    let (code, text) = checked("json", &path);
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["diagnostics"], Value::Array(Vec::new()));
    assert_eq!(checked("github", &path), (Some(0), String::new()));
}

#[test]
fn a_failure_of_the_machine_has_the_form_that_was_asked_for() {
    let missing = "/no/such/file.ctp";
    let (code, text) = checked("json", missing);
    let document: Value = serde_json::from_str(&text).unwrap();
    let failure = &document["diagnostics"][0];
    assert_eq!((code, &failure["code"], &failure["primary"]), (Some(2), &Value::from("E0405"), &Value::Null), "{text}");
    assert!(failure["message"].as_str().unwrap().contains(missing), "{text}");
    let (code, text) = checked("sarif", missing);
    let log: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &log["runs"][0]["results"][0]["ruleId"]), (Some(2), &Value::from("E0405")), "{text}");
    let (code, text) = checked("github", missing);
    assert_eq!(code, Some(2));
    assert!(text.starts_with("::error title=E0405%3A ") && text.contains(missing), "{text}");
    let short = ctp(&["check", "--format", "short", missing]);
    assert!(short.stderr.starts_with("error[E0405]: cannot read /no/such/file.ctp\n"), "{}", short.stderr);
}

#[test]
fn github_commands_are_one_line_each() {
    let scratch = Scratch::new();
    let path = scratch.write("a,b:c%.ctp", FAULTY);
    let (code, text) = checked("github", &path);
    assert_eq!(code, Some(1));
    assert!(text.lines().count() >= 2, "{text}");
    for line in text.lines() {
        let (head, message) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).unwrap();
        assert!(head.starts_with("error file=") || head.starts_with("warning file="), "{line}");
        assert!(head.contains("a%2Cb%3Ac%25.ctp,line="), "{line}");
        assert!(!message.is_empty());
    }
    assert!(text.contains(",line=3,endLine=3,col=20,endColumn=27,title=E0106%3A no such name::"), "{text}");
}

/// The schema as OASIS publishes it, from the package that holds it.
fn sarif_schema() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--format-version", "1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let metadata: Value = serde_json::from_str(&run(&mut cargo).stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "serde-sarif").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src").join("schema.json")
}

/// Holds the documents, one a file, against the schema; says what is wrong.
fn violations(schema: &Path, documents: &[String]) -> String {
    const VALIDATE: &str = "
import json, sys
from jsonschema import Draft7Validator
validator = Draft7Validator(json.load(open(sys.argv[1])))
for path in sys.argv[2:]:
    for error in validator.iter_errors(json.load(open(path))):
        print(path, list(error.absolute_path), error.message[:300])
";
    run(Command::new("python3").args(["-c", VALIDATE]).arg(schema).args(documents)).stdout
}

#[test]
fn sarif_is_valid_against_its_schema() {
    let scratch = Scratch::new();
    let schema = sarif_schema();
    let unclosed = "probe begin {\n    f(1, 2\n}\nglobal a, a\nprobe end { println(\"x\"";
    let mut logs = Vec::new();
    for (name, text) in [("faulty", FAULTY), ("fine", "probe begin { exit() }\n"), ("ü %:", unclosed)] {
        let path = scratch.write(&format!("{name}.ctp"), text);
        logs.push(scratch.write(&format!("{name}.sarif"), &checked("sarif", &path).1));
    }
    logs.push(scratch.write("failure.sarif", &checked("sarif", "/no/such/file.ctp").1));
    assert_eq!(violations(&schema, &logs), "");
    // The schema refuses what is none.
    let wrong = scratch.write("wrong.sarif", r#"{"version": "2.1.0", "runs": [{"results": []}]}"#);
    assert!(violations(&schema, &[wrong]).contains("'tool' is a required property"));

    let log: Value = serde_json::from_str(&std::fs::read_to_string(&logs[0]).unwrap()).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let nowhere = results.iter().find(|result| result["ruleId"] == "E0106").unwrap();
    let region = &nowhere["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&Value::from(3), &Value::from(20)));
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    let index = usize::try_from(nowhere["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], "E0106");
}
