//! Owns what a cgroup that has just been made is: a container that is being started, and which. At that moment no
//! process is in it; its engine has made it known by then, docker in its state files, containerd in its bundle.

use ctp_lang::world::{Cgroup, Container, Runtime, TargetKind};

use super::cgroup::classify;
use super::described::Described;
use super::hierarchy::Hierarchy;
use super::{Absent, Group, Settings, ask_engines, containerd, docker, known};
use std::collections::HashMap;

/// What a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coming {
    /// A container's own cgroup.
    Container(Box<Container>),
    /// A container's own cgroup; its engine does not tell its name, or not yet.
    Unnamed(Box<Container>),
    /// Something else: a service's, or one inside a container.
    Other,
}

/// What the cgroup of this id and path is. Its container's first process is not known yet (0), and neither is the depth
/// of its pid namespace (1).
pub fn coming(settings: &Settings, path: &str, id: u64) -> Coming {
    // Only paths of two components need the list of tasks; it is not read for each cgroup that anybody makes.
    let is_short = path.split('/').filter(|part| !part.is_empty()).count() == 2;
    let tasks = if is_short { containerd::tasks() } else { Vec::new() };
    let Some(identity) = classify(path.as_bytes(), &known(&tasks)).pop() else { return Coming::Other };
    if identity.path != path || identity.nested {
        return Coming::Other;
    }
    let (runtime, described) = match identity.runtime {
        Runtime::Docker => match docker::in_state_files_of(&identity.id) {
            Some(described) => (Runtime::Docker, described),
            None => ask(settings, &identity, tasks),
        },
        Runtime::Podman | Runtime::Containerd | Runtime::CriO | Runtime::Lxc | Runtime::Nspawn | Runtime::Unknown => {
            ask(settings, &identity, tasks)
        }
    };
    let level = path.split('/').filter(|part| !part.is_empty()).count();
    let folder = Hierarchy::find().and_then(|hierarchy| hierarchy.cgroup(path)).filter(|cgroup| cgroup.id == id);
    let container = Box::new(Container {
        kind: TargetKind::Container,
        id: identity.id,
        name: described.name,
        runtime,
        image: described.image,
        image_digests: described.image_digests,
        labels: described.labels,
        pod: described.pod,
        init_pid: 0,
        boundary: None,
        cgroup: Some(Cgroup {
            folder: folder.map(|cgroup| cgroup.folder).unwrap_or_default(),
            id,
            level: u32::try_from(level).unwrap_or(u32::MAX),
        }),
        pid_level: 1,
    });
    if container.name.is_some() { Coming::Container(container) } else { Coming::Unnamed(container) }
}

/// What engines say of it.
fn ask(settings: &Settings, identity: &super::Identity, tasks: Vec<containerd::Task>) -> (Runtime, Described) {
    let tasks = if tasks.is_empty() { containerd::tasks() } else { tasks };
    let group = Group { identity: identity.clone(), v2: true, own: Vec::new(), inner: Vec::new() };
    let tasks: HashMap<&str, &containerd::Task> = tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    let (mut notes, mut absent) = (Vec::new(), Absent::default());
    let mut names = ask_engines(settings, std::slice::from_ref(&group), &tasks, &mut notes, &mut absent);
    names.remove(&identity.id).unwrap_or_else(|| (identity.runtime, group.described_by_path()))
}

/// Tells the paths of cgroups from the root of the hierarchy, as the kernel does; none where the mount here does not show
/// the whole hierarchy.
#[derive(Debug)]
pub struct Paths(Option<Hierarchy>);

impl Paths {
    /// By the hierarchy that is mounted now.
    pub fn now() -> Paths {
        Paths(Hierarchy::find().filter(Hierarchy::is_whole))
    }

    /// The path of a cgroup.
    pub fn of(&self, cgroup: &Cgroup) -> Option<String> {
        let path = cgroup.folder.strip_prefix(self.0.as_ref()?.mount_point().to_str()?)?;
        path.starts_with('/').then(|| path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_and_a_folder_below_a_container_are_no_container() {
        let id = "70408d8058734f1ec80985fbef05ba637778ac5fe040a3c0992f0bfd3c66e92c";
        for path in ["/system.slice/x.service", &format!("/docker/{id}/docker/{id}"), &format!("/docker/{id}/a"), "/"] {
            assert_eq!(coming(&Settings::default(), path, 1), Coming::Other, "{path}");
        }
        // No engine knows this one.
        let Coming::Unnamed(container) = coming(&Settings::default(), &format!("/docker/{id}"), 1) else { panic!() };
        assert_eq!((container.id.as_str(), container.runtime), (id, Runtime::Docker));
    }
}
