//! Values in every build: programs in C, C++, Rust and Go that print what they pass before they call, compiled in many
//! ways, probed in a container by the embedded engine. Each value is the printed one, or `<unavailable: xmm>`, or
//! `<optimized out>` where gdb, stopped at that address, says so too. How many are right is printed.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};
use ctp_tests::matrix::{Build, Call, Programs, by_build, plain, value};
use ctp_tests::process::attempt;

/// What became of the values of some builds.
#[derive(Debug, Default)]
struct Counts {
    right: usize,
    vector: usize,
    optimized_out: usize,
    /// Calls that DWARF does not tell apart from others (W0006).
    missed: usize,
}

const OPTIMIZED_OUT: &str = "<optimized out>";
const VECTOR: &str = "<unavailable: xmm>";

/// Whether a value is the printed one save for parts that are said not to be there.
fn fits(printed: &str, shown: &str) -> bool {
    let parts: Vec<&str> = shown.split(OPTIMIZED_OUT).flat_map(|part| part.split(VECTOR)).collect();
    let [first, middle @ .., last] = parts.as_slice() else { return printed == shown };
    let mut at = 0;
    let inner = middle.iter().all(|part| match printed.get(at.max(first.len())..).and_then(|rest| rest.find(part)) {
        Some(found) => {
            at = at.max(first.len()) + found + part.len();
            true
        }
        None => false,
    });
    inner && printed.starts_with(first) && printed.ends_with(last) && first.len() + last.len() <= printed.len()
}

/// Probes all functions of all builds in one container and holds every call against what was printed.
fn check(programs: &Programs) -> Counts {
    let Programs { tree, builds, pattern } = programs;
    let image = Image::of_tree(tree.path(), "/app/launch");
    let mut container = Container::driven(&image);
    let probe = |number: usize| {
        format!(
            "probe container(\"{}\"):/app/{number}.fn(\"{pattern}\") {{ \
             printf(\"{number}|%s|%s\\n\", probefunc(), $$parms) }}\n",
            container.name()
        )
    };
    let script: String = (0..builds.len()).map(probe).collect();
    let ctp = Running::attached(&script);
    container.call(u32::try_from(builds.len()).unwrap());
    let printed = container.printed().join("\n");
    let output = ctp.interrupt();
    assert!(output.stderr.contains(" 0 lost,"), "{}", output.stderr);
    let mut hits: Vec<Vec<(&str, &str)>> = builds.iter().map(|_| Vec::new()).collect();
    for line in output.stdout.lines() {
        let mut parts = line.splitn(3, '|');
        let (number, function, shown) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        hits[number.parse::<usize>().unwrap()].push((plain(function), shown));
    }
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    for ((build, calls), hits) in builds.iter().zip(by_build(&printed, builds.len())).zip(&hits) {
        let before = counts.right;
        failures.extend(one_build(build, &calls, hits, &mut counts));
        println!("{}: {} right", build.label, counts.right - before);
    }
    println!("{counts:?}");
    assert!(failures.is_empty(), "{failures:#?}");
    counts
}

