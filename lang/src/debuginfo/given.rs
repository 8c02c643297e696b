//! Owns the proof that a function returns in rax the address that it was given in rdi. That is how a result in memory is
//! returned (psABI 3.2.3), but LLVM forgets it of functions whose callers it knows: it drops what says that the address
//! is that of the result (`sret`), and leaves in rax what happens to be there. What is not proved may be so or not.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::elf::{Elf, read_range};
use super::exits::number;
use super::facts::{self, Compute, Location, Site, VariableKind};
use crate::world::ReadAt;

/// Most bytes of a function that are looked at.
const MOST_BYTES: u64 = 64 << 10;
/// Most words of the frame that are known to hold the address.
const MOST_SLOTS: usize = 32;
/// Most instructions that are gone through, each as often as what is known there becomes less.
const MOST_STEPS: usize = 1 << 18;
/// And of one function, for each that it has: what is known of 16 registers and some words of the frame.
const STEPS_FOR_EACH: usize = 32;

/// What holds the address at some instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// A bit for each general register.
    registers: u16,
    /// Words of the frame, counted from where the stack pointer was at the entry.
    slots: BTreeSet<i64>,
    /// Where the stack pointer and rbp are, counted likewise.
    stack: Option<i64>,
    frame: Option<i64>,
}

fn bit(register: Register) -> u16 {
    let full = register.full_register();
    if full.is_gpr64() { 1 << full.number() } else { 0 }
}

/// Registers that calls may change (psABI figure 3.4).
const CHANGED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

impl State {
    /// At the entry, where it is in that register.
    fn entry(register: Register) -> State {
        State { registers: bit(register), slots: BTreeSet::new(), stack: Some(0), frame: None }
    }

    /// Of code that is reached nobody knows how.
    fn nothing() -> State {
        State { registers: 0, slots: BTreeSet::new(), stack: None, frame: None }
    }

    fn holds(&self, register: Register) -> bool {
        register.is_gpr64() && self.registers & bit(register) != 0
    }

    fn set(&mut self, register: Register, holds: bool) {
        self.registers = if holds { self.registers | bit(register) } else { self.registers & !bit(register) };
    }

    /// The word of the frame that an operand in memory is.
    fn slot(&self, instruction: &Instruction) -> Option<i64> {
        let base = match instruction.memory_base() {
            Register::RSP => self.stack,
            Register::RBP => self.frame,
            _ => None,
        }?;
        let known = instruction.memory_index() == Register::None && instruction.segment_prefix() == Register::None;
        known.then(|| base.wrapping_add(instruction.memory_displacement64().cast_signed()))
    }

    fn write(&mut self, slot: i64, holds: bool) {
        // Whatever overlaps it is something else now.
        self.slots.retain(|other| other.abs_diff(slot) >= 8);
        if holds && self.slots.len() < MOST_SLOTS {
            self.slots.insert(slot);
        }
    }

    fn push(&mut self, holds: bool) {
        self.stack = self.stack.map(|stack| stack.wrapping_sub(8));
        if let Some(stack) = self.stack {
            self.write(stack, holds);
        }
    }

    fn pop(&mut self) -> bool {
        let holds = self.stack.is_some_and(|stack| self.slots.contains(&stack));
        self.stack = self.stack.map(|stack| stack.wrapping_add(8));
        holds
    }

    /// What holds the address whichever way control came.
    fn meet(&self, other: &State) -> State {
        let same = |one: Option<i64>, other: Option<i64>| one.filter(|one| Some(*one) == other);
        State {
            registers: self.registers & other.registers,
            slots: self.slots.intersection(&other.slots).copied().collect(),
            stack: same(self.stack, other.stack),
            frame: same(self.frame, other.frame),
        }
    }

