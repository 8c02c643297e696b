//! Owns where an expression stands: which body, which site, which names it knows, and what may be used there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::{AtSite, Checker};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{FunctionIndex, Local, LocalIndex, Ty};
use crate::source::Span;

/// What the statements belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// None: a constant.
    Constant,
    /// `begin`, `end` or `every`.
    Host,
    /// A handler at a site.
    Site,
    /// A handler whose point was not found (which was said): what it needs of a site is not judged.
    Unresolved,
    /// A function of the program; what it gives.
    Function(FunctionIndex, Option<Ty>),
}

/// Where a handler runs.
pub(super) struct Scope<'a> {
    /// The site, for probes at addresses.
    pub(super) site: Option<AtSite<'a>>,
    /// What the statements belong to.
    pub(super) body: Body,
    /// Names of locals with their types.
    pub(super) locals: Vec<(String, Ty)>,
    /// Where in `locals` each name is.
    place_of: HashMap<String, usize>,
    /// Names that mean another local inside a loop, the innermost last.
    pub(super) renamed: RefCell<Vec<(String, LocalIndex)>>,
    /// Locals that the program does not write, behind the others.
    pub(super) temporaries: RefCell<Vec<Ty>>,
    /// How many loops are around.
    pub(super) loops: Cell<usize>,
}

impl<'a> Scope<'a> {
    /// A scope with these locals.
    pub(super) fn new(body: Body, site: Option<AtSite<'a>>, locals: Vec<(String, Ty)>) -> Scope<'a> {
        let (renamed, temporaries) = (RefCell::default(), RefCell::default());
        let place_of = locals.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Scope { site, body, locals, place_of, renamed, temporaries, loops: Cell::new(0) }
    }

    /// The local a name means here.
    pub(super) fn local(&self, name: &str) -> Option<(LocalIndex, Ty)> {
        let renamed = self.renamed.borrow().iter().rev().find(|(known, _)| known == name).map(|(_, index)| *index);
        let index = match renamed {
            Some(index) => index,
            None => LocalIndex(u32::try_from(*self.place_of.get(name)?).ok()?),
        };
        self.locals.get(index.0 as usize).map(|(_, ty)| (index, *ty))
    }

    /// A new local that no name means.
    pub(super) fn temporary(&self, ty: Ty) -> LocalIndex {
        let mut temporaries = self.temporaries.borrow_mut();
        temporaries.push(ty);
        LocalIndex(u32::try_from(self.locals.len() + temporaries.len() - 1).unwrap_or(u32::MAX))
    }

    /// All locals, as the program has them at last.
    pub(super) fn into_locals(self) -> Vec<Local> {
        let count = self.locals.len();
        let named = self.locals.into_iter().map(|(name, ty)| Local { name, ty });
        let own = self.temporaries.into_inner().into_iter().enumerate();
        named.chain(own.map(|(index, ty)| Local { name: format!("key.{}", count + index), ty })).collect()
    }
}

/// What a function of the program needs of where it is called.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// A task that hit a probe: where and what for.
    pub(super) task: Option<(Span, String)>,
    /// `begin`, `end` or `every`: where and what for.
    pub(super) host: Option<(Span, String)>,
    /// What is to be said where it runs at a probe.
    pub(super) racy: Vec<Diagnostic>,
}

impl Checker<'_> {
    /// Whether there is a task that hit a probe; otherwise reported.
    pub(super) fn needs_task(&mut self, what: &str, span: Span, scope: &Scope<'_>) -> bool {
        match scope.body {
            Body::Site | Body::Unresolved => return true,
            Body::Function(index, _) => {
                if let Some(needs) = self.needs.get_mut(index.0 as usize) {
                    needs.task.get_or_insert((span, what.to_owned()));
                }
                return true;
            }
            Body::Host => self.report(
                Diagnostic::new(Code::E0206, span, format!("{what} needs a task that hit a probe"))
                    .note("`begin`, `end` and `every` run outside the traced programs"),
            ),
            Body::Constant => self.report(not_constant(span)),
        }
        false
    }

    /// Whether whole maps may be worked on; otherwise reported.
    pub(super) fn needs_host(&mut self, what: &str, span: Span, scope: &Scope<'_>) -> bool {
        match scope.body {
            Body::Host => return true,
            Body::Function(index, _) => {
                if let Some(needs) = self.needs.get_mut(index.0 as usize) {
                    needs.host.get_or_insert((span, what.to_owned()));
                }
                return true;
            }
            Body::Site | Body::Unresolved => self.report(
                Diagnostic::new(Code::E0206, span, format!("{what} belongs to `begin`, `end` and `every`"))
                    .note("a handler at a probe stops the traced program: it may not go through a whole map")
                    .help("probe every(1s) { … } or probe end { … }"),
            ),
            Body::Constant => self.report(not_constant(span)),
        }
        false
    }

    /// The site for what only a site has (`$name`); `None` where that is wrong (which is reported) or not known.
    pub(super) fn site_for<'s>(&mut self, what: &str, span: Span, scope: &Scope<'s>) -> Option<AtSite<'s>> {
        if scope.site.is_some() {
            return scope.site;
        }
        match scope.body {
            // The point was reported.
            Body::Site | Body::Unresolved => {}
            Body::Host => self.report(
                Diagnostic::new(Code::E0206, span, format!("{what} needs a function: here no program is stopped"))
                    .note("`begin`, `end` and `every` run outside the traced programs"),
            ),
            Body::Function(..) => self.report(
                Diagnostic::new(Code::E0206, span, format!("{what} belongs to the handler of a probe"))
                    .note("a function of the program may be called from any handler")
                    .help("give the function a parameter, and call it with the value"),
            ),
            Body::Constant => self.report(not_constant(span)),
        }
        None
    }
}

/// What is not known before the program runs.
pub(super) fn not_constant(span: Span) -> Diagnostic {
    Diagnostic::new(Code::E0209, span, "this is not known before the program runs")
        .help("use numbers, strings, constants and operators only")
}
