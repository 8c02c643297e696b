//! Owns the globals that hold what the kernel cannot make, in their keys or as values: stacks, texts of floating-point
//! numbers, whole values as text. Handlers of probes send each change in the record of their run, and it is made here, in
//! order; what is lost on the way is counted as lost.

use std::collections::{BTreeMap, HashMap};

use ctp_lang::emit::bpf::Compiled;
use ctp_lang::ir::{Constant, Global, GlobalIndex, GlobalKind, Keep, PrintKind, ProbeIndex, Program, StatsShape, Ty};
use ctp_lang::stats::Stats;
use ctp_lang::value::{MapEntry, Value};

use crate::engine::Event;

/// One map, or one value: a map without keys.
#[derive(Debug)]
pub(super) struct KeptMap {
    entries: BTreeMap<Vec<Value>, Value>,
    most: usize,
    /// What it holds where there is nothing.
    zero: Value,
    shape: StatsShape,
}

/// What was counted of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Runs that did nothing but change these globals.
    pub(super) runs: u64,
    /// Changes for which a map had no room.
    pub(super) full: u64,
}

/// The globals that are held here.
#[derive(Debug, Default)]
pub(super) struct Kept {
    maps: HashMap<GlobalIndex, KeptMap>,
    counted: HashMap<ProbeIndex, Counted>,
}

fn changed(keep: Keep) -> GlobalIndex {
    match keep {
        Keep::Set(global) | Keep::Add(global) | Keep::Feed(global) => global,
    }
}

impl Kept {
    /// Those that handlers of a program change by records.
    pub(super) fn of(program: &Program, compiled: &Compiled, size: u32) -> Kept {
        let mut kept = Kept::default();
        for layout in &compiled.prints {
            let PrintKind::Keep(keep) = &layout.print.kind else { continue };
            let global = changed(*keep);
            if let Some(known) = program.globals.get(global.0 as usize) {
                kept.maps.insert(global, KeptMap::of(known, size));
            }
        }
        kept
    }

    pub(super) fn map(&self, global: GlobalIndex) -> Option<&KeptMap> {
        self.maps.get(&global)
    }

    pub(super) fn map_mut(&mut self, global: GlobalIndex) -> Option<&mut KeptMap> {
        self.maps.get_mut(&global)
    }

    pub(super) fn counted(&self, probe: ProbeIndex) -> Counted {
        self.counted.get(&probe).copied().unwrap_or_default()
    }

    /// Makes the changes that an event holds; the rest of it, where there is any.
    pub(super) fn take(&mut self, mut event: Event, compiled: &Compiled) -> Option<Event> {
        if self.maps.is_empty() {
            return Some(event);
        }
        let mut full = 0;
        event.prints.retain_mut(|printed| {
            let kind = compiled.prints.get(printed.print).map(|layout| &layout.print.kind);
            let Some(PrintKind::Keep(keep)) = kind else { return true };
            let mut key = std::mem::take(&mut printed.values);
            if let (Some(map), Some(operand)) = (self.maps.get_mut(&changed(*keep)), key.pop())
                && !map.change(*keep, &key, &operand)
            {
                full += 1;
            }
            false
        });
        let rest = !event.prints.is_empty() || event.exit;
        if full > 0 || !rest {
            let counted = self.counted.entry(event.probe).or_default();
            counted.full += full;
            counted.runs += u64::from(!rest);
        }
        rest.then_some(event)
    }
}

impl KeptMap {
    fn of(global: &Global, size: u32) -> KeptMap {
        let (declared, zero, shape) = match &global.kind {
            GlobalKind::Map { value: Ty::Int, size, .. } => (*size, Value::Int(0), StatsShape::default()),
            GlobalKind::Map { value: Ty::Str, size, .. } => (*size, Value::str(""), StatsShape::default()),
            GlobalKind::Stats { size, shape, .. } => (*size, Value::Fault, shape.clone()),
            GlobalKind::Scalar { initial, .. } => {
                let initial = match initial {
                    Constant::Int(number) => Value::Int(*number),
                    Constant::Str(bytes) => Value::str(bytes.clone()),
                };
                (Some(1), initial, StatsShape::default())
            }
        };
        let most = usize::try_from(declared.unwrap_or(size).max(1)).unwrap_or(usize::MAX);
        KeptMap { entries: BTreeMap::new(), most, zero, shape }
    }

