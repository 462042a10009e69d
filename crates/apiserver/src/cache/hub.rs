//! What feeds the collections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::{Mutex, RwLock};
use store::{Event, KeyValue, RangeRequest, Revision, Store, StoreError, WatchBatch, WatchRequest};
use tokio::sync::watch;
use tracing::{error, warn};

use super::{CacheError, Collection};

/// Where all objects are in the store.
const ROOT: &str = "/registry/";
/// How many objects are read from the store at once.
const PAGE_OBJECTS: usize = 500;
/// How often reading everything begins anew.
const RESTARTS_MAX: usize = 5;
/// How long a read waits for the cache to catch up with the store.
const FRESH_WITHIN: Duration = Duration::from_secs(3);

/// Feeds every collection from one watch of the store.
pub struct Hub {
    store: Arc<dyn Store>,
    /// Collections by their prefix.
    collections: RwLock<HashMap<String, Slot>>,
    /// Held while collections are read from the store, so that none is read twice at a time.
    loading: tokio::sync::Mutex<()>,
    /// Up to which revision the collections have everything.
    progress: watch::Sender<u64>,
}

/// A collection as the store's watch feeds it.
enum Slot {
    /// It takes every change.
    Live(Arc<Collection>),
    /// It is being read from the store. Its changes wait here.
    Joining(Arc<Collection>, Mutex<Vec<Event>>),
}

