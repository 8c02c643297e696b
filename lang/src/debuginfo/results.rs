//! Owns the proof that a function makes the result that it is declared to give. Optimisers let a function that only its own
//! file can call give nothing, or one of two registers less, where no caller uses that (gcc's IPA-SRA in its clones
//! `.isra`, LLVM's dead argument elimination) or where all know it (LLVM's IPSCCP); then rax holds what it was last used for.
//!
//! They do so only where they know every call, and to all of them alike. So a result is made where others may call the
//! function, where its address is taken, or where one caller uses it. It is too where the code writes the register for no
//! other end than to return it, for compilers remove writes that serve nothing. What is not proved may be so or not.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::Module;
use super::cfi::Frames;
use super::elf::{Elf, read_range};
use super::facts::{AddressRule, Encoding, Function, Optimised, Site, SiteKind, Type};
use super::given;
use super::limits;
use super::places;
use super::producer::Changes;
use super::symbols::Symbols;
use super::units::{Debug, Die, Unit};
use super::uses::Uses;
use crate::world::ReadAt;

/// Most instructions of one function that are looked at, each time that a way through it is followed.
const MOST_STEPS: usize = 1 << 16;
/// Most calls of one function that are looked at, and most functions that are looked at for what they write.
const MOST_CALLS: usize = 256;
/// Most functions in a row that return what another returns.
const DEEPEST: usize = 8;
/// Bytes that the longest instruction has.
const LONGEST: u64 = 15;
/// How far a jump in two bytes leads.
const SHORT: u64 = 130;
/// A register that holds a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// rax
    First,
    /// rdx, which holds the second of two: where that is made, so is the first.
    Second,
}

impl Place {
    fn register(self) -> Register {
        match self {
            Place::First => Register::RAX,
            Place::Second => Register::RDX,
        }
    }
}

/// Who may have let a function give less than it is declared to, by its unit and its DIE.
pub(super) fn optimised<'a>(debug: &Debug<'a>, unit: &Unit<'a>, die: &Die<'a>) -> Optimised {
    match debug.changes(unit) {
        Changes::Never => Optimised::No,
        Changes::ByGcc => Optimised::ByGcc,
        // It says of functions that it optimises that all calls in them are described (`getCallSiteRelatedAttrs`), from
        // DWARF 4 on.
        Changes::ByClang if unit.unit.encoding().version >= 4 => {
            let described = [gimli::DW_AT_call_all_calls, gimli::DW_AT_GNU_all_call_sites];
            let told = described.iter().any(|attribute| die.attr_value(*attribute).is_some());
            if told { Optimised::ByOther } else { Optimised::No }
        }
        Changes::ByClang | Changes::Unknown => Optimised::ByOther,
    }
}

impl Module {
    /// Whether a function whose calls pass a site is known to make the result that it is declared to give in a register.
    pub fn gives(&self, function: &Function, site: &Site, place: Place) -> bool {
        let (bytes, elf) = (&*self.own.bytes, &self.own.elf);
        let size: u64 = site.ranges.iter().map(|(low, high)| high.saturating_sub(*low)).sum();
        let left = place == Place::First
            && (!spend(&self.proving, size.saturating_mul(4)) || given::returns_nothing(bytes, elf, &site.ranges));
        let uses = || self.uses.get_or_init(|| Uses::read(bytes, elf));
        let declared = |address| self.declared(address);
        let (symbols, frames) = (self.symbols().ok(), self.frames().ok());
        let source = Source { bytes, elf, symbols, frames, uses: &uses, declared: &declared, spent: &self.proving };
        !left && source.gives(site.entry, &site.ranges, function.optimised, place)
    }

    /// Who may have changed what the function returns that begins at an address; `None` where it is not declared to return
    /// a number or an address, or that is not known.
    fn declared(&self, address: u64) -> Option<Optimised> {
        if self.declared.fetch_add(1, Ordering::Relaxed) >= limits::MAX_DECLARED {
            return None;
        }
        let wanted = places::Wanted { address, rule: AddressRule::Address, behind_prologue: false, line: None };
        let function = self.places(&[wanted]).ok()?.into_iter().next()?;
        let begins = function.sites.iter().any(|site| site.kind == SiteKind::OutOfLine && site.entry == address);
        let mut returns = function.returns.filter(|_| begins && !function.changed)?;
        for _ in 0..limits::MAX_ORIGINS {
            match self.ty(returns).ok()? {
                Type::Typedef { target, .. } | Type::Qualified { target, .. } => returns = target?,
                Type::Base { encoding: Encoding::Float | Encoding::Other(_), .. } => return None,
                Type::Base { .. } | Type::Pointer { .. } | Type::Enum { .. } => return Some(function.optimised),
                Type::Array { .. }
                | Type::Aggregate { .. }
                | Type::Function
                | Type::MemberPointer { .. }
                | Type::Unknown(_) => return None,
            }
        }
        None
    }

