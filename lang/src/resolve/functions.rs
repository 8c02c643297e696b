//! Owns file + `.fn("name")` → functions with the sites a point means.

use std::rc::Rc;
use std::sync::Arc;

use super::places::{self, WantedPlace};
use super::{Held, Match, Resolver, holders};
use crate::codes::Code;
use crate::debuginfo::facts::{DebugError, Function, Site, SiteKind};
use crate::diagnostic::Diagnostic;
use crate::glob::is_glob;
use crate::source::Span;
use crate::syntax::ast::{Narrow, What};
use crate::world::FileId;

/// Which functions a point asks for.
pub(super) struct WantedFunction {
    name: String,
    narrow: Option<Narrow>,
    /// Whether the calls' ends are wanted: inlined instances have none.
    returns: bool,
    span: Span,
}

/// What a point's last part asks for.
pub(super) enum Wanted {
    /// Functions by name.
    Function(WantedFunction),
    /// Something else.
    Place(WantedPlace),
}

/// Reads what a point's last part asks for; `None` where it cannot be done, which was reported.
pub(super) fn wanted(what: &What, diagnostics: &mut Vec<Diagnostic>) -> Option<Wanted> {
    match what {
        What::Fn { name, narrow: Some(Narrow::Inline), returns: true, .. } => {
            diagnostics.push(
                Diagnostic::new(Code::E0206, name.span, "inlined code has no return of its own")
                    .help("leave out `.inline`, or `.return`"),
            );
            None
        }
        What::Fn { name, narrow, returns, .. } => {
            let name = (name.text().into_owned(), name.span);
            Some(Wanted::Function(WantedFunction { name: name.0, narrow: *narrow, returns: *returns, span: name.1 }))
        }
        What::Line(text) => places::line(text, diagnostics).map(Wanted::Place),
        What::Mark { provider, name } => Some(Wanted::Place(WantedPlace::Mark {
            provider: provider.as_ref().map(|provider| provider.text().into_owned()),
            name: name.text().into_owned(),
            span: name.span,
        })),
        What::Addr(address) => places::address(address, diagnostics).map(Wanted::Place),
        // In a program the parser said so.
        What::Nothing => None,
    }
}

impl Resolver<'_> {
    /// Finds the wanted functions in a file, for those who hold it.
    pub(super) fn functions(
        &mut self,
        file: FileId,
        held: &Arc<[Held]>,
        wanted: &WantedFunction,
        place: Span,
        matches: &mut Vec<Match>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let path = self.path_of(file);
        let holders = self.holders_of(held);
        let module = match self.module(file).and_then(|module| module.traced().map(|()| module)) {
            Ok(module) => module,
            Err(error) => {
                problems.push(unreadable(&path, &holders, &error, place));
                return;
            }
        };
        let found = self
            .found
            .entry((file, wanted.name.clone()))
            .or_insert_with(|| Ok(module.functions(&wanted.name)?.into_iter().map(Rc::new).collect()))
            .clone();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                problems.push(unreadable(&path, &holders, &error, place));
                return;
            }
        };
        if found.is_empty() {
            let message = if is_glob(&wanted.name) {
                format!("no function of `{path}` in {holders} matches `{}`", wanted.name)
            } else {
                format!("`{path}` in {holders} has no function `{}`", wanted.name)
            };
            let mut problem =
                Diagnostic::new(Code::E0104, wanted.span, message).nearest(&module.nearest_functions(&wanted.name, 3));
            if !module.has_dwarf() {
                problem =
                    problem.note("no debug info of the file was found: only the names of its symbol tables are known");
            }
            for note in module.notes() {
                problem = problem.note(note);
            }
            problems.push(problem);
            return;
        }
        let before = matches.len();
        let glob = is_glob(&wanted.name) && !found.iter().any(|function| function.name == wanted.name);
        let narrow = if wanted.returns { Some(Narrow::Call) } else { wanted.narrow };
        // A thunk goes on into the function that it is one of, where the call is hit.
        let thunks = if glob { found.iter().filter(|function| function.is_thunk()).count() } else { 0 };
        let thunks = if thunks < found.len() { thunks } else { 0 };
        if thunks > 0 {
            problems.push(left_out(&wanted.name, &path, thunks, wanted.span));
        }
        for function in found.iter().filter(|function| thunks == 0 || !function.is_thunk()) {
            let inlined = function.sites.iter().filter(|site| is_inlined(site)).count();
            let function = narrowed(function, narrow);
            if !function.sites.is_empty() {
                matches.push(Match {
                    held: Arc::clone(held),
                    module: Rc::clone(&module),
                    function: Rc::clone(&function),
                    glob,
                });
            }
            if wanted.returns && wanted.narrow.is_none() && inlined > 0 && !function.sites.is_empty() {
                problems.push(inlined_returns(&function.name, inlined, wanted.span));
            }
        }
        if matches.len() == before {
            problems.push(no_site(&found, wanted, &path, &holders));
        }
    }

    /// Those who hold files, for messages.
    pub(super) fn holders_of(&self, held: &[Held]) -> String {
        let containers = held.iter().flat_map(|held| held.containers.iter());
        holders(containers.filter_map(|&index| self.container(index)))
    }
}

