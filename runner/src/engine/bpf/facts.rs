//! Owns what this kernel can do, as far as programs depend on it.

use ctp_lang::emit::bpf::sessions::SessionFacts;
use ctp_lang::emit::bpf::{
    Cgroup1Offsets, Cgroup2Offsets, ExeOffsets, KernelFacts, LineageOffsets, NamespaceOffsets, Needs, PidOffsets,
    ProcessOffsets,
};
use ctp_lang::world::Controller;

use super::btf::{self, Found, Wanted};
use super::perf::Uprobes;

/// Where the kernel describes its own types.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const COPY_STR: &str = "bpf_copy_from_user_str";
const PID_MEMBERS: [(&str, &str); 5] = [
    ("task_struct", "thread_pid"),
    ("task_struct", "signal"),
    ("signal_struct", "pids"),
    ("pid", "level"),
    ("pid", "numbers"),
];
pub(super) const LINEAGE_MEMBERS: [(&str, &str); 4] = [
    ("task_struct", "group_leader"),
    ("task_struct", "tgid"),
    ("task_struct", "start_boottime"),
    ("task_struct", "real_parent"),
];
const NAMESPACE_MEMBERS: [(&str, &str); 4] =
    [("task_struct", "nsproxy"), ("nsproxy", "mnt_ns"), ("mnt_namespace", "ns"), ("ns_common", "inum")];
const CGROUP1_MEMBERS: [(&str, &str); 7] = [
    ("task_struct", "cgroups"),
    ("css_set", "subsys"),
    ("cgroup_subsys_state", "cgroup"),
    ("cgroup", "level"),
    ("cgroup", "ancestors"),
    ("cgroup", "kn"),
    ("kernfs_node", "id"),
];
const CGROUP2_MEMBERS: [(&str, &str); 5] =
    [("task_struct", "cgroups"), ("css_set", "dfl_cgrp"), ("cgroup", "level"), ("cgroup", "kn"), ("kernfs_node", "id")];
const EXE_MEMBERS: [(&str, &str); 6] = [
    ("task_struct", "mm"),
    ("mm_struct", "exe_file"),
    ("file", "f_path"),
    ("path", "dentry"),
    ("dentry", "d_name"),
    ("qstr", "name"),
];
const THREAD_MEMBERS: [(&str, &str); 2] = [("task_struct", "thread"), ("thread_struct", "fsbase")];
const PROCESS_MEMBERS: [(&str, &str); 3] =
    [("task_struct", "group_leader"), ("task_struct", "start_boottime"), ("task_struct", "self_exec_id")];
const SESSION_FUNCTIONS: [&str; 2] = ["bpf_session_is_return", "bpf_session_cookie"];
const SESSION_MEMBERS: [(&str, &str); 11] = [
    ("task_struct", "thread_info"),
    ("thread_info", "syscall_work"),
    ("task_struct", "utask"),
    ("uprobe_task", "depth"),
    ("uprobe_task", "return_instances"),
    ("return_instance", "stack"),
    ("return_instance", "func"),
    ("task_struct", "mm"),
    ("mm_struct", "uprobes_state"),
    ("uprobes_state", "xol_area"),
    ("xol_area", "vaddr"),
];
/// The first kernel on which a return probe does no harm in a container: it brings the program back to the kernel by a
/// system call (`uretprobe`), which the profiles of container engines do not know. From here on seccomp lets it pass:
/// commit cf6cb56ef244 of Linux 6.14-rc2, "seccomp: passthrough uretprobe systemcall without filtering". (Stable versions
/// took it over in February 2025: 6.12, which has no sessions, and 6.13, whose first versions lack it.)
const SESSIONS: (u32, u32) = (6, 14);
/// `PIDTYPE_TGID` of `enum pid_type`, times the size of a pointer.
const TGID: u32 = 8;

