//! Owns when `every` probes run next.

use std::time::{Duration, Instant};

/// Periodic probes, each with the moment it is due.
#[derive(Debug)]
pub(super) struct Timers {
    due: Vec<(Instant, Duration, usize)>,
}

impl Timers {
    /// Timers for (probe, period), all first due one period from `start`.
    pub(super) fn new(start: Instant, periods: impl Iterator<Item = (usize, Duration)>) -> Timers {
        Timers { due: periods.map(|(probe, period)| (start + period, period, probe)).collect() }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.iter().map(|(at, _, _)| *at).min()
    }

    /// The probes that are due, each once however late: what was missed is not made up for.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<usize> {
        let mut probes = Vec::new();
        for (at, period, probe) in &mut self.due {
            if *at <= now {
                probes.push(*probe);
                *at += *period;
                if *at <= now {
                    *at = now + *period;
                }
            }
        }
        probes
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use std::time::{Duration, Instant};

    #[test]
    fn a_late_timer_runs_once_and_keeps_its_pace() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::new(start, [(7, second)].into_iter());
        assert!(timers.take_due(start).is_empty());
        assert_eq!(timers.take_due(start + second), [7]);
        assert_eq!(timers.next(), Some(start + 2 * second));
        assert_eq!(timers.take_due(start + 10 * second), [7]);
        assert!(timers.take_due(start + 10 * second).is_empty());
    }
}
