//! Owns what CRI-O's bundles tell: names, images and pods. Never talks to CRI-O; never decides whether a container
//! exists: `/proc` does.

use std::collections::HashMap;
use std::path::Path;

use super::containerd::annotations;
use super::described::{Described, Descriptions};
use super::podman::userdata;
use super::state_file;

/// CRI-O's bundles lie in containers-storage's run root, a copy in its graph root.
const ROOTS: [&str; 2] = ["/run/containers/storage", "/var/lib/containers/storage"];

/// What the bundles of these containers say. Adds a note where one is missing.
pub(super) fn describe(ids: &[&str], notes: &mut Vec<String>) -> Descriptions {
    let bundle =
        |id: &str| ROOTS.iter().find_map(|root| annotations(&userdata(Path::new(root), id).join("config.json")));
    let found: Descriptions =
        ids.iter().filter_map(|id| Some(((*id).to_owned(), of_annotations(bundle(id)?)))).collect();
    if found.len() < ids.len() {
        let unnamed = ids.len() - found.len();
        notes.push(format!(
            "{} shows no bundle of {unnamed} of CRI-O's containers: their names are unknown",
            ROOTS.join(" nor ")
        ));
    }
    found
}

/// Pid of a container's first process, as conmon wrote it down.
pub(super) fn init_pid(id: &str) -> Option<u32> {
    ROOTS.iter().find_map(|root| state_file::pid(&userdata(Path::new(root), id).join("pidfile")))
}

/// The annotations as cri-o pkg/annotations/internal.go names them; the container's labels are JSON in one of them.
fn of_annotations(mut annotations: HashMap<String, String>) -> Described {
    let labels = annotations.get("io.kubernetes.cri-o.Labels");
    let labels: Option<HashMap<String, String>> = labels.and_then(|text| serde_json::from_str(text).ok());
    let name = annotations.get("io.kubernetes.container.name").cloned();
    let image = annotations.get("io.kubernetes.cri-o.ImageName").cloned();
    // The image's id, without its algorithm.
    let digest = annotations.get("io.kubernetes.cri-o.ImageRef").map(|id| format!("sha256:{id}"));
    annotations.extend(labels.unwrap_or_default());
    Described::new(name, image, annotations).of_images(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctp_lang::world::Pod;

    #[test]
    fn a_container_of_a_pod() {
        let pairs = [
            ("io.kubernetes.container.name", "app"),
            ("io.kubernetes.cri-o.ImageName", "quay.io/shop:3"),
            (
                "io.kubernetes.cri-o.Labels",
                r#"{"io.kubernetes.pod.name":"shop-0","io.kubernetes.pod.namespace":"prod","tier":"web"}"#,
            ),
        ];
        let got = of_annotations(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
        assert_eq!((got.name.as_deref(), got.image.as_deref()), (Some("app"), Some("quay.io/shop:3")));
        assert_eq!(got.pod, Some(Pod { namespace: "prod".into(), name: "shop-0".into(), container: "app".into() }));
        assert!(got.labels.contains(&("tier".to_owned(), "web".to_owned())));
    }
}
