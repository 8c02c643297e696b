//! Owns what these tests run against besides what all tests share: one image with traps in it, containers of it,
//! cgroups. Whatever a test made goes when it ends, also by a panic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ctp_tests::docker;
use ctp_tests::unique::Scratch;

use ctp::container::{Found, Listing, Settings, discover};

/// Runs a program that must succeed and returns what it printed, without the last newline.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    ctp_tests::process::run(Command::new(program).args(args)).stdout.trim_end().to_owned()
}

/// A name no other test and no other run has.
pub(crate) fn unique(what: &str) -> String {
    format!("{}-{what}", ctp_tests::unique::name())
}

/// What the files say that must be read, and those that must not.
pub(crate) const INSIDE: &str = "inside the container\n";
pub(crate) const OUTSIDE: &str = "OUTSIDE: a file of the host\n";

/// The image of all tests, removed with the last container of it.
pub(crate) struct Image {
    image: docker::Image,
    /// A folder of the host with a file `secret` that links in the image point to, and a copy of the root.
    pub(crate) host: Scratch,
}

impl Image {
    pub(crate) fn get() -> Arc<Image> {
        static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());
        let mut slot = IMAGE.lock().unwrap_or_else(|e| e.into_inner());
        slot.upgrade().unwrap_or_else(|| {
            let image = Arc::new(Image::make());
            *slot = Arc::downgrade(&image);
            image
        })
    }

    fn make() -> Image {
        let host = Scratch::new();
        fs::write(host.path().join("secret"), OUTSIDE).unwrap();
        let outside = format!("{}/secret", host.path().display());
        let root = host.path().join("root");
        fs::create_dir_all(root.join("app/folder")).unwrap();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/containers/target.c");
        run("gcc", &["-static", "-g", "-O0", source, "-o", root.join("app/test_app").to_str().unwrap()]);
        fs::copy(root.join("app/test_app"), root.join("app/\u{1b}[31mred")).unwrap();
        for name in ["app/inside", "usr/bin/other"] {
            fs::write(root.join(name), INSIDE).unwrap();
        }
        symlink("/app/inside", root.join("app/link_absolute")).unwrap();
        symlink("../../../../app/inside", root.join("app/link_up_and_down")).unwrap();
        symlink("link_circle", root.join("app/link_circle")).unwrap();
        symlink(&outside, root.join("app/out_absolute")).unwrap();
        symlink(format!("../../../../../../../..{outside}"), root.join("app/out_relative")).unwrap();
        symlink(format!("/proc/1/root{outside}"), root.join("app/out_proc_1")).unwrap();
        symlink(format!("/proc/self/root{outside}"), root.join("app/out_proc_self")).unwrap();
        symlink(host.path(), root.join("app/out_folder")).unwrap();
        run("mkfifo", &[root.join("app/fifo").to_str().unwrap()]);
        run("mknod", &[root.join("app/device").to_str().unwrap(), "c", "1", "5"]);
        let image = docker::Image::of_tree(&root, "/app/test_app");
        Image { image, host }
    }

    pub(crate) fn name(&self) -> &str {
        self.image.name()
    }

    /// A file of the host, seen through each way out.
    pub(crate) fn secret(&self) -> String {
        format!("{}/secret", self.host.path().display())
    }
}

/// A running docker container, removed when dropped.
pub(crate) struct Docker {
    pub(crate) name: String,
    pub(crate) id: String,
    // Before the image: a container must be gone before its image goes.
    container: docker::Container,
    pub(crate) image: Arc<Image>,
}

impl Docker {
    /// `docker run -d OPTIONS IMAGE COMMAND`.
    pub(crate) fn start(options: &[&str], command: &[&str]) -> Docker {
        let image = Image::get();
        let name = unique("c");
        let (program, args) = command.split_first().unwrap();
        let options = [options, &["--entrypoint", program]].concat();
        let container = docker::Container::detached_with(&image.image, &name, &options, args);
        let container = Docker { id: container.id(), name, container, image };
        container.wait_for_exec();
        container
    }

    /// A container that just waits.
    pub(crate) fn sleeping() -> Docker {
        Docker::start(&[], &["/app/test_app"])
    }

    /// `docker inspect -f`.
    pub(crate) fn inspect(&self, format: &str) -> String {
        self.container.inspect(format)
    }

