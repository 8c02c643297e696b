//! Owns a machine made of what was recorded: registers, memory, the moment, and globals held here. What the oracle of
//! both engines and every test of a program without a kernel run on.

use std::collections::{BTreeMap, HashMap};

use super::{Machine, zero};
use crate::debuginfo::facts::Register;
use crate::ir::{Constant, Context, EntryIndex, GlobalIndex, GlobalKind, Program, Ty, UpdateOp};
use crate::stats::Stats;
use crate::value::Value;

/// The machine.
#[derive(Clone, Debug)]
pub struct Recorded<'p> {
    /// The program.
    pub program: &'p Program,
    /// What globals hold: those that were changed, and entries of maps.
    pub globals: BTreeMap<(GlobalIndex, Vec<Value>), Value>,
    /// What the handler can ask about the task and the moment.
    pub contexts: HashMap<Context, Value>,
    /// General registers.
    pub registers: HashMap<Register, i64>,
    /// What general registers hold when the function has returned.
    pub returned: HashMap<Register, i64>,
    /// What was computed on entry, by its number; [`Value::Fault`] for what could not be read then.
    pub entries: Vec<Value>,
    /// Readable memory: address and bytes; pieces do not overlap.
    pub memory: Vec<(u64, Vec<u8>)>,
    /// Run-time less link-time addresses of the probed file.
    pub bias: u64,
    /// The next random numbers; 0 when they are used up.
    pub random: Vec<u64>,
    /// The most rounds of loops.
    pub max_steps: u64,
    /// The most bytes of a string.
    pub string_limit: usize,
    /// The most entries of a map that does not say.
    pub map_size: u32,
    /// Updates that a full map dropped.
    pub dropped: u64,
}

impl<'p> Recorded<'p> {
    /// A machine on which nothing was recorded; globals are as a program declares them.
    pub fn new(program: &'p Program) -> Recorded<'p> {
        Recorded {
            program,
            globals: BTreeMap::new(),
            contexts: HashMap::new(),
            registers: HashMap::new(),
            returned: HashMap::new(),
            entries: Vec::new(),
            memory: Vec::new(),
            bias: 0,
            random: Vec::new(),
            max_steps: 1000,
            string_limit: 256,
            map_size: 4096,
            dropped: 0,
        }
    }

    fn kind(&self, global: GlobalIndex) -> Option<&'p GlobalKind> {
        self.program.globals.get(global.0 as usize).map(|global| &global.kind)
    }

    /// Whether a key may be stored: it is there, or the map has room.
    fn has_room(&mut self, global: GlobalIndex, keys: &[Value]) -> bool {
        let size = match self.kind(global) {
            Some(GlobalKind::Map { size, .. }) => *size,
            Some(GlobalKind::Stats { keys, size, .. }) if !keys.is_empty() => *size,
            Some(GlobalKind::Scalar { .. } | GlobalKind::Stats { .. }) | None => return true,
        };
        let there = self.globals.contains_key(&(global, keys.to_vec()));
        let held = self.globals.keys().filter(|(index, _)| *index == global).count();
        let room = there || held < size.unwrap_or(self.map_size) as usize;
        self.dropped += u64::from(!room);
        room
    }
}

impl Machine for Recorded<'_> {
    fn context(&mut self, what: Context) -> Option<Value> {
        self.contexts.get(&what).cloned()
    }

    fn get(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Value> {
        if let Some(value) = self.globals.get(&(global, keys.to_vec())) {
            return Some(value.clone());
        }
        match self.kind(global)? {
            GlobalKind::Scalar { initial: Constant::Int(number), .. } => Some(Value::Int(*number)),
            GlobalKind::Scalar { initial: Constant::Str(bytes), .. } => Some(Value::str(bytes.clone())),
            GlobalKind::Map { .. } | GlobalKind::Stats { .. } => None,
        }
    }

    fn update(&mut self, global: GlobalIndex, keys: &[Value], op: UpdateOp, operand: Value) -> (Value, Value) {
        let ty = match self.kind(global) {
            Some(GlobalKind::Scalar { ty, .. } | GlobalKind::Map { value: ty, .. }) => *ty,
            Some(GlobalKind::Stats { .. }) | None => Ty::Int,
        };
        let old = self.get(global, keys).unwrap_or_else(|| zero(ty));
        let new = match (op, &old, operand) {
            (UpdateOp::Add, Value::Int(old), Value::Int(by)) => Value::Int(old.wrapping_add(by)),
            (UpdateOp::Set | UpdateOp::Add, _, operand) => operand,
        };
        if self.has_room(global, keys) {
            self.globals.insert((global, keys.to_vec()), new.clone());
        }
        (old, new)
    }

    fn entries(&mut self, global: GlobalIndex) -> Vec<(Vec<Value>, Value)> {
        let own = self.globals.iter().filter(|((index, _), _)| *index == global);
        own.map(|((_, keys), value)| (keys.clone(), value.clone())).collect()
    }

    fn delete(&mut self, global: GlobalIndex, keys: &[Value]) {
        if keys.is_empty() {
            self.globals.retain(|(index, _), _| *index != global);
        } else {
            self.globals.remove(&(global, keys.to_vec()));
        }
    }

    fn aggregate(&mut self, global: GlobalIndex, keys: &[Value], value: i64) {
        let Some(GlobalKind::Stats { shape, .. }) = self.kind(global) else { return };
        if !self.has_room(global, keys) {
            return;
        }
        let key = (global, keys.to_vec());
        let held = self.globals.entry(key).or_insert_with(|| Value::Stats(Box::new(Stats::new(shape))));
        if let Value::Stats(stats) = held {
            stats.add(shape, value);
        }
    }

    fn stats(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Stats> {
        match self.globals.get(&(global, keys.to_vec()))? {
            Value::Stats(stats) => Some(stats.as_ref().clone()),
            Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => None,
        }
    }

    fn entry(&mut self, index: EntryIndex) -> Option<Value> {
        self.entries.get(index.0 as usize).cloned()
    }

    fn returned(&mut self, register: Register) -> Option<i64> {
        self.returned.get(&register).copied()
    }

    fn random(&mut self) -> u64 {
        if self.random.is_empty() { 0 } else { self.random.remove(0) }
    }

    fn max_steps(&self) -> u64 {
        self.max_steps
    }

    fn register(&mut self, register: Register) -> Option<i64> {
        self.registers.get(&register).copied()
    }

    fn module_address(&mut self, address: u64) -> Option<u64> {
        Some(address.wrapping_add(self.bias))
    }

    fn read_memory(&mut self, address: u64, buf: &mut [u8]) -> bool {
        self.memory.iter().any(|(start, bytes)| {
            let wanted = address.checked_sub(*start).and_then(|offset| usize::try_from(offset).ok());
            let wanted = wanted.and_then(|from| bytes.get(from..from.checked_add(buf.len())?));
            wanted.inspect(|wanted| buf.copy_from_slice(wanted)).is_some()
        })
    }

    fn string_limit(&self) -> usize {
        self.string_limit
    }
}
