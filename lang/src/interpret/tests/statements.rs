//! Loops, conditions, deletion, ends.

use super::build::*;
use crate::interpret::recorded::Recorded;
use crate::interpret::{self, Stop};
use crate::ir::{
    BinaryOp, CompareOp, ExprKind, Foreach, ForeachOrder, Handler, LocalIndex, OrderBy, Program, StatOp, StatsShape,
    Stmt, Ty, UpdateOp,
};

fn grow(local_index: u32, by: i64) -> Stmt {
    set(local_index, op(BinaryOp::Add, local(local_index), int(by)))
}

fn when(condition: crate::ir::Expr, then: Stmt) -> Stmt {
    Stmt::If { condition, then: vec![then], otherwise: Vec::new() }
}

fn repeat(condition: crate::ir::Expr, body: Vec<Stmt>, step: Vec<Stmt>) -> Stmt {
    Stmt::While { condition, body, step, span: at(9) }
}

#[test]
fn loops_go_on_break_and_continue() {
    // for (i = 0; i < 6; i++) { if (i == 1) continue; if (i == 4) break; print(i) }
    let body = vec![
        when(compare(CompareOp::Eq, local(0), int(1)), Stmt::Continue),
        when(compare(CompareOp::Eq, local(0), int(4)), Stmt::Break),
        print(vec![local(0)]),
    ];
    let counted = repeat(compare(CompareOp::Lt, local(0), int(6)), body, vec![grow(0, 1)]);
    let after = print(vec![local(0)]);
    assert_eq!(ran(&Program::default(), vec![counted, after]), Ok("0 2 3 4".to_owned()));
}

#[test]
fn a_break_leaves_the_inner_loop_only() {
    let inner = repeat(int(1), vec![grow(1, 1), Stmt::Break], Vec::new());
    let outer = repeat(compare(CompareOp::Lt, local(0), int(3)), vec![inner], vec![grow(0, 1)]);
    assert_eq!(ran(&Program::default(), vec![outer, print(vec![local(0), local(1)])]), Ok("3 3".to_owned()));
}

#[test]
fn all_loops_of_a_run_together_go_round_no_more_than_max_steps_times() {
    let program = Program::default();
    let rounds = |index: u32, most: i64| {
        repeat(compare(CompareOp::Lt, local(index), int(most)), vec![grow(index, 1)], Vec::new())
    };
    let machine = || Recorded { max_steps: 10, ..Recorded::new(&program) };
    let within = vec![rounds(0, 6), rounds(1, 4), print(vec![local(0), local(1)])];
    assert_eq!(on(&mut machine(), &program, within), Ok("6 4".to_owned()));
    assert_eq!(on(&mut machine(), &program, vec![rounds(0, 6), rounds(1, 5)]), Err(Stop::StepLimit(at(9))));
    assert_eq!(on(&mut machine(), &program, vec![repeat(int(1), Vec::new(), Vec::new())]), Err(Stop::StepLimit(at(9))));
}

#[test]
fn conditions_choose_and_filter() {
    let program = Program::default();
    let choose = |number| Stmt::If {
        condition: int(number),
        then: vec![print(vec![int(1)])],
        otherwise: vec![print(vec![int(2)])],
    };
    assert_eq!(ran(&program, vec![choose(-1), choose(0)]), Ok("1 2".to_owned()));
    let mut filtering = handler(vec![print(vec![int(1)])]);
    for (condition, filtered) in [(0, true), (3, false)] {
        filtering.condition = Some(int(condition));
        let run = interpret::run(&program, &filtering, &mut Recorded::new(&program)).unwrap();
        assert_eq!((run.filtered, run.prints.is_empty()), (filtered, filtered));
    }
}

#[test]
fn next_ends_the_handler_and_exit_the_run() {
    let program = Program::default();
    let ended = |end| {
        let handler = handler(vec![print(vec![int(1)]), repeat(int(1), vec![end], Vec::new()), print(vec![int(2)])]);
        let run =
            interpret::run(&program, &handler, &mut Recorded::new(&program)).map(|run| (run.prints.len(), run.exit));
        run.unwrap()
    };
    assert_eq!(ended(Stmt::Next), (1, false));
    assert_eq!(ended(Stmt::Exit), (1, true));
}

/// `m[K] = V` for each.
fn filled(entries: &[(i64, &str, i64)]) -> Vec<Stmt> {
    let entries = entries.iter();
    entries
        .map(|(a, b, value)| Stmt::Effect(update(vec![int(*a), str(b)], UpdateOp::Set, int(*value), false)))
        .collect()
}

fn over(order: Option<(OrderBy, bool)>, limit: Option<i64>, body: Vec<Stmt>) -> Stmt {
    Stmt::Foreach(Box::new(Foreach {
        global: M,
        keys: vec![LocalIndex(0), LocalIndex(4)],
        value: Some(LocalIndex(1)),
        order: order.map(|(by, falling)| ForeachOrder { by, falling }),
        limit: limit.map(int),
        body,
        span: HERE,
    }))
}

fn shows() -> Vec<Stmt> {
    vec![print(vec![local(0), local_text(4), local(1)])]
}

