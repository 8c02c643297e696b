//! The same program on the same hits gives the same in the kernel and in the interpreter: a table of cases, each a
//! handler on one function of one program, and the interpreter on what that program says it called it with.

mod constructs;
mod kept;

use std::collections::HashMap;

use ctp::engine::{Counters, Engine};
use ctp_lang::debuginfo::facts::Register;
use ctp_lang::interpret::recorded::Recorded;
use ctp_lang::interpret::{self, Stop};
use ctp_lang::ir::*;
use ctp_lang::value::Value;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};

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

fn num(kind: ExprKind) -> Expr {
    expr(Ty::Int, kind)
}

fn str(kind: ExprKind) -> Expr {
    expr(Ty::Str, kind)
}

fn n() -> Expr {
    argument(0)
}

fn s() -> Expr {
    user_string(argument(1))
}

fn m() -> Expr {
    argument(2)
}

fn local(index: u32) -> Expr {
    num(ExprKind::Local(LocalIndex(index)))
}

fn words(index: u32) -> Expr {
    str(ExprKind::Local(LocalIndex(index)))
}

fn set(index: u32, value: Expr) -> Stmt {
    Stmt::SetLocal(LocalIndex(index), value)
}

fn grow(index: u32, by: Expr) -> Stmt {
    set(index, operate(BinaryOp::Add, local(index), by))
}

fn repeat(condition: Expr, body: Vec<Stmt>, step: Vec<Stmt>) -> Stmt {
    Stmt::While { condition, body, step, span: span() }
}

fn when(condition: Expr, then: Vec<Stmt>) -> Stmt {
    Stmt::If { condition, then, otherwise: Vec::new() }
}

fn less(a: Expr, b: Expr) -> Expr {
    compare(CompareOp::Lt, a, b)
}

fn lib(function: Library, arguments: Vec<Expr>) -> Expr {
    num(ExprKind::Library(function, arguments))
}

fn lib_text(function: Library, arguments: Vec<Expr>) -> Expr {
    str(ExprKind::Library(function, arguments))
}

fn concat(parts: Vec<Expr>) -> Expr {
    str(ExprKind::Concat(parts))
}

fn call(function: u32, arguments: Vec<Expr>) -> Expr {
    num(ExprKind::Call(FunctionIndex(function), arguments))
}

fn call_text(function: u32, arguments: Vec<Expr>) -> Expr {
    str(ExprKind::Call(FunctionIndex(function), arguments))
}

fn say(values: Vec<Expr>) -> Stmt {
    print(values.into_iter().map(Part::Need).collect())
}

/// Values that are shown as `<fault>` where they cannot be read.
fn tell(values: Vec<Expr>) -> Stmt {
    print(values.into_iter().map(Part::Show).collect())
}

fn modulo(a: Expr, b: i64) -> Expr {
    operate(BinaryOp::Mod, a, int(b))
}

fn shown(value: Expr, show: Show, spec: Spec) -> Piece {
    Piece::Value(Shown { value, show, spec, fault_is_shown: true })
}

fn function(name: &str, parameters: &[Ty], others: &[Ty], returns: Option<Ty>, body: Vec<Stmt>) -> Function {
    let locals = parameters.iter().chain(others).map(|ty| Local { name: "l".to_owned(), ty: *ty }).collect();
    Function { name: name.to_owned(), span: span(), parameters: parameters.len(), locals, returns, body }
}

