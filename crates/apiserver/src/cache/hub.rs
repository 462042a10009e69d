//! What feeds the collections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::RwLock;
use store::{Event, RangeRequest, Revision, Store, StoreError, WatchBatch, WatchRequest};
use tokio::sync::watch;
use tracing::{error, warn};

use super::{CacheError, Collection};

/// Where all objects are in the store.
const ROOT: &str = "/registry/";
/// How long a read waits for the cache to catch up with the store.
const FRESH_WITHIN: Duration = Duration::from_secs(3);

/// Feeds every collection from one watch of the store.
pub struct Hub {
    store: Arc<dyn Store>,
    /// Collections by their prefix.
    collections: RwLock<HashMap<String, Arc<Collection>>>,
    /// Up to which revision the collections have everything.
    progress: watch::Sender<u64>,
}

impl Hub {
    /// A hub over a store, with no collections yet.
    pub fn new(store: Arc<dyn Store>) -> Hub {
        Hub { store, collections: RwLock::default(), progress: watch::Sender::new(0) }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Up to which revision the collections have everything.
    pub fn revision(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Adds a collection; to be called before [`Hub::start`].
    pub fn add(&self, collection: Arc<Collection>) {
        self.collections.write().insert(collection.prefix().to_owned(), collection);
    }

    /// Loads everything, then follows the store in a task of its own until the store is closed.
    ///
    /// # Errors
    /// What the store says of the first read.
    pub async fn start(self: &Arc<Self>) -> Result<(), CacheError> {
        let revision = self.load().await?;
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let mut revision = revision;
            loop {
                match hub.follow(&mut revision).await {
                    Err(CacheError::Store(StoreError::Closed)) => return,
                    Err(error) => {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "the watch of the store broke; reading everything again"
                        );
                    }
                    Ok(()) => {}
                }
                match hub.load().await {
                    Ok(loaded) => revision = loaded,
                    Err(CacheError::Store(StoreError::Closed)) => return,
                    Err(error) => {
                        error!(error = &error as &dyn std::error::Error, "cannot read the store");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(())
    }

    /// Forgets what is older than `revision`, as the store did: changes that nobody watches from any more, and snapshots of
    /// lists that nobody goes on with.
    pub fn forget_before(&self, revision: Revision) {
        let collections: Vec<_> = self.collections.read().values().cloned().collect();
        for collection in collections {
            collection.forget_before(revision.0);
        }
    }

    async fn load(&self) -> Result<Revision, CacheError> {
        let everything = self.store.range(RangeRequest::prefix(ROOT)).await?;
        let mut by_collection: HashMap<String, Vec<_>> = HashMap::new();
        for kv in everything.kvs {
            if let Some(collection) = self.collection_of(&kv.key) {
                by_collection.entry(collection.prefix().to_owned()).or_default().push(kv);
            }
        }
        let collections: Vec<_> = self.collections.read().values().cloned().collect();
        for collection in collections {
            let kvs = by_collection.remove(collection.prefix()).unwrap_or_default();
            collection.load(&kvs, everything.revision.0)?;
        }
        self.progress.send_replace(everything.revision.0);
        Ok(everything.revision)
    }

    async fn follow(&self, revision: &mut Revision) -> Result<(), CacheError> {
        let request = WatchRequest::prefix(ROOT).from(*revision).progress();
        let mut batches = self.store.watch(request).await?;
        while let Some(batch) = batches.next().await {
            let WatchBatch { events, revision: reached } = batch?;
            for event in &events {
                self.apply(event)?;
            }
            *revision = reached;
            self.progress.send_replace(reached.0);
        }
        Ok(())
    }

    fn apply(&self, event: &Event) -> Result<(), CacheError> {
        match self.collection_of(event.key()) {
            Some(collection) => collection.apply(event),
            None => Ok(()),
        }
    }

    /// The collection of a key: the one whose prefix ends at one of the key's first slashes.
    fn collection_of(&self, key: &[u8]) -> Option<Arc<Collection>> {
        let key = std::str::from_utf8(key).ok()?;
        let collections = self.collections.read();
        let ends = key[ROOT.len().min(key.len())..].match_indices('/').map(|(at, _)| ROOT.len() + at + 1);
        // The longest prefix wins, so that `/registry/services/specs/` is found before `/registry/services/`.
        ends.take(3).filter_map(|end| collections.get(&key[..end])).last().cloned()
    }

    /// Waits until the cache has everything that the store had when this was called; a read after it sees
    /// every write that was acknowledged before.
    ///
    /// # Errors
    /// What the store says; [`CacheError::TooNew`] if the cache does not catch up in time.
    pub async fn catch_up(&self) -> Result<u64, CacheError> {
        let current = self.store.current_revision().await?;
        if self.revision() < current.0 {
            self.store.request_progress().await?;
        }
        self.wait_for(current.0).await
    }

    /// Waits until the cache has reached a revision.
    ///
    /// # Errors
    /// [`CacheError::TooNew`] if it does not get there within 3 s.
    pub async fn wait_for(&self, revision: u64) -> Result<u64, CacheError> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|reached| *reached >= revision);
        match tokio::time::timeout(FRESH_WITHIN, reached).await {
            Ok(Ok(reached)) => Ok(*reached),
            _ => Err(CacheError::TooNew { requested: revision, current: self.revision() }),
        }
    }
}
