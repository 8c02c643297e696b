//! Owns sites + facts → IR: names, types and formats of a program judged, handlers lowered for each site.

mod allow;
mod assign;
mod call;
mod expr;
mod format;
mod infer;
mod nature;
mod place;
mod print;
mod stmt;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::codes::Code;
use crate::debuginfo::Module;
use crate::debuginfo::facts;
use crate::diagnostic::Diagnostic;
use crate::interpret;
use crate::ir::{self, Constant, EnumIndex, EnumNames, Handler, Probe, ProbeKind, Program, Site, Ty, Variant};
use crate::resolve::{Match, Resolver, unsupported};
use crate::source::{Sources, Span};
use crate::stats::Stats;
use crate::syntax::ast::{self, File, ItemKind, PointKind};
use crate::value::Value;
use crate::world::World;

use infer::GlobalUse;
use nature::Nature;

/// The shortest period of `every`, in nanoseconds.
const SHORTEST_PERIOD: i64 = 1_000_000;
/// The most entries a map may be declared with.
const LARGEST_MAP: i64 = 16_777_216;

/// Checks parsed texts as one program against a world. The program is there only where nothing is wrong.
pub fn check(sources: &Sources, files: &[File], world: &dyn World) -> (Option<Program>, Vec<Diagnostic>) {
    let mut checker = Checker {
        sources,
        resolver: Resolver::new(world),
        globals: infer::globals(files),
        constants: HashMap::new(),
        initials: HashMap::new(),
        sizes: HashMap::new(),
        enums: Vec::new(),
        unmatched: Vec::new(),
        diagnostics: Vec::new(),
        said: HashSet::new(),
        errors: 0,
    };
    checker.items(files);
    checker.declarations(files);
    let mut probes = Vec::new();
    for item in files.iter().flat_map(|file| &file.items) {
        if let ItemKind::Probe(probe) = &item.kind {
            checker.probe(probe, &mut probes);
        }
    }
    checker.unused(files);
    let mut diagnostics = checker.diagnostics;
    allow::silence(&mut diagnostics, files);
    let globals =
        checker.globals.iter().map(|global| lower_global(global, &checker.initials, &checker.sizes)).collect();
    let (containers, files) = checker.resolver.finish();
    let good = !diagnostics.iter().any(Diagnostic::is_error);
    let program = good.then_some(Program {
        containers,
        files,
        globals,
        functions: Vec::new(),
        enums: checker.enums,
        layouts: Vec::new(),
        probes,
        unmatched: checker.unmatched,
    });
    (program, diagnostics)
}

/// What is known while a program is checked.
struct Checker<'a> {
    sources: &'a Sources,
    resolver: Resolver<'a>,
    globals: Vec<GlobalUse>,
    constants: HashMap<String, Constant>,
    /// What globals hold at first, and how many entries maps may hold, where declared.
    initials: HashMap<String, Constant>,
    sizes: HashMap<String, u32>,
    enums: Vec<EnumNames>,
    /// Optional points that match nothing.
    unmatched: Vec<String>,
    diagnostics: Vec<Diagnostic>,
    /// What was reported: sites of one probe repeat what is wrong with its handler, and each is said once.
    said: HashSet<(Code, Span, String)>,
    /// Errors met so far, repeated ones too: a handler during which none came is good.
    errors: usize,
}

/// Where a handler runs.
struct Scope<'a> {
    /// The site, for probes at addresses.
    site: Option<AtSite<'a>>,
    /// Names of locals with their types.
    locals: Vec<(String, Ty)>,
}

/// The function, the site in it, and the module its types are in.
#[derive(Clone, Copy)]
struct AtSite<'a> {
    module: &'a Rc<Module>,
    function: &'a facts::Function,
    site: &'a facts::Site,
}

/// A checked expression.
struct Typed {
    /// How it is computed; where `missing` says why not, a stand-in of the right type.
    value: ir::Expr,
    /// What it is to the program.
    nature: Nature,
    /// Why it cannot be had at this site.
    missing: Option<Missing>,
}

