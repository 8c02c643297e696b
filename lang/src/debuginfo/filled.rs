//! Owns whether a function has put a parameter where debug info says that it is in all of its code. gcc also names memory
//! from which its optimiser has taken the store away, registers that nothing is put into, and addresses in a register that
//! is set on the way (instrumented code, `-fsanitize=address`): there is what something else left.

use gimli::Operation;
use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register};

use super::cfi::Cfa;
use super::exits::number;
use super::location::CfaAt;
use super::units::{Die, Unit, Value};

/// What an address counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// The canonical frame address.
    Cfa,
    /// A general register other than rbp and rsp, by its DWARF number.
    Register(u16),
    /// No address: it is in registers that no caller passes anything in, by the bits of their numbers.
    In(u16),
}

/// The memory of a parameter that has one location for all of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    base: Base,
    offset: i64,
    size: i64,
}

impl Slot {
    /// The one that a variable's DIE names; `by_cfa`: whether the frame base is the CFA. `size` in bytes.
    pub(super) fn of(unit: &Unit<'_>, die: &Die<'_>, by_cfa: bool, size: u64) -> Option<Slot> {
        let Some(Value::Exprloc(expression)) = die.attr_value(gimli::DW_AT_location) else { return None };
        let mut operations = expression.operations(unit.unit.encoding());
        let first = operations.next().ok()??;
        let mut registers = 0;
        let mut next = Some(first);
        while let Some(operation) = next {
            if let Operation::Register { register: gimli::Register(register @ (0 | 3 | 6 | 10..=15)) } = operation {
                registers |= 1 << register;
            }
            next = operations.next().ok()?;
        }
        if registers != 0 {
            return Some(Slot { base: Base::In(registers), offset: 0, size: 0 });
        }
        let (base, offset) = match first {
            Operation::FrameOffset { offset } if by_cfa => (Base::Cfa, offset),
            Operation::RegisterOffset { register, offset, .. } if !matches!(register.0, 6 | 7) => {
                (Base::Register(register.0), offset)
            }
            _ => return None,
        };
        Some(Slot { base, offset, size: i64::try_from(size.max(1)).ok()? })
    }

    /// Whether its address is in a register that the function sets on the way: known to be so only right behind the store.
    pub(super) fn floats(&self) -> bool {
        match self.base {
            // What a caller passes an address in (rdi, rsi, rdx, rcx, r8, r9), and what lies behind that address.
            Base::Register(5 | 4 | 1 | 2 | 8 | 9) => self.offset < 0,
            Base::Register(_) => true,
            Base::Cfa | Base::In(_) => false,
        }
    }

    /// Whether the function itself puts a parameter there: into its own frame (at and above the CFA lies what the caller
    /// stored), into another register than the caller.
    pub(super) fn is_own(&self) -> bool {
        match self.base {
            Base::Cfa => self.offset < 0,
            Base::In(_) => true,
            Base::Register(_) => self.floats(),
        }
    }

    /// Whether `text`, the code from `low` on, stores into it, and leaves alone the register that its address is in.
    /// What cannot be told counts as stored: the stack's registers where the CFA is not counted from them.
    pub(super) fn is_filled(&self, text: &[u8], low: u64, cfa_at: CfaAt<'_>) -> bool {
        let mut factory = InstructionInfoFactory::new();
        let mut decoder = Decoder::with_ip(64, text, low, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let mut filled = false;
        // Of `Base::In`: those that nothing has been put into yet.
        let mut unset = match self.base {
            Base::In(registers) => registers,
            Base::Cfa | Base::Register(_) => 0,
        };
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() {
                return true;
            }
            if instruction.mnemonic() == Mnemonic::Push && self.base == Base::Cfa {
                if let Some(Cfa::Offset(7, behind)) = cfa_at(instruction.next_ip()) {
                    filled |= self.holds(behind.wrapping_neg());
                }
                continue;
            }
            let info = factory.info(&instruction);
            let stores = |access| {
                !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
            };
            for memory in info.used_memory().iter().filter(|memory| stores(memory.access())) {
                // A call pushes its return address: no parameter.
                if matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Push) {
                    continue;
                }
                let Some(register) = number(memory.base().full_register()) else { continue };
                let displacement = memory.displacement().cast_signed();
                filled |= match self.base {
                    Base::Register(base) => {
                        register == base && memory.index() == Register::None && self.holds(displacement)
                    }
                    Base::Cfa if matches!(register, 6 | 7) => match cfa_at(instruction.ip()) {
                        Some(Cfa::Offset(of, behind)) if of == register => {
                            memory.index() != Register::None || self.holds(displacement.wrapping_sub(behind))
                        }
                        Some(Cfa::Offset(..) | Cfa::Expression(_)) | None => true,
                    },
                    Base::Cfa | Base::In(_) => false,
                };
            }
            for used in info.used_registers().iter().filter(|used| stores(used.access())) {
                if let Some(register) = number(used.register().full_register()) {
                    unset &= !1u16.checked_shl(register.into()).unwrap_or(0);
                }
            }
            if let Base::Register(base) = self.base {
                let sets = |used: &iced_x86::UsedRegister| {
                    stores(used.access()) && number(used.register().full_register()) == Some(base)
                };
                // Those that a called function may change: all but rbx, rbp, rsp and r12 to r15.
                let called = instruction.mnemonic() == Mnemonic::Call && !matches!(base, 3 | 6 | 7 | 12..=15);
                if called || info.used_registers().iter().any(sets) {
                    filled = false;
                }
            }
        }
        match self.base {
            Base::In(_) => unset == 0,
            Base::Cfa | Base::Register(_) => filled,
        }
    }

    fn holds(&self, offset: i64) -> bool {
        (self.offset..self.offset.wrapping_add(self.size)).contains(&offset)
    }
}
