//! Positions in a collection's log.

use std::sync::Arc;

use tokio::sync::watch;

use super::{CacheError, Change, Collection, Hub, Snapshot};

/// How many changes a watcher takes from the log at a time.
const BATCH_MAX: usize = 256;
/// How many bytes of objects a watcher takes at a time, not counting the last one: a watcher whose client reads slowly
/// keeps these versions alive.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A reader of a collection's changes.
pub struct Watcher {
    collection: Arc<Collection>,
    position: u64,
    changed: watch::Receiver<u64>,
}

impl Watcher {
    /// A watcher of the changes after `revision`.
    ///
    /// # Errors
    /// [`CacheError::TooOld`] if the log does not reach back that far.
    pub fn after(collection: &Arc<Collection>, revision: u64) -> Result<Watcher, CacheError> {
        let (position, changed) = collection.position_after(revision)?;
        Ok(Watcher { collection: Arc::clone(collection), position, changed })
    }

    /// All objects of a collection, and a watcher of the changes after that.
    pub fn with_snapshot(collection: &Arc<Collection>, hub: &Hub) -> (Snapshot, Watcher) {
        let (snapshot, position, changed) = collection.snapshot_and_position(hub.revision());
        (snapshot, Watcher { collection: Arc::clone(collection), position, changed })
    }

    /// Whether there is nothing to read at this moment.
    pub fn is_waiting(&self) -> bool {
        self.collection.changes_from(self.position, 1, 1).is_some_and(|changes| changes.is_empty())
    }

    /// Whether others watch the collection too.
    pub fn has_company(&self) -> bool {
        self.collection.watchers() > 1
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
