//! API objects: the tree, its encodings, and what can be done to an object without knowing its kind.
//!
//! | module | is |
//! | --- | --- |
//! | [`value`](Value) | the tree itself |
//!
//! This crate knows the schema table and nothing of any kind's behaviour, of storage or of HTTP.

mod value;

pub use value::{Key, Map, Value};
