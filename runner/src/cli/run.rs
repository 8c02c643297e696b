//! Owns `ctp run`: a program checked, then traced by a [`crate::session`].

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ctp_lang::check::{self, check};
use ctp_lang::codes::Code;
use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::emit::bpf;
use ctp_lang::world::{Container, TargetKind};

use super::load::load;
use super::size;
use super::symbols::Symbols;
use crate::container::Settings;
use crate::doctor;
use crate::engine::{self, stap};
use crate::error::Failure;
use crate::output::printer::Printer;
use crate::output::{Form, Output};
use crate::privileges;
use crate::report::{self, Color};
use crate::session::{self, Session};
use crate::world::live::LiveWorld;

/// Check a program, attach its probes, print until it ends
#[derive(Args, Debug)]
#[command(after_help = "It ends with Ctrl-C, after --for or --events, by exit(), or when its containers were\n\
    removed and no pattern, image, label or pod could mean new ones.\n\
    Standard output holds what the program prints and nothing else; ctp itself speaks on standard error.")]
pub struct Run {
    #[command(flatten)]
    /// Where debug info is looked for
    pub symbols: Symbols,
    /// Program files; `-` reads standard input
    #[arg(required_unless_present = "script", value_name = "FILE")]
    pub files: Vec<String>,
    /// A program given here
    #[arg(short = 'e', long = "script", value_name = "SCRIPT")]
    pub script: Vec<String>,
    /// Which engine traces
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineName,
    /// End after this time: 500ms, 5s, 2min, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = size::duration)]
    pub duration: Option<Duration>,
    /// End after N runs of handlers that printed something
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Print what would be attached where, and stop
    #[arg(long)]
    pub plan: bool,
    /// End when a container stops instead of waiting for it to come back
    #[arg(long)]
    pub no_follow: bool,
    /// Write to a file instead of standard output
    #[arg(short = 'o', long = "output-file", value_name = "FILE")]
    pub out: Option<String>,
    /// How output is written: as the program prints it, or as JSON lines
    #[arg(long = "output", value_enum, default_value_t, value_name = "FORM")]
    pub output: Form,
    /// Wait for containers that do not run yet
    #[arg(long)]
    pub wait: bool,
    /// Bytes a string may hold; longer ones are cut and marked
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub strlen: u32,
    /// Entries a map may hold where its declaration does not say
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub map_size: u32,
    /// Levels of nested values that are shown of a value printed whole
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub depth: u32,
    /// Bytes of the buffer between kernel and ctp: 64K, 4M
    #[arg(long, default_value = "4M", value_name = "SIZE", value_parser = size::bytes)]
    pub ring_size: u32,
    /// Rounds that the loops of one run of a handler may go together; a run that goes further is stopped
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub max_steps: u32,
    /// Hits a second that the handler of a probe runs for, at most: 1000/s; those above are counted only
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "N/s", value_parser = size::rate)]
    pub max_rate: u32,
    /// To whom probes are attached: to the file for all who execute it (`inode`), or to each process of the containers
    /// (`process`), which spares others that execute the same file and may miss the first milliseconds of new processes
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub attach: Attach,
    /// How probes are attached: `perf` (an event for each address) is for kernels before 6.6, and for tests
    #[arg(long, value_enum, default_value_t, value_name = "WAY")]
    pub uprobe: Uprobe,
    /// How returns are seen: by the function's return instructions (`instructions`), or by one probe on its entry for which the
    /// kernel replaces the return address (`session`, Linux 6.14), which costs a tenth and is refused where the function's code
    /// does not prove that it does no harm
    #[arg(long, value_enum, default_value_t, value_name = "WAY")]
    pub returns: ReturnsBy,
    /// With SystemTap: the build tree of this kernel, where it is not /lib/modules/RELEASE/build
    #[arg(long, value_name = "DIR")]
    pub build_tree: Option<PathBuf>,
    /// With SystemTap: keep the compiled module, and its script, in the current folder
    #[arg(long)]
    pub keep: bool,
    /// Say nothing but errors and what went wrong
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more: how long each step took, the verifier's log where the kernel refuses a program
    #[arg(short, long)]
    pub verbose: bool,
}

