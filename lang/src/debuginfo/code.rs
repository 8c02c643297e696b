//! Owns reading machine code: which addresses are instruction boundaries and where branches lead, so that an address
//! chosen from tables is known to be passed by every call, once.

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

use super::elf::Elf;
use super::limits;
use crate::world::ReadAt;

/// The instructions of one function.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// Addresses of instructions, rising within each range.
    starts: Vec<u64>,
    /// Jumps: from, to.
    branches: Vec<(u64, u64)>,
    /// Instructions behind which control does not go on: returns, jumps through a register or memory, traps.
    stops: Vec<u64>,
    /// Whether it jumps through a register or memory: where to, nobody knows.
    indirect: bool,
    /// Comparisons with a limit of Go's stack.
    stack_checks: Vec<u64>,
}

/// Whether an instruction compares with `stackguard0` or `stackguard1` of Go's `g`, which is in r14 (before Go 1.17: rcx)
/// (runtime/runtime2.go; both are only what functions begin with).
fn is_stack_check(instruction: &iced_x86::Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Cmp
        && matches!(instruction.memory_base(), Register::R14 | Register::RCX)
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_displacement64(), 0x10 | 0x18)
}

impl Code {
    /// Decodes the ranges of a function. What cannot be read or is over [`limits::MAX_CODE_BYTES`] is left out.
    pub(super) fn read(bytes: &dyn ReadAt, elf: &Elf, ranges: &[(u64, u64)]) -> Code {
        let mut code = Code::default();
        let mut left = limits::MAX_CODE_BYTES;
        for (low, high) in ranges {
            let size = (high - low).min(left);
            left -= size;
            let Some(offset) = elf.file_offset(*low) else { continue };
            if let Some(Ok(text)) = super::elf::read_range(bytes, offset, size) {
                code.decode(&text, *low);
            }
        }
        code.starts.sort_unstable();
        code.branches.sort_unstable();
        code.stops.sort_unstable();
        code
    }

