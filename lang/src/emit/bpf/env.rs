//! Owns what all handlers of a program are compiled against: options, facts of the kernel, layouts, and the constants
//! that are looked up by an index.

use std::collections::HashMap;

use super::map::{GlobalLayout, MapId, TextLayout};
use super::rate::Rate;
use super::{CompiledSite, ContainerNames, KernelFacts, PrintLayout};
use crate::ir::{Function, FunctionIndex, Library, Print, ProbeIndex, Program};
use crate::library;
use crate::value::Value;

/// What all handlers share.
pub(super) struct Env<'a> {
    pub(super) program: &'a Program,
    pub(super) kernel: KernelFacts,
    pub(super) text: TextLayout,
    pub(super) globals: &'a [GlobalLayout],
    pub(super) sites: &'a [CompiledSite],
    /// How many rounds the loops of a run may go together.
    pub(super) max_steps: u32,
    /// Whether records tell the container's process id and the cpu.
    pub(super) origin: bool,
    /// How many hits a second handlers may run for.
    pub(super) rate: Option<Rate>,
    /// The output statements, by the number that records bear.
    pub(super) prints: &'a [PrintLayout],
    /// Which number each output statement of the program has, by its place in memory.
    pub(super) print_numbers: &'a HashMap<*const Print, usize>,
    /// The maps that are one of an array of maps.
    pub(super) generations: &'a [MapId],
    /// The map of the tasks' scratch memory.
    pub(super) scratch: MapId,
    /// The map of [`Rodata`].
    pub(super) constants: MapId,
    /// The map of its tables of containers, which grow while it runs: what may be written is no place for a format.
    pub(super) names: MapId,
    /// For how many containers tables of containers have room.
    pub(super) container_room: usize,
}

impl<'a> Env<'a> {
    /// The number and the layout of an output statement.
    pub(super) fn print(&self, print: &Print) -> Option<(usize, &'a PrintLayout)> {
        let number = *self.print_numbers.get(&std::ptr::from_ref(print))?;
        Some((number, self.prints.get(number)?))
    }

    /// Whether a map is one of an array of maps.
    pub(super) fn has_generations(&self, map: MapId) -> bool {
        self.generations.contains(&map)
    }

    /// A function of the program.
    pub(super) fn function(&self, index: FunctionIndex) -> Option<&'a Function> {
        self.program.functions.get(index.0 as usize)
    }

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
    /// A slot per container.
    Images,
    /// A slot per container.
    Pods,
    /// A slot per container.
    Runtimes,
    /// A slot per site.
    Functions,
    /// 8 bytes per site: its link-time address.
    Addresses,
    /// A slot per error number, from [`ERRNOS`] below 0 to as many above.
    Errnos,
    /// A slot per signal, from [`SIGNALS`] below 0 to as many above.
    Signals,
}

impl Table {
    /// Whether it has an entry for each container.
    pub(super) fn is_of_containers(self) -> bool {
        self.of_container(&ContainerNames::default()).is_some()
    }

    /// What a table of containers says of one; `None` for any other table.
    pub(super) fn of_container(self, names: &ContainerNames) -> Option<&str> {
        match self {
            Table::ContainerNames => Some(&names.name),
            Table::ContainerIds => Some(&names.id),
            Table::Images => Some(&names.image),
            Table::Pods => Some(&names.pod),
            Table::Runtimes => Some(&names.runtime),
            Table::Functions | Table::Addresses | Table::Errnos | Table::Signals => None,
        }
    }
}

/// The greatest error number that has a name.
const ERRNOS: i64 = 133;
/// The greatest signal that has a name.
const SIGNALS: i64 = 64;

/// The tables in use.
#[derive(Default)]
pub(super) struct Rodata {
    pub(super) bytes: Vec<u8>,
    /// The tables of containers.
    pub(super) names: Vec<u8>,
    tables: Vec<(Table, u32)>,
    constants: Vec<(Vec<u8>, u32)>,
}

impl Rodata {
    /// Byte offset, bytes of an entry and number of entries of a table, which is made when first asked for.
    pub(super) fn table(&mut self, table: Table, env: &Env<'_>) -> (u32, u32, usize) {
        let text = env.text;
        let (entry, count) = match table {
            Table::ContainerNames | Table::ContainerIds | Table::Images | Table::Pods | Table::Runtimes => {
                (text.slot(), env.container_room)
            }
            Table::Functions => (text.slot(), env.sites.len()),
            Table::Addresses => (8, env.sites.len()),
            Table::Errnos => (text.slot(), usize::try_from(2 * ERRNOS + 1).unwrap_or(0)),
            Table::Signals => (text.slot(), usize::try_from(2 * SIGNALS + 1).unwrap_or(0)),
        };
        if let Some((_, offset)) = self.tables.iter().find(|(made, _)| *made == table) {
            return (*offset, entry, count);
        }
        let bytes = if table.is_of_containers() { &self.names } else { &self.bytes };
        let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.tables.push((table, offset));
        let mut texts = |name: fn(ContainerNames) -> String| {
            let names = env.program.containers.iter().map(|one| name(ContainerNames::of(one)));
            self.names.extend(names.flat_map(|name| text.to_bytes(name.as_bytes(), false)));
            self.names.resize(offset as usize + count * text.slot() as usize, 0);
        };
        match table {
            Table::ContainerNames => texts(|one| one.name),
            Table::ContainerIds => texts(|one| one.id),
            Table::Images => texts(|one| one.image),
            Table::Pods => texts(|one| one.pod),
            Table::Runtimes => texts(|one| one.runtime),
            Table::Functions => {
                let names = env.sites.iter().flat_map(|site| text.to_bytes(site.function.as_bytes(), false));
                self.bytes.extend(names);
            }
            Table::Errnos => self.numbers(Library::ErrnoStr, ERRNOS, text),
            Table::Signals => self.numbers(Library::SignalStr, SIGNALS, text),
            Table::Addresses => self.bytes.extend(env.sites.iter().flat_map(|site| site.address.to_le_bytes())),
        }
        (offset, entry, count)
    }

    /// The tables of containers that were made, each with its byte offset.
    pub(super) fn container_tables(&self) -> Vec<(Table, u32)> {
        self.tables.iter().filter(|(table, _)| table.is_of_containers()).copied().collect()
    }

    fn numbers(&mut self, function: Library, most: i64, text: TextLayout) {
        for number in -most..=most {
            let name = match library::call(function, &[Value::Int(number)]) {
                Some(Value::Str { bytes, .. }) => bytes,
                Some(Value::Int(_) | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_)) | None => {
                    Vec::new()
                }
            };
            self.bytes.extend(text.to_bytes(&name, false));
        }
    }

    /// Byte offset of these bytes, padded to a multiple of 8.
    pub(super) fn constant(&mut self, bytes: &[u8]) -> u32 {
        if let Some((_, offset)) = self.constants.iter().find(|(known, _)| known == bytes) {
            return *offset;
        }
        let offset = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.constants.push((bytes.to_vec(), offset));
        offset
    }
}
