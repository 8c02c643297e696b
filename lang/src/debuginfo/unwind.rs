//! Owns one step of unwinding: from the registers of a frame to those of its caller, by `.eh_frame` or `.debug_frame`.
//! Every rule is carried out as the file says and nothing is guessed: where a rule is missing, or needs what is not
//! known, unwinding stops and says why.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gimli::{EndianSlice, EvaluationResult, LittleEndian, RegisterRule, UnwindSection};

use super::Module;
use super::cfi::{self, Frames};
use super::units::Raw;

/// The stack pointer and the return address by their DWARF numbers (psABI figure 3.36).
const RSP: u16 = 7;
const RETURN: u16 = 16;
/// The registers that a call keeps: rbx, rbp, r12–r15. A rule for one that the file does not give is "the same".
const KEPT: [u16; 6] = [3, 6, 12, 13, 14, 15];
/// The most operations of one expression.
const MOST_OPERATIONS: u32 = 256;
/// The most rows that are remembered of a module.
const MOST_ROWS: usize = 1 << 16;
/// The most rules of a row: there are 17 registers that count.
const MOST_RULES: usize = 17;

/// The general registers (0–15 by their DWARF numbers) of a frame, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    values: [u64; 16],
    /// A bit for each that is known.
    known: u16,
}

impl Registers {
    /// All of them known.
    pub fn all(values: [u64; 16]) -> Registers {
        Registers { values, known: u16::MAX }
    }

    fn get(&self, register: u16) -> Option<u64> {
        let value = self.values.get(usize::from(register)).copied()?;
        (self.known >> register & 1 != 0).then_some(value)
    }

    fn set(&mut self, register: u16, value: Option<u64>) {
        let Some(slot) = self.values.get_mut(usize::from(register)) else { return };
        *slot = value.unwrap_or(0);
        let bit = 1 << register;
        self.known = if value.is_some() { self.known | bit } else { self.known & !bit };
    }

    /// The stack pointer.
    pub fn stack_pointer(&self) -> Option<u64> {
        self.get(RSP)
    }
}

/// Where a frame's caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There.
    Caller {
        /// Its program counter: behind the call, or where a signal came.
        pc: u64,
        /// Its registers.
        registers: Registers,
        /// Whether the frame that was left is one that the kernel made for a signal: then `pc` is an instruction that
        /// has yet to run, not one behind a call.
        signal: bool,
    },
    /// The file says that there is none: the thread's first frame.
    End,
}

/// Why there is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStep {
    /// Nothing tells how to unwind there.
    NoRule,
    /// What tells is damaged, or uses what ctp does not read.
    Unreadable,
    /// It needs a register whose value is not known any more.
    Register(u16),
    /// It needs memory that was not kept: at that address.
    Memory(u64),
}

/// A rule for one register, apart from the file it came from.
#[derive(Clone, Debug)]
enum Rule {
    Undefined,
    Same,
    /// At the CFA plus that.
    At(i64),
    /// The CFA plus that.
    Is(i64),
    Register(u16),
    AtExpression(Vec<u8>),
    IsExpression(Vec<u8>),
    Constant(u64),
    Unreadable,
}

/// How to unwind at one address.
#[derive(Clone, Debug)]
pub(super) struct Row {
    cfa: cfi::Cfa,
    rules: Vec<(u16, Rule)>,
    signal: bool,
}

/// Rows that were looked up, by address.
#[derive(Default)]
pub(super) struct Rows(Mutex<HashMap<u64, Option<Arc<Row>>>>);

