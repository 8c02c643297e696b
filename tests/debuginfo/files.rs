//! ELF files: build ids and offsets as readelf shows them, compressed debug info, and files that are damaged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::{DebugError, Site};

use crate::build::{OnDisk, Program};

const SOURCES: [&str; 1] = ["values.c"];

#[test]
fn the_build_id_is_readelfs() {
    let program = Program::compile("buildid", "gcc", &["-g", "-Wl,--build-id=sha1"], &SOURCES);
    let shown = program.shown_by("readelf", &["-n"]);
    let expected = shown.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).unwrap();
    assert_eq!(program.module().build_id().unwrap().to_string(), expected);
    let without = Program::compile("nobuildid", "gcc", &["-g", "-Wl,--build-id=none"], &SOURCES);
    assert_eq!(without.module().build_id(), None);
}

#[test]
fn a_site_is_at_the_offset_of_its_instruction() {
    for flags in [&["-O2", "-g", "-pie"], &["-O2", "-g", "-no-pie"]] {
        let program = Program::compile("offsets", "gcc", flags, &SOURCES);
        let site = program.module().functions("widths").unwrap().remove(0).sites.remove(0);
        let shown = program.shown_by("readelf", &["-lW"]);
        let segment = shown.lines().find(|line| line.contains("LOAD") && line.contains("R E")).unwrap();
        let number = |field: usize| {
            let text = segment.split_whitespace().nth(field).unwrap();
            u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        };
        assert_eq!(site.file_offset, site.address - number(2) + number(1));
    }
}

#[test]
fn compressed_debug_info_says_the_same() {
    let plain = Program::compile("plain", "gcc", &["-O2", "-g", "-gz=none"], &SOURCES);
    let zlib = Program::compile("zlib", "gcc", &["-O2", "-g", "-gz=zlib"], &SOURCES);
    assert!(
        zlib.shown_by("readelf", &["-SW"]).lines().any(|line| line.contains(".debug_info") && line.contains(" C "))
    );
    for name in ["widths", "inlined", "by_value"] {
        assert_eq!(plain.module().functions(name).unwrap(), zlib.module().functions(name).unwrap());
    }
}

/// A program with compressed debug info, whose `.debug_str` has 17 MiB of other strings behind its own.
pub(crate) fn large() -> PathBuf {
    let program = Program::compile("large", "gcc", &["-O2", "-g"], &SOURCES);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-large");
    std::fs::create_dir_all(&folder).unwrap();
    let run = |arguments: &[&str], from: &Path, to: &Path| {
        let output = Command::new("objcopy").args(arguments).arg(from).arg(to).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (strings, plain, packed) = (folder.join("strings"), folder.join("plain"), folder.join("packed"));
    run(&["--dump-section", &format!(".debug_str={}", strings.display())], &program.path, &plain);
    let mut all = std::fs::read(&strings).unwrap();
    let mut state = 1u32;
    while all.len() < 17 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        all.extend(format!("name_{}", state >> 12).as_bytes());
        all.push(0);
    }
    std::fs::write(&strings, &all).unwrap();
    run(&["--update-section", &format!(".debug_str={}", strings.display())], &program.path, &plain);
    run(&["--compress-debug-sections=zlib"], &plain, &packed);
    packed
}

/// Too large to be held in memory and kept on no disk: it is unpacked in pieces, again and again.
#[test]
fn large_compressed_sections_say_the_same() {
    let packed = large();
    let module = Module::open(Arc::new(OnDisk::open(&packed))).unwrap();
    let plain = Module::open(Arc::new(OnDisk::open(&packed.with_file_name("plain")))).unwrap();
    for name in ["widths", "inlined", "by_value", "no_such_function"] {
        assert_eq!(module.functions(name).unwrap(), plain.functions(name).unwrap());
    }
    assert!(!module.functions("widths").unwrap()[0].sites[0].variables.is_empty());
    assert_eq!(module.nearest_functions("widht", 3), plain.nearest_functions("widht", 3));
}

fn refused(bytes: &[u8]) -> DebugError {
    match Module::open(Arc::new(bytes.to_vec())) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn what_is_no_program_is_refused_by_name() {
    assert!(matches!(refused(b""), DebugError::NotElf(_)));
    assert!(
        matches!(refused(b"#!/bin/sh\necho a script of more than sixty-four bytes, as many are in images\n"), DebugError::NotElf(what) if what == "a script")
    );
    let program = Program::compile("machines", "gcc", &["-g"], &SOURCES);
    let mut bytes = std::fs::read(&program.path).unwrap();
    // EM_RISCV (elf.h).
    bytes[18] = 243;
    assert!(matches!(refused(&bytes), DebugError::WrongMachine(what) if what == "RISC-V"));
    let object = Program::compile("object", "gcc", &["-g", "-c"], &SOURCES);
    assert!(matches!(refused(&std::fs::read(&object.path).unwrap()), DebugError::NotElf(_)));
}

/// Debug info that points at what is no code of the file: a probe there would change data of whoever maps it.
#[test]
fn what_debug_info_says_of_addresses_outside_of_the_code_is_no_site() {
    let assembly = Program::compile("lying", "gcc", &["-gdwarf-4", "-dA", "-S"], &["moved.c"]);
    let honest = std::fs::read_to_string(&assembly.path).unwrap();
    let begins = |line: &str| line.contains(".quad\t.LFB0") && line.contains("DW_AT_low_pc");
    assert_eq!(honest.lines().filter(|line| begins(line)).count(), 1);
    for elsewhere in ["data", "0x10", "0xffffffff81000000", "0xfffffffffffffff0", ".LFB0+0x40000000"] {
        let lie = |line: &str| match begins(line) {
            true => line.replace(".LFB0", elsewhere),
            false => line.to_owned(),
        };
        let source = assembly.path.with_extension("s");
        std::fs::write(&source, honest.lines().map(|line| lie(line) + "\n").collect::<String>()).unwrap();
        let lying = Program::compile("lies", "gcc", &["-no-pie", "-static"], &[source.to_str().unwrap()]);
        let found = lying.module().functions("moved").unwrap();
        let sites: Vec<_> = found.iter().flat_map(|function| &function.sites).collect();
        // What the symbol table says of it is true.
        let symbols = lying.shown_by("nm", &[]);
        let address = symbols.lines().find_map(|line| line.strip_suffix(" T moved")).unwrap();
        let address = u64::from_str_radix(address, 16).unwrap();
        let is_harmless = |site: &&Site| site.address == address && site.variables.is_empty();
        assert!(sites.iter().all(is_harmless), "{elsewhere}: {sites:?}");
        assert_eq!(
            lying.module().functions("stays").unwrap().iter().map(|function| function.sites.len()).sum::<usize>(),
            1
        );
    }
}
