//! Owns reading types, one level deep. Follows no type into another, so cycles cost nothing.

use super::facts::{
    AggregateKind, DebugError, Encoding, Enumerator, Language, Member, Type, TypeId, Variant, VariantPart,
};
use super::limits::{self, over};
use super::units::{Debug, Die, DieId, Slice, Unit, Value};

use std::rc::Rc;

/// `DW_AT_go_kind` (Go's cmd/internal/dwarf).
const GO_KIND: gimli::DwAt = gimli::DwAt(0x2900);
/// Size of a pointer where DWARF leaves it out.
const POINTER_SIZE: u64 = 8;

/// An integer type as typed DWARF operations see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) bits: u8,
    pub(super) signed: bool,
}

/// The base type at a position, if it is an integer of at most 8 bytes.
pub(super) fn scalar(debug: &Debug<'_>, id: DieId) -> Option<Scalar> {
    let (_, die) = debug.die(id).ok()?;
    if die.tag() != gimli::DW_TAG_base_type {
        return None;
    }
    let bits = u8::try_from(die.attr_value(gimli::DW_AT_byte_size)?.udata_value()?.checked_mul(8)?).ok()?;
    let signed = match encoding(&die) {
        Encoding::Signed | Encoding::SignedChar => true,
        Encoding::Unsigned | Encoding::UnsignedChar | Encoding::Boolean => false,
        Encoding::Float | Encoding::Other(_) => return None,
    };
    (1..=64).contains(&bits).then_some(Scalar { bits, signed })
}

/// Up to 8 little-endian bytes as a number.
pub(super) fn literal(bytes: &[u8]) -> Option<i64> {
    let mut all = [0; 8];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(all))
}

fn encoding(die: &Die<'_>) -> Encoding {
    let Some(Value::Encoding(encoding)) = die.attr_value(gimli::DW_AT_encoding) else { return Encoding::Other(0) };
    match encoding {
        gimli::DW_ATE_signed => Encoding::Signed,
        gimli::DW_ATE_unsigned => Encoding::Unsigned,
        gimli::DW_ATE_signed_char => Encoding::SignedChar,
        gimli::DW_ATE_unsigned_char | gimli::DW_ATE_UTF => Encoding::UnsignedChar,
        gimli::DW_ATE_boolean => Encoding::Boolean,
        gimli::DW_ATE_float => Encoding::Float,
        other => Encoding::Other(other.0),
    }
}

fn number(die: &Die<'_>, at: gimli::DwAt) -> Option<u64> {
    die.attr_value(at)?.udata_value()
}

/// The DIE at a position, or where that only stands for the one of a type unit (`DW_AT_signature`), that one.
fn whole<'a>(debug: &Debug<'a>, id: DieId) -> Result<(Rc<Unit<'a>>, Die<'a>), DebugError> {
    let (unit, die) = debug.die(id)?;
    let signature = die.attr_value(gimli::DW_AT_signature).and_then(|value| debug.reference(&unit, value));
    match signature {
        Some(whole) => debug.die(whole),
        None => Ok((unit, die)),
    }
}

