//! Owns what the bytes of a value that is shown whole mean, by its layout, and how that is written as text.

use std::cell::Cell;

use super::{FAULT, Float, TRUNCATED, Value, unicode, write_int, write_quoted};
use crate::ir::{Discriminant, EnumNames, Layout, LayoutMember, Show, Spec, VariantLayout};

/// How deep values that are shown whole may be in each other; what is deeper is `...`.
const MOST_LEVELS: usize = 64;
/// How many parts of one value are shown at most, those of its parts included.
const MOST_PARTS: usize = 1 << 16;
/// What stands for what is not shown.
pub const MORE: &str = "...";

/// A value of the program, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A number, and how it is shown.
    Number {
        /// The number, extended as its type says.
        number: i64,
        /// How.
        show: Show,
    },
    /// A character: one byte, or the UTF-8 form of a wider one.
    Character(Vec<u8>),
    /// A number wider than 64 bits or of two parts, in digits.
    Wide(String),
    /// A text or its beginning.
    Text {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether there is more.
        truncated: bool,
    },
    /// Elements of an array or sequence.
    List {
        /// Those that are shown.
        items: Vec<Node>,
        /// Whether there are more.
        more: bool,
    },
    /// A struct, class, union or variant with named members.
    Record {
        /// A variant's name.
        name: Option<String>,
        /// Names and values, in the order of the declaration.
        members: Vec<(String, Node)>,
    },
    /// A tuple or a variant with members without names.
    Tuple {
        /// A variant's name.
        name: Option<String>,
        /// Its parts.
        items: Vec<Node>,
    },
    /// It could not be read.
    Fault,
    /// What is not shown, and why.
    Words(String),
}

/// Takes a value apart: `bytes` are its own, `elsewhere` the texts that lie elsewhere.
pub fn decode(layout: &Layout, bytes: &Value, elsewhere: &[Value]) -> Node {
    match bytes {
        Value::Str { bytes, .. } => Decoder { elsewhere, left: Cell::new(MOST_PARTS) }.node(layout, bytes, MOST_LEVELS),
        Value::Fault | Value::Int(_) | Value::Stack(_) | Value::Stats(_) | Value::Table(_) => Node::Fault,
    }
}

struct Decoder<'a> {
    elsewhere: &'a [Value],
    /// Parts that may still be shown.
    left: Cell<usize>,
}

