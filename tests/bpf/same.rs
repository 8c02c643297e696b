//! The same program on the same hits gives the same in the kernel and in the interpreter: a table of cases, each a
//! handler on one function of one program, and the interpreter on what that program says it called it with.

mod cases;
mod constructs;
mod kept;
mod terms;

use std::collections::HashMap;

use ctp::engine::{Counters, Engine};
use ctp_lang::debuginfo::facts::Register;
use ctp_lang::interpret::recorded::Recorded;
use ctp_lang::interpret::{self, Stop};
use ctp_lang::ir::*;
use ctp_lang::value::Value;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};
use cases::{cases, functions};
use terms::*;

/// Calls `f`, and says with what: its arguments, the bytes of the text with its NUL, and 64 bytes at `p`.
const TARGET: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct pair { int a; short b; char c; double d; float e; unsigned char address[16]; long more[3]; };
__attribute__((noipa)) void f(long n, const char *s, long m, void *p) {
    asm volatile("" :: "r"(n), "r"(s), "r"(m), "r"(p) : "memory");
}
static void hex(const void *p, int n) { for (int i = 0; i < n; i++) printf("%02x", ((const unsigned char *)p)[i]); }
static void call(long n, const char *text, long m) {
    char *s = strdup(text);
    struct pair *p = calloc(1, 64);
    *p = (struct pair){ (int)n, (short)m, 'x', n / 8.0, -1.5f, {0x20, 1, 0xd, 0xb8, [15] = (unsigned char)n}, {n, m, -1} };
    printf("%ld %p %ld %p ", n, (void *)s, m, (void *)p);
    hex(s, strlen(s) + 1); printf(" "); hex(p, 64); printf("\n");
    f(n, s, m, p);
}
int main(void) {
    getchar();
    char longest[400];
    memset(longest, 'y', sizeof longest); longest[399] = 0;
    call(0, "", 0);
    call(1, "1", 1);
    call(-1, "-17 apples", 10);
    call(7, "  0x1fz", 16);
    call(12, "hello, world", 3);
    call(3, "0777", 0);
    call(5, "99999999999999999999999", 10);
    call(20, "\t+zZ9", 36);
    call(64, "ab\"c\n", -2);
    call(2, longest, 255);
    call(-9223372036854775807L - 1, "-9223372036854775809", 10);
    call(9223372036854775807L, "world", 9223372036854775807L);
    call(0x0100007f, "o, w", 0x5000);
    call(100, "hello", 1000000007);
    printf("0 0x10 1 0x10 00 00\n");
    f(0, (char *)16, 1, (void *)16);
    return 0;
}
"#;

fn case<'a>(binary: &'a Binary, web: &OwnCgroup) -> Case<'a> {
    use Ty::{Int, Str};
    let linear = |low, high, step| Linear { low, high, step };
    let mut case = Case::new(&[binary], vec![web.container()])
        .map("filled", &[Int, Str], Int, None)
        .number("tries")
        .map("texts", &[Str], Int, None)
        .map("deleted", &[Int, Str], Int, None)
        .number("ten")
        .string("last", "none")
        .stats("all", &[], StatsShape { log: true, linear: vec![linear(0, 100, 10), linear(-5, 5, 1)] })
        .stats("by_text", &[Str], StatsShape::default())
        .stats("by_two", &[Int, Str], StatsShape { log: true, linear: vec![linear(-100, 100, 50)] })
        .stats("plain", &[], StatsShape::default())
        .stats("ranks", &[], StatsShape { log: true, linear: vec![] })
        .number("set")
        .stats("ranks_by_two", &[Int, Str], StatsShape { log: true, linear: vec![] })
        .stats("deleted_small", &[], StatsShape::default())
        .stats("deleted_log", &[], StatsShape { log: true, linear: vec![linear(0, 100, 10)] });
    let names = [(0, "NOTHING"), (7, "SEVEN"), (-1, "LESS"), (7, "ALSO_SEVEN"), (1_000_000_007, "A_PRIME")];
    // As many as Postgres has kinds of nodes, with gaps between them, and the extremes.
    let many = (0..500).map(|nth| ((nth * 7919) % 1013 - 200, format!("N{}", "x".repeat(nth as usize % 40))));
    let many =
        many.chain([(i64::MIN, "LEAST".to_owned()), (i64::MAX, "M".repeat(300)), (1_000_000_007, "P".to_owned())]);
    case.program.enums = vec![
        EnumNames { name: None, names: names.into_iter().map(|(value, name)| (value, name.to_owned())).collect() },
        EnumNames { name: None, names: many.collect() },
    ];
    case.program.functions = functions();
    case.program.layouts = vec![Layout::Words("whole".to_owned())];
    for (_, body) in cases() {
        let types = [Ty::Int, Ty::Int, Ty::Int, Ty::Int, Ty::Str, Ty::Str];
        let locals = types.iter().map(|ty| Local { name: "l".to_owned(), ty: *ty }).collect();
        case = case.probe_handler(&[(0, "f", &[0])], Handler { locals, condition: None, body });
    }
    case
}

