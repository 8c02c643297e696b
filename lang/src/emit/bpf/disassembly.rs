//! Owns showing a program as text, in the kernel verifier's own notation, with the source each part was made from.

use std::fmt::Write;

use super::insn::*;
use super::map::MapKind;
use super::{BpfProgram, Compiled};
use crate::source::Sources;

impl Compiled {
    /// All programs and their maps as text: what `ctp build --emit bpf` prints.
    pub fn disassemble(&self, sources: &Sources) -> String {
        let mut out = String::new();
        for (index, map) in
            self.maps.iter().enumerate().filter(|(_, map)| map.value_size > 0 || map.kind == MapKind::Ring)
        {
            let (name, key, value, entries) = (&map.name, map.key_size, map.value_size, map.max_entries);
            let _ = writeln!(out, "; map {index} {name}: {:?}, key {key}, value {value}, entries {entries}", map.kind);
        }
        for (index, program) in self.programs.iter().enumerate() {
            let _ = writeln!(out, "\n; program {index}: uprobe_multi, sleepable, {} instructions", program.insns.len());
            self.program(program, sources, &mut out);
        }
        out
    }

    fn program(&self, program: &BpfProgram, sources: &Sources, out: &mut String) {
        let mut shown = None;
        let mut insns = program.insns.iter().enumerate();
        while let Some((at, insn)) = insns.next() {
            if let Some(span) = program.span(at)
                && let Some(source) = sources.get(span.source)
            {
                let line = source.line_column(span.start).line;
                if shown != Some((span.source, line)) {
                    shown = Some((span.source, line));
                    let _ = writeln!(out, "; {}:{line}: {}", source.name(), source.line(line).trim());
                }
            }
            let text = if insn.code == LD_IMM64 {
                let high = insns.next().map_or(0, |(_, second)| second.imm);
                let map = program.maps.iter().find(|(place, _)| *place == at).map(|(_, map)| map.0 as usize);
                let name = map.and_then(|map| self.maps.get(map)).map_or("?", |map| &map.name);
                match insn.src {
                    PSEUDO_MAP_FD => format!("r{} = map[{name}]", insn.dst),
                    PSEUDO_MAP_VALUE => format!("r{} = map[{name}][0]+{high}", insn.dst),
                    _ => format!(
                        "r{} = {:#x} ll",
                        insn.dst,
                        (i64::from(high) << 32) | (i64::from(insn.imm) & 0xffff_ffff)
                    ),
                }
            } else {
                line(insn)
            };
            let _ = writeln!(out, "{at:5}: {text}");
        }
    }
}

fn line(insn: &Insn) -> String {
    let Insn { code, dst, src, off, imm } = *insn;
    let right = if code & X != 0 { format!("r{src}") } else { imm.to_string() };
    let width = match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    };
    let memory = |base: u8| format!("*({width} *)(r{base} {off:+})");
    match code {
        CALL if src == PSEUDO_KFUNC_CALL => format!("call kernel-function#{imm}"),
        CALL => format!("call {}", Helper::name(imm)),
        EXIT => "exit".to_owned(),
        JA => format!("goto {off:+}"),
        MAY_GOTO => format!("may_goto {off:+}"),
        0x06 => format!("gotol {imm:+}"),
        TO_BE => format!("r{dst} = be{imm} r{dst}"),
        ATOMIC64 => match imm {
            ATOMIC_ADD => format!("lock {} += r{src}", memory(dst)),
            ATOMIC_CMPXCHG => format!("r0 = atomic64_cmpxchg({}, r0, r{src})", memory(dst)),
            ATOMIC_XCHG => format!("r{src} = atomic64_xchg({}, r{src})", memory(dst)),
            _ => format!("r{src} = atomic64_fetch_add({}, r{src})", memory(dst)),
        },
        _ => match code & 0x07 {
            0x01 => format!("r{dst} = {}", memory(src)),
            0x02 => format!("{} = {imm}", memory(dst)),
            0x03 => format!("{} = r{src}", memory(dst)),
            JMP => format!("if r{dst} {} {right} goto {off:+}", condition(code & 0xf0)),
            half => {
                let register = if half == ALU32 { "w" } else { "r" };
                let right = if code & X != 0 { format!("{register}{src}") } else { imm.to_string() };
                let sign = if off == 1 { "s" } else { "" };
                match code & 0xf0 {
                    0x80 => format!("{register}{dst} = -{register}{dst}"),
                    0xb0 => format!("{register}{dst} = {right}"),
                    operation => format!("{register}{dst} {sign}{}= {right}", operator(operation)),
                }
            }
        },
    }
}

fn condition(bits: u8) -> &'static str {
    match bits {
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x50 => "!=",
        0x60 => "s>",
        0x70 => "s>=",
        0xa0 => "<",
        0xb0 => "<=",
        0xc0 => "s<",
        0xd0 => "s<=",
        _ => "?",
    }
}

fn operator(bits: u8) -> &'static str {
    match bits {
        0x00 => "+",
        0x10 => "-",
        0x20 => "*",
        0x30 => "/",
        0x40 => "|",
        0x50 => "&",
        0x60 => "<<",
        0x70 => ">>",
        0x90 => "%",
        0xa0 => "^",
        0xc0 => "s>>",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those that `llvm-mc -triple=bpfel` makes of these texts (which it writes with more blanks).
    #[test]
    fn instructions_read_as_the_verifier_writes_them() {
        let insn = |code, dst, src, off, imm| Insn { code, dst, src, off, imm };
        for (insn, text) in [
            (insn(0xbf, 6, 1, 0, 0), "r6 = r1"),
            (insn(0xb7, 2, 0, 0, -8), "r2 = -8"),
            (insn(0x79, 0, 6, 112, 0), "r0 = *(u64 *)(r6 +112)"),
            (insn(0x63, 10, 0, -4, 0), "*(u32 *)(r10 -4) = r0"),
            (insn(0x7a, 10, 0, -16, 7), "*(u64 *)(r10 -16) = 7"),
            (insn(0xc7, 0, 0, 0, 32), "r0 s>>= 32"),
            (insn(0x87, 0, 0, 0, 0), "r0 = -r0"),
            (insn(0xdb, 1, 2, 8, 0), "lock *(u64 *)(r1 +8) += r2"),
            (insn(0x15, 0, 0, 5, 0), "if r0 == 0 goto +5"),
            (insn(0x6d, 1, 2, -3, 0), "if r1 s> r2 goto -3"),
            (insn(0x05, 0, 0, 9, 0), "goto +9"),
            (insn(0x95, 0, 0, 0, 0), "exit"),
        ] {
            assert_eq!(line(&insn), text);
        }
    }
}
