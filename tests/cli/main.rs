//! The command line without any container: help, usage, exit codes, and the repository's own promises.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod explain;
mod fmt;
mod formats;
mod import;
mod layout;
mod pages;
mod programs;
mod shell;
mod tools;
mod usage;
