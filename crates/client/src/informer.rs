//! Shared informers: a local copy of a collection that follows the server.
//!
//! [`Informers`] makes one [`Informer`] per collection and process; all callers that ask for the same collection get
//! the same informer. A separate task lists and watches (`reflector`) and puts the objects into the store (`store`).
//! Handlers are called for each change after the store shows it. They must be quick: they map objects to keys of work
//! queues and decide nothing.

use std::sync::Arc;

use object::{ObjectKey, Uid, Versioned, VersionedError};
use parking_lot::RwLock;
use tokio::sync::watch;

mod factory;
mod handlers;
mod reflector;
mod selection;
mod store;

pub use factory::Informers;
pub use handlers::Subscription;
use handlers::{Handlers, Subscriber};
use reflector::{Replacement, Sink};
pub use selection::Selection;
use store::{Entry, Store};

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

type Decode<K> = fn(&Versioned) -> Result<Arc<K>, VersionedError>;

/// A local copy of a collection that follows the server. See [`Informers`].
pub struct Informer<K> {
    store: RwLock<Store<K>>,
    handlers: Handlers<K>,
    synced: watch::Sender<bool>,
    /// The resource version up to which changes are in the store and delivered to handlers.
    told: watch::Sender<u64>,
    decode: Decode<K>,
}

impl<K: Send + Sync + 'static> Informer<K> {
    fn new(decode: Decode<K>) -> Informer<K> {
        Informer {
            store: RwLock::default(),
            handlers: Handlers::default(),
            synced: watch::Sender::new(false),
            told: watch::Sender::new(0),
            decode,
        }
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.store.read().get(key)
    }

    /// All objects, in the order of their keys.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.store.read().iter().cloned().collect()
    }

    /// The objects of a namespace, in the order of their keys.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.store.read().in_namespace(namespace)
    }

    /// The objects with this value in an index, in the order of their keys.
    ///
    /// # Panics
    /// If no index of this name was added.
    pub fn indexed(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        self.store.read().indexed(index, value)
    }

    /// Iterates over all objects without copying the list. The store is locked in the meantime.
    pub fn for_each(&self, visit: impl FnMut(&Arc<K>)) {
        self.store.read().iter().for_each(visit);
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.store.read().len()
    }

    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Indexes the objects by the values that `values` returns. An existing index is kept.
    pub fn add_index(&self, index: &'static str, values: fn(&K) -> Vec<String>) {
        self.store.write().add_index(index, values);
    }

    /// The newest resource version that the store reflects; 0 before the first list.
    pub fn resource_version(&self) -> u64 {
        self.store.read().resource_version()
    }

    /// Calls `handler` for each existing object, as if it had just been added, and then for each change, until the
    /// returned guard is dropped. It runs on the informer's own task: it must not block, nor subscribe to the same
    /// informer.
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + 'static) -> Subscription {
        let mut subscribers = self.handlers.lock();
        let present: Vec<Change<K>> = self.store.read().entries().map(Change::addition).collect();
        present.iter().for_each(&handler);
        handlers::add(&self.handlers, &mut subscribers, Box::new(handler))
    }

    /// Waits until the first list is in the store and delivered to the handlers.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as `self`, so this ends only when the value is true.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Whether the first list is in the store.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until the store reflects a write that left its object, or the collection, at this resource version, and
    /// the handlers have been called for it.
    pub async fn caught_up(&self, resource_version: u64) {
        let mut told = self.told.subscribe();
        // The sender lives as long as `self`, so this ends only when the condition is true.
        let _ = told.wait_for(|told| *told >= resource_version).await;
    }

    /// Waits until the object with this UID is gone from the store or known to be in deletion.
    pub async fn let_go(&self, key: &ObjectKey, uid: &Uid) {
        let mut told = self.told.subscribe();
        let _ = told.wait_for(|_| !self.store.read().is_live(key, uid)).await;
    }

    fn decode(&self, object: &Versioned) -> Option<Entry<K>> {
        match (self.decode)(object) {
            Ok(typed) => Some(Entry {
                object: typed,
                resource_version: object.resource_version(),
                uid: object.uid().clone(),
                deleting: object.is_deleting(),
            }),
            Err(error) => {
                // A single object that cannot be decoded must not hold up all others.
                tracing::error!(?object, error = &error as &dyn std::error::Error, "cannot read an object");
                None
            }
        }
    }

    /// Notifies the handlers of changes that the store shows already.
    fn tell<'c>(
        &self,
        subscribers: &mut Vec<Subscriber<K>>,
        changes: impl IntoIterator<Item = &'c Change<K>>,
    ) {
        for change in changes {
            handlers::tell(subscribers, change);
        }
        self.told.send_replace(self.resource_version());
    }
}

impl<K> Change<K> {
    fn addition((key, entry): (&ObjectKey, &Entry<K>)) -> Change<K> {
        Change { key: key.clone(), old: None, new: Some(Arc::clone(&entry.object)) }
    }
}

impl<K: Send + Sync + 'static> Sink for Informer<K> {
    fn put(&self, object: &Versioned) {
        let entry = self.decode(object);
        let mut subscribers = self.handlers.lock();
        let change = {
            let mut store = self.store.write();
            store.advance(object.resource_version());
            entry.and_then(|entry| store.put(object.key().clone(), entry))
        };
        self.tell(&mut subscribers, &change);
    }

    fn remove(&self, object: &Versioned) {
        let mut subscribers = self.handlers.lock();
        let change = {
            let mut store = self.store.write();
            store.advance(object.resource_version());
            store.remove(object.key())
        };
        self.tell(&mut subscribers, &change);
    }

    fn advance(&self, resource_version: u64) {
        let mut subscribers = self.handlers.lock();
        self.store.write().advance(resource_version);
        self.tell(&mut subscribers, []);
    }

    fn replace(self: Arc<Self>) -> Box<dyn Replacement> {
        Box::new(NewContent { entries: Vec::new(), informer: self })
    }
}

/// A list on its way into the store.
struct NewContent<K> {
    entries: Vec<(ObjectKey, Entry<K>)>,
    informer: Arc<Informer<K>>,
}

impl<K: Send + Sync + 'static> Replacement for NewContent<K> {
    fn push(&mut self, object: &Versioned) {
        if let Some(entry) = self.informer.decode(object) {
            self.entries.push((object.key().clone(), entry));
        }
    }

    fn finish(self: Box<Self>, resource_version: u64) {
        let mut subscribers = self.informer.handlers.lock();
        let changes = {
            let mut store = self.informer.store.write();
            store.advance(resource_version);
            store.replace(self.entries)
        };
        self.informer.tell(&mut subscribers, &changes);
        self.informer.synced.send_replace(true);
    }
}

impl<K> std::fmt::Debug for Informer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Informer").field("kind", &std::any::type_name::<K>()).finish_non_exhaustive()
    }
}
