//! Owns sites + facts → IR: names, types and formats of a program judged, handlers lowered for each site.

mod aggregate;
mod allow;
mod argument;
mod assign;
mod call;
mod cast;
mod convention;
mod declare;
mod emit;
mod expr;
mod foreach;
mod format;
mod function;
mod go;
mod infer;
pub mod library;
mod lints;
mod member;
mod nature;
mod object;
mod order;
mod place;
mod print;
mod returns;
mod rust_results;
mod scope;
mod shape;
mod stmt;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod whole;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::codes::Code;
use crate::debuginfo::Module;
use crate::debuginfo::facts;
use crate::diagnostic::{Diagnostic, Label, nearest_names};
use crate::interpret;
use crate::ir::{
    self, Constant, EnumIndex, EnumNames, Handler, LocalIndex, Probe, ProbeKind, Program, Site, StatsShape, Ty, Variant,
};
use crate::resolve::{Held, Match, Resolver};
use crate::source::{Sources, Span};
use crate::stats::Stats;
use crate::syntax::ast::{self, File, ItemKind, PointKind};
use crate::value::Value;
use crate::world::World;

use function::Signature;
use infer::{GlobalUse, Locals};
use nature::Nature;
use returns::Moment;
use scope::{Body, Needs, Scope};
pub(crate) use shape::type_name;

/// The shortest period of `every`, in nanoseconds.
const SHORTEST_PERIOD: i64 = 1_000_000;

/// How many diagnostics are kept.
const MOST_DIAGNOSTICS: usize = 1000;
/// How many comparisons of names are made for suggestions.
const MOST_COMPARISONS: usize = 300_000;
/// How many other uses of a name that means nothing are shown.
const OTHER_USES: usize = 3;
/// The note on the last of them where there were more.
const MORE: &str = "what else there is to say is not shown";

/// What a check goes by beyond the program's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many levels of nested values are shown of one that is printed whole, at least 1.
    pub depth: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { depth: 3 }
    }
}

/// Checks parsed texts as one program against a world. The program is there only where nothing is wrong.
pub fn check(
    sources: &Sources,
    files: &[File],
    world: &dyn World,
    settings: &Settings,
) -> (Option<Program>, Vec<Diagnostic>) {
    let mut inferred = infer::infer(files);
    let globals = std::mem::take(&mut inferred.globals);
    let locals = std::mem::take(&mut inferred.locals);
    let mut checker = Checker {
        sources,
        settings: *settings,
        resolver: Resolver::new(world),
        global_of: (0..).zip(&globals).map(|(index, global)| (global.name.clone(), index)).collect(),
        shapes: vec![StatsShape::default(); globals.len()],
        globals,
        constants: HashMap::new(),
        broken: HashSet::new(),
        incomplete: false,
        functions: Vec::new(),
        function_of: HashMap::new(),
        needs: Vec::new(),
        loop_variables: locals.values().flat_map(|locals| &locals.loops).map(|(span, index)| (*span, *index)).collect(),
        locals,
        initials: HashMap::new(),
        sizes: HashMap::new(),
        enums: Vec::new(),
        layouts: Vec::new(),
        muted: 0,
        build: None,
        builds: HashMap::new(),
        unmatched: Vec::new(),
        diagnostics: Vec::new(),
        said: HashMap::new(),
        names_said: HashMap::new(),
        comparisons: Cell::new(MOST_COMPARISONS),
        saving: returns::Saving::default(),
        errors: 0,
        functions_ask_caller: false,
    };
    checker.names(files);
    checker.signatures(files);
    checker.constants(files);
    checker.declarations(files);
    let functions = checker.lower_functions(files);
    checker.functions_ask_caller = functions.iter().any(|function| returns::asks_caller(&function.body));
    let mut probes = Vec::new();
    for item in files.iter().flat_map(|file| &file.items) {
        if let ItemKind::Probe(probe) = &item.kind {
            checker.probe(probe, &mut probes);
        }
    }
    checker.unused(files, &inferred.used);
    checker.name_builds();
    let mut diagnostics = checker.diagnostics;
    allow::silence(&mut diagnostics, files);
    let globals = checker
        .globals
        .iter()
        .zip(checker.shapes)
        .map(|(global, shape)| lower_global(global, shape, &checker.initials, &checker.sizes))
        .collect();
    let (containers, files) = checker.resolver.finish();
    let good = !diagnostics.iter().any(Diagnostic::is_error);
    let program = good.then_some(Program {
        containers,
        files,
        globals,
        functions,
        enums: checker.enums,
        layouts: checker.layouts,
        probes,
        unmatched: checker.unmatched,
    });
    (program, diagnostics)
}

