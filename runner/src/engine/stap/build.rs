//! Owns making a program's module: the private copy that stap compiles against, where stap would probe compared with
//! what was meant, the module kept by its content. Loads nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use ctp_lang::codes::Code;
use ctp_lang::debuginfo::Module;
use ctp_lang::emit::stap::{self, Options, Point, Script, Slot};
use ctp_lang::ir::{FileIndex, Program};
use ctp_lang::source::Sources;
use ctp_lang::world::{Place, ReadAt, ReadError, World as _};
use nix::sys::signalfd::SignalFd;
use ring::digest::{Context, SHA256};

use super::progress::Progress;
use super::slot::make_private;
use super::{StartError, machine_failure, process};
use crate::engine::{Failure, Outcome};
use crate::world::live::LiveWorld;

/// How many modules are kept, and how many bytes of them.
const MOST_KEPT: usize = 64;
const MOST_BYTES: u64 = 256 << 20;

/// A compiled module.
pub(super) struct Built {
    /// The file.
    pub(super) module: PathBuf,
    /// Its name.
    pub(super) name: String,
    /// The script that it was made of.
    pub(super) script: Script,
}

/// What a module is made with.
pub(super) struct Maker<'a> {
    pub(super) stap: &'a Path,
    pub(super) version: &'a str,
    pub(super) release: &'a str,
    pub(super) tree: &'a Path,
    pub(super) cache: &'a Path,
    pub(super) number: u32,
    pub(super) signals: &'a SignalFd,
    pub(super) has_symbol: bool,
}

/// A probed file, with what belongs to it.
pub(super) struct Probed {
    file: Arc<File>,
    /// Its debug info, where that is another file.
    debug: Option<(String, Arc<dyn ReadAt>)>,
    /// The lowest address of its segments: what stap counts the addresses of a program that is no PIE from.
    lowest: u64,
}