    /// Whether a function that is declared to return what is in memory is known to be given its address, in the register of
    /// a first argument, as it is at a site.
    pub fn is_given(&self, site: &Site) -> bool {
        given::is_given(&*self.own.bytes, &self.own.elf, site)
    }
}

/// What proofs are made from.
pub(super) struct Source<'s> {
    pub(super) bytes: &'s dyn ReadAt,
    pub(super) elf: &'s Elf,
    pub(super) symbols: Option<&'s Symbols>,
    pub(super) frames: Option<&'s Frames>,
    pub(super) uses: &'s dyn Fn() -> &'s Uses,
    /// Of the function that begins at an address: who may have changed what it returns; `None` where it is not declared to
    /// return a number or an address, or debug info does not tell.
    pub(super) declared: &'s dyn Fn(u64) -> Option<Optimised>,
    /// Bytes of code that were looked at so far.
    pub(super) spent: &'s AtomicU64,
}

/// What becomes of a register behind an instruction.
#[derive(Debug, Default)]
struct Fate {
    /// Whether some instruction uses what it holds.
    used: bool,
    /// Whether it may be used where that cannot be seen: by what is called or jumped to.
    lost: bool,
    /// Whether flags are used that were set together with it.
    flags: bool,
    /// The returns that are reached with it.
    returns: Vec<u64>,
}

