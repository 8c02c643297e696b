//! Evaluates location expressions as llvm-dwarfdump prints them, and what ctp made of the same, in one machine whose
//! registers and memory hold made-up numbers: two that describe one place give one result there.

use ctp_lang::debuginfo::facts::{BinaryOp, Compute, Location, UnaryOp, Unavailable};

/// The DWARF numbers of the general registers (psABI figure 3.36).
const NAMES: [&str; 16] =
    ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// The DWARF number of a register.
pub(crate) fn register(name: &str) -> Option<u16> {
    NAMES.iter().position(|own| *own == name).and_then(|at| u16::try_from(at).ok())
}

/// What a register holds.
fn held(register: u16) -> u64 {
    mixed(u64::from(register) + 1)
}

/// What memory holds.
fn stored(address: u64, size: u8) -> u64 {
    let whole = mixed(address);
    if size >= 8 { whole } else { whole & ((1 << (u32::from(size) * 8)) - 1) }
}

/// splitmix64.
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where a value, or a piece of one, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Memory(u64),
    Register(u16),
    Vector,
    Value(u64),
    Bytes(Vec<u8>),
    /// A piece that is nowhere.
    Nowhere,
    /// Bits of the place before it that belong to the value.
    Piece(u64),
}

/// What is known where an expression is evaluated.
pub(crate) struct Machine<'m> {
    pub(crate) cfa: Option<(u16, i64)>,
    pub(crate) frame_base: &'m str,
    pub(crate) at_entry: bool,
}

fn number(text: &str) -> Result<u64, String> {
    let text = text.trim().trim_start_matches('+');
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse::<i64>().map(i64::cast_unsigned).or_else(|_| text.parse()).ok(),
    };
    parsed.ok_or_else(|| format!("number {text}"))
}

impl Machine<'_> {
    fn cfa(&self) -> Result<u64, String> {
        let (register, offset) = self.cfa.ok_or("no CFA")?;
        Ok(held(register).wrapping_add_signed(offset))
    }

    fn base(&self) -> Result<u64, String> {
        match self.evaluate(self.frame_base)?.as_slice() {
            [Place::Memory(at) | Place::Value(at)] => Ok(*at),
            [Place::Register(register)] => Ok(held(*register)),
            other => Err(format!("frame base {other:?}")),
        }
    }

    /// Evaluates the text of an expression; an error for what this test does not read.
    pub(crate) fn evaluate(&self, text: &str) -> Result<Vec<Place>, String> {
        let mut stack: Vec<u64> = Vec::new();
        let mut done: Option<Place> = None;
        let mut places = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            // An operation ends at a comma outside of parentheses.
            let mut depth = 0;
            let end = rest.char_indices().find(|(_, c)| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                *c == ',' && depth == 0
            });
            let (operation, after) = match end {
                Some((at, _)) => (&rest[..at], rest[at + 1..].trim_start()),
                None => (rest, ""),
            };
            rest = after;
            let operation = operation.trim();
            let Some(name) = operation.strip_prefix("DW_OP_") else { return Err(operation.to_owned()) };
            let (name, argument) = name.split_once(' ').unwrap_or((name, ""));
            let mut pop = || stack.pop().ok_or("stack");
            let result = if let Some(inner) = operation.strip_prefix("DW_OP_entry_value(") {
                let inner = inner.strip_suffix(')').unwrap_or(inner);
                match (self.at_entry, self.evaluate(inner)?.as_slice()) {
                    (true, [Place::Register(register)]) => held(*register),
                    (true, _) => return Err("entry value of an expression".to_owned()),
                    (false, _) => return Err("entry value".to_owned()),
                }
            } else if let Some(digits) = name.strip_prefix("reg").filter(|rest| rest.parse::<u16>().is_ok()) {
                let register: u16 = digits.parse().map_err(|_| "register")?;
                done = Some(if register < 16 { Place::Register(register) } else { Place::Vector });
                continue;
            } else if let Some(digits) = name.strip_prefix("breg") {
                let register: u16 = digits.parse().map_err(|_| "register")?;
                let offset = argument.trim_start_matches(|c: char| c.is_ascii_alphanumeric() && !c.is_ascii_digit());
                let at = argument.rfind(['+', '-']).map_or(offset, |at| &argument[at..]);
                held(register).wrapping_add(number(at)?)
            } else if let Some(digits) = name.strip_prefix("lit") {
                number(digits)?
            } else if name.starts_with("const") && !name.starts_with("const_type") {
                number(argument)?
            } else {
                match name {
                    "fbreg" => self.base()?.wrapping_add(number(argument)?),
                    "call_frame_cfa" => self.cfa()?,
                    "addr" => mixed(number(argument)?),
                    "plus_uconst" => pop()?.wrapping_add(number(argument)?),
                    "neg" => pop()?.wrapping_neg(),
                    "not" => !pop()?,
                    "deref" => stored(pop()?, 8),
                    "deref_size" => {
                        let size = u8::try_from(number(argument)?).map_err(|_| "size")?;
                        stored(pop()?, size)
                    }
                    "plus" => pop()?.wrapping_add(pop()?),
                    "mul" => pop()?.wrapping_mul(pop()?),
                    "and" => pop()? & pop()?,
                    "or" => pop()? | pop()?,
                    "xor" => pop()? ^ pop()?,
                    "minus" => {
                        let right = pop()?;
                        pop()?.wrapping_sub(right)
                    }
                    "shl" | "shr" | "shra" => {
                        let count = pop()?;
                        let left = pop()?;
                        match name {
                            "shl" if count < 64 => left << count,
                            "shr" if count < 64 => left >> count,
                            "shra" => (left.cast_signed() >> count.min(63)).cast_unsigned(),
                            _ => 0,
                        }
                    }
                    "dup" => {
                        let top = pop()?;
                        stack.push(top);
                        top
                    }
                    "stack_value" => {
                        done = Some(Place::Value(pop()?));
                        continue;
                    }
                    "implicit_value" => {
                        let bytes = argument.split_once(' ').map_or("", |(_, bytes)| bytes);
                        let bytes = bytes.split_whitespace().map(number).collect::<Result<Vec<_>, _>>()?;
                        done = Some(Place::Bytes(bytes.iter().map(|byte| *byte as u8).collect()));
                        continue;
                    }
                    "piece" => {
                        let place = done.take().or_else(|| stack.pop().map(Place::Memory)).unwrap_or(Place::Nowhere);
                        places.extend([place, Place::Piece(number(argument)? * 8)]);
                        continue;
                    }
                    other => return Err(other.to_owned()),
                }
            };
            stack.push(result);
        }
        if places.is_empty() {
            places.push(done.or_else(|| stack.pop().map(Place::Memory)).ok_or("nothing")?);
        }
        Ok(places)
    }
}

