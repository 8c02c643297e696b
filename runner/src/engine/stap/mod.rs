//! The SystemTap engine: a program's script compiled by stap, loaded by staprun, its records read. The script runs the
//! whole program, `begin`, `every` and `end` too; what it prints comes as records ([`frames`]), which ctp writes as it
//! does those of its own engine.
//!
//! The module is taken out after every kind of end: by staprun when it is interrupted (as it is when ctp is killed), by
//! `staprun -d` where that did not help, and by the next run where nothing of this one was left.

mod build;
pub mod counting;
mod pair;
mod process;
mod progress;
mod slot;
pub mod tools;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::emit::stap::frames::{Reader, Said};
use ctp_lang::emit::stap::{Category, KnownBy, Options, Script, Want, Written, late};
use ctp_lang::ir::{ContainerIndex, Print, ProbeIndex, Program};
use ctp_lang::source::Sources;
use ctp_lang::world::Container;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::{Failure, Outcome};
use crate::world::live::LiveWorld;
use build::Maker;
use pair::{Form, Pair};
use slot::Slot;
use tools::Machine;

/// How long staprun may take to unload, with all that the program prints at its end.
const UNLOAD: Duration = Duration::from_secs(30);

/// Why tracing could not start.
#[derive(Debug)]
pub enum StartError {
    /// SystemTap cannot express something that the program asks for.
    Program(Vec<Diagnostic>),
    /// The machine would not.
    Machine(Box<Failure>),
    /// A signal came first.
    Interrupted,
}

impl From<Box<Failure>> for StartError {
    fn from(failure: Box<Failure>) -> StartError {
        StartError::Machine(failure)
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> StartError {
        StartError::Machine(Box::new(failure))
    }
}

fn machine_failure(code: Code, message: impl Into<String>) -> StartError {
    Failure::new(code, message).into()
}

/// What a run asks of the engine.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The string limit.
    pub strlen: u32,
    /// Entries of maps whose size is not declared.
    pub map_size: u32,
    /// How many rounds the loops of a handler's run may go together.
    pub max_steps: u32,
    /// Bytes of the buffer between kernel and ctp, per processor.
    pub buffer: u32,
    /// Where a copy of the compiled module is wanted (`--keep`).
    pub keep: Option<PathBuf>,
    /// Where the machine has what.
    pub machine: Machine,
}

/// The programs that were found.
struct Tools {
    stap: PathBuf,
    staprun: PathBuf,
    written: String,
    version: Option<tools::Version>,
}

/// A program at work in a module, or ready to be loaded.
pub struct StapEngine<'a> {
    program: &'a Program,
    machine: Machine,
    staprun: PathBuf,
    module: PathBuf,
    name: String,
    script: Script,
    slot: Slot,
    strlen: u32,
    /// Megabytes of the buffer of each processor.
    buffer: u32,
    /// What the parameters of each container hold at first.
    known: Vec<(u64, u64)>,
    /// The probed files: the module looks them up through their descriptors.
    files: Vec<Arc<File>>,
    running: Option<Running<'a>>,
    /// What the modules of earlier runs are called that could not be removed.
    stays: Vec<String>,
}

/// A loaded module, with its staprun.
struct Running<'a> {
    child: Child,
    reader: Reader<'a>,
    out_open: bool,
    err_open: bool,
    errors: Vec<u8>,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// What staprun said that is no matter of course, a line each.
    pub lines: Vec<String>,
    /// Whether the module failed.
    pub failed: bool,
    /// Bytes that were part of no record: the kernel dropped some.
    pub unread: u64,
}

/// Looks whether a program can run by SystemTap here, without compiling it: what is missing, and how to get it.
///
/// # Errors
/// [`Failure`] with the reason and a way out.
pub fn usable(machine: &Machine) -> Outcome<()> {
    let tools = find()?;
    pair::form(&pair(machine, &tools, false, false)).map_err(refused)?;
    tree(machine).map(drop)
}

/// Whether the SystemTap that is installed is right on this kernel, for containers on overlayfs: the reason and a way out
/// where it is not; `None` where none is installed.
pub fn fits(machine: &Machine) -> Option<Result<(), (String, String)>> {
    let tools = find().ok()?;
    let form = pair::form(&pair(machine, &tools, true, false));
    Some(form.map(drop).map_err(|refusal| (refusal.reason, refusal.help)))
}

