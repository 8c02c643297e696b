//! Owns attaching by perf events, one for each address: what kernels before 6.6 have instead of `uprobe_multi` links.
//! Slower to attach and very slow to detach; the hits are the same.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use super::facts::kernel_version;
use super::sys::{self, Kind};

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Uprobes {
    /// By `uprobe_multi` links where the kernel has them, else by perf events.
    #[default]
    Auto,
    /// By `uprobe_multi` links.
    Multi,
    /// By perf events.
    Perf,
}

impl Uprobes {
    /// What is meant on this kernel: never `Auto`.
    pub(super) fn here(self) -> Uprobes {
        match self {
            Uprobes::Auto if kernel_version().is_some_and(|version| version < (6, 6)) => Uprobes::Perf,
            Uprobes::Auto | Uprobes::Multi => Uprobes::Multi,
            Uprobes::Perf => Uprobes::Perf,
        }
    }

    /// What programs are loaded as; `session` where they see returns too.
    pub(super) fn kind(self, session: bool) -> Kind {
        match self.here() {
            Uprobes::Auto | Uprobes::Multi if session => Kind::UprobeSession,
            Uprobes::Auto | Uprobes::Multi => Kind::Uprobe,
            Uprobes::Perf => Kind::UprobeEvent,
        }
    }

    /// Attaches a program, by sessions or not, at offsets of a file, each with its cookie and the offset of its semaphore (0
    /// for none); in all processes that execute it, or in one.
    pub(super) fn attach(
        self,
        (program, session): (BorrowedFd<'_>, bool),
        pid: Option<u32>,
        path: &CStr,
        offsets: &[u64],
        cookies: &[u64],
        semaphores: &[u64],
    ) -> io::Result<Vec<OwnedFd>> {
        match self.here() {
            Uprobes::Auto | Uprobes::Multi => {
                sys::link_uprobes((program, session), pid, path, offsets, cookies, semaphores).map(|link| vec![link])
            }
            Uprobes::Perf if pid.is_some() || session => Err(io::ErrorKind::Unsupported.into()),
            Uprobes::Perf => link(program, path, offsets, cookies, semaphores),
        }
    }
}

/// The kernel's number for perf events of this kind.
fn event_type() -> io::Result<u32> {
    static TYPE: OnceLock<Option<u32>> = OnceLock::new();
    let read = || std::fs::read_to_string("/sys/bus/event_source/devices/uprobe/type").ok()?.trim().parse().ok();
    TYPE.get_or_init(read).ok_or_else(|| {
        io::Error::new(io::ErrorKind::Unsupported, "/sys/bus/event_source/devices/uprobe/type is not there")
    })
}

fn link(
    program: BorrowedFd<'_>,
    path: &CStr,
    offsets: &[u64],
    cookies: &[u64],
    semaphores: &[u64],
) -> io::Result<Vec<OwnedFd>> {
    let event_type = event_type()?;
    let semaphores = semaphores.iter().copied().chain(std::iter::repeat(0));
    offsets
        .iter()
        .zip(cookies)
        .zip(semaphores)
        .map(|((offset, cookie), semaphore)| {
            let event = sys::open_uprobe_event(event_type, path, *offset, semaphore)?;
            // The link holds the event.
            sys::link_perf_event(program, event.as_fd(), *cookie)
        })
        .collect()
}

/// Lets this process have as many descriptors as it may: one for each file of each container, or for each address.
pub fn raise_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it stays as it is, attaching says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