/// The engines a user may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// The embedded engine where the kernel can, else SystemTap where it is installed
    #[default]
    Auto,
    /// The embedded eBPF engine
    Bpf,
    /// SystemTap: a kernel module, made by the stap that is installed
    Stap,
    /// SystemTap's bpf runtime (stap --bpf): counts and sums only
    StapBpf,
}

/// The ways to attach that a user may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Uprobe {
    /// The best that the kernel has
    #[default]
    Auto,
    /// One link for all addresses of a file (Linux 6.6)
    Multi,
    /// A perf event for each address: slower to attach, very slow to detach many
    Perf,
}

/// The ways to see returns that a user may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReturnsBy {
    /// By sessions where that is proved to do no harm, else by instructions
    #[default]
    Auto,
    /// By the function's return instructions, and its jumps into other functions
    Instructions,
    /// By uprobe sessions only
    Session,
}

impl ReturnsBy {
    fn wish(self) -> bpf::ReturnsBy {
        match self {
            ReturnsBy::Auto => bpf::ReturnsBy::Auto,
            ReturnsBy::Instructions => bpf::ReturnsBy::Instructions,
            ReturnsBy::Session => bpf::ReturnsBy::Session,
        }
    }
}

impl Uprobe {
    fn wish(self) -> engine::bpf::Uprobes {
        match self {
            Uprobe::Auto => engine::bpf::Uprobes::Auto,
            Uprobe::Multi => engine::bpf::Uprobes::Multi,
            Uprobe::Perf => engine::bpf::Uprobes::Perf,
        }
    }
}

/// To whom probes may be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// The way that misses nothing: `inode`
    #[default]
    Auto,
    /// The file: whoever executes it, in whichever container, pays for each call; only the wanted ones are reported
    Inode,
    /// Each process of the wanted containers: nobody else pays
    Process,
}

/// How long ctp waits before it looks again for containers that do not run yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Whether nothing is wrong but that containers do not run.
fn only_containers_are_missing(found: &[Diagnostic]) -> bool {
    let mut errors = found.iter().filter(|diagnostic| diagnostic.is_error()).peekable();
    errors.peek().is_some() && errors.all(|error| error.code == Code::E0101)
}

/// Checks and traces.
///
/// # Errors
/// [`Failure`] of the machine, the kernel or a file.
pub fn run(run: &Run, color: Color) -> Result<u8, Failure> {
    let started = Instant::now();
    let loaded = load(&run.files, &run.script)?;
    let by_stap = chosen(run)?;
    if !run.plan && by_stap.is_none() && loaded.has_sites() && loaded.diagnostics.is_empty() {
        engine::bpf::grace::begin();
    }
    let mut diagnostics = loaded.diagnostics;
    let mut waited = false;
    let (world, program, mut found) = loop {
        let world = LiveWorld::new(Settings::from_env()).looking_in(run.symbols.places());
        let (program, found) = check(&loaded.sources, &loaded.files, &world, &check::Settings { depth: run.depth });
        let waits = run.wait && !run.plan && diagnostics.is_empty() && only_containers_are_missing(&found);
        if !waits || super::blind(&mut found.clone(), &world).is_some() {
            break (world, program, found);
        }
        if !std::mem::replace(&mut waited, true) {
            let missing = found.iter().find(|diagnostic| diagnostic.code == Code::E0101);
            let missing = missing.map_or("", |diagnostic| &diagnostic.message);
            report::notice(&format!("{missing}: waiting for it (Ctrl-C ends)"));
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    let started = if waited { Instant::now() } else { started };
    diagnostics.append(&mut found);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span);
    if let Some(failure) = super::blind(&mut diagnostics, &world).filter(|_| !run.plan) {
        report::diagnostics(&loaded.sources, &diagnostics, color);
        return Err(failure);
    }
    let code = report::exit_code(&diagnostics);
    report::diagnostics(&loaded.sources, &diagnostics, color);
    let Some(program) = program.filter(|_| code == 0) else { return Ok(code) };
    if run.plan {
        let options = bpf::Options { returns: run.returns.wish(), ..bpf::Options::default() };
        let sessions = engine::bpf::sessions(&program, &options, run.uprobe.wish());
        let text = crate::plan::text(&program, run.attach == Attach::Process, sessions);
        let mut out = printer(run.out.as_deref())?;
        return match out.bytes(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::File { action: "write", path: "the plan".to_owned(), source: error })
            }
            Ok(()) | Err(_) => Ok(0),
        };
    }
    // In a container only the kernel tells which cgroup another one has, and only who may trace.
    let is_untold =
        |one: &&Container| one.kind == TargetKind::Container && one.cgroup.is_none() && one.boundary.is_none();
    let untold = program.containers.iter().find(is_untold);
    let missing = || privileges::missing_names().or_else(forbidden);
    if let (Some(container), Some(capability)) = (untold, untold.and_then(|_| missing())) {
        return Err(Failure::Privilege {
            action: format!("ask the kernel about {}", container.described()),
            capability,
        });
    }
    let session = Session {
        program: &program,
        sources: &loaded.sources,
        files: &loaded.files,
        world: &world,
        options: session::Options {
            started,
            duration: run.duration,
            events: run.events,
            depth: run.depth,
            follow: !run.no_follow,
            strlen: run.strlen,
            map_size: run.map_size,
            ring_size: run.ring_size,
            max_steps: run.max_steps,
            max_rate: run.max_rate,
            returns: run.returns.wish(),
            uprobes: run.uprobe.wish(),
            by_process: match run.attach {
                Attach::Auto | Attach::Inode => false,
                Attach::Process => true,
            },
            quiet: run.quiet,
            verbose: run.verbose,
            color,
            out: run.out.clone(),
        },
    };
    let output = match &run.out {
        None => Output::stdout(run.output),
        Some(path) => Output::file(run.output, path).map_err(|source| Failure::File {
            action: "write",
            path: path.clone(),
            source,
        })?,
    };
    match by_stap {
        Some(wish) if run.engine == EngineName::StapBpf => session.run_by_stap_bpf(output, &wish),
        Some(wish) => session.run_by_stap(output, &wish),
        None => session.run(output),
    }
}