impl Decoder<'_> {
    /// `bytes` begin where the layout does.
    fn node(&self, layout: &Layout, bytes: &[u8], levels: usize) -> Node {
        let (Some(levels), Some(left)) = (levels.checked_sub(1), self.left.get().checked_sub(1)) else {
            return Node::Words(MORE.to_owned());
        };
        self.left.set(left);
        match layout {
            Layout::Scalar { size, signed, show } => match number(bytes, 0, *size, *signed) {
                Some(number) => scalar(number, *show),
                None => Node::Fault,
            },
            Layout::Wide(wide) => super::wide::write(*wide, bytes).map_or(Node::Fault, Node::Wide),
            Layout::Chars(length) => match part(bytes, 0, *length) {
                Some(chars) => {
                    let text = chars.split(|byte| *byte == 0).next().unwrap_or_default();
                    Node::Text { bytes: text.to_vec(), truncated: false }
                }
                None => Node::Fault,
            },
            Layout::Text(index) => match self.elsewhere.get(*index) {
                Some(Value::Str { bytes, truncated }) => Node::Text { bytes: bytes.clone(), truncated: *truncated },
                Some(Value::Fault | Value::Int(_) | Value::Stack(_) | Value::Stats(_) | Value::Table(_)) | None => {
                    Node::Fault
                }
            },
            Layout::Elements { bytes, stride, first, element } => match self.elsewhere.get(*bytes) {
                Some(Value::Str { bytes, truncated }) => {
                    let whole = bytes.len() as u64 / (*stride).max(1);
                    self.elements((first, element), bytes, *stride, (whole, *truncated), levels)
                }
                Some(Value::Fault | Value::Int(_) | Value::Stack(_) | Value::Stats(_) | Value::Table(_)) | None => {
                    Node::Fault
                }
            },
            Layout::Array { count, more, stride, first, element } => {
                self.elements((first, element), bytes, *stride, (*count, *more > 0), levels)
            }
            Layout::Aggregate { name, tuple: true, members } => {
                let items = members.iter().map(|member| self.member(member, bytes, levels)).collect();
                Node::Tuple { name: name.clone(), items }
            }
            Layout::Aggregate { name, tuple: false, members } => {
                let mut shown = Vec::new();
                self.members(members, bytes, levels, &mut shown);
                Node::Record { name: name.clone(), members: shown }
            }
            Layout::Variants { discriminant, arms } => self.variant(*discriminant, arms, bytes, levels),
            Layout::Words(words) => Node::Words(words.clone()),
        }
    }

    /// So many elements and whether there are more: the first ones by themselves, where these are given, and no others
    /// then.
    fn elements(
        &self,
        (first, element): (&[Layout], &Layout),
        bytes: &[u8],
        stride: u64,
        (count, more): (u64, bool),
        levels: usize,
    ) -> Node {
        if first.is_empty() {
            return self.list(&|_| element, bytes, stride, count, more, levels);
        }
        let shown = count.min(first.len() as u64);
        let own = |index: u64| usize::try_from(index).ok().and_then(|index| first.get(index)).unwrap_or(element);
        self.list(&own, bytes, stride, shown, more || shown < count, levels)
    }

    /// Elements one behind the other, each by the layout of its number.
    fn list<'l>(
        &self,
        element: &dyn Fn(u64) -> &'l Layout,
        bytes: &[u8],
        stride: u64,
        count: u64,
        more: bool,
        levels: usize,
    ) -> Node {
        let mut items = Vec::new();
        for index in 0..count {
            if self.left.get() == 0 {
                return Node::List { items, more: true };
            }
            items.push(match index.checked_mul(stride).and_then(|at| from(bytes, at)) {
                Some(bytes) => self.node(element(index), bytes, levels),
                None => {
                    self.left.set(self.left.get() - 1);
                    Node::Fault
                }
            });
        }
        Node::List { items, more }
    }

    fn member(&self, member: &LayoutMember, bytes: &[u8], levels: usize) -> Node {
        match (member.bits, &member.layout) {
            (Some((offset, width)), Layout::Scalar { signed, show, .. }) => {
                match bit_field(bytes, offset, width, *signed) {
                    Some(number) => scalar(number, *show),
                    None => Node::Fault,
                }
            }
            // Behind the bytes that are shown there may be texts that lie elsewhere: they need none of them.
            (_, layout) => self.node(layout, from(bytes, member.offset).unwrap_or_default(), levels),
        }
    }

    /// Members by name; those of a member without a name in its place.
    fn members(&self, members: &[LayoutMember], bytes: &[u8], levels: usize, shown: &mut Vec<(String, Node)>) {
        for member in members {
            match (&member.name, self.member(member, bytes, levels)) {
                (Some(name), node) => shown.push((name.clone(), node)),
                (None, Node::Record { members, .. }) => shown.extend(members),
                (None, node) => shown.push((String::new(), node)),
            }
        }
    }

    fn variant(&self, discriminant: Option<Discriminant>, arms: &[VariantLayout], bytes: &[u8], levels: usize) -> Node {
        let (found, tag) = match discriminant {
            None => (arms.first(), 0),
            Some(Discriminant { offset, size, signed }) => {
                let Some(tag) = number(bytes, offset, size, signed) else { return Node::Fault };
                let means =
                    |arm: &&VariantLayout| arm.values.iter().any(|(low, high)| within(tag, *low, *high, signed));
                (arms.iter().find(means).or_else(|| arms.iter().find(|arm| arm.values.is_empty())), tag)
            }
        };
        match found {
            Some(arm) => self.node(&arm.layout, bytes, levels),
            None => Node::Words(format!("<no variant {tag}>")),
        }
    }
}

fn within(tag: i64, low: i64, high: i64, signed: bool) -> bool {
    if signed {
        (low..=high).contains(&tag)
    } else {
        (low.cast_unsigned()..=high.cast_unsigned()).contains(&tag.cast_unsigned())
    }
}

fn scalar(number: i64, show: Show) -> Node {
    match show {
        Show::Char => Node::Character(vec![number.to_le_bytes()[0]]),
        Show::Unicode => match unicode(number) {
            Ok(character) => Node::Character(character.into_bytes()),
            Err(words) => Node::Words(words),
        },
        Show::Signed
        | Show::Unsigned
        | Show::Hex { .. }
        | Show::Octal
        | Show::Pointer
        | Show::Bool
        | Show::Enum(_)
        | Show::Text
        | Show::Float { .. } => Node::Number { number, show },
    }
}

