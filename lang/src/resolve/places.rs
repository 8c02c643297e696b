//! Owns file + `.line(…)`, `.mark(…)`, `.addr(…)` → the places a point means, and what is near where there is none.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::{Held, Match, Resolver};
use crate::codes::Code;
use crate::debuginfo::facts::{DebugError, Function, Mark};
use crate::debuginfo::{LineQuery, Module, without_parameters};
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::glob::{is_glob, matches_glob};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Str};
use crate::world::FileId;

/// A place that a point asks for by another way than a function's name.
pub(super) enum WantedPlace {
    /// `.line("file.c:42@fn")`
    Line { query: LineQuery, function: Option<String>, span: Span },
    /// `.mark("provider", "name")`
    Mark { provider: Option<String>, name: String, span: Span },
    /// `.addr(0x1139)`
    Address { address: u64, span: Span },
}

/// Reads `FILE:LINE`, `FILE:FIRST-LAST` or `FILE:*`, each with `@FUNCTION` behind it or not.
pub(super) fn line(text: &Str, diagnostics: &mut Vec<Diagnostic>) -> Option<WantedPlace> {
    let whole = text.text();
    let (rest, function) = match whole.rsplit_once('@') {
        Some((rest, function)) if !function.contains(['/', ':']) || function.contains("::") => (rest, Some(function)),
        Some(_) | None => (&*whole, None),
    };
    let lines = rest.rsplit_once(':').and_then(|(file, lines)| {
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|line| *line > 0);
        let lines = match lines.trim() {
            "*" => None,
            one => Some(match one.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(one)?, number(one)?),
            }),
        };
        (!file.is_empty() && lines.is_none_or(|(first, last)| first <= last)).then_some((file, lines))
    });
    let Some((file, lines)) = lines else {
        diagnostics.push(
            Diagnostic::new(Code::E0008, text.span, "this names no line").help(
                "write the file and the line: .line(\"file.c:42\"); also \"file.c:10-20\", \"file.c:*@function\"",
            ),
        );
        return None;
    };
    let query = LineQuery { file: file.to_owned(), lines };
    Some(WantedPlace::Line { query, function: function.map(str::to_owned), span: text.span })
}

/// Reads an address.
pub(super) fn address(expr: &Expr, diagnostics: &mut Vec<Diagnostic>) -> Option<WantedPlace> {
    match &expr.kind {
        ExprKind::Int { value, .. } => Some(WantedPlace::Address { address: value.cast_unsigned(), span: expr.span }),
        ExprKind::Broken => None,
        _ => {
            diagnostics.push(
                Diagnostic::new(Code::E0209, expr.span, "an address is a number")
                    .help("write it as `nm` prints it: .addr(0x1139)"),
            );
            None
        }
    }
}

/// What the file of a match is called, and who holds it.
struct Where<'w> {
    path: &'w str,
    holders: &'w str,
    module: &'w Module,
}

impl Resolver<'_> {
    /// Finds the wanted place in a file, for those who hold it.
    pub(super) fn places(
        &mut self,
        file: FileId,
        held: &Arc<[Held]>,
        wanted: &WantedPlace,
        place: Span,
        matches: &mut Vec<Match>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let path = self.path_of(file);
        let holders = self.holders_of(held);
        let module = match self.module(file).and_then(|module| module.traced().map(|()| module)) {
            Ok(module) => module,
            Err(error) => {
                problems.push(super::functions::unreadable(&path, &holders, &error, place));
                return;
            }
        };
        let there = Where { path: &path, holders: &holders, module: &module };
        let found = match wanted {
            WantedPlace::Line { query, function, span } => {
                there.lines(query, function.as_deref(), *span).map(|functions| (functions, query.lines.is_none()))
            }
            WantedPlace::Mark { provider, name, span } => {
                let glob = is_glob(name) || provider.as_deref().is_some_and(is_glob);
                there.marks(provider.as_deref(), name, *span).map(|functions| (functions, glob))
            }
            WantedPlace::Address { address, span } => {
                there.address(*address, *span).map(|function| (vec![function], false))
            }
        };
        match found {
            Ok((functions, glob)) => matches.extend(functions.into_iter().map(|function| Match {
                held: Arc::clone(held),
                module: Rc::clone(&module),
                function: Rc::new(function),
                glob,
            })),
            Err(problem) => problems.push(*problem),
        }
    }
}

