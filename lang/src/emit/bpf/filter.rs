//! Owns whose task a hit is: the first thing a program asks. By cgroup for containers and cgroups, of version 1 or by
//! mount namespace where a container has none of version 2, by descent for processes, and by what a task is *not* in for
//! the host.

use super::asm::{Asm, Label};
use super::frame::Slot;
use super::insn::*;
use super::map::{CGROUP1, FILTER, MISSED, MapId, NAMESPACE, NEAR, NOT_THE_HOSTS, Near, UNDECIDED};
use super::sessions::{self, SessionFacts};
use super::{
    Cgroup1Offsets, Cgroup2Offsets, Diagnostic, KernelFacts, LineageOffsets, NamespaceOffsets, Options, Program,
};
use crate::codes::Code;
use crate::world::{Boundary, Container, Controller, TargetKind};

/// How many generations above a task are looked at.
const GENERATIONS: i32 = 64;
/// How many levels of cgroups above a task are looked at for the host. systemd's are at most 8 deep, those of
/// Kubernetes 5 below them.
const LEVELS: i32 = 24;

/// Which questions tell the tasks of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tasks {
    /// The distinct levels of the containers' and cgroups' folders.
    pub(super) levels: Vec<u32>,
    /// The distinct levels of their folders in hierarchies of version 1.
    pub(super) levels1: Vec<(Controller, u32)>,
    /// Whether mount namespaces tell containers.
    pub(super) namespaces: bool,
    /// Whether processes and their descendants count.
    pub(super) processes: bool,
    /// Whether the host's tasks count.
    pub(super) host: bool,
    /// Whether hits in cgroups that nobody has decided about are counted.
    pub(super) follow: bool,
    /// Whether the program has one site: then all its cookies are 0, and nobody asks for them.
    pub(super) lone: bool,
}

impl Tasks {
    /// Whether cgroups or namespaces alone tell the tasks.
    pub(super) fn are_containers(&self) -> bool {
        !self.processes && !self.host
    }

    /// Whether pointers of the kernel's are followed.
    pub(super) fn read_kernel(&self) -> bool {
        self.processes || self.namespaces || !self.levels1.is_empty()
    }
}

/// Memory of the filter.
pub(super) struct Slots {
    /// 16 bytes: the key of a look-up.
    pub(super) key: Slot,
    /// 8 bytes: the depth of the container's pid namespace.
    pub(super) pid_level: Slot,
    /// 8 bytes each, where the kernel's memory is read: a pointer (a task), another (its first thread).
    pub(super) chain: Option<(Slot, Slot)>,
}

/// Which questions to ask; of those that come later only the first program of a run asks.
///
/// # Errors
/// Containers that cannot be told from others, and what the kernel does not tell.
pub(super) fn tasks(
    program: &Program,
    options: &Options,
    kernel: &KernelFacts,
    beside: bool,
) -> Result<Tasks, Vec<Diagnostic>> {
    let mut tasks = Tasks::default();
    let mut errors: Vec<Diagnostic> = Vec::new();
    for (probe, site) in program.sites() {
        let Some(probe) = program.probes.get(probe.0 as usize) else { continue };
        for container in site.containers.iter().filter_map(|index| program.container(*index)) {
            match (container.kind, &container.cgroup, &container.boundary) {
                (TargetKind::Container | TargetKind::Cgroup, Some(cgroup), _) => tasks.levels.push(cgroup.level),
                (TargetKind::Container | TargetKind::Cgroup, None, Some(Boundary::MountNamespace(_)))
                    if kernel.namespaces.is_some() =>
                {
                    tasks.namespaces = true;
                }
                (TargetKind::Container | TargetKind::Cgroup, None, Some(Boundary::Cgroup1 { controller, cgroup }))
                    if kernel.cgroups1.is_some_and(|at| at.subsystem(*controller).is_some()) =>
                {
                    tasks.levels1.push((*controller, cgroup.level));
                }
                (TargetKind::Container | TargetKind::Cgroup, None, Some(boundary)) => {
                    errors.push(without_btf(container, boundary, probe.span));
                }
                (TargetKind::Container | TargetKind::Cgroup, None, None) => {
                    errors.push(without_cgroup(container, probe.span))
                }
                (TargetKind::Process, ..) => tasks.processes = true,
                (TargetKind::Host, ..) => tasks.host = true,
            }
            if container.kind == TargetKind::Process && kernel.lineage.is_none() {
                let message = "the kernel's BTF does not tell what a task descends from: `pid(…)` needs that";
                errors.push(
                    Diagnostic::new(Code::E0402, probe.span, message)
                        .help("select by container(…) or cgroup(…), or use a kernel built with CONFIG_DEBUG_INFO_BTF"),
                );
            }
        }
    }
    errors.dedup();
    if !errors.is_empty() {
        return Err(errors);
    }
    if !beside {
        tasks.levels.extend((0..u32::BITS).filter(|level| options.levels & (1 << level) != 0));
    }
    tasks.levels.sort_unstable();
    tasks.levels.dedup();
    tasks.levels1.sort_unstable();
    tasks.levels1.dedup();
    tasks.follow = options.follow && !tasks.levels.is_empty();
    Ok(tasks)
}

