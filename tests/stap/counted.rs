//! `--engine stap-bpf` with the real stap and stapbpf, on live containers: what is counted is what the program says that it
//! did, to the last call of every thread; a neighbour of the same image counts for nothing.

use std::path::Path;
use std::process::Command;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{self, Running};
use ctp_tests::docker::{Container, Image};
use ctp_tests::process::{Output, attempt, run};
use ctp_tests::unique::Scratch;

/// What the program prints of its calls, by the language's own rules.
const COUNTED: &str = "global calls, a, b, c, some, others, mixed, wide, least, turned\n";
const HANDLER: &str = r#"
    calls++
    a += $a
    b += $b
    c += $c
    if (($a > 2 && $b != 7) || $c < -2000000) { some++ } else { others += $b }
    three = $a * 3
    mixed += (three - $b) ^ ($c >> 2)
    wide += (($a << 5) & 0x7fffffffff) | ($c < 5000000000)
    least += -$a - ~$b + !$b + @var("level")
    turned += ($c >> 7) - 4000000000
"#;

/// Makes setrlimit succeed, which stapbpf insists on and a container may not do, where it takes nothing.
const SHIM: &str = r"
    int setrlimit(int what, const void *limits) { (void)what; (void)limits; return 0; }
    int setrlimit64(int what, const void *limits) { (void)what; (void)limits; return 0; }
";

/// ctp, in a mount namespace of its own that has debugfs.
struct Here {
    folder: Scratch,
}

impl Here {
    fn new() -> Here {
        let folder = Scratch::new();
        let source = folder.path().join("shim.c");
        std::fs::write(&source, SHIM).unwrap();
        run(Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(folder.path().join("shim.so")).arg(&source));
        Here { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", "mount -t debugfs debugfs /sys/kernel/debug && exec \"$@\"", "sh"])
            .arg(ctp::binary())
            .args(["run", "--engine", "stap-bpf"])
            .args(arguments)
            .env("NO_COLOR", "1")
            .env("LD_PRELOAD", self.folder.path().join("shim.so"))
            .env("XDG_CACHE_HOME", self.folder.path())
            .env("CTP_TEST_RUN", self.folder.path().join("run"));
        command
    }

    fn attached(&self, arguments: &[&str]) -> Running {
        let mut running = Running::of(&mut self.command(arguments));
        running.until_attached().unwrap_or_else(|said| panic!("{said}"));
        running
    }

    fn run(&self, arguments: &[&str]) -> Output {
        attempt(&mut self.command(arguments))
    }

    /// The kernel's list of probes, those of runs in this folder.
    fn listed(&self) -> Vec<String> {
        let mut cat = Command::new("unshare");
        let list = "mount -t debugfs debugfs /sys/kernel/debug && cat /sys/kernel/debug/tracing/uprobe_events";
        let all = run(cat.args(["-m", "sh", "-c", list])).stdout;
        let folder = self.folder.path().display().to_string();
        all.lines().filter(|line| line.contains(&folder)).map(str::to_owned).collect()
    }
}

fn sums(flags: &[&str]) -> (Image, Container) {
    let flags = [&["-g", "-pthread"], flags].concat();
    let image = Image::new(&Binary::compile("sums.c", Compiler::Gcc, &flags), "/app/sums");
    let container = Container::driven(&image);
    (image, container)
}

fn program(container: &Container) -> String {
    format!("{COUNTED}probe container(\"{}\"):/app/sums.fn(\"mix\") {{{HANDLER}}}\n", container.name())
}

/// The last that a program said of what it counted.
fn counted(container: &Container) -> Vec<String> {
    let printed = container.printed();
    let last = printed.iter().rposition(|line| line.starts_with("calls = ")).unwrap();
    printed[last..].iter().filter(|line| line.contains(" = ")).cloned().collect()
}

#[test]
fn every_call_of_every_thread_is_counted() {
    let here = Here::new();
    for flags in [&["-O2"][..], &["-O0"]] {
        let (image, mut web) = sums(flags);
        let mut neighbour = Container::driven(&image);
        let text = program(&web);
        let running = here.attached(&["-e", &text]);
        std::thread::scope(|scope| {
            scope.spawn(|| neighbour.call(10_000));
            web.call(10_000);
        });
        let output = running.interrupt();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_eq!(output.lines(), counted(&web), "{flags:?} {}", output.stderr);
        assert!(output.stderr.contains("ctp: 40000 hits, 0 records, 0 lost, 0 faults"), "{}", output.stderr);
        assert!(here.listed().is_empty(), "its probes are gone from the kernel's list");
    }
}

#[test]
fn what_cannot_be_read_ends_the_run_and_is_counted() {
    let here = Here::new();
    let (_image, mut web) = sums(&["-O2"]);
    // In a cgroup of its own below the container's.
    let cgroup = run(Command::new("cat").arg(format!("/proc/{}/cgroup", web.pid()))).stdout;
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned();
    let unified = Path::new("/sys/fs/cgroup/unified");
    let hierarchy = if unified.exists() { unified } else { Path::new("/sys/fs/cgroup") };
    let below = hierarchy.join(path.trim_start_matches('/')).join("below");
    std::fs::create_dir(&below).unwrap();
    std::fs::write(below.join("cgroup.procs"), web.pid().to_string()).unwrap();

    let probe = format!("probe container(\"{}\"):/app/sums.fn(\"mix\")", web.name());
    let text = format!(
        "global pointed, before, few\n\
         probe begin {{ before = 7\n println(\"begun\") }}\n\
         {probe} {{\n before++\n pointed <<< *$p\n }}\n\
         {probe} if ($a > 1000000) {{ few++ }}\n\
         probe end {{ printf(\"pointed: %d %d, %d\\n\", @count(pointed), @sum(pointed), before - 7) }}\n"
    );
    let running = here.attached(&["-e", &text]);
    web.call(10_000);
    let output = running.interrupt();
    let said = web.printed().into_iter().find(|line| line.starts_with("pointed: ")).unwrap();
    assert_eq!(output.lines(), ["begun", &said.replace("4000 nulls", "40000"), "few = 0"], "{}", output.stderr);
    assert!(output.stderr.contains("80000 hits, 0 records, 0 lost, 4000 faults"), "{}", output.stderr);
    // docker removes what it has made itself.
    std::fs::write(below.parent().unwrap().join("cgroup.procs"), web.pid().to_string()).unwrap();
    std::fs::remove_dir(below).unwrap();
}

