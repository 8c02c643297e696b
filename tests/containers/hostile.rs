//! What a hostile container does to who traces it, beyond its files (which are in `opening`): names, labels, processes,
//! and what ctp may still do once it has attached.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{PATIENCE, Running, binary, command, ctp};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::driven::Driver;
use ctp_tests::process::run;
use ctp_tests::unique::{Scratch, name};

fn image() -> Image {
    Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app")
}

fn script(who: &str) -> String {
    format!(r#"probe {who}.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#)
}

/// capabilities(7): CAP_BPF 39, CAP_PERFMON 38, CAP_SYS_PTRACE 19, CAP_DAC_READ_SEARCH 2.
const KEPT: u64 = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2;

#[test]
fn once_attached_ctp_has_only_the_rights_that_tracing_takes() {
    let image = image();
    let mut web = Container::driven(&image);
    let mut running = Running::attached(&script(&format!("container(\"{}\"):exe", web.name())));
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        assert_eq!(u64::from_str_radix(line.trim(), 16).unwrap(), KEPT, "{set}");
    }
    assert!(status.lines().any(|line| line.starts_with("CapInh:") && line.ends_with("\t0000000000000000")), "{status}");
    // With those it still follows a restart.
    web.call(2);
    let before = web.printed();
    docker(&["restart", "--time", "0", web.name()]);
    running.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    assert_eq!(running.interrupt().lines(), before);
}

/// ctp starts no other program, writes no file, talks to nobody but the engines' sockets.
#[test]
fn while_it_runs_it_has_no_child_no_network_and_no_file_to_write() {
    let image = image();
    let web = Container::driven(&image);
    let running = Running::attached(&script(&format!("container(\"{}\"):exe", web.name())));
    let pid = running.pid();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap(), "");
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap().into_os_string().into_string().unwrap();
        assert!(!link.starts_with("socket:"), "descriptor {number} is {link}");
        // The files of the container are open for reading alone (flags are octal, proc(5); O_ACCMODE is 3).
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let writable = u32::from_str_radix(flags.trim(), 8).unwrap() & 3 != 0;
        // The memory of a trial that hides a wait, on its way out.
        let is_file = link.starts_with('/') && !link.starts_with("/dev/") && !link.starts_with("/memfd:");
        assert!(!writable || !is_file, "descriptor {number} is {link}");
    }
    running.interrupt();
}

#[test]
fn labels_with_escape_sequences_and_newlines_reach_no_terminal_and_match_as_data() {
    let image = image();
    let key = name();
    let evil = "x\u{1b}]0;owned\u{7}\n\"); exit() #";
    let mut web = Container::driven_with(&image, &name(), &["--label", &format!("{key}={evil}")]);
    let shown = ctp(&["ps"]);
    assert!(!shown.stdout.contains('\u{1b}') && !shown.stderr.contains('\u{1b}'));
    // The pattern is data too: quotes and newlines in a label change no program.
    let running = Running::attached(&script(&format!("container(label=\"{key}=x*exit() #\"):exe")));
    web.call(2);
    assert_eq!(running.interrupt().lines(), web.printed());
    let wrong = ctp(&["check", "-e", &script("container(\"\u{1b}[31mred\"):exe")]);
    assert!(wrong.code == Some(1) && !wrong.stdout.contains('\u{1b}'), "{:?}", wrong.stdout);
}

/// A process calls itself what it likes: who it is the kernel knows.
#[test]
fn a_process_that_lies_in_its_command_line_is_the_one_it_is() {
    let program = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
    let lie = format!("exec -a 'docker run web' {}", program.path().display());
    let mut liar = Driver::start(Command::new("bash").args(["-c", &lie]));
    let cmdline = fs::read_to_string(format!("/proc/{}/cmdline", liar.pid())).unwrap();
    assert!(cmdline.starts_with("docker run web"), "{cmdline}");
    let running = Running::attached(&script(&format!("pid({}):exe", liar.pid())));
    liar.call(2);
    assert_eq!(running.interrupt().lines(), liar.printed());
    let listed = ctp(&["ps"]);
    assert!(!listed.stdout.contains(&liar.pid().to_string()), "{}", listed.stdout);
}