impl Source<'_> {
    /// Whether a function, given by where calls enter it and all its parts, is known to make its result.
    pub(super) fn gives(&self, entry: u64, ranges: &[(u64, u64)], optimised: Optimised, place: Place) -> bool {
        let mut open = Vec::new();
        self.is_kept(entry, optimised) || self.proved(entry, ranges, place, &mut open)
    }

    /// Whether its calls are not all known to whoever compiled it.
    fn is_kept(&self, entry: u64, optimised: Optimised) -> bool {
        let symbols = || self.symbols.into_iter().flat_map(|symbols| symbols.at(entry));
        match optimised {
            Optimised::No => true,
            // gcc names what it made with other results.
            Optimised::ByGcc if symbols().next().is_some() => {
                !symbols().any(|symbol| symbol.name.contains(".isra.") || symbol.name.contains(".part."))
            }
            Optimised::ByGcc | Optimised::ByOther => symbols().any(|symbol| !symbol.local),
        }
    }

    fn proved(&self, entry: u64, ranges: &[(u64, u64)], place: Place, open: &mut Vec<u64>) -> bool {
        if open.contains(&entry) || open.len() >= DEEPEST {
            return false;
        }
        let Some(own) = self.text(ranges) else { return false };
        if own.writes_for_return(place.register()) {
            return true;
        }
        open.push(entry);
        let proved = self.is_taken(entry) || self.is_used(entry, place, open);
        open.pop();
        proved
    }

    /// Whether data or code hold the function's address.
    fn is_taken(&self, entry: u64) -> bool {
        let uses = (self.uses)();
        uses.held.contains(&entry)
            || uses.of(entry).take(MOST_CALLS).any(|at| {
                let Some((text, code)) = self.instruction(at) else { return false };
                let names = match code.mnemonic() {
                    Mnemonic::Lea => code.is_ip_rel_memory_operand() && code.memory_displacement64() == entry,
                    Mnemonic::Mov => code.op1_kind() != OpKind::Memory && code.immediate(1) == entry,
                    _ => false,
                };
                // In its own code it may name the place for itself.
                names && text.low() != entry
            })
    }

    /// Whether a caller uses what it returns, or returns it and is known to make its own result.
    fn is_used(&self, entry: u64, place: Place, open: &mut Vec<u64>) -> bool {
        let clobbers = || self.clobbers(entry, place.register());
        let mut returned = Vec::new();
        for at in (self.uses)().of(entry).chain(self.short_jumps(entry)).take(MOST_CALLS) {
            let Some((text, code)) = self.instruction(at).filter(|(_, code)| code.near_branch_target() == entry) else {
                continue;
            };
            match code.flow_control() {
                FlowControl::Call => {
                    let fate = text.fate(code.next_ip(), place.register(), 0);
                    if fate.used {
                        // gcc keeps values in registers over calls of what it knows to leave them alone (-fipa-ra).
                        return clobbers();
                    }
                    if !fate.returns.is_empty() {
                        returned.push(text);
                    }
                }
                FlowControl::UnconditionalBranch if !text.holds(entry) => returned.push(text),
                _ => {}
            }
        }
        // Which registers hold two results of another function its type would have to tell.
        place == Place::First && returned.iter().any(|text| self.is_returned(text, place, open)) && clobbers()
    }

    /// Places close to an address from which a jump in two bytes may lead there.
    fn short_jumps(&self, entry: u64) -> Vec<u64> {
        let low = entry.saturating_sub(SHORT);
        let Some(offset) = self.elf.file_offset(low) else { return Vec::new() };
        let text = read_range(self.bytes, offset, 2 * SHORT).and_then(Result::ok).unwrap_or_default();
        let pairs = text.windows(2).zip(low..);
        let jumps = pairs.filter_map(|(pair, at)| match *pair {
            [0xeb, by] => Some((at, at.wrapping_add(2).wrapping_add_signed(i64::from(by.cast_signed())))),
            _ => None,
        });
        jumps.filter(|(_, target)| *target == entry).map(|(at, _)| at).collect()
    }

    /// Whether a function that returns what it was returned is known to make a result.
    fn is_returned(&self, text: &Text<'_>, place: Place, open: &mut Vec<u64>) -> bool {
        let entry = text.low();
        if open.contains(&entry) || open.len() >= DEEPEST {
            return false;
        }
        (self.declared)(entry)
            .is_some_and(|optimised| self.is_kept(entry, optimised) || self.proved(entry, &text.ranges(), place, open))
    }

    /// Whether some of a function's code writes a register, or calls what may. Each function is looked at once.
    fn clobbers(&self, entry: u64, register: Register) -> bool {
        let mut factory = InstructionInfoFactory::new();
        let (mut seen, mut waiting) = (HashSet::from([entry]), vec![entry]);
        while let Some(entry) = waiting.pop() {
            let Some(text) = self.part(entry).and_then(|part| self.text(&[part])) else { continue };
            for code in text.instructions() {
                if !matches!(code.flow_control(), FlowControl::Call | FlowControl::UnconditionalBranch) {
                    if code.flow_control() == FlowControl::IndirectCall || access(&mut factory, &code, register).1 {
                        return true;
                    }
                    continue;
                }
                let to = code.near_branch_target();
                if text.holds(to) {
                    continue;
                }
                // What the linkage table leads to is no function of this file.
                if self.part(to).is_none_or(|(low, _)| low != to) {
                    return true;
                }
                if seen.len() < MOST_CALLS && seen.insert(to) {
                    waiting.push(to);
                }
            }
        }
        false
    }

    /// The code of one part of a function around an address, and its instruction there, if one begins there.
    fn instruction(&self, at: u64) -> Option<(Text<'_>, Instruction)> {
        let text = self.text(&[self.part(at)?])?;
        let code = text.instructions().find(|code| code.ip() >= at).filter(|code| code.ip() == at)?;
        Some((text, code))
    }

    fn text(&self, ranges: &[(u64, u64)]) -> Option<Text<'_>> {
        Text::read(self.bytes, self.elf, ranges, self.spent)
    }

    fn part(&self, address: u64) -> Option<(u64, u64)> {
        self.frames?.part(address)
    }
}

/// Counts bytes of code that are looked at; whether they may be.
fn spend(spent: &AtomicU64, bytes: u64) -> bool {
    spent.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= limits::MAX_PROVING
}

/// The code of a function, part by part.
struct Text<'s> {
    parts: Vec<(u64, Vec<u8>)>,
    /// Bytes of code that were looked at so far, for all proofs of a file.
    spent: &'s AtomicU64,
}

