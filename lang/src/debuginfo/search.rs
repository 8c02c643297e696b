//! Owns finding functions by name and the places of their code: which DIEs bear a name, and which DIEs with code were
//! made from them. Reads units flat, and only those whose bytes can mention what is looked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gimli::{DwTag, Section, UnitOffset};
use memchr::memmem;

use super::facts::DebugError;
use super::limits::{self, over};
use super::names::{Demangled, Glob, demangle};
use super::units::{Debug, DieId, IN_TYPES, Unit, UnitSpan, Value};

/// What names are looked for.
pub(super) enum Query<'q> {
    /// Those that are exactly this.
    Exact(&'q str),
    /// Those that match.
    Glob(&'q Glob),
}

/// The names a function's DIE gives it.
pub(super) struct Names {
    /// `DW_AT_name`.
    pub(super) short: Option<String>,
    /// `DW_AT_linkage_name`.
    pub(super) linkage: Option<String>,
    /// Names of the namespaces, classes and modules around it.
    pub(super) scopes: Vec<String>,
}

impl Names {
    /// The DWARF name behind its scopes: `ns::Class::get`.
    pub(super) fn qualified(&self) -> Option<String> {
        let short = self.short.as_deref()?;
        Some(self.scopes.iter().map(String::as_str).chain([short]).collect::<Vec<_>>().join("::"))
    }

    /// The linkage name's forms.
    pub(super) fn demangled(&self) -> Option<Demangled> {
        demangle(self.linkage.as_deref()?)
    }

    fn fit(&self, query: &Query<'_>) -> bool {
        let plain = [&self.short, &self.linkage].into_iter().flatten();
        match query {
            Query::Exact(name) => {
                if plain.clone().any(|own| own == name) {
                    return true;
                }
                // Only these forms have more than the DWARF name in them.
                let qualified = name.contains("::") || name.contains('(');
                qualified
                    && (self.demangled().is_some_and(|own| own.is(name))
                        || self.qualified().is_some_and(|own| own == *name))
            }
            Query::Glob(glob) => {
                plain.clone().any(|own| glob.matches(own))
                    || self.demangled().is_some_and(|own| own.matches(glob))
                    || (!self.scopes.is_empty() && self.qualified().is_some_and(|own| glob.matches(&own)))
            }
        }
    }
}

/// A DIE with code of its own that was made from a function that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instance {
    /// The DIE.
    pub(super) id: DieId,
    /// For an inlined instance: the DIE of the out-of-line function around it.
    pub(super) inside: Option<DieId>,
    /// Whether it is inlined into another instance of the same function.
    pub(super) within_itself: bool,
}

/// A function or inlined instance around a DIE.
struct Around {
    depth: isize,
    id: DieId,
    out_of_line: bool,
    root: Option<DieId>,
}

/// The roots (ends of the chain of origins) of all functions a query means, with the names they bear.
pub(super) fn roots(debug: &Debug<'_>, query: &Query<'_>) -> Result<BTreeMap<DieId, Names>, DebugError> {
    let mut found = BTreeMap::new();
    let narrowed = match query {
        Query::Exact(name) => units_naming(debug, name),
        Query::Glob(_) => None,
    };
    let all = || debug.spans.iter().collect::<Vec<_>>();
    for span in narrowed.clone().unwrap_or_else(all) {
        names_in(debug, span, query, &mut found)?;
    }
    // A demangled or qualified name need not be in the file as it was written.
    let composed = matches!(query, Query::Exact(name) if name.contains("::") || name.contains('('));
    if found.is_empty() && narrowed.is_some() && composed {
        for span in debug.spans {
            names_in(debug, span, query, &mut found)?;
        }
    }
    Ok(found)
}

