//! Globals: counters and maps hold what the program itself counted.

use ctp::engine::Engine;
use ctp_lang::ir::*;
use ctp_lang::value::Value;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};

const WORDS: &str = r#"
#include <stdio.h>
#include <string.h>
__attribute__((noipa)) void f(const char *word, int n) { asm volatile("" :: "r"(word), "r"(n)); }
int main(void) {
    getchar();
    const char *words[] = { "ab", "b", "", "ab", "c", "ab" };
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < 6; i++) f(words[i], i % 2);
    return 0;
}
"#;

#[test]
fn maps_count_by_text_and_number_and_container() {
    let (binary, web, web2) = (Binary::c(WORDS, &["-O2"]), OwnCgroup::new("web"), OwnCgroup::new("web2"));
    let mut running = [web.start(&binary, &[]), web2.start(&binary, &[])];
    let word = || user_string(argument(0));
    let case = Case::new(&[&binary], vec![web.container(), web2.container()])
        .map("by_word", &[Ty::Str], Ty::Int, None)
        .map("by_pair", &[Ty::Int, Ty::Str], Ty::Int, None)
        .map("by_container", &[Ty::Str, Ty::Int], Ty::Int, None)
        .map("last", &[Ty::Str], Ty::Str, None)
        .number("calls")
        .number("sum")
        .string("latest", "none")
        .probe(
            &[(0, "f", &[0, 1])],
            vec![
                add(0, vec![word()], int(1)),
                add(1, vec![int_argument(1), word()], int_argument(1)),
                add(2, vec![context(Context::Container), int_argument(1)], int(1)),
                Stmt::Effect(update(3, vec![context(Context::Container)], UpdateOp::Set, word(), false)),
                add(4, vec![], int(1)),
                add(5, vec![], operate(BinaryOp::Sub, int(0), int_argument(1))),
                Stmt::Effect(update(6, vec![], UpdateOp::Set, word(), false)),
            ],
        );
    let mut engine = case.start();
    assert_eq!(engine.get(GlobalIndex(6), &[]).unwrap(), Value::str(*b"none"));
    for running in &mut running {
        running.go();
    }
    for running in running {
        running.finish();
    }
    engine.stop().unwrap();
    let entries = |global| engine.entries(GlobalIndex(global)).unwrap();
    let s = |text: &str| Value::str(text.as_bytes());
    let n = Value::Int;
    assert_eq!(
        entries(0),
        [(vec![s("")], n(100)), (vec![s("ab")], n(300)), (vec![s("b")], n(100)), (vec![s("c")], n(100))]
    );
    assert_eq!(
        entries(1),
        [
            (vec![n(0), s("")], n(0)),
            (vec![n(0), s("ab")], n(0)),
            (vec![n(0), s("c")], n(0)),
            (vec![n(1), s("ab")], n(200)),
            (vec![n(1), s("b")], n(100)),
        ]
    );
    assert_eq!(
        entries(2),
        [
            (vec![s("web"), n(0)], n(150)),
            (vec![s("web"), n(1)], n(150)),
            (vec![s("web2"), n(0)], n(150)),
            (vec![s("web2"), n(1)], n(150)),
        ]
    );
    assert_eq!(entries(3), [(vec![s("web")], s("ab")), (vec![s("web2")], s("ab"))]);
    assert_eq!(engine.get(GlobalIndex(4), &[]).unwrap(), n(600));
    assert_eq!(engine.get(GlobalIndex(5), &[]).unwrap(), n(-300));
    assert_eq!(engine.get(GlobalIndex(6), &[]).unwrap(), s("ab"));
    assert_eq!(engine.get(GlobalIndex(0), &[s("b")]).unwrap(), n(100));
    assert_eq!(engine.get(GlobalIndex(0), &[s("absent")]).unwrap(), n(0));
    assert!(engine.has(GlobalIndex(2), &[s("web2"), n(1)]).unwrap());
    assert!(!engine.has(GlobalIndex(2), &[s("other"), n(1)]).unwrap());
    let counters = engine.counters().unwrap()[0];
    assert_eq!((counters.aggregated, counters.hits(), counters.map_full), (600, 600, 0));
}

