//! Live containers traced by ctp: what it prints against what the traced programs printed themselves.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accounts;
mod awaited;
mod end;
mod errors;
mod examples;
mod executing;
mod following;
mod identity;
mod inlined;
mod jsonl;
mod losses;
mod many;
mod maps;
mod matrix;
mod million;
mod nodebug;
mod options;
mod places;
mod results;
mod returns;
mod select;
mod session_tasks;
mod sessions;
mod soak;
mod stacks;
mod symbols;
mod targets;
mod texts;
mod threads;
mod twins;
mod types;
