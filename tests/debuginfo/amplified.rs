//! Small files in which much refers to the same bytes: names into one long text, functions to one list, units to one
//! table. What they cost follows the bytes that are there, and not how often these are pointed at.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ctp_lang::debuginfo::{LineQuery, Module, Place};
use ctp_lang::world::{ReadAt, ReadError};

use crate::build::OnDisk;
use crate::damaged::processor_time;

const MIB: usize = 1 << 20;

/// Assembles a library.
fn assemble(name: &str, source: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-amplified");
    std::fs::create_dir_all(&folder).unwrap();
    let (path, library) = (folder.join(format!("{name}.s")), folder.join(format!("{name}.so")));
    std::fs::write(&path, source).unwrap();
    let output = Command::new("gcc").args(["-shared", "-nostdlib", "-o"]).args([&library, &path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

fn open(path: &Path) -> Module {
    Module::open(Arc::new(OnDisk::open(path))).unwrap()
}

/// What is asked ends soon, also where this build is not optimised (which makes it ten times as slow), and on a machine
/// that does other things. Without bounds each of these takes a minute at least.
fn soon<T>(what: &str, question: impl FnOnce() -> T) -> T {
    let started = processor_time();
    let answer = question();
    let took = processor_time() - started;
    println!("{what}: {took:?}");
    assert!(took.as_secs() < 10, "{what} took {took:?}");
    answer
}

/// A unit of DWARF 4 whose abbreviations are at an offset, with what stands in it; all that is not `code` is written as
/// it is.
fn unit(abbreviations: &str, entries: &str) -> String {
    format!(
        ".section .debug_info,\"\",@progbits\n\
         .long 2f - 1f\n1: .short 4\n.long {abbreviations}\n.byte 8\n{entries}\n2:\n"
    )
}

/// Abbreviation 1: a unit with language, addresses and children.
const UNIT: &str = ".uleb128 1, 0x11\n.byte 1\n.uleb128 0x11, 0x01, 0x12, 0x07, 0, 0\n";

fn code(bytes: usize) -> String {
    format!(".text\n.globl code\n.type code,@function\ncode: .fill {bytes}, 1, 0x90\nret\n.size code, . - code\n")
}

#[test]
fn sections_that_share_one_long_name() {
    // Elf64_Ehdr, 60,000 Elf64_Shdr, and a name that ends where all of them end.
    let count = 60_000usize;
    let mut bytes = std::fs::read(assemble("sections", &code(16))).unwrap();
    let table = bytes.len().next_multiple_of(8);
    bytes.resize(table + count * 64, 0);
    let names = bytes.len();
    bytes.extend(vec![b'a'; 8 * MIB]);
    bytes.push(0);
    for index in 0..count {
        let header = &mut bytes[table + index * 64..][..64];
        header[..4].copy_from_slice(&u32::try_from(index).unwrap().to_le_bytes());
        header[4] = 3;
        header[24..32].copy_from_slice(&(names as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(8 * MIB as u64 + 1).to_le_bytes());
    }
    bytes[40..48].copy_from_slice(&(table as u64).to_le_bytes());
    bytes[60..62].copy_from_slice(&u16::try_from(count).unwrap().to_le_bytes());
    bytes[62..64].copy_from_slice(&1u16.to_le_bytes());
    let module = soon("names of sections", || Module::open(Arc::new(bytes)));
    assert!(module.unwrap().functions("code").is_ok());
}

#[test]
fn notes_that_are_all_the_same_bytes() {
    struct Counted(Vec<u8>, AtomicU64);
    impl ReadAt for Counted {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
            self.0.read_at(offset, buf)
        }
    }
    let count = 60_000usize;
    let mut bytes = std::fs::read(assemble("notes", &code(16))).unwrap();
    let table = bytes.len().next_multiple_of(8);
    bytes.resize(table + count * 64, 0);
    // Notes of 12 bytes without name and contents.
    let notes = bytes.len();
    bytes.extend(vec![0; MIB]);
    for index in 0..count {
        let header = &mut bytes[table + index * 64..][..64];
        header[4] = 7;
        header[24..32].copy_from_slice(&(notes as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(MIB as u64).to_le_bytes());
    }
    bytes[40..48].copy_from_slice(&(table as u64).to_le_bytes());
    bytes[60..62].copy_from_slice(&u16::try_from(count).unwrap().to_le_bytes());
    bytes[62..64].fill(0);
    // No segment of notes, that is: nothing else has a build id.
    bytes[56..58].fill(0);
    let counted = Arc::new(Counted(bytes, AtomicU64::new(0)));
    let reads = Arc::clone(&counted);
    assert_eq!(Module::open(counted).unwrap().build_id(), None);
    let read = reads.1.load(Ordering::Relaxed);
    assert!(read < 64 * MIB as u64, "{read} bytes read");
}

/// A file and zeros behind it, up to a size; the bytes that were read.
struct Sparse(Vec<u8>, u64, AtomicU64);

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.2.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.fill(0);
        if let Some(there) = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)) {
            let size = there.len().min(buf.len());
            buf[..size].copy_from_slice(&there[..size]);
        }
        Ok(())
    }
}

