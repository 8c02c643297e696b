//! Programs without containers, checked and run by the interpreter.

use std::collections::HashMap;
use std::sync::Arc;

use crate::codes::Code;
use crate::debuginfo::facts::Register;
use crate::interpret::{self, Machine};
use crate::ir::{Context, GlobalIndex, GlobalKind, ProbeKind, Program, UpdateOp};
use crate::source::Sources;
use crate::syntax::parse;
use crate::value::{Value, write_print};
use crate::world::{Container, ListError, OpenError, Opened, Place, World};

/// A machine on which nothing runs.
struct Nobody;

impl World for Nobody {
    fn containers(&self) -> Result<Arc<[Container]>, ListError> {
        Ok(Arc::new([]))
    }
    fn listing_notes(&self) -> Vec<String> {
        Vec::new()
    }
    fn open(&self, _: &Container, _: &Place) -> Result<Opened, OpenError> {
        Err(OpenError::Gone)
    }
}

fn checked(text: &str) -> (Option<Program>, Vec<Code>) {
    let mut sources = Sources::default();
    let source = sources.add("test.ctp", text);
    let (file, mut diagnostics) = parse(source, text);
    let (program, found) = super::check(&sources, &[file], &Nobody, &super::Settings::default());
    diagnostics.extend(found);
    (program, diagnostics.into_iter().map(|diagnostic| diagnostic.code).collect())
}

/// Globals in memory.
struct Memory<'a> {
    program: &'a Program,
    globals: HashMap<(GlobalIndex, Vec<Value>), Value>,
}

impl Machine for Memory<'_> {
    fn context(&mut self, _: Context) -> Option<Value> {
        None
    }
    fn get(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Value> {
        self.globals.get(&(global, keys.to_vec())).cloned()
    }
    fn update(&mut self, global: GlobalIndex, keys: &[Value], op: UpdateOp, operand: Value) -> (Value, Value) {
        let ty = match &self.program.globals[global.0 as usize].kind {
            GlobalKind::Scalar { ty, .. } | GlobalKind::Map { value: ty, .. } => *ty,
            GlobalKind::Stats { .. } => crate::ir::Ty::Int,
        };
        let old = self.get(global, keys).unwrap_or_else(|| interpret::zero(ty));
        let new = match (op, &old, operand) {
            (UpdateOp::Add, Value::Int(old), Value::Int(by)) => Value::Int(old.wrapping_add(by)),
            (UpdateOp::Set | UpdateOp::Add, _, operand) => operand,
        };
        self.globals.insert((global, keys.to_vec()), new.clone());
        (old, new)
    }
    fn entries(&mut self, _: GlobalIndex) -> Vec<(Vec<Value>, Value)> {
        Vec::new()
    }
    fn delete(&mut self, _: GlobalIndex, _: &[Value]) {}
    fn aggregate(&mut self, _: GlobalIndex, _: &[Value], _: i64) {}
    fn stats(&mut self, _: GlobalIndex, _: &[Value]) -> Option<crate::stats::Stats> {
        None
    }
    fn entry(&mut self, _: crate::ir::EntryIndex) -> Option<Value> {
        None
    }
    fn returned(&mut self, _: crate::debuginfo::facts::Register) -> Option<i64> {
        None
    }
    fn random(&mut self) -> u64 {
        0
    }
    fn max_steps(&self) -> u64 {
        0
    }
    fn register(&mut self, _: Register) -> Option<i64> {
        None
    }
    fn module_address(&mut self, _: u64) -> Option<u64> {
        None
    }
    fn read_memory(&mut self, _: u64, _: &mut [u8]) -> bool {
        false
    }
    fn string_limit(&self) -> usize {
        256
    }
}

/// What `begin` of a program prints.
fn printed(text: &str) -> String {
    let (program, codes) = checked(text);
    let program = program.unwrap_or_else(|| panic!("{text}: {codes:?}"));
    let mut machine = Memory { program: &program, globals: HashMap::new() };
    let mut out = Vec::new();
    for probe in &program.probes {
        if let ProbeKind::Begin(handler) = &probe.kind {
            let run = interpret::run(&program, handler, &mut machine).expect("it runs to its end");
            run.prints.iter().for_each(|(print, values)| write_print(&mut out, print, values, &program));
        }
    }
    String::from_utf8(out).expect("text")
}

#[test]
fn every_operator_assigns() {
    let text = "global n, m, s\nprobe begin { n = 7; n *= 6; n -= 2; n %= 13; m[\"k\"] += 5; m[\"k\"] <<= 3; m[\"k\"] |= 1\n \
                s = \"a\"; s .= \"b\"; x = 9; x /= 2; x ^= 1; t = \"c\"; t .= s\n println(n, m[\"k\"], s, x, t) }";
    assert_eq!(printed(text), "1 41 ab 5 cab\n");
}

