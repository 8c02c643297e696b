//! Owns a program that SystemTap's bpf runtime counts: its script compiled by `stap --bpf`, what that made compared with what
//! was meant, loaded by stapbpf, its numbers read when it ends. Nothing of it stays: stapbpf takes its probes out of the
//! kernel's list when it is told to end (as it is when ctp is killed); what a stapbpf that was killed left there goes, and
//! nothing that another program put there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::emit::stap::bpf::{self, MARK, Script, object::Object};
use ctp_lang::ir::Program;
use ctp_lang::source::Sources;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::build::{Maker, Work, probed};
use super::progress::Progress;
use super::slot::{self, Slot};
use super::tools::{self, Machine, Version};
use super::{Failure, Outcome, StartError, Wish, machine_failure, process};
use crate::world::live::LiveWorld;

/// The kernel's list of probes in files, where stapbpf looks for it.
const LIST: &str = "/sys/kernel/debug/tracing/uprobe_events";
/// How long stapbpf may take to load, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The oldest stap that was tried.
const OLDEST: Version = Version { major: 4, minor: 8 };

/// A program whose script is compiled.
pub struct Counting {
    stapbpf: PathBuf,
    object: PathBuf,
    script: Script,
    slot: Slot,
    files: Vec<Arc<File>>,
    machine: Machine,
    running: Option<Running>,
    /// Holds the object until it is loaded.
    _work: Work,
}

/// stapbpf at work.
struct Running {
    child: Child,
    out: Vec<u8>,
    err: Vec<u8>,
    open: bool,
}

