//! Two containers of one image share the file that is probed: only the one that was named is reported.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

/// Each twin is called a known number of times, in turns; exactly web's calls arrive, in order, with web's values.
fn only_web_is_reported(compiler: Compiler, level: &str) {
    let image = Image::new(&Binary::compile("twins.c", compiler, &["-g", level]), "/app/test_app");
    let (mut web, mut web2) = (Container::driven(&image), Container::driven(&image));
    web.call(2);
    let before = web.printed().len();

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{
            printf("my_function was called with %d\n", $arg)
        }}"#,
        web.name()
    ));
    for _ in 0..3 {
        web.call(50);
        web2.call(70);
    }
    let output = ctp.interrupt();
    web.call(2);

    let printed = web.printed();
    assert_eq!(output.lines(), &printed[before..before + 150]);
    assert_eq!(web2.printed().len(), 210);
    assert!(output.stderr.contains("ctp: 150 hits, 150 records, 0 lost, 0 faults"), "{}", output.stderr);
    assert_eq!(output.code, Some(0));
}

#[test]
fn gcc_unoptimised() {
    only_web_is_reported(Compiler::Gcc, "-O0");
}

#[test]
fn gcc_optimised() {
    only_web_is_reported(Compiler::Gcc, "-O2");
}

#[test]
fn clang_unoptimised() {
    only_web_is_reported(Compiler::Clang, "-O0");
}

#[test]
fn clang_optimised() {
    only_web_is_reported(Compiler::Clang, "-O2");
}
