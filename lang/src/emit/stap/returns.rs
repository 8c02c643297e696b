//! Owns return probes: entries kept by thread and frame, and handlers that run when the calls end. SystemTap's `.return`
//! rewrites return addresses, which ends programs that throw through the function: where the program can, only functions of
//! which the code proves that none does are probed so, others refused. (A probe on the return instructions, as the embedded
//! engine has it, SystemTap does not take: they begin no statement.)

use super::body::{Body, Form, Scope};
use super::library::Part;
use super::points::{self, Block};
use super::records::Category;
use super::{Emitter, Point, head};
use crate::ir::{Exits, ExprKind, Probe, ProbeKind, Returns, Site, Variant};

/// What a return probe keeps of each call, as globals of the script and as locals of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The global that holds when each call was entered.
    entered: String,
    /// For each saved value: the global, the local that takes it, and the local that says whether it was read.
    values: Vec<(String, String, Option<String>)>,
    /// The local that takes the moment of the entry.
    since: String,
}

impl Kept {
    /// What gives the saved value of a number within a handler.
    pub(super) fn value(&self, index: usize, text: bool, emitter: &mut Emitter<'_>) -> String {
        let Some((_, local, has)) = self.values.get(index) else { return String::new() };
        match has {
            None => local.clone(),
            Some(has) => {
                let (part, function) =
                    if text { (Part::NoText, "ctp_no_text") } else { (Part::NoNumber, "ctp_no_number") };
                emitter.library.uses(part);
                format!("({has} ? {local} : {function}())")
            }
        }
    }

    /// The moment of the entry.
    pub(super) fn since(&self) -> &str {
        &self.since
    }
}

/// Whether a probe fires when calls end.
pub(super) fn has(probe: &Probe) -> bool {
    match &probe.kind {
        ProbeKind::Sites(variants) => variants.iter().any(|variant| variant.returns.is_some()),
        ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => false,
    }
}

/// The blocks of a variant's sites: one at each entry, one at each return.
pub(super) fn blocks(emitter: &mut Emitter<'_>, probe: &Probe, variant: &Variant, returns: &Returns) -> Vec<Block> {
    let kept = declare(emitter, returns);
    let mut blocks = Vec::new();
    for site in &variant.sites {
        let Some(exits) = &site.exits else { continue };
        if let (true, Err(why)) = (exits.unwinds, &exits.uretprobe) {
            emitter.refuse(
                probe.span,
                format!("the return of `{}`", site.function.escape_debug()),
                format!(
                    "SystemTap's return probes would end a program that unwinds through it (C++, Rust, Go), and its code does \
                     not prove that none does: {why}"
                ),
            );
            continue;
        }
        blocks.push(entry(emitter, probe, site, exits, returns, &kept));
        let mut body = Body::new(emitter, scope(probe, site));
        body.begin_return(&kept);
        let body = body.handler(&variant.handler);
        blocks.push(points::on_return(site.file, points::named(site), body));
    }
    blocks
}

fn declare(emitter: &mut Emitter<'_>, returns: &Returns) -> Kept {
    let entered = emitter.names.own("entered");
    let values: Vec<(String, String, Option<String>)> = returns
        .saved
        .iter()
        .map(|saved| {
            let hint = match &saved.kind {
                ExprKind::Target(target) => target.variable.clone(),
                _ => "value".to_owned(),
            };
            let has = saved.can_fault().then(|| emitter.names.own(&format!("has_{hint}")));
            (emitter.names.own(&format!("entry_{hint}")), emitter.names.own(&hint), has)
        })
        .collect();
    let since = emitter.names.own("since");
    let size = emitter.options.map_size;
    let names: Vec<String> = [&entered]
        .into_iter()
        .chain(values.iter().map(|(global, _, _)| global))
        .map(|n| format!("{n}%[{size}]"))
        .collect();
    // `%`: what was never taken out (a call left by longjmp or an exception) makes room for new entries.
    emitter.entries.push(format!("global {}\n", names.join(", ")));
    Kept { entered, values, since }
}

fn entry(
    emitter: &mut Emitter<'_>,
    probe: &Probe,
    site: &Site,
    exits: &Exits,
    returns: &Returns,
    kept: &Kept,
) -> Block {
    emitter.points.push(Point { slot: site.file.0 as usize, address: points::named(site) });
    let comments = vec![head::site(emitter.program, site)];
    let mut body = Body::new(emitter, scope(probe, site));
    body.entry(exits, returns, kept);
    let lines = body.into_lines();
    points::at(site.file, points::named(site), comments, lines)
}

fn scope<'s>(probe: &'s Probe, site: &'s Site) -> Scope<'s> {
    Scope::Site {
        point: &probe.point,
        function: &site.function,
        containers: &site.containers,
        form: Form::Address(points::named(site)),
    }
}

impl Body<'_, '_> {
    /// The lines at an entry: the guard, then what is kept of the call.
    fn entry(&mut self, exits: &Exits, returns: &Returns, kept: &Kept) {
        self.guard();
        let frame = self.own("frame");
        self.line("try {");
        let text = self.expr(&exits.frame);
        self.line(format!("    {frame} = {text}"));
        for (saved, (global, _, has)) in returns.saved.iter().zip(&kept.values) {
            let value = self.expr(saved);
            let line = format!("{global}[tid(), {frame}] = {value}");
            if has.is_some() {
                // What an earlier call left there must not be taken for this one's.
                self.line(format!("    delete {global}[tid(), {frame}]"));
                self.line(format!("    try {{ {line} }} catch {{ }}"));
            } else {
                self.line(format!("    {line}"));
            }
        }
        self.line(format!("    {}[tid(), {frame}] = ktime_get_ns()", kept.entered));
        // Its return will be one whose entry was not seen.
        self.line("} catch { }");
    }

    /// The lines with which a handler at the end of a call begins, behind its guard.
    pub(super) fn take_entry(&mut self, kept: &Kept) {
        let frame = self.own("frame");
        let at = format!("[tid(), {frame}]");
        // Behind the return instruction the stack pointer is the frame's address.
        self.line(format!("{frame} = register(\"rsp\")"));
        let count = self.count(Category::Unmatched);
        self.line(format!("if (!({at} in {})) {{ {count}; next }}", kept.entered));
        self.line(format!("{} = {}{at}", kept.since, kept.entered));
        self.line(format!("delete {}{at}", kept.entered));
        for (global, local, has) in &kept.values {
            if let Some(has) = has {
                self.line(format!("{has} = {at} in {global}"));
            }
            self.line(format!("{local} = {global}{at}"));
            self.line(format!("delete {global}{at}"));
        }
    }
}
