//! Selectors other than a container's name: pods, processes, cgroups, the host. What is reported is what those
//! programs printed, and nothing of others that run the same file.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::driven::Driver;
use ctp_tests::process::run;
use ctp_tests::unique;

fn binary() -> Binary {
    Binary::compile("twins.c", Compiler::Gcc, &["-g"])
}

fn script(who: &str, path: &str) -> String {
    format!(r#"probe {who}{path}.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#)
}

/// A cgroup of the v2 hierarchy, removed when the test ends.
struct Cgroup {
    path: String,
    folder: PathBuf,
}

impl Cgroup {
    fn new(above: &str) -> Cgroup {
        let mount = run(Command::new("findmnt").args(["-n", "-t", "cgroup2", "-o", "TARGET"])).stdout;
        let path = format!("{above}/{}", unique::name());
        let folder = PathBuf::from(format!("{}{path}", mount.lines().next().unwrap()));
        std::fs::create_dir(&folder).unwrap();
        Cgroup { path, folder }
    }

    /// Starts a driven program in it.
    fn start(&self, binary: &Path) -> Driver {
        let procs = self.folder.join("cgroup.procs");
        let mut command = Command::new(binary);
        // SAFETY: between fork and exec only open, write and close are called.
        Driver::start(unsafe { command.pre_exec(move || std::fs::write(&procs, "0")) })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_process_of_the_host_and_not_its_neighbour() {
    let binary = binary();
    let (mut one, mut other) =
        (Driver::start(&mut Command::new(binary.path())), Driver::start(&mut Command::new(binary.path())));

    let ctp = Running::attached(&script(&format!("pid({})", one.pid()), ""));
    one.call(3);
    other.call(5);
    one.call(1);

    assert_eq!(ctp.interrupt().lines(), one.printed());
}

/// What a shell starts, and what that starts, belongs to the shell.
#[test]
fn the_descendants_of_a_process() {
    let binary = binary();
    let path = binary.path();
    let nested = format!("bash -c '{0}; true'; true", path.display());
    let mut shell = Driver::start(Command::new("bash").args(["-c", &nested]));
    let mut other = Driver::start(&mut Command::new(&path));

    let ctp = Running::attached(&script(&format!("pid({}):", shell.pid()), path.to_str().unwrap()));
    shell.call(4);
    other.call(5);

    assert_eq!(shell.printed().len(), 4);
    assert_eq!(ctp.interrupt().lines(), shell.printed());
}

#[test]
fn a_process_in_a_container() {
    let image = Image::new(&binary(), "/app/test_app");
    let (mut web, mut web2) = (Container::driven(&image), Container::driven(&image));

    let ctp = Running::attached(&script(&format!("pid({}):", web.pid()), "/app/test_app"));
    web.call(3);
    web2.call(5);

    assert_eq!(ctp.interrupt().lines(), web.printed());
}

#[test]
fn the_end_of_a_process_ends_the_run() {
    let binary = binary();
    let mut one = Driver::start(&mut Command::new(binary.path()));
    let ctp = Running::attached(&script(&format!("pid({})", one.pid()), ""));
    one.call(2);
    let (pid, printed) = (one.pid(), one.printed());
    drop(one);

    let output = ctp.finish();
    assert_eq!((output.code, output.lines()), (Some(0), printed.iter().map(String::as_str).collect()));
    assert!(output.stderr.contains(&format!("ctp: pid {pid} ended")), "{}", output.stderr);
}

#[test]
fn a_cgroup_with_what_is_below_it() {
    let binary = binary();
    let cgroup = Cgroup::new("");
    let below = Cgroup::new(&cgroup.path);
    let (mut inside, mut deeper) = (cgroup.start(&binary.path()), below.start(&binary.path()));
    let mut outside = Driver::start(&mut Command::new(binary.path()));

    let who = format!("cgroup(\"{}\"):", cgroup.path);
    let ctp = Running::attached(&script(&who, binary.path().to_str().unwrap()));
    inside.call(2);
    outside.call(5);
    deeper.call(1);

    assert_eq!(ctp.interrupt().lines(), [inside.printed(), deeper.printed()].concat());
    drop((inside, deeper));
}

/// Tasks that come into it later count, also when it was removed and made anew meanwhile.
#[test]
fn a_cgroup_that_is_made_anew() {
    let binary = binary();
    let cgroup = Cgroup::new("");
    let who = format!("cgroup(\"{}\"):", cgroup.path);
    let mut ctp = Running::attached(&script(&who, binary.path().to_str().unwrap()));
    let mut first = cgroup.start(&binary.path());
    first.call(2);
    let printed = first.printed();
    drop(first);
    let remove = || std::fs::remove_dir(&cgroup.folder).is_ok();
    while !remove() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    ctp.wait_for_stderr(&format!("ctp: {} ended", cgroup.path));
    std::fs::create_dir(&cgroup.folder).unwrap();
    ctp.wait_for_stderr(&format!("ctp: {} restarted", cgroup.path));
    let mut second = cgroup.start(&binary.path());
    second.call(3);

    assert_eq!(ctp.interrupt().lines(), [printed, second.printed()].concat());
    drop(second);
}

/// Processes of the host and of containers execute one file: the host's count, also in a cgroup that is made while ctp
/// runs; containers do not, also one that is started while ctp runs.
#[test]
fn the_host_and_no_container() {
    let binary = binary();
    let path = binary.path().into_os_string().into_string().unwrap();
    let image = Image::new(&binary, "/app/test_app");
    let mount = format!("{path}:/app/test_app:ro");
    let start = || Container::driven_with(&image, &unique::name(), &["--volume", &mount]);
    let mut web = start();
    let mut own = Driver::start(&mut Command::new(&path));

    let ctp = Running::attached(&script("host:", &path));
    own.call(2);
    web.call(5);
    let busy = Container::detached_with(&image, &unique::name(), &["--volume", &mount], &["1000"]);
    let mut late = start();
    late.call(5);
    let service = Cgroup::new("");
    let mut of_service = service.start(Path::new(&path));
    // The cgroup is new: that it is the host's takes ctp some milliseconds to find out.
    std::thread::sleep(std::time::Duration::from_millis(200));
    of_service.call(3);
    own.call(1);

    let mine = own.printed();
    let expected = [&mine[..2], &of_service.printed(), &mine[2..]].concat();
    assert_eq!(ctp.interrupt().lines(), expected);
    assert!(busy.printed().len() > 10 && late.printed().len() == 5);
    drop(of_service);
}

/// As cri-dockerd labels what it starts for the kubelet.
#[test]
fn pods_by_name_namespace_container_and_label() {
    let image = Image::new(&binary(), "/app/test_app");
    let base = unique::name();
    let start = |namespace: &str, pod: &str, container: &str, label: &str| {
        let labels = [
            format!("io.kubernetes.pod.namespace={namespace}"),
            format!("io.kubernetes.pod.name={base}-{pod}"),
            format!("io.kubernetes.container.name={container}"),
            label.to_owned(),
        ];
        let options: Vec<&str> = labels.iter().flat_map(|label| ["--label", label.as_str()]).collect();
        Container::driven_with(&image, &unique::name(), &options)
    };
    let mut all = [
        start("shop", "web", "app", "tier=front"),
        start("shop", "web", "side", "tier=front"),
        start("prod", "web", "app", "tier=back"),
        start("shop", "db", "app", "tier=back"),
    ];
    for (who, meant) in [
        (format!("pod(\"shop/{base}-web\", container=\"app\")"), &[0][..]),
        (format!("pod(\"shop/{base}-web\")"), &[0, 1]),
        (format!("pod(\"{base}-web\", namespace=\"prod\")"), &[2]),
        (format!("pod(\"{base}-*\", container=\"app\")"), &[0, 2, 3]),
        (format!("pod(\"{base}-*\", label=\"tier=back\")"), &[2, 3]),
    ] {
        let ctp = Running::attached(&format!(
            r#"probe {who}:/app/test_app.fn("my_function") {{ printf("%s\n", container()) }}"#
        ));
        all.iter_mut().for_each(|one| one.call(1));
        let names: Vec<&str> = meant.iter().map(|index| all[*index].name()).collect();
        assert_eq!(ctp.interrupt().lines(), names, "{who}");
    }

    let refused = |who: &str, code: &str, said: &str| {
        let output = ctp(&["check", "-e", &script(who, ":/app/test_app")]);
        assert_eq!(output.code, Some(1));
        assert!(output.stdout.contains(code) && output.stdout.contains(said), "{}", output.stdout);
    };
    refused(&format!("pod(\"{base}-web\")"), "E0102", &format!("pod(\"prod/{base}-web\")"));
    refused(&format!("pod(\"shop/{base}-wbe\")"), "E0101", &format!("did you mean one of `shop/{base}-web`"));
    refused(&format!("pod(\"shop/{base}-web\", container=\"ap\")"), "E0101", "`app`");
}

#[test]
fn containers_by_what_is_known_of_them() {
    let (image, other) = (Image::new(&binary(), "/app/test_app"), Image::new(&binary(), "/app/test_app"));
    let label = unique::name();
    let with = |value: &str, image: &Image| {
        Container::driven_with(image, &unique::name(), &["--label", &format!("{label}={value}")])
    };
    let mut all = [with("web", &image), with("db", &image), with("db", &other)];
    for (who, meant) in [
        (format!("container(label=\"{label}\")"), &[0, 1, 2][..]),
        (format!("container(label=\"{label}=db\")"), &[1, 2]),
        (format!("container(image=\"{}\")", image.name()), &[0, 1]),
        (format!("container(image=\"{}:latest\", label=\"{label}=db\")", image.name()), &[1]),
        (format!("container(name=\"{}\", runtime=\"docker\")", all[1].name()), &[1]),
        (format!("container(id=\"{}\")", &all[2].id()[..12]), &[2]),
        // By content, however it is tagged.
        (format!("container(image=\"{}\")", all[0].inspect("{{.Image}}")), &[0, 1]),
        (format!("container(image=\"{}@{}\")", other.name(), &all[2].inspect("{{.Image}}")[..19]), &[2]),
    ] {
        let ctp = Running::attached(&format!(
            r#"probe {who}:/app/test_app.fn("my_function") {{ printf("%s\n", container()) }}"#
        ));
        all.iter_mut().for_each(|one| one.call(1));
        let names: Vec<&str> = meant.iter().map(|index| all[*index].name()).collect();
        assert_eq!(ctp.interrupt().lines(), names, "{who}");
    }
    let output =
        ctp(&["check", "-e", &script(&format!("container(\"{}\", runtime=\"podman\")", all[0].name()), ":/x")]);
    assert!(output.code == Some(1) && output.stdout.contains("E0101"), "{}", output.stdout);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let cgroup = Cgroup::new("");
    let refused = |script: &str, code: &str, said: &str| {
        let output = ctp(&["check", "-e", script]);
        assert_eq!(output.code, Some(1), "{script}\n{}", output.stdout);
        assert!(output.stdout.contains(code) && output.stdout.contains(said), "{script}\n{}", output.stdout);
    };
    let mistaken = format!("{}x", cgroup.path);
    refused(&script(&format!("cgroup(\"{mistaken}\"):"), "/bin/sh"), "E0101", &format!("`{}`", cgroup.path));
    let mounted = cgroup.folder.to_str().unwrap();
    refused(&script(&format!("cgroup(\"{mounted}\"):"), "/bin/sh"), "E0101", &format!("`{}`", cgroup.path));
    refused(&script(&format!("cgroup(\"{}\"):exe", cgroup.path), ""), "E0103", "cgroup");
    refused(&script("host", ""), "E0103", "host:/usr/bin/x");
    refused(&script("pid(4194305)", ""), "E0101", "4194305");
    refused(&script("pid(\"1\")", ""), "E0201", "a number");

    // A thread is not a process: the one it belongs to is named.
    let ended = std::sync::mpsc::channel::<()>();
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send.send(nix::unistd::gettid().as_raw()).unwrap();
        let _ = ended.1.recv();
    });
    let (tid, pid) = (receive.recv().unwrap(), std::process::id());
    refused(&script(&format!("pid({tid})"), ""), "E0101", &format!("pid({pid})"));
    drop(ended.0);
    thread.join().unwrap();
}
