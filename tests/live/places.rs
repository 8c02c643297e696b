//! Lines, addresses and marks: where they are by other tools, what is seen there by the programs' own prints.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::run;
use std::process::Command;

fn sorted<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.as_ref().to_owned()).collect();
    lines.sort();
    lines
}

const BUILDS: [(Compiler, &str); 4] =
    [(Compiler::Gcc, "-O0"), (Compiler::Gcc, "-O2"), (Compiler::Clang, "-O0"), (Compiler::Clang, "-O2")];

/// Runs a driven program under trace.
fn traced(binary: &Binary, probes: &[&str], calls: u32) -> (Vec<String>, Vec<String>) {
    let image = Image::new(binary, "/app/bin");
    let mut container = Container::driven(&image);
    let target = format!("container(\"{}\"):/app/bin", container.name());
    let script: Vec<String> = probes.iter().map(|probe| format!("probe {}", probe.replace("BIN", &target))).collect();
    let ctp = Running::attached(&script.join("\n"));
    container.call(calls);
    let output = ctp.interrupt();
    (sorted(container.printed()), sorted(output.lines()))
}

#[test]
fn arguments_of_marks_are_what_the_program_printed() {
    for (compiler, level) in BUILDS {
        let probes = [
            r#"BIN.mark("app", "start") { printf("start %d %d %d %d %d %s\n", arg(1), arg(2), arg(3), arg(4), arg(5), user_string(arg(6))) }"#,
            r#"BIN.mark("other", "start") { printf("other %d %d %d\n", arg(1), arg(2), arg(3)) }"#,
            r#"BIN.mark("tw*") { printf("twice %d\n", arg(1)) }"#,
            r#"BIN.mark("guarded") { printf("guarded %d\n", arg(1)) }"#,
        ];
        let (printed, traced) = traced(&Binary::compile("marks.c", compiler, &["-g", level]), &probes, 8);
        assert_eq!(traced, printed, "{compiler:?} {level}");
        // The program prints these only while the mark's semaphore is raised.
        assert_eq!(printed.iter().filter(|line| line.starts_with("guarded")).count(), 8);
    }
}

#[test]
fn marks_are_listed_where_readelf_sees_them() {
    let binary = Binary::compile("marks.c", Compiler::Gcc, &["-g", "-O2"]);
    let image = Image::new(&binary, "/app/bin");
    let container = Container::driven(&image);
    let listed = ctp(&["ls", &format!("container(\"{}\"):exe.mark(\"*\")", container.name())]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    let notes = run(Command::new("readelf").arg("--notes").arg(binary.path())).stdout;
    let (mut provider, mut name, mut expected) = ("", "", Vec::new());
    for line in notes.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("Provider: ") {
            provider = text;
        } else if let Some(text) = line.strip_prefix("Name: ") {
            name = text;
        } else if let Some(text) = line.strip_prefix("Location: 0x") {
            let address = u64::from_str_radix(text.split(',').next().unwrap(), 16).unwrap();
            expected.push(format!("{address:#x}  {provider}:{name}("));
        } else if let Some(text) = line.strip_prefix("Arguments: ") {
            expected.last_mut().unwrap().push_str(&format!("{})", text.trim()));
        }
    }
    assert_eq!(expected.len(), 5);
    for mark in expected {
        assert!(listed.stdout.contains(&mark), "{mark} in\n{}", listed.stdout);
    }
}

#[test]
fn variables_at_a_line_are_what_the_program_printed_there() {
    for compiler in [Compiler::Gcc, Compiler::Clang] {
        let probes = [
            r#"BIN.line("lines.c:10") { printf("9: i=%d square=%d\n", $i, $square) }"#,
            r#"BIN.line("programs/lines.c:13") { printf("12: total=%d\n", $total) }"#,
            r#"BIN.line("lines.c:18@half") { printf("18: n=%d\n", $n) }"#,
        ];
        let (printed, traced) = traced(&Binary::compile("lines.c", compiler, &["-g", "-O0"]), &probes, 5);
        assert_eq!(traced, printed, "{compiler:?}");
    }
}

