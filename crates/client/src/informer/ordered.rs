//! Objects in the order of their keys, without a copy of the keys.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use object::ObjectKey;

use crate::Identified;

/// An object whose place among others is that of its key.
pub(super) struct Ordered<K>(pub(super) Arc<K>);

/// What has a place in the order of keys: an object, or a key itself.
pub(super) trait Place {
    /// Namespace and name.
    fn place(&self) -> (&str, &str);
}

impl<K: Identified> Place for Ordered<K> {
    fn place(&self) -> (&str, &str) {
        (self.0.namespace(), self.0.name())
    }
}

impl Place for ObjectKey {
    fn place(&self) -> (&str, &str) {
        (self.namespace(), &self.name)
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Place + '_ {}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<K: Identified> PartialEq for Ordered<K> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<K: Identified> Eq for Ordered<K> {}

impl<K: Identified> PartialOrd for Ordered<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Identified> Ord for Ordered<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<K: Identified> Borrow<dyn Place> for Ordered<K> {
    fn borrow(&self) -> &(dyn Place + 'static) {
        self
    }
}