    fn decode(&mut self, text: &[u8], low: u64) {
        let mut decoder = Decoder::with_ip(64, text, low, DecoderOptions::NONE);
        let mut instruction = iced_x86::Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            let at = instruction.ip();
            self.starts.push(at);
            let near = instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64;
            match instruction.mnemonic() {
                Mnemonic::Call => {}
                Mnemonic::Cmp if is_stack_check(&instruction) => self.stack_checks.push(at),
                Mnemonic::Jmp if near => {
                    self.branches.push((at, instruction.near_branch_target()));
                    self.stops.push(at);
                }
                Mnemonic::Jmp => {
                    self.stops.push(at);
                    self.indirect = true;
                }
                Mnemonic::Ret | Mnemonic::Retf | Mnemonic::Ud2 | Mnemonic::Hlt | Mnemonic::INVALID => {
                    self.stops.push(at);
                }
                _ if near => self.branches.push((at, instruction.near_branch_target())),
                _ => {}
            }
        }
    }

    /// Whether an instruction begins there.
    pub(super) fn is_instruction(&self, address: u64) -> bool {
        self.starts.binary_search(&address).is_ok()
    }

    /// Whether it jumps through a register or memory.
    pub(super) fn jumps_anywhere(&self) -> bool {
        self.indirect
    }

    /// Whether a jump leads behind `low`, up to and including `high`.
    pub(super) fn arrives_within(&self, low: u64, high: u64) -> bool {
        self.branches.iter().any(|(_, to)| low < *to && *to <= high)
    }

    /// Where jumps that stand outside these ranges lead to inside of them.
    pub(super) fn arrivals(&self, ranges: &[(u64, u64)]) -> Vec<u64> {
        let inside = |address: &u64| ranges.iter().any(|(low, high)| (*low..*high).contains(address));
        self.branches.iter().filter(|(from, to)| !inside(from) && inside(to)).map(|(_, to)| *to).collect()
    }

    /// Whether every path from `entry` comes to `address`: what lies between never leaves it. (A jump over part of it,
    /// as around the saving of vector registers in a variadic function, stays inside.)
    pub(super) fn always_reaches(&self, entry: u64, address: u64) -> bool {
        let between = entry..address;
        let retries = self.retries(entry, address);
        let again = |to: &u64| retries.iter().any(|block| block.start() == to);
        let stays = |(from, to): &(u64, u64)| !between.contains(from) || (entry..=address).contains(to) || again(to);
        let branches_stay = self.branches.iter().all(stays);
        let stops = self.stops.iter().filter(|at| between.contains(at));
        let jumps = |at: &&u64| self.branches.binary_search_by_key(*at, |(from, _)| *from).is_ok();
        branches_stay && stops.clone().count() == stops.filter(jumps).count()
    }

    /// Where Go's functions grow their stack and begin anew: the blocks that only a branch between `entry` and `address`,
    /// where the stack is checked, leads to and that end in a jump back to `entry`, with nothing between but calls. (What
    /// stands before such a block may be a call that never returns.)
    fn retries(&self, entry: u64, address: u64) -> Vec<std::ops::RangeInclusive<u64>> {
        let between = entry..address;
        let mut found: Vec<std::ops::RangeInclusive<u64>> = Vec::new();
        if !self.stack_checks.iter().any(|at| between.contains(at)) {
            return found;
        }
        for (_, to) in self.branches.iter().filter(|(from, _)| between.contains(from)) {
            if (entry..=address).contains(to) || found.iter().any(|block| block.start() == to) {
                continue;
            }
            let Some(stop) = self.stops.get(self.stops.partition_point(|stop| stop < to)) else { continue };
            let block = *to..=*stop;
            let back = self.branches.iter().any(|(from, target)| from == stop && *target == entry);
            let straight = self.branches.iter().all(|(from, target)| {
                let leaves = block.contains(from) && from != stop;
                let enters = block.contains(target) && !(between.contains(from) && target == to);
                !leaves && !enters
            });
            if back && straight {
                found.push(block);
            }
        }
        found
    }

    /// The address behind the check of the stack with which a function of Go begins, where that is all that comes before:
    /// every call passes it, and once, whether or not its stack has to grow.
    pub(super) fn behind_stack_check(&self) -> Option<u64> {
        let (entry, check) = (*self.starts.first()?, *self.stack_checks.first()?);
        let jump = self.starts.get(self.starts.partition_point(|start| *start <= check))?;
        let behind = *self.starts.get(self.starts.partition_point(|start| start <= jump))?;
        let is_jump = self.branches.iter().any(|(from, _)| from == jump) && !self.stops.contains(jump);
        let grows = is_jump && !self.retries(entry, behind).is_empty();
        (grows && self.always_reaches(entry, behind) && !self.returns_to(entry, behind, |_| true)).then_some(behind)
    }

    /// Whether a jump from `address` or behind it (of an instruction for which `inside` holds) leads back to
    /// `entry..=address`: then one call can pass `address` more than once.
    pub(super) fn returns_to(&self, entry: u64, address: u64, inside: impl Fn(u64) -> bool) -> bool {
        let retries = self.retries(entry, address);
        self.branches.iter().any(|(from, to)| {
            let before = (entry..address).contains(from) || retries.iter().any(|block| block.contains(from));
            !before && (entry..=address).contains(to) && inside(*from)
        })
    }
}

