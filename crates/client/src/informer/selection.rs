//! The part of a resource that an informer follows.

use crate::{Object, ResourceType};

/// The part of a resource that an informer follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The resource.
    pub resource: ResourceType,
    /// One namespace, or all (`""`).
    pub namespace: String,
    /// Selects by labels; empty selects all.
    pub label_selector: String,
    /// Selects by fields that the kind registers; empty selects all.
    pub field_selector: String,
}

impl Selection {
    /// All objects of a resource.
    pub fn all(resource: ResourceType) -> Selection {
        Selection {
            resource,
            namespace: String::new(),
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    /// The objects of a typed kind whose fields match, for example `spec.nodeName=node-1`.
    pub fn fields<K: Object>(field_selector: impl Into<String>) -> Selection {
        Selection { field_selector: field_selector.into(), ..Selection::all(ResourceType::of::<K>()) }
    }

    /// The objects of a typed kind whose labels match.
    pub fn labels<K: Object>(label_selector: impl Into<String>) -> Selection {
        Selection { label_selector: label_selector.into(), ..Selection::all(ResourceType::of::<K>()) }
    }
}