    /// Whether an instruction writes to what the address leads to, or passes it on in rdi.
    fn serves(&self, instruction: &Instruction, factory: &mut InstructionInfoFactory) -> bool {
        let memory = factory.info(instruction).used_memory().iter();
        let mut written = memory.filter(|memory| matches!(memory.access(), OpAccess::Write | OpAccess::ReadWrite));
        instruction.mnemonic() == Mnemonic::Call && self.holds(Register::RDI)
            || written.any(|memory| self.holds(memory.base()) && memory.segment() != Register::FS)
    }

    /// Whether a value at that location may be the address.
    fn may_be(&self, location: &Location) -> bool {
        match location {
            Location::Register(register) => self.is_in(*register),
            Location::Value(Compute::Register(register)) => self.is_in(*register),
            Location::Memory(_) => !self.slots.is_empty(),
            Location::ImplicitPointer { .. } | Location::Bytes(_) | Location::Unavailable(_) => false,
            Location::Value(_) => false,
            Location::Pieces(pieces) => pieces.iter().any(|piece| self.may_be(&piece.location)),
        }
    }

    /// Whether a register, by its DWARF number, holds the address.
    fn is_in(&self, register: facts::Register) -> bool {
        Register::values().filter(|one| one.is_gpr64()).any(|one| self.holds(one) && number(one) == Some(register.0))
    }

    /// Carries out an instruction.
    fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        let (first, second) = (instruction.op0_register(), instruction.op1_register());
        let kinds = (instruction.op0_kind(), instruction.op1_kind());
        let is_wide =
            |register: Register| register.is_gpr64() && register != Register::RSP && register != Register::RBP;
        match (instruction.mnemonic(), kinds) {
            (Mnemonic::Mov, (OpKind::Register, OpKind::Register)) if is_wide(first) && second.is_gpr64() => {
                return self.set(first, self.holds(second));
            }
            (Mnemonic::Mov, (OpKind::Register, OpKind::Register)) if first == Register::RBP => {
                self.set(first, self.holds(second));
                self.frame = self.stack.filter(|_| second == Register::RSP);
                return;
            }
            (Mnemonic::Mov, (OpKind::Register, OpKind::Memory)) if is_wide(first) => {
                let slot = self.slot(instruction);
                return self.set(first, slot.is_some_and(|slot| self.slots.contains(&slot)));
            }
            (Mnemonic::Mov, (OpKind::Memory, OpKind::Register)) if second.is_gpr64() => {
                if let Some(slot) = self.slot(instruction) {
                    self.write(slot, self.holds(second));
                }
                return;
            }
            (Mnemonic::Push, (OpKind::Register, _)) if first.is_gpr64() => return self.push(self.holds(first)),
            (Mnemonic::Pop, (OpKind::Register, _)) if first.is_gpr64() && first != Register::RSP => {
                let holds = self.pop();
                if first == Register::RBP {
                    self.frame = None;
                }
                return self.set(first, holds);
            }
            (Mnemonic::Sub | Mnemonic::Add, (OpKind::Register, kind))
                if first == Register::RSP && kind != OpKind::Register && kind != OpKind::Memory =>
            {
                let by = instruction.immediate(1).cast_signed();
                let by = if instruction.mnemonic() == Mnemonic::Sub { by.wrapping_neg() } else { by };
                self.stack = self.stack.map(|stack| stack.wrapping_add(by));
                return;
            }
            _ => {}
        }
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            return CHANGED.into_iter().for_each(|register| self.set(register, false));
        }
        let info = factory.info(instruction);
        let writes = |access: OpAccess| {
            matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
        };
        for used in info.used_registers().iter().filter(|used| writes(used.access())) {
            self.set(used.register(), false);
            match used.register().full_register() {
                Register::RSP => self.stack = None,
                Register::RBP => self.frame = None,
                _ => {}
            }
        }
        for used in info.used_memory().iter().filter(|used| writes(used.access())) {
            let base = match used.base() {
                Register::RSP => self.stack,
                Register::RBP => self.frame,
                _ => continue,
            };
            let size = i64::try_from(used.memory_size().size()).unwrap_or(i64::MAX);
            match base.filter(|_| used.index() == Register::None && size > 0) {
                Some(base) => {
                    let from = base.wrapping_add(used.displacement().cast_signed());
                    let to = from.saturating_add(size);
                    self.slots.retain(|slot| slot.saturating_add(8) <= from || *slot >= to);
                }
                None => self.slots.clear(),
            }
        }
    }
}

