//! The real stap, as the head comment of a script has it: a private root with the probed file in its slot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A private root; gone when dropped.
pub(crate) struct Root(PathBuf);

impl Root {
    /// A root whose `/run/ctp/t0`, `t1`, … are copies of these files.
    pub(crate) fn with(files: &[&Path]) -> Root {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("root-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("run/ctp")).expect("the root can be made");
        std::fs::create_dir_all(folder.join("boot")).expect("the root can be made");
        // What stap wants to know before it compiles return probes; no kernel is named by the address.
        let release = std::fs::read_to_string(build_tree().join("include/config/kernel.release"));
        let release = release.expect("a build tree names its release");
        let symbols = "ffffffff81000000 T arch_uretprobe_hijack_return_addr\n";
        std::fs::write(folder.join(format!("boot/System.map-{}", release.trim())), symbols)
            .expect("a file can be written");
        for (index, file) in files.iter().enumerate() {
            std::fs::copy(file, folder.join(format!("run/ctp/t{index}"))).expect("the file can be copied");
        }
        Root(folder)
    }

    /// Runs stap up to a pass; its output, both streams.
    pub(crate) fn stap(&self, script: &str, arguments: &[&str]) -> Answer {
        let file = self.0.join("script.stp");
        std::fs::write(&file, script).expect("the script can be written");
        let output = Command::new("stap")
            .arg("-r")
            .arg(build_tree())
            .arg(format!("--sysroot={}", self.0.display()))
            .args(arguments)
            .arg(&file)
            .envs(arguments.contains(&"-p1").then_some(("SYSTEMTAP_TAPSET", "/nonexistent")))
            .env_remove("DEBUGINFOD_URLS")
            .output()
            .expect("stap is installed");
        Answer {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What is left over lies in the target folder and harms nothing.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What stap said.
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// The link-time addresses that a slot is probed at, in order: behind `pc=.dynamic+`, or behind `pc=.absolute+`
    /// less the 0x400000 where x86-64 programs begin that are no PIE.
    pub(crate) fn addresses(&self, slot: &str) -> Vec<u64> {
        let process = format!("process(\"{slot}\")");
        let mut found: Vec<u64> = self
            .out
            .lines()
            // A return is printed as the beginning of its function.
            .filter(|line| line.starts_with(&process) && !line.contains(").return "))
            .filter_map(|line| {
                let (base, digits) = line.split_once("/* pc=")?.1.split_whitespace().next()?.split_once("+0x")?;
                let base = if base == ".absolute" { 0x40_0000 } else { 0 };
                Some(base + u64::from_str_radix(digits, 16).ok()?)
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// What stap's `-p2 -v` says a variable of the program is, by the function that it makes for it.
    pub(crate) fn getter(&self, variable: &str) -> Option<&str> {
        let name = format!("__dwarf_tvar_get_{variable}_");
        let (_, rest) = self.out.split_once(&name)?;
        rest.split_once("{ return ")?.1.split_once(" }").map(|(value, _)| value)
    }

    /// Fails unless stap accepted the script.
    pub(crate) fn accepted(self, script: &str) -> Answer {
        assert!(self.ok, "stap refused:\n{}\n{}\n{script}", self.err, self.out);
        self
    }
}

/// The build tree of an installed kernel: stap needs some kernel's headers, not those of the one that runs.
fn build_tree() -> PathBuf {
    let trees = std::fs::read_dir("/lib/modules").expect("kernel headers are installed");
    let mut trees: Vec<PathBuf> = trees
        .filter_map(|entry| Some(entry.ok()?.path().join("build")))
        .filter(|tree| tree.join(".config").exists())
        .collect();
    trees.sort();
    trees.pop().expect("linux-headers are installed")
}