/// What is known while a program is checked.
struct Checker<'a> {
    /// Whether some function of the program asks for the caller of whatever was hit.
    functions_ask_caller: bool,
    sources: &'a Sources,
    resolver: Resolver<'a>,
    globals: Vec<GlobalUse>,
    global_of: HashMap<String, usize>,
    /// What the program asks of each global that is an aggregate.
    shapes: Vec<StatsShape>,
    constants: HashMap<String, Constant>,
    /// Names whose definition is wrong, which was reported: uses of them are not.
    broken: HashSet<String>,
    /// Whether some text of the program could not be read.
    incomplete: bool,
    functions: Vec<Signature>,
    function_of: HashMap<String, usize>,
    /// What each function needs of where it is called.
    needs: Vec<Needs>,
    /// The locals of each handler and function, and which of them the variables of `foreach` are.
    locals: HashMap<Span, Locals>,
    loop_variables: HashMap<Span, LocalIndex>,
    /// What globals hold at first, and how many entries maps may hold, where declared.
    initials: HashMap<String, Constant>,
    sizes: HashMap<String, u32>,
    settings: Settings,
    enums: Vec<EnumNames>,
    layouts: Vec<ir::Layout>,
    /// How many `@defined` are being asked: nothing is reported meanwhile.
    muted: u32,
    /// The build whose handler is being lowered, where the point matches several.
    build: Option<String>,
    /// The builds that diagnostics hold for, by their index.
    builds: HashMap<usize, Vec<String>>,
    /// Optional points that match nothing.
    unmatched: Vec<String>,
    diagnostics: Vec<Diagnostic>,
    /// What was reported: sites of one probe repeat what is wrong with its handler, and each is said once.
    said: HashMap<(Code, Span, String), usize>,
    /// Where it was said first that a name means nothing.
    names_said: HashMap<(Code, String), Span>,
    /// How many names may still be compared with ones that mean nothing.
    comparisons: Cell<usize>,
    /// What the handler at hand keeps from the entry of a call on.
    saving: returns::Saving,
    /// Errors met so far, repeated ones too: a handler during which none came is good.
    errors: usize,
}

/// The function, the site in it, and the module its types are in.
#[derive(Clone, Copy)]
struct AtSite<'a> {
    module: &'a Rc<Module>,
    function: &'a facts::Function,
    site: &'a facts::Site,
    /// When what is being lowered runs.
    moment: Moment,
}

/// A checked expression.
struct Typed {
    /// How it is computed; where `missing` says why not, a stand-in of the right type.
    value: ir::Expr,
    /// What it is to the program.
    nature: Nature,
    /// Why it cannot be had at this site.
    missing: Option<Missing>,
    /// What of the program it is, where it is something that has a place.
    object: Option<object::Object>,
}

/// Why a value cannot be had at a site.
struct Missing {
    /// The variable or path, with its `$`.
    name: String,
    why: facts::Unavailable,
    /// Whose addresses `why` may name.
    module: Rc<Module>,
}

