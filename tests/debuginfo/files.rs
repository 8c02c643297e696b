//! ELF files: build ids and offsets as readelf shows them, compressed debug info, and files that are damaged.

use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::DebugError;

use crate::build::Program;

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
