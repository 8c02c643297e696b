//! Owns expressions, with their operators and the functions of the library, and the way over their operands.

use super::{EntryIndex, FunctionIndex, GlobalIndex, LocalIndex, Piece, StatOp, Ty};
use crate::debuginfo::facts::Register;
use crate::source::Span;

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
/// ([`super::Shown::fault_is_shown`]).
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
    /// The text at an address of the target up to its first NUL, of at most that many bytes (`char[N]`,
    /// `user_string(p, n)`); cut at the string limit and marked; faults.
    UserText {
        /// The address.
        address: Box<Expr>,
        /// How many bytes at most; below 1: none.
        most: Box<Expr>,
    },
    /// That many bytes at an address of the target (Rust's `&str`, Go's `string`, `user_buffer(p, n)`); cut at the
    /// string limit and marked; faults.
    UserBytes {
        /// The address.
        address: Box<Expr>,
        /// How many bytes; below 1: none.
        length: Box<Expr>,
    },
    /// The bytes of a value that is shown whole, of type str but of their own length; faults. Only in
    /// [`super::Whole::block`].
    Block(Block),
    /// What is asked of an aggregate.
    Stat {
        /// The aggregate.
        global: GlobalIndex,
        /// The key; empty for one aggregate.
        keys: Vec<Expr>,
        /// What is asked.
        op: StatOp,
    },
    /// Sets a local and gives its value: the one before, or the one it has then.
    SetLocal {
        /// Which.
        local: LocalIndex,
        /// What it becomes.
        value: Box<Expr>,
        /// Whether the value before the change is wanted.
        before: bool,
    },
    /// A call of a function of the program; 0 where it gives nothing.
    Call(FunctionIndex, Vec<Expr>),
    /// A call of a function of the library, with as many arguments as it takes.
    Library(Library, Vec<Expr>),
    /// `sprintf`: an output as a string, cut at the string limit and marked.
    Format(Vec<Piece>),
    /// What was computed on entry ([`super::Returns::saved`]); faults where that did.
    Entry(EntryIndex),
    /// The whole 64 bits of a general register when the function has returned; faults where the call ended by a jump
    /// into another function, which returns in its stead.
    Returned(Register),
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

/// Where the bytes of a value are.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// In memory.
    Memory {
        /// The address.
        address: Box<Expr>,
        /// How many bytes.
        size: u32,
    },
    /// In parts, one behind the other: the lowest bytes (1–8) of each number.
    Parts(Vec<(Expr, u8)>),
    /// Kept on entry ([`super::Returns::saved`], a block too); faults where they could not be read then.
    Kept {
        /// Which of the values that are kept.
        index: EntryIndex,
        /// How many bytes.
        size: u32,
    },
}

impl Block {
    /// How many bytes it has.
    pub fn size(&self) -> u32 {
        match self {
            Block::Memory { size, .. } | Block::Kept { size, .. } => *size,
            Block::Parts(parts) => parts.iter().map(|(_, bytes)| u32::from(*bytes)).sum(),
        }
    }
}

/// The functions of the library: what they give is the same everywhere ([`crate::library`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    /// `strlen(s)`: bytes of a string.
    Strlen,
    /// `substr(s, start, length)`
    Substr,
    /// `strtol(s, base)`
    Strtol,
    /// `isinstr(s, part)`: 1 or 0.
    IsInStr,
    /// `min(a, b)`
    Min,
    /// `max(a, b)`
    Max,
    /// `abs(a)`
    Abs,
    /// `ntohs(a)`
    Ntohs,
    /// `ntohl(a)`
    Ntohl,
    /// `ipv4(a)`: a number in network byte order as it lies in memory (`in_addr.s_addr`), as text.
    Ipv4,
    /// `ipv6(s)`: 16 bytes as text.
    Ipv6,
    /// `errno_str(n)`: `ENOENT` for 2 and for -2.
    ErrnoStr,
    /// `signal_str(n)`: `SIGSEGV` for 11.
    SignalStr,
    /// `strftime(format, ns)`: a moment of the real-time clock in ns, in UTC.
    Strftime,
    /// `sample(n)`: 1 once in `n` at random, else 0; always 1 for `n` below 2.
    Sample,
}

