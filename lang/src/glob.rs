//! Owns the one glob of ctp: `*` any run of characters, `?` one character, `[…]` a class (`[!…]` negated). For names of
//! containers and functions alike; linear in pattern times text, never exponential.

/// Whether a text has a character with a meaning in globs.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a glob matches a whole text. A `[` without its `]` is a literal `[`.
pub fn matches_glob(glob: &str, text: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut g, mut t) = (0, 0);
    // Where to go on after the last `*`: the glob behind it, and the text it has swallowed up to.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match (glob.get(g), text.get(t)) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((g + 1, t));
                g += 1;
                continue;
            }
            (Some(_), Some(&c)) => one(&glob, g, c),
            (None, Some(_)) | (Some(_), None) => None,
        };
        match (step, &mut retry) {
            (Some(next), _) => {
                g = next;
                t += 1;
            }
            (None, Some((behind, swallowed))) if *swallowed < text.len() => {
                *swallowed += 1;
                g = *behind;
                t = *swallowed;
            }
            (None, _) => return false,
        }
    }
}

/// Matches one character at `g` of the glob: where the glob goes on, or `None`.
fn one(glob: &[char], g: usize, c: char) -> Option<usize> {
    match glob.get(g)? {
        '?' => Some(g + 1),
        '[' => match class(glob, g) {
            Some((set, negated, next)) => (in_class(set, c) != negated).then_some(next),
            None => (c == '[').then_some(g + 1),
        },
        &literal => (literal == c).then_some(g + 1),
    }
}

/// The members of the class that opens at `g`, whether it is negated, and where the glob goes on.
fn class(glob: &[char], g: usize) -> Option<(&[char], bool, usize)> {
    let negated = matches!(glob.get(g + 1), Some('!' | '^'));
    let start = g + 1 + usize::from(negated);
    // A `]` right behind the opening is a member.
    let end = (start + 1..glob.len()).find(|&i| glob.get(i) == Some(&']'))?;
    Some((glob.get(start..end)?, negated, end + 1))
}

fn in_class(set: &[char], c: char) -> bool {
    let mut rest = set;
    loop {
        match rest {
            [] => return false,
            [low, '-', high, tail @ ..] => {
                if (*low..=*high).contains(&c) {
                    return true;
                }
                rest = tail;
            }
            [one, tail @ ..] => {
                if *one == c {
                    return true;
                }
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_glob, matches_glob};

    #[test]
    fn globs_match_as_a_shell_does() {
        // Each row as bash's `[[ TEXT == GLOB ]]` answers.
        for (glob, text, answer) in [
            ("web-*", "web-1", true),
            ("web-*", "web", false),
            ("*", "", true),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("[x", "[x", true),
        ] {
            assert_eq!(matches_glob(glob, text), answer, "{glob} on {text}");
        }
        assert!(!is_glob("main.(Server).Serve"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let text = "a".repeat(5_000);
        assert!(!matches_glob(&"*a".repeat(50).replace("a*", "aa*").repeat(2), &(text + "b")));
    }
}
