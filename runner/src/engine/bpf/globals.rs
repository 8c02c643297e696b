//! Owns the runner's access to globals while handlers run in the kernel.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::map::{GlobalLayout, KeyPart, MapId};
use ctp_lang::ir::{GlobalIndex, Ty};
use ctp_lang::stats::Stats;
use ctp_lang::value::{MapEntry, Value};

use super::BpfEngine;
use super::abi::{ANY, NOEXIST};
use super::load::failure;
use super::sys::Map;
use crate::engine::{Failure, Outcome};

fn zero(ty: Ty) -> Value {
    match ty {
        Ty::Int => Value::Int(0),
        Ty::Str => Value::str(Vec::new()),
    }
}

fn unreadable(error: std::io::Error) -> Box<Failure> {
    failure(Code::E0405, "cannot read a global", &error)
}

fn unwritable(error: std::io::Error) -> Box<Failure> {
    failure(Code::E0405, "cannot write a global", &error)
}

fn contradiction() -> Box<Failure> {
    Box::new(Failure::new(Code::E0405, "a global is used as what it is not"))
}

/// Whether the kernel had no room for one more entry.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::E2BIG | libc::ENOMEM))
}

impl BpfEngine {
    /// The map that the runner works on: a generation that was closed, where there is one.
    fn generation(&self, map: MapId) -> Outcome<&Map> {
        match self.closed.get(&map) {
            Some(closed) => Ok(closed),
            None => self.map(map),
        }
    }

    /// Closes the generation of a map or an aggregate: from now on the runner reads and deletes that one, complete, while
    /// handlers fill the next. Nothing for what is never deleted whole.
    ///
    /// # Errors
    /// [`Failure`] when the kernel refuses.
    pub fn close_generation(&mut self, global: GlobalIndex) -> Outcome<()> {
        if let GlobalLayout::Map { map, .. } | GlobalLayout::Stats { map, .. } = self.layout(global)? {
            let map = *map;
            self.next_generation(map)?;
        }
        Ok(())
    }

    /// Goes back to the generation that handlers fill; what the closed one still holds, because the runner did not delete
    /// it after all, is added to it. What handlers add to the same entries at that moment may be lost.
    ///
    /// # Errors
    /// [`Failure`] when a map cannot be read or written.
    pub fn open_generation(&mut self, global: GlobalIndex) -> Outcome<()> {
        let (id, value, stats) = match self.layout(global)? {
            GlobalLayout::Map { map, value, .. } => (*map, Some(*value), None),
            GlobalLayout::Stats { map, stats, .. } => (*map, None, Some(stats.clone())),
            GlobalLayout::Number { .. } | GlobalLayout::Text { .. } => return Ok(()),
        };
        let Some(closed) = self.closed.remove(&id) else { return Ok(()) };
        let open = self.map(id)?;
        for (key, bytes) in closed.entries(1024).map_err(unreadable)? {
            let Some(mut present) = open.get(&key).map_err(unreadable)? else {
                open.set(&key, &bytes, ANY).map_err(unwritable)?;
                continue;
            };
            match (value, &stats) {
                (Some(Ty::Int), _) => {
                    let sum = merge(
                        Some(self.compiled.decode_value(Ty::Int, &bytes)),
                        self.compiled.decode_value(Ty::Int, &present),
                    );
                    present = self.compiled.encode_value(Ty::Int, &sum).ok_or_else(contradiction)?;
                }
                // The newer one stands.
                (Some(Ty::Str), _) | (None, None) => continue,
                (None, Some(stats)) => {
                    let size = stats.size() as usize;
                    if let Some(first) = present.get_mut(..size) {
                        let mut sum = stats.decode(first);
                        sum.merge(&stats.decode(&bytes));
                        first.copy_from_slice(&stats.encode(&sum));
                    }
                }
            }
            open.set(&key, &present, ANY).map_err(unwritable)?;
        }
        Ok(())
    }

    fn layout(&self, global: GlobalIndex) -> Outcome<&GlobalLayout> {
        self.compiled.global(global).ok_or_else(contradiction)
    }

    fn number(&self, offset: u32) -> Outcome<&std::sync::atomic::AtomicI64> {
        self.scalars.number(offset as usize).ok_or_else(contradiction)
    }

