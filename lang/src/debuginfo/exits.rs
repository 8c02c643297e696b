//! Owns where the calls of a function end: its return instructions, its jumps into other functions, and what names one
//! call among those of its thread. Decodes every part of the function; where it cannot be sure, it refuses.

use std::collections::BTreeSet;

use gimli::Operation;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register as Name};

use super::cfi::{Cfa, Frames};
use super::closed;
use super::elf::{Elf, read_range};
use super::facts::{BinaryOp, Compute, Exit, Exits, NoExits, Register, Site, SiteKind};
use super::limits;
use super::symbols::{Symbols, clone_base, is_fragment};
use crate::world::ReadAt;

/// The stack pointer, the program counter and the flags, by their DWARF numbers (psABI figure 3.36).
const RSP: Register = Register(7);
const PROGRAM_COUNTER: Register = Register(16);
const FLAGS: Register = Register(49);

/// Most parts of one function.
const MAX_PARTS: usize = 16;

/// What a function's code is read from.
pub(super) struct Source<'s> {
    pub(super) bytes: &'s dyn ReadAt,
    pub(super) elf: &'s Elf,
    pub(super) symbols: Option<&'s Symbols>,
    pub(super) frames: Option<&'s Frames>,
    /// Whether the module can unwind through its functions.
    pub(super) unwinds: bool,
}

/// What is wanted of a function of Go, or of another.
#[derive(Clone, Copy)]
pub(super) struct Asked<'f> {
    /// Whether it is known to be a function of Go by its register convention.
    pub(super) goroutine: bool,
    /// What the file tells of uretprobes, or why there should be none.
    pub(super) file: &'f Result<closed::File, String>,
}

/// A jump: where it stands, where it leads, under which condition.
struct Branch {
    from: u64,
    to: u64,
    when: Option<Mnemonic>,
}

/// The instructions of a function as far as they matter here.
#[derive(Default)]
struct Code {
    parts: Vec<(u64, u64)>,
    starts: BTreeSet<u64>,
    branches: Vec<Branch>,
    returns: Vec<u64>,
    /// Jumps through a register or memory, and whether the instruction before moved the stack pointer up.
    indirect: Vec<(Instruction, bool)>,
}

