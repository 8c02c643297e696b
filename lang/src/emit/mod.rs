//! Owns what becomes of a checked program: one folder per engine, IR in, the engine's own form out.

pub mod bpf;
