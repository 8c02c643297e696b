//! Owns a whole program: whose task it is ([`super::filter`]), which handler its site means (the dispatch), and the
//! one place where hits are counted.

use super::SiteId;
use super::asm::{Asm, Assembled, Label};
use super::env::{Env, Rodata};
use super::filter::{self, Tasks};
use super::frame::{Frame, Slot};
use super::handler::{self, Input, Refused, Shared, too_large};
use super::insn::*;
use super::map::{COUNTERS, MapId};
use super::reach::Reach;
use super::{BpfProgram, returns};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, Context, Expr, ExprKind, FileIndex, ProbeIndex, Stmt, Variant};
use crate::source::Span;

/// One handler of a program.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    /// The variant's number.
    pub(super) number: usize,
    pub(super) probe: ProbeIndex,
    pub(super) span: Span,
    pub(super) variant: &'a Variant,
    /// Its first site; its sites follow one another.
    pub(super) first_site: SiteId,
    /// For returns: the map of open calls where one is needed, and where in its sites each piece of code begins.
    pub(super) returns: Option<(Option<MapId>, Vec<usize>)>,
}

impl Entry<'_> {
    /// Whether its calls are seen by uprobe sessions.
    pub(super) fn is_session(&self) -> bool {
        self.variant.returns.as_ref().is_some_and(|returns| returns.session)
    }

    /// Whether its handler has nothing to do with the container that it runs for.
    fn is_anonymous(&self, env: &Env<'_>) -> bool {
        let reach = Reach::of(env.program, &self.variant.handler);
        let functions = reach.functions.iter().filter_map(|index| env.function(*index));
        let bodies: Vec<&[Stmt]> =
            functions.map(|function| function.body.as_slice()).chain([self.variant.handler.body.as_slice()]).collect();
        let mut names = false;
        let mut visit = |expr: &Expr| names |= asks_who(expr);
        self.variant.handler.condition.iter().for_each(|condition| condition.visit(&mut visit));
        bodies.iter().for_each(|body| ir::visit_expressions(body, &mut visit));
        // A record names the container.
        let silent = reach.once.is_empty() && reach.repeated.is_empty();
        silent && !names && !bodies.iter().any(|body| handler::exits(body))
    }

    /// The first site of each piece of code.
    fn beginnings(&self) -> Vec<u32> {
        let offsets = self.returns.as_ref().map_or([0].as_slice(), |(_, offsets)| offsets);
        let first = self.first_site.0;
        offsets.iter().map(|offset| first.saturating_add(u32::try_from(*offset).unwrap_or(u32::MAX))).collect()
    }

    /// Writes its code; `labels` stand for [`Entry::beginnings`].
    fn write(
        &self,
        env: &Env<'_>,
        asm: &mut Asm,
        rodata: &mut Rodata,
        input: &Input<'_>,
        labels: &[Label],
    ) -> Result<handler::Written, Refused> {
        if let Some((calls, _)) = &self.returns {
            return returns::write(env, asm, rodata, input, (self.number, *calls), labels);
        }
        labels.iter().for_each(|label| asm.place(*label));
        handler::write(env, asm, rodata, input)
    }
}

/// Whether a value depends on the container.
fn asks_who(expr: &Expr) -> bool {
    let ExprKind::Context(context) = &expr.kind else { return false };
    match context {
        Context::Container
        | Context::ContainerId
        | Context::Image
        | Context::Pod
        | Context::Runtime
        | Context::NsPid
        | Context::NsTid => true,
        Context::Stack(_)
        | Context::Caller
        | Context::Pid
        | Context::Tid
        | Context::Comm
        | Context::Exe
        | Context::Walltime
        | Context::Now
        | Context::Elapsed
        | Context::Uid
        | Context::Gid
        | Context::Cpu
        | Context::ThreadPointer
        | Context::ProbeFunction
        | Context::ProbePoint => false,
    }
}

/// The most maps that a program may use (`MAX_USED_MAPS` of the kernel).
const MOST_MAPS: usize = 64;

/// The most instructions of a program of several handlers: the kernel's verifier looks at a million on all ways through
/// a program together (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MOST_INSNS: usize = 8_000;

/// Writes the programs of some files: one, or several where one would use too many maps or be too long. Returns them with
/// the bytes of scratch they need.
pub(super) fn write_all<'a>(
    env: &'a Env<'a>,
    rodata: &mut Rodata,
    tasks: &Tasks,
    files: &[FileIndex],
    entries: &[Entry<'a>],
) -> Result<(Vec<BpfProgram>, u32), Refused> {
    let (asm, scratch) = write(env, rodata, tasks, entries)?;
    let used = asm.used_maps();
    let long = entries.len() > 1 && asm.length() > MOST_INSNS;
    if used.len() <= MOST_MAPS && !long {
        let done = match entries.first() {
            Some(entry) => asm.finish().map_err(|_| too_far(entry.span))?,
            None => Assembled { insns: Vec::new(), maps: Vec::new(), spans: Vec::new() },
        };
        let variants = entries.iter().map(|entry| entry.number).collect();
        let Assembled { insns, maps, spans } = done;
        let session = entries.first().is_some_and(Entry::is_session);
        return Ok((vec![BpfProgram { files: files.to_vec(), variants, session, insns, maps, spans }], scratch));
    }
    let (low, high) = entries.split_at(entries.len() / 2);
    if let (Some(entry), true) = (high.first(), low.is_empty()) {
        return Err(Box::new(
            Diagnostic::new(Code::E0303, entry.span, "this handler uses too many globals")
                .note(format!("a program in the kernel may use {MOST_MAPS} maps, this one would use {}", used.len()))
                .help(
                    "keep several in one map, with a text or number as the first part of its key, or split the probe",
                ),
        ));
    }
    let (mut programs, low) = write_all(env, rodata, tasks, files, low)?;
    let (others, high) = write_all(env, rodata, tasks, files, high)?;
    programs.extend(others);
    Ok((programs, low.max(high)))
}

