//! Owns items and probe points: pairs of the grammar → their nodes.

use super::super::ast::{
    Argument, Expr, ExprKind, Function, GlobalDeclaration, Ident, Item, ItemKind, Narrow, Point, PointKind, Probe, Str,
    TypeName, TypeNameKind, What, Where, Who, WhoKind,
};
use super::fault::Place;
use super::{Builder, Pair, Rule};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

impl Builder<'_> {
    /// The item of a pair directly under `file`; `None` for what is none (separators, the end).
    pub(super) fn item(&self, pair: Pair<'_>) -> Option<Item> {
        let span = self.trimmed(&pair);
        let after_broken = self.after_broken.take();
        let kind = match pair.as_rule() {
            Rule::semicolon | Rule::EOI => return None,
            Rule::broken_item => {
                self.after_broken.set(after_broken);
                self.broken_item(pair)
            }
            _ if pair.clone().into_inner().any(|p| p.as_rule() == Rule::stray_item) => self.broken_item(pair),
            Rule::probe => self.probe(pair),
            Rule::global => ItemKind::Global(
                pair.into_inner().filter(|p| p.as_rule() == Rule::global_name).map(|p| self.global(p)).collect(),
            ),
            Rule::constant => self.constant(pair),
            Rule::function => self.function(pair),
            Rule::import => {
                let path = pair.into_inner().find(|p| p.as_rule() == Rule::string);
                path.map_or(ItemKind::Broken, |p| ItemKind::Import(self.string(&p)))
            }
            _ => ItemKind::Broken,
        };
        Some(Item { kind, span, allows: self.allows_before(span.start) })
    }

    /// Reports an item that recovery skipped, and the faults in its body.
    fn broken_item(&self, pair: Pair<'_>) -> ItemKind {
        let span = self.trimmed(&pair);
        // A line that begins with a sign behind a broken item is the rest of that item.
        let text = self.text.get(span.range()).unwrap_or("");
        let rest_of_item = self.after_broken.get() && !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let block = skipped_block(pair);
        if !rest_of_item {
            let head = block.as_ref().map_or(span, |block| Span { end: self.span(block).start, ..span });
            self.explain(Rule::strict_item, span, head, Place::Item);
        }
        self.after_broken.set(true);
        if let Some(block) = block {
            self.block(block);
        }
        ItemKind::Broken
    }

    fn probe(&self, pair: Pair<'_>) -> ItemKind {
        let mut probe = Probe { points: Vec::new(), condition: None, body: None };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::point => {
                    let point = self.point(part);
                    self.check_point(&point);
                    probe.points.push(point);
                }
                Rule::condition => {
                    probe.condition = part.into_inner().find(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p))
                }
                Rule::block => probe.body = Some(self.block(part)),
                _ => {}
            }
        }
        ItemKind::Probe(probe)
    }

    fn point(&self, pair: Pair<'_>) -> Point {
        let span = self.trimmed(&pair);
        let mut kind = PointKind::Begin;
        let mut optional = false;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::begin_point => kind = PointKind::Begin,
                Rule::end_point => kind = PointKind::End,
                Rule::every_point => kind = PointKind::Every(self.inner_expr(part)),
                Rule::site => kind = self.site(part),
                Rule::optional_mark => optional = true,
                _ => {}
            }
        }
        Point { kind, span, optional }
    }

    /// The target of a command line: a site, which may lack what it fires on.
    pub(super) fn target(&self, site: Pair<'_>) -> Point {
        let span = self.trimmed(&site);
        Point { kind: self.site(site), span, optional: false }
    }

    fn check_point(&self, point: &Point) {
        let PointKind::Site { what: What::Nothing, place, .. } = &point.kind else { return };
        let mut diagnostic =
            Diagnostic::new(Code::E0008, point.span, "this point does not say where in the file to probe");
        diagnostic = match place {
            Some(Where::Path { path, quoted: false }) => super::hint::path(diagnostic, &path.text()),
            Some(Where::Path { quoted: true, .. } | Where::Exe(_) | Where::Lib { .. }) | None => diagnostic,
        };
        if diagnostic.helps.is_empty() {
            diagnostic = diagnostic.help(
                "add `.fn(\"name\")`, `.line(\"file.c:42\")`, `.mark(\"provider\", \"name\")` or `.addr(0x1139)`",
            );
        }
        self.report(diagnostic);
    }

    fn site(&self, pair: Pair<'_>) -> PointKind {
        let mut who = Who { kind: WhoKind::Host, arguments: Vec::new(), span: self.span(&pair) };
        let mut place = None;
        let mut what = What::Nothing;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::who => who = self.who(part),
                Rule::place => place = part.into_inner().next().map(|p| self.place(p)),
                Rule::what => what = part.into_inner().next().map_or(What::Nothing, |p| self.what(p)),
                _ => {}
            }
        }
        PointKind::Site { who, place, what }
    }

    fn who(&self, pair: Pair<'_>) -> Who {
        let span = self.span(&pair);
        let mut who = Who { kind: WhoKind::Host, arguments: Vec::new(), span };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::selector => {
                    who.kind = match part.as_str() {
                        "pod" => WhoKind::Pod,
                        "pid" => WhoKind::Pid,
                        "cgroup" => WhoKind::Cgroup,
                        _ => WhoKind::Container,
                    }
                }
                Rule::selector_arguments => {
                    who.arguments = part
                        .into_inner()
                        .filter(|p| p.as_rule() == Rule::selector_argument)
                        .map(|p| self.argument(p))
                        .collect();
                }
                _ => {}
            }
        }
        who
    }

    fn argument(&self, pair: Pair<'_>) -> Argument {
        let name = pair.clone().into_inner().find(|p| p.as_rule() == Rule::argument_name);
        Argument {
            name: name.and_then(|p| p.into_inner().next()).map(|p| self.ident(&p)),
            value: self.inner_expr(pair),
        }
    }

    fn place(&self, pair: Pair<'_>) -> Where {
        match pair.as_rule() {
            Rule::string => Where::Path { path: self.string(&pair), quoted: true },
            Rule::path => {
                let path = Str { bytes: pair.as_str().as_bytes().to_vec(), span: self.span(&pair) };
                Where::Path { path, quoted: false }
            }
            Rule::lib => {
                let span = self.span(&pair);
                Where::Lib { name: self.strings(pair).into_iter().next().unwrap_or_else(|| empty(span)), span }
            }
            _ => Where::Exe(self.span(&pair)),
        }
    }

    fn what(&self, pair: Pair<'_>) -> What {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::fn_what => {
                let mut narrow = None;
                let mut returns = false;
                for part in pair.clone().into_inner() {
                    match part.as_rule() {
                        Rule::narrow if part.as_str() == ".call" => narrow = Some(Narrow::Call),
                        Rule::narrow => narrow = Some(Narrow::Inline),
                        Rule::returns => returns = true,
                        _ => {}
                    }
                }
                What::Fn { name: self.first_string(pair), narrow, returns, span }
            }
            Rule::line_what => What::Line(self.first_string(pair)),
            Rule::mark_what => {
                let mut strings = self.strings(pair).into_iter();
                let first = strings.next().unwrap_or_else(|| empty(span));
                match strings.next() {
                    Some(name) => What::Mark { provider: Some(first), name },
                    None => What::Mark { provider: None, name: first },
                }
            }
            Rule::addr_what => {
                let argument = pair.into_inner().find(|p| p.as_rule() == Rule::addr_argument);
                What::Addr(argument.map_or(Expr { kind: ExprKind::Broken, span }, |p| self.inner_expr(p)))
            }
            _ => What::Nothing,
        }
    }

    fn first_string(&self, pair: Pair<'_>) -> Str {
        let span = self.span(&pair);
        self.strings(pair).into_iter().next().unwrap_or_else(|| empty(span))
    }

    /// The string literals in the parentheses directly under `pair`.
    fn strings(&self, pair: Pair<'_>) -> Vec<Str> {
        let inside = pair.into_inner().filter(|p| matches!(p.as_rule(), Rule::text_argument | Rule::mark_arguments));
        inside.flat_map(Pair::into_inner).filter(|p| p.as_rule() == Rule::string).map(|p| self.string(&p)).collect()
    }

    fn global(&self, pair: Pair<'_>) -> GlobalDeclaration {
        let mut declaration =
            GlobalDeclaration { name: Ident { name: String::new(), span: self.span(&pair) }, size: None, value: None };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => declaration.name = self.ident(&part),
                Rule::global_size => declaration.size = Some(self.inner_expr(part)),
                Rule::global_value => declaration.value = Some(self.inner_expr(part)),
                _ => {}
            }
        }
        declaration
    }

    fn constant(&self, pair: Pair<'_>) -> ItemKind {
        let name = pair.clone().into_inner().find(|p| p.as_rule() == Rule::name);
        name.map_or(ItemKind::Broken, |name| ItemKind::Const { name: self.ident(&name), value: self.inner_expr(pair) })
    }

    fn function(&self, pair: Pair<'_>) -> ItemKind {
        let mut name = None;
        let mut parameters = Vec::new();
        let mut returns = None;
        let mut body = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.ident(&part)),
                Rule::parameter => {
                    let mut inner = part.into_inner();
                    let name = inner.find(|p| p.as_rule() == Rule::name).map(|p| self.ident(&p));
                    let kind = inner.find(|p| p.as_rule() == Rule::type_name).map(|p| self.type_name(p));
                    parameters.extend(name.zip(kind));
                }
                Rule::type_name => returns = Some(self.type_name(part)),
                Rule::block => body = Some(self.block(part)),
                _ => {}
            }
        }
        match name.zip(body) {
            Some((name, body)) => ItemKind::Function(Function { name, parameters, returns, body }),
            None => ItemKind::Broken,
        }
    }

    fn type_name(&self, pair: Pair<'_>) -> TypeName {
        let span = self.trimmed(&pair);
        let kind = match pair.into_inner().next().map(|p| p.as_rule()) {
            Some(Rule::str_type) => TypeNameKind::Str,
            _ => TypeNameKind::Int,
        };
        TypeName { kind, span }
    }
}

/// The braces behind text that recovery skipped.
pub(super) fn skipped_block(pair: Pair<'_>) -> Option<Pair<'_>> {
    let last = pair.into_inner().last()?;
    match last.as_rule() {
        Rule::block => Some(last),
        Rule::stray | Rule::stray_item => last.into_inner().find(|p| p.as_rule() == Rule::block),
        _ => None,
    }
}

fn empty(span: Span) -> Str {
    Str { bytes: Vec::new(), span }
}
