//! Owns telling cheaply what became of a container found earlier, and finding it again after a restart. Polls only
//! when asked; never lists all containers except in [`successor`].

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ctp_lang::world::{Cgroup, ListError};

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
    let Some(cgroup) = &found.container.cgroup else {
        return if found.init.runs() { State::Running } else { State::Ended };
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

/// The container that took the place of one that has ended: the same id again, or the same name and runtime under a
/// new id (removed and made anew). `None` where there is none yet.
///
/// # Errors
/// [`ListError`] where containers cannot be listed.
pub fn successor(settings: &Settings, ended: &Found) -> Result<Option<Found>, ListError> {
    let old = &ended.container;
    let mut found = discover(settings)?.found;
    found.retain(|new| new.container.runtime == old.runtime && (new.init != ended.init || alive(new)));
    let by_id = found.iter().position(|new| new.container.id == old.id);
    let by_name = || found.iter().position(|new| old.name.is_some() && new.container.name == old.name);
    Ok(by_id.or_else(by_name).map(|index| found.swap_remove(index)))
}

fn is_same(cgroup: &Cgroup, folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.ino() == cgroup.id)
}
