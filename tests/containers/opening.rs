//! Which files of a container can be opened: never one outside, never one that is no regular file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ctp::container::Process;
use ctp::container::Settings;
use ctp::rootfs::Root;
use ctp::world::live::LiveWorld;
use ctp_lang::world::{OpenError, Opened, Place, ReadAt as _, World};

use ctp_tests::unique::Scratch;

use crate::fixture::{Docker, INSIDE, OUTSIDE, run, wait_for};

struct Opener<'a> {
    docker: &'a Docker,
    world: LiveWorld,
}

impl Opener<'_> {
    fn of(docker: &Docker) -> Opener<'_> {
        Opener { docker, world: LiveWorld::new(Settings::from_env()) }
    }

    fn open(&self, place: &Place) -> Result<Opened, OpenError> {
        let containers = self.world.containers().unwrap();
        let container = containers.iter().find(|container| container.id == self.docker.id).unwrap();
        self.world.open(container, place)
    }

    fn path(&self, path: &str) -> Result<Opened, OpenError> {
        self.open(&Place::Path(path.to_owned()))
    }

    /// What a path holds, or why not.
    fn read(&self, path: &str) -> Result<String, OpenError> {
        self.path(path).map(|opened| text(&opened))
    }
}

fn text(opened: &Opened) -> String {
    let mut bytes = vec![0; usize::try_from(opened.bytes.size()).unwrap()];
    opened.bytes.read_at(0, &mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn error(result: Result<Opened, OpenError>) -> OpenError {
    match result {
        Ok(opened) => panic!("opened {}: {:?}", opened.path, text(&opened)),
        Err(e) => e,
    }
}

#[test]
fn a_file_by_its_path_through_links_and_as_the_executable() {
    let web = Docker::sleeping();
    let files = Opener::of(&web);
    for path in [
        "/app/inside",
        "app/inside",
        "/app/./folder/../inside",
        "/app/link_absolute",
        "/app/link_up_and_down",
        "/../../app/inside",
    ] {
        let opened = files.path(path).unwrap();
        assert_eq!((opened.path.as_str(), text(&opened).as_str()), ("/app/inside", INSIDE), "{path}");
    }
    let exe = files.open(&Place::Exe).unwrap();
    let by_path = files.path("/app/test_app").unwrap();
    assert_eq!((exe.path.as_str(), exe.file), ("/app/test_app", by_path.file));
    let built = fs::read(web.image.host.path().join("root/app/test_app")).unwrap();
    let mut bytes = vec![0; built.len()];
    exe.bytes.read_at(0, &mut bytes).unwrap();
    assert!(bytes == built && exe.bytes.size() == built.len() as u64);
}

#[test]
fn the_same_file_has_one_id_and_that_of_another_container_its_own() {
    let (web, web2) = (Docker::sleeping(), Docker::sleeping());
    let files = Opener::of(&web);
    let one = files.path("/app/inside").unwrap().file;
    assert_eq!(files.path("/app/inside").unwrap().file, one);
    assert_eq!(files.path("/app/link_absolute").unwrap().file, one);
    let containers = files.world.containers().unwrap();
    let other = containers.iter().find(|container| container.id == web2.id).unwrap();
    let two = files.world.open(other, &Place::Path("/app/inside".to_owned())).unwrap().file;
    assert_ne!(one, two);
    let index = |docker: &Docker| containers.iter().position(|container| container.id == docker.id).unwrap();
    assert_eq!(files.world.file(one).unwrap().container, index(&web));
    assert_eq!(files.world.file(two).unwrap().container, index(&web2));
    files.world.release(index(&web));
    assert!(files.world.file(one).is_none() && files.world.file(two).is_some());
}

#[test]
fn links_out_of_the_root_end_inside() {
    // With the host's pid namespace, /proc/PID/root of a process of the host is the host's root.
    let web = Docker::start(&["--pid=host"], &["/app/test_app"]);
    let through_proc = |name: &str| format!("/proc/{}/{name}", std::process::id());
    let secret = web.image.secret();
    let files = Opener::of(&web);
    assert_eq!(fs::read_to_string(web.image.secret()).unwrap(), OUTSIDE);
    for path in ["/app/out_absolute", "/app/out_relative", &secret, "/app/out_folder/secret"] {
        let error = error(files.path(path));
        assert!(matches!(error, OpenError::NotFound { .. }), "{path}: {error:?}");
    }
    assert_eq!(fs::read_to_string(format!("{}{secret}", through_proc("root"))).unwrap(), OUTSIDE);
    let paths = [format!("{}{secret}", through_proc("root")), through_proc("exe"), through_proc("cwd/Cargo.toml")];
    for path in paths.iter().map(String::as_str).chain(["/app/out_proc_self", "/app/link_circle"]) {
        assert_eq!(error(files.path(path)), OpenError::Escapes, "{path}");
    }
}

#[test]
fn what_is_no_regular_file_is_named_and_never_opened() {
    let web = Docker::sleeping();
    let files = Opener::of(&web);
    let before = Instant::now();
    for (path, what) in [
        ("/app/fifo", "a FIFO"),
        ("/app/device", "a device"),
        ("/dev/null", "a device"),
        ("/app/folder", "a folder"),
        ("/", "a folder"),
        ("", "a folder"),
        ("/proc/1/status", "a file the kernel makes up"),
    ] {
        assert_eq!(error(files.path(path)), OpenError::NotAFile { what }, "{path}");
    }
    assert!(before.elapsed().as_secs() < 2);
}

/// Tries 1,000 times, and on until both outcomes were seen 50 times: only then did names really change meanwhile.
fn until_both(mut attempt: impl FnMut() -> bool) {
    let before = Instant::now();
    let (mut attempts, mut yes, mut no) = (0, 0, 0);
    while attempts < 1_000 || yes < 50 || no < 50 {
        attempts += 1;
        if attempt() {
            yes += 1
        } else {
            no += 1
        }
        assert!(before.elapsed().as_secs() < 60, "{yes} times the one, {no} times the other in a minute");
    }
}

#[test]
fn names_swapped_during_the_open_never_lead_outside() {
    // `good` is a folder, `bad` a link to the host's folder with the secret: they change places all the time. On a
    // volume, since an overlay exchanges no folders (EXDEV).
    let volume = Scratch::new();
    fs::create_dir(volume.path().join("good")).unwrap();
    fs::write(volume.path().join("good/secret"), INSIDE).unwrap();
    let web = Docker::start(&["-v", &format!("{}:/flip", volume.path().display())], &["/app/test_app"]);
    symlink(web.image.host.path(), volume.path().join("bad")).unwrap();
    web.exec(&["/app/test_app", "exchange", "/flip/good", "/flip/bad"]);
    let root = Root::of(web.found().init).unwrap();
    let opens = |path: &str| {
        let Ok(file) = root.open(&Place::Path(path.to_owned())) else { return false };
        let mut bytes = vec![0; usize::try_from(file.size).unwrap()];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), INSIDE, "{path}");
        true
    };
    until_both(|| {
        opens("/flip/bad/secret");
        opens("/flip/good/../good/secret");
        opens("/flip/good/secret")
    });
}

