//! Every program of the repository, formatted: the same program, the same comments, and formatted already.

use ctp_lang::source::SourceId;
use ctp_lang::syntax::{Refused, ast::Comment, format, parse, without_places};
use std::path::{Path, PathBuf};

const SOURCE: SourceId = SourceId(0);

/// All programs below a folder.
fn programs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            programs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "ctp") {
            found.push(path);
        }
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn words(text: &str, comments: &[Comment]) -> Vec<String> {
    let of = |comment: &Comment| text[comment.span.range()].split_whitespace().collect::<Vec<_>>().join(" ");
    comments.iter().map(of).collect()
}

#[test]
fn every_program_stays_what_it_is() {
    let mut paths = Vec::new();
    programs(&top().join("examples"), &mut paths);
    programs(&top().join("tests"), &mut paths);
    let (mut formatted, mut faulty) = (0, 0);
    for path in &paths {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let (tree, diagnostics) = parse(SOURCE, &text);
        match format(SOURCE, &text) {
            Ok(laid_out) => {
                assert_eq!(diagnostics, [], "{}", path.display());
                let (again, diagnostics) = parse(SOURCE, &laid_out);
                assert_eq!(diagnostics, [], "{}\n{laid_out}", path.display());
                assert_eq!(words(&text, &tree.comments), words(&laid_out, &again.comments), "{}", path.display());
                assert_eq!(without_places(tree), without_places(again), "{}\n{laid_out}", path.display());
                assert_eq!(format(SOURCE, &laid_out), Ok(laid_out.clone()), "{}", path.display());
                // The corpus of the fuzzing holds what nobody writes: words longer than a line.
                let fuzzed = path.components().any(|part| part.as_os_str() == "corpus");
                let long = laid_out.lines().find(|line| line.chars().count() > 100 && !line.contains(['"', '#', '/']));
                assert!(fuzzed || long.is_none(), "{long:?} in {}", path.display());
                formatted += 1;
            }
            Err(Refused::Faults(faults)) => {
                assert_eq!(faults, diagnostics, "{}", path.display());
                assert_ne!(faults, [], "{}", path.display());
                faulty += 1;
            }
            Err(Refused::TooLarge(bytes)) => panic!("{} would have {bytes} bytes", path.display()),
            Err(Refused::Unfaithful(_)) => panic!("{} would change its meaning", path.display()),
        }
    }
    assert!(formatted >= 15 && faulty >= 5, "{formatted} formatted and {faulty} refused of {}", paths.len());
}

#[test]
fn the_examples_are_formatted() {
    let mut paths = Vec::new();
    programs(&top().join("examples"), &mut paths);
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("an example");
        assert_eq!(format(SOURCE, &text).as_ref(), Ok(&text), "`ctp fmt {}` would change it", path.display());
    }
}

#[test]
fn the_page_on_the_layout_has_it() {
    let page = std::fs::read_to_string(top().join("docs/formatting.md")).expect("the page");
    let examples: Vec<&str> =
        page.split("```ctp\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(text, _)| text)).collect();
    assert!(!examples.is_empty());
    for example in examples {
        assert_eq!(format(SOURCE, example).as_deref(), Ok(example));
    }
}
