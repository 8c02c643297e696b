//! The bodies: every construct is accepted by stap, faults and lost updates are where they must be, and what cannot
//! be expressed is said.

use ctp_lang::codes::Code;
use ctp_lang::debuginfo::facts::{AddressRule, SiteKind};
use ctp_lang::emit::stap::{Options, Written, emit};
use ctp_lang::ir::{
    BinaryOp, CompareOp, Constant, ContainerIndex, Context, EnumIndex, EnumNames, Expr, ExprKind, Global, GlobalIndex,
    GlobalKind, LocalIndex, Piece, Probe, ProbeKind, Program, Show, Shown, Spec, Stmt, TargetStep, Ty, UnaryOp,
    UpdateOp,
};

use crate::programs::{
    container, expr, handler, in_memory, print, probe, program, shown, site, sources, span, text, words,
};
use crate::sample::Sample;
use crate::stap::Root;
use crate::world::{Samples, checked};

fn int(value: i64) -> Expr {
    Expr::int(value, span())
}

fn string(bytes: &[u8]) -> Expr {
    expr(Ty::Str, ExprKind::Str(bytes.to_vec()))
}

fn context(context: Context) -> Expr {
    let ty = match context {
        Context::Comm | Context::Container | Context::ContainerId | Context::ProbeFunction | Context::ProbePoint => {
            Ty::Str
        }
        _ => Ty::Int,
    };
    expr(ty, ExprKind::Context(context))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    expr(Ty::Int, ExprKind::Binary(op, Box::new(left), Box::new(right)))
}

fn compare(op: CompareOp, left: Expr, right: Expr) -> Expr {
    expr(Ty::Int, ExprKind::Compare(op, Box::new(left), Box::new(right)))
}

fn update(global: u32, keys: Vec<Expr>, op: UpdateOp, value: Expr, before: bool) -> Expr {
    let ty = value.ty;
    expr(ty, ExprKind::Update { global: GlobalIndex(global), keys, op, value: Box::new(value), before })
}

fn global(name: &str, kind: GlobalKind, printed_at_end: bool) -> Global {
    Global { name: name.to_owned(), span: span(), kind, printed_at_end }
}

fn scalar(initial: i64) -> GlobalKind {
    GlobalKind::Scalar { ty: Ty::Int, initial: Constant::Int(initial) }
}

fn others_sites(sample: &Sample) -> Vec<ctp_lang::ir::Site> {
    let found = sample.breakpoints("others");
    found.iter().map(|pc| site("others", *pc, SiteKind::OutOfLine, AddressRule::SecondLine)).collect()
}

/// The script of a program for the sample at -O0, accepted by `stap -p2`.
fn accepted(program: &Program, sample: &Sample) -> String {
    let script = emit(program, &sources("probe …\n"), &Options::default()).expect("a script");
    let answer = Root::with(&[&sample.path]).stap(&script.text, &["-p2"]).accepted(&script.text);
    let meant: Vec<u64> = script.points.iter().map(|point| point.address).collect();
    assert_eq!(answer.addresses("/run/ctp/t0"), meant);
    assert!(!answer.err.contains("never"), "{}\n{}", answer.err, script.text);
    script.text
}

