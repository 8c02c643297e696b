//! Owns the typed, engine-neutral form of a checked program: what both engines and the interpreter run. Knows neither
//! DWARF expressions nor how an engine does its work.

use std::sync::Arc;

use crate::debuginfo::facts::{AddressRule, BuildId, Register, SiteKind};
use crate::source::Span;
use crate::world::{Container, FileId};

/// A checked program. All indices below point into its vectors.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Every container that some probe matches, each once.
    pub containers: Vec<Container>,
    /// Every file that some probe attaches to, each once.
    pub files: Vec<File>,
    /// Globals in the order of their declaration.
    pub globals: Vec<Global>,
    /// The enumerators of the enumerations that are shown by name.
    pub enums: Vec<EnumNames>,
    /// Probes in the order of the source; one with several points is several probes.
    pub probes: Vec<Probe>,
    /// Points with `?` behind them that match nothing, as written.
    pub unmatched: Vec<String>,
}

/// Index into [`Program::containers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerIndex(pub u32);
/// Index into [`Program::files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIndex(pub u32);
/// Index into [`Program::globals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GlobalIndex(pub u32);
/// Index into [`Program::enums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnumIndex(pub u32);
/// Index into [`Program::probes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeIndex(pub u32);
/// Index into [`Handler::locals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalIndex(pub u32);

/// A file that is probed.
#[derive(Clone, Debug)]
pub struct File {
    /// The world's id: the runner holds the descriptor that was checked under it.
    pub id: FileId,
    /// The path as its containers see it.
    pub path: String,
    /// Its build id, where it has one.
    pub build_id: Option<BuildId>,
}

/// The types of values at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ty {
    /// 64 bits, signed, wrapping.
    Int,
    /// Bytes, at most as many as the engine's string limit (`--strlen`).
    Str,
}

impl std::fmt::Display for Ty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ty::Int => "int",
            Ty::Str => "str",
        })
    }
}

/// A global of the program.
#[derive(Clone, Debug)]
pub struct Global {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Scalar or map.
    pub kind: GlobalKind,
    /// Whether it is printed when tracing ends because nothing reads it.
    pub printed_at_end: bool,
}

/// What a global holds.
#[derive(Clone, Debug, PartialEq)]
pub enum GlobalKind {
    /// One value.
    Scalar {
        /// Its type.
        ty: Ty,
        /// What it holds at first.
        initial: Constant,
    },
    /// A map from tuples to values.
    Map {
        /// Types of the key's parts, at least one.
        keys: Vec<Ty>,
        /// Type of the values.
        value: Ty,
        /// How many entries it may hold, where declared (`--map-size` otherwise).
        size: Option<u32>,
    },
}

/// A value known when compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    /// A number.
    Int(i64),
    /// Bytes.
    Str(Vec<u8>),
}

impl Constant {
    /// Its type.
    pub fn ty(&self) -> Ty {
        match self {
            Constant::Int(_) => Ty::Int,
            Constant::Str(_) => Ty::Str,
        }
    }
}

/// Enumerators for showing numbers by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumNames {
    /// The enumeration's name, where it has one.
    pub name: Option<String>,
    /// Value and name; of several names of one value the first counts. A value without name is shown as a number.
    pub names: Vec<(i64, String)>,
}

/// One probe point with its handlers.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The point as written, e.g. `container("web"):/app/bin.fn("f")`: what `pp()` gives and summaries name.
    pub point: String,
    /// Where it is written.
    pub span: Span,
    /// When it fires and what runs then.
    pub kind: ProbeKind,
}

/// When a probe fires.
#[derive(Clone, Debug)]
pub enum ProbeKind {
    /// When tracing starts.
    Begin(Handler),
    /// When tracing ends.
    End(Handler),
    /// Every `period` nanoseconds.
    Every {
        /// The period in nanoseconds, at least 1 ms.
        period: u64,
        /// What runs.
        handler: Handler,
    },
    /// At addresses of files. Each variant is a handler with the sites for which its loads are right.
    Sites(Vec<Variant>),
}

/// A handler and the sites at which it is right.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Where it runs; at least one site.
    pub sites: Vec<Site>,
    /// What runs.
    pub handler: Handler,
}

/// One address of one file, and the containers whose tasks count there.
#[derive(Clone, Debug)]
pub struct Site {
    /// The file.
    pub file: FileIndex,
    /// Containers whose hits count; tasks of all others are ignored.
    pub containers: Arc<[ContainerIndex]>,
    /// The link-time address.
    pub address: u64,
    /// The same as an offset into the file.
    pub file_offset: u64,
    /// The function (demangled).
    pub function: Arc<str>,
    /// What stands there.
    pub kind: SiteKind,
    /// How the address was chosen.
    pub rule: AddressRule,
    /// Whether a loop leads back to it, so that one call may hit several times.
    pub repeats: bool,
}

