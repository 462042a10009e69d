//! The `dns` crate.