impl Module {
    /// The frame that called the one at a link-time address, whose registers are given; `bias` is how far from there the
    /// file lies in memory, `word` reads 8 bytes of the memory.
    ///
    /// # Errors
    /// [`NoStep`].
    pub fn unwind(
        &self,
        address: u64,
        bias: u64,
        registers: &Registers,
        word: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<Step, NoStep> {
        let row = self.row(address).ok_or(NoStep::NoRule)?;
        let run = Run { registers, word, bias, pc: address.wrapping_add(bias) };
        let cfa = match &row.cfa {
            cfi::Cfa::Offset(register, offset) => run.register(*register)?.wrapping_add_signed(*offset),
            cfi::Cfa::Expression(bytes) => run.expression(bytes, None)?,
        };
        let mut caller = Registers::default();
        KEPT.into_iter().for_each(|register| caller.set(register, registers.get(register)));
        caller.set(RSP, Some(cfa));
        let mut pc = None;
        for (register, rule) in &row.rules {
            // A register that cannot be told stays unknown: only what needs it stops.
            let value = run.rule(*register, rule, cfa);
            if *register == RETURN {
                pc = value?;
            } else {
                caller.set(*register, value.ok().flatten());
            }
        }
        match pc {
            None | Some(0) => Ok(Step::End),
            Some(pc) => Ok(Step::Caller { pc, registers: caller, signal: row.signal }),
        }
    }

    /// Whether the code at a link-time address is what a signal handler returns to.
    pub fn is_signal_frame(&self, address: u64) -> bool {
        self.row(address).is_some_and(|row| row.signal)
    }

    fn row(&self, address: u64) -> Option<Arc<Row>> {
        let mut rows = self.rows.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = rows.get(&address) {
            return known.clone();
        }
        let row = self.frames().ok().and_then(|frames| frames.row(address)).map(Arc::new);
        if rows.len() >= MOST_ROWS {
            rows.clear();
        }
        rows.insert(address, row.clone());
        row
    }
}

impl Frames {
    /// How to unwind at an address.
    fn row(&self, address: u64) -> Option<Row> {
        if let Some(fde) = self.description(address) {
            let section = self.section();
            let mut context = gimli::UnwindContext::new();
            let row = fde.unwind_info_for_address(&section, self.bases(), &mut context, address).ok()?;
            return copy(row, &section, fde.is_signal_trampoline());
        }
        let section = self.debug_section();
        let fde = section.fde_for_address(self.bases(), address, gimli::DebugFrame::cie_from_offset).ok()?;
        let mut context = gimli::UnwindContext::new();
        let row = fde.unwind_info_for_address(&section, self.bases(), &mut context, address).ok()?;
        copy(row, &section, fde.is_signal_trampoline())
    }
}

fn copy<'r, S: UnwindSection<Raw<'r>>>(row: &gimli::UnwindTableRow<usize>, section: &S, signal: bool) -> Option<Row> {
    let bytes = |expression: &gimli::UnwindExpression<usize>| {
        expression.get(section).ok().map(|expression| expression.0.slice().to_vec())
    };
    let rule = |rule: &RegisterRule<usize>| match rule {
        RegisterRule::Undefined => Rule::Undefined,
        RegisterRule::SameValue => Rule::Same,
        RegisterRule::Offset(offset) => Rule::At(*offset),
        RegisterRule::ValOffset(offset) => Rule::Is(*offset),
        RegisterRule::Register(register) => Rule::Register(register.0),
        RegisterRule::Expression(expression) => bytes(expression).map_or(Rule::Unreadable, Rule::AtExpression),
        RegisterRule::ValExpression(expression) => bytes(expression).map_or(Rule::Unreadable, Rule::IsExpression),
        RegisterRule::Constant(constant) => Rule::Constant(*constant),
        // Of other machines, or of a later version of the library.
        _ => Rule::Unreadable,
    };
    let known = row.registers().filter(|(register, _)| register.0 <= RETURN).take(MOST_RULES);
    let rules = known.map(|(register, found)| (register.0, rule(found))).collect();
    Some(Row { cfa: cfi::rule(row.cfa(), section)?, rules, signal })
}

/// What rules are carried out with.
struct Run<'r> {
    registers: &'r Registers,
    word: &'r dyn Fn(u64) -> Option<u64>,
    bias: u64,
    pc: u64,
}

impl Run<'_> {
    fn register(&self, register: u16) -> Result<u64, NoStep> {
        match register {
            RETURN => Ok(self.pc),
            register => self.registers.get(register).ok_or(NoStep::Register(register)),
        }
    }

    fn memory(&self, address: u64) -> Result<u64, NoStep> {
        (self.word)(address).ok_or(NoStep::Memory(address))
    }

    /// A register of the caller; `None` where it has none.
    fn rule(&self, register: u16, rule: &Rule, cfa: u64) -> Result<Option<u64>, NoStep> {
        match rule {
            Rule::Undefined => Ok(None),
            Rule::Same => self.register(register).map(Some),
            Rule::At(offset) => self.memory(cfa.wrapping_add_signed(*offset)).map(Some),
            Rule::Is(offset) => Ok(Some(cfa.wrapping_add_signed(*offset))),
            Rule::Register(register) => self.register(*register).map(Some),
            Rule::AtExpression(bytes) => self.memory(self.expression(bytes, Some(cfa))?).map(Some),
            Rule::IsExpression(bytes) => self.expression(bytes, Some(cfa)).map(Some),
            Rule::Constant(constant) => Ok(Some(*constant)),
            Rule::Unreadable => Err(NoStep::Unreadable),
        }
    }

    /// The value of an expression, with a first value on its stack where there is one.
    fn expression(&self, bytes: &[u8], first: Option<u64>) -> Result<u64, NoStep> {
        let encoding = gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };
        let expression = gimli::Expression(EndianSlice::new(bytes, LittleEndian));
        let mut evaluation = expression.evaluation(encoding);
        evaluation.set_max_iterations(MOST_OPERATIONS);
        if let Some(first) = first {
            evaluation.set_initial_value(first);
        }
        let generic = gimli::Value::Generic;
        let mut state = evaluation.evaluate();
        loop {
            state = match state.map_err(|_| NoStep::Unreadable)? {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(generic(self.register(register.0)?))
                }
                EvaluationResult::RequiresMemory { address, size, space: None, .. } => {
                    let word = self.memory(address)?;
                    let bits = u32::from(size).saturating_mul(8);
                    let mask = 1u64.checked_shl(bits).map_or(u64::MAX, |end| end.wrapping_sub(1));
                    evaluation.resume_with_memory(generic(word & mask))
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(address.wrapping_add(self.bias))
                }
                _ => return Err(NoStep::Unreadable),
            };
        }
        match evaluation.value_result() {
            Some(gimli::Value::Generic(value)) => Ok(value),
            Some(_) | None => Err(NoStep::Unreadable),
        }
    }
}
