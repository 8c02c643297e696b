//! Owns what SystemTap needs: itself, and a tree to build modules against. ctp itself does without.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Finding, State};

pub(super) fn examine() -> Vec<Finding> {
    vec![stap(), tree()]
}

/// The file of a program in `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn stap() -> Finding {
    let (id, title, install) = ("stap.program", "SystemTap", "apt-get install systemtap");
    let Some(stap) = program("stap") else {
        return Finding::new(id, title, State::Optional, "no stap in PATH; only `ctp build` scripts need it")
            .remedy(install);
    };
    let said = Command::new(&stap).arg("--version").stdin(Stdio::null()).output();
    // "Systemtap translator/driver (version 4.8/0.188, …)", on standard error.
    let version = said.ok().and_then(|said| {
        let text = String::from_utf8_lossy(&[said.stderr, said.stdout].concat()).into_owned();
        text.split("(version ").nth(1).and_then(|rest| rest.split([',', ')']).next()).map(str::to_owned)
    });
    let version = version.unwrap_or_else(|| "of unknown version".to_owned());
    if program("staprun").is_none() {
        return Finding::new(id, title, State::Optional, format!("stap {version}, but no staprun to load modules"))
            .remedy("apt-get install systemtap-runtime");
    }
    Finding::found(id, title, format!("stap {version} in {}", stap.display()))
}

fn tree() -> Finding {
    let (id, title) = ("stap.build-tree", "SystemTap's build tree");
    let release =
        nix::sys::utsname::uname().map_or_else(|_| String::new(), |name| name.release().to_string_lossy().into_owned());
    let tree = format!("/lib/modules/{release}/build");
    if Path::new(&tree).join("Makefile").exists() {
        return Finding::found(id, title, tree);
    }
    Finding::new(id, title, State::Optional, format!("no {tree}: stap cannot compile for this kernel"))
        .remedy(format!("apt-get install linux-headers-{release}"))
}