impl Source<'_> {
    /// Where the calls end that pass a site, which is no inlined instance.
    pub(super) fn exits(&self, site: &Site, asked: Asked<'_>) -> Result<Exits, NoExits> {
        let goroutine = asked.goroutine;
        if !goroutine && is_go(self.elf, self.symbols, site.entry) {
            return Err(NoExits::Go);
        }
        let frame = self.frame(site)?;
        let mut code = Code::default();
        for part in self.parts(site)? {
            self.decode(&mut code, part)?;
        }
        let mut places: Vec<Exit> = Vec::new();
        let mut at = 0;
        while let Some(branch) = code.branches.get(at) {
            at += 1;
            let (from, to, when) = (branch.from, branch.to, branch.when);
            if code.holds(to) {
                continue;
            }
            match self.continues(site, to)? {
                Some(part) => self.decode(&mut code, part)?,
                None => {
                    let when = when.map(condition).transpose()?;
                    places.push(self.exit(from, true, when)?);
                }
            }
        }
        if let Some(astray) = code.branches.iter().find(|one| code.holds(one.to) && !code.starts.contains(&one.to)) {
            return Err(NoExits::Code(format!("the jump at {:#x} leads between its instructions", astray.from)));
        }
        for address in &code.returns {
            places.push(self.exit(*address, false, None)?);
        }
        for (jump, popped) in &code.indirect {
            // What makes a frame and has not given it back jumps within: through a table, with `notrack` where CET asks
            // for it.
            let keeps_frame = self.cfa(jump.ip()).is_some_and(|cfa| !is_plain(&cfa)) && !popped;
            if keeps_frame || jump.segment_prefix() == Name::DS {
                continue;
            }
            let leaves = outside(target(jump)?, jump.ip(), &code.parts);
            places.push(self.exit(jump.ip(), true, Some(leaves))?);
        }
        if places.is_empty() {
            return Err(NoExits::NeverReturns);
        }
        places.sort_by_key(|exit| exit.address);
        places.dedup_by_key(|exit| exit.address);
        let proved = |file| closed::prove(self, file, site, &code.parts);
        let uretprobe = match asked.file {
            Err(why) => Err(why.clone()),
            Ok(_) if goroutine => Err("goroutines' stacks move".to_owned()),
            Ok(_) if places.iter().any(|exit| exit.address == site.address) => Err("it is but its return".to_owned()),
            Ok(file) => proved(file),
        };
        Ok(Exits { frame, places, unwinds: self.unwinds || goroutine, goroutine, uretprobe })
    }

    fn exit(&self, address: u64, tail: bool, when: Option<Compute>) -> Result<Exit, NoExits> {
        let nowhere = || NoExits::Code(format!("{address:#x} lies in no segment of code"));
        let file_offset = self.elf.file_offset(address).ok_or_else(nowhere)?;
        Ok(Exit { address, file_offset, tail, when })
    }

    fn cfa(&self, address: u64) -> Option<Cfa> {
        self.frames?.cfa(address)
    }

    /// The CFA at the site.
    pub(super) fn frame(&self, site: &Site) -> Result<Compute, NoExits> {
        if site.address.saturating_sub(site.passed) == site.entry && !matches!(site.kind, SiteKind::Inlined { .. }) {
            // Nothing but the return address has been pushed; what was passed over leaves the stack pointer alone.
            return Ok(plus(Compute::Register(RSP), 8));
        }
        match self.cfa(site.address) {
            Some(Cfa::Offset(register @ 0..=15, offset)) => Ok(plus(Compute::Register(Register(register)), offset)),
            Some(Cfa::Offset(..)) => Err(NoExits::Frame("it is not counted from a general register".to_owned())),
            Some(Cfa::Expression(bytes)) => realigned(&bytes)
                .ok_or_else(|| NoExits::Frame("it is told by an expression that ctp does not read".to_owned())),
            None => Err(NoExits::Frame("no call frame information covers it".to_owned())),
        }
    }

    /// The parts of the function that are known beforehand.
    fn parts(&self, site: &Site) -> Result<Vec<(u64, u64)>, NoExits> {
        if !site.ranges.is_empty() {
            return Ok(site.ranges.clone());
        }
        let symbols = || self.symbols.into_iter().flat_map(Symbols::functions);
        let sized = || {
            let symbol = symbols().find(|symbol| symbol.address == site.entry && symbol.size > 0)?;
            Some((site.entry, site.entry.checked_add(symbol.size)?))
        };
        let described = self.frames.and_then(|frames| frames.part(site.entry)).filter(|(low, _)| *low == site.entry);
        let main = described
            .or_else(sized)
            .ok_or_else(|| NoExits::Code("neither a symbol nor frame information says where it ends".to_owned()))?;
        let mut parts = vec![main];
        if site.kind == SiteKind::Symbol {
            let names: Vec<&str> =
                symbols().filter(|symbol| symbol.address == site.entry).map(|symbol| symbol.name).collect();
            let cold = |name: &str| names.iter().any(|own| name.strip_prefix(own).is_some_and(|rest| rest == ".cold"));
            let colds: Vec<_> = symbols().filter(|symbol| cold(symbol.name)).collect();
            // Two static functions of one name have two parts of one name: which is whose, jumps tell.
            if let [one] = colds.as_slice()
                && let Some(part) = self.part(one.address)
            {
                parts.push(part);
            }
        }
        Ok(parts)
    }

    fn part(&self, address: u64) -> Option<(u64, u64)> {
        let described = self.frames.and_then(|frames| frames.part(address));
        described.or_else(|| {
            let mut symbols = self.symbols?.functions();
            let symbol = symbols.find(|symbol| symbol.address == address && symbol.size > 0)?;
            Some((address, address.checked_add(symbol.size)?))
        })
    }

    /// Where a jump leads that is in none of the function's parts: to another part (its bounds), or out (`None`).
    fn continues(&self, site: &Site, to: u64) -> Result<Option<(u64, u64)>, NoExits> {
        let stubs = self.elf.sections.iter().filter(|section| section.name.starts_with(".plt"));
        if stubs.clone().any(|section| (section.address..section.address.saturating_add(section.size)).contains(&to)) {
            return Ok(None);
        }
        let named = |at: u64| {
            let symbols = self.symbols.into_iter().flat_map(Symbols::functions);
            symbols.filter(move |symbol| symbol.address == at).map(|symbol| symbol.name)
        };
        let cold = |name: &str| is_fragment(name) && name.contains(".cold");
        let own =
            named(to).any(|name| cold(name) && named(site.entry).any(|entry| clone_base(entry) == clone_base(name)));
        let described = self.frames.and_then(|frames| frames.part(to));
        if own {
            return Ok(self.part(to));
        }
        let Some((low, high)) = described else { return Ok(None) };
        if self.cfa(low).is_some_and(|cfa| !is_plain(&cfa)) {
            // It begins with a frame already made: a part split off, whatever its name.
            return Ok(Some((low, high)));
        }
        if low != to {
            return Err(NoExits::Code(format!("it jumps into the middle of another function, to {to:#x}")));
        }
        Ok(None)
    }

    fn decode(&self, code: &mut Code, (low, high): (u64, u64)) -> Result<(), NoExits> {
        if code.parts.len() >= MAX_PARTS {
            return Err(NoExits::Code(format!("it has more than {MAX_PARTS} parts")));
        }
        let size = high.saturating_sub(low);
        if size > limits::MAX_CODE_BYTES {
            return Err(NoExits::Code(format!("it has more than {} bytes of code", limits::MAX_CODE_BYTES)));
        }
        let unreadable = || NoExits::Code(format!("its code from {low:#x} on cannot be read"));
        let offset = self.elf.file_offset(low).ok_or_else(unreadable)?;
        let text = read_range(self.bytes, offset, size).and_then(Result::ok).ok_or_else(unreadable)?;
        code.parts.push((low, high));
        let mut decoder = Decoder::with_ip(64, &text, low, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let mut popped = false;
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            let at = instruction.ip();
            code.starts.insert(at);
            let near = instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64;
            let mnemonic = instruction.mnemonic();
            match mnemonic {
                Mnemonic::INVALID => {
                    return Err(NoExits::Code(format!("what stands at {at:#x} is no instruction")));
                }
                Mnemonic::Ret | Mnemonic::Retf | Mnemonic::Iretq => code.returns.push(at),
                Mnemonic::Jmp if near => {
                    code.branches.push(Branch { from: at, to: instruction.near_branch_target(), when: None });
                }
                Mnemonic::Jmp => code.indirect.push((instruction, popped)),
                Mnemonic::Call => {}
                other if near => {
                    let to = instruction.near_branch_target();
                    code.branches.push(Branch { from: at, to, when: Some(other) });
                }
                _ => {}
            }
            popped = matches!(mnemonic, Mnemonic::Pop | Mnemonic::Leave)
                || matches!(mnemonic, Mnemonic::Add | Mnemonic::Lea) && instruction.op0_register() == Name::RSP;
        }
        Ok(())
    }
}

