//! Owns what the kernel must have and allow: its version, its descriptions of itself, eBPF tried for real, capabilities.

use std::io;

use super::{Finding, State};
use crate::engine::bpf::{grace, kernel_version};
use crate::privileges;

pub(super) fn examine() -> Vec<Finding> {
    let mut findings = vec![version(), btf(), capabilities()];
    findings.extend(user_namespace());
    findings.extend([trial(), jit(), lockdown(), files()]);
    findings
}

/// What the kernel lacks for the embedded engine, by one look at its version: trying takes longer, and each run tries.
pub(super) fn lacks() -> Option<String> {
    let (major, minor) = kernel_version().filter(|version| *version < EMBEDDED)?;
    Some(format!("Linux {major}.{minor}, and it needs {}.{}", EMBEDDED.0, EMBEDDED.1))
}

/// From which version on the embedded engine works.
const EMBEDDED: (u32, u32) = (5, 15);

fn version() -> Finding {
    let (id, title) = ("kernel.version", "kernel");
    match kernel_version() {
        Some(version) if version < EMBEDDED => Finding::new(
            id,
            title,
            State::Missing,
            format!("Linux {}.{}; the embedded engine needs 5.15, and 6.6 for all it can do", version.0, version.1),
        )
        .remedy("boot a newer kernel, or use SystemTap: ctp run --engine stap"),
        Some(version) if version < (6, 6) => Finding::new(
            id,
            title,
            State::Limited,
            format!(
                "Linux {}.{}; before 6.6 each address is attached by a perf event of its own (CAP_SYS_ADMIN; a thousand \
                 take minutes to detach), signed division and loops in handlers of probes are errors, and text on a page \
                 that is not in memory reads <fault>",
                version.0, version.1
            ),
        )
        .remedy("boot Linux 6.12 or later"),
        Some(version) if version < (6, 12) => Finding::new(
            id,
            title,
            State::Limited,
            format!(
                "Linux {}.{}; before 6.12 text on a page that is not in memory reads <fault>",
                version.0, version.1
            ),
        )
        .remedy("boot Linux 6.12 or later"),
        Some(version) => Finding::found(id, title, format!("Linux {}.{}", version.0, version.1)),
        None => Finding::new(id, title, State::Limited, "uname(2) does not say which"),
    }
}

fn btf() -> Finding {
    let (id, title, path) = ("kernel.btf", "the kernel's types (BTF)", "/sys/kernel/btf/vmlinux");
    match std::fs::metadata(path) {
        Ok(metadata) => Finding::found(id, title, format!("{path}, {} KiB", metadata.len() >> 10)),
        Err(error) => Finding::new(
            id,
            title,
            State::Limited,
            format!(
                "{path}: {error}; without it pid(…), host and ns_pid() are errors, and shared files are not told apart"
            ),
        )
        .remedy("use a kernel built with CONFIG_DEBUG_INFO_BTF=y; in a container, mount /sys"),
    }
}

fn capabilities() -> Finding {
    let (id, title) = ("privileges.capabilities", "capabilities");
    let Some(set) = privileges::effective() else {
        return Finding::new(id, title, State::Limited, "the kernel does not tell them");
    };
    let missing = privileges::missing(&set);
    if missing.is_empty() {
        let has: Vec<String> = privileges::NEEDS
            .iter()
            .map(|need| need.capability)
            .chain([caps::Capability::CAP_SYS_ADMIN])
            .filter(|capability| set.contains(capability))
            .map(|capability| capability.to_string())
            .collect();
        return Finding::found(id, title, has.join(", "));
    }
    let lacks: Vec<String> = missing.iter().map(|need| format!("{} (to {})", need.capability, need.purpose)).collect();
    // Without the last one containers of one's own user, without more capabilities, can still be traced.
    let only_ptrace = missing.iter().all(|need| need.capability == caps::Capability::CAP_SYS_PTRACE);
    let names: Vec<String> =
        missing.iter().map(|need| need.capability.to_string().trim_start_matches("CAP_").to_owned()).collect();
    let state = if only_ptrace { State::Limited } else { State::Missing };
    Finding::new(id, title, state, format!("missing: {}", lacks.join("; ")))
        .remedy(format!("run ctp as root; in a container add --cap-add {}", names.join(" --cap-add ")))
}

/// Capabilities in another user namespace are none where it counts.
fn user_namespace() -> Option<Finding> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let numbers: Vec<&str> = map.split_whitespace().collect();
    if numbers == ["0", "0", "4294967295"] {
        return None;
    }
    let detail = "ctp runs in a user namespace: its capabilities do not count outside of it";
    let finding = Finding::new("privileges.user-namespace", "user namespace", State::Missing, detail);
    Some(finding.remedy("run it in the first one (docker: --userns=host; not in a rootless container)"))
}

fn trial() -> Finding {
    let (id, title) = ("kernel.ebpf", "eBPF, tried");
    let seccomp = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("Seccomp:\t2"));
    let refused = |what: &str, error: &io::Error| {
        let finding = Finding::new(id, title, State::Missing, format!("{what}: {error}"));
        match error.raw_os_error() {
            Some(libc::ENOSYS) => {
                finding.remedy("use a kernel built with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_EVENTS=y")
            }
            Some(libc::EPERM | libc::EACCES) if privileges::missing_names().is_none() && seccomp => finding
                .remedy("a seccomp profile forbids bpf(2): allow it there (docker: --security-opt seccomp=PROFILE)"),
            Some(libc::EPERM | libc::EACCES) => finding.remedy("run ctp as root, or with the capabilities above"),
            Some(_) | None => finding.remedy("use a kernel built with CONFIG_UPROBES=y and CONFIG_BPF_EVENTS=y"),
        }
    };
    match grace::try_out() {
        Ok(()) => Finding::found(id, title, "a program was loaded, and attached to a file that nobody executes"),
        Err(grace::Refused::Load(error)) => refused("a program cannot be loaded", &error),
        Err(grace::Refused::Attach(error)) => refused("a program cannot be attached to a function", &error),
        Err(grace::Refused::Setup(error)) => refused("nothing to try it on", &error),
    }
}

fn jit() -> Finding {
    let (id, title, path) = ("kernel.jit", "eBPF compiled (JIT)", "/proc/sys/net/core/bpf_jit_enable");
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim() == "0" => {
            Finding::new(id, title, State::Limited, "off: each hit costs several times as much")
                .remedy("sysctl net.core.bpf_jit_enable=1")
        }
        Ok(text) => Finding::found(id, title, format!("net.core.bpf_jit_enable = {}", text.trim())),
        // Readable for root of the first network namespace only.
        Err(_) => Finding::new(id, title, State::Optional, format!("{path} does not tell from here")),
    }
}

fn lockdown() -> Finding {
    let (id, title) = ("kernel.lockdown", "kernel lockdown");
    let text = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if text.contains("[confidentiality]") {
        return Finding::new(id, title, State::Missing, "confidentiality: eBPF programs may not read memory")
            .remedy("boot with lockdown=integrity");
    }
    Finding::found(id, title, if text.contains("[integrity]") { "integrity: no hindrance" } else { "off" })
}

fn files() -> Finding {
    let (id, title) = ("limits.files", "open files");
    match nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        // Two descriptors for each probed file of each container, and some more.
        Ok((soft, _)) if soft < 1024 => {
            Finding::new(id, title, State::Limited, format!("at most {soft}: too few for some hundred containers"))
                .remedy("ulimit -n 4096")
        }
        Ok((soft, _)) => Finding::found(id, title, format!("at most {soft}")),
        Err(error) => Finding::new(id, title, State::Limited, error.to_string()),
    }
}