/// Statements with their locals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handler {
    /// Types of the locals; all start as 0 or `""`.
    pub locals: Vec<Ty>,
    /// The condition of `probe … if (…)`: a hit for which it is 0 counts as filtered.
    pub condition: Option<Expr>,
    /// What runs.
    pub body: Vec<Stmt>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// Sets a local.
    SetLocal(LocalIndex, Expr),
    /// Computes a value for its effects ([`ExprKind::Update`]) and drops it.
    Effect(Expr),
    /// `if`
    If {
        /// Not 0: `then`.
        condition: Expr,
        /// Runs where the condition holds.
        then: Vec<Stmt>,
        /// Runs otherwise.
        otherwise: Vec<Stmt>,
    },
    /// `printf`, `print`, `println`.
    Print(Print),
    /// `next`: ends this handler.
    Next,
    /// `exit()`: ends this handler, then the run.
    Exit,
}

/// One output statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// What is written, in order.
    pub pieces: Vec<Piece>,
    /// Where it is written in the source.
    pub span: Span,
}

/// Part of an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// These bytes.
    Text(Vec<u8>),
    /// A value.
    Value(Shown),
    /// A value that has no location at these sites: the text stands in its place, e.g. `<optimized out>`.
    Unavailable {
        /// What is shown.
        text: &'static str,
        /// Width and alignment.
        spec: Spec,
    },
}

/// A value in an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The value.
    pub value: Expr,
    /// How it is shown.
    pub show: Show,
    /// Width, precision and flags.
    pub spec: Spec,
    /// What happens when it cannot be read: true shows `<fault>` in its place, false (it is the result of a
    /// computation) stops the run of the handler.
    pub fault_is_shown: bool,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A signed decimal number.
    Signed,
    /// An unsigned decimal number.
    Unsigned,
    /// Hexadecimal digits; upper case or not.
    Hex {
        /// `%X`
        upper: bool,
    },
    /// Octal digits.
    Octal,
    /// `0x` and hexadecimal digits.
    Pointer,
    /// The byte of that number.
    Char,
    /// `true` or `false`.
    Bool,
    /// An enumerator's name, or the number where none fits.
    Enum(EnumIndex),
    /// A string's bytes.
    Text,
}

/// Width, precision and flags of a conversion, as in C's printf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spec {
    /// `-`
    pub left: bool,
    /// `0`
    pub zero: bool,
    /// `+`
    pub plus: bool,
    /// a space
    pub space: bool,
    /// `#`
    pub alternate: bool,
    /// The least number of characters, at most 4096.
    pub width: Option<u16>,
    /// Digits at least, or characters of text at most.
    pub precision: Option<u16>,
}

/// An expression; evaluation order is left to right, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Its type.
    pub ty: Ty,
    /// What it is.
    pub kind: ExprKind,
    /// Where it is written.
    pub span: Span,
}

/// The kinds of expressions. "Faults" means: the run of the handler stops, or `<fault>` is shown
/// ([`Shown::fault_is_shown`]).
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number.
    Int(i64),
    /// Bytes.
    Str(Vec<u8>),
    /// A local's value.
    Local(LocalIndex),
    /// A scalar global's value.
    Global(GlobalIndex),
    /// A map's value for a key; 0 or `""` where there is none (nothing is inserted).
    MapGet(GlobalIndex, Vec<Expr>),
    /// Whether a map has a key: 1 or 0.
    MapHas(GlobalIndex, Vec<Expr>),
    /// Something of the task or the moment.
    Context(Context),
    /// A value of the traced program: what was written, and how it is computed at these sites. `value` never
    /// contains another `Target`.
    Target(Target),
    /// The whole 64 bits of a general register (0–15) at the site.
    Register(Register),
    /// The run-time address of a link-time address of the probed file (the load bias is: program counter minus the
    /// site's address).
    ModuleAddress(u64),
    /// `size` bytes (1, 2, 4, 8) of the target's memory at an address; faults.
    Load {
        /// The address.
        address: Box<Expr>,
        /// How many bytes.
        size: u8,
        /// Whether it is sign-extended (else zero-extended).
        signed: bool,
    },
    /// The lowest `bits` bits (1–63) of a number, extended to 64.
    Extend {
        /// The number.
        value: Box<Expr>,
        /// How many bits.
        bits: u8,
        /// Whether it is sign-extended (else zero-extended).
        signed: bool,
    },
    /// The NUL-terminated text at an address of the target, cut at the string limit and marked; faults.
    UserString(Box<Expr>),
    /// An operator with one operand.
    Unary(UnaryOp, Box<Expr>),
    /// An operator with two numbers; division and remainder by 0 fault.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// A comparison of two numbers (signed), or of two strings (bytes, lexicographic): 1 or 0.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `&&` (true) or `||` (false), which leave out the right operand where the left decides: 1 or 0.
    Logic {
        /// Whether it is `&&`.
        and: bool,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `c ? a : b`
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    /// Strings one behind the other, cut at the string limit and marked.
    Concat(Vec<Expr>),
    /// Changes a global and gives its value; an update by [`UpdateOp::Add`] loses nothing on any number of cpus.
    Update {
        /// Which global.
        global: GlobalIndex,
        /// The key, for a map; empty for a scalar.
        keys: Vec<Expr>,
        /// How.
        op: UpdateOp,
        /// The operand.
        value: Box<Expr>,
        /// Whether the value before the change is wanted (else the one after it).
        before: bool,
    },
}

