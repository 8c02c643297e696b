//! Owns finding types, variables that belong to no call, and enumerators by name. Reads units flat, and only those whose
//! bytes can mention what is looked for.

use std::rc::Rc;

use gimli::DwTag;

use super::facts::{DebugError, Global, Location, Type, TypeId};
use super::limits::{self, over};
use super::lines;
use super::location::Frame;
use super::search;
use super::types;
use super::units::{Debug, DieId, Unit, UnitSpan, Value};

/// What bears a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A type that is more than declared.
    Type,
    /// A variable with a place of its own.
    Variable,
    /// An enumerator.
    Enumerator,
}

impl Kind {
    fn bears(self, tag: DwTag) -> bool {
        match self {
            Kind::Type => is_type(tag),
            Kind::Variable => tag == gimli::DW_TAG_variable,
            Kind::Enumerator => tag == gimli::DW_TAG_enumerator,
        }
    }
}

pub(super) fn is_type(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_base_type
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_typedef
            | gimli::DW_TAG_pointer_type
    )
}

/// Something that bears a name.
struct Named<'n> {
    id: DieId,
    tag: DwTag,
    /// Its own name.
    name: &'n str,
    /// Names around it.
    scopes: &'n [(isize, String, DieId)],
    /// Whether it stands in a function.
    in_function: bool,
}

impl Named<'_> {
    fn qualified(&self) -> String {
        let scopes = self.scopes.iter().map(|(_, scope, _)| scope.as_str());
        scopes.chain([self.name]).collect::<Vec<_>>().join("::")
    }
}

/// The last part of a qualified name; `::` between angle brackets parts nothing.
fn last_part(name: &str) -> &str {
    let (mut depth, mut start) = (0i32, 0);
    for (at, character) in name.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ':' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    name.get(start..).unwrap_or(name)
}

/// The units to look in: that of `near` first.
fn order<'a>(debug: &Debug<'a>, name: &str, near: Option<TypeId>) -> Result<Vec<&'a UnitSpan>, DebugError> {
    let mut units: Vec<&UnitSpan> = match search::units_naming(debug, [last_part(name)])? {
        Some(units) => units.keys().filter_map(|unit| debug.spans.get(*unit)).collect(),
        None => debug.spans.iter().collect(),
    };
    if let Some(home) = near.and_then(|near| debug.span_of(near.0)) {
        units.sort_by_key(|span| span.start != home.start);
    }
    Ok(units)
}

/// Calls `each` with everything of a kind that bears a name in a unit, until it says that it has enough.
fn walk<'a>(
    debug: &Debug<'a>,
    span: &UnitSpan,
    kind: Kind,
    mut each: impl FnMut(&Rc<Unit<'a>>, &Named<'_>) -> Result<bool, DebugError>,
) -> Result<(), DebugError> {
    let unit = debug.unit(span)?;
    let mut entries = unit.unit.entries_raw(None)?;
    let mut attributes = Vec::new();
    let mut scopes: Vec<(isize, String, DieId)> = Vec::new();
    let mut function: Option<isize> = None;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        debug.count_die()?;
        while scopes.last().is_some_and(|(outer, ..)| *outer >= depth) {
            scopes.pop();
        }
        if function.is_some_and(|outer| outer >= depth) {
            function = None;
        }
        let tag = abbreviation.tag();
        if tag == gimli::DW_TAG_subprogram {
            function.get_or_insert(depth);
        }
        let scope = search::is_scope(tag) && abbreviation.has_children();
        if !scope && !kind.bears(tag) {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        entries.read_attributes(abbreviation.attributes(), &mut attributes)?;
        let value = |at| attributes.iter().find(|attribute| attribute.name() == at).map(gimli::Attribute::value);
        let id = unit.id(offset);
        let mut name = value(gimli::DW_AT_name).and_then(|value| debug.text(&unit, value));
        // A variable defined apart from its declaration (a static member of a class) has its name there.
        if name.is_none() && tag == gimli::DW_TAG_variable && value(gimli::DW_AT_location).is_some() {
            let (unit, die) = debug.die(id)?;
            name = debug.inherited_text(&unit, &die, gimli::DW_AT_name)?;
        }
        let declared = value(gimli::DW_AT_declaration).is_some();
        if kind.bears(tag)
            && !declared
            && let Some(name) = &name
        {
            let named = Named { id, tag, name, scopes: &scopes, in_function: function.is_some() };
            if each(&unit, &named)? {
                return Ok(());
            }
        }
        if scope {
            if scopes.len() >= limits::MAX_SCOPES {
                return Err(over("nested scopes", limits::MAX_SCOPES));
            }
            scopes.push((depth, name.unwrap_or_else(|| "(anonymous)".to_owned()), id));
        }
    }
    Ok(())
}

/// Calls `each` with every name of a kind.
pub(super) fn every_name(debug: &Debug<'_>, kind: Kind, each: &mut dyn FnMut(&str)) -> Result<(), DebugError> {
    search::in_batches(debug, debug.spans.iter(), |debug, span| {
        walk(debug, span, kind, |_, named| {
            // Locals are not to be named by `@var`.
            if kind != Kind::Variable || !named.in_function {
                each(named.name);
            }
            Ok(false)
        })
    })
}

/// What C's words before a tag say of its kind.
fn keyword(name: &str) -> (Option<&str>, &str) {
    match name.split_once(' ') {
        Some((word @ ("struct" | "class" | "union" | "enum"), rest)) => (Some(word), rest.trim()),
        Some(_) | None => (None, name),
    }
}

fn fits(word: Option<&str>, tag: DwTag) -> bool {
    match word {
        None => true,
        Some("struct" | "class") => matches!(tag, gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type),
        Some("union") => tag == gimli::DW_TAG_union_type,
        Some(_) => tag == gimli::DW_TAG_enumeration_type,
    }
}

