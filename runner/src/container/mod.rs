//! Owns discovery: which containers run on this host. `/proc` and the cgroups are the truth; engines are only asked
//! for names, images and labels, and only those whose containers were seen. Never opens a file of a container.
//!
//! A container inside a container (docker in docker, kind) is listed beside the one that holds it; tasks of the inner
//! one count for both. Whoever may write cgroups in a container could forge the look of one there, so an inner
//! container never gets a name from an engine of the host, and where two have one id, the inner one is left out.

pub mod boundary;
mod cgroup;
pub mod coming;
mod containerd;
mod crio;
mod described;
mod docker;
mod first;
mod grpc;
mod hierarchy;
mod http;
mod mapped;
mod podman;
pub mod process;
mod rootless;
mod state_file;
pub mod target;
pub mod watch;

pub use mapped::{mapped, processes};

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::engine::bpf::tasks::{Task, Tasks};
use ctp_lang::world::{Container, ListError, Runtime, TargetKind};

use cgroup::{Identity, Known, classify, paths};
use described::{Described, Descriptions};
use hierarchy::{Events, Hierarchy};
pub use process::Process;

/// A container and its first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the checker sees of it.
    pub container: Container,
    /// Its first process; the pid is also in `container`.
    pub init: Process,
}

/// The containers that run, and what could not be found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The containers, by runtime, then name, then pod, then id.
    pub found: Vec<Found>,
    /// What engines could not be asked and why, a sentence each.
    pub notes: Vec<String>,
    /// What else is worth saying where a container was not found.
    pub absent: Absent,
    /// How many processes were looked at.
    pub processes: usize,
}

/// What engines said, while they were asked, of containers that do not run or of what stays unknown of those that do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// Names and states of docker's containers that do not run; `None` where it was not asked.
    stopped: Option<Vec<(String, String)>>,
    /// Why labels are not known, a sentence each.
    unlabelled: Vec<String>,
}

/// Where engines are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `DOCKER_HOST`, as docker's own client takes it; only `unix://PATH` is asked.
    pub docker_host: Option<String>,
}

impl Settings {
    /// As the environment says.
    pub fn from_env() -> Settings {
        Settings { docker_host: std::env::var("DOCKER_HOST").ok() }
    }
}

/// Lists the containers that run now.
///
/// # Errors
/// [`ListError`] where `/proc` cannot be read.
pub fn discover(settings: &Settings) -> Result<Listing, ListError> {
    let tasks = containerd::tasks();
    let known = known(&tasks);
    let (groups, processes) = scan(&known).map_err(|e| ListError {
        reason: format!("the processes in /proc cannot be read: {e}"),
        help: Some("ctp needs /proc mounted to find containers".to_owned()),
    })?;
    let mut notes = Vec::new();
    let groups = drop_forged(groups, &mut notes);
    let hierarchy = Hierarchy::find();
    let tasks: HashMap<&str, &containerd::Task> = tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    let mut absent = Absent::default();
    let mut names = ask_engines(settings, &groups, &tasks, &mut notes, &mut absent);

    let kernel = Kernel::default();
    let in_first_namespace = target::hosts_first().is_some();
    let pids: Vec<u32> = groups.iter().flat_map(|group| group.own.iter().chain(&group.inner)).copied().collect();
    let mut found: Vec<Found> = groups
        .into_iter()
        .filter_map(|group| {
            let reported = group.reported_init(&tasks);
            let first = first::process(&group.own, reported).or_else(|| first::process(&group.inner, None))?;
            let (runtime, described) = match names.remove(&group.identity.id) {
                Some(_) if group.identity.nested => (group.identity.runtime, Described::default()),
                Some(found) => found,
                None => (group.identity.runtime, group.described_by_path()),
            };
            let mut cgroup = group.cgroup(hierarchy.as_ref());
            let mut pid_level = first.pid_level;
            // In a container ctp sees neither the folders of other cgroups nor how deep its own pid namespace lies.
            if (cgroup.is_none() || !in_first_namespace)
                && let Some(task) = kernel.task(first.process)
            {
                pid_level = task.pid_level;
                cgroup = cgroup.or_else(|| group.cgroup_of(&task, first.process.pid));
            }
            let boundary = match &cgroup {
                Some(_) => None,
                None => boundary::cgroup1(first.process, &group.identity.path),
            };
            Some(Found {
                container: Container {
                    kind: TargetKind::Container,
                    cgroup,
                    boundary,
                    id: group.identity.id,
                    name: described.name,
                    runtime,
                    image: described.image,
                    image_digests: described.image_digests,
                    labels: described.labels,
                    pod: described.pod,
                    init_pid: first.process.pid,
                    pid_level,
                },
                init: first.process,
            })
        })
        .collect();
    let in_groups: HashSet<String> = found.iter().map(|found| found.container.id.clone()).collect();
    let has_cgroup = |id: &str| in_groups.contains(id);
    let others = rootless::without_cgroup(&has_cgroup).into_iter().chain(podman::without_cgroup(&has_cgroup));
    // Who came while the processes were read has a cgroup all the same.
    let has_none = |other: &rootless::WithoutCgroup| {
        let file = other.init.dir().and_then(|dir| dir.read("cgroup"));
        file.is_ok_and(|file| identities(&file, &known).0.is_empty())
    };
    let others = others.filter(has_none);
    let mut others: Vec<Found> = others
        .map(|other| Found {
            container: Container {
                kind: TargetKind::Container,
                id: other.id,
                name: other.described.name,
                runtime: Runtime::Podman,
                image: other.described.image,
                image_digests: other.described.image_digests,
                labels: other.described.labels,
                pod: other.described.pod,
                init_pid: other.init.pid,
                cgroup: None,
                boundary: None,
                pid_level: other.pid_level,
            },
            init: other.init,
        })
        .collect();
    if !others.is_empty() {
        boundary::mount_namespaces(&mut others, &pids);
    }
    found.extend(others);
    if hierarchy.is_none() && own_depth() == 0 {
        let untold = |found: &&Found| found.container.cgroup.is_none() && found.container.boundary.is_none();
        let untold = found.iter().filter(untold).count();
        if untold > 0 {
            notes.push(format!(
                "no cgroup2 hierarchy is mounted here: {untold} of the containers cannot be told apart by cgroup"
            ));
        }
    }
    found.sort_by(|a, b| {
        let pod = |f: &'_ Found| f.container.pod.as_ref().map(|pod| (pod.namespace.clone(), pod.name.clone()));
        let key = |f: &'_ Found| (f.container.runtime, f.container.name.clone(), pod(f), f.container.id.clone());
        key(a).cmp(&key(b))
    });
    Ok(Listing { found, notes, absent, processes })
}

