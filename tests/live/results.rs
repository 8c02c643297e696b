//! Results of functions that only their own file calls: optimisers let them give less where that is not used. What is shown
//! is what the function is declared to give, as the program prints it, or `<optimized out>`.

use std::collections::BTreeMap;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

/// Each function of `unused.c`, and how its result is printed.
const FUNCTIONS: [(&str, &str, &str); 25] = [
    ("plain", "%d", "$return"),
    ("scratch", "%d", "$return"),
    ("loads", "%d", "$return"),
    ("ignores", "%d", "$return"),
    ("calls", "%d", "$return"),
    ("divides", "%d", "$return"),
    ("loops", "%d", "$return"),
    ("branches", "%d", "$return"),
    ("asks", "%d", "$return"),
    ("recurses", "%d", "$return"),
    ("neither", "%d %d", "$return.a, $return.b"),
    ("nowhere", "%d %s", "$return.a, $return.text"),
    ("truth", "%d", "$return"),
    ("text", "%s", "$return"),
    ("constant", "%d", "$return"),
    ("second", "%d %d", "$return.a, $return.b"),
    ("first", "%d %d", "$return.a, $return.b"),
    ("used", "%d", "$return"),
    ("reads", "%d", "$return"),
    ("counts", "%d", "$return"),
    ("both", "%d %d", "$return.a, $return.b"),
    ("filled", "%d %s", "$return.a, $return.text"),
    ("passed", "%d %s", "$return.a, $return.text"),
    ("returns_used", "%d", "$return"),
    ("by_length", "%d", "$return"),
];

/// Of these callers use the results, or nobody can know that none does. (`passed` may go on into another function.)
const USED: [&str; 7] = ["used", "reads", "counts", "both", "filled", "returns_used", "by_length"];

/// What no part of is known.
fn is_nothing(line: &str) -> bool {
    line.split(' ').skip(1).all(|word| matches!(word, "<optimized" | "out>" | "<fault>"))
}

/// Holds every result of a build against what was printed; the functions of which all are right.
fn check(compiler: Compiler, flags: &[&str]) -> Vec<&'static str> {
    let binary = Binary::compile("unused.c", compiler, &[&["-g"], flags].concat());
    let image = Image::new(&binary, "/app/bin");
    let mut container = Container::driven(&image);
    let script: String = FUNCTIONS
        .iter()
        .map(|(name, format, values)| {
            let point = format!("container(\"{}\"):/app/bin.fn(\"{name}\").return", container.name());
            format!("probe {point} {{ printf(\"{name} {format}\\n\", {values}) }}\n")
        })
        .collect();
    let ctp = Running::attached(&script);
    container.call(4);
    let output = ctp.interrupt();
    let printed = container.printed();
    let mut by_name: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    let name =
        |line: &'_ str| FUNCTIONS.iter().find(|(name, ..)| line.split(' ').next() == Some(name)).map(|one| one.0);
    for line in &printed {
        by_name.entry(name(line).unwrap()).or_default().0.push(line);
    }
    for line in output.lines() {
        by_name.entry(name(line).unwrap()).or_default().1.push(line);
    }
    let mut right = Vec::new();
    for (name, (mut printed, mut shown)) in by_name {
        printed.sort_unstable();
        shown.sort_unstable();
        assert_eq!(printed.len(), shown.len(), "{compiler:?} {flags:?} {name}: {}", output.stderr);
        if shown == printed {
            right.push(name);
        } else {
            assert!(
                shown.iter().all(|line| is_nothing(line)),
                "{compiler:?} {flags:?} {name}: {shown:?}, printed: {printed:?}"
            );
        }
    }
    println!("{compiler:?} {flags:?}: right: {right:?}");
    right
}

#[test]
fn what_no_caller_uses_is_what_was_printed_or_nothing() {
    let builds: [(Compiler, &[&str]); 13] = [
        (Compiler::Gcc, &["-O0"]),
        (Compiler::Gcc, &["-O1"]),
        (Compiler::Gcc, &["-O2"]),
        (Compiler::Gcc, &["-O3"]),
        (Compiler::Gcc, &["-O2", "-flto"]),
        (Compiler::Gcc, &["-O3", "-fno-omit-frame-pointer"]),
        (Compiler::Clang, &["-O0"]),
        (Compiler::Clang, &["-O1"]),
        (Compiler::Clang, &["-O2"]),
        (Compiler::Clang, &["-O2", "-gdwarf-4", "-fno-omit-frame-pointer"]),
        (Compiler::Clang, &["-O3", "-static-pie"]),
        (Compiler::Clang, &["-O2", "-fpatchable-function-entry=2"]),
        (Compiler::Clang, &["-O3", "-flto", "-fuse-ld=lld"]),
    ];
    for (compiler, flags) in builds {
        let right = check(compiler, flags);
        let expected: Vec<&str> =
            if flags.contains(&"-O0") { FUNCTIONS.iter().map(|(name, ..)| *name).collect() } else { USED.to_vec() };
        let lost: Vec<&&str> = expected.iter().filter(|name| !right.contains(name)).collect();
        assert!(lost.is_empty(), "{compiler:?} {flags:?}: not known: {lost:?}");
    }
}
