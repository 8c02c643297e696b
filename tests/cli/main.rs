//! The command line without any container: help, usage, exit codes, and the repository's own promises.

mod layout;
mod programs;
mod usage;
