//! Owns what selectors mean that name no container: a process, a cgroup, the host. Never opens a file of theirs.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::nearest_names;
use ctp_lang::world::{Cgroup, Container, ListError, Runtime, TargetError, TargetKind};

use super::cgroup::classify;
use super::hierarchy::Hierarchy;
use super::process::ProcessDir;
use super::{Found, Process, containerd, known, own_depth};
use crate::engine::{Failure, HostView, Outcome};

/// Most roots that the processes of one cgroup may have.
const MOST_ROOTS: usize = 64;
/// Most processes of a cgroup that are looked at for their roots.
const MOST_PROCESSES: usize = 1 << 17;

/// The process of a number in this `/proc`.
///
/// # Errors
/// [`TargetError`] where there is none, or where it is a thread.
pub fn process(pid: u32) -> Result<Found, TargetError> {
    let nothing = |notes: Vec<String>| TargetError::NotFound { notes, nearest: Vec::new() };
    let dir = ProcessDir::open(pid).map_err(|_| nothing(Vec::new()))?;
    let ended = |_| nothing(vec!["it has just ended".to_owned()]);
    let stat = dir.stat().map_err(ended)?;
    let leader = dir.leader().map_err(ended)?;
    if leader != pid {
        return Err(nothing(vec![format!("{pid} is a thread of process {leader}: pid({leader})")]));
    }
    let init = Process { pid, start: stat.starttime };
    if !init.lives() {
        return Err(nothing(vec!["it has ended, and its parent has not asked for its exit status yet".to_owned()]));
    }
    let ns_pids = dir.ns_pids().map_err(ended)?;
    let pid_level = u32::try_from(ns_pids.len().saturating_sub(1)).unwrap_or(0);
    let name = format!("pid {pid}");
    Ok(Found { container: Container { init_pid: pid, pid_level, ..entry(TargetKind::Process, name) }, init })
}

/// A cgroup by its path from the root of the v2 hierarchy: one entry for each root that its processes have, the host's
/// where it has none.
///
/// # Errors
/// [`TargetError`] where there is no such cgroup, or no hierarchy is mounted.
pub fn cgroup(path: &str) -> Result<Vec<Found>, TargetError> {
    let hierarchy = hierarchy()?;
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let Some(cgroup) = hierarchy.cgroup(path) else { return Err(no_cgroup(&hierarchy, path)) };
    let hosts = hosts_first().and_then(|first| root_of(first.pid));
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let unusable = |reason: String| {
        let help = Some("select the containers in it by container(\"…\")".to_owned());
        Err(TargetError::Unusable(ListError { reason, help }))
    };
    let pids = processes(&hierarchy, path);
    if pids.len() > MOST_PROCESSES {
        return unusable(format!(
            "more than {MOST_PROCESSES} processes are in cgroup {path}: not all of their roots are known"
        ));
    }
    for pid in pids {
        let Some(root) = root_of(pid) else { continue };
        if !seen.insert(root) {
            continue;
        }
        let init = if Some(root) == hosts { None } else { Process::of(pid).ok() };
        found.push(of_cgroup(path, &cgroup, init));
        if found.len() > MOST_ROOTS {
            return unusable(format!("the processes of cgroup {path} have more than {MOST_ROOTS} roots"));
        }
    }
    if found.is_empty() {
        found.push(of_cgroup(path, &cgroup, None));
    }
    Ok(found)
}

/// The host, among these containers.
///
/// # Errors
/// [`TargetError`] where its tasks cannot be told from those of containers.
pub fn host(containers: &[Found]) -> Result<Found, TargetError> {
    let unusable =
        |reason: String, help: &str| Err(TargetError::Unusable(ListError { reason, help: Some(help.to_owned()) }));
    if hosts_first().is_none() {
        return unusable(
            "ctp runs in a container, from where the host's processes are not seen".to_owned(),
            "run that container with the host's pid namespace (--pid=host, hostPID: true)",
        );
    }
    if !hierarchy()?.is_whole() {
        return unusable(
            "only a part of the cgroup2 hierarchy is mounted here: who belongs to the host is not known".to_owned(),
            "run ctp on the host, or in a container with the host's cgroup namespace (--cgroupns=host)",
        );
    }
    let without: Vec<&str> = containers
        .iter()
        .map(|found| &found.container)
        .filter(|c| c.cgroup.is_none())
        .map(Container::display_name)
        .collect();
    if !without.is_empty() {
        return unusable(
            format!("containers without a cgroup of their own cannot be told from the host: {}", without.join(", ")),
            "select by pid(…) or cgroup(…)",
        );
    }
    Ok(Found { container: entry(TargetKind::Host, "host".to_owned()), init: Process { pid: 0, start: 0 } })
}

