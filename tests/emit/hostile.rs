//! Names and strings from containers, whatever bytes they hold: the script has the same probes and literals, or there
//! is none. `stap -p1` without a tapset is quick enough for many.

use ctp_lang::codes::Code;
use ctp_lang::debuginfo::facts::{AddressRule, SiteKind};
use ctp_lang::emit::stap::{Options, emit};
use ctp_lang::ir::{
    Constant, EnumIndex, EnumNames, Exits, Expr, ExprKind, Global, GlobalKind, Returns, Show, Ty, Variant,
};

use crate::programs::{
    container, expr, handler, in_memory, print, probe, program, shown, site, sources, span, variants, words,
};
use crate::stap::Root;

const NASTY: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    "\n",
    "\r",
    "\r\n",
    "%{",
    "%}",
    "%(",
    "%)",
    "@1",
    "$1",
    "$$",
    "@#",
    "//",
    "/*",
    "*/",
    "#",
    "\0",
    "\u{7f}",
    "\u{202e}",
    "\u{2028}",
    "é",
    "%s%n",
    "%",
    "\\n",
    "\\",
    "???/",
    "`id`",
    "$(id)",
    "'",
    "*",
    "?",
    "[",
    "}",
    "{",
    ";",
    "!",
    "\nprobe begin { system(\"id\") }\n",
    "\"); system(\"id\"); printf(\"",
    "*/ probe begin { exit() } /*",
    "@define x %( y %)",
    "\u{1b}[2J",
    "a\tb",
    "\\001",
    "\\",
    "0",
    "7",
];

/// A generator of numbers, the same in each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("below end")
    }

    fn name(&mut self) -> String {
        (0..=self.below(4)).map(|_| NASTY[self.below(NASTY.len())]).collect()
    }
}

/// The string literals of what `stap -p1` prints, as bytes.
fn literals(printed: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut bytes = printed.bytes();
    while bytes.any(|byte| byte == b'"') {
        let mut literal = Vec::new();
        while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
            literal.push(byte);
            if byte == b'\\' {
                literal.extend(bytes.next());
            }
        }
        all.push(unescaped(&literal));
    }
    all
}

/// The bytes that C's escapes stand for.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (b'\\', Some(b'0'..=b'7')) => {
                let mut value = 0u32;
                for _ in 0..3 {
                    let Some(digit) = bytes.next_if(|byte| matches!(byte, b'0'..=b'7')) else { break };
                    value = value * 8 + u32::from(digit - b'0');
                }
                out.push(u8::try_from(value).expect("an octal byte"));
            }
            (b'\\', Some(next)) => {
                bytes.next();
                let letters =
                    [(b'n', b'\n'), (b't', b'\t'), (b'r', b'\r'), (b'a', 7), (b'b', 8), (b'v', 11), (b'f', 12)];
                out.push(letters.iter().find(|(letter, _)| *letter == next).map_or(next, |(_, byte)| *byte));
            }
            (other, _) => out.push(other),
        }
    }
    out
}

#[test]
fn hostile_names_change_nothing() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let root = Root::with(&[]);
    // Each takes stap a tenth of a second; CTP_HOSTILE_NAMES=1000 for more.
    let count = std::env::var("CTP_HOSTILE_NAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(150usize);
    let mut parsed = 0;
    for _ in 0..count {
        let [name, path, function, image, text, enumerator, file] = std::array::from_fn(|_| numbers.name());
        let string = |s: &str| expr(Ty::Str, ExprKind::Str(s.as_bytes().to_vec()));
        let enum_value =
            expr(Ty::Int, ExprKind::Extend { value: Box::new(Expr::int(3, span())), bits: 8, signed: false });
        let body = vec![
            print(vec![
                words(&text),
                words("|"),
                shown(string(&text), Show::Text),
                shown(enum_value, Show::Enum(EnumIndex(0))),
            ]),
            print(vec![shown(in_memory(&function, vec![]), Show::Signed)]),
        ];
        let kind = SiteKind::Inlined { into: function.clone(), call: None };
        let sites = vec![site(&function, 0x1139, kind, AddressRule::InlineEntry)];
        let mut program = program(vec![probe(sites, body)]);
        program.containers = vec![container(&name)];
        program.containers[0].image = Some(image);
        program.containers[0].cgroup.as_mut().expect("a cgroup").folder = format!("/sys/fs/cgroup/{name}");
        program.files[0].path = format!("/{path}");
        program.enums = vec![EnumNames { name: Some(enumerator.clone()), names: vec![(3, enumerator.clone())] }];
        let initial = Constant::Str(text.as_bytes().to_vec());
        let kind = GlobalKind::Scalar { ty: Ty::Str, initial };
        program.globals = vec![Global { name: "g".into(), span: span(), kind, printed_at_end: true }];
        let mut sources = sources(&format!("probe {text}\n"));
        sources.add(file, "x");
        let script = match emit(&program, &sources, &Options::default()) {
            Ok(script) => script.text,
            Err(diagnostics) => {
                assert!(text.contains('\0'), "{diagnostics:?}");
                continue;
            }
        };
        assert!(script.bytes().all(|b| matches!(b, b'\n' | b' '..=b'~')), "{script}");
        let answer = root.stap(&script, &["-p1"]).accepted(&script);
        // Comments are not printed: what stands there is what it will run.
        let points: Vec<&str> = answer.out.lines().filter(|line| line.starts_with("probe ")).collect();
        assert_eq!(points, ["probe process(\"/run/ctp/t0\").statement(4409){", "probe end(1000){"], "{}", answer.out);
        let literals = literals(&answer.out);
        assert!(literals.contains(&text.as_bytes().to_vec()), "{text:?}\n{script}\n{}", answer.out);
        let mut format = text.replace('%', "%%");
        format = format.replace('\0', "%c") + "|%s%s";
        // stap keeps a format as it is written until C reads it, so what it prints is escaped twice.
        assert!(
            literals.iter().any(|literal| unescaped(literal) == format.as_bytes()),
            "{text:?}\n{script}\n{}",
            answer.out
        );
        if !enumerator.contains('\0') {
            assert!(literals.contains(&enumerator.into_bytes()), "{script}\n{}", answer.out);
        }
        parsed += 1;
    }
    assert!(parsed > count / 2, "most of {count} can be expressed");
}

/// A return is named by its function, so a name that is more than one is refused, whatever it holds.
#[test]
fn the_return_of_a_function_with_a_hostile_name_is_refused() {
    for nasty in NASTY {
        let name = format!("f{nasty}");
        let mut returned = site(&name, 0x1139, SiteKind::OutOfLine, AddressRule::LowPc);
        let frame = expr(Ty::Int, ExprKind::Int(8));
        returned.exits = Some(Exits { frame, places: Vec::new(), unwinds: false });
        let handler = handler(vec![print(vec![words("returned\n")])]);
        let variant = Variant { sites: vec![returned], handler, returns: Some(Returns::default()), frame: None };
        let emitted = emit(&program(vec![variants(vec![variant])]), &sources(""), &Options::default());
        if nasty.bytes().all(|byte| byte.is_ascii_digit()) {
            assert!(emitted.is_ok(), "{name:?} is a plain name");
            continue;
        }
        let refused = emitted.expect_err(&name);
        assert!(refused.iter().all(|one| one.code == Code::E0302), "{name:?}: {refused:#?}");
    }
}
