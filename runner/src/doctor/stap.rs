//! Owns what SystemTap needs: itself, a tree to build modules against, a kernel that takes them. ctp itself does without.

use super::{Finding, State};
use crate::engine::stap::{self, tools};

pub(super) fn examine() -> Vec<Finding> {
    let machine = tools::Machine::from_env(None, None);
    vec![stap(), tree(&machine), pair(&machine)]
}

fn stap() -> Finding {
    let (id, title, install) = ("stap.program", "SystemTap", "apt-get install systemtap");
    let Some(stap) = tools::program("stap") else {
        let detail = "no stap in PATH; only --engine stap and the scripts of ctp build need it";
        return Finding::new(id, title, State::Optional, detail).remedy(install);
    };
    let version = tools::version(&stap).map_or_else(|| "of unknown version".to_owned(), |(written, _)| written);
    if tools::program("staprun").is_none() {
        return Finding::new(id, title, State::Optional, format!("stap {version}, but no staprun to load modules"))
            .remedy("apt-get install systemtap-runtime");
    }
    Finding::found(id, title, format!("stap {version} in {}", stap.display()))
}

fn tree(machine: &tools::Machine) -> Finding {
    let (id, title) = ("stap.build-tree", "SystemTap's build tree");
    let release = tools::release();
    match machine.tree(&release) {
        Ok(tree) => Finding::found(id, title, tree.display().to_string()),
        Err(tree) => {
            let detail = format!("no {}: stap cannot compile for this kernel", tree.display());
            Finding::new(id, title, State::Optional, detail).remedy(format!("apt-get install linux-headers-{release}"))
        }
    }
}

/// Whether this SystemTap is right on this kernel.
fn pair(machine: &tools::Machine) -> Finding {
    let (id, title) = ("stap.engine", "--engine stap");
    match stap::fits(machine) {
        None => Finding::new(id, title, State::Optional, "not known without stap and staprun"),
        Some(Ok(())) => Finding::found(id, title, "this stap fits this kernel"),
        Some(Err((reason, help))) => Finding::new(id, title, State::Optional, reason).remedy(help),
    }
}
