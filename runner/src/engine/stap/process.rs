//! Owns the processes of SystemTap that ctp starts: each ends when ctp does, whatever ends ctp.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

/// Starts a program in a process group of its own (Ctrl-C on the terminal is ctp's to pass on), which is ended when
/// this thread ends (by SIGTERM: SIGINT may be one that ctp was told to ignore, and staprun takes both alike).
///
/// # Errors
/// As starting it fails.
pub(super) fn start(command: &mut Command) -> std::io::Result<Child> {
    let parent = nix::unistd::getpid();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let prepare = move || {
        // ctp takes signals from a descriptor and so blocks them; a child would inherit that.
        SigSet::all().thread_unblock()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
        // Where ctp ended before that, there is nobody to wait for.
        if nix::unistd::getppid() == parent { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only sigprocmask, prctl and getppid are called, which are async-signal-safe; no
    // memory is allocated and no lock taken.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Sends a signal to a child and all it started.
pub(super) fn signal(child: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended.
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

/// Waits until a child has ended, at most so long.
pub(super) fn wait(child: &mut Child, most: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + most;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a program that was waited for said.
pub(super) struct Ended {
    /// Whether it succeeded.
    pub(super) ok: bool,
    /// Its standard output.
    pub(super) out: String,
    /// Its standard error.
    pub(super) err: String,
}

/// Runs a program to its end, handing over each line of its standard error as it comes; `None` where a signal came first:
/// the program was ended then.
///
/// # Errors
/// As starting it or reading from it fails.
pub(super) fn run(
    command: &mut Command,
    signals: &SignalFd,
    heard: &mut dyn FnMut(&str),
) -> std::io::Result<Option<Ended>> {
    let mut child = start(command)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut lines = 0;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::ErrorKind::BrokenPipe.into());
    };
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut wanted = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            // One that was closed would be ready for ever.
            PollFd::new(if out_open { stdout.as_fd() } else { stderr.as_fd() }, PollFlags::POLLIN),
            PollFd::new(if err_open { stderr.as_fd() } else { stdout.as_fd() }, PollFlags::POLLIN),
        ];
        match poll(&mut wanted, PollTimeout::from(100u16)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| wanted.get(at).is_some_and(|fd| fd.any() == Some(true));
        let (from_signals, from_out, from_err) = (ready(0), ready(1), ready(2));
        if from_signals && matches!(signals.read_signal(), Ok(Some(_))) {
            signal(&child, Signal::SIGTERM);
            if wait(&mut child, Duration::from_secs(5))?.is_none() {
                signal(&child, Signal::SIGKILL);
                child.wait()?;
            }
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        if from_out && out_open {
            let count = stdout.read(&mut buffer)?;
            out.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
            out_open = count > 0;
        }
        if from_err && err_open {
            let count = stderr.read(&mut buffer)?;
            err.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
            err_open = count > 0;
            while let Some(length) =
                err.get(lines..).and_then(|rest: &[u8]| rest.iter().position(|byte| *byte == b'\n'))
            {
                heard(&String::from_utf8_lossy(err.get(lines..lines + length).unwrap_or(&[])));
                lines += length + 1;
            }
        } else if !from_out {
            heard("");
        }
    }
    let ok = child.wait()?.success();
    Ok(Some(Ended {
        ok,
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    }))
}
