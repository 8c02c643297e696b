//! Returns: what a function was given and gave back, however its calls end, and a program that goes on as if nobody
//! looked.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::Output;

/// Runs a program of `tests/fixtures/programs` under trace; what it printed and what ctp did, each sorted, and what ctp
/// said.
fn traced(source: &str, compiler: Compiler, flags: &[&str], probes: &[&str], calls: u32) -> Run {
    let image = Image::new(&Binary::compile(source, compiler, flags), "/app/bin");
    let mut container = Container::driven(&image);
    let target = format!("container(\"{}\"):/app/bin", container.name());
    let script: Vec<String> = probes.iter().map(|probe| format!("probe {}", probe.replace("BIN", &target))).collect();
    let ctp = Running::attached(&script.join("\n"));
    container.call(calls);
    let output = ctp.interrupt();
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert!(container.is_running(), "the traced program died");
    Run {
        printed: sorted(container.printed()),
        traced: sorted(output.lines().into_iter().map(str::to_owned).collect()),
        said: output.stderr,
    }
}

struct Run {
    printed: Vec<String>,
    traced: Vec<String>,
    said: String,
}

impl Run {
    /// What the program printed of one kind.
    fn of(&self, word: &str) -> Vec<String> {
        self.printed.iter().filter(|line| line.split(' ').next() == Some(word)).cloned().collect()
    }
}

const BUILDS: [(Compiler, &str); 4] =
    [(Compiler::Gcc, "-O0"), (Compiler::Gcc, "-O2"), (Compiler::Clang, "-O0"), (Compiler::Clang, "-O2")];

#[test]
fn every_call_of_a_recursion_200_deep_and_of_threads_returns_what_it_printed() {
    for (compiler, level) in BUILDS {
        let probe = r#"BIN.fn("deep").return { printf("deep %d = %d\n", @entry($n), $return) }"#;
        let run = traced("returns.c", compiler, &["-g", level], &[probe], 2);
        assert_eq!(run.traced, run.of("deep"), "{compiler:?} {level}");
        assert!(run.traced.len() > 300);
    }
}

#[test]
fn values_are_the_width_of_their_type_and_texts_those_of_the_entry() {
    for (compiler, level) in BUILDS {
        let probes = [
            r#"BIN.fn("narrow").return { printf("narrow %d = %d\n", @entry($n), $return) }"#,
            r#"BIN.fn("shout").return { printf("shout %s = %s\n", @entry($text), $return) }"#,
        ];
        let run = traced("returns.c", compiler, &["-g", level], &probes, 6);
        assert_eq!(run.traced, [run.of("narrow"), run.of("shout")].concat(), "{compiler:?} {level}");
    }
}

#[test]
fn a_call_that_longjmp_leaves_does_not_return_and_disturbs_no_other() {
    let probe = r#"BIN.fn("jumps").return { printf("jumps %d\n", $return) }"#;
    let run = traced("returns.c", Compiler::Gcc, &["-g", "-O2"], &[probe], 6);
    assert_eq!(run.of("jumps").len(), 6);
    assert_eq!(run.traced, ["jumps 0", "jumps 2", "jumps 4"]);
}

#[test]
fn a_call_that_ends_by_a_jump_into_another_function_ends_without_a_value() {
    let probes = [
        r#"BIN.fn("tail").return { printf("tail %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("through").return { printf("through %d\n", @entry($n)) }"#,
    ];
    for compiler in [Compiler::Gcc, Compiler::Clang] {
        let run = traced("returns.c", compiler, &["-g", "-O2", "-fno-pie"], &probes, 3);
        let expected: Vec<String> =
            (0..3).map(|n| format!("tail {n} = <fault>")).chain((0..3).map(|n| format!("through {n}"))).collect();
        assert_eq!(run.traced, expected, "{compiler:?}");
    }
}

#[test]
fn jumps_through_a_table_stay_in_the_function() {
    for (compiler, level) in BUILDS {
        let probe = r#"BIN.fn("table").return { printf("table = %d\n", $return) }"#;
        let run = traced("returns.c", compiler, &["-g", level, "-fcf-protection=none"], &[probe], 3);
        let mut expected: Vec<String> = run.of("table").into_iter().filter(|line| line != "table default").collect();
        expected.sort();
        assert_eq!(run.traced, expected, "{compiler:?} {level}");
        assert_eq!(run.traced.len(), 24);
    }
}