/// Calls `each` with the names of every function that is more than a declaration.
pub(super) fn every_name(debug: &Debug<'_>, mut each: impl FnMut(&Names)) -> Result<(), DebugError> {
    for span in debug.spans {
        walk_names(debug, span, |_, names, declared| {
            if !declared {
                each(&names);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The units in whose bytes the name occurs, or the offset at which `.debug_str` has it; `None` where that cannot tell.
fn units_naming<'a>(debug: &Debug<'a>, name: &str) -> Option<Vec<&'a UnitSpan>> {
    let info = debug.dwarf.debug_info.reader().slice();
    let strings = debug.dwarf.debug_str.reader().slice();
    let indexes = debug.dwarf.debug_str_offsets.reader().slice();
    let mut wanted = BTreeSet::new();
    // The DWARF name is the last part of a qualified one, without parameters.
    let last = name.split('(').next().unwrap_or(name).rsplit("::").next().unwrap_or(name);
    for name in BTreeSet::from([name, last]) {
        let terminated: Vec<u8> = name.bytes().chain([0]).collect();
        // Short names stand in the DIE itself (`DW_FORM_string`).
        collect_units(debug, info, &terminated, &mut wanted);
        // Linkers let a name share the end of a longer one, so any place at which it ends counts.
        let offsets: Vec<usize> = memmem::find_iter(strings, &terminated).take(limits::MAX_NAME_OFFSETS + 1).collect();
        if offsets.len() > limits::MAX_NAME_OFFSETS {
            return None;
        }
        for offset in offsets {
            let needle = u32::try_from(offset).ok()?.to_le_bytes();
            if memmem::find(indexes, &needle).is_some() {
                return None;
            }
            collect_units(debug, info, &needle, &mut wanted);
        }
    }
    let mut spans: Vec<&UnitSpan> = wanted.iter().filter_map(|at| debug.spans.get(*at)).collect();
    spans.extend(debug.spans.iter().filter(|span| span.start & IN_TYPES != 0));
    Some(spans)
}

/// Adds the indexes of the units of `.debug_info` in whose bytes `needle` occurs.
fn collect_units(debug: &Debug<'_>, info: &[u8], needle: &[u8], wanted: &mut BTreeSet<usize>) {
    let finder = memmem::Finder::new(needle);
    let mut from = 0;
    while let Some(hit) = info.get(from..).and_then(|rest| finder.find(rest)) {
        let at = (from + hit) as u64;
        let index = debug.spans.partition_point(|span| span.start <= at);
        let Some(span) = index.checked_sub(1).and_then(|index| debug.spans.get(index)) else {
            from += hit + 1;
            continue;
        };
        wanted.insert(index - 1);
        // One hit decides for the unit.
        from = usize::try_from(span.end & !IN_TYPES).unwrap_or(usize::MAX).max(from + hit + 1);
    }
}

fn names_in(
    debug: &Debug<'_>,
    span: &UnitSpan,
    query: &Query<'_>,
    found: &mut BTreeMap<DieId, Names>,
) -> Result<(), DebugError> {
    walk_names(debug, span, |id, names, _| {
        if names.fit(query) {
            let root = debug.root(id)?;
            if root == id {
                found.insert(root, names);
            } else {
                // A definition apart from its declaration has a linkage name at most; the declaration's names win.
                found.entry(root).or_insert(names);
            }
            if found.len() > limits::MAX_FUNCTIONS {
                return Err(over("functions of that name", limits::MAX_FUNCTIONS));
            }
        }
        Ok(())
    })
}

fn is_scope(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_namespace
            | gimli::DW_TAG_module
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_interface_type
            | gimli::DW_TAG_enumeration_type
    )
}

/// Calls `each` for every function of a unit that names itself, with whether it is only declared there.
fn walk_names<'a>(
    debug: &Debug<'a>,
    span: &UnitSpan,
    mut each: impl FnMut(DieId, Names, bool) -> Result<(), DebugError>,
) -> Result<(), DebugError> {
    let unit = debug.unit(span)?;
    let mut entries = unit.unit.entries_raw(None)?;
    let mut attributes = Vec::new();
    let mut scopes: Vec<(isize, String)> = Vec::new();
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        debug.count_die()?;
        while scopes.last().is_some_and(|(outer, _)| *outer >= depth) {
            scopes.pop();
        }
        let tag = abbreviation.tag();
        let scope = is_scope(tag) && abbreviation.has_children();
        if !scope && tag != gimli::DW_TAG_subprogram {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        entries.read_attributes(abbreviation.attributes(), &mut attributes)?;
        let text = |names: &[gimli::DwAt]| {
            let attribute = attributes.iter().find(|attribute| names.contains(&attribute.name()))?;
            debug.text(&unit, attribute.value())
        };
        let short = text(&[gimli::DW_AT_name]);
        if scope {
            if scopes.len() >= limits::MAX_SCOPES {
                return Err(over("nested scopes", limits::MAX_SCOPES));
            }
            let anonymous = || if tag == gimli::DW_TAG_namespace { "(anonymous namespace)" } else { "{unnamed}" };
            scopes.push((depth, short.unwrap_or_else(|| anonymous().to_owned())));
            continue;
        }
        let linkage = text(&[gimli::DW_AT_linkage_name, gimli::DW_AT_MIPS_linkage_name]);
        if short.is_none() && linkage.is_none() {
            continue;
        }
        let declared = attributes.iter().any(|attribute| attribute.name() == gimli::DW_AT_declaration);
        let scopes = scopes.iter().map(|(_, name)| name.clone()).collect();
        each(unit.id(offset), Names { short, linkage, scopes }, declared)?;
    }
    Ok(())
}

/// The DIEs with code that were made from these roots, by root.
pub(super) fn instances(
    debug: &Debug<'_>,
    roots: &BTreeMap<DieId, Names>,
) -> Result<BTreeMap<DieId, Vec<Instance>>, DebugError> {
    let mut found = Instances { debug, roots, root_of: HashMap::new(), by_root: BTreeMap::new(), count: 0 };
    if roots.len() > limits::MAX_FILTERED_ROOTS {
        for span in debug.spans {
            found.walk(span)?;
        }
        return Ok(found.by_root);
    }
    // References within a unit stay in it; those from other units (link-time optimisation) hold the position itself.
    // What refers to a root can itself be referred to, so this goes on until no unit is new.
    let info = debug.dwarf.debug_info.reader().slice();
    let mut targets: Vec<DieId> = roots.keys().copied().collect();
    let mut done = BTreeSet::new();
    while let Some(target) = targets.pop() {
        let mut wanted = BTreeSet::new();
        if target & IN_TYPES == 0 {
            let needle = u32::try_from(target).map(u32::to_le_bytes);
            match needle {
                Ok(needle) => collect_units(debug, info, &needle, &mut wanted),
                Err(_) => collect_units(debug, info, &target.to_le_bytes(), &mut wanted),
            }
        }
        let own = debug.spans.partition_point(|span| span.start <= target).checked_sub(1);
        wanted.extend(own);
        for index in wanted {
            if done.insert(index)
                && let Some(span) = debug.spans.get(index)
            {
                targets.extend(found.walk(span)?);
            }
        }
    }
    Ok(found.by_root)
}

struct Instances<'i, 'a> {
    debug: &'i Debug<'a>,
    roots: &'i BTreeMap<DieId, Names>,
    /// Ends of chains already followed.
    root_of: HashMap<DieId, DieId>,
    by_root: BTreeMap<DieId, Vec<Instance>>,
    count: usize,
}

impl<'a> Instances<'_, 'a> {
    /// Adds the instances in a unit; returns the DIEs made from a root, to which other units may refer.
    fn walk(&mut self, span: &UnitSpan) -> Result<Vec<DieId>, DebugError> {
        let debug = self.debug;
        let unit = debug.unit(span)?;
        let mut entries = unit.unit.entries_raw(None)?;
        let mut attributes = Vec::new();
        let mut around: Vec<Around> = Vec::new();
        let mut made = Vec::new();
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset(), entries.next_depth());
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            debug.count_die()?;
            let tag = abbreviation.tag();
            let out_of_line = tag == gimli::DW_TAG_subprogram;
            if !out_of_line && tag != gimli::DW_TAG_inlined_subroutine {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            while around.last().is_some_and(|outer| outer.depth >= depth) {
                around.pop();
            }
            entries.read_attributes(abbreviation.attributes(), &mut attributes)?;
            let value = |at| attributes.iter().find(|attribute| attribute.name() == at).map(gimli::Attribute::value);
            let id = unit.id(offset);
            let root = self.root(&unit, offset, value)?;
            let within_itself = root.is_some() && around.last().is_some_and(|outer| outer.root == root);
            let inside = around.iter().rev().find(|outer| outer.out_of_line).map(|outer| outer.id);
            if around.len() >= limits::MAX_SCOPES {
                return Err(over("nested functions", limits::MAX_SCOPES));
            }
            around.push(Around { depth, id, out_of_line, root });
            let Some(root) = root else { continue };
            if out_of_line && root != id {
                made.push(id);
            }
            let code = [gimli::DW_AT_low_pc, gimli::DW_AT_ranges, gimli::DW_AT_entry_pc];
            let inside = if out_of_line { None } else { inside };
            if !code.into_iter().any(|at| value(at).is_some()) || (!out_of_line && inside.is_none()) {
                continue;
            }
            self.count += 1;
            if self.count > limits::MAX_SITES {
                return Err(over("places of these functions", limits::MAX_SITES));
            }
            self.by_root.entry(root).or_default().push(Instance { id, inside, within_itself });
        }
        Ok(made)
    }

    /// The root that is looked for and that a DIE was made from (or is).
    fn root(
        &mut self,
        unit: &Unit<'a>,
        offset: UnitOffset,
        value: impl Fn(gimli::DwAt) -> Option<Value<'a>>,
    ) -> Result<Option<DieId>, DebugError> {
        let origin = [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification]
            .into_iter()
            .find_map(|at| self.debug.reference(unit, value(at)?));
        let Some(origin) = origin else {
            let id = unit.id(offset);
            return Ok(self.roots.contains_key(&id).then_some(id));
        };
        let root = match self.root_of.get(&origin) {
            Some(root) => *root,
            None => {
                let root = self.debug.root(origin)?;
                self.root_of.insert(origin, root);
                root
            }
        };
        Ok(self.roots.contains_key(&root).then_some(root))
    }
}
