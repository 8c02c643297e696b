//! Owns the shape of a program as written: every construct of the language, each with its place. Knows nothing of
//! containers, types or engines.

use crate::codes::Code;
use crate::source::{SourceId, Span};

/// One source text, parsed. A broken text yields what could be understood.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// The text it came from.
    pub source: SourceId,
    /// Its items in order.
    pub items: Vec<Item>,
    /// Its comments in order (for the formatter).
    pub comments: Vec<Comment>,
    /// Whether it is there because another file imports it: what it does not use itself is meant for that one.
    pub imported: bool,
}

impl File {
    /// What it imports, as written: paths relative to it.
    pub fn imports(&self) -> impl Iterator<Item = &Str> {
        self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Import(path) => Some(path),
            ItemKind::Probe(_)
            | ItemKind::Global(_)
            | ItemKind::Const { .. }
            | ItemKind::Function(_)
            | ItemKind::Broken => None,
        })
    }
}

/// A comment, with its marks (`#`, `//`, `/* */`) inside the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where.
    pub span: Span,
}

/// A name with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name without any sigil.
    pub name: String,
    /// Where.
    pub span: Span,
}

/// A string literal: its bytes after escapes, with its place (quotes included).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Str {
    /// The bytes it stands for.
    pub bytes: Vec<u8>,
    /// Where.
    pub span: Span,
}

impl Str {
    /// The text, with bytes that are not UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// A top-level item.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// From its first to its last character.
    pub span: Span,
    /// Warnings that a `# ctp: allow(…)` comment before it silences.
    pub allows: Vec<Code>,
}

/// The kinds of items.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemKind {
    /// `probe POINT, … [if (EXPR)] { … }`
    Probe(Probe),
    /// `global NAME [= VALUE], NAME[SIZE]`
    Global(Vec<GlobalDeclaration>),
    /// `const NAME = EXPR`
    Const {
        /// Its name.
        name: Ident,
        /// Its value.
        value: Expr,
    },
    /// `fn NAME(a: int, b: str) -> int { … }`
    Function(Function),
    /// `import "other.ctp"`
    Import(Str),
    /// Text that could not be understood; its diagnostic has been given.
    Broken,
}

/// A probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Its points, at least one.
    pub points: Vec<Point>,
    /// The condition of `if (…)` before the body.
    pub condition: Option<Expr>,
    /// The body; a probe without one prints its parameters.
    pub body: Option<Block>,
}

/// One probe point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What it is.
    pub kind: PointKind,
    /// From its first to its last character.
    pub span: Span,
    /// Whether `?` stands behind it: it may match nothing.
    pub optional: bool,
}

/// The kinds of points.
#[derive(Clone, Debug, PartialEq)]
pub enum PointKind {
    /// `begin`
    Begin,
    /// `end`
    End,
    /// `every(1s)`
    Every(Expr),
    /// `who:where.what`
    Site {
        /// Whose tasks.
        who: Who,
        /// Which file; `None` where left out (what the first process executes).
        place: Option<Where>,
        /// What in it.
        what: What,
    },
}

/// Whose tasks a point means: a selector and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Who {
    /// Which selector.
    pub kind: WhoKind,
    /// Its arguments; empty for `host`.
    pub arguments: Vec<Argument>,
    /// From its first to its last character.
    pub span: Span,
}

/// The selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoKind {
    /// `container(…)`
    Container,
    /// `pod(…)`
    Pod,
    /// `pid(…)`
    Pid,
    /// `cgroup(…)`
    Cgroup,
    /// `host`
    Host,
}

impl WhoKind {
    /// The word as written.
    pub fn as_str(self) -> &'static str {
        match self {
            WhoKind::Container => "container",
            WhoKind::Pod => "pod",
            WhoKind::Pid => "pid",
            WhoKind::Cgroup => "cgroup",
            WhoKind::Host => "host",
        }
    }
}

/// An argument of a selector: `"web"` or `image="nginx"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The name before `=`, where there is one.
    pub name: Option<Ident>,
    /// The value.
    pub value: Expr,
}