fn find() -> Outcome<Tools> {
    let missing = |name: &str, package: &str| {
        Box::new(
            Failure::new(Code::E0407, format!("there is no {name} in PATH"))
                .help(format!("apt-get install {package}; or use ctp's own engine: --engine bpf")),
        )
    };
    let stap = tools::program("stap").ok_or_else(|| missing("stap", "systemtap"))?;
    let staprun = tools::program("staprun").ok_or_else(|| missing("staprun", "systemtap-runtime"))?;
    let (written, version) = tools::version(&stap).unwrap_or_default();
    Ok(Tools { stap, staprun, written, version })
}

fn tree(machine: &Machine) -> Outcome<(String, PathBuf)> {
    let release = tools::release();
    match machine.tree(&release) {
        Ok(tree) => Ok((release, tree)),
        Err(tree) => Err(Box::new(
            Failure::new(Code::E0407, format!("there is no build tree of this kernel in {}", tree.display()))
                .help(format!("apt-get install linux-headers-{release}, or name one: --build-tree DIR")),
        )),
    }
}

fn pair(machine: &Machine, tools: &Tools, overlay: bool, wants_returns: bool) -> Pair {
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    Pair {
        stap: tools.version,
        kernel: super::bpf::kernel_version(),
        returns_pass: super::bpf::kernel_release().is_none_or(pair::returns_pass),
        modules: machine.proc.join("modules").exists(),
        uprobes: machine.has_symbol("uprobe_register").map(|has| {
            // Linux 6.0 to 6.11 have one more parameter in a function of another name.
            has || machine.has_symbol("uprobe_register_refctr") == Some(true)
        }),
        return_probes: machine.has_symbol("arch_uretprobe_hijack_return_addr"),
        wants_returns,
        overlay,
        locked: ["[integrity]", "[confidentiality]"].iter().any(|mode| lockdown.contains(mode)),
    }
}

fn refused(refusal: pair::Refusal) -> Box<Failure> {
    Box::new(Failure::new(Code::E0402, format!("SystemTap cannot trace here: {}", refusal.reason)).help(refusal.help))
}

