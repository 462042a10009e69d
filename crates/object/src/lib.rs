//! API objects: the tree, its encodings, and what can be done to an object without knowing its kind.
//!
//! | module | is |
//! | --- | --- |
//! | [`value`](Value) | the tree itself |
//! | [`json`] | JSON text without types |
//! | [`Versioned`] | one version of one stored object, shared by caches and informers |
//! | [`field`] | errors of single fields and the paths that name them |
//! | [`names`] | the grammars of names, labels, ports and addresses |
//! | [`Quantity`] | amounts of resources |
//! | [`Selector`], [`FieldSelector`] | which objects are meant, by label and by field |
//! | [`patch`] | JSON patch, merge patch and strategic merge patch |
//! | [`Status`] | the error form of the API |
//!
//! This crate knows the schema table and nothing of any kind's behaviour, of storage or of HTTP.

pub mod field;
pub mod names;
pub mod patch;
mod quantity;
pub mod json;
mod selector;
mod status;
mod text;
mod value;
mod versioned;

pub use quantity::{Error as QuantityError, Format as QuantityFormat, Quantity};
pub use selector::{
    Error as SelectorError, FieldRequirement, FieldSelector, LabelSelector, LabelSelectorRequirement, Labels, Operator,
    Requirement, Selector,
};
pub use status::{Cause, Details, MODIFIED, Reason, Response, Status};
pub use text::quote;
pub use value::{Key, Map, Value};
pub use versioned::{FieldValues, KeyError, ObjectKey, TypeMeta, Uid, Versioned, VersionedError};
