//! Globals: counters and maps, printed when tracing ends, and handlers that no container calls.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image};
use ctp_tests::unique;

#[test]
fn counters_that_nothing_reads_are_printed_at_the_end() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let base = unique::name();
    let (a, b) = (format!("{base}-a"), format!("{base}-b"));
    let (mut one, mut two) = (Container::driven_as(&image, &a), Container::driven_as(&image, &b));

    let ctp = Running::attached(&format!(
        r#"
        global calls, by_container, by_both
        probe container("{base}-*"):/app/test_app.fn("my_function") {{
            calls++
            by_container[container()]++
            by_both[container(), comm()]++
        }}"#
    ));
    one.call(3);
    two.call(200);
    one.call(4);
    let output = ctp.interrupt();

    assert_eq!((one.printed().len(), two.printed().len()), (7, 200));
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", one.pid())).unwrap();
    let lines = output.lines();
    let line_with = |words: &[&str]| {
        let holds = |line: &&&str| words.iter().all(|word| line.contains(word));
        assert_eq!(lines.iter().filter(holds).count(), 1, "one line with {words:?} among {lines:#?}");
    };
    line_with(&["calls", "207"]);
    line_with(&["by_container", &a, "7"]);
    line_with(&["by_container", &b, "200"]);
    line_with(&["by_both", &a, comm.trim(), "7"]);
    line_with(&["by_both", &b, comm.trim(), "200"]);
    assert_eq!(lines.len(), 5, "{lines:#?}");
}

#[test]
fn end_reads_what_the_probes_counted() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"
        global calls, sum
        probe begin {{ println("begin") }}
        probe container("{}"):/app/test_app.fn("my_function") {{ calls++; sum += $arg }}
        probe end {{ printf("%d calls, sum %d\n", calls, sum) }}"#,
        web.name()
    ));
    web.call(100);

    let arguments = web.printed().into_iter().map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap());
    let sum: i64 = arguments.sum();
    assert_eq!(ctp.interrupt().lines(), ["begin".to_owned(), format!("100 calls, sum {sum}")]);
}

#[test]
fn every_fires_on_time() {
    let output = ctp(&[
        "run",
        "--for",
        "1100ms",
        "-e",
        r#"probe every(250ms) { println("tick") } probe end { println("end") }"#,
    ]);

    let lines = output.lines();
    let (last, ticks) = lines.split_last().unwrap();
    assert_eq!((*last, output.code), ("end", Some(0)));
    assert!((3..=4).contains(&ticks.len()) && ticks.iter().all(|line| *line == "tick"), "{ticks:?}");
}

#[test]
fn exit_ends_the_run() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{
            printf("my_function was called with %d\n", $arg)
            if ($arg == 20) exit()
        }}"#,
        web.name()
    ));
    web.call(3);
    let output = ctp.finish();

    assert_eq!(output.lines(), web.printed());
    assert_eq!(output.code, Some(0));
}
