//! Owns which parameters and locals a site has: those of its DIE in scope at the address, and the parameters that the
//! compiler left out of an instance.

use std::collections::HashMap;
use std::rc::Rc;

use super::facts::{DebugError, GoResult, Location, TypeId, Unavailable, Variable, VariableKind};
use super::limits::{self, over};
use super::location::Frame;
use super::producer::Producer;
use super::units::{Debug, Die, DieId, Unit, Value};

/// A variable's DIE.
pub(super) struct Found<'a> {
    pub(super) unit: Rc<Unit<'a>>,
    pub(super) die: Die<'a>,
    pub(super) kind: VariableKind,
    /// Whether the DIE is that of the instance; otherwise only the function it was made from has the parameter.
    own: bool,
}

/// The DIEs of the parameters of a function or inlined instance, in order, and of the locals in scope at `address`.
pub(super) fn find<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    die: &Die<'a>,
    address: u64,
) -> Result<Vec<Found<'a>>, DebugError> {
    let own = in_scope(debug, unit, die, Some(address), false)?;
    let Some(origin) = die.attr_value(gimli::DW_AT_abstract_origin).and_then(|value| debug.reference(unit, value))
    else {
        return Ok(own);
    };
    // An instance may lack parameters that the function has (gcc drops those without location), and may list the
    // others in another order.
    let (origin_unit, origin) = debug.die(origin)?;
    let mut by_origin = HashMap::new();
    let (mut rest, mut locals) = (Vec::new(), Vec::new());
    for found in own {
        match found.kind {
            VariableKind::Local => locals.push(found),
            VariableKind::Parameter => match debug.origin(&found.unit, &found.die) {
                Some(id) => {
                    by_origin.insert(id, found);
                }
                None => rest.push(found),
            },
        }
    }
    let mut all = Vec::new();
    for abstract_one in in_scope(debug, &origin_unit, &origin, None, false)? {
        let id = abstract_one.unit.id(abstract_one.die.offset());
        all.push(by_origin.remove(&id).unwrap_or(Found { own: false, ..abstract_one }));
    }
    let mut left: Vec<(DieId, Found<'a>)> = by_origin.into_iter().collect();
    left.sort_by_key(|(id, _)| *id);
    all.extend(left.into_iter().map(|(_, found)| found));
    all.extend(rest);
    all.extend(locals);
    Ok(all)
}

/// The variables of a DIE; with no address its parameters only, or its results (Go's) only.
fn in_scope<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    die: &Die<'a>,
    address: Option<u64>,
    results: bool,
) -> Result<Vec<Found<'a>>, DebugError> {
    let mut found: Vec<Found<'a>> = Vec::new();
    if !die.has_children() {
        return Ok(found);
    }
    let mut entries = unit.unit.entries_raw(Some(die.offset()))?;
    let mut child = Die::null();
    entries.read_entry(&mut child)?;
    // Below this depth nothing counts: a block out of scope, another function.
    let mut hidden: Option<isize> = None;
    // Blocks in scope, by depth.
    let mut open = 0;
    while !entries.is_empty() && entries.next_depth() > 0 {
        if !entries.read_entry(&mut child)? {
            continue;
        }
        debug.count_die()?;
        if hidden.is_some_and(|depth| child.depth() > depth) {
            continue;
        }
        hidden = None;
        let kind = match child.tag() {
            // Go's results: those without name (`~r0`) are nowhere but in registers behind the return.
            gimli::DW_TAG_formal_parameter if is_go_result(debug, unit, &child) && results => VariableKind::Local,
            gimli::DW_TAG_formal_parameter if is_go_result(debug, unit, &child) => {
                let name = debug.inherited_text(unit, &child, gimli::DW_AT_name)?;
                if address.is_none() || name.is_none_or(|name| name.starts_with('~')) {
                    continue;
                }
                VariableKind::Local
            }
            gimli::DW_TAG_formal_parameter if !results => VariableKind::Parameter,
            gimli::DW_TAG_variable if address.is_some() => VariableKind::Local,
            gimli::DW_TAG_lexical_block => {
                open += 1;
                let covers = |address| -> Result<bool, DebugError> {
                    Ok(debug.ranges(unit, &child)?.iter().any(|(low, high)| (*low..*high).contains(&address)))
                };
                if open > limits::MAX_SCOPES * 16 || !address.map(covers).transpose()?.unwrap_or(false) {
                    hidden = Some(child.depth());
                }
                continue;
            }
            _ => {
                hidden = Some(child.depth());
                continue;
            }
        };
        // What a block declares as `extern` is not in it.
        let elsewhere = kind == VariableKind::Local && child.attr_value(gimli::DW_AT_declaration).is_some();
        if !elsewhere {
            if found.len() >= limits::MAX_VARIABLES {
                return Err(over("variables at one place", limits::MAX_VARIABLES));
            }
            found.push(Found { unit: Rc::clone(unit), die: child.clone(), kind, own: true });
        }
        if child.has_children() {
            hidden = Some(child.depth());
        }
    }
    Ok(found)
}

/// Whether a parameter's DIE is a result of a function (cmd/internal/dwarf marks them so); in other languages a variable
/// parameter is one that is passed by reference.
fn is_go_result<'a>(debug: &Debug<'a>, unit: &Unit<'a>, die: &Die<'a>) -> bool {
    let marked = matches!(die.attr_value(gimli::DW_AT_variable_parameter), Some(Value::Flag(true)));
    marked && matches!(debug.producer(unit), Producer::Go { .. })
}

/// The results of a function that Go's compiler made with its register convention; `None` for all others.
pub(super) fn go_results<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    die: &Die<'a>,
) -> Result<Option<Vec<GoResult>>, DebugError> {
    if debug.producer(unit) != (Producer::Go { registers: true }) {
        return Ok(None);
    }
    let mut results = Vec::new();
    for found in in_scope(debug, unit, die, None, true)? {
        let name = debug.inherited_text(unit, &found.die, gimli::DW_AT_name)?.unwrap_or_default().to_owned();
        results.push(GoResult { name, ty: debug.type_of(unit, &found.die)?.map(TypeId) });
    }
    Ok(Some(results))
}

/// Where each variable is; those without name are left out, and so is a local that an inner one of its name hides.
pub(super) fn read<'a>(frame: &Frame<'_, 'a>, found: &[Found<'a>]) -> Result<Vec<Variable>, DebugError> {
    let debug = frame.debug;
    let mut variables: Vec<Variable> = Vec::new();
    for found in found {
        let Some(name) = debug.inherited_text(&found.unit, &found.die, gimli::DW_AT_name)? else { continue };
        let location = if found.own || found.die.attr_value(gimli::DW_AT_const_value).is_some() {
            frame.variable(&found.unit, &found.die)
        } else {
            Location::Unavailable(Unavailable::OptimizedOut { ranges: Vec::new() })
        };
        let ty = debug.type_of(&found.unit, &found.die)?.map(TypeId);
        if found.kind == VariableKind::Local {
            variables.retain(|outer| outer.kind == VariableKind::Parameter || outer.name != name);
        }
        variables.push(Variable { name, kind: found.kind, ty, location });
    }
    Ok(variables)
}
