//! Owns strings: every expression of type str is computed into a slot of the task's scratch memory, zeros behind its
//! end, so that slots can be compared and used as keys whole.

use super::asm::Label;
use super::env::Table;
use super::format::{Way, When};
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::map::TEXT_CUT;
use crate::ir::{CompareOp, Context, Expr, ExprKind, Spec, Ty};
use crate::source::Span;
use crate::value::FAULT;

/// What a string is put together from.
pub(super) enum Part<'a> {
    /// A string.
    Text(&'a Expr),
    /// These bytes.
    Bytes(&'a [u8]),
    /// A part in whose place `<fault>` stands where it cannot be read.
    OrFault {
        /// The part.
        part: Box<Part<'a>>,
        /// How it is cut and filled.
        spec: Spec,
    },
    /// A number, by the first way that applies; the last always does.
    Chosen {
        /// The number.
        value: &'a Expr,
        /// The ways.
        ways: Vec<(When, Way)>,
    },
    /// A number's lowest byte.
    Char(&'a Expr),
    /// The character of a number, or words that it has none.
    Unicode(&'a Expr),
    /// Numbers that were computed, by one call of `bpf_snprintf`.
    Numbers {
        /// Its format.
        format: &'a str,
        /// Where they are, 8 bytes each.
        numbers: Slot,
        /// How many.
        count: u32,
    },
    /// A number that has a name in a long list, else by the first way that applies.
    Listed {
        /// The number.
        value: &'a Expr,
        /// The names, by rising numbers.
        names: Vec<(i64, Vec<u8>)>,
        /// The ways.
        otherwise: Vec<(When, Way)>,
    },
    /// A text that is cut and filled with blanks.
    Fitted {
        /// The text.
        part: Box<Part<'a>>,
        /// The most bytes of it.
        most: Option<u16>,
        /// Its width, and to which side it goes.
        spec: Spec,
    },
}

/// More bytes than this are copied by a call rather than written one word at a time.
const MOST_BY_WORD: u32 = 128;

/// `BPF_F_PAD_ZEROS` of `bpf_copy_from_user_str`.
const PAD_ZEROS: i64 = 1;

impl Gen<'_> {
    /// Computes a string into a slot; clobbers r0–r5.
    pub(super) fn text(&mut self, expr: &Expr, dst: Slot) -> Result<(), Refused> {
        match &expr.kind {
            ExprKind::Str(bytes) => {
                self.constant_text(bytes, dst);
                Ok(())
            }
            ExprKind::Local(local) => {
                let slot = self.local(*local, expr.span)?;
                self.copy_slot(dst, slot);
                Ok(())
            }
            ExprKind::Global(global) => self.global_text(*global, dst, expr.span),
            ExprKind::MapGet(global, keys) => self.map_text(*global, keys, dst, expr.span),
            ExprKind::Context(context) => self.context_text(*context, dst, expr.span),
            ExprKind::Target(target) => self.text(&target.value, dst),
            ExprKind::UserString(address) => {
                self.int(address)?;
                self.read_user_text(dst.base, dst.off, true);
                // r0: length, r1: flags.
                self.asm.store(Width::W, dst.base, dst.off, R0);
                self.asm.store(Width::W, dst.base, dst.off.saturating_add(4), R1);
                self.zero_behind_limit(dst);
                Ok(())
            }
            ExprKind::Ternary(condition, then, otherwise) => {
                let (no, end) = (self.asm.label(), self.asm.label());
                self.branch(condition, false, no)?;
                self.text(then, dst)?;
                self.asm.jump(end);
                self.asm.place(no);
                self.text(otherwise, dst)?;
                self.asm.place(end);
                Ok(())
            }
            ExprKind::Concat(parts) => {
                let parts: Vec<Part<'_>> = parts.iter().map(Part::Text).collect();
                self.concat(&parts, dst)
            }
            ExprKind::UserText { address, most } => self.user_text(address, most, dst),
            ExprKind::UserBytes { address, length } => self.user_bytes(address, length, dst),
            ExprKind::SetLocal { local, value, before } => {
                let slot = self.local(*local, expr.span)?;
                let mark = self.frame;
                let computed = self.text_slot()?;
                self.text(value, computed)?;
                if *before {
                    self.copy_slot(dst, slot);
                }
                self.copy_slot(slot, computed);
                if !*before {
                    self.copy_slot(dst, computed);
                }
                self.frame.release(mark);
                Ok(())
            }
            ExprKind::Call(function, arguments) => self.call_function(*function, arguments, Some(dst), expr.span),
            ExprKind::Library(function, arguments) => self.library_text(*function, arguments, dst, expr.span),
            ExprKind::Format(pieces) => self.format(pieces, dst, expr.span),
            ExprKind::Entry(index) => self.kept_text(*index, dst, expr.span),
            ExprKind::Update { global, keys, value, before, .. } => {
                self.set_text(*global, keys, value, Some((dst, *before)), expr.span)
            }
            ExprKind::Int(_)
            | ExprKind::MapHas(..)
            | ExprKind::Register(_)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Load { .. }
            | ExprKind::Extend { .. }
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Compare(..)
            | ExprKind::Logic { .. } => Err(self.contradiction(expr.span, "a number where a string is meant")),
            ExprKind::Block(_) | ExprKind::Stat { .. } | ExprKind::Returned(_) => {
                Err(self.contradiction(expr.span, "an expression that was let through"))
            }
        }
    }

    /// Zeros what lies behind the limit, and only tells whether there was more.
    pub(super) fn zero_behind_limit(&mut self, slot: Slot) {
        let text = slot.plus(8);
        for byte in self.env.text.strlen..self.env.text.text() {
            let at = text.plus(i16::try_from(byte).unwrap_or(i16::MAX));
            self.asm.store_imm(Width::B, at.base, at.off, 0);
        }
    }

    /// Reads the text at address r0 of the target to `base + off + 8`: length in r0, flags in r1.
    pub(super) fn read_user_text(&mut self, base: Reg, off: i16, padded: bool) {
        let size = self.env.text.text();
        let (whole, end) = (self.asm.label(), self.asm.label());
        if padded && self.env.kernel.copy_from_user_str.is_none() {
            let mark = self.frame;
            let kept = self.frame.take(8).unwrap_or(self.shared.counter_key);
            self.store(kept, R0);
            self.zero(Slot { base, off: off.saturating_add(8) }, self.env.text.text());
            self.load(R0, kept);
            self.frame.release(mark);
        }
        self.asm.mov(R3, R0);
        self.asm.mov(R1, base);
        self.asm.alu_imm(Alu::Add, R1, i32::from(off) + 8);
        self.asm.imm(R2, i64::from(size));
        match self.env.kernel.copy_from_user_str {
            Some(btf_id) => {
                self.asm.imm(R4, if padded { PAD_ZEROS } else { 0 });
                self.asm.call_kfunc(btf_id.cast_signed());
                // The function gives an int: its upper half is not defined.
                self.asm.alu_imm(Alu::Lsh, R0, 32);
                self.asm.alu_imm(Alu::Arsh, R0, 32);
            }
            None => self.read_user_str(),
        }
        self.asm.jump_if_imm(Jump::SLe, R0, 0, self.fault);
        self.asm.alu_imm(Alu::Add, R0, -1);
        self.asm.jump_if_imm(Jump::Le, R0, self.strlen(), whole);
        self.asm.imm(R0, i64::from(self.strlen()));
        self.asm.imm(R1, i64::from(TEXT_CUT));
        self.asm.jump(end);
        self.asm.place(whole);
        self.asm.imm(R1, 0);
        self.asm.place(end);
    }

    /// Reads a text with what kernels before 6.12 have; bytes with the NUL in r0. Of an empty text the kernel says 0 and
    /// not 1 (`strncpy_from_user_nofault` in mm/maccess.c counts the NUL only behind something).
    pub(super) fn read_user_str(&mut self) {
        let counted = self.asm.label();
        self.asm.call(Helper::ProbeReadUserStr);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, counted);
        self.asm.imm(R0, 1);
        self.asm.place(counted);
    }

    /// The string limit.
    pub(super) fn strlen(&self) -> i32 {
        i32::try_from(self.env.text.strlen).unwrap_or(i32::MAX)
    }

    /// Writes zeros; clobbers r0–r5 where there are many.
    pub(super) fn zero(&mut self, slot: Slot, bytes: u32) {
        if bytes > MOST_BY_WORD {
            let zeros = self.rodata.constant(&vec![0; bytes as usize]);
            self.asm.map_value(R3, self.env.constants, zeros);
            return self.copy_from_r3(slot, bytes);
        }
        for word in 0..i16::try_from(bytes / 8).unwrap_or(i16::MAX) {
            let at = slot.plus(word.saturating_mul(8));
            self.asm.store_imm(Width::D, at.base, at.off, 0);
        }
    }

    /// Makes a slot the empty string.
    pub(super) fn zero_text(&mut self, slot: Slot) {
        self.zero(slot, self.env.text.slot());
    }

    /// Makes a slot a constant; clobbers r0–r5.
    pub(super) fn constant_text(&mut self, bytes: &[u8], dst: Slot) {
        let slot = self.env.text.to_bytes(bytes, false);
        if self.env.text.slot() > MOST_BY_WORD {
            let constant = self.rodata.constant(&slot);
            self.asm.map_value(R3, self.env.constants, constant);
            return self.copy_from_r3(dst, self.env.text.slot());
        }
        for (index, word) in (0i16..).zip(slot.chunks_exact(8)) {
            let value = i64::from_le_bytes(word.try_into().unwrap_or_default());
            let at = dst.plus(index.saturating_mul(8));
            match i32::try_from(value) {
                Ok(small) => self.asm.store_imm(Width::D, at.base, at.off, small),
                Err(_) => {
                    self.asm.imm(R1, value);
                    self.store(at, R1);
                }
            }
        }
    }

    /// Copies a slot.
    pub(super) fn copy_slot(&mut self, dst: Slot, src: Slot) {
        self.address(R3, src);
        self.copy_from_r3(dst, self.env.text.slot());
    }

    /// Copies `bytes` bytes from the kernel address in r3.
    pub(super) fn copy_from_r3(&mut self, dst: Slot, bytes: u32) {
        self.address(R1, dst);
        self.asm.imm(R2, i64::from(bytes));
        self.asm.call(Helper::ProbeReadKernel);
    }

    fn context_text(&mut self, context: Context, dst: Slot, span: Span) -> Result<(), Refused> {
        match context {
            Context::Comm => {
                self.zero_text(dst);
                self.address(R1, dst.plus(8));
                self.asm.imm(R2, 16);
                self.asm.call(Helper::GetCurrentComm);
                let end = self.asm.label();
                for length in 0..16i16 {
                    let at = dst.plus(8).plus(length);
                    self.asm.store_imm(Width::W, dst.base, dst.off, i32::from(length));
                    self.asm.load(Width::B, R0, at.base, at.off);
                    self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
                }
                self.asm.place(end);
                Ok(())
            }
            Context::Container => self.table_text(Table::ContainerNames, CONTAINER, dst),
            Context::ContainerId => self.table_text(Table::ContainerIds, CONTAINER, dst),
            Context::Image => self.table_text(Table::Images, CONTAINER, dst),
            Context::Pod => self.table_text(Table::Pods, CONTAINER, dst),
            Context::Runtime => self.table_text(Table::Runtimes, CONTAINER, dst),
            Context::Exe => self.executable(dst, span),
            Context::ProbeFunction => self.table_text(Table::Functions, SITE, dst),
            Context::ProbePoint => {
                self.constant_text(self.env.point(self.probe).as_bytes(), dst);
                Ok(())
            }
            Context::Stack(_) | Context::Caller => Err(self.contradiction(span, "a value that was let through")),
            Context::Pid
            | Context::Tid
            | Context::NsPid
            | Context::NsTid
            | Context::Now
            | Context::Walltime
            | Context::Elapsed
            | Context::Uid
            | Context::Gid
            | Context::ThreadPointer
            | Context::Cpu => Err(self.contradiction(span, "a number where a string is meant")),
        }
    }

    /// An entry of a table of texts.
    pub(super) fn table_text(&mut self, table: Table, index: Reg, dst: Slot) -> Result<(), Refused> {
        self.table_address(table, index)?;
        self.asm.mov(R3, R1);
        self.copy_from_r3(dst, self.env.text.slot());
        Ok(())
    }

    /// Strings and numbers one behind the other.
    pub(super) fn concat(&mut self, parts: &[Part<'_>], dst: Slot) -> Result<(), Refused> {
        let Some((first, rest)) = parts.split_first() else {
            self.zero_text(dst);
            return Ok(());
        };
        let text = self.env.text;
        let mark = self.frame;
        // Room for the limit and one whole slot behind it.
        let whole = self.frame.take_scratch(8 + text.strlen + text.text()).map_err(|e| self.too_large(e))?;
        self.part(first, whole)?;
        for part in rest {
            let inner = self.frame;
            let slot = self.text_slot()?;
            self.part(part, slot)?;
            let fits = self.asm.label();
            self.asm.load(Width::W, R1, whole.base, whole.off);
            self.asm.jump_if_imm(Jump::Gt, R1, self.strlen(), self.lost);
            self.asm.alu(Alu::Add, R1, whole.base);
            self.asm.alu_imm(Alu::Add, R1, i32::from(whole.off) + 8);
            self.asm.imm(R2, i64::from(text.text()));
            self.address(R3, slot.plus(8));
            self.asm.call(Helper::ProbeReadKernel);
            self.asm.load(Width::W, R1, whole.base, whole.off);
            self.asm.load(Width::W, R2, slot.base, slot.off);
            self.asm.alu(Alu::Add, R1, R2);
            self.asm.load(Width::W, R2, slot.base, slot.off.saturating_add(4));
            self.asm.jump_if_imm(Jump::Le, R1, self.strlen(), fits);
            self.asm.imm(R1, i64::from(text.strlen));
            self.asm.imm(R2, i64::from(TEXT_CUT));
            self.asm.place(fits);
            self.asm.store(Width::W, whole.base, whole.off, R1);
            self.asm.load(Width::W, R1, whole.base, whole.off.saturating_add(4));
            self.asm.alu(Alu::Or, R1, R2);
            self.asm.store(Width::W, whole.base, whole.off.saturating_add(4), R1);
            self.frame.release(inner);
        }
        self.zero_behind_limit(whole);
        self.copy_slot(dst, whole);
        self.frame.release(mark);
        Ok(())
    }

    pub(super) fn part(&mut self, part: &Part<'_>, dst: Slot) -> Result<(), Refused> {
        match part {
            Part::Text(expr) => self.text(expr, dst),
            Part::Bytes(bytes) => {
                self.constant_text(bytes, dst);
                Ok(())
            }
            Part::OrFault { part, spec } => {
                let (fault, end) = (self.asm.label(), self.asm.label());
                let outer = std::mem::replace(&mut self.fault, fault);
                let written = self.part(part, dst);
                self.fault = outer;
                written?;
                self.asm.jump(end);
                self.asm.place(fault);
                self.fault_shown();
                // `<fault>` is filled as the value would be, and not cut.
                self.fit(&Part::Bytes(FAULT.as_bytes()), None, *spec, dst)?;
                self.asm.place(end);
                Ok(())
            }
            Part::Chosen { value, ways } => self.chosen(value, ways, dst),
            Part::Char(value) => self.char(value, dst),
            Part::Unicode(value) => self.unicode(value, dst),
            Part::Numbers { format, numbers, count } => {
                self.snprintf_all(format, *numbers, *count, dst);
                Ok(())
            }
            Part::Listed { value, names, otherwise } => self.listed(value, names, otherwise, dst),
            Part::Fitted { part, most, spec } => self.fit(part, *most, *spec, dst),
        }
    }

    /// Jumps to `label` where the comparison holds: bytes in order, then length.
    pub(super) fn compare_text(
        &mut self,
        op: CompareOp,
        left: &Expr,
        right: &Expr,
        label: Label,
    ) -> Result<(), Refused> {
        if left.ty != Ty::Str || right.ty != Ty::Str {
            return Err(self.contradiction(left.span, "a comparison of a string with a number"));
        }
        let mark = self.frame;
        let a = self.text_slot()?;
        self.text(left, a)?;
        let b = self.text_slot()?;
        self.text(right, b)?;
        self.frame.release(mark);
        let (differ, decide, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        for word in 1..i16::try_from(self.env.text.slot() / 8).unwrap_or(i16::MAX) {
            self.load(R1, a.plus(word.saturating_mul(8)));
            self.load(R2, b.plus(word.saturating_mul(8)));
            self.asm.jump_if(Jump::Ne, R1, R2, differ);
        }
        self.asm.load(Width::W, R1, a.base, a.off);
        self.asm.load(Width::W, R2, b.base, b.off);
        self.asm.jump(decide);
        self.asm.place(differ);
        self.asm.big_endian(R1, 64);
        self.asm.big_endian(R2, 64);
        self.asm.place(decide);
        let jump = match op {
            CompareOp::Eq => Jump::Eq,
            CompareOp::Ne => Jump::Ne,
            CompareOp::Lt => Jump::Lt,
            CompareOp::Le => Jump::Le,
            CompareOp::Gt => Jump::Gt,
            CompareOp::Ge => Jump::Ge,
        };
        self.asm.jump_if(jump, R1, R2, label);
        self.asm.place(end);
        Ok(())
    }
}
