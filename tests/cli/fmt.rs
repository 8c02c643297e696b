//! `ctp fmt`: files rewritten in place, and what is left alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Stdio;

use ctp_tests::ctp::{command, ctp};
use ctp_tests::unique::Scratch;

const UGLY: &str = "probe   begin{\n# why\nprintln( \"x\" );exit( )}\n";
const PRETTY: &str = "probe begin {\n    # why\n    println(\"x\")\n    exit()\n}\n";

#[test]
fn a_file_is_rewritten_once() {
    let scratch = Scratch::new();
    let path = scratch.write("a.ctp", UGLY);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    chown(&path, Some(1234), Some(4321)).unwrap();
    let output = ctp(&["fmt", &path]);
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(fs::read_to_string(&path).unwrap(), PRETTY);
    let first = fs::metadata(&path).unwrap();
    assert_eq!((first.mode() & 0o7777, first.uid(), first.gid()), (0o640, 1234, 4321));
    assert_eq!(ctp(&["fmt", &path]).code, Some(0));
    let second = fs::metadata(&path).unwrap();
    assert_eq!((first.ino(), first.ctime_nsec()), (second.ino(), second.ctime_nsec()), "it was touched again");
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.ctp"]);
}

#[test]
fn a_link_stays_a_link() {
    let scratch = Scratch::new();
    let path = scratch.write("a.ctp", UGLY);
    let link = scratch.path().join("link.ctp");
    symlink(&path, &link).unwrap();
    assert_eq!(ctp(&["fmt".as_ref(), link.as_os_str()]).code, Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), PRETTY);
}

#[test]
fn check_names_the_file_and_its_first_line() {
    let scratch = Scratch::new();
    let ugly = scratch.write("ugly.ctp", &PRETTY.replace("    exit()", "  exit( )"));
    let pretty = scratch.write("pretty.ctp", PRETTY);
    let before = fs::read_to_string(&ugly).unwrap();
    let output = ctp(&["fmt", "--check", &ugly, &pretty]);
    assert_eq!(output.code, Some(1));
    assert_eq!(output.stdout, format!("{ugly}:4: is not formatted\n-  exit( )\n+    exit()\n"));
    assert_eq!(fs::read_to_string(&ugly).unwrap(), before);
    let output = ctp(&["fmt", "--check", &pretty]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""));
}

#[test]
fn a_file_with_faults_is_left_alone_and_others_are_not() {
    let scratch = Scratch::new();
    let faulty = scratch.write("faulty.ctp", "probe begin{ x = ) }\n");
    let ugly = scratch.write("ugly.ctp", UGLY);
    let output = ctp(&["fmt", &faulty, &ugly]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("faulty.ctp:1:18") && output.stderr.contains("left as it is"), "{}", output.stderr);
    assert_eq!(fs::read_to_string(&faulty).unwrap(), "probe begin{ x = ) }\n");
    assert_eq!(fs::read_to_string(&ugly).unwrap(), PRETTY);
}

#[test]
fn what_cannot_be_read_or_written_ends_with_2() {
    let output = ctp(&["fmt", "/no/such/file.ctp"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("E0405") && output.stderr.contains("/no/such/file.ctp"), "{}", output.stderr);
}

/// Standard output of `ctp fmt -` for `text`, with its exit code.
fn piped(args: &[&str], text: &str) -> (Option<i32>, String, String) {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn standard_input_goes_to_standard_output() {
    assert_eq!(piped(&["fmt", "-"], UGLY), (Some(0), PRETTY.to_owned(), String::new()));
    assert_eq!(piped(&["fmt", "-"], PRETTY), (Some(0), PRETTY.to_owned(), String::new()));
    let (code, stdout, stderr) = piped(&["fmt", "-"], "probe begin { x = ) }");
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("E0001"), "{stderr}");
    let (code, stdout, _) = piped(&["fmt", "--check", "-"], UGLY);
    assert_eq!((code, stdout.as_str()), (Some(1), "-:1: is not formatted\n-probe   begin{\n+probe begin {\n"));
}
