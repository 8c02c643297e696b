//! Owns turning the DIEs of a function into its sites: the addresses to probe, and what is known there.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::cfi::Cfa;
use super::code::Code;
use super::compute;
use super::copies;
use super::elf::Elf;
use super::facts::{
    AddressRule, Compute, DebugError, Function, Location, Optimised, Site, SiteKind, TypeId, Unavailable, Variable,
    VariableKind,
};
use super::filled::Slot;
use super::given;
use super::limits::{self, over};
use super::lines;
use super::location::{self, CfaAt, Frame};
use super::price;
use super::producer::Producer;
use super::prologue::{self, Validity};
use super::results;
use super::search::{Instance, Names};
use super::symbols::{Symbols, is_fragment};
use super::thunks;
use super::types::{self, Passed};
use super::units::{Debug, Die, DieId, Unit};
use super::variables::{self, Found};
use crate::world::ReadAt;

/// What sites are built from.
pub(super) struct Builder<'b, 'a> {
    pub(super) debug: &'b Debug<'a>,
    pub(super) bytes: &'b dyn ReadAt,
    pub(super) elf: &'b Elf,
    pub(super) symbols: &'b Symbols,
    pub(super) cfa_at: CfaAt<'b>,
}

/// An out-of-line function with code in this file.
pub(super) struct Host<'a> {
    pub(super) unit: Rc<Unit<'a>>,
    pub(super) die: Die<'a>,
    pub(super) ranges: Vec<(u64, u64)>,
    pub(super) entry: u64,
    /// The range that holds the entry.
    pub(super) main: (u64, u64),
}