impl Counting {
    /// Compiles a program; loads nothing.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(
        program: &Program,
        sources: &Sources,
        world: &LiveWorld,
        wish: &Wish,
        signals: &SignalFd,
    ) -> Result<Counting, StartError> {
        let mut options = bpf::Options { for_people: false, ..bpf::Options::default() };
        // What cannot be done is said first: no installation changes that.
        bpf::emit(program, sources, &options).map_err(StartError::Program)?;
        let machine = wish.machine.clone();
        let (stap, stapbpf, version) = find()?;
        if !Path::new(LIST).exists() {
            let failure = Failure::new(Code::E0402, format!("stapbpf needs {LIST}, which is not there"));
            return Err(failure.help("mount -t debugfs debugfs /sys/kernel/debug").into());
        }
        let (release, tree) = any_tree(&machine)?;
        let cache = machine.cache.clone().ok_or_else(|| {
            Failure::new(Code::E0407, "there is no folder for what stap makes").help("set XDG_CACHE_HOME")
        })?;
        let cannot = |folder: &Path, error: std::io::Error| {
            machine_failure(Code::E0405, format!("cannot use {}: {error}", folder.display()))
        };
        slot::make_private(&cache).map_err(|error| cannot(&cache, error))?;
        // Before a place is taken: one that is held is not looked at.
        forget_left_over(&machine, None);
        let slot = Slot::take(&machine).map_err(|error| cannot(&machine.run, error))?;
        options.folder = slot.folder.display().to_string();
        let script = bpf::emit(program, sources, &options).map_err(StartError::Program)?;
        let files = program
            .files
            .iter()
            .map(|file| world.file(file.id).map(|opened| opened.file))
            .collect::<Option<_>>()
            .ok_or_else(|| Failure::new(Code::E0407, "a probed file is not open any more"))?;
        let maker = Maker {
            stap: &stap,
            version: &version,
            release: &release,
            tree: &tree,
            cache: &cache,
            number: slot.number,
            signals,
            has_symbol: false,
        };
        let work = Work::new(&cache, slot.number)?;
        maker.fill(&work, program, (&script.files, false), &probed(program, world)?)?;
        let name = format!("ctp_counting_{}", slot.number);
        let mut progress = Progress::new();
        // Guru mode is what stap's assembler asks for; ctp alone writes it.
        // (-w: that nothing in the language itself sets a cell is no news.)
        let arguments = ["--bpf", "-g", "-w", "-p4", "-v", "-m", &name];
        maker.stap(&work, &script.text, &arguments, &mut progress)?.map_err(StartError::Machine)?;
        progress.end();
        let object = work.made(&format!("{name}.bo"));
        looked_at(&object, &script)?;
        if let Some(folder) = &wish.keep {
            keep(&object, &script, &folder.join(&name))?;
        }
        Ok(Counting { stapbpf, object, script, slot, files, machine, running: None, _work: work })
    }

    /// The script.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Loads it and waits until its probes are in place; false where a signal came first.
    ///
    /// # Errors
    /// [`Failure`] where stapbpf does not get as far.
    pub fn load(&mut self, signals: &SignalFd) -> Outcome<bool> {
        let failed =
            |what: &str, error: std::io::Error| Box::new(Failure::new(Code::E0407, format!("{what}: {error}")));
        for (slot, file) in self.script.files.iter().zip(&self.files) {
            let to = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
            std::os::unix::fs::symlink(to, &slot.path).map_err(|error| failed("cannot link a probed file", error))?;
        }
        let child = process::start(Command::new(&self.stapbpf).arg(&self.object));
        let child = child.map_err(|error| failed(&format!("cannot run {}", self.stapbpf.display()), error))?;
        let running = self.running.insert(Running { child, out: Vec::new(), err: Vec::new(), open: true });
        let end = Instant::now() + PATIENCE;
        let ready = format!("{MARK} ready");
        while running.open && Instant::now() < end {
            running.read(Duration::from_millis(100), Some(signals)).map_err(|error| failed("stapbpf", error))?;
            // Until it has said what is to be done when it is told to end, that would kill it.
            if running.lines().any(|line| line == ready) && waits(running.child.id()) {
                return Ok(true);
            }
            if matches!(signals.read_signal(), Ok(Some(_))) {
                return Ok(false);
            }
        }
        let said = String::from_utf8_lossy(&running.err).trim().to_owned();
        let mut failure = Failure::new(Code::E0407, "stapbpf did not start")
            .help("use ctp's own engine: --engine bpf; stapbpf needs to be root, and to raise RLIMIT_MEMLOCK");
        failure.notes.extend((!said.is_empty()).then_some(said));
        Err(Box::new(failure))
    }

    /// Waits, at most so long or until a signal comes; whether stapbpf still runs.
    ///
    /// # Errors
    /// [`Failure`] where its output cannot be read.
    pub fn wait(&mut self, timeout: Duration, signals: &SignalFd) -> Outcome<bool> {
        let Some(running) = &mut self.running else { return Ok(false) };
        let read = running.read(timeout, Some(signals));
        read.map_err(|error| Box::new(Failure::new(Code::E0405, format!("cannot read what stapbpf says: {error}"))))
    }

    /// Ends it: what each cell of the script holds.
    ///
    /// # Errors
    /// [`Failure`] where it did not say, or said what cannot be.
    pub fn stop(&mut self) -> Outcome<Vec<i64>> {
        let Some(mut running) = self.running.take() else { return Ok(vec![0; self.script.cells.len()]) };
        running.end();
        forget_left_over(&self.machine, Some(running.child.id()));
        drop(self.slot.forget());
        let said = String::from_utf8_lossy(&running.err).trim().to_owned();
        values(running.lines(), self.script.cells.len()).map_err(|what| {
            let mut failure = Failure::new(Code::E0407, format!("stapbpf {what}: what was counted is lost"));
            failure.notes.extend((!said.is_empty()).then_some(said));
            Box::new(failure)
        })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.end();
            forget_left_over(&self.machine, Some(running.child.id()));
            drop(self.slot.forget());
        }
    }
}

