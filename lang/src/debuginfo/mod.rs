//! Owns reading ELF and DWARF: bytes of a module in, [`facts`] out. Names no container, knows no engine, and never
//! trusts a size, an offset or a count it read.
//!
//! [`elf`] and [`sections`] bring bytes in, `units` gives access to DIEs, `search` finds those of a function, and
//! `functions` makes sites of them: `prologue` (with `lines` and `code`) chooses the address, `variables`, `location`,
//! `expression` and `cfi` say where values are. Everything is bounded by `limits`.

mod cfi;
mod code;
mod compute;
mod copies;
mod elf;
mod expression;
pub mod facts;
mod functions;
mod limits;
mod lines;
mod location;
mod names;
mod prologue;
mod search;
mod sections;
mod symbols;
mod types;
mod units;
mod variables;

use std::sync::{Arc, OnceLock};

use crate::world::ReadAt;
use cfi::Frames;
use elf::Elf;
use facts::{BuildId, DebugError, Function, Type, TypeId};
use functions::Builder;
use names::{Glob, Nearest};
use search::Query;
use symbols::Symbols;
use units::{Debug, Slice, UnitSpan};

/// An ELF file opened for reading: its identity, and look-ups of functions, types and values in it.
pub struct Module {
    bytes: Arc<dyn ReadAt>,
    elf: Elf,
    dwarf: OnceLock<Result<Dwarf, DebugError>>,
    symbols: OnceLock<Result<Symbols, DebugError>>,
    frames: OnceLock<Result<Frames, DebugError>>,
}

/// The DWARF sections, in memory.
struct Dwarf {
    sections: gimli::DwarfSections<Vec<u8>>,
    spans: Vec<UnitSpan>,
}

impl Dwarf {
    fn read(bytes: &dyn ReadAt, elf: &Elf) -> Result<Dwarf, DebugError> {
        let sections = gimli::DwarfSections::load(|id| {
            let unused = matches!(
                id,
                gimli::SectionId::DebugMacro
                    | gimli::SectionId::DebugMacinfo
                    | gimli::SectionId::DebugNames
                    | gimli::SectionId::DebugAranges
            );
            if unused { Ok(Vec::new()) } else { sections::load(bytes, elf, id.name()) }
        })?;
        let spans = units::spans(&borrow(&sections))?;
        Ok(Dwarf { sections, spans })
    }
}

fn borrow(sections: &gimli::DwarfSections<Vec<u8>>) -> gimli::Dwarf<Slice<'_>> {
    sections.borrow(|section| gimli::EndianSlice::new(section, gimli::LittleEndian))
}

impl Module {
    /// Reads the ELF headers; debug info is read when first asked for.
    ///
    /// # Errors
    /// [`DebugError`] when it is no x86-64 ELF file, or malformed.
    pub fn open(bytes: Arc<dyn ReadAt>) -> Result<Module, DebugError> {
        let elf = Elf::read(&*bytes)?;
        Ok(Module { bytes, elf, dwarf: OnceLock::new(), symbols: OnceLock::new(), frames: OnceLock::new() })
    }

