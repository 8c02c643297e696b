//! Names and strings from containers, whatever bytes they hold: the script has the same probes and literals, or there
//! is none. `stap -p1` without a tapset is quick enough for many.

use std::sync::Arc;

use ctp_lang::codes::Code;
use ctp_lang::debuginfo::facts::{AddressRule, SiteKind};
use ctp_lang::emit::stap::{Options, Written, bpf, emit};
use ctp_lang::ir::{
    Constant, ContainerIndex, Context, EnumIndex, EnumNames, Exits, Expr, ExprKind, File, FileIndex, Global,
    GlobalIndex, GlobalKind, Program, Returns, Show, Stmt, Ty, UpdateOp, Variant,
};
use ctp_lang::world::FileId;

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

/// How many probes, texts, enumerations and globals one script of the test has.
const BATCH: usize = 50;

/// What one probe is made of, whatever bytes are in it.
struct Hostile {
    function: String,
    text: String,
    enumerator: String,
}

/// A program of that many probes in ten files and five containers, each with names of its own.
fn hostile_program(all: &[Hostile], numbers: &mut Numbers) -> Program {
    let string = |s: &str| expr(Ty::Str, ExprKind::Str(s.as_bytes().to_vec()));
    let mut made = program(Vec::new());
    made.containers = (0..5)
        .map(|_| {
            let mut one = container(&numbers.name().replace('\0', "0"));
            one.image = Some(numbers.name());
            one.cgroup.as_mut().expect("a cgroup").folder = format!("/sys/fs/cgroup/{}", numbers.name());
            one
        })
        .collect();
    made.files =
        (0..10).map(|index| File { id: FileId(index), path: format!("/{}", numbers.name()), build_id: None }).collect();
    for (index, one) in (0u32..).zip(all) {
        made.enums.push(EnumNames { name: Some(one.enumerator.clone()), names: vec![(3, one.enumerator.clone())] });
        let initial = Constant::Str(one.text.as_bytes().to_vec());
        let kind = GlobalKind::Scalar { ty: Ty::Str, initial };
        made.globals.push(Global { name: format!("g{index}"), span: span(), kind, printed_at_end: true });
        let number = expr(Ty::Int, ExprKind::Extend { value: Box::new(Expr::int(3, span())), bits: 8, signed: false });
        let body = vec![
            print(vec![
                words(&format!("{index}{}", one.text)),
                words("|"),
                shown(string(&one.text), Show::Text),
                shown(expr(Ty::Str, ExprKind::Context(Context::Container)), Show::Text),
                shown(number, Show::Enum(EnumIndex(index))),
            ]),
            print(vec![shown(in_memory(&one.function, vec![]), Show::Signed)]),
        ];
        let kind = SiteKind::Inlined { into: one.function.clone(), call: None };
        let mut at = site(&one.function, 0x1000 + u64::from(index), kind, AddressRule::InlineEntry);
        at.file = FileIndex(index % 10);
        at.containers = Arc::new([ContainerIndex(index % 5)]);
        made.probes.push(probe(vec![at], body));
    }
    made
}

#[test]
fn hostile_names_change_nothing() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let root = Root::with(&[]);
    for _ in 0..1000 / BATCH {
        let mut all: Vec<Hostile> = (0..BATCH)
            .map(|_| Hostile { function: numbers.name(), text: numbers.name(), enumerator: numbers.name() })
            .collect();
        for one in all.iter_mut().filter(|one| one.text.contains('\0')) {
            // Strings of SystemTap end at a NUL: that is said.
            let alone = hostile_program(std::slice::from_ref(one), &mut numbers);
            let refused = emit(&alone, &sources("x"), &Options::default()).expect_err("a NUL is refused");
            assert!(refused.iter().all(|one| one.code == Code::E0302), "{refused:?}");
            one.text = one.text.replace('\0', "0");
        }
        let program = hostile_program(&all, &mut numbers);
        let mut sources = sources(&format!("probe {}\n", all[0].text));
        sources.add(numbers.name(), "x");
        for written in [Written::Text, Written::Records] {
            let options = Options { written, ..Options::default() };
            let script = emit(&program, &sources, &options).expect("a script").text;
            assert!(script.bytes().all(|b| matches!(b, b'\n' | b' '..=b'~')), "{script}");
            let answer = root.stap(&script, &["-p1"]).accepted(&script);
            // Comments are not printed: what stands there is what it will run.
            let points: Vec<String> =
                answer.out.lines().filter(|line| line.starts_with("probe ")).map(str::to_owned).collect();
            let mut wanted: Vec<String> = (0..BATCH)
                .map(|at| format!("probe process(\"/run/ctp/t{}\").statement({}){{", at % 10, 0x1000 + at))
                .chain(["probe end(1000){".to_owned()])
                .collect();
            if written == Written::Records {
                let files =
                    (1..=5).flat_map(|n| ["cg", "level"].map(|of| format!("probe procfs(\"want_{of}{n}\").write{{")));
                wanted.splice(0..0, ["probe timer.ms(20){".to_owned()].into_iter().chain(files));
            }
            assert_eq!(points, wanted, "{script}\n{}", answer.out);
            let literals = literals(&answer.out);
            let has = |bytes: &[u8]| literals.iter().any(|literal| literal == bytes);
            let formats: Vec<Vec<u8>> = literals.iter().map(|literal| unescaped(literal)).collect();
            for (index, one) in all.iter().enumerate() {
                assert!(has(one.text.as_bytes()), "{:?}\n{script}\n{}", one.text, answer.out);
                if written == Written::Records {
                    continue;
                }
                assert!(one.enumerator.contains('\0') || has(one.enumerator.as_bytes()), "{script}\n{}", answer.out);
                // stap keeps a format as it is written until C reads it, so what it prints is escaped twice.
                let format = format!("{index}{}|%s%s%s", one.text.replace('%', "%%"));
                assert!(formats.iter().any(|known| known == format.as_bytes()), "{format:?}\n{}", answer.out);
            }
            for container in &program.containers {
                assert!(written == Written::Records || has(container.display_name().as_bytes()), "{}", answer.out);
            }
        }
    }
}

