//! Owns reading ELF and DWARF: bytes of a module in, [`facts`] out. Names no container, knows no engine, and never
//! trusts a size, an offset or a count it read.
//!
//! [`elf`] and [`sections`] bring bytes in, `units` gives access to DIEs, `search` finds those of a function, and
//! `functions` makes sites of them: `prologue` (with `lines` and `code`) chooses the address, `variables`, `location`,
//! `expression` and `cfi` say where values are. Everything is bounded by `limits`.

mod abbreviations;
mod by_symbol;
mod calls;
mod cfi;
mod closed;
mod code;
mod compute;
mod copies;
mod dwarf;
mod elf;
mod exits;
mod expression;
pub mod facts;
mod filled;
mod functions;
mod given;
mod indexed;
mod inflate;
mod limits;
mod lines;
mod location;
mod marks;
mod name_index;
mod named;
mod names;
mod parts;
mod pclntab;
mod places;
mod price;
mod producer;
mod prologue;
mod reader;
mod results;
mod scan;
mod search;
mod sections;
mod sieve;
mod skim;
mod steps;
mod stripped;
mod symbols;
mod thunks;
mod types;
mod units;
pub mod unwind;
mod uses;
mod variables;
mod whereabouts;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::world::{Companions, ReadAt};
use cfi::Frames;
use dwarf::{Dwarf, ElfFile, Pages};
use elf::{Elf, Kind, Machine};
use facts::{
    AddressRule, BuildId, DebugError, Exits, Function, Global, Language, Mark, MarkName, NoExits, Site, SourceLine,
    Type, TypeId,
};
use functions::Builder;
pub use lines::LineQuery;
pub(crate) use names::without_parameters;
use names::{Glob, Nearest};
pub use results::Place;
use search::Query;
use stripped::Stripped;
use symbols::{Symbol, Symbols};
use units::Debug;
pub use whereabouts::Whereabouts;
use window::Window;

/// An ELF file opened for reading: its identity, and look-ups of functions, types and values in it.
pub struct Module {
    own: ElfFile,
    companions: Option<Arc<dyn Companions>>,
    stripped: OnceLock<Result<Stripped, DebugError>>,
    packed_names: OnceLock<Option<ElfFile>>,
    dwarf: OnceLock<Result<Dwarf, DebugError>>,
    symbols: OnceLock<Result<Symbols, DebugError>>,
    frames: OnceLock<Result<Frames, DebugError>>,
    uretprobes: OnceLock<Result<closed::File, String>>,
    uses: OnceLock<uses::Uses>,
    /// How often it was looked up by address what a function is declared to return.
    declared: AtomicUsize,
    /// Bytes of code that were looked at to prove what functions return.
    proving: AtomicU64,
    rows: unwind::Rows,
    types: Mutex<HashMap<TypeId, Result<Type, DebugError>>>,
}

impl Module {
    /// Reads the ELF headers; debug info is read when first asked for, and only from this file.
    ///
    /// # Errors
    /// [`DebugError`] when it is no ELF file of a machine ctp reads, or malformed.
    pub fn open(bytes: Arc<dyn ReadAt>) -> Result<Module, DebugError> {
        Module::with_companions(bytes, "", None)
    }

    /// The same for the file of that path whose debug info may be in others, which `companions` finds.
    ///
    /// # Errors
    /// As [`Module::open`].
    pub fn with_companions(
        bytes: Arc<dyn ReadAt>,
        path: &str,
        companions: Option<Arc<dyn Companions>>,
    ) -> Result<Module, DebugError> {
        let elf = Elf::read(&*bytes, Kind::Executed)?;
        let keep = companions.as_ref().and_then(|companions| companions.keep());
        Ok(Module {
            own: ElfFile { bytes, elf, keep, path: path.to_owned() },
            companions,
            stripped: OnceLock::new(),
            packed_names: OnceLock::new(),
            dwarf: OnceLock::new(),
            symbols: OnceLock::new(),
            frames: OnceLock::new(),
            uretprobes: OnceLock::new(),
            uses: OnceLock::new(),
            declared: AtomicUsize::new(0),
            proving: AtomicU64::new(0),
            rows: unwind::Rows::default(),
            types: Mutex::default(),
        })
    }

