//! The addresses: what `stap -p2` prints as `pc=` is where gdb breaks.

use ctp_lang::debuginfo::facts::{AddressRule, SiteKind};
use ctp_lang::emit::stap::{Options, emit};
use ctp_lang::ir::{Exits, ExprKind, FileIndex, Program, Returns, Show, Ty, Variant};

use crate::programs::{
    expr, handler, in_memory, in_register, print, probe, program, shown, site, sources, variants, words,
};
use crate::sample::Sample;
use crate::stap::{Answer, Root};
use crate::world::{Samples, checked};

const HELLO: &str = "probe container(\"web\"):/app/test_app.fn(\"my_function\") {\n    printf(\"Entered my_function with argument: %d\\n\", $arg)\n}\n";

#[test]
fn hello_probes_where_gdb_breaks() {
    for (compiler, options, rule) in [
        ("gcc", &["-O0"][..], AddressRule::SecondLine),
        ("gcc", &["-O2"], AddressRule::LowPc),
        ("gcc", &["-O0", "-no-pie"], AddressRule::SecondLine),
        ("clang", &["-O0"], AddressRule::PrologueEnd),
        ("clang", &["-O2"], AddressRule::PrologueEnd),
    ] {
        let sample = Sample::build(compiler, options);
        let meant = sample.breakpoints("my_function");
        let sites = meant.iter().map(|pc| site("my_function", *pc, SiteKind::OutOfLine, rule)).collect();
        let body = vec![print(vec![
            words("Entered my_function with argument: "),
            shown(in_memory("arg", vec![]), Show::Signed),
            words("\n"),
        ])];
        let script = emit(&program(vec![probe(sites, body)]), &sources(HELLO), &Options::default()).expect("a script");
        assert!(script.points.iter().map(|point| point.address).eq(meant.iter().copied()));
        let answer = Root::with(&[&sample.path]).stap(&script.text, &["-p2", "-v"]).accepted(&script.text);
        assert_eq!(answer.addresses("/run/ctp/t0"), meant, "{compiler} {options:?}");
        assert!(answer.out.contains("function(\"my_function@"), "{}", answer.out);
    }
}

fn inlined(into: &str) -> SiteKind {
    SiteKind::Inlined { into: into.to_owned(), call: None }
}

/// The script of a program for a sample, and what stap makes of it.
fn translated(program: &Program, options: &Options, sample: &Sample) -> (String, Answer) {
    let script = emit(program, &sources(HELLO), options).expect("a script");
    let answer = Root::with(&[&sample.path]).stap(&script.text, &["-p2", "-v"]).accepted(&script.text);
    let meant: Vec<u64> = script.points.iter().map(|point| point.address).collect();
    assert_eq!(answer.addresses("/run/ctp/t0"), meant, "{}", script.text);
    (script.text, answer)
}

#[test]
fn a_function_and_its_inlined_instances_are_one_point() {
    for compiler in ["gcc", "clang"] {
        let sample = Sample::build(compiler, &["-O2"]);
        let sites: Vec<_> = sample
            .breakpoints("small")
            .into_iter()
            .map(|pc| site("small", pc, inlined("main"), AddressRule::InlineEntry))
            .collect();
        assert_eq!(sites.len(), 2, "small is called twice");
        let own = sample.breakpoints("my_function");
        let mut both = sites.clone();
        both.extend(own.iter().map(|pc| site("my_function", *pc, SiteKind::OutOfLine, AddressRule::PrologueEnd)));
        let body = vec![print(vec![words("called\n")])];
        let (text, _) = translated(&program(vec![probe(both, body)]), &Options::default(), &sample);
        assert!(text.contains("process(\"/run/ctp/t0\").function(\"small\").inline,\n"), "{text}");
        assert!(text.contains("process(\"/run/ctp/t0\").function(\"my_function\").call {"), "{text}");
        assert_eq!(text.matches("\nprobe ").count(), 1, "{text}");
    }
}

#[test]
fn a_name_is_of_the_function_meant_where_two_begin_at_one_address() {
    // clang: outer and inner, both inlined into wrapper, begin at the same instruction, and each has its `x`.
    let sample = Sample::build("clang", &["-O2"]);
    let mut values = Vec::new();
    for function in ["outer", "inner"] {
        let pc = sample.breakpoints(function);
        let sites = pc.iter().map(|pc| site(function, *pc, inlined("wrapper"), AddressRule::InlineEntry)).collect();
        let body = vec![print(vec![shown(in_register("x", 5), Show::Signed), words("\n")])];
        let (_, answer) = translated(&program(vec![probe(sites, body)]), &Options::default(), &sample);
        values.push(answer.getter("x").expect("stap reads x").to_owned());
    }
    assert!(!values[0].contains("100"), "outer's x is q: {values:?}");
    assert!(values[1].contains("100"), "inner's x is q + 100: {values:?}");
}

#[test]
fn instances_with_different_code_go_by_address_and_compute_their_values() {
    let sample = Sample::build("gcc", &["-O2"]);
    let at = sample.breakpoints("small");
    let variant = |pc: u64, register: u16| Variant {
        sites: vec![site("small", pc, inlined("main"), AddressRule::InlineEntry)],
        returns: None,
        frame: None,
        handler: handler(vec![print(vec![shown(in_register("x", register), Show::Signed), words("\n")])]),
    };
    let lone = Variant {
        sites: vec![site("small", at[1], inlined("main"), AddressRule::InlineEntry)],
        returns: None,
        frame: None,
        handler: handler(vec![print(vec![words("<optimized out>\n")])]),
    };
    let (text, _) = translated(&program(vec![variants(vec![variant(at[0], 3), lone])]), &Options::default(), &sample);
    assert!(text.contains("(register(\"rbx\") << 32) >> 32"), "{text}");
    assert!(!text.contains("$x\""), "{text}");
}