impl Where<'_> {
    fn unreadable(&self, error: &DebugError, span: Span) -> Box<Diagnostic> {
        Box::new(super::functions::unreadable(self.path, self.holders, error, span))
    }

    fn address(&self, address: u64, span: Span) -> Result<Function, Box<Diagnostic>> {
        let found = self.module.at_address(address).map_err(|error| self.unreadable(&error, span))?;
        found.ok_or_else(|| {
            let message = format!("no instruction is known to begin at {address:#x} of `{}`", self.path);
            Box::new(
                Diagnostic::new(Code::E0113, span, message)
                    .note("a probe between two instructions would change what the program does")
                    .help("addresses are those of the file, as `nm` and `objdump -d` print them"),
            )
        })
    }

    fn lines(&self, query: &LineQuery, function: Option<&str>, span: Span) -> Result<Vec<Function>, Box<Diagnostic>> {
        let (path, holders) = (self.path, self.holders);
        if !self.module.has_dwarf() {
            let mut problem = Diagnostic::new(
                Code::E0110,
                span,
                format!("`{path}` in {holders} has no debug info: its source lines are not known"),
            );
            problem.notes.extend(self.module.notes());
            return Err(Box::new(problem.help("build the program with -g")));
        }
        let mut found = self.module.lines(query).map_err(|error| self.unreadable(&error, span))?;
        let file = &query.file;
        if !found.file {
            return Err(Box::new(
                Diagnostic::new(Code::E0113, span, format!("`{path}` in {holders} was made of no file `{file}`"))
                    .nearest(&found.files),
            ));
        }
        let all: Vec<String> = found.functions.iter().map(|function| function.name.clone()).collect();
        if let Some(wanted) = function {
            found.functions.retain(|function| is_called(&function.name, wanted));
        }
        if !found.functions.is_empty() {
            return Ok(found.functions);
        }
        let lines = match query.lines {
            Some((first, last)) if first == last => format!("line {first} of `{file}`"),
            Some((first, last)) => format!("lines {first} to {last} of `{file}`"),
            None => format!("`{file}`"),
        };
        let problem = match function {
            Some(function) if !all.is_empty() => {
                let problem =
                    Diagnostic::new(Code::E0113, span, format!("{lines} is in no function `{function}` of `{path}`"));
                problem.note(format!("it is in {}", super::list(&all)))
            }
            Some(_) | None => {
                let problem = Diagnostic::new(Code::E0113, span, format!("{lines} has no code in `{path}`"));
                match near(&found.others, query.lines) {
                    near if near.is_empty() => problem,
                    near => problem.note(format!("the nearest lines that have: {near}")),
                }
            }
        };
        Err(Box::new(problem))
    }

    fn marks(&self, provider: Option<&str>, name: &str, span: Span) -> Result<Vec<Function>, Box<Diagnostic>> {
        let (path, holders) = (self.path, self.holders);
        let marks = self.module.marks().map_err(|error| self.unreadable(&error, span))?;
        let is_wanted = |mark: &&Mark| {
            let exact = |wanted: &str, has: &str| wanted == has || matches_glob(wanted, has);
            exact(name, &mark.name) && provider.is_none_or(|provider| exact(provider, &mark.provider))
        };
        let wanted: Vec<&Mark> = marks.iter().filter(is_wanted).collect();
        if wanted.is_empty() {
            let asked = provider.map_or_else(|| name.to_owned(), |provider| format!("{provider}:{name}"));
            let written = |mark: &Mark| match provider {
                Some(_) => format!("{}:{}", mark.provider, mark.name),
                None => mark.name.clone(),
            };
            let mut known: Vec<String> = marks.iter().map(written).collect();
            known.sort_unstable();
            known.dedup();
            let mut problem =
                Diagnostic::new(Code::E0114, span, format!("`{path}` in {holders} has no mark `{asked}`"))
                    .nearest(&nearest_names(&asked, known.iter().map(String::as_str), 3));
            problem = match known.as_slice() {
                [] => problem.note("it has no marks (USDT) at all"),
                known => problem.note(format!("it has {}", super::list(known))),
            };
            return Err(Box::new(problem));
        }
        let mut functions: BTreeMap<(String, Option<u64>), Function> = BTreeMap::new();
        for mark in wanted {
            let function = self.module.at_mark(mark).map_err(|error| self.unreadable(&error, span))?;
            let key = (function.name.clone(), function.sites.first().map(|site| site.entry));
            match functions.get_mut(&key) {
                Some(known) => known.sites.extend(function.sites),
                None => {
                    functions.insert(key, function);
                }
            }
        }
        Ok(functions.into_values().collect())
    }
}

/// Whether a function bears a name: its own, without its parameters, or its last part.
fn is_called(function: &str, wanted: &str) -> bool {
    let plain = without_parameters(function);
    let last = plain.rsplit("::").next().unwrap_or(plain);
    [function, plain, last].iter().any(|name| *name == wanted || matches_glob(wanted, name))
}

/// Some lines before and behind those that were meant.
fn near(others: &[u32], lines: Option<(u32, u32)>) -> String {
    const EACH: usize = 3;
    let (first, last) = lines.unwrap_or((0, u32::MAX));
    let before: Vec<u32> = others.iter().copied().filter(|line| *line < first).collect();
    let before = before.iter().skip(before.len().saturating_sub(EACH));
    let behind = others.iter().filter(|line| **line > last).take(EACH);
    before.chain(behind).map(u32::to_string).collect::<Vec<_>>().join(", ")
}
