//! Owns the securityContext that a ctp in a pod needs on this node, with what each setting is for. Knows no cluster.

use std::fmt::Write as _;
use std::path::Path;

use crate::container::Settings;
use crate::engine::bpf::kernel_version;

/// What on a node decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Whether its kernel and its container engine know `CAP_BPF` and `CAP_PERFMON`.
    pub knows_bpf: bool,
    /// Whether AppArmor confines containers.
    pub apparmor: bool,
    /// Whether SELinux does.
    pub selinux: bool,
}

impl Node {
    /// This node.
    pub fn look(settings: &Settings) -> Node {
        // CAP_BPF came with Linux 5.8; of the engines, docker before 23 does not know it (moby oci/caps, built from an
        // older list), containerd takes what the kernel has.
        let kernel = kernel_version().is_none_or(|version| version >= (5, 8));
        let docker = crate::container::docker_version(settings);
        let old_docker = docker.is_some_and(|major| major < 23) && !has_kubelet_on_containerd();
        let enabled = |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "Y");
        Node {
            knows_bpf: kernel && !old_docker,
            apparmor: enabled("/sys/module/apparmor/parameters/enabled"),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        }
    }

    /// The part of a pod's manifest, as YAML with comments.
    pub fn manifest(self) -> String {
        let mut out = String::from(
            "# What a pod with ctp in it needs on this node. Put it into the manifest of examples/kubernetes.\n\
             spec:\n  \
               hostPID: true                       # to see the processes of other pods; not for an ephemeral container with --target\n  \
               containers:\n    \
                 - securityContext:\n        \
                     privileged: false\n        \
                     allowPrivilegeEscalation: false\n        \
                     readOnlyRootFilesystem: true\n        \
                     runAsUser: 0                  # capabilities of other users do not survive execve(2)\n        \
                     capabilities:\n          \
                       drop: [ALL]\n",
        );
        let _ = if self.knows_bpf {
            writeln!(
                out,
                "          add:\n            - BPF                       # to load programs\n            - PERFMON                   # to attach them\n            - SYS_PTRACE                # to open files of other containers"
            )
        } else {
            writeln!(
                out,
                "          add:\n            - SYS_ADMIN                 # this node's kernel or engine does not know BPF and PERFMON\n            - SYS_PTRACE                # to open files of other containers"
            )
        };
        out.push_str("        seccompProfile:\n          type: RuntimeDefault          # allows bpf(2) to who has the capability\n");
        if self.apparmor {
            out.push_str("        appArmorProfile:\n          type: Unconfined              # the default profile refuses to look at processes of other profiles\n");
        }
        if self.selinux {
            out.push_str("        seLinuxOptions:\n          type: spc_t                   # container_t may not look at processes of other containers\n");
        }
        out
    }
}

/// Whether the kubelet of this node talks to containerd or CRI-O and not to docker.
fn has_kubelet_on_containerd() -> bool {
    let flags = std::fs::read_to_string("/var/lib/kubelet/kubeadm-flags.env").unwrap_or_default();
    flags.contains("containerd.sock") || flags.contains("crio.sock") || Path::new("/run/k3s/containerd").exists()
}