fn without_cgroup(container: &Container, span: crate::source::Span) -> Diagnostic {
    Diagnostic::new(Code::E0407, span, format!("{} has no cgroup of its own", container.described()))
        .note("ctp tells containers apart by their cgroups; its processes are in the host's")
        .note("one without is told by its mount namespace, but it shares that with the host or with another container")
        .help(format!("select its first process and what descends from it: pid({})", container.init_pid))
        .help("or start it with a cgroup of its own (rootless podman: with systemd); see `ctp doctor`")
}

fn without_btf(container: &Container, boundary: &Boundary, span: crate::source::Span) -> Diagnostic {
    let what = match boundary {
        Boundary::Cgroup1 { controller, .. } => format!("a task's cgroups of version 1 ({})", controller.as_str()),
        Boundary::MountNamespace(_) => "a task's mount namespace".to_owned(),
    };
    let message = format!("the kernel's BTF does not tell {what}: {} needs that", container.described());
    Diagnostic::new(Code::E0402, span, message)
        .note("it has no cgroup of version 2 of its own, for which no BTF would be needed")
        .help("use a host with cgroup2, or Linux 6.1 or newer built with CONFIG_DEBUG_INFO_BTF")
}

impl Cgroup1Offsets {
    /// Where a controller stands among all; `None` where the kernel has none such.
    fn subsystem(&self, controller: Controller) -> Option<u32> {
        self.subsystems.get(controller as usize).copied().flatten()
    }
}

/// Ends the program where the task counts for none of the targets of the link; else leaves the site and the
/// container in their registers. Each look-up's key holds the link's group, so a task of another container that maps
/// the same file does not count, whichever link its hit came by. With `session` it asks at entries only
/// ([`sessions::begin`]): a return is seen of a call that counted. `None` where an offset is too large.
pub(super) fn write(
    asm: &mut Asm,
    tasks: &Tasks,
    kernel: &KernelFacts,
    slots: &Slots,
    session: Option<&SessionFacts>,
) -> Option<()> {
    let (key, pid_level) = (slots.key, slots.pid_level);
    let (matched, known) = (asm.label(), asm.label());
    asm.mov(CTX, R1);
    if tasks.lone {
        asm.imm(SITE, 0);
        asm.store_imm(Width::D, key.base, key.off.saturating_add(8), 0);
    } else {
        asm.call(Helper::GetAttachCookie);
        asm.mov(SITE, R0);
        asm.low32(SITE);
        asm.alu_imm(Alu::Rsh, R0, 32);
        // The upper half of these 8 bytes, a process' number, becomes 0.
        asm.store(Width::D, key.base, key.off.saturating_add(8), R0);
    }
    if let Some(facts) = session {
        sessions::begin(asm, facts, known);
    }
    let task = session.map(|_| sessions::TASK);
    for level in &tasks.levels {
        own_or_ancestor(asm, kernel.cgroups2.as_ref(), task, *level, key);
        near(asm, tasks.lone, slots, known);
        look_up(asm, FILTER, key);
        asm.jump_if_imm(Jump::Ne, R0, 0, matched);
    }
    if tasks.follow {
        for level in &tasks.levels {
            ancestor(asm, i64::from(*level), key);
            missed(asm, slots);
        }
    }
    if let Some((pointer, other)) = slots.chain {
        if let (Some(at), true) = (kernel.namespaces, tasks.namespaces) {
            mount_namespace(asm, key, pointer, &at, matched)?;
        }
        if let Some(at) = kernel.cgroups1 {
            for (controller, level) in &tasks.levels1 {
                cgroup1(asm, key, (pointer, other), &at, (*controller, *level), matched)?;
            }
        }
        if let (Some(at), true) = (kernel.lineage, tasks.processes) {
            descent(asm, key, pointer, other, &at, matched)?;
        }
    }
    if tasks.host {
        host(asm, key, matched);
    }
    asm.exit();
    asm.place(matched);
    asm.load(Width::W, CONTAINER, R0, 0);
    asm.load(Width::W, R1, R0, 4);
    asm.store(Width::D, pid_level.base, pid_level.off, R1);
    asm.place(known);
    Some(())
}

