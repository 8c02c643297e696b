//! The runner of ctp: everything that touches the machine. `main.rs` only calls into it; the tests use it too.

pub mod cli;
pub mod container;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod output;
pub mod plan;
pub mod privileges;
pub mod report;
pub mod rootfs;
pub mod session;
pub mod stacks;
pub mod symbols;
pub mod threads;
pub mod world;
