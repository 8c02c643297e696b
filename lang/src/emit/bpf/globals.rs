//! Owns reading and changing globals. Additions are atomic: none is lost on any number of cpus.

use super::Category;
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::{GlobalLayout, KeyPart, MapId, SCALARS, layout};
use crate::ir::{Context, Expr, ExprKind, GlobalIndex, Ty, UpdateOp};
use crate::source::Span;

/// `BPF_ANY`
const ANY: i64 = 0;
/// `BPF_NOEXIST`
pub(super) const NO_EXIST: i64 = 1;
/// `-EEXIST`
pub(super) const EXISTS: i32 = -17;

impl Gen<'_> {
    pub(super) fn layout(&self, global: GlobalIndex, span: Span) -> Result<GlobalLayout, Refused> {
        layout(self.env.globals, global).cloned().ok_or_else(|| self.contradiction(span, "a global that is not there"))
    }

    fn map_layout(&self, global: GlobalIndex, span: Span) -> Result<(MapId, Vec<KeyPart>, Ty), Refused> {
        match self.layout(global, span)? {
            GlobalLayout::Map { map, keys, value } => Ok((map, keys, value)),
            GlobalLayout::Number { .. } | GlobalLayout::Text { .. } | GlobalLayout::Stats { .. } => {
                Err(self.contradiction(span, "a scalar where a map is meant"))
            }
        }
    }

    pub(super) fn global_number(&mut self, global: GlobalIndex, span: Span) -> Result<(), Refused> {
        match self.layout(global, span)? {
            GlobalLayout::Number { offset, .. } => {
                self.asm.map_value(R1, SCALARS, offset);
                self.asm.load(Width::D, R0, R1, 0);
                Ok(())
            }
            GlobalLayout::Text { .. } | GlobalLayout::Map { .. } | GlobalLayout::Stats { .. } => {
                Err(self.contradiction(span, "a string or map where a number is meant"))
            }
        }
    }

    pub(super) fn global_text(&mut self, global: GlobalIndex, dst: Slot, span: Span) -> Result<(), Refused> {
        let GlobalLayout::Text { map, index, .. } = self.layout(global, span)? else {
            return Err(self.contradiction(span, "a number or map where a string is meant"));
        };
        let mark = self.frame;
        let key = self.temporary()?;
        self.asm.store_imm(Width::W, key.base, key.off, index.cast_signed());
        self.look_up(map, key);
        self.copy_found(dst);
        self.frame.release(mark);
        Ok(())
    }

    /// Copies the string that r0 points to; the empty one where r0 is 0.
    fn copy_found(&mut self, dst: Slot) {
        let (none, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.mov(R3, R0);
        self.copy_from_r3(dst, self.env.text.slot());
        self.asm.jump(end);
        self.asm.place(none);
        self.zero_text(dst);
        self.asm.place(end);
    }

    /// The map of a global in r1: for one with generations, the one of this moment. Clobbers r0–r5.
    pub(super) fn map_in_r1(&mut self, map: MapId) {
        if !self.env.has_generations(map) {
            self.asm.map(R1, map);
            return;
        }
        let key = self.shared.counter_key;
        self.asm.store_imm(Width::W, key.base, key.off, 0);
        self.asm.map(R1, map);
        self.address(R2, key);
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, self.lost);
        self.asm.mov(R1, R0);
    }

    /// The address of the value in r0, or 0.
    pub(super) fn look_up(&mut self, map: MapId, key: Slot) {
        self.map_in_r1(map);
        self.address(R2, key);
        self.asm.call(Helper::MapLookupElem);
    }

    /// Computes a key.
    pub(super) fn key(&mut self, parts: &[KeyPart], keys: &[Expr], span: Span) -> Result<Slot, Refused> {
        if parts.len() != keys.len() {
            return Err(self.contradiction(span, "a key of another length"));
        }
        let size = GlobalLayout::key_size(parts, self.env.text);
        let texts = parts.contains(&KeyPart::Text);
        let slot = if texts { self.frame.take_scratch(size) } else { self.frame.take(size) };
        let slot = slot.map_err(|e| self.too_large(e))?;
        let mut at = slot;
        for (part, key) in parts.iter().zip(keys) {
            match part {
                KeyPart::Int => {
                    self.int(key)?;
                    self.store(at, R0);
                    at = at.plus(8);
                }
                KeyPart::Container => {
                    self.store(at, CONTAINER);
                    at = at.plus(8);
                }
                KeyPart::Text => {
                    self.text(key, at)?;
                    at = at.plus(i16::try_from(self.env.text.slot()).unwrap_or(i16::MAX));
                }
            }
        }
        Ok(slot)
    }

    pub(super) fn map_number(&mut self, global: GlobalIndex, keys: &[Expr], span: Span) -> Result<(), Refused> {
        let (map, parts, _) = self.map_layout(global, span)?;
        let mark = self.frame;
        let key = self.key(&parts, keys, span)?;
        self.look_up(map, key);
        let none = self.asm.label();
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.load(Width::D, R0, R0, 0);
        self.asm.place(none);
        self.frame.release(mark);
        Ok(())
    }

    pub(super) fn map_has(&mut self, global: GlobalIndex, keys: &[Expr], span: Span) -> Result<(), Refused> {
        let (GlobalLayout::Map { map, keys: parts, .. } | GlobalLayout::Stats { map, keys: parts, .. }) =
            self.layout(global, span)?
        else {
            return Err(self.contradiction(span, "a scalar where a map is meant"));
        };
        let mark = self.frame;
        let key = self.key(&parts, keys, span)?;
        self.look_up(map, key);
        let (none, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.imm(R0, 1);
        self.asm.jump(end);
        self.asm.place(none);
        self.asm.imm(R0, 0);
        self.asm.place(end);
        self.frame.release(mark);
        Ok(())
    }

    pub(super) fn map_text(
        &mut self,
        global: GlobalIndex,
        keys: &[Expr],
        dst: Slot,
        span: Span,
    ) -> Result<(), Refused> {
        let (map, parts, _) = self.map_layout(global, span)?;
        let mark = self.frame;
        let key = self.key(&parts, keys, span)?;
        self.look_up(map, key);
        self.copy_found(dst);
        self.frame.release(mark);
        Ok(())
    }

    /// Changes a global. `wanted`: which value is left in r0, the one before (true) or after; `None` where nobody asks.
    pub(super) fn update(
        &mut self,
        global: GlobalIndex,
        keys: &[Expr],
        op: UpdateOp,
        value: &Expr,
        wanted: Option<bool>,
        span: Span,
    ) -> Result<(), Refused> {
        if value.ty == Ty::Str {
            return self.set_text(global, keys, value, None, span);
        }
        match self.layout(global, span)? {
            GlobalLayout::Number { offset, .. } => {
                self.int(value)?;
                self.asm.mov(R2, R0);
                self.asm.map_value(R1, SCALARS, offset);
                self.change(op, wanted);
                Ok(())
            }
            GlobalLayout::Map { map, keys: parts, .. } => {
                let mark = self.frame;
                let key = self.key(&parts, keys, span)?;
                let operand = self.temporary()?;
                self.int(value)?;
                self.store(operand, R0);
                match op {
                    UpdateOp::Set => {
                        let old = self.temporary()?;
                        if wanted == Some(true) {
                            let none = self.asm.label();
                            self.look_up(map, key);
                            self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
                            self.asm.load(Width::D, R0, R0, 0);
                            self.asm.place(none);
                            self.store(old, R0);
                        }
                        self.put(map, key, operand, ANY);
                        self.count_if_full();
                        self.load(R0, if wanted == Some(true) { old } else { operand });
                    }
                    UpdateOp::Add => self.add(map, key, operand, wanted),
                }
                self.frame.release(mark);
                Ok(())
            }
            GlobalLayout::Text { .. } | GlobalLayout::Stats { .. } => {
                Err(self.contradiction(span, "a number set to a string"))
            }
        }
    }

    /// The number that r1 points to changes by r2.
    fn change(&mut self, op: UpdateOp, wanted: Option<bool>) {
        match (op, wanted) {
            (UpdateOp::Set, Some(true)) => {
                self.asm.atomic(ATOMIC_XCHG, R1, 0, R2);
                self.asm.mov(R0, R2);
            }
            (UpdateOp::Set, Some(false) | None) => {
                self.asm.store(Width::D, R1, 0, R2);
                self.asm.mov(R0, R2);
            }
            (UpdateOp::Add, None) => self.asm.atomic(ATOMIC_ADD, R1, 0, R2),
            (UpdateOp::Add, Some(before)) => {
                self.asm.mov(R0, R2);
                self.asm.atomic(ATOMIC_ADD | ATOMIC_FETCH, R1, 0, R0);
                if !before {
                    self.asm.alu(Alu::Add, R0, R2);
                }
            }
        }
    }

    /// Adds to the entry of a map; inserts it where there is none, and adds after all where another cpu was faster.
    fn add(&mut self, map: MapId, key: Slot, operand: Slot, wanted: Option<bool>) {
        let (found, failed, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.look_up(map, key);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, found);
        self.put(map, key, operand, NO_EXIST);
        let inserted = self.asm.label();
        self.asm.jump_if_imm(Jump::Eq, R0, 0, inserted);
        self.asm.jump_if_imm(Jump::Ne, R0, EXISTS, failed);
        self.look_up(map, key);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, found);
        self.asm.place(failed);
        self.bump(Category::MapFull);
        // What would have been: the dropped update leaves the key absent.
        self.asm.place(inserted);
        match wanted {
            Some(false) => self.load(R0, operand),
            Some(true) | None => self.asm.imm(R0, 0),
        }
        self.asm.jump(end);
        self.asm.place(found);
        self.asm.mov(R1, R0);
        self.load(R2, operand);
        self.change(UpdateOp::Add, wanted);
        if wanted.is_none() {
            self.asm.imm(R0, 0);
        }
        self.asm.place(end);
    }

    /// `bpf_map_update_elem`; its answer is in r0.
    fn put(&mut self, map: MapId, key: Slot, value: Slot, flags: i64) {
        self.map_in_r1(map);
        self.address(R2, key);
        self.address(R3, value);
        self.asm.imm(R4, flags);
        self.asm.call(Helper::MapUpdateElem);
        // An int by its declaration, a long by the helper's.
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.asm.alu_imm(Alu::Arsh, R0, 32);
    }

    fn count_if_full(&mut self) {
        let done = self.asm.label();
        self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
        self.bump(Category::MapFull);
        self.asm.place(done);
    }

    /// Sets a string; `wanted`: where its value before (true) or after goes.
    pub(super) fn set_text(
        &mut self,
        global: GlobalIndex,
        keys: &[Expr],
        value: &Expr,
        wanted: Option<(Slot, bool)>,
        span: Span,
    ) -> Result<(), Refused> {
        let mark = self.frame;
        let (map, key) = match self.layout(global, span)? {
            GlobalLayout::Text { map, index, .. } => {
                let key = self.temporary()?;
                self.asm.store_imm(Width::W, key.base, key.off, index.cast_signed());
                (map, key)
            }
            GlobalLayout::Map { map, keys: parts, .. } => (map, self.key(&parts, keys, span)?),
            GlobalLayout::Number { .. } | GlobalLayout::Stats { .. } => {
                return Err(self.contradiction(span, "a number set to a string"));
            }
        };
        let slot = self.text_slot()?;
        self.text(value, slot)?;
        if let Some((dst, true)) = wanted {
            self.look_up(map, key);
            self.copy_found(dst);
        }
        self.put(map, key, slot, ANY);
        self.count_if_full();
        if let Some((dst, false)) = wanted {
            self.copy_slot(dst, slot);
        }
        self.frame.release(mark);
        Ok(())
    }
}

/// Whether a part of a key is nothing but the container's name.
pub(super) fn is_container(key: &Expr) -> bool {
    matches!(key.kind, ExprKind::Context(Context::Container))
}
