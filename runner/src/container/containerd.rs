//! Owns what containerd tells of its tasks: its state folders tell which there are, their first processes, names and
//! pods; its socket the labels and images. Never decides whether a container exists: `/proc` does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::described::{Described, Descriptions};
use super::{grpc, state_file};

/// Where containerd keeps its bundles (config `state`), and where that one listens: its own default, docker's private
/// one, k3s and rke2, microk8s.
const PLACES: [(&str, &str); 4] = [
    ("/run/containerd", "/run/containerd/containerd.sock"),
    ("/run/docker/containerd/daemon", "/run/docker/containerd/containerd.sock"),
    ("/run/k3s/containerd", "/run/k3s/containerd/containerd.sock"),
    ("/var/snap/microk8s/common/run/containerd", "/var/snap/microk8s/common/run/containerd.sock"),
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
    /// Where its containerd listens.
    socket: &'static str,
}

/// All tasks of every containerd whose state is in a usual place; a folder that cannot be read shows none.
pub(super) fn tasks() -> Vec<Task> {
    let tasks = |(folder, socket): &(&str, &'static str)| {
        tasks_in(&Path::new(folder).join("io.containerd.runtime.v2.task"), socket)
    };
    PLACES.iter().flat_map(tasks).collect()
}

/// The layout is `<namespace>/<id>/` (containerd runtime/v2/bundle.go).
fn tasks_in(folder: &Path, socket: &'static str) -> Vec<Task> {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect::<Vec<_>>()
    };
    let tasks = names(folder).into_iter().flat_map(|(namespace, folder)| {
        names(&folder).into_iter().map(move |(id, bundle)| Task { namespace: namespace.clone(), id, bundle, socket })
    });
    tasks.collect()
}

impl Task {
    /// Pid of its first process, as the shim wrote it down.
    pub(super) fn init_pid(&self) -> Option<u32> {
        state_file::pid(&self.bundle.join("init.pid"))
    }
}

/// What is known of these tasks: name, image and pod from the annotations of the bundle, labels and image as their
/// containerd tells them. One that does not answer leaves the annotations; a sentence on each is added to `unanswered`.
pub(super) fn describe(tasks: &[&Task], unanswered: &mut Vec<String>) -> Descriptions {
    let mut records: HashMap<(&str, &str), HashMap<String, Record>> = HashMap::new();
    let mut found = Descriptions::new();
    for task in tasks {
        let (socket, namespace) = (task.socket, task.namespace.as_str());
        let of_namespace = records.entry((socket, namespace)).or_insert_with(|| {
            records_of(socket, namespace).unwrap_or_else(|error| {
                unanswered.push(format!(
                    "containerd did not answer at {socket} ({error}): labels of its containers in {namespace} are unknown"
                ));
                HashMap::new()
            })
        });
        let record = of_namespace.get(&task.id).cloned().unwrap_or_default();
        let annotations = annotations(&task.bundle.join("config.json")).unwrap_or_default();
        found.insert(task.id.clone(), described(&task.id, annotations, record));
    }
    found
}

/// What containerd keeps of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    labels: HashMap<String, String>,
    image: Option<String>,
    image_digests: Vec<String>,
}

/// The records of a namespace by id (containerd api/services/containers/v1/containers.proto: `ListContainerMessage`
/// holds a `Container`, whose fields 1, 2, 3 are id, labels, image).
fn records_of(socket: &str, namespace: &str) -> std::io::Result<HashMap<String, Record>> {
    let asked = |method: &str| grpc::call(Path::new(socket), method, &[("containerd-namespace", namespace)], &[]);
    let containers = asked("/containerd.services.containers.v1.Containers/ListStream")?;
    // Without it images are known by their names alone.
    let images = images(&asked("/containerd.services.images.v1.Images/List").unwrap_or_default());
    let record = |message: Vec<u8>| {
        let (_, container) = grpc::bytes_fields(&message).find(|(number, _)| *number == 1)?;
        let labels = grpc::bytes_fields(container).filter(|(number, _)| *number == 2);
        // An entry of a map: 1 is the key, 2 the value; what is empty is left out.
        let labels =
            labels.filter_map(|(_, entry)| Some((grpc::text(entry, 1)?, grpc::text(entry, 2).unwrap_or_default())));
        let labels = labels.collect();
        let image = grpc::text(container, 3);
        let image_digests = image.as_ref().and_then(|image| images.get(image)).cloned().unwrap_or_default();
        Some((grpc::text(container, 1)?, Record { labels, image, image_digests }))
    };
    Ok(containers.into_iter().filter_map(record).collect())
}

