//! Owns names: demangling, the forms under which a function may be asked for, globs, and which names are alike.

use super::limits;

/// The forms of a mangled name.
pub(super) struct Demangled {
    /// With parameters where the scheme has them: `ns::Class::get(int)`; Rust without its hash.
    pub(super) full: String,
    /// Without parameters: `ns::Class::get`.
    pub(super) plain: String,
}

impl Demangled {
    /// Whether `name` is one of the forms.
    pub(super) fn is(&self, name: &str) -> bool {
        let full = &self.full;
        full == name
            || self.plain == name
            || without_qualifiers(full) == name
            || without_parameters(full) == name
            || is_spelled_otherwise(full, name)
    }

    /// Whether one of the forms matches.
    pub(super) fn matches(&self, glob: &Glob) -> bool {
        let bare = without_qualifiers(&self.full);
        glob.matches(&self.full) || glob.matches(&self.plain) || (bare != self.full && glob.matches(bare))
    }
}

/// A member function's name without what stands behind its parameters: `get(int) const` is `get(int)`, too.
fn without_qualifiers(full: &str) -> &str {
    let mut name = full;
    while let Some(shorter) = [" const", " volatile", " &&", " &"].iter().find_map(|word| name.strip_suffix(word)) {
        name = shorter;
    }
    name
}

/// A function's name without its parameters: `Op::operator()` of `Op::operator()(int) const`. Not all brackets hold some:
/// those of `(anonymous namespace)`, `operator()`, `{lambda(int)#1}` and Go's `main.(*T).get` belong to the name.
pub(crate) fn without_parameters(full: &str) -> &str {
    let name = without_qualifiers(full);
    let mut depth = 0;
    let open = name.bytes().enumerate().rev().find(|(_, byte)| {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        depth <= 0
    });
    let before = open.filter(|(at, _)| at + 1 < name.len()).and_then(|(at, _)| name.get(..at)).unwrap_or_default();
    let is_operator = before == "operator" || before.ends_with("::operator");
    let holds_none = before.is_empty() || before.ends_with("::") || before.ends_with('.') || is_operator;
    if holds_none { name } else { before }
}

/// The last part of a qualified name without parameters, as the name in DWARF begins, which may have template arguments or
/// generics behind it (`min::<usize>` is `min<usize>` there, `<usize as Ord>::max` is `max<usize>`); `None` where compilers
/// write that in several ways: conversions, operators that are templates.
pub(super) fn last_part(name: &str) -> Option<&str> {
    let operator = name.rfind("::operator").map(|at| at + 2).or_else(|| name.starts_with("operator").then_some(0));
    let is_operator =
        |part: &&str| !part.starts_with("operator_") && !part.chars().nth(8).is_some_and(char::is_alphanumeric);
    if let Some(part) = operator.and_then(|at| name.get(at..)).filter(is_operator) {
        let rest = part.strip_prefix("operator").unwrap_or_default();
        let known = matches!(rest, " new" | " delete" | " new[]" | " delete[]");
        return (known || !rest.contains(|c: char| c.is_alphanumeric() || c == ' ')).then_some(part);
    }
    let mut depth = 0_usize;
    let (mut begin, mut before) = (0, '\0');
    for (at, c) in name.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if before == '-' => {}
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ':' if before == ':' && depth == 0 && !name.get(at + 1..).is_some_and(|rest| rest.starts_with('<')) => {
                begin = at + 1
            }
            _ => {}
        }
        before = c;
    }
    // Tags of an ABI are in the linkage name alone.
    let part = name.get(begin..)?;
    let end = ["::<", "<", "[abi:"].iter().filter_map(|mark| part.find(mark)).min().unwrap_or(part.len());
    part.get(..end).filter(|part| !part.is_empty())
}

/// Whether two names have the same parameters, written as a demangler does (`shop::Item const&`, `unsigned long`) and as
/// sources and debug info do (`const shop::Item &`, `long unsigned int`).
fn is_spelled_otherwise(full: &str, name: &str) -> bool {
    let (full, name) = (without_qualifiers(full), without_qualifiers(name));
    let before = without_parameters(full);
    let inner = |text: &str| Some(parameters(text.strip_prefix(before)?.strip_prefix('(')?.strip_suffix(')')?));
    before != full && inner(name).is_some_and(|named| Some(named) == inner(full))
}

