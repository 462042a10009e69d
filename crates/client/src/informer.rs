//! Shared informers: a local copy of a collection that follows the server.
//!
//! [`Informers`] makes one [`Informer`] per collection and process; all callers that ask for the same collection get
//! the same informer. A separate task lists and watches (`reflector`) and puts the objects into the store (`shared`,
//! `store`). Handlers are called for each change after the store shows it. They must be quick: they map objects to keys
//! of work queues and decide nothing.

use std::sync::Arc;

use object::{ObjectKey, Uid};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Client, Identified, key_of};

mod factory;
mod handlers;
mod ordered;
mod reflector;
mod selection;
mod shared;
mod store;

pub use factory::Informers;
pub use handlers::Subscription;
use reflector::Reflector;
pub use selection::Selection;
use shared::{Decode, Shared};

/// A change of one object in an informer's store.
#[derive(Debug)]
pub struct Change<K> {
    /// Which object.
    pub key: ObjectKey,
    /// The state before; `None` if the object is new.
    pub old: Option<Arc<K>>,
    /// The state after; `None` if the object is gone, or no longer matches the selectors. The two may be different
    /// objects (compare the UIDs) if a deletion was missed while the connection was down.
    pub new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The states, the newer one first.
    pub fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.new.iter().chain(&self.old)
    }

    /// The newest state: if the object is gone, the last one before.
    pub fn object(&self) -> &Arc<K> {
        self.states().next().expect("a change has at least one state")
    }
}

impl<K: Identified> Change<K> {
    fn addition(object: &Arc<K>) -> Change<K> {
        Change { key: key_of(&**object), old: None, new: Some(Arc::clone(object)) }
    }
}

/// A local copy of a collection that follows the server for as long as the informer, one of its [`Subscription`]s or the
/// [`Informers`] that made it are held.
pub struct Informer<K> {
    shared: Arc<Shared<K>>,
    /// The task that follows the server. It holds `shared` alone, so it ends with the last holder of this.
    task: Arc<DropGuard>,
}

impl<K: Identified> Informer<K> {
    /// Starts to follow. Must be called inside a tokio runtime.
    fn start(client: Client, selection: Selection, metadata_only: bool, decode: Decode<K>) -> Informer<K> {
        let shared = Arc::new(Shared::new(decode));
        let reflector = Reflector { client, selection, metadata_only, sink: Arc::clone(&shared) as _ };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(reflector.run()).await });
        Informer { shared, task: Arc::new(stop.drop_guard()) }
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.shared.store.read().get(key).cloned()
    }

    /// All objects, in the order of their keys.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.shared.store.read().iter().cloned().collect()
    }

    /// The objects of a namespace, in the order of their keys.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.shared.store.read().in_namespace(namespace)
    }

    /// The objects with this value in an index, in the order of their keys.
    ///
    /// # Panics
    /// If no index of this name was added.
    pub fn indexed(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        self.shared.store.read().indexed(index, value)
    }

    /// Iterates over all objects without copying the list. The store is locked in the meantime.
    pub fn for_each(&self, visit: impl FnMut(&Arc<K>)) {
        self.shared.store.read().iter().for_each(visit);
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.shared.store.read().len()
    }

    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Indexes the objects by the values that `values` returns. An existing index is kept.
    pub fn add_index(&self, index: &'static str, values: fn(&K) -> Vec<String>) {
        self.shared.store.write().add_index(index, values);
    }

    /// The newest resource version that the store reflects; 0 before the first list.
    pub fn resource_version(&self) -> u64 {
        self.shared.store.read().resource_version()
    }

    /// Calls `handler` for each existing object, as if it had just been added, and then for each change, until the
    /// returned guard is dropped. It runs on the informer's own task: it must not block, nor subscribe to the same
    /// informer. A handler that holds its own informer keeps it running.
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + 'static) -> Subscription {
        let mut subscribers = self.shared.handlers.lock();
        let present: Vec<Change<K>> = self.shared.store.read().iter().map(Change::addition).collect();
        present.iter().for_each(&handler);
        handlers::add(&self.shared.handlers, &mut subscribers, Box::new(handler), Arc::clone(&self.task))
    }

    /// Waits until the first list is in the store and delivered to the handlers.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as `self`, so this ends only when the value is true.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Whether the first list is in the store.
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Waits until the store reflects a write that left its object, or the collection, at this resource version, and
    /// the handlers have been called for it.
    pub async fn caught_up(&self, resource_version: u64) {
        let mut told = self.shared.told.subscribe();
        // The sender lives as long as `self`, so this ends only when the condition is true.
        let _ = told.wait_for(|told| *told >= resource_version).await;
    }

    /// Waits until the object with this UID is gone from the store or known to be in deletion.
    pub async fn let_go(&self, key: &ObjectKey, uid: &Uid) {
        let mut told = self.shared.told.subscribe();
        let _ = told.wait_for(|_| !self.shared.store.read().is_live(key, uid)).await;
    }
}

impl<K> std::fmt::Debug for Informer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Informer").field("kind", &std::any::type_name::<K>()).finish_non_exhaustive()
    }
}
