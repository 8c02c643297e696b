//! Owns DWARF location → IR: how a value at a site is computed. Knows sizes and signs, no names and no types.

use crate::debuginfo::facts::{self, Compute, Location, Piece, Unavailable};
use crate::ir::{BinaryOp, CompareOp, Context, Expr, ExprKind, Ty, UnaryOp};
use crate::source::Span;

/// The most expressions that one computed value becomes: some of DWARF's operators name an operand several times, so a
/// tree of them, which the traced file's maker chose, doubles at each.
const LARGEST: u64 = 4096;

/// The address that an expression of DWARF computes.
///
/// # Errors
/// Why it cannot be had.
pub(super) fn address(compute: &Compute, span: Span) -> Result<Expr, Unavailable> {
    if size(compute) > LARGEST {
        return Err(Unavailable::Unsupported(format!("an expression of more than {LARGEST} steps")));
    }
    Ok(Builder { span }.compute(compute))
}

/// A value of `width` (1 to 64) bits that begins `from` bits into what is at a location.
///
/// # Errors
/// Why it cannot be had there.
pub(super) fn bits(location: &Location, from: u64, width: u8, signed: bool, span: Span) -> Result<Expr, Unavailable> {
    let at = Builder { span };
    let shorter = || Unavailable::Unsupported("its debug info holds less of it than its type has".to_owned());
    let within = |value: Expr| {
        let from = u8::try_from(from).ok().filter(|from| from.checked_add(width).is_some_and(|end| end <= 64));
        let from = from.ok_or_else(shorter)?;
        let value = if from == 0 { value } else { at.shifted(value, from) };
        Ok(at.extend(value, width, signed))
    };
    match location {
        Location::Memory(compute) => Ok(in_memory(&address(compute, span)?, from, width, signed, span)),
        Location::Register(register) => within(at.int(ExprKind::Register(*register))),
        Location::Value(value) => within(address(value, span)?),
        Location::Bytes(bytes) => {
            let first = usize::try_from(from / 8).map_err(|_| shorter())?;
            let end = usize::try_from(from.saturating_add(u64::from(width)).div_ceil(8)).map_err(|_| shorter())?;
            let mut padded = [0u8; 16];
            padded.iter_mut().zip(bytes.get(first..end).ok_or_else(shorter)?).for_each(|(to, from)| *to = *from);
            let number = u128::from_le_bytes(padded) >> (from % 8);
            let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default().cast_signed();
            let spare = 64u32.saturating_sub(u32::from(width));
            let number =
                if signed { (low << spare) >> spare } else { ((low << spare).cast_unsigned() >> spare).cast_signed() };
            Ok(Expr::int(number, span))
        }
        Location::Pieces(pieces) => Ok(at.extend(at.pieces(pieces, from, width)?, width, signed)),
        Location::ImplicitPointer { .. } => {
            Err(Unavailable::Unsupported("what it points to is no longer in memory".to_owned()))
        }
        Location::Unavailable(why) => Err(why.clone()),
    }
}

/// A computed number.
pub(super) fn computed(compute: &Compute, span: Span) -> Expr {
    Builder { span }.compute(compute)
}

/// A value of `width` (1 to 64) bits of the target's memory, `from` bits behind an address. Reads no byte that holds none
/// of them.
pub(super) fn in_memory(address: &Expr, from: u64, width: u8, signed: bool, span: Span) -> Expr {
    let at = Builder { span };
    let (skip, first) = (u8::try_from(from % 8).unwrap_or_default(), from / 8);
    let mut bytes = (skip.saturating_add(width)).div_ceil(8);
    if skip == 0 && matches!(width, 8 | 16 | 32 | 64) {
        return at.load(address, first, bytes, signed);
    }
    let (mut done, mut whole): (u8, Option<Expr>) = (0, None);
    while bytes > 0 {
        let size = [8, 4, 2, 1].into_iter().find(|size| *size <= bytes).unwrap_or(1);
        let mut part = at.load(address, first.wrapping_add(u64::from(done)), size, false);
        // The ninth byte of a field that begins within a byte goes above the 64 bits that are shifted down.
        let place = i64::from(done) * 8 - i64::from(skip);
        part = match place {
            0 => part,
            1.. => at.binary(BinaryOp::Shl, part, Expr::int(place, span)),
            ..0 => at.shifted(part, skip),
        };
        whole = Some(match whole {
            None => part,
            Some(low) => at.binary(BinaryOp::Or, low, part),
        });
        (done, bytes) = (done + size, bytes - size);
    }
    at.extend(whole.unwrap_or(Expr::int(0, span)), width, signed)
}

