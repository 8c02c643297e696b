//! Owns what users' own podman (rootless) leaves to be read: the names and images of its containers, and those that have
//! no cgroup of their own. All of it is the user's to write, so it is opened without following links and without
//! waiting, and believed only of that user's own: a container in the user's slice, a process in a user namespace of the
//! user's. Never asks podman.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};

use super::described::{Described, Descriptions};
use super::podman;
use super::process::{Process, ProcessDir};
use super::state_file;

/// The drivers whose containers lie in `<driver>-containers` (containers/storage).
const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// A user's store: `rootless_storage_path` and `runroot` of containers-storage.conf(5), by default.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Store {
    uid: u32,
    /// `$HOME/.local/share/containers/storage`
    graph_root: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR/containers`
    run_root: PathBuf,
}

/// A container that has no cgroup of its own.
pub(super) struct WithoutCgroup {
    pub(super) id: String,
    pub(super) described: Described,
    pub(super) init: Process,
    pub(super) pid_level: u32,
}

/// What users' stores say of containers, each given with the path of its cgroup.
pub(super) fn describe<'i>(containers: impl Iterator<Item = (&'i str, &'i str)> + Clone) -> Descriptions {
    let mut found = Descriptions::new();
    for store in stores(Path::new("/")) {
        let slice = format!("user-{}.slice", store.uid);
        let mut own = containers.clone().filter(|(_, path)| path.split('/').any(|part| part == slice)).peekable();
        if own.peek().is_some() {
            let mut listed = store.listed();
            found.extend(own.filter_map(|(id, _)| Some((id.to_owned(), listed.remove(id)?))));
        }
    }
    found
}

/// The containers of users' stores whose first process runs and which `has_cgroup` does not know.
pub(super) fn without_cgroup(has_cgroup: &dyn Fn(&str) -> bool) -> Vec<WithoutCgroup> {
    let mut found = Vec::new();
    for store in stores(Path::new("/")) {
        let running: Vec<(String, u32)> = store.running().into_iter().filter(|(id, _)| !has_cgroup(id)).collect();
        if running.is_empty() {
            continue;
        }
        let mut listed = store.listed();
        for (id, pid) in running {
            let Some((init, pid_level)) = of_user(pid, store.uid) else { continue };
            let described = listed.remove(&id).unwrap_or_default();
            found.push(WithoutCgroup { id, described, init, pid_level });
        }
    }
    found
}

/// The stores of the users that are there, where `root` is `/`.
fn stores(root: &Path) -> Vec<Store> {
    let entries = std::fs::read_dir(root.join("run/user")).into_iter().flatten().flatten();
    let uids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let passwd = std::fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    // passwd(5): name:password:UID:GID:GECOS:directory:shell
    let home = |uid: u32| {
        let mut lines = passwd.lines().map(|line| line.split(':'));
        let mut found = lines.find(|fields| fields.clone().nth(2).is_some_and(|field| field.parse() == Ok(uid)))?;
        found.nth(5).filter(|home| home.starts_with('/')).map(|home| root.join(home.trim_start_matches('/')))
    };
    let store = |uid: u32| Store {
        uid,
        graph_root: home(uid).map(|home| home.join(".local/share/containers/storage")),
        run_root: root.join(format!("run/user/{uid}/containers")),
    };
    uids.map(store).collect()
}

impl Store {
    fn listed(&self) -> Descriptions {
        let lists = self
            .graph_root
            .iter()
            .flat_map(|root| DRIVERS.map(|driver| root.join(format!("{driver}-containers/containers.json"))));
        lists.filter_map(|path| podman::listed(&read(&path)?)).flatten().collect()
    }

    /// Ids and first processes, as conmon wrote them down.
    fn running(&self) -> Vec<(String, u32)> {
        let folders = DRIVERS.map(|driver| self.run_root.join(format!("{driver}-containers")));
        let ids = folders.into_iter().flat_map(|folder| {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            entries.filter_map(move |entry| Some((entry.file_name().into_string().ok()?, folder.clone())))
        });
        let pid = |(id, folder): (String, PathBuf)| {
            let text = read(&folder.join(&id).join("userdata/pidfile"))?;
            let pid = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
            super::cgroup::is_hex_id(&id).then_some((id, pid))
        };
        ids.filter_map(pid).collect()
    }
}

/// Reads a file of a user's: a regular one, by a path without links.
fn read(path: &Path) -> Option<Vec<u8>> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(openat2(nix::fcntl::AT_FDCWD, path, how).ok()?);
    let kind = SFlag::from_bits_truncate(fstat(&file).ok()?.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFREG {
        return None;
    }
    state_file::read_open(file).ok()
}

/// A process that is in a user namespace of the user's, and how deep its pid namespace lies.
fn of_user(pid: u32, uid: u32) -> Option<(Process, u32)> {
    let dir = ProcessDir::open(pid).ok()?;
    let start = dir.start().ok()?;
    if !maps_to(&String::from_utf8(dir.read("uid_map").ok()?).ok()?, uid) {
        return None;
    }
    let pid_level = u32::try_from(dir.ns_pids().ok()?.len().saturating_sub(1)).ok()?;
    Some((Process { pid, start }, pid_level))
}

/// Whether a namespace was made by a user who is no root: that user's own id is mapped by itself, which the kernel
/// allows nobody else (user_namespaces(7)).
fn maps_to(uid_map: &str, uid: u32) -> bool {
    let numbers = |line: &str| line.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>();
    uid_map
        .lines()
        .any(|line| numbers(line).is_ok_and(|numbers| matches!(numbers[..], [_, outside, 1] if outside == uid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "70408d8058734f1ec80985fbef05ba637778ac5fe040a3c0992f0bfd3c66e92c";

    // The layout of rootless podman 4 (containers/storage types/options.go, libpod/container_internal.go), its lists as
    // containers/storage writes them.
    #[test]
    fn a_users_store_and_what_lies_in_its_way() {
        let root = std::env::temp_dir().join(format!("ctp-rootless-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nana:x:1000:1000:Ana,,,:/home/ana:/bin/bash\n");
        let list = format!(r#"[{{"id":"{ID}","names":["web"],"metadata":"{{\"image-name\":\"localhost/shop:1\"}}"}}]"#);
        put("home/ana/.local/share/containers/storage/overlay-containers/containers.json", &list);
        let userdata = format!("run/user/1000/containers/overlay-containers/{ID}/userdata");
        put(&format!("{userdata}/pidfile"), "4772");
        put("run/user/1000/containers/overlay-containers/short/userdata/pidfile", "1");
        put("run/user/1001/nothing", "");
        put("run/user/systemd/nothing", "");
        let mut stores = stores(&root);
        stores.sort_by_key(|store| store.uid);
        assert_eq!(stores.iter().map(|store| store.uid).collect::<Vec<_>>(), [1000, 1001]);
        let listed = stores[0].listed();
        assert_eq!((listed[ID].name.as_deref(), listed[ID].image.as_deref()), (Some("web"), Some("localhost/shop:1")));
        assert_eq!(stores[0].running(), [(ID.to_owned(), 4772)]);
        assert!(stores[1].listed().is_empty() && stores[1].running().is_empty());

        // A link to a file of others, and a FIFO, are not read, whatever is to be had there.
        put("etc/number", "4772");
        let pidfile = root.join(&userdata).join("pidfile");
        std::fs::remove_file(&pidfile).unwrap();
        std::os::unix::fs::symlink(root.join("etc/number"), &pidfile).unwrap();
        assert_eq!(stores[0].running(), []);
        std::fs::remove_file(&pidfile).unwrap();
        nix::unistd::mkfifo(&pidfile, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut writer = File::options().read(true).write(true).open(&pidfile).unwrap();
        std::io::Write::write_all(&mut writer, b"4772").unwrap();
        assert_eq!(stores[0].running(), []);
        std::fs::remove_dir_all(&root).unwrap();
    }

    // As /proc/PID/uid_map reads on the host: of a container, of one with --userns=keep-id, of the host, of docker's
    // userns-remap.
    #[test]
    fn whose_user_namespace_it_is() {
        assert!(maps_to("         0       1000          1\n         1     100000      65536\n", 1000));
        assert!(maps_to("         0     100000       1000\n      1000       1000          1\n", 1000));
        assert!(!maps_to("         0       1001          1\n", 1000));
        assert!(!maps_to("         0          0 4294967295\n", 0));
        assert!(!maps_to("         0     100000      65536\n", 100000));
        assert!(!maps_to("", 0) && !maps_to("garbage 0 1\n", 0));
    }
}
