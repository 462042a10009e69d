//! API objects: the tree, its encodings, and what can be done to an object without knowing its kind.
//!
//! | module | is |
//! | --- | --- |
//! | [`value`](Value) | the tree itself |
//! | [`json`] | JSON text without types |
//! | [`Versioned`] | one version of one stored object, shared by caches and informers |
//! | [`field`] | errors of single fields and the paths that name them |
//! | [`Status`] | the error form of the API |
//!
//! This crate knows the schema table and nothing of any kind's behaviour, of storage or of HTTP.

pub mod field;
pub mod json;
mod status;
mod text;
mod value;
mod versioned;

pub use status::{Cause, Details, MODIFIED, Reason, Response, Status};
pub use text::quote;
pub use value::{Key, Map, Value};
pub use versioned::{FieldValues, KeyError, ObjectKey, TypeMeta, Uid, Versioned, VersionedError};
