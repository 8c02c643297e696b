//! Owns how output is written.

pub mod escape;
pub mod printer;
