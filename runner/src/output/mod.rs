//! Owns how results are written.

pub mod escape;
