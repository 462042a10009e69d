//! API objects: the tree, its encodings, and operations that do not depend on the kind.
//!
//! | module | contents |
//! | --- | --- |
//! | [`value`](Value) | the tree itself |
//! | [`decode`] | text of a request to a tree, according to its type: the first parser |
//! | [`json`], [`yaml`] | text without types |
//! | [`protobuf`] | upstream's protobuf, in both directions |
//! | [`from_value`], [`to_value`] | trees to typed structs and back |
//! | [`timestamp`], [`duration`] | times as the API writes them |
//! | [`Shared`], [`Word`], [`Pairs`] | parts that many objects have alike, kept once |
//! | [`Versioned`] | one version of one stored object, shared by caches and informers |
//! | [`field`] | errors of single fields and the paths that name them |
//! | [`names`] | the grammars of names, labels, ports and addresses |
//! | [`Quantity`] | amounts of resources |
//! | [`Selector`], [`FieldSelector`] | selection of objects by labels and by fields |
//! | [`structural`] | schemas of custom resources: compiled to types, with defaults and validation |
//! | [`patch`] | JSON patch, merge patch and strategic merge patch |
//! | [`Status`] | the error form of the API |
//!
//! This crate knows the schema table, but no kind's behaviour, no storage and no HTTP.

pub mod decode;
pub mod duration;
pub mod field;
pub mod json;
pub mod names;
pub mod patch;
pub mod protobuf;
mod quantity;
mod selector;
mod shared;
mod status;
pub mod structural;
mod text;
pub mod timestamp;
mod typed;
mod value;
mod versioned;
pub mod yaml;

pub use quantity::{Error as QuantityError, Format as QuantityFormat, Quantity};
pub use selector::{
    Error as SelectorError, FieldRequirement, FieldSelector, Labels, Operator, Requirement, Selector,
};
pub use shared::{Pairs, Part, Shared, Table, Word};
pub use status::{Cause, Details, MODIFIED, Reason, Response, Status};
pub use text::quote;
pub use typed::{TypedError, from_value, to_value};
pub use value::{Key, Map, Value};
pub use versioned::{FieldValues, KeyError, ObjectKey, TypeMeta, Uid, Versioned, VersionedError};
