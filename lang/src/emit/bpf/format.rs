//! Owns `sprintf` whose text the kernel needs (as a key, assigned, compared): the conversions of [`crate::value`] by
//! those that `bpf_snprintf` has, and what it lacks around them.

use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::text::Part;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, Piece, Show, Shown, Spec};
use crate::source::Span;

/// The widest padding: what a conversion of the kernel writes well.
const WIDEST: u16 = 64;
/// The most names of an enum: each makes the program longer.
const MOST_NAMES: usize = 256;

/// When one way of writing a number applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// The number is this one.
    Is(i64),
    /// It is below 0.
    Negative,
    /// It is any other.
    Else,
}

/// A way of writing a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// These bytes stand for it.
    Bytes(Vec<u8>),
    /// One conversion of `bpf_snprintf`.
    Number(String),
    /// The same, of the number without its sign.
    Magnitude(String),
}

impl Gen<'_> {
    /// Puts the text together.
    pub(super) fn format(&mut self, pieces: &[Piece], dst: Slot, span: Span) -> Result<(), Refused> {
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(bytes) => Part::Bytes(bytes),
                Piece::Value(shown) if shown.fault_is_shown && shown.value.can_fault() => {
                    Part::OrFault { part: Box::new(self.conversion(shown)?), spec: shown.spec }
                }
                Piece::Value(shown) => self.conversion(shown)?,
                Piece::Unavailable { .. } | Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table { .. } => {
                    return Err(not_kept(span, "a value that is shown whole"));
                }
            });
        }
        self.concat(&parts, dst)
    }

    /// How a value is written.
    fn conversion<'a>(&self, shown: &'a Shown) -> Result<Part<'a>, Refused> {
        let (spec, value, span) = (shown.spec, &shown.value, shown.value.span);
        if spec.width.is_some_and(|width| width > WIDEST || u32::from(width) > self.env.text.strlen) {
            return Err(not_kept(span, &format!("a width above {WIDEST}, or above --strlen")));
        }
        let ways = |ways: Vec<(When, Way)>| Part::Chosen { value, ways };
        if spec.precision.is_some_and(|precision| precision > WIDEST) && shown.show != Show::Text {
            return Err(not_kept(span, &format!("a precision above {WIDEST}")));
        }
        Ok(match shown.show {
            Show::Signed => self.signed(value, spec, Vec::new()),
            Show::Unsigned => unsigned(value, spec, "llu", None),
            Show::Hex { upper: false } => unsigned(value, spec, "llx", spec.alternate.then_some("0x")),
            Show::Hex { upper: true } => unsigned(value, spec, "llX", spec.alternate.then_some("0X")),
            // Of 0 it writes the prefix too.
            Show::Pointer if spec.precision.is_none() => {
                fitted(ways(vec![(When::Else, Way::Number(prefixed("0x", "llx", spec)))]), spec, None)
            }
            Show::Pointer => return Err(not_kept(span, "an address with a precision")),
            Show::Char => fitted(Part::Char(value), spec, None),
            Show::Text => fitted(Part::Text(value), spec, spec.precision),
            Show::Bool => {
                let named = [(0, "false"), (1, "true")].map(|(number, name)| (number, name.as_bytes().to_vec()));
                self.signed(value, spec, named.to_vec())
            }
            Show::Enum(index) => {
                let known = self.env.program.enums.get(index.0 as usize);
                let mut names: Vec<(i64, Vec<u8>)> = Vec::new();
                for (number, name) in known.into_iter().flat_map(|known| &known.names) {
                    if !names.iter().any(|(known, _)| known == number) {
                        names.push((*number, name.clone().into()));
                    }
                }
                if names.len() > MOST_NAMES {
                    return Err(not_kept(span, &format!("an enum of more than {MOST_NAMES} names")));
                }
                self.signed(value, spec, names)
            }
            Show::Octal => return Err(not_kept(span, "octal digits")),
            Show::Float { .. } => return Err(not_kept(span, "a floating-point number")),
            Show::Unicode => return Err(not_kept(span, "a character of more than a byte")),
        })
    }

    /// A signed number, of which some have names. Names are filled with blanks only, as any text is.
    fn signed<'a>(&self, value: &'a Expr, spec: Spec, names: Vec<(i64, Vec<u8>)>) -> Part<'a> {
        let sign = if spec.plus {
            "+"
        } else if spec.space {
            " "
        } else {
            ""
        };
        let mut ways: Vec<(When, Way)> =
            names.into_iter().map(|(number, name)| (When::Is(number), Way::Bytes(name))).collect();
        let named = !ways.is_empty();
        match spec.precision {
            None => {
                // With a sign of its own the kernel's conversion does all; names want their blanks outside.
                let flags = format!("{}{}{}", flag(spec.left, "-"), flag(spec.zero && !spec.left, "0"), sign);
                let width = spec.width.filter(|_| !named || spec.zero && !spec.left);
                ways.push((When::Else, Way::Number(format!("%{flags}{}lld", digits(width)))));
            }
            Some(precision) => {
                if precision == 0 {
                    ways.push((When::Is(0), Way::Bytes(sign.as_bytes().to_vec())));
                }
                ways.push((When::Negative, Way::Magnitude(format!("-{}", least(precision, "llu")))));
                ways.push((When::Else, Way::Number(format!("{sign}{}", least(precision, "llu")))));
            }
        }
        let whole = Part::Chosen { value, ways };
        if named || spec.precision.is_some() { fitted(whole, spec, None) } else { whole }
    }

    /// Writes a number the way that applies to it.
    pub(super) fn chosen(&mut self, value: &Expr, ways: &[(When, Way)], dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let number = self.temporary()?;
        self.int(value)?;
        self.store(number, R0);
        let labels: Vec<_> = ways.iter().map(|_| self.asm.label()).collect();
        for ((when, _), label) in ways.iter().zip(&labels) {
            match when {
                When::Is(wanted) => match i32::try_from(*wanted) {
                    Ok(wanted) => self.asm.jump_if_imm(Jump::Eq, R0, wanted, *label),
                    Err(_) => {
                        self.asm.imm(R1, *wanted);
                        self.asm.jump_if(Jump::Eq, R0, R1, *label);
                    }
                },
                When::Negative => self.asm.jump_if_imm(Jump::SLt, R0, 0, *label),
                When::Else => self.asm.jump(*label),
            }
        }
        let end = self.asm.label();
        for ((_, way), label) in ways.iter().zip(labels) {
            self.asm.place(label);
            match way {
                Way::Bytes(bytes) => self.constant_text(bytes, dst),
                Way::Number(format) => self.snprintf(format, number, dst),
                Way::Magnitude(format) => {
                    self.load(R0, number);
                    self.asm.alu_imm(Alu::Neg, R0, 0);
                    self.store(number, R0);
                    self.snprintf(format, number, dst);
                }
            }
            self.asm.jump(end);
        }
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// The lowest byte of a number as a text.
    pub(super) fn char(&mut self, value: &Expr, dst: Slot) -> Result<(), Refused> {
        self.zero_text(dst);
        self.int(value)?;
        let text = dst.plus(8);
        self.asm.store(Width::B, text.base, text.off, R0);
        self.asm.store_imm(Width::W, dst.base, dst.off, 1);
        Ok(())
    }

    /// Cuts a text to so many bytes, and fills it with blanks.
    pub(super) fn fit(&mut self, part: &Part<'_>, most: Option<u16>, spec: Spec, dst: Slot) -> Result<(), Refused> {
        self.part(part, dst)?;
        let (strlen, text) = (self.env.text.strlen, self.env.text.text());
        if let Some(most) = most.filter(|most| u32::from(*most) < strlen) {
            let fits = self.asm.label();
            self.asm.load(Width::W, R1, dst.base, dst.off);
            self.asm.jump_if_imm(Jump::Le, R1, i32::from(most), fits);
            self.asm.store_imm(Width::W, dst.base, dst.off, i32::from(most));
            self.asm.store_imm(Width::W, dst.base, dst.off.saturating_add(4), 0);
            let behind = text.saturating_sub(u32::from(most));
            let zeros = self.rodata.constant(&vec![0; behind as usize]);
            self.asm.map_value(R3, self.env.constants, zeros);
            self.copy_from_r3(dst.plus(8).plus(i16::try_from(most).unwrap_or(i16::MAX)), behind);
            self.asm.place(fits);
        }
        let Some(width) = spec.width else { return Ok(()) };
        let mark = self.frame;
        // Room for the blanks and a whole text behind them.
        let room = text + u32::from(WIDEST);
        let filled = self.frame.take_scratch(8 + room).map_err(|e| self.too_large(e))?;
        self.zero(filled, (8 + room).next_multiple_of(8));
        let end = self.asm.label();
        let mut blanks = vec![b' '; usize::from(width)];
        blanks.resize(usize::from(WIDEST), 0);
        let blanks = self.rodata.constant(&blanks);
        self.asm.load(Width::W, R2, dst.base, dst.off);
        self.asm.jump_if_imm(Jump::Ge, R2, i32::from(width), end);
        if spec.left {
            // The blanks first, the text over them: but not its zeros.
            self.asm.map_value(R3, self.env.constants, blanks);
            self.copy_from_r3(filled.plus(8), u32::from(width));
            self.asm.load(Width::W, R2, dst.base, dst.off);
            self.asm.alu_imm(Alu::And, R2, i32::from(WIDEST) * 2 - 1);
            self.address(R1, filled.plus(8));
        } else {
            let (count, text_at) = (self.temporary()?, filled.plus(8));
            self.asm.imm(R1, i64::from(width));
            self.asm.alu(Alu::Sub, R1, R2);
            self.store(count, R1);
            self.asm.mov(R2, R1);
            self.asm.alu_imm(Alu::And, R2, i32::from(WIDEST) * 2 - 1);
            self.asm.jump_if_imm(Jump::Gt, R2, i32::from(WIDEST), self.lost);
            self.address(R1, text_at);
            self.asm.map_value(R3, self.env.constants, blanks);
            self.asm.call(Helper::ProbeReadKernel);
            self.load(R1, count);
            self.asm.alu_imm(Alu::And, R1, i32::from(WIDEST) * 2 - 1);
            self.asm.jump_if_imm(Jump::Gt, R1, i32::from(WIDEST), self.lost);
            self.asm.alu(Alu::Add, R1, text_at.base);
            self.asm.alu_imm(Alu::Add, R1, i32::from(text_at.off));
            self.asm.load(Width::W, R2, dst.base, dst.off);
            self.asm.alu_imm(Alu::And, R2, i32::from(WIDEST) * 2 - 1);
        }
        self.asm.jump_if_imm(Jump::Gt, R2, i32::from(WIDEST), self.lost);
        self.address(R3, dst.plus(8));
        self.asm.call(Helper::ProbeReadKernel);
        self.asm.store_imm(Width::W, filled.base, filled.off, i32::from(width));
        self.copy_slot(dst, filled);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }
}

