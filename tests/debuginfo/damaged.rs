//! Damaged debug info, in every form: real files with bytes changed, cut off or filled in. Each is read to its end, and
//! gives what it gives or an error; none panics, hangs or takes memory for what it only claims.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctp_lang::debuginfo::facts::Register;
use ctp_lang::debuginfo::unwind::Registers;
use ctp_lang::debuginfo::{LineQuery, Module};
use ctp_lang::world::{Companion, Companions, Keep, Looked, Wanted};

use crate::build::{OnDisk, Program};
use crate::{files, formats, indexes};

/// How long files are damaged for, all forms together; `CTP_DAMAGE_SECONDS` says otherwise.
const BUDGET: u64 = 60;
/// Longest time of a processor that one file may take, all questions together.
const LONGEST: Duration = Duration::from_secs(1);
/// Bytes of a file of which all is asked: of larger ones (Go's) this would take most of the time.
const SMALL: usize = 1 << 20;
/// Most memory that the reading process may come to hold, in kB.
const MOST_MEMORY: u64 = 200_000;

/// Numbers that repeat from run to run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn damage(&mut self, whole: &[u8], sections: &[Range<usize>]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        // Most of a program is code, which says nothing of itself.
        if self.below(2) == 0 && !sections.is_empty() {
            let section = sections[self.below(sections.len())].clone();
            for _ in 0..1 + self.below(8) {
                let at = section.start + self.below(section.len());
                let value = [0x00, 0xff, 0x7f, 0x80, 0x01, self.next() as u8][self.below(6)];
                let size = (1 + self.below(4)).min(section.end - at);
                bytes[at..at + size].fill(value);
            }
            return bytes;
        }
        match self.below(4) {
            0 => bytes.truncate(self.below(whole.len())),
            1 => (0..40).for_each(|_| bytes[self.below(whole.len())] = self.next() as u8),
            2 => {
                // A run of one value in one place: huge counts, offsets out of bounds.
                let at = self.below(whole.len() - 16);
                let value = [0x00, 0xff, 0x7f, 0x80][self.below(4)];
                bytes[at..at + 1 + self.below(15)].fill(value);
            }
            _ => {
                // The headers of the last sections, debug info among them.
                let at = whole.len().saturating_sub(4096).max(64);
                for _ in 0..4 {
                    let at = at + self.below(whole.len() - at);
                    bytes[at] = self.next() as u8;
                }
            }
        }
        bytes
    }
}

/// A companion's bytes in the place of all that is asked for.
struct Instead(Vec<u8>);

impl Companions for Instead {
    fn look(&self, _: &Wanted<'_>, judge: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        let companion = Companion { path: "/damaged".to_owned(), bytes: Arc::new(self.0.clone()), keep: None };
        match judge(companion) {
            Ok(()) => Vec::new(),
            Err(why) => vec![Looked { place: "/damaged".to_owned(), refused: Some(why) }],
        }
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        None
    }
}

fn read_all(module: &Module, names: &[&str]) {
    for name in names {
        for function in module.functions(name).unwrap_or_default() {
            for variable in function.sites.iter().flat_map(|site| &site.variables) {
                let _ = variable.ty.map(|ty| module.ty(ty));
            }
        }
    }
    let _ = module.nearest_functions("widhts", 3);
    let _ = module.notes();
}

/// All else that is asked of a module.
fn read_more(module: &Module, names: &[&str]) {
    let addresses = addresses_of_some(module, names);
    for address in addresses {
        let _ = (module.line(address), module.at_address(address), module.source_line(address));
        let _ = module.whereabouts(address);
    }
    for (file, lines) in [("values.c", Some((1, 60))), ("damaged.*", Some((5, 9))), ("no.c", None)] {
        let _ = module.lines(&LineQuery { file: file.to_owned(), lines });
    }
    for mark in module.marks().unwrap_or_default().iter().take(5) {
        let _ = module.at_mark(mark);
    }
    for name in ["counter", "struct pair", "unsigned long", "no_such_name"] {
        let _ = (module.globals(name, None), module.named_type(name, None), module.enumerator(name, None));
    }
    let _ =
        (module.nearest_types("piar", 3), module.nearest_globals("cuonter", 3), module.nearest_enumerators("RDE", 3));
}

/// What is asked of a site once it is probed, for a few; their addresses.
fn addresses_of_some(module: &Module, names: &[&str]) -> Vec<u64> {
    let mut addresses = Vec::new();
    for name in names.iter().take(2) {
        for function in module.functions(name).unwrap_or_default().into_iter().take(3) {
            for site in function.sites.iter().take(3) {
                let _ = (module.exits(&function, site), module.frame(site), module.is_given(site));
                let _ =
                    (module.still_holds(site, Register(5)), module.is_go(site.entry), module.price(site.file_offset));
                addresses.push(site.address);
            }
        }
    }
    addresses
}

