//! Owns the question what this process may do. Changes nothing, and is no substitute for asking the kernel.

/// `linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Whether this process has the capabilities that loading and attaching take; true where that cannot be known.
pub fn trace() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    effective(&status).is_none_or(suffice)
}

/// The set of effective capabilities in the text of `/proc/PID/status`, see proc(5).
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether a set is enough: `CAP_SYS_ADMIN` stands for the two that Linux 5.8 split off it, see capabilities(7).
fn suffice(set: u64) -> bool {
    let has = |capability: u32| set >> capability & 1 == 1;
    has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON))
}
