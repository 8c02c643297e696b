//! Owns returns: what is kept of a call from its entry on, and how its end finds it again. No return address of the
//! traced program is touched: a program that throws through a probed function must find its stack as it made it. Only where
//! the function's code proves that nothing can come of it, the kernel's return probes are used ([`super::sessions`]): these
//! cost a tenth, and keep 8 bytes of each call themselves.
//!
//! A call is named by its thread, its handler, and its canonical frame address (CFA), which no other live call of the
//! thread has. Goroutines (Go) go from thread to thread, and their stacks are copied to larger ones, with the ends of old
//! and new one over each other (`copystack` in runtime/stack.go): a call of theirs is named by process, goroutine, handler
//! and how far its CFA is from the stack's end. The site on entry stores time and values under that name; the function's return instructions and its
//! jumps into other functions take them away again. A call that is left otherwise (an exception, longjmp, the thread's
//! end) leaves its entry behind: the next call with that frame overwrites it, and a full map forgets the one not used
//! for longest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::asm::{Asm, Label};
use super::env::{Env, Rodata};
use super::expr::register_offset;
use super::frame::Slot;
use super::handler::{self, Gen, Input, Refused, Written, too_large};
use super::insn::*;
use super::map::{MapId, MapKind, MapSpec, TextLayout};
use super::reach::Reach;
use super::{Category, CompiledSite, sessions};
use crate::debuginfo::facts::Register;
use crate::ir::{EntryIndex, Exits, Expr, ExprKind, ProbeIndex, Program, Returns, Site, Ty, Variant};
use crate::source::Span;

/// How many calls may be open at a time, over all threads, and of large values in how many bytes of memory; but never
/// fewer than the second number.
const CALLS: u32 = 16_384;
const FEWEST_CALLS: u32 = 1_024;
const MOST_MEMORY: u32 = 16 << 20;
/// Key of a call: process and thread, handler, CFA; or goroutine, handler and process, distance. Handler and process are 4
/// bytes each: no process has the number 0, so that the two kinds are never the same.
const KEY: u32 = 24;
/// `runtime.g` in Go's register convention (DWARF's number of r14), and where in it the stack's end is (`g.stack.hi`, the
/// second word: cgo and debuggers rely on it).
const GOROUTINE: Register = Register(14);
const STACK_END: i32 = 8;
/// Before the kept values: time of the entry, then one bit for each value that could not be read.
const HEAD: u32 = 16;
/// The largest value that is built on the stack.
const MOST_ON_STACK: u32 = 64;
/// The stack pointer (DWARF's number).
const RSP: Register = Register(7);

/// What an address of a return probe is for.
#[derive(Clone, Debug, PartialEq)]
enum Role {
    /// The entry, where the CFA is computed so.
    Enter(Expr, Owner),
    /// Entry and return at once: the function is but its return instruction.
    EnterAndReturn(Expr, Owner),
    /// A return instruction.
    Return(Owner),
    /// A jump into another function, where there is a condition only if it holds.
    Jump(Option<Expr>, Owner),
    /// The entry, where the CFA is computed so, and the return of that call: a session.
    Session(Expr),
}

/// Whose a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A thread's.
    Thread,
    /// A goroutine's.
    Goroutine,
}

/// An address of a return probe.
struct Place<'a> {
    role: usize,
    site: &'a Site,
    address: u64,
    file_offset: u64,
}

