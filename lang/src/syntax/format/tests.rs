//! Layouts: what is written, and what it becomes. The expected texts are the rules of `docs/formatting.md`.

use super::{Refused, format};
use crate::source::SourceId;

const SOURCE: SourceId = SourceId(0);

/// The layout of a text, which must be its own layout.
fn formatted(text: &str) -> String {
    let once = format(SOURCE, text).unwrap_or_else(|refused| panic!("{refused:?} in\n{text}"));
    let twice = format(SOURCE, &once).unwrap_or_else(|refused| panic!("{refused:?} in\n{once}"));
    assert_eq!(once, twice, "of\n{text}");
    once
}

#[track_caller]
fn becomes(text: &str, expected: &str) {
    assert_eq!(formatted(text), expected, "of\n{text}");
}

/// A statement in `begin`, and what it becomes.
#[track_caller]
fn statement(text: &str, expected: &str) {
    let mut whole = String::from("probe begin {\n");
    for line in expected.lines() {
        whole.push_str("    ");
        whole.push_str(line);
        whole.push('\n');
    }
    becomes(&format!("probe begin {{\n{text}\n}}"), &(whole + "}\n"));
}

#[test]
fn spaces_are_the_layouts() {
    statement("x=1", "x = 1");
    statement("x  =  ( a+b )*-c", "x = (a + b) * -c");
    statement("x = - -a - --b", "x = - -a - --b");
    statement("x = !!a && ~b & &$c", "x = !!a && ~b & &$c");
    statement("x=$p -> a . b [ 1 ] $", "x = $p->a.b[1]$");
    statement("x = **$p", "x = **$p");
    statement("m [ 1,2 ]++", "m[1, 2]++");
    statement("x = a?b:c", "x = a ? b : c");
    statement("if(x)y++", "if (x) y++");
    statement("b = [a,1]in m&&! (k in m)", "b = [a, 1] in m && !(k in m)");
    statement("for(;;)next", "for (;;) next");
    statement("for(i=0;i<3;i++)f(i)", "for (i = 0; i < 3; i++) f(i)");
    statement("foreach(v=[a+,b]in m @avg -limit 3)f(v)", "foreach (v = [a+, b] in m @avg- limit 3) f(v)");
    statement("m[k]<<<3", "m[k] <<< 3");
    statement("emit{a:1,b:2,}", "emit { a: 1, b: 2 }");
    statement("emit{}", "emit {}");
    statement("x <<=1; s.=t", "x <<= 1\ns .= t");
}

#[test]
fn what_is_written_stays_as_it_is_written() {
    statement("x = 0X1F + 1_000 + 10ms + 4K + 'A' + '\\x41'", "x = 0X1F + 1_000 + 10ms + 4K + 'A' + '\\x41'");
    statement("s = \"\\x41\\101 \\u{e9}é\"", "s = \"\\x41\\101 \\u{e9}é\"");
    becomes("probe host:/a//b#c.fn(\"f\"),begin{}", "probe host:/a//b#c.fn(\"f\"), begin {}\n");
}

#[test]
fn lines_that_belong_together_stay_together() {
    becomes("probe begin { f(); exit() }", "probe begin { f(); exit() }\n");
    becomes("probe begin {\n f(); exit() }", "probe begin {\n    f()\n    exit()\n}\n");
    statement("if (x) { y++ } else { z++ }", "if (x) { y++ } else { z++ }");
    statement("if (x) { y++ }\nelse z++", "if (x) { y++ } else z++");
    statement("if (x) y++\nelse z++", "if (x)\n    y++\nelse\n    z++");
    statement("if (x) y++; else z++", "if (x) y++ else z++");
    statement("if (a) { f() } else if (b) {\ng() }", "if (a) { f() } else if (b) {\n    g()\n}");
    statement("while (x) { if (y) { z++ } }", "while (x) {\n    if (y) { z++ }\n}");
}

#[test]
fn empty_lines() {
    becomes("\n\n# a\n\n\n\nglobal b\n\n\n\nglobal c\nglobal d\n\n\n", "# a\n\nglobal b\n\nglobal c\nglobal d\n");
    becomes("probe begin {\n\n\n  f()\n\n\n  g()\n\n}", "probe begin {\n    f()\n\n    g()\n}\n");
    becomes("", "");
    becomes("\n # only this  \n", "# only this\n");
    becomes("probe begin {\r\n\tf()\r\n}\r\n", "probe begin {\n    f()\n}\n");
}

