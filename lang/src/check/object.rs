//! Owns where something of the program is while an expression walks through it: in memory, in registers and parts,
//! nowhere. Computes addresses and values; judges nothing and reports nothing.

use super::nature::{self, Nature};
use super::shape::Shape;
use super::{Missing, Typed, place};
use crate::debuginfo::Module;
use crate::debuginfo::facts::{Location, Member, Type, Unavailable};
use crate::ir::{BinaryOp, Expr, ExprKind, Target, TargetStep, Ty};
use crate::source::Span;

use std::rc::Rc;

/// How many references to references are followed.
const DEEPEST: usize = 8;

/// Something of the program: what it is and where.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) shape: Shape,
    pub(super) held: Held,
    /// For a bit-field: its lowest bit, from where `held` begins, and how many bits it has.
    pub(super) bits: Option<(u64, u8)>,
    /// The variable and the steps from it, where a path from a variable leads here.
    pub(super) written: Option<(String, Vec<TargetStep>)>,
    /// The variable or path as messages name it, with its `$`.
    pub(super) name: String,
    /// Whether a reference was followed to it, which no step says.
    pub(super) referred: bool,
}

/// Where it is.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// In memory, at an address in which no `Target` stands.
    Memory(Expr),
    /// In registers, constants or parts, `from` bits into what is at a location.
    Parts { location: Location, from: u64 },
    /// Where it was on entry, seen from where the call ends: it can only be kept and shown whole.
    OnEntry(Box<Held>),
    /// Nowhere.
    Missing(Unavailable),
}

impl Held {
    /// What is at a location of a variable.
    pub(super) fn of(location: &Location, span: Span) -> Held {
        match location {
            Location::Memory(compute) => match place::address(compute, span) {
                Ok(address) => Held::Memory(address),
                Err(why) => Held::Missing(why),
            },
            Location::Unavailable(why) => Held::Missing(why.clone()),
            Location::Register(_)
            | Location::Value(_)
            | Location::Bytes(_)
            | Location::Pieces(_)
            | Location::ImplicitPointer { .. } => Held::Parts { location: location.clone(), from: 0 },
        }
    }

    /// What begins that many bytes into it.
    fn further(&self, bytes: u64, span: Span) -> Held {
        match self {
            Held::Memory(address) => Held::Memory(place::further(address.clone(), bytes, span)),
            Held::Parts { location, from } => {
                Held::Parts { location: location.clone(), from: from.saturating_add(bytes.saturating_mul(8)) }
            }
            Held::OnEntry(held) => Held::OnEntry(Box::new(held.further(bytes, span))),
            Held::Missing(why) => Held::Missing(why.clone()),
        }
    }

    /// A number of `width` bits that begins `from` bits into it.
    pub(super) fn read(&self, from: u64, width: u8, signed: bool, span: Span) -> Result<Expr, Unavailable> {
        match self {
            Held::Memory(address) => Ok(place::in_memory(address, from, width, signed, span)),
            Held::Parts { location, from: base } => {
                place::bits(location, base.saturating_add(from), width, signed, span)
            }
            Held::OnEntry(_) => Err(Unavailable::Unsupported(
                "what is kept from the entry on is shown whole; put what is wanted of it into `@entry`".to_owned(),
            )),
            Held::Missing(why) => Err(why.clone()),
        }
    }
}

impl Object {
    /// The same with a step behind the path.
    pub(super) fn stepped(mut self, step: TargetStep) -> Object {
        if let Some((_, steps)) = &mut self.written {
            steps.push(step);
        }
        self.referred = false;
        self
    }

    /// A part of another type, that many bytes into it.
    pub(super) fn part(&self, shape: Shape, offset: u64, span: Span) -> Object {
        Object { shape, held: self.held.further(offset, span), bits: None, ..self.clone() }
    }

    /// A member of it.
    pub(super) fn member(&self, member: &Member, span: Span) -> Object {
        let name = member.name.clone().unwrap_or_default();
        let mut part = match member.bits {
            None => self.part(Shape::Of(member.ty), member.offset, span),
            Some((from, width)) => {
                let mut whole = self.part(Shape::Of(member.ty), 0, span);
                whole.bits = Some((from, u8::try_from(width).unwrap_or(64)));
                whole
            }
        };
        part.name = format!("{}->{}", self.name, name.escape_debug());
        part.stepped(TargetStep::Member(name))
    }