impl<'a> StapEngine<'a> {
    /// Compiles a program, or finds what was compiled before; loads nothing. `newcomers` says whether containers that start
    /// later may be let in.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(
        program: &'a Program,
        sources: &Sources,
        world: &LiveWorld,
        wish: &Wish,
        newcomers: bool,
        signals: &SignalFd,
    ) -> Result<StapEngine<'a>, StartError> {
        let machine = wish.machine.clone();
        let mut options = Options {
            strlen: wish.strlen,
            map_size: wish.map_size,
            max_steps: wish.max_steps,
            written: Written::Records,
            newcomers,
            ..Options::default()
        };
        // What SystemTap cannot express is said first: no installation changes that.
        let script = ctp_lang::emit::stap::emit(program, sources, &options).map_err(StartError::Program)?;
        let tools = find()?;
        let files: Vec<Arc<File>> = program
            .files
            .iter()
            .map(|file| world.file(file.id).map(|opened| opened.file))
            .collect::<Option<_>>()
            .ok_or_else(|| Failure::new(Code::E0407, "a probed file is not open any more"))?;
        let overlay = files.iter().any(|file| is_overlay(file));
        let pair = pair(&machine, &tools, overlay, script.returns);
        let form = pair::form(&pair).map_err(refused)?;
        let (release, tree) = tree(&machine)?;
        let cache = machine.cache.clone().ok_or_else(|| {
            Failure::new(Code::E0407, "there is no folder for compiled modules").help("set XDG_CACHE_HOME")
        })?;
        let cannot = |error: std::io::Error| {
            machine_failure(Code::E0405, format!("cannot use {}: {error}", machine.run.display()))
        };
        let stays = slot::left_over(&machine, &mut |name| unload(&tools.staprun, name, &machine));
        let slot = Slot::take(&machine).map_err(cannot)?;
        options.folder = slot.folder.display().to_string();
        let maker = Maker {
            stap: &tools.stap,
            version: &tools.written,
            release: &release,
            tree: &tree,
            cache: &cache,
            number: slot.number,
            signals,
            has_symbol: pair.return_probes != Some(false),
        };
        let built = maker.module(program, sources, world, &options).map_err(|error| match (error, form) {
            (StartError::Machine(failure), Form::LinkIfItCompiles) => StartError::Machine(Box::new(
                failure.help("stap 5.0 to 5.2 do not fit Linux 6.12 and later: install systemtap 5.6 or later"),
            )),
            (error, _) => error,
        })?;
        if let Some(folder) = &wish.keep {
            keep(&built, folder)?;
        }
        let known = built.script.containers.iter().map(|want| known(program, world, want)).collect::<Result<_, _>>()?;
        Ok(StapEngine {
            program,
            machine,
            staprun: tools.staprun,
            module: built.module,
            name: built.name,
            script: built.script,
            slot,
            strlen: wish.strlen,
            // What staprun takes.
            buffer: wish.buffer.div_ceil(1 << 20).clamp(1, 4095),
            known,
            files,
            running: None,
            stays,
        })
    }

    /// Modules that earlier runs left and that could not be removed.
    pub fn stays(&self) -> &[String] {
        &self.stays
    }

    /// The module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The output statements, by the numbers in records.
    pub fn prints(&self) -> &[Print] {
        &self.script.prints
    }

    /// Loads the module.
    ///
    /// # Errors
    /// [`Failure`] where staprun cannot be started.
    pub fn load(&mut self) -> Outcome<()> {
        let failed =
            |what: &str, error: std::io::Error| Box::new(Failure::new(Code::E0407, format!("{what}: {error}")));
        for (slot, file) in self.script.files.iter().zip(&self.files) {
            let to = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
            std::os::unix::fs::symlink(to, &slot.path).map_err(|error| failed("cannot link a probed file", error))?;
        }
        self.slot.note(&self.name).map_err(|error| failed("cannot note the module", error))?;
        let mut command = Command::new(&self.staprun);
        // SystemTap takes no number above 2^63 - 1; 0 is what an unset one would be.
        let key = (random() >> 2) | 1;
        command.args(["-b", &self.buffer.to_string()]).arg(&self.module).arg(format!("ctp_seal={key}"));
        for (want, (id, second)) in self.script.containers.iter().zip(&self.known) {
            command.arg(format!("{}={id}", want.id_parameter));
            command.arg(format!("{}={second}", want.second_parameter));
        }
        let child = process::start(&mut command);
        let child = child.map_err(|error| failed(&format!("cannot run {}", self.staprun.display()), error))?;
        let reader = Reader::new(self.program, self.script.prints.clone(), self.strlen, key);
        self.running = Some(Running { child, reader, out_open: true, err_open: true, errors: Vec::new() });
        Ok(())
    }

    /// Lets a container in that came back: its tasks are known by another cgroup now.
    ///
    /// # Errors
    /// [`Failure`] where the module does not take it.
    pub fn let_in(&mut self, container: ContainerIndex, cgroup: u64, level: u32) -> Outcome<()> {
        let Some(want) = self.script.containers.iter().find(|want| want.container == container) else { return Ok(()) };
        // Never the new id with the old level: nobody is let in in between.
        for (parameter, value) in
            [(&want.id_parameter, 0), (&want.second_parameter, u64::from(level)), (&want.id_parameter, cgroup)]
        {
            self.tell(parameter, &value.to_string())?;
        }
        Ok(())
    }

    /// Lets a container in that started later: its number, counted from 1 behind the program's, and which of these it is
    /// like.
    ///
    /// # Errors
    /// [`Failure`] where the module does not take it.
    pub fn let_in_late(&mut self, number: u32, like: ContainerIndex, container: &Container) -> Outcome<()> {
        let Some(cgroup) = &container.cgroup else { return Ok(()) };
        // What it is called first: from then on it may be asked.
        for what in late::Text::ALL.into_iter().filter(|_| self.script.says) {
            self.tell(late::SAID, &format!("{number} {} {}", what as u8, what.of(container)))?;
        }
        self.tell(late::LATE, &format!("{} {number} {}", cgroup.id, like.0 + 1))
    }

    /// Tasks of this cgroup count no more: a container that had started later ended.
    ///
    /// # Errors
    /// [`Failure`] where the module does not take it.
    pub fn let_out(&mut self, cgroup: u64) -> Outcome<()> {
        self.tell(late::LATE, &format!("{cgroup} 0 0"))
    }

    /// Writes to a file of the module's.
    fn tell(&self, file: &str, text: &str) -> Outcome<()> {
        let file = self.machine.proc.join("systemtap").join(&self.name).join(file);
        let done = std::fs::OpenOptions::new().write(true).open(&file).and_then(|mut to| to.write_all(text.as_bytes()));
        done.map_err(|error| {
            Box::new(Failure::new(Code::E0405, format!("cannot write to {}: {error}", file.display())))
        })
    }

    /// Reads what there is, waiting at most `timeout` or until `wake` can be read. Returns whether the module is still
    /// there.
    ///
    /// # Errors
    /// [`Failure`] where its output cannot be read.
    pub fn poll(
        &mut self,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
        said: &mut dyn FnMut(Said),
    ) -> Outcome<bool> {
        let Some(running) = &mut self.running else { return Ok(false) };
        running
            .read(timeout, wake, said)
            .map_err(|error| Box::new(Failure::new(Code::E0405, format!("cannot read what the module says: {error}"))))
    }

    /// Ends the run: staprun is interrupted where it still runs, all that comes is read, and the module is gone.
    ///
    /// # Errors
    /// [`Failure`] where the module stays.
    pub fn stop(&mut self, said: &mut dyn FnMut(Said)) -> Outcome<Ended> {
        let Some(mut running) = self.running.take() else { return Ok(Ended::default()) };
        process::signal(&running.child, Signal::SIGTERM);
        let end = Instant::now() + UNLOAD;
        while running.open() && Instant::now() < end {
            if running.read(Duration::from_millis(100), None, said).is_err() {
                break;
            }
        }
        let status = process::wait(&mut running.child, Duration::from_secs(2)).ok().flatten();
        if status.is_none() {
            process::signal(&running.child, Signal::SIGKILL);
            drop(running.child.wait());
        }
        let loaded = self.machine.modules().unwrap_or_default();
        if loaded.contains(&self.name) && !unload(&self.staprun, &self.name, &self.machine) {
            return Err(Box::new(
                Failure::new(Code::E0407, format!("the module {} is still loaded", self.name))
                    .help(format!("staprun -d {}", self.name)),
            ));
        }
        drop(self.slot.forget());
        let text = String::from_utf8_lossy(&running.errors).into_owned();
        let lines: Vec<String> = text.lines().map(str::trim).filter(|line| tells(line)).map(str::to_owned).collect();
        let failed =
            lines.iter().any(|line| line.starts_with("ERROR")) || status.is_none_or(|status| !status.success());
        Ok(Ended { lines, failed, unread: running.reader.skipped() })
    }
}

