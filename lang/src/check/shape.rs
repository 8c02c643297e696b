//! Owns types as the checker walks through them: what is behind typedefs and qualifiers, sizes, names, members looked up
//! through bases and anonymous members. Knows no place and no value.

use crate::debuginfo::Module;
use crate::debuginfo::facts::{AggregateKind, Language, Member, Type, TypeId};

/// How many typedefs and qualifiers are looked through, and how deep members are looked for in members without name.
const DEEPEST: usize = 64;
/// How many members are looked at for one name.
const MOST_MEMBERS: usize = 100_000;

/// The type of something in the program.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A type of the module; `None` is `void`.
    Of(Option<TypeId>),
    /// What is left of an array of several dimensions after an index.
    Rest {
        /// Type of one element.
        element: Option<TypeId>,
        /// The dimensions that are left, at least one.
        counts: Vec<Option<u64>>,
    },
}

/// A type without its typedefs and qualifiers.
pub(super) struct Bare {
    pub(super) ty: Type,
    /// Whether a typedef on the way names a number (`uint8_t`).
    pub(super) number_alias: bool,
}

impl Shape {
    /// The type itself; `None` where it is `void` or cannot be read.
    pub(super) fn bare(&self, module: &Module) -> Option<Bare> {
        let mut ty = match self {
            Shape::Of(ty) => (*ty)?,
            Shape::Rest { element, counts } => {
                let ty = Type::Array { element: *element, counts: counts.clone() };
                return Some(Bare { ty, number_alias: false });
            }
        };
        let mut number_alias = false;
        for _ in 0..DEEPEST {
            match module.ty(ty).ok()? {
                Type::Typedef { name, target } => {
                    number_alias |= name.contains("int") || matches!(name.as_str(), "u8" | "s8" | "i8" | "byte");
                    ty = target?;
                }
                Type::Qualified { target, .. } => ty = target?,
                other => return Some(Bare { ty: other, number_alias }),
            }
        }
        None
    }

    /// It, or where it is a struct that is only declared here, the one of its name that the file defines elsewhere.
    pub(super) fn defined(self, module: &Module) -> Shape {
        let Shape::Of(Some(near)) = self else { return self };
        let Some(Bare { ty: Type::Aggregate { kind, name: Some(name), size: None, .. }, .. }) = self.bare(module)
        else {
            return self;
        };
        match module.named_type(&format!("{} {name}", word(kind)), Some(near)) {
            Ok(Some(id)) => Shape::Of(Some(id)),
            Ok(None) | Err(_) => self,
        }
    }

    /// Its language.
    pub(super) fn language(&self, module: &Module) -> Language {
        match self {
            Shape::Of(Some(id)) => module.language(*id),
            Shape::Of(None) => Language::Other,
            Shape::Rest { element, .. } => element.map_or(Language::Other, |id| module.language(id)),
        }
    }

    /// Its size in bytes, where it is known: what pointer arithmetic counts in. `void` and functions count as 1, as in
    /// GNU C.
    pub(super) fn size(&self, module: &Module) -> Option<u64> {
        if *self == Shape::Of(None) {
            return Some(1);
        }
        let mut factor = 1u64;
        let mut shape = self.clone();
        for _ in 0..DEEPEST {
            let size = match shape.bare(module)?.ty {
                Type::Base { size, .. }
                | Type::Pointer { size, .. }
                | Type::Enum { size, .. }
                | Type::MemberPointer { size, .. } => size,
                Type::Aggregate { size, .. } => size?,
                Type::Array { element, counts } => {
                    for count in counts {
                        factor = factor.checked_mul(count?)?;
                    }
                    shape = Shape::Of(element);
                    continue;
                }
                Type::Function => 1,
                Type::Typedef { .. } | Type::Qualified { .. } | Type::Unknown(_) => return None,
            };
            return factor.checked_mul(size);
        }
        None
    }

    /// It as the program would write it, for messages.
    pub(super) fn name(&self, module: &Module) -> String {
        match self {
            Shape::Of(ty) => spelled(module, *ty, 0),
            Shape::Rest { element, counts } => format!("{}{}", spelled(module, *element, 0), dimensions(counts)),
        }
    }

    /// Type of an array's elements and how many there are of them; `None` for what is no array.
    pub(super) fn elements(&self, module: &Module) -> Option<(Shape, Option<u64>)> {
        let Type::Array { element, counts } = self.bare(module)?.ty else { return None };
        let (first, rest) = counts.split_first().map_or((None, [].as_slice()), |(first, rest)| (*first, rest));
        let shape = match rest {
            [] => Shape::Of(element),
            _ => Shape::Rest { element, counts: rest.to_vec() },
        };
        Some((shape, first))
    }

