//! The `controllers` crate.
