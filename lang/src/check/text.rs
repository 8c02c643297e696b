//! Owns text and sequences of the program's languages: which types are one, and where their bytes and their length are.
//! Goes by the members that the debug info at hand names, never by offsets.

use std::rc::Rc;

use super::nature::{self, Nature};
use super::object::{Held, Object};
use super::shape::Shape;
use super::{Checker, Missing, Scope, Typed};
use crate::debuginfo::Module;
use crate::debuginfo::facts::{Language, Type, Unavailable};
use crate::ir::{BinaryOp, Expr, ExprKind, Library, Target, TargetStep, Ty};
use crate::source::Span;

/// How a text of a language is found: member by member.
struct Rule {
    /// The way to the address of its first byte.
    pointer: Vec<String>,
    /// The way to its length in bytes; none: it ends at a NUL.
    length: Option<Vec<String>>,
    /// Whether what that way leads to is declared only: then it is taken for the pointer that is all there is room for.
    hidden: bool,
}

/// Where the elements of a sequence are.
pub(super) struct Sequence {
    /// Their first byte's address.
    pub(super) address: Expr,
    /// How many bytes they have together.
    pub(super) bytes: Expr,
    /// What one is.
    pub(super) element: Shape,
    /// From one to the next.
    pub(super) stride: u64,
}

/// Whether an aggregate is text of its language.
pub(super) fn is_text(module: &Module, shape: &Shape) -> bool {
    rule(module, shape).is_some()
}

/// Name and Go kind of an aggregate.
fn aggregate(module: &Module, shape: &Shape) -> Option<(Option<String>, Option<u64>)> {
    match shape.bare(module)?.ty {
        Type::Aggregate { name, go_kind, .. } => Some((name, go_kind)),
        Type::Base { .. }
        | Type::Pointer { .. }
        | Type::Enum { .. }
        | Type::Array { .. }
        | Type::Typedef { .. }
        | Type::Qualified { .. }
        | Type::Function
        | Type::MemberPointer { .. }
        | Type::Unknown(_) => None,
    }
}

fn aggregate_name(module: &Module, shape: &Shape) -> Option<String> {
    aggregate(module, shape)?.0
}

/// Go's `reflect.Slice` and `reflect.String`: named types are of these kinds too.
const GO_SLICE: u64 = 23;
const GO_STRING: u64 = 24;

fn go_kind(module: &Module, shape: &Shape) -> Option<u64> {
    aggregate(module, shape)?.1
}

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn has(module: &Module, shape: &Shape, way: &[String]) -> bool {
    let mut shape = shape.clone();
    way.iter().all(|name| match shape.member(module, name) {
        Some(member) => {
            shape = Shape::Of(member.ty);
            true
        }
        None => false,
    })
}

fn rule(module: &Module, shape: &Shape) -> Option<Rule> {
    let name = aggregate_name(module, shape)?;
    let rule = |pointer: Vec<String>, length: &[&str]| {
        let length = words(length);
        let found = has(module, shape, &pointer) && has(module, shape, &length);
        found.then_some(Rule { pointer, length: Some(length), hidden: false })
    };
    match shape.language(module) {
        Language::Rust => match name.as_str() {
            "&str" | "&mut str" | "*const str" | "*mut str" => rule(words(&["data_ptr"]), &["length"]),
            boxed if boxed.starts_with("Box<str") || boxed.contains("::Box<str") => {
                rule(words(&["data_ptr"]), &["length"])
            }
            "String" => {
                let mut pointer = words(&["vec"]);
                pointer.extend(rust_pointer(module, &member_shape(module, shape, "vec")?)?);
                rule(pointer, &["vec", "len"])
            }
            _ => None,
        },
        Language::Go if go_kind(module, shape) == Some(GO_STRING) => rule(words(&["str"]), &["len"]),
        Language::Cpp if is_of_char(&name, "basic_string_view<") => rule(words(&["_M_str"]), &["_M_len"])
            .or_else(|| rule(words(&["__data_"]), &["__size_"]))
            .or_else(|| rule(words(&["__data"]), &["__size"])),
        Language::Cpp if is_of_char(&name, "basic_string<") => {
            let pointer = words(&["_M_dataplus", "_M_p"]);
            let counted = rule(pointer.clone(), &["_M_string_length"]);
            // Before C++11's ABI the length is before the bytes, which a NUL ends too.
            counted
                .or_else(|| hidden_pointer(module, shape))
                .or_else(|| has(module, shape, &pointer).then_some(Rule { pointer, length: None, hidden: false }))
        }
        Language::C | Language::Cpp | Language::Go | Language::Other => None,
    }
}

