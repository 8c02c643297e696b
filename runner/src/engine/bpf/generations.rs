//! Owns the generations of maps that are deleted whole. Programs reach such a map through an array of maps with one
//! element; an empty one is put into its place, and once no program can still be at work on the one before, that one is
//! complete: nothing that handlers counted is lost between reading a map and emptying it.

use std::collections::HashMap;
use std::time::Duration;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::map::{MapId, MapSpec};

use super::BpfEngine;
use super::grace;
use super::load::{create_map, create_outer, failure, put_inner};
use super::sys::Map;
use crate::engine::Outcome;

/// How long handlers are waited for. What one that sleeps longer counts then is not seen.
const MOST_WAIT: Duration = Duration::from_secs(1);

/// The arrays of maps for those that have generations.
pub(super) fn outer(specs: &[MapSpec], maps: &[Option<Map>]) -> Outcome<HashMap<MapId, Map>> {
    let mut outer = HashMap::new();
    for ((id, spec), map) in (0u32..).map(MapId).zip(specs).zip(maps) {
        if let (true, Some(map)) = (spec.generations, map) {
            let fail = |error| failure(Code::E0407, &format!("cannot make the map `{}`", spec.name), &error);
            outer.insert(id, create_outer(map).map_err(fail)?);
        }
    }
    Ok(outer)
}

impl BpfEngine {
    /// Begins a map's next generation and keeps the one before; false for a map without generations.
    pub(super) fn next_generation(&mut self, id: MapId) -> Outcome<bool> {
        let fail = |error| failure(Code::E0405, "cannot empty a map", &error);
        let Some(outer) = self.outer.get(&id) else { return Ok(false) };
        let Some(spec) = self.compiled.maps.get(id.0 as usize) else { return Ok(false) };
        let Some(next) = create_map(spec)? else { return Ok(false) };
        put_inner(outer, &next).map_err(fail)?;
        // Handlers that found the one before may sleep on a page: they are waited for.
        grace::wait(MOST_WAIT);
        let slot = self.maps.get_mut(id.0 as usize);
        if let Some(before) = slot.and_then(|slot| slot.replace(next)) {
            self.closed.insert(id, before);
        }
        Ok(true)
    }
}
