//! Where a probe costs least: the instruction at ctp's address, as objdump shows it.

use std::collections::BTreeMap;

use ctp_lang::debuginfo::facts::{Price, SiteKind};

use crate::build::Program;

/// Instructions by their addresses.
fn disassembled(program: &Program) -> BTreeMap<u64, String> {
    let text = program.shown_by("objdump", &["-d", "--no-show-raw-insn"]);
    let line = |line: &str| {
        let (address, instruction) = line.trim().split_once(":\t")?;
        Some((u64::from_str_radix(address, 16).ok()?, instruction.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// What `arch/x86/kernel/uprobes.c` emulates.
fn is_emulated(instruction: &str) -> bool {
    let name = instruction.split_whitespace().next().unwrap();
    let register = instruction.contains('%') && !instruction.contains('(');
    match name {
        "push" => register,
        "call" | "jmp" => !instruction.contains('*'),
        "nop" | "nopl" | "nopw" => true,
        name => name.starts_with('j'),
    }
}

#[test]
fn a_site_passes_over_what_costs_more_and_says_what_it_costs() {
    let mut passed = 0;
    for (compiler, flags) in [
        ("gcc", &["-O2", "-g", "-fcf-protection"][..]),
        ("gcc", &["-O0", "-g", "-fcf-protection"]),
        ("gcc", &["-O2", "-g"]),
        ("gcc", &["-O2", "-fcf-protection"]),
        ("clang", &["-O2", "-g", "-fcf-protection"]),
    ] {
        let program = Program::compile("prices", compiler, flags, &["values.c"]);
        let code = disassembled(&program);
        let module = program.module();
        for function in module.functions("*").unwrap() {
            for site in function.sites.iter().filter(|site| !matches!(site.kind, SiteKind::Inlined { .. })) {
                let Some(instruction) = code.get(&site.address) else { continue };
                let what = format!("{compiler} {flags:?}: {} at {:#x}: {instruction}", function.name, site.address);
                let cheap = site.price < Price::Stepped;
                assert_eq!(cheap, is_emulated(instruction), "{what}");
                passed += usize::from(site.passed > 0);
                // From the address of the rule to the cheap one nothing jumps away, and the stack stays as it is.
                for (at, instruction) in code.range(site.address - site.passed..site.address) {
                    let stays = !instruction.starts_with('j') && !instruction.starts_with("ret");
                    let stack = instruction.ends_with("%rsp") || instruction.starts_with("push");
                    assert!(stays && !stack, "{what}: {at:#x}: {instruction}");
                }
                let begins = |at: u64, what: &str| code.get(&at).is_some_and(|text| text.starts_with(what));
                if begins(site.entry, "endbr64") && begins(site.entry + 4, "push") && flags.contains(&"-O2") {
                    let behind = site.address - site.passed > site.entry;
                    assert!(behind || site.address == site.entry + 4, "{what}");
                }
            }
        }
    }
    assert!(passed > 10, "{passed}");
}
