//! Owns telling cheaply what became of a container found earlier, and finding it again after a restart. Polls only
//! when asked; never lists all containers except in [`successor`].

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ctp_lang::world::{Cgroup, ListError, TargetKind};

use super::hierarchy::Events;
use super::{Found, Settings, discover};

/// What became of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its cgroup (without one: its first process) is the same, and tasks live in it.
    Running,
    /// The same, and the cgroup2 freezer holds all its tasks (`docker pause` on a cgroup2 host; v1 freezers do not show here).
    Frozen,
    /// No task of it lives any more.
    Ended,
}

/// What became of a container: two small reads.
pub fn state(found: &Found) -> State {
    let running = |runs: bool| if runs { State::Running } else { State::Ended };
    match found.container.kind {
        TargetKind::Host => return State::Running,
        TargetKind::Process => return running(found.init.lives()),
        // Tasks may come into an empty one; only where a process' root was looked at, that root is gone with it.
        TargetKind::Cgroup => {
            let folder = |cgroup: &Cgroup| is_same(cgroup, Path::new(&cgroup.folder));
            let is_there = found.container.cgroup.as_ref().is_some_and(folder);
            return running(is_there && (found.container.init_pid == 0 || found.init.lives()));
        }
        TargetKind::Container => {}
    }
    let Some(cgroup) = found.container.cgroup.as_ref().filter(|cgroup| !cgroup.folder.is_empty()) else {
        return running(found.init.runs());
    };
    let folder = Path::new(&cgroup.folder);
    // A restarted container has the same path and another id.
    if !is_same(cgroup, folder) {
        return State::Ended;
    }
    match Events::read(folder) {
        Some(Events { populated: true, frozen: true }) => State::Frozen,
        Some(Events { populated: true, frozen: false }) => State::Running,
        Some(Events { populated: false, .. }) | None => State::Ended,
    }
}

/// Whether tasks of it still live.
pub fn alive(found: &Found) -> bool {
    match state(found) {
        State::Running | State::Frozen => true,
        State::Ended => false,
    }
}

/// `cgroup.events` of a container, to be polled for `POLLPRI` (and read again then): the kernel signals when the last
/// task leaves (Documentation/admin-guide/cgroup-v2.rst, "[Un]populated Notification"). `None` where the container has
/// no cgroup of its own or has ended.
pub fn events(found: &Found) -> Option<File> {
    let cgroup = found.container.cgroup.as_ref()?;
    let folder = Path::new(&cgroup.folder);
    let file = File::open(folder.join("cgroup.events")).ok()?;
    is_same(cgroup, folder).then_some(file)
}

/// The container that took the place of one that has ended: the same id again, or the same name, pod and runtime under
/// a new id (removed and made anew). `None` where there is none yet, or several.
///
/// # Errors
/// [`ListError`] where containers cannot be listed.
pub fn successor(settings: &Settings, ended: &Found) -> Result<Option<Found>, ListError> {
    Ok(successor_in(&discover(settings)?.found, ended))
}

/// The same, in a listing made after it ended.
pub fn successor_in(listed: &[Found], ended: &Found) -> Option<Found> {
    match ended.container.kind {
        TargetKind::Container => {}
        TargetKind::Cgroup => {
            let found = super::target::cgroup(&ended.container.id).ok()?;
            let had_own_root = ended.container.init_pid != 0;
            return found.into_iter().find(|new| (new.container.init_pid != 0) == had_own_root);
        }
        TargetKind::Process | TargetKind::Host => return None,
    }
    let old = &ended.container;
    let candidates =
        listed.iter().filter(|new| new.container.runtime == old.runtime && (new.init != ended.init || alive(new)));
    let found: Vec<&Found> = candidates.collect();
    let by_id = found.iter().position(|new| new.container.id == old.id);
    by_id.or_else(|| named_alike(&found, ended)).and_then(|index| found.get(index)).map(|found| (*found).clone())
}

/// The one container that took an ended one's name. Containers of many pods bear one name (`app`), so the pod must be
/// the same too; what ran before the ended one did is its neighbour, whatever it is called.
fn named_alike(found: &[&Found], ended: &Found) -> Option<usize> {
    let old = &ended.container;
    old.name.as_ref()?;
    let mut alike = found.iter().enumerate().filter(|(_, new)| {
        new.container.name == old.name && new.container.pod == old.pod && new.init.start >= ended.init.start
    });
    let (index, _) = alike.next()?;
    alike.next().is_none().then_some(index)
}

fn is_same(cgroup: &Cgroup, folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.ino() == cgroup.id)
}

#[cfg(test)]
mod tests {
    use ctp_lang::world::{Container, Pod, Runtime, TargetKind};

    use super::*;
    use crate::container::Process;

    fn found(id: &str, pod: &str, start: u64) -> Found {
        let container = Container {
            kind: TargetKind::Container,
            id: id.to_owned(),
            name: Some("app".to_owned()),
            runtime: Runtime::Containerd,
            image: None,
            image_digests: Vec::new(),
            labels: Vec::new(),
            pod: Some(Pod { namespace: "shop".to_owned(), name: pod.to_owned(), container: "app".to_owned() }),
            init_pid: 1,
            cgroup: None,
            boundary: None,
            pid_level: 1,
        };
        Found { container, init: Process { pid: 1, start } }
    }

    #[test]
    fn a_container_of_another_pod_is_no_successor() {
        let ended = found("a", "web-0", 100);
        assert_eq!(named_alike(&[&found("b", "web-1", 50), &found("c", "web-1", 200)], &ended), None);
        assert_eq!(named_alike(&[&found("b", "web-1", 50), &found("c", "web-0", 200)], &ended), Some(1));
    }

    #[test]
    fn a_neighbour_of_the_same_name_is_no_successor() {
        let ended = found("a", "web-0", 100);
        assert_eq!(named_alike(&[&found("b", "web-0", 50)], &ended), None);
        assert_eq!(named_alike(&[&found("b", "web-0", 200), &found("c", "web-0", 300)], &ended), None);
    }
}
