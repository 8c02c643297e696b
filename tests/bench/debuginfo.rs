//! Owns the comparison of ctp with stap, gdb and drgn in finding one function with its parameters in a file: time and
//! peak memory, in turns. Each reading is a process of its own, so that none finds what another left in memory.
//!
//! `cargo bench --package ctp-tests --bench find-function [ROUNDS] [FILE FUNCTION]...`; without files, those of the
//! packages of the set `bench`, with what is promised of each (`tests/bench/find-function` installs them).

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp::symbols::{Places, keep_of};
use ctp_lang::debuginfo::Module;
use ctp_lang::world::{Companion, Companions, Keep, Looked, ReadAt, ReadError, Wanted};

struct OnDisk(std::fs::File, u64);

impl ReadAt for OnDisk {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buf, offset)
            .map_err(|error| ReadError { offset, reason: error.to_string() })
    }
}

/// No further files, but a place to keep what is unpacked.
struct Alone(Option<Arc<dyn Keep>>);

impl Companions for Alone {
    fn look(&self, _: &Wanted<'_>, _: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        Vec::new()
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        self.0.clone()
    }
}

/// What one process does: finds a function, says how long that took, how many sites and parameters it has, and the
/// most memory that was held.
fn resolve(path: &Path, name: &str, cache: &Path) {
    let began = Instant::now();
    let file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let places = Places { cache: Some(cache.to_owned()), ..Places::default() };
    let alone = Alone(keep_of(path, &places));
    let module = Module::with_companions(Arc::new(OnDisk(file, size)), "", Some(Arc::new(alone))).unwrap();
    let found = module.functions(name).unwrap();
    let sites: usize = found.iter().map(|function| function.sites.len()).sum();
    let variables: usize = found.iter().flat_map(|function| &function.sites).map(|site| site.variables.len()).sum();
    let time = began.elapsed();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    println!("{} us, {peak}, {} functions, {sites} sites, {variables} variables", time.as_micros(), found.len());
}