#[test]
fn every_construct_is_accepted() {
    let sample = Sample::build("gcc", &["-O0"]);
    let map = |keys: Vec<Ty>, value: Ty, size| GlobalKind::Map { keys, value, size };
    let widths = Spec { width: Some(12), left: true, ..Spec::default() };
    let hex = Spec { alternate: true, zero: true, width: Some(10), ..Spec::default() };
    let plain = |value: Expr, show, spec| Piece::Value(Shown { value, show, spec, fault_is_shown: false });
    let requests = || in_memory("request", vec![TargetStep::Member("status".into())]);
    let body = vec![
        print(vec![
            shown(in_memory("flag", vec![]), Show::Bool),
            shown(in_memory("letter", vec![]), Show::Char),
            shown(in_memory("color", vec![]), Show::Enum(EnumIndex(0))),
            shown(text("text", vec![]), Show::Text),
            shown(text("request", vec![TargetStep::Member("path".into())]), Show::Text),
            shown(in_memory("pointer", vec![]), Show::Pointer),
            shown(
                in_memory("request", vec![TargetStep::Member("tag".into()), TargetStep::Index(int(1))]),
                Show::Unsigned,
            ),
            Piece::Value(Shown { value: requests(), show: Show::Hex { upper: true }, spec: hex, fault_is_shown: true }),
            Piece::Unavailable { text: "<optimized out>", spec: widths },
            words("100% done\0\n"),
        ]),
        Stmt::SetLocal(LocalIndex(0), binary(BinaryOp::Shl, int(-5), context(Context::Cpu))),
        Stmt::SetLocal(
            LocalIndex(1),
            expr(Ty::Str, ExprKind::Concat(vec![context(Context::Comm), string(b"\"@1 $1 %{\\")])),
        ),
        Stmt::If {
            condition: expr(
                Ty::Int,
                ExprKind::Logic {
                    and: true,
                    left: Box::new(compare(CompareOp::Gt, requests(), int(i64::MIN))),
                    right: Box::new(compare(CompareOp::Ne, context(Context::Comm), string(b"sh"))),
                },
            ),
            then: vec![
                Stmt::Effect(update(0, vec![context(Context::Container), requests()], UpdateOp::Add, int(1), true)),
                Stmt::Effect(update(1, vec![], UpdateOp::Add, int(1), true)),
                print(vec![plain(context(Context::NsPid), Show::Signed, widths), words("\n")]),
            ],
            otherwise: vec![Stmt::Next],
        },
        Stmt::SetLocal(LocalIndex(0), binary(BinaryOp::Div, expr(Ty::Int, ExprKind::Local(LocalIndex(0))), int(3))),
        print(vec![plain(expr(Ty::Int, ExprKind::Local(LocalIndex(0))), Show::Signed, Spec { plus: true, ..widths })]),
        Stmt::Effect(update(2, vec![context(Context::Tid)], UpdateOp::Set, context(Context::Comm), false)),
        print(vec![
            plain(update(0, vec![string(b"x"), int(2)], UpdateOp::Add, int(3), false), Show::Signed, Spec::default()),
            plain(update(1, vec![], UpdateOp::Add, int(-1), true), Show::Signed, Spec::default()),
            plain(
                expr(Ty::Int, ExprKind::MapHas(GlobalIndex(2), vec![context(Context::NsTid)])),
                Show::Octal,
                Spec { alternate: true, ..Spec::default() },
            ),
            plain(expr(Ty::Str, ExprKind::Local(LocalIndex(1))), Show::Text, Spec::default()),
            plain(expr(Ty::Str, ExprKind::MapGet(GlobalIndex(2), vec![int(1)])), Show::Text, Spec::default()),
            plain(expr(Ty::Int, ExprKind::Unary(UnaryOp::Not, Box::new(context(Context::Uid)))), Show::Signed, widths),
            plain(context(Context::Gid), Show::Signed, Spec::default()),
            plain(context(Context::Now), Show::Unsigned, Spec::default()),
            plain(context(Context::ProbeFunction), Show::Text, Spec::default()),
            plain(context(Context::ProbePoint), Show::Text, Spec::default()),
        ]),
        Stmt::Effect(update(3, vec![], UpdateOp::Add, binary(BinaryOp::Mod, int(7), requests()), false)),
        Stmt::Exit,
    ];
    let mut sites = probe(others_sites(&sample), body);
    if let ProbeKind::Sites(variants) = &mut sites.kind {
        let local = |name: &str, ty| ctp_lang::ir::Local { name: name.to_owned(), ty };
        variants[0].handler.locals = vec![local("count", Ty::Int), local("text", Ty::Str)];
        variants[0].handler.condition = Some(compare(CompareOp::Ge, requests(), int(0)));
    }
    let at = |kind| Probe { point: "every".into(), span: span(), kind };
    let tick = handler(vec![print(vec![plain(expr(Ty::Int, ExprKind::Global(GlobalIndex(3))), Show::Signed, widths)])]);
    let mut program = program(vec![
        at(ProbeKind::Begin(tick.clone())),
        at(ProbeKind::Every { period: 1_500_000, handler: tick.clone() }),
        at(ProbeKind::Every { period: 2_000_000_000, handler: tick.clone() }),
        sites,
        at(ProbeKind::End(tick)),
    ]);
    program.globals = vec![
        global("value", map(vec![Ty::Str, Ty::Int], Ty::Int, Some(10)), true),
        global("next", scalar(0), true),
        global("key1", map(vec![Ty::Int], Ty::Str, None), true),
        global("ctp_cg", scalar(i64::MIN), false),
        global("label", GlobalKind::Scalar { ty: Ty::Str, initial: Constant::Str(b"a\"b".to_vec()) }, true),
    ];
    program.enums = vec![EnumNames {
        name: Some("color */".into()),
        names: vec![(0, "RED\"".into()), (5, "GREEN".into()), (-1, "BLUE".into())],
    }];
    let text = accepted(&program, &sample);
    // What stops a run stands behind nothing that was printed before.
    let (_, body) = text.split_once("probe process(").expect("a probe");
    let (body, _) = body.split_once("\n}").expect("its end");
    let last_fault = body.rfind(" % ").expect("the remainder");
    assert!(body.find("printf(").is_some_and(|first| first < last_fault), "next prints what was put off: {body}");
    for line in body.get(..last_fault).expect("text").lines().filter(|line| line.trim_start().starts_with("printf(")) {
        assert!(line.starts_with("            "), "only before `next`: {line}");
    }
    // `next` is something to catch for SystemTap 5.6: it must not pass for a fault.
    let (_, tried) = body.split_once("try {").expect("what can be stopped");
    let ends = tried.lines().filter(|line| line.ends_with(" next") || line.ends_with(" next }"));
    assert!(ends.count() >= 2 && tried.contains("catch { if (!ctp_done) "), "{body}");
    let mut before = "";
    for line in tried.lines() {
        let marked = line.contains("ctp_done = 1; next") || before.trim() == "ctp_done = 1";
        assert!(marked || !line.trim_end_matches(" }").ends_with(" next"), "`next` looks like a fault: {body}");
        before = line;
    }
}

