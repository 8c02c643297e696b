//! Owns the symbol tables: the defined functions of `.symtab` and `.dynsym` (for Go, of its own table) with their
//! addresses. Knows no DWARF.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use object::elf;

use super::dwarf::ElfFile;
use super::elf::{short_string, u16_at, u32_at, u64_at};
use super::facts::DebugError;
use super::limits::{self, over};
use super::names::{Glob, demangle};
use super::pclntab;
use super::sections;
use super::thunks::{self, Thunks};

/// `Elf64_Sym`.
const SYMBOL: usize = 24;
/// Look-ups by address for which all symbols are gone through: for more it pays to sort them.
const FEW: usize = 8;

/// The bytes of the tables, each with the strings it names.
#[derive(Default)]
pub(super) struct Symbols {
    tables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Address, table, byte in the table; by address.
    by_address: OnceLock<Vec<(u64, usize, usize)>>,
    /// How often symbols were looked up by address.
    looked_up: AtomicUsize,
    thunks: OnceLock<Thunks>,
}

/// A defined function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol<'a> {
    /// Linkage name, without version (`@GLIBC_2.2.5`).
    pub(super) name: &'a str,
    /// Link-time address.
    pub(super) address: u64,
    /// Bytes of it; 0 where the table does not say.
    pub(super) size: u64,
    /// Whether only the file itself can name it.
    pub(super) local: bool,
}

impl Symbols {
    /// Reads both tables: `.symtab` of the first of these files that has one, `.dynsym` of the first of all.
    pub(super) fn read<'f>(files: impl Iterator<Item = &'f ElfFile> + Clone) -> Result<Symbols, DebugError> {
        let mut tables = Vec::new();
        let full = files.clone().find(|file| file.elf.section(".symtab").is_some()).map(|file| (file, ".symtab"));
        let own = files.clone().next();
        let dynamic = files.take(1).next().map(|file| (file, ".dynsym"));
        // Go's own table says the same as the symbols that were taken out.
        if full.is_none()
            && let Some(ElfFile { bytes, elf, .. }) = own
            && let Some(section) = elf.section(".gopclntab")
            && section.size <= limits::MAX_GO_TABLE
        {
            tables.extend(pclntab::symbols(&sections::load(bytes, elf, ".gopclntab", limits::MAX_GO_TABLE)?));
        }
        let (mut symbols_left, mut names_left) = (limits::MAX_SYMBOLS, limits::MAX_SYMBOL_NAMES);
        for (ElfFile { bytes, elf, .. }, name) in full.into_iter().chain(dynamic) {
            let Some(section) = elf.section(name) else { continue };
            if section.size / SYMBOL as u64 > symbols_left {
                return Err(over(&format!("symbols, with those in {name}"), limits::MAX_SYMBOLS));
            }
            let Some(strings) = elf.sections.get(section.link as usize) else { continue };
            let symbols = sections::load(bytes, elf, name, section.size)?;
            let strings = sections::load(bytes, elf, &strings.name, names_left)?;
            symbols_left -= symbols.len() as u64 / SYMBOL as u64;
            names_left -= strings.len() as u64;
            tables.push((symbols, strings));
        }
        Ok(Symbols { tables, ..Symbols::default() })
    }

    /// The defined functions (`STT_FUNC`), `.symtab` first. A `STT_GNU_IFUNC` is the function that chooses the
    /// implementation, not the one that callers reach: left out.
    pub(super) fn functions(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.tables.iter().flat_map(|(symbols, strings)| {
            symbols.chunks_exact(SYMBOL).filter_map(move |symbol| function(symbol, strings))
        })
    }

    /// Those functions whose names begin so.
    pub(super) fn beginning(&self, with: &'static str) -> impl Iterator<Item = Symbol<'_>> {
        let begins = |symbol: &[u8], strings: &[u8]| {
            let name = u32_at(symbol, 0).ok().and_then(|at| strings.get(at as usize..));
            name.is_some_and(|name| name.starts_with(with.as_bytes()))
        };
        self.tables.iter().flat_map(move |(symbols, strings)| {
            let symbols = symbols.chunks_exact(SYMBOL).filter(move |symbol| begins(symbol, strings));
            symbols.filter_map(move |symbol| function(symbol, strings))
        })
    }

    /// The symbols by address.
    fn index(&self) -> &[(u64, usize, usize)] {
        self.by_address.get_or_init(|| {
            let mut index = Vec::new();
            for (table, (symbols, _)) in self.tables.iter().enumerate() {
                let addresses = symbols.chunks_exact(SYMBOL).map(|symbol| u64_at(symbol, 8).unwrap_or(0));
                index.extend(addresses.enumerate().map(|(number, address)| (address, table, number * SYMBOL)));
            }
            // They stand in order within each table, and for the most part in that of the addresses, too.
            index.sort_by_key(|(address, ..)| *address);
            index
        })
    }

    fn indexed(&self, (_, table, at): (u64, usize, usize)) -> Option<Symbol<'_>> {
        let (symbols, strings) = self.tables.get(table)?;
        function(symbols.get(at..at + SYMBOL)?, strings)
    }

    /// The defined functions at an address, those of the first table first.
    pub(super) fn at(&self, address: u64) -> impl Iterator<Item = Symbol<'_>> {
        let found: Vec<Symbol<'_>> = if self.looked_up.fetch_add(1, Ordering::Relaxed) < FEW {
            let here = |symbol: &&[u8]| u64_at(symbol, 8).is_ok_and(|own| own == address);
            let all = self.tables.iter().flat_map(|(symbols, strings)| {
                let symbols = symbols.chunks_exact(SYMBOL).filter(here);
                symbols.filter_map(move |symbol| function(symbol, strings))
            });
            all.collect()
        } else {
            let index = self.index();
            let first = index.partition_point(|(own, _, _)| *own < address);
            let here = index.get(first..).unwrap_or_default().iter().take_while(|(own, _, _)| *own == address);
            here.filter_map(|one| self.indexed(*one)).collect()
        };
        found.into_iter()
    }

    /// The defined functions at an address or before it, the nearest first; of those at one address, the first of the
    /// tables first.
    pub(super) fn before(&self, address: u64) -> impl Iterator<Item = Symbol<'_>> {
        let index = self.index();
        let behind = index.partition_point(|(own, _, _)| *own <= address);
        let before = index.get(..behind).unwrap_or_default().chunk_by(|(one, _, _), (other, _, _)| one == other);
        before.rev().flatten().filter_map(|one| self.indexed(*one))
    }

    /// The thunks of a function by its linkage name: address and size.
    pub(super) fn thunks_of(&self, linkage: &str) -> &[(u64, u64)] {
        let known = self.thunks.get_or_init(|| thunks::thunks(self));
        known.get(&thunks::same_name(linkage)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The link-time addresses of variables by name, those that are there.
    pub(super) fn objects<'w>(&self, wanted: &'w BTreeSet<String>) -> BTreeMap<&'w str, u64> {
        let mut found = BTreeMap::new();
        let all = self.tables.iter().flat_map(|(symbols, strings)| {
            symbols.chunks_exact(SYMBOL).filter_map(|symbol| {
                let section = elf::SymbolSection(u16_at(symbol, 6).ok()?);
                let defined = section != elf::SHN_UNDEF && section != elf::SHN_ABS;
                let name = std::str::from_utf8(name_of(symbol, strings)?).ok()?;
                Some((wanted.get(name).filter(|_| defined)?, u64_at(symbol, 8).ok()?))
            })
        });
        for (name, address) in all {
            found.entry(name.as_str()).or_insert(address);
        }
        found
    }

    /// Whether the tables name one of these, defined here or wanted from elsewhere.
    pub(super) fn names_any(&self, wanted: &[&str]) -> bool {
        self.tables.iter().any(|(symbols, strings)| {
            symbols.chunks_exact(SYMBOL).any(|symbol| {
                name_of(symbol, strings).is_some_and(|name| wanted.iter().any(|wanted| name == wanted.as_bytes()))
            })
        })
    }

    /// The functions with exactly that name: the symbol's own, its base name before `.isra` or `.constprop`, or
    /// demangled with or without parameters.
    pub(super) fn exact(&self, name: &str) -> Vec<Symbol<'_>> {
        let plain: Vec<Symbol<'_>> = self
            .functions()
            .filter(|symbol| symbol.name.starts_with(name))
            .filter(|symbol| symbol.name == name || (clone_base(symbol.name) == name && !is_fragment(symbol.name)))
            .collect();
        if !plain.is_empty() || !name.contains("::") && !name.contains('(') {
            return plain;
        }
        self.functions()
            .filter(|symbol| !is_fragment(symbol.name))
            .filter(|symbol| demangle(clone_base(symbol.name)).is_some_and(|names| names.is(name)))
            .collect()
    }

    /// The functions whose name, demangled or not, matches; parts of functions (`.cold`, `.part`) are none.
    pub(super) fn matching<'a>(&'a self, glob: &'a Glob) -> impl Iterator<Item = Symbol<'a>> {
        let matches = |symbol: &Symbol<'_>| {
            glob.matches(symbol.name) || demangle(clone_base(symbol.name)).is_some_and(|names| names.matches(glob))
        };
        self.functions().filter(matches).filter(|symbol| !is_fragment(symbol.name))
    }
}

