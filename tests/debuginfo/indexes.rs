//! Files with an index of names, as compilers, linkers and gdb make them: what ctp finds is the same with it, without it,
//! and whatever it says. That the search finds all is held against the indexes: their names are others' lists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use ctp_lang::debuginfo::Module;
use object::{Object as _, ObjectSection as _};

use crate::build::OnDisk;

fn run(tool: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new("timeout").args(["120", tool]).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn open(path: &Path) -> Module {
    Module::open(Arc::new(OnDisk::open(path))).unwrap()
}

/// A program with an index, and the same without.
pub(crate) struct Indexed {
    pub(crate) with: PathBuf,
    without: PathBuf,
    section: &'static str,
}

const C: [&str; 2] = ["debuginfo/c/unit_a.c", "debuginfo/c/unit_b.c"];

/// Compiles into a folder of its own; `add` is what makes the index afterwards.
fn build(name: &str, compiler: &[&str], sources: &[&str], add: &[&str], section: &'static str) -> Indexed {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-indexes").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let sources: Vec<String> = sources.iter().map(|one| format!("{}/{one}", env!("CARGO_MANIFEST_DIR"))).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let (compiler, flags) = compiler.split_first().unwrap();
    run(compiler, &[flags, &["-o", "app"], &sources].concat(), &folder);
    indexed(folder, add, section)
}

fn indexed(folder: PathBuf, add: &[&str], section: &'static str) -> Indexed {
    if let Some((tool, arguments)) = add.split_first() {
        run(tool, arguments, &folder);
    }
    run("objcopy", &["--remove-section", section, "app", "without"], &folder);
    let (with, without) = (folder.join("app"), folder.join("without"));
    let has = |path: &Path| sections(path).iter().any(|(name, ..)| name == section);
    assert!(has(&with) && !has(&without), "{}", with.display());
    Indexed { with, without, section }
}

/// The sections of a file: name, offset, size.
pub(crate) fn sections(path: &Path) -> Vec<(String, usize, usize)> {
    let bytes = std::fs::read(path).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let place = |section: object::Section<'_, '_>| {
        let (offset, size) = section.file_range()?;
        Some((section.name().unwrap_or_default().to_owned(), offset as usize, size as usize))
    };
    file.sections().filter_map(place).collect()
}

/// The small ones, built once.
pub(crate) fn small() -> &'static [Indexed] {
    static BUILT: OnceLock<Vec<Indexed>> = OnceLock::new();
    BUILT.get_or_init(small_ones)
}

fn small_ones() -> Vec<Indexed> {
    let lld = ["-fuse-ld=lld", "-Wl,--gdb-index"];
    let old = [&["clang", "-O1", "-gdwarf-4", "-ggnu-pubnames"], &lld[..]].concat();
    let gnu = ["gdb-add-index", "app"];
    vec![
        build("names", &["clang", "-O1", "-gdwarf-5", "-gpubnames"], &C, &[], ".debug_names"),
        build("lld", &old, &C, &[], ".gdb_index"),
        build("gdb", &["gcc", "-O1", "-g"], &C, &gnu, ".gdb_index"),
        build("gdb-names", &["gcc", "-O1", "-g"], &C, &["gdb-add-index", "-dwarf-5", "app"], ".debug_names"),
    ]
}