/// The roles of a variant's addresses, and all addresses in the order of their roles: the order of their ids.
fn places(variant: &Variant) -> (Vec<Role>, Vec<Place<'_>>) {
    let (mut roles, mut places): (Vec<Role>, Vec<Place<'_>>) = (Vec::new(), Vec::new());
    let mut number = |role: Role| {
        roles.iter().position(|known| *known == role).unwrap_or_else(|| {
            roles.push(role);
            roles.len() - 1
        })
    };
    for site in &variant.sites {
        // A return probe without ends is a contradiction, which leaves nothing to attach.
        let Some(Exits { frame, places: exits, goroutine, .. }) = &site.exits else { continue };
        if variant.returns.as_ref().is_some_and(|returns| returns.session) {
            let role = number(Role::Session(frame.clone()));
            places.push(Place { role, site, address: site.address, file_offset: site.file_offset });
            continue;
        }
        let owner = if *goroutine { Owner::Goroutine } else { Owner::Thread };
        let at_once = exits.iter().any(|exit| exit.address == site.address && !exit.tail);
        let role = number(match at_once {
            true => Role::EnterAndReturn(frame.clone(), owner),
            false => Role::Enter(frame.clone(), owner),
        });
        places.push(Place { role, site, address: site.address, file_offset: site.file_offset });
        for exit in exits.iter().filter(|exit| exit.address != site.address) {
            let role = number(if exit.tail { Role::Jump(exit.when.clone(), owner) } else { Role::Return(owner) });
            places.push(Place { role, site, address: exit.address, file_offset: exit.file_offset });
        }
    }
    places.sort_by_key(|place| place.role);
    (roles, places)
}

/// The addresses of a return probe's variant.
pub(super) fn compiled(probe: ProbeIndex, index: usize, variant: &Variant) -> Vec<CompiledSite> {
    let place = |place: Place<'_>| CompiledSite {
        probe,
        variant: index,
        file: place.site.file,
        address: place.address,
        file_offset: place.file_offset,
        containers: Arc::clone(&place.site.containers),
        function: Arc::clone(&place.site.function),
        // What was inlined does not return.
        inlined: false,
        semaphore: None,
    };
    places(variant).1.into_iter().map(place).collect()
}

/// How many ids a variant takes.
pub(super) fn count(variant: &Variant) -> usize {
    places(variant).1.len()
}

/// Where in a variant's ids those of each role begin: each begins a piece of code of its own.
pub(super) fn beginnings(variant: &Variant) -> Vec<usize> {
    let (roles, places) = places(variant);
    (0..roles.len()).filter_map(|role| places.iter().position(|place| place.role == role)).collect()
}

/// The maps of open calls: one for each size of what is kept.
pub(super) fn maps(program: &Program, text: TextLayout) -> Vec<MapSpec> {
    let returns = super::variants(program).filter_map(|(_, variant, _)| variant.returns.as_ref());
    let returns = returns.filter(|returns| in_cookie(returns).is_none());
    let sizes: BTreeSet<u32> = returns.map(|returns| value_size(returns, text)).collect();
    sizes.into_iter().map(|size| MapSpec::new("ctp_calls", MapKind::Recent, KEY, size, open_calls(size))).collect()
}

/// How many calls may be open of which so many bytes are kept: the kernel takes the memory for all of them at once.
fn open_calls(size: u32) -> u32 {
    (MOST_MEMORY / size.max(1)).clamp(FEWEST_CALLS, CALLS)
}

/// Which of the maps holds a variant's calls; `None` where it is at no return, or the kernel itself keeps all.
pub(super) fn map_of(maps: &[MapSpec], variant: &Variant, text: TextLayout) -> Option<usize> {
    let returns = variant.returns.as_ref().filter(|returns| in_cookie(returns).is_none())?;
    let size = value_size(returns, text);
    maps.iter().position(|map| map.value_size == size)
}

/// Bytes that a value is kept in.
fn size_of(saved: &Expr, text: TextLayout) -> u32 {
    match (&saved.kind, saved.ty) {
        (ExprKind::Block(block), _) => block.size().next_multiple_of(8),
        (_, Ty::Int) => 8,
        (_, Ty::Str) => text.slot(),
    }
}

fn value_size(returns: &Returns, text: TextLayout) -> u32 {
    returns.saved.iter().fold(HEAD, |size, saved| size.saturating_add(size_of(saved, text)))
}

/// What of a call the kernel keeps in its session's 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InCookie {
    Nothing,
    /// The time of the entry.
    Time,
    /// The only value.
    Value,
}

/// What the kernel keeps of a call; `None` where it is too much, or there is no session.
fn in_cookie(returns: &Returns) -> Option<InCookie> {
    match (returns.elapsed, returns.saved.as_slice()) {
        _ if !returns.session => None,
        (false, []) => Some(InCookie::Nothing),
        (true, []) => Some(InCookie::Time),
        (false, [value]) if value.ty == Ty::Int && is_plain(value) => Some(InCookie::Value),
        (_, _) => None,
    }
}

