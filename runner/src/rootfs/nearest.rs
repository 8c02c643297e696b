//! Owns what is said of a path that is not in a container: how far it exists, and what there is that resembles it.

use std::collections::BTreeSet;

use ctp_lang::diagnostic::nearest_names;
use ctp_lang::world::OpenError;
use nix::fcntl::OFlag;

use super::{Root, fd_path};

/// Most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 10_000;
/// Most paths that are suggested.
const MOST_NEAREST: usize = 3;
/// Where programs usually are: the name is looked for there too.
const USUAL: [&str; 11] = [
    "/app",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/opt",
    "/opt/bin",
    "/srv",
    "/usr/local/sbin",
    "/",
];

/// The error for a path that cannot be found.
pub(super) fn not_found(root: &Root, path: &str) -> OpenError {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let (depth, folder) = deepest(root, &parts);
    let wanted = parts.get(depth).copied().unwrap_or_default();
    let rest = parts.get(depth + 1..).unwrap_or_default();

    // A file that the path goes on below is the nearest of all.
    let mut nearest = vec![join(&folder, wanted)];
    let names = entries(root, &folder);
    for name in nearest_names(wanted, names.iter().map(String::as_str), MOST_NEAREST) {
        let candidate = rest.iter().fold(join(&folder, &name), |path, part| join(&path, part));
        // With more of the path to come, a name only helps if the rest is there.
        if rest.is_empty() || root.look_up(&candidate, OFlag::empty()).is_ok() {
            nearest.push(candidate);
        }
    }
    let base = parts.last().copied().unwrap_or_default();
    for usual in USUAL.iter().filter(|usual| **usual != folder) {
        let names = entries(root, usual);
        let exact = names.contains(base).then(|| base.to_owned());
        nearest.extend(
            exact
                .into_iter()
                .chain(nearest_names(base, names.iter().map(String::as_str), 1))
                .map(|name| join(usual, &name)),
        );
    }
    // The same name elsewhere says more than another name; otherwise the order found.
    nearest.sort_by_key(|path| path.rsplit('/').next() != Some(base));
    let mut seen = BTreeSet::new();
    nearest.retain(|path| is_file(root, path) && seen.insert(resolved(root, path)));
    nearest.truncate(MOST_NEAREST);
    OpenError::NotFound { folder, nearest }
}

/// How many parts of a path lead to a folder that exists, and that folder.
fn deepest(root: &Root, parts: &[&str]) -> (usize, String) {
    (0..parts.len())
        .rev()
        .map(|depth| (depth, format!("/{}", parts.get(..depth).unwrap_or_default().join("/"))))
        .find(|(_, folder)| root.look_up(folder, OFlag::O_DIRECTORY).is_ok())
        .unwrap_or((0, "/".to_owned()))
}

/// The names in a folder that are text; none where it cannot be read.
fn entries(root: &Root, folder: &str) -> BTreeSet<String> {
    let Ok(fd) = root.look_up(folder, OFlag::O_DIRECTORY) else { return BTreeSet::new() };
    let entries = std::fs::read_dir(fd_path(&fd)).into_iter().flatten().take(MOST_ENTRIES).flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn is_file(root: &Root, path: &str) -> bool {
    root.look_up(path, OFlag::empty()).is_ok_and(|fd| std::fs::metadata(fd_path(&fd)).is_ok_and(|m| m.is_file()))
}

/// `/bin/sh` and `/usr/bin/sh` are one suggestion where `/bin` is a link.
fn resolved(root: &Root, path: &str) -> String {
    root.look_up(path, OFlag::empty()).ok().and_then(|fd| root.path_of(&fd)).unwrap_or_else(|| path.to_owned())
}

fn join(folder: &str, name: &str) -> String {
    if folder == "/" { format!("/{name}") } else { format!("{folder}/{name}") }
}