/// The name that an entry of a table has.
fn name_of<'a>(symbol: &[u8], strings: &'a [u8]) -> Option<&'a [u8]> {
    short_string(strings, u32_at(symbol, 0).ok()? as usize, limits::MAX_SYMBOL_NAME)
}

/// The defined function that an entry of a table is, if it is one.
fn function<'a>(symbol: &[u8], strings: &'a [u8]) -> Option<Symbol<'a>> {
    let kind = elf::SymbolType(symbol.get(4)? & 0xf);
    let section = elf::SymbolSection(u16_at(symbol, 6).ok()?);
    if kind != elf::STT_FUNC || section == elf::SHN_UNDEF || section == elf::SHN_ABS {
        return None;
    }
    let name = std::str::from_utf8(name_of(symbol, strings)?).ok()?;
    let name = name.split('@').next().filter(|name| !name.is_empty())?;
    let local = elf::SymbolBind(symbol.get(4)? >> 4) == elf::STB_LOCAL;
    Some(Symbol { name, address: u64_at(symbol, 8).ok()?, size: u64_at(symbol, 16).ok()?, local })
}

/// The name of the function a clone was made of: `f` of `f.isra.0`, `f.constprop.1.isra.0`, `f.lto_priv.0`.
pub(super) fn clone_base(name: &str) -> &str {
    const CLONES: [&str; 5] = [".isra.", ".constprop.", ".lto_priv.", ".part.", ".cold"];
    CLONES.iter().filter_map(|mark| name.find(mark)).filter(|at| *at > 0).min().map_or(name, |at| &name[..at])
}

/// Whether a symbol is a part split off a function (`.cold`, `.part.N`), which calls do not enter at their beginning.
pub(super) fn is_fragment(name: &str) -> bool {
    name.contains(".part.") || name.ends_with(".cold") || name.contains(".cold.")
}