/// One real file, or a program with a further file, which is the one to be damaged; and what is asked of it.
struct Seed {
    program: PathBuf,
    further: Option<PathBuf>,
    names: &'static [&'static str],
}

impl Seed {
    fn damaged(&self) -> &Path {
        self.further.as_ref().unwrap_or(&self.program)
    }
}

/// Where debug info and names lie in a file.
fn places(path: &Path) -> Vec<Range<usize>> {
    let told = |name: &str| {
        let beginnings = [
            ".debug_",
            ".zdebug_",
            ".gdb_index",
            ".gnu_debug",
            ".symtab",
            ".strtab",
            ".gopclntab",
            ".eh_frame",
            ".note",
        ];
        beginnings.iter().any(|beginning| name.starts_with(beginning))
    };
    let sections = indexes::sections(path).into_iter().filter(|(name, _, size)| told(name) && *size > 0);
    sections.map(|(_, offset, size)| offset..offset + size).collect()
}

/// A Rust library and a Go program: other producers, other forms, other tables.
fn other_languages() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-damaged");
    std::fs::create_dir_all(&folder).unwrap();
    let rust = "#![no_std]\n\
        #[panic_handler] fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }\n\
        pub enum Shape { Square(u32), Round { radius: f32 }, None }\n\
        pub struct Pair<T> { pub first: T, pub second: Option<T> }\n\
        impl<T: Copy + Into<u64>> Pair<T> { #[inline(never)] pub fn sum(&self) -> u64 {\n\
            self.first.into() + self.second.map_or(0, Into::into) } }\n\
        #[inline(never)] fn helper(shape: &Shape, names: &[&str]) -> u32 { match shape {\n\
            Shape::Square(side) => *side + names.len() as u32, Shape::Round { radius } => *radius as u32, Shape::None => 7 } }\n\
        #[no_mangle] pub extern \"C\" fn widths(a: u8, b: u64) -> u64 {\n\
            let shape = if a > 3 { Shape::Square(b as u32) } else if a > 1 { Shape::Round { radius: 2.5 } } else { Shape::None };\n\
            Pair { first: a, second: Some(2) }.sum() + Pair { first: b, second: None }.sum() + u64::from(helper(&shape, &[\"x\"])) }\n";
    std::fs::write(folder.join("damaged.rs"), rust).unwrap();
    let go = "package main\n\
        type pair struct { first int; names []string; m map[string]int }\n\
        type shape interface { area() int }\n\
        type square int\n\
        func (s square) area() int { return int(s * s) }\n\
        //go:noinline\n\
        func widths(a uint8, p *pair, s shape) int { return int(a) + len(p.names) + s.area() }\n\
        func main() { println(widths(3, &pair{2, []string{\"x\"}, nil}, square(4))) }\n";
    std::fs::write(folder.join("damaged.go"), go).unwrap();
    let built = |program: &str, arguments: &[&str], name: &str| {
        let output = Command::new(program).args(arguments).current_dir(&folder).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        folder.join(name)
    };
    let seed = |program: PathBuf, names| Seed { program, further: None, names };
    let rustc = |level: &str, name: &str| {
        let level = format!("-Copt-level={level}");
        let flags = ["--crate-type=cdylib", "--edition=2021", "-Cpanic=abort", "-g", &level, "-o", name, "damaged.rs"];
        built("rustc", &flags, name)
    };
    let rust = &["widths", "damaged::helper", "*"];
    // A Go program holds the whole runtime.
    let go = &["main.widths", "main.*"];
    vec![
        seed(rustc("0", "rust-0.so"), rust),
        seed(rustc("2", "rust-2.so"), rust),
        seed(built("go", &["build", "-o", "go-packed", "damaged.go"], "go-packed"), go),
        seed(built("go", &["build", "-ldflags=-compressdwarf=false", "-o", "go-plain", "damaged.go"], "go-plain"), go),
        // Nothing but Go's own table names its functions.
        seed(built("go", &["build", "-ldflags=-s -w", "-o", "go-stripped", "damaged.go"], "go-stripped"), go),
    ]
}