/// Reads the type at a position.
pub(super) fn read(debug: &Debug<'_>, id: TypeId) -> Result<Type, DebugError> {
    let (unit, die) = whole(debug, id.0)?;
    let name = || die.attr_value(gimli::DW_AT_name).and_then(|value| debug.text(&unit, value));
    let size = number(&die, gimli::DW_AT_byte_size);
    let target = || Ok::<_, DebugError>(debug.type_of(&unit, &die)?.map(TypeId));
    let pointer = |reference| Ok(Type::Pointer { to: target()?, size: size.unwrap_or(POINTER_SIZE), reference });
    let aggregate = |kind| {
        let declared = die.attr_value(gimli::DW_AT_declaration).is_some();
        let size = if declared { None } else { size.or(Some(0)) };
        let parts = parts(debug, &unit, &die, kind)?;
        let Parts { members, variants, parameters } = parts;
        let go_kind = number(&die, GO_KIND);
        Ok(Type::Aggregate { kind, name: name(), size, members, variants, go_kind, parameters })
    };
    let qualified = |qualifier| Ok(Type::Qualified { qualifier, target: target()? });
    match die.tag() {
        gimli::DW_TAG_base_type => {
            let size = size.or_else(|| Some(number(&die, gimli::DW_AT_bit_size)?.div_ceil(8)));
            Ok(Type::Base { name: name().unwrap_or_default(), encoding: encoding(&die), size: size.unwrap_or(0) })
        }
        // `std::nullptr_t`: gcc's and clang's names of it.
        gimli::DW_TAG_unspecified_type if name().is_some_and(|name| name == "decltype(nullptr)") => {
            Ok(Type::Pointer { to: None, size: size.unwrap_or(POINTER_SIZE), reference: false })
        }
        gimli::DW_TAG_unspecified_type => Ok(Type::Unknown(name().unwrap_or_else(|| "unspecified type".to_owned()))),
        gimli::DW_TAG_pointer_type => pointer(false),
        gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => pointer(true),
        gimli::DW_TAG_structure_type => aggregate(AggregateKind::Struct),
        gimli::DW_TAG_class_type => aggregate(AggregateKind::Class),
        gimli::DW_TAG_union_type => aggregate(AggregateKind::Union),
        gimli::DW_TAG_enumeration_type => enumeration(debug, &unit, &die, name()),
        gimli::DW_TAG_array_type => Ok(Type::Array { element: target()?, counts: counts(debug, &unit, &die)? }),
        gimli::DW_TAG_typedef => Ok(Type::Typedef { name: name().unwrap_or_default(), target: target()? }),
        gimli::DW_TAG_const_type => qualified("const"),
        gimli::DW_TAG_volatile_type => qualified("volatile"),
        gimli::DW_TAG_restrict_type => qualified("restrict"),
        gimli::DW_TAG_atomic_type => qualified("_Atomic"),
        gimli::DW_TAG_subroutine_type => Ok(Type::Function),
        gimli::DW_TAG_ptr_to_member_type => {
            let function = points_to_function(debug, target()?)?;
            let known = if function { 2 * POINTER_SIZE } else { POINTER_SIZE };
            Ok(Type::MemberPointer { function, size: size.unwrap_or(known) })
        }
        other => match other.static_string() {
            Some(tag) if tag.ends_with("_type") => Ok(Type::Unknown(tag.to_owned())),
            _ => Err(DebugError::Malformed(format!("no type at {:#x}", id.0))),
        },
    }
}

