//! Compiles the small programs of these tests, each variant under its own name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ctp_lang::debuginfo::Module;
use ctp_lang::world::{ReadAt, ReadError};

/// A compiled program.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
}

/// One way to compile: compiler and flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) compiler: &'static str,
    pub(crate) flags: &'static [&'static str],
}

/// gcc and clang, without optimisation and with, DWARF 4 and 5.
pub(crate) const VARIANTS: [Variant; 10] = [
    Variant { compiler: "gcc", flags: &["-O0", "-gdwarf-4"] },
    Variant { compiler: "gcc", flags: &["-O0", "-gdwarf-5"] },
    Variant { compiler: "gcc", flags: &["-O2", "-gdwarf-4"] },
    Variant { compiler: "gcc", flags: &["-O2", "-gdwarf-5"] },
    // Functions begin with `endbr64`, which a probe passes over.
    Variant { compiler: "gcc", flags: &["-O2", "-gdwarf-5", "-fcf-protection"] },
    Variant { compiler: "clang", flags: &["-O0", "-gdwarf-4"] },
    Variant { compiler: "clang", flags: &["-O0", "-gdwarf-5"] },
    Variant { compiler: "clang", flags: &["-O2", "-gdwarf-4"] },
    Variant { compiler: "clang", flags: &["-O2", "-gdwarf-5"] },
    Variant { compiler: "clang", flags: &["-O2", "-gdwarf-5", "-fcf-protection"] },
];

impl Program {
    /// Compiles `sources` (under `tests/debuginfo/c`) as `name`.
    pub(crate) fn compile(name: &str, compiler: &str, flags: &[&str], sources: &[&str]) -> Program {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo");
        std::fs::create_dir_all(&folder).unwrap();
        let label: String = flags.iter().flat_map(|flag| flag.chars()).filter(|c| c.is_ascii_alphanumeric()).collect();
        let path = folder.join(format!("{name}-{compiler}-{label}"));
        let sources =
            sources.iter().map(|source| Path::new(env!("CARGO_MANIFEST_DIR")).join("debuginfo/c").join(source));
        let output = Command::new(compiler).args(flags).arg("-o").arg(&path).args(sources).output().unwrap();
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
        Program { path }
    }

    /// Opens it as ctp does.
    pub(crate) fn module(&self) -> Module {
        Module::open(Arc::new(OnDisk::open(&self.path))).unwrap()
    }

    /// What a tool prints about it.
    pub(crate) fn shown_by(&self, tool: &str, arguments: &[&str]) -> String {
        let output = Command::new(tool).args(arguments).arg(&self.path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A file read by position.
pub(crate) struct OnDisk {
    file: std::fs::File,
    size: u64,
}

impl OnDisk {
    pub(crate) fn open(path: &Path) -> OnDisk {
        let file = std::fs::File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        OnDisk { file, size }
    }
}

impl ReadAt for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, offset)
            .map_err(|error| ReadError { offset, reason: error.to_string() })
    }

    /// Two at the same time, from the last to the first: what is read may not depend on that.
    fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let left = AtomicUsize::new(parts);
        let work = || {
            while let Ok(left) = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
                part(left - 1);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    }
}