/// Leaves the container and its pid level where they belong and goes to `known`, where the slot of the cgroup in r0 holds
/// it for the group of the key.
fn near(asm: &mut Asm, lone: bool, slots: &Slots, known: Label) {
    let far = asm.label();
    let group = slots.key.plus(8);
    let offset = |bytes: u32| i16::try_from(bytes).unwrap_or(i16::MAX);
    let shift = |bits: u32| bits.cast_signed();
    asm.mov(R1, R0);
    if !lone {
        asm.load(Width::D, R2, group.base, group.off);
        asm.alu_imm(Alu::Lsh, R2, shift(Near::GROUP_SHIFT));
        asm.alu(Alu::Xor, R1, R2);
    }
    asm.imm(R2, Near::SPREAD.cast_signed());
    asm.alu(Alu::Mul, R1, R2);
    asm.alu_imm(Alu::Rsh, R1, shift(64 - Near::BITS));
    asm.alu_imm(Alu::Mul, R1, Near::SIZE.cast_signed());
    asm.map_value(R2, NEAR, 0);
    asm.alu(Alu::Add, R2, R1);
    asm.load(Width::D, R1, R2, 0);
    asm.jump_if(Jump::Ne, R1, R0, far);
    if !lone {
        asm.load(Width::D, R1, R2, offset(Near::GROUP));
        asm.load(Width::D, R3, group.base, group.off);
        asm.jump_if(Jump::Ne, R1, R3, far);
    }
    asm.load(Width::D, CONTAINER, R2, offset(Near::VALUE));
    asm.mov(R1, CONTAINER);
    asm.low32(CONTAINER);
    asm.alu_imm(Alu::Rsh, R1, 32);
    asm.store(Width::D, slots.pid_level.base, slots.pid_level.off, R1);
    asm.jump(known);
    asm.place(far);
}

/// Counts a hit of the cgroup in the key at the links of its group, where nobody has decided about that yet. For the first
/// one, of several at a time, an entry is made; whoever finds that there is one by then adds to it.
fn missed(asm: &mut Asm, slots: &Slots) {
    let (decided, first) = (asm.label(), asm.label());
    let one = slots.pid_level;
    let add = |asm: &mut Asm, none: Label| {
        look_up(asm, MISSED, slots.key);
        asm.jump_if_imm(Jump::Eq, R0, 0, none);
        asm.imm(R1, 1);
        asm.atomic(ATOMIC_ADD, R0, 0, R1);
    };
    look_up(asm, UNDECIDED, slots.key);
    asm.jump_if_imm(Jump::Eq, R0, 0, decided);
    add(asm, first);
    asm.jump(decided);
    asm.place(first);
    asm.store_imm(Width::D, one.base, one.off, 1);
    asm.map(R1, MISSED);
    for (register, slot) in [(R2, slots.key), (R3, one)] {
        asm.mov(register, slot.base);
        asm.alu_imm(Alu::Add, register, i32::from(slot.off));
    }
    // BPF_NOEXIST
    asm.imm(R4, 1);
    asm.call(Helper::MapUpdateElem);
    asm.jump_if_imm(Jump::Eq, R0, 0, decided);
    add(asm, decided);
    asm.place(decided);
}

