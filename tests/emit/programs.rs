//! Programs as the checker gives them, made by hand: one container, one file, sites at addresses from other tools.
//! When programs come from `.ctp` texts, this file is what goes.

use std::sync::Arc;

use ctp_lang::debuginfo::facts::{AddressRule, BuildId, Register, SiteKind};
use ctp_lang::ir::{
    ContainerIndex, Expr, ExprKind, File, FileIndex, Handler, Piece, Print, Probe, ProbeKind, Program, Show, Shown,
    Site, Spec, Stmt, Target, TargetStep, Ty, Variant,
};
use ctp_lang::source::{SourceId, Sources, Span};
use ctp_lang::world::{Cgroup, Container, FileId, Runtime};

/// A place in the only source.
pub(crate) fn span() -> Span {
    Span::new(SourceId(0), 0, 5)
}

/// A source text under a name.
pub(crate) fn sources(text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.add("hello.ctp", text);
    sources
}

/// A container.
pub(crate) fn container(name: &str) -> Container {
    Container {
        kind: Default::default(),
        id: "4f1c0a9be0d24c7f8a3d1e5b6c7d8e9f4f1c0a9be0d24c7f8a3d1e5b6c7d8e9f".to_owned(),
        name: Some(name.to_owned()),
        runtime: Runtime::Docker,
        image: Some("test:latest".to_owned()),
        image_digests: Vec::new(),
        labels: Vec::new(),
        pod: None,
        init_pid: 4242,
        cgroup: Some(Cgroup { folder: "/sys/fs/cgroup/docker/4f1c".to_owned(), id: 77, level: 2 }),
        boundary: None,
        pid_level: 1,
    }
}

/// A program with one container and one file, and these probes.
pub(crate) fn program(probes: Vec<Probe>) -> Program {
    Program {
        containers: vec![container("web")],
        files: vec![File { id: FileId(0), path: "/app/test_app".to_owned(), build_id: Some(BuildId(vec![0xab; 20])) }],
        probes,
        ..Program::default()
    }
}

/// A site of the only file.
pub(crate) fn site(function: &str, address: u64, kind: SiteKind, rule: AddressRule) -> Site {
    Site {
        file: FileIndex(0),
        containers: Arc::new([ContainerIndex(0)]),
        address,
        file_offset: address,
        function: function.into(),
        kind,
        rule,
        passed: 0,
        price: ctp_lang::debuginfo::facts::Price::Stepped,
        repeats: false,
        semaphore: None,
        mark: None,
        exits: None,
    }
}

/// A probe of sites that all run the same.
pub(crate) fn probe(sites: Vec<Site>, body: Vec<Stmt>) -> Probe {
    variants(vec![Variant { sites, handler: handler(body), returns: None, frame: None }])
}

/// A handler without locals and condition.
pub(crate) fn handler(body: Vec<Stmt>) -> Handler {
    Handler { locals: vec![], condition: None, body }
}

/// A probe of several variants.
pub(crate) fn variants(variants: Vec<Variant>) -> Probe {
    Probe {
        point: "container(\"web\"):/app/test_app.fn(…)".to_owned(), span: span(), kind: ProbeKind::Sites(variants)
    }
}

/// An expression.
pub(crate) fn expr(ty: Ty, kind: ExprKind) -> Expr {
    Expr { ty, kind, span: span() }
}

/// A number of the program that lies in memory, as code without optimisation keeps it.
pub(crate) fn in_memory(variable: &str, steps: Vec<TargetStep>) -> Expr {
    let address = Box::new(expr(Ty::Int, ExprKind::Register(Register(6))));
    let value = expr(Ty::Int, ExprKind::Load { address, size: 4, signed: true });
    target(Ty::Int, variable, steps, value)
}

/// A number of the program that lies in a register.
pub(crate) fn in_register(variable: &str, register: u16) -> Expr {
    let register = Box::new(expr(Ty::Int, ExprKind::Register(Register(register))));
    let value = expr(Ty::Int, ExprKind::Extend { value: register, bits: 32, signed: true });
    target(Ty::Int, variable, vec![], value)
}

/// A text of the program.
pub(crate) fn text(variable: &str, mut steps: Vec<TargetStep>) -> Expr {
    steps.push(TargetStep::Text);
    let address = Box::new(expr(Ty::Int, ExprKind::Register(Register(5))));
    let value = expr(Ty::Str, ExprKind::UserString(address));
    target(Ty::Str, variable, steps, value)
}

fn target(ty: Ty, variable: &str, steps: Vec<TargetStep>, value: Expr) -> Expr {
    expr(ty, ExprKind::Target(Target { variable: variable.to_owned(), steps, value: Box::new(value) }))
}

/// A value in an output that shows `<fault>` where it cannot be read.
pub(crate) fn shown(value: Expr, show: Show) -> Piece {
    Piece::Value(Shown { value, show, spec: Spec::default(), fault_is_shown: true })
}

/// A fixed text in an output.
pub(crate) fn words(text: &str) -> Piece {
    Piece::Text(text.as_bytes().to_vec())
}

/// An output.
pub(crate) fn print(pieces: Vec<Piece>) -> Stmt {
    Stmt::Print(Print { kind: ctp_lang::ir::PrintKind::Text, pieces, span: span() })
}
