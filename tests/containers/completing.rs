//! Names of containers in the shells themselves: each loads what `ctp completions` prints and completes a command line.

use std::process::{Command, Stdio};

use ctp_tests::ctp::{binary, command};
use ctp_tests::process::{attempt, run};

use crate::fixture::{HandMade, unique};

/// What bash would offer for the last word of a line.
fn bash(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let script = format!(
        "source <(ctp completions bash); COMP_WORDS=({line}); COMP_CWORD={}; COMP_TYPE=9; \
         _clap_complete_ctp ctp '{}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.len() - 1,
        words.last().unwrap(),
    );
    shell("bash", &["-c", &script])
}

/// What fish would offer.
fn fish(line: &str) -> String {
    shell("fish", &["--no-config", "-c", &format!("ctp completions fish | source; complete --do-complete '{line}'")])
}

/// What becomes of a line in zsh on a terminal of its own when Tab and Return are typed behind it: it says what it runs.
fn zsh(line: &str) -> String {
    let script = format!(
        "zmodload zsh/zpty; zpty z 'zsh -f -i'
         zpty -w z 'PS1= PS2= RPS1=; autoload -Uz compinit; compinit -u -D; source <(ctp completions zsh); \
         preexec() {{ print \"given:$1:\" }}; print rea''dy'
         while zpty -r z said '*'$'\\n'; do [[ $said == *ready* && $said != *print* ]] && break; done
         zpty -w -n z $'{line}\\t\\n'
         while zpty -r z said '*'$'\\n'; do [[ $said == *given:* && $said != *print* ]] && print -r -- $said && break; done
         zpty -d z"
    );
    shell("timeout", &["60", "zsh", "-f", "-c", &script])
}

fn shell(program: &str, args: &[&str]) -> String {
    let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    run(Command::new(program).args(args).env("PATH", path).env("TERM", "dumb").stdin(Stdio::null())).stdout
}

#[test]
fn every_shell_completes_commands_and_names_of_containers() {
    let name = unique("complete");
    let _held = HandMade::at(&format!("lxc.payload.{name}"));
    // Without its last letter it is no other's.
    let (beginning, _) = name.split_at(name.len() - 1);
    for (shell, complete) in [("bash", bash as fn(&str) -> String), ("fish", fish), ("zsh", zsh)] {
        let commands = complete("ctp docto");
        assert!(commands.contains("doctor"), "{shell}: {commands:?}");
        let names = complete(&format!("ctp doctor {beginning}"));
        assert!(names.contains(&name), "{shell}: {names:?}");
    }
}

/// man(1) itself reads the page, and finds nothing wrong with it.
#[test]
fn man_shows_the_page() {
    let folder = ctp_tests::unique::Scratch::new();
    for (args, words) in [(&["man"][..], "ctp-run(1)"), (&["man", "run"], "--no-follow")] {
        let page = folder.write("ctp.1", &run(&mut command(args)).stdout);
        let mut man = Command::new("man");
        let shown = attempt(man.args(["--local-file", "--warnings", &page]).env("MANWIDTH", "100"));
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{args:?}");
        // Bold letters are written over themselves, where it does not know a terminal.
        let text: String = shown.stdout.replace("\u{8}", "");
        assert!(text.contains(words), "{words} in {text}");
    }
}
