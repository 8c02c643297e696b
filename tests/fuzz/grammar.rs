//! Owns programs made up by the grammar: most are right, so that what comes behind the parser is reached. White space
//! and comments are strewn wherever the language lets them stand.

use crate::random::Random;

/// How deep made-up programs nest.
const DEPTH: usize = 5;

const GLOBALS: [&str; 6] = ["g", "calls", "lat", "m", "text", "slow"];
const LOCALS: [&str; 4] = ["x", "y", "i", "name"];
const FUNCTIONS: [&str; 8] =
    ["handle", "handle_request", "my_function", "mix", "f*", "nowhere", "handle@target.c", "main"];
const PARAMETERS: [&str; 9] = ["req", "n", "code", "text", "kind", "arg", "nowhere", "ratio", "return"];
const MEMBERS: [&str; 11] =
    ["path", "status", "next", "flags", "low", "kind", "items", "in", "both", "word", "nowhere"];
const CALLS: [&str; 16] = [
    "container",
    "comm",
    "pid",
    "now",
    "elapsed",
    "user_string",
    "strlen",
    "substr",
    "min",
    "label",
    "print",
    "println",
    "exit",
    "sample",
    "cpu",
    "probefunc",
];
const AGGREGATES: [&str; 8] = ["count", "sum", "avg", "hist_log", "entry", "defined", "cast", "var"];
const NUMBERS: [&str; 14] =
    ["0", "1", "2", "10", "255", "0x1f", "0b101", "0o17", "1_000", "10ms", "4K", "'c'", "18446744073709551615", "1h"];
const STRINGS: [&str; 8] = [
    r#""""#,
    r#""a""#,
    r#""%d\n""#,
    r#""%s %d %x\n""#,
    r#""\x41 \u{e9}""#,
    r#""é # // /*""#,
    r#""{([""#,
    r#""struct request""#,
];
const OPERATORS: [&str; 19] =
    ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "."];
const ASSIGNMENTS: [&str; 12] = ["=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", ".="];
const PLACES: [&str; 6] = ["/app/target", "exe", "\"/app/target\"", "/app/inlined", "/app/nowhere", "lib(\"libc*\")"];
const COMMENTS: [&str; 6] = ["# why", "// why", "/* one */", "/* two\n   lines */", "# ctp: allow(W0002)", "#"];

pub(crate) struct Program<'r> {
    random: &'r mut Random,
    text: String,
    /// Brackets that are open: within them a line may end anywhere.
    brackets: usize,
    /// Whether much white space is strewn.
    strewn: bool,
}

/// A program of up to a dozen items.
pub(crate) fn program(random: &mut Random) -> String {
    let strewn = random.once_in(2);
    let mut program = Program { random, text: String::new(), brackets: 0, strewn };
    if program.random.once_in(20) {
        program.text.push_str("#!/usr/bin/env -S ctp run\n");
    }
    if !program.random.once_in(3) {
        program.text.push_str("global g, calls, lat, m, text = \"\", slow[100]\n");
    }
    for _ in 0..=program.random.below(8) {
        program.item();
    }
    program.text
}

