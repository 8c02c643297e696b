//! Owns what reading debug info yields: plain, engine-neutral values with no trace of gimli or object in them.

use std::sync::Arc;

/// A GNU build id: the bytes of `NT_GNU_BUILD_ID` (`.note.gnu.build-id`), shown in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId(pub Vec<u8>);

impl std::fmt::Display for BuildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A handle to a type of one module; [`super::Module::ty`] reads it. Only meaningful for the module it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u64);

/// How a base type's bits are read (`DW_AT_encoding`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `DW_ATE_signed`.
    Signed,
    /// `DW_ATE_unsigned`.
    Unsigned,
    /// `DW_ATE_signed_char`: a `char` where it is signed.
    SignedChar,
    /// `DW_ATE_unsigned_char` and `DW_ATE_UTF`.
    UnsignedChar,
    /// `DW_ATE_boolean`.
    Boolean,
    /// `DW_ATE_float`.
    Float,
    /// Anything else (complex, decimal, …), by its DWARF number.
    Other(u8),
}

/// What kind of aggregate a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateKind {
    /// `struct` (Rust and Go structs too).
    Struct,
    /// `class`.
    Class,
    /// `union`.
    Union,
}

/// A member of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name; `None` for an anonymous struct or union whose members belong to the outer one.
    pub name: Option<String>,
    /// Its type; `None` where DWARF gives none.
    pub ty: Option<TypeId>,
    /// Offset from the start of the aggregate in bytes (for a bit-field: of the storage that holds it).
    pub offset: u64,
    /// For a bit-field: offset in bits from the start of the aggregate (little-endian counting), and width in bits.
    pub bits: Option<(u64, u64)>,
    /// Whether it is a base class (`DW_TAG_inheritance`).
    pub base_class: bool,
}

/// The variants of an aggregate (`DW_TAG_variant_part`), of which it holds one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantPart {
    /// The number that tells them apart; `None` where there is only one.
    pub discriminant: Option<Member>,
    /// The variants in order.
    pub variants: Vec<Variant>,
}

/// One variant of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The discriminants that mean it, as ranges with their ends; empty: every one that no other variant is meant by.
    pub values: Vec<(i128, i128)>,
    /// Its members, with offsets from the start of the aggregate.
    pub members: Vec<Member>,
}

/// The source language of a unit (`DW_AT_language`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// C of any version.
    C,
    /// C++ of any version.
    Cpp,
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Another one, or none named.
    Other,
}

/// A variable of the program that is no function's: a global, or a static one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its name, behind its namespaces.
    pub name: String,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
    /// The source file of its unit.
    pub unit: Option<String>,
    /// Whether it is in the unit that was asked from.
    pub home: bool,
    /// Its type.
    pub ty: Option<TypeId>,
    /// Where it is.
    pub location: Location,
}

/// One named value of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumerator {
    /// Its name.
    pub name: String,
    /// Its value, sign- or zero-extended as the enumeration's underlying type says.
    pub value: i128,
}

/// A type, one level deep: what it refers to is a [`TypeId`] again (`None` is `void`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `DW_TAG_base_type`.
    Base {
        /// Name as the program writes it.
        name: String,
        /// How its bits are read.
        encoding: Encoding,
        /// Size in bytes.
        size: u64,
    },
    /// A pointer, reference or rvalue reference.
    Pointer {
        /// What it points to.
        to: Option<TypeId>,
        /// Size in bytes.
        size: u64,
        /// Whether it is a C++ reference (`DW_TAG_reference_type`, `DW_TAG_rvalue_reference_type`).
        reference: bool,
    },
    /// A struct, class or union.
    Aggregate {
        /// Which of these.
        kind: AggregateKind,
        /// Name, where it has one.
        name: Option<String>,
        /// Size in bytes; `None` for a declaration without definition.
        size: Option<u64>,
        /// Members in order; base classes too.
        members: Vec<Member>,
        /// Rust's enums: their variants.
        variants: Option<VariantPart>,
        /// Go's kind of it (`DW_AT_go_kind`, the numbers of Go's `reflect.Kind`): a slice is 23, a string 24.
        go_kind: Option<u64>,
        /// Types it was made for (`DW_TAG_template_type_parameter`), by their names.
        parameters: Vec<(String, Option<TypeId>)>,
    },
    /// An enumeration.
    Enum {
        /// Name, where it has one.
        name: Option<String>,
        /// Size in bytes.
        size: u64,
        /// Whether its values are signed.
        signed: bool,
        /// Named values in order.
        enumerators: Vec<Enumerator>,
    },
    /// An array.
    Array {
        /// Type of one element.
        element: Option<TypeId>,
        /// Count of each dimension; `None` where it is unknown (`[]`).
        counts: Vec<Option<u64>>,
    },
    /// A typedef.
    Typedef {
        /// Its name.
        name: String,
        /// What it stands for.
        target: Option<TypeId>,
    },
    /// `const`, `volatile`, `restrict`, `_Atomic` around a type.
    Qualified {
        /// The word: `const`, `volatile`, `restrict`, `_Atomic`.
        qualifier: &'static str,
        /// The type it qualifies.
        target: Option<TypeId>,
    },
    /// A function type (behind a pointer).
    Function,
    /// C++'s pointer to a member (`DW_TAG_ptr_to_member_type`; Itanium C++ ABI 2.3): to data, where that lies in an
    /// object, -1 for none; to a function, its address or 1 and where the virtual table has it, and what is to be added
    /// to the object's address, 8 bytes each.
    MemberPointer {
        /// Whether to a function.
        function: bool,
        /// Size in bytes.
        size: u64,
    },
    /// A type ctp does not read, by its DWARF tag's name.
    Unknown(String),
}