/// What SystemTap is asked for, where it is what traces.
///
/// # Errors
/// [`Failure`] where neither engine can work on this machine.
fn chosen(run: &Run) -> Result<Option<stap::Wish>, Failure> {
    let cache = run.symbols.places().cache;
    let wish = stap::Wish {
        strlen: run.strlen,
        map_size: run.map_size,
        max_steps: run.max_steps,
        buffer: run.ring_size,
        keep: run.keep.then(|| PathBuf::from(".")),
        machine: stap::tools::Machine::from_env(run.build_tree.clone(), cache),
    };
    let refused = [
        (run.max_rate > 0, "--max-rate"),
        (run.uprobe != Uprobe::Auto, "--uprobe"),
        (run.returns != ReturnsBy::Auto, "--returns"),
        (run.attach == Attach::Process, "--attach process"),
    ];
    let refused = refused.into_iter().find_map(|(given, flag)| given.then_some(flag));
    if let (EngineName::Stap | EngineName::StapBpf, Some(flag)) = (run.engine, refused) {
        return Err(Failure::Environment {
            what: format!("{flag} is for ctp's own engine: SystemTap has no such thing"),
            help: Some("leave it out, or use --engine bpf".to_owned()),
        });
    }
    match run.engine {
        EngineName::Bpf => Ok(None),
        EngineName::Stap | EngineName::StapBpf => Ok(Some(wish)),
        EngineName::Auto => match doctor::without_bpf() {
            None => Ok(None),
            Some(lacks) => match stap::usable(&wish.machine) {
                Ok(()) => {
                    report::notice(&format!("the embedded engine cannot work here ({lacks}): SystemTap traces"));
                    Ok(Some(wish))
                }
                Err(failure) => Err(Failure::Kernel {
                    feature: format!("what ctp's own engine needs: {lacks}"),
                    needs: format!("boot a newer kernel; SystemTap cannot help either: {}", failure.message),
                }),
            },
        },
    }
}

/// What would let ctp ask the kernel about processes, where no capability is missing.
fn forbidden() -> Option<String> {
    let refused = |error: std::io::Error| matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    let asked = engine::bpf::tasks::of(std::process::id());
    asked.is_err_and(refused).then(|| "a seccomp profile that allows bpf(2)".to_owned())
}

fn printer(path: Option<&str>) -> Result<Printer, Failure> {
    match path {
        None => Ok(Printer::stdout()),
        Some(path) => {
            Printer::file(path).map_err(|source| Failure::File { action: "write", path: path.to_owned(), source })
        }
    }
}
