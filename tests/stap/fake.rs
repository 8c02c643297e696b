//! A machine on which SystemTap could run: programs in its place that note what they are asked for, files in the place of
//! `/proc/modules` and `/proc/kallsyms`, a program to trace in a cgroup of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use ctp_tests::ctp::{Running, command};
use ctp_tests::process::{Output, attempt, run};
use ctp_tests::unique::{Scratch, name};

/// The machine; gone when dropped.
pub(crate) struct Machine {
    folder: Scratch,
    cgroup: PathBuf,
    target: Child,
    /// Bytes of what they were asked for that were told already.
    told: AtomicUsize,
}

impl Machine {
    /// stap 5.6, all that it needs, and a program that sleeps in a cgroup.
    pub(crate) fn new() -> Machine {
        let folder = Scratch::new();
        let at = |name: &str| folder.path().join(name);
        for name in ["bin", "proc", "run", "cache", "fake", "tree"] {
            fs::create_dir(at(name)).unwrap();
        }
        for (name, text) in [("stap", include_str!("fake_stap")), ("staprun", include_str!("fake_staprun"))] {
            let file = at("bin").join(name);
            fs::write(&file, format!("#!/bin/bash\n{text}")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(at("tree/Makefile"), "").unwrap();
        fs::write(at("proc/modules"), "ext4 1 0 - Live 0x0\n").unwrap();
        let symbols = "0000000000000000 T uprobe_register\n0000000000000000 T arch_uretprobe_hijack_return_addr\n";
        fs::write(at("proc/kallsyms"), symbols).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/test_app.c");
        run(Command::new("gcc").args(["-g", "-O0", "-o"]).arg(at("app")).arg(source));
        let unified = Path::new("/sys/fs/cgroup/unified");
        let hierarchy = if unified.exists() { unified } else { Path::new("/sys/fs/cgroup") };
        let cgroup = hierarchy.join(name());
        let target = target(&cgroup);
        let machine = Machine { folder, cgroup, target, told: AtomicUsize::new(0) };
        machine.says("version", "5.6/0.192");
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets what the programs in SystemTap's place do: see their heads.
    pub(crate) fn says(&self, what: &str, text: &str) {
        fs::write(self.path("fake").join(what), text).unwrap();
    }

    /// A program for the traced function: the lines of its handler, and items before it.
    pub(crate) fn program(&self, items: &str, handler: &str) -> String {
        let (cgroup, app) = (self.cgroup.file_name().unwrap().to_str().unwrap(), self.path("app"));
        format!("{items}\nprobe cgroup(\"/{cgroup}\"):\"{}\".fn(\"my_function\") {{ {handler} }}\n", app.display())
    }

    /// `ctp run --engine stap` on this machine.
    pub(crate) fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let tree = self.path("tree").display().to_string();
        let mut all = vec!["run", "--engine", "stap", "--build-tree", &tree, "-e", script];
        all.extend(arguments);
        let mut command = command(&all);
        let path = std::env::var("PATH").unwrap();
        command
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("FAKE", self.path("fake"))
            .env("CTP_TEST_PROC", self.path("proc"))
            .env("CTP_TEST_RUN", self.path("run"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Output {
        attempt(&mut self.command(script, arguments))
    }

    pub(crate) fn attached(&self, script: &str, arguments: &[&str]) -> Running {
        let mut running = Running::of(&mut self.command(script, arguments));
        running.wait_for_stderr("ctp: attached");
        running
    }

    /// What the programs in SystemTap's place were asked for since this was last called.
    pub(crate) fn asked(&self) -> Vec<String> {
        // The file stays: a line that came between reading and removing it would be lost.
        let text = fs::read_to_string(self.path("fake/asked")).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let told = self.told.swap(whole, Ordering::Relaxed);
        text[told..whole].lines().map(str::to_owned).collect()
    }

    /// What is in a file that the programs in SystemTap's place wrote.
    pub(crate) fn noted(&self, what: &str) -> String {
        fs::read_to_string(self.path("fake").join(what)).unwrap_or_default()
    }

    /// The modules of ctp that are loaded.
    pub(crate) fn modules(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("proc/modules")).unwrap();
        text.lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| *name != "ext4")
            .map(str::to_owned)
            .collect()
    }

    /// Makes a module one that is loaded.
    pub(crate) fn has_module(&self, name: &str) {
        let file = self.path("proc/modules");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{text}{name} 1 0 - Live 0x0\n")).unwrap();
    }

    /// The id of the traced program's cgroup.
    pub(crate) fn cgroup_id(&self) -> u64 {
        fs::metadata(&self.cgroup).unwrap().ino()
    }

    /// Ends the traced program, and removes its cgroup.
    pub(crate) fn end_target(&mut self) {
        self.target.kill().unwrap();
        self.target.wait().unwrap();
        self.remove_cgroup();
    }

    /// Starts it again, in a new cgroup at the same place.
    pub(crate) fn start_target(&mut self) {
        self.target = target(&self.cgroup);
    }

    /// Puts a copy of the traced file into its place.
    pub(crate) fn replace_file(&self) {
        fs::copy(self.path("app"), self.path("copy")).unwrap();
        fs::rename(self.path("copy"), self.path("app")).unwrap();
    }

    /// What ctp wrote for a procfs probe of a module.
    pub(crate) fn written(&self, module: &str, parameter: &str) -> String {
        fs::read_to_string(self.path("proc/systemtap").join(module).join(parameter)).unwrap()
    }

    fn remove_cgroup(&self) {
        for _ in 0..200 {
            if !self.cgroup.exists() || fs::remove_dir(&self.cgroup).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A program that sleeps, in a cgroup made for it.
fn target(cgroup: &Path) -> Child {
    fs::create_dir(cgroup).unwrap();
    let target = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    fs::write(cgroup.join("cgroup.procs"), target.id().to_string()).unwrap();
    target
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have been ended by the test.
        let _ = self.target.kill();
        let _ = self.target.wait();
        self.remove_cgroup();
    }
}
