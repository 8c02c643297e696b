//! The table: each construct in at least one handler, and the functions that these call.

use super::*;

/// Functions of the program, by number.
pub(super) fn functions() -> Vec<Function> {
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

pub(super) fn cases() -> Vec<(&'static str, Vec<Stmt>)> {
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
