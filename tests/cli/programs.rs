//! Every program that the scripts and the tests call comes from a package on the list, from Rust's toolchain or from
//! the shell: so a fresh machine needs no more than the set-up installs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::process::{attempt, run};

use crate::shell::commands;

const SCRIPTS: [&str; 12] = [
    ".ci/run",
    "examples/demo",
    "tests/bench/attach",
    "tests/bench/containers",
    "tests/bench/crowd",
    "tests/bench/engine",
    "tests/bench/find-function",
    "tests/bench/right-reads",
    "tests/run",
    "tests/setup",
    "tests/vm/boot",
    "tests/vm/machine",
];

/// Scripts that run in the tests' virtual machine, on what `tests/vm/machine` puts there.
const IN_THE_MACHINE: [&str; 5] = [
    "tests/vm/guest/containers",
    "tests/vm/guest/init",
    "tests/vm/guest/lane",
    "tests/vm/guest/main",
    "tests/vm/guest/stap",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The packages of `tests/packages`, each with what it is looked for by.
fn packages() -> BTreeMap<String, String> {
    let list = fs::read_to_string(top().join("tests/packages")).unwrap();
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let columns = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    columns
        .map(|columns| {
            let [package, look_for, set] = <[String; 3]>::try_from(columns).expect("three columns");
            assert!(["demo", "test", "bench"].contains(&set.as_str()), "{package} is in no set: {set}");
            (package, look_for)
        })
        .collect()
}

/// All Rust files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The programs that Rust tests name literally: by `Command::new` or a helper called `run`.
fn called_by_tests() -> BTreeSet<String> {
    let mut programs = BTreeSet::new();
    for path in sources(&top().join("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        for call in [concat!("Command::new", "(\""), concat!("run", "(\"")] {
            let rest = text.split(call).skip(1);
            programs.extend(rest.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    programs
}

/// The package that a program of Debian's folders belongs to.
fn package_of(program: &str) -> Option<String> {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let candidates: Vec<PathBuf> = if program.starts_with('/') {
        vec![program.into()]
    } else {
        folders.map(|f| Path::new(f).join(program)).into()
    };
    candidates.iter().filter(|path| path.exists()).find_map(|path| {
        let found = attempt(Command::new("dpkg-query").arg("--search").arg(path));
        found.stdout.split(':').next().filter(|name| !name.is_empty()).map(str::to_owned)
    })
}

#[test]
fn each_program_comes_from_a_package_on_the_list() {
    let packages = packages();
    let shell = run(Command::new("bash").args(["-c", "compgen -b; compgen -k"])).stdout;
    let shell: BTreeSet<&str> = shell.lines().collect();

    let mut programs = called_by_tests();
    for script in SCRIPTS {
        programs.extend(commands(&fs::read_to_string(top().join(script)).unwrap()));
    }
    // That the scripts and the tests are read at all.
    for known in ["gcc", "apt-get", "dockerd", "flock", "gdb", "tar", "bpftrace"] {
        assert!(programs.contains(known), "{known} is not among {programs:?}");
    }

    let unknown: Vec<&String> = programs
        .iter()
        .filter(|program| !shell.contains(program.as_str()) && !["cargo", "rustc"].contains(&program.as_str()))
        .filter(|program| !(program.contains('/') && !program.starts_with('/') && top().join(program).exists()))
        .filter(|program| !package_of(program).is_some_and(|package| packages.contains_key(&package)))
        // What only the benchmark needs is not installed for the tests.
        .filter(|program| !packages.values().any(|look_for| look_for == *program))
        .collect();
    assert!(unknown.is_empty(), "of no package in tests/packages: {unknown:?}");
}

#[test]
fn each_script_is_known_here() {
    let mut found: Vec<String> = run(Command::new("grep")
        .args(["-rlE", "^#!.*sh$", "."])
        .current_dir(top())
        .args(["--exclude-dir=target", "--exclude-dir=.git"]))
    .stdout
    .lines()
    .map(|path| path.trim_start_matches("./").to_owned())
    .collect();
    found.sort();
    let mut known = [SCRIPTS.as_slice(), IN_THE_MACHINE.as_slice()].concat();
    known.sort();
    assert_eq!(found, known);
}
