//! Returns seen by uprobe sessions, and in which tasks: of one container and not of its neighbour, of containers that come
//! back or start later, of processes one by one; not in a thread in which the kernel would not find the call again.

use std::sync::mpsc::channel;
use std::time::Duration;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::unique;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sessions::has_sessions;

const FLAGS: [&str; 3] = ["-g", "-O2", "-fcf-protection=none"];

fn image(source: &str) -> Image {
    Image::new(&Binary::compile(source, Compiler::Gcc, &FLAGS), "/app/bin")
}

/// What the program of `doubles.c` printed of its calls, once `runs` of it have called.
fn called(container: &Container, runs: usize) -> Vec<String> {
    for _ in 0..600 {
        let (calls, ends): (Vec<String>, Vec<String>) =
            container.printed().into_iter().partition(|line| line != "called");
        if ends.len() >= runs {
            return calls;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} did not call", container.name());
}

/// Two containers of one file: a handler that has nothing to do with the container asks whose task it is at entries only.
#[test]
fn a_neighbours_returns_are_not_counted() {
    if !has_sessions() {
        return;
    }
    let image = image("leaves.c");
    let (mut web, mut neighbour) = (Container::driven(&image), Container::driven(&image));
    let point = format!("container(\"{}\"):/app/bin.fn(\"several\").return", web.name());
    let script = format!(
        "global calls, sum, timed\n\
         probe {point} {{ calls++; sum += $return }}\n\
         probe {point} {{ timed <<< elapsed() }}\n\
         probe end {{ printf(\"%d %d %d\\n\", calls, sum, @count(timed)) }}"
    );
    let ctp = Running::attached_with(&["run", "--returns", "session", "-e", &script]);
    neighbour.call(2);
    web.call(5);
    neighbour.call(1);
    let output = ctp.interrupt();
    let values: Vec<i64> = web
        .printed()
        .iter()
        .filter_map(|line| line.strip_prefix("several ")?.split(" = ").nth(1)?.parse().ok())
        .collect();
    assert_eq!(values.len(), 5);
    assert_eq!(output.lines(), [format!("5 {} 5", values.iter().sum::<i64>())], "{}", output.stderr);
    assert!(output.stderr.contains("ctp: 10 hits") && output.stderr.contains("0 lost"), "{}", output.stderr);
}

/// A container that comes back and one that starts later: what is traced of them is what their programs printed, and no call
/// is missed unsaid.
#[test]
fn returns_of_containers_that_come_are_what_they_printed() {
    if !has_sessions() {
        return;
    }
    let (image, base) = (image("doubles.c"), unique::name());
    let start = |name: &str, calls: &str| Container::detached_as(&image, &format!("{base}-{name}"), &[calls]);
    let web = start("web-1", "300");
    let before = called(&web, 1).len();
    let script = format!(
        "probe container(\"{base}-web-*\"):/app/bin.fn(\"doubles\").return \
         {{ printf(\"%s %d = %d\\n\", container(), @entry($n), $return) }}"
    );
    let mut ctp = Running::attached_with(&["run", "--returns", "session", "-e", &script]);
    docker(&["restart", "--time", "0", web.name()]);
    let said = ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    assert!(said.contains("no call was missed"), "{said}");
    let again = called(&web, 2).split_off(before);
    let (newcomer, other) = (start("web-2", "77"), start("other", "500"));
    let said = ctp.wait_for_stderr(&format!("ctp: {} started", newcomer.name()));
    let (new, others) = (called(&newcomer, 1), called(&other, 1));
    let output = ctp.interrupt();

    assert_eq!((again.len(), new.len(), others.len()), (300, 77, 500));
    let of = |container: &Container| -> Vec<String> {
        let name = format!("{} ", container.name());
        output.lines().iter().filter_map(|line| line.strip_prefix(&name)).map(str::to_owned).collect()
    };
    assert_eq!(of(&web), again, "{}", output.stderr);
    // What came before the container was known is counted; what is traced are the last calls.
    let missed = match said.split("; ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok()) {
        Some(missed) => missed,
        None => {
            assert!(said.contains("no call was missed"), "{said}");
            0
        }
    };
    assert_eq!(of(&newcomer), new[missed..], "{said}\n{}", output.stderr);
    assert_eq!(output.lines().len(), again.len() + new.len() - missed, "{}", output.stderr);
}

/// Attached to processes one by one, a neighbour of the same file is not.
#[test]
fn returns_of_processes_one_by_one_are_what_they_printed() {
    if !has_sessions() {
        return;
    }
    let image = image("leaves.c");
    let (mut web, mut neighbour) = (Container::driven(&image), Container::driven(&image));
    let script = format!(
        "probe container(\"{}\"):/app/bin.fn(\"calls\").return {{ printf(\"calls %d = %d\\n\", @entry($n), $return) }}",
        web.name()
    );
    let ctp = Running::attached_with(&["run", "--returns", "session", "--attach", "process", "-e", &script]);
    web.call(3);
    neighbour.call(2);
    let output = ctp.interrupt();
    let mut printed: Vec<String> = web.printed().into_iter().filter(|line| line.starts_with("calls ")).collect();
    let mut traced: Vec<String> = output.lines().into_iter().map(str::to_owned).collect();
    printed.sort();
    traced.sort();
    assert_eq!(printed.len(), 3 * 201);
    assert!(traced == printed, "{}", output.stderr);
}

/// The kernel keeps 64 open calls of a thread and drops others without a word: no return is asked of those, and that is
/// said. All calls give what they give without a tracer.
#[test]
fn calls_beyond_those_that_the_kernel_keeps_open_are_counted_as_not_seen() {
    let image = image("deep.c");
    let mut web = Container::driven(&image);
    for returns in ["auto", "instructions"] {
        let script = format!(
            "probe container(\"{}\"):/app/bin.fn(\"reads\").return \
             {{ printf(\"reads %d = %d\\n\", @entry($n), $return) }}",
            web.name()
        );
        let before = web.printed().len();
        let ctp = Running::attached_with(&["run", "--returns", returns, "-e", &script]);
        web.call(2);
        let output = ctp.interrupt();
        let mut printed = web.printed().split_off(before);
        printed.retain(|line| line.starts_with("reads "));
        assert_eq!(printed.len(), 2 * 70);
        let value = |line: &String| line.split_once(" = ").unwrap().1.parse::<i64>().unwrap();
        assert!(printed.iter().all(|line| value(line) >= 1000), "{printed:?}");
        // The innermost returns first.
        let sessions = returns == "auto" && has_sessions();
        let seen = |line: &&String| {
            let number = line.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
            number <= if sessions { 64 } else { 70 }
        };
        let expected: Vec<&String> = printed.iter().filter(seen).collect();
        assert_eq!(output.lines(), expected, "{returns}: {}", output.stderr);
        assert_eq!(output.stderr.contains("12 of which one end was not seen"), sessions, "{}", output.stderr);
    }
}

/// The first instruction of a call causes a signal, and begins anew behind the handler: the kernel sees two entries, and the
/// one return is reported once.
#[test]
fn a_call_whose_first_instruction_begins_anew_returns_once() {
    let image = image("deep.c");
    let mut web = Container::driven(&image);
    let point = format!("container(\"{}\"):/app/bin.fn(\"begins_anew\").return", web.name());
    for returns in ["auto", "instructions"] {
        let script = format!(
            "global calls, timed\n\
             probe {point} {{ printf(\"anew %d = %d\\n\", @entry($n), $return) }}\n\
             probe {point} {{ calls++; timed <<< elapsed() }}\n\
             probe end {{ printf(\"%d %d\\n\", calls, @count(timed)) }}"
        );
        let before = web.printed().len();
        let ctp = Running::attached_with(&["run", "--returns", returns, "-e", &script]);
        web.call(3);
        let output = ctp.interrupt();
        let mut expected = web.printed().split_off(before);
        expected.retain(|line| line.starts_with("anew "));
        assert_eq!(expected.len(), 3);
        expected.push("3 3".to_owned());
        assert_eq!(output.lines(), expected, "{returns}: {}", output.stderr);
        assert!(!output.stderr.contains("not seen"), "{}", output.stderr);
    }
}

/// A debugger that stops the thread at system calls would see that of a return: none is asked for, the thread's other
/// threads go on as ever, and the program prints what it prints.
#[test]
fn in_a_thread_whose_system_calls_a_debugger_sees_calls_are_counted_as_not_seen() {
    let image = image("leaves.c");
    let mut web = Container::driven(&image);
    let script = format!(
        "probe container(\"{}\"):/app/bin.fn(\"calls\").return {{ printf(\"calls %d = %d\\n\", @entry($n), $return) }}",
        web.name()
    );
    let pid = Pid::from_raw(i32::try_from(web.pid()).unwrap());
    let (attached, is_attached) = channel();
    // A debugger is one thread: it lets go of the process when that ends, with the container.
    let debugger = std::thread::spawn(move || {
        ptrace::attach(pid).unwrap();
        let mut calls = 0u32;
        loop {
            match waitpid(pid, None) {
                Ok(WaitStatus::Stopped(_, signal)) => {
                    if calls == 0 {
                        attached.send(()).unwrap();
                    }
                    calls += 1;
                    let own = matches!(signal, Signal::SIGTRAP | Signal::SIGSTOP);
                    let _ = ptrace::syscall(pid, (!own).then_some(signal));
                }
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => return calls,
                Ok(_) => {}
            }
        }
    });
    is_attached.recv().unwrap();
    for returns in ["auto", "instructions"] {
        let before = web.printed().len();
        let ctp = Running::attached_with(&["run", "--returns", returns, "-e", &script]);
        web.call(2);
        let output = ctp.interrupt();
        let mut printed = web.printed().split_off(before);
        printed.retain(|line| line.starts_with("calls "));
        assert_eq!(printed.len(), 2 * 201);
        let sessions = returns == "auto" && has_sessions();
        // The first thread calls once a turn, with the number of the turn; the others are nobody's.
        let firsts = if returns == "auto" { [0, 1] } else { [2, 3] };
        let firsts = firsts.map(|turn| format!("calls {turn} = "));
        if sessions {
            printed.retain(|line| !firsts.iter().any(|first| line.starts_with(first)));
            assert_eq!(printed.len(), 2 * 200);
        }
        let mut traced: Vec<String> = output.lines().into_iter().map(str::to_owned).collect();
        printed.sort();
        traced.sort();
        assert!(traced == printed, "{returns}: {traced:?}\n{}", output.stderr);
        assert_eq!(output.stderr.contains("2 of which one end was not seen"), sessions, "{}", output.stderr);
    }
    drop(web);
    assert!(debugger.join().unwrap() > 10, "the debugger saw no system calls");
}