/// Whether the type of a member is a function's, behind typedefs and qualifiers.
fn points_to_function(debug: &Debug<'_>, member: Option<TypeId>) -> Result<bool, DebugError> {
    let mut next = member.map(|member| member.0);
    for _ in 0..limits::MAX_ORIGINS {
        let Some(id) = next else { return Ok(false) };
        let (unit, die) = whole(debug, id)?;
        match die.tag() {
            gimli::DW_TAG_subroutine_type => return Ok(true),
            gimli::DW_TAG_typedef | gimli::DW_TAG_const_type | gimli::DW_TAG_volatile_type => {
                next = debug.type_of(&unit, &die)?;
            }
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// The direct children of a DIE.
fn children<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    die: &Die<'a>,
    mut each: impl FnMut(&Die<'a>) -> Result<(), DebugError>,
) -> Result<(), DebugError> {
    if !die.has_children() {
        return Ok(());
    }
    let mut entries = unit.unit.entries_at_offset(die.offset())?;
    entries.next_dfs()?;
    let mut first = true;
    let mut before = die.offset().0;
    loop {
        let child = if first { entries.next_dfs()? } else { entries.next_sibling()? };
        let Some(child) = child.filter(|child| child.depth() == 1) else { return Ok(()) };
        first = false;
        // What stands below the one before was gone through.
        let passed = child.offset().0.saturating_sub(before);
        before = child.offset().0;
        debug.steps.count(1 + passed as u64 / 32)?;
        each(child)?;
    }
}

/// What stands in an aggregate's DIE.
#[derive(Default)]
struct Parts {
    members: Vec<Member>,
    variants: Option<VariantPart>,
    parameters: Vec<(String, Option<TypeId>)>,
}

fn parts<'a>(debug: &Debug<'a>, unit: &Rc<Unit<'a>>, die: &Die<'a>, kind: AggregateKind) -> Result<Parts, DebugError> {
    let mut parts = Parts::default();
    children(debug, unit, die, |child| {
        if parts.members.len() >= limits::MAX_MEMBERS || parts.parameters.len() >= limits::MAX_MEMBERS {
            return Err(over("members of a type", limits::MAX_MEMBERS));
        }
        match child.tag() {
            gimli::DW_TAG_member | gimli::DW_TAG_inheritance => parts.members.extend(member(debug, unit, child, kind)?),
            gimli::DW_TAG_template_type_parameter => {
                let name = child.attr_value(gimli::DW_AT_name).and_then(|value| debug.text(unit, value));
                parts.parameters.push((name.unwrap_or_default(), debug.type_of(unit, child)?.map(TypeId)));
            }
            gimli::DW_TAG_variant_part => parts.variants = Some(variant_part(debug, unit, child, kind)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(parts)
}

/// A member or base class; `None` for a static one, and for one without a constant offset.
fn member<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    child: &Die<'a>,
    kind: AggregateKind,
) -> Result<Option<Member>, DebugError> {
    let base_class = child.tag() == gimli::DW_TAG_inheritance;
    let is_static =
        child.attr_value(gimli::DW_AT_external).is_some() || child.attr_value(gimli::DW_AT_declaration).is_some();
    if !base_class && is_static {
        return Ok(None);
    }
    let ty = debug.type_of(unit, child)?;
    let at = number(child, gimli::DW_AT_data_member_location);
    // A union's members need no offset; a location expression (a virtual base) has none that is constant.
    let Some(at) = at.or_else(|| member_default(child, kind)) else { return Ok(None) };
    let (offset, bits) = place(debug, child, at, ty)?;
    let name = child.attr_value(gimli::DW_AT_name).and_then(|value| debug.text(unit, value));
    Ok(Some(Member { name, ty: ty.map(TypeId), offset, bits, base_class }))
}

fn variant_part<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    die: &Die<'a>,
    kind: AggregateKind,
) -> Result<VariantPart, DebugError> {
    let mut discriminant = None;
    let mut range = Scalar { bits: 64, signed: false };
    if let Some(id) = die.attr_value(gimli::DW_AT_discr).and_then(|value| debug.reference(unit, value)) {
        let (unit, die) = debug.die(id)?;
        discriminant = member(debug, &unit, &die, kind)?;
        range = debug.type_of(&unit, &die)?.and_then(|ty| scalar_behind(debug, ty)).unwrap_or(range);
    }
    let mut variants = Vec::new();
    children(debug, unit, die, |child| {
        if child.tag() != gimli::DW_TAG_variant {
            return Ok(());
        }
        if variants.len() >= limits::MAX_MEMBERS {
            return Err(over("variants of a type", limits::MAX_MEMBERS));
        }
        let mut values = Vec::new();
        if let Some(value) = child.attr_value(gimli::DW_AT_discr_value) {
            let number = match (value.udata_value(), value.sdata_value()) {
                (Some(number), _) => i128::from(number),
                (None, Some(number)) => i128::from(number),
                (None, None) => return Err(DebugError::Malformed("a variant without a readable number".to_owned())),
            };
            let number = extended(number, form_size(&value), u64::from(range.bits / 8), range.signed);
            values.push((number, number));
        } else if let Some(Value::Block(list)) = child.attr_value(gimli::DW_AT_discr_list) {
            values = discriminants(list, range.signed)?;
        }
        let mut members = Vec::new();
        children(debug, unit, child, |child| {
            if child.tag() == gimli::DW_TAG_member && members.len() < limits::MAX_MEMBERS {
                members.extend(member(debug, unit, child, kind)?);
            }
            Ok(())
        })?;
        variants.push(Variant { values, members });
        Ok(())
    })?;
    Ok(VariantPart { discriminant, variants })
}

/// A list of discriminants and ranges of them (DWARF 5, 7.26).
fn discriminants(list: Slice<'_>, signed: bool) -> Result<Vec<(i128, i128)>, DebugError> {
    let mut list = list;
    let mut values = Vec::new();
    while !gimli::Reader::is_empty(&list) {
        if values.len() >= limits::MAX_MEMBERS {
            return Err(over("discriminants of a variant", limits::MAX_MEMBERS));
        }
        let range = gimli::Reader::read_u8(&mut list)? == gimli::DW_DSC_range.0;
        let mut next = || -> Result<i128, DebugError> {
            Ok(if signed {
                i128::from(gimli::Reader::read_sleb128(&mut list)?)
            } else {
                i128::from(gimli::Reader::read_uleb128(&mut list)?)
            })
        };
        let low = next()?;
        values.push((low, if range { next()? } else { low }));
    }
    Ok(values)
}

/// Whether values of a class are passed and returned by their address (DWARF 5's `DW_AT_calling_convention`), for they are
/// not trivial to copy; `None` where debug info does not tell.
pub(super) fn by_reference(debug: &Debug<'_>, id: TypeId) -> Result<Option<bool>, DebugError> {
    let (_, die) = debug.die(id.0)?;
    Ok(match die.attr_value(gimli::DW_AT_calling_convention) {
        Some(Value::CallingConvention(gimli::DW_CC_pass_by_reference)) => Some(true),
        Some(Value::CallingConvention(gimli::DW_CC_pass_by_value)) => Some(false),
        _ => None,
    })
}

/// The alignment of a type.
pub(super) fn alignment(debug: &Debug<'_>, id: TypeId) -> Result<Option<u64>, DebugError> {
    let (_, die) = debug.die(id.0)?;
    Ok(number(&die, gimli::DW_AT_alignment))
}

/// Whether an array is a vector.
pub(super) fn is_vector(debug: &Debug<'_>, id: TypeId) -> Result<bool, DebugError> {
    let (_, die) = debug.die(id.0)?;
    Ok(matches!(die.attr_value(gimli::DW_AT_GNU_vector), Some(Value::Flag(true))))
}

/// The language a type was written in.
pub(super) fn language(debug: &Debug<'_>, id: TypeId) -> Result<Language, DebugError> {
    let Some(span) = debug.span_of(id.0) else { return Ok(Language::Other) };
    let unit = debug.unit(span)?;
    let mut entries = unit.unit.entries();
    let root = entries.next_dfs()?;
    Ok(match root.and_then(|root| root.attr_value(gimli::DW_AT_language)) {
        Some(Value::Language(gimli::DW_LANG_Rust)) => Language::Rust,
        Some(Value::Language(gimli::DW_LANG_Go)) => Language::Go,
        Some(Value::Language(
            gimli::DW_LANG_C | gimli::DW_LANG_C89 | gimli::DW_LANG_C99 | gimli::DW_LANG_C11 | gimli::DW_LANG_C17,
        )) => Language::C,
        Some(Value::Language(
            gimli::DW_LANG_C_plus_plus
            | gimli::DW_LANG_C_plus_plus_03
            | gimli::DW_LANG_C_plus_plus_11
            | gimli::DW_LANG_C_plus_plus_14
            | gimli::DW_LANG_C_plus_plus_17
            | gimli::DW_LANG_C_plus_plus_20,
        )) => Language::Cpp,
        _ => Language::Other,
    })
}

fn member_default(member: &Die<'_>, kind: AggregateKind) -> Option<u64> {
    let somewhere_else = member.attr_value(gimli::DW_AT_data_member_location).is_some();
    let bit_field = member.attr_value(gimli::DW_AT_data_bit_offset).is_some();
    (!somewhere_else && (bit_field || kind == AggregateKind::Union || !member.has_children())).then_some(0)
}

/// Byte offset and, for a bit-field, bit offset from the aggregate's start (little-endian) and width.
fn place(
    debug: &Debug<'_>,
    member: &Die<'_>,
    at: u64,
    ty: Option<DieId>,
) -> Result<(u64, Option<(u64, u64)>), DebugError> {
    let Some(width) = number(member, gimli::DW_AT_bit_size) else { return Ok((at, None)) };
    let own = number(member, gimli::DW_AT_byte_size);
    let storage = match own {
        Some(size) => size,
        None => ty.map(|ty| byte_size(debug, ty)).transpose()?.flatten().unwrap_or(1),
    };
    let storage = storage.clamp(1, 16);
    let malformed = || DebugError::Malformed("a bit-field outside its type".to_owned());
    let from_start = if let Some(bits) = number(member, gimli::DW_AT_data_bit_offset) {
        at.checked_mul(8).and_then(|base| base.checked_add(bits)).ok_or_else(malformed)?
    } else {
        // DWARF 3: `DW_AT_bit_offset` counts from the most significant bit of the storage.
        let from_top = number(member, gimli::DW_AT_bit_offset).unwrap_or(0);
        let end = at.checked_mul(8).and_then(|base| base.checked_add(storage * 8)).ok_or_else(malformed)?;
        end.checked_sub(from_top).and_then(|end| end.checked_sub(width)).ok_or_else(malformed)?
    };
    Ok((from_start / (storage * 8) * storage, Some((from_start, width))))
}

/// The size of a type behind typedefs and qualifiers.
pub(super) fn byte_size(debug: &Debug<'_>, id: DieId) -> Result<Option<u64>, DebugError> {
    let mut next = Some(id);
    for _ in 0..limits::MAX_ORIGINS {
        let Some(id) = next else { return Ok(None) };
        let (unit, die) = whole(debug, id)?;
        if let Some(size) = number(&die, gimli::DW_AT_byte_size) {
            return Ok(Some(size));
        }
        next = debug.type_of(&unit, &die)?;
    }
    Ok(None)
}

/// What a caller passes for a parameter that has no register left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// The value.
    Itself,
    /// The address of a copy.
    Address,
    /// Debug info does not say which.
    Unknown,
}

/// What is passed for a parameter, in code of LLVM: C++ classes say it (`DW_AT_calling_convention`), those only declared do
/// not; Rust passes addresses of what is larger than a register or two, save to functions of C's convention.
pub(super) fn passed<'a>(debug: &Debug<'a>, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Result<Passed, DebugError> {
    let mut next = debug.type_of(unit, die)?;
    for _ in 0..limits::MAX_ORIGINS {
        let Some(id) = next else { return Ok(Passed::Itself) };
        let (unit, die) = whole(debug, id)?;
        match die.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type => next = debug.type_of(&unit, &die)?,
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                return Ok(match language(debug, TypeId(unit.id(die.offset())))? {
                    Language::Cpp => match die.attr_value(gimli::DW_AT_calling_convention) {
                        Some(Value::CallingConvention(gimli::DW_CC_pass_by_reference)) => Passed::Address,
                        Some(Value::CallingConvention(_)) => Passed::Itself,
                        Some(_) | None => Passed::Unknown,
                    },
                    Language::Rust if number(&die, gimli::DW_AT_byte_size).is_none_or(|size| size > 8) => {
                        Passed::Unknown
                    }
                    Language::Rust | Language::C | Language::Go | Language::Other => Passed::Itself,
                });
            }
            _ => return Ok(Passed::Itself),
        }
    }
    Ok(Passed::Unknown)
}

/// Whether a variable is a structure, class, union or array, which conventions pass by other rules than a number.
pub(super) fn is_whole<'a>(debug: &Debug<'a>, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Result<bool, DebugError> {
    let mut next = debug.type_of(unit, die)?;
    for _ in 0..limits::MAX_ORIGINS {
        let Some(id) = next else { return Ok(false) };
        let (unit, die) = debug.die(id)?;
        match die.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type => next = debug.type_of(&unit, &die)?,
            tag => {
                return Ok(!matches!(
                    tag,
                    gimli::DW_TAG_base_type
                        | gimli::DW_TAG_pointer_type
                        | gimli::DW_TAG_reference_type
                        | gimli::DW_TAG_rvalue_reference_type
                        | gimli::DW_TAG_enumeration_type
                ));
            }
        }
    }
    Ok(true)
}