/// Where the kernel says whether it compiles programs: only those may call its functions. (It is not there where it always
/// does.)
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// Adds what a program needs to what is looked for.
pub(super) fn want(needs: Needs, wanted: &mut Wanted) {
    let compiles = std::fs::read_to_string(JIT).map_or(true, |enabled| enabled.trim() != "0");
    if needs.copy_from_user_str && compiles {
        wanted.functions.push(COPY_STR);
    }
    if needs.pids {
        wanted.members.extend(PID_MEMBERS);
    }
    if needs.exe {
        wanted.members.extend(EXE_MEMBERS);
    }
    if needs.thread_pointer {
        wanted.members.extend(THREAD_MEMBERS);
    }
    if needs.process {
        wanted.members.extend(PROCESS_MEMBERS);
    }
    if needs.session && compiles && kernel_version().is_some_and(|version| version >= SESSIONS) {
        wanted.functions.extend(SESSION_FUNCTIONS);
        wanted.members.extend(SESSION_MEMBERS);
    }
    if needs.lineage {
        wanted.members.extend(LINEAGE_MEMBERS);
    }
    if needs.namespaces {
        wanted.members.extend(NAMESPACE_MEMBERS);
    }
    if needs.cgroups2 {
        wanted.members.extend(CGROUP2_MEMBERS);
    }
    if needs.cgroups1 {
        wanted.members.extend(CGROUP1_MEMBERS);
        wanted.enumerators.extend(Controller::ALL.map(subsystem));
    }
}

/// The number of a controller among all (`enum cgroup_subsys_id`).
fn subsystem(controller: Controller) -> &'static str {
    match controller {
        Controller::Pids => "pids_cgrp_id",
        Controller::Memory => "memory_cgrp_id",
        Controller::Devices => "devices_cgrp_id",
        Controller::Freezer => "freezer_cgrp_id",
        Controller::Cpu => "cpu_cgrp_id",
        Controller::Cpuset => "cpuset_cgrp_id",
    }
}

/// What was found, where programs are attached in that way. A kernel without BTF has none of it.
pub(super) fn facts(found: &Found, uprobes: Uprobes) -> KernelFacts {
    let member = |structure, name| found.members.get(&(structure, name)).copied();
    let pids = || {
        Some(PidOffsets {
            task_pid: member("task_struct", "thread_pid")?,
            task_signal: member("task_struct", "signal")?,
            signal_tgid: member("signal_struct", "pids")?.checked_add(TGID)?,
            pid_level: member("pid", "level")?,
            pid_numbers: member("pid", "numbers")?,
        })
    };
    let exe = || {
        Some(ExeOffsets {
            task_mm: member("task_struct", "mm")?,
            mm_exe_file: member("mm_struct", "exe_file")?,
            file_dentry: member("file", "f_path")?.checked_add(member("path", "dentry")?)?,
            dentry_name: member("dentry", "d_name")?.checked_add(member("qstr", "name")?)?,
        })
    };
    let process = || {
        Some(ProcessOffsets {
            leader: member("task_struct", "group_leader")?,
            start: member("task_struct", "start_boottime")?,
            executed: member("task_struct", "self_exec_id")?,
        })
    };
    let thread_pointer = || member("task_struct", "thread")?.checked_add(member("thread_struct", "fsbase")?);
    let namespaces = || {
        Some(NamespaceOffsets {
            proxy: member("task_struct", "nsproxy")?,
            mount: member("nsproxy", "mnt_ns")?,
            number: member("mnt_namespace", "ns")?.checked_add(member("ns_common", "inum")?)?,
        })
    };
    let cgroups1 = || {
        Some(Cgroup1Offsets {
            set: member("task_struct", "cgroups")?,
            states: member("css_set", "subsys")?,
            cgroup: member("cgroup_subsys_state", "cgroup")?,
            level: member("cgroup", "level")?,
            ancestors: member("cgroup", "ancestors")?,
            node: member("cgroup", "kn")?,
            node_id: member("kernfs_node", "id")?,
            subsystems: Controller::ALL.map(|controller| found.enumerators.get(subsystem(controller)).copied()),
        })
    };
    KernelFacts {
        copy_from_user_str: found.functions.get(COPY_STR).copied(),
        pids: pids(),
        lineage: lineage(found),
        namespaces: namespaces(),
        cgroups1: cgroups1(),
        cgroups2: match uprobes.here() {
            Uprobes::Auto | Uprobes::Multi => cgroups2(found),
            // Kernels of which nobody tried it.
            Uprobes::Perf => None,
        },
        exe: exe(),
        process: process(),
        session: match uprobes.here() {
            Uprobes::Auto | Uprobes::Multi => session(found),
            Uprobes::Perf => None,
        },
        thread_pointer: thread_pointer(),
        tai_offset: tai_offset(),
    }
}

