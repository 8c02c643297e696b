//! Owns what is asked of the task and the moment, as numbers.

use super::env::Table;
use super::expr::PROGRAM_COUNTER;
use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Context, Site};
use crate::source::Span;

impl Gen<'_> {
    pub(super) fn context_number(&mut self, context: Context, span: Span) -> Result<(), Refused> {
        match context {
            Context::Pid => {
                self.asm.call(Helper::GetCurrentPidTgid);
                self.asm.alu_imm(Alu::Rsh, R0, 32);
            }
            Context::Tid => {
                self.asm.call(Helper::GetCurrentPidTgid);
                self.asm.low32(R0);
            }
            Context::Uid => {
                self.asm.call(Helper::GetCurrentUidGid);
                self.asm.low32(R0);
            }
            Context::Gid => {
                self.asm.call(Helper::GetCurrentUidGid);
                self.asm.alu_imm(Alu::Rsh, R0, 32);
            }
            Context::Now => self.asm.call(Helper::KtimeGetNs),
            Context::Cpu => self.asm.call(Helper::GetSmpProcessorId),
            Context::ThreadPointer => self.thread_pointer(span)?,
            Context::NsPid => self.namespace_id(true, span)?,
            Context::NsTid => self.namespace_id(false, span)?,
            Context::Elapsed => self.elapsed(span)?,
            Context::Walltime => {
                self.asm.call(Helper::KtimeGetTaiNs);
                self.asm.imm(R1, self.env.kernel.tai_offset);
                self.asm.alu(Alu::Sub, R0, R1);
            }
            Context::Image
            | Context::Pod
            | Context::Runtime
            | Context::Exe
            | Context::Stack(_)
            | Context::Caller
            | Context::Comm
            | Context::Container
            | Context::ContainerId
            | Context::ProbeFunction
            | Context::ProbePoint => {
                return Err(self.contradiction(span, "a string where a number is meant"));
            }
        }
        Ok(())
    }

    /// The base of segment fs as arch_prctl(2) and clone(2) set it, which is how threads get it. (A program that writes it
    /// with an instruction of its own, as FSGSBASE allows, is seen to have done so once the kernel has switched tasks.)
    fn thread_pointer(&mut self, span: Span) -> Result<(), Refused> {
        let Some(offset) = self.env.kernel.thread_pointer else {
            return Err(Box::new(Diagnostic::new(
                Code::E0402,
                span,
                "the kernel's BTF lacks the member from which a thread's own variables are counted",
            )));
        };
        let mark = self.frame;
        let base = self.temporary()?;
        self.asm.call(Helper::GetCurrentTask);
        self.kernel_read(base, R0, offset, 8);
        self.load(R0, base);
        self.frame.release(mark);
        Ok(())
    }

    /// The task's number in the container's pid namespace: `struct pid` holds one for each namespace it lives in,
    /// from the host's down to its own. A task that lives less deep (it joined the container's cgroup only) shows
    /// the deepest number it has.
    pub(super) fn namespace_id(&mut self, process: bool, span: Span) -> Result<(), Refused> {
        let Some(at) = self.env.kernel.pids else {
            return Err(Box::new(
                Diagnostic::new(Code::E0402, span, "the kernel's BTF lacks the members that hold a task's pids")
                    .help("`pid()` and `tid()` give the numbers of the host"),
            ));
        };
        let mark = self.frame;
        let pointer = self.temporary()?;
        let level = self.temporary()?;
        self.asm.call(Helper::GetCurrentTask);
        if process {
            self.kernel_read(pointer, R0, at.task_signal, 8);
            self.load(R0, pointer);
            self.kernel_read(pointer, R0, at.signal_tgid, 8);
        } else {
            self.kernel_read(pointer, R0, at.task_pid, 8);
        }
        self.load(R0, pointer);
        self.asm.store_imm(Width::D, level.base, level.off, 0);
        self.kernel_read(level, R0, at.pid_level, 4);
        let deep = self.asm.label();
        self.load(R0, level);
        self.load(R1, self.shared.pid_level);
        self.asm.jump_if(Jump::Lt, R0, R1, deep);
        self.asm.mov(R0, R1);
        self.asm.place(deep);
        // MAX_PID_NS_LEVEL is 32.
        self.asm.alu_imm(Alu::And, R0, 63);
        self.asm.alu_imm(Alu::Lsh, R0, 4); // sizeof(struct upid)
        self.load(R1, pointer);
        self.asm.alu(Alu::Add, R0, R1);
        self.asm.store_imm(Width::D, level.base, level.off, 0);
        self.kernel_read(level, R0, at.pid_numbers, 4);
        self.load(R0, level);
        self.frame.release(mark);
        Ok(())
    }

    /// The file name of what the task executes; empty for a task that executes nothing.
    pub(super) fn executable(&mut self, dst: Slot, span: Span) -> Result<(), Refused> {
        let Some(at) = self.env.kernel.exe else {
            return Err(Box::new(
                Diagnostic::new(
                    Code::E0402,
                    span,
                    "the kernel's BTF lacks the members that lead to a task's executable",
                )
                .help("`comm()` gives the thread's name"),
            ));
        };
        let mark = self.frame;
        let pointer = self.temporary()?;
        self.zero_text(dst);
        self.asm.call(Helper::GetCurrentTask);
        for offset in [at.task_mm, at.mm_exe_file, at.file_dentry, at.dentry_name] {
            self.kernel_read(pointer, R0, offset, 8);
            self.load(R0, pointer);
        }
        self.frame.release(mark);
        let end = self.asm.label();
        self.asm.mov(R3, R0);
        self.address(R1, dst.plus(8));
        self.asm.imm(R2, i64::from(self.env.text.text()));
        self.asm.call(Helper::ProbeReadKernelStr);
        self.asm.jump_if_imm(Jump::SLe, R0, 0, end);
        self.asm.alu_imm(Alu::Add, R0, -1);
        self.finish_text(dst);
        self.asm.place(end);
        Ok(())
    }

    /// Reads `size` bytes of the kernel at `base + off` to a slot.
    pub(super) fn kernel_read(&mut self, dst: super::frame::Slot, base: Reg, off: u32, size: u32) {
        self.asm.mov(R3, base);
        self.asm.alu_imm(Alu::Add, R3, off.cast_signed());
        self.copy_from_r3(dst, size);
    }

    /// The run-time address of a link-time address: both are as far from the probed address as from each other.
    pub(super) fn module_address(&mut self, address: u64) -> Result<(), Refused> {
        let sites = &self.variant.sites;
        let first = sites.first().map_or(0, |site| site.address);
        // A return is at another address than its site.
        if self.variant.returns.is_none() && sites.iter().all(|site: &Site| site.address == first) {
            self.asm.imm(R1, address.wrapping_sub(first).cast_signed());
        } else {
            self.table_address(Table::Addresses, SITE)?;
            self.load(R2, super::frame::Slot { base: R1, off: 0 });
            self.asm.imm(R1, address.cast_signed());
            self.asm.alu(Alu::Sub, R1, R2);
        }
        self.asm.load(Width::D, R0, CTX, PROGRAM_COUNTER);
        self.asm.alu(Alu::Add, R0, R1);
        Ok(())
    }

    /// The address of an entry of a table in r1; clobbers r0–r2.
    pub(super) fn table_address(&mut self, table: Table, index: Reg) -> Result<(), Refused> {
        let (offset, entry, count) = self.rodata.table(table, self.env);
        let (offset, entry, count) = (offset, i32::try_from(entry), i32::try_from(count));
        let (Ok(entry), Ok(count)) = (entry, count) else {
            return Err(super::handler::too_large(self.span));
        };
        self.asm.mov(R2, index);
        self.asm.jump_if_imm(Jump::Ge, R2, count, self.lost);
        self.asm.alu_imm(Alu::Mul, R2, entry);
        let map = if table.is_of_containers() { self.env.names } else { self.env.constants };
        self.asm.map_value(R1, map, offset);
        self.asm.alu(Alu::Add, R1, R2);
        Ok(())
    }
}