#[test]
fn a_text_that_only_grows_is_text() {
    assert_eq!(printed("global s\nprobe begin { s .= \"b\"; s .= \"c\"; println(s) }"), "bc\n");
}

#[test]
fn constants_give_their_type_to_globals_keys_and_locals() {
    let text = "const WEB = \"web\"\nconst ALIAS = WEB\nconst N = 3\nglobal name, hits\n\
                probe begin { name = ALIAS; hits[WEB, N]++; x = N > 2 ? WEB : \"\"; println(name, hits[WEB, N], x) }";
    assert_eq!(printed(text), "web 1 web\n");
}

#[test]
fn a_key_is_computed_once() {
    let text = "global m, k\nprobe begin { m[k++] += 2; m[k++] = 3; println(k, m[0], m[1]) }";
    assert_eq!(printed(text), "2 2 3\n");
    assert_eq!(printed("global m, k\nprobe begin { m[0] = 21; m[k++] *= 2; println(k, m[0]) }"), "1 42\n");
}

#[test]
fn pieces_of_text_need_no_memory_each() {
    let text = format!("probe begin {{ println(\"a\"{}) }}", " . \"bc\"".repeat(40));
    let program = checked(&text).0.expect("a program");
    let options = crate::emit::bpf::Options { strlen: 1024, ..Default::default() };
    let compiled = crate::emit::bpf::compile(&at_a_site(&program), &options, &Default::default());
    assert!(compiled.is_ok(), "{:?}", compiled.err());
}

#[test]
fn assignments_in_assignments_are_checked_once_each() {
    let depth = 40;
    let text = format!(
        "global a\nprobe begin {{ a = 1; {}2{}; println(a) }}",
        "a += (a *= (".repeat(depth),
        "))".repeat(depth)
    );
    let _ = printed(&text);
}

/// The program with its handler of `begin` at an address of a file instead.
fn at_a_site(program: &Program) -> Program {
    let mut program = program.clone();
    program.containers = vec![Container {
        kind: Default::default(),
        id: "0".repeat(64),
        name: Some("web".to_owned()),
        runtime: crate::world::Runtime::Docker,
        image: None,
        image_digests: Vec::new(),
        labels: Vec::new(),
        pod: None,
        init_pid: 1,
        cgroup: Some(crate::world::Cgroup { folder: "/sys/fs/cgroup/x".to_owned(), id: 7, level: 1 }),
        boundary: None,
        pid_level: 1,
    }];
    program.files = vec![crate::ir::File { id: crate::world::FileId(0), path: "/app".to_owned(), build_id: None }];
    for probe in &mut program.probes {
        if let ProbeKind::Begin(handler) = &probe.kind {
            let site = crate::ir::Site {
                file: crate::ir::FileIndex(0),
                containers: Arc::new([crate::ir::ContainerIndex(0)]),
                address: 0x1139,
                file_offset: 0x1139,
                function: "f".into(),
                kind: crate::debuginfo::facts::SiteKind::OutOfLine,
                rule: crate::debuginfo::facts::AddressRule::LowPc,
                passed: 0,
                price: crate::debuginfo::facts::Price::Stepped,
                repeats: false,
                semaphore: None,
                mark: None,
                exits: None,
            };
            let variant =
                crate::ir::Variant { sites: vec![site], handler: handler.clone(), returns: None, frame: None };
            probe.kind = ProbeKind::Sites(vec![variant]);
        }
    }
    program
}

