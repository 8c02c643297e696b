//! Points with `?` that match nothing at first: what comes later is traced, and said.

use std::path::Path;
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::process::run;
use ctp_tests::unique::{self, Scratch};

fn burst(flags: &[&str]) -> Binary {
    Binary::compile("burst.c", Compiler::Gcc, &[&["-g", "-static"], flags].concat())
}

/// A program that counts the calls of each container's points, and tells of each hundredth call.
fn script(points: &str) -> String {
    format!(
        "global calls, sizes, last = \"\"
        probe {points} {{
            calls[container(), $number % 2]++
            sizes <<< $number
            last = container()
            if ($number == 99) println(\"hundred\", container())
        }}
        probe end {{
            foreach ([who, odd] in calls) printf(\"%s %d %d\\n\", who, odd, calls[who, odd])
            println(\"in all\", @count(sizes), last)
        }}"
    )
}

fn start(script: &str) -> Running {
    let mut ctp = Running::start(&["run", "-e", script]);
    ctp.wait_for_stderr("ctp: container(");
    ctp
}

#[test]
fn containers_of_a_pattern_that_matches_none_at_first() {
    let image = Image::new(&burst(&["-O2"]), "/app/burst");
    let base = unique::name();
    let name = |which: &str| format!("{base}-{which}");
    let mut ctp = start(&script(&format!("container(\"{base}-web*\"):/app/burst.fn(\"f\")?")));
    let other = Container::detached_as(&image, &name("other"), &["500"]);
    let web = Container::detached_as(&image, &name("web-1"), &["3"]);
    let said = ctp.wait_for_stderr(&format!("ctp: {} started, attached ", web.name()));
    assert!(said.ends_with(" ms after its first process began: its calls before that were not seen"), "{said}");
    docker(&["exec", "--detach", other.name(), "/app/burst", "100"]);
    docker(&["exec", "--detach", web.name(), "/app/burst", "100"]);
    ctp.wait_for_stdout(|line| line == format!("hundred {}", web.name()));
    // The file is probed by now: one that comes back misses nothing.
    docker(&["restart", "--time", "0", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    let second = Container::detached_as(&image, &name("web-2"), &["3"]);
    ctp.wait_for_stderr(&format!("ctp: {} started, attached", second.name()));
    docker(&["exec", "--detach", second.name(), "/app/burst", "100"]);
    ctp.wait_for_stdout(|line| line == format!("hundred {}", second.name()));
    let output = ctp.interrupt();
    let of = |container: &Container, odd: u32| {
        let prefix = format!("{} {odd} ", container.name());
        let line = output.lines().into_iter().find_map(|line| line.strip_prefix(prefix.as_str())?.parse::<u64>().ok());
        line.unwrap_or(0)
    };
    // Each run of three has calls 0, 1, 2; those of the first runs may have been missed.
    assert!((52..=54).contains(&of(&web, 0)) && (51..=52).contains(&of(&web, 1)), "{output:?}");
    assert!((50..=52).contains(&of(&second, 0)) && (50..=51).contains(&of(&second, 1)), "{output:?}");
    assert!(!output.stdout.contains(other.name()), "{output:?}");
    let all: u64 = [&web, &second].into_iter().flat_map(|one| [of(one, 0), of(one, 1)]).sum();
    assert!(output.lines().contains(&format!("in all {all} {}", second.name()).as_str()), "{output:?}");
    assert!(output.stderr.contains(" 0 lost"), "{output:?}");
}

#[test]
fn files_and_functions_that_a_container_gets_later() {
    // Of the first build `f` has another name.
    let image = Image::new(&burst(&["-O2", "-Df=before"]), "/app/burst");
    let web = Container::detached_as(&image, &unique::name(), &["3"]);
    let who = format!("container(\"{}\")", web.name());
    let points = format!("{who}:/app/late.fn(\"f\")?, {who}:/app/burst.fn(\"f\")?, {who}:/app/burst.fn(\"before\")");
    let mut ctp = start(&script(&points));
    ctp.wait_for_stderr("ctp: attached 1 point");
    docker(&["exec", "--detach", web.name(), "/app/burst", "100"]);
    ctp.wait_for_stdout(|line| line.starts_with("hundred"));
    let later = burst(&["-O1"]);
    let copy = |to: &str| docker(&["cp", later.path().to_str().unwrap(), &format!("{}:{to}", web.name())]);
    for (path, said) in [("/app/late", "has /app/late now"), ("/app/burst", "has another build of /app/burst")] {
        copy(path);
        docker(&["exec", "--detach", web.name(), path, "1"]);
        ctp.wait_for_stderr(&format!("ctp: {} {said}", web.name()));
        docker(&["exec", "--detach", web.name(), path, "100"]);
        ctp.wait_for_stdout(|line| line.starts_with("hundred"));
    }
    let output = ctp.interrupt();
    // Of each later file 100 calls, and perhaps the one before.
    let line = |odd: u32| format!("{} {odd} ", web.name());
    let count = |odd: u32| -> u64 {
        let found = output.lines().into_iter().find_map(|all| all.strip_prefix(line(odd).as_str())?.parse().ok());
        found.unwrap_or_else(|| panic!("{output:?}"))
    };
    assert!((150..=152).contains(&count(0)) && count(1) == 150, "{output:?}");
}

#[test]
fn libraries_that_a_container_maps_later() {
    let tree = Scratch::new();
    let compile = |flags: &[&str], source: &str, to: &str| {
        let path = tree.path().join(to);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs");
        run(Command::new("gcc").args(flags).arg("-o").arg(path).arg(programs.join(source)));
    };
    compile(&[], "loads.c", "app/loads");
    compile(&["-g", "-O2", "-shared"], "loaded.c", "opt/libloaded.so");
    for library in ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"] {
        let to = tree.path().join(&library[1..]);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(library, to).unwrap();
    }
    let image = Image::of_tree(tree.path(), "/app/loads");
    let web = Container::detached(&image, &["/opt/nothing.so", "/opt/libloaded.so"]);
    let point = format!("container(\"{}\"):lib(\"libloaded.so\").fn(\"f\")?", web.name());
    let mut ctp = start(&format!("probe {point} {{ println($number) }}"));
    docker(&["kill", "--signal", "USR1", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} maps /opt/libloaded.so now, attached ", web.name()));
    docker(&["kill", "--signal", "USR2", web.name()]);
    ctp.wait_for_stdout(|line| line == "9");
    let output = ctp.interrupt();
    let last = output.lines().split_off(output.lines().len() - 10);
    assert_eq!(last, (0..10).map(|number| number.to_string()).collect::<Vec<_>>(), "{output:?}");
}
