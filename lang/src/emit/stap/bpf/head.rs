//! Owns the head comment of scripts for SystemTap's bpf runtime: what they are, and the commands that compile and run them.

use super::Script;
use crate::emit::stap::head::{comment_line, names, opened};
use crate::emit::stap::quote::shell;
use crate::ir::Program;
use crate::source::Sources;

/// The head comment.
pub(super) fn head(program: &Program, sources: &Sources, script: &Script) -> String {
    let mut lines =
        vec![format!("Made by ctp build from {}, for SystemTap's bpf runtime.", names(sources)), String::new()];
    for container in &program.containers {
        let image = container.image.as_ref().map(|image| format!(", image {image}")).unwrap_or_default();
        lines.push(format!("container {} ({}{image})", container.display_name(), container.id));
        if let Some(cgroup) = &container.cgroup {
            lines.push(format!(
                "    its cgroup {} is {} levels below the root: the script is for it alone",
                cgroup.id, cgroup.level
            ));
        }
    }
    for slot in &script.files {
        if let Some(file) = program.file(slot.file) {
            let id = file.build_id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            lines.push(format!("{} stands for {} in it, build id {id}", slot.path, file.path));
        }
    }
    lines.extend(
        [
            "",
            "Compile and run, in one bash, as root, with systemtap, headers of some kernel and debugfs mounted; this text is",
            "SCRIPT.stp:",
            "",
            "    SR=$(mktemp -d); mkdir -p $SR/run/ctp /run/ctp",
        ]
        .map(str::to_owned),
    );
    for (slot, descriptor) in script.files.iter().zip(10u32..) {
        let from = opened(program, slot);
        lines.push(format!("    exec {descriptor}<{}", shell(&from)));
        lines.push(format!("    cp /proc/$$/fd/{descriptor} $SR{0}; ln -sfn /proc/$$/fd/{descriptor} {0}", slot.path));
    }
    // Guru mode is what its assembler asks for.
    lines.push(
        "    stap --bpf -g -w -r /lib/modules/$(uname -r)/build --sysroot=$SR -p4 -m ctp_script SCRIPT.stp".to_owned(),
    );
    lines.push("    stapbpf ctp_script.bo".to_owned());
    for (slot, descriptor) in script.files.iter().zip(10u32..) {
        lines.push(format!("    rm {}; exec {descriptor}<&-", slot.path));
    }
    lines.extend(
        [
            "",
            "Ctrl-C ends it, and it prints what was counted. `begin` and `end` run by `ctp run --engine stap-bpf` only.",
            "",
        ]
        .map(str::to_owned),
    );
    lines.iter().map(|line| comment_line(line)).collect()
}
