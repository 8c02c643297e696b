//! Shapes and places of trees.

use super::super::ast::*;
use super::{parse, parse_target};
use crate::codes::Code;
use crate::source::SourceId;

const SOURCE: SourceId = SourceId(0);

fn file(text: &str) -> File {
    let (file, diagnostics) = parse(SOURCE, text);
    assert_eq!(diagnostics, [], "{text}");
    file
}

/// The statements of `probe begin { … }`.
fn statements(body: &str) -> Vec<Stmt> {
    let file = file(&format!("probe begin {{\n{body}\n}}"));
    match file.items.into_iter().next().map(|i| i.kind) {
        Some(ItemKind::Probe(Probe { body: Some(block), .. })) => block.statements,
        other => panic!("{other:?}"),
    }
}

/// An expression with every operation in brackets, so that its shape can be read.
fn shape(text: &str) -> String {
    let statement = statements(&format!("x = {text}")).remove(0);
    match statement.kind {
        StmtKind::Expr(Expr { kind: ExprKind::Assign { value, .. }, .. }) => show(&value),
        other => panic!("{other:?}"),
    }
}

fn list(expressions: &[Expr]) -> String {
    expressions.iter().map(show).collect::<Vec<_>>().join(",")
}

fn show(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Int { value, .. } => value.to_string(),
        ExprKind::Str(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Target(name) => format!("${name}"),
        ExprKind::TargetAll(name) => format!("$${name}"),
        ExprKind::Dump { value, deep } => format!("<dump{} {}>", if *deep { "2" } else { "1" }, show(value)),
        ExprKind::Call { name, arguments } => format!("{}({})", name.name, list(arguments)),
        ExprKind::At { name, arguments } => format!("@{}({})", name.name, list(arguments)),
        ExprKind::Member { base, arrow, name } => {
            format!("{}{}{}", show(base), if *arrow { "->" } else { "." }, name.name)
        }
        ExprKind::Index { base, indices } => format!("{}[{}]", show(base), list(indices)),
        ExprKind::Unary { op, operand } => format!("<{op:?} {}>", show(operand)),
        ExprKind::Binary { op, left, right } => format!("<{} {} {}>", show(left), op.as_str(), show(right)),
        ExprKind::Ternary { condition, then, otherwise } => {
            format!("<{} ? {} : {}>", show(condition), show(then), show(otherwise))
        }
        ExprKind::In { keys, map } => format!("<[{}] in {}>", list(keys), map.name),
        ExprKind::Assign { target, op, value } => {
            format!("<{} {}= {}>", show(target), op.map_or("", BinaryOp::as_str), show(value))
        }
        ExprKind::Step { target, up, prefix } => {
            format!("<{}{} {}>", if *prefix { "pre" } else { "post" }, if *up { "++" } else { "--" }, show(target))
        }
        ExprKind::Paren(inner) => format!("({})", show(inner)),
        ExprKind::Broken => "BROKEN".to_owned(),
    }
}