impl Maker<'_> {
    /// The module of a program, from the cache or made now.
    pub(super) fn module(
        &self,
        program: &Program,
        sources: &Sources,
        world: &LiveWorld,
        options: &Options,
    ) -> Result<Built, StartError> {
        let mut options = options.clone();
        let mut script = stap::emit(program, sources, &options).map_err(StartError::Program)?;
        let probed = probed(program, world)?;
        make_private(self.cache).map_err(|error| unusable(self.cache, &error))?;
        let name = format!("ctp_{}_{}", self.key(&script, &probed)?, self.number);
        // The addresses that are probed are part of what names a module; how they are named in it is not.
        let kept = self.cache.join(format!("{name}.ko"));
        let all: BTreeSet<(FileIndex, u64)> = script
            .points
            .iter()
            .filter_map(|point| Some((FileIndex(u32::try_from(point.slot).ok()?), point.address)))
            .collect();
        if let Ok(text) = std::fs::read_to_string(kept.with_extension("stp"))
            && kept.is_file()
        {
            if code(&text).ne(code(&script.text)) {
                // stap's own choice of addresses was found to be another when it was made.
                options.by_address = all.clone();
                script = stap::emit(program, sources, &options).map_err(StartError::Program)?;
            }
            if code(&text).eq(code(&script.text)) {
                // Those that are used stay.
                drop(File::open(&kept).and_then(|file| file.set_modified(SystemTime::now())));
                return Ok(Built { module: kept, name, script });
            }
        }
        let work = Work::new(self.cache, self.number)?;
        self.fill(&work, program, (&script.files, script.returns), &probed)?;
        let mut progress = Progress::new();
        let meant: BTreeSet<&Point> = script.points.iter().collect();
        let answer = self.stap(&work, &script.text, &with(&script, &["-p2", "-v"]), &mut progress)?;
        let found = answer.map(|out| addresses(&out, &script, &probed));
        let differs = !found.as_ref().is_ok_and(|found| found.iter().collect::<BTreeSet<_>>() == meant);
        if differs && !script.points.is_empty() {
            options.by_address = all;
            script = stap::emit(program, sources, &options).map_err(StartError::Program)?;
            let out = self.stap(&work, &script.text, &with(&script, &["-p2", "-v"]), &mut progress)?;
            let out = out.map_err(StartError::Machine)?;
            let found = addresses(&out, &script, &probed);
            if found.iter().ne(script.points.iter()) {
                return Err(elsewhere(&script, &found).into());
            }
        } else if let Err(failure) = found {
            return Err(StartError::Machine(failure));
        }
        let arguments = with(&script, &["-p4", "-v", "-m", &name]);
        self.stap(&work, &script.text, &arguments, &mut progress)?.map_err(StartError::Machine)?;
        progress.end();
        let made = work.0.join(format!("{name}.ko"));
        std::fs::rename(&made, &kept).map_err(|error| unusable(&made, &error))?;
        let text = self.cache.join(format!("{name}.stp"));
        std::fs::write(&text, &script.text).map_err(|error| unusable(&text, &error))?;
        drop(prune(self.cache, &name));
        Ok(Built { module: kept, name, script })
    }

    /// What a module depends on, as 32 hexadecimal digits.
    fn key(&self, script: &Script, probed: &[Probed]) -> Result<String, StartError> {
        let mut digest = Context::new(&SHA256);
        let mut add = |part: &[u8]| {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
        for part in [env!("CARGO_PKG_VERSION"), self.version, self.release, &version] {
            add(part.as_bytes());
        }
        add(self.tree.as_os_str().as_encoded_bytes());
        code(&script.text).for_each(|line| add(line.as_bytes()));
        script.defines.iter().for_each(|define| add(define.as_bytes()));
        for one in probed {
            let mut whole = |bytes: &dyn ReadAt| -> Result<(), StartError> {
                let mut inner = Context::new(&SHA256);
                each_block(bytes, &mut |block| {
                    inner.update(block);
                    Ok(())
                })
                .map_err(|error| unreadable(&error))?;
                add(inner.finish().as_ref());
                Ok(())
            };
            whole(&Descriptor(&one.file))?;
            if let Some((_, debug)) = &one.debug {
                whole(&**debug)?;
            }
        }
        let whole: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(whole.get(..32).unwrap_or(&whole).to_owned())
    }

    /// The private copy: each file in its slot, its debug info where elfutils looks for it, the symbols that stap asks
    /// for.
    pub(super) fn fill(
        &self,
        work: &Work,
        program: &Program,
        (files, returns): (&[Slot], bool),
        probed: &[Probed],
    ) -> Result<(), StartError> {
        let root = work.root();
        for (slot, one) in files.iter().zip(probed) {
            copy(&Descriptor(&one.file), &root.join(slot.path.trim_start_matches('/')))?;
            let id = program.file(slot.file).and_then(|file| file.build_id.as_ref()).map(ToString::to_string);
            if let (Some((path, debug)), Some(id)) = (&one.debug, id) {
                let (Some(first), Some(rest)) = (id.get(..2), id.get(2..)) else { continue };
                let place = format!("usr/lib/debug/.build-id/{first}/{rest}.debug");
                copy(&**debug, &root.join(place)).map_err(|error| match error {
                    StartError::Machine(failure) => {
                        StartError::Machine(Box::new(failure.note(format!("copying {path}"))))
                    }
                    other => other,
                })?;
            }
        }
        if returns {
            // stap asks the symbol table whether the kernel has return probes.
            let named = self.tree.join("include/config/kernel.release");
            let release = std::fs::read_to_string(named).unwrap_or_else(|_| self.release.to_owned());
            let symbols = if self.has_symbol { "ffffffff81000000 T arch_uretprobe_hijack_return_addr\n" } else { "" };
            let path = root.join(format!("boot/System.map-{}", release.trim()));
            write(&path, symbols.as_bytes())?;
        }
        Ok(())
    }

    /// Runs stap on a script; what it printed, or why it failed.
    pub(super) fn stap(
        &self,
        work: &Work,
        text: &str,
        arguments: &[&str],
        progress: &mut Progress,
    ) -> Result<Outcome<String>, StartError> {
        let file = work.0.join("script.stp");
        write(&file, text.as_bytes())?;
        let mut command = Command::new(self.stap);
        command
            .args(["-r", &self.tree.display().to_string()])
            .arg(format!("--sysroot={}", work.root().display()))
            .args(arguments)
            .arg(&file)
            .current_dir(&work.0)
            // What a user has set for other runs of stap is not for this one.
            .env("SYSTEMTAP_DIR", self.cache.join("systemtap"))
            .env("LC_ALL", "C");
        for name in ["SYSTEMTAP_TAPSET", "SYSTEMTAP_RUNTIME", "SYSTEMTAP_DEBUGINFO_PATH", "DEBUGINFOD_URLS"] {
            command.env_remove(name);
        }
        let failed = |error: std::io::Error| {
            machine_failure(Code::E0407, format!("cannot run {}: {error}", self.stap.display()))
        };
        let ended = process::run(&mut command, self.signals, &mut |line| progress.heard(line)).map_err(failed)?;
        let Some(ended) = ended else { return Err(StartError::Interrupted) };
        progress.end();
        if ended.ok {
            return Ok(Ok(ended.out));
        }
        let kept = work.keep(self.cache).map(|path| format!("what it was given: {}", path.display()));
        let said: Vec<&str> = ended.err.lines().filter(|line| matters(line)).take(12).collect();
        let mut failure = Failure::new(Code::E0407, "SystemTap cannot compile this program for this kernel")
            .note(said.join("\n"))
            .help("use ctp's own engine: --engine bpf; `ctp doctor` tells which SystemTap fits this kernel");
        failure.notes.extend(kept);
        Ok(Err(Box::new(failure)))
    }
}

