//! Operators, locals, globals, aggregates asked, calls.

use super::build::*;
use crate::debuginfo::facts::Register;
use crate::interpret::recorded::Recorded;
use crate::interpret::{MAX_NESTING, Stop, binary, extend};
use crate::ir::{
    BinaryOp, CompareOp, Context, EntryIndex, ExprKind, Function, FunctionIndex, GlobalKind, Library, LocalIndex,
    Piece, Program, StatOp, StatsShape, Stmt, Ty, UnaryOp, UpdateOp,
};
use crate::value::Value;

#[test]
fn operators_of_two_numbers() {
    let cases = [
        (BinaryOp::Add, i64::MAX, 1, i64::MIN),
        (BinaryOp::Sub, i64::MIN, 1, i64::MAX),
        (BinaryOp::Mul, i64::MAX, 2, -2),
        (BinaryOp::Div, -7, 2, -3),
        (BinaryOp::Div, 7, -2, -3),
        (BinaryOp::Div, i64::MIN, -1, i64::MIN),
        (BinaryOp::Mod, -7, 2, -1),
        (BinaryOp::Mod, 7, -2, 1),
        (BinaryOp::Mod, i64::MIN, -1, 0),
        (BinaryOp::ModUnsigned, -1, 10, 5),
        (BinaryOp::And, 12, 10, 8),
        (BinaryOp::Or, 12, 10, 14),
        (BinaryOp::Xor, 12, 10, 6),
        (BinaryOp::Shl, 1, 63, i64::MIN),
        (BinaryOp::Shl, 1, 64, 1),
        (BinaryOp::Shl, 1, -1, i64::MIN),
        (BinaryOp::Shr, -8, 1, -4),
        (BinaryOp::Shr, -8, 65, -4),
        (BinaryOp::ShrLogical, -1, 60, 15),
    ];
    for (operator, left, right, expected) in cases {
        assert_eq!(binary(operator, left, right), Some(expected), "{left} {operator:?} {right}");
    }
    for operator in [BinaryOp::Div, BinaryOp::Mod, BinaryOp::ModUnsigned] {
        assert_eq!(binary(operator, 1, 0), None, "{operator:?}");
    }
}

#[test]
fn operators_of_one_number() {
    let program = Program::default();
    let cases = [(UnaryOp::Neg, 5, -5), (UnaryOp::Neg, i64::MIN, i64::MIN), (UnaryOp::BitNot, 0, -1)];
    let nots = [(UnaryOp::Not, 0, 1), (UnaryOp::Not, -3, 0)];
    for (operator, operand, expected) in cases.into_iter().chain(nots) {
        let given = value(&mut Recorded::new(&program), ExprKind::Unary(operator, Box::new(int(operand))));
        assert_eq!(given, Ok(Value::Int(expected)), "{operator:?} {operand}");
    }
    let extended =
        [(0xff, 8, true, -1), (0xff, 8, false, 255), (0x1ff, 8, false, 255), (4, 3, true, -4), (-1, 64, false, -1)];
    for (number, bits, signed, expected) in extended {
        assert_eq!(extend(number, bits, signed), expected, "{number} {bits} {signed}");
    }
}

#[test]
fn a_division_by_zero_stops_the_run_and_names_its_place() {
    let mut division = op(BinaryOp::Div, int(1), local(0));
    division.span = at(7);
    let body = vec![print(vec![int(1)]), print(vec![division])];
    assert_eq!(ran(&Program::default(), body), Err(Stop::DivisionByZero(at(7))));
}

#[test]
fn comparisons_of_numbers_are_signed_and_of_strings_by_bytes() {
    use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
    let program = Program::default();
    let cases = [
        (Lt, int(-1), int(1), 1),
        (Gt, int(-1), int(1), 0),
        (Le, int(2), int(2), 1),
        (Ge, int(1), int(2), 0),
        (Eq, str("a"), str("a"), 1),
        (Ne, str("a"), str("b"), 1),
        (Lt, str("Z"), str("a"), 1),
        (Lt, str("ab"), str("abc"), 1),
        (Gt, str("\u{e9}"), str("z"), 1),
    ];
    for (operator, left, right, expected) in cases {
        let kind = ExprKind::Compare(operator, Box::new(left.clone()), Box::new(right.clone()));
        let given = value(&mut Recorded::new(&program), kind);
        assert_eq!(given, Ok(Value::Int(expected)), "{left:?} {operator:?} {right:?}");
    }
}

