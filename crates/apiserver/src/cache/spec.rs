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

impl CollectionSpec {
    /// The version and the kind of a stored object: a custom one may have been stored in another version.
    pub(super) fn type_of(&self, object: &Value) -> Arc<TypeMeta> {
        let own = object.str_at("apiVersion");
        match self.amend.is_none() || own.is_empty() || *own == *self.type_meta.api_version {
            true => Arc::clone(&self.type_meta),
            false => TypeMeta::new(own, &self.type_meta.kind),
        }
    }
}

/// See [`CollectionSpec::amend`].
pub type Amend = dyn Fn(&mut Value) -> bool + Send + Sync;