impl Code {
    fn holds(&self, address: u64) -> bool {
        self.parts.iter().any(|(low, high)| (*low..*high).contains(&address))
    }
}

/// Whether nothing lies between the stack pointer and the return address.
fn is_plain(cfa: &Cfa) -> bool {
    matches!(cfa, Cfa::Offset(7, 8))
}

fn plus(base: Compute, bytes: i64) -> Compute {
    Compute::Binary(BinaryOp::Add, Box::new(base), Box::new(Compute::Const(bytes)))
}

/// `DW_OP_breg… n, DW_OP_deref`: how compilers tell the CFA of a function that aligns its stack.
fn realigned(expression: &[u8]) -> Option<Compute> {
    let encoding = gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };
    let mut operations =
        gimli::Expression(gimli::EndianSlice::new(expression, gimli::LittleEndian)).operations(encoding);
    let Ok(Some(Operation::RegisterOffset { register: gimli::Register(register @ 0..=15), offset, .. })) =
        operations.next()
    else {
        return None;
    };
    let base = plus(Compute::Register(Register(register)), offset);
    match (operations.next(), operations.next()) {
        (Ok(Some(Operation::Deref { size: 8, space: false, .. })), Ok(None)) => {
            Some(Compute::Deref { address: Box::new(base), size: 8 })
        }
        _ => None,
    }
}

/// Where a jump through a register or memory leads.
fn target(jump: &Instruction) -> Result<Compute, NoExits> {
    let refused = || NoExits::Code(format!("where the jump at {:#x} leads cannot be computed", jump.ip()));
    let general = |name| number(name).map(|number| Compute::Register(Register(number))).ok_or_else(refused);
    match jump.op0_kind() {
        OpKind::Register => general(jump.op0_register()),
        OpKind::Memory if matches!(jump.memory_segment(), Name::DS | Name::SS | Name::CS | Name::ES) => {
            let displacement = jump.memory_displacement64().cast_signed();
            let mut address = if jump.is_ip_rel_memory_operand() {
                // The run-time address is as far from the jump as the link-time one.
                plus(Compute::Register(PROGRAM_COUNTER), displacement.wrapping_sub(jump.ip().cast_signed()))
            } else if jump.memory_base() == Name::None {
                Compute::Const(displacement)
            } else {
                plus(general(jump.memory_base())?, displacement)
            };
            if jump.memory_index() != Name::None {
                let scale = Compute::Const(i64::from(jump.memory_index_scale()));
                let index = Compute::Binary(BinaryOp::Mul, Box::new(general(jump.memory_index())?), Box::new(scale));
                address = Compute::Binary(BinaryOp::Add, Box::new(address), Box::new(index));
            }
            Ok(Compute::Deref { address: Box::new(address), size: 8 })
        }
        _ => Err(refused()),
    }
}

