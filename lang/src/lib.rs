//! The ctp language: text and bytes in, values out. No I/O.
//!
//! Data flows one way: text → [`syntax`] → probe sites ([`resolve`], against a [`world::World`]) → typed [`ir`]
//! ([`check`]) → {[`emit::stap`], [`emit::bpf`]}.

pub mod check;
pub mod codes;
pub mod debuginfo;
pub mod diagnostic;
pub mod emit;
pub mod glob;
pub mod interpret;
pub mod ir;
pub mod library;
pub mod render;
pub mod resolve;
pub mod source;
pub mod stack;
pub mod stats;
pub mod syntax;
pub mod value;
pub mod world;
