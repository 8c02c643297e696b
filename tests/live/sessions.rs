//! Returns seen by uprobe sessions: of functions of which the code proves that a replaced return address does no harm, with
//! the same results as by their return instructions; and what the proof and the guard in the kernel are there for.

use std::path::Path;
use std::process::{Command, Stdio};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;

/// Whether the kernel has what sessions need.
pub(crate) fn has_sessions() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 14)
}

/// A program of `tests/fixtures/programs` in a container.
struct Target {
    container: Container,
    /// Dropped behind its container.
    _image: Image,
}

/// What came of a run: what the program printed and what ctp did, each sorted, and what ctp said.
struct Run {
    printed: Vec<String>,
    traced: Vec<String>,
    said: String,
}

impl Target {
    fn new(source: &str, compiler: Compiler, flags: &[&str]) -> Target {
        let image = Image::new(&Binary::compile(source, compiler, flags), "/app/bin");
        Target { container: Container::driven(&image), _image: image }
    }

    fn script(&self, probes: &[&str]) -> String {
        let target = format!("container(\"{}\"):/app/bin", self.container.name());
        let probes: Vec<String> =
            probes.iter().map(|probe| format!("probe {}", probe.replace("BIN", &target))).collect();
        probes.join("\n")
    }

    fn traced(&mut self, returns: &str, probes: &[&str], calls: u32) -> Run {
        let before = self.container.printed().len();
        let ctp = Running::attached_with(&["run", "--returns", returns, "-e", &self.script(probes)]);
        self.container.call(calls);
        let output = ctp.interrupt();
        assert!(self.container.is_running(), "the traced program died");
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        Run {
            printed: sorted(self.container.printed().split_off(before)),
            traced: sorted(output.lines().into_iter().map(str::to_owned).collect()),
            said: output.stderr,
        }
    }

