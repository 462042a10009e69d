//! Positions in a collection's log.

use std::sync::Arc;

use object::Versioned;
use tokio::sync::watch;

use super::{CacheError, Collection};

/// How many changes a watcher takes from the log at a time.
const BATCH_MAX: usize = 256;
/// How many bytes of objects a watcher takes at a time, not counting the last one: a watcher whose client reads slowly
/// keeps these versions alive.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It changed.
    Modified,
    /// It was deleted.
    Deleted,
}

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// The kind of change.
    pub kind: ChangeKind,
    /// The store's revision of it.
    pub revision: u64,
    /// The new version; for a deletion the last one, with the deletion's resource version.
    pub object: Versioned,
    /// The previous version.
    pub previous: Option<Versioned>,
}

impl Change {
    /// The number of bytes that the log counts for this change.
    pub(super) fn bytes(&self) -> usize {
        self.object.json().len() + 256
    }
}

/// A reader of a collection's changes.
pub struct Watcher {
    collection: Arc<Collection>,
    position: u64,
    changed: watch::Receiver<u64>,
}

impl Watcher {
    pub(super) fn new(collection: Arc<Collection>, position: u64, changed: watch::Receiver<u64>) -> Watcher {
        Watcher { collection, position, changed }
    }

    /// Whether there is nothing to read at this moment.
    pub fn is_waiting(&self) -> bool {
        self.collection.changes_from(self.position, 1, 1).is_some_and(|changes| changes.is_empty())
    }

    /// The next changes, at least one; waits until there are some.
    ///
    /// # Errors
    /// [`CacheError::TooOld`] where this watcher was too slow; [`CacheError::Ended`] behind the last change of a
    /// collection that is gone.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, CacheError> {
        loop {
            // Seen before the log is read, so that a change in between wakes the wait below.
            let revision = *self.changed.borrow_and_update();
            let changes =
                self.collection.changes_from(self.position, BATCH_MAX, BATCH_BYTES_MAX).ok_or_else(|| {
                    self.collection.meter.terminated();
                    CacheError::TooOld { requested: revision, oldest: self.collection.oldest() }
                })?;
            if !changes.is_empty() {
                self.position += changes.len() as u64;
                return Ok(changes);
            }
            if self.collection.is_ended() {
                return Err(CacheError::Ended);
            }
            if self.changed.changed().await.is_err() {
                // The collection lives as long as this holds it, and so does its sender.
                return Err(CacheError::Store(store::StoreError::Closed));
            }
        }
    }
}
