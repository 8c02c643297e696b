//! Owns the comparison of ctp's engine with bpftrace, of Debian 12 and of Debian's unstable: what a start, a hit and a
//! thousand probes cost. All trace the same processes in turns, so that what else the machine does hits all alike; what
//! is compared is time of the processor, the target's and the tracer's together, and medians of ratios.

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp;
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::run;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

#[derive(Clone, Copy, PartialEq)]
enum Tracer {
    Ctp,
    Stable,
    Unstable,
}

impl Tracer {
    fn command(self, script: &str) -> Command {
        match self {
            Tracer::Ctp => ctp::command(&["run", "-e", script]),
            Tracer::Stable => {
                let mut command = Command::new("bpftrace");
                // Its limit is 512.
                command.args(["-e", script]).env("BPFTRACE_MAX_PROBES", "2000");
                command
            }
            Tracer::Unstable => {
                let sid = PathBuf::from(std::env::var_os("CTP_BENCH_SID").unwrap());
                let libraries = sid.join("usr/lib/x86_64-linux-gnu");
                let llvm = fs::read_dir(sid.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
                let llvm = llvm.filter(|path| path.to_string_lossy().contains("/llvm-")).map(|path| path.join("lib"));
                let search: Vec<String> =
                    std::iter::once(libraries.clone()).chain(llvm).map(|path| path.display().to_string()).collect();
                let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
                command.arg("--library-path").arg(search.join(":")).arg(sid.join("usr/bin/bpftrace"));
                command.args(["-e", script]);
                command
            }
        }
    }
}

/// What the tracers are asked: `{who}` and `{file}` stand for the container, as each names it.
struct Question {
    name: &'static str,
    ctp: &'static str,
    bpftrace: &'static str,
    /// The most that ctp may take of the newer bpftrace's time, where functions begin with `push` and with `endbr64`.
    promised: (f64, f64),
}

const QUESTIONS: [Question; 6] = [
    Question {
        name: "count",
        ctp: "global c\nprobe {who}.fn(\"hot\") { c++ }",
        bpftrace: "uprobe:{file}:hot { @ = count(); }",
        promised: (1.0, 0.1),
    },
    Question {
        name: "count by key",
        ctp: "global c\nprobe {who}.fn(\"hot\") { c[tid(), $n & 7]++ }",
        bpftrace: "uprobe:{file}:hot { @[tid, arg0 & 7] = count(); }",
        promised: (1.0, 0.1),
    },
    Question {
        name: "histogram",
        ctp: "global c\nprobe {who}.fn(\"hot\") { c <<< $n }\nprobe end { print(@hist_log(c)) }",
        bpftrace: "uprobe:{file}:hot { @ = hist(arg0); }",
        promised: (1.0, 0.1),
    },
    Question {
        name: "filter that never passes",
        ctp: "global c\nprobe {who}.fn(\"hot\") if ($n < 0) { c++ }",
        bpftrace: "uprobe:{file}:hot /(int64)arg0 < 0/ { @ = count(); }",
        promised: (1.0, 0.1),
    },
    Question {
        name: "printed line",
        ctp: "probe {who}.fn(\"hot\") { printf(\"%d\\n\", $n) }",
        bpftrace: "uprobe:{file}:hot { printf(\"%d\\n\", arg0); }",
        promised: (0.9, 0.1),
    },
    Question {
        name: "entry to return",
        ctp: "global c\nprobe {who}.fn(\"hot\").return { c <<< elapsed() }\nprobe end { print(@hist_log(c)) }",
        bpftrace: "uprobe:{file}:hot { @s[tid] = nsecs; } uretprobe:{file}:hot { @ = hist(nsecs - @s[tid]); delete(@s[tid]); }",
        promised: (0.8, f64::INFINITY),
    },
];

struct Target {
    container: Container,
    file: String,
    /// Its containers go with it.
    _image: Image,
}

impl Target {
    fn new(flags: &[&str]) -> Target {
        let image = Image::new(&Binary::compile("hot.c", Compiler::Gcc, flags), "/app/hot");
        let container = Container::driven(&image);
        let file = format!("/proc/{}/root/app/hot", container.pid());
        Target { container, file, _image: image }
    }

    fn script(&self, tracer: Tracer, ctp: &str, bpftrace: &str) -> String {
        match tracer {
            Tracer::Ctp => ctp.replace("{who}", &format!("container(\"{}\"):/app/hot", self.container.name())),
            Tracer::Stable | Tracer::Unstable => bpftrace.replace("{file}", &self.file),
        }
    }

    /// The target's time of the processor a call, in ns: that of the turn in which the machine did least besides.
    fn call(&mut self, times: u32) -> f64 {
        self.container.ask(&times.to_string()).parse::<f64>().unwrap() / f64::from(times)
    }