/// libstdc++'s string in a program of clang's, which only declares `_Alloc_hider` (the library instantiates the class, and
/// so describes it): an allocator without members around a pointer, as the length right behind it shows.
fn hidden_pointer(module: &Module, shape: &Shape) -> Option<Rule> {
    let (pointer, length) = (shape.member(module, "_M_dataplus")?, shape.member(module, "_M_string_length")?);
    let declared = matches!(Shape::Of(pointer.ty).bare(module)?.ty, Type::Aggregate { size: None, .. });
    let fits = length.offset.checked_sub(pointer.offset) == Some(8);
    let rule = Rule { pointer: words(&["_M_dataplus"]), length: Some(words(&["_M_string_length"])), hidden: true };
    (declared && fits).then_some(rule)
}

fn is_of_char(name: &str, template: &str) -> bool {
    name.strip_prefix(template).is_some_and(|rest| {
        let first = rest.split([',', '>']).next().unwrap_or_default().trim();
        matches!(first, "char" | "char8_t")
    })
}

fn member_shape(module: &Module, shape: &Shape, name: &str) -> Option<Shape> {
    shape.member(module, name).map(|member| Shape::Of(member.ty))
}

/// The way from a `Vec` to the address in it, through the wrappers that the standard library of the day has around it.
fn rust_pointer(module: &Module, vec: &Shape) -> Option<Vec<String>> {
    const WRAPPERS: [&str; 5] = ["buf", "inner", "ptr", "pointer", "__0"];
    let mut way = Vec::new();
    let mut shape = vec.clone();
    for _ in 0..8 {
        let members = match shape.bare(module)?.ty {
            Type::Pointer { .. } => return Some(way),
            Type::Aggregate { members, .. } => members,
            Type::Base { .. }
            | Type::Enum { .. }
            | Type::Array { .. }
            | Type::Typedef { .. }
            | Type::Qualified { .. }
            | Type::Function
            | Type::MemberPointer { .. }
            | Type::Unknown(_) => return None,
        };
        let mut next = members.iter().filter(|m| m.name.as_deref().is_some_and(|name| WRAPPERS.contains(&name)));
        let (member, None) = (next.next()?, next.next()) else { return None };
        way.push(member.name.clone()?);
        shape = Shape::Of(member.ty);
    }
    None
}

/// Follows a way of members.
fn follow(module: &Rc<Module>, object: &Object, way: &[String], span: Span) -> Option<Object> {
    let mut object = object.clone();
    for name in way {
        let member = object.shape.member(module, name)?;
        object = object.member(&member, span);
    }
    object.written = None;
    Some(object)
}

/// The number at the end of a way of members.
fn number(module: &Rc<Module>, object: &Object, way: &[String], span: Span) -> Option<Result<Expr, Unavailable>> {
    let typed = follow(module, object, way, span)?.read(module, span);
    typed.nature.width()?;
    Some(match typed.missing {
        None => Ok(super::object::plain(typed.value)),
        Some(missing) => Err(missing.why),
    })
}

/// The text that an object is, as an expression of type str; `None` where it is none.
pub(super) fn text_of(module: &Rc<Module>, object: &Object, span: Span) -> Option<Result<Expr, Unavailable>> {
    if let Held::Missing(why) = &object.held {
        return Some(Err(why.clone()));
    }
    let string = |kind| Expr { ty: Ty::Str, kind, span };
    if let Some((element, count)) = object.shape.elements(module) {
        if !nature::is_char(module, &element) {
            return None;
        }
        let Some(address) = object.address() else {
            return Some(Err(Unavailable::Unsupported("its characters are in registers: print it whole".to_owned())));
        };
        let address = Box::new(address.clone());
        let value = string(match count.and_then(|count| i64::try_from(count).ok()).filter(|count| *count > 0) {
            Some(count) => ExprKind::UserText { address, most: Box::new(Expr::int(count, span)) },
            None => ExprKind::UserString(address),
        });
        let Some((variable, steps)) = object.written.clone() else { return Some(Ok(value)) };
        let steps = steps.into_iter().chain([TargetStep::Text]).collect();
        return Some(Ok(string(ExprKind::Target(Target { variable, steps, value: Box::new(value) }))));
    }
    let rule = rule(module, &object.shape)?;
    let address = if rule.hidden {
        follow(module, object, &rule.pointer, span)?.held.read(0, 64, false, span)
    } else {
        number(module, object, &rule.pointer, span)?
    };
    let length = match &rule.length {
        Some(way) => Some(number(module, object, way, span)?),
        None => None,
    };
    Some(address.and_then(|address| {
        let address = Box::new(address);
        Ok(string(match length {
            None => ExprKind::UserString(address),
            Some(length) => ExprKind::UserBytes { address, length: Box::new(length?) },
        }))
    }))
}