#[test]
fn what_begin_set_is_what_handlers_find() {
    let (binary, web) = (Binary::c(WORDS, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let word = || user_string(argument(0));
    let wanted = expr(Ty::Int, ExprKind::MapHas(GlobalIndex(0), vec![word()]));
    let value = || expr(Ty::Int, ExprKind::MapGet(GlobalIndex(0), vec![word()]));
    let case = Case::new(&[&binary], vec![web.container()])
        .map("weights", &[Ty::Str], Ty::Int, None)
        .number("sum")
        .probe_handler(
            &[(0, "f", &[0])],
            Handler {
                condition: Some(wanted),
                body: vec![
                    add(1, vec![], value()),
                    Stmt::Effect(update(
                        0,
                        vec![word()],
                        UpdateOp::Set,
                        operate(BinaryOp::Add, value(), int(1)),
                        false,
                    )),
                ],
                ..Handler::default()
            },
        );
    let mut engine = case.start();
    let s = |text: &str| Value::str(text.as_bytes());
    assert!(engine.set(GlobalIndex(0), &[s("ab")], &Value::Int(1000)).unwrap());
    assert_eq!(engine.add(GlobalIndex(0), &[s("")], 7).unwrap(), Some(0));
    running.go();
    running.finish();
    engine.stop().unwrap();
    // 150 calls with "ab" add 1000, 1001, …; 50 with "" add 7, 8, …
    let sum: i64 = (1000..1150).sum::<i64>() + (7..57).sum::<i64>();
    assert_eq!(engine.get(GlobalIndex(1), &[]).unwrap(), Value::Int(sum));
    assert_eq!(engine.get(GlobalIndex(0), &[s("ab")]).unwrap(), Value::Int(1150));
    let counters = engine.counters().unwrap()[0];
    assert_eq!((counters.filtered, counters.aggregated), (100, 200));
}

#[test]
fn updates_that_a_full_map_drops_are_counted() {
    let source = r#"
#include <stdio.h>
__attribute__((noipa)) void f(int n) { asm volatile("" :: "r"(n)); }
int main(void) { getchar(); for (int i = 0; i < 1000; i++) f(i % 100); return 0; }
"#;
    let (binary, web) = (Binary::c(source, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let case = Case::new(&[&binary], vec![web.container()])
        .map("by_number", &[Ty::Int], Ty::Int, Some(64))
        .probe(&[(0, "f", &[0])], vec![add(0, vec![int_argument(0)], int(1))]);
    let mut engine = case.start();
    running.go();
    running.finish();
    engine.stop().unwrap();
    let entries = engine.entries(GlobalIndex(0)).unwrap();
    let kept: u64 = entries.iter().map(|(_, value)| if let Value::Int(n) = value { n.unsigned_abs() } else { 0 }).sum();
    let counters = engine.counters().unwrap()[0];
    assert_eq!(entries.len(), 64);
    assert_eq!((kept, counters.map_full, counters.hits()), (640, 360, 1000));
}

#[test]
fn additions_give_the_value_before_or_after() {
    let source = r#"
#include <stdio.h>
__attribute__((noipa)) void f(int n) { asm volatile("" :: "r"(n)); }
int main(void) {
    getchar();
    int before = 0, by[3] = {0};
    for (int i = 0; i < 9; i++) {
        f(i);
        printf("%d %d %d %d\n", before, before + i, by[i % 3], by[i % 3] + 1);
        before += i; by[i % 3]++;
    }
    return 0;
}
"#;
    let (binary, web) = (Binary::c(source, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let n = || int_argument(0);
    let key = || vec![operate(BinaryOp::Mod, n(), int(3))];
    let parts = vec![
        Part::Need(update(0, vec![], UpdateOp::Add, n(), true)),
        Part::Text(" "),
        Part::Need(update(1, vec![], UpdateOp::Add, n(), false)),
        Part::Text(" "),
        Part::Need(update(2, key(), UpdateOp::Add, int(1), true)),
        Part::Text(" "),
        Part::Need(update(3, key(), UpdateOp::Add, int(1), false)),
        Part::Text("\n"),
    ];
    let case = Case::new(&[&binary], vec![web.container()])
        .number("a")
        .number("b")
        .map("c", &[Ty::Int], Ty::Int, None)
        .map("d", &[Ty::Int], Ty::Int, None)
        .probe(&[(0, "f", &[0])], vec![print(parts)]);
    let mut engine = case.start();
    running.go();
    let printed = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    assert_eq!(written(&engine, &events), printed);
}

/// A program in the kernel may use 64 maps: 150 probes with a map each are several, one with 80 is told so.
#[test]
fn more_maps_than_one_program_may_use() {
    let (binary, web) = (Binary::c(WORDS, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let maps = |count: u32| {
        (0..count).fold(Case::new(&[&binary], vec![web.container()]), |case, index| {
            case.map(&format!("m{index}"), &[Ty::Int], Ty::Int, Some(16))
        })
    };
    let case = (0..150)
        .fold(maps(150), |case, index| case.probe(&[(0, "f", &[0])], vec![add(index, vec![int_argument(1)], int(1))]));
    let mut engine = case.start();
    running.go();
    running.finish();
    engine.stop().unwrap();
    for index in 0..150 {
        let entries = engine.entries(GlobalIndex(index)).unwrap();
        let n = Value::Int;
        assert_eq!(entries, [(vec![n(0)], n(150)), (vec![n(1)], n(150))]);
    }
    let all = (0..80).map(|index| add(index, vec![int_argument(1)], int(1))).collect();
    let case = maps(80).probe(&[(0, "f", &[0])], all);
    let refused = ctp::engine::bpf::compile(&case.program, &Default::default()).unwrap_err();
    assert_eq!(refused[0].code, ctp_lang::codes::Code::E0303);
    assert!(refused[0].message.contains("too many globals"), "{}", refused[0].message);
}