/// Sentences on containers that engines know and that do not run, for when a name was not found. Asks docker where no
/// container of it runs, which the listing did not ask then.
pub fn stopped_notes(settings: &Settings, listing: &Listing) -> Vec<String> {
    let mut notes = Vec::new();
    let stopped = match &listing.absent.stopped {
        Some(stopped) => stopped.clone(),
        None => docker::stopped(settings.docker_host.as_deref()).unwrap_or_default(),
    };
    if !stopped.is_empty() {
        let list = stopped.iter().map(|(name, state)| format!("{name} ({state})")).collect::<Vec<_>>().join(", ");
        notes.push(format!("docker knows containers that do not run: {list}"));
    }
    notes.extend(listing.absent.unlabelled.iter().cloned());
    if podman::has_containers() && !podman::has_socket() {
        notes.push(
            "labels of podman's containers are known only through its socket: systemctl start podman.socket".to_owned(),
        );
    }
    notes
}

/// Ids of all containers that the engine of a runtime knows, running or not: `None` where it cannot be asked.
pub fn all_known(settings: &Settings, runtime: Runtime) -> Option<HashSet<String>> {
    match runtime {
        Runtime::Docker => docker::ids(settings.docker_host.as_deref()),
        Runtime::Podman | Runtime::Containerd | Runtime::CriO | Runtime::Lxc | Runtime::Nspawn | Runtime::Unknown => {
            None
        }
    }
}

/// The kernel, asked about processes where files do not tell.
#[derive(Default)]
struct Kernel(OnceCell<Option<Tasks>>);

impl Kernel {
    fn task(&self, process: Process) -> Option<Task> {
        let tasks = self.0.get_or_init(|| Tasks::load().ok());
        let task = tasks.as_ref()?.of(process.pid).ok()??;
        // Told by its number alone: that the process still has it proves that it was meant.
        process.dir().is_ok().then_some(task)
    }
}

/// The processes of one container.
struct Group {
    identity: Identity,
    /// Whether the path is one of the v2 hierarchy.
    v2: bool,
    /// Those in its cgroup or below it, except in inner containers; ascending.
    own: Vec<u32>,
    /// Those in inner containers.
    inner: Vec<u32>,
}

impl Group {
    /// The first process as the engine wrote it down.
    fn reported_init(&self, tasks: &HashMap<&str, &containerd::Task>) -> Option<u32> {
        if self.identity.nested {
            return None;
        }
        match self.identity.runtime {
            Runtime::Docker | Runtime::Containerd | Runtime::Unknown => {
                tasks.get(self.identity.id.as_str())?.init_pid()
            }
            Runtime::Podman => podman::init_pid(&self.identity.id),
            Runtime::CriO => crio::init_pid(&self.identity.id),
            Runtime::Lxc | Runtime::Nspawn => None,
        }
    }

