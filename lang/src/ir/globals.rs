//! Owns what outlives a handler: globals, what they hold, and what an aggregate keeps.

use super::{Constant, Ty};
use crate::source::Span;

/// A global of the program.
#[derive(Clone, Debug)]
pub struct Global {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Scalar or map.
    pub kind: GlobalKind,
    /// Whether it is printed when tracing ends because nothing reads it.
    pub printed_at_end: bool,
}

/// What a global holds.
#[derive(Clone, Debug, PartialEq)]
pub enum GlobalKind {
    /// One value.
    Scalar {
        /// Its type.
        ty: Ty,
        /// What it holds at first.
        initial: Constant,
    },
    /// A map from tuples to values.
    Map {
        /// Types of the key's parts, at least one.
        keys: Vec<Ty>,
        /// Type of the values.
        value: Ty,
        /// How many entries it may hold, where declared (`--map-size` otherwise).
        size: Option<u32>,
    },
    /// An aggregate, or a map of aggregates: what `<<<` feeds.
    Stats {
        /// Types of the key's parts; none for one aggregate.
        keys: Vec<Ty>,
        /// What is kept besides count, sum, least and greatest.
        shape: StatsShape,
        /// How many entries it may hold, where declared (`--map-size` otherwise).
        size: Option<u32>,
    },
}

/// What an aggregate keeps besides count, sum, least and greatest: what the program asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatsShape {
    /// Whether it keeps a histogram of powers of two (`@hist_log`, quantiles).
    pub log: bool,
    /// Which linear histograms it keeps, each once.
    pub linear: Vec<Linear>,
}

/// The buckets of `@hist_linear(x, low, high, step)`: values below `low`, then one bucket for each `step` from `low` on
/// up to `high` (included, as in SystemTap), then values above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Where the first bucket begins.
    pub low: i64,
    /// Where the last bucket lies.
    pub high: i64,
    /// Width of a bucket, at least 1.
    pub step: i64,
}

/// What is asked of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatOp {
    /// `@count`: 0 where there is none.
    Count,
    /// `@sum`: 0 where there is none.
    Sum,
    /// `@min`; faults where there is none.
    Min,
    /// `@max`; faults where there is none.
    Max,
    /// `@avg`, the sum divided by the count, towards 0; faults where there is none.
    Avg,
    /// `@p50`, `@p90`, `@p99` (hundredths), derived from the histogram of powers of two; faults where there is none.
    Quantile(u8),
}

impl std::fmt::Display for StatOp {
    /// As it is written: `@avg`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StatOp::Count => out.write_str("@count"),
            StatOp::Sum => out.write_str("@sum"),
            StatOp::Min => out.write_str("@min"),
            StatOp::Max => out.write_str("@max"),
            StatOp::Avg => out.write_str("@avg"),
            StatOp::Quantile(hundredths) => write!(out, "@p{hundredths}"),
        }
    }
}
