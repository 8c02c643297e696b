//! Owns the functions that only symbols name: their sites, and what is around an address that nothing else describes.

use std::collections::{BTreeMap, HashSet};

use super::code::Code;
use super::facts::{AddressRule, DebugError, Function, Optimised, Site, SiteKind};
use super::functions::order;
use super::limits::{self, over};
use super::price;
use super::symbols::Symbols;
use super::window::Window;
use crate::world::ReadAt;

/// The sites of functions that only symbols name.
pub(super) fn from_symbols<'s>(
    file: &super::dwarf::ElfFile,
    symbols: impl Iterator<Item = super::symbols::Symbol<'s>>,
) -> Result<Vec<Function>, DebugError> {
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    let has = |name| file.elf.section(name).is_some();
    let go = has(".gopclntab") || has(".go.buildinfo");
    let bytes = Window::over(&*file.bytes);
    let mut known = HashSet::new();
    let mut code = 0;
    for symbol in symbols {
        let end = symbol.address.saturating_add(symbol.size);
        let linkage = super::symbols::clone_base(symbol.name);
        if !known.insert((linkage, symbol.address)) {
            continue;
        }
        if known.len() > limits::MAX_SITES {
            return Err(over("sites", limits::MAX_SITES));
        }
        // Functions may claim each other's code.
        code += symbol.size.min(limits::MAX_CODE_BYTES);
        if code > limits::MAX_SYMBOL_CODE {
            return Err(over("bytes of code that functions of that name have", limits::MAX_SYMBOL_CODE));
        }
        // Go's functions begin anew when their stack has grown.
        let behind =
            if go { Code::read(&bytes, &file.elf, &[(symbol.address, end)]).behind_stack_check() } else { None };
        let cheaper = price::of_symbol(&bytes, &file.elf, symbol.address, end);
        let address = behind.or(cheaper).unwrap_or(symbol.address);
        let Some(file_offset) = file.elf.file_offset(address) else { continue };
        let demangled = super::names::demangle(linkage).map(|name| name.full);
        let function = functions.entry(linkage.to_owned()).or_insert_with(|| Function {
            linkage_name: demangled.as_ref().map(|_| linkage.to_owned()),
            name: demangled.unwrap_or_else(|| linkage.to_owned()),
            declared: None,
            returns: None,
            changed: false,
            returns_address: false,
            optimised: Optimised::ByOther,
            go: None,
            sites: Vec::new(),
        });
        let passed = address.saturating_sub(symbol.address);
        function.sites.push(Site { passed, ..site(&bytes, address, file_offset, symbol.address, AddressRule::Symbol) });
        if functions.len() > limits::MAX_FUNCTIONS {
            return Err(over("functions of that name", limits::MAX_FUNCTIONS));
        }
    }
    let mut functions: Vec<Function> = functions.into_values().collect();
    for function in &mut functions {
        order(&mut function.sites);
    }
    Ok(functions)
}

/// The function that the symbols name around an address, with the one site there; `None` where an instruction is not
/// known to begin there.
pub(super) fn around_symbol(
    file: &super::dwarf::ElfFile,
    symbols: &Symbols,
    frames: Option<&super::cfi::Frames>,
    address: u64,
    rule: AddressRule,
) -> Option<Function> {
    let named = symbols
        .functions()
        .filter(|symbol| (symbol.address..=symbol.address.saturating_add(symbol.size)).contains(&address))
        .max_by_key(|symbol| symbol.address);
    let described = frames.and_then(|frames| frames.part(address));
    let (low, high) = match (&named, described) {
        (Some(symbol), _) if symbol.size > 0 => (symbol.address, symbol.address.saturating_add(symbol.size)),
        (_, Some(part)) => part,
        (Some(symbol), None) if symbol.address == address => (address, address + 1),
        (Some(_) | None, None) => return None,
    };
    let code = Code::read(&*file.bytes, &file.elf, &[(low, high)]);
    let begins = address == low || code.is_instruction(address);
    let file_offset = file.elf.file_offset(address).filter(|_| begins && address < high)?;
    let mut function = nameless(&*file.bytes, address, file_offset);
    if let Some(symbol) = named {
        let linkage = super::symbols::clone_base(symbol.name);
        let demangled = super::names::demangle(linkage).map(|name| name.full);
        function.linkage_name = demangled.as_ref().map(|_| linkage.to_owned());
        function.name = demangled.unwrap_or_else(|| linkage.to_owned());
    }
    for site in &mut function.sites {
        (site.entry, site.rule) = (low, rule);
    }
    Some(function)
}

/// Code at an address that nothing names.
pub(super) fn nameless(bytes: &dyn ReadAt, address: u64, file_offset: u64) -> Function {
    Function {
        name: format!("{address:#x}"),
        linkage_name: None,
        declared: None,
        returns: None,
        changed: false,
        returns_address: false,
        optimised: Optimised::ByOther,
        go: None,
        sites: vec![site(bytes, address, file_offset, address, AddressRule::Mark)],
    }
}

/// A site of which no more is known than where it is.
fn site(bytes: &dyn ReadAt, address: u64, file_offset: u64, entry: u64, rule: AddressRule) -> Site {
    Site {
        kind: SiteKind::Symbol,
        address,
        file_offset,
        entry,
        rule,
        passed: 0,
        price: price::at(bytes, file_offset),
        repeats: false,
        partial: false,
        ranges: Vec::new(),
        semaphore: None,
        mark: None,
        arguments: Vec::new(),
        variables: Vec::new(),
    }
}
