//! Mistakes in a probe: each is an error before anything is attached, with exit code 1 and the nearest right name.

use std::fs::{Permissions, copy, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{binary, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::attempt;
use ctp_tests::unique::Scratch;

/// Runs and checks `script` with WEB standing for a container's name: both refuse it with
/// `code`, naming `nearest`.
fn refused(script: &str, code: &str, nearest: &str) {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let web = Container::driven(&image);
    let script = script.replace("WEB", web.name());
    let nearest = nearest.replace("WEB", web.name());
    let scratch = Scratch::new();
    let file = scratch.write("mistake.ctp", &script);
    for args in [["run", &file], ["check", &file]] {
        let output = ctp(&args);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(1), "{script}\n{said}");
        assert!(said.contains(code), "{code} in\n{said}");
        assert!(said.contains(&nearest), "{nearest} in\n{said}");
        assert!(!said.contains("attached") && !said.contains("hit\n"), "{said}");
    }
}

#[test]
fn wrong_container() {
    refused(r#"probe container("WEBB"):/app/test_app.fn("my_function") { println("hit") }"#, "E0101", "`WEB`");
}

#[test]
fn wrong_path() {
    refused(r#"probe container("WEB"):/app/test_ap.fn("my_function") { println("hit") }"#, "E0103", "/app/test_app");
}

#[test]
fn wrong_function() {
    refused(r#"probe container("WEB"):/app/test_app.fn("my_functoin") { println("hit") }"#, "E0104", "my_function");
}

#[test]
fn wrong_parameter() {
    refused(r#"probe container("WEB"):/app/test_app.fn("my_function") { printf("%d\n", $art) }"#, "E0105", "`arg`");
}

#[test]
fn wrong_format() {
    refused(r#"probe container("WEB"):/app/test_app.fn("my_function") { printf("%s\n", $arg) }"#, "E0202", "%d");
}

#[test]
fn too_few_values_for_the_format() {
    refused(r#"probe container("WEB"):/app/test_app.fn("my_function") { printf("%d %d\n", $arg) }"#, "E0202", "%d");
}

#[test]
fn all_mistakes_of_a_file_at_once() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let web = Container::driven(&image);
    let script = format!(
        r#"
        probe container("{web}"):/app/test_app.fn("my_function") {{ printf("%d\n", $art) }}
        probe container("{web}"):/app/test_app.fn("my_functoin") {{ println("hit") }}
        probe container("{web}"):/app/test_ap.fn("my_function") {{ println("hit") }}
        "#,
        web = web.name()
    );
    let scratch = Scratch::new();
    let output = ctp(&["check", "--format", "short", &scratch.write("mistakes.ctp", &script)]);

    assert_eq!(output.code, Some(1));
    let all = format!("{}{}", output.stdout, output.stderr);
    for (code, line) in [("E0105", ":2:"), ("E0104", ":3:"), ("E0103", ":4:")] {
        let said = all.lines().filter(|said| said.contains(code) && said.contains(line)).count();
        assert_eq!(said, 1, "{code} at line {line} once in\n{all}");
    }
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    const NOBODY: u32 = 65534;
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let web = Container::driven(&image);
    let script = format!(r#"probe container("{}"):/app/test_app.fn("my_function") {{ println("hit") }}"#, web.name());
    // Where everybody may run it: the source tree may lie in a folder of root's.
    let scratch = Scratch::new();
    let own = scratch.path().join("ctp");
    copy(binary(), &own).unwrap();
    for path in [scratch.path(), &own] {
        set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&own);
    let output = attempt(command.args(["run", "-e", &script]).env("NO_COLOR", "1").uid(NOBODY).gid(NOBODY));

    // Groups are given up with the uid where root sets it (see std's CommandExt::uid): docker's socket is closed.
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{}", output.stderr);
    assert!(output.stderr.contains("E0401") && output.stderr.contains("CAP_BPF"), "{}", output.stderr);
    assert!(!output.stderr.contains("no container named"), "{}", output.stderr);
}