/// Marks with arguments in all kinds of places, and a semaphore.
fn with_marks() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-damaged");
    let source = "#define _SDT_HAS_SEMAPHORES 1\n#include <sys/sdt.h>\n\
        unsigned short app_one_semaphore __attribute__((section(\".probes\"))); static int table[9]; int counter;\n\
        __attribute__((noinline)) long widths(long a, char *b, int c) {\n\
            STAP_PROBE4(app, one, a, b, table[c & 7], 5); STAP_PROBE1(app, one, counter); return a + *b; }\n\
        int main(int argc, char **argv) { return (int) widths(argc, argv[0], argc); }\n";
    std::fs::write(folder.join("marks.c"), source).unwrap();
    let mut gcc = Command::new("gcc");
    let output = gcc.args(["-O2", "-g", "-o", "marks", "marks.c"]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = folder.join("marks");
    assert_eq!(Module::open(Arc::new(OnDisk::open(&path))).unwrap().marks().unwrap().len(), 2);
    path
}

fn seeds() -> Vec<Seed> {
    const NAMES: &[&str] = &["widths", "helper", "*"];
    let plain: [(&str, &[&str]); 7] = [
        ("gcc", &["-O2", "-gdwarf-5"]),
        ("gcc", &["-O0", "-gdwarf-4"]),
        ("clang", &["-O2", "-gdwarf-5"]),
        ("gcc", &["-O2", "-g", "-gz=zlib"]),
        ("gcc", &["-O1", "-gdwarf-5", "-gdwarf64"]),
        ("gcc", &["-O1", "-gdwarf-4", "-fdebug-types-section"]),
        // Frames are described in `.debug_frame`.
        ("gcc", &["-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]),
    ];
    let mut seeds: Vec<Seed> = plain
        .iter()
        .map(|(compiler, flags)| Program::compile("damaged", compiler, flags, &["values.c"]))
        .map(|program| Seed { program: program.path, further: None, names: NAMES })
        .collect();
    seeds.extend(formats::seeds().into_iter().map(|(program, further)| Seed { program, further, names: NAMES }));
    seeds.extend(indexes::small().iter().map(|one| Seed { program: one.with.clone(), further: None, names: NAMES }));
    seeds.extend(other_languages());
    seeds.push(Seed { program: with_marks(), further: None, names: &["widths"] });
    // Large enough to be read in pieces.
    seeds.push(Seed { program: files::large(), further: None, names: &["widths"] });
    seeds
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The time that this thread has run on a processor: other work of the machine does not count.
pub(crate) fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn damaged_files_neither_panic_nor_hang() {
    let seeds = seeds();
    let whole: Vec<(Vec<u8>, Vec<Range<usize>>)> =
        seeds.iter().map(|seed| (std::fs::read(seed.damaged()).unwrap(), places(seed.damaged()))).collect();
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let budget = Duration::from_secs(setting("CTP_DAMAGE_SECONDS").unwrap_or(BUDGET));
    let mut numbers = Numbers(setting("CTP_DAMAGE_SEED").unwrap_or(1));
    let mut longest = (Duration::ZERO, String::new());
    let began = Instant::now();
    let before = peak();
    let mut rounds = 0;
    // Whatever the machine's speed, each form gets its share.
    while began.elapsed() < budget || rounds < 5 {
        rounds += 1;
        for (seed, (whole, sections)) in seeds.iter().zip(&whole) {
            let bytes = numbers.damage(whole, sections);
            let started = processor_time();
            let module = match &seed.further {
                None => Module::open(Arc::new(bytes)),
                Some(_) => {
                    let program = Arc::new(OnDisk::open(&seed.program));
                    Module::with_companions(program, "/app", Some(Arc::new(Instead(bytes))))
                }
            };
            if let Ok(module) = &module {
                read_all(module, seed.names);
            }
            let took = processor_time() - started;
            // Large ones are unpacked anew for each question: nothing is kept here.
            if let Some(module) = module.ok().filter(|_| seed.names.len() > 1 && whole.len() < SMALL) {
                read_more(&module, seed.names);
                let more = processor_time() - started - took;
                assert!(more < LONGEST * 2, "{} took {more:?} for more", seed.program.display());
            }
            if took > longest.0 {
                longest = (took, seed.program.display().to_string());
            }
            assert!(took < LONGEST, "{} took {took:?}", seed.program.display());
        }
    }
    println!("{rounds} rounds of {} files, {} kB more, {longest:?} at most", seeds.len(), peak() - before);
    assert!(peak() - before < MOST_MEMORY, "{} kB before, {} kB now", before, peak());
}

/// Descriptions of frames are followed at every call: whatever they say, a step ends, and so does naming what is there.
#[test]
fn damaged_frame_descriptions_neither_panic_nor_hang() {
    let program = Program::compile("frames", "gcc", &["-O2", "-g"], &["values.c"]);
    let whole = std::fs::read(&program.path).unwrap();
    let sections = program.shown_by("readelf", &["-SW"]);
    let line = sections.lines().find(|line| line.contains(" .eh_frame ")).unwrap();
    let fields: Vec<&str> = line.split_once(" .eh_frame ").unwrap().1.split_whitespace().collect();
    let hexadecimal = |at: usize| usize::from_str_radix(fields[at], 16).unwrap();
    let (offset, size) = (hexadecimal(2), hexadecimal(3));
    let mut addresses = Vec::new();
    let module = Module::open(Arc::new(whole.clone())).unwrap();
    for function in module.functions("*").unwrap() {
        addresses.extend(function.sites.iter().flat_map(|site| [site.address, site.address + 1, site.address + 9]));
    }
    let registers = Registers::all([0x7fff_0000; 16]);
    let steps = |module: &Module| {
        let step = |address: &u64| module.unwind(*address, 0x5555_0000, &registers, &|at| Some(at ^ 0x1234));
        addresses.iter().filter_map(|address| step(address).ok()).count()
    };
    assert!(steps(&module) > 10);
    let mut numbers = Numbers(2);
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) || rounds < 20 {
        rounds += 1;
        let mut bytes = whole.clone();
        for _ in 0..1 + numbers.below(30) {
            bytes[offset + numbers.below(size)] = numbers.next() as u8;
        }
        let started = processor_time();
        let module = Module::open(Arc::new(bytes)).unwrap();
        steps(&module);
        addresses.iter().for_each(|address| assert!(!module.whereabouts(*address).is_empty()));
        assert!(processor_time() - started < LONGEST);
    }
    println!("{rounds} rounds");
}

/// The header of the descriptions says where each is: what it says wrongly is found out, and changes no step.
#[test]
fn a_damaged_header_of_frame_descriptions_changes_no_step() {
    let program = Program::compile("header", "gcc", &["-O2", "-g"], &["values.c"]);
    let whole = std::fs::read(&program.path).unwrap();
    let sections = indexes::sections(&program.path);
    let (_, offset, size) = sections.into_iter().find(|(name, ..)| name == ".eh_frame_hdr").unwrap();
    let module = Module::open(Arc::new(whole.clone())).unwrap();
    let sites: Vec<_> = module.functions("*").unwrap().into_iter().flat_map(|function| function.sites).collect();
    let addresses: Vec<u64> = sites.iter().flat_map(|site| [site.address, site.address + 1, site.entry]).collect();
    let registers = Registers::all([0x7fff_0000; 16]);
    let steps = |module: &Module| -> Vec<_> {
        let step = |address: &u64| module.unwind(*address, 0x5555_0000, &registers, &|at| Some(at ^ 0x1234));
        addresses.iter().map(step).collect()
    };
    let right = steps(&module);
    assert!(right.iter().filter(|step| step.is_ok()).count() > 10);
    let mut numbers = Numbers(3);
    for round in 0..200 {
        let mut bytes = whole.clone();
        let header = &mut bytes[offset..offset + size];
        match round {
            0 => header.fill(0),
            1 => header.fill(0xff),
            // A table that is all one pair; one in the wrong order.
            2 => (20..size).for_each(|at| header[at] = header[at - 8]),
            3 => header[12..].as_chunks_mut::<8>().0.reverse(),
            _ => (0..1 + numbers.below(30)).for_each(|_| header[numbers.below(size)] = numbers.next() as u8),
        }
        assert_eq!(steps(&Module::open(Arc::new(bytes)).unwrap()), right, "{round}");
    }
}

/// What a small file claims to unpack to must not be believed.
#[test]
fn forged_sizes_cost_nothing() {
    let program = Program::compile("forged", "gcc", &["-O2", "-g", "-gz=zlib"], &["values.c"]);
    let whole = std::fs::read(&program.path).unwrap();
    // ELFCOMPRESS_ZLIB, reserved, and the size behind it: `Elf64_Chdr` of each compressed section.
    let mut places: Vec<usize> = Vec::new();
    for (at, window) in whole.windows(26).enumerate() {
        if window[..8] == [1, 0, 0, 0, 0, 0, 0, 0] && window[16..24] == [1, 0, 0, 0, 0, 0, 0, 0] && window[24] == 0x78 {
            places.push(at + 8);
        }
    }
    assert!(places.len() >= 3, "{places:?}");
    for size in [1u64 << 46, u64::MAX, 1 << 40, (1 << 30) - 1] {
        let mut bytes = whole.clone();
        for place in &places {
            bytes[*place..place + 8].copy_from_slice(&size.to_le_bytes());
        }
        let before = peak();
        let started = processor_time();
        let module = Module::open(Arc::new(bytes)).unwrap();
        let error = module.functions("widths").unwrap_err().to_string();
        assert!(error.contains("section .debug_"), "{error}");
        assert!(processor_time() - started < LONGEST && peak() - before < MOST_MEMORY);
    }
}
