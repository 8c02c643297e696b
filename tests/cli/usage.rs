//! Help, usage and exit codes, where no container is needed.

use ctp_tests::ctp::ctp;
use ctp_tests::unique::Scratch;

const SUBCOMMANDS: [&str; 10] = ["run", "check", "build", "ps", "ls", "fmt", "explain", "doctor", "completions", "man"];

#[test]
fn help_names_every_subcommand_and_each_has_its_own() {
    let help = ctp(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for subcommand in SUBCOMMANDS {
        let listed =
            help.stdout.lines().filter(|line| line.trim_start().starts_with(&format!("{subcommand} "))).count();
        assert_eq!(listed, 1, "{subcommand} in\n{}", help.stdout);
        let own = ctp(&[subcommand, "--help"]);
        assert_eq!(own.code, Some(0), "{}", own.stderr);
        assert!(own.stdout.contains(&format!("Usage: ctp {subcommand}")), "{}", own.stdout);
    }
}

#[test]
fn help_explains_the_flags_of_run() {
    let help = ctp(&["run", "--help"]).stdout;
    for flag in ["--for", "--events", "--plan", "-e", "-o", "--strlen"] {
        let line = help.lines().position(|line| line.trim_start().split([' ', ',']).any(|word| word == flag));
        assert!(line.is_some(), "{flag} in\n{help}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
}

#[test]
fn version() {
    let version = ctp(&["--version"]);
    assert_eq!(version.stdout, format!("ctp {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [&["run"][..], &["run", "--no-such-flag"], &["no-such-command"], &["run", "--for", "soon", "-e", ""]] {
        let output = ctp(args);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{args:?}: {}", output.stderr);
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_2_and_is_named() {
    for subcommand in ["run", "check", "build"] {
        let output = ctp(&[subcommand, "/no/such/file.ctp"]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
        let said = &output.stderr;
        assert!(
            said.contains("E0405") && said.contains("/no/such/file.ctp") && said.contains("No such file"),
            "{said}"
        );
    }
}

#[test]
fn a_mistake_in_the_text_ends_with_1_and_shows_its_place() {
    let scratch = Scratch::new();
    let file = scratch.write("broken.ctp", "probe begin {\n    println(\"no end)\n}\n");
    for subcommand in ["run", "check", "build"] {
        let output = ctp(&[subcommand, &file]);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(1), "{said}");
        assert!(said.contains("E0002") && said.contains("broken.ctp:2:13"), "{said}");
    }
}

#[test]
fn short_messages_are_one_line_each() {
    let scratch = Scratch::new();
    let file = scratch.write("broken.ctp", "probe begin { println(nowhere) }\nprobe end { println(1 / 0) }\n");
    let output = ctp(&["check", "--format", "short", &file]);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(1), "{said}");
    for (code, place) in [("E0106", "broken.ctp:1:23: "), ("E0208", "broken.ctp:2:")] {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(code)).collect();
        assert!(matches!(lines[..], [line] if line.contains(place)), "{code} at {place} in\n{said}");
    }
}

#[test]
fn a_program_without_a_fault_is_silent_and_ends_with_0() {
    let scratch = Scratch::new();
    let file = scratch.write("fine.ctp", "probe begin { println(\"hello\"); exit() }\n");
    let output = ctp(&["check", &file]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{}", output.stderr);
}

#[test]
fn begin_and_exit_need_no_container() {
    let output = ctp(&["run", "-e", "probe begin { printf(\"%d and %s\\n\", 6 * 7, \"text\"); exit() }"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "42 and text\n"), "{}", output.stderr);
}

#[test]
fn a_program_without_probes_does_not_end_without_a_word() {
    for program in ["", "# nothing yet\n"] {
        let output = ctp(&["run", "-e", program]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{}", output.stderr);
        assert!(output.stderr.contains("no probe"), "{}", output.stderr);
    }
}

#[test]
fn a_script_with_a_first_line_for_the_shell() {
    let scratch = Scratch::new();
    let file = scratch.write("script.ctp", "#!/usr/bin/env -S ctp run\nprobe begin { println(\"hello\"); exit() }\n");
    let output = ctp(&["run", &file]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "hello\n"), "{}", output.stderr);
}

#[test]
fn standard_input_is_a_program_too() {
    use std::io::Write;
    use std::process::Stdio;
    let mut child =
        ctp_tests::ctp::command(&["run", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "probe begin {{ println(\"piped\"); exit() }}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"piped\n"[..]));
}

/// `ctp ps | head -1` must not complain.
#[test]
fn a_closed_pipe_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = ctp_tests::ctp::command(&["--help"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
