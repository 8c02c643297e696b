//! What became of every hit, in the summary of JSON lines: of containers that were there, came back or came anew, attached
//! by file and by process; of entries, and of returns that are seen by sessions.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::{Running, ctp};
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::unique;
use serde_json::Value;

use crate::following::called;
use crate::jsonl::{against_schema, of_type, parsed};
use crate::sessions::has_sessions;

/// Of N calls with 0 to N - 1: three are let through; all return; all are counted; the first divides by zero; those from
/// the seventh on loop without end.
fn script(who: &str) -> String {
    format!(
        r#"global counted, looped
        probe {who}:/app/burst.fn("f") if ($number < 3) {{ println($number) }}
        probe {who}:/app/burst.fn("f").return {{ println(elapsed() > 0) }}
        probe {who}:/app/burst.fn("f") {{ counted[container()]++ }}
        probe {who}:/app/burst.fn("f") {{ println(10 / $number) }}
        probe {who}:/app/burst.fn("f") {{ n = 0; while ($number >= 7) {{ n++ }}; looped[$number] = n }}"#
    )
}

/// The plan says that the kernel can see these returns by sessions, or that it has none.
fn by_sessions(script: &str) {
    let plan = ctp(&["run", "--plan", "-e", script]).stdout;
    assert_eq!(plan.contains("returns are seen by a session"), has_sessions(), "{plan}");
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// What became of each probe's hits, after it was found that they add up: hits, records, aggregated, filtered, read_faults,
/// step_limit, unmatched, lost.
fn accounts(output: &str) -> Vec<[u64; 8]> {
    assert_eq!(against_schema(output), "");
    let lines = parsed(output);
    let summary = of_type(&lines, "summary")[0];
    let names = ["hits", "records", "aggregated", "filtered", "read_faults", "step_limit", "unmatched", "lost"];
    let accounts: Vec<[u64; 8]> =
        summary["probes"].as_array().unwrap().iter().map(|probe| names.map(|name| number(&probe[name]))).collect();
    for (probe, account) in summary["probes"].as_array().unwrap().iter().zip(&accounts) {
        assert_eq!(account[0], account[1..].iter().sum::<u64>() + number(&probe["limited"]), "{probe}");
    }
    let sum = |at: usize| accounts.iter().map(|account| account[at]).sum::<u64>();
    assert_eq!(number(&summary["hits"]), sum(0), "{summary}");
    assert_eq!(number(&summary["records"]) + number(&summary["unwritten"]), sum(1), "{summary}");
    // Each record is a line.
    assert_eq!(of_type(&lines, "print").len() as u64, number(&summary["records"]), "{summary}");
    accounts
}

/// What becomes of one container's calls.
fn of_calls(calls: u64) -> [[u64; 8]; 5] {
    [
        [calls, 3, 0, calls - 3, 0, 0, 0, 0],
        [calls, calls, 0, 0, 0, 0, 0, 0],
        [calls, 0, calls, 0, 0, 0, 0, 0],
        [calls, calls - 1, 0, 0, 1, 0, 0, 0],
        [calls, 0, 7, 0, 0, calls - 7, 0, 0],
    ]
}

#[test]
fn every_hit_of_containers_that_come_back_and_come_anew_is_accounted_for() {
    let image = Image::new(&Binary::compile("burst.c", Compiler::Gcc, &["-g", "-O2"]), "/app/burst");
    let base = unique::name();
    let start = |name: &str, calls: &str| Container::detached_as(&image, &format!("{base}-{name}"), &[calls]);
    let web = start("1", "40");
    called(&web, 1);
    let script = script(&format!("container(\"{base}-*\")"));
    by_sessions(&script);
    let mut ctp = Running::attached_with(&["run", "--output", "jsonl", "--max-steps", "50", "-e", &script]);
    docker(&["restart", "--time", "0", web.name()]);
    ctp.wait_for_stderr(&format!("ctp: {} restarted", web.name()));
    called(&web, 2);
    let new = start("2", "30");
    let said = ctp.wait_for_stderr(&format!("ctp: {} started", new.name()));
    called(&new, 1);
    let output = ctp.interrupt();

    let accounts = accounts(&output.stdout);
    let mut hits = 0;
    for (account, (one, other)) in accounts.iter().zip(of_calls(40).into_iter().zip(of_calls(30))) {
        hits += account[0];
        if said.ends_with("no call was missed") {
            let both: Vec<u64> = one.iter().zip(other).map(|(one, other)| one + other).collect();
            assert_eq!(account.as_slice(), both, "{}", output.stderr);
        }
    }
    let lines = parsed(&output.stdout);
    let came = of_type(&lines, "attached").into_iter().skip(1).chain(of_type(&lines, "restarted"));
    let missed: u64 = came.map(|line| number(&line["missed"])).sum();
    assert_eq!(hits + missed, 5 * 70, "{}", output.stderr);
}

#[test]
fn every_hit_of_processes_that_are_attached_to_one_by_one_is_accounted_for() {
    let binary = Binary::compile("becomes.c", Compiler::Gcc, &["-g", "-O2"]);
    let image = Image::new(&binary, "/app/burst");
    let web = Container::detached(&image, &["0", "/app/burst", "40", "/app/burst", "40"]);
    called(&web, 1);
    let script = script(&format!("container(\"{}\")", web.name()));
    by_sessions(&script);
    let arguments = ["run", "--attach", "process", "--output", "jsonl", "--max-steps", "50", "-e", &script];
    let ctp = Running::attached_with(&arguments);
    // The process stays the same, whatever it executes: what is bound to it is bound to it still.
    for executed in 2..4 {
        docker(&["kill", "--signal", "USR1", web.name()]);
        called(&web, executed);
    }
    let output = ctp.interrupt();
    let expected = of_calls(40).map(|account| account.map(|count| 2 * count));
    assert_eq!(accounts(&output.stdout), expected, "{}", output.stderr);
}
