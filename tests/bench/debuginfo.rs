//! Owns the comparison of ctp with stap, gdb and drgn in finding one function with its parameters in a file: time and
//! peak memory, in turns. Each reading is a process of its own, taken from its start to its end like the other tools', so
//! that none finds what another left in memory.
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

    fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        ctp::threads::at_once(parts, part);
    }
}

impl OnDisk {
    fn open(path: &Path) -> OnDisk {
        let file = std::fs::File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        OnDisk(file, size)
    }
}

/// The file with a program's debug info, where that is another one, and the places to keep what is unpacked of either.
struct Given {
    path: PathBuf,
    debug: PathBuf,
    places: Places,
}

impl Companions for Given {
    fn look(&self, wanted: &Wanted<'_>, judge: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        if matches!(wanted, Wanted::DebugFile { .. }) && self.debug != self.path {
            let path = self.debug.display().to_string();
            let keep = keep_of(&self.debug, &self.places);
            judge(Companion { path, bytes: Arc::new(OnDisk::open(&self.debug)), keep }).unwrap();
        }
        Vec::new()
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        keep_of(&self.path, &self.places)
    }
}

/// What one process does: finds a function in a program whose debug info is in a file, says how many sites and
/// parameters it has, and the most memory that was held.
fn resolve(path: PathBuf, debug: PathBuf, name: &str, cache: PathBuf) {
    let places = Places { cache: Some(cache), ..Places::default() };
    let program = Arc::new(OnDisk::open(&path));
    let module = Module::with_companions(program, "", Some(Arc::new(Given { path, debug, places }))).unwrap();
    let found = module.functions(name).unwrap();
    let sites: usize = found.iter().map(|function| function.sites.len()).sum();
    let variables: usize = found.iter().flat_map(|function| &function.sites).map(|site| site.variables.len()).sum();
    assert!(variables > 0, "{name} is not found with its parameters");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    println!("{peak}, {} functions, {sites} sites, {variables} variables", found.len());
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

/// A program, a function in it, and what is promised of that.
struct Input {
    path: PathBuf,
    /// The file with its debug info; the program itself where that has it.
    debug: PathBuf,
    function: String,
    /// How many times as long another tool takes at least: which, and how many.
    ratio: Option<(&'static str, f64)>,
    /// Most milliseconds where what was unpacked is kept.
    warm: Option<f64>,
    /// Whether the debug info is packed: then the time with nothing kept is what is compared.
    packed: bool,
    /// The tools that are compared.
    tools: &'static [&'static str],
}

impl Input {
    /// A file that has its own debug info.
    fn whole(path: PathBuf, function: &str) -> Input {
        let tools = &["stap -L", "gdb", "drgn"];
        let function = function.to_owned();
        Input { debug: path.clone(), path, function, ratio: None, warm: None, packed: false, tools }
    }
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
    let python = Input::whole(PathBuf::from("/usr/bin/python3.11d"), "PyObject_GetAttr");
    let mut inputs = vec![Input { ratio: Some(("stap -L", 10.0)), ..python }];
    if let Some(vmlinux) = first_in("/usr/lib/debug/boot", "vmlinux-") {
        // stap looks for kernels elsewhere.
        let tools = &["gdb", "drgn"];
        inputs.push(Input { ratio: Some(("drgn", 5.0)), tools, ..Input::whole(vmlinux.clone(), "vfs_read") });
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
                inputs.push(Input { warm: Some(500.0), tools: &[], ..Input::whole(big, "vfs_read") });
            }
            let _ = std::fs::remove_file(&info);
        }
    }
    let libjvm = PathBuf::from("/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so");
    if let Some(debug) = debug_file(&libjvm) {
        let plain = folder.join("libjvm");
        let made = Command::new("objcopy").arg("--decompress-debug-sections").arg(&debug).arg(&plain).status();
        let whole = || Input::whole(libjvm.clone(), "JVM_MonitorNotify");
        if made.is_ok_and(|status| status.success()) {
            // stap finds the packed one by itself.
            inputs.push(Input { debug: plain, ratio: Some(("drgn", 5.0)), tools: &["gdb", "drgn"], ..whole() });
        }
        let (ratio, warm) = (Some(("stap -L", 3.0)), Some(50.0));
        inputs.push(Input { debug, ratio, warm, packed: true, ..whole() });
    }
    inputs
}