/// A return is the return of the function that an address is in: by its name, which may hold anything, it never goes.
#[test]
fn the_return_of_a_function_with_a_hostile_name_is_named_by_its_address() {
    let root = Root::with(&[]);
    let mut probes = Vec::new();
    for (index, nasty) in (0u64..).zip(NASTY) {
        let mut returned = site(&format!("f{nasty}"), 0x1139 + index, SiteKind::OutOfLine, AddressRule::LowPc);
        let frame = expr(Ty::Int, ExprKind::Int(8));
        returned.exits = Some(Exits { frame, places: Vec::new(), unwinds: false, goroutine: false, uretprobe: Ok(()) });
        let handler = handler(vec![print(vec![words("returned\n")])]);
        probes.push(variants(vec![Variant {
            sites: vec![returned],
            handler,
            returns: Some(Returns::default()),
            frame: None,
        }]));
    }
    let script = emit(&program(probes), &sources(""), &Options::default()).expect("a script").text;
    let answer = root.stap(&script, &["-p1"]).accepted(&script);
    let points: Vec<String> =
        answer.out.lines().filter_map(|line| line.strip_prefix("probe process(")).map(str::to_owned).collect();
    let wanted: Vec<String> = (0x1139..)
        .take(NASTY.len())
        .flat_map(|at| {
            [format!("\"/run/ctp/t0\").statement({at}){{"), format!("\"/run/ctp/t0\").function({at}).return{{")]
        })
        .collect();
    assert_eq!(points, wanted, "{}", answer.out);
}

/// In scripts for SystemTap's bpf runtime, which are in guru mode, names stand in comments and in what is printed at the end.
#[test]
fn hostile_names_change_nothing_where_it_only_counts() {
    let root = Root::with(&[]);
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for _ in 0..10 {
        let mut made = program(Vec::new());
        let kind = GlobalKind::Scalar { ty: Ty::Int, initial: Constant::Int(0) };
        made.globals.push(Global { name: "x".to_owned(), span: span(), kind, printed_at_end: true });
        made.containers[0].name = Some(numbers.name().replace('\0', "0"));
        made.containers[0].image = Some(numbers.name());
        made.files[0].path = format!("/{}", numbers.name());
        for index in 0..20u32 {
            let update = ExprKind::Update {
                global: GlobalIndex(0),
                keys: Vec::new(),
                op: UpdateOp::Add,
                value: Box::new(Expr::int(i64::from(index) << 30, span())),
                before: false,
            };
            let mut one = probe(
                vec![site(&numbers.name(), 0x1000 + u64::from(index), SiteKind::OutOfLine, AddressRule::LowPc)],
                vec![Stmt::Effect(expr(Ty::Int, update))],
            );
            one.point = numbers.name();
            made.probes.push(one);
        }
        let mut sources = sources(&numbers.name());
        sources.add(numbers.name(), "x");
        for for_people in [true, false] {
            let options = bpf::Options { for_people, ..bpf::Options::default() };
            let script = bpf::emit(&made, &sources, &options).expect("a script").text;
            assert!(script.bytes().all(|b| matches!(b, b'\n' | b' '..=b'~')), "{script}");
            let answer = root.stap(&script, &["-p1", "-g"]).accepted(&script);
            let points: Vec<&str> = answer.out.lines().filter(|line| line.starts_with("probe ")).collect();
            let wanted: Vec<String> = ["probe begin{".to_owned()]
                .into_iter()
                .chain((0..20).map(|at| format!("probe process(\"/run/ctp/t0\").statement({}){{", 0x1000 + at)))
                .chain(["probe end{".to_owned()])
                .collect();
            assert_eq!(points, wanted, "{script}\n{}", answer.out);
        }
    }
}
