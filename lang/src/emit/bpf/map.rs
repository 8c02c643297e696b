//! Owns which maps a program uses and how their keys and values are laid out in memory.

use crate::ir::{GlobalIndex, StatsShape, Ty};
use crate::stats::{LOG_BUCKETS, Stats};
use crate::value::Value;
use crate::world::Controller;

/// Index into [`super::Compiled::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapId(pub u32);

/// Which tasks count: key [`FilterKey`], value [`FilterValue`].
pub const FILTER: MapId = MapId(0);
/// The ring buffer of records.
pub const RING: MapId = MapId(1);
/// Per cpu and probe: one `u64` per [`super::Category`].
pub const COUNTERS: MapId = MapId(2);
/// One element that the runner maps: 8 bytes, not 0 once `exit()` ran; then 8 bytes per scalar number.
pub const SCALARS: MapId = MapId(3);

/// Cgroups that nobody has decided about: id of the cgroup, 8 bytes; 8 bytes of nothing.
pub const UNDECIDED: MapId = MapId(4);

/// What [`FILTER`] says of the cgroups that the runner put there, once more where programs find it without a look-up: one
/// element of [`Near::SLOTS`] slots. What is not there is looked up.
pub const NEAR: MapId = MapId(5);

/// Hits of cgroups that nobody has decided about, at the links of a group: key [`FilterKey`], value a `u64`. Who comes
/// may be meant where one group's links are and not at another's, so each is counted by itself.
pub const MISSED: MapId = MapId(6);

/// Kinds of maps (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`, its elements allocated beforehand.
    Hash,
    /// `BPF_MAP_TYPE_HASH`, memory taken for the entries that there are.
    SparseHash,
    /// `BPF_MAP_TYPE_LRU_HASH`: where it is full, the entry not used for longest makes room.
    Recent,
    /// `BPF_MAP_TYPE_ARRAY`
    Array,
    /// `BPF_MAP_TYPE_ARRAY`, which user space maps.
    SharedArray,
    /// `BPF_MAP_TYPE_ARRAY`, never written again.
    Constant,
    /// `BPF_MAP_TYPE_ARRAY`, written by the runner only: constants with names of containers that come later.
    Table,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray,
    /// `BPF_MAP_TYPE_PERCPU_HASH`, its elements allocated beforehand.
    PerCpuHash,
    /// `BPF_MAP_TYPE_RINGBUF`; `max_entries` is its size in bytes.
    Ring,
    /// `BPF_MAP_TYPE_TASK_STORAGE`
    TaskStorage,
}

/// A map to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Shown by tools, at most 15 bytes.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many entries (bytes for a ring).
    pub max_entries: u32,
    /// Values of the entries 0, 1, … to begin with.
    pub initial: Vec<Vec<u8>>,
    /// Whether the map is the only element of an array of maps (`BPF_MAP_TYPE_ARRAY_OF_MAPS`), which programs go
    /// through: the runner puts an empty one into its place to delete all entries.
    pub generations: bool,
}

impl MapSpec {
    /// One that begins empty and stays in its place; sizes as those of the members.
    pub(super) fn new(name: &str, kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
        let name = name.to_owned();
        MapSpec { name, kind, key_size, value_size, max_entries, initial: Vec::new(), generations: false }
    }
}

/// Key of [`FILTER`]: who counts at the links of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterKey {
    /// Inode number of a cgroup's folder; the start of a process in ns since boot (`start_boottime` of its first
    /// thread); 0 for the host.
    pub id: u64,
    /// Which set of containers a link counts for: the upper half of its cookies.
    pub group: u32,
    /// A process' number in the first pid namespace, where it is one (at most 2^22); 0 for a cgroup, all bits for the
    /// host, [`NAMESPACE`] for a mount namespace, from [`CGROUP1`] on for cgroups of version 1, by controller.
    pub process: u32,
}

/// The group of cgroups whose tasks are not the host's: those of containers, and new ones that nobody has looked at.
pub const NOT_THE_HOSTS: u32 = u32::MAX;

/// The group of cgroups of containers: what their tasks execute is told to the runner.
pub const EXECS: u32 = u32::MAX - 1;

/// What stands for a process' number where [`FilterKey::id`] is a mount namespace's.
pub const NAMESPACE: u32 = u32::MAX - 1;
/// The same, plus the controller, where it is that of a cgroup of version 1: each hierarchy has ids of its own.
pub const CGROUP1: u32 = 0xffff_ff00;

impl FilterKey {
    /// Bytes of a key.
    pub const SIZE: u32 = 16;

    /// The tasks in a cgroup or below.
    pub fn cgroup(id: u64, group: u32) -> FilterKey {
        FilterKey { id, group, process: 0 }
    }

