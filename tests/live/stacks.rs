//! Stacks: what `ustack()` and `caller()` show against gdb's own backtrace of the same calls, also of processes that are
//! gone, and as keys of maps.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// What gdb is told: to stop at each call of `leaf` that the program makes in so many steps, and to say where it is.
const GDB: &str = r#"
import gdb, json
def frames():
    out, frame = [], gdb.newest_frame()
    while frame is not None and len(out) < 127:
        if frame.type() == gdb.SIGTRAMP_FRAME:
            out.append({"signal": True})
        elif frame.type() != gdb.TAILCALL_FRAME:
            # Those are guessed: nothing of them is on the stack.
            line, inlined = frame.find_sal().line, frame.type() == gdb.INLINE_FRAME
            out.append({"function": frame.name(), "line": line, "inlined": inlined, "pc": frame.pc()})
        frame = frame.older()
    return out
for told in ("set pagination off", "set backtrace past-main on", "handle SIGUSR1 nostop noprint pass", "break leaf",
             "break pause", "run < INPUT > /dev/null"):
    gdb.execute(told)
while "pause" not in gdb.newest_frame().name():
    print("STACK " + json.dumps(frames()))
    gdb.execute("continue")
gdb.execute("kill")
"#;

/// gdb's backtraces of the calls of `leaf` that a program makes in so many steps.
fn by_gdb(program: &Path, steps: u32) -> Vec<Vec<Value>> {
    let scratch = Scratch::new();
    let (input, script) = (scratch.path().join("input"), scratch.path().join("bt.py"));
    std::fs::write(&input, format!("{steps}\n")).unwrap();
    std::fs::write(&script, GDB.replace("INPUT", input.to_str().unwrap())).unwrap();
    let said = run(Command::new("gdb").args(["-nx", "-batch", "-x"]).arg(&script).arg(program)).stdout;
    let stacks = said.lines().filter_map(|line| line.strip_prefix("STACK "));
    stacks.map(|stack| serde_json::from_str(stack).unwrap()).collect()
}

/// ctp's, of the same program in a container; and its callers.
fn by_ctp(image: &Image, steps: u32) -> Vec<(Vec<Value>, Vec<Value>)> {
    let mut container = Container::driven(image);
    let point = format!(r#"container("{}"):/app/bin.fn("leaf")"#, container.name());
    let script = format!("probe {point} {{ emit {{ stack: ustack(), caller: caller() }} }}");
    let ctp = Running::attached_with(&["run", "--output", "jsonl", "-e", &script]);
    container.call(steps);
    let output = ctp.interrupt();
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    const MEMBERS: [&str; 10] =
        ["function", "offset", "file", "line", "inlined", "address", "module", "build_id", "signal", "unavailable"];
    let list = |value: &Value| {
        let frames = value.as_array().unwrap().clone();
        let mut members = frames.iter().flat_map(|frame| frame.as_object().unwrap().keys());
        assert!(members.all(|member| MEMBERS.contains(&member.as_str())), "{value}");
        frames
    };
    let events = lines.filter(|line| line["type"] == "event");
    events.map(|event| (list(&event["fields"]["stack"]), list(&event["fields"]["caller"]))).collect()
}

/// Whether a name is gdb's. It leaves out parameters, mostly; what glibc calls by a hidden name has both.
fn is_name(own: &str, gdb: &str) -> bool {
    let gdb = gdb.strip_prefix("__GI_").unwrap_or(gdb);
    let is_more = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('('));
    own == gdb || is_more(own, gdb) || is_more(gdb, own)
}

/// How two frames differ; the first of a stack may be at another instruction of the function.
fn differ(own: &Value, gdb: &Value, first: bool) -> Option<String> {
    if gdb["signal"] == true || own["signal"] == true {
        return (own["signal"] != gdb["signal"]).then(|| "signal".to_owned());
    }
    // What docker allows makes threads by the older system call.
    if own["function"] == "__clone" && gdb["function"] == "clone3" {
        return None;
    }
    // Addresses without what the kernel chose of them.
    let address = |text: &Value| u64::from_str_radix(text.as_str()?.strip_prefix("0x")?, 16).ok();
    let own_address = address(&own["address"]).map(|at| at & 0xfff);
    if !first && own_address != gdb["pc"].as_u64().map(|at| at & 0xfff) {
        return Some("address".to_owned());
    }
    // Of code without debug info gdb takes the name of the nearest symbol, or another one at the same address.
    if gdb["line"].as_u64() == Some(0) {
        return None;
    }
    let same_name = own["function"].as_str().zip(gdb["function"].as_str()).is_some_and(|(own, gdb)| is_name(own, gdb));
    // gdb passes over rows of the line table at which no statement begins: inlined code of C++ has many.
    let lined = !own["file"].as_str().is_some_and(|file| file.contains("/c++/"));
    let same_line = first || !lined || own["line"] == gdb["line"];
    let inlined = own["inlined"] == true;
    (!same_name || !same_line || inlined != (gdb["inlined"] == true)).then(|| "name, line or inlining".to_owned())
}