fn enumeration<'a>(
    debug: &Debug<'a>,
    unit: &Rc<Unit<'a>>,
    die: &Die<'a>,
    name: Option<String>,
) -> Result<Type, DebugError> {
    let underlying = debug.type_of(unit, die)?;
    let size = match number(die, gimli::DW_AT_byte_size) {
        Some(size) => size,
        None => underlying.map(|ty| byte_size(debug, ty)).transpose()?.flatten().unwrap_or(4),
    };
    let mut values = Vec::new();
    let mut any_negative = false;
    children(debug, unit, die, |child| {
        if child.tag() != gimli::DW_TAG_enumerator {
            return Ok(());
        }
        if values.len() >= limits::MAX_MEMBERS {
            return Err(over("enumerators of a type", limits::MAX_MEMBERS));
        }
        let name = child.attr_value(gimli::DW_AT_name).and_then(|value| debug.text(unit, value));
        let value = child.attr_value(gimli::DW_AT_const_value);
        // A form of fixed size is unsigned unless it is as wide as the type itself.
        let fixed = value.and_then(|value| Some((value.udata_value()?, form_size(&value))));
        let (number, width) = match (fixed, value.and_then(|value| value.sdata_value())) {
            (Some((number, width)), _) => (i128::from(number), width),
            (None, Some(number)) => (i128::from(number), None),
            (None, None) => return Ok(()),
        };
        any_negative |= number < 0;
        values.push((name.unwrap_or_default(), number, width));
        Ok(())
    })?;
    let signed = match underlying.and_then(|ty| scalar_behind(debug, ty)) {
        Some(scalar) => scalar.signed,
        None => match encoding(die) {
            Encoding::Signed | Encoding::SignedChar => true,
            Encoding::Unsigned | Encoding::UnsignedChar | Encoding::Boolean => false,
            Encoding::Float | Encoding::Other(_) => any_negative,
        },
    };
    let enumerators = values
        .into_iter()
        .map(|(name, value, width)| Enumerator { name, value: extended(value, width, size, signed) })
        .collect();
    Ok(Type::Enum { name, size, signed, enumerators })
}

