//! The values.
