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
use crate::value::TRUNCATED;

/// The most names of an enum that are compared one by one.
const MOST_ONE_BY_ONE: usize = 16;
/// Octal digits, and bits, of the lower part of a number: as many as 16 hexadecimal digits take.
const LOWER_DIGITS: u16 = 16;
const LOWER_BITS: i32 = 48;

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
    /// Octal digits, at least so many, behind these bytes.
    Octal(&'static str, u16),
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
                Piece::Unavailable { text, spec } => fitted(Part::Bytes(text.as_bytes()), *spec, None),
                Piece::Whole(_) => return Err(not_kept(span, "a value shown whole")),
                // Refused at sites.
                Piece::Histogram { .. } | Piece::Table { .. } => {
                    return Err(self.contradiction(span, "a table in a text"));
                }
            });
        }
        self.concat(&parts, dst)
    }

    /// How a value is written.
    fn conversion<'a>(&self, shown: &'a Shown) -> Result<Part<'a>, Refused> {
        let (spec, value, span) = (shown.spec, &shown.value, shown.value.span);
        // Room for a sign or a prefix.
        let room = self.env.text.strlen - 2;
        if spec.precision.is_some_and(|precision| u32::from(precision) > room) && shown.show != Show::Text {
            return Err(not_kept(span, "more digits than --strlen has room for"));
        }
        Ok(match shown.show {
            Show::Signed => self.signed(value, spec, Vec::new()),
            Show::Unsigned => unsigned(value, spec, "llu", None),
            Show::Hex { upper: false } => unsigned(value, spec, "llx", spec.alternate.then_some("0x")),
            Show::Hex { upper: true } => unsigned(value, spec, "llX", spec.alternate.then_some("0X")),
            // Of 0 it writes the prefix too.
            Show::Pointer => {
                let mut ways = Vec::new();
                match spec.precision {
                    None => ways.push((When::Else, Way::Number(prefixed("0x", "llx", spec)))),
                    Some(precision) => {
                        if precision == 0 {
                            ways.push((When::Is(0), Way::Bytes(b"0x".to_vec())));
                        }
                        ways.push((When::Else, Way::Number(format!("0x{}", least(precision, "llx")))));
                    }
                }
                fitted(Part::Chosen { value, ways }, spec, None)
            }
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
                names.sort_by_key(|(number, _)| *number);
                self.signed(value, spec, names)
            }
            Show::Octal => octal(value, spec),
            Show::Unicode => fitted(Part::Unicode(value), spec, None),
            Show::Float { .. } => return Err(not_kept(span, "a floating-point number")),
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
        let named = !names.is_empty();
        let (listed, few) = if names.len() > MOST_ONE_BY_ONE { (names, Vec::new()) } else { (Vec::new(), names) };
        let mut ways: Vec<(When, Way)> =
            few.into_iter().map(|(number, name)| (When::Is(number), Way::Bytes(name))).collect();
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
        let whole = match listed.is_empty() {
            true => Part::Chosen { value, ways },
            false => Part::Listed { value, names: listed, otherwise: ways },
        };
        if named || spec.precision.is_some() { fitted(whole, spec, None) } else { whole }
    }

    /// Writes a number the way that applies to it.
    pub(super) fn chosen(&mut self, value: &Expr, ways: &[(When, Way)], dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let number = self.temporary()?;
        self.int(value)?;
        self.store(number, R0);
        self.written(number, ways, dst)?;
        self.frame.release(mark);
        Ok(())
    }

    /// Writes a number that was computed.
    pub(super) fn written(&mut self, number: Slot, ways: &[(When, Way)], dst: Slot) -> Result<(), Refused> {
        self.load(R0, number);
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
                Way::Octal(before, least) => self.octal(number, before, *least, dst)?,
            }
            self.asm.jump(end);
        }
        self.asm.place(end);
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
        // Room for as many blanks as there may be, and a whole text behind them.
        let filled = self.frame.take_scratch(8 + 2 * text).map_err(|e| self.too_large(e))?;
        let count = self.temporary()?;
        let most_blanks = u32::from(width).min(strlen + 1);
        let blanks = self.rodata.constant(&vec![b' '; most_blanks as usize]);
        let (whole, end) = (self.asm.label(), self.asm.label());
        self.asm.load(Width::W, R2, dst.base, dst.off);
        self.asm.load(Width::W, R1, dst.base, dst.off.saturating_add(4));
        self.asm.jump_if_imm(Jump::Eq, R1, 0, whole);
        match part {
            // What says so behind a text that was cut counts.
            Part::Text(_) => self.asm.imm(R2, i64::from(self.strlen()) + TRUNCATED.len() as i64),
            // Numbers are cut where zeros fill the width.
            _ => self.asm.jump(end),
        }
        self.asm.place(whole);
        self.asm.jump_if_imm(Jump::Ge, R2, i32::from(width), end);
        self.store(count, R2);
        self.zero(filled, 8 + 2 * text);
        if spec.left {
            self.asm.store_imm(Width::D, count.base, count.off, 0);
            // The blanks first, the text over them: but not its zeros.
            self.asm.map_value(R3, self.env.constants, blanks);
            self.copy_from_r3(filled.plus(8), most_blanks);
        } else {
            let fits = self.asm.label();
            self.load(R2, count);
            self.asm.imm(R1, i64::from(width));
            self.asm.alu(Alu::Sub, R1, R2);
            self.asm.jump_if_imm(Jump::Le, R1, most_blanks.cast_signed(), fits);
            self.asm.imm(R1, i64::from(most_blanks));
            self.asm.place(fits);
            self.store(count, R1);
            self.asm.mov(R2, R1);
            self.asm.jump_if_imm(Jump::Gt, R2, most_blanks.cast_signed(), self.lost);
            self.address(R1, filled.plus(8));
            self.asm.map_value(R3, self.env.constants, blanks);
            self.asm.call(Helper::ProbeReadKernel);
        }
        self.load(R1, count);
        self.asm.jump_if_imm(Jump::Gt, R1, most_blanks.cast_signed(), self.lost);
        self.asm.alu(Alu::Add, R1, filled.base);
        self.asm.alu_imm(Alu::Add, R1, i32::from(filled.off) + 8);
        self.asm.load(Width::W, R2, dst.base, dst.off);
        self.asm.jump_if_imm(Jump::Gt, R2, self.strlen(), self.lost);
        self.address(R3, dst.plus(8));
        self.asm.call(Helper::ProbeReadKernel);
        self.asm.imm(R0, i64::from(width));
        self.asm.load(Width::W, R1, dst.base, dst.off.saturating_add(4));
        self.store(count, R1);
        self.finish_text(filled);
        // What was cut stays cut.
        self.load(R1, count);
        self.asm.load(Width::W, R0, filled.base, filled.off.saturating_add(4));
        self.asm.alu(Alu::Or, R0, R1);
        self.asm.store(Width::W, filled.base, filled.off.saturating_add(4), R0);
        self.copy_slot(dst, filled);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// Octal digits, at least so many, behind these bytes: `bpf_snprintf` has hexadecimal ones, so each three bits become
    /// four.
    fn octal(&mut self, number: Slot, before: &str, least: u16, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let digits = self.frame.take(16).map_err(|e| self.too_large(e))?;
        let (high, low) = (digits, digits.plus(8));
        for (part, from) in [(high, LOWER_BITS), (low, 0)] {
            self.asm.imm(R0, 0);
            for digit in 0..if from == 0 { i32::from(LOWER_DIGITS) } else { (64 - LOWER_BITS + 2) / 3 } {
                self.load(R1, number);
                self.asm.alu_imm(Alu::Rsh, R1, from + 3 * digit);
                self.asm.alu_imm(Alu::And, R1, 7);
                self.asm.alu_imm(Alu::Lsh, R1, 4 * digit);
                self.asm.alu(Alu::Or, R0, R1);
            }
            self.store(part, R0);
        }
        let (small, end) = (self.asm.label(), self.asm.label());
        self.load(R0, high);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, small);
        let behind = self::least(least.saturating_sub(LOWER_DIGITS), "llx");
        self.snprintf_all(&format!("{before}{behind}%0{LOWER_DIGITS}llx"), digits, 2, dst);
        self.asm.jump(end);
        self.asm.place(small);
        self.snprintf(&format!("{before}{}", self::least(least, "llx")), low, dst);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// The character of a number as a text, as [`crate::value::unicode`] has it.
    pub(super) fn unicode(&mut self, value: &Expr, dst: Slot) -> Result<(), Refused> {
        let mark = self.frame;
        let code = self.temporary()?;
        self.int(value)?;
        self.asm.low32(R0);
        self.store(code, R0);
        self.zero_text(dst);
        self.load(R0, code);
        let [none, end] = std::array::from_fn(|_| self.asm.label());
        let lengths: [_; 3] = std::array::from_fn(|_| self.asm.label());
        for (bytes, below) in [0x80, 0x800, 0xd800].into_iter().enumerate() {
            self.asm.jump_if_imm(Jump::Lt, R0, below, lengths[bytes]);
        }
        self.asm.jump_if_imm(Jump::Lt, R0, 0xe000, none);
        self.asm.jump_if_imm(Jump::Lt, R0, 0x1_0000, lengths[2]);
        self.asm.jump_if_imm(Jump::Ge, R0, 0x11_0000, none);
        self.utf8(4, dst);
        for (bytes, label) in (1i16..).zip(lengths) {
            self.asm.jump(end);
            self.asm.place(label);
            self.utf8(bytes, dst);
        }
        self.asm.jump(end);
        self.asm.place(none);
        self.snprintf("<no character 0x%llx>", code, dst);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    /// The character in r0 in so many bytes (Unicode 3.9, table 3-6).
    fn utf8(&mut self, bytes: i16, dst: Slot) {
        let text = dst.plus(8);
        self.asm.store_imm(Width::W, dst.base, dst.off, i32::from(bytes));
        for at in 0..bytes {
            self.asm.mov(R1, R0);
            self.asm.alu_imm(Alu::Rsh, R1, i32::from(6 * (bytes - 1 - at)));
            match (at, bytes) {
                (0, 1) => {}
                (0, _) => self.asm.alu_imm(Alu::Or, R1, 0xf00 >> bytes & 0xff),
                (_, _) => {
                    self.asm.alu_imm(Alu::And, R1, 0x3f);
                    self.asm.alu_imm(Alu::Or, R1, 0x80);
                }
            }
            let place = text.plus(at);
            self.asm.store(Width::B, place.base, place.off, R1);
        }
    }
}