#[test]
fn a_line_of_inlined_code_is_in_each_of_its_copies() {
    let probe = r#"BIN.line("lines.c:18") { printf("18: n=%d\n", $n) }"#;
    let (printed, traced) = traced(&Binary::compile("lines.c", Compiler::Gcc, &["-g", "-O2"]), &[probe], 5);
    let expected: Vec<String> = printed.into_iter().filter(|line| line.starts_with("18:")).collect();
    assert_eq!(traced, expected);
}

#[test]
fn lines_are_listed_at_addresses_that_addr2line_gives_back() {
    for (compiler, level) in BUILDS {
        let binary = Binary::compile("lines.c", compiler, &["-g", level]);
        let image = Image::new(&binary, "/app/bin");
        let container = Container::driven(&image);
        let mut seen = 0;
        for line in [7, 8, 10, 12, 18] {
            let point = format!("container(\"{}\"):/app/bin.line(\"lines.c:{line}\")", container.name());
            let listed = ctp(&["ls", &point]);
            for address in listed.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
                // Several statements may begin at one address: the line table has them all.
                let table = run(Command::new("objdump").arg("--dwarf=decodedline").arg(binary.path())).stdout;
                let has = table.lines().any(|row| {
                    let mut fields = row.split_whitespace();
                    fields.next() == Some("lines.c")
                        && fields.next() == Some(&line.to_string())
                        && fields.next() == Some(address)
                });
                // What stands at a function's beginning is moved behind its prologue.
                assert!(has, "line {line} at {address} of {compiler:?} {level}\n{}", listed.stdout);
                seen += 1;
            }
        }
        assert!(seen >= 5, "{compiler:?} {level}: {seen}");
    }
}

#[test]
fn an_address_is_hit_and_one_between_instructions_is_refused() {
    let binary = Binary::compile("lines.c", Compiler::Gcc, &["-g", "-O2"]);
    let address = binary.address_of("sum");
    let probe = format!("BIN.addr({address:#x}) {{ printf(\"%s %d\\n\", probefunc(), $n) }}");
    let (_, traced) = traced(&binary, &[&probe], 4);
    assert_eq!(traced, ["sum 0", "sum 1", "sum 2", "sum 3"]);

    let image = Image::new(&binary, "/app/bin");
    let container = Container::driven(&image);
    // The first instructions of `sum` and `main` are longer than a byte, or followed by one that is.
    let within =
        (1..16).map(|step| format!("container(\"{}\"):/app/bin.addr({:#x})", container.name(), address + step));
    let refused = within.filter(|point| ctp(&["ls", point]).stdout.is_empty()).count();
    assert!(refused > 3, "{refused}");
}

