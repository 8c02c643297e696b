//! Debug info that is not in the program itself: found where it is looked for, refused where it is another build's, and
//! every place named where there is none.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{self, Running};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::process::{Output, attempt, run};
use ctp_tests::unique::Scratch;

/// A container with a stripped program; what was stripped off is on the host.
struct Stripped {
    container: Container,
    _image: Image,
    scratch: Scratch,
    build_id: String,
}

/// Makes `app.debug` out of a program, and strips the program.
fn split(binary: &Binary, debug: &Path) {
    run(Command::new("objcopy").arg("--only-keep-debug").arg(binary.path()).arg(debug));
    // The names of functions stay.
    run(Command::new("strip").arg("-g").arg(binary.path()));
}

impl Stripped {
    fn new() -> Stripped {
        let scratch = Scratch::new();
        let binary = Binary::compile("twins.c", Compiler::Gcc, &["-g", "-Wl,--build-id"]);
        let debug = scratch.path().join("app.debug");
        split(&binary, &debug);
        run(Command::new("objcopy").arg(format!("--add-gnu-debuglink={}", debug.display())).arg(binary.path()));
        let notes = run(Command::new("readelf").arg("-n").arg(binary.path())).stdout;
        let build_id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).unwrap().to_owned();
        let image = Image::new(&binary, "/app/test_app");
        let container = Container::driven(&image);
        Stripped { container, _image: image, scratch, build_id }
    }

    fn debug(&self) -> PathBuf {
        self.scratch.path().join("app.debug")
    }

    /// `.build-id/ab/cdef….debug`.
    fn by_build_id(&self) -> String {
        format!(".build-id/{}/{}.debug", &self.build_id[..2], &self.build_id[2..])
    }

    /// Puts a file into the running container.
    fn put(&self, file: &Path, path: &str) {
        let tree = Scratch::new();
        let inside = tree.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
        std::fs::copy(file, inside).unwrap();
        docker(&["cp", &format!("{}/.", tree.path().display()), &format!("{}:/", self.container.name())]);
    }

    fn script(&self) -> String {
        format!(
            r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("%d\n", $arg) }}"#,
            self.container.name()
        )
    }

    /// `ctp check` of a program that needs the parameter; nothing is cached but in this test's own folder.
    fn check(&self, flags: &[&str]) -> Output {
        let script = self.script();
        let mut command = ctp::command(&[&["check", "-e", &script], flags].concat());
        command.env("XDG_CACHE_HOME", self.scratch.path().join("cache"));
        command.env_remove("DEBUGINFOD_URLS").env("NO_PROXY", "127.0.0.1");
        attempt(&mut command)
    }
}

#[test]
fn debug_info_in_the_container_gives_the_values() {
    let mut beside = Stripped::new();
    assert_eq!(beside.check(&[]).code, Some(1), "nothing is there yet");
    beside.put(&beside.debug(), "/app/.debug/app.debug");
    let ctp = Running::attached(&beside.script());
    beside.container.call(6);
    let printed: Vec<String> = beside.container.printed();
    let printed: Vec<&str> = printed.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ctp.interrupt().lines(), printed);

    for place in ["/app/app.debug".to_owned(), "/usr/lib/debug/app/app.debug".to_owned()] {
        let stripped = Stripped::new();
        stripped.put(&stripped.debug(), &place);
        assert_eq!(stripped.check(&[]).code, Some(0), "{place}");
    }
    let stripped = Stripped::new();
    stripped.put(&stripped.debug(), &format!("/usr/lib/debug/{}", stripped.by_build_id()));
    assert_eq!(stripped.check(&[]).code, Some(0), "by build id");
}

