//! Runs a program under gdb with a breakpoint at every address that ctp chose, and evaluates there, in registers and
//! memory that gdb reads, what ctp says of each value. Knows nothing of how ctp came to it.

use std::fmt::Write as _;
use std::process::Command;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::{BinaryOp, Compute, Function, Location, Site, Type, TypeId, UnaryOp, VariableKind};

use crate::build::Program;

/// What happened in one run.
pub(crate) struct Run {
    /// The lines the program printed, in order.
    pub(crate) printed: Vec<String>,
    /// The same lines as ctp's addresses and locations give them, in order; `?` for a value without location.
    pub(crate) hits: Vec<String>,
}

/// Runs `program` with breakpoints at all sites of `functions`.
pub(crate) fn run(program: &Program, module: &Module, functions: &[Function]) -> Run {
    let output = program.path.with_extension("out");
    let hits = program.path.with_extension("hits");
    let script = program.path.with_extension("py");
    let _ = std::fs::remove_file(&hits);
    std::fs::write(&script, text(module, functions, &output, &hits)).unwrap();
    let gdb = Command::new("gdb")
        .args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-x"])
        .arg(&script)
        .arg(&program.path)
        .output()
        .unwrap();
    let read = |path| std::fs::read_to_string(path).map(|text| text.lines().map(str::to_owned).collect());
    let hits = read(&hits).unwrap_or_else(|_| panic!("gdb: {}", String::from_utf8_lossy(&gdb.stderr)));
    Run { printed: read(&output).unwrap(), hits }
}

const PRELUDE: &str = r#"
import gdb
gdb.execute("set pagination off")
gdb.execute("set confirm off")
U = (1 << 64) - 1
NAMES = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"] + ["r%d" % n for n in range(8, 16)]
def R(n): return int(gdb.parse_and_eval("(unsigned long)$" + NAMES[n])) & U
def M(a, size): return int.from_bytes(gdb.selected_inferior().read_memory(a & U, size), "little")
def S(v, bits=64): v &= (1 << bits) - 1; return v - (1 << bits) if v >> (bits - 1) else v
def Z(v, bits): return v & ((1 << bits) - 1)
def main(): return int(gdb.parse_and_eval("(unsigned long)&main"))
"#;

fn text(module: &Module, functions: &[Function], output: &std::path::Path, hits: &std::path::Path) -> String {
    let mut sites = String::new();
    for function in functions {
        for site in &function.sites {
            writeln!(sites, "  ({:#x}, {:?}, [", site.address, function.name).unwrap();
            for (label, value) in leaves_of(module, site) {
                writeln!(sites, "    ({label:?}, lambda: {value}),").unwrap();
            }
            writeln!(sites, "  ]),").unwrap();
        }
    }
    format!(
        r#"{PRELUDE}
linked = main()
gdb.execute("starti > {output}")
bias = main() - linked
SITES = [
{sites}]
for address in sorted(set(site[0] for site in SITES)): gdb.Breakpoint("*%d" % (address + bias))
log = open("{hits}", "w")
while True:
    gdb.execute("continue")
    if gdb.selected_thread() is None: break
    pc = int(gdb.parse_and_eval("(unsigned long)$pc")) - bias
    for address, name, values in SITES:
        if address == pc: print(name, *("%s=%s" % (label, value()) for label, value in values), file=log)
log.close()
"#,
        output = output.display(),
        hits = hits.display()
    )
}

/// The scalar parts of every parameter: what the programs print, and the Python that computes it.
fn leaves_of(module: &Module, site: &Site) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    for variable in site.variables.iter().filter(|variable| variable.kind == VariableKind::Parameter) {
        let mut parts = Vec::new();
        parts_of(module, variable.ty, &variable.name, 0, &mut parts);
        for (label, from, bits, signed) in parts {
            let value = value_of(&variable.location, from, bits)
                .map(|value| if signed { format!("S({value}, {bits})") } else { format!("Z({value}, {bits})") });
            leaves.push((label, value.unwrap_or_else(|| "'?'".to_owned())));
        }
    }
    leaves
}

/// Label, offset in bits, width in bits, whether signed.
type Part = (String, u64, u64, bool);