    /// The tasks in a mount namespace.
    pub fn mount_namespace(number: u32, group: u32) -> FilterKey {
        FilterKey { id: u64::from(number), group, process: NAMESPACE }
    }

    /// The tasks in a cgroup of version 1 or below.
    pub fn cgroup1(controller: Controller, id: u64, group: u32) -> FilterKey {
        FilterKey { id, group, process: CGROUP1 + controller as u32 }
    }

    /// A process and its descendants.
    pub fn process(start: u64, process: u32, group: u32) -> FilterKey {
        FilterKey { id: start, group, process }
    }

    /// The tasks in no cgroup of [`NOT_THE_HOSTS`].
    pub fn host(group: u32) -> FilterKey {
        FilterKey { id: 0, group, process: u32::MAX }
    }

    /// As the kernel holds it.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.group.to_le_bytes());
        bytes[12..].copy_from_slice(&self.process.to_le_bytes());
        bytes
    }

    /// From what the kernel holds.
    pub fn from_bytes(bytes: &[u8]) -> Option<FilterKey> {
        Some(FilterKey { id: u64_at(bytes, 0)?, group: u32_at(bytes, 8)?, process: u32_at(bytes, 12)? })
    }
}

/// Value of [`FILTER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterValue {
    /// The container's index in the program.
    pub container: u32,
    /// Depth of its pid namespace.
    pub pid_level: u32,
}

impl FilterValue {
    /// Bytes of a value.
    pub const SIZE: u32 = 8;

    /// As the kernel holds it.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.container.to_le_bytes());
        bytes[4..].copy_from_slice(&self.pid_level.to_le_bytes());
        bytes
    }
}

/// A slot of [`NEAR`]: id of the cgroup, 8 bytes, all bits where there is none; the group, 8 bytes; the value, as 8 bytes.
/// Programs read the id first and writers write it last, and a slot that was emptied is never another's: whoever
/// finds its id there finds its own value behind it.
#[derive(Clone, Copy, Debug)]
pub struct Near;

impl Near {
    /// Bytes of a slot.
    pub const SIZE: u32 = 32;
    /// How many there are: 2 to the power of [`Near::BITS`].
    pub const SLOTS: u32 = 1 << Near::BITS;
    pub(super) const BITS: u32 = 10;
    /// The id, and the group, in a slot that is nobody's.
    pub const NOBODY: u64 = u64::MAX;
    /// Byte offset of the group in a slot.
    pub const GROUP: u32 = 8;
    /// Byte offset of the value in a slot.
    pub const VALUE: u32 = 16;
    /// What ids are multiplied by: 2 to the power of 64, divided by the golden ratio. Ids of cgroups lie at regular
    /// distances, which this spreads (Knuth, The Art of Computer Programming, 6.4).
    pub(super) const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    pub(super) const GROUP_SHIFT: u32 = 48;

    /// Byte offset of the only slot in which a cgroup may be for a group.
    pub fn offset(id: u64, group: u32) -> u32 {
        let spread = (id ^ (u64::from(group) << Near::GROUP_SHIFT)).wrapping_mul(Near::SPREAD);
        u32::try_from(spread >> (64 - Near::BITS)).unwrap_or(0) * Near::SIZE
    }
}

/// How strings lie in memory: `u32` length, `u32` flags, bytes, zeros up to [`TextLayout::slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLayout {
    /// The string limit in bytes.
    pub strlen: u32,
}

/// The flag of a string that was cut.
pub const TEXT_CUT: u32 = 1;
/// The flag of a string that could not be read (in records only).
pub const TEXT_FAULT: u32 = 2;

impl TextLayout {
    /// Bytes of the text itself in a slot: the limit, one byte more to see whether there is more, and a NUL.
    pub fn text(self) -> u32 {
        (self.strlen + 2).next_multiple_of(8)
    }

    /// Bytes of a slot.
    pub fn slot(self) -> u32 {
        8 + self.text()
    }

    /// A string as a slot, cut and marked where it is over the limit.
    pub fn to_bytes(self, text: &[u8], truncated: bool) -> Vec<u8> {
        let limit = self.strlen as usize;
        let (text, cut) = match text.get(..limit) {
            Some(head) if text.len() > limit => (head, true),
            Some(_) | None => (text, truncated),
        };
        let mut bytes = Vec::with_capacity(self.slot() as usize);
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&if cut { TEXT_CUT } else { 0 }.to_le_bytes());
        bytes.extend_from_slice(text);
        bytes.resize(self.slot() as usize, 0);
        bytes
    }

    /// The string of a slot; [`Value::Fault`] for bytes that are none.
    pub fn from_bytes(self, slot: &[u8]) -> Value {
        let (Some(length), Some(flags)) = (u32_at(slot, 0), u32_at(slot, 4)) else {
            return Value::Fault;
        };
        match slot.get(8..).and_then(|text| text.get(..length as usize)) {
            Some(text) => Value::Str { bytes: text.to_vec(), truncated: flags & TEXT_CUT != 0 },
            None => Value::Fault,
        }
    }
}

