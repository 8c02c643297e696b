//! Owns which compiler made a unit, as far as what it writes of its code differs from what others write.

/// Who made a unit (`DW_AT_producer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Producer {
    /// `GNU C17 12.2.0 -O2 …`.
    Gcc,
    /// `Go cmd/compile go1.19.8; regabi`.
    Go {
        /// Whether by its register convention, with the goroutine in r14.
        registers: bool,
    },
    /// clang, rustc and all others.
    Other,
}

impl Producer {
    /// That of a unit that says this of itself.
    pub(super) fn named(name: &str) -> Producer {
        if name.starts_with("GNU ") {
            Producer::Gcc
        } else if name.starts_with("Go ") {
            Producer::Go { registers: name.contains("regabi") }
        } else {
            Producer::Other
        }
    }
}