/// Why a value cannot be had at a site.
struct Missing {
    /// The variable as written.
    name: String,
    why: facts::Unavailable,
}

impl<'a> Checker<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        if self.said.insert((diagnostic.code, diagnostic.primary.span, diagnostic.message.clone())) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Constants, and names that are defined twice or not supported yet.
    fn items(&mut self, files: &[File]) {
        let mut defined: HashMap<&str, Span> = HashMap::new();
        for item in files.iter().flat_map(|file| &file.items) {
            let names: Vec<&ast::Ident> = match &item.kind {
                ItemKind::Global(list) => list.iter().map(|declaration| &declaration.name).collect(),
                ItemKind::Const { name, .. } => vec![name],
                ItemKind::Function(function) => {
                    self.report(unsupported(function.name.span, "a function of the program"));
                    vec![&function.name]
                }
                ItemKind::Import(path) => {
                    self.report(unsupported(path.span, "`import`"));
                    Vec::new()
                }
                ItemKind::Probe(_) | ItemKind::Broken => Vec::new(),
            };
            for name in names {
                match defined.insert(&name.name, name.span) {
                    None => {}
                    Some(before) => self.report(
                        Diagnostic::new(Code::E0107, name.span, format!("`{}` is defined twice", name.name))
                            .also(before, "first defined here"),
                    ),
                }
            }
            if let ItemKind::Const { name, value } = &item.kind
                && let Some(constant) = self.constant(value)
            {
                self.constants.insert(name.name.clone(), constant);
            }
        }
    }

    /// What the declarations of globals say of their values and sizes.
    fn declarations(&mut self, files: &[File]) {
        for item in files.iter().flat_map(|file| &file.items) {
            let ItemKind::Global(list) = &item.kind else { continue };
            for declaration in list {
                let name = &declaration.name.name;
                if let Some(initial) = declaration.value.as_ref().and_then(|value| self.constant(value)) {
                    self.initials.insert(name.clone(), initial);
                }
                let Some(size) = &declaration.size else { continue };
                match self.constant(size) {
                    Some(Constant::Int(entries)) if (1..=LARGEST_MAP).contains(&entries) => {
                        self.sizes.insert(name.clone(), u32::try_from(entries).unwrap_or(u32::MAX));
                    }
                    Some(_) => self.report(
                        Diagnostic::new(Code::E0201, size.span, format!("a map holds from 1 to {LARGEST_MAP} entries"))
                            .help(format!("global {name}[10000]")),
                    ),
                    None => {}
                }
            }
        }
    }

    /// The value of an expression known when compiled; otherwise reported.
    fn constant(&mut self, expr: &ast::Expr) -> Option<Constant> {
        let scope = Scope { site: None, locals: Vec::new() };
        let typed = self.expr(expr, &scope)?;
        match interpret::evaluate(&typed.value, &mut Nothing) {
            Ok(Value::Int(number)) => Some(Constant::Int(number)),
            Ok(Value::Str { bytes, .. }) => Some(Constant::Str(bytes)),
            Ok(Value::Fault | Value::Stats(_) | Value::Table(_))
            | Err(interpret::Stop::Fault(_) | interpret::Stop::StepLimit(_) | interpret::Stop::NotHere(_)) => {
                self.report(
                    Diagnostic::new(Code::E0209, expr.span, "this is not known before the program runs")
                        .help("use numbers, strings, constants and operators only"),
                );
                None
            }
            Err(interpret::Stop::DivisionByZero(span)) => {
                self.report(Diagnostic::new(Code::E0208, span, "division by zero"));
                None
            }
        }
    }

    fn probe(&mut self, probe: &ast::Probe, probes: &mut Vec<Probe>) {
        for point in &probe.points {
            let text = self.sources.slice(point.span).split_whitespace().collect::<Vec<_>>().join(" ");
            let kind = match &point.kind {
                PointKind::Begin => self.untargeted(probe, point.span).map(ProbeKind::Begin),
                PointKind::End => self.untargeted(probe, point.span).map(ProbeKind::End),
                PointKind::Every(period) => {
                    let period = self.period(period);
                    let handler = self.untargeted(probe, point.span);
                    period.zip(handler).map(|(period, handler)| ProbeKind::Every { period, handler })
                }
                PointKind::Site { .. } => {
                    let mut diagnostics = Vec::new();
                    let matches = self.resolver.point(point, &mut diagnostics);
                    if matches.is_empty() && diagnostics.is_empty() {
                        self.unmatched.push(text.clone());
                    }
                    diagnostics.into_iter().for_each(|diagnostic| self.report(diagnostic));
                    self.sites(probe, point.span, &matches).map(ProbeKind::Sites)
                }
            };
            if let Some(kind) = kind {
                probes.push(Probe { point: text, span: point.span, kind });
            }
        }
    }

    fn period(&mut self, expr: &ast::Expr) -> Option<u64> {
        match self.constant(expr)? {
            Constant::Int(period) if period >= SHORTEST_PERIOD => u64::try_from(period).ok(),
            Constant::Int(_) => {
                self.report(
                    Diagnostic::new(Code::E0201, expr.span, "the period is shorter than 1 ms")
                        .help("write it with its unit: every(1s), every(100ms); a bare number counts nanoseconds"),
                );
                None
            }
            Constant::Str(_) => {
                self.report(
                    Diagnostic::new(Code::E0201, expr.span, "a period is a time, not a text")
                        .help("write it with its unit: every(1s), every(100ms)"),
                );
                None
            }
        }
    }

    /// The handler of `begin`, `end` or `every`.
    fn untargeted(&mut self, probe: &ast::Probe, point: Span) -> Option<Handler> {
        if probe.body.is_none() {
            self.report(
                Diagnostic::new(Code::E0008, point, "this point has no function whose parameters could be printed")
                    .help("give the probe a body: { … }"),
            );
            return None;
        }
        self.handler(probe, point, None)
    }

    /// Lowers the handler for every site of every match; equal handlers share a variant.
    fn sites(&mut self, probe: &ast::Probe, point: Span, matches: &[Match]) -> Option<Vec<Variant>> {
        if matches.is_empty() {
            // What names mean in the handler is not known without a site: it is not judged.
            return None;
        }
        let mut variants: Vec<Variant> = Vec::new();
        let mut good = true;
        for found in matches {
            let name: Arc<str> = found.function.name.as_str().into();
            for site in &found.function.sites {
                let at = AtSite { module: &found.module, function: &found.function, site };
                let Some(handler) = self.handler(probe, point, Some(at)) else {
                    good = false;
                    continue;
                };
                let lowered = Site {
                    file: found.file,
                    containers: Arc::clone(&found.containers),
                    address: site.address,
                    file_offset: site.file_offset,
                    function: Arc::clone(&name),
                    kind: site.kind.clone(),
                    rule: site.rule,
                    repeats: site.repeats,
                    semaphore: None,
                    exits: None,
                };
                if site.partial {
                    self.report(
                        Diagnostic::new(
                            Code::W0006,
                            point,
                            format!("calls of `{}` that were inlined may be missed", found.function.name),
                        )
                        .note(format!(
                            "the inlined copy at {:#x} may stand for several turns of an unrolled loop, which its debug \
                             info does not tell apart",
                            site.address
                        )),
                    );
                }
                if site.repeats {
                    self.report(
                        Diagnostic::new(
                            Code::W0005,
                            point,
                            format!("one call of `{}` may hit several times", found.function.name),
                        )
                        .note(format!(
                            "a loop leads back to {:#x}, the first address at which its values are right",
                            site.address
                        )),
                    );
                }
                match variants.iter_mut().find(|variant| variant.handler == handler) {
                    Some(variant) => variant.sites.push(lowered),
                    None => variants.push(Variant { sites: vec![lowered], handler, returns: None }),
                }
            }
        }
        good.then_some(variants)
    }

    fn handler(&mut self, probe: &ast::Probe, point: Span, site: Option<AtSite<'_>>) -> Option<Handler> {
        let errors = self.errors;
        let body = probe.body.as_ref();
        let locals = body.map_or_else(Vec::new, |body| infer::locals(body, &self.globals, &self.constants));
        let scope = Scope { site, locals };
        let condition = probe.condition.as_ref().and_then(|condition| self.condition(condition, &scope));
        let mut body = Vec::new();
        match &probe.body {
            Some(block) => self.block(block, &scope, &mut body),
            None => body.extend(self.parameters_line(point, &scope)),
        }
        let locals = scope.locals.into_iter().map(|(name, ty)| ir::Local { name, ty }).collect();
        (self.errors == errors).then_some(Handler { locals, condition, body })
    }

    /// The index of an enumeration's names, added where it is new.
    fn intern_enum(&mut self, name: Option<&String>, names: &[(i64, String)]) -> EnumIndex {
        let wanted = EnumNames { name: name.cloned(), names: names.to_vec() };
        let index = self.enums.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            self.enums.push(wanted);
            self.enums.len() - 1
        });
        EnumIndex(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Warns of globals that nothing uses. A text that could not be read whole may use them where it is broken.
    fn unused(&mut self, files: &[File]) {
        if files.iter().flat_map(|file| &file.items).any(|item| matches!(item.kind, ItemKind::Broken)) {
            return;
        }
        let unused: Vec<(String, Span)> = self
            .globals
            .iter()
            .filter(|global| !global.read && !global.written)
            .map(|global| (global.name.clone(), global.span))
            .collect();
        for (name, span) in unused {
            self.report(
                Diagnostic::new(Code::W0001, span, format!("global `{name}` is never used")).help("take it out"),
            );
        }
    }
}

