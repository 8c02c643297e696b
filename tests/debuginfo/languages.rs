//! Functions of C++, Rust and Go, drawn at random: what ctp says of their names, parameters, types, sizes and member
//! offsets, against gdb. Differences are counted by the rule that explains them; one without a rule fails.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::{Function, Member, SiteKind, Type, TypeId, VariableKind};

use crate::companions;
use crate::whole::{dump, hex, plain, rust_program, size, spelled, word};

/// How the draw begins; it is printed, and another one draws others.
const SEED: u64 = 0x5eed_0004;

/// How many functions of each language.
const DRAWN: usize = 400;

/// The functions that have code of their own, `DRAWN` of them in the order of a shuffle (xorshift64).
fn draw(functions: Vec<Function>) -> Vec<Function> {
    let mut whole: Vec<Function> =
        functions.into_iter().filter(|function| function.sites[0].kind == SiteKind::OutOfLine).collect();
    whole.sort_by_key(|function| function.sites[0].entry);
    whole.dedup_by_key(|function| function.sites[0].entry);
    let all = whole.len();
    let mut state = SEED;
    for at in (1..whole.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        whole.swap(at, usize::try_from(state % (at as u64 + 1)).unwrap());
    }
    whole.truncate(DRAWN);
    println!("seed {SEED:#x}: {} of {all} functions", whole.len());
    whole
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-languages");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn built(mut command: Command, path: PathBuf, source: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let output = command.arg("-o").arg(&path).arg(source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// C++'s pointers to members: ctp does not read them and says so of each; neither tool's size of them is compared.
const MEMBER_POINTER: &str = "member pointer";

fn members(module: &Module, members: &[Member]) -> Vec<String> {
    let shown = members.iter().map(|member| {
        let from = member.bits.map_or(member.offset * 8, |(from, _)| from);
        let width = member.bits.map_or(0, |(_, width)| width);
        let name = if member.base_class { "base" } else { member.name.as_deref().unwrap_or("-") };
        match plain(module, member.ty) {
            Some(Type::MemberPointer { .. }) => format!("{name}@{from}+{width}/{MEMBER_POINTER}"),
            _ => format!("{name}@{from}+{width}/{}", size(module, member.ty)),
        }
    });
    shown.collect()
}

/// Kind, size, name and members of a type; of what a pointer leads to as well, one level.
fn shape(module: &Module, ty: Option<TypeId>, depth: u32) -> String {
    let all = size(module, ty);
    match plain(module, ty) {
        None => "void".to_owned(),
        Some(Type::Base { name, .. }) => format!("base {} {all}", spelled(&name)),
        Some(Type::Enum { name, enumerators, .. }) => {
            format!("enum \t{}\t {all} {}", name.unwrap_or_default(), enumerators.len())
        }
        Some(Type::Pointer { to, .. }) if depth == 0 => format!("pointer {all} to {}", shape(module, to, 1)),
        Some(Type::Pointer { .. }) => format!("pointer {all}"),
        Some(Type::Array { .. }) => format!("array {all}"),
        Some(Type::Function) => "function".to_owned(),
        Some(Type::Aggregate { kind, name: Some(name), size: None, .. })
            if let Ok(Some(whole)) = module.named_type(&format!("{} {name}", word(kind)), ty) =>
        {
            shape(module, Some(whole), depth)
        }
        Some(Type::Aggregate { name, members: own, variants, .. }) => {
            let mut shown = members(module, &own);
            if let Some(part) = variants {
                shown.extend(members(module, part.discriminant.as_slice()));
                for variant in &part.variants {
                    shown.extend(members(module, &variant.members));
                }
            }
            format!("aggregate \t{}\t {all} {}", name.unwrap_or_default(), shown.join(","))
        }
        Some(Type::MemberPointer { .. }) => MEMBER_POINTER.to_owned(),
        Some(Type::Unknown(what)) => format!("unknown {what}"),
        Some(Type::Typedef { .. } | Type::Qualified { .. }) => unreachable!("plain() is behind them"),
    }
}

/// The same in gdb's Python.
const GDB: &str = r#"
import gdb
K = {getattr(gdb, n): n[10:] for n in dir(gdb) if n.startswith("TYPE_CODE_")}
MEMBERS = ("MEMBERPTR", "METHODPTR")
def plain(t): return t.strip_typedefs().unqualified()
def spelled(name):
    words = name.split()
    if "long" in words or "short" in words: words = [w for w in words if w != "int"]
    return "-".join(sorted(words))
def size(t):
    t = plain(t)
    code = K[t.code]
    if code in ("VOID", "FUNC"): return 1
    if code == "ARRAY":
        low, high = t.range()
        return max(0, high - low + 1) * size(t.target())
    return t.sizeof
def member(f):
    # Of a virtual base gdb has no offset without an object.
    if f.is_base_class and f.bitpos is None: return "virtual/%d" % size(f.type)
    name = "base" if f.is_base_class else f.name or "-"
    if K[plain(f.type).code] in MEMBERS: return "%s@%d+%d/member pointer" % (name, f.bitpos, f.bitsize)
    return "%s@%d+%d/%d" % (name, f.bitpos, f.bitsize, size(f.type))
def shape(t, depth):
    t = plain(t)
    code = K[t.code]
    if code == "VOID": return "void"
    if code in MEMBERS: return "member pointer"
    if code in ("INT", "CHAR", "BOOL", "FLT", "COMPLEX"): return "base %s %d" % (spelled(t.name), size(t))
    if code == "ENUM": return "enum \t%s\t %d %d" % (t.tag or t.name or "", size(t), len(t.fields()))
    if code in ("PTR", "REF", "RVALUE_REF"):
        return "pointer %d to %s" % (size(t), shape(t.target(), 1)) if depth == 0 else "pointer %d" % size(t)
    if code == "ARRAY": return "array %d" % size(t)
    if code == "FUNC": return "function"
    if code in ("STRUCT", "UNION"):
        m = [member(f) for f in t.fields() if hasattr(f, "bitpos")]
        return "aggregate \t%s\t %d %s" % (t.tag or t.name or "", size(t), ",".join(m))
    return "%s %s" % (code, t.name)
for address in ADDRESSES:
    block = gdb.block_for_pc(address)
    # Out of what is inlined at the entry, up to the function itself; not into the one that a lambda is in.
    own = None
    while block and not block.is_static:
        if block.function is not None and (own is None or block.start == address): own = block
        elif block.function is not None and own.start != address: own = block
        block = block.superblock
    block = own
    print("FUNCTION %x %s" % (address, block.function.linkage_name if block else "?"))
    if block:
        for s in block:
            if s.is_argument: print("PARAMETER %s %s" % (s.name, shape(s.type, 0)))
"#;

/// What gdb says of the function at each address: its linkage name, and its parameters.
fn gdb(path: &Path, chosen: &[Function]) -> HashMap<u64, (String, Vec<String>)> {
    let addresses: Vec<String> = chosen.iter().map(|function| function.sites[0].entry.to_string()).collect();
    let script = path.with_extension("gdb.py");
    std::fs::write(&script, format!("ADDRESSES = [{}]\n{GDB}", addresses.join(", "))).unwrap();
    let output = Command::new("gdb")
        .args(["-batch", "-nx", "-iex", "set debuginfod enabled off"])
        .arg(path)
        .arg("-x")
        .arg(&script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut theirs: HashMap<u64, (String, Vec<String>)> = HashMap::new();
    let mut current = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("FUNCTION ") {
            let (address, name) = rest.split_once(' ').unwrap();
            current = hex(address).unwrap();
            theirs.insert(current, (name.to_owned(), Vec::new()));
        } else if let Some(rest) = line.strip_prefix("PARAMETER ") {
            theirs.get_mut(&current).unwrap().1.push(rest.to_owned());
        }
    }
    theirs
}

/// The name alone, without the namespaces, modules and types around it.
fn unqualified(name: &str) -> &str {
    let (mut depth, mut from, mut before) = (0_i32, 0, ' ');
    for (at, letter) in name.char_indices() {
        match letter {
            '<' | '(' | '{' | '[' => depth += 1,
            '>' if before != '-' => depth -= 1,
            ')' | '}' | ']' => depth -= 1,
            ':' if depth == 0 && before == ':' => from = at + 1,
            _ => {}
        }
        before = letter;
    }
    name.get(from..).unwrap_or(name)
}

/// The words and signs of a name of C++, in an order that says nothing of where `const` stands.
fn words(name: &str) -> Vec<String> {
    let name = name
        .replace("long long unsigned int", "unsigned long long")
        .replace("long unsigned int", "unsigned long")
        .replace("short unsigned int", "unsigned short")
        .replace("long long int", "long long")
        .replace("long int", "long")
        .replace("short int", "short");
    let mut words = vec![String::new()];
    for letter in name.chars() {
        let inside = letter.is_alphanumeric() || letter == '_';
        match words.last_mut() {
            Some(last) if inside => last.push(letter),
            Some(_) | None if inside || letter == ' ' => words.push(String::new()),
            Some(_) | None => words.extend([letter.to_string(), String::new()]),
        }
    }
    for word in words.iter_mut().filter(|word| word.starts_with(|first: char| first.is_ascii_digit())) {
        // `4` and `4ul`.
        word.truncate(word.trim_end_matches(['u', 'l']).len());
    }
    words.retain(|word| !word.is_empty());
    words.sort_unstable();
    words
}

/// gcc's common name of a constructor's or destructor's variants (`C4`, `D4`), where gdb has the one of this variant.
fn unified(ours: &str, theirs: &str) -> bool {
    let differing: Vec<(char, char)> = ours.chars().zip(theirs.chars()).filter(|(mine, other)| mine != other).collect();
    ours.len() == theirs.len()
        && (ours.contains("C4") || ours.contains("CI4") || ours.contains("D4"))
        && matches!(differing[..], [('4', '0' | '1' | '2')])
}

/// Why the two write one type's name in different ways: the rule, if there is one.
fn why(ours: &str, theirs: &str) -> Option<&'static str> {
    // The name of ctp's `Type` is the one that the debug info gives the type itself; gdb's has the namespaces in front.
    if ours == unqualified(theirs) {
        return Some("gdb names the namespace too");
    }
    // gdb writes the names of C++ in a form of its own (`X const*` for `const X*`, `unsigned long` for
    // `long unsigned int`); the name in the debug info is the compiler's, and ctp leaves it so. The order of the
    // words is not compared.
    if words(ours) == words(unqualified(theirs)) {
        return Some("gdb spells C++ in its own way");
    }
    None
}

