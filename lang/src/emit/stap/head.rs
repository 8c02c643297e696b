//! Owns the comments of a script: what it is, how it is compiled and run by hand, where it is right, and the lines of
//! the program that each probe comes from.

use super::quote::{comment, shell};
use super::{KnownBy, Script, Slot};
use crate::debuginfo::facts::{AddressRule, SiteKind};
use crate::ir::{Expr, File, Handler, Probe, ProbeKind, Program, Site, Stmt};
use crate::source::{Sources, Span};
use crate::world::Container;

/// The head comment.
pub(super) fn head(program: &Program, sources: &Sources, script: &Script, by_address: bool) -> String {
    let mut lines = vec![format!("Made by ctp build from {}.", names(sources)), String::new()];
    for want in &script.containers {
        if let Some(container) = program.container(want.container) {
            let image = container.image.as_ref().map(|image| format!(", image {image}")).unwrap_or_default();
            lines.push(format!("container {} ({}{image})", container.display_name(), container.id));
        }
    }
    for slot in &script.files {
        if let Some(file) = program.file(slot.file) {
            let id = file.build_id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            lines.push(format!("{} stands for {} in it, build id {id}", slot.path, file.path));
        }
    }
    if script.files.is_empty() {
        let defines = script.defines.join(" ");
        lines.extend(["Run as root, with systemtap and the headers of the kernel:".to_owned()]);
        lines.push(format!("    stap {defines} SCRIPT.stp"));
    } else {
        commands(&mut lines, program, script, by_address);
    }
    let mut out = String::new();
    for line in lines {
        out.push_str(&comment_line(&line));
    }
    out.push('\n');
    out
}

pub(super) fn names(sources: &Sources) -> String {
    let names: Vec<&str> = sources.iter().map(|(_, source)| source.name()).collect();
    if names.is_empty() { "a program".to_owned() } else { names.join(", ") }
}

/// What a person types. The files are held open and named through /proc/PID/fd, so that the module, which looks the
/// path up by itself, finds the very inode in whatever mount namespace the container has.
fn commands(lines: &mut Vec<String>, program: &Program, script: &Script, by_address: bool) {
    let module = module_name(program);
    let defines = script.defines.join(" ");
    lines.extend([
        String::new(),
        "Compile and run, in one bash, as root, with systemtap and the headers of the kernel; this text is SCRIPT.stp:"
            .to_owned(),
        String::new(),
        "    SR=$(mktemp -d); mkdir -p $SR/run/ctp $SR/boot /run/ctp".to_owned(),
    ]);
    if script.returns {
        // stap asks the symbol table whether the kernel has return probes.
        lines.push("    grep arch_uretprobe_hijack_return_addr /proc/kallsyms \\".to_owned());
        lines.push(
            "        >$SR/boot/System.map-$(cat /lib/modules/$(uname -r)/build/include/config/kernel.release)"
                .to_owned(),
        );
    }
    for (slot, descriptor) in script.files.iter().zip(10u32..) {
        let from = opened(program, slot);
        lines.push(format!("    exec {descriptor}<{}", shell(&from)));
        lines.push(format!("    cp /proc/$$/fd/{descriptor} $SR{0}; ln -sfn /proc/$$/fd/{descriptor} {0}", slot.path));
    }
    let stap = format!("stap -r /lib/modules/$(uname -r)/build --sysroot=$SR {defines}");
    lines.push(format!("    {stap} -p4 -m {module} SCRIPT.stp"));
    let wants: Vec<String> = script
        .containers
        .iter()
        .filter_map(|want| {
            let container = program.container(want.container)?;
            let (id, level) = (&want.id_parameter, &want.second_parameter);
            if want.by == KnownBy::Process {
                let pid = container.init_pid;
                return Some(format!(" {id}={pid} {level}=$(sed 's/.*) //' /proc/{pid}/stat | cut -d ' ' -f 20)"));
            }
            let cgroup = container.cgroup.as_ref()?;
            if cgroup.folder.is_empty() {
                return Some(format!(" {id}={} {level}={}", cgroup.id, cgroup.level));
            }
            Some(format!(" {id}=$(stat -c %i {}) {level}={}", shell(&cgroup.folder), cgroup.level))
        })
        .collect();
    lines.push(format!("    staprun {module}.ko{}", wants.concat()));
    for (slot, descriptor) in script.files.iter().zip(10u32..) {
        lines.push(format!("    rm {}; exec {descriptor}<&-", slot.path));
    }
    lines.push(String::new());
    lines.push(
        "Ctrl-C ends it. The same stap line with -p2 in place of -p4 -m NAME prints where it would probe, as"
            .to_owned(),
    );
    lines.push(
        "pc=.dynamic+ADDRESS (of a program that is no PIE: pc=.absolute+, from its lowest address on). Meant are:"
            .to_owned(),
    );
    for (index, slot) in script.files.iter().enumerate() {
        let points: Vec<String> =
            script.points.iter().filter(|p| p.slot == index).map(|p| format!("{:#x}", p.address)).collect();
        for (line, chunk) in points.chunks(10).enumerate() {
            let name = if line == 0 { slot.path.as_str() } else { "" };
            lines.push(format!("    {name:12} {}", chunk.join(" ")));
        }
    }
    if script.returns {
        lines.extend(
            [
                "",
                "Not for Linux 6.11 to 6.12.13 and 6.13 to 6.13.2: return probes end processes there that have a seccomp profile,",
                "as those of containers do.",
            ]
            .map(str::to_owned),
        );
    }
    if by_address {
        lines.extend(
            [
                "",
                "Points by address, in a program that clang compiled without -gdwarf-aranges, are \"no match\" to stap 4.8 with",
                "elfutils 0.188 (Debian 12).",
            ]
            .map(str::to_owned),
        );
    }
    lines.extend(
        [
            "",
            "This form (a link to a descriptor, the guard on the cgroup) was seen to run with stap 5.6 on kernels 6.12 and",
            "7.2, containers on overlayfs, late processes too. stap 4.8 gets as far as -p2: its module finds no file on",
            "overlayfs and says nothing. stap 5.1 does not compile for 6.12: Debian 13 needs systemtap 5.6 from the release",
            "after it.",
        ]
        .map(str::to_owned),
    );
}