impl Running {
    /// Reads what there is. Returns whether it still runs.
    fn read(&mut self, timeout: Duration, wake: Option<&SignalFd>) -> std::io::Result<bool> {
        let (Some(out), Some(err)) = (&mut self.child.stdout, &mut self.child.stderr) else { return Ok(false) };
        if !self.open {
            return Ok(false);
        }
        let mut wanted = vec![PollFd::new(out.as_fd(), PollFlags::POLLIN), PollFd::new(err.as_fd(), PollFlags::POLLIN)];
        wanted.extend(wake.map(|wake| PollFd::new(wake.as_fd(), PollFlags::POLLIN)));
        let milliseconds = timeout.as_micros().div_ceil(1000);
        match poll(&mut wanted, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| wanted.get(at).is_some_and(|fd| fd.any() == Some(true));
        let (from_out, from_err) = (ready(0), ready(1));
        let mut buffer = [0; 4096];
        if from_err {
            let count = err.read(&mut buffer)?;
            self.err.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
            // What it says without end is not gathered without end.
            self.err.truncate(1 << 16);
        }
        if from_out {
            let count = out.read(&mut buffer)?;
            self.out.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
            self.out.truncate(1 << 20);
            self.open = count > 0;
        }
        Ok(self.open)
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        str::from_utf8(&self.out).unwrap_or_default().lines()
    }

    /// Tells it to end, reads the rest, waits.
    fn end(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.open && !waits(self.child.id()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        process::signal(&self.child, Signal::SIGINT);
        // One that was about to sleep when that came sleeps on: another signal wakes it.
        let mut again = Some(Instant::now() + PATIENCE / 6);
        while self.open && Instant::now() < end {
            if self.read(Duration::from_millis(100), None).is_err() {
                break;
            }
            if again.is_some_and(|again| again < Instant::now()) {
                process::signal(&self.child, Signal::SIGTERM);
                again = None;
            }
        }
        if !matches!(process::wait(&mut self.child, Duration::from_secs(2)), Ok(Some(_))) {
            process::signal(&self.child, Signal::SIGKILL);
            drop(self.child.wait());
        }
    }
}

/// Whether a stapbpf has come to where it waits to be told to end: it handles SIGINT, and sleeps. (Before that it would
/// be killed by it; between the two it would not wake up any more.)
fn waits(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let handled = of("SigCgt:").and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    handled & (1 << (Signal::SIGINT as u32 - 1)) != 0 && of("State:").is_none_or(|state| !state.starts_with('R'))
}

/// The cells' values from what was said; what is wrong with it otherwise.
fn values<'l>(lines: impl Iterator<Item = &'l str>, cells: usize) -> Result<Vec<i64>, String> {
    let mut found = Vec::with_capacity(cells);
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [MARK, "ready"] => {}
            [MARK, "end"] if found.len() == cells => return Ok(found),
            [MARK, number, read, named] if number.parse() == Ok(found.len()) => {
                if read != named {
                    return Err("has its numbers in another order than the script".to_owned());
                }
                found.push(read.parse().map_err(|_| format!("said `{line}`"))?);
            }
            _ => return Err(format!("said `{}`", line.escape_debug())),
        }
    }
    Err("ended without a word".to_owned())
}

fn find() -> Outcome<(PathBuf, PathBuf, String)> {
    let missing = |name: &str| {
        Box::new(
            Failure::new(Code::E0407, format!("there is no {name} in PATH"))
                .help("apt-get install systemtap; or use ctp's own engine: --engine bpf"),
        )
    };
    let stap = tools::program("stap").ok_or_else(|| missing("stap"))?;
    let stapbpf = tools::program("stapbpf").ok_or_else(|| missing("stapbpf"))?;
    let (written, version) = tools::version(&stap).unwrap_or_default();
    if version.is_none_or(|version| version < OLDEST) {
        let message = format!("SystemTap's bpf runtime was never tried with stap {written}");
        return Err(Box::new(
            Failure::new(Code::E0402, message).help("install systemtap 4.8 or later, or use --engine bpf"),
        ));
    }
    Ok((stap, stapbpf, written))
}

/// Some kernel's build tree: that of the one that runs, else any. Nothing of it is compiled into a bpf script.
fn any_tree(machine: &Machine) -> Outcome<(String, PathBuf)> {
    let release = tools::release();
    let missing = match machine.tree(&release) {
        Ok(tree) => return Ok((release, tree)),
        Err(missing) => missing,
    };
    let others = std::fs::read_dir("/lib/modules").ok().into_iter().flatten().flatten();
    let mut trees: Vec<PathBuf> =
        others.map(|entry| entry.path().join("build")).filter(|tree| tree.join(".config").exists()).collect();
    trees.sort();
    match trees.pop().filter(|_| machine.build_tree.is_none()) {
        Some(tree) => Ok((release, tree)),
        None => Err(Box::new(
            Failure::new(Code::E0407, format!("there is no build tree of a kernel in {}", missing.display()))
                .help("apt-get install linux-headers-amd64, or name one: --build-tree DIR"),
        )),
    }
}

/// Compares what stap made with what was meant.
fn looked_at(object: &Path, script: &Script) -> Result<(), StartError> {
    let bytes = std::fs::read(object)
        .map_err(|error| machine_failure(Code::E0407, format!("cannot read {}: {error}", object.display())))?;
    let Some(made) = Object::parse(&bytes) else {
        return Err(machine_failure(Code::E0407, "stap made what is no object file"));
    };
    if !made.has_cells(script.cells.len()) {
        let failure =
            Failure::new(Code::E0407, "this stap lays numbers out in another way than the script takes it to");
        return Err(failure.help("use ctp's own engine: --engine bpf").into());
    }
    let mut probed = made.places;
    let mut elsewhere = Vec::new();
    for place in &script.places {
        match probed.iter().position(|(path, offset)| *path == place.path && *offset == place.offset) {
            Some(found) => drop(probed.swap_remove(found)),
            None => elsewhere.push(place),
        }
    }
    let Some(first) = elsewhere.first() else {
        return match probed.is_empty() {
            true => Ok(()),
            false => Err(machine_failure(Code::E0407, "SystemTap would probe places that were not meant")),
        };
    };
    let why = "it takes the address of code for its place in the file, which it is not in this file";
    Err(StartError::Program(vec![
        Diagnostic::new(Code::E0302, first.span, "SystemTap's bpf runtime cannot probe this file")
            .label("here")
            .note(why)
            .help("the embedded engine can: `ctp run --engine bpf`"),
    ]))
}