/// How much is the same, and how many names differ by each rule.
#[derive(Debug, Default)]
struct Counts {
    functions: usize,
    same: usize,
    explained: BTreeMap<&'static str, usize>,
}

impl Counts {
    /// Whether two lines are the same but for names that a rule explains.
    fn agree(&mut self, ours: &str, theirs: &str) -> bool {
        // The offset of a virtual base is the object's, not the type's: gdb lists it all the same, without one, ctp does not.
        let (before, after) = theirs.split_once("virtual/").unwrap_or((theirs, ""));
        let behind = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let without = format!("{before}{}", behind.strip_prefix(',').unwrap_or(behind));
        let mut rules = Vec::new();
        if without != theirs {
            rules.push("gdb lists a virtual base");
        }
        if ours.contains(MEMBER_POINTER) {
            rules.push("ctp does not read pointers to members");
        }
        let (mine, other): (Vec<&str>, Vec<&str>) = (ours.split('\t').collect(), without.split('\t').collect());
        if mine.len() != other.len() {
            return false;
        }
        for (at, (mine, other)) in mine.iter().zip(&other).enumerate() {
            if mine != other {
                // Names are the odd ones.
                let Some(rule) = (at % 2 == 1).then(|| why(mine, other)).flatten() else { return false };
                rules.push(rule);
            }
        }
        self.same += 1;
        for rule in rules {
            *self.explained.entry(rule).or_default() += 1;
        }
        true
    }
}

