//! Many containers of one image: their program is one file, whose debug info is read once. Where a container has debug
//! info of its own it is read for that container alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ctp_lang::check::{self, check};
use ctp_lang::ir::{ContainerIndex, Program as Checked};
use ctp_lang::source::Sources;
use ctp_lang::syntax::parse;
use ctp_lang::world::{
    Companion, Companions, Container, FileId, Keep, ListError, Looked, OpenError, Opened, Place, ReadAt, ReadError,
    Wanted, World,
};
use ctp_tests::world::Machine;

use crate::build::{OnDisk, Program};

/// One for both of two files: what makes the one the other's debug info.
const BUILD_ID: &str = "-Wl,--build-id=0x0123456789abcdef";

const CONTAINERS: [&str; 5] = ["web-0", "web-1", "web-2", "web-3", "web-4"];

/// Containers with one file, each of which has it under a number of its own.
struct Replicas {
    machine: Machine,
    program: PathBuf,
    /// Reads of the file, by container.
    reads: Vec<Arc<AtomicUsize>>,
    /// Whether the machine knows that it is one inode.
    known: bool,
    /// Debug info that is in a container of its own, by the container's name.
    own: HashMap<&'static str, PathBuf>,
}

struct Counted(OnDisk, Arc<AtomicUsize>);

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(offset, buf)
    }
}

/// What a container has besides, at one path.
struct Beside {
    own: Option<PathBuf>,
    absent: Mutex<Option<Vec<String>>>,
}

impl Companions for Beside {
    fn look(&self, _: &Wanted<'_>, judge: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        let mut absent = self.absent.lock().unwrap();
        match &self.own {
            Some(path) => {
                *absent = None;
                let bytes = Arc::new(OnDisk::open(path));
                judge(Companion { path: "/usr/lib/debug/app".to_owned(), bytes, keep: None }).unwrap();
                Vec::new()
            }
            None => {
                absent.as_mut().unwrap().push("/usr/lib/debug/app".to_owned());
                vec![Looked { place: "/usr/lib/debug/app".to_owned(), refused: None }]
            }
        }
    }
    fn keep(&self) -> Option<Arc<dyn Keep>> {
        None
    }
    fn absent(&self) -> Option<Vec<String>> {
        self.absent.lock().unwrap().clone()
    }
    fn lacks(&self, paths: &[String]) -> bool {
        assert!(paths.iter().all(|path| path == "/usr/lib/debug/app"), "{paths:?}");
        paths.is_empty() || self.own.is_none()
    }
}

impl Replicas {
    fn new(program: &Path, known: bool) -> Replicas {
        let machine = Machine::new(&CONTAINERS, &[("/app/x", program)]);
        let reads = CONTAINERS.map(|_| Arc::default()).to_vec();
        Replicas { machine, program: program.to_owned(), reads, known, own: HashMap::new() }
    }

