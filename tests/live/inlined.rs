//! Functions that the compiler put into their callers: no call is left to be seen, yet each is reported.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

fn every_instance_fires(compiler: Compiler) {
    let image = Image::new(&Binary::compile("inlined.c", compiler, &["-g", "-O2"]), "/app/inlined");
    let mut container = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/inlined.fn("mix") {{ printf("mix %d\n", $value) }}"#,
        container.name()
    ));
    container.call(10);

    assert_eq!(ctp.interrupt().lines(), container.printed());
}

#[test]
fn gcc() {
    every_instance_fires(Compiler::Gcc);
}

#[test]
fn clang() {
    every_instance_fires(Compiler::Clang);
}