impl<'a> Checker<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        if self.muted > 0 {
            return;
        }
        if self.diagnostics.len() >= MOST_DIAGNOSTICS {
            // Only an error keeps the program from being run: the first one is never left out.
            let first_error = diagnostic.is_error() && self.errors == 1;
            self.more();
            if !first_error {
                return;
            }
        }
        let key = (diagnostic.code, diagnostic.primary.span, diagnostic.message.clone());
        let index = *self.said.entry(key).or_insert_with(|| {
            self.diagnostics.push(diagnostic);
            self.diagnostics.len() - 1
        });
        if let Some(build) = &self.build {
            let builds = self.builds.entry(index).or_default();
            if !builds.contains(build) {
                builds.push(build.clone());
            }
        }
    }

    /// Says that there is more to say.
    fn more(&mut self) {
        if let Some(last) = self.diagnostics.last_mut().filter(|last| last.notes.last().is_none_or(|n| n != MORE)) {
            last.notes.push(MORE.to_owned());
        }
    }

    /// The names most like one that means nothing. Of the comparisons that takes only so many are made for one program,
    /// whatever it holds.
    fn near<'n>(&self, wanted: &str, known: impl IntoIterator<Item = &'n str>) -> Vec<String> {
        let left = self.comparisons.get();
        let mut made = 0;
        let near = nearest_names(wanted, known.into_iter().take(left).inspect(|_| made += 1), 3);
        self.comparisons.set(left.saturating_sub(made));
        near
    }

    /// Reports what is wrong with a name, unless the same was said of another use of it: then that one points here, too.
    fn report_name(&mut self, diagnostic: Diagnostic) {
        if self.muted > 0 {
            return self.report(diagnostic);
        }
        let (code, at) = (diagnostic.code, diagnostic.primary.span);
        let first = *self.names_said.entry((code, diagnostic.message.clone())).or_insert(at);
        if first == at {
            return self.report(diagnostic);
        }
        self.errors += usize::from(diagnostic.is_error());
        let index = self.said.get(&(code, first, diagnostic.message));
        if let Some(said) = index.and_then(|index| self.diagnostics.get_mut(*index))
            && said.secondary.len() < OTHER_USES
            && said.secondary.iter().all(|label| label.span != at)
        {
            said.secondary.push(Label { span: at, text: "also here".to_owned() });
        }
    }

    /// Says of each diagnostic about a handler that several builds run which of them it holds for.
    fn name_builds(&mut self) {
        for (index, builds) in std::mem::take(&mut self.builds) {
            if let Some(diagnostic) = self.diagnostics.get_mut(index) {
                diagnostic.notes.push(format!("this holds for {}", builds.join("; ")));
            }
        }
    }

    /// A build and the containers that run it, in words.
    fn build_of(&self, found: &Match) -> String {
        let names = found.containers().filter_map(|index| self.resolver.container(index));
        let names: Vec<String> = names.map(|container| container.display_name().escape_debug().to_string()).collect();
        let build = match (found.module.build_id(), found.file().and_then(|file| self.resolver.file(file))) {
            (Some(id), _) => format!("build {id}"),
            (None, Some(ir::File { path, .. })) => format!("a build of {} without build id", path.escape_debug()),
            (None, None) => "a build".to_owned(),
        };
        let word = if names.len() == 1 { "container" } else { "containers" };
        format!("{word} {} ({build})", crate::resolve::list(&names))
    }

    fn probe(&mut self, probe: &ast::Probe, probes: &mut Vec<Probe>) {
        // What would be found is not shown any more, and the program is refused as it is.
        if self.diagnostics.len() >= MOST_DIAGNOSTICS && self.errors > 0 {
            return self.more();
        }
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
                    let unmatched = matches.is_empty() && diagnostics.is_empty();
                    if unmatched {
                        self.unmatched.push(text.clone());
                    }
                    diagnostics.into_iter().for_each(|diagnostic| self.report(diagnostic));
                    // What matches nothing is a probe without sites: it may match later.
                    let sites = self.sites(probe, point, &matches);
                    sites.or_else(|| unmatched.then(Vec::new)).map(ProbeKind::Sites)
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
        self.handler(probe, point, None, Body::Host)
    }

    /// Lowers the handler for every site of every match; equal handlers share a variant.
    fn sites(&mut self, probe: &ast::Probe, point: &ast::Point, matches: &[Match]) -> Option<Vec<Variant>> {
        if matches.is_empty() {
            // What the traced program's names mean is not known without a site; all else is judged.
            if probe.body.is_some() {
                self.handler(probe, point.span, None, Body::Unresolved);
            }
            return None;
        }
        let mut variants: Vec<Variant> = Vec::new();
        let mut good = true;
        let (is_return, point) = (returns::is_return(point), point.span);
        let moment = if is_return { Moment::Return } else { Moment::Hit };
        let several = matches.iter().any(|found| found.file() != matches.first().and_then(Match::file));
        for found in matches {
            self.build = several.then(|| self.build_of(found));
            let name: Arc<str> = found.function.name.as_str().into();
            for site in &found.function.sites {
                let at = AtSite { module: &found.module, function: &found.function, site, moment };
                self.saving.clear();
                let exits = if is_return {
                    match self.exits(found, site, point) {
                        Ok(Some(exits)) => Some(exits),
                        Ok(None) => continue,
                        Err(()) => {
                            good = false;
                            continue;
                        }
                    }
                } else {
                    None
                };
                let Some(handler) = self.handler(probe, point, Some(at), Body::Site) else {
                    good = false;
                    continue;
                };
                let lowered = |held: &Held| Site {
                    file: held.file,
                    containers: Arc::clone(&held.containers),
                    address: site.address,
                    file_offset: site.file_offset,
                    function: Arc::clone(&name),
                    kind: site.kind.clone(),
                    rule: site.rule,
                    passed: site.passed,
                    price: site.price,
                    repeats: site.repeats,
                    semaphore: site.semaphore,
                    mark: site.mark.clone(),
                    exits: exits.clone(),
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
                let returns = is_return.then(|| self.returns(&handler));
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
                let frame = self.frame_for(&handler, found, site, point);
                let same =
                    |known: &&mut Variant| known.handler == handler && known.returns == returns && known.frame == frame;
                let sites = found.held.iter().map(lowered);
                match variants.iter_mut().find(same) {
                    Some(variant) => variant.sites.extend(sites),
                    None => variants.push(Variant { sites: sites.collect(), handler, returns, frame }),
                }
            }
        }
        self.build = None;
        good.then_some(variants)
    }

    fn handler(&mut self, probe: &ast::Probe, point: Span, site: Option<AtSite<'_>>, body: Body) -> Option<Handler> {
        let errors = self.errors;
        let locals = infer::key_of(probe).map(|key| self.locals_of(key)).unwrap_or_default();
        let scope = Scope::new(body, site, locals);
        let condition = probe.condition.as_ref().and_then(|condition| self.condition(condition, &scope));
        let mut body = Vec::new();
        match &probe.body {
            Some(block) => self.block(block, &scope, &mut body),
            None => body.extend(self.parameters_line(point, &scope)),
        }
        (self.errors == errors).then(|| Handler { locals: scope.into_locals(), condition, body })
    }

    /// The locals of a handler or function.
    fn locals_of(&self, key: Span) -> Vec<(String, Ty)> {
        self.locals.get(&key).map(|locals| locals.slots.clone()).unwrap_or_default()
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
}

fn lower_global(
    global: &GlobalUse,
    shape: StatsShape,
    initials: &HashMap<String, Constant>,
    sizes: &HashMap<String, u32>,
) -> ir::Global {
    let size = sizes.get(&global.name).copied();
    let kind = match (&global.keys, global.aggregate) {
        (keys, Some(_)) => ir::GlobalKind::Stats { keys: keys.clone().unwrap_or_default(), shape, size },
        (Some(keys), None) => ir::GlobalKind::Map { keys: keys.clone(), value: global.value, size },
        (None, None) => ir::GlobalKind::Scalar {
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