fn from(bytes: &[u8], offset: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)
}

fn part(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    from(bytes, offset)?.get(..usize::try_from(length).ok()?)
}

fn number(bytes: &[u8], offset: u64, size: u8, signed: bool) -> Option<i64> {
    let mut eight = [0; 8];
    eight.get_mut(..usize::from(size))?.copy_from_slice(part(bytes, offset, u64::from(size))?);
    let number = i64::from_le_bytes(eight);
    Some(if size < 8 { crate::interpret::extend(number, size * 8, signed) } else { number })
}

/// A bit-field of 1 to 64 bits; it may begin in the middle of a byte and so lie in nine.
fn bit_field(bytes: &[u8], offset: u64, width: u8, signed: bool) -> Option<i64> {
    let first = offset / 8;
    let last = offset.checked_add(u64::from(width.max(1)) - 1)? / 8;
    let mut held = [0; 16];
    let read = part(bytes, first, last - first + 1)?;
    held.get_mut(..read.len())?.copy_from_slice(read);
    let shifted = (u128::from_le_bytes(held) >> (offset % 8)).to_le_bytes();
    let mut eight = [0; 8];
    eight.iter_mut().zip(shifted).for_each(|(byte, from)| *byte = from);
    Some(crate::interpret::extend(i64::from_le_bytes(eight), width, signed))
}

/// Writes a value that was taken apart. A text that is all there is stands bare, one in something in quotes.
pub fn write_node(out: &mut Vec<u8>, node: &Node, enums: &[EnumNames]) {
    match node {
        Node::Text { bytes, truncated } => {
            out.extend_from_slice(bytes);
            if *truncated {
                out.extend_from_slice(TRUNCATED.as_bytes());
            }
        }
        Node::Number { .. }
        | Node::Wide(_)
        | Node::Character(_)
        | Node::List { .. }
        | Node::Record { .. }
        | Node::Tuple { .. }
        | Node::Fault
        | Node::Words(_) => write_nested(out, node, enums),
    }
}

/// Writes a value with all text in it in quotes.
pub fn write_nested(out: &mut Vec<u8>, node: &Node, enums: &[EnumNames]) {
    match node {
        Node::Number { number, show } => write_int(out, *number, *show, Spec::default(), enums),
        Node::Wide(digits) => out.extend_from_slice(digits.as_bytes()),
        Node::Character(bytes) => write_quoted(out, bytes, b'\''),
        Node::Text { bytes, truncated } => {
            write_quoted(out, bytes, b'"');
            if *truncated {
                out.extend_from_slice(TRUNCATED.as_bytes());
            }
        }
        Node::List { items, more } => {
            out.push(b'[');
            write_list(out, items, enums);
            if *more {
                out.extend_from_slice(if items.is_empty() { b"..." } else { b", ..." });
            }
            out.push(b']');
        }
        Node::Record { name, members } => {
            out.extend_from_slice(name.as_deref().unwrap_or_default().as_bytes());
            if name.is_some() && members.is_empty() {
                return;
            }
            out.push(b'{');
            for (index, (name, node)) in members.iter().enumerate() {
                let between = if index == 0 { "" } else { ", " };
                let name = if name.is_empty() { String::new() } else { format!(".{name}=") };
                out.extend_from_slice(format!("{between}{name}").as_bytes());
                write_nested(out, node, enums);
            }
            out.push(b'}');
        }
        Node::Tuple { name, items } => {
            out.extend_from_slice(name.as_deref().unwrap_or_default().as_bytes());
            if name.is_some() && items.is_empty() {
                return;
            }
            out.push(b'(');
            write_list(out, items, enums);
            out.push(b')');
        }
        Node::Fault => out.extend_from_slice(FAULT.as_bytes()),
        Node::Words(words) => out.extend_from_slice(words.as_bytes()),
    }
}

fn write_list(out: &mut Vec<u8>, items: &[Node], enums: &[EnumNames]) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_nested(out, item, enums);
    }
}

/// The floating-point number of a node, where it is one.
pub fn as_float(number: i64, show: Show) -> Option<Float> {
    match show {
        Show::Float { bits, .. } => Some(Float::from_bits(number, bits)),
        Show::Signed
        | Show::Unsigned
        | Show::Hex { .. }
        | Show::Octal
        | Show::Pointer
        | Show::Char
        | Show::Unicode
        | Show::Bool
        | Show::Enum(_)
        | Show::Text => None,
    }
}
