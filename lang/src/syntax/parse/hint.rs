//! Owns ways out of syntax faults: habits from SystemTap, C and other languages, and what ctp has in their place.

use super::fault::{Place, token};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::source::Span;

/// A fault with the text around it.
pub(super) struct Fault<'t> {
    /// What was being parsed.
    pub(super) place: Place,
    /// The text of the item or statement before the fault.
    pub(super) before: &'t str,
    /// The text from the fault on.
    pub(super) rest: &'t str,
    /// Whether the text begins a line behind another statement.
    pub(super) begins_line: bool,
    /// Where the text begins.
    pub(super) start: Span,
}

const ITEM_WORDS: [&str; 5] = ["probe", "global", "const", "fn", "import"];

/// Adds the way out that the text suggests; may replace the message where a better one is known.
pub(super) fn apply(diagnostic: Diagnostic, fault: &Fault<'_>) -> Diagnostic {
    let found = token(fault.rest);
    if found.starts_with('\'') && found.len() > 3 && found.ends_with('\'') {
        let inside = found.trim_matches('\'').replace('"', "\\\"");
        return diagnostic.help(format!("text goes between double quotes: `\"{inside}\"`"));
    }
    match fault.place {
        Place::Item => item(diagnostic, fault, found),
        Place::Statement => statement(diagnostic, fault, found),
        Place::Target => target(diagnostic, fault, found),
    }
}

fn item(mut diagnostic: Diagnostic, fault: &Fault<'_>, found: &str) -> Diagnostic {
    let first = token(fault.before);
    let before = fault.before.trim_end();
    if first.is_empty() {
        diagnostic.message = format!("expected `probe`, `global`, `const`, `fn` or `import`, found {}", quoted(found));
        return match found {
            "function" | "func" | "def" | "sub" => {
                diagnostic.help("functions are written `fn name(a: int, b: str) -> int { … }`")
            }
            "include" | "use" | "require" => diagnostic.help("another file is read with `import \"other.ctp\"`"),
            "private" | "static" | "extern" => diagnostic.help(format!("leave `{found}` out")),
            "var" | "let" | "int" | "long" | "str" => {
                diagnostic.help("globals are declared with `global name`; their types are inferred")
            }
            "{" => diagnostic.help("code stands in a probe: `probe begin { … }`"),
            "container" | "pod" | "pid" | "cgroup" | "host" | "begin" | "end" | "every" => {
                diagnostic.help(format!("a probe begins with the word: `probe {found}`…"))
            }
            "if" | "while" | "for" | "foreach" | "print" | "printf" | "println" | "return" | "emit" => {
                diagnostic.help("statements stand in a probe: `probe begin { … }`")
            }
            _ => diagnostic.nearest(&nearest_names(found, ITEM_WORDS, 1)),
        };
    }
    if first == "probe" {
        if diagnostic.code == Code::E0008 && (before == "probe" || before.ends_with(',')) {
            return point(diagnostic, fault.rest, found);
        }
        // An unquoted path takes everything up to white space, `{`, `,` or `"`: `.function(` too.
        let word = before.rsplit([' ', '\n', ',']).next().unwrap_or("");
        if found.starts_with('"') && word.contains(":/") {
            diagnostic.code = Code::E0008;
            let path = word.split_once(':').map_or(word, |(_, path)| path);
            diagnostic.message = "a path ends before `\"`".to_owned();
            let diagnostic = self::path(diagnostic, path);
            return place_at_selector(diagnostic, fault);
        }
        if found == "." || found.starts_with('.') {
            let rest = fault.rest.trim_start().trim_start_matches('.');
            diagnostic.code = Code::E0008;
            diagnostic.message = format!("`.{}` is not known here", token(rest));
            return selector(diagnostic, token(rest));
        }
        if found == "->" || found == "::" {
            return diagnostic.help("a point is written `who:where.what`: `container(\"web\"):/app/bin.fn(\"name\")`");
        }
        if matches!(found, "/" | "/*") || found == "when" || found == "where" {
            return diagnostic.help("a condition is written `probe … if (EXPR) { … }`");
        }
        if found == "=" || found == "+=" {
            return diagnostic.help("ctp has no aliases; name several points with commas between");
        }
        if !found.is_empty() && found != "{" && diagnostic.code == Code::E0001 && diagnostic.message.contains("`{`") {
            diagnostic.message = format!("expected `{{` or `if` after the probe point, found {}", quoted(found));
        }
        return diagnostic;
    }
    if first == "fn" {
        if diagnostic.message.contains("`int` or `str`") || diagnostic.message.contains("`int`") {
            return match found {
                "long" | "i64" | "u64" | "u32" | "integer" | "bool" | "number" => {
                    diagnostic.help("write `int`: all numbers have 64 bits")
                }
                "string" | "String" | "text" | "char" => diagnostic.help("write `str`"),
                _ => diagnostic.help("the types of parameters and results are `int` and `str`"),
            };
        }
        if found == ":" {
            return diagnostic.help("the result's type stands behind `->`: `fn name(a: int) -> int { … }`");
        }
        if diagnostic.message.contains("`:`") {
            return diagnostic.help("parameters have types: `fn name(a: int, b: str) -> int { … }`");
        }
    }
    if first == "global" && matches!(found, "(" | "{" | ":") {
        return diagnostic.help("types are inferred; a size stands in brackets: `global name[1000]`");
    }
    if first == "global" && !found.is_empty() && diagnostic.message.contains("`,`") {
        return diagnostic.help("names are separated by commas: `global a, b`");
    }
    keyword_as_name(diagnostic, found)
}