/// A register by its DWARF number (x86-64 System V psABI figure 3.36: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp,
/// 7 rsp, 8–15 r8–r15, 16 return address, 17–32 xmm0–15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register(pub u16);

/// A 64-bit value computed at a probed address from registers and memory of the target. Frame bases and CFAs are
/// already worked in, so engines know nothing of DWARF.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Compute {
    /// A constant.
    Const(i64),
    /// The whole 64 bits of a general register (0–15).
    Register(Register),
    /// The same of a register when the function has returned: where its convention leaves what it returns.
    Returned(Register),
    /// The run-time address of a link-time address of the module (`DW_OP_addr`, `DW_OP_addrx`): load bias added.
    ModuleAddress(u64),
    /// What tells a thread its own copies of thread-local variables: the base of its segment fs.
    ThreadPointer,
    /// Memory of the target: `size` (1, 2, 4, 8) bytes at an address, zero-extended.
    Deref {
        /// Where.
        address: Box<Compute>,
        /// How many bytes.
        size: u8,
    },
    /// One operand.
    Unary(UnaryOp, Box<Compute>),
    /// Two operands.
    Binary(BinaryOp, Box<Compute>, Box<Compute>),
}

/// Operators of one operand, as DWARF defines them on the generic type (64 bits, wrapping).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `DW_OP_neg`.
    Neg,
    /// `DW_OP_not`.
    Not,
    /// `DW_OP_abs`.
    Abs,
    /// Zero-extends the lowest `n` bits (typed operations and conversions, `DW_OP_convert`).
    ZeroExtend(u8),
    /// Sign-extends the lowest `n` bits.
    SignExtend(u8),
}

/// Operators of two operands, as DWARF defines them on the generic type (64 bits, wrapping; shifts of 64 and more
/// give 0 or all sign bits; comparisons signed, giving 0 or 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of DWARF's operators")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    DivSigned,
    ModUnsigned,
    And,
    Or,
    Xor,
    Shl,
    ShrLogical,
    ShrArithmetic,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Part of a value that is spread over several places (`DW_OP_piece`, `DW_OP_bit_piece`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where this part is.
    pub location: Location,
    /// Size in bits.
    pub bits: u64,
    /// Offset in bits within the place it is taken from.
    pub bit_offset: u64,
}

/// Why a value has no location at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No location covers this address, or an empty expression does; `ranges` are the addresses where one does.
    OptimizedOut {
        /// Half-open ranges of link-time addresses at which the value has a location.
        ranges: Vec<(u64, u64)>,
    },
    /// It sits in a vector or floating-point register, which the engines cannot read.
    VectorRegister,
    /// The expression needs something not available at run time, e.g. an entry value no caller gives; in words.
    Unsupported(String),
}

/// Where a value is at one probed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In memory, at a computed address.
    Memory(Compute),
    /// In a general register (0–15): the value is its lowest bytes.
    Register(Register),
    /// The value itself, computed (`DW_OP_stack_value`, `DW_AT_const_value` up to 8 bytes, entry values).
    Value(Compute),
    /// Its bytes (`DW_OP_implicit_value`, block `DW_AT_const_value`).
    Bytes(Vec<u8>),
    /// It points to a value that no longer exists in memory (`DW_OP_implicit_pointer`): what it pointed to is at `target`
    /// plus `offset` bytes.
    ImplicitPointer {
        /// Where the value pointed to is.
        target: Box<Location>,
        /// Bytes into it.
        offset: i64,
    },
    /// In several places.
    Pieces(Vec<Piece>),
    /// Nowhere.
    Unavailable(Unavailable),
}

