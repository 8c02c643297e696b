//! Fuzzing of the parser, the checker and the formatter: programs made up by the grammar, and changed ones, run until
//! the time is up. The same seed gives the same inputs in the same order.
//!
//! `CTP_FUZZ_SECONDS=600` runs longer (60 is the default), `CTP_FUZZ_SEED=7` runs others; `CTP_FUZZ_SEED=now` new ones. An
//! input that fails is kept and named; once it is cured, its file belongs into `tests/fuzz/corpus`, which is run first.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod grammar;
mod guard;
mod mutate;
mod random;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ctp_lang::check::{Settings, check};
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::render;
use ctp_lang::source::{SourceId, Sources};
use ctp_lang::syntax::{MAX_SOURCE, Refused, ast::Comment, ast::File, decode, format, parse, without_places};
use ctp_tests::process::run;
use ctp_tests::world::Machine;

use crate::guard::Guard;
use crate::random::Random;

const SOURCE: SourceId = SourceId(0);

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The programs below a folder.
fn programs(folder: &Path, found: &mut Vec<Vec<u8>>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.is_symlink())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            programs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "ctp") {
            found.push(std::fs::read(path).unwrap());
        }
    }
}

fn words(text: &str, comments: &[Comment]) -> Vec<String> {
    let of = |comment: &Comment| text[comment.span.range()].split_whitespace().collect::<Vec<_>>().join(" ");
    comments.iter().map(of).collect()
}

/// What parsing gave, where the bytes are a text.
fn parsed(bytes: &[u8]) -> Option<(String, File, Vec<Diagnostic>)> {
    let text = decode(SOURCE, bytes).ok()?;
    let (file, diagnostics) = parse(SOURCE, &text);
    Some((text, file, diagnostics))
}

/// Every place lies in the text, and every form can be drawn.
fn well_formed(text: &str, diagnostics: &[Diagnostic]) -> Result<(), String> {
    for diagnostic in diagnostics {
        let spans = std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary).map(|label| label.span);
        for span in spans {
            if text.get(span.range()).is_none() {
                return Err(format!("gives a place outside the text: {diagnostic:?}"));
            }
        }
        if diagnostic.message.is_empty() {
            return Err(format!("gives a diagnostic without a message: {diagnostic:?}"));
        }
    }
    let mut sources = Sources::default();
    sources.add("input.ctp", text);
    let shown = &diagnostics[..diagnostics.len().min(20)];
    for drawn in [render::rich(&sources, shown, false), render::short(&sources, shown)] {
        if drawn.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return Err(format!("draws control characters: {drawn:?}"));
        }
    }
    let document: serde_json::Value = serde_json::from_str(&render::json(&sources, shown, &[]))
        .map_err(|error| format!("is drawn as JSON that is none: {error}"))?;
    if document["diagnostics"].as_array().map(Vec::len) != Some(shown.len()) {
        return Err("loses diagnostics in JSON".to_owned());
    }
    if render::github(&sources, shown, &[]).lines().count() != shown.len() {
        return Err("breaks GitHub's lines".to_owned());
    }
    Ok(())
}

/// Parsed and formatted.
fn text(bytes: &[u8]) -> Result<(), String> {
    let Some((text, tree, diagnostics)) = parsed(bytes) else { return Ok(()) };
    well_formed(&text, &diagnostics)?;
    let formatted = match format(SOURCE, &text) {
        Ok(formatted) => formatted,
        Err(Refused::Faults(faults)) if !faults.is_empty() && faults == diagnostics => return Ok(()),
        Err(Refused::Faults(faults)) => return Err(format!("is refused for {faults:?}")),
        Err(Refused::TooLarge(bytes)) if bytes > MAX_SOURCE => return Ok(()),
        Err(Refused::TooLarge(bytes)) => return Err(format!("is refused for {bytes} bytes")),
        Err(Refused::Unfaithful(formatted)) => return Err(format!("becomes another program:\n{formatted}")),
    };
    let (again, diagnostics) = parse(SOURCE, &formatted);
    if !diagnostics.is_empty() {
        return Err(format!("has faults once formatted: {diagnostics:?}\n{formatted}"));
    }
    if words(&text, &tree.comments) != words(&formatted, &again.comments) {
        return Err(format!("loses a comment:\n{formatted}"));
    }
    if without_places(tree) != without_places(again) {
        return Err(format!("becomes another program:\n{formatted}"));
    }
    match format(SOURCE, &formatted) {
        Ok(twice) if twice == formatted => Ok(()),
        twice => Err(format!("is formatted otherwise the second time:\n{formatted}\n{twice:?}")),
    }
}

/// Checked against real programs.
fn program(bytes: &[u8], machine: &Machine) -> Result<(), String> {
    let Some((text, file, mut diagnostics)) = parsed(bytes) else { return Ok(()) };
    let faults = diagnostics.len();
    let mut sources = Sources::default();
    sources.add("input.ctp", text.as_str());
    let (program, found) = check(&sources, &[file], machine, &Settings::default());
    let errors = found.iter().any(Diagnostic::is_error);
    if program.is_some() == errors {
        return Err(format!("has errors and a program, or neither: {found:?}"));
    }
    diagnostics.extend(found);
    // The same said twice at one place helps nobody.
    let mut said = std::collections::HashSet::new();
    for (index, one) in diagnostics.iter().enumerate() {
        if !said.insert((one.code, one.primary.span, &one.message)) && index >= faults {
            return Err(format!("says the same twice: {one:?}"));
        }
    }
    well_formed(&text, &diagnostics)
}

