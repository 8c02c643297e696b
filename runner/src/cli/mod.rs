//! Owns the subcommands, one file each.

pub mod ps;
