//! The ctp language: text and bytes in, values out. No I/O.
//!
//! Data flows one way: text → [`syntax`] → probe sites ([`resolve`], against a [`world::World`]) → typed [`ir`]
//! ([`check`]) → {[`emit::stap`], [`emit::bpf`]}.

pub mod codes;
pub mod debuginfo;
pub mod diagnostic;
pub mod render;
pub mod source;
pub mod syntax;
pub mod world;
