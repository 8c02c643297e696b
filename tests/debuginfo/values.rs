//! The values at ctp's addresses are those that the program prints itself, call by call.

use std::collections::{BTreeMap, BTreeSet};

use ctp_lang::debuginfo::facts::Function;

use crate::build::{Program, VARIANTS, Variant};
use crate::oracle;

/// Lines by the function they begin with.
fn by_function(lines: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut by_function: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines {
        by_function.entry(line.split(' ').next().unwrap_or_default()).or_default().push(line);
    }
    by_function
}

/// Whether a line says what was printed; `?` stands for a value that had no location.
fn same(printed: &str, hit: &str) -> bool {
    let (printed, hit): (Vec<_>, Vec<_>) = (printed.split(' ').collect(), hit.split(' ').collect());
    printed.len() == hit.len()
        && printed.iter().zip(&hit).all(|(printed, hit)| {
            printed == hit
                || hit.strip_suffix('?').is_some_and(|label| label.ends_with('=') && printed.starts_with(label))
        })
}

/// Runs a program and holds every call against what it printed. Returns the values (`function label`) that had no
/// location at a site that was hit.
pub(crate) fn check(program: &Program, variant: &Variant) -> BTreeSet<String> {
    let module = program.module();
    let plain = std::process::Command::new(&program.path).output().unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    let names: BTreeSet<&str> =
        plain.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    let functions: Vec<Function> = names
        .iter()
        .flat_map(|name| {
            let found = module.functions(name).unwrap();
            assert_eq!(found.len(), 1, "{variant:?}: {name}: {found:#?}");
            assert_eq!(found[0].name, *name, "{variant:?}");
            found
        })
        .collect();
    compare(&format!("{variant:?}"), &oracle::run(program, &module, &functions), &functions)
}

/// Holds that the hits are the calls that the program printed, in order and in number, with their values. Returns the
/// values (`function label`) that had no location at a site that was hit.
pub(crate) fn compare(what: &str, run: &oracle::Run, functions: &[Function]) -> BTreeSet<String> {
    let (printed, hits) = (by_function(&run.printed), by_function(&run.hits));
    let mut missing = BTreeSet::new();
    for (name, printed) in printed.iter().filter(|(name, _)| !name.is_empty()) {
        let hits = hits.get(name).cloned().unwrap_or_default();
        let wrong = printed.iter().zip(&hits).find(|(printed, hit)| !same(printed, hit));
        let sites = || functions.iter().filter(|function| function.name == *name).collect::<Vec<_>>();
        assert!(wrong.is_none(), "{what}: printed and hit: {wrong:#?}\n{:#?}", sites());
        assert_eq!(printed.len(), hits.len(), "{what}: calls of {name}: {printed:#?} {hits:#?}\n{:#?}", sites());
        for hit in hits {
            for word in hit.split(' ').filter_map(|word| word.strip_suffix("=?")) {
                missing.insert(format!("{name} {word}"));
            }
        }
    }
    missing
}

#[test]
fn parameters_are_what_the_program_prints() {
    for variant in &VARIANTS {
        let program = Program::compile("values", variant.compiler, variant.flags, &["values.c"]);
        // Doubles are in vector registers; clang drops what its inlined code does not need in one place any more.
        let excused = ["mixed a", "mixed c", "inlined b", "once a", "once b"];
        excuse(variant, &check(&program, variant), &excused);
    }
}

/// gcc copies some parameters into memory that counts from a register, behind lines of their own.
#[test]
fn parameters_of_instrumented_code_are_what_the_program_prints() {
    for flags in [&["-O0", "-gdwarf-5", "-fsanitize=address"][..], &["-O0", "-gdwarf-4", "-fsanitize=address"]] {
        let program = Program::compile("instrumented", "gcc", flags, &["values.c"]);
        let missing = check(&program, &Variant { compiler: "gcc", flags: &["-O0", "-fsanitize=address"] });
        assert!(missing.is_empty(), "{flags:?}: {missing:?}");
    }
}

/// Holds that only those values had no location, at -O0 none, and gcc's only where they are in vector registers.
pub(crate) fn excuse(variant: &Variant, missing: &BTreeSet<String>, excused: &[&str]) {
    let vectors = ["mixed a", "mixed c", "floats f", "floats d"];
    for value in missing.iter().map(String::as_str) {
        let known = excused.contains(&value) && variant.flags.contains(&"-O2");
        assert!(known && (variant.compiler == "clang" || vectors.contains(&value)), "{variant:?}: no {value}");
    }
}

#[test]
fn split_cloned_and_looping_code_counts_each_call_once() {
    for variant in &VARIANTS {
        let program = Program::compile("shapes", variant.compiler, variant.flags, &["shapes.c"]);
        excuse(variant, &check(&program, variant), &["floats f", "floats d", "cloned unused"]);
    }
}

#[test]
fn every_turn_of_an_unrolled_loop_is_a_call() {
    for compiler in ["gcc", "clang"] {
        for level in ["-O0", "-O2", "-O3"] {
            for dwarf in ["-gdwarf-4", "-gdwarf-5"] {
                let flags = [level, dwarf];
                let program = Program::compile("turns", compiler, &flags, &["unrolled.c"]);
                let module = program.module();
                let names = ["one_line", "two", "pointed", "tested", "assigned", "counted", "quiet", "loops"];
                let functions: Vec<_> = names.iter().flat_map(|name| module.functions(name).unwrap()).collect();
                let what = format!("{compiler} {flags:?}");
                let missing = compare(&what, &oracle::run(&program, &module, &functions), &functions);
                assert!(missing.is_empty(), "{what}: {missing:?}");
                // DWARF does not tell the turns of the last two apart; that calls may be missed is marked.
                for (name, told) in [("written", true), ("stepped", true), ("tick", false), ("seven", false)] {
                    let found = module.functions(name).unwrap();
                    let run = oracle::run(&program, &module, &found);
                    let calls = run.printed.iter().filter(|line| line.split(' ').nth(1) == Some(name)).count();
                    assert!(calls > 0 && run.hits.len() <= calls, "{what}: {name}: {:?}", run.hits);
                    let partial = !told && found[0].sites.iter().any(|site| site.partial);
                    assert!(run.hits.len() == calls || partial, "{what}: {name}: {:?}\n{found:#?}", run.hits);
                }
            }
        }
    }
}
