//! What a container chose and a terminal must not act upon: its name, its files', its functions', parameters' and types'
//! names, in what every command says. The terminal is a real one, script(1)'s.

use std::path::PathBuf;
use std::process::Command;

use ctp_tests::ctp::{Running, binary, command, ctp};
use ctp_tests::process::{Output, attempt, run};
use ctp_tests::unique::{Scratch, name};

use crate::fixture::HandMade;

/// Sets a terminal's title, makes a C1 control, reorders a line, ends a string, a comment and a line.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\"*/ %{ # \\\nowned";

/// The program that the others look into: its functions, types and files bear [`EVIL`] in their names.
struct Evil {
    folder: Scratch,
    /// What it executes.
    program: PathBuf,
}

impl Evil {
    fn new() -> Evil {
        let evil = Scratch::new();
        let source = evil.write(
            "evil.c",
            "enum kind { KINDevil };\nstruct sevil { int mevil; enum kind kind; };\n\
             void __attribute__((noipa)) fevil(struct sevil *pevil, char *text) { (void)pevil; (void)text; }\n\
             #include <unistd.h>\nint main(void) { struct sevil s = { 7, KINDevil };\n\
             for (;;) { usleep(10000); fevil(&s, \"TEXTevil\"); } }\n",
        );
        let assembly = evil.path().join("evil.s");
        run(Command::new("gcc").args(["-g", "-S", "-gdwarf-4", "-o"]).arg(&assembly).arg(source));
        // Names in assembly: symbols stay as they are, and what is between quotes is DWARF's and the program's text.
        let escaped: String = EVIL.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        let text = std::fs::read_to_string(&assembly).unwrap();
        let lines = text.lines().map(|line| match line.contains(".string") {
            true => line.replace("evil", &escaped),
            false => line.to_owned(),
        });
        std::fs::write(&assembly, lines.map(|line| line + "\n").collect::<String>()).unwrap();
        let program = evil.path().join(format!("bin {EVIL}").replace('/', "|"));
        let plain = evil.path().join("plain");
        run(Command::new("gcc").args(["-static", "-o"]).arg(&plain).arg(&assembly));
        std::fs::rename(plain, &program).unwrap();
        Evil { folder: evil, program }
    }
}

/// What a terminal gets: none of the bytes that it would act upon, and the text that bears them, escaped.
#[track_caller]
fn harmless(what: &str, text: &str, shows: bool) {
    for bad in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}", "\u{1b}[31m"] {
        assert!(!text.contains(bad), "{what} writes {bad:?}: {text:?}");
    }
    // A line of its own would be a line that ctp did not write.
    // Further lines of a note are indented.
    assert!(!text.lines().any(|line| line.starts_with("owned")), "{what} begins a line: {text:?}");
    assert!(!shows || text.contains("owned"), "{what} does not show it: {text:?}");
}

/// ctp on a terminal.
fn on_terminal(args: &[&str]) -> Output {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let words: Vec<String> =
        std::iter::once(binary().to_str().unwrap()).chain(args.iter().copied()).map(quoted).collect();
    let mut script = Command::new("script");
    attempt(script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]).env("NO_COLOR", "1"))
}

