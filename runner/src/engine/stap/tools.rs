//! Owns finding SystemTap and what it needs of the machine: its programs, their version, the kernel's build tree, what
//! the kernel says of itself. Changes nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where things of the machine are.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `/proc`, of which `modules`, `kallsyms` and `version` are read.
    pub proc: PathBuf,
    /// The folder for what belongs to runs: `/run/ctp`.
    pub run: PathBuf,
    /// The build tree that the user named.
    pub build_tree: Option<PathBuf>,
    /// The folder for compiled modules.
    pub cache: Option<PathBuf>,
}

impl Machine {
    /// This machine. `CTP_TEST_PROC` and `CTP_TEST_RUN` are for tests: folders in the place of `/proc` and `/run/ctp`.
    pub fn from_env(build_tree: Option<PathBuf>, cache: Option<PathBuf>) -> Machine {
        let folder = |name: &str, otherwise: &str| {
            std::env::var_os(name).map_or_else(|| PathBuf::from(otherwise), PathBuf::from)
        };
        Machine {
            proc: folder("CTP_TEST_PROC", "/proc"),
            run: folder("CTP_TEST_RUN", ctp_lang::emit::stap::SLOT_FOLDER),
            build_tree,
            cache: cache.map(|cache| cache.join("stap")),
        }
    }

    /// The build tree of a kernel, where it is there.
    pub fn tree(&self, release: &str) -> Result<PathBuf, PathBuf> {
        let tree = self.build_tree.clone().unwrap_or_else(|| PathBuf::from(format!("/lib/modules/{release}/build")));
        if is_tree(&tree) { Ok(tree) } else { Err(tree) }
    }

    /// Whether the kernel's symbol table has a name; `None` where it cannot be read.
    pub fn has_symbol(&self, name: &str) -> Option<bool> {
        let symbols = std::fs::read(self.proc.join("kallsyms")).ok()?;
        let mut lines = symbols.split(|byte| *byte == b'\n').peekable();
        lines.peek()?;
        let wanted = name.as_bytes();
        Some(lines.any(|line| line.split(u8::is_ascii_whitespace).nth(2) == Some(wanted)))
    }

    /// The names of the modules that are loaded; `None` where the kernel has none.
    pub fn modules(&self) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.proc.join("modules")).ok()?;
        Some(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }
}

/// Whether modules can be built in a folder, as far as one look tells.
fn is_tree(tree: &Path) -> bool {
    tree.join("Makefile").exists() || tree.join("include/config/kernel.release").exists()
}

/// The file of a program in `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The release of the kernel that runs.
pub fn release() -> String {
    nix::sys::utsname::uname().map_or_else(|_| String::new(), |name| name.release().to_string_lossy().into_owned())
}

/// A version of SystemTap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What `stap --version` says: the whole version as written, and its numbers where it has some.
pub fn version(stap: &Path) -> Option<(String, Option<Version>)> {
    let said = Command::new(stap).arg("--version").stdin(Stdio::null()).output().ok()?;
    // "Systemtap translator/driver (version 4.8/0.188, …)", on standard error.
    let text = String::from_utf8_lossy(&[said.stderr, said.stdout].concat()).into_owned();
    let written = text.split("(version ").nth(1)?.split([',', ')']).next()?.to_owned();
    let numbers = parse(&written);
    Some((written, numbers))
}

fn parse(written: &str) -> Option<Version> {
    let mut numbers = written.split(|c: char| !c.is_ascii_digit());
    let (major, minor) = (numbers.next()?, numbers.next()?);
    Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(parse("4.8/0.188"), Some(Version { major: 4, minor: 8 }));
        assert_eq!(parse("5.6/0.192"), Some(Version { major: 5, minor: 6 }));
        assert_eq!(parse("rubbish"), None);
        assert!(Version { major: 5, minor: 0 } > Version { major: 4, minor: 10 });
    }
}
