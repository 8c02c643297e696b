//! Owns values that are shown whole: from the types of a struct, an array, a sequence to a [`Layout`] and the bytes it
//! needs. Follows no pointer but those of texts and sequences; formats nothing.

use std::rc::Rc;

use super::nature::{self, Nature};
use super::object::{Held, Object};
use super::shape::Shape;
use super::text::Sequence;
use super::{Checker, place, text};
use crate::debuginfo::Module;
use crate::debuginfo::facts::{Location, Member, Type, Unavailable, VariantPart};
use crate::ir::{
    BinaryOp, Block, CompareOp, Discriminant, Expr, ExprKind, FloatForm, Layout, LayoutIndex, LayoutMember, Show, Spec,
    Ty, VariantLayout, Whole,
};
use crate::source::Span;
use crate::value::OPTIMIZED_OUT;

/// The most bytes of a value that are read to show it whole; what begins behind them is shown as `…`.
const MOST_BYTES: u64 = 1_024;
/// The most elements of an array that are shown.
const MOST_ELEMENTS: u64 = 64;
/// The most texts and sequences that one value shows; further ones are shown as the structs they are.
const MOST_ELSEWHERE: usize = 16;
/// The most elements of a sequence that are shown where there are texts in them.
const MOST_ELEMENTS_WITH_TEXT: usize = 8;
/// The most parts of one layout, and how deep they may nest: a file may claim types that contain themselves.
const MOST_PARTS: usize = 4_096;
const DEEPEST: u32 = 48;
/// What stands for what is not shown.
const MORE: &str = "…";

/// Builds one layout.
struct Builder<'b, 'a> {
    checker: &'b mut Checker<'a>,
    module: &'b Rc<Module>,
    root: Object,
    span: Span,
    elsewhere: Vec<Expr>,
    /// Bytes of the root that are shown.
    extent: u64,
    parts: usize,
    /// Bytes of the root, in registers and parts, that are nowhere, and what is shown there.
    gaps: Vec<(u64, u64, &'static str)>,
}

/// Where a part is.
#[derive(Clone)]
struct Spot {
    /// Bytes from the root; `None` for the elements of arrays and sequences, of which there are several.
    at: Option<u64>,
    /// The levels of nesting that are left.
    depth: u32,
    /// How many types contain it.
    nesting: u32,
    /// What must hold for it to be there: it is in a variant.
    condition: Option<Expr>,
}

impl Checker<'_> {
    /// A value as it is shown whole, nested values to a depth.
    ///
    /// # Errors
    /// Why none of it can be had at the site.
    pub(super) fn whole_value(
        &mut self,
        module: &Rc<Module>,
        object: &Object,
        depth: u32,
        spec: Spec,
        span: Span,
    ) -> Result<Whole, Unavailable> {
        let object = match &object.held {
            Held::Missing(why) => return Err(why.clone()),
            Held::OnEntry(held) => {
                let on_entry = Object { held: (**held).clone(), ..object.clone() };
                let whole = self.whole_value(module, &on_entry, depth, spec, span)?;
                return Ok(self.keep_whole(whole, depth, span));
            }
            Held::Memory(_) | Held::Parts { .. } => object,
        };
        let size = object.shape.size(module).unwrap_or(0);
        let gaps = match &object.held {
            Held::Parts { location, from } => gaps(location, *from, size.min(MOST_BYTES)),
            Held::Memory(_) | Held::OnEntry(_) | Held::Missing(_) => Vec::new(),
        };
        if let Some((0, end, _)) = gaps.first()
            && *end >= size
            && size > 0
        {
            return Err(nothing_of(object));
        }
        let mut builder = Builder {
            checker: self,
            module,
            root: object.clone(),
            span,
            elsewhere: Vec::new(),
            extent: 0,
            parts: 0,
            gaps,
        };
        let spot = Spot { at: Some(0), depth, nesting: 0, condition: None };
        let layout = builder.layout(&object.shape, spot);
        let Builder { elsewhere, extent, .. } = builder;
        let block = block(&object.held, extent, span)?;
        Ok(Whole {
            layout: self.intern_layout(layout),
            block: Expr { ty: Ty::Str, kind: ExprKind::Block(block), span },
            elsewhere,
            spec,
            written: object.written.clone(),
        })
    }