    fn plan(&self, function: &str) -> String {
        let output = ctp(&[
            "run",
            "--plan",
            "-e",
            &self.script(&[&format!("BIN.fn(\"{function}\").return {{ print($return) }}")]),
        ]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    }
}

impl Run {
    /// What the program printed of some kinds.
    fn of(&self, words: &[&str]) -> Vec<String> {
        let is_one = |line: &&String| line.split(' ').next().is_some_and(|word| words.contains(&word));
        self.printed.iter().filter(is_one).cloned().collect()
    }
}

/// How the plan says that returns are seen.
const BY_SESSION: &str = "returns are seen by a session";

const LEAVES: [(Compiler, &[&str]); 3] = [
    (Compiler::Gcc, &["-g", "-O2", "-fcf-protection=none"]),
    (Compiler::Gcc, &["-g", "-O2", "-fcf-protection=full"]),
    (Compiler::Clang, &["-g", "-O2"]),
];

/// Values in registers and in memory, of one kept value, of none and of several, the time, filters: what the program
/// printed, by either way. (Everything but `waits` and `handled`, which signals interrupt.)
#[test]
fn sessions_and_instructions_see_what_the_program_printed() {
    let probes = [
        r#"BIN.fn("several").return { printf("several %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("sums").return { printf("sums %d = %d\n", @entry($list->next->value), $return) }"#,
        r#"BIN.fn("calls").return if ($return != 3) { printf("calls %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("in_registers").return { printf("registers %d = %d %d\n", $return.a - 1, $return.a, $return.b) }"#,
        r#"BIN.fn("in_memory").return { printf("memory %d = %d %d %d\n", @entry($n), $return.v[0], $return.v[3], $return.v[4]) }"#,
        r#"BIN.fn("mixes").return { timed += elapsed() > 0 && elapsed() < 10s; mixed++ }"#,
        r#"BIN.fn("several").return if (@entry($n) < 0) { never++ }"#,
        "end { println(timed - mixed, \" \", never) }\nglobal timed, mixed, never",
    ];
    for (compiler, flags) in LEAVES {
        let mut target = Target::new("leaves.c", compiler, flags);
        // clang's line table says of `calls` that it begins behind what it pushes.
        let proved = ["several", "in_registers", "mixes", "twice", "calls"];
        for function in &proved[..if compiler == Compiler::Clang { 3 } else { 5 }] {
            let plan = target.plan(function);
            assert_eq!(plan.contains(BY_SESSION), has_sessions(), "{compiler:?} {flags:?}: {plan}");
        }
        for returns in ["auto", "instructions"] {
            let run = target.traced(returns, &probes, 3);
            let mut expected = run.of(&["several", "sums", "registers", "memory"]);
            expected.push("0   0".to_owned());
            expected.sort();
            let calls = run.of(&["calls"]);
            let (traced_calls, traced): (Vec<String>, Vec<String>) =
                run.traced.iter().cloned().partition(|line| line.starts_with("calls"));
            assert_eq!(traced, expected, "{compiler:?} {flags:?} {returns}: {}", run.said);
            assert!(traced_calls == calls, "{compiler:?} {flags:?} {returns}: {}", run.said);
            assert_eq!(calls.len(), 3 * 201);
            assert!(!run.said.contains("not seen"), "{}", run.said);
        }
    }
}

/// What a proof must not let pass, and what it lets pass: in a program that is linked with libraries, and so does not hold
/// what unwinds.
#[test]
fn the_plan_says_of_each_function_how_its_returns_are_seen_and_why() {
    let scratch = Scratch::new();
    let file = scratch.path().join("leaves");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs/leaves.c");
    run(Command::new("gcc").args(["-g", "-O2", "-o"]).arg(&file).arg(source));
    let mut child = Command::new(&file).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let script = |function: &str| {
        format!("probe pid({}):{}.fn(\"{function}\").return {{ println(elapsed()) }}", child.id(), file.display())
    };
    let plan = |function: &str| {
        let output = ctp(&["run", "--plan", "-e", &script(function)]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    };
    let refused = [
        ("again", "it is called by what it calls"),
        ("looks", "touches what its frame keeps for its caller"),
        ("through", "what is known only when it runs"),
        ("enters", "it enters the kernel"),
        ("gives", "makes a value of its frame's address"),
        ("loops", "a loop leads back to its beginning"),
        ("thread", "it calls"),
    ];
    let plans = refused.map(|(function, why)| (function, why, plan(function)));
    let forced = ctp(&["run", "--returns", "session", "--for", "1s", "-e", &script("looks")]);
    let proved = ["mixes", "several", "sums", "calls", "in_registers", "in_memory", "waits", "handled"].map(plan);
    let _ = child.kill();
    let _ = child.wait();
    for (function, why, plan) in plans {
        assert!(plan.contains("returns are seen by instructions") && plan.contains(why), "{function}: {plan}");
    }
    assert_eq!(forced.code, Some(1), "{}", forced.stderr);
    assert!(forced.stderr.contains("E0302") && forced.stderr.contains("touches"), "{}", forced.stderr);
    for plan in proved {
        assert_eq!(plan.contains(BY_SESSION), has_sessions(), "{plan}");
    }
}

/// A signal's handler on a stack above the one it interrupts calls a traced function while another is open. The kernel
/// would take the open call for one that was left, and end the program when it returns: such calls are not watched, and
/// that is said. A call that the handler leaves for good does not return.
#[test]
fn handlers_of_signals_on_stacks_of_their_own_do_no_harm_and_what_is_not_seen_of_them_is_counted() {
    let probes = [
        r#"BIN.fn("waits").return { printf("waits %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("handled").return { printf("handled %d = %d\n", @entry($n), $return) }"#,
    ];
    for compiler in [Compiler::Gcc, Compiler::Clang] {
        let mut target = Target::new("leaves.c", compiler, &["-g", "-O2", "-fcf-protection=none"]);
        for returns in ["auto", "instructions"] {
            let run = target.traced(returns, &probes, 3);
            assert_eq!(run.of(&["waits"]).len(), 6, "{}", run.said);
            assert_eq!(run.of(&["handled"]).len(), 3 * (3 + 4 + 1), "{}", run.said);
            let sessions = returns == "auto" && has_sessions();
            // Those on the stack below are seen; above there are five a turn.
            let unwatched = if sessions { 3 * 5 } else { 0 };
            let seen =
                |word: &str| run.traced.iter().filter(|line| line.starts_with(word)).cloned().collect::<Vec<_>>();
            assert_eq!(seen("waits"), run.of(&["waits"]), "{returns}: {}", run.said);
            assert_eq!(seen("handled").len(), 24 - unwatched, "{returns}: {}", run.said);
            assert!(seen("handled").iter().all(|line| run.of(&["handled"]).contains(line)), "{}", run.said);
            let said = format!("{unwatched} of which one end was not seen");
            assert_eq!(run.said.contains(&said), sessions, "{returns}: {}", run.said);
        }
    }
}

/// The return enters the kernel by a system call: not where the program itself sees to those.
#[test]
fn a_program_that_sees_to_its_own_system_calls_sees_none_of_a_return() {
    let mut target = Target::new("leaves.c", Compiler::Gcc, &["-g", "-O2"]);
    assert_eq!(target.plan("dispatched").contains(BY_SESSION), has_sessions());
    let probes = [r#"BIN.fn("dispatched").return { printf("dispatched %d = %d\n", @entry($n), $return) }"#];
    for returns in ["auto", "instructions"] {
        let run = target.traced(returns, &probes, 3);
        let printed = run.of(&["dispatched"]);
        assert!(printed.len() == 3 && printed.iter().all(|line| line.ends_with(" and 0")), "{printed:?}");
        let unwatched = returns == "auto" && has_sessions();
        assert_eq!(run.traced.len(), if unwatched { 0 } else { 3 }, "{returns}: {}", run.said);
        assert_eq!(run.said.contains("3 of which one end was not seen"), unwatched, "{returns}: {}", run.said);
    }
}

/// C++: leaves are proved where they cause no signal, whatever is thrown through their callers; what exceptions pass, or is
/// caught in, is not.
#[test]
fn programs_that_throw_go_on_and_only_functions_that_cause_no_signal_are_proved() {
    let mut target = Target::new("unwinds.cpp", Compiler::Gxx, &["-g", "-O2"]);
    assert_eq!(target.plan("weighs").contains(BY_SESSION), has_sessions(), "{}", target.plan("weighs"));
    for (function, why) in [("middle", "it calls"), ("catcher", "it calls"), ("reads", "may cause a signal")] {
        let plan = target.plan(function);
        assert!(
            plan.contains("by instructions") && (plan.contains(why) || plan.contains("exceptions are caught")),
            "{plan}"
        );
    }
    let probes = [
        r#"BIN.fn("weighs").return { printf("weighs %d = %d\n", @entry($n), $return) }"#,
        r#"BIN.fn("middle").return { printf("middle %d = %d\n", @entry($n), $return) }"#,
    ];
    let run = target.traced("auto", &probes, 30);
    assert_eq!(run.traced, [run.of(&["middle"]), run.of(&["weighs"])].concat(), "{}", run.said);
    assert_eq!((run.of(&["weighs"]).len(), run.of(&["middle"]).len()), (60, 20));
}

/// Stacks are as the program made them: no probe of a program that shows some replaces a return address.
#[test]
fn programs_that_show_stacks_see_returns_by_instructions() {
    let target = Target::new("leaves.c", Compiler::Gcc, &["-g", "-O2"]);
    let script =
        target.script(&[r#"BIN.fn("calls").return { println($return) }"#, r#"BIN.fn("mixes") { print(ustack()) }"#]);
    let output = ctp(&["run", "--plan", "-e", &script]);
    assert!(output.stdout.contains("the program shows stacks"), "{}", output.stdout);
    assert!(!output.stdout.contains(BY_SESSION), "{}", output.stdout);
}

/// Two builds of one program, of which one is proved: each is traced as it can be, into the same counts.
#[test]
fn builds_that_are_proved_and_that_are_not_count_together() {
    let image = |flags: &[&str]| Image::new(&Binary::compile("leaves.c", Compiler::Gcc, flags), "/app/bin");
    let (proved, unproved) = (image(&["-g", "-O2"]), image(&["-g", "-O0"]));
    let (mut one, mut other) = (Container::driven(&proved), Container::driven(&unproved));
    let script = format!(
        "global n\nprobe container(\"{0}\"):/app/bin.fn(\"several\").return {{ n[container()]++ }}\n\
         probe container(\"{1}\"):/app/bin.fn(\"several\").return {{ n[container()]++ }}\n\
         probe end {{ printf(\"%d %d\\n\", n[\"{0}\"], n[\"{1}\"]) }}",
        one.name(),
        other.name()
    );
    let ctp = Running::attached(&script);
    one.call(2);
    other.call(2);
    let output = ctp.interrupt();
    let calls = |container: &Container| container.printed().iter().filter(|line| line.starts_with("several ")).count();
    assert_eq!(output.lines(), [format!("{} {}", calls(&one), calls(&other))], "{}", output.stderr);
    assert!(output.stderr.contains("0 lost"), "{}", output.stderr);
}