fn form_size(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Data1(_) => Some(1),
        Value::Data2(_) => Some(2),
        Value::Data4(_) => Some(4),
        Value::Data8(_) => Some(8),
        _ => None,
    }
}

fn extended(value: i128, form: Option<u64>, size: u64, signed: bool) -> i128 {
    if !(1..=8).contains(&size) {
        return value;
    }
    let bits = size * 8;
    let limit = 1i128 << bits;
    if signed && form == Some(size) && value >= limit / 2 {
        value - limit
    } else if !signed && value < 0 {
        value + limit
    } else {
        value
    }
}

fn scalar_behind(debug: &Debug<'_>, id: DieId) -> Option<Scalar> {
    let mut id = id;
    for _ in 0..limits::MAX_ORIGINS {
        if let Some(scalar) = scalar(debug, id) {
            return Some(scalar);
        }
        let (unit, die) = debug.die(id).ok()?;
        id = debug.type_of(&unit, &die).ok()??;
    }
    None
}

fn counts<'a>(debug: &Debug<'a>, unit: &Rc<Unit<'a>>, die: &Die<'a>) -> Result<Vec<Option<u64>>, DebugError> {
    let mut counts = Vec::new();
    children(debug, unit, die, |child| {
        if child.tag() == gimli::DW_TAG_subrange_type {
            if counts.len() >= limits::MAX_MEMBERS {
                return Err(over("dimensions of an array", limits::MAX_MEMBERS));
            }
            let count = number(child, gimli::DW_AT_count).or_else(|| {
                let low = number(child, gimli::DW_AT_lower_bound).unwrap_or(0);
                let high = child.attr_value(gimli::DW_AT_upper_bound)?;
                // GNU C writes `int a[0]` with no bound or with an upper bound of -1.
                if matches!(high, Value::Sdata(-1) | Value::Data8(u64::MAX)) {
                    return Some(0);
                }
                high.udata_value()?.checked_sub(low)?.checked_add(1)
            });
            counts.push(count);
        }
        Ok(())
    })?;
    Ok(counts)
}