/// The same for what ctp made of an expression; `None` where it has no place.
pub(crate) fn places(location: &Location) -> Option<Vec<Place>> {
    Some(match location {
        Location::Memory(address) => vec![Place::Memory(computed(address))],
        Location::Register(register) => vec![Place::Register(register.0)],
        Location::Value(value) => vec![Place::Value(computed(value))],
        Location::Bytes(bytes) => vec![Place::Bytes(bytes.clone())],
        Location::Pieces(pieces) => {
            let mut all = Vec::new();
            for piece in pieces {
                let place = places(&piece.location).and_then(|mut one| one.pop()).unwrap_or(Place::Nowhere);
                all.extend([place, Place::Piece(piece.bits)]);
            }
            all
        }
        // Which one, ctp does not say: it reads none of them.
        Location::Unavailable(Unavailable::VectorRegister) => vec![Place::Vector],
        Location::ImplicitPointer { .. } | Location::Unavailable(_) => return None,
    })
}

fn computed(compute: &Compute) -> u64 {
    match compute {
        Compute::Const(value) => value.cast_unsigned(),
        Compute::Register(register) | Compute::Returned(register) => held(register.0),
        Compute::ModuleAddress(address) => mixed(*address),
        Compute::ThreadPointer => mixed(u64::MAX),
        Compute::Deref { address, size } => stored(computed(address), *size),
        Compute::Unary(op, operand) => {
            let value = computed(operand);
            match op {
                UnaryOp::Neg => value.wrapping_neg(),
                UnaryOp::Not => !value,
                UnaryOp::Abs => value.cast_signed().unsigned_abs(),
                UnaryOp::ZeroExtend(bits) => (u128::from(value) & ((1 << bits) - 1)) as u64,
                UnaryOp::SignExtend(bits) => {
                    let up = 64 - u32::from(*bits);
                    ((value << up).cast_signed() >> up).cast_unsigned()
                }
            }
        }
        Compute::Binary(op, left, right) => {
            let (left, right) = (computed(left), computed(right));
            let (s_left, s_right) = (left.cast_signed(), right.cast_signed());
            match op {
                BinaryOp::Add => left.wrapping_add(right),
                BinaryOp::Sub => left.wrapping_sub(right),
                BinaryOp::Mul => left.wrapping_mul(right),
                BinaryOp::DivSigned => s_left.wrapping_div(s_right.max(1)).cast_unsigned(),
                BinaryOp::ModUnsigned => left % right.max(1),
                BinaryOp::And => left & right,
                BinaryOp::Or => left | right,
                BinaryOp::Xor => left ^ right,
                BinaryOp::Shl => {
                    if right < 64 {
                        left << right
                    } else {
                        0
                    }
                }
                BinaryOp::ShrLogical => {
                    if right < 64 {
                        left >> right
                    } else {
                        0
                    }
                }
                BinaryOp::ShrArithmetic => (s_left >> right.min(63)).cast_unsigned(),
                BinaryOp::Eq => u64::from(left == right),
                BinaryOp::Ne => u64::from(left != right),
                BinaryOp::Lt => u64::from(s_left < s_right),
                BinaryOp::Le => u64::from(s_left <= s_right),
                BinaryOp::Gt => u64::from(s_left > s_right),
                BinaryOp::Ge => u64::from(s_left >= s_right),
            }
        }
    }
}
