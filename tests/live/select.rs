//! Containers by name, by the beginning of their id and by glob.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};
use ctp_tests::unique;

fn image() -> Image {
    Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app")
}

#[test]
fn by_the_beginning_of_the_id() {
    let image = image();
    let (mut web, mut other) = (Container::driven(&image), Container::driven(&image));

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{
            printf("my_function was called with %d\n", $arg)
        }}"#,
        &web.id()[..12]
    ));
    web.call(3);
    other.call(4);

    assert_eq!(ctp.interrupt().lines(), web.printed());
}

#[test]
fn two_by_one_glob_and_not_the_third() {
    let image = image();
    let base = unique::name();
    let names = [format!("{base}-web-1"), format!("{base}-web-2"), format!("{base}-db")];
    let mut one = Container::driven_as(&image, &names[0]);
    let mut two = Container::driven_as(&image, &names[1]);
    let mut third = Container::driven_as(&image, &names[2]);

    let mut ctp = Running::start(&[
        "run",
        "-e",
        &format!(
            r#"probe container("{base}-web-*"):/app/test_app.fn("my_function") {{ printf("%s %d\n", container(), $arg) }}"#
        ),
    ]);
    let attached = ctp.wait_for_stderr("ctp: attached");
    assert!(attached.contains("2 containers") && attached.contains(&names[0]) && attached.contains(&names[1]));
    one.call(2);
    two.call(1);
    third.call(5);
    one.call(1);

    let expected = [(0, 0), (0, 10), (1, 0), (0, 20)].map(|(which, arg): (usize, _)| format!("{} {arg}", names[which]));
    assert_eq!(one.printed().len() + two.printed().len(), expected.len());
    assert_eq!(ctp.interrupt().lines(), expected);
}

/// Containers of one name's glob may run different builds of the program.
#[test]
fn two_builds_under_one_glob() {
    let optimised = Image::new(&Binary::compile("twins.c", Compiler::Clang, &["-g", "-O2"]), "/app/test_app");
    let plain = image();
    let base = unique::name();
    let mut one = Container::driven_as(&optimised, &format!("{base}-a"));
    let mut two = Container::driven_as(&plain, &format!("{base}-b"));

    let ctp = Running::attached(&format!(
        r#"probe container("{base}-*"):/app/test_app.fn("my_function") {{
            printf("my_function was called with %d\n", $arg)
        }}"#
    ));
    one.call(3);
    two.call(2);

    let printed = [one.printed(), two.printed()].concat();
    assert_eq!(ctp.interrupt().lines(), printed);
}

#[test]
fn exe_is_what_the_container_runs() {
    let image = image();
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):exe.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    ));
    web.call(3);

    assert_eq!(ctp.interrupt().lines(), web.printed());
}

#[test]
fn a_path_in_quotes_may_be_odd() {
    let path = r#"/odd path/app.fn(x)"#;
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), path);
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):"{path}".fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    ));
    web.call(3);

    assert_eq!(ctp.interrupt().lines(), web.printed());
}
