//! Owns what a probed instruction costs, and cheaper addresses right behind a chosen one. The kernel emulates some
//! instructions and steps over the others in a copy, with a second trap, which costs some ten times as much (measured
//! on Linux 6.18; `arch/x86/kernel/uprobes.c`: `push_setup_xol_ops`, `branch_setup_xol_ops`).
//!
//! An address further on is as right as the chosen one where every path from there comes to it, no other path does, and
//! what lies between changes nothing that is read: neither memory, nor the stack pointer, nor a needed register.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};

use super::code::Code;
use super::elf::{Elf, read_range};
use super::exits::number;
use super::facts::{Compute, Location, Price};
use crate::world::ReadAt;

/// How far a cheaper address is looked for.
const FARTHEST: u64 = 64;

/// What the kernel does with an instruction, by its first bytes.
pub(super) fn price(text: &[u8]) -> Price {
    match text {
        // nopl 0x0(%rax,%rax,1): the only one that `can_optimize` takes.
        [0x0f, 0x1f, 0x44, 0, 0, ..] => Price::WideNop,
        // push; the second form is that of r8 to r15.
        [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..] => Price::Emulated,
        // nop, jcc, jmp, call
        [0x90 | 0x70..=0x7f | 0xeb | 0xe9 | 0xe8, ..] | [0x0f, 0x1f | 0x80..=0x8f, ..] => Price::Emulated,
        _ => Price::Stepped,
    }
}

/// What the kernel does with the instruction at an offset of the file.
pub(super) fn at(bytes: &dyn ReadAt, file_offset: u64) -> Price {
    price(&read_range(bytes, file_offset, 5).and_then(Result::ok).unwrap_or_default())
}

/// The code from an address on, as far as it is looked at.
pub(super) fn text(bytes: &dyn ReadAt, elf: &Elf, address: u64, end: u64) -> Option<Vec<u8>> {
    let size = end.checked_sub(address)?.min(FARTHEST);
    read_range(bytes, elf.file_offset(address)?, size).and_then(Result::ok)
}

/// General registers that hold what is read, by their DWARF numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needed(u32);

impl Needed {
    fn add(&mut self, register: u16) {
        self.0 |= 1u32.checked_shl(register.into()).unwrap_or(0);
    }

    fn has(self, register: u16) -> bool {
        self.0 & 1u32.checked_shl(register.into()).unwrap_or(0) != 0
    }

    /// The registers of the first six arguments.
    pub(super) fn arguments(&mut self) {
        [5, 4, 1, 2, 8, 9].into_iter().for_each(|register| self.add(register));
    }

    fn location(&mut self, location: &Location) {
        match location {
            Location::Memory(compute) | Location::Value(compute) => self.compute(compute),
            Location::Register(register) => self.add(register.0),
            Location::ImplicitPointer { target, .. } => self.location(target),
            Location::Pieces(pieces) => pieces.iter().for_each(|piece| self.location(&piece.location)),
            Location::Bytes(_) | Location::Unavailable(_) => {}
        }
    }

    fn compute(&mut self, compute: &Compute) {
        match compute {
            // What a function returns is in no register yet.
            Compute::Const(_) | Compute::ModuleAddress(_) | Compute::ThreadPointer | Compute::Returned(_) => {}
            Compute::Register(register) => self.add(register.0),
            Compute::Deref { address, .. } => self.compute(address),
            Compute::Unary(_, operand) => self.compute(operand),
            Compute::Binary(_, left, right) => {
                self.compute(left);
                self.compute(right);
            }
        }
    }
}

/// What reading values at these locations needs.
pub(super) fn needed<'l>(locations: impl Iterator<Item = &'l Location>) -> Needed {
    let mut needed = Needed::default();
    locations.for_each(|location| needed.location(location));
    needed
}

/// The first of the [`candidates`] for a function of which nothing but its code is known.
pub(super) fn of_symbol(bytes: &dyn ReadAt, elf: &Elf, low: u64, end: u64) -> Option<u64> {
    let text = text(bytes, elf, low, end)?;
    if price(&text) < Price::Stepped {
        return None;
    }
    let mut needed = Needed::default();
    needed.arguments();
    let code = Code::read(bytes, elf, &[(low, end)]);
    candidates(&text, low, (low, end), &code, &needed).into_iter().next()
}

