//! Owns reading `/proc`: one pass over the cgroups of all processes, and a hold on one process that no reuse of its
//! pid can redirect. Never says what a cgroup means.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use procfs::FromRead as _;

/// A process by pid and start time, so that another one that got its pid later is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Pid in the pid namespace of this process' `/proc`.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub start: u64,
}

impl Process {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// As opening or reading `/proc/PID/stat` fails: `NotFound` where there is none.
    pub fn of(pid: u32) -> io::Result<Process> {
        Ok(Process { pid, start: ProcessDir::open(pid)?.start()? })
    }

    /// Its folder in `/proc`, held open.
    ///
    /// # Errors
    /// `NotFound` where the process has ended, also when its pid has a new owner.
    pub fn dir(self) -> io::Result<ProcessDir> {
        let dir = ProcessDir::open(self.pid)?;
        if dir.start()? == self.start { Ok(dir) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// How long ago it started, to 10 ms; `None` where that cannot be told.
    pub fn age(self) -> Option<std::time::Duration> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
        let start = std::time::Duration::from_millis(self.start.checked_mul(1000 / procfs::ticks_per_second().max(1))?);
        std::time::Duration::from(now).checked_sub(start)
    }

    /// Whether some thread of it still runs, be it that the first has ended (pthread_exit(3) in `main`).
    pub fn lives(self) -> bool {
        let dead = |stat: &procfs::process::Stat| matches!(stat.state, 'Z' | 'X' | 'x') && stat.num_threads < 2;
        self.dir().and_then(|dir| dir.stat()).is_ok_and(|stat| !dead(&stat))
    }

    /// Whether it still runs; a zombie counts as ended.
    pub fn runs(self) -> bool {
        self.dir().and_then(|dir| dir.stat()).is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))
    }
}

/// `/proc/PID`, opened: look-ups in it fail with `ESRCH` once that process has ended, whoever has its pid then.
#[derive(Debug)]
pub struct ProcessDir(OwnedFd);

impl ProcessDir {
    /// Opens the folder of whichever process has the pid now.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub fn open(pid: u32) -> io::Result<ProcessDir> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(ProcessDir(nix::fcntl::open(format!("/proc/{pid}").as_str(), flags, Mode::empty())?))
    }

    /// Reads a file of it, at most 1 MiB.
    ///
    /// # Errors
    /// As opening or reading fails.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = File::from(openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?);
        let mut bytes = Vec::with_capacity(4096);
        file.take(1 << 20).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a file of it that may be large, at most 64 MiB.
    ///
    /// # Errors
    /// As opening or reading fails.
    pub fn read_whole(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = File::from(openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?);
        let mut bytes = Vec::new();
        file.take(64 << 20).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// `/proc/PID/stat`, parsed.
    ///
    /// # Errors
    /// As reading fails, or `InvalidData`.
    pub fn stat(&self) -> io::Result<procfs::process::Stat> {
        procfs::process::Stat::from_read(self.read("stat")?.as_slice()).map_err(io::Error::other)
    }

    /// Start time in clock ticks since boot.
    ///
    /// # Errors
    /// As [`ProcessDir::stat`].
    pub fn start(&self) -> io::Result<u64> {
        Ok(self.stat()?.starttime)
    }

    /// The process it belongs to: itself, or the one it is a thread of (`Tgid` of `/proc/PID/status`).
    ///
    /// # Errors
    /// As reading fails, or `InvalidData`.
    pub fn leader(&self) -> io::Result<u32> {
        let status = self.read("status")?;
        let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"));
        let text = line.map(|line| String::from_utf8_lossy(line).trim().to_owned());
        text.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Its pid in each pid namespace from this `/proc`'s inwards (`NSpid` of `/proc/PID/status`, since Linux 4.1).
    ///
    /// # Errors
    /// As reading fails.
    pub fn ns_pids(&self) -> io::Result<Vec<u32>> {
        Ok(ns_pids(&self.read("status")?))
    }
}

impl AsFd for ProcessDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The numbers of the `NSpid:` line. Read as bytes: `Name:` may hold bytes that are not UTF-8, at the process' choice
/// (the kernel escapes newlines in it, so no other line can be forged).
fn ns_pids(status: &[u8]) -> Vec<u32> {
    let Some(line) = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"NSpid:")) else {
        return Vec::new();
    };
    String::from_utf8_lossy(line).split_whitespace().map_while(|pid| pid.parse().ok()).collect()
}

/// Calls `each` with the pid and the bytes of `/proc/PID/cgroup` of every process there is; one that ends meanwhile is
/// left out. The pids come in the order of `/proc` (ascending).
///
/// # Errors
/// Where `/proc` itself cannot be read.
pub fn for_each_cgroup(mut each: impl FnMut(u32, &[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(mut file) = File::open(format!("/proc/{pid}/cgroup")) else { continue };
        if let Ok(bytes) = read_record(&mut file, &mut buffer) {
            each(pid, bytes);
        }
    }
    Ok(())
}

/// Reads a file that the kernel writes as one record: unless it fills the buffer, one read(2) gets all of it
/// (fs/seq_file.c), and with thousands of processes a second one to see the end counts.
fn read_record<'a>(file: &mut File, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    let mut length = file.read(buffer)?;
    while length == buffer.len() && length < 1 << 20 {
        buffer.resize(2 * length, 0);
        length += file.read(buffer.get_mut(length..).unwrap_or_default())?;
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ns_pids_of_a_process_with_a_hostile_name() {
        // As fs/proc/array.c writes it: newline and backslash of the name escaped, all other bytes raw.
        let status = b"Name:\t\xff\x1b\\nNSpid:\\t1\nUmask:\t0022\nNSpid:\t4772\t12\t1\nKthread:\t0\n";
        assert_eq!(ns_pids(status), [4772, 12, 1]);
    }

    #[test]
    fn a_record_longer_than_the_buffer_is_read_whole() {
        let path = std::env::temp_dir().join(format!("ctp-record-{}", std::process::id()));
        let content: Vec<u8> = (0..100_u8).cycle().take(50).collect();
        std::fs::write(&path, &content).unwrap();
        let mut buffer = vec![0; 16];
        assert_eq!(read_record(&mut File::open(&path).unwrap(), &mut buffer).unwrap(), content);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn this_process_runs_and_one_of_another_start_time_does_not() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.runs());
        let other = Process { start: me.start.wrapping_sub(1), ..me };
        assert!(!other.runs());
        assert_eq!(other.dir().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