/// A container that forks without end: ctp lists, attaches, and ends in time, and counts what it is to count.
#[test]
fn a_container_that_forks_without_end_keeps_nobody_from_tracing() {
    let image = image();
    let mut web = Container::driven(&image);
    // Built before the storm, not within it.
    binary();
    let storm = Binary::compile("storm.c", Compiler::Gcc, &[]);
    let image = Image::new(&storm, "/app/storm");
    let storm = Container::detached_with(&image, &name(), &["--pids-limit", "200"], &[]);
    let begun = Instant::now();
    let listed = ctp(&["ps"]);
    let running = Running::attached(&script(&format!("container(\"{}\"):exe", web.name())));
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?} to list and to attach");
    assert!(listed.stdout.contains(storm.name()) && listed.stdout.contains(web.name()), "{}", listed.stdout);
    web.call(3);
    assert_eq!(running.interrupt().lines(), web.printed());
}

/// The most memory, in kB, and the most threads that a process came to while it lived.
fn largest(pid: u32) -> (u64, u64) {
    let (mut memory, mut threads) = (0, 0);
    while let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
        let number = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        // A zombie has no memory any more.
        let Some(peak) = number("VmHWM:") else { break };
        memory = memory.max(peak);
        threads = threads.max(number("Threads:").unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    (memory, threads)
}

/// Such a container itself: its calls are counted, its stacks told, each of its processes attached to by itself; ctp ends
/// when it is to, stays small, and says what it did not see.
#[test]
fn a_container_that_forks_without_end_is_traced_within_bounds() {
    binary();
    let storm = Binary::compile("storm.c", Compiler::Gcc, &["-g"]);
    let image = Image::new(&storm, "/app/storm");
    let storm = Container::detached_with(&image, &name(), &["--pids-limit", "300"], &[]);
    let point = format!("container(\"{}\"):exe.fn(\"stormed\")", storm.name());
    let counts = "global n; probe POINT { n++ } probe end { println(n) }".replace("POINT", &point);
    let stacks = "global s; probe POINT { s[ustack()]++ }".replace("POINT", &point);
    for (args, script, said) in [
        (&[][..], &counts, " 0 lost, 0 faults"),
        (&[], &stacks, " hits, 0 records, "),
        (&["--attach", "process"], &counts, " began, or executed another program, while ctp traced; what each called"),
    ] {
        let begun = Instant::now();
        let args = [&["run", "--for", "3s", "-e", script], args].concat();
        let running = Running::start(&args);
        let (memory, threads) = largest(running.pid());
        let output = running.finish();
        let elapsed = begun.elapsed();
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{args:?}: {}", output.stderr);
        assert!(!output.stdout.is_empty() && output.stdout != "0\n", "{args:?}: {}", output.stderr);
        assert!(elapsed < Duration::from_secs(20), "{args:?} took {elapsed:?}");
        assert!(memory < 150_000 && threads <= 24, "{args:?}: {memory} kB, {threads} threads");
    }
    // Its libraries are looked for among all that it has at that moment.
    let library = format!("probe container(\"{}\"):lib(\"no.so\").fn(\"f\") {{ println(1) }}", storm.name());
    let begun = Instant::now();
    let checked = ctp(&["check", "-e", &library]);
    assert!(checked.code == Some(1) && checked.stdout.contains("E0103"), "{}", checked.stdout);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Two containers of one stripped program, whose debug info each has in a folder of its own: what one of them lies in it
/// changes nothing of the other, whichever is read first.
#[test]
fn debug_info_of_one_container_is_not_believed_of_another() {
    let program = Binary::compile("twins.c", Compiler::Gcc, &["-g", "-O0", "-Wl,--build-id=0x00c0ffee00c0ffee"]);
    let objcopy = |args: &[&str]| {
        run(Command::new("objcopy").args(args));
    };
    let place = "usr/lib/debug/.build-id/00/c0ffee00c0ffee.debug";
    let (told, lied) = (Scratch::new(), Scratch::new());
    for folder in [&told, &lied] {
        fs::create_dir_all(folder.path().join(place).parent().unwrap()).unwrap();
    }
    let (true_file, false_file) = (told.path().join(place), lied.path().join(place));
    objcopy(&["--only-keep-debug", program.path().to_str().unwrap(), true_file.to_str().unwrap()]);
    // The parameter lies at -20 from the frame's base (DW_OP_fbreg, two bytes); the liar says -36.
    let mut bytes = fs::read(&true_file).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 3).filter(|at| bytes[*at..*at + 3] == [2, 0x91, 0x6c]).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 2] = 0x5c;
    }
    fs::write(&false_file, bytes).unwrap();
    let image = Image::new(&program.strip("-s"), "/app/test_app");
    let base = name();
    let start = |suffix: &str, debug: &Scratch| {
        let volume = format!("--volume={}:/usr/lib/debug:ro", debug.path().join("usr/lib/debug").display());
        Container::driven_with(&image, &format!("{base}-{suffix}"), &[&volume])
    };
    for (liar, honest) in [("1", "2"), ("4", "3")] {
        let (mut liar, mut honest) = (start(liar, &lied), start(honest, &told));
        let running = Running::attached(&format!(
            r#"probe container("{base}-*"):exe.fn("my_function") {{ printf("%s my_function was called with %d\n", container(), $arg) }}"#
        ));
        liar.call(3);
        honest.call(3);
        let output = running.interrupt();
        let of = |container: &Container| -> Vec<String> {
            let own = format!("{} ", container.name());
            output.lines().iter().filter_map(|line| line.strip_prefix(&own)).map(str::to_owned).collect()
        };
        assert_eq!(of(&honest), honest.printed());
        assert!(of(&liar).len() == 3 && of(&liar) != liar.printed(), "{}", output.stdout);
    }
    // A process by its number finds it as well.
    let mut one = start("5", &told);
    let running = Running::attached(&script(&format!("pid({}):exe", one.pid())));
    one.call(2);
    assert_eq!(running.interrupt().lines(), one.printed());
}

