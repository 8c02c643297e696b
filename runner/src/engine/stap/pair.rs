//! Owns the one table of which SystemTap is right on which machine. Everything in it was measured, or is refused: a
//! module that finds no file says nothing, and one kind corrupts the kernel.

use super::tools::Version;

/// What the table is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// SystemTap's version; `None` where it does not say.
    pub(super) stap: Option<Version>,
    /// The kernel's version.
    pub(super) kernel: Option<(u32, u32)>,
    /// Whether the kernel can load modules at all.
    pub(super) modules: bool,
    /// Whether the kernel's symbol table has `uprobe_register`; `None` where it cannot be read.
    pub(super) uprobes: Option<bool>,
    /// Whether it has `arch_uretprobe_hijack_return_addr`.
    pub(super) return_probes: Option<bool>,
    /// Whether a return probe does no harm in a process with a seccomp filter: see [`returns_pass`].
    pub(super) returns_pass: bool,
    /// Whether the program has return probes.
    pub(super) wants_returns: bool,
    /// Whether some probed file lies on overlayfs.
    pub(super) overlay: bool,
    /// Whether the kernel loads only signed modules (lockdown, Secure Boot).
    pub(super) locked: bool,
}

/// Which form of script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Compiled against a private copy of the file, loaded through a link to its descriptor, guarded by cgroup. With
    /// stap 5.6 on kernels 6.12 and 7.2 this was seen to be exact: containers on overlayfs, late processes, sub-cgroups.
    Link,
    /// The same where only compiling tells whether SystemTap fits the kernel.
    LinkIfItCompiles,
}

/// Why nothing runs, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reason.
    pub(super) reason: String,
    /// What helps.
    pub(super) help: String,
}

/// A row: where it applies, and what then.
type Row = (fn(&Pair) -> bool, fn(&Pair) -> Result<Form, Refusal>);

const FIRST_TRIED: Version = Version { major: 4, minor: 8 };
const SEES_OVERLAYS: Version = Version { major: 5, minor: 0 };
const FITS_NEW_KERNELS: Version = Version { major: 5, minor: 3 };

/// `uprobe_unregister` got another form.
const CHANGED_UPROBES: (u32, u32) = (6, 12);

const NEWER: &str = "install systemtap 5.6 or later (Debian 13: from the release after it)";
const OWN: &str = "use ctp's own engine: --engine bpf";

/// The table: the first row that applies decides.
const ROWS: &[Row] = &[
    (|p| !p.modules, |_| refuse("this kernel has no loadable modules (no /proc/modules)", OWN)),
    (|p| p.locked, |_| refuse("this kernel loads signed modules only (lockdown), and SystemTap's are not signed", OWN)),
    (|p| p.uprobes == Some(false), |_| refuse("this kernel was built without uprobes (CONFIG_UPROBES)", OWN)),
    (
        |p| p.wants_returns && p.return_probes == Some(false),
        |_| refuse("this kernel has no return probes (no arch_uretprobe_hijack_return_addr)", OWN),
    ),
    (
        |p| p.wants_returns && !p.returns_pass,
        |_| {
            let why = "on this kernel a return probe ends processes that have a seccomp profile, as those of containers do \
                       (mended in Linux 6.12.14, 6.13.3 and 6.14)";
            refuse(why, OWN)
        },
    ),
    (|p| p.stap.is_none(), |_| refuse("this stap does not say which version it is", NEWER)),
    (
        |p| p.stap < Some(FIRST_TRIED),
        |p| refuse(&format!("stap {} is older than any that ctp was tried with", shown(p)), NEWER),
    ),
    (
        |p| p.stap < Some(SEES_OVERLAYS) && p.overlay,
        |p| {
            let why = format!("a module of stap {} finds no file on overlayfs, and does not say so", shown(p));
            refuse(&why, NEWER)
        },
    ),
    (
        |p| p.stap < Some(SEES_OVERLAYS),
        |p| {
            let why =
                format!("a module of stap {} probes a path as the host sees it, not as the container does", shown(p));
            refuse(&why, NEWER)
        },
    ),
    (
        |p| p.stap < Some(FITS_NEW_KERNELS) && p.kernel.is_none_or(|kernel| kernel >= CHANGED_UPROBES),
        |p| refuse(&format!("what stap {} makes does not compile for Linux 6.12 and later", shown(p)), NEWER),
    ),
    (|p| p.stap < Some(FITS_NEW_KERNELS), |_| Ok(Form::LinkIfItCompiles)),
    (|_| true, |_| Ok(Form::Link)),
];

