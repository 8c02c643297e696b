//! Codes that take a machine in a certain state, or code built in a certain way ([`ctp_tests::codes`]).

use std::sync::Arc;

use ctp_lang::check::{Settings, check};
use ctp_lang::emit::bpf::{KernelFacts, Options, compile};
use ctp_lang::ir::Program;
use ctp_lang::render;
use ctp_lang::source::Sources;
use ctp_lang::syntax::parse;
use ctp_lang::world::{Container, ListError, OpenError, Opened, Place, TargetError, WantedTarget, World};
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::world::Machine;

/// A machine on which something does not work.
struct Failing {
    machine: Machine,
    listing: Option<ListError>,
    opening: Option<OpenError>,
}

impl World for Failing {
    fn containers(&self) -> Result<Arc<[Container]>, ListError> {
        match &self.listing {
            Some(error) => Err(error.clone()),
            None => self.machine.containers(),
        }
    }

    fn listing_notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn target(&self, _: &WantedTarget) -> Result<Vec<Container>, TargetError> {
        let help = Some("select by container(…)".to_owned());
        Err(TargetError::Unusable(ListError { reason: "cgroup2 is not mounted".to_owned(), help }))
    }

    fn open(&self, container: &Container, place: &Place) -> Result<Opened, OpenError> {
        match &self.opening {
            Some(error) => Err(error.clone()),
            None => self.machine.open(container, place),
        }
    }
}

fn checked(program: &str, world: &dyn World) -> (Option<Program>, String) {
    let mut sources = Sources::default();
    let source = sources.add("case.ctp", program);
    let (file, mut diagnostics) = parse(source, program);
    let (program, found) = check(&sources, &[file], world, &Settings::default());
    diagnostics.extend(found);
    (program, render::short(&sources, &diagnostics))
}

/// The first line of what is said is this, and nothing else is said that has a code.
#[track_caller]
fn says(said: &str, code: &str, message: &str) {
    let first = said.lines().next().unwrap_or_default();
    assert!(first.contains(&format!("[{code}]: {message}")), "expected {code} {message}, and is\n{said}");
    let codes = said.lines().filter(|line| line.starts_with("case.ctp:")).count();
    assert_eq!(codes, 1, "{said}");
}

#[test]
fn a_machine_that_does_not_work() {
    let app = Binary::compile("examples/test_app.c", Compiler::Gcc, &["-g"]);
    let failing = |listing: Option<ListError>, opening| Failing {
        machine: Machine::new(&["web"], &[("/app/test_app", &app.path())]),
        listing,
        opening,
    };
    let probe = r#"probe container("web"):/app/test_app.fn("my_function") { println($arg) }"#;
    let listing = ListError { reason: "/proc is not mounted".to_owned(), help: None };
    let unlisted = failing(Some(listing), None);
    says(&checked(probe, &unlisted).1, "E0111", "containers cannot be listed: /proc is not mounted");
    let opening = |error| checked(probe, &failing(None, Some(error))).1;
    let denied = OpenError::Denied { missing: Some("CAP_SYS_PTRACE") };
    says(&opening(denied), "E0401", "ctp may not open `/app/test_app` in container `web`");
    says(&opening(OpenError::Gone), "E0406", "container `web` ended while its files were opened");
    let other = OpenError::Other("Input/output error".to_owned());
    says(&opening(other), "E0405", "`/app/test_app` in container `web` cannot be opened: Input/output error");
    let host = r#"probe host:/bin/ls.fn("main") { println("ls") }"#;
    says(&checked(host, &failing(None, None)).1, "E0407", "cgroup2 is not mounted");
}

#[test]
fn a_kernel_without_a_feature() {
    let app = Binary::compile("examples/test_app.c", Compiler::Gcc, &["-g"]);
    let machine = Machine::new(&["web"], &[("/app/test_app", &app.path())]);
    let text = r#"probe container("web"):/app/test_app.fn("my_function") { println(ns_pid()) }"#;
    let program = checked(text, &machine).0.expect("a good program");
    let refused = compile(&program, &Options::default(), &KernelFacts::default()).expect_err("no member is known");
    let told: Vec<(&str, &str)> = refused.iter().map(|said| (said.code.as_str(), said.message.as_str())).collect();
    assert_eq!(told, [("E0402", "the kernel's BTF lacks the members that hold a task's pids")]);
}

#[test]
fn code_that_was_built_so() {
    let warned = Binary::compile("tests/syntax/warned.c", Compiler::Clang, &["-g", "-O2"]);
    let unrolled = Binary::compile("tests/debuginfo/c/unrolled.c", Compiler::Clang, &["-g", "-O3"]);
    let files = [("/app/warned", warned.path()), ("/app/unrolled", unrolled.path())];
    let machine = Machine::new(&["web"], &files.each_ref().map(|(path, file)| (*path, file.as_path())));
    for (point, body, code, message) in [
        (r#"/app/warned.fn("both").call"#, "$spare", "W0003", "`$spare` has no value at the start of `both`"),
        (r#"/app/warned.fn("scaled")"#, "$value", "W0003", "`$value` has no value at the start of `scaled`"),
        (r#"/app/warned.fn("both").return"#, "$return", "W0004", "`both` was also inlined, in 1 place"),
        (r#"/app/warned.fn("forever")"#, "pp()", "W0005", "one call of `forever` may hit several times"),
        (r#"/app/unrolled.fn("tick")"#, "pp()", "W0006", "calls of `tick` that were inlined may be missed"),
        (r#"/app/warned.fn("turned")"#, "$value", "E0301", "printing `__float128` (16 bytes) is not supported yet"),
        (r#"/app/warned.fn("forev*").return"#, "pp()", "W0008", "`forever` never returns"),
    ] {
        says(&checked(&format!("probe container(\"web\"):{point} {{ println({body}) }}"), &machine).1, code, message);
    }
}
