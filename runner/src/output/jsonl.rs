//! Owns the JSON lines of a run (`--output jsonl`): which objects there are and what is in each. `docs/jsonl.md` describes
//! them, `docs/jsonl.schema.json` is what tests hold them to.

use std::io;

use ctp_lang::ir::{GlobalIndex, Piece, Print, PrintKind, Probe, Program};
use ctp_lang::value::{MapEntry, Value, name, with_values, write_piece};

use super::Origin;
use super::escape::in_json;
use super::json::{self, Json, object};
use super::sink::Sink;
use crate::engine::Counters;

/// The version of the form, in the first line.
pub const VERSION: u64 = 1;

/// What ctp says of the run.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// Probes are attached: from here on hits are seen.
    Attached {
        /// How many places are probed.
        points: u64,
        /// Name and id of each container.
        containers: &'a [(String, String)],
        /// Milliseconds since ctp was started.
        milliseconds: u128,
    },
    /// A container that came (back) while tracing goes on is traced from now on.
    Came {
        /// Its name.
        name: &'a str,
        /// Its id.
        id: &'a str,
        /// Whether it was there before.
        again: bool,
        /// Hits that were its and not seen, as far as its file was probed already.
        missed: u64,
        /// How long after its first process its file was probed, where that came late.
        late: Option<std::time::Duration>,
        /// How many places are probed.
        points: u64,
        /// Milliseconds since ctp was started.
        milliseconds: u128,
        /// What standard error says of it.
        text: &'a str,
    },
    /// A container executes, or may execute, another file than those that are probed.
    Executed {
        /// Its name.
        name: &'a str,
        /// Its id.
        id: &'a str,
        /// The file's path in it.
        path: &'a str,
        /// Whether it is probed now.
        traced: bool,
        /// How long after it was executed that came, where somebody may have executed it before.
        late: Option<std::time::Duration>,
        /// What standard error says of it.
        text: &'a str,
    },
    /// A container ended, or was removed.
    Gone {
        /// Its name.
        name: &'a str,
        /// Its id.
        id: &'a str,
        /// Whether ctp waits for it to come back.
        waits: bool,
        /// What standard error says of it.
        text: &'a str,
    },
    /// What else ctp says on standard error: a probe that matches nothing, a container that is not traced.
    Notice(&'a str),
    /// What `error("…")` says.
    Error {
        /// The text.
        text: &'a [u8],
        /// Where it ran.
        origin: Origin<'a>,
    },
    /// Records of a probe were lost since it was last said.
    Lost {
        /// The probe point as written.
        probe: &'a str,
        /// How many.
        count: u64,
    },
    /// What became of every hit; the last line.
    Summary {
        /// The probes.
        probes: &'a [Probe],
        /// Their counters.
        counters: &'a [Counters],
        /// Records that were written.
        written: u64,
        /// Records that could not be written.
        unwritten: u64,
        /// Runs of `begin`, `end` and `every` that were stopped.
        stopped: u64,
        /// Updates of those that a full map dropped.
        dropped: u64,
        /// How long it traced.
        seconds: f64,
    },
}

/// Writes JSON lines.
pub struct Jsonl {
    sink: Sink,
    first: bool,
}