    /// The element of an array at a computed index; `None` where it is not in memory, so that the index must be known.
    pub(super) fn element(&self, element: Shape, size: u64, index: Expr, span: Span) -> Option<Object> {
        let mut part = match (&index.kind, &self.held) {
            (ExprKind::Int(index), _) if *index >= 0 => {
                self.part(element, index.cast_unsigned().checked_mul(size)?, span)
            }
            (_, Held::Memory(address)) => {
                let address = moved(address.clone(), plain(index.clone()), size, span);
                Object { shape: element, held: Held::Memory(address), bits: None, ..self.clone() }
            }
            (_, Held::Missing(_)) => self.part(element, 0, span),
            (_, Held::Parts { .. } | Held::OnEntry(_)) => return None,
        };
        part.name = format!("{}[…]", self.name);
        Some(part.stepped(TargetStep::Index(index)))
    }

    /// What a pointer points to, without a step; the pointer's own value where it has no place.
    pub(super) fn pointee(typed: &Typed, to: Shape, module: &Module, span: Span) -> Object {
        let (written, name) = match &typed.object {
            Some(object) => (object.written.clone(), object.name.clone()),
            None => (None, "the address".to_owned()),
        };
        let held = match (&typed.missing, &typed.object) {
            // What a pointer that the compiler has done away with pointed to may still be there.
            (_, Some(Object { held: Held::Parts { location, from: 0 }, .. })) if implied(location).is_some() => {
                implied(location).map_or(Held::Missing(gone()), |(target, offset)| {
                    let held = Held::of(target, span);
                    match u64::try_from(offset) {
                        Ok(offset) => held.further(offset, span),
                        Err(_) => Held::Missing(gone()),
                    }
                })
            }
            (Some(missing), _) => Held::Missing(missing.why.clone()),
            (None, _) => Held::Memory(plain(typed.value.clone())),
        };
        Object { shape: to.defined(module), held, bits: None, written, name, referred: false }
    }

    /// What is there once references are followed.
    pub(super) fn followed(self, module: &Rc<Module>, span: Span) -> Object {
        let mut object = self;
        for _ in 0..DEEPEST {
            let Some(Type::Pointer { to, reference: true, size: 8 }) = object.shape.bare(module).map(|bare| bare.ty)
            else {
                break;
            };
            let pointer = object.scalar(module, Nature::Pointer { to: Shape::Of(None), text: false }, span);
            object = Object { referred: true, ..Object::pointee(&pointer, Shape::Of(to), module, span) };
        }
        object
    }

    /// Its value: a number where it is one, otherwise a stand-in with the object beside it.
    pub(super) fn read(self, module: &Rc<Module>, span: Span) -> Typed {
        let object = self.followed(module, span);
        let nature = nature::nature(module, &object.shape);
        object.scalar(module, nature, span)
    }

    fn scalar(self, module: &Rc<Module>, nature: Nature, span: Span) -> Typed {
        let (bytes, signed) = match (&nature, nature.width()) {
            (_, Some(width)) => width,
            (Nature::Float { bits }, None) => (bits / 8, false),
            (_, None) => {
                let missing = match &self.held {
                    Held::Missing(why) => Some(self.missing(module, why.clone())),
                    Held::Memory(_) | Held::Parts { .. } | Held::OnEntry(_) => None,
                };
                return Typed { value: Expr::int(0, span), nature, missing, object: Some(self) };
            }
        };
        let (from, width) = self.bits.unwrap_or((0, bytes.saturating_mul(8)));
        match self.held.read(from, width.clamp(1, 64), signed, span) {
            Ok(value) => {
                let value = match &self.written {
                    None => value,
                    Some((variable, steps)) => {
                        let mut steps = steps.clone();
                        if self.referred {
                            steps.push(TargetStep::Deref);
                        }
                        let target = Target { variable: variable.clone(), steps, value: Box::new(value) };
                        Expr { ty: Ty::Int, kind: ExprKind::Target(target), span }
                    }
                };
                Typed { value, nature, missing: None, object: Some(self) }
            }
            Err(why) => {
                let missing = Some(self.missing(module, why));
                Typed { value: Expr::int(0, span), nature, missing, object: Some(self) }
            }
        }
    }

    pub(super) fn missing(&self, module: &Rc<Module>, why: Unavailable) -> Missing {
        Missing { name: self.name.clone(), why, module: Rc::clone(module) }
    }

