//! Owns hiding a wait of the kernel's: the first uprobe that is registered waits for a grace period of RCU (the write
//! side of `dup_mmap_sem` in kernel/events/uprobes.c, some 10 ms), those soon after it do not. Registering one where no
//! process can run it, while ctp still finds containers and checks, takes that wait off the way to the real ones.
//! Nothing depends on it: where it fails, attaching takes as long as it takes.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::sys::{self, Kind};

/// `r0 = 0; exit`
const NOTHING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Begins the grace period in a thread of its own.
pub fn begin() {
    // The thread takes no signal: those are the session's.
    let mut before = SigSet::empty();
    if pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).is_err() {
        return;
    }
    let spawned = std::thread::Builder::new().stack_size(128 << 10).spawn(|| drop(register()));
    drop(spawned);
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
}

/// A uprobe on a file in memory that nobody maps.
fn register() -> std::io::Result<()> {
    let file = memfd_create("ctp", MFdFlags::MFD_CLOEXEC)?;
    nix::unistd::ftruncate(&file, 4096)?;
    let program = sys::load_program(Kind::Uprobe, "ctp_grace", &NOTHING, None)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    drop(sys::link_uprobes(program.as_fd(), &path, &[0], &[0])?);
    Ok(())
}