/// The number of a process that has ended, given to another, is not that process.
#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let program = Binary::compile("twins.c", Compiler::Gcc, &["-g"]);
    let mut first = Driver::start(&mut Command::new(program.path()));
    let pid = first.pid();
    let running = Running::attached(&script(&format!("pid({pid}):{}", program.path().display())));
    first.call(1);
    let printed = first.printed();
    drop(first);
    // The next process of this pid namespace gets the number (pid_namespaces(7), ns_last_pid); other tests may be
    // faster, so it is tried until it holds.
    let again = (0..200).find_map(|_| {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        Some(Driver::start(&mut Command::new(program.path()))).filter(|next| next.pid() == pid)
    });
    let mut again = again.expect("the kernel gives the number again");
    again.call(4);
    let output = running.finish();
    assert_eq!(output.lines(), printed);
}

/// What is probed is what was checked, whatever lies under that path when ctp attaches.
#[test]
fn a_file_that_is_replaced_between_the_check_and_the_attaching() {
    let image = image();
    let (mut web, other) = (Container::driven(&image), Binary::compile("namesake.c", Compiler::Gcc, &["-g"]));
    // `begin` runs between the two, and waits for its reader: more than a pipe holds.
    let much = format!("probe begin {{ {} }}", "printf(\"%4000d\\n\", 7);".repeat(40));
    let mut child =
        command(&["run", "-e", &much, "-e", &script(&format!("container(\"{}\"):/app/test_app", web.name()))])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    // write(2) to standard output, see proc_pid_syscall(5).
    let waits =
        || fs::read_to_string(format!("/proc/{}/syscall", child.id())).is_ok_and(|call| call.starts_with("1 0x1 "));
    let deadline = Instant::now() + PATIENCE;
    while !waits() {
        assert!(Instant::now() < deadline, "ctp does not wait for its reader");
        std::thread::sleep(Duration::from_millis(5));
    }
    let root = format!("/proc/{}/root/app", web.pid());
    fs::copy(other.path(), format!("{root}/new")).unwrap();
    fs::rename(format!("{root}/new"), format!("{root}/test_app")).unwrap();

    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(stderr.by_ref().map_while(Result::ok).any(|line| line.starts_with("ctp: attached")));
    web.call(3);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The running process executes the old file, which is the one that was checked.
    let lines = reader.join().unwrap();
    let traced: Vec<&str> = lines.lines().filter(|line| line.trim() != "7").collect();
    assert_eq!(traced, web.printed());
}

/// A file that claims to be larger than the disk costs neither memory nor time.
#[test]
fn a_sparse_file_of_a_terabyte_is_no_program_and_read_at_its_ends_only() {
    let image = image();
    let web = Container::driven(&image);
    binary();
    let file = fs::File::create(format!("/proc/{}/root/app/huge", web.pid())).unwrap();
    // Some file systems hold less in one file: as much as there is room for.
    let size = [1 << 40, 1 << 39, 1 << 38, 1 << 36].into_iter().find(|size| file.set_len(*size).is_ok());
    assert!(size.is_some());
    let begun = Instant::now();
    let output = ctp(&["check", "-e", &script(&format!("container(\"{}\"):/app/huge", web.name()))]);
    assert!(output.code == Some(1) && output.stdout.contains("E0109"), "{}", output.stdout);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
