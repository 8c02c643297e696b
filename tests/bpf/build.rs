//! Programs in their typed form, written by hand, and running them.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use ctp::engine::bpf::{BpfEngine, StartError, Warning};
use ctp::engine::{Engine, Event};
use ctp_lang::debuginfo::facts::{AddressRule, Register, SiteKind};
use ctp_lang::emit::bpf::Options;
use ctp_lang::ir::*;
use ctp_lang::source::{SourceId, Sources, Span};
use ctp_lang::value::write_print;
use ctp_lang::world::{Container, FileId};

use crate::target::Binary;

pub(crate) fn span() -> Span {
    thread_local!(static ID: SourceId = Sources::default().add("test", "test"));
    Span::new(ID.with(|id| *id), 0, 4)
}

pub(crate) fn expr(ty: Ty, kind: ExprKind) -> Expr {
    Expr { ty, kind, span: span() }
}

pub(crate) fn int(value: i64) -> Expr {
    expr(Ty::Int, ExprKind::Int(value))
}

pub(crate) fn text(value: &str) -> Expr {
    expr(Ty::Str, ExprKind::Str(value.as_bytes().to_vec()))
}

/// The nth integer argument of a function at its first address (System V: rdi, rsi, rdx, rcx, r8, r9).
pub(crate) fn argument(n: usize) -> Expr {
    expr(Ty::Int, ExprKind::Register(Register([5, 4, 1, 2, 8, 9][n])))
}

/// The same as a C `int`.
pub(crate) fn int_argument(n: usize) -> Expr {
    expr(Ty::Int, ExprKind::Extend { value: Box::new(argument(n)), bits: 32, signed: true })
}

pub(crate) fn load(address: Expr, size: u8, signed: bool) -> Expr {
    expr(Ty::Int, ExprKind::Load { address: Box::new(address), size, signed })
}

pub(crate) fn user_string(address: Expr) -> Expr {
    expr(Ty::Str, ExprKind::UserString(Box::new(address)))
}

pub(crate) fn operate(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    expr(Ty::Int, ExprKind::Binary(op, Box::new(left), Box::new(right)))
}

pub(crate) fn compare(op: CompareOp, left: Expr, right: Expr) -> Expr {
    expr(Ty::Int, ExprKind::Compare(op, Box::new(left), Box::new(right)))
}

pub(crate) fn context(context: Context) -> Expr {
    let ty = match context {
        Context::Comm | Context::Container | Context::ContainerId | Context::ProbeFunction | Context::ProbePoint => {
            Ty::Str
        }
        _ => Ty::Int,
    };
    expr(ty, ExprKind::Context(context))
}

/// `global[keys] += value`, or without keys a scalar's.
pub(crate) fn add(global: u32, keys: Vec<Expr>, value: Expr) -> Stmt {
    Stmt::Effect(update(global, keys, UpdateOp::Add, value, false))
}

pub(crate) fn update(global: u32, keys: Vec<Expr>, op: UpdateOp, value: Expr, before: bool) -> Expr {
    let ty = value.ty;
    expr(ty, ExprKind::Update { global: GlobalIndex(global), keys, op, value: Box::new(value), before })
}

