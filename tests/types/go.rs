//! Go: strings, slices, structs, in registers and in memory.

use crate::stop::{Stopped, compile_go};

#[test]
fn strings_and_slices_are_what_users_think_of() {
    for flags in [[].as_slice(), &["-gcflags=-N -l"]] {
        let stopped = Stopped::in_function(&compile_go("values.go", flags), "main.take", 1);
        let cases = [
            ("$item->Name, $item->Kind, $item->On, $item->Ratio", "first 1 true 0.75"),
            ("$text", "some text"),
            ("user_string($text, 4)", "some"),
            ("$numbers", "[10, 20, 30]"),
            ("$item->Next->Name, $item->Sizes, $item->Fixed[1]", "second [7, -8] 2"),
            ("$item->Alias", "also"),
            ("$count", "65535"),
        ];
        for (values, expected) in cases {
            assert_eq!(stopped.prints(&format!("println({values})")), expected, "{flags:?}: {values}");
        }
        let whole = stopped.prints("println(*$item)");
        let next = stopped.prints("printf(\"%p\", $item->Next)");
        let expected = format!(
            "{{.Name=\"first\", .Kind=1, .Sizes=[7, -8], .Next={next}, .On=true, .Ratio=0.75, .Fixed=[1, 2, 3], \
             .Alias=\"also\"}}"
        );
        assert_eq!(whole, expected, "{flags:?}");
    }
}