/// Where a file says that a section begins, and how many bytes it has behind that; and where it begins.
fn place_of(path: &Path, bytes: &[u8], section: &str) -> (usize, u64) {
    let (_, offset, size) = crate::indexes::sections(path).into_iter().find(|(name, ..)| name == section).unwrap();
    let place = [(offset as u64).to_le_bytes(), (size as u64).to_le_bytes()].concat();
    (bytes.windows(16).position(|window| window == place).unwrap(), offset as u64)
}

fn sparse_unit() -> String {
    let abbreviations = format!(".section .debug_abbrev,\"\",@progbits\n{UNIT}.byte 0\n");
    code(16) + &abbreviations + &unit("0", ".uleb128 1\n.quad code\n.quad 16\n.byte 0")
}

/// A section of a terabyte in a file that has none of it.
#[test]
fn a_plain_section_of_a_sparse_file() {
    for section in [".debug_info", ".debug_abbrev", ".shstrtab", ".symtab", ".strtab"] {
        let path = assemble(&format!("plain-{}", &section[1..]), &sparse_unit());
        let mut bytes = std::fs::read(&path).unwrap();
        let (at, offset) = place_of(&path, &bytes, section);
        let whole = 1u64 << 40;
        bytes[at + 8..at + 16].copy_from_slice(&(whole - offset).to_le_bytes());
        if section == ".debug_info" {
            // One unit (DWARF64) that has all of it: length, version, abbreviations, bytes of an address.
            let length = (whole - offset - 12).to_le_bytes();
            let header = [&[0xff; 4][..], &length, &[4, 0], &[0; 8], &[8]].concat();
            let start = usize::try_from(offset).unwrap();
            bytes[start..start + header.len()].copy_from_slice(&header);
        }
        let sparse = Arc::new(Sparse(bytes, whole, AtomicU64::new(0)));
        let reads = Arc::clone(&sparse);
        let found = soon(section, || Module::open(sparse).and_then(|module| module.functions("code")));
        println!("{section}: {:?}", found.map(|found| found.len()));
        let read = reads.2.load(Ordering::Relaxed);
        assert!(read < 16 * MIB as u64, "{section}: {read} bytes read");
    }
}

/// A compressed section into whose packed bytes nearly nothing is packed: what lies behind the stream is read as well.
#[test]
fn a_packed_section_of_a_sparse_file() {
    // What is small is not packed.
    let path = assemble("sparse", &(sparse_unit() + ".fill 100000\n"));
    let packed = path.with_extension("packed");
    let status = Command::new("objcopy").arg("--compress-debug-sections=zlib").args([&path, &packed]).status();
    assert!(status.unwrap().success());
    let mut bytes = std::fs::read(&packed).unwrap();
    let (at, offset) = place_of(&packed, &bytes, ".debug_info");
    let whole = 1u64 << 32;
    bytes[at + 8..at + 16].copy_from_slice(&(whole - offset).to_le_bytes());
    let sparse = Arc::new(Sparse(bytes, whole, AtomicU64::new(0)));
    let reads = Arc::clone(&sparse);
    let error = Module::open(sparse).unwrap().functions("code").unwrap_err().to_string();
    assert!(error.contains("section .debug_info has 4294"), "{error}");
    let read = reads.2.load(Ordering::Relaxed);
    assert!(read < 16 * MIB as u64, "{read} bytes read");
}