#[test]
fn what_decides_leaves_out_the_rest() {
    let fails = || op(BinaryOp::Div, int(1), int(0));
    let logic = |and, left, right| num(ExprKind::Logic { and, left: Box::new(left), right: Box::new(right) });
    let choose = |condition| num(ExprKind::Ternary(Box::new(int(condition)), Box::new(int(7)), Box::new(fails())));
    let program = Program::default();
    let all = vec![
        logic(true, int(0), fails()),
        logic(false, int(5), fails()),
        logic(true, int(5), int(-2)),
        logic(false, int(0), int(0)),
        choose(1),
    ];
    assert_eq!(ran(&program, vec![print(all)]), Ok("0 1 1 0 7".to_owned()));
    assert_eq!(ran(&program, vec![print(vec![choose(0)])]), Err(Stop::DivisionByZero(HERE)));
}

#[test]
fn locals_are_set_inside_expressions_left_to_right() {
    let assign = |value, before| num(ExprKind::SetLocal { local: LocalIndex(0), value: Box::new(value), before });
    // x = 5; x++ * 100 + ++x * 10 + x
    let grown = |by| op(BinaryOp::Add, local(0), int(by));
    let sum = op(
        BinaryOp::Add,
        op(
            BinaryOp::Add,
            op(BinaryOp::Mul, assign(grown(1), true), int(100)),
            op(BinaryOp::Mul, assign(grown(1), false), int(10)),
        ),
        local(0),
    );
    assert_eq!(ran(&Program::default(), vec![set(0, int(5)), print(vec![sum])]), Ok("577".to_owned()));
}

#[test]
fn updates_give_the_value_before_or_after() {
    let program = program(vec![map(vec![Ty::Int, Ty::Str], Ty::Int)], Vec::new());
    let key = || vec![int(1), str("k")];
    let get = || num(ExprKind::MapGet(M, key()));
    let has = || num(ExprKind::MapHas(M, key()));
    let body = vec![
        print(vec![get(), has()]),
        print(vec![update(key(), UpdateOp::Add, int(3), true), update(key(), UpdateOp::Add, int(3), false)]),
        print(vec![update(key(), UpdateOp::Set, int(9), true), update(key(), UpdateOp::Set, int(8), false)]),
        print(vec![get(), has(), num(ExprKind::MapHas(M, vec![int(1), str("other")]))]),
    ];
    assert_eq!(ran(&program, body), Ok("0 0 0 6 6 8 8 1 0".to_owned()));
}

#[test]
fn a_scalar_starts_as_declared_and_wraps() {
    let initial = crate::ir::Constant::Int(i64::MAX);
    let program = program(vec![GlobalKind::Scalar { ty: Ty::Int, initial }], Vec::new());
    let body = vec![
        Stmt::Effect(update(Vec::new(), UpdateOp::Add, int(1), false)),
        print(vec![num(ExprKind::Global(M))]),
        Stmt::Delete { global: M, keys: Vec::new(), span: HERE },
        print(vec![num(ExprKind::Global(M))]),
    ];
    assert_eq!(ran(&program, body), Ok("-9223372036854775808 9223372036854775807".to_owned()));
}

#[test]
fn a_full_map_drops_what_is_new_and_keeps_what_is_there() {
    let kind = GlobalKind::Map { keys: vec![Ty::Int], value: Ty::Int, size: Some(1) };
    let program = program(vec![kind], Vec::new());
    let mut machine = Recorded::new(&program);
    let add = |key| update(vec![int(key)], UpdateOp::Add, int(1), false);
    let get = |key| num(ExprKind::MapGet(M, vec![int(key)]));
    let body = vec![print(vec![add(1), add(2), add(1), get(1), get(2)])];
    assert_eq!(on(&mut machine, &program, body), Ok("1 1 2 2 0".to_owned()));
    assert_eq!(machine.dropped, 1);
}

#[test]
fn strings_are_cut_at_the_limit_and_marked_wherever_they_are_made() {
    let program = Program::default();
    let mut machine = Recorded { string_limit: 4, ..Recorded::new(&program) };
    let concat = |parts: &[&str]| text(ExprKind::Concat(parts.iter().map(|part| str(part)).collect()));
    let format = text(ExprKind::Format(vec![Piece::Text(b"n=".to_vec()), shown(int(123))]));
    let body = vec![print(vec![concat(&["ab", "cd"]), concat(&["ab", "cde"]), str("abcde"), format])];
    assert_eq!(on(&mut machine, &program, body), Ok("abcd abcd<truncated> abcd<truncated> n=12<truncated>".to_owned()));
    // A cut part leaves its mark on the whole.
    let mut machine = Recorded { string_limit: 8, ..Recorded::new(&program) };
    machine.memory.push((0x1000, b"123456789\0".to_vec()));
    let cut = text(ExprKind::UserString(Box::new(int(0x1000))));
    let parts = text(ExprKind::Concat(vec![cut, str("")]));
    assert_eq!(on(&mut machine, &program, vec![print(vec![parts])]), Ok("12345678<truncated>".to_owned()));
}