/// Compares all stacks of a program.
fn compare(what: &str, program: &Path, image: &Image, steps: u32) {
    let (gdb, own) = (by_gdb(program, steps), by_ctp(image, steps));
    assert!(!gdb.is_empty());
    assert_eq!(own.len(), gdb.len(), "{what}");
    for (index, ((own, caller), gdb)) in own.iter().zip(&gdb).enumerate() {
        let stopped = own.last().and_then(|last| last["unavailable"].as_str());
        let frames = &own[..own.len() - usize::from(stopped.is_some())];
        let lists = || format!("{what}, call {index}:\n{}\n{}", json!(own), json!(gdb));
        match stopped {
            // The one call whose frame is larger than what is kept.
            Some(why) => {
                let too_large = why.starts_with("unwind stopped: only ") && why.ends_with(" of the stack were kept");
                assert!(too_large && gdb.iter().any(|frame| frame["function"] == "broad"), "{}", lists());
            }
            None => assert_eq!(frames.len(), gdb.len(), "{}", lists()),
        }
        for (at, (own, gdb)) in frames.iter().zip(gdb).enumerate() {
            assert_eq!(differ(own, gdb, at == 0), None, "frame {at} of {}", lists());
        }
        assert_eq!(caller.first().and_then(|caller| differ(caller, &gdb[1], false)), None, "{}", lists());
    }
}

#[test]
fn stacks_of_c_are_gdbs_at_every_level() {
    let builds: [(Compiler, &[&str]); 4] = [
        (Compiler::Gcc, &["-O0", "-g"]),
        (Compiler::Gcc, &["-O2", "-g"]),
        (Compiler::Gcc, &["-O3", "-g", "-fno-omit-frame-pointer"]),
        (Compiler::Clang, &["-O2", "-g"]),
    ];
    for (compiler, flags) in builds {
        let binary = Binary::compile("stacks.c", compiler, &[flags, &["-pthread"]].concat());
        compare(&format!("{compiler:?} {flags:?}"), &binary.path(), &Image::new(&binary, "/app/bin"), 7);
    }
}

#[test]
fn stacks_of_cpp_are_gdbs() {
    let binary = Binary::compile("stacks.cpp", Compiler::Gxx, &["-O2", "-g"]);
    compare("C++", &binary.path(), &Image::new(&binary, "/app/bin"), 2);
}

#[test]
fn the_caller_of_what_was_inlined_is_what_it_was_inlined_into() {
    for (compiler, level) in [(Compiler::Gcc, "-O0"), (Compiler::Gcc, "-O2"), (Compiler::Clang, "-O2")] {
        let binary = Binary::compile("stacks.c", compiler, &[level, "-g", "-pthread"]);
        let image = Image::new(&binary, "/app/bin");
        let mut container = Container::driven(&image);
        let point = format!(r#"container("{}"):/app/bin.fn("inlined")"#, container.name());
        let ctp = Running::attached(&format!("probe {point} {{ println(caller()) }}"));
        container.call(7);
        let output = ctp.interrupt();
        // One in `step` 0, one in the thread of `step` 4.
        let callers: Vec<&str> = output.lines().into_iter().map(|line| line.split('+').next().unwrap()).collect();
        assert_eq!(callers, ["framed", "framed"], "{compiler:?} {level} {output:?}");
    }
}

/// A tree that holds a program at `/app/bin` with the libraries that it needs.
fn tree_of(program: &Path) -> Scratch {
    let tree = Scratch::new();
    let copy = |from: &Path, to: PathBuf| {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    copy(program, tree.path().join("app/bin"));
    for word in run(Command::new("ldd").arg(program)).stdout.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(word), tree.path().join(word.trim_start_matches('/')));
    }
    tree
}

/// `stacks.c` as distributions build programs: for any address, with the C library apart, which has no debug info.
fn dynamic() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let program = scratch.path().join("app");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-g", "-pthread", "-I"]).arg(&fixtures).arg("-o").arg(&program);
    run(gcc.arg(fixtures.join("stacks.c")));
    (scratch, program)
}

#[test]
fn stacks_through_libraries_are_gdbs() {
    let (_scratch, program) = dynamic();
    let tree = tree_of(&program);
    compare("dynamic", &program, &Image::of_tree(tree.path(), "/app/bin"), 7);
}

