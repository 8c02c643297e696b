//! Rust: `&str`, `String`, `Vec`, slices, tuples, enumerations with fields.

use crate::stop::{Stopped, compile};

#[test]
fn characters_are_shown_as_such() {
    for flags in [["-g", "-Copt-level=0"], ["-g", "-Copt-level=2"]] {
        let stopped = Stopped::at(&compile("letters.rs", "rustc", &flags), 1);
        let cases = [
            ("$letter, $plain, $last", "\u{fc} a \u{10ffff}"),
            ("$word.first, $word.rest", "\u{e9} ['z', '\u{4e16}']"),
            ("$word.none, $word.some", "None Some('\u{1f600}')"),
            ("$letter == 252, $plain + 1", "1 98"),
        ];
        for (values, expected) in cases {
            assert_eq!(stopped.prints(&format!("println({values})")), expected, "{flags:?}: {values}");
        }
        assert_eq!(
            stopped.prints("printf(\"%c|%3c|%s|%d|%x\", $letter, $plain, $letter, $letter, $plain)"),
            "\u{fc}|  a|\u{fc}|252|61"
        );
    }
}

#[test]
fn values_are_shown_as_rust_would() {
    for flags in [["-g", "-Copt-level=0"], ["-g", "-Copt-level=2"]] {
        let path = compile("values.rs", "rustc", &flags);
        let first = Stopped::at(&path, 1);
        let cases = [
            ("$order->id, $order->at", "5 (-7, 8)"),
            ("$order->item, $text", "boots some text"),
            ("user_string($text, 4)", "some"),
            ("$order->note, $order->none", "Some(\"fragile\") None"),
            ("$order->amounts, $slice", "[1, 2, 300] [4, -5, 6]"),
            ("$order->first, $order->last", "Some(11) Err(-2)"),
            ("$order->shape", "Named{.name=\"hexagon\", .sides=6}"),
            ("$small", "Some(9)"),
            ("*$shape", "Circle(3)"),
        ];
        for (values, expected) in cases {
            assert_eq!(first.prints(&format!("println({values})")), expected, "{flags:?}: {values}");
        }
        let link = first.prints("println(*$order)");
        assert!(link.contains(".link=Some(0x") && link.contains(".item=\"boots\""), "{flags:?}: {link}");
        let second = Stopped::at(&path, 2);
        let cases = [("$text", ""), ("$slice", "[]"), ("$small", "None"), ("*$shape", "Empty")];
        for (values, expected) in cases {
            assert_eq!(second.prints(&format!("println({values})")), expected, "{flags:?}: {values}");
        }
    }
}
