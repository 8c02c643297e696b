//! Owns finding functions by name and the places of their code: which DIEs bear a name, and which DIEs with code were
//! made from them. Reads units flat, and only those whose bytes can mention what is looked for.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use gimli::{DwTag, SectionId, UnitOffset};

use super::dwarf::{self, Role};
use super::facts::DebugError;
use super::limits::{self, over};
use super::name_index;
use super::named;
use super::names::{Demangled, Glob, Nearest, demangle, last_part, without_parameters};
use super::scan::Needles;
use super::units::{Debug, DieId, IN_TYPES, Unit, UnitSpan, Value};

/// What names are looked for.
pub(super) enum Query<'q> {
    /// Those that are exactly this.
    Exact(&'q str),
    /// Those that are exactly one of these.
    Among(&'q BTreeSet<String>),
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

    /// Bytes that it takes.
    fn size(&self) -> usize {
        let texts = self.scopes.iter().chain(&self.short).chain(&self.linkage);
        texts.map(|text| size_of::<String>() + text.len()).sum()
    }

    /// Whether it is a name of the function, in one of its forms.
    fn is(&self, name: &str) -> bool {
        if [&self.short, &self.linkage].into_iter().flatten().any(|own| own == name) {
            return true;
        }
        // Only these forms have more than the DWARF name in them.
        is_composed(name)
            && (self.demangled().is_some_and(|own| own.is(name)) || self.qualified().is_some_and(|own| own == name))
    }

    fn fit(&self, query: &Query<'_>) -> bool {
        let mut plain = [&self.short, &self.linkage].into_iter().flatten();
        match query {
            Query::Exact(name) => self.is(name),
            Query::Among(names) => names.iter().any(|name| self.is(name)),
            Query::Glob(glob) => {
                plain.any(|own| glob.matches(own))
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
        Query::Exact(name) => units_naming(debug, [*name])?,
        Query::Among(names) => units_naming(debug, names.iter().map(String::as_str))?,
        Query::Glob(_) => None,
    };
    let known = narrowed.is_some();
    if let Some(units) = narrowed {
        let mut hits = units.values();
        let spans = units.keys().filter_map(|unit| debug.spans.get(*unit));
        in_batches(debug, spans, |debug, span| {
            let hits = hits.next().and_then(Option::as_deref);
            names_in(debug, span, hits, query, &mut found)
        })?;
    }
    // A demangled or qualified name need not be in the file as it was written.
    let composed = matches!(query, Query::Exact(name) if is_composed(name));
    if !known || (found.is_empty() && composed) {
        in_batches(debug, debug.spans.iter(), |debug, span| names_in(debug, span, None, query, &mut found))?;
    }
    Ok(found)
}

/// Whether a name need not stand in a DIE as it is: with scopes, parameters, template arguments, tags of an ABI, or a
/// literal's operator.
fn is_composed(name: &str) -> bool {
    name.contains("::") || name.contains(['(', '<', '[', '"'])
}

/// Calls `each` with the names of every function that is more than a declaration; a definition of a declared one (a
/// member function of C++) may have its names there alone.
pub(super) fn every_name(debug: &Debug<'_>, mut each: impl FnMut(&Names)) -> Result<(), DebugError> {
    in_batches(debug, debug.spans.iter(), |debug, span| {
        let (mut declarations, mut completed) = (Vec::new(), BTreeSet::new());
        let mut held = 0;
        walk_names(debug, span, None, false, &mut completed, |id, names, declared| {
            if declared {
                held += names.size();
                if held > limits::MAX_NAMES_OF_UNIT {
                    return Err(over("bytes of names that a unit declares", limits::MAX_NAMES_OF_UNIT));
                }
                declarations.push((id, names));
            } else {
                each(&names);
            }
            Ok(())
        })?;
        declarations.iter().filter(|(id, _)| completed.contains(id)).for_each(|(_, names)| each(names));
        Ok(())
    })
}

/// Calls `each` with the names of functions that are like one: of all that are more than a declaration, or where the
/// file has an index, of those that it lists and that are there, many more of them than are wanted in the end.
pub(super) fn nearest(
    debug: &Debug<'_>,
    name: &str,
    limit: usize,
    mut each: impl FnMut(&Names),
) -> Result<(), DebugError> {
    let mut like = Nearest::new(name, limit.saturating_mul(LISTED));
    let mut written: HashMap<String, BTreeSet<String>> = HashMap::new();
    let listed = name_index::functions(debug, &mut |listed| {
        let shown = demangle(listed).map_or_else(|| listed.to_owned(), |demangled| demangled.plain);
        if like.takes(&shown) {
            written.entry(shown).or_default().insert(listed.to_owned());
        }
    });
    if matches!(listed, Ok(true)) {
        let names: BTreeSet<String> = like.names().iter().filter_map(|name| written.remove(name)).flatten().collect();
        let found = roots(debug, &Query::Among(&names))?;
        found.values().for_each(&mut each);
        if found.len() >= limit {
            return Ok(());
        }
    }
    every_name(debug, each)
}

/// Names taken from an index for each that is wanted: some of them may be no function of this file.
const LISTED: usize = 8;

/// The indexes (in [`Debug::spans`]) of the units whose bytes can hold one of the names; `None` where that cannot be told.
///
/// `NAME\0` is found in `.debug_str`, and the offsets of these in `.debug_info`: no index is needed for that.
pub(super) fn units_naming<'n>(
    debug: &Debug<'_>,
    wanted: impl IntoIterator<Item = &'n str>,
) -> Result<Option<Hits>, DebugError> {
    let (mut forms, mut begins) = (BTreeSet::new(), BTreeSet::new());
    for name in wanted {
        // The DWARF name is the last part of a qualified one, without parameters.
        let Some(last) = last_part(without_parameters(name)) else { return Ok(None) };
        forms.extend([name, last]);
        if is_composed(name) {
            begins.insert(format!("{last}<"));
        }
    }
    let mut names = Needles::default();
    forms.into_iter().for_each(|name| names.add_name(name));
    let mut in_strings = names.clone();
    begins.iter().for_each(|begin| in_strings.add_beginning(begin));
    let mut wanted = Hits::new();
    let mut shared = Vec::new();
    // dwz's file comes first: the others refer to its strings too.
    let files = debug.files.alternate.into_iter().chain(0..debug.files.files.len());
    for (nth, number) in files.enumerate() {
        let Some(file) = debug.files.files.get(number) else { continue };
        if nth > 0 && Some(number) == debug.files.alternate {
            continue;
        }
        // Linkers let a name share the end of a longer one, so any place at which it ends counts.
        let mut offsets = Vec::new();
        if let Some(strings) = file.stored(SectionId::DebugStr) {
            let found = in_strings.scan(strings, None, |offsets: &mut Vec<u64>, at| {
                offsets.push(at);
                if offsets.len() > limits::MAX_NAME_OFFSETS { u64::MAX } else { at + 1 }
            })?;
            offsets = found.concat();
        }
        if offsets.len() > limits::MAX_NAME_OFFSETS {
            return Ok(None);
        }
        // Short names stand in the DIE itself (`DW_FORM_string`).
        let mut needles = names.clone();
        needles.add_offsets(offsets.iter().chain(&shared).copied());
        for (section, mark) in [(SectionId::DebugInfo, 0), (SectionId::DebugTypes, IN_TYPES)] {
            collect_hits(debug, number, section, mark, &needles, &mut wanted)?;
        }
        by_index(debug, number, &offsets, &mut wanted)?;
        if Some(number) == debug.files.alternate {
            shared = offsets;
        }
    }
    Ok(Some(wanted))
}

/// Adds the units of a file that name a string by its place in `.debug_str_offsets` (`DW_FORM_strx`).
fn by_index(debug: &Debug<'_>, number: usize, offsets: &[u64], wanted: &mut Hits) -> Result<(), DebugError> {
    let Some(file) = debug.files.files.get(number) else { return Ok(()) };
    let Some(table) = file.stored(SectionId::DebugStrOffsets).filter(|_| !offsets.is_empty()) else { return Ok(()) };
    let mut needles = Needles::default();
    needles.add_offsets(offsets.iter().copied());
    let places = needles.scan(table, None, |places: &mut Vec<u64>, at| {
        places.push(at);
        if places.len() > limits::MAX_HITS_IN_UNIT { u64::MAX } else { at + 1 }
    })?;
    let many = places.iter().any(|places| places.len() > limits::MAX_HITS_IN_UNIT);
    let mut places = places.concat();
    places.sort_unstable();
    if places.is_empty() {
        return Ok(());
    }
    for (part, unit) in debug.strings_of_units(number)?.iter() {
        let from = places.partition_point(|place| *place < part.start);
        if many || places.get(from).is_some_and(|place| *place < part.end) {
            wanted.insert(*unit, None);
        }
    }
    Ok(())
}

/// Units by index (in [`Debug::spans`]), with the positions in them at which something was found, rising; `None` where
/// these are not known.
type Hits = BTreeMap<usize, Option<Vec<DieId>>>;

/// Adds the units of a section in whose bytes a needle occurs.
fn collect_hits(
    debug: &Debug<'_>,
    file: usize,
    section: SectionId,
    mark: DieId,
    needles: &Needles,
    wanted: &mut Hits,
) -> Result<(), DebugError> {
    let stored = debug.files.files.get(file).and_then(|file| file.stored(section));
    let (Some(stored), Some(start)) = (stored, dwarf::in_file(file, 0)) else { return Ok(()) };
    let start = start | mark;
    let spans = debug.spans;
    let found = needles.scan(stored, debug.sieve(file, section), |found: &mut Hits, at| {
        let id = start | at;
        let Some((index, span)) = unit_at(spans, id) else { return at + 1 };
        let hits = found.entry(index).or_insert_with(|| Some(Vec::new()));
        if let Some(known) = hits {
            if known.len() < limits::MAX_HITS_IN_UNIT {
                known.push(id);
                return at + 1;
            }
            *hits = None;
        }
        dwarf::offset_of(span.end)
    })?;
    for (index, more) in found.into_iter().flatten() {
        let hits = wanted.entry(index).or_insert_with(|| Some(Vec::new()));
        if let Some(known) = hits {
            match more {
                Some(more) if known.len() + more.len() <= limits::MAX_HITS_IN_UNIT => known.extend(more),
                Some(_) | None => *hits = None,
            }
        }
    }
    wanted.values_mut().flatten().for_each(|hits| hits.sort_unstable());
    Ok(())
}

/// The unit that a position lies in, with its index.
fn unit_at(spans: &[UnitSpan], id: DieId) -> Option<(usize, &UnitSpan)> {
    let index = spans.partition_point(|span| span.start <= id).checked_sub(1)?;
    Some((index, spans.get(index).filter(|span| id < span.end)?))
}

/// Adds the indexes of the units of a section in whose bytes a needle occurs.
fn collect_units(
    debug: &Debug<'_>,
    file: usize,
    section: SectionId,
    mark: DieId,
    needles: &Needles,
    wanted: &mut BTreeSet<usize>,
) -> Result<(), DebugError> {
    let stored = debug.files.files.get(file).and_then(|file| file.stored(section));
    let (Some(stored), Some(start)) = (stored, dwarf::in_file(file, 0)) else { return Ok(()) };
    let start = start | mark;
    let spans = debug.spans;
    let found = needles.scan(stored, debug.sieve(file, section), |found: &mut BTreeSet<usize>, at| {
        match unit_at(spans, start | at) {
            // One hit decides for the unit.
            Some((index, span)) => {
                found.insert(index);
                dwarf::offset_of(span.end)
            }
            None => at + 1,
        }
    })?;
    wanted.extend(found.into_iter().flatten());
    Ok(())
}

/// Calls `each` with these units, a few at a time with what was read of them forgotten afterwards.
pub(super) fn in_batches<'s>(
    debug: &Debug<'_>,
    spans: impl Iterator<Item = &'s UnitSpan>,
    mut each: impl FnMut(&Debug<'_>, &UnitSpan) -> Result<(), DebugError>,
) -> Result<(), DebugError> {
    let mut spans = spans.peekable();
    while spans.peek().is_some() {
        debug.apart(|debug| {
            let mut bytes = 0;
            while bytes < limits::BATCH_BYTES
                && let Some(span) = spans.next()
            {
                bytes += span.end - span.start;
                each(debug, span)?;
            }
            Ok::<_, DebugError>(())
        })?;
    }
    Ok(())
}

fn names_in(
    debug: &Debug<'_>,
    span: &UnitSpan,
    hits: Option<&[DieId]>,
    query: &Query<'_>,
    found: &mut BTreeMap<DieId, Names>,
) -> Result<(), DebugError> {
    // Declarations that nothing completes: in C, one in each unit that calls the function.
    let mut declarations = BTreeSet::new();
    let mut completed = BTreeSet::new();
    let hit_only = match query {
        Query::Exact(name) => !is_composed(name),
        Query::Among(names) => !names.iter().any(|name| is_composed(name)),
        Query::Glob(_) => false,
    };
    walk_names(debug, span, hits, hit_only, &mut completed, |id, names, declared| {
        if names.fit(query) {
            let root = debug.root(id)?;
            debug.steps.hold(names.size())?;
            if root == id {
                if declared {
                    declarations.insert(id);
                }
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
    })?;
    if !debug.refers_across()? {
        declarations.difference(&completed).for_each(|id| {
            found.remove(id);
        });
    }
    Ok(())
}

pub(super) fn is_scope(tag: DwTag) -> bool {
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

/// Whether what bears such a tag is looked for by its name: the sieve of a section lets these through.
pub(super) fn is_sought(tag: DwTag) -> bool {
    let own = matches!(tag, gimli::DW_TAG_subprogram | gimli::DW_TAG_variable | gimli::DW_TAG_enumerator);
    own || is_scope(tag) || named::is_type(tag)
}

/// What stands for the name of a class without one.
pub(super) const UNNAMED: &str = "{unnamed}";

/// The names of one function, those of what is around it included.
pub(super) fn names_of(debug: &Debug<'_>, id: DieId) -> Result<Option<Names>, DebugError> {
    let Some(span) = debug.span_of(id) else { return Ok(None) };
    let (mut made_from, mut found) = (BTreeSet::new(), None);
    walk_names(debug, span, Some(&[id]), true, &mut made_from, |at, names, _| {
        if at == id {
            found = Some(names);
        }
        Ok(())
    })?;
    Ok(found)
}

/// A namespace, class or module around what is read.
struct Scope<'a> {
    depth: isize,
    tag: DwTag,
    name: Option<Value<'a>>,
    /// Its name, once that was asked for.
    text: OnceCell<String>,
}

impl<'a> Scope<'a> {
    fn text(&self, debug: &Debug<'a>, unit: &Unit<'a>) -> String {
        let anonymous = || if self.tag == gimli::DW_TAG_namespace { "(anonymous namespace)" } else { UNNAMED };
        let text = || self.name.and_then(|name| debug.text(unit, name)).unwrap_or_else(|| anonymous().to_owned());
        self.text.get_or_init(text).clone()
    }
}

/// Calls `each` for every function of a unit that names itself, with whether it is only declared there, and notes what
/// functions without code of their own name are made from. Where `hits` are known, what is inside of functions and types
/// that hold none of them is passed over, and with `hit_only`, functions that hold none themselves.
fn walk_names<'a>(
    debug: &Debug<'a>,
    span: &UnitSpan,
    hits: Option<&[DieId]>,
    hit_only: bool,
    made_from: &mut BTreeSet<DieId>,
    mut each: impl FnMut(DieId, Names, bool) -> Result<(), DebugError>,
) -> Result<(), DebugError> {
    let unit = debug.unit(span)?;
    let mut entries = unit.unit.entries_raw(None)?;
    let mut attributes = Vec::new();
    let mut scopes: Vec<Scope<'a>> = Vec::new();
    // Depth at which the reader was set down last.
    let mut base = 0;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), base + entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        debug.count_die()?;
        while scopes.last().is_some_and(|outer| outer.depth >= depth) {
            scopes.pop();
        }
        let tag = abbreviation.tag();
        let scope = is_scope(tag) && abbreviation.has_children();
        let function = tag == gimli::DW_TAG_subprogram;
        let skips = hits.is_some() && abbreviation.has_children() && tag != gimli::DW_TAG_namespace && {
            abbreviation.attributes().iter().any(|attribute| attribute.name() == gimli::DW_AT_sibling)
        };
        if !scope && !function && !skips {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        entries.read_attributes(abbreviation.attributes(), &mut attributes)?;
        let value = |at| attributes.iter().find(|attribute| attribute.name() == at).map(gimli::Attribute::value);
        // Where the next DIE of this level is, if what lies before need not be read.
        let next = match (hits, value(gimli::DW_AT_sibling)) {
            (Some(hits), Some(Value::UnitRef(next))) if skips && next > offset => {
                let (from, to) = (unit.id(offset), unit.id(next));
                let hit = hits.get(hits.partition_point(|hit| *hit < from));
                (to < span.end && hit.is_none_or(|hit| *hit >= to)).then_some(next)
            }
            _ => None,
        };
        let text = |names: &[gimli::DwAt]| {
            let attribute = attributes.iter().find(|attribute| names.contains(&attribute.name()))?;
            debug.text(&unit, attribute.value())
        };
        if function {
            let origin = [gimli::DW_AT_specification, gimli::DW_AT_abstract_origin];
            made_from.extend(origin.into_iter().find_map(|at| debug.reference(&unit, value(at)?)));
        }
        if let Some(next) = next {
            entries = unit.unit.entries_raw(Some(next))?;
            base = depth;
            continue;
        }
        if !scope && !function {
            continue;
        }
        if scope {
            if scopes.len() >= limits::MAX_SCOPES {
                return Err(over("nested scopes", limits::MAX_SCOPES));
            }
            scopes.push(Scope { depth, tag, name: value(gimli::DW_AT_name), text: OnceCell::new() });
            continue;
        }
        if hit_only && let Some(hits) = hits {
            let (from, to) = (unit.id(offset), unit.id(entries.next_offset()));
            if hits.get(hits.partition_point(|hit| *hit < from)).is_none_or(|hit| *hit >= to) {
                continue;
            }
        }
        let short = text(&[gimli::DW_AT_name]);
        let linkage = text(&[gimli::DW_AT_linkage_name, gimli::DW_AT_MIPS_linkage_name]);
        if short.is_none() && linkage.is_none() {
            continue;
        }
        let declared = attributes.iter().any(|attribute| attribute.name() == gimli::DW_AT_declaration);
        let scopes: Vec<String> = scopes.iter().map(|scope| scope.text(debug, &unit)).collect();
        // Functions of one class all bear its name.
        let copied: usize = scopes.iter().map(String::len).sum();
        debug.steps.count(scopes.len() as u64 + copied as u64 / limits::TEXT_IN_A_STEP)?;
        each(unit.id(offset), Names { short, linkage, scopes }, declared)?;
    }
    Ok(())
}

/// The DIEs with code that were made from these roots, by root.
pub(super) fn instances(
    debug: &Debug<'_>,
    roots: &BTreeMap<DieId, Names>,
) -> Result<BTreeMap<DieId, Vec<Instance>>, DebugError> {
    let mut found = Instances { roots, root_of: HashMap::new(), by_root: BTreeMap::new(), count: 0 };
    let across = debug.refers_across()?;
    if across && roots.len() > limits::MAX_FILTERED_ROOTS {
        in_batches(debug, debug.spans.iter(), |debug, span| found.walk(debug, span).map(|_| ()))?;
        return Ok(found.by_root);
    }
    // References within a unit stay in it; those from other units (link-time optimisation) hold the position itself.
    // What refers to a root can itself be referred to, so this goes on until no unit is new.
    let mut targets: Vec<DieId> = roots.keys().copied().collect();
    let mut done = BTreeSet::new();
    while !targets.is_empty() {
        let mut wanted = BTreeSet::new();
        let mut by_file: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for target in targets.drain(..) {
            wanted.extend(debug.spans.partition_point(|span| span.start <= target).checked_sub(1));
            if across && target & IN_TYPES == 0 {
                by_file.entry(dwarf::file_of(target)).or_default().push(dwarf::offset_of(target));
            }
        }
        for (file, offsets) in by_file {
            // Nothing outside of a split unit refers to what is in it.
            let Some(role) = debug.files.files.get(file).map(|file| file.role) else { continue };
            let holders: &[usize] = match role {
                Role::Main => &[0],
                Role::Alternate => &[0, file],
                Role::Split | Role::Package => &[],
            };
            let mut needles = Needles::default();
            needles.add_origins(offsets);
            for holder in holders {
                for (section, mark) in [(SectionId::DebugInfo, 0), (SectionId::DebugTypes, IN_TYPES)] {
                    collect_units(debug, *holder, section, mark, &needles, &mut wanted)?;
                }
            }
        }
        let new = wanted.into_iter().filter(|index| done.insert(*index)).collect::<Vec<_>>();
        let spans = new.iter().filter_map(|index| debug.spans.get(*index));
        in_batches(debug, spans, |debug, span| {
            targets.extend(found.walk(debug, span)?);
            Ok(())
        })?;
    }
    Ok(found.by_root)
}

struct Instances<'i> {
    roots: &'i BTreeMap<DieId, Names>,
    /// Ends of chains already followed.
    root_of: HashMap<DieId, DieId>,
    by_root: BTreeMap<DieId, Vec<Instance>>,
    count: usize,
}

impl Instances<'_> {
    /// Adds the instances in a unit; returns the DIEs made from a root, to which other units may refer.
    fn walk(&mut self, debug: &Debug<'_>, span: &UnitSpan) -> Result<Vec<DieId>, DebugError> {
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
            let root = self.root(debug, &unit, offset, value)?;
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
    fn root<'a>(
        &mut self,
        debug: &Debug<'a>,
        unit: &Unit<'a>,
        offset: UnitOffset,
        value: impl Fn(gimli::DwAt) -> Option<Value<'a>>,
    ) -> Result<Option<DieId>, DebugError> {
        let origin = [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification]
            .into_iter()
            .find_map(|at| debug.reference(unit, value(at)?));
        let Some(origin) = origin else {
            let id = unit.id(offset);
            return Ok(self.roots.contains_key(&id).then_some(id));
        };
        let root = match self.root_of.get(&origin) {
            Some(root) => *root,
            None => {
                let root = debug.root(origin)?;
                self.root_of.insert(origin, root);
                root
            }
        };
        Ok(self.roots.contains_key(&root).then_some(root))
    }
}