/// A jump that no instruction reaches: handlers of such a size the verifier refuses anyway.
fn too_far(span: Span) -> Refused {
    Box::new(
        Diagnostic::new(Code::E0303, span, "this handler is too large: a jump in it would be too far")
            .help("split the probe into several"),
    )
}

/// Writes a program; returns it with the bytes of scratch it needs. `entries` are sorted by their first site.
fn write<'a>(
    env: &'a Env<'a>,
    rodata: &mut Rodata,
    tasks: &Tasks,
    entries: &[Entry<'a>],
) -> Result<(Asm, u32), Refused> {
    // A session's program gives 1 where the kernel is not to see to the return.
    let result = i64::from(entries.first().is_some_and(Entry::is_session));
    let mut asm = Asm::giving(result);
    let Some(span) = entries.first().map(|entry| entry.span) else {
        return Ok((asm, 0));
    };
    let mut frame = Frame::default();
    let mut take = |bytes| frame.take(bytes).map_err(|_| too_large(span));
    let (key, pid_level) = (take(16)?, take(8)?);
    let shared = Shared { count: asm.label(), counter_key: key, pid_level };
    let chain = if tasks.read_kernel() { Some((take(8)?, take(8)?)) } else { None };
    let anonymous = tasks.are_containers() && entries.iter().all(|entry| entry.is_session() && entry.is_anonymous(env));
    let session = env.kernel.session.as_ref().filter(|_| anonymous);
    filter::write(&mut asm, tasks, &env.kernel, &filter::Slots { key, pid_level, chain }, session)
        .ok_or_else(|| too_large(span))?;
    let pieces: Vec<Vec<(u32, Label)>> = entries
        .iter()
        .map(|entry| entry.beginnings().into_iter().map(|first| (first, asm.label())).collect())
        .collect();
    dispatch(&mut asm, &pieces.concat());
    let mut scratch = 0;
    for (entry, pieces) in entries.iter().zip(&pieces) {
        let mut input = Input {
            shared,
            probe: entry.probe,
            span: entry.span,
            variant: entry.variant,
            frame,
            scratch: false,
            ending: None,
            asked: session.is_some(),
        };
        // Whether scratch is needed shows when all is written; what was written in vain is thrown away.
        let mut trial = Asm::giving(result);
        let trial_shared = Shared { count: trial.label(), ..shared };
        let labels: Vec<Label> = pieces.iter().map(|_| trial.label()).collect();
        let tried = entry.write(env, &mut trial, rodata, &Input { shared: trial_shared, ..input }, &labels)?;
        input.scratch = tried.scratch > 0;
        let labels: Vec<Label> = pieces.iter().map(|(_, label)| *label).collect();
        let written = entry.write(env, &mut asm, rodata, &input, &labels)?;
        scratch = scratch.max(written.scratch);
    }
    asm.at(span);
    asm.place(shared.count);
    count(&mut asm, key);
    Ok((asm, scratch))
}

/// Jumps to the handler whose sites the site belongs to.
fn dispatch(asm: &mut Asm, starts: &[(u32, Label)]) {
    match starts {
        [] => asm.exit(),
        [(_, only)] => asm.jump(*only),
        several => {
            let (low, high) = several.split_at(several.len() / 2);
            let below = asm.label();
            if let Some((start, _)) = high.first() {
                asm.jump_if_imm(Jump::Lt, SITE, i32::try_from(*start).unwrap_or(i32::MAX), below);
            }
            dispatch(asm, high);
            asm.place(below);
            dispatch(asm, low);
        }
    }
}

/// Adds one to the counter at byte offset `CONTAINER` of probe `SITE`, and ends the program.
fn count(asm: &mut Asm, key: Slot) {
    let absent = asm.label();
    asm.store(Width::W, key.base, key.off, SITE);
    asm.map(R1, COUNTERS);
    asm.mov(R2, key.base);
    asm.alu_imm(Alu::Add, R2, i32::from(key.off));
    asm.call(Helper::MapLookupElem);
    asm.jump_if_imm(Jump::Eq, R0, 0, absent);
    asm.alu(Alu::Add, R0, CONTAINER);
    asm.imm(R1, 1);
    asm.atomic(ATOMIC_ADD, R0, 0, R1);
    asm.place(absent);
    asm.exit();
}