fn compare(path: &Path) -> Counts {
    let module = companions::open(path);
    let chosen = draw(module.functions("*").unwrap());
    let theirs = gdb(path, &chosen);
    let dumped = dump(path);
    let mut counts = Counts::default();
    let mut different = Vec::new();
    for function in &chosen {
        counts.functions += 1;
        let site = &function.sites[0];
        let (name, shapes) = &theirs[&site.entry];
        let own_name = function.linkage_name.as_ref().unwrap_or(&function.name);
        let unnamed = own_name.strip_prefix("{unnamed}::").unwrap_or(own_name);
        if name.strip_prefix(unnamed).is_some_and(|rest| rest.starts_with('(')) && function.linkage_name.is_none() {
            // What is local to one file has no linkage name; gdb then makes one of the parameters' types, and leaves
            // out a class without a name.
            *counts.explained.entry("gdb makes up a linkage name").or_default() += 1;
        } else if unified(own_name, name) {
            // The name is the abstract instance's, which stands for all variants; readers see the demangled one.
            *counts.explained.entry("the common name of constructors").or_default() += 1;
        } else if own_name != name {
            different.push(format!("name\n  ctp {own_name} ({})\n  gdb {name}", function.name));
        }
        // Go's results are parameters to gdb, though DWARF marks them (`DW_AT_variable_parameter`); they have no value
        // when the function begins.
        let results = dumped.get(&site.entry).map(|one| one.results.as_slice()).unwrap_or_default();
        let mut gdbs = shapes.clone();
        gdbs.retain(|shape| !shape.split_once(' ').is_some_and(|(name, _)| results.iter().any(|one| one == name)));
        if gdbs.len() != shapes.len() {
            *counts.explained.entry("gdb counts results among the parameters").or_default() +=
                shapes.len() - gdbs.len();
        }
        let parameters = site.variables.iter().filter(|variable| variable.kind == VariableKind::Parameter);
        let own: Vec<String> = parameters.map(|one| format!("{} {}", one.name, shape(&module, one.ty, 0))).collect();
        if own.len() != gdbs.len() {
            different.push(format!("{own_name}: count\n  ctp {own:?}\n  gdb {gdbs:?}"));
            continue;
        }
        // gdb puts behind the others what the optimiser left only in the abstract instance; ctp keeps the declared order.
        let first = |shape: &str| shape.split(' ').next().unwrap_or_default().to_owned();
        let order: Vec<String> = gdbs.iter().map(|shape| first(shape)).collect();
        if own.iter().map(|shape| first(shape)).ne(order.iter().cloned()) {
            let concrete = dumped.get(&site.entry).map(|one| one.names()).unwrap_or_default();
            let left = own.iter().map(|shape| first(shape)).filter(|name| !concrete.contains(name));
            let expected: Vec<String> = concrete.iter().cloned().chain(left).collect();
            if expected == order {
                *counts.explained.entry("gdb lists last what was optimised out").or_default() += 1;
                gdbs.sort_by_key(|shape| own.iter().position(|one| first(one) == first(shape)));
            }
        }
        for (ours, theirs) in own.iter().zip(&gdbs) {
            if !counts.agree(ours, theirs) {
                different.push(format!("{own_name}\n  ctp {ours}\n  gdb {theirs}"));
            }
        }
    }
    println!("{counts:#?}");
    assert!(
        different.is_empty(),
        "{} differ of {counts:#?}:\n{}",
        different.len(),
        different.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    counts
}

#[test]
fn whole_cpp_is_gdbs() {
    let mut command = Command::new("g++");
    command.args(["-O2", "-fno-inline", "-g", "-std=c++17"]);
    let path = built(command, folder().join("cpp"), "debuginfo/cpp/whole.cpp");
    let counts = compare(&path);
    assert!(counts.functions == DRAWN && counts.same > 700, "{counts:#?}");
}

#[test]
fn whole_rust_is_gdbs() {
    // As `-g`; under another name than the one that a test beside this one compiles.
    let path = rust_program(&["-Cdebuginfo=2"]);
    let counts = compare(&path);
    assert!(counts.functions == DRAWN && counts.same > 150, "{counts:#?}");
}

#[test]
fn whole_go_is_gdbs() {
    let folder = folder();
    let mut command = Command::new("go");
    command.arg("build").env("GOCACHE", folder.join("cache")).env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    let path = built(command, folder.join("go"), "live/matrix/values.go");
    let counts = compare(&path);
    assert!(counts.functions == DRAWN && counts.same > 500, "{counts:#?}");
}