#[test]
fn precedence_is_that_of_c_and_systemtap() {
    for (text, expected) in [
        ("1 + 2 * 3", "<1 + <2 * 3>>"),
        ("1 - 2 - 3", "<<1 - 2> - 3>"),
        ("a . b + c", "<a . <b + c>>"),
        ("a << b . c", "<a << <b . c>>"),
        ("a < b << c", "<a < <b << c>>"),
        ("a == b < c", "<a == <b < c>>"),
        ("a & b == c", "<a & <b == c>>"),
        ("a ^ b & c | d", "<<a ^ <b & c>> | d>"),
        ("a || b && c", "<a || <b && c>>"),
        ("a && k in m", "<a && <[k] in m>>"),
        ("a + 1 in m && b", "<<[<a + 1>] in m> && b>"),
        ("[a, b] in m || c", "<<[a,b] in m> || c>"),
        ("a ? b : c ? d : e", "<a ? b : <c ? d : e>>"),
        ("a ? b ? c : d : e", "<a ? <b ? c : d> : e>"),
        ("a || b ? c : d", "<<a || b> ? c : d>"),
        ("y = z = 3", "<y = <z = 3>>"),
        ("y += z ? 1 : 2", "<y += <z ? 1 : 2>>"),
        ("s .= t", "<s .= t>"),
        ("-a * b", "<<Neg a> * b>"),
        ("!a && ~b", "<<Not a> && <BitNot b>>"),
        ("- -a - -b", "<<Neg <Neg a>> - <Neg b>>"),
        ("*$p++", "<Deref <post++ $p>>"),
        ("--x - y--", "<<pre-- x> - <post-- y>>"),
        ("&$a && &$b", "<<AddressOf $a> && <AddressOf $b>>"),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn a_dot_selects_a_member_of_traced_values_only() {
    for (text, expected) in [
        ("$a.b", "$a.b"),
        ("$a . b", "$a.b"),
        ("$a->b.c[1].d", "$a->b.c[1].d"),
        ("$a->next->in", "$a->next->in"),
        ("@var(\"x\").y", "@var(\"x\").y"),
        ("@cast($p, \"t\")->x.y", "@cast($p,\"t\")->x.y"),
        ("@entry($a).b", "@entry($a).b"),
        ("(*$p).x", "(<Deref $p>).x"),
        ("( &$p ).x", "(<AddressOf $p>).x"),
        ("a . b", "<a . b>"),
        ("a.b", "<a . b>"),
        ("f($a).b", "<f($a) . b>"),
        ("($a).b", "<($a) . b>"),
        ("m[1].b", "<m[1] . b>"),
        ("@count(m).b", "<@count(m) . b>"),
        ("$a . \"text\"", "<$a . \"text\">"),
        ("$a . f(b)", "<$a . f(b)>"),
        ("\"a\" . $b.c . \"d\"", "<<\"a\" . $b.c> . \"d\">"),
        ("p->x", "p->x"),
        ("$req$", "<dump1 $req>"),
        ("$req->x$$", "<dump2 $req->x>"),
        ("$$parms", "$$parms"),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn a_newline_ends_a_statement_unless_it_cannot() {
    let count = |body: &str| statements(body).len();
    assert_eq!(count("x = a +\n b\ny = c"), 2);
    assert_eq!(count("x = (a\n+ b)\ny = m[1,\n2]"), 2);
    assert_eq!(count("x++; y++\nz++"), 3);
    assert_eq!(count("if (x)\n\n y++\n\n else\n z++\nw++"), 2);
    assert_eq!(count("if (x) { y++ } w++"), 2);
    assert_eq!(count("x = a /* \n */ + b"), 1);
    assert_eq!(count("x = a # + \n++b"), 2);
}

#[test]
fn dangling_else_belongs_to_the_nearest_if() {
    let statement = statements("if (a) if (b) x++; else y++").remove(0);
    let StmtKind::If { then, otherwise: None, .. } = statement.kind else { panic!("{statement:?}") };
    assert!(matches!(then.kind, StmtKind::If { otherwise: Some(_), .. }));
}

#[test]
fn spans_cover_what_was_written() {
    let text = "# first\nprobe host:/a.fn(\"f\")?, end\n  if ($x)\n{\n  y = m[ 1 ] + 2 # why\n}\n  global g\n";
    let file = file(text);
    let slice = |span: crate::source::Span| text.get(span.range()).unwrap();
    assert_eq!(slice(file.items[0].span), "probe host:/a.fn(\"f\")?, end\n  if ($x)\n{\n  y = m[ 1 ] + 2 # why\n}");
    assert_eq!(slice(file.items[1].span), "global g");
    assert_eq!(file.comments.iter().map(|c| slice(c.span)).collect::<Vec<_>>(), ["# first", "# why"]);
    let ItemKind::Probe(probe) = &file.items[0].kind else { panic!() };
    assert_eq!(slice(probe.points[0].span), "host:/a.fn(\"f\")?");
    assert!(probe.points[0].optional && !probe.points[1].optional);
    let body = probe.body.as_ref().unwrap();
    assert_eq!(slice(body.span), "{\n  y = m[ 1 ] + 2 # why\n}");
    assert_eq!(slice(body.statements[0].span), "y = m[ 1 ] + 2");
    let StmtKind::Expr(Expr { kind: ExprKind::Assign { target, value, .. }, .. }) = &body.statements[0].kind else {
        panic!()
    };
    assert_eq!((slice(target.span), slice(value.span)), ("y", "m[ 1 ] + 2"));
    let ExprKind::Binary { left, .. } = &value.kind else { panic!() };
    assert_eq!(slice(left.span), "m[ 1 ]");
}

#[test]
fn points_keep_what_they_name() {
    let (point, diagnostics) =
        parse_target(SOURCE, "container(name=\"web\", label=\"a=b\"):/app//b#c.so.fn(\"my_*\").call.return");
    assert_eq!(diagnostics, []);
    let Some(Point { kind: PointKind::Site { who, place: Some(Where::Path { path, quoted: false }), what }, .. }) =
        point
    else {
        panic!("{point:?}")
    };
    assert_eq!(who.kind, WhoKind::Container);
    let names: Vec<_> = who.arguments.iter().map(|a| a.name.as_ref().map(|n| n.name.as_str())).collect();
    assert_eq!(names, [Some("name"), Some("label")]);
    assert_eq!(path.text(), "/app//b#c.so");
    let What::Fn { name, narrow, returns, .. } = what else { panic!("{what:?}") };
    assert_eq!((name.text().as_ref(), narrow, returns), ("my_*", Some(Narrow::Call), true));
}

#[test]
fn targets_may_stop_early() {
    for (text, place, what) in [
        ("host:/usr/bin/x", true, false),
        ("container(\"web\")", false, false),
        ("pid(12):exe.line(\"f.c:*\")", true, true),
        ("  pod(\"ns/a\").mark(\"*\")\n", false, true),
    ] {
        let (point, diagnostics) = parse_target(SOURCE, text);
        assert_eq!(diagnostics, [], "{text}");
        let Some(Point { kind: PointKind::Site { place: found, what: fires, .. }, .. }) = point else {
            panic!("{text}")
        };
        assert_eq!((found.is_some(), fires != What::Nothing), (place, what), "{text}");
    }
    let (point, diagnostics) = parse_target(SOURCE, "web:/app/bin");
    assert!(point.is_none() && diagnostics.len() == 1, "{diagnostics:?}");
    let (_, diagnostics) = parse_target(SOURCE, "host:/app/bin.function(\"f\")");
    assert_eq!(diagnostics[0].message, "`.function` is not known here");
    assert_eq!(diagnostics[0].primary.span.range(), 13..22);
}

#[test]
fn allow_comments_go_to_what_follows() {
    let file =
        file("# ctp: allow(W0001, w0002)\n// more\nglobal g\nprobe begin {\n  # ctp: allow(W0003)\n  x++\n  y++\n}");
    assert_eq!(file.items[0].allows, [Code::W0001, Code::W0002]);
    assert_eq!(file.items[1].allows, []);
    let ItemKind::Probe(Probe { body: Some(body), .. }) = &file.items[1].kind else { panic!() };
    assert_eq!(body.statements[0].allows, [Code::W0003]);
    assert_eq!(body.statements[1].allows, []);
}

#[test]
fn broken_text_leaves_the_rest_of_the_tree() {
    let (file, diagnostics) =
        parse(SOURCE, "global a\nprob begin { }\nprobe begin {\n x = )\n y = 1\n}\nprobe end { if (x) { }\nglobal b\n");
    assert_eq!(diagnostics.len(), 3);
    let kinds: Vec<_> = file.items.iter().map(|i| matches!(i.kind, ItemKind::Broken)).collect();
    assert_eq!(kinds, [false, true, false, false, false]);
    let ItemKind::Probe(Probe { body: Some(body), .. }) = &file.items[2].kind else { panic!() };
    assert_eq!(body.statements.len(), 2);
    assert_eq!(body.statements[0].kind, StmtKind::Broken);
}

#[test]
fn units_and_characters_are_numbers() {
    assert_eq!(shape("10ms + 4K + 'A' + '\\n' + 'é'"), "<<<<10000000 + 4096> + 65> + 10> + 233>");
    assert_eq!(shape("0xffff_ffff_ffff_ffff"), "-1");
}

#[test]
fn foreach_in_full() {
    let statement = statements("foreach (v = [a+, b] in m @avg- limit 10) f(v)").remove(0);
    let StmtKind::Foreach(each) = statement.kind else { panic!() };
    assert_eq!(each.value.map(|v| v.name), Some("v".to_owned()));
    let keys: Vec<_> = each.keys.iter().map(|(k, o)| (k.name.as_str(), *o)).collect();
    assert_eq!(keys, [("a", Some(Order::Rising)), ("b", None)]);
    assert_eq!(each.map.name, "m");
    let (aggregate, order) = each.sort.unwrap();
    assert_eq!((aggregate.map(|a| a.name), order), (Some("avg".to_owned()), Order::Falling));
    assert!(each.limit.is_some());
}
