//! Owns what a cgroup path means: which engine made a container there, under which id. Reads nothing; knows no name.

use std::collections::HashSet;

use ctp_lang::world::Runtime;

/// A container as the path of a cgroup shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// Which engine, as far as the path tells.
    pub runtime: Runtime,
    /// The engine's id for it.
    pub id: String,
    /// The container's own cgroup: the path down to the component that names it.
    pub path: String,
    /// Whether other containers of the path hold it (docker in docker). Those below which ctp itself runs do not count.
    pub nested: bool,
}

/// What the path alone does not tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Namespace and id of containerd's tasks: in `/<namespace>/<id>` both are any text.
    pub tasks: HashSet<(String, String)>,
    /// How many containers hold ctp itself: their part of a path says nothing about the rest of it.
    pub own_depth: usize,
}

/// The path of a process in the v2 hierarchy (the line `0::`), if it has one, and its paths in the v1 hierarchies.
///
/// Format: `hierarchy-ID:controller-list:cgroup-path`, cgroups(7). A path cannot hold a newline (the kernel refuses
/// such names), but any other byte.
pub(super) fn paths(cgroup_file: &[u8]) -> (Option<&[u8]>, impl Iterator<Item = &[u8]>) {
    let lines = || cgroup_file.split(|&b| b == b'\n');
    let v2 = lines().find_map(|line| line.strip_prefix(b"0::"));
    let v1 = lines().filter(|line| !line.starts_with(b"0::")).filter_map(|line| line.splitn(3, |&b| b == b':').nth(2));
    (v2, v1)
}

/// The containers a path runs through, the outermost first. Sub-cgroups below the last one belong to it.
///
/// Docker in docker gives two: a task of the inner one is also below the cgroup of the outer one, and counts for both.
pub(super) fn classify(path: &[u8], known: &Known) -> Vec<Identity> {
    let mut found: Vec<Identity> = Vec::new();
    let mut parent = "";
    let mut in_kubepods = false;
    let mut end = 0;
    for component in path.split(|&b| b == b'/') {
        let start = end;
        end = start + component.len() + 1;
        // Names of containers are text; below a component that is none nothing is recognised.
        let Ok(component) = std::str::from_utf8(component) else { break };
        if let Some((runtime, id)) = component_of_container(parent, component, in_kubepods, known) {
            let Some(path) = path.get(..end - 1).and_then(|path| std::str::from_utf8(path).ok()) else { break };
            let nested = found.len() > known.own_depth;
            found.push(Identity { runtime, id, path: path.to_owned(), nested });
        }
        in_kubepods |= component.starts_with("kubepods") || component.starts_with("kubelet-kubepods");
        parent = component;
    }
    found
}

