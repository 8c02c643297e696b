//! Owns showing compiled programs to people, in the form the kernel's verifier and bpftool use, with the source lines.

use std::fmt::Write as _;

use super::insn::{CALL, EXIT, Insn, JA, LD_IMM64, PSEUDO_KFUNC_CALL};
use super::{BpfProgram, Compiled};
use crate::source::Sources;

impl Compiled {
    /// Maps and instructions as text, each stretch of instructions below the source line it was made from.
    pub fn disassembly(&self, sources: &Sources) -> String {
        let mut out = String::new();
        for (index, map) in self.maps.iter().enumerate() {
            let _ = writeln!(
                out,
                "map {index} {}: {:?}, key {} bytes, value {} bytes, {} entries",
                map.name, map.kind, map.key_size, map.value_size, map.max_entries
            );
        }
        for (index, program) in self.programs.iter().enumerate() {
            let _ = writeln!(out, "\nprogram {index}: {} instructions", program.insns.len());
            self.instructions(&mut out, program, sources);
        }
        out
    }

    fn instructions(&self, out: &mut String, program: &BpfProgram, sources: &Sources) {
        let mut shown = None;
        let mut wide = false;
        for (at, insn) in program.insns.iter().enumerate() {
            // The second half of a 64-bit immediate is part of the line before.
            if std::mem::take(&mut wide) {
                continue;
            }
            if let Some(span) = program.span(at)
                && let Some(source) = sources.get(span.source)
            {
                let line = source.line_column(span.start).line;
                if shown != Some((span.source, line)) {
                    shown = Some((span.source, line));
                    let _ = writeln!(out, "; {}:{line}: {}", source.name(), source.line(line).trim());
                }
            }
            wide = insn.code == LD_IMM64;
            let high = program.insns.get(at + 1).filter(|_| wide).map_or(0, |next| next.imm);
            let map = program.maps.iter().find(|(index, _)| *index == at).map(|(_, map)| map.0);
            let _ = writeln!(out, "{at:5}: {}", text(*insn, high, map));
        }
    }
}

/// One instruction; `high` is the upper half of a 64-bit immediate, `map` the map that belongs into it.
fn text(insn: Insn, high: i32, map: Option<u32>) -> String {
    let Insn { code, dst, src, off, imm } = insn;
    let width = match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    };
    let from_register = code & 0x08 != 0;
    let operand = if from_register { format!("r{src}") } else { imm.to_string() };
    match (code & 0x07, code) {
        (_, LD_IMM64) => match map {
            Some(map) => format!("r{dst} = map[{map}]{}", if high != 0 { format!(" + {high}") } else { String::new() }),
            None => {
                let value = (i64::from(high) << 32) | i64::from(imm.cast_unsigned());
                format!("r{dst} = {value:#x} ll")
            }
        },
        (_, EXIT) => "exit".to_owned(),
        (_, CALL) if src == PSEUDO_KFUNC_CALL => format!("call kernel function {imm}"),
        (_, CALL) => format!("call helper {imm}"),
        (_, JA) => format!("goto {off:+}"),
        (0x01, _) => format!("r{dst} = *({width} *)(r{src} {off:+})"),
        (0x02, _) => format!("*({width} *)(r{dst} {off:+}) = {imm}"),
        (0x03, _) if code & 0xe0 == 0xc0 => format!("lock *({width} *)(r{dst} {off:+}) op {imm:#x} r{src}"),
        (0x03, _) => format!("*({width} *)(r{dst} {off:+}) = r{src}"),
        (0x05 | 0x06, _) => {
            let word = if code & 0x07 == 0x06 { "w" } else { "r" };
            let operand = if from_register { format!("{word}{src}") } else { operand };
            format!("if {word}{dst} {} {operand} goto {off:+}", condition(code & 0xf0))
        }
        (class, _) => {
            let word = if class == 0x04 { "w" } else { "r" };
            let operand = if from_register { format!("{word}{src}") } else { operand };
            match code & 0xf0 {
                0x80 => format!("{word}{dst} = -{word}{dst}"),
                0xd0 => format!("{word}{dst} = swap{imm} {word}{dst}"),
                operation => format!("{word}{dst} {} {operand}", arithmetic(operation, off != 0)),
            }
        }
    }
}

fn condition(operation: u8) -> &'static str {
    match operation {
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x40 => "&",
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

fn arithmetic(operation: u8, signed: bool) -> &'static str {
    match operation {
        0x00 => "+=",
        0x10 => "-=",
        0x20 => "*=",
        0x30 if signed => "s/=",
        0x30 => "/=",
        0x40 => "|=",
        0x50 => "&=",
        0x60 => "<<=",
        0x70 => ">>=",
        0x90 if signed => "s%=",
        0x90 => "%=",
        0xa0 => "^=",
        0xb0 => "=",
        0xc0 => "s>>=",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::emit::bpf::Insn;

    #[test]
    fn instructions_read_as_in_the_verifiers_log() {
        // Right column: what the kernel's verifier prints for these bytes (kernel/bpf/disasm.c).
        for (code, dst, src, off, imm, expected) in [
            (0xbf, 6, 1, 0, 0, "r6 = r1"),
            (0xb7, 0, 0, 0, 0, "r0 = 0"),
            (0x79, 1, 6, 112, 0, "r1 = *(u64 *)(r6 +112)"),
            (0x7b, 10, 1, -8, 0, "*(u64 *)(r10 -8) = r1"),
            (0x62, 10, 0, -16, 5, "*(u32 *)(r10 -16) = 5"),
            (0x55, 0, 0, 3, 0, "if r0 != 0 goto +3"),
            (0x1d, 1, 2, -4, 0, "if r1 == r2 goto -4"),
            (0xc7, 3, 0, 0, 32, "r3 s>>= 32"),
            (0x3f, 1, 2, 1, 0, "r1 s/= r2"),
            (0x05, 0, 0, 7, 0, "goto +7"),
            (0x95, 0, 0, 0, 0, "exit"),
        ] {
            assert_eq!(text(Insn { code, dst, src, off, imm }, 0, None), expected);
        }
    }
}
