//! The `ctp` command.

fn main() {}
