//! Data that controllers remember from one look to the next.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

/// The memories of one controller's keys. A memory is forgotten when there is nothing to decide about its key any more,
/// when it equals the default, and with the controller.
pub(super) struct Memories<T, M>(Mutex<HashMap<T, M>>);

impl<T, M> Default for Memories<T, M> {
    fn default() -> Memories<T, M> {
        Memories(Mutex::default())
    }
}

impl<T: Clone + Eq + Hash, M: Clone + Default + PartialEq> Memories<T, M> {
    pub(super) fn recall(&self, key: &T) -> M {
        self.0.lock().get(key).cloned().unwrap_or_default()
    }

    pub(super) fn keep(&self, key: &T, memory: M) {
        if memory == M::default() {
            self.forget(key);
        } else {
            self.0.lock().insert(key.clone(), memory);
        }
    }

    pub(super) fn forget(&self, key: &T) {
        self.0.lock().remove(key);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Data that a controller extracts from changes as they arrive, such as the time of the last sign of life of a node. It
/// is used like an informer: written by subscriptions to changes ([`Wiring::note`](super::Wiring::note)) and only read
/// by `observe`. Clones share it.
#[derive(Debug, Default)]
pub(crate) struct Notes<N>(Arc<RwLock<N>>);

impl<N> Notes<N> {
    /// Reads.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&N) -> R) -> R {
        read(&self.0.read())
    }

    /// Writes.
    pub(crate) fn write<R>(&self, write: impl FnOnce(&mut N) -> R) -> R {
        write(&mut self.0.write())
    }
}

impl<N> Clone for Notes<N> {
    fn clone(&self) -> Notes<N> {
        Notes(Arc::clone(&self.0))
    }
}
