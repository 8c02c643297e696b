//! How values are written.

use super::*;
use crate::ir::{
    Discriminant, EnumIndex, Expr, ExprKind, FloatForm, Global, Layout, LayoutIndex, LayoutMember, Shown, StatOp,
    StatsShape, VariantLayout,
};
use crate::source::{SourceId, Span};

const HERE: Span = Span { source: SourceId(0), start: 0, end: 0 };

fn written(number: i64, show: Show, spec: Spec) -> String {
    let mut out = Vec::new();
    write_value(&mut out, &Value::Int(number), show, spec, &[]);
    String::from_utf8(out).unwrap()
}

/// What C's printf gives: `tests/values` compares all combinations with the C library's.
#[test]
fn a_precision_of_0_leaves_no_digits_of_0() {
    let none = Spec { precision: Some(0), ..Spec::default() };
    assert_eq!(written(0, Show::Signed, none), "");
    assert_eq!(written(7, Show::Signed, none), "7");
    assert_eq!(written(0, Show::Signed, Spec { width: Some(3), ..none }), "   ");
    assert_eq!(written(0, Show::Signed, Spec { plus: true, ..none }), "+");
    assert_eq!(written(0, Show::Octal, Spec { alternate: true, ..none }), "0");
    assert_eq!(written(8, Show::Octal, Spec { alternate: true, precision: Some(3), ..none }), "010");
}

#[test]
fn floats_have_signs_widths_and_zeros() {
    let fixed = Show::Float { bits: 64, form: FloatForm::Fixed };
    let bits = |number: f64| number.to_bits().cast_signed();
    let spec = Spec { width: Some(8), precision: Some(2), ..Spec::default() };
    assert_eq!(written(bits(-1.5), fixed, spec), "   -1.50");
    assert_eq!(written(bits(-1.5), fixed, Spec { zero: true, ..spec }), "-0001.50");
    assert_eq!(written(bits(1.5), fixed, Spec { left: true, plus: true, ..spec }), "+1.50   ");
    assert_eq!(written(bits(f64::NEG_INFINITY), fixed, Spec { zero: true, ..spec }), "    -inf");
    assert_eq!(written(bits(-0.0), fixed, Spec::default()), "-0.000000");
    let single = Show::Float { bits: 32, form: FloatForm::Shortest };
    assert_eq!(written(i64::from(2.5f32.to_bits()), single, Spec::default()), "2.5");
}

/// Each section of the file: the kind and its values, and what is drawn.
fn drawn() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("histograms.txt").split("\n# ").skip(1).map(|section| section.split_once('\n').unwrap())
}

#[test]
fn histograms_look_as_systemtap_draws_them() {
    let mut seen = 0;
    for (given, expected) in drawn() {
        let words: Vec<&str> = given.split(' ').collect();
        let number = |word: &str| word.parse::<i64>().unwrap();
        let (linear, values) = match words.as_slice() {
            ["log", values @ ..] => (None, values),
            ["linear", low, high, step, values @ ..] => {
                (Some(Linear { low: number(low), high: number(high), step: number(step) }), values)
            }
            _ => panic!("{given}"),
        };
        let shape = StatsShape { log: linear.is_none(), linear: linear.into_iter().collect() };
        let mut stats = Stats::new(&shape);
        for value in values {
            let (value, times) = value.split_once('x').unwrap_or((value, "1"));
            (0..number(times)).for_each(|_| stats.add(&shape, number(value)));
        }
        let mut out = Vec::new();
        let table = [(Vec::new(), Value::Stats(Box::new(stats)))];
        histogram::write(&mut out, "x", &table, linear.map(|linear| (0, linear)));
        let given_text = String::from_utf8(out).unwrap();
        assert_eq!(given_text.trim_end(), expected.trim_end(), "{given}\n{given_text}");
        assert!(given_text.ends_with("\n\n"));
        seen += 1;
    }
    assert_eq!(seen, 12);
}

fn fed(numbers: &[i64]) -> Value {
    let shape = StatsShape { log: true, linear: Vec::new() };
    let mut stats = Stats::new(&shape);
    numbers.iter().for_each(|number| stats.add(&shape, *number));
    Value::Stats(Box::new(stats))
}