/// Whether a number is computed from registers and constants alone, and so can always be had.
fn is_plain(value: &Expr) -> bool {
    let mut plain = !value.can_fault();
    value.visit(&mut |part| {
        plain &= matches!(
            part.kind,
            ExprKind::Int(_)
                | ExprKind::Register(_)
                | ExprKind::Target(_)
                | ExprKind::Extend { .. }
                | ExprKind::Unary(..)
                | ExprKind::Binary(..)
        );
    });
    plain
}

/// A call whose end is handled.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// A copy of what was kept; where the time was, the time since.
    value: Option<Slot>,
    /// 8 bytes, not 0 where the call ended by a jump into another function; `None` where none ends so.
    tail: Option<Slot>,
}

/// What the code behind a return needs to find its call.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    tail: Option<Slot>,
    kept: Kept,
    /// Where a return leads whose call was not seen.
    pub(super) unmatched: Label,
}

/// Where what was kept of a call is.
#[derive(Clone, Copy)]
enum Kept {
    /// In the map of open calls, by the call's name.
    Map(Slot, MapId),
    /// In the kernel's own record of it.
    Cookie(InCookie),
}

/// Writes the code of a return probe's variant: that of each role behind its label (in the order of [`beginnings`]), and
/// the handler. `number` is the variant's, `calls` the map of open calls.
pub(super) fn write(
    env: &Env<'_>,
    asm: &mut Asm,
    rodata: &mut Rodata,
    input: &Input<'_>,
    (number, calls): (usize, Option<MapId>),
    labels: &[Label],
) -> Result<Written, Refused> {
    let (roles, _) = places(input.variant);
    let number = i32::try_from(number).map_err(|_| too_large(input.span))?;
    let mut frame = input.frame;
    let contradiction = || handler::contradiction(input.span, "a return of which nothing is kept");
    let kept = match (input.variant.returns.as_ref().and_then(in_cookie), calls) {
        (Some(cookie), _) => Kept::Cookie(cookie),
        (None, Some(calls)) => Kept::Map(frame.take(KEY).map_err(|_| too_large(input.span))?, calls),
        (None, None) => return Err(contradiction()),
    };
    let tail = match roles.iter().any(|role| matches!(role, Role::Jump(..))) {
        true => Some(frame.take(8).map_err(|_| too_large(input.span))?),
        false => None,
    };
    let input = &Input { frame, ..*input };
    let (common, unmatched) = (asm.label(), asm.label());
    let mut scratch = 0;
    for (role, label) in roles.iter().zip(labels) {
        asm.at(input.span);
        asm.place(*label);
        let ends = match role {
            Role::Enter(frame, owner) | Role::EnterAndReturn(frame, owner) => {
                scratch = scratch.max(enter(env, asm, rodata, input, number, (kept, *owner), frame)?);
                matches!(role, Role::EnterAndReturn(..))
            }
            Role::Session(frame) => {
                let facts = env.kernel.session.ok_or_else(contradiction)?;
                let (returned, unwatched, again) = (asm.label(), asm.label(), asm.label());
                let mut words = input.frame;
                let words = words.take(16).map_err(|_| too_large(input.span))?;
                if input.asked {
                    asm.jump_if_imm(Jump::Eq, sessions::TASK, 0, returned);
                } else {
                    sessions::at_return(asm, &facts, returned);
                }
                let task = input.asked.then_some(sessions::TASK);
                sessions::guard(asm, &facts, task, words, (unwatched, again));
                scratch = scratch.max(enter(env, asm, rodata, input, number, (kept, Owner::Thread), frame)?);
                asm.exit_with(0);
                asm.place(again);
                asm.exit();
                asm.place(unwatched);
                handler::bare(env, asm, rodata, input).end(Category::Unmatched);
                asm.place(returned);
                true
            }
            Role::Jump(Some(when), _) => {
                scratch = scratch.max(leaves(env, asm, rodata, input, when)?);
                true
            }
            Role::Return(_) | Role::Jump(None, _) => true,
        };
        if !ends {
            asm.exit();
            continue;
        }
        if let Some(tail) = tail {
            asm.store_imm(Width::D, tail.base, tail.off, i32::from(matches!(role, Role::Jump(..))));
        }
        // Where the stack pointer is, counted from the CFA.
        let ended = match role {
            Role::Return(owner) | Role::Jump(_, owner) => Some((*owner, 8)),
            Role::Session(_) => Some((Owner::Thread, 0)),
            Role::Enter(..) | Role::EnterAndReturn(..) => None,
        };
        if let (Some((owner, below)), Kept::Map(key, _)) = (ended, kept) {
            let mut it = handler::bare(env, asm, rodata, input);
            let stack = register_offset(RSP.0).unwrap_or_default();
            it.asm.load(Width::D, R0, CTX, stack);
            it.asm.alu_imm(Alu::Add, R0, below);
            it.name_call(key, number, owner, unmatched);
        }
        asm.jump(common);
    }
    asm.place(common);
    let ending = Ending { tail, kept, unmatched };
    let written = handler::write(env, asm, rodata, &Input { ending: Some(ending), ..*input })?;
    Ok(Written { scratch: scratch.max(written.scratch) })
}

