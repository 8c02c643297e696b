//! Owns what the operators of numbers give. Reads nothing.

use std::cmp::Ordering;

use crate::ir::{BinaryOp, CompareOp, UnaryOp};

/// The lowest `bits` bits (1–64) of a number, extended to 64.
pub fn extend(number: i64, bits: u8, signed: bool) -> i64 {
    let shift = 64u32.saturating_sub(u32::from(bits)).min(63);
    if bits >= 64 {
        number
    } else if signed {
        (number << shift) >> shift
    } else {
        ((number.cast_unsigned() << shift) >> shift).cast_signed()
    }
}

/// An operator of two numbers; `None` for a division by 0.
pub fn binary(op: BinaryOp, left: i64, right: i64) -> Option<i64> {
    // Truncation to the low bits is meant: shifts are modulo 64.
    let shift = (right & 63).unsigned_abs() as u32;
    Some(match op {
        BinaryOp::Add => left.wrapping_add(right),
        BinaryOp::Sub => left.wrapping_sub(right),
        BinaryOp::Mul => left.wrapping_mul(right),
        BinaryOp::Div if right == 0 => return None,
        BinaryOp::Div => left.wrapping_div(right),
        BinaryOp::Mod if right == 0 => return None,
        BinaryOp::Mod => left.wrapping_rem(right),
        BinaryOp::ModUnsigned => left.cast_unsigned().checked_rem(right.cast_unsigned())?.cast_signed(),
        BinaryOp::And => left & right,
        BinaryOp::Or => left | right,
        BinaryOp::Xor => left ^ right,
        BinaryOp::Shl => left.wrapping_shl(shift),
        BinaryOp::Shr => left.wrapping_shr(shift),
        BinaryOp::ShrLogical => left.cast_unsigned().wrapping_shr(shift).cast_signed(),
    })
}

/// An operator of one number.
pub(super) fn unary(op: UnaryOp, number: i64) -> i64 {
    match op {
        UnaryOp::Neg => number.wrapping_neg(),
        UnaryOp::BitNot => !number,
        UnaryOp::Not => i64::from(number == 0),
    }
}

/// Whether a comparison holds for two operands in that order.
pub(super) fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
    }
}
