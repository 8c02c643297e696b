//! Owns what `begin`, `end` and `every` reach when the interpreter runs them: the engine's globals and the clock.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use ctp_lang::debuginfo::facts::Register;
use ctp_lang::interpret::Machine;
use ctp_lang::ir::{Context, EntryIndex, GlobalIndex, GlobalKind, Program, Ty, UpdateOp};
use ctp_lang::stats::Stats;
use ctp_lang::value::{MapEntry, Value};
use nix::time::ClockId;

use crate::engine::{Engine, Failure};

/// The interpreter's machine over an engine.
pub(super) struct OverEngine<'a> {
    pub(super) engine: &'a mut dyn Engine,
    pub(super) program: &'a Program,
    pub(super) point: &'a str,
    pub(super) string_limit: usize,
    pub(super) max_steps: u64,
    /// The first failure of the engine: the run's result is not to be trusted then.
    pub(super) failure: Option<Box<Failure>>,
    /// Updates that a full map dropped.
    pub(super) dropped: u64,
}

impl OverEngine<'_> {
    fn keep<T>(&mut self, result: Result<T, Box<Failure>>, otherwise: T) -> T {
        result.unwrap_or_else(|failure| {
            self.failure.get_or_insert(failure);
            otherwise
        })
    }

    fn is_map(&self, global: GlobalIndex) -> bool {
        self.program.globals.get(global.0 as usize).is_some_and(|global| matches!(global.kind, GlobalKind::Map { .. }))
    }

    fn ty(&self, global: GlobalIndex) -> Ty {
        match self.program.globals.get(global.0 as usize).map(|global| &global.kind) {
            Some(GlobalKind::Map { value, .. }) => *value,
            Some(GlobalKind::Scalar { ty, .. }) => *ty,
            Some(GlobalKind::Stats { .. }) | None => Ty::Int,
        }
    }
}

impl Machine for OverEngine<'_> {
    fn context(&mut self, what: Context) -> Option<Value> {
        match what {
            Context::Now => Some(Value::Int(clock(ClockId::CLOCK_MONOTONIC))),
            Context::Walltime => Some(Value::Int(clock(ClockId::CLOCK_REALTIME))),
            Context::ProbePoint => Some(Value::str(self.point)),
            Context::Pid
            | Context::Tid
            | Context::NsPid
            | Context::NsTid
            | Context::Comm
            | Context::Container
            | Context::ContainerId
            | Context::Uid
            | Context::Gid
            | Context::Cpu
            | Context::ThreadPointer
            | Context::Image
            | Context::Pod
            | Context::Runtime
            | Context::Exe
            | Context::Elapsed
            | Context::Stack(_)
            | Context::Caller
            | Context::ProbeFunction => None,
        }
    }

    fn get(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Value> {
        if self.is_map(global) {
            let has = self.engine.has(global, keys);
            if !self.keep(has, false) {
                return None;
            }
        }
        let value = self.engine.get(global, keys);
        Some(self.keep(value, Value::Fault))
    }

    fn update(&mut self, global: GlobalIndex, keys: &[Value], op: UpdateOp, operand: Value) -> (Value, Value) {
        match (op, operand) {
            (UpdateOp::Add, Value::Int(delta)) => {
                let before = self.engine.add(global, keys, delta);
                match self.keep(before, None) {
                    Some(before) => (Value::Int(before), Value::Int(before.wrapping_add(delta))),
                    None => {
                        self.dropped += 1;
                        // As in the kernel: what would have been.
                        (Value::Int(0), Value::Int(delta))
                    }
                }
            }
            (UpdateOp::Set | UpdateOp::Add, operand) => {
                let before = self.get(global, keys).unwrap_or_else(|| ctp_lang::interpret::zero(self.ty(global)));
                let stored = self.engine.set(global, keys, &operand);
                if !self.keep(stored, true) {
                    self.dropped += 1;
                }
                (before, operand)
            }
        }
    }

    fn entries(&mut self, global: GlobalIndex) -> Vec<MapEntry> {
        let entries = self.engine.entries(global);
        self.keep(entries, Vec::new())
    }

    fn delete(&mut self, global: GlobalIndex, keys: &[Value]) {
        let deleted = self.engine.delete(global, keys);
        self.keep(deleted, ());
    }

    fn aggregate(&mut self, global: GlobalIndex, keys: &[Value], value: i64) {
        let fed = self.engine.feed(global, keys, value);
        if !self.keep(fed, true) {
            self.dropped += 1;
        }
    }

    fn stats(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Stats> {
        let stats = self.engine.stats(global, keys);
        self.keep(stats, None)
    }

    fn entry(&mut self, _: EntryIndex) -> Option<Value> {
        None
    }

    fn returned(&mut self, _: Register) -> Option<i64> {
        None
    }

    /// From the seeds of the standard library's hash maps, which the kernel's random numbers are behind.
    fn random(&mut self) -> u64 {
        RandomState::new().build_hasher().finish()
    }

    fn max_steps(&self) -> u64 {
        self.max_steps
    }

    fn register(&mut self, _: Register) -> Option<i64> {
        None
    }

    fn module_address(&mut self, _: u64) -> Option<u64> {
        None
    }

    fn read_memory(&mut self, _: u64, _: &mut [u8]) -> bool {
        false
    }

    fn string_limit(&self) -> usize {
        self.string_limit
    }
}

/// A clock in ns: `CLOCK_MONOTONIC` is the one of `bpf_ktime_get_ns`.
pub(super) fn clock(id: ClockId) -> i64 {
    let time = nix::time::clock_gettime(id);
    time.map_or(0, |time| time.tv_sec().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec()))
}