    fn intern_layout(&mut self, layout: Layout) -> LayoutIndex {
        let index = self.layouts.iter().position(|known| *known == layout).unwrap_or_else(|| {
            self.layouts.push(layout);
            self.layouts.len() - 1
        });
        LayoutIndex(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// How a number of a nature is shown where no format says; `None` for what is none.
pub(super) fn show(checker: &mut Checker<'_>, nature: &Nature) -> Option<Show> {
    Some(match nature {
        Nature::Int | Nature::Number { signed: true, .. } => Show::Signed,
        Nature::Number { signed: false, .. } => Show::Unsigned,
        Nature::Char { bytes: 1, .. } => Show::Char,
        Nature::Char { .. } => Show::Unicode,
        Nature::Bool { .. } => Show::Bool,
        Nature::Enum { name, names, .. } => Show::Enum(checker.intern_enum(name.as_ref(), names)),
        Nature::Pointer { .. } => Show::Pointer,
        Nature::Float { bits } => Show::Float { bits: *bits, form: FloatForm::Shortest },
        Nature::Str | Nature::Text { .. } | Nature::Whole { .. } | Nature::Opaque { .. } => return None,
    })
}

impl Builder<'_, '_> {
    fn words(text: impl Into<String>) -> Layout {
        Layout::Words(text.into())
    }

    fn layout(&mut self, shape: &Shape, spot: Spot) -> Layout {
        self.parts += 1;
        if self.parts > MOST_PARTS || spot.nesting > DEEPEST {
            return Self::words(MORE);
        }
        let Some(bare) = shape.bare(self.module) else { return Self::words("<not shown: no type>") };
        let not_shown = |what: &str| Self::words(format!("<not shown: {what}>"));
        if let Type::Base { name, encoding, size } = &bare.ty
            && let Some(wide) = nature::wide(name, *encoding, *size)
        {
            return self.shown(&spot, *size, Layout::Wide(wide));
        }
        match bare.ty {
            Type::Base { size: 0, name, .. } => Self::words(name.escape_debug().to_string()),
            Type::Base { size, .. } | Type::Enum { size, .. } | Type::Pointer { size, .. } => {
                // A reference is shown as the address it is: what it refers to may be anywhere.
                let nature = match bare.ty {
                    Type::Pointer { .. } => Nature::Pointer { to: Shape::Of(None), text: false },
                    _ => nature::nature(self.module, shape),
                };
                let signed = nature.width().is_some_and(|(_, signed)| signed);
                match (show(self.checker, &nature), u8::try_from(size)) {
                    (Some(show), Ok(size @ (1 | 2 | 4 | 8))) => {
                        self.shown(&spot, u64::from(size), Layout::Scalar { size, signed, show })
                    }
                    _ => not_shown(&shape.name(self.module)),
                }
            }
            Type::Array { .. } => self.array(shape, spot),
            Type::Aggregate { size: None, .. } => not_shown(&shape.name(self.module)),
            Type::Aggregate { name, members, variants, .. } => {
                if let Some(elsewhere) = self.elsewhere(shape, &spot) {
                    return elsewhere;
                }
                if spot.depth == 0 {
                    return Self::words("{...}");
                }
                let spot = Spot { depth: spot.depth - 1, nesting: spot.nesting + 1, ..spot };
                match variants {
                    Some(variants) => self.variants(&variants, &spot),
                    None => {
                        let tuple = tuple_name(name.as_deref(), &members);
                        let members = self.members(&members, 0, &spot);
                        match tuple {
                            Some(name) => Layout::Aggregate { name, tuple: true, members },
                            None => Layout::Aggregate { name: None, tuple: false, members },
                        }
                    }
                }
            }
            Type::MemberPointer { function: false, size: 8 } => {
                self.shown(&spot, 8, Layout::Scalar { size: 8, signed: true, show: Show::Signed })
            }
            Type::MemberPointer { function: true, size: 16 } => {
                let part = |name: &str, offset, signed, show| LayoutMember {
                    name: Some(name.to_owned()),
                    offset,
                    bits: None,
                    layout: Layout::Scalar { size: 8, signed, show },
                };
                // As the ABI calls them.
                let members = vec![part("ptr", 0, false, Show::Pointer), part("adj", 8, true, Show::Signed)];
                self.shown(&spot, 16, Layout::Aggregate { name: None, tuple: false, members })
            }
            Type::MemberPointer { .. } => not_shown(&shape.name(self.module)),
            Type::Function => not_shown("a function"),
            Type::Unknown(tag) => not_shown(&tag.escape_debug().to_string()),
            Type::Typedef { .. } | Type::Qualified { .. } => Self::words(MORE),
        }
    }

    /// A part whose bytes are needed; words instead where they are not read or nowhere.
    fn shown(&mut self, spot: &Spot, size: u64, layout: Layout) -> Layout {
        let Some(at) = spot.at else { return layout };
        let end = at.saturating_add(size);
        if end > MOST_BYTES {
            return Self::words(MORE);
        }
        if let Some((.., words)) = self.gaps.iter().find(|(from, to, _)| *from < end && at < *to) {
            return Self::words(*words);
        }
        self.extent = self.extent.max(end);
        layout
    }

    fn array(&mut self, shape: &Shape, spot: Spot) -> Layout {
        let Some((element, count)) = shape.elements(self.module) else { return Self::words(MORE) };
        let Some(count) = count else { return Self::words("[...]") };
        if nature::is_char(self.module, &element) {
            let most = spot.at.map_or(count, |at| MOST_BYTES.saturating_sub(at).min(count));
            return if most == 0 && count > 0 {
                Self::words(MORE)
            } else {
                self.shown(&spot, most, Layout::Chars(most))
            };
        }
        if spot.depth == 0 {
            return Self::words("[...]");
        }
        let Some(stride) = element.size(self.module) else { return Self::words("[...]") };
        let room = match spot.at {
            Some(at) => MOST_BYTES.saturating_sub(at).checked_div(stride).unwrap_or(MOST_ELEMENTS),
            None => MOST_ELEMENTS,
        };
        let shown = count.min(MOST_ELEMENTS).min(room);
        if shown == 0 && count > 0 {
            return Self::words(MORE);
        }
        let mut first = Vec::new();
        while first.len() < MOST_ELEMENTS_WITH_TEXT && (first.len() as u64) < shown {
            let at = stride.saturating_mul(first.len() as u64);
            let Some(at) = spot.at.map(|base| base.saturating_add(at)) else { break };
            let inner = Spot { at: Some(at), depth: spot.depth - 1, nesting: spot.nesting + 1, ..spot.clone() };
            match self.with_text(&element, inner) {
                Some(layout) => first.push(layout),
                None => break,
            }
        }
        let inner = Spot { at: None, depth: spot.depth - 1, nesting: spot.nesting + 1, condition: None };
        let element = Box::new(self.layout(&element, inner));
        let layout = Layout::Array { count: shown, more: count - shown, stride, first, element };
        self.shown(&spot, shown.saturating_mul(stride), layout)
    }

    /// A text or sequence of the program's language.
    fn elsewhere(&mut self, shape: &Shape, spot: &Spot) -> Option<Layout> {
        let at = spot.at.filter(|_| self.elsewhere.len() < MOST_ELSEWHERE)?;
        let object = Object { written: None, ..self.root.part(shape.clone(), at, self.span) };
        let unavailable = |why: &Unavailable| Self::words(words_for(why));
        if let Some(found) = text::text_of(self.module, &object, self.span) {
            let text = match found {
                Ok(text) => self.guarded(text, spot),
                Err(why) => return Some(unavailable(&why)),
            };
            self.elsewhere.push(text);
            return Some(Layout::Text(self.elsewhere.len() - 1));
        }
        if spot.depth == 0 {
            return None;
        }
        let sequence = match text::sequence_of(self.module, &object, self.span)? {
            Ok(sequence) => sequence,
            Err(why) => return Some(unavailable(&why)),
        };
        let kind = ExprKind::UserBytes {
            address: Box::new(sequence.address.clone()),
            length: Box::new(sequence.bytes.clone()),
        };
        let bytes = self.guarded(Expr { ty: Ty::Str, kind, span: self.span }, spot);
        self.elsewhere.push(bytes);
        let bytes = self.elsewhere.len() - 1;
        let first = self.elements(&sequence, spot);
        let inner = Spot { at: None, depth: spot.depth - 1, nesting: spot.nesting + 1, condition: None };
        let element = Box::new(self.layout(&sequence.element, inner));
        Some(Layout::Elements { bytes, stride: sequence.stride, first, element })
    }

    /// An element with its own texts; `None` where it has none, or there is no room for them.
    fn with_text(&mut self, element: &Shape, spot: Spot) -> Option<Layout> {
        let (before, parts) = (self.elsewhere.len(), self.parts);
        let layout = self.layout(element, spot);
        if self.elsewhere.len() > before && self.elsewhere.len() < MOST_ELSEWHERE {
            return Some(layout);
        }
        self.elsewhere.truncate(before);
        self.parts = parts;
        None
    }

    /// The first elements of a sequence, each with its own texts, as far as there is room for them; none where there is
    /// no text in them.
    fn elements(&mut self, sequence: &Sequence, spot: &Spot) -> Vec<Layout> {
        let (mut layouts, span) = (Vec::new(), self.span);
        let (gaps, extent) = (std::mem::take(&mut self.gaps), self.extent);
        let root = self.root.clone();
        while layouts.len() < MOST_ELEMENTS_WITH_TEXT {
            let at = sequence.stride.saturating_mul(layouts.len() as u64);
            let held = Held::Memory(place::further(sequence.address.clone(), at, span));
            self.root = Object { shape: sequence.element.clone(), held, written: None, ..root.clone() };
            // Nothing of an element is read where there is none.
            let (bytes, from) = (Box::new(sequence.bytes.clone()), Box::new(Expr::int(at.cast_signed(), span)));
            let there = Expr { ty: Ty::Int, kind: ExprKind::Compare(CompareOp::Gt, bytes, from), span };
            let condition = Some(both(spot.condition.as_ref(), there));
            let inner = Spot { at: Some(0), depth: spot.depth - 1, nesting: spot.nesting + 1, condition };
            match self.with_text(&sequence.element, inner) {
                Some(layout) => layouts.push(layout),
                None => break,
            }
        }
        (self.root, self.gaps, self.extent) = (root, gaps, extent);
        layouts
    }

    /// A text that is only read where its variant is the one that is there: otherwise nothing of it is.
    fn guarded(&self, text: Expr, spot: &Spot) -> Expr {
        let Some(condition) = &spot.condition else { return text };
        let Expr { ty, kind, span } = text;
        let only = |number: Box<Expr>| {
            let nothing = Box::new(Expr::int(0, span));
            let kind = ExprKind::Ternary(Box::new(condition.clone()), number, nothing);
            Box::new(Expr { ty: Ty::Int, kind, span })
        };
        let kind = match kind {
            ExprKind::UserBytes { address, length } => {
                ExprKind::UserBytes { address: only(address), length: only(length) }
            }
            ExprKind::UserText { address, most } => ExprKind::UserText { address: only(address), most: only(most) },
            other => other,
        };
        Expr { ty, kind, span }
    }

    /// The members of an aggregate that begins `base` bytes before what they are shown in.
    fn members(&mut self, members: &[Member], base: u64, spot: &Spot) -> Vec<LayoutMember> {
        let mut shown = Vec::new();
        for member in members {
            let offset = base.saturating_add(member.offset);
            let shape = Shape::Of(member.ty);
            // What has no name shows its members in its place: it takes no level.
            let anonymous = member.name.is_none() || member.base_class;
            let depth = if anonymous { spot.depth.saturating_add(1) } else { spot.depth };
            let inner = Spot { at: spot.at.map(|at| at.saturating_add(offset)), depth, ..spot.clone() };
            let (layout, bits) = match member.bits {
                None => (self.layout(&shape, inner), None),
                Some((from, width)) => {
                    let from = base.saturating_mul(8).saturating_add(from);
                    let nature = nature::nature(self.module, &shape);
                    let known = show(self.checker, &nature).zip(nature.width()).zip(u8::try_from(width).ok());
                    match known.filter(|(_, width)| (1..=64).contains(width)) {
                        Some(((show, (size, signed)), width)) => {
                            let (first, end) = (from / 8, from.saturating_add(u64::from(width)).div_ceil(8));
                            let place = Spot { at: spot.at.map(|at| at.saturating_add(first)), ..spot.clone() };
                            let layout = Layout::Scalar { size, signed, show };
                            (self.shown(&place, end - first, layout), Some((from, width)))
                        }
                        None => (Self::words(MORE), None),
                    }
                }
            };
            let bits = bits.filter(|_| matches!(layout, Layout::Scalar { .. }));
            let name = if anonymous { None } else { member.name.as_ref().map(|name| name.escape_debug().to_string()) };
            shown.push(LayoutMember { name, offset, bits, layout });
            if self.parts > MOST_PARTS {
                break;
            }
        }
        shown
    }

    /// An enumeration with fields: which of its variants is there, and what is in it.
    fn variants(&mut self, part: &VariantPart, spot: &Spot) -> Layout {
        let mut discriminant = None;
        if let Some(member) = &part.discriminant {
            let shape = Shape::Of(member.ty);
            let size = shape.size(self.module).and_then(|size| u8::try_from(size).ok());
            let signed = nature::nature(self.module, &shape).width().is_some_and(|(_, signed)| signed);
            let Some(size @ (1 | 2 | 4 | 8)) = size else { return Self::words("<not shown: a wide discriminant>") };
            let place = Spot { at: spot.at.map(|at| at.saturating_add(member.offset)), ..spot.clone() };
            let there = Layout::Chars(u64::from(size));
            match self.shown(&place, u64::from(size), there) {
                Layout::Chars(_) => {}
                other => return other,
            }
            discriminant = Some(Discriminant { offset: member.offset, size, signed });
        }
        let mut arms = Vec::new();
        for variant in &part.variants {
            let values: Option<Vec<(i64, i64)>> =
                variant.values.iter().map(|(low, high)| Some((narrowed(*low)?, narrowed(*high)?))).collect();
            let Some(values) = values else { return Self::words("<not shown: a wide discriminant>") };
            let condition = discriminant.and_then(|found| self.is_there(found, &values, part, spot));
            let condition = match condition {
                Some(own) => Some(both(spot.condition.as_ref(), own)),
                None => spot.condition.clone(),
            };
            let inner = Spot { condition, ..spot.clone() };
            arms.push(VariantLayout { values, layout: self.arm(&variant.members, &inner) });
        }
        if discriminant.is_none() && arms.len() != 1 {
            return Self::words(MORE);
        }
        Layout::Variants { discriminant, arms }
    }

    /// Whether a variant is the one that is there, as a number.
    fn is_there(&self, found: Discriminant, values: &[(i64, i64)], part: &VariantPart, spot: &Spot) -> Option<Expr> {
        let span = self.span;
        let at = spot.at?.checked_add(found.offset)?;
        let number = self.root.held.read(at.checked_mul(8)?, found.size * 8, found.signed, span).ok()?;
        let int = |kind| Expr { ty: Ty::Int, kind, span };
        let compare =
            |op, with: i64| int(ExprKind::Compare(op, Box::new(number.clone()), Box::new(Expr::int(with, span))));
        let within = |(low, high): (i64, i64)| {
            if low == high {
                return compare(CompareOp::Eq, low);
            }
            // Unsigned numbers of 64 bits: those above the greatest signed one are below 0 here.
            let both = if low <= high { BinaryOp::And } else { BinaryOp::Or };
            let (low, high) = (compare(CompareOp::Ge, low), compare(CompareOp::Le, high));
            int(ExprKind::Binary(both, Box::new(low), Box::new(high)))
        };
        let any = |values: &[(i64, i64)]| {
            values
                .iter()
                .map(|range| within(*range))
                .reduce(|a, b| int(ExprKind::Binary(BinaryOp::Or, Box::new(a), Box::new(b))))
        };
        if !values.is_empty() {
            return any(values);
        }
        // The one that has no number of its own is there where no other is.
        let others = joined(part.variants.iter().flat_map(|variant| variant.values.iter().copied()).collect());
        let others: Option<Vec<(i64, i64)>> =
            others.into_iter().map(|(low, high)| Some((narrowed(low)?, narrowed(high)?))).collect();
        let other = any(&others.filter(|others| others.len() <= 16)?)?;
        Some(int(ExprKind::Compare(CompareOp::Eq, Box::new(other), Box::new(Expr::int(0, span)))))
    }

    /// What is in a variant: one member, named as it, with its fields.
    fn arm(&mut self, members: &[Member], spot: &Spot) -> Layout {
        let [member] = members else {
            let members = self.members(members, 0, spot);
            return Layout::Aggregate { name: None, tuple: false, members };
        };
        let name = member.name.as_ref().map(|name| name.escape_debug().to_string());
        let bare = Shape::Of(member.ty).bare(self.module).map(|bare| bare.ty);
        let Some(Type::Aggregate { members: fields, .. }) = bare else {
            let members = self.members(members, 0, spot);
            return Layout::Aggregate { name: None, tuple: false, members };
        };
        if fields.is_empty() {
            return Self::words(name.unwrap_or_else(|| "{}".to_owned()));
        }
        let tuple = are_numbered(&fields);
        let members = self.members(&fields, member.offset, spot);
        Layout::Aggregate { name, tuple, members }
    }
}

/// Ranges of numbers, those that touch as one.
fn joined(mut ranges: Vec<(i128, i128)>) -> Vec<(i128, i128)> {
    ranges.sort_unstable();
    let mut joined: Vec<(i128, i128)> = Vec::new();
    for (low, high) in ranges {
        match joined.last_mut() {
            Some((_, end)) if low <= end.saturating_add(1) => *end = high.max(*end),
            Some(_) | None => joined.push((low, high)),
        }
    }
    joined
}

/// A discriminant in 64 bits, with or without a sign.
fn narrowed(value: i128) -> Option<i64> {
    i64::try_from(value).ok().or_else(|| u64::try_from(value).ok().map(u64::cast_signed))
}

/// What must hold inside of something that is only there where `outer` holds: asked in that order.
fn both(outer: Option<&Expr>, inner: Expr) -> Expr {
    let Some(outer) = outer else { return inner };
    let span = inner.span;
    let kind = ExprKind::Logic { and: true, left: Box::new(outer.clone()), right: Box::new(inner) };
    Expr { ty: Ty::Int, kind, span }
}

/// Whether members are a tuple's: Rust names them `__0`, `__1`.
fn are_numbered(members: &[Member]) -> bool {
    !members.is_empty()
        && members.iter().enumerate().all(|(at, member)| {
            member.name.as_deref().and_then(|name| name.strip_prefix("__")) == Some(at.to_string().as_str())
        })
}

/// The name before a tuple's parentheses (`(i32, i32)` has none); `None` for what is no tuple.
fn tuple_name(name: Option<&str>, members: &[Member]) -> Option<Option<String>> {
    if !are_numbered(members) {
        return None;
    }
    let name = name.filter(|name| !name.starts_with('('));
    Some(name.map(|name| name.split('<').next().unwrap_or(name).escape_debug().to_string()))
}

fn words_for(why: &Unavailable) -> &'static str {
    match why {
        Unavailable::VectorRegister => super::print::VECTOR,
        Unavailable::OptimizedOut { .. } | Unavailable::Unsupported(_) => OPTIMIZED_OUT,
    }
}

fn nothing_of(object: &Object) -> Unavailable {
    match &object.held {
        Held::Parts { location: Location::Pieces(pieces), .. }
            if pieces
                .iter()
                .any(|piece| matches!(piece.location, Location::Unavailable(Unavailable::VectorRegister))) =>
        {
            Unavailable::VectorRegister
        }
        Held::Parts { location: Location::Unavailable(why), .. } | Held::Missing(why) => why.clone(),
        Held::Parts { .. } | Held::Memory(_) | Held::OnEntry(_) => Unavailable::OptimizedOut { ranges: Vec::new() },
    }
}

/// Parts of a value in parts: from and to which byte, and why none is there.
fn chunks(location: &Location, from: u64, size: u64) -> Vec<(u64, u64, Option<&'static str>)> {
    let whole = |why| vec![(0, size, why)];
    match location {
        Location::Memory(_) | Location::Register(_) | Location::Value(_) | Location::Bytes(_) => whole(None),
        Location::ImplicitPointer { .. } => whole(Some(OPTIMIZED_OUT)),
        Location::Unavailable(why) => whole(Some(words_for(why))),
        Location::Pieces(pieces) => {
            let (mut start, mut chunks) = (0u64, Vec::new());
            for piece in pieces {
                let end = start.saturating_add(piece.bits);
                let why = match &piece.location {
                    Location::Unavailable(why) => Some(words_for(why)),
                    Location::ImplicitPointer { .. } | Location::Pieces(_) => Some(OPTIMIZED_OUT),
                    Location::Memory(_) | Location::Register(_) | Location::Value(_) | Location::Bytes(_) => None,
                };
                let (low, high) = (start.max(from).saturating_sub(from), end.saturating_sub(from));
                let (low, high) = (low / 8, (high / 8).min(size));
                if low < high {
                    chunks.push((low, high, why));
                }
                start = end;
            }
            // What no piece covers.
            let covered = chunks.last().map_or(0, |(_, high, _)| *high);
            if covered < size {
                chunks.push((covered, size, Some(OPTIMIZED_OUT)));
            }
            chunks
        }
    }
}

fn gaps(location: &Location, from: u64, size: u64) -> Vec<(u64, u64, &'static str)> {
    let mut gaps: Vec<(u64, u64, &'static str)> = Vec::new();
    for (low, high, why) in chunks(location, from, size) {
        let Some(why) = why else { continue };
        match gaps.last_mut() {
            Some((_, end, _)) if *end == low => *end = high,
            _ => gaps.push((low, high, why)),
        }
    }
    gaps
}

/// The first `extent` bytes of something.
fn block(held: &Held, extent: u64, span: Span) -> Result<Block, Unavailable> {
    let size = u32::try_from(extent).unwrap_or(u32::MAX);
    match held {
        Held::Memory(address) => Ok(Block::Memory { address: Box::new(address.clone()), size }),
        Held::Missing(why) => Err(why.clone()),
        // Taken off before.
        Held::OnEntry(held) => block(held, extent, span),
        Held::Parts { location, from } => {
            let mut parts = Vec::new();
            for (low, high, why) in chunks(location, *from, extent) {
                let mut at = low;
                while at < high {
                    let bytes = (high - at).min(8);
                    let width = u8::try_from(bytes).unwrap_or(8);
                    let value = match why {
                        Some(_) => Expr::int(0, span),
                        None => held.read(at.saturating_mul(8), width.saturating_mul(8), false, span)?,
                    };
                    parts.push((value, width));
                    at += bytes;
                }
            }
            Ok(Block::Parts(parts))
        }
    }
}