#[test]
fn sprintf_gives_what_printf_writes() {
    let program = Program::default();
    let pieces = vec![Piece::Text(b"<".to_vec()), shown(str("a")), Piece::Text(b",".to_vec()), shown(int(-5))];
    let length = num(ExprKind::Library(Library::Strlen, vec![text(ExprKind::Format(pieces.clone()))]));
    assert_eq!(ran(&program, vec![print(vec![text(ExprKind::Format(pieces)), length])]), Ok("<a,-5 5".to_owned()));
}

#[test]
fn aggregates_answer_and_say_nothing_of_nothing() {
    let program = program(vec![aggregates(vec![Ty::Str], StatsShape { log: true, linear: Vec::new() })], Vec::new());
    let feed = |key, value| Stmt::Aggregate { global: M, keys: vec![str(key)], value: int(value), span: HERE };
    let ask = |key, op| num(ExprKind::Stat { global: M, keys: vec![str(key)], op });
    let has = |key| num(ExprKind::MapHas(M, vec![str(key)]));
    let feeds = || vec![feed("a", 10), feed("a", -3), feed("a", 12)];
    let mut body = feeds();
    let asked = [StatOp::Count, StatOp::Sum, StatOp::Min, StatOp::Max, StatOp::Avg].map(|op| ask("a", op));
    body.push(print(asked.into()));
    body.push(print(vec![ask("b", StatOp::Count), ask("b", StatOp::Sum), has("a"), has("b")]));
    // 19 / 3 towards 0.
    assert_eq!(ran(&program, body), Ok("3 19 -3 12 6 0 0 1 0".to_owned()));
    for op in [StatOp::Min, StatOp::Max, StatOp::Avg, StatOp::Quantile(50)] {
        let mut asked = ask("b", op);
        asked.span = at(3);
        assert_eq!(ran(&program, vec![print(vec![asked])]), Err(Stop::Fault(at(3))), "{op:?}");
    }
    let mut body = feeds();
    body.push(print(vec![ask("a", StatOp::Quantile(99))]));
    assert_eq!(ran(&program, body), Ok("12".to_owned()), "no quantile is above the greatest value");
}

#[test]
fn context_entry_and_returned_are_what_was_recorded() {
    let program = Program::default();
    let mut machine = Recorded { bias: 0x7000, ..Recorded::new(&program) };
    machine.contexts.insert(Context::Pid, Value::Int(42));
    machine.entries = vec![Value::Int(5), Value::Fault];
    machine.returned.insert(Register(0), -1);
    machine.registers.insert(Register(7), 8);
    let cases = [
        (ExprKind::Context(Context::Pid), Ok(Value::Int(42))),
        (ExprKind::Context(Context::Tid), Err(Stop::NotHere(HERE))),
        (ExprKind::Entry(EntryIndex(0)), Ok(Value::Int(5))),
        (ExprKind::Entry(EntryIndex(1)), Err(Stop::Fault(HERE))),
        (ExprKind::Entry(EntryIndex(2)), Err(Stop::NotHere(HERE))),
        (ExprKind::Returned(Register(0)), Ok(Value::Int(-1))),
        (ExprKind::Returned(Register(2)), Err(Stop::Fault(HERE))),
        (ExprKind::Register(Register(7)), Ok(Value::Int(8))),
        (ExprKind::Register(Register(1)), Err(Stop::NotHere(HERE))),
        (ExprKind::ModuleAddress(0x10), Ok(Value::Int(0x7010))),
    ];
    for (kind, expected) in cases {
        assert_eq!(value(&mut machine, kind.clone()), expected, "{kind:?}");
    }
}

#[test]
fn sample_is_true_once_in_n() {
    let program = Program::default();
    let sample = |n| num(ExprKind::Library(Library::Sample, vec![int(n)]));
    let mut machine = Recorded { random: vec![10, 11, 20], ..Recorded::new(&program) };
    let body = vec![print(vec![sample(10), sample(10), sample(10), sample(1), sample(0), sample(-5)])];
    assert_eq!(on(&mut machine, &program, body), Ok("1 0 1 1 1 1".to_owned()));
}