/// A point that begins with no word ctp knows.
fn point(mut diagnostic: Diagnostic, rest: &str, found: &str) -> Diagnostic {
    diagnostic.message = format!("expected a probe point, found {}", quoted(found));
    let rest = rest.trim_start();
    let inside = |word: &str| -> Option<&str> {
        let (_, tail) = rest.split_once(word)?;
        let (_, tail) = tail.split_once("(\"")?;
        tail.split_once('"').map(|(inside, _)| inside)
    };
    match found {
        "process" => {
            let path = inside("process").filter(|p| p.starts_with('/')).unwrap_or("/app/bin");
            let what = match (inside(".function"), inside(".statement"), inside(".mark")) {
                (Some(name), ..) => {
                    let back = if rest.contains(".return") { ".return" } else { "" };
                    format!(".fn(\"{name}\"){back}")
                }
                (None, Some(line), _) => format!(".line(\"{}\")", line.rsplit_once('@').map_or(line, |(_, l)| l)),
                (None, None, Some(name)) => format!(".mark(\"{name}\")"),
                (None, None, None) => ".fn(\"name\")".to_owned(),
            };
            diagnostic
                .note("ctp names whose process it is first: `who:where.what`")
                .help(format!("write `container(\"NAME\"):{path}{what}`, or `host:{path}{what}` for a program outside containers"))
        }
        "timer" => diagnostic.help("timers are written `every(1s)`, `every(100ms)`"),
        "kernel" | "module" | "syscall" | "kprobe" | "kprocess" | "tracepoint" | "netfilter" | "perf" | "procfs" => {
            diagnostic.help("ctp probes programs, not the kernel: `container(\"web\"):/app/bin.fn(\"name\")`")
        }
        "uprobe" | "uretprobe" | "usdt" => {
            diagnostic.help("write `container(\"web\"):/app/bin.fn(\"name\")`, `.fn(\"name\").return` or `.mark(\"provider\", \"name\")`")
        }
        "interval" | "profile" | "tick" => diagnostic.help("timers are written `every(1s)`"),
        "BEGIN" => diagnostic.help("write `begin`"),
        "END" => diagnostic.help("write `end`"),
        "oneshot" | "never" | "error" => diagnostic.help("the points without a target are `begin`, `end` and `every(1s)`"),
        _ if found.starts_with('/') || found.starts_with('"') => {
            diagnostic.help("say whose file it is: `container(\"web\"):/app/bin.fn(\"name\")`, `host:/usr/bin/x.fn(\"name\")`")
        }
        _ => {
            let words = ["container", "pod", "pid", "cgroup", "host", "begin", "end", "every"];
            let near = nearest_names(found, words, 1);
            if near.is_empty() {
                diagnostic.help(
                    "a point is `who:where.what`, as `container(\"web\"):/app/bin.fn(\"name\")`, or `begin`, `end`, `every(1s)`",
                )
            } else {
                diagnostic.nearest(&near)
            }
        }
    }
}