/// What is wrong with the values of one build.
fn one_build(build: &Build, calls: &[Call<'_>], hits: &[(&str, &str)], counts: &mut Counts) -> Vec<String> {
    let label = &build.label;
    let mut by_function: BTreeMap<&str, Vec<&Call<'_>>> = BTreeMap::new();
    calls.iter().for_each(|call| by_function.entry(call.function).or_default().push(call));
    // Function and parameter, by what gdb is asked for.
    let mut missing: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let module = Module::open(Arc::new(std::fs::read(&build.path).unwrap())).unwrap();
    for (function, calls) in by_function {
        let hits: Vec<&str> = hits.iter().filter(|(name, _)| *name == function).map(|(_, shown)| *shown).collect();
        if hits.len() != calls.len() {
            let partial = functions(&module, function).iter().flat_map(|one| &one.sites).any(|site| site.partial);
            if partial && hits.len() < calls.len() {
                counts.missed += calls.len() - hits.len();
            } else {
                wrong.push(format!("{label}: {function}: {} calls, hits: {hits:?}", calls.len()));
            }
            continue;
        }
        for (call, shown) in calls.iter().zip(hits) {
            let names: Vec<&str> = call.parameters.iter().map(|(name, _)| *name).collect();
            for (name, printed) in &call.parameters {
                match value(shown, name, &names) {
                    _ if *printed == "?" => {}
                    Some(shown) if shown == *printed => counts.right += 1,
                    Some(shown) if shown.contains(VECTOR) && fits(printed, shown) => counts.vector += 1,
                    Some(shown) if shown.contains(OPTIMIZED_OUT) && fits(printed, shown) => {
                        counts.optimized_out += 1;
                        *missing.entry((function, *name)).or_default() += 1;
                    }
                    None => {
                        counts.optimized_out += 1;
                        *missing.entry((function, *name)).or_default() += 1;
                    }
                    Some(other) => wrong.push(format!("{label}: {function} {name}: printed {printed}, shown {other}")),
                }
            }
        }
    }
    let missing: Vec<(&str, &str)> = missing.into_keys().collect();
    let mut known = gdb_knows(build, &module, &missing);
    // gcc -O3 makes a clone of this one, without that parameter, which a caller jumps to instead of calling it: gdb
    // reasons which caller that must have been, from all jumps that might lead there.
    // Debug info names places for these that hold something else, which gdb shows: memory that gcc's optimised code never
    // fills and registers that it has not filled yet, and the address of what rustc passes on the stack.
    let not_known = ["m_overwritten a ", "m_tiny a ", "m_tiny b ", "m_wide a ", "m_wide b ", "m_stacked g "];
    known.retain(|known| !not_known.iter().any(|not_known| known.starts_with(not_known)));
    wrong.extend(known.into_iter().map(|known| format!("{label}: {OPTIMIZED_OUT} here, gdb has {known}")));
    wrong
}

fn functions(module: &Module, plain_name: &str) -> Vec<ctp_lang::debuginfo::facts::Function> {
    let found = ["m_*", "main.*m_*"].into_iter().flat_map(|glob| module.functions(glob).unwrap());
    found.filter(|function| plain(&function.name) == plain_name).collect()
}

/// Which of these parameters gdb has a value of at one of the sites where ctp has none.
fn gdb_knows(build: &Build, module: &Module, missing: &[(&str, &str)]) -> Vec<String> {
    if missing.is_empty() {
        return Vec::new();
    }
    let mut asked = String::new();
    for (name, parameter) in missing {
        for function in functions(module, name) {
            for site in &function.sites {
                asked += &format!("  ({}, {name:?}, {parameter:?}),\n", site.address);
            }
        }
    }
    let script = build.path.with_extension("py");
    let out = build.path.with_extension("known");
    std::fs::write(&script, GDB.replace("ASKED", &asked).replace("OUT", &out.display().to_string())).unwrap();
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-x"]).arg(&script).arg(&build.path);
    let said = attempt(&mut gdb);
    let text = std::fs::read_to_string(&out).unwrap_or_else(|_| panic!("gdb: {}", said.stderr));
    text.lines().map(str::to_owned).collect()
}

/// Stops at every address and asks for the parameter in the block of the function there.
const GDB: &str = r#"
import gdb
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("handle SIGURG nostop noprint pass")
asked = [
ASKED]
def main():
    try: return int(gdb.parse_and_eval("(unsigned long)&main"))
    except gdb.error: return 0
linked = main()
gdb.execute("starti > /dev/null")
bias = main() - linked
known = set()
stops = {}
for address, function, parameter in asked:
    stops.setdefault(address + bias, []).append((function, parameter))
class Stop(gdb.Breakpoint):
    def stop(self):
        frame = gdb.newest_frame()
        for function, parameter in stops[frame.pc()]:
            block = gdb.block_for_pc(frame.pc())
            while block is not None and not (block.function is not None and function in block.function.name):
                block = block.superblock
            for symbol in block or []:
                if not symbol.is_argument or symbol.name != parameter: continue
                try:
                    value = symbol.value(frame)
                    text = value.format_string(max_depth=1)
                except (gdb.error, gdb.MemoryError) as error:
                    continue
                if "<optimized out>" in text or "<synthetic pointer>" in text: continue
                known.add("%s %s at %#x: %s" % (function, parameter, frame.pc() - bias, text))
        return False
for address in stops: Stop("*%d" % address, internal=True)
try: gdb.execute("continue > /dev/null")
except gdb.error: pass
with open("OUT", "w") as out:
    out.writelines(line + "\n" for line in sorted(known))
"#;

#[test]
fn c() {
    let counts = check(&Programs::c());
    assert!(counts.right > 3000, "{counts:?}");
}

#[test]
fn cpp() {
    let counts = check(&Programs::cpp());
    assert!(counts.right > 1000, "{counts:?}");
}

#[test]
fn rust() {
    let counts = check(&Programs::rust());
    assert!(counts.right > 500, "{counts:?}");
}

#[test]
fn go() {
    let counts = check(&Programs::go());
    assert!(counts.right > 100, "{counts:?}");
}