impl Text<'_> {
    /// `None` where it cannot be read, is too large, or enough was looked at.
    fn read<'s>(bytes: &dyn ReadAt, elf: &Elf, ranges: &[(u64, u64)], spent: &'s AtomicU64) -> Option<Text<'s>> {
        let mut left = limits::MAX_CODE_BYTES;
        let mut parts = Vec::new();
        for (low, high) in ranges {
            let size = high.saturating_sub(*low);
            left = left.checked_sub(size)?;
            spend(spent, size).then_some(())?;
            parts.push((*low, read_range(bytes, elf.file_offset(*low)?, size)?.ok()?));
        }
        Some(Text { parts, spent })
    }

    fn low(&self) -> u64 {
        self.parts.first().map_or(0, |(low, _)| *low)
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.parts.iter().map(|(low, text)| (*low, low.saturating_add(text.len() as u64))).collect()
    }

    fn holds(&self, address: u64) -> bool {
        self.ranges().iter().any(|(low, high)| (*low..*high).contains(&address))
    }

    /// All instructions, in the order of each part.
    fn instructions(&self) -> impl Iterator<Item = Instruction> {
        self.parts.iter().flat_map(|(low, text)| Decoder::with_ip(64, text, *low, DecoderOptions::NONE).into_iter())
    }

    /// The instruction at an address.
    fn at(&self, address: u64) -> Option<Instruction> {
        let (low, text) = self
            .parts
            .iter()
            .find(|(low, text)| address.checked_sub(*low).is_some_and(|into| into < text.len() as u64))?;
        let into = usize::try_from(address.checked_sub(*low)?).ok()?;
        let code = Decoder::with_ip(64, text.get(into..)?, address, DecoderOptions::NONE).decode();
        (!code.is_invalid()).then_some(code)
    }

    /// Whether an instruction writes a register and nothing else, and what it wrote can only be returned.
    fn writes_for_return(&self, register: Register) -> bool {
        let mut left = MOST_CALLS;
        self.instructions().filter(|code| only_writes(code, register)).any(|code| {
            left = left.saturating_sub(1);
            if left == 0 {
                return false;
            }
            let fate = self.fate(code.next_ip(), register, code.rflags_modified());
            let alone = !fate.used && !fate.lost && !fate.flags;
            // One that changes no other register has no other to wipe.
            let wipes =
                |at: &u64| is_zero(&code) && (self.wipes_before(*at, register) || !self.changes_others(register));
            alone && !fate.returns.is_empty() && !fate.returns.iter().any(wipes)
        })
    }

    /// Whether some instruction writes another register that calls may change.
    fn changes_others(&self, register: Register) -> bool {
        use Register::{R8, R9, R10, R11, RAX, RCX, RDI, RDX, RSI};
        let others = [RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11];
        self.instructions().any(|code| others.iter().any(|other| *other != register && only_writes(&code, *other)))
    }

    /// Whether another register that calls may change is set to 0 right before an instruction: `-fzero-call-used-regs` does
    /// so at returns, and to rax too where it holds no result.
    fn wipes_before(&self, at: u64, register: Register) -> bool {
        let before: Vec<Instruction> = self.instructions().take_while(|code| code.ip() < at).collect();
        before.iter().rev().take(16).any(|code| {
            let wiped = code.op0_register().full_register();
            is_zero(code) && wiped != register && wiped.is_gpr64()
        })
    }

    /// What becomes of what a register, and the flags of that mask, hold before an instruction.
    fn fate(&self, from: u64, register: Register, flags: u32) -> Fate {
        let mut fate = Fate::default();
        let mut factory = InstructionInfoFactory::new();
        // Flags that still are what they were there, by address.
        let mut seen: HashMap<u64, u32> = HashMap::new();
        let mut waiting = vec![(from, flags)];
        let mut steps = 0;
        while let Some((at, flags)) = waiting.pop() {
            if seen.get(&at).is_some_and(|known| flags & !known == 0) {
                continue;
            }
            *seen.entry(at).or_default() |= flags;
            steps += 1;
            let more = steps < MOST_STEPS && spend(self.spent, LONGEST + self.parts.len() as u64);
            let Some(code) = self.at(at).filter(|_| more) else {
                fate.lost = true;
                continue;
            };
            fate.flags |= code.rflags_read() & flags != 0;
            let flags = flags & !code.rflags_modified();
            let (reads, writes) = access(&mut factory, &code, register);
            if reads && uses(&code, register) {
                fate.used = true;
                return fate;
            }
            fate.lost |= reads;
            if reads || writes {
                continue;
            }
            let near = code.op0_kind() == OpKind::NearBranch64;
            match code.flow_control() {
                FlowControl::Next => waiting.push((code.next_ip(), flags)),
                FlowControl::ConditionalBranch if near => {
                    waiting.push((code.near_branch_target(), flags));
                    waiting.push((code.next_ip(), flags));
                }
                FlowControl::UnconditionalBranch if near => waiting.push((code.near_branch_target(), flags)),
                FlowControl::Return => fate.returns.push(at),
                FlowControl::Exception if code.mnemonic() == Mnemonic::Ud2 => {}
                // Both registers may hold what is passed to a function (rax, how many vector registers do).
                FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::UnconditionalBranch
                | FlowControl::ConditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Interrupt
                | FlowControl::XbeginXabortXend
                | FlowControl::Exception => fate.lost = true,
            }
        }
        fate
    }
}

