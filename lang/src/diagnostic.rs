//! Owns the one shape every message about a program has. Drawing it belongs to `render`.

use crate::codes::Code;
use crate::source::Span;

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The program runs, but probably not as meant.
    Warning,
    /// Nothing is attached.
    Error,
}

/// A place in the source with what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is said beside the place; may be empty.
    pub text: String,
}

/// One message: code, place, cause and way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The code, which also fixes the severity.
    pub code: Code,
    /// One line: what is wrong, without a full stop.
    pub message: String,
    /// The place that is wrong.
    pub primary: Label,
    /// Other places that explain it.
    pub secondary: Vec<Label>,
    /// Facts that explain the message (where was searched, what exists).
    pub notes: Vec<String>,
    /// Ways out: what to write instead, what to run.
    pub helps: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic with a place and no label text.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            message: message.into(),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// Says `text` beside the primary place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Diagnostic {
        self.primary.text = text.into();
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.helps.push(text.into());
        self
    }

    /// Adds `did you mean …?` where there are near names; nothing where there are none.
    #[must_use]
    pub fn nearest(self, names: &[String]) -> Diagnostic {
        match names {
            [] => self,
            [one] => self.help(format!("did you mean `{one}`?")),
            several => {
                let list = several.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
                self.help(format!("did you mean one of {list}?"))
            }
        }
    }

    /// The severity of its code.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether it stops the run.
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

/// Names of more bytes are compared with none: the time that takes grows with the square of their length.
const LONGEST_NAME: usize = 256;

/// The candidates nearest to `wanted`, best first, at most `limit`: those within a third of its length by
/// Damerau–Levenshtein distance, or that contain it or are contained in it (3 characters and more).
pub fn nearest_names<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<String> {
    if wanted.len() > LONGEST_NAME {
        return Vec::new();
    }
    let wanted_lower = wanted.to_lowercase();
    let wanted_chars = wanted.chars().count();
    // One letter turned into another is a typo in a word, but another name in a name of one or two letters.
    let allowed = (wanted_chars / 3).max(usize::from(wanted_chars > 2));
    let mut scored: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| *candidate != wanted && candidate.len() <= LONGEST_NAME)
        .filter_map(|candidate| {
            let chars = candidate.chars().count();
            // A name of very different length is near only if one contains the other.
            let lower = candidate.to_lowercase();
            let within =
                wanted_chars >= 3 && chars >= 3 && (lower.contains(&wanted_lower) || wanted_lower.contains(&lower));
            if chars.abs_diff(wanted_chars) > allowed {
                return within.then_some((allowed + chars.abs_diff(wanted_chars), candidate));
            }
            let distance = strsim::damerau_levenshtein(&wanted_lower, &lower);
            (distance <= allowed || within).then_some((distance, candidate))
        })
        .collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(limit).map(|(_, name)| name.to_owned()).collect()
}