/// A line of the program's source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceLine {
    /// File as the line table names it (folder included where known).
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for SourceLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Whether a variable is a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    /// `DW_TAG_formal_parameter`.
    Parameter,
    /// `DW_TAG_variable`, in scope at the probed address.
    Local,
}

/// A parameter or local at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its DWARF name.
    pub name: String,
    /// Parameter or local.
    pub kind: VariableKind,
    /// Its type; `None` where DWARF gives none.
    pub ty: Option<TypeId>,
    /// Where it is at the site's address.
    pub location: Location,
}

/// What stands at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// The function's own code.
    OutOfLine,
    /// A copy inlined into another function.
    Inlined {
        /// The function whose code holds it.
        into: String,
        /// The line of the call, where DWARF says it.
        call: Option<SourceLine>,
    },
    /// A symbol without DWARF: the address is the symbol's own, nothing is known of values.
    Symbol,
}

/// Why this address was chosen among those at which the function can be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRule {
    /// The function's first address: its unit is gcc's optimised code, whose locations hold there.
    LowPc,
    /// The line table's `prologue_end` mark.
    PrologueEnd,
    /// The line table's second row at another address.
    SecondLine,
    /// Behind Go's stack check.
    StackCheck,
    /// The entry of an inlined instance (`DW_AT_entry_pc`, else the lowest address).
    InlineEntry,
    /// Where every pass through an inlined instance begins, at another address than its entry: behind what runs once
    /// before a loop, or in a further copy of it. Debuggers and stap do not break there by the function's name.
    InlineBody,
    /// The symbol's address.
    Symbol,
    /// The address that was asked for.
    Address,
    /// Where the line table says that a statement of the line begins.
    Line,
    /// Where the mark stands.
    Mark,
}

/// What the kernel does with the instruction that a breakpoint replaces: most of what a hit costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Price {
    /// A `nop` of five bytes, which Linux 6.18 replaces by a call into the kernel without a trap; before, it is emulated
    /// or stepped.
    WideNop,
    /// It is emulated: `push`, `nop`, near jumps and calls.
    Emulated,
    /// It is executed elsewhere, which takes a second trap.
    Stepped,
}

/// One address to probe for a function, with the values that are known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What stands there.
    pub kind: SiteKind,
    /// The link-time address to probe.
    pub address: u64,
    /// The same as an offset into the file: what uprobes take.
    pub file_offset: u64,
    /// The function's (or inlined instance's) lowest entry address, for messages.
    pub entry: u64,
    /// How `address` was found.
    pub rule: AddressRule,
    /// How many bytes behind the address of that rule it is: what lies between costs more to probe and changes nothing
    /// that is read there.
    pub passed: u64,
    /// What the kernel does with the instruction at `address`.
    pub price: Price,
    /// Whether a branch inside the function (or inlined instance) leads back to `address`, a loop's head: then one call
    /// can hit more than once, and no address of it that holds the values is free of that.
    pub repeats: bool,
    /// Whether the inlined instance may hold further copies of the code that are not sites: a parameter of it goes from
    /// one constant to another behind `address`, by an assignment or because an unrolled loop's next turn begins, and
    /// DWARF does not say which. Then calls may be missed.
    pub partial: bool,
    /// The code of the function, all its parts (half-open ranges of link-time addresses); empty where debug info does not
    /// say, and for inlined instances.
    pub ranges: Vec<(u64, u64)>,
    /// For a mark: the file offset of its semaphore, where it has one.
    pub semaphore: Option<u64>,
    /// For a mark: its name.
    pub mark: Option<MarkName>,
    /// For a mark: its arguments.
    pub arguments: Vec<Argument>,
    /// Parameters in order, then the locals in scope at `address`.
    pub variables: Vec<Variable>,
}

/// What a mark (USDT) is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkName {
    /// Who defined it.
    pub provider: String,
    /// Its name. Several places of a file may bear it.
    pub name: String,
}

/// Who may have let a function give less than it is declared to, since what uses its result was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Optimised {
    /// Nobody: nothing was optimised, or it would be told.
    No,
    /// gcc, which names such a function otherwise.
    ByGcc,
    /// Another compiler, which does not tell.
    ByOther,
}