/// What the kernel's TAI clock is ahead of its real-time clock, in ns: whole seconds, 0 unless something that keeps the
/// time told the kernel of leap seconds.
fn tai_offset() -> i64 {
    use nix::time::{ClockId, clock_gettime};
    const SECOND: i64 = 1_000_000_000;
    let now = |clock| clock_gettime(clock).map(|time| time.tv_sec() * SECOND + time.tv_nsec());
    match (now(ClockId::CLOCK_TAI), now(ClockId::CLOCK_REALTIME)) {
        (Ok(tai), Ok(real)) => (tai - real + SECOND / 2).div_euclid(SECOND) * SECOND,
        (_, _) => 0,
    }
}

/// Where tasks hold their cgroup of version 2.
fn cgroups2(found: &Found) -> Option<Cgroup2Offsets> {
    let member = |structure, name| i16::try_from(*found.members.get(&(structure, name))?).ok();
    Some(Cgroup2Offsets {
        set: member("task_struct", "cgroups")?,
        cgroup: member("css_set", "dfl_cgrp")?,
        level: member("cgroup", "level")?,
        node: member("cgroup", "kn")?,
        node_id: member("kernfs_node", "id")?,
    })
}

/// What sessions need.
fn session(found: &Found) -> Option<SessionFacts> {
    let [is_return, cookie] = SESSION_FUNCTIONS.map(|name| found.functions.get(name).copied());
    let member = |structure, name| found.members.get(&(structure, name)).copied();
    let offset = |offset: u32| i16::try_from(offset).ok();
    Some(SessionFacts {
        is_return: is_return?,
        cookie: cookie?,
        syscall_work: offset(
            member("task_struct", "thread_info")?.checked_add(member("thread_info", "syscall_work")?)?,
        )?,
        utask: offset(member("task_struct", "utask")?)?,
        depth: offset(member("uprobe_task", "depth")?)?,
        instances: offset(member("uprobe_task", "return_instances")?)?,
        stack: offset(member("return_instance", "stack")?)?,
        function: offset(member("return_instance", "func")?)?,
        memory: offset(member("task_struct", "mm")?)?,
        area: offset(member("mm_struct", "uprobes_state")?.checked_add(member("uprobes_state", "xol_area")?)?)?,
        area_address: offset(member("xol_area", "vaddr")?)?,
    })
}

/// Where tasks hold what they descend from.
pub(super) fn lineage(found: &Found) -> Option<LineageOffsets> {
    let member = |name| found.members.get(&("task_struct", name)).copied();
    Some(LineageOffsets {
        leader: member("group_leader")?,
        tgid: member("tgid")?,
        start: member("start_boottime")?,
        parent: member("real_parent")?,
    })
}

/// Looks for what is wanted; a kernel that does not describe itself has nothing.
pub(super) fn look(wanted: &Wanted) -> Found {
    if wanted.functions.is_empty() && wanted.members.is_empty() {
        return Found::default();
    }
    btf::find(VMLINUX, wanted).unwrap_or_default()
}

/// Version of the running kernel: major, minor.
pub fn kernel_version() -> Option<(u32, u32)> {
    kernel_release().map(|(major, minor, _)| (major, minor))
}

/// The kernel's version with its number among the stable ones of that: 6, 12, 14 (uname(2)). That number is 0 where it does
/// not say.
pub fn kernel_release() -> Option<(u32, u32, u32)> {
    let name = nix::sys::utsname::uname().ok()?;
    let release = name.release().to_str()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

/// How many cpus there can be: per-cpu maps hold one value for each (/sys/devices/system/cpu/possible, e.g. `0-7`).
pub(super) fn possible_cpus() -> std::io::Result<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|number| number.parse::<usize>().ok());
    last.map(|last| last + 1).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
}