fn function(parameters: &[Ty], others: &[Ty], returns: Option<Ty>, body: Vec<Stmt>) -> Function {
    let types: Vec<Ty> = parameters.iter().chain(others).copied().collect();
    let name = "f".to_owned();
    Function { name, span: HERE, parameters: parameters.len(), locals: locals(&types), returns, body }
}

fn call(index: u32, arguments: Vec<crate::ir::Expr>) -> crate::ir::Expr {
    num(ExprKind::Call(FunctionIndex(index), arguments))
}

#[test]
fn functions_have_locals_of_their_own_and_return() {
    // fn f(a, b) { c += a; return c * b }, c is 0 at each call.
    let body = vec![
        set(2, op(BinaryOp::Add, local(2), local(0))),
        Stmt::If {
            condition: compare(CompareOp::Gt, local(0), int(100)),
            then: vec![Stmt::Return(Some(int(-1)))],
            otherwise: Vec::new(),
        },
        Stmt::Return(Some(op(BinaryOp::Mul, local(2), local(1)))),
    ];
    let f = function(&[Ty::Int, Ty::Int], &[Ty::Int], Some(Ty::Int), body);
    // fn g(s) -> str { } gives "".
    let g = function(&[Ty::Str], &[], Some(Ty::Str), Vec::new());
    let program = program(Vec::new(), vec![f, g]);
    let g = text(ExprKind::Call(FunctionIndex(1), vec![str("x")]));
    let inner = call(0, vec![int(2), int(5)]);
    let body = vec![
        set(0, int(7)),
        print(vec![call(0, vec![int(3), int(4)]), call(0, vec![inner, local(0)]), call(0, vec![int(101), int(1)])]),
        print(vec![local(0), text(ExprKind::Concat(vec![str("["), g, str("]")]))]),
    ];
    assert_eq!(ran(&program, body), Ok("12 70 -1 7 []".to_owned()));
}

#[test]
fn a_return_leaves_the_loops_of_its_function() {
    // fn f() { while (1) { x++; if (x == 3) return x } }
    let round = vec![
        set(0, op(BinaryOp::Add, local(0), int(1))),
        Stmt::If {
            condition: compare(CompareOp::Eq, local(0), int(3)),
            then: vec![Stmt::Return(Some(local(0)))],
            otherwise: Vec::new(),
        },
    ];
    let body = vec![Stmt::While { condition: int(1), body: round, step: Vec::new(), span: HERE }];
    let program = program(Vec::new(), vec![function(&[], &[Ty::Int], Some(Ty::Int), body)]);
    assert_eq!(ran(&program, vec![print(vec![call(0, Vec::new())])]), Ok("3".to_owned()));
}

#[test]
fn next_and_exit_in_a_function_end_the_handler() {
    for (end, exit) in [(Stmt::Next, false), (Stmt::Exit, true)] {
        let program = program(Vec::new(), vec![function(&[], &[], None, vec![print(vec![int(1)]), end])]);
        let handler = handler(vec![Stmt::Effect(call(0, Vec::new())), print(vec![int(2)])]);
        let mut machine = Recorded::new(&program);
        let run = crate::interpret::run(&program, &handler, &mut machine).unwrap();
        assert_eq!((run.prints.len(), run.exit), (1, exit));
    }
}

#[test]
fn what_is_nested_too_deeply_stops_and_what_programs_may_hold_runs() {
    let chain = |length: usize| {
        let nested = (0..length).fold(int(0), |inner, _| op(BinaryOp::Add, inner, int(1)));
        print(vec![nested])
    };
    let program = Program::default();
    assert_eq!(ran(&program, vec![chain(crate::syntax::MAX_DEPTH)]), Ok(crate::syntax::MAX_DEPTH.to_string()));
    assert_eq!(ran(&program, vec![chain(MAX_NESTING)]), Err(Stop::StepLimit(HERE)));
    // A function that calls itself, which no checked program holds.
    let own = function(&[], &[], None, vec![Stmt::Effect(call(0, Vec::new()))]);
    let program = super::build::program(Vec::new(), vec![own]);
    assert_eq!(ran(&program, vec![Stmt::Effect(call(0, Vec::new()))]), Err(Stop::StepLimit(HERE)));
}