/// Whether `target` lies in none of the parts, seen from the instruction at `at`.
fn outside(target: Compute, at: u64, parts: &[(u64, u64)]) -> Compute {
    let counter = Box::new(Compute::Register(PROGRAM_COUNTER));
    let distance = Compute::Binary(BinaryOp::Sub, Box::new(target), counter);
    let side = |op, bound: u64| {
        let bound = Compute::Const(bound.wrapping_sub(at).cast_signed());
        Compute::Binary(op, Box::new(distance.clone()), Box::new(bound))
    };
    parts
        .iter()
        .map(|(low, high)| either(side(BinaryOp::Lt, *low), side(BinaryOp::Ge, *high)))
        .reduce(|all, one| Compute::Binary(BinaryOp::And, Box::new(all), Box::new(one)))
        .unwrap_or(Compute::Const(1))
}

fn either(left: Compute, right: Compute) -> Compute {
    Compute::Binary(BinaryOp::Or, Box::new(left), Box::new(right))
}

/// Whether a jump under this condition is taken, by the flags (Intel's manual, volume 2, Jcc).
fn condition(mnemonic: Mnemonic) -> Result<Compute, NoExits> {
    let flag = |bit: i64| {
        let shifted =
            Compute::Binary(BinaryOp::ShrLogical, Box::new(Compute::Register(FLAGS)), Box::new(Compute::Const(bit)));
        Compute::Binary(BinaryOp::And, Box::new(shifted), Box::new(Compute::Const(1)))
    };
    let not = |value| Compute::Binary(BinaryOp::Xor, Box::new(value), Box::new(Compute::Const(1)));
    let (carry, parity, zero, sign, overflow) = (|| flag(0), || flag(2), || flag(6), || flag(7), || flag(11));
    let less = || Compute::Binary(BinaryOp::Xor, Box::new(sign()), Box::new(overflow()));
    Ok(match mnemonic {
        Mnemonic::Jo => overflow(),
        Mnemonic::Jno => not(overflow()),
        Mnemonic::Jb => carry(),
        Mnemonic::Jae => not(carry()),
        Mnemonic::Je => zero(),
        Mnemonic::Jne => not(zero()),
        Mnemonic::Jbe => either(carry(), zero()),
        Mnemonic::Ja => not(either(carry(), zero())),
        Mnemonic::Js => sign(),
        Mnemonic::Jns => not(sign()),
        Mnemonic::Jp => parity(),
        Mnemonic::Jnp => not(parity()),
        Mnemonic::Jl => less(),
        Mnemonic::Jge => not(less()),
        Mnemonic::Jle => either(zero(), less()),
        Mnemonic::Jg => not(either(zero(), less())),
        other => return Err(NoExits::Code(format!("it leaves by a jump that ctp does not read ({other:?})"))),
    })
}

/// A general register's DWARF number.
/// The DWARF number of a general register.
pub(super) fn number(name: Name) -> Option<u16> {
    const ALL: [Name; 16] = [
        Name::RAX,
        Name::RDX,
        Name::RCX,
        Name::RBX,
        Name::RSI,
        Name::RDI,
        Name::RBP,
        Name::RSP,
        Name::R8,
        Name::R9,
        Name::R10,
        Name::R11,
        Name::R12,
        Name::R13,
        Name::R14,
        Name::R15,
    ];
    ALL.iter().position(|known| *known == name).and_then(|at| u16::try_from(at).ok())
}
/// Whether a function is one that Go's own compiler made (a Go program may hold C too).
pub(super) fn is_go(elf: &Elf, symbols: Option<&Symbols>, entry: u64) -> bool {
    if elf.section(".gopclntab").is_none() && elf.section(".go.buildinfo").is_none() {
        return false;
    }
    let Some(symbols) = symbols else { return true };
    let at = |name: &str| symbols.functions().find(|symbol| symbol.name == name).map(|symbol| symbol.address);
    match (at("runtime.text"), at("runtime.etext")) {
        (Some(low), Some(high)) => (low..high).contains(&entry),
        _ => true,
    }
}