#[test]
fn a_function_that_is_its_return_instruction_is_entered_and_left_at_once() {
    let probes = [
        r#"BIN.fn("nothing").return { printf("nothing %d\n", @entry($n)) }"#,
        r#"BIN.fn("nothing") { entered++ }"#,
        "end { println(entered) }\nglobal entered",
    ];
    let run = traced("returns.c", Compiler::Gcc, &["-g", "-O2"], &probes, 3);
    assert_eq!(run.traced, ["3", "nothing 0", "nothing 1", "nothing 2"]);
}

#[test]
fn without_a_body_parameters_and_value_are_printed_and_the_time_is_the_calls() {
    let probes = [
        r#"BIN.fn("last").return"#,
        r#"BIN.fn("step").return { slow += elapsed() > 0 && elapsed() < 10s }"#,
        "end { println(\"slow \", slow) }\nglobal slow",
    ];
    let run = traced("returns.c", Compiler::Gcc, &["-g", "-O2"], &probes, 2);
    let mut expected: Vec<String> = run
        .of("last")
        .iter()
        .map(|line| line["last ".len()..].parse::<i32>().unwrap())
        .map(|n| format!("n={n} return={}", n + 1))
        .chain(["slow  2".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(run.traced, expected);
}

#[test]
fn a_program_that_throws_through_the_probed_function_goes_on_and_no_call_is_lost() {
    for level in ["-O0", "-O2"] {
        let probes = [
            r#"BIN.fn("middle").return { printf("middle %d = %d\n", @entry($n), $return) }"#,
            r#"BIN.fn("catcher").return { printf("catcher %d = %d\n", @entry($n), $return) }"#,
            r#"BIN.fn("counter::add").return { printf("add %d = %d\n", @entry($n), $return) }"#,
        ];
        let run = traced("throws.cpp", Compiler::Gxx, &["-g", level], &probes, 30);
        let expected: Vec<String> = run.printed.iter().filter(|line| !line.contains("caught")).cloned().collect();
        assert_eq!(run.traced, expected, "{level}");
        assert_eq!(run.of("middle").len(), 20);
        assert!(!run.said.contains("not seen"), "{}", run.said);
    }
}

/// Goroutines go from thread to thread, their stacks are moved, and panics leave functions.
#[test]
fn calls_of_goroutines_return_what_they_printed() {
    let probes = [
        r#"BIN.fn("main.leaf").return { printf("leaf %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("main.two").return { printf("two %d = %d %s\n", @entry($n), $return.r0, $return.r1.tab ? "true" : "false") }"#,
        r#"BIN.fn("main.named").return { printf("named %d = %s %s\n", @entry($n), $return.text, $return.ok) }"#,
        r#"BIN.fn("main.structure").return {
            printf("structure %d = %d %s %d %s\n", @entry($n), $return.a, $return.b, $return.c[0], $return.d)
        }"#,
        r#"BIN.fn("main.many").return {
            printf("many %d = %d %d %d %d %s\n", @entry($n), $return.a, $return.b, $return.c, $return.d, $return.f)
        }"#,
        r#"BIN.fn("main.recovers").return { printf("recovers %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("main.fails").return { printf("fails %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("main.deep").return { printf("deep %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("main.yields").return { printf("yields %d = %d\n", @entry($n), $return) }"#,
    ];
    let run = traced("returns.go", Compiler::Go, &[], &probes, 5);
    for word in ["leaf", "two", "named", "structure", "many", "recovers", "fails", "yields"] {
        let traced: Vec<&String> = run.traced.iter().filter(|line| line.split(' ').next() == Some(word)).collect();
        assert_eq!(traced, run.of(word).iter().collect::<Vec<_>>(), "{}", run.said);
        assert!(!traced.is_empty(), "{word}");
    }
    // Every call of each recursion returns, down to 0: as often as the program went as deep or deeper.
    let depths: Vec<usize> = run.of("deep").iter().filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect();
    assert_eq!(depths.iter().max(), Some(&1004));
    let returned = run.traced.iter().filter(|line| line.starts_with("deep ")).count();
    assert_eq!(returned, depths.iter().map(|depth| depth + 1).sum::<usize>(), "{}", run.said);
    assert!(run.of("deep").iter().all(|line| run.traced.contains(line)), "{}", run.said);
    assert!(!run.said.contains("not seen"), "{}", run.said);
}

#[test]
fn inlined_calls_have_no_return_and_that_is_said() {
    let image = Image::new(&Binary::compile("inlined.c", Compiler::Gcc, &["-g", "-O2"]), "/app/inlined");
    let container = Container::driven(&image);
    let point = |function: &str| format!("container(\"{}\"):/app/inlined.fn(\"{function}\").return", container.name());
    let script = format!("probe {} {{ println($return) }}", point("mix"));
    let output = ctp(&["check", "-e", &script]);
    assert_eq!(output.code, Some(1));
    assert!(said(&output).contains("E0112"), "{}", said(&output));
    assert!(said(&output).contains("leave out `.return`"), "{}", said(&output));
    let script = format!("probe {} {{ println($return) }}", point("step"));
    let output = ctp(&["check", "-e", &script]);
    assert!(said(&output).contains("`step` returns nothing"), "{}", said(&output));
}