#[test]
fn no_command_writes_what_a_container_chose_as_it_is() {
    let evil = Evil::new();
    // A cgroup's name holds no newline and no slash: the kernel refuses them.
    let base = name();
    let called = format!("{base}{EVIL}").replace(['\n', '/'], "|");
    let held = HandMade::running(&format!("lxc.payload.{called}"), Command::new(&evil.program));
    let who = format!("container(\"{base}*\")");
    let point = format!("{who}:exe.fn(\"f*owned\")");
    let probe = |body: &str| format!("probe {point} {{ {body} }}");
    let printing =
        probe(r#"printf("%s %s %s %s %s %s\n", container(), comm(), exe(), probefunc(), pp(), $$parms); exit()"#);

    let first = held.process.id().to_string();
    for (args, shows) in [
        (&["ps"][..], true),
        (&["ps", "--format", "json"], true),
        (&["ls", &who], true),
        (&["ls", &point], true),
        (&["ls", "--types", &point], true),
        (&["check", "-e", &probe("print($nothing)")], true),
        (&["check", "-e", &probe("print($nothing->x)")], true),
        (&["check", "-e", &format!("probe {who}:exe.fn(\"fevi\") {{ }}")], false),
        (&["check", "-e", &format!("probe {who}:\"{}/bi\".fn(\"f\") {{ }}", evil.folder.path().display())], true),
        (&["check", "-e", &format!("probe container(\"{base}\"):exe.fn(\"f\") {{ }}")], true),
        (&["run", "--plan", "-e", &probe("println(1)")], true),
        (&["build", "--emit", "plan", "-e", &probe("println(1)")], true),
        (&["run", "--for", "20s", "-e", &printing], true),
        (&["run", "--for", "20s", "-e", &probe("println(1); exit()")], true),
        (
            &[
                "run",
                "--for",
                "20s",
                "--output",
                "jsonl",
                "-e",
                &probe("emit { a: container(), b: probefunc() }; exit()"),
            ],
            true,
        ),
        (&["run", "--for", "20s", "-e", &probe("print(ustack(3)); exit()")], true),
        (
            &[
                "run",
                "--for",
                "20s",
                "-e",
                &format!("global seen; {}", probe("seen[container(), probefunc()]++; exit()")),
            ],
            true,
        ),
        (
            &["run", "--for", "20s", "-e", &format!("probe pid({first}):exe.fn(\"f*\") {{ println(exe()); exit() }}")],
            true,
        ),
        (&["doctor", &called], true),
        (&["doctor", "--format", "json", &called], true),
    ] {
        let said = on_terminal(args);
        harmless(&format!("{args:?}"), &said.stdout, shows);
    }
    // Machines read these; whoever looks at them does so on a terminal.
    for format in ["short", "json", "sarif", "github"] {
        let said = ctp(&["check", "--format", format, "-e", &probe("print($nothing)")]);
        harmless(format, &said.stdout, false);
        harmless(format, &said.stderr, false);
    }
    // A name that is more than a word is none that a shell completes.
    let mut asked = command(&["--", "ctp", "doctor", ""]);
    let completed = attempt(asked.envs([("COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", "2"), ("_CLAP_IFS", "\n")]));
    assert!(!completed.stdout.contains("owned"), "{:?}", completed.stdout);
    drop(held);
}

/// A script of SystemTap's holds such names as escaped literals and in comments alone: each of its lines is ctp's own.
#[test]
fn no_script_holds_what_a_container_chose_as_it_is() {
    let evil = Evil::new();
    let base = name();
    let called = format!("{base}{EVIL}").replace(['\n', '/'], "|");
    let _held = HandMade::running(&format!("lxc.payload.{called}"), Command::new(&evil.program));
    let who = format!("container(\"{base}*\"):exe.fn(\"f*owned\")");
    let script = |body: &str| ctp(&["build", "-e", &format!("probe {who} {{ {body} }}")]);
    let plain = script("println(1)");
    let with_names = script(r#"printf("%s %s %s\n", container(), probefunc(), pp())"#);
    for built in [&plain, &with_names] {
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        harmless("the script", &built.stdout, true);
        harmless("what is said of it", &built.stderr, false);
    }
    // What is no literal and no comment of it holds nothing of the names.
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    for line in with_names.stdout.lines().filter(|line| !is_comment(line)) {
        let mut quoted = false;
        let code: String = line
            .replace("\\\\", "")
            .replace("\\\"", "")
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                !quoted
            })
            .collect();
        assert!(!code.contains("owned"), "{line}");
    }
    // The same from a run that ends by itself.
    let mut running = Running::attached(&format!("probe {who} {{ println(1) }}"));
    running.wait_for_stdout(|line| line == "1");
    let said = running.interrupt();
    harmless("ctp run", &said.stderr, true);
}