#[test]
fn a_folder_of_the_host_has_it() {
    let stripped = Stripped::new();
    let folder = Scratch::new();
    let flag = folder.path().to_str().unwrap();
    for name in [stripped.by_build_id(), "app/app.debug".to_owned(), "app.debug".to_owned(), "test_app".to_owned()] {
        let path = folder.path().join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(stripped.debug(), &path).unwrap();
        assert_eq!(stripped.check(&["--debuginfo", flag]).code, Some(0), "{name}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(stripped.check(&["--debuginfo", flag]).code, Some(1), "{name} is gone");
    }
}

#[test]
fn another_build_is_refused_by_name() {
    let stripped = Stripped::new();
    let other = Binary::compile("twins.c", Compiler::Gcc, &["-g", "-O2", "-Wl,--build-id"]);
    let wrong = stripped.scratch.path().join("wrong");
    split(&other, &wrong);
    stripped.put(&wrong, "/app/app.debug");
    let output = stripped.check(&[]);
    assert_eq!(output.code, Some(1));
    let refused = "/app/app.debug in container";
    let line = output.stdout.lines().find(|line| line.contains(refused)).unwrap_or_else(|| panic!("{}", output.stdout));
    assert!(line.contains("refused: its build id is") && line.contains(&stripped.build_id), "{line}");
    // What is no program at all is refused too, and does not end the search.
    let text = stripped.scratch.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    stripped.put(&text, "/app/app.debug");
    stripped.put(&stripped.debug(), "/usr/lib/debug/app/app.debug");
    assert_eq!(stripped.check(&[]).code, Some(0));
}

#[test]
fn every_place_is_named_where_nothing_is_found() {
    let stripped = Stripped::new();
    let folder = Scratch::new();
    let flag = folder.path().to_str().unwrap();
    // Nobody listens on port 1.
    let output = stripped.check(&["--debuginfo", flag, "--debuginfod", "http://127.0.0.1:1"]);
    assert_eq!(output.code, Some(1));
    let id = stripped.by_build_id();
    let places = [
        "E0110".to_owned(),
        "the file itself".to_owned(),
        "/app/app.debug in container".to_owned(),
        "/app/.debug/app.debug in container".to_owned(),
        format!("/usr/lib/debug/{id} in container"),
        "/usr/lib/debug/app/app.debug in container".to_owned(),
        format!("/usr/lib/debug/{id} on the host"),
        "/usr/lib/debug/app/app.debug on the host".to_owned(),
        format!("{flag}/{id} on the host"),
        format!("{}.debug (the cache)", stripped.build_id),
        "http://127.0.0.1:1".to_owned(),
    ];
    let mut rest = output.stdout.as_str();
    for place in places {
        let at = rest.find(&place).unwrap_or_else(|| panic!("{place} is not named (in this order): {}", output.stdout));
        rest = &rest[at..];
    }
}

/// Debian's debuginfod, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path, scratch: &Path) -> Server {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("debuginfod")
            .args(["-p", &port.to_string(), "-d"])
            .arg(scratch.join("debuginfod.sqlite"))
            .arg("-F")
            .arg(folder)
            .env_remove("DEBUGINFOD_URLS")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Server { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until it has the debug info of a build id.
    fn wait_for(&self, build_id: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                write!(stream, "GET /buildid/{build_id}/debuginfo HTTP/1.0\r\n\r\n").unwrap();
                let mut status = [0; 12];
                if stream.read_exact(&mut status).is_ok() && status.ends_with(b" 200") {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("debuginfod does not find {build_id}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_debuginfod_server_has_it_and_the_cache_keeps_it() {
    let stripped = Stripped::new();
    let folder = Scratch::new();
    std::fs::copy(stripped.debug(), folder.path().join("app.debug")).unwrap();
    let server = Server::start(folder.path(), stripped.scratch.path());
    server.wait_for(&stripped.build_id);
    let url = server.url();
    assert_eq!(stripped.check(&[]).code, Some(1), "nobody named the server");
    let output = stripped.check(&["--debuginfod", &url]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    drop(server);
    assert_eq!(stripped.check(&[]).code, Some(0), "from the cache");

    // A damaged entry is thrown away.
    let entry = stripped.scratch.path().join("cache/ctp/debuginfod").join(format!("{}.debug", stripped.build_id));
    std::fs::write(&entry, b"damaged").unwrap();
    let output = stripped.check(&[]);
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("(the cache) (refused: "), "{}", output.stdout);
    assert!(!entry.exists());
}

const PYTHON: &str = "/usr/bin/python3.11d";

/// Python with packed debug info, in which `PyObject_GetAttr` has its own name or another; of `size` bytes at least.
fn packed_python(folder: &Path, renamed: bool, size: u64) -> PathBuf {
    let path = |name: &str| folder.join(format!("{name}-{renamed}"));
    let (plain, info, packed) = (path("plain"), path("info"), path("packed"));
    let dump = |section: &str, to: &Path| {
        let section = format!("{section}={}", to.display());
        run(Command::new("objcopy").args(["--dump-section", &section, PYTHON]).arg(&plain));
        std::fs::read(to).unwrap()
    };
    let texts = dump(".debug_str", &path("str"));
    let mut bytes = dump(".debug_info", &info);
    if renamed {
        let offset = |name: &[u8]| {
            let at = texts.windows(name.len()).position(|window| window == name).unwrap() + 1;
            u32::try_from(at).unwrap().to_le_bytes()
        };
        let (own, other) = (offset(b"\0PyObject_GetAttr\0"), offset(b"\0PyObject_SetAttr\0"));
        for at in 0..bytes.len() - 4 {
            if bytes[at..at + 4] == own {
                bytes[at..at + 4].copy_from_slice(&other);
            }
        }
    }
    std::fs::write(&info, bytes).unwrap();
    let update = format!(".debug_info={}", info.display());
    run(Command::new("objcopy").args(["--update-section", &update]).arg(&plain).arg(&packed));
    run(Command::new("objcopy").arg("--compress-debug-sections=zlib").arg(&packed));
    let file = std::fs::File::options().write(true).open(&packed).unwrap();
    file.set_len(size.max(file.metadata().unwrap().len())).unwrap();
    packed
}

/// What was read of a container's file is known without reading it again, and not once the file is another: neither
/// its size nor the time it says of itself count.
#[test]
fn a_packed_file_is_read_again_once_the_container_changes_it() {
    let stripped = Stripped::new();
    let scratch = stripped.scratch.path();
    let other = packed_python(scratch, true, 0);
    let own = packed_python(scratch, false, std::fs::metadata(&other).unwrap().len());
    let size = std::fs::metadata(&own).unwrap().len();
    let other = packed_python(scratch, true, size);
    let inside = PathBuf::from(format!("/proc/{}/root/app/python", stripped.container.pid()));
    std::fs::copy(&own, &inside).unwrap();
    let said = std::fs::metadata(&inside).unwrap().modified().unwrap();
    let script = format!(
        r#"probe container("{}"):/app/python.fn("PyObject_GetAttr") {{ printf("%p\n", $name) }}"#,
        stripped.container.name()
    );
    let check = || {
        let mut command = ctp::command(&["check", "-e", &script]);
        command.env("XDG_CACHE_HOME", scratch.join("cache")).env_remove("DEBUGINFOD_URLS");
        attempt(&mut command).code
    };
    let remembered = || {
        let listed = std::fs::read_dir(scratch.join("cache/ctp/unpacked")).unwrap().map(|entry| entry.unwrap());
        let mut digests = listed.filter(|entry| entry.file_name().to_string_lossy().ends_with(".debug_info.sha256"));
        digests.next().map(|entry| entry.metadata().unwrap().modified().unwrap())
    };
    assert_eq!(check(), Some(0));
    // Whatever was changed less than a minute ago is read each time.
    std::thread::sleep(Duration::from_secs(61));
    assert_eq!(check(), Some(0));
    let first = remembered().unwrap();
    assert_eq!(check(), Some(0));
    assert!(remembered().unwrap() > first, "what is remembered was not looked at");

    // Written where it lies, of the same size, and said to be as old.
    let file = std::fs::File::options().write(true).open(&inside).unwrap();
    (&file).write_all(&std::fs::read(&other).unwrap()).unwrap();
    file.set_modified(said).unwrap();
    let now = file.metadata().unwrap();
    assert_eq!((now.len(), now.modified().unwrap()), (size, said));
    assert_eq!(check(), Some(1), "it has no such function any more");
    // Another file in its place.
    let beside = inside.with_extension("new");
    std::fs::copy(&own, &beside).unwrap();
    std::fs::File::options().write(true).open(&beside).unwrap().set_modified(said).unwrap();
    std::fs::rename(&beside, &inside).unwrap();
    assert_eq!(check(), Some(0));
    std::fs::copy(&other, &beside).unwrap();
    std::fs::File::options().write(true).open(&beside).unwrap().set_modified(said).unwrap();
    std::fs::rename(&beside, &inside).unwrap();
    assert_eq!(check(), Some(1));
}
