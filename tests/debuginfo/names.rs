//! Which functions a name means: across units, by file, by glob, by symbol; and what is suggested for a wrong one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::SiteKind;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::process::run;

use crate::build::{Program, VARIANTS};
use crate::{oracle, values};

#[test]
fn static_functions_of_one_name_are_all_found_and_told_apart_by_file() {
    for variant in &VARIANTS {
        let program = Program::compile("units", variant.compiler, variant.flags, &["unit_a.c", "unit_b.c"]);
        let module = program.module();
        assert_eq!(module.functions("helper").unwrap().len(), 2, "{variant:?}");
        let one = module.functions("helper@unit_b.c").unwrap();
        assert_eq!(one.len(), 1, "{variant:?}");
        assert!(one[0].declared.as_ref().unwrap().file.ends_with("/c/unit_b.c"));
        assert_eq!(module.functions("helper@c/unit_a.c").unwrap().len(), 1);
        assert!(module.functions("helper@nit_a.c").unwrap().is_empty());
        assert_eq!(module.functions("in_header").unwrap().len(), 1, "one function of a header: {variant:?}");
        let names = ["helper", "in_header", "from_b"];
        let functions: Vec<_> = names.iter().flat_map(|name| module.functions(name).unwrap()).collect();
        values::compare(&format!("{variant:?}"), &oracle::run(&program, &module, &functions), &functions);
    }
}

#[test]
fn every_copy_of_an_unrolled_loop_counts() {
    for compiler in ["gcc", "clang"] {
        for flags in [&["-O3", "-DUNROLL", "-gdwarf-4"], &["-O3", "-DUNROLL", "-gdwarf-5"]] {
            let program = Program::compile("unrolled", compiler, flags, &["unit_a.c", "unit_b.c"]);
            let module = program.module();
            let functions: Vec<_> =
                ["helper", "in_header", "from_b"].iter().flat_map(|name| module.functions(name).unwrap()).collect();
            values::compare(&format!("{flags:?}"), &oracle::run(&program, &module, &functions), &functions);
        }
    }
}

#[test]
fn link_time_optimisation_spreads_a_function_over_units() {
    for flags in [&["-O2", "-flto", "-gdwarf-4"], &["-O2", "-flto", "-gdwarf-5"], &["-O3", "-flto", "-gdwarf-5"]] {
        let program = Program::compile("lto", "gcc", flags, &["unit_a.c", "unit_b.c"]);
        let module = program.module();
        let functions: Vec<_> =
            ["helper", "in_header", "from_b"].iter().flat_map(|name| module.functions(name).unwrap()).collect();
        values::compare(&format!("{flags:?}"), &oracle::run(&program, &module, &functions), &functions);
    }
}

#[test]
fn a_name_is_literal_before_it_is_a_glob() {
    let program = Program::compile("units", "gcc", &["-O0", "-g"], &["unit_a.c", "unit_b.c"]);
    let module = program.module();
    let names = |name: &str| {
        let mut names: Vec<_> = module.functions(name).unwrap().into_iter().map(|function| function.name).collect();
        names.sort();
        names
    };
    assert_eq!(names("he[k-m]?er"), ["helper", "helper"]);
    assert_eq!(names("from_?"), ["from_b"]);
    assert_eq!(names("in_h*"), ["in_header"]);
    assert!(names("helpe").is_empty());
    assert_eq!(module.nearest_functions("helpr", 3).first().map(String::as_str), Some("helper"));
    assert_eq!(module.nearest_functions("form_b", 1), ["from_b"]);
    assert!(module.nearest_functions("quite_another_thing", 3).is_empty());
}

#[test]
fn without_debug_info_symbols_name_addresses_only() {
    let program = Program::compile("units-stripped", "gcc", &["-O0", "-g"], &["unit_a.c", "unit_b.c"]);
    let status = std::process::Command::new("strip").arg("--strip-debug").arg(&program.path).status().unwrap();
    assert!(status.success());
    let module = program.module();
    assert!(!module.has_dwarf());
    let symbols = program.shown_by("readelf", &["-sW"]);
    let mut expected: Vec<u64> = symbols
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.last() == Some(&"helper"))
        .map(|fields| u64::from_str_radix(fields[1], 16).unwrap())
        .collect();
    expected.sort_unstable();
    let found = module.functions("helper").unwrap();
    let mut addresses: Vec<u64> = found.iter().flat_map(|function| &function.sites).map(|site| site.address).collect();
    addresses.sort_unstable();
    assert_eq!(expected.len(), 2);
    assert_eq!(addresses, expected);
    assert!(found.iter().flat_map(|function| &function.sites).all(|site| site.kind == SiteKind::Symbol));
    assert!(module.functions("printf").unwrap().is_empty(), "an undefined symbol is no function of the file");
    assert_eq!(module.nearest_functions("helpr", 1), ["helper"]);
}

