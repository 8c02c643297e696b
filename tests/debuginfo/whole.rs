//! Whole programs, every function of them: what ctp says of each parameter at the address it would probe, against
//! llvm-dwarfdump (with readelf's frames) and gdb. Differences are counted by kind; each kind that is allowed is
//! explained where it is.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::{
    AggregateKind, Function, Location, SiteKind, Type, TypeId, Unavailable, VariableKind,
};

use crate::companions;
use crate::evaluate::{self, Machine};

/// Debian's python3.11-dbg, gcc -Og.
const PYTHON: &str = "/usr/bin/python3.11d";

/// A Rust program with generics, enumerations, closures and what it uses of the standard library.
pub(crate) fn rust_program(flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-whole");
    std::fs::create_dir_all(&folder).unwrap();
    let label: String = flags.iter().flat_map(|flag| flag.chars()).filter(char::is_ascii_alphanumeric).collect();
    let path = folder.join(format!("rust-{label}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("debuginfo/rust/whole.rs");
    let output = Command::new("rustc")
        .args(flags)
        .args(["--edition=2021", "--crate-name=whole", "-o"])
        .arg(&path)
        .arg(source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// A parameter as llvm-dwarfdump prints it.
struct Dumped {
    name: String,
    /// Of a list: from, to, expression. Of a single one: everywhere.
    locations: Vec<(u64, u64, String)>,
    constant: bool,
}

/// A function as llvm-dwarfdump prints it.
#[derive(Default)]
pub(crate) struct Subprogram {
    entries: Vec<u64>,
    frame_base: String,
    parameters: Vec<Dumped>,
    /// Names of the parameters that are results (`DW_AT_variable_parameter`, Go).
    pub(crate) results: Vec<String>,
}

impl Subprogram {
    /// The parameters' names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.parameters.iter().map(|parameter| parameter.name.clone()).filter(|name| !name.is_empty()).collect()
    }
}

pub(crate) fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

/// The text between the parentheses that follow an attribute's name.
fn quoted(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

/// Reads the functions with code out of llvm-dwarfdump's text, by address.
pub(crate) fn dump(path: &Path) -> HashMap<u64, Subprogram> {
    let output = Command::new("llvm-dwarfdump").arg("--debug-info").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<Subprogram> = Vec::new();
    // The open subprogram by depth, and what attributes belong to.
    let mut open: Option<usize> = None;
    let mut in_parameter = false;
    let mut attribute = "";
    for line in text.lines() {
        if line.starts_with("0x") && line.contains(": ") {
            let (_, rest) = line.split_once(':').unwrap();
            let tag = rest.trim_start();
            let depth = rest.len() - tag.len();
            if open.is_some_and(|at| depth <= at) {
                open = None;
            }
            in_parameter = false;
            attribute = "";
            if tag.starts_with("DW_TAG_subprogram") {
                open = Some(depth);
                found.push(Subprogram::default());
            } else if tag.starts_with("DW_TAG_formal_parameter") && open.is_some_and(|at| depth == at + 2) {
                in_parameter = true;
                let parameter = Dumped { name: String::new(), locations: Vec::new(), constant: false };
                found.last_mut().unwrap().parameters.push(parameter);
            } else if open.is_some() {
                attribute = "elsewhere";
            }
            continue;
        }
        if open.is_none() || attribute == "elsewhere" {
            continue;
        }
        let trimmed = line.trim();
        let subprogram = found.last_mut().unwrap();
        if let Some(name) = trimmed.strip_prefix("DW_AT_") {
            attribute = name.split('\t').next().unwrap_or(name);
        }
        if in_parameter {
            let parameter = subprogram.parameters.last_mut().unwrap();
            match attribute {
                "name" | "abstract_origin" => {
                    if let Some(name) = quoted(trimmed) {
                        parameter.name = name.to_owned();
                    }
                }
                "const_value" => parameter.constant = true,
                "variable_parameter" if trimmed.contains("(true)") || trimmed.contains("(0x01)") => {
                    let name = parameter.name.clone();
                    subprogram.results.push(name);
                }
                "location" => {
                    if let Some(range) = trimmed.strip_prefix('[') {
                        let (range, expression) = range.split_once("): ").unwrap_or((range, ""));
                        let (low, high) = range.split_once(", ").unwrap();
                        let last =
                            !trimmed.contains('(') || trimmed.matches('(').count() < trimmed.matches(')').count() - 1;
                        let expression =
                            if last { expression.strip_suffix(')').unwrap_or(expression) } else { expression };
                        let high = high.trim_end_matches([')', ':']);
                        parameter.locations.push((hex(low).unwrap(), hex(high).unwrap(), expression.to_owned()));
                    } else if let Some((_, expression)) = trimmed.split_once("\t(")
                        && !expression.starts_with("0x")
                    {
                        let expression = expression.strip_suffix(')').unwrap_or(expression);
                        parameter.locations.push((0, u64::MAX, expression.to_owned()));
                    }
                }
                _ => {}
            }
        } else {
            match attribute {
                "low_pc" => {
                    subprogram.entries.extend(trimmed.split_once('(').and_then(|(_, at)| hex(at.trim_end_matches(')'))))
                }
                "ranges" => subprogram
                    .entries
                    .extend(trimmed.strip_prefix('[').and_then(|range| hex(range.split(',').next().unwrap()))),
                "frame_base" => {
                    if let Some((_, base)) = trimmed.split_once("\t(") {
                        subprogram.frame_base = base.strip_suffix(')').unwrap_or(base).to_owned();
                    }
                }
                _ => {}
            }
        }
    }
    let mut by_entry = HashMap::new();
    for subprogram in found {
        if let Some(entry) = subprogram.entries.first() {
            by_entry.insert(*entry, subprogram);
        }
    }
    by_entry
}

/// The rules for the CFA as readelf prints them: from an address on, register and offset.
fn frames(path: &Path) -> BTreeMap<u64, Option<(u16, i64)>> {
    let output = Command::new("readelf").arg("--debug-dump=frames-interp").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rules = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(address), Some(rule)) = (fields.next(), fields.next()) else { continue };
        let Some(address) = (address.len() == 16).then(|| hex(address)).flatten() else { continue };
        let parsed = rule
            .split_once('+')
            .and_then(|(register, offset)| Some((evaluate::register(register)?, offset.parse().ok()?)));
        if parsed.is_some() || rule == "exp" {
            rules.insert(address, parsed);
        }
    }
    rules
}

/// Counts of what became of the parameters.
#[derive(Debug, Default)]
struct Counts {
    same: usize,
    /// Neither tool has a location.
    nowhere: usize,
    /// The test's reader does not know an operation: typed ones, pointers to what is gone.
    not_read: usize,
    /// ctp says why it will not give a value that DWARF describes.
    withheld: BTreeMap<String, usize>,
    different: Vec<String>,
}

/// Holds every parameter of every function against the dump.
fn compare(path: &Path, functions: &[Function]) -> Counts {
    let dumped = dump(path);
    let frames = frames(path);
    let mut counts = Counts::default();
    for function in functions {
        for site in function.sites.iter().filter(|site| site.kind == SiteKind::OutOfLine) {
            let Some(subprogram) = dumped.get(&site.entry) else {
                counts.different.push(format!("{} at {:#x} is in no dump", function.name, site.entry));
                continue;
            };
            let cfa = frames.range(..=site.address).next_back().and_then(|(_, rule)| *rule);
            let machine = Machine { cfa, frame_base: &subprogram.frame_base, at_entry: site.address == site.entry };
            for parameter in subprogram.parameters.iter().filter(|parameter| !parameter.name.is_empty()) {
                let place = format!("{} {} at {:#x}", function.name, parameter.name, site.address);
                let mut own = site
                    .variables
                    .iter()
                    .filter(|own| own.kind == VariableKind::Parameter && own.name == parameter.name);
                let Some(own) = own.next() else {
                    counts.different.push(format!("{place}: not found"));
                    continue;
                };
                let covers =
                    |(low, high, text): &&(u64, u64, String)| (*low..*high).contains(&site.address) && !text.is_empty();
                let expression = parameter.locations.iter().find(covers).map(|(_, _, text)| text.as_str());
                match (expression.map(|text| machine.evaluate(text)), &own.location) {
                    (None, Location::Unavailable(Unavailable::OptimizedOut { .. })) => counts.nowhere += 1,
                    (None, Location::Value(_) | Location::Bytes(_)) if parameter.constant => counts.same += 1,
                    (Some(Ok(theirs)), ours) => {
                        if evaluate::places(ours) == Some(theirs.clone()) {
                            counts.same += 1;
                        } else if let Location::Unavailable(why) = ours {
                            let why = match why {
                                Unavailable::VectorRegister => "vector register".to_owned(),
                                Unavailable::Unsupported(why) => why.clone(),
                                Unavailable::OptimizedOut { .. } => "optimized out".to_owned(),
                            };
                            *counts.withheld.entry(why).or_default() += 1;
                        } else {
                            counts.different.push(format!("{place}: {theirs:?} in the dump, {ours:?}"));
                        }
                    }
                    (Some(Err(_)), _) => counts.not_read += 1,
                    (None, ours) => counts.different.push(format!("{place}: nothing in the dump, {ours:?}")),
                }
            }
        }
    }
    counts
}

#[test]
fn every_parameter_of_python_is_where_dwarfdump_says() {
    let path = Path::new(PYTHON);
    let module = companions::open(path);
    let functions = module.functions("*").unwrap();
    let counts = compare(path, &functions);
    println!("{counts:#?}");
    assert!(counts.same > 24_000, "{counts:#?}");
    assert!(counts.different.is_empty(), "{:#?}", counts.different.iter().take(20).collect::<Vec<_>>());
    assert!(counts.not_read * 1000 < counts.same, "{counts:#?}");
    assert!(counts.withheld.values().sum::<usize>() * 100 < counts.same, "{counts:#?}");
}

#[test]
fn every_parameter_of_a_rust_program_is_where_dwarfdump_says() {
    for flags in [&["-g"][..], &["-g", "-O"][..]] {
        let path = rust_program(flags);
        let module = companions::open(&path);
        let functions = module.functions("*").unwrap();
        let counts = compare(&path, &functions);
        println!("{flags:?} {counts:#?}");
        assert!(counts.same > 15, "{counts:#?}");
        assert!(counts.different.is_empty(), "{flags:?}: {:#?}", counts.different);
    }
}

/// What gdb and ctp say of the parameters of a function: a line for each.
fn ours(module: &Module, function: &Function) -> Vec<String> {
    let site = &function.sites[0];
    let parameters = site.variables.iter().filter(|variable| variable.kind == VariableKind::Parameter);
    parameters.map(|parameter| format!("{} {}", parameter.name, shape(module, parameter.ty, 0))).collect()
}

/// Behind typedefs and qualifiers.
pub(crate) fn plain(module: &Module, mut ty: Option<TypeId>) -> Option<Type> {
    loop {
        match module.ty(ty?).unwrap() {
            Type::Typedef { target, .. } | Type::Qualified { target, .. } => ty = target,
            other => return Some(other),
        }
    }
}

pub(crate) fn size(module: &Module, ty: Option<TypeId>) -> u64 {
    match plain(module, ty) {
        Some(
            Type::Base { size, .. }
            | Type::Pointer { size, .. }
            | Type::Enum { size, .. }
            | Type::MemberPointer { size, .. },
        ) => size,
        Some(Type::Aggregate { size, .. }) => size.unwrap_or(0),
        Some(Type::Array { element, counts }) => {
            counts.iter().map(|count| count.unwrap_or(0)).product::<u64>() * size(module, element)
        }
        Some(Type::Function) | None => 1,
        Some(Type::Typedef { .. } | Type::Qualified { .. } | Type::Unknown(_)) => 0,
    }
}

/// gdb writes `long` for `long int`, and so on.
pub(crate) fn spelled(name: &str) -> String {
    let mut words: Vec<&str> = name.split_whitespace().collect();
    if words.contains(&"long") || words.contains(&"short") {
        words.retain(|word| *word != "int");
    }
    words.sort_unstable();
    words.join("-")
}

pub(crate) fn word(kind: AggregateKind) -> &'static str {
    match kind {
        AggregateKind::Struct => "struct",
        AggregateKind::Class => "class",
        AggregateKind::Union => "union",
    }
}

/// Kind, size, name and members of a type; of what a pointer leads to as well, one level.
fn shape(module: &Module, ty: Option<TypeId>, depth: u32) -> String {
    let all = size(module, ty);
    match plain(module, ty) {
        None => "void".to_owned(),
        Some(Type::Base { name, .. }) => format!("base {} {all}", spelled(&name)),
        Some(Type::Enum { name, enumerators, .. }) => {
            format!("enum {} {all} {}", name.unwrap_or_default(), enumerators.len())
        }
        Some(Type::Pointer { to, .. }) if depth == 0 => format!("pointer {all} to {}", shape(module, to, 1)),
        Some(Type::Pointer { .. }) => format!("pointer {all}"),
        Some(Type::Array { .. }) => format!("array {all}"),
        Some(Type::Function) => "function".to_owned(),
        // gdb takes a declaration for the definition in another unit, and so does the checker.
        Some(Type::Aggregate { kind, name: Some(name), size: None, .. })
            if let Ok(Some(whole)) = module.named_type(&format!("{} {name}", word(kind)), ty) =>
        {
            shape(module, Some(whole), depth)
        }
        Some(Type::Aggregate { name, members, .. }) => {
            let members = members.iter().map(|member| {
                let from = member.bits.map_or(member.offset * 8, |(from, _)| from);
                let width = member.bits.map_or(0, |(_, width)| width);
                format!("{}@{from}+{width}/{}", member.name.as_deref().unwrap_or("-"), size(module, member.ty))
            });
            let members: Vec<String> = members.collect();
            format!("aggregate {} {all} {}", name.unwrap_or_default(), members.join(","))
        }
        Some(Type::MemberPointer { .. } | Type::Typedef { .. } | Type::Qualified { .. } | Type::Unknown(_)) => {
            "unknown".to_owned()
        }
    }
}

const GDB: &str = r#"
import gdb
K = {getattr(gdb, n): n for n in dir(gdb) if n.startswith("TYPE_CODE_")}
def plain(t): return t.strip_typedefs().unqualified()
def spelled(name):
    words = name.split()
    if "long" in words or "short" in words: words = [w for w in words if w != "int"]
    return "-".join(sorted(words))
def size(t):
    t = plain(t)
    if K[t.code] in ("TYPE_CODE_VOID", "TYPE_CODE_FUNC"): return 1
    if K[t.code] == "TYPE_CODE_ARRAY":
        low, high = t.range()
        return max(0, high - low + 1) * size(t.target())
    return t.sizeof
def shape(t, depth):
    t = plain(t)
    code = K[t.code]
    if code == "TYPE_CODE_VOID": return "void"
    if code in ("TYPE_CODE_INT", "TYPE_CODE_CHAR", "TYPE_CODE_BOOL", "TYPE_CODE_FLT"):
        return "base %s %d" % (spelled(t.name), size(t))
    if code == "TYPE_CODE_ENUM": return "enum %s %d %d" % (t.tag or "", size(t), len(t.fields()))
    if code == "TYPE_CODE_PTR":
        return "pointer %d to %s" % (size(t), shape(t.target(), 1)) if depth == 0 else "pointer %d" % size(t)
    if code == "TYPE_CODE_ARRAY": return "array %d" % size(t)
    if code == "TYPE_CODE_FUNC": return "function"
    if code in ("TYPE_CODE_STRUCT", "TYPE_CODE_UNION"):
        m = ["%s@%d+%d/%d" % (f.name or "-", f.bitpos, f.bitsize, size(f.type)) for f in t.fields()]
        return "aggregate %s %d %s" % (t.tag or "", 0 if not t.fields() and t.sizeof <= 1 else size(t), ",".join(m))
    return code
for address in ADDRESSES:
    block = gdb.block_for_pc(address)
    # Out of what is inlined at the entry, up to the function itself.
    while block and (block.function is None or not block.superblock.is_static): block = block.superblock
    print("FUNCTION %x %s" % (address, block.function.name if block else "?"))
    if block:
        for s in block:
            if s.is_argument: print("PARAMETER %s %s" % (s.name, shape(s.type, 0)))
"#;

#[test]
fn names_types_sizes_and_members_are_gdbs() {
    let path = Path::new(PYTHON);
    let module = companions::open(path);
    let functions = module.functions("Py*").unwrap();
    let whole: Vec<&Function> =
        functions.iter().filter(|function| function.sites[0].kind == SiteKind::OutOfLine).collect();
    // Spread over the whole program, the same ones each time.
    let step = (whole.len() / 1_200).max(1);
    let chosen: Vec<&Function> = whole.into_iter().step_by(step).collect();
    assert!(chosen.len() >= 1_000, "{}", chosen.len());
    let addresses: Vec<String> = chosen.iter().map(|function| function.sites[0].entry.to_string()).collect();
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-whole.py");
    std::fs::write(&script, format!("ADDRESSES = [{}]\n{GDB}", addresses.join(", "))).unwrap();
    let output = Command::new("gdb")
        .args(["-batch", "-nx", "-iex", "set debuginfod enabled off", PYTHON, "-x"])
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
    let (mut same, mut parameters) = (0, 0);
    let mut different = Vec::new();
    for function in &chosen {
        let (name, shapes) = &theirs[&function.sites[0].entry];
        let own = ours(&module, function);
        parameters += own.len();
        if *name == function.name && own == *shapes {
            same += 1;
        } else {
            different.push(format!("{}: {own:#?}\ngdb: {name}: {shapes:#?}", function.name));
        }
    }
    println!("{same} of {} functions, {parameters} parameters", chosen.len());
    assert!(parameters > 1_500, "{parameters}");
    assert!(
        different.is_empty(),
        "{} differ: {}",
        different.len(),
        different.iter().take(5).cloned().collect::<Vec<_>>().join("\n")
    );
}
