//! Half a minute of everything at once (`CTP_SOAK_SECONDS` for longer): memory stays what it was, and when ctp has ended,
//! however it ended, nothing of it is left.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{PATIENCE, Running};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::process::run;
use ctp_tests::unique;
use nix::sys::signal::Signal;

use crate::end::code;

/// Programs, maps and links that a process holds: kind and id.
fn objects(pid: u32) -> BTreeSet<(&'static str, u32)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let id = |what: &str| text.lines().find_map(|line| line.strip_prefix(what)?.trim().parse().ok());
        // A link names its program too.
        let kinds = [("link", "link_id:"), ("prog", "prog_id:"), ("map", "map_id:")];
        found.extend(kinds.into_iter().find_map(|(kind, what)| Some((kind, id(what)?))));
    }
    found
}

/// Which of them the kernel still knows.
fn left(objects: &BTreeSet<(&'static str, u32)>) -> String {
    // BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID of include/uapi/linux/bpf.h.
    const ASK: &str = "import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
for kind, id in (word.split(':') for word in sys.argv[1:]):
    attr = ctypes.create_string_buffer(struct.pack('<I', int(id)).ljust(64, b'\\0'))
    command = {'prog': 13, 'map': 14, 'link': 30}[kind]
    fd = libc.syscall(321, command, attr, 64)
    if fd >= 0:
        os.close(fd)
        print(kind, id)
";
    let words = objects.iter().map(|(kind, id)| format!("{kind}:{id}"));
    run(Command::new("python3").args(["-c", ASK]).args(words)).stdout
}

/// Kilobytes of a process' memory that are no file's, and what its maps take of the kernel's, in bytes.
fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    // Pages of its file do not count: who else executes that decides whether they are its alone.
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let own = own.trim().trim_end_matches(" kB").parse().unwrap();
    let mut maps = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse::<u64>().ok());
        maps += bytes.filter(|_| text.contains("map_id:")).unwrap_or(0);
    }
    (own, maps)
}

/// The memory and the objects of a process between two changes of generations: while a map is deleted, there are two of it.
fn at_rest(pid: u32) -> ((u64, u64), BTreeSet<(&'static str, u32)>) {
    let looks = (0..40).map(|_| {
        std::thread::sleep(Duration::from_millis(25));
        (memory(pid), objects(pid))
    });
    looks.min_by_key(|((_, maps), held)| (held.len(), *maps)).unwrap()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn memory_stays_and_nothing_is_left() {
    let seconds = std::env::var("CTP_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    // Not position independent: what nm says is where it is.
    let binary = Binary::compile("hot.c", Compiler::Gcc, &["-g", "-O2", "-no-pie"]);
    let image = Image::new(&binary, "/app/hot");
    let base = unique::name();
    let mut web = Container::driven_as(&image, &format!("{base}-1"));
    let other = Container::detached_as(&image, &format!("{base}-2"), &["500"]);
    let places = ["hot", "inner"].map(|function| binary.address_of(function));
    let codes = |pid| places.map(|address| code(pid, address));
    let before = codes(web.pid());
    let who = format!(r#"container("{base}-*"):/app/hot"#);
    let script = format!(
        r#"global calls, by, times, few, stacks
        fn less(n: int) -> int {{
            while (n > 9) n /= 2
            return n
        }}
        probe {who}.fn("hot") {{
            calls++
            by[tid(), $n & 63]++
            times[container()] <<< $n
            few[sprintf("%d", less($n))] = $n
        }}
        probe {who}.fn("hot") if ($n % 500 == 0) {{
            printf("%d %s %s\n", $n, comm(), container())
            stacks[caller()]++
        }}
        probe {who}.fn("hot") if ($n % 5000 == 0) {{ println(ustack(5)) }}
        probe {who}.fn("inner").return if (@entry($n) % 50 == 0) {{ times["inner"] <<< elapsed() }}
        probe every(500ms) {{
            println(calls)
            print(@hist_log(times))
            print(@avg(times))
            delete by
            delete times
        }}"#
    );

    let ctp = Running::attached(&script);
    let begun = Instant::now();
    let (warm, whole) = (Duration::from_secs(seconds) / 3, Duration::from_secs(seconds));
    let mut warmed = None;
    let mut restart = Duration::from_secs(2);
    while begun.elapsed() < whole {
        web.call(20_000);
        if begun.elapsed() > restart {
            restart += Duration::from_secs(5);
            docker(&["restart", "--time", "0", other.name()]);
        }
        if begun.elapsed() > warm && warmed.is_none() {
            warmed = Some(at_rest(ctp.pid()));
        }
    }
    let ((private, maps), held) = warmed.unwrap();
    let ((now, maps_now), held_now) = at_rest(ctp.pid());
    assert!(now <= private + 1024, "{private} kB of its own, then {now} kB");
    assert_eq!(maps_now, maps, "bytes of maps");
    assert_eq!(held_now.len(), held.len(), "{held:?}, then {held_now:?}");
    let of = |kind: &str| held_now.iter().filter(|(one, _)| *one == kind).count();
    assert!(of("prog") > 0 && of("map") > 5 && of("link") > 0, "{held_now:?}");
    assert_ne!(codes(web.pid()), before, "a probe changes the code");
    let output = ctp.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("restarted, attached again"), "{}", output.stderr);
    let all: BTreeSet<_> = held.union(&held_now).copied().collect();
    wait_until(&format!("left after Ctrl-C: {}", left(&all)), || left(&all).is_empty());
    assert_eq!(codes(web.pid()), before, "after Ctrl-C");

    let ctp = Running::attached(&script);
    web.call(20_000);
    let held = objects(ctp.pid());
    assert_ne!(codes(web.pid()), before, "a probe changes the code");
    ctp.signal(Signal::SIGKILL);
    assert_eq!(ctp.finish().code, None);
    wait_until("the breakpoints stayed after SIGKILL", || codes(web.pid()) == before);
    wait_until(&format!("left after SIGKILL: {}", left(&held)), || left(&held).is_empty());
    web.call(1_000);
    assert!(web.is_running() && other.is_running());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let pinned = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("bpf"));
    for folder in pinned.filter_map(|line| line.split(' ').nth(1)) {
        let names = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("ctp")), "a pin in {folder}");
    }
}
