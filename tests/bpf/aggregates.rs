//! Aggregates: from any number of threads and processes they hold what the calls themselves make of it, and what is
//! deleted while handlers run is neither lost nor counted twice.

use std::time::Duration;

use ctp::engine::Engine;
use ctp_lang::ir::*;
use ctp_lang::stats::Stats;
use ctp_lang::value::Value;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};

/// Each of `threads` threads calls `f` `calls` times with numbers of its own.
const CALLER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
__attribute__((noipa)) void f(long n) { asm volatile("" :: "r"(n)); }
static long calls;
static void *work(void *from) { for (long i = 0; i < calls; i++) f((long)from + i); return 0; }
int main(int argc, char **argv) {
    int threads = atoi(argv[1]);
    calls = atol(argv[2]);
    getchar();
    pthread_t all[64];
    for (long i = 0; i < threads; i++) pthread_create(&all[i], 0, work, (void *)(i * calls - 1000));
    for (int i = 0; i < threads; i++) pthread_join(all[i], 0);
    printf("%ld\n", threads * calls);
    return 0;
}
"#;

fn aggregate(global: u32, keys: Vec<Expr>) -> Stmt {
    Stmt::Aggregate { global: GlobalIndex(global), keys, value: argument(0), span: span() }
}

fn stats(value: Value) -> Stats {
    match value {
        Value::Stats(stats) => *stats,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_million_calls_of_eight_threads_are_aggregated_exactly() {
    let (binary, web) = (Binary::c(CALLER, &["-O2"]), OwnCgroup::new("web"));
    let mut running = [web.start(&binary, &["4", "125000"]), web.start(&binary, &["4", "125000"])];
    let shape = StatsShape { log: true, linear: vec![Linear { low: 0, high: 100_000, step: 10_000 }] };
    let rest = || operate(BinaryOp::And, argument(0), int(7));
    let case = Case::new(&[&binary], vec![web.container()])
        .stats("one", &[], shape.clone())
        .stats("plain", &[Ty::Int], StatsShape::default())
        .stats("by_rest", &[Ty::Int], shape.clone())
        .probe(&[(0, "f", &[0])], vec![aggregate(0, vec![]), aggregate(1, vec![rest()]), aggregate(2, vec![rest()])]);
    let mut engine = case.start();
    running.iter_mut().for_each(|running| running.go());
    let calls: u64 = running.map(|running| running.finish().trim().parse::<u64>().unwrap()).iter().sum();
    engine.stop().unwrap();
    assert_eq!(calls, 1_000_000);
    let (mut all, mut parts) = (Stats::new(&shape), vec![Stats::new(&shape); 8]);
    for number in (0..4i64).flat_map(|thread| (0..125_000).map(move |i| thread * 125_000 + i - 1000)) {
        for _ in 0..2 {
            all.add(&shape, number);
            parts[usize::try_from(number & 7).unwrap()].add(&shape, number);
        }
    }
    assert_eq!(stats(engine.get(GlobalIndex(0), &[]).unwrap()), all);
    for (global, has_histograms) in [(1, false), (2, true)] {
        let entries = engine.entries(GlobalIndex(global)).unwrap();
        assert_eq!(entries.len(), 8);
        for ((key, value), part) in entries.into_iter().zip(&parts) {
            let mut expected = part.clone();
            if !has_histograms {
                (expected.log, expected.linear) = (Vec::new(), Vec::new());
            }
            assert_eq!(stats(value), expected, "{key:?}");
        }
    }
    let counters = engine.counters().unwrap()[0];
    assert_eq!((counters.aggregated, counters.hits(), counters.map_full), (calls, calls, 0));
}

#[test]
fn an_aggregate_of_a_full_map_drops_and_counts() {
    let (binary, web) = (Binary::c(CALLER, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &["1", "1000"]);
    let mut case = Case::new(&[&binary], vec![web.container()])
        .stats("by_number", &[Ty::Int], StatsShape::default())
        .probe(&[(0, "f", &[0])], vec![aggregate(0, vec![argument(0)])]);
    if let GlobalKind::Stats { size, .. } = &mut case.program.globals[0].kind {
        *size = Some(64);
    }
    let mut engine = case.start();
    running.go();
    running.finish();
    engine.stop().unwrap();
    let counters = engine.counters().unwrap()[0];
    assert_eq!(engine.entries(GlobalIndex(0)).unwrap().len(), 64);
    assert_eq!((counters.map_full, counters.hits()), (936, 1000));
}

/// The runner reads and deletes while two threads count: each round's part and the rest make all of it.
#[test]
fn generations_that_are_read_and_deleted_meanwhile_lose_nothing() {
    let (binary, web) = (Binary::c(CALLER, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &["2", "100000"]);
    let delete = |global| Stmt::Delete { global: GlobalIndex(global), keys: Vec::new(), span: span() };
    let rest = || operate(BinaryOp::And, argument(0), int(3));
    let mut case = Case::new(&[&binary], vec![web.container()])
        .map("counts", &[Ty::Int], Ty::Int, None)
        .stats("sums", &[Ty::Int], StatsShape::default())
        .stats("all", &[], StatsShape { log: true, linear: Vec::new() })
        .probe(&[(0, "f", &[0])], vec![add(0, vec![rest()], int(1)), aggregate(1, vec![rest()]), aggregate(2, vec![])]);
    let handler = Handler { body: (0..3).map(delete).collect(), ..Handler::default() };
    let kind = ProbeKind::Every { period: 1_000_000_000, handler };
    case.program.probes.push(Probe { point: "every(1s)".to_owned(), span: span(), kind });
    let mut engine = case.start();
    running.go();
    let shape = StatsShape { log: true, linear: Vec::new() };
    let (mut counted, mut sums, mut all) = (0i64, 0u64, Stats::new(&shape));
    let mut rounds = 0;
    let mut ended = false;
    while !ended {
        ended = running.child.try_wait().unwrap().is_some();
        for global in (0..3).map(GlobalIndex) {
            engine.close_generation(global).unwrap();
            for (_, value) in engine.entries(global).unwrap() {
                match value {
                    Value::Int(count) => counted += count,
                    Value::Stats(stats) if global == GlobalIndex(1) => sums += stats.count,
                    Value::Stats(stats) => all.merge(&stats),
                    other => panic!("{other:?}"),
                }
            }
            engine.delete_global(global, &[]).unwrap();
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    engine.stop().unwrap();
    assert!(rounds > 2, "only {rounds} rounds");
    assert_eq!((counted, sums, all.count), (200_000, 200_000, 200_000));
    assert_eq!(all.log.iter().sum::<u64>(), 200_000);
    assert_eq!((all.min, all.max), (-1000, 198_999));
}
