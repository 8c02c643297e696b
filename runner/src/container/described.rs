//! Owns what engines say of a container (name, image, labels, pod) and the bounds on it. Whatever an engine says was
//! chosen by whoever made the container: it is kept as data, cut to size, and escaped where it is shown.

use std::collections::HashMap;

use ctp_lang::world::Pod;

/// Longest name, image reference or label key kept, in bytes.
const LONGEST_NAME: usize = 1024;
/// Longest label value kept, in bytes.
const LONGEST_VALUE: usize = 4096;
/// Most labels kept of one container.
const MOST_LABELS: usize = 512;
/// Most digests kept of one container's image.
const MOST_DIGESTS: usize = 16;

/// What an engine says of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// Its name.
    pub name: Option<String>,
    /// Its image as the engine shows it.
    pub image: Option<String>,
    /// What names that image by its content: its id, digests of its manifests.
    pub image_digests: Vec<String>,
    /// Its labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Its pod.
    pub pod: Option<Pod>,
}

/// Descriptions by container id.
pub(super) type Descriptions = HashMap<String, Described>;

impl Described {
    /// Takes name, image and labels, each within bounds; the pod comes out of the labels. A name or image over its
    /// bound is none: a cut one could be another container's.
    pub(super) fn new(
        name: Option<String>,
        image: Option<String>,
        labels: impl IntoIterator<Item = (String, String)>,
    ) -> Described {
        let fits = |text: &String| !text.is_empty() && text.len() <= LONGEST_NAME;
        let mut labels: Vec<(String, String)> =
            labels.into_iter().filter(|(key, value)| fits(key) && value.len() <= LONGEST_VALUE).collect();
        labels.sort();
        let pod = pod(&labels);
        labels.truncate(MOST_LABELS);
        Described { name: name.filter(fits), image: image.filter(fits), image_digests: Vec::new(), labels, pod }
    }

    /// With what names its image by content, as far as it looks like that.
    pub(super) fn of_images(mut self, digests: impl IntoIterator<Item = String>) -> Described {
        let is_digest = |text: &String| text.starts_with("sha256:") && text.len() <= LONGEST_NAME;
        self.image_digests.extend(digests.into_iter().filter(is_digest).take(MOST_DIGESTS));
        self
    }
}

/// The pod by the labels that the kubelet gives every container it makes (kubernetes
/// pkg/kubelet/types/labels.go: `io.kubernetes.{pod.name,pod.namespace,container.name}`), or by the annotations of
/// containerd's CRI plugin (internal/cri/annotations: `io.kubernetes.cri.*`).
fn pod(labels: &[(String, String)]) -> Option<Pod> {
    let get = |key: &str| {
        let index = labels.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        labels.get(index).map(|(_, value)| value.clone())
    };
    // What the engine wrote before what could be a label of the image.
    let either = |label: &str, annotation: &str| get(annotation).or_else(|| get(label));
    Some(Pod {
        namespace: either("io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace")?,
        name: either("io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name")?,
        // The sandbox's own container has no name; the kubelet calls it POD.
        container: either("io.kubernetes.container.name", "io.kubernetes.cri.container-name")
            .unwrap_or_else(|| "POD".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_is_over_the_bounds_is_not_cut_but_left_out() {
        let long = "x".repeat(LONGEST_NAME + 1);
        let huge = "x".repeat(LONGEST_VALUE + 1);
        let described = Described::new(
            Some(long.clone()),
            Some(long.clone()),
            labels(&[("b", "1"), (&long, "2"), ("c", &huge), ("a", "3")]),
        );
        assert_eq!(described, Described { labels: labels(&[("a", "3"), ("b", "1")]), ..Described::default() });
        let many = (0..2 * MOST_LABELS).map(|i| (format!("l{i:04}"), String::new()));
        assert_eq!(Described::new(None, None, many).labels.len(), MOST_LABELS);
    }

    #[test]
    fn pods_by_labels_and_by_annotations() {
        let of = |pairs| Described::new(None, None, labels(pairs)).pod;
        let shop =
            |container: &str| Some(Pod { namespace: "shop".into(), name: "web-0".into(), container: container.into() });
        assert_eq!(
            of(&[
                ("io.kubernetes.container.name", "app"),
                ("io.kubernetes.pod.name", "web-0"),
                ("io.kubernetes.pod.namespace", "shop")
            ]),
            shop("app")
        );
        let sandbox = [("io.kubernetes.cri.sandbox-name", "web-0"), ("io.kubernetes.cri.sandbox-namespace", "shop")];
        assert_eq!(of(&sandbox), shop("POD"));
        assert_eq!(of(&[("io.kubernetes.pod.name", "web-0")]), None);
    }
}
