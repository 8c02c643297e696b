//! Owns the program that sees containers coming (the tracepoint `cgroup_mkdir`): the cgroup of one that is wanted is
//! put into the filter before a task can be in it, and each new cgroup is told to the runner. Of those that nobody has
//! decided about yet, hits are counted: what was missed is known.

use super::asm::Asm;
use super::cgroups::{CGROUP_MKDIR, CgroupOffsets};
use super::insn::*;
use super::map::{FILTER, MapId, MapKind, MapSpec, UNDECIDED};
use super::tracepoint::{self, AtTracepoint};

/// The longest path that is told, its NUL included: a deeper cgroup is told cut short, and is wanted by nobody.
pub const PATH: usize = 256;
/// Most groups that one cgroup is put into by the kernel, [`super::map::EXECS`] among them.
pub const GROUPS: usize = 17;
/// Bytes of a value of the map of wanted paths: `u32` number of groups, `u32` container, `u32` depth of its pid
/// namespace, `u32` nothing, then the groups, `u32` each.
pub const WANTED_SIZE: usize = 16 + 4 * GROUPS;
/// Bytes of a record: `u64` id of the cgroup, `u64` what became of it, then its path, zeros behind it.
pub const RECORD: usize = 16 + PATH;
/// How many paths can be wanted at a time.
const MOST_WANTED: u32 = 4096;
/// How many cgroups can be undecided at a time; of more, the oldest are no longer counted for.
pub(super) const MOST_UNDECIDED: u32 = 4096;
/// Bytes of the ring.
const RING: u32 = 1 << 18;

/// The maps of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// By path: who is wanted there.
    pub wanted: MapId,
    /// The ring of records.
    pub ring: MapId,
    /// The two numbers, which the runner reads without a system call.
    pub counts: MapId,
}

/// Adds the maps.
pub(super) fn maps(maps: &mut Vec<MapSpec>) -> Maps {
    let mut add = |spec: MapSpec| {
        maps.push(spec);
        MapId(u32::try_from(maps.len() - 1).unwrap_or(u32::MAX))
    };
    let bytes = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    Maps {
        wanted: add(MapSpec::new("ctp_wanted", MapKind::SparseHash, bytes(PATH), bytes(WANTED_SIZE), MOST_WANTED)),
        ring: add(MapSpec::new("ctp_made", MapKind::Ring, 0, 0, RING)),
        counts: add(tracepoint::numbers("ctp_made_counts")),
    }
}

/// A path as key of the map of wanted paths; `None` for one that is too long.
pub fn path_key(path: &str) -> Option<[u8; PATH]> {
    let mut key = [0; PATH];
    key.get_mut(..path.len()).filter(|place| place.len() < PATH)?.copy_from_slice(path.as_bytes());
    Some(key)
}

/// A value of the map of wanted paths: the container, and as many of the groups as there is room for.
pub fn wanted_value(container: u32, pid_level: u32, groups: &[u32]) -> [u8; WANTED_SIZE] {
    let groups = groups.get(..GROUPS).unwrap_or(groups);
    let count = u32::try_from(groups.len()).unwrap_or(0);
    let mut value = [0; WANTED_SIZE];
    let words = [count, container, pid_level, 0].into_iter().chain(groups.iter().copied());
    for (place, word) in value.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    value
}

/// A cgroup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: u64,
    /// Whether its path was wanted: its tasks count.
    pub wanted: bool,
    /// Whether it was wanted and the filter had no room for it.
    pub without_room: bool,
    /// Its path from the root of the hierarchy; `None` where that is no text, or too long.
    pub path: Option<String>,
}

impl Made {
    /// From a record; `None` for bytes that are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Made> {
        let (id, state) = (super::map::u64_at(bytes, 0)?, super::map::u64_at(bytes, 8)?);
        let path = bytes.get(16..RECORD)?;
        let length = path.iter().position(|byte| *byte == 0).filter(|length| *length < PATH - 1);
        let path = length.and_then(|length| std::str::from_utf8(path.get(..length)?).ok());
        Some(Made { id, wanted: state & 1 != 0, without_room: state & 2 != 0, path: path.map(str::to_owned) })
    }
}