pub(crate) enum Part {
    /// A value that is shown as `<fault>` where it cannot be read.
    Show(Expr),
    /// A value without which the run stops.
    Need(Expr),
    Text(&'static str),
}

pub(crate) fn print(parts: Vec<Part>) -> Stmt {
    let shown = |value: Expr, fault_is_shown| {
        let show = if value.ty == Ty::Int { Show::Signed } else { Show::Text };
        Piece::Value(Shown { value, show, spec: Spec::default(), fault_is_shown })
    };
    let pieces = parts
        .into_iter()
        .map(|part| match part {
            Part::Show(value) => shown(value, true),
            Part::Need(value) => shown(value, false),
            Part::Text(text) => Piece::Text(text.as_bytes().to_vec()),
        })
        .collect();
    Stmt::Print(Print { kind: ctp_lang::ir::PrintKind::Text, pieces, span: span() })
}

/// A program over binaries (their index is their [`FileIndex`]) and containers.
pub(crate) struct Case<'a> {
    pub(crate) program: Program,
    binaries: Vec<&'a Binary>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(binaries: &[&'a Binary], containers: Vec<Container>) -> Case<'a> {
        let files = (0u32..)
            .zip(binaries)
            .map(|(id, binary)| File { id: FileId(id), path: binary.path.display().to_string(), build_id: None })
            .collect();
        Case { program: Program { containers, files, ..Program::default() }, binaries: binaries.to_vec() }
    }

    pub(crate) fn number(mut self, name: &str) -> Self {
        let kind = GlobalKind::Scalar { ty: Ty::Int, initial: Constant::Int(0) };
        self.program.globals.push(Global { name: name.to_owned(), span: span(), kind, printed_at_end: true });
        self
    }

    pub(crate) fn string(mut self, name: &str, initial: &str) -> Self {
        let kind = GlobalKind::Scalar { ty: Ty::Str, initial: Constant::Str(initial.as_bytes().to_vec()) };
        self.program.globals.push(Global { name: name.to_owned(), span: span(), kind, printed_at_end: true });
        self
    }

    pub(crate) fn map(mut self, name: &str, keys: &[Ty], value: Ty, size: Option<u32>) -> Self {
        let kind = GlobalKind::Map { keys: keys.to_vec(), value, size };
        self.program.globals.push(Global { name: name.to_owned(), span: span(), kind, printed_at_end: true });
        self
    }

    pub(crate) fn stats(mut self, name: &str, keys: &[Ty], shape: StatsShape) -> Self {
        let kind = GlobalKind::Stats { keys: keys.to_vec(), shape, size: None };
        self.program.globals.push(Global { name: name.to_owned(), span: span(), kind, printed_at_end: true });
        self
    }

    pub(crate) fn site(&self, file: usize, function: &str, containers: &[u32]) -> Site {
        let (address, file_offset) = self.binaries[file].function(function);
        Site {
            file: FileIndex(u32::try_from(file).unwrap()),
            containers: containers.iter().copied().map(ContainerIndex).collect(),
            address,
            file_offset,
            function: Arc::from(function),
            kind: SiteKind::OutOfLine,
            rule: AddressRule::LowPc,
            passed: 0,
            price: ctp_lang::debuginfo::facts::Price::Stepped,
            repeats: false,
            semaphore: None,
            mark: None,
            exits: None,
        }
    }

    /// A probe at functions of files: (file, function, containers).
    pub(crate) fn probe(self, at: &[(usize, &str, &[u32])], body: Vec<Stmt>) -> Self {
        self.probe_handler(at, Handler { body, ..Handler::default() })
    }

    pub(crate) fn probe_handler(mut self, at: &[(usize, &str, &[u32])], handler: Handler) -> Self {
        let sites = at.iter().map(|(file, function, containers)| self.site(*file, function, containers)).collect();
        let point = format!("probe {}", self.program.probes.len());
        let kind = ProbeKind::Sites(vec![Variant { sites, handler, returns: None, frame: None }]);
        self.program.probes.push(Probe { point, span: span(), kind });
        self
    }

    /// What the engine finds amiss with the inodes that are executed.
    pub(crate) fn warnings(&self, engine: &BpfEngine) -> Vec<Warning> {
        let open = |file: FileIndex| self.binaries.get(file.0 as usize).map(|binary| binary.fd());
        engine.warnings(&self.program, &open)
    }

    pub(crate) fn start(&self) -> BpfEngine {
        self.start_with(&Options::default())
    }

    pub(crate) fn start_with(&self, options: &Options) -> BpfEngine {
        let fds: HashMap<FileId, BorrowedFd<'_>> =
            (0u32..).map(FileId).zip(self.binaries.iter().map(|binary| binary.fd())).collect();
        match BpfEngine::load(&self.program, options, &|file| fds.get(&file).copied()) {
            Ok(mut engine) => {
                let files = &self.program.files;
                let open = |index: FileIndex| Some((*fds.get(&files[index.0 as usize].id)?, "the test's program"));
                engine.attach(&open).unwrap();
                engine
            }
            Err(StartError::Program(errors)) => panic!("{errors:#?}"),
            Err(StartError::Machine(failure)) => {
                panic!("{}\n{:?}\n{}", failure.message, failure.notes, failure.log.as_deref().unwrap_or_default())
            }
        }
    }
}

/// All events there are.
pub(crate) fn drain(engine: &mut BpfEngine) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let before = events.len();
        engine.poll(Duration::ZERO, None, &mut |event| events.push(event)).unwrap();
        if events.len() == before {
            return events;
        }
    }
}

/// What the outputs of events look like.
pub(crate) fn written(engine: &BpfEngine, events: &[Event]) -> String {
    let mut out = Vec::new();
    for printed in events.iter().flat_map(|event| &event.prints) {
        write_print(&mut out, engine.print(printed.print).unwrap(), &printed.values, &ctp_lang::ir::Program::default());
    }
    String::from_utf8_lossy(&out).into_owned()
}
