//! Programs meant to hurt the parser: each ends soon, with located diagnostics and few of them.

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::source::{SourceId, Sources};
use ctp_lang::{render, syntax};
use std::time::{Duration, Instant};

const SOURCE: SourceId = SourceId(0);

/// Parses on a thread with the stack of a main thread; fails where it takes over 5 s (a test build on a busy machine).
fn parse(what: &str, text: String) -> Vec<Diagnostic> {
    let what = what.to_owned();
    let worker = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let start = Instant::now();
        let (_, diagnostics) = syntax::parse(SOURCE, &text);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
        for diagnostic in &diagnostics {
            let range = diagnostic.primary.span.range();
            assert!(range.start <= range.end && range.end <= text.len(), "{what}: {diagnostic:?}");
        }
        let mut sources = Sources::default();
        sources.add("hostile.ctp", text);
        let drawn = render::rich(&sources, &diagnostics, false);
        assert!(drawn.len() < 1_000_000, "{what}: drawn in {} bytes", drawn.len());
        diagnostics
    });
    worker.expect("a thread").join().expect("it ends without a panic")
}

fn codes(diagnostics: &[Diagnostic]) -> Vec<Code> {
    diagnostics.iter().map(|d| d.code).collect()
}

const BEGIN: &str = "probe begin { x = ";

#[test]
fn nesting_is_one_diagnostic() {
    let deep: &[(&str, String)] = &[
        ("open parentheses", format!("{BEGIN}{}", "(".repeat(10_000))),
        ("parentheses", format!("{BEGIN}{}1{} }}", "(".repeat(10_000), ")".repeat(10_000))),
        ("open braces", format!("probe begin {}", "{".repeat(10_000))),
        ("braces", format!("probe begin {}{}", "{".repeat(10_000), "}".repeat(10_000))),
        ("open brackets", format!("{BEGIN}{}", "a[".repeat(10_000))),
        ("not", format!("{BEGIN}{}a }}", "!".repeat(10_000))),
        ("minus", format!("{BEGIN}{}a }}", "- ".repeat(10_000))),
        ("sums", format!("{BEGIN}{}a }}", "a+".repeat(10_000))),
        ("joined", format!("{BEGIN}{}a }}", "a.".repeat(10_000))),
        ("members", format!("{BEGIN}$a{} }}", ".b".repeat(10_000))),
        ("arrows", format!("{BEGIN}$a{} }}", "->b".repeat(10_000))),
        ("indices", format!("{BEGIN}a{} }}", "[1]".repeat(10_000))),
        ("choices", format!("{BEGIN}{}c }}", "a ? b : ".repeat(10_000))),
        ("assignments", format!("{BEGIN}{}c }}", "a = ".repeat(10_000))),
        ("ifs", format!("probe begin {{ {}y++ }}", "if (x) ".repeat(5_000))),
        ("else ifs", format!("probe begin {{ {}y++ }}", "if (x) y++ else ".repeat(5_000))),
        ("loops", format!("probe begin {{ {}y++ }}", "for (;;) ".repeat(5_000))),
    ];
    for (what, text) in deep {
        assert_eq!(codes(&parse(what, text.clone())), [Code::E0005], "{what}");
    }
}

#[test]
fn what_is_just_not_too_deep_parses() {
    let fine: &[(&str, String)] = &[
        ("parentheses", format!("{BEGIN}{}1{} }}", "(".repeat(250), ")".repeat(250))),
        ("braces", format!("probe begin {}f(){}", "{ if (x) ".repeat(250), " }".repeat(250))),
        ("sums", format!("{BEGIN}{}a }}", "a + ".repeat(250))),
        ("else ifs", format!("probe begin {{ {} f() }}", "if (x) y++ else ".repeat(250))),
    ];
    for (what, text) in fine {
        assert_eq!(parse(what, text.clone()), [], "{what}");
    }
}