/// The ways compilers write an integer type of C in DWARF.
fn spellings(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let integer = words.iter().all(|word| matches!(*word, "unsigned" | "signed" | "short" | "long" | "int" | "char"));
    if !integer || words.is_empty() {
        return vec![words.join(" ")];
    }
    let count = |wanted: &str| words.iter().filter(|word| **word == wanted).count();
    let (unsigned, longs, short, char) = (count("unsigned") > 0, count("long"), count("short") > 0, count("char") > 0);
    let list: &[&str] = match (unsigned, longs, short, char) {
        (true, _, _, true) => &["unsigned char"],
        (false, _, _, true) if count("signed") > 0 => &["signed char"],
        (false, _, _, true) => &["char"],
        (true, _, true, _) => &["short unsigned int", "unsigned short"],
        (false, _, true, _) => &["short int", "short"],
        (true, 0, ..) => &["unsigned int"],
        (false, 0, ..) => &["int"],
        (true, 1, ..) => &["long unsigned int", "unsigned long"],
        (false, 1, ..) => &["long int", "long"],
        (true, ..) => &["long long unsigned int", "unsigned long long"],
        (false, ..) => &["long long int", "long long"],
    };
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// The first type of a name.
pub(super) fn find_type(debug: &Debug<'_>, name: &str, near: Option<TypeId>) -> Result<Option<TypeId>, DebugError> {
    let (word, bare) = keyword(name.trim());
    for spelling in spellings(bare) {
        let mut found = None;
        for span in order(debug, &spelling, near)? {
            walk(debug, span, Kind::Type, |_, named| {
                if fits(word, named.tag) && (named.name == spelling || named.qualified() == spelling) {
                    found = Some(TypeId(named.id));
                }
                Ok(found.is_some())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// The value of the first enumerator of a name.
pub(super) fn find_enumerator(debug: &Debug<'_>, name: &str, near: Option<TypeId>) -> Result<Option<i128>, DebugError> {
    let own = last_part(name);
    for span in order(debug, name, near)? {
        let mut parent = None;
        walk(debug, span, Kind::Enumerator, |_, named| {
            if named.name == own && (own == name || named.qualified().ends_with(name)) {
                parent = named.scopes.last().map(|(_, _, id)| *id);
            }
            Ok(parent.is_some())
        })?;
        if let Some(parent) = parent
            && let Type::Enum { enumerators, .. } = types::read(debug, TypeId(parent))?
        {
            return Ok(enumerators.into_iter().find(|one| one.name == own).map(|one| one.value));
        }
    }
    Ok(None)
}

/// All variables of a name that belong to no call.
pub(super) fn find_globals(debug: &Debug<'_>, name: &str, near: Option<TypeId>) -> Result<Vec<Global>, DebugError> {
    let mut found = Vec::new();
    let home = near.and_then(|near| debug.span_of(near.0)).map(|span| span.start);
    for span in order(debug, name, near)? {
        walk(debug, span, Kind::Variable, |unit, named| {
            if named.name != name && named.qualified() != name {
                return Ok(false);
            }
            let (own, die) = debug.die(named.id)?;
            if named.in_function && !is_static(die.attr_value(gimli::DW_AT_location)) {
                return Ok(false);
            }
            let cfa_at = |_| None;
            let frame =
                Frame { debug, cfa_at: &cfa_at, unit: Rc::clone(unit), frame_base: None, address: 0, at_entry: false };
            let location = frame.variable(&own, &die);
            // What has neither place nor constant is a declaration that does not say so.
            if die.attr_value(gimli::DW_AT_location).is_none() && matches!(location, Location::Unavailable(_)) {
                return Ok(false);
            }
            if found.len() >= limits::MAX_NAMED {
                return Err(over("variables of one name", limits::MAX_NAMED));
            }
            found.push(Global {
                name: named.qualified(),
                declared: lines::declared(debug, &own, &die)?,
                home: home == Some(span.start),
                unit: unit.unit.name.and_then(|name| Some(String::from_utf8_lossy(&name.bytes().ok()?).into_owned())),
                ty: debug.type_of(&own, &die)?.map(TypeId),
                location,
            });
            Ok(false)
        })?;
    }
    Ok(found)
}

/// Whether a location is an address of the file and none in a frame: `DW_OP_addr`, `DW_OP_addrx`,
/// `DW_OP_GNU_addr_index` first, or `DW_OP_form_tls_address`, `DW_OP_GNU_push_tls_address` last (no LEB128 number ends so).
fn is_static(location: Option<Value<'_>>) -> bool {
    let Some(Value::Exprloc(expression)) = location else { return false };
    let bytes = expression.0.bytes().unwrap_or_default();
    matches!(bytes.first(), Some(0x03 | 0xa1 | 0xfb)) || matches!(*bytes, [0x0c | 0x0e | 0xa2 | 0xfc, .., 0x9b | 0xe0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_behind_the_last_separator_outside_brackets() {
        assert_eq!(last_part("ns::Foo"), "Foo");
        assert_eq!(last_part("Vec<u8, alloc::alloc::Global>"), "Vec<u8, alloc::alloc::Global>");
        assert_eq!(last_part("std::vector<std::pair<a::b, c>, d>"), "vector<std::pair<a::b, c>, d>");
    }

    #[test]
    fn integers_are_found_as_gcc_and_clang_write_them() {
        assert_eq!(spellings("unsigned"), ["unsigned int"]);
        assert_eq!(spellings("unsigned long"), ["long unsigned int", "unsigned long"]);
        assert_eq!(spellings("long long int"), ["long long int", "long long"]);
        assert_eq!(spellings("size_t"), ["size_t"]);
    }
}