impl Jsonl {
    pub(super) fn new(sink: Sink) -> Jsonl {
        Jsonl { sink, first: true }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    pub(super) fn flushes(&self) -> u64 {
        self.sink.flushes
    }

    pub(super) fn holds_back(&self) -> bool {
        !self.sink.buffer.is_empty()
    }

    fn write(&mut self, kind: &str, members: Vec<(String, Json)>) -> io::Result<()> {
        let mut all = vec![("type".to_owned(), Json::text(kind))];
        if std::mem::take(&mut self.first) {
            all.push(("v".to_owned(), Json::Unsigned(VERSION)));
        }
        all.extend(members);
        let line = serde_json::to_string(&Json::Object(all))?;
        self.sink.buffer.extend_from_slice(in_json(&line).as_bytes());
        self.sink.buffer.push(b'\n');
        self.sink.flush_if_full()
    }

    /// An output statement: an event, or text, with tables and histograms in objects of their own.
    pub(super) fn print(
        &mut self,
        print: &Print,
        values: &[Value],
        program: &Program,
        origin: Origin<'_>,
    ) -> io::Result<()> {
        if let PrintKind::Event(names) = &print.kind {
            let fields = names.iter().zip(with_values(&print.pieces, values));
            let fields = fields.map(|(name, (piece, values))| (name.clone(), json::field(piece, values, program)));
            let fields = Json::Object(fields.collect());
            return self.write("event", with(from(origin), [("fields", fields)]));
        }
        let mut text = Vec::new();
        let mut tables = false;
        for (piece, values) in with_values(&print.pieces, values) {
            let table = match values {
                [Value::Table(table)] => table.as_slice(),
                _ => &[],
            };
            match piece {
                Piece::Table { global, asked } => {
                    self.text(&mut text, origin, tables)?;
                    let name = name(program, *global);
                    let members = [
                        ("name", Json::text(asked.map_or(name.to_owned(), |op| format!("{op}({name})")))),
                        ("entries", json::entries(*global, table, program)),
                    ];
                    self.write("map", with(from(origin), members))?;
                    tables = true;
                }
                Piece::Histogram { global, linear, .. } => {
                    self.text(&mut text, origin, tables)?;
                    let members = [
                        ("name", Json::text(name(program, *global))),
                        ("entries", json::histogram(*global, *linear, table, program)),
                    ];
                    self.write("histogram", with(from(origin), members))?;
                    tables = true;
                }
                Piece::Text(_) | Piece::Value(_) | Piece::Unavailable { .. } | Piece::Whole(_) => {
                    write_piece(&mut text, piece, values, program);
                }
            }
        }
        self.text(&mut text, origin, tables)
    }

    /// The text gathered so far; blanks between tables are none.
    fn text(&mut self, text: &mut Vec<u8>, origin: Origin<'_>, tables: bool) -> io::Result<()> {
        let text = std::mem::take(text);
        if text.is_empty() || (tables && text.iter().all(u8::is_ascii_whitespace)) {
            return Ok(());
        }
        let mut members = from(origin);
        members.extend(texts(&text));
        self.write("print", members)
    }

    /// A global that nothing in the program prints.
    pub(super) fn global(&mut self, global: GlobalIndex, entries: &[MapEntry], program: &Program) -> io::Result<()> {
        let members =
            [("name", Json::text(name(program, global))), ("entries", json::entries(global, entries, program))];
        self.write("map", with(Vec::new(), members))
    }

    pub(super) fn line(&mut self, line: Line<'_>) -> io::Result<()> {
        match line {
            Line::Attached { points, containers, milliseconds } => {
                let one = |(name, id): &(String, String)| {
                    object([("name", Json::text(name.as_str())), ("id", Json::text(id.as_str()))])
                };
                let containers = Json::List(containers.iter().map(one).collect());
                let milliseconds = Json::Unsigned(u64::try_from(milliseconds).unwrap_or(u64::MAX));
                let members = [("points", Json::Unsigned(points)), ("containers", containers), ("ms", milliseconds)];
                self.write("attached", with(Vec::new(), members))
            }
            Line::Came { name, id, again, missed, late, points, milliseconds, text } => {
                let one = object([("name", Json::text(name)), ("id", Json::text(id))]);
                let milliseconds = Json::Unsigned(u64::try_from(milliseconds).unwrap_or(u64::MAX));
                let members =
                    [("points", Json::Unsigned(points)), ("containers", Json::List(vec![one])), ("ms", milliseconds)];
                let mut members = with(Vec::new(), members);
                members = with(members, [("missed", Json::Unsigned(missed))]);
                if let Some(late) = late {
                    let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
                    members = with(members, [("late_ms", Json::Unsigned(late))]);
                }
                self.write(if again { "restarted" } else { "attached" }, with(members, [("text", Json::text(text))]))
            }
            Line::Executed { name, id, path, traced, late, text } => {
                let members = [
                    ("container", Json::text(name)),
                    ("id", Json::text(id)),
                    ("path", Json::text(path)),
                    ("traced", Json::Bool(traced)),
                ];
                let late = late.map(|late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
                let mut members = with(Vec::new(), members);
                members.extend(late.map(|late| ("late_ms".to_owned(), Json::Unsigned(late))));
                self.write("executed", with(members, [("text", Json::text(text))]))
            }
            Line::Gone { name, id, waits, text } => {
                let members = [
                    ("container", Json::text(name)),
                    ("id", Json::text(id)),
                    ("waits", Json::Bool(waits)),
                    ("text", Json::text(text)),
                ];
                self.write("gone", with(Vec::new(), members))
            }
            Line::Notice(text) => self.write("notice", with(Vec::new(), [("text", Json::text(text))])),
            Line::Error { text, origin } => {
                let mut members = from(origin);
                members.extend(texts(text));
                self.write("error", members)
            }
            Line::Lost { probe, count } => {
                let members = [("probe", Json::text(probe)), ("count", Json::Unsigned(count))];
                self.write("lost", with(Vec::new(), members))
            }
            Line::Summary { probes, counters, written, unwritten, stopped, dropped, seconds } => {
                let total = |count: fn(&Counters) -> u64| Json::Unsigned(counters.iter().map(count).sum());
                let each = probes
                    .iter()
                    .zip(counters)
                    .filter(|(probe, _)| matches!(probe.kind, ctp_lang::ir::ProbeKind::Sites(_)));
                let members = [
                    ("seconds", Json::Double(seconds)),
                    ("hits", total(Counters::hits)),
                    ("records", Json::Unsigned(written)),
                    ("unwritten", Json::Unsigned(unwritten)),
                    ("lost", total(|counters| counters.lost)),
                    ("faults", total(|counters| counters.read_faults + counters.faults_shown)),
                    ("stopped_runs", Json::Unsigned(stopped)),
                    ("dropped_updates", Json::Unsigned(dropped)),
                    ("probes", Json::List(each.map(|(probe, counters)| accounts(probe, counters)).collect())),
                ];
                self.write("summary", with(Vec::new(), members))
            }
        }
    }
}

/// What became of the hits of one probe.
fn accounts(probe: &Probe, counters: &Counters) -> Json {
    let Counters {
        records,
        aggregated,
        filtered,
        read_faults,
        step_limit,
        unmatched,
        lost,
        limited,
        faults_shown,
        map_full,
    } = *counters;
    let numbers = [
        ("hits", counters.hits()),
        ("records", records),
        ("aggregated", aggregated),
        ("filtered", filtered),
        ("read_faults", read_faults),
        ("step_limit", step_limit),
        ("unmatched", unmatched),
        ("lost", lost),
        ("limited", limited),
        ("faults_shown", faults_shown),
        ("map_full", map_full),
    ];
    let numbers = numbers.into_iter().map(|(name, number)| (name.to_owned(), Json::Unsigned(number)));
    Json::Object([("probe".to_owned(), Json::text(&*probe.point))].into_iter().chain(numbers).collect())
}

/// Where and when it ran.
fn from(origin: Origin<'_>) -> Vec<(String, Json)> {
    let mut members = with(Vec::new(), [("ts", Json::Signed(origin.time)), ("probe", Json::text(origin.probe))]);
    if let Some(task) = origin.task {
        let known = [
            ("container", Json::text(task.container)),
            ("pid", Json::Unsigned(task.pid.into())),
            ("tid", Json::Unsigned(task.tid.into())),
        ];
        members = with(members, known);
        let more = [("nspid", task.nspid), ("cpu", task.cpu)];
        let more =
            more.into_iter().filter_map(|(name, number)| Some((name.to_owned(), Json::Unsigned(number?.into()))));
        members.extend(more);
    }
    members
}

fn with<const N: usize>(mut members: Vec<(String, Json)>, more: [(&str, Json); N]) -> Vec<(String, Json)> {
    members.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    members
}

/// `text`, and `bytes` where it is not UTF-8.
fn texts(text: &[u8]) -> Vec<(String, Json)> {
    match json::text(text, false) {
        Json::Object(members) => members,
        text => vec![("text".to_owned(), text)],
    }
}
