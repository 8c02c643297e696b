//! Owns the typed, engine-neutral form of a checked program: what both engines and the interpreter run. Knows neither
//! DWARF expressions nor how an engine does its work.

mod expressions;
mod globals;
mod output;
mod probes;
mod statements;

use crate::debuginfo::facts::BuildId;
use crate::world::{Container, FileId};

pub use expressions::{
    BinaryOp, Block, CompareOp, Context, Expr, ExprKind, Library, Target, TargetStep, UnaryOp, UpdateOp,
};
pub use globals::{Global, GlobalKind, Linear, StatOp, StatsShape};
pub use output::{
    Discriminant, FloatForm, Keep, Layout, LayoutMember, Piece, Print, PrintKind, Show, Shown, Spec, VariantLayout,
    Whole, Wide,
};
pub use probes::{Exit, Exits, Function, Handler, Local, Probe, ProbeKind, Returns, Site, Variant};
pub use statements::{Foreach, ForeachOrder, OrderBy, Stmt, visit_expressions, visit_statements};

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
