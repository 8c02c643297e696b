//! Owns text → tree. Only `parse` names pest.

pub mod ast;
