//! Owns running the IR without a kernel: `begin`, `end` and `every` for the embedded engine, constants for the checker,
//! and the oracle both engines are compared with. What a run needs of the world comes through [`Machine`].

mod expression;
mod memory;
mod operator;
mod output;
pub mod recorded;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use output::answer;

use crate::debuginfo::facts::Register;
use crate::ir::{Context, EntryIndex, Expr, GlobalIndex, Handler, Print, Program, Ty, UpdateOp};
use crate::source::Span;
use crate::stats::Stats;
use crate::value::Value;

pub use operator::{binary, extend};

/// How deep statements, expressions and calls of functions may stand in each other together while they run: what one
/// body may hold ([`crate::syntax::MAX_DEPTH`]) and as much again in calls. Checked programs stay below it unless
/// functions that are nested deeply themselves call each other in long chains.
pub const MAX_NESTING: usize = 2 * crate::syntax::MAX_DEPTH;

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
    /// How many rounds all `while` and `for` loops of a run may go together (`--max-steps`). Rounds of `foreach` do not
    /// count: there are as many as entries.
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
    /// The loops of the run went round too often, or it was nested more than [`MAX_NESTING`] deep.
    StepLimit(Span),
    /// There is no such value where this runs.
    NotHere(Span),
}

/// What a run that came to its end did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run<'p> {
    /// The output statements that ran, in order, each with as many values for each piece as [`crate::ir::Piece::values`]
    /// says.
    pub prints: Vec<(&'p Print, Vec<Value>)>,
    /// Whether it called `exit()`.
    pub exit: bool,
    /// Whether the probe's condition rejected it.
    pub filtered: bool,
}

/// Runs a handler of a program once.
///
/// # Errors
/// [`Stop`] where a fault ended the run; its output is dropped, updates of globals stay.
pub fn run<'p>(program: &'p Program, handler: &'p Handler, machine: &mut dyn Machine) -> Result<Run<'p>, Stop> {
    let locals = handler.locals.iter().map(|local| zero(local.ty)).collect();
    let mut interpreter = Interpreter::new(program, machine, locals);
    let ran = interpreter.handler(handler);
    match ran {
        Ok(()) | Err(Halt::End) => Ok(interpreter.run),
        Err(Halt::Stop(stop)) => Err(stop),
    }
}

/// Computes an expression that uses no local and calls no function of the program.
///
/// # Errors
/// [`Stop`] as for [`run`].
pub fn evaluate(expr: &Expr, machine: &mut dyn Machine) -> Result<Value, Stop> {
    let nothing = Program::default();
    Interpreter::new(&nothing, machine, Vec::new()).value(expr).map_err(|halt| match halt {
        Halt::Stop(stop) => stop,
        Halt::End => Stop::NotHere(expr.span),
    })
}

/// What a global, local or missing key of a type holds.
pub fn zero(ty: Ty) -> Value {
    match ty {
        Ty::Int => Value::Int(0),
        Ty::Str => Value::str(""),
    }
}

/// Why a handler's run does not go on.
enum Halt {
    /// Something went wrong.
    Stop(Stop),
    /// `next` or `exit()`, wherever it stands.
    End,
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Halt {
        Halt::Stop(stop)
    }
}

type Result<T, E = Halt> = std::result::Result<T, E>;

struct Interpreter<'m, 'p> {
    program: &'p Program,
    machine: &'m mut dyn Machine,
    /// Locals of the handler, or of the function that runs.
    locals: Vec<Value>,
    /// Rounds that loops went so far.
    steps: u64,
    nesting: usize,
    run: Run<'p>,
}

impl<'m, 'p> Interpreter<'m, 'p> {
    fn new(program: &'p Program, machine: &'m mut dyn Machine, locals: Vec<Value>) -> Self {
        Interpreter { program, machine, locals, steps: 0, nesting: 0, run: Run::default() }
    }

    fn handler(&mut self, handler: &'p Handler) -> Result<()> {
        if let Some(condition) = &handler.condition
            && self.int(condition)? == 0
        {
            self.run.filtered = true;
            return Ok(());
        }
        self.statements(&handler.body)?;
        Ok(())
    }

    /// Counts a level; whoever calls it counts it back.
    fn enter(&mut self, span: Span) -> Result<()> {
        if self.nesting >= MAX_NESTING {
            return Err(Stop::StepLimit(span).into());
        }
        self.nesting += 1;
        Ok(())
    }

    /// Runs one level further down.
    fn nested<T>(&mut self, span: Span, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.enter(span)?;
        let ran = run(self);
        self.nesting -= 1;
        ran
    }
}