/// The id of the task's cgroup at a level into the key and r0. Most tasks are in that very cgroup: then it is read without
/// the helper, which takes three calls of the kernel's. Nothing keeps the kernel from freeing a set of cgroups that the
/// task is taken out of meanwhile, so what was read counts only where the task is in the same set behind it. (It would be
/// wrong where the task left its set and came into another at the same address, and the memory of set and cgroup was given
/// to others, between the first load and the last.)
///
/// The verifier goes through the names of all types a dozen times for these loads: 1.7 ms of each start. A pointer that it
/// does not trust (`bpf_rdonly_cast`) spares that, but each load is then checked when it is made: 5 ns a hit.
fn own_or_ancestor(asm: &mut Asm, at: Option<&Cgroup2Offsets>, task: Option<Reg>, level: u32, key: Slot) {
    let (elsewhere, found) = (asm.label(), asm.label());
    if let (Some(at), Ok(wanted)) = (at, i32::try_from(level)) {
        match task {
            Some(task) => asm.mov(R0, task),
            None => asm.call(Helper::GetCurrentTaskBtf),
        }
        asm.load(Width::D, R1, R0, at.set);
        asm.load(Width::D, R2, R1, at.cgroup);
        asm.load(Width::W, R3, R2, at.level);
        asm.jump_if_imm(Jump::Ne, R3, wanted, elsewhere);
        asm.load(Width::D, R2, R2, at.node);
        asm.load(Width::D, R2, R2, at.node_id);
        asm.load(Width::D, R3, R0, at.set);
        asm.jump_if(Jump::Ne, R3, R1, elsewhere);
        asm.mov(R0, R2);
        asm.store(Width::D, key.base, key.off, R0);
        asm.jump(found);
    }
    asm.place(elsewhere);
    ancestor(asm, i64::from(level), key);
    asm.place(found);
}

/// The id of the task's cgroup at a level into the key; 0 where the task's cgroup is less deep.
fn ancestor(asm: &mut Asm, level: i64, key: Slot) {
    asm.imm(R1, level);
    asm.call(Helper::GetCurrentAncestorCgroupId);
    asm.store(Width::D, key.base, key.off, R0);
}

fn look_up(asm: &mut Asm, map: MapId, key: Slot) {
    asm.map(R1, map);
    asm.mov(R2, key.base);
    asm.alu_imm(Alu::Add, R2, i32::from(key.off));
    asm.call(Helper::MapLookupElem);
}

/// Looks the task's mount namespace up. A task that is ending has none any more.
fn mount_namespace(asm: &mut Asm, key: Slot, pointer: Slot, at: &NamespaceOffsets, matched: Label) -> Option<()> {
    let offset = |offset: u32| i32::try_from(offset).ok();
    let process = key.plus(12);
    asm.call(Helper::GetCurrentTask);
    asm.store(Width::D, pointer.base, pointer.off, R0);
    read(asm, pointer, 8, pointer, offset(at.proxy)?);
    read(asm, pointer, 8, pointer, offset(at.mount)?);
    asm.store_imm(Width::D, key.base, key.off, 0);
    read(asm, key, 4, pointer, offset(at.number)?);
    asm.store_imm(Width::W, process.base, process.off, NAMESPACE.cast_signed());
    look_up(asm, FILTER, key);
    asm.jump_if_imm(Jump::Ne, R0, 0, matched);
    asm.store_imm(Width::W, process.base, process.off, 0);
    Some(())
}

