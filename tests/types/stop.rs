//! Compiles a program, stops it under gdb at the address that ctp chose, and runs a handler on the registers and memory
//! that gdb finds there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ctp_lang::check::{Settings, check};
use ctp_lang::codes::Code;
use ctp_lang::debuginfo::facts::Register;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::interpret;
use ctp_lang::interpret::recorded::Recorded;
use ctp_lang::ir::{Context, Handler, ProbeKind, Program, Site};
use ctp_lang::source::Sources;
use ctp_lang::syntax::parse;
use ctp_lang::value::{Value, write_print};
use ctp_lang::world::{Container, FileId, ListError, OpenError, Opened, Place, World};
use ctp_tests::world::Machine;
use object::{Object as _, ObjectSegment as _};

/// A program stopped where its function `take` is probed.
pub(crate) struct Stopped {
    path: PathBuf,
    function: &'static str,
    registers: Vec<i64>,
    thread_pointer: i64,
    memory: Vec<(u64, Vec<u8>)>,
    bias: u64,
}

/// Compiles a program of this part.
pub(crate) fn compile(source: &str, compiler: &str, flags: &[&str]) -> PathBuf {
    compile_by(source, compiler, &mut Command::new(compiler), flags)
}

/// The same for Go.
pub(crate) fn compile_go(source: &str, flags: &[&str]) -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("types-go");
    let mut go = Command::new("go");
    go.arg("build").env("GOCACHE", &cache).env("GO111MODULE", "off");
    compile_by(source, "go", &mut go, flags)
}

fn compile_by(source: &str, compiler: &str, command: &mut Command, flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("types");
    std::fs::create_dir_all(&folder).unwrap();
    let label: String = flags.iter().flat_map(|flag| flag.chars()).filter(char::is_ascii_alphanumeric).collect();
    // Tests run side by side, and each leaves files beside its program.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{}-{compiler}-{label}-{number}", source.replace('.', "-")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("types/programs").join(source);
    let output = command.args(flags).arg("-o").arg(&path).arg(source).output().unwrap();
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    path
}

/// What the checker says of a handler of a function.
fn checked(path: &Path, function: &str, body: &str, settings: &Settings) -> (Option<Program>, Vec<Diagnostic>) {
    let machine = Machine::new(&["web"], &[("/app/x", path)]);
    let text = format!("probe container(\"web\"):/app/x.fn(\"{function}\") {{ {body} }}");
    let mut sources = Sources::default();
    let source = sources.add("test.ctp", text.as_str());
    let (file, mut diagnostics) = parse(source, &text);
    let (program, found) = check(&sources, &[file], &machine, settings);
    diagnostics.extend(found);
    (program, diagnostics)
}

/// The codes of the errors of a handler.
pub(crate) fn refused(path: &Path, body: &str) -> Vec<(Code, String)> {
    let (_, diagnostics) = checked(path, "take", body, &Settings::default());
    diagnostics.into_iter().map(|one| (one.code, format!("{} {:?} {:?}", one.message, one.notes, one.helps))).collect()
}

/// What is said of a handler at a point that matches two containers, `old` and `new`, with a build each.
pub(crate) fn refused_in_two(old: &Path, new: &Path, body: &str) -> Vec<(Code, String)> {
    let machine =
        TwoBuilds { old: Machine::new(&["old", "new"], &[("/app/x", old)]), new: std::fs::read(new).unwrap() };
    let text = format!("probe container(\"*\"):/app/x.fn(\"take\") {{ {body} }}");
    let mut sources = Sources::default();
    let source = sources.add("test.ctp", text.as_str());
    let (file, mut diagnostics) = parse(source, &text);
    diagnostics.extend(check(&sources, &[file], &machine, &Settings::default()).1);
    diagnostics.into_iter().map(|one| (one.code, format!("{} {:?}", one.message, one.notes))).collect()
}

/// A machine whose second container has a file of its own.
struct TwoBuilds {
    old: Machine,
    new: Vec<u8>,
}

impl World for TwoBuilds {
    fn containers(&self) -> Result<Arc<[Container]>, ListError> {
        self.old.containers()
    }

    fn listing_notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn open(&self, container: &Container, place: &Place) -> Result<Opened, OpenError> {
        let opened = self.old.open(container, place)?;
        Ok(match container.name.as_deref() {
            Some("new") => Opened { file: FileId(1), bytes: Arc::new(self.new.clone()), ..opened },
            _ => opened,
        })
    }
}

fn only_site(program: &Program) -> (&Site, &Handler) {
    for probe in &program.probes {
        if let ProbeKind::Sites(variants) = &probe.kind {
            assert_eq!(variants.iter().map(|variant| variant.sites.len()).sum::<usize>(), 1, "one site");
            return (&variants[0].sites[0], &variants[0].handler);
        }
    }
    panic!("no site")
}

