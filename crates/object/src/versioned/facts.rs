//! What selectors and indexes ask of a version.

use std::sync::Arc;

use super::{FieldValues, ObjectKey, Uid};
use crate::{Pairs, Value};

/// The facts needed for keys and selectors. Versions share them, or as much of them as is equal.
#[derive(PartialEq)]
pub(super) struct Facts {
    pub(super) key: ObjectKey,
    pub(super) uid: Uid,
    pub(super) deleting: bool,
    pub(super) labels: Pairs,
    pub(super) fields: FieldValues,
}

impl Facts {
    /// The facts of an object; `previous` are those of an earlier version.
    pub(super) fn of(object: &Value, fields: FieldValues, previous: Option<&Arc<Facts>>) -> Arc<Facts> {
        let metadata = object.get("metadata");
        let (namespace, name) = (metadata.str_at("namespace"), metadata.str_at("name"));
        let known = previous.map(|previous| &previous.key);
        let known = known.filter(|key| key.namespace() == namespace && *key.name == *name);
        let uid = metadata.str_at("uid");
        let known_uid = previous.map(|previous| &previous.uid).filter(|known| known.as_str() == uid);
        let labels = metadata.get("labels").entries();
        let facts = Facts {
            key: known.cloned().unwrap_or_else(|| ObjectKey::of(object)),
            uid: known_uid.cloned().unwrap_or_else(|| Uid::from(uid)),
            deleting: !metadata.get("deletionTimestamp").is_null(),
            labels: labels.map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect(),
            fields,
        };
        previous.filter(|previous| ***previous == facts).cloned().unwrap_or_else(|| Arc::new(facts))
    }
}