/// The elements of a sequence (`Vec`, slices, `std::vector`); `None` where it is none.
pub(super) fn sequence_of(module: &Rc<Module>, object: &Object, span: Span) -> Option<Result<Sequence, Unavailable>> {
    let name = aggregate_name(module, &object.shape)?;
    let Type::Aggregate { parameters, .. } = object.shape.bare(module)?.ty else { return None };
    let pointee = |way: &[String]| match follow(module, object, way, span)?.read(module, span).nature {
        Nature::Pointer { to, .. } => Some(to),
        _ => None,
    };
    let int = |kind| Expr { ty: Ty::Int, kind, span };
    let counted = |pointer: Vec<String>, length: &[&str], element: Shape| {
        let stride = element.size(module).filter(|stride| *stride > 0)?;
        let address = number(module, object, &pointer, span)?;
        let count = number(module, object, &words(length), span)?;
        Some(address.and_then(|address| {
            let factor = Expr::int(stride.cast_signed(), span);
            // A length that no memory holds stays so when it is multiplied.
            let most = Expr::int(1 << 40, span);
            let count = int(ExprKind::Library(Library::Min, vec![count?, most]));
            let bytes = match stride {
                1 => count,
                _ => int(ExprKind::Binary(BinaryOp::Mul, Box::new(count), Box::new(factor))),
            };
            Ok(Sequence { address, bytes, element, stride })
        }))
    };
    match object.shape.language(module) {
        Language::Rust => {
            let slice = name.ends_with(']') && (name.starts_with('&') || name.starts_with('*'))
                || (name.starts_with("Box<[") || name.contains("::Box<["));
            if slice {
                let way = words(&["data_ptr"]);
                let element = pointee(&way)?;
                return counted(way, &["length"], element);
            }
            if !name.starts_with("Vec<") {
                return None;
            }
            let element = parameters.into_iter().find(|(name, _)| name == "T")?.1;
            counted(rust_pointer(module, &object.shape)?, &["len"], Shape::Of(element))
        }
        Language::Go if go_kind(module, &object.shape) == Some(GO_SLICE) => {
            let way = words(&["array"]);
            let element = pointee(&way)?;
            counted(way, &["len"], element)
        }
        Language::Cpp if name.starts_with("vector<") => {
            let ways = [
                (["_M_impl", "_M_start"].as_slice(), ["_M_impl", "_M_finish"].as_slice()),
                (&["__begin_"], &["__end_"]),
            ];
            let (first, last) =
                ways.into_iter().map(|(a, b)| (words(a), words(b))).find(|(a, _)| has(module, &object.shape, a))?;
            let element = pointee(&first)?;
            let stride = element.size(module).filter(|stride| *stride > 0)?;
            let (first, last) = (number(module, object, &first, span)?, number(module, object, &last, span)?);
            Some(first.and_then(|address| {
                let end = last?;
                let bytes = int(ExprKind::Binary(BinaryOp::Sub, Box::new(end), Box::new(address.clone())));
                Ok(Sequence { address, bytes, element, stride })
            }))
        }
        Language::C | Language::Cpp | Language::Go | Language::Other => None,
    }
}

