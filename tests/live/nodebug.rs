//! Programs without debug info: their functions are probed by symbol, their parameters are a clear error.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};

#[test]
fn symbols_are_enough_to_see_calls() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]).strip("-g"), "/app/test_app");
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ println("called") }}"#,
        web.name()
    ));
    web.call(5);

    assert_eq!(ctp.interrupt().lines(), vec!["called"; web.printed().len()]);
}

#[test]
fn a_parameter_needs_debug_info() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]).strip("-g"), "/app/test_app");
    let web = Container::driven(&image);

    let script =
        format!(r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("%d\n", $arg) }}"#, web.name());
    let output = ctp(&["run", "-e", &script]);

    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("E0110") && output.stderr.contains("/app/test_app"), "{}", output.stderr);
    assert!(!output.stderr.contains("attached"), "{}", output.stderr);
}

#[test]
fn no_symbols_no_function() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]).strip("-s"), "/app/test_app");
    let web = Container::driven(&image);

    let script =
        format!(r#"probe container("{}"):/app/test_app.fn("my_function") {{ println("called") }}"#, web.name());
    let output = ctp(&["run", "-e", &script]);

    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("E01") && output.stderr.contains("my_function"), "{}", output.stderr);
}