    pub(super) fn read_global(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Value> {
        match self.layout(global)? {
            GlobalLayout::Number { offset, .. } => Ok(Value::Int(self.number(*offset)?.load(Ordering::Relaxed))),
            GlobalLayout::Text { map, index, .. } => {
                let found = self.generation(*map)?.get(&index.to_le_bytes()).map_err(unreadable)?;
                Ok(found.map_or_else(|| zero(Ty::Str), |bytes| self.compiled.decode_value(Ty::Str, &bytes)))
            }
            GlobalLayout::Map { map, keys, value } => {
                let map = self.generation(*map)?;
                let mut sum: Option<Value> = None;
                for key in self.compiled.encode_key(keys, key) {
                    if let Some(bytes) = map.get(&key).map_err(unreadable)? {
                        sum = Some(merge(sum, self.compiled.decode_value(*value, &bytes)));
                    }
                }
                Ok(sum.unwrap_or_else(|| zero(*value)))
            }
            GlobalLayout::Stats { .. } => {
                Ok(self.read_stats(global, key)?.map_or(Value::Fault, |stats| Value::Stats(Box::new(stats))))
            }
        }
    }

    /// An aggregate, of all cpus and of all containers of one name; `None` where a map has no such key.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read.
    pub fn read_stats(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Option<Stats>> {
        let GlobalLayout::Stats { map, keys, stats, .. } = self.layout(global)? else {
            return Err(contradiction());
        };
        let map = self.generation(*map)?;
        let keys = if keys.is_empty() { vec![vec![0; 4]] } else { self.compiled.encode_key(keys, key) };
        let mut sum: Option<Stats> = None;
        for key in keys {
            if let Some(bytes) = map.get(&key).map_err(unreadable)? {
                let found = stats.decode(&bytes);
                match &mut sum {
                    Some(sum) => sum.merge(&found),
                    None => sum = Some(found),
                }
            }
        }
        Ok(sum)
    }

    pub(super) fn has_entry(&self, global: GlobalIndex, key: &[Value]) -> Outcome<bool> {
        let (GlobalLayout::Map { map, keys, .. } | GlobalLayout::Stats { map, keys, .. }) = self.layout(global)? else {
            return Err(contradiction());
        };
        let map = self.generation(*map)?;
        for key in self.compiled.encode_key(keys, key) {
            if map.get(&key).map_err(unreadable)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn write_global(&self, global: GlobalIndex, key: &[Value], value: &Value) -> Outcome<bool> {
        match (self.layout(global)?, value) {
            (GlobalLayout::Number { offset, .. }, Value::Int(value)) => {
                self.number(*offset)?.store(*value, Ordering::Relaxed);
                Ok(true)
            }
            (
                GlobalLayout::Number { .. },
                Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_),
            )
            | (GlobalLayout::Stats { .. }, _) => Err(contradiction()),
            (GlobalLayout::Text { map, index, .. }, value) => {
                let bytes = self.compiled.encode_value(Ty::Str, value).ok_or_else(contradiction)?;
                self.generation(*map)?.set(&index.to_le_bytes(), &bytes, ANY).map_err(unwritable)?;
                Ok(true)
            }
            (GlobalLayout::Map { map, keys, value: ty }, value) => {
                let bytes = self.compiled.encode_value(*ty, value).ok_or_else(contradiction)?;
                let key = self.one_key(keys, key)?;
                match self.generation(*map)?.set(&key, &bytes, ANY) {
                    Ok(()) => Ok(true),
                    Err(error) if is_full(&error) => Ok(false),
                    Err(error) => Err(unwritable(error)),
                }
            }
        }
    }

    /// Additions to a map's entry from here are no atomic operation of the kernel's: handlers that add to the same
    /// entry meanwhile may be lost.
    pub(super) fn add_to_global(&self, global: GlobalIndex, key: &[Value], delta: i64) -> Outcome<Option<i64>> {
        match self.layout(global)? {
            GlobalLayout::Number { offset, .. } => Ok(Some(self.number(*offset)?.fetch_add(delta, Ordering::Relaxed))),
            GlobalLayout::Map { map, keys, value: Ty::Int } => {
                let map = self.generation(*map)?;
                let key = self.one_key(keys, key)?;
                match map.set(&key, &delta.to_le_bytes(), NOEXIST) {
                    Ok(()) => return Ok(Some(0)),
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                    Err(error) if is_full(&error) => return Ok(None),
                    Err(error) => return Err(unwritable(error)),
                }
                let before = match map.get(&key).map_err(unreadable)? {
                    Some(bytes) => match self.compiled.decode_value(Ty::Int, &bytes) {
                        Value::Int(before) => before,
                        Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_) => 0,
                    },
                    None => 0,
                };
                map.set(&key, &before.wrapping_add(delta).to_le_bytes(), ANY).map_err(unwritable)?;
                Ok(Some(before))
            }
            GlobalLayout::Text { .. } | GlobalLayout::Map { .. } | GlobalLayout::Stats { .. } => Err(contradiction()),
        }
    }

    /// The key under which an entry is written.
    fn one_key(&self, keys: &[KeyPart], key: &[Value]) -> Outcome<Vec<u8>> {
        self.compiled.encode_key(keys, key).into_iter().next().ok_or_else(contradiction)
    }

    pub(super) fn all_entries(&self, global: GlobalIndex) -> Outcome<Vec<MapEntry>> {
        let mut entries: BTreeMap<Vec<Value>, Value> = BTreeMap::new();
        let mut add = |key: Vec<Value>, value: Value| {
            let merged = merge(entries.remove(&key), value);
            entries.insert(key, merged);
        };
        match self.layout(global)? {
            GlobalLayout::Map { map, keys, value } => {
                for (key, bytes) in self.generation(*map)?.entries(1024).map_err(unreadable)? {
                    if let Some(key) = self.compiled.decode_key(keys, &key) {
                        add(key, self.compiled.decode_value(*value, &bytes));
                    }
                }
            }
            GlobalLayout::Stats { map, keys, stats, .. } if !keys.is_empty() => {
                for (key, bytes) in self.generation(*map)?.entries(64).map_err(unreadable)? {
                    if let Some(key) = self.compiled.decode_key(keys, &key) {
                        add(key, Value::Stats(Box::new(stats.decode(&bytes))));
                    }
                }
            }
            GlobalLayout::Stats { .. } => {
                if let Some(stats) = self.read_stats(global, &[])? {
                    add(Vec::new(), Value::Stats(Box::new(stats)));
                }
            }
            GlobalLayout::Number { .. } | GlobalLayout::Text { .. } => return Err(contradiction()),
        }
        Ok(entries.into_iter().collect())
    }

    /// Takes out the entry of a key; with no key makes a scalar what it was at first, or begins the next generation of a
    /// map or an aggregate.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    pub fn delete_global(&mut self, global: GlobalIndex, key: &[Value]) -> Outcome<()> {
        match self.layout(global)?.clone() {
            GlobalLayout::Number { offset, initial } => self.number(offset)?.store(initial, Ordering::Relaxed),
            GlobalLayout::Text { initial, .. } => {
                self.write_global(global, &[], &Value::str(initial))?;
            }
            GlobalLayout::Map { map, .. } | GlobalLayout::Stats { map, .. } if key.is_empty() => {
                if self.closed.remove(&map).is_none() && self.next_generation(map)? {
                    self.closed.remove(&map);
                }
            }
            GlobalLayout::Map { map, keys, .. } | GlobalLayout::Stats { map, keys, .. } => {
                let map = self.generation(map)?;
                for key in self.compiled.encode_key(&keys, key) {
                    map.remove(&key).map_err(unwritable)?;
                }
            }
        }
        Ok(())
    }

    /// Feeds an aggregate from here; false where the map is full. What handlers add to the same aggregate on the first cpu
    /// at the same moment may be lost.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read or written.
    pub fn feed(&self, global: GlobalIndex, key: &[Value], value: i64) -> Outcome<bool> {
        let GlobalLayout::Stats { map, keys, stats, .. } = self.layout(global)? else {
            return Err(contradiction());
        };
        let map = self.generation(*map)?;
        let key = if keys.is_empty() { vec![0; 4] } else { self.one_key(keys, key)? };
        let size = stats.size() as usize;
        let mut bytes = map.get(&key).map_err(unreadable)?.unwrap_or_else(|| vec![0; map.value_size()]);
        if let Some(first) = bytes.get_mut(..size) {
            let mut known = stats.decode(first);
            known.add(&stats.shape, value);
            first.copy_from_slice(&stats.encode(&known));
        }
        match map.set(&key, &bytes, ANY) {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => Ok(false),
            Err(error) => Err(unwritable(error)),
        }
    }
}

/// Values of one key that the kernel holds apart, because two containers bear one name.
fn merge(known: Option<Value>, more: Value) -> Value {
    match (known, more) {
        (Some(Value::Int(a)), Value::Int(b)) => Value::Int(a.wrapping_add(b)),
        (Some(Value::Stats(mut a)), Value::Stats(b)) => {
            a.merge(&b);
            Value::Stats(a)
        }
        (
            Some(known),
            Value::Str { .. } | Value::Fault | Value::Int(_) | Value::Stack(_) | Value::Stats(_) | Value::Table(_),
        ) => known,
        (None, more) => more,
    }
}
