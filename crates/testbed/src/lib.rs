//! The `testbed` crate.
