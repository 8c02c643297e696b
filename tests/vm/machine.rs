//! Owns one run of the virtual machine for all tests: makes it, puts ctp, the traced programs and the cases into the
//! folder that it shares, and reads what it left there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use ctp_tests::ctp;
use ctp_tests::process::run;
use ctp_tests::unique::Scratch;

use crate::case;

/// What the machine left.
pub(crate) struct Machine {
    share: PathBuf,
    _scratch: Option<Scratch>,
}

/// The machine, run once.
pub(crate) fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(Machine::run)
}

impl Machine {
    fn run() -> Machine {
        let machine = run(&mut script("machine")).stdout.trim().to_owned();
        let (share, scratch) = match std::env::var_os("CTP_VM_KEEP") {
            Some(folder) => (PathBuf::from(folder), None),
            None => {
                let scratch = Scratch::new();
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        fill(&share);
        // The emulated processor was once seen to fail by itself.
        if let Err(console) = boot(&machine, &share) {
            eprintln!("the machine is started again; it said:\n{console}");
            drop(fs::remove_dir_all(share.join("out")));
            boot(&machine, &share).unwrap_or_else(|console| panic!("the machine failed twice:\n{console}"));
        }
        Machine { share, _scratch: scratch }
    }

    /// Fails unless both engines printed what the container's programs printed.
    pub(crate) fn check(&self, name: &str) {
        let read = |file: &str| fs::read_to_string(self.share.join("out").join(name).join(file)).unwrap_or_default();
        let said = || ["failed", "build.err", "stap.log", "stap.err", "bpf.err"].map(|file| read(file)).join("\n");
        assert_eq!(read("failed"), "", "{}", said());

        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let printed: Vec<String> = ["early", "late"].into_iter().flat_map(|process| lines(read(process))).collect();
        let expected = case::expected(name, &printed);
        // That the neighbours called too.
        for process in ["twin", "other", "host"] {
            assert!(read(process).contains("\ndone\n"), "{process} was not called");
        }
        assert_eq!(lines(read("bpf")), expected, "the embedded engine\n{}", said());
        // The first line of the commands' output is the name of the module that stap has compiled.
        let stap: Vec<String> = lines(read("stap")).into_iter().skip(1).collect();
        assert_eq!(stap, expected, "SystemTap\n{}\n{}", said(), read("script.stp"));
    }
}

/// A script of this folder.
fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name))
}

/// Boots the machine; what it said on its console where it did not come to its end in peace.
fn boot(machine: &str, share: &Path) -> Result<(), String> {
    let output = script("boot").arg(machine).arg(share).stdin(Stdio::null()).output().unwrap();
    let console = [output.stdout, output.stderr].concat();
    let mut said = String::from_utf8_lossy(&console).into_owned();
    said += &fs::read_to_string(share.join("dmesg")).unwrap_or_default();
    let broke = ["BUG:", "Oops", "WARNING: CPU", "rcu_sched self-detected"].iter().any(|sign| said.contains(sign));
    if output.status.success() && !broke { Ok(()) } else { Err(said) }
}

/// What the machine finds in its shared folder.
fn fill(share: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm");
    for (folder, level) in [("first", "-O2"), ("second", "-O1")] {
        let folder = share.join(folder);
        fs::create_dir_all(&folder).unwrap();
        run(Command::new("gcc")
            .args(["-g", level, "-I"])
            .arg(source.join("../fixtures/programs"))
            .arg("-o")
            .arg(folder.join("traced"))
            .arg(source.join("programs/traced.c")));
    }
    run(Command::new("strip").arg("--strip-debug").arg("-o").arg(share.join("ctp")).arg(ctp::binary()));
    for file in ["main", "containers"] {
        fs::copy(source.join("guest").join(file), share.join(file)).unwrap();
    }
    fs::create_dir_all(share.join("cases")).unwrap();
    for name in case::all() {
        fs::write(share.join("cases").join(format!("{name}.ctp")), case::text(&name)).unwrap();
    }
}
