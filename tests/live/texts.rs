//! Text of the program: as it stands there, cut where it is long, and a fault where nothing is.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

#[test]
fn short_empty_long_not_resident_and_nowhere() {
    let image = Image::new(&Binary::compile("texts.c", Compiler::Gcc, &["-g", "-O2"]), "/app/texts");
    let mut container = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/texts.fn("say") {{ printf("say %d %s\n", $number, $text) }}"#,
        container.name()
    ));
    container.call(5);
    let output = ctp.interrupt();

    let (seen, printed) = (output.lines(), container.printed());
    assert_eq!(seen.len(), 5, "{output:?}");
    assert_eq!(seen[0], printed[0]);
    assert_eq!(seen[1], printed[1]);
    // The language's limit is 256 bytes, the closing zero among them or not.
    let kept = seen[2].strip_suffix("<truncated>").expect("a mark that there was more");
    assert!(printed[2].starts_with(kept), "{kept}");
    assert!((255..=256).contains(&(kept.len() - "say 2 ".len())), "{kept}");
    assert_eq!(seen[3], printed[3]);
    assert_eq!(printed[4], "say 4 nowhere");
    assert_eq!(seen[4], "say 4 <fault>");
    assert!(output.stderr.contains("ctp: 5 hits, 5 records, 0 lost, 1 fault in"), "{}", output.stderr);
}

#[test]
fn a_longer_limit_keeps_more() {
    let image = Image::new(&Binary::compile("texts.c", Compiler::Gcc, &["-g"]), "/app/texts");
    let mut container = Container::driven(&image);
    let script = format!(
        r#"probe container("{}"):/app/texts.fn("say") {{ printf("say %d %s\n", $number, $text) }}"#,
        container.name()
    );

    let ctp = Running::attached_with(&["run", "--strlen", "1024", "-e", &script]);
    container.call(3);

    assert_eq!(ctp.interrupt().lines(), container.printed());
}
