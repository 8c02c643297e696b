//! Owns running the IR without a kernel: `begin`, `end` and `every` for the embedded engine, constants for the checker,
//! and the oracle both engines are compared with. What a run needs of the world comes through [`Machine`].

use crate::debuginfo::facts::Register;
use crate::ir::{
    BinaryOp, CompareOp, Context, EntryIndex, Expr, ExprKind, GlobalIndex, Handler, Piece, Print, Stmt, Ty, UnaryOp,
    UpdateOp,
};
use crate::source::Span;
use crate::stats::Stats;
use crate::value::Value;

/// What a handler's run reaches beyond itself.
pub trait Machine {
    /// Something of the task or the moment; `None` where there is no such thing.
    fn context(&mut self, what: Context) -> Option<Value>;
    /// A global's value for a key (empty for a scalar); `None` where a map has no such key.
    fn get(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Value>;
    /// Changes a global: its value before and after. A full map drops the update and counts it.
    fn update(&mut self, global: GlobalIndex, keys: &[Value], op: UpdateOp, operand: Value) -> (Value, Value);
    /// All entries of a map or of a map of aggregates ([`Value::Stats`]), in any order.
    fn entries(&mut self, global: GlobalIndex) -> Vec<(Vec<Value>, Value)>;
    /// Takes out the entry of a key; with no key all entries, or makes a scalar what it was at first.
    fn delete(&mut self, global: GlobalIndex, keys: &[Value]);
    /// Feeds an aggregate (`<<<`). A full map drops the update and counts it.
    fn aggregate(&mut self, global: GlobalIndex, keys: &[Value], value: i64);
    /// An aggregate; `None` where a map has no such key.
    fn stats(&mut self, global: GlobalIndex, keys: &[Value]) -> Option<Stats>;
    /// What was computed when the call was entered; `None` where there is no entry here. [`Value::Fault`] where it
    /// could not be read then.
    fn entry(&mut self, index: EntryIndex) -> Option<Value>;
    /// A general register when the function has returned; `None` where it ended by a jump into another function.
    fn returned(&mut self, register: Register) -> Option<i64>;
    /// A random number.
    fn random(&mut self) -> u64;
    /// How many rounds all loops of a run may go together (`--max-steps`).
    fn max_steps(&self) -> u64;
    /// A general register of the traced task.
    fn register(&mut self, register: Register) -> Option<i64>;
    /// The run-time address of a link-time address of the probed file.
    fn module_address(&mut self, address: u64) -> Option<u64>;
    /// Fills `buf` from the traced task's memory; false where it cannot be read.
    fn read_memory(&mut self, address: u64, buf: &mut [u8]) -> bool;
    /// The most bytes a string holds (`--strlen`).
    fn string_limit(&self) -> usize;
}

/// Why a run stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A value that was needed could not be read.
    Fault(Span),
    /// Division or remainder by 0.
    DivisionByZero(Span),
    /// The loops of the run went round too often.
    StepLimit(Span),
    /// There is no such value where this runs.
    NotHere(Span),
}

/// What a run that came to its end did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run<'h> {
    /// The output statements that ran, in order, each with one value for each [`Piece::Value`] of it.
    pub prints: Vec<(&'h Print, Vec<Value>)>,
    /// Whether it called `exit()`.
    pub exit: bool,
    /// Whether the probe's condition rejected it.
    pub filtered: bool,
}

/// Runs a handler once.
///
/// # Errors
/// [`Stop`] where a fault ended the run; its output is dropped, updates of globals stay.
pub fn run<'h>(handler: &'h Handler, machine: &mut dyn Machine) -> Result<Run<'h>, Stop> {
    let locals = handler.locals.iter().map(|local| zero(local.ty)).collect();
    let mut interpreter = Interpreter { machine, locals, run: Run::default() };
    if let Some(condition) = &handler.condition
        && interpreter.int(condition)? == 0
    {
        interpreter.run.filtered = true;
        return Ok(interpreter.run);
    }
    interpreter.statements(&handler.body)?;
    Ok(interpreter.run)
}

/// Computes an expression that uses no local.
///
/// # Errors
/// [`Stop`] as for [`run`].
pub fn evaluate(expr: &Expr, machine: &mut dyn Machine) -> Result<Value, Stop> {
    Interpreter { machine, locals: Vec::new(), run: Run::default() }.value(expr)
}

/// What a global, local or missing key of a type holds.
pub fn zero(ty: Ty) -> Value {
    match ty {
        Ty::Int => Value::Int(0),
        Ty::Str => Value::str(""),
    }
}

/// Whether to go on with the next statement.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