/// An unsigned number, with a prefix where it is not 0.
fn unsigned<'a>(value: &'a Expr, spec: Spec, conversion: &str, prefix: Option<&str>) -> Part<'a> {
    let plain = Spec { plus: false, space: false, ..spec };
    let mut ways = Vec::new();
    match (spec.precision, prefix) {
        (None, None) => {
            let flags = format!("{}{}", flag(spec.left, "-"), flag(spec.zero && !spec.left, "0"));
            ways.push((When::Else, Way::Number(format!("%{flags}{}{conversion}", digits(spec.width)))));
            return Part::Chosen { value, ways };
        }
        (None, Some(prefix)) => {
            ways.push((When::Is(0), Way::Number(prefixed("", conversion, plain))));
            ways.push((When::Else, Way::Number(prefixed(prefix, conversion, plain))));
        }
        (Some(precision), prefix) => {
            if precision == 0 {
                ways.push((When::Is(0), Way::Bytes(Vec::new())));
            }
            if prefix.is_some() {
                ways.push((When::Is(0), Way::Number(least(precision, conversion))));
            }
            ways.push((When::Else, Way::Number(format!("{}{}", prefix.unwrap_or(""), least(precision, conversion)))));
        }
    }
    fitted(Part::Chosen { value, ways }, spec, None)
}