impl Drop for StapEngine<'_> {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            process::signal(&running.child, Signal::SIGTERM);
            if !matches!(process::wait(&mut running.child, Duration::from_secs(5)), Ok(Some(_))) {
                process::signal(&running.child, Signal::SIGKILL);
                drop(running.child.wait());
            }
            if self.machine.modules().unwrap_or_default().contains(&self.name) {
                unload(&self.staprun, &self.name, &self.machine);
            }
            drop(self.slot.forget());
        }
    }
}

impl Running<'_> {
    fn open(&self) -> bool {
        self.out_open || self.err_open
    }

    fn read(
        &mut self,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
        said: &mut dyn FnMut(Said),
    ) -> std::io::Result<bool> {
        let (Some(out), Some(err)) = (&mut self.child.stdout, &mut self.child.stderr) else { return Ok(false) };
        if !self.out_open && !self.err_open {
            return Ok(false);
        }
        // One that was closed would be ready for ever.
        let first = if self.out_open { out.as_fd() } else { err.as_fd() };
        let second = if self.err_open { err.as_fd() } else { out.as_fd() };
        let mut wanted = vec![PollFd::new(first, PollFlags::POLLIN), PollFd::new(second, PollFlags::POLLIN)];
        wanted.extend(wake.map(|wake| PollFd::new(wake, PollFlags::POLLIN)));
        // Rounded up: a wait of less than a millisecond would spin.
        let milliseconds = timeout.as_micros().div_ceil(1000);
        match poll(&mut wanted, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| wanted.get(at).is_some_and(|fd| fd.any() == Some(true));
        let (from_out, from_err) = (ready(0) && self.out_open, ready(1) && self.err_open);
        let mut buffer = vec![0; 1 << 16];
        if from_out {
            let count = out.read(&mut buffer)?;
            self.out_open = count > 0;
            self.reader.take(buffer.get(..count).unwrap_or(&[]), said);
        }
        if from_err {
            let count = err.read(&mut buffer)?;
            self.err_open = count > 0;
            self.errors.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
            // What a module says without end is not gathered without end.
            self.errors.truncate(1 << 20);
        }
        Ok(self.open())
    }
}

