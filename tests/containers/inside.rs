//! ctp in a container of its own, with the least it needs: what is traced, and what it says where something is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, binary, static_binary};
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

/// What the kernel itself wants, where the engine knows no smaller capability than SYS_ADMIN: each by itself.
#[test]
fn each_capability_that_is_missing_is_named_and_the_three_suffice() {
    let (_image, mut web, _web2) = traced();
    let script = script(&format!("container(\"{}\"):exe", web.name()));
    let with = |set: &str| {
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set=-all{set}")).arg(binary());
        command
    };
    let three = ["bpf", "perfmon", "sys_ptrace"];
    for left_out in three {
        let set: String = three.iter().filter(|other| **other != left_out).map(|other| format!(",+{other}")).collect();
        let named = format!("CAP_{}", left_out.to_uppercase());
        let output = attempt(with(&set).args(["run", "--for", "30s", "-e", &script]).env("NO_COLOR", "1"));
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{left_out}: {}", output.stderr);
        assert!(output.stderr.contains("E0401") && output.stderr.contains(&named), "{left_out}: {}", output.stderr);
        let doctor = attempt(with(&set).args(["doctor", "--format", "json"])).stdout;
        let doctor: serde_json::Value = serde_json::from_str(&doctor).unwrap();
        let findings = doctor["findings"].as_array().unwrap();
        let finding = findings.iter().find(|one| one["id"] == "privileges.capabilities").unwrap();
        assert!(finding["detail"].as_str().unwrap().contains(&format!("missing: {named} ")), "{finding}");
        let remedy = format!("--cap-add {}", left_out.to_uppercase());
        assert!(finding["remedy"].as_str().unwrap().contains(&remedy), "{finding}");
    }
    let mut all = with(",+bpf,+perfmon,+sys_ptrace");
    let mut ctp = Running::of(all.args(["run", "-e", &script]).env("NO_COLOR", "1"));
    ctp.wait_for_stderr("ctp: attached");
    web.call(3);
    assert_eq!(ctp.interrupt().lines(), web.printed());
}

/// All capabilities there, and bpf(2) forbidden by the container's profile: that is what is said, not a capability.
#[test]
fn a_seccomp_profile_that_forbids_bpf_is_named() {
    let ctp_image = image_of_ctp();
    let folder = Scratch::new();
    let rule = r#"{"names": ["bpf"], "action": "SCMP_ACT_ERRNO"}"#;
    let profile = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#);
    let option = format!("--security-opt=seccomp={}", folder.write("profile.json", &profile));
    let capabilities = [tracing(), &["SYS_PTRACE"]].concat();
    let doctor = attempt(&mut command(&ctp_image, &["--pid=host", &option], &capabilities, &["doctor"]));
    assert!(doctor.code == Some(2) && doctor.stdout.contains("a seccomp profile forbids bpf(2)"), "{}", doctor.stdout);
    let (_image, web, _web2) = traced();
    let script = script(&format!("container(\"{}\"):exe", &web.id()[..12]));
    let run = attempt(&mut command(&ctp_image, &["--pid=host", &option], &capabilities, &["run", "-e", &script]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    assert!(run.stderr.contains("seccomp") && !run.stderr.contains("is missing"), "{}", run.stderr);
}
