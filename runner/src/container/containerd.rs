//! Owns what containerd's state folders tell: which tasks there are, their first processes, names and pods. Never
//! talks to containerd; never decides whether a container exists: `/proc` does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::described::Described;
use super::state_file;

/// Where containerd keeps its bundles (config `state`): its own default, docker's private one, k3s and rke2, microk8s.
const STATE_FOLDERS: [&str; 4] = [
    "/run/containerd",
    "/run/docker/containerd/daemon",
    "/run/k3s/containerd",
    "/var/snap/microk8s/common/run/containerd",
];

/// The namespace in which docker runs its containers.
pub(super) const DOCKERS_NAMESPACE: &str = "moby";

/// A task of containerd: the folder of its bundle, and what its place says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Namespace of containerd, `default`, `k8s.io`, `moby` …
    pub namespace: String,
    /// Its id.
    pub id: String,
    bundle: PathBuf,
}

/// All tasks of every containerd whose state is in a usual place; a folder that cannot be read shows none.
pub(super) fn tasks() -> Vec<Task> {
    STATE_FOLDERS.iter().flat_map(|folder| tasks_in(&Path::new(folder).join("io.containerd.runtime.v2.task"))).collect()
}

/// The layout is `<namespace>/<id>/` (containerd runtime/v2/bundle.go).
fn tasks_in(folder: &Path) -> Vec<Task> {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect::<Vec<_>>()
    };
    let tasks = names(folder).into_iter().flat_map(|(namespace, folder)| {
        names(&folder).into_iter().map(move |(id, bundle)| Task { namespace: namespace.clone(), id, bundle })
    });
    tasks.collect()
}

impl Task {
    /// Pid of its first process, as the shim wrote it down.
    pub(super) fn init_pid(&self) -> Option<u32> {
        state_file::pid(&self.bundle.join("init.pid"))
    }

    /// Name, image and pod from the annotations of its bundle: those of the CRI plugin, or nerdctl's; otherwise the
    /// id is the name (`ctr run IMAGE NAME`).
    pub(super) fn describe(&self) -> Described {
        describe(&self.id, annotations(&self.bundle.join("config.json")).unwrap_or_default())
    }
}

/// The annotations of an OCI bundle (OCI runtime-spec, config.md).
pub(super) fn annotations(config: &Path) -> Option<HashMap<String, String>> {
    #[derive(Deserialize)]
    struct Spec {
        annotations: Option<HashMap<String, String>>,
    }
    state_file::json::<Spec>(config).ok()?.annotations
}

fn describe(id: &str, annotations: HashMap<String, String>) -> Described {
    let get = |key: &str| annotations.get(key).cloned();
    let in_pod = annotations.contains_key("io.kubernetes.cri.sandbox-id");
    let name = get("io.kubernetes.cri.container-name").or_else(|| get("nerdctl/name"));
    let name = name.or_else(|| (!in_pod).then(|| id.to_owned()));
    let image = get("io.kubernetes.cri.image-name");
    Described::new(name, image, annotations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctp_lang::world::Pod;

    fn described(pairs: &[(&str, &str)]) -> Described {
        describe("70408d80", pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    // Annotations as containerd internal/cri/annotations/annotations.go names them.
    #[test]
    fn a_container_of_a_pod() {
        let got = described(&[
            ("io.kubernetes.cri.container-name", "app"),
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.image-name", "docker.io/library/shop:3"),
            ("io.kubernetes.cri.sandbox-id", "2d5f"),
            ("io.kubernetes.cri.sandbox-name", "shop-0"),
            ("io.kubernetes.cri.sandbox-namespace", "prod"),
        ]);
        assert_eq!(got.name.as_deref(), Some("app"));
        assert_eq!(got.image.as_deref(), Some("docker.io/library/shop:3"));
        assert_eq!(got.pod, Some(Pod { namespace: "prod".into(), name: "shop-0".into(), container: "app".into() }));
    }

    #[test]
    fn a_sandbox_has_a_pod_and_no_name() {
        let got = described(&[
            ("io.kubernetes.cri.container-type", "sandbox"),
            ("io.kubernetes.cri.sandbox-id", "2d5f"),
            ("io.kubernetes.cri.sandbox-name", "shop-0"),
            ("io.kubernetes.cri.sandbox-namespace", "prod"),
        ]);
        assert_eq!((got.name, got.pod.map(|pod| pod.container).as_deref()), (None, Some("POD")));
    }

    #[test]
    fn ctr_and_nerdctl() {
        assert_eq!(described(&[]).name.as_deref(), Some("70408d80"));
        assert_eq!(described(&[("nerdctl/name", "web")]).name.as_deref(), Some("web"));
    }

    #[test]
    fn tasks_by_their_folders() {
        let folder = std::env::temp_dir().join(format!("ctp-tasks-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("default/redis.1")).unwrap();
        std::fs::write(folder.join("default/redis.1/init.pid"), "4772").unwrap();
        let tasks = tasks_in(&folder);
        let got: Vec<_> = tasks.iter().map(|t| (t.namespace.as_str(), t.id.as_str(), t.init_pid())).collect();
        assert_eq!(got, [("default", "redis.1", Some(4772))]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(tasks_in(&folder), []);
    }
}