/// The `u32` at byte `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The `u64` at byte `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// How one part of a key lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// 8 bytes.
    Int,
    /// A string's slot.
    Text,
    /// 8 bytes: the index of the container whose name is meant.
    Container,
}

/// Where a global lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobalLayout {
    /// 8 bytes of the only element of [`SCALARS`].
    Number {
        /// Byte offset there.
        offset: u32,
        /// What it is at first.
        initial: i64,
    },
    /// One element of an array of strings.
    Text {
        /// The array.
        map: MapId,
        /// Index of the element.
        index: u32,
        /// What it is at first.
        initial: Vec<u8>,
    },
    /// A hash map.
    Map {
        /// The map.
        map: MapId,
        /// Parts of the key, one behind the other.
        keys: Vec<KeyPart>,
        /// Type of the values: 8 bytes, or a string's slot.
        value: Ty,
    },
    /// An aggregate, or a map of them.
    Stats {
        /// The map; for a single aggregate it has one element.
        map: MapId,
        /// Parts of the key, one behind the other; none for a single aggregate.
        keys: Vec<KeyPart>,
        /// How an aggregate lies in memory.
        stats: StatsLayout,
        /// Whether each cpu has its own.
        per_cpu: bool,
        /// Whether an element may not be there: only an array always has its own.
        sparse: bool,
    },
}

/// How an aggregate lies in memory: zeros are an aggregate of nothing. 8 bytes each: count; sum; the greatest, its sign
/// turned so that greater is greater as an unsigned number; the least, the same with all bits turned; then the buckets of
/// the histogram of powers of two, where there is one; then those of each linear one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsLayout {
    /// What is kept.
    pub shape: StatsShape,
}

impl StatsLayout {
    /// Where the buckets begin.
    pub(super) const BUCKETS: u32 = 32;

    /// Bytes of an aggregate.
    pub fn size(&self) -> u32 {
        let log = if self.shape.log { LOG_BUCKETS } else { 0 };
        let buckets: usize = self.shape.linear.iter().map(|linear| linear.buckets()).sum();
        u32::try_from((log + buckets) * 8).unwrap_or(u32::MAX).saturating_add(StatsLayout::BUCKETS)
    }

    /// An aggregate from its bytes; of more bytes than one takes, all that are there together (each cpu's).
    pub fn decode(&self, bytes: &[u8]) -> Stats {
        let mut all = Stats::new(&self.shape);
        for one in bytes.chunks_exact(self.size() as usize) {
            let mut words = one.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
            let mut next = || words.next().unwrap_or(0);
            let mut stats = Stats { count: next(), sum: next().cast_signed(), ..Stats::new(&self.shape) };
            (stats.max, stats.min) = (StatsLayout::ordered(next()), StatsLayout::ordered(!next()));
            stats.log.iter_mut().chain(stats.linear.iter_mut().flatten()).for_each(|bucket| *bucket = next());
            all.merge(&stats);
        }
        all
    }

    /// One aggregate as the kernel holds it.
    pub fn encode(&self, stats: &Stats) -> Vec<u8> {
        if stats.count == 0 {
            return vec![0; self.size() as usize];
        }
        let (max, min) = (stats.max.cast_unsigned() ^ (1 << 63), !(stats.min.cast_unsigned() ^ (1 << 63)));
        let head = [stats.count, stats.sum.cast_unsigned(), max, min];
        let buckets = stats.log.iter().chain(stats.linear.iter().flatten());
        let mut bytes: Vec<u8> = head.iter().chain(buckets).flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(self.size() as usize, 0);
        bytes
    }

    fn ordered(word: u64) -> i64 {
        (word ^ (1 << 63)).cast_signed()
    }
}

impl GlobalLayout {
    /// Bytes of a key of these parts.
    pub(super) fn key_size(keys: &[KeyPart], text: TextLayout) -> u32 {
        keys.iter()
            .map(|part| match part {
                KeyPart::Int | KeyPart::Container => 8,
                KeyPart::Text => text.slot(),
            })
            .sum()
    }
}

/// Says which global a layout belongs to.
pub(super) fn layout(globals: &[GlobalLayout], index: GlobalIndex) -> Option<&GlobalLayout> {
    globals.get(index.0 as usize)
}
