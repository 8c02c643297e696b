//! ctp in a container of its own, with the least it needs: what is traced, and what it says where something is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, static_binary};
use ctp_tests::docker::{Container, Image, client, docker};
use ctp_tests::process::{Output, attempt};
use ctp_tests::unique::{Scratch, name};

/// What docs/in-a-container.md takes away from a container with ctp.
const LEAST: [&str; 9] =
    ["run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

/// The capabilities for this docker: before version 23 it does not know CAP_BPF and CAP_PERFMON.
fn tracing() -> &'static [&'static str] {
    let version = docker(&["version", "--format", "{{.Server.Version}}"]).stdout;
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    if major < 23 { &["SYS_ADMIN"] } else { &["BPF", "PERFMON"] }
}

/// The image of examples/kubernetes/Dockerfile, which holds ctp and nothing else.
fn image_of_ctp() -> Image {
    let build = Scratch::new();
    let built: PathBuf = static_binary(build.path());
    let folder = Scratch::new();
    std::fs::copy(built, folder.path().join("ctp")).unwrap();
    let dockerfile = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kubernetes/Dockerfile");
    Image::built(Path::new(dockerfile), folder.path())
}

fn traced() -> (Image, Container, Container) {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let (web, web2) = (Container::driven(&image), Container::driven(&image));
    (image, web, web2)
}

fn command(image: &Image, options: &[&str], capabilities: &[&str], args: &[&str]) -> Command {
    let mut command = client();
    command.args(LEAST).args(["--name", &name()]).args(options);
    command.args(capabilities.iter().flat_map(|capability| ["--cap-add", capability]));
    command.arg(image.name()).args(args);
    command
}

fn script(who: &str) -> String {
    format!(r#"probe {who}.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#)
}

fn attached(image: &Image, options: &[&str], who: &str) -> Running {
    let capabilities = [tracing(), &["SYS_PTRACE"]].concat();
    let mut ctp = Running::of(&mut command(image, options, &capabilities, &["run", "-e", &script(who)]));
    ctp.wait_for_stderr("ctp: attached");
    ctp
}

#[test]
fn beside_all_processes_and_beside_those_of_one_container() {
    let ctp_image = image_of_ctp();
    let (_image, mut web, mut web2) = traced();
    let of_web = format!("--pid=container:{}", web.name());
    let id = web.id();
    let names = "--volume=/var/lib/docker/containers:/var/lib/docker/containers:ro";
    for (options, who) in [
        (&["--pid=host"][..], format!("container(\"{}\"):/app/test_app", &id[..12])),
        (&["--pid=host", names], format!("container(\"{}\"):exe", web.name())),
        (&[&of_web], "pid(1):exe".to_owned()),
        (&[&of_web], format!("container(\"{}\"):/app/test_app", &id[..12])),
    ] {
        let before = web.printed().len();
        let ctp = attached(&ctp_image, options, &who);
        web.call(3);
        web2.call(2);
        assert_eq!(ctp.interrupt().lines(), web.printed()[before..], "{options:?} {who}");
    }
    // Its number in its own namespace is 1, and in the host's the one that docker tells, wherever ctp is.
    let numbers = format!(
        "probe container(\"{}\"):exe.fn(\"my_function\") {{ printf(\"%d %d\\n\", pid(), ns_pid()) }}",
        &id[..12]
    );
    let capabilities = [tracing(), &["SYS_PTRACE"]].concat();
    let mut ctp = Running::of(&mut command(&ctp_image, &[&of_web], &capabilities, &["run", "-e", &numbers]));
    ctp.wait_for_stderr("ctp: attached");
    web.call(1);
    assert_eq!(ctp.interrupt().stdout, format!("{} 1\n", web.pid()));
}

/// The pod of examples/kubernetes, as docker runs a container with those settings.
#[test]
fn with_the_settings_of_the_pod() {
    let pod = include_str!("../../examples/kubernetes/debug-pod.yaml");
    let is = |setting: &str| pod.lines().any(|line| line.split('#').next().unwrap().trim() == setting);
    assert!(is("hostPID: true") && is("privileged: false") && is("allowPrivilegeEscalation: false"));
    assert!(is("readOnlyRootFilesystem: true") && is("drop: [ALL]") && is("type: RuntimeDefault"));
    let added = pod.lines().skip_while(|line| line.trim() != "add:").skip(1);
    let added: Vec<&str> = added
        .map(|line| line.split('#').next().unwrap().trim())
        .take_while(|line| line.starts_with("- "))
        .map(|line| line.trim_start_matches("- "))
        .collect();
    assert_eq!(added, ["BPF", "PERFMON", "SYS_PTRACE"]);

    let ctp_image = image_of_ctp();
    let (_image, mut web, mut web2) = traced();
    let ctp = attached(&ctp_image, &["--pid=host", "--user=0"], &format!("container(\"{}\"):exe", web.id()));
    web.call(3);
    web2.call(2);
    assert_eq!(ctp.interrupt().lines(), web.printed());
}

#[test]
fn with_one_capability_fewer_that_one_is_named() {
    let ctp_image = image_of_ctp();
    let (_image, web, _) = traced();
    let who = format!("container(\"{}\"):exe", &web.id()[..12]);
    let tried = |capabilities: &[&str], args: &[&str]| -> Output {
        attempt(&mut command(&ctp_image, &["--pid=host"], capabilities, args))
    };
    let script = script(&who);
    let without_ptrace = tried(tracing(), &["run", "-e", &script]);
    assert!(
        without_ptrace.stderr.contains("E0401") && without_ptrace.stderr.contains("CAP_SYS_PTRACE"),
        "{}",
        without_ptrace.stderr
    );
    for left_out in tracing() {
        let others: Vec<&str> =
            tracing().iter().copied().filter(|other| other != left_out).chain(["SYS_PTRACE"]).collect();
        let output = tried(&others, &["run", "-e", &script]);
        // Where SYS_ADMIN stands for two, those are what is missing.
        let named = if *left_out == "SYS_ADMIN" { "CAP_BPF and CAP_PERFMON" } else { left_out };
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{}", output.stderr);
        assert!(output.stderr.contains("E0401") && output.stderr.contains(named), "{}", output.stderr);
        let doctor = tried(&others, &["doctor"]);
        assert!(doctor.code == Some(2) && doctor.stdout.contains("missing: CAP_"), "{}", doctor.stdout);
    }
}
