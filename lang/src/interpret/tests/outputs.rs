//! Which values outputs take.

use super::build::*;
use crate::interpret::recorded::Recorded;
use crate::interpret::{self, Stop};
use crate::ir::{
    Block, Expr, ExprKind, LayoutIndex, Piece, Program, Show, Shown, Spec, StatsShape, Stmt, Ty, UpdateOp, Whole,
};
use crate::stats::Stats;
use crate::value::Value;

fn values(
    machine: &mut Recorded<'_>,
    program: &Program,
    before: Vec<Stmt>,
    shown: Vec<Piece>,
) -> Result<Vec<Value>, Stop> {
    let mut body = before;
    body.push(pieces(shown));
    let handler = handler(body);
    Ok(interpret::run(program, &handler, machine)?.prints.pop().unwrap().1)
}

fn load(address: i64) -> Expr {
    num(ExprKind::Load { address: Box::new(int(address)), size: 4, signed: true })
}

#[test]
fn what_cannot_be_read_is_shown_or_stops() {
    let program = Program::default();
    let piece = |fault_is_shown| {
        let (show, spec) = (Show::Signed, Spec::default());
        vec![Piece::Value(Shown { value: load(8), show, spec, fault_is_shown })]
    };
    let mut machine = Recorded::new(&program);
    assert_eq!(values(&mut machine, &program, Vec::new(), piece(true)), Ok(vec![Value::Fault]));
    assert_eq!(values(&mut machine, &program, Vec::new(), piece(false)), Err(Stop::Fault(HERE)));
}

#[test]
fn whole_values_come_with_their_texts_each_readable_or_not() {
    let program = Program::default();
    let mut machine = Recorded::new(&program);
    machine.memory.push((0x1000, vec![1, 2, 3, 4]));
    machine.memory.push((0x2000, b"text\0".to_vec()));
    let whole = |address, texts: [i64; 2]| {
        let block = text(ExprKind::Block(Block::Memory { address: Box::new(int(address)), size: 4 }));
        let elsewhere = texts.map(|at| text(ExprKind::UserString(Box::new(int(at))))).into();
        let layout = LayoutIndex(0);
        vec![Piece::Whole(Box::new(Whole { layout, block, elsewhere, spec: Spec::default(), written: None }))]
    };
    let given = values(&mut machine, &program, Vec::new(), whole(0x1000, [0x2000, 0]));
    assert_eq!(given, Ok(vec![Value::str([1, 2, 3, 4]), Value::str("text"), Value::Fault]));
    let given = values(&mut machine, &program, Vec::new(), whole(0, [0, 0x2000]));
    assert_eq!(given, Ok(vec![Value::Fault, Value::Fault, Value::str("text")]));
}

#[test]
fn tables_hold_all_entries_the_greatest_first() {
    let program = program(vec![map(vec![Ty::Int], Ty::Int)], Vec::new());
    let put = |key, number| Stmt::Effect(update(vec![int(key)], UpdateOp::Set, int(number), false));
    let mut machine = Recorded::new(&program);
    let given = values(
        &mut machine,
        &program,
        vec![put(1, 5), put(2, 9), put(0, 5)],
        vec![Piece::Table { global: M, asked: None }],
    );
    let entry = |key, number| (vec![Value::Int(key)], Value::Int(number));
    assert_eq!(given, Ok(vec![Value::Table(vec![entry(2, 9), entry(0, 5), entry(1, 5)])]));
}

fn histogram(keys: Vec<Expr>) -> Vec<Piece> {
    vec![Piece::Histogram { global: M, keys, linear: None, span: HERE }]
}

fn stats(shape: &StatsShape, numbers: &[i64]) -> Value {
    let mut stats = Stats::new(shape);
    numbers.iter().for_each(|number| stats.add(shape, *number));
    Value::Stats(Box::new(stats))
}

#[test]
fn histograms_are_of_one_key_of_all_by_rising_key_or_of_the_only_aggregate() {
    let shape = StatsShape { log: true, linear: Vec::new() };
    let feed = |keys, number| Stmt::Aggregate { global: M, keys, value: int(number), span: HERE };
    let of_map = program(vec![aggregates(vec![Ty::Str], shape.clone())], Vec::new());
    let feeds = || vec![feed(vec![str("b")], 1), feed(vec![str("b")], 2), feed(vec![str("a")], 3)];
    let (a, b) = (stats(&shape, &[3]), stats(&shape, &[1, 2]));
    let all = values(&mut Recorded::new(&of_map), &of_map, feeds(), histogram(Vec::new()));
    assert_eq!(all, Ok(vec![Value::Table(vec![(vec![Value::str("a")], a), (vec![Value::str("b")], b.clone())])]));
    let one = values(&mut Recorded::new(&of_map), &of_map, feeds(), histogram(vec![str("b")]));
    assert_eq!(one, Ok(vec![Value::Table(vec![(Vec::new(), b)])]));
    let none = values(&mut Recorded::new(&of_map), &of_map, feeds(), histogram(vec![str("c")]));
    assert_eq!(none, Ok(vec![Value::Table(Vec::new())]));
    let only = program(vec![aggregates(Vec::new(), shape.clone())], Vec::new());
    let fed = values(&mut Recorded::new(&only), &only, vec![feed(Vec::new(), 7)], histogram(Vec::new()));
    assert_eq!(fed, Ok(vec![Value::Table(vec![(Vec::new(), stats(&shape, &[7]))])]));
    let empty = values(&mut Recorded::new(&only), &only, Vec::new(), histogram(Vec::new()));
    assert_eq!(empty, Ok(vec![Value::Table(vec![(Vec::new(), stats(&shape, &[]))])]));
}