/// A kernel whose headers are there: stap asks for one, whatever it is told to look at.
fn release() -> String {
    let listed = std::fs::read_dir("/lib/modules").into_iter().flatten().flatten();
    let built = listed.filter(|entry| entry.path().join("build").exists());
    built.map(|entry| entry.file_name().to_string_lossy().into_owned()).max().unwrap_or_default()
}

/// A tool that ctp is compared with, as the command that finds the function.
fn other(tool: &str, input: &Input) -> Command {
    let (debug, name) = (&input.debug, &input.function);
    match tool {
        "stap -L" => {
            let mut stap = Command::new("stap");
            let point = format!("process(\"{}\").function(\"{name}\")", input.path.display());
            stap.args(["-r", &release(), "-L", &point]);
            stap
        }
        "gdb" => {
            let mut gdb = Command::new("gdb");
            let scope = format!("info scope {name}");
            gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", &scope]).arg(debug);
            gdb
        }
        "drgn" => {
            // Debian's python3 has drgn; another one may be first in PATH.
            let mut drgn = Command::new("/usr/bin/python3");
            let load = format!("import drgn; p=drgn.Program(); p.load_debug_info(['{}'])", debug.display());
            drgn.arg("-c").arg(format!("{load}; print([q.name for q in p.function('{name}').type_.parameters])"));
            drgn
        }
        other => panic!("no such tool: {other}"),
    }
}

/// Finds the function with each tool, in turns; what was promised and missed.
fn compare(input: &Input, rounds: usize, cache: &Path) -> Vec<String> {
    let (debug, name) = (&input.debug, &input.function);
    println!("{} {name}", debug.display());
    let own = std::env::current_exe().unwrap();
    let mut peak: f64 = 0.0;
    let mut ctp = || {
        let began = Instant::now();
        let mut command = Command::new(&own);
        command.arg("resolve").args([&input.path, debug]).arg(name).arg(cache);
        let output = command.output().unwrap();
        let time = began.elapsed().as_secs_f64();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let kilobytes = text.split(|c: char| !c.is_ascii_digit()).find_map(|number| number.parse::<f64>().ok());
        peak = peak.max(kilobytes.unwrap());
        (time, text)
    };
    // From the disk into memory, for all of them.
    for file in [&input.path, debug] {
        std::io::copy(&mut std::fs::File::open(file).unwrap(), &mut std::io::sink()).unwrap();
    }
    let (mut first, mut warm) = (Vec::new(), Vec::new());
    let mut ratios: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..rounds {
        let _ = std::fs::remove_dir_all(cache);
        first.push(ctp().0);
        warm.push(ctp().0);
        let ours = if input.packed { first[first.len() - 1] } else { warm[warm.len() - 1] };
        for tool in input.tools {
            let ratio = time_of(&mut other(tool, input)).map(|other| other.as_secs_f64() / ours);
            match ratios.iter_mut().find(|(known, _)| known == tool) {
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
            missed.push(format!("{}: {tool} takes {ratio:?} times as long, promised are {least}", debug.display()));
        }
    }
    if input.warm.is_some_and(|most| warm > most) {
        missed.push(format!("{}: {first:.1} and {warm:.1} ms", debug.display()));
    }
    if peak > MOST_KB {
        missed.push(format!("{}: {peak} kB of memory", debug.display()));
    }
    missed
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, path, debug, name, cache] = arguments.as_slice()
        && word == "resolve"
    {
        resolve(path.into(), debug.into(), name, cache.into());
        return std::process::ExitCode::SUCCESS;
    }
    let rounds = arguments.first().and_then(|count| count.parse().ok());
    let given = arguments.get(usize::from(rounds.is_some())..).unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("ctp-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let inputs = if given.is_empty() {
        inputs(&folder)
    } else {
        given.chunks_exact(2).map(|pair| Input::whole(PathBuf::from(&pair[0]), &pair[1])).collect()
    };
    let cache = folder.join("cache");
    let missed: Vec<String> = inputs.iter().flat_map(|input| compare(input, rounds.unwrap_or(5), &cache)).collect();
    let _ = std::fs::remove_dir_all(&folder);
    for missed in &missed {
        println!("MISSED {missed}");
    }
    if missed.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