/// An address that many bytes on.
pub(super) fn further(address: Expr, bytes: u64, span: Span) -> Expr {
    let at = Builder { span };
    match (bytes, &address.kind) {
        (0, _) => address,
        (_, ExprKind::Int(base)) => Expr::int(base.wrapping_add(bytes.cast_signed()), span),
        (_, ExprKind::Binary(BinaryOp::Add, base, by)) if matches!(by.kind, ExprKind::Int(_)) => {
            let ExprKind::Int(by) = by.kind else { return address };
            let sum = by.wrapping_add(bytes.cast_signed());
            at.binary(BinaryOp::Add, (**base).clone(), Expr::int(sum, span))
        }
        _ => at.binary(BinaryOp::Add, address, Expr::int(bytes.cast_signed(), span)),
    }
}

/// How many expressions [`Builder::compute`] makes of a value, or more.
fn size(compute: &Compute) -> u64 {
    match compute {
        Compute::Const(_)
        | Compute::Register(_)
        | Compute::Returned(_)
        | Compute::ModuleAddress(_)
        | Compute::ThreadPointer => 1,
        Compute::Deref { address, .. } => size(address).saturating_add(1),
        Compute::Unary(facts::UnaryOp::Abs, operand) => size(operand).saturating_mul(3).saturating_add(4),
        Compute::Unary(
            facts::UnaryOp::Neg | facts::UnaryOp::Not | facts::UnaryOp::ZeroExtend(_) | facts::UnaryOp::SignExtend(_),
            operand,
        ) => size(operand).saturating_add(1),
        Compute::Binary(op, left, right) => {
            let both = size(left).saturating_add(size(right)).saturating_add(1);
            match op {
                facts::BinaryOp::Shl | facts::BinaryOp::ShrLogical | facts::BinaryOp::ShrArithmetic
                    if matches!(**right, Compute::Const(0..=63)) =>
                {
                    both
                }
                facts::BinaryOp::Shl | facts::BinaryOp::ShrLogical | facts::BinaryOp::ShrArithmetic => {
                    both.saturating_mul(2).saturating_add(6)
                }
                facts::BinaryOp::Add
                | facts::BinaryOp::Sub
                | facts::BinaryOp::Mul
                | facts::BinaryOp::DivSigned
                | facts::BinaryOp::ModUnsigned
                | facts::BinaryOp::And
                | facts::BinaryOp::Or
                | facts::BinaryOp::Xor
                | facts::BinaryOp::Eq
                | facts::BinaryOp::Ne
                | facts::BinaryOp::Lt
                | facts::BinaryOp::Le
                | facts::BinaryOp::Gt
                | facts::BinaryOp::Ge => both,
            }
        }
    }
}

struct Builder {
    span: Span,
}

impl Builder {
    fn int(&self, kind: ExprKind) -> Expr {
        Expr { ty: Ty::Int, kind, span: self.span }
    }

    fn extend(&self, value: Expr, bits: u8, signed: bool) -> Expr {
        match bits {
            0 => Expr::int(0, self.span),
            1..=63 => self.int(ExprKind::Extend { value: Box::new(value), bits, signed }),
            64.. => value,
        }
    }

    fn binary(&self, op: BinaryOp, left: Expr, right: Expr) -> Expr {
        self.int(ExprKind::Binary(op, Box::new(left), Box::new(right)))
    }