#[test]
fn a_process_that_is_gone_when_its_record_is_read_has_its_stack() {
    let (_scratch, program) = dynamic();
    let tree = tree_of(&program);
    let image = Image::of_tree(tree.path(), "/app/bin");
    let container = Container::driven(&image);
    let point = format!(r#"container("{}"):/app/bin.fn("leaf")"#, container.name());
    let ctp = Running::attached(&format!("probe {point} {{ println(ustack(3)); println(\"--\") }}"));
    // Nothing is read while it begins, calls and ends.
    ctp.signal(Signal::SIGSTOP);
    let shell =
        format!("printf '1\\n' | timeout 3 /usr/bin/docker exec --interactive {} /app/bin; true", container.name());
    run(Command::new("bash").args(["-c", &shell]));
    docker(&["kill", container.name()]);
    ctp.signal(Signal::SIGCONT);
    let output = ctp.interrupt();
    let lines: Vec<&str> = output.lines().into_iter().map(|line| line.split('+').next().unwrap()).collect();
    assert_eq!(lines, ["leaf", "inlined at stacks.c:19", "framed", "--"], "{output:?}");
}

#[test]
fn calls_of_two_containers_from_one_place_are_one_key() {
    let binary = Binary::compile("stacks.c", Compiler::Gcc, &["-O2", "-g", "-pthread"]);
    let image = Image::new(&binary, "/app/bin");
    let mut pair = [Container::driven(&image), Container::driven(&image)];
    let probe = |container: &Container| format!(r#"container("{}"):/app/bin.fn("leaf")"#, container.name());
    let script = format!(
        r#"global by_stack, by_caller, sizes, last = "nobody", joined
        probe {}, {} {{
            last = caller()
            joined["from " . caller()]++
            by_stack[ustack(2)]++
            by_caller[caller()] += 10
            sizes[caller(), 1] <<< $n
        }}
        probe end {{
            foreach ([stack] in by_stack-) {{
                n++
                if (n == 1) println(stack, by_stack[stack])
            }}
            foreach ([by, one] in sizes @sum-) printf("%s: %d calls\n", by, @count(sizes[by, one]))
            foreach (by in joined) if (by == "from " . last) println("the last is one of them")
        }}"#,
        probe(&pair[0]),
        probe(&pair[1])
    );
    let ctp = Running::attached(&script);
    pair.iter_mut().for_each(|container| container.call(28));
    let output = ctp.interrupt();
    // 28 steps are 4 of each kind; a sort of 3 numbers compares them 3 times at most, with 2 calls each.
    let calls = |from: &str| {
        let line = output.lines().into_iter().find(|line| line.starts_with(from)).unwrap_or_default().to_owned();
        line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok())
    };
    assert_eq!(calls("inlined at"), Some(2 * 8), "{output:?}");
    // `tail` is left by a jump.
    assert_eq!(calls("sized+"), Some(2 * 4), "{output:?}");
    assert_eq!(calls("handler+"), Some(2 * 4), "{output:?}");
    let total = output.lines().into_iter().find_map(|line| line.strip_prefix("by_caller[sized+")).unwrap_or_default();
    assert!(total.ends_with(" = 80"), "{output:?}");
    assert!(output.lines().contains(&"the last is one of them"), "{output:?}");
    assert!(output.stderr.contains(" 0 lost"), "{output:?}");
}

#[test]
fn a_stack_that_a_handler_computes_with_is_refused_before_anything_is_attached() {
    let binary = Binary::compile("stacks.c", Compiler::Gcc, &["-O2", "-g", "-pthread"]);
    let image = Image::new(&binary, "/app/bin");
    let container = Container::driven(&image);
    let point = format!(r#"container("{}"):/app/bin.fn("leaf")"#, container.name());
    for body in [
        "last = caller(); println(last)",
        "one = caller(); println(one)",
        "if (caller() == \"main\") println(1)",
        "by[caller()]++; println(by[ustack()])",
        "by[caller()]++; by[caller()] = by[caller()] + 1",
        "by[caller()]++; delete by[ustack()]",
        "println(strlen(ustack() . \"!\"))",
    ] {
        let script = format!("global last = \"\", by\nprobe {point} {{ {body} }}\nprobe end {{ println(last, by) }}");
        let output = ctp(&["run", "-e", &script]);
        assert_eq!(output.code, Some(1), "{body}: {output:?}");
        assert!(output.stderr.contains("E0302") && !output.stderr.contains("attached"), "{body}: {output:?}");
    }
}
