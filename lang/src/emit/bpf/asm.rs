//! Owns a list of instructions under construction: labels, jumps, references to maps, and which source each
//! instruction came from. Decides nothing about what is computed.

use std::collections::BTreeSet;

use super::insn::*;
use super::map::MapId;
use crate::source::Span;

/// A place in the program that jumps name before it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Instructions with open ends.
#[derive(Default)]
pub(super) struct Asm {
    insns: Vec<Insn>,
    /// Position of each label, once placed.
    labels: Vec<Option<usize>>,
    /// Jumps to patch: instruction and label.
    jumps: Vec<(usize, Label)>,
    /// Instructions that name a map.
    maps: Vec<(usize, MapId)>,
    /// From which instruction on which source is meant.
    spans: Vec<(usize, Span)>,
    /// What the program gives to the kernel where it ends.
    result: i64,
}

/// A finished list of instructions.
pub(super) struct Assembled {
    pub(super) insns: Vec<Insn>,
    pub(super) maps: Vec<(usize, MapId)>,
    pub(super) spans: Vec<(usize, Span)>,
}

/// How far a jump of 16 bits goes at most: the kernel makes up to some eight instructions of one (look-ups, divisions,
/// `may_goto`), and refuses a program whose jumps grow too long by that (`bpf_adj_delta_to_off`).
const NEAR: i64 = 4_000;

/// A jump is farther than 16 bits of instructions, or to nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFar;

impl Asm {
    /// A program that gives this number to the kernel, unless it ends otherwise ([`Asm::exit_with`]).
    pub(super) fn giving(result: i64) -> Asm {
        Asm { result, ..Asm::default() }
    }