/// A file whose symbols are replaced by others: in the place of `.symtab` and `.strtab`, which lie behind all else.
fn with_symbols(name: &str, symbols: &[(u32, u8, u64, u64)], strings: &[u8]) -> Vec<u8> {
    let path = assemble(name, &(code(64) + ".globl another\n.type another,@function\nanother: ret\n"));
    let mut bytes = std::fs::read(&path).unwrap();
    let long =
        |bytes: &[u8], at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let (headers, count) = (long(&bytes, 40), usize::from(u16::from_le_bytes(bytes[60..62].try_into().unwrap())));
    let table = bytes.len().next_multiple_of(8);
    bytes.resize(table, 0);
    for (name, kind, address, size) in symbols {
        bytes.extend(name.to_le_bytes());
        // Kind, visibility, a section that is defined.
        bytes.extend([*kind, 0, 1, 0]);
        bytes.extend(address.to_le_bytes());
        bytes.extend(size.to_le_bytes());
    }
    let texts = bytes.len();
    bytes.extend(strings);
    for header in (0..count).map(|index| headers + index * 64) {
        let (kind, own) = (bytes[header + 4], long(&bytes, header + 24));
        let is_strings = kind == 3 && own > 0 && {
            // The section names are the file's last table of strings, `.strtab` comes before.
            header != headers + (count - 1) * 64 && bytes[header + 8] & 2 == 0
        };
        let (at, size) = match kind {
            2 => (table, texts - table),
            3 if is_strings => (texts, strings.len()),
            _ => continue,
        };
        bytes[header + 24..header + 32].copy_from_slice(&(at as u64).to_le_bytes());
        bytes[header + 32..header + 40].copy_from_slice(&(size as u64).to_le_bytes());
    }
    bytes
}

#[test]
fn symbols_whose_names_are_one_text() {
    let mut strings = vec![b'a'; 16 * MIB];
    strings.extend(b"b\0");
    let symbols: Vec<_> = (0..20_000u32).map(|at| (at, 0x12, 0x1000, 16)).collect();
    let last = [(u32::try_from(16 * MIB).unwrap(), 0x12, 0x1000, 16)];
    let bytes = with_symbols("symbols", &[&symbols[..], &last].concat(), &strings);
    let module = Module::open(Arc::new(bytes)).unwrap();
    assert_eq!(soon("names of symbols", || module.functions("aaaa").unwrap()).len(), 0);
    assert_eq!(soon("the last name", || module.functions("b").unwrap()).len(), 1);
}

#[test]
fn marks_that_each_name_a_symbol_of_many() {
    let notes: String = (0..8_000)
        .map(|number| {
            format!(
                ".balign 4\n.long 8, 2f-1f, 3\n.asciz \"stapsdt\"\n1: .quad code, 0, 0\n.asciz \"p\", \"m\", \"8@v{number}\"\n2:\n"
            )
        })
        .collect();
    let variables: String = (0..8_000).rev().map(|number| format!("v{number} = data + {number}\n")).collect();
    let data = format!(".data\ndata: .fill 8000\n{variables}");
    let source = format!("{}{data}.section .note.stapsdt,\"\",@note\n{notes}", code(16));
    let path = assemble("marks", &source);
    let marks = soon("marks", || open(&path).marks().unwrap());
    assert_eq!(marks.len(), 8_000);
    // As nm has them.
    let listed = String::from_utf8(Command::new("nm").arg(&path).output().unwrap().stdout).unwrap();
    let address = |name: &str| {
        let line = listed.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
    };
    for number in [0, 4_321, 7_999] {
        let expected = format!("ModuleAddress({})", address(&format!("v{number}")));
        let found = format!("{:?}", marks[number].arguments[0].location);
        assert!(found.contains(&expected), "{found}, {expected}");
    }
}

#[test]
fn units_whose_abbreviations_lie_in_each_other() {
    let table: String = (0..60_000).map(|_| ".byte 2, 0x24, 0, 0x0b, 0x0b, 0x3e, 0x0b, 0, 0\n").collect();
    let source = format!(".section .debug_abbrev,\"\",@progbits\n{table}.byte 0\n");
    // Codes of one table may stand there once only: each is another.
    let mut code_number = 1;
    let source: String = source
        .lines()
        .map(|line| match line.strip_prefix(".byte 2,") {
            Some(rest) => {
                code_number += 1;
                format!(".uleb128 {code_number}\n.byte {rest}\n")
            }
            None => format!("{line}\n"),
        })
        .collect();
    let units: String = (0..20_000).map(|_| unit("0", ".uleb128 2\n.byte 4, 5")).collect();
    let same = assemble("abbreviations", &(code(16) + &source + &units));
    // Each at another declaration: the first ones are of 9 bytes.
    let units: String = (0..120)
        .map(|number| unit(&(number * 9).to_string(), &format!(".uleb128 {}\n.byte 4, 5", number + 2)).repeat(150))
        .collect();
    let apart = assemble("abbreviations-apart", &(code(16) + &source + &units));
    for path in [same, apart] {
        let _ = soon("abbreviations", || open(&path).functions("*").map(|found| found.len()));
    }
}