    /// Waits until its calls are hit, or are not; when it saw that itself, every 100 µs.
    fn wait(&mut self, hit: bool) -> Moment {
        Moment(self.container.ask(if hit { "hit" } else { "rest" }).parse().unwrap())
    }
}

/// A moment of the monotonic clock, in ns.
#[derive(Clone, Copy)]
struct Moment(i64);

impl Moment {
    fn now() -> Moment {
        Moment(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().num_nanoseconds())
    }

    /// Seconds since another.
    fn since(self, other: Moment) -> f64 {
        (self.0 - other.0) as f64 / 1e9
    }
}

/// A tracer at work.
struct Started {
    child: Child,
}

impl Started {
    fn new(mut command: Command) -> Started {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Started { child: command.spawn().unwrap() }
    }

    /// Time of the processor that its threads took, in ns.
    fn time(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |path: PathBuf| -> f64 {
            let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0)
        };
        threads.map(|entry| of(entry.unwrap().path())).sum()
    }

    fn kilobytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends it as Ctrl-C does, and once more after a while: the older bpftrace misses some.
    fn stop(mut self, a_while: Duration) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let mut asked = Instant::now();
        kill(pid, Signal::SIGINT).unwrap();
        while self.child.try_wait().unwrap().is_none() {
            if asked.elapsed() > a_while {
                asked = Instant::now();
                kill(pid, Signal::SIGINT).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What one hit costs, in ns: the target's time and the tracer's.
fn hit(target: &mut Target, tracer: Tracer, question: &Question, times: u32) -> (f64, f64) {
    let script = target.script(tracer, question.ctp, question.bpftrace);
    let started = Started::new(tracer.command(&script));
    target.wait(true);
    std::thread::sleep(Duration::from_millis(20));
    let before = started.time();
    let own = target.call(times);
    std::thread::sleep(Duration::from_millis(50));
    let tracers = (started.time() - before) / f64::from(times);
    started.stop(Duration::from_secs(3));
    target.wait(false);
    (own, tracers)
}

/// Time to the first line, time of the processor of the whole run, and the most memory.
fn start(tracer: Tracer, script: &str) -> [f64; 3] {
    let children = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        (usage.user_time() + usage.system_time()).num_microseconds() as f64
    };
    let before = children();
    let began = Instant::now();
    let mut command = tracer.command(script);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim().parse::<i64>().is_err() {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "{command:?} ended before it reported a call");
    }
    let time = began.elapsed().as_secs_f64() * 1e3;
    let started = Started { child };
    let memory = started.kilobytes() as f64 / 1024.0;
    let drain = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    started.stop(Duration::from_secs(3));
    let _ = drain.join();
    [time, (children() - before) / 1e3, memory]
}

/// Seconds until a thousand functions are attached, until they are not any more after SIGINT, and the most memory.
fn thousand(target: &mut Target, tracer: Tracer) -> [f64; 3] {
    let script =
        target.script(tracer, "global c\nprobe {who}.fn(\"f_*\") { c++ }", "uprobe:{file}:f_* { @ = count(); }");
    let began = Moment::now();
    let started = Started::new(tracer.command(&script));
    let attached = target.wait(true).since(began);
    let memory = started.kilobytes() as f64 / 1024.0;
    let began = Instant::now();
    started.stop(Duration::from_secs(600));
    [attached, began.elapsed().as_secs_f64(), memory]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A line of the table: medians, and medians of the ratios of each round.
#[derive(Default)]
struct Table {
    missed: Vec<String>,
}

impl Table {
    fn row(&mut self, name: &str, rounds: &[[f64; 3]], digits: usize, promised: f64) {
        let of = |index: usize| median(rounds.iter().map(|round| round[index]));
        let ratio = |index: usize| median(rounds.iter().map(|round| round[0] / round[index]));
        println!(
            "| {name} | {:.digits$} | {:.digits$} | {:.digits$} | {:.2} | {:.2} |",
            of(0),
            of(1),
            of(2),
            ratio(1),
            ratio(2)
        );
        if ratio(2) > promised {
            self.missed
                .push(format!("{name}: {:.2} of the newer bpftrace's, at most {promised} was promised", ratio(2)));
        }
    }

    fn most(&mut self, name: &str, value: f64, promised: f64) {
        if value > promised {
            self.missed.push(format!("{name}: {value:.1}, at most {promised} was promised"));
        }
    }
}

const ALL: [Tracer; 3] = [Tracer::Ctp, Tracer::Stable, Tracer::Unstable];

fn main() -> ExitCode {
    let rounds: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(5);
    let parts: Vec<String> =
        std::env::args().filter(|arg| ["start", "hits", "thousand"].contains(&arg.as_str())).collect();
    let is_wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut table = Table::default();
    let version = |tracer: Tracer| {
        let mut command = tracer.command("");
        let output = run(command.arg("--version")).stdout;
        output.trim().trim_start_matches("bpftrace v").to_owned()
    };
    let kernel = run(Command::new("uname").arg("-r")).stdout;
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    println!("Kernel {}, {rounds} rounds in turns, load {}.\n", kernel.trim(), load.split(' ').next().unwrap());
    let (stable, unstable) = (version(Tracer::Stable), version(Tracer::Unstable));
    println!("| | ctp | bpftrace {stable} | bpftrace {unstable} | ctp / {stable} | ctp / {unstable} |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");

    let plain = ["-g", "-O2", "-fcf-protection=none"];
    let marked = ["-g", "-O2", "-fcf-protection=full"];
    if is_wanted("start") {
        let image = Image::new(&Binary::compile("hot.c", Compiler::Gcc, &plain), "/app/hot");
        let container = Container::detached(&image, &["1000"]);
        let file = format!("/proc/{}/root/app/hot", container.pid());
        let question = &QUESTIONS[4];
        let who = format!("container(\"{}\"):/app/hot", container.name());
        let script = |tracer| match tracer {
            Tracer::Ctp => question.ctp.replace("{who}", &who),
            Tracer::Stable | Tracer::Unstable => question.bpftrace.replace("{file}", &file),
        };
        // The first start of each reads its files from disk: it does not count.
        let done: Vec<_> = (0..=rounds).map(|_| ALL.map(|tracer| start(tracer, &script(tracer)))).skip(1).collect();
        let part = |index: usize| -> Vec<[f64; 3]> { done.iter().map(|round| round.map(|of| of[index])).collect() };
        table.row("start to first line, ms", &part(0), 1, 0.125);
        table.row("processor's time of start and stop, ms", &part(1), 1, 0.1);
        table.row("peak memory, MB", &part(2), 1, 0.1);
        table.most("peak memory, MB", median(part(2).iter().map(|round| round[0])), 15.0);
    }
    let mut filter = (f64::NAN, f64::NAN);
    let entries = [("push", plain, 100_000), ("endbr64", marked, 30_000)];
    for (entry, flags, times) in entries.into_iter().filter(|_| is_wanted("hits")) {
        let mut target = Target::new(&flags);
        target.call(1_000_000);
        for question in &QUESTIONS {
            let promised = if entry == "push" { question.promised.0 } else { question.promised.1 };
            let done: Vec<_> =
                (0..rounds).map(|_| ALL.map(|tracer| hit(&mut target, tracer, question, times))).collect();
            let all: Vec<_> = done.iter().map(|round| round.map(|(own, tracers)| own + tracers)).collect();
            table.row(&format!("{}, {entry}, ns", question.name), &all, 0, promised);
            let own = median(done.iter().map(|round| round[0].0));
            match (entry, question.name) {
                ("push", "count") => filter.0 = own,
                ("push", "filter that never passes") => filter.1 = own,
                ("push", "printed line") => {
                    let own: Vec<_> = done.iter().map(|round| round.map(|(own, _)| own)).collect();
                    table.row("of which the target's, ns", &own, 0, f64::INFINITY);
                }
                (_, _) => {}
            }
        }
    }
    // Within the noise of the measurement.
    if is_wanted("hits") {
        table.most("a filter that never passes, against a count", filter.1 / filter.0, 1.05);
    }
    if is_wanted("thousand") {
        let mut target = Target::new(&["-g", "-O2", "-fcf-protection=none", "-DMANY"]);
        // The older bpftrace takes minutes to detach: once.
        let slow = thousand(&mut target, Tracer::Stable);
        let done: Vec<_> = (0..rounds)
            .map(|_| [thousand(&mut target, Tracer::Ctp), slow, thousand(&mut target, Tracer::Unstable)])
            .collect();
        let part = |index: usize| -> Vec<[f64; 3]> { done.iter().map(|round| round.map(|of| of[index])).collect() };
        table.row("1,000 functions: attached, s", &part(0), 3, 0.125);
        table.row("1,000 functions: detached, s", &part(1), 3, 0.5);
        table.row("1,000 functions: peak memory, MB", &part(2), 1, 0.1);
        table.most("1,000 functions: peak memory, MB", median(part(2).iter().map(|round| round[0])), 20.0);
    }
    if table.missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!();
    table.missed.iter().for_each(|missed| println!("MISSED: {missed}."));
    ExitCode::FAILURE
}
