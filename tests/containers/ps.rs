//! What `ctp ps` shows.

use ctp::cli::ps::{Format, Ps, run as ps};
use ctp::container::{Listing, Settings};
use ctp::world::live::LiveWorld;

use crate::fixture::{Docker, HandMade, unique};

fn shown(format: Format, world: &LiveWorld) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(ps(Ps { format }, world, &mut out, &mut err).unwrap(), 0);
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn live(format: Format) -> (String, String) {
    shown(format, &LiveWorld::new(Settings::from_env()))
}

#[test]
fn a_line_of_the_table_holds_what_docker_says() {
    let web = Docker::sleeping();
    let (out, _) = live(Format::Table);
    let heads: Vec<&str> = out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["NAME", "ID", "RUNTIME", "IMAGE", "POD", "PID", "EXE", "DEBUG-INFO"]);
    let line = out.lines().find(|line| line.starts_with(&web.name)).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    let pid = web.pid().to_string();
    assert_eq!(cells[..7], [&web.name, &web.id[..12], "docker", web.image.name(), "-", &pid, "/app/test_app"]);
}

#[test]
fn json_holds_the_same_and_the_labels() {
    let web = Docker::start(&["-l", "evil=\u{1b}[31m\n"], &["/app/test_app"]);
    let (out, _) = live(Format::Json);
    assert_eq!(out.lines().count(), 1);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["v"], 1);
    let container = document["containers"].as_array().unwrap().iter().find(|c| c["id"] == web.id).unwrap();
    assert_eq!(container["name"], web.name);
    assert_eq!(container["pid"], web.pid());
    assert_eq!(container["exe"], "/app/test_app");
    assert_eq!(container["labels"]["evil"], "\u{1b}[31m\n");
    assert!(!out.contains('\u{1b}'));
}

#[test]
fn control_bytes_reach_no_terminal() {
    let web = Docker::start(&[], &["/app/\u{1b}[31mred"]);
    let _lxc = HandMade::at(&format!("lxc.payload.\u{1b}[2J{}", unique("lxc")));
    let (out, err) = live(Format::Table);
    let line = out.lines().find(|line| line.starts_with(&web.name)).unwrap();
    assert!(line.contains("/app/\\x1b[31mred"), "{line}");
    assert!(out.lines().any(|line| line.starts_with("\\x1b[2Jctp-t-")), "{out}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'));
}

#[test]
fn no_container_is_said_on_the_other_stream() {
    let world = LiveWorld::of(Settings::default(), Listing { processes: 42, ..Listing::default() });
    let (out, err) = shown(Format::Table, &world);
    assert_eq!(out, "");
    assert!(err.contains("no container") && err.contains("42 processes in /proc"), "{err}");
}

/// 200 more containers, each with a process: told by their cgroups, their programs opened and looked into. How long that
/// takes is `tests/bench/containers`' to say.
#[test]
fn two_hundred_containers_are_listed() {
    let base = unique("many");
    let _many: Vec<HandMade> = (0..200).map(|n| HandMade::at(&format!("lxc.payload.{base}-{n}"))).collect();
    let listed = ctp_tests::ctp::ctp(&["ps"]);
    assert_eq!(listed.stdout.lines().filter(|line| line.contains(&base)).count(), 200, "{}", listed.stderr);

    // A file of each is kept open, of which a process may have fewer at first than it may ask for.
    let target = format!("container(\"{base}-*\"):exe.fn(\"*\")");
    let mut limited = std::process::Command::new("prlimit");
    limited.arg("--nofile=100:10000").arg(ctp_tests::ctp::binary()).args(["ls", &target]).env("NO_COLOR", "1");
    let opened = ctp_tests::process::attempt(&mut limited);
    let all = opened.stderr.contains(&format!("`{base}-0`")) && opened.stderr.contains(" and 188 more matches `*`");
    assert!(all && opened.stderr.matches("error[").count() == 1, "{}", opened.stderr);
}
