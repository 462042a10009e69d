//! Who owns an object, and what holds it.

use std::hash::{Hash, Hasher};
use std::ops::Deref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{Part, Shared, Table, Versioned, VersionedError, Word};
use semantics::{Field, View};
use serde::Deserialize;

use super::Extract;

/// An object of any kind, as garbage collection sees it.
pub type Kin = Extract<Ownership>;

/// What an object belongs to, and what holds it. The pods of one ReplicaSet share their list of owners.
#[derive(Clone, Debug, PartialEq)]
pub struct Ownership {
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

impl View for Owners {
    fn as_field(&self) -> Field<'_> {
        if self.0.is_empty() { Field::Absent } else { self.0.as_field() }
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
        let owners = metadata.owner_references.unwrap_or_default().into();
        Ok(Extract::of(version, Ownership { finalizers: metadata.finalizers, owners }))
    }

    /// Whether a finalizer holds it.
    pub fn is_held_by(&self, finalizer: &str) -> bool {
        self.finalizers.iter().flatten().any(|found| **found == *finalizer)
    }
}