/// A prefix and digits behind it, filled with zeros where those are asked for.
fn prefixed(prefix: &str, conversion: &str, spec: Spec) -> String {
    let width = u16::try_from(prefix.len()).ok().and_then(|taken| spec.width?.checked_sub(taken));
    match width {
        Some(width) if spec.zero && !spec.left && width > 0 => format!("{prefix}%0{width}{conversion}"),
        Some(_) | None => format!("{prefix}%{conversion}"),
    }
}

/// At least so many digits.
fn least(precision: u16, conversion: &str) -> String {
    if precision == 0 { format!("%{conversion}") } else { format!("%0{precision}{conversion}") }
}

fn flag(set: bool, flag: &'static str) -> &'static str {
    if set { flag } else { "" }
}

fn digits(width: Option<u16>) -> String {
    width.map(|width| width.to_string()).unwrap_or_default()
}

fn fitted(part: Part<'_>, spec: Spec, most: Option<u16>) -> Part<'_> {
    match (spec.width, most) {
        (None, None) => part,
        (Some(_), _) | (None, Some(_)) => Part::Fitted { part: Box::new(part), most, spec },
    }
}

fn not_kept(span: Span, what: &str) -> Refused {
    let message = format!("the embedded engine cannot keep a text with {what}");
    Box::new(
        Diagnostic::new(Code::E0302, span, message)
            .note("texts that are keys, assigned or compared are made in the kernel, which cannot write that")
            .help("a text that is only printed may have every conversion"),
    )
}
