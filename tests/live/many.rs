//! Containers that come and go by the thousand while ctp follows a pattern: whatever they call is reported or said to be
//! missed, under their own name, nothing of those that the pattern does not mean, and ctp does not grow.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::process::run;
use ctp_tests::unique;

use crate::jsonl::{against_schema, of_type, parsed};

/// A container as LXC makes them, as far as ctp sees it: its cgroup, and what runs in it. Both go when dropped.
struct Short {
    folder: PathBuf,
    process: Child,
}

impl Short {
    /// Starts one whose program calls as often, and waits until it has.
    fn start(mount: &str, name: &str, program: &Path, calls: u64) -> Short {
        let folder = PathBuf::from(format!("{mount}/lxc.payload.{name}"));
        fs::create_dir(&folder).unwrap();
        let procs = folder.join("cgroup.procs");
        let mut command = Command::new(program);
        command.arg(calls.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: between fork and exec only open, write and close are called.
        let process = unsafe { command.pre_exec(move || fs::write(&procs, "0")) }.spawn().unwrap();
        let mut short = Short { folder, process };
        let mut said = String::new();
        BufReader::new(short.process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, format!("called {calls}\n"));
        short
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for _ in 0..1000 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_short_lived_containers() {
    let binary = Binary::compile("burst.c", Compiler::Gcc, &["-g", "-O2"]);
    let program = binary.path();
    let mount = run(Command::new("findmnt").args(["-n", "-t", "cgroup2", "-o", "TARGET"])).stdout;
    let mount = mount.lines().next().unwrap();
    let base = unique::name();
    let first = Short::start(mount, &format!("{base}-web-0"), &program, 1);
    let mut ctp = Running::attached_with(&[
        "run",
        "--output",
        "jsonl",
        "-e",
        &format!(
            "probe container(\"{base}-web-*\"):{}.fn(\"f\") {{ emit {{ who: container(), number: $number }} }}",
            program.display()
        ),
    ]);
    let mut called: BTreeMap<String, u64> = BTreeMap::new();
    let mut sizes = Vec::new();
    for number in 1..=1000u64 {
        // Between two that are meant one that is not.
        let (kind, calls) = if number % 2 == 0 { ("web", number % 7) } else { ("db", 5) };
        let name = format!("{base}-{kind}-{number}");
        drop(Short::start(mount, &name, &program, calls));
        if kind == "web" {
            called.insert(name, calls);
        }
        if number % 250 == 0 {
            sizes.push(resident(ctp.pid()));
        }
    }
    // The last is seen after all others.
    let last = Short::start(mount, &format!("{base}-web-last"), &program, 3);
    ctp.wait_for_stderr(&format!("ctp: {base}-web-last started"));
    called.insert(format!("{base}-web-last"), 3);
    let output = ctp.interrupt();
    drop((first, last));

    assert_eq!(against_schema(&output.stdout), "");
    let lines = parsed(&output.stdout);
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in of_type(&lines, "event") {
        let who = event["fields"]["who"].as_str().unwrap();
        assert_eq!(event["container"], who);
        seen.entry(who.to_owned()).or_default().push(event["fields"]["number"].as_u64().unwrap());
    }
    let mut missed: BTreeMap<String, u64> = BTreeMap::new();
    for line in of_type(&lines, "attached").into_iter().skip(1) {
        *missed.entry(line["containers"][0]["name"].as_str().unwrap().to_owned()).or_default() +=
            line["missed"].as_u64().unwrap_or_else(|| panic!("{line}"));
    }
    let mut wrong = Vec::new();
    for (name, calls) in &called {
        let mine = seen.remove(name).unwrap_or_default();
        let gone = missed.remove(name).unwrap_or_default();
        // What was missed came first.
        if mine != (gone..*calls).collect::<Vec<_>>() {
            wrong.push(format!("{name} called {calls} times: {gone} missed, reported {mine:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), called.len(), wrong.join("\n"));
    assert!(seen.is_empty() && missed.is_empty(), "{seen:?} {missed:?}");
    let (before, after) = (sizes[1], sizes[3]);
    assert!(after < before + 1024, "{sizes:?} kB");
}
