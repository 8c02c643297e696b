//! Owns asking podman: its Docker-compatible API where its socket is served, its state files otherwise (podman needs
//! no daemon). Never decides whether a container exists: `/proc` does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::described::{Described, Descriptions};
use super::docker::Summary;
use super::process::{Process, ProcessDir};
use super::rootless::WithoutCgroup;
use super::{http, state_file};

/// Where `podman system service` listens for root (podman-system-service(1)).
const SOCKET: &str = "/run/podman/podman.sock";
/// The store of root's containers: `graphroot` and `runroot` of containers-storage.conf(5), by default.
const GRAPH_ROOT: &str = "/var/lib/containers/storage";
const RUN_ROOT: &str = "/run/containers/storage";

/// Whether the socket that would be asked exists.
pub(super) fn has_socket() -> bool {
    Path::new(SOCKET).exists()
}

/// Whether its store lists any container of root's.
pub(super) fn has_containers() -> bool {
    !in_store(Path::new(GRAPH_ROOT)).is_empty()
}

/// What podman says of the containers with these ids. Adds a note where something stays unknown.
pub(super) fn describe(ids: &[&str], notes: &mut Vec<String>) -> Descriptions {
    // No socket is the usual case: not worth a note as long as the state files tell the names.
    if has_socket() {
        let list = http::get(Path::new(SOCKET), "/containers/json?all=1").map_err(|e| e.to_string());
        match list.and_then(|body| serde_json::from_slice::<Vec<Summary>>(&body).map_err(|e| e.to_string())) {
            Ok(list) => return list.into_iter().map(Summary::described).collect(),
            Err(e) => notes.push(format!("podman did not answer at {SOCKET} ({e}); its state files were read")),
        }
    }
    let found = in_store(Path::new(GRAPH_ROOT));
    let unnamed = ids.iter().filter(|id| !found.contains_key(**id)).count();
    if unnamed > 0 {
        notes.push(format!("{GRAPH_ROOT} does not list {unnamed} of podman's containers: their names are unknown"));
    }
    found
}

/// Pid of a container's first process, as conmon wrote it down.
pub(super) fn init_pid(id: &str) -> Option<u32> {
    state_file::pid(&userdata(Path::new(RUN_ROOT), id).join("pidfile"))
}

/// Root's containers that run without a cgroup of their own (`--cgroups=disabled`): those whose first process conmon wrote
/// down and `has_cgroup` does not know.
pub(super) fn without_cgroup(has_cgroup: &dyn Fn(&str) -> bool) -> Vec<WithoutCgroup> {
    let folder = Path::new(RUN_ROOT).join("overlay-containers");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let ids = ids.filter(|id| super::cgroup::is_hex_id(id) && !has_cgroup(id));
    let running: Vec<(String, Process, u32)> =
        ids.filter_map(|id| first_process(&id).map(|(init, level)| (id, init, level))).collect();
    let mut listed = if running.is_empty() { Descriptions::new() } else { in_store(Path::new(GRAPH_ROOT)) };
    let all = running.into_iter().map(|(id, init, pid_level)| WithoutCgroup {
        described: listed.remove(&id).unwrap_or_default(),
        id,
        init,
        pid_level,
    });
    all.collect()
}

/// The process that conmon wrote down, and the depth of its pid namespace. The file outlives it: who has its number now
/// began after the file was written.
fn first_process(id: &str) -> Option<(Process, u32)> {
    /// By which a start may seem later than it was: they are told in ticks of 10 ms.
    const TICKS: std::time::Duration = std::time::Duration::from_millis(20);
    let path = userdata(Path::new(RUN_ROOT), id).join("pidfile");
    let written = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok()?.elapsed().ok()?;
    let dir = ProcessDir::open(state_file::pid(&path)?).ok()?;
    let init = Process { pid: state_file::pid(&path)?, start: dir.start().ok()? };
    if init.age()? + TICKS < written || !init.runs() {
        return None;
    }
    Some((init, u32::try_from(dir.ns_pids().ok()?.len().saturating_sub(1)).ok()?))
}

/// The folder of a container's bundle within a store.
pub(super) fn userdata(root: &Path, id: &str) -> PathBuf {
    root.join("overlay-containers").join(id).join("userdata")
}

/// `overlay-containers/containers.json` (containers/storage containers.go, struct Container); `metadata` is JSON in a
/// string (podman libpod/storage.go, RuntimeContainerMetadata). Labels are in podman's database only.
fn in_store(root: &Path) -> Descriptions {
    let list = state_file::read(&root.join("overlay-containers/containers.json"));
    list.ok().and_then(|list| listed(&list)).unwrap_or_default()
}

/// What such a list says; `None` where it is none.
pub(super) fn listed(list: &[u8]) -> Option<Descriptions> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        names: Option<Vec<String>>,
        metadata: Option<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "kebab-case", default)]
    struct Metadata {
        image_name: Option<String>,
        image_id: Option<String>,
        name: Option<String>,
    }
    let entries: Vec<Entry> = serde_json::from_slice(list).ok()?;
    let describe = |entry: Entry| {
        let metadata: Metadata = entry.metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let name = entry.names.unwrap_or_default().into_iter().next().or(metadata.name);
        let digest = metadata.image_id.map(|id| format!("sha256:{id}"));
        (entry.id, Described::new(name, metadata.image_name, HashMap::new()).of_images(digest))
    };
    Some(entries.into_iter().map(describe).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_images_from_the_store() {
        let root = std::env::temp_dir().join(format!("ctp-podman-{}", std::process::id()));
        std::fs::create_dir_all(root.join("overlay-containers")).unwrap();
        // As containers/storage writes it.
        let text = r#"[{"id":"aa","names":["web"],"image":"3e8e","layer":"1c","metadata":"{\"image-name\":\"localhost/shop:1\",\"image-id\":\"3e8e\",\"name\":\"web\",\"created-at\":1795367422}","created":"2026-11-22T17:10:22Z"},{"id":"bb"}]"#;
        std::fs::write(root.join("overlay-containers/containers.json"), text).unwrap();
        let found = in_store(&root);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found["aa"].name.as_deref(), Some("web"));
        assert_eq!(found["aa"].image.as_deref(), Some("localhost/shop:1"));
        assert_eq!(found["aa"].image_digests, ["sha256:3e8e"]);
        assert_eq!(found["bb"], Described::default());
        assert!(in_store(&root).is_empty());
    }
}