/// Looks the cgroup up that a task is in or below, at a level of a hierarchy of version 1.
fn cgroup1(
    asm: &mut Asm,
    key: Slot,
    (pointer, level): (Slot, Slot),
    at: &Cgroup1Offsets,
    (controller, wanted): (Controller, u32),
    matched: Label,
) -> Option<()> {
    let offset = |offset: u32| i32::try_from(offset).ok();
    let nth = |first: u32, index: u32| offset(first.checked_add(index.checked_mul(8)?)?);
    let process = key.plus(12);
    let deeper = asm.label();
    asm.call(Helper::GetCurrentTask);
    asm.store(Width::D, pointer.base, pointer.off, R0);
    read(asm, pointer, 8, pointer, offset(at.set)?);
    read(asm, pointer, 8, pointer, nth(at.states, at.subsystem(controller)?)?);
    read(asm, pointer, 8, pointer, offset(at.cgroup)?);
    read(asm, level, 4, pointer, offset(at.level)?);
    asm.load(Width::W, R1, level.base, level.off);
    asm.jump_if_imm(Jump::Lt, R1, i32::try_from(wanted).ok()?, deeper);
    read(asm, pointer, 8, pointer, nth(at.ancestors, wanted)?);
    read(asm, pointer, 8, pointer, offset(at.node)?);
    read(asm, key, 8, pointer, offset(at.node_id)?);
    asm.store_imm(Width::W, process.base, process.off, (CGROUP1 + controller as u32).cast_signed());
    look_up(asm, FILTER, key);
    asm.jump_if_imm(Jump::Ne, R0, 0, matched);
    asm.store_imm(Width::W, process.base, process.off, 0);
    asm.place(deeper);
    Some(())
}

/// Looks the process and what it descends from up, from the child to the parent. A parent that has ended is not there
/// any more: its children have another (`real_parent` in kernel/exit.c, reparent_leader).
fn descent(asm: &mut Asm, key: Slot, task: Slot, leader: Slot, at: &LineageOffsets, matched: Label) -> Option<()> {
    let counter = SCRATCH;
    let (again, done) = (asm.label(), asm.label());
    let offset = |offset: u32| i32::try_from(offset).ok();
    let process = key.plus(12);
    asm.call(Helper::GetCurrentTask);
    asm.store(Width::D, task.base, task.off, R0);
    asm.imm(counter, i64::from(GENERATIONS));
    asm.place(again);
    read(asm, leader, 8, task, offset(at.leader)?);
    read(asm, key, 8, leader, offset(at.start)?);
    read(asm, process, 4, leader, offset(at.tgid)?);
    asm.load(Width::W, R1, process.base, process.off);
    // The idle task, which all others descend from, or a pointer that could not be read.
    asm.jump_if_imm(Jump::Eq, R1, 0, done);
    look_up(asm, FILTER, key);
    asm.jump_if_imm(Jump::Ne, R0, 0, matched);
    read(asm, task, 8, leader, offset(at.parent)?);
    asm.alu_imm(Alu::Sub, counter, 1);
    asm.jump_if_imm(Jump::Ne, counter, 0, again);
    asm.place(done);
    asm.store_imm(Width::W, process.base, process.off, 0);
    Some(())
}

/// Reads kernel memory behind the pointer in a slot; what cannot be read is 0.
fn read(asm: &mut Asm, to: Slot, size: i64, pointer: Slot, offset: i32) {
    asm.load(Width::D, R3, pointer.base, pointer.off);
    asm.alu_imm(Alu::Add, R3, offset);
    asm.mov(R1, to.base);
    asm.alu_imm(Alu::Add, R1, i32::from(to.off));
    asm.imm(R2, size);
    asm.call(Helper::ProbeReadKernel);
}

/// Whether the link counts for the host, and the task's cgroup and all above it are the host's.
fn host(asm: &mut Asm, key: Slot, matched: Label) {
    let (none, is_hosts) = (asm.label(), asm.label());
    let process = key.plus(12);
    asm.store_imm(Width::D, key.base, key.off, 0);
    asm.store_imm(Width::W, process.base, process.off, -1);
    look_up(asm, FILTER, key);
    asm.jump_if_imm(Jump::Eq, R0, 0, none);
    asm.mov(SCRATCH, R0);
    asm.store_imm(Width::W, process.base, process.off, 0);
    asm.store_imm(Width::W, key.base, key.off.saturating_add(8), NOT_THE_HOSTS.cast_signed());
    for level in 1..=LEVELS {
        ancestor(asm, i64::from(level), key);
        asm.jump_if_imm(Jump::Eq, R0, 0, is_hosts);
        look_up(asm, FILTER, key);
        asm.jump_if_imm(Jump::Ne, R0, 0, none);
    }
    asm.jump(none);
    asm.place(is_hosts);
    asm.mov(R0, SCRATCH);
    asm.jump(matched);
    asm.place(none);
}