/// Registers and memory at a call.
type Call = (HashMap<Register, i64>, Vec<(u64, Vec<u8>)>);

/// The calls, as the program describes them.
fn calls(printed: &str) -> Vec<Call> {
    let address = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    printed
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let (s, p) = (address(words[1]), address(words[3]));
            let registers = HashMap::from([
                (Register(5), words[0].parse().unwrap()),
                (Register(4), s.cast_signed()),
                (Register(1), words[2].parse().unwrap()),
                (Register(2), p.cast_signed()),
            ]);
            let memory = if s == 16 { Vec::new() } else { vec![(s, bytes(words[4])), (p, bytes(words[5]))] };
            (registers, memory)
        })
        .collect()
}

/// Values in words.
fn shown_whole(values: &[Value]) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Str { bytes, truncated } => format!("{:?} ({truncated})", String::from_utf8_lossy(bytes)),
        other => format!("{other:?}"),
    };
    values.iter().map(text).collect()
}

#[test]
fn every_construct_is_in_the_table() {
    let (cases, functions) = (cases(), functions());
    let bodies = cases.iter().map(|(_, body)| body).chain(functions.iter().map(|function| &function.body));
    assert_eq!(constructs::missing(bodies.map(Vec::as_slice)), Vec::<&str>::new());
}

#[test]
fn every_construct_gives_in_the_kernel_what_it_gives_in_the_interpreter() {
    let (binary, web) = (Binary::c(TARGET, &["-O2"]), OwnCgroup::new("web"));
    let case = case(&binary, &web);
    let mut running = web.start(&binary, &[]);
    let options = ctp_lang::emit::bpf::Options { max_steps: 300, ..Default::default() };
    let mut engine = case.start_with(&options);
    running.go();
    let printed = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    let counters = engine.counters().unwrap();

    let program = &case.program;
    let mut machine = Recorded::new(program);
    machine.max_steps = 300;
    let calls = calls(&printed);
    assert_eq!(calls.len(), 15);
    let mut wrong = Vec::new();
    for (index, (name, _)) in (0u32..).zip(cases()) {
        let ProbeKind::Sites(variants) = &program.probes[index as usize].kind else { panic!() };
        let mut expected = Counters::default();
        let mut outputs: Vec<Vec<Vec<Value>>> = Vec::new();
        for (registers, memory) in &calls {
            (machine.registers, machine.memory) = (registers.clone(), memory.clone());
            match interpret::run(program, &variants[0].handler, &mut machine) {
                Ok(run) if run.prints.is_empty() => expected.aggregated += 1,
                Ok(run) => {
                    expected.records += 1;
                    outputs.push(run.prints.into_iter().map(|(_, values)| values).collect());
                }
                Err(Stop::StepLimit(_)) => expected.step_limit += 1,
                Err(Stop::Fault(_) | Stop::DivisionByZero(_)) => expected.read_faults += 1,
                Err(Stop::NotHere(_)) => panic!("{name}: not here"),
            }
        }
        let traced: Vec<Vec<Vec<Value>>> = events
            .iter()
            .filter(|event| event.probe == ProbeIndex(index))
            .map(|event| event.prints.iter().map(|printed| printed.values.clone()).collect())
            .collect();
        let mut counted = counters[index as usize];
        counted.faults_shown = 0;
        if traced != outputs || counted != expected {
            let at = traced.iter().zip(&outputs).position(|(a, b)| a != b);
            let first = at.map(|at| {
                let nth = traced[at].iter().zip(&outputs[at]).position(|(a, b)| a != b);
                (nth, nth.map(|nth| (shown_whole(&traced[at][nth]), shown_whole(&outputs[at][nth]))))
            });
            wrong.push(format!("{name}: {counted:?} for {expected:?}; hit {at:?}, output {first:?}"));
        }
    }
    for (global, declared) in (0u32..).map(GlobalIndex).zip(&program.globals) {
        match &declared.kind {
            GlobalKind::Scalar { .. } => {
                let expected = interpret::Machine::get(&mut machine, global, &[]).unwrap();
                if engine.get(global, &[]).unwrap() != expected {
                    wrong.push(format!("{}: {:?} for {expected:?}", declared.name, engine.get(global, &[])));
                }
            }
            GlobalKind::Map { .. } | GlobalKind::Stats { .. } => {
                let expected = interpret::Machine::entries(&mut machine, global);
                let found = engine.entries(global).unwrap();
                if found != expected {
                    wrong.push(format!("{}: {found:?} for {expected:?}", declared.name));
                }
            }
        }
    }
    assert_eq!(engine.malformed(), 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