/// Writes the program. `None` where an offset is too large for an instruction.
pub fn follower(at: &CgroupOffsets, maps: &Maps) -> Option<AtTracepoint> {
    // The record on the stack, below it the key and the value of the filter and a word for pointers.
    let record = -i32::try_from(RECORD).ok()?;
    let (id, state, path) = (record, record + 8, record + 16);
    let (key, value, word) = (record - 16, record - 24, record - 32);
    let short = |at: i32| i16::try_from(at).ok();
    let off = |offset: u32| i32::try_from(offset).ok();
    let mut asm = Asm::default();
    let (end, undecided, tell) = (asm.label(), asm.label(), asm.label());
    let (cgroup, wanted) = (SITE, CONTAINER);
    let address = |asm: &mut Asm, reg: Reg, at: i32| {
        asm.mov(reg, FP);
        asm.alu_imm(Alu::Add, reg, at);
    };
    let read = |asm: &mut Asm, to: i32, size: i64, offset: i32| {
        asm.alu_imm(Alu::Add, R3, offset);
        address(asm, R1, to);
        asm.imm(R2, size);
        asm.call(Helper::ProbeReadKernel);
    };
    // Arguments of the tracepoint, 8 bytes each: struct cgroup *, const char *path.
    asm.mov(CTX, R1);
    asm.load(Width::D, cgroup, CTX, 0);
    for slot in 1..=short(-record)? / 8 {
        asm.store_imm(Width::D, FP, -8 * slot, 0);
    }
    asm.store_imm(Width::D, FP, short(word)?, 0);
    asm.mov(R3, cgroup);
    read(&mut asm, word, 8, off(at.root)?);
    asm.load(Width::D, R3, FP, short(word)?);
    read(&mut asm, word, 4, off(at.hierarchy)?);
    asm.load(Width::W, R1, FP, short(word)?);
    asm.jump_if_imm(Jump::Ne, R1, 0, end);
    asm.mov(R3, cgroup);
    read(&mut asm, word, 8, off(at.node)?);
    asm.load(Width::D, R3, FP, short(word)?);
    read(&mut asm, id, 8, off(at.node_id)?);
    asm.load(Width::D, R3, CTX, 8);
    address(&mut asm, R1, path);
    asm.imm(R2, i64::try_from(PATH).ok()?);
    asm.call(Helper::ProbeReadKernelStr);
    asm.map(R1, maps.wanted);
    address(&mut asm, R2, path);
    asm.call(Helper::MapLookupElem);
    asm.jump_if_imm(Jump::Eq, R0, 0, undecided);
    asm.mov(wanted, R0);
    asm.store_imm(Width::D, FP, short(state)?, 1);
    asm.load(Width::D, R1, FP, short(id)?);
    asm.store(Width::D, FP, short(key)?, R1);
    asm.store_imm(Width::W, FP, short(key + 12)?, 0);
    asm.load(Width::W, R1, wanted, 4);
    asm.store(Width::W, FP, short(value)?, R1);
    asm.load(Width::W, R1, wanted, 8);
    asm.store(Width::W, FP, short(value + 4)?, R1);
    for group in 0..i32::try_from(GROUPS).ok()? {
        let room = asm.label();
        asm.load(Width::W, R1, wanted, 0);
        asm.jump_if_imm(Jump::Le, R1, group, tell);
        asm.load(Width::W, R1, wanted, short(16 + 4 * group)?);
        asm.store(Width::W, FP, short(key + 8)?, R1);
        asm.map(R1, FILTER);
        address(&mut asm, R2, key);
        address(&mut asm, R3, value);
        asm.imm(R4, 0);
        asm.call(Helper::MapUpdateElem);
        asm.jump_if_imm(Jump::Eq, R0, 0, room);
        asm.store_imm(Width::D, FP, short(state)?, 3);
        asm.place(room);
    }
    asm.jump(tell);
    asm.place(undecided);
    asm.store_imm(Width::D, FP, short(value)?, 0);
    asm.map(R1, UNDECIDED);
    address(&mut asm, R2, id);
    address(&mut asm, R3, value);
    asm.imm(R4, 0);
    asm.call(Helper::MapUpdateElem);
    asm.place(tell);
    tracepoint::tell(&mut asm, maps.ring, record, RECORD, maps.counts)?;
    asm.place(end);
    tracepoint::finish(asm, CGROUP_MKDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_path_cut_short_is_none() {
        let mut bytes = vec![0; RECORD];
        bytes[..8].copy_from_slice(&77u64.to_le_bytes());
        bytes[8] = 1;
        bytes[16..27].copy_from_slice(b"/docker/abc");
        let made = Made { id: 77, wanted: true, without_room: false, path: Some("/docker/abc".to_owned()) };
        assert_eq!(Made::from_bytes(&bytes), Some(made));
        bytes[16..RECORD - 1].fill(b'x');
        assert_eq!(Made::from_bytes(&bytes).unwrap().path, None);
        assert_eq!(Made::from_bytes(&bytes[..RECORD - 1]), None);
        assert!(path_key(&"x".repeat(PATH - 1)).is_some());
        assert!(path_key(&"x".repeat(PATH)).is_none());
    }
}