/// Each of these makes a careless PEG try a prefix again and again: time doubles with every level.
#[test]
fn faults_inside_nesting_end_soon() {
    let texts: &[(&str, String)] = &[
        ("calls", format!("{BEGIN}{}1 2{} }}", "f(".repeat(200), ")".repeat(200))),
        ("open calls", format!("{BEGIN}{}", "f(".repeat(200))),
        ("casts", format!("{BEGIN}{}1 2{} }}", "@entry(".repeat(200), ")".repeat(200))),
        ("derefs", format!("{BEGIN}{}1 2{} }}", "(*".repeat(200), ")".repeat(200))),
        ("half choices", format!("{BEGIN}{}c }}", "a ? ".repeat(2_000))),
        ("broken whiles", format!("probe begin {{{}y++{}}}", "while x { ".repeat(200), "}".repeat(200))),
        ("broken elses", format!("probe begin {{{}y++{}}}", "if (x) { ".repeat(200), "} else )\n".repeat(200))),
        ("broken emits", format!("probe begin {}{}", "{ emit { ".repeat(120), "} }".repeat(120))),
        ("lines of open calls", format!("probe begin {{\n{}\n}}", "foo(\n".repeat(250))),
        ("open calls before statements", format!("probe begin {{\n{}}}", "foo(\nfoo(\nif (x) {}\n".repeat(2_000))),
    ];
    for (what, text) in texts {
        let diagnostics = parse(what, text.clone());
        assert!((1..=100).contains(&diagnostics.len()), "{what}: {}", diagnostics.len());
    }
}

#[test]
fn many_faults_are_cut_to_a_hundred() {
    for (what, text) in [
        ("quotes", "x = \"abc\n".repeat(3_000)),
        ("lines", format!("probe begin {{\n{}}}", "x = )\n".repeat(3_000))),
        ("numbers", format!("probe begin {{\n{}}}", "x = 1.5\n".repeat(3_000))),
    ] {
        let diagnostics = parse(what, text);
        assert_eq!(diagnostics.len(), 100, "{what}");
        assert!(diagnostics.last().is_some_and(|d| d.notes.iter().any(|n| n.contains("not shown"))), "{what}");
    }
}

#[test]
fn what_is_too_large_or_no_text_is_refused() {
    for (what, text) in [("10 MB", "x".repeat(10_000_000)), ("NUL", "probe begin {}\n\0".to_owned())] {
        assert_eq!(codes(&parse(what, text)), [Code::E0009], "{what}");
    }
    for (bytes, place) in
        [(&b"probe begin {}\n\xff\xfe"[..], 15..16), (b"\x7fELF\x02\x01\x01\0\0", 7..8), (b"a\0b", 1..2)]
    {
        let refused = syntax::decode(SOURCE, bytes).expect_err("no text");
        assert_eq!((refused.code, refused.primary.span.range()), (Code::E0009, place));
    }
    assert_eq!(syntax::decode(SOURCE, "\u{feff}probe begin {}".as_bytes()).as_deref(), Ok("probe begin {}"));
}

#[test]
fn an_executable_and_random_words_end_soon() {
    let program = std::fs::read("/proc/self/exe").expect("this test's own executable");
    let head = program.get(..400_000).unwrap_or(&program);
    parse("executable", String::from_utf8_lossy(head).replace('\0', " "));
    let words = [
        "probe ",
        "begin ",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "x",
        "=",
        "+",
        "\"a\"",
        "\n",
        ";",
        ",",
        "if ",
        "else ",
        "foreach ",
        "in ",
        "$a",
        "->",
        ".",
        "?",
        ":",
        "1",
        "emit ",
        "@cast",
        "container(\"a\")",
        ":/a/b",
        ".fn(\"x\")",
        "/*",
        "*/",
        "#",
        "\"",
        "'",
        "fn ",
        "global ",
        "for ",
        "while ",
        "<<<",
        "!",
        "-",
        "--",
    ];
    // xorshift64: the same words on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..24 {
        let mut text = String::new();
        for _ in 0..4_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state % words.len() as u64).unwrap_or(0);
            text.push_str(words.get(index).copied().unwrap_or(" "));
        }
        let diagnostics = parse(&format!("words {round}"), text);
        assert!((1..=100).contains(&diagnostics.len()), "words {round}");
    }
}
