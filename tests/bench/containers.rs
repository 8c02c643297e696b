//! Owns measuring what many containers cost: listing them, matching a selector against them, attaching to all of one
//! program. 200 containers of one root, made by runc with namespaces and cgroups of their own.

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::cell::Cell;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{self, Running};
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::{Scratch, name};

const MANY: usize = 200;
/// What was promised, for 200 containers.
const LISTED: Duration = Duration::from_millis(100);
const ATTACHED: Duration = Duration::from_secs(1);

/// The containers, removed when dropped.
struct Many {
    base: String,
    _folder: Scratch,
}

impl Many {
    fn start() -> Many {
        let many = Many { base: name(), _folder: Scratch::new() };
        let folder = many._folder.path();
        let root = folder.join("root");
        for inside in ["app", "proc"] {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        let binary = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
        fs::copy(binary.path(), root.join("app/test_app")).unwrap();
        for number in 0..MANY {
            let bundle = folder.join(number.to_string());
            fs::create_dir(&bundle).unwrap();
            let container = many.container(number);
            // The scheme of LXC's cgroups: no daemon is needed for ctp to know the name.
            let config = serde_json::json!({
                "ociVersion": "1.0.2",
                "process": {"user": {"uid": 0, "gid": 0}, "args": ["/app/test_app"], "cwd": "/"},
                "root": {"path": root, "readonly": true},
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
                "linux": {
                    "cgroupsPath": format!("/lxc.payload.{container}"),
                    "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
                },
            });
            fs::write(bundle.join("config.json"), config.to_string()).unwrap();
            let mut runc = Command::new("runc");
            runc.args(["run", "--detach", "--bundle"]).arg(&bundle).arg(&container);
            assert!(runc.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success(), "{container}");
        }
        many
    }

    fn container(&self, number: usize) -> String {
        format!("{}-{number}", self.base)
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        for number in 0..MANY {
            attempt(Command::new("runc").args(["delete", "--force"]).arg(self.container(number)));
        }
    }
}

/// From a command's start to its end.
fn to_end(args: &[&str]) -> Duration {
    let begun = Instant::now();
    let output = ctp::ctp(args);
    let elapsed = begun.elapsed();
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    elapsed
}

/// From the start until all are attached to, and the most memory held by then, in kilobytes.
fn to_attached(script: &str) -> (Duration, u64) {
    let begun = Instant::now();
    let mut running = Running::start(&["run", "-e", script]);
    running.wait_for_stderr(&format!("ctp: attached {MANY} points in {MANY} containers"));
    let elapsed = begun.elapsed();
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes = peak.trim().trim_end_matches(" kB").parse().unwrap();
    running.interrupt();
    (elapsed, kilobytes)
}

fn main() -> ExitCode {
    let rounds: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(7);
    let many = Many::start();
    let script = format!(r#"probe container("{}-*"):exe.fn("my_function") {{ println("called") }}"#, many.base);
    let kernel = run(Command::new("uname").arg("-r")).stdout;
    // The first of each finds ctp itself not in memory yet.
    let best = |measure: &dyn Fn() -> Duration| (0..=rounds).map(|_| measure()).skip(1).min().unwrap();
    let listed = best(&|| to_end(&["ps"]));
    let checked = best(&|| to_end(&["check", "-e", &script]));
    let memory = Cell::new(0);
    let attached = best(&|| {
        let (time, kilobytes) = to_attached(&script);
        memory.set(memory.get().max(kilobytes));
        time
    });
    println!("Kernel {}, {MANY} containers of one program, best of {rounds}:\n", kernel.trim());
    println!("| what | ms |\n| --- | ---: |");
    for (what, time) in [
        ("`ctp ps`", listed),
        ("`ctp check`, all matched by a pattern", checked),
        ("`ctp run`, until all are attached to", attached),
    ] {
        println!("| {what} | {:.0} |", time.as_secs_f64() * 1e3);
    }
    println!("\nMost memory of `ctp run`: {:.0} MB.", memory.get() as f64 / 1024.0);
    if listed < LISTED && attached < ATTACHED {
        return ExitCode::SUCCESS;
    }
    eprintln!("more than promised: {LISTED:?} to list, {ATTACHED:?} to attach");
    ExitCode::FAILURE
}