#[test]
fn what_the_parser_takes_overflows_no_stack_behind_it() {
    let deep = 256;
    let nest = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let mut bodies = Vec::new();
    for depth in [deep / 4, deep / 2 - 8, deep - 8, 2 * deep, 20_000] {
        bodies.push(format!("println({})", nest("(", "n", ")", depth)));
        bodies.push(format!("println({})", nest("-", " n", "", depth)));
        bodies.push(format!("println({})", nest("!", "n", "", depth)));
        bodies.push(format!("println(n{})", " + n".repeat(depth)));
        bodies.push(format!("println({})", nest("n + (", "n", ")", depth)));
        bodies.push(format!("println({})", nest("n ? 1 : ", "n", "", depth)));
        bodies.push(format!("println(\"a\"{})", " . \"a\"".repeat(depth)));
        bodies.push(format!("println({})", nest("m[", "n", "]", depth)));
        bodies.push(nest("n = ", "1", "", depth));
        bodies.push(nest("n *= (", "1", ")", depth));
        bodies.push(nest("if (n) { ", "n++", " }", depth));
        bodies.push(nest("if (n) n++ else ", "n++", "", depth));
        bodies.push(format!("println(n{})", " && n".repeat(depth)));
        bodies.push(nest("while (n < 3) { ", "n++", " }", depth));
        bodies.push(nest("for (i = 0; i < 1; i++) ", "n++", "", depth));
        bodies.push(nest("foreach (k in m) ", "n++", "", depth));
        bodies.push(format!("println({})", nest("min(n, ", "n", ")", depth)));
        bodies.push(format!("println({})", nest("twice(", "n", ")", depth)));
        bodies.push(format!("println({})", nest("sprintf(\"%d\", n + strlen(", "\"\"", "))", depth)));
        bodies.push(nest("n ? n++ : (", "n++", ")", depth));
        bodies.push(nest("m[n++] *= (", "2", ")", depth));
    }
    let body = move || {
        for body in bodies {
            let text = format!("global n, m\nfn twice(a: int) -> int {{ return 2 * a }}\nprobe begin {{ {body} }}");
            let mut sources = Sources::default();
            sources.add("test.ctp", text.as_str());
            // A program that is too deep is one diagnostic, and no probe.
            let Some(program) = checked(&text).0 else { continue };
            let mut machine = Memory { program: &program, globals: HashMap::new() };
            for probe in &program.probes {
                if let ProbeKind::Begin(handler) = &probe.kind {
                    let _ = interpret::run(&program, handler, &mut machine);
                }
            }
            let placed = at_a_site(&program);
            let _ = crate::emit::bpf::compile(&placed, &Default::default(), &Default::default());
            let _ = crate::emit::stap::emit(&placed, &sources, &Default::default());
        }
    };
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(body).expect("a thread");
    thread.join().expect("it ends");
}

#[test]
fn long_chains_of_definitions_are_no_deep_ones() {
    let mut text = String::from("probe begin { println(f0(C0), g0) }\n");
    let count = 3000;
    for index in 0..count {
        let next = index + 1;
        text.push_str(&format!(
            "const C{index} = C{next} + 1\nfn f{index}(a: int) -> int {{ return f{next}(a) + C{index} }}\n"
        ));
        text.push_str(&format!("global g{index}\nprobe end {{ g{index} = g{next} }}\n"));
    }
    text.push_str(&format!(
        "const C{count} = 0\nfn f{count}(a: int) -> int {{ return a }}\nglobal g{count} = \"text\"\n"
    ));
    let (program, codes) = checked(&text);
    assert_eq!(codes, []);
    let program = program.expect("a program");
    assert_eq!(program.functions.len(), count + 1);
    let texts = program
        .globals
        .iter()
        .filter(|global| matches!(global.kind, GlobalKind::Scalar { ty: crate::ir::Ty::Str, .. }));
    assert_eq!(texts.count(), count + 1);
}

#[test]
fn a_loop_s_variable_of_another_type_is_a_local_of_its_own() {
    let text =
        "global a, b\nprobe begin { a[1]++; b[\"x\"]++; foreach (k in a) {} foreach (k in b) println(k) println(k) }";
    let program = checked(text).0.expect("a program");
    let ProbeKind::Begin(handler) = &program.probes[0].kind else { panic!("begin") };
    let types: Vec<crate::ir::Ty> = handler.locals.iter().map(|local| local.ty).collect();
    assert_eq!(types, [crate::ir::Ty::Int, crate::ir::Ty::Str]);
    assert_ne!(handler.locals[0].name, handler.locals[1].name);
}

#[test]
fn an_aggregate_keeps_what_is_asked_of_it() {
    let shape = |asked: &str| {
        let text = format!("global x\nprobe begin {{ x <<< 1 }}\nprobe end {{ {asked} }}");
        match checked(&text).0.expect("a program").globals[0].kind.clone() {
            GlobalKind::Stats { keys, shape, .. } if keys.is_empty() => shape,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(shape("println(@avg(x))"), crate::ir::StatsShape::default());
    assert!(shape("println(@p90(x))").log && shape("print(@hist_log(x))").log);
    let linear =
        shape("print(@hist_linear(x, 0, 10, 2)); print(@hist_linear(x, 0, 5 * 2, 2)); print(@hist_linear(x, 0, 9, 3))");
    let steps: Vec<i64> = linear.linear.iter().map(|linear| linear.step).collect();
    assert_eq!((linear.log, steps), (false, vec![2, 3]));
}
