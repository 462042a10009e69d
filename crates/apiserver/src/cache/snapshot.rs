//! All objects of a collection at one moment.

use std::sync::Arc;

use imbl::OrdMap;
use object::Versioned;

/// The objects at one moment, by their keys behind the collection's prefix.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The objects.
    pub objects: OrdMap<Arc<str>, Versioned>,
    /// The store's revision.
    pub revision: u64,
    pub(super) counts: Counts,
}

/// How many objects each namespace has.
pub(super) type Counts = OrdMap<Arc<str>, usize>;

impl Snapshot {
    /// The number of objects in a namespace; of all objects if it is empty. The number is maintained, not counted.
    pub fn count(&self, namespace: &str) -> usize {
        match namespace {
            "" => self.objects.len(),
            namespace => self.counts.get(namespace).copied().unwrap_or(0),
        }
    }
}
