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

/// Whether a compiler may have let functions of a unit give less than they are declared to, since what uses their results was
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// It optimised nothing, or tells of each function.
    Never,
    /// gcc optimised, and names such functions otherwise.
    ByGcc,
    /// clang, which tells of a function whether it optimised it.
    ByClang,
    /// Nobody tells.
    Unknown,
}

impl Changes {
    /// Those of a unit that says this of who made it.
    pub(super) fn named(name: &str) -> Changes {
        if name.starts_with("GNU ") {
            // All options are recorded, or none (-gno-record-gcc-switches).
            let mut options = name.split(' ').filter(|word| word.starts_with('-')).peekable();
            let recorded = options.peek().is_some();
            let level = options.rfind(|option| option.starts_with("-O"));
            return if recorded && level.is_none_or(|level| level == "-O0") { Changes::Never } else { Changes::ByGcc };
        }
        // LLVM tells of the functions that it changed (`DW_CC_nocall`) from 18 on; rustc has that since 1.78.
        if let Some((_, version)) = name.split_once("rustc version ") {
            let mut numbers = version.split(['.', '-', ' ']).map_while(|number| number.parse::<u32>().ok());
            let version = (numbers.next(), numbers.next());
            return if version >= (Some(1), Some(78)) { Changes::Never } else { Changes::Unknown };
        }
        if name.contains("clang") { Changes::ByClang } else { Changes::Unknown }
    }
}