    /// Its build id, where it has one.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.own.elf.build_id.as_ref()
    }

    /// Refuses what can be read and not traced.
    ///
    /// # Errors
    /// [`DebugError::WrongMachine`] for code of another machine than x86-64.
    pub fn traced(&self) -> Result<(), DebugError> {
        match self.own.elf.machine {
            Machine::X86_64 => Ok(()),
            Machine::AArch64 => Err(DebugError::WrongMachine("AArch64".to_owned())),
        }
    }

    /// Whether it has DWARF with units in it (`.debug_info`), its own or in the file that it was stripped into.
    pub fn has_dwarf(&self) -> bool {
        self.with_units().is_some()
    }

    /// The file other than the module that its debug info comes from, if so.
    pub fn debug_file(&self) -> Option<&str> {
        self.with_units().map(|file| file.path.as_str()).filter(|path| *path != self.own.path)
    }

    /// That file's path and bytes, for a tool that reads it by itself.
    pub fn debug_bytes(&self) -> Option<(&str, Arc<dyn ReadAt>)> {
        let file = self.with_units().filter(|file| file.path != self.own.path)?;
        Some((file.path.as_str(), Arc::clone(&file.bytes)))
    }

    /// Whether the same file at the same path of another container, whose further files `others` finds, would have the
    /// same debug info: neither container has a file of its own where debug info was looked for.
    pub fn stands_for(&self, others: Option<&dyn Companions>) -> bool {
        match (&self.companions, others) {
            (None, None) => true,
            (None, Some(_)) | (Some(_), None) => false,
            (Some(own), Some(others)) => {
                // After these no further file is looked for but for messages. What is wrong with them matters elsewhere.
                let _ = (self.symbols(), self.with_debug(|_| Ok(())));
                own.absent().is_some_and(|paths| others.lacks(&paths))
            }
        }
    }

    /// The lowest link-time address of its segments; 0 where it has none.
    pub fn lowest_address(&self) -> u64 {
        self.own.elf.segments.iter().map(|segment| segment.address).min().unwrap_or(0)
    }

    /// What a reader should know where a function or its debug info was not found: the places that were looked at, the
    /// parts that are missing, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let own = "\n  the file itself (none)";
        match self.stripped() {
            // The file has its own: where else was looked for what it leaves out is no news.
            Ok(_) if self.has_dwarf() && self.debug_file().is_none() => {}
            Ok(stripped) if !stripped.looked.is_empty() => {
                let end = self.debug_file().map_or(String::new(), |path| format!("\n  {path} (found)"));
                let looked = dwarf::lines(&stripped.looked);
                notes.push(format!("debug info was looked for in:{own}{looked}{end}"));
            }
            Ok(_) if self.companions.is_none() => notes.push("debug info was looked for in the file itself".to_owned()),
            Ok(_) => notes.push(
                "debug info was looked for in the file itself; it has neither a build id nor a debug link to look for more"
                    .to_owned(),
            ),
            Err(error) => notes.push(format!("the link to its debug info: {error}")),
        }
        match self.dwarf.get() {
            Some(Ok(Dwarf { missing, .. })) if missing.units > 0 => {
                let looked = dwarf::lines(&missing.looked);
                let looked = if looked.is_empty() { String::new() } else { format!("; for the first:{looked}") };
                notes.push(format!(
                    "the split debug info (.dwo, .dwp) of {} of {} units was not found{looked}",
                    missing.units, missing.of
                ));
            }
            Some(Err(error @ DebugError::Missing(_))) => notes.push(error.to_string()),
            Some(Ok(_) | Err(_)) | None => {}
        }
        notes
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

    /// The names of functions most like `name`, best first, at most `limit`; those that have other parameters alone where
    /// there are some.
    pub fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        let name = name.split('@').next().unwrap_or(name);
        let plain = names::without_parameters(name);
        if plain != name {
            let found = self.by_name(plain, None).unwrap_or_default();
            let overloads: Vec<String> =
                found.into_iter().map(|function| function.name).take(limits::MAX_OVERLOADS_SHOWN).collect();
            if !overloads.is_empty() {
                return overloads;
            }
        }
        let mut nearest = Nearest::new(name, limit);
        // What cannot be read suggests nothing; the error was told where the function was looked up.
        let _ = self.with_debug(|debug| {
            search::nearest(debug, name, limit, |names| {
                if let Some(name) = names.demangled().map(|own| own.plain).or_else(|| names.qualified()) {
                    nearest.offer(&name);
                }
            })
        });
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

    /// Reads a type, one level deep; what was read before is remembered.
    ///
    /// # Errors
    /// [`DebugError`] when there is no type at that handle or it is malformed.
    pub fn ty(&self, id: TypeId) -> Result<Type, DebugError> {
        let mut known = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = known.get(&id) {
            return read.clone();
        }
        let none = || DebugError::Malformed("a type of a file without debug info".to_owned());
        let read = self.with_debug(|debug| types::read(debug, id)).and_then(|read| read.ok_or_else(none));
        if known.len() >= limits::MAX_CACHED_TYPES {
            known.clear();
        }
        known.insert(id, read.clone());
        read
    }

    /// Whether an array is a vector, which compilers keep in one vector register (`DW_AT_GNU_vector`).
    pub fn is_vector(&self, id: TypeId) -> bool {
        self.with_debug(|debug| types::is_vector(debug, id)).is_ok_and(|found| found.unwrap_or(false))
    }

    /// Whether values of a class are returned by their address; `None` where debug info does not tell.
    pub fn by_reference(&self, id: TypeId) -> Option<bool> {
        self.with_debug(|debug| types::by_reference(debug, id)).ok().flatten().flatten()
    }

    /// The alignment of a type in bytes, where debug info tells it (`DW_AT_alignment`: rustc's does).
    pub fn alignment(&self, id: TypeId) -> Option<u64> {
        self.with_debug(|debug| types::alignment(debug, id)).ok().flatten().flatten()
    }

    /// The language a type was written in.
    pub fn language(&self, id: TypeId) -> Language {
        self.with_debug(|debug| types::language(debug, id)).ok().flatten().unwrap_or(Language::Other)
    }

    /// The type of a name, as C writes it (`struct foo`, `foo_t`, `unsigned int`) or qualified (`ns::Foo`): a
    /// definition, first looked for in the unit of `near`.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn named_type(&self, name: &str, near: Option<TypeId>) -> Result<Option<TypeId>, DebugError> {
        Ok(self.with_debug(|debug| named::find_type(debug, name, near))?.flatten())
    }

    /// The names of types most like `name`, best first, at most `limit`.
    pub fn nearest_types(&self, name: &str, limit: usize) -> Vec<String> {
        let mut nearest = Nearest::new(name, limit);
        // What cannot be read suggests nothing; the error was told where the type was looked up.
        let _ = self.with_debug(|debug| named::every_name(debug, named::Kind::Type, &mut |name| nearest.offer(name)));
        nearest.names()
    }

    /// The variables of a name that belong to no call: globals and static ones, those of the unit of `near` first.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn globals(&self, name: &str, near: Option<TypeId>) -> Result<Vec<Global>, DebugError> {
        Ok(self.with_debug(|debug| named::find_globals(debug, name, near))?.unwrap_or_default())
    }

    /// The names of such variables most like `name`, best first, at most `limit`.
    pub fn nearest_globals(&self, name: &str, limit: usize) -> Vec<String> {
        let mut nearest = Nearest::new(name, limit);
        let kind = named::Kind::Variable;
        let _ = self.with_debug(|debug| named::every_name(debug, kind, &mut |name| nearest.offer(name)));
        nearest.names()
    }

    /// The value of an enumerator, first looked for in the unit of `near`.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn enumerator(&self, name: &str, near: Option<TypeId>) -> Result<Option<i128>, DebugError> {
        Ok(self.with_debug(|debug| named::find_enumerator(debug, name, near))?.flatten())
    }

    /// The names of enumerators most like `name`, best first, at most `limit`.
    pub fn nearest_enumerators(&self, name: &str, limit: usize) -> Vec<String> {
        let mut nearest = Nearest::new(name, limit);
        let kind = named::Kind::Enumerator;
        let _ = self.with_debug(|debug| named::every_name(debug, kind, &mut |name| nearest.offer(name)));
        nearest.names()
    }

    /// The line of the source that an address belongs to.
    pub fn line(&self, address: u64) -> Option<SourceLine> {
        self.with_debug(|debug| lines::at(debug, address)).ok()??
    }

    /// The function an address is in, with the one site there. `None` where no instruction begins there, or no function
    /// is known around it.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn at_address(&self, address: u64) -> Result<Option<Function>, DebugError> {
        let wanted = places::Wanted { address, rule: AddressRule::Address, behind_prologue: false, line: None };
        Ok(self.places(&[wanted])?.into_iter().next())
    }

    /// Its marks (USDT).
    ///
    /// # Errors
    /// [`DebugError`] when its notes are malformed or over a limit.
    pub fn marks(&self) -> Result<Vec<Mark>, DebugError> {
        marks::read(&self.own, self.symbols().ok())
    }

    /// The function a mark is in, with the one site there.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit, or the mark is in no code.
    pub fn at_mark(&self, mark: &Mark) -> Result<Function, DebugError> {
        let wanted =
            places::Wanted { address: mark.address, rule: AddressRule::Mark, behind_prologue: false, line: None };
        let known = self.places(&[wanted])?.into_iter().next();
        let outside = || DebugError::Malformed(format!("the mark at {:#x} is in no segment of code", mark.address));
        let file_offset = self.own.elf.file_offset(mark.address).ok_or_else(outside)?;
        let mut function = known.unwrap_or_else(|| by_symbol::nameless(&*self.own.bytes, mark.address, file_offset));
        for site in &mut function.sites {
            site.semaphore = mark.semaphore;
            site.mark = Some(MarkName { provider: mark.provider.clone(), name: mark.name.clone() });
            site.arguments.clone_from(&mark.arguments);
        }
        Ok(function)
    }

    /// The code of source lines: the functions it is in, each with the addresses at which control comes to a line.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn lines(&self, query: &LineQuery) -> Result<Lines, DebugError> {
        let found = self.with_debug(|debug| {
            let mut builder_lines = Lines::default();
            self.lines_in(debug, query, &mut builder_lines)?;
            Ok(builder_lines)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// The source line that an address's code was made of; `None` where the line tables do not say.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn source_line(&self, address: u64) -> Result<Option<facts::SourceLine>, DebugError> {
        let found = self.with_debug(|debug| {
            for span in debug.spans.iter().filter(|span| span.signature.is_none()) {
                let unit = debug.unit(span)?;
                let root = unit.unit.entry(unit.unit.header.root_offset())?;
                let ranges = debug.ranges(&unit, &root)?;
                if ranges.iter().any(|(low, high)| (*low..*high).contains(&address)) {
                    return lines::line_at(debug, &unit, address);
                }
            }
            Ok(None)
        })?;
        Ok(found.flatten())
    }

    fn lines_in(&self, debug: &Debug<'_>, query: &LineQuery, out: &mut Lines) -> Result<(), DebugError> {
        let glob = Glob::new(&query.file);
        let is_wanted = |path: &str| match &glob {
            Some(glob) => {
                path.match_indices('/').any(|(at, _)| path.get(at + 1..).is_some_and(|end| glob.matches(end)))
                    || glob.matches(path)
            }
            None => ends_with(path, &query.file),
        };
        let mut runs = lines::Runs::default();
        let mut nearest = Nearest::new(&query.file, 3);
        for span in debug.spans.iter().filter(|span| span.signature.is_none()) {
            let unit = debug.unit(span)?;
            let files = lines::files(debug, &unit)?;
            let wanted: Vec<u64> = files.iter().filter(|(_, path)| is_wanted(path)).map(|(index, _)| *index).collect();
            if wanted.is_empty() {
                files.iter().filter_map(|(_, path)| path.rsplit('/').next()).for_each(|name| nearest.offer(name));
                continue;
            }
            runs.file = true;
            lines::runs(&unit, &wanted, query.lines, &mut runs)?;
        }
        let builder_cfa = |address| self.frames().ok()?.cfa(address);
        let (bytes, elf) = (&Window::over(&*self.own.bytes), &self.own.elf);
        let builder = Builder { debug, bytes, elf, symbols: self.symbols()?, cfa_at: &builder_cfa };
        out.file = runs.file;
        out.files = if runs.file { Vec::new() } else { nearest.names() };
        out.functions = builder.at_lines(&runs)?;
        runs.others.sort_unstable();
        runs.others.dedup();
        out.others = runs.others;
        Ok(())
    }

    /// What stands at these addresses.
    fn places(&self, wanted: &[places::Wanted]) -> Result<Vec<Function>, DebugError> {
        let found = self.with_debug(|debug| {
            let cfa_at = |address| self.frames().ok()?.cfa(address);
            let (bytes, elf) = (&Window::over(&*self.own.bytes), &self.own.elf);
            Builder { debug, bytes, elf, symbols: self.symbols()?, cfa_at: &cfa_at }.at(wanted)
        })?;
        let (mut functions, left) = found.unwrap_or_else(|| (Vec::new(), wanted.to_vec()));
        for wanted in left {
            functions.extend(by_symbol::around_symbol(
                &self.own,
                self.symbols()?,
                self.frames().ok(),
                wanted.address,
                wanted.rule,
            ));
        }
        Ok(functions)
    }

    /// What the kernel does with the instruction at an offset of the file.
    pub fn price(&self, file_offset: u64) -> facts::Price {
        price::at(&*self.own.bytes, file_offset)
    }

    /// Where the calls end that pass a site of a function, which is no inlined instance.
    ///
    /// # Errors
    /// [`NoExits`] says why that cannot be told.
    pub fn exits(&self, function: &Function, site: &Site) -> Result<Exits, NoExits> {
        let unwinds = self.unwinds();
        let (symbols, frames) = (self.symbols().ok(), self.frames().ok());
        let source = exits::Source { bytes: &*self.own.bytes, elf: &self.own.elf, symbols, frames, unwinds };
        let file = self.uretprobes.get_or_init(|| closed::file(&source));
        source.exits(site, exits::Asked { goroutine: function.go.is_some(), file })
    }

    /// Whether a general register, by its DWARF number, holds at a function's site what it held when the call began.
    pub fn still_holds(&self, site: &Site, register: facts::Register) -> bool {
        let Some(&(_, end)) = site.ranges.iter().find(|(low, high)| (*low..*high).contains(&site.entry)) else {
            return site.entry == site.address;
        };
        let (bytes, elf) = (&*self.own.bytes, &self.own.elf);
        let Some(text) = price::text(bytes, elf, site.entry, end) else { return false };
        let code = code::Code::read(bytes, elf, &site.ranges);
        !site.repeats && price::still_holds(&text, (site.entry, site.address), &code, register.0)
    }

    /// The canonical frame address of the call that is at a site; `None` where nothing tells it. Of an inlined instance
    /// it is that of the function around it.
    pub fn frame(&self, site: &Site) -> Option<facts::Compute> {
        let frames = self.frames().ok();
        let bytes = &*self.own.bytes;
        exits::Source { bytes, elf: &self.own.elf, symbols: None, frames, unwinds: false }.frame(site).ok()
    }

    /// The link-time address of a byte of the file that is mapped as code.
    pub fn address_of(&self, file_offset: u64) -> Option<u64> {
        self.own.elf.segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let into = file_offset.checked_sub(segment.offset)?;
            (into < segment.file_size).then(|| segment.address.checked_add(into)).flatten()
        })
    }

    /// Whether the function that begins there is one that Go's own compiler made.
    pub fn is_go(&self, entry: u64) -> bool {
        exits::is_go(&self.own.elf, self.symbols().ok(), entry)
    }

    /// Whether an exception or a panic may unwind through its functions: it has tables of landing pads, or calls the
    /// unwinder. (`_Unwind_Resume` ends the code that only cleans up.)
    fn unwinds(&self) -> bool {
        let landing_pads = self.own.elf.section(".gcc_except_table").is_some_and(|section| section.size > 0);
        landing_pads
            || self.symbols().is_ok_and(|symbols| symbols.names_any(&["_Unwind_Resume", "_Unwind_RaiseException"]))
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
        let mut functions = self.with_debug(|debug| self.in_dwarf(debug, query))?.unwrap_or_default();
        if let Some(file) = file {
            functions.retain(|function| function.declared.as_ref().is_some_and(|line| ends_with(&line.file, file)));
            return Ok(functions);
        }
        // What only the symbol table names: assembly, units without debug info.
        let known: HashSet<u64> =
            functions.iter().flat_map(|function| &function.sites).map(|site| site.entry).collect();
        let symbols = self.symbols()?;
        let named: Vec<Symbol<'_>> = match query {
            Query::Exact(_) | Query::Among(_) if !functions.is_empty() => Vec::new(),
            Query::Exact(name) => symbols.exact(name),
            Query::Among(names) => names.iter().flat_map(|name| symbols.exact(name)).collect(),
            Query::Glob(glob) => symbols.matching(glob).collect(),
        };
        let named = named.into_iter().filter(|symbol| !known.contains(&symbol.address));
        functions.extend(by_symbol::from_symbols(&self.own, named)?);
        Ok(functions)
    }

    fn in_dwarf(&self, debug: &Debug<'_>, query: &Query<'_>) -> Result<Vec<Function>, DebugError> {
        let roots = search::roots(debug, query)?;
        if roots.is_empty() {
            return Ok(Vec::new());
        }
        let instances: Vec<_> = search::instances(debug, &roots)?.into_iter().collect();
        let symbols = self.symbols()?;
        let cfa_at = |address| self.frames().ok()?.cfa(address);
        let share = instances.len().div_ceil(limits::MAX_PARTS).max(limits::FEWEST_OF_PART);
        let shares: Vec<_> = instances.chunks(share).collect();
        let found = debug.in_parts(&*self.own.bytes, shares.len(), |debug, number| {
            let (bytes, elf) = (&Window::over(&*self.own.bytes), &self.own.elf);
            let builder = Builder { debug, bytes, elf, symbols, cfa_at: &cfa_at };
            builder.functions(&roots, shares.get(number).copied().unwrap_or_default())
        })?;
        Ok(functions::united(found.into_iter().flatten()))
    }

    /// Answers a question from the DWARF; `None` where the file has none.
    fn with_debug<T>(
        &self,
        question: impl FnOnce(&Debug<'_>) -> Result<T, DebugError>,
    ) -> Result<Option<T>, DebugError> {
        let Some(file) = self.with_units() else { return Ok(None) };
        let dwarf = match self.dwarf.get_or_init(|| Dwarf::read(&self.own.elf, file, self.companions.as_deref())) {
            Ok(dwarf) => dwarf,
            // Without the rest of it nothing can be said of values: the names of symbols remain.
            Err(DebugError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.clone()),
        };
        let pages = Pages::new(dwarf);
        question(&Debug::new(&pages)).map(Some)
    }

    /// The file that has the units.
    fn with_units(&self) -> Option<&ElfFile> {
        let has = |file: &&ElfFile| {
            let has = |name| file.elf.section(name).is_some_and(|section| section.size > 0);
            has(".debug_info") || has(".zdebug_info")
        };
        Some(&self.own).filter(has).or_else(|| self.stripped().ok()?.file.as_ref().filter(has))
    }

    fn stripped(&self) -> Result<&Stripped, DebugError> {
        let stripped = self.stripped.get_or_init(|| stripped::find(&self.own, self.companions.as_deref()));
        stripped.as_ref().map_err(Clone::clone)
    }

    fn symbols(&self) -> Result<&Symbols, DebugError> {
        let symbols = self.symbols.get_or_init(|| {
            let has = self.own.elf.section(".symtab").is_some();
            let other = if has { None } else { self.stripped().ok().and_then(|stripped| stripped.file.as_ref()) };
            // Damaged ones are none: `.dynsym` remains.
            let packed = self.packed_names.get_or_init(|| stripped::packed_names(&self.own).ok().flatten());
            Symbols::read([Some(&self.own), other, packed.as_ref()].into_iter().flatten())
        });
        symbols.as_ref().map_err(Clone::clone)
    }

    fn frames(&self) -> Result<&Frames, DebugError> {
        let other = || self.with_units().filter(|file| file.path != self.own.path);
        self.frames.get_or_init(|| Frames::read(&self.own, other())).as_ref().map_err(Clone::clone)
    }
}

/// The code of source lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The functions it is in, with their sites.
    pub functions: Vec<Function>,
    /// Whether some unit was made of such a file.
    pub file: bool,
    /// Where none was: the names most like it.
    pub files: Vec<String>,
    /// Other lines of the file that have code, rising.
    pub others: Vec<u32>,
}

/// Whether a path ends in another one, whole names only.
pub(crate) fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/') || end.starts_with('/'))
}