impl<'a> Builder<'_, 'a> {
    /// The functions of these roots, one for each that has sites.
    pub(super) fn functions(
        &self,
        roots: &BTreeMap<DieId, Names>,
        instances: &[(DieId, Vec<Instance>)],
    ) -> Result<Vec<Function>, DebugError> {
        let mut functions = Vec::new();
        for (root, instances) in instances {
            let Some(names) = roots.get(root) else { continue };
            let (unit, die) = self.debug.die(*root)?;
            let mut sites = self.sites(instances, (*root, &unit, &die))?;
            let thunks = names.linkage.as_deref().map_or(&[][..], |linkage| self.symbols.thunks_of(linkage));
            if !thunks.is_empty() && self.debug.producer(&unit) == Producer::Gcc {
                // The copies of a function in thunks of it that nothing describes.
                sites.extend(thunks::copies(self.bytes, self.elf, thunks, &sites));
            }
            if !sites.is_empty() {
                functions.push(self.describe(&unit, &die, names, instances, sites)?);
            }
        }
        Ok(functions)
    }

    fn describe(
        &self,
        unit: &Rc<Unit<'a>>,
        die: &Die<'a>,
        names: &Names,
        instances: &[Instance],
        sites: Vec<Site>,
    ) -> Result<Function, DebugError> {
        let linkage_name = names.linkage.clone().filter(|linkage| Some(linkage) != names.short.as_ref());
        let name = names
            .demangled()
            .map(|name| name.full)
            .or_else(|| names.qualified())
            .or_else(|| names.linkage.clone())
            .unwrap_or_default();
        let returns = self.debug.type_of(unit, die)?;
        Ok(Function {
            name,
            linkage_name,
            declared: lines::declared(self.debug, unit, die)?,
            returns: returns.map(TypeId),
            changed: is_changed(die),
            returns_address: self.returns_address(unit, die, &sites)?,
            optimised: if returns.is_some() { self.optimised(unit, die, instances)? } else { Optimised::No },
            go: variables::go_results(self.debug, unit, die)?,
            sites,
        })
    }

    /// Who may have changed what is returned by the out-of-line ones of these, of which the function's own DIE may be one.
    fn optimised(&self, unit: &Rc<Unit<'a>>, die: &Die<'a>, instances: &[Instance]) -> Result<Optimised, DebugError> {
        let called = instances.iter().filter(|instance| instance.inside.is_none());
        called.into_iter().try_fold(Optimised::No, |worst, instance| {
            if instance.id == unit.id(die.offset()) {
                return Ok(worst.max(results::optimised(self.debug, unit, die)));
            }
            let (unit, die) = self.debug.die(instance.id)?;
            Ok(worst.max(results::optimised(self.debug, &unit, &die)))
        })
    }

    /// Whether the address of a result in memory is returned from all of these sites that calls enter. LLVM sees to it
    /// where others may call the function, and otherwise where it is not in its way.
    pub(super) fn returns_address(
        &self,
        unit: &Rc<Unit<'a>>,
        die: &Die<'a>,
        sites: &[Site],
    ) -> Result<bool, DebugError> {
        if self.debug.producer(unit) != Producer::Other || !types::is_whole(self.debug, unit, die)? {
            return Ok(true);
        }
        let called = sites.iter().filter(|site| site.kind == SiteKind::OutOfLine);
        Ok(called.into_iter().all(|site| {
            let known_to_others = self.symbols.at(site.entry).any(|symbol| !symbol.local);
            known_to_others || given::returns_it(self.bytes, self.elf, &site.ranges)
        }))
    }

    /// `root` is what these were made of, or the only one itself.
    fn sites(
        &self,
        instances: &[Instance],
        (root, unit, die): (DieId, &Rc<Unit<'a>>, &Die<'a>),
    ) -> Result<Vec<Site>, DebugError> {
        let mut sites = Vec::new();
        let mut hosts: BTreeMap<DieId, Option<(Host<'a>, Code)>> = BTreeMap::new();
        for instance in instances {
            let id = instance.inside.unwrap_or(instance.id);
            if !hosts.contains_key(&id) {
                let own = if id == root { (Rc::clone(unit), die.clone()) } else { self.debug.die(id)? };
                let host = match self.host(own)? {
                    Some(host) => {
                        let code = self.code(&host.ranges)?;
                        Some((host, code))
                    }
                    None => None,
                };
                if hosts.len() >= limits::MAX_CACHED_UNITS {
                    hosts.clear();
                }
                hosts.insert(id, host);
            }
            let Some(Some((host, code))) = hosts.get(&id) else { continue };
            let found = match instance.inside {
                None => self.out_of_line(host, code)?.into_iter().collect(),
                Some(_) if instance.within_itself && self.is_rest(instance.id)? => Vec::new(),
                Some(_) => self.inlined(host, code, instance.id)?,
            };
            let held = |site: &Site| {
                size_of::<(u64, u64)>() * site.ranges.len() + size_of::<Variable>() * site.variables.len()
            };
            self.debug.steps.hold(found.iter().map(held).sum())?;
            sites.extend(found);
            if sites.len() > limits::MAX_SITES {
                return Err(over("sites", limits::MAX_SITES));
            }
        }
        Ok(sites)
    }

    /// The code of a function. Functions may claim each other's.
    pub(super) fn code(&self, ranges: &[(u64, u64)]) -> Result<Code, DebugError> {
        let bytes = ranges.iter().map(|(low, high)| high.saturating_sub(*low)).fold(0, u64::saturating_add);
        let read = bytes.min(limits::MAX_CODE_BYTES) / limits::CODE_IN_A_STEP;
        self.debug.steps.count(read + ranges.len() as u64 * limits::STEPS_TO_READ)?;
        Ok(Code::read(self.bytes, self.elf, ranges))
    }

    /// The out-of-line function of a DIE; `None` where the linker threw its code away.
    pub(super) fn host(&self, (unit, die): (Rc<Unit<'a>>, Die<'a>)) -> Result<Option<Host<'a>>, DebugError> {
        let mut ranges = self.debug.ranges(&unit, &die)?;
        // Linkers leave 0 or 1 where the code has gone; no code of an executable segment lies there.
        ranges.retain(|(low, _)| *low > 1 && self.elf.file_offset(*low).is_some());
        let entry = match self.debug.address(&unit, &die, gimli::DW_AT_entry_pc)? {
            Some(entry) => Some(entry),
            None if ranges.len() > 1 => self.entry_of_parts(&ranges),
            None => ranges.first().map(|(low, _)| *low),
        };
        let found = entry.and_then(|entry| {
            let main = *ranges.iter().find(|(low, high)| (*low..*high).contains(&entry))?;
            Some((entry, main))
        });
        Ok(found.map(|(entry, main)| Host { unit, die, ranges, entry, main }))
    }

    /// Which part of a split function calls enter: not one whose symbol says `.cold`; else the first in DWARF's list.
    fn entry_of_parts(&self, ranges: &[(u64, u64)]) -> Option<u64> {
        let named = |low: u64| self.symbols.at(low).find(|symbol| !is_fragment(symbol.name));
        let fragment = |low: u64| self.symbols.at(low).any(|symbol| is_fragment(symbol.name));
        let starts = || ranges.iter().map(|(low, _)| *low);
        starts()
            .find(|low| named(*low).is_some())
            .or_else(|| starts().find(|low| !fragment(*low)))
            .or_else(|| starts().next())
    }

    fn out_of_line(&self, host: &Host<'a>, code: &Code) -> Result<Option<Site>, DebugError> {
        let debug = self.debug;
        // `f.part.0` goes on with a call of `f` that began elsewhere: in `f` or in an inlined instance of it.
        let part = |name: &str| name.contains(".part.");
        if self.symbols.at(host.entry).any(|symbol| part(symbol.name)) {
            return Ok(None);
        }
        let (choice, found, _) = self.choose(host, code)?;
        let found = if choice.address == host.entry {
            found
        } else {
            variables::find(debug, &host.unit, &host.die, choice.address)?
        };
        let mut variables = self.variables(host, choice.address, &found)?;
        self.hold_back(host, &choice, &found, &mut variables)?;
        let mut address = choice.address;
        if let Some(cheaper) = self.cheaper(host, code, &choice, &variables)? {
            (address, variables) = cheaper;
        }
        let site = self.site(SiteKind::OutOfLine, address, host.entry, choice.rule, choice.repeats, variables);
        let passed = address.saturating_sub(choice.address);
        Ok(site.map(|site| Site { ranges: host.ranges.clone(), passed, ..site }))
    }

    /// A better address behind the chosen one, with the values there: one that costs less, or, behind an `endbr64`, one
    /// at which more is known (clang 14 lets locations begin there). Debug info says of all that is known at the chosen
    /// one the same there, and no instruction between changes what is read.
    fn cheaper(
        &self,
        host: &Host<'a>,
        code: &Code,
        choice: &prologue::Choice,
        variables: &[Variable],
    ) -> Result<Option<(u64, Vec<Variable>)>, DebugError> {
        let Some(text) = price::text(self.bytes, self.elf, choice.address, host.main.1) else { return Ok(None) };
        let mut best: Option<(u64, Vec<Variable>)> = None;
        if let Some(address) = price::behind_mark(&text, choice.address, code)
            && let Some(there) = self.same_at(host, choice, variables, address)?
        {
            let known = |variables: &[Variable]| variables.iter().filter(|one| is_known(one)).count();
            best = (known(&there) > known(variables)).then_some((address, there));
        }
        let known = best.as_ref().map_or(variables, |(_, there)| there);
        let mut needed = price::needed(known.iter().map(|variable| &variable.location));
        if choice.address == host.entry {
            needed.arguments();
        }
        for address in price::candidates(&text, choice.address, host.main, code, &needed) {
            if let Some(there) = self.same_at(host, choice, known, address)? {
                return Ok(Some((address, there)));
            }
        }
        Ok(best)
    }

    /// The values at an address; `None` where one that is known is not where it was.
    fn same_at(
        &self,
        host: &Host<'a>,
        choice: &prologue::Choice,
        known: &[Variable],
        address: u64,
    ) -> Result<Option<Vec<Variable>>, DebugError> {
        let found = variables::find(self.debug, &host.unit, &host.die, address)?;
        let mut there = self.variables(host, address, &found)?;
        self.hold_back(host, choice, &found, &mut there)?;
        let kept = |one: &Variable| {
            !is_known(one) || there.iter().any(|other| other.name == one.name && other.location == one.location)
        };
        Ok(known.iter().all(kept).then_some(there))
    }

    /// The address for a function itself; what is in scope at its entry, and whether parameters are in its frame.
    pub(super) fn choose(
        &self,
        host: &Host<'a>,
        code: &Code,
    ) -> Result<(prologue::Choice, Vec<Found<'a>>, bool), DebugError> {
        let frame_base = host.die.attr_value(gimli::DW_AT_frame_base);
        let found = variables::find(self.debug, &host.unit, &host.die, host.entry)?;
        let own_frame = prologue::needs_prologue(self.debug, frame_base, &found)?;
        let rows = lines::rows(&host.unit, host.main.0, host.main.1)?;
        let producer = self.debug.producer(&host.unit);
        let mut choice = prologue::choose(producer, host.entry, &rows, code, own_frame);
        if producer == Producer::Gcc && choice.behind_prologue {
            let parameters = found.iter().filter(|found| found.kind == VariableKind::Parameter);
            let slots: Vec<Slot> = self.slots(host, parameters)?.into_iter().flatten().collect();
            if slots.iter().any(Slot::floats) {
                let filled = |address| slots.iter().all(|slot| self.is_filled(host, slot, address));
                let mut later: Vec<u64> = rows.iter().map(|row| row.address).collect();
                later.retain(|address| *address >= choice.address && code.is_instruction(*address));
                later.sort_unstable();
                later.dedup();
                let mut later = later.into_iter().take(limits::MAX_COPIES);
                let reached = |address| code.always_reaches(host.entry, address);
                if let Some(address) = later.find(|address| reached(*address) && filled(*address)) {
                    choice.address = address;
                    choice.repeats = code.returns_to(host.entry, address, |_| true);
                }
            }
        }
        Ok((choice, found, own_frame))
    }

    /// The memory of each variable, where one location names it for all of the function.
    fn slots<'f>(
        &self,
        host: &Host<'a>,
        found: impl Iterator<Item = &'f Found<'a>>,
    ) -> Result<Vec<Option<Slot>>, DebugError>
    where
        'a: 'f,
    {
        let by_cfa = prologue::by_cfa(host.die.attr_value(gimli::DW_AT_frame_base));
        let slot = |found: &Found<'a>| {
            let ty = self.debug.type_of(&found.unit, &found.die)?;
            let size = ty.map(|ty| types::byte_size(self.debug, ty)).transpose()?.flatten();
            Ok(Slot::of(&found.unit, &found.die, by_cfa, size.unwrap_or(1)).filter(Slot::is_own))
        };
        found.map(slot).collect()
    }

    /// Whether the code from the function's entry up to `address` has filled a variable's memory.
    fn is_filled(&self, host: &Host<'a>, slot: &Slot, address: u64) -> bool {
        let size = address.saturating_sub(host.entry);
        if size > limits::MAX_CODE_BYTES || self.debug.steps.count(size / limits::CODE_IN_A_STEP).is_err() {
            return true;
        }
        let offset = self.elf.file_offset(host.entry);
        let text = offset.and_then(|offset| super::elf::read_range(self.bytes, offset, size)?.ok());
        text.is_none_or(|text| slot.is_filled(&text, host.entry, self.cfa_at))
    }

    /// Takes back what is not yet true at a function's own site: before the prologue what is true only behind it, behind it
    /// what gcc's code has not stored on the way.
    fn hold_back(
        &self,
        host: &Host<'a>,
        choice: &prologue::Choice,
        found: &[Found<'a>],
        variables: &mut [Variable],
    ) -> Result<(), DebugError> {
        self.follow_passed_addresses(host, found, variables, choice.address)?;
        if !choice.behind_prologue {
            self.hold_back_own_frame(host, found, variables)?;
        }
        self.hold_back_unfilled(host, found, variables, Some(choice.address))
    }

    /// Takes back parameters in memory that the function fills behind its prologue.
    pub(super) fn hold_back_own_frame(
        &self,
        host: &Host<'a>,
        found: &[Found<'a>],
        variables: &mut [Variable],
    ) -> Result<(), DebugError> {
        let frame_base = host.die.attr_value(gimli::DW_AT_frame_base);
        let validities = prologue::validities(self.debug, frame_base, found)?;
        for (found, validity) in found.iter().zip(validities) {
            if validity == Validity::BehindPrologue && found.kind == VariableKind::Parameter {
                self.take_back(
                    found,
                    variables,
                    "it is in memory that the function has yet to fill at the probed address",
                )?;
            }
        }
        Ok(())
    }

    /// Takes back what gcc says to be where nothing before the address, or with none nothing in the function, puts it; and
    /// what is counted from a register that is known only right behind the prologue.
    pub(super) fn hold_back_unfilled(
        &self,
        host: &Host<'a>,
        found: &[Found<'a>],
        variables: &mut [Variable],
        address: Option<u64>,
    ) -> Result<(), DebugError> {
        if self.debug.producer(&host.unit) != Producer::Gcc {
            return Ok(());
        }
        let slots = self.slots(host, found.iter())?;
        for (found, slot) in found.iter().zip(slots) {
            let Some(slot) = slot.filter(|slot| slot.floats() || found.kind == VariableKind::Parameter) else {
                continue;
            };
            let known = match address {
                Some(address) => self.is_filled(host, &slot, address),
                None => !slot.floats() && self.is_filled(host, &slot, host.main.1),
            };
            if !known {
                self.take_back(found, variables, "debug info names a place that the function has not put it into")?;
            }
        }
        Ok(())
    }

    /// LLVM names the place on the stack of a structure whose address is passed there as that of the structure itself: takes
    /// the address from it where the type says that its address is what is passed, and takes back what might be either.
    pub(super) fn follow_passed_addresses(
        &self,
        host: &Host<'a>,
        found: &[Found<'a>],
        variables: &mut [Variable],
        address: u64,
    ) -> Result<(), DebugError> {
        if self.debug.producer(&host.unit) != Producer::Other {
            return Ok(());
        }
        let Some(Cfa::Offset(frame, size)) = (self.cfa_at)(address) else { return Ok(()) };
        for found in found.iter().filter(|found| found.kind == VariableKind::Parameter) {
            let passed = types::passed(self.debug, &found.unit, &found.die)?;
            if passed == Passed::Itself {
                continue;
            }
            let name = self.debug.inherited_text(&found.unit, &found.die, gimli::DW_AT_name)?;
            let same = |one: &&mut Variable| one.kind == found.kind && Some(&one.name) == name.as_ref();
            for variable in variables.iter_mut().filter(same) {
                let Location::Memory(place) = &variable.location else { continue };
                if !compute::is_beyond(place, frame, size) {
                    continue;
                }
                variable.location = match passed {
                    Passed::Address => Location::Memory(Compute::Deref { address: Box::new(place.clone()), size: 8 }),
                    Passed::Itself | Passed::Unknown => {
                        let why = "debug info does not say whether it is on the stack or its address";
                        Location::Unavailable(Unavailable::Unsupported(why.to_owned()))
                    }
                };
            }
        }
        Ok(())
    }

    fn take_back(&self, found: &Found<'a>, variables: &mut [Variable], why: &str) -> Result<(), DebugError> {
        let name = self.debug.inherited_text(&found.unit, &found.die, gimli::DW_AT_name)?;
        let same = |one: &&mut Variable| one.kind == found.kind && Some(&one.name) == name.as_ref();
        for variable in variables.iter_mut().filter(same) {
            variable.location = Location::Unavailable(Unavailable::Unsupported(why.to_owned()));
        }
        Ok(())
    }

    /// Whether an instance inlined into one of its own function is the rest of that same call: gcc splits a function in
    /// two (`f.part.0`), and where it inlines both, "calls" the second from the place that declares the function.
    /// (A function that calls itself does so from its body, another place.)
    fn is_rest(&self, id: DieId) -> Result<bool, DebugError> {
        let (unit, die) = self.debug.die(id)?;
        let number = |at| -> Result<Option<u64>, DebugError> {
            Ok(self.debug.inherited(&unit, &die, at)?.and_then(|(_, value)| value.udata_value()))
        };
        let line = number(gimli::DW_AT_call_line)?;
        let same_line = line.is_some() && line == number(gimli::DW_AT_decl_line)?;
        Ok(same_line && number(gimli::DW_AT_call_column)? == number(gimli::DW_AT_decl_column)?)
    }

    fn inlined(&self, host: &Host<'a>, code: &Code, id: DieId) -> Result<Vec<Site>, DebugError> {
        let debug = self.debug;
        let (unit, die) = debug.die(id)?;
        let ranges = debug.ranges(&unit, &die)?;
        let marked = debug.address(&unit, &die, gimli::DW_AT_entry_pc)?;
        // Without a mark: the lowest address, of the part that the function's own entry is in if there is one.
        let lowest = || {
            let starts = || ranges.iter().map(|(low, _)| *low);
            let main = host.main.0..host.main.1;
            starts().filter(|low| main.contains(low)).min().or_else(|| starts().min())
        };
        let in_host = |address: &u64| host.ranges.iter().any(|(low, high)| (*low..*high).contains(address));
        let Some(entry) = marked.or_else(lowest).filter(in_host) else { return Ok(Vec::new()) };
        let inside = |from: u64| ranges.iter().any(|(low, high)| (*low..*high).contains(&from));
        let common = |low: u64| {
            let high = ranges.iter().find(|(begin, end)| (*begin..*end).contains(&low)).map_or(low, |(_, high)| *high);
            code.common_entry(low, high, inside)
        };
        let first = (entry, if marked.is_some() { entry } else { common(entry) });
        let copies = self.copies(host, &unit, &die, &ranges, entry)?;
        let mut copies: Vec<(u64, u64)> = copies.into_iter().map(|start| (start, common(start))).collect();
        let parameters = variables::find(debug, &unit, &die, entry)?;
        let outer = copies::around(debug, &host.unit, &host.die, &die)?;
        let told = copies::told(code, &ranges, &parameters, &outer);
        let known: Vec<u64> = copies.iter().map(|(_, address)| *address).chain([first.1]).collect();
        let new = |address: &&u64| !known.contains(*address);
        let mut partial = told.doubtful.iter().any(|address| new(&address));
        for address in told.copies.iter().filter(new) {
            let variables = self.variables(host, *address, &parameters)?;
            if copies::keeps_out(debug, &variables) {
                copies.push((*address, *address));
            } else {
                partial = true;
            }
        }
        let into = self.name(&host.unit, &host.die)?;
        let call =
            lines::place(debug, &unit, die.attr_value(gimli::DW_AT_call_file), die.attr_value(gimli::DW_AT_call_line));
        let mut sites = Vec::new();
        for (index, (entry, address)) in std::iter::once(first).chain(copies).enumerate() {
            let rule = if index == 0 && address == entry { AddressRule::InlineEntry } else { AddressRule::InlineBody };
            // Behind another copy in one range: that one may jump here.
            let low = ranges.iter().find(|(low, high)| (*low..*high).contains(&address)).map(|(low, _)| *low);
            let low = low.filter(|_| told.copies.contains(&address)).unwrap_or(address);
            let repeats = code.returns_to(low, address, inside);
            let found = variables::find(debug, &unit, &die, address)?;
            let variables = self.variables(host, address, &found)?;
            let kind = SiteKind::Inlined { into: into.clone(), call: call.clone() };
            let site = self.site(kind, address, entry, rule, repeats, variables);
            sites.extend(site.map(|site| Site { partial, ..site }));
        }
        Ok(sites)
    }

    /// Where further copies of an inlined instance begin: a loop that was unrolled has several in one DIE, each with
    /// ranges of its own. A range is taken for the beginning of a copy, and not for more of the same one, where the
    /// statement begins that begins at the entry; clang marks every row as such a beginning, so there a parameter must
    /// get a new value right there too. (gcc's parameters may move to another register in the middle.)
    fn copies(
        &self,
        host: &Host<'a>,
        unit: &Rc<Unit<'a>>,
        die: &Die<'a>,
        ranges: &[(u64, u64)],
        entry: u64,
    ) -> Result<Vec<u64>, DebugError> {
        if ranges.len() < 2 {
            return Ok(Vec::new());
        }
        let rows = lines::rows(&host.unit, host.main.0, host.main.1)?;
        let begins = |address: u64| rows.iter().filter(move |row| row.address == address && row.is_stmt);
        let Some(first) = begins(entry).next_back().map(|row| row.line) else { return Ok(Vec::new()) };
        let marked = self.debug.producer(&host.unit) == Producer::Gcc;
        let parameters = variables::find(self.debug, unit, die, entry)?;
        let gets_value = |address: u64| {
            let mut parameters = parameters.iter().filter(|found| found.kind == VariableKind::Parameter);
            parameters.any(|found| location::begins_at(&found.unit, &found.die, address))
        };
        let others = ranges.iter().filter(|(low, high)| !(*low..*high).contains(&entry)).map(|(low, _)| *low);
        let again = |low: u64| begins(low).any(|row| row.line == first) && (marked || gets_value(low));
        Ok(others.filter(|low| again(*low)).collect())
    }

    pub(super) fn variables(
        &self,
        host: &Host<'a>,
        address: u64,
        found: &[Found<'a>],
    ) -> Result<Vec<Variable>, DebugError> {
        let frame = Frame {
            debug: self.debug,
            cfa_at: self.cfa_at,
            unit: Rc::clone(&host.unit),
            frame_base: host.die.attr_value(gimli::DW_AT_frame_base),
            address,
            at_entry: address == host.entry,
        };
        variables::read(&frame, found)
    }

    pub(super) fn name(&self, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Result<String, DebugError> {
        let debug = self.debug;
        let linkage = debug.inherited_text(unit, die, gimli::DW_AT_linkage_name)?;
        if let Some(name) = linkage.as_deref().and_then(super::names::demangle) {
            return Ok(name.full);
        }
        let short = debug.inherited_text(unit, die, gimli::DW_AT_name)?;
        Ok(short.or(linkage).unwrap_or_else(|| "?".to_owned()))
    }

    /// A site, where its address lies in the file; code that is in no executable segment has none.
    pub(super) fn site(
        &self,
        kind: SiteKind,
        address: u64,
        entry: u64,
        rule: AddressRule,
        repeats: bool,
        variables: Vec<Variable>,
    ) -> Option<Site> {
        let file_offset = self.elf.file_offset(address)?;
        Some(Site {
            kind,
            address,
            file_offset,
            entry,
            rule,
            passed: 0,
            price: price::at(self.bytes, file_offset),
            repeats,
            partial: false,
            ranges: Vec::new(),
            semaphore: None,
            mark: None,
            arguments: Vec::new(),
            variables,
        })
    }
}

/// Those that say the same (a function of a header, in every unit that includes it) become one function.
pub(super) fn united(all: impl Iterator<Item = Function>) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    let mut index = BTreeMap::new();
    for function in all {
        let place = function.declared.as_ref().map(|line| (line.file.to_string(), line.line));
        let key = (function.name.clone(), function.linkage_name.clone(), place);
        // Without a place two functions of one name cannot be known to be the same.
        let known = key.2.is_some().then(|| index.get(&key)).flatten();
        match known.and_then(|at: &usize| functions.get_mut(*at)) {
            Some(known) => {
                known.sites.extend(function.sites);
                known.changed |= function.changed;
                known.returns_address &= function.returns_address;
                known.optimised = known.optimised.max(function.optimised);
            }
            None => {
                index.insert(key, functions.len());
                functions.push(function);
            }
        }
    }
    for function in &mut functions {
        order(&mut function.sites);
    }
    functions
}

fn is_known(variable: &Variable) -> bool {
    !matches!(variable.location, Location::Unavailable(_))
}

/// Out of line first, then by address; the same code twice (of two units that kept one copy) once.
pub(super) fn order(sites: &mut Vec<Site>) {
    let inlined = |site: &Site| match site.kind {
        SiteKind::OutOfLine | SiteKind::Symbol => false,
        SiteKind::Inlined { .. } => true,
    };
    sites.sort_by_key(|site| (inlined(site), site.address));
    sites.dedup_by(|a, b| a.address == b.address && !inlined(a) && !inlined(b));
}

/// Whether LLVM says of a function that it changed its parameters or result, for it knows all callers.
pub(super) fn is_changed(die: &Die<'_>) -> bool {
    matches!(
        die.attr_value(gimli::DW_AT_calling_convention),
        Some(gimli::AttributeValue::CallingConvention(gimli::DW_CC_nocall))
    )
}
