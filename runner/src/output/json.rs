//! Owns values as JSON: which form each takes. Decides nothing about lines.

use ctp_lang::ir::{GlobalIndex, GlobalKind, Linear, Piece, Program, Show, Shown, StatsShape};
use ctp_lang::stack::{Frame, Stack, bounded};
use ctp_lang::stats::Stats;
use ctp_lang::value::{self, Float, Node, Value, as_float, unicode};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

/// A JSON value whose objects keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Single(f32),
    Double(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Bool(truth) => serializer.serialize_bool(*truth),
            Json::Signed(number) => serializer.serialize_i64(*number),
            Json::Unsigned(number) => serializer.serialize_u64(*number),
            Json::Single(number) => serializer.serialize_f32(*number),
            Json::Double(number) => serializer.serialize_f64(*number),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => serializer.collect_seq(items),
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl Json {
    pub(super) fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }
}

/// An object of these members.
pub(super) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What could not be had, and why: `<optimized out>` without its brackets.
pub(super) fn unavailable(why: &str) -> Json {
    object([("unavailable", Json::text(why.trim_start_matches('<').trim_end_matches('>')))])
}

fn fault() -> Json {
    unavailable(value::FAULT)
}

/// The value of an event's field.
pub(super) fn field(piece: &Piece, values: &[Value], program: &Program) -> Json {
    match (piece, values.first()) {
        (Piece::Unavailable { text, .. }, _) => unavailable(text),
        (Piece::Value(shown), Some(value)) => shown_value(shown, value, program),
        (Piece::Whole(whole), Some(_)) => node(&value::node(whole, values, program), program),
        (Piece::Histogram { global, linear, .. }, Some(Value::Table(table))) => {
            histogram(*global, *linear, table, program)
        }
        (Piece::Table { global, .. }, Some(Value::Table(table))) => entries(*global, table, program),
        (Piece::Text(bytes), _) => text(bytes, false),
        (Piece::Value(_) | Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table { .. }, _) => fault(),
    }
}

fn shown_value(shown: &Shown, value: &Value, program: &Program) -> Json {
    match value {
        Value::Int(number) => self::number(*number, shown.show, program),
        Value::Str { bytes, truncated } => text(bytes, *truncated),
        Value::Stack(stack) => self::stack(stack),
        Value::Fault | Value::Stats(_) | Value::Table(_) => fault(),
    }
}

/// A stack: its frames, and behind them why there are no more.
fn stack(stack: &Stack) -> Json {
    let stopped = stack.stopped.iter().map(|why| unavailable(&format!("unwind stopped: {why}")));
    Json::List(stack.frames.iter().map(frame).chain(stopped).collect())
}

fn frame(frame: &Frame) -> Json {
    let place = match frame {
        Frame::Code(place) => place,
        Frame::Nowhere(address) => return object([("address", Json::Text(format!("{address:#x}")))]),
        Frame::Signal => return object([("signal", Json::Bool(true))]),
    };
    let mut members: Vec<(&str, Json)> = Vec::new();
    members.extend(place.function.iter().map(|function| ("function", Json::text(bounded(function)))));
    members.extend(place.offset.map(|offset| ("offset", Json::Unsigned(offset))));
    if let Some(line) = &place.line {
        members.push(("file", Json::text(bounded(&line.file))));
        members.push(("line", Json::Unsigned(line.line.into())));
    }
    if place.inlined {
        members.push(("inlined", Json::Bool(true)));
    }
    members.push(("address", Json::Text(format!("{:#x}", place.address))));
    members.push(("module", Json::text(bounded(&place.module))));
    members.extend(place.build_id.iter().map(|id| ("build_id", Json::Text(id.to_string()))));
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A number as it is meant: with its sign, as a truth value, by its name.
fn number(number: i64, show: Show, program: &Program) -> Json {
    match show {
        Show::Signed | Show::Text => Json::Signed(number),
        Show::Unsigned | Show::Hex { .. } | Show::Octal => Json::Unsigned(number.cast_unsigned()),
        Show::Pointer => Json::Text(format!("{:#x}", number.cast_unsigned())),
        Show::Char => text(&[number.to_le_bytes()[0]], false),
        Show::Unicode => text(unicode(number).unwrap_or_else(|words| words).as_bytes(), false),
        Show::Bool => match number {
            0 => Json::Bool(false),
            1 => Json::Bool(true),
            _ => Json::Signed(number),
        },
        Show::Enum(index) => {
            let names = program.enums.get(index.0 as usize).map(|names| names.names.as_slice()).unwrap_or_default();
            let name = names.iter().find(|(value, _)| *value == number);
            name.map_or(Json::Signed(number), |(_, name)| Json::text(name.as_str()))
        }
        Show::Float { .. } => as_float(number, show).map_or(Json::Signed(number), float),
    }
}

/// JSON has no infinities and nothing that is no number: these are texts.
fn float(float: Float) -> Json {
    match float {
        Float::Single(number) if number.is_finite() => Json::Single(number),
        Float::Double(number) if number.is_finite() => Json::Double(number),
        Float::Single(_) | Float::Double(_) => {
            let number = float.get();
            let name = if number.is_nan() { "nan" } else { "inf" };
            Json::Text(format!("{}{name}", if number.is_sign_negative() { "-" } else { "" }))
        }
    }
}

/// Text as a string; as an object where it was cut, or where it is not UTF-8: then its bytes are there in hexadecimal. Of
/// a text that was cut, a last character that was cut too is left out.
pub(super) fn text(bytes: &[u8], truncated: bool) -> Json {
    let (text, is_text) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), true),
        Err(error) if truncated && error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            (String::from_utf8_lossy(whole).into_owned(), true)
        }
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), false),
    };
    if is_text && !truncated {
        return Json::Text(text);
    }
    let mut members = vec![("text".to_owned(), Json::Text(text))];
    if !is_text {
        members.push(("bytes".to_owned(), Json::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())));
    }
    if truncated {
        members.push(("truncated".to_owned(), Json::Bool(true)));
    }
    Json::Object(members)
}

