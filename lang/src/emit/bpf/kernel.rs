//! Owns what compiling needs to know of the kernel that a program is for: ids of its functions, places in its structures.
//! The runner finds them in the kernel's BTF.

use super::{Options, ReturnsBy, handlers, reached, saved, sessions, visit_handler};
use crate::ir::{Context, Expr, ExprKind, Program, Site, visit_expressions};
use crate::world::{Boundary, Controller, TargetKind};

/// What compiling needs to know of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// BTF id of `bpf_copy_from_user_str` (kernel 6.12); without it, text on a page that is not resident is a fault.
    pub copy_from_user_str: Option<u32>,
    /// Where the kernel holds the numbers of a task.
    pub pids: Option<PidOffsets>,
    /// Where it holds what a task descends from.
    pub lineage: Option<LineageOffsets>,
    /// Where it holds the number of a task's mount namespace.
    pub namespaces: Option<NamespaceOffsets>,
    /// Where it holds a task's cgroups of version 1.
    pub cgroups1: Option<Cgroup1Offsets>,
    /// Where it holds a task's cgroup of version 2, where programs may follow its pointers.
    pub cgroups2: Option<Cgroup2Offsets>,
    /// Where the kernel holds the file that a task executes.
    pub exe: Option<ExeOffsets>,
    /// Where the kernel holds what tells a process, and a program it executes, from others.
    pub process: Option<ProcessOffsets>,
    /// What uprobe sessions need, where they can be used.
    pub session: Option<sessions::SessionFacts>,
    /// Where it holds the base of a thread's segment fs: of `task_struct.thread.fsbase`.
    pub thread_pointer: Option<u32>,
    /// What the kernel's TAI clock is ahead of its real-time clock, in ns: 0 where nobody told it of leap seconds. It
    /// follows settings of the real-time clock.
    pub tai_offset: i64,
}

/// Byte offsets of members of `task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessOffsets {
    /// `group_leader`
    pub leader: u32,
    /// `start_boottime`
    pub start: u32,
    /// `self_exec_id`
    pub executed: u32,
}

/// Byte offsets of members of `task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineageOffsets {
    /// `group_leader`
    pub leader: u32,
    /// `tgid`
    pub tgid: u32,
    /// `start_boottime`
    pub start: u32,
    /// `real_parent`
    pub parent: u32,
}

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceOffsets {
    /// `task_struct.nsproxy`
    pub proxy: u32,
    /// `nsproxy.mnt_ns`
    pub mount: u32,
    /// `mnt_namespace.ns.inum`
    pub number: u32,
}

/// Byte offsets of members in the kernel's structures, and where each controller stands among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup1Offsets {
    /// `task_struct.cgroups`
    pub set: u32,
    /// `css_set.subsys`: pointers, by [`Cgroup1Offsets::subsystems`].
    pub states: u32,
    /// `cgroup_subsys_state.cgroup`
    pub cgroup: u32,
    /// `cgroup.level`
    pub level: u32,
    /// `cgroup.ancestors`: pointers, from the root's on (Linux 6.1).
    pub ancestors: u32,
    /// `cgroup.kn`
    pub node: u32,
    /// `kernfs_node.id`
    pub node_id: u32,
    /// The `…_cgrp_id` of [`Controller::ALL`]; `None` for what this kernel was built without.
    pub subsystems: [Option<u32>; Controller::ALL.len()],
}

/// Byte offsets of members in the kernel's structures, as instructions hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup2Offsets {
    /// `task_struct.cgroups`
    pub set: i16,
    /// `css_set.dfl_cgrp`
    pub cgroup: i16,
    /// `cgroup.level`
    pub level: i16,
    /// `cgroup.kn`
    pub node: i16,
    /// `kernfs_node.id`
    pub node_id: i16,
}

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExeOffsets {
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `mm_struct.exe_file`
    pub mm_exe_file: u32,
    /// `file.f_path.dentry`
    pub file_dentry: u32,
    /// `dentry.d_name.name`
    pub dentry_name: u32,
}

/// Byte offsets of members in the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidOffsets {
    /// `task_struct.thread_pid`
    pub task_pid: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `signal_struct.pids[PIDTYPE_TGID]`
    pub signal_tgid: u32,
    /// `pid.level`
    pub pid_level: u32,
    /// `pid.numbers`
    pub pid_numbers: u32,
}

/// Which [`KernelFacts`] a program makes use of: finding them costs time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`KernelFacts::copy_from_user_str`]
    pub copy_from_user_str: bool,
    /// [`KernelFacts::pids`]
    pub pids: bool,
    /// [`KernelFacts::lineage`]
    pub lineage: bool,
    /// [`KernelFacts::namespaces`]
    pub namespaces: bool,
    /// [`KernelFacts::cgroups1`]
    pub cgroups1: bool,
    /// [`KernelFacts::cgroups2`]
    pub cgroups2: bool,
    /// [`KernelFacts::exe`]
    pub exe: bool,
    /// [`KernelFacts::thread_pointer`]
    pub thread_pointer: bool,
    /// [`KernelFacts::process`]: the program shows stacks.
    pub process: bool,
    /// [`KernelFacts::session`]
    pub session: bool,
}

/// What compiling a program needs to know of the kernel.
pub fn needs(program: &Program, options: &Options) -> Needs {
    let lineage = program.containers.iter().any(|container| container.kind == TargetKind::Process);
    let told_by = |is: fn(&Boundary) -> bool| {
        program.containers.iter().any(|one| one.cgroup.is_none() && one.boundary.as_ref().is_some_and(is))
    };
    let namespaces = told_by(|boundary| matches!(boundary, Boundary::MountNamespace(_)));
    let cgroups1 = told_by(|boundary| matches!(boundary, Boundary::Cgroup1 { .. }));
    let cgroups2 = program.containers.iter().any(|one| one.cgroup.is_some());
    let mut needs = Needs { lineage, namespaces, cgroups1, cgroups2, pids: options.origin, ..Needs::default() };
    let mut visit = |expr: &Expr| {
        needs.copy_from_user_str |= matches!(expr.kind, ExprKind::UserString(_) | ExprKind::UserText { .. });
        needs.pids |= matches!(expr.kind, ExprKind::Context(Context::NsPid | Context::NsTid));
        needs.exe |= matches!(expr.kind, ExprKind::Context(Context::Exe));
        needs.thread_pointer |= matches!(expr.kind, ExprKind::Context(Context::ThreadPointer));
        needs.process |= matches!(expr.kind, ExprKind::Context(Context::Stack(_) | Context::Caller));
    };
    for (_, handler) in handlers(program).filter(|(in_kernel, _)| *in_kernel) {
        visit_handler(handler, &mut visit);
    }
    for function in reached(program) {
        visit_expressions(&function.body, &mut visit);
    }
    saved(program).for_each(|saved| saved.visit(&mut visit));
    let proved = |site: &Site| site.exits.as_ref().is_some_and(|exits| exits.uretprobe.is_ok());
    let any = || program.sites().any(|(_, site)| proved(site));
    needs.session = options.returns != ReturnsBy::Instructions && !needs.process && any();
    needs
}
