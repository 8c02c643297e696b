//! Owns whether a call of a function may have another return address while it lasts, as the kernel's return probes give it
//! one (`arch_uretprobe_hijack_return_addr` of arch/x86/kernel/uprobes.c): proved from the function's code, or refused
//! with the reason.
//!
//! What unwinds through such a frame (an exception, a panic, `pthread_exit`) finds no description of the trampoline and
//! ends the program; the kernel keeps 64 such calls of a thread and drops others without a word; who moves or reads the
//! stack sees what is not the program's. None of it can happen in a call that no way but its own return instructions leads
//! out of: every instruction that it reaches is the function's own, or of functions of the same file that it calls by their
//! address and that are such ones themselves, and none of them touches the place of a return address. What is left are
//! signals: where a handler could throw, only functions are proved that cause no signal.

use std::collections::BTreeMap;

use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register as Name,
};

use super::elf::{read_range, u64_at};
use super::exits::Source;
use super::facts::Site;
use super::limits;

/// Most functions of one proof, the probed one included.
const MOST_FUNCTIONS: usize = 64;
/// Deepest that calls lie in each other: far from the 64 that the kernel keeps of a thread.
const DEEPEST: usize = 8;
/// Most instructions of one proof, those counted twice that are looked at twice.
const MOST_STEPS: usize = 20_000;

/// Where the return address is, counted from the canonical frame address.
const RETURN: i64 = -8;

/// What a file says of the programs it may be part of.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Whether a signal that an instruction causes could be thrown from: then functions must cause none.
    pub(super) throws: bool,
}

/// What rbp holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// What it held on entry: the caller's frame, or anything.
    Callers,
    /// An address of the frame, counted from the canonical frame address.
    Frame(i64),
    /// Anything else.
    Other,
}

/// What is known before an instruction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// The stack pointer, counted from the canonical frame address.
    stack: i64,
    base: Base,
    /// Where the caller's rbp was pushed, as long as it is there.
    saved: Option<i64>,
}

/// A proof being made.
struct Proof<'p> {
    source: &'p Source<'p>,
    file: &'p File,
    /// Functions that are done with.
    proved: Vec<u64>,
    /// Those whose callees are being looked at.
    open: Vec<u64>,
    steps: usize,
    info: InstructionInfoFactory,
}

/// What a file as a whole tells.
///
/// # Errors
/// Why nothing is proved of its functions, in words.
pub(super) fn file(source: &Source<'_>) -> Result<File, String> {
    let elf = source.elf;
    if elf.section(".gopclntab").is_some() || elf.section(".go.buildinfo").is_some() {
        return Err("Go's runtime is in the file: it moves stacks".to_owned());
    }
    let Some(symbols) = source.symbols else { return Err("its symbols cannot be read".to_owned()) };
    if symbols.names_any(&["pthread_setcanceltype"]) {
        return Err("the file lets threads be cancelled anywhere (pthread_setcanceltype)".to_owned());
    }
    if changes_its_code(source).unwrap_or(true) {
        return Err("the dynamic linker changes the file's code (DT_TEXTREL)".to_owned());
    }
    // A library is part of programs that nothing here tells of.
    let mut kind = [0; 2];
    let fixed = source.bytes.read_at(16, &mut kind).is_ok() && u16::from_le_bytes(kind) == 2;
    let library = !fixed && elf.section(".interp").is_none();
    let looks = ["_Unwind_ForcedUnwind", "_Unwind_Backtrace", "backtrace", "unw_step", "_ULx86_64_step"];
    Ok(File { throws: library || source.unwinds || symbols.names_any(&looks) })
}

/// Whether the dynamic linker writes into code; `None` where that cannot be read.
fn changes_its_code(source: &Source<'_>) -> Option<bool> {
    const TEXTREL: u64 = 22;
    const FLAGS: u64 = 30;
    const DF_TEXTREL: u64 = 4;
    let Some(section) = source.elf.section(".dynamic") else { return Some(false) };
    let size = section.size.min(limits::MAX_LINK_BYTES);
    let table = read_range(source.bytes, section.offset, size)?.ok()?;
    let mut entries = table.chunks_exact(16).filter_map(|entry| Some((u64_at(entry, 0).ok()?, u64_at(entry, 8).ok()?)));
    Some(entries.any(|(tag, value)| tag == TEXTREL || tag == FLAGS && value & DF_TEXTREL != 0))
}