/// Each with words of what is said of it.
const REFUSED: [(&str, &str, &str); 18] = [
    ("", "println($a)", "output in a handler"),
    ("", "if ($a) { exit() }", "`exit()`"),
    ("global m", "m[$a]++", "maps in a handler"),
    ("global m", "m[$a] <<< $b", "maps in a handler"),
    ("global x", "x = $a", "setting `x`"),
    ("global x", "x += x", "reading a global"),
    ("global x", "x += $a / 3", "division"),
    ("global x", "x += $a % 3", "division"),
    ("global x", "x += $a ? 1 : 2", "`?:`"),
    ("global x", "x += strlen(user_string($p))", "library"),
    ("global x", "if (comm() == \"app\") { x++ }", "strings"),
    ("global x", "x += ns_pid()", "this question about the task"),
    ("global x", "for (i = 0; i < 3; i++) { x++ }", "loops"),
    ("global x", "x <<< $a", "the least and the greatest of `x`"),
    ("global x\nprobe end { println(@min(x)) }", "x <<< $a", "`@min`"),
    ("global x\nprobe end { println(@hist_log(x)) }", "x <<< $a", "histograms"),
    ("global x\nprobe every(1s) { println(x) }", "x++", "`every`"),
    ("global x\nfn two(n: int) -> int { return n * 2 }", "x += two($a)", "calls of functions"),
];

#[test]
fn all_else_is_refused_by_construct() {
    let (_image, web) = sums(&["-O2"]);
    let point = format!("container(\"{}\"):/app/sums.fn(\"mix\")", web.name());
    let build = |text: &str| ctp::ctp(&["build", "--emit", "stap-bpf", "-e", text]);
    for (items, handler, what) in REFUSED {
        let output = build(&format!("{items}\nprobe {point} {{ {handler} }}\n"));
        assert_eq!(output.code, Some(1), "{handler}\n{}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains("error[E0302]") && output.stderr.contains(what), "{handler}\n{}", output.stderr);
        assert!(output.stderr.contains("ctp run --engine bpf"), "{}", output.stderr);
    }
    let output = build(&format!("global x\nprobe {point}.return {{ x += $return }}\nprobe end {{ println(x) }}\n"));
    assert!(output.stderr.contains("E0302") && output.stderr.contains("returns"), "{}", output.stderr);
    let output = build("global x\nprobe host:/bin/true.fn(\"main\") { x++ }\n");
    assert!(output.code != Some(0), "{}", output.stdout);
    let output = build(&program(&web));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("stap --bpf -g -w"), "{}", output.stdout);
}

#[test]
fn a_file_whose_code_lies_elsewhere_is_refused() {
    let here = Here::new();
    let (_image, web) = sums(&["-O2", "-fuse-ld=lld"]);
    let output = here.run(&["-e", &program(&web)]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("E0302") && output.stderr.contains("its place in the file"), "{}", output.stderr);
}

#[test]
fn nothing_stays_whoever_is_killed() {
    let here = Here::new();
    let (_image, mut web) = sums(&["-O2"]);
    let text = program(&web);
    let stapbpf = |running: &Running| {
        let children = format!("/proc/{0}/task/{0}/children", running.pid());
        std::fs::read_to_string(children).unwrap().trim().to_owned()
    };
    let kill = |pid: &str| run(Command::new("kill").args(["-9", pid]));

    // stapbpf: what it counted is lost, and that is said.
    let running = here.attached(&["-e", &text]);
    assert_eq!(here.listed().len(), 1);
    web.call(1);
    kill(&stapbpf(&running));
    let output = running.finish();
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{}", output.stderr);
    assert!(output.stderr.contains("E0407") && output.stderr.contains("what was counted is lost"), "{}", output.stderr);
    assert!(here.listed().is_empty(), "ctp takes out what it left");

    // ctp: the kernel tells stapbpf.
    let running = here.attached(&["-e", &text]);
    let child = stapbpf(&running);
    kill(&running.pid().to_string());
    running.finish();
    for _ in 0..500 {
        if !Path::new(&format!("/proc/{child}")).exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(here.listed().is_empty(), "stapbpf ends in order");

    // Both: the next run takes it out.
    let running = here.attached(&["-e", &text]);
    let child = stapbpf(&running);
    run(Command::new("kill").args(["-STOP", &child]));
    kill(&running.pid().to_string());
    running.finish();
    kill(&child);
    for _ in 0..500 {
        if !Path::new(&format!("/proc/{child}")).exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(here.listed().len(), 1, "nobody was there to take it out");
    let output = here.attached(&["-e", &text]).interrupt();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(here.listed().is_empty());
}