#[test]
fn a_file_swapped_for_a_fifo_never_blocks_and_never_is_one() {
    let web = Docker::sleeping();
    web.exec(&["/app/test_app", "exchange", "/app/fifo", "/app/inside"]);
    let root = Root::of(web.found().init).unwrap();
    until_both(|| match root.open(&Place::Path("/app/inside".to_owned())) {
        Ok(file) => {
            assert!(file.file().metadata().unwrap().is_file());
            true
        }
        Err(e) => {
            assert_eq!(e, OpenError::NotAFile { what: "a FIFO" });
            false
        }
    });
}

#[test]
fn a_path_that_is_not_there_names_what_is() {
    let web = Docker::sleeping();
    let files = Opener::of(&web);
    let nearest = |path: &str| match error(files.path(path)) {
        OpenError::NotFound { folder, nearest } => (folder, nearest),
        other => panic!("{path}: {other:?}"),
    };
    let app = || vec!["/app/test_app".to_owned()];
    assert_eq!(nearest("/app/testapp"), ("/app".to_owned(), app()));
    assert_eq!(nearest("/usr/bin/test_app"), ("/usr/bin".to_owned(), app()));
    assert_eq!(nearest("/ap/test_app"), ("/".to_owned(), app()));
    assert_eq!(nearest("/app/test_app/more"), ("/app".to_owned(), app()));
    assert_eq!(nearest("/app/folder/nothing_like_it_at_all"), ("/app/folder".to_owned(), vec![]));
    let (folder, _) = nearest(&format!("/app/{}", "x".repeat(5_000)));
    assert_eq!(folder, "/app");
}

#[test]
fn a_volume_is_part_of_the_container() {
    let volume = Scratch::new();
    fs::write(volume.path().join("data"), INSIDE).unwrap();
    let web = Docker::start(&["-v", &format!("{}:/volume", volume.path().display())], &["/app/test_app"]);
    let opened = Opener::of(&web).path("/volume/data").unwrap();
    assert_eq!((opened.path.as_str(), text(&opened).as_str()), ("/volume/data", INSIDE));
}

