//! Owns building [`Compute`] values: folds what is constant, and keeps every tree below a bound.

use super::facts::{BinaryOp, Compute, UnaryOp};
use super::limits;

/// A value on the stack of a DWARF expression, with the size of its tree.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) compute: Compute,
    nodes: usize,
}

impl Tree {
    pub(super) fn leaf(compute: Compute) -> Tree {
        Tree { compute, nodes: 1 }
    }

    /// A tree made elsewhere; `None` where it is over the bound.
    pub(super) fn of(compute: Compute) -> Option<Tree> {
        let nodes = count(&compute);
        (nodes <= limits::MAX_NODES).then_some(Tree { compute, nodes })
    }

    pub(super) fn constant(value: i64) -> Tree {
        Tree::leaf(Compute::Const(value))
    }

    pub(super) fn as_constant(&self) -> Option<i64> {
        match self.compute {
            Compute::Const(value) => Some(value),
            Compute::Register(_)
            | Compute::Returned(_)
            | Compute::ModuleAddress(_)
            | Compute::ThreadPointer
            | Compute::Deref { .. }
            | Compute::Unary(..)
            | Compute::Binary(..) => None,
        }
    }

    /// Adds a constant.
    pub(super) fn plus(self, addend: i64) -> Option<Tree> {
        self.binary(BinaryOp::Add, Tree::constant(addend))
    }

    pub(super) fn deref(self, size: u8) -> Option<Tree> {
        self.grown(|address| Compute::Deref { address: Box::new(address), size })
    }

    pub(super) fn unary(self, op: UnaryOp) -> Option<Tree> {
        if let Some(value) = self.as_constant() {
            return Some(Tree::constant(fold_unary(op, value)));
        }
        self.grown(|operand| Compute::Unary(op, Box::new(operand)))
    }

    fn grown(self, wrap: impl FnOnce(Compute) -> Compute) -> Option<Tree> {
        let nodes = self.nodes + 1;
        (nodes <= limits::MAX_NODES).then(|| Tree { compute: wrap(self.compute), nodes })
    }

    pub(super) fn binary(self, op: BinaryOp, right: Tree) -> Option<Tree> {
        if let (Some(a), Some(b)) = (self.as_constant(), right.as_constant())
            && let Some(value) = fold_binary(op, a, b)
        {
            return Some(Tree::constant(value));
        }
        if op == BinaryOp::Add
            && let Some(addend) = right.as_constant()
        {
            if addend == 0 {
                return Some(self);
            }
            // (x + a) + b is x + (a + b): both wrap.
            if let Compute::Binary(BinaryOp::Add, x, a) = &self.compute
                && let Compute::Const(a) = **a
            {
                let compute = match a.wrapping_add(addend) {
                    0 => (**x).clone(),
                    sum => Compute::Binary(BinaryOp::Add, x.clone(), Box::new(Compute::Const(sum))),
                };
                return Tree::of(compute);
            }
        }
        let nodes = self.nodes + right.nodes + 1;
        let compute = || Compute::Binary(op, Box::new(self.compute), Box::new(right.compute));
        (nodes <= limits::MAX_NODES).then(|| Tree { compute: compute(), nodes })
    }
}

/// Whether an address is at least `offset` bytes above what a register holds: with the CFA's, in the caller's frame.
pub(super) fn is_beyond(address: &Compute, register: u16, offset: i64) -> bool {
    match address {
        Compute::Register(of) => of.0 == register && offset <= 0,
        Compute::Binary(BinaryOp::Add, of, by) => match (&**of, &**by) {
            (Compute::Register(of), Compute::Const(by)) => of.0 == register && *by >= offset,
            _ => false,
        },
        Compute::Const(_)
        | Compute::Returned(_)
        | Compute::ModuleAddress(_)
        | Compute::ThreadPointer
        | Compute::Deref { .. }
        | Compute::Unary(..)
        | Compute::Binary(..) => false,
    }
}

/// Nodes of a tree that was built within the bound before, so recursion is bounded too.
fn count(compute: &Compute) -> usize {
    match compute {
        Compute::Const(_)
        | Compute::Register(_)
        | Compute::Returned(_)
        | Compute::ModuleAddress(_)
        | Compute::ThreadPointer => 1,
        Compute::Deref { address, .. } => 1 + count(address),
        Compute::Unary(_, operand) => 1 + count(operand),
        Compute::Binary(_, left, right) => 1 + count(left) + count(right),
    }
}

fn fold_unary(op: UnaryOp, value: i64) -> i64 {
    match op {
        UnaryOp::Neg => value.wrapping_neg(),
        UnaryOp::Not => !value,
        UnaryOp::Abs => value.wrapping_abs(),
        UnaryOp::ZeroExtend(bits) => match 64u32.checked_sub(u32::from(bits)) {
            Some(64) => 0,
            Some(spare) => ((value.cast_unsigned() << spare) >> spare).cast_signed(),
            None => value,
        },
        UnaryOp::SignExtend(bits) => match 64u32.checked_sub(u32::from(bits)) {
            Some(64) => 0,
            Some(spare) => (value << spare) >> spare,
            None => value,
        },
    }
}

/// The result of an operator on constants; `None` for a division by zero, which stays to fail where it runs.
fn fold_binary(op: BinaryOp, a: i64, b: i64) -> Option<i64> {
    let (ua, ub) = (a.cast_unsigned(), b.cast_unsigned());
    let shift = u32::try_from(ub).ok();
    Some(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::DivSigned if b == 0 => return None,
        BinaryOp::DivSigned => a.wrapping_div(b),
        BinaryOp::ModUnsigned => ua.checked_rem(ub)?.cast_signed(),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => shift.and_then(|by| ua.checked_shl(by)).unwrap_or(0).cast_signed(),
        BinaryOp::ShrLogical => shift.and_then(|by| ua.checked_shr(by)).unwrap_or(0).cast_signed(),
        BinaryOp::ShrArithmetic => shift.and_then(|by| a.checked_shr(by)).unwrap_or(a >> 63),
        BinaryOp::Eq => i64::from(a == b),
        BinaryOp::Ne => i64::from(a != b),
        BinaryOp::Lt => i64::from(a < b),
        BinaryOp::Le => i64::from(a <= b),
        BinaryOp::Gt => i64::from(a > b),
        BinaryOp::Ge => i64::from(a >= b),
    })
}