/// Proves that nothing but its return instructions leads out of a call that passes a site; `parts` are the function's.
///
/// # Errors
/// Why that is not proved, in words.
pub(super) fn prove(source: &Source<'_>, file: &File, site: &Site, parts: &[(u64, u64)]) -> Result<(), String> {
    let info = InstructionInfoFactory::new();
    let mut proof = Proof { source, file, proved: Vec::new(), open: Vec::new(), steps: 0, info };
    proof.function((site.entry, site.address), parts)
}

impl Proof<'_> {
    /// Looks through a function, whose calls all pass `probed`, once each.
    fn function(&mut self, (entry, probed): (u64, u64), parts: &[(u64, u64)]) -> Result<(), String> {
        if self.open.len() >= DEEPEST {
            return Err(format!("calls lie more than {DEEPEST} deep in it"));
        }
        if self.open.len() + self.proved.len() >= MOST_FUNCTIONS {
            return Err(format!("it calls more than {MOST_FUNCTIONS} functions"));
        }
        let mut codes = Vec::new();
        for part in parts {
            codes.push(self.part(*part)?);
        }
        self.open.push(entry);
        let mut known: BTreeMap<u64, State> = BTreeMap::new();
        let mut left = vec![(entry, State { stack: RETURN, base: Base::Callers, saved: None })];
        while let Some((at, state)) = left.pop() {
            let state = match known.get(&at) {
                None => state,
                Some(before) => match before.joined(&state) {
                    None => return Err(format!("its stack pointer is not the same on all ways to {at:#x}")),
                    Some(both) if both == *before => continue,
                    Some(both) => both,
                },
            };
            known.insert(at, state);
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err("it is too long to be looked through".to_owned());
            }
            let code = codes.iter().find_map(|code| code.at(at));
            let code = code.ok_or_else(|| format!("it goes on at {at:#x}, which is not its own"))?;
            let next = code.next_ip();
            let begins = entry..=probed;
            let returns_to = |to: u64| begins.contains(&to) && !(begins.contains(&at) && to > at);
            let near = code.op_count() == 1 && code.op0_kind() == OpKind::NearBranch64;
            let first_new = left.len();
            match code.flow_control() {
                FlowControl::Next => left.push((next, self.step(&code, state)?)),
                FlowControl::UnconditionalBranch if near => left.push((code.near_branch_target(), state)),
                FlowControl::ConditionalBranch if near => {
                    left.push((next, state));
                    left.push((code.near_branch_target(), state));
                }
                FlowControl::Call if near && code.mnemonic() == Mnemonic::Call => {
                    self.callee(code.near_branch_target())?;
                    left.push((next, state));
                }
                FlowControl::Return if code.mnemonic() == Mnemonic::Ret && code.op_count() == 0 => {
                    if state.stack != RETURN || state.base != Base::Callers {
                        return Err(format!("it returns at {at:#x} with another stack than it was given"));
                    }
                }
                // `ud2`, where compilers end what never goes on. The signal is one it causes.
                FlowControl::Exception if code.mnemonic() == Mnemonic::Ud2 && !self.file.throws => {}
                FlowControl::Call if code.mnemonic() == Mnemonic::Syscall => {
                    return Err(format!("it enters the kernel at {at:#x}"));
                }
                FlowControl::IndirectCall => {
                    return Err(format!("it calls at {at:#x} what is known only when it runs"));
                }
                FlowControl::UnconditionalBranch
                | FlowControl::ConditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Call
                | FlowControl::Return
                | FlowControl::Interrupt
                | FlowControl::XbeginXabortXend
                | FlowControl::Exception => {
                    return Err(format!("where `{}` at {at:#x} leads is not known", name(&code)));
                }
            }
            if left.iter().skip(first_new).any(|(to, _)| returns_to(*to)) {
                return Err("a loop leads back to its beginning".to_owned());
            }
        }
        // The kernel takes for the return address what the stack pointer points at.
        if known.get(&probed).is_none_or(|state| state.stack != RETURN) {
            return Err(
                "it is probed behind its first instructions, where its return address is out of sight".to_owned()
            );
        }
        self.open.pop();
        self.proved.push(entry);
        Ok(())
    }

    /// A function that is called by its address.
    fn callee(&mut self, entry: u64) -> Result<(), String> {
        if self.proved.contains(&entry) {
            return Ok(());
        }
        let symbol = self.source.symbols.and_then(|symbols| symbols.at(entry).next());
        let named = symbol.map_or_else(|| format!("the code at {entry:#x}"), |symbol| format!("`{}`", symbol.name));
        if self.open.contains(&entry) {
            return Err(format!("it is called by what it calls ({named})"));
        }
        let part = self.source.frames.and_then(|frames| frames.part(entry)).filter(|(low, _)| *low == entry);
        let part = part.ok_or_else(|| format!("it calls {named}, of which nothing says where it ends"))?;
        self.function((entry, entry), &[part]).map_err(|why| match why.strip_prefix("it calls ") {
            Some(_) => why,
            None => format!("it calls {named}, of which is not proved what ctp needs: {why}"),
        })
    }

    /// The code of a part, which a frame description covers that names no landing pads.
    fn part(&self, (low, high): (u64, u64)) -> Result<Code, String> {
        let described = self.source.frames.and_then(|frames| frames.description(low));
        let described = described.ok_or_else(|| "no call frame information covers it".to_owned())?;
        let end = described.initial_address().saturating_add(described.len());
        if described.initial_address() > low || end < high {
            return Err("its call frame information does not cover all of it".to_owned());
        }
        if described.lsda().is_some() || described.personality().is_some() {
            return Err("exceptions are caught or cleaned up after in it".to_owned());
        }
        if described.is_signal_trampoline() {
            return Err("it is what handlers of signals return to".to_owned());
        }
        let size = high.saturating_sub(low).min(limits::MAX_CODE_BYTES);
        let text = self.source.elf.file_offset(low).and_then(|offset| read_range(self.source.bytes, offset, size));
        let text = text.and_then(Result::ok).ok_or_else(|| format!("its code from {low:#x} on cannot be read"))?;
        Ok(Code { low, text })
    }

    /// What is known behind an instruction that leads nowhere else.
    fn step(&mut self, code: &Instruction, state: State) -> Result<State, String> {
        let at = code.ip();
        let whole = |operand: u32| match code.op_kind(operand) {
            OpKind::Register => Some(code.op_register(operand)),
            _ => None,
        };
        if code.is_privileged() || code.cpuid_features().contains(&CpuidFeature::CET_SS) {
            return Err(format!("`{}` at {at:#x} is not looked into", name(code)));
        }
        if self.file.throws && may_trap(code, state) {
            return Err(format!(
                "`{}` at {at:#x} may cause a signal, and a handler of it might throw in programs that this file is part of",
                name(code)
            ));
        }
        let (first, second) = (whole(0), if code.op_count() > 1 { whole(1) } else { None });
        let mut after = state;
        match (code.mnemonic(), first, second) {
            (Mnemonic::Push, register, _) if code.stack_pointer_increment() == -8 => {
                match register {
                    Some(Name::RSP) => return Err(escapes(at)),
                    Some(Name::RBP) if matches!(state.base, Base::Frame(_)) => return Err(escapes(at)),
                    Some(_) => {}
                    None => self.memory(code, state)?,
                }
                after.stack -= 8;
                after.saved = match (register, state.base) {
                    (Some(Name::RBP), Base::Callers) => state.saved.or(Some(after.stack)),
                    (_, _) => state.saved,
                };
            }
            (Mnemonic::Pop, Some(register), _) if code.stack_pointer_increment() == 8 => {
                after.pop(register).ok_or_else(|| touches(at))?;
            }
            (Mnemonic::Leave, ..) if code.stack_pointer_increment() == 0 || code.op_count() == 0 => {
                let Base::Frame(stack) = state.base else { return Err(lost(at)) };
                after.stack = stack;
                after.pop(Name::RBP).ok_or_else(|| touches(at))?;
            }
            (Mnemonic::Mov, Some(Name::RBP), Some(Name::RSP)) => after.base = Base::Frame(state.stack),
            (Mnemonic::Mov, Some(Name::RSP), Some(Name::RBP)) => {
                let Base::Frame(stack) = state.base else { return Err(lost(at)) };
                after.stack = stack;
            }
            (Mnemonic::Mov, Some(Name::RBP), None) if self.saved(code, state) => after.base = Base::Callers,
            (Mnemonic::Add | Mnemonic::Sub, Some(Name::RSP), None) if is_immediate(code.op1_kind()) => {
                let bytes = code.immediate(1).cast_signed();
                let moved = match code.mnemonic() {
                    Mnemonic::Add => state.stack.checked_add(bytes),
                    _ => state.stack.checked_sub(bytes),
                };
                after.stack = moved.ok_or_else(|| lost(at))?;
            }
            (Mnemonic::Lea, Some(to @ (Name::RSP | Name::RBP)), _) if place(code, state).is_some() => {
                let there = place(code, state).ok_or_else(|| lost(at))?;
                match to {
                    Name::RSP => after.stack = there,
                    _ => after.base = Base::Frame(there),
                }
            }
            (Mnemonic::Xor | Mnemonic::Sub, Some(one), Some(other))
                if one == other && one.full_register() == Name::RBP =>
            {
                after.base = Base::Other;
            }
            (Mnemonic::Lea, to, _) => {
                let of_frame = |register: Name| match register.full_register() {
                    Name::RSP => true,
                    Name::RBP => state.base != Base::Other,
                    _ => false,
                };
                if of_frame(code.memory_base()) || of_frame(code.memory_index()) {
                    return Err(escapes(at));
                }
                match to.map(Name::full_register) {
                    Some(Name::RSP) => return Err(lost(at)),
                    Some(Name::RBP) => after.base = Base::Other,
                    Some(_) | None => {}
                }
            }
            (Mnemonic::Nop | Mnemonic::Endbr64, _, _) => {}
            (_, _, _) if code.is_stack_instruction() => {
                return Err(format!("`{}` at {at:#x} is not looked into", name(code)));
            }
            (_, _, _) => after.base = self.ordinary(code, state)?,
        }
        if after.stack > RETURN {
            return Err(touches(at));
        }
        // What lies below the stack pointer is nobody's.
        after.saved = after.saved.filter(|saved| *saved >= after.stack);
        Ok(after)
    }

    /// An instruction that leaves the stack pointer alone; what rbp holds behind it.
    fn ordinary(&mut self, code: &Instruction, state: State) -> Result<Base, String> {
        let at = code.ip();
        let mut base = state.base;
        for operand in 0..code.op_count() {
            match code.op_kind(operand) {
                OpKind::Register => match code.op_register(operand).full_register() {
                    Name::RSP => return Err(escapes(at)),
                    Name::RBP => {
                        let access = self.info.info(code).op_access(operand);
                        let reads = !matches!(access, OpAccess::Write | OpAccess::None | OpAccess::NoMemAccess);
                        if reads && state.base != Base::Other {
                            return Err(escapes(at));
                        }
                        base = Base::Other;
                    }
                    _ => {}
                },
                OpKind::Memory => self.memory(code, state)?,
                _ => {}
            }
        }
        Ok(base)
    }

    /// Whether an instruction reads the caller's rbp from where it was pushed.
    fn saved(&self, code: &Instruction, state: State) -> bool {
        let there = if code.op1_kind() == OpKind::Memory { place(code, state) } else { None };
        there.is_some() && there == state.saved && code.memory_size().size() == 8
    }

    /// Whether a memory operand leaves alone what the frame keeps for the caller.
    fn memory(&self, code: &Instruction, state: State) -> Result<(), String> {
        let at = code.ip();
        let of_frame = |register: Name| match register.full_register() {
            Name::RSP => true,
            Name::RBP => state.base != Base::Other,
            _ => false,
        };
        if !of_frame(code.memory_base()) && !of_frame(code.memory_index()) {
            return Ok(());
        }
        let low = place(code, state).ok_or_else(|| {
            format!("where in its frame `{}` at {at:#x} reads or writes is known only when it runs", name(code))
        })?;
        let size = i64::try_from(code.memory_size().size()).unwrap_or(0);
        let high = low.checked_add(size).filter(|_| size > 0).ok_or_else(|| touches(at))?;
        let meets = |kept: i64| low < kept + 8 && high > kept;
        if meets(RETURN) || state.saved.is_some_and(meets) {
            return Err(touches(at));
        }
        Ok(())
    }
}

