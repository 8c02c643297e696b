//! Owns text → tree, and its canonical layout. Only `parse` names pest.

pub mod ast;
mod bare;
pub mod escape;
mod format;
pub mod number;
mod parse;

pub use bare::without_places;
pub use format::{Refused, format};
pub use parse::{decode, parse, parse_target, without_mark};

/// How deep a program may nest: brackets, statements in statements, operators in one expression.
pub const MAX_DEPTH: usize = 256;

/// How many bytes a source text may have: the tree of the densest one then stays under 200 MB.
pub const MAX_SOURCE: usize = 512 << 10;
