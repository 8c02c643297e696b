//! Owns the typed IR → what engines take. One folder per engine; none knows another, and none does I/O.

pub mod bpf;
mod gate;
pub mod stap;