impl Hub {
    /// A hub over a store, with no collections yet.
    pub fn new(store: Arc<dyn Store>) -> Hub {
        Hub {
            store,
            collections: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            progress: watch::Sender::new(0),
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Up to which revision the collections have everything.
    pub fn revision(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Adds a collection before [`Hub::start`], which reads it.
    pub fn add(&self, collection: Arc<Collection>) {
        self.collections.write().insert(collection.prefix().to_owned(), Slot::Live(collection));
    }

    /// Adds a collection while the hub runs: reads it from the store, and has it join the store's watch without losing
    /// or doubling a change. What comes meanwhile waits; what the read saw already is skipped when it comes.
    ///
    /// # Errors
    /// What the store says, or what cannot be read there; the collection is then not added.
    pub async fn join(&self, collection: Arc<Collection>) -> Result<(), CacheError> {
        let prefix = collection.prefix().to_owned();
        let joined = {
            let _loading = self.loading.lock().await;
            let slot = Slot::Joining(Arc::clone(&collection), Mutex::default());
            // From here on no change is lost, and the read below is newer than all changes of before.
            self.collections.write().insert(prefix.clone(), slot);
            self.read_into(&collection).await
        };
        // No list may be older than what the collection was read at.
        let result = match joined {
            Ok(()) => self.catch_up().await.map(|_| ()),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.remove(&collection);
        }
        result
    }

    async fn read_into(&self, collection: &Arc<Collection>) -> Result<(), CacheError> {
        let (kvs, revision) = self.read_all(collection.prefix()).await?;
        collection.load(&kvs, revision.0)?;
        let mut collections = self.collections.write();
        let slot = collections.insert(collection.prefix().to_owned(), Slot::Live(Arc::clone(collection)));
        let Some(Slot::Joining(_, waiting)) = slot else { return Ok(()) };
        let waiting = waiting.into_inner();
        let mut revisions = waiting.chunk_by(|one, next| one.revision() == next.revision());
        revisions.try_for_each(|events| collection.apply(&events.iter().collect::<Vec<_>>()))
    }

    /// Feeds a collection no longer, and lets its watchers end.
    pub fn remove(&self, collection: &Arc<Collection>) {
        let mut collections = self.collections.write();
        let is_it = |slot: &Slot| Arc::ptr_eq(slot.collection(), collection);
        if collections.get(collection.prefix()).is_some_and(is_it) {
            collections.remove(collection.prefix());
        }
        drop(collections);
        collection.end();
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
        for collection in self.all() {
            collection.forget_before(revision.0);
        }
    }

    async fn load(&self) -> Result<Revision, CacheError> {
        let _loading = self.loading.lock().await;
        let (kvs, revision) = self.read_all(ROOT).await?;
        let mut by_collection: HashMap<String, Vec<_>> = HashMap::new();
        for kv in kvs {
            let prefix = self.slot_of(&kv.key, |slot| slot.collection().prefix().to_owned());
            if let Some(prefix) = prefix {
                by_collection.entry(prefix).or_default().push(kv);
            }
        }
        for collection in self.all() {
            let kvs = by_collection.remove(collection.prefix()).unwrap_or_default();
            collection.load(&kvs, revision.0)?;
        }
        self.progress.send_replace(revision.0);
        Ok(revision)
    }

    /// Everything below a prefix at one revision, read page by page. Where that revision is compacted meanwhile, reading
    /// begins anew.
    async fn read_all(&self, prefix: &str) -> Result<(Vec<Arc<KeyValue>>, Revision), StoreError> {
        let first = RangeRequest::prefix(prefix.to_owned()).limit(PAGE_OBJECTS);
        let (mut request, mut kvs, mut restarts) = (first.clone(), Vec::new(), 0);
        loop {
            let page = match self.store.range(request).await {
                Err(StoreError::Compacted { .. }) if restarts < RESTARTS_MAX => {
                    (request, restarts) = (first.clone(), restarts + 1);
                    kvs.clear();
                    continue;
                }
                page => page?,
            };
            kvs.extend(page.kvs);
            let Some(last) = kvs.last().filter(|_| page.more) else { return Ok((kvs, page.revision)) };
            request = first.clone().at(page.revision).after(last.key.clone());
        }
    }

    async fn follow(&self, revision: &mut Revision) -> Result<(), CacheError> {
        let request = WatchRequest::prefix(ROOT).from(*revision).progress();
        let mut batches = self.store.watch(request).await?;
        while let Some(batch) = batches.next().await {
            let WatchBatch { events, revision: reached } = batch?;
            for events in events.chunk_by(|one, next| one.revision() == next.revision()) {
                self.apply(events)?;
            }
            *revision = reached;
            self.progress.send_replace(reached.0);
        }
        Ok(())
    }

    /// Hands the changes of one revision to their collections, to each all of its own at once.
    fn apply(&self, events: &[Event]) -> Result<(), CacheError> {
        let live = |event: &Event| {
            let collection = self.slot_of(event.key(), |slot| match slot {
                Slot::Live(collection) => Some(Arc::clone(collection)),
                Slot::Joining(_, waiting) => {
                    waiting.lock().push(event.clone());
                    None
                }
            });
            collection.flatten()
        };
        let mut rest: Vec<(Arc<Collection>, &Event)> =
            events.iter().filter_map(|event| Some((live(event)?, event))).collect();
        while let Some((collection, _)) = rest.first().cloned() {
            let (own, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(other, _)| Arc::ptr_eq(other, &collection));
            rest = others;
            let own: Vec<&Event> = own.into_iter().map(|(_, event)| event).collect();
            collection.apply(&own)?;
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Collection>> {
        self.collections.read().values().map(|slot| Arc::clone(slot.collection())).collect()
    }

    /// What `use_it` makes of the collection of a key: the one whose prefix ends at one of the key's first slashes.
    fn slot_of<T>(&self, key: &[u8], use_it: impl FnOnce(&Slot) -> T) -> Option<T> {
        let key = std::str::from_utf8(key).ok()?;
        let collections = self.collections.read();
        let ends = key[ROOT.len().min(key.len())..].match_indices('/').map(|(at, _)| ROOT.len() + at + 1);
        // The longest prefix wins, so that `/registry/services/specs/` is found before `/registry/services/`.
        ends.take(3).filter_map(|end| collections.get(&key[..end])).last().map(use_it)
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

impl Slot {
    fn collection(&self) -> &Arc<Collection> {
        match self {
            Slot::Live(collection) | Slot::Joining(collection, _) => collection,
        }
    }
}
