//! Owns asking docker: names, images and labels over its socket, from its state files where the socket does not
//! answer. Never decides whether a container exists: `/proc` does.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::described::{Described, Descriptions};
use super::{http, state_file};

/// Where docker listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// Where docker keeps its state unless `data-root` in `/etc/docker/daemon.json` says otherwise.
const ROOT: &str = "/var/lib/docker";

/// An entry of `GET /containers/json` (Docker Engine API, ContainerList); fields that are missing stay empty.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Summary {
    pub(super) id: String,
    pub(super) names: Option<Vec<String>>,
    pub(super) image: Option<String>,
    #[serde(rename = "ImageID")]
    pub(super) image_id: Option<String>,
    pub(super) labels: Option<HashMap<String, String>>,
    pub(super) state: Option<String>,
}

impl Summary {
    /// The container's own name: `/web`. Links give it more, of the form `/other/alias`.
    pub(super) fn name(&self) -> Option<String> {
        let names = self.names.iter().flatten().map(|name| name.strip_prefix('/').unwrap_or(name));
        names.filter(|name| !name.contains('/')).map(str::to_owned).next()
    }

    /// Its id and what is said of it.
    pub(super) fn described(self) -> (String, Described) {
        let name = self.name();
        // podman's API leaves the algorithm out.
        let digest = self.image_id.map(|id| if id.contains(':') { id } else { format!("sha256:{id}") });
        (self.id, Described::new(name, self.image, self.labels.into_iter().flatten()).of_images(digest))
    }
}

/// Whether there is a docker to ask: its socket, or its state files.
pub(super) fn is_here(docker_host: Option<&str>) -> bool {
    socket(docker_host).is_ok_and(|path| path.exists()) || root().join("containers").exists()
}

/// What docker says of its containers with these ids, and of those in `open` that may be its; and of those that do not
/// run. Adds a note where it could not be asked over its socket.
pub(super) fn describe(
    docker_host: Option<&str>,
    ids: &[&str],
    open: &[&str],
    notes: &mut Vec<String>,
    stopped: &mut Option<Vec<(String, String)>>,
) -> Descriptions {
    match list(docker_host) {
        Ok(list) => {
            *stopped = Some(not_running(&list));
            let found: Descriptions = list.into_iter().map(Summary::described).collect();
            let unnamed = ids.iter().filter(|id| !found.contains_key(**id)).count();
            if unnamed > 0 {
                notes.push(format!("docker does not know {unnamed} of the containers in its cgroups (another docker's, or just removed): their names are unknown"));
            }
            found
        }
        Err(reason) => {
            let root = root();
            let found: Descriptions =
                ids.iter().chain(open).filter_map(|id| Some(((*id).to_owned(), in_state_files(&root, id)?))).collect();
            let unnamed = ids.iter().filter(|id| !found.contains_key(**id)).count();
            notes.push(match unnamed {
                0 => format!("{reason}; names of its containers are from its state files in {}", root.display()),
                _ => format!(
                    "{reason}, and {} shows no state of {unnamed} of its containers: their names are unknown",
                    root.display()
                ),
            });
            found
        }
    }
}

/// Names and states of the containers that docker knows and that do not run, at most 20; `None` where it cannot be asked.
pub(super) fn stopped(docker_host: Option<&str>) -> Option<Vec<(String, String)>> {
    Some(not_running(&list(docker_host).ok()?))
}

fn not_running(list: &[Summary]) -> Vec<(String, String)> {
    let stopped = list.iter().filter_map(|summary| {
        let state = summary.state.clone().filter(|state| !matches!(state.as_str(), "running" | "paused"))?;
        Some((summary.name()?, state))
    });
    stopped.take(20).collect()
}

/// The first number of its version; `None` where it does not answer.
pub(super) fn version(docker_host: Option<&str>) -> Option<u32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        version: String,
    }
    let body = http::get(&socket(docker_host).ok()?, "/version").ok()?;
    let version: Version = serde_json::from_slice(&body).ok()?;
    version.version.split('.').next()?.parse().ok()
}

/// Ids of all its containers, running or not; `None` where it cannot be asked.
pub(super) fn ids(docker_host: Option<&str>) -> Option<HashSet<String>> {
    list(docker_host).ok().map(|list| list.into_iter().map(|summary| summary.id).collect())
}

fn list(docker_host: Option<&str>) -> Result<Vec<Summary>, String> {
    let socket = socket(docker_host)?;
    let failed = |e: io::Error| format!("docker did not answer at {} ({e})", socket.display());
    let body = http::get(&socket, "/containers/json?all=1").map_err(failed)?;
    serde_json::from_slice(&body).map_err(|e| failed(e.into()))
}

/// The socket to ask: a Unix one, or a sentence why there is none.
fn socket(docker_host: Option<&str>) -> Result<PathBuf, String> {
    match docker_host {
        None | Some("") => Ok(PathBuf::from(SOCKET)),
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => Ok(PathBuf::from(path)),
            None => Err("docker was not asked: DOCKER_HOST names no Unix socket".to_owned()),
        },
    }
}

/// Docker's root folder.
fn root() -> PathBuf {
    #[derive(Deserialize)]
    struct Daemon {
        #[serde(rename = "data-root")]
        data_root: Option<PathBuf>,
    }
    let daemon = state_file::json::<Daemon>(Path::new("/etc/docker/daemon.json"));
    daemon.ok().and_then(|daemon| daemon.data_root).unwrap_or_else(|| PathBuf::from(ROOT))
}

/// What its state files say of a container, without asking it: what it has made known before it starts one.
pub(super) fn in_state_files_of(id: &str) -> Option<Described> {
    in_state_files(&root(), id)
}

/// What `containers/<id>/config.v2.json` says (moby container/container.go, struct Container).
fn in_state_files(root: &Path, id: &str) -> Option<Described> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct State {
        name: Option<String>,
        /// The image's id.
        image: Option<String>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        image: Option<String>,
        labels: Option<HashMap<String, String>>,
    }
    let state: State = state_file::json(&root.join("containers").join(id).join("config.v2.json")).ok()?;
    let name = state.name.map(|name| name.strip_prefix('/').map(str::to_owned).unwrap_or(name));
    let (image, labels) = state.config.map_or((None, None), |config| (config.image, config.labels));
    Some(Described::new(name, image, labels.into_iter().flatten()).of_images(state.image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_names_a_unix_socket_or_nothing_that_is_asked() {
        assert_eq!(socket(None).unwrap(), Path::new(SOCKET));
        assert_eq!(socket(Some("")).unwrap(), Path::new(SOCKET));
        assert_eq!(socket(Some("unix:///run/user/1000/docker.sock")).unwrap(), Path::new("/run/user/1000/docker.sock"));
        assert!(socket(Some("tcp://10.0.0.1:2376")).unwrap_err().contains("DOCKER_HOST"));
    }

    #[test]
    fn the_own_name_is_told_from_links() {
        let summary =
            |names: &str| -> Summary { serde_json::from_str(&format!(r#"{{"Id":"x","Names":{names}}}"#)).unwrap() };
        assert_eq!(summary(r#"["/proxy/db","/db"]"#).name().as_deref(), Some("db"));
        assert_eq!(summary("null").name(), None);
        assert_eq!(summary("[]").name(), None);
    }
}