    /// Pid of its first process, as docker says.
    pub(crate) fn pid(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().unwrap()
    }

    /// Its cgroup2 folder, by the kernel's word on its first process.
    pub(crate) fn cgroup(&self) -> PathBuf {
        let file = fs::read_to_string(format!("/proc/{}/cgroup", self.pid())).unwrap();
        let path = file.lines().find_map(|line| line.strip_prefix("0::/")).unwrap().to_owned();
        cgroup2().join(path)
    }

    /// Starts a process in it and returns its pid on the host.
    pub(crate) fn exec(&self, command: &[&str]) -> u32 {
        let before = self.processes();
        run("docker", &[&["exec", "-d", &self.id][..], command].concat());
        let new = || self.processes().into_iter().find(|pid| !before.contains(pid) && executes(*pid, command[0]));
        wait_for("docker exec", new)
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.cgroup().join("cgroup.procs")).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Docker returns when it has let its own set-up process go on, which then executes the program.
    fn wait_for_exec(&self) {
        let path = self.inspect("{{.Path}}");
        wait_for("the program of the container", || executes(self.pid(), &path).then_some(()));
    }

    /// Its entry in a listing.
    pub(crate) fn found(&self) -> Found {
        let listing = list();
        let found = listing.found.iter().filter(|found| found.container.id == self.id).collect::<Vec<_>>();
        let [found] = found[..] else { panic!("{} is listed {} times: {listing:#?}", self.id, found.len()) };
        found.clone()
    }
}

/// All containers, as ctp finds them.
pub(crate) fn list() -> Listing {
    discover(&Settings::from_env()).unwrap()
}

fn executes(pid: u32, path: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(path))
}

/// Asks until there is an answer, for 10 s.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited 10 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The cgroup2 mount, by findmnt(8).
pub(crate) fn cgroup2() -> PathBuf {
    PathBuf::from(run("findmnt", &["-n", "-t", "cgroup2", "-o", "TARGET"]).lines().next().unwrap())
}

/// The folders that docker makes for `--cgroup-parent` in each hierarchy and leaves behind, removed when dropped.
pub(crate) struct Parent(pub(crate) String);

impl Drop for Parent {
    fn drop(&mut self) {
        for mount in run("findmnt", &["-n", "-t", "cgroup,cgroup2", "-o", "TARGET"]).lines() {
            let _ = fs::remove_dir(Path::new(mount.trim()).join(&self.0));
        }
    }
}

/// Cgroup2 folders made by a test; those that were not there before go when dropped, once they are empty.
pub(crate) struct Folders {
    path: PathBuf,
    new: Vec<PathBuf>,
}

impl Folders {
    /// A folder (relative to the mount) and those above it.
    pub(crate) fn make(path: &str) -> Folders {
        let path = cgroup2().join(path);
        let new = path.ancestors().take_while(|f| !f.exists()).map(Path::to_path_buf).collect();
        fs::create_dir_all(&path).unwrap();
        Folders { path, new }
    }

    /// Puts a process into it.
    pub(crate) fn hold(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in &self.new {
            // Another test may be at work below it.
            wait_for("the cgroup to be empty", || {
                let shared =
                    || fs::read_dir(folder).is_ok_and(|mut inside| inside.any(|e| e.is_ok_and(|e| e.path().is_dir())));
                fs::remove_dir(folder).ok().or_else(|| (!folder.exists() || shared()).then_some(()))
            });
        }
    }
}

/// A cgroup made by a test, with a process in it; both go when dropped. Folders above it that were not there go too.
pub(crate) struct HandMade {
    pub(crate) process: Child,
    // Behind the process, which is killed before this goes.
    _folders: Folders,
}

impl HandMade {
    /// Runs `sleep` in a cgroup2 folder (relative to the mount).
    pub(crate) fn at(path: &str) -> HandMade {
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        HandMade::running(path, sleep)
    }

    /// Runs a program in a cgroup2 folder.
    pub(crate) fn running(path: &str, mut program: Command) -> HandMade {
        let folders = Folders::make(path);
        let process = program.spawn().unwrap();
        folders.hold(process.id());
        HandMade { process, _folders: folders }
    }
}

impl Drop for HandMade {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