#[test]
fn what_belongs_to_a_return_is_refused_elsewhere() {
    let image = Image::new(&Binary::compile("returns.c", Compiler::Gcc, &["-g", "-O2"]), "/app/bin");
    let container = Container::driven(&image);
    let script = format!(
        "probe container(\"{}\"):/app/bin.fn(\"deep\") {{\n println($return)\n println(elapsed())\n \
         println(@entry($n))\n}}",
        container.name()
    );
    let output = ctp(&["check", "-e", &script]);
    assert_eq!(output.code, Some(1));
    assert_eq!(said(&output).matches("error[E0206]").count(), 3, "{}", said(&output));
}

fn said(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[test]
fn structs_returned_by_value_are_what_the_program_printed() {
    for (compiler, level) in BUILDS {
        let probes = [
            r#"BIN.fn("pair").return { printf("pair %d %d\n", $return.a, $return.b) }"#,
            r#"BIN.fn("small").return { printf("small %d %d %u\n", $return.a, $return.b, $return.c) }"#,
            r#"BIN.fn("three").return { printf("three %d %d %d\n", $return.v[0], $return.v[1], $return.v[2]) }"#,
            r#"BIN.fn("big").return { printf("big %d %d %s\n", $return.a, $return.b[5], $return.text) }"#,
            r#"BIN.fn("mixed").return { printf("mixed %d\n", $return.n) }"#,
            r#"BIN.fn("bits").return { printf("bits %u %d %d\n", $return.a, $return.b, $return.c) }"#,
            r#"BIN.fn("packed").return { printf("packed %d %d\n", $return.a, $return.b) }"#,
            r#"BIN.fn("either").return { printf("either %d %s\n", $return.n, $return.text) }"#,
            r#"BIN.fn("nested").return { printf("nested %d %d %d\n", $return.at.x, $return.at.y, $return.either.n) }"#,
        ];
        let run = traced("structs.c", compiler, &["-g", level], &probes, 4);
        let printed: Vec<String> = run.printed.iter().filter(|line| !line.starts_with("floating")).cloned().collect();
        assert_eq!(run.traced, printed, "{compiler:?} {level}: {}", run.said);
        assert_eq!(run.traced.len(), 36);
    }
}

/// LLVM need not return the address of a result in memory where it knows all callers: then it is the one that the function
/// was given, and never what else the register leads to.
#[test]
fn structs_of_functions_whose_callers_are_known_are_the_right_ones() {
    let builds: [(Compiler, &[&str]); 7] = [
        (Compiler::Gcc, &["-O2"]),
        (Compiler::Gcc, &["-O3", "-flto"]),
        (Compiler::Clang, &["-O0"]),
        (Compiler::Clang, &["-O1"]),
        (Compiler::Clang, &["-O2"]),
        (Compiler::Clang, &["-O3"]),
        (Compiler::Clang, &["-O2", "-flto", "-fuse-ld=lld"]),
    ];
    for (compiler, flags) in builds {
        let probes = ["copied", "shared"].map(|name| {
            format!(
                "BIN.fn(\"{name}\").return {{ printf(\"{name} %d %d %s\\n\", $return.a, $return.b[5], $return.text) }}"
            )
        });
        let probes = probes.each_ref().map(String::as_str);
        let run = traced("callers.c", compiler, &[&["-g"], flags].concat(), &probes, 5);
        for name in ["copied", "shared"] {
            let of: Vec<String> = run.traced.iter().filter(|line| line.starts_with(name)).cloned().collect();
            assert_eq!(of, run.of(name), "{compiler:?} {flags:?}: {}", run.said);
            assert_eq!(of.len(), 5, "{compiler:?} {flags:?}");
        }
    }
}

/// Where no caller uses what a function gives, the compiler lets it give nothing, and only the code tells.
#[test]
fn what_no_caller_uses_is_the_right_value_or_none() {
    for (compiler, level) in [
        (Compiler::Gcc, "-O0"),
        (Compiler::Gcc, "-O2"),
        (Compiler::Gcc, "-O3"),
        (Compiler::Clang, "-O0"),
        (Compiler::Clang, "-O2"),
        (Compiler::Clang, "-O3"),
    ] {
        let probes = [
            r#"BIN.fn("unused").return { printf("unused %d\n", $return) }"#,
            r#"BIN.fn("used").return { printf("used %d\n", $return) }"#,
        ];
        let run = traced("callers.c", compiler, &["-g", level], &probes, 5);
        let of = |word: &str| -> Vec<&String> { run.traced.iter().filter(|line| line.starts_with(word)).collect() };
        assert_eq!(of("used "), run.of("used").iter().collect::<Vec<_>>(), "{compiler:?} {level}: {}", run.said);
        let unused = of("unused ");
        assert_eq!(unused.len(), 5);
        if level == "-O0" {
            assert_eq!(unused, run.of("unused").iter().collect::<Vec<_>>(), "{compiler:?} {level}");
        } else {
            assert!(unused.iter().all(|line| *line == "unused <optimized out>"), "{compiler:?} {level}: {unused:?}");
        }
    }
}

#[test]
fn classes_returned_by_value_are_what_the_program_printed() {
    // gcc's debug info does not tell which classes are trivial: those of more than 16 bytes are in memory either way.
    let clang = [Compiler::Clang; 2].into_iter().zip(["-O0", "-O2"]);
    for (compiler, level) in clang.chain([Compiler::Gxx; 2].into_iter().zip(["-O0", "-O2"])) {
        let probes = [
            r#"BIN.fn("make_string").return { printf("string %s\n", $return) }"#,
            r#"BIN.fn("make_derived").return {
                printf("derived %d %d %d %d\n", $return.id, $return.kind, $return.on, $return.value)
            }"#,
            r#"BIN.fn("make_secret").return { printf("secret %d %d\n", $return.a, $return.b) }"#,
            r#"BIN.fn("make_counted").return { printf("counted %d %d\n", $return.n, $return.m) }"#,
            r#"BIN.fn("make_virtuals").return { printf("virtuals %d\n", $return.n) }"#,
        ];
        let (flags, probes): (&[&str], &[&str]) = match compiler {
            Compiler::Clang => (&["-g", level, "--driver-mode=g++", "-fstandalone-debug"], &probes),
            Compiler::Gcc | Compiler::Gxx | Compiler::Go | Compiler::Rust => (&["-g", level], &probes[..1]),
        };
        let run = traced("classes.cpp", compiler, flags, probes, 4);
        let expected = if probes.len() == 1 { run.of("string") } else { run.printed.clone() };
        assert_eq!(run.traced, expected, "{compiler:?} {level}: {}", run.said);
        assert_eq!(run.traced.len(), 4 * probes.len());
    }
}