/// Whether an instruction may read a general register or a part of it, and whether it may write it.
fn access(factory: &mut InstructionInfoFactory, code: &Instruction, register: Register) -> (bool, bool) {
    let (mut reads, mut writes) = (false, false);
    let info = factory.info(code);
    for used in info.used_registers().iter().filter(|used| used.register().full_register() == register) {
        match used.access() {
            OpAccess::None | OpAccess::NoMemAccess => {}
            OpAccess::Read | OpAccess::CondRead => reads = true,
            OpAccess::Write | OpAccess::CondWrite => writes = true,
            OpAccess::ReadWrite | OpAccess::ReadCondWrite => (reads, writes) = (true, true),
        }
    }
    // The kernel's calls.
    let asks = matches!(code.mnemonic(), Mnemonic::Syscall | Mnemonic::Sysenter | Mnemonic::Int);
    (reads || asks, writes || asks)
}

/// Whether an instruction sets a register to 0, by the usual way.
fn is_zero(code: &Instruction) -> bool {
    code.mnemonic() == Mnemonic::Xor
        && code.op0_kind() == OpKind::Register
        && code.op1_kind() == OpKind::Register
        && code.op0_register() == code.op1_register()
}

/// Whether an instruction that reads a register does so for what it holds: not where it is the same whatever that is, or
/// only makes room on the stack.
fn uses(code: &Instruction, register: Register) -> bool {
    use Mnemonic::{And, Bsf, Bsr, Or, Pop, Push, Sbb, Sub, Xchg, Xor};
    let is = |operand: u32| {
        code.op_kind(operand) == OpKind::Register && code.op_register(operand).full_register() == register
    };
    let both = code.op_count() > 1 && is(0) && is(1);
    let constant = code.op_count() > 1 && is(0) && !matches!(code.op1_kind(), OpKind::Register | OpKind::Memory);
    let explicit = (0..code.op_count()).any(is);
    let addresses = (0..code.op_count()).any(|operand| code.op_kind(operand) == OpKind::Memory)
        && (code.memory_base().full_register() == register || code.memory_index().full_register() == register);
    let widens = matches!(code.mnemonic(), Mnemonic::Cdqe | Mnemonic::Cwde) && register == Register::RAX;
    match code.mnemonic() {
        Push | Pop | Bsf | Bsr | Xchg | Mnemonic::Nop => false,
        Sbb | Sub | Xor if both => false,
        // What sets all bits, or none, in few bytes.
        Or | And if constant && matches!(code.immediate(1), 0 | u64::MAX) => false,
        Or | And if constant && code.immediate(1) == 0xffff_ffff => false,
        // Implicit operands are those of instructions for special ends.
        _ => explicit || addresses || widens,
    }
}

