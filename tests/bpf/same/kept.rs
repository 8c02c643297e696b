//! Texts that handlers keep: every conversion, and every moment.

use super::*;

/// Texts that are kept, with every conversion that the kernel has under every flag.
pub(super) fn conversions() -> Vec<(&'static str, Vec<Stmt>)> {
    let spec = Spec::default();
    let wide = Spec { width: Some(12), ..spec };
    let specs = [
        spec,
        wide,
        Spec { left: true, ..wide },
        Spec { zero: true, ..wide },
        Spec { zero: true, left: true, ..wide },
        Spec { plus: true, zero: true, width: Some(25), ..spec },
        Spec { space: true, ..spec },
        Spec { alternate: true, ..spec },
        Spec { alternate: true, zero: true, ..wide },
        Spec { alternate: true, precision: Some(7), left: true, ..wide },
        Spec { precision: Some(0), ..spec },
        Spec { precision: Some(5), plus: true, ..wide },
        Spec { precision: Some(3), zero: true, ..wide },
        Spec { width: Some(1), ..spec },
        Spec { width: Some(100), ..spec },
        Spec { width: Some(100), left: true, ..spec },
        Spec { width: Some(257), zero: true, alternate: true, ..spec },
        Spec { width: Some(300), ..spec },
        Spec { width: Some(300), left: true, ..spec },
        Spec { precision: Some(70), alternate: true, width: Some(80), ..spec },
        Spec { precision: Some(254), alternate: true, plus: true, ..spec },
        Spec { precision: Some(1), alternate: true, ..spec },
    ];
    let numbers = [
        ("%d, kept", Show::Signed),
        ("%u, kept", Show::Unsigned),
        ("%x, kept", Show::Hex { upper: false }),
        ("%X, kept", Show::Hex { upper: true }),
        ("%p, kept", Show::Pointer),
        ("%c, kept", Show::Char),
        ("bool, kept", Show::Bool),
        ("enum, kept", Show::Enum(EnumIndex(0))),
        ("enum of many names, kept", Show::Enum(EnumIndex(1))),
        ("%o, kept", Show::Octal),
        ("character, kept", Show::Unicode),
    ];
    let keep = |value: &dyn Fn() -> Expr, show: Show, spec: Spec| {
        let brace = |text: &str| Piece::Text(text.as_bytes().to_vec());
        set(4, str(ExprKind::Format(vec![brace("["), shown(value(), show, spec), brace("]")])))
    };
    let case = |values: &[&dyn Fn() -> Expr], show: Show| {
        let all = specs.into_iter();
        all.flat_map(|spec| values.iter().flat_map(move |value| [keep(*value, show, spec), say(vec![words(4)])]))
            .collect()
    };
    let far = || load(operate(BinaryOp::Add, argument(3), int(8)), 8, true);
    let mut cases: Vec<_> = numbers.into_iter().map(|(name, show)| (name, case(&[&n, &m, &far], show))).collect();
    cases.push(("%s, kept", case(&[&s, &|| text("ab"), &|| text("")], Show::Text)));
    // One of each length, the first and the last of those that are no characters', and the first behind the last.
    let codes = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdfff, 0xe000, 0xffff, 0x1_0000, 0x10_ffff, 0x11_0000];
    let codes = codes.map(|code| shown(operate(BinaryOp::Add, m(), int(code)), Show::Unicode, spec));
    cases.push(("characters, kept", vec![set(4, str(ExprKind::Format(codes.to_vec()))), say(vec![words(4)])]));
    let missing = Piece::Unavailable { text: "<optimized out>", spec: wide };
    cases.push((
        "a value that is not there, kept",
        vec![set(4, str(ExprKind::Format(vec![missing, shown(n(), Show::Signed, spec)]))), say(vec![words(4)])],
    ));
    let octal = shown(n(), Show::Octal, Spec { alternate: true, ..spec });
    let character = shown(n(), Show::Unicode, spec);
    cases.push((
        "conversions that are only shown",
        vec![Stmt::Print(Print { kind: PrintKind::Text, pieces: vec![octal, character], span: span() })],
    ));
    cases.extend(moments());
    cases
}

/// Moments as texts that are kept: every conversion, on every day around the ends of years, and the first and the last
/// moments that there are.
fn moments() -> Vec<(&'static str, Vec<Stmt>)> {
    let day = |days: Expr| operate(BinaryOp::Mul, days, int(86_400_000_000_000));
    let keep = |format: &str, moment: Expr| set(4, lib_text(Library::Strftime, vec![text(format), moment]));
    let formats = [
        "%a %A %b %B %h|%c|%C %d %D %e %F|%g %G %V|%j %m %u %U %w %W|%x %y %Y",
        "%H:%I:%M:%S.%f %k %l %p%P %r %R %s%n%t %T %X %z %Z %% %q % %",
        "%A%B%a%b",
        "grün %d\u{1}%m",
        "%Y%m%d%H%M%S%f%Y%m%d%H%M%S%f",
        "",
        "no conversion",
    ];
    let ends = || {
        let days = operate(BinaryOp::Add, operate(BinaryOp::Mul, local(0), int(365)), modulo(n(), 8));
        operate(BinaryOp::Add, day(days), operate(BinaryOp::Mul, m(), int(1_000_003)))
    };
    let all = |moment: &dyn Fn() -> Expr| -> Vec<Stmt> {
        formats.iter().flat_map(|format| [keep(format, moment()), say(vec![words(4)])]).collect()
    };
    let far = || load(operate(BinaryOp::Add, argument(3), int(8)), 8, true);
    let years = |format: &str| {
        let body = vec![keep(format, ends()), say(vec![words(4)])];
        vec![set(0, int(-70)), repeat(less(local(0), int(140)), body, vec![grow(0, int(1))])]
    };
    vec![
        ("moments, kept", [all(&n), all(&m), all(&far)].concat()),
        ("the ends of years, kept", years("%F %j %G-%V-%u %U %W %a")),
        ("the ends of years in hours, kept", years("%c %s %f")),
    ]
}
