//! `--output jsonl`: every line against the schema, every value against what the traced program printed.

use std::io::Write as _;
use std::process::{Command, Stdio};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use serde_json::{Value, json};

/// What Debian's jsonschema says about lines; empty for nothing.
pub(crate) fn against_schema(lines: &str) -> String {
    const CHECK: &str = "import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for line in sys.stdin:
    for error in validator.iter_errors(json.loads(line)):
        print(line, error.message, error.context)";
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/jsonl.schema.json");
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", CHECK, schema])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the schema itself is wrong");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

pub(crate) fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[test]
fn events_prints_maps_and_the_summary_of_a_traced_container() {
    let image = Image::new(&Binary::compile("texts.c", Compiler::Gcc, &["-g", "-O2"]), "/app/texts");
    let mut container = Container::driven(&image);
    let point = format!(r#"container("{}"):/app/texts.fn("say")"#, container.name());
    let script = format!(
        r#"global lengths
        probe {point} {{
            emit {{ number: $number, text: user_string($text) }}
            if ($number == 3) printf("three\n")
            lengths[strlen(user_string($text))]++
        }}
        probe {point}? if ($number > 100) {{ println("never") }}"#
    );
    let before = now();
    let ctp = Running::attached_with(&["run", "--output", "jsonl", "--strlen", "16", "-e", &script]);
    container.call(5);
    let output = ctp.interrupt();
    let after = now();

    assert_eq!(against_schema(&output.stdout), "");
    let lines = parsed(&output.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["v"]), (&json!("attached"), &json!(1)));
    assert_eq!(lines[0]["containers"], json!([{ "name": container.name(), "id": container.id() }]));
    // The fifth call's text is nowhere: it is needed for the key, so that run is stopped and its event dropped.
    let printed = container.printed();
    let events = of_type(&lines, "event");
    assert_eq!(events.len(), 4, "{output:?}");
    for (event, (number, line)) in events.iter().zip((0..).zip(&printed)) {
        let text = line.strip_prefix(&format!("say {number} ")).unwrap();
        let text = if text.len() > 16 { json!({ "text": text[..16], "truncated": true }) } else { json!(text) };
        assert_eq!(event["fields"], json!({ "number": number, "text": text }));
        assert_eq!((&event["container"], &event["probe"]), (&json!(container.name()), &json!(point)));
        assert_eq!((&event["pid"], &event["tid"]), (&json!(container.pid()), &json!(container.pid())));
        // It is the first process of its pid namespace.
        assert_eq!(event["nspid"], 1);
        assert!(event["cpu"].as_u64().unwrap() < std::thread::available_parallelism().unwrap().get() as u64);
        let at = event["ts"].as_i64().unwrap();
        assert!((before..=after).contains(&at), "{before} {at} {after}");
    }
    let prints = of_type(&lines, "print");
    assert_eq!(prints.iter().map(|line| &line["text"]).collect::<Vec<_>>(), [&json!("three\n")]);
    let maps = of_type(&lines, "map");
    assert_eq!(maps.len(), 1);
    assert_eq!(maps[0]["name"], "lengths");
    let entries = maps[0]["entries"].as_array().unwrap();
    // 12, 0, 16 (cut) and 9 bytes, each once.
    assert_eq!(*entries, [0, 9, 12, 16].map(|length| json!({ "key": [length], "value": 1 })));
    let summary = lines.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!((&summary["hits"], &summary["records"]), (&json!(10), &json!(4)));
    let probes = summary["probes"].as_array().unwrap();
    assert_eq!((&probes[0]["read_faults"], &probes[1]["filtered"]), (&json!(1), &json!(5)));
}

fn now() -> i64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(time.as_nanos()).unwrap()
}

#[test]
fn what_handlers_without_a_task_print_and_how_a_run_fails() {
    let script = r#"global m, n
        probe begin {
            m["b"] = 1; m["a"] = 2; n = 0x7fffffffffffffff
            print(m)
            emit { text: "\xff\x1b\u{202e}", big: -9223372036854775807 }
            error("it is over")
        }
        probe end { println("end") }"#;
    let output = ctp(&["run", "--output", "jsonl", "-e", script]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("ctp: error: it is over\n"), "{}", output.stderr);
    assert_eq!(against_schema(&output.stdout), "");
    assert!(!output.stdout.contains(['\u{1b}', '\u{202e}']), "a terminal could show this: {:?}", output.stdout);
    let lines = parsed(&output.stdout);
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["map", "event", "error", "print", "map", "summary"]);
    assert_eq!(lines[0]["entries"], json!([{ "key": ["a"], "value": 2 }, { "key": ["b"], "value": 1 }]));
    let text = json!({ "text": "\u{fffd}\u{1b}\u{202e}", "bytes": "ff1be280ae" });
    assert_eq!(lines[1]["fields"], json!({ "text": text, "big": -9_223_372_036_854_775_807i64 }));
    assert_eq!((&lines[2]["text"], &lines[3]["text"]), (&json!("it is over"), &json!("end\n")));
    assert_eq!(lines[4]["entries"], json!([{ "key": [], "value": i64::MAX }]));
}

#[test]
fn the_schema_refuses_what_is_no_line() {
    for line in [
        json!({ "type": "event", "ts": 1, "probe": "p", "fields": { "x": null } }),
        json!({ "type": "event", "ts": 1, "probe": "p" }),
        json!({ "type": "lost", "probe": "p", "count": -1 }),
        json!({ "type": "other" }),
    ] {
        assert_ne!(against_schema(&format!("{line}\n")), "", "{line}");
    }
}