/// Which cgroups there are now, and which of them are containers'.
///
/// # Errors
/// A [`Failure`] where no hierarchy is mounted any more.
pub fn host_view() -> Outcome<HostView> {
    let Some(hierarchy) = Hierarchy::find() else {
        return Err(Box::new(Failure::new(Code::E0407, "no cgroup2 hierarchy is mounted here any more")));
    };
    let known = known(&containerd::tasks());
    let mut view = HostView::default();
    hierarchy.walk(&mut |path, id| {
        view.all.insert(id);
        let is_containers = !classify(path.as_bytes(), &known).is_empty();
        if is_containers {
            view.containers.insert(id);
        }
        // Whatever is below a container is its.
        !is_containers
    });
    Ok(view)
}

/// The process whose root is the host's: where ctp runs in no container itself, and otherwise the first process of the
/// host, where this `/proc` shows it.
pub fn hosts_first() -> Option<Process> {
    // PROC_PID_INIT_INO of include/linux/proc_ns.h: the first pid namespace.
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    if namespace.as_os_str() != "pid:[4026531836]" {
        return None;
    }
    Process::of(if own_depth() == 0 { std::process::id() } else { 1 }).ok()
}

fn hierarchy() -> Result<Hierarchy, TargetError> {
    Hierarchy::find().ok_or_else(|| {
        TargetError::Unusable(ListError {
            reason: "no cgroup2 hierarchy is mounted here: tasks cannot be told by cgroup".to_owned(),
            help: Some("mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified".to_owned()),
        })
    })
}

/// Device and inode of a process' root folder: two processes with the same see the same files below it.
fn root_of(pid: u32) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(format!("/proc/{pid}/root")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Processes in a cgroup and below it; some more than [`MOST_PROCESSES`] where there are more.
fn processes(hierarchy: &Hierarchy, path: &str) -> Vec<u32> {
    let mut pids = Vec::new();
    let Some(top) = hierarchy.cgroup(path) else { return pids };
    let mut open = vec![std::path::PathBuf::from(top.folder)];
    while let Some(folder) = open.pop().filter(|_| pids.len() <= MOST_PROCESSES) {
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        // 0 stands for a process of another pid namespace.
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        open.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    pids
}

fn no_cgroup(hierarchy: &Hierarchy, path: &str) -> TargetError {
    let mount_point = hierarchy.mount_point().to_string_lossy().into_owned();
    if let Some(below) = path.strip_prefix(&mount_point).filter(|below| below.starts_with('/')) {
        let notes = vec![format!("paths begin at the root of the hierarchy, which is mounted on {mount_point}")];
        return TargetError::NotFound { notes, nearest: vec![below.to_owned()] };
    }
    // The deepest folder that is there, and what it holds.
    let there =
        Path::new(path).ancestors().skip(1).filter_map(Path::to_str).find(|above| hierarchy.cgroup(above).is_some());
    let there = there.unwrap_or("/");
    let folder = hierarchy.cgroup(there).map(|cgroup| cgroup.folder).unwrap_or_default();
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some(format!("{}/{}", there.trim_end_matches('/'), entry.file_name().to_str()?)))
        .collect();
    let depth = there.split('/').filter(|part| !part.is_empty()).count() + 1;
    let asked: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).take(depth).collect();
    let nearest = nearest_names(&format!("/{}", asked.join("/")), names.iter().map(String::as_str), 3);
    TargetError::NotFound { notes: vec![format!("the deepest one of that path is `{there}`")], nearest }
}

fn of_cgroup(path: &str, cgroup: &Cgroup, init: Option<Process>) -> Found {
    let init_pid = init.map_or(0, |init| init.pid);
    let container = Container { init_pid, cgroup: Some(cgroup.clone()), ..entry(TargetKind::Cgroup, path.to_owned()) };
    Found { container, init: init.unwrap_or(Process { pid: 0, start: 0 }) }
}

fn entry(kind: TargetKind, name: String) -> Container {
    Container {
        kind,
        id: name.clone(),
        name: Some(name),
        runtime: Runtime::Unknown,
        image: None,
        image_digests: Vec::new(),
        labels: Vec::new(),
        pod: None,
        init_pid: 0,
        cgroup: None,
        boundary: None,
        pid_level: 0,
    }
}