impl Program<'_> {
    /// White space that may stand between two tokens; `line` where a line may end.
    fn space(&mut self, line: bool) {
        let line = line || self.brackets > 0;
        if !self.strewn || !self.random.once_in(3) {
            self.text.push(' ');
            return;
        }
        for _ in 0..=self.random.below(2) {
            match self.random.below(6) {
                0 => self.text.push('\t'),
                1 => self.text.push_str("/* c */"),
                2 if line => self.text.push('\n'),
                3 if line => {
                    let comment = self.random.pick(&COMMENTS);
                    self.text.push(' ');
                    self.text.push_str(comment);
                    self.text.push('\n');
                }
                4 if line => self.text.push_str("\r\n"),
                _ => self.text.push(' '),
            }
        }
        self.text.push(' ');
    }

    fn put(&mut self, token: &str) {
        self.text.push_str(token);
    }

    fn one_of(&mut self, tokens: &[&str]) {
        let token = self.random.pick(tokens);
        self.put(token);
    }

    fn end_line(&mut self) {
        if self.strewn && self.random.once_in(5) {
            let comment = self.random.pick(&COMMENTS);
            self.put(" ");
            self.put(comment);
        }
        for _ in 0..=self.random.below(3) {
            self.put("\n");
        }
    }

    fn item(&mut self) {
        match self.random.below(12) {
            0 => {
                self.put("const");
                self.space(false);
                self.one_of(&["SLOW", "LIMIT"]);
                self.put(" =");
                self.space(true);
                self.expr(1);
            }
            1 => {
                self.put("fn");
                self.space(false);
                self.one_of(&["label", "twice"]);
                self.put("(code: int, b: str)");
                self.one_of(&["", " -> int", "->str"]);
                self.space(true);
                self.block(0);
            }
            2 => self.put("import \"other.ctp\""),
            3 => {
                self.put("global");
                self.space(false);
                self.one_of(&GLOBALS);
                if self.random.once_in(2) {
                    self.put(",");
                    self.space(true);
                    self.one_of(&["fresh", "more[8]", "start = 3"]);
                }
            }
            _ => self.probe(),
        }
        self.end_line();
    }

    fn probe(&mut self) {
        self.put("probe");
        self.space(false);
        self.point();
        while self.random.once_in(4) {
            self.put(",");
            self.space(true);
            self.point();
        }
        if self.random.once_in(4) {
            self.space(true);
            self.put("if");
            self.condition();
        }
        if !self.random.once_in(12) {
            self.space(true);
            self.block(0);
        }
    }

    fn point(&mut self) {
        match self.random.below(9) {
            0 => self.put("begin"),
            1 => self.put("end"),
            2 => self.put("every(1s)"),
            _ => {
                match self.random.below(8) {
                    0 => self.put("host"),
                    1 => self.put("pid(12)"),
                    2 => {
                        self.put("container(name=");
                        self.brackets += 1;
                        self.space(true);
                        self.put("\"web\",");
                        self.space(true);
                        self.put("image=\"image\")");
                        self.brackets -= 1;
                    }
                    3 => self.put("container(\"web*\")"),
                    _ => self.put("container(\"web\")"),
                }
                if !self.random.once_in(6) {
                    self.put(":");
                    self.one_of(&PLACES);
                }
                match self.random.below(8) {
                    0 => self.put(".line(\"target.c:20\")"),
                    1 => self.put(".mark(\"provider\", \"name\")"),
                    2 => self.put(".addr(0x1139)"),
                    _ => {
                        self.put(".fn(\"");
                        self.one_of(&FUNCTIONS);
                        self.put("\")");
                        self.one_of(&["", "", "", ".return", ".call", ".inline"]);
                    }
                }
            }
        }
        if self.random.once_in(10) {
            self.put("?");
        }
    }

    fn condition(&mut self) {
        self.space(false);
        self.bracketed("(", ")", |program| program.expr(1));
    }

    fn bracketed(&mut self, open: &str, close: &str, inside: impl FnOnce(&mut Self)) {
        self.put(open);
        self.brackets += 1;
        if self.strewn {
            self.space(true);
        }
        inside(self);
        if self.strewn {
            self.space(true);
        }
        self.brackets -= 1;
        self.put(close);
    }

    fn block(&mut self, depth: usize) {
        // Within braces a line ends a statement again, whatever is open outside.
        let brackets = std::mem::take(&mut self.brackets);
        self.put("{");
        let one_line = self.random.once_in(3);
        let count = self.random.below(5);
        for index in 0..count {
            if one_line {
                self.put(if index == 0 { " " } else { "; " });
            } else {
                self.end_line();
            }
            self.statement(depth + 1);
        }
        if one_line {
            self.put(" ");
        } else {
            self.end_line();
        }
        self.put("}");
        self.brackets = brackets;
    }

    fn body(&mut self, depth: usize) {
        self.space(true);
        if depth < DEPTH && self.random.once_in(2) { self.block(depth) } else { self.statement(depth + 1) }
    }

    fn statement(&mut self, depth: usize) {
        let deep = depth >= DEPTH;
        match self.random.below(if deep { 8 } else { 14 }) {
            0 => {
                self.target(depth);
                self.one_of(&["++", "--"]);
            }
            1 => {
                self.target(depth);
                self.put(" ");
                self.one_of(&ASSIGNMENTS);
                self.space(true);
                self.expr(depth);
            }
            2 => {
                self.put("printf");
                self.bracketed("(", ")", |program| {
                    program.one_of(&STRINGS);
                    while program.random.once_in(2) {
                        program.put(",");
                        program.space(true);
                        program.expr(depth + 1);
                    }
                });
            }
            3 => {
                self.one_of(&["lat", "m[x]", "lat[container(), x]"]);
                self.put(" <<<");
                self.space(true);
                self.expr(depth);
            }
            4 => self.one_of(&["next", "exit()", "return", "delete m", "delete m[x]", "error(\"e\")"]),
            5 => {
                self.put("emit { ");
                for index in 0..self.random.below(4) {
                    if index > 0 {
                        self.put(",");
                        self.space(true);
                    }
                    self.one_of(&MEMBERS);
                    self.put(": ");
                    self.expr(depth + 1);
                }
                self.put(" }");
            }
            6 => self.call(depth),
            7 => {
                self.put("println(");
                self.expr(depth);
                self.put(")");
            }
            8 | 9 => {
                self.put("if");
                self.condition();
                self.body(depth);
                if self.random.once_in(2) {
                    self.one_of(&["\n", ";", " ", "\n\n"]);
                    self.put("else");
                    self.body(depth);
                }
            }
            10 => {
                self.put("while");
                self.condition();
                self.body(depth);
            }
            11 => {
                self.put("for");
                self.space(false);
                self.bracketed("(", ")", |program| {
                    program.one_of(&["", "i = 0"]);
                    program.put(";");
                    program.space(true);
                    program.one_of(&["", "i < 10"]);
                    program.put(";");
                    program.one_of(&["", " i++"]);
                });
                self.body(depth);
            }
            12 => {
                self.put("foreach");
                self.space(false);
                self.bracketed("(", ")", |program| {
                    program.one_of(&["", "v = "]);
                    program.one_of(&["k", "k-", "[a, b]", "[a+, b]"]);
                    program.put(" in");
                    program.space(true);
                    program.one_of(&GLOBALS);
                    program.one_of(&["", "-", "+", " @avg-", " limit 10", " @count- limit n"]);
                });
                self.body(depth);
            }
            _ => self.block(depth),
        }
    }

    fn target(&mut self, depth: usize) {
        match self.random.below(4) {
            0 => self.one_of(&GLOBALS),
            1 => self.one_of(&LOCALS),
            _ => {
                self.one_of(&GLOBALS);
                self.bracketed("[", "]", |program| {
                    program.expr(depth + 2);
                    if program.random.once_in(3) {
                        program.put(",");
                        program.space(true);
                        program.expr(depth + 2);
                    }
                });
            }
        }
    }

    fn call(&mut self, depth: usize) {
        self.one_of(&CALLS);
        self.bracketed("(", ")", |program| {
            for index in 0..program.random.below(3) {
                if index > 0 {
                    program.put(",");
                    program.space(true);
                }
                program.expr(depth + 1);
            }
        });
    }

    fn expr(&mut self, depth: usize) {
        if depth >= DEPTH || self.random.once_in(3) {
            self.leaf();
            return;
        }
        match self.random.below(11) {
            0..=3 => {
                self.expr(depth + 1);
                self.space(false);
                self.one_of(&OPERATORS);
                self.space(true);
                self.expr(depth + 1);
            }
            4 => {
                self.one_of(&["-", "!", "~", "*", "&", "- "]);
                // Two signs in a row may read as one.
                self.put(" ");
                self.expr(depth + 1);
            }
            5 => self.bracketed("(", ")", |program| program.expr(depth + 1)),
            6 => self.call(depth),
            7 => {
                self.put("@");
                self.one_of(&AGGREGATES);
                self.bracketed("(", ")", |program| {
                    program.expr(depth + 1);
                    if program.random.once_in(3) {
                        program.put(", ");
                        program.one_of(&STRINGS);
                    }
                });
            }
            8 => {
                self.expr(depth + 1);
                self.put(" ?");
                self.space(true);
                self.expr(depth + 1);
                self.put(" :");
                self.space(true);
                self.expr(depth + 1);
            }
            9 => self.traced(depth),
            _ => {
                if self.random.once_in(2) {
                    self.bracketed("[", "]", |program| {
                        program.expr(depth + 1);
                        program.put(", x");
                    });
                } else {
                    self.leaf();
                }
                self.put(" in");
                self.space(false);
                self.one_of(&GLOBALS);
            }
        }
    }

    fn traced(&mut self, depth: usize) {
        self.put("$");
        self.one_of(&PARAMETERS);
        for _ in 0..self.random.below(4) {
            match self.random.below(4) {
                0 => {
                    self.put(".");
                    self.one_of(&MEMBERS);
                }
                1 => self.bracketed("[", "]", |program| program.expr(depth + 2)),
                _ => {
                    self.put("->");
                    self.one_of(&MEMBERS);
                }
            }
        }
        if self.random.once_in(8) {
            self.one_of(&["$", "$$"]);
        }
    }

    fn leaf(&mut self) {
        match self.random.below(7) {
            0 => self.one_of(&NUMBERS),
            1 => self.one_of(&STRINGS),
            2 => self.one_of(&LOCALS),
            3 => {
                self.put("$");
                self.one_of(&PARAMETERS);
            }
            4 => self.one_of(&["true", "false", "pid()", "$$parms", "SLOW"]),
            5 => self.one_of(&GLOBALS),
            _ => self.one_of(&NUMBERS),
        }
    }
}
