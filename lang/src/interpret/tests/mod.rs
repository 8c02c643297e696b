//! Every construct of the IR, run on recorded inputs; expected values are worked out by hand from what the language says.

mod build;
mod expressions;
mod memory;
mod outputs;
mod statements;