/// The path by which a file of a container is opened on the host: of the first container that it is probed in.
pub(super) fn opened(program: &Program, slot: &Slot) -> String {
    let path = program.file(slot.file).map_or("", |file: &File| file.path.as_str());
    let pid = program
        .sites()
        .find(|(_, site)| site.file == slot.file)
        .and_then(|(_, site)| program.container(*site.containers.first()?))
        .map_or(0, |container: &Container| container.init_pid);
    format!("/proc/{pid}/root{path}")
}

/// A module name that differs by build: at most 12 characters of `[a-z0-9_]`.
fn module_name(program: &Program) -> String {
    let id = program.files.first().and_then(|file| file.build_id.as_ref()).map(ToString::to_string);
    format!("ctp_{}", id.as_deref().and_then(|id| id.get(..8)).unwrap_or("script"))
}

/// The lines of a probe, as comments: from its point to the last line that some statement of it stands on, and the
/// braces behind.
pub(super) fn source_lines(sources: &Sources, probe: &Probe) -> String {
    let handlers: Vec<&Handler> = match &probe.kind {
        ProbeKind::Begin(handler) | ProbeKind::End(handler) | ProbeKind::Every { handler, .. } => vec![handler],
        ProbeKind::Sites(variants) => variants.iter().map(|variant| &variant.handler).collect(),
    };
    let mut end = probe.span;
    for handler in handlers {
        handler.condition.iter().for_each(|condition| reach_expr(&mut end, condition));
        reach(&mut end, &handler.body);
    }
    between(sources, probe.span, end)
}

/// The lines of something with a body, as comments.
pub(super) fn lines(sources: &Sources, span: Span, body: &[Stmt]) -> String {
    let mut end = span;
    reach(&mut end, body);
    between(sources, span, end)
}

fn between(sources: &Sources, start: Span, end: Span) -> String {
    let Some(source) = sources.get(start.source) else { return String::new() };
    let (first, mut last) = (source.line_column(start.start).line, source.line_column(end.end).line);
    let closes = |line: u32| {
        let text = source.line(line).trim();
        !text.is_empty() && text.bytes().all(|byte| byte == b'}')
    };
    while closes(last + 1) {
        last += 1;
    }
    let name = source.name();
    (first..=last)
        .map(|line| {
            let text = source.line(line);
            let indent = text.len() - text.trim_start().len();
            comment_line(&format!("{name}:{line}: {}{}", " ".repeat(indent.min(40)), text.trim()))
        })
        .collect()
}

/// Extends a span over statements; `next` and `exit()` have no place of their own.
fn reach(end: &mut Span, stmts: &[Stmt]) {
    for stmt in stmts {
        match stmt {
            Stmt::SetLocal(_, expr) | Stmt::Effect(expr) => reach_expr(end, expr),
            Stmt::If { condition, then, otherwise } => {
                reach_expr(end, condition);
                reach(end, then);
                reach(end, otherwise);
            }
            Stmt::Print(print) => *end = end.to(print.span),
            Stmt::Next | Stmt::Exit | Stmt::Break | Stmt::Continue => {}
            Stmt::While { span, .. } | Stmt::Delete { span, .. } | Stmt::Aggregate { span, .. } => *end = end.to(*span),
            Stmt::Foreach(foreach) => *end = end.to(foreach.span),
            Stmt::Return(value) => value.iter().for_each(|value| reach_expr(end, value)),
        }
    }
}

fn reach_expr(end: &mut Span, expr: &Expr) {
    *end = end.to(expr.span);
    expr.operands(&mut |operand| reach_expr(end, operand));
}

/// What stands at a site, as a comment.
pub(super) fn site(program: &Program, site: &Site) -> String {
    let path = program.file(site.file).map_or("", |file| file.path.as_str());
    let place = match &site.kind {
        SiteKind::OutOfLine => String::new(),
        SiteKind::Symbol => " (by symbol)".to_owned(),
        SiteKind::Inlined { into, call } => {
            let call = call.as_ref().map(|line| format!(" at {line}")).unwrap_or_default();
            format!(", inlined into {into}{call}")
        }
    };
    let rule = match site.rule {
        AddressRule::LowPc | AddressRule::InlineEntry | AddressRule::InlineBody | AddressRule::Symbol => "",
        AddressRule::PrologueEnd | AddressRule::SecondLine => ", behind the prologue",
        AddressRule::StackCheck => ", behind the stack check",
        AddressRule::Address => ", as was asked",
        AddressRule::Line => ", where a line begins",
        AddressRule::Mark => ", a mark",
    };
    comment_line(&format!("{path}: {} at {:#x}{place}{rule}", site.function, site.address))
}

pub(super) fn comment_line(text: &str) -> String {
    let text = comment(text);
    if text.is_empty() { "//\n".to_owned() } else { format!("// {text}\n") }
}
