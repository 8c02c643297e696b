//! Owns the names of a script: the user's where they may stand, otherwise new ones. No two things share a name.

use std::collections::BTreeSet;

/// Words that SystemTap's parser takes for itself (its manual, and `parse.cxx` of 4.8 and 5.x).
const KEYWORDS: &[&str] = &[
    "probe",
    "global",
    "private",
    "function",
    "if",
    "else",
    "for",
    "foreach",
    "in",
    "limit",
    "return",
    "delete",
    "while",
    "break",
    "continue",
    "next",
    "string",
    "long",
    "try",
    "catch",
    "print",
    "println",
    "printf",
    "printd",
    "printdln",
    "sprint",
    "sprintln",
    "sprintf",
    "sprintd",
    "sprintdln",
];

/// The names taken so far. Functions, globals and locals share them: SystemTap would keep functions apart, readers
/// would not.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// A name of the user's: as written, unless SystemTap or this module uses it (`ctp_…`, `want_…`, `__…`).
    pub(super) fn user(&mut self, wanted: &str) -> String {
        let reserved = KEYWORDS.contains(&wanted)
            || ["ctp_", "want_", "__"].iter().any(|prefix| wanted.starts_with(prefix))
            || !super::quote::is_identifier(wanted);
        if reserved {
            return self.fresh(&format!("user_{}", ascii(wanted)));
        }
        self.fresh(wanted)
    }

    /// A name of ours, from words of any origin: `ctp_` and what of `hint` can stand in a name.
    pub(super) fn own(&mut self, hint: &str) -> String {
        self.fresh(&format!("ctp_{}", ascii(hint)))
    }

    fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2u32;
        while !self.taken.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        name
    }
}

/// At most 40 letters, digits and underscores of a text.
fn ascii(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_user_stay_unless_they_mean_something() {
        let mut names = Names::default();
        assert_eq!(names.user("calls"), "calls");
        assert_eq!(names.user("next"), "user_next");
        assert_eq!(names.user("ctp_cg"), "user_ctp_cg");
        assert_eq!(names.own("arg"), "ctp_arg");
        assert_eq!(names.own("arg"), "ctp_arg_2");
        assert_eq!(names.own("Größe*/"), "ctp_Gr__e__");
    }
}