impl Code {
    /// Moves the lowest address of a range of inlined code to where all jumps into the range arrive too, if control
    /// that comes in at `lowest` always goes on to there. clang lets such a range begin with the padding before a
    /// loop's head, or with what it moved out of the loop: only the first turn passes that.
    pub(super) fn common_entry(&self, lowest: u64, high: u64, inside: impl Fn(u64) -> bool) -> u64 {
        let arrivals = || self.branches.iter().filter(|(from, to)| !inside(*from) && (lowest..high).contains(to));
        let Some(last) = arrivals().map(|(_, to)| *to).max() else { return lowest };
        let reached = arrivals().map(|(_, to)| *to).chain([lowest]).all(|from| self.always_reaches(from, last));
        if reached { last } else { lowest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &[u8]) -> Code {
        let mut code = Code::default();
        code.decode(text, 0x1000);
        code
    }

    #[test]
    fn a_loop_at_the_entry_is_seen() {
        // 1000: sub edi, 1; 1003: jne 1000; 1005: ret (gcc -O2 of `do {} while (--n)`)
        let code = code(&[0x83, 0xef, 0x01, 0x75, 0xfb, 0xc3]);
        assert!(code.is_instruction(0x1003) && !code.is_instruction(0x1001));
        assert!(code.returns_to(0x1000, 0x1000, |_| true));
        assert!(!code.returns_to(0x1005, 0x1005, |_| true));
        assert!(!code.returns_to(0x1000, 0x1000, |from| from > 0x1003));
        assert!(code.always_reaches(0x1000, 0x1003));
    }

    #[test]
    fn padding_before_a_loop_is_no_entry() {
        // 1000: nop (4 bytes); 1004: mov edi, ebx; 1006: dec ebx; 1008: jne 1004; 100a: ret. Inlined: 1000..1006.
        let code = code(&[0x0f, 0x1f, 0x40, 0x00, 0x89, 0xdf, 0xff, 0xcb, 0x75, 0xfa, 0xc3]);
        assert_eq!(code.common_entry(0x1000, 0x1006, |at| (0x1000..0x1006).contains(&at)), 0x1004);
        // A loop of the inlined code itself is no entry.
        assert_eq!(code.common_entry(0x1000, 0x100a, |at| (0x1000..0x100a).contains(&at)), 0x1000);
    }

    #[test]
    fn an_early_return_is_seen() {
        // 1000: test edi, edi; 1002: jne 1005; 1004: ret; 1005: push rax; 1006: ret
        let code = code(&[0x85, 0xff, 0x75, 0x01, 0xc3, 0x50, 0xc3]);
        assert!(!code.always_reaches(0x1000, 0x1005));
        assert!(code.always_reaches(0x1000, 0x1002));
    }

    #[test]
    fn growing_the_stack_is_no_loop_behind_the_check() {
        // 1000: cmp rsp, [r14+16]; 1004: jbe 1008; 1006: push rbp; 1007: ret; 1008: call …; 100d: jmp 1000
        let text = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x02, 0x55, 0xc3, 0xe8, 0, 0, 0, 0, 0xeb, 0xf1];
        let code = code(&text);
        assert!(code.always_reaches(0x1000, 0x1006));
        assert!(!code.returns_to(0x1000, 0x1006, |_| true) && code.returns_to(0x1000, 0x1000, |_| true));
        // Without the check it is a loop.
        let mut text = text;
        text[3] = 0x20;
        assert!(self::code(&text).returns_to(0x1000, 0x1006, |_| true));
    }

    #[test]
    fn what_checks_its_stack_is_passed_once_behind_that() {
        // 1000: cmp rsp, [r14+16]; 1004: jbe 1008; 1006: push rbp; 1007: ret; 1008: call …; 100d: jmp 1000
        let text = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x02, 0x55, 0xc3, 0xe8, 0, 0, 0, 0, 0xeb, 0xf1];
        assert_eq!(code(&text).behind_stack_check(), Some(0x1006));
        // The jump leads elsewhere; nothing leads back; there is no check.
        for (at, byte) in [(5, 0x01), (14, 0xf7), (3, 0x20)] {
            let mut text = text;
            text[at] = byte;
            assert_eq!(code(&text).behind_stack_check(), None, "{at}");
        }
        assert_eq!(code(&[]).behind_stack_check(), None);
    }

    #[test]
    fn a_jump_over_part_of_the_prologue_stays_inside() {
        // 1000: test al, al; 1002: je 1005; 1004: nop; 1005: ret (the head of a variadic function)
        let code = code(&[0x84, 0xc0, 0x74, 0x01, 0x90, 0xc3]);
        assert!(code.always_reaches(0x1000, 0x1005));
    }
}
