//! C: structs, unions, arrays, bit-fields, enumerations, floats, globals.

use ctp_lang::check::Settings;
use ctp_lang::codes::Code;

use crate::stop::{Stopped, compile, refused, refused_in_two};

const VARIANTS: [(&str, &[&str]); 4] = [
    ("gcc", &["-g", "-O0"]),
    ("gcc", &["-g", "-O2", "-gdwarf-4"]),
    ("clang", &["-g", "-O0", "-gdwarf-4"]),
    ("clang", &["-g", "-O2"]),
];

#[test]
fn paths_lead_where_c_would() {
    for (compiler, flags) in VARIANTS {
        let stopped = Stopped::at(&compile("values.c", compiler, flags), 1);
        let cases = [
            ("$p->kind", "FANCY"),
            ("$p->name", "first"),
            ("$p.tag", "abcdefgh"),
            ("$p->next->tag", "two"),
            ("$p->next->name[3]", "o"),
            ("$p->on, $p->low, $p->mid, $p->neg", "true 5 300 -3"),
            ("$p->at.x, $p->at->y", "-1 2"),
            ("$p->n.bytes[2], $p->n.whole", "3 67305985"),
            ("$p->inner", "77"),
            ("$p->grid[1][2], $p->grid[0][1]", "6 2"),
            ("$p->grid[$count - 1][$count]", "6"),
            ("*$p->grid[1]", "4"),
            ("$p->deep", "-9"),
            ("$p->secret->found", "99"),
            ("$count, $numbers[1], $numbers[$count], *$numbers, *($numbers + 1)", "2 200 300 100 200"),
            ("&$numbers[2] - $numbers", "2"),
            ("$by_value.a, $by_value.b, $by_value.c", "1000 -5 xyz"),
            ("$p->ratio, $p->half, $p->next->ratio", "2.5 0.5 -0.25"),
            ("(&$p->at)->y, *&$p->inner", "2 77"),
            ("user_string($p->name) == \"first\"", "1"),
            ("user_string($p->name, 3), user_string($p->tag, 2)", "fir ab"),
            ("strlen(user_string($p->tag))", "8"),
            ("@cast($p, \"struct item\")->kind", "FANCY"),
            ("@cast($p->next, \"struct item *\")->name", "second"),
            ("@cast(7, \"enum kind\"), @cast(-1, \"unsigned char\")", "FANCY 255"),
            ("@var(\"counter\"), @var(\"shared\")[3], @var(\"shared@values.c\")[1]", "41 40 20"),
            ("@var(\"calls\")", "3"),
            ("@sizeof(\"struct pair\"), @sizeof($p->grid), @enum(\"FANCY\")", "16 24 7"),
            ("@defined($p), @defined($p->none), @defined($nothing), @defined(@var(\"counter\"))", "1 0 0 1"),
            ("@defined($p->none) ? $p->none : 5", "5"),
            ("@defined($nothing) && $nothing > 3", "0"),
        ];
        for (values, expected) in cases {
            assert_eq!(stopped.prints(&format!("println({values})")), expected, "{compiler} {flags:?}: {values}");
        }
        let branch = "if (@defined($p->colour)) println($p->colour) else println(\"none\")";
        assert_eq!(stopped.prints(branch), "none", "{compiler} {flags:?}");
        let formats =
            "printf(\"%.2f|%8.3e|%g|%5d|%s|%x\", $p->ratio, $p->half, $p->ratio, $p->at.x, $p->tag, $p->n.whole)";
        assert_eq!(stopped.prints(formats), "2.50|5.000e-01|2.5|   -1|abcdefgh|4030201", "{compiler} {flags:?}");
    }
}