impl Checker<'_> {
    /// The text of what is text of the program: of a `char *`, of an array of characters, of a string of its language.
    /// At `.return` that of an address kept from the entry is the one it pointed to then.
    pub(super) fn program_text(&mut self, typed: Typed, span: Span, scope: &Scope<'_>) -> Typed {
        let ExprKind::Entry(_) = typed.value.kind else { return self.text_now(typed, span, scope) };
        let is_char = matches!((&typed.nature, scope.site), (Nature::Pointer { to, .. }, Some(at))
            if nature::is_char(at.module, to));
        match self.text_of_entry(&typed.value, span).filter(|_| is_char) {
            Some(value) => Typed { value, nature: Nature::Str, missing: None, object: None },
            None => {
                let problem = crate::resolve::unsupported(span, "keeping what an address points to from the entry on");
                self.report(problem.help("@entry(user_string($x)) copies a text on entry"));
                Typed::new(Ty::Str, ExprKind::Str(Vec::new()), span)
            }
        }
    }

    /// The text that is there when it is read.
    fn text_now(&mut self, typed: Typed, span: Span, scope: &Scope<'_>) -> Typed {
        let module = scope.site.map(|at| at.module);
        let string = |value: Result<Expr, Missing>| match value {
            Ok(value) => Typed { value, nature: Nature::Str, missing: None, object: None },
            Err(missing) => {
                let value = Expr { ty: Ty::Str, kind: ExprKind::Str(Vec::new()), span };
                Typed { value, nature: Nature::Str, missing: Some(missing), object: None }
            }
        };
        let object = match (&typed.nature, module) {
            (Nature::Text { .. }, _) => typed.object.clone(),
            (Nature::Pointer { to, .. }, Some(module)) if !nature::is_char(module, to) => {
                Some(Object { written: None, ..Object::pointee(&typed, to.clone(), module, span) })
            }
            _ => None,
        };
        if let (Some(object), Some(module)) = (object, module) {
            let text = text_of(module, &object, span).unwrap_or_else(|| {
                Err(Unavailable::Unsupported("its debug info does not say where its bytes are".to_owned()))
            });
            return string(text.map_err(|why| object.missing(module, why)));
        }
        string(match typed.missing {
            Some(missing) => Err(missing),
            None => {
                let written = match &typed.value.kind {
                    ExprKind::Target(target) => Some(target.clone()),
                    _ => None,
                };
                Ok(Expr { ty: Ty::Str, kind: text_at(typed.value, written, span), span })
            }
        })
    }

    /// `user_string(p)`, `user_string(p, n)`: the text at an address of the target, of at most `n` bytes.
    pub(super) fn user_string(
        &mut self,
        typed: Typed,
        operand: Span,
        most: Option<Expr>,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<Typed> {
        // Arrays of what is no `char` stand for their address: text in a `uint8_t[]`.
        let typed = match typed.nature {
            Nature::Whole { .. } => super::expr::decayed(typed, scope),
            _ => typed,
        };
        let text = match &typed.nature {
            Nature::Text { .. } | Nature::Pointer { text: true, .. } => self.text_now(typed, span, scope),
            _ => {
                let Typed { missing, .. } = &typed;
                let written = match &typed.value.kind {
                    ExprKind::Target(target) if missing.is_none() => Some(target.clone()),
                    _ => None,
                };
                let address = self.number(typed, operand)?;
                Typed::new(Ty::Str, text_at(address, written, span), span)
            }
        };
        let Some(most) = most.filter(|_| text.missing.is_none()) else { return Some(text) };
        Some(Typed { value: at_most(text.value, most, span), ..text })
    }
}

/// A text of the program, of at most that many bytes.
fn at_most(text: Expr, most: Expr, span: Span) -> Expr {
    let Expr { ty, kind, span: own } = text;
    let least = |length: Expr| {
        let kind = ExprKind::Library(Library::Min, vec![length, super::object::plain(most.clone())]);
        Box::new(Expr { ty: Ty::Int, kind, span })
    };
    let kind = match kind {
        // What is written no longer says all of it.
        ExprKind::Target(target) => return at_most(*target.value, most, span),
        ExprKind::UserString(address) => {
            ExprKind::UserText { address, most: Box::new(super::object::plain(most.clone())) }
        }
        ExprKind::UserText { address, most: held } => ExprKind::UserText { address, most: least(*held) },
        ExprKind::UserBytes { address, length } => ExprKind::UserBytes { address, length: least(*length) },
        other => other,
    };
    Expr { ty, kind, span: own }
}

/// The text at an address: a step of the target where the address is one.
pub(super) fn text_at(address: Expr, written: Option<Target>, span: Span) -> ExprKind {
    match written {
        None => ExprKind::UserString(Box::new(super::object::plain(address))),
        Some(mut target) => {
            target.steps.push(TargetStep::Text);
            let value = ExprKind::UserString(target.value);
            target.value = Box::new(Expr { ty: Ty::Str, kind: value, span });
            ExprKind::Target(target)
        }
    }
}
