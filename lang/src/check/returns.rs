//! Owns what only exists at `.return`: values of the entry that are kept until then, the value returned, the time
//! between, and where the calls end.

use super::nature::{self, Nature};
use super::object::{Held, Object};
use super::shape::Shape;
use super::{AtSite, Checker, Missing, Scope, Typed, convention, go, place, rust_results};
use crate::codes::Code;
use crate::debuginfo::Place;
use crate::debuginfo::facts::{self, Location, NoExits, Register, Type, Unavailable};
use crate::diagnostic::Diagnostic;
use crate::ir::{self, Block, Context, EntryIndex, Expr, ExprKind, Handler, Returns, Target, TargetStep, Ty, Whole};
use crate::resolve::{Match, unsupported};
use crate::source::Span;
use crate::syntax::ast;

/// rax: where integers and addresses are returned (System V psABI 3.2.3; Rust's and Go's conventions too).
const RETURNED: Register = Register(0);

/// rdi: where the caller's address for a value in memory is passed, as a first argument is.
const GIVEN: Register = Register(5);

/// `$return`, without its `$`.
pub(super) const RETURN: &str = "return";

/// The most values of the entry that one handler keeps.
const MOST_SAVED: usize = 64;

/// When what is being lowered runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// When the site is hit.
    Hit,
    /// When the call that began at the site has come to its end.
    Return,
    /// Then too, but what is being lowered runs at the site and is kept until then (`@entry`).
    Entry,
}

/// What a handler at `.return` keeps from the entry on, while it is lowered.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Each value, with how it was written.
    values: Vec<(String, Expr)>,
    /// Whether it was said what a parameter means there.
    said: bool,
}

impl Saving {
    /// Forgets the values of the handler before.
    pub(super) fn clear(&mut self) {
        self.values.clear();
    }
}

/// Whether a point fires when a call ends.
pub(super) fn is_return(point: &ast::Point) -> bool {
    match &point.kind {
        ast::PointKind::Site { what: ast::What::Fn { returns, .. }, .. } => *returns,
        ast::PointKind::Site { .. } | ast::PointKind::Begin | ast::PointKind::End | ast::PointKind::Every(_) => false,
    }
}

/// The variable at the root of `$x->a[i].b`; none for what is no path on a variable.
fn root(expr: &ast::Expr) -> Option<&str> {
    match &expr.kind {
        ast::ExprKind::Target(name) => Some(name),
        ast::ExprKind::Member { base, .. } | ast::ExprKind::Index { base, .. } | ast::ExprKind::Paren(base) => {
            root(base)
        }
        ast::ExprKind::Unary { op: ast::UnaryOp::Deref | ast::UnaryOp::AddressOf, operand } => root(operand),
        ast::ExprKind::Unary { op: ast::UnaryOp::Neg | ast::UnaryOp::Not | ast::UnaryOp::BitNot, .. }
        | ast::ExprKind::Int { .. }
        | ast::ExprKind::Str(_)
        | ast::ExprKind::Bool(_)
        | ast::ExprKind::Name(_)
        | ast::ExprKind::TargetAll(_)
        | ast::ExprKind::Dump { .. }
        | ast::ExprKind::Call { .. }
        | ast::ExprKind::At { .. }
        | ast::ExprKind::Binary { .. }
        | ast::ExprKind::Ternary { .. }
        | ast::ExprKind::In { .. }
        | ast::ExprKind::Assign { .. }
        | ast::ExprKind::Step { .. }
        | ast::ExprKind::Broken => None,
    }
}

/// What is in `@entry(…)` at the root of a path of members and known elements, and that path as it would be on entry.
fn on_entry(expr: &ast::Expr) -> Option<(&ast::Expr, ast::Expr)> {
    let with = |kind| ast::Expr { kind, span: expr.span };
    match &expr.kind {
        ast::ExprKind::At { name, arguments } if name.name == "entry" => match arguments.as_slice() {
            [inner] => Some((inner, with(ast::ExprKind::Paren(Box::new(inner.clone()))))),
            _ => None,
        },
        ast::ExprKind::Paren(base) => {
            let (inner, path) = on_entry(base)?;
            Some((inner, with(ast::ExprKind::Paren(Box::new(path)))))
        }
        ast::ExprKind::Member { base, arrow, name } => {
            let (inner, path) = on_entry(base)?;
            let kind = ast::ExprKind::Member { base: Box::new(path), arrow: *arrow, name: name.clone() };
            Some((inner, with(kind)))
        }
        ast::ExprKind::Index { base, indices } => {
            let (inner, path) = on_entry(base)?;
            let known = indices.iter().all(|index| matches!(index.kind, ast::ExprKind::Int { .. }));
            known.then(|| (inner, with(ast::ExprKind::Index { base: Box::new(path), indices: indices.clone() })))
        }
        _ => None,
    }
}