#[test]
fn what_rust_returns_by_value_is_what_the_program_printed_or_refused() {
    for level in ["-Copt-level=0", "-Copt-level=2", "-Copt-level=3"] {
        let probes = [
            r#"BIN.fn("results::pair").return { printf("pair %d %d\n", $return.a, $return.b) }"#,
            r#"BIN.fn("results::small").return { printf("small %d %d %s\n", $return.a, $return.b, $return.c ? "true" : "false") }"#,
            r#"BIN.fn("results::wrapped").return { printf("wrapped %d\n", $return.__0) }"#,
            r#"BIN.fn("results::large").return {
                printf("large %d %d %d %s\n", $return.a, $return.b[4], $return.c, $return.name)
            }"#,
            r#"BIN.fn("results::outcome").return { println("outcome", $return) }"#,
            r#"BIN.fn("results::tuple").return { printf("tuple %d %d\n", $return.__0, $return.__1) }"#,
            r#"BIN.fn("results::text").return { printf("text %s\n", $return) }"#,
            r#"BIN.fn("results::slice").return { printf("slice %s\n", $return) }"#,
            r#"BIN.fn("results::foreign").return { printf("foreign %d %d\n", $return.a, $return.b) }"#,
            r#"BIN.fn("results::halves").return { println("halves ", $return) }"#,
            r#"BIN.fn("results::maybe").return { println("maybe ", $return) }"#,
            r#"BIN.fn("results::counted").return { printf("counted %s\n", $return) }"#,
            r#"BIN.fn("results::ignored").return { printf("ignored %d\n", $return) }"#,
            r#"BIN.fn("results::always").return { printf("always %d\n", $return) }"#,
            r#"BIN.fn("results::forwarded").return { printf("forwarded %d\n", $return.a) }"#,
        ];
        let run = traced("results.rs", Compiler::Rust, &["-Coverflow-checks=off", level], &probes, 4);
        let of = |line: &String, words: &[&str]| words.iter().any(|word| line.starts_with(word));
        // What no caller uses is returned where nothing was optimised.
        let unused: &[&str] = if level.ends_with('0') { &[] } else { &["counted", "ignored", "always"] };
        let refused = |line: &&String| of(line, &["halves", "maybe"]) || of(line, unused);
        let printed: Vec<String> = run.printed.iter().filter(|line| !refused(line)).cloned().collect();
        let (unknown, traced): (Vec<&String>, Vec<&String>) = run.traced.iter().partition(refused);
        assert_eq!(traced, printed.iter().collect::<Vec<_>>(), "{level}: {}", run.said);
        assert!(
            unknown.len() == 12 + 4 * unused.len() && unknown.iter().all(|line| line.ends_with("<optimized out>")),
            "{level}: {unknown:?}"
        );
    }
}