    /// What follows comes from `span`.
    pub(super) fn at(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some((from, last)) if *from == self.insns.len() => *last = span,
            Some((_, last)) if *last == span => {}
            Some(_) | None => self.spans.push((self.insns.len(), span)),
        }
    }

    /// How many instructions there are so far.
    pub(super) fn length(&self) -> usize {
        self.insns.len()
    }

    /// The maps that instructions name.
    pub(super) fn used_maps(&self) -> BTreeSet<MapId> {
        self.maps.iter().map(|(_, map)| *map).collect()
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts a label before the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        if let Some(position) = self.labels.get_mut(label.0) {
            *position = Some(self.insns.len());
        }
    }

    fn push(&mut self, code: u8, dst: Reg, src: u8, off: i16, imm: i32) {
        self.insns.push(Insn { code, dst: dst.0, src, off, imm });
    }

    pub(super) fn mov(&mut self, dst: Reg, src: Reg) {
        if dst != src {
            self.push(ALU64 | X | Alu::Mov as u8, dst, src.0, 0, 0);
        }
    }

    /// Loads a constant of any size.
    pub(super) fn imm(&mut self, dst: Reg, value: i64) {
        match i32::try_from(value) {
            Ok(small) => self.push(ALU64 | Alu::Mov as u8, dst, 0, 0, small),
            Err(_) => self.imm64(dst, 0, value),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number are wanted")]
    fn imm64(&mut self, dst: Reg, pseudo: u8, value: i64) {
        self.push(LD_IMM64, dst, pseudo, 0, value as i32);
        self.push(0, Reg(0), 0, 0, (value >> 32) as i32);
    }

    pub(super) fn alu(&mut self, op: Alu, dst: Reg, src: Reg) {
        self.push(ALU64 | X | op as u8, dst, src.0, 0, 0);
    }

    pub(super) fn alu_imm(&mut self, op: Alu, dst: Reg, imm: i32) {
        self.push(ALU64 | op as u8, dst, 0, 0, imm);
    }

    /// Signed division or remainder (offset 1; kernel 6.6).
    pub(super) fn signed(&mut self, op: Alu, dst: Reg, src: Reg) {
        self.push(ALU64 | X | op as u8, dst, src.0, 1, 0);
    }

    /// Clears the upper 32 bits.
    pub(super) fn low32(&mut self, reg: Reg) {
        self.push(ALU32 | X | Alu::Mov as u8, reg, reg.0, 0, 0);
    }

    /// The lowest `bits` bits (16, 32, 64) from or to network byte order; the others become 0.
    pub(super) fn big_endian(&mut self, reg: Reg, bits: i32) {
        self.push(TO_BE, reg, 0, 0, bits);
    }

    pub(super) fn load(&mut self, width: Width, dst: Reg, base: Reg, off: i16) {
        self.push(width.load(), dst, base.0, off, 0);
    }

    pub(super) fn store(&mut self, width: Width, base: Reg, off: i16, src: Reg) {
        self.push(width.store(), base, src.0, off, 0);
    }

    pub(super) fn store_imm(&mut self, width: Width, base: Reg, off: i16, imm: i32) {
        self.push(width.store_imm(), base, 0, off, imm);
    }

    /// An atomic operation on 8 bytes at `base`; with `ATOMIC_FETCH` and for `ATOMIC_XCHG` the old value comes back in
    /// `src`.
    pub(super) fn atomic(&mut self, op: i32, base: Reg, off: i16, src: Reg) {
        self.push(ATOMIC64, base, src.0, off, op);
    }

    pub(super) fn call(&mut self, helper: Helper) {
        self.push(CALL, Reg(0), 0, 0, helper as i32);
    }

    /// Calls a function of the kernel by its BTF id.
    pub(super) fn call_kfunc(&mut self, btf_id: i32) {
        self.push(CALL, Reg(0), PSEUDO_KFUNC_CALL, 0, btf_id);
    }

    pub(super) fn map(&mut self, dst: Reg, map: MapId) {
        self.maps.push((self.insns.len(), map));
        self.imm64(dst, PSEUDO_MAP_FD, 0);
    }

    /// Address of byte `off` of the only element of an array map.
    pub(super) fn map_value(&mut self, dst: Reg, map: MapId, off: u32) {
        self.maps.push((self.insns.len(), map));
        self.imm64(dst, PSEUDO_MAP_VALUE, i64::from(off) << 32);
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.insns.len(), label));
        self.push(JA, Reg(0), 0, 0, 0);
    }

    pub(super) fn jump_if(&mut self, cond: Jump, left: Reg, right: Reg, label: Label) {
        self.jumps.push((self.insns.len(), label));
        self.push(JMP | X | cond as u8, left, right.0, 0, 0);
    }

    pub(super) fn jump_if_imm(&mut self, cond: Jump, left: Reg, right: i32, label: Label) {
        self.jumps.push((self.insns.len(), label));
        self.push(JMP | cond as u8, left, 0, 0, right);
    }

    /// Marks a loop's head: the kernel follows the loop without end, and jumps when it has lasted too long.
    pub(super) fn may_goto(&mut self, label: Label) {
        self.jumps.push((self.insns.len(), label));
        self.push(MAY_GOTO, Reg(0), 0, 0, 0);
    }

    pub(super) fn exit(&mut self) {
        self.exit_with(self.result);
    }

    pub(super) fn exit_with(&mut self, result: i64) {
        self.imm(R0, result);
        self.push(EXIT, Reg(0), 0, 0, 0);
    }

    /// Which instructions can run: the verifier refuses programs that hold others.
    fn reachable(&self, targets: &[Option<usize>]) -> Result<Vec<bool>, TooFar> {
        let mut reached = vec![false; self.insns.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            match reached.get_mut(at) {
                Some(seen) if *seen => continue,
                Some(seen) => *seen = true,
                None => return Err(TooFar),
            }
            let code = self.insns.get(at).map_or(EXIT, |insn| insn.code);
            if let Some(target) = targets.get(at).copied().flatten() {
                open.push(target);
            }
            match code {
                EXIT | JA => {}
                LD_IMM64 => {
                    if let Some(second) = reached.get_mut(at + 1) {
                        *second = true;
                    }
                    open.push(at + 2);
                }
                _ => open.push(at + 1),
            }
        }
        Ok(reached)
    }

    /// Resolves the jumps, and leaves out what cannot run. A conditional jump over more than [`NEAR`] instructions goes to
    /// a `gotol` behind it.
    pub(super) fn finish(self) -> Result<Assembled, TooFar> {
        let mut targets = vec![None; self.insns.len()];
        for (at, label) in &self.jumps {
            let target = self.labels.get(label.0).copied().flatten().ok_or(TooFar)?;
            if let Some(slot) = targets.get_mut(*at) {
                *slot = Some(target);
            }
        }
        let reached = self.reachable(&targets)?;
        let alive = |at: usize| reached.get(at) == Some(&true);
        let signed = |n: usize| i64::try_from(n).map_err(|_| TooFar);
        // Conditional jumps that become three instructions; each round may push others out of reach.
        let mut far = vec![false; self.insns.len()];
        let moved = loop {
            // The new position of each instruction, and of the end.
            let mut moved = Vec::with_capacity(reached.len() + 1);
            let mut kept = 0usize;
            for (reached, far) in reached.iter().zip(&far) {
                moved.push(kept);
                kept += if !*reached {
                    0
                } else if *far {
                    3
                } else {
                    1
                };
            }
            moved.push(kept);
            let mut more = false;
            for (at, target) in targets.iter().enumerate().filter(|(at, _)| alive(*at)) {
                let (Some(target), Some(is_far)) = (target, far.get_mut(at)) else { continue };
                let (from, to) = (moved.get(at).ok_or(TooFar)?, moved.get(*target).ok_or(TooFar)?);
                let near = (signed(*to)? - signed(*from)? - 1).abs() <= NEAR;
                if !near && !*is_far && self.insns.get(at).is_some_and(|insn| insn.code != JA) {
                    *is_far = true;
                    more = true;
                }
            }
            if !more {
                break moved;
            }
        };
        let new = |at: usize| moved.get(at).copied().ok_or(TooFar);
        let mut insns = Vec::with_capacity(moved.last().copied().unwrap_or(0));
        for (at, insn) in self.insns.iter().enumerate().filter(|(at, _)| alive(*at)) {
            let mut insn = *insn;
            let Some(target) = targets.get(at).copied().flatten() else {
                insns.push(insn);
                continue;
            };
            if far.get(at) == Some(&true) {
                insns.push(Insn { off: 1, ..insn });
                insns.push(Insn { code: JA, dst: 0, src: 0, off: 1, imm: 0 });
                insn = Insn { code: JA, dst: 0, src: 0, off: 0, imm: 0 };
            }
            let distance = signed(new(target)?)? - signed(insns.len())? - 1;
            match i16::try_from(distance) {
                Ok(near) if distance.abs() <= NEAR || insn.code != JA => insn.off = near,
                // `gotol` of the fourth instruction set (kernel 6.6): BPF_JMP32 | BPF_JA, distance in `imm`.
                Ok(_) | Err(_) if insn.code == JA => {
                    insn.code = 0x06;
                    insn.imm = i32::try_from(distance).map_err(|_| TooFar)?;
                }
                Ok(_) | Err(_) => return Err(TooFar),
            }
            insns.push(insn);
        }
        let maps = self.maps.iter().filter(|(at, _)| alive(*at));
        let maps = maps.map(|(at, map)| Ok((new(*at)?, *map))).collect::<Result<_, TooFar>>()?;
        let spans = self.spans.iter().map(|(at, span)| Ok((new(*at)?, *span))).collect::<Result<_, TooFar>>()?;
        Ok(Assembled { insns, maps, spans })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as `llvm-mc -triple=bpfel --show-encoding` prints them; the last by RFC 9669, section 5.3.
    #[test]
    fn encodings_are_llvms() {
        let mut asm = Asm::default();
        asm.mov(CTX, R1); // r6 = r1
        asm.imm(R2, -8); // r2 = -8
        asm.load(Width::D, R0, CTX, 112); // r0 = *(u64 *)(r6 + 112)
        asm.store(Width::W, FP, -4, R0); // *(u32 *)(r10 - 4) = r0
        asm.signed(Alu::Div, R0, R1); // r0 s/= r1
        asm.atomic(ATOMIC_ADD | ATOMIC_FETCH, R1, 8, R0); // r0 = atomic_fetch_add((u64 *)(r1 + 8), r0)
        asm.exit();
        let mut insns = asm.finish().unwrap().insns;
        insns.truncate(6);
        let bytes: Vec<[u8; 8]> = insns.into_iter().map(Insn::to_bytes).collect();
        assert_eq!(
            bytes,
            [
                [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
                [0xb7, 0x02, 0, 0, 0xf8, 0xff, 0xff, 0xff],
                [0x79, 0x60, 0x70, 0, 0, 0, 0, 0],
                [0x63, 0x0a, 0xfc, 0xff, 0, 0, 0, 0],
                [0x3f, 0x10, 1, 0, 0, 0, 0, 0],
                [0xdb, 0x01, 8, 0, 1, 0, 0, 0],
            ]
        );
    }

    #[test]
    fn a_jump_counts_from_the_next_instruction() {
        let mut asm = Asm::default();
        let end = asm.label();
        asm.jump_if_imm(Jump::Eq, R0, 0, end);
        asm.imm(R1, 0x1_0000_0000); // two slots
        asm.place(end);
        asm.exit();
        let insns = asm.finish().unwrap().insns;
        assert_eq!(insns[0].off, 2);
        assert_eq!(insns.len(), 5);
    }

    #[test]
    fn a_far_conditional_jump_goes_by_a_long_one() {
        let mut asm = Asm::default();
        let end = asm.label();
        asm.jump_if_imm(Jump::Eq, R0, 0, end);
        for _ in 0..40_000 {
            asm.imm(R1, 1);
        }
        asm.place(end);
        asm.exit();
        let insns = asm.finish().unwrap().insns;
        assert_eq!((insns[0].off, insns[1].code, insns[1].off), (1, JA, 1));
        assert_eq!((insns[2].code, insns[2].imm), (0x06, 40_000));
    }

    #[test]
    fn what_cannot_run_is_left_out() {
        let mut asm = Asm::default();
        let end = asm.label();
        asm.jump(end);
        asm.imm(R1, 1);
        asm.place(end);
        asm.exit();
        let insns = asm.finish().unwrap().insns;
        assert_eq!((insns.len(), insns[0].off), (3, 0));
    }

    #[test]
    fn a_jump_to_nowhere_is_an_error() {
        let mut asm = Asm::default();
        let lost = asm.label();
        asm.jump(lost);
        assert!(asm.finish().is_err());
    }
}