#[test]
fn functions_that_name_one_text_one_list_and_the_same_code() {
    // 0x2e: a function with name (strp), addresses, and children; 5: a parameter with name (string) and a list.
    let abbreviations = format!(
        ".section .debug_abbrev,\"\",@progbits\n{UNIT}\
         .uleb128 2, 0x2e\n.byte 1\n.uleb128 0x03, 0x0e, 0x11, 0x01, 0x12, 0x07, 0, 0\n\
         .uleb128 3, 0x05\n.byte 0\n.uleb128 0x03, 0x08, 0x02, 0x17, 0, 0\n\
         .uleb128 4, 0x2e\n.byte 0\n.uleb128 0x03, 0x0e, 0x11, 0x01, 0x55, 0x17, 0, 0\n.byte 0\n"
    );
    let with = |entries: &str| unit("0", &format!(".uleb128 1\n.quad code\n.quad 0x200000\n{entries}.byte 0"));

    // Names: 20,000 functions, each one byte further into a text of 8 MiB.
    let text = format!(".section .debug_str,\"\",@progbits\n.fill {}, 1, 'a'\n.byte 0\n", 8 * MIB);
    let entries: String =
        (0..20_000).map(|at| format!(".uleb128 2\n.long {at}\n.quad code\n.quad 16\n.byte 0\n")).collect();
    let path = assemble("texts", &(code(2 * MIB) + &abbreviations + &text + &with(&entries)));
    let found = soon("names of functions", || open(&path).functions("a*").map(|found| found.len()));
    println!("{found:?}");

    let text = ".section .debug_str,\"\",@progbits\n.asciz \"f\"\n";
    // Code: 5,000 functions of the same 2 MiB.
    let entries = ".uleb128 2\n.long 0\n.quad code\n.quad 0x200000\n.byte 0\n".repeat(5_000);
    let path = assemble("code", &(code(2 * MIB) + &abbreviations + text + &with(&entries)));
    let error = soon("code", || open(&path).functions("f").unwrap_err().to_string());
    assert!(error.contains("steps to answer one question"), "{error}");

    // A location list of 50,000 entries that cover nothing that is asked for, for 1,000 parameters in each of 50 functions.
    let list: String = (0..50_000)
        .map(|at| format!(".quad {}, {}\n.short 1\n.byte 0x50\n", at * 2 + 0x10_0000, at * 2 + 0x10_0001))
        .collect();
    let lists = format!(".section .debug_loc,\"\",@progbits\n{list}.quad 0, 0\n");
    let parameters = ".uleb128 3\n.asciz \"p\"\n.long 0\n".repeat(1_000);
    let entries = format!(".uleb128 2\n.long 0\n.quad code\n.quad 16\n{parameters}.byte 0\n").repeat(50);
    let path = assemble("lists", &(code(2 * MIB) + &abbreviations + text + &lists + &with(&entries)));
    let error = soon("lists", || open(&path).functions("f").map(|found| found.len()));
    println!("{error:?}");

    // A list of 16,000 ranges, for 30,000 functions.
    let ranges: String = (0..16_000).map(|at| format!(".quad {}, {}\n", at * 2, at * 2 + 1)).collect();
    let ranges = format!(".section .debug_ranges,\"\",@progbits\n{ranges}.quad 0, 0\n");
    let entries = ".uleb128 4\n.long 0\n.quad code\n.long 0\n".repeat(30_000);
    let path = assemble("ranges", &(code(2 * MIB) + &abbreviations + text + &ranges + &with(&entries)));
    let error = soon("ranges", || open(&path).functions("f").map(|found| found.len()));
    println!("{error:?}");
}

#[test]
fn units_with_one_line_table() {
    let abbreviations = ".section .debug_abbrev,\"\",@progbits\n\
         .uleb128 1, 0x11\n.byte 0\n.uleb128 0x10, 0x17, 0x11, 0x01, 0x12, 0x07, 0, 0\n.byte 0\n";
    // DWARF 4, 6.2.4: a header with one file, a row for each special opcode (address and line grow by one each).
    let lines = ".section .debug_line,\"\",@progbits\n.long 2f - 1f\n1: .short 4\n.long 4f - 3f\n\
         3: .byte 1, 1, 1, 0, 1, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1\n.byte 0\n.asciz \"a.c\"\n.byte 0, 0, 0, 0\n\
         4: .byte 0, 9, 2\n.quad code\n.fill 200000, 1, 15\n.byte 0, 1, 1\n2:\n";
    let units = unit("0", ".uleb128 1\n.long 0\n.quad code\n.quad 16").repeat(20_000);
    let path = assemble("lines", &(code(MIB) + abbreviations + lines + &units));
    // There are such lines, and the table is one that can be read.
    let shown = Command::new("readelf").args(["--debug-dump=decodedline"]).arg(&path).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&shown).contains("a.c"), "{}", String::from_utf8_lossy(&shown));
    for file in ["a.c", "b.c"] {
        let query = LineQuery { file: file.to_owned(), lines: Some((1, 1)) };
        let answer = soon(file, || open(&path).lines(&query).map(|lines| lines.functions.len()));
        assert!(file == "b.c" || answer.is_err_and(|error| error.to_string().contains("steps to answer one question")));
    }
}