#[test]
fn comments_stay_where_they_stand() {
    becomes(
        "#!/usr/bin/env -S ctp run\n# first\nprobe begin{ # why\n#own\nf() // behind\n\n/* a\n   b */\n}// end\n# last",
        "#!/usr/bin/env -S ctp run\n# first\nprobe begin { # why\n    #own\n    f() // behind\n\n    /* a\n   b */\n} // end\n# last\n",
    );
    statement("f(a, /* one */ b /* two */)", "f(a, /* one */ b /* two */)");
    statement("f( # first\na, # second\n\n# about b\nb\n)", "f( # first\n    a, # second\n    # about b\n    b\n)");
    statement("x = a + # why\nb", "x = a + # why\n    b");
    statement("x++; /* y */ y++", "x++\n/* y */ y++");
    statement("x++ /* x */; y++", "x++ /* x */\ny++");
    statement("if (x) # why\ny++", "if (x) # why\n    y++");
    statement("if (x) {\nf()\n} # why\nelse {\ng()\n}", "if (x) {\n    f()\n} # why\nelse {\n    g()\n}");
    statement("emit {\na: 1, # one\nb: 2 # two\n}", "emit {\n    a: 1, # one\n    b: 2 # two\n}");
    becomes("probe begin { /* nothing */ }", "probe begin { /* nothing */\n}\n");
    becomes("probe host:/x.fn(\"f\") # why\n{ f() }", "probe host:/x.fn(\"f\") # why\n{ f() }\n");
    becomes("global a, # one\n b # two\n", "global a, # one\n    b # two\n");
    // It silences nothing before the semicolon, and would silence `y++` without it.
    statement("x++ /* ctp: allow(W0002) */; y++", "x++ /* ctp: allow(W0002) */;\ny++");
    statement("# ctp: allow(W0002)\n y++", "# ctp: allow(W0002)\ny++");
}

#[test]
fn long_lines_end_where_they_may() {
    let a = "a".repeat(40);
    statement(&format!("x = {a} + {a} + {a}"), &format!("x = {a} + {a} +\n    {a}"));
    statement(&format!("x = f({a}, {a}, {a})"), &format!("x = f(\n    {a}, {a},\n    {a}\n)"));
    statement(
        &format!("if ({a} == 1 && {a} == 2 || b) f()"),
        &format!("if (\n    {a} == 1 &&\n        {a} == 2 ||\n    b\n) f()"),
    );
    statement(
        &format!("if ({a} == 1 && {a} == 2 && {a}) {{ f() }}"),
        &format!("if (\n    {a} == 1 &&\n    {a} == 2 &&\n    {a}\n) {{ f() }}"),
    );
    statement(
        &format!("printf(\"%d %d %d\\n\", {a}, {a}, b)"),
        &format!("printf(\n    \"%d %d %d\\n\",\n    {a}, {a}, b\n)"),
    );
    statement(&format!("emit {{ a: {a}, b: {a} }}"), &format!("emit {{\n    a: {a},\n    b: {a}\n}}"));
    statement(&format!("x = {a} ? {a} : {a}"), &format!("x = {a} ?\n    {a} :\n    {a}"));
    statement(&format!("{a} = \"{a}{a}\""), &format!("{a} =\n    \"{a}{a}\""));
    becomes(
        &format!("probe host:/{a}.fn(\"f\"), host:/{a}.fn(\"g\") if ($x) {{ f() }}"),
        &format!("probe host:/{a}.fn(\"f\"),\n    host:/{a}.fn(\"g\")\n    if ($x) {{ f() }}\n"),
    );
    becomes(
        &format!("probe container(name=\"{a}\", id=\"{a}\"):/x.fn(\"f\") {{}}"),
        &format!("probe container(\n    name=\"{a}\", id=\"{a}\"\n):/x.fn(\"f\") {{}}\n"),
    );
    becomes(
        &format!("fn f({a}: int, {a}b: str, c: int) -> int {{ return 1 }}"),
        &format!("fn f(\n    {a}: int, {a}b: str,\n    c: int\n) -> int {{ return 1 }}\n"),
    );
    // A comment behind code breaks nothing.
    statement(&format!("x = {a} + {a} # {a}"), &format!("x = {a} + {a} # {a}"));
}

#[test]
fn what_would_change_its_meaning_stays() {
    // On one line `.` would select a member.
    statement("x = $a .\nb", "x = $a .\n    b");
    statement("x = $a . \"b\"", "x = $a . \"b\"");
    statement("x = $a .\n\"b\"", "x = $a . \"b\"");
    // A line that begins so would pass for an item.
    let long = "a".repeat(90);
    statement(&format!("emit {{ a: {long}, probe: 1 }}"), &format!("emit {{\n    a: {long}, probe: 1\n}}"));
}

#[test]
fn a_text_with_faults_is_refused() {
    let Err(Refused::Faults(faults)) = format(SOURCE, "probe begin { x = ) }\n") else { panic!() };
    assert_eq!(faults.len(), 1);
}