    fn change(&mut self, keep: Keep, key: &[Value], operand: &Value) -> bool {
        match (keep, operand) {
            (Keep::Set(_), operand) => self.set(key, operand),
            (Keep::Add(_), Value::Int(delta)) => self.add(key, *delta).is_some(),
            (Keep::Feed(_), Value::Int(value)) => self.feed(key, *value),
            // Nothing else is fed or added: the checker excludes it.
            (
                Keep::Add(_) | Keep::Feed(_),
                Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_),
            ) => true,
        }
    }

    /// The entry of a key, made where there is none; `None` where there is no room.
    fn entry(&mut self, key: &[Value]) -> Option<&mut Value> {
        if !self.entries.contains_key(key) {
            if self.entries.len() >= self.most {
                return None;
            }
            self.entries.insert(key.to_vec(), self.zero.clone());
        }
        self.entries.get_mut(key)
    }

    pub(super) fn get(&self, key: &[Value]) -> Value {
        self.entries.get(key).unwrap_or(&self.zero).clone()
    }

    pub(super) fn has(&self, key: &[Value]) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn set(&mut self, key: &[Value], value: &Value) -> bool {
        self.entry(key).map(|entry| *entry = value.clone()).is_some()
    }

    pub(super) fn add(&mut self, key: &[Value], delta: i64) -> Option<i64> {
        let entry = self.entry(key)?;
        let before = match entry {
            Value::Int(number) => *number,
            Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_) => 0,
        };
        *entry = Value::Int(before.wrapping_add(delta));
        Some(before)
    }

    pub(super) fn feed(&mut self, key: &[Value], value: i64) -> bool {
        let shape = self.shape.clone();
        let Some(entry) = self.entry(key) else { return false };
        if !matches!(entry, Value::Stats(_)) {
            *entry = Value::Stats(Box::new(Stats::new(&shape)));
        }
        if let Value::Stats(stats) = entry {
            stats.add(&shape, value);
        }
        true
    }

    pub(super) fn stats(&self, key: &[Value]) -> Option<Stats> {
        match self.entries.get(key)? {
            Value::Stats(stats) => Some((**stats).clone()),
            Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => None,
        }
    }

    pub(super) fn entries(&self) -> Vec<MapEntry> {
        self.entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn delete(&mut self, key: &[Value]) {
        if key.is_empty() {
            self.entries.clear();
        } else {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(kind: GlobalKind) -> KeptMap {
        let mut sources = ctp_lang::source::Sources::default();
        let span = ctp_lang::source::Span::new(sources.add("test", "m"), 0, 1);
        KeptMap::of(&Global { name: "m".to_owned(), span, kind, printed_at_end: false }, 2)
    }

    #[test]
    fn numbers_grow_until_the_map_is_full_and_go() {
        let mut numbers = map(GlobalKind::Map { keys: vec![Ty::Str], value: Ty::Int, size: None });
        let key = |text: &str| [Value::str(text)];
        assert_eq!(numbers.add(&key("a"), 2), Some(0));
        assert_eq!(numbers.add(&key("a"), 3), Some(2));
        assert!(numbers.set(&key("b"), &Value::Int(7)));
        assert_eq!(numbers.add(&key("c"), 1), None);
        assert_eq!((numbers.get(&key("a")), numbers.get(&key("c"))), (Value::Int(5), Value::Int(0)));
        numbers.delete(&key("a"));
        assert!(!numbers.has(&key("a")) && numbers.has(&key("b")));
        numbers.delete(&[]);
        assert_eq!(numbers.entries(), []);
    }

    #[test]
    fn aggregates_are_fed() {
        let shape = StatsShape::default();
        let mut sizes = map(GlobalKind::Stats { keys: vec![Ty::Int], shape, size: Some(1) });
        assert!(sizes.feed(&[Value::Int(1)], 10) && sizes.feed(&[Value::Int(1)], 30));
        assert!(!sizes.feed(&[Value::Int(2)], 1));
        let stats = sizes.stats(&[Value::Int(1)]).unwrap();
        assert_eq!((stats.count, stats.sum), (2, 40));
        assert_eq!(sizes.stats(&[Value::Int(2)]), None);
    }
}