/// Which file a point means.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// `/app/bin` or `"/odd path"`: a path as the container sees it.
    Path {
        /// The path (after escapes where quoted).
        path: Str,
        /// Whether it was written in quotes.
        quoted: bool,
    },
    /// `exe`
    Exe(Span),
    /// `lib("libssl.so*")`
    Lib {
        /// Name or glob.
        name: Str,
        /// From `lib` to `)`.
        span: Span,
    },
}

impl Where {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Where::Path { path, .. } => path.span,
            Where::Exe(span) | Where::Lib { span, .. } => *span,
        }
    }
}

/// What in the file a point means.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// `.fn("name")`, with `.call`, `.inline`, `.return` behind it.
    Fn {
        /// Name or glob.
        name: Str,
        /// Narrowed to out-of-line code or to inlined instances.
        narrow: Option<Narrow>,
        /// Whether `.return` stands behind it.
        returns: bool,
        /// From `.fn` to the last character.
        span: Span,
    },
    /// `.line("file.c:42")`
    Line(Str),
    /// `.mark("provider", "name")`
    Mark {
        /// Provider, where given.
        provider: Option<Str>,
        /// Name or glob.
        name: Str,
    },
    /// `.addr(0x1139)`
    Addr(Expr),
    /// Nothing: the target alone (`ctp ls`, `ctp doctor`, `ctp facts`); a probe that lacks it was reported.
    Nothing,
}

/// `.call` or `.inline` behind `.fn(…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// Only the function's own code.
    Call,
    /// Only inlined instances.
    Inline,
}

/// One name of a `global` item.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalDeclaration {
    /// Its name.
    pub name: Ident,
    /// `[SIZE]`: how many entries a map may hold.
    pub size: Option<Expr>,
    /// `= VALUE`
    pub value: Option<Expr>,
}

/// A function of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: Ident,
    /// Parameters with their types.
    pub parameters: Vec<(Ident, TypeName)>,
    /// What it returns; `None` for nothing.
    pub returns: Option<TypeName>,
    /// Its body.
    pub body: Block,
}

/// A type as written in a function's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// Which type.
    pub kind: TypeNameKind,
    /// Where.
    pub span: Span,
}

/// The types that have names in the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeNameKind {
    /// `int`
    Int,
    /// `str`
    Str,
}

/// Statements between braces.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// In order.
    pub statements: Vec<Stmt>,
    /// From `{` to `}`.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// From its first to its last character, without `;`.
    pub span: Span,
    /// Warnings that a `# ctp: allow(…)` comment before it silences.
    pub allows: Vec<Code>,
}

/// The kinds of statements.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// An expression with an effect: a call, an assignment, `++`.
    Expr(Expr),
    /// `TARGET <<< VALUE`
    Aggregate {
        /// What takes the value.
        target: Expr,
        /// The value.
        value: Expr,
    },
    /// `if (…) … else …`
    If {
        /// The condition.
        condition: Expr,
        /// What runs where it holds.
        then: Box<Stmt>,
        /// What runs otherwise.
        otherwise: Option<Box<Stmt>>,
    },
    /// `while (…) …`
    While {
        /// The condition.
        condition: Expr,
        /// The body.
        body: Box<Stmt>,
    },
    /// `for (…; …; …) …`
    For {
        /// Runs once, first.
        start: Option<Expr>,
        /// Goes on while it holds; absent means always.
        condition: Option<Expr>,
        /// Runs behind each round.
        step: Option<Expr>,
        /// The body.
        body: Box<Stmt>,
    },
    /// `foreach (v = [a, b] in m @avg- limit 10) …`
    Foreach(Box<Foreach>),
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `next`
    Next,
    /// `return [VALUE]`
    Return(Option<Expr>),
    /// `delete m` or `delete m[k]`
    Delete(Expr),
    /// `emit { name: EXPR, … }`
    Emit(Vec<(Ident, Expr)>),
    /// `{ … }`
    Block(Block),
    /// Text that could not be understood; its diagnostic has been given.
    Broken,
}

/// Rising or falling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `+`
    Rising,
    /// `-`
    Falling,
}

