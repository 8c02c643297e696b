//! Which containers are found, and what is known of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use ctp::container::{Settings, discover};
use ctp_lang::world::Runtime;

use ctp_tests::unique::Scratch;

use crate::fixture::{Docker, HandMade, Parent, cgroup2, list, run, unique, wait_for};

#[test]
fn a_docker_container_is_found_as_docker_shows_it() {
    let web = Docker::start(&["-l", "app=web", "-l", "tier="], &["/app/test_app"]);
    let found = web.found();
    let container = &found.container;
    assert_eq!(container.name.as_deref(), Some(web.name.as_str()));
    assert_eq!(container.runtime, Runtime::Docker);
    assert_eq!(container.image.as_deref(), Some(web.inspect("{{.Config.Image}}").as_str()));
    let own = |(key, _): &&(String, String)| key != ctp_tests::docker::LABEL;
    let labels: Vec<_> = container.labels.iter().filter(own).cloned().collect();
    assert_eq!(labels, [("app".to_owned(), "web".to_owned()), ("tier".to_owned(), String::new())]);
    assert_eq!(container.init_pid, web.pid());
    assert_eq!((container.pod.as_ref(), container.pid_level), (None, 1));
    let cgroup = container.cgroup.clone().unwrap();
    assert_eq!(cgroup.folder, web.cgroup().to_str().unwrap());
    assert_eq!(cgroup.id, fs::metadata(web.cgroup()).unwrap().ino());
    assert_eq!(cgroup.level as usize, web.cgroup().strip_prefix(cgroup2()).unwrap().components().count());
}

#[test]
fn a_stopped_container_is_not_listed_but_noted() {
    let web = Docker::sleeping();
    run("docker", &["kill", &web.id]);
    let world = ctp::world::live::LiveWorld::new(Settings::from_env());
    assert!(!list().found.iter().any(|found| found.container.id == web.id));
    let notes = ctp_lang::world::World::listing_notes(&world);
    assert!(notes.iter().any(|note| note.contains(&format!("{} (exited)", web.name))), "{notes:?}");
}

#[test]
fn what_exec_starts_is_not_its_first_process() {
    let web = Docker::sleeping();
    let exec = web.exec(&["/app/test_app"]);
    let found = web.found();
    assert_eq!(found.container.init_pid, web.pid());
    assert_ne!(found.container.init_pid, exec);
}

#[test]
fn with_the_hosts_pid_namespace_too() {
    let web = Docker::start(&["--pid=host"], &["/app/test_app", "child"]);
    let exec = web.exec(&["/app/test_app"]);
    assert!(web.processes().len() >= 3);
    let found = web.found();
    assert_eq!(found.container.init_pid, web.pid());
    assert_ne!(found.container.init_pid, exec);
    assert_eq!((found.container.name.as_deref(), found.container.pid_level), (Some(web.name.as_str()), 0));
}

#[test]
fn in_the_pid_namespace_of_another_container_each_has_its_own() {
    let web = Docker::sleeping();
    let side = Docker::start(&[&format!("--pid=container:{}", web.id)], &["/app/test_app"]);
    assert_eq!(web.found().container.init_pid, web.pid());
    assert_eq!(side.found().container.init_pid, side.pid());
    assert_ne!(web.pid(), side.pid());
}

#[test]
fn processes_of_a_sub_cgroup_belong_to_the_container() {
    let web = Docker::sleeping();
    let exec = web.exec(&["/app/test_app"]);
    let sub = web.cgroup().join("a/b");
    fs::create_dir_all(&sub).unwrap();
    fs::write(sub.join("cgroup.procs"), exec.to_string()).unwrap();
    let found = web.found();
    assert_eq!(found.container.init_pid, web.pid());
    assert_eq!(found.container.cgroup.unwrap().folder, web.cgroup().to_str().unwrap());
}

#[test]
fn a_cgroup_made_to_look_like_another_container_gets_neither_its_name_nor_its_place() {
    let web = Docker::sleeping();
    let attacker = Docker::sleeping();
    let exec = attacker.exec(&["/app/test_app"]);
    let forged = attacker.cgroup().join("docker").join(&web.id);
    fs::create_dir_all(&forged).unwrap();
    fs::write(forged.join("cgroup.procs"), exec.to_string()).unwrap();
    let found = web.found();
    assert_eq!(found.container.init_pid, web.pid());
    assert_eq!(found.container.cgroup.unwrap().folder, web.cgroup().to_str().unwrap());
    assert!(list().notes.iter().any(|note| note.contains("bears the id of another container")));

    // Docker still knows the name that goes with the id, but that container does not run.
    run("docker", &["kill", &web.id]);
    let left = wait_for("the end of the other one", || {
        let found = list().found.into_iter().find(|found| found.container.id == web.id);
        found.filter(|found| found.container.init_pid == exec)
    });
    assert_eq!(left.container.name, None);
}

