//! Owns measuring what a hundred containers of one program cost each other: how long attaching to all takes, what a hit
//! costs when one of them or all are traced, and what a neighbour pays that is not traced. The containers are cgroups
//! named as LXC's are, a process in each.

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::driven::Driver;
use ctp_tests::process::run;
use ctp_tests::unique::name;

const MANY: usize = 100;
/// Pairs of a neighbour's loops, with and without a tracer beside it.
const PAIRS: usize = 20;
/// What was promised: seconds to attach to all; a hit's cost among all, of that of one alone; a neighbour's speed, of
/// that without a tracer.
const ATTACHED: f64 = 1.0;
const AMONG_ALL: f64 = 1.1;
const NEIGHBOUR: f64 = 0.95;

/// A process in a cgroup of its own.
struct Member {
    process: Option<Driver>,
    folder: PathBuf,
}

impl Member {
    /// The same of a call that hits, once the first hits are over: those of a process cost more (its page is copied).
    fn hit(&mut self) -> f64 {
        self.call(300);
        self.call(2000)
    }

    /// The time of the processor that a call takes, in ns.
    fn call(&mut self, times: u32) -> f64 {
        let process = self.process.as_mut().unwrap();
        process.call(times);
        process.printed().last().unwrap().parse::<f64>().unwrap() / f64::from(times)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.process = None;
        for _ in 0..200 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The containers of one base name, the only ones with that.
struct Crowd {
    base: String,
    program: PathBuf,
    members: Vec<Member>,
    _binary: Binary,
}

impl Crowd {
    fn start(many: usize) -> Crowd {
        let binary = Binary::compile("hot.c", Compiler::Gcc, &["-g", "-O2", "-fcf-protection=none"]);
        let program = binary.path();
        let (base, mount) = (name(), run(Command::new("findmnt").args(["-n", "-t", "cgroup2", "-o", "TARGET"])).stdout);
        let mount = PathBuf::from(mount.lines().next().unwrap());
        let start = |number: usize| {
            let folder = mount.join(format!("lxc.payload.{base}-{number}"));
            fs::create_dir(&folder).unwrap();
            let procs = folder.join("cgroup.procs");
            let mut command = Command::new(&program);
            // SAFETY: between fork and exec only open, write and close are called.
            unsafe { command.pre_exec(move || fs::write(&procs, "0")) };
            let mut member = Member { process: None, folder };
            member.process = Some(Driver::start(&mut command));
            member
        };
        let members = (0..many).map(start).collect();
        Crowd { base, program, members, _binary: binary }
    }

    fn script(&self, which: &str) -> String {
        let program = self.program.display();
        format!(r#"global c; probe container("{}-{which}"):{program}.fn("hot") {{ c++ }}"#, self.base)
    }
}

/// Starts ctp, and says how long it took until it was attached, in seconds.
fn attached(script: &str, options: &[&str]) -> (Running, f64) {
    let begun = Instant::now();
    let running = Running::attached_with(&[&["run"], options, &["-e", script]].concat());
    (running, begun.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let rounds: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(5);
    let kernel = run(Command::new("uname").arg("-r")).stdout;
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    println!("Kernel {}, load {}.\n", kernel.trim(), load.split(' ').next().unwrap());

    let mut crowd = Crowd::start(MANY);
    let (one, all) = (crowd.script("0"), crowd.script("*"));
    let (mut alone, mut among, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (running, _) = attached(&one, &[]);
        let first = crowd.members.first_mut().unwrap();
        let cost = median((0..MANY).map(|_| first.hit()).collect());
        running.interrupt();
        let (running, time) = attached(&all, &[]);
        let costs = median(crowd.members.iter_mut().map(Member::hit).collect());
        running.interrupt();
        // The first finds ctp itself not in memory yet.
        if round > 0 {
            alone.push(cost);
            among.push(costs);
            times.push(time);
        }
    }
    let ratio = median(among.iter().zip(&alone).map(|(among, alone)| among / alone).collect());
    let (alone, among, time) = (median(alone), median(among), median(times));

    let (mut traced, mut untraced) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let neighbour = |crowd: &mut Crowd| crowd.members.last_mut().unwrap().call(3_000_000);
        untraced.push(neighbour(&mut crowd));
        let (running, _) = attached(&one, &["--attach", "process"]);
        traced.push(neighbour(&mut crowd));
        running.interrupt();
    }
    let speed = median(untraced.iter().zip(&traced).map(|(untraced, traced)| untraced / traced).collect());
    let (running, _) = attached(&one, &[]);
    let paying = crowd.members.last_mut().unwrap().call(100_000);
    running.interrupt();

    println!("| what | |\n| --- | ---: |");
    println!("| {MANY} containers by a pattern: attached, s | {time:.3} |");
    println!("| a hit, one container traced, ns | {alone:.0} |");
    println!("| a hit, all traced, ns | {among:.0} |");
    println!("| the same, median of ratios | {ratio:.2} |");
    println!("| a neighbour's call, nobody traced, ns | {:.2} |", median(untraced));
    println!("| a neighbour's call, `--attach process`, ns | {:.2} |", median(traced));
    println!("| a neighbour's speed, median of {PAIRS} ratios | {speed:.3} |");
    println!("| a neighbour's call, `--attach inode`, ns | {paying:.0} |");
    let missed = [
        (time > ATTACHED, "attaching to all"),
        (ratio > AMONG_ALL, "a hit among all"),
        (speed < NEIGHBOUR, "a neighbour's speed"),
    ];
    let missed: Vec<&str> = missed.iter().filter_map(|(missed, what)| missed.then_some(*what)).collect();
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nMISSED: {}.", missed.join(", "));
    ExitCode::FAILURE
}
