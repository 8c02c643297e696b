//! Owns what expressions give.

use super::operator::{binary, extend, holds, unary};
use super::{Interpreter, Result, Stop, zero};
use crate::ir::{
    BinaryOp, CompareOp, Expr, ExprKind, GlobalIndex, GlobalKind, Library, LocalIndex, Piece, StatOp, Ty, UpdateOp,
};
use crate::library;
use crate::source::Span;
use crate::value::{Value, write_pieces};

impl Interpreter<'_, '_> {
    pub(super) fn int(&mut self, expr: &Expr) -> Result<i64> {
        match self.value(expr)? {
            Value::Int(number) => Ok(number),
            Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_) => {
                Err(Stop::Fault(expr.span).into())
            }
        }
    }

    pub(super) fn values(&mut self, exprs: &[Expr]) -> Result<Vec<Value>> {
        exprs.iter().map(|expr| self.value(expr)).collect()
    }

    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value> {
        self.enter(expr.span)?;
        let value = self.kind(expr);
        self.nesting -= 1;
        value
    }

    /// Holds nothing itself: what it holds would be on the stack once for each level of an expression.
    fn kind(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::Int(_)
            | ExprKind::Str(_)
            | ExprKind::Local(_)
            | ExprKind::Global(_)
            | ExprKind::Context(_)
            | ExprKind::Register(_)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Entry(_)
            | ExprKind::Returned(_) => self.leaf(expr),
            ExprKind::MapGet(index, keys) => self.map_get(*index, keys, expr.ty),
            ExprKind::MapHas(index, keys) => self.map_has(*index, keys),
            ExprKind::Target(target) => self.value(&target.value),
            ExprKind::Load { address, size, signed } => self.load(address, *size, *signed, expr.span),
            ExprKind::Extend { value, bits, signed } => self.number(value, |number| extend(number, *bits, *signed)),
            ExprKind::UserString(address) => self.text(address, None, expr.span),
            ExprKind::UserText { address, most } => self.text(address, Some(most), expr.span),
            ExprKind::UserBytes { address, length } => self.bytes(address, length, expr.span),
            ExprKind::Block(block) => self.block(block, expr.span),
            ExprKind::Stat { global, keys, op } => self.stat(*global, keys, *op, expr.span),
            ExprKind::SetLocal { local, value, before } => self.assign(*local, value, *before, expr.span),
            ExprKind::Call(function, arguments) => self.call(*function, arguments, expr.span),
            ExprKind::Library(function, arguments) => self.library(*function, arguments, expr.span),
            ExprKind::Format(pieces) => self.format(pieces),
            ExprKind::Unary(op, operand) => self.number(operand, |number| unary(*op, number)),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, expr.span),
            ExprKind::Compare(op, left, right) => self.compare(*op, left, right),
            ExprKind::Logic { and, left, right } => self.logic(*and, left, right),
            ExprKind::Ternary(condition, then, otherwise) => self.ternary(condition, then, otherwise),
            ExprKind::Concat(parts) => self.concat(parts),
            ExprKind::Update { global, keys, op, value, before } => self.update(*global, keys, *op, value, *before),
        }
    }

    fn number(&mut self, operand: &Expr, give: impl FnOnce(i64) -> i64) -> Result<Value> {
        self.int(operand).map(|number| Value::Int(give(number)))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Result<Value> {
        let (left, right) = (self.int(left)?, self.int(right)?);
        Ok(Value::Int(binary(op, left, right).ok_or(Stop::DivisionByZero(span))?))
    }

    fn compare(&mut self, op: CompareOp, left: &Expr, right: &Expr) -> Result<Value> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        let order = match (left, right) {
            // Two stacks are compared frame by frame.
            (left @ Value::Stack(_), right @ Value::Stack(_)) => left.cmp(&right),
            (left, right) => compare(&left.as_text(), &right.as_text()),
        };
        Ok(Value::Int(i64::from(holds(op, order))))
    }

    fn logic(&mut self, and: bool, left: &Expr, right: &Expr) -> Result<Value> {
        let left = self.int(left)? != 0;
        let decided = if and { !left } else { left };
        Ok(Value::Int(i64::from(if decided { left } else { self.int(right)? != 0 })))
    }

    fn ternary(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr) -> Result<Value> {
        let chosen = if self.int(condition)? != 0 { then } else { otherwise };
        self.value(chosen)
    }

    fn map_get(&mut self, global: GlobalIndex, keys: &[Expr], ty: Ty) -> Result<Value> {
        let keys = self.values(keys)?;
        Ok(self.machine.get(global, &keys).unwrap_or_else(|| zero(ty)))
    }

    fn map_has(&mut self, global: GlobalIndex, keys: &[Expr]) -> Result<Value> {
        let keys = self.values(keys)?;
        Ok(Value::Int(i64::from(self.has(global, &keys))))
    }

    fn assign(&mut self, local: LocalIndex, value: &Expr, before: bool, span: Span) -> Result<Value> {
        let value = self.value(value)?;
        let old = self.set_local(local, value.clone());
        Ok(if before { old.ok_or(Stop::NotHere(span))? } else { value })
    }

    /// What has no operands.
    fn leaf(&mut self, expr: &Expr) -> Result<Value> {
        let not_here = Stop::NotHere(expr.span);
        Ok(match &expr.kind {
            ExprKind::Int(number) => Value::Int(*number),
            ExprKind::Str(bytes) => self.cut(bytes.clone(), false),
            ExprKind::Local(index) => self.locals.get(index.0 as usize).cloned().ok_or(not_here)?,
            ExprKind::Global(index) => self.machine.get(*index, &[]).unwrap_or_else(|| zero(expr.ty)),
            ExprKind::Context(what) => self.machine.context(*what).ok_or(not_here)?,
            ExprKind::Register(register) => Value::Int(self.machine.register(*register).ok_or(not_here)?),
            ExprKind::ModuleAddress(address) => {
                Value::Int(self.machine.module_address(*address).ok_or(not_here)?.cast_signed())
            }
            ExprKind::Entry(index) => match self.machine.entry(*index).ok_or(not_here)? {
                Value::Fault => return Err(Stop::Fault(expr.span).into()),
                value => value,
            },
            ExprKind::Returned(register) => Value::Int(self.machine.returned(*register).ok_or(Stop::Fault(expr.span))?),
            ExprKind::MapGet(..)
            | ExprKind::MapHas(..)
            | ExprKind::Target(_)
            | ExprKind::Load { .. }
            | ExprKind::Extend { .. }
            | ExprKind::UserString(_)
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(_)
            | ExprKind::Stat { .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Call(..)
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Compare(..)
            | ExprKind::Logic { .. }
            | ExprKind::Ternary(..)
            | ExprKind::Concat(_)
            | ExprKind::Update { .. } => return Err(not_here.into()),
        })
    }

    /// Whether a map, or a map of aggregates, has a key.
    fn has(&mut self, global: GlobalIndex, keys: &[Value]) -> bool {
        let program = self.program;
        match program.globals.get(global.0 as usize).map(|global| &global.kind) {
            Some(GlobalKind::Stats { .. }) => self.machine.stats(global, keys).is_some(),
            Some(GlobalKind::Scalar { .. } | GlobalKind::Map { .. }) | None => self.machine.get(global, keys).is_some(),
        }
    }

    /// Sets a local; gives what it was.
    pub(super) fn set_local(&mut self, local: LocalIndex, value: Value) -> Option<Value> {
        let slot = self.locals.get_mut(local.0 as usize)?;
        Some(std::mem::replace(slot, value))
    }

    fn update(
        &mut self,
        global: GlobalIndex,
        keys: &[Expr],
        op: UpdateOp,
        value: &Expr,
        before: bool,
    ) -> Result<Value> {
        let keys = self.values(keys)?;
        let value = self.value(value)?;
        let (old, new) = self.machine.update(global, &keys, op, value);
        Ok(if before { old } else { new })
    }

    fn stat(&mut self, global: GlobalIndex, keys: &[Expr], op: StatOp, span: Span) -> Result<Value> {
        let keys = self.values(keys)?;
        let answer = match (self.machine.stats(global, &keys), op) {
            (Some(stats), _) => stats.ask(op),
            (None, StatOp::Count | StatOp::Sum) => Some(0),
            (None, StatOp::Min | StatOp::Max | StatOp::Avg | StatOp::Quantile(_)) => None,
        };
        Ok(Value::Int(answer.ok_or(Stop::Fault(span))?))
    }

    fn library(&mut self, function: Library, arguments: &[Expr], span: Span) -> Result<Value> {
        let arguments: Vec<Value> = self.values(arguments)?.into_iter().map(Value::as_text).collect();
        let given = match (function, arguments.as_slice()) {
            (Library::Sample, [Value::Int(number)]) => {
                let one_in = u64::try_from(*number).unwrap_or(0);
                let hit = one_in < 2 || self.machine.random().is_multiple_of(one_in);
                Some(Value::Int(i64::from(hit)))
            }
            (_, arguments) => library::call(function, arguments),
        };
        match given.ok_or(Stop::Fault(span))? {
            Value::Str { bytes, truncated } => Ok(self.cut(bytes, truncated)),
            value => Ok(value),
        }
    }

    fn format(&mut self, pieces: &[Piece]) -> Result<Value> {
        let values = self.pieces(pieces)?;
        let mut text = Vec::new();
        write_pieces(&mut text, pieces, &values, self.program);
        Ok(self.cut(text, false))
    }

    fn concat(&mut self, parts: &[Expr]) -> Result<Value> {
        let (mut text, mut cut) = (Vec::new(), false);
        for part in parts {
            match self.value(part)?.as_text() {
                Value::Str { bytes, truncated } => {
                    text.extend(bytes);
                    cut |= truncated;
                }
                Value::Int(_) | Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_) => {
                    return Err(Stop::Fault(part.span).into());
                }
            }
        }
        Ok(self.cut(text, cut))
    }

    /// A string of at most as many bytes as one may hold.
    fn cut(&self, mut bytes: Vec<u8>, truncated: bool) -> Value {
        let limit = self.machine.string_limit();
        let truncated = truncated || bytes.len() > limit;
        bytes.truncate(limit);
        Value::Str { bytes, truncated }
    }
}

/// Strings by their bytes, whether they were cut or not; numbers as signed ones.
fn compare(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::Str { bytes: left, .. }, Value::Str { bytes: right, .. }) => left.cmp(right),
        (left, right) => left.cmp(right),
    }
}