fn parts_of(module: &Module, ty: Option<TypeId>, label: &str, from: u64, parts: &mut Vec<Part>) {
    use ctp_lang::debuginfo::facts::Encoding;
    match module.ty(ty.expect("a parameter of C has a type")).unwrap() {
        Type::Base { encoding, size, .. } => {
            let signed = matches!(encoding, Encoding::Signed | Encoding::SignedChar);
            parts.push((label.to_owned(), from, size * 8, signed));
        }
        Type::Enum { size, signed, .. } => parts.push((label.to_owned(), from, size * 8, signed)),
        Type::Pointer { size, .. } => parts.push((label.to_owned(), from, size * 8, false)),
        Type::Typedef { target, .. } | Type::Qualified { target, .. } => parts_of(module, target, label, from, parts),
        Type::Aggregate { members, .. } => {
            for member in members {
                let label = format!("{label}.{}", member.name.unwrap());
                let Some((bit, width)) = member.bits else {
                    parts_of(module, member.ty, &label, from + member.offset * 8, parts);
                    continue;
                };
                let mut inner = Vec::new();
                parts_of(module, member.ty, &label, 0, &mut inner);
                parts.push((label, from + bit, width, inner[0].3));
            }
        }
        other => panic!("{label}: {other:?}"),
    }
}

fn value_of(location: &Location, from: u64, bits: u64) -> Option<String> {
    match location {
        Location::Memory(address) => {
            let (byte, shift) = (from / 8, from % 8);
            let size = (shift + bits).div_ceil(8);
            Some(format!("(M({} + {byte}, {size}) >> {shift})", python(address)))
        }
        Location::Register(register) => Some(format!("(R({}) >> {from})", register.0)),
        Location::Value(value) => Some(format!("(({} & U) >> {from})", python(value))),
        Location::Bytes(bytes) => Some(format!("(int.from_bytes(bytes({bytes:?}), 'little') >> {from})")),
        Location::Pieces(pieces) => {
            let mut start = 0;
            for piece in pieces {
                if from >= start && from + bits <= start + piece.bits {
                    return value_of(&piece.location, from - start + piece.bit_offset, bits);
                }
                start += piece.bits;
            }
            None
        }
        Location::ImplicitPointer { .. } | Location::Unavailable(_) => None,
    }
}

fn python(compute: &Compute) -> String {
    match compute {
        Compute::Const(value) => format!("({value})"),
        Compute::Register(register) | Compute::Returned(register) => format!("R({})", register.0),
        Compute::ModuleAddress(address) => format!("({address:#x} + bias)"),
        Compute::ThreadPointer => "(int(gdb.parse_and_eval('$fs_base')) & U)".to_owned(),
        Compute::Deref { address, size } => format!("M({}, {size})", python(address)),
        Compute::Unary(op, operand) => {
            let operand = python(operand);
            match op {
                UnaryOp::Neg => format!("(-{operand} & U)"),
                UnaryOp::Not => format!("(~{operand} & U)"),
                UnaryOp::Abs => format!("abs(S({operand}))"),
                UnaryOp::ZeroExtend(bits) => format!("Z({operand}, {bits})"),
                UnaryOp::SignExtend(bits) => format!("(S({operand}, {bits}) & U)"),
            }
        }
        Compute::Binary(op, left, right) => {
            let (left, right) = (python(left), python(right));
            match op {
                BinaryOp::Add => format!("(({left} + {right}) & U)"),
                BinaryOp::Sub => format!("(({left} - {right}) & U)"),
                BinaryOp::Mul => format!("(({left} * {right}) & U)"),
                BinaryOp::And => format!("({left} & {right} & U)"),
                BinaryOp::Or => format!("(({left} | {right}) & U)"),
                BinaryOp::Xor => format!("(({left} ^ {right}) & U)"),
                BinaryOp::Shl => format!("(({left} << {right}) & U)"),
                BinaryOp::ShrLogical => format!("(({left} & U) >> {right})"),
                BinaryOp::ShrArithmetic => format!("((S({left}) >> {right}) & U)"),
                BinaryOp::DivSigned => format!("(int(S({left}) / S({right})) & U)"),
                BinaryOp::ModUnsigned => format!("(({left} & U) % ({right} & U))"),
                BinaryOp::Eq => format!("int(S({left}) == S({right}))"),
                BinaryOp::Ne => format!("int(S({left}) != S({right}))"),
                BinaryOp::Lt => format!("int(S({left}) < S({right}))"),
                BinaryOp::Le => format!("int(S({left}) <= S({right}))"),
                BinaryOp::Gt => format!("int(S({left}) > S({right}))"),
                BinaryOp::Ge => format!("int(S({left}) >= S({right}))"),
            }
        }
    }
}
