//! A million calls from eight threads in two processes: what is counted of them is exact, and what is reported and what is
//! lost are a million together, whoever stands still meanwhile.

use std::io::{BufRead as _, BufReader, Read};
use std::process::Stdio;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp;
use ctp_tests::docker::{Container, Image};
use ctp_tests::unique;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::jsonl::{of_type, parsed};

/// Calls of each of the two processes: with 0, 1, …
const EACH: u32 = 500_000;
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    /// ctp itself, which reads what the kernel writes.
    Ctp,
    /// Whoever reads what ctp writes.
    Reader,
}

fn all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

fn million(standing: Standing) {
    let image = Image::new(&Binary::compile("crowd.c", Compiler::Gcc, &["-g", "-O2", "-pthread"]), "/app/crowd");
    let base = unique::name();
    let mut both = [1, 2].map(|number| Container::driven_as(&image, &format!("{base}-{number}")));
    let script = format!(
        r#"global calls, sum, every, by_rest
        probe container("{base}-*"):/app/crowd.fn("f") {{ emit {{ n: $n }} }}
        probe container("{base}-*"):/app/crowd.fn("f") {{
            calls++
            sum += $n
            every <<< $n
            by_rest[container(), $n % 10]++
        }}
        probe end {{ print(@hist_log(every)) }}"#
    );
    let mut command = ctp::command(&["run", "--output", "jsonl", "-e", &script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (stdout, mut stderr) = (child.stdout.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
    let mut said = String::new();
    while !said.contains("ctp: attached") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let rest = all(stderr);
    let begun = Instant::now();
    let mut unread = Some(stdout);
    let mut reading = None;
    match standing {
        Standing::Ctp => {
            kill(pid, Signal::SIGSTOP).unwrap();
            reading = unread.take().map(all);
        }
        Standing::Reader => {}
    }
    std::thread::scope(|scope| {
        for one in &mut both {
            scope.spawn(|| one.call(EACH));
        }
    });
    std::thread::sleep(PAUSE.saturating_sub(begun.elapsed()));
    match standing {
        Standing::Ctp => kill(pid, Signal::SIGCONT).unwrap(),
        Standing::Reader => reading = unread.take().map(all),
    }
    kill(pid, Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
    let (stdout, stderr) = (reading.unwrap().join().unwrap(), rest.join().unwrap());

    let lines = parsed(&stdout);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} is no count"));
    let summary = of_type(&lines, "summary")[0];
    let [reported, counted] = [0, 1].map(|probe| &summary["probes"][probe]);
    let million = u64::from(2 * EACH);
    assert_eq!((number(&reported["hits"]), number(&counted["hits"])), (million, million), "{summary}");
    assert_eq!(number(&counted["aggregated"]), million, "{summary}");
    // What was reported and what was lost.
    let events = of_type(&lines, "event");
    let lost = number(&reported["lost"]);
    assert!(lost > 0, "the ring holds no {million} records");
    assert_eq!(events.len() as u64 + lost, million, "{summary}");
    assert_eq!(events.len() as u64, number(&summary["records"]));
    let named: u64 = of_type(&lines, "lost").iter().map(|line| number(&line["count"])).sum();
    assert_eq!(named, lost);
    assert!(of_type(&lines, "lost").iter().all(|line| line["probe"] == reported["probe"]), "{summary}");
    assert!(stderr.contains(&format!("{lost} lost (the reader fell behind")), "{stderr}");
    // What was counted.
    let total: u64 = 2 * (0..u64::from(EACH)).sum::<u64>();
    let map = |name: &str| -> Vec<Value> {
        let all = of_type(&lines, "map").into_iter();
        all.filter(|map| map["name"] == name).flat_map(|map| map["entries"].as_array().unwrap().clone()).collect()
    };
    let one = |name: &str| -> u64 { map(name).iter().map(|entry| number(&entry["value"])).sum() };
    assert_eq!((one("calls"), one("sum")), (million, total));
    let by_rest = map("by_rest");
    assert_eq!(by_rest.len(), 20);
    assert!(by_rest.iter().all(|entry| number(&entry["value"]) == u64::from(EACH) / 10), "{by_rest:?}");
    let buckets = of_type(&lines, "histogram")[0]["entries"][0]["buckets"].as_array().unwrap();
    let mut in_buckets = 0;
    for bucket in buckets {
        let (low, high) = (number(&bucket["low"]), number(&bucket["high"]).min(u64::from(EACH) - 1));
        assert_eq!(number(&bucket["count"]), 2 * (high - low + 1), "{bucket}");
        in_buckets += number(&bucket["count"]);
    }
    assert_eq!(in_buckets, million);
}

#[test]
fn while_ctp_is_stopped() {
    million(Standing::Ctp);
}

#[test]
fn while_nobody_reads() {
    million(Standing::Reader);
}