#[test]
fn several_containers_are_told_apart() {
    let sample = Sample::build("gcc", &["-O0"]);
    let body = vec![print(vec![
        shown(context(Context::Container), Show::Text),
        shown(context(Context::ContainerId), Show::Text),
        shown(context(Context::NsPid), Show::Signed),
        words("\n"),
    ])];
    let mut sites = others_sites(&sample);
    sites[0].containers = [ContainerIndex(0), ContainerIndex(2)].into();
    let mut program = program(vec![probe(sites, body)]);
    let mut nested = container("web-2");
    nested.pid_level = 2;
    nested.id = "7".repeat(64);
    program.containers.extend([container("db"), nested]);
    let text = accepted(&program, &sample);
    assert!(text.contains("if (ctp_who != 1 && ctp_who != 3) next"), "{text}");
    assert!(text.contains("want_cg3=$(stat -c %i /sys/fs/cgroup/docker/4f1c) want_level3=2"), "{text}");
}

#[test]
fn what_cannot_be_expressed_is_said() {
    let sites = || vec![site("f", 0x1139, SiteKind::OutOfLine, AddressRule::SecondLine)];
    let refused = |program: &Program, part: &str| {
        let diagnostics = emit(program, &sources("probe\n"), &Options::default()).expect_err("no script");
        assert!(diagnostics.iter().all(|d| d.code == Code::E0302 && !d.helps.is_empty()), "{diagnostics:?}");
        assert!(diagnostics.iter().any(|d| d.message.contains(part)), "{part}: {diagnostics:?}");
    };
    let nul = vec![Stmt::SetLocal(LocalIndex(0), string(b"a\0b"))];
    refused(&program(vec![probe(sites(), nul)]), "NUL");
    let every = Probe {
        point: "every(1us)".into(),
        span: span(),
        kind: ProbeKind::Every { period: 1_000, handler: handler(vec![]) },
    };
    refused(&program(vec![every]), "period");
    let mut without = program(vec![probe(sites(), vec![print(vec![words("x")])])]);
    without.containers[0].cgroup = None;
    refused(&without, "`web`");
}

/// stap itself reads no thread-local variable of a program: ctp counts from the thread's pointer, which the kernel knows.
#[test]
fn thread_local_variables_are_accepted_as_text_and_as_records() {
    for (compiler, options) in [
        ("gcc", &["-O0", "-pthread"][..]),
        ("gcc", &["-O2", "-gdwarf-4", "-pthread"]),
        ("clang", &["-O0", "-gdwarf-aranges", "-pthread"]),
        ("clang", &["-O2", "-gdwarf-aranges", "-pthread"]),
    ] {
        let sample = Sample::of("../types/programs/threads.c", compiler, options);
        let world = Samples(vec![("/app/bin", sample.path.clone())]);
        let text = "probe container(\"web\"):exe.fn(\"take\") {\n    \
                    printf(\"%d %d %s %d\\n\", @var(\"own_copy\"), @var(\"shape\").sides, @var(\"shape\").name, @var(\"calls\"))\n}\n";
        let (sources, program) = checked("threads.ctp", text, &world);
        for written in [Written::Text, Written::Records] {
            let script = emit(&program, &sources, &Options { written, ..Options::default() }).expect("a script");
            let answer = Root::with(&[&sample.path]).stap(&script.text, &["-p2"]).accepted(&script.text);
            let meant: Vec<u64> = script.points.iter().map(|point| point.address).collect();
            assert_eq!((answer.addresses("/run/ctp/t0"), meant.len()), (meant, 1), "{compiler} {options:?}");
            assert!(script.text.contains("->thread->fsbase"), "{}", script.text);
        }
    }
    let by_stap = "probe process(\"/run/ctp/t0\").function(\"take\") { println(@var(\"own_copy\")) }";
    let sample = Sample::of("../types/programs/threads.c", "gcc", &["-O0", "-pthread"]);
    assert!(!Root::with(&[&sample.path]).stap(by_stap, &["-p2"]).ok, "stap reads them itself");
}
