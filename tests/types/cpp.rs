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

/// gdb's own view of the same values: `p data`, `p function`, as numbers.
#[test]
fn pointers_to_members_and_null_pointers_are_shown() {
    for (compiler, flags) in [
        ("g++", ["-std=c++17", "-g", "-O0"]),
        ("g++", ["-std=c++17", "-g", "-O2"]),
        ("clang++", ["-std=c++17", "-g", "-O0"]),
        ("clang++", ["-std=c++17", "-g", "-O2"]),
    ] {
        let path = compile("members.cpp", compiler, &flags);
        let stopped = Stopped::at(&path, 1);
        // `last` lies behind the virtual table's pointer, a long and an int; Base's second virtual function is at 8 in
        // the table; Other's function wants Other, which lies 16 bytes into Both.
        let plain = stopped.address_of("Other::plain()");
        let cases = [
            ("$data, $none", "20 -1".to_owned()),
            ("$function", format!("{{.ptr={plain:#x}, .adj=16}}")),
            ("$is_virtual", "{.ptr=0x9, .adj=0}".to_owned()),
            // gdb says so too.
            ("$nothing", if flags[2] == "-O2" && compiler == "clang++" { "<optimized out>" } else { "0x0" }.to_owned()),
            ("$held", "{.data=20, .function={.ptr=0x9, .adj=0}, .nothing=0x0}".to_owned()),
            ("$letter", "\u{e9}".to_owned()),
        ];
        for (values, expected) in cases {
            assert_eq!(stopped.prints(&format!("println({values})")), expected, "{compiler} {flags:?}: {values}");
        }
    }
}
