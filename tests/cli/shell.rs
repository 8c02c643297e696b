//! Reads just enough of a bash script to say which programs it calls. Knows quotes, comments, here-documents,
//! substitutions and case patterns; a name that is built at run time (`"$docker"`) it does not see.

use std::collections::BTreeSet;

/// The words of a script that stand where a command is called, without what the script defines itself.
pub(crate) fn commands(script: &str) -> BTreeSet<String> {
    let defined: BTreeSet<&str> =
        script.lines().filter_map(|line| line.split_once("() {")).map(|(name, _)| name).collect();
    let simple = simple_commands(&without_here_documents(script));
    let called = simple.split('\n').flat_map(called_by);
    called.filter(|word| !defined.contains(word.as_str())).collect()
}

fn without_here_documents(script: &str) -> String {
    let mut kept = String::new();
    let mut end: Option<&str> = None;
    for line in script.lines() {
        if let Some(word) = end {
            if line == word {
                end = None;
            }
            continue;
        }
        end = line.split_once("<<'").and_then(|(_, rest)| rest.split('\'').next());
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// After what a pattern of a `case` may begin.
const CASE_ENDS: [&str; 2] = [" in\n", "\n\n\n"];

/// One simple command a line; what is quoted became `Q`.
fn simple_commands(script: &str) -> String {
    let mut out = String::new();
    // What is open: a quote, or a parenthesis within which commands stand.
    let mut open: Vec<char> = Vec::new();
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        let quoted = open.last() == Some(&'"');
        match c {
            '\\' => {
                if chars.next() != Some('\n') && !quoted {
                    out.push('Q');
                }
            }
            '"' if quoted => {
                open.pop();
            }
            '"' => {
                open.push('"');
                out.push('Q');
            }
            '\'' if !quoted => {
                chars.by_ref().find(|c| *c == '\'');
                out.push('Q');
            }
            '$' | '<' if chars.peek() == Some(&'(') => {
                chars.next();
                if chars.peek() == Some(&'(') {
                    // Arithmetic.
                    chars.by_ref().find(|c| *c == ')');
                    chars.next();
                } else {
                    open.push('(');
                    out.push('\n');
                }
            }
            _ if quoted => {}
            '#' if out.ends_with([' ', '\n']) || out.is_empty() => {
                chars.by_ref().find(|c| *c == '\n');
                out.push('\n');
            }
            '(' if chars.peek() == Some(&'(') => {
                // Arithmetic, as in `for ((…))`.
                chars.by_ref().find(|c| *c == ')');
                chars.next();
            }
            '(' => {
                open.push('(');
                out.push('\n');
            }
            ')' if open.pop().is_some() => out.push('\n'),
            ')' => {
                // The pattern of a case, whose alternatives were taken for a pipe.
                while !out.is_empty() && !CASE_ENDS.iter().any(|end| out.ends_with(end)) {
                    out.pop();
                }
                out.push('\n');
            }
            // Redirections like `2>&1` and `&>` do not end a command.
            '&' if out.ends_with(['>', '<']) => out.push(c),
            ';' | '|' | '&' | '\n' => out.push('\n'),
            _ => out.push(c),
        }
    }
    out
}

/// The programs that one simple command calls: itself, and what it is told to run.
fn called_by(simple: &str) -> Vec<String> {
    let mut words = simple.split_whitespace().peekable();
    while let Some(word) = words.next() {
        match word {
            "if" | "then" | "elif" | "else" | "while" | "until" | "do" | "!" | "{" | "time" | "exec" => {}
            "for" | "case" | "function" | "}" | "fi" | "done" | "esac" => return Vec::new(),
            _ if is_assignment(word) => {}
            "setsid" | "timeout" | "nice" => {
                let run = words.find(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
                return std::iter::once(word).chain(run).map(str::to_owned).collect();
            }
            _ if word.chars().all(|c| c.is_ascii_alphanumeric() || "./_+-".contains(c)) && word != "Q" => {
                return vec![word.to_owned()];
            }
            _ => return Vec::new(),
        }
    }
    Vec::new()
}

fn is_assignment(word: &str) -> bool {
    let name = word.split(['=', '+']).next().unwrap_or_default();
    word.contains('=') && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn commands_are_told_from_words() {
    let script = r#"
# mentions gdb
say() {
    printf '%s; gdb\n' "it's | gdb $(date -u)"
}
if ! docker version >/dev/null 2>&1; then say "gdb"; fi
case $1 in
    gdb | lldb) ls -l ;;
    *) sort <(cut -d ' ' -f 1 file) ;;
esac
list=(apt-get install)
LANG=C setsid dockerd --gdb "$x" && "$unknown" gdb || true
one() { uname; }
for ((i = 0; i < 3; i++)); do one; done
while read -r line; do echo "$((line * 2))"; done <file
cat <<'END'
gdb
END
./tests/run
"#;
    let expected = [
        "./tests/run",
        "apt-get",
        "cat",
        "cut",
        "date",
        "docker",
        "dockerd",
        "echo",
        "ls",
        "printf",
        "read",
        "setsid",
        "sort",
        "true",
        "uname",
    ];
    assert_eq!(commands(script).into_iter().collect::<Vec<_>>(), expected);
}
