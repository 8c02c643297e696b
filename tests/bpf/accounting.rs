//! Accounting: every call is in exactly one counter, whose task it was decides, and nothing stays behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ctp::engine::{Counters, Engine};
use ctp_lang::emit::bpf::Options;
use ctp_lang::ir::*;
use ctp_lang::value::Value;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};

/// Each of `threads` threads calls `f` `calls` times.
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
    for (long i = 0; i < threads; i++) pthread_create(&all[i], 0, work, (void *)(i * calls));
    for (int i = 0; i < threads; i++) pthread_join(all[i], 0);
    printf("%ld\n", threads * calls);
    return 0;
}
"#;

#[test]
fn a_million_calls_are_received_or_lost_and_counted_exactly() {
    let (binary, web) = (Binary::c(CALLER, &["-O2"]), OwnCgroup::new("web"));
    let mut running = [web.start(&binary, &["4", "125000"]), web.start(&binary, &["4", "125000"])];
    let case = Case::new(&[&binary], vec![web.container()])
        .number("calls")
        .map("by_rest", &[Ty::Int], Ty::Int, None)
        .probe(&[(0, "f", &[0])], vec![print(vec![Part::Show(argument(0))])])
        .probe(&[(0, "f", &[0])], vec![add(0, vec![], int(1)), add(1, vec![binary_mod(argument(0), 10)], argument(0))]);
    let mut engine = case.start_with(&Options { ring_size: 1 << 20, ..Options::default() });
    for running in &mut running {
        running.go();
    }
    let deadline = Instant::now() + Duration::from_secs(300);
    // The reader sleeps until something is lost.
    while engine.counters().unwrap()[0].lost == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (mut received, mut sum) = (0u64, 0i64);
    let mut take = |event: ctp::engine::Event| {
        received += 1;
        if let Value::Int(n) = event.prints[0].values[0] {
            sum += n;
        }
    };
    let mut ended = 0;
    while ended < 2 && Instant::now() < deadline {
        engine.poll(Duration::from_millis(20), None, &mut take).unwrap();
        ended = running.iter_mut().filter_map(|running| running.child.try_wait().unwrap()).count();
    }
    engine.stop().unwrap();
    for _ in 0..1000 {
        engine.poll(Duration::ZERO, None, &mut take).unwrap();
    }
    let calls: u64 = running.map(|running| running.finish().trim().parse::<u64>().unwrap()).iter().sum();
    let counters = engine.counters().unwrap();
    assert_eq!(calls, 1_000_000);
    assert_eq!(counters[0].records, received);
    assert_eq!(counters[0].records + counters[0].lost, calls);
    assert!(counters[0].lost > 0, "the reader slept through nothing");
    assert_eq!(counters[1], Counters { aggregated: calls, ..Counters::default() });
    assert_eq!(engine.get(GlobalIndex(0), &[]).unwrap(), Value::Int(1_000_000));
    let expected: i64 = 2 * (0..500_000i64).sum::<i64>();
    let total: i64 = engine
        .entries(GlobalIndex(1))
        .unwrap()
        .iter()
        .map(|(_, value)| if let Value::Int(n) = value { *n } else { 0 })
        .sum();
    assert_eq!(total, expected);
    assert!(sum <= expected);
}

