//! Owns the one table of codes: every message of ctp, of the language and of the runner, has one of these.
//! Each code has a page `docs/errors/CODE.md`.

use crate::diagnostic::Severity;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $title:literal,)+) => {
        /// A code: `E00` syntax, `E01` names and targets, `E02` types, `E03` what an engine cannot do, `E04` the
        /// system, `W` warnings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $title] $(#[$doc])* $code,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$code,)+];

            /// The code as it is written: `E0101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$code => stringify!($code),)+ }
            }

            /// What the code means, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title,)+ }
            }

            /// Its page, in Markdown: what it means, an example, the cure. `docs/errors/CODE.md`, as ctp was built.
            pub fn page(self) -> &'static str {
                match self {
                    $(Code::$code => include_str!(concat!("../../docs/errors/", stringify!($code), ".md")),)+
                }
            }
        }
    };
}

codes! {
    E0001 = "unexpected text",
    E0002 = "unterminated string",
    E0003 = "unterminated comment",
    E0004 = "number out of range or malformed",
    E0005 = "nested too deeply",
    E0006 = "statement without effect",
    E0007 = "invalid escape in a string",
    E0008 = "not a probe point",
    E0009 = "program too large or not text",
    E0010 = "comment for ctp that says nothing",

    E0101 = "no such container",
    E0102 = "container name is ambiguous",
    E0103 = "no such file in the container",
    E0104 = "no such function",
    E0105 = "no such parameter or variable",
    E0106 = "no such name",
    E0107 = "name defined twice",
    E0108 = "unknown function of the language",
    E0109 = "the container's file cannot be read as a program",
    E0110 = "no debug info",
    E0111 = "containers cannot be listed",
    E0112 = "no place to probe",
    E0113 = "no such line or address",
    E0114 = "no such mark",
    E0115 = "imported file cannot be read",
    E0120 = "no such member",
    E0121 = "no such type or enumerator",

    E0201 = "wrong type",
    E0202 = "format does not fit its arguments",
    E0203 = "wrong number of arguments",
    E0204 = "text wanted, address given",
    E0205 = "value has no location at this address",
    E0206 = "not allowed in this kind of probe",
    E0207 = "conflicting types of a global",
    E0208 = "division by zero",
    E0209 = "not a constant",
    E0210 = "not assignable",
    E0211 = "defined by itself",
    E0220 = "index outside of the array",

    E0301 = "not yet supported by this version",
    E0302 = "not supported by this engine",
    E0303 = "program too large for the kernel's verifier",

    E0401 = "missing privilege",
    E0402 = "the kernel lacks a feature",
    E0403 = "the kernel refused the program",
    E0404 = "cannot attach",
    E0405 = "cannot read or write a file",
    E0406 = "the target went away",
    E0407 = "the environment is unusable",

    W0001 = "global never used",
    W0002 = "condition is always the same",
    W0003 = "value is not available at some sites",
    W0004 = "function was inlined",
    W0005 = "one call may hit several times",
    W0006 = "calls of inlined code may be missed",
    W0007 = "the value on entry is meant",
    W0008 = "a function is left out",
    W0011 = "never reached",
    W0012 = "never used",
    W0013 = "assigned and never read",
    W0014 = "update may lose others",
}

/// What a code is about: its first digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `E00`
    Syntax,
    /// `E01`
    Names,
    /// `E02`
    Types,
    /// `E03`
    Engines,
    /// `E04`
    System,
    /// `W`
    Warnings,
}

impl Group {
    /// What its codes have in common, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Group::Syntax => "E00: the text cannot be read",
            Group::Names => "E01: names and targets",
            Group::Types => "E02: types",
            Group::Engines => "E03: what an engine cannot do",
            Group::System => "E04: the system",
            Group::Warnings => "W: warnings; the program runs, but probably not as meant",
        }
    }
}

impl Code {
    /// The group of the code.
    pub fn group(self) -> Group {
        match self.as_str().get(..3) {
            Some("E00") => Group::Syntax,
            Some("E01") => Group::Names,
            Some("E02") => Group::Types,
            Some("E03") => Group::Engines,
            Some("E04") => Group::System,
            Some(_) | None => Group::Warnings,
        }
    }

    /// Whether a message of this code stops the run.
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// The code written `text`, in any case.
    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
