//! Debug info read by ctp, held against what the programs print, and against gdb and readelf.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod amplified;
mod bombs;
mod build;
mod companions;
mod damaged;
mod evaluate;
mod files;
mod formats;
mod indexes;
mod kept;
mod languages;
mod lists;
mod names;
mod oracle;
mod price;
mod replicas;
mod types;
mod values;
mod whole;
