//! Owns when code runs and where: probes, the sites of each, handlers, functions.

use std::sync::Arc;

use super::{ContainerIndex, Expr, FileIndex, Stmt, Ty};
use crate::debuginfo::facts::{AddressRule, MarkName, Price, SiteKind};
use crate::source::Span;

/// One probe point with its handlers.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The point as written, e.g. `container("web"):/app/bin.fn("f")`: what `pp()` gives and summaries name.
    pub point: String,
    /// Where it is written.
    pub span: Span,
    /// When it fires and what runs then.
    pub kind: ProbeKind,
}

/// When a probe fires.
#[derive(Clone, Debug)]
pub enum ProbeKind {
    /// When tracing starts.
    Begin(Handler),
    /// When tracing ends.
    End(Handler),
    /// Every `period` nanoseconds.
    Every {
        /// The period in nanoseconds, at least 1 ms.
        period: u64,
        /// What runs.
        handler: Handler,
    },
    /// At addresses of files. Each variant is a handler with the sites for which its loads are right.
    Sites(Vec<Variant>),
}

/// A handler and the sites at which it is right.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Where it runs; at least one site.
    pub sites: Vec<Site>,
    /// What runs: at the sites, or (where `returns` says so) when the calls that began there end.
    pub handler: Handler,
    /// What a return probe keeps of each call from its entry on; `None` for probes that fire at the site itself.
    pub returns: Option<Returns>,
    /// The canonical frame address at the sites (the return address lies 8 bytes below), where the handler asks for its
    /// caller and the address is known.
    pub frame: Option<Expr>,
}

/// What a return probe keeps of each call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Returns {
    /// Values computed at the site on entry (`@entry(E)`), by [`super::EntryIndex`]; one that faults there faults where it is
    /// used.
    pub saved: Vec<Expr>,
    /// Whether the moment of the entry is kept (`elapsed()`).
    pub elapsed: bool,
    /// Whether one probe on the entry sees both ends of the calls, by the kernel's return probes: chosen by the engine, for
    /// sites of which [`Exits::uretprobe`] allows it.
    pub session: bool,
}

/// One address of one file, and the containers whose tasks count there.
#[derive(Clone, Debug)]
pub struct Site {
    /// The file.
    pub file: FileIndex,
    /// Containers whose hits count; tasks of all others are ignored.
    pub containers: Arc<[ContainerIndex]>,
    /// The link-time address.
    pub address: u64,
    /// The same as an offset into the file.
    pub file_offset: u64,
    /// The function (demangled).
    pub function: Arc<str>,
    /// What stands there.
    pub kind: SiteKind,
    /// How the address was chosen.
    pub rule: AddressRule,
    /// How many bytes behind the address of that rule it is, where it costs less.
    pub passed: u64,
    /// What the kernel does with the instruction there.
    pub price: Price,
    /// Whether a loop leads back to it, so that one call may hit several times.
    pub repeats: bool,
    /// File offset of the semaphore that a mark (USDT) wants raised while it is probed.
    pub semaphore: Option<u64>,
    /// What the mark is called, where the site is one.
    pub mark: Option<MarkName>,
    /// Where the calls that begin here end; only for return probes.
    pub exits: Option<Exits>,
}

/// Where the calls of a function end, for return probes.
#[derive(Clone, Debug, PartialEq)]
pub struct Exits {
    /// The canonical frame address (CFA: the stack pointer before the call pushed the return address) computed at the
    /// site: one call's name among all of a thread. At a return instruction it is rsp + 8, behind it rsp.
    pub frame: Expr,
    /// The function's return instructions and jumps out of it.
    pub places: Vec<Exit>,
    /// Whether the program can unwind through the function (C++ exceptions, Rust panics, Go's moving stacks): then its
    /// return address must stay as it is, and only `places` may be probed.
    pub unwinds: bool,
    /// Whether calls belong to goroutines (Go), whose stacks move and go from thread to thread: then a call is named by
    /// its goroutine (r14) and by how far its frame is from the stack's end (8 bytes into the goroutine).
    pub goroutine: bool,
    /// Whether the file's code proves that a uretprobe on the function does no harm; else why not, in words.
    pub uretprobe: Result<(), String>,
}

/// An instruction that ends a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Link-time address.
    pub address: u64,
    /// The same as an offset into the file.
    pub file_offset: u64,
    /// Whether it jumps into another function (which will return in this one's stead) and does not return itself: the
    /// value returned is not known there.
    pub tail: bool,
    /// What the kernel does with it.
    pub price: Price,
    /// Where the instruction may also stay in the function (a jump under a condition, or through a register): whether it
    /// leaves, computed there. Register 16 is the program counter in it, 49 the flags (DWARF's numbers).
    pub when: Option<Expr>,
}

/// Statements with their locals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handler {
    /// The locals; all start as 0 or `""`.
    pub locals: Vec<Local>,
    /// The condition of `probe … if (…)`: a hit for which it is 0 counts as filtered.
    pub condition: Option<Expr>,
    /// What runs.
    pub body: Vec<Stmt>,
}

/// A local of a handler or a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its name as written; what no name of the program stands for has a name with a dot.
    pub name: String,
    /// Its type.
    pub ty: Ty,
}

/// A function of the program (`fn`).
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// How many of the locals are parameters: these come first.
    pub parameters: usize,
    /// Parameters, then the other locals, which start as 0 or `""` at each call.
    pub locals: Vec<Local>,
    /// What it gives; `None` for nothing. A body that ends without `return` gives 0 or `""`.
    pub returns: Option<Ty>,
    /// Its body; it uses nothing that only exists at a site.
    pub body: Vec<Stmt>,
}
