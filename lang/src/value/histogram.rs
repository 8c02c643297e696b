//! Owns how histograms are drawn: as SystemTap draws `@hist_log` and `@hist_linear` (its runtime/stat-common.c, with
//! HIST_WIDTH 50 and HIST_ELISION 2).

use std::io::Write as _;

use super::{Value, write_key};
use crate::ir::Linear;
use crate::stats::{Stats, log_range};

/// Characters of the longest bar.
const WIDTH: u64 = 50;
/// An empty bucket is left out where those as near as this are empty too.
const ELISION: usize = 2;
/// What stands where a histogram has nothing to draw.
pub const NO_VALUES: &str = "<no values>";

/// One bucket of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The least value in it; `None` for the one below a linear histogram.
    pub low: Option<i64>,
    /// The greatest value in it; `None` for the one above a linear histogram.
    pub high: Option<i64>,
    /// How many values it holds.
    pub count: u64,
}

/// The buckets of a histogram of an aggregate, from the lowest on; empty where the aggregate does not keep it.
pub fn buckets(stats: &Stats, linear: Option<(usize, Linear)>) -> Vec<Bucket> {
    match linear {
        None => {
            // SystemTap has 128: the last one here is never used.
            let counts = stats.log.iter().take(128).enumerate();
            counts
                .map(|(index, count)| (log_range(index), *count))
                .map(|((low, high), count)| Bucket { low: Some(low), high: Some(high), count })
                .collect()
        }
        Some((which, linear)) => {
            let counts = stats.linear.get(which).map(Vec::as_slice).unwrap_or_default();
            let last = counts.len().saturating_sub(1);
            let counted = counts.iter().enumerate();
            counted
                .map(|(index, count)| Bucket {
                    low: (index > 0).then(|| edge(linear, index)),
                    high: (index < last).then(|| edge(linear, index + 1).saturating_sub(1)),
                    count: *count,
                })
                .collect()
        }
    }
}

/// Where a bucket of a linear histogram begins.
fn edge(linear: Linear, index: usize) -> i64 {
    let steps = i64::try_from(index).unwrap_or(i64::MAX).saturating_sub(1);
    linear.low.saturating_add(steps.saturating_mul(linear.step))
}

/// Draws the histograms of aggregates; one that has a key with it as heading.
pub(super) fn write(out: &mut Vec<u8>, name: &str, table: &[(Vec<Value>, Value)], linear: Option<(usize, Linear)>) {
    let mut drawn = false;
    for (key, value) in table {
        let Value::Stats(stats) = value else { continue };
        if !key.is_empty() {
            write_key(out, name, key);
            out.extend_from_slice(b":\n");
        }
        drawn = true;
        draw(out, &buckets(stats, linear), linear.is_some());
    }
    if !drawn {
        out.extend_from_slice(NO_VALUES.as_bytes());
        out.push(b'\n');
    }
}

/// What stands before a bar: its value, as SystemTap names it.
fn label(buckets: &[Bucket], index: usize, linear: bool) -> String {
    let Some(bucket) = buckets.get(index) else { return String::new() };
    match (bucket.low, bucket.high) {
        (None, Some(high)) => format!("<{}", high.saturating_add(1)),
        (Some(_), None) => {
            // SystemTap names the last bucket by where the one before it begins.
            let before = index.checked_sub(1).and_then(|index| buckets.get(index)).and_then(|bucket| bucket.low);
            format!(">{}", before.unwrap_or(0))
        }
        // Negative powers of two are named by the end that is nearer to 0.
        (Some(low), Some(high)) => if low < 0 && !linear { high } else { low }.to_string(),
        (None, None) => String::new(),
    }
}

fn draw(out: &mut Vec<u8>, buckets: &[Bucket], linear: bool) {
    let held = |index: usize| buckets.get(index).map_or(0, |bucket| bucket.count);
    let filled = |(index, bucket): (usize, &Bucket)| (bucket.count > 0).then_some(index);
    let (Some(first), Some(last)) =
        (buckets.iter().enumerate().find_map(filled), buckets.iter().enumerate().rev().find_map(filled))
    else {
        out.extend_from_slice(NO_VALUES.as_bytes());
        out.push(b'\n');
        return;
    };
    let end = buckets.len() - 1;
    let zero = crate::stats::log_bucket(0);
    // Two empty buckets on either side; those of powers of two do not go below 0 for it.
    let (mut low, mut high) = (first, last);
    for _ in 0..2 {
        if low > 0 && (linear || low != zero) {
            low -= 1;
        }
        if high < end {
            high += 1;
        }
    }
    if linear {
        // Those below and above only where they hold something.
        low += usize::from(low == 0 && held(0) == 0);
        high -= usize::from(high == end && held(end) == 0);
    }
    let greatest = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    let scale = greatest.div_ceil(WIDTH).max(1);
    let count_width = greatest.to_string().len();
    let width = value_width(buckets, low, high, linear);
    let bar = usize::try_from(WIDTH).unwrap_or(0);
    // Writing to memory does not fail.
    let _ = writeln!(out, "{:>width$} |{} count", "value", "-".repeat(bar));
    let mut eliding = false;
    for index in low..=high {
        let near = index.saturating_sub(ELISION).max(low)..=(index + ELISION).min(high);
        if near.into_iter().all(|near| held(near) == 0) {
            eliding = true;
            continue;
        }
        if std::mem::take(&mut eliding) {
            let _ = writeln!(out, "{:width$} ~", "");
        }
        let count = held(index);
        let length = usize::try_from(count / scale).unwrap_or(bar).min(bar);
        let rest = bar - length + 1 + count_width;
        let _ = writeln!(out, "{:>width$} |{}{count:>rest$}", label(buckets, index, linear), "@".repeat(length));
    }
    out.push(b'\n');
}

/// How wide the values are, as SystemTap reckons.
fn value_width(buckets: &[Bucket], low: usize, high: usize, linear: bool) -> usize {
    let shown = if linear {
        // The first value, and the one behind the last bucket shown, whether it is named or not.
        let start = buckets.get(1).and_then(|bucket| bucket.low).unwrap_or(0);
        let behind = buckets.get(high).and_then(|bucket| bucket.high).map(|high| high.saturating_add(1));
        let step = buckets.get(1).and_then(|bucket| Some(bucket.high?.saturating_sub(bucket.low?).saturating_add(1)));
        let behind = behind.or_else(|| Some(buckets.get(high)?.low?.saturating_add(step?)));
        let end = buckets.len() - 1;
        let marked = |value: i64, mark: bool| value.to_string().len() + usize::from(mark);
        marked(start, low == 0).max(marked(behind.unwrap_or(0), high == end))
    } else {
        label(buckets, low, false).len().max(label(buckets, high, false).len())
    };
    shown.max("value".len())
}
