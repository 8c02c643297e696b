//! Owns one run of each virtual machine for all tests: makes it, puts ctp, the traced programs and the cases into the
//! folder that it shares, and reads what it left there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use ctp_tests::ctp;
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;

use crate::case;

/// What the machine left.
pub(crate) struct Machine {
    share: PathBuf,
    has_stap: bool,
    _scratch: Option<Scratch>,
}

/// The cases that run on the older kernel.
pub(crate) const ON_THE_OLDER_KERNEL: [&str; 3] = ["arguments", "returns", "several"];

/// Debian 13's kernel with SystemTap, run once.
pub(crate) fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
    let machine = MACHINE.get_or_init(|| Machine::boot("trixie", "v2", true, &case::all()));
    machine.as_ref().unwrap_or_else(|console| panic!("{console}"))
}

/// Debian 12's kernel, run once.
pub(crate) fn older_machine() -> &'static Machine {
    static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
    let machine = MACHINE.get_or_init(|| Machine::boot("bookworm", "v2", false, &ON_THE_OLDER_KERNEL));
    machine.as_ref().unwrap_or_else(|console| panic!("{console}"))
}

impl Machine {
    /// Debian 12's kernel with other cgroups (the words are those of `guest/init`), run for one case.
    pub(crate) fn with_cgroups(cgroups: &str) -> Machine {
        let machine = Machine::boot("bookworm", cgroups, false, &["arguments"]);
        let machine = machine.unwrap_or_else(|console| panic!("{console}"));
        // What the machine's first process was in: lines of version 1 begin with the number of a hierarchy.
        let lines = fs::read_to_string(machine.share.join("cgroups")).unwrap();
        let (second, first): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.starts_with("0::"));
        assert!(!first.is_empty() && second.is_empty() == (cgroups == "v1"), "{lines}");
        machine
    }

    fn boot(suite: &str, cgroups: &str, has_stap: bool, cases: &[impl AsRef<str>]) -> Result<Machine, String> {
        // While one runs another may be made.
        let machine = run(script("machine").arg(suite)).stdout.trim().to_owned();
        // One of each kind at a time: each takes a processor.
        static RUNNING: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
        let _running = RUNNING[usize::from(has_stap)].lock().unwrap_or_else(PoisonError::into_inner);
        let (share, scratch) = match std::env::var_os("CTP_VM_KEEP") {
            Some(folder) => (Path::new(&folder).join(format!("{suite}-{cgroups}")), None),
            None => {
                let scratch = Scratch::new();
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        fill(&share, cases);
        // The emulated processor was once seen to fail by itself.
        if let Err(console) = boot(&machine, &share, cgroups) {
            // Not eprintln!, which a test that passes keeps to itself.
            let said = format!("the machine of {suite}, cgroups {cgroups}, is started again; it said:\n{console}\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            drop(fs::remove_dir_all(share.join("out")));
            boot(&machine, &share, cgroups).map_err(|console| format!("the machine failed twice:\n{console}"))?;
        }
        Ok(Machine { share, has_stap, _scratch: scratch })
    }

    /// Fails unless all ways printed what the container's programs printed, and both engines of `ctp run` counted the same.
    pub(crate) fn check(&self, name: &str) {
        let read = |file: &str| fs::read_to_string(self.share.join("out").join(name).join(file)).unwrap_or_default();
        let said = || ["failed", "build.err", "stap.log", "stap.err", "engine.err", "bpf.err"].map(&read).join("\n");
        assert_eq!(read("failed"), "", "{}", said());
        assert_eq!(fs::read_to_string(self.share.join("out/stays")).unwrap(), "", "modules that are still loaded");

        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let expected = case::expected(name, |process| lines(read(process)));
        // That the neighbours called too.
        for process in ["twin", "other", "host"] {
            assert!(read(process).contains("\ndone\n"), "{process} was not called");
        }
        assert_eq!(lines(read("bpf")), expected, "the embedded engine\n{}", said());
        // The kernel tells what containers execute, too.
        assert!(!read("bpf.err").contains("looked at each tenth of a second"), "{}", said());
        if !self.has_stap {
            return;
        }
        // The first line of the commands' output is the name of the module that stap has compiled.
        let stap: Vec<String> = lines(read("stap")).into_iter().skip(1).collect();
        assert_eq!(stap, expected, "SystemTap\n{}\n{}", said(), read("script.stp"));
        assert_eq!(lines(read("engine")), expected, "ctp run --engine stap\n{}", said());
        assert_eq!(counted(&read("engine.err")), counted(&read("bpf.err")), "{}", said());
    }
}

impl Machine {
    /// What `ctp run --engine stap` printed of what the program of the case `arguments` shows, what it must be (that of these
    /// processes, in this order), and what the engine said; fails where something went wrong, or `twin` was not called.
    fn shown(&self, name: &str, processes: &[&str]) -> (Vec<String>, Vec<String>, String) {
        let read = |file: &str| fs::read_to_string(self.share.join("out").join(name).join(file)).unwrap_or_default();
        let said = read("engine.err");
        assert_eq!(read("failed"), "", "{said}");
        assert!(read("twin").contains("\ndone\n"), "twin was not called");
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let of = |process: &str| if processes.contains(&process) { lines(read(process)) } else { Vec::new() };
        (lines(read("engine")), case::expected("arguments", of), said)
    }

    /// Fails unless a container that was stopped and started again was traced before and after.
    pub(crate) fn check_restart(&self) {
        let (printed, expected, said) = self.shown("restarted", &["early", "late"]);
        assert_eq!(printed, expected, "{said}");
        assert!(said.contains("4444 ended; waiting") && said.contains("4444 restarted, let in "), "{said}");
    }

    /// Fails unless a container that started later, and is meant, was let in under its own id, and one of another build was
    /// not.
    pub(crate) fn check_came(&self) {
        let (printed, expected, said) = self.shown("came", &["early", "late"]);
        let (ids, others): (Vec<String>, Vec<String>) = printed.into_iter().partition(|line| line.starts_with("in "));
        assert_eq!(others, expected, "{said}");
        let id = |digits: &str| format!("in {}", digits.repeat(16));
        assert_eq!(ids, [vec![id("6666"); 3], vec![id("6777"); 2]].concat(), "{said}");
        assert!(said.contains("started, let in ") && said.contains("calls before that were not seen"), "{said}");
        assert!(said.contains("started with another build of /app/traced") && said.contains("not traced"), "{said}");
    }

    /// Fails unless of a process that was told by its number, and its descendants, both engines showed every call, the same
    /// whole values, and nothing of others.
    pub(crate) fn check_chosen(&self) {
        let (printed, expected, said) = self.shown("chosen", &["early"]);
        let read = |file: &str| fs::read_to_string(self.share.join("out/chosen").join(file)).unwrap_or_default();
        assert_eq!(printed, read("bpf").lines().collect::<Vec<_>>(), "{said}{}", read("bpf.err"));
        let (wholes, others): (Vec<String>, Vec<String>) = printed.into_iter().partition(|line| line.starts_with('{'));
        assert_eq!(others, expected, "{said}");
        assert!(wholes.len() == 3 && wholes.iter().all(|whole| whole.contains(".number=")), "{wholes:?}");
        assert!(read("other").contains("\ndone\n"), "the other process was not called");
        assert_eq!(counted(&said), counted(&read("bpf.err")));
    }
}

/// What a run says of its hits when it ends, without how long it took.
fn counted(said: &str) -> Vec<&str> {
    let lines: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.contains("hits, "))
        .map(|line| line.split(" in ").next().unwrap_or(line))
        .collect();
    assert!(!lines.is_empty(), "no summary in\n{said}");
    lines
}

/// A script of this folder.
fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name))
}

