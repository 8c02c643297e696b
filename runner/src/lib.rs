//! The runner of ctp: everything that touches the machine. `main.rs` only calls into it; the tests use it too.

pub mod engine;