/// Keeps what the return will ask for. Goes on behind it, also where there was no room.
fn enter(
    env: &Env<'_>,
    asm: &mut Asm,
    rodata: &mut Rodata,
    input: &Input<'_>,
    number: i32,
    (kept, owner): (Kept, Owner),
    frame: &Expr,
) -> Result<u32, Refused> {
    let Some(returns) = &input.variant.returns else { return Ok(0) };
    let mut it = handler::bare(env, asm, rodata, input);
    let (key, calls) = match kept {
        Kept::Map(key, calls) => (key, calls),
        Kept::Cookie(InCookie::Nothing) => return Ok(0),
        Kept::Cookie(InCookie::Time | InCookie::Value) => return it.keep_in_cookie(returns),
    };
    if input.scratch {
        it.fetch_scratch();
    }
    if returns.saved.iter().any(|saved| Reach::of_value(env.program, saved).loops) {
        it.leave_stack()?;
        let steps = it.temporary()?;
        it.asm.store_imm(Width::D, steps.base, steps.off, 0);
        it.steps = Some(steps);
    }
    let size = value_size(returns, env.text);
    let value = if size <= MOST_ON_STACK { it.frame.take(size) } else { it.frame.take_scratch(size) };
    let value = value.map_err(|e| it.too_large(e))?;
    it.int(frame)?;
    let unnamed = it.fault;
    it.name_call(key, number, owner, unnamed);
    if returns.elapsed {
        it.asm.call(Helper::KtimeGetNs);
        it.store(value, R0);
    } else {
        it.asm.store_imm(Width::D, value.base, value.off, 0);
    }
    it.asm.store_imm(Width::D, value.base, value.off.saturating_add(8), 0);
    let mut at = HEAD;
    for (index, saved) in (0i32..).zip(&returns.saved) {
        let slot = value.plus(i16::try_from(at).map_err(|_| too_large(input.span))?);
        at += size_of(saved, env.text);
        it.keep(saved, slot, value.plus(8), index)?;
    }
    it.asm.map(R1, calls);
    it.address(R2, key);
    it.address(R3, value);
    it.asm.imm(R4, 0); // BPF_ANY
    it.asm.call(Helper::MapUpdateElem);
    let kept = it.asm.label();
    it.asm.jump_if_imm(Jump::Eq, R0, 0, kept);
    it.bump(Category::MapFull);
    it.asm.jump(kept);
    // Without the frame's name nothing can be kept: the return will count as unmatched.
    for nothing_kept in [it.fault, it.lost, it.step_limit, kept] {
        it.asm.place(nothing_kept);
    }
    Ok(it.frame.scratch_used())
}

/// Ends the program where a jump stays in the function.
fn leaves(env: &Env<'_>, asm: &mut Asm, rodata: &mut Rodata, input: &Input<'_>, when: &Expr) -> Result<u32, Refused> {
    let mut it = handler::bare(env, asm, rodata, input);
    if input.scratch {
        it.fetch_scratch();
    }
    let leaves = it.asm.label();
    it.branch(when, true, leaves)?;
    for stays in [it.fault, it.lost, it.step_limit] {
        it.asm.place(stays);
    }
    it.asm.exit();
    it.asm.place(leaves);
    Ok(it.frame.scratch_used())
}

