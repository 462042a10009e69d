//! Who owns an object, and what holds it.

use std::hash::{Hash, Hasher};
use std::ops::Deref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{ObjectKey, Uid, Versioned, VersionedError};
use serde::Deserialize;

use super::Word;
use super::shared::{Part, Shared, Table};

/// An object of any kind, as garbage collection sees it: without labels, annotations and managed fields.
///
/// Its key and UID are those of the version in the watch cache, and the pods of one ReplicaSet share their owners.
#[derive(Clone, Debug, PartialEq)]
pub struct Kin {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The UID.
    pub uid: Uid,
    /// The resource version; 0 if the object had none.
    pub resource_version: u64,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Option<Box<[Word]>>,
    /// Its owners.
    pub owners: Shared<Owners>,
}

/// The owners of an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Owners(Vec<OwnerReference>);

impl Eq for Owners {}

impl Hash for Owners {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|owner| owner.uid.hash(state));
    }
}

impl Part for Owners {
    fn table() -> &'static Table<Owners> {
        static TABLE: Table<Owners> = Table::new();
        &TABLE
    }
}

impl Deref for Owners {
    type Target = [OwnerReference];
    fn deref(&self) -> &[OwnerReference] {
        &self.0
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Whole {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    owner_references: Option<Owners>,
    finalizers: Option<Box<[Word]>>,
}

impl Kin {
    /// What is kept of a version.
    ///
    /// # Errors
    /// If its metadata is not that of an object.
    pub fn read(version: &Versioned) -> Result<Kin, VersionedError> {
        let Whole { metadata } = version.decode()?;
        Ok(Kin {
            key: version.key().clone(),
            uid: version.uid().clone(),
            resource_version: version.resource_version(),
            deleting: version.is_deleting(),
            finalizers: metadata.finalizers,
            owners: metadata.owner_references.unwrap_or_default().into(),
        })
    }

    /// Whether a finalizer holds it.
    pub fn is_held_by(&self, finalizer: &str) -> bool {
        self.finalizers.iter().flatten().any(|found| **found == *finalizer)
    }
}