/// A function of the module with all its sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Demangled name, as users write it (C: the plain name; C++: `ns::Class::get(int)`; Rust: `krate::module::f`).
    pub name: String,
    /// Linkage name, where it differs.
    pub linkage_name: Option<String>,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
    /// Return type; `None` for `void` or where unknown.
    pub returns: Option<TypeId>,
    /// Whether the compiler says that it changed what is passed or returned (LLVM's `DW_CC_nocall`): what no caller uses may
    /// not be returned any more.
    pub changed: bool,
    /// Whether the address of a result in memory is known to be returned with it, in rax.
    pub returns_address: bool,
    /// Who may have let it give less than it is declared to.
    pub optimised: Optimised,
    /// The results of a function that Go's compiler made with its register convention (from Go 1.17 on), in order; `None`
    /// for all other functions.
    pub go: Option<Vec<GoResult>>,
    /// Sites: out of line first, then inlined instances by address.
    pub sites: Vec<Site>,
}

impl Function {
    /// Whether it is a thunk, which corrects the object's address and goes on into a member function of C++ (Itanium C++
    /// ABI 5.1.4.3: `_ZTh`, `_ZTv`, `_ZTc`).
    pub fn is_thunk(&self) -> bool {
        let linkage = self.linkage_name.as_deref().unwrap_or(&self.name);
        ["_ZTh", "_ZTv", "_ZTc"].iter().any(|mark| linkage.starts_with(mark))
    }
}

/// A result of a Go function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoResult {
    /// Its name; `~r0`, `~r1` … where the program gives it none.
    pub name: String,
    /// Its type.
    pub ty: Option<TypeId>,
}

/// An argument of a mark (USDT).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// As the note has it: `-4@-20(%rbp)`.
    pub written: String,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Whether it is signed.
    pub signed: bool,
    /// Where it is.
    pub location: Location,
}

/// A mark of a module: a place its makers named (USDT).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who defined it.
    pub provider: String,
    /// Its name.
    pub name: String,
    /// Link-time address, as the file is now (after prelink).
    pub address: u64,
    /// File offset of its semaphore, where it has one.
    pub semaphore: Option<u64>,
    /// Its arguments.
    pub arguments: Vec<Argument>,
}

/// Where the calls of a function end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exits {
    /// The canonical frame address, computed at the site.
    pub frame: Compute,
    /// What ends them, by rising address; at least one.
    pub places: Vec<Exit>,
    /// Whether the module can unwind through its functions, or moves their frames.
    pub unwinds: bool,
    /// Whether calls belong to goroutines: their stacks move, and go from thread to thread. The goroutine is in r14, its
    /// stack's end 8 bytes into it (`runtime.g`), and how far from there a frame is stays.
    pub goroutine: bool,
    /// Whether it is proved that a call may have another return address while it lasts, as a uretprobe gives it one; else
    /// why not, in words.
    pub uretprobe: Result<(), String>,
}

/// An instruction that ends a call, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Link-time address.
    pub address: u64,
    /// The same as an offset into the file.
    pub file_offset: u64,
    /// Whether it jumps into another function, which will return in this one's stead.
    pub tail: bool,
    /// Where it may also stay in the function: not 0 where it leaves, computed there. [`Register`] 16 is the program
    /// counter in it, 49 the flags.
    pub when: Option<Compute>,
}

/// Why the ends of a function's calls cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoExits {
    /// Its calls never return.
    NeverReturns,
    /// Its code cannot be followed: why, in words.
    Code(String),
    /// Its frame cannot be told at the site: why, in words.
    Frame(String),
    /// It is Go's, of a kind of which the goroutine is not known.
    Go,
}

/// Why debug info or symbols could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebugError {
    /// Not an ELF file ctp can trace: what it is instead.
    NotElf(String),
    /// An ELF file of another machine: which.
    WrongMachine(String),
    /// The file says something impossible, at this place.
    Malformed(String),
    /// A bound was reached (size, count, depth, steps): which and its value.
    Limit(String),
    /// Bytes could not be read.
    Read(String),
    /// Part of it is in another file, which was not found: which, and where it was looked for.
    Missing(String),
}

impl std::fmt::Display for DebugError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DebugError::NotElf(what) => write!(f, "not an ELF file: {what}"),
            DebugError::WrongMachine(what) => write!(f, "an ELF file for {what}, not x86-64"),
            DebugError::Malformed(what) => write!(f, "malformed: {what}"),
            DebugError::Limit(what) => write!(f, "over a limit: {what}"),
            DebugError::Read(what) => write!(f, "cannot be read: {what}"),
            DebugError::Missing(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DebugError {}

impl From<crate::world::ReadError> for DebugError {
    fn from(error: crate::world::ReadError) -> DebugError {
        DebugError::Read(format!("at byte {}: {}", error.offset, error.reason))
    }
}
