//! Owns the ways from the typed IR to what an engine runs, one folder per engine. Never checks a program again.

pub mod stap;
