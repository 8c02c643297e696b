//! Values in every build: programs in C, C++, Rust and Go that print what they pass before they call, compiled in many
//! ways, probed in a container by the embedded engine. Each value is the printed one, or `<unavailable: xmm>`, or
//! `<optimized out>` where gdb, stopped at that address, says so too. How many are right is printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::Scratch;

/// One build of a program.
struct Build {
    label: String,
    path: PathBuf,
}

/// What became of the values of some builds.
#[derive(Debug, Default)]
struct Counts {
    right: usize,
    vector: usize,
    optimized_out: usize,
    /// Calls that DWARF does not tell apart from others (W0006).
    missed: usize,
}

/// A call as it was printed: function, then parameters with their values; `?` for one whose value is not compared.
struct Call<'t> {
    function: &'t str,
    parameters: Vec<(&'t str, &'t str)>,
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("live/matrix").join(name)
}

/// What is to be compiled: a name for it, the compiler with its flags, and the sources.
type Order = (String, Command, Vec<PathBuf>);

/// Compiles builds side by side.
fn compile(folder: &Scratch, builds: Vec<Order>) -> Vec<Build> {
    let queue = std::sync::Mutex::new(builds.into_iter().enumerate().collect::<Vec<_>>());
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, (label, mut command, sources))) = queue.lock().unwrap().pop() else { return };
                    let path = folder.path().join(format!("app/{number}"));
                    run(command.arg("-o").arg(&path).args(sources));
                    done.lock().unwrap().push((number, Build { label, path }));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, build)| build).collect()
}

/// A tree with a launcher for builds in it.
fn tree() -> Scratch {
    let tree = Scratch::new();
    std::fs::create_dir(tree.path().join("app")).unwrap();
    let launcher = Binary::compile("tests/live/matrix/launch.c", Compiler::Gcc, &["-O1"]);
    std::fs::copy(launcher.path(), tree.path().join("app/launch")).unwrap();
    tree
}

/// The name that a function was given in the source: `m_` and what follows, whatever is around it.
fn plain(name: &str) -> &str {
    let from = name.find("m_").unwrap_or(0);
    let rest = &name[from..];
    &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())]
}

/// The lines of each build, of those that have one.
fn by_build(text: &str, builds: usize) -> Vec<Vec<Call<'_>>> {
    let mut calls: Vec<Vec<Call<'_>>> = Vec::new();
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("program ") {
            assert_eq!(number, calls.len().to_string(), "a program that failed");
            calls.push(Vec::new());
        } else if let Some((function, parameters)) = line.split_once('|') {
            let parameters = parameters.split('|').map(|one| one.split_once('=').unwrap()).collect();
            calls.last_mut().unwrap().push(Call { function: plain(function), parameters });
        }
    }
    assert_eq!(calls.len(), builds);
    calls
}

/// The value of a parameter in `a=1 b=2`, as the names of all of them say where it ends; `None` where it is not there.
fn value<'t>(shown: &'t str, name: &str, names: &[&str]) -> Option<&'t str> {
    let start = match shown.strip_prefix(name).filter(|rest| rest.starts_with('=')) {
        Some(rest) => &rest[1..],
        None => {
            let at = shown.find(&format!(" {name}="))?;
            &shown[at + name.len() + 2..]
        }
    };
    let end = names.iter().filter_map(|other| start.find(&format!(" {other}="))).min();
    Some(&start[..end.unwrap_or(start.len())])
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
fn check(tree: &Scratch, builds: &[Build], pattern: &str) -> Counts {
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
    known.retain(|known| !known.starts_with("m_overwritten a "));
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

/// The ways to compile C and C++.
fn flags() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut builds = Vec::new();
    for dwarf in ["-gdwarf-4", "-gdwarf-5"] {
        for level in [&["-O0"][..], &["-O1"], &["-O2"], &["-O3"], &["-O2", "-flto"]] {
            builds.push(("gcc", [level, &[dwarf]].concat()));
        }
        for level in ["-O0", "-O2"] {
            builds.push(("clang", vec![level, dwarf]));
        }
    }
    builds
}

#[test]
fn c() {
    let tree = tree();
    let builds = flags().into_iter().map(|(compiler, flags)| {
        let mut command = Command::new(compiler);
        command.arg("-static").args(&flags);
        (format!("{compiler} {}", flags.join(" ")), command, vec![source("values.c"), source("more.c")])
    });
    let builds = compile(&tree, builds.collect());
    let counts = check(&tree, &builds, "m_*");
    assert!(counts.right > 3000, "{counts:?}");
}

#[test]
fn cpp() {
    let tree = tree();
    let builds = flags().into_iter().map(|(compiler, flags)| {
        let compiler = if compiler == "gcc" { "g++" } else { "clang++" };
        let mut command = Command::new(compiler);
        command.args(["-static", "-std=c++17"]).args(&flags);
        (format!("{compiler} {}", flags.join(" ")), command, vec![source("values.cpp")])
    });
    let builds = compile(&tree, builds.collect());
    let counts = check(&tree, &builds, "m_*");
    assert!(counts.right > 1000, "{counts:?}");
}

#[test]
fn rust() {
    let tree = tree();
    let mut builds = Vec::new();
    for dwarf in ["-Cdwarf-version=4", "-Cdwarf-version=5"] {
        for level in [&["-Copt-level=0"][..], &["-Copt-level=2", "-Csymbol-mangling-version=v0"], &["-Copt-level=3"]] {
            let mut command = Command::new("rustc");
            command.args(["-g", "-Ctarget-feature=+crt-static", dwarf, "--edition=2021"]).args(level);
            builds.push((format!("rustc {dwarf} {}", level.join(" ")), command, vec![source("values.rs")]));
        }
    }
    let builds = compile(&tree, builds);
    let counts = check(&tree, &builds, "m_*");
    assert!(counts.right > 500, "{counts:?}");
}

#[test]
fn go() {
    let tree = tree();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix-go");
    let mut builds = Vec::new();
    for flags in ["-gcflags=", "-gcflags=-N -l"] {
        let mut command = Command::new("go");
        command.env("GOCACHE", &cache).env("GO111MODULE", "off").env("CGO_ENABLED", "0").args(["build", flags]);
        builds.push((format!("go {flags}"), command, vec![source("values.go")]));
    }
    let builds = compile(&tree, builds);
    let counts = check(&tree, &builds, "main.*m_*");
    assert!(counts.right > 100, "{counts:?}");
}