fn lower_global(global: &GlobalUse, initials: &HashMap<String, Constant>, sizes: &HashMap<String, u32>) -> ir::Global {
    let kind = match &global.keys {
        Some(keys) => {
            ir::GlobalKind::Map { keys: keys.clone(), value: global.value, size: sizes.get(&global.name).copied() }
        }
        None => ir::GlobalKind::Scalar {
            ty: global.value,
            initial: initials.get(&global.name).cloned().unwrap_or(match global.value {
                Ty::Int => Constant::Int(0),
                Ty::Str => Constant::Str(Vec::new()),
            }),
        },
    };
    let printed_at_end = global.written && !global.read;
    ir::Global { name: global.name.clone(), span: global.span, kind, printed_at_end }
}

/// A machine with nothing in it: what can be computed here is a constant.
struct Nothing;

impl interpret::Machine for Nothing {
    fn context(&mut self, _: ir::Context) -> Option<Value> {
        None
    }
    fn get(&mut self, _: ir::GlobalIndex, _: &[Value]) -> Option<Value> {
        Some(Value::Fault)
    }
    fn update(&mut self, _: ir::GlobalIndex, _: &[Value], _: ir::UpdateOp, _: Value) -> (Value, Value) {
        (Value::Fault, Value::Fault)
    }
    fn entries(&mut self, _: ir::GlobalIndex) -> Vec<(Vec<Value>, Value)> {
        Vec::new()
    }
    fn delete(&mut self, _: ir::GlobalIndex, _: &[Value]) {}
    fn aggregate(&mut self, _: ir::GlobalIndex, _: &[Value], _: i64) {}
    fn stats(&mut self, _: ir::GlobalIndex, _: &[Value]) -> Option<Stats> {
        None
    }
    fn entry(&mut self, _: ir::EntryIndex) -> Option<Value> {
        None
    }
    fn returned(&mut self, _: facts::Register) -> Option<i64> {
        None
    }
    fn random(&mut self) -> u64 {
        0
    }
    fn max_steps(&self) -> u64 {
        0
    }
    fn register(&mut self, _: facts::Register) -> Option<i64> {
        None
    }
    fn module_address(&mut self, _: u64) -> Option<u64> {
        None
    }
    fn read_memory(&mut self, _: u64, _: &mut [u8]) -> bool {
        false
    }
    fn string_limit(&self) -> usize {
        usize::MAX
    }
}