/// Whether the function whose code this is, all of it in one range, is known to return in rax what it was given in rdi.
pub(super) fn returns_it(bytes: &dyn ReadAt, elf: &Elf, ranges: &[(u64, u64)]) -> bool {
    code(bytes, elf, ranges).is_some_and(|(text, low)| returned(&text, low, Register::RDI) == Some(Returned::Always))
}

/// Whether it is known to return at some place with rax as it was at the entry: then it gives no result, for the compiler
/// knew that no caller uses one.
pub(super) fn returns_nothing(bytes: &dyn ReadAt, elf: &Elf, ranges: &[(u64, u64)]) -> bool {
    let known = code(bytes, elf, ranges).and_then(|(text, low)| returned(&text, low, Register::RAX));
    matches!(known, Some(Returned::Always | Returned::Somewhere))
}

/// Whether a function that is declared to return what is in memory is known to be given the address of that in rdi, which
/// holds it at this site: it writes to what lies there, or passes it on, and rdi holds none of its parameters. (LLVM drops
/// the address where nothing is written to it.)
pub(super) fn is_given(bytes: &dyn ReadAt, elf: &Elf, site: &Site) -> bool {
    let Some(&(low, high)) = site.ranges.iter().find(|(low, high)| (*low..*high).contains(&site.entry)) else {
        return false;
    };
    let size = high.saturating_sub(low).min(MOST_BYTES);
    let text = elf.file_offset(low).and_then(|offset| read_range(bytes, offset, size)?.ok());
    let Some(text) = text.filter(|_| low == site.entry) else { return false };
    let instructions = decoded(&text, low);
    let mut factory = InstructionInfoFactory::new();
    let (mut at_site, mut served) = (None, false);
    // Along each way on its own: one on which it is seen is enough.
    let mut seen = BTreeSet::new();
    let mut waiting = vec![(low, State::entry(Register::RDI))];
    while let Some((at, mut state)) = waiting.pop() {
        let Some(instruction) = instructions.get(&at).filter(|_| seen.insert(at)) else { continue };
        if at == site.address {
            at_site = Some(state.clone());
        }
        served |= state.serves(instruction, &mut factory);
        state.step(instruction, &mut factory);
        let near = instruction.op0_kind() == OpKind::NearBranch64;
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Interrupt | FlowControl::Call | FlowControl::IndirectCall => {
                waiting.push((instruction.next_ip(), state));
            }
            FlowControl::ConditionalBranch if near => {
                waiting.push((instruction.near_branch_target(), state.clone()));
                waiting.push((instruction.next_ip(), state));
            }
            FlowControl::UnconditionalBranch if near => {
                let target = instruction.near_branch_target();
                served |= !(low..high).contains(&target) && state.holds(Register::RDI);
                waiting.push((target, state));
            }
            FlowControl::Return
            | FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::XbeginXabortXend
            | FlowControl::Exception => {}
        }
    }
    let parameter = |state: &State| {
        let parameters = site.variables.iter().filter(|one| one.kind == VariableKind::Parameter);
        parameters.into_iter().any(|one| state.may_be(&one.location))
    };
    served && at_site.is_some_and(|state| state.holds(Register::RDI) && !parameter(&state))
}

/// The instructions of a piece of code.
fn decoded(text: &[u8], low: u64) -> BTreeMap<u64, Instruction> {
    Decoder::with_ip(64, text, low, DecoderOptions::NONE).into_iter().map(|one| (one.ip(), one)).collect()
}