#[test]
fn of_a_map_each_histogram_has_its_key_as_heading_and_none_is_drawn_of_nothing() {
    let table =
        [(vec![Value::str("a\n"), Value::Int(3)], fed(&[1])), (vec![Value::str("b"), Value::Int(-4)], fed(&[]))];
    let mut out = Vec::new();
    histogram::write(&mut out, "lat", &table, None);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("lat[\"a\\n\", 3]:\nvalue |---"), "{text}");
    assert!(text.ends_with("\n\nlat[\"b\", -4]:\n<no values>\n"), "{text}");
    let mut out = Vec::new();
    histogram::write(&mut out, "lat", &[], None);
    assert_eq!(out, b"<no values>\n");
}

#[test]
fn globals_are_lines() {
    let line = |key: &[Value], value: Value| {
        let mut out = Vec::new();
        write_global(&mut out, "m", key, &value);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(line(&[], Value::Int(42)), "m = 42\n");
    assert_eq!(line(&[Value::str("we\"b"), Value::Int(3)], Value::str("x\ty")), "m[\"we\\\"b\", 3] = \"x\\ty\"\n");
    assert_eq!(
        line(&[Value::str("web")], fed(&[10, 20, 30])),
        "m[\"web\"] = count 3, sum 60, min 10, max 30, avg 20\n"
    );
    assert_eq!(line(&[], fed(&[])), "m = count 0\n");
    let cut = Value::Str { bytes: b"ab".to_vec(), truncated: true };
    assert_eq!(line(std::slice::from_ref(&cut), cut.clone()), "m[\"ab\"<truncated>] = \"ab\"<truncated>\n");
}

#[test]
fn entries_come_the_greatest_first_aggregates_by_count() {
    let mut entries = vec![
        (vec![Value::Int(1)], fed(&[100])),
        (vec![Value::Int(3)], fed(&[1, 1])),
        (vec![Value::Int(2)], fed(&[900])),
    ];
    sort_entries(&mut entries);
    let keys: Vec<_> = entries.into_iter().map(|(key, _)| key[0].clone()).collect();
    assert_eq!(keys, [Value::Int(3), Value::Int(1), Value::Int(2)]);
}

// Whole values.

fn int32() -> Layout {
    Layout::Scalar { size: 4, signed: true, show: Show::Signed }
}

fn member(name: &str, offset: u64, layout: Layout) -> LayoutMember {
    let name = (!name.is_empty()).then(|| name.to_owned());
    LayoutMember { name, offset, bits: None, layout }
}

fn record(members: Vec<LayoutMember>) -> Layout {
    Layout::Aggregate { name: None, tuple: false, members }
}

fn enums() -> Vec<EnumNames> {
    vec![EnumNames { name: Some("color".to_owned()), names: vec![(0, "RED".to_owned()), (1, "GREEN".to_owned())] }]
}

fn whole(layout: &Layout, bytes: &[u8], elsewhere: &[Value]) -> String {
    let mut out = Vec::new();
    write_node(&mut out, &decode(layout, &Value::str(bytes), elsewhere), &enums());
    String::from_utf8(out).unwrap()
}

#[test]
fn structs_and_arrays_look_as_systemtap_shows_them() {
    let inner = record(vec![member("x", 0, int32())]);
    let outer = record(vec![member("a", 0, int32()), member("b", 4, inner)]);
    assert_eq!(whole(&outer, &[1, 0, 0, 0, 2, 0, 0, 0], &[]), "{.a=1, .b={.x=2}}");
    assert_eq!(whole(&record(Vec::new()), &[], &[]), "{}");
    let array = |count, more| Layout::Array { count, more, stride: 4, first: Vec::new(), element: Box::new(int32()) };
    let numbers = [1, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(whole(&array(3, 0), &numbers, &[]), "[1, 2, -1]");
    assert_eq!(whole(&array(2, 1), &numbers, &[]), "[1, 2, ...]");
    assert_eq!(whole(&array(0, 5), &numbers, &[]), "[...]");
    assert_eq!(whole(&array(0, 0), &numbers, &[]), "[]");
}

#[test]
fn members_without_a_name_show_theirs_in_their_place() {
    let base = record(vec![member("x", 0, int32()), member("y", 4, int32())]);
    let derived = record(vec![member("", 4, base), member("z", 0, int32())]);
    assert_eq!(whole(&derived, &[3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0], &[]), "{.x=1, .y=2, .z=3}");
}

#[test]
fn scalars_are_shown_as_their_types_say() {
    let scalar = |size, signed, show| Layout::Scalar { size, signed, show };
    let cases = [
        (scalar(1, true, Show::Signed), vec![0xff], "-1"),
        (scalar(1, false, Show::Unsigned), vec![0xff], "255"),
        (scalar(8, false, Show::Unsigned), vec![0xff; 8], "18446744073709551615"),
        (scalar(8, false, Show::Pointer), vec![0xef, 0xbe, 0, 0, 0, 0, 0, 0], "0xbeef"),
        (scalar(1, false, Show::Bool), vec![1], "true"),
        (scalar(4, true, Show::Enum(EnumIndex(0))), vec![1, 0, 0, 0], "GREEN"),
        (scalar(4, true, Show::Enum(EnumIndex(0))), vec![9, 0, 0, 0], "9"),
        (scalar(1, true, Show::Char), vec![b'a'], "'a'"),
        (scalar(1, true, Show::Char), vec![b'\''], "'\\''"),
        (scalar(1, true, Show::Char), vec![b'"'], "'\"'"),
        (scalar(1, true, Show::Char), vec![0], "'\\x00'"),
        (scalar(4, false, Show::Unicode), vec![0xe9, 0, 0, 0], "'\u{e9}'"),
        (scalar(4, false, Show::Unicode), vec![0, 0xd8, 0, 0], "<no character 0xd800>"),
        (scalar(8, false, Show::Float { bits: 64, form: FloatForm::Shortest }), 0.1f64.to_le_bytes().into(), "0.1"),
        (scalar(4, true, Show::Signed), vec![1, 2, 3], "<fault>"),
    ];
    for (layout, bytes, expected) in cases {
        assert_eq!(whole(&layout, &bytes, &[]), expected, "{layout:?}");
    }
}

#[test]
fn bit_fields_are_cut_out_of_the_bytes_they_lie_in() {
    // struct { unsigned a : 3; int b : 5; unsigned c : 10; unsigned long d : 64 } at bits 0, 3, 8 and 21.
    let field = |name: &str, bits, signed, size| {
        let show = if signed { Show::Signed } else { Show::Unsigned };
        LayoutMember { bits: Some(bits), ..member(name, 0, Layout::Scalar { size, signed, show }) }
    };
    let layout = record(vec![
        field("a", (0, 3), false, 4),
        field("b", (3, 5), true, 4),
        field("c", (8, 10), false, 4),
        field("d", (21, 64), false, 8),
    ]);
    let d = 0x8000_0000_0000_0001u128;
    let bits = 0b101 | 0b11110 << 3 | 1000 << 8 | d << 21;
    assert_eq!(whole(&layout, &bits.to_le_bytes()[..11], &[]), "{.a=5, .b=-2, .c=1000, .d=9223372036854775809}");
    assert_eq!(whole(&layout, &bits.to_le_bytes()[..10], &[]), "{.a=5, .b=-2, .c=1000, .d=<fault>}");
}

#[test]
fn texts_are_quoted_inside_and_bare_alone() {
    let chars = Layout::Chars(6);
    assert_eq!(whole(&chars, b"a\"b\0cd", &[]), "a\"b");
    assert_eq!(whole(&record(vec![member("s", 0, chars)]), b"a\"\n\0cd", &[]), "{.s=\"a\\\"\\n\"}");
    let here = [Value::str("t\\"), Value::Str { bytes: b"ab".to_vec(), truncated: true }, Value::Fault];
    assert_eq!(whole(&Layout::Text(0), b"", &here), "t\\");
    let all = record((0..4).map(|index| member(&format!("t{index}"), 0, Layout::Text(index))).collect());
    assert_eq!(whole(&all, b"", &here), "{.t0=\"t\\\\\", .t1=\"ab\"<truncated>, .t2=<fault>, .t3=<fault>}");
}

#[test]
fn elements_elsewhere_show_where_they_were_cut() {
    let layout = Layout::Elements { bytes: 0, stride: 4, first: Vec::new(), element: Box::new(int32()) };
    let elements = |length: usize, truncated| {
        let bytes = vec![Value::Str { bytes: [7, 0, 0, 0, 8, 0, 0, 0, 9][..length].to_vec(), truncated }];
        whole(&layout, &[], &bytes)
    };
    assert_eq!(elements(8, false), "[7, 8]");
    assert_eq!(elements(8, true), "[7, 8, ...]");
    // Part of an element is none.
    assert_eq!(elements(9, true), "[7, 8, ...]");
    assert_eq!(elements(0, false), "[]");
    assert_eq!(whole(&layout, &[], &[Value::Fault]), "<fault>");
}

#[test]
fn elements_with_texts_are_shown_as_far_as_these_were_read() {
    let first = vec![Layout::Text(1), Layout::Text(2)];
    let layout = Layout::Elements { bytes: 0, stride: 2, first: first.clone(), element: Box::new(int32()) };
    let elements =
        |length: usize| whole(&layout, &[], &[Value::str(&"......"[..length]), Value::str("one"), Value::str("two")]);
    assert_eq!(elements(0), "[]");
    assert_eq!(elements(2), "[\"one\"]");
    assert_eq!(elements(4), "[\"one\", \"two\"]");
    assert_eq!(elements(6), "[\"one\", \"two\", ...]");
    let array = Layout::Array { count: 3, more: 0, stride: 2, first, element: Box::new(int32()) };
    let texts = [Value::Int(0), Value::str("one"), Value::Fault];
    assert_eq!(whole(&array, b"......", &texts), "[\"one\", <fault>, ...]");
}

#[test]
fn variants_are_told_apart_by_their_discriminant() {
    let arm = |values: &[(i64, i64)], name: &str, tuple, members| VariantLayout {
        values: values.to_vec(),
        layout: Layout::Aggregate { name: Some(name.to_owned()), tuple, members },
    };
    let layout = Layout::Variants {
        discriminant: Some(Discriminant { offset: 0, size: 1, signed: false }),
        arms: vec![
            arm(&[(0, 0)], "None", false, Vec::new()),
            arm(&[(1, 1)], "Some", true, vec![member("__0", 4, int32())]),
            arm(&[(2, 3), (0xf0, 0xff)], "Move", false, vec![member("x", 4, int32()), member("y", 8, int32())]),
            arm(&[], "Other", true, Vec::new()),
        ],
    };
    let shown = |tag| whole(&layout, &[tag, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0], &[]);
    assert_eq!(shown(0), "None");
    assert_eq!(shown(1), "Some(5)");
    assert_eq!(shown(3), "Move{.x=5, .y=6}");
    assert_eq!(shown(0xff), "Move{.x=5, .y=6}");
    assert_eq!(shown(9), "Other");
    let Layout::Variants { discriminant, mut arms } = layout else { unreachable!() };
    arms.pop();
    let strict = Layout::Variants { discriminant, arms: arms.clone() };
    assert_eq!(whole(&strict, &[9; 12], &[]), "<no variant 9>");
    assert_eq!(whole(&strict, &[], &[]), "<fault>");
    let only = Layout::Variants { discriminant: None, arms: arms.split_off(1) };
    assert_eq!(whole(&only, &[9, 0, 0, 0, 5, 0, 0, 0], &[]), "Some(5)");
}

#[test]
fn tuples_have_parentheses_and_words_stand_as_they_are() {
    let tuple = Layout::Aggregate {
        name: None,
        tuple: true,
        members: vec![member("__0", 0, int32()), member("__1", 4, Layout::Words("...".to_owned()))],
    };
    assert_eq!(whole(&tuple, &[1, 0, 0, 0, 2, 0, 0, 0], &[]), "(1, ...)");
}

#[test]
fn layouts_that_are_hostile_end() {
    let endless =
        Layout::Array { count: u64::MAX, more: 0, stride: 0, first: Vec::new(), element: Box::new(record(Vec::new())) };
    assert!(whole(&endless, &[], &[]).len() < 1 << 20);
    let nested = (0..40).fold(endless.clone(), |inner, _| Layout::Array {
        first: Vec::new(),
        count: 1 << 40,
        more: 0,
        stride: 0,
        element: Box::new(inner),
    });
    assert!(whole(&nested, &[], &[]).len() < 1 << 20);
    let far = Layout::Array { count: 3, more: 0, stride: u64::MAX, first: Vec::new(), element: Box::new(int32()) };
    assert_eq!(whole(&far, &[1, 0, 0, 0], &[]), "[1, <fault>, <fault>]");
    let deep = (0..1000).fold(int32(), |inner, _| record(vec![member("a", 0, inner)]));
    assert!(whole(&deep, &[0; 4], &[]).contains("..."));
    let bits = record(vec![LayoutMember { bits: Some((u64::MAX - 3, 64)), ..member("b", 0, int32()) }]);
    assert_eq!(whole(&bits, &[0; 8], &[]), "{.b=<fault>}");
}

// Statements.

fn shown(ty: crate::ir::Ty, show: Show) -> Piece {
    let value = Expr { ty, kind: ExprKind::Int(0), span: HERE };
    Piece::Value(Shown { value, show, spec: Spec::default(), fault_is_shown: true })
}

fn statement(kind: PrintKind, pieces: Vec<Piece>, values: &[Value]) -> String {
    let global = Global {
        name: "m".to_owned(),
        span: HERE,
        kind: GlobalKind::Map { keys: vec![crate::ir::Ty::Int], value: crate::ir::Ty::Int, size: None },
        printed_at_end: false,
    };
    let layouts = vec![Layout::Text(0)];
    let program = Program { globals: vec![global], layouts, enums: enums(), ..Program::default() };
    let mut out = Vec::new();
    write_print(&mut out, &Print { kind, pieces, span: HERE }, values, &program);
    String::from_utf8(out).unwrap()
}

fn piece_whole(spec: Spec) -> Piece {
    let block = Expr { ty: crate::ir::Ty::Str, kind: ExprKind::Str(Vec::new()), span: HERE };
    let elsewhere = vec![block.clone()];
    Piece::Whole(Box::new(Whole { layout: LayoutIndex(0), block, elsewhere, spec, written: None }))
}

#[test]
fn an_event_is_a_line_of_names_and_values_with_text_in_quotes() {
    use crate::ir::Ty::{Int, Str};
    let names = ["path", "status", "color", "name", "gone"].map(str::to_owned).to_vec();
    let pieces = vec![
        shown(Str, Show::Text),
        shown(Int, Show::Signed),
        shown(Int, Show::Enum(EnumIndex(0))),
        piece_whole(Spec::default()),
        Piece::Unavailable { text: OPTIMIZED_OUT, spec: Spec::default() },
    ];
    let values = [Value::str("/a b=\"c\""), Value::Fault, Value::Int(1), Value::str(""), Value::str("x")];
    assert_eq!(
        statement(PrintKind::Event(names), pieces, &values),
        "path=\"/a b=\\\"c\\\"\" status=<fault> color=GREEN name=\"x\" gone=<optimized out>\n"
    );
}

#[test]
fn each_piece_takes_its_values() {
    let wide = Spec { width: Some(5), ..Spec::default() };
    let pieces = vec![piece_whole(wide), Piece::Text(b"|".to_vec()), shown(crate::ir::Ty::Int, Show::Signed)];
    let values = [Value::str(""), Value::str("abc"), Value::Int(7)];
    assert_eq!(statement(PrintKind::Text, pieces.clone(), &values), "  abc|7");
    assert_eq!(statement(PrintKind::Text, pieces, &values[..2]), "  abc|<fault>");
}

#[test]
fn tables_are_lines_and_an_empty_one_says_so() {
    let table = |asked, entries| {
        statement(PrintKind::Text, vec![Piece::Table { global: GlobalIndex(0), asked }], &[Value::Table(entries)])
    };
    let entry = |key, value| (vec![Value::Int(key)], Value::Int(value));
    assert_eq!(table(None, vec![entry(2, 9), entry(0, 5)]), "m[2] = 9\nm[0] = 5\n");
    assert_eq!(table(None, Vec::new()), "m = {}\n");
    let asked = Some(StatOp::Quantile(90));
    assert_eq!(table(asked, vec![entry(2, 9), entry(0, 5)]), "@p90(m[2]) = 9\n@p90(m[0]) = 5\n");
    assert_eq!(table(asked, Vec::new()), "@p90(m) = {}\n");
}