/// Whether an instruction writes a register from others and constants, and does nothing else (but for flags). What is read
/// from memory may be volatile, and then is read though nothing uses it.
fn only_writes(code: &Instruction, register: Register) -> bool {
    use Mnemonic::*;
    let first = code.op_count() > 0 && code.op0_kind() == OpKind::Register;
    let implicit = matches!(code.mnemonic(), Cdqe | Cwde) && register == Register::RAX;
    if implicit {
        return true;
    }
    if !first || code.op0_register().full_register() != register {
        return false;
    }
    let memory = (0..code.op_count()).any(|operand| code.op_kind(operand) == OpKind::Memory);
    match code.mnemonic() {
        Lea => true,
        Mov | Movzx | Movsx | Movsxd | Add | Adc | Sub | Sbb | And | Or | Xor | Neg | Not | Shl | Sal | Shr | Sar
        | Rol | Ror | Shld | Shrd | Inc | Dec | Bswap | Movd | Movq | Cvttsd2si | Cvttss2si | Cvtsd2si | Cvtss2si
        | Popcnt | Tzcnt | Lzcnt | Bsf | Bsr | Movmskps | Movmskpd | Pmovmskb | Andn | Shlx | Shrx | Sarx | Rorx
        | Blsr | Blsi | Blsmsk | Bzhi | Pext | Pdep | Seto | Setno | Setb | Setae | Sete | Setne | Setbe | Seta
        | Sets | Setns | Setp | Setnp | Setl | Setge | Setle | Setg | Cmovo | Cmovno | Cmovb | Cmovae | Cmove
        | Cmovne | Cmovbe | Cmova | Cmovs | Cmovns | Cmovp | Cmovnp | Cmovl | Cmovge | Cmovle | Cmovg => !memory,
        // With one operand the result is in two registers.
        Imul => !memory && code.op_count() > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SPENT: AtomicU64 = AtomicU64::new(0);

    fn text(code: &[&[u8]]) -> Text<'static> {
        Text { parts: vec![(0x1000, code.concat())], spent: &SPENT }
    }

    fn is_for_return(code: &[&[u8]]) -> bool {
        text(code).writes_for_return(Register::RAX)
    }

    fn is_used(code: &[&[u8]]) -> bool {
        text(code).fate(0x1000, Register::RAX, 0).used
    }

    /// Bytes of instructions, as `objdump -d` shows them.
    const LEA_EAX: &[u8] = &[0x8d, 0x47, 0x05];
    const LEA_ECX: &[u8] = &[0x8d, 0x4f, 0x05];
    const MOV_EAX_EDI: &[u8] = &[0x89, 0xf8];
    const LOAD_EAX: &[u8] = &[0x8b, 0x07];
    /// `mov %eax,0x10(%rip)`
    const STORE_EAX: &[u8] = &[0x89, 0x05, 0x10, 0, 0, 0];
    const ZERO_EAX: &[u8] = &[0x31, 0xc0];
    const ZERO_ECX: &[u8] = &[0x31, 0xc9];
    const TEST_EAX: &[u8] = &[0x85, 0xc0];
    const DEC_EAX: &[u8] = &[0xff, 0xc8];
    const POP_RAX: &[u8] = &[0x58];
    const CALL: &[u8] = &[0xe8, 0, 1, 0, 0];
    const RET: &[u8] = &[0xc3];
    /// `jne` over the next two bytes.
    const JNE_2: &[u8] = &[0x75, 2];

    #[test]
    fn what_serves_nothing_else_is_made_to_be_returned() {
        assert!(is_for_return(&[LEA_EAX, RET]) && is_for_return(&[CALL, MOV_EAX_EDI, RET]));
        assert!(is_for_return(&[LEA_ECX, ZERO_EAX, RET]) && is_for_return(&[STORE_EAX, LEA_EAX, RET]));
        // One way is enough, where no other needs it.
        assert!(is_for_return(&[LEA_EAX, JNE_2, MOV_EAX_EDI, RET]));
    }

    #[test]
    fn what_may_serve_something_else_proves_nothing() {
        assert!(!is_for_return(&[LEA_EAX, STORE_EAX, RET]) && !is_for_return(&[LOAD_EAX, RET]));
        assert!(!is_for_return(&[POP_RAX, RET]) && !is_for_return(&[RET]));
        // How many vector registers hold arguments; flags; what a hardened build wipes.
        assert!(!is_for_return(&[ZERO_EAX, CALL, RET]) && !is_for_return(&[ZERO_EAX, &[0xe9, 0, 1, 0, 0]]));
        assert!(!is_for_return(&[DEC_EAX, JNE_2, &[0x90, 0x90], RET]));
        assert!(!is_for_return(&[ZERO_ECX, ZERO_EAX, RET]) && !is_for_return(&[LEA_ECX, ZERO_ECX, ZERO_EAX, RET]));
        // Such a one that uses no other register.
        assert!(!is_for_return(&[ZERO_EAX, RET]));
    }

    #[test]
    fn a_caller_uses_what_it_reads() {
        assert!(is_used(&[TEST_EAX]) && is_used(&[STORE_EAX]) && !is_used(&[LEA_EAX, RET]));
        assert!(is_used(&[JNE_2, ZERO_EAX, STORE_EAX]));
        // Not what would be the same whatever it is (xor, sbb, or with all bits), nor room on the stack.
        assert!(!is_used(&[ZERO_EAX]) && !is_used(&[&[0x19, 0xc0], RET]) && !is_used(&[&[0x83, 0xc8, 0xff], RET]));
        assert!(!is_used(&[&[0x50], RET]) && !is_used(&[RET]));
    }
}