fn code(bytes: &dyn ReadAt, elf: &Elf, ranges: &[(u64, u64)]) -> Option<(Vec<u8>, u64)> {
    let [(low, high)] = *ranges else { return None };
    let size = high.saturating_sub(low);
    let offset = elf.file_offset(low).filter(|_| size <= MOST_BYTES)?;
    Some((read_range(bytes, offset, size)?.ok()?, low))
}

/// Where rax is known to be what a register was at the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returned {
    /// At each return.
    Always,
    /// At one of them.
    Somewhere,
    Nowhere,
}

/// What the instructions from an address on return of a register; `None` where control cannot be followed.
fn returned(text: &[u8], low: u64, register: Register) -> Option<Returned> {
    let instructions = decoded(text, low);
    let mut factory = InstructionInfoFactory::new();
    let mut states: BTreeMap<u64, State> = BTreeMap::new();
    let mut steps = 0;
    flow(&instructions, low, State::entry(register), &mut states, &mut factory, &mut steps)?;
    // What nothing leads to the unwinder may: nothing is known there.
    for (at, instruction) in &instructions {
        let fills = matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
        if !fills && !states.contains_key(at) {
            flow(&instructions, *at, State::nothing(), &mut states, &mut factory, &mut steps)?;
        }
    }
    // Only now is known what holds it on every way.
    let returns = instructions.values().filter(|one| one.flow_control() == FlowControl::Return);
    let held: Vec<bool> = returns.filter_map(|one| Some(states.get(&one.ip())?.holds(Register::RAX))).collect();
    Some(match (held.is_empty(), held.iter().all(|held| *held), held.contains(&true)) {
        (false, true, _) => Returned::Always,
        (_, _, true) => Returned::Somewhere,
        (_, _, false) => Returned::Nowhere,
    })
}