/// What an unquoted path swallowed that looks like a selector of SystemTap.
pub(super) fn path(diagnostic: Diagnostic, path: &str) -> Diagnostic {
    let word = path
        .match_indices('.')
        .map(|(at, _)| token(path.get(at + 1..).unwrap_or("")))
        .find(|word| known_selector(word).is_some())
        .or_else(|| path.rsplit_once('(').and_then(|(head, _)| head.rsplit_once('.')).map(|(_, word)| word));
    match word {
        Some(word) => {
            let mut diagnostic = diagnostic;
            diagnostic.message = format!("`.{word}` is not known here");
            selector(diagnostic, word)
        }
        None if path.contains('(') => {
            diagnostic.help("a path with odd characters goes between quotes: `:\"/odd path\".fn(\"name\")`")
        }
        None => diagnostic,
    }
}

/// Points at the `.word` that the message is about, where the text before the fault holds it.
fn place_at_selector(mut diagnostic: Diagnostic, fault: &Fault<'_>) -> Diagnostic {
    let word = diagnostic.message.split('`').nth(1).unwrap_or("").to_owned();
    if let Some(at) = fault.before.rfind(&word).filter(|_| word.starts_with('.')) {
        let start = fault.start.range().start + at;
        diagnostic.primary.span = Span::new(fault.start.source, start, start + word.len());
    }
    diagnostic
}

fn known_selector(word: &str) -> Option<&'static str> {
    match word {
        "function" | "func" | "procedure" | "symbol" | "plt" => Some("`.fn(\"name\")`"),
        "statement" | "source" => Some("`.line(\"file.c:42\")`"),
        "marker" | "provider" | "usdt" | "probe" => Some("`.mark(\"provider\", \"name\")`"),
        "address" | "offset" => Some("`.addr(0x1139)`"),
        "begin" | "end" | "thread" | "syscall" | "insn" => {
            Some("`.fn(\"name\")`: ctp has no such points of a process; a program begins with `.fn(\"main\")`")
        }
        "library" => Some("`lib(\"libssl.so*\")` in place of the path"),
        "return" | "call" | "inline" | "exported" | "callee" | "callees" => {
            Some("`.fn(\"name\")` first; `.call`, `.inline` and `.return` stand behind it")
        }
        _ => None,
    }
}

fn selector(diagnostic: Diagnostic, word: &str) -> Diagnostic {
    if let Some(instead) = known_selector(word) {
        return match word {
            "exported" | "callee" | "callees" => {
                diagnostic.help("behind `.fn(\"name\")` stand `.call` or `.inline`, then `.return`")
            }
            _ => diagnostic.help(format!("write {instead}")),
        };
    }
    let near = nearest_names(word, ["fn", "line", "mark", "addr", "return", "call", "inline"], 1);
    if near.is_empty() {
        diagnostic.help("a place in a file is `.fn(\"name\")`, `.line(\"file.c:42\")`, `.mark(\"provider\", \"name\")` or `.addr(0x1139)`")
    } else {
        diagnostic.nearest(&near)
    }
}

