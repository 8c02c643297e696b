//! Owns what stands at a given address: the function or inlined instance whose code it is, and the values known there.
//! For points that name an address, a line or a mark instead of a function.

use std::rc::Rc;

use super::facts::{AddressRule, DebugError, Function, Site, SiteKind, TypeId};
use super::functions::Builder;
use super::lines;
use super::results;
use super::units::{Debug, Die, DieId, Unit};
use super::variables;

/// What is wanted at an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) address: u64,
    pub(super) rule: AddressRule,
    /// Whether a function's own first address means the one behind its prologue.
    pub(super) behind_prologue: bool,
    /// The line that is meant, where several begin at the address.
    pub(super) line: Option<u32>,
}

/// The code an address belongs to: the function, and the inlined instances around it, outermost first.
pub(super) struct Around<'a> {
    unit: Rc<Unit<'a>>,
    pub(super) host: DieId,
    pub(super) inlined: Vec<Die<'a>>,
}

impl<'a> Builder<'_, 'a> {
    /// The functions whose code the addresses are, each with the sites there; and the addresses that are in none, or
    /// where no instruction begins.
    pub(super) fn at(&self, wanted: &[Wanted]) -> Result<(Vec<Function>, Vec<Wanted>), DebugError> {
        let mut functions: Vec<Function> = Vec::new();
        let mut left: Vec<Wanted> = wanted.to_vec();
        for span in self.debug.spans.iter().filter(|span| span.signature.is_none()) {
            if left.is_empty() {
                break;
            }
            let unit = self.debug.unit(span)?;
            let root = unit.unit.entry(unit.unit.header.root_offset())?;
            let ranges = self.debug.ranges(&unit, &root)?;
            let covered = |address: u64| ranges.is_empty() || holds(&ranges, address);
            let (mine, rest): (Vec<Wanted>, Vec<Wanted>) = left.iter().partition(|one| covered(one.address));
            if mine.is_empty() {
                continue;
            }
            left = rest;
            let around = around(self.debug, &unit, &mine)?;
            for (wanted, around) in mine.into_iter().zip(around) {
                let function = match around {
                    Some(around) => self.function_at(&around, wanted)?,
                    None => None,
                };
                match function {
                    Some(function) => merge(&mut functions, function),
                    None => left.push(wanted),
                }
            }
        }
        Ok((functions, left))
    }

    /// The functions in which these lines have code, with the addresses at which control comes to one of them from
    /// another: where a run of its code begins, and where a jump from another line leads into it.
    pub(super) fn at_lines(&self, runs: &lines::Runs) -> Result<Vec<Function>, DebugError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut add = |address, line| {
            if !wanted.iter().any(|known| known.address == address) {
                wanted.push(Wanted { address, rule: AddressRule::Line, behind_prologue: true, line: Some(line) });
            }
        };
        let mut lines: Vec<u32> = runs.runs.iter().map(|run| run.line).collect();
        lines.sort_unstable();
        lines.dedup();
        for line in lines {
            let ranges: Vec<(u64, u64)> =
                runs.runs.iter().filter(|run| run.line == line).map(|run| (run.low, run.high)).collect();
            ranges.iter().for_each(|(low, _)| add(*low, line));
            let later = runs.rows.iter().filter(|(at, of)| *of == line && !ranges.iter().any(|(low, _)| low == at));
            let later: Vec<u64> = later.map(|(at, _)| *at).collect();
            if later.is_empty() {
                continue;
            }
            let mut parts: Vec<(u64, u64)> = later.iter().filter_map(|at| self.frame_part(*at)).collect();
            parts.sort_unstable();
            parts.dedup();
            let arrivals = self.code(&parts)?.arrivals(&ranges);
            later.iter().filter(|at| arrivals.contains(at)).for_each(|at| add(*at, line));
        }
        Ok(self.at(&wanted)?.0)
    }

    /// The function's code around an address, by the symbols.
    fn frame_part(&self, address: u64) -> Option<(u64, u64)> {
        let mut symbols = self.symbols.functions();
        let around = symbols.find(|one| (one.address..one.address.saturating_add(one.size)).contains(&address))?;
        Some((around.address, around.address.saturating_add(around.size)))
    }

    fn function_at(&self, around: &Around<'a>, wanted: Wanted) -> Result<Option<Function>, DebugError> {
        let debug = self.debug;
        let Some(host) = self.host(debug.die(around.host)?)? else { return Ok(None) };
        let code = self.code(&host.ranges)?;
        let (unit, die) = match around.inlined.last() {
            Some(die) => (Rc::clone(&around.unit), die.clone()),
            None => (Rc::clone(&host.unit), host.die.clone()),
        };
        let (choice, _, own_frame) = self.choose(&host, &code)?;
        let behind = choice.address;
        let skip = wanted.behind_prologue && around.inlined.is_empty() && wanted.address == host.entry;
        let address = if skip { behind } else { wanted.address };
        if !code.is_instruction(address) {
            return Ok(None);
        }
        let found = variables::find(debug, &unit, &die, address)?;
        let mut variables = self.variables(&host, address, &found)?;
        if around.inlined.is_empty() {
            self.follow_passed_addresses(&host, &found, &mut variables, address)?;
        }
        if own_frame && (host.entry..behind).contains(&address) {
            self.hold_back_own_frame(&host, &found, &mut variables)?;
        } else if around.inlined.is_empty() {
            self.hold_back_unfilled(&host, &found, &mut variables, (address == behind).then_some(address))?;
        }
        let kind = match around.inlined.last() {
            None => SiteKind::OutOfLine,
            Some(die) => {
                let call = lines::place(
                    debug,
                    &around.unit,
                    die.attr_value(gimli::DW_AT_call_file),
                    die.attr_value(gimli::DW_AT_call_line),
                );
                SiteKind::Inlined { into: self.name(&host.unit, &host.die)?, call }
            }
        };
        let Some(site) = self.site(kind, address, host.entry, wanted.rule, false, variables) else { return Ok(None) };
        let site = Site { ranges: host.ranges.clone(), ..site };
        Ok(Some(Function {
            name: self.name(&unit, &die)?,
            linkage_name: debug.inherited_text(&unit, &die, gimli::DW_AT_linkage_name)?,
            declared: lines::declared(debug, &unit, &die)?,
            returns: debug.type_of(&unit, &die)?.map(TypeId),
            changed: super::functions::is_changed(&die),
            returns_address: self.returns_address(&unit, &die, std::slice::from_ref(&site))?,
            optimised: results::optimised(debug, &host.unit, &host.die),
            go: variables::go_results(debug, &unit, &die)?,
            sites: vec![site],
        }))
    }
}

