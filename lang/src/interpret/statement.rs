//! Owns what statements do, and calls of the program's functions.

use super::{Halt, Interpreter, Result, Stop, zero};
use crate::ir::{Expr, Foreach, ForeachOrder, FunctionIndex, OrderBy, StatOp, Stmt};
use crate::source::Span;
use crate::value::Value;

/// How a list of statements ended.
pub(super) enum Flow {
    /// At its end.
    On,
    Break,
    Continue,
    Return(Option<Value>),
}

/// Whether a loop goes on behind a round that ended so; otherwise how the loop itself ends.
fn goes_on(flow: Flow) -> std::result::Result<(), Flow> {
    match flow {
        Flow::On | Flow::Continue => Ok(()),
        Flow::Break => Err(Flow::On),
        Flow::Return(value) => Err(Flow::Return(value)),
    }
}

impl<'p> Interpreter<'_, 'p> {
    pub(super) fn statements(&mut self, statements: &'p [Stmt]) -> Result<Flow> {
        for statement in statements {
            let flow = self.statement(statement)?;
            let Flow::On = flow else { return Ok(flow) };
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, statement: &'p Stmt) -> Result<Flow> {
        match statement {
            Stmt::SetLocal(index, value) => {
                let value = self.value(value)?;
                self.set_local(*index, value);
            }
            Stmt::Effect(value) => {
                self.value(value)?;
            }
            Stmt::If { condition, then, otherwise } => {
                let branch = if self.int(condition)? != 0 { then } else { otherwise };
                return self.nested(condition.span, |own| own.statements(branch));
            }
            Stmt::While { condition, body, step, span } => {
                return self.nested(*span, |own| own.repeat(condition, body, step, *span));
            }
            Stmt::Foreach(foreach) => return self.nested(foreach.span, |own| own.foreach(foreach)),
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::Return(value) => {
                let value = value.as_ref().map(|value| self.value(value)).transpose()?;
                return Ok(Flow::Return(value));
            }
            Stmt::Delete { global, keys, .. } => {
                let keys = self.values(keys)?;
                self.machine.delete(*global, &keys);
            }
            Stmt::Aggregate { global, keys, value, .. } => {
                let keys = self.values(keys)?;
                let value = self.int(value)?;
                self.machine.aggregate(*global, &keys, value);
            }
            Stmt::Print(print) => {
                let values = self.pieces(&print.pieces)?;
                self.run.prints.push((print, values));
            }
            Stmt::Next => return Err(Halt::End),
            Stmt::Exit => {
                self.run.exit = true;
                return Err(Halt::End);
            }
        }
        Ok(Flow::On)
    }

    fn repeat(&mut self, condition: &'p Expr, body: &'p [Stmt], step: &'p [Stmt], span: Span) -> Result<Flow> {
        while self.int(condition)? != 0 {
            if self.steps >= self.machine.max_steps() {
                return Err(Stop::StepLimit(span).into());
            }
            self.steps += 1;
            if let Err(end) = goes_on(self.statements(body)?) {
                return Ok(end);
            }
            self.statements(step)?;
        }
        Ok(Flow::On)
    }

    fn foreach(&mut self, foreach: &'p Foreach) -> Result<Flow> {
        let limit = foreach.limit.as_ref().map(|limit| self.int(limit)).transpose()?;
        let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
        let mut entries = self.machine.entries(foreach.global);
        sort(&mut entries, foreach.order);
        for (keys, value) in entries.into_iter().take(most) {
            for (local, key) in foreach.keys.iter().zip(keys) {
                self.set_local(*local, key);
            }
            if let Some(local) = foreach.value {
                let value = match value {
                    Value::Stats(stats) => Value::Int(stats.count.cast_signed()),
                    Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => value,
                };
                self.set_local(local, value);
            }
            if let Err(end) = goes_on(self.statements(&foreach.body)?) {
                return Ok(end);
            }
        }
        Ok(Flow::On)
    }

    /// Calls a function of the program.
    pub(super) fn call(&mut self, function: FunctionIndex, arguments: &[Expr], span: Span) -> Result<Value> {
        let program = self.program;
        let function = program.functions.get(function.0 as usize).ok_or(Stop::NotHere(span))?;
        let mut locals = self.values(arguments)?;
        locals.truncate(function.parameters);
        locals.extend(function.locals.iter().skip(locals.len()).map(|local| zero(local.ty)));
        let outer = std::mem::replace(&mut self.locals, locals);
        let ran = self.statements(&function.body);
        self.locals = outer;
        let given = match ran? {
            Flow::Return(value) => value,
            Flow::On | Flow::Break | Flow::Continue => None,
        };
        Ok(given.unwrap_or_else(|| function.returns.map_or(Value::Int(0), zero)))
    }
}

/// Puts entries into the order of a loop; those that are equal in it, and all where there is none, by rising keys.
fn sort(entries: &mut [(Vec<Value>, Value)], order: Option<ForeachOrder>) {
    entries.sort_by(|(a_keys, a), (b_keys, b)| {
        let ordered = order.map_or(std::cmp::Ordering::Equal, |order| {
            let rising = match order.by {
                OrderBy::Key(part) => a_keys.get(part).cmp(&b_keys.get(part)),
                OrderBy::Value => rank(a, StatOp::Count).cmp(&rank(b, StatOp::Count)),
                OrderBy::Stat(op) => rank(a, op).cmp(&rank(b, op)),
            };
            if order.falling { rising.reverse() } else { rising }
        });
        ordered.then_with(|| a_keys.cmp(b_keys))
    });
}

/// What a value is ordered by: an aggregate by what is asked of it.
fn rank(value: &Value, op: StatOp) -> Option<Value> {
    match value {
        Value::Stats(stats) => stats.ask(op).map(Value::Int),
        Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => Some(value.clone()),
    }
}
