//! Debug info read by ctp, held against what the programs print, and against gdb and readelf.

mod build;
mod files;
mod names;
mod oracle;
mod types;
mod values;
