//! A single fact about objects.

use std::ops::Deref;

use object::{ObjectKey, Uid, Versioned};

use crate::Identified;

/// What is kept of an object of which consumers need one fact alone. Its key and UID are those of the version in the
/// watch cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Extract<T> {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The UID.
    pub uid: Uid,
    /// The resource version; 0 if the object had none.
    pub resource_version: u64,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The fact.
    pub fact: T,
}

impl<T> Extract<T> {
    /// A fact about the object of a version.
    pub(crate) fn of(version: &Versioned, fact: T) -> Extract<T> {
        Extract {
            key: version.key().clone(),
            uid: version.uid().clone(),
            resource_version: version.resource_version(),
            deleting: version.is_deleting(),
            fact,
        }
    }
}

impl<T> Deref for Extract<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.fact
    }
}

impl<T: Send + Sync + 'static> Identified for Extract<T> {
    fn namespace(&self) -> &str {
        self.key.namespace()
    }

    fn name(&self) -> &str {
        &self.key.name
    }

    fn uid(&self) -> &str {
        self.uid.as_str()
    }

    fn resource_version(&self) -> u64 {
        self.resource_version
    }

    fn is_deleting(&self) -> bool {
        self.deleting
    }

    fn key(&self) -> ObjectKey {
        self.key.clone()
    }
}