#[test]
fn symbols_of_thunks_of_one_function() {
    let source = "struct A { virtual void f(); }; struct B { virtual void f(); int b; };\n\
        struct C : A, B { void f() override; }; volatile int x; void C::f() { x = 1; }\n";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-amplified");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("thunks.cc"), source).unwrap();
    let aliases: String = (1..40_000).map(|at| format!(".globl _ZThn{at}_N1C1fEv\n.type _ZThn{at}_N1C1fEv,@function\n_ZThn{at}_N1C1fEv = fill + {at}\n.size _ZThn{at}_N1C1fEv, 1\n")).collect();
    std::fs::write(folder.join("thunks.s"), format!(".text\nfill: .fill 40000, 1, 0x90\nret\n{aliases}")).unwrap();
    let shell = "g++ -g -O2 -shared -fPIC -fno-asynchronous-unwind-tables -c thunks.cc -o thunks.o && objcopy --strip-symbol=_ZThn8_N1C1fEv -L _ZThn8_N1C1fEv thunks.o thunks-2.o; g++ -c thunks.s -o thunks-s.o && g++ -shared -Wl,-z,muldefs -o thunks.so thunks.o thunks-s.o";
    let output = Command::new("bash").args(["-c", shell]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = soon("thunks", || open(&folder.join("thunks.so")).functions("C::f").unwrap());
    assert_eq!(found.len(), 1);
}

/// Whether the function of that name, which only symbols name, is known to make its result.
fn gives(module: &Module, name: &str) -> bool {
    let function = module.functions(name).unwrap().into_iter().next().unwrap();
    module.gives(&function, &function.sites[0], Place::First)
}

/// Functions each of which calls the next one two thousand times, and none of which writes a register.
#[test]
fn functions_that_call_each_other_often() {
    let mut source = ".text\n.globl code\n.type code,@function\ncode: .cfi_startproc\ncall f0\nmov %eax,(%rsp)\nret\n\
                      .cfi_endproc\n.size code, . - code\n"
        .to_owned();
    for number in 0..8 {
        let next = number + 1;
        let calls = if number < 7 { format!(".rept 2000\ncall f{next}\n.endr\n") } else { String::new() };
        source += &format!(
            ".type f{number},@function\nf{number}: .cfi_startproc\n{calls}nop\nret\n.cfi_endproc\n\
             .size f{number}, . - f{number}\n"
        );
    }
    let module = open(&assemble("calls", &source));
    assert!(!soon("who writes a result", || gives(&module, "f0")));
}

/// Code and data of a terabyte in a file that has none of it.
#[test]
fn code_of_a_sparse_file() {
    let source = code(16)
        + ".type own,@function\nown: .cfi_startproc\ncall code\nret\n.cfi_endproc\n.size own, . - own\n.data\n.quad own\n";
    for section in [".text", ".data"] {
        let path = assemble(&format!("code-{}", &section[1..]), &source);
        let mut bytes = std::fs::read(&path).unwrap();
        let (at, offset) = place_of(&path, &bytes, section);
        let whole = 1u64 << 40;
        bytes[at + 8..at + 16].copy_from_slice(&(whole - offset - (1 << 32)).to_le_bytes());
        // The same for segments, 56 bytes each behind the header: how much of them is in the file.
        for segment in 0..usize::from(bytes[56]) {
            let size = 64 + segment * 56 + 32;
            bytes[size..size + 8].copy_from_slice(&(1u64 << 39).to_le_bytes());
        }
        let sparse = Arc::new(Sparse(bytes, whole, AtomicU64::new(0)));
        let reads = Arc::clone(&sparse);
        let module = Module::open(sparse).unwrap();
        soon(section, || gives(&module, "own"));
        let read = reads.2.load(Ordering::Relaxed);
        assert!(read < 16 * MIB as u64, "{section}: {read} bytes read");
    }
}
