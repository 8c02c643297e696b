//! Owns which returns are seen by uprobe sessions (Linux 6.13): one probe on the entry, which runs its program once more
//! when the call returns. The kernel puts the address of a trampoline in the place of the return address meanwhile, so only
//! functions of which the code proves that this does no harm are probed so ([`crate::ir::Exits::uretprobe`]), and only in
//! tasks in which the kernel is known to find the call again.

use super::asm::{Asm, Label};
use super::expr::{PROGRAM_COUNTER, register_offset};
use super::frame::Slot;
use super::insn::*;
use super::{KernelFacts, Options, ReturnsBy, needs};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Exits, ProbeKind, Program, Returns, Site, Variant};

/// What sessions need of the kernel: the ids of two of its functions, and byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// BTF id of `bpf_session_is_return`.
    pub is_return: u32,
    /// BTF id of `bpf_session_cookie`.
    pub cookie: u32,
    /// `task_struct.thread_info.syscall_work`
    pub syscall_work: i16,
    /// `task_struct.utask`
    pub utask: i16,
    /// `uprobe_task.depth`
    pub depth: i16,
    /// `uprobe_task.return_instances`
    pub instances: i16,
    /// `return_instance.stack`
    pub stack: i16,
    /// `return_instance.func`
    pub function: i16,
    /// `task_struct.mm`
    pub memory: i16,
    /// `mm_struct.uprobes_state.xol_area`
    pub area: i16,
    /// `xol_area.vaddr`
    pub area_address: i16,
}

/// Bits of `syscall_work` that somebody sees to who does not know the system call by which a return probe enters the kernel
/// (`enum syscall_work_bit`): `SYSCALL_TRACE`, `SYSCALL_EMU` (ptrace), `SYSCALL_USER_DISPATCH`.
const WATCHED: i32 = 1 << 2 | 1 << 3 | 1 << 5;
/// How many open calls the kernel keeps of a thread (`MAX_URETPROBE_DEPTH` of kernel/events/uprobes.c): it drops others
/// without a word.
const MOST_OPEN: i32 = 64;
/// The stack pointer (DWARF's number).
const RSP: u16 = 7;

/// Whether sessions are used in this program at all.
///
/// # Errors
/// Why not, in words.
pub fn usable(program: &Program, options: &Options, kernel: &KernelFacts) -> Result<(), &'static str> {
    if options.returns == ReturnsBy::Instructions {
        return Err("as --returns asks for");
    }
    if needs(program, options).process {
        return Err("the program shows stacks, which must be as the traced program made them");
    }
    match kernel.session {
        Some(_) => Ok(()),
        None => Err("sessions need Linux 6.14 with BTF, and uprobe_multi links"),
    }
}

/// The program with the sites of each return probe that are seen by sessions in a variant of their own; `None` where there
/// are none.
///
/// # Errors
/// Where sessions were asked for and something stands against them.
pub(super) fn split(
    program: &Program,
    options: &Options,
    kernel: &KernelFacts,
) -> Result<Option<Program>, Vec<Diagnostic>> {
    let usable = usable(program, options, kernel);
    if options.returns == ReturnsBy::Session {
        let refused = refused(program, usable);
        if !refused.is_empty() {
            return Err(refused);
        }
    }
    let proved = |site: &Site| site.exits.as_ref().is_some_and(|exits| exits.uretprobe.is_ok());
    let any =
        super::variants(program).any(|(_, variant, _)| variant.returns.is_some() && variant.sites.iter().any(proved));
    if usable.is_err() || !any {
        return Ok(None);
    }
    let mut program = program.clone();
    for probe in &mut program.probes {
        let ProbeKind::Sites(variants) = &mut probe.kind else { continue };
        for variant in std::mem::take(variants) {
            let Some(returns) = variant.returns.clone() else {
                variants.push(variant);
                continue;
            };
            let (by_session, by_instructions): (Vec<Site>, Vec<Site>) = variant.sites.iter().cloned().partition(proved);
            for (sites, session) in [(by_instructions, false), (by_session, true)] {
                if !sites.is_empty() {
                    let returns = Some(Returns { session, ..returns.clone() });
                    variants.push(Variant { sites, returns, ..variant.clone() });
                }
            }
        }
    }
    Ok(Some(program))
}

/// What stands against sessions for all returns.
fn refused(program: &Program, usable: Result<(), &'static str>) -> Vec<Diagnostic> {
    let mut refused: Vec<Diagnostic> = Vec::new();
    for probe in &program.probes {
        let ProbeKind::Sites(variants) = &probe.kind else { continue };
        let returns = variants.iter().filter(|variant| variant.returns.is_some());
        let against = |site: &Site| {
            let exits: Option<&Exits> = site.exits.as_ref();
            let proved = exits.map_or(Ok(()), |exits| exits.uretprobe.clone());
            let proved = proved.and(usable.map_err(str::to_owned));
            proved.err().map(|why| (site.function.to_string(), why))
        };
        if let Some((function, why)) = returns.flat_map(|variant| &variant.sites).find_map(against) {
            let message = format!("returns of `{function}` are not seen by the kernel's return probes");
            refused.push(
                Diagnostic::new(Code::E0302, probe.span, message)
                    .note(why)
                    .help("leave out --returns session: ctp then probes return instructions where it must"),
            );
        }
    }
    refused
}