fn holds(ranges: &[(u64, u64)], address: u64) -> bool {
    ranges.iter().any(|(low, high)| (*low..*high).contains(&address))
}

/// The code around one address of a unit.
pub(super) fn around_address<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    address: u64,
) -> Result<Option<Around<'a>>, DebugError> {
    let wanted = Wanted { address, rule: AddressRule::Address, behind_prologue: false, line: None };
    Ok(around(debug, unit, &[wanted])?.pop().flatten())
}

/// For each address the code around it, found in one pass over the unit.
fn around<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    wanted: &[Wanted],
) -> Result<Vec<Option<Around<'a>>>, DebugError> {
    let mut found: Vec<Option<Around<'a>>> = wanted.iter().map(|_| None).collect();
    let mut entries = unit.unit.entries_raw(None)?;
    let mut die = Die::null();
    // Below this depth nothing covers any of the addresses.
    let mut hidden: Option<isize> = None;
    while !entries.is_empty() {
        if !entries.read_entry(&mut die)? {
            continue;
        }
        debug.count_die()?;
        if hidden.is_some_and(|depth| die.depth() > depth) {
            continue;
        }
        hidden = None;
        match die.tag() {
            gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine => {}
            gimli::DW_TAG_lexical_block
            | gimli::DW_TAG_compile_unit
            | gimli::DW_TAG_skeleton_unit
            | gimli::DW_TAG_namespace
            | gimli::DW_TAG_module
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_try_block
            | gimli::DW_TAG_catch_block => continue,
            _ => {
                hidden = Some(die.depth());
                continue;
            }
        }
        let ranges = debug.ranges(unit, &die)?;
        let mut any = false;
        // A copy may begin at an address all of whose instructions are others': there its first line counts. The line of
        // the call is the caller's, though the copy's code begins there.
        let inlined = die.tag() == gimli::DW_TAG_inlined_subroutine;
        let entry = if inlined { debug.address(unit, &die, gimli::DW_AT_entry_pc)? } else { None };
        let call =
            if inlined { die.attr_value(gimli::DW_AT_call_line).and_then(|line| line.udata_value()) } else { None };
        let covers = |wanted: &Wanted| {
            let begins = wanted.line.is_some() && entry == Some(wanted.address);
            let is_call = wanted.line.is_some() && call == wanted.line.map(u64::from);
            !is_call && (begins || holds(&ranges, wanted.address))
        };
        for (_, found) in wanted.iter().zip(&mut found).filter(|(wanted, _)| covers(wanted)) {
            any = true;
            match found {
                Some(around) if die.tag() == gimli::DW_TAG_inlined_subroutine => around.inlined.push(die.clone()),
                Some(_) => {}
                None if die.tag() == gimli::DW_TAG_subprogram => {
                    let host = unit.id(die.offset());
                    *found = Some(Around { unit: Rc::clone(unit), host, inlined: Vec::new() });
                }
                None => {}
            }
        }
        if !any {
            hidden = Some(die.depth());
        }
    }
    Ok(found)
}

/// Adds a site to the function it belongs to.
fn merge(functions: &mut Vec<Function>, function: Function) {
    let same = |known: &&mut Function| {
        known.name == function.name
            && known.linkage_name == function.linkage_name
            && known.declared == function.declared
    };
    match functions.iter_mut().find(same) {
        Some(known) => {
            for site in function.sites {
                if !known.sites.iter().any(|have| have.address == site.address) {
                    known.sites.push(site);
                }
            }
        }
        None => functions.push(function),
    }
}