/// In a thread that has other values than the first one; what each prints is what the program set there.
#[test]
fn thread_local_variables_are_the_threads_own() {
    let with = |flags: &[&'static str]| [&["-g", "-pthread"], flags].concat();
    for (compiler, flags) in [
        ("gcc", with(&["-O0"])),
        ("gcc", with(&["-O2", "-gdwarf-4"])),
        ("gcc", with(&["-O2", "-static"])),
        ("gcc", with(&["-O1", "-no-pie", "-fPIC"])),
        ("gcc", with(&["-O0", "-static-pie"])),
        ("gcc", with(&["-O1", "-fuse-ld=lld"])),
        ("clang", with(&["-O0", "-gdwarf-4"])),
        ("clang", with(&["-O2"])),
    ] {
        let stopped = Stopped::at(&compile("threads.c", compiler, &flags), 1);
        let cases = [
            ("@var(\"own_copy\"), @var(\"of_all\")", "60 7"),
            ("@var(\"shape\").sides, @var(\"shape\").name", "6 hexagon"),
            ("@var(\"wide\"), @var(\"wide\")[1]", "xb b"),
            ("@var(\"empty\")", "[0, -8, 0]"),
            ("@var(\"calls\"), @var(\"alone\")", "3 -13"),
        ];
        for (values, expected) in cases {
            assert_eq!(stopped.prints(&format!("println({values})")), expected, "{compiler} {flags:?}: {values}");
        }
    }
    // Where a library's are only the dynamic linker knows.
    let library = compile("threads.c", "gcc", &["-g", "-shared", "-fPIC"]);
    let found = refused(&library, "println(@var(\"own_copy\"))");
    assert!(found.iter().any(|(code, text)| *code == Code::E0205 && text.contains("a library's")), "{found:#?}");
}

#[test]
fn structs_are_shown_whole() {
    for (compiler, flags) in VARIANTS {
        let what = format!("{compiler} {flags:?}");
        let stopped = Stopped::at(&compile("values.c", compiler, flags), 1);
        assert_eq!(stopped.prints("println($p->at)"), "{.x=-1, .y=2}", "{what}");
        assert_eq!(stopped.prints("println($p->grid)"), "[[1, 2, 3], [4, 5, 6]]", "{what}");
        assert_eq!(stopped.prints("println($by_value)"), r#"{.a=1000, .b=-5, .c="xyz"}"#, "{what}");
        assert_eq!(stopped.prints("printf(\"%s!\", $p->n)"), "{.whole=67305985, .bytes=[1, 2, 3, 4]}!", "{what}");
        let item = |pointers: [&str; 4], at: &str, n: &str, grid: &str| {
            format!(
                "{{.next={}, .name={}, .tag=\"abcdefgh\", .kind=FANCY, .on=true, .low=5, .mid=300, .neg=-3, .at={at}, \
                 .n={n}, .inner=77, .grid={grid}, .ratio=2.5, .half=0.5, .deep=-9, .secret={}, .call={}}}",
                pointers[0], pointers[1], pointers[2], pointers[3]
            )
        };
        let pointer = |path: &str| stopped.prints(&format!("printf(\"%p\", {path})"));
        let pointers = ["$p->next", "$p->name", "$p->secret", "$p->call"].map(pointer);
        let pointers = pointers.each_ref().map(String::as_str);
        let whole = item(pointers, "{.x=-1, .y=2}", "{.whole=67305985, .bytes=[1, 2, 3, 4]}", "[[1, 2, 3], [4, 5, 6]]");
        assert_eq!(stopped.prints("println(*$p)"), whole, "{what}");
        assert_eq!(stopped.prints("println($p$$)"), whole, "{what}");
        assert_eq!(stopped.prints("println($p$)"), item(pointers, "{...}", "{...}", "[...]"), "{what}");
        let shallow = Settings { depth: 1 };
        assert_eq!(stopped.prints_to("println(*$p)", &shallow), item(pointers, "{...}", "{...}", "[...]"), "{what}");
    }
}

#[test]
fn what_is_wrong_names_what_there_is() {
    let path = compile("values.c", "gcc", &["-g", "-O0"]);
    let cases = [
        ("println($p->kin)", Code::E0120, "`kind`"),
        ("println($p->at.z)", Code::E0120, "`x`, `y`"),
        ("println($count->x)", Code::E0120, "a number"),
        ("println($p->grid[2][0])", Code::E0220, "from 0 to 1"),
        ("println($p->grid[0][-1])", Code::E0220, "from 0 to 2"),
        ("println(@cast($p, \"struct itm\")->kind)", Code::E0121, "`item`"),
        ("println(@enum(\"FANCI\"))", Code::E0121, "`FANCY`"),
        ("println(@var(\"countr\"))", Code::E0105, "`counter`"),
        ("println($p->ratio + 1)", Code::E0201, "floating-point"),
        ("println($p->at + 1)", Code::E0201, "struct point"),
        ("println($p->tag . \"x\")", Code::E0204, "user_string($p->tag)"),
        ("println($p->name == \"first\")", Code::E0204, "user_string($p->name)"),
        ("printf(\"%d\", $p->ratio)", Code::E0202, "%f"),
        ("printf(\"%f\", $count)", Code::E0202, "%d"),
        ("x = $p$", Code::E0206, "println($p$)"),
        ("println(*$count)", Code::E0201, "@cast"),
    ];
    for (body, code, part) in cases {
        let found = refused(&path, body);
        let fits = found.iter().any(|(own, text)| *own == code && text.contains(part));
        assert!(fits, "{body}: {code} with {part}: {found:#?}");
    }
}

#[test]
fn what_one_of_two_builds_lacks_is_said_of_that_one() {
    let build = |flags: &[&str]| compile("builds.c", "gcc", flags);
    let (old, new) = (build(&["-g", "-Wl,--build-id=0x0011aa"]), build(&["-g", "-DNEW", "-Wl,--build-id=0x0022bb"]));
    let found = refused_in_two(&old, &new, "println($p->added)");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].0, Code::E0120);
    assert!(found[0].1.contains("`old`") && found[0].1.contains("0011aa"), "{found:#?}");
    assert!(!found[0].1.contains("`new`") && !found[0].1.contains("0022bb"), "{found:#?}");
    let found = refused_in_two(&old, &new, "println($p->neither)");
    assert!(found[0].1.contains("0011aa") && found[0].1.contains("0022bb"), "{found:#?}");
    assert!(
        refused_in_two(&old, &new, "if (@defined($p->added)) println($p->added) else println($p->kept)").is_empty()
    );
}