/// A value of the traced program as written and as computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The variable's DWARF name (without `$`).
    pub variable: String,
    /// What is done with it, in the order written.
    pub steps: Vec<TargetStep>,
    /// How it is computed at these sites.
    pub value: Box<Expr>,
}

/// A step from a variable into it.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetStep {
    /// `->name` or `.name`: both are written `->` in SystemTap.
    Member(String),
    /// `[i]`
    Index(Expr),
    /// unary `*`
    Deref,
    /// The text a `char *` points to, or a `char[]` holds (`user_string`).
    Text,
}

/// What a handler can ask about the task and the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// Process id in the host's pid namespace (the thread group's).
    Pid,
    /// Thread id in the host's pid namespace.
    Tid,
    /// Process id as the container sees it.
    NsPid,
    /// Thread id as the container sees it.
    NsTid,
    /// The thread's name, at most 15 bytes.
    Comm,
    /// Display name of the container.
    Container,
    /// Full id of the container.
    ContainerId,
    /// Monotonic clock in ns (`CLOCK_MONOTONIC`).
    Now,
    /// User id in the host's user namespace.
    Uid,
    /// Group id in the host's user namespace.
    Gid,
    /// The cpu's number.
    Cpu,
    /// The function that was hit.
    ProbeFunction,
    /// The probe point as written.
    ProbePoint,
}

/// Operators of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// Two's complement.
    Neg,
    /// Every bit turned.
    BitNot,
    /// 1 for 0, else 0.
    Not,
}

/// Operators of two numbers; all wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// Signed, towards 0; the least number divided by -1 is itself.
    Div,
    /// Signed: the sign is the left operand's; the least number modulo -1 is 0.
    Mod,
    /// Unsigned remainder (of DWARF expressions).
    ModUnsigned,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `<<`, by the right operand modulo 64.
    Shl,
    /// Arithmetic `>>`, by the right operand modulo 64.
    Shr,
    /// Logical shift right, by the right operand modulo 64.
    ShrLogical,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// How a global changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpdateOp {
    /// Becomes the operand.
    Set,
    /// Grows by the operand (numbers; also `-=` with the operand negated), atomically.
    Add,
}

impl Expr {
    /// A number.
    pub fn int(value: i64, span: Span) -> Expr {
        Expr { ty: Ty::Int, kind: ExprKind::Int(value), span }
    }

    /// Calls `visit` on every direct operand.
    pub fn operands<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            ExprKind::Int(_)
            | ExprKind::Str(_)
            | ExprKind::Local(_)
            | ExprKind::Global(_)
            | ExprKind::Context(_)
            | ExprKind::Register(_)
            | ExprKind::ModuleAddress(_) => {}
            ExprKind::MapGet(_, list) | ExprKind::MapHas(_, list) | ExprKind::Concat(list) => {
                list.iter().for_each(visit)
            }
            ExprKind::Target(target) => visit(&target.value),
            ExprKind::Load { address: one, .. }
            | ExprKind::Extend { value: one, .. }
            | ExprKind::UserString(one)
            | ExprKind::Unary(_, one) => visit(one),
            ExprKind::Binary(_, left, right)
            | ExprKind::Compare(_, left, right)
            | ExprKind::Logic { left, right, .. } => {
                visit(left);
                visit(right);
            }
            ExprKind::Ternary(condition, then, otherwise) => {
                visit(condition);
                visit(then);
                visit(otherwise);
            }
            ExprKind::Update { keys, value, .. } => {
                keys.iter().for_each(&mut *visit);
                visit(value);
            }
        }
    }
}

impl Program {
    /// The container of an index.
    pub fn container(&self, index: ContainerIndex) -> Option<&Container> {
        self.containers.get(index.0 as usize)
    }

    /// The file of an index.
    pub fn file(&self, index: FileIndex) -> Option<&File> {
        self.files.get(index.0 as usize)
    }

    /// All sites of all probes, each with its probe.
    pub fn sites(&self) -> impl Iterator<Item = (ProbeIndex, &Site)> {
        (0u32..).map(ProbeIndex).zip(&self.probes).flat_map(|(index, probe)| {
            let variants: &[Variant] = match &probe.kind {
                ProbeKind::Sites(variants) => variants,
                ProbeKind::Begin(_) | ProbeKind::End(_) | ProbeKind::Every { .. } => &[],
            };
            variants.iter().flat_map(|variant| &variant.sites).map(move |site| (index, site))
        })
    }
}