/// Where a program that asks once holds what it found: the task at an entry, 0 at a return.
pub(super) const TASK: Reg = SCRATCH;

/// Begins such a program: goes to `returned` at the end of a call.
pub(super) fn begin(asm: &mut Asm, facts: &SessionFacts, returned: Label) {
    asm.imm(TASK, 0);
    at_return(asm, facts, returned);
    asm.call(Helper::GetCurrentTaskBtf);
    asm.mov(TASK, R0);
}

/// Goes to `returned` at the end of a call; leaves r0 to r5 changed.
pub(super) fn at_return(asm: &mut Asm, facts: &SessionFacts, returned: Label) {
    asm.mov(R1, CTX);
    asm.call_kfunc(facts.is_return.cast_signed());
    asm.alu_imm(Alu::And, R0, 1);
    asm.jump_if_imm(Jump::Ne, R0, 0, returned);
}

/// Goes to `unwatched` on an entry whose return the kernel must not be asked for. It would take a call that is open in
/// this thread for one that was left (`cleanup_return_instances` of kernel/events/uprobes.c), by its stack pointer alone,
/// where the two are on different stacks: in a handler of a signal on a stack of its own, say. It would then not find that
/// call when it returns, and end the program. Goes to `again` where the call is open already: its first instruction caused
/// a signal, and begins anew behind the handler. The kernel would report its return once for each time. Such a call has
/// its place and its stack pointer, and would return to the kernel's trampoline, which is where the kernel's area for
/// copies of instructions begins. (One that was left by a jump, and of which the next has the place and the stack pointer,
/// returns elsewhere.) `words` are 16 bytes.
pub(super) fn guard(
    asm: &mut Asm,
    facts: &SessionFacts,
    task: Option<Reg>,
    words: Slot,
    (unwatched, again): (Label, Label),
) {
    let found_again = asm.label();
    match task {
        Some(task) => asm.mov(R0, task),
        None => asm.call(Helper::GetCurrentTaskBtf),
    }
    asm.load(Width::D, R1, R0, facts.syscall_work);
    asm.alu_imm(Alu::And, R1, WATCHED);
    asm.jump_if_imm(Jump::Ne, R1, 0, unwatched);
    asm.load(Width::D, R1, R0, facts.utask);
    asm.load(Width::W, R2, R1, facts.depth);
    asm.jump_if_imm(Jump::Ge, R2, MOST_OPEN, unwatched);
    asm.load(Width::D, R1, R1, facts.instances);
    asm.jump_if_imm(Jump::Eq, R1, 0, found_again);
    asm.load(Width::D, R2, R1, facts.stack);
    asm.load(Width::D, R3, CTX, register_offset(RSP).unwrap_or_default());
    asm.jump_if(Jump::Gt, R3, R2, unwatched);
    asm.jump_if(Jump::Ne, R3, R2, found_again);
    asm.load(Width::D, R1, R1, facts.function);
    asm.load(Width::D, R2, CTX, PROGRAM_COUNTER);
    asm.jump_if(Jump::Ne, R1, R2, found_again);
    let (trampoline, returns_to) = (words, words.plus(8));
    asm.load(Width::D, R1, R0, facts.memory);
    asm.jump_if_imm(Jump::Eq, R1, 0, found_again);
    asm.load(Width::D, R1, R1, facts.area);
    asm.jump_if_imm(Jump::Eq, R1, 0, found_again);
    asm.load(Width::D, R1, R1, facts.area_address);
    asm.store(Width::D, trampoline.base, trampoline.off, R1);
    asm.mov(R1, returns_to.base);
    asm.alu_imm(Alu::Add, R1, i32::from(returns_to.off));
    asm.imm(R2, 8);
    asm.call(Helper::CopyFromUser);
    asm.jump_if_imm(Jump::Ne, R0, 0, found_again);
    asm.load(Width::D, R1, trampoline.base, trampoline.off);
    asm.load(Width::D, R2, returns_to.base, returns_to.off);
    asm.jump_if(Jump::Eq, R1, R2, again);
    asm.place(found_again);
}

/// Leaves the address of the 8 bytes in r0 that the kernel keeps of this call.
pub(super) fn cookie(asm: &mut Asm, facts: &SessionFacts) {
    asm.mov(R1, CTX);
    asm.call_kfunc(facts.cookie.cast_signed());
}
