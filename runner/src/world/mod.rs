//! Owns the implementations of [`ctp_lang::world::World`] on this machine.

pub mod live;
mod same;