impl Gen<'_> {
    /// The name of the call whose CFA is in r0; leads to `unnamed` where the goroutine cannot be read.
    fn name_call(&mut self, key: Slot, number: i32, owner: Owner, unnamed: Label) {
        self.store(key.plus(16), R0);
        let handler = key.plus(8);
        match owner {
            Owner::Thread => {
                self.asm.call(Helper::GetCurrentPidTgid);
                self.store(key, R0);
                self.asm.store_imm(Width::D, handler.base, handler.off, number);
            }
            Owner::Goroutine => {
                self.asm.load(Width::D, R3, CTX, register_offset(GOROUTINE.0).unwrap_or_default());
                self.store(key, R3);
                self.asm.alu_imm(Alu::Add, R3, STACK_END);
                self.address(R1, handler);
                self.asm.imm(R2, 8);
                self.asm.call(Helper::CopyFromUser);
                self.asm.jump_if_imm(Jump::Ne, R0, 0, unnamed);
                self.load(R1, handler);
                self.load(R2, key.plus(16));
                self.asm.alu(Alu::Sub, R1, R2);
                self.store(key.plus(16), R1);
                self.asm.call(Helper::GetCurrentPidTgid);
                self.asm.alu_imm(Alu::Rsh, R0, 32);
                self.asm.store_imm(Width::W, handler.base, handler.off, number);
                self.asm.store(Width::W, handler.base, handler.off.saturating_add(4), R0);
            }
        }
    }

    /// Computes a value on entry; one that cannot be read is marked in `faults`.
    fn keep(&mut self, saved: &Expr, slot: Slot, faults: Slot, index: i32) -> Result<(), Refused> {
        let (fault, end) = (self.asm.label(), self.asm.label());
        self.asm.at(saved.span);
        let mark = self.frame;
        let outer = std::mem::replace(&mut self.fault, fault);
        let computed = match (&saved.kind, saved.ty) {
            (ExprKind::Block(block), _) => self.keep_block(block, slot, saved.span),
            (_, Ty::Int) => self.int(saved),
            (_, Ty::Str) => self.text(saved, slot),
        };
        self.fault = outer;
        computed?;
        self.frame.release(mark);
        if saved.ty == Ty::Int {
            self.store(slot, R0);
        }
        self.asm.jump(end);
        self.asm.place(fault);
        self.asm.imm(R1, 1i64.wrapping_shl(index.cast_unsigned()));
        self.load(R2, faults);
        self.asm.alu(Alu::Or, R2, R1);
        self.store(faults, R2);
        self.zero(slot, size_of(saved, self.env.text));
        self.asm.place(end);
        Ok(())
    }

    /// Keeps a time, or a value that can always be had, in the kernel's own record of the call.
    fn keep_in_cookie(mut self, returns: &Returns) -> Result<u32, Refused> {
        let facts = self.session()?;
        let value = self.temporary()?;
        match returns.saved.first() {
            Some(saved) => self.int(saved)?,
            None => self.asm.call(Helper::KtimeGetNs),
        }
        self.store(value, R0);
        sessions::cookie(self.asm, &facts);
        self.load(R1, value);
        self.asm.store(Width::D, R0, 0, R1);
        for nowhere in [self.fault, self.lost, self.step_limit] {
            self.asm.place(nowhere);
        }
        Ok(self.frame.scratch_used())
    }

    fn session(&self) -> Result<sessions::SessionFacts, Refused> {
        self.env.kernel.session.ok_or_else(|| self.contradiction(self.span, "a session that this kernel has not"))
    }

    /// Finds what the kernel kept of the call that ends here.
    fn find_in_cookie(&mut self, kept: InCookie) -> Result<Option<Slot>, Refused> {
        if kept == InCookie::Nothing {
            return Ok(None);
        }
        let facts = self.session()?;
        let slot = self.frame.take(HEAD + 8).map_err(|e| self.too_large(e))?;
        if kept == InCookie::Time {
            self.asm.call(Helper::KtimeGetNs);
            self.store(slot, R0);
        }
        sessions::cookie(self.asm, &facts);
        self.asm.load(Width::D, R1, R0, 0);
        match kept {
            InCookie::Time => {
                self.load(R0, slot);
                self.asm.alu(Alu::Sub, R0, R1);
                self.store(slot, R0);
            }
            InCookie::Value | InCookie::Nothing => self.store(slot.plus(16), R1),
        }
        Ok(Some(slot))
    }

    /// Finds what was kept of the call that ends here, and takes it out of the map.
    pub(super) fn find_call(&mut self, ending: Ending) -> Result<(), Refused> {
        let Some(returns) = &self.variant.returns else { return Ok(()) };
        let (key, calls) = match ending.kept {
            Kept::Map(key, calls) => (key, calls),
            Kept::Cookie(kept) => {
                let value = self.find_in_cookie(kept)?;
                self.call = Some(Call { value, tail: ending.tail });
                return Ok(());
            }
        };
        self.asm.map(R1, calls);
        self.address(R2, key);
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, ending.unmatched);
        let value = match returns.elapsed || !returns.saved.is_empty() {
            false => None,
            true => {
                let size = value_size(returns, self.env.text);
                let slot = if size <= MOST_ON_STACK { self.frame.take(size) } else { self.frame.take_scratch(size) };
                let slot = slot.map_err(|e| self.too_large(e))?;
                self.asm.mov(R3, R0);
                self.copy_from_r3(slot, size);
                Some(slot)
            }
        };
        self.asm.map(R1, calls);
        self.address(R2, key);
        self.asm.call(Helper::MapDeleteElem);
        if let (true, Some(value)) = (returns.elapsed, value) {
            self.asm.call(Helper::KtimeGetNs);
            self.load(R1, value);
            self.asm.alu(Alu::Sub, R0, R1);
            self.store(value, R0);
        }
        self.call = Some(Call { value, tail: ending.tail });
        Ok(())
    }

    fn call(&self, span: Span) -> Result<Call, Refused> {
        self.call.ok_or_else(|| self.contradiction(span, "a value of a return elsewhere"))
    }

    /// The time since the entry in r0.
    pub(super) fn elapsed(&mut self, span: Span) -> Result<(), Refused> {
        let value = self.call(span)?.value;
        let value = value.ok_or_else(|| self.contradiction(span, "a time that was not kept"))?;
        self.load(R0, value);
        Ok(())
    }

    /// A general register behind the return, in r0; faults where another function returns in this one's stead.
    pub(super) fn returned(&mut self, register: Register, span: Span) -> Result<(), Refused> {
        if let Some(tail) = self.call(span)?.tail {
            self.load(R1, tail);
            self.asm.jump_if_imm(Jump::Ne, R1, 0, self.fault);
        }
        let off =
            register_offset(register.0).ok_or_else(|| self.contradiction(span, "a register that eBPF cannot read"))?;
        self.asm.load(Width::D, R0, CTX, off);
        Ok(())
    }

    /// Where a value lies that was kept on entry; jumps to the fault where it could not be read then. Clobbers r1.
    pub(super) fn kept(&mut self, index: EntryIndex, span: Span) -> Result<Slot, Refused> {
        let contradiction = |it: &Self| it.contradiction(span, "a value that was not kept");
        let value = self.call(span)?.value.ok_or_else(|| contradiction(self))?;
        let returns = self.variant.returns.as_ref().ok_or_else(|| contradiction(self))?;
        let at = index.0 as usize;
        let (saved, before) = returns.saved.get(at).zip(returns.saved.get(..at)).ok_or_else(|| contradiction(self))?;
        let offset = before.iter().fold(HEAD, |sum, one| sum.saturating_add(size_of(one, self.env.text)));
        let offset = i16::try_from(offset).map_err(|_| too_large(span))?;
        if saved.can_fault() {
            self.load(R1, value.plus(8));
            self.asm.alu_imm(Alu::Rsh, R1, index.0.cast_signed());
            self.asm.alu_imm(Alu::And, R1, 1);
            self.asm.jump_if_imm(Jump::Ne, R1, 0, self.fault);
        }
        Ok(value.plus(offset))
    }

    /// A number that was kept on entry, in r0.
    pub(super) fn kept_number(&mut self, index: EntryIndex, span: Span) -> Result<(), Refused> {
        let slot = self.kept(index, span)?;
        self.load(R0, slot);
        Ok(())
    }

    /// A string that was kept on entry, into a slot.
    pub(super) fn kept_text(&mut self, index: EntryIndex, dst: Slot, span: Span) -> Result<(), Refused> {
        let slot = self.kept(index, span)?;
        self.copy_slot(dst, slot);
        Ok(())
    }
}
