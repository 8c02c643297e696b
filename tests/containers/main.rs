//! Containers as they are found, named and opened, on real containers of a running docker. Needs root, docker and gcc.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up or read fails it, helpers included")]

#[path = "boundary.rs"]
mod boundary;
#[path = "cases.rs"]
mod cases;
#[path = "completing.rs"]
mod completing;
#[path = "cri.rs"]
mod cri;
#[path = "engines.rs"]
mod engines;
#[path = "fixture.rs"]
mod fixture;
#[path = "hostile.rs"]
mod hostile;
#[path = "inside.rs"]
mod inside;
#[path = "listing.rs"]
mod listing;
#[path = "machines.rs"]
mod machines;
#[path = "nested.rs"]
mod nested;
#[path = "opening.rs"]
mod opening;
#[path = "ps.rs"]
mod ps;
#[path = "rootless.rs"]
mod rootless;
#[path = "several.rs"]
mod several;
#[path = "terminal.rs"]
mod terminal;
#[path = "userns.rs"]
mod userns;
#[path = "watching.rs"]
mod watching;