/// Boots the machine; what it said on its console where it did not come to its end in peace.
fn boot(machine: &str, share: &Path, cgroups: &str) -> Result<(), String> {
    let output = script("boot")
        .arg(machine)
        .arg(share)
        .arg(format!("ctp.cgroups={cgroups}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let console = [output.stdout, output.stderr].concat();
    let mut said = String::from_utf8_lossy(&console).into_owned();
    said += &fs::read_to_string(share.join("dmesg")).unwrap_or_default();
    let broke = ["BUG:", "Oops", "WARNING: CPU", "rcu_sched self-detected"].iter().any(|sign| said.contains(sign));
    if output.status.success() && !broke { Ok(()) } else { Err(said) }
}

/// What the machine finds in its shared folder.
fn fill(share: &Path, cases: &[impl AsRef<str>]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm");
    // What an earlier run left in a folder that is kept.
    drop(fs::remove_dir_all(share.join("out")));
    for (folder, level) in [("first", "-O2"), ("second", "-O1")] {
        let folder = share.join(folder);
        fs::create_dir_all(&folder).unwrap();
        let compiler = |name: &str| {
            let mut gcc = Command::new(name);
            gcc.args(["-g", level, "-I"]).arg(source.join("../fixtures/programs"));
            gcc
        };
        let library = folder.join("libshop.so");
        run(compiler("gcc")
            .args(["-shared", "-fPIC", "-Wl,-soname,libshop.so", "-o"])
            .arg(&library)
            .arg(source.join("programs/shop.c")));
        // The machine has no library of C++.
        let mut throwing = compiler("g++");
        throwing.args(["-static-libstdc++", "-static-libgcc", "-o"]).arg(folder.join("unwinding"));
        run(throwing.arg(source.join("programs/unwinding.cc")));
        let mut program = compiler("gcc");
        program.arg("-o").arg(folder.join("traced")).arg(source.join("programs/traced.c")).arg(library);
        run(program.arg("-Wl,-rpath,$ORIGIN"));
    }
    run(Command::new("strip").arg("--strip-debug").arg("-o").arg(share.join("ctp")).arg(ctp::binary()));
    for file in ["main", "lane", "containers"] {
        fs::copy(source.join("guest").join(file), share.join(file)).unwrap();
    }
    fs::create_dir_all(share.join("cases")).unwrap();
    for name in cases {
        let name = name.as_ref();
        fs::write(share.join("cases").join(format!("{name}.ctp")), case::text(name)).unwrap();
    }
}