/// What a container's tasks are known by: the cgroup's id and level, or the process' id and when it began.
fn known(program: &Program, world: &LiveWorld, want: &Want) -> Outcome<(u64, u64)> {
    let gone = || Box::new(Failure::new(Code::E0406, "a traced container has ended"));
    let container = program.container(want.container).ok_or_else(gone)?;
    match want.by {
        KnownBy::Cgroup => {
            let cgroup = container.cgroup.as_ref().ok_or_else(gone)?;
            Ok((cgroup.id, cgroup.level.into()))
        }
        KnownBy::Process if !in_first_pid_namespace() => {
            let message =
                format!("{} cannot be told to SystemTap: ctp sees it by another number", container.described());
            Err(Box::new(Failure::new(Code::E0402, message).help("run ctp in the host's pid namespace")))
        }
        KnownBy::Process => {
            let (_, found) = world.found_for(container).ok_or_else(gone)?;
            Ok((found.init.pid.into(), found.init.start))
        }
    }
}

/// Whether processes have the numbers here that the kernel knows them by.
fn in_first_pid_namespace() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // PROC_PID_INIT_INO (include/linux/proc_ns.h).
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == 0xEFFF_FFFC)
}

/// How many events a line of staprun's says were skipped: hits that no handler saw.
pub fn skipped(line: &str) -> Option<u64> {
    line.split_once("skipped probes: ")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
}

/// Whether a line of staprun's is worth passing on.
fn tells(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("[man ") && !line.ends_with("Number of errors: 0, skipped probes: 0")
}

/// Takes a module out; whether it is gone.
fn unload(staprun: &Path, name: &str, machine: &Machine) -> bool {
    let done = Command::new(staprun).args(["-d", name]).stdin(std::process::Stdio::null()).output();
    done.is_ok_and(|done| done.status.success())
        || machine.modules().is_some_and(|modules| !modules.iter().any(|module| module == name))
}

/// Copies a module and its script to where the user wants them.
fn keep(built: &build::Built, folder: &Path) -> Outcome<()> {
    let failed = |path: &Path, error: std::io::Error| {
        Box::new(Failure::new(Code::E0405, format!("cannot write {}: {error}", path.display())))
    };
    for (from, extension) in [(built.module.clone(), "ko"), (built.module.with_extension("stp"), "stp")] {
        let to = folder.join(format!("{}.{extension}", built.name));
        std::fs::copy(from, &to).map_err(|error| failed(&to, error))?;
    }
    Ok(())
}

/// Whether a file lies on overlayfs, as its file system says.
fn is_overlay(file: &File) -> bool {
    nix::sys::statfs::fstatfs(file)
        .is_ok_and(|status| status.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC)
}

/// A number that nobody can guess (the keys of hash maps are drawn from the system's randomness).
fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

/// The counters of all probes from what the module says at its end.
pub fn counters(program: &Program, said: &[(ProbeIndex, Category, u64)]) -> Vec<super::Counters> {
    let mut all = vec![super::Counters::default(); program.probes.len()];
    for (probe, category, count) in said {
        let Some(counters) = all.get_mut(probe.0 as usize) else { continue };
        let field = match category {
            Category::Records => &mut counters.records,
            Category::Aggregated => &mut counters.aggregated,
            Category::Filtered => &mut counters.filtered,
            Category::ReadFaults => &mut counters.read_faults,
            Category::StepLimit => &mut counters.step_limit,
            Category::Unmatched => &mut counters.unmatched,
            Category::FaultsShown => &mut counters.faults_shown,
            Category::MapFull => &mut counters.map_full,
        };
        *field += count;
    }
    all
}