/// The function with the sites that `.call` or `.inline` leave.
fn narrowed(function: &Rc<Function>, narrow: Option<Narrow>) -> Rc<Function> {
    let Some(narrow) = narrow else { return Rc::clone(function) };
    let mut copy = Function::clone(function);
    copy.sites.retain(|site| match narrow {
        Narrow::Call => !is_inlined(site),
        Narrow::Inline => is_inlined(site),
    });
    Rc::new(copy)
}

fn is_inlined(site: &Site) -> bool {
    matches!(site.kind, SiteKind::Inlined { .. })
}

fn left_out(name: &str, path: &str, count: usize, span: Span) -> Diagnostic {
    let thunks = if count == 1 { "1 thunk is".to_owned() } else { format!("{count} thunks are") };
    Diagnostic::new(Code::W0008, span, format!("{thunks} left out of what `{name}` matches in `{path}`"))
        .note("a virtual call that comes through a thunk goes on into the function itself, and is hit there")
}

fn inlined_returns(name: &str, count: usize, span: Span) -> Diagnostic {
    let places = if count == 1 { "in 1 place".to_owned() } else { format!("in {count} places") };
    Diagnostic::new(Code::W0004, span, format!("`{name}` was also inlined, {places}: those calls have no return"))
        .note("inlined code is left as any other code of the function around it")
        .help("`.call` before `.return` says that calls of the function itself are meant")
}

fn no_site(found: &[Rc<Function>], wanted: &WantedFunction, path: &str, holders: &str) -> Diagnostic {
    let sites: usize = found.iter().map(|function| function.sites.len()).sum();
    let problem = Diagnostic::new(
        Code::E0112,
        wanted.span,
        format!("`{}` in `{path}` of {holders} has no place to probe", wanted.name),
    );
    match (sites, wanted.narrow) {
        (1.., _) if wanted.returns => problem
            .note("it exists only inlined into other functions, and inlined code has no return of its own")
            .help("leave out `.return` to probe those places"),
        (0, _) | (_, None) => problem.note("debug info names it, but the compiler left no code of it in this file"),
        (_, Some(Narrow::Call)) => {
            problem.note("it exists only inlined into other functions").help("leave out `.call` to probe those")
        }
        (_, Some(Narrow::Inline)) => {
            problem.note("it was inlined nowhere").help("leave out `.inline` to probe the function itself")
        }
    }
}

pub(super) fn unreadable(path: &str, holders: &str, error: &DebugError, span: Span) -> Diagnostic {
    Diagnostic::new(Code::E0109, span, format!("`{path}` in {holders} cannot be read as a program: {error}"))
}
