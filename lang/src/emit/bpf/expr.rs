//! Owns numbers: every expression of type int leaves its value in r0, and every condition becomes a jump.

use super::handler::{Gen, Refused};
use super::insn::*;
use crate::ir::{BinaryOp, CompareOp, Expr, ExprKind, Ty, UnaryOp};

/// Where `struct pt_regs` of x86-64 holds a register of DWARF's numbering (System V psABI, figure 3.36;
/// arch/x86/include/asm/ptrace.h).
pub(super) fn register_offset(register: u16) -> Option<i16> {
    if register == FLAGS {
        return Some(144);
    }
    const OFFSETS: [i16; 17] = [80, 96, 88, 40, 104, 112, 32, 152, 72, 64, 56, 48, 24, 16, 8, 0, PROGRAM_COUNTER];
    OFFSETS.get(usize::from(register)).copied()
}

/// DWARF's number of the flags.
const FLAGS: u16 = 49;

/// Where `struct pt_regs` holds the program counter: the probed address itself.
pub(super) const PROGRAM_COUNTER: i16 = 128;

impl Gen<'_> {
    /// Whether loading it into a register touches no other register.
    fn is_simple(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Int(_) | ExprKind::Register(_) => true,
            ExprKind::Local(_) => expr.ty == Ty::Int,
            ExprKind::Target(target) => self.is_simple(&target.value),
            ExprKind::Str(_)
            | ExprKind::Global(_)
            | ExprKind::MapGet(..)
            | ExprKind::MapHas(..)
            | ExprKind::Context(_)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Load { .. }
            | ExprKind::Extend { .. }
            | ExprKind::UserString(_)
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Compare(..)
            | ExprKind::Logic { .. }
            | ExprKind::Ternary(..)
            | ExprKind::Concat(_)
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(_)
            | ExprKind::Stat { .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Call(..)
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Entry(_)
            | ExprKind::Returned(_)
            | ExprKind::Update { .. } => false,
        }
    }

    /// `left` in r0 and `right` in r1, in that order.
    pub(super) fn operands(&mut self, left: &Expr, right: &Expr) -> Result<(), Refused> {
        self.int(left)?;
        if self.is_simple(right) {
            return self.int_into(R1, right);
        }
        let mark = self.frame;
        let kept = self.temporary()?;
        self.store(kept, R0);
        self.int(right)?;
        self.asm.mov(R1, R0);
        self.load(R0, kept);
        self.frame.release(mark);
        Ok(())
    }

    /// The value of an expression in r0; clobbers r0–r5.
    pub(super) fn int(&mut self, expr: &Expr) -> Result<(), Refused> {
        self.int_into(R0, expr)
    }

    /// Like [`Gen::int`], into another register; one of r1–r5 only for simple expressions.
    fn int_into(&mut self, dst: Reg, expr: &Expr) -> Result<(), Refused> {
        match &expr.kind {
            ExprKind::Int(value) => self.asm.imm(dst, *value),
            ExprKind::Local(local) => {
                let slot = self.local(*local, expr.span)?;
                self.load(dst, slot);
            }
            ExprKind::Register(register) => {
                let off = register_offset(register.0)
                    .ok_or_else(|| self.contradiction(expr.span, "a register that eBPF cannot read"))?;
                self.asm.load(Width::D, dst, CTX, off);
            }
            ExprKind::Target(target) => self.int_into(dst, &target.value)?,
            ExprKind::Global(global) => self.global_number(*global, expr.span)?,
            ExprKind::MapGet(global, keys) => self.map_number(*global, keys, expr.span)?,
            ExprKind::MapHas(global, keys) => self.map_has(*global, keys, expr.span)?,
            ExprKind::Context(context) => self.context_number(*context, expr.span)?,
            ExprKind::ModuleAddress(address) => self.module_address(*address)?,
            ExprKind::Load { address, size, signed } => self.load_target(address, *size, *signed, expr)?,
            ExprKind::Extend { value, bits, signed } => {
                self.int(value)?;
                self.extend(*bits, *signed);
            }
            ExprKind::Unary(op, value) => match op {
                UnaryOp::Neg => {
                    self.int(value)?;
                    self.asm.alu_imm(Alu::Neg, R0, 0);
                }
                UnaryOp::BitNot => {
                    self.int(value)?;
                    self.asm.alu_imm(Alu::Xor, R0, -1);
                }
                UnaryOp::Not => self.truth(expr)?,
            },
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right)?,
            ExprKind::Compare(..) | ExprKind::Logic { .. } => self.truth(expr)?,
            ExprKind::Ternary(condition, then, otherwise) => {
                let (no, end) = (self.asm.label(), self.asm.label());
                self.branch(condition, false, no)?;
                self.int(then)?;
                self.asm.jump(end);
                self.asm.place(no);
                self.int(otherwise)?;
                self.asm.place(end);
            }
            ExprKind::Update { global, keys, op, value, before } => {
                self.update(*global, keys, *op, value, Some(*before), expr.span)?;
            }
            ExprKind::Str(_)
            | ExprKind::UserString(_)
            | ExprKind::Concat(_)
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(_)
            | ExprKind::Format(_) => {
                return Err(self.contradiction(expr.span, "a string where a number is meant"));
            }
            ExprKind::SetLocal { local, value, before } => {
                let slot = self.local(*local, expr.span)?;
                self.int(value)?;
                if *before {
                    self.load(R1, slot);
                    self.store(slot, R0);
                    self.asm.mov(R0, R1);
                } else {
                    self.store(slot, R0);
                }
            }
            ExprKind::Call(function, arguments) => self.call_function(*function, arguments, None, expr.span)?,
            ExprKind::Library(function, arguments) => self.library_number(*function, arguments, expr.span)?,
            ExprKind::Stat { global, keys, op } => self.stat(*global, keys, *op, expr.span)?,
            ExprKind::Entry(index) => self.kept_number(*index, expr.span)?,
            ExprKind::Returned(register) => self.returned(*register, expr.span)?,
        }
        Ok(())
    }

    /// Computes a value only for its effects.
    pub(super) fn effect(&mut self, expr: &Expr) -> Result<(), Refused> {
        match (&expr.kind, expr.ty) {
            (ExprKind::Update { global, keys, op, value, .. }, _) => {
                self.update(*global, keys, *op, value, None, expr.span)
            }
            (ExprKind::Call(function, arguments), _) => self.call_function(*function, arguments, None, expr.span),
            (_, Ty::Int) => self.int(expr),
            (_, Ty::Str) => {
                let mark = self.frame;
                let slot = self.text_slot()?;
                self.text(expr, slot)?;
                self.frame.release(mark);
                Ok(())
            }
        }
    }

    /// 1 or 0 in r0.
    fn truth(&mut self, expr: &Expr) -> Result<(), Refused> {
        let (no, end) = (self.asm.label(), self.asm.label());
        self.branch(expr, false, no)?;
        self.asm.imm(R0, 1);
        self.asm.jump(end);
        self.asm.place(no);
        self.asm.imm(R0, 0);
        self.asm.place(end);
        Ok(())
    }

    /// Jumps to `label` where the condition is `when`; clobbers r0–r5.
    pub(super) fn branch(&mut self, expr: &Expr, when: bool, label: super::asm::Label) -> Result<(), Refused> {
        match &expr.kind {
            ExprKind::Int(value) => {
                if (*value != 0) == when {
                    self.asm.jump(label);
                }
                Ok(())
            }
            ExprKind::Unary(UnaryOp::Not, value) => self.branch(value, !when, label),
            ExprKind::Logic { and, left, right } => {
                if *and == when {
                    // Both must agree: the left one alone can only say no.
                    let end = self.asm.label();
                    self.branch(left, !when, end)?;
                    self.branch(right, when, label)?;
                    self.asm.place(end);
                } else {
                    self.branch(left, when, label)?;
                    self.branch(right, when, label)?;
                }
                Ok(())
            }
            ExprKind::Compare(op, left, right) => {
                let op = if when { *op } else { negate(*op) };
                if left.ty == Ty::Str {
                    return self.compare_text(op, left, right, label);
                }
                if let ExprKind::Int(value) = right.kind
                    && let Ok(small) = i32::try_from(value)
                {
                    self.int(left)?;
                    self.asm.jump_if_imm(signed(op), R0, small, label);
                } else {
                    self.operands(left, right)?;
                    self.asm.jump_if(signed(op), R0, R1, label);
                }
                Ok(())
            }
            ExprKind::Unary(UnaryOp::Neg | UnaryOp::BitNot, _)
            | ExprKind::Local(_)
            | ExprKind::Global(_)
            | ExprKind::MapGet(..)
            | ExprKind::MapHas(..)
            | ExprKind::Context(_)
            | ExprKind::Target(_)
            | ExprKind::Register(_)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Load { .. }
            | ExprKind::Extend { .. }
            | ExprKind::Binary(..)
            | ExprKind::Ternary(..)
            | ExprKind::Update { .. }
            // Strings are refused there.
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(_)
            | ExprKind::Stat { .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Call(..)
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Entry(_)
            | ExprKind::Returned(_)
            | ExprKind::Str(_)
            | ExprKind::UserString(_)
            | ExprKind::Concat(_) => {
                self.int(expr)?;
                self.asm.jump_if_imm(if when { Jump::Ne } else { Jump::Eq }, R0, 0, label);
                Ok(())
            }
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<(), Refused> {
        let plain = match op {
            BinaryOp::Add => Some(Alu::Add),
            BinaryOp::Sub => Some(Alu::Sub),
            BinaryOp::Mul => Some(Alu::Mul),
            BinaryOp::And => Some(Alu::And),
            BinaryOp::Or => Some(Alu::Or),
            BinaryOp::Xor => Some(Alu::Xor),
            BinaryOp::Shl => Some(Alu::Lsh),
            BinaryOp::Shr => Some(Alu::Arsh),
            BinaryOp::ShrLogical => Some(Alu::Rsh),
            BinaryOp::Div | BinaryOp::Mod | BinaryOp::ModUnsigned => None,
        };
        let shift = matches!(op, BinaryOp::Shl | BinaryOp::Shr | BinaryOp::ShrLogical);
        if let (Some(alu), ExprKind::Int(value)) = (plain, &right.kind) {
            let value = if shift { *value & 63 } else { *value };
            if let Ok(small) = i32::try_from(value) {
                self.int(left)?;
                self.asm.alu_imm(alu, R0, small);
                return Ok(());
            }
        }
        self.operands(left, right)?;
        match plain {
            Some(alu) => {
                if shift {
                    self.asm.alu_imm(Alu::And, R1, 63);
                }
                self.asm.alu(alu, R0, R1);
            }
            None => self.divide(op),
        }
        Ok(())
    }

    /// r0 by r1. The processor would trap on the least number by -1, and the kernel gives 0 for a division by 0.
    fn divide(&mut self, op: BinaryOp) {
        let (minus_one, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::Eq, R1, 0, self.fault);
        if op == BinaryOp::ModUnsigned {
            self.asm.alu(Alu::Mod, R0, R1);
            return;
        }
        self.asm.jump_if_imm(Jump::Eq, R1, -1, minus_one);
        self.asm.signed(if op == BinaryOp::Div { Alu::Div } else { Alu::Mod }, R0, R1);
        self.asm.jump(end);
        self.asm.place(minus_one);
        if op == BinaryOp::Div {
            self.asm.alu_imm(Alu::Neg, R0, 0);
        } else {
            self.asm.imm(R0, 0);
        }
        self.asm.place(end);
    }

    /// The lowest `bits` bits of r0, extended.
    fn extend(&mut self, bits: u8, signed: bool) {
        let shift = 64 - i32::from(bits.clamp(1, 64));
        if shift > 0 {
            self.asm.alu_imm(Alu::Lsh, R0, shift);
            self.asm.alu_imm(if signed { Alu::Arsh } else { Alu::Rsh }, R0, shift);
        }
    }

    /// Reads memory of the target, waiting for pages that are not resident.
    fn load_target(&mut self, address: &Expr, size: u8, signed: bool, expr: &Expr) -> Result<(), Refused> {
        let width = match size {
            1 => Width::B,
            2 => Width::H,
            4 => Width::W,
            8 => Width::D,
            _ => return Err(self.contradiction(expr.span, "a value that is not 1, 2, 4 or 8 bytes wide")),
        };
        self.int(address)?;
        let mark = self.frame;
        let slot = self.temporary()?;
        self.asm.mov(R3, R0);
        self.address(R1, slot);
        self.asm.imm(R2, i64::from(size));
        self.asm.call(Helper::CopyFromUser);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, self.fault);
        self.asm.load(width, R0, slot.base, slot.off);
        if signed {
            self.extend(size.saturating_mul(8), true);
        }
        self.frame.release(mark);
        Ok(())
    }
}

fn signed(op: CompareOp) -> Jump {
    match op {
        CompareOp::Eq => Jump::Eq,
        CompareOp::Ne => Jump::Ne,
        CompareOp::Lt => Jump::SLt,
        CompareOp::Le => Jump::SLe,
        CompareOp::Gt => Jump::SGt,
        CompareOp::Ge => Jump::SGe,
    }
}

fn negate(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::Ne,
        CompareOp::Ne => CompareOp::Eq,
        CompareOp::Lt => CompareOp::Ge,
        CompareOp::Le => CompareOp::Gt,
        CompareOp::Gt => CompareOp::Le,
        CompareOp::Ge => CompareOp::Lt,
    }
}
