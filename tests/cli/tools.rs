//! What ctp says of the machine, and what it prints for shells and man(1).

use std::process::{Command, Stdio};

use ctp_tests::ctp::{binary, ctp};
use ctp_tests::process::{attempt, run};
use serde_json::Value;

/// What `ctp doctor --format json` finds, when run by `command`.
fn findings(command: &mut Command) -> (Option<i32>, Value) {
    let output = attempt(command.args(["doctor", "--format", "json"]));
    (output.code, serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}")))
}

fn of<'v>(document: &'v Value, id: &str) -> &'v Value {
    let all = document["findings"].as_array().unwrap();
    all.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {document}"))
}

#[test]
fn the_doctor_finds_what_the_machine_has() {
    let (code, document) = findings(&mut Command::new(binary()));
    assert_eq!((code, &document["ready"], &document["v"]), (Some(0), &Value::Bool(true), &Value::from(1)));
    let release = run(Command::new("uname").arg("-r")).stdout;
    let version: Vec<&str> = release.split('.').take(2).collect();
    assert_eq!(of(&document, "kernel.version")["detail"], format!("Linux {}", version.join(".")));
    let mounted = run(Command::new("findmnt").args(["-n", "-t", "cgroup2", "-o", "TARGET"])).stdout;
    let detail = of(&document, "containers.cgroups")["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(mounted.lines().next().unwrap()), "{detail}");
    let stap = attempt(Command::new("stap").arg("--version"));
    let stap = stap.stdout + &stap.stderr;
    let version = stap.split("(version ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(of(&document, "stap.program")["detail"].as_str().unwrap().contains(version));
    for id in ["kernel.btf", "kernel.ebpf", "privileges.capabilities", "limits.files", "engines.docker"] {
        assert_eq!(of(&document, id)["state"], "found", "{id}");
    }
}

#[test]
fn for_people_there_is_a_line_for_each() {
    let (text, (_, document)) = (ctp(&["doctor"]), findings(&mut Command::new(binary())));
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    for finding in document["findings"].as_array().unwrap() {
        let title = finding["title"].as_str().unwrap();
        assert!(text.stdout.lines().any(|line| line.get(9..).is_some_and(|rest| rest.starts_with(title))), "{title}");
    }
}

/// With each capability taken away alone, that one is named, and no other.
#[test]
fn the_capability_that_is_missing_is_named() {
    let all = ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"];
    for missing in all {
        let kept: String = all
            .iter()
            .filter(|name| **name != missing)
            .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
            .collect();
        let mut limited = Command::new("setpriv");
        limited.args(["--inh-caps=-all", &format!("--bounding-set=-all{kept}")]).arg(binary());
        let (code, document) = findings(&mut limited);
        let said = of(&document, "privileges.capabilities");
        let detail = said["detail"].as_str().unwrap();
        assert!(detail.contains(missing), "{detail}");
        assert!(all.iter().all(|other| *other == missing || !detail.contains(other)), "{detail}");
        assert!(said["remedy"].as_str().unwrap().contains(missing.trim_start_matches("CAP_")), "{said}");
        // Programs of one's own user can be traced without the last.
        let traces = missing == "CAP_SYS_PTRACE";
        assert_eq!(
            (code, of(&document, "kernel.ebpf")["state"] == "found"),
            (Some(if traces { 0 } else { 2 }), traces)
        );
    }
}

#[test]
fn a_target_that_is_not_there_is_said_so() {
    let output = ctp(&["doctor", "ctp-t-no-such-container"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stdout.contains("no such container is running"), "{}", output.stdout);
}

/// What is printed for a manifest is what the pod of the examples has.
#[test]
fn the_security_context_is_that_of_the_examples() {
    let printed = ctp(&["doctor", "--kubernetes"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let example = include_str!("../../examples/kubernetes/debug-pod.yaml");
    for setting in [
        "hostPID: true",
        "privileged: false",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "drop: [ALL]",
        "- SYS_PTRACE",
    ] {
        assert!(printed.stdout.contains(setting) && example.contains(setting), "{setting} in\n{}", printed.stdout);
    }
    assert!(!printed.stdout.contains("privileged: true"));
}

#[test]
fn bash_completes_commands_and_flags() {
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let last = words.last().unwrap();
        let script = format!(
            "PATH={}:$PATH; source <(ctp completions bash); COMP_WORDS=({line}); COMP_CWORD={}; COMP_TYPE=9; \
             _clap_complete_ctp ctp '{last}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            binary().parent().unwrap().display(),
            words.len() - 1,
        );
        run(Command::new("bash").args(["-c", &script]).stdin(Stdio::null())).stdout
    };
    assert!(complete("ctp do").lines().any(|word| word.trim() == "doctor"));
    let flags = complete("ctp run --no");
    assert!(flags.lines().any(|word| word.trim() == "--no-follow"), "{flags}");
    for shell in ["zsh", "fish"] {
        let output = ctp(&["completions", shell]);
        assert!(output.code == Some(0) && output.stdout.contains("COMPLETE"), "{shell}: {output:?}");
    }
}

#[test]
fn the_manual_names_every_command() {
    let page = ctp(&["man"]).stdout;
    assert!(page.contains(".TH ctp 1"), "{page}");
    let help = ctp(&["--help"]).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 5, "{help}");
    for name in names {
        assert!(page.contains(&format!("ctp\\-{name}(1)")), "{name} in\n{page}");
    }
    assert!(ctp(&["man", "run"]).stdout.contains("\\-\\-no\\-follow"));
    assert_eq!(ctp(&["man", "nothing"]).code, Some(2));
}