/// Follows control from an instruction, until what is known becomes no less; `None` where that cannot be.
fn flow(
    instructions: &BTreeMap<u64, Instruction>,
    from: u64,
    state: State,
    states: &mut BTreeMap<u64, State>,
    factory: &mut InstructionInfoFactory,
    steps: &mut usize,
) -> Option<()> {
    let mut waiting = vec![(from, state)];
    while let Some((at, state)) = waiting.pop() {
        *steps += 1;
        let most = instructions.len().saturating_mul(STEPS_FOR_EACH).min(MOST_STEPS);
        let instruction = instructions.get(&at).filter(|_| *steps < most)?;
        let mut state = match states.get(&at) {
            Some(known) => {
                let met = known.meet(&state);
                if met == *known {
                    continue;
                }
                met
            }
            None => state,
        };
        states.insert(at, state.clone());
        state.step(instruction, factory);
        let near = instruction.op0_kind() == OpKind::NearBranch64;
        let next = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Interrupt => waiting.push((next, state)),
            // A call that ends the function does not come back.
            FlowControl::Call | FlowControl::IndirectCall => {
                if instructions.contains_key(&next) {
                    waiting.push((next, state));
                }
            }
            FlowControl::ConditionalBranch if near => {
                waiting.push((instruction.near_branch_target(), state.clone()));
                waiting.push((next, state));
            }
            FlowControl::UnconditionalBranch if near => waiting.push((instruction.near_branch_target(), state)),
            FlowControl::Return => {}
            FlowControl::Exception if instruction.mnemonic() == Mnemonic::Ud2 => {}
            FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::XbeginXabortXend
            | FlowControl::Exception => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_proved(text: &[&[u8]]) -> bool {
        returned(&text.concat(), 0x1000, Register::RDI) == Some(Returned::Always)
    }

    /// Bytes of instructions, as `objdump -d` shows them.
    const MOV_RAX_RDI: &[u8] = &[0x48, 0x89, 0xf8];
    const MOV_RBX_RDI: &[u8] = &[0x48, 0x89, 0xfb];
    const MOV_RAX_RBX: &[u8] = &[0x48, 0x89, 0xd8];
    const MOV_EAX_EDI: &[u8] = &[0x89, 0xf8];
    const PUSH_RBX: &[u8] = &[0x53];
    const POP_RBX: &[u8] = &[0x5b];
    const PUSH_RBP: &[u8] = &[0x55];
    const POP_RBP: &[u8] = &[0x5d];
    const MOV_RBP_RSP: &[u8] = &[0x48, 0x89, 0xe5];
    /// `mov %rdi,-0x8(%rbp)`, `mov -0x8(%rbp),%rax`, `movl $0x0,-0x4(%rbp)`.
    const STORE_RDI: &[u8] = &[0x48, 0x89, 0x7d, 0xf8];
    const LOAD_RAX: &[u8] = &[0x48, 0x8b, 0x45, 0xf8];
    const ZERO_HALF: &[u8] = &[0xc7, 0x45, 0xfc, 0, 0, 0, 0];
    const CALL: &[u8] = &[0xe8, 0, 0, 0, 0];
    const RET: &[u8] = &[0xc3];
    const UD2: &[u8] = &[0x0f, 0x0b];

    #[test]
    fn what_is_kept_over_the_function_is_returned() {
        assert!(is_proved(&[MOV_RAX_RDI, RET]));
        assert!(is_proved(&[PUSH_RBX, MOV_RBX_RDI, CALL, MOV_RAX_RBX, POP_RBX, RET]));
        assert!(is_proved(&[PUSH_RBP, MOV_RBP_RSP, STORE_RDI, CALL, LOAD_RAX, POP_RBP, RET]));
        // jne over a call that does not come back.
        assert!(is_proved(&[MOV_RAX_RDI, &[0x75, 2], UD2, RET]));
    }

    #[test]
    fn a_register_that_nothing_writes_is_no_result() {
        let is_left = |text: &[&[u8]]| {
            matches!(returned(&text.concat(), 0x1000, Register::RAX), Some(Returned::Always | Returned::Somewhere))
        };
        assert!(is_left(&[RET]) && is_left(&[MOV_RBX_RDI, RET]) && is_left(&[&[0x75, 1], RET, MOV_EAX_EDI, RET]));
        // Whatever a function that it calls returns may be its own result.
        assert!(!is_left(&[MOV_EAX_EDI, RET]) && !is_left(&[CALL, RET]));
        assert!(!is_left(&[&[0x75, 2], MOV_EAX_EDI, RET]) && !is_left(&[MOV_RBX_RDI]));
    }

    #[test]
    fn what_may_be_something_else_is_not_proved() {
        assert!(!is_proved(&[RET]));
        assert!(!is_proved(&[MOV_EAX_EDI, RET]));
        assert!(!is_proved(&[MOV_RAX_RDI, CALL, RET]));
        assert!(!is_proved(&[CALL, MOV_RAX_RDI, RET]));
        assert!(!is_proved(&[PUSH_RBX, MOV_RBX_RDI, CALL, POP_RBX, MOV_RAX_RBX, RET]));
        assert!(!is_proved(&[PUSH_RBP, MOV_RBP_RSP, STORE_RDI, ZERO_HALF, LOAD_RAX, POP_RBP, RET]));
        // One of two ways, a way that only the unwinder knows, a jump elsewhere, code that is cut off, none at all.
        assert!(!is_proved(&[&[0x75, 3], MOV_RAX_RDI, RET]));
        assert!(!is_proved(&[MOV_RAX_RDI, &[0xeb, 0], RET, CALL, &[0xeb, 0xf8]]));
        assert!(!is_proved(&[MOV_RAX_RDI, &[0xeb, 0x40]]));
        assert!(!is_proved(&[MOV_RAX_RDI]) && !is_proved(&[]));
        // A loop that comes back with another value: mov %rdi,%rax; jmp over xor %eax,%eax; ret at its end.
        assert!(!is_proved(&[MOV_RAX_RDI, &[0xeb, 2], &[0x31, 0xc0], &[0x75, 0xfc], RET]));
    }
}