    /// LXC and nspawn name their cgroups by the container's name: there the id is the name.
    fn described_by_path(&self) -> Described {
        let name = match self.identity.runtime {
            Runtime::Lxc | Runtime::Nspawn => (!self.identity.nested).then(|| self.identity.id.clone()),
            Runtime::Docker | Runtime::Podman | Runtime::Containerd | Runtime::CriO | Runtime::Unknown => None,
        };
        Described { name, ..Described::default() }
    }

    /// Its cgroup2 folder. Where only v1 hierarchies showed the container, the same path under cgroup2 counts only if
    /// tasks live there: engines make it without using it.
    fn cgroup(&self, hierarchy: Option<&Hierarchy>) -> Option<ctp_lang::world::Cgroup> {
        let cgroup = hierarchy?.cgroup(&self.identity.path)?;
        let used = || Events::read(cgroup.folder.as_ref()).is_some_and(|events| events.populated);
        (self.v2 || used()).then_some(cgroup)
    }

    /// The same by what the kernel says of its first process. No folder shows it here: that is left empty.
    fn cgroup_of(&self, task: &Task, pid: u32) -> Option<ctp_lang::world::Cgroup> {
        let file = std::fs::read(format!("/proc/{pid}/cgroup")).ok()?;
        let (path, _) = paths(&file);
        let below = std::str::from_utf8(path?).ok()?.strip_prefix(&self.identity.path)?;
        let below = below.split('/').filter(|part| !part.is_empty()).count();
        let level = task.cgroups.len().checked_sub(1 + below)?;
        let id = *task.cgroups.get(level)?;
        let level = u32::try_from(level).ok().filter(|level| *level > 0)?;
        Some(ctp_lang::world::Cgroup { folder: String::new(), id, level })
    }
}

/// What paths alone do not tell, now.
fn known(tasks: &[containerd::Task]) -> Known {
    let named = tasks.iter().filter(|task| task.namespace != containerd::DOCKERS_NAMESPACE);
    Known { tasks: named.map(|task| (task.namespace.clone(), task.id.clone())).collect(), own_depth: own_depth() }
}

/// The mounted cgroup hierarchies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Where cgroup2 is mounted, and whether that is the whole of it.
    pub v2: Option<(String, bool)>,
    /// How many of version 1 are.
    pub v1: usize,
}

/// Which cgroup hierarchies are mounted here.
pub fn hierarchies() -> Hierarchies {
    let v2 = Hierarchy::find().map(|found| (found.mount_point().to_string_lossy().into_owned(), found.is_whole()));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let v1 = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup")).count();
    Hierarchies { v2, v1 }
}

/// The first number of docker's version; `None` where it does not answer.
pub fn docker_version(settings: &Settings) -> Option<u32> {
    docker::version(settings.docker_host.as_deref())
}

/// How many containers hold this process.
pub fn own_depth() -> usize {
    let file = std::fs::read("/proc/self/cgroup").unwrap_or_default();
    identities(&file, &Known::default()).0.len()
}

/// The containers of one `/proc/PID/cgroup`: by the v2 path, or where that shows none by the first v1 path that does
/// (a hybrid host whose engine leaves tasks in the v2 root). The flag tells whether it was the v2 path.
fn identities(file: &[u8], known: &Known) -> (Vec<Identity>, bool) {
    let (v2, mut v1) = paths(file);
    let by_v2 = v2.map(|path| classify(path, known)).unwrap_or_default();
    if !by_v2.is_empty() {
        return (by_v2, true);
    }
    (v1.find_map(|path| Some(classify(path, known)).filter(|found| !found.is_empty())).unwrap_or_default(), false)
}

/// All containers that have a process, and the number of all processes.
fn scan(known: &Known) -> std::io::Result<(Vec<Group>, usize)> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_identity: HashMap<Identity, usize> = HashMap::new();
    // Most processes share their cgroups with others: each content is classified once.
    let mut by_content: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let mut processes = 0;
    process::for_each_cgroup(|pid, file| {
        processes += 1;
        if !by_content.contains_key(file) {
            let (identities, v2) = identities(file, known);
            let indices = identities.into_iter().map(|identity| {
                *by_identity.entry(identity.clone()).or_insert_with(|| {
                    groups.push(Group { identity, v2, own: Vec::new(), inner: Vec::new() });
                    groups.len() - 1
                })
            });
            let indices = indices.collect();
            by_content.insert(file.to_vec(), indices);
        }
        let Some((innermost, outer)) = by_content.get(file).and_then(|indices| indices.split_last()) else { return };
        if let Some(group) = groups.get_mut(*innermost) {
            group.own.push(pid);
        }
        for index in outer {
            if let Some(group) = groups.get_mut(*index) {
                group.inner.push(pid);
            }
        }
    })?;
    Ok((groups, processes))
}

