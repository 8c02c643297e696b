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
    /// Functions of the program (`fn`), in the order of their declaration; none calls itself, by whatever way.
    pub functions: Vec<Function>,
    /// The enumerators of the enumerations that are shown by name.
    pub enums: Vec<EnumNames>,
    /// How values that are shown whole lie in memory.
    pub layouts: Vec<Layout>,
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
/// Index into [`Program::functions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionIndex(pub u32);
/// Index into [`Program::layouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayoutIndex(pub u32);
/// Index into [`Returns::saved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryIndex(pub u32);
/// Index into [`Handler::locals`] or [`Function::locals`].
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
    /// An aggregate, or a map of aggregates: what `<<<` feeds.
    Stats {
        /// Types of the key's parts; none for one aggregate.
        keys: Vec<Ty>,
        /// What is kept besides count, sum, least and greatest.
        shape: StatsShape,
        /// How many entries it may hold, where declared (`--map-size` otherwise).
        size: Option<u32>,
    },
}

/// What an aggregate keeps besides count, sum, least and greatest: what the program asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatsShape {
    /// Whether it keeps a histogram of powers of two (`@hist_log`, quantiles).
    pub log: bool,
    /// Which linear histograms it keeps, each once.
    pub linear: Vec<Linear>,
}

/// The buckets of `@hist_linear(x, low, high, step)`: values below `low`, then one bucket for each `step` from `low` on
/// up to `high` (included, as in SystemTap), then values above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Where the first bucket begins.
    pub low: i64,
    /// Where the last bucket lies.
    pub high: i64,
    /// Width of a bucket, at least 1.
    pub step: i64,
}

/// What is asked of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatOp {
    /// `@count`: 0 where there is none.
    Count,
    /// `@sum`: 0 where there is none.
    Sum,
    /// `@min`; faults where there is none.
    Min,
    /// `@max`; faults where there is none.
    Max,
    /// `@avg`, the sum divided by the count, towards 0; faults where there is none.
    Avg,
    /// `@p50`, `@p90`, `@p99` (hundredths), derived from the histogram of powers of two; faults where there is none.
    Quantile(u8),
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
    /// What runs: at the sites, or (where `returns` says so) when the calls that began there end.
    pub handler: Handler,
    /// What a return probe keeps of each call from its entry on; `None` for probes that fire at the site itself.
    pub returns: Option<Returns>,
}

/// What a return probe keeps of each call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Returns {
    /// Values computed at the site on entry (`@entry(E)`), by [`EntryIndex`]; one that faults there faults where it is
    /// used.
    pub saved: Vec<Expr>,
    /// Whether the moment of the entry is kept (`elapsed()`).
    pub elapsed: bool,
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
    /// File offset of the semaphore that a mark (USDT) wants raised while it is probed.
    pub semaphore: Option<u64>,
    /// Where the calls that begin here end; only for return probes.
    pub exits: Option<Exits>,
}

/// Where the calls of a function end, for return probes.
#[derive(Clone, Debug, PartialEq)]
pub struct Exits {
    /// The canonical frame address (CFA: the stack pointer before the call pushed the return address) computed at the
    /// site: one call's name among all of a thread. At a return instruction it is rsp + 8, behind it rsp.
    pub frame: Expr,
    /// The function's return instructions and jumps out of it.
    pub places: Vec<Exit>,
    /// Whether the program can unwind through the function (C++ exceptions, Rust panics, Go's moving stacks): then its
    /// return address must stay as it is, and only `places` may be probed.
    pub unwinds: bool,
}

/// An instruction that ends a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Link-time address.
    pub address: u64,
    /// The same as an offset into the file.
    pub file_offset: u64,
    /// Whether it jumps into another function (which will return in this one's stead) and does not return itself: the
    /// value returned is not known there.
    pub tail: bool,
    /// Where the instruction may also stay in the function (a jump under a condition, or through a register): whether it
    /// leaves, computed there. Register 16 is the program counter in it, 49 the flags (DWARF's numbers).
    pub when: Option<Expr>,
}