/// A `foreach` statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreach {
    /// `v` in `v = k in m`.
    pub value: Option<Ident>,
    /// The key names, each with its order mark where it has one.
    pub keys: Vec<(Ident, Option<Order>)>,
    /// The map.
    pub map: Ident,
    /// The order mark behind the map, with the aggregate it names (`@avg-`).
    pub sort: Option<(Option<Ident>, Order)>,
    /// `limit N`
    pub limit: Option<Expr>,
    /// The body.
    pub body: Stmt,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// From its first to its last character.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number: its 64 bits (units applied), and how it was written.
    Int {
        /// Its value; numbers from 2^63 to 2^64-1 wrap.
        value: i64,
        /// How it was written.
        form: IntForm,
    },
    /// `"text"`
    Str(Vec<u8>),
    /// `true`, `false`
    Bool(bool),
    /// A global, constant, local or parameter of a function of the program.
    Name(String),
    /// `$name`; `$return` too.
    Target(String),
    /// `$$parms`, `$$locals`, `$$vars`, `$$return`: the word behind `$$`.
    TargetAll(String),
    /// `$req$` and `$req$$`: a value printed one level deep, or to `--depth`.
    Dump {
        /// The value.
        value: Box<Expr>,
        /// Whether two `$` stand behind it.
        deep: bool,
    },
    /// `name(…)`
    Call {
        /// Whose name.
        name: Ident,
        /// Arguments.
        arguments: Vec<Expr>,
    },
    /// `@name(…)`; `@hist_log` and the like too.
    At {
        /// The name without `@`.
        name: Ident,
        /// Arguments.
        arguments: Vec<Expr>,
    },
    /// `base.name` or `base->name`
    Member {
        /// The aggregate or the pointer to one.
        base: Box<Expr>,
        /// Whether it was written `->`.
        arrow: bool,
        /// The member.
        name: Ident,
    },
    /// `base[i]`, `map[a, b]`
    Index {
        /// An array, pointer or map.
        base: Box<Expr>,
        /// Indices or key parts, at least one.
        indices: Vec<Expr>,
    },
    /// An operator with one operand.
    Unary {
        /// Which.
        op: UnaryOp,
        /// Its operand.
        operand: Box<Expr>,
    },
    /// An operator with two operands.
    Binary {
        /// Which.
        op: BinaryOp,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `c ? a : b`
    Ternary {
        /// The condition.
        condition: Box<Expr>,
        /// The value where it holds.
        then: Box<Expr>,
        /// The value otherwise.
        otherwise: Box<Expr>,
    },
    /// `k in m`, `[a, b] in m`
    In {
        /// Key parts.
        keys: Vec<Expr>,
        /// The map.
        map: Ident,
    },
    /// `target = value`, `target += value`
    Assign {
        /// What is assigned to.
        target: Box<Expr>,
        /// The operator before `=`; `None` for plain `=`.
        op: Option<BinaryOp>,
        /// The value.
        value: Box<Expr>,
    },
    /// `x++`, `--x`
    Step {
        /// What is stepped.
        target: Box<Expr>,
        /// `++` or `--`.
        up: bool,
        /// Whether the operator stands before (the value is the new one).
        prefix: bool,
    },
    /// `( … )`
    Paren(Box<Expr>),
    /// Text that could not be understood; its diagnostic has been given.
    Broken,
}

/// How a number was written (the formatter keeps it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntForm {
    /// Decimal, possibly with a unit of time (`10ms`) or size (`4K`).
    Decimal,
    /// A decimal number with a unit of time: the value is nanoseconds.
    Duration,
    /// A decimal number with `K`, `M` or `G`.
    Size,
    /// `0x`, `0o`, `0b`
    Based,
    /// `'c'`
    Char,
}

/// Operators of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `!`
    Not,
    /// `~`
    BitNot,
    /// `*`
    Deref,
    /// `&`
    AddressOf,
}

/// Operators of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is what it is written as: see `as_str`")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    LogicAnd,
    LogicOr,
    Concat,
}

impl BinaryOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::LogicAnd => "&&",
            BinaryOp::LogicOr => "||",
            BinaryOp::Concat => ".",
        }
    }
}
