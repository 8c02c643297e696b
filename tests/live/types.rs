//! Parameters of every type: least, greatest, negative and wide values, in registers and on the stack.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

fn as_the_program_prints_them(compiler: Compiler, level: &str) {
    let image = Image::new(&Binary::compile("types.c", compiler, &["-g", level]), "/app/types");
    let mut container = Container::driven(&image);
    let point = format!(r#"container("{}"):/app/types"#, container.name());

    let ctp = Running::attached(&format!(
        r#"
        probe {point}.fn("narrow") {{ printf("narrow %d %u %d %u\n", $a, $b, $c, $d) }}
        probe {point}.fn("wide") {{ printf("wide %d %u %d %u %d %u\n", $a, $b, $c, $d, $e, $f) }}
        probe {point}.fn("many") {{
            printf("many %d %d %d %d %d %d %d %d %u\n", $a, $b, $c, $d, $e, $f, $g, $h, $i)
        }}
        probe {point}.fn("others") {{
            printf("others %s %c %d %s %p %s\n", $flag, $letter, $colour, $colour, $pointer, $odd)
        }}"#
    ));
    container.call(4);

    assert_eq!(ctp.interrupt().lines(), container.printed());
}

#[test]
fn gcc_unoptimised() {
    as_the_program_prints_them(Compiler::Gcc, "-O0");
}

#[test]
fn gcc_optimised() {
    as_the_program_prints_them(Compiler::Gcc, "-O2");
}

#[test]
fn clang_unoptimised() {
    as_the_program_prints_them(Compiler::Clang, "-O0");
}

#[test]
fn clang_optimised() {
    as_the_program_prints_them(Compiler::Clang, "-O2");
}

#[test]
fn expressions_are_computed_in_64_bits() {
    let image = Image::new(&Binary::compile("types.c", Compiler::Gcc, &["-g"]), "/app/types");
    let mut container = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/types.fn("narrow") {{
            printf("narrow %d %u %d %u\n", -(-$a), $b ^ 0, ($c * 4 - $c) / 3, ($d << 8) >> 8)
        }}"#,
        container.name()
    ));
    container.call(4);

    let printed: Vec<_> = container.printed().into_iter().filter(|line| line.starts_with("narrow")).collect();
    assert_eq!(ctp.interrupt().lines(), printed);
}

#[test]
fn if_and_else_choose() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let mut container = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{
            if ($arg >= 30 && $arg != 50) {{
                printf("my_function was called with %d\n", $arg)
            }} else if ($arg == 50) println("fifty")
            else {{ println("small") }}
        }}"#,
        container.name()
    ));
    container.call(7);

    let printed = container.printed();
    let expected = ["small", "small", "small", &printed[3], &printed[4], "fifty", &printed[6]];
    assert_eq!(ctp.interrupt().lines(), expected);
}
