//! Owns aggregates: what `<<<` keeps of its values, in which bucket of which histogram a value counts, and what is
//! asked of them. Draws nothing ([`crate::value`] does) and stores nothing.

use crate::ir::{Linear, StatOp, StatsShape};

/// How many buckets the histogram of powers of two has: 0, and 64 on either side of it (the least number has a power of
/// its own).
pub const LOG_BUCKETS: usize = 129;
/// The most buckets of a linear histogram, those below and above it included.
pub const MOST_LINEAR_BUCKETS: u64 = 1024;

/// An aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stats {
    /// How many values.
    pub count: u64,
    /// Their sum, wrapping.
    pub sum: i64,
    /// The least; meaningless where `count` is 0.
    pub min: i64,
    /// The greatest; meaningless where `count` is 0.
    pub max: i64,
    /// The histogram of powers of two, [`LOG_BUCKETS`] long, or empty where none is kept.
    pub log: Vec<u64>,
    /// The linear histograms, in the order of [`StatsShape::linear`].
    pub linear: Vec<Vec<u64>>,
}

impl Stats {
    /// An aggregate of nothing.
    pub fn new(shape: &StatsShape) -> Stats {
        Stats {
            count: 0,
            sum: 0,
            min: i64::MAX,
            max: i64::MIN,
            log: if shape.log { vec![0; LOG_BUCKETS] } else { Vec::new() },
            linear: shape.linear.iter().map(|linear| vec![0; linear.buckets()]).collect(),
        }
    }

    /// Takes a value in.
    pub fn add(&mut self, shape: &StatsShape, value: i64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if let Some(bucket) = self.log.get_mut(log_bucket(value)) {
            *bucket += 1;
        }
        for (buckets, linear) in self.linear.iter_mut().zip(&shape.linear) {
            if let Some(bucket) = buckets.get_mut(linear.bucket(value)) {
                *bucket += 1;
            }
        }
    }

    /// Takes in what another aggregate of the same shape holds (another cpu's part).
    pub fn merge(&mut self, other: &Stats) {
        if other.count == 0 {
            return;
        }
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        let lists = self.linear.iter_mut().zip(&other.linear).chain([(&mut self.log, &other.log)]);
        for (own, other) in lists {
            own.iter_mut().zip(other).for_each(|(own, other)| *own = own.wrapping_add(*other));
        }
    }

    /// What is asked; `None` where there is nothing to answer from (the least of no values).
    pub fn ask(&self, op: StatOp) -> Option<i64> {
        match op {
            StatOp::Count => Some(self.count.cast_signed()),
            StatOp::Sum => Some(self.sum),
            StatOp::Min | StatOp::Max | StatOp::Avg | StatOp::Quantile(_) if self.count == 0 => None,
            StatOp::Min => Some(self.min),
            StatOp::Max => Some(self.max),
            StatOp::Avg => self.sum.checked_div(self.count.cast_signed()),
            StatOp::Quantile(hundredths) => self.quantile(hundredths),
        }
    }

    /// The value below which that many hundredths of the values lie: the bucket is exact, the place in it is
    /// interpolated, and no value is below the least or above the greatest.
    fn quantile(&self, hundredths: u8) -> Option<i64> {
        let rank = (u128::from(self.count) * u128::from(hundredths.min(100))).div_ceil(100).max(1);
        let mut below = 0u128;
        for (index, &held) in self.log.iter().enumerate() {
            let held = u128::from(held);
            if held > 0 && below + held >= rank {
                let (low, high) = log_range(index);
                let width = (i128::from(high) - i128::from(low)).unsigned_abs();
                let into = i128::try_from(width * (rank - below) / held).ok()?;
                let value = i64::try_from(i128::from(low) + into).unwrap_or(i64::MAX);
                return Some(value.clamp(self.min, self.max));
            }
            below += held;
        }
        None
    }
}

/// The bucket of a value in the histogram of powers of two: 64 for 0, 65 for 1, 66 for 2 and 3, 67 for 4 to 7; 63 for
/// -1, 62 for -2 and -3.
pub fn log_bucket(value: i64) -> usize {
    let power = (64 - value.unsigned_abs().leading_zeros()) as usize;
    if value < 0 { 64 - power } else { 64 + power }
}

/// The least and the greatest value of a bucket of [`log_bucket`].
pub fn log_range(bucket: usize) -> (i64, i64) {
    let power = bucket.abs_diff(64).min(64);
    if power == 0 {
        return (0, 0);
    }
    let low = 1u64 << (power - 1);
    let high = low - 1 + low;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    if bucket > 64 {
        (signed(low), signed(high))
    } else {
        (i64::try_from(-i128::from(high)).unwrap_or(i64::MIN), i64::try_from(-i128::from(low)).unwrap_or(i64::MIN))
    }
}

impl Linear {
    /// How many buckets there are, those below and above included.
    pub fn buckets(&self) -> usize {
        let inner = (i128::from(self.high) - i128::from(self.low)) / i128::from(self.step.max(1)) + 1;
        usize::try_from(inner.clamp(1, i128::from(MOST_LINEAR_BUCKETS - 2))).unwrap_or(1) + 2
    }

    /// The bucket of a value: 0 below `low`, the last above `high`.
    pub fn bucket(&self, value: i64) -> usize {
        let last = self.buckets() - 1;
        if value < self.low {
            return 0;
        }
        let index = (i128::from(value) - i128::from(self.low)) / i128::from(self.step.max(1)) + 1;
        usize::try_from(index).unwrap_or(last).min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_the_range_of_its_bucket() {
        for value in [0, 1, 2, 3, 4, 7, 8, 1023, 1024, i64::MAX, -1, -2, -3, -4, -1024, i64::MIN + 1, i64::MIN] {
            let (low, high) = log_range(log_bucket(value));
            assert!(low <= value && value <= high, "{value}: {low}..{high}");
        }
    }

    #[test]
    fn linear_buckets_hold_what_systemtap_puts_there() {
        // As the SystemTap language reference says of @hist_linear(v, 0, 100, 10): values below 0 and above 100 apart.
        let linear = Linear { low: 0, high: 100, step: 10 };
        assert_eq!(linear.buckets(), 13);
        assert_eq!([-1, 0, 9, 10, 100, 109, 110, 5000].map(|value| linear.bucket(value)), [0, 1, 1, 2, 11, 11, 12, 12]);
    }

    #[test]
    fn quantiles_stay_within_their_bucket_and_the_values_seen() {
        let shape = StatsShape { log: true, linear: Vec::new() };
        let mut stats = Stats::new(&shape);
        (1..=1000).for_each(|value| stats.add(&shape, value));
        // The true quantiles are 500, 900 and 990; their buckets are 256..511 and 512..1023.
        assert!((256..=511).contains(&stats.ask(StatOp::Quantile(50)).unwrap_or(0)));
        assert!((512..=1000).contains(&stats.ask(StatOp::Quantile(90)).unwrap_or(0)));
        assert!((512..=1000).contains(&stats.ask(StatOp::Quantile(99)).unwrap_or(0)));
        assert_eq!(Stats::new(&shape).ask(StatOp::Avg), None);
    }
}