#[test]
fn a_file_cut_short_after_it_was_opened_is_an_error() {
    let volume = Scratch::new();
    let path = volume.path().join("data");
    fs::write(&path, vec![7; 100_000]).unwrap();
    let web = Docker::start(&["-v", &format!("{}:/volume", volume.path().display())], &["/app/test_app"]);
    let opened = Opener::of(&web).path("/volume/data").unwrap();
    let mut bytes = [0; 100];
    opened.bytes.read_at(99_900, &mut bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let error = opened.bytes.read_at(99_900, &mut bytes).unwrap_err();
    assert!(error.reason.contains("shorter"), "{error:?}");
    // A file that grew is not read past the size it was checked with.
    fs::File::options().write(true).open(&path).unwrap().set_len(200_000).unwrap();
    assert!(opened.bytes.read_at(100_000, &mut bytes).is_err());
    assert!(opened.bytes.read_at(u64::MAX, &mut bytes).is_err());
}

#[test]
fn a_file_replaced_after_it_was_opened_stays_the_one_that_was_checked() {
    let volume = Scratch::new();
    let path = volume.path().join("data");
    fs::write(&path, INSIDE).unwrap();
    let web = Docker::start(&["-v", &format!("{}:/volume", volume.path().display())], &["/app/test_app"]);
    let files = Opener::of(&web);
    let first = files.path("/volume/data").unwrap();
    fs::write(volume.path().join("new"), "replaced\n").unwrap();
    fs::rename(volume.path().join("new"), &path).unwrap();
    let again = files.path("/volume/data").unwrap();
    assert_eq!((again.file, text(&again)), (first.file, INSIDE.to_owned()));
    let kept = files.world.file(first.file).unwrap();
    assert_eq!(std::io::read_to_string(&*kept.file).unwrap(), INSIDE);
    // Another world sees what is there now.
    assert_eq!(Opener::of(&web).read("/volume/data").unwrap(), "replaced\n");
}

#[test]
fn a_lease_on_the_file_does_not_make_ctp_wait() {
    let volume = Scratch::new();
    let path = volume.path().join("data");
    fs::write(&path, INSIDE).unwrap();
    let web = Docker::start(&["-v", &format!("{}:/volume", volume.path().display())], &["/app/test_app"]);
    // Python holds a write lease and ignores the signal that asks it to let go.
    let script = "import fcntl,signal,sys,time\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\nf=open(sys.argv[1],'r+')\nfcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)\nprint('held', flush=True)\ntime.sleep(60)";
    let mut holder = Command::new("python3")
        .args(["-c", script, path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    let before = Instant::now();
    let result = Opener::of(&web).path("/volume/data").map(|opened| text(&opened));
    let took = before.elapsed();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(line, "held\n");
    assert!(matches!(&result, Err(OpenError::Other(reason)) if reason.contains("lease")), "{result:?}");
    assert!(took.as_secs() < 2, "{took:?}");
}

#[test]
fn an_ended_container_and_a_pid_with_a_new_owner_are_gone() {
    let web = Docker::sleeping();
    let files = Opener::of(&web);
    files.path("/app/inside").unwrap();
    let init = web.found().init;
    let reused = Process { start: init.start + 1, ..init };
    assert_eq!(Root::of(reused).unwrap_err(), OpenError::Gone);
    let root = Root::of(init).unwrap();
    run("docker", &["kill", &web.id]);
    wait_for("the first process to end", || (!Path::new(&format!("/proc/{}", init.pid)).exists()).then_some(()));
    assert_eq!(error(files.path("/app/test_app")), OpenError::Gone);
    assert_eq!(root.open(&Place::Path("/app/inside".to_owned())).unwrap_err(), OpenError::Gone);
}

#[test]
fn without_the_right_to_look_the_capability_is_named() {
    let web = Docker::sleeping();
    let init = web.found().init;
    // In a thread of its own: capabilities belong to threads.
    let denied = std::thread::spawn(move || {
        drop_all_capabilities();
        Root::of(init).map(|_| ()).unwrap_err()
    });
    assert_eq!(denied.join().unwrap(), OpenError::Denied { missing: Some("CAP_SYS_PTRACE") });
}

/// Clears this thread's effective capabilities (capset(2), version 3: two sets of three words).
fn drop_all_capabilities() {
    let header = [0x2008_0522_u32, 0];
    let sets = [0_u32; 6];
    // SAFETY: header and sets have the layout capset(2) gives for version 3, and both live during the call.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(result, 0);
}