    fn compute(&self, compute: &Compute) -> Expr {
        match compute {
            Compute::Const(value) => Expr::int(*value, self.span),
            Compute::Register(register) => self.int(ExprKind::Register(*register)),
            Compute::Returned(register) => self.int(ExprKind::Returned(*register)),
            Compute::ModuleAddress(address) => self.int(ExprKind::ModuleAddress(*address)),
            Compute::ThreadPointer => self.int(ExprKind::Context(Context::ThreadPointer)),
            Compute::Deref { address, size } => {
                self.int(ExprKind::Load { address: Box::new(self.compute(address)), size: *size, signed: false })
            }
            Compute::Unary(op, operand) => {
                let value = self.compute(operand);
                match op {
                    facts::UnaryOp::Neg => self.int(ExprKind::Unary(UnaryOp::Neg, Box::new(value))),
                    facts::UnaryOp::Not => self.int(ExprKind::Unary(UnaryOp::BitNot, Box::new(value))),
                    facts::UnaryOp::Abs => {
                        let zero = Expr::int(0, self.span);
                        let negative =
                            self.int(ExprKind::Compare(CompareOp::Lt, Box::new(value.clone()), Box::new(zero)));
                        let turned = self.int(ExprKind::Unary(UnaryOp::Neg, Box::new(value.clone())));
                        self.int(ExprKind::Ternary(Box::new(negative), Box::new(turned), Box::new(value)))
                    }
                    facts::UnaryOp::ZeroExtend(bits) => self.extend(value, *bits, false),
                    facts::UnaryOp::SignExtend(bits) => self.extend(value, *bits, true),
                }
            }
            Compute::Binary(op, left, right) => self.compute_binary(*op, left, right),
        }
    }

    fn compute_binary(&self, op: facts::BinaryOp, left: &Compute, right: &Compute) -> Expr {
        let (left, right) = (self.compute(left), self.compute(right));
        let plain = |op| self.binary(op, left.clone(), right.clone());
        let compare = |op| self.int(ExprKind::Compare(op, Box::new(left.clone()), Box::new(right.clone())));
        match op {
            facts::BinaryOp::Add => plain(BinaryOp::Add),
            facts::BinaryOp::Sub => plain(BinaryOp::Sub),
            facts::BinaryOp::Mul => plain(BinaryOp::Mul),
            facts::BinaryOp::DivSigned => plain(BinaryOp::Div),
            facts::BinaryOp::ModUnsigned => plain(BinaryOp::ModUnsigned),
            facts::BinaryOp::And => plain(BinaryOp::And),
            facts::BinaryOp::Or => plain(BinaryOp::Or),
            facts::BinaryOp::Xor => plain(BinaryOp::Xor),
            facts::BinaryOp::Shl => self.shift(BinaryOp::Shl, left, right),
            facts::BinaryOp::ShrLogical => self.shift(BinaryOp::ShrLogical, left, right),
            facts::BinaryOp::ShrArithmetic => self.shift(BinaryOp::Shr, left, right),
            facts::BinaryOp::Eq => compare(CompareOp::Eq),
            facts::BinaryOp::Ne => compare(CompareOp::Ne),
            facts::BinaryOp::Lt => compare(CompareOp::Lt),
            facts::BinaryOp::Le => compare(CompareOp::Le),
            facts::BinaryOp::Gt => compare(CompareOp::Gt),
            facts::BinaryOp::Ge => compare(CompareOp::Ge),
        }
    }

    /// A shift as DWARF means it: by 64 and more nothing of the number is left (the sign's copies, where arithmetic),
    /// while the IR's shifts are modulo 64.
    fn shift(&self, op: BinaryOp, left: Expr, right: Expr) -> Expr {
        if let ExprKind::Int(0..=63) = right.kind {
            return self.binary(op, left, right);
        }
        let least = self.binary(BinaryOp::And, right.clone(), Expr::int(!63, self.span));
        let fits = self.int(ExprKind::Compare(CompareOp::Eq, Box::new(least), Box::new(Expr::int(0, self.span))));
        let beyond = if op == BinaryOp::Shr {
            self.binary(BinaryOp::Shr, left.clone(), Expr::int(63, self.span))
        } else {
            Expr::int(0, self.span)
        };
        let within = self.binary(op, left, right);
        self.int(ExprKind::Ternary(Box::new(fits), Box::new(within), Box::new(beyond)))
    }

