//! Owns hiding a wait of the kernel's: the first uprobe that is registered waits for a grace period of RCU (the write
//! side of `dup_mmap_sem` in kernel/events/uprobes.c, some 10 ms), those soon after it do not. Registering one where no
//! process can run it, while ctp still finds containers and checks, takes that wait off the way to the real ones.
//! Nothing depends on it: where it fails, attaching takes as long as it takes. The same wait at the other end says when
//! no handler is at work any more.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::perf::Uprobes;
use super::sys;

/// `r0 = 0; exit`
pub(super) const NOTHING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Begins the grace period in a thread of its own.
pub fn begin() {
    in_thread(|| drop(register()));
}

/// Runs something in a thread that takes no signal.
pub(super) fn in_thread(work: impl FnOnce() + Send + 'static) {
    // The thread takes no signal: those are the session's.
    let mut before = SigSet::empty();
    if pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).is_err() {
        return;
    }
    let spawned = std::thread::Builder::new().stack_size(128 << 10).spawn(work);
    drop(spawned);
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
}

/// What the kernel refused in a trial.
#[derive(Debug)]
pub enum Refused {
    /// A file to try on.
    Setup(io::Error),
    /// Loading a program.
    Load(io::Error),
    /// Attaching it.
    Attach(io::Error),
}

/// Loads and attaches a program where it can never run: what tracing needs, tried.
///
/// # Errors
/// [`Refused`].
pub fn try_out() -> Result<(), Refused> {
    register()
}

/// Waits until no handler is at work that began before, at most `most`; whether that is so. Detaching a sleepable
/// program from a uprobe waits for all such programs (`uprobe_unregister_sync`, Linux 6.12). A handler that a target makes
/// wait for a page holds nobody up for longer than that.
pub(super) fn wait(most: std::time::Duration) -> bool {
    let (sender, receiver) = std::sync::mpsc::channel();
    in_thread(move || {
        let done = register().is_ok();
        // Nobody waits any more where the time was over.
        let _ = sender.send(done);
    });
    receiver.recv_timeout(most).unwrap_or(false)
}

/// A uprobe on a file in memory that nobody maps.
fn register() -> Result<(), Refused> {
    let setup = |error: nix::Error| Refused::Setup(error.into());
    let file = memfd_create("ctp", MFdFlags::MFD_CLOEXEC).map_err(setup)?;
    nix::unistd::ftruncate(&file, 4096).map_err(setup)?;
    let uprobes = Uprobes::Auto;
    let program = sys::load_program(uprobes.kind(false), "ctp_grace", &NOTHING, None).map_err(Refused::Load)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|e| Refused::Setup(e.into()))?;
    drop(uprobes.attach((program.as_fd(), false), None, &path, &[0], &[0], &[]).map_err(Refused::Attach)?);
    Ok(())
}
