//! The command line without any container: help, usage, exit codes, and the repository's own promises.

mod layout;
mod programs;
mod usage;

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

