//! The facts about a collection's resource.

use std::sync::Arc;

use object::{FieldValues, TypeMeta, Value};

use super::Leases;

/// A collection's facts about its resource.
pub struct CollectionSpec {
    /// Where its keys start in the store, for example `/registry/pods/`.
    pub prefix: String,
    /// `apiVersion` and `kind` of the stored objects.
    pub type_meta: Arc<TypeMeta>,
    /// The fields that field selectors may use.
    pub fields: Box<dyn Fn(&Value) -> FieldValues + Send + Sync>,
    /// The leases of objects that expire, if they do.
    pub leases: Option<Leases>,
    /// Makes an object that was stored under other rules one of the present rules; returns whether it has changed. Only
    /// the rules of custom resources change.
    pub amend: Option<Box<Amend>>,
}

/// See [`CollectionSpec::amend`].
pub type Amend = dyn Fn(&mut Value) -> bool + Send + Sync;