/// Which container a component of a path names, given the component before it.
fn component_of_container(
    parent: &str,
    component: &str,
    in_kubepods: bool,
    known: &Known,
) -> Option<(Runtime, String)> {
    let id = |id: &str| is_hex_id(id).then(|| id.to_owned());
    let unit = component.strip_suffix(".scope").unwrap_or(component);

    // docker, systemd driver: system.slice/docker-<id>.scope
    // (moby daemon/oci_linux.go WithCgroups: "system.slice" + ":docker:" + id; runc turns it into docker-<id>.scope)
    // podman: machine.slice/libpod-<id>.scope, /libpod_parent/libpod-<id>; with --cgroups=split libpod-payload-<id>
    // (podman libpod/container_internal_linux.go, systemdCgroups and cgroupfs; conmon has libpod-conmon-<id>)
    // CRI-O: crio-<id>.scope, cgroupfs crio-<id> (cri-o internal/config/cgmgr: CrioPrefix; conmon has crio-conmon-<id>)
    // containerd's CRI plugin: cri-containerd-<id>.scope (internal/cri/server getCgroupsPath: slice:cri-containerd:id)
    // nerdctl, systemd driver: nerdctl-<id>.scope (nerdctl pkg/cmd/container/run_cgroup_linux.go: slice:nerdctl:id)
    for (prefix, runtime) in [
        ("docker-", Runtime::Docker),
        ("libpod-payload-", Runtime::Podman),
        ("libpod-", Runtime::Podman),
        ("crio-", Runtime::CriO),
        ("cri-containerd-", Runtime::Containerd),
        ("nerdctl-", Runtime::Containerd),
    ] {
        if let Some(id) = unit.strip_prefix(prefix).and_then(id) {
            return Some((runtime, id));
        }
    }

    // The kubelet on systemd's names over an engine on cgroupfs: `<slice>:cri-containerd:<id>`, as one component
    // (runc's `slice:prefix:name` taken as a path).
    if let [_, prefix, name] = component.split(':').collect::<Vec<_>>()[..]
        && let Some(id) = id(name)
    {
        let runtime = match prefix {
            "docker" => Runtime::Docker,
            "libpod" => Runtime::Podman,
            "crio" => Runtime::CriO,
            "cri-containerd" | "nerdctl" => Runtime::Containerd,
            _ => Runtime::Unknown,
        };
        return Some((runtime, id));
    }

    // LXC: lxc.payload.<name> since 4.0, before it lxc/<name> (lxc.container.conf(5), lxc.cgroup.dir); the monitor has
    // lxc.monitor.<name>.
    if let Some(name) = component.strip_prefix("lxc.payload.").or((parent == "lxc").then_some(component)) {
        return named(name).map(|name| (Runtime::Lxc, name));
    }

    // systemd-nspawn: machine.slice/machine-<name>.scope, or the unit systemd-nspawn@<name>.service
    // (systemd src/nspawn/nspawn-register.c; names escaped as in systemd-escape(1)). libvirt's machines are there too.
    let machine =
        (parent == "machine.slice").then(|| component.strip_prefix("machine-")?.strip_suffix(".scope")).flatten();
    let service = component.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    if let Some(escaped) = machine.or(service) {
        let name = unescape_unit(escaped)?;
        return match name.split_once('-') {
            Some(("qemu", _)) => None,
            Some(("lxc", _)) => named(&name).map(|name| (Runtime::Lxc, name)),
            Some(_) | None => named(&name).map(|name| (Runtime::Nspawn, name)),
        };
    }

    // containerd: /<namespace>/<id> (containerd oci/spec.go populateDefaultUnixSpec: path.Join("/", ns, id)).
    let task = (parent.to_owned(), component.to_owned());
    if known.tasks.contains(&task) {
        return Some((Runtime::Containerd, task.1));
    }

    // docker, cgroupfs driver: /docker/<id> (moby daemon/oci_linux.go: default parent "/docker"); kubelet with
    // containerd on cgroupfs: /kubepods[/burstable|/besteffort]/pod<uid>/<id> (kubernetes cm/cgroup_manager_linux.go).
    // Elsewhere (--cgroup-parent, /../<id> out of a cgroup namespace) an id shows a container of some engine.
    let id = id(component)?;
    let runtime = match parent {
        "docker" => Runtime::Docker,
        "libpod_parent" => Runtime::Podman,
        _ if in_kubepods => Runtime::Containerd,
        _ => Runtime::Unknown,
    };
    Some((runtime, id))
}

/// Docker's, podman's and the CRI's ids: 32 random bytes in lower-case hexadecimal.
pub(super) fn is_hex_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A name as id: not empty, at most 255 bytes (NAME_MAX holds for cgroups too).
fn named(name: &str) -> Option<String> {
    (!name.is_empty() && name.len() <= 255).then(|| name.to_owned())
}