/// What a file has to be in memory, at addresses moved by a bias.
fn segments(file: &object::File<'_>, bias: u64) -> Vec<(u64, Vec<u8>)> {
    let segments = file.segments().map(|segment| (segment.address() + bias, segment.data().unwrap().to_vec()));
    segments.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

impl Stopped {
    /// Runs the program up to the `hit`th time that `take` is hit.
    pub(crate) fn at(path: &Path, hit: usize) -> Stopped {
        Stopped::in_function(path, "take", hit)
    }

    /// The same for a function of another name.
    pub(crate) fn in_function(path: &Path, function: &'static str, hit: usize) -> Stopped {
        let (program, diagnostics) = checked(path, function, "println(pid())", &Settings::default());
        let program = program.unwrap_or_else(|| panic!("{diagnostics:#?}"));
        let address = only_site(&program).0.address;
        let core = path.with_extension(format!("core{hit}"));
        let registers = path.with_extension(format!("registers{hit}"));
        let script = path.with_extension(format!("{hit}.py"));
        let text = format!(
            r#"
import gdb
gdb.execute("set pagination off")
gdb.execute("set language c")
def main():
    try: return int(gdb.parse_and_eval("(unsigned long)&main"))
    except gdb.error: return 0
linked = main()
gdb.execute("starti > /dev/null")
bias = main() - linked
gdb.Breakpoint("*%d" % ({address} + bias))
for _ in range({hit}): gdb.execute("continue")
names = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"] + ["r%d" % n for n in range(8, 16)]
values = [int(gdb.parse_and_eval("(long)$" + name)) for name in names + ["fs_base"]] + [bias]
open("{registers}", "w").write(" ".join(str(value) for value in values))
gdb.execute("set use-coredump-filter off")
gdb.execute("set dump-excluded-mappings on")
gdb.execute("generate-core-file {core}")
"#,
            registers = registers.display(),
            core = core.display(),
        );
        std::fs::write(&script, text).unwrap();
        let gdb = Command::new("gdb")
            .args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-x"])
            .arg(&script)
            .arg(path)
            .output()
            .unwrap();
        let values = std::fs::read_to_string(&registers)
            .unwrap_or_else(|_| panic!("gdb: {}", String::from_utf8_lossy(&gdb.stderr)));
        let mut values: Vec<i64> = values.split(' ').map(|value| value.parse().unwrap()).collect();
        let bias = values.pop().unwrap().cast_unsigned();
        let thread_pointer = values.pop().unwrap();
        let bytes = std::fs::read(&core).unwrap();
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let mut memory = segments(&file, 0);
        // gdb leaves out what the file itself holds unchanged.
        let own = std::fs::read(path).unwrap();
        for (start, bytes) in segments(&object::File::parse(own.as_slice()).unwrap(), bias) {
            let end = start + bytes.len() as u64;
            if !memory.iter().any(|(from, held)| *from < end && start < from + held.len() as u64) {
                memory.push((start, bytes));
            }
        }
        for leftover in [&core, &registers, &script] {
            std::fs::remove_file(leftover).unwrap();
        }
        Stopped { path: path.to_owned(), function, registers: values, thread_pointer, memory, bias }
    }

    /// Where a function of C++ is, which nm finds by its name.
    pub(crate) fn address_of(&self, name: &str) -> u64 {
        let listed = Command::new("nm").arg("-C").arg(&self.path).output().unwrap().stdout;
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap() + self.bias
    }

    /// What a handler prints here.
    pub(crate) fn prints(&self, body: &str) -> String {
        self.prints_to(body, &Settings::default())
    }

    /// The same with other settings.
    pub(crate) fn prints_to(&self, body: &str, settings: &Settings) -> String {
        let (program, diagnostics) = checked(&self.path, self.function, body, settings);
        let program = program.unwrap_or_else(|| panic!("{body}: {diagnostics:#?}"));
        let (_, handler) = only_site(&program);
        let mut machine = Recorded::new(&program);
        machine.memory.clone_from(&self.memory);
        machine.registers = (0..16).map(Register).zip(self.registers.iter().copied()).collect();
        machine.bias = self.bias;
        machine.contexts.insert(Context::ThreadPointer, Value::Int(self.thread_pointer));
        let run = interpret::run(&program, handler, &mut machine).unwrap_or_else(|stop| panic!("{body}: {stop:?}"));
        let mut out = Vec::new();
        run.prints.iter().for_each(|(print, values)| write_print(&mut out, print, values, &program));
        String::from_utf8(out).unwrap().trim_end_matches('\n').to_owned()
    }
}