    fn shifted(&self, value: Expr, by: u8) -> Expr {
        self.binary(BinaryOp::ShrLogical, value, Expr::int(i64::from(by), self.span))
    }

    fn load(&self, address: &Expr, further_on: u64, size: u8, signed: bool) -> Expr {
        let address = Box::new(further(address.clone(), further_on, self.span));
        self.int(ExprKind::Load { address, size, signed })
    }

    /// `width` bits, from `from` on, of a value in pieces, the first piece the lowest.
    fn pieces(&self, pieces: &[Piece], from: u64, width: u8) -> Result<Expr, Unavailable> {
        let end = from.saturating_add(u64::from(width));
        let mut whole: Option<Expr> = None;
        let (mut start, mut done) = (0u64, from);
        for piece in pieces {
            let stop = start.saturating_add(piece.bits).min(end);
            if done >= start && done < stop {
                let inner = (done - start).saturating_add(piece.bit_offset);
                let size = u8::try_from(stop - done).unwrap_or(64);
                let mut part = bits(&piece.location, inner, size, false, self.span)?;
                if done > from {
                    let by = (done - from).cast_signed();
                    part = self.binary(BinaryOp::Shl, part, Expr::int(by, self.span));
                }
                whole = Some(match whole {
                    None => part,
                    Some(low) => self.binary(BinaryOp::Or, low, part),
                });
                done = stop;
            }
            start = start.saturating_add(piece.bits);
        }
        match whole {
            Some(whole) if done >= end => Ok(whole),
            _ => Err(Unavailable::OptimizedOut { ranges: Vec::new() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::facts::Register;
    use crate::source::SourceId;

    fn nested(wrap: impl Fn(Compute) -> Compute, depth: usize) -> Location {
        Location::Value((0..depth).fold(Compute::Register(Register(0)), |inner, _| wrap(inner)))
    }

    #[test]
    fn operators_that_name_their_operand_several_times_do_not_grow_without_bound() {
        let span = Span { source: SourceId(0), start: 0, end: 0 };
        let abs = |inner| Compute::Unary(facts::UnaryOp::Abs, Box::new(inner));
        let shift = |op| move |inner| Compute::Binary(op, Box::new(inner), Box::new(Compute::Register(Register(1))));
        assert!(bits(&nested(abs, 3), 0, 64, true, span).is_ok());
        assert!(bits(&nested(shift(facts::BinaryOp::ShrArithmetic), 3), 0, 64, true, span).is_ok());
        for location in [
            nested(abs, 100),
            nested(shift(facts::BinaryOp::ShrArithmetic), 60),
            nested(|inner| Compute::Binary(facts::BinaryOp::Shl, Box::new(Compute::Const(1)), Box::new(inner)), 60),
        ] {
            assert!(matches!(bits(&location, 0, 64, true, span), Err(Unavailable::Unsupported(_))));
        }
    }

    #[test]
    fn the_size_is_no_less_than_what_is_made() {
        fn count(expr: &Expr) -> u64 {
            let mut sum = 1;
            expr.operands(&mut |operand| sum += count(operand));
            sum
        }
        let at = Builder { span: Span { source: SourceId(0), start: 0, end: 0 } };
        let leaf = || Box::new(Compute::Register(Register(3)));
        let sum = || Box::new(Compute::Binary(facts::BinaryOp::Add, leaf(), Box::new(Compute::Const(4))));
        for op in [facts::BinaryOp::Shl, facts::BinaryOp::ShrLogical, facts::BinaryOp::ShrArithmetic] {
            for (left, right) in [(leaf(), leaf()), (leaf(), sum()), (sum(), leaf()), (sum(), sum())] {
                let compute = Compute::Binary(op, left, right);
                assert!(count(&at.compute(&compute)) <= size(&compute), "{compute:?}");
            }
        }
        let compute = Compute::Unary(facts::UnaryOp::Abs, sum());
        assert!(count(&at.compute(&compute)) <= size(&compute));
    }
}