/// Functions of the program, by number.
fn functions() -> Vec<Function> {
    use Ty::{Int, Str};
    vec![
        // 0: fn scaled(a, b) { return a * 2 + b }
        function(
            "scaled",
            &[Int, Int],
            &[],
            Some(Int),
            vec![Stmt::Return(Some(operate(BinaryOp::Add, operate(BinaryOp::Mul, local(0), int(2)), local(1))))],
        ),
        // 1: fn label(text, number) -> str { if (number < 5) return text . "!"; x = "big " . text; return x }
        function(
            "label",
            &[Str, Int],
            &[Str],
            Some(Str),
            vec![
                when(less(local(1), int(5)), vec![Stmt::Return(Some(concat(vec![words(0), text("!")])))]),
                set(2, concat(vec![text("big "), words(0)])),
                Stmt::Return(Some(words(2))),
            ],
        ),
        // 2: fn collatz(a) { while (a != 1) { if (a > 1000000 || a < 1) return -1; a = odd ? 3a+1 : a/2; steps++ } … }
        function(
            "collatz",
            &[Int],
            &[Int],
            Some(Int),
            vec![
                repeat(
                    compare(CompareOp::Ne, local(0), int(1)),
                    vec![
                        when(
                            num(ExprKind::Logic {
                                and: false,
                                left: Box::new(compare(CompareOp::Gt, local(0), int(1_000_000))),
                                right: Box::new(less(local(0), int(1))),
                            }),
                            vec![Stmt::Return(Some(int(-1)))],
                        ),
                        set(
                            0,
                            num(ExprKind::Ternary(
                                Box::new(modulo(local(0), 2)),
                                Box::new(operate(BinaryOp::Add, operate(BinaryOp::Mul, local(0), int(3)), int(1))),
                                Box::new(operate(BinaryOp::Div, local(0), int(2))),
                            )),
                        ),
                        grow(1, int(1)),
                    ],
                    vec![],
                ),
                Stmt::Return(Some(local(1))),
            ],
        ),
        // 3: fn report(text, number) { print(text, number) ; if (number == 3) next }
        function(
            "report",
            &[Str, Int],
            &[],
            None,
            vec![say(vec![words(0), local(1)]), when(compare(CompareOp::Eq, local(1), int(3)), vec![Stmt::Next])],
        ),
        // 4: fn through(a) { return scaled(a, scaled(1, a)) } without a return on some ways
        function(
            "through",
            &[Int],
            &[],
            Some(Int),
            vec![when(
                compare(CompareOp::Gt, local(0), int(2)),
                vec![Stmt::Return(Some(call(0, vec![local(0), call(0, vec![int(1), local(0)])])))],
            )],
        ),
    ]
}

