//! What an informer's task and its holders share: the objects, and the handlers of their changes.

use std::sync::Arc;

use object::{ObjectKey, Versioned, VersionedError};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::Change;
use super::handlers::{self, Handlers, Subscriber};
use super::reflector::{Replacement, Sink};
use super::store::Store;
use crate::Identified;

pub(super) type Decode<K> = fn(&Versioned) -> Result<K, VersionedError>;

pub(super) struct Shared<K> {
    pub(super) store: RwLock<Store<K>>,
    pub(super) handlers: Handlers<K>,
    pub(super) synced: watch::Sender<bool>,
    /// The resource version up to which changes are in the store and delivered to handlers.
    pub(super) told: watch::Sender<u64>,
    decode: Decode<K>,
}

impl<K: Identified> Shared<K> {
    pub(super) fn new(decode: Decode<K>) -> Shared<K> {
        Shared {
            store: RwLock::default(),
            handlers: Handlers::default(),
            synced: watch::Sender::new(false),
            told: watch::Sender::new(0),
            decode,
        }
    }

    fn decode(&self, object: &Versioned) -> Option<Arc<K>> {
        // A single object that cannot be decoded must not hold up all others.
        let unreadable = |error: &VersionedError| {
            tracing::error!(?object, error = error as &dyn std::error::Error, "cannot read an object");
        };
        (self.decode)(object).inspect_err(unreadable).ok().map(Arc::new)
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
        self.told.send_replace(self.store.read().resource_version());
    }
}

impl<K: Identified> Sink for Shared<K> {
    fn put(&self, object: &Versioned) {
        let decoded = self.decode(object);
        let mut subscribers = self.handlers.lock();
        let change = {
            let mut store = self.store.write();
            store.advance(object.resource_version());
            decoded.and_then(|decoded| store.put(object.key().clone(), decoded))
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
        Box::new(NewContent { objects: Vec::new(), shared: self })
    }
}

/// A list on its way into the store.
struct NewContent<K> {
    objects: Vec<(ObjectKey, Arc<K>)>,
    shared: Arc<Shared<K>>,
}

impl<K: Identified> Replacement for NewContent<K> {
    fn push(&mut self, object: &Versioned) {
        if let Some(decoded) = self.shared.decode(object) {
            self.objects.push((object.key().clone(), decoded));
        }
    }

    fn finish(self: Box<Self>, resource_version: u64) {
        let mut subscribers = self.shared.handlers.lock();
        let changes = {
            let mut store = self.shared.store.write();
            store.advance(resource_version);
            store.replace(self.objects)
        };
        self.shared.tell(&mut subscribers, &changes);
        self.shared.synced.send_replace(true);
    }
}
