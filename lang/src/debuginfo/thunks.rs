//! Owns the copies of member functions of C++ that gcc makes in their thunks: it inlines a function into a thunk of it, and
//! debug info tells nothing of that code. (clang describes it as an inlined instance.)

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

use super::elf::{Elf, read_range};
use super::facts::{AddressRule, Location, Site, SiteKind, Unavailable, Variable};
use super::limits;
use super::price;
use super::symbols::Symbols;
use crate::world::ReadAt;

/// Most bytes of a thunk up to its jump into the function.
const LONGEST: u64 = 256;

/// What the names of thunks begin with, and those of some other things.
const THUNK: &str = "_ZT";

/// Thunks by the linkage name of the function they are of: address and size.
pub(super) type Thunks = HashMap<String, Vec<(u64, u64)>>;

/// All thunks that the symbols name.
pub(super) fn thunks(symbols: &Symbols) -> Thunks {
    let mut found: Thunks = HashMap::new();
    for symbol in symbols.beginning(THUNK).filter(|symbol| symbol.size > 0) {
        let Some(target) = target(symbol.name) else { continue };
        found.entry(same_name(&target)).or_default().push((symbol.address, symbol.size));
    }
    for known in found.values_mut() {
        known.sort_by_key(|(address, _)| *address);
        known.dedup_by_key(|(address, _)| *address);
        known.truncate(limits::MAX_THUNKS);
    }
    found
}

/// The linkage name of the function that a thunk is of (Itanium C++ ABI 5.1.4.3).
fn target(name: &str) -> Option<String> {
    let rest = name.strip_prefix(THUNK)?;
    let encoding = match rest.strip_prefix('c') {
        Some(rest) => offset(offset(rest)?)?,
        None => offset(rest)?,
    };
    Some(format!("_Z{encoding}"))
}

/// What follows a call offset: `h` and a number, or `v` and two, each with `_` behind it.
fn offset(text: &str) -> Option<&str> {
    let number = |text: &'_ str| -> Option<usize> {
        let digits = text.strip_prefix('n').unwrap_or(text);
        let end = digits.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        digits.get(end..)?.starts_with('_').then_some(text.len() - digits.len() + end + 1)
    };
    match text.split_at_checked(1)? {
        ("h", rest) => rest.get(number(rest)?..),
        ("v", rest) => {
            let rest = rest.get(number(rest)?..)?;
            rest.get(number(rest)?..)
        }
        _ => None,
    }
}

/// A linkage name; of destructors, which have several for one function, always the same.
pub(super) fn same_name(name: &str) -> String {
    let stem = ["D0Ev", "D1Ev", "D2Ev"].iter().find_map(|end| name.strip_suffix(end));
    stem.map_or_else(|| name.to_owned(), |stem| format!("{stem}D4Ev"))
}

/// The sites of the copies of a function, which has these sites, in thunks of it.
pub(super) fn copies(bytes: &dyn ReadAt, elf: &Elf, thunks: &[(u64, u64)], sites: &[Site]) -> Vec<Site> {
    let entries: Vec<u64> = sites.iter().map(|site| site.entry).collect();
    // One thunk may go on into another.
    let onward: Vec<u64> = entries.iter().copied().chain(thunks.iter().map(|(low, _)| *low)).collect();
    let variables = sites.first().map(|site| site.variables.as_slice()).unwrap_or_default();
    let mut found = Vec::new();
    for (low, size) in thunks {
        // What has a site there already is described: another name of the function itself, say.
        if entries.contains(low) || goes_on(bytes, elf, *low, *size, &onward) {
            continue;
        }
        let Some(file_offset) = elf.file_offset(*low) else { continue };
        found.push(Site {
            kind: SiteKind::OutOfLine,
            address: *low,
            file_offset,
            entry: *low,
            rule: AddressRule::Symbol,
            passed: 0,
            price: price::at(bytes, file_offset),
            repeats: false,
            partial: false,
            ranges: vec![(*low, low.saturating_add(*size))],
            semaphore: None,
            mark: None,
            arguments: Vec::new(),
            variables: variables.iter().map(unknown).collect(),
        });
    }
    found
}

fn unknown(variable: &Variable) -> Variable {
    let why = "debug info does not describe the copy of the function that the compiler made in a thunk";
    Variable { location: Location::Unavailable(Unavailable::Unsupported(why.to_owned())), ..variable.clone() }
}

/// Whether the first thing that a thunk does, having corrected the object's address, is to go to one of these.
fn goes_on(bytes: &dyn ReadAt, elf: &Elf, low: u64, size: u64, entries: &[u64]) -> bool {
    let text = elf.file_offset(low).and_then(|offset| read_range(bytes, offset, size.min(LONGEST))?.ok());
    let text = text.unwrap_or_default();
    let mut decoder = Decoder::with_ip(64, &text, low, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::UnconditionalBranch | FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                return entries.contains(&instruction.near_branch_target());
            }
            _ => return false,
        }
    }
    // It runs into what follows it.
    entries.contains(&low.saturating_add(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thunks_say_which_function_they_are_of() {
        assert_eq!(target("_ZThn16_N1D1gEi").as_deref(), Some("_ZN1D1gEi"));
        assert_eq!(target("_ZTv0_n24_N1D1hEi").as_deref(), Some("_ZN1D1hEi"));
        assert_eq!(target("_ZTch0_h16_N1D5cloneEv").as_deref(), Some("_ZN1D5cloneEv"));
        assert_eq!(target("_ZTcv0_n24_v0_n32_N1D5cloneEv").as_deref(), Some("_ZN1D5cloneEv"));
        for other in ["_ZTV1D", "_ZTI1D", "_ZTh", "_ZThx_f", "_ZN1D1gEi", "_ZTv0_N1D1hEi", "_ZTW1x"] {
            assert_eq!(target(other), None, "{other}");
        }
        assert_eq!(same_name("_ZN1DD0Ev"), same_name("_ZN1DD4Ev"));
    }
}
