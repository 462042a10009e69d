//! The forms in which components read objects.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::{Metadata, Resource};
use object::{Labels, ObjectKey, Versioned, VersionedError};
use semantics::View;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What tells an object and its versions from others, in any form.
pub trait Identified: Send + Sync + 'static {
    /// The namespace; empty for objects of the cluster.
    fn namespace(&self) -> &str;
    /// The name; empty if it has none yet.
    fn name(&self) -> &str;
    /// The UID; empty if it has none yet.
    fn uid(&self) -> &str;
    /// The resource version; 0 if it has none yet.
    fn resource_version(&self) -> u64;
    /// Whether it is being deleted.
    fn is_deleting(&self) -> bool;

    /// Namespace and name. Forms that hold a key share it.
    fn key(&self) -> ObjectKey {
        ObjectKey::namespaced(self.namespace(), self.name())
    }
}

/// A form in which components read the objects of a kind: typed ([`Object`]) or lean ([`LeanPod`](crate::LeanPod)).
pub trait Form: Identified + Resource + Clone + Debug {
    /// The form of a version that informers keep.
    ///
    /// # Errors
    /// If the version is not of this kind.
    fn read(version: &Versioned) -> Result<Self, VersionedError>;

    /// The metadata, for rules.
    fn meta(&self) -> &dyn View;

    /// The labels.
    fn labels(&self) -> &dyn Labels;

    /// The owners.
    fn owners(&self) -> &[OwnerReference];
}

/// A kind with a Rust type that can be written: every `k8s-openapi` type that is a resource with metadata.
pub trait Object: Form + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned {}

impl<K: Form + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned> Object for K {}

impl<K: Metadata<Ty = ObjectMeta> + Send + Sync + 'static> Identified for K {
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    fn resource_version(&self) -> u64 {
        self.metadata().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
    }

    fn is_deleting(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }
}

/// Without `managedFields`, which nobody reads from here: a server takes a write without them as one that leaves them
/// alone.
impl<K> Form for K
where
    K: Metadata<Ty = ObjectMeta> + Resource + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    fn read(version: &Versioned) -> Result<K, VersionedError> {
        let mut typed: K = version.decode()?;
        typed.metadata_mut().managed_fields = None;
        Ok(typed)
    }

    fn meta(&self) -> &dyn View {
        self.metadata()
    }

    fn labels(&self) -> &dyn Labels {
        &self.metadata().labels
    }

    fn owners(&self) -> &[OwnerReference] {
        self.metadata().owner_references.as_deref().unwrap_or_default()
    }
}

/// The namespace and name of an object; empty if it has none yet.
pub fn key_of<K: Identified>(object: &K) -> ObjectKey {
    object.key()
}

/// The namespace and name in an object's metadata; empty if it has none yet.
pub fn meta_key(meta: &ObjectMeta) -> ObjectKey {
    ObjectKey::namespaced(
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    )
}

/// The resource version as the API writes it, if there is one.
pub fn version_of<K: Identified>(object: &K) -> Option<String> {
    Some(object.resource_version()).filter(|version| *version != 0).map(|version| version.to_string())
}