#[test]
fn an_address_that_stap_would_not_choose_is_probed_as_it_is() {
    let sample = Sample::build("gcc", &["-O0"]);
    let first = sample.symbol("my_function");
    let chosen = sample.breakpoints("my_function");
    assert_ne!(chosen, [first], "gdb and stap skip the prologue");
    let sites = vec![site("my_function", first, SiteKind::OutOfLine, AddressRule::LowPc)];
    let body = vec![print(vec![shown(in_register("arg", 5), Show::Signed), words("\n")])];
    let options = Options { by_address: [(FileIndex(0), first)].into(), ..Options::default() };
    let (text, _) = translated(&program(vec![probe(sites, body)]), &options, &sample);
    assert!(text.contains(".statement("), "{text}");
    assert!(text.contains("register(\"rdi\")"), "{text}");
}

#[test]
fn a_program_without_debug_info_is_probed_by_symbol() {
    let sample = Sample::build("gcc", &["-O2", "-g0"]);
    let pc = sample.symbol("my_function");
    let sites = vec![site("my_function", pc, SiteKind::Symbol, AddressRule::Symbol)];
    translated(&program(vec![probe(sites, vec![print(vec![words("called\n")])])]), &Options::default(), &sample);
}

/// The addresses of a mark, as readelf prints the notes.
fn marks(sample: &Sample, name: &str) -> Vec<u64> {
    let output = std::process::Command::new("readelf").args(["-W", "-n"]).arg(&sample.path).output();
    let text = String::from_utf8_lossy(&output.expect("readelf starts").stdout).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let named = lines.windows(2).filter(|pair| pair[0] == format!("Name: {name}"));
    let mut found: Vec<u64> = named
        .map(|pair| {
            let place = pair[1].strip_prefix("Location: 0x").and_then(|rest| rest.split(',').next());
            u64::from_str_radix(place.expect("a location"), 16).expect("an address")
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn marks_that_begin_no_statement_are_probed_by_their_names() {
    let sample = Sample::of("marks.c", "gcc", &["-O2"]);
    let world = Samples(vec![("/app/bin", sample.path.clone())]);
    let at = [marks(&sample, "priced"), marks(&sample, "summed")];
    assert_eq!([at[0].len(), at[1].len()], [1, 2]);
    let by_address = format!("probe process(\"/run/ctp/t0\").statement({:#x}) {{ println(1) }}", at[0][0]);
    let refused = Root::with(&[&sample.path]).stap(&by_address, &["-p2"]);
    assert!(refused.err.contains("does not match the beginning of a statement"), "{}", refused.err);
    for (name, meant) in ["priced", "summed"].iter().zip(&at) {
        let text = format!("probe container(\"web\").mark(\"shop\", \"{name}\") {{ println(arg(1), arg(2)) }}");
        let (sources, program) = checked("marks.ctp", &text, &world);
        let script = emit(&program, &sources, &Options::default()).expect("a script");
        let answer = Root::with(&[&sample.path]).stap(&script.text, &["-p2", "-v"]).accepted(&script.text);
        let mut found = answer.addresses("/run/ctp/t0");
        found.dedup();
        assert_eq!((&found, script.points.len()), (meant, meant.len()), "{}", script.text);
        let points = script.text.matches(&format!(".provider(\"shop\").mark(\"{name}\") {{")).count();
        assert_eq!(points, meant.len(), "{}", script.text);
        // What stands at one of several places runs at that one only.
        for address in meant.iter().filter(|_| meant.len() > 1) {
            let own = format!("if ((uaddr() & 0xfff) != {:#x}) next", address & 0xfff);
            assert_eq!(script.text.matches(&own).count(), 1, "{own} in\n{}", script.text);
        }
    }
}

/// SystemTap's return probes end a program that unwinds through the function: only where its code proves that nothing does
/// there is one.
#[test]
fn the_return_of_what_may_be_unwound_through_is_refused() {
    let sample = Sample::build("gcc", &["-O2"]);
    let returning = |uretprobe: Result<(), String>| {
        let pc = sample.breakpoints("my_function")[0];
        let mut returned = site("my_function", pc, SiteKind::OutOfLine, AddressRule::LowPc);
        let frame = expr(Ty::Int, ExprKind::Int(8));
        returned.exits = Some(Exits { frame, places: Vec::new(), unwinds: true, goroutine: false, uretprobe });
        let handler = handler(vec![print(vec![words("returned\n")])]);
        let returns = Some(Returns::default());
        program(vec![variants(vec![Variant { sites: vec![returned], handler, returns, frame: None }])])
    };
    let script = emit(&returning(Ok(())), &sources(HELLO), &Options::default()).expect("a script").text;
    let answer = Root::with(&[&sample.path]).stap(&script, &["-p2", "-v"]).accepted(&script);
    assert!(answer.out.contains(".return"), "{}", answer.out);
    let why = "it calls through a register";
    let refused = emit(&returning(Err(why.to_owned())), &sources(HELLO), &Options::default()).expect_err("refused");
    let note = refused[0].notes.concat();
    assert!(refused.len() == 1 && note.contains("unwinds through it") && note.contains(why), "{refused:?}");
}
