//! Values: what a handler reads is what the program itself printed.

use ctp::engine::Engine;
use ctp_lang::ir::*;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};

/// Runs a program in a cgroup under trace; returns what it printed, what was traced, and what was counted.
fn run(source: &str, flags: &[&str], function: &str, handler: Handler) -> (String, String, ctp::engine::Counters) {
    let (binary, web) = (Binary::c(source, flags), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let case = Case::new(&[&binary], vec![web.container()]).probe_handler(&[(0, function, &[0])], handler);
    let mut engine = case.start();
    running.go();
    let printed = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    let counters = engine.counters().unwrap()[0];
    (printed, written(&engine, &events), counters)
}

fn body(body: Vec<Stmt>) -> Handler {
    Handler { body, ..Handler::default() }
}

const HELLO: &str = r#"
#include <stdio.h>
__attribute__((noipa)) void my_function(int arg) { printf("my_function(%d)\n", arg); }
int main(void) { getchar(); for (int i = 0; i < 5; i++) my_function(i * 10 - 20); return 0; }
"#;

#[test]
fn an_argument_is_what_the_program_printed() {
    let handler = body(vec![print(vec![Part::Text("my_function("), Part::Show(int_argument(0)), Part::Text(")\n")])]);
    let (printed, traced, counters) = run(HELLO, &["-O2"], "my_function", handler);
    assert_eq!(printed.lines().count(), 5);
    assert_eq!(traced, printed);
    assert_eq!((counters.records, counters.hits()), (5, 5));
}

/// Texts on the stack, in read-only data, and in a file's page that the program itself never touched.
const TEXTS: &str = r#"
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/mman.h>
static char path[] = "/tmp/ctp-t-textXXXXXX";
#include <stdlib.h>
__attribute__((noipa)) void say(const char *text, int n) { asm volatile("" :: "r"(text), "r"(n)); }
int main(void) {
    getchar();
    char local[40];
    snprintf(local, sizeof local, "local %d", 42);
    say(local, 1); printf("1 %s\n", local);
    say("", 2); printf("2 \n");
    say("constant", 3); printf("3 constant\n");
    int fd = mkstemp(path);
    if (ftruncate(fd, 8192) || pwrite(fd, "cold page", 9, 4096) != 9) return 1;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    char *cold = mmap(0, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    say(cold + 4096, 4); printf("4 cold page\n");
    say(local, 5); printf("5 %s\n", local);
    unlink(path);
    return 0;
}
"#;

#[test]
fn texts_are_what_the_program_printed_also_on_pages_that_are_not_resident() {
    let handler = body(vec![print(vec![
        Part::Show(int_argument(1)),
        Part::Text(" "),
        Part::Show(user_string(argument(0))),
        Part::Text("\n"),
    ])]);
    let (printed, traced, counters) = run(TEXTS, &["-O2"], "say", handler);
    assert_eq!(printed.lines().count(), 5);
    assert_eq!(traced, printed);
    assert_eq!((counters.records, counters.faults_shown), (5, 0));
}

const LONG: &str = r#"
#include <stdio.h>
#include <string.h>
__attribute__((noipa)) void say(const char *text) { asm volatile("" :: "r"(text)); }
int main(void) {
    getchar();
    char text[301];
    for (int n = 254; n <= 258; n++) { memset(text, 'x', n); text[n] = 0; say(text); printf("%s\n", text); }
    return 0;
}
"#;

#[test]
fn a_text_over_the_limit_is_cut_and_marked_and_one_at_the_limit_is_not() {
    let handler = body(vec![print(vec![Part::Show(user_string(argument(0))), Part::Text("\n")])]);
    let (printed, traced, _) = run(LONG, &["-O2"], "say", handler);
    let expected: Vec<String> = printed
        .lines()
        .map(|line| if line.len() > 256 { format!("{}<truncated>", &line[..256]) } else { line.to_owned() })
        .collect();
    assert_eq!(traced.lines().collect::<Vec<_>>(), expected);
}

const POINTERS: &str = r#"
#include <stdio.h>
struct point { long x; short y; signed char z; unsigned char u; };
__attribute__((noipa)) void at(struct point *p, const char *name) { asm volatile("" :: "r"(p), "r"(name)); }
int main(void) {
    getchar();
    struct point a = { -5000000000, -2, -3, 250 };
    at(&a, "a"); printf("%ld %d %d %d a\n", a.x, a.y, a.z, a.u);
    at((void *)16, "b"); printf("<fault> <fault> <fault> <fault> b\n");
    at(&a, (char *)8); printf("%ld %d %d %d <fault>\n", a.x, a.y, a.z, a.u);
    at((void *)0xffff888000000000, (char *)0xffffffff81000000); printf("<fault> <fault> <fault> <fault> <fault>\n");
    at(&a, "z"); printf("%ld %d %d %d z\n", a.x, a.y, a.z, a.u);
    return 0;
}
"#;

fn members() -> Vec<Expr> {
    let at = |offset| operate(BinaryOp::Add, argument(0), int(offset));
    vec![load(at(0), 8, true), load(at(8), 2, true), load(at(10), 1, true), load(at(11), 1, false)]
}

#[test]
fn what_cannot_be_read_is_shown_as_a_fault_in_its_place() {
    let mut parts: Vec<Part> = members().into_iter().flat_map(|member| [Part::Show(member), Part::Text(" ")]).collect();
    parts.extend([Part::Show(user_string(argument(1))), Part::Text("\n")]);
    let (printed, traced, counters) = run(POINTERS, &["-O2"], "at", body(vec![print(parts)]));
    assert_eq!(printed.lines().count(), 5);
    assert_eq!(traced, printed);
    assert_eq!((counters.records, counters.faults_shown), (5, 4 + 1 + 5));
}

#[test]
fn faults_of_a_run_that_stops_behind_them_are_not_shown_and_not_counted() {
    let handler = body(vec![
        print(vec![Part::Show(user_string(argument(1))), Part::Text(" ")]),
        print(vec![Part::Need(operate(BinaryOp::Add, members().remove(0), int(1))), Part::Text("\n")]),
    ]);
    let (_, traced, counters) = run(POINTERS, &["-O2"], "at", handler);
    assert_eq!(traced, "a -4999999999\n<fault> -4999999999\nz -4999999999\n");
    assert_eq!((counters.records, counters.read_faults, counters.faults_shown), (3, 2, 1));
}

#[test]
fn a_computation_that_faults_stops_the_run_and_drops_its_output() {
    let first = members().remove(0);
    let handler = body(vec![
        print(vec![Part::Text("begin ")]),
        print(vec![Part::Need(operate(BinaryOp::Add, first, int(1))), Part::Text("\n")]),
    ]);
    let (printed, traced, counters) = run(POINTERS, &["-O2"], "at", handler);
    let readable = printed.lines().filter(|line| !line.starts_with("<fault>")).count();
    assert_eq!(traced, "begin -4999999999\n".repeat(readable));
    assert_eq!((counters.records, counters.read_faults, counters.hits()), (3, 2, 5));
}

/// The program computes with the same operators; C's own rules are ours but for the least number by -1.
const ARITHMETIC: &str = r#"
#include <stdio.h>
__attribute__((noipa)) void two(long a, long b) { asm volatile("" :: "r"(a), "r"(b)); }
static void show(long a, long b) {
    two(a, b);
    printf("%ld %ld %ld %ld %ld %ld %ld %ld %ld %ld %d %d %d\n", (long)((unsigned long)a + b),
        (long)((unsigned long)a - b), (long)((unsigned long)a * b), a & b, a | b, a ^ b,
        (long)((unsigned long)a << (b & 63)), a >> (b & 63), (long)((unsigned long)a >> (b & 63)),
        b == -1 ? (long)-(unsigned long)a : a / b, a < b, a == b, a >= b);
}
int main(void) {
    getchar();
    long all[] = { 1, -1, 7, -7, 64, 65, 0x7fffffffffffffff, -0x7fffffffffffffff - 1, 0x123456789abcdef, -3 };
    for (int i = 0; i < 10; i++) for (int j = 0; j < 10; j++) show(all[i], all[j]);
    two(5, 0);
    return 0;
}
"#;

#[test]
fn arithmetic_is_cs() {
    use BinaryOp::*;
    let (a, b) = (|| argument(0), || argument(1));
    let mut values: Vec<Expr> =
        [Add, Sub, Mul, And, Or, Xor, Shl, Shr, ShrLogical, Div].into_iter().map(|op| operate(op, a(), b())).collect();
    values.extend([CompareOp::Lt, CompareOp::Eq, CompareOp::Ge].into_iter().map(|op| compare(op, a(), b())));
    let mut parts: Vec<Part> = values.into_iter().flat_map(|value| [Part::Need(value), Part::Text(" ")]).collect();
    parts.pop();
    parts.push(Part::Text("\n"));
    let (printed, traced, counters) = run(ARITHMETIC, &["-O2", "-fwrapv"], "two", body(vec![print(parts)]));
    assert_eq!(traced, printed);
    assert_eq!((counters.records, counters.read_faults), (100, 1));
}

const CONTEXT: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
__attribute__((noipa)) void here(void) { asm volatile(""); }
static void *thread(void *name) {
    prctl(PR_SET_NAME, name);
    here();
    printf("%d %ld %d %d %s\n", getpid(), syscall(SYS_gettid), getuid(), getgid(), (char *)name);
    return 0;
}
int main(void) {
    getchar();
    setvbuf(stdout, 0, _IOLBF, 0);
    if (setgid(1234) || setuid(4321)) return 1;
    thread("first");
    pthread_t other;
    pthread_create(&other, 0, thread, "fifteen letters");
    pthread_join(other, 0);
    return 0;
}
"#;

#[test]
fn the_task_is_the_one_that_ran() {
    let numbers = [Context::Pid, Context::Tid, Context::Uid, Context::Gid];
    let mut parts: Vec<Part> =
        numbers.into_iter().flat_map(|which| [Part::Show(context(which)), Part::Text(" ")]).collect();
    parts.extend([Part::Show(context(Context::Comm)), Part::Text("\n")]);
    let (printed, traced, _) = run(CONTEXT, &["-O2"], "here", body(vec![print(parts)]));
    assert_eq!(printed.lines().count(), 2);
    assert_eq!(traced, printed);
}

/// A child in a pid namespace of its own, which its parent sees under another number.
const NAMESPACE: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <sched.h>
#include <unistd.h>
#include <sys/wait.h>
__attribute__((noipa)) void here(void) { asm volatile(""); }
int main(void) {
    getchar();
    if (unshare(CLONE_NEWPID)) return 1;
    int init = fork();
    if (init) { waitpid(init, 0, 0); return 0; }
    for (int i = 0; i < 3; i++) {
        here(); printf("%d %d\n", getpid(), gettid()); fflush(stdout);
        int pid = fork();
        if (pid) { waitpid(pid, 0, 0); return 0; }
    }
    return 0;
}
"#;

#[test]
fn the_containers_own_pids_are_those_the_program_sees() {
    let (binary, web) = (Binary::c(NAMESPACE, &["-O2"]), OwnCgroup::new("web"));
    let mut container = web.container();
    container.pid_level = 1;
    // Where the tests themselves run in a pid namespace, the program's lies one deeper.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let numbers = status.lines().find(|line| line.starts_with("NSpid:")).unwrap().split_whitespace().count() - 1;
    container.pid_level = u32::try_from(numbers).unwrap();
    let mut running = web.start(&binary, &[]);
    let parts = vec![
        Part::Show(context(Context::NsPid)),
        Part::Text(" "),
        Part::Show(context(Context::NsTid)),
        Part::Text("\n"),
    ];
    let case = Case::new(&[&binary], vec![container]).probe(&[(0, "here", &[0])], vec![print(parts)]);
    let mut engine = case.start();
    running.go();
    let printed = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    assert_eq!(printed, "1 1\n2 2\n3 3\n");
    assert_eq!(written(&engine, &events), printed);
}

#[test]
fn the_address_of_a_variable_of_a_relocated_program_is_right() {
    let source = r#"
#include <stdio.h>
volatile int variable = 77;
__attribute__((noipa)) void one(void) { asm volatile("nop"); }
__attribute__((noipa)) void two(void) { asm volatile("nop; nop"); }
int main(void) { getchar(); one(); printf("%d\n", variable); variable = -5; two(); printf("%d\n", variable); return 0; }
"#;
    let (binary, web) = (Binary::c(source, &["-O2", "-fPIE", "-pie"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let variable = binary.function("variable").0;
    let value = load(expr(Ty::Int, ExprKind::ModuleAddress(variable)), 4, true);
    // One handler at two addresses: the load bias must follow the one that was hit.
    let case = Case::new(&[&binary], vec![web.container()])
        .probe(&[(0, "one", &[0]), (0, "two", &[0])], vec![print(vec![Part::Show(value), Part::Text("\n")])]);
    let mut engine = case.start();
    running.go();
    let printed = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    assert_eq!(written(&engine, &events), printed);
    assert_eq!(printed, "77\n-5\n");
}

/// The program decides by the same conditions, and writes the same strings.
const STRINGS: &str = r#"
#include <stdio.h>
#include <string.h>
__attribute__((noipa)) void two(const char *a, const char *b) { asm volatile("" :: "r"(a), "r"(b)); }
int main(void) {
    getchar();
    static char x[300], y[300];
    memset(x, 'x', 250); memset(y, 'y', 250);
    const char *all[] = { "", "a", "b", "ab", "abcdefgh", "abcdefghi", "abcdefgz", "\xff\x80", x, y };
    for (int i = 0; i < 10; i++) for (int j = 0; j < 10; j++) {
        const char *a = all[i], *b = all[j];
        int c = strcmp(a, b);
        two(a, b);
        char joined[600];
        int n = sprintf(joined, "%s-%s", a, b);
        printf("%d%d%d%d %.*s%s\n", c == 0, c < 0, c > 0, c <= 0, 256, joined, n > 256 ? "<truncated>" : "");
    }
    return 0;
}
"#;

#[test]
fn strings_compare_and_join_as_in_c() {
    let (a, b) = (|| user_string(argument(0)), || user_string(argument(1)));
    let mut parts: Vec<Part> = [CompareOp::Eq, CompareOp::Lt, CompareOp::Gt, CompareOp::Le]
        .into_iter()
        .map(|op| Part::Need(compare(op, a(), b())))
        .collect();
    let joined = expr(Ty::Str, ExprKind::Concat(vec![a(), text("-"), b()]));
    parts.extend([Part::Text(" "), Part::Need(joined), Part::Text("\n")]);
    let (printed, traced, counters) = run(STRINGS, &["-O2"], "two", body(vec![print(parts)]));
    assert_eq!(traced, printed);
    assert_eq!((counters.records, counters.hits()), (100, 100));
}

#[test]
fn conditions_choose_what_is_printed() {
    let source = r#"
#include <stdio.h>
__attribute__((noipa)) void f(int n, const char *s) { asm volatile("" :: "r"(n), "r"(s)); }
int main(void) {
    getchar();
    for (int n = -3; n < 10; n++) {
        char s[20]; sprintf(s, "text %d", n);
        f(n, s);
        if (n < 0) continue;
        if (n > 2 && n != 5) printf("big %d\n", n); else if (n == 1 || n == 5) printf("one or five %s\n", s);
        if (n % 2) continue;
        printf("even %d %s\n", n, n > 6 ? "more" : "less");
    }
    return 0;
}
"#;
    let n = || int_argument(0);
    let is = |op, value| compare(op, n(), int(value));
    let logic = |and, left, right| expr(Ty::Int, ExprKind::Logic { and, left: Box::new(left), right: Box::new(right) });
    let more = expr(
        Ty::Str,
        ExprKind::Ternary(Box::new(is(CompareOp::Gt, 6)), Box::new(text("more")), Box::new(text("less"))),
    );
    let handler = Handler {
        condition: Some(is(CompareOp::Ge, 0)),
        body: vec![
            Stmt::If {
                condition: logic(true, is(CompareOp::Gt, 2), is(CompareOp::Ne, 5)),
                then: vec![print(vec![Part::Text("big "), Part::Show(n()), Part::Text("\n")])],
                otherwise: vec![Stmt::If {
                    condition: logic(false, is(CompareOp::Eq, 1), is(CompareOp::Eq, 5)),
                    then: vec![print(vec![
                        Part::Text("one or five "),
                        Part::Show(user_string(argument(1))),
                        Part::Text("\n"),
                    ])],
                    otherwise: vec![],
                }],
            },
            Stmt::If { condition: operate(BinaryOp::Mod, n(), int(2)), then: vec![Stmt::Next], otherwise: vec![] },
            print(vec![Part::Text("even "), Part::Show(n()), Part::Text(" "), Part::Show(more), Part::Text("\n")]),
        ],
        ..Handler::default()
    };
    let (printed, traced, counters) = run(source, &["-O2"], "f", handler);
    assert_eq!(traced, printed);
    // -3, -2 and -1 do not pass; all others print something.
    assert_eq!((counters.filtered, counters.records, counters.hits()), (3, 10, 13));
}

#[test]
fn numbers_alone_print_under_conditions_too() {
    let source = r#"
#include <stdio.h>
__attribute__((noipa)) void f(int n) { asm volatile("" :: "r"(n)); }
int main(void) {
    getchar();
    for (int n = 0; n < 12; n++) { f(n); if (n % 3 == 0) printf("a%d\n", n); else if (n % 3 == 1) printf("b%d\n", n); }
    return 0;
}
"#;
    let rest = || operate(BinaryOp::Mod, int_argument(0), int(3));
    let shown = |name| print(vec![Part::Text(name), Part::Show(int_argument(0)), Part::Text("\n")]);
    let handler = body(vec![Stmt::If {
        condition: compare(CompareOp::Eq, rest(), int(0)),
        then: vec![shown("a")],
        otherwise: vec![Stmt::If {
            condition: compare(CompareOp::Eq, rest(), int(1)),
            then: vec![shown("b")],
            otherwise: vec![],
        }],
    }]);
    let (printed, traced, counters) = run(source, &["-O2"], "f", handler);
    assert_eq!(traced, printed);
    assert_eq!((counters.records, counters.aggregated), (8, 4));
}

#[test]
fn exit_ends_the_run_with_what_was_printed_before() {
    let (binary, web) = (Binary::c(HELLO, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let handler = body(vec![
        print(vec![Part::Show(int_argument(0)), Part::Text("\n")]),
        Stmt::If {
            condition: compare(CompareOp::Eq, int_argument(0), int(0)),
            then: vec![Stmt::Exit],
            otherwise: vec![],
        },
    ]);
    let case = Case::new(&[&binary], vec![web.container()]).probe_handler(&[(0, "my_function", &[0])], handler);
    let mut engine = case.start();
    running.go();
    let mut events = Vec::new();
    while !engine.poll(std::time::Duration::from_secs(10), None, &mut |event| events.push(event)).unwrap() {}
    let until = events.iter().position(|event| event.exit).unwrap();
    assert_eq!(written(&engine, &events[..=until]), "-20\n-10\n0\n");
    running.finish();
}

const TASK: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>
#include <sched.h>
__attribute__((noipa)) void f(void) { asm volatile(""); }
static long now(clockid_t clock) { struct timespec t; clock_gettime(clock, &t); return t.tv_sec * 1000000000 + t.tv_nsec; }
int main(void) {
    getchar();
    for (int i = 0; i < 3; i++) {
        long before = now(CLOCK_REALTIME);
        f();
        printf("%ld %ld %d\n", before, now(CLOCK_REALTIME), sched_getcpu());
    }
    return 0;
}
"#;

#[test]
fn the_moment_the_executable_and_the_containers_names_are_right() {
    use ctp_lang::value::Value;
    let (binary, web) = (Binary::c(TASK, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let mut container = web.container();
    container.image = Some("registry/web:1".to_owned());
    container.pod = Some(ctp_lang::world::Pod {
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        container: "web".to_owned(),
    });
    let text = |what| expr(Ty::Str, ExprKind::Context(what));
    let all = || [Context::Image, Context::Pod, Context::Runtime, Context::Exe].map(text);
    let case = Case::new(&[&binary], vec![container]).map("kept", &[Ty::Str], Ty::Int, None).probe(
        &[(0, "f", &[0])],
        vec![
            print(
                all().into_iter().chain([context(Context::Walltime), context(Context::Cpu)]).map(Part::Need).collect(),
            ),
            add(0, vec![expr(Ty::Str, ExprKind::Concat(all().to_vec()))], int(1)),
        ],
    );
    let mut engine = case.start();
    running.go();
    let printed = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    assert_eq!(events.len(), 3);
    for (event, line) in events.iter().zip(printed.lines()) {
        let said: Vec<i64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let values = &event.prints[0].values;
        assert_eq!(values[..4], ["registry/web:1", "shop/web-0", "unknown", "t"].map(Value::str));
        let Value::Int(wall) = values[4] else { panic!("{values:?}") };
        assert!(said[0] <= wall && wall <= said[1], "{wall} at {line}");
        assert!(matches!(values[5], Value::Int(0..64)), "{values:?}");
    }
    let kept = Value::str("registry/web:1shop/web-0unknownt");
    assert_eq!(engine.entries(GlobalIndex(0)).unwrap(), [(vec![kept], Value::Int(3))]);
}
