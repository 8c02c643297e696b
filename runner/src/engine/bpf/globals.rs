//! Owns the runner's access to globals while handlers run in the kernel.

use std::sync::atomic::Ordering;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::map::{GlobalLayout, KeyPart};
use ctp_lang::ir::{GlobalIndex, Ty};
use ctp_lang::value::Value;

use super::BpfEngine;
use super::abi::{ANY, NOEXIST};
use super::load::failure;
use crate::engine::{Failure, MapEntry, Outcome};

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
    fn layout(&self, global: GlobalIndex) -> Outcome<&GlobalLayout> {
        self.compiled.global(global).ok_or_else(contradiction)
    }

    fn number(&self, offset: u32) -> Outcome<&std::sync::atomic::AtomicI64> {
        self.scalars.number(offset as usize).ok_or_else(contradiction)
    }

    pub(super) fn read_global(&self, global: GlobalIndex, key: &[Value]) -> Outcome<Value> {
        match self.layout(global)? {
            GlobalLayout::Number { offset } => Ok(Value::Int(self.number(*offset)?.load(Ordering::Relaxed))),
            GlobalLayout::Text { map, index } => {
                let found = self.map(*map)?.get(&index.to_le_bytes()).map_err(unreadable)?;
                Ok(found.map_or_else(|| zero(Ty::Str), |bytes| self.compiled.decode_value(Ty::Str, &bytes)))
            }
            GlobalLayout::Map { map, keys, value } => {
                let map = self.map(*map)?;
                let mut sum: Option<Value> = None;
                for key in self.compiled.encode_key(keys, key) {
                    if let Some(bytes) = map.get(&key).map_err(unreadable)? {
                        sum = Some(merge(sum, self.compiled.decode_value(*value, &bytes)));
                    }
                }
                Ok(sum.unwrap_or_else(|| zero(*value)))
            }
        }
    }

    pub(super) fn has_entry(&self, global: GlobalIndex, key: &[Value]) -> Outcome<bool> {
        let GlobalLayout::Map { map, keys, .. } = self.layout(global)? else {
            return Err(contradiction());
        };
        let map = self.map(*map)?;
        for key in self.compiled.encode_key(keys, key) {
            if map.get(&key).map_err(unreadable)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn write_global(&self, global: GlobalIndex, key: &[Value], value: &Value) -> Outcome<bool> {
        match (self.layout(global)?, value) {
            (GlobalLayout::Number { offset }, Value::Int(value)) => {
                self.number(*offset)?.store(*value, Ordering::Relaxed);
                Ok(true)
            }
            (GlobalLayout::Number { .. }, Value::Str { .. } | Value::Fault | Value::Stats(_) | Value::Table(_)) => {
                Err(contradiction())
            }
            (GlobalLayout::Text { map, index }, value) => {
                let bytes = self.compiled.encode_value(Ty::Str, value).ok_or_else(contradiction)?;
                self.map(*map)?.set(&index.to_le_bytes(), &bytes, ANY).map_err(unwritable)?;
                Ok(true)
            }
            (GlobalLayout::Map { map, keys, value: ty }, value) => {
                let bytes = self.compiled.encode_value(*ty, value).ok_or_else(contradiction)?;
                let key = self.one_key(keys, key)?;
                match self.map(*map)?.set(&key, &bytes, ANY) {
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
            GlobalLayout::Number { offset } => Ok(Some(self.number(*offset)?.fetch_add(delta, Ordering::Relaxed))),
            GlobalLayout::Map { map, keys, value: Ty::Int } => {
                let map = self.map(*map)?;
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
                        Value::Str { .. } | Value::Fault | Value::Stats(_) | Value::Table(_) => 0,
                    },
                    None => 0,
                };
                map.set(&key, &before.wrapping_add(delta).to_le_bytes(), ANY).map_err(unwritable)?;
                Ok(Some(before))
            }
            GlobalLayout::Text { .. } | GlobalLayout::Map { .. } => Err(contradiction()),
        }
    }

    /// The key under which an entry is written.
    fn one_key(&self, keys: &[KeyPart], key: &[Value]) -> Outcome<Vec<u8>> {
        self.compiled.encode_key(keys, key).into_iter().next().ok_or_else(contradiction)
    }

    pub(super) fn all_entries(&self, global: GlobalIndex) -> Outcome<Vec<MapEntry>> {
        let GlobalLayout::Map { map, keys, value } = self.layout(global)? else {
            return Err(contradiction());
        };
        let found = self.map(*map)?.entries(1024).map_err(unreadable)?;
        let mut entries: std::collections::BTreeMap<Vec<Value>, Value> = std::collections::BTreeMap::new();
        for (key, bytes) in found {
            if let Some(key) = self.compiled.decode_key(keys, &key) {
                let merged = merge(entries.remove(&key), self.compiled.decode_value(*value, &bytes));
                entries.insert(key, merged);
            }
        }
        Ok(entries.into_iter().collect())
    }
}

/// Values of one key that the kernel holds apart, because two containers bear one name.
fn merge(known: Option<Value>, more: Value) -> Value {
    match (known, more) {
        (Some(Value::Int(a)), Value::Int(b)) => Value::Int(a.wrapping_add(b)),
        (Some(known), Value::Str { .. } | Value::Fault | Value::Int(_) | Value::Stats(_) | Value::Table(_)) => known,
        (None, more) => more,
    }
}
