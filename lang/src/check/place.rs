//! Owns DWARF location → IR: how a value at a site is computed. Knows sizes and signs, no names and no types.

use crate::debuginfo::facts::{self, Compute, Location, Piece, Unavailable};
use crate::ir::{BinaryOp, CompareOp, Expr, ExprKind, Ty, UnaryOp};
use crate::source::Span;

/// The most expressions that one computed value becomes: some of DWARF's operators name an operand several times, so a
/// tree of them, which the traced file's maker chose, doubles at each.
const LARGEST: u64 = 4096;

/// A value of `bytes` (1, 2, 4, 8) bytes at a location.
///
/// # Errors
/// Why it cannot be had there.
pub(super) fn scalar(location: &Location, bytes: u8, signed: bool, span: Span) -> Result<Expr, Unavailable> {
    let at = Builder { span };
    if let Location::Memory(compute) | Location::Value(compute) = location
        && size(compute) > LARGEST
    {
        return Err(Unavailable::Unsupported(format!("an expression of more than {LARGEST} steps")));
    }
    let narrow = |value: Expr| if bytes == 8 { value } else { at.extend(value, bytes * 8, signed) };
    match location {
        Location::Memory(address) => {
            Ok(at.int(ExprKind::Load { address: Box::new(at.compute(address)), size: bytes, signed }))
        }
        Location::Register(register) => Ok(narrow(at.int(ExprKind::Register(*register)))),
        Location::Value(value) => Ok(narrow(at.compute(value))),
        Location::Bytes(value) => {
            let mut padded = [0u8; 8];
            padded.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
            if value.len() < usize::from(bytes) {
                return Err(Unavailable::Unsupported("its constant is shorter than its type".to_owned()));
            }
            Ok(narrow(Expr::int(i64::from_le_bytes(padded), span)))
        }
        Location::Pieces(pieces) => Ok(narrow(at.pieces(pieces, u64::from(bytes) * 8)?)),
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

/// How many expressions [`Builder::compute`] makes of a value, or more.
fn size(compute: &Compute) -> u64 {
    match compute {
        Compute::Const(_) | Compute::Register(_) | Compute::ModuleAddress(_) => 1,
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
            Compute::ModuleAddress(address) => self.int(ExprKind::ModuleAddress(*address)),
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

    /// The first `bits` bits of a value in pieces, the first piece the lowest.
    fn pieces(&self, pieces: &[Piece], bits: u64) -> Result<Expr, Unavailable> {
        let mut whole: Option<Expr> = None;
        let mut done = 0u64;
        for piece in pieces {
            if done >= bits {
                break;
            }
            let odd = || Unavailable::Unsupported("it is spread over parts of odd sizes".to_owned());
            let size = u8::try_from(piece.bits).ok().filter(|size| (1..=64).contains(size)).ok_or_else(odd)?;
            let skip = u8::try_from(piece.bit_offset).ok().filter(|skip| *skip < 64).ok_or_else(odd)?;
            let span = skip.checked_add(size).filter(|span| *span <= 64).ok_or_else(odd)?;
            let mut part = match &piece.location {
                Location::Memory(_) => scalar(&piece.location, span.div_ceil(8).next_power_of_two(), false, self.span)?,
                other => scalar(other, 8, false, self.span)?,
            };
            if skip > 0 {
                part = self.binary(BinaryOp::ShrLogical, part, Expr::int(i64::from(skip), self.span));
            }
            part = self.extend(part, size, false);
            if done > 0 {
                part = self.binary(BinaryOp::Shl, part, Expr::int(done.cast_signed(), self.span));
            }
            whole = Some(match whole {
                None => part,
                Some(low) => self.binary(BinaryOp::Or, low, part),
            });
            done = done.saturating_add(piece.bits);
        }
        match whole {
            Some(whole) if done >= bits => Ok(whole),
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
        assert!(scalar(&nested(abs, 3), 8, true, span).is_ok());
        assert!(scalar(&nested(shift(facts::BinaryOp::ShrArithmetic), 3), 8, true, span).is_ok());
        for location in [
            nested(abs, 100),
            nested(shift(facts::BinaryOp::ShrArithmetic), 60),
            nested(|inner| Compute::Binary(facts::BinaryOp::Shl, Box::new(Compute::Const(1)), Box::new(inner)), 60),
        ] {
            assert!(matches!(scalar(&location, 8, true, span), Err(Unavailable::Unsupported(_))));
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
