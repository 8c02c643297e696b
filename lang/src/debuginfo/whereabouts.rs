//! Owns naming a place in the code, for stacks: the function around an address, with those that were inlined there, and
//! their lines. What no table names has no name; the nearest symbol before it is not taken for it.

use std::rc::Rc;

use super::facts::{DebugError, Language, SourceLine, TypeId};
use super::functions::Builder;
use super::names::demangle;
use super::symbols::{Symbol, Symbols, clone_base};
use super::units::{Debug, Die, Unit};
use super::{Module, lines, places, search, types};

/// A call that is at an address: of a function, or of one inlined into the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The function, demangled; `None` where nothing names it.
    pub function: Option<String>,
    /// How far behind the function's beginning; not for what was inlined, nor for parts split off.
    pub offset: Option<u64>,
    /// The line of the source.
    pub line: Option<SourceLine>,
    /// Whether the function was inlined into the next one.
    pub inlined: bool,
}

/// The most inlined functions at one address.
const MOST_INLINED: usize = 64;

impl Module {
    /// The calls that are at a link-time address, innermost first; never none.
    pub fn whereabouts(&self, address: u64) -> Vec<Whereabouts> {
        // Damaged debug info names nothing; the symbols may.
        let told = self.with_debug(|debug| self.in_units(debug, address)).ok().flatten().flatten();
        told.unwrap_or_else(|| vec![self.by_symbol(address)])
    }

    fn in_units(&self, debug: &Debug<'_>, address: u64) -> Result<Option<Vec<Whereabouts>>, DebugError> {
        let cfa_at = |_| None;
        let (bytes, elf) = (&*self.own.bytes, &self.own.elf);
        let builder = Builder { debug, bytes, elf, symbols: self.symbols()?, cfa_at: &cfa_at };
        for span in debug.spans.iter().filter(|span| span.signature.is_none()) {
            let unit = debug.unit(span)?;
            let root = unit.unit.entry(unit.unit.header.root_offset())?;
            let ranges = debug.ranges(&unit, &root)?;
            if !ranges.is_empty() && !ranges.iter().any(|(low, high)| (*low..*high).contains(&address)) {
                continue;
            }
            let Some(around) = places::around_address(debug, &unit, address)? else { continue };
            let Some(host) = builder.host(debug.die(around.host)?)? else { continue };
            let mut line = lines::line_at(debug, &unit, address)?;
            let mut calls = Vec::new();
            for die in around.inlined.iter().rev().take(MOST_INLINED) {
                let (file, at) = (die.attr_value(gimli::DW_AT_call_file), die.attr_value(gimli::DW_AT_call_line));
                let call = lines::place(debug, &unit, file, at);
                let function = Some(name(&builder, &unit, die)?);
                calls.push(Whereabouts {
                    function,
                    offset: None,
                    line: std::mem::replace(&mut line, call),
                    inlined: true,
                });
            }
            let in_main = (host.main.0..host.main.1).contains(&address);
            calls.push(Whereabouts {
                function: Some(name(&builder, &host.unit, &host.die)?),
                offset: if in_main { address.checked_sub(host.entry) } else { None },
                line,
                inlined: false,
            });
            return Ok(Some(calls));
        }
        Ok(None)
    }

    fn by_symbol(&self, address: u64) -> Whereabouts {
        let begins = self.frames().ok().and_then(|frames| frames.part(address)).map(|(low, _)| low);
        let Some(symbol) = self.symbols().ok().and_then(|symbols| symbols.around(address, begins)) else {
            return Whereabouts::default();
        };
        let base = clone_base(symbol.name);
        let function = Some(demangle(base).map_or_else(|| base.to_owned(), |name| name.full));
        Whereabouts { function, offset: address.checked_sub(symbol.address), ..Whereabouts::default() }
    }
}

/// The name of a function. One of C++ that was inlined wherever it is called has no linkage name: what is around it tells
/// its namespaces and class.
fn name<'a>(builder: &Builder<'_, 'a>, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Result<String, DebugError> {
    let debug = builder.debug;
    let linked = debug.inherited_text(unit, die, gimli::DW_AT_linkage_name)?.is_some();
    if !linked && types::language(debug, TypeId(unit.start))? == Language::Cpp {
        let root = debug.root(unit.id(die.offset()))?;
        let names = search::names_of(debug, root)?;
        // The class of a lambda has no name.
        let named = names.filter(|names| names.scopes.iter().all(|scope| scope != search::UNNAMED));
        if let Some(qualified) = named.and_then(|names| names.qualified()) {
            return Ok(qualified);
        }
    }
    builder.name(unit, die)
}

/// How many symbols before an address are looked at: several may lie at one address, or end before it.
const MOST_LOOKED_AT: usize = 64;

impl Symbols {
    /// The function whose bytes an address is one of. One whose symbol has no size counts where what unwinds there
    /// begins with it.
    fn around(&self, address: u64, begins: Option<u64>) -> Option<Symbol<'_>> {
        let holds = |symbol: &Symbol<'_>| match symbol.size {
            0 => begins == Some(symbol.address),
            size => address.checked_sub(symbol.address).is_some_and(|into| into < size),
        };
        self.before(address).take(MOST_LOOKED_AT).find(holds)
    }
}
