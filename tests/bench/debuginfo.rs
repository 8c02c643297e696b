//! Owns the comparison of ctp with stap, gdb and drgn in finding one function with its parameters in a file: time and
//! peak memory, in turns. Each reading is a process of its own, so that none finds what another left in memory.
//!
//! `cargo bench --package ctp-tests --bench find-function [ROUNDS] [FILE FUNCTION]...`; without files, python3.11-dbg.

#![expect(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

use std::fmt::Write as _;
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

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, path, name, cache] = arguments.as_slice()
        && word == "resolve"
    {
        return resolve(Path::new(path), name, Path::new(cache));
    }
    let rounds = arguments.first().and_then(|count| count.parse().ok());
    let mut files: Vec<(PathBuf, String)> = arguments
        .get(usize::from(rounds.is_some())..)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|pair| (PathBuf::from(&pair[0]), pair[1].clone()))
        .collect();
    if files.is_empty() {
        files.push((PathBuf::from("/usr/bin/python3.11d"), "PyObject_GetAttr".to_owned()));
    }
    let cache = std::env::temp_dir().join(format!("ctp-bench-{}", std::process::id()));
    for (path, name) in &files {
        println!("{} {name}", path.display());
        let own = std::env::current_exe().unwrap();
        let ctp = || {
            let output = Command::new(&own).arg("resolve").args([path.as_os_str(), name.as_ref()]).arg(&cache).output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            let time: f64 = text.split(' ').next().unwrap().parse().unwrap();
            (time / 1e6, text)
        };
        let _ = std::fs::remove_dir_all(&cache);
        let (first, text) = ctp();
        println!("  ctp, nothing cached: {:.1} ms ({})", first * 1e3, text.trim());
        let probe = format!("process(\"{}\").function(\"{name}\")", path.display());
        let drgn = format!(
            "import drgn; p=drgn.Program(); p.load_debug_info(['{}']); print(p.function('{name}').type_)",
            path.display()
        );
        let mut others: Vec<(&str, Command, Vec<f64>)> = vec![
            ("stap -L", Command::new("stap"), Vec::new()),
            ("gdb", Command::new("gdb"), Vec::new()),
            ("drgn", Command::new("python3"), Vec::new()),
        ];
        others[0].1.args(["-L", &probe]);
        others[1].1.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", &format!("info scope {name}")]);
        others[1].1.arg(path);
        others[2].1.args(["-c", &drgn]);
        let mut own_times = Vec::new();
        for _ in 0..rounds.unwrap_or(5) {
            let (time, _) = ctp();
            own_times.push(time);
            for (_, command, ratios) in &mut others {
                if let Some(other) = time_of(command) {
                    ratios.push(other.as_secs_f64() / time);
                }
            }
        }
        let (_, text) = ctp();
        println!("  ctp, median: {:.1} ms ({})", median(own_times).unwrap() * 1e3, text.trim());
        for (tool, _, ratios) in others {
            let mut line = String::new();
            match median(ratios) {
                Some(ratio) => write!(line, "{ratio:.1} times as long").unwrap(),
                None => line.push_str("not there, or it fails on this file"),
            }
            println!("  {tool}: {line}");
        }
    }
    let _ = std::fs::remove_dir_all(&cache);
}
