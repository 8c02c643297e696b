//! Owns the bounds that keep a hostile file from costing more than it should: every size, count, depth and number of
//! steps in this folder is checked against one of these before memory is taken or time is spent.

use super::facts::DebugError;

/// Most section headers read (real files stay below 100; `-ffunction-sections` objects below 100,000).
pub(super) const MAX_SECTIONS: u64 = 65_536;
/// Most bytes of the names of sections, and longest one that is read (objects with a section for each function have long
/// ones, which nobody looks for).
pub(super) const MAX_SECTION_NAMES: u64 = 32 << 20;
pub(super) const MAX_SECTION_NAME: usize = 255;
/// Most program headers read.
pub(super) const MAX_SEGMENTS: u64 = 4_096;
/// Most bytes of one section that is read where it lies: as many as DWARF's usual offsets reach. Some are looked through
/// from end to end, and a sparse file has as many as it likes.
pub(super) const MAX_PLAIN_BYTES: u64 = 1 << 32;
/// Most bytes of abbreviations that are gone through for what they tell of all units (Linux has 6 MB of them).
pub(super) const MAX_ABBREVIATIONS: u64 = 128 << 20;
/// Most bytes of one section unpacked or taken into memory as a whole (ceph-osd's `.debug_info` has 381 MB).
pub(super) const MAX_SECTION_BYTES: u64 = 1 << 30;
/// Most bytes of one section unpacked into memory. Larger ones are kept on the disk by the runner; where it does not,
/// zlib's are unpacked in pieces.
pub(super) const MAX_UNPACKED_IN_MEMORY: u64 = 64 << 20;
/// Bytes of a packed section beyond which it is not all held in memory, where that can be helped.
pub(super) const MAX_HELD: u64 = 2 << 20;
/// Bytes of a section of units from which on a sieve of its names is kept beside it.
pub(super) const MIN_SIEVED: u64 = 1 << 20;
/// Most bytes that deflate can make of one (zlib's documentation: 1032:1).
pub(super) const MAX_INFLATE_RATIO: u64 = 1_032;
/// Most bytes of a section for each packed one, and besides: debug info becomes two to twenty times as large, what
/// becomes larger is made to fill disks and take time.
pub(super) const MAX_UNPACKED_RATIO: u64 = 100;
pub(super) const MAX_UNPACKED_BESIDES: u64 = 16 << 20;
/// Most bytes that a zstd stream may refer back to, all of which are held while it is unpacked (`zstd -22` takes 128 MiB
/// for what is larger, compilers and packagers 8 MiB at most).
pub(super) const MAX_ZSTD_WINDOW: u64 = 100 << 20;
/// Most bytes into which a section may be packed beyond its own: who packs leaves alone what becomes larger.
pub(super) const MAX_PACKED_BESIDES: u64 = 1 << 20;
/// Most bytes of a dynamic section that are looked at.
pub(super) const MAX_DYNAMIC: u64 = 64 << 10;
/// Most bytes of the notes that are searched for a build id.
pub(super) const MAX_NOTE_BYTES: u64 = 64 << 10;
/// Most notes in which one is looked for.
pub(super) const MAX_NOTES: usize = 256;
/// Most bytes of a file whose checksum is computed.
pub(super) const MAX_CHECKSUM_BYTES: u64 = 4 << 30;
/// Most bytes of `.gnu_debugdata`, and of the names that it unpacks to.
pub(super) const MAX_NAMES_PACKED: u64 = 32 << 20;
pub(super) const MAX_PACKED_NAMES: u64 = 64 << 20;
/// Largest dictionary for that (xz -9 takes 64 MiB).
pub(super) const MAX_DICTIONARY: u32 = 64 << 20;
/// Most bytes of a section that names another file.
pub(super) const MAX_LINK_BYTES: u64 = 64 << 10;
/// Most bytes of a build id (SHA-1 has 20; ld takes any with `--build-id=0x…`).
pub(super) const MAX_BUILD_ID: usize = 128;
/// Most symbols read of one file, most bytes of their names (Firefox' library: half a million, 60 MB), and longest name: of
/// what is longer there is no symbol.
pub(super) const MAX_SYMBOLS: u64 = 2 << 20;
pub(super) const MAX_SYMBOL_NAMES: u64 = 128 << 20;
pub(super) const MAX_SYMBOL_NAME: usize = 8 << 10;
/// Most bytes of code of functions that only symbols name, all of one question together.
pub(super) const MAX_SYMBOL_CODE: u64 = 256 << 20;
/// Most thunks of one function.
pub(super) const MAX_THUNKS: usize = 4_096;
/// Most bytes of the table of functions that Go programs keep, and of the names in it.
pub(super) const MAX_GO_TABLE: u64 = 96 << 20;
pub(super) const MAX_GO_NAMES: usize = 64 << 20;
/// Most units (ceph-osd has about 2,000, vmlinux 3,500).
pub(super) const MAX_UNITS: usize = 1 << 20;
/// Most parsed units kept at a time.
pub(super) const MAX_CACHED_UNITS: usize = 128;
/// Most steps (DIEs, rows of line tables, entries of lists) for one question: so many for each byte of the units, and
/// besides (libjvm's 257 MB have 12 million DIEs).
pub(super) const STEPS_FOR_A_BYTE: u64 = 8;
pub(super) const STEPS_BESIDES: u64 = 5_000_000;
pub(super) const MAX_STEPS: u64 = 400_000_000;
/// Most bytes that the answer to one question holds (names, ranges): so many for each byte of the units, and besides.
pub(super) const HELD_FOR_A_BYTE: u64 = 4;
pub(super) const HELD_BESIDES: u64 = 64 << 20;
/// Most bytes of the names of functions that one unit declares (C++'s have some megabytes).
pub(super) const MAX_NAMES_OF_UNIT: usize = 64 << 20;
/// Longest text that is read of any section: names of templates come to some 10 kB.
pub(super) const MAX_TEXT: usize = 256 << 10;
/// Bytes of a text that are read in one step, and bytes of code.
pub(super) const TEXT_IN_A_STEP: u64 = 32;
pub(super) const CODE_IN_A_STEP: u64 = 2;
/// Steps that it costs to read a piece of a file: about a microsecond.
pub(super) const STEPS_TO_READ: u64 = 16;
/// Most functions one question may yield.
pub(super) const MAX_FUNCTIONS: usize = 100_000;
/// Most functions of one name that are suggested where none has the parameters that were asked for.
pub(super) const MAX_OVERLOADS_SHOWN: usize = 8;
/// Most sites of all functions of one question.
pub(super) const MAX_SITES: usize = 400_000;
/// Most parameters at the call sites of one unit.
pub(super) const MAX_PASSED: usize = 1 << 20;
/// Most variables at one site.
pub(super) const MAX_VARIABLES: usize = 4_096;
/// Statements that are looked at for the end of the copies that instrumented code makes of its parameters.
pub(super) const MAX_COPIES: usize = 64;
/// Longest chain of `DW_AT_abstract_origin` and `DW_AT_specification` (compilers make 2 or 3).
pub(super) const MAX_ORIGINS: usize = 16;
/// Deepest nesting of scopes (namespaces, functions, blocks) followed.
pub(super) const MAX_SCOPES: usize = 512;
/// Most ranges of one DIE.
pub(super) const MAX_RANGES: usize = 16_384;
/// Most entries of one location list.
pub(super) const MAX_LOCATIONS: usize = 65_536;
/// Most operations carried out for one DWARF expression, nested ones included.
pub(super) const MAX_OPERATIONS: u32 = 4_096;
/// Most values on an expression's stack.
pub(super) const MAX_STACK: usize = 64;
/// Most nodes of one computed value: `DW_OP_dup` and an operator double it at each step.
pub(super) const MAX_NODES: usize = 256;
/// Deepest nesting of expressions in expressions (entry values, implicit pointers, frame bases).
pub(super) const MAX_EXPRESSION_DEPTH: u32 = 8;
/// Most bytes of an implicit value.
pub(super) const MAX_IMPLICIT_BYTES: usize = 64 << 10;
/// Most pieces of one value.
pub(super) const MAX_PIECES: usize = 256;
/// Most rows of one unit's line table run through.
pub(super) const MAX_LINE_ROWS: u64 = 20_000_000;
/// Most files of one unit's line table.
pub(super) const MAX_LINE_FILES: u64 = 65_536;
/// Most other lines remembered for suggestions.
pub(super) const MAX_OTHER_LINES: usize = 100_000;
/// Most marks of one file.
pub(super) const MAX_MARKS: usize = 65_536;
/// Most bytes of their notes.
pub(super) const MAX_MARK_BYTES: u64 = 16 << 20;
/// Most arguments of one mark.
pub(super) const MAX_MARK_ARGUMENTS: usize = 64;
/// Most frame descriptions of one section, and most bytes of it.
pub(super) const MAX_FRAMES: usize = 2 << 20;
pub(super) const MAX_FRAME_BYTES: u64 = 64 << 20;
/// Functions for which it is worth a thread's while to read their unit once more.
pub(super) const FEWEST_OF_PART: usize = 256;
/// Most parts that many functions are read in.
pub(super) const MAX_PARTS: usize = 4;
/// Most bytes of code of one function decoded.
pub(super) const MAX_CODE_BYTES: u64 = 4 << 20;
/// Functions of which it is looked up by address what they are declared to return.
pub(super) const MAX_DECLARED: usize = 64;
/// Most bytes of code that are looked at to prove what functions of a file return, for all of them together, each as often
/// as it is.
pub(super) const MAX_PROVING: u64 = 1 << 30;
/// Most bytes of code and data in which it is looked for who names addresses of code (chromium has 250 MB).
pub(super) const MAX_SEARCHED: u64 = 1 << 30;
/// Places of a file that may name an address of its code, and addresses of code that its data hold.
pub(super) const MAX_NAMED_CODE: usize = 8 << 20;
/// Most types remembered of one module.
pub(super) const MAX_CACHED_TYPES: usize = 4_096;
/// Most variables or types one name may mean.
pub(super) const MAX_NAMED: usize = 1_024;
/// Most members or enumerators of one type.
pub(super) const MAX_MEMBERS: usize = 65_536;
/// Places in `.debug_str` at which one name may end before filtering units by it is given up.
pub(super) const MAX_NAME_OFFSETS: usize = 4_096;
/// Most files that the split DWARF of a module may be in.
pub(super) const MAX_SPLIT_FILES: usize = 16_384;
/// Places in one unit at which a name may be found before all of the unit is read.
pub(super) const MAX_HITS_IN_UNIT: usize = 65_536;
/// Bytes of units read before what they brought into memory is let go.
pub(super) const BATCH_BYTES: u64 = 4 << 20;
/// Searched-for functions beyond which all units are read instead of filtered.
pub(super) const MAX_FILTERED_ROOTS: usize = 4_096;
/// Most names compared for suggestions.
pub(super) const MAX_SUGGESTED_FROM: usize = 2_000_000;

/// The error for a bound that was reached.
pub(super) fn over(what: &str, limit: impl std::fmt::Display) -> DebugError {
    DebugError::Limit(format!("more than {limit} {what}"))
}