/// Octal digits; `#` makes the first a 0.
fn octal(value: &Expr, spec: Spec) -> Part<'_> {
    let mut ways = Vec::new();
    match spec.precision {
        None => {
            let width = if spec.zero && !spec.left { spec.width.unwrap_or(0) } else { 0 };
            if spec.alternate {
                ways.push((When::Is(0), Way::Octal("", width)));
                ways.push((When::Else, Way::Octal("0", width.saturating_sub(1))));
            } else {
                ways.push((When::Else, Way::Octal("", width)));
            }
        }
        Some(precision) => {
            if precision == 0 {
                let zero = if spec.alternate { b"0".to_vec() } else { Vec::new() };
                ways.push((When::Is(0), Way::Bytes(zero)));
            }
            if spec.alternate {
                ways.push((When::Is(0), Way::Octal("", precision)));
                ways.push((When::Else, Way::Octal("0", precision.saturating_sub(1))));
            } else {
                ways.push((When::Else, Way::Octal("", precision)));
            }
        }
    }
    fitted(Part::Chosen { value, ways }, spec, None)
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
    let message = format!("the embedded engine cannot compute with a text of {what}");
    Box::new(
        Diagnostic::new(Code::E0302, span, message)
            .note("the kernel cannot write that: such a text is made when the run's record is read")
            .help(
                "print it, join it with `.`, give it to a global or use it in a map's key, all without a local between",
            ),
    )
}
