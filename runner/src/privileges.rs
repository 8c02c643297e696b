//! Owns what this process may do: which capabilities tracing takes, which are missing, and giving up the others once
//! all is attached. No substitute for asking the kernel.

use std::collections::HashSet;

use caps::{CapSet, Capability};

/// A capability with what ctp needs it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which.
    pub capability: Capability,
    /// What it is for, as the end of a sentence.
    pub purpose: &'static str,
}

/// What tracing takes; `CAP_SYS_ADMIN` stands for the first two, which Linux 5.8 split off it (capabilities(7)).
pub const NEEDS: [Need; 3] = [
    Need { capability: Capability::CAP_BPF, purpose: "load eBPF programs and maps" },
    Need { capability: Capability::CAP_PERFMON, purpose: "attach them to functions and read what they record" },
    Need {
        capability: Capability::CAP_SYS_PTRACE,
        purpose: "open the files of containers whose processes have other users or more capabilities",
    },
];

/// Whether this process has the capabilities that loading and attaching take; true where that cannot be known.
pub fn trace() -> bool {
    let Some(set) = effective() else { return true };
    missing(&set).iter().all(|need| need.capability == Capability::CAP_SYS_PTRACE)
}

/// The capabilities in force; `None` where the kernel does not tell.
pub fn effective() -> Option<HashSet<Capability>> {
    caps::read(None, CapSet::Effective).ok()
}

/// Which of [`NEEDS`] a set lacks.
pub fn missing(set: &HashSet<Capability>) -> Vec<Need> {
    let has = |need: &Need| {
        set.contains(&need.capability)
            || need.capability != Capability::CAP_SYS_PTRACE && set.contains(&Capability::CAP_SYS_ADMIN)
    };
    NEEDS.into_iter().filter(|need| !has(need)).collect()
}

/// The names of what is missing: `CAP_BPF and CAP_PERFMON`; `None` where nothing is, or where it cannot be known.
pub fn missing_names() -> Option<String> {
    let names: Vec<String> = missing(&effective()?).iter().map(|need| need.capability.to_string()).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// What is kept while tracing: [`NEEDS`], to follow containers that restart, and the right to read their files;
/// `CAP_SYS_ADMIN` only where it stands for one that is not there.
fn kept(permitted: &HashSet<Capability>) -> HashSet<Capability> {
    let mut kept: HashSet<Capability> = NEEDS.iter().map(|need| need.capability).collect();
    kept.insert(Capability::CAP_DAC_READ_SEARCH);
    kept.retain(|capability| permitted.contains(capability));
    if !missing(&kept).iter().all(|need| need.capability == Capability::CAP_SYS_PTRACE)
        && permitted.contains(&Capability::CAP_SYS_ADMIN)
    {
        kept.insert(Capability::CAP_SYS_ADMIN);
    }
    kept
}

/// Gives up, for good, every capability that tracing does not take: what a hostile file or name could still bring ctp
/// to do, it then has no right to do. Holds for this thread and those it starts; false where the kernel would not.
pub fn drop_others() -> bool {
    let Ok(permitted) = caps::read(None, CapSet::Permitted) else { return false };
    let kept = kept(&permitted);
    // The bounding set first: lowering it takes CAP_SETPCAP, which goes then.
    for capability in permitted.difference(&kept) {
        let _ = caps::drop(None, CapSet::Bounding, *capability);
    }
    let nothing = HashSet::new();
    let sets = [(CapSet::Effective, &kept), (CapSet::Permitted, &kept), (CapSet::Inheritable, &nothing)];
    sets.map(|(set, wanted)| caps::set(None, set, wanted).is_ok()).iter().all(|done| *done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::*;

    fn names(set: &[Capability]) -> Vec<Capability> {
        missing(&set.iter().copied().collect()).iter().map(|need| need.capability).collect()
    }

    #[test]
    fn sys_admin_stands_for_the_two_that_were_split_off_it() {
        assert_eq!(names(&[]), [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]);
        assert_eq!(names(&[CAP_SYS_ADMIN]), [CAP_SYS_PTRACE]);
        assert_eq!(names(&[CAP_BPF, CAP_SYS_PTRACE]), [CAP_PERFMON]);
        assert!(names(&[CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]).is_empty());
    }

    #[test]
    fn sys_admin_is_kept_only_where_it_stands_for_another() {
        let all = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];
        assert_eq!(kept(&caps::all()), all.into());
        let old = [CAP_SYS_ADMIN, CAP_SYS_PTRACE];
        assert_eq!(kept(&old.into()), old.into());
    }
}
