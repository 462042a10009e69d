//! The `dashboard` crate.