fn cases() -> Vec<(&'static str, Vec<Stmt>)> {
    let user_text = |most: Expr| str(ExprKind::UserText { address: Box::new(argument(1)), most: Box::new(most) });
    let user_bytes =
        |length: Expr| str(ExprKind::UserBytes { address: Box::new(argument(3)), length: Box::new(length) });
    let at = |offset: i64| operate(BinaryOp::Add, argument(3), int(offset));
    let update_local = |index: u32, value: Expr, before: bool| {
        let ty = value.ty;
        expr(ty, ExprKind::SetLocal { local: LocalIndex(index), value: Box::new(value), before })
    };
    let format = |pieces: Vec<Piece>| str(ExprKind::Format(pieces));
    let wide = Spec { width: Some(8), zero: true, ..Spec::default() };
    let left = Spec { width: Some(6), left: true, ..Spec::default() };
    let block = |size: u32| Expr {
        ty: Ty::Str,
        kind: ExprKind::Block(Block::Memory { address: Box::new(argument(3)), size }),
        span: span(),
    };
    let whole = |block: Expr, elsewhere: Vec<Expr>| {
        let whole = Whole { layout: LayoutIndex(0), block, elsewhere, spec: Spec::default(), written: None };
        Stmt::Print(Print { kind: PrintKind::Text, pieces: vec![Piece::Whole(Box::new(whole))], span: span() })
    };
    let small = || operate(BinaryOp::And, n(), int(15));
    let aggregate = |global: u32, keys: Vec<Expr>, value: Expr| Stmt::Aggregate {
        global: GlobalIndex(global),
        keys,
        value,
        span: span(),
    };
    let stat = |global: u32, keys: Vec<Expr>, op: StatOp| num(ExprKind::Stat { global: GlobalIndex(global), keys, op });
    let delete = |global: u32, keys: Vec<Expr>| Stmt::Delete { global: GlobalIndex(global), keys, span: span() };
    let get = |global: u32, keys: Vec<Expr>| num(ExprKind::MapGet(GlobalIndex(global), keys));
    let has = |global: u32, keys: Vec<Expr>| num(ExprKind::MapHas(GlobalIndex(global), keys));
    let quantiles = |global: u32, keys: &dyn Fn() -> Vec<Expr>| {
        tell([50, 90, 99, 1].map(|hundredths| stat(global, keys(), StatOp::Quantile(hundredths))).to_vec())
    };
    let unary = |op, value| num(ExprKind::Unary(op, Box::new(value)));
    let extend = |bits, signed| num(ExprKind::Extend { value: Box::new(m()), bits, signed });
    let binary = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Mod,
        BinaryOp::ModUnsigned,
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Xor,
        BinaryOp::Shl,
        BinaryOp::Shr,
        BinaryOp::ShrLogical,
    ];
    let divides = |op: &BinaryOp| matches!(op, BinaryOp::Div | BinaryOp::Mod | BinaryOp::ModUnsigned);
    let comparisons = [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];
    let mut cases = vec![
        (
            "operators of two numbers",
            vec![
                say(binary.into_iter().filter(|op| !divides(op)).map(|op| operate(op, n(), m())).collect()),
                say(binary.into_iter().filter(divides).map(|op| operate(op, n(), m())).collect()),
            ],
        ),
        (
            "operators of one number, widths, conditions",
            vec![
                say([UnaryOp::Neg, UnaryOp::BitNot, UnaryOp::Not].map(|op| unary(op, n())).to_vec()),
                say([(8, true), (8, false), (16, true), (32, false), (32, true)].map(|(b, s)| extend(b, s)).to_vec()),
                say([true, false]
                    .map(|and| num(ExprKind::Logic { and, left: Box::new(n()), right: Box::new(m()) }))
                    .to_vec()),
                tell([1, 2, 4, 8].map(|size| load(at(8), size, size % 4 != 0)).to_vec()),
                tell(vec![num(ExprKind::Target(Target {
                    variable: "n".to_owned(),
                    steps: Vec::new(),
                    value: Box::new(load(at(4), 2, true)),
                }))]),
                Stmt::If {
                    condition: less(n(), m()),
                    then: vec![say(vec![text("less")])],
                    otherwise: vec![say(vec![text("not less")])],
                },
            ],
        ),
        (
            "comparisons of numbers and of texts",
            vec![
                say(comparisons.map(|op| compare(op, n(), m())).to_vec()),
                say(comparisons.map(|op| compare(op, s(), text("hello"))).to_vec()),
                Stmt::Effect(update(11, vec![], UpdateOp::Set, n(), false)),
                say(vec![update(11, vec![], UpdateOp::Add, m(), true), num(ExprKind::Global(GlobalIndex(11)))]),
            ],
        ),
        (
            "quantiles",
            vec![
                quantiles(10, &Vec::new),
                aggregate(10, vec![], n()),
                quantiles(10, &Vec::new),
                aggregate(12, vec![modulo(n(), 2), s()], m()),
                quantiles(12, &|| vec![modulo(n(), 2), s()]),
                quantiles(12, &|| vec![int(77), s()]),
                repeat(
                    less(local(0), int(40)),
                    vec![
                        aggregate(10, vec![], operate(BinaryOp::Mul, operate(BinaryOp::Mul, local(0), local(0)), m())),
                        aggregate(10, vec![], operate(BinaryOp::Sub, local(0), int(20))),
                        when(compare(CompareOp::Eq, modulo(local(0), 8), int(3)), vec![quantiles(10, &Vec::new)]),
                    ],
                    vec![grow(0, int(1))],
                ),
                quantiles(10, &Vec::new),
            ],
        ),
        (
            "an aggregate deleted",
            vec![
                say(vec![stat(13, vec![], StatOp::Count), stat(14, vec![], StatOp::Sum)]),
                aggregate(13, vec![], n()),
                aggregate(14, vec![], m()),
                tell(
                    [StatOp::Count, StatOp::Sum, StatOp::Min, StatOp::Max, StatOp::Avg]
                        .map(|op| stat(13, vec![], op))
                        .to_vec(),
                ),
                quantiles(14, &Vec::new),
                when(compare(CompareOp::Gt, m(), int(9)), vec![delete(13, vec![]), delete(14, vec![])]),
                tell(vec![stat(13, vec![], StatOp::Count), stat(14, vec![], StatOp::Max)]),
            ],
        ),
        (
            "a sum over a loop",
            vec![
                repeat(less(local(0), small()), vec![grow(1, local(0))], vec![grow(0, int(1))]),
                say(vec![local(0), local(1)]),
            ],
        ),
        (
            "loops in loops with break, continue and outputs",
            vec![repeat(
                less(local(0), small()),
                vec![
                    when(compare(CompareOp::Eq, local(0), int(2)), vec![Stmt::Continue]),
                    when(compare(CompareOp::Eq, local(0), int(9)), vec![Stmt::Break]),
                    set(1, int(0)),
                    repeat(
                        int(1),
                        vec![
                            when(compare(CompareOp::Ge, local(1), local(0)), vec![Stmt::Break]),
                            say(vec![local(0), local(1), s()]),
                        ],
                        vec![grow(1, int(1))],
                    ),
                ],
                vec![grow(0, int(1))],
            )],
        ),
        ("a loop without end", vec![say(vec![n()]), repeat(int(1), vec![grow(0, int(1))], vec![])]),
        (
            "as many rounds as there may be",
            vec![repeat(less(local(0), int(300)), vec![], vec![grow(0, int(1))]), say(vec![local(0)])],
        ),
        ("one round more", vec![repeat(less(local(0), int(301)), vec![], vec![grow(0, int(1))]), say(vec![local(0)])]),
        (
            "a string that grows in a loop",
            vec![
                repeat(
                    less(local(0), small()),
                    vec![set(4, concat(vec![words(4), s(), text(",")]))],
                    vec![grow(0, int(1))],
                ),
                say(vec![words(4)]),
            ],
        ),
        (
            "a map that is filled in a loop",
            vec![
                repeat(less(local(0), small()), vec![add(0, vec![local(0), s()], m())], vec![grow(0, int(1))]),
                say(vec![get(0, vec![int(1), s()])]),
            ],
        ),
        (
            "functions",
            vec![say(vec![
                call(0, vec![n(), m()]),
                call(4, vec![n()]),
                call(2, vec![n()]),
                call_text(1, vec![s(), n()]),
                operate(BinaryOp::Add, call(0, vec![int(1), int(2)]), call(0, vec![int(3), int(4)])),
            ])],
        ),
        (
            "outputs of functions, which may end the handler",
            vec![
                say(vec![n()]),
                Stmt::Effect(call(3, vec![s(), n()])),
                Stmt::Effect(call(3, vec![text("again"), m()])),
                say(vec![text("end")]),
            ],
        ),
        (
            "a call on one way only, before and behind outputs",
            vec![
                say(vec![s()]),
                set(
                    0,
                    num(ExprKind::Ternary(
                        Box::new(compare(CompareOp::Gt, n(), int(4))),
                        Box::new(call(4, vec![n()])),
                        Box::new(int(-5)),
                    )),
                ),
                say(vec![local(0), s()]),
            ],
        ),
        (
            "assignments as values",
            vec![
                set(1, operate(BinaryOp::Add, update_local(0, n(), true), update_local(0, m(), true))),
                say(vec![
                    local(0),
                    local(1),
                    update_local(2, operate(BinaryOp::Add, local(0), int(1)), false),
                    local(2),
                ]),
                say(vec![
                    update_local(4, s(), true),
                    update_local(5, words(4), false),
                    update_local(4, text("new"), true),
                    words(4),
                ]),
            ],
        ),
        (
            "numbers of the library",
            vec![
                say(vec![
                    lib(Library::Strlen, vec![s()]),
                    lib(Library::Min, vec![n(), m()]),
                    lib(Library::Max, vec![n(), m()]),
                ]),
                say(vec![lib(Library::Abs, vec![n()]), lib(Library::Ntohs, vec![m()]), lib(Library::Ntohl, vec![n()])]),
                say(vec![lib(Library::Sample, vec![int(1)]), lib(Library::Sample, vec![int(-4)])]),
            ],
        ),
        (
            "strtol",
            vec![say(vec![
                lib(Library::Strtol, vec![s(), m()]),
                lib(Library::Strtol, vec![s(), int(0)]),
                lib(Library::Strtol, vec![s(), int(10)]),
                lib(Library::Strtol, vec![s(), int(16)]),
                lib(Library::Strtol, vec![s(), int(36)]),
                lib(Library::Strtol, vec![s(), int(1)]),
            ])],
        ),
        (
            "isinstr",
            vec![say(vec![
                lib(Library::IsInStr, vec![s(), text("o, w")]),
                lib(Library::IsInStr, vec![text("hello, world"), s()]),
                lib(Library::IsInStr, vec![s(), text("")]),
                lib(Library::IsInStr, vec![s(), s()]),
            ])],
        ),
        (
            "substr",
            vec![say(vec![
                lib_text(Library::Substr, vec![s(), int(2), int(3)]),
                lib_text(Library::Substr, vec![s(), m(), n()]),
                lib_text(Library::Substr, vec![s(), int(0), m()]),
                lib_text(Library::Substr, vec![s(), int(250), int(6)]),
                lib_text(Library::Substr, vec![s(), int(250), int(7)]),
            ])],
        ),
        (
            "texts that are only shown",
            vec![tell(vec![
                lib_text(Library::Ipv4, vec![n()]),
                lib_text(
                    Library::Ipv6,
                    vec![str(ExprKind::UserBytes { address: Box::new(at(24)), length: Box::new(int(16)) })],
                ),
                lib_text(Library::ErrnoStr, vec![n()]),
                lib_text(Library::SignalStr, vec![n()]),
                lib_text(Library::Strftime, vec![text("%F %T"), n()]),
                format(vec![
                    shown(n(), Show::Hex { upper: true }, Spec { alternate: true, ..wide }),
                    Piece::Text(b" ".to_vec()),
                    shown(s(), Show::Text, Spec { precision: Some(3), ..left }),
                    shown(m(), Show::Octal, Spec::default()),
                ]),
            ])],
        ),
        (
            "texts that are kept",
            vec![
                set(
                    4,
                    concat(vec![lib_text(Library::Ipv4, vec![n()]), text(" "), lib_text(Library::ErrnoStr, vec![n()])]),
                ),
                set(
                    5,
                    concat(vec![
                        lib_text(Library::SignalStr, vec![n()]),
                        text(" "),
                        lib_text(Library::ErrnoStr, vec![m()]),
                    ]),
                ),
                say(vec![words(4), words(5)]),
                set(
                    4,
                    lib_text(
                        Library::Ipv6,
                        vec![str(ExprKind::UserBytes { address: Box::new(at(24)), length: Box::new(int(16)) })],
                    ),
                ),
                set(5, lib_text(Library::Ipv6, vec![s()])),
                say(vec![words(4), words(5)]),
                set(
                    4,
                    format(vec![
                        shown(n(), Show::Signed, Spec::default()),
                        Piece::Text(b"|".to_vec()),
                        shown(n(), Show::Unsigned, left),
                        shown(m(), Show::Hex { upper: false }, wide),
                        shown(m(), Show::Hex { upper: true }, Spec::default()),
                        shown(n(), Show::Signed, Spec { plus: true, ..Spec::default() }),
                        shown(m(), Show::Pointer, Spec::default()),
                        shown(s(), Show::Text, Spec::default()),
                    ]),
                ),
                say(vec![words(4), lib(Library::Strlen, vec![words(4)])]),
            ],
        ),
        (
            "text and bytes of a length",
            vec![tell(vec![
                user_text(int(4)),
                user_text(m()),
                user_text(int(0)),
                user_text(int(256)),
                user_text(int(257)),
                user_text(int(399)),
                user_bytes(int(5)),
                user_bytes(int(-3)),
                user_bytes(small()),
                concat(vec![user_text(int(2)), user_bytes(int(1))]),
            ])],
        ),
        (
            "text of a length that is needed",
            vec![add(2, vec![user_text(int(3))], int(1)), say(vec![get(2, vec![user_text(int(3))])])],
        ),
        (
            "whole values",
            vec![
                whole(block(64), vec![s(), user_bytes(int(3))]),
                whole(
                    Expr {
                        ty: Ty::Str,
                        kind: ExprKind::Block(Block::Parts(vec![
                            (n(), 8),
                            (m(), 3),
                            (n(), 1),
                            (m(), 7),
                            (load(at(0), 4, false), 5),
                        ])),
                        span: span(),
                    },
                    vec![],
                ),
                whole(block(1), vec![]),
            ],
        ),
        (
            "an event, an error and floating-point numbers",
            vec![
                Stmt::Print(Print {
                    kind: PrintKind::Event(vec!["n".to_owned(), "s".to_owned(), "d".to_owned()]),
                    pieces: vec![
                        shown(n(), Show::Signed, Spec::default()),
                        shown(s(), Show::Text, Spec::default()),
                        shown(
                            load(at(8), 8, false),
                            Show::Float { bits: 64, form: FloatForm::Shortest },
                            Spec::default(),
                        ),
                    ],
                    span: span(),
                }),
                when(
                    compare(CompareOp::Eq, n(), int(-77)),
                    vec![
                        Stmt::Print(Print {
                            kind: PrintKind::Error,
                            pieces: vec![Piece::Text(b"bad".to_vec())],
                            span: span(),
                        }),
                        Stmt::Exit,
                    ],
                ),
            ],
        ),
        (
            "a division by zero in a loop",
            vec![repeat(
                less(local(0), int(3)),
                vec![
                    add(1, vec![], int(1)),
                    say(vec![operate(BinaryOp::Div, int(100), operate(BinaryOp::Sub, m(), local(0)))]),
                ],
                vec![grow(0, int(1))],
            )],
        ),
        (
            "delete",
            vec![
                add(3, vec![modulo(n(), 4), s()], int(1)),
                say(vec![get(3, vec![modulo(n(), 4), s()]), has(3, vec![modulo(n(), 4), s()])]),
                when(compare(CompareOp::Gt, m(), int(5)), vec![delete(3, vec![modulo(n(), 4), s()])]),
                say(vec![has(3, vec![modulo(n(), 4), s()])]),
                add(4, vec![], int(10)),
                Stmt::Effect(update(5, vec![], UpdateOp::Set, s(), false)),
                when(compare(CompareOp::Gt, m(), int(9)), vec![delete(4, vec![]), delete(5, vec![])]),
                say(vec![num(ExprKind::Global(GlobalIndex(4))), str(ExprKind::Global(GlobalIndex(5)))]),
            ],
        ),
        (
            "aggregates",
            vec![
                aggregate(6, vec![], n()),
                aggregate(7, vec![s()], m()),
                aggregate(8, vec![modulo(n(), 3), s()], n()),
                aggregate(9, vec![], m()),
                when(compare(CompareOp::Eq, m(), int(3)), vec![delete(7, vec![s()])]),
                say(vec![
                    has(8, vec![int(0), s()]),
                    stat(6, vec![], StatOp::Count),
                    stat(6, vec![], StatOp::Sum),
                    stat(6, vec![], StatOp::Min),
                    stat(6, vec![], StatOp::Max),
                    stat(9, vec![], StatOp::Avg),
                    stat(7, vec![text("nobody")], StatOp::Count),
                    stat(8, vec![modulo(n(), 3), s()], StatOp::Min),
                    stat(8, vec![modulo(n(), 3), s()], StatOp::Avg),
                ]),
                tell(vec![stat(7, vec![s()], StatOp::Max), stat(7, vec![text("nobody")], StatOp::Avg)]),
            ],
        ),
        (
            "many outputs that are too large together",
            vec![repeat(
                less(local(0), int(120)),
                vec![tell(vec![local(0), s(), user_bytes(int(30))])],
                vec![grow(0, int(1))],
            )],
        ),
    ];
    cases.extend(kept::conversions());
    cases
}

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
