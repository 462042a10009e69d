//! The image store.
pub mod digest;