/// A value that is shown whole: records as objects, sequences as lists, variants by their name.
fn node(of: &Node, program: &Program) -> Json {
    let list = |items: &[Node]| Json::List(items.iter().map(|item| node(item, program)).collect());
    let named = |name: &Option<String>, nothing: bool, inner: Json| match name {
        None => inner,
        Some(name) if nothing => Json::text(name.as_str()),
        Some(name) => object([(name, inner)]),
    };
    match of {
        Node::Number { number, show } => self::number(*number, *show, program),
        // Readers of JSON would round it.
        Node::Wide(digits) => Json::text(digits.as_str()),
        Node::Character(bytes) => text(bytes, false),
        Node::Text { bytes, truncated } => text(bytes, *truncated),
        Node::List { items, more: false } => list(items),
        Node::List { items, more: true } => object([("items", list(items)), ("truncated", Json::Bool(true))]),
        Node::Record { name, members } => {
            let mut shown: Vec<(String, Json)> = Vec::new();
            for (member, value) in members {
                // Two bases may have members of one name: no two members of one object may.
                let same = shown.iter().filter(|(known, _)| known.split('#').next() == Some(member)).count();
                let member = if same == 0 { member.clone() } else { format!("{member}#{}", same + 1) };
                shown.push((member, node(value, program)));
            }
            named(name, members.is_empty(), Json::Object(shown))
        }
        Node::Tuple { name: Some(name), items } => match items.as_slice() {
            [] => Json::text(name.as_str()),
            [item] => object([(name, node(item, program))]),
            items => object([(name, list(items))]),
        },
        Node::Tuple { name: None, items } => list(items),
        Node::Fault => fault(),
        Node::Words(words) => unavailable(words),
    }
}

/// A key or a value of a global.
fn plain(value: &Value, shape: Option<&StatsShape>) -> Json {
    match value {
        Value::Int(number) => Json::Signed(*number),
        Value::Str { bytes, truncated } => text(bytes, *truncated),
        Value::Stats(stats) => aggregate(stats, shape),
        Value::Stack(stack) => self::stack(stack),
        Value::Fault | Value::Table(_) => fault(),
    }
}

fn shape(global: GlobalIndex, program: &Program) -> Option<&StatsShape> {
    match program.globals.get(global.0 as usize).map(|global| &global.kind) {
        Some(GlobalKind::Stats { shape, .. }) => Some(shape),
        Some(GlobalKind::Scalar { .. } | GlobalKind::Map { .. }) | None => None,
    }
}

/// The entries of a global, each with its key as a list (empty for what has none).
pub(super) fn entries(global: GlobalIndex, table: &[(Vec<Value>, Value)], program: &Program) -> Json {
    let shape = shape(global, program);
    let entry = |(key, value): &(Vec<Value>, Value)| {
        let key = Json::List(key.iter().map(|part| plain(part, None)).collect());
        object([("key", key), ("value", plain(value, shape))])
    };
    Json::List(table.iter().map(entry).collect())
}

/// What an aggregate answers, and the histograms it keeps.
fn aggregate(stats: &Stats, shape: Option<&StatsShape>) -> Json {
    let answers = value::answers(stats);
    let mut members: Vec<_> = answers.map(|(name, number)| (name.to_owned(), Json::Signed(number))).collect();
    if shape.is_some_and(|shape| shape.log) && stats.count > 0 {
        members.push(("log".to_owned(), buckets(stats, None)));
    }
    Json::Object(members)
}

