//! Owns which units a place in `.debug_str_offsets` belongs to. Looks up no string.

use gimli::SectionId;

use super::dwarf::{Parts, Role, file_of};
use super::facts::DebugError;
use super::search::in_batches;
use super::units::Debug;

/// The parts of `.debug_str_offsets` of a file by the unit (its index in [`Debug::spans`]) that they belong to. Parts
/// of several units may be the same.
pub(super) fn parts(debug: &Debug<'_>, file: usize) -> Result<Parts, DebugError> {
    let Some(opened) = debug.files.files.get(file) else { return Ok(Vec::new()) };
    let size = opened.stored(SectionId::DebugStrOffsets).map_or(0, |table| table.size());
    let units = || debug.spans.iter().enumerate().filter(|(_, span)| file_of(span.start) == file);
    match opened.role {
        // One compilation unit and its type units share the table.
        Role::Split => Ok(units().map(|(index, _)| (0..size, index)).collect()),
        Role::Package => {
            let mut parts = Vec::new();
            for (index, span) in units() {
                if let Some((row, types)) = span.split.and_then(|split| split.row) {
                    parts.push((debug.row_strings(file, row, types)?, index));
                }
            }
            Ok(parts)
        }
        Role::Main | Role::Alternate => {
            let mut bases = Vec::new();
            let indexes: Vec<usize> = units().map(|(index, _)| index).collect();
            let mut next = indexes.iter();
            in_batches(debug, units().map(|(_, span)| span), |debug, span| {
                let unit = debug.unit(span)?;
                if let Some(index) = next.next().filter(|_| unit.unit.encoding().version >= 5) {
                    bases.push((unit.unit.str_offsets_base.0 as u64, *index));
                }
                Ok(())
            })?;
            let mut starts: Vec<u64> = bases.iter().map(|(base, _)| *base).collect();
            starts.sort_unstable();
            // A part ends where the next one begins (its header belongs to neither, which does no harm).
            let end = |base: u64| starts.get(starts.partition_point(|start| *start <= base)).copied().unwrap_or(size);
            Ok(bases.into_iter().map(|(base, index)| (base..end(base), index)).collect())
        }
    }
}