/// Arguments behind a script's definitions.
fn with<'s>(script: &'s Script, arguments: &[&'s str]) -> Vec<&'s str> {
    script.defines.iter().map(String::as_str).chain(arguments.iter().copied()).collect()
}

/// The lines of a script without its comments: these name processes and containers, and the module is the same for all.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The probed files as the world holds them.
pub(super) fn probed(program: &Program, world: &LiveWorld) -> Result<Vec<Probed>, StartError> {
    (0u32..)
        .map(FileIndex)
        .zip(&program.files)
        .map(|(index, file)| {
            let gone = || machine_failure(Code::E0407, format!("{} is not open any more", file.path));
            let opened = world.file(file.id).ok_or_else(gone)?;
            let site = program.sites().find(|(_, site)| site.file == index);
            let container = site.and_then(|(_, site)| program.container(*site.containers.first()?)).ok_or_else(gone)?;
            let again = world.open(container, &Place::Path(file.path.clone())).map_err(|_| gone())?;
            let companions = world.companions(container, &again);
            let module = Module::with_companions(Arc::clone(&again.bytes), &file.path, companions);
            let module = module.map_err(|error| machine_failure(Code::E0407, format!("{}: {error}", file.path)))?;
            let debug = module.debug_bytes().map(|(path, bytes)| (path.to_owned(), bytes));
            Ok(Probed { file: opened.file, debug, lowest: module.lowest_address() })
        })
        .collect()
}

/// The addresses that stap says it probes.
fn addresses(out: &str, script: &Script, probed: &[Probed]) -> Vec<Point> {
    let mut points: Vec<Point> = out
        .lines()
        // A return is printed as the beginning of its function.
        .filter(|line| !line.contains(").return "))
        .filter_map(|line| {
            let rest = line.strip_prefix("process(\"")?;
            let path = rest.split('"').next()?;
            let slot = script.files.iter().position(|slot| slot.path == path)?;
            let (base, digits) = rest.split_once("/* pc=")?.1.split_whitespace().next()?.split_once("+0x")?;
            let base = if base == ".absolute" { probed.get(slot)?.lowest } else { 0 };
            Some(Point { slot, address: u64::from_str_radix(digits, 16).ok()?.checked_add(base)? })
        })
        .collect();
    points.sort_unstable();
    points.dedup();
    points
}

fn elsewhere(script: &Script, found: &[Point]) -> Failure {
    let shown =
        |points: Vec<&Point>| points.iter().map(|point| format!("{:#x}", point.address)).collect::<Vec<_>>().join(" ");
    let missing = script.points.iter().filter(|point| !found.contains(point)).collect();
    let extra = found.iter().filter(|point| !script.points.contains(point)).collect();
    Failure::new(Code::E0407, "SystemTap would probe other places than those that were meant")
        .note(format!("meant and not probed: {}; probed and not meant: {}", shown(missing), shown(extra)))
        .help("use ctp's own engine: --engine bpf")
}

/// Whether a line of stap's says why it failed.
fn matters(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("Pass ") && !line.starts_with("Tip:") && !line.starts_with("Keeping")
}

/// A folder that is gone when dropped.
pub(super) struct Work(PathBuf);

impl Work {
    pub(super) fn new(cache: &Path, number: u32) -> Result<Work, StartError> {
        let folder = cache.join(format!("work-{number}"));
        // A run that was killed may have left one; its place is ours now.
        drop(std::fs::remove_dir_all(&folder));
        for path in [folder.join("root/boot"), folder.join("root/run/ctp")] {
            make_private(&path).map_err(|error| unusable(&path, &error))?;
        }
        Ok(Work(folder))
    }

    /// What stap is told to be the root.
    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// A file that stap has made.
    pub(super) fn made(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Keeps the script of a compilation that failed.
    fn keep(&self, cache: &Path) -> Option<PathBuf> {
        let place = cache.join("failed.stp");
        std::fs::copy(self.0.join("script.stp"), &place).ok().map(|_| place)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A file by its descriptor.
struct Descriptor<'f>(&'f File);

impl ReadAt for Descriptor<'_> {
    fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(buf, offset).map_err(|error| ReadError { offset, reason: error.to_string() })
    }
}

/// Hands over a file's bytes, block by block.
fn each_block(bytes: &dyn ReadAt, take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let (mut at, length) = (0, bytes.size());
    while at < length {
        let size = usize::try_from((length - at).min(1 << 20)).unwrap_or(1 << 20);
        let block = buffer.get_mut(..size).ok_or(std::io::ErrorKind::InvalidData)?;
        bytes.read_at(at, block).map_err(|_| std::io::Error::other("the probed file cannot be read"))?;
        take(block)?;
        at += size as u64;
    }
    Ok(())
}

fn copy(bytes: &dyn ReadAt, to: &Path) -> Result<(), StartError> {
    use std::io::Write as _;
    let made = || -> std::io::Result<()> {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::create(to)?;
        each_block(bytes, &mut |block| file.write_all(block))
    };
    made().map_err(|error| unusable(to, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    std::fs::write(path, bytes).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> StartError {
    machine_failure(Code::E0405, format!("cannot write {}: {error}", path.display()))
}

fn unreadable(error: &std::io::Error) -> StartError {
    machine_failure(Code::E0405, error.to_string())
}

/// Removes the modules that were not used for the longest time, until few enough are left.
fn prune(cache: &Path, newest: &str) -> std::io::Result<()> {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        let path = entry.path();
        let metadata = entry.metadata()?;
        if path.extension().is_some_and(|extension| extension == "ko") && metadata.is_file() {
            kept.push((metadata.modified()?, metadata.len(), path));
        }
    }
    kept.sort();
    let mut bytes: u64 = kept.iter().map(|(_, size, _)| size).sum();
    let mut count = kept.len();
    for (_, size, path) in &kept {
        if count <= MOST_KEPT && bytes <= MOST_BYTES {
            break;
        }
        if path.file_stem().is_some_and(|stem| stem == newest) {
            continue;
        }
        std::fs::remove_file(path)?;
        drop(std::fs::remove_file(path.with_extension("stp")));
        (count, bytes) = (count - 1, bytes - size);
    }
    Ok(())
}