/// Statements with their locals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handler {
    /// The locals; all start as 0 or `""`.
    pub locals: Vec<Local>,
    /// The condition of `probe … if (…)`: a hit for which it is 0 counts as filtered.
    pub condition: Option<Expr>,
    /// What runs.
    pub body: Vec<Stmt>,
}

/// A local of a handler or a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its name as written; what no name of the program stands for has a name with a dot.
    pub name: String,
    /// Its type.
    pub ty: Ty,
}

/// A function of the program (`fn`).
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// How many of the locals are parameters: these come first.
    pub parameters: usize,
    /// Parameters, then the other locals, which start as 0 or `""` at each call.
    pub locals: Vec<Local>,
    /// What it gives; `None` for nothing. A body that ends without `return` gives 0 or `""`.
    pub returns: Option<Ty>,
    /// Its body; it uses nothing that only exists at a site.
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
    /// `while` and `for`. A handler's run whose loops together go round more than `--max-steps` times stops
    /// (`step_limit`).
    While {
        /// Goes on while it is not 0.
        condition: Expr,
        /// What runs in each round.
        body: Vec<Stmt>,
        /// What runs behind each round, after `continue` too.
        step: Vec<Stmt>,
        /// Where it is written.
        span: Span,
    },
    /// `foreach`, over the entries that are there when it begins; only in `begin`, `end` and `every`.
    Foreach(Box<Foreach>),
    /// `break`: leaves the innermost loop.
    Break,
    /// `continue`: goes on with the innermost loop's next round.
    Continue,
    /// `return`: leaves the function.
    Return(Option<Expr>),
    /// `delete m[k]` (keys), `delete m` or `delete x` (none: all of it; a map's only in `begin`, `end` and `every`).
    Delete {
        /// Which global.
        global: GlobalIndex,
        /// The key; empty for all.
        keys: Vec<Expr>,
        /// Where it is written.
        span: Span,
    },
    /// `x <<< e`, `m[k] <<< e`
    Aggregate {
        /// Which aggregate.
        global: GlobalIndex,
        /// The key; empty where there is one aggregate only.
        keys: Vec<Expr>,
        /// The number.
        value: Expr,
        /// Where it is written.
        span: Span,
    },
    /// `printf`, `print`, `println`, `emit`, `error`.
    Print(Print),
    /// `next`: ends this handler.
    Next,
    /// `exit()`: ends this handler, then the run.
    Exit,
}

/// A loop over the entries of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreach {
    /// The map, or map of aggregates.
    pub global: GlobalIndex,
    /// Take the parts of each key.
    pub keys: Vec<LocalIndex>,
    /// Takes each value (of a map of aggregates: its count).
    pub value: Option<LocalIndex>,
    /// In which order; `None` for any.
    pub order: Option<ForeachOrder>,
    /// How many entries at most; below 1: none.
    pub limit: Option<Expr>,
    /// What runs for each.
    pub body: Vec<Stmt>,
    /// Where it is written.
    pub span: Span,
}

/// In which order a loop goes over the entries of a map; entries that are equal in it come by rising keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeachOrder {
    /// By what.
    pub by: OrderBy,
    /// From the greatest on.
    pub falling: bool,
}

/// What entries of a map are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBy {
    /// By value.
    Value,
    /// By this part of the key.
    Key(usize),
    /// By what is asked of the aggregate.
    Stat(StatOp),
}

/// What an output statement makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintKind {
    /// Text (`printf`, `print`, `println`).
    Text,
    /// One structured event (`emit`): each piece is the field of that name, none is [`Piece::Text`].
    Event(Vec<String>),
    /// A message that ends the run as failed (`error("…")`); [`Stmt::Exit`] follows.
    Error,
}

