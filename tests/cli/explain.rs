//! `ctp explain`: every code has its page, in the program itself.

use std::fs;
use std::path::Path;

use ctp_lang::codes::Code;
use ctp_tests::ctp::ctp;

#[test]
fn a_page_is_the_one_in_docs() {
    for code in [Code::E0001, Code::E0104, Code::W0005] {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/errors/{code}.md"));
        let output = ctp(&["explain", &code.as_str().to_lowercase()]);
        assert_eq!((output.code, output.stdout), (Some(0), fs::read_to_string(page).unwrap()), "{}", output.stderr);
    }
}

#[test]
fn every_page_is_in_the_program() {
    for code in Code::ALL {
        assert!(code.page().starts_with(&format!("# {code}: {}\n", code.title())), "{code}");
    }
}

#[test]
fn without_a_code_all_are_listed_by_group() {
    let output = ctp(&["explain"]);
    assert_eq!(output.code, Some(0));
    for code in Code::ALL {
        assert!(output.stdout.contains(&format!("\n  {code}  {}\n", code.title())), "{code} in\n{}", output.stdout);
    }
    let headings: Vec<&str> = output.stdout.lines().filter(|line| line.starts_with(['E', 'W'])).collect();
    let starts: Vec<&str> = headings.iter().filter_map(|line| line.split_once(':')).map(|(start, _)| start).collect();
    assert_eq!(starts, ["E00", "E01", "E02", "E03", "E04", "W"]);
}

#[test]
fn a_wrong_code_is_told_from_near_ones() {
    let output = ctp(&["explain", "E1004"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
    assert!(output.stderr.contains("E0104") && output.stderr.contains("no code `E1004`"), "{}", output.stderr);
    assert_eq!(ctp(&["explain", "nonsense"]).code, Some(2));
}