/// Time of a command from start to end; `None` where the tool is not there or fails.
fn time_of(command: &mut Command) -> Option<Duration> {
    let began = Instant::now();
    let output = command.output().ok()?;
    output.status.success().then(|| began.elapsed())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A file, a function in it, and what is promised of that.
struct Input {
    path: PathBuf,
    function: String,
    /// The program whose debug info the file is: other tools are told that one.
    program: PathBuf,
    /// How many times as long another tool takes at least: which, and how many.
    ratio: Option<(&'static str, f64)>,
    /// Most milliseconds where what was unpacked is kept.
    warm: Option<f64>,
    /// Whether other tools are left out.
    alone: bool,
}

/// Most memory that ctp may come to hold.
const MOST_KB: f64 = 25_000.0;

fn first_in(folder: &str, beginning: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| path.file_name().unwrap().to_string_lossy().starts_with(beginning))
}

/// The debug info of a program in `/usr/lib/debug`, by its build id.
fn debug_file(program: &Path) -> Option<PathBuf> {
    let notes = Command::new("readelf").arg("-n").arg(program).output().ok()?.stdout;
    let notes = String::from_utf8_lossy(&notes).into_owned();
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "))?.to_owned();
    let path = PathBuf::from(format!("/usr/lib/debug/.build-id/{}/{}.debug", &id[..2], &id[2..]));
    path.exists().then_some(path)
}

/// What Debian's packages of the set `bench` bring, and what is made of it in a folder.
fn inputs(folder: &Path) -> Vec<Input> {
    let python = PathBuf::from("/usr/bin/python3.11d");
    let ten = Some(("stap -L", 10.0));
    let function = |name: &str| name.to_owned();
    let mut inputs = vec![Input {
        path: python.clone(),
        function: function("PyObject_GetAttr"),
        program: python,
        ratio: ten,

        warm: None,
        alone: false,
    }];
    if let Some(vmlinux) = first_in("/usr/lib/debug/boot", "vmlinux-") {
        let five = Some(("drgn", 5.0));
        let (path, program) = (vmlinux.clone(), vmlinux.clone());
        inputs.push(Input { path, function: function("vfs_read"), program, ratio: five, warm: None, alone: false });
        // Its units refer to nothing outside of them, so they may stand there several times.
        let (info, big) = (folder.join("info"), folder.join("big"));
        let section = format!(".debug_info={}", info.display());
        let taken = Command::new("objcopy").arg("--dump-section").arg(&section).arg(&vmlinux).arg("/dev/null").status();
        if taken.is_ok_and(|status| status.success()) {
            let once = std::fs::read(&info).unwrap();
            let mut all = std::fs::File::create(&info).unwrap();
            for _ in 0..(1u64 << 30).div_ceil(once.len() as u64) {
                std::io::Write::write_all(&mut all, &once).unwrap();
            }
            let made = Command::new("objcopy").arg("--update-section").arg(&section).arg(&vmlinux).arg(&big).status();
            if made.is_ok_and(|status| status.success()) {
                let (path, function) = (big.clone(), function("vfs_read"));
                inputs.push(Input { path, function, program: big, ratio: None, warm: Some(500.0), alone: true });
            }
            let _ = std::fs::remove_file(&info);
        }
    }
    let libjvm = PathBuf::from("/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so");
    if let Some(path) = debug_file(&libjvm) {
        let plain = folder.join("libjvm");
        let made = Command::new("objcopy").arg("--decompress-debug-sections").arg(&path).arg(&plain).status();
        let name = "JVM_MonitorNotify";
        if made.is_ok_and(|status| status.success()) {
            let (program, ratio) = (plain.clone(), Some(("drgn", 5.0)));
            inputs.push(Input { path: plain, function: function(name), program, ratio, warm: None, alone: false });
        }
        let ratio = Some(("stap -L", 3.0));
        inputs.push(Input { path, function: function(name), program: libjvm, ratio, warm: Some(50.0), alone: false });
    }
    inputs
}

/// A kernel whose headers are there: stap asks for one, whatever it is told to look at.
fn release() -> String {
    let listed = std::fs::read_dir("/lib/modules").into_iter().flatten().flatten();
    let built = listed.filter(|entry| entry.path().join("build").exists());
    built.map(|entry| entry.file_name().to_string_lossy().into_owned()).max().unwrap_or_default()
}

/// The tools that ctp is compared with, as commands that find the function.
fn others(input: &Input) -> Vec<(&'static str, Command)> {
    let (path, name) = (&input.path, &input.function);
    let mut stap = Command::new("stap");
    stap.args(["-r", &release(), "-L", &format!("process(\"{}\").function(\"{name}\")", input.program.display())]);
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", &format!("info scope {name}")]).arg(path);
    // Debian's python3 has drgn; another one may be first in PATH.
    let mut drgn = Command::new("/usr/bin/python3");
    drgn.args([
        "-c",
        &format!(
            "import drgn; p=drgn.Program(); p.load_debug_info(['{}']); print([q.name for q in p.function('{name}').type_.parameters])",
            path.display()
        ),
    ]);
    vec![("stap -L", stap), ("gdb", gdb), ("drgn", drgn)]
}

/// Finds the function with each tool, in turns; what was promised and missed.
fn compare(input: &Input, rounds: usize, cache: &Path) -> Vec<String> {
    let (path, name) = (&input.path, &input.function);
    println!("{} {name}", path.display());
    let own = std::env::current_exe().unwrap();
    let mut peak: f64 = 0.0;
    let mut ctp = || {
        let output = Command::new(&own).arg("resolve").args([path.as_os_str(), name.as_ref()]).arg(cache).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<f64>().ok());
        let time = numbers.next().unwrap() / 1e6;
        peak = peak.max(numbers.next().unwrap());
        (time, text)
    };
    let packed = input.warm.is_some() && input.ratio.is_some();
    let (mut first, mut warm) = (Vec::new(), Vec::new());
    let mut ratios: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..rounds {
        let _ = std::fs::remove_dir_all(cache);
        first.push(ctp().0);
        warm.push(ctp().0);
        let ours = if packed { first[first.len() - 1] } else { warm[warm.len() - 1] };
        // What nothing is promised against is not given to tools that take minutes for it.
        let others = if input.alone { Vec::new() } else { others(input) };
        for (tool, mut command) in others {
            let ratio = time_of(&mut command).map(|other| other.as_secs_f64() / ours);
            match ratios.iter_mut().find(|(known, _)| *known == tool) {
                Some((_, known)) => known.extend(ratio),
                None => ratios.push((tool, ratio.into_iter().collect())),
            }
        }
    }
    let text = ctp().1;
    let (first, warm) = (median(first).unwrap() * 1e3, median(warm).unwrap() * 1e3);
    println!("  ctp: {first:.1} ms with nothing kept, {warm:.1} ms then, at most {peak:.0} kB ({})", text.trim());
    let mut missed = Vec::new();
    for (tool, ratios) in ratios {
        let ratio = median(ratios);
        match ratio {
            Some(ratio) => println!("  {tool}: {ratio:.1} times as long"),
            None => println!("  {tool}: not there, or it fails on this file"),
        }
        if let Some((promised, least)) = input.ratio
            && promised == tool
            && ratio.is_none_or(|ratio| ratio < least)
        {
            missed.push(format!("{}: {tool} takes {ratio:?} times as long, promised are {least}", path.display()));
        }
    }
    if input.warm.is_some_and(|most| warm > most) {
        missed.push(format!("{}: {first:.1} and {warm:.1} ms", path.display()));
    }
    if peak > MOST_KB {
        missed.push(format!("{}: {peak} kB of memory", path.display()));
    }
    missed
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, path, name, cache] = arguments.as_slice()
        && word == "resolve"
    {
        resolve(Path::new(path), name, Path::new(cache));
        return std::process::ExitCode::SUCCESS;
    }
    let rounds = arguments.first().and_then(|count| count.parse().ok());
    let given = arguments.get(usize::from(rounds.is_some())..).unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("ctp-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let inputs = if given.is_empty() {
        inputs(&folder)
    } else {
        let pairs = given.chunks_exact(2).map(|pair| (PathBuf::from(&pair[0]), pair[1].clone()));
        pairs
            .map(|(path, function)| {
                let program = path.clone();
                Input { path, function, program, ratio: None, warm: None, alone: false }
            })
            .collect()
    };
    let cache = folder.join("cache");
    let missed: Vec<String> = inputs.iter().flat_map(|input| compare(input, rounds.unwrap_or(5), &cache)).collect();
    let _ = std::fs::remove_dir_all(&folder);
    for missed in &missed {
        println!("MISSED {missed}");
    }
    if missed.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