/// Leaves one container of each id: the outermost, since only the host's engine makes cgroups out there.
fn drop_forged(mut groups: Vec<Group>, notes: &mut Vec<String>) -> Vec<Group> {
    groups.sort_by_key(|group| (group.identity.nested, group.identity.path.len()));
    let mut seen = HashSet::new();
    groups.retain(|group| {
        let first = seen.insert(group.identity.id.clone());
        if !first {
            notes.push(format!(
                "the cgroup {} bears the id of another container and is not listed",
                group.identity.path
            ));
        }
        first
    });
    groups
}

/// Names, images and labels by id, with the runtime of the engine that knew it.
fn ask_engines(
    settings: &Settings,
    groups: &[Group],
    tasks: &HashMap<&str, &containerd::Task>,
    notes: &mut Vec<String>,
    absent: &mut Absent,
) -> HashMap<String, (Runtime, Described)> {
    let docker_host = settings.docker_host.as_deref();
    let outer = || groups.iter().map(|group| &group.identity).filter(|identity| !identity.nested);
    let ids = |runtime: Runtime| outer().filter(|i| i.runtime == runtime).map(|i| i.id.as_str()).collect::<Vec<_>>();
    let mut names = HashMap::new();
    let mut add = |runtime: Runtime, descriptions: Descriptions| {
        for (id, described) in descriptions {
            names.entry(id).or_insert((runtime, described));
        }
    };

    let (containerd, without_task): (Vec<&str>, Vec<&str>) =
        ids(Runtime::Containerd).into_iter().partition(|id| tasks.contains_key(id));
    let tasks: Vec<&containerd::Task> = containerd.iter().filter_map(|id| tasks.get(id).copied()).collect();
    add(Runtime::Containerd, containerd::describe(&tasks, &mut absent.unlabelled));

    // Paths that tell no engine (--cgroup-parent), and pods whose engine is docker, are for whoever knows the id.
    let open: Vec<&str> = ids(Runtime::Unknown).into_iter().chain(without_task).collect();
    let of_docker = ids(Runtime::Docker);
    if !of_docker.is_empty() || (!open.is_empty() && docker::is_here(docker_host)) {
        add(Runtime::Docker, docker::describe(docker_host, &of_docker, &open, notes, &mut absent.stopped));
    }
    let paths = outer().filter(|i| i.runtime == Runtime::Podman).map(|i| (i.id.as_str(), i.path.as_str()));
    let of_users = rootless::describe(paths);
    let of_podman: Vec<&str> = ids(Runtime::Podman).into_iter().filter(|id| !of_users.contains_key(*id)).collect();
    add(Runtime::Podman, of_users);
    if !of_podman.is_empty() || (!open.is_empty() && podman::has_socket()) {
        add(Runtime::Podman, podman::describe(&of_podman, notes));
    }
    let of_crio = ids(Runtime::CriO);
    if !of_crio.is_empty() {
        add(Runtime::CriO, crio::describe(&of_crio, notes));
    }
    let unnamed = open.iter().filter(|id| !names.contains_key(**id)).count();
    if unnamed > 0 {
        notes.push(format!("no engine that was asked knows {unnamed} of the containers: their names are unknown"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "70408d8058734f1ec80985fbef05ba637778ac5fe040a3c0992f0bfd3c66e92c";

    fn of(file: &str) -> (Vec<String>, bool) {
        let (identities, v2) = identities(file.as_bytes(), &Known::default());
        (identities.into_iter().map(|identity| identity.path).collect(), v2)
    }

    // As docker 20.10 with cgroupfs on a hybrid host writes it; older runc left tasks where the engine's service was.
    #[test]
    fn the_v2_path_says_who_it_is_and_a_v1_path_only_where_that_says_nothing() {
        let docker = format!("/docker/{ID}");
        assert_eq!(of(&format!("8:pids:/other\n1:cpu:{docker}\n0::{docker}\n")), (vec![docker.clone()], true));
        assert_eq!(of(&format!("8:pids:/\n4:memory:{docker}\n0::/\n")), (vec![docker.clone()], false));
        let service = format!("8:pids:{docker}\n0::/system.slice/containerd.service\n");
        assert_eq!(of(&service), (vec![docker.clone()], false));
        assert_eq!(of(&format!("11:memory:{docker}\n1:name=systemd:{docker}\n")), (vec![docker], false));
        assert_eq!(of("1:cpu:/\n0::/user.slice\n"), (vec![], false));
    }
}