/// Undoes systemd-escape(1): `\xNN` is a byte; `-` stands for `/` in paths only and stays.
fn unescape_unit(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, after) = after.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "70408d8058734f1ec80985fbef05ba637778ac5fe040a3c0992f0bfd3c66e92c";
    const B: &str = "2d5f67a3c0f9e6cb1f8b1d7e3c1a0b99887766554433221100ffeeddccbbaa99";

    fn one(path: &str) -> (Runtime, String, String) {
        let found = classify(path.as_bytes(), &Known::default());
        let [found] = &found[..] else { panic!("{path}: {found:?}") };
        (found.runtime, found.id.clone(), found.path.clone())
    }

    fn expect(path: &str, runtime: Runtime, id: &str, own: &str) {
        assert_eq!(one(path), (runtime, id.to_owned(), own.to_owned()), "{path}");
    }

    // https://docs.docker.com/engine/containers/runmetrics/#find-the-cgroup-for-a-given-container
    #[test]
    fn docker_with_both_drivers() {
        expect(&format!("/docker/{A}"), Runtime::Docker, A, &format!("/docker/{A}"));
        expect(&format!("/docker/{A}/sub/sub2"), Runtime::Docker, A, &format!("/docker/{A}"));
        let scope = format!("/system.slice/docker-{A}.scope");
        expect(&scope, Runtime::Docker, A, &scope);
        expect(&format!("{scope}/init.scope"), Runtime::Docker, A, &scope);
        let rootless = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope");
        expect(&rootless, Runtime::Docker, A, &rootless);
    }

    // podman libpod/container_internal_linux.go; https://docs.podman.io/en/latest/markdown/podman-run.1.html (--cgroups)
    #[test]
    fn podman_root_rootless_pods_and_split() {
        expect(
            &format!("/machine.slice/libpod-{A}.scope/container"),
            Runtime::Podman,
            A,
            &format!("/machine.slice/libpod-{A}.scope"),
        );
        expect(&format!("/libpod_parent/libpod-{A}"), Runtime::Podman, A, &format!("/libpod_parent/libpod-{A}"));
        let rootless = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope");
        expect(&format!("{rootless}/container"), Runtime::Podman, A, &rootless);
        let pod = format!("/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope");
        expect(&pod, Runtime::Podman, A, &pod);
        let split = format!("/system.slice/web.service/libpod-payload-{A}");
        expect(&split, Runtime::Podman, A, &split);
    }

    #[test]
    fn monitors_of_engines_are_no_containers() {
        for path in [
            format!("/machine.slice/libpod-conmon-{A}.scope"),
            "/libpod_parent/conmon".to_owned(),
            format!("/kubepods.slice/crio-conmon-{A}.scope"),
            "/lxc.monitor.web".to_owned(),
            "/system.slice/containerd.service".to_owned(),
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".to_owned(),
            format!("/docker/{A} (deleted)"),
            "/docker/buildkit/x3j1".to_owned(),
            "/".to_owned(),
            String::new(),
        ] {
            assert_eq!(classify(path.as_bytes(), &Known::default()), [], "{path}");
        }
    }

    // containerd internal/cri/server/helpers_linux.go getCgroupsPath; kubelet cgroup_manager_linux.go for the pod's part
    #[test]
    fn kubernetes_through_containerd_and_crio() {
        let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f_2.slice";
        let scope = format!("{slice}/cri-containerd-{A}.scope");
        expect(&scope, Runtime::Containerd, A, &scope);
        let cgroupfs = format!("/kubepods/besteffort/pod7c8c3a21-7e0f-4d7e-8b76-0ed5f5c0b8d7/{A}");
        expect(&cgroupfs, Runtime::Containerd, A, &cgroupfs);
        let mixed = format!("/system.slice/containerd.service/kubepods-burstable-pod1f_2.slice:cri-containerd:{A}");
        expect(&mixed, Runtime::Containerd, A, &mixed);
        let crio = format!("{slice}/crio-{A}.scope");
        expect(&crio, Runtime::CriO, A, &crio);
        let crio = format!("/kubepods/burstable/pod1/crio-{A}");
        expect(&crio, Runtime::CriO, A, &crio);
    }

    // containerd oci/spec.go; nerdctl pkg/cmd/container/run_cgroup_linux.go
    #[test]
    fn containerd_namespaces_need_the_list_of_tasks() {
        let known = Known { tasks: [("default".to_owned(), "redis.1".to_owned())].into(), own_depth: 0 };
        let found = classify(b"/default/redis.1/sub", &known);
        assert_eq!(
            found,
            [Identity {
                runtime: Runtime::Containerd,
                id: "redis.1".into(),
                path: "/default/redis.1".into(),
                nested: false
            }]
        );
        assert_eq!(classify(b"/default/redis.2", &known), []);
        assert_eq!(classify(b"/default/redis.1", &Known::default()), []);
        let nerdctl = format!("/system.slice/nerdctl-{A}.scope");
        expect(&nerdctl, Runtime::Containerd, A, &nerdctl);
    }

    // lxc.container.conf(5); systemd src/nspawn/nspawn-register.c, https://systemd.io/CONTAINER_INTERFACE
    #[test]
    fn lxc_and_nspawn_by_name() {
        expect("/lxc.payload.web/system.slice", Runtime::Lxc, "web", "/lxc.payload.web");
        expect("/lxc/old", Runtime::Lxc, "old", "/lxc/old");
        expect(
            "/machine.slice/machine-deb\\x2d12.scope/payload",
            Runtime::Nspawn,
            "deb-12",
            "/machine.slice/machine-deb\\x2d12.scope",
        );
        let unit = "/machine.slice/systemd-nspawn@deb\\x2d12.service";
        expect(&format!("{unit}/payload/init.scope"), Runtime::Nspawn, "deb-12", unit);
        expect(
            "/machine.slice/machine-lxc\\x2d1\\x2dweb.scope",
            Runtime::Lxc,
            "lxc-1-web",
            "/machine.slice/machine-lxc\\x2d1\\x2dweb.scope",
        );
    }

    #[test]
    fn a_parent_of_the_users_choice_leaves_the_engine_open() {
        expect(&format!("/my/parent/{A}"), Runtime::Unknown, A, &format!("/my/parent/{A}"));
        expect(&format!("/../{A}"), Runtime::Unknown, A, &format!("/../{A}"));
    }

    #[test]
    fn docker_in_docker_is_both_and_the_inner_is_nested() {
        let path = format!("/docker/{A}/docker/{B}/sub");
        let found = classify(path.as_bytes(), &Known::default());
        let got: Vec<_> = found.iter().map(|f| (f.id.as_str(), f.path.clone(), f.nested)).collect();
        assert_eq!(got, [(A, format!("/docker/{A}"), false), (B, format!("/docker/{A}/docker/{B}"), true)]);
        // For a ctp that itself runs in A (with its engine's socket there), B is an ordinary container.
        let found = classify(path.as_bytes(), &Known { own_depth: 1, ..Known::default() });
        assert_eq!(found.iter().map(|f| f.nested).collect::<Vec<_>>(), [false, false]);
    }

    #[test]
    fn bytes_that_are_no_text_below_a_container_belong_to_it() {
        let mut path = format!("/docker/{A}/").into_bytes();
        path.extend_from_slice(b"\xff\x1b");
        assert_eq!(classify(&path, &Known::default())[0].path, format!("/docker/{A}"));
        assert_eq!(classify(b"/\xff/lxc.payload.web", &Known::default()), []);
    }

    #[test]
    fn the_lines_of_a_hybrid_host() {
        let file = b"9:name=systemd:/docker/x\n4:memory:/a:b\n0::/\n";
        let (v2, v1) = paths(file);
        assert_eq!(v2, Some(&b"/"[..]));
        assert_eq!(v1.collect::<Vec<_>>(), [&b"/docker/x"[..], b"/a:b"]);
    }
}