/// The names of functions that the index lists, as llvm-dwarfdump or readelf print it.
fn listed(indexed: &Indexed) -> BTreeSet<String> {
    let shown = |tool: &str, argument: &str| {
        let output = Command::new(tool).arg(argument).arg(&indexed.with).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut names = BTreeSet::new();
    if indexed.section == ".debug_names" {
        let mut name = String::new();
        for line in shown("llvm-dwarfdump", "--debug-names").lines() {
            // What stands between an index's head and its names are its abbreviations.
            if line.starts_with("Name Index") {
                name.clear();
            }
            if let Some(string) = line.trim().strip_prefix("String: ") {
                name = string.split('"').nth(1).unwrap_or_default().to_owned();
            }
            if line.contains("Tag: DW_TAG_subprogram") || line.contains("Tag: DW_TAG_inlined_subroutine") {
                names.insert(name.clone());
            }
        }
    } else {
        for line in shown("readelf", "--debug-dump=gdb_index").lines() {
            // `[  2] name: 0 [global, function]`, several units behind one another.
            let Some((_, rest)) = line.trim().strip_prefix('[').and_then(|line| line.split_once("] ")) else {
                continue;
            };
            if let Some((name, units)) = rest.rsplit_once(": ").filter(|(_, units)| units.contains("function]")) {
                assert!(!units.is_empty());
                names.insert(name.to_owned());
            }
        }
    }
    names.remove("");
    names
}

/// Every function that an index lists is found, with the same answer as without it.
#[test]
fn every_name_of_an_index_is_found_by_the_search() {
    for indexed in small() {
        let (with, without) = (open(&indexed.with), open(&indexed.without));
        let names = listed(indexed);
        // gdb and lld write types in names in their own way (`long` for `long int`): such names are no DWARF names.
        let plain: Vec<&String> = names.iter().filter(|name| !name.contains(['<', '(', ' '])).collect();
        let mut found = 0;
        for name in plain {
            let functions = with.functions(name).unwrap();
            assert!(!functions.is_empty(), "{}: {name}", indexed.with.display());
            assert_eq!(functions, without.functions(name).unwrap(), "{name}");
            found += 1;
        }
        println!("{}: {found} of {} names", indexed.with.display(), names.len());
        assert!(found >= 3, "{}: {found}", indexed.with.display());
    }
}

/// A name with two letters changed.
fn misspelt(name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let middle = letters.len() / 2;
    letters.swap(middle - 1, middle);
    letters.push('x');
    letters.into_iter().collect()
}

#[test]
fn what_an_index_suggests_is_there() {
    for indexed in small() {
        let (with, without) = (open(&indexed.with), open(&indexed.without));
        let names: Vec<String> = listed(indexed).into_iter().filter(|name| name.len() > 4).collect();
        let plain: Vec<&String> =
            names.iter().filter(|name| !name.contains(['<', '(', ' ']) && name.is_ascii()).collect();
        let mut told = 0;
        for name in plain {
            let wrong = misspelt(name);
            let suggested = with.nearest_functions(&wrong, 3);
            assert_eq!(suggested, without.nearest_functions(&wrong, 3), "{}: {wrong}", indexed.with.display());
            for name in suggested.iter().filter(|name| !name.contains(['<', ' '])) {
                assert!(!without.functions(name).unwrap().is_empty(), "{}: {name}", indexed.with.display());
            }
            told += usize::from(!suggested.is_empty());
        }
        assert!(told > 0, "{}", indexed.with.display());
    }
}

/// What an index says wrongly, leaves out, or says of another program changes no answer, and what is suggested is there.
#[test]
fn an_index_that_lies_is_not_believed() {
    let programs = small();
    for (nth, indexed) in programs.iter().enumerate() {
        let without = open(&indexed.without);
        let whole = std::fs::read(&indexed.with).unwrap();
        let own = sections(&indexed.with);
        let (_, offset, size) = own.iter().find(|(name, ..)| name == indexed.section).unwrap();
        let strings = own.iter().find(|(name, ..)| name == ".debug_str").unwrap();
        let other = &programs[(nth + 2) % programs.len()];
        let stale = std::fs::read(&other.with).unwrap();
        let (_, from, length) = sections(&other.with).into_iter().find(|(name, ..)| name == other.section).unwrap();
        // Nothing, ones, counters, half of it, a number over and over, and another program's.
        let mut lies: Vec<Vec<u8>> = vec![
            vec![0; *size],
            vec![0xff; *size],
            (0..*size).map(|at| at as u8).collect(),
            [&whole[*offset..offset + size / 2], &vec![0; size - size / 2]].concat(),
        ];
        for word in [1u32, 0x7fff_ffff, strings.2 as u32, *size as u32] {
            for at in (0..size - 4).step_by((size / 50).next_multiple_of(4)) {
                let mut lie = whole[*offset..offset + size].to_vec();
                lie[at..at + 4].copy_from_slice(&word.to_le_bytes());
                lies.push(lie);
            }
        }
        let mut lie = stale[from..from + length.min(*size)].to_vec();
        lie.resize(*size, 0);
        lies.push(lie);
        let expected = ["helper", "from_b", "in_header"].map(|name| without.functions(name).unwrap());
        let all: BTreeSet<String> = without.functions("*").unwrap().into_iter().map(|one| one.name).collect();
        for (number, lie) in lies.iter().enumerate() {
            let mut bytes = whole.clone();
            bytes[*offset..offset + size].copy_from_slice(lie);
            let module = Module::open(Arc::new(bytes)).unwrap();
            for (name, expected) in ["helper", "from_b", "in_header"].iter().zip(&expected) {
                assert_eq!(&module.functions(name).unwrap(), expected, "{} {number} {name}", indexed.with.display());
            }
            let suggested = module.nearest_functions("helpre", 3);
            assert!(!suggested.is_empty(), "{} {number}", indexed.with.display());
            assert!(suggested.iter().all(|name| all.contains(name)), "{number}: {suggested:?}");
        }
        println!("{}: {} lies", indexed.with.display(), lies.len());
    }
}