impl State {
    /// What is known where two ways meet; `None` where the stack pointer is not.
    fn joined(&self, other: &State) -> Option<State> {
        let base = if self.base == other.base { self.base } else { Base::Other };
        let saved = self.saved.filter(|_| self.saved == other.saved);
        (self.stack == other.stack).then_some(State { stack: self.stack, base, saved })
    }

    /// Pops a register; `None` where that would be the return address, or the caller's rbp into another.
    fn pop(&mut self, register: Name) -> Option<()> {
        let kept = self.saved == Some(self.stack);
        if self.stack >= RETURN || register.full_register() == Name::RSP || kept && register != Name::RBP {
            return None;
        }
        if register.full_register() == Name::RBP {
            self.base = if kept { Base::Callers } else { Base::Other };
        }
        self.stack += 8;
        Some(())
    }
}

/// The bytes of a part of a function.
struct Code {
    low: u64,
    text: Vec<u8>,
}

impl Code {
    /// The instruction at an address, where it is one and all of it lies in the part.
    fn at(&self, address: u64) -> Option<Instruction> {
        let into = usize::try_from(address.checked_sub(self.low)?).ok()?;
        let text = self.text.get(into..).filter(|text| !text.is_empty())?;
        let code = Decoder::with_ip(64, text, address, DecoderOptions::NONE).decode();
        (!code.is_invalid()).then_some(code)
    }
}