#[test]
fn what_a_vector_register_returns_is_said_to_be_unavailable() {
    let probes = [
        r#"BIN.fn("mixed").return { print($return) }"#,
        r#"BIN.fn("pair").return { print($return) }"#,
        r#"BIN.fn("floating").return { printf("%f\n", $return) }"#,
    ];
    let run = traced("structs.c", Compiler::Gcc, &["-g", "-O2"], &probes, 2);
    let expected = [
        "{.a=-1, .b=1000000007}{.d=<unavailable: xmm>, .n=11}<unavailable: xmm>",
        "{.a=0, .b=0}{.d=<unavailable: xmm>, .n=0}<unavailable: xmm>",
    ];
    assert_eq!(run.traced, expected, "{}", run.said);
}

/// Whole values are those of the entry, whatever the function has left where they were.
#[test]
fn whole_values_of_the_entry_are_what_the_program_printed() {
    for (compiler, level) in BUILDS {
        let probe = r#"BIN.fn("ship").return {
            printf("order %s\n", @entry(*$order))
            printf("old %s\n", @entry($old))
            printf("pair %s\n", @entry($pair))
            printf("price %.1f %.3f %e\n", @entry(*$order)->price, @entry($order->price), @entry(*$order).price)
            printf("gives %d\n", $return)
        }"#;
        let run = traced("orders.c", compiler, &["-g", level], &[probe], 5);
        // Of a struct in two registers gcc's optimised code says where it is only behind the entry.
        let gone = (compiler, level) == (Compiler::Gcc, "-O2");
        let expected = run.printed.iter().map(|line| match gone && line.starts_with("pair ") {
            true => "pair <optimized out>".to_owned(),
            false => line.clone(),
        });
        assert_eq!(run.traced, expected.collect::<Vec<_>>(), "{compiler:?} {level}: {}", run.said);
        assert_eq!(run.traced.len(), 25);
    }
    let probe = r#"BIN.fn("ship").return { printf("order %s\n", $order$); printf("order %s\n", @entry($order)$$) }"#;
    let run = traced("orders.c", Compiler::Gcc, &["-g", "-O2"], &[probe], 3);
    let twice: Vec<String> = run.of("order").into_iter().flat_map(|line| [line.clone(), line]).collect();
    assert_eq!(run.traced.len(), 6);
    assert_eq!(run.traced[1..].iter().step_by(2).collect::<Vec<_>>(), twice[1..].iter().step_by(2).collect::<Vec<_>>());
    assert!(run.traced[0].contains(".place={...}") && run.said.contains("W0007"), "{:?}\n{}", run.traced, run.said);
    let run = traced("orders.c", Compiler::Gcc, &["-g", "-O2"], &[r#"BIN.fn("ship").return"#], 2);
    let first = |word: &str| run.of(word)[0].split_once(' ').unwrap().1.to_owned();
    let line = &run.traced[0];
    assert!(line.contains(&format!(" pair={} old={} return=", "<optimized out>", first("old"))), "{line}");
}

#[test]
fn whole_values_of_the_entry_keep_the_texts_and_sequences_in_them() {
    for level in ["-Copt-level=0", "-Copt-level=2"] {
        // On entry too: texts of a variant that is not there are no faults.
        let probes = [
            r#"BIN.fn("settle").return { printf("ledger %s\n", @entry(*$ledger)) }"#,
            r#"BIN.fn("settle") { printf("now ledger %s\n", *$ledger) }"#,
        ];
        let run = traced("ledger.rs", Compiler::Rust, &["-Coverflow-checks=off", level], &probes, 6);
        assert_eq!(run.traced[..6], run.printed, "{level}: {}", run.said);
        let now: Vec<&str> = run.traced[6..].iter().filter_map(|line| line.strip_prefix("now ")).collect();
        assert_eq!(now, run.printed, "{level}: {}", run.said);
        assert!(run.said.contains("12 records, 0 lost, 0 faults in"), "{}", run.said);
    }
}
