//! Hostile names.
