//! Owns the messages for text that the grammar does not take: what was expected, what was found. Ways out are in `hint`.

use super::{Builder, Grammar, Rule, hint};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use pest::Parser as _;
use pest::error::{Error, ErrorVariant, InputLocation};

/// What kind of text was being parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An item of a file.
    Item,
    /// A statement of a body.
    Statement,
    /// The target of a command.
    Target,
}

/// What a rule adds to "expected …".
enum Expected {
    /// Text the user could write there.
    Text(&'static str),
    /// An operator or what else goes on with an expression: said only where nothing else is expected.
    More(&'static str),
    /// Nothing of use in a message.
    Silent,
}

use Expected::{More, Silent, Text};

impl Builder<'_> {
    /// Parses text that was skipped again by a strict rule and reports what it lacks; nothing where `head`, the part that
    /// the fault lies in, holds a place that has its diagnostic already.
    pub(super) fn explain(&self, rule: Rule, span: Span, head: Span, place: Place) {
        if self.was_reported(head) || self.is_full() {
            return;
        }
        let range = span.range();
        let Some(text) = self.text.get(range.clone()) else { return };
        match Grammar::parse(rule, text) {
            Err(error) => self.fault(&error, range.start, place),
            // The strict rules take less than the recovering ones; if ever not, the text is still no program.
            Ok(_) => self.report(Diagnostic::new(Code::E0001, span, "this text was not understood")),
        }
    }

    /// Reports that the grammar gave up for lack of stack or time.
    pub(super) fn limit(&self, error: &Error<Rule>) {
        let at = self.base.get() + position(error);
        let span = Span::new(self.source, at, at);
        let stack = matches!(&error.variant, ErrorVariant::CustomError { message } if message.contains("stack"));
        self.report(if stack {
            super::too_deep(span)
        } else {
            Diagnostic::new(Code::E0009, span, "this program takes too long to parse")
                .help("split it into smaller items")
        });
    }

    /// Reports one error of the grammar, whose places count from `base`.
    pub(super) fn fault(&self, error: &Error<Rule>, base: usize, place: Place) {
        let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
            self.base.set(base);
            self.limit(error);
            return;
        };
        let at = base + position(error);
        let length = token(self.text.get(at..).unwrap_or("")).len();
        let found = self.found(at);
        let in_point = positives.iter().any(|rule| is_point_rule(*rule));
        let expected = expected(positives);
        let message = if expected.is_empty() {
            format!("unexpected {found}")
        } else {
            format!("expected {expected}, found {found}")
        };
        let code = if in_point && place == Place::Item { Code::E0008 } else { Code::E0001 };
        // The end of a line is shown behind its last character.
        let span = self.trim(Span::new(self.source, at, at + length));
        let span = if length == 0 { self.behind(at) } else { span };
        let fault = hint::Fault {
            place,
            before: self.text.get(base..at).unwrap_or(""),
            rest: self.text.get(at..self.end.get()).unwrap_or(""),
            begins_line: self.operator_begins_line.get(),
            start: Span::new(self.source, base, base),
        };
        self.report(hint::apply(Diagnostic::new(code, span, message), &fault));
    }

    /// The empty place behind the last text before `at`.
    fn behind(&self, at: usize) -> Span {
        let text = self.text.get(..at).unwrap_or("");
        let end = text.trim_end_matches([' ', '\t', '\r']).len();
        Span::new(self.source, end, end)
    }

    /// What stands at `at`, as it is said in a message.
    pub(super) fn found(&self, at: usize) -> String {
        let rest = self.text.get(at..).unwrap_or("").trim_start_matches([' ', '\t', '\r', '\x0c']);
        let word = token(rest);
        match word.chars().next() {
            None if rest.is_empty() => "the end of the file".to_owned(),
            None => "the end of the line".to_owned(),
            Some('"') => "a string".to_owned(),
            Some(_) => {
                let shown: String = word.chars().take(24).collect();
                let more = if shown.len() < word.len() { "…" } else { "" };
                let mut safe = String::new();
                for c in shown.chars() {
                    if c.is_control() { safe.extend(c.escape_unicode()) } else { safe.push(c) }
                }
                format!("`{safe}{more}`")
            }
        }
    }
}

