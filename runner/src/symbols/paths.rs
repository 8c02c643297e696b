//! Owns the paths at which debug info may lie, by the conventions of gdb ("Debugging Information in Separate Files"),
//! dwz and split DWARF. Opens nothing. Names that come out of a file lead nowhere outside of the folders meant: in a
//! container its root sees to that, on the host what is left of them here.

use std::path::{Path, PathBuf};

use ctp_lang::world::Wanted;

/// Where distributions put debug info.
const DEBUG: &str = "/usr/lib/debug";

/// `.build-id/ab/cdef….debug`.
fn by_build_id(id: &[u8]) -> Option<String> {
    let (first, rest) = id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!(".build-id/{first:02x}/{rest}.debug"))
}

/// The folder of a path, without `/` at its end.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path, if it is a name.
fn base(path: &str) -> Option<&str> {
    let base = path.rsplit('/').next().unwrap_or(path);
    (!matches!(base, "" | "." | "..")).then_some(base)
}

/// A path without `.` and `..`, as its text says; `None` where it leads above the root.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

fn joined(folder: &str, name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("{folder}/{name}") }
}

fn unique<T: PartialEq>(paths: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for path in paths {
        if !unique.contains(&path) {
            unique.push(path);
        }
    }
    unique
}

/// Beside the file at `path`, and in `/usr/lib/debug`, as the container sees them.
pub(super) fn in_container(wanted: &Wanted<'_>, path: &str) -> Vec<String> {
    let dir = folder(path);
    let mut paths = Vec::new();
    match *wanted {
        Wanted::DebugFile { build_id, link } => {
            if let Some(link) = link {
                paths.extend([format!("{dir}/{link}"), format!("{dir}/.debug/{link}")]);
            }
            paths.extend(build_id.and_then(by_build_id).map(|id| format!("{DEBUG}/{id}")));
            paths.extend(link.map(|link| format!("{DEBUG}{dir}/{link}")));
            // The link may name the file itself.
            paths.retain(|candidate| candidate != path);
        }
        Wanted::Alternate { path: alternate, of, build_id } => {
            paths.push(joined(folder(of), alternate));
            paths.extend(by_build_id(build_id).map(|id| format!("{DEBUG}/{id}")));
        }
        Wanted::Package { of } => paths.extend([format!("{of}.dwp"), format!("{path}.dwp")]),
        Wanted::Split { folder, name } => {
            paths.push(joined(folder, name));
            paths.extend(base(name).map(|name| format!("{dir}/{name}")));
        }
    }
    unique(paths.into_iter().filter(|path| path.starts_with('/')))
}

/// In the host's `/usr/lib/debug`.
pub(super) fn on_host(wanted: &Wanted<'_>, path: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    match *wanted {
        Wanted::DebugFile { build_id, link } => {
            paths.extend(build_id.and_then(by_build_id).map(|id| format!("{DEBUG}/{id}")));
            paths.extend(link.map(|link| format!("{DEBUG}{}/{link}", folder(path))));
        }
        Wanted::Alternate { path: alternate, of, build_id } => {
            paths.push(joined(folder(of), alternate));
            paths.extend(by_build_id(build_id).map(|id| format!("{DEBUG}/{id}")));
        }
        Wanted::Package { of } => paths.push(format!("{of}.dwp")),
        // Where a unit was compiled in a container means nothing here.
        Wanted::Split { .. } => {}
    }
    let below = |path: &String| path.starts_with("/usr/lib/debug/");
    unique(paths.iter().filter_map(|path| normal(path)).filter(below).map(PathBuf::from))
}

/// In a folder that the user named: laid out like `/usr/lib/debug`, or with the files themselves in it.
pub(super) fn in_folder(wanted: &Wanted<'_>, path: &str, top: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    match *wanted {
        Wanted::DebugFile { build_id, link } => {
            paths.extend(build_id.and_then(by_build_id));
            if let Some(link) = link {
                paths.extend([format!("{}/{link}", folder(path)), link.to_owned()]);
            }
            if let Some(name) = base(path) {
                paths.extend([format!("{name}.debug"), name.to_owned()]);
            }
        }
        Wanted::Alternate { path: alternate, build_id, .. } => {
            paths.extend(by_build_id(build_id));
            if let Some(name) = base(alternate) {
                paths.extend([format!(".dwz/{name}"), name.to_owned()]);
            }
        }
        Wanted::Package { of } => {
            paths.extend([of, path].into_iter().filter_map(base).map(|name| format!("{name}.dwp")));
        }
        Wanted::Split { folder, name } => {
            paths.extend([joined(folder, name), name.to_owned()]);
            paths.extend(base(name).map(str::to_owned));
        }
    }
    let below = |path: &String| {
        // Without `..`, and not absolute: it stays in the folder.
        let plain = path.split('/').all(|part| part != "..");
        let relative = path.trim_start_matches('/');
        (plain && !relative.is_empty()).then(|| top.join(relative))
    };
    unique(paths.iter().filter_map(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_gdbs() {
        let wanted = Wanted::DebugFile { build_id: Some(&[0xab, 0xcd, 0xef]), link: Some("ls.debug") };
        assert_eq!(
            in_container(&wanted, "/usr/bin/ls"),
            [
                "/usr/bin/ls.debug",
                "/usr/bin/.debug/ls.debug",
                "/usr/lib/debug/.build-id/ab/cdef.debug",
                "/usr/lib/debug/usr/bin/ls.debug"
            ]
        );
    }

    #[test]
    fn names_from_a_file_lead_to_nothing_else_on_the_host() {
        let top = Path::new("/srv/debug");
        for name in ["../../etc/shadow", "/etc/shadow", "../etc/shadow", ".."] {
            let split = Wanted::Split { folder: "/", name };
            for path in on_host(&split, "/app").into_iter().chain(in_folder(&split, "/app", top)) {
                assert!(path.starts_with(top) && !path.to_string_lossy().contains(".."), "{path:?}");
            }
            let alternate = Wanted::Alternate { path: name, of: "/usr/lib/debug/x/y.debug", build_id: &[1, 2] };
            for path in on_host(&alternate, "/app") {
                assert!(path.starts_with("/usr/lib/debug") && !path.to_string_lossy().contains(".."), "{path:?}");
            }
        }
        let dwz =
            Wanted::Alternate { path: "../../.dwz/a.debug", of: "/usr/lib/debug/.build-id/ab/c.debug", build_id: &[] };
        assert_eq!(on_host(&dwz, "/app"), [PathBuf::from("/usr/lib/debug/.dwz/a.debug")]);
    }
}
