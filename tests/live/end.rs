//! What stays when ctp or its target is killed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{PATIENCE, Running};
use ctp_tests::docker::{Container, Image, docker};
use nix::sys::signal::Signal;

/// The bytes of a function in a process: 32 of them.
pub(crate) fn code(pid: u32, address: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    File::open(format!("/proc/{pid}/mem")).unwrap().read_exact_at(&mut bytes, address).unwrap();
    bytes
}

#[test]
fn killed_ctp_leaves_the_target_as_it_was() {
    // Not position independent: what nm says is where it is.
    let binary = Binary::compile("twins.c", Compiler::Gcc, &["-g", "-no-pie"]);
    let image = Image::new(&binary, "/app/test_app");
    let mut web = Container::driven(&image);
    let address = binary.address_of("my_function");
    let before = code(web.pid(), address);

    let mut ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ println("called") }}"#,
        web.name()
    ));
    web.call(3);
    ctp.wait_for_stdout(|line| line == "called");
    assert_ne!(code(web.pid(), address), before, "a probe changes the code");
    ctp.signal(Signal::SIGKILL);
    assert_eq!(ctp.finish().code, None);

    let deadline = Instant::now() + PATIENCE;
    while code(web.pid(), address) != before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(code(web.pid(), address), before);
    web.call(5);
    assert_eq!(web.printed().len(), 8);
    assert!(web.is_running());
}

#[test]
fn a_target_that_dies_is_reported_and_its_calls_are_kept() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let mut web = Container::driven(&image);
    let script = format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    );

    let mut ctp = Running::attached_with(&["run", "--no-follow", "-e", &script]);
    web.call(4);
    docker(&["kill", web.name()]);
    let said = ctp.wait_for_stderr(&format!("ctp: {}", web.name()));
    assert!(said.contains("stopped") || said.contains("gone") || said.contains("ended"), "{said}");
    let output = ctp.finish();

    assert_eq!((output.lines(), output.code), (web.printed().iter().map(String::as_str).collect(), Some(0)));
}

#[test]
fn a_restarted_target_is_traced_again() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let web = Container::detached(&image, &["2000"]);

    let mut ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("%d\n", pid()) }}"#,
        web.name()
    ));
    let first = web.pid().to_string();
    ctp.wait_for_stdout(|line| line == first);
    docker(&["restart", "--time", "0", web.name()]);
    let second = web.pid().to_string();
    assert_ne!(first, second);
    ctp.wait_for_stdout(|line| line == second);

    assert_eq!(ctp.interrupt().code, Some(0));
}
