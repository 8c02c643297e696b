//! The eBPF engine against real programs in cgroups of their own. What is expected is what the traced program itself
//! printed or counted. Needs root and a kernel with uprobe_multi (6.6).

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod accounting;
mod aggregates;
mod build;
mod globals;
mod overlay;
mod same;
mod target;
mod values;
