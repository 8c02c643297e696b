//! Owns what every input is held to: no panic, its second, its memory. What breaks that is saved and named.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Processor time one input may take where the build is optimised.
const LONGEST: Duration = Duration::from_secs(1);
/// When an input is taken to hang.
const HANGS: Duration = Duration::from_secs(60);
/// Memory one input may take, in kilobytes.
const MOST_MEMORY: u64 = 200 << 10;

/// Runs inputs and judges them.
pub(crate) struct Guard {
    folder: PathBuf,
    seed: u64,
    longest: Duration,
    began: Arc<AtomicU64>,
    current: Arc<Mutex<PathBuf>>,
    start: Instant,
    /// What went wrong.
    pub(crate) failures: Vec<String>,
    /// How many inputs were run.
    pub(crate) inputs: u64,
    /// The slowest of them, and which it was.
    pub(crate) slowest: (Duration, String),
    /// The most memory that one took, in kilobytes.
    pub(crate) largest: u64,
}

impl Guard {
    pub(crate) fn new(folder: &Path, seed: u64) -> Guard {
        std::fs::create_dir_all(folder).expect("a folder for what fails");
        let optimised =
            !std::env::current_exe().is_ok_and(|exe| exe.components().any(|part| part.as_os_str() == "debug"));
        let guard = Guard {
            folder: folder.to_owned(),
            seed,
            // Ten times that where the compiler did nothing for it.
            longest: if optimised { LONGEST } else { LONGEST * 10 },
            began: Arc::new(AtomicU64::new(0)),
            current: Arc::new(Mutex::new(PathBuf::new())),
            start: Instant::now(),
            failures: Vec::new(),
            inputs: 0,
            slowest: (Duration::ZERO, String::new()),
            largest: 0,
        };
        guard.watch();
        guard
    }

    /// Ends the process when an input hangs: a thread cannot be stopped.
    fn watch(&self) {
        let (began, current, start) = (Arc::clone(&self.began), Arc::clone(&self.current), self.start);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(500));
                let began = began.load(Ordering::SeqCst);
                if began > 0 && start.elapsed() > Duration::from_millis(began) + HANGS {
                    eprintln!("HANGS: {}", current.lock().map(|path| path.display().to_string()).unwrap_or_default());
                    std::process::exit(1);
                }
            }
        });
    }

    /// Runs one input. `test` gives what it found wrong.
    pub(crate) fn hold(
        &mut self,
        what: &str,
        index: u64,
        input: &[u8],
        test: impl FnOnce(&[u8]) -> Result<(), String>,
    ) {
        // On the disk before it runs: a stack that overflows leaves no time.
        let path = self.folder.join(format!("{what}-running.ctp"));
        std::fs::write(&path, input).expect("the input is kept");
        *self.current.lock().expect("the watch does not panic") = path.clone();
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(1).max(1);
        self.began.store(now, Ordering::SeqCst);
        let before = resident();
        let clock = thread_time();
        let done = catch_unwind(AssertUnwindSafe(|| test(input)));
        let took = thread_time() - clock;
        let memory = peak().saturating_sub(before);
        self.began.store(0, Ordering::SeqCst);
        self.inputs += 1;
        if took > self.slowest.0 {
            let begins: String = String::from_utf8_lossy(input).chars().take(60).collect();
            self.slowest = (took, format!("{what} {index}, which begins {begins:?}"));
        }
        self.largest = self.largest.max(memory);
        let wrong = match done {
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Some(format!("panics: {}", said.unwrap_or_default()))
            }
            Ok(Err(wrong)) => Some(wrong),
            Ok(Ok(())) if took > self.longest => Some(format!("takes {took:?}")),
            Ok(Ok(())) if memory > MOST_MEMORY => Some(format!("takes {memory} kB")),
            Ok(Ok(())) => None,
        };
        if let Some(wrong) = wrong {
            let kept = self.folder.join(format!("{what}-{}-{index}.ctp", self.seed));
            std::fs::write(&kept, input).expect("what fails is kept");
            let shown: String = String::from_utf8_lossy(input).chars().take(400).collect();
            let failure = format!(
                "{what}, seed {}, input {index} ({} bytes) {wrong}\n  kept as {}\n{shown}\n",
                self.seed,
                input.len(),
                kept.display()
            );
            eprintln!("{failure}");
            self.failures.push(failure);
        }
    }
}

fn thread_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread's clock"))
}

/// A number of `/proc/self/status`, in kilobytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("its own status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Memory in use now; from here on the peak counts anew.
fn resident() -> u64 {
    // `5` sets the peak back to what is in use (Documentation/filesystems/proc.rst, since Linux 4.0).
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak is set back");
    status("VmRSS")
}

fn peak() -> u64 {
    status("VmHWM")
}
