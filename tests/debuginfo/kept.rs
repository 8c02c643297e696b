//! What is kept of packed debug info for the next time: it spares time and changes no answer, whatever becomes of it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// A large program, packed, for one test.
fn packed(flag: &str, test: &str) -> Kept {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debuginfo-kept-{test}"));
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
    let kept = packed("zlib", "again");
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
    let kept = packed("zlib", "names");
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

/// Numbers that repeat from run to run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Damages a file where it lies: bytes changed, a stretch filled in, cut off, made longer, or gone.
fn damage(path: &Path, whole: &[u8], numbers: &mut Numbers) {
    let file = File::options().write(true).open(path).unwrap();
    // The end says what the rest is: damaged as often as all of that.
    let somewhere = |numbers: &mut Numbers| match numbers.below(2) {
        0 => numbers.below(whole.len()),
        _ => whole.len() - 1 - numbers.below(whole.len().min(4096)),
    };
    match numbers.below(8) {
        0 => file.set_len(numbers.below(whole.len()) as u64).unwrap(),
        1 => file.set_len((whole.len() + 1 + numbers.below(9000)) as u64).unwrap(),
        2 => std::fs::remove_file(path).unwrap(),
        3 | 4 => {
            let at = numbers.below(whole.len());
            let size = (1 + numbers.below(100_000)).min(whole.len() - at);
            file.write_all_at(&vec![[0x00, 0xff][numbers.below(2)]; size], at as u64).unwrap();
        }
        _ => {
            for _ in 0..1 + numbers.below(6) {
                let at = somewhere(numbers);
                file.write_all_at(&[numbers.below(256) as u8], at as u64).unwrap();
            }
        }
    }
}

/// Whatever becomes of the entries of the cache, nothing panics, and what is found is what the file itself says. How long
/// it goes on, `CTP_DAMAGE_SECONDS` says (a tenth of that), and in which order, `CTP_DAMAGE_SEED`.
#[test]
fn damage_to_what_is_kept_changes_no_answer() {
    let plain = Module::open(Arc::new(OnDisk::open(Path::new(PYTHON)))).unwrap();
    let names = ["PyObject_GetAttr", "initialized", "_PyEval_EvalFrameDefault", "no_such_function"];
    let answers: Vec<_> = names.iter().map(|name| plain.functions(name).unwrap()).collect();
    let global = plain.globals("PyLong_Type", None).unwrap();
    assert!(!answers[0].is_empty() && answers[3].is_empty() && !global.is_empty());
    let kept = packed("zstd", "damaged");
    let same = |round: usize| {
        let module = kept.open();
        for (name, answer) in names.iter().zip(&answers) {
            assert_eq!(&module.functions(name).unwrap(), answer, "{name}, round {round}");
        }
        assert_eq!(module.globals("PyLong_Type", None).unwrap(), global, "round {round}");
    };
    same(0);
    let listed = std::fs::read_dir(kept.cache.join("unpacked")).unwrap();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 3 && kept.names().is_some_and(|names| paths.contains(&names)), "{paths:?}");
    let wholes: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let budget = Duration::from_secs(setting("CTP_DAMAGE_SECONDS").unwrap_or(60)) / 10;
    let mut numbers = Numbers(setting("CTP_DAMAGE_SEED").unwrap_or(1));
    let (began, mut rounds, mut noticed) = (Instant::now(), 0, 0);
    while began.elapsed() < budget || rounds < 10 {
        rounds += 1;
        let mut damaged = Vec::new();
        for _ in 0..1 + numbers.below(3) {
            let one = numbers.below(paths.len());
            if !damaged.contains(&one) {
                damage(&paths[one], &wholes[one], &mut numbers);
                damaged.push(one);
            }
        }
        let before: Vec<_> = damaged.iter().map(|one| std::fs::read(&paths[*one]).ok()).collect();
        same(rounds);
        // Thrown away and mostly made anew, or the damage was where nobody looked: put right for the next round.
        for (one, before) in damaged.iter().zip(before) {
            let now = std::fs::read(&paths[*one]).ok();
            noticed += usize::from(now != before);
            if now.as_ref() != Some(&wholes[*one]) {
                std::fs::write(&paths[*one], &wholes[*one]).unwrap();
            }
        }
    }
    println!("{rounds} rounds, {noticed} damaged entries thrown away");
    assert!(noticed > 0);
    let _ = std::fs::remove_dir_all(kept.path.parent().unwrap());
}