#[test]
fn a_loop_at_the_probed_address_is_told() {
    for compiler in ["gcc", "clang"] {
        // Without optimisation the loop begins where the prologue ends; `main` has none.
        let program = Program::compile("spin", compiler, &["-O0", "-g"], &["spin.c"]);
        let repeats = |name: &str| program.module().functions(name).unwrap()[0].sites[0].repeats;
        assert!(repeats("spin"), "{compiler}");
        assert!(!repeats("main"), "{compiler}");
    }
}

/// Go keeps a table of its functions where symbols and DWARF were taken out.
#[test]
fn functions_of_a_stripped_go_program_are_those_of_nm() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-go");
    std::fs::create_dir_all(&folder).unwrap();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("live/matrix/values.go");
    let build = |name: &str, flags: &[&str]| {
        let path = folder.join(name);
        let mut go = std::process::Command::new("go");
        go.arg("build").env("GOCACHE", folder.join("cache")).env("GO111MODULE", "off").env("CGO_ENABLED", "0");
        assert!(go.args(flags).arg("-o").arg(&path).arg(&source).status().unwrap().success());
        Program { path }
    };
    let (whole, stripped) = (build("whole", &[]), build("stripped", &["-ldflags=-s -w"]));
    let symbols = whole.shown_by("nm", &[]);
    let expected: std::collections::BTreeSet<(String, u64)> = symbols
        .lines()
        .map(|line| line.splitn(3, ' ').collect::<Vec<_>>())
        .filter(|fields| fields.len() == 3 && matches!(fields[1], "T" | "t"))
        .map(|fields| (fields[2].to_owned(), u64::from_str_radix(fields[0], 16).unwrap()))
        // Assembly has a further name for each calling convention; the linker's own names are no functions.
        .filter(|(name, _)| name.starts_with("main.") || name.starts_with("fmt."))
        .collect();
    let module = stripped.module();
    assert!(!module.has_dwarf() && stripped.shown_by("nm", &[]).is_empty());
    let found = ["main.*", "fmt.*"].into_iter().flat_map(|glob| module.functions(glob).unwrap());
    let found = found.flat_map(|one| one.sites.iter().map(|site| (one.name.clone(), site.entry)).collect::<Vec<_>>());
    let found: std::collections::BTreeSet<(String, u64)> = found.collect();
    assert!(expected.len() > 50, "{}", expected.len());
    assert_eq!(found, expected);
    assert_eq!(module.nearest_functions("main.m_text_", 1), ["main.m_text"]);
}

#[test]
fn names_that_nm_shows_mean_the_function_there_and_no_other() {
    for compiler in [Compiler::Gxx, Compiler::Clang] {
        let flags: &[&str] = if compiler == Compiler::Clang { &["-g", "--driver-mode=g++"] } else { &["-g"] };
        let binary = Binary::compile("spelled.cpp", compiler, flags);
        let module = Module::open(Arc::new(std::fs::read(binary.path()).unwrap())).unwrap();
        let lines = |option: &[&str]| run(Command::new("nm").args(option).arg(binary.path())).stdout;
        let (mangled, shown) = (lines(&["-p"]), lines(&["-p", "-C"]));
        let mut asked = 0;
        for (mangled, shown) in mangled.lines().zip(shown.lines()) {
            let own = ["_ZN2ns", "_ZNK2ns", "_Zli", "_Z6tagged", "_ZN12_GLOBAL__N_16hidden"];
            let mut parts = shown.splitn(3, ' ');
            let (address, name) = (parts.next().unwrap(), parts.nth(1).unwrap());
            if !own.iter().any(|own| mangled.rsplit(' ').next().unwrap().starts_with(own)) {
                continue;
            }
            asked += 1;
            let without = name.strip_suffix(" const").unwrap_or(name).rsplit_once('(').unwrap().0;
            for name in [name, without] {
                let found = module.functions(name).unwrap();
                let entries: Vec<u64> = found.iter().flat_map(|one| &one.sites).map(|site| site.entry).collect();
                assert_eq!(entries, [u64::from_str_radix(address, 16).unwrap()], "{compiler:?}: {name}");
            }
        }
        assert_eq!(asked, 8, "{compiler:?}");
    }
}

/// A generic function of Rust is in each crate that uses it, with a name of its own that is shown alike.
#[test]
fn a_name_means_all_functions_that_are_listed_so() {
    let flags = ["-Copt-level=2", "-Csymbol-mangling-version=v0"];
    let binary = Binary::compile("tests/live/matrix/values.rs", Compiler::Rust, &flags);
    let module = Module::open(Arc::new(std::fs::read(binary.path()).unwrap())).unwrap();
    let mut listed: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for function in module.functions("core::cmp::*").unwrap() {
        listed.entry(function.name).or_default().extend(function.sites.iter().map(|site| site.address));
    }
    assert!(listed.len() > 5, "{listed:?}");
    for (name, addresses) in listed {
        let found = module.functions(&name).unwrap();
        let named: BTreeSet<u64> = found.iter().flat_map(|one| &one.sites).map(|site| site.address).collect();
        assert_eq!(named, addresses, "{name}");
    }
}