/// Whether seccomp lets the system call pass by which a return probe brings a program back to the kernel. From Linux 6.11 on
/// there is one ("uprobe: Add uretprobe syscall to speed up return probe"), which the profiles of container engines do not
/// know: the process ends. "seccomp: passthrough uretprobe systemcall without filtering" mended that in 6.14, 6.13.3 and
/// 6.12.14. (Where a distribution has taken that into another version, it is refused without need.)
pub(super) fn returns_pass(kernel: (u32, u32, u32)) -> bool {
    kernel < (6, 11, 0)
        || ((6, 12, 14)..(6, 13, 0)).contains(&kernel)
        || ((6, 13, 3)..(6, 14, 0)).contains(&kernel)
        || kernel >= (6, 14, 0)
}

/// What the table says.
///
/// # Errors
/// [`Refusal`] where nothing right exists.
pub(super) fn form(pair: &Pair) -> Result<Form, Refusal> {
    let row = ROWS.iter().find(|(applies, _)| applies(pair));
    row.map_or_else(|| refuse("no row applies", OWN), |(_, then)| then(pair))
}

fn refuse(reason: &str, help: &str) -> Result<Form, Refusal> {
    Err(Refusal { reason: reason.to_owned(), help: help.to_owned() })
}

fn shown(pair: &Pair) -> String {
    pair.stap.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// stap 5.6 on Linux 6.12, a container on overlayfs, all symbols there.
    const GOOD: Pair = Pair {
        stap: Some(Version { major: 5, minor: 6 }),
        kernel: Some((6, 12)),
        modules: true,
        uprobes: Some(true),
        return_probes: Some(true),
        returns_pass: true,
        wants_returns: true,
        overlay: true,
        locked: false,
    };

    fn refused(pair: Pair) -> String {
        form(&pair).expect_err("refused").reason
    }

    #[test]
    fn what_was_measured_runs() {
        assert_eq!(form(&GOOD), Ok(Form::Link));
        assert_eq!(form(&Pair { kernel: Some((7, 2)), overlay: false, ..GOOD }), Ok(Form::Link));
        // An ordinary user sees no symbols: that is no reason.
        assert_eq!(form(&Pair { uprobes: None, return_probes: None, ..GOOD }), Ok(Form::Link));
    }

    #[test]
    fn stap_5_0_to_5_2_run_on_older_kernels_if_they_compile() {
        for minor in [0, 1, 2] {
            let stap = Some(Version { major: 5, minor });
            assert_eq!(form(&Pair { stap, kernel: Some((6, 1)), ..GOOD }), Ok(Form::LinkIfItCompiles));
            assert!(refused(Pair { stap, ..GOOD }).contains("does not compile for Linux 6.12"));
        }
    }

    #[test]
    fn stap_4_8_is_refused_for_what_it_would_do() {
        let stap = Some(Version { major: 4, minor: 8 });
        assert!(refused(Pair { stap, ..GOOD }).contains("finds no file on overlayfs"));
        assert!(refused(Pair { stap, overlay: false, ..GOOD }).contains("as the host sees it"));
        let stap = Some(Version { major: 4, minor: 2 });
        assert!(refused(Pair { stap, ..GOOD }).contains("older than any"));
        assert!(refused(Pair { stap: None, ..GOOD }).contains("does not say which"));
    }

    #[test]
    fn a_kernel_that_cannot_is_refused_whatever_stap_is() {
        assert!(refused(Pair { modules: false, ..GOOD }).contains("no loadable modules"));
        assert!(refused(Pair { locked: true, ..GOOD }).contains("signed"));
        assert!(refused(Pair { uprobes: Some(false), ..GOOD }).contains("uprobes"));
        let without = Pair { return_probes: Some(false), ..GOOD };
        assert!(refused(without).contains("return probes"));
        assert_eq!(form(&Pair { wants_returns: false, ..without }), Ok(Form::Link));
    }

    #[test]
    fn return_probes_are_refused_where_seccomp_does_not_let_them_pass() {
        let without = Pair { returns_pass: false, ..GOOD };
        assert!(refused(without).contains("seccomp"));
        assert_eq!(form(&Pair { wants_returns: false, ..without }), Ok(Form::Link));
        let pass = [(6, 1, 0), (6, 10, 14), (6, 12, 14), (6, 12, 117), (6, 13, 3), (6, 14, 0), (7, 2, 0)];
        assert!(pass.into_iter().all(returns_pass));
        let end = [(6, 11, 0), (6, 11, 11), (6, 12, 0), (6, 12, 13), (6, 13, 0), (6, 13, 2)];
        assert!(!end.into_iter().any(returns_pass));
    }
}
