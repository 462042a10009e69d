//! The `volumes` crate.