/// One output statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// What it makes.
    pub kind: PrintKind,
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
    /// A value of the program that is shown whole: a struct, an array, a text or sequence of its language.
    Whole(Box<Whole>),
    /// `@hist_log(x)`, `@hist_linear(x, …)`: drawn with bars; of a map of aggregates one for each key. Only in `begin`,
    /// `end` and `every`.
    Histogram {
        /// The aggregate.
        global: GlobalIndex,
        /// The key; empty for one aggregate, or for all of a map.
        keys: Vec<Expr>,
        /// Which histogram; `None` for the one of powers of two.
        linear: Option<Linear>,
        /// Where it is written.
        span: Span,
    },
    /// All entries of a map or of a map of aggregates. Only in `begin`, `end` and `every`.
    Table(GlobalIndex),
}

/// A value of the program that is shown whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// How its bytes are shown.
    pub layout: LayoutIndex,
    /// Its bytes ([`ExprKind::Block`]); where they cannot be read, `<fault>` is shown.
    pub block: Expr,
    /// Texts and bytes that lie elsewhere, of type str, by the number layouts name them by; each that cannot be read is
    /// shown as `<fault>`.
    pub elsewhere: Vec<Expr>,
    /// Width and alignment.
    pub spec: Spec,
    /// The variable's DWARF name (without `$`) and what is done with it, where it was written as such.
    pub written: Option<(String, Vec<TargetStep>)>,
}

/// How the bytes of a value are shown. Offsets count from where the enclosing layout begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A number, truth value, character, enumerator or address of 1, 2, 4 or 8 bytes.
    Scalar {
        /// How many bytes.
        size: u8,
        /// Whether it is sign-extended.
        signed: bool,
        /// How it is shown.
        show: Show,
    },
    /// Text in an array of that many bytes, up to its first NUL.
    Chars(u64),
    /// The text that lies elsewhere, by its number in [`Whole::elsewhere`].
    Text(usize),
    /// A sequence whose elements lie elsewhere, one behind the other; where they were cut, it shows that.
    Elements {
        /// Their bytes, by their number in [`Whole::elsewhere`].
        bytes: usize,
        /// From one element to the next, at least 1.
        stride: u64,
        /// One element.
        element: Box<Layout>,
    },
    /// An array.
    Array {
        /// How many elements are shown.
        count: u64,
        /// How many more there are.
        more: u64,
        /// From one element to the next.
        stride: u64,
        /// One element.
        element: Box<Layout>,
    },
    /// A struct, class or union: `{.a=1, .b=2}`; with the name before it where one is to be shown.
    Aggregate {
        /// What stands before the brace (a variant's name).
        name: Option<String>,
        /// Whether the members are shown without names, in parentheses: a tuple.
        tuple: bool,
        /// What is in it.
        members: Vec<LayoutMember>,
    },
    /// One of several, by a number in it (Rust's enums).
    Variants {
        /// Where the number that tells them apart is; `None` where there is only one variant.
        discriminant: Option<Discriminant>,
        /// The variants.
        arms: Vec<VariantLayout>,
    },
    /// These words, whatever the bytes are: what is not shown, and why.
    Words(String),
}

/// A member of a value that is shown whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutMember {
    /// Its name; `None` for a base class or an anonymous member, whose own members are shown in its place.
    pub name: Option<String>,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// For a bit-field: where its lowest bit is, in bits from the start of the aggregate (not of the member), and how
    /// many bits it has (1–64).
    pub bits: Option<(u64, u8)>,
    /// How it is shown.
    pub layout: Layout,
}

/// The number that says which variant a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discriminant {
    /// Where it is, in bytes.
    pub offset: u64,
    /// How many bytes it has (1, 2, 4, 8).
    pub size: u8,
    /// Whether it is signed.
    pub signed: bool,
}

/// One variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantLayout {
    /// The numbers that mean it, as ranges with their ends; none: what no other variant is meant by.
    pub values: Vec<(i64, i64)>,
    /// How it is shown.
    pub layout: Layout,
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
    /// A floating-point number, whose bits the value is.
    Float {
        /// How many bits: 32 or 64.
        bits: u8,
        /// In which of C's forms.
        form: FloatForm,
    },
}

