//! C++: bases, references, `std::string`, `std::string_view`, `std::vector`.

use crate::stop::{Stopped, compile};

#[test]
fn classes_strings_and_vectors_are_what_users_think_of() {
    for (compiler, flags) in [
        ("g++", ["-std=c++17", "-g", "-O0"]),
        ("g++", ["-std=c++17", "-g", "-O2"]),
        ("clang++", ["-std=c++17", "-g", "-fstandalone-debug"]),
    ] {
        let stopped = Stopped::at(&compile("values.cpp", compiler, &flags), 1);
        let cases = [
            ("$item.id, $item->price, $item.amount", "12 9.75 -4"),
            ("$item.name", "a name that is longer than fits in place"),
            ("$text, $view, $number", "short a view 321"),
            ("*$pointer", "pointed to"),
            ("$pointer", "pointed to"),
            ("user_string($text) . \"!\"", "short!"),
            ("user_string($view, 3)", "a v"),
            ("$item.sizes", "[3, 5, 8]"),
            ("$item.offers", "[{.price=1.5}, {.price=2.5}]"),
            (
                "$item",
                "{.name=\"a name that is longer than fits in place\", .id=12, .price=9.75, .sizes=[3, 5, 8], \
                 .offers=[{.price=1.5}, {.price=2.5}], .amount=-4}",
            ),
            ("@cast($pointer, \"std::string\")->_M_string_length", "10"),
            ("@cast(&$item, \"shop::Item\")->id", "12"),
        ];
        for (values, expected) in cases {
            assert_eq!(stopped.prints(&format!("println({values})")), expected, "{compiler} {flags:?}: {values}");
        }
    }
}
