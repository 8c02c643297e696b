//! A program that was compiled for a test and runs in a cgroup of its own, as a container would.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ctp_lang::world::{Cgroup, Container, Runtime};
use object::{Object, ObjectSegment, ObjectSymbol};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) fn unique(what: &str) -> String {
    format!("ctp-t-{}-{what}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A compiled program.
pub(crate) struct Binary {
    folder: Option<PathBuf>,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    bytes: Vec<u8>,
}

impl Binary {
    /// Compiles C.
    pub(crate) fn c(source: &str, flags: &[&str]) -> Binary {
        let folder = std::env::temp_dir().join(unique("bin"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("t.c"), source).unwrap();
        let path = folder.join("t");
        let done =
            Command::new("gcc").args(flags).arg("-o").arg(&path).arg(folder.join("t.c")).arg("-lpthread").status();
        assert!(done.unwrap().success());
        Binary::open(Some(folder), path)
    }

    /// A program that is there.
    pub(crate) fn existing(path: PathBuf) -> Binary {
        Binary::open(None, path)
    }

    fn open(folder: Option<PathBuf>, path: PathBuf) -> Binary {
        let file = File::open(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        Binary { folder, path, file, bytes }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Link-time address and file offset of a function.
    pub(crate) fn function(&self, name: &str) -> (u64, u64) {
        let object = object::File::parse(self.bytes.as_slice()).unwrap();
        let address = object.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap().address();
        let segment = object
            .segments()
            .find(|segment| (segment.address()..segment.address() + segment.size()).contains(&address))
            .unwrap();
        (address, address - segment.address() + segment.file_range().0)
    }

    /// The function's first bytes in the file.
    pub(crate) fn code(&self, name: &str, length: usize) -> &[u8] {
        let at = usize::try_from(self.function(name).1).unwrap();
        &self.bytes[at..at + length]
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A cgroup of its own.
pub(crate) struct OwnCgroup {
    pub(crate) folder: PathBuf,
    name: String,
}

fn hierarchy() -> &'static Path {
    let unified = Path::new("/sys/fs/cgroup/unified");
    if unified.exists() { unified } else { Path::new("/sys/fs/cgroup") }
}

impl OwnCgroup {
    pub(crate) fn new(name: &str) -> OwnCgroup {
        let folder = hierarchy().join(unique(name));
        fs::create_dir(&folder).unwrap();
        OwnCgroup { folder, name: name.to_owned() }
    }

    /// As the runner would see it.
    pub(crate) fn container(&self) -> Container {
        let id = fs::metadata(&self.folder).unwrap().ino();
        Container {
            kind: Default::default(),
            id: format!("{id:064x}"),
            name: Some(self.name.clone()),
            runtime: Runtime::Unknown,
            image: None,
            image_digests: Vec::new(),
            labels: Vec::new(),
            pod: None,
            init_pid: 1,
            cgroup: Some(Cgroup { folder: self.folder.display().to_string(), id, level: 1 }),
            boundary: None,
            pid_level: 0,
        }
    }

    /// Starts a program in it; it waits for [`Running::go`] if it reads a line first.
    pub(crate) fn start(&self, binary: &Binary, arguments: &[&str]) -> Running {
        let procs = self.folder.join("cgroup.procs");
        let mut command = Command::new(&binary.path);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec only open, write and close are called.
        unsafe { command.pre_exec(move || fs::write(&procs, "0")) };
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running { child, output }
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A process under trace.
pub(crate) struct Running {
    pub(crate) child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Lets it go on.
    pub(crate) fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Its next line.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// All that it prints until it ends.
    pub(crate) fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let mut text = Vec::new();
        self.output.read_to_end(&mut text).unwrap();
        self.child.wait().unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
