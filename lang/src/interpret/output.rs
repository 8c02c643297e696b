//! Owns which values an output takes, piece by piece. Writes none of them.

use super::{Halt, Interpreter, Result, Stop};
use crate::ir::{Expr, GlobalIndex, GlobalKind, Piece, StatOp};
use crate::stats::Stats;
use crate::value::{Value, sort_entries};

/// What an aggregate answers.
pub(crate) fn answer(value: &Value, op: StatOp) -> Value {
    match value {
        Value::Stats(stats) => stats.ask(op).map_or(Value::Fault, Value::Int),
        Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => Value::Fault,
    }
}

impl Interpreter<'_, '_> {
    /// The values of pieces, as many for each as [`Piece::values`] says.
    pub(super) fn pieces(&mut self, pieces: &[Piece]) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(_) | Piece::Unavailable { .. } => {}
                Piece::Value(shown) if shown.fault_is_shown => values.push(self.or_fault(&shown.value)?),
                Piece::Value(shown) => values.push(self.value(&shown.value)?),
                Piece::Whole(whole) => {
                    values.push(self.or_fault(&whole.block)?);
                    for text in &whole.elsewhere {
                        values.push(self.or_fault(text)?);
                    }
                }
                Piece::Histogram { global, keys, .. } => values.push(self.drawn(*global, keys)?),
                Piece::Table { global, asked } => {
                    let mut entries = self.whole(*global);
                    if let Some(op) = asked {
                        entries.iter_mut().for_each(|(_, value)| *value = answer(value, *op));
                    }
                    sort_entries(&mut entries);
                    values.push(Value::Table(entries));
                }
            }
        }
        Ok(values)
    }

    /// A value, or that it could not be read.
    fn or_fault(&mut self, expr: &Expr) -> Result<Value> {
        match self.value(expr) {
            Err(Halt::Stop(Stop::Fault(_))) => Ok(Value::Fault),
            other => other,
        }
    }

    /// The aggregates of a histogram: the one of the key, by rising keys those of a whole map, or the only one.
    fn drawn(&mut self, global: GlobalIndex, keys: &[Expr]) -> Result<Value> {
        if keys.is_empty() {
            let mut entries = self.whole(global);
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            return Ok(Value::Table(entries));
        }
        let keys = self.values(keys)?;
        let found = self.machine.stats(global, &keys);
        Ok(Value::Table(found.into_iter().map(|stats| (Vec::new(), Value::Stats(Box::new(stats)))).collect()))
    }

    /// All entries of a global; what is no map has one, without a key.
    fn whole(&mut self, global: GlobalIndex) -> Vec<(Vec<Value>, Value)> {
        let program = self.program;
        match program.globals.get(global.0 as usize).map(|global| &global.kind) {
            Some(GlobalKind::Stats { keys, shape, .. }) if keys.is_empty() => {
                let stats = self.machine.stats(global, &[]).unwrap_or_else(|| Stats::new(shape));
                vec![(Vec::new(), Value::Stats(Box::new(stats)))]
            }
            Some(GlobalKind::Scalar { ty, .. }) => {
                vec![(Vec::new(), self.machine.get(global, &[]).unwrap_or_else(|| super::zero(*ty)))]
            }
            Some(GlobalKind::Map { .. } | GlobalKind::Stats { .. }) => self.machine.entries(global),
            None => Vec::new(),
        }
    }
}