impl Library {
    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Library::Strlen => "strlen",
            Library::Substr => "substr",
            Library::Strtol => "strtol",
            Library::IsInStr => "isinstr",
            Library::Min => "min",
            Library::Max => "max",
            Library::Abs => "abs",
            Library::Ntohs => "ntohs",
            Library::Ntohl => "ntohl",
            Library::Ipv4 => "ipv4",
            Library::Ipv6 => "ipv6",
            Library::ErrnoStr => "errno_str",
            Library::SignalStr => "signal_str",
            Library::Strftime => "strftime",
            Library::Sample => "sample",
        }
    }
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
    /// The image its container was made from.
    Image,
    /// Its pod, as `namespace/name`; empty where there is none.
    Pod,
    /// The engine of its container: `docker`.
    Runtime,
    /// File name of the task's executable, without its folder.
    Exe,
    /// Monotonic clock in ns (`CLOCK_MONOTONIC`).
    Now,
    /// Real-time clock in ns since 1970 (`CLOCK_REALTIME`).
    Walltime,
    /// At a return: ns since the entry.
    Elapsed,
    /// The user stack, that many frames at most, symbolised.
    Stack(u8),
    /// The function that called the one that was hit, symbolised.
    Caller,
    /// User id in the host's user namespace.
    Uid,
    /// Group id in the host's user namespace.
    Gid,
    /// The cpu's number.
    Cpu,
    /// The base of the thread's segment fs, from which its thread-local variables are counted; no program asks for it.
    ThreadPointer,
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

impl UnaryOp {
    /// As programs write it, and C and SystemTap do.
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Neg => "-",
            UnaryOp::BitNot => "~",
            UnaryOp::Not => "!",
        }
    }
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

impl CompareOp {
    /// As programs write it, and C and SystemTap do.
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOp::Eq => "==",
            CompareOp::Ne => "!=",
            CompareOp::Lt => "<",
            CompareOp::Le => "<=",
            CompareOp::Gt => ">",
            CompareOp::Ge => ">=",
        }
    }
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

    /// Whether reading or computing it can fail. A call of a function of the program is taken to be able to.
    pub fn can_fault(&self) -> bool {
        match &self.kind {
            ExprKind::Load { .. }
            | ExprKind::UserString(_)
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(Block::Memory { .. } | Block::Kept { .. })
            | ExprKind::Stat { op: StatOp::Min | StatOp::Max | StatOp::Avg | StatOp::Quantile(_), .. }
            | ExprKind::Entry(_)
            | ExprKind::Returned(_)
            | ExprKind::Call(..) => true,
            ExprKind::Binary(BinaryOp::Div | BinaryOp::Mod | BinaryOp::ModUnsigned, left, right) => {
                !matches!(right.kind, ExprKind::Int(divisor) if divisor != 0) || left.can_fault()
            }
            ExprKind::Int(_)
            | ExprKind::Str(_)
            | ExprKind::Local(_)
            | ExprKind::Global(_)
            | ExprKind::MapGet(..)
            | ExprKind::MapHas(..)
            | ExprKind::Context(_)
            | ExprKind::Target(_)
            | ExprKind::Register(_)
            | ExprKind::ModuleAddress(_)
            | ExprKind::Extend { .. }
            | ExprKind::Block(Block::Parts(_))
            | ExprKind::Stat { op: StatOp::Count | StatOp::Sum, .. }
            | ExprKind::SetLocal { .. }
            | ExprKind::Library(..)
            | ExprKind::Format(_)
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Compare(..)
            | ExprKind::Logic { .. }
            | ExprKind::Ternary(..)
            | ExprKind::Concat(_)
            | ExprKind::Update { .. } => {
                let mut fails = false;
                self.operands(&mut |operand| fails |= operand.can_fault());
                fails
            }
        }
    }

    /// Calls `visit` on it and on all its operands, and theirs.
    pub fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        self.operands(&mut |operand| operand.visit(visit));
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
            | ExprKind::ModuleAddress(_)
            | ExprKind::Entry(_)
            | ExprKind::Block(Block::Kept { .. })
            | ExprKind::Returned(_) => {}
            ExprKind::MapGet(_, list)
            | ExprKind::MapHas(_, list)
            | ExprKind::Concat(list)
            | ExprKind::Call(_, list)
            | ExprKind::Library(_, list)
            | ExprKind::Stat { keys: list, .. } => list.iter().for_each(visit),
            ExprKind::Format(pieces) => pieces.iter().for_each(|piece| piece.operands(visit)),
            ExprKind::Block(Block::Parts(parts)) => parts.iter().for_each(|(part, _)| visit(part)),
            ExprKind::UserText { address: left, most: right }
            | ExprKind::UserBytes { address: left, length: right } => {
                visit(left);
                visit(right);
            }
            ExprKind::Target(target) => visit(&target.value),
            ExprKind::Load { address: one, .. }
            | ExprKind::Extend { value: one, .. }
            | ExprKind::UserString(one)
            | ExprKind::Block(Block::Memory { address: one, .. })
            | ExprKind::SetLocal { value: one, .. }
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