/// Compiles what the fuzzed programs name.
fn machine(folder: &Path) -> Machine {
    let compile = |source: &str, name: &str, flags: &[&str]| {
        let path = folder.join(name);
        let mut gcc = Command::new("gcc");
        gcc.args(["-g"]).args(flags).arg("-o").arg(&path);
        run(gcc.arg(crate::folder().join(source)));
        path
    };
    let target = compile("fuzz/target.c", "target", &["-O0"]);
    let optimised = compile("fuzz/target.c", "optimised", &["-O2"]);
    Machine::new(&["web", "web-2"], &[("/app/target", &target), ("/app/inlined", &optimised)])
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

fn seed() -> u64 {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    if std::env::var("CTP_FUZZ_SEED").as_deref() == Ok("now") { now() } else { setting("CTP_FUZZ_SEED", 1) }
}

/// Runs made-up and changed programs until `time` is up.
fn fuzz(
    guard: &mut Guard,
    what: &str,
    time: Duration,
    seeds: &[String],
    seed: u64,
    test: impl Fn(&[u8]) -> Result<(), String>,
) {
    let end = Instant::now() + time;
    let mut index = 0;
    while Instant::now() < end && guard.failures.len() < 20 {
        let mut random = Random::new(seed, index);
        let made = grammar::program(&mut random);
        let bytes = match random.below(4) {
            0 => made.into_bytes(),
            1 => mutate::mutate(&mut random, &made, &seeds[0]),
            _ => {
                let from = random.below(seeds.len());
                mutate::mutate(&mut random, &seeds[from], &made)
            }
        };
        guard.hold(what, index, &bytes, &test);
        index += 1;
    }
}

/// Texts as long as a program may be, and longer: parsing, formatting and checking have a second each.
fn large(guard: &mut Guard, seeds: &[String], machine: &Machine) {
    let mut made = String::new();
    for index in 0.. {
        made.push_str(&grammar::program(&mut Random::new(0, index)));
        if made.len() > MAX_SOURCE {
            break;
        }
    }
    let whole = |text: &str| text[..text[..MAX_SOURCE.min(text.len())].rfind("\nprobe").unwrap_or(0)].to_owned();
    let mut texts = vec![whole(&made), "x".repeat(1 << 20)];
    let filled = |piece: &str| piece.repeat(MAX_SOURCE / piece.len());
    texts.extend(seeds.iter().step_by(4).filter(|seed| !seed.is_empty()).map(|seed| filled(seed)));
    texts.extend(
        ["g++\n", "x=1;", "f(", "{", "\"", "probe ", "# c\n", "/* c */", "$a.", "a+", "\n", "global g\n"].map(filled),
    );
    let wrapped = |open: &str, piece: &str, close: &str| {
        format!("{open}{}{close}", piece.repeat((MAX_SOURCE - open.len() - close.len()) / piece.len()))
    };
    texts.push(wrapped("probe begin {\n", "m[x, 1]++\n", "}\n"));
    texts.push(wrapped("probe begin {\n", "if (x == 1 && y) { f(1, 2) } else z = (a + 3) * 2\n", "}\n"));
    texts.push(wrapped("probe begin { f(0", ", 1", ") }\n"));
    texts.push(wrapped("global g", ", g", "\n"));
    texts.extend(many());
    for (index, text) in (0..).zip(&texts) {
        guard.hold("large-parse", index, text.as_bytes(), |bytes| {
            parsed(bytes);
            Ok(())
        });
        guard.hold("large-format", index, text.as_bytes(), |bytes| {
            match decode(SOURCE, bytes).map(|text| format(SOURCE, &text)) {
                Ok(Err(Refused::Unfaithful(_))) => Err("becomes another program".to_owned()),
                Ok(Ok(_) | Err(Refused::Faults(_) | Refused::TooLarge(_))) | Err(_) => Ok(()),
            }
        });
        guard.hold("large-program", index, text.as_bytes(), |bytes| program(bytes, machine));
    }
}

/// Texts of many different names, and of names that are long: what is looked up or compared must not grow with the square
/// of either.
fn many() -> Vec<String> {
    let numbered = |open: &str, piece: &str, close: &str| {
        let mut text = open.to_owned();
        for number in 0.. {
            let next = piece.replace("NUMBER", &number.to_string());
            if text.len() + next.len() + close.len() > MAX_SOURCE {
                break;
            }
            text.push_str(&next);
        }
        text + close
    };
    let half = MAX_SOURCE / 2;
    let globals: String = (0..).map(|n| format!("global g{n}\n")).take(half / 14).collect();
    let long = "a".repeat(half / 2);
    let site = |point: &str, body: &str| format!("probe container(\"web\"):{point} {{ println({body}) }}\n");
    vec![
        numbered("probe begin {\n", "x_NUMBER = x_NUMBER + 1\n", "}\n"),
        numbered("probe begin {\n", "println(x_NUMBER)\n", "}\n"),
        numbered("probe begin {\n", "f_NUMBER(1)\n", "}\n"),
        numbered(&format!("{globals}probe begin {{\n"), "println(h_NUMBER)\n", "}\n"),
        numbered(&globals, "probe begin { g1 = gg_NUMBER }\n", ""),
        numbered("probe begin { emit { a: 1", ", a_NUMBER: 1", " } }\n"),
        numbered("probe begin {\n", "foreach (k_NUMBER in m_NUMBER) println(k_NUMBER)\n", "}\n"),
        numbered("", "fn f_NUMBER(a: int) -> int { return a }\n", ""),
        numbered("", "const C_NUMBER = 1\n", "const LAST = C_1\n"),
        numbered("", "probe begin { println(NUMBER) }\n", ""),
        numbered("", "probe container(\"none\"):/x.fn(\"f_NUMBER\") { println($a) }\n", ""),
        format!("global {long}\nprobe begin {{ println({long}b) }}\n"),
        format!("fn {long}() {{ }}\nprobe begin {{ {long}b() }}\n"),
        site(&format!("/app/target.fn(\"{long}\")"), "1"),
        site(&format!("/app/target.fn(\"*{long}*\")"), "1"),
        site(&format!("/app/target.line(\"{long}:3\")"), "1"),
        site(&format!("/{long}.fn(\"main\")"), "1"),
        site("/app/target.fn(\"main\")", &format!("${long}, $argc->{long}, @var(\"{long}\"), @sizeof(\"{long}\")")),
        format!("probe container(\"{long}\").fn(\"main\") {{ println(1) }}\n"),
    ]
}

/// Memory is measured of the whole process: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// All of it, one after the other.
#[test]
fn nothing_breaks_it() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The stack of a main thread.
    let worker = std::thread::Builder::new().stack_size(8 << 20).spawn(all).unwrap();
    worker.join().unwrap();
}