/// Copies the object and its script to where the user wants them.
fn keep(object: &Path, script: &Script, to: &Path) -> Outcome<()> {
    let failed = |path: &Path, error: std::io::Error| {
        Box::new(Failure::new(Code::E0405, format!("cannot write {}: {error}", path.display())))
    };
    let (copy, text) = (to.with_extension("bo"), to.with_extension("stp"));
    std::fs::copy(object, &copy).map_err(|error| failed(&copy, error))?;
    std::fs::write(&text, &script.text).map_err(|error| failed(&text, error))
}

/// Takes probes out of the kernel's list that a stapbpf left there which was killed: of this process, or those of runs that
/// are over, known by the place of a run that their path begins with. They fire no more; their names stay.
fn forget_left_over(machine: &Machine, process: Option<u32>) {
    let list = std::fs::read_to_string(LIST).unwrap_or_default();
    let left: Vec<&str> = list.lines().filter_map(|line| left_over(line, machine, process)).collect();
    if left.is_empty() {
        return;
    }
    // One that is in use stays; the next run tries again.
    if let Ok(mut to) = std::fs::OpenOptions::new().append(true).open(LIST) {
        for name in left {
            drop(to.write_all(format!("-:{name}").as_bytes()));
        }
    }
}

/// The name of a probe in the kernel's list (`p:uprobes/stapprobe_PID_NUMBER /run/ctp/SLOT/t0:0x…`) that may go.
fn left_over<'l>(line: &'l str, machine: &Machine, process: Option<u32>) -> Option<&'l str> {
    let (name, path) = line.strip_prefix("p:")?.split_once(' ')?;
    let pid: u32 = name.strip_prefix("uprobes/stapprobe_")?.split('_').next()?.parse().ok()?;
    let slot: u32 = path.strip_prefix(machine.run.to_str()?)?.strip_prefix('/')?.split('/').next()?.parse().ok()?;
    let over = process == Some(pid) || slot::is_free(machine, slot);
    over.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_only_where_all_came_in_order() {
        let of = |text: &str, cells| values(text.lines(), cells);
        assert_eq!(of("ctp ready\nctp 0 7 7\nctp 1 -1 -1\nctp end\n", 2), Ok(vec![7, -1]));
        assert!(of("ctp ready\nctp 0 7 7\nctp 1 -1 -1\n", 2).is_err(), "it was killed");
        assert!(of("ctp ready\nctp 0 7 7\nctp end\n", 2).is_err(), "one is missing");
        assert!(of("ctp ready\nctp 0 7 8\nctp end\n", 1).is_err(), "its name means another cell");
        assert!(of("ctp ready\nrubbish\nctp 0 7 7\nctp end\n", 1).is_err());
    }

    #[test]
    fn a_probe_of_another_program_is_never_taken_out() {
        let run = std::env::temp_dir().join(format!("ctp-counting-{}", std::process::id()));
        let machine = Machine { proc: run.clone(), run: run.clone(), build_tree: None, cache: None };
        let slot = Slot::take(&machine).expect("a place");
        let line = |name: &str, folder: &str| format!("p:{name} {folder}:0x1234");
        let ours = format!("{}/0/t0", run.display());
        let free = format!("{}/1/t0", run.display());
        for (line, process, goes) in [
            (line("uprobes/stapprobe_77_0", &ours), None, false),
            (line("uprobes/stapprobe_77_0", &ours), Some(77), true),
            (line("uprobes/stapprobe_77_0", &ours), Some(7), false),
            (line("uprobes/stapprobe_77_1", &free), None, true),
            (line("uprobes/stapprobe_77_1", "/run/other/1/t0"), None, false),
            (line("uprobes/mine", &free), None, false),
            (line("perf/stapprobe_77_0", &free), None, false),
        ] {
            assert_eq!(left_over(&line, &machine, process).is_some(), goes, "{line} {process:?}");
        }
        drop(slot);
        drop(std::fs::remove_dir_all(&run));
    }
}