    /// A member, looked for in base classes and members without name too; its offsets count from the start of this.
    pub(super) fn member(&self, module: &Module, name: &str) -> Option<Member> {
        // Breadth first: what a class has itself hides what its bases have.
        let mut level = vec![(self.clone(), 0u64)];
        let mut looked = 0;
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for (shape, base) in level {
                let Some(Type::Aggregate { members, .. }) = shape.bare(module).map(|bare| bare.ty) else { continue };
                for member in members {
                    looked += 1;
                    if looked > MOST_MEMBERS {
                        return None;
                    }
                    let offset = base.checked_add(member.offset)?;
                    if member.name.as_deref() == Some(name) {
                        let bits = match member.bits {
                            Some((from, width)) => Some((base.checked_mul(8)?.checked_add(from)?, width)),
                            None => None,
                        };
                        return Some(Member { offset, bits, ..member });
                    }
                    if member.name.is_none() || member.base_class {
                        next.push((Shape::Of(member.ty), offset));
                    }
                }
            }
            if next.is_empty() {
                return None;
            }
            level = next;
        }
        None
    }

    /// The names of all members that [`Shape::member`] finds, in order.
    pub(super) fn member_names(&self, module: &Module) -> Vec<String> {
        let mut names = Vec::new();
        self.collect_names(module, &mut names, 0);
        names
    }

    fn collect_names(&self, module: &Module, names: &mut Vec<String>, depth: usize) {
        let Some(Type::Aggregate { members, .. }) = self.bare(module).map(|bare| bare.ty) else { return };
        for member in members {
            match member.name {
                _ if names.len() > 1_000 || depth > 8 => return,
                Some(name) if !member.base_class => names.push(name.escape_debug().to_string()),
                Some(_) | None => Shape::Of(member.ty).collect_names(module, names, depth + 1),
            }
        }
    }
}

fn word(kind: AggregateKind) -> &'static str {
    match kind {
        AggregateKind::Struct => "struct",
        AggregateKind::Class => "class",
        AggregateKind::Union => "union",
    }
}

fn dimensions(counts: &[Option<u64>]) -> String {
    counts.iter().map(|count| count.map_or("[]".to_owned(), |count| format!("[{count}]"))).collect()
}

/// A type as the program would write it.
pub(crate) fn type_name(module: &Module, ty: Option<TypeId>) -> String {
    spelled(module, ty, 0)
}

/// A type as the program would write it, for messages: `unsigned int`, `struct request *`. What in a name could control
/// a terminal is escaped.
fn spelled(module: &Module, ty: Option<TypeId>, depth: usize) -> String {
    let Some(id) = ty else { return "void".to_owned() };
    if depth > 8 {
        return "…".to_owned();
    }
    let inner = |ty| spelled(module, ty, depth + 1);
    let escaped = |name: String| name.escape_debug().to_string();
    // Rust and Go name their types without a word before them.
    let tagged = |word: &str, name: Option<String>| match (name, module.language(id)) {
        (None, _) => format!("{word} {{…}}"),
        (Some(name), Language::C | Language::Other) => format!("{word} {}", escaped(name)),
        (Some(name), Language::Cpp | Language::Rust | Language::Go) => escaped(name),
    };
    match module.ty(id) {
        Err(_) => "?".to_owned(),
        Ok(Type::Base { name, .. } | Type::Typedef { name, .. }) => escaped(name),
        Ok(Type::Pointer { to, reference, .. }) => format!("{} {}", inner(to), if reference { "&" } else { "*" }),
        Ok(Type::Aggregate { kind, name, .. }) => tagged(word(kind), name),
        Ok(Type::Enum { name, .. }) => tagged("enum", name),
        Ok(Type::Array { element, counts }) => format!("{}{}", inner(element), dimensions(&counts)),
        Ok(Type::Qualified { qualifier, target }) => {
            // Of a pointer itself, not of what it points to.
            let pointer = target.is_some_and(|target| matches!(module.ty(target), Ok(Type::Pointer { .. })));
            match pointer {
                true => format!("{} {qualifier}", inner(target)),
                false => format!("{qualifier} {}", inner(target)),
            }
        }
        Ok(Type::Function) => "function".to_owned(),
        Ok(Type::MemberPointer { function: false, .. }) => "pointer to a member".to_owned(),
        Ok(Type::MemberPointer { function: true, .. }) => "pointer to a member function".to_owned(),
        Ok(Type::Unknown(tag)) => escaped(tag),
    }
}