/// The word, number, string or sign that a text begins with; empty at the end of a line.
pub(super) fn token(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t', '\r', '\x0c']);
    let Some(first) = text.chars().next() else { return "" };
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let length = if first == '\n' {
        0
    } else if matches!(first, '$' | '@') {
        text.len() - text.trim_start_matches(first).trim_start_matches(word).len()
    } else if word(first) {
        text.len() - text.trim_start_matches(word).len()
    } else if matches!(first, '"' | '\'') {
        let inside = text.get(1..).unwrap_or("");
        let mut escaped = false;
        let end = inside.find(|c| {
            let ends = !escaped && (c == first || c == '\n');
            escaped = c == '\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |n| n + 2)
    } else {
        let sign = [
            "<<<", "<<=", ">>=", "===", "!==", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "->", "=>", "++", "--",
            "**", "::", ":=", "<>",
        ];
        sign.iter().find(|s| text.starts_with(**s)).map_or(first.len_utf8(), |s| s.len())
    };
    text.get(..length).unwrap_or(text)
}

fn position(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

fn expected(rules: &[Rule]) -> String {
    let mut texts: Vec<&str> = Vec::new();
    let mut more: Vec<&str> = Vec::new();
    for rule in rules {
        match name(*rule) {
            Text(text) if !texts.contains(&text) => texts.push(text),
            More(text) if !more.contains(&text) => more.push(text),
            Text(_) | More(_) | Silent => {}
        }
    }
    if texts.is_empty() {
        texts = more;
    }
    match texts.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn is_point_rule(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::point
            | Rule::begin_point
            | Rule::end_point
            | Rule::every_point
            | Rule::site
            | Rule::who
            | Rule::selector
            | Rule::selector_arguments
            | Rule::place
            | Rule::path
            | Rule::lib
            | Rule::what
            | Rule::fn_what
            | Rule::line_what
            | Rule::mark_what
            | Rule::addr_what
            | Rule::narrow
            | Rule::returns
    )
}

/// How each rule is called in a message.
fn name(rule: Rule) -> Expected {
    match rule {
        Rule::probe | Rule::probe_kw => Text("`probe`"),
        Rule::global | Rule::global_kw => Text("`global`"),
        Rule::constant | Rule::const_kw => Text("`const`"),
        Rule::function | Rule::fn_kw => Text("`fn`"),
        Rule::import | Rule::import_kw => Text("`import`"),
        Rule::file | Rule::strict_item | Rule::broken_item => Text("`probe`, `global`, `const`, `fn` or `import`"),
        Rule::item_close => Text("the end of the line"),
        Rule::point => Text("a probe point"),
        Rule::begin_point | Rule::begin_kw => Text("`begin`"),
        Rule::end_point | Rule::end_kw => Text("`end`"),
        Rule::every_point | Rule::every_kw => Text("`every`"),
        Rule::site | Rule::who | Rule::selector | Rule::target => {
            Text("`container(…)`, `pod(…)`, `pid(…)`, `cgroup(…)` or `host`")
        }
        Rule::host_kw => Silent,
        Rule::place => Text("a path, `exe` or `lib(…)`"),
        Rule::path => Text("a path"),
        Rule::exe_kw => Text("`exe`"),
        Rule::lib | Rule::lib_kw => Text("`lib(…)`"),
        Rule::what => Text("`.fn(…)`, `.line(…)`, `.mark(…)` or `.addr(…)`"),
        Rule::fn_what | Rule::fn_select => Text("`.fn(…)`"),
        Rule::line_what | Rule::line_select => Text("`.line(…)`"),
        Rule::mark_what | Rule::mark_select => Text("`.mark(…)`"),
        Rule::addr_what | Rule::addr_select => Text("`.addr(…)`"),
        Rule::narrow => Text("`.call`, `.inline`"),
        Rule::returns => Text("`.return`"),
        Rule::optional_mark => Silent,
        Rule::selector_arguments | Rule::text_argument | Rule::mark_arguments | Rule::addr_argument => Text("`(`"),
        Rule::selector_argument => Text("an argument"),
        Rule::argument_name => Silent,
        Rule::condition => Text("`if`"),
        Rule::global_name | Rule::name | Rule::word => Text("a name"),
        Rule::global_size => Text("`[`"),
        Rule::global_value | Rule::equals => Text("`=`"),
        Rule::parameter => Text("a parameter"),
        Rule::type_name => Text("`int` or `str`"),
        Rule::int_type => Text("`int`"),
        Rule::str_type => Text("`str`"),
        Rule::block | Rule::lbrace => Text("`{`"),
        Rule::if_statement
        | Rule::while_statement
        | Rule::for_statement
        | Rule::foreach_statement
        | Rule::emit_statement => Text("a statement"),
        Rule::simple_statement | Rule::broken_statement | Rule::strict_statement | Rule::body | Rule::missing => {
            Text("a statement")
        }
        Rule::delete_statement
        | Rule::return_statement
        | Rule::break_statement
        | Rule::continue_statement
        | Rule::next_statement
        | Rule::expr_statement => Text("a statement"),
        Rule::if_kw => Text("`if`"),
        Rule::else_kw => Silent,
        Rule::while_kw => Text("`while`"),
        Rule::for_kw => Text("`for`"),
        Rule::foreach_kw => Text("`foreach`"),
        Rule::in_kw => Text("`in`"),
        Rule::break_kw | Rule::continue_kw | Rule::next_kw | Rule::return_kw | Rule::delete_kw | Rule::emit_kw => {
            Text("a statement")
        }
        Rule::for_start | Rule::for_condition | Rule::for_step => Text("an expression"),
        Rule::foreach_value | Rule::foreach_keys | Rule::foreach_key => Text("a name or `[`"),
        Rule::order | Rule::sort => Text("`+`, `-`"),
        Rule::limit | Rule::limit_kw => Text("`limit`"),
        Rule::emit_field => Text("a field name"),
        Rule::statement_end => Text("the end of the statement"),
        Rule::EOI => Silent,
        Rule::stray | Rule::stray_item | Rule::skipped_line | Rule::skipped_head => Silent,
        Rule::expr | Rule::operand | Rule::paren | Rule::named | Rule::at_call | Rule::key_tuple => {
            Text("an expression")
        }
        Rule::target_name | Rule::target_all | Rule::number | Rule::char | Rule::boolean => Text("an expression"),
        Rule::string => Text("a string"),
        Rule::at_name => Silent,
        Rule::negate | Rule::not | Rule::bit_not | Rule::deref | Rule::address_of => Text("an expression"),
        Rule::step_up | Rule::step_down => Silent,
        Rule::assign
        | Rule::logic_or
        | Rule::logic_and
        | Rule::shl
        | Rule::shr
        | Rule::eq
        | Rule::ne
        | Rule::le
        | Rule::ge
        | Rule::lt
        | Rule::gt
        | Rule::bit_or
        | Rule::xor
        | Rule::bit_and
        | Rule::add
        | Rule::sub
        | Rule::mul
        | Rule::div
        | Rule::rem
        | Rule::concat
        | Rule::ternary
        | Rule::membership
        | Rule::aggregate
        | Rule::index
        | Rule::dot_member
        | Rule::arrow_member
        | Rule::dump => More("an operator"),
        Rule::arguments => More("`(`"),
        Rule::lparen => Text("`(`"),
        Rule::rparen => Text("`)`"),
        Rule::lbracket => Text("`[`"),
        Rule::rbracket => Text("`]`"),
        Rule::rbrace => Text("`}`"),
        Rule::comma => Text("`,`"),
        Rule::colon => Text("`:`"),
        Rule::semicolon => Text("`;`"),
        Rule::arrow => Text("`->`"),
        Rule::keyword => Silent,
        // Silent rules of the grammar never reach an error.
        Rule::WHITESPACE
        | Rule::nl
        | Rule::separator
        | Rule::probe_head
        | Rule::global_head
        | Rule::constant_head
        | Rule::function_head
        | Rule::import_head
        | Rule::item_end
        | Rule::selector_ahead
        | Rule::statement
        | Rule::simple
        | Rule::for_head
        | Rule::skipped_text
        | Rule::prefix
        | Rule::infix
        | Rule::operator_ahead
        | Rule::traced
        | Rule::compound
        | Rule::word_statement
        | Rule::prefix_operator
        | Rule::traced_call
        | Rule::traced_paren
        | Rule::traced_suffix
        | Rule::plain
        | Rule::plain_suffix
        | Rule::step
        | Rule::word_start
        | Rule::word_char => Silent,
    }
}