/// Where a memory operand that is counted from the frame alone lies, counted from the canonical frame address.
fn place(code: &Instruction, state: State) -> Option<i64> {
    if code.memory_index() != Name::None || !matches!(code.segment_prefix(), Name::None) {
        return None;
    }
    let base = match (code.memory_base(), state.base) {
        (Name::RSP, _) => state.stack,
        (Name::RBP, Base::Frame(base)) => base,
        (_, _) => return None,
    };
    base.checked_add(code.memory_displacement64().cast_signed())
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8to64 | OpKind::Immediate32to64)
}

/// Whether an instruction may cause a signal. Known not to are the plain ones on integers, where they read and write
/// registers, their frame and what lies at a fixed place of the file or of the thread's memory.
fn may_trap(code: &Instruction, state: State) -> bool {
    use Mnemonic::*;
    let plain = matches!(
        code.mnemonic(),
        Mov | Movzx
            | Movsx
            | Movsxd
            | Lea
            | Add
            | Adc
            | Sub
            | Sbb
            | And
            | Or
            | Xor
            | Not
            | Neg
            | Inc
            | Dec
            | Cmp
            | Test
            | Imul
            | Mul
            | Shl
            | Sal
            | Shr
            | Sar
            | Rol
            | Ror
            | Shld
            | Shrd
            | Cbw
            | Cwde
            | Cdqe
            | Cwd
            | Cdq
            | Cqo
            | Bt
            | Bsf
            | Bsr
            | Bswap
            | Push
            | Pop
            | Leave
            | Nop
            | Endbr64
            | Xchg
            | Pause
            | Seto
            | Setno
            | Setb
            | Setae
            | Sete
            | Setne
            | Setbe
            | Seta
            | Sets
            | Setns
            | Setp
            | Setnp
            | Setl
            | Setge
            | Setle
            | Setg
            | Cmovo
            | Cmovno
            | Cmovb
            | Cmovae
            | Cmove
            | Cmovne
            | Cmovbe
            | Cmova
            | Cmovs
            | Cmovns
            | Cmovp
            | Cmovnp
            | Cmovl
            | Cmovge
            | Cmovle
            | Cmovg
    );
    let fixed = |operand: u32| match code.op_kind(operand) {
        OpKind::Memory if matches!(code.mnemonic(), Lea | Nop) => true,
        OpKind::Memory => {
            let of_frame = place(code, state).is_some();
            let alone = code.memory_index() == Name::None;
            of_frame || alone && matches!(code.memory_base(), Name::None | Name::RIP)
        }
        OpKind::Register
        | OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => true,
        _ => false,
    };
    !plain || !(0..code.op_count()).all(fixed)
}

/// An instruction's name, as assemblers write it.
fn name(code: &Instruction) -> String {
    format!("{:?}", code.mnemonic()).to_lowercase()
}

fn escapes(at: u64) -> String {
    format!("the instruction at {at:#x} makes a value of its frame's address")
}

fn touches(at: u64) -> String {
    format!("the instruction at {at:#x} touches what its frame keeps for its caller")
}

fn lost(at: u64) -> String {
    format!("where its stack pointer is behind {at:#x} cannot be told")
}