/// The digests that go with each name of an image (api/services/images/v1/images.proto: `ListImagesResponse` holds
/// `Image`s, whose field 1 is the name, 3 the descriptor with the digest as its field 2). The CRI plugin keeps an image
/// under its id too, with the same digest.
fn images(answer: &[Vec<u8>]) -> HashMap<String, Vec<String>> {
    let images = answer.iter().flat_map(|message| grpc::bytes_fields(message)).filter(|(number, _)| *number == 1);
    let named = images.filter_map(|(_, image)| {
        let (_, target) = grpc::bytes_fields(image).find(|(number, _)| *number == 3)?;
        Some((grpc::text(image, 1)?, grpc::text(target, 2)?))
    });
    let named: Vec<(String, String)> = named.collect();
    let ids = |digest: &String| {
        let same = named.iter().filter(move |(name, other)| *other == *digest && name.starts_with("sha256:"));
        same.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    named.iter().map(|(name, digest)| (name.clone(), [vec![digest.clone()], ids(digest)].concat())).collect()
}

/// The annotations of an OCI bundle (OCI runtime-spec, config.md).
pub(super) fn annotations(config: &Path) -> Option<HashMap<String, String>> {
    #[derive(Deserialize)]
    struct Spec {
        annotations: Option<HashMap<String, String>>,
    }
    state_file::json::<Spec>(config).ok()?.annotations
}

/// The name is the CRI plugin's or nerdctl's, otherwise the id is (`ctr run IMAGE NAME`). Labels of an image are among
/// those of its containers: what the engine itself wrote, the annotations, goes before them.
fn described(id: &str, annotations: HashMap<String, String>, record: Record) -> Described {
    let in_pod = annotations.contains_key("io.kubernetes.cri.sandbox-id");
    let image = annotations.get("io.kubernetes.cri.image-name").cloned().or(record.image);
    let mut all = record.labels;
    // Outside of pods nothing but an image or its user can have said that it is in one.
    all.retain(|key, _| in_pod || !key.starts_with("io.kubernetes."));
    all.extend(annotations);
    let name = ["io.kubernetes.cri.container-name", "nerdctl/name"].iter().find_map(|key| all.get(*key).cloned());
    let name = name.or_else(|| (!in_pod).then(|| id.to_owned()));
    Described::new(name, image, all).of_images(record.image_digests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctp_lang::world::Pod;

    fn texts(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn described(pairs: &[(&str, &str)]) -> Described {
        super::described("70408d80", texts(pairs), Record::default())
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

    // A label of an image (`LABEL io.kubernetes.cri.sandbox-name=…`) makes nothing another pod's.
    #[test]
    fn labels_do_not_change_what_the_engine_wrote() {
        let labels = texts(&[
            ("io.kubernetes.cri.container-name", "evil"),
            ("io.kubernetes.cri.sandbox-name", "evil"),
            ("tier", "web"),
        ]);
        let annotations = texts(&[
            ("io.kubernetes.cri.container-name", "app"),
            ("io.kubernetes.cri.sandbox-id", "2d5f"),
            ("io.kubernetes.cri.sandbox-name", "shop-0"),
            ("io.kubernetes.cri.sandbox-namespace", "prod"),
        ]);
        let record = Record { labels, image: Some("shop:3".into()), image_digests: vec!["sha256:aa".into()] };
        let got = super::described("70408d80", annotations, record);
        assert_eq!(got.name.as_deref(), Some("app"));
        assert_eq!(got.pod, Some(Pod { namespace: "prod".into(), name: "shop-0".into(), container: "app".into() }));
        assert!(got.labels.contains(&("tier".into(), "web".into())));
        let labels =
            texts(&[("io.kubernetes.pod.name", "shop-0"), ("io.kubernetes.pod.namespace", "prod"), ("a", "b")]);
        let outside = super::described("web", HashMap::new(), Record { labels, ..Record::default() });
        assert_eq!((outside.pod, outside.labels), (None, vec![("a".into(), "b".into())]));
        assert_eq!((got.image.as_deref(), got.image_digests), (Some("shop:3"), vec!["sha256:aa".to_owned()]));
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
        let tasks = tasks_in(&folder, "/nonexistent");
        let got: Vec<_> = tasks.iter().map(|t| (t.namespace.as_str(), t.id.as_str(), t.init_pid())).collect();
        assert_eq!(got, [("default", "redis.1", Some(4772))]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(tasks_in(&folder, "/nonexistent"), []);
    }
}