#[test]
fn foreach_orders_and_limits() {
    let program = program(vec![map(vec![Ty::Int, Ty::Str], Ty::Int)], Vec::new());
    let entries = [(2, "b", 5), (1, "z", 7), (10, "a", 5), (1, "y", -1)];
    let cases = [
        (Some((OrderBy::Value, false)), None, "1 y -1 2 b 5 10 a 5 1 z 7"),
        // Of equal values the lower key comes first, falling or not.
        (Some((OrderBy::Value, true)), None, "1 z 7 2 b 5 10 a 5 1 y -1"),
        (Some((OrderBy::Key(0), true)), None, "10 a 5 2 b 5 1 y -1 1 z 7"),
        (Some((OrderBy::Key(1), false)), None, "10 a 5 2 b 5 1 y -1 1 z 7"),
        (Some((OrderBy::Value, true)), Some(2), "1 z 7 2 b 5"),
        (Some((OrderBy::Value, true)), Some(0), ""),
        (Some((OrderBy::Value, true)), Some(-3), ""),
        (None, Some(i64::MAX), "1 y -1 1 z 7 2 b 5 10 a 5"),
    ];
    for (order, limit, expected) in cases {
        let mut body = filled(&entries);
        body.push(over(order, limit, shows()));
        assert_eq!(ran(&program, body), Ok(expected.to_owned()), "{order:?} {limit:?}");
    }
}

#[test]
fn foreach_goes_over_what_was_there_when_it_began() {
    let program = program(vec![map(vec![Ty::Int, Ty::Str], Ty::Int)], Vec::new());
    let mut body = filled(&[(1, "a", 1), (2, "b", 2)]);
    let change = vec![
        Stmt::Effect(update(vec![int(3), str("new")], UpdateOp::Set, int(9), false)),
        Stmt::Delete { global: M, keys: vec![int(2), str("b")], span: HERE },
    ];
    body.push(over(None, None, change.into_iter().chain(shows()).collect()));
    body.push(over(None, None, shows()));
    assert_eq!(ran(&program, body), Ok("1 a 1 2 b 2 1 a 1 3 new 9".to_owned()));
}

#[test]
fn foreach_breaks_continues_and_counts_no_steps() {
    let program = program(vec![map(vec![Ty::Int, Ty::Str], Ty::Int)], Vec::new());
    let mut body = filled(&[(1, "", 1), (2, "", 2), (3, "", 3), (4, "", 4)]);
    let mut round = vec![
        when(compare(CompareOp::Eq, local(0), int(2)), Stmt::Continue),
        when(compare(CompareOp::Eq, local(0), int(4)), Stmt::Break),
    ];
    round.push(print(vec![local(0)]));
    body.push(over(None, None, round));
    let mut machine = Recorded { max_steps: 0, ..Recorded::new(&program) };
    assert_eq!(on(&mut machine, &program, body), Ok("1 3".to_owned()));
}

#[test]
fn foreach_over_aggregates_gives_counts_and_orders_by_what_is_asked() {
    let program = program(vec![aggregates(vec![Ty::Int, Ty::Str], StatsShape::default())], Vec::new());
    let feed = |key, value| Stmt::Aggregate { global: M, keys: vec![int(key), str("")], value: int(value), span: HERE };
    // Averages 10, 30, 20; sums 30, 30, 20; counts 3, 1, 1.
    let feeds = || vec![feed(1, 5), feed(1, 10), feed(1, 15), feed(2, 30), feed(3, 20)];
    let shows = || vec![print(vec![local(0), local(1)])];
    let cases = [
        ((OrderBy::Stat(StatOp::Avg), true), "2 1 3 1 1 3"),
        ((OrderBy::Stat(StatOp::Sum), true), "1 3 2 1 3 1"),
        ((OrderBy::Stat(StatOp::Min), false), "1 3 3 1 2 1"),
        ((OrderBy::Value, true), "1 3 2 1 3 1"),
    ];
    for (order, expected) in cases {
        let mut body = feeds();
        body.push(over(Some(order), None, shows()));
        assert_eq!(ran(&program, body), Ok(expected.to_owned()), "{order:?}");
    }
}

#[test]
fn delete_takes_out_one_or_all() {
    let program = program(vec![map(vec![Ty::Int, Ty::Str], Ty::Int)], Vec::new());
    let delete = |keys| Stmt::Delete { global: M, keys, span: HERE };
    let entries = [(1, "a", 1), (2, "b", 2)];
    let mut body = filled(&entries);
    body.extend([delete(vec![int(1), str("a")]), delete(vec![int(7), str("no")]), over(None, None, shows())]);
    assert_eq!(ran(&program, body), Ok("2 b 2".to_owned()));
    let mut body = filled(&entries);
    body.extend([delete(Vec::new()), over(None, None, shows())]);
    assert_eq!(ran(&program, body), Ok(String::new()));
}

#[test]
fn deleted_aggregates_start_anew() {
    let program = program(vec![aggregates(Vec::new(), StatsShape::default())], Vec::new());
    let feed = |value| Stmt::Aggregate { global: M, keys: Vec::new(), value: int(value), span: HERE };
    let ask = |op| num(ExprKind::Stat { global: M, keys: Vec::new(), op });
    let delete = Stmt::Delete { global: M, keys: Vec::new(), span: HERE };
    let body = vec![feed(5), delete, print(vec![ask(StatOp::Count)]), feed(7), print(vec![ask(StatOp::Max)])];
    assert_eq!(ran(&program, body), Ok("0 7".to_owned()));
}

#[test]
fn a_stopped_run_prints_nothing_and_keeps_its_updates() {
    let program = program(vec![map(vec![Ty::Int, Ty::Str], Ty::Int)], Vec::new());
    let mut body = filled(&[(1, "a", 1)]);
    body.extend([print(vec![int(1)]), Stmt::Effect(op(BinaryOp::Mod, int(1), int(0)))]);
    let mut machine = Recorded::new(&program);
    let stopped = Handler { body, ..handler(Vec::new()) };
    assert_eq!(interpret::run(&program, &stopped, &mut machine), Err(Stop::DivisionByZero(HERE)));
    assert_eq!(on(&mut machine, &program, vec![over(None, None, shows())]), Ok("1 a 1".to_owned()));
}