/// A list of parameters, each in one form.
fn parameters(list: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let outermost = |c: char| {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    list.split(outermost).map(parameter).collect()
}

/// A parameter's type without the words that change nothing: what stands before its first `*`, `&`, `(` or `[` outside of
/// template arguments with `const` and `volatile` behind it, numbers by one of their names, no other spaces.
fn parameter(text: &str) -> String {
    let mut depth = 0_usize;
    let end = text.find(|c: char| {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(c, '*' | '&' | '(' | '[')
    });
    let (base, rest) = text.split_at(end.unwrap_or(text.len()));
    let (qualifiers, words): (Vec<&str>, Vec<&str>) =
        base.split_whitespace().partition(|word| matches!(*word, "const" | "volatile"));
    let is_number = |word: &&str| matches!(*word, "signed" | "unsigned" | "short" | "long" | "int" | "char" | "double");
    let mut one = if !words.is_empty() && words.iter().all(is_number) {
        let has = |word: &str| words.contains(&word);
        let longs = words.iter().filter(|word| **word == "long").count();
        let size = match (has("char"), has("short"), has("double"), longs) {
            (true, _, _, _) => "char",
            (_, true, _, _) => "short",
            (_, _, true, 0) => "double",
            (_, _, true, _) => "long double",
            (_, _, _, 0) => "int",
            (_, _, _, 1) => "long",
            (_, _, _, _) => "long long",
        };
        match (has("unsigned"), has("signed") && size == "char") {
            (true, _) => format!("unsigned {size}"),
            (_, true) => "signed char".to_owned(),
            (_, _) => size.to_owned(),
        }
    } else {
        words.concat()
    };
    // Of what is passed itself they are no part of the function's type.
    let mut rest = rest.trim_end();
    while let Some(shorter) = ["const", "volatile"].iter().find_map(|word| rest.strip_suffix(word)) {
        rest = shorter.trim_end();
    }
    for word in ["const", "volatile"] {
        if qualifiers.contains(&word) && !rest.is_empty() {
            one.push(' ');
            one.push_str(word);
        }
    }
    one.extend(rest.chars().filter(|c| !c.is_whitespace()));
    one
}

/// Longest mangled name that is demangled; longer ones are shown as they are.
const MAX_MANGLED: usize = 4_096;
/// Longest demangled name: a short mangled name can stand for an exponentially long one.
const MAX_DEMANGLED: usize = 16_384;
/// Nesting that the C++ demangler follows.
const MAX_NESTING: u32 = 96;

/// Demangles a Rust or C++ linkage name; `None` where it is neither.
pub(super) fn demangle(linkage: &str) -> Option<Demangled> {
    if linkage.len() > MAX_MANGLED || !(linkage.starts_with("_Z") || linkage.starts_with("_R")) {
        return None;
    }
    if let Ok(name) = rustc_demangle::try_demangle(linkage) {
        let full = bounded(format_args!("{name:#}"))?;
        return Some(Demangled { plain: full.clone(), full });
    }
    let parse = cpp_demangle::ParseOptions::default().recursion_limit(MAX_NESTING);
    let symbol = cpp_demangle::Symbol::new_with_options(linkage, &parse).ok()?;
    let options = cpp_demangle::DemangleOptions::new().recursion_limit(MAX_NESTING).no_return_type();
    let mut full = Bounded::default();
    symbol.structured_demangle(&mut full, &options).ok()?;
    let mut plain = Bounded::default();
    symbol.structured_demangle(&mut plain, &options.no_params()).ok()?;
    Some(Demangled { full: literal_operator(full.text), plain: literal_operator(plain.text) })
}

/// A literal's operator as sources and other demanglers write it: `ns::operator"" _x` where the demangler has
/// `ns::operator_x::operator ""`.
fn literal_operator(name: String) -> String {
    let Some(at) = name.find("::operator \"\"") else { return name };
    let (before, rest) = name.split_at(at);
    let rest = rest.strip_prefix("::operator \"\"").unwrap_or_default();
    match before.rfind("operator").and_then(|at| before.split_at_checked(at)) {
        Some((scope, operator)) => {
            format!("{scope}operator\"\" {}{rest}", operator.strip_prefix("operator").unwrap_or_default())
        }
        None => name,
    }
}

/// Text that refuses to grow over [`MAX_DEMANGLED`].
#[derive(Default)]
struct Bounded {
    text: String,
}

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        if self.text.len() + more.len() > MAX_DEMANGLED {
            return Err(std::fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}

fn bounded(text: std::fmt::Arguments<'_>) -> Option<String> {
    let mut out = Bounded::default();
    std::fmt::write(&mut out, text).ok().map(|()| out.text)
}

/// A pattern of `* ? […]` (`[!…]` and `[^…]` negate, `a-z` is a range); everything else stands for itself.
pub(super) struct Glob {
    parts: Vec<Part>,
}

enum Part {
    Char(char),
    Any,
    Star,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// The pattern; `None` where the text holds no wildcard and so only means itself.
    pub(super) fn new(pattern: &str) -> Option<Glob> {
        let chars: Vec<char> = pattern.chars().collect();
        let mut parts = Vec::new();
        let mut at = 0;
        let mut wild = false;
        while let Some(&c) = chars.get(at) {
            at += 1;
            parts.push(match c {
                '*' => Part::Star,
                '?' => Part::Any,
                '[' => match set(&chars, at) {
                    Some((part, next)) => {
                        at = next;
                        part
                    }
                    None => Part::Char('['),
                },
                other => Part::Char(other),
            });
            wild |= !matches!(parts.last(), Some(Part::Char(_)));
        }
        wild.then_some(Glob { parts })
    }

    /// Whether the whole of `text` matches. Takes at most pattern × text steps.
    pub(super) fn matches(&self, text: &str) -> bool {
        // On a mismatch only the latest star is tried one character further: earlier ones cannot do better.
        let (mut part, mut rest) = (0, text.chars());
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let mut ahead = rest.clone();
            let next = ahead.next();
            let fits = match (self.parts.get(part), next) {
                (None, None) => return true,
                (Some(Part::Star), _) => {
                    part += 1;
                    retry = Some((part, rest.clone()));
                    continue;
                }
                (Some(Part::Any), Some(_)) => true,
                (Some(Part::Char(wanted)), Some(c)) => *wanted == c,
                (Some(Part::Set { negated, ranges }), Some(c)) => {
                    ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
            if fits {
                part += 1;
                rest = ahead;
                continue;
            }
            let Some((after, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            part = *after;
            rest = from.clone();
        }
    }
}

fn set(chars: &[char], start: usize) -> Option<(Part, usize)> {
    let mut at = start;
    let negated = matches!(chars.get(at), Some('!' | '^'));
    if negated {
        at += 1;
    }
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let c = *chars.get(at)?;
        if c == ']' && at > first {
            return Some((Part::Set { negated, ranges }, at + 1));
        }
        match (chars.get(at + 1), chars.get(at + 2)) {
            (Some('-'), Some(&high)) if high != ']' => {
                ranges.push((c, high));
                at += 3;
            }
            _ => {
                ranges.push((c, c));
                at += 1;
            }
        }
    }
}

/// Names of more bytes are compared with none: the time that takes grows with the square of their length.
const LONGEST_COMPARED: usize = 512;

/// Collects the names most like one that was not found, in whatever order they come.
pub(super) struct Nearest<'n> {
    wanted: &'n str,
    limit: usize,
    seen: usize,
    best: Vec<(f64, String)>,
}

impl<'n> Nearest<'n> {
    pub(super) fn new(wanted: &'n str, limit: usize) -> Nearest<'n> {
        Nearest { wanted, limit, seen: 0, best: Vec::new() }
    }

    /// Considers a name.
    pub(super) fn offer(&mut self, name: &str) {
        self.takes(name);
    }

    /// Considers a name; whether it is among the best so far.
    pub(super) fn takes(&mut self, name: &str) -> bool {
        self.seen += 1;
        let long = name.len().max(self.wanted.len()) > LONGEST_COMPARED;
        if self.seen > limits::MAX_SUGGESTED_FROM || long || self.limit == 0 {
            return false;
        }
        let Some(score) = likeness(self.wanted, name) else { return false };
        // Of names that are as like as each other the first in the alphabet.
        let before = |(other, text): &(f64, String)| (*other, name) > (score, text.as_str());
        if self.best.len() >= self.limit && self.best.last().is_some_and(before) {
            return false;
        }
        if self.best.iter().any(|(_, other)| other == name) {
            return true;
        }
        let at = self.best.partition_point(before);
        self.best.insert(at, (score, name.to_owned()));
        self.best.truncate(self.limit);
        true
    }

    /// The names, best first.
    pub(super) fn names(self) -> Vec<String> {
        self.best.into_iter().map(|(_, name)| name).collect()
    }
}

/// How alike two names are, 0 to 1; `None` where suggesting one for the other would make no sense.
fn likeness(wanted: &str, name: &str) -> Option<f64> {
    // The last part of a path is what people remember; compare with the whole only where a path was written.
    let short = if wanted.contains("::") { name } else { name.rsplit("::").next().unwrap_or(name) };
    let (lower_wanted, lower_short) = (wanted.to_lowercase(), short.to_lowercase());
    let mut score = strsim::normalized_damerau_levenshtein(&lower_wanted, &lower_short);
    let shorter = lower_wanted.len().min(lower_short.len());
    if shorter >= 3 && (lower_short.contains(&lower_wanted) || lower_wanted.contains(&lower_short)) {
        score = score.max(0.6);
    }
    (score >= 0.5).then_some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).expect("has a wildcard").matches(text)
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        assert!(glob("my_*", "my_function"));
        assert!(!glob("my_*", "not_my_function"));
        assert!(glob("*", ""));
        assert!(glob("a*b*c", "a-bb-cc-c"));
        assert!(!glob("a*b*c", "a-bb-cc-"));
        assert!(glob("f?", "f1"));
        assert!(!glob("f?", "f"));
        assert!(glob("f[0-9a]", "f7"));
        assert!(glob("f[!0-9]", "fx"));
        assert!(!glob("f[^0-9]", "f3"));
        assert!(glob("[]]x", "]x"));
        assert!(glob("operator[*", "operator[]"));
    }

    /// What `c++filt` writes, and the same as a source or gcc's debug info has it.
    #[test]
    fn parameters_may_be_spelled_as_in_a_source() {
        for (full, name) in [
            ("shop::price(shop::Item const&)", "shop::price(const shop::Item&)"),
            ("shop::price(shop::Item const&)", "shop::price(const shop::Item &)"),
            ("f(unsigned long, char const*)", "f(long unsigned int,const char *)"),
            ("f(unsigned long, char const*)", "f(unsigned long int, const char*)"),
            ("f(short, long long, unsigned int)", "f(short int, long long int, unsigned)"),
            ("g(std::map<int, std::string> const&, int)", "g(const std::map<int,std::string> &, int)"),
            ("C::get(int) const", "C::get(const int)"),
            ("f(char const*)", "f(const char* const)"),
        ] {
            let demangled = Demangled { full: full.to_owned(), plain: String::new() };
            assert!(demangled.is(name), "{full} {name}");
        }
        for (full, name) in [
            ("f(char const*)", "f(char*)"),
            ("f(char* const*)", "f(char**)"),
            ("f(long)", "f(unsigned long)"),
            ("f(signed char)", "f(char)"),
            ("f(int, int)", "f(int)"),
            ("f(int)", "g(int)"),
            ("f(int)", "f(int"),
            ("f()", "f(int)"),
        ] {
            let demangled = Demangled { full: full.to_owned(), plain: String::new() };
            assert!(!demangled.is(name), "{full} {name}");
        }
    }

    #[test]
    fn only_brackets_that_hold_parameters_are_left_out() {
        for (full, plain) in [
            ("f", "f"),
            ("f()", "f"),
            ("ns::over(std::string const&, void (*)(int))", "ns::over"),
            ("ns::Box<int (char)>::take(long) const", "ns::Box<int (char)>::take"),
            ("ns::(anonymous namespace)::hidden(int)", "ns::(anonymous namespace)::hidden"),
            ("ns::(anonymous namespace)::hidden", "ns::(anonymous namespace)::hidden"),
            ("Op::operator()(int) const", "Op::operator()"),
            ("Op::operator()", "Op::operator()"),
            ("ns::cooperator(int)", "ns::cooperator"),
            ("main::{lambda(int)#1}::operator()(int) const", "main::{lambda(int)#1}::operator()"),
            ("outer(int)::Local::get() const", "outer(int)::Local::get"),
            ("main.(*Server).Handle", "main.(*Server).Handle"),
            ("main.(*Server)", "main.(*Server)"),
            (")", ")"),
            ("f)", "f)"),
            ("", ""),
        ] {
            assert_eq!(without_parameters(full), plain, "{full}");
        }
    }

    #[test]
    fn text_without_wildcards_is_no_glob() {
        assert!(Glob::new("my_function").is_none());
        assert!(Glob::new("operator[").is_none());
    }

    #[test]
    fn many_stars_do_not_hang() {
        let pattern = "*a".repeat(200);
        assert!(!glob(&format!("{pattern}b"), &"a".repeat(5_000)));
    }

    #[test]
    fn demangles_both_languages() {
        // From c++filt and rustfilt.
        let cpp = demangle("_ZN2ns5Class3getEi").expect("C++");
        assert_eq!(cpp.full, "ns::Class::get(int)");
        assert_eq!(cpp.plain, "ns::Class::get");
        // What stands behind the parameters may be left out.
        let constant = demangle("_ZNK2ns5Class3getEi").expect("C++");
        assert_eq!(constant.full, "ns::Class::get(int) const");
        assert!(constant.is("ns::Class::get(int)") && constant.is("ns::Class::get") && constant.is(&constant.full));
        assert!(constant.matches(&Glob::new("ns::*(int)").expect("a pattern")));
        let rust = demangle("_ZN5krate6module1f17h0123456789abcdefE").expect("Rust");
        assert_eq!(rust.full, "krate::module::f");
        assert!(demangle("my_function").is_none());
    }

    #[test]
    fn near_names_come_best_first() {
        let mut nearest = Nearest::new("my_functon", 2);
        for name in ["main", "my_function", "your_function", "my_function", "zebra"] {
            nearest.offer(name);
        }
        assert_eq!(nearest.names(), ["my_function", "your_function"]);
    }
}
