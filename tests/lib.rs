//! What the tests share: programs, images and containers to trace, and ctp itself. Everything that is made here has a
//! name of its own and is removed when the test ends.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "fixtures/binary.rs"]
pub mod binary;
#[path = "fixtures/codes.rs"]
pub mod codes;
#[path = "fixtures/ctp.rs"]
pub mod ctp;
#[path = "fixtures/docker.rs"]
pub mod docker;
#[path = "fixtures/driven.rs"]
pub mod driven;
#[path = "fixtures/expected.rs"]
pub mod expected;
#[path = "fixtures/matrix.rs"]
pub mod matrix;
#[path = "fixtures/process.rs"]
pub mod process;
#[path = "fixtures/reference.rs"]
pub mod reference;
#[path = "fixtures/unique.rs"]
pub mod unique;
#[path = "fixtures/world.rs"]
pub mod world;
