//! Subscriptions to an informer's changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::DropGuard;

use super::Change;

type Handler<K> = Box<dyn Fn(&Change<K>) + Send>;

/// One subscriber.
pub(super) struct Subscriber<K> {
    listens: Arc<AtomicBool>,
    handler: Handler<K>,
}

/// The subscribers of one informer. Locked while a change is applied and delivered, so that a new one misses and
/// repeats nothing.
pub(super) type Handlers<K> = Arc<Mutex<Vec<Subscriber<K>>>>;

/// Notifies every subscriber that still listens, and drops the others.
pub(super) fn tell<K>(subscribers: &mut Vec<Subscriber<K>>, change: &Change<K>) {
    let mut left = false;
    for subscriber in &*subscribers {
        if subscriber.listens.load(Ordering::Acquire) {
            (subscriber.handler)(change);
        } else {
            left = true;
        }
    }
    if left {
        subscribers.retain(|subscriber| subscriber.listens.load(Ordering::Acquire));
    }
}

/// Adds a subscriber; `subscribers` are those of `handlers`.
pub(super) fn add<K: Send + Sync + 'static>(
    handlers: &Handlers<K>,
    subscribers: &mut Vec<Subscriber<K>>,
    handler: Handler<K>,
    task: Arc<DropGuard>,
) -> Subscription {
    let listens = Arc::new(AtomicBool::new(true));
    subscribers.push(Subscriber { listens: Arc::clone(&listens), handler });
    let handlers: Arc<dyn Unsubscribe> = Arc::clone(handlers) as _;
    Subscription { listens, handlers: Arc::downgrade(&handlers), _task: task }
}

/// The subscribers of an informer, whatever its type.
trait Unsubscribe: Send + Sync {
    fn drop_silent(&self);
}

impl<K: Send + Sync + 'static> Unsubscribe for Mutex<Vec<Subscriber<K>>> {
    fn drop_silent(&self) {
        // If a change is being delivered right now, perhaps by this very thread, the next one cleans up.
        let Some(mut subscribers) = self.try_lock() else { return };
        let silent = subscribers.extract_if(.., |subscriber| !subscriber.listens.load(Ordering::Acquire));
        let silent: Vec<_> = silent.collect();
        drop(subscribers);
        // Dropping a handler may in turn unsubscribe others.
        drop(silent);
    }
}

/// Keeps a handler subscribed to an informer, and the informer running. Once it is dropped, the handler is no longer
/// called, and is itself dropped: at once, or with the informer's next change if one is being delivered at that moment.
#[must_use = "the handler is unsubscribed when this is dropped"]
pub struct Subscription {
    listens: Arc<AtomicBool>,
    handlers: Weak<dyn Unsubscribe>,
    _task: Arc<DropGuard>,
}

impl Subscription {
    /// Leaves the handler subscribed for as long as the informer runs, which the handler alone does not keep it.
    pub fn forever(mut self) {
        self.handlers = Weak::<Mutex<Vec<Subscriber<()>>>>::new();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(handlers) = self.handlers.upgrade() else { return };
        self.listens.store(false, Ordering::Release);
        handlers.drop_silent();
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
