//! What is kept of packed debug info for the next time: it spares time and changes no answer, whatever becomes of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ctp::symbols::{Places, keep_of};
use ctp_lang::debuginfo::Module;
use ctp_lang::world::{Companion, Companions, Keep, Keeping, Looked, ReadAt, ReadError, Wanted};
use object::{Object as _, ObjectSection as _};

use crate::build::OnDisk;

/// Keeps as the runner does, and counts the bytes that are read of `.debug_info`.
struct Counting {
    keep: Arc<dyn Keep>,
    read: Arc<AtomicU64>,
}

struct Counted(Arc<dyn ReadAt>, Arc<AtomicU64>);

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.0.read_at(offset, buf)
    }
}

impl Keep for Counting {
    fn kept(&self, section: &str, size: u64, packed: &mut dyn std::io::Read) -> Option<Arc<dyn ReadAt>> {
        let kept = self.keep.kept(section, size, packed)?;
        Some(if section == ".debug_info" { Arc::new(Counted(kept, Arc::clone(&self.read))) } else { kept })
    }

    fn begin(&self, section: &str, size: u64) -> Option<Box<dyn Keeping>> {
        self.keep.begin(section, size)
    }

    fn digest(&self, section: &str) -> Option<Vec<u8>> {
        self.keep.digest(section)
    }
}

struct Kept {
    path: PathBuf,
    cache: PathBuf,
    read: Arc<AtomicU64>,
}

impl Companions for Kept {
    fn look(&self, _: &Wanted<'_>, _: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        Vec::new()
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        let places = Places { cache: Some(self.cache.clone()), ..Places::default() };
        Some(Arc::new(Counting { keep: keep_of(&self.path, &places)?, read: Arc::clone(&self.read) }))
    }
}

impl Kept {
    /// A run of ctp: it opens the file anew.
    fn open(&self) -> Module {
        let companions = Kept { path: self.path.clone(), cache: self.cache.clone(), read: Arc::clone(&self.read) };
        Module::with_companions(Arc::new(OnDisk::open(&self.path)), "", Some(Arc::new(companions))).unwrap()
    }

    /// The entry of the cache in which the names are.
    fn names(&self) -> Option<PathBuf> {
        let listed = std::fs::read_dir(self.cache.join("unpacked")).unwrap();
        let mut paths = listed.map(|entry| entry.unwrap().path());
        paths.find(|path| path.to_string_lossy().contains(".debug_info.names"))
    }
}

const PYTHON: &str = "/usr/bin/python3.11d";

/// A large program, packed.
fn packed(flag: &str) -> Kept {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debuginfo-kept-{flag}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("python");
    let packing = format!("--compress-debug-sections={flag}");
    assert!(Command::new("objcopy").arg(packing).arg(PYTHON).arg(&path).status().unwrap().success());
    Kept { path, cache: folder.join("cache"), read: Arc::default() }
}

/// Functions from all over the program, by nm.
fn functions(every: usize) -> Vec<String> {
    let listed = Command::new("nm").args(["--defined-only", PYTHON]).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let functions = listed.lines().filter_map(|line| line.split_once(" T ").or_else(|| line.split_once(" t ")));
    functions.map(|(_, name)| name.to_owned()).step_by(every).collect()
}

/// Holds what is found of every so manieth function against each other; how many have variables.
fn same(one: &Module, other: &Module, every: usize) -> usize {
    let mut found = 0;
    for name in functions(every) {
        let (one, other) = (one.functions(&name).unwrap(), other.functions(&name).unwrap());
        found += usize::from(one.iter().any(|function| function.sites.iter().any(|site| !site.variables.is_empty())));
        assert_eq!(one, other, "{name}");
    }
    found
}

fn same_of_others(one: &Module, other: &Module) {
    for name in ["PyObject", "struct _ts", "enum _framestate", "no_such_type"] {
        assert_eq!(one.named_type(name, None), other.named_type(name, None), "{name}");
    }
    assert!(one.named_type("PyObject", None).unwrap().is_some());
    for name in ["PyLong_Type", "initialized", "no_such_variable"] {
        assert_eq!(one.globals(name, None).unwrap(), other.globals(name, None).unwrap(), "{name}");
    }
    assert!(!one.globals("PyLong_Type", None).unwrap().is_empty());
    for name in ["FRAME_CREATED", "NO_SUCH_ENUMERATOR"] {
        assert_eq!(one.enumerator(name, None), other.enumerator(name, None), "{name}");
    }
    assert!(one.enumerator("FRAME_CREATED", None).unwrap().is_some());
}

#[test]
fn the_second_time_little_is_read_and_the_same_is_found() {
    let plain = Module::open(Arc::new(OnDisk::open(Path::new(PYTHON)))).unwrap();
    let kept = packed("zlib");
    let size = {
        let bytes = std::fs::read(PYTHON).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        file.section_by_name(".debug_info").unwrap().size()
    };
    assert_eq!(kept.open().functions("PyObject_GetAttr"), plain.functions("PyObject_GetAttr"));
    assert!(kept.names().is_some());
    kept.read.store(0, Ordering::Relaxed);
    assert_eq!(kept.open().functions("PyObject_SetAttr"), plain.functions("PyObject_SetAttr"));
    let read = kept.read.load(Ordering::Relaxed);
    // All of it was read before there were names beside it.
    assert!(read > 0 && read < size / 3, "{read} of {size}");
    assert!(same(&kept.open(), &plain, 257) > 2);
    same_of_others(&kept.open(), &plain);
}

#[test]
fn names_that_are_damaged_or_gone_hide_nothing() {
    let plain = Module::open(Arc::new(OnDisk::open(Path::new(PYTHON)))).unwrap();
    let kept = packed("zlib");
    drop(kept.open().functions("main").unwrap());
    let names = kept.names().unwrap();
    let whole = std::fs::read(&names).unwrap();
    for round in 0..5usize {
        let mut bytes = whole.clone();
        match round {
            0 => bytes.clear(),
            1 => bytes.truncate(whole.len() / 2),
            2 => bytes.fill(0),
            _ => {
                // All bits of some filters: with them nothing would be found there.
                let at = (round - 3) * whole.len() / 2;
                bytes[at..at + whole.len() / 3].fill(0);
            }
        }
        std::fs::write(&names, &bytes).unwrap();
        same(&kept.open(), &plain, 1999);
        assert!(std::fs::read(&names).is_ok_and(|now| now != bytes) || !names.exists(), "{round}");
        drop(kept.open().functions("main").unwrap());
        assert_eq!(std::fs::read(&names).unwrap(), whole, "made anew, {round}");
    }
}
