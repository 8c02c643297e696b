//! Owns what all handlers of a program are compiled against: options, facts of the kernel, layouts, and the constants
//! that are looked up by an index.

use super::map::{GlobalLayout, MapId, TextLayout};
use super::{CompiledSite, KernelFacts};
use crate::ir::{ProbeIndex, Program};

/// What all handlers share.
pub(super) struct Env<'a> {
    pub(super) program: &'a Program,
    pub(super) kernel: KernelFacts,
    pub(super) text: TextLayout,
    pub(super) globals: &'a [GlobalLayout],
    pub(super) sites: &'a [CompiledSite],
    /// The map of the tasks' scratch memory.
    pub(super) scratch: MapId,
    /// The map of [`Rodata`].
    pub(super) constants: MapId,
}

impl Env<'_> {
    /// The probe point as written.
    pub(super) fn point(&self, probe: ProbeIndex) -> &str {
        self.program.probes.get(probe.0 as usize).map_or("", |probe| &probe.point)
    }
}

/// Constants that are looked up by an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// A slot per container.
    ContainerNames,
    /// A slot per container.
    ContainerIds,
    /// A slot per site.
    Functions,
    /// 8 bytes per site: its link-time address.
    Addresses,
}

/// The tables in use.
#[derive(Default)]
pub(super) struct Rodata {
    pub(super) bytes: Vec<u8>,
    tables: Vec<(Table, u32)>,
}

impl Rodata {
    /// Byte offset, bytes of an entry and number of entries of a table, which is made when first asked for.
    pub(super) fn table(&mut self, table: Table, env: &Env<'_>) -> (u32, u32, usize) {
        let text = env.text;
        let (entry, count) = match table {
            Table::ContainerNames | Table::ContainerIds => (text.slot(), env.program.containers.len()),
            Table::Functions => (text.slot(), env.sites.len()),
            Table::Addresses => (8, env.sites.len()),
        };
        if let Some((_, offset)) = self.tables.iter().find(|(made, _)| *made == table) {
            return (*offset, entry, count);
        }
        let offset = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.tables.push((table, offset));
        let containers = &env.program.containers;
        let slot = |name: &str| text.to_bytes(name.as_bytes(), false);
        match table {
            Table::ContainerNames => self.bytes.extend(containers.iter().flat_map(|one| slot(one.display_name()))),
            Table::ContainerIds => self.bytes.extend(containers.iter().flat_map(|one| slot(&one.id))),
            Table::Functions => self.bytes.extend(env.sites.iter().flat_map(|site| slot(&site.function))),
            Table::Addresses => self.bytes.extend(env.sites.iter().flat_map(|site| site.address.to_le_bytes())),
        }
        (offset, entry, count)
    }
}