#[test]
fn a_container_in_a_container_is_listed_beside_it_without_a_name() {
    let outer = Docker::sleeping();
    let exec = outer.exec(&["/app/test_app"]);
    let id = format!("{:064x}", 0xabc_0000_0000_0000_u64 + u64::from(exec));
    let inner = outer.cgroup().join("docker").join(&id);
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("cgroup.procs"), exec.to_string()).unwrap();
    let listing = list();
    let found = listing.found.iter().find(|found| found.container.id == id).unwrap();
    assert_eq!((found.container.name.clone(), found.container.init_pid), (None, exec));
    assert_eq!(found.container.cgroup.clone().unwrap().folder, inner.to_str().unwrap());
    assert_eq!(outer.found().container.init_pid, outer.pid());
}

#[test]
fn without_dockers_socket_the_names_come_from_its_state_files() {
    let web = Docker::start(&["-l", "app=web"], &["/app/test_app"]);
    let with_socket = web.found();
    let listing = discover(&Settings { docker_host: Some("unix:///nonexistent/docker.sock".to_owned()) }).unwrap();
    let found = listing.found.iter().find(|found| found.container.id == web.id).unwrap();
    assert_eq!(*found, with_socket);
    assert!(listing.notes.iter().any(|note| note.contains("/nonexistent/docker.sock")), "{:?}", listing.notes);
}

#[test]
fn a_docker_that_accepts_and_says_nothing_costs_a_second_and_no_container() {
    let web = Docker::sleeping();
    let folder = Scratch::new();
    let socket = folder.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let before = std::time::Instant::now();
    let listing = discover(&Settings { docker_host: Some(format!("unix://{}", socket.display())) }).unwrap();
    assert!(before.elapsed() < std::time::Duration::from_secs(5));
    let found = listing.found.iter().find(|found| found.container.id == web.id).unwrap();
    assert_eq!(found.container.name.as_deref(), Some(web.name.as_str()));
}

#[test]
fn a_parent_cgroup_of_ones_own_choice_hides_nothing() {
    let parent = Parent(unique("parent"));
    let web = Docker::start(&["--cgroup-parent", &format!("/{}", parent.0)], &["/app/test_app"]);
    let without_socket = Settings { docker_host: Some("unix:///nonexistent/docker.sock".to_owned()) };
    for settings in [Settings::from_env(), without_socket] {
        let listing = discover(&settings).unwrap();
        let found = listing.found.iter().find(|found| found.container.id == web.id).unwrap();
        assert_eq!(found.container.runtime, Runtime::Docker);
        assert_eq!(found.container.name.as_deref(), Some(web.name.as_str()));
    }
}

#[test]
fn a_task_of_containerd_by_its_own_name() {
    let image = crate::fixture::Image::get();
    let (namespace, id) = (unique("ns"), unique("task"));
    let address = "/run/docker/containerd/containerd.sock";
    let root = image.host.path().join("root");
    let ctr = |args: &[&str]| run("ctr", &[&["-a", address, "-n", &namespace][..], args].concat());
    ctr(&["run", "-d", "--rootfs", root.to_str().unwrap(), &id, "/app/test_app"]);
    let listing = list();
    let tasks = ctr(&["task", "ls"]);
    ctr(&["task", "rm", "-f", &id]);
    ctr(&["container", "rm", &id]);
    ctr(&["namespace", "rm", &namespace]);
    drop(Parent(namespace));

    let found = listing.found.iter().find(|found| found.container.id == id).unwrap_or_else(|| panic!("{listing:#?}"));
    let container = &found.container;
    assert_eq!((container.runtime, container.name.as_deref()), (Runtime::Containerd, Some(id.as_str())));
    // TASK PID STATUS
    let pid = tasks.lines().find_map(|line| line.strip_prefix(&id)?.split_whitespace().next()?.parse::<u32>().ok());
    assert_eq!(Some(container.init_pid), pid, "{tasks}");
}

#[test]
fn lxc_and_nspawn_by_the_names_of_their_cgroups() {
    let (lxc, nspawn) = (unique("lxc"), unique("nspawn"));
    let escaped = nspawn.replace('-', "\\x2d");
    let a = HandMade::at(&format!("lxc.payload.{lxc}/system.slice"));
    let b = HandMade::at(&format!("machine.slice/machine-{escaped}.scope/payload"));
    let listing = list();
    let of = |name: &str| {
        let found = listing.found.iter().find(|found| found.container.name.as_deref() == Some(name)).unwrap();
        (found.container.runtime, found.container.init_pid)
    };
    assert_eq!(of(&lxc), (Runtime::Lxc, a.process.id()));
    assert_eq!(of(&nspawn), (Runtime::Nspawn, b.process.id()));
}

#[test]
fn a_process_with_a_hostile_name_hides_nothing() {
    let web = Docker::start(&[], &["/app/test_app", "hostile"]);
    let pid = web.pid();
    let comm = wait_for("the process to take its name", || {
        fs::read(format!("/proc/{pid}/comm")).ok().filter(|comm| !comm.starts_with(b"test_app"))
    });
    assert_eq!(comm, b"\xff) R 0\n\x1b[31m\n");
    let found = web.found();
    assert_eq!((found.container.init_pid, found.container.name.as_deref()), (pid, Some(web.name.as_str())));
}