fn all() {
    let seed = seed();
    let time = Duration::from_secs(setting("CTP_FUZZ_SECONDS", 60)) / 2;
    println!("seed {seed}, {time:?} for each of two parts");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    std::fs::create_dir_all(&kept).unwrap();
    let machine = machine(&kept);
    let mut corpus = Vec::new();
    programs(&folder().join("fuzz/corpus"), &mut corpus);
    programs(&folder().join("cases"), &mut corpus);
    programs(&folder().join("../examples"), &mut corpus);
    assert!(corpus.len() >= 30, "the corpus is gone");

    let mut guard = Guard::new(&kept, seed);
    for (index, bytes) in (0..).zip(&corpus) {
        guard.hold("corpus-text", index, bytes, text);
        guard.hold("corpus-program", index, bytes, |bytes| program(bytes, &machine));
    }
    let seeds: Vec<String> = corpus.iter().filter_map(|bytes| String::from_utf8(bytes.clone()).ok()).collect();
    fuzz(&mut guard, "text", time, &seeds, seed, text);
    large(&mut guard, &seeds, &machine);
    let texts = guard.inputs;
    fuzz(&mut guard, "program", time, &seeds, seed, |bytes| program(bytes, &machine));
    println!(
        "{texts} texts, {} programs; the slowest took {:?} ({}), the largest {} kB",
        guard.inputs - texts,
        guard.slowest.0,
        guard.slowest.1,
        guard.largest
    );
    assert!(guard.failures.is_empty(), "{} inputs fail:\n{}", guard.failures.len(), guard.failures.join("\n"));
    // That anything was run at all.
    assert!(texts > 100 && guard.inputs - texts > 20, "too few inputs: {texts} and {}", guard.inputs - texts);
}

/// What the guard is for: it sees what it should.
#[test]
fn what_breaks_is_seen() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-guard");
    let mut guard = Guard::new(&folder, 0);
    guard.hold("fine", 0, b"", |_| Ok(()));
    assert_eq!(guard.failures, Vec::<String>::new());
    guard.hold("wrong", 1, b"the input", |_| Err("is wrong".to_owned()));
    guard.hold("panic", 2, b"", |_| panic!("it panics"));
    guard.hold("memory", 3, b"", |_| {
        // Touched page by page: memory that is only reserved does not count.
        let memory = std::hint::black_box(vec![1u8; 300 << 20]);
        assert_eq!(memory.len(), 300 << 20);
        Ok(())
    });
    let seen: Vec<&str> = guard.failures.iter().filter_map(|failure| failure.split(',').next()).collect();
    assert_eq!(seen, ["wrong", "panic", "memory"], "{:?}", guard.failures);
    assert!(guard.failures[0].contains("is wrong") && guard.failures[0].contains("the input"));
    assert_eq!(std::fs::read(folder.join("wrong-0-1.ctp")).unwrap(), b"the input");
    std::fs::remove_dir_all(&folder).unwrap();
}