    fn reads(&self) -> Vec<usize> {
        self.reads.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn number(container: &Container) -> usize {
        CONTAINERS.iter().position(|name| container.name.as_deref() == Some(name)).unwrap()
    }

    /// The program that two probes make, which mean some and all of the containers.
    fn checked(&self) -> Checked {
        let text = "probe container(\"web-[0-2]\"):/app/x.fn(\"widths\") { println(pid()) }\n\
                    probe container(\"web-*\"):/app/x.fn(\"widths\") { println(tid()) }";
        let mut sources = Sources::default();
        let source = sources.add("test.ctp", text);
        let (file, problems) = parse(source, text);
        assert!(problems.is_empty(), "{problems:?}");
        let (program, said) = check(&sources, &[file], self, &check::Settings::default());
        program.unwrap_or_else(|| panic!("{said:#?}"))
    }
}

impl World for Replicas {
    fn containers(&self) -> Result<Arc<[Container]>, ListError> {
        self.machine.containers()
    }
    fn listing_notes(&self) -> Vec<String> {
        Vec::new()
    }
    fn open(&self, container: &Container, place: &Place) -> Result<Opened, OpenError> {
        let number = Replicas::number(container);
        let opened = self.machine.open(container, place)?;
        let bytes = Arc::new(Counted(OnDisk::open(&self.program), Arc::clone(&self.reads[number])));
        Ok(Opened { file: FileId(u32::try_from(number).unwrap()), bytes, ..opened })
    }
    fn same_inodes(&self, files: &[FileId]) -> Vec<FileId> {
        if self.known { vec![files[0]; files.len()] } else { files.to_vec() }
    }
    fn companions(&self, container: &Container, _: &Opened) -> Option<Arc<dyn Companions>> {
        let own = self.own.get(CONTAINERS[Replicas::number(container)]).cloned();
        Some(Arc::new(Beside { own, absent: Mutex::new(Some(Vec::new())) }))
    }
}

/// The containers of each site of a probe, with the file's number.
fn sites(program: &Checked, probe: u32) -> Vec<(u32, Vec<ContainerIndex>)> {
    let own = program.sites().filter(|(index, _)| index.0 == probe);
    own.map(|(_, site)| (program.file(site.file).unwrap().id.0, site.containers.to_vec())).collect()
}

#[test]
fn one_file_is_read_once_however_many_containers_have_it() {
    let program = Program::compile("replicas", "gcc", &["-g"], &["values.c"]);
    let each = |count: u32| (0..count).map(|n| (n, vec![ContainerIndex(n)])).collect::<Vec<_>>();

    let apart = Replicas::new(&program.path, false);
    let one_by_one = apart.checked();
    let reads = apart.reads();
    assert!(reads.iter().all(|count| *count > 10), "{reads:?}");

    let together = Replicas::new(&program.path, true);
    let checked = together.checked();
    let reads = together.reads();
    assert!(reads[0] > 10 && reads[1..] == [0; 4], "{reads:?}");

    // What is probed is the same: each container by its own descriptor, with the build that it has.
    for probe in [0, 1] {
        let count = if probe == 0 { 3 } else { 5 };
        assert_eq!((sites(&checked, probe), sites(&one_by_one, probe)), (each(count), each(count)));
    }
    let addresses = |program: &Checked| program.sites().map(|(_, site)| site.address).collect::<Vec<_>>();
    assert_eq!(addresses(&checked), addresses(&one_by_one));
    let build = program.module().build_id().cloned();
    assert!(checked.files.len() == 5 && checked.files.iter().all(|file| file.build_id == build));
}

/// What one container says of the program holds for no other.
#[test]
fn debug_info_of_a_containers_own_is_that_containers_alone() {
    let program = Program::compile("replicas-own", "gcc", &["-g"], &["values.c"]);
    let with_debug = program.path.with_extension("debug");
    std::fs::copy(&program.path, &with_debug).unwrap();
    let stripped = std::process::Command::new("strip").arg(&program.path).output().unwrap();
    assert!(stripped.status.success(), "{stripped:?}");

    // All have it: none stands for another.
    let mut all = Replicas::new(&program.path, true);
    all.own = CONTAINERS.map(|name| (name, with_debug.clone())).into();
    all.checked();
    let reads = all.reads();
    assert!(reads.iter().all(|count| *count > 10), "{reads:?}");

    // Two of five have it, be it the first or others: one of those that have none is read for them all.
    let symbols = Program::compile("replicas-symbols", "gcc", &["-g0", BUILD_ID], &["values.c"]);
    let debug = Program::compile("replicas-symbols", "gcc", &["-g", BUILD_ID], &["values.c"]);
    for (own, read) in
        [(["web-0", "web-3"], [true, true, false, true, false]), (["web-2", "web-4"], [true, false, true, false, true])]
    {
        let mut some = Replicas::new(&symbols.path, true);
        some.own = own.map(|name| (name, debug.path.clone())).into();
        some.checked();
        assert_eq!(some.reads().iter().map(|count| *count > 0).collect::<Vec<_>>(), read, "{own:?}");
    }
}