    /// Its address, where it has one.
    pub(super) fn address(&self) -> Option<&Expr> {
        match &self.held {
            Held::Memory(address) if self.bits.is_none() => Some(address),
            Held::Memory(_) | Held::Parts { .. } | Held::OnEntry(_) | Held::Missing(_) => None,
        }
    }
}

/// What a pointer without value points to (`DW_OP_implicit_pointer`), and how many bytes into it.
fn implied(location: &Location) -> Option<(&Location, i64)> {
    match location {
        Location::ImplicitPointer { target, offset } => Some((target, *offset)),
        Location::Memory(_)
        | Location::Register(_)
        | Location::Value(_)
        | Location::Bytes(_)
        | Location::Pieces(_)
        | Location::Unavailable(_) => None,
    }
}

fn gone() -> Unavailable {
    Unavailable::Unsupported("what it points to is no longer in memory".to_owned())
}

/// An address moved by `count` elements.
pub(super) fn moved(address: Expr, count: Expr, size: u64, span: Span) -> Expr {
    let int = |kind| Expr { ty: Ty::Int, kind, span };
    let by = match (&count.kind, size) {
        (ExprKind::Int(count), _) => Expr::int(count.wrapping_mul(size.cast_signed()), span),
        (_, 1) => count,
        _ => int(ExprKind::Binary(BinaryOp::Mul, Box::new(count), Box::new(Expr::int(size.cast_signed(), span)))),
    };
    if by.kind == ExprKind::Int(0) {
        return address;
    }
    int(ExprKind::Binary(BinaryOp::Add, Box::new(address), Box::new(by)))
}

/// An expression in which values of the program stand as they are computed: what is inside of a [`Target`].
pub(super) fn plain(expr: Expr) -> Expr {
    let Expr { ty, kind, span } = expr;
    let boxed = |inner: Box<Expr>| Box::new(plain(*inner));
    let all = |list: Vec<Expr>| list.into_iter().map(plain).collect::<Vec<_>>();
    let kind = match kind {
        ExprKind::Target(target) => return plain(*target.value),
        ExprKind::Load { address, size, signed } => ExprKind::Load { address: boxed(address), size, signed },
        ExprKind::Extend { value, bits, signed } => ExprKind::Extend { value: boxed(value), bits, signed },
        ExprKind::Unary(op, value) => ExprKind::Unary(op, boxed(value)),
        ExprKind::Binary(op, left, right) => ExprKind::Binary(op, boxed(left), boxed(right)),
        ExprKind::Compare(op, left, right) => ExprKind::Compare(op, boxed(left), boxed(right)),
        ExprKind::Logic { and, left, right } => ExprKind::Logic { and, left: boxed(left), right: boxed(right) },
        ExprKind::Ternary(condition, then, otherwise) => {
            ExprKind::Ternary(boxed(condition), boxed(then), boxed(otherwise))
        }
        ExprKind::MapGet(map, keys) => ExprKind::MapGet(map, all(keys)),
        ExprKind::MapHas(map, keys) => ExprKind::MapHas(map, all(keys)),
        ExprKind::Library(function, arguments) => ExprKind::Library(function, all(arguments)),
        ExprKind::Call(function, arguments) => ExprKind::Call(function, all(arguments)),
        ExprKind::Concat(parts) => ExprKind::Concat(all(parts)),
        ExprKind::UserString(address) => ExprKind::UserString(boxed(address)),
        ExprKind::UserText { address, most } => ExprKind::UserText { address: boxed(address), most: boxed(most) },
        ExprKind::UserBytes { address, length } => {
            ExprKind::UserBytes { address: boxed(address), length: boxed(length) }
        }
        ExprKind::SetLocal { local, value, before } => ExprKind::SetLocal { local, value: boxed(value), before },
        ExprKind::Update { global, keys, op, value, before } => {
            ExprKind::Update { global, keys: all(keys), op, value: boxed(value), before }
        }
        ExprKind::Stat { global, keys, op } => ExprKind::Stat { global, keys: all(keys), op },
        // No number of the program stands in these as an operand of an address.
        other @ (ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Local(_)
        | ExprKind::Global(_)
        | ExprKind::Context(_)
        | ExprKind::Register(_)
        | ExprKind::ModuleAddress(_)
        | ExprKind::Block(_)
        | ExprKind::Format(_)
        | ExprKind::Entry(_)
        | ExprKind::Returned(_)) => other,
    };
    Expr { ty, kind, span }
}
