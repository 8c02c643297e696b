//! Owns putting the parts of a run's record together. A run whose outputs do not fit into one record writes parts, and
//! only its last record says that it came to its end: what came before is kept until then, and dropped with a run that
//! did not.

use std::collections::HashMap;

use ctp_lang::emit::bpf::Record;
use ctp_lang::ir::ProbeIndex;

use crate::engine::{Event, Printed};

/// The most threads whose parts are kept: more cannot be in the middle of a run for long, unless one is made to wait.
const MOST: usize = 4096;

/// Parts of a run that is not over.
#[derive(Debug)]
struct Open {
    time: u64,
    parts: u32,
    prints: Vec<Printed>,
}

/// Parts of runs that are not over, by thread.
#[derive(Debug, Default)]
pub(super) struct Parts {
    open: HashMap<u32, Open>,
    /// Runs that came to their end but whose parts are not all there, by probe.
    dropped: HashMap<ProbeIndex, u64>,
}

impl Parts {
    /// Takes a record; gives the event that is complete with it.
    pub(super) fn take(&mut self, record: Record) -> Option<Event> {
        let prints = record.prints.into_iter().map(|(print, values)| Printed { print, values }).collect();
        let complete = |prints: Vec<Printed>| Event {
            probe: record.probe,
            container: record.container,
            time: record.time,
            pid: record.pid,
            tid: record.tid,
            nspid: record.nspid,
            cpu: record.cpu,
            prints,
            exit: record.exit,
        };
        // A thread is in one run at a time: what is there of another came to no end.
        let before = if self.open.is_empty() { None } else { self.open.remove(&record.tid) };
        let mut open = match (record.part, before) {
            (0, _) if record.committed => return Some(complete(prints)),
            (0, _) => Open { time: record.time, parts: 0, prints: Vec::new() },
            (part, Some(open)) if open.time == record.time && open.parts == part => open,
            (_, _) => {
                if record.committed {
                    *self.dropped.entry(record.probe).or_default() += 1;
                }
                return None;
            }
        };
        open.prints.extend(prints);
        open.parts += 1;
        if record.committed {
            return Some(complete(open.prints));
        }
        if self.open.len() >= MOST
            && let Some(oldest) = self.open.iter().min_by_key(|(_, open)| open.time).map(|(tid, _)| *tid)
        {
            self.open.remove(&oldest);
        }
        self.open.insert(record.tid, open);
        None
    }

    /// Runs of a probe that the kernel counted as handed over and that are lost.
    pub(super) fn dropped(&self, probe: ProbeIndex) -> u64 {
        self.dropped.get(&probe).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use ctp_lang::emit::bpf::SiteId;
    use ctp_lang::ir::ContainerIndex;
    use ctp_lang::value::Value;

    use super::*;

    fn record(tid: u32, time: u64, part: u32, committed: bool) -> Record {
        Record {
            time,
            site: SiteId(0),
            probe: ProbeIndex(0),
            container: ContainerIndex(0),
            pid: 1,
            tid,
            nspid: None,
            cpu: None,
            prints: vec![(0, vec![Value::Int(i64::from(part))])],
            exit: false,
            committed,
            part,
        }
    }

    #[test]
    fn parts_of_several_threads_come_together_and_those_of_a_run_without_end_are_dropped() {
        let mut parts = Parts::default();
        let mut take = |one| parts.take(one).map(|event| event.prints.len());
        assert_eq!(take(record(1, 10, 0, false)), None);
        assert_eq!(take(record(2, 11, 0, false)), None);
        assert_eq!(take(record(1, 10, 1, false)), None);
        assert_eq!(take(record(1, 10, 2, true)), Some(3));
        // The second thread's run stopped; its next one is whole.
        assert_eq!(take(record(2, 20, 0, true)), Some(1));
        assert_eq!(parts.dropped(ProbeIndex(0)), 0);
        assert_eq!(parts.take(record(2, 30, 1, true)), None);
        assert_eq!(parts.dropped(ProbeIndex(0)), 1);
    }
}