struct Interpreter<'m, 'h> {
    machine: &'m mut dyn Machine,
    locals: Vec<Value>,
    run: Run<'h>,
}

impl<'h> Interpreter<'_, 'h> {
    fn statements(&mut self, statements: &'h [Stmt]) -> Result<Flow, Stop> {
        for statement in statements {
            if self.statement(statement)? == Flow::End {
                return Ok(Flow::End);
            }
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, statement: &'h Stmt) -> Result<Flow, Stop> {
        match statement {
            Stmt::SetLocal(index, value) => {
                let value = self.value(value)?;
                if let Some(slot) = self.locals.get_mut(index.0 as usize) {
                    *slot = value;
                }
            }
            Stmt::Effect(value) => {
                self.value(value)?;
            }
            Stmt::If { condition, then, otherwise } => {
                let branch = if self.int(condition)? != 0 { then } else { otherwise };
                return self.statements(branch);
            }
            Stmt::Print(print) => self.print(print)?,
            Stmt::Next => return Ok(Flow::End),
            Stmt::Exit => {
                self.run.exit = true;
                return Ok(Flow::End);
            }
            Stmt::While { .. }
            | Stmt::Foreach(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. } => {}
        }
        Ok(Flow::On)
    }

    fn print(&mut self, print: &'h Print) -> Result<(), Stop> {
        let mut values = Vec::new();
        for piece in &print.pieces {
            match piece {
                Piece::Text(_) | Piece::Unavailable { .. } => {}
                Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => {}
                Piece::Value(shown) => values.push(match self.value(&shown.value) {
                    Err(Stop::Fault(_)) if shown.fault_is_shown => Value::Fault,
                    other => other?,
                }),
            }
        }
        self.run.prints.push((print, values));
        Ok(())
    }

    fn int(&mut self, expr: &Expr) -> Result<i64, Stop> {
        match self.value(expr)? {
            Value::Int(number) => Ok(number),
            Value::Str { .. } | Value::Fault | Value::Stats(_) | Value::Table(_) => Err(Stop::Fault(expr.span)),
        }
    }

    fn values(&mut self, exprs: &[Expr]) -> Result<Vec<Value>, Stop> {
        exprs.iter().map(|expr| self.value(expr)).collect()
    }

    fn value(&mut self, expr: &Expr) -> Result<Value, Stop> {
        let not_here = Stop::NotHere(expr.span);
        Ok(match &expr.kind {
            ExprKind::Int(number) => Value::Int(*number),
            ExprKind::Str(bytes) => self.cut(bytes.clone(), false),
            ExprKind::Local(index) => self.locals.get(index.0 as usize).cloned().ok_or(not_here)?,
            ExprKind::Global(index) => self.machine.get(*index, &[]).unwrap_or_else(|| zero(expr.ty)),
            ExprKind::MapGet(index, keys) => {
                let keys = self.values(keys)?;
                self.machine.get(*index, &keys).unwrap_or_else(|| zero(expr.ty))
            }
            ExprKind::MapHas(index, keys) => {
                let keys = self.values(keys)?;
                Value::Int(i64::from(self.machine.get(*index, &keys).is_some()))
            }
            ExprKind::Context(what) => self.machine.context(*what).ok_or(not_here)?,
            ExprKind::Target(target) => self.value(&target.value)?,
            ExprKind::Register(register) => Value::Int(self.machine.register(*register).ok_or(not_here)?),
            ExprKind::ModuleAddress(address) => {
                Value::Int(self.machine.module_address(*address).ok_or(not_here)?.cast_signed())
            }
            ExprKind::Load { address, size, signed } => self.load(address, *size, *signed, expr.span)?,
            ExprKind::Extend { value, bits, signed } => Value::Int(extend(self.int(value)?, *bits, *signed)),
            ExprKind::UserString(address) => {
                let address = self.int(address)?.cast_unsigned();
                self.user_string(address).ok_or(Stop::Fault(expr.span))?
            }
            ExprKind::Unary(op, operand) => {
                let number = self.int(operand)?;
                Value::Int(match op {
                    UnaryOp::Neg => number.wrapping_neg(),
                    UnaryOp::BitNot => !number,
                    UnaryOp::Not => i64::from(number == 0),
                })
            }
            ExprKind::Binary(op, left, right) => {
                let (left, right) = (self.int(left)?, self.int(right)?);
                Value::Int(binary(*op, left, right).ok_or(Stop::DivisionByZero(expr.span))?)
            }
            ExprKind::Compare(op, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                let order = match (&left, &right) {
                    (Value::Str { bytes: left, .. }, Value::Str { bytes: right, .. }) => left.cmp(right),
                    (left, right) => left.cmp(right),
                };
                Value::Int(i64::from(holds(*op, order)))
            }
            ExprKind::Logic { and, left, right } => {
                let left = self.int(left)? != 0;
                let decided = if *and { !left } else { left };
                Value::Int(i64::from(if decided { left } else { self.int(right)? != 0 }))
            }
            ExprKind::Ternary(condition, then, otherwise) => {
                let chosen = if self.int(condition)? != 0 { then } else { otherwise };
                self.value(chosen)?
            }
            ExprKind::Concat(parts) => {
                let (mut text, mut cut) = (Vec::new(), false);
                for part in parts {
                    match self.value(part)? {
                        Value::Str { bytes, truncated } => {
                            text.extend(bytes);
                            cut |= truncated;
                        }
                        Value::Int(_) | Value::Fault | Value::Stats(_) | Value::Table(_) => {
                            return Err(Stop::Fault(part.span));
                        }
                    }
                }
                self.cut(text, cut)
            }
            ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(_)
            | ExprKind::Stat { .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Call(..)
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Entry(_)
            | ExprKind::Returned(_) => return Err(not_here),
            ExprKind::Update { global, keys, op, value, before } => {
                let keys = self.values(keys)?;
                let value = self.value(value)?;
                let (old, new) = self.machine.update(*global, &keys, *op, value);
                if *before { old } else { new }
            }
        })
    }

    fn cut(&self, mut bytes: Vec<u8>, truncated: bool) -> Value {
        let limit = self.machine.string_limit();
        let truncated = truncated || bytes.len() > limit;
        bytes.truncate(limit);
        Value::Str { bytes, truncated }
    }

    fn load(&mut self, address: &Expr, size: u8, signed: bool, span: Span) -> Result<Value, Stop> {
        let address = self.int(address)?.cast_unsigned();
        let mut bytes = [0u8; 8];
        let Some(wanted) = bytes.get_mut(..usize::from(size)) else { return Err(Stop::Fault(span)) };
        if !self.machine.read_memory(address, wanted) {
            return Err(Stop::Fault(span));
        }
        let number = i64::from_le_bytes(bytes);
        Ok(Value::Int(if size < 8 { extend(number, size * 8, signed) } else { number }))
    }

    fn user_string(&mut self, address: u64) -> Option<Value> {
        let limit = self.machine.string_limit();
        let mut bytes = Vec::new();
        for offset in 0..=limit as u64 {
            let mut byte = [0u8];
            if !self.machine.read_memory(address.checked_add(offset)?, &mut byte) {
                return None;
            }
            if byte[0] == 0 {
                return Some(Value::Str { bytes, truncated: false });
            }
            bytes.push(byte[0]);
        }
        bytes.truncate(limit);
        Some(Value::Str { bytes, truncated: true })
    }
}

/// The lowest `bits` bits (1–64) of a number, extended to 64.
pub fn extend(number: i64, bits: u8, signed: bool) -> i64 {
    let shift = 64u32.saturating_sub(u32::from(bits)).min(63);
    if bits >= 64 {
        number
    } else if signed {
        (number << shift) >> shift
    } else {
        ((number.cast_unsigned() << shift) >> shift).cast_signed()
    }
}

/// An operator of two numbers; `None` for a division by 0.
pub fn binary(op: BinaryOp, left: i64, right: i64) -> Option<i64> {
    // Truncation to the low bits is meant: shifts are modulo 64.
    let shift = (right & 63).unsigned_abs() as u32;
    Some(match op {
        BinaryOp::Add => left.wrapping_add(right),
        BinaryOp::Sub => left.wrapping_sub(right),
        BinaryOp::Mul => left.wrapping_mul(right),
        BinaryOp::Div if right == 0 => return None,
        BinaryOp::Div => left.wrapping_div(right),
        BinaryOp::Mod if right == 0 => return None,
        BinaryOp::Mod => left.wrapping_rem(right),
        BinaryOp::ModUnsigned => left.cast_unsigned().checked_rem(right.cast_unsigned())?.cast_signed(),
        BinaryOp::And => left & right,
        BinaryOp::Or => left | right,
        BinaryOp::Xor => left ^ right,
        BinaryOp::Shl => left.wrapping_shl(shift),
        BinaryOp::Shr => left.wrapping_shr(shift),
        BinaryOp::ShrLogical => left.cast_unsigned().wrapping_shr(shift).cast_signed(),
    })
}

fn holds(op: CompareOp, order: std::cmp::Ordering) -> bool {
    match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
    }
}