fn statement(mut diagnostic: Diagnostic, fault: &Fault<'_>, found: &str) -> Diagnostic {
    let first = token(fault.before);
    let before = fault.before.trim_end();
    if first.is_empty() {
        let operator = matches!(
            found,
            "+" | "/"
                | "%"
                | "|"
                | "^"
                | "<"
                | ">"
                | "=="
                | "!="
                | "<="
                | ">="
                | "<<"
                | ">>"
                | "&&"
                | "||"
                | "."
                | "?"
                | ":"
                | "="
                | "<<<"
                | "->"
                | "in"
                | "<<="
                | ">>="
        );
        if operator && fault.begins_line {
            diagnostic.message = format!("a line cannot begin with the operator `{found}`");
            return diagnostic.help(format!(
                "to go on with the line above, end that line with `{found}`, or put the whole in parentheses"
            ));
        }
        return match found {
            "else" => {
                diagnostic.message = "this `else` has no `if` before it".to_owned();
                diagnostic
            }
            "," => diagnostic.help("remove it: a newline or `;` ends a statement"),
            "try" | "catch" | "switch" | "case" | "do" | "goto" => diagnostic.note(format!("ctp has no `{found}`")),
            "+" => diagnostic.help("leave the `+` out"),
            _ => diagnostic,
        };
    }
    if matches!(first, "elif" | "elsif" | "elseif") {
        diagnostic.primary.span =
            Span { end: fault.start.start.saturating_add(u32::try_from(first.len()).unwrap_or(0)), ..fault.start };
        diagnostic.message = format!("`{first}` is not a word of the language");
        return diagnostic.help("write `else if (…)`");
    }
    if matches!(
        first,
        "int" | "long" | "char" | "str" | "string" | "var" | "let" | "auto" | "local" | "my" | "u64" | "unsigned"
    ) && found.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && before == first
    {
        return diagnostic.help(format!("locals need no declaration: write `{found} = …`"));
    }
    if matches!(first, "global" | "const" | "fn" | "probe" | "import") && before == first {
        return diagnostic;
    }
    let last = before.rsplit(char::is_whitespace).next().unwrap_or("");
    match found {
        "and" => return diagnostic.help("write `&&`"),
        "or" => return diagnostic.help("write `||`"),
        "not" | "is" | "eq" | "ne" => return diagnostic.help("comparison is `==` and `!=`, negation `!`"),
        "=" if before.ends_with("==") => return diagnostic.help("write `==`"),
        "=" if before.ends_with("!=") => return diagnostic.help("write `!=`"),
        "===" => return diagnostic.help("write `==`"),
        "!==" | "<>" => return diagnostic.help("write `!=`"),
        ":=" => return diagnostic.help("write `=`"),
        "**" => return diagnostic.help("there is no power operator"),
        "=>" => return diagnostic.help("a member of what a pointer points at is written `->`"),
        "::" => {
            return diagnostic.help("names with `::` go in strings: `.fn(\"ns::Class::get\")`, `@var(\"ns::name\")`");
        }
        "+" if diagnostic.message.starts_with("expected an expression") => return diagnostic.help("leave the `+` out"),
        "<<<" => return diagnostic.help("`<<<` is a statement of its own: `stats <<< value`"),
        _ => {}
    }
    if found.starts_with('"') && (before.ends_with('"') || last.starts_with('$')) {
        return diagnostic.help("`.` joins two texts: `a . b`");
    }
    if matches!(first, "if" | "while" | "for" | "foreach") && before == first && found != "(" {
        return diagnostic.help(format!("the head of `{first}` stands in parentheses: `{first} (…)`"));
    }
    if first == "foreach" && matches!(found, "of" | ":" | "on" | "from") {
        return diagnostic.help("write `foreach (key in map)`");
    }
    if first == "foreach" && found == "," {
        return diagnostic.help("several keys stand in brackets: `foreach ([a, b] in map)`");
    }
    if first == "emit" && before == "emit" {
        return diagnostic.help("an event has named fields: `emit { name: value }`");
    }
    if first == "emit" && found == "=" {
        return diagnostic.help("a field is written `name: value`");
    }
    if first == "emit" && diagnostic.message.contains("`:`") {
        return diagnostic.help("each field has a name: `emit { name: value }`");
    }
    let diagnostic = keyword_as_name(diagnostic, found);
    if diagnostic.helps.is_empty() && diagnostic.message.starts_with("expected the end of the statement") {
        let statement_word = found.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$' | '@'));
        if statement_word {
            return diagnostic.help("a newline or `;` stands between two statements");
        }
    }
    diagnostic
}

/// A keyword where a name belongs.
fn keyword_as_name(diagnostic: Diagnostic, found: &str) -> Diagnostic {
    let keyword = matches!(
        found,
        "probe"
            | "global"
            | "const"
            | "fn"
            | "import"
            | "if"
            | "else"
            | "while"
            | "for"
            | "foreach"
            | "in"
            | "break"
            | "continue"
            | "next"
            | "return"
            | "delete"
            | "emit"
            | "true"
            | "false"
    );
    if keyword && (diagnostic.message.contains("a name") || diagnostic.message.contains("an expression")) {
        return diagnostic.note(format!("`{found}` is a word of the language"));
    }
    diagnostic
}

fn target(diagnostic: Diagnostic, fault: &Fault<'_>, found: &str) -> Diagnostic {
    if fault.before.trim().is_empty() {
        return point(diagnostic, fault.rest, found);
    }
    if found.starts_with('"') {
        let path_text = fault.before.rsplit(':').next().unwrap_or("");
        return place_at_selector(path(diagnostic, path_text), fault);
    }
    if found.is_empty() {
        return diagnostic;
    }
    diagnostic
        .help("a target is `who:where.what`, as `container(\"web\"):/app/bin.fn(\"my_*\")`; quote it for the shell")
}

fn quoted(found: &str) -> String {
    if found.is_empty() {
        "the end of the line".to_owned()
    } else if found.starts_with('"') {
        "a string".to_owned()
    } else {
        format!("`{}`", found.escape_debug())
    }
}