impl Checker<'_> {
    /// A part of a value that is kept whole: kept by itself. `None` where what is kept is no such value.
    fn part_of_kept(&mut self, expr: &ast::Expr, scope: &Scope<'_>) -> Option<Option<Typed>> {
        let (at, (inner, path)) = (scope.site?, on_entry(expr)?);
        let then = Scope::new(scope.body, Some(AtSite { moment: Moment::Entry, ..at }), Vec::new());
        match self.expr(inner, &then) {
            Some(Typed { nature: Nature::Whole { .. }, .. }) => Some(self.kept(&path, scope)),
            Some(_) => None,
            None => Some(None),
        }
    }

    /// An expression that means something of its own at `.return` or belongs there: `None` for all others.
    pub(super) fn at_return(&mut self, expr: &ast::Expr, scope: &Scope<'_>) -> Option<Option<Typed>> {
        let moment = scope.site.map(|at| at.moment);
        match &expr.kind {
            ast::ExprKind::At { name, arguments } if name.name == "entry" => {
                Some(self.entry(arguments, expr.span, scope))
            }
            ast::ExprKind::Target(name) if name == RETURN => Some(self.returned(expr.span, scope)),
            ast::ExprKind::Member { .. } | ast::ExprKind::Index { .. }
                if moment == Some(Moment::Return) && on_entry(expr).is_some() =>
            {
                self.part_of_kept(expr, scope)
            }
            ast::ExprKind::Member { base, name, .. } if matches!(&base.kind, ast::ExprKind::Target(root) if root == RETURN) => {
                self.one_result(name, expr.span, scope)
            }
            _ if moment == Some(Moment::Return) && root(expr).is_some_and(|name| name != RETURN) => {
                self.say_entry_is_meant(expr.span);
                Some(self.kept(expr, scope))
            }
            _ => None,
        }
    }

    fn say_entry_is_meant(&mut self, span: Span) {
        if !std::mem::replace(&mut self.saving.said, true) {
            let written = self.sources.slice(span).to_owned();
            self.report(
                Diagnostic::new(Code::W0007, span, format!("at `.return`, `{written}` is its value on entry"))
                    .note("what the function made of it meanwhile is not known there")
                    .help(format!("write @entry({written}) to say so")),
            );
        }
    }

    /// `@entry(E)`
    fn entry(&mut self, arguments: &[ast::Expr], span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let [inner] = arguments else {
            self.report(
                Diagnostic::new(Code::E0203, span, format!("`@entry` takes one value, not {}", arguments.len()))
                    .help("@entry($x)"),
            );
            return None;
        };
        match self.site_for("`@entry`", span, scope)?.moment {
            Moment::Return => self.kept(inner, scope),
            Moment::Entry => {
                self.report(Diagnostic::new(Code::E0206, span, "`@entry` in `@entry`: all of it is of the entry"));
                None
            }
            Moment::Hit => {
                self.report(
                    Diagnostic::new(Code::E0206, span, "`@entry` exists only at `.return`")
                        .help("elsewhere write the value itself"),
                );
                None
            }
        }
    }

    /// A value computed on entry and kept until the call ends.
    fn kept(&mut self, inner: &ast::Expr, scope: &Scope<'_>) -> Option<Typed> {
        let at = scope.site?;
        let on_entry = Scope::new(scope.body, Some(AtSite { moment: Moment::Entry, ..at }), Vec::new());
        let typed = self.expr(inner, &on_entry)?;
        // Text that is no address is copied then: later it may be another.
        let typed = match typed.nature {
            Nature::Text { .. } => self.program_text(typed, inner.span, &on_entry),
            _ => typed,
        };
        self.keep(typed, inner.span)
    }

    /// Keeps what was lowered for the entry. What can only be shown whole is kept when it is known how ([`Held::OnEntry`]).
    pub(super) fn keep(&mut self, typed: Typed, span: Span) -> Option<Typed> {
        if typed.missing.is_some() {
            return Some(typed);
        }
        if let (Nature::Whole { .. }, Some(object)) = (&typed.nature, &typed.object) {
            let held = Held::OnEntry(Box::new(object.held.clone()));
            return Some(Typed { object: Some(Object { held, ..object.clone() }), ..typed });
        }
        if let Nature::Opaque { what } | Nature::Whole { what } | Nature::Text { what } = &typed.nature {
            let problem = unsupported(span, &format!("keeping {what} from the entry on"));
            self.report(problem.help("keep what is wanted of it: @entry($x->member)"));
            return None;
        }
        if matches!(typed.value.kind, ExprKind::Int(_) | ExprKind::Str(_)) {
            return Some(Typed { object: None, ..typed });
        }
        let written = self.sources.slice(span).to_owned();
        let ty = typed.value.ty;
        let index = self.keep_value(written, typed.value, span)?;
        let value = Expr { ty, kind: ExprKind::Entry(index), span };
        Some(Typed { value, nature: typed.nature, missing: None, object: None })
    }

    /// Keeps the bytes of a value that is shown whole, and the texts in it.
    pub(super) fn keep_whole(&mut self, whole: Whole, depth: u32, span: Span) -> Whole {
        let written = self.sources.slice(span).to_owned();
        let mut keep = |part: Expr, nth: usize| {
            let Expr { ty, span, .. } = part;
            // Another depth reads other parts.
            let index = self.keep_value(format!("{written} {depth} {nth}"), part, span);
            Expr { ty, kind: ExprKind::Entry(index.unwrap_or(EntryIndex(0))), span }
        };
        let size = match &whole.block.kind {
            ExprKind::Block(block) => block.size(),
            _ => 0,
        };
        let mut block = keep(whole.block, 0);
        if let ExprKind::Entry(index) = block.kind {
            block.kind = ExprKind::Block(Block::Kept { index, size });
        }
        let elsewhere = (1..).zip(whole.elsewhere).map(|(nth, part)| keep(part, nth)).collect();
        Whole { block, elsewhere, ..whole }
    }

    /// What `$x$` shows at `.return`, and `@entry($x)$`: what `$x` pointed to on entry. `None` where that is not meant.
    pub(super) fn aimed_on_entry(&mut self, inner: &ast::Expr, scope: &Scope<'_>) -> Option<Typed> {
        let at = scope.site.filter(|at| at.moment == Moment::Return)?;
        let target = match &inner.kind {
            ast::ExprKind::At { name, arguments } if name.name == "entry" => match arguments.as_slice() {
                [target] => target,
                _ => return None,
            },
            _ if root(inner).is_some_and(|name| name != RETURN) => inner,
            _ => return None,
        };
        let on_entry = Scope::new(scope.body, Some(AtSite { moment: Moment::Entry, ..at }), Vec::new());
        let typed = self.expr(target, &on_entry)?;
        let typed = super::print::aimed(typed, target.span, &on_entry);
        if !matches!(typed.nature, Nature::Whole { .. }) {
            return None;
        }
        if std::ptr::eq(target, inner) {
            self.say_entry_is_meant(inner.span);
        }
        self.keep(typed, inner.span)
    }

    /// A variable's value on entry, for the list of all.
    pub(super) fn keep_variable(&mut self, name: &str, typed: Typed, span: Span) -> Option<Typed> {
        if matches!(typed.nature, Nature::Whole { .. }) {
            return self.keep(typed, span);
        }
        if typed.missing.is_some() || matches!(typed.value.kind, ExprKind::Int(_) | ExprKind::Str(_)) {
            return Some(typed);
        }
        let ty = typed.value.ty;
        let index = self.keep_value(format!("${name}"), typed.value, span)?;
        let value = Expr { ty, kind: ExprKind::Entry(index), span };
        Some(Typed { value, nature: typed.nature, missing: None, object: None })
    }

    fn keep_value(&mut self, written: String, value: Expr, span: Span) -> Option<EntryIndex> {
        let values = &mut self.saving.values;
        let known = values.iter().position(|(text, known)| *text == written && known.ty == value.ty);
        let index = known.unwrap_or(values.len());
        if known.is_none() {
            values.push((written, value));
        }
        if index >= MOST_SAVED {
            let message = format!("a handler keeps at most {MOST_SAVED} values of the entry");
            self.report(Diagnostic::new(Code::E0303, span, message).help("split the probe into several"));
            return None;
        }
        u32::try_from(index).ok().map(EntryIndex)
    }

    /// The text that an address kept from the entry pointed to then; `None` for any other value.
    pub(super) fn text_of_entry(&mut self, address: &Expr, span: Span) -> Option<Expr> {
        let ExprKind::Entry(index) = &address.kind else { return None };
        let (written, kept) = self.saving.values.get(index.0 as usize)?.clone();
        let target = match &kept.kind {
            ExprKind::Target(target) => Some(target.clone()),
            _ => None,
        };
        let text = Expr { ty: Ty::Str, kind: super::text::text_at(kept, target, span), span };
        let index = self.keep_value(written, text, span)?;
        Some(Expr { ty: Ty::Str, kind: ExprKind::Entry(index), span })
    }

    /// `$return.name`: one of several results of a Go function; `None` for a member of a value returned.
    fn one_result(&mut self, name: &ast::Ident, span: Span, scope: &Scope<'_>) -> Option<Option<Typed>> {
        let at = scope.site.filter(|at| at.moment == Moment::Return)?;
        let results = at.function.go.as_ref().filter(|results| results.len() > 1)?;
        match results.iter().position(|result| go::name(result) == name.name) {
            Some(index) => Some(go::result(&at, results, index, &format!("$return.{}", name.name), span)),
            None => {
                let message = format!("`{}` has no result `{}`", at.function.name, name.name);
                self.report(Diagnostic::new(Code::E0105, name.span, message).help(taken_singly(results)));
                Some(None)
            }
        }
    }

    /// `$return`
    fn returned(&mut self, span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let at = self.site_for("`$return`", span, scope)?;
        if at.moment != Moment::Return {
            self.report(
                Diagnostic::new(Code::E0206, span, "`$return` exists only at `.return`")
                    .help("put `.return` behind the function: .fn(\"NAME\").return"),
            );
            return None;
        }
        match self.returned_value(&at, span) {
            Some(typed) => Some(typed),
            None if at.site.kind == facts::SiteKind::Symbol => {
                self.report(
                    Diagnostic::new(
                        Code::E0110,
                        span,
                        format!("`{}` has no debug info: what it returns is not known", at.function.name),
                    )
                    .note("looked for DWARF in the file itself")
                    .help("build the program with -g"),
                );
                None
            }
            None => {
                let results = at.function.go.as_deref().unwrap_or_default();
                self.report(if results.len() > 1 {
                    let message = format!("`{}` returns {} values", at.function.name, results.len());
                    Diagnostic::new(Code::E0105, span, message).help(taken_singly(results))
                } else {
                    Diagnostic::new(Code::E0105, span, format!("`{}` returns nothing", at.function.name))
                });
                None
            }
        }
    }

    /// What a function returns; `None` where it returns nothing or several values, or its type is not known.
    pub(super) fn returned_value(&mut self, at: &AtSite<'_>, span: Span) -> Option<Typed> {
        let returns = at.function.returns.filter(|_| at.function.go.is_none() && !at.function.changed);
        let large = returns.and_then(|id| {
            let shape = Shape::Of(Some(id));
            let Type::Aggregate { size: Some(size), .. } = shape.bare(at.module)?.ty else { return None };
            let known = match at.module.language(id) {
                facts::Language::Rust if size > 16 => rust_results::in_memory(at.module, id),
                facts::Language::C | facts::Language::Cpp => {
                    let in_memory = matches!(convention::returned(at.module, id, size), Location::Memory(_));
                    // Of gcc's functions the names tell, of others' it was looked for.
                    let by_gcc = at.function.optimised == facts::Optimised::ByGcc;
                    let made = || !by_gcc || at.module.gives(at.function, at.site, Place::First);
                    return (in_memory && !(at.function.returns_address && made()))
                        .then(|| (shape, convention::given(at.module, at.site)));
                }
                facts::Language::Rust | facts::Language::Go | facts::Language::Other => return None,
            };
            Some((shape, known))
        });
        match large {
            Some((shape, known)) => self.returned_in_memory(at, known, shape, span),
            None => returned_value(at, span),
        }
    }

    /// What is returned in memory that the caller gave, where that is known: its address is kept from the entry on.
    fn returned_in_memory(
        &mut self,
        at: &AtSite<'_>,
        known: Result<(), Unavailable>,
        shape: Shape,
        span: Span,
    ) -> Option<Typed> {
        let held = match known {
            Ok(()) if at.module.still_holds(at.site, GIVEN) => {
                let given = place::computed(&facts::Compute::Register(GIVEN), span);
                let index = self.keep_value("the address of $return".to_owned(), given, span)?;
                let kept = Expr { ty: Ty::Int, kind: ExprKind::Entry(index), span };
                // Where the call goes on in another function nothing was returned yet: reading the register fails there.
                let nothing = facts::Compute::Binary(
                    facts::BinaryOp::And,
                    Box::new(facts::Compute::Returned(RETURNED)),
                    Box::new(facts::Compute::Const(0)),
                );
                let nothing = place::computed(&nothing, span);
                let address = ExprKind::Binary(ir::BinaryOp::Add, Box::new(kept), Box::new(nothing));
                Held::Memory(Expr { ty: Ty::Int, kind: address, span })
            }
            Ok(()) => {
                let why = "where its caller wants it is no longer known where its calls are probed";
                Held::Missing(Unavailable::Unsupported(why.to_owned()))
            }
            Err(why) => Held::Missing(why),
        };
        let written = Some((RETURN.to_owned(), Vec::new()));
        let object = Object { shape, held, bits: None, written, name: "$return".to_owned(), referred: false };
        Some(object.read(at.module, span))
    }

    /// The handler's share of a return probe.
    pub(super) fn returns(&mut self, handler: &Handler) -> Returns {
        let saved = self.saving.values.drain(..).map(|(_, value)| value).collect();
        let mut elapsed = false;
        let mut look = |expr: &Expr| elapsed |= matches!(expr.kind, ExprKind::Context(Context::Elapsed));
        if let Some(condition) = &handler.condition {
            condition.visit(&mut |expr| look(expr));
        }
        ir::visit_expressions(&handler.body, &mut |expr| look(expr));
        Returns { saved, elapsed, session: false }
    }

    /// The canonical frame address at a site, where a handler asks for its caller and it is known.
    pub(super) fn frame_for(&self, handler: &Handler, found: &Match, site: &facts::Site, point: Span) -> Option<Expr> {
        let asks = self.functions_ask_caller || asks_caller(&handler.body);
        let frame = if asks { found.module.frame(site) } else { None };
        frame.map(|frame| place::computed(&frame, point))
    }

    /// Where the calls end that pass a site. A function that a glob matched and that cannot be probed so is left out
    /// with a warning (`Ok(None)`); one that was named is an error.
    pub(super) fn exits(&mut self, found: &Match, site: &facts::Site, point: Span) -> Result<Option<ir::Exits>, ()> {
        let name = &found.function.name;
        let refused = match found.module.exits(&found.function, site) {
            Ok(exits) => {
                let place = |exit: facts::Exit| ir::Exit {
                    address: exit.address,
                    file_offset: exit.file_offset,
                    tail: exit.tail,
                    price: found.module.price(exit.file_offset),
                    when: exit.when.map(|when| place::computed(&when, point)),
                };
                return Ok(Some(ir::Exits {
                    frame: place::computed(&exits.frame, point),
                    places: exits.places.into_iter().map(place).collect(),
                    unwinds: exits.unwinds,
                    goroutine: exits.goroutine,
                    uretprobe: exits.uretprobe,
                }));
            }
            Err(refused) => refused,
        };
        let (message, note) = match refused {
            NoExits::NeverReturns => (format!("`{name}` never returns"), None),
            NoExits::Code(why) => (format!("where `{name}` returns cannot be told"), Some(why)),
            NoExits::Frame(why) => {
                let why = format!("its frame at {:#x} is not known: {why}", site.address);
                (format!("a return of `{name}` cannot be matched with its call"), Some(why))
            }
            NoExits::Go => (
                format!("returns of `{name}`, a function of Go, cannot be matched with its calls"),
                Some(
                    "its goroutine is known only with the debug info and the register convention of Go 1.17 and later"
                        .to_owned(),
                ),
            ),
        };
        let code = if found.glob { Code::W0008 } else { Code::E0112 };
        let mut problem = Diagnostic::new(code, point, message);
        problem.notes.extend(note);
        let problem = match found.glob {
            true => problem.note("it is left out"),
            false => problem.help("probe its entry: leave out `.return`"),
        };
        self.report(problem);
        if found.glob { Ok(None) } else { Err(()) }
    }
}