    /// Its build id, where it has one.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.elf.build_id.as_ref()
    }

    /// Whether it has DWARF with units in it (`.debug_info`), its own.
    pub fn has_dwarf(&self) -> bool {
        let has = |name| self.elf.section(name).is_some_and(|section| section.size > 0);
        has(".debug_info") || has(".zdebug_info")
    }

    /// The functions a name means, with all their sites: a name some function bears exactly is literal, otherwise
    /// `* ? […]` match. Empty where there is none. Without DWARF: by symbol.
    ///
    /// A name is borne as DWARF gives it (`get`), qualified (`ns::Class::get`), demangled with or without parameters
    /// (`ns::Class::get(int)`), or as linkage name. `name@file.c` keeps to functions declared in a file whose path
    /// ends so.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn functions(&self, name: &str) -> Result<Vec<Function>, DebugError> {
        let found = self.by_name(name, None)?;
        if !found.is_empty() {
            return Ok(found);
        }
        match name.rsplit_once('@') {
            Some((name, file)) if !name.is_empty() && !file.is_empty() => self.by_name(name, Some(file)),
            Some(_) | None => Ok(found),
        }
    }

    /// The names of functions most like `name`, best first, at most `limit`.
    pub fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        let name = name.split('@').next().unwrap_or(name);
        let mut nearest = Nearest::new(name, limit);
        // What cannot be read suggests nothing; the error was told where the function was looked up.
        if let Ok(Some(debug)) = self.debug() {
            let _ = search::every_name(&debug, |names| {
                if let Some(name) = names.demangled().map(|own| own.plain).or_else(|| names.qualified()) {
                    nearest.offer(&name);
                }
            });
        }
        if let Ok(symbols) = self.symbols() {
            for symbol in symbols.functions().filter(|symbol| !symbols::is_fragment(symbol.name)) {
                let linkage = symbols::clone_base(symbol.name);
                match names::demangle(linkage) {
                    Some(demangled) => nearest.offer(&demangled.plain),
                    None => nearest.offer(linkage),
                }
            }
        }
        nearest.names()
    }

    /// Reads a type, one level deep.
    ///
    /// # Errors
    /// [`DebugError`] when there is no type at that handle or it is malformed.
    pub fn ty(&self, id: TypeId) -> Result<Type, DebugError> {
        match self.debug()? {
            Some(debug) => types::read(&debug, id),
            None => Err(DebugError::Malformed("a type of a file without debug info".to_owned())),
        }
    }

    fn by_name(&self, name: &str, file: Option<&str>) -> Result<Vec<Function>, DebugError> {
        let literal = self.by_query(&Query::Exact(name), file)?;
        if !literal.is_empty() {
            return Ok(literal);
        }
        match Glob::new(name) {
            Some(glob) => self.by_query(&Query::Glob(&glob), file),
            None => Ok(literal),
        }
    }

    fn by_query(&self, query: &Query<'_>, file: Option<&str>) -> Result<Vec<Function>, DebugError> {
        let mut functions = match self.debug()? {
            Some(debug) => self.in_dwarf(&debug, query)?,
            None => Vec::new(),
        };
        if let Some(file) = file {
            functions.retain(|function| function.declared.as_ref().is_some_and(|line| ends_with(&line.file, file)));
            return Ok(functions);
        }
        // What only the symbol table names: assembly, units without debug info.
        let symbols = self.symbols()?;
        let named = match query {
            Query::Exact(_) if !functions.is_empty() => Vec::new(),
            Query::Exact(name) => functions::from_symbols(&self.elf, symbols.exact(name).into_iter())?,
            Query::Glob(glob) => functions::from_symbols(&self.elf, symbols.matching(glob))?,
        };
        let known: std::collections::BTreeSet<u64> =
            functions.iter().flat_map(|function| &function.sites).map(|site| site.entry).collect();
        for mut function in named {
            function.sites.retain(|site| !known.contains(&site.entry));
            if !function.sites.is_empty() {
                functions.push(function);
            }
        }
        Ok(functions)
    }

    fn in_dwarf(&self, debug: &Debug<'_>, query: &Query<'_>) -> Result<Vec<Function>, DebugError> {
        let roots = search::roots(debug, query)?;
        if roots.is_empty() {
            return Ok(Vec::new());
        }
        let instances = search::instances(debug, &roots)?;
        let cfa_at = |address| self.frames().ok()?.cfa(address);
        let builder = Builder { debug, bytes: &*self.bytes, elf: &self.elf, symbols: self.symbols()?, cfa_at: &cfa_at };
        builder.functions(&roots, &instances)
    }

    /// Access to the DWARF; `None` where the file has none.
    fn debug(&self) -> Result<Option<Debug<'_>>, DebugError> {
        if !self.has_dwarf() {
            return Ok(None);
        }
        let dwarf = self.dwarf.get_or_init(|| Dwarf::read(&*self.bytes, &self.elf));
        let dwarf = dwarf.as_ref().map_err(Clone::clone)?;
        Ok(Some(Debug::new(borrow(&dwarf.sections), &dwarf.spans)))
    }

    fn symbols(&self) -> Result<&Symbols, DebugError> {
        self.symbols.get_or_init(|| Symbols::read(&*self.bytes, &self.elf)).as_ref().map_err(Clone::clone)
    }

    fn frames(&self) -> Result<&Frames, DebugError> {
        self.frames.get_or_init(|| Frames::read(&*self.bytes, &self.elf)).as_ref().map_err(Clone::clone)
    }
}

/// Whether a path ends in another one, whole names only.
fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/') || end.starts_with('/'))
}