/// Each run writes several records; those of which a part found no room are lost whole, and nobody sees half of one.
#[test]
fn runs_of_several_records_are_received_whole_or_lost() {
    let (binary, web) = (Binary::c(CALLER, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &["4", "400"]);
    let local = || expr(Ty::Int, ExprKind::Local(LocalIndex(0)));
    let grow = Stmt::SetLocal(LocalIndex(0), operate(BinaryOp::Add, local(), int(1)));
    let line = vec![Part::Show(local()), Part::Show(argument(0)), Part::Show(user_string(argument(0)))];
    let body = vec![Stmt::While {
        condition: compare(CompareOp::Lt, local(), int(200)),
        body: vec![print(line)],
        step: vec![grow],
        span: span(),
    }];
    let locals = vec![Local { name: "i".to_owned(), ty: Ty::Int }];
    let case = Case::new(&[&binary], vec![web.container()])
        .probe_handler(&[(0, "f", &[0])], Handler { locals, body, ..Handler::default() });
    let mut engine = case.start_with(&Options { ring_size: 1 << 18, ..Options::default() });
    running.go();
    std::thread::sleep(Duration::from_millis(300));
    let (mut received, mut wrong) = (Vec::new(), 0);
    let mut take = |event: ctp::engine::Event| {
        let Value::Int(n) = event.prints[0].values[1] else { panic!() };
        received.push(n);
        let expected = (0..200).map(|i| [Value::Int(i), Value::Int(n), Value::Fault]);
        wrong += usize::from(!event.prints.iter().map(|printed| printed.values.clone()).eq(expected));
    };
    while running.child.try_wait().unwrap().is_none() {
        engine.poll(Duration::from_millis(20), None, &mut take).unwrap();
    }
    running.finish();
    engine.stop().unwrap();
    for _ in 0..1000 {
        engine.poll(Duration::ZERO, None, &mut take).unwrap();
    }
    let counters = engine.counters().unwrap()[0];
    assert_eq!(wrong, 0);
    assert_eq!(counters.records, received.len() as u64);
    assert_eq!((counters.hits(), counters.records + counters.lost), (1600, 1600));
    assert!(counters.lost > 0, "the reader slept through nothing");
    received.sort_unstable();
    received.dedup();
    assert_eq!(received.len() as u64, counters.records, "a call twice");
    assert_eq!(engine.malformed(), 0);
}

fn binary_mod(left: Expr, right: i64) -> Expr {
    operate(BinaryOp::Mod, left, int(right))
}

#[test]
fn only_tasks_of_the_matched_containers_count_although_all_share_the_inode() {
    let binary = Binary::c(CALLER, &["-O2"]);
    let (web, web2, other) = (OwnCgroup::new("web"), OwnCgroup::new("web2"), OwnCgroup::new("other"));
    // A process in a cgroup inside the container's is the container's too.
    let inner = web.folder.join("inner");
    std::fs::create_dir(&inner).unwrap();
    let mut running =
        [web.start(&binary, &["1", "10"]), web2.start(&binary, &["1", "200"]), other.start(&binary, &["1", "3000"])];
    let mut nested = web.start(&binary, &["1", "40000"]);
    std::fs::write(inner.join("cgroup.procs"), nested.child.id().to_string()).unwrap();
    let body = || vec![add(0, vec![context(Context::Container)], int(1))];
    let only = |index: u32| vec![add(index, vec![], int(1))];
    let case = Case::new(&[&binary], vec![web.container(), web2.container()])
        .map("calls", &[Ty::Str], Ty::Int, None)
        .number("web")
        .number("web2")
        .probe(&[(0, "f", &[0, 1])], body())
        .probe(&[(0, "f", &[0])], only(1))
        .probe(&[(0, "f", &[1])], only(2));
    let mut engine = case.start();
    for running in running.iter_mut().chain([&mut nested]) {
        running.go();
    }
    for running in running.into_iter().chain([nested]) {
        running.finish();
    }
    engine.stop().unwrap();
    let name = |text: &str| vec![Value::str(text.as_bytes())];
    assert_eq!(
        engine.entries(GlobalIndex(0)).unwrap(),
        [(name("web"), Value::Int(40010)), (name("web2"), Value::Int(200))]
    );
    assert_eq!(engine.get(GlobalIndex(1), &[]).unwrap(), Value::Int(40010));
    assert_eq!(engine.get(GlobalIndex(2), &[]).unwrap(), Value::Int(200));
    let hits: Vec<u64> = engine.counters().unwrap().iter().map(Counters::hits).collect();
    assert_eq!(hits, [40210, 40010, 200]);
    std::fs::remove_dir(&inner).unwrap();
}

/// Moves itself into one cgroup after the other, and calls `f` once more in each than in the one before.
const WANDERER: &str = r#"
#include <stdio.h>
__attribute__((noipa)) void f(long n) { asm volatile("" :: "r"(n)); }
int main(int argc, char **argv) {
    getchar();
    for (int i = 1; i < argc; i++) {
        FILE *procs = fopen(argv[i], "w");
        if (!procs || fputs("0", procs) < 0 || fclose(procs))
            return 1;
        for (int n = 0; n < i; n++) f(n);
    }
    puts("done");
    return 0;
}
"#;

/// Programs find some containers without a look-up, where there is room for 1,024: each of more has its own calls.
#[test]
fn each_of_more_containers_than_are_found_without_a_look_up_has_its_own_calls() {
    const ALL: usize = 1100;
    let binary = Binary::c(WANDERER, &["-O2"]);
    let folders: Vec<OwnCgroup> = (0..ALL).map(|i| OwnCgroup::new(&format!("c{i}"))).collect();
    let stranger = OwnCgroup::new("stranger");
    let visited: Vec<String> =
        folders.iter().chain([&stranger]).map(|one| one.folder.join("cgroup.procs").display().to_string()).collect();
    let visited: Vec<&str> = visited.iter().map(String::as_str).collect();
    let all: Vec<u32> = (0u32..).take(ALL).collect();
    let even: Vec<u32> = all.iter().copied().filter(|i| i % 2 == 0).collect();
    let case = Case::new(&[&binary], folders.iter().map(OwnCgroup::container).collect())
        .map("calls", &[Ty::Str], Ty::Int, None)
        .map("even", &[Ty::Str], Ty::Int, None)
        .probe(&[(0, "f", &all)], vec![add(0, vec![context(Context::Container)], int(1))])
        .probe(&[(0, "f", &even)], vec![add(1, vec![context(Context::Container)], int(1))]);
    let mut engine = case.start();
    let mut running = stranger.start(&binary, &visited);
    running.go();
    assert_eq!(running.finish(), "done\n");
    engine.stop().unwrap();
    let called = |keep: fn(usize) -> bool| {
        let mut expected: Vec<_> = (0..ALL)
            .filter(|i| keep(*i))
            .map(|i| (vec![Value::str(format!("c{i}"))], Value::Int(i64::try_from(i).unwrap() + 1)))
            .collect();
        expected.sort();
        expected
    };
    for (global, keep) in [(0, (|_| true) as fn(usize) -> bool), (1, |i| i % 2 == 0)] {
        let mut entries = engine.entries(GlobalIndex(global)).unwrap();
        entries.sort();
        assert_eq!(entries, called(keep));
    }
}

/// Two containers whose files, opened apart, are one inode: one link serves both, and each hit counts once.
#[test]
fn two_files_that_are_one_inode_count_each_hit_once() {
    let binary = Binary::c(CALLER, &["-O2"]);
    let (web, web2) = (OwnCgroup::new("web"), OwnCgroup::new("web2"));
    let mut running = [web.start(&binary, &["1", "1000"]), web2.start(&binary, &["1", "2000"])];
    let second = Binary::existing(binary.path.clone());
    let case = Case::new(&[&binary, &second], vec![web.container(), web2.container()])
        .map("calls", &[Ty::Str], Ty::Int, None)
        .probe(&[(0, "f", &[0]), (1, "f", &[1])], vec![add(0, vec![context(Context::Container)], int(1))]);
    let mut engine = case.start();
    assert_eq!(engine.links(), 1);
    for running in &mut running {
        running.go();
    }
    for running in running {
        running.finish();
    }
    engine.stop().unwrap();
    let name = |text: &str| vec![Value::str(text.as_bytes())];
    assert_eq!(
        engine.entries(GlobalIndex(0)).unwrap(),
        [(name("web"), Value::Int(1000)), (name("web2"), Value::Int(2000))]
    );
    assert_eq!(engine.counters().unwrap()[0].hits(), 3000);
}

#[test]
fn a_container_that_restarts_is_added_and_its_old_cgroup_removed() {
    let (binary, web, again) = (Binary::c(CALLER, &["-O2"]), OwnCgroup::new("web"), OwnCgroup::new("web"));
    let mut running =
        [web.start(&binary, &["1", "10"]), again.start(&binary, &["1", "200"]), web.start(&binary, &["1", "3000"])];
    let case = Case::new(&[&binary], vec![web.container()])
        .map("calls", &[Ty::Str], Ty::Int, None)
        .probe(&[(0, "f", &[0])], vec![add(0, vec![context(Context::Container)], int(1))]);
    let mut engine = case.start();
    let [first, second, third] = &mut running;
    first.go();
    assert_eq!(first.line(), "10");
    engine.add_container(ContainerIndex(0), &again.container()).unwrap();
    second.go();
    assert_eq!(second.line(), "200");
    engine.remove_cgroup(web.container().cgroup.unwrap().id).unwrap();
    third.go();
    assert_eq!(third.line(), "3000");
    engine.stop().unwrap();
    assert_eq!(engine.entries(GlobalIndex(0)).unwrap(), [(vec![Value::str(*b"web")], Value::Int(210))]);
}

#[test]
fn many_probes_at_one_function_and_one_probe_at_many() {
    let mut source = String::from("#include <stdio.h>\n");
    for i in 0..100 {
        source += &format!("__attribute__((noipa)) void f{i}(int n) {{ asm volatile(\"\" :: \"r\"(n + {i})); }}\n");
    }
    source += "int main(void) { getchar();\n";
    for i in 0..100 {
        source += &format!("for (int n = 0; n < {i}; n++) f{i}(n);\n");
    }
    source += "return 0; }";
    let (binary, web) = (Binary::c(&source, &["-O1"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let names: Vec<String> = (0..100).map(|i| format!("f{i}")).collect();
    let all: Vec<(usize, &str, &[u32])> = names.iter().map(|name| (0, name.as_str(), &[0u32][..])).collect();
    let mut case = Case::new(&[&binary], vec![web.container()])
        .map("calls", &[Ty::Str], Ty::Int, None)
        .probe(&all, vec![add(0, vec![context(Context::ProbeFunction)], int(1))]);
    for name in &names {
        case = case.probe(&[(0, name, &[0])], vec![print(vec![Part::Show(context(Context::ProbeFunction))])]);
    }
    let mut engine = case.start();
    running.go();
    running.finish();
    engine.stop().unwrap();
    let mut entries = engine.entries(GlobalIndex(0)).unwrap();
    entries.sort();
    let mut expected: Vec<(Vec<Value>, Value)> =
        (1..100).map(|i| (vec![Value::str(format!("f{i}"))], Value::Int(i))).collect();
    expected.sort();
    assert_eq!(entries, expected);
    let counters = engine.counters().unwrap();
    let records: Vec<u64> = counters[1..].iter().map(|counters| counters.records).collect();
    assert_eq!(records, (0..100).collect::<Vec<u64>>());
    let events = drain(&mut engine);
    let printed = events.iter().filter(|event| event.prints[0].values == [Value::str(*b"f42")]).count();
    assert_eq!(printed, 42);
}

/// Not a test by itself: attaches to what it is told, says so, and waits to be killed.
#[test]
#[ignore = "run by `a_killed_tracer_leaves_the_code_as_it_was`"]
fn tracer_to_be_killed() {
    let Ok(path) = std::env::var("CTP_TEST_BINARY") else { return };
    let (binary, web) = (Binary::existing(path.into()), OwnCgroup::new("doomed"));
    let case = Case::new(&[&binary], vec![web.container()])
        .probe(&[(0, "f", &[0])], vec![print(vec![Part::Show(argument(0))])]);
    let _engine = case.start();
    std::fs::remove_dir(&web.folder).unwrap();
    println!("\nattached");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_tracer_leaves_the_code_as_it_was() {
    let (binary, web) = (Binary::c(CALLER, &["-O2", "-no-pie"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &["1", "1000"]);
    let read = |pid: u32| {
        use std::os::unix::fs::FileExt;
        let mut code = [0; 8];
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
        memory.read_exact_at(&mut code, binary.function("f").0).unwrap();
        code
    };
    let original = binary.code("f", 8).to_vec();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "accounting::tracer_to_be_killed", "--nocapture"]);
    command.env("CTP_TEST_BINARY", &binary.path).stdout(Stdio::piped()).process_group(0);
    let mut tracer = command.spawn().unwrap();
    let mut lines = BufReader::new(tracer.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "attached"));
    assert_ne!(read(running.child.id()).to_vec(), original, "no breakpoint was there");
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while read(running.child.id()).to_vec() != original {
        assert!(Instant::now() < deadline, "the breakpoint stayed");
        std::thread::sleep(Duration::from_millis(1));
    }
    running.go();
    assert_eq!(running.finish(), "1000\n");
}