/// Whether statements ask for the caller of what was hit.
pub(super) fn asks_caller(body: &[ir::Stmt]) -> bool {
    let mut asks = false;
    ir::visit_expressions(body, &mut |expr| asks |= matches!(expr.kind, ExprKind::Context(Context::Caller)));
    asks
}

/// How several results are asked for.
fn taken_singly(results: &[facts::GoResult]) -> String {
    let names: Vec<String> = results.iter().map(|result| format!("$return.{}", go::name(result))).collect();
    format!("take one of them: {}", names.join(", "))
}

/// Why what a function is declared to return in registers, of which this is the last, may not be there; `None` where it is.
fn why_missing(at: &AtSite<'_>, place: Option<Place>) -> Option<Unavailable> {
    let why = if at.function.changed {
        "the compiler changed what this function returns or is given, for it knew all its callers"
    } else if place.is_some_and(|place| !at.module.gives(at.function, at.site, place)) {
        "the compiler knew all callers of this function, and none is seen to use what it returns"
    } else {
        return None;
    };
    Some(Unavailable::Unsupported(why.to_owned()))
}

/// What a function returns, in rax, or in memory where C's convention tells its address by that; `None` where it returns
/// nothing or several values, or its type is not known.
fn returned_value(at: &AtSite<'_>, span: Span) -> Option<Typed> {
    if let Some(results) = &at.function.go {
        return if results.len() == 1 { go::result(at, results, 0, "$return", span) } else { None };
    }
    let shape = Shape::Of(Some(at.function.returns?));
    let name = "$return".to_owned();
    let returned = Expr { ty: Ty::Int, kind: ExprKind::Returned(RETURNED), span };
    let bare = shape.bare(at.module)?.ty;
    // What is no number or address may be in other registers.
    let in_register = match &bare {
        Type::Base { encoding, .. } => !matches!(encoding, facts::Encoding::Float | facts::Encoding::Other(_)),
        Type::Pointer { .. } | Type::Enum { .. } => true,
        Type::Typedef { .. }
        | Type::Qualified { .. }
        | Type::Array { .. }
        | Type::Aggregate { .. }
        | Type::Function
        | Type::MemberPointer { .. }
        | Type::Unknown(_) => false,
    };
    let location = match (&bare, at.function.returns) {
        (Type::Aggregate { size: Some(size), .. }, Some(id)) => Some(convention::returned(at.module, id, *size)),
        _ => None,
    };
    let place = if in_register { Some(Place::First) } else { location.as_ref().and_then(convention::last_register) };
    let missing = why_missing(at, place);
    let written = || Some((RETURN.to_owned(), Vec::new()));
    let absent = |shape, why| Object {
        shape,
        held: Held::Missing(why),
        bits: None,
        written: written(),
        name: name.clone(),
        referred: false,
    };
    if let Type::Pointer { to, reference: true, .. } = bare {
        if let Some(why) = missing {
            return Some(absent(Shape::Of(to), why).read(at.module, span));
        }
        let nature = Nature::Pointer { to: Shape::Of(to), text: false };
        let pointer = Typed { value: returned, nature, missing: None, object: None };
        let object = Object::pointee(&pointer, Shape::Of(to), at.module, span);
        return Some(Object { name, ..object }.read(at.module, span));
    }
    if let Some(location) = location {
        let object = match missing {
            Some(why) => absent(shape, why),
            None => {
                let held = Held::of(&location, span);
                Object { shape, held, bits: None, written: written(), name, referred: false }
            }
        };
        return Some(object.read(at.module, span));
    }
    let nature = nature::nature(at.module, &shape);
    if let Some(why) = missing {
        let missing = Some(Missing { name, why, module: std::rc::Rc::clone(at.module) });
        return Some(Typed { value: Expr::int(0, span), nature, missing, object: None });
    }
    let Some((bytes, signed)) = nature.width() else {
        let float = matches!(bare, Type::Base { encoding: facts::Encoding::Float, .. });
        let why = match float {
            true => Unavailable::VectorRegister,
            false => Unavailable::Unsupported("what does not fit in one register is not known yet".to_owned()),
        };
        let missing = Some(Missing { name, why, module: std::rc::Rc::clone(at.module) });
        return Some(Typed { value: Expr::int(0, span), nature, missing, object: None });
    };
    let mut value = returned;
    if bytes < 8 {
        // The convention leaves the bits above the type's own undefined.
        let kind = ExprKind::Extend { value: Box::new(value), bits: bytes * 8, signed };
        value = Expr { ty: Ty::Int, kind, span };
    }
    let steps: Vec<TargetStep> = Vec::new();
    let target = Target { variable: "return".to_owned(), steps, value: Box::new(value) };
    let value = Expr { ty: Ty::Int, kind: ExprKind::Target(target), span };
    Some(Typed { value, nature, missing: None, object: None })
}