/// C's forms of a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatForm {
    /// `%f`: digits before and behind the point.
    Fixed,
    /// `%e`: with an exponent.
    Exponent,
    /// `%g`: the shorter of both (what `print` shows).
    Shortest,
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
    /// [`Whole::block`].
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
    /// What was computed on entry ([`Returns::saved`]); faults where that did.
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

    /// Whether reading or computing it can fail. A call of a function of the program is taken to be able to.
    pub fn can_fault(&self) -> bool {
        match &self.kind {
            ExprKind::Load { .. }
            | ExprKind::UserString(_)
            | ExprKind::UserText { .. }
            | ExprKind::UserBytes { .. }
            | ExprKind::Block(Block::Memory { .. })
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

impl Piece {
    /// Calls `visit` on every expression that stands directly in it.
    pub fn operands<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Piece::Text(_) | Piece::Unavailable { .. } | Piece::Table(_) => {}
            Piece::Value(shown) => visit(&shown.value),
            Piece::Whole(whole) => {
                visit(&whole.block);
                whole.elsewhere.iter().for_each(visit);
            }
            Piece::Histogram { keys, .. } => keys.iter().for_each(visit),
        }
    }

    /// How many values it takes: see [`crate::interpret::Run::prints`].
    pub fn values(&self) -> usize {
        match self {
            Piece::Text(_) | Piece::Unavailable { .. } => 0,
            Piece::Value(_) | Piece::Histogram { .. } | Piece::Table(_) => 1,
            Piece::Whole(whole) => 1 + whole.elsewhere.len(),
        }
    }
}

impl Stmt {
    /// Calls `visit` on every expression that stands directly in it, not on those of statements in it.
    pub fn operands<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Stmt::SetLocal(_, value) | Stmt::Effect(value) => visit(value),
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => visit(condition),
            Stmt::Foreach(foreach) => foreach.limit.iter().for_each(visit),
            Stmt::Return(value) => value.iter().for_each(visit),
            Stmt::Delete { keys, .. } => keys.iter().for_each(visit),
            Stmt::Aggregate { keys, value, .. } => {
                keys.iter().for_each(&mut *visit);
                visit(value);
            }
            Stmt::Print(print) => print.pieces.iter().for_each(|piece| piece.operands(visit)),
            Stmt::Break | Stmt::Continue | Stmt::Next | Stmt::Exit => {}
        }
    }

    /// The lists of statements that stand directly in it.
    pub fn blocks(&self) -> [&[Stmt]; 2] {
        match self {
            Stmt::If { then, otherwise, .. } => [then, otherwise],
            Stmt::While { body, step, .. } => [body, step],
            Stmt::Foreach(foreach) => [&foreach.body, &[]],
            Stmt::SetLocal(..)
            | Stmt::Effect(_)
            | Stmt::Break
            | Stmt::Continue
            | Stmt::Return(_)
            | Stmt::Delete { .. }
            | Stmt::Aggregate { .. }
            | Stmt::Print(_)
            | Stmt::Next
            | Stmt::Exit => [&[], &[]],
        }
    }
}

/// Calls `visit` on every statement of a list, then on those in it, in order.
pub fn visit_statements<'a>(body: &'a [Stmt], visit: &mut dyn FnMut(&'a Stmt)) {
    for stmt in body {
        visit(stmt);
        stmt.blocks().into_iter().for_each(|block| visit_statements(block, visit));
    }
}

/// Calls `visit` on every expression of a list of statements, those in statements and operands included.
pub fn visit_expressions<'a>(body: &'a [Stmt], visit: &mut dyn FnMut(&'a Expr)) {
    visit_statements(body, &mut |stmt| stmt.operands(&mut |expr| expr.visit(visit)));
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