/// The address behind an `endbr64` at `low`, where no jump leads: that instruction changes nothing at all.
pub(super) fn behind_mark(text: &[u8], low: u64, code: &Code) -> Option<u64> {
    let behind = low.checked_add(4)?;
    let alone = !code.jumps_anywhere() && !code.arrives_within(low, behind) && code.is_instruction(behind);
    (text.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) && alone).then_some(behind)
}

/// Addresses behind `low` that cost less and are as right, the nearest first; none where `low` itself costs little.
/// `text` is the code from there on, `main` the part of the function that it lies in.
pub(super) fn candidates(text: &[u8], low: u64, main: (u64, u64), code: &Code, needed: &Needed) -> Vec<u64> {
    // Before the prologue rbp is the caller's, and may point anywhere.
    let framed = low > main.0;
    let mut found = Vec::new();
    if price(text) < Price::Stepped {
        return found;
    }
    let mut factory = InstructionInfoFactory::new();
    let mut decoder = Decoder::with_ip(64, text, low, DecoderOptions::NONE);
    // Code for a shadow stack: the kernel does not push to it for a call that it emulates.
    let mut guarded = false;
    let mut only_marks = true;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let at = instruction.ip();
        if code.arrives_within(low, at) || instruction.is_invalid() {
            break;
        }
        let own = usize::try_from(at.wrapping_sub(low)).ok().and_then(|offset| text.get(offset..)).unwrap_or_default();
        if at > low && price(own) < Price::Stepped {
            let stays = instruction.mnemonic() == Mnemonic::Call
                || instruction.near_branch_target() == 0
                || (main.0..main.1).contains(&instruction.near_branch_target());
            let safe = instruction.mnemonic() != Mnemonic::Call || !guarded;
            // A jump whose aim is not known could lead to any address but one that pushes, where the stack has just
            // been made deeper.
            let known = !code.jumps_anywhere() || only_marks && instruction.mnemonic() == Mnemonic::Push;
            if stays && safe && known {
                found.push(at);
            }
        }
        guarded |= instruction.mnemonic() == Mnemonic::Endbr64;
        only_marks &= matches!(instruction.mnemonic(), Mnemonic::Endbr64 | Mnemonic::Nop);
        if !changes_nothing(&instruction, &mut factory, needed, framed) {
            break;
        }
    }
    found
}

/// Whether a general register (by its DWARF number) holds at an address what it held at the function's first one: what
/// lies between is passed once, in order, and does not write it. `text` is the code from `entry` on.
pub(super) fn still_holds(text: &[u8], (entry, address): (u64, u64), code: &Code, register: u16) -> bool {
    if entry == address {
        return true;
    }
    let mut factory = InstructionInfoFactory::new();
    let mut decoder = Decoder::with_ip(64, text, entry, DecoderOptions::NONE);
    while decoder.can_decode() && decoder.ip() < address {
        let instruction = decoder.decode();
        let goes_on = matches!(instruction.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch);
        let writes = factory.info(&instruction).used_registers().iter().any(|used| {
            let written =
                !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            written && number(used.register().full_register()) == Some(register)
        });
        if instruction.is_invalid() || !goes_on || writes {
            return false;
        }
    }
    decoder.ip() == address && !code.jumps_anywhere() && !code.arrives_within(entry, address)
}

/// Whether an instruction goes on to the next, cannot fail, and leaves alone memory, the stack and what is needed.
fn changes_nothing(
    instruction: &Instruction,
    factory: &mut InstructionInfoFactory,
    needed: &Needed,
    framed: bool,
) -> bool {
    let fails = matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
    if instruction.flow_control() != FlowControl::Next || fails || instruction.is_privileged() {
        return false;
    }
    if matches!(instruction.mnemonic(), Mnemonic::Endbr64 | Mnemonic::Nop) {
        return true;
    }
    let info = factory.info(instruction);
    let memory = info.used_memory().iter().all(|memory| {
        // In the function's own frame or the file's own data: what is mapped as surely as the code.
        let near = matches!(memory.base(), Register::RSP | Register::RIP) || framed && memory.base() == Register::RBP;
        let lies_near = near && memory.index() == Register::None && memory.segment() != Register::FS;
        memory.access() == OpAccess::NoMemAccess || memory.access() == OpAccess::Read && lies_near
    });
    memory
        && info.used_registers().iter().all(|used| match used.access() {
            OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess => true,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
                match number(used.register().full_register()) {
                    Some(7) => false,
                    Some(register) => !needed.has(register),
                    // Vectors hold nothing that is read.
                    None => used.register().is_vector_register(),
                }
            }
        })
}