#[test]
fn wrong_lines_files_and_marks_name_what_is_near() {
    let binary = Binary::compile("marks.c", Compiler::Gcc, &["-g", "-O0"]);
    let image = Image::new(&binary, "/app/bin");
    let container = Container::driven(&image);
    for (what, code, near) in [
        (r#".line("marks.c:4")"#, "E0113", "the nearest lines that have: "),
        (r#".line("mark.c:4")"#, "E0113", "`marks.c`"),
        (r#".mark("app", "strat")"#, "E0114", "`app:start`"),
        (".addr(0x10)", "E0113", "no instruction"),
        (r#".line("marks.c")"#, "E0008", "file.c:42"),
    ] {
        let script = format!("probe container(\"{}\"):/app/bin{what} {{ println(1) }}", container.name());
        let output = ctp(&["check", "-e", &script]);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(1), "{what}\n{said}");
        assert!(said.contains(code) && said.contains(near), "{what}\n{said}");
    }
    let script = format!("probe container(\"{}\"):/app/bin.mark(\"twice\") {{ println(arg(2)) }}", container.name());
    let output = ctp(&["check", "-e", &script]);
    assert!(output.stdout.contains("the mark has 1 argument"), "{}{}", output.stdout, output.stderr);
}

#[test]
fn functions_without_debug_info_have_arguments_by_the_calling_convention() {
    let binary = Binary::compile("lines.c", Compiler::Gcc, &["-O2"]);
    let (_, traced) = traced(&binary, &[r#"BIN.fn("sum") { println(arg(1)) }"#], 4);
    assert_eq!(traced, ["0", "1", "2", "3"]);
}

#[test]
fn functions_are_listed_with_signature_line_and_address() {
    let binary = Binary::compile("marks.c", Compiler::Gcc, &["-g", "-O2"]);
    let image = Image::new(&binary, "/app/bin");
    let container = Container::driven(&image);
    let point = format!("container(\"{}\"):/app/bin.fn(\"w?rk\")", container.name());
    let listed = ctp(&["ls", "--types", &point]).stdout;
    assert!(listed.contains("void work(int i, struct thing * it)"), "{listed}");
    assert!(listed.contains(&format!("{:#x}", binary.address_of("work"))), "{listed}");
    assert!(listed.contains("marks.c:25"), "{listed}");
    // As gdb's `ptype /o struct thing` has them.
    assert!(listed.contains("short int kind;  at 8") && listed.contains("24 bytes"), "{listed}");
    let bare = ctp(&["ls", &format!("container(\"{}\")", container.name())]).stdout;
    assert!(bare.contains("/app/bin  debug info, 5 marks"), "{bare}");
}

#[test]
fn of_the_functions_that_a_glob_matches_those_that_cannot_be_probed_are_left_out_by_name() {
    let binary = Binary::compile("wide.c", Compiler::Gcc, &["-g", "-O2"]);
    let image = Image::new(&binary, "/app/bin");
    let mut container = Container::driven(&image);
    let target = container.name().to_owned();
    let point = |name: &str| format!("probe container(\"{target}\"):/app/bin.fn(\"{name}\")");
    let one = ctp(&["run", "--for", "5s", "-e", &format!("{} {{ println(1) }}", point("f_wide"))]);
    assert_eq!(one.code, Some(2), "{}", one.stderr);
    assert!(one.stderr.contains("E0404"), "{}", one.stderr);
    for suffix in ["", ".return"] {
        let script = format!("{}{suffix} {{ println(probefunc()) }}", point("f_*"));
        let ctp = Running::attached(&script);
        container.call(3);
        let output = ctp.interrupt();
        assert_eq!(output.lines().len(), 3, "{}", output.stdout);
        assert!(output.stdout.contains("f_plain") && !output.stdout.contains("f_wide"), "{}", output.stdout);
        assert!(output.stderr.contains("left out") && output.stderr.contains("f_wide"), "{}", output.stderr);
    }
}

/// What a script says first is done first, in each container and by whatever way probes are attached.
#[test]
fn probes_at_one_place_run_in_the_order_of_the_program() {
    let image = Image::new(&Binary::compile("marks.c", Compiler::Gcc, &["-g", "-O2"]), "/app/bin");
    for how in ["multi", "perf"] {
        let mut container = Container::driven(&image);
        let script: String = ["first", "second", "third"]
            .map(|word| {
                format!("probe container(\"{}\"):exe.fn(\"step\") {{ println(\"{word}\") }}\n", container.name())
            })
            .concat();
        let ctp = Running::attached_with(&["run", "--uprobe", how, "-e", &script]);
        container.call(2);
        assert_eq!(ctp.interrupt().lines(), ["first", "second", "third"].repeat(2), "{how}");
    }
}

/// Brackets in a name need not hold parameters: it is found by its name as it is, and listed whole.
#[test]
fn names_with_brackets_are_found_and_listed() {
    for (compiler, level) in [(Compiler::Gxx, "-O0"), (Compiler::Gxx, "-O2"), (Compiler::Clang, "-O2")] {
        let plus: &[&str] = if compiler == Compiler::Clang { &["--driver-mode=g++"] } else { &[] };
        let binary = Binary::compile("brackets.cpp", compiler, &[&["-g", level], plus].concat());
        let names = ["ns::(anonymous namespace)::hidden", "adder::operator()"];
        let probes = names.map(|name| format!("BIN.fn(\"{name}\") {{ printf(\"{name} %d\\n\", $n) }}"));
        let (printed, hit) = traced(&binary, &probes.each_ref().map(String::as_str), 3);
        assert_eq!(hit, printed, "{compiler:?} {level}");
        for name in names {
            let listed = ctp(&["ls", &format!("host:{}.fn(\"{name}\")", binary.path().display())]).stdout;
            assert!(listed.contains(&format!("int {name}(")), "{compiler:?} {level}: {listed}");
        }
    }
    let go = Binary::compile("tests/live/matrix/values.go", Compiler::Go, &[]);
    let listed = ctp(&["ls", &format!("host:{}.fn(\"main.(*Point).m_method\")", go.path().display())]).stdout;
    assert!(listed.contains(" main.(*Point).m_method("), "{listed}");
}

/// Parameters are written as in a source, as debug info has them, or as a demangler does; where none are those, all that
/// there are are named.
#[test]
fn functions_of_one_name_are_told_by_their_parameters() {
    for (compiler, level) in [(Compiler::Gxx, "-O0"), (Compiler::Gxx, "-O2"), (Compiler::Clang, "-O2")] {
        let plus: &[&str] = if compiler == Compiler::Clang { &["--driver-mode=g++"] } else { &[] };
        let binary = Binary::compile("overloads.cpp", compiler, &[&["-g", level], plus].concat());
        for (item, text) in [
            ("const shop::item &", "const char *, unsigned long"),
            ("shop::item const&", "char const*,unsigned long"),
            ("const shop::item&", "const char*, long unsigned int"),
        ] {
            let probes = [
                r#"BIN.fn("shop::price(int)") { printf("int %d\n", $n) }"#.to_owned(),
                format!(r#"BIN.fn("shop::price({item})") {{ printf("item %d\n", $one->number) }}"#),
                format!(r#"BIN.fn("shop::price({text})") {{ printf("text %s %d\n", user_string($text), $n) }}"#),
            ];
            let (printed, hit) = traced(&binary, &probes.each_ref().map(String::as_str), 3);
            assert_eq!(hit, printed, "{compiler:?} {level}");
        }
        let wrong = format!("host:{}.fn(\"shop::price(item)\")", binary.path().display());
        let said = ctp(&["ls", &wrong]).stderr;
        for name in ["shop::price(int)", "shop::price(shop::item const&)", "shop::price(char const*, unsigned long)"] {
            assert!(said.contains(&format!("`{name}`")), "{said}");
        }
    }
}

/// A call that comes through a thunk is one call of the function, whether the thunk goes on into that or is a copy of it.
#[test]
fn calls_through_thunks_are_hit_once() {
    for (compiler, level) in [(Compiler::Gxx, "-O0"), (Compiler::Gxx, "-O2"), (Compiler::Clang, "-O2")] {
        let plus: &[&str] = if compiler == Compiler::Clang { &["--driver-mode=g++"] } else { &[] };
        let binary = Binary::compile("thunks.cpp", compiler, &[&["-g", level], plus].concat());
        let probes = [
            r#"BIN.fn("all::one") { println("one") }"#,
            r#"BIN.fn("all::two") { println("two") }"#,
            r#"BIN.fn("all::three") { println("three") }"#,
            r#"BIN.fn("all::self") { println("self") }"#,
        ];
        let (printed, hit) = traced(&binary, &probes, 3);
        let words = |line: &String| line.split(' ').next().unwrap().to_owned();
        let called: Vec<String> = sorted(printed.iter().map(words));
        assert_eq!(hit, called, "{compiler:?} {level}");
        // By a glob, which leaves the thunks themselves out.
        let (printed, hit) = traced(&binary, &[r#"BIN.fn("*all::t*") { println($n) }"#], 3);
        let known = hit.iter().filter(|line| !line.starts_with('<')).count();
        let called = printed.iter().filter(|line| line.starts_with('t')).count();
        assert_eq!(hit.len(), called, "{compiler:?} {level}: {hit:?}");
        assert!(known > 0);
    }
}

/// Without debug info, too, a function of Go whose stack has to grow is hit once.
#[test]
fn calls_of_a_stripped_go_program_are_hit_once_while_their_stack_grows() {
    let whole = Binary::compile("returns.go", Compiler::Go, &[]);
    let stripped = Binary::compile("returns.go", Compiler::Go, &["-ldflags=-s -w"]);
    for binary in [whole, stripped] {
        let probes = [
            r#"BIN.fn("main.deep") { hits += 1 }"#,
            r#"BIN.fn("main.leaf") { println("leaf") }"#,
            "end { println(hits) } global hits",
        ];
        let (printed, hit) = traced(&binary, &probes, 3);
        let calls = |line: &String| line.strip_prefix("deep ")?.split(' ').next()?.parse::<u32>().ok().map(|n| n + 1);
        let calls: u32 = printed.iter().filter_map(calls).sum();
        assert!(calls > 3000 && hit.contains(&calls.to_string()), "{calls}: {hit:?}");
        assert_eq!(hit.iter().filter(|line| *line == "leaf").count(), 3);
    }
}