/// The histograms of a global, each with its key.
pub(super) fn histogram(
    global: GlobalIndex,
    linear: Option<Linear>,
    table: &[(Vec<Value>, Value)],
    program: &Program,
) -> Json {
    let kept = linear.map(|linear| (value::place(program, global, linear), linear));
    let each = table.iter().filter_map(|(key, value)| match value {
        Value::Stats(stats) => {
            let key = Json::List(key.iter().map(|part| plain(part, None)).collect());
            Some(object([("key", key), ("buckets", buckets(stats, kept))]))
        }
        Value::Int(_) | Value::Str { .. } | Value::Fault | Value::Stack(_) | Value::Table(_) => None,
    });
    Json::List(each.collect())
}

/// The buckets that hold something; one without a bound has no `low` or no `high`.
fn buckets(stats: &Stats, linear: Option<(usize, Linear)>) -> Json {
    let filled = value::buckets(stats, linear).into_iter().filter(|bucket| bucket.count > 0);
    let shown = filled.map(|bucket| {
        let bounds = [("low", bucket.low), ("high", bucket.high)];
        let bounds = bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), Json::Signed(bound?))));
        Json::Object(bounds.chain([("count".to_owned(), Json::Unsigned(bucket.count))]).collect())
    });
    Json::List(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &Json) -> String {
        serde_json::to_string(json).unwrap()
    }

    #[test]
    fn texts_say_when_they_are_not_all_or_no_text() {
        let cases: [(&[u8], bool, &str); 6] = [
            (b"a\"b", false, r#""a\"b""#),
            (b"a", true, r#"{"text":"a","truncated":true}"#),
            (b"a\xff", false, r#"{"text":"a�","bytes":"61ff"}"#),
            (b"a\xff", true, r#"{"text":"a�","bytes":"61ff","truncated":true}"#),
            (b"gr\xc3", true, r#"{"text":"gr","truncated":true}"#),
            (b"gr\xc3", false, r#"{"text":"gr�","bytes":"6772c3"}"#),
        ];
        for (bytes, truncated, expected) in cases {
            assert_eq!(written(&text(bytes, truncated)), expected);
        }
    }

    #[test]
    fn numbers_keep_all_their_digits_and_what_is_no_number_is_a_text() {
        let program = Program::default();
        let written = |value: i64, show| written(&number(value, show, &program));
        assert_eq!(written(i64::MIN, Show::Signed), "-9223372036854775808");
        assert_eq!(written(-1, Show::Unsigned), "18446744073709551615");
        assert_eq!(written(0x1000, Show::Pointer), r#""0x1000""#);
        assert_eq!(written(2, Show::Bool), "2");
        let double = |number: f64| {
            written(number.to_bits().cast_signed(), Show::Float { bits: 64, form: ctp_lang::ir::FloatForm::Shortest })
        };
        assert_eq!([double(0.1), double(f64::NEG_INFINITY), double(f64::NAN)], ["0.1", r#""-inf""#, r#""nan""#]);
        let single = i64::from(0.1f32.to_bits());
        assert_eq!(written(single, Show::Float { bits: 32, form: ctp_lang::ir::FloatForm::Shortest }), "0.1");
    }

    #[test]
    fn whole_values_are_objects_lists_and_variants_by_name() {
        let program = Program::default();
        let int = |number| Node::Number { number, show: Show::Signed };
        let some = |items| Node::Tuple { name: Some("Some".to_owned()), items };
        let record = |name: Option<&str>, members: Vec<(&str, Node)>| Node::Record {
            name: name.map(str::to_owned),
            members: members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect(),
        };
        let cases = [
            (record(None, vec![("b", int(1)), ("a", Node::Fault)]), r#"{"b":1,"a":{"unavailable":"fault"}}"#),
            (record(None, vec![("x", int(1)), ("x", int(2))]), r#"{"x":1,"x#2":2}"#),
            (record(Some("None"), Vec::new()), r#""None""#),
            (record(Some("Move"), vec![("x", int(1))]), r#"{"Move":{"x":1}}"#),
            (some(vec![int(5)]), r#"{"Some":5}"#),
            (some(vec![int(5), int(6)]), r#"{"Some":[5,6]}"#),
            (Node::Tuple { name: None, items: vec![int(1)] }, "[1]"),
            (Node::List { items: vec![int(1)], more: true }, r#"{"items":[1],"truncated":true}"#),
            (Node::Words("<optimized out>".to_owned()), r#"{"unavailable":"optimized out"}"#),
            (Node::Character(b"a".to_vec()), r#""a""#),
        ];
        for (given, expected) in cases {
            assert_eq!(written(&node(&given, &program)), expected);
        }
    }
}
