//! Owns how globals, entries of maps and aggregates are written: as lines, one for each.

use super::{Value, write_literal};
use crate::ir::StatOp;
use crate::stats::Stats;

/// Writes a global or an entry of a map as both engines print those that nothing reads: `name = 42`,
/// `name["web", 3] = 7`, `name["web"] = count 3, sum 60, min 10, max 30, avg 20`, and a newline.
pub fn write_global(out: &mut Vec<u8>, name: &str, keys: &[Value], value: &Value) {
    write_key(out, name, keys);
    out.extend_from_slice(b" = ");
    write_held(out, value);
    out.push(b'\n');
}

fn write_held(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Stats(stats) => write_stats(out, stats),
        Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => {
            write_literal(out, value);
        }
    }
}

/// A name, and the key behind it where there is one.
pub fn write_key(out: &mut Vec<u8>, name: &str, keys: &[Value]) {
    out.extend_from_slice(name.as_bytes());
    for (index, key) in keys.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b", " });
        write_literal(out, key);
    }
    if !keys.is_empty() {
        out.push(b']');
    }
}

/// All entries of a map, one a line; `name = {}` where there is none. With `asked`, the values are what that gave of each:
/// `@avg(name["web"]) = 20`.
pub(super) fn write_table(out: &mut Vec<u8>, name: &str, asked: Option<StatOp>, entries: &[(Vec<Value>, Value)]) {
    let line = |out: &mut Vec<u8>, key: &[Value], value: &dyn Fn(&mut Vec<u8>)| {
        match asked {
            None => write_key(out, name, key),
            Some(op) => {
                out.extend_from_slice(format!("{op}(").as_bytes());
                write_key(out, name, key);
                out.push(b')');
            }
        }
        out.extend_from_slice(b" = ");
        value(out);
        out.push(b'\n');
    };
    if entries.is_empty() {
        line(out, &[], &|out| out.extend_from_slice(b"{}"));
    }
    entries.iter().for_each(|(key, value)| line(out, key, &|out| write_held(out, value)));
}

/// What an aggregate answers to everything that is kept of every one, by name; only the count of nothing.
pub fn answers(stats: &Stats) -> impl Iterator<Item = (&'static str, i64)> {
    let asked = [
        ("count", StatOp::Count),
        ("sum", StatOp::Sum),
        ("min", StatOp::Min),
        ("max", StatOp::Max),
        ("avg", StatOp::Avg),
    ];
    let known = if stats.count == 0 { 1 } else { asked.len() };
    asked.into_iter().take(known).filter_map(|(name, op)| Some((name, stats.ask(op)?)))
}

fn write_stats(out: &mut Vec<u8>, stats: &Stats) {
    for (index, (name, number)) in answers(stats).enumerate() {
        let between = if index == 0 { "" } else { ", " };
        out.extend_from_slice(format!("{between}{name} {number}").as_bytes());
    }
}

/// Orders the entries of a map as they are printed: by value (of aggregates: by count), the greatest first, then by key.
pub fn sort_entries(entries: &mut [(Vec<Value>, Value)]) {
    entries.sort_by(|(a_key, a), (b_key, b)| {
        let by_value = match (a, b) {
            (Value::Stats(a), Value::Stats(b)) => b.count.cmp(&a.count),
            (a, b) => b.cmp(a),
        };
        by_value.then_with(|| a_key.cmp(b_key))
    });
}
